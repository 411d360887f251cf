"""When a trainer counts as hung: it has given no sign of life for far longer than one of its steps takes."""

from collections import deque
from collections.abc import Callable
from statistics import median
from time import monotonic

from contract import events

MEDIAN_STEPS = 20.0
"""So many median steps without a sign of life are a hang, where they take longer than the operator's limit."""
_REMEMBERED = 50


class Watchdog:
    """Hears what a trainer says, and tells when it has said nothing for too long."""

    def __init__(self, stall_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._stall_seconds, self._clock = stall_seconds, clock
        self._at = clock()
        self._step: tuple[int, float] | None = None
        self._steps: deque[float] = deque(maxlen=_REMEMBERED)

    def hear(self, event: events.Event) -> None:
        """A sign of life; Progress tells besides how long a step takes."""
        self._at = self._clock()
        if not isinstance(event, events.Progress):
            return
        if self._step and event.step > self._step[0]:
            self._steps.append((self._at - self._step[1]) / (event.step - self._step[0]))
        self._step = (event.step, self._at)

    def forgive(self) -> None:
        """Nobody listened for a while: what the trainer said meanwhile is heard late."""
        self._at = self._clock()

    @property
    def limit_seconds(self) -> float:
        """How long the silence may last now."""
        return max(self._stall_seconds, MEDIAN_STEPS * median(self._steps) if self._steps else 0.0)

    @property
    def is_due(self) -> bool:
        """Whether nothing was heard of the trainer for longer than the limit."""
        return self._clock() - self._at > self.limit_seconds
