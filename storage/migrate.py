"""The schema: create it, bring it up to date, tell whether it is.

Alembic is driven from here alone; there is no alembic.ini. A migration runs in one transaction on
both engines, so that a failed one leaves the database as it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from storage.engine import BUSY_TIMEOUT_MS, DatabaseUrlError

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

MIGRATIONS_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_263_512
"""The advisory lock under which one of several processes migrates PostgreSQL."""


class MigrationError(Exception):
    """The schema cannot be used; the text is one sentence for the operator."""


def migrate(url: str) -> None:
    """Bring the database to the newest schema; a missing one is created.

    Several processes may call it at once. Raises MigrationError, DatabaseUrlError.
    """
    parsed = parsed_url(url)
    if _is_newest(parsed):
        return
    from alembic import command

    _create_missing(parsed)
    with alembic_config(parsed) as config:
        _refuse_newer(config)
        command.upgrade(config, "head")


def create(url: str, revision: str) -> None:
    """Make an empty database of this revision. Raises MigrationError for one that this program lacks."""
    parsed = parsed_url(url)
    _create_missing(parsed)
    with alembic_config(parsed) as config:
        _upgrade(config, revision)


def create_empty(url: str) -> None:
    """Make a database without tables, if there is none."""
    _create_missing(parsed_url(url))


def build(connection: Connection, revision: str = "head") -> None:
    """Bring what this transaction of PostgreSQL sees to a revision; it goes when that is rolled back.

    Raises MigrationError for a revision that this program lacks.
    """
    _upgrade(_config_over(connection), revision)


def _upgrade(config: Config, revision: str) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(config, revision)
    except CommandError as error:
        sentence = "The data is of a newer version of the program: update this one first."
        raise MigrationError(sentence) from error


def _is_newest(url: URL) -> bool:
    """Whether there is nothing to do, found out without Alembic: it would stay in memory for ever."""
    if not _exists(url):
        return False
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return False
            versions = connection.execute(text("select version_num from alembic_version")).scalars()
            return list(versions) == [newest_revision()]
    finally:
        engine.dispose()


def pending(url: str) -> bool:
    """Whether `migrate` has something to do. A missing database is not created by asking.

    Raises MigrationError when the database was made by a newer version of the program.
    """
    parsed = parsed_url(url)
    if not _exists(parsed):
        return True
    with alembic_config(parsed) as config:
        _refuse_newer(config)
        return _current(config) != set(_script(config).get_heads())


def is_newest(url: str) -> bool:
    """The same the other way round, without reading Alembic into memory; False for one of a newer version."""
    return _is_newest(parsed_url(url))


def newest_revision() -> str:
    """What `migrate` brings a database to."""
    # Revisions are numbered, and a file's name begins with its number.
    return max(path.name for path in (MIGRATIONS_FOLDER / "versions").glob("[0-9]*.py")).partition("_")[0]


def missing(url: str) -> bool:
    """Whether there is no database at all yet, not even an old one."""
    return not _exists(parsed_url(url))


@contextmanager
def alembic_config(url: URL) -> Iterator[Config]:
    """Alembic's own configuration over one open transaction, committed at the end."""
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            yield _config_over(connection)
            _refuse_dangling(connection)
    finally:
        engine.dispose()


def _config_over(connection: Connection) -> Config:
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    return config


def parsed_url(url: str) -> URL:
    """The address with the driver that serves it. Raises DatabaseUrlError."""
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return parsed.set(drivername="sqlite")
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
    raise DatabaseUrlError("storage.url must be sqlite:///FILE or postgresql://…")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args={"connect_timeout": 10}
        )
    engine = create_engine(
        url, poolclass=NullPool, hide_parameters=True, connect_args={"isolation_level": None}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # A table is changed by building it anew and dropping the old one, which enforced foreign keys
    # would take for a deletion of every row. They are checked before the commit instead.
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.close()


def _refuse_dangling(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if dangling is not None:
        raise MigrationError(
            f"Nothing was changed: a row of {dangling[0]} would point to a missing row of {dangling[2]}; "
            "restore the last backup and try again."
        )


def _script(config: Config) -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config)


def _current(config: Config) -> set[str]:
    from alembic.migration import MigrationContext

    return set(MigrationContext.configure(config.attributes["connection"]).get_current_heads())


def _refuse_newer(config: Config) -> None:
    known = {revision.revision for revision in _script(config).walk_revisions()}
    if _current(config) - known:
        raise MigrationError(
            "The database was made by a newer version of priem: install that version or a later one."
        )


# --- a database that is not there yet ----------------------------------------------------------


def _exists(url: URL) -> bool:
    if url.get_backend_name() == "sqlite":
        return Path(url.database or "").is_file()
    with _maintenance(url) as connection:
        found = connection.execute(
            text("select 1 from pg_database where datname = :name"), {"name": url.database}
        )
        return found.first() is not None


def unfinished_restore(database: Path) -> Path:
    """Where a copy grows before it takes the place of this SQLite file."""
    return database.with_name(f"{database.name}.restoring")


def broken_restore(url: str) -> Path | None:
    """What a restore that was killed has left; the next one begins anew."""
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    found = unfinished_restore(Path(parsed.database or ""))
    return found if found.exists() else None


def _create_missing(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        database = Path(url.database or "")
        left = unfinished_restore(database)
        if not database.exists() and left.exists():
            raise MigrationError(
                f"A restore was broken off, and there is no database {database}: repeat `priem restore`, "
                f"or delete {left} to begin with an empty one."
            )
        database.resolve().parent.mkdir(parents=True, exist_ok=True)
    elif not _exists(url):
        with _maintenance(url) as connection:
            name = connection.dialect.identifier_preparer.quote_identifier(url.database or "")
            connection.exec_driver_sql(f"create database {name} encoding 'UTF8' template template0")


@contextmanager
def _maintenance(url: URL) -> Iterator[Connection]:
    """A connection to the server's own database; where it is closed to us, ours must exist already."""
    from sqlalchemy.exc import OperationalError

    for database in ("postgres", url.database):
        engine = _engine(url.set(database=database)).execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection = engine.connect()
        except OperationalError:
            if database == url.database:
                raise
            continue
        with connection:
            yield connection
        return


# --- for developers: python -m storage.migrate -------------------------------------------------


def _main() -> None:
    """Write a revision from the difference between the models and the newest schema."""
    import tempfile

    from alembic import command

    parser = argparse.ArgumentParser(description="Write a revision from what changed in storage/models.py.")
    parser.add_argument("message", help="what changes, in a few words")
    parser.add_argument(
        "--first", action="store_true", help="write the first revision anew: before a release only"
    )
    arguments = parser.parse_args()
    versions = MIGRATIONS_FOLDER / "versions"
    with (
        tempfile.TemporaryDirectory() as folder,
        alembic_config(make_url(f"sqlite:///{folder}/scratch")) as config,
    ):
        if not arguments.first:
            command.upgrade(config, "head")
            number = len(list(versions.glob("[0-9]*.py"))) + 1
            command.revision(config, arguments.message, autogenerate=True, rev_id=f"{number:04}")
            return
        # The later revisions stand on the first one, so it is written where nothing else lies.
        config.set_main_option("version_locations", folder)
        command.revision(config, arguments.message, autogenerate=True, rev_id="0001", version_path=folder)
        for old in versions.glob("0001_*.py"):
            old.unlink()
        for written in Path(folder).glob("0001_*.py"):
            (versions / written.name).write_text(written.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    _main()
