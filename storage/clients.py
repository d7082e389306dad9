"""A client's card: who speaks for the client and what they may, their chats, the client's files.

What a form was filled from comes back with it: a contact whom somebody else has changed since is
refused, never overwritten. Every change is written to the history of the client: rights and posts with
what was before, of names and addresses only that they were changed, for history is never erased.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlmodel import Session, col

from router.model import Role
from storage import history
from storage.coverage import NO_MESSENGERS, NoSuchContact
from storage.invitations import Purpose
from storage.models import Attachment, Chat, Client, ClientPerson, Invitation, Person, Request, Staff
from storage.reading import Colleague, FileCard
from storage.roster import Act, CardChanged, NoSuchCard

FILES_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class ContactFields:
    """What staff write down about a contact; every value was validated before."""

    name: str
    phone: str = ""
    email: str = ""
    post: str = ""
    may_pay: bool = False
    sees_all: bool = False

    @property
    def stamp(self) -> str:
        """Equal as long as nothing has changed."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class ContactChat:
    """A messenger of a contact. They are written to in this order, the blocked ones not at all."""

    channel: str
    last_inbound_at: datetime | None
    blocked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who speaks for a client. `others` are the other clients they speak for."""

    person_id: int
    fields: ContactFields
    chats: tuple[ContactChat, ...]
    invited_until: datetime | None
    has_agreed: bool
    """Whether the person has agreed to the processing of their data."""
    others: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class ClientFile:
    """A file of one of the client's requests."""

    number: int
    file: FileCard


OVERSEEING = (Role.CONTROLLER, Role.DEPUTY, Role.DIRECTOR)
"""Who may audit the work for a client: those who see every request."""


def everybody(session: Session) -> tuple[Colleague, ...]:
    """All staff, whatever they do, by name: a controller takes no requests."""
    query = (
        select(col(Staff.id), col(Person.name), col(Staff.role), col(Staff.active))
        .join(Person, col(Person.id) == col(Staff.person_id))
        .order_by(col(Person.name), col(Staff.id))
    )
    return tuple(
        Colleague(number, name, Role(role), active) for number, name, role, active in session.execute(query)
    )


# --- Contacts ------------------------------------------------------------------------------------------


def contacts(session: Session, client_id: int, now: datetime) -> tuple[Contact, ...]:
    """Who speaks for the client, in the order in which they came. A client has a handful of them."""
    found = session.execute(
        select(Person, ClientPerson)
        .join(ClientPerson, col(ClientPerson.person_id) == col(Person.id))
        .where(col(ClientPerson.client_id) == client_id)
        .order_by(col(Person.id))
    ).all()
    people = [person.id for person, _right in found]
    chats, codes = _chats(session, people), _codes(session, people, now)
    others = _others(session, people, client_id)
    return tuple(
        Contact(
            person.id,
            _fields(person, right),
            chats.get(person.id, ()),
            codes.get(person.id),
            bool(person.consent_version),
            others.get(person.id, ()),
        )
        for person, right in found
    )


def add_contact(session: Session, act: Act, client_id: int, fields: ContactFields) -> int:
    """Write down somebody who will speak for the client; returns the person's number. Raises NoSuchCard."""
    if session.get(Client, client_id) is None:
        raise NoSuchCard
    person = Person(name=fields.name, phone=fields.phone, email=fields.email, created_at=act.now)
    session.add(person)
    session.flush()
    number = person.id or 0
    session.add(
        ClientPerson(
            client_id=client_id, person_id=number, post=fields.post, may_pay=fields.may_pay,
            sees_all=fields.sees_all, created_at=act.now,
        )
    )  # fmt: skip
    session.flush()
    _record(session, act, "contact_added", client_id, after=_told(number, fields))
    return number


def change_contact(
    session: Session, act: Act, client_id: int, person_id: int, stamp: str, fields: ContactFields
) -> None:
    """Change a contact and their rights. Raises NoSuchContact, CardChanged."""
    person, right = _locked(session, client_id, person_id)
    before = _fields(person, right)
    if before.stamp != stamp:
        raise CardChanged
    if before == fields:
        return
    person.name, person.phone, person.email = fields.name, fields.phone, fields.email
    right.post, right.may_pay, right.sees_all = fields.post, fields.may_pay, fields.sees_all
    session.flush()
    personal = [name for name in _PERSONAL if getattr(before, name) != getattr(fields, name)]
    _record(
        session,
        act,
        "contact_changed",
        client_id,
        before=_told(person_id, before),
        after={**_told(person_id, fields), **({"personal": personal} if personal else {})},
    )


def detach_contact(session: Session, act: Act, client_id: int, person_id: int, stamp: str) -> None:
    """Let the person speak for this client no more; their requests stay. Raises NoSuchContact, CardChanged.

    The unused codes of somebody who speaks for nobody else open nothing any more.
    """
    person, right = _locked(session, client_id, person_id)
    fields = _fields(person, right)
    if fields.stamp != stamp:
        raise CardChanged
    session.delete(right)
    session.flush()
    if not _others(session, [person_id], client_id):
        session.execute(
            update(Invitation)
            .where(
                col(Invitation.person_id) == person_id,
                col(Invitation.purpose) == Purpose.CHAT.value,
                col(Invitation.used_at).is_(None),
                col(Invitation.expires_at) > act.now,
            )
            .values(expires_at=act.now)
        )
    _record(session, act, "contact_detached", client_id, before=_told(person_id, fields))


_PERSONAL = ("name", "phone", "email")


def _told(person_id: int, fields: ContactFields) -> dict[str, object]:
    return {
        "person_id": person_id, "post": fields.post, "may_pay": fields.may_pay, "sees_all": fields.sees_all,
    }  # fmt: skip


def _locked(session: Session, client_id: int, person_id: int) -> tuple[Person, ClientPerson]:
    history.wait_turn(session)
    right = session.get(ClientPerson, (client_id, person_id), with_for_update=True, populate_existing=True)
    person = session.get(Person, person_id, with_for_update=True, populate_existing=True)
    if right is None or person is None:
        raise NoSuchContact
    return person, right


def _fields(person: Person, right: ClientPerson) -> ContactFields:
    return ContactFields(person.name, person.phone, person.email, right.post, right.may_pay, right.sees_all)


def _chats(session: Session, people: Iterable[int | None]) -> Mapping[int, tuple[ContactChat, ...]]:
    query = (
        select(col(Chat.person_id), col(Chat.channel), col(Chat.last_inbound_at), col(Chat.blocked_at))
        .where(col(Chat.person_id).in_(list(people)), col(Chat.channel).not_in(NO_MESSENGERS))
        .order_by(
            col(Chat.blocked_at).is_not(None), col(Chat.rank), col(Chat.last_inbound_at).desc().nulls_last(),
            col(Chat.id).desc(),
        )
    )  # fmt: skip
    found: dict[int, tuple[ContactChat, ...]] = {}
    for person_id, channel, last, blocked in session.execute(query):
        found[person_id] = (*found.get(person_id, ()), ContactChat(channel, last, blocked))
    return found


def _codes(session: Session, people: Iterable[int | None], now: datetime) -> Mapping[int, datetime]:
    query = (
        select(col(Invitation.person_id), func.max(col(Invitation.expires_at)))
        .where(
            col(Invitation.person_id).in_(list(people)),
            col(Invitation.purpose) == Purpose.CHAT.value,
            col(Invitation.used_at).is_(None),
            col(Invitation.expires_at) > now,
        )
        .group_by(col(Invitation.person_id))
    )
    return {person_id: until for person_id, until in session.execute(query)}  # noqa: C416 - typed rows


def _others(
    session: Session, people: Iterable[int | None], client_id: int
) -> Mapping[int, tuple[tuple[int, str], ...]]:
    query = (
        select(col(ClientPerson.person_id), col(Client.id), col(Client.name))
        .join(Client, col(Client.id) == col(ClientPerson.client_id))
        .where(col(ClientPerson.person_id).in_(list(people)), col(Client.id) != client_id)
        .order_by(col(Client.name))
    )
    found: dict[int, tuple[tuple[int, str], ...]] = {}
    for person_id, other_id, name in session.execute(query):
        found[person_id] = (*found.get(person_id, ()), (other_id, name))
    return found


def _record(
    session: Session,
    act: Act,
    action: str,
    client_id: int,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    history.record(
        session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action=action,
        subject=f"client:{client_id}", before=before, after=after,
    )  # fmt: skip


# --- Files ---------------------------------------------------------------------------------------------


def files_of(
    session: Session, client_id: int, before_id: int | None = None
) -> tuple[tuple[ClientFile, ...], int | None]:
    """The newest files of the client's requests, and before which number the next page begins, if any."""
    query = (
        select(Attachment)
        .join(Request, col(Request.id) == col(Attachment.request_id))
        .where(col(Request.client_id) == client_id)
        .order_by(col(Attachment.id).desc())
        .limit(FILES_AT_ONCE + 1)
    )
    if before_id is not None:
        query = query.where(col(Attachment.id) < before_id)
    rows = session.execute(query).scalars().all()
    shown = tuple(
        ClientFile(
            row.request_id,
            FileCard(
                row.id or 0, row.sha256, row.name, row.size_bytes, row.media_type, row.purpose, row.created_at
            ),
        )
        for row in rows[:FILES_AT_ONCE]
    )
    return shown, shown[-1].file.file_id if len(rows) > FILES_AT_ONCE else None
