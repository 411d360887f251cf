"""Which penalties a job's steps take, and in what order: coupled ones join the gradient before the optimizer's moments, a decoupled
decay comes just before the step, proximal ones after it. Analytic, outside of autograd; values are worked out only when they are reported.

A kind is a `Term` in a leaf beside this file and a `case` in `build`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from contract.spec import laid, penalties, plan
from worker.training import keys
from worker.training.optimizers.metric import Metric
from worker.training.penalties import groups, matrices
from worker.training.penalties.decay import DecoupledDecay
from worker.training.penalties.grouped import GroupLasso, SparseGroup
from worker.training.penalties.hoyer import Hoyer
from worker.training.penalties.matrices import Orthogonal, Spectral
from worker.training.penalties.nonconvex import L0, MCP, SCAD, LHalf
from worker.training.penalties.norms import MaxNorm
from worker.training.penalties.smooth import L2
from worker.training.penalties.sparse import L1, ElasticNet
from worker.training.penalties.term import Term

# Below this a threshold moves no weight, and in float32 the reciprocal of lr, or of lr·λ, would overflow in a metric.
_SMALLEST = 1e-30


def build(
    specs: Sequence[penalties.Penalty],
    network: Sequence[plan.Layer],
    named: Mapping[str, Tensor],
    steps_per_epoch: int,
    seed: int = 0,
) -> list[Term]:
    """The terms that `specs` ask for on the parameters `named`, in their order, constraints last: what they demand must hold in the end."""
    place = _Place(network, named, steps_per_epoch, seed)
    return sorted((_term(spec, place) for spec in specs), key=lambda term: isinstance(term, MaxNorm))


@torch.no_grad()
def add_gradients(terms: Sequence[Term], step: int) -> None:
    """Adds to each `.grad` what the coupled penalties contribute at `step`."""
    for term in terms:
        if (strength := term.strength(step)) > 0:
            term.add_gradient(strength)


@torch.no_grad()
def decay(terms: Sequence[Term], step: int, lr: float) -> None:
    """Applies the decoupled decays to the weights before an optimizer step of learning rate `lr`."""
    for term in terms:
        if (strength := term.strength(step)) > 0:
            term.decay(strength, lr)


@torch.no_grad()
def shrink(terms: Sequence[Term], step: int, lr: float, metric: Metric) -> None:
    """Applies the proximal penalties to the weights after an optimizer step, in that step's own metric."""
    for term in terms:
        if min(strength := term.strength(step), 1.0) * lr > _SMALLEST:
            term.shrink(strength, lr, metric)


@torch.no_grad()
def values(terms: Sequence[Term], step: int) -> dict[str, float]:
    """What each kind in the objective is worth at the present weights with the λ of `step`, by metric name. Several of a kind are
    one sum."""
    return _values([term for term in terms if term.spec.in_objective], step, "train.penalty")


@torch.no_grad()
def diagnostics(terms: Sequence[Term], step: int) -> dict[str, float]:
    """The same of the kinds that are no part of the objective."""
    return _values([term for term in terms if not term.spec.in_objective], step, "train.diagnostic")


def state(terms: Sequence[Term]) -> dict[str, Tensor]:
    """What the terms carry from step to step, by names of their own; a checkpoint writes it back in place."""
    return {f"penalty.{index}.{name}": value for index, term in enumerate(terms) for name, value in term.state().items()}


def _values(terms: Sequence[Term], step: int, prefix: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for term in terms:
        name = f"{prefix}.{term.spec.kind}"
        found[name] = found.get(name, 0.0) + term.value(term.strength(step))
    return found


@dataclass(frozen=True)
class _Place:
    """Where penalties are laid."""

    network: Sequence[plan.Layer]
    named: Mapping[str, Tensor]
    steps_per_epoch: int
    seed: int

    def chosen(self, spec: penalties.Penalty) -> list[Tensor]:
        if spec.on == "all":
            return list(self.named.values())
        return [self.named[f"{layer.name}.weight"] for layer in laid.layers(spec, self.network)]

    def grouped(self, spec: penalties.GroupLasso | penalties.SparseGroup) -> tuple[list[Tensor], list[groups.Groups]]:
        """All values that are in groups, and the groups of each layer."""
        layers = groups.of(spec, self.network, self.named)
        return [part for layer in layers for part in layer.parts], layers

    def vectors(self, spec: penalties.Spectral) -> dict[str, Tensor]:
        """What each power iteration starts from, keyed by the layer's place in the network."""
        found = {}
        for layer in laid.layers(spec, self.network):
            generator = keys.generator(self.seed, "spectral", self.network.index(layer))
            found[layer.name] = matrices.start(self.named[f"{layer.name}.weight"], generator)
        return found


def _term(spec: penalties.Penalty, place: _Place) -> Term:
    warmup_steps = 0.0 if isinstance(spec, penalties.MaxNorm) else spec.warmup_epochs * place.steps_per_epoch
    parameters = place.chosen(spec)
    match spec:
        case penalties.L1():
            return L1(spec, parameters, warmup_steps)
        case penalties.L2():
            return L2(spec, parameters, warmup_steps)
        case penalties.DecoupledDecay():
            return DecoupledDecay(spec, parameters, warmup_steps)
        case penalties.ElasticNet():
            return ElasticNet(spec, parameters, warmup_steps)
        case penalties.GroupLasso():
            parameters, layers = place.grouped(spec)
            return GroupLasso(spec, parameters, warmup_steps, layers)
        case penalties.SparseGroup():
            parameters, layers = place.grouped(spec)
            return SparseGroup(spec, parameters, warmup_steps, layers)
        case penalties.MCP():
            return MCP(spec, parameters, warmup_steps)
        case penalties.SCAD():
            return SCAD(spec, parameters, warmup_steps)
        case penalties.LHalf():
            return LHalf(spec, parameters, warmup_steps)
        case penalties.L0():
            return L0(spec, parameters, warmup_steps)
        case penalties.Hoyer():
            return Hoyer(spec, parameters, warmup_steps)
        case penalties.Orthogonal():
            return Orthogonal(spec, parameters, warmup_steps)
        case penalties.Spectral():
            return Spectral(spec, parameters, warmup_steps, place.vectors(spec))
        case penalties.MaxNorm():
            return MaxNorm(spec, parameters, warmup_steps)
        case _:
            assert_never(spec)
