"""What a member of staff reads in the chat: lists by what they wait for, search, the past of a request.

Nothing here writes. `reach` is the reader's right (`storage.reach`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, cast, func, or_, select
from sqlmodel import Session, col

from router.model import Status
from storage.models import AnswerVersion, Assignment, Chat, History, Letter, Message, Person, Request, Staff
from storage.reach import Reach, within
from storage.reading import newest_with_words

EVENTS_SHOWN = 8
DIALOGUE_SHOWN = 6
OTHERS_SHOWN = 3
MOST_COUNTED = 100
"""Of more requests that are found it is only said that they are more."""


class Waiting(StrEnum):
    """What an open request waits for, in the order in which a list names it."""

    UNASSIGNED = "unassigned"
    """Nobody has it."""
    UNANSWERED = "unanswered"
    """Staff owe an answer: the client wrote, or the assignment is not accepted."""
    WORKING = "working"
    CLIENT = "client"
    """The client was asked."""


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request in a list."""

    number: int
    version: int
    status: Status
    company: str
    kind: str
    deadline: datetime
    assignee: str
    unconfirmed: bool = False
    """Written down from the client's words, who has not agreed to it yet."""


@dataclass(frozen=True, slots=True)
class Section:
    """The first lines of a list and how many there are in all, or at least."""

    lines: tuple[RequestLine, ...] = ()
    total: int = 0
    is_cut: bool = False
    """Whether there are more than `total`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: a number, an INN or words; each word must be found."""

    number: int | None = None
    inn: str = ""
    words: str = ""


# --- lists -------------------------------------------------------------------------------------


def board(session: Session, reach: Reach, limit: int) -> dict[Waiting, Section]:
    """Open requests by what they wait for, nearest deadline first, at most `limit` lines of each."""
    waiting = _waiting().label("waiting")
    ranked = (
        select(
            col(Request.id).label("number"),
            waiting,
            func.row_number().over(partition_by=waiting, order_by=_by_deadline()).label("place"),
            func.count().over(partition_by=waiting).label("total"),
        )
        .where(*_on_board(reach))
        .subquery()
    )
    query = (
        _lines()
        .add_columns(ranked.c.waiting, ranked.c.total)
        .join(ranked, ranked.c.number == Request.id)
        .where(ranked.c.place <= limit)
        .order_by(*_by_deadline())
    )
    found: dict[Waiting, list[RequestLine]] = {}
    totals: dict[Waiting, int] = {}
    for *line, name, total in session.execute(query):
        found.setdefault(Waiting(name), []).append(_line(line))
        totals[Waiting(name)] = total
    return {
        section: Section(tuple(found[section]), totals[section]) for section in Waiting if section in found
    }


def counts(session: Session, reach: Reach) -> dict[Waiting, int]:
    """How many open requests wait for what."""
    waiting = _waiting()
    query = select(waiting, func.count()).where(*_on_board(reach)).group_by(waiting)
    return {Waiting(name): int(count) for name, count in session.execute(query)}


def addressees(session: Session, reach: Reach, limit: int) -> Section:
    """Requests that words without an address may be meant for: unanswered first, then by deadline."""
    silent = case((col(Request.unanswered_since).is_not(None), 0), else_=1)
    open_statuses = [status.value for status in Status if status.is_open]
    return _section(session, [col(Request.status).in_(open_statuses), *within(reach)], limit, silent)


def unaccepted(session: Session, staff_id: int, limit: int) -> Section:
    """What this person was given and has not accepted."""
    return _section(session, [col(Request.status) == Status.ASSIGNED.value, *within(staff_id)], limit)


def search(session: Session, wanted: Wanted, reach: Reach, limit: int) -> Section:
    """Requests in any state that fit, the newest first."""
    if wanted.number is not None or wanted.inn:
        own = (
            col(Request.id) == wanted.number if wanted.number is not None else col(Request.inn) == wanted.inn
        )
        return _section(session, [own, *within(reach)], limit, col(Request.id).desc())
    found = list(islice(newest_with_words(session, wanted.words, reach), MOST_COUNTED + 1))
    query = _lines().where(col(Request.id).in_(found[:limit])).order_by(col(Request.id).desc())
    lines = tuple(_line(row) for row in session.execute(query))
    return Section(lines, min(len(found), MOST_COUNTED), len(found) > MOST_COUNTED)


def was_given(session: Session, number: int, staff_id: int) -> bool:
    """Whether this person has ever been given the request, and so has seen it."""
    query = select(col(Assignment.id)).where(
        col(Assignment.request_id) == number, col(Assignment.staff_id) == staff_id
    )
    return session.execute(query.limit(1)).first() is not None


def _waiting() -> ColumnElement[str]:
    owed = or_(col(Request.unanswered_since).is_not(None), col(Request.status) == Status.ASSIGNED.value)
    return case(
        (col(Request.status) == Status.NEW.value, Waiting.UNASSIGNED.value),
        (owed, Waiting.UNANSWERED.value),
        (col(Request.status) == Status.WAITING_CLIENT.value, Waiting.CLIENT.value),
        else_=Waiting.WORKING.value,
    )


def _on_board(reach: Reach) -> list[ColumnElement[bool]]:
    # A client's words to a done or closed request are still owed an answer.
    unfinished = (Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)
    live = or_(
        col(Request.status).in_([status.value for status in unfinished]),
        col(Request.unanswered_since).is_not(None),
    )
    return [live, *within(reach)]


def _by_deadline() -> tuple[Any, ...]:
    return (col(Request.deadline), col(Request.id))


def _lines() -> Any:
    return (
        select(
            col(Request.id), col(Request.version), col(Request.status), col(Request.company),
            col(Request.kind), col(Request.deadline), col(Person.name),
            and_(col(Request.recorded_by).is_not(None), col(Request.confirmed_at).is_(None)),
        )
        .join(Staff, col(Staff.id) == Request.assignee_id, isouter=True)
        .join(Person, col(Person.id) == Staff.person_id, isouter=True)
    )  # fmt: skip


def _line(row: Any) -> RequestLine:
    number, version, status, company, kind, deadline, assignee, unconfirmed = row
    return RequestLine(
        number, version, Status(status), company, kind, deadline, assignee or "", bool(unconfirmed)
    )


def _section(session: Session, conditions: list[ColumnElement[bool]], limit: int, *first: Any) -> Section:
    query = _lines().where(*conditions).order_by(*first, *_by_deadline()).limit(limit + 1)
    found = session.execute(query).all()
    lines = tuple(_line(row) for row in found[:limit])
    if len(found) <= limit:
        return Section(lines, len(lines))
    counted = select(func.count()).select_from(Request).where(*conditions)
    return Section(lines, int(session.execute(counted).scalar_one()))


# --- the past of one request -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A step of a request; `who` is empty for the machine, `comment` are the actor's own words."""

    at: datetime
    who: str
    action: str
    comment: str


@dataclass(frozen=True, slots=True)
class PastWords:
    """One line of the correspondence: `in` from the client, `out` to them, `note` among staff."""

    at: datetime
    direction: str
    author: str
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What «История» shows; every list is cut, the newest stand last.

    `versions` are the fields that have been changed, with all their values, oldest first.
    """

    events: tuple[PastEvent, ...]
    words: tuple[PastWords, ...]
    others: tuple[RequestLine, ...]
    versions: Mapping[str, tuple[str, ...]]


def past_of(session: Session, number: int, client_id: int) -> Past:
    """Read the last steps of a request, its last words and the client's other requests."""
    return Past(
        _events(session, number), _words(session, number), _others(session, number, client_id),
        _versions(session, number),
    )  # fmt: skip


def _events(session: Session, number: int) -> tuple[PastEvent, ...]:
    query = (
        select(col(History.at), col(Person.name), col(History.action), col(History.after))
        .join(Person, col(Person.id) == History.actor_id, isouter=True)
        .where(col(History.subject) == f"request:{number}")
        .order_by(col(History.id).desc())
        .limit(EVENTS_SHOWN)
    )
    found = [
        PastEvent(at, name or "", action, _comment(after))
        for at, name, action, after in session.execute(query)
    ]
    return tuple(reversed(found))


def _comment(after: str) -> str:
    values = json.loads(after) if after else {}
    return str(values.get("comment", ""))


def _words(session: Session, number: int) -> tuple[PastWords, ...]:
    found = [*_written(session, number), *_said(session, number)]
    # Each half came newest first; turned round, words of the same moment keep their order.
    found.reverse()
    found.sort(key=lambda words: words.at)
    return tuple(found[-DIALOGUE_SHOWN:])


def _written(session: Session, number: int) -> list[PastWords]:
    query = (
        select(Message, col(Person.name))
        .join(Person, col(Person.id) == Message.person_id, isouter=True)
        .where(col(Message.request_id) == number)
        .order_by(col(Message.id).desc())
        .limit(DIALOGUE_SHOWN)
    )
    return [
        PastWords(message.received_at, message.direction, name or "", message.text, _names(message.files))
        for message, name in session.execute(query)
    ]


def _said(session: Session, number: int) -> list[PastWords]:
    """What staff wrote to the client; the machine's own notices are no part of the conversation."""
    query = (
        select(Letter, col(Person.name))
        .join(Person, col(Person.id) == Letter.author_id)
        .join(Request, col(Request.id) == Letter.request_id)
        .join(Chat, col(Chat.id) == Letter.chat_id)
        .where(col(Letter.request_id) == number, col(Chat.person_id) == Request.person_id)
        .order_by(col(Letter.id).desc())
        .limit(DIALOGUE_SHOWN)
    )
    return [
        PastWords(letter.created_at, "out", name, letter.text, _names(letter.files))
        for letter, name in session.execute(query)
    ]


def _names(files: list[Any]) -> tuple[str, ...]:
    return tuple(str(file.get("name", "")) for file in files)


def _others(session: Session, number: int, client_id: int) -> tuple[RequestLine, ...]:
    conditions = [col(Request.client_id) == client_id, col(Request.id) != number]
    query = _lines().where(*conditions).order_by(col(Request.id).desc()).limit(OTHERS_SHOWN)
    return tuple(_line(row) for row in session.execute(query))


def _versions(session: Session, number: int) -> dict[str, tuple[str, ...]]:
    query = (
        select(col(AnswerVersion.field), col(AnswerVersion.value))
        .where(col(AnswerVersion.request_id) == number)
        .order_by(col(AnswerVersion.field), col(AnswerVersion.version))
    )
    found: dict[str, list[str]] = {}
    for field, value in session.execute(query):
        found.setdefault(field, []).append(value)
    return {field: tuple(values) for field, values in found.items() if len(values) > 1}


# --- chats -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientChat:
    """A chat of somebody who is not staff; `person` is empty while nobody has agreed to anything."""

    chat_id: int
    person: str
    blocked: bool
    person_id: int | None = None


def client_chat(session: Session, chat_id: int) -> ClientChat | None:
    """The client's chat with this number; None for staff's own chats and for none at all."""
    query = (
        select(col(Chat.id), col(Person.name), col(Chat.blocked_at), col(Person.id))
        .join(Person, col(Person.id) == Chat.person_id, isouter=True)
        .join(Staff, col(Staff.person_id) == Chat.person_id, isouter=True)
        .where(col(Chat.id) == chat_id, col(Staff.id).is_(None))
    )
    row = session.execute(query).first()
    return ClientChat(row[0], row[1] or "", row[2] is not None, row[3]) if row else None


def was_called_to(session: Session, person_id: int, press: str) -> bool:
    """Whether this person was sent a letter with that button."""
    query = select(col(Letter.id)).where(
        col(Letter.person_id) == person_id,
        cast(col(Letter.rows), String).contains(f'"{press}"', autoescape=True),
    )
    return session.execute(query.limit(1)).first() is not None
