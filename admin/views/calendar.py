"""Deadlines by day: a month whole, a week by people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, days, exporting
from admin.doors import doors
from admin.request_sheet import HEADINGS, as_row
from admin.rights import Area
from admin.views.base import PanelView, expose
from admin.views.start import own_of
from storage import board, reading
from storage.reading import RequestRow
from storage.sheets import Row

IN_A_DAY = 4
"""How many deadlines a day of the month shows; the rest are in its week."""


@dataclass(frozen=True, slots=True)
class PersonsDays:
    """A line of the week: whose deadlines, by day."""

    staff_id: int
    name: str
    days: tuple[tuple[RequestRow, ...], ...]


class CalendarView(PanelView):
    """`/panel/calendar/`."""

    area = Area.REQUESTS

    def __init__(self) -> None:
        super().__init__(name=_l("Календарь"), endpoint="calendar")

    @expose("/")
    def index(self) -> str | Response:
        """The deadlines of a week or a month."""
        by_month = asked.one_of("view", ("week", "month")) == "month"
        chosen = days.asked_day()
        span = days.month_of(chosen) if by_month else days.week_of(chosen)
        assignee = None if isinstance(own_of(), int) else asked.number("assignee")
        if kind := exporting.asked_for():
            return exporting.export(
                kind, "calendar", HEADINGS, lambda session: _rows(session, span, assignee)
            )
        with doors().database.read() as session:
            found = board.deadlines(session, span.since, span.until, assignee, own_of())
            people = reading.colleagues(session, only_active=True) if not isinstance(own_of(), int) else ()
        return self.page(
            "calendar.html",
            by_month=by_month,
            span=span,
            title=days.named(chosen, "LLLL y") if by_month else _week_title(span),
            month=chosen.month,
            found=found,
            weeks=_weeks(span.days, found),
            lines=() if by_month else _by_people(span.days, found),
            people=people,
            assignee=assignee,
            today=days.today(),
            now=doors().now(),
            named=days.named,
            clock_of=days.clock_of,
            in_a_day=IN_A_DAY,
            cut=len(found) >= board.SHOWN_DEADLINES,
            is_free=lambda day: not doors().house.calendar.is_working_day(day),
        )


def _rows(session: Session, span: days.Span, assignee: int | None) -> Iterator[Row]:
    for row in board.deadlines(session, span.since, span.until, assignee, own_of(), exporting.MOST_ROWS):
        yield as_row(row, row.task)


def _week_title(span: days.Span) -> str:
    return f"{days.named(span.days[0], 'd MMMM')} — {days.named(span.days[-1], 'd MMMM y')}"


def _weeks(
    shown: tuple[date, ...], found: Iterable[RequestRow]
) -> tuple[tuple[tuple[date, tuple[RequestRow, ...]], ...], ...]:
    by_day = _by_day(found)
    pairs = tuple((day, tuple(by_day.get(day, ()))) for day in shown)
    return tuple(pairs[at : at + 7] for at in range(0, len(pairs), 7))


def _by_people(shown: tuple[date, ...], found: Iterable[RequestRow]) -> tuple[PersonsDays, ...]:
    whose: dict[int, list[RequestRow]] = {}
    for row in found:
        whose.setdefault(row.assignee_id or 0, []).append(row)
    lines = []
    for staff_id, rows in whose.items():
        by_day = _by_day(rows)
        lines.append(
            PersonsDays(staff_id, rows[0].assignee, tuple(tuple(by_day.get(day, ())) for day in shown))
        )
    return tuple(sorted(lines, key=lambda line: (bool(line.staff_id), line.name, line.staff_id)))


def _by_day(found: Iterable[RequestRow]) -> dict[date, list[RequestRow]]:
    by_day: dict[date, list[RequestRow]] = {}
    for row in found:
        by_day.setdefault(days.local_day(row.deadline), []).append(row)
    return by_day
