"""«Копии»: what became of the latest copies of the data, and the wish for one more."""

from __future__ import annotations

from flask import redirect, url_for
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from admin.auth import act
from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose, tell, warn
from forms.texts import _
from notifications.copying import WORDS
from storage import copies

SHOWN = 60


class CopiesView(PanelView):
    """`/panel/copies/`. What is copied when and where to is settled in the configuration."""

    area = Area.COPIES

    def __init__(self) -> None:
        super().__init__(name=_l("Копии"), endpoint="copies")

    @expose("/")
    def index(self) -> str:
        """How the copies are, and the latest of them."""
        now, plan = doors().now(), doors().copies
        with doors().database.read() as session:
            state, attempts = copies.state(session), copies.attempts(session, SHOWN)
        return self.page(
            "copies.html",
            plan=plan,
            state=state,
            attempts=attempts,
            troubles=state.troubles(plan, now),
            words=WORDS,
            next_at=plan.next_due(now),
        )

    @expose("/now", methods=("POST",))
    def now(self) -> Response:
        """Have a copy made within a minute, by whichever process makes them."""
        self.require_change()
        done = act()
        if not doors().copies.has_key:
            warn(_("Копию нечем закрыть: задайте пароль копий в файле настроек."))
            return redirect(url_for("copies.index"))
        with doors().database.begin() as session:
            copies.wish(session, done.who, done.now)
        tell(_("Копию начнём в течение минуты. Обновите страницу, чтобы увидеть, что вышло."))
        return redirect(url_for("copies.index"))
