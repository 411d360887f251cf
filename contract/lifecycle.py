"""What may become of a job: every deed as a pure function from a row, and a clock, to the row after it.

The store runs these inside a transaction and writes the outcome under the guard `id AND state AND fence AND version`, so the
rules stand here once, free of SQL, where they can be read, searched exhaustively and simulated.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from contract.errors import LostLeaseError, StateConflictError
from contract.events import RETRYABLE, FailureCode, StopReason, machine_class
from contract.job import MOVES, Job, JobState, Json

CRASHES_WITHOUT_PROGRESS = 3
"""A job fails with `crash_loop` at this many trainer deaths without a new checkpoint between them."""
RING_SECONDS = 5.0
"""How long a queued job waits unclaimed before its bell is rung again; twice as long each time, up to `LONGEST_RING_SECONDS`."""
LONGEST_RING_SECONDS = 300.0
CANCEL_SECONDS = 60.0
"""How long a cancel may take before the reconciler ends the job without its owner."""
LONGEST_REST_SECONDS = 600.0
"""The longest wait after a release because of the job's surroundings; each such wait is twice the one before."""

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
        """As it stands in the job's row: with whether the same job could end otherwise, which follows from the code."""
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


def can_be_claimed(job: Job, now: float, on: str | None = None) -> bool:
    """Whether a worker may take the job now; one `on` this class of machine, where it is given."""
    fits = on is None or job.resumes_on is None or job.resumes_on == on
    return job.state is JobState.QUEUED and job.available_at <= now and job.cancel_requested_at is None and fits


def claim(job: Job, owner: str, now: float, lease_seconds: float, on: str | None = None) -> Job | None:
    """The job in the hands of `owner`, a worker `on` this class of machine, under a new fence; None when it is not to be had."""
    if not can_be_claimed(job, now, on):
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
            told=0,
            started_at=now if first else job.started_at,
            deadline_at=now + runtime if first else job.deadline_at,
        ),
        JobState.RUNNING,
        now,
        "first attempt" if first else f"attempt {job.attempt + 1}",
    )


def renew(job: Job, fence: int, now: float, lease_seconds: float, report: Report, batch: int | None = None) -> Job:
    """The job with a longer lease and its news. Raises LostLeaseError for any but the present owner.

    News under a number, `batch`, that was told before changes nothing: its answer was lost, and it is sent again.
    """
    _must_own(job, fence)
    longer = replace(job, lease_until=now + lease_seconds, updated_at=now, version=job.version + 1)
    if is_told(job, batch):
        return longer
    news = {name: value for name in Report.__slots__ if (value := getattr(report, name)) is not None}
    return replace(longer, told=job.told if batch is None else batch, **news)


def is_told(job: Job, batch: int | None) -> bool:
    """Whether the present owner has told the news of this number already."""
    return batch is not None and batch <= job.told


def checkpoint(job: Job, fence: int, now: float, checkpoint_id: str, best: Json | None, *, epoch: int = 0, step: int = 0) -> Job:
    """The job resting on a new checkpoint, which is progress: crashes are counted anew. `best` if it is the best one so far.

    `epoch` and `step` are where it was written: no news may have told yet that the job has come so far.
    """
    _must_own(job, fence)
    return replace(
        job,
        checkpoint_id=checkpoint_id,
        checkpoint_seq=job.checkpoint_seq + 1,
        crash_count_since_progress=0,
        releases_since_progress=0,
        resumes_on=_resumes_on(job),
        epoch=max(job.epoch, epoch),
        step=max(job.step, step),
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
        raise StateConflictError(f"job {job.id} {job.standing} and cannot be cancelled")
    asked = replace(job, cancel_requested_at=now, cancel_deadline=now + CANCEL_SECONDS)
    if job.is_held:
        return _move(asked, JobState.CANCELLING, now, "cancel requested")
    return _end(asked, JobState.CANCELLED, now, "cancelled while it waited")


def cut_off(job: Job, now: float) -> Job:
    """The job that was asked to cancel, ended at once: whatever its owner still sends bears an older fence and is refused.

    Raises StateConflictError for a job that is not being cancelled.
    """
    return _end(replace(job, fence=job.fence + 1), JobState.CANCELLED, now, "cancelled on request, without waiting for its worker")


def pause(job: Job, now: float) -> Job:
    """The job on its way to `paused`, or there if nobody holds it. Returns it unchanged when that was asked before.

    Raises StateConflictError for a job that has ended or is being cancelled.
    """
    if job.state in {JobState.PAUSING, JobState.PAUSED}:
        return job
    if job.state is JobState.QUEUED:
        return _rest(job, now, "paused while it waited")
    if job.state is not JobState.RUNNING:
        raise StateConflictError(f"job {job.id} {job.standing} and cannot be paused")
    return _move(job, JobState.PAUSING, now, "pause requested")


def resume(job: Job, now: float) -> Job:
    """The job in the queue again, its limits put off by the time that it rested. Returns it unchanged where it is not paused at all.

    Raises StateConflictError for a job that has ended, or is on its way to rest or to its end.
    """
    if job.state in {JobState.QUEUED, JobState.RUNNING}:
        return job
    if job.state is not JobState.PAUSED:
        wait = "; resume it once it is paused" if job.state is JobState.PAUSING else ""
        raise StateConflictError(f"job {job.id} {job.standing} and cannot be resumed{wait}")
    rested = now - (job.paused_at if job.paused_at is not None else now)
    again = replace(
        job,
        paused_at=None,
        available_at=now,
        next_ring_at=now + RING_SECONDS,
        ring_seq=0,
        queue_deadline_at=job.queue_deadline_at + rested,
        deadline_at=None if job.deadline_at is None else job.deadline_at + rested,
    )
    return _move(again, JobState.QUEUED, now, "resumed on request")


def release(job: Job, fence: int, now: float, reason: str, rest_seconds: float = 0.0) -> Job:
    """The owner gives the job back, by no fault of the job's: it waits again, or ends if that was asked meanwhile.

    Where its surroundings are at fault it waits `rest_seconds`, doubled with each such release that no new checkpoint came before.
    """
    _must_own(job, fence)
    if job.state is JobState.CANCELLING:
        return finish_cancel(job, fence, now)
    if job.state is JobState.PAUSING:
        return _rest(job, now, "paused on request")
    rest = min(LONGEST_REST_SECONDS, rest_seconds * 2.0 ** min(job.releases_since_progress, 16))
    back = replace(
        _unowned(job),
        release_count=job.release_count + 1,
        releases_since_progress=job.releases_since_progress + (1 if rest_seconds else 0),
        available_at=now + rest,
        next_ring_at=now + rest,
    )
    return _move(back, JobState.QUEUED, now, reason)


def crash(job: Job, fence: int, now: float, reason: str, code: FailureCode = FailureCode.CRASH_LOOP) -> Job:
    """The owner saw its trainer die, or ended one that hung; `code` is what the job fails with if that was once too often.

    Raises LostLeaseError for any but the present owner.
    """
    _must_own(job, fence)
    return _crashed(job, now, reason, code)


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
                f"no worker for device '{job.device}' was free to take it: /v1/workers lists who there is; start another, or raise the limit",
            ),
        )
    if job.deadline_at is not None and job.deadline_at <= now:
        return _fail(job, now, runtime_exceeded(job))
    return None


def runtime_exceeded(job: Job) -> Failure:
    """The failure of a job that ran for longer than it may. One that last waited says for what."""
    hint = "raise the limit or train fewer epochs; the last checkpoint is kept"
    if job.state is JobState.QUEUED:
        hint = f"it waited, after: {job.status_reason}"
        if job.resumes_on and not job.releases_since_progress:
            hint += f", and only a worker with {job.resumes_on} may resume it: retry it with resume 'anywhere' to go on elsewhere"
    return overdue("max_runtime_seconds", job.spec["limits"]["max_runtime_seconds"], hint)


def overdue(limit: str, seconds: int, hint: str) -> Failure:
    """The failure of a job whose limit `limits.{limit}`, of so many seconds, has passed."""
    return Failure(FailureCode.DEADLINE_EXCEEDED, f"limits.{limit} of {seconds} s has passed", hint)


def is_due_to_ring(job: Job, now: float) -> bool:
    """Whether the bell of a queued job should be rung, again or after its backoff."""
    return can_be_claimed(job, now) and job.next_ring_at <= now


def rung(job: Job, now: float) -> Job:
    """The job with its next ring put off. While every worker is busy nobody hears it, and rings must not pile up in the broker:
    idle workers look at the table anyway.

    The one deed that leaves the version as it is, since it changes nothing that anybody is shown: else whoever waits for a change, or
    knows the job's ETag, would be sent the same again. A write that crosses it can lose or undo a ring, and nothing else.
    """
    wait = min(LONGEST_RING_SECONDS, RING_SECONDS * 2.0 ** min(job.ring_seq, 16))
    return replace(job, next_ring_at=now + wait, ring_seq=job.ring_seq + 1)


def backoff_seconds(crashes: int) -> float:
    """How long a job waits after its n-th crash without progress: at once after the first, then 2, 4, 8 … 60 seconds."""
    return 0.0 if crashes <= 1 else min(60.0, 2.0 ** (crashes - 1))


def _crashed(job: Job, now: float, reason: str, code: FailureCode = FailureCode.CRASH_LOOP) -> Job:
    crashes = job.crash_count_since_progress + 1
    # The fence rises here too: whoever still believes to own the job is cut off at this moment, not at the next claim.
    crashed = replace(job, fence=job.fence + 1, crash_count=job.crash_count + 1, crash_count_since_progress=crashes)
    if job.state is JobState.CANCELLING:
        return _end(crashed, JobState.CANCELLED, now, f"cancelled on request; {reason}")
    if job.state is JobState.PAUSING:
        return _rest(crashed, now, f"paused on request; {reason}")
    if crashes >= CRASHES_WITHOUT_PROGRESS:
        return _fail(crashed, now, _gave_up(crashes, reason, code))
    wait = backoff_seconds(crashes)
    return _move(replace(_unowned(crashed), available_at=now + wait, next_ring_at=now + wait), JobState.QUEUED, now, reason)


def _gave_up(crashes: int, reason: str, code: FailureCode) -> Failure:
    message = f"the trainer died {crashes} times without a new checkpoint; the last time: {reason}"
    if code is FailureCode.STALLED:
        return Failure(code, message, "see the stack in the job's events; raise RIDGELINE_STALL_SECONDS if a step may take that long")
    return Failure(code, message, "see the worker's log; a smaller model or batch_size helps when memory ran out")


def _resumes_on(job: Job) -> str | None:
    """The class of machine that a checkpoint written now must be resumed on; None where the spec allows any."""
    if job.machine is None or job.spec.get("checkpoints", {}).get("resume") != "bitwise":
        return None
    return machine_class(job.machine["torch"], job.machine["device"], job.machine["cpu_capability"])


def _must_own(job: Job, fence: int) -> None:
    if not job.is_held or job.fence != fence:
        raise LostLeaseError(f"job {job.id} is {job.state.value} under fence {job.fence}; fence {fence} has no say any more")


def _fail(job: Job, now: float, failure: Failure) -> Job:
    return _end(replace(job, error=failure.as_json()), JobState.FAILED, now, failure.message)


def _end(job: Job, state: JobState, now: float, reason: str) -> Job:
    return _move(replace(_unowned(job), finished_at=now, paused_at=None), state, now, reason)


def _rest(job: Job, now: float, reason: str) -> Job:
    return _move(replace(_unowned(job), paused_at=now), JobState.PAUSED, now, reason)


def _unowned(job: Job) -> Job:
    return replace(job, owner=None, lease_until=None)


def _move(job: Job, state: JobState, now: float, reason: str) -> Job:
    if state not in MOVES[job.state]:
        raise StateConflictError(f"job {job.id} cannot go from {job.state.value} to {state.value}")
    return replace(job, state=state, status_reason=reason, updated_at=now, version=job.version + 1)
