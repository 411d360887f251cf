"""API keys, audit events and quotas"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
HELD = ("running", "pausing", "cancelling")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", DOCUMENT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("last_used_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
    )
    op.create_index("ix_api_keys_tenant_id", "api_keys", ["tenant", "id"])
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64)),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("key_id", sa.String(length=40)),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("ip", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_tenant_id", "audit_events", ["tenant", "id"])
    op.create_table(
        "quotas",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("running_jobs", sa.Integer()),
        sa.Column("queued_jobs", sa.Integer()),
        sa.Column("stored_bytes", sa.BigInteger()),
        sa.Column("device_seconds", sa.Double()),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_quotas"),
        sa.CheckConstraint(
            "running_jobs >= 0 AND queued_jobs >= 0 AND stored_bytes >= 0 AND device_seconds >= 0", name="ck_quotas_not_negative"
        ),
    )
    op.create_table(
        "device_use",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Double()),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_device_use"),
    )
    op.create_index("ix_device_use_tenant", "device_use", ["tenant"])
    # What runs while the schema changes is counted from when its attempt was last written about: better than not at all.
    held = ", ".join(f"'{state}'" for state in HELD)
    op.execute(
        f"INSERT INTO device_use (job_id, tenant, since, seconds) SELECT id, tenant, updated_at, 0 FROM jobs WHERE state IN ({held})"
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
