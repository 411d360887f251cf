"""Which values of a layer form a group: those of one filter, of one neuron, or all that read one input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from contract.spec import laid, penalties, plan


@dataclass(frozen=True)
class Groups:
    """The G groups of one layer. Values come in `parts`: first the weight, whose axis `axis` counts the groups, then vectors [G]
    (bias, scale and shift of a norm), in which each group has one value. Nothing is flattened: a weight may be channels_last."""

    parts: list[Tensor]
    axis: int

    @property
    def size(self) -> int:
        """|g|, the number of values in a group."""
        return sum(part.numel() for part in self.parts) // self.parts[0].shape[self.axis]

    def sums(self, values: Sequence[Tensor]) -> Tensor:
        """Σ over each group, [G], of `values` shaped as the parts."""
        total = values[0].sum(self._rest)
        for vector in values[1:]:
            total += vector
        return total

    def norms(self, values: Sequence[Tensor]) -> Tensor:
        """The Euclidean length of each group, [G]."""
        length: Tensor = torch.linalg.vector_norm(values[0], dim=self._rest)
        for vector in values[1:]:
            length = torch.hypot(length, vector)
        return length

    def least(self, values: Sequence[Tensor]) -> Tensor:
        """The least of each group, [G]."""
        least = values[0].amin(self._rest)
        for vector in values[1:]:
            least = torch.minimum(least, vector)
        return least

    def spread(self, per_group: Tensor) -> list[Tensor]:
        """A number for each group, [G], in shapes that multiply with the parts."""
        shape = [1] * self.parts[0].ndim
        shape[self.axis] = -1
        return [per_group.view(shape), *([per_group] * (len(self.parts) - 1))]

    @property
    def _rest(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(self.parts[0].ndim) if axis != self.axis)


def of(spec: penalties.GroupLasso | penalties.SparseGroup, network: Sequence[plan.Layer], named: Mapping[str, Tensor]) -> list[Groups]:
    """The groups that `spec` makes of each layer it lies on."""
    axis = 1 if spec.by == "input_channel" else 0
    found = []
    for layer in laid.layers(spec, network):
        parts = [named[f"{layer.name}.weight"]]
        if spec.with_bias:
            parts += _companions(layer, network, named)
        found.append(Groups(parts, axis))
    return found


def value(layers: Sequence[Groups]) -> float:
    """Σ √|g| ‖θ_g‖ over the groups of all layers, summed in float64."""
    return sum(sqrt(groups.size) * float(groups.norms(groups.parts).double().sum()) for groups in layers)


def _companions(layer: plan.Layer, network: Sequence[plan.Layer], named: Mapping[str, Tensor]) -> list[Tensor]:
    """The layer's bias, and scale and shift of the norm that directly follows it."""
    found = [f"{layer.name}.bias"] if layer.bias else []
    if norm := plan.norms_behind(network).get(layer.name):
        found += [f"{norm}.weight", f"{norm}.bias"]
    return [named[name] for name in found]
