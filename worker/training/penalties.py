"""What a penalty does to a step and what it is worth: analytic, outside of autograd, a few foreach passes each.

Coupled terms join the gradient before the optimizer's moments; a proximal one shrinks the weights after the step. Values are
worked out only when they are reported. Several penalties of a kind are reported as their sum, `train.penalty.<kind>`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, optim

from contract.spec import optimizers, penalties, plan
from worker.training import optimizers as stepping

# Below this a threshold moves no weight, and its reciprocal would overflow.
_SMALLEST = 1e-200


@dataclass(frozen=True)
class Term:
    """A penalty and the parameters it is laid on."""

    spec: penalties.Penalty
    parameters: list[Tensor]
    warmup_steps: float

    def strength(self, step: int) -> float:
        """λ at `step` (from 0): 0 at the first one and the full λ after the warm-up, if there is one."""
        if step >= self.warmup_steps:
            return self.spec.lambda_
        return self.spec.lambda_ * step / self.warmup_steps


def build(
    specs: Sequence[penalties.Penalty], network: Sequence[plan.Layer], named: Mapping[str, Tensor], steps_per_epoch: int
) -> list[Term]:
    """The terms that `specs` ask for on the parameters `named`."""
    return [Term(spec, _chosen(spec.on, network, named), spec.warmup_epochs * steps_per_epoch) for spec in specs]


@torch.no_grad()
def add_gradients(terms: Sequence[Term], step: int) -> None:
    """Adds to each `.grad` what the coupled penalties contribute: λθ for l2, λ·sign(θ) for l1 by subgradient."""
    for term in terms:
        strength = term.strength(step)
        if strength == 0:
            continue
        match term.spec:
            case penalties.L2():
                torch._foreach_add_(_gradients(term.parameters), term.parameters, alpha=strength)
            case penalties.L1():
                if term.spec.apply == "subgradient":
                    torch._foreach_add_(_gradients(term.parameters), torch._foreach_sign(term.parameters), alpha=strength)
            case _:
                assert_never(term.spec)


@torch.no_grad()
def shrink(terms: Sequence[Term], step: int, lr: float, spec: optimizers.Optimizer, built: optim.Optimizer) -> None:
    """Applies the proximal penalties to the weights after an optimizer step, in that step's own metric."""
    for term in terms:
        strength = lr * term.strength(step)
        if strength < _SMALLEST:
            continue
        match term.spec:
            case penalties.L1():
                if term.spec.apply == "proximal":
                    soft_threshold_(term.parameters, stepping.thresholds(spec, built, term.parameters, strength))
            case penalties.L2():
                pass
            case _:
                assert_never(term.spec)


@torch.no_grad()
def values(terms: Sequence[Term], step: int) -> dict[str, float]:
    """What each kind is worth at the present weights with the λ of `step`, by metric name."""
    found: dict[str, float] = {}
    for term in terms:
        name = f"train.penalty.{term.spec.kind}"
        found[name] = found.get(name, 0.0) + _value(term, step)
    return found


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


def _chosen(on: penalties.On, network: Sequence[plan.Layer], named: Mapping[str, Tensor]) -> list[Tensor]:
    if on == "all":
        return list(named.values())
    if on == "weights":
        return [named[f"{layer.name}.weight"] for layer in network if not layer.norm]
    return [named[f"{name}.weight"] for name in dict.fromkeys(on)]


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _value(term: Term, step: int) -> float:
    strength = term.strength(step)
    match term.spec:
        case penalties.L1():
            return strength * float(torch.stack(torch._foreach_norm(term.parameters, 1)).double().sum())
        case penalties.L2():
            return strength / 2 * float(torch.stack(torch._foreach_norm(term.parameters, 2)).double().square().sum())
        case _:
            assert_never(term.spec)
