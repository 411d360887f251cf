"""When jobs that streams follow are read again: once a tick, all of them together, for all streams of this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

import anyio
import anyio.to_thread

from contract.errors import NotFoundError, OperatorError
from contract.job import Job
from contract.store import Store, jobs, news, rows
from contract.store.news import Known, News

POLL_SECONDS: Final = 0.2
BATCH: Final = 500
"""Events of a job read at once, and the newest of it that are held for its streams."""


class Tail:
    """The newest of one job, as last read. Only for the event loop that it was made in."""

    def __init__(self, tails: "Tails", job: Job) -> None:
        self.job = job
        """The same object until the job changes."""
        self.followers = 0
        self.is_gone = False
        self._tails = tails
        self._base = job.event_seq
        self._recent: list[rows.Event] = []
        """The events from seq `_base` + 1 on."""

    @property
    def known(self) -> Known:
        """How far it was read, for the store to tell what is new."""
        newest = self._base + len(self._recent)
        return Known(self.job.version if newest == self.job.event_seq else None, newest)

    async def look(self) -> None:
        """See that the job is as it was read in this tick. Raises NotFoundError for one that is gone."""
        await self._tails.look()
        if self.is_gone:
            raise NotFoundError("job", self.job.id)

    async def events(self, after: int) -> Sequence[rows.Event]:
        """Events above seq `after`, oldest first; not all of them where there are many."""
        if after >= self._base:
            return self._recent[after - self._base :]
        return await anyio.to_thread.run_sync(self._tails.past, self.job.id, after)

    async def next_tick(self) -> None:
        """Wait for the next time to look. All streams wake together, so that one of them reads for the others."""
        await anyio.sleep(POLL_SECONDS - monotonic() % POLL_SECONDS)

    def take(self, found: News | None) -> None:
        """What was read, in the event loop: a stream would see the one list with the other's beginning."""
        if found is None:
            self.is_gone = True
            return
        held = [*self._recent, *found.events]
        surplus = max(0, len(held) - BATCH)
        self.job, self._base, self._recent = found.job, self._base + surplus, held[surplus:]


class Tails:
    """The tails of every job that some stream of this process follows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tails: dict[str, Tail] = {}
        self._reading = anyio.Lock()
        self._tick = -1
        """When all were read last."""

    @contextmanager
    def following(self, job: Job) -> Iterator[Tail]:
        """The job's tail, shared with whoever follows it already."""
        tail = self._tails.setdefault(job.id, Tail(self, job))
        tail.followers += 1
        try:
            yield tail
        finally:
            tail.followers -= 1
            if not tail.followers:
                del self._tails[job.id]

    async def look(self) -> None:
        """Read what is new of every job that is followed, unless some stream did so in this tick."""
        now = int(monotonic() / POLL_SECONDS)
        if self._tick >= now:
            return
        async with self._reading:
            if self._tick < now:
                known = {job_id: tail.known for job_id, tail in self._tails.items()}
                self._take(known, await anyio.to_thread.run_sync(self._read, known))
                self._tick = now

    def past(self, job_id: str, after: int) -> list[rows.Event]:
        """Events of before a job was followed, or of too long ago to be held. None while the store is away: the streams go on."""
        try:
            return jobs.events(self._store, job_id, after, BATCH)
        except OperatorError:
            return []

    def _read(self, known: dict[str, Known]) -> dict[str, News | None]:
        """While the store is away there is nothing new."""
        try:
            return news.of(self._store, known, BATCH)
        except OperatorError:
            return {}

    def _take(self, known: dict[str, Known], found: dict[str, News | None]) -> None:
        for job_id, what in found.items():
            tail = self._tails.get(job_id)
            # One that began anew while it was read starts from another place.
            if tail is not None and tail.known == known[job_id]:
                tail.take(what)
