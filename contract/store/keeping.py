"""What a client may do to a checkpoint: keep it whatever the policy says, or remove it while nothing needs it."""

from dataclasses import replace

from sqlalchemy import Connection, select, update

from contract.errors import GoneError, NotFoundError, StateConflictError
from contract.job import TERMINAL, Job
from contract.store import rows
from contract.store.checkpoints import Checkpoint, from_row
from contract.store.engine import Store
from contract.store.tables import checkpoints, jobs


def find(store: Store, tenant: str, checkpoint_id: str) -> tuple[Job, Checkpoint]:
    """A checkpoint and the job that wrote it. Raises NotFoundError, also for another tenant's, and GoneError."""
    with store.read() as connection:
        job = _writer(connection, tenant, checkpoint_id)
        return job, _kept(connection, checkpoint_id)


def pin(store: Store, tenant: str, checkpoint_id: str, *, pinned: bool) -> tuple[Job, Checkpoint]:
    """Keep it whatever the policy says, or leave it to the policy again, which judges when the next one is written.

    Harmless to repeat. Raises NotFoundError, GoneError.
    """
    with store.write() as connection:
        # The writer's row is locked, as it is when a checkpoint is recorded: or the policy drops what is being pinned.
        job = rows.lock(connection, _writer(connection, tenant, checkpoint_id).id, tenant)
        found = _kept(connection, checkpoint_id)
        connection.execute(update(checkpoints).where(checkpoints.c.id == checkpoint_id).values(pinned=int(pinned)))
        return job, replace(found, pinned=pinned)


def remove(store: Store, tenant: str, checkpoint_id: str) -> None:
    """Let go of it; its bytes follow. Raises NotFoundError, GoneError, and StateConflictError while it is pinned or a job needs it."""
    with store.write() as connection:
        job = rows.lock(connection, _writer(connection, tenant, checkpoint_id).id, tenant)
        found = _kept(connection, checkpoint_id)
        if found.pinned:
            raise StateConflictError(f"checkpoint {found.id} is pinned; send PATCH with pinned false first")
        if not job.is_terminal and job.checkpoint_id == found.id:
            raise StateConflictError(
                f"job {job.id} goes on from checkpoint {found.id}; delete it once the job has ended, or cancel the job"
            )
        if heir := _heir(connection, found.id):
            raise StateConflictError(
                f"job {heir} begins from checkpoint {found.id}; delete it once that job has one of its own, or has ended"
            )
        connection.execute(update(checkpoints).where(checkpoints.c.id == found.id).values(deleted_at=store.now(connection)))


def _writer(connection: Connection, tenant: str, checkpoint_id: str) -> Job:
    query = select(jobs).join(checkpoints, checkpoints.c.job_id == jobs.c.id)
    row = connection.execute(query.where(checkpoints.c.id == checkpoint_id, jobs.c.tenant == tenant)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("checkpoint", checkpoint_id)
    return rows.from_row(row)


def _kept(connection: Connection, checkpoint_id: str) -> Checkpoint:
    row = connection.execute(select(checkpoints).where(checkpoints.c.id == checkpoint_id)).mappings().one()
    if row["deleted_at"] is not None:
        raise GoneError(f"checkpoint '{checkpoint_id}' is not kept any longer")
    return from_row(row)


def _heir(connection: Connection, checkpoint_id: str) -> str | None:
    """A job that is not over and would find nothing to begin from without this checkpoint."""
    waits = (jobs.c.checkpoint_id.is_(None), jobs.c.state.not_in([state.value for state in TERMINAL]))
    return connection.execute(select(jobs.c.id).where(jobs.c.start_checkpoint_id == checkpoint_id, *waits).limit(1)).scalar_one_or_none()
