"""Who answered first and who said that it is done, whoever has the request now."""

from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

_COLUMNS = ('first_responder_id', 'done_by')


def upgrade() -> None:
    for name in _COLUMNS:
        # Not by a batch, which would copy all requests on SQLite.
        op.execute(
            f'ALTER TABLE request ADD COLUMN {name} INTEGER '
            f'CONSTRAINT fk_request_{name}_staff REFERENCES staff (id)'
        )
    # Each of these steps is in the history with the moment that the request bears. What is not found there
    # stays empty: nobody's figure is better than somebody else's.
    _fill('first_responder_id', 'first_response_at', ('answered', 'clarification_asked', 'done'))
    _fill('done_by', 'done_at', ('done',))


def _fill(name: str, moment: str, actions: tuple[str, ...]) -> None:
    listed = ', '.join(f"'{action}'" for action in actions)
    op.execute(
        f'UPDATE request SET {name} = ('
        'SELECT staff.id FROM history JOIN staff ON staff.person_id = history.actor_id '
        f"WHERE history.subject = 'request:' || request.id AND history.at = request.{moment} "
        f'AND history.action IN ({listed}) ORDER BY history.id LIMIT 1) '
        f'WHERE {moment} IS NOT NULL'
    )


def downgrade() -> None:
    with op.batch_alter_table('request', schema=None) as batch_op:
        for name in _COLUMNS:
            batch_op.drop_column(name)
