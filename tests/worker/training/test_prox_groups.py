"""The group maps meet the optimality conditions of their problem in a diagonal metric, whatever the metric, the layout and the part."""

from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from worker.training.penalties import grouped, radius
from worker.training.penalties.groups import Groups

WEIGHTS = {"filter": ((40, 3, 2, 2), 0), "neuron": ((40, 9), 0), "input_channel": ((5, 40, 2, 2), 1), "input_value": ((9, 40), 1)}


def _drawn(by: str, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Groups, list[Tensor]]:
    """Groups of lengths from 1e-3 to 10, one of them all zero, and thresholds lr·λ/D with D from 1e-8 to 1e3 in each."""
    draw = torch.Generator().manual_seed(seed)
    shape, axis = WEIGHTS[by]

    def random(*size: int) -> Tensor:
        return torch.rand(*size, generator=draw, dtype=torch.float64)

    vectors = 3 if axis == 0 else 0
    lengths = 10 ** (random(40) * 4 - 3)
    lengths[7] = 0
    parts = [random(*shape) * 2 - 1, *(random(40) * 2 - 1 for _ in range(vectors))]
    layer = Groups(parts, axis)
    for part, length in zip(parts, layer.spread(lengths), strict=True):
        part.mul_(length)
    # On the scale of each group's own values, so that some groups vanish and some do not.
    scales = [10 ** (random(*part.shape) * 11 - 8) for part in parts]
    pull = 10 ** (random(40) * 6 - 5)
    thresholds = [scale.reciprocal() * each for scale, each in zip(scales, layer.spread(pull), strict=True)]
    placed = [part.to(dtype).contiguous(memory_format=torch.channels_last) if part.ndim == 4 else part.to(dtype) for part in parts]
    return Groups(placed, axis), [threshold.to(dtype) for threshold in thresholds]


def _rows(layer: Groups, values: list[Tensor]) -> Tensor:
    """[groups, values] of what lies in the shapes of the parts."""
    return torch.cat([value.movedim(layer.axis, 0).reshape(40, -1) if value.ndim > 1 else value[:, None] for value in values], 1).double()


def _residual(z: Tensor, x: Tensor, thresholds: Tensor) -> Tensor:
    """By how much each group misses (x_i - z_i)/τ_i + √|g| x_i/‖x‖ = 0, or at x = 0 by how much ‖z/τ‖ exceeds √|g|; relative to √|g|."""
    root = sqrt(z.shape[1])
    length = x.norm(dim=1, keepdim=True)
    missed = ((x - z) / thresholds + root * x / length).norm(dim=1) / root
    return torch.where(length[:, 0] > 0, missed, ((z / thresholds).norm(dim=1) / root - 1).clamp_min(0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", WEIGHTS)
def test_the_map_in_a_metric_meets_the_optimality_conditions(by: str, seed: int) -> None:
    layer, thresholds = _drawn(by, seed=seed)
    z, tau = _rows(layer, layer.parts), _rows(layer, thresholds)

    grouped.shorten_([layer], thresholds)

    x = _rows(layer, layer.parts)
    # (x - z)/τ cancels where τ is tiny beside z: what float64 can say of it is z/τ times its last digit.
    noise = 4e-16 * (z / tau).norm(dim=1) / sqrt(z.shape[1])
    assert (_residual(z, x, tau) <= 1e-12 + noise).all()
    zero = (x == 0).all(1)
    assert 2 <= zero.sum() <= 38
    assert zero[7]
