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

from sqlalchemy import String, cast, delete, exists, func, or_, select, update
from sqlmodel import Session, col

from notifications.outbox import LetterState
from router.model import Status
from storage import history
from storage.engine import Database
from storage.erasure import ERASED, forget_files, remember_to_forget
from storage.files import KeptFiles
from storage.house import Who
from storage.models import AnswerVersion, Attachment, CallTask, Draft, Letter, Message, Request

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
    calls_months: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """How many of each are older; `files` are requests, messages and letters that have files."""

    drafts: int = 0
    messages: int = 0
    letters: int = 0
    calls: int = 0
    files: int = 0

    @property
    def anything(self) -> bool:
        """Whether there is anything."""
        return any(asdict(self).values())


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many of each were deleted, or had their words replaced."""

    drafts: int = 0
    messages: int = 0
    letters: int = 0
    files: int = 0
    """How many files went from the disk, those of erased people included."""
    calls: int = 0

    @property
    def anything(self) -> bool:
        """Whether there was anything to do."""
        return any(asdict(self).values())


BY_TIMER = Who("timer")


def sweep(
    database: Database,
    store: KeptFiles,
    retention: Retention,
    zone: ZoneInfo,
    now: datetime,
    who: Who = BY_TIMER,
) -> Forgotten:
    """Forget everything whose time is over, a batch a transaction, and write down how much it was."""
    drafts = messages = letters = calls = 0
    if retention.drafts_months:
        before = months_before(now, retention.drafts_months, zone)
        drafts = _in_batches(database, lambda session: _forget_drafts(session, before))
    if retention.messages_months:
        before = months_before(now, retention.messages_months, zone)
        messages = _in_batches(database, lambda session: _forget_messages(session, before))
        letters = _in_batches(database, lambda session: _forget_letters(session, before))
    if retention.calls_months:
        before = months_before(now, retention.calls_months, zone)
        calls = _in_batches(database, lambda session: _forget_calls(session, before))
    if retention.files_months:
        before = months_before(now, retention.files_months, zone)
        _in_batches(database, lambda session: _let_go_of_requests_files(session, before, now))
        _in_batches(database, lambda session: _let_go_of_loose_files(session, before, now))
    forgotten = Forgotten(drafts, messages, letters, forget_files(database, store, now), calls)
    if forgotten.anything:
        with database.begin() as session:
            history.record(
                session, at=now, actor_id=who.person_id, through=who.through, action="retention_swept",
                subject="firm", before=None, after=asdict(forgotten),
            )  # fmt: skip
    return forgotten


def count_due(session: Session, retention: Retention, zone: ZoneInfo, now: datetime) -> Due:
    """How much `sweep` would find. What no months are given for counts nothing."""

    def count(months: int, *queries: Callable[[datetime], Any]) -> int:
        if not months:
            return 0
        before = months_before(now, months, zone)
        counted = (select(func.count()).select_from(query(before).subquery()) for query in queries)
        return sum(int(session.execute(each).scalar_one()) for each in counted)

    return Due(
        drafts=count(retention.drafts_months, _old_drafts),
        messages=count(retention.messages_months, _old_messages),
        letters=count(retention.messages_months, _old_letters),
        calls=count(retention.calls_months, _old_calls),
        files=count(retention.files_months, _old_requests_with_files, *_OLD_LOOSE),
    )


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


def _old_drafts(before: datetime) -> Any:
    return select(col(Draft.person_id)).where(col(Draft.updated_at) < before)


def _forget_drafts(session: Session, before: datetime) -> int:
    found = list(session.execute(_old_drafts(before).limit(ROWS_AT_ONCE)).scalars())
    session.execute(delete(Draft).where(col(Draft.person_id).in_(found)))
    return len(found)


def _old_messages(before: datetime) -> Any:
    return select(col(Message.id)).where(
        col(Message.received_at) < before, col(Message.text) != ERASED, _is_over(Message)
    )


def _forget_messages(session: Session, before: datetime) -> int:
    old = _old_messages(before).order_by(col(Message.id)).limit(ROWS_AT_ONCE)
    found = list(session.execute(old).scalars())
    session.execute(update(Message).where(col(Message.id).in_(found)).values(text=ERASED, message_key=""))
    return len(found)


def _old_letters(before: datetime) -> Any:
    return select(col(Letter.id)).where(
        col(Letter.created_at) < before,
        col(Letter.text) != ERASED,
        col(Letter.state).not_in(_UNFINISHED),
        _is_over(Letter),
    )


def _forget_letters(session: Session, before: datetime) -> int:
    old = _old_letters(before).order_by(col(Letter.id)).limit(ROWS_AT_ONCE)
    found = list(session.execute(old).scalars())
    changed = update(Letter).where(col(Letter.id).in_(found))
    session.execute(changed.values(text=ERASED, rows=[], message_key=""))
    return len(found)


def _old_calls(before: datetime) -> Any:
    told = or_(col(CallTask.reason) != ERASED, col(CallTask.outcome) != ERASED)
    return select(col(CallTask.id)).where(col(CallTask.done_at) < before, told)


def _forget_calls(session: Session, before: datetime) -> int:
    old = _old_calls(before).order_by(col(CallTask.id)).limit(ROWS_AT_ONCE)
    found = list(session.execute(old).scalars())
    changed = update(CallTask).where(col(CallTask.id).in_(found))
    session.execute(changed.values(reason=ERASED, outcome=ERASED))
    return len(found)


def _is_over(table: Any) -> Any:
    """Words about no request, or about one that is closed: nobody works with them."""
    closed = exists().where(col(Request.id) == col(table.request_id), col(Request.status).in_(_CLOSED))
    return or_(col(table.request_id).is_(None), closed)


def _old_requests_with_files(before: datetime) -> Any:
    return select(col(Request.id)).where(
        col(Request.closed_at) < before,
        col(Request.status).in_(_CLOSED),
        exists().where(col(Attachment.request_id) == col(Request.id)),
    )


def _let_go_of_requests_files(session: Session, before: datetime, now: datetime) -> int:
    """Take the files from requests that have been closed for so long."""
    numbers_of_old = _old_requests_with_files(before).order_by(col(Request.id)).limit(ROWS_AT_ONCE)
    old = select(Request).where(col(Request.id).in_(numbers_of_old)).order_by(col(Request.id))
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


def _old_loose(table: Any, said_at: Any) -> Callable[[datetime], Any]:
    return lambda before: select(col(table.id)).where(
        col(table.request_id).is_(None), col(said_at) < before, _has_files(table)
    )


_OLD_LOOSE = (_old_loose(Message, Message.received_at), _old_loose(Letter, Letter.created_at))
"""Words about no request that have files."""


def _let_go_of_loose_files(session: Session, before: datetime, now: datetime) -> int:
    """Take the files from what was said about no request."""
    count, named = 0, set[str]()
    tables: tuple[Any, ...] = (Message, Letter)
    for table, old in zip(tables, _OLD_LOOSE, strict=True):
        numbers = old(before).order_by(col(table.id)).limit(ROWS_AT_ONCE)
        rows = select(table).where(col(table.id).in_(numbers)).order_by(col(table.id))
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
