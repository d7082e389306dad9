"""The first page: how much of what there is now, each number a link to its list."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask_admin import AdminIndexView
from flask_babel import lazy_gettext as _

from admin.auth import me
from admin.doors import doors
from admin.rights import Area, may_see, only_own
from admin.views.base import PanelView, expose
from router.worktime import WorkCalendar
from storage import reading

UNDELIVERED_DAYS = 7
_LOOK_BACK = timedelta(days=60)


class StartView(PanelView, AdminIndexView):  # type: ignore[misc]  # two bases of Flask-Admin
    """`/panel/`."""

    area = Area.START

    def __init__(self) -> None:
        super().__init__(name=_("Сегодня"), url="/panel")

    @expose("/")
    def index(self) -> str:
        """Count what needs attention."""
        user, now = me(), doors().now()
        sees_requests = may_see(user.role, Area.REQUESTS)
        counts = None
        if sees_requests:
            with doors().database.read() as session:
                counts = reading.count_all(
                    session,
                    now,
                    late_before=late_before(now),
                    undelivered_since=now - timedelta(days=UNDELIVERED_DAYS),
                    own_of=user.member.staff_id if only_own(user.role) else None,
                )
        return self.page(
            "start.html",
            counts=counts,
            now=now,
            sees_unassigned=may_see(user.role, Area.UNASSIGNED),
            accept_within=doors().house.accept_within_minutes,
        )


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
