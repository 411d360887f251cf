"""Indexes by which nothing that is done every second passes over jobs that have ended

No column that a renewal writes is in any of them: PostgreSQL then changes the row within its page and touches no index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HAS_OWNER = sa.text("owner IS NOT NULL")
HAS_ENDED = sa.text("finished_at IS NOT NULL")
HAS_PARENT = sa.text("parent_job_id IS NOT NULL")
UNPURGED = sa.text("deleted_at IS NOT NULL AND purged_at IS NULL")


def upgrade() -> None:
    op.drop_index("ix_jobs_state_priority_id", "jobs")
    op.drop_index("ix_jobs_tenant_priority_id", "jobs")
    op.drop_index("ix_jobs_tenant_parent_job_id", "jobs")
    op.drop_index("ix_checkpoints_deleted_at_purged_at", "checkpoints")
    op.create_index("ix_jobs_queue", "jobs", ["state", sa.text("priority DESC"), "id"])
    op.create_index("ix_jobs_tenant_queue", "jobs", ["tenant", sa.text("priority DESC"), "id"])
    op.create_index("ix_jobs_tenant_state_id", "jobs", ["tenant", "state", "id"])
    _partial("ix_jobs_owner", "jobs", ["owner"], HAS_OWNER)
    _partial("ix_jobs_finished_at", "jobs", ["finished_at"], HAS_ENDED)
    _partial("ix_jobs_children", "jobs", ["tenant", "parent_job_id", "id"], HAS_PARENT)
    _partial("ix_checkpoints_unpurged", "checkpoints", ["deleted_at"], UNPURGED)
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(
            "ix_jobs_metadata", "jobs", ["metadata"], postgresql_using="gin", postgresql_ops={"metadata": "jsonb_path_ops"}
        )


def _partial(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
