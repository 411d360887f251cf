"""The table of uploaded data sets."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, String, Table, Text, text

from contract.store.tables.base import Document, metadata

READY = text("state = 'ready'")
"""In plain words, not in parameters: SQLite takes a partial index only where a query repeats its condition."""

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("format", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("facts", Document, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("files", Document, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    CheckConstraint("state IN ('storing', 'ready', 'deleted')", name="state_known"),
    Index(None, "tenant", "id"),
    # However many send the same content at once, the tenant has it once.
    Index("uq_datasets_content", "tenant", "sha256", unique=True, sqlite_where=READY, postgresql_where=READY),
    Index(None, "state", "created_at"),
)
