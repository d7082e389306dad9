"""The past month as the router's dry run wants it. Nothing here writes, locks or commits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from router.dry_run import Past, PastPerson, PastWork, Span, in_order
from router.model import Candidate, Role, Status, Work
from router.worktime import WorkCalendar
from storage.house import House
from storage.models import Absence, Client, Person, Request, Shift, Staff

PERIOD = timedelta(days=30)
MAX_REQUESTS = 2_000
_HELD_FROM_BEFORE = timedelta(days=90)
_LONGEST_SHIFT = timedelta(days=2)
_USUAL_SECONDS = 30 * 60
"""How long a request takes where not one has been done yet."""

_LOADING = (Status.ASSIGNED.value, Status.ACCEPTED.value, Status.WAITING_CLIENT.value)


@dataclass(frozen=True, slots=True)
class Recalled:
    """The period, and whether older requests of it were left out."""

    past: Past
    since: datetime
    cut: bool


@dataclass(frozen=True, slots=True)
class _Row:
    request_id: int
    kind: str
    company: str
    status: str
    submitted_at: datetime
    deadline: datetime
    assigned_at: datetime | None
    ended_at: datetime | None
    responsible_id: int | None
    recorded_by: int | None


def recall(session: Session, house: House, now: datetime) -> Recalled:
    """The requests of the past 30 days, at most 2 000 of the newest, and who was there for them."""
    rows, cut = _requests(session, now - PERIOD)
    since = rows[0].submitted_at if rows else now - PERIOD
    usual = _usual(rows, house.calendar)
    works = tuple(_work(row, house.calendar, usual, now) for row in rows)
    past = Past(works, _people(session, since, now), house.calendar, house.kinds.by_code, now)
    return Recalled(past, since, cut)


def _requests(session: Session, since: datetime) -> tuple[list[_Row], bool]:
    query = (
        select(
            col(Request.id), col(Request.kind), col(Request.company), col(Request.status),
            col(Request.submitted_at), col(Request.deadline), col(Request.assigned_at), col(Request.done_at),
            col(Request.closed_at), col(Client.responsible_id), col(Request.recorded_by),
        )
        .join(Client, col(Client.id) == col(Request.client_id))
        .where(col(Request.submitted_at) >= since)
        .order_by(col(Request.submitted_at).desc(), col(Request.id).desc())
        .limit(MAX_REQUESTS + 1)
    )  # fmt: skip
    found = [
        _Row(number, kind, company, status, submitted, deadline, assigned, done or closed, responsible, heard)
        for (
            number, kind, company, status, submitted, deadline, assigned, done, closed, responsible, heard
        ) in session.execute(query)
    ]  # fmt: skip
    return found[:MAX_REQUESTS][::-1], len(found) > MAX_REQUESTS


def _work(row: _Row, calendar: WorkCalendar, usual: Mapping[str, int], now: datetime) -> PastWork:
    work = Work(
        row.request_id, row.kind, row.submitted_at, row.deadline, row.responsible_id,
        recorded_by_id=row.recorded_by,
    )  # fmt: skip
    taken = _taken(row, calendar)
    if taken is None:
        # It goes on: not less than it has taken already.
        begun = row.assigned_at or row.submitted_at
        taken = max(usual.get(row.kind, usual[""]), calendar.working_seconds(begun, now))
    return PastWork(work, taken, row.company, can_be_late=row.status != Status.CANCELLED.value)


def _taken(row: _Row, calendar: WorkCalendar) -> int | None:
    if row.ended_at is None:
        return None
    return calendar.working_seconds(row.assigned_at or row.submitted_at, row.ended_at)


def _usual(rows: Iterable[_Row], calendar: WorkCalendar) -> dict[str, int]:
    """The median of what was done, by kind; under the empty name that of all."""
    taken = defaultdict(list)
    for row in rows:
        seconds = _taken(row, calendar)
        if seconds is not None and row.status != Status.CANCELLED.value:
            taken[row.kind].append(seconds)
            taken[""].append(seconds)
    return {"": _USUAL_SECONDS} | {kind: int(median(seconds)) for kind, seconds in taken.items()}


def _people(session: Session, since: datetime, now: datetime) -> tuple[PastPerson, ...]:
    taking = [role.value for role in Role if role.takes_requests]
    query = (
        select(Staff, col(Person.name))
        .join(Person, col(Person.id) == col(Staff.person_id))
        .where(col(Staff.role).in_(taking))
        .order_by(col(Staff.id))
    )
    shifts, absences, held = (
        _shifts(session, since, now),
        _absences(session, since, now),
        _held(session, since),
    )
    return tuple(
        PastPerson(
            Candidate(
                staff_id=row.id or 0,
                name=name,
                role=Role(row.role),
                department=row.department,
                skills=frozenset(row.skills),
                capacity=row.capacity,
                active=row.active,
            ),
            in_order(shifts.get(row.id or 0, [])),
            in_order(absences.get(row.id or 0, [])),
            in_order(held.get(row.id or 0, [])),
        )
        for row, name in session.execute(query)
    )


def _shifts(session: Session, since: datetime, now: datetime) -> dict[int, list[Span]]:
    query = select(col(Shift.staff_id), col(Shift.started_at), col(Shift.ended_at)).where(
        col(Shift.kind) == "work",
        col(Shift.started_at) < now,
        or_(col(Shift.started_at) >= since - _LONGEST_SHIFT, col(Shift.ended_at).is_(None)),
    )
    return _spans((staff_id, Span(start, end)) for staff_id, start, end in session.execute(query))


def _absences(session: Session, since: datetime, now: datetime) -> dict[int, list[Span]]:
    query = select(col(Absence.staff_id), col(Absence.starts_at), col(Absence.ends_at)).where(
        col(Absence.starts_at) < now, col(Absence.ends_at) > since
    )
    return _spans((staff_id, Span(start, end)) for staff_id, start, end in session.execute(query))


def _held(session: Session, since: datetime) -> dict[int, list[Span]]:
    """What people had in hand when the period began; of what is done now, only the last months' requests."""
    ended = col(Request.done_at)
    query = select(
        col(Request.assignee_id),
        col(Request.submitted_at),
        col(Request.assigned_at),
        ended,
        col(Request.closed_at),
    ).where(
        col(Request.assignee_id).is_not(None),
        col(Request.submitted_at) < since,
        or_(
            col(Request.status).in_(_LOADING),
            and_(col(Request.submitted_at) >= since - _HELD_FROM_BEFORE, or_(ended > since, ended.is_(None))),
        ),
    )
    found = []
    for staff_id, submitted, assigned, done, closed in session.execute(query):
        end = done or closed
        if end is None or end > since:
            found.append((staff_id, Span(max(assigned or submitted, submitted), end)))
    return _spans(found)


def _spans(found: Iterable[tuple[int, Span]]) -> dict[int, list[Span]]:
    by_person: dict[int, list[Span]] = defaultdict(list)
    for staff_id, span in found:
        by_person[staff_id].append(span)
    return by_person
