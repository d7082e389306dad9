"""Whose chat it is: linking by a one-time code, the order of chats, unlinking, two persons in one.

Somebody who has written as a stranger may turn out to be a person whom the firm has invited; their
requests must not be lost to either.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from sqlalchemy import case, delete, exists, func, or_, select, update
from sqlmodel import Session

from forms.fields import Company
from router.model import Role, Status
from storage import history
from storage.dialects import in_both
from storage.failover import LAST_RESORT, leave_chat
from storage.house import House
from storage.invitations import Purpose, code_hash, invite_person
from storage.models import metadata
from storage.work import ChatView, StaffView, get_setting, put_setting

CODE_LENGTH = 8
CODE_VALID = timedelta(minutes=10)
"""Short codes are copied by hand; the brake on guessing and ten minutes keep them safe."""

_chat = metadata.tables["chat"]
_person = metadata.tables["person"]
_staff = metadata.tables["staff"]
_request = metadata.tables["request"]
_draft = metadata.tables["draft"]
_setting = metadata.tables["setting"]
_client = metadata.tables["client"]
_client_person = metadata.tables["client_person"]
_OF_A_PERSON = [
    metadata.tables[name] for name in ("request", "chat", "letter", "call_task", "proposal", "message")
]
"""What goes over to the other person when two turn out to be one."""


def _upsert(insert_in: Any) -> Any:
    """Whoever had the company already, by its INN for instance, gets the rights of the invited one too."""
    added = insert_in(_client_person)
    kept = _client_person.c
    return added.on_conflict_do_update(
        index_elements=["client_id", "person_id"],
        set_={
            "may_pay": or_(kept.may_pay, added.excluded.may_pay),
            "sees_all": or_(kept.sees_all, added.excluded.sees_all),
            "post": case((kept.post == "", added.excluded.post), else_=kept.post),
        },
    )


_ADD_COMPANY = in_both(_upsert)
_CLOSED = [Status.CLOSED.value, Status.CANCELLED.value]


@dataclass(frozen=True, slots=True)
class LinkedChat:
    """A chat of a person, in the order in which they are written to."""

    chat_id: int
    channel: str
    address: str
    blocked: bool
    last_inbound_at: datetime | None


class Entry(Enum):
    """What a code does in a chat.

    A chat becomes somebody's second one only when whoever writes there has said that it is them.
    """

    LINK = auto()
    """The chat becomes the code's person's."""
    ADOPT = auto()
    """The firm has invited somebody who has written here before: they get what the invitation gives."""
    ASK = auto()
    """The person has other chats, or this one has a past: each of the two would read the other."""
    STAFF_CHAT = auto()
    """A client's code in a chat of staff."""
    STAFF_MAIL = auto()
    """A code of staff in a letter, whose sender may be forged."""
    CLIENT_CHAT = auto()
    """A code of staff in a chat with requests of a client."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The person of a code, and what the code does in the chat. `further`: they have other chats.

    `shares_past`: what the chat has of its own becomes theirs too.
    """

    person_id: int
    name: str
    entry: Entry
    further: bool
    shares_past: bool = False
    is_staff: bool = False


def owner_of(session: Session, house: House, chat: ChatView, person_id: int) -> Owner:
    """Say what a code of this person does in this chat."""
    connection = session.connection()
    name, is_staff = connection.execute(
        select(_person.c.name, _staff.c.id.is_not(None))
        .outerjoin(_staff, (_staff.c.person_id == _person.c.id) & _staff.c.active)
        .where(_person.c.id == person_id)
    ).one()
    further = any(each.chat_id != chat.chat_id for each in chats_of(session, person_id))
    if is_staff and chat.channel == house.email_channel:
        return Owner(person_id, name, Entry.STAFF_MAIL, further)
    entry = _entry(session, chat, person_id, name, is_staff=bool(is_staff))
    shares_past = entry is Entry.ASK
    if entry is Entry.LINK and further and chat.person_id != person_id:
        entry = Entry.ASK
    return Owner(person_id, name, entry, further, shares_past, is_staff=bool(is_staff))


def _entry(session: Session, chat: ChatView, person_id: int, name: str, *, is_staff: bool) -> Entry:
    """What the code does as far as the past of the chat is concerned."""
    present = chat.person_id
    if present in (None, person_id):
        return Entry.LINK
    if chat.staff is not None:
        return Entry.LINK if is_staff else Entry.STAFF_CHAT
    if is_staff:
        return Entry.CLIENT_CHAT if _has(session, _request, present) else Entry.LINK
    if not chat.consent_version:
        return Entry.LINK
    if not name and not _has(session, _chat, person_id) and not _has(session, _request, person_id):
        return Entry.ADOPT
    has_a_past = any(_has(session, table, present) for table in (_request, _draft, _client_person))
    return Entry.ASK if has_a_past else Entry.LINK


def _has(session: Session, table: Any, person_id: int | None) -> bool:
    query = select(exists().where(table.c.person_id == person_id))
    return bool(session.connection().execute(query).scalar())


# --- what a chat is marked with for a day --------------------------------------------------------

KEPT_FOR = timedelta(days=1)
_JOINS, _NEW = "join:", "linked:"


def wants_to_join(session: Session, chat_id: int, code: str, now: datetime) -> None:
    """Keep that this chat waits for the code's person to say that it is theirs."""
    _forget_marks(session, now)
    put_setting(session, f"{_JOINS}{chat_id}", code_hash(code), now)


def joining(session: Session, chat_id: int, code: str) -> ChatView | None:
    """The chat that waits to join by this code; a button may be forged, this cannot."""
    if get_setting(session, f"{_JOINS}{chat_id}") != code_hash(code):
        return None
    row = (
        session.connection()
        .execute(
            select(
                _chat.c.channel, _chat.c.chat_key, _chat.c.person_id, _person.c.consent_version,
                _staff.c.id, _staff.c.role,
            )
            .select_from(_chat)
            .outerjoin(_person, _person.c.id == _chat.c.person_id)
            .outerjoin(_staff, (_staff.c.person_id == _chat.c.person_id) & _staff.c.active)
            .where(_chat.c.id == chat_id)
        )
        .one()
    )  # fmt: skip
    return ChatView(
        chat_id, row[0], row[1], row[2], consent_version=row[3] or "",
        staff=StaffView(row[4], Role(row[5])) if row[4] is not None else None,
    )  # fmt: skip


def stops_joining(session: Session, chat_id: int) -> None:
    """The question was answered."""
    session.connection().execute(delete(_setting).where(_setting.c.key == f"{_JOINS}{chat_id}"))


def mark_new(session: Session, chat_id: int, now: datetime) -> None:
    """Keep that the chat has just become somebody's further one."""
    _forget_marks(session, now)
    put_setting(session, f"{_NEW}{chat_id}", "", now)


def is_new(session: Session, chat_id: int, now: datetime) -> bool:
    """Whether the chat was linked within a day: until then it may not shut its person out of the others."""
    known = select(
        exists().where(_setting.c.key == f"{_NEW}{chat_id}", _setting.c.updated_at > now - KEPT_FOR)
    )
    return bool(session.connection().execute(known).scalar())


def _forget_marks(session: Session, now: datetime) -> None:
    old = or_(_setting.c.key.like(f"{_JOINS}%"), _setting.c.key.like(f"{_NEW}%"))
    session.connection().execute(delete(_setting).where(old, _setting.c.updated_at <= now - KEPT_FOR))


# --- the chats of a person -----------------------------------------------------------------------


def chats_of(session: Session, person_id: int | None) -> tuple[LinkedChat, ...]:
    """The messengers of a person in their order; the telephone is none."""
    found = session.connection().execute(
        select(_chat.c.id, _chat.c.channel, _chat.c.chat_key, _chat.c.blocked_at, _chat.c.last_inbound_at)
        .where(_chat.c.person_id == person_id, _chat.c.channel.not_in(("phone", "visit")))
        .order_by(_chat.c.rank, _chat.c.last_inbound_at.desc().nulls_last(), _chat.c.id.desc())
    )
    return tuple(LinkedChat(row[0], row[1], row[2], row[3] is not None, row[4]) for row in found)


def new_code(session: Session, person_id: int, now: datetime) -> str:
    """A code that links one more messenger to this person; their older unused codes die."""
    return invite_person(session, person_id, Purpose.CHAT, now, CODE_VALID, length=CODE_LENGTH)


def take_last_place(session: Session, person_id: int, chat_id: int) -> None:
    """Put a chat that has just come behind an order that the person has chosen; without one it is as any."""
    chosen = select(func.max(_chat.c.rank)).where(
        _chat.c.person_id == person_id, _chat.c.id != chat_id, _chat.c.rank < LAST_RESORT
    )
    last = session.connection().execute(chosen).scalar()
    _set(session, chat_id, rank=last + 1 if last else 0)


def put_first(session: Session, person_id: int, chat_id: int) -> bool:
    """Write to this chat first from now on; the others keep their order. False when it is not theirs."""
    order = [chat.chat_id for chat in chats_of(session, person_id)]
    if chat_id not in order:
        return False
    order.remove(chat_id)
    for rank, each in enumerate((chat_id, *order)):
        _set(session, each, rank=rank)
    return True


def unlink(
    session: Session, house: House, chat: LinkedChat, person_id: int, through: str, now: datetime
) -> bool:
    """Forget whose this chat is; what waits for it goes to the next one. False when there is no other."""
    others = [each for each in chats_of(session, person_id) if each.chat_id != chat.chat_id]
    first = next((each for each in others if not each.blocked), None)
    if first is None:
        return False
    _set(session, chat.chat_id, person_id=None, screen=[], focus="", rank=0)
    session.connection().execute(
        update(_request)
        .where(
            _request.c.person_id == person_id,
            _request.c.chat_id == chat.chat_id,
            _request.c.status.not_in(_CLOSED),
        )
        .values(chat_id=first.chat_id)
    )
    leave_chat(session, house, chat.chat_id, now)
    history.record(
        session, at=now, actor_id=person_id, through=through, action="chat_unlinked",
        subject=f"person:{person_id}", before={"channel": chat.channel}, after=None,
    )  # fmt: skip
    return True


def _set(session: Session, chat_id: int, **values: object) -> None:
    session.connection().execute(update(_chat).where(_chat.c.id == chat_id).values(**values))


# --- two persons in one --------------------------------------------------------------------------


def adopt(session: Session, chat: ChatView, invited_id: int, now: datetime) -> None:
    """Give the person of this chat the companies of the invitation; its own person stays empty."""
    assert chat.person_id is not None
    _move_companies(session, invited_id, chat.person_id)
    chat.companies = _companies(session, chat.person_id)
    history.record(
        session, at=now, actor_id=chat.person_id, through=chat.channel, action="chat_linked",
        subject=f"person:{chat.person_id}", before=None,
        after={"channel": chat.channel, "invited_as": invited_id},
    )  # fmt: skip


def merge(
    session: Session, from_id: int, into_id: int, through: str, now: datetime, *, keep_draft_of: int
) -> bool:
    """Make two persons one: requests, chats, the draft and companies go over; the old row stays, empty.

    Of two half-filled forms one stays; returns whether the other was lost.
    """
    connection = session.connection()
    for chat in chats_of(session, from_id):
        mark_new(session, chat.chat_id, now)
    for table in _OF_A_PERSON:
        connection.execute(update(table).where(table.c.person_id == from_id).values(person_id=into_id))
    _move_companies(session, from_id, into_id)
    lost = _has(session, _draft, from_id) and _has(session, _draft, into_id)
    if lost:
        loser = into_id if keep_draft_of == from_id else from_id
        connection.execute(delete(_draft).where(_draft.c.person_id == loser))
    connection.execute(update(_draft).where(_draft.c.person_id == from_id).values(person_id=into_id))
    old = connection.execute(select(_person).where(_person.c.id == from_id)).one()
    for name in ("name", "phone", "email"):
        if getattr(old, name):
            connection.execute(
                update(_person)
                .where(_person.c.id == into_id, _person.c[name] == "")
                .values({name: getattr(old, name)})
            )
    history.record(
        session, at=now, actor_id=into_id, through=through, action="people_merged",
        subject=f"person:{into_id}", before={"person_id": from_id}, after={"person_id": into_id},
    )  # fmt: skip
    return lost


def _move_companies(session: Session, from_id: int, into_id: int) -> None:
    connection = session.connection()
    rows = [
        dict(row._mapping) | {"person_id": into_id}
        for row in connection.execute(select(_client_person).where(_client_person.c.person_id == from_id))
    ]
    if rows:
        connection.execute(_ADD_COMPANY[connection.dialect.name], rows)
        connection.execute(delete(_client_person).where(_client_person.c.person_id == from_id))


def _companies(session: Session, person_id: int) -> tuple[Company, ...]:
    found = session.connection().execute(
        select(_client.c.inn, _client.c.name)
        .join(_client_person, _client_person.c.client_id == _client.c.id)
        .where(_client_person.c.person_id == person_id)
        .order_by(_client.c.name)
    )
    return tuple(Company(inn, name) for inn, name in found)
