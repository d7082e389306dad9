"""The history of changes: rows are only added, and each row's hash covers the row before it.

The database refuses to change or delete a row (migration 0002); whoever goes round that breaks the
chain, and `verify` says where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Row, insert, select, text
from sqlmodel import Session, col

from storage.models import History, metadata

GENESIS = "0" * 64
"""What stands in the first row for the hash of the row before it."""

_LOCK = 7_263_513
_TAIL = "history_tail"
_ROWS_AT_ONCE = 1000


_NEWEST = select(col(History.hash)).order_by(col(History.id).desc()).limit(1)
_ADD = insert(metadata.tables["history"])


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row before it has its hash."""

    at: datetime
    actor_id: int | None
    through: str
    action: str
    subject: str
    before: str
    after: str
    previous_hash: str


@dataclass(frozen=True, slots=True)
class HistoryCheck:
    """Whether the chain is whole. `broken_at` is the id of the first row that does not fit."""

    ok: bool
    rows: int
    broken_at: int | None = None


@dataclass(frozen=True, slots=True)
class HistoryPart:
    """A stretch of the chain that was walked: so many rows, the last with this id; the end was reached."""

    rows: int
    last_id: int
    finished: bool
    broken_at: int | None = None


def record(
    session: Session,
    *,
    at: datetime,
    actor_id: int | None,
    through: str,
    action: str,
    subject: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
) -> None:
    """Add one row to the chain in the session's transaction.

    `at` is aware UTC, `subject` is like `request:17`; `before` and `after` hold what JSON can hold.
    On PostgreSQL other writers of history wait for this transaction. Whoever locks rows that another
    use case may lock calls `wait_turn` before.
    """
    previous_hash = _tail(session)
    entry = _Entry(
        at.astimezone(UTC),
        actor_id,
        through,
        action,
        subject,
        _canonical(before),
        _canonical(after),
        previous_hash,
    )
    digest = _hash_of(entry)
    session.connection().execute(_ADD, asdict(entry) | {"hash": digest})
    session.info[_TAIL] = (session.get_transaction(), session.get_nested_transaction(), digest)


def wait_turn(session: Session) -> None:
    """Be the only writer of history until the end of this transaction (as on SQLite everybody is).

    Called before the first row is locked, it spares two transactions that both have several requests
    to change from waiting for each other.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def verify(session: Session) -> HistoryCheck:
    """Walk the whole chain, oldest row first, without holding it in memory.

    Rows cut off at the newest end leave no trace here: compare `rows` with the last backup's.
    """
    part = verify_part(session)
    return HistoryCheck(part.broken_at is None, part.rows, part.broken_at)


def verify_part(session: Session, after_id: int = 0, most_rows: int | None = None) -> HistoryPart:
    """Walk the chain from the row after this one, at most so many rows of it.

    The row `after_id` is trusted: whoever goes on where a part ended has walked it already.
    """
    known = select(col(History.hash)).where(col(History.id) == after_id)
    previous_hash = session.connection().execute(known).scalar() or GENESIS
    rows, last_id = 0, after_id
    for row in islice(_oldest_first(session, after_id), most_rows):
        rows += 1
        if row.previous_hash != previous_hash or row.hash != _hash_of(row):
            return HistoryPart(rows, last_id, finished=False, broken_at=row.id)
        previous_hash, last_id = row.hash, row.id
    return HistoryPart(rows, last_id, finished=most_rows is None or rows < most_rows)


def _oldest_first(session: Session, last_id: int = 0) -> Iterator[Row[*tuple[Any, ...]]]:
    table = metadata.tables["history"]
    while True:
        page = select(*table.c).where(table.c.id > last_id).order_by(table.c.id).limit(_ROWS_AT_ONCE)
        rows = session.connection().execute(page).all()
        yield from rows
        if len(rows) < _ROWS_AT_ONCE:
            return
        last_id = rows[-1].id


def _tail(session: Session) -> str:
    """The hash of the newest row, read once per transaction: nobody else can add one meanwhile."""
    transaction, nested, known = session.info.get(_TAIL, (None, None, ""))
    # A savepoint that was rolled back took its rows with it, hence both are compared.
    if transaction is not None and (transaction, nested) == (
        session.get_transaction(),
        session.get_nested_transaction(),
    ):
        return str(known)
    session.flush()
    wait_turn(session)
    return session.connection().execute(_NEWEST).scalar() or GENESIS


def _canonical(values: Mapping[str, object] | None) -> str:
    if values is None:
        return ""
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _hash_of(row: _Entry | Row[*tuple[Any, ...]]) -> str:
    at = row.at.astimezone(UTC).isoformat(timespec="microseconds")
    covered = [
        row.previous_hash,
        at,
        row.actor_id,
        row.through,
        row.action,
        row.subject,
        row.before,
        row.after,
    ]
    return hashlib.sha256(json.dumps(covered, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
