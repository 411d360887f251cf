"""What each API process sets right by itself: expired leases, passed limits, unheard bells, checkpoints to drop."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from contract.artifacts import Artifacts
from contract.errors import OperatorError, StoreUnavailableError
from contract.job import Job
from contract.store import Store, audit, checkpoints, datasets, removal, sweep, workers
from service import garbage

log = structlog.get_logger(__name__)

_COLLECTIONS = 6
"""Looks for garbage within the time that it must be old: to look lists the whole store of artifacts."""


class Reconciler:
    """A loop of idempotent deeds; any number of processes may run it at once.

    Each deed stands alone: one that fails is logged, once for each new message, and the others go on.
    """

    def __init__(
        self,
        store: Store,
        artifacts: Artifacts,
        ring: Callable[[str], object],
        *,
        lease_seconds: float,
        every_seconds: float,
        garbage_seconds: float = 3600.0,
        purge_seconds: float = 86_400.0,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._artifacts, self._ring = store, artifacts, ring
        self._lease_seconds, self._every_seconds = lease_seconds, every_seconds
        self._stopping, self._clock = stopping, clock
        self._garbage_seconds, self._purge_seconds = garbage_seconds, purge_seconds
        self._may_expire_at = self._may_collect_at = clock()
        self._told: dict[str, str] = {}
        # Two loops: an artifact store that hangs, or takes its time, must keep nobody's job waiting.
        loops = {
            "reconciler": (self._expire, self._time_out, self._ring_again, self._forget),
            "tidier": (self._purge, self._purge_jobs, self._purge_datasets, self._collect),
        }
        self._deeds = tuple(loops.values())
        self._threads = [threading.Thread(target=self._run, args=[deeds], name=name, daemon=True) for name, deeds in loops.items()]

    def start(self) -> None:
        """Look from now on, in threads that end with the service."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the loops to end once `stopping` is set; one that hangs ends with the process."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def round(self) -> None:
        """Do every deed once."""
        for deeds in self._deeds:
            self._do(deeds)

    def _run(self, deeds: Sequence[Callable[[], None]]) -> None:
        while not self._stopping.wait(self._every_seconds):
            self._do(deeds)

    def _do(self, deeds: Sequence[Callable[[], None]]) -> None:
        for deed in deeds:
            if self._stopping.is_set():
                return
            self._try(deed)

    def _try(self, deed: Callable[[], None]) -> None:
        name = deed.__name__.strip("_")
        try:
            deed()
        except StoreUnavailableError as error:
            # While the database was away no worker could renew. Each is given a whole lease to be heard of again.
            self._may_expire_at = self._clock() + self._lease_seconds
            self._tell(name, error)
        except Exception as error:
            self._tell(name, error)
        else:
            if self._told.pop(name, None):
                log.info("reconciler is well again", deed=name)

    def _tell(self, name: str, error: Exception) -> None:
        message = f"{type(error).__name__}: {error}"
        if self._told.get(name) != message:
            self._told[name] = message
            log.error(
                "reconciler failed, it goes on trying", deed=name, error=message, exc_info=not isinstance(error, StoreUnavailableError)
            )

    def _expire(self) -> None:
        if self._clock() < self._may_expire_at:
            return
        for job in sweep.expire(self._store):
            _moved(job)

    def _time_out(self) -> None:
        for job in sweep.time_out(self._store):
            _moved(job)

    def _ring_again(self) -> None:
        for job in sweep.ring(self._store):
            self._ring(job.id)

    def _purge(self) -> None:
        failed: OperatorError | None = None
        for checkpoint_id, prefix in checkpoints.to_purge(self._store):
            try:
                self._artifacts.delete(prefix)
            except OperatorError as error:
                failed = error  # told at the end: one that cannot be removed must not keep the others
            else:
                checkpoints.purged(self._store, checkpoint_id)
        if failed:
            raise failed

    def _purge_datasets(self) -> None:
        """Remove the bytes of data sets that were deleted, and of uploads whose process was killed."""
        failed: OperatorError | None = None
        for dataset_id, prefix in datasets.to_purge(self._store, self._garbage_seconds):
            datasets.abandon(self._store, dataset_id)  # before its bytes go: an upload that is still under way must hear of it
            try:
                self._artifacts.delete(prefix)
            except OperatorError as error:
                failed = error
            else:
                datasets.purged(self._store, dataset_id)
        if failed:
            raise failed

    def _purge_jobs(self) -> None:
        """Remove what jobs deleted long ago have left: bytes first, since nobody would know of them once the row is gone."""
        failed: OperatorError | None = None
        for job_id in removal.to_purge(self._store, self._purge_seconds):
            try:
                self._artifacts.delete(job_id)
            except OperatorError as error:
                failed = error
            else:
                log.info("reconciler purges a deleted job", job=job_id)
                removal.purge(self._store, job_id)
        if failed:
            raise failed

    def _collect(self) -> None:
        """Remove bytes that no row names: an upload whose owner was killed, or lost its lease, before the row was written."""
        if self._clock() < self._may_collect_at:
            return
        self._may_collect_at = self._clock() + self._garbage_seconds / _COLLECTIONS
        audit.forget(self._store)
        self._artifacts.prune(self._garbage_seconds)
        for prefix in garbage.find(self._store, self._artifacts, self._garbage_seconds):
            log.info("reconciler removes bytes that no row names", prefix=prefix)
            self._artifacts.delete(prefix)

    def _forget(self) -> None:
        if any(not worker.is_fresh for worker in workers.listed(self._store)):
            workers.forget(self._store)


def _moved(job: Job) -> None:
    log.info("reconciler moved a job", job=job.id, status=job.state.value, reason=job.status_reason)
