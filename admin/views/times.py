"""Response times beside the norms; behind each figure the list that makes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from flask import abort
from flask_babel import lazy_gettext as _l

from admin import asked
from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose
from forms.kinds import BY_CODE
from storage import reading, times
from storage.times import NORMS, Measure, TimesFilter

DEFAULT_DAYS = 30
LONGEST_DAYS = 366
SHOWN_EVENTS = 1_000

OVERALL = tuple(Measure)
BREAKDOWN = (
    Measure.FIRST_RESPONSE, Measure.PROCESSING, Measure.CLARIFICATION, Measure.EXECUTION, Measure.WHOLE,
)  # fmt: skip


class TimesView(PanelView):
    """`/panel/times/`."""

    area = Area.TIMES

    def __init__(self) -> None:
        super().__init__(name=_l("Время ответа"), endpoint="times")

    @expose("/")
    def index(self) -> str:
        """All figures of a period."""
        wanted = _wanted()
        with doors().database.read() as session:
            found = times.response_times(session, wanted, doors().house.calendar)
            people = reading.colleagues(session)
        return self.page(
            "times.html",
            found=found,
            wanted=wanted,
            last_day=wanted.until - timedelta(seconds=1),
            people=people,
            names={person.staff_id: person.name for person in people},
            kinds=tuple(BY_CODE),
            overall=OVERALL,
            breakdown=BREAKDOWN,
            norms=NORMS,
        )

    @expose("/list")
    def behind(self) -> str:
        """The list behind a figure; the figure is computed from it again."""
        measure = asked.one_of("measure", tuple(Measure))
        if not measure:
            abort(404)
        wanted = _wanted()
        with doors().database.read() as session:
            spans = times.events(session, wanted, doors().house.calendar, Measure(measure))
            people = reading.colleagues(session)
        return self.page(
            "times_list.html",
            spans=spans[:SHOWN_EVENTS],
            cut=len(spans) > SHOWN_EVENTS,
            figure=times.figure([span.seconds for span in spans]),
            measure=Measure(measure),
            wanted=wanted,
            last_day=wanted.until - timedelta(seconds=1),
            names={person.staff_id: person.name for person in people},
            norm=NORMS.get(Measure(measure)),
        )


def _wanted() -> TimesFilter:
    """The period asked for, the last 30 days otherwise; never longer than a year."""
    zone = doors().house.calendar.zone
    today = doors().now().astimezone(zone).date()
    last = asked.day("until") or today
    first = asked.day("since") or last - timedelta(days=DEFAULT_DAYS - 1)
    first = max(min(first, last), last - timedelta(days=LONGEST_DAYS - 1))
    since, until = asked.start_of(first, zone), asked.end_of(last, zone)
    assert since is not None and until is not None  # noqa: PT018 - both days are known here
    period = TimesFilter(since, until)
    return replace(period, kind=asked.one_of("kind", BY_CODE), staff_id=asked.number("assignee"))
