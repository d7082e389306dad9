"""«Мессенджеры»: which of them answer, what came last, what waits and what did not arrive."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l

from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose
from storage import reports


class MessengersView(PanelView):
    """`/panel/messengers/`. Nothing here can be changed: messengers are set up in the configuration."""

    area = Area.MESSENGERS

    def __init__(self) -> None:
        super().__init__(name=_l("Мессенджеры"), endpoint="messengers")

    @expose("/")
    def index(self) -> str:
        """One line for each messenger that is switched on."""
        now, house, messengers = doors().now(), doors().house, doors().messengers()
        with doors().database.read() as session:
            figures = reports.figures(session, now)
        silent_hours = {
            state.name: figures.suspicious_hours(state.name, house.calendar, now, house.silent_after_hours)
            for state in messengers
        }
        too_long = {name: hours for name, hours in silent_hours.items() if hours is not None}
        return self.page("messengers.html", messengers=messengers, figures=figures, silent_hours=too_long)
