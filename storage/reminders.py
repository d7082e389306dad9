"""Tells of work that cannot wait, once: a deadline that comes near or has passed, a client who waits.

What is told is what crossed its limit since the last look, so a restart repeats nothing, and what
happened while nobody was at work is told in one letter at the opening.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from notifications import reminders as words
from notifications.reminders import Concern, Pressing
from router.model import Role, Status
from storage import absences
from storage.alarms import people_of, tell_once
from storage.house import House
from storage.models import Request, Staff
from storage.reading import OWING, RequestRow, request_row, request_rows
from storage.work import get_setting, put_setting

DIRECTORS = (Role.DIRECTOR, Role.DEPUTY)
DIRECTORS_AFTER = 2
"""A director hears of a waiting client after so many times the limit."""

_LOOKED = "reminders_looked_at"
_ANSWERED_BY_SOMEBODY = (Status.ACCEPTED, Status.WAITING_CLIENT, Status.DONE)
"""Whoever has not accepted yet loses the request sooner than the client waits long."""


def remind(session: Session, house: House, now: datetime) -> int:
    """Tell assignees and directors what has become pressing; returns how many letters that makes.

    Nothing outside working time. The first look ever only notes when it was.
    """
    if not house.calendar.is_open(now):
        return 0
    kept = get_setting(session, _LOOKED)
    put_setting(session, _LOOKED, now.isoformat(), now)
    if not kept or (since := datetime.fromisoformat(kept)) >= now:
        return 0
    found = list(_crossed(session, house, since, now))
    return _tell_assignees(session, house, found, now) + _tell_directors(session, house, found, now)


@dataclass(frozen=True, slots=True)
class _Crossed:
    """`assignee_id` is the staff's number; the directors hear of it, the assignee, or both."""

    pressing: Pressing
    assignee_id: int | None
    for_assignee: bool
    for_directors: bool


def _crossed(session: Session, house: House, since: datetime, now: datetime) -> Iterator[_Crossed]:
    away = set(session.execute(absences.away(now)).scalars())
    for row in _near_deadlines(session, house, since, now):
        concern = _of_deadline(row, house, since, now)
        if concern is not None:
            # Whoever is away does not see what comes near; nor does anybody while nobody has it.
            alone = row.assignee_id is None or row.assignee_id in away
            told = alone or concern is Concern.LATE
            yield _Crossed(_pressing(row, concern, row.deadline, away), row.assignee_id, True, told)  # noqa: FBT003
    for row in _waiting_clients(session):
        if row.unanswered_since is None:
            continue
        limit = house.answer_within_minutes * 60
        first = _passes(row.unanswered_since, limit, house, since, now)
        second = _passes(row.unanswered_since, limit * DIRECTORS_AFTER, house, since, now)
        early = first and row.assignee_id in away
        if first or second:
            pressing = _pressing(row, Concern.WAITS, row.unanswered_since, away)
            yield _Crossed(pressing, row.assignee_id, first, second or early)


def _near_deadlines(session: Session, house: House, since: datetime, now: datetime) -> list[RequestRow]:
    until = house.calendar.add_working(now, house.remind_before_minutes * 60)
    query = (
        request_rows()
        .where(col(Request.status).in_(OWING), col(Request.deadline) > since, col(Request.deadline) <= until)
        .order_by(col(Request.deadline), col(Request.id))
    )
    return [request_row(row) for row in session.execute(query)]


def _of_deadline(row: RequestRow, house: House, since: datetime, now: datetime) -> Concern | None:
    if row.deadline <= now:
        return Concern.LATE
    limit = house.remind_before_minutes * 60
    # A deadline that was near from the beginning is no news.
    left_before = house.calendar.working_seconds(max(since, row.submitted_at), row.deadline)
    return Concern.SOON if limit and left_before > limit else None


def _waiting_clients(session: Session) -> list[RequestRow]:
    query = (
        request_rows()
        .where(
            col(Request.unanswered_since).is_not(None),
            col(Request.status).in_([status.value for status in _ANSWERED_BY_SOMEBODY]),
        )
        .order_by(col(Request.unanswered_since), col(Request.id))
    )
    return [request_row(row) for row in session.execute(query)]


def _passes(start: datetime, limit_seconds: int, house: House, since: datetime, now: datetime) -> bool:
    """Whether so much working time since `start` was reached between the two looks."""
    if not limit_seconds:
        return False
    waited = house.calendar.working_seconds
    return waited(start, since) < limit_seconds <= waited(start, now)


def _pressing(row: RequestRow, concern: Concern, at: datetime, away: set[int]) -> Pressing:
    return Pressing(concern, row.number, row.version, row.company, at, row.assignee, row.assignee_id in away)


def _tell_assignees(session: Session, house: House, found: list[_Crossed], now: datetime) -> int:
    by_staff: Mapping[int, list[Pressing]] = defaultdict(list)
    for each in found:
        if each.for_assignee and each.assignee_id is not None:
            by_staff[each.assignee_id].append(each.pressing)
    found_people = session.execute(
        select(col(Staff.id), col(Staff.person_id)).where(col(Staff.id).in_(by_staff))
    )
    person_of = {staff_id: person_id for staff_id, person_id in found_people}  # noqa: C416 - rows, to mypy
    told = 0
    for staff_id, theirs in by_staff.items():
        reply = words.for_assignee(theirs, now, house.calendar.zone)
        told += tell_once(session, house, now, _key(now, "own"), reply, [person_of[staff_id]])
    return told


def _tell_directors(session: Session, house: House, found: list[_Crossed], now: datetime) -> int:
    told = [each.pressing for each in found if each.for_directors]
    if not told:
        return 0
    reply = words.for_directors(told, now, house.calendar.zone)
    return tell_once(session, house, now, _key(now, "all"), reply, people_of(session, DIRECTORS))


def _key(now: datetime, whose: str) -> str:
    return f"pressing:{whose}:{now:%Y%m%dT%H%M%S}"
