"""The group maps meet the optimality conditions of their problem in a diagonal metric, whatever the metric, the layout and the part."""

from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from contract.spec import penalties
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
    """By how much each group misses x_i - z_i + τ_i √|g| x_i/‖x‖ = 0, relative to |z_i|, the largest of its three numbers; or at
    x = 0 by how much ‖z/τ‖ exceeds √|g|, relative to that."""
    root = sqrt(z.shape[1])
    length = x.norm(dim=1, keepdim=True)
    missed = ((x - z + thresholds * root * x / length).abs() / z.abs()).amax(1)
    return torch.where(length[:, 0] > 0, missed, ((z / thresholds).norm(dim=1) / root - 1).clamp_min(0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", WEIGHTS)
def test_the_map_in_a_metric_meets_the_optimality_conditions(by: str, seed: int) -> None:
    layer, thresholds = _drawn(by, seed=seed)
    z, tau = _rows(layer, layer.parts), _rows(layer, thresholds)

    grouped.shorten_([layer], thresholds)

    x = _rows(layer, layer.parts)
    assert _residual(z, x, tau).max() <= 1e-12
    zero = (x == 0).all(1)
    assert 2 <= zero.sum() <= 38
    assert zero[7]


@pytest.mark.parametrize("by", WEIGHTS)
def test_where_the_metric_is_one_number_both_maps_are_the_closed_form(by: str) -> None:
    layer, _ = _drawn(by)
    evenly, in_metric = ([part.clone() for part in layer.parts] for _ in range(2))
    z = _rows(layer, layer.parts)
    expected = z * (1 - 0.02 * sqrt(layer.size) / z.norm(dim=1, keepdim=True)).clamp_min(0).nan_to_num()

    grouped.shorten_([Groups(evenly, layer.axis)], 0.02)
    grouped.shorten_([Groups(in_metric, layer.axis)], [torch.full_like(part, 0.02) for part in in_metric])

    for found in (_rows(layer, evenly), _rows(layer, in_metric)):
        assert (found - expected).abs().max() <= 1e-14
        assert torch.equal(found == 0, expected == 0)
    assert 2 <= (expected == 0).all(1).sum() <= 38


@pytest.mark.parametrize("by", WEIGHTS)
def test_in_float32_the_map_is_what_it_is_in_float64(by: str) -> None:
    layer, thresholds = _drawn(by, dtype=torch.float32)
    exact, exactly = Groups([part.double() for part in layer.parts], layer.axis), [threshold.double() for threshold in thresholds]

    grouped.shorten_([layer], thresholds)
    grouped.shorten_([exact], exactly)

    assert (_rows(layer, layer.parts) - _rows(exact, exact.parts)).abs().max() <= 1e-5
    assert torch.equal(_rows(layer, layer.parts).any(1), _rows(exact, exact.parts).any(1))


def test_thresholds_at_the_ends_of_float32_leave_no_value_that_is_not_finite() -> None:
    weight = torch.tensor([[1.0, 2.0], [1.0, 0.0], [0.0, 0.0], [1e-30, 1e-30], [3.0, 1e-3]])
    thresholds = torch.tensor([[0.0, 0.0], [1e-45, 1e30], [0.0, 1e-45], [1e38, 1e-38], [1e-38, 1e38]])

    grouped.shorten_([Groups([weight], 0)], [thresholds])

    assert torch.allclose(weight[0], torch.tensor([1.0, 2.0]))
    assert torch.allclose(weight[1], torch.tensor([1.0, 0.0]))
    assert torch.allclose(weight[4], torch.tensor([3.0, 0.0]))
    assert not weight[2].any()
    assert weight.isfinite().all()


def test_a_newton_step_left_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, thresholds = _drawn("filter")
    z, tau = _rows(layer, layer.parts), _rows(layer, thresholds)
    monkeypatch.setitem(radius._STEPS, torch.float64, 2)

    grouped.shorten_([layer], thresholds)

    assert _residual(z, _rows(layer, layer.parts), tau).max() > 1e-6


def _objective(x: Tensor, z: Tensor, thresholds: Tensor, share: float) -> Tensor:
    group = (1 - share) * sqrt(len(z)) * x.norm(dim=-1)
    return ((x - z) ** 2 / thresholds).sum(-1) / 2 + share * x.abs().sum(-1) + group


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_soft_threshold_before_the_group_map_is_the_sparse_group_map_in_a_metric_too(share: float) -> None:
    side = torch.linspace(-1.6, 1.6, 641, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1)
    draw = torch.Generator().manual_seed(3)
    zeros = 0
    for _ in range(12):
        z = torch.rand(2, generator=draw, dtype=torch.float64) * 3 - 1.5
        thresholds = 10 ** (torch.rand(2, generator=draw, dtype=torch.float64) * 2 - 1.6)
        x = z.clone()[None]
        term = _sparse_group(x, share)

        term.shrink(1.0, 1.0, lambda _, scale, t=thresholds: [scale * t[None]])

        cost = _objective(grid, z, thresholds, share)
        best = grid.view(-1, 2)[cost.argmin()]
        assert _objective(x[0], z, thresholds, share) <= cost.min() + 1e-12
        # The valley is flat along its floor, so that a neighbour's neighbour on the grid may win.
        assert (x[0] - best).abs().max() <= 2 * float(side[1] - side[0])
        zeros += int((x == 0).sum())
    assert zeros > 0


def _sparse_group(weight: Tensor, share: float) -> grouped.SparseGroup:
    spec: Any = penalties.SparseGroup.model_validate({"lambda": 1.0, "by": "neuron", "l1_ratio": share})
    return grouped.SparseGroup(spec, [weight], 0.0, [Groups([weight], 0)])
