"""By when something must have happened, in working time."""

from __future__ import annotations

from datetime import datetime

from router.worktime import WorkCalendar

_SECONDS_PER_MINUTE = 60


def accept_due(assigned_at: datetime, calendar: WorkCalendar, accept_within_minutes: int) -> datetime:
    """The moment (UTC) after which an assignment that nobody accepted goes to the next person."""
    return calendar.add_working(assigned_at, accept_within_minutes * _SECONDS_PER_MINUTE)


def look_by(now: datetime, calendar: WorkCalendar, promise_minutes: int) -> datetime:
    """By when (UTC) the client may be told that somebody will have looked, nights and holidays apart.

    Zero minutes on a Saturday are Monday's opening.
    """
    return calendar.add_working(now, promise_minutes * _SECONDS_PER_MINUTE)
