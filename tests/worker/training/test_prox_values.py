"""Each proximal map on single values is the brute-force minimiser of the penalised distance, whatever the metric."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from contract.spec import JobSpec
from worker.training.penalties import nonconvex, sparse
from worker.training.penalties.term import Term

COUNT, REACH, STEP = 61, 3.0, 1e-4


def _scad(x: Tensor, lam: float, a: float) -> Tensor:
    middle = (2 * a * lam * x.abs() - x**2 - lam**2) / (2 * (a - 1))
    return torch.where(x.abs() <= lam, lam * x.abs(), torch.where(x.abs() <= a * lam, middle, torch.tensor(lam**2 * (a + 1) / 2).double()))


def _mcp(x: Tensor, lam: float, gamma: float) -> Tensor:
    return torch.where(x.abs() <= gamma * lam, lam * x.abs() - x**2 / (2 * gamma), torch.tensor(gamma * lam**2 / 2).double())


# The spec, its term, and its penalty written down a second time from the paper.
KINDS: dict[str, tuple[dict[str, Any], type[Term], Callable[[Tensor, float], Tensor]]] = {
    "l1": ({}, sparse.L1, lambda x, lam: lam * x.abs()),
    "elastic_net": ({"l1_ratio": 0.3}, sparse.ElasticNet, lambda x, lam: lam * (0.3 * x.abs() + 0.35 * x**2)),
    "mcp": ({"gamma": 1.5}, nonconvex.MCP, lambda x, lam: _mcp(x, lam, 1.5)),
    "scad": ({"a": 2.2}, nonconvex.SCAD, lambda x, lam: _scad(x, lam, 2.2)),
    "l_half": ({}, nonconvex.LHalf, lambda x, lam: lam * x.abs().sqrt()),
    "l0": ({}, nonconvex.L0, lambda x, lam: lam * (x != 0).double()),
}


def term(kind: str, parameters: list[Tensor], **fields: Any) -> Term:
    spec = JobSpec.model_validate({"penalties": [{"kind": kind, "lambda": 0.4, **fields}]}).penalties[0]
    return KINDS[kind][1](spec, parameters, 0.0)


def one_number(tau: float) -> Callable[[Sequence[Tensor], float], float]:
    return lambda _, scale: scale * tau


def per_value(tau: Tensor) -> Callable[[Sequence[Tensor], float], list[Tensor]]:
    return lambda parameters, scale: [tau.to(parameter) * scale for parameter in parameters]


def _cheapest(z: Tensor, tau: Tensor, penalty: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The minimiser on a grid for each z, and what it costs."""
    half = torch.arange(0, REACH + STEP, STEP, dtype=torch.float64)
    grid = torch.cat([-half.flip(0)[:-1], half])
    cost = (grid - z[:, None]) ** 2 / (2 * tau[:, None]) + penalty(grid)
    return grid[cost.argmin(1)], cost.amin(1)


def _check(kind: str, z: Tensor, tau: Tensor, found: Tensor) -> None:
    penalty = KINDS[kind][2]
    best, least = _cheapest(z, tau, lambda x: penalty(x, 0.4))
    cost = (found - z) ** 2 / (2 * tau) + penalty(found, 0.4)
    assert (cost - least).max() <= 1e-12
    assert (found - best).abs().max() <= STEP / 2 + 1e-12


@pytest.mark.parametrize("tau", [0.02, 0.5, 1.19, 1.2, 1.3, 1.5, 2.5, 3.1, 3.3, 6.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_map_with_one_number_is_the_brute_force_minimiser(kind: str, tau: float) -> None:
    z = torch.linspace(-REACH + 0.013, REACH - 0.02, COUNT, dtype=torch.float64)
    found = z.clone()

    term(kind, [found], **KINDS[kind][0]).shrink(0.4, 1.0, one_number(tau))

    _check(kind, z, torch.full_like(z, tau), found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_with_a_number_for_each_value_is_the_brute_force_minimiser(kind: str) -> None:
    z = torch.linspace(-REACH + 0.013, REACH - 0.02, 12 * COUNT, dtype=torch.float64)
    tau = torch.logspace(-3, 1.2, COUNT, dtype=torch.float64).repeat(12)
    found = z.clone()

    term(kind, [found], **KINDS[kind][0]).shrink(0.4, 1.0, per_value(tau))

    for start in range(0, len(z), COUNT):
        part = slice(start, start + COUNT)
        _check(kind, z[part], tau[part], found[part])


@pytest.mark.parametrize("metric", ["one_number", "per_value"])
@pytest.mark.parametrize("kind", KINDS)
def test_in_float32_a_map_is_what_it_is_in_float64_and_zero_stays_zero(kind: str, metric: str) -> None:
    # Thresholds down to the smallest numbers of float32, as where Adam has hardly seen a gradient or seen a huge one.
    z = torch.cat([torch.zeros(80), torch.linspace(-2.9, 2.7, 80), torch.tensor([3e-38, -1e-30, 1e-20, 1e20] * 20)])
    tau = torch.cat([torch.zeros(1), torch.logspace(-38, 6, 79)]).repeat(3) if metric == "per_value" else torch.full_like(z, 0.3)
    single, double = z.clone(), z.double()
    lay = (per_value(tau), per_value(tau.double())) if metric == "per_value" else (one_number(0.3), one_number(0.3))

    term(kind, [single], **KINDS[kind][0]).shrink(0.4, 1.0, lay[0])
    term(kind, [double], **KINDS[kind][0]).shrink(0.4, 1.0, lay[1])

    assert ((single - double).abs() <= 1e-5 * z.abs() + 1e-37).all()
    assert not single[:80].any()
