"""What the reconciler finds: expired leases, limits that have passed, bells that nobody heard. Every deed is idempotent."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from contract import lifecycle
from contract.job import HELD, Job, JobState
from contract.lifecycle import Actor
from contract.store import rows
from contract.store.engine import Store
from contract.store.tables import jobs

_BATCH = 100
_Order = tuple[ColumnElement[Any], ...]
_LONGEST_SILENT: Final[_Order] = (jobs.c.lease_until,)
_AS_QUEUED: Final[_Order] = (jobs.c.priority.desc(), jobs.c.id)
"""Not by id alone: a planner then walks the ids from the oldest job on, past all that have ended, to save itself sorting a hundred."""


def expire(store: Store) -> list[Job]:
    """Take jobs from owners that were not heard of for a lease, or that did not obey a cancel in time."""

    def due(now: float) -> ColumnElement[bool]:
        held = jobs.c.state.in_([state.value for state in HELD])
        return and_(held, or_(jobs.c.lease_until < now, and_(jobs.c.state == JobState.CANCELLING.value, jobs.c.cancel_deadline < now)))

    return _sweep(store, due, _LONGEST_SILENT, lifecycle.expire)


def release_all(store: Store, reason: str) -> list[Job]:
    """Put every held job back in the queue. Only for who knows that no worker of this database lives: a stack that starts."""
    held = [state.value for state in HELD]
    return _sweep(store, lambda _: jobs.c.state.in_(held), _LONGEST_SILENT, lambda job, now: lifecycle.release(job, job.fence, now, reason))


def time_out(store: Store) -> list[Job]:
    """End jobs that waited, or ran, for longer than their limits say while nobody holds them."""

    def due(now: float) -> ColumnElement[bool]:
        waited = and_(jobs.c.started_at.is_(None), jobs.c.queue_deadline_at <= now)
        return and_(jobs.c.state == JobState.QUEUED.value, or_(waited, jobs.c.deadline_at <= now))

    return _sweep(store, due, _AS_QUEUED, lifecycle.time_out)


def ring(store: Store) -> list[Job]:
    """The queued jobs whose bell is due, their next ring put off. The caller rings."""

    def due(now: float) -> ColumnElement[bool]:
        return and_(jobs.c.state == JobState.QUEUED.value, jobs.c.available_at <= now, jobs.c.next_ring_at <= now)

    return _sweep(store, due, _AS_QUEUED, lambda job, now: lifecycle.rung(job, now) if lifecycle.is_due_to_ring(job, now) else None)


def _sweep(store: Store, due: Callable[[float], ColumnElement[bool]], order: _Order, deed: Callable[[Job, float], Job | None]) -> list[Job]:
    """Do `deed` to every job that is due, at most a batch at a time. Looks without a lock first: mostly there is nothing.

    Each in a transaction of its own: a claim skips what is locked, and must not pass over a whole queue because its bells are put off.
    """
    with store.read() as connection:
        found = _candidates(connection, due(store.now(connection)), order)
    done = (_do(store, due, job.id, deed) for job in found)
    return [job for job in done if job]


def _do(store: Store, due: Callable[[float], ColumnElement[bool]], job_id: str, deed: Callable[[Job, float], Job | None]) -> Job | None:
    """The job after the deed; None where it is not due any more, or somebody else has it under way."""
    with store.write() as connection:
        now = store.now(connection)
        query = select(jobs).where(jobs.c.id == job_id, due(now)).with_for_update(skip_locked=True)
        row = connection.execute(query).mappings().one_or_none()
        before = rows.from_row(row) if row else None
        after = deed(before, now) if before else None
        return rows.save(connection, before, after, Actor.RECONCILER, now) if before and after else None


def _candidates(connection: Connection, condition: ColumnElement[bool], order: _Order) -> list[Job]:
    query = select(jobs).where(condition).order_by(*order).limit(_BATCH)
    return [rows.from_row(row) for row in connection.execute(query).mappings()]
