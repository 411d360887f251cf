"""How a submission rings for a worker without waiting for the broker: in a thread of its own."""

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence

import structlog

MAX_WAITING = 1000
REST_SECONDS = 0.02
"""After a ring: what is submitted meanwhile is rung for together."""
_STOP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Bell:
    """Rings for what waits, and no oftener than there are workers. A ring that cannot be given is dropped: the reconciler rings again."""

    def __init__(self, pull: Callable[[Sequence[str]], object], workers: Callable[[], int] = lambda: MAX_WAITING) -> None:
        """`pull` tells the broker of these jobs; it may take its time and may fail. `workers` are those that may hear."""
        self._pull, self._workers = pull, workers
        self._waiting: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
        """Ring from now on; what was asked for before is rung for first."""
        self._thread.start()

    def ring(self, job_id: str) -> None:
        """Have the job rung for soon. Returns at once."""
        try:
            self._waiting.put_nowait(job_id)
        except queue.Full:
            log.debug("ring dropped, too many wait for the broker", job=job_id)

    def stop(self) -> None:
        """Ring no more. Waits a moment for a ring under way; one that hangs on a dead broker ends with the process."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):  # then the thread has rings to give and sees the event after the next one
            self._waiting.put_nowait(None)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            waiting = self._next()
            if not waiting:
                return
            try:
                self._pull(self._useful(waiting))
            except Exception as error:
                log.warning("ring failed", jobs=waiting, error=f"{type(error).__name__}: {error}")
            self._stopping.wait(REST_SECONDS)

    def _next(self) -> list[str]:
        """Every job that waits to be rung for, once one does; none when it is time to stop."""
        found = [self._waiting.get()]
        with contextlib.suppress(queue.Empty):
            while len(found) < MAX_WAITING:
                found.append(self._waiting.get_nowait())
        return [] if None in found else [job_id for job_id in found if job_id is not None]

    def _useful(self, waiting: list[str]) -> list[str]:
        # A worker that is woken does whatever waits: with more rings than workers, the rest would only be heard by busy ones, later,
        # each to look for a job that is long under way.
        return waiting if len(waiting) == 1 else waiting[: max(1, self._workers())]
