"""When a job will start and how long it will take, as far as jobs like it have shown."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from contract.store import Store, backlog, workers
from contract.store.backlog import Kind, Place, Task

KEEP_SECONDS: Final = 2.0
"""How long one look serves: estimates are rough, and lists of jobs are read often."""
_LOOKED_AT: Final = 200
"""Jobs of the queue that are added up one by one; beyond them the rest is taken to be like these."""
_MEASURED: Final = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds an epoch took, the median over the latest jobs of a kind."""

    seconds: dict[Kind, float] = field(default_factory=dict)

    def of(self, kind: Kind) -> float | None:
        """Of this kind; None if no such job has succeeded lately."""
        return self.seconds.get(kind)

    def of_task(self, task: Task) -> float | None:
        """Seconds until it is done; one of an unknown kind is taken for a usual one, and None if nothing was measured at all."""
        known = self.of(task.kind) or (median(self.seconds.values()) if self.seconds else None)
        return None if known is None else known * task.epochs


@dataclass(frozen=True, slots=True)
class Look:
    """The queue at a moment."""

    pace: Pace
    queued: list[Task]
    held: list[Task]
    workers: int
    """Those that take jobs."""


class Forecast:
    """Estimates from a look at the queue that is renewed every few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._until = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether estimates come without a look at the store."""
        return self._look is not None and self._clock() < self._until

    def wait_seconds(self, store: Store, place: Place) -> float | None:
        """Until the job at this place starts; None where no worker is there or no job has succeeded yet."""
        look = self.look(store)
        if look.workers == 0:
            return None
        if place.jobs_ahead < look.workers - len(look.held):
            return 0.0
        ahead = [look.pace.of_task(task) for task in look.queued[: place.jobs_ahead]]
        held = [look.pace.of_task(task) for task in look.held]
        known = [seconds for seconds in ahead if seconds is not None]
        if len(known) < len(ahead) or None in held:
            return None
        beyond = (place.jobs_ahead - len(ahead)) * (sum(known) / len(known)) if known else 0.0
        return round((sum(known) + beyond + sum(seconds for seconds in held if seconds is not None)) / look.workers, 1)

    def look(self, store: Store) -> Look:
        with self._lock:
            if self._look is None or self._clock() >= self._until:
                self._look, self._until = _look(store), self._clock() + KEEP_SECONDS
            return self._look


def _look(store: Store) -> Look:
    there = [worker for worker in workers.listed(store) if worker.is_fresh and worker.state in {"idle", "busy"}]
    return Look(_pace(store), backlog.queued(store, _LOOKED_AT), backlog.held(store), len(there))


def _pace(store: Store) -> Pace:
    found: dict[Kind, list[float]] = defaultdict(list)
    for job in backlog.measured(store, _MEASURED):
        found[job.kind].append(job.seconds / job.epochs)
    return Pace({kind: median(seconds) for kind, seconds in found.items()})
