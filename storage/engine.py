"""The database: one async engine for the bots, one plain engine for the panel, the same rules for both.

SQLite: one writer connection, WAL, synchronous=FULL, foreign keys on. A transaction that may write
begins with BEGIN IMMEDIATE: SQLAlchemy's and sqlite3's own modes lose updates silently when two
connections read and then write. PostgreSQL: psycopg 3 for both engines.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import StaticPool
from sqlmodel import Session

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
TRANSACTION_SECONDS = 30.0
"""Of the bots, on a server: far more than a batch of messages takes."""
LEFT_OPEN_MS = 10_000
"""A transaction in which the server hears nothing for so long is of a process that is gone: its locks go."""
COLLISIONS_BORNE = 3
READ_ONLY = "priem_read_only"
_WRITER = "priem_writer"


def _to_json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Half of a surrogate pair, which a messenger's JSON may hold and UTF-8 cannot.
        return json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()


_JSON: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": orjson.loads}


class Damaged(Exception):  # noqa: N818 - a sentence for the operator
    """The database is damaged: nothing may be written into it."""


class Watch(Protocol):
    """Whoever is told how writing goes."""

    def before(self) -> None:
        """Something is about to be written. Raises Damaged when it may not be."""

    def failed(self, error: Exception) -> None:
        """Nothing of a transaction was kept, for this reason."""


class DatabaseUrlError(ValueError):
    """The storage url is not one of ours: use sqlite:///FILE or postgresql://SERVER/DATABASE."""


@dataclass(frozen=True, slots=True)
class Database:
    """Open engines over one database. `close` lets them go."""

    url: URL
    async_engine: AsyncEngine
    sync_engine: Engine
    is_sqlite: bool = field(default=True)
    watch: Watch | None = None

    async def transact(self, work: Callable[[Session], T]) -> T:
        """Run plain functions over a Session in one write transaction; commit, or roll back on any error.

        On a server `work` runs again when other processes collided with it, so it must not remember.
        """
        if self.watch is None:
            return await self._transact(work)
        self.watch.before()
        try:
            return await self._transact(work)
        except Exception as error:
            self.watch.failed(error)
            raise

    async def _transact(self, work: Callable[[Session], T]) -> T:
        if self.is_sqlite:
            return await self._transact_in_writer_thread(work)
        for _attempt in range(COLLISIONS_BORNE):
            try:
                return await self._transact_on_server(work)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _COLLISION:
                    raise
        return await self._transact_on_server(work)

    async def _transact_on_server(self, work: Callable[[Session], T]) -> T:
        # A line that was cut says nothing by itself: whoever waits here would wait for ever.
        async with (
            asyncio.timeout(TRANSACTION_SECONDS),
            AsyncSession(self.async_engine, sync_session_class=Session, expire_on_commit=False) as session,
            session.begin(),
        ):
            return await session.run_sync(work)  # type: ignore[arg-type]

    async def _transact_in_writer_thread(self, work: Callable[[Session], T]) -> T:
        """Run the whole transaction in the thread of aiosqlite's connection.

        Statement by statement each would cost two switches of threads and a turn of the event loop,
        more than the statement itself (docs/decisions/0005). Once begun it is finished,
        even if whoever waits for it is cancelled.
        """
        async with self.async_engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            if _WRITER not in raw.info:
                raw.info[_WRITER] = _engine_over(raw.driver_connection._conn)
            return await asyncio.shield(raw.driver_connection._execute(_transact, raw.info[_WRITER], work))

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A write transaction on the calling thread: the panel's and the command line's way in."""
        if self.watch is not None:
            self.watch.before()
        with Session(self.sync_engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent read that never waits for the writer."""
        engine = self.sync_engine.execution_options(**{READ_ONLY: True})
        with Session(engine, expire_on_commit=False) as session:
            yield session

    async def close(self) -> None:
        """Close both engines' connections."""
        await self.async_engine.dispose()
        self.sync_engine.dispose()


def _transact(engine: Engine, work: Callable[[Session], T]) -> T:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        return work(session)


def _engine_over(connection: sqlite3.Connection) -> Engine:
    """A plain engine over one connection that is open already and belongs to somebody else."""
    engine = create_engine(
        "sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None,
        hide_parameters=True, **_JSON,
    )  # fmt: skip
    event.listen(engine, "begin", _begin)
    return engine


def session_name(process: str) -> str:
    """What a process calls its sessions on a PostgreSQL server, for the others to find them."""
    return f"priem {process}"[:63]


def open_database(url: str, watch: Watch | None = None, process: str = "") -> Database:
    """Open `sqlite:///FILE` or `postgresql://…`; nothing is created but the folder of a SQLite file.

    `process` is the name of whoever shares the database with other processes: see `session_name`.

    Raises DatabaseUrlError for another kind of url.
    """
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _open_sqlite(parsed, watch)
    if kind == "postgresql":
        return _open_postgresql(parsed, watch, session_name(process))
    raise DatabaseUrlError(f"storage.url begins with «{kind}»: use sqlite:///FILE or postgresql://…")


def _open_sqlite(url: URL, watch: Watch | None) -> Database:
    if not url.database or url.database == ":memory:":
        raise DatabaseUrlError("storage.url names no file: write sqlite:///priem.sqlite3")
    Path(url.database).resolve().parent.mkdir(parents=True, exist_ok=True)
    # One connection for all writers of the bots: a second one would only wait for it.
    writer = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        pool_size=1, max_overflow=0, pool_timeout=60, pool_reset_on_return=None,
        hide_parameters=True, connect_args={"isolation_level": None}, **_JSON,
    )  # fmt: skip
    panel = create_engine(
        url.set(drivername="sqlite"),
        pool_size=4, max_overflow=4,
        hide_parameters=True, connect_args={"isolation_level": None, "check_same_thread": False}, **_JSON,
    )  # fmt: skip
    for engine in (writer.sync_engine, panel):
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    return Database(url, writer, panel, is_sqlite=True, watch=watch)


def _set_pragmas(connection: DBAPIConnection, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}", "cache_size=-16000", "temp_store=MEMORY",
    ):  # fmt: skip
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _open_postgresql(url: URL, watch: Watch | None, name: str) -> Database:
    url = url.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {"pool_pre_ping": True, "hide_parameters": True, **_JSON}
    return Database(
        url,
        create_async_engine(
            url, pool_size=5, max_overflow=5,
            connect_args=_server_arguments(name, f"-c idle_in_transaction_session_timeout={LEFT_OPEN_MS}"),
            **options,
        ),
        create_engine(url, pool_size=5, max_overflow=5, connect_args=_server_arguments(name), **options),
        is_sqlite=False,
        watch=watch,
    )  # fmt: skip


def _server_arguments(name: str, *options: str) -> dict[str, Any]:
    """What libpq gets; both ends notice within half a minute that the other one is gone."""
    return {
        "application_name": name,
        "connect_timeout": 10,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "options": " ".join(
            ("-c timezone=UTC -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2", *options)
        ),
    }


_SQLITE_IS_DOWN = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB,
    }
)  # fmt: skip

_COLLISION = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock: the same may succeed a moment later."""

# Connections, read-only standbys, rollbacks, resources, locks, the operator, the disk:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL_IS_DOWN = ("08", "25006", "40", "53", "55", "57", "58")


def storage_is_down(error: BaseException) -> bool:
    """Whether an error says that the database itself cannot keep anything now: locked, full, gone.

    The opposite is an error of one message that it will never take.
    """
    if isinstance(error, PoolTimeout | Damaged):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        # The upper bits say more than we need: https://www.sqlite.org/rescode.html
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_IS_DOWN
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", None)
    if code is None:
        # psycopg's own, by name: with SQLite it is never imported.
        return type(error.orig).__name__ == "OperationalError"
    return str(code).startswith(_POSTGRESQL_IS_DOWN)


__all__ = ["Damaged", "Database", "DatabaseUrlError", "Watch", "open_database", "storage_is_down"]
