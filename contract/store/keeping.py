"""What a client may do to a checkpoint: keep it whatever the policy says, or remove it while nothing needs it."""

from dataclasses import replace

from sqlalchemy import Connection, select, update

from contract.errors import GoneError, NotFoundError, StateConflictError
from contract.job import Job
from contract.store import removal, rows
from contract.store.checkpoints import Checkpoint, from_row
from contract.store.engine import Store
from contract.store.tables import checkpoints, jobs


def find(store: Store, tenant: str, checkpoint_id: str) -> tuple[Job, Checkpoint]:
    """A checkpoint and the job that wrote it. Raises NotFoundError, also for another tenant's, and GoneError."""
    with store.read() as connection:
        job = _writer(connection, tenant, checkpoint_id)
        return job, _kept(connection, checkpoint_id, locked=False)


def pin(store: Store, tenant: str, checkpoint_id: str, *, pinned: bool) -> tuple[Job, Checkpoint]:
    """Keep it whatever the policy says, or leave it to the policy again, which judges when the next one is written.

    Harmless to repeat. Raises NotFoundError, GoneError.
    """
    with store.write() as connection:
        # The writer's row is locked, as it is when a checkpoint is recorded: or the policy drops what is being pinned.
        job = rows.lock(connection, _writer(connection, tenant, checkpoint_id).id, tenant)
        found = _kept(connection, checkpoint_id, locked=True)
        connection.execute(update(checkpoints).where(checkpoints.c.id == checkpoint_id).values(pinned=int(pinned)))
        return job, replace(found, pinned=pinned)


def remove(store: Store, tenant: str, checkpoint_id: str) -> None:
    """Let go of it; its bytes follow. Raises NotFoundError, GoneError, and StateConflictError while it is pinned or a job needs it."""
    with store.write() as connection:
        job = rows.lock(connection, _writer(connection, tenant, checkpoint_id).id, tenant)
        found = _kept(connection, checkpoint_id, locked=True)
        if found.pinned:
            raise StateConflictError(f"checkpoint {found.id} is pinned; send PATCH with pinned false first")
        if not job.is_terminal and job.checkpoint_id == found.id:
            raise StateConflictError(
                f"job {job.id} goes on from checkpoint {found.id}; delete it once the job has ended, or cancel the job"
            )
        if connection.execute(select(checkpoints.c.id).where(checkpoints.c.id == found.id, removal.needed())).first():
            raise StateConflictError(
                f"another job begins from checkpoint {found.id} or calls it its best; delete that job first, or wait until it has its own"
            )
        connection.execute(update(checkpoints).where(checkpoints.c.id == found.id).values(deleted_at=store.now(connection)))


def _writer(connection: Connection, tenant: str, checkpoint_id: str) -> Job:
    query = select(jobs).join(checkpoints, checkpoints.c.job_id == jobs.c.id)
    row = (
        connection.execute(query.where(checkpoints.c.id == checkpoint_id, jobs.c.tenant == tenant, jobs.c.deleted_at.is_(None)))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFoundError("checkpoint", checkpoint_id)
    return rows.from_row(row)


def _kept(connection: Connection, checkpoint_id: str, *, locked: bool) -> Checkpoint:
    query = select(checkpoints).where(checkpoints.c.id == checkpoint_id)
    if locked:  # so that a job which is just being made to start from it is seen
        query = query.with_for_update()
    row = connection.execute(query).mappings().one()
    if row["deleted_at"] is not None:
        raise GoneError(f"checkpoint '{checkpoint_id}' is not kept any longer")
    return from_row(row)
