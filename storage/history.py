"""The history of changes: rows are only added, and each row's hash covers the row before it.

The database refuses to change or delete a row (migrations 0002 and 0006); whoever goes round that breaks
the chain, and `verify` says where. One thing may go: the values of rows about a person who was erased. The
chain covers their salted digest, not themselves, so it holds without them (docs/decisions/0011).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Row, exists, insert, select, text, update
from sqlmodel import Session, col

from storage.models import History, metadata

GENESIS = "0" * 64
"""What stands in the first row for the hash of the row before it."""

PERSON_ERASED = "person_erased"
"""The action of the rows that say why values are gone."""

_LOCK = 7_263_513
_TAIL = "history_tail"
_ROWS_AT_ONCE = 1000


_NEWEST = select(col(History.hash)).order_by(col(History.id).desc()).limit(1)
_ROWS = metadata.tables["history"]
_ADD = insert(_ROWS)


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
    salt: str
    values_digest: str
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
    was, became, salt = _canonical(before), _canonical(after), secrets.token_hex(16)
    entry = _Entry(
        at=at.astimezone(UTC),
        actor_id=actor_id,
        through=through,
        action=action,
        subject=subject,
        before=was,
        after=became,
        salt=salt,
        values_digest=_digest_of(salt, was, became),
        previous_hash=_tail(session),
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


def forget_values(session: Session, subjects: Collection[str], harmless: Collection[str]) -> int:
    """Erase for good what the rows about these subjects say, unless all of it has harmless names.

    That it happened, when, by whom and through what stays. Whoever calls it records `PERSON_ERASED` for
    each of the subjects afterwards: without it `verify` calls the chain broken. Returns the number of rows.
    """
    told = select(_ROWS.c.id, _ROWS.c.before, _ROWS.c.after).where(
        _ROWS.c.subject.in_(subjects), _ROWS.c.salt != ""
    )
    going = [
        row.id
        for row in session.connection().execute(told)
        if not (_names(row.before) | _names(row.after)).issubset(harmless)
    ]
    blank = update(_ROWS).values(before="", after="", salt="")
    for first in range(0, len(going), _ROWS_AT_ONCE):
        session.connection().execute(blank.where(_ROWS.c.id.in_(going[first : first + _ROWS_AT_ONCE])))
    return len(going)


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
        if row.previous_hash != previous_hash or row.hash != _hash_of(row) or not _holds(session, row):
            return HistoryPart(rows, last_id, finished=False, broken_at=row.id)
        previous_hash, last_id = row.hash, row.id
    return HistoryPart(rows, last_id, finished=most_rows is None or rows < most_rows)


def _oldest_first(session: Session, last_id: int = 0) -> Iterator[Row[*tuple[Any, ...]]]:
    while True:
        page = select(*_ROWS.c).where(_ROWS.c.id > last_id).order_by(_ROWS.c.id).limit(_ROWS_AT_ONCE)
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


def _names(kept: str) -> set[str]:
    return set(json.loads(kept)) if kept else set()


def _digest_of(salt: str, before: str, after: str) -> str:
    return _sha256([salt, before, after])


def _holds(session: Session, row: Row[*tuple[Any, ...]]) -> bool:
    """Whether the values are those that were written, or were erased with the person they tell of."""
    if not row.values_digest:
        return True  # written before values had digests: the row's own hash covers them
    if row.salt:
        return bool(row.values_digest == _digest_of(row.salt, row.before, row.after))
    why = exists().where(_ROWS.c.subject == row.subject, _ROWS.c.action == PERSON_ERASED, _ROWS.c.id > row.id)
    return not row.before and not row.after and bool(session.connection().execute(select(why)).scalar())


def _hash_of(row: _Entry | Row[*tuple[Any, ...]]) -> str:
    at = row.at.astimezone(UTC).isoformat(timespec="microseconds")
    values = [row.values_digest] if row.values_digest else [row.before, row.after]
    return _sha256([row.previous_hash, at, row.actor_id, row.through, row.action, row.subject, *values])


def _sha256(covered: list[Any]) -> str:
    return hashlib.sha256(json.dumps(covered, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
