"""«Мой календарь»: the link under which a member of staff subscribes to their deadlines."""

from __future__ import annotations

from flask import redirect, url_for
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose, tell
from forms.texts import _
from storage import calendars


class MyCalendarView(PanelView):
    """`/panel/my-calendar/`. Everybody changes their own link and nobody else's."""

    area = Area.START

    def __init__(self) -> None:
        super().__init__(name=_l("Мой календарь"), endpoint="my_calendar", url="/panel/my-calendar")

    def is_visible(self) -> bool:
        """Reached from «Календарь» and from «Сегодня»: the menu is long enough."""
        return False

    @expose("/")
    def index(self) -> str:
        """Whether there is a link; the link itself is not known any more."""
        return self._show("")

    @expose("/renew", methods=("POST",))
    def renew(self) -> str:
        """Make a link, the older one dies, and show it this one time."""
        with doors().database.begin() as session:
            token = calendars.new_link(session, act(), me().member.staff_id)
        return self._show(f"{doors().public_url.rstrip('/')}/calendar/{token}.ics")

    @expose("/drop", methods=("POST",))
    def drop(self) -> Response:
        """Give the calendar out no more."""
        with doors().database.begin() as session:
            calendars.drop_link(session, act(), me().member.staff_id)
        tell(_("Ссылка больше не работает."))
        return redirect(url_for("my_calendar.index"))

    def _show(self, link: str) -> str:
        with doors().database.read() as session:
            given_out = calendars.has_link(session, me().member.staff_id)
        return self.page("my_calendar.html", link=link, given_out=given_out)
