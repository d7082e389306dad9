"""Reading a request, and who has to do with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from forms.fields import FormContext
from notifications import compose
from notifications.compose import RequestFacts
from router import desk
from router.model import Role, Stage, Status
from storage import history
from storage.absences import away
from storage.house import House, Who
from storage.models import (
    Chat,
    Client,
    ClientPerson,
    History,
    Person,
    Request,
    Staff,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A request opened for one action: the row, its desk value, its facts for sentences."""

    row: Request
    facts: RequestFacts
    request: desk.Request
    assignee_name: str
    assignee_person_id: int | None

    @property
    def number(self) -> int:
        """The number people see."""
        assert self.row.id is not None
        return self.row.id


class NoSuchRequest(desk.DeskError):
    """There is no such request, or this person may not know of it."""

    def __init__(self) -> None:
        super().__init__(compose.no_such_request())


def open_case(session: Session, request_id: int) -> Case:
    """Read a request for a change; on PostgreSQL the row is locked until the commit.

    Raises NoSuchRequest.
    """
    history.wait_turn(session)
    query = select(Request).where(col(Request.id) == request_id).with_for_update(of=Request, key_share=True)
    # What this transaction has read of the row before it was locked may be out of date.
    row = session.execute(query.execution_options(populate_existing=True)).scalar_one_or_none()
    if row is None:
        raise NoSuchRequest
    return case_of(session, row)


def case_of(session: Session, row: Request) -> Case:
    """Open a request whose row was read already."""
    name, person_id = staff_name(session, row.assignee_id)
    client = session.get(Client, row.client_id)
    assert client is not None
    facts = _facts(row, name, is_new_client=not client.confirmed)
    return Case(row, facts, _desk_request(row), name, person_id)


def new_case(row: Request, *, is_new_client: bool) -> Case:
    """Open a request that was just written and that nobody has yet."""
    return Case(row, _facts(row, "", is_new_client=is_new_client), _desk_request(row), "", None)


def _facts(row: Request, assignee: str, *, is_new_client: bool) -> RequestFacts:
    assert row.id is not None
    return RequestFacts(
        number=row.id,
        status=Status(row.status),
        answers=row.answers,
        client=row.company,
        assignee=assignee,
        is_new_client=is_new_client,
        version=row.version,
        result=row.result,
        deadline=row.deadline,
        rating=row.rating,
        unconfirmed=row.recorded_by is not None and row.confirmed_at is None,
        stage=Stage(row.stage) if row.stage else None,
    )


def facts_of(session: Session, row: Request) -> RequestFacts:
    """A request as people read about it."""
    return case_of(session, row).facts


def _desk_request(row: Request) -> desk.Request:
    assert row.id is not None
    return desk.Request(
        request_id=row.id,
        status=Status(row.status),
        deadline=row.deadline,
        stage=Stage(row.stage) if row.stage else None,
        assignee_id=row.assignee_id,
        version=row.version,
        submitted_at=row.submitted_at,
        assigned_at=row.assigned_at,
        accepted_at=row.accepted_at,
        first_response_at=row.first_response_at,
        done_at=row.done_at,
        closed_at=row.closed_at,
        first_responder_id=row.first_responder_id,
        done_by=row.done_by,
        question=row.question,
        unanswered_since=row.unanswered_since,
        rating=row.rating,
    )


def staff_name(session: Session, staff_id: int | None) -> tuple[str, int | None]:
    """Name and person of a member of staff; empty for nobody.

    Whoever has left keeps the name in the books and is no person to be written to.
    """
    if staff_id is None:
        return "", None
    query = select(col(Person.name), col(Person.id), col(Staff.active)).join(
        Staff, col(Staff.person_id) == col(Person.id)
    )
    found = session.execute(query.where(col(Staff.id) == staff_id)).one_or_none()
    return (found[0], found[1] if found[2] else None) if found else ("", None)


def form_context(session: Session, house: House, now: datetime, person_id: int | None = None) -> FormContext:
    """What the form may know about this person."""
    from forms.fields import Company

    companies: tuple[Company, ...] = ()
    if person_id is not None:
        query = (
            select(col(Client.inn), col(Client.name))
            .join(ClientPerson, col(ClientPerson.client_id) == col(Client.id))
            .where(col(ClientPerson.person_id) == person_id)
            .order_by(col(Client.name))
        )
        companies = tuple(Company(inn, name) for inn, name in session.execute(query))
    return replace(context_of(house, now), companies=companies)


def context_of(house: House, now: datetime) -> FormContext:
    """What sentences about a request need; no person's companies."""
    return FormContext(now, house.calendar, house.firm_name, house.firm_phone, kinds=house.kinds)


def people_for_call(session: Session, person_id: int | None, now: datetime) -> tuple[int, ...]:
    """Whose chats a client's call for a person goes to.

    The keepers of their open requests and books who are not absent; without any, the directors, and in
    a firm where these cannot be reached, everybody. The administrator, and whoever is absent, hear of it
    only when there is nobody else. Only people who have a chat.
    """
    has_chat = select(col(Chat.id)).where(
        col(Chat.person_id) == col(Staff.person_id), col(Chat.blocked_at).is_(None)
    )
    in_a_chat = select(col(Staff.person_id)).where(col(Staff.active), has_chat.exists())
    reachable = in_a_chat.where(col(Staff.id).not_in(away(now)), col(Staff.role) != Role.ADMIN.value)
    working_on = select(col(Request.assignee_id)).where(
        col(Request.person_id) == person_id,
        col(Request.status).in_(
            [Status.ASSIGNED.value, Status.ACCEPTED.value, Status.WAITING_CLIENT.value, Status.DONE.value]
        ),
        col(Request.assignee_id).is_not(None),
    )
    responsible = (
        select(col(Client.responsible_id))
        .join(ClientPerson, col(ClientPerson.client_id) == col(Client.id))
        .where(col(ClientPerson.person_id) == person_id, col(Client.responsible_id).is_not(None))
    )
    near = (
        session.execute(reachable.where(col(Staff.id).in_(working_on) | col(Staff.id).in_(responsible)))
        .scalars()
        .all()
    )
    if near:
        return tuple(sorted(near))
    directing = (Role.DIRECTOR.value, Role.DEPUTY.value)
    last = (
        reachable.where(col(Staff.role).in_(directing)),
        reachable,
        in_a_chat.where(col(Staff.role) == Role.ADMIN.value),
        in_a_chat,
    )
    found = (tuple(sorted(session.execute(query).scalars())) for query in last)
    return next((people for people in found if people), ())


def open_checked(
    session: Session, house: House, who: Who, request_id: int, now: datetime, version: int | None
) -> Case:
    """Open a request for a decision; one made on an older screen is refused with who changed it."""
    case = open_case(session, request_id)
    if version is not None and version != case.row.version:
        changed_by, changed_at = _last_change(session, request_id)
        desk.require_version(
            case.request,
            version,
            actor_of(who, house),
            now,
            changed_by=changed_by,
            changed_at=changed_at or now,
        )
    return case


def _last_change(session: Session, request_id: int) -> tuple[str, datetime | None]:
    """Who changed a request last and when; the name is empty when it was the program."""
    query = (
        select(col(Person.name), col(History.at))
        .select_from(History)
        .outerjoin(Person, col(Person.id) == col(History.actor_id))
        .where(col(History.subject) == f"request:{request_id}")
        .order_by(col(History.id).desc())
        .limit(1)
    )
    found = session.execute(query).one_or_none()
    return (found[0] or "", found[1]) if found else ("", None)


def actor_of(who: Who, house: House) -> desk.Actor:
    """The same person as the desk wants them."""
    if who.staff_id is not None and who.role is not None:
        return desk.staff(who.staff_id, who.role, who.name, house.calendar.zone)
    return desk.Actor(who.name, zone=house.calendar.zone)
