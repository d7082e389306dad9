"""«Позвонить»: who has to be telephoned, what did not reach them, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area, sees_contents
from admin.views.base import PanelView, expose, tell, warn
from admin.views.start import own_of
from forms.texts import _
from storage import calls
from storage.sheets import Row

MAX_NOTE = 500


class CallsView(PanelView):
    """`/panel/calls/`."""

    area = Area.CALLS

    def __init__(self) -> None:
        super().__init__(name=_l("Позвонить"), endpoint="calls")

    @expose("/")
    def index(self) -> str | Response:
        """The list: never tried first; with `format` as a file."""
        if kind := exporting.asked_for():
            return exporting.export(kind, "calls", _HEADINGS, _rows)
        with doors().database.read() as session:
            waiting = calls.open_calls(session, own_of())
        return self.page("calls.html", waiting=waiting, sees_contents=sees_contents(me().role))

    @expose("/<int:call_id>", methods=("POST",))
    def done(self, call_id: int) -> Response:
        """Close a call with a note, or keep that nobody has answered."""
        self.require_change()
        note = asked.clean(request.form.get("note", ""), MAX_NOTE)
        staff_id = me().member.staff_id
        with doors().database.begin() as session:
            doing = act()
            if calls.is_closed(session, call_id, own_of()):
                warn(_("Этот звонок уже закрыт."))
            elif calls.open_call(session, call_id, own_of()) is None:
                abort(404)
            elif request.form.get("what") == "silent":
                local = doing.now.astimezone(doors().house.calendar.zone)
                words = ", ".join(part for part in (f"{local:%d.%m %H:%M}", doing.who.name) if part)
                said = doors().house.say(_("{when}: не отвечает", when=words))
                calls.call_not_answered(
                    session,
                    call_id,
                    staff_id,
                    f"{said}. {note}" if note else said,
                    doing.now,
                    through="panel",
                )
                tell(_("Записали: не отвечает. Звонок остался в списке."))
            elif request.form.get("what") == "done":
                outcome = note or doors().house.say(_("дозвонились"))
                calls.call_done(session, call_id, staff_id, outcome, doing.now, through="panel")
                tell(_("Записали. Звонок закрыт."))
            else:
                abort(400)
        return redirect(url_for("calls.index"))


_HEADINGS = (
    _("Кому"), _("Телефон"), _("Компания"), _("Заявка №"), _("Исполнитель"), _("Причина"),
    _("Что не дошло"), _("Попытки"), _("Ждёт с"),
)  # fmt: skip


def _rows(session: Session) -> Iterator[Row]:
    reads = sees_contents(me().role)
    for call in calls.open_calls(session, own_of()):
        yield [
            call.name, call.phone, call.company if reads else "", call.request_id, call.assignee, call.reason,
            call.words if reads else "", "; ".join(call.tried), exporting.moment(call.created_at),
        ]  # fmt: skip
