"""The summaries of the day for directors: who gets one now, and what it says.

Each is a letter whose key names the day and the person, so it comes once however often the timer
looks. One that is late by two hours is not sent at all: nobody wants yesterday's morning.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from sqlalchemy import exists, func, select
from sqlmodel import Session, col

from forms.fields import FormContext
from forms.texts import Text
from notifications import digest
from notifications.digest import DayFigures, Occasion, Urgent
from router.board import COLUMNS
from router.model import Role, Status
from router.worktime import WorkCalendar
from storage.house import House
from storage.letters import Posting, post
from storage.models import Chat, Letter, Request, Staff
from storage.reach import Reach
from storage.reading import OWING, RequestFilter, RequestRow, conditions, request_row, request_rows

SENT_WITHIN = timedelta(hours=2)
MOST_URGENT = 5
LONGEST_WORK = timedelta(days=90)
"""What was submitted earlier and is finished today is not counted: it is not worth reading years for."""

_DAY = timedelta(days=1)


def occasion_at(calendar: WorkCalendar, now: datetime) -> tuple[Occasion, date] | None:
    """Which summary is due at this moment, and of which day. Pure."""
    today = now.astimezone(calendar.zone).date()
    for day in (today, today - _DAY):
        if not calendar.is_working_day(day):
            continue
        opening = datetime.combine(day, calendar.opens_at(day), calendar.zone)
        for occasion, at in ((Occasion.EVENING, calendar.closing_of(day)), (Occasion.MORNING, opening)):
            if at <= now < at + SENT_WITHIN:
                return occasion, day
    return None


def send_digests(session: Session, house: House, now: datetime) -> int:
    """Post the summary that is due to every director who wants it; returns to how many."""
    due = occasion_at(house.calendar, now)
    if due is None:
        return 0
    occasion, day = due
    keys = {f"digest:{occasion}:{day}:{person_id}": person_id for person_id in _who_wants(session)}
    sent = set(session.execute(select(col(Letter.key)).where(col(Letter.key).in_(keys))).scalars())
    wanted = {key: person_id for key, person_id in keys.items() if key not in sent}
    if not wanted:
        return 0
    context = FormContext(now, house.calendar, house.firm_name, house.firm_phone, kinds=house.kinds)
    write = digest.morning if occasion is Occasion.MORNING else digest.evening
    reply = write(day_figures(session, house, now, day), day, context)
    post(
        session,
        house,
        now,
        [Posting(key, reply, person_id=person_id, keeps_screen=True) for key, person_id in wanted.items()],
    )
    return len(wanted)


def _who_wants(session: Session) -> list[int]:
    has_chat = exists().where(col(Chat.person_id) == col(Staff.person_id), col(Chat.blocked_at).is_(None))
    query = select(col(Staff.person_id)).where(
        col(Staff.active),
        col(Staff.digest),
        col(Staff.role).in_((Role.DIRECTOR.value, Role.DEPUTY.value)),
        has_chat,
    )
    return sorted(session.execute(query).scalars())


def day_figures(session: Session, house: House, now: datetime, day: date) -> DayFigures:
    """What there is now, and what this day of the firm has brought."""
    start = datetime.combine(day, time(), house.calendar.zone)
    urgent = (
        request_rows().where(col(Request.status).in_(OWING)).order_by(col(Request.deadline), col(Request.id))
    )
    rows = [request_row(row) for row in session.execute(urgent.limit(MOST_URGENT))]
    return DayFigures(
        by_column=by_column(session),
        unanswered=count_unanswered(session),
        overdue=count_overdue(session, now),
        submitted=_count(session, col(Request.submitted_at) >= start),
        finished=_count(
            session, col(Request.submitted_at) >= start - LONGEST_WORK, col(Request.done_at) >= start
        ),
        urgent=tuple(_urgent(row, house.kinds.label(row.kind)) for row in rows),
    )


def by_column(session: Session, own_of: Reach = None) -> Mapping[Status, int]:
    """How many requests stand in each column of the board."""
    query = (
        select(col(Request.status), func.count())
        .where(*conditions(RequestFilter(statuses=tuple(status.value for status in COLUMNS), own_of=own_of)))
        .group_by(col(Request.status))
    )
    return {Status(status): int(count) for status, count in session.execute(query)}


def count_unanswered(session: Session, own_of: Reach = None) -> int:
    """On how many requests the client waits for an answer."""
    return _count(session, *conditions(RequestFilter(unanswered=True, own_of=own_of)))


def count_overdue(session: Session, now: datetime, own_of: Reach = None) -> int:
    """How many deadlines have passed without a result."""
    return _count(session, *conditions(RequestFilter(overdue_at=now, own_of=own_of)))


def nearest_in(session: Session, column: Status, limit: int, own_of: Reach = None) -> list[RequestRow]:
    """The requests of a column, nearest deadline first."""
    wanted = RequestFilter(statuses=(column.value,), own_of=own_of)
    query = request_rows().where(*conditions(wanted)).order_by(col(Request.deadline), col(Request.id))
    return [request_row(row) for row in session.execute(query.limit(limit))]


def _count(session: Session, *fitting: object) -> int:
    query = select(func.count()).select_from(Request).where(*fitting)  # type: ignore[arg-type]
    return int(session.execute(query).scalar_one())


def _urgent(row: RequestRow, kind: Text) -> Urgent:
    return Urgent(row.number, row.version, row.company, kind, row.deadline, row.assignee)
