"""What the learning rate is at a step: a pure function of the step, and for `plateau` of what the epochs before it have shown."""

from math import cos, inf, pi
from typing import assert_never

from pydantic import BaseModel, ConfigDict

from contract.spec import schedules


class Watched(BaseModel):
    """What `plateau` remembers from epoch to epoch."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    factor: float = 1.0
    """What lr is multiplied by, warm-up aside."""
    best: float | None = None
    bad_epochs: int = 0
    cooling: int = 0
    """Epochs left of the cool-down."""


def factor(schedule: schedules.Schedule, step: int, steps: int, steps_per_epoch: int, watched: Watched | None = None) -> float:
    """What lr is multiplied by at `step` (from 0) of a job of `steps`."""
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    reduced = watched.factor if watched else 1.0
    if step < warmup:
        return reduced * (step + 1) / warmup
    # The last step has number steps - 1, hence the one less.
    done, last = step - warmup, steps - warmup - 1
    match schedule:
        case schedules.Constant():
            return 1.0
        case schedules.Step():
            return float(schedule.gamma ** (done // (schedule.step_epochs * steps_per_epoch)))
        case schedules.Cosine():
            return _half_cosine(1.0, schedule.min_factor, done, last)
        case schedules.OneCycle():
            return _one_cycle(schedule, done, last)
        case schedules.Plateau():
            return reduced
        case _:
            assert_never(schedule)


def looks_ahead(schedule: schedules.Schedule) -> bool:
    """Whether its value at a step depends on how many steps the whole job has."""
    return isinstance(schedule, schedules.Cosine | schedules.OneCycle)


def watch(schedule: schedules.Schedule, watched: Watched, metrics: dict[str, float]) -> Watched:
    """What is remembered after an epoch with these `metrics`: torch.optim.lr_scheduler.ReduceLROnPlateau's step."""
    if not isinstance(schedule, schedules.Plateau):
        return watched
    value = metrics[schedule.monitor]
    best = watched.best if watched.best is not None else inf if schedule.mode == "min" else -inf
    if _beats(schedule, value, best):
        best, bad_epochs = value, 0
    else:
        bad_epochs = watched.bad_epochs + 1
    if watched.cooling:
        return watched.model_copy(update={"best": best, "bad_epochs": 0, "cooling": watched.cooling - 1})
    if bad_epochs <= schedule.patience:
        return watched.model_copy(update={"best": best, "bad_epochs": bad_epochs})
    reduced = max(watched.factor * schedule.factor, schedule.min_factor)
    return Watched(factor=reduced, best=best, cooling=schedule.cooldown)


def _half_cosine(start: float, end: float, done: float, last: float) -> float:
    """From `start` at 0 to `end` at `last`; a way of a single step stays at its start."""
    return end + (start - end) * (1 + cos(pi * done / last)) / 2 if last > 0 else start


def _one_cycle(schedule: schedules.OneCycle, done: int, last: int) -> float:
    first = 1 / schedule.div_factor
    top = schedule.pct_start * (last + 1) - 1
    if done <= top:
        return _half_cosine(first, 1.0, done, top)
    # torch puts the top between two steps; where the rise has none, the fall begins a step before the first.
    return _half_cosine(1.0, first / schedule.final_div_factor, done - top, last - top)


def _beats(schedule: schedules.Plateau, value: float, best: float) -> bool:
    share, margin = (schedule.threshold, 0.0) if schedule.threshold_mode == "rel" else (0.0, schedule.threshold)
    return value < best * (1 - share) - margin if schedule.mode == "min" else value > best * (1 + share) + margin
