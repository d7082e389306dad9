"""What the start page, the board, the calendar and the time-line show. Nothing here writes.

`own_of` is the reader's right, not their wish (`storage.reach`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import func, or_, select, union_all
from sqlmodel import Session, col

from router.board import COLUMNS
from router.model import Role, Stage, Status
from router.risk import Risk, risk_of
from router.worktime import WorkCalendar
from storage.absences import away_until
from storage.models import History, Person, Request, Shift, Staff, StageInterval
from storage.reach import Reach, within
from storage.reading import (
    OWING,
    RequestFilter,
    RequestRow,
    conditions,
    count_requests,
    find_requests,
    request_row,
    request_rows,
)

LOOK_AHEAD = timedelta(days=14)
"""A deadline further away is in no danger yet."""

SAMPLE = 50
"""How many finished requests of a kind say how long such work takes."""

SHOWN_RISKS = 500
SHOWN_DEADLINES = 1_000
SHOWN_STRETCHES = 2_000

LONGEST_LIFE = timedelta(days=90)
"""A closed request that was sent longer before is not looked for on the time-line."""


# --- In danger -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endangered:
    """A request that is likely to be late, and why."""

    row: RequestRow
    risk: Risk


def at_risk(
    session: Session, now: datetime, calendar: WorkCalendar, own_of: Reach = None, most: int = SHOWN_RISKS
) -> tuple[Endangered, ...]:
    """Requests with less working time left than their work usually takes, nearest deadline first."""
    query = (
        request_rows()
        .where(col(Request.status).in_(OWING))
        .where(col(Request.deadline) >= now, col(Request.deadline) < now + LOOK_AHEAD, *within(own_of))
        .order_by(col(Request.deadline), col(Request.id))
        .limit(most)
    )
    rows = [request_row(row) for row in session.execute(query)]
    usual = usual_seconds(session, {row.kind for row in rows}, calendar)
    found = ((row, risk_of(row.deadline, now, calendar, usual.get(row.kind))) for row in rows)
    return tuple(Endangered(row, risk) for row, risk in found if risk is not None)


def usual_seconds(session: Session, kinds: Iterable[str], calendar: WorkCalendar) -> Mapping[str, int]:
    """The median execution of each kind over its last finished requests, in working seconds."""
    kind_of: dict[int, str] = {}
    for kind in sorted(kinds):
        newest = (
            select(col(Request.id))
            .where(col(Request.kind) == kind, col(Request.status).in_((Status.DONE, Status.CLOSED)))
            .order_by(col(Request.id).desc())
            .limit(SAMPLE)
        )
        kind_of |= {number: kind for number in session.execute(newest).scalars() if number is not None}
    spent: dict[int, int] = {}
    stretches = select(
        col(StageInterval.request_id), col(StageInterval.started_at), col(StageInterval.ended_at)
    ).where(
        col(StageInterval.request_id).in_(list(kind_of)),
        col(StageInterval.stage) == Stage.EXECUTION,
        col(StageInterval.ended_at).is_not(None),
    )
    for number, started_at, ended_at in session.execute(stretches):
        spent[number] = spent.get(number, 0) + calendar.working_seconds(started_at, ended_at)
    by_kind: dict[str, list[int]] = {}
    for number, seconds in spent.items():
        by_kind.setdefault(kind_of[number], []).append(seconds)
    return {kind: int(median(values)) for kind, values in by_kind.items()}


# --- Who is here ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OnDuty:
    """A member of staff and their load. `shift` is work, pause or empty (not at work now)."""

    staff_id: int
    name: str
    role: Role
    shift: str
    shift_since: datetime | None
    absent_until: datetime | None
    open_requests: int
    capacity: int


def on_duty(session: Session, now: datetime, only: int | None = None) -> tuple[OnDuty, ...]:
    """Those who take requests, and whoever else is on shift or absent; by name. `only` is one person."""
    people = (
        select(col(Staff.id), col(Person.name), col(Staff.role), col(Staff.capacity))
        .join(Person, col(Person.id) == Staff.person_id)
        .where(col(Staff.active).is_(True))
        .order_by(col(Person.name), col(Staff.id))
    )
    if only is not None:
        people = people.where(col(Staff.id) == only)
    shifts = {
        staff_id: (kind, since)
        for staff_id, kind, since in session.execute(
            select(col(Shift.staff_id), col(Shift.kind), col(Shift.started_at)).where(
                col(Shift.ended_at).is_(None)
            )
        )
    }
    away = _pairs(session, away_until(now))
    loads = _pairs(
        session,
        select(col(Request.assignee_id), func.count())
        .where(col(Request.status).in_(OWING), col(Request.assignee_id).is_not(None))
        .group_by(col(Request.assignee_id)),
    )
    found = (
        OnDuty(
            staff_id, name, Role(role), *shifts.get(staff_id, ("", None)), away.get(staff_id),
            loads.get(staff_id, 0), capacity,
        )
        for staff_id, name, role, capacity in session.execute(people)
    )  # fmt: skip
    return tuple(one for one in found if one.role.takes_requests or one.shift or one.absent_until)


# --- The board -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """The first cards of a column, nearest deadline first, and how many more there are."""

    status: Status
    cards: tuple[RequestRow, ...]
    more: int


@dataclass(frozen=True, slots=True)
class LastChange:
    """What happened to a request last; names are empty for the program and for nobody."""

    actor: str
    action: str
    assignee: str


def columns(session: Session, own_of: Reach = None) -> tuple[Column, ...]:
    """The board: `reading.PAGE_ROWS` cards a column."""
    found = []
    for status in COLUMNS:
        wanted = RequestFilter(statuses=(status,), own_of=own_of)
        first = find_requests(session, wanted, "deadline", descending=False)
        more = count_requests(session, wanted) - len(first.rows) if first.later else 0
        found.append(Column(status, first.rows, more))
    return tuple(found)


def last_change(session: Session, number: int) -> LastChange:
    """Who did what with a request last, for whoever came second."""
    line = (
        select(col(History.action), col(Person.name))
        .join(Person, col(Person.id) == History.actor_id, isouter=True)
        .where(col(History.subject) == f"request:{number}")
        .order_by(col(History.id).desc())
        .limit(1)
    )
    holder = (
        select(col(Person.name))
        .join(Staff, col(Staff.person_id) == Person.id)
        .join(Request, col(Request.assignee_id) == Staff.id)
        .where(col(Request.id) == number)
    )
    found = session.execute(line).one_or_none()
    action, actor = found or ("", "")
    return LastChange(actor or "", action, session.execute(holder).scalar_one_or_none() or "")


# --- Deadlines and time-line ---------------------------------------------------------------------------


def deadlines(
    session: Session,
    since: datetime,
    until: datetime,
    assignee_id: int | None = None,
    own_of: Reach = None,
    most: int = SHOWN_DEADLINES,
) -> tuple[RequestRow, ...]:
    """Open requests due from `since` until before `until`, at most `most`; 0 is nobody's."""
    wanted = RequestFilter(statuses=COLUMNS, assignee_id=assignee_id, own_of=own_of)
    query = (
        request_rows()
        .where(*conditions(wanted), col(Request.deadline) >= since, col(Request.deadline) < until)
        .order_by(col(Request.deadline), col(Request.id))
        .limit(most)
    )
    return tuple(request_row(row) for row in session.execute(query))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a stage that was, or is, one person's; `ended_at` is None while it lasts."""

    number: int
    company: str
    status: Status
    deadline: datetime
    is_theirs: bool
    """Whether this person has the request now."""
    staff_id: int
    name: str
    stage: Stage
    started_at: datetime
    ended_at: datetime | None


def stretches(
    session: Session,
    since: datetime,
    until: datetime,
    staff_id: int | None = None,
    own_of: Reach = None,
    most: int = SHOWN_STRETCHES,
) -> tuple[Stretch, ...]:
    """What everybody (or one person) was busy with in a time, by name; at most `most` stretches.

    Whoever knows of their own requests only still sees all that they were busy with themselves.
    """
    # Stretches have no index of their own times: they are found by the requests that were open then.
    # Two questions, each with an index of its own: of both at once SQLite makes a walk through all.
    open_now = select(col(Request.id)).where(col(Request.status).in_(COLUMNS))
    sent_then = select(col(Request.id)).where(
        col(Request.submitted_at) >= since - LONGEST_LIFE,
        col(Request.submitted_at) < until,
        col(Request.closed_at) > since,
    )
    then_open = union_all(open_now.correlate(None), sent_then.correlate(None))
    query = (
        select(StageInterval, Request, col(Person.name))
        .join(Request, col(Request.id) == StageInterval.request_id)
        .join(Staff, col(Staff.id) == StageInterval.staff_id)
        .join(Person, col(Person.id) == Staff.person_id)
        .where(
            col(StageInterval.request_id).in_(then_open),
            col(StageInterval.started_at) < until,
            or_(col(StageInterval.ended_at).is_(None), col(StageInterval.ended_at) > since),
        )
        .order_by(col(Person.name), col(Staff.id), col(StageInterval.started_at), col(StageInterval.id))
        .limit(most)
    )
    if isinstance(own_of, int):
        staff_id = own_of
    else:
        query = query.where(*within(own_of))
    if staff_id is not None:
        query = query.where(col(StageInterval.staff_id) == staff_id)
    return tuple(
        Stretch(
            request.id or 0, request.company, Status(request.status), request.deadline,
            request.assignee_id == interval.staff_id, interval.staff_id or 0, name,
            Stage(interval.stage), interval.started_at, interval.ended_at,
        )
        for interval, request, name in session.execute(query)
    )  # fmt: skip


def _pairs(session: Session, query: Any) -> dict[int, Any]:
    return {row[0]: row[1] for row in session.execute(query)}
