"""One attempt at a job, from the claim to the last word about it: drive the trainer, renew the lease, commit."""

import queue
import shutil
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import structlog
from pydantic import ValidationError

from contract import events
from contract.artifacts import Artifacts
from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError, GoneError, LostLeaseError, NotFoundError, StoreUnavailableError
from contract.events import FailureCode
from contract.job import Job, JobState
from contract.settings import Settings
from contract.spec import JobSpec
from contract.store import Store, checkpoints
from worker import ending, orders, storage
from worker.carrier import Carrier
from worker.ending import Stopping
from worker.process import Died, Trainer
from worker.tenure import Tenure
from worker.watchdog import Watchdog

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Attempt:
    """The work on one claim. `run` returns when the trainer is idle, or dead, and the store knows how the attempt ended."""

    def __init__(
        self, job: Job, trainer: Trainer, store: Store, artifacts: Artifacts, settings: Settings, draining: threading.Event
    ) -> None:
        self.trainer = trainer
        self._tenure = Tenure(job, store, settings.lease_seconds, draining)
        self._store, self._artifacts, self._settings, self._draining = store, artifacts, settings, draining
        self._scratch = settings.scratch_folder.absolute() / f"{job.id}-{job.fence}"
        self._watchdog = Watchdog(settings.stall_seconds)
        self._is_told = False
        """Whether the trainer knows of the job."""
        self._stopping: Stopping | None = None
        self._unstored = self._hung = ""
        """What there is to say of a checkpoint that could not be stored, and of a trainer that hung."""
        self._stop_by = float("inf")
        self._began_at = monotonic()
        self._start_seconds = 0.0

    def run(self) -> None:
        """Train until something ends the attempt, and commit that end. Raises nothing: what goes wrong is written down."""
        try:
            last = self._train()
            self._tenure.steadily(lambda: self._conclude(last))
        except (LostLeaseError, NotFoundError, StoreUnavailableError) as error:
            log.warning("attempt dropped", job=self._tenure.job.id, fence=self._tenure.lease.fence, cause=str(error))
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _train(self) -> events.Event | Died:
        """The last word on the job: the trainer's, or ours where it was not told of the job at all."""
        try:
            order = self._prepare()
        except ValidationError as error:
            message = f"the spec is not one of this version's: {error.error_count()} faults"
            return _failed(FailureCode.SPEC_INVALID, message, "submit the job anew; /v1/jobs/validate tells what has changed")
        except (ArtifactCorruptError, GoneError) as error:
            return _failed(FailureCode.ARTIFACT_CORRUPT, str(error), "submit the job anew, and check the disk of the artifact store")
        except (ArtifactsUnavailableError, OSError) as error:
            if self._stopping is None:
                hint = "the job is tried again; check the artifact store and the scratch folder"
                return _failed(FailureCode.DEPENDENCY_DOWN, str(error), hint)
            log.warning("its checkpoint was not fetched to the end", job=self._tenure.job.id, cause=str(error))
        if self._stopping is not None:  # while its checkpoint was fetched
            return events.Stopped(step=self._tenure.job.step)
        self.trainer.tell(order)
        self._is_told = True
        return self._drive()

    def _prepare(self) -> orders.Train:
        job = self._tenure.job
        storage.clear_scratch(self._scratch.parent, job, self._settings.garbage_seconds)
        self._scratch.mkdir(parents=True)
        kept = self._tenure.steadily(lambda: checkpoints.to_resume(self._store, job))
        begun_with = self._tenure.steadily(lambda: checkpoints.begun_with_epochs(self._store, job, kept))
        fetch = Carrier(lambda: storage.fetch_newest(self._artifacts, job, kept, self._scratch))
        folder, broken = self._meanwhile(fetch, lambda: self._stopping is not None)
        for sentence in broken:
            self._tenure.news.warn(sentence)
        return orders.Train(
            job_id=job.id,
            weights=None if folder else self._weights(job),
            spec=JobSpec.model_validate(job.spec),
            scratch=str(self._scratch),
            checkpoint=str(folder) if folder else None,
            checkpoint_seconds=self._settings.checkpoint_seconds,
            checkpoint_share=self._settings.checkpoint_share,
            begun_with_epochs=begun_with,
        )

    def _weights(self, job: Job) -> str | None:
        """Where those lie that the job starts from, if it has no checkpoint of its own to go on from."""
        start = self._tenure.steadily(lambda: checkpoints.to_start_from(self._store, job))
        if start is None:
            return None
        fetch = Carrier(lambda: storage.fetch_weights(self._artifacts, start, self._scratch / "weights"))
        return str(self._meanwhile(fetch, lambda: self._stopping is not None))

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
                    log.warning("the trainer answered a stop that this attempt did not ask for", job=self._tenure.job.id)
                case events.Finished() | events.Failed() | events.Stopped() | Died():
                    return event
                case events.CheckpointWritten():
                    self._keep(event)
                case events.Started():
                    self._start_seconds = monotonic() - self._began_at
                    self._tenure.news.add(event)
                case _:
                    self._tenure.news.add(event)

    def _watch(self) -> None:
        """End a trainer that hangs, once its stack is in the log: `Died` is heard next."""
        if self._stopping is None and self._watchdog.is_due:
            self._stopping = Stopping.STALLED
            self._hung = f"the trainer gave no sign of life for {self._watchdog.limit_seconds:g} s and was killed"
            stack = self.trainer.dump()
            self.trainer.kill()
            log.error("trainer hangs", job=self._tenure.job.id, cause=self._hung, stack=stack)
            self._tenure.news.warn(self._hung, {"stack": stack.splitlines()})

    def _renew(self) -> None:
        """Prolong the lease, and act on what the answer says."""
        if monotonic() > self._stop_by:
            self.trainer.kill()  # and the lease is renewed: the job is ours until its end is written down
        if self._stopping is Stopping.DISOWNED:
            return
        try:
            self._tenure.renew()
        except StoreUnavailableError as error:
            log.warning("no renewal", job=self._tenure.job.id, cause=str(error))
            if self._tenure.is_cut_off:
                self._stop(Stopping.DISOWNED, save=False)
        except (LostLeaseError, NotFoundError):
            self._stop(Stopping.DISOWNED, save=False)
        else:
            self._hear(self._tenure.job)

    def _hear(self, job: Job) -> None:
        if job.state is not JobState.RUNNING:
            self._stop(Stopping.ASKED)
        elif job.deadline_at is not None and job.updated_at > job.deadline_at:
            self._stop(Stopping.OVERTIME)
        elif self._draining.is_set():
            self._stop(Stopping.DRAINING)

    def _stop(self, why: Stopping, *, save: bool = True) -> None:
        # A cancel outranks a shutdown that was under way; losing the lease outranks everything.
        if self._stopping is None:
            self._stopping = why
            if self._is_told:
                self._stop_by = monotonic() + self._settings.trainer_stop_seconds
                self.trainer.tell(orders.Stop(job_id=self._tenure.job.id, save=save))
        elif why in {Stopping.ASKED, Stopping.DISOWNED} and self._stopping is not Stopping.DISOWNED:
            self._stopping = why

    def _keep(self, written: events.CheckpointWritten) -> None:
        """Store a checkpoint's bytes, then point the job at them. One that cannot be stored ends the attempt, not the job."""
        self._renew()  # what came before the checkpoint is told before it
        if self._stopping is Stopping.DISOWNED or self._unstored:
            return
        tenure = self._tenure
        try:
            upload = Carrier(lambda: storage.upload(self._artifacts, tenure.lease, self._scratch, written))
            draft = self._meanwhile(upload, self._is_pointless)
            tenure.job = tenure.steadily(lambda: checkpoints.record(self._store, tenure.lease, draft), self._settings.lease_seconds)
        except (LostLeaseError, NotFoundError):
            self._stop(Stopping.DISOWNED, save=False)
        except (ArtifactsUnavailableError, ArtifactCorruptError, StoreUnavailableError) as error:
            log.error("checkpoint not stored", job=tenure.job.id, step=written.step, cause=str(error))
            self._unstored = f"the checkpoint after step {written.step} could not be stored: {error}"
            self._stop(Stopping.UNSTORED, save=False)
        self._watchdog.forgive()

    def _conclude(self, last: events.Event | Died) -> None:
        """Commit how the attempt ended."""
        tenure = self._tenure
        if self._stopping is not Stopping.DISOWNED:
            if isinstance(last, Died) and last.tail and self._stopping is None:
                tenure.news.last_words(last.cause, last.tail)
            tenure.tell_all()
        is_draining = self._draining.is_set()
        end = ending.decide(tenure.job, last, self._stopping, self._unstored, self._hung, is_draining=is_draining)
        if isinstance(last, Died):
            log.error("trainer died", job=tenure.job.id, cause=last.cause, tail=last.tail)
        ending.commit(self._store, tenure.lease, tenure.job, end, self._start_seconds)

    def _is_pointless(self) -> bool:
        """Whether a checkpoint that is being stored is of no use any more: the job is another's, or over."""
        return self._stopping is Stopping.DISOWNED or (self._stopping is Stopping.OVERTIME and monotonic() > self._stop_by)

    def _meanwhile(self, carrier: Carrier[T], is_pointless: Callable[[], bool]) -> T:
        """What the carrier brings, the lease renewed while it is under way. One that hangs, or is not waited for any more, is left.

        Raises ArtifactsUnavailableError for one that was left, and whatever the carrier met.
        """
        give_up_at = monotonic() + self._settings.stall_seconds
        while not carrier.is_done(self._settings.renew_seconds):
            self._renew()
            if is_pointless():
                raise ArtifactsUnavailableError("the artifact store was not waited for any longer")
            if monotonic() > give_up_at:
                raise ArtifactsUnavailableError(f"the artifact store did not come to an end within {self._settings.stall_seconds:g} s")
        return carrier.brought()


def _failed(code: FailureCode, message: str, hint: str) -> events.Failed:
    return events.Failed(code=code, message=message, hint=hint, step=0)
