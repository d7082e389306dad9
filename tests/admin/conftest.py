"""The panel over a fresh copy of a migrated database per test."""

import sqlite3

import pytest

from storage.migrate import migrate
from tests.admin.office import fill, open_office


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    file = tmp_path_factory.mktemp("template") / "empty.sqlite3"
    migrate(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    return file


@pytest.fixture
def office(tmp_path, empty_database):
    """A firm without requests."""
    opened = open_office(tmp_path, empty_database)
    yield opened
    opened.database.sync_engine.dispose()


@pytest.fixture
def busy(office):
    """The firm with requests in every state; `busy.numbers` are in `office`."""
    return office, fill(office)
