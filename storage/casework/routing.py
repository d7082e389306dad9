"""Letting the router choose, and keeping why."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, exists, func, select
from sqlmodel import Session, col

from forms.texts import Text
from notifications import compose
from router import assign as routing
from router import desk, schedule
from router.model import Candidate, Decision, Role, Status, Work
from storage import history
from storage.casework.opening import Case, case_of, context_of
from storage.casework.telling import give_card, to_client, to_directors
from storage.casework.writing import note_assignment, write_change
from storage.house import House, Who
from storage.models import (
    Assignment,
    Client,
    Request,
    metadata,
)

ROUTER = Who("router")


def candidates(session: Session, now: datetime) -> tuple[Candidate, ...]:
    """Everybody who might take a request, as they are at this moment. One query whatever the number."""
    session.flush()
    return tuple(
        Candidate(
            staff_id=row.id,
            name=row.name,
            role=Role(row.role),
            department=row.department,
            skills=frozenset(row.skills),
            capacity=row.capacity,
            open_requests=row.open_requests,
            on_shift=row.on_shift,
            absent_until=row.absent_until,
            active=row.active,
            hours=schedule.from_json(row.schedule),
        )
        for row in session.connection().execute(_CANDIDATES, {"now": now})
    )


_staff = metadata.tables["staff"]
_person = metadata.tables["person"]
_request = metadata.tables["request"]
_shift = metadata.tables["shift"]
_absence = metadata.tables["absence"]
_LOADING = [status.value for status in (Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)]

_CANDIDATES = (
    select(
        _staff.c.id, _person.c.name, _staff.c.role, _staff.c.department, _staff.c.skills, _staff.c.capacity,
        _staff.c.active, _staff.c.schedule,
        select(func.count())
        .select_from(_request)
        .where(_request.c.assignee_id == _staff.c.id, _request.c.status.in_(_LOADING))
        .scalar_subquery()
        .label("open_requests"),
        exists()
        .where(_shift.c.staff_id == _staff.c.id, _shift.c.ended_at.is_(None), _shift.c.kind == "work")
        .label("on_shift"),
        select(func.max(_absence.c.ends_at))
        .where(
            _absence.c.staff_id == _staff.c.id,
            _absence.c.starts_at <= bindparam("now"),
            _absence.c.ends_at > bindparam("now"),
        )
        .scalar_subquery()
        .label("absent_until"),
    )
    .join(_person, _person.c.id == _staff.c.person_id)
    .order_by(_staff.c.id)
)  # fmt: skip


def work_of(session: Session, row: Request) -> Work:
    """A request as the router wants it."""
    client = session.get(Client, row.client_id)
    refused = session.execute(
        select(col(Assignment.staff_id)).where(
            col(Assignment.request_id) == row.id,
            col(Assignment.declined),
            col(Assignment.staff_id).is_not(None),
        )
    ).scalars()
    return Work(
        request_id=row.id or 0,
        kind=row.kind,
        submitted_at=row.submitted_at,
        deadline=row.deadline,
        responsible_id=client.responsible_id if client else None,
        substitute_id=client.substitute_id if client else None,
        excluded_ids=frozenset(staff_id for staff_id in refused if staff_id is not None),
        recorded_by_id=row.recorded_by,
    )


def route(
    session: Session,
    house: House,
    case: Case,
    now: datetime,
    *,
    work: Work | None = None,
    tell_client: bool = True,
    note: Text | None = None,
) -> Case:
    """Let the router choose; the decision is stored whether or not somebody fits.

    `work` spares reading the request once more where its writer knows it. `note` is what whoever had it
    before says to whoever gets it.
    """
    work = work or work_of(session, case.row)
    decision = routing.assign(work, candidates(session, now), house.rules(now))
    return _decided(session, house, case, decision, now, tell_client=tell_client, note=note)


def _decided(
    session: Session, house: House, case: Case, decision: Decision, now: datetime, *,
    tell_client: bool, note: Text | None = None,
) -> Case:  # fmt: skip
    note_assignment(session, case, decision.staff_id, "router", "", now, trace_of(house, decision))
    if decision.staff_id is None:
        to_directors(
            session,
            house,
            case,
            compose.unassigned_alarm(case.facts, context_of(house, now), note),
            now,
            "unassigned",
        )
        return case
    case = write_change(session, case, desk.assigned(case.request, desk.MACHINE, now, decision), ROUTER)
    give_card(session, house, case, now, note)
    if tell_client:
        to_client(session, house, case, compose.assigned_notice(case.facts), now, "assigned")
    return case


def trace_of(house: House, decision: Decision) -> str:
    """The decision in the words of that day, for the page «почему Анна»."""
    return routing.decision_to_json(decision, house.say)


def pick_up_unassigned(session: Session, house: House, now: datetime) -> int:
    """Offer what waits in «Неразобранное» to whoever has appeared, nearest deadline first.

    Only requests that somebody can take now are touched. Returns how many were given out.
    """
    history.wait_turn(session)
    query = select(Request).where(col(Request.status) == Status.NEW.value)
    waiting = session.execute(query.execution_options(populate_existing=True)).scalars().all()
    if not waiting:
        return 0
    rows = {row.id: row for row in waiting}
    people = candidates(session, now)
    works = [work_of(session, row) for row in waiting]
    given = 0
    for work, decision in routing.pick_up(works, people, house.rules(now)):
        if decision.staff_id is None:
            continue
        _decided(session, house, case_of(session, rows[work.request_id]), decision, now, tell_client=True)
        given += 1
    return given
