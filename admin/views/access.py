"""Keeping the doors of others: ending somebody's sessions, taking away a lost second factor."""

from __future__ import annotations

from flask import abort, redirect, url_for
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from admin import asked
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area, may_unlock
from admin.views.base import PanelView, expose, tell
from forms.texts import _
from storage import access, roster


class AccessView(PanelView):
    """`/panel/access/…`: the forms of a card of staff."""

    area = Area.STAFF

    def __init__(self) -> None:
        super().__init__(name=_l("Доступ"), endpoint="access", url="/panel/access")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the cards of staff do."""
        return False

    @expose("/")
    def index(self) -> Response:
        """Nothing of its own to see: the list of staff."""
        return redirect(url_for("colleagues.index"))

    @expose("/<int:staff_id>/sessions/end", methods=("POST",))
    def end_sessions(self, staff_id: int) -> Response:
        """Sign somebody out everywhere."""
        self._found(staff_id)
        with doors().database.begin() as writing:
            ended = access.end_every_session(writing, act(), staff_id)
        tell(_("Завершено сеансов: {count}.", count=ended))
        return redirect(url_for("colleagues.one", staff_id=staff_id))

    @expose("/<int:staff_id>/factor/drop", methods=("POST",))
    def drop_factor(self, staff_id: int) -> Response:
        """Let somebody in by password alone; their sessions end too."""
        self._found(staff_id)
        if staff_id == me().member.staff_id:
            # The own one is taken away in the profile, with its code: an open browser alone must not do it.
            abort(403)
        with doors().database.begin() as writing:
            if access.drop_factor(writing, act(), staff_id):
                access.end_every_session(writing, act(), staff_id)
        tell(_("Вход по коду снят. При следующем входе хватит пароля."))
        return redirect(url_for("colleagues.one", staff_id=staff_id))

    def _found(self, staff_id: int) -> None:
        self.require_change()
        if not may_unlock(me().role):
            abort(403)
        with doors().database.read() as reading:
            if not 0 < staff_id <= asked.MAX_NUMBER or roster.member(reading, staff_id) is None:
                abort(404)
