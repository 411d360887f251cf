"""One attempt at a job, from the claim to the last word about it: drive the trainer, renew the lease, commit."""

import queue
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from enum import StrEnum
from time import monotonic, sleep
from typing import TypeVar

import structlog
from pydantic import ValidationError

from contract import events, lifecycle
from contract.artifacts import Artifacts
from contract.errors import (
    ArtifactCorruptError,
    ArtifactsUnavailableError,
    LostLeaseError,
    NotFoundError,
    StateConflictError,
    StoreUnavailableError,
)
from contract.events import RETRYABLE, FailureCode
from contract.job import Job, JobState, Json
from contract.lifecycle import Failure
from contract.settings import Settings
from contract.spec import JobSpec
from contract.store import Store, checkpoints, leases
from contract.store.leases import Lease
from worker import orders, storage
from worker.process import Died, Trainer
from worker.telling import News
from worker.watchdog import Watchdog

T = TypeVar("T")
log = structlog.get_logger(__name__)

REST_SECONDS = 15.0
"""How long a job rests after a first failure that lies in its surroundings: a full disk, an artifact store that is down."""
DRAINING_SECONDS = 10.0
"""How long a worker that shuts down waits for a database that is away."""


class Stopping(StrEnum):
    """Why the trainer was told to stop."""

    ASKED = "asked"
    """A client cancels or pauses the job."""
    DRAINING = "draining"
    """The worker is shutting down."""
    OVERTIME = "overtime"
    """The job has run for longer than it may."""
    DISOWNED = "disowned"
    """The lease is lost: what the trainer does is nobody's business any more."""
    UNSTORED = "unstored"
    """A checkpoint could not be stored."""
    STALLED = "stalled"
    """It gives no sign of life: it was not told but killed."""


class Attempt:
    """The work on one claim. `run` returns when the trainer is idle, or dead, and the store knows how the attempt ended."""

    def __init__(
        self, job: Job, trainer: Trainer, store: Store, artifacts: Artifacts, settings: Settings, draining: threading.Event
    ) -> None:
        self.job = job
        self.lease = Lease(job.id, job.fence)
        self.trainer = trainer
        self._store, self._artifacts, self._settings, self._draining = store, artifacts, settings, draining
        self._scratch = settings.scratch_folder.absolute() / f"{job.id}-{job.fence}"
        self._news = News(dict(job.latest_metrics))
        self._stopping: Stopping | None = None
        self._stop_by = float("inf")
        self._renewed_at = self._began_at = monotonic()
        self._start_seconds = 0.0
        self._unstored = ""
        self._watchdog = Watchdog(settings.stall_seconds)

    def run(self) -> None:
        """Train until something ends the attempt, and commit that end. Raises nothing: what goes wrong is written down."""
        try:
            last = self._train()
            self._steadily(lambda: self._conclude(last))
        except (LostLeaseError, NotFoundError, StoreUnavailableError) as error:
            log.warning("attempt dropped", job=self.job.id, fence=self.lease.fence, cause=str(error))
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _train(self) -> events.Event | Died:
        """The last word on the job: the trainer's, or ours where its checkpoint or its scratch folder cannot be had."""
        try:
            self._prepare()
        except ValidationError as error:
            message = f"the spec is not one of this version's: {error.error_count()} faults"
            return _failed(FailureCode.SPEC_INVALID, message, "submit the job anew; /v1/jobs/validate tells what has changed")
        except ArtifactCorruptError as error:
            return _failed(FailureCode.ARTIFACT_CORRUPT, str(error), "submit the job anew, and check the disk of the artifact store")
        except (ArtifactsUnavailableError, OSError) as error:
            return _failed(
                FailureCode.DEPENDENCY_DOWN, str(error), "the job is tried again; check the artifact store and the scratch folder"
            )
        return self._drive()

    def _prepare(self) -> None:
        # What attempts of this job left that were killed here: nobody owns it, and it is gigabytes for a large network.
        for left in self._scratch.parent.glob(f"{self.job.id}-*"):
            shutil.rmtree(left, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        kept = self._steadily(lambda: checkpoints.to_resume(self._store, self.job))
        folder, broken = self._meanwhile(lambda: storage.fetch_newest(self._artifacts, self.job, kept, self._scratch))
        for sentence in broken:
            self._news.warn(sentence)
        spec = JobSpec.model_validate(self.job.spec)
        checkpoint = str(folder) if folder else None
        self.trainer.tell(
            orders.Train(
                job_id=self.job.id,
                spec=spec,
                scratch=str(self._scratch),
                checkpoint=checkpoint,
                checkpoint_seconds=self._settings.checkpoint_seconds,
            )
        )

    def _drive(self) -> events.Event | Died:
        """Listen to the trainer and renew the lease until the trainer has said its last word on the job."""
        self._watchdog.forgive()
        next_renewal = monotonic()
        while True:
            try:
                event = self.trainer.heard.get(timeout=max(0.0, next_renewal - monotonic()))
            except queue.Empty:
                self._watch()
                self._renew()
                next_renewal = monotonic() + self._settings.renew_seconds
                continue
            if not isinstance(event, Died):
                self._watchdog.hear(event)
            match event:
                case events.Stopped() if self._stopping is None:
                    log.warning("the trainer answered a stop that this attempt did not ask for", job=self.job.id)
                case events.Finished() | events.Failed() | events.Stopped() | Died():
                    return event
                case events.CheckpointWritten():
                    self._keep(event)
                case events.Started():
                    self._start_seconds = monotonic() - self._began_at
                    self._news.add(event)
                case _:
                    self._news.add(event)

    def _watch(self) -> None:
        """End a trainer that hangs, once its stack is in the log: `Died` is heard next."""
        if self._stopping is None and self._watchdog.is_due:
            self._stopping = Stopping.STALLED
            stack = self.trainer.dump()
            self.trainer.kill()
            log.error("trainer hangs", job=self.job.id, seconds=self._watchdog.limit_seconds, stack=stack)
            self._news.warn(self._hung(), {"stack": stack.splitlines()})

    def _hung(self) -> str:
        return f"the trainer gave no sign of life for {self._watchdog.limit_seconds:g} s and was killed"

    def _renew(self) -> None:
        if monotonic() > self._stop_by:
            self.trainer.kill()
            return
        if self._stopping is Stopping.DISOWNED:
            return
        try:
            self._tell()
        except StoreUnavailableError as error:
            log.warning("no renewal", job=self.job.id, cause=str(error))
            if monotonic() - self._renewed_at > self._settings.lease_seconds:
                self._stop(Stopping.DISOWNED, save=False)
        except (LostLeaseError, NotFoundError):
            self._stop(Stopping.DISOWNED, save=False)
        else:
            self._hear()

    def _tell(self) -> None:
        """Prolong the lease and have one batch of news written down."""
        batch = self._news.batch()
        self.job = leases.renew(
            self._store, self.lease, self._settings.lease_seconds, batch.report, batch.notes, batch.samples, batch.number
        )
        self._renewed_at = monotonic()
        self._news.told()

    def _hear(self) -> None:
        """Act on what the renewal brought back."""
        if self.job.state is not JobState.RUNNING:
            self._stop(Stopping.ASKED)
        elif self.job.deadline_at is not None and self.job.updated_at > self.job.deadline_at:
            self._stop(Stopping.OVERTIME)
        elif self._draining.is_set():
            self._stop(Stopping.DRAINING)

    def _stop(self, why: Stopping, *, save: bool = True) -> None:
        # A cancel outranks a shutdown that was under way; losing the lease outranks everything.
        if self._stopping is None:
            self._stop_by = monotonic() + self._settings.trainer_stop_seconds
            self.trainer.tell(orders.Stop(job_id=self.job.id, save=save))
            self._stopping = why
        elif why in {Stopping.ASKED, Stopping.DISOWNED} and self._stopping is not Stopping.DISOWNED:
            self._stopping = why

    def _keep(self, written: events.CheckpointWritten) -> None:
        """Store a checkpoint's bytes, then point the job at them. One that cannot be stored ends the attempt, not the job."""
        self._renew()  # what came before the checkpoint is told before it
        try:
            draft = self._meanwhile(lambda: storage.upload(self._artifacts, self.lease, self._scratch, written))
            self.job = self._steadily(lambda: checkpoints.record(self._store, self.lease, draft), self._settings.lease_seconds)
        except (LostLeaseError, NotFoundError):
            self._stop(Stopping.DISOWNED, save=False)
        except (ArtifactsUnavailableError, ArtifactCorruptError, StoreUnavailableError) as error:
            log.error("checkpoint not stored", job=self.job.id, step=written.step, cause=str(error))
            self._unstored = f"the checkpoint after step {written.step} could not be stored: {error}"
            self._stop(Stopping.UNSTORED, save=False)
        else:
            self._unstored = ""
        self._watchdog.forgive()

    def _conclude(self, last: events.Event | Died) -> None:
        """Commit how the attempt ended."""
        if self._stopping is Stopping.DISOWNED:
            # Where only the database was away the row is ours still, and the job need not wait to be taken for deserted.
            leases.release(self._store, self.lease, "its worker was cut off from the database for a whole lease")
            return
        while not self._news.is_all_told:
            self._tell()
        match last:
            case events.Finished() if not self._unstored:
                self._succeed(last.result)
            case events.Failed() if last.code in RETRYABLE:
                leases.release(self._store, self.lease, f"{last.message}; {last.hint}", REST_SECONDS)
            case events.Failed():
                leases.fail(self._store, self.lease, Failure(last.code, last.message, last.hint))
            case Died() if self._stopping is None and not self._draining.is_set():
                log.error("trainer died", job=self.job.id, cause=last.cause, tail=last.tail)
                leases.crash(self._store, self.lease, last.cause)
            case Died() if self._stopping is Stopping.STALLED:
                leases.crash(self._store, self.lease, self._hung(), FailureCode.STALLED)
            case _:
                self._give_up()

    def _succeed(self, result: events.Result) -> None:
        try:
            leases.succeed(self._store, self.lease, self._result(result))
        except StateConflictError:  # a cancel came between the last renewal and now
            leases.finish_cancel(self._store, self.lease)

    def _give_up(self) -> None:
        """The trainer stopped because we told it to."""
        match self._stopping:
            case Stopping.OVERTIME:
                leases.fail(self._store, self.lease, lifecycle.runtime_exceeded(self.job))
            case Stopping.UNSTORED:
                leases.release(self._store, self.lease, self._unstored, REST_SECONDS)
            case Stopping.DRAINING | None:
                leases.release(self._store, self.lease, "its worker is shutting down")
            case _:
                # Asked to cancel or to pause: the release of such a job is its end, or its rest.
                leases.release(self._store, self.lease, "stopped on request")

    def _result(self, result: events.Result) -> Json:
        body = result.model_dump(mode="python")
        queued = (self.job.started_at or self.job.created_at) - self.job.created_at
        body["timings"] = {"queue": queued, "start": self._start_seconds, **body["timings"]}
        lineage = {"spec_sha256": self.job.spec_sha256, "seed": self.job.spec["seed"], "attempts": self.job.attempt}
        return {
            **body,
            "best": self.job.best,
            "best_checkpoint_id": self.job.best_checkpoint_id,
            "last_checkpoint_id": self.job.checkpoint_id,
            **lineage,
        }

    def _meanwhile(self, deed: Callable[[], T]) -> T:
        """Do a deed that may take long, as to carry bytes, and renew the lease meanwhile."""
        with ThreadPoolExecutor(1, "carrier") as carrier:
            done = carrier.submit(deed)
            while not wait([done], timeout=self._settings.renew_seconds).done:
                self._renew()
            return done.result()

    def _steadily(self, deed: Callable[[], T], for_seconds: float = float("inf")) -> T:
        """Do the deed, again and again while the database is away: its guards make repeating harmless.

        A worker that is shutting down tries for a while only; the job's lease then runs out and another worker goes on.
        """
        began = monotonic()
        while True:
            try:
                return deed()
            except StoreUnavailableError as error:
                log.warning("the database is away; trying again", job=self.job.id, cause=str(error))
                if monotonic() - began > (min(for_seconds, DRAINING_SECONDS) if self._draining.is_set() else for_seconds):
                    raise
                sleep(1.0)


def _failed(code: FailureCode, message: str, hint: str) -> events.Failed:
    return events.Failed(code=code, message=message, hint=hint, step=0)
