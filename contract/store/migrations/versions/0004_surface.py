"""What clients may change, hide and find of a job

A job is deleted in two steps: `deleted_at` hides it, and later its row goes. The triggers hold the order: only a job that has ended is
hidden, only one that is hidden goes, and none comes back.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ENDED = "('succeeded', 'failed', 'cancelled')"


def upgrade() -> None:
    epochs = sa.text("scope = 'epoch'")
    op.create_index("ix_metrics_epochs", "metrics", ["job_id", "step"], sqlite_where=epochs, postgresql_where=epochs)
    op.add_column("jobs", sa.Column("init_checkpoint_id", sa.String(length=40)))
    op.add_column("jobs", sa.Column("deleted_at", sa.Double()))
    op.create_index("ix_jobs_tenant_priority_id", "jobs", ["tenant", "priority", "id"])
    op.create_index("ix_jobs_tenant_parent_job_id", "jobs", ["tenant", "parent_job_id"])
    for column in ("deleted_at", "start_checkpoint_id", "init_checkpoint_id"):
        set_ = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ix_jobs_{column}", "jobs", [column], sqlite_where=set_, postgresql_where=set_)
    op.drop_index("uq_jobs_standing_retry", "jobs")
    standing = sa.text("parent_relation = 'retry' AND state NOT IN ('cancelled', 'failed') AND deleted_at IS NULL")
    op.create_index("uq_jobs_standing_retry", "jobs", ["parent_job_id"], unique=True, sqlite_where=standing, postgresql_where=standing)
    dialect = op.get_bind().dialect.name
    guard = _sqlite if dialect == "sqlite" else _postgresql
    guard("jobs_hidden_has_ended", "UPDATE", f"NEW.deleted_at IS NOT NULL AND NEW.state NOT IN {ENDED}")
    guard("jobs_hidden_stays", "UPDATE", "OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL")
    guard("jobs_go_hidden", "DELETE", "OLD.deleted_at IS NULL")


def _sqlite(name: str, event: str, condition: str) -> None:
    op.get_bind().exec_driver_sql(
        f"CREATE TRIGGER {name} BEFORE {event} ON jobs WHEN {condition} BEGIN SELECT RAISE(ABORT, '{name}'); END"
    )


def _postgresql(name: str, event: str, condition: str) -> None:
    op.get_bind().exec_driver_sql(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN "
        f"RAISE EXCEPTION '{name}' USING ERRCODE = 'check_violation'; END IF; RETURN {'OLD' if event == 'DELETE' else 'NEW'}; END $$"
    )
    op.get_bind().exec_driver_sql(f"CREATE TRIGGER {name} BEFORE {event} ON jobs FOR EACH ROW EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
