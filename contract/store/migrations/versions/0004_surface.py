"""What clients may change, hide and find of a job"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    epochs = sa.text("scope = 'epoch'")
    op.create_index("ix_metrics_epochs", "metrics", ["job_id", "step"], sqlite_where=epochs, postgresql_where=epochs)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
