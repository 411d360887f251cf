"""The tables of webhooks and of what is to be told to them.

No key ties a delivery to its webhook or its job: a move of a job must not fail because somebody deletes a webhook at that moment.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, Integer, String, Table, Text, text

from contract.store.tables.base import Document, metadata

_PENDING = text("state = 'pending'")

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Document, nullable=False),
    Column("description", Text),
    Column("enabled", Integer, nullable=False),
    Column("disabled_reason", Text),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    Column("previous_secret_until", Double),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    # One message at a time: who sends holds the webhook. When nobody does, this is when somebody last did.
    Column("lease_until", Double, nullable=False),
    Column("lease_token", String(40)),
    Index(None, "tenant", "id"),
)

deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("webhook_id", String(40), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("job_id", String(40)),
    Column("seq", BigInteger, nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    # Attempts made before somebody asked to have it delivered again: the waits begin anew then, the count does not.
    Column("attempts_before", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_attempt_at", Double),
    Column("delivered_at", Double),
    Column("status_code", Integer),
    Column("error", Text),
    Column("duration_ms", Double),
    Column("reply", Text),
    CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state_known"),
    Index("ix_webhook_deliveries_due", "webhook_id", "next_attempt_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
    Index("ix_webhook_deliveries_order", "webhook_id", "job_id", "seq", sqlite_where=_PENDING, postgresql_where=_PENDING),
    Index(None, "created_at"),
)
