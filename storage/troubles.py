"""When the database keeps nothing: what is the matter, what a person must do, and telling the directors.

Nothing is acknowledged meanwhile, so messengers keep what clients write. That the trouble is over is
proved by writing, and the letters about it are written in that very transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session, col

from forms.messages import Reply
from forms.texts import Text, _, lines
from storage.alarms import IN_CHARGE, people_of, tell_once
from storage.engine import Damaged
from storage.house import House
from storage.models import Chat, Letter
from storage.work import get_setting, put_setting

CLOCK_KEY = "clock:latest"
_TOLD_LATELY = timedelta(hours=1)


class Cause(StrEnum):
    """Why nothing can be kept."""

    FULL = "full"
    READ_ONLY = "read_only"
    LOCKED = "locked"
    DAMAGED = "damaged"
    FAULTY = "faulty"
    CLOSED = "closed"
    GONE = "gone"


WHAT_TO_DO: Mapping[Cause, str] = {
    Cause.FULL: "The disk is full: free some space on it.",
    Cause.READ_ONLY: "The database cannot be written to: its disk or its file is read-only, or belongs to "
    "another user; make it writable for the user of the service.",
    Cause.LOCKED: "Another program keeps the database locked: end it.",
    Cause.DAMAGED: "The database is damaged: stop the service and bring back the latest copy with "
    "`priem restore FILE --replace`.",
    Cause.FAULTY: "The disk fails to read or to write: look at the system's log, and move the data to "
    "another disk before this one dies.",
    Cause.CLOSED: "The database file cannot be opened: there are too many open files (raise LimitNOFILE), or "
    "its folder is gone or closed to the user of the service.",
    Cause.GONE: "The database does not answer: look at its server and at storage.url.",
}
"""For the operator, on /health and where the service cannot start."""

_WORDS: Mapping[Cause, Text] = {
    Cause.FULL: _("На диске кончилось место."),
    Cause.READ_ONLY: _("Диск с базой стал доступен только для чтения."),
    Cause.LOCKED: _("Базу долго держала закрытой другая программа."),
    Cause.DAMAGED: _("База данных повреждена."),
    Cause.FAULTY: _("Диск отвечал ошибками. Попросите администратора его проверить, пока он не отказал."),
    Cause.CLOSED: _("Файл базы не открывался: слишком много открытых файлов или нет доступа к папке."),
    Cause.GONE: _("Сервер базы данных не отвечал."),
}

_WORDS_NOW: Mapping[Cause, Text] = {
    Cause.FULL: _("На диске кончилось место: его нужно освободить."),
    Cause.READ_ONLY: _("Диск с базой стал доступен только для чтения."),
    Cause.LOCKED: _("Базу держит закрытой другая программа."),
    Cause.DAMAGED: _("База данных повреждена: её нужно вернуть из копии."),
    Cause.FAULTY: _("Диск отвечает ошибками: его нужно проверить."),
    Cause.CLOSED: _("Файл базы не открывается: слишком много открытых файлов или нет доступа к папке."),
    Cause.GONE: _("Сервер базы данных не отвечает."),
}

# https://www.sqlite.org/rescode.html
_OF_SQLITE: Mapping[int, Cause] = {
    sqlite3.SQLITE_FULL: Cause.FULL,
    sqlite3.SQLITE_READONLY: Cause.READ_ONLY,
    sqlite3.SQLITE_BUSY: Cause.LOCKED,
    sqlite3.SQLITE_LOCKED: Cause.LOCKED,
    sqlite3.SQLITE_CORRUPT: Cause.DAMAGED,
    sqlite3.SQLITE_NOTADB: Cause.DAMAGED,
    sqlite3.SQLITE_IOERR: Cause.FAULTY,
    sqlite3.SQLITE_CANTOPEN: Cause.CLOSED,
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_OF_POSTGRESQL: tuple[tuple[str, Cause], ...] = (
    ("53100", Cause.FULL),
    ("25006", Cause.READ_ONLY),
    ("55", Cause.LOCKED),
    ("XX001", Cause.DAMAGED),
    ("XX002", Cause.DAMAGED),
    ("58", Cause.FAULTY),
)


def cause_of(error: BaseException) -> Cause:
    """What is the matter, of an error for which `storage_is_down`."""
    if isinstance(error, PoolTimeout):
        return Cause.LOCKED
    if isinstance(error, Damaged):
        return Cause.DAMAGED
    orig = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(orig, sqlite3.Error):
        return _OF_SQLITE.get(getattr(orig, "sqlite_errorcode", 0) & 0xFF, Cause.FAULTY)
    code = str(getattr(orig, "sqlstate", None) or "")
    return next((cause for prefix, cause in _OF_POSTGRESQL if code.startswith(prefix)), Cause.GONE)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Nothing is kept since then."""

    cause: Cause
    since: datetime


def end(session: Session, house: House, trouble: Trouble, now: datetime) -> bool:
    """Prove by writing that the database keeps again, and tell the directors and administrators.

    Once an hour for a cause. Returns whether there are letters.
    """
    prove(session, now)
    zone = house.calendar.zone
    reply = storage_was_down(trouble.cause, trouble.since.astimezone(zone), now.astimezone(zone))
    return _tell(session, house, f"storage:{trouble.cause}", reply, now)


def prove(session: Session, now: datetime) -> None:
    """Write that we are here: it must really reach the disk. The clock does not go back behind it."""
    put_setting(session, CLOCK_KEY, now.isoformat(), now)


def latest_moment(session: Session) -> datetime | None:
    """The latest moment that `prove` has written."""
    stored = get_setting(session, CLOCK_KEY)
    return datetime.fromisoformat(stored) if stored else None


def tell_of_little_space(session: Session, house: House, free_megabytes: int, now: datetime) -> bool:
    """Tell the directors and administrators before the disk is full, once a day."""
    if _was_told(session, "space", now, timedelta(days=1)):
        return False
    return _tell(session, house, "space", little_space(free_megabytes), now)


def storage_was_down(cause: Cause, since: datetime, until: datetime) -> Reply:
    """Nothing could be kept for a while; times are local."""
    same_day = since.date() == until.date()
    return Reply(
        lines(
            _(
                "С {since} до {until} приём заявок стоял. {why}",
                since=f"{since:%H:%M}" if same_day else f"{since:%d.%m %H:%M}",
                until=f"{until:%H:%M}",
                why=_WORDS[cause],
            ),
            _("Сообщения за это время не пропали: мессенджеры прислали их снова, ответы уже уходят."),
        )
    )


def nothing_is_kept(trouble: Trouble, zone: ZoneInfo) -> Text:
    """Nothing can be kept just now."""
    return lines(
        _(
            "С {since} приём заявок стоит. {why}",
            since=f"{trouble.since.astimezone(zone):%d.%m %H:%M}",
            why=_WORDS_NOW[trouble.cause],
        ),
        _("Скажите администратору. Клиентам пока никто не отвечает; их сообщения мессенджеры пришлют снова."),
    )


@dataclass(frozen=True, slots=True)
class ChatAt:
    """Where somebody can be written to."""

    channel: str
    chat_key: str
    last_inbound_at: datetime | None


@dataclass(frozen=True, slots=True)
class InCharge:
    """A director or an administrator, with their chats in the order in which they want to be written to."""

    person_id: int
    chats: tuple[ChatAt, ...]


def in_charge(session: Session) -> tuple[InCharge, ...]:
    """Whom to tell when no letter can be written, those alone whom a messenger reaches."""
    people = people_of(session, IN_CHARGE, with_chat=True)
    found = (
        select(Chat)
        .where(col(Chat.person_id).in_(people), col(Chat.blocked_at).is_(None))
        .order_by(col(Chat.rank), col(Chat.last_inbound_at).desc().nulls_last(), col(Chat.id).desc())
    )
    chats = session.execute(found).scalars().all()
    return tuple(
        InCharge(
            person,
            tuple(
                ChatAt(each.channel, each.chat_key, each.last_inbound_at)
                for each in chats
                if each.person_id == person
            ),
        )
        for person in people
    )


def little_space(free_megabytes: int) -> Reply:
    """The disk will soon be full."""
    return Reply(
        _(
            "На диске программы осталось {free} МБ. Когда место кончится, приём заявок остановится. "
            "Попросите администратора освободить место.",
            free=free_megabytes,
        )
    )


def _tell(session: Session, house: House, about: str, reply: Reply, now: datetime) -> bool:
    if _was_told(session, about, now, _TOLD_LATELY):
        return False
    return bool(
        tell_once(session, house, now, f"{about}:{now:%Y%m%dT%H%M%S}", reply, people_of(session, IN_CHARGE))
    )


def _was_told(session: Session, about: str, now: datetime, lately: timedelta) -> bool:
    told = select(col(Letter.id)).where(
        col(Letter.key).like(f"{about}:%"), col(Letter.created_at) > now - lately
    )
    return session.execute(told.limit(1)).first() is not None


# --- a database that is damaged --------------------------------------------------------------------

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_LARGEST_PAGE = 65_536


def mark_damaged(database: Path) -> None:
    """Leave word for the next start: it then reads the whole database, which takes long."""
    _mark(database).touch()


def refuse_damaged(url: str) -> None:
    """Look whether a SQLite file may be used: quickly, or thoroughly when it was found damaged before.

    Raises Damaged; a file that is not there is not damaged.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return
    database = Path(parsed.database)
    if not database.exists():
        return
    if not _header_is_sound(database):
        raise Damaged(WHAT_TO_DO[Cause.DAMAGED])
    if _mark(database).exists():
        if not _is_whole(database):
            raise Damaged(WHAT_TO_DO[Cause.DAMAGED])
        _mark(database).unlink()


def _mark(database: Path) -> Path:
    return database.with_name(f"{database.name}.damaged")


def _header_is_sound(database: Path) -> bool:
    """Whether it begins like a database and is as long as it says. https://www.sqlite.org/fileformat2.html."""
    size_bytes = database.stat().st_size
    if not size_bytes:
        return True  # made and never written: a journal may hold all there is
    with database.open("rb") as opened:
        header = opened.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return False
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = _LARGEST_PAGE if page_bytes == 1 else page_bytes
    pages, is_current = int.from_bytes(header[28:32], "big"), header[24:28] == header[92:96]
    return not is_current or size_bytes >= pages * page_bytes


def _is_whole(database: Path) -> bool:
    try:
        connection = sqlite3.connect(database, timeout=10)
        try:
            verdict = connection.execute("pragma quick_check(1)").fetchone()
            return bool(verdict == ("ok",))
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return False
