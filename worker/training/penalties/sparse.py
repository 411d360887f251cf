"""The penalties that set single weights to exact zero."""

from dataclasses import dataclass

import torch
from torch import Tensor

from contract.spec import penalties
from worker.training.optimizers.metric import Metric
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
        return strength * float(torch.stack(torch._foreach_norm(self.parameters, 1)).double().sum())


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
