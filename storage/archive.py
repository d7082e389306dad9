"""The archive of the history: ordered by a director, made by the administrator, and nothing is deleted.

An archive is a file that proves itself: every line of the chain from the first one, with its hashes.
The lines stay in the database too: taking one out would break the chain for all that come after it.
The order and every archive that was made are lines of the history themselves.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from sqlalchemy import Row, select
from sqlmodel import Session, col

from storage import history
from storage.models import History, Person, metadata
from storage.roster import Act

ORDERED, MADE = "archive_ordered", "archive_made"
ORDERS_SHOWN = 50
_ROWS_AT_ONCE = 1000
_table = metadata.tables["history"]


@dataclass(frozen=True, slots=True)
class Made:
    """An archive that was taken."""

    at: datetime
    by: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Order:
    """A director's order to archive the history up to the end of a day."""

    order_id: int
    until: date
    reason: str
    at: datetime
    by: str
    made: tuple[Made, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What an archive holds: so many lines, the last one with this number and hash; the file's digest."""

    rows: int
    last_id: int
    last_hash: str
    sha256: str


def order(session: Session, act: Act, until: date, reason: str) -> None:
    """Record a director's order."""
    _record(session, act, ORDERED, _subject(until), {"until": until.isoformat(), "reason": reason})


def orders(session: Session) -> tuple[Order, ...]:
    """The latest orders, newest first, each with what was made of it."""
    return tuple(
        Order(
            line.id or 0, date.fromisoformat(kept["until"]), str(kept["reason"]), line.at, name or "",
            _made_of(session, line),
        )
        for line, name in session.execute(_lines(ORDERED).limit(ORDERS_SHOWN))
        for kept in (json.loads(line.after),)
    )  # fmt: skip


def read_order(session: Session, order_id: int) -> Order | None:
    """The order with this number."""
    return next((found for found in orders(session) if found.order_id == order_id), None)


def write(session: Session, ordered: Order, zone: ZoneInfo, out: BinaryIO) -> Written:
    """Write the archive as a zip: the lines as JSON, one a line, and what they must add up to."""
    end = datetime.combine(ordered.until + timedelta(days=1), time(), zone).astimezone(UTC)
    newest = select(col(History.id)).where(col(History.at) < end).order_by(col(History.id).desc()).limit(1)
    last_id = session.execute(newest).scalar_one_or_none() or 0
    rows, last_hash = 0, history.GENESIS
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("history.jsonl", "w") as lines:
            for row in _up_to(session, last_id):
                lines.write(_line_of(row))
                rows, last_hash = rows + 1, row.hash
        summary = {
            "order": ordered.order_id, "until": ordered.until.isoformat(), "reason": ordered.reason,
            "rows": rows, "last_id": last_id, "first_previous_hash": history.GENESIS, "last_hash": last_hash,
            "hash": "sha256 of the JSON array [previous_hash, at, actor_id, through, action, subject,"
            " values_digest] without spaces, in UTF-8",
            "values_digest": "the same of [salt, before, after]; without a salt the values were erased",
        }  # fmt: skip
        archive.writestr("summary.json", json.dumps(summary, ensure_ascii=False, indent=1))
    return Written(rows, last_id, last_hash, _digest(out))


def note_made(session: Session, act: Act, ordered: Order, written: Written) -> None:
    """Mark in the history that the administrator has carried the order out."""
    after = {
        "order": ordered.order_id, "rows": written.rows, "last_hash": written.last_hash,
        "sha256": written.sha256,
    }  # fmt: skip
    _record(session, act, MADE, _subject(ordered.until), after)


def _subject(until: date) -> str:
    return f"archive:{until:%Y%m%d}"


def _record(session: Session, act: Act, action: str, subject: str, after: dict[str, Any]) -> None:
    history.record(
        session,
        at=act.now,
        actor_id=act.who.person_id,
        through=act.who.through,
        action=action,
        subject=subject,
        before=None,
        after=after,
    )


def _lines(action: str) -> Any:
    return (
        select(History, col(Person.name))
        .join(Person, col(Person.id) == History.actor_id, isouter=True)
        .where(col(History.subject).startswith("archive:"), col(History.action) == action)
        .order_by(col(History.id).desc())
    )


def _made_of(session: Session, ordered: History) -> tuple[Made, ...]:
    found = session.execute(_lines(MADE).where(col(History.subject) == ordered.subject))
    return tuple(
        Made(line.at, name or "", int(kept["rows"]), str(kept["sha256"]))
        for line, name in found
        for kept in (json.loads(line.after),)
        if kept.get("order") == ordered.id
    )


def _up_to(session: Session, last_id: int) -> Iterator[Row[*tuple[Any, ...]]]:
    after = 0
    while True:
        page = select(*_table.c).where(_table.c.id > after, _table.c.id <= last_id).order_by(_table.c.id)
        rows = session.connection().execute(page.limit(_ROWS_AT_ONCE)).all()
        yield from rows
        if len(rows) < _ROWS_AT_ONCE:
            return
        after = rows[-1].id


def _line_of(row: Row[*tuple[Any, ...]]) -> bytes:
    kept = {**row._mapping, "at": row.at.astimezone(UTC).isoformat(timespec="microseconds")}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _digest(out: BinaryIO) -> str:
    out.seek(0)
    digest = hashlib.sha256()
    for piece in iter(lambda: out.read(1024 * 1024), b""):
        digest.update(piece)
    return digest.hexdigest()
