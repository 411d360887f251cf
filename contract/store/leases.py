"""What a worker does with the job it owns: claim, renew, checkpoint, commit, release. Each under its fence, in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, or_, select

from contract import lifecycle, numbers
from contract.events import FailureCode, StopReason
from contract.job import HELD, Job, JobState, Json
from contract.lifecycle import Actor, Failure, Report
from contract.store import metrics, quotas, rows
from contract.store.engine import Store
from contract.store.rows import Note
from contract.store.tables import jobs, results


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write about one job, until a newer fence exists."""

    job_id: str
    fence: int


def claim(store: Store, owner: str, device: str, lease_seconds: float, job_id: str | None = None, on: str | None = None) -> Job | None:
    """Take the named job, or the first in the queue that `device` may train; None when there is none to be had.

    Jobs of tenants that have as many running as they may are left where they are.
    `on` is the worker's class of machine: a job that must go on to the bit is left to workers of the class that it began on.
    """
    with store.write() as connection:
        now = store.now(connection)
        query = select(jobs).where(
            jobs.c.state == JobState.QUEUED.value,
            jobs.c.available_at <= now,
            jobs.c.cancel_requested_at.is_(None),
            jobs.c.device.in_(["auto", device]),
        )
        if on is not None:
            query = query.where(or_(jobs.c.resumes_on.is_(None), jobs.c.resumes_on == on))
        if job_id is not None:
            query = query.where(jobs.c.id == job_id)
        if full := quotas.full(connection, is_sqlite=store.is_sqlite):
            query = query.where(jobs.c.tenant.not_in(full))
        query = query.order_by(jobs.c.priority.desc(), jobs.c.id).limit(1).with_for_update(skip_locked=True)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        before = rows.from_row(row)
        after = lifecycle.claim(before, owner, now, lease_seconds, on)
        return rows.save(connection, before, after, Actor.WORKER, now) if after else None


def give_back(store: Store, owner: str) -> Job | None:
    """Release the job that `owner` holds without knowing it, since the answer to its claim was lost or it believed its lease gone.

    Not to be gone on with under the same fence: what was told and stored under it would be taken for the new attempt's.
    """
    with store.write() as connection:
        held = [state.value for state in HELD]
        row = connection.execute(select(jobs).where(jobs.c.owner == owner, jobs.c.state.in_(held)).limit(1)).mappings().one_or_none()
        if row is None:
            return None
        now, before = store.now(connection), rows.lock(connection, row["id"])
        if before.owner != owner:
            return None
        after = lifecycle.release(before, before.fence, now, "its worker lost sight of it while the database was away")
        return rows.save(connection, before, after, Actor.WORKER, now)


def renew(
    store: Store,
    lease: Lease,
    lease_seconds: float,
    report: Report = Report(),  # noqa: B008  a frozen value
    notes: Sequence[Note] = (),
    samples: Sequence[metrics.Sample] = (),
    batch: int | None = None,
) -> Job:
    """Prolong the lease, write down the news, and hear what was asked of the job meanwhile: its state says so.

    News numbered by `batch`, from 1 within a lease, can be sent again when an answer was lost, and is written once.
    Raises LostLeaseError when the job belongs to another attempt.
    """
    with store.write() as connection:
        now = store.now(connection)
        before = rows.lock(connection, lease.job_id)
        renewed = lifecycle.renew(before, lease.fence, now, lease_seconds, report, batch)
        if lifecycle.is_told(before, batch):
            return rows.save(connection, before, renewed, Actor.WORKER, now)
        after = rows.save(connection, before, renewed, Actor.WORKER, now, tuple(notes))
        metrics.record(connection, lease.job_id, now, samples)
        return after


def succeed(store: Store, lease: Lease, result: Json) -> Job:
    """Commit the result: state, result and event in one transaction. Harmless to repeat when an answer was lost.

    Raises LostLeaseError when the job belongs to another attempt, StateConflictError when a cancel came first.
    """
    with store.write() as connection:
        before = rows.lock(connection, lease.job_id)
        if before.state is JobState.SUCCEEDED and _result_fence(connection, before.id) == lease.fence:
            return before
        now = store.now(connection)
        after = lifecycle.succeed(before, lease.fence, now, StopReason(result.get("stop_reason", StopReason.EPOCHS)))
        connection.execute(insert(results).values(job_id=before.id, fence=lease.fence, created_at=now, body=numbers.to_json(result)))
        return rows.save(connection, before, after, Actor.WORKER, now)


def fail(store: Store, lease: Lease, failure: Failure) -> Job:
    """End the job with its failure, or cancelled if that was asked before."""
    return _owned(store, lease, lambda job, now: lifecycle.fail(job, lease.fence, now, failure))


def finish_cancel(store: Store, lease: Lease) -> Job:
    """End the job as it was asked to."""
    return _owned(store, lease, lambda job, now: lifecycle.finish_cancel(job, lease.fence, now))


def release(store: Store, lease: Lease, reason: str, rest_seconds: float = 0.0) -> Job:
    """Give the job back to the queue, by no fault of its own; see `lifecycle.release` for how long it then rests."""
    return _owned(store, lease, lambda job, now: lifecycle.release(job, lease.fence, now, reason, rest_seconds))


def crash(store: Store, lease: Lease, reason: str, code: FailureCode = FailureCode.CRASH_LOOP) -> Job:
    """Give the job back because its trainer died; it fails, with `code`, if that happens too often."""
    return _owned(store, lease, lambda job, now: lifecycle.crash(job, lease.fence, now, reason, code))


def _owned(store: Store, lease: Lease, deed: Callable[[Job, float], Job]) -> Job:
    with store.write() as connection:
        before = rows.lock(connection, lease.job_id)
        now = store.now(connection)
        return rows.save(connection, before, deed(before, now), Actor.WORKER, now)


def _result_fence(connection: Connection, job_id: str) -> int | None:
    return connection.execute(select(results.c.fence).where(results.c.job_id == job_id)).scalar_one_or_none()
