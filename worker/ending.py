"""What an attempt's end makes of its job: decided from the trainer's last word and why it was told to stop, then committed."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from contract import events, lifecycle
from contract.errors import StateConflictError
from contract.events import RETRYABLE, FailureCode
from contract.job import Job, Json
from contract.lifecycle import Failure
from contract.store import Store, leases
from contract.store.leases import Lease
from worker.process import Died

REST_SECONDS = 15.0
"""How long a job rests after a first failure that lies in its surroundings: a full disk, an artifact store that is down."""


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


@dataclass(frozen=True, slots=True)
class Succeeded:
    """With a result."""

    result: events.Result


@dataclass(frozen=True, slots=True)
class Failed:
    """For a reason that another try would meet again."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Released:
    """By no fault of the job's, which goes on elsewhere or later; one that was asked to cancel or to pause ends, or rests."""

    reason: str
    rest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Crashed:
    """The trainer died; `code` is what the job fails with if that happens too often."""

    reason: str
    code: FailureCode = FailureCode.CRASH_LOOP


Ending = Succeeded | Failed | Released | Crashed


def decide(job: Job, last: events.Event | Died, stopping: Stopping | None, unstored: str, hung: str, *, is_draining: bool) -> Ending:
    """What becomes of the job after the trainer's last word. `unstored` names the checkpoint that could not be stored, `hung` says
    how long the trainer was silent; both are empty otherwise."""
    if stopping is Stopping.DISOWNED:
        # Refused where another attempt has the job. Where only the database was away it need not wait to be taken for deserted.
        return Released("its worker was cut off from the database for a whole lease")
    match last:
        case events.Finished() if not unstored:
            return Succeeded(last.result)
        case events.Failed() if last.code in RETRYABLE:
            return Released(f"{last.message}; {last.hint}", REST_SECONDS)
        case events.Failed():
            return Failed(Failure(last.code, last.message, last.hint))
        case Died() if stopping is Stopping.STALLED:
            return Crashed(hung, FailureCode.STALLED)
        case Died() if stopping is None and not is_draining:
            return Crashed(last.cause)
        case _:
            return _stopped(job, stopping, unstored)


def _stopped(job: Job, stopping: Stopping | None, unstored: str) -> Ending:
    match stopping:
        case Stopping.OVERTIME:
            return Failed(lifecycle.runtime_exceeded(job))
        case Stopping.UNSTORED:
            return Released(unstored, REST_SECONDS)
        case Stopping.DRAINING | None:
            return Released("its worker is shutting down")
        case _:
            return Released("stopped on request")


def commit(store: Store, lease: Lease, job: Job, ending: Ending, start_seconds: float) -> None:
    """Write the end down. `start_seconds` passed from the claim to the first step. Raises LostLeaseError, StoreUnavailableError."""
    match ending:
        case Succeeded():
            try:
                leases.succeed(store, lease, _result(job, ending.result, start_seconds))
            except StateConflictError:  # a cancel came between the last renewal and now
                leases.finish_cancel(store, lease)
        case Failed():
            leases.fail(store, lease, ending.failure)
        case Released():
            leases.release(store, lease, ending.reason, ending.rest_seconds)
        case Crashed():
            leases.crash(store, lease, ending.reason, ending.code)
        case _:
            assert_never(ending)


def _result(job: Job, result: events.Result, start_seconds: float) -> Json:
    body = result.model_dump(mode="python")
    queued = (job.started_at or job.created_at) - job.created_at
    body["timings"] = {"queue": queued, "start": start_seconds, **body["timings"]}
    lineage = {"spec_sha256": job.spec_sha256, "seed": job.spec["seed"], "attempts": job.attempt, "init_from": job.init_checkpoint_id}
    return {
        **body,
        "best": job.best,
        "best_checkpoint_id": job.best_checkpoint_id,
        "last_checkpoint_id": job.checkpoint_id,
        **lineage,
    }
