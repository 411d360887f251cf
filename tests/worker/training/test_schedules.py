"""A learning rate is a function of the step, and torch's own where torch has the schedule."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch.optim import lr_scheduler

from contract import events
from contract.spec import schedules
from tests.worker.training import jobs
from worker.training.schedules import Watched, factor, watch

SCHEDULE: TypeAdapter[schedules.Schedule] = TypeAdapter(schedules.Schedule)


def _factors(schedule: schedules.Schedule) -> list[float]:
    return [factor(schedule, step, steps=10, steps_per_epoch=5) for step in range(10)]


def test_a_constant_rate_stays() -> None:
    assert _factors(schedules.Constant()) == [1.0] * 10


def test_a_warm_up_rises_linearly_from_its_first_share_to_the_whole() -> None:
    assert _factors(schedules.Constant(warmup_epochs=0.8)) == [0.25, 0.5, 0.75, 1.0, 1, 1, 1, 1, 1, 1]


def test_a_cosine_falls_from_the_whole_to_its_floor_at_the_last_step() -> None:
    found = _factors(schedules.Cosine(min_factor=0.1))

    assert (found[0], found[-1]) == (1.0, pytest.approx(0.1))
    assert found == sorted(found, reverse=True)
    assert found[4] + found[5] == pytest.approx(1.1), "half a cosine is symmetric about its middle"


def test_a_cosine_takes_the_steps_that_its_warm_up_leaves() -> None:
    found = _factors(schedules.Cosine(warmup_epochs=1))

    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert (found[5], found[-1]) == (1.0, pytest.approx(0.0))


@pytest.mark.parametrize("schedule", [schedules.Cosine(), schedules.Cosine(warmup_epochs=1)], ids=["no_warmup", "all_but_one"])
def test_a_fall_of_a_single_step_is_no_division_by_zero(schedule: schedules.Schedule) -> None:
    steps = 1 + round(schedule.warmup_epochs * 5)

    assert factor(schedule, steps - 1, steps=steps, steps_per_epoch=5) == 1.0


# Against torch's own schedulers, stepwise: 4 epochs of 5 steps, the first of them a warm-up where there is one.
STEPS, PER_EPOCH, LR = 20, 5, 0.7


def _sgd() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)


def _theirs(optimizer: torch.optim.SGD, scheduler: Any, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"] / LR)
        optimizer.step()
        scheduler.step()
    return found


TORCHS: dict[str, tuple[dict[str, Any], Callable[[torch.optim.SGD, int], Any]]] = {
    "constant": ({"kind": "constant"}, lambda o, n: lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": ({"kind": "step", "step_epochs": 1, "gamma": 0.3}, lambda o, n: lr_scheduler.StepLR(o, PER_EPOCH, gamma=0.3)),
    "cosine": ({"kind": "cosine", "min_factor": 0.1}, lambda o, n: lr_scheduler.CosineAnnealingLR(o, n - 1, eta_min=0.1 * LR)),
    "one_cycle": (
        {"kind": "one_cycle", "pct_start": 0.37, "div_factor": 10.0, "final_div_factor": 50.0},
        lambda o, n: lr_scheduler.OneCycleLR(o, LR, n, pct_start=0.37, div_factor=10, final_div_factor=50, cycle_momentum=False),
    ),
}


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("warmup_epochs", [0, 1])
def test_a_schedule_is_torchs_own_on_the_steps_that_its_warm_up_leaves(name: str, warmup_epochs: int) -> None:
    fields, scheduler = TORCHS[name]
    schedule = SCHEDULE.validate_python(fields | {"warmup_epochs": warmup_epochs})
    left, optimizer = STEPS - warmup_epochs * PER_EPOCH, _sgd()

    found = [factor(schedule, step, STEPS, PER_EPOCH) for step in range(STEPS)]

    assert found[: STEPS - left] == pytest.approx([(step + 1) / 5 for step in range(STEPS - left)], rel=1e-15)
    assert found[STEPS - left :] == pytest.approx(_theirs(optimizer, scheduler(optimizer, left), left), rel=1e-12, abs=1e-12)


def test_every_schedule_is_compared_with_torchs() -> None:
    assert {member.model_fields["kind"].default for member in get_args(get_args(schedules.Schedule)[0])} == {*TORCHS, "plateau"}


VALUES = [1.0, 0.9, 0.9, 0.89, 0.95, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.2, 0.3, 0.3, 0.3, 0.3, 0.19999, 0.3, 0.3, 0.3, 0.3, 0.3]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("threshold", "threshold_mode"), [(1e-4, "rel"), (0.05, "rel"), (0.05, "abs")])
@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (1, 2), (2, 1)])
@pytest.mark.parametrize("first", [None, math.nan], ids=["finite", "first_is_nan"])
def test_plateau_is_torchs_own(mode: Any, threshold: float, threshold_mode: Any, patience: int, cooldown: int, first: float | None) -> None:
    told: dict[str, Any] = {"factor": 0.5, "patience": patience, "threshold": threshold, "threshold_mode": threshold_mode}
    schedule = SCHEDULE.validate_python({"kind": "plateau", "mode": mode, "cooldown": cooldown, "min_factor": 0.05, **told})
    optimizer = _sgd()
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, mode, cooldown=cooldown, min_lr=0.05 * LR, **told)
    values = VALUES if first is None else [first, *VALUES]
    watched, found, expected = Watched(), [], []
    for epoch, value in enumerate(values if mode == "min" else [1 - value for value in values]):
        theirs.step(value)
        # Through a checkpoint after each epoch.
        watched = Watched.model_validate_json(watch(schedule, watched, {"val.loss": value}).model_dump_json())
        found.append(factor(schedule, (epoch + 1) * PER_EPOCH, STEPS, PER_EPOCH, watched))
        expected.append(optimizer.param_groups[0]["lr"] / LR)

    assert found == pytest.approx(expected, rel=1e-12)
    assert min(found) < 0.5


def test_a_warm_up_and_a_plateau_multiply() -> None:
    schedule = schedules.Plateau(warmup_epochs=1)

    assert factor(schedule, 1, STEPS, PER_EPOCH, Watched(factor=0.5)) == pytest.approx(0.5 * 2 / 5)


def test_a_job_watches_its_plateau_from_epoch_to_epoch(tmp_path: Path) -> None:
    # No epoch beats the one before it by nine tenths, so each but the first, which beats nothing at all, halves the rate.
    run = jobs.run(tmp_path, schedule={"kind": "plateau", "factor": 0.5, "patience": 0, "threshold": 0.9}, epochs=4)

    rates = [event.metrics["lr"] for event in jobs.said(run) if isinstance(event, events.EpochDone)]

    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4])
