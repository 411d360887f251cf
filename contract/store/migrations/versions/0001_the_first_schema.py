"""The first schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

Document = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table('jobs',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('tenant', sa.String(length=64), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('metadata', Document, nullable=False),
    sa.Column('spec', Document, nullable=False),
    sa.Column('spec_sha256', sa.String(length=64), nullable=False),
    sa.Column('idempotency_key', sa.String(length=255), nullable=True),
    sa.Column('request_sha256', sa.String(length=64), nullable=True),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('status_reason', sa.Text(), nullable=True),
    sa.Column('error', Document, nullable=True),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('device', sa.String(length=8), nullable=False),
    sa.Column('available_at', sa.Double(), nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('updated_at', sa.Double(), nullable=False),
    sa.Column('started_at', sa.Double(), nullable=True),
    sa.Column('finished_at', sa.Double(), nullable=True),
    sa.Column('queue_deadline_at', sa.Double(), nullable=False),
    sa.Column('deadline_at', sa.Double(), nullable=True),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('owner', sa.String(length=80), nullable=True),
    sa.Column('lease_until', sa.Double(), nullable=True),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('crash_count', sa.Integer(), nullable=False),
    sa.Column('crash_count_since_progress', sa.Integer(), nullable=False),
    sa.Column('release_count', sa.Integer(), nullable=False),
    sa.Column('next_ring_at', sa.Double(), nullable=False),
    sa.Column('ring_seq', sa.BigInteger(), nullable=False),
    sa.Column('cancel_requested_at', sa.Double(), nullable=True),
    sa.Column('cancel_deadline', sa.Double(), nullable=True),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('epochs', sa.Integer(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('steps', sa.BigInteger(), nullable=True),
    sa.Column('latest_metrics', Document, nullable=False),
    sa.Column('data', Document, nullable=True),
    sa.Column('machine', Document, nullable=True),
    sa.Column('env_fingerprint', sa.Text(), nullable=True),
    sa.Column('parameters', sa.BigInteger(), nullable=True),
    sa.Column('checkpoint_id', sa.String(length=40), nullable=True),
    sa.Column('checkpoint_seq', sa.BigInteger(), nullable=False),
    sa.Column('best_checkpoint_id', sa.String(length=40), nullable=True),
    sa.Column('best', Document, nullable=True),
    sa.Column('parent_job_id', sa.String(length=40), nullable=True),
    sa.Column('parent_relation', sa.String(length=16), nullable=True),
    sa.Column('event_seq', sa.BigInteger(), nullable=False),
    sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name=op.f('ck_jobs_failed_has_error')),
    sa.CheckConstraint("(state IN ('cancelling', 'pausing', 'running')) = (owner IS NOT NULL AND lease_until IS NOT NULL)", name=op.f('ck_jobs_held_has_owner')),
    sa.CheckConstraint("(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name=op.f('ck_jobs_terminal_has_end')),
    sa.CheckConstraint("state IN ('cancelled', 'cancelling', 'failed', 'paused', 'pausing', 'queued', 'running', 'succeeded')", name=op.f('ck_jobs_state_known')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs')),
    sa.UniqueConstraint('tenant', 'idempotency_key', name=op.f('uq_jobs_tenant_idempotency_key'))
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_jobs_state_priority_id'), ['state', 'priority', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_jobs_tenant_id'), ['tenant', 'id'], unique=False)

    op.create_table('workers',
    sa.Column('id', sa.String(length=80), nullable=False),
    sa.Column('host', sa.Text(), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('device', sa.Text(), nullable=False),
    sa.Column('job_id', sa.String(length=40), nullable=True),
    sa.Column('versions', Document, nullable=False),
    sa.Column('started_at', sa.Double(), nullable=False),
    sa.Column('last_seen', sa.Double(), nullable=False),
    sa.CheckConstraint("state IN ('starting', 'idle', 'busy', 'draining')", name=op.f('ck_workers_state_known')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_workers'))
    )
    op.create_table('checkpoints',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('metrics', Document, nullable=False),
    sa.Column('score', sa.Double(), nullable=True),
    sa.Column('prefix', sa.Text(), nullable=False),
    sa.Column('files', Document, nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('pinned', sa.Integer(), server_default='0', nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('deleted_at', sa.Double(), nullable=True),
    sa.Column('purged_at', sa.Double(), nullable=True),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_checkpoints_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_checkpoints')),
    sa.UniqueConstraint('job_id', 'seq', name=op.f('uq_checkpoints_job_id_seq'))
    )
    with op.batch_alter_table('checkpoints', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_checkpoints_deleted_at_purged_at'), ['deleted_at', 'purged_at'], unique=False)

    op.create_table('job_events',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('at', sa.Double(), nullable=False),
    sa.Column('type', sa.String(length=16), nullable=False),
    sa.Column('level', sa.String(length=8), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('data', Document, nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_events_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'seq', name=op.f('pk_job_events'))
    )
    op.create_table('metrics',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('step', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('scope', sa.String(length=8), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('at', sa.Double(), nullable=False),
    sa.Column('values', Document, nullable=False),
    sa.CheckConstraint("scope IN ('step', 'epoch')", name=op.f('ck_metrics_scope_known')),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_metrics_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'step', 'scope', name=op.f('pk_metrics'))
    )
    op.create_table('results',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('body', Document, nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_results_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', name=op.f('pk_results'))
    )
