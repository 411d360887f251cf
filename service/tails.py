"""When a job that streams follow is read again: once a tick for all streams of this process together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

import anyio
import anyio.to_thread

from contract.errors import OperatorError
from contract.job import Job
from contract.store import Store, jobs, rows

POLL_SECONDS: Final = 0.25
BATCH: Final = 500
"""Events read at once, and the newest of a job that are held for its streams."""


class Tail:
    """The newest of one job, as last read. Only for the event loop that it was made in."""

    def __init__(self, store: Store, job: Job) -> None:
        self.job = job
        self.followers = 0
        self._store = store
        self._base = job.event_seq
        self._recent: list[rows.Event] = []
        """The events from seq `_base` + 1 on."""
        self._reading = anyio.Lock()
        self._tick = -1
        """When it was read last."""

    async def look(self) -> None:
        """Read the job and its new events, unless another stream did so in this tick."""
        now = int(monotonic() / POLL_SECONDS)
        async with self._reading:
            if self._tick < now:
                self._tick = now
                self._take(*await anyio.to_thread.run_sync(self._read))

    async def events(self, after: int) -> Sequence[rows.Event]:
        """Events above seq `after`, oldest first; not all of them where there are many."""
        if after >= self._base:
            return self._recent[after - self._base :]
        return await anyio.to_thread.run_sync(self._past, after)

    async def next_tick(self) -> None:
        """Wait for the next time to look. All streams wake together, so that one of them reads for the others."""
        await anyio.sleep(POLL_SECONDS - monotonic() % POLL_SECONDS)

    def _take(self, job: Job, new: Sequence[rows.Event]) -> None:
        # Here, in the event loop, and not in the thread that read: a stream would see the one list with the other's beginning.
        held = [*self._recent, *new]
        surplus = max(0, len(held) - BATCH)
        self.job, self._base, self._recent = job, self._base + surplus, held[surplus:]

    def _read(self) -> tuple[Job, Sequence[rows.Event]]:
        """The job and what is new of it. While the store is away there is nothing new: the streams go on."""
        newest = self._base + len(self._recent)
        try:
            now = jobs.get(self._store, self.job.tenant, self.job.id)
            return now, jobs.events(self._store, now.id, newest, BATCH) if now.event_seq > newest else []
        except OperatorError:
            return self.job, []

    def _past(self, after: int) -> list[rows.Event]:
        try:
            return jobs.events(self._store, self.job.id, after, BATCH)
        except OperatorError:
            return []


class Tails:
    """The tails of every job that some stream of this process follows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tails: dict[str, Tail] = {}

    @contextmanager
    def following(self, job: Job) -> Iterator[Tail]:
        """The job's tail, shared with whoever follows it already."""
        tail = self._tails.setdefault(job.id, Tail(self._store, job))
        tail.followers += 1
        try:
            yield tail
        finally:
            tail.followers -= 1
            if not tail.followers:
                del self._tails[job.id]
