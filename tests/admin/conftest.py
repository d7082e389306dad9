"""The panel over a fresh copy of a migrated database per test."""

import sqlite3

import pytest

from storage.migrate import migrate
from tests.admin.office import copy_of, fill, open_office


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


@pytest.fixture(scope="session")
def busy_template(tmp_path_factory, empty_database):
    """A firm with requests in every state, made once: carrying them out takes longer than most tests."""
    opened = open_office(tmp_path_factory.mktemp("busy"), empty_database)
    return opened, fill(opened)


@pytest.fixture
def busy(tmp_path, busy_template):
    """The firm with requests in every state, and their numbers by what they are."""
    opened, numbers = busy_template
    office = copy_of(opened, tmp_path)
    yield office, dict(numbers)
    office.database.sync_engine.dispose()
