"""What keeps the firm going: copies, outages, leaders."""

import re

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
        'process',
        sa.Column('owner', sa.String(length=80), nullable=False),
        sa.Column('until', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('owner', name=op.f('pk_process')),
    )
    op.create_table(
        'ownership',
        sa.Column('name', sa.String(length=60), nullable=False),
        sa.Column('owner', sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_ownership')),
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
    op.create_table(
        'file_scan',
        sa.Column('sha256', sa.String(length=64), nullable=False),
        sa.Column('state', sa.String(length=10), nullable=False),
        sa.Column('name', sa.String(length=200), nullable=False),
        sa.Column('virus', sa.String(length=100), nullable=False),
        sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('told_at', sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('held', 'passed', 'infected')", name=op.f('ck_file_scan_state_known')),
        sa.PrimaryKeyConstraint('sha256', name=op.f('pk_file_scan')),
    )
    op.create_table(
        'consent_text',
        sa.Column('sha256', sa.String(length=64), nullable=False),
        sa.Column('version', sa.String(length=40), nullable=False),
        sa.Column('text', sa.Text(), nullable=False),
        sa.Column('url', sa.Text(), nullable=False),
        sa.Column('first_shown_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('sha256', name=op.f('pk_consent_text')),
    )
    _find_without_walking_the_years()
    _let_values_of_history_go()


# The chain covers a digest of the values; the values of rows about somebody who was erased may go. Alembic
# sees no triggers, and a batch would drop those of SQLite: the columns are added plainly.
_SAME = ' AND '.join(
    f'NEW.{name} = OLD.{name}'
    for name in ('id', 'at', 'through', 'action', 'subject', 'values_digest', 'previous_hash', 'hash')
)
_ONLY_FORGETS = (
    f"{_SAME} AND OLD.values_digest <> '' AND NEW.salt = '' AND NEW.before = '' AND NEW.after = ''"
)
_SQLITE_FORGETS = (
    'DROP TRIGGER history_keeps_values',
    'CREATE TRIGGER history_keeps_values BEFORE UPDATE ON history '
    f'WHEN NOT ({_ONLY_FORGETS} AND NEW.actor_id IS OLD.actor_id) '
    "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
)
_SQLITE_KEEPS = (
    'DROP TRIGGER history_keeps_values',
    'CREATE TRIGGER history_keeps_values BEFORE UPDATE ON history '
    "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
)
_POSTGRESQL_FORGETS = (
    'DROP TRIGGER history_is_append_only ON history',
    'CREATE TRIGGER history_is_append_only BEFORE DELETE OR TRUNCATE ON history '
    'FOR EACH STATEMENT EXECUTE FUNCTION history_is_append_only()',
    'CREATE TRIGGER history_keeps_values BEFORE UPDATE ON history FOR EACH ROW '
    f'WHEN (NOT ({_ONLY_FORGETS} AND NEW.actor_id IS NOT DISTINCT FROM OLD.actor_id)) '
    'EXECUTE FUNCTION history_is_append_only()',
)
_POSTGRESQL_KEEPS = (
    'DROP TRIGGER history_keeps_values ON history',
    'DROP TRIGGER history_is_append_only ON history',
    'CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history '
    'FOR EACH STATEMENT EXECUTE FUNCTION history_is_append_only()',
)


def _let_values_of_history_go() -> None:
    for name, length in (('salt', 32), ('values_digest', 64)):
        op.add_column('history', sa.Column(name, sa.String(length=length), nullable=False, server_default=''))
    for statement in _SQLITE_FORGETS if op.get_bind().dialect.name == 'sqlite' else _POSTGRESQL_FORGETS:
        op.execute(statement)


# Of so many requests the words are brought over at a time, so that the years do not fill the memory.
REQUESTS_AT_ONCE = 1000

_BEFORE = (
    ('ix_letter_chat_id', 'letter', ['chat_id']),
    ('ix_letter_person_id', 'letter', ['person_id']),
    ('ix_message_chat_id', 'message', ['chat_id']),
    ('ix_request_client_id', 'request', ['client_id']),
    ('ix_request_inn', 'request', ['inn']),
    ('ix_request_kind', 'request', ['kind']),
    ('ix_request_submitted_at', 'request', ['submitted_at']),
)
_AFTER = (
    ('ix_letter_chat_id_created_at', 'letter', ['chat_id', 'created_at', 'id']),
    ('ix_letter_person_id_created_at', 'letter', ['person_id', 'created_at', 'id']),
    ('ix_message_chat_id_id', 'message', ['chat_id', 'id']),
    ('ix_request_assignee_id_id', 'request', ['assignee_id', 'id']),
    ('ix_request_channel_id', 'request', ['channel', 'id']),
    ('ix_request_client_id_id', 'request', ['client_id', 'id']),
    ('ix_request_deadline_id', 'request', ['deadline', 'id']),
    ('ix_request_inn_id', 'request', ['inn', 'id']),
    ('ix_request_kind_id', 'request', ['kind', 'id']),
    ('ix_request_status_id', 'request', ['status', 'id']),
    ('ix_request_submitted_at_id', 'request', ['submitted_at', 'id', 'closed_at']),
    ('ix_client_name_id', 'client', ['name', 'id']),
    ('ix_history_action_id', 'history', ['action', 'id']),
    ('ix_history_actor_id_id', 'history', ['actor_id', 'id']),
)

_OF_FEW = (
    ('ix_history_human_called', 'history', ['at'], "action = 'human_called'"),
    ('ix_message_unplaced', 'message', ['chat_id', 'received_at'], 'request_id is null'),
    ('ix_shift_open', 'shift', ['staff_id'], 'ended_at is null'),
)


def _find_without_walking_the_years() -> None:
    for name, table, _columns in _BEFORE:
        op.drop_index(name, table_name=table)
    for name, table, columns in _AFTER:
        op.create_index(name, table, columns, unique=False)
    for name, table, columns, condition in _OF_FEW:
        op.create_index(
            name, table, columns, unique=False,
            sqlite_where=sa.text(condition), postgresql_where=sa.text(condition),
        )
    words = op.create_table(
        'request_word',
        sa.Column('block', sa.Integer(), nullable=False),
        sa.Column(
            'word', sa.String(length=32).with_variant(sa.String(length=32, collation='C'), 'postgresql'),
            nullable=False,
        ),
        sa.Column('request_id', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('block', 'word', 'request_id', name=op.f('pk_request_word')),
        sqlite_with_rowid=False,
    )
    _bring_words_over(words)


def _bring_words_over(words: sa.Table) -> None:
    """Written out here, and not asked of `storage.search`: a revision does what it did on its day."""
    connection = op.get_bind()
    request = sa.table('request', sa.column('id', sa.Integer()), sa.column('search', sa.Text()))
    part = sa.select(request.c.id, request.c.search).order_by(request.c.id).limit(REQUESTS_AT_ONCE)
    last = 0
    while found := connection.execute(part.where(request.c.id > last)).all():
        rows = [
            {'block': number // 4096, 'word': word, 'request_id': number}
            for number, text in found
            for word in sorted({word[:32] for word in re.findall(r'\w+', text)})
        ]
        if rows:
            connection.execute(sa.insert(words), rows)
        last = found[-1].id


def downgrade() -> None:
    for statement in _SQLITE_KEEPS if op.get_bind().dialect.name == 'sqlite' else _POSTGRESQL_KEEPS:
        op.execute(statement)
    op.drop_column('history', 'values_digest')
    op.drop_column('history', 'salt')
    op.drop_table('consent_text')
    op.drop_table('ownership')
    op.drop_table('process')
    op.drop_table('request_word')
    for name, table, _columns, _condition in _OF_FEW:
        op.drop_index(name, table_name=table)
    for name, table, _columns in _AFTER:
        op.drop_index(name, table_name=table)
    for name, table, columns in _BEFORE:
        op.create_index(name, table, columns, unique=False)
    op.drop_table('file_scan')
    op.drop_index(op.f('ix_copy_run_started_at'), table_name='copy_run')
    op.drop_table('copy_run')
    op.drop_table('outage')
    op.drop_index('ix_request_unanswered', table_name='request')
    with op.batch_alter_table('staff', schema=None) as batch_op:
        batch_op.add_column(sa.Column('session_key', sa.String(length=64), nullable=False, server_default=''))
