"""The schema: up, down, up, equal to the models, on both engines."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from storage import casework
from storage.engine import DatabaseUrlError, open_database
from storage.migrate import MIGRATIONS_FOLDER, MigrationError, alembic_config, migrate, missing, pending
from storage.models import Request, metadata
from tests.storage.firm import MINUTE, Firm


def _alembic_url(url):
    parsed = make_url(url)
    return parsed.set(drivername="sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql+psycopg")


def _revisions():
    return [revision.revision for revision in ScriptDirectory(str(MIGRATIONS_FOLDER)).walk_revisions()][::-1]


def test_a_missing_database_is_created(empty_url):
    assert missing(empty_url)
    assert pending(empty_url)
    assert missing(empty_url)
    migrate(empty_url)
    assert not missing(empty_url)
    assert not pending(empty_url)
    migrate(empty_url)
    assert not pending(empty_url)


def test_every_revision_goes_up_and_down_and_up_again(empty_url):
    migrate(empty_url)
    url = _alembic_url(empty_url)
    for revision in _revisions()[::-1]:
        for step, target in (
            (command.downgrade, f"{revision}-1"),
            (command.upgrade, revision),
            (command.downgrade, "-1"),
        ):
            with alembic_config(url) as config:
                step(config, "base" if revision == _revisions()[0] and step is command.downgrade else target)
    assert pending(empty_url)
    migrate(empty_url)
    assert not pending(empty_url)


async def test_going_down_leaves_nothing(database, database_url):
    with alembic_config(_alembic_url(database_url)) as config:
        command.downgrade(config, "base")
    with database.sync_engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


async def test_the_models_are_what_the_migrations_make(database):
    with database.sync_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


async def test_check_constraints_are_what_the_models_say(database):
    # Alembic does not compare them.
    with database.sync_engine.connect() as connection:
        found = {
            constraint["name"]
            for table in metadata.tables
            for constraint in inspect(connection).get_check_constraints(table)
        }
    wanted = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if type(constraint).__name__ == "CheckConstraint"
    }
    assert found == wanted


def test_several_processes_may_migrate_at_once(empty_url):
    if empty_url.startswith("postgresql"):
        migrate(empty_url)
        with alembic_config(_alembic_url(empty_url)) as config:
            command.downgrade(config, "base")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [empty_url] * 4))
    assert not pending(empty_url)


def test_a_newer_database_is_refused(empty_url):
    migrate(empty_url)
    database = open_database(empty_url)
    with database.begin() as session:
        session.connection().execute(text("update alembic_version set version_num = '9999'"))
    database.sync_engine.dispose()
    for ask in (pending, migrate):
        with pytest.raises(MigrationError, match="newer version"):
            ask(empty_url)


def test_a_failed_migration_leaves_nothing_behind(empty_url, monkeypatch):
    migrate(empty_url)
    url = _alembic_url(empty_url)
    with alembic_config(url) as config:
        command.downgrade(config, "base")
    database = open_database(empty_url)
    with database.begin() as session:
        session.connection().execute(text("create table history (id integer)"))
    with pytest.raises(DBAPIError):
        migrate(empty_url)
    with database.sync_engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
    database.sync_engine.dispose()
    assert tables <= {"history", "alembic_version"}


def test_asking_creates_no_file(tmp_path):
    file = tmp_path / "folder" / "priem.sqlite3"
    assert pending(f"sqlite:///{file}")
    assert not file.parent.exists()


def test_who_did_the_work_is_found_in_the_history(database, database_url):
    firm = Firm.open(database)
    number, unheard, again = (firm.accepted_by("anna") for _each in range(3))
    firm.clock += MINUTE
    firm.do(casework.answer, "anna", number, "Смотрим", ())
    firm.do(casework.clarify, "elena", again, "task", "Какой счёт?")
    firm.clock += MINUTE
    for each in (number, again):
        firm.do(casework.reassign, "elena", each, firm.staff["boris"], "")
        firm.do(casework.accept, "boris", each)
    firm.do(casework.done, "boris", number, "Готово", ())
    firm.do(casework.done, "elena", again, "Готово", ())
    firm.clock += MINUTE
    firm.do(casework.reopen, "pyotr" if firm.request(again).client_id == 2 else "maria", again, "не то")
    firm.do(casework.done, "boris", again, "Теперь готово", ())
    # This one was written into the table without a history.
    firm.change(Request, unheard, first_response_at=firm.clock, done_at=firm.clock)
    known = {row.id: (row.first_responder_id, row.done_by) for row in firm.rows(Request)}
    anna, boris, elena = (firm.staff[key] for key in ("anna", "boris", "elena"))
    assert known == {number: (anna, boris), unheard: (None, None), again: (elena, boris)}
    with alembic_config(_alembic_url(database_url)) as config:
        command.downgrade(config, "0006")
        command.upgrade(config, "head")
    assert {row.id: (row.first_responder_id, row.done_by) for row in firm.rows(Request)} == known


def test_dangling_rows_stop_a_migration(tmp_path):
    file = tmp_path / "priem.sqlite3"
    migrate(f"sqlite:///{file}")
    with alembic_config(_alembic_url(f"sqlite:///{file}")) as config:
        command.downgrade(config, "0001")
    with sqlite3.connect(file) as connection:
        connection.execute("insert into client_person values (1, 2, '2026-11-22 00:00:00')")
    connection.close()
    with pytest.raises(MigrationError, match=r"client_person.*missing row"):
        migrate(f"sqlite:///{file}")


@pytest.mark.parametrize("url", ["mysql://host/database", "sqlite://", "sqlite:///:memory:"])
def test_foreign_urls_are_refused(url):
    with pytest.raises(DatabaseUrlError):
        migrate(url)
