"""Requests that staff write down from a call or a visit: whose they are, who spoke, and keeping them.

Of somebody who has not agreed to it nothing personal is kept: the request then belongs to the company,
and its person is `NO_CONTACT`. Consent given aloud is a row of the journal like any other; it belongs
to a chat of the channel `phone` or `visit`, where no letter can be sent, and history says who heard it.
In a messenger the same person is asked for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import exists, select
from sqlmodel import Session, col

from forms.contact import phone_key
from forms.fields import Answers
from forms.messages import loosely
from storage import casework, consents, history
from storage.casework import NewRequest, Recorded, reading_back
from storage.house import House, Who
from storage.models import Chat, Client, ClientPerson, Consent, Person, Staff

NO_CONTACT = "контакт не указан"
"""The name of the person of a request whose speaker is not written down; one for each client."""

FEWEST_PHONE_DIGITS = 7
FEWEST_INN_DIGITS = 5


class How(StrEnum):
    """How the client came; the request's channel."""

    PHONE = "phone"
    VISIT = "visit"


@dataclass(frozen=True, slots=True)
class Found:
    """A client, or (with `person_id`) somebody who speaks for it, that fits what was looked for."""

    client_id: int
    company: str
    inn: str
    person_id: int | None = None
    person: str = ""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody who speaks for a client."""

    person_id: int
    name: str
    phone: str
    has_consent: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """Who spoke, how and when (aware UTC).

    Without `person_id` and `name`: nobody in particular. `consent_at` is when a member of staff heard
    the consent of somebody who had given none.
    """

    how: How
    at: datetime
    person_id: int | None = None
    name: str = ""
    phone: str = ""
    consent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a recorded request, and how the client is asked whether it is right."""

    number: int
    assignee: str
    asked: reading_back.AskedBy


# --- looking -----------------------------------------------------------------------------------


def find(session: Session, words: str) -> tuple[Found, ...]:
    """Clients and their people by telephone, INN or words, by name; ё and case do not matter.

    A firm has hundreds of clients: they are read whole, and SQLite lowers only Latin letters anyway.
    """
    digits = "".join(char for char in words if char.isdecimal())
    wanted = loosely(words).split()
    if not wanted:
        return ()
    clients: dict[int, Found] = {}
    people: dict[int, Found] = {}
    for client_id, company, inn, phone, person_id, name, own_phone in session.execute(_EVERYBODY):
        found = Found(client_id, company, inn)
        if _says(company, wanted) or _is_inn(inn, digits) or _is_phone(phone, digits):
            clients[client_id] = found
        elif person_id is not None and name != NO_CONTACT and (
            _says(name, wanted) or _is_phone(own_phone, digits)
        ):  # fmt: skip
            people[person_id] = Found(client_id, company, inn, person_id, name)
    return (*clients.values(), *(person for person in people.values() if person.client_id not in clients))


def _says(name: str, wanted: list[str]) -> bool:
    said = loosely(name)
    return all(word in said for word in wanted)


def _is_inn(inn: str, digits: str) -> bool:
    return len(digits) >= FEWEST_INN_DIGITS and inn.startswith(digits)


def _is_phone(phone: str, digits: str) -> bool:
    return len(digits) >= FEWEST_PHONE_DIGITS and phone_key(digits) in phone_key(phone)


_EVERYBODY = (
    select(
        col(Client.id), col(Client.name), col(Client.inn), col(Client.phone),
        col(Person.id), col(Person.name), col(Person.phone),
    )
    .outerjoin(ClientPerson, col(ClientPerson.client_id) == col(Client.id))
    .outerjoin(Person, col(Person.id) == col(ClientPerson.person_id))
    .order_by(col(Client.name), col(Client.id), col(Person.id))
)  # fmt: skip


def client(session: Session, client_id: int) -> Found | None:
    """The client with this number."""
    row = session.get(Client, client_id)
    return Found(client_id, row.name, row.inn) if row else None


def client_by_inn(session: Session, inn: str) -> Found | None:
    """The client with this INN."""
    row = session.execute(select(Client).where(col(Client.inn) == inn)).scalar_one_or_none()
    return Found(row.id or 0, row.name, row.inn) if row else None


def speakers(session: Session, house: House, client_id: int) -> tuple[Speaker, ...]:
    """Who speaks for this client, staff left out."""
    query = (
        select(Person)
        .join(ClientPerson, col(ClientPerson.person_id) == col(Person.id))
        .where(
            col(ClientPerson.client_id) == client_id,
            col(Person.name) != NO_CONTACT,
            ~exists().where(col(Staff.person_id) == col(Person.id)),
        )
        .order_by(col(Person.id))
    )
    return tuple(_speaker(session, house, person) for person in session.execute(query).scalars().all())


def speaker(session: Session, house: House, client_id: int, person_id: int) -> Speaker | None:
    """The one with this number, if they speak for this client."""
    return next((one for one in speakers(session, house, client_id) if one.person_id == person_id), None)


def _speaker(session: Session, house: House, person: Person) -> Speaker:
    agreed = person.consent_version == house.consent_version or _agreed_aloud(session, house, person.id)
    return Speaker(person.id or 0, person.name, person.phone, agreed)


def _agreed_aloud(session: Session, house: House, person_id: int | None) -> bool:
    query = select(col(Consent.id)).where(
        col(Consent.person_id) == person_id,
        col(Consent.version) == house.consent_version,
        col(Consent.withdrawn_at).is_(None),
    )
    return session.execute(query.limit(1)).first() is not None


# --- keeping -----------------------------------------------------------------------------------


def keep(
    session: Session, house: House, who: Who, spoken: Spoken, answers: Answers, begun_at: datetime,
    now: datetime,
) -> Kept:  # fmt: skip
    """Make a request of a form that staff filled from the client's words, and read it back to the client."""
    history.wait_turn(session)
    person = _person(session, spoken, answers["inn"], now)
    line = _line(session, person, spoken.how, now)
    if spoken.consent_at is not None:
        assert line.id is not None
        assert line.person_id is not None
        heard = consents.Given(line.person_id, line.id, spoken.consent_at, line.channel, heard_by=who.name)
        consents.give(session, house, who, heard, now)
    assert person.id is not None
    assert line.id is not None
    new = NewRequest(answers, person.id, line.id, spoken.how.value, begun_at, Recorded(who, spoken.at))
    number = casework.submit(session, house, new, now)
    asked = reading_back.ask(session, house, number, now)
    return Kept(number, casework.open_case(session, number).facts.assignee, asked)


def _person(session: Session, spoken: Spoken, inn: str, now: datetime) -> Person:
    if spoken.person_id is not None:
        return session.get_one(Person, spoken.person_id)
    if spoken.name and spoken.consent_at is not None:
        return _added(session, Person(name=spoken.name, phone=spoken.phone, created_at=now))
    nobody = session.execute(
        select(Person)
        .join(ClientPerson, col(ClientPerson.person_id) == col(Person.id))
        .join(Client, col(Client.id) == col(ClientPerson.client_id))
        .where(col(Client.inn) == inn, col(Person.name) == NO_CONTACT)
        .limit(1)
    ).scalar_one_or_none()
    return nobody or _added(session, Person(name=NO_CONTACT, created_at=now))


def _line(session: Session, person: Person, how: How, now: datetime) -> Chat:
    """Where the person spoke; it is closed from the beginning: no letter can be sent there."""
    key = f"person:{person.id}"
    query = select(Chat).where(col(Chat.channel) == how.value, col(Chat.chat_key) == key)
    known: Chat | None = session.execute(query).scalar_one_or_none()
    if known is not None:
        return known
    line = Chat(
        channel=how.value, chat_key=key, user_key=key, person_id=person.id, blocked_at=now, created_at=now
    )
    session.add(line)
    session.flush()
    return line


def _added(session: Session, person: Person) -> Person:
    session.add(person)
    session.flush()
    return person
