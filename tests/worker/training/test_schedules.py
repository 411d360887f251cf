"""A learning rate is a function of the step."""

import pytest

from contract.spec import schedules
from worker.training.schedules import factor


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
