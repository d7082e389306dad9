"""«Неразобранное»: what nobody has, why the router chose nobody, and one click to give it."""

from __future__ import annotations

from collections.abc import Iterator

from flask import redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import act
from admin.doors import doors
from admin.rights import Area
from admin.shown import label
from admin.views.base import PanelView, expose, tell, warn
from forms.texts import _
from router.desk import DeskError
from router.model import Status
from storage import casework, listing, reading
from storage.reading import RequestFilter
from storage.sheets import Row


class UnassignedView(PanelView):
    """`/panel/unassigned/`."""

    area = Area.UNASSIGNED

    def __init__(self) -> None:
        super().__init__(name=_l("Неразобранное"), endpoint="unassigned")

    @expose("/")
    def index(self) -> str | Response:
        """The queue, nearest deadline first; with `format` as a file."""
        if kind := exporting.asked_for():
            return exporting.export(kind, "unassigned", _HEADINGS, _rows)
        with doors().database.read() as session:
            found = reading.unassigned(session, asked.place())
            people = reading.colleagues(session, only_active=True)
        return self.page("unassigned.html", found=found, people=people, now=doors().now())

    @expose("/<int:number>", methods=("POST",))
    def assign(self, number: int) -> Response:
        """Give one of them to the person whose button was pressed."""
        self.require_change()
        to, version = (
            asked.as_number(request.form.get("to", "")),
            asked.as_number(request.form.get("version", "")),
        )
        with doors().database.read() as session:
            names = {person.staff_id: person.name for person in reading.colleagues(session, only_active=True)}
        if to is None or to not in names:
            warn(_("Выберите, кому передать."))
            return redirect(url_for("unassigned.index"))
        try:
            with doors().database.begin() as session:
                doing = act()
                casework.reassign(session, doors().house, doing.who, number, to, "", doing.now, version or 0)
        except DeskError as refused:
            warn(_("Заявка № {number} не передана. {reason}", number=number, reason=refused.text))
        else:
            doors().wake()
            tell(_("Заявка № {number} передана. Исполнитель: {name}.", number=number, name=names[to]))
        return redirect(url_for("unassigned.index"))


_HEADINGS = (
    _("№"), _("Клиент"), _("ИНН"), _("Вид работ"), _("Что сделать"), _("Срок"), _("Подана"), _("Откуда"),
)  # fmt: skip


def _rows(session: Session) -> Iterator[Row]:
    wanted = RequestFilter(statuses=(Status.NEW,), assignee_id=0)
    for row, task in listing.every_request(session, wanted, "deadline", descending=False):
        yield [
            row.number, row.company, row.inn, label(row.kind, "kind"), task,
            exporting.moment(row.deadline), exporting.moment(row.submitted_at),
            label(row.channel, "channel"),
        ]  # fmt: skip
