"""The time-line: who was busy with what, and until when it must be done."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l

from admin import asked, days, gantt
from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose
from admin.views.start import own_of
from router.model import Stage
from storage import board, reading

LOOKS = (
    Stage.PROCESSING.value,
    Stage.EXECUTION.value,
    Stage.CLARIFICATION.value,
    Stage.CLIENT.value,
    Stage.THIRD_PARTY.value,
    gantt.PLANNED,
    gantt.LATE,
)


class TimelineView(PanelView):
    """`/panel/timeline/`."""

    area = Area.REQUESTS

    def __init__(self) -> None:
        super().__init__(name=_l("Ход работ"), endpoint="timeline")

    def is_visible(self) -> bool:
        """Reached from «Календарь», whose other half it is: the menu is long enough."""
        return False

    @expose("/")
    def index(self) -> str:
        """A day or a week."""
        by_week = asked.one_of("view", ("day", "week")) == "week"
        span = days.week_of(days.asked_day()) if by_week else days.one_day(days.asked_day())
        own, now = own_of(), doors().now()
        assignee = own if isinstance(own, int) else asked.number("assignee")
        with doors().database.read() as session:
            found = board.stretches(session, span.since, span.until, assignee, own)
            people = reading.colleagues(session, only_active=True) if not isinstance(own, int) else ()
        calendar = doors().house.calendar
        scale = gantt.scale_of(span.days, calendar)
        first, last = days.named(span.days[0], "d MMMM"), days.named(span.days[-1], "d MMMM y")
        return self.page(
            "timeline.html",
            by_week=by_week,
            span=span,
            title=f"{first} — {last}" if by_week else days.named(span.chosen, "EEEE, d MMMM y"),
            lanes=gantt.lanes(found, scale, span.since, span.until, now),
            scale=scale,
            now=now,
            now_x=scale.x(now) if span.since <= now < span.until else None,
            people=people,
            assignee=assignee,
            looks=LOOKS,
            today=days.today(),
            named=days.named,
            row=gantt.ROW,
            cut=len(found) >= board.SHOWN_STRETCHES,
            calendar=calendar,
        )
