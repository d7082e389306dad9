"""«Согласия»: who agreed to which words and when, and a consent that was taken back on paper."""

from __future__ import annotations

from collections.abc import Iterator

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area
from admin.shown import label
from admin.views.base import PanelView, expose, tell, warn
from forms.texts import _
from storage import consent_journal, consents, roster
from storage.consent_journal import Wanted
from storage.sheets import Row


class ConsentsView(PanelView):
    """`/panel/consents/`."""

    area = Area.CONSENTS

    def __init__(self) -> None:
        super().__init__(name=_l("Согласия"), endpoint="consents")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the list of clients does."""
        return False

    @expose("/")
    def index(self) -> str | Response:
        """The journal, newest first; with `format` as a file."""
        wanted = _wanted()
        if kind := exporting.asked_for():
            return exporting.export(kind, "consents", _HEADINGS, lambda session: _rows(session, wanted))
        with doors().database.read() as session:
            found = consent_journal.find(session, wanted, asked.place())
            versions = consent_journal.versions(session)
        return self.page("consents.html", found=found, versions=versions, now=doors().house.consent_version)

    @expose("/client/<int:client_id>/person/<int:person_id>/withdraw", methods=("POST",))
    def withdraw(self, client_id: int, person_id: int) -> Response:
        """Write down that the person has taken their consent back on paper, by telephone or by letter."""
        self.require_change()
        doing, card = act(), url_for("clients.one", client_id=client_id, _anchor="contacts")
        _require_speaker(client_id, person_id)
        if request.form.get("sure") != "1":
            warn(_("Поставьте отметку «Да, согласие отозвано» и нажмите ещё раз."))
            return redirect(card)
        with doors().database.begin() as session:
            numbers = consents.withdraw(session, doors().house, doing.who, person_id, doing.now)
        doors().wake()
        tell(_("Отзыв согласия записан."))
        if numbers:
            warn(
                _(
                    "Открытые заявки: {numbers}. Позвоните клиенту и решите, что с ними делать.",
                    numbers=consents.listed(numbers),
                )
            )
        return redirect(card)


def _require_speaker(client_id: int, person_id: int) -> None:
    """Answer 404 unless this person speaks for a client that whoever asks may see."""
    if max(client_id, person_id) > asked.MAX_NUMBER:
        abort(404)
    with doors().database.read() as session:
        card = roster.read_client(session, client_id, me().reach)
        speaking = {speaker.person_id for speaker in roster.speakers(session, client_id)}
    if card is None or person_id not in speaking:
        abort(404)


def _wanted() -> Wanted:
    return Wanted(asked.text("q"), asked.text("version"), asked.number("person"), asked.flag("in_force"))


_HEADINGS = (
    _("№"), _("Кто"), _("Человек, №"), _("Где согласился"), _("Версия"), _("Отпечаток текста"), _("Дано"),
    _("Отозвано"),
)  # fmt: skip


def _rows(session: Session, wanted: Wanted) -> Iterator[Row]:
    for line in consent_journal.every(session, wanted):
        yield [
            line.consent_id, line.name, line.person_id, label(line.channel, "channel"), line.version,
            line.text_sha256, exporting.moment(line.given_at), exporting.moment(line.withdrawn_at),
        ]  # fmt: skip
