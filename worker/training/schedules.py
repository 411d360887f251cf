"""What the learning rate is at a step: a pure function, so that a schedule has no state to save."""

from math import cos, pi
from typing import assert_never

from contract.spec import schedules


def factor(schedule: schedules.Schedule, step: int, steps: int, steps_per_epoch: int) -> float:
    """What lr is multiplied by at `step` (from 0) of a job of `steps`."""
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    match schedule:
        case schedules.Constant():
            return 1.0
        case schedules.Cosine():
            # The last step has number steps - 1, hence the one less; a fall of a single step stays at the top.
            fallen = (step - warmup) / max(steps - warmup - 1, 1)
            return schedule.min_factor + (1 - schedule.min_factor) * (1 + cos(pi * fallen)) / 2
        case _:
            assert_never(schedule)
