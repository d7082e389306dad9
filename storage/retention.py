"""What is kept no longer than the firm has settled: drafts, words of old correspondence, files.

Nothing goes by itself unless months are set. The history of changes is never cut: its rows cover each
other with hashes, and the database refuses to delete them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import String, cast, delete, exists, or_, select, update
from sqlmodel import Session, col

from notifications.outbox import LetterState
from router.model import Status
from storage import history
from storage.engine import Database
from storage.erasure import ERASED, forget_files, remember_to_forget
from storage.files import KeptFiles
from storage.models import AnswerVersion, Attachment, Draft, Letter, Message, Request

ROWS_AT_ONCE = 200
"""Messages and letters wait while a batch is written."""

_CLOSED = (Status.CLOSED.value, Status.CANCELLED.value)
_UNFINISHED = (LetterState.TODO.value, LetterState.DOING.value)
_MONTHS_IN_YEAR = 12
_LAST_DAY_OF_ALL_MONTHS = 28


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many months each is kept; 0 is for ever."""

    drafts_months: int = 0
    messages_months: int = 0
    files_months: int = 0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many of each were deleted, or had their words replaced."""

    drafts: int = 0
    messages: int = 0
    letters: int = 0
    files: int = 0
    """How many files went from the disk, those of erased people included."""

    @property
    def anything(self) -> bool:
        """Whether there was anything to do."""
        return any(asdict(self).values())


def sweep(
    database: Database, store: KeptFiles, retention: Retention, zone: ZoneInfo, now: datetime
) -> Forgotten:
    """Forget everything whose time is over, a batch a transaction, and write down how much it was."""
    drafts = messages = letters = 0
    if retention.drafts_months:
        before = months_before(now, retention.drafts_months, zone)
        drafts = _in_batches(database, lambda session: _forget_drafts(session, before))
    if retention.messages_months:
        before = months_before(now, retention.messages_months, zone)
        messages = _in_batches(database, lambda session: _forget_messages(session, before))
        letters = _in_batches(database, lambda session: _forget_letters(session, before))
    if retention.files_months:
        before = months_before(now, retention.files_months, zone)
        _in_batches(database, lambda session: _let_go_of_requests_files(session, before, now))
        _in_batches(database, lambda session: _let_go_of_loose_files(session, before, now))
    forgotten = Forgotten(drafts, messages, letters, forget_files(database, store, now))
    if forgotten.anything:
        with database.begin() as session:
            history.record(
                session, at=now, actor_id=None, through="timer", action="retention_swept",
                subject="firm", before=None, after=asdict(forgotten),
            )  # fmt: skip
    return forgotten


def months_before(now: datetime, months: int, zone: ZoneInfo) -> datetime:
    """The same day so many months ago in the firm's zone, the 28th for the days after it."""
    local = now.astimezone(zone)
    year, month = divmod(local.year * _MONTHS_IN_YEAR + local.month - 1 - months, _MONTHS_IN_YEAR)
    return local.replace(year=year, month=month + 1, day=min(local.day, _LAST_DAY_OF_ALL_MONTHS))


def _in_batches(database: Database, forget: Callable[[Session], int]) -> int:
    whole = 0
    while True:
        with database.begin() as session:
            done = forget(session)
        whole += done
        if done < ROWS_AT_ONCE:
            return whole


def _forget_drafts(session: Session, before: datetime) -> int:
    old = select(col(Draft.person_id)).where(col(Draft.updated_at) < before).limit(ROWS_AT_ONCE)
    found = list(session.execute(old).scalars())
    session.execute(delete(Draft).where(col(Draft.person_id).in_(found)))
    return len(found)


def _forget_messages(session: Session, before: datetime) -> int:
    old = (
        select(col(Message.id))
        .where(col(Message.received_at) < before, col(Message.text) != ERASED, _is_over(Message))
        .order_by(col(Message.id))
        .limit(ROWS_AT_ONCE)
    )
    found = list(session.execute(old).scalars())
    session.execute(update(Message).where(col(Message.id).in_(found)).values(text=ERASED, message_key=""))
    return len(found)


def _forget_letters(session: Session, before: datetime) -> int:
    old = (
        select(col(Letter.id))
        .where(
            col(Letter.created_at) < before,
            col(Letter.text) != ERASED,
            col(Letter.state).not_in(_UNFINISHED),
            _is_over(Letter),
        )
        .order_by(col(Letter.id))
        .limit(ROWS_AT_ONCE)
    )
    found = list(session.execute(old).scalars())
    changed = update(Letter).where(col(Letter.id).in_(found))
    session.execute(changed.values(text=ERASED, rows=[], message_key=""))
    return len(found)


def _is_over(table: Any) -> Any:
    """Words about no request, or about one that is closed: nobody works with them."""
    closed = exists().where(col(Request.id) == col(table.request_id), col(Request.status).in_(_CLOSED))
    return or_(col(table.request_id).is_(None), closed)


def _let_go_of_requests_files(session: Session, before: datetime, now: datetime) -> int:
    """Take the files from requests that have been closed for so long."""
    old = (
        select(Request)
        .where(
            col(Request.closed_at) < before,
            col(Request.status).in_(_CLOSED),
            exists().where(col(Attachment.request_id) == col(Request.id)),
        )
        .order_by(col(Request.id))
        .limit(ROWS_AT_ONCE)
    )
    requests = list(session.execute(old).scalars())
    numbers = [row.id for row in requests if row.id is not None]
    digests = select(col(Attachment.sha256)).where(col(Attachment.request_id).in_(numbers))
    named = set(session.execute(digests).scalars())
    session.execute(delete(Attachment).where(col(Attachment.request_id).in_(numbers)))
    for row in requests:
        row.answers = {name: "[]" if name == "files" else value for name, value in row.answers.items()}
        session.add(row)
    versions = update(AnswerVersion).where(
        col(AnswerVersion.request_id).in_(numbers), col(AnswerVersion.field) == "files"
    )
    session.execute(versions.values(value="[]").execution_options(synchronize_session=False))
    for table in (Message, Letter):
        rows = select(table).where(col(table.request_id).in_(numbers), _has_files(table))
        named |= _without_files(session, session.execute(rows).scalars())
    remember_to_forget(session, named, now)
    return len(requests)


def _let_go_of_loose_files(session: Session, before: datetime, now: datetime) -> int:
    """Take the files from what was said about no request."""
    count, named = 0, set[str]()
    for table, said_at in ((Message, Message.received_at), (Letter, Letter.created_at)):
        rows = (
            select(table)
            .where(col(table.request_id).is_(None), col(said_at) < before, _has_files(table))
            .order_by(col(table.id))
            .limit(ROWS_AT_ONCE)
        )
        found = list(session.execute(rows).scalars())
        named |= _without_files(session, found)
        count = max(count, len(found))
    remember_to_forget(session, named, now)
    return count


def _has_files(table: Any) -> Any:
    return cast(col(table.files), String) != "[]"


def _without_files(session: Session, rows: Iterable[Message | Letter]) -> set[str]:
    named: set[str] = set()
    for row in rows:
        named |= {file["sha256"] for file in row.files if file.get("sha256")}
        row.files = []
        session.add(row)
    session.flush()
    return named
