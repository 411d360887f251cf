"""Which checkpoints of a job that has ended are left for another one to go on from."""

from dataclasses import replace

from sqlalchemy import Connection, or_, select

from contract.job import Job
from contract.store.tables import checkpoints


def what_is_left(connection: Connection, parent: Job) -> Job:
    """The job as if it had written only the checkpoints that nobody has deleted since. To be asked with its row locked.

    What goes on from it by a checkpoint that is gone would be trained from its start, and say otherwise.
    """
    query = (
        select(checkpoints.c.id, checkpoints.c.job_id)
        .where(or_(checkpoints.c.job_id == parent.id, checkpoints.c.id == parent.start_checkpoint_id), checkpoints.c.deleted_at.is_(None))
        .order_by(checkpoints.c.seq.desc())
        .with_for_update(read=True)
    )
    left = connection.execute(query).all()
    own = next((row.id for row in left if row.job_id == parent.id), None)
    start = next((row.id for row in left if row.id == parent.start_checkpoint_id), None)
    return replace(parent, checkpoint_id=own, start_checkpoint_id=start)
