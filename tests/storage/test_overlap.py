"""The version before works on the tables of the newest one: a process of each may overlap for a while."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import JSON, Boolean, DateTime, Integer, MetaData, create_engine, insert, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from storage.migrate import alembic_config, migrate

BEFORE = "0005"
NO_LONGER_READ = {("staff", "session_key")}
"""No version that reads it was released: docs/decisions/0010."""
NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
OURS = {"alembic_version"}


@pytest.fixture
def tables_before(empty_url):
    """The tables as the version before knows them, in a database that is brought up to date since."""
    url = make_url(empty_url)
    url = url.set(drivername="sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg")
    migrate(empty_url)
    with alembic_config(url) as config:
        command.downgrade(config, BEFORE)
    engine = create_engine(url, poolclass=NullPool)
    known = MetaData()
    known.reflect(engine)
    migrate(empty_url)
    yield engine, known
    engine.dispose()


def test_every_column_that_it_reads_is_there_and_every_new_one_fills_itself(tables_before):
    engine, known = tables_before
    looked = inspect(engine)
    for table in known.sorted_tables:
        present = {column["name"]: column for column in looked.get_columns(table.name)}
        gone = {(table.name, name) for name in table.columns.keys() - present.keys()}
        assert gone <= NO_LONGER_READ
        for name in present.keys() - table.columns.keys():
            assert present[name]["nullable"] or present[name]["default"] is not None, (table.name, name)


def _value(column):
    match column.type:
        case Boolean():
            return True
        case Integer():
            return 1
        case DateTime():
            return NOW
        case JSON():
            return []
        case _:
            return _WORDS.get(f"{column.table.name}.{column.name}", "x")


_WORDS = {
    "staff.role": "director", "request.status": "new", "message.direction": "in", "inbox_event.state": "done",
    "letter.state": "sent", "history.previous_hash": "0" * 64, "history.hash": "1" * 64,
}  # fmt: skip


USED = (
    "person", "staff", "client", "chat", "request", "message", "inbox_event", "stage_interval", "letter",
    "history", "setting",
)  # fmt: skip


def test_rows_of_the_version_before_are_taken(tables_before):
    engine, known = tables_before
    with engine.begin() as connection:
        for name in USED:
            table = known.tables[name]
            columns = [
                column for column in table.columns
                if not column.nullable and (name, column.name) not in NO_LONGER_READ
            ]  # fmt: skip
            connection.execute(insert(table), {column.name: _value(column) for column in columns})
    with engine.connect() as connection:
        for name in USED:
            table = known.tables[name]
            read = [column for column in table.columns if (name, column.name) not in NO_LONGER_READ]
            assert len(connection.execute(select(*read)).all()) == 1, name
