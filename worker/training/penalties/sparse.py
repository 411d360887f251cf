"""The convex penalties that set single weights to exact zero."""

from dataclasses import dataclass

import torch
from torch import Tensor

from contract.spec import penalties
from worker.training.optimizers.metric import Metric
from worker.training.penalties.smooth import half_square
from worker.training.penalties.term import Term


@dataclass(frozen=True)
class L1(Term):
    """λ Σ|θ|: the soft threshold lr·λ/D after a step, or λ·sign(θ) in its gradient."""

    spec: penalties.L1

    def add_gradient(self, strength: float) -> None:
        if self.spec.apply == "subgradient":
            torch._foreach_add_(self.gradients, torch._foreach_sign(self.parameters), alpha=strength)

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        if self.spec.apply == "proximal":
            soft_threshold_(self.parameters, metric(self.parameters, lr * strength))

    def value(self, strength: float) -> float:
        return strength * absolute(self.parameters)


@dataclass(frozen=True)
class ElasticNet(Term):
    """λ (ρ Σ|θ| + (1-ρ)/2 ‖θ‖²): the soft threshold τλρ, then a division by 1 + τλ(1-ρ), with τ = lr/D."""

    spec: penalties.ElasticNet

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        share = self.spec.l1_ratio
        scaled = metric(self.parameters, lr * strength)
        if isinstance(scaled, float):
            soft_threshold_(self.parameters, scaled * share)
            torch._foreach_mul_(self.parameters, 1 / (1 + scaled * (1 - share)))
        else:
            soft_threshold_(self.parameters, list(torch._foreach_mul(scaled, share)))
            torch._foreach_mul_(scaled, 1 - share)
            torch._foreach_add_(scaled, 1.0)
            torch._foreach_div_(self.parameters, scaled)

    def value(self, strength: float) -> float:
        share = self.spec.l1_ratio
        return strength * (share * absolute(self.parameters) + (1 - share) * half_square(self.parameters))


def absolute(parameters: list[Tensor]) -> float:
    """Σ|θ| over all `parameters`."""
    return float(torch.stack(torch._foreach_norm(parameters, 1)).double().sum())


@torch.no_grad()
def soft_threshold_(parameters: list[Tensor], threshold: float | list[Tensor]) -> None:
    """θ ← sign(θ)(|θ| - τ)₊ in place, as θ - clamp(θ, -τ, τ): an exact zero wherever |θ| ≤ τ. Tensors in `threshold` are used up."""
    if isinstance(threshold, float):
        clamped = torch._foreach_clamp_max(parameters, threshold)
        torch._foreach_clamp_min_(clamped, -threshold)
    else:
        clamped = torch._foreach_minimum(parameters, threshold)
        torch._foreach_neg_(threshold)
        torch._foreach_maximum_(clamped, threshold)
    torch._foreach_sub_(parameters, clamped)
