"""Which clients have come to a messenger, who is still missing, and the codes that bring them.

A client is there when somebody who speaks for it has a chat that is not blocked. A code is shown once:
only its hash is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select
from sqlmodel import Session, col

from storage import history
from storage.invitations import Purpose, invite_person
from storage.models import Chat, Client, ClientPerson, Invitation, Person, Staff
from storage.paging import FIRST, Leaf, Place, leaf
from storage.roster import Act, NoSuchCard
from storage.search import every_word

CODE_VALID = timedelta(days=30)
MOST_AT_ONCE = 200
"""So many invitations fit into one answer, and onto a stack of paper that somebody will cut."""

NO_MESSENGERS = ("phone", "visit")
"""Channels by which staff write down what a client has said; nothing can be sent there."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many clients the firm keeps the books of, and how many of them are in a messenger."""

    clients: int
    linked: int

    @property
    def missing(self) -> int:
        """How many are still to come."""
        return self.clients - self.linked


@dataclass(frozen=True, slots=True)
class Missing:
    """A client whom no messenger reaches. `invited_until` is when their last unused code ends."""

    client_id: int
    name: str
    inn: str
    responsible: str
    phone: str
    email: str
    blocked: bool
    """They had a chat and have blocked us."""
    invited_until: datetime | None


@dataclass(frozen=True, slots=True)
class Brought:
    """A code and whom it brings: one person may speak for several companies."""

    person_id: int
    code: str
    companies: tuple[str, ...]
    contact: str
    phone: str
    email: str
    expires_at: datetime


class NoSuchContact(NoSuchCard):
    """This person does not speak for this client."""


def coverage(session: Session) -> Coverage:
    """Count the clients of the base; those who wait for the director's word are not in it yet."""
    known = select(func.count()).select_from(Client).where(_in_the_base())
    return Coverage(
        int(session.execute(known).scalar_one()), int(session.execute(known.where(_is_linked())).scalar_one())
    )


def missing(session: Session, now: datetime, *, search: str = "", place: Place = FIRST) -> Leaf[Missing]:
    """Those who are not in a messenger, by name; each word of `search` stands in the name or the INN."""
    query = _missing(now).where(*every_word(search, col(Client.inn), col(Client.name)))
    return leaf(session, query, (col(Client.name), col(Client.id)), lambda row: Missing(*row), place)


def not_invited(session: Session, now: datetime) -> int:
    """How many of those who are missing have no code that still works."""
    waiting = select(func.count()).select_from(Client).where(_in_the_base(), ~_is_linked(), ~_is_invited(now))
    return int(session.execute(waiting).scalar_one())


def invite(session: Session, act: Act, client_id: int, person_id: int | None = None) -> Brought:
    """A code for this person of the client, or for whoever of them has no chat yet.

    Their older unused codes die. Without anybody to invite a person without a name is made: nothing
    personal is kept before their consent. Raises NoSuchCard, NoSuchContact.
    """
    history.wait_turn(session)
    client = session.get(Client, client_id)
    if client is None:
        raise NoSuchCard
    if person_id is not None and session.get(ClientPerson, (client_id, person_id)) is None:
        raise NoSuchContact
    return _invited(session, act, [client], person_id or _first_without_chat(session, client_id))


def invite_missing(session: Session, act: Act, *, again: bool = False) -> tuple[Brought, ...]:
    """Codes for those who are missing, `MOST_AT_ONCE` of them at most; a person gets one code.

    Whoever has a code that works keeps it, and gets no other, unless `again`.
    """
    history.wait_turn(session)
    query = select(Client).where(_in_the_base(), ~_is_linked())
    if not again:
        query = query.where(~_is_invited(act.now))
    clients = session.execute(query.order_by(col(Client.name), col(Client.id)).limit(MOST_AT_ONCE)).scalars()
    groups: list[tuple[int | None, list[Client]]] = []
    by_person: dict[int, list[Client]] = {}
    for client in clients.all():
        person_id = _first_without_chat(session, client.id or 0)
        if person_id in by_person:
            by_person[person_id].append(client)
            continue
        group = [client]
        groups.append((person_id, group))
        if person_id is not None:
            by_person[person_id] = group
    return tuple(_invited(session, act, group, person_id) for person_id, group in groups)


def _invited(session: Session, act: Act, clients: Sequence[Client], person_id: int | None) -> Brought:
    person = session.get(Person, person_id) if person_id else None
    if person is None:
        person = Person(created_at=act.now)
        session.add(person)
        session.flush()
        session.add_all(
            ClientPerson(client_id=client.id or 0, person_id=person.id or 0, created_at=act.now)
            for client in clients
        )
        session.flush()
    number = person.id or 0
    code = invite_person(session, number, Purpose.CHAT, act.now, CODE_VALID)
    for client in clients:
        history.record(
            session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action="invited",
            subject=f"client:{client.id}", before=None, after={"person_id": number},
        )  # fmt: skip
    return Brought(
        number,
        code,
        tuple(client.name for client in clients),
        person.name,
        person.phone or _first(client.phone for client in clients),
        person.email or _first(client.email for client in clients),
        act.now + CODE_VALID,
    )


def _first(words: Iterable[str]) -> str:
    return next((word for word in words if word), "")


def _first_without_chat(session: Session, client_id: int) -> int | None:
    """Whom to invite: somebody named rather than an empty person left over from an older invitation."""
    has_chat = exists().where(col(Chat.person_id) == col(ClientPerson.person_id), _reachable())
    is_staff = exists().where(col(Staff.person_id) == col(ClientPerson.person_id))
    query = (
        select(col(Person.id))
        .join(ClientPerson, col(ClientPerson.person_id) == col(Person.id))
        .where(col(ClientPerson.client_id) == client_id, ~has_chat, ~is_staff)
        .order_by(col(Person.name) == "", col(ClientPerson.may_pay).desc(), col(Person.id))
        .limit(1)
    )
    return session.execute(query).scalar_one_or_none()


# --- Conditions on a client ----------------------------------------------------------------------------


def _in_the_base() -> ColumnElement[bool]:
    return col(Client.confirmed).is_(True)


def _reachable() -> ColumnElement[bool]:
    return col(Chat.blocked_at).is_(None) & col(Chat.channel).not_in(NO_MESSENGERS)


def _is_linked() -> ColumnElement[bool]:
    return _has_chat(_reachable())


def _has_chat(which: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(
        select(col(Chat.id))
        .join(ClientPerson, col(ClientPerson.person_id) == col(Chat.person_id))
        .where(col(ClientPerson.client_id) == col(Client.id), which)
        .correlate(Client)
    )


def _codes(now: datetime) -> Any:
    return (
        select(func.max(col(Invitation.expires_at)))
        .join(ClientPerson, col(ClientPerson.person_id) == col(Invitation.person_id))
        .where(
            col(ClientPerson.client_id) == col(Client.id),
            col(Invitation.purpose) == Purpose.CHAT.value,
            col(Invitation.used_at).is_(None),
            col(Invitation.expires_at) > now,
        )
        .correlate(Client)
    )


def _is_invited(now: datetime) -> ColumnElement[bool]:
    found: ColumnElement[bool] = _codes(now).scalar_subquery().is_not(None)
    return found


def _missing(now: datetime) -> Any:
    return (
        select(
            col(Client.id), col(Client.name), col(Client.inn), func.coalesce(col(Person.name), ""),
            col(Client.phone), col(Client.email), _has_chat(col(Chat.blocked_at).is_not(None)),
            _codes(now).scalar_subquery(),
        )
        .join(Staff, col(Staff.id) == col(Client.responsible_id), isouter=True)
        .join(Person, col(Person.id) == col(Staff.person_id), isouter=True)
        .where(_in_the_base(), ~_is_linked())
    )  # fmt: skip
