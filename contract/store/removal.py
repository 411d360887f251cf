"""How a job goes: hidden at once, and later its row with everything that hangs on it, unless another job still needs its bytes."""

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select

from contract import amendment
from contract.errors import NotFoundError
from contract.job import Job, JobState
from contract.lifecycle import Actor
from contract.store import rows
from contract.store.engine import Store
from contract.store.tables import checkpoints, deliveries, jobs


def hide(store: Store, tenant: str, job_id: str, precondition: Callable[[Job], None] = lambda _: None) -> Job:
    """Delete the job for every client; harmless to repeat until it is purged.

    Raises NotFoundError, StateConflictError for a job that has not ended, and what `precondition` raises of the job as it stands.
    """
    with store.write() as connection:
        before = _lock_any(connection, tenant, job_id)
        if before.deleted_at is None:
            precondition(before)
        now = store.now(connection)
        return rows.save(connection, before, amendment.delete(before, now), Actor.CLIENT, now)


def to_purge(store: Store, older_than_seconds: float, limit: int = 100) -> list[str]:
    """Jobs that were deleted so long ago and whose checkpoints no other job needs."""
    with store.read() as connection:
        query = (
            select(jobs.c.id)
            .where(jobs.c.deleted_at.is_not(None), jobs.c.deleted_at <= store.now(connection) - older_than_seconds)
            .where(~exists().where(checkpoints.c.job_id == jobs.c.id, needed()))
            .order_by(jobs.c.deleted_at)
            .limit(limit)
        )
        return list(connection.execute(query).scalars())


def purge(store: Store, job_id: str) -> bool:
    """Remove the deleted job's row, its history, numbers, checkpoints and result with it, and what webhooks were told of it, which
    has its name and labels; False where another job needs it by now.

    Its bytes must be gone before: nobody would know of them any more.
    """
    with store.write() as connection:
        mine = and_(jobs.c.id == job_id, ~exists().where(checkpoints.c.job_id == jobs.c.id, needed()))
        told = connection.execute(select(jobs.c.created_at, jobs.c.finished_at).where(mine)).one_or_none()
        if connection.execute(delete(jobs).where(mine)).rowcount != 1 or told is None:
            return False
        # By the time they were written, which is in an index as the job is not: its first move to its last.
        while_it_lived = deliveries.c.created_at.between(told.created_at, told.finished_at)
        connection.execute(delete(deliveries).where(deliveries.c.job_id == job_id, while_it_lived))
        return True


def needed() -> ColumnElement[bool]:
    """Of a row of the checkpoints table: whether a job other than its own still goes on from it, starts from its weights, or calls it
    its best.

    A job that goes on from it needs it until it has a checkpoint of its own. One that starts from its weights needs it until it has
    succeeded, as a retry of it may start anew.
    """
    other = jobs.alias("other")
    begins = and_(other.c.start_checkpoint_id == checkpoints.c.id, other.c.checkpoint_id.is_(None))
    starts = and_(other.c.init_checkpoint_id == checkpoints.c.id, other.c.state != JobState.SUCCEEDED.value)
    best = and_(other.c.start_checkpoint_id.is_not(None), other.c.best_checkpoint_id == checkpoints.c.id)
    return exists().where(other.c.id != checkpoints.c.job_id, other.c.deleted_at.is_(None), or_(begins, starts, best))


def _lock_any(connection: Connection, tenant: str, job_id: str) -> Job:
    query = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError("job", job_id)
    return rows.from_row(row)
