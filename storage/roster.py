"""Who is who: clients and staff as the panel lists and changes them, and how staff sign in.

What is changed carries the version it was read with; a card that somebody else has changed since is
refused, never overwritten. Every change is written to the history with what was before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlmodel import Session, col

from router.model import Role
from storage import casework, history
from storage.absences import away_until
from storage.house import House, Who
from storage.invitations import Invited, Purpose, invite_person
from storage.models import Absence, Chat, Client, ClientPerson, PanelSession, Person, Request, Shift, Staff
from storage.paging import FIRST, Leaf, Place, leaf
from storage.reach import Reach, clients_within
from storage.reading import OWING
from storage.search import every_word


@dataclass(frozen=True, slots=True)
class Act:
    """Who changes something, and when (aware UTC): what the history wants to know."""

    who: Who
    now: datetime


class CardChanged(Exception):  # noqa: N818 - the name says what happened
    """Somebody else has saved this card since it was opened; nothing was written."""


class NoSuchCard(LookupError):  # noqa: N818
    """There is no client or member of staff with this number."""


class EmailTaken(Exception):  # noqa: N818
    """Another member of staff signs in with this address."""


class InnTaken(Exception):  # noqa: N818
    """Another client has this INN."""


# --- Signing in ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """A member of staff as far as signing in is concerned; `password_hash` is empty until it is set."""

    staff_id: int
    person_id: int
    name: str
    role: Role
    email: str
    active: bool
    password_hash: str
    has_factor: bool
    """Whether a code is asked for after the password."""


def member(session: Session, staff_id: int) -> Member | None:
    """The member of staff with this number."""
    return _member(session.execute(_members().where(col(Staff.id) == staff_id)).first())


def member_by_email(session: Session, email: str) -> Member | None:
    """The member of staff who signs in with this address; letter case does not matter."""
    wanted = _members().where(func.lower(Person.email) == email.strip().lower(), col(Person.email) != "")
    return _member(session.execute(wanted.order_by(col(Staff.active).desc(), col(Staff.id))).first())


def member_by_person(session: Session, person_id: int) -> Member | None:
    """The member of staff that this person is."""
    return _member(session.execute(_members().where(col(Staff.person_id) == person_id)).first())


def _members() -> Any:
    return select(Staff, col(Person.name), col(Person.email)).join(Person, col(Person.id) == Staff.person_id)


def _member(row: Any) -> Member | None:
    if row is None:
        return None
    staff, name, email = row
    return Member(
        staff.id,
        staff.person_id,
        name,
        Role(staff.role),
        email,
        staff.active,
        staff.password_hash,
        bool(staff.totp_secret),
    )


def set_password(
    session: Session, act: Act, staff_id: int, password_hash: str, keep_session_id: int | None = None
) -> Member:
    """Set a new password and end the person's sessions, but for one. Raises NoSuchCard."""
    session.execute(update(Staff).where(col(Staff.id) == staff_id).values(password_hash=password_hash))
    end_sessions(session, staff_id, act.now, keep_session_id)
    _record(session, act, "password_set", f"staff:{staff_id}")
    return _present(member(session, staff_id))


def replace_hash(session: Session, staff_id: int, password_hash: str) -> None:
    """Keep the same password under newer parameters of the hash."""
    session.execute(update(Staff).where(col(Staff.id) == staff_id).values(password_hash=password_hash))


def end_sessions(session: Session, staff_id: int, now: datetime, keep_session_id: int | None = None) -> int:
    """Sign the person out everywhere, but for one session; returns how many it were."""
    open_ones = update(PanelSession).where(
        col(PanelSession.staff_id) == staff_id, col(PanelSession.ended_at).is_(None)
    )
    if keep_session_id is not None:
        open_ones = open_ones.where(col(PanelSession.id) != keep_session_id)
    ended: Any = session.execute(open_ones.values(ended_at=now))
    return int(ended.rowcount)


def _present(found: Member | None) -> Member:
    if found is None:
        raise NoSuchCard
    return found


# --- Clients -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientFields:
    """What may be changed about a client; every value was validated before."""

    name: str
    inn: str
    kind: str
    responsible_id: int | None
    phone: str
    email: str
    controller_id: int | None = None
    substitute_id: int | None = None
    contract: str = ""
    contract_until: date | None = None
    """The last day of the contract."""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client in a list."""

    client_id: int
    fields: ClientFields
    responsible: str
    confirmed: bool
    open_requests: int
    version: int


@dataclass(frozen=True, slots=True)
class ClientSpeaker:
    """A person who speaks for a client, and the messengers they write from."""

    person_id: int
    name: str
    phone: str
    channels: tuple[str, ...]


def find_clients(
    session: Session, search: str = "", unconfirmed: bool = False, place: Place = FIRST, reach: Reach = None
) -> Leaf[ClientRow]:
    """Clients by name; each word of `search` must stand in the name or the INN."""
    query = _clients().where(*clients_within(reach))
    if unconfirmed:
        query = query.where(col(Client.confirmed).is_(False))
    query = query.where(*every_word(search, col(Client.inn), col(Client.name)))
    loads = _open_by_client(session)
    order = (col(Client.name), col(Client.id))
    return leaf(session, query, order, lambda row: _client_row(row, loads), place)


def read_client(session: Session, client_id: int, reach: Reach = None) -> ClientRow | None:
    """One client; None when there is none, or it is not within reach."""
    found = session.execute(_clients().where(col(Client.id) == client_id, *clients_within(reach))).first()
    return _client_row(found, _open_by_client(session)) if found else None


def speakers(session: Session, client_id: int) -> tuple[ClientSpeaker, ...]:
    """Who speaks for the client."""
    people = session.execute(
        select(Person)
        .join(ClientPerson, col(ClientPerson.person_id) == Person.id)
        .where(col(ClientPerson.client_id) == client_id)
        .order_by(col(Person.id))
    ).scalars()
    found = {person.id: person for person in people}
    chats = session.execute(
        select(col(Chat.person_id), col(Chat.channel))
        .where(col(Chat.person_id).in_(list(found)))
        .order_by(col(Chat.channel))
    ).all()
    return tuple(
        ClientSpeaker(
            person_id or 0,
            person.name,
            person.phone,
            tuple(dict.fromkeys(channel for owner, channel in chats if owner == person_id)),
        )
        for person_id, person in found.items()
    )


def save_client(session: Session, act: Act, client_id: int, version: int, fields: ClientFields) -> None:
    """Change a client's card; one that is as it was is left alone.

    Raises CardChanged, NoSuchCard, InnTaken.
    """
    before = read_client(session, client_id)
    if before is None:
        raise NoSuchCard
    taken = select(col(Client.id)).where(col(Client.inn) == fields.inn, col(Client.id) != client_id)
    if session.execute(taken).first():
        raise InnTaken
    if (before.version, before.fields) == (version, fields):
        return
    _change(session, Client, client_id, version, {**asdict(fields), "contract_until": _midnight(fields)})
    _record(
        session,
        act,
        "client_changed",
        f"client:{client_id}",
        before=_flat(before.fields),
        after=_flat(fields),
    )


def confirm_client(session: Session, act: Act, client_id: int, version: int) -> None:
    """Take a client who came by chat into the base. Raises CardChanged."""
    _change(session, Client, client_id, version, {"confirmed": True})
    _record(
        session,
        act,
        "client_confirmed",
        f"client:{client_id}",
        before={"confirmed": False},
        after={"confirmed": True},
    )


def _midnight(fields: ClientFields) -> datetime | None:
    """How a day is kept in a column of moments: its midnight in UTC, whatever the firm's zone."""
    day = fields.contract_until
    return datetime.combine(day, time(), UTC) if day else None


def _clients() -> Any:
    return (
        select(Client, col(Person.name))
        .join(Staff, col(Staff.id) == Client.responsible_id, isouter=True)
        .join(Person, col(Person.id) == Staff.person_id, isouter=True)
    )


def _open_by_client(session: Session) -> Mapping[int, int]:
    """How many requests of each client are open.

    Counted here: asked to group by client, SQLite walks through all the closed ones.
    """
    query = select(col(Request.client_id)).where(col(Request.status).in_(OWING))
    return Counter(session.execute(query).scalars())


def _client_row(row: Any, open_requests: Mapping[int, int]) -> ClientRow:
    client, responsible = row
    fields = ClientFields(
        client.name, client.inn, client.kind, client.responsible_id, client.phone, client.email,
        client.controller_id, client.substitute_id, client.contract,
        client.contract_until.date() if client.contract_until else None, client.notes,
    )  # fmt: skip
    return ClientRow(
        client.id,
        fields,
        responsible or "",
        client.confirmed,
        open_requests.get(client.id, 0),
        client.version,
    )


# --- Staff ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StaffFields:
    """What may be changed about a member of staff; every value was validated before."""

    name: str
    email: str
    role: str
    department: str
    skills: tuple[str, ...]
    capacity: int
    active: bool


@dataclass(frozen=True, slots=True)
class StaffRow:
    """A member of staff in a list. `shift` is work, pause or empty (not at work now)."""

    staff_id: int
    person_id: int
    fields: StaffFields
    open_requests: int
    shift: str
    shift_since: datetime | None
    absent_until: datetime | None
    has_password: bool
    channels: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class AbsenceFields:
    """A leave or an illness to be written down (aware UTC); it ends just before `ends_at`."""

    starts_at: datetime
    ends_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class AbsenceRow:
    """A leave or an illness; it ends just before `ends_at`."""

    absence_id: int
    starts_at: datetime
    ends_at: datetime
    reason: str


def list_staff(session: Session, now: datetime) -> tuple[StaffRow, ...]:
    """Everybody, those who work here first, then by name. A firm has tens of them: no pages."""
    query = select(Staff, Person).join(Person, col(Person.id) == Staff.person_id)
    return _staff_rows(session, query.order_by(col(Staff.active).desc(), col(Person.name)), now)


def read_staff(session: Session, staff_id: int, now: datetime) -> StaffRow | None:
    """One member of staff."""
    query = (
        select(Staff, Person).join(Person, col(Person.id) == Staff.person_id).where(col(Staff.id) == staff_id)
    )
    found = _staff_rows(session, query, now)
    return found[0] if found else None


def _staff_rows(session: Session, query: Any, now: datetime) -> tuple[StaffRow, ...]:
    found = [(staff, person) for staff, person in session.execute(query)]
    loads = _pairs(
        session,
        select(col(Request.assignee_id), func.count())
        .where(col(Request.status).in_(OWING), col(Request.assignee_id).is_not(None))
        .group_by(col(Request.assignee_id)),
    )
    shifts = {
        shift.staff_id: shift
        for shift in session.execute(select(Shift).where(col(Shift.ended_at).is_(None))).scalars()
    }
    absent = _pairs(session, away_until(now))
    channels = _channels_of_staff(session)
    return tuple(
        StaffRow(
            staff_id=staff.id,
            person_id=person.id,
            fields=StaffFields(
                person.name, person.email, staff.role, staff.department,
                tuple(staff.skills), staff.capacity, staff.active,
            ),
            open_requests=loads.get(staff.id, 0),
            shift=shifts[staff.id].kind if staff.id in shifts else "",
            shift_since=shifts[staff.id].started_at if staff.id in shifts else None,
            absent_until=absent.get(staff.id),
            has_password=bool(staff.password_hash),
            channels=channels.get(person.id, ()),
            version=staff.version,
        )
        for staff, person in found
    )  # fmt: skip


def _pairs(session: Session, query: Any) -> dict[int, Any]:
    return {row[0]: row[1] for row in session.execute(query)}


def _channels_of_staff(session: Session) -> Mapping[int, tuple[str, ...]]:
    query = (
        select(col(Chat.person_id), col(Chat.channel))
        .join(Staff, col(Staff.person_id) == Chat.person_id)
        .distinct()
        .order_by(col(Chat.channel))
    )
    found: dict[int, tuple[str, ...]] = {}
    for person_id, channel in session.execute(query):
        found[person_id] = (*found.get(person_id, ()), channel)
    return found


def other_directors(session: Session, staff_id: int) -> int:
    """How many active directors there are besides this one."""
    query = select(func.count()).where(
        col(Staff.role) == Role.DIRECTOR, col(Staff.active).is_(True), col(Staff.id) != staff_id
    )
    return int(session.execute(query).scalar_one())


def email_taken(session: Session, email: str, except_staff_id: int | None = None) -> bool:
    """Whether another member of staff signs in with this address."""
    query = _members().where(func.lower(Person.email) == email.strip().lower(), col(Person.email) != "")
    if except_staff_id is not None:
        query = query.where(col(Staff.id) != except_staff_id)
    return session.execute(query).first() is not None


def save_staff(
    session: Session, house: House, act: Act, staff_id: int, version: int, fields: StaffFields
) -> None:
    """Change a card of staff; another role or leaving signs the person out everywhere.

    The requests of whoever leaves go back to the queue.

    Raises CardChanged, NoSuchCard, EmailTaken.
    """
    before = read_staff(session, staff_id, act.now)
    if before is None:
        raise NoSuchCard
    if fields.email and email_taken(session, fields.email, staff_id):
        raise EmailTaken
    if (before.version, before.fields) == (version, fields):
        return
    values: dict[str, Any] = {
        "role": fields.role, "department": fields.department, "skills": list(fields.skills),
        "capacity": fields.capacity, "active": fields.active,
    }  # fmt: skip
    _change(session, Staff, staff_id, version, values)
    if (fields.role, fields.active) != (before.fields.role, before.fields.active):
        end_sessions(session, staff_id, act.now)
    session.execute(
        update(Person).where(col(Person.id) == before.person_id).values(name=fields.name, email=fields.email)
    )
    _record(
        session, act, "staff_changed", f"staff:{staff_id}", before=_flat(before.fields), after=_flat(fields)
    )
    if before.fields.active and not fields.active:
        casework.release(session, house, act.who, staff_id, act.now)


def invite_again(session: Session, act: Act, staff_id: int, valid: timedelta) -> Invited:
    """New codes for somebody on the list; their older unused ones die. Raises NoSuchCard."""
    found = _present(member(session, staff_id))
    codes = Invited(
        found.person_id,
        invite_person(session, found.person_id, Purpose.CHAT, act.now, valid),
        invite_person(session, found.person_id, Purpose.PANEL, act.now, valid),
    )
    _record(session, act, "invited", f"staff:{staff_id}")
    return codes


def absences(session: Session, staff_id: int, now: datetime) -> tuple[AbsenceRow, ...]:
    """Present and coming absences of a member of staff."""
    query = (
        select(Absence)
        .where(col(Absence.staff_id) == staff_id, col(Absence.ends_at) > now)
        .order_by(col(Absence.starts_at))
    )
    return tuple(
        AbsenceRow(found.id or 0, found.starts_at, found.ends_at, found.reason)
        for found in session.execute(query).scalars()
    )


def add_absence(session: Session, act: Act, staff_id: int, absence: AbsenceFields) -> None:
    """Write down a leave or an illness. Raises NoSuchCard."""
    if session.get(Staff, staff_id) is None:
        raise NoSuchCard
    values = {"starts_at": absence.starts_at, "ends_at": absence.ends_at, "reason": absence.reason}
    session.add(Absence(staff_id=staff_id, **values))  # type: ignore[arg-type]  # a mixed mapping
    after = {name: str(value) for name, value in values.items()}
    _record(session, act, "absence_added", f"staff:{staff_id}", after=after)


def end_absence(session: Session, act: Act, staff_id: int, absence_id: int) -> None:
    """End an absence now, or drop one that has not begun. Raises NoSuchCard."""
    found = session.get(Absence, absence_id)
    if found is None or found.staff_id != staff_id:
        raise NoSuchCard
    before = {"starts_at": found.starts_at.isoformat(), "ends_at": found.ends_at.isoformat()}
    if found.starts_at < act.now:
        found.ends_at = act.now
        session.add(found)
    else:
        session.delete(found)
    _record(session, act, "absence_ended", f"staff:{staff_id}", before=before)


# --- What changes have in common -----------------------------------------------------------------------


def _change(session: Session, table: Any, number: int, version: int, values: Mapping[str, Any]) -> None:
    # The comparison and the write are one statement: nobody can slip in between.
    result: Any = session.execute(
        update(table)
        .where(table.id == number, table.version == version)
        .values(**values, version=version + 1)
        .execution_options(synchronize_session="fetch")
    )
    if result.rowcount != 1:
        raise CardChanged


def _flat(fields: ClientFields | StaffFields) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(fields).items()}


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def record_door(session: Session, act: Act, action: str, staff_id: int) -> None:
    """Write down that somebody came in or went out."""
    _record(session, act, action, f"staff:{staff_id}")


def _record(
    session: Session,
    act: Act,
    action: str,
    subject: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    was, became = before or {}, after or {}
    history.record(
        session,
        at=act.now,
        actor_id=act.who.person_id,
        through=act.who.through,
        action=action,
        subject=subject,
        before={name: value for name, value in was.items() if became.get(name) != value} or None,
        after={name: value for name, value in became.items() if was.get(name) != value} or None,
    )
