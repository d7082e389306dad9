"""What the client's side of a chat reads and keeps: consent, the person, their requests and words.

Requests change in `storage.casework` alone. Before consent nothing here is called but `link`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, insert, literal_column, select, update
from sqlmodel import Session, col

from forms.messages import InboundKind, OutgoingFile
from notifications.compose import RequestFacts
from router.model import Role, Status
from storage import addresses, casework, consents, history
from storage.house import House, Who
from storage.models import (
    Attachment,
    Chat,
    Clarification,
    ClientPerson,
    Draft,
    Letter,
    Message,
    Person,
    Request,
    Staff,
    metadata,
)
from storage.work import ChatView, StaffView

OPEN_REQUESTS_READ = 20

_OPEN = [status.value for status in Status if status.is_open]
_ENDED = [Status.CLOSED.value, Status.CANCELLED.value]
_SAID = [kind.value for kind in InboundKind if kind is not InboundKind.BUTTON]


_person = metadata.tables["person"]
_chat = metadata.tables["chat"]
_message = metadata.tables["message"]

_ADD_PERSON = insert(_person).returning(_person.c.id)
_AGREE = (
    update(_person)
    .where(_person.c.id == bindparam("b_person"))
    .values(name=bindparam("b_name"), consent_version=bindparam("b_consent_version"))
)
_GIVE_CHAT = update(_chat).where(_chat.c.id == bindparam("b_chat")).values(person_id=bindparam("b_person"))
_PLACE = (
    update(_message)
    .where(
        _message.c.chat_id == bindparam("b_chat"),
        _message.c.request_id.is_(None),
        _message.c.received_at >= bindparam("b_since"),
    )
    .values(request_id=bindparam("b_request"))
)


# --- the person --------------------------------------------------------------------------------


def link(session: Session, house: House, chat: ChatView, person_id: int, now: datetime) -> None:
    """Make the chat this person's; what it knew of anybody before is replaced."""
    person = session.get_one(Person, person_id, populate_existing=True)
    _give_chat(session, chat, person)
    draft = session.get(Draft, person_id)
    chat.draft = draft.progress if draft else None
    chat.draft_created_at = draft.created_at if draft else None
    chat.companies = casework.form_context(session, house, now, person_id).companies
    staff = session.execute(select(Staff).where(col(Staff.person_id) == person_id)).scalar_one_or_none()
    chat.staff = StaffView(staff.id or 0, Role(staff.role)) if staff and staff.active else None
    history.record(
        session, at=now, actor_id=person_id, through=chat.channel, action="chat_linked",
        subject=f"person:{person_id}", before=None, after={"channel": chat.channel},
    )  # fmt: skip
    session.flush()


def keep_consent(session: Session, house: House, chat: ChatView, name: str, now: datetime) -> None:
    """Write the consent down; a stranger becomes a person of that name only now.

    Whoever writes from the address of a client in the base, who has no chat yet, is that client.
    """
    connection = session.connection()
    if chat.person_id is None and chat.channel == house.email_channel:
        # Who only seems to write from an address has another key: what stands before it keeps them apart.
        known_id = addresses.known_by(session, chat.chat_key)
        if known_id is not None:
            link(session, house, chat, known_id, now)
    chat.person_name = chat.person_name or name
    chat.consent_version = house.consent_version
    agreed = {"name": chat.person_name, "consent_version": house.consent_version}
    if chat.person_id is None:
        nobody = {"phone": "", "email": "", "created_at": now}
        chat.person_id = connection.execute(_ADD_PERSON, nobody | agreed).scalar_one()
        connection.execute(_GIVE_CHAT, {"b_chat": chat.chat_id, "b_person": chat.person_id})
    else:
        connection.execute(
            _AGREE, {f"b_{name}": value for name, value in agreed.items()} | {"b_person": chat.person_id}
        )
    who = Who(chat.channel, chat.person_id, name=chat.person_name)
    consents.give(session, house, who, consents.Given(chat.person_id, chat.chat_id, now), now)


def _give_chat(session: Session, chat: ChatView, person: Person) -> None:
    session.get_one(Chat, chat.chat_id).person_id = person.id
    chat.person_id, chat.person_name, chat.phone = person.id, person.name, person.phone
    chat.consent_version = person.consent_version


def keep_phone(session: Session, chat: ChatView, phone: str) -> None:
    """Write the person's phone down."""
    person = session.get_one(Person, chat.person_id)
    person.phone = chat.phone = phone


def forget_focus(session: Session, chat_id: int) -> None:
    """The next words belong to nothing in particular."""
    session.get_one(Chat, chat_id).focus = ""


# --- their requests ----------------------------------------------------------------------------


def requests_of(session: Session, person_id: int | None) -> tuple[RequestFacts, ...]:
    """This person's open requests, the newest first, and after them the one that ended last."""
    own = select(Request).where(col(Request.person_id) == person_id)
    going = (
        own.where(col(Request.status).in_(_OPEN)).order_by(col(Request.id).desc()).limit(OPEN_REQUESTS_READ)
    )
    ended = own.where(col(Request.status).in_(_ENDED)).order_by(
        col(Request.closed_at).desc(), col(Request.id).desc()
    )
    rows = [*session.execute(going).scalars(), *session.execute(ended.limit(1)).scalars()]
    return tuple(casework.facts_of(session, row) for row in rows)


def own_request(session: Session, person_id: int | None, number: int) -> RequestFacts | None:
    """The request if this very person sent it.

    Not their company's: an INN is public, and typing it proves nothing.
    """
    row = session.get(Request, number)
    return casework.facts_of(session, row) if row is not None and row.person_id == person_id else None


@dataclass(frozen=True, slots=True)
class CompanyRequest:
    """A request that somebody else has sent for a company of this person's. It may be read, no more."""

    facts: RequestFacts
    sender: str


def company_requests(session: Session, person_id: int | None) -> tuple[CompanyRequest, ...]:
    """Open requests of others for the companies whose requests staff let this person see, newest first."""
    query = _of_others(person_id).where(col(Request.status).in_(_OPEN))
    rows = session.execute(query.order_by(col(Request.id).desc()).limit(OPEN_REQUESTS_READ)).all()
    return tuple(CompanyRequest(casework.facts_of(session, row), sender) for row, sender in rows)


def company_request(session: Session, person_id: int | None, number: int) -> CompanyRequest | None:
    """Another's request, if staff let this person see it: typing the company's INN is not enough."""
    found = session.execute(_of_others(person_id).where(col(Request.id) == number)).one_or_none()
    return CompanyRequest(casework.facts_of(session, found[0]), found[1]) if found else None


def _of_others(person_id: int | None) -> Any:
    return (
        select(Request, col(Person.name))
        .join(ClientPerson, col(ClientPerson.client_id) == col(Request.client_id))
        .join(Person, col(Person.id) == col(Request.person_id))
        .where(
            col(ClientPerson.person_id) == person_id,
            col(ClientPerson.sees_all).is_(True),
            col(Request.person_id) != person_id,
        )
    )


def open_question(session: Session, person_id: int | None) -> int | None:
    """The newest clarification that this person has not answered."""
    return session.execute(_open_questions(person_id)).scalar_one_or_none()


def _open_questions(person_id: int | None) -> Any:
    return (
        select(col(Clarification.id))
        .join(Request, col(Request.id) == col(Clarification.request_id))
        .where(
            col(Request.person_id) == person_id,
            col(Request.status) == Status.WAITING_CLIENT.value,
            col(Request.question) == col(Clarification.field),
            col(Clarification.answered_at).is_(None),
        )
        .order_by(col(Clarification.id).desc())
        .limit(1)
    )


def open_question_about(session: Session, person_id: int | None, number: int) -> int | None:
    """The newest clarification that this person has not answered about this request."""
    query = _open_questions(person_id).where(col(Request.id) == number)
    return session.execute(query).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class Question:
    """A clarification that waits for its answer; the accountant's remark may be empty."""

    clarification_id: int
    facts: RequestFacts
    field: str
    remark: str


def question(session: Session, person_id: int | None, clarification_id: int) -> Question | None:
    """The clarification, if it asks this very person and still waits."""
    asked = session.get(Clarification, clarification_id)
    if asked is None or asked.answered_at is not None:
        return None
    facts = own_request(session, person_id, asked.request_id)
    return Question(clarification_id, facts, asked.field, asked.question) if facts is not None else None


def has_files(session: Session, number: int, files: tuple[OutgoingFile, ...]) -> bool:
    """Whether the request has all these files already."""
    wanted = {file.sha256 for file in files}
    query = select(col(Attachment.sha256)).where(
        col(Attachment.request_id) == number, col(Attachment.sha256).in_(wanted)
    )
    return bool(wanted) and wanted == set(session.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class AnsweredLetter:
    """A letter of ours under which the person wrote: its request, if it is about one, and its buttons."""

    request_id: int | None
    buttons: tuple[tuple[str, str], ...]


def answered_letter(session: Session, chat_id: int, keys: tuple[str, ...]) -> AnsweredLetter | None:
    """The nearest of these messages that is a letter of ours in this chat."""
    if not keys:
        return None
    query = select(col(Letter.message_key), col(Letter.request_id), col(Letter.rows)).where(
        col(Letter.chat_id) == chat_id,
        col(Letter.message_key).in_(keys),
        literal_column("letter.message_key != ''"),  # what the index demands
    )
    found = {key: (request_id, rows) for key, request_id, rows in session.execute(query)}
    nearest = next((found[key] for key in keys if key in found), None)
    if nearest is None:
        return None
    request_id, rows = nearest
    return AnsweredLetter(request_id, tuple((label, press) for row in rows for label, press in row))


# --- what they wrote ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """Messages taken together."""

    text: str
    files: tuple[OutgoingFile, ...]


def unplaced(session: Session, chat_id: int, since: datetime) -> Words:
    """What was written in this chat since then and belongs to no request yet."""
    rows = session.execute(_unplaced(chat_id, since)).scalars().all()
    files = {file["sha256"]: OutgoingFile(**file) for row in rows for file in row.files}
    return Words("\n".join(row.text for row in rows if row.text), tuple(files.values()))


def place(session: Session, chat_id: int, since: datetime, number: int) -> None:
    """What was said in this chat since then belongs to the request from now on."""
    session.connection().execute(_PLACE, {"b_chat": chat_id, "b_since": since, "b_request": number})


def last_words(session: Session, chat_id: int) -> str:
    """What the person wrote last, before what is being answered now."""
    query = (
        select(col(Message.text))
        .where(
            col(Message.chat_id) == chat_id,
            col(Message.kind).in_((InboundKind.TEXT.value, InboundKind.EDITED.value)),
        )
        .order_by(col(Message.id).desc())
        .limit(1)
    )
    return session.execute(query).scalar_one_or_none() or ""


def _unplaced(chat_id: int, since: datetime) -> Select[Message]:
    return (
        select(Message)
        .where(
            col(Message.chat_id) == chat_id, col(Message.request_id).is_(None),
            col(Message.direction) == "in",
            col(Message.kind).in_(_SAID), col(Message.received_at) >= since,
        )
        .order_by(col(Message.id))
    )  # fmt: skip
