"""Copies of the firm's data: taken while the service runs, encrypted, and proved by a trial restore.

A copy is a tar archive with what any system can open by hand: `READ-ME.txt`, `key.age` (a fresh
age identity under the passphrase, or absent when a public key was used) and `copy.tar.gz.age`. Inside
are the rows of every table as JSON lines, the files under their digests, and, last, a manifest with
counts and digests. Rows, not database files: a copy of SQLite comes back on PostgreSQL and vice versa,
and one of an older schema is migrated after it was put back. The format: https://age-encryption.org/v1
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, Self

from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Engine,
    MetaData,
    Table,
    create_engine,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, DBAPIError
from sqlalchemy.pool import NullPool
from sqlmodel import Session

from storage import history, migrate
from storage.engine import open_database
from storage.files import KeptFiles, NoSuchFile
from storage.models import Request

ROWS_AT_ONCE = 2000
PIPE_BYTES = 64 * 1024
FORMAT = 1
LOOKED_AT_BYTES = 8 * 2**20
"""After so much the free space is looked at again."""
PARTIAL = ".partial"
"""How the name of a copy ends that is not finished."""
TRIAL = "priem-verify-"
"""How the name of a trial restore's folder begins."""

_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_BODY = "copy.tar.gz.age"
_KEY = "key.age"
_READ_ME = "READ-ME.txt"
_MANIFEST = "manifest.json"
_SCHEMA = "schema.json"
_VERSION_TABLE = "alembic_version"
_OF_PEOPLE = frozenset(("person", "client", "request", "chat", "message", "inbox_event"))
"""Tables that have a row as soon as the firm has begun to use the program."""
_BY_HAND = """This is a copy of Priem's data. Bring it back with `priem restore FILE`.

By hand, without Priem, with tar and age (https://age-encryption.org):
  tar -xf FILE
  age -d key.age > identity.txt            (asks for the passphrase; not needed with your own identity)
  age -d -i identity.txt copy.tar.gz.age | tar -xz
tables/*/*.jsonl are the rows, files/* the files under their SHA-256, manifest.json the counts.
"""


class BackupError(Exception):
    """The copy cannot be made, read or put back; the text is one sentence for the operator."""


class NoRoom(BackupError):  # noqa: N818 - the name says what happened
    """There is not enough free space for a copy."""


class Taker(Protocol):
    """Takes the files of a copy back."""

    def put_back(self, sha256: str, content: IO[bytes]) -> str:
        """Returns the digest of what came; it is kept only if it is the one named."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a copy is locked with: a passphrase, or age's public key (`age1…`); to open, its identity.

    `witness` is a second public key that may open the copy: see `with_witness`. `other_passphrase` is tried
    when the first does not open it.
    """

    passphrase: str = field(default="", repr=False)
    recipient: str = ""
    identity: str = field(default="", repr=False)
    witness: str = ""
    other_passphrase: str = field(default="", repr=False)

    def with_witness(self) -> Key:
        """A key with which a copy can be proved although its own identity lies elsewhere.

        The copy opens for an identity of this process's own, too, which is kept nowhere: once the copy
        is proved and the process has ended, only the owner of the public key can open it.
        """
        if not self.recipient:
            return self
        own = _age().x25519.Identity.generate()
        return Key(recipient=self.recipient, identity=str(own), witness=str(own.to_public()))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a copy holds. Times are ISO 8601 in UTC."""

    format: int
    made_at: str
    revision: str
    rows: Mapping[str, int]
    files: int
    file_bytes: int
    history_rows: int
    digests: Mapping[str, str]
    """Member of the archive → SHA-256 of its bytes."""
    row_bytes: int = 0
    """How long the rows are as they stand in the archive, unpacked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial restore found; `troubles` are sentences, none when the copy is whole."""

    manifest: Manifest | None
    troubles: tuple[str, ...] = ()
    no_room: bool = False
    """Whether the trouble is that it could not be tried."""

    @property
    def whole(self) -> bool:
        """Whether the copy can be relied upon."""
        return not self.troubles


# --- taking a copy ---------------------------------------------------------------------------------


def write_copy(
    url: str, files: KeptFiles, out: Path, key: Key, now: datetime, *, keep_free: int = 0
) -> Manifest:
    """Write a consistent copy while others go on writing. It appears under its name whole or not at all.

    It is given up before less than `keep_free` bytes of the disk are left for others. Raises BackupError,
    NoRoom.
    """
    if migrate.missing(url):
        raise BackupError("There is no database yet: nothing to copy.")
    partial = out.with_name(f".{out.name}{PARTIAL}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _privately(partial, keep_free) as opened, tarfile.open(fileobj=opened, mode="w") as container:
            _add(container, _READ_ME, _BY_HAND.encode(), now)
            recipients, wrapped = _lock(key)
            if wrapped:
                _add(container, _KEY, wrapped, now)
            manifest = _add_streamed(container, opened, recipients, url, files, now)
        partial.replace(out)
        _flush(out.parent)
    except OSError as error:
        kind = NoRoom if error.errno in _NO_ROOM else BackupError
        raise kind(f"The copy cannot be written to {out}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return manifest


def _add_streamed(
    container: tarfile.TarFile,
    opened: io.BufferedRandom,
    recipients: list[Any],
    url: str,
    files: KeptFiles,
    now: datetime,
) -> Manifest:
    """Encrypt straight into the container; the size is written into its header afterwards."""
    header_at = container.offset
    header = _member(_BODY, 0, now)
    room = opened.write(_one_block(header))
    began = opened.tell()
    with _Piped(lambda sink: _write_plain(sink, url, files, now)) as plain:
        _encrypt(plain.stream, opened, recipients)
        manifest: Manifest = plain.result()
    header.size = opened.tell() - began
    opened.write(b"\0" * (-header.size % tarfile.BLOCKSIZE))
    container.offset = opened.tell()
    written = _one_block(header)
    assert len(written) == room
    opened.seek(header_at)
    opened.write(written)
    opened.seek(container.offset)
    return manifest


def _encrypt(plain: BinaryIO, sink: io.BufferedRandom, recipients: list[Any]) -> None:
    try:
        _age().encrypt_io(plain, sink, recipients)
    except _age().EncryptError as error:
        # It only quotes what the disk has said.
        refused = sink.raw.refused if isinstance(sink.raw, _Considerate) else None
        if refused is not None:
            raise refused from error
        raise BackupError("The copy could not be encrypted.") from error


def _write_plain(sink: BinaryIO, url: str, files: KeptFiles, now: datetime) -> Manifest:
    """The archive within: rows of one moment, then the files, which never change, then the manifest."""
    digests: dict[str, str] = {}
    with (
        gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        with _snapshot(url) as connection:
            revision, tables = _reflected(connection)
            _add(archive, _SCHEMA, json.dumps({"format": FORMAT, "revision": revision}).encode(), now)
            written = {table.name: _write_table(archive, connection, table, digests, now) for table in tables}
        count, size_bytes = _write_files(archive, files, digests, now)
        made_at = now.astimezone(UTC).isoformat(timespec="seconds")
        rows = {name: row_count for name, (row_count, _length) in written.items()}
        manifest = Manifest(
            FORMAT, made_at, revision, rows, count, size_bytes, rows.get("history", 0), digests,
            sum(length for _row_count, length in written.values()),
        )  # fmt: skip
        _add(archive, _MANIFEST, json.dumps(asdict(manifest), indent=1).encode(), now)
    return manifest


def _write_table(
    archive: tarfile.TarFile, connection: Connection, table: Table, digests: dict[str, str], now: datetime
) -> tuple[int, int]:
    """How many rows, and how many bytes they are."""
    ordered = select(table).order_by(*table.primary_key.columns)
    found = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(ordered)
    count = size_bytes = 0
    for number, part in enumerate(found.partitions(ROWS_AT_ONCE)):
        lines = b"".join(json.dumps([_plain(value) for value in row]).encode() + b"\n" for row in part)
        name = f"tables/{table.name}/{number:06d}.jsonl"
        digests[name] = hashlib.sha256(lines).hexdigest()
        _add(archive, name, lines, now)
        count, size_bytes = count + len(part), size_bytes + len(lines)
    return count, size_bytes


def _write_files(
    archive: tarfile.TarFile, files: KeptFiles, digests: dict[str, str], now: datetime
) -> tuple[int, int]:
    count = size_bytes = 0
    for sha256 in files.every_digest():
        try:
            member = _member(f"files/{sha256}", files.size_bytes(sha256), now)
            opened = files.open(sha256)
        except (NoSuchFile, FileNotFoundError):
            continue  # it was forgotten a moment ago
        with opened as content:
            read = _Hashed(content)
            archive.addfile(member, read)
        # What the disk has spoilt is told by the trial restore, and must not spoil all the rest.
        digests[member.name] = read.digest.hexdigest()
        count, size_bytes = count + 1, size_bytes + member.size
    return count, size_bytes


@dataclass(frozen=True, slots=True)
class _Hashed:
    """A stream, and the digest of what was read of it."""

    content: IO[bytes]
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1) -> bytes:
        chunk = self.content.read(size)
        self.digest.update(chunk)
        return chunk


def _plain(value: Any) -> Any:
    """A value as JSON holds it; SQLite's times are UTC without saying so."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def _snapshot(url: str) -> Iterator[Connection]:
    """Read everything as of one moment."""
    engine = _engine_for(migrate.parsed_url(url))
    try:
        with engine.connect() as opened, opened.execution_options(**_at_once(engine)).begin():
            yield opened
    finally:
        engine.dispose()


def _at_once(engine: Engine) -> dict[str, Any]:
    """SQLite's readers see one moment by themselves."""
    postgresql = engine.dialect.name == "postgresql"
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if postgresql else {}


def _reflected(connection: Connection) -> tuple[str, Sequence[Table]]:
    """The schema's revision, and the tables as they are, so that a row may refer to one before it."""
    found = MetaData()
    found.reflect(connection)
    version = found.tables.get(_VERSION_TABLE)
    if version is None:
        raise BackupError("This database is not Priem's: it has no schema version.")
    revision = connection.execute(select(version)).scalar_one()
    return revision, [table for table in found.sorted_tables if table.name != _VERSION_TABLE]


# --- reading a copy --------------------------------------------------------------------------------


@contextmanager
def _members(file: Path, key: Key) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """The archive within, member by member. Raises BackupError for a wrong key and for damage."""
    with _opened(file) as container:
        identity = _unlock(key, _content(container, _KEY) if _KEY in container.getnames() else None)
        body = container.extractfile(_BODY)
        assert body is not None
        with (
            _Piped(lambda sink: _age().decrypt_io(body, sink, [identity])) as plain,
            gzip.GzipFile(fileobj=plain.stream, mode="rb") as unpacked,
        ):
            with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                yield _each(archive)
            _drain(unpacked)


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    """The container of a copy. What goes wrong while it is open is told as a BackupError."""
    try:
        with tarfile.open(file, mode="r:") as container:
            if _BODY not in container.getnames():
                raise BackupError(f"{file} is not a copy made by Priem.")
            yield container
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise NoRoom(f"There is no room to restore {file.name}: {error.strerror}.") from error
        raise BackupError(f"{file} is damaged or cut short: {type(error).__name__}.") from error
    except _age().DecryptError as error:
        raise BackupError(f"{file} does not open: the key is another one, or it is damaged.") from error


def _each(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in archive:
        content = archive.extractfile(member)
        if content is not None:
            yield member.name, content


def _revision_of(first: tuple[str, IO[bytes]] | None) -> str:
    """The schema of the rows that follow. Raises BackupError."""
    if first is None or first[0] != _SCHEMA:
        raise BackupError("This is not a copy made by Priem.")
    found = json.loads(first[1].read())
    if found.get("format") != FORMAT:
        raise BackupError("The copy was made by a newer version of the program: update this one first.")
    return str(found["revision"])


def unlocked(file: Path, key: Key) -> Key:
    """The key that opens this copy at once: a passphrase is made to cost a second each time it is tried.

    Raises BackupError.
    """
    with _opened(file) as container:
        wrapped = _content(container, _KEY) if _KEY in container.getnames() else None
        return Key(identity=str(_unlock(key, wrapped)))


# --- putting a copy back ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """What came back, and what the data that was there before is called now; None if there was none."""

    manifest: Manifest
    aside: str | None


def bring_back(file: Path, key: Key, url: str, files: Taker, now: datetime) -> BroughtBack:
    """Put a copy where other data may be: that is renamed, never deleted, once the copy is there whole.

    Nobody else may work on the database. Whatever breaks this off, an error or a kill, leaves what was
    there as it was; only files of the copy may have come, which change nothing. Raises BackupError,
    MigrationError, OSError and what SQLAlchemy raises.
    """
    parsed = migrate.parsed_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _file_brought_back(file, key, parsed, files, now)
    return _schema_brought_back(file, key, url, files, now)


def restore(file: Path, key: Key, url: str, files: Taker) -> Manifest:
    """Put a copy into an empty place and bring its schema up to date. Raises BackupError.

    The database must not exist (SQLite) or must be empty (PostgreSQL). Broken off it leaves a database
    without rows: over data of a firm it is `bring_back`.
    """
    with _members(file, key) as members:
        migrate.create(url, _revision_of(next(members, None)))
        engine = _engine_for(migrate.parsed_url(url))
        try:
            with engine.begin() as connection:
                manifest = _put_all(connection, members, files)
        finally:
            engine.dispose()
    migrate.migrate(url)
    return manifest


def _put_all(connection: Connection, members: Iterator[tuple[str, IO[bytes]]], files: Taker) -> Manifest:
    _revision, tables = _reflected(connection)
    by_name = {table.name: table for table in tables}
    rows = dict.fromkeys(by_name, 0)
    digests: dict[str, str] = {}
    manifest: Manifest | None = None
    for name, content in members:
        if name.startswith("tables/"):
            _put_rows(connection, by_name, rows, name, content, digests)
        elif name.startswith("files/"):
            digests[name] = _put_file(files, name.removeprefix("files/"), content)
        elif name == _MANIFEST:
            manifest = Manifest(**json.loads(content.read()))
    if manifest is None:
        raise BackupError("The copy has no manifest: it was not finished.")
    came = {name: count for name, count in rows.items() if count}
    wanted = {name: count for name, count in manifest.rows.items() if count}
    if came != wanted or digests != dict(manifest.digests):
        raise BackupError("The copy does not hold what its manifest says: it is damaged.")
    _renumber(connection, tables)
    return manifest


def _put_file(files: Taker, sha256: str, content: IO[bytes]) -> str:
    try:
        return files.put_back(sha256, content)
    except OSError as error:
        # It is the place that fails, not the copy.
        kind = NoRoom if error.errno in _NO_ROOM else BackupError
        raise kind(f"The files of the copy cannot be written: {error.strerror or error}.") from error


def _put_rows(
    connection: Connection,
    tables: Mapping[str, Table],
    rows: dict[str, int],
    name: str,
    content: IO[bytes],
    digests: dict[str, str],
) -> None:
    lines = content.read()
    digests[name] = hashlib.sha256(lines).hexdigest()
    table_name = name.split("/")[1]
    table = tables.get(table_name)
    if table is None:
        raise BackupError(f"The copy has a table «{table_name}» that its own schema does not know.")
    naive = connection.dialect.name == "sqlite"
    for column in table.columns:
        if isinstance(column.type, JSON):
            column.type.none_as_null = True
    columns = [(column.name, isinstance(column.type, DateTime)) for column in table.columns]
    values = [
        {
            column: _moment(value, naive=naive) if is_time and value is not None else value
            for (column, is_time), value in zip(columns, json.loads(line), strict=True)
        }
        for line in lines.splitlines()
    ]
    connection.execute(table.insert(), values)
    rows[table_name] += len(values)


def _moment(value: str, *, naive: bool) -> datetime:
    at = datetime.fromisoformat(value)
    return at.replace(tzinfo=None) if naive else at


def _renumber(connection: Connection, tables: Sequence[Table]) -> None:
    """PostgreSQL counts on where the copy ended; SQLite takes the largest number by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        if "id" in table.columns and table.columns["id"].autoincrement:
            connection.execute(
                text(
                    f"select setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608 - our own names
                    f"coalesce((select max(id) from {table.name}), 0) + 1, false)"
                )
            )


def is_live(url: str) -> bool:
    """Whether something would be overwritten: a database in which somebody has written or is known.

    A damaged file counts as such: something of it may still be saved.
    """
    if migrate.missing(url):
        return False
    parsed = migrate.parsed_url(url)
    engine = _engine_for(parsed)
    try:
        with engine.connect() as connection:
            known = set(inspect(connection).get_table_names()) & _OF_PEOPLE
            return any(
                connection.execute(text(f"select 1 from {name} limit 1")).first()  # noqa: S608 - our own names
                for name in sorted(known)
            )
    except DatabaseError:
        if parsed.get_backend_name() != "sqlite":
            raise
        return True
    finally:
        engine.dispose()


# --- changing places with what was there ------------------------------------------------------------


def refuse_without_room(manifest: Manifest, url: str, files: KeptFiles, files_folder: Path | None) -> None:
    """Look whether a copy fits beside what is there. Raises NoRoom.

    `files_folder` is None for files that lie on no disk of this machine.
    """
    wanted: dict[Path, int] = {}
    parsed = migrate.parsed_url(url)
    if parsed.get_backend_name() == "sqlite":
        # The rows become a database with its indexes.
        wanted[_existing(Path(parsed.database or "").parent)] = 2 * manifest.row_bytes
    if files_folder is not None:
        place = _existing(files_folder)
        wanted[place] = wanted.get(place, 0) + _bytes_missing(manifest, files)
    by_disk: dict[int, tuple[Path, int]] = {}
    for place, size_bytes in wanted.items():
        first, more = by_disk.get(place.stat().st_dev, (place, 0))
        by_disk[place.stat().st_dev] = first, more + size_bytes
    for place, size_bytes in by_disk.values():
        free = shutil.disk_usage(place).free
        if free < size_bytes:
            told = f"{free // 10**6} MB are free in {place}, and the copy wants {size_bytes // 10**6 + 1} MB."
            raise NoRoom(told)


def _bytes_missing(manifest: Manifest, files: KeptFiles) -> int:
    there = 0
    for member in manifest.digests:
        if member.startswith("files/"):
            with suppress(NoSuchFile, FileNotFoundError):
                there += files.size_bytes(member.removeprefix("files/"))
    return max(0, manifest.file_bytes - there)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _file_brought_back(file: Path, key: Key, url: URL, files: Taker, now: datetime) -> BroughtBack:
    """SQLite: the copy becomes a file beside the old one, and they change places when it is whole."""
    database = Path(url.database or "")
    unfinished = migrate.unfinished_restore(database)
    _remove_database(unfinished)
    try:
        beside = url.set(database=str(unfinished)).render_as_string(hide_password=False)
        manifest = restore(file, key, beside, files)
        with unfinished.open("rb+") as written:
            os.fsync(written.fileno())
        return BroughtBack(manifest, _change_places(unfinished, database, now))
    finally:
        _remove_database(unfinished)


def _change_places(unfinished: Path, database: Path, now: datetime) -> str | None:
    """At no moment is there no database under the name, so that no service begins an empty one."""
    aside = database.with_name(f"{database.name}.before-restore-{now:%Y%m%dT%H%M%S}")
    existed = database.exists()
    if existed:
        _fold_log_in(database)
    with ExitStack() as undo:
        if existed:
            undo.callback(_named_twice(database, aside))
        # The log that could not be folded in belongs to the old file, and would spoil the new one.
        for suffix in ("-wal", "-shm"):
            here, there = database.with_name(database.name + suffix), aside.with_name(aside.name + suffix)
            if here.exists():
                here.rename(there)
                undo.callback(there.rename, here)
        unfinished.replace(database)
        undo.pop_all()
    _flush(database.parent)
    return str(aside) if existed else None


def _named_twice(database: Path, aside: Path) -> Callable[[], object]:
    """Give the file a second name; returns how that is undone."""
    try:
        aside.hardlink_to(database)
    except OSError:
        # A disk without second names: for a moment there is no database, which `migrate` knows.
        database.rename(aside)
        return lambda: aside.replace(database)
    return aside.unlink


def _fold_log_in(database: Path) -> None:
    """What SQLite keeps in a log beside the file becomes part of it, unless the file is damaged."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
            raise BackupError(f"The present database cannot be put aside: {error}.") from error


def _remove_database(file: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _schema_brought_back(file: Path, key: Key, url: str, files: Taker, now: datetime) -> BroughtBack:
    """PostgreSQL: one transaction renames the old schema and fills the new one."""
    migrate.create_empty(url)
    engine = _engine_for(migrate.parsed_url(url))
    try:
        with _members(file, key) as members, engine.begin() as connection:
            aside = _schema_put_aside(connection, f"before_restore_{now:%Y%m%dt%H%M%S}")
            migrate.build(connection, _revision_of(next(members, None)))
            manifest = _put_all(connection, members, files)
            migrate.build(connection)
    finally:
        engine.dispose()
    return BroughtBack(manifest, aside)


def _schema_put_aside(connection: Connection, name: str) -> str | None:
    if not inspect(connection).get_table_names():
        return None
    connection.execute(text(f"alter schema public rename to {name}"))
    connection.execute(text("create schema public"))
    # What is installed once for the whole database must be found by the new tables, too.
    installed = "select extname from pg_extension e join pg_namespace n on n.oid = e.extnamespace"
    for extension in connection.execute(text(f"{installed} where nspname = :name"), {"name": name}).scalars():
        quoted = connection.dialect.identifier_preparer.quote_identifier(extension)
        connection.execute(text(f"alter extension {quoted} set schema public"))
    return f"schema {name}"


# --- proving a copy --------------------------------------------------------------------------------


def verify(file: Path, key: Key, scratch: Path | None = None) -> Verdict:
    """Restore a copy into a temporary place and look whether the firm could go on from there.

    Its files are read and compared with their digests, but not written: `scratch`, or else the system's
    folder for such things, needs room for the database alone.
    """
    with tempfile.TemporaryDirectory(prefix=TRIAL, dir=scratch) as folder:
        url, files = f"sqlite:///{folder}/trial.sqlite3", _ReadThrough()
        try:
            manifest = restore(file, key, url, files)
        except (BackupError, migrate.MigrationError) as error:
            return Verdict(None, (str(error),), no_room=isinstance(error, NoRoom))
        except DBAPIError as error:
            told = f"The rows of the copy do not go into a database: {error.orig}."
            full = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            return Verdict(None, (told,), no_room=full)
        database = open_database(url)
        try:
            with database.read() as session:
                return Verdict(manifest, tuple(_troubles(session, manifest, files.whole)))
        finally:
            database.sync_engine.dispose()


@dataclass(frozen=True, slots=True)
class _ReadThrough:
    """Files that are looked at and kept nowhere."""

    whole: set[str] = field(default_factory=set)

    def put_back(self, sha256: str, content: IO[bytes]) -> str:
        found = hashlib.sha256()
        while chunk := content.read(PIPE_BYTES):
            found.update(chunk)
        if found.hexdigest() == sha256:
            self.whole.add(sha256)
        return found.hexdigest()


def _troubles(session: Session, manifest: Manifest, whole_files: Collection[str]) -> Iterator[str]:
    chain = history.verify(session)
    if not chain.ok:
        yield f"The chain of the history is broken at row {chain.broken_at}."
    if chain.rows != manifest.history_rows:
        yield f"The history has {chain.rows} rows instead of {manifest.history_rows}."
    lost = [
        sha256
        for (sha256,) in session.connection().execute(text("select distinct sha256 from attachment"))
        if sha256 not in whole_files
    ]
    if lost:
        yield f"{len(lost)} files of requests are not in the copy, the first is {lost[0]}."
    if manifest.rows.get("request", 0) and session.execute(select(Request).limit(1)).first() is None:
        yield "No request can be read from the copy."


# --- keys, pipes, archives -------------------------------------------------------------------------


def _age() -> Any:
    import pyrage

    return pyrage


def _lock(key: Key) -> tuple[list[Any], bytes]:
    """The recipients to encrypt for, and the identity under the passphrase if there is one."""
    age = _age()
    if key.recipient:
        try:
            named = [told for told in (key.recipient, key.witness) if told]
            return [age.x25519.Recipient.from_str(told) for told in named], b""
        except age.RecipientError as error:
            raise BackupError("The public key is not age's: it begins with age1.") from error
    if not key.passphrase:
        raise BackupError("A copy needs a passphrase or a public key.")
    identity = age.x25519.Identity.generate()
    return [identity.to_public()], age.passphrase.encrypt(str(identity).encode(), key.passphrase)


def _unlock(key: Key, wrapped: bytes | None) -> Any:
    age = _age()
    try:
        if wrapped is None or key.identity:
            return age.x25519.Identity.from_str(key.identity.strip())
        return age.x25519.Identity.from_str(_unwrapped(key, wrapped).decode())
    except age.IdentityError as error:
        sentence = "The copy was made for a public key: give the identity that belongs to it."
        raise BackupError(sentence) from error


def _unwrapped(key: Key, wrapped: bytes) -> bytes:
    age = _age()
    try:
        return bytes(age.passphrase.decrypt(wrapped, key.passphrase))
    except age.DecryptError:
        if not key.other_passphrase:
            raise
        return bytes(age.passphrase.decrypt(wrapped, key.other_passphrase))


class _Piped:
    """What `work` writes into its stream in a thread is read here; its failure comes out here too."""

    def __init__(self, work: Callable[[BinaryIO], Any]) -> None:
        self._work = work
        self._result: Any = None
        self._failure: BaseException | None = None
        read_end, write_end = os.pipe()
        self.stream: BinaryIO = os.fdopen(read_end, "rb", PIPE_BYTES)
        self._far = os.fdopen(write_end, "wb", PIPE_BYTES)
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)

    def _run(self) -> None:
        try:
            with self._far as far:
                self._result = self._work(far)
        except BaseException as failure:  # noqa: BLE001 - it is raised again on the other side
            self._failure = failure

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stream.close()
        self._thread.join()
        # What broke the far half is the cause; its broken pipe only follows from a failure of ours.
        if self._failure is not None and not isinstance(self._failure, BrokenPipeError):
            raise self._failure

    def result(self) -> Any:
        """What `work` returned, once its stream has ended."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._result


def _drain(stream: gzip.GzipFile) -> None:
    """Read to the end, so that a stream that was cut short is noticed."""
    while stream.read(PIPE_BYTES):
        pass


def _content(container: tarfile.TarFile, name: str) -> bytes:
    member = container.extractfile(name)
    return member.read() if member else b""


def _member(name: str, size: int, now: datetime) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, int(now.timestamp()), 0o600
    return member


def _one_block(member: tarfile.TarInfo) -> bytes:
    """A header that is as long for any size; that of Python's own choice grows over 8 GiB."""
    return member.tobuf(tarfile.GNU_FORMAT)


def _add(archive: tarfile.TarFile, name: str, content: bytes, now: datetime) -> None:
    archive.addfile(_member(name, len(content), now), io.BytesIO(content))


@contextmanager
def _privately(path: Path, keep_free: int) -> Iterator[io.BufferedRandom]:
    """A new file that nobody else can read, flushed to the disk at the end."""
    with io.BufferedRandom(_Considerate(path, keep_free), PIPE_BYTES) as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())


class _Considerate(io.FileIO):
    """A file that is refused growth before the disk is full for everybody else."""

    def __init__(self, path: Path, keep_free: int) -> None:
        super().__init__(path, "w+b", opener=lambda name, flags: os.open(name, flags, 0o600))
        self._folder, self._keep_free = path.parent, keep_free
        self._until_look = 0
        self.refused: OSError | None = None
        """Why the last write was."""

    def write(self, content: Any) -> int:
        try:
            self._look()
            written = super().write(content)
        except OSError as error:
            self.refused = error
            raise
        self._until_look -= written
        return written

    def _look(self) -> None:
        if not self._keep_free or self._until_look > 0:
            return
        self._until_look = LOOKED_AT_BYTES
        if shutil.disk_usage(self._folder).free < self._keep_free:
            raise OSError(errno.ENOSPC, "the rest of the disk is left for the service")


def _flush(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _engine_for(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, poolclass=NullPool, hide_parameters=True)
    engine = create_engine(
        url, poolclass=NullPool, hide_parameters=True, connect_args={"isolation_level": None}
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine
