"""Guards in the database itself, and the columns of pausing, repeating and resuming

The triggers hold whoever writes, also a hand at the SQL prompt and a version of ours with a fault in it: only the moves of the state
machine, a terminal row never changes what it ended as, counters never fall, history is only added to, and results and checkpoints
are written under the present fence alone. A later migration that recreates a table of SQLite (batch mode) must create them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOVES = [
    "queued>running", "queued>paused", "queued>cancelled", "queued>failed",
    "running>succeeded", "running>failed", "running>pausing", "running>cancelling", "running>queued",
    "pausing>paused", "pausing>cancelling", "pausing>succeeded", "pausing>failed",
    "paused>queued", "paused>cancelled",
    "cancelling>cancelled",
]
ENDED = "('succeeded', 'failed', 'cancelled')"
HELD = "('running', 'pausing', 'cancelling')"


def _differs(column: str, dialect: str) -> str:
    return f"NEW.{column} IS {'NOT' if dialect == 'sqlite' else 'DISTINCT FROM'} OLD.{column}"


def _rules(dialect: str) -> list[tuple[str, str, str, str]]:
    """Name, table, event, and the condition under which the write is refused. The name is the message."""
    moves = ", ".join(f"'{move}'" for move in MOVES)
    as_ended = " OR ".join(_differs(name, dialect) for name in ("state", "fence", "error", "finished_at", "checkpoint_id", "attempt"))
    return [
        ("jobs_move_allowed", "jobs", "UPDATE", f"NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN ({moves})"),
        ("jobs_ended_stays", "jobs", "UPDATE", f"OLD.state IN {ENDED} AND ({as_ended})"),
        ("jobs_counters_rise", "jobs", "UPDATE",
         "NEW.fence < OLD.fence OR NEW.version < OLD.version OR NEW.checkpoint_seq < OLD.checkpoint_seq "
         "OR NEW.event_seq < OLD.event_seq OR NEW.attempt < OLD.attempt OR NEW.crash_count < OLD.crash_count "
         "OR NEW.release_count < OLD.release_count"),
        ("jobs_success_has_result", "jobs", "UPDATE",
         "NEW.state = 'succeeded' AND OLD.state <> 'succeeded' AND NOT EXISTS "
         "(SELECT 1 FROM results WHERE results.job_id = NEW.id AND results.fence = NEW.fence)"),
        ("jobs_move_raises_version", "jobs", "UPDATE", "NEW.state <> OLD.state AND NEW.version <= OLD.version"),
        ("jobs_claim_raises_fence", "jobs", "UPDATE", "OLD.state = 'queued' AND NEW.state = 'running' AND NEW.fence <= OLD.fence"),
        ("jobs_paused_since", "jobs", "UPDATE", "(NEW.state = 'paused') <> (NEW.paused_at IS NOT NULL)"),
        ("jobs_begin_queued", "jobs", "INSERT", "NEW.state <> 'queued'"),
        ("job_events_only_added", "job_events", "UPDATE", "1 = 1"),
        ("results_only_added", "results", "UPDATE", "1 = 1"),
        ("results_under_fence", "results", "INSERT",
         "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = NEW.job_id AND jobs.fence = NEW.fence AND jobs.state IN ('running', 'pausing'))"),
        ("checkpoints_under_fence", "checkpoints", "INSERT",
         "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = NEW.job_id AND jobs.fence = NEW.fence AND NEW.seq > jobs.checkpoint_seq "
         f"AND jobs.state IN {HELD})"),
    ]  # fmt: skip


def upgrade() -> None:
    for column in (
        sa.Column("releases_since_progress", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("paused_at", sa.Double()),
        sa.Column("told", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("resumes_on", sa.Text()),
        sa.Column("start_checkpoint_id", sa.String(length=40)),
    ):
        op.add_column("jobs", column)
    op.drop_column("workers", "job_id")
    op.execute("UPDATE jobs SET paused_at = updated_at WHERE state = 'paused'")
    op.create_index("uq_checkpoints_job_id_prefix", "checkpoints", ["job_id", "prefix"], unique=True)
    standing = sa.text("parent_relation = 'retry' AND state NOT IN ('cancelled', 'failed')")
    op.create_index("uq_jobs_standing_retry", "jobs", ["parent_job_id"], unique=True, sqlite_where=standing, postgresql_where=standing)
    dialect = op.get_bind().dialect.name
    for name, table, event, condition in _rules(dialect):
        (_sqlite if dialect == "sqlite" else _postgresql)(name, table, event, condition)


def _sqlite(name: str, table: str, event: str, condition: str) -> None:
    op.get_bind().exec_driver_sql(
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{name}'); END"
    )


def _postgresql(name: str, table: str, event: str, condition: str) -> None:
    # The condition stands in the function: one in WHEN may hold no subquery.
    op.get_bind().exec_driver_sql(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN "
        f"RAISE EXCEPTION '{name}' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$"
    )
    op.get_bind().exec_driver_sql(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
