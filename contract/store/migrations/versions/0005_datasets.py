"""Uploaded data sets"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Document = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("facts", Document, nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("files", Document, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.CheckConstraint("state IN ('storing', 'ready', 'deleted')", name=op.f("ck_datasets_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
    )
    op.create_index("ix_datasets_tenant_id", "datasets", ["tenant", "id"])
    op.create_index("ix_datasets_state_created_at", "datasets", ["state", "created_at"])
    ready = sa.text("state = 'ready'")
    op.create_index("uq_datasets_content", "datasets", ["tenant", "sha256"], unique=True, sqlite_where=ready, postgresql_where=ready)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
