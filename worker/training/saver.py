"""When a run is saved: copied at a step boundary, written by a thread beside the training, at a pace that costs it little."""

from collections.abc import Generator, Iterator
from contextlib import closing
from math import inf
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from contract import events
from worker.training import checkpoint
from worker.training.run import Run
from worker.training.said import Said
from worker.training.waiting import Waiting

T = TypeVar("T")

INTERIM_SECONDS = 300.0
"""How much work may be lost, unless the order says otherwise."""
SHARE = 0.02
"""Of the time, that writing may take. What is due is copied each time: with epochs of a millisecond that costs more than writing does."""
WAITING_BYTES = 256 << 20
"""Of host memory, that snapshots may wait in; above it training waits for the writer, whatever its pace."""


class Saver:
    """Saves one run. At most one write is under way; snapshots that are due meanwhile wait, and are written oldest first.

    After a write that took w seconds, copies included, the next begins no sooner than w/`share` after it began. What the policy does
    not want any more by then is never written. A write that failed is raised at the next step, and nothing is written after it.
    """

    def __init__(
        self, run: Run, interim_seconds: float = INTERIM_SECONDS, *, share: float = SHARE, most_bytes: int = WAITING_BYTES
    ) -> None:
        self._run, self._interim_seconds, self._share, self._most_bytes = run, interim_seconds, share, most_bytes
        self._waiting = Waiting(run.spec.checkpoints)
        self._write: _Write | None = None
        self._written: list[events.CheckpointWritten] = []
        self._next_at, self._is_urgent = -inf, False
        self._copying_seconds = 0.0
        self._taken_at, self._taken_step = monotonic(), run.step

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Forgets what waits, and lets the write under way come to its end: its folder may be removed next."""
        self._waiting.clear()
        if self._write:
            self._write.join()

    def alongside(self, training: Generator[Said, None, T]) -> Generator[Said, None, T]:
        """What `training` says and gives back, and between its words each checkpoint that has been written.

        When it ends, or fails, what waits is written first.
        """
        with closing(training):
            while True:
                try:
                    said = next(training)
                    self._take_interim()
                except StopIteration as end:
                    yield from self.flush()
                    value: T = end.value
                    return value
                except Exception:
                    yield from self.flush()
                    raise
                yield said
                yield from self._attend()

    def take(self) -> None:
        """Keeps the epoch just finished, as the policy wants it. Raises DivergedError."""
        self._keep(f"step-{self._run.step:08d}", interim=False)

    def hurry(self) -> None:
        """From now on nothing waits for its time: training has come to its end."""
        self._is_urgent = True
        self._begin()

    def flush(self) -> Iterator[events.CheckpointWritten]:
        """Writes all that waits, now. Raises OSError."""
        while self._write or self._waiting:
            self._finish()
            self._begin()
            yield from self._news()
        yield from self._news()

    def end(self) -> Iterator[events.CheckpointWritten]:
        """For a run that is to be left here: all that waits, and last the run as it stands. Raises DivergedError and OSError."""
        yield from self.flush()
        self._keep(f"step-{self._run.step:08d}-end", interim=True)
        yield from self.flush()

    def _attend(self) -> Iterator[events.CheckpointWritten]:
        """Looks after the writer, between two steps."""
        if self._write and not self._write.is_alive():
            self._finish()
        if self._waiting and not self._write and (self._is_urgent or monotonic() >= self._next_at):
            self._begin()
        yield from self._news()

    def _take_interim(self) -> None:
        """Keeps the run in mid-epoch where more work than may be lost has been done since it was last kept."""
        if monotonic() - self._taken_at < self._interim_seconds or self._run.standing.checkpoint_due:
            return
        if self._run.step > self._taken_step:
            self._keep(f"step-{self._run.step:08d}-interim", interim=True)

    def _keep(self, name: str, *, interim: bool) -> None:
        began = monotonic()
        with self._run.watch.measure("checkpoint"):
            self._waiting.add(checkpoint.take(self._run, name, interim=interim))
        self._taken_at, self._taken_step = monotonic(), self._run.step
        self._copying_seconds += self._taken_at - began
        while self._waiting.size_bytes > self._most_bytes:
            self._finish()
            self._begin()

    def _begin(self) -> None:
        """Begins the next write, if one waits and none is under way."""
        if self._waiting and not self._write:
            self._write = _Write(self._waiting.oldest(), self._run)
            self._write.start()

    def _finish(self) -> None:
        """Waits for the write under way."""
        if not (write := self._write):
            return
        with self._run.watch.measure("checkpoint"):
            write.join()
        self._write = None
        if write.error:
            self._waiting.clear()
            raise write.error
        assert write.written
        self._written.append(write.written)
        self._next_at = write.began_at + (write.seconds + self._copying_seconds) / self._share
        self._copying_seconds = 0.0

    def _news(self) -> list[events.CheckpointWritten]:
        news, self._written = self._written, []
        return news


class _Write(Thread):
    """One snapshot on its way to the disk. It computes nothing with torch, whose threads belong to the training."""

    def __init__(self, snapshot: checkpoint.Snapshot, run: Run) -> None:
        # A daemon: the process may end in mid-write, as by a kill, and the draft is then nobody's checkpoint.
        super().__init__(name="checkpoint", daemon=True)
        self._snapshot, self._scratch = snapshot, run.scratch
        self.began_at, self.seconds = monotonic(), 0.0
        self.written: events.CheckpointWritten | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.written = checkpoint.put(self._snapshot, self._scratch)
        except Exception as error:
            self.error = error
        self.seconds = monotonic() - self.began_at
