"""How a submission rings for a worker without waiting for the broker: in a thread of its own."""

import contextlib
import queue
import threading
from collections.abc import Callable

import structlog

MAX_WAITING = 1000
_STOP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Bell:
    """Rings for jobs, one after the other. A ring that cannot be given is dropped: the reconciler rings again."""

    def __init__(self, pull: Callable[[str], object]) -> None:
        """`pull` tells the broker of one job; it may take its time and may fail."""
        self._pull = pull
        self._waiting: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
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
            job_id = self._waiting.get()
            if job_id is None:
                return
            try:
                self._pull(job_id)
            except Exception as error:
                log.warning("ring failed", job=job_id, error=f"{type(error).__name__}: {error}")
