"""What may become of a job: every deed as a pure function from a row, and a clock, to the row after it.

The store runs these inside a transaction and writes the outcome under the guard `id AND state AND fence AND version`, so the
rules stand here once, free of SQL, where they can be read, searched exhaustively and simulated.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from contract.errors import LostLeaseError, StateConflictError
from contract.events import RETRYABLE, FailureCode, StopReason
from contract.job import MOVES, Job, JobState, Json

CRASHES_WITHOUT_PROGRESS = 3
"""A job fails with `crash_loop` at this many trainer deaths without a new checkpoint between them."""
RING_SECONDS = 5.0
"""How long a queued job waits unclaimed before its bell is rung again; twice as long each time, up to `LONGEST_RING_SECONDS`."""
LONGEST_RING_SECONDS = 300.0
CANCEL_SECONDS = 60.0
"""How long a cancel may take before the reconciler ends the job without its owner."""

_ENDED_BY = {
    StopReason.EPOCHS: "trained to the end",
    StopReason.EARLY_STOPPING: "stopped early, as the metric watched no longer improved",
    StopReason.TOLERANCE: "stopped early, as the objective is stationary within the tolerance",
}


class Actor(StrEnum):
    """Who moved a job."""

    CLIENT = "client"
    WORKER = "worker"
    RECONCILER = "reconciler"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: the stable code, what happened, and what to do about it."""

    code: FailureCode
    message: str
    hint: str

    def as_json(self) -> Json:
        return {"code": self.code.value, "message": self.message, "hint": self.hint, "retryable": self.code in RETRYABLE}


@dataclass(frozen=True, slots=True)
class Report:
    """What a renewal has to tell: only the fields that are news are set."""

    epoch: int | None = None
    step: int | None = None
    latest_metrics: Json | None = None
    steps: int | None = None
    data: Json | None = None
    machine: Json | None = None
    env_fingerprint: str | None = None
    parameters: int | None = None


def can_be_claimed(job: Job, now: float) -> bool:
    """Whether a worker may take the job now."""
    return job.state is JobState.QUEUED and job.available_at <= now and job.cancel_requested_at is None


def claim(job: Job, owner: str, now: float, lease_seconds: float) -> Job | None:
    """The job in the hands of `owner`, under a new fence; None when it is not to be had."""
    if not can_be_claimed(job, now):
        return None
    first = job.started_at is None
    runtime = float(job.spec["limits"]["max_runtime_seconds"])
    return _move(
        replace(
            job,
            fence=job.fence + 1,
            attempt=job.attempt + 1,
            owner=owner,
            lease_until=now + lease_seconds,
            started_at=now if first else job.started_at,
            deadline_at=now + runtime if first else job.deadline_at,
        ),
        JobState.RUNNING,
        now,
        "first attempt" if first else f"attempt {job.attempt + 1}",
    )


def renew(job: Job, fence: int, now: float, lease_seconds: float, report: Report) -> Job:
    """The job with a longer lease and its news. Raises LostLeaseError for any but the present owner."""
    _must_own(job, fence)
    news = {name: value for name in Report.__slots__ if (value := getattr(report, name)) is not None}
    return replace(job, lease_until=now + lease_seconds, updated_at=now, version=job.version + 1, **news)


def checkpoint(job: Job, fence: int, now: float, checkpoint_id: str, best: Json | None) -> Job:
    """The job resting on a new checkpoint, which is progress: crashes are counted anew. `best` if it is the best one so far."""
    _must_own(job, fence)
    return replace(
        job,
        checkpoint_id=checkpoint_id,
        checkpoint_seq=job.checkpoint_seq + 1,
        crash_count_since_progress=0,
        best=best or job.best,
        best_checkpoint_id=best["checkpoint_id"] if best else job.best_checkpoint_id,
        updated_at=now,
        version=job.version + 1,
    )


def succeed(job: Job, fence: int, now: float, stop_reason: StopReason = StopReason.EPOCHS) -> Job:
    """The job ended well, by what its result calls the reason. Raises StateConflictError where a cancel was asked for before, since no move leads from there to
    `succeeded`: the caller must then `finish_cancel`."""
    _must_own(job, fence)
    return _end(job, JobState.SUCCEEDED, now, _ENDED_BY[stop_reason])


def fail(job: Job, fence: int, now: float, failure: Failure) -> Job:
    """The job ended by a failure its owner saw; one that was asked to cancel is cancelled instead."""
    _must_own(job, fence)
    if job.state is JobState.CANCELLING:
        return finish_cancel(job, fence, now)
    return _fail(job, now, failure)


def finish_cancel(job: Job, fence: int, now: float) -> Job:
    """The owner has stopped, as it was asked to."""
    _must_own(job, fence)
    return _end(job, JobState.CANCELLED, now, "cancelled on request")


def cancel(job: Job, now: float) -> Job:
    """The job on its way to `cancelled`, or there if nobody holds it. Returns it unchanged when that was asked before.

    Raises StateConflictError for a job that succeeded or failed.
    """
    if job.state in {JobState.CANCELLING, JobState.CANCELLED}:
        return job
    if job.is_terminal:
        raise StateConflictError(f"job {job.id} has {job.state.value} already and cannot be cancelled")
    asked = replace(job, cancel_requested_at=now, cancel_deadline=now + CANCEL_SECONDS)
    if job.is_held:
        return _move(asked, JobState.CANCELLING, now, "cancel requested")
    return _end(asked, JobState.CANCELLED, now, "cancelled while it waited")


def release(job: Job, fence: int, now: float, reason: str, delay_seconds: float = 0.0) -> Job:
    """The owner gives the job back, by no fault of the job's: it waits again, or ends if that was asked meanwhile."""
    _must_own(job, fence)
    if job.state is JobState.CANCELLING:
        return finish_cancel(job, fence, now)
    if job.state is JobState.PAUSING:
        return _move(_unowned(job), JobState.PAUSED, now, "paused on request")
    back = replace(_unowned(job), release_count=job.release_count + 1, available_at=now + delay_seconds, next_ring_at=now + delay_seconds)
    return _move(back, JobState.QUEUED, now, reason)


def crash(job: Job, fence: int, now: float, reason: str) -> Job:
    """The owner saw its trainer die. Raises LostLeaseError for any but the present owner."""
    _must_own(job, fence)
    return _crashed(job, now, reason)


def is_expired(job: Job, now: float) -> bool:
    """Whether the owner has not been heard of for a whole lease, or has not obeyed a cancel in time."""
    if job.state is JobState.CANCELLING and job.cancel_deadline is not None and job.cancel_deadline < now:
        return True
    return job.is_held and job.lease_until is not None and job.lease_until < now


def expire(job: Job, now: float) -> Job | None:
    """The job taken from an owner that is not heard of any more; None while the lease runs."""
    return _crashed(job, now, "its worker was not heard of for a whole lease") if is_expired(job, now) else None


def time_out(job: Job, now: float) -> Job | None:
    """The job ended because a limit of its spec has passed while nobody held it; None while none has."""
    if job.state is not JobState.QUEUED:
        return None
    if job.started_at is None and job.queue_deadline_at <= now:
        return _fail(
            job,
            now,
            overdue(
                "max_queue_seconds",
                job.spec["limits"]["max_queue_seconds"],
                f"no worker for device '{job.device}' took it: /v1/workers lists who there is; start one, or raise the limit",
            ),
        )
    if job.deadline_at is not None and job.deadline_at <= now:
        return _fail(job, now, runtime_exceeded(job))
    return None


def runtime_exceeded(job: Job) -> Failure:
    """The failure of a job that ran for longer than it may."""
    return overdue(
        "max_runtime_seconds",
        job.spec["limits"]["max_runtime_seconds"],
        "raise the limit or train fewer epochs; the last checkpoint is kept",
    )


def overdue(limit: str, seconds: int, hint: str) -> Failure:
    return Failure(FailureCode.DEADLINE_EXCEEDED, f"limits.{limit} of {seconds} s has passed", hint)


def is_due_to_ring(job: Job, now: float) -> bool:
    """Whether the bell of a queued job should be rung, again or after its backoff."""
    return can_be_claimed(job, now) and job.next_ring_at <= now


def rung(job: Job, now: float) -> Job:
    """The job with its next ring put off. While every worker is busy nobody hears it, and rings must not pile up in the broker:
    idle workers look at the table anyway."""
    wait = min(LONGEST_RING_SECONDS, RING_SECONDS * 2.0 ** min(job.ring_seq, 16))
    return replace(job, next_ring_at=now + wait, ring_seq=job.ring_seq + 1, version=job.version + 1)


def backoff_seconds(crashes: int) -> float:
    """How long a job waits after its n-th crash without progress: at once after the first, then 2, 4, 8 … 60 seconds."""
    return 0.0 if crashes <= 1 else min(60.0, 2.0 ** (crashes - 1))


def _crashed(job: Job, now: float, reason: str) -> Job:
    crashes = job.crash_count_since_progress + 1
    # The fence rises here too: whoever still believes to own the job is cut off at this moment, not at the next claim.
    crashed = replace(job, fence=job.fence + 1, crash_count=job.crash_count + 1, crash_count_since_progress=crashes)
    if job.state is JobState.CANCELLING:
        return _end(crashed, JobState.CANCELLED, now, f"cancelled on request; {reason}")
    if job.state is JobState.PAUSING:
        return _move(_unowned(crashed), JobState.PAUSED, now, f"paused on request; {reason}")
    if crashes >= CRASHES_WITHOUT_PROGRESS:
        message = f"the trainer died {crashes} times without a new checkpoint; the last time: {reason}"
        return _fail(
            crashed,
            now,
            Failure(FailureCode.CRASH_LOOP, message, "see the worker's log; a smaller model or batch_size helps when memory ran out"),
        )
    wait = backoff_seconds(crashes)
    return _move(replace(_unowned(crashed), available_at=now + wait, next_ring_at=now + wait), JobState.QUEUED, now, reason)


def _must_own(job: Job, fence: int) -> None:
    if not job.is_held or job.fence != fence:
        raise LostLeaseError(f"job {job.id} is {job.state.value} under fence {job.fence}; fence {fence} has no say any more")


def _fail(job: Job, now: float, failure: Failure) -> Job:
    return _end(replace(job, error=failure.as_json()), JobState.FAILED, now, failure.message)


def _end(job: Job, state: JobState, now: float, reason: str) -> Job:
    return _move(replace(_unowned(job), finished_at=now), state, now, reason)


def _unowned(job: Job) -> Job:
    return replace(job, owner=None, lease_until=None)


def _move(job: Job, state: JobState, now: float, reason: str) -> Job:
    if state not in MOVES[job.state]:
        raise StateConflictError(f"job {job.id} cannot go from {job.state.value} to {state.value}")
    return replace(job, state=state, status_reason=reason, updated_at=now, version=job.version + 1)
