"""The penalties that set whole groups of weights to exact zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from contract.spec import penalties
from worker.training.optimizers.metric import Metric
from worker.training.penalties import groups, radius
from worker.training.penalties.groups import Groups
from worker.training.penalties.sparse import absolute, soft_threshold_
from worker.training.penalties.term import Term


@dataclass(frozen=True)
class GroupLasso(Term):
    """λ Σ √|g| ‖θ_g‖: each group is shortened after a step, in the optimizer's own metric, and is zero from some length down."""

    spec: penalties.GroupLasso
    layers: list[Groups]

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        shorten_(self.layers, metric(self.parameters, lr * strength))

    def value(self, strength: float) -> float:
        return strength * groups.value(self.layers)


@dataclass(frozen=True)
class SparseGroup(Term):
    """λ (ρ Σ|θ| + (1-ρ) Σ √|g| ‖θ_g‖): the soft threshold, then the group's map. Exact in a diagonal metric too, as a soft-thresholded
    value has the sign or the zero it will keep."""

    spec: penalties.SparseGroup
    layers: list[Groups]

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        share = self.spec.l1_ratio
        scaled = metric(self.parameters, lr * strength)
        if isinstance(scaled, float):
            soft_threshold_(self.parameters, scaled * share)
            shorten_(self.layers, scaled * (1 - share))
        else:
            soft_threshold_(self.parameters, list(torch._foreach_mul(scaled, share)))
            torch._foreach_mul_(scaled, 1 - share)
            shorten_(self.layers, scaled)

    def value(self, strength: float) -> float:
        share = self.spec.l1_ratio
        return strength * (share * absolute(self.parameters) + (1 - share) * groups.value(self.layers))


@torch.no_grad()
def shorten_(layers: Sequence[Groups], threshold: float | list[Tensor]) -> None:
    """The proximal map of Σ √|g| ‖θ_g‖ in place, with the threshold lr·λ/D: one number, or tensors shaped as all parts, used up."""
    if isinstance(threshold, float):
        for layer in layers:
            _shorten_evenly(layer, threshold * sqrt(layer.size))
        return
    rest = iter(threshold)
    for layer in layers:
        scales = [next(rest).mul_(sqrt(layer.size)) for _ in layer.parts]
        _shorten_in_metric(layer, scales)


def _shorten_evenly(layer: Groups, threshold: float) -> None:
    """θ_g ← θ_g (1 - t/‖θ_g‖)₊."""
    factor = layer.norms(layer.parts).reciprocal_().mul_(-threshold).add_(1).clamp_(min=0)
    for part, each in zip(layer.parts, layer.spread(factor), strict=True):
        part.mul_(each)


def _shorten_in_metric(layer: Groups, scales: list[Tensor]) -> None:
    """θ_i ← θ_i r/(r + s_i), s_i = t/D_i, with the group's new length r; 0 where that is 0."""
    torch._foreach_clamp_min_(scales, torch.finfo(scales[0].dtype).tiny)
    lengths = layer.spread(radius.of(layer, scales))
    for part, scale, length in zip(layer.parts, scales, lengths, strict=True):
        part.mul_(length / scale.add_(length))
