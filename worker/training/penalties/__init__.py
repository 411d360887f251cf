"""Which penalties a job's steps take, and in what order: coupled ones join the gradient before the optimizer's moments, proximal
ones act on the weights after the step. Analytic, outside of autograd; values are worked out only when they are reported.

A kind is a `Term` in a leaf beside this file and a `case` in `build`.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

import torch
from torch import Tensor

from contract.spec import penalties, plan
from worker.training.optimizers.metric import Metric
from worker.training.penalties.smooth import L2
from worker.training.penalties.sparse import L1
from worker.training.penalties.term import Term

# Below this a threshold moves no weight, and its reciprocal would overflow.
_SMALLEST = 1e-200


def build(
    specs: Sequence[penalties.Penalty], network: Sequence[plan.Layer], named: Mapping[str, Tensor], steps_per_epoch: int
) -> list[Term]:
    """The terms that `specs` ask for on the parameters `named`, in their order."""
    return [_term(spec, _chosen(spec.on, network, named), spec.warmup_epochs * steps_per_epoch) for spec in specs]


@torch.no_grad()
def add_gradients(terms: Sequence[Term], step: int) -> None:
    """Adds to each `.grad` what the coupled penalties contribute at `step`."""
    for term in terms:
        if (strength := term.strength(step)) > 0:
            term.add_gradient(strength)


@torch.no_grad()
def shrink(terms: Sequence[Term], step: int, lr: float, metric: Metric) -> None:
    """Applies the proximal penalties to the weights after an optimizer step, in that step's own metric."""
    for term in terms:
        if (strength := term.strength(step)) * lr > _SMALLEST:
            term.shrink(strength, lr, metric)


@torch.no_grad()
def values(terms: Sequence[Term], step: int) -> dict[str, float]:
    """What each kind is worth at the present weights with the λ of `step`, by metric name. Several of a kind are one sum."""
    found: dict[str, float] = {}
    for term in terms:
        name = f"train.penalty.{term.spec.kind}"
        found[name] = found.get(name, 0.0) + term.value(term.strength(step))
    return found


def _term(spec: penalties.Penalty, parameters: list[Tensor], warmup_steps: float) -> Term:
    match spec:
        case penalties.L1():
            return L1(spec, parameters, warmup_steps)
        case penalties.L2():
            return L2(spec, parameters, warmup_steps)
        case _:
            assert_never(spec)


def _chosen(on: penalties.On, network: Sequence[plan.Layer], named: Mapping[str, Tensor]) -> list[Tensor]:
    if on == "all":
        return list(named.values())
    if on == "weights":
        return [named[f"{layer.name}.weight"] for layer in network if not layer.norm]
    return [named[f"{name}.weight"] for name in dict.fromkeys(on)]
