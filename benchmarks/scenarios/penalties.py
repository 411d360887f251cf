"""What a penalty costs: the time of the tutorial's step with it over the time without, in paired runs."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, get_args

import torch

from benchmarks import figures, machine
from benchmarks.figures import Goal, Row
from benchmarks.ours import Steps
from benchmarks.scenarios import Size
from benchmarks.turns import turns
from contract.spec import JobSpec, penalties

TITLE = "What a penalty costs: time of the tutorial's step (batch 64) with it over the time without, in one process and in turn."
NEEDS_STACK = False
_KINDS: Final[tuple[str, ...]] = tuple(each.model_fields["kind"].default for each in get_args(get_args(penalties.Penalty)[0]))
_ELEMENTWISE: Final = ("l1", "l2", "decoupled_decay", "elastic_net", "mcp", "scad", "l_half", "l0")
_ASKED = {
    Size.SMOKE: (("l1",), ("adam",)),
    Size.QUICK: (("l1", "scad", "group_lasso"), ("adam",)),
    Size.FULL: (_KINDS, ("adam", "sgd")),
}
_ROUNDS = {Size.SMOKE: 2, Size.QUICK: 6, Size.FULL: 24}
_STEPS = {Size.SMOKE: 2, Size.QUICK: 10, Size.FULL: 20}


def run(size: Size) -> Iterator[Row]:
    """A row for each kind of penalty under each optimizer. The goal is that of the elementwise kinds."""
    torch.set_num_threads(machine.threads())
    kinds, optimizers = _ASKED[size]
    for kind in kinds:
        for optimizer in optimizers:
            cost = figures.spread(_costs(kind, optimizer, _ROUNDS[size], _STEPS[size]))
            yield Row(f"{kind}, {optimizer}", cost, "%", Goal("at most", 3) if kind in _ELEMENTWISE else None)


def _costs(kind: str, optimizer: str, rounds: int, steps: int) -> list[float]:
    """Of each round: (time with / time without) - 1, in per cent."""
    with TemporaryDirectory() as scratch:
        bare = Steps(_spec(optimizer, []), Path(scratch) / "bare")
        laden = Steps(_spec(optimizer, [_penalty(kind)]), Path(scratch) / "laden")
        bare.take(steps), laden.take(steps)
        costs = []
        for turn in turns([bare, laden], rounds):
            seconds = {each: each.take(steps) for each in turn}
            costs.append(100 * (seconds[laden] / seconds[bare] - 1))
    return costs


def _spec(optimizer: str, terms: list[dict[str, Any]]) -> JobSpec:
    data = {"kind": "fake", "train_rows": 6_400, "test_rows": 1, "validation_fraction": 0.0}
    return JobSpec.model_validate(
        {"dataset": data, "optimizer": {"kind": optimizer}, "penalties": terms, "epochs": 1000, "precision": "float32", "device": "cpu"}
    )


def _penalty(kind: str) -> dict[str, Any]:
    return {"kind": kind, "max_norm": 1.0} if kind == "max_norm" else {"kind": kind, "lambda": 1e-5}
