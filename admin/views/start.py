"""The first page: how much of what there is now, each number a link to its list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta

from flask import abort
from flask_admin import AdminIndexView
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting, live
from admin.auth import me
from admin.doors import doors
from admin.request_sheet import HEADINGS, as_row
from admin.rights import Area
from admin.shown import say
from admin.views.base import PanelView, expose
from forms.texts import _
from router.worktime import WorkCalendar
from storage import board, calls, duty_list, proofs, reading
from storage.reach import Reach
from storage.sheets import Row

UNDELIVERED_DAYS = 7
_LOOK_BACK = timedelta(days=60)
_DUTY_LIST = {"html": duty_list.as_html, "xlsx": duty_list.as_xlsx}


class StartView(PanelView, AdminIndexView):  # type: ignore[misc]  # two bases of Flask-Admin
    """`/panel/`."""

    area = Area.START

    def __init__(self) -> None:
        super().__init__(name=_l("Сегодня"), url="/panel")

    @expose("/")
    def index(self) -> str:
        """What needs attention now."""
        shown = self._today()
        return self.page("start.html", today=shown, tag=live.tag_of(shown), at=live.clock())

    @expose("/today")
    def today(self) -> Response:
        """The same figures alone, for the page that is open already."""
        return live.fragment(self._today())

    @expose("/risk")
    def risk(self) -> str | Response:
        """The list behind «под угрозой», with the reason of each."""
        user, now = me(), doors().now()
        if not user.may_see(Area.REQUESTS):
            abort(403)
        if kind := exporting.asked_for():
            return exporting.export(
                kind, "risk", (*HEADINGS, _("Почему")), lambda session: _risks(session, now)
            )
        with doors().database.read() as session:
            found = board.at_risk(session, now, doors().house.calendar, own_of())
        return self.page("risk.html", found=found, now=now, cut=len(found) >= board.SHOWN_RISKS)

    @expose("/duty-list")
    def duty_list(self) -> Response:
        """The list of the day as a page to be printed, or as a workbook."""
        if not me().may_see(Area.REQUESTS):
            abort(403)
        kind = asked.one_of("format", _DUTY_LIST) or "html"
        with doors().database.read() as session:
            found = duty_list.gather(session, doors().house, doors().now(), own_of())
        return exporting.given_out(kind, "duty-list", _DUTY_LIST[kind](found), len(found.tables[0].rows))

    def _today(self) -> str:
        user, now = me(), doors().now()
        sees_requests, sees_staff = user.may_see(Area.REQUESTS), user.may_see(Area.STAFF)
        own, counts, risky, to_call, unheard = own_of(), None, 0, 0, 0
        sees_history = user.may_see(Area.HISTORY)
        zone = doors().house.calendar.zone
        # Whole days, as the list behind the figure has them.
        first_day = (now - timedelta(days=UNDELIVERED_DAYS)).astimezone(zone).date()
        heard_since = datetime.combine(first_day, time.min, zone)
        with doors().database.read() as session:
            if sees_requests:
                since = now - timedelta(days=UNDELIVERED_DAYS)
                counts = reading.count_all(session, now, late_before(now), since, own)
                risky = len(board.at_risk(session, now, doors().house.calendar, own))
                to_call = calls.count_open(session, own)
                unheard = proofs.unheard_calls(session, heard_since) if sees_history else 0
            people = board.on_duty(session, now, None if sees_staff else user.member.staff_id)
        return self.page(
            "today.html",
            counts=counts,
            risky=risky,
            to_call=to_call,
            unheard=unheard,
            sees_history=sees_history,
            heard_since=first_day,
            on_shift=tuple(one for one in people if one.shift and not one.absent_until),
            off_shift=tuple(one for one in people if not one.shift and not one.absent_until),
            absent=tuple(one for one in people if one.absent_until),
            sees_staff=sees_staff,
            sees_unassigned=user.may_see(Area.UNASSIGNED),
            accept_within=doors().house.accept_within_minutes,
        )


def _risks(session: Session, now: datetime) -> Iterator[Row]:
    for one in board.at_risk(session, now, doors().house.calendar, own_of(), exporting.MOST_ROWS):
        yield (*as_row(one.row, one.row.task), say(one.risk.reason))


def own_of() -> Reach:
    """Which requests the signed-in person may know of; None for everybody's."""
    return me().reach


def late_before(now: datetime) -> datetime:
    """Whoever was given a request before this moment should have accepted it by now."""
    house = doors().house
    return working_time_ago(house.calendar, now, house.accept_within_minutes * 60)


def working_time_ago(calendar: WorkCalendar, now: datetime, seconds: int) -> datetime:
    """The latest moment, to the second, since which so much working time has passed."""
    early, late = now - _LOOK_BACK, now
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if calendar.working_seconds(middle, now) >= seconds:
            early = middle
        else:
            late = middle
    return early
