"""Days, weeks and months of the calendar pages, in the firm's zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from babel.dates import format_date

from admin import asked
from admin.doors import doors

_WEEK = 7
_NEXT_MONTH = timedelta(days=32)


@dataclass(frozen=True, slots=True)
class Span:
    """The days of a page, and the days by which its neighbours are asked for."""

    days: tuple[date, ...]
    chosen: date
    before: date
    after: date

    @property
    def since(self) -> datetime:
        """When the first day begins (UTC)."""
        return midnight(self.days[0])

    @property
    def until(self) -> datetime:
        """When the day after the last one begins (UTC)."""
        return midnight(self.days[-1] + timedelta(days=1))


def today() -> date:
    """The present day in the firm's zone."""
    return local_day(doors().now())


def local_day(at: datetime) -> date:
    """The day of a moment in the firm's zone."""
    return at.astimezone(doors().house.calendar.zone).date()


def midnight(day: date) -> datetime:
    """When a day begins in the firm's zone (UTC)."""
    return datetime.combine(day, time(), doors().house.calendar.zone).astimezone(UTC)


def one_day(chosen: date) -> Span:
    """A day alone."""
    return Span((chosen,), chosen, chosen - timedelta(days=1), chosen + timedelta(days=1))


def week_of(chosen: date) -> Span:
    """The week of a day, from Monday."""
    monday = chosen - timedelta(days=chosen.weekday())
    week = timedelta(days=_WEEK)
    days = tuple(monday + timedelta(days=number) for number in range(_WEEK))
    return Span(days, chosen, chosen - week, chosen + week)


def month_of(chosen: date) -> Span:
    """The month of a day, filled up to whole weeks."""
    first = chosen.replace(day=1)
    following = (first + _NEXT_MONTH).replace(day=1)
    start = first - timedelta(days=first.weekday())
    end = following + timedelta(days=-following.weekday() % _WEEK)
    days = tuple(start + timedelta(days=number) for number in range((end - start).days))
    return Span(days, chosen, first - timedelta(days=1), following)


def asked_day() -> date:
    """The day asked for, today otherwise."""
    return asked.day("day") or today()


def clock_of(at: datetime) -> str:
    """The time of day of a moment in the firm's zone."""
    return at.astimezone(doors().house.calendar.zone).strftime("%H:%M")


def named(day: date, pattern: str) -> str:
    """A day in words, by a pattern of Unicode's (`EEEE, d MMMM`)."""
    return str(format_date(day, pattern, locale=doors().language))
