"""The penalties are the formulas of their specs, reach the parameters they are laid on, and cost a few passes a step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.worker.training import jobs
from worker.training import penalties
from worker.training.fit import fit
from worker.training.penalties import sparse
from worker.training.run import Run

CNN = {"kind": "cnn", "channels": [4], "hidden": [5], "norm": "batch"}


def _run(tmp_path: Path, *terms: dict[str, Any], **fields: Any) -> Run:
    run = jobs.run(tmp_path, **{"model": CNN, "precision": "float64", "penalties": terms, **fields})
    for parameter in run.named.values():
        parameter.grad = torch.zeros_like(parameter)
    return run


@pytest.mark.parametrize("on", ["weights", "all"])
@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_a_coupled_penalty_adds_the_gradient_that_autograd_finds_for_it(tmp_path: Path, kind: str, on: str) -> None:
    term = {"kind": kind, "lambda": 0.03, "on": on} | ({"apply": "subgradient"} if kind == "l1" else {})
    run = _run(tmp_path, term)
    penalised = run.terms[0].parameters
    value = sum((0.03 * p.abs().sum() if kind == "l1" else 0.03 / 2 * p.square().sum() for p in penalised), torch.zeros(()))
    expected = torch.autograd.grad(value, penalised)

    penalties.add_gradients(run.terms, step=0)

    assert all(p.grad is not None and torch.equal(p.grad, g) for p, g in zip(penalised, expected, strict=True))
    assert penalties.values(run.terms, step=0) == {f"train.penalty.{kind}": pytest.approx(value.item())}


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("weights", ["conv1.weight", "fc1.weight", "fc2.weight"]),
        ("all", ["conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]),
        (["fc2", "norm1"], ["fc2.weight", "norm1.weight"]),
    ],
)
def test_a_penalty_lies_on_what_its_spec_says(tmp_path: Path, on: Any, expected: list[str]) -> None:
    run = _run(tmp_path, {"kind": "l2", "lambda": 1.0, "on": on})
    names = {id(parameter): name for name, parameter in run.named.items()}

    assert [names[id(parameter)] for parameter in run.terms[0].parameters] == expected


def test_a_strength_rises_linearly_from_zero_over_its_warm_up(tmp_path: Path) -> None:
    run = _run(tmp_path, {"kind": "l2", "lambda": 0.6, "warmup_epochs": 2})

    assert [run.terms[0].strength(step) for step in (0, 1, 3, 6, 7)] == pytest.approx([0.0, 0.1, 0.3, 0.6, 0.6])


def test_several_penalties_of_a_kind_are_reported_as_their_sum(tmp_path: Path) -> None:
    single = _run(tmp_path, {"kind": "l2", "lambda": 0.3})
    twice = _run(tmp_path, {"kind": "l2", "lambda": 0.1}, {"kind": "l2", "lambda": 0.2})

    assert penalties.values(twice.terms, 0) == {"train.penalty.l2": pytest.approx(penalties.values(single.terms, 0)["train.penalty.l2"])}


@pytest.mark.parametrize("per_value", [False, True], ids=["one_threshold", "a_threshold_per_value"])
def test_the_soft_threshold_is_the_minimiser_of_the_penalised_distance(*, per_value: bool) -> None:
    z = torch.linspace(-2, 2, 41, dtype=torch.float64)
    tau = torch.linspace(0.1, 0.9, 41, dtype=torch.float64) if per_value else torch.full((41,), 0.4, dtype=torch.float64)
    grid = torch.linspace(-2, 2, 40_001, dtype=torch.float64)
    cost = (grid - z[:, None]).square() / 2 + tau[:, None] * grid.abs()
    found = z.clone()

    sparse.soft_threshold_([found], [tau.clone()] if per_value else 0.4)

    assert (found - grid[cost.argmin(1)]).abs().max() <= 1e-4 / 2 + 1e-12
    assert torch.equal(found == 0, z.abs() <= tau)


def test_a_proximal_l1_gives_exact_zeros_and_a_subgradient_gives_none(tmp_path: Path) -> None:
    zeros = {}
    for apply in ("proximal", "subgradient"):
        penalty = {"kind": "l1", "lambda": 5e-2, "apply": apply}
        found = jobs.result(_run(tmp_path / apply, penalty, epochs=20))
        zeros[apply] = sum(layer.zeros for layer in found.layers)
        assert found.metrics["weights.zeros"] == zeros[apply] / sum(layer.size for layer in found.layers)

    assert zeros["proximal"] > 100
    assert zeros["subgradient"] == 0


class _Counting(TorchDispatchMode):
    """Counts what is dispatched: each a pass, and on a GPU a launch."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not str(func).startswith(("aten.detach", "aten.item", "aten._local_scalar")):
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("term", [{"kind": "l1"}, {"kind": "l1", "apply": "subgradient"}, {"kind": "l2"}], ids=str)
def test_a_penalty_adds_at_most_eight_operations_to_a_step(tmp_path: Path, optimizer: str, term: dict[str, Any]) -> None:
    run = _run(tmp_path, {**term, "lambda": 0.01}, optimizer={"kind": optimizer})
    going = fit(run)
    while run.step < 1:
        next(going)
    for parameter in run.named.values():
        parameter.grad = torch.zeros_like(parameter)

    with _Counting() as counting:
        penalties.add_gradients(run.terms, step=1)
        penalties.shrink(run.terms, 1, 0.1, run.metric)

    assert 0 < counting.count <= 8
