"""The tables, and with them the guards that hold whoever writes."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from contract.job import HELD, JobState
from contract.store.tables.base import Document, metadata
from contract.store.tables.datasets import datasets as datasets
from contract.store.tables.keys import api_keys, audit_events, device_use, quotas
from contract.store.tables.webhooks import deliveries, webhooks

__all__ = [
    "STANDING_RETRY",
    "api_keys",
    "audit_events",
    "checkpoints",
    "deliveries",
    "device_use",
    "job_events",
    "jobs",
    "metadata",
    "metrics",
    "quotas",
    "results",
    "webhooks",
    "workers",
]


def _listed(states: frozenset[JobState] | type[JobState]) -> str:
    return ", ".join(sorted(f"'{state.value}'" for state in states))


STANDING_RETRY = text("parent_relation = 'retry' AND state NOT IN ('cancelled', 'failed') AND deleted_at IS NULL")
"""Of a job that is the retry of another and can still be what comes of it, or is. In plain words, not in parameters: SQLite takes a
partial index only where a query repeats its condition."""

DELETED = text("deleted_at IS NOT NULL")
STARTED = text("start_checkpoint_id IS NOT NULL")
INITIAL = text("init_checkpoint_id IS NOT NULL")
OWNED = text("owner IS NOT NULL")
ENDED = text("finished_at IS NOT NULL")
CHILD = text("parent_job_id IS NOT NULL")

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", Text),
    Column("metadata", Document, nullable=False),
    Column("spec", Document, nullable=False),
    Column("spec_sha256", String(64), nullable=False),
    Column("idempotency_key", String(255)),
    Column("request_sha256", String(64)),
    Column("state", String(16), nullable=False),
    Column("status_reason", Text),
    Column("error", Document),
    Column("version", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("device", String(8), nullable=False),
    Column("available_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("queue_deadline_at", Double, nullable=False),
    Column("deadline_at", Double),
    Column("fence", BigInteger, nullable=False),
    Column("owner", String(80)),
    Column("lease_until", Double),
    Column("attempt", Integer, nullable=False),
    Column("crash_count", Integer, nullable=False),
    Column("crash_count_since_progress", Integer, nullable=False),
    Column("release_count", Integer, nullable=False),
    Column("releases_since_progress", Integer, nullable=False, server_default="0"),
    Column("next_ring_at", Double, nullable=False),
    Column("ring_seq", BigInteger, nullable=False),
    Column("paused_at", Double),
    Column("told", BigInteger, nullable=False, server_default="0"),
    Column("cancel_requested_at", Double),
    Column("cancel_deadline", Double),
    Column("epoch", Integer, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("steps", BigInteger),
    Column("latest_metrics", Document, nullable=False),
    Column("data", Document),
    Column("machine", Document),
    Column("env_fingerprint", Text),
    Column("parameters", BigInteger),
    Column("checkpoint_id", String(40)),
    Column("checkpoint_seq", BigInteger, nullable=False),
    Column("best_checkpoint_id", String(40)),
    Column("best", Document),
    Column("resumes_on", Text),
    Column("parent_job_id", String(40)),
    Column("parent_relation", String(16)),
    Column("start_checkpoint_id", String(40)),
    Column("init_checkpoint_id", String(40)),
    Column("deleted_at", Double),
    Column("event_seq", BigInteger, nullable=False),
    UniqueConstraint("tenant", "idempotency_key"),
    CheckConstraint(f"state IN ({_listed(JobState)})", name="state_known"),
    CheckConstraint(f"(state IN ({_listed(HELD)})) = (owner IS NOT NULL AND lease_until IS NOT NULL)", name="held_has_owner"),
    CheckConstraint("(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="terminal_has_end"),
    CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed_has_error"),
    # No index holds a column that a renewal writes: PostgreSQL changes such a row within its page, and touches no index at all.
    # In the order in which jobs are claimed: else every claim would sort the whole queue.
    Index("ix_jobs_queue", "state", text("priority DESC"), "id"),
    Index("ix_jobs_tenant_queue", "tenant", text("priority DESC"), "id"),
    Index(None, "tenant", "id"),
    Index(None, "tenant", "state", "id"),
    Index("ix_jobs_children", "tenant", "parent_job_id", "id", sqlite_where=CHILD, postgresql_where=CHILD),
    Index("ix_jobs_owner", "owner", sqlite_where=OWNED, postgresql_where=OWNED),
    Index("ix_jobs_finished_at", "finished_at", sqlite_where=ENDED, postgresql_where=ENDED),
    # Labels; SQLite has nothing of the kind, and looks at every job of the tenant.
    Index("ix_jobs_metadata", "metadata", postgresql_using="gin", postgresql_ops={"metadata": "jsonb_path_ops"}).ddl_if("postgresql"),
    # Nearly every row has none of these: the purge, and what must not be purged, are found without reading the others.
    Index("ix_jobs_deleted_at", "deleted_at", sqlite_where=DELETED, postgresql_where=DELETED),
    Index("ix_jobs_start_checkpoint_id", "start_checkpoint_id", sqlite_where=STARTED, postgresql_where=STARTED),
    Index("ix_jobs_init_checkpoint_id", "init_checkpoint_id", sqlite_where=INITIAL, postgresql_where=INITIAL),
    # However many ask at once, a job has one retry: the second guard beside the lock on its row.
    Index("uq_jobs_standing_retry", "parent_job_id", unique=True, sqlite_where=STANDING_RETRY, postgresql_where=STANDING_RETRY),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("type", String(16), nullable=False),
    Column("level", String(8), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Document, nullable=False),
)

EPOCHS = text("scope = 'epoch'")
UNPURGED = text("deleted_at IS NOT NULL AND purged_at IS NULL")
metrics = Table(
    "metrics",
    metadata,
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("scope", String(8), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("values", Document, nullable=False),
    CheckConstraint("scope IN ('step', 'epoch')", name="scope_known"),
    # A job has a row for each epoch among thousands for its steps: they are found without passing over those.
    Index("ix_metrics_epochs", "job_id", "step", sqlite_where=EPOCHS, postgresql_where=EPOCHS),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("metrics", Document, nullable=False),
    Column("score", Double),
    Column("prefix", Text, nullable=False),
    Column("files", Document, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("pinned", Integer, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
    Column("purged_at", Double),
    UniqueConstraint("job_id", "seq"),
    # A checkpoint recorded again after a lost answer must not get a second row: the end of the one would take the other's bytes.
    Index("uq_checkpoints_job_id_prefix", "job_id", "prefix", unique=True),
    # The rows of purged ones stay as long as their job's: what is still to be purged is a handful among them.
    Index("ix_checkpoints_unpurged", "deleted_at", sqlite_where=UNPURGED, postgresql_where=UNPURGED),
)

results = Table(
    "results",
    metadata,
    # One row a job at most: the second guard against a double commit, in the structure itself.
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("body", Document, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("device", Text, nullable=False),
    Column("versions", Document, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    CheckConstraint("state IN ('starting', 'idle', 'busy', 'draining')", name="state_known"),
)
