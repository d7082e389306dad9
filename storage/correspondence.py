"""Everything that a person, or a client through all its people, and the firm have said to each other.

Read from the newest backwards, a page at a time, so that years of correspondence cost no more than a
day of it. Nothing here writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlmodel import Session, col

from storage import proofs
from storage.models import Attachment, Chat, Client, ClientPerson, Letter, Message, Person, Request
from storage.reading import FileCard, Line, texts_before

SAID_AT_ONCE = 50

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITTEN, _SENT = 0, 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: only what stands before it comes next."""

    at: datetime
    half: int
    row_id: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.half}-{self.row_id}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """Read a place from an address; anything else is None."""
        found = re.fullmatch(r"([0-9]{1,16})-([01])-([0-9]{1,9})", text, re.ASCII)
        if found is None:
            return None
        return cls(_EPOCH + timedelta(microseconds=int(found[1])), int(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True)
class Said:
    """A line and the request that it is about, if any."""

    line: Line
    number: int | None
    files: Mapping[int, FileCard]
    """Its files that can be opened, by number."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A page, oldest line first; `older` is where the one before it ends, None at the very beginning."""

    person: str
    said: tuple[Said, ...]
    older: Place | None


def whole_correspondence(session: Session, number: int, before: Place | None = None) -> Conversation | None:
    """What was said to and by the person who sent this request; None when there is no such request."""
    request = session.get(Request, number)
    if request is None:
        return None
    person = session.get_one(Person, request.person_id)
    return _conversation(session, person.name, {person.id or 0: person.name}, before)


def client_correspondence(
    session: Session, client_id: int, before: Place | None = None
) -> Conversation | None:
    """What was said to and by all who speak for this client; None when there is no such client.

    What they said about a request of another client of theirs is left out.
    """
    client = session.get(Client, client_id)
    if client is None:
        return None
    query = (
        select(col(Person.id), col(Person.name))
        .join(ClientPerson, col(ClientPerson.person_id) == col(Person.id))
        .where(col(ClientPerson.client_id) == client_id)
    )
    people = {number: name for number, name in session.execute(query)}  # noqa: C416 - typed rows
    return _conversation(session, client.name, people, before, client_id)


@dataclass(frozen=True, slots=True)
class _Side:
    """Whose correspondence it is: people by number, their chats, and which client's requests count."""

    people: Mapping[int, str]
    channels: Mapping[int | None, str]
    owners: Mapping[int | None, int]
    client_id: int | None

    def about(self, request_id: Any) -> list[ColumnElement[bool]]:
        """What was said about this side's requests or about none."""
        if self.client_id is None:
            return []
        # Asked of each line that is shown, and not made a list of: a client has thousands of requests.
        ours = exists().where(col(Request.id) == col(request_id), col(Request.client_id) == self.client_id)
        return [or_(col(request_id).is_(None), ours)]


def _conversation(
    session: Session,
    title: str,
    people: Mapping[int, str],
    before: Place | None,
    client_id: int | None = None,
) -> Conversation:
    chats = session.execute(
        select(col(Chat.id), col(Chat.channel), col(Chat.person_id)).where(
            col(Chat.person_id).in_(list(people))
        )
    ).all()
    side = _Side(
        people,
        {number: channel for number, channel, _owner in chats},
        {number: owner for number, _channel, owner in chats},
        client_id,
    )
    found = sorted(
        [*_written(session, side, before), *_sent(session, side, before)],
        key=lambda each: (each[0].at, each[0].half, each[0].row_id),
    )
    shown = found[-SAID_AT_ONCE:]
    rows = [row for _place, row in shown]
    return Conversation(title, _told(session, rows, side), shown[0][0] if len(found) > len(shown) else None)


_Found = tuple[Place, "Message | Letter"]


def _written(session: Session, side: _Side, before: Place | None) -> list[_Found]:
    earlier = _earlier(Message.sent_at, Message.id, _WRITTEN, before)
    found: list[_Found] = []
    for chat_id in side.channels:
        query = (
            select(Message)
            .where(col(Message.chat_id) == chat_id, *side.about(Message.request_id), *earlier)
            .order_by(col(Message.id).desc())
            # They come nearly in the order in which they were sent: a little more than is shown.
            .limit(SAID_AT_ONCE * 2)
        )
        rows = session.execute(query).scalars()
        found += [(Place(row.sent_at, _WRITTEN, row.id or 0), row) for row in rows]
    return found


def _sent(session: Session, side: _Side, before: Place | None) -> list[_Found]:
    """The newest of every chat and of every person: each is an index of its own."""
    copy = Letter.__table__.alias("copy")  # type: ignore[attr-defined]
    copied = exists().where(copy.c.replaces_id == Letter.id)
    whose = [
        *(col(Letter.chat_id) == chat_id for chat_id in side.channels),
        *(col(Letter.person_id) == person_id for person_id in side.people),
    ]
    found: dict[int, _Found] = {}
    for theirs in whose:
        query = (
            select(Letter)
            .where(
                theirs,
                *side.about(Letter.request_id),
                # Copies stand with the letter that they replace.
                col(Letter.replaces_id).is_(None),
                or_(col(Letter.state) != "superseded", copied),
                *_earlier(Letter.created_at, Letter.id, _SENT, before),
            )
            .order_by(col(Letter.created_at).desc(), col(Letter.id).desc())
            .limit(SAID_AT_ONCE + 1)
        )
        for row in session.execute(query).scalars():
            found[row.id or 0] = Place(row.created_at, _SENT, row.id or 0), row
    return list(found.values())


def _earlier(at: Any, row_id: Any, half: int, before: Place | None) -> list[ColumnElement[bool]]:
    """What stands before a place in the common order of both halves."""
    if before is None:
        return []
    same_moment = col(at) == before.at
    if half == before.half:
        return [or_(col(at) < before.at, and_(same_moment, col(row_id) < before.row_id))]
    return [col(at) <= before.at] if half < before.half else [col(at) < before.at]


def _told(session: Session, rows: Iterable[Message | Letter], side: _Side) -> tuple[Said, ...]:
    rows = list(rows)
    kept = _kept_files(session, {row.request_id for row in rows})
    roots = [row.id or 0 for row in rows if isinstance(row, Letter)]
    steps, calls = proofs.trails(session, roots), proofs.calls_about(session, roots)
    authors = _names(session, {row.author_id for row in rows if isinstance(row, Letter)})
    before = texts_before([row for row in rows if isinstance(row, Message)])
    told = []
    for row in rows:
        own = kept.get(row.request_id or 0, {})
        files = tuple(
            (str(file.get("name", "")), found.file_id if (found := own.get(file.get("sha256", ""))) else None)
            for file in row.files
        )
        if isinstance(row, Message):
            line = Line(
                row.sent_at, row.direction, side.people.get(side.owners.get(row.chat_id, 0), ""), row.text,
                side.channels.get(row.chat_id, ""), files=files,
                was=before.get(row.id), deleted_at=row.deleted_at,
            )  # fmt: skip
        else:
            line = Line(
                row.created_at, "out", authors.get(row.author_id, ""), row.text,
                side.channels.get(row.chat_id, ""), files=files, to=side.people.get(_reader(row, side), ""),
                steps=steps.get(row.id or 0, ()), call=calls.get(row.id or 0),
            )  # fmt: skip
        told.append(Said(line, row.request_id, {file.file_id: file for file in own.values()}))
    return tuple(told)


def _reader(letter: Letter, side: _Side) -> int:
    return letter.person_id or side.owners.get(letter.chat_id, 0)


def _kept_files(session: Session, numbers: set[int | None]) -> dict[int, dict[str, FileCard]]:
    query = select(Attachment).where(col(Attachment.request_id).in_([n for n in numbers if n is not None]))
    found: dict[int, dict[str, FileCard]] = {}
    for row in session.execute(query).scalars():
        found.setdefault(row.request_id, {})[row.sha256] = FileCard(
            row.id or 0, row.sha256, row.name, row.size_bytes, row.media_type, row.purpose, row.created_at
        )
    return found


def _names(session: Session, people: set[int | None]) -> dict[int | None, str]:
    known = [number for number in people if number is not None]
    query = select(col(Person.id), col(Person.name)).where(col(Person.id).in_(known))
    return {number: name for number, name in session.execute(query)}  # noqa: C416 - typed rows
