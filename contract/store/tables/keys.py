"""Who may use the service: API keys, of which only digests are stored, and what was done with them."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, Integer, String, Table, Text

from contract.store.tables.base import Document, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("scopes", Document, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
    Index(None, "tenant", "id"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", String(40), primary_key=True),
    # Null for a request whose sender is not known.
    Column("tenant", String(64)),
    Column("at", Double, nullable=False),
    Column("key_id", String(40)),
    Column("action", String(64), nullable=False),
    Column("method", String(16), nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("ip", String(64)),
    Index(None, "tenant", "id"),
)

quotas = Table(
    "quotas",
    metadata,
    # `*` is every tenant without a row of its own.
    Column("tenant", String(64), primary_key=True),
    Column("running_jobs", Integer),
    Column("queued_jobs", Integer),
    Column("stored_bytes", BigInteger),
    Column("device_seconds", Double),
    Column("updated_at", Double, nullable=False),
    CheckConstraint("running_jobs >= 0 AND queued_jobs >= 0 AND stored_bytes >= 0 AND device_seconds >= 0", name="not_negative"),
)

device_use = Table(
    "device_use",
    metadata,
    # No foreign key: a job that is deleted has used the device all the same.
    Column("job_id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("since", Double),
    Column("seconds", Double, nullable=False),
    Index(None, "tenant"),
)
