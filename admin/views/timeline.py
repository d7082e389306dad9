"""The time-line: who was busy with what, and until when it must be done."""

from __future__ import annotations

from collections.abc import Iterator

from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, days, exporting, gantt
from admin.doors import doors
from admin.rights import Area
from admin.shown import label
from admin.views.base import PanelView, expose
from admin.views.start import own_of
from forms.texts import _
from router.model import Stage
from storage import board, reading
from storage.sheets import Row

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
    def index(self) -> str | Response:
        """A day or a week."""
        by_week = asked.one_of("view", ("day", "week")) == "week"
        span = days.week_of(days.asked_day()) if by_week else days.one_day(days.asked_day())
        own, now = own_of(), doors().now()
        assignee = own if isinstance(own, int) else asked.number("assignee")
        if kind := exporting.asked_for():
            return exporting.export(
                kind, "timeline", _HEADINGS, lambda session: _rows(session, span, assignee)
            )
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


_HEADINGS = (
    _("Сотрудник"), _("№"), _("Клиент"), _("Этап"), _("С"), _("По"), _("Рабочее время, мин"), _("Срок"),
)  # fmt: skip


def _rows(session: Session, span: days.Span, assignee: int | None) -> Iterator[Row]:
    now, calendar = doors().now(), doors().house.calendar
    for one in board.stretches(session, span.since, span.until, assignee, own_of(), exporting.MOST_ROWS):
        spent = calendar.working_seconds(one.started_at, one.ended_at or now)
        yield (
            one.name, one.number, one.company, label(one.stage, "stage"),
            exporting.moment(one.started_at), exporting.moment(one.ended_at), round(spent / 60, 1),
            exporting.moment(one.deadline),
        )  # fmt: skip
