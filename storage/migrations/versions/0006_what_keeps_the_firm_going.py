"""What keeps the firm going: copies, outages, leaders."""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not used since sessions have rows of their own.
    with op.batch_alter_table('staff', schema=None) as batch_op:
        batch_op.drop_column('session_key')
    # The requests whose client waits for an answer: few among many.
    op.create_index(
        'ix_request_unanswered', 'request', ['unanswered_since'], unique=False,
        sqlite_where=sa.text('unanswered_since is not null'),
        postgresql_where=sa.text('unanswered_since is not null'),
    )
    op.create_table(
        'outage',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('scope', sa.String(length=20), nullable=False),
        sa.Column('cause', sa.String(length=20), nullable=False),
        sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "cause in ('stopped', 'crashed', 'stalled', 'unreachable')", name=op.f('ck_outage_cause_known')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_outage')),
        sa.UniqueConstraint('scope', 'started_at', name=op.f('uq_outage_scope_started_at')),
    )
    op.create_table(
        'copy_run',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('through', sa.String(length=20), nullable=False),
        sa.Column('file_name', sa.String(length=100), nullable=False),
        sa.Column('size_bytes', sa.BigInteger(), nullable=False),
        sa.Column('sha256', sa.String(length=64), nullable=False),
        sa.Column('requests', sa.Integer(), nullable=False),
        sa.Column('files', sa.Integer(), nullable=False),
        sa.Column('whole', sa.Boolean(), nullable=True),
        sa.Column('second_whole', sa.Boolean(), nullable=True),
        sa.Column('troubles', sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_copy_run')),
    )
    op.create_index(op.f('ix_copy_run_started_at'), 'copy_run', ['started_at'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_copy_run_started_at'), table_name='copy_run')
    op.drop_table('copy_run')
    op.drop_table('outage')
    op.drop_index('ix_request_unanswered', table_name='request')
    with op.batch_alter_table('staff', schema=None) as batch_op:
        batch_op.add_column(sa.Column('session_key', sa.String(length=64), nullable=False, server_default=''))
