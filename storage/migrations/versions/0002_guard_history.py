"""Forbid changing and deleting history.

Written by hand: Alembic sees no triggers. On SQLite a later revision that rebuilds the table in batch
mode drops them and must create them again.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQLITE_UP = (
    "CREATE TRIGGER history_keeps_rows BEFORE DELETE ON history "
    "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
    "CREATE TRIGGER history_keeps_values BEFORE UPDATE ON history "
    "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
)
SQLITE_DOWN = ("DROP TRIGGER history_keeps_values", "DROP TRIGGER history_keeps_rows")

POSTGRESQL_UP = (
    "CREATE FUNCTION history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'history is append-only'; END $$",
    "CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history "
    "FOR EACH STATEMENT EXECUTE FUNCTION history_is_append_only()",
)
POSTGRESQL_DOWN = (
    "DROP TRIGGER history_is_append_only ON history",
    "DROP FUNCTION history_is_append_only()",
)


def upgrade() -> None:
    for statement in SQLITE_UP if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in SQLITE_DOWN if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_DOWN:
        op.execute(statement)
