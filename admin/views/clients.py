"""Clients: the list, the card, the word on a new one, the invitation, the import."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from itsdangerous import BadData, URLSafeSerializer
from sqlmodel import Session
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from admin import asked, conflicts, exporting
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area, sees_contents
from admin.shown import label
from admin.typed import email_of, phone_of
from admin.views.base import PanelView, expose, tell, warn
from forms.answers import AnswerError
from forms.inn import parse_company_name, parse_inn
from forms.texts import Text, _
from storage import clients, imports, listing, reading, roster
from storage.imports import ClientKind, ClientLine, FileUnreadable, Imported
from storage.inspection import inspect
from storage.roster import CardChanged, ClientFields, ClientRow, InnTaken
from storage.sheets import Row

MAX_LINES = 5_000
MAX_WORDS = 4_000
_SHOWN_LINES = 500
"""Nobody reads further."""
_FIELDS = (
    "name", "inn", "kind", "responsible_id", "phone", "email", "controller_id", "substitute_id", "contract",
    "contract_until", "notes",
)  # fmt: skip


class ClientsView(PanelView):
    """`/panel/clients/`."""

    area = Area.CLIENTS

    def __init__(self) -> None:
        super().__init__(name=_l("Клиенты"), endpoint="clients")

    @expose("/")
    def index(self) -> str | Response:
        """The list; with `format` as a file."""
        if kind := exporting.asked_for():
            return exporting.export(kind, "clients", _HEADINGS, _rows)
        with doors().database.read() as session:
            found = roster.find_clients(
                session, asked.text("q"), asked.flag("new"), asked.place(), me().reach
            )
        return self.page("clients.html", found=found, sees_requests=me().may_see(Area.REQUESTS))

    @expose("/<int:client_id>/", methods=("GET", "POST"))
    def one(self, client_id: int) -> Response | str | tuple[str, int]:
        """The card; a POST saves it."""
        if request.method == "GET":
            return self._show(client_id)
        self.require_change()
        version = asked.as_number(request.form.get("version", "")) or 0
        form = _unix_lines(conflicts.picked(conflicts.as_sent(asdict(_card(client_id).fields))))
        try:
            fields = self._fields(form)
            with doors().database.begin() as session:
                roster.save_client(session, act(), client_id, version, fields)
        except AnswerError as refused:
            return self._show(client_id, refused.text, form=form), 422
        except InnTaken:
            return self._show(client_id, _("Клиент с таким ИНН уже есть в списке."), form=form), 422
        except CardChanged:
            return self._both(client_id, fields)
        except roster.NoSuchCard:
            abort(404)
        tell(_("Сохранено."))
        return redirect(url_for("clients.one", client_id=client_id))

    @expose("/<int:client_id>/confirm", methods=("POST",))
    def confirm(self, client_id: int) -> Response | tuple[str, int]:
        """Take a client who came by chat into the base."""
        self.require_change()
        try:
            with doors().database.begin() as session:
                version = asked.as_number(request.form.get("version", "")) or 0
                roster.confirm_client(session, act(), client_id, version)
        except CardChanged:
            return self._show(client_id, _STALE, stale=True), 409
        tell(_("Клиент подтверждён."))
        return redirect(url_for("clients.one", client_id=client_id))

    @expose("/import", methods=("GET", "POST"))
    def bring(self) -> Response | str | tuple[str, int]:
        """Read a table and show what would happen; nothing is stored yet."""
        self.require_change()
        if request.method == "GET":
            return self.page("clients_import.html", lines=None)
        try:
            lines = _read_upload()
        except FileUnreadable as refused:
            return self.page("clients_import.html", lines=None, refusal=refused.text), 422
        return self._preview(lines)

    @expose("/import/store", methods=("POST",))
    def store(self) -> Response | str | tuple[str, int]:
        """Store what the preview showed."""
        self.require_change()
        try:
            lines = [ClientLine(**values) for values in _parcel().loads(request.form.get("parcel", ""))]
        except (BadData, TypeError):
            abort(400)
        doing = act()
        with doors().database.begin() as session:
            result = imports.import_clients(
                session, lines, doing.now, skip_refused=True,
                through=doing.who.through, actor_id=doing.who.person_id,
            )  # fmt: skip
        tell(
            _(
                "Загружено. Добавлено: {added}, изменено: {updated}, без изменений: {unchanged}, "
                "пропущено: {refused}.",
                added=result.added, updated=result.updated,
                unchanged=result.unchanged, refused=len(result.refused),
            )
        )  # fmt: skip
        return redirect(url_for("clients.index"))

    def _preview(self, lines: list[ClientLine]) -> str | tuple[str, int]:
        result = _tried(lines)
        refused = {line.number: line for line in result.refused}
        shown = [refused.get(line.number, line) for line in lines]
        good = [line for line in lines if line.number not in refused]
        if not good:
            warn(_("В файле нет ни одной строки, которую можно загрузить."))
        return self.page(
            "clients_import.html",
            lines=shown[:_SHOWN_LINES],
            cut=len(shown) > _SHOWN_LINES,
            outcomes={outcome.number: outcome for outcome in result.outcomes},
            result=result,
            parcel=_parcel().dumps([_plain_line(line) for line in good]) if good else "",
        )

    def _fields(self, form: MultiDict[str, str]) -> ClientFields:
        inn = parse_inn(form.get("inn", ""))
        with doors().database.read() as session:
            known = {person.staff_id for person in reading.colleagues(session)}
            overseeing = {
                person.staff_id for person in clients.everybody(session) if person.role in clients.OVERSEEING
            }
        kind = form.get("kind", "")
        return ClientFields(
            name=parse_company_name(form.get("name", "")),
            inn=inn,
            kind=kind if kind in set(ClientKind) else ClientKind.COMPANY.value,
            responsible_id=_one_of(form.get("responsible_id", ""), known),
            phone=phone_of(form.get("phone", "")),
            email=email_of(form.get("email", "")),
            controller_id=_one_of(form.get("controller_id", ""), overseeing),
            substitute_id=_one_of(form.get("substitute_id", ""), known),
            contract=asked.clean(form.get("contract", ""), MAX_WORDS),
            contract_until=_until(form.get("contract_until", "")),
            notes=asked.clean(form.get("notes", ""), MAX_WORDS),
        )

    def _both(self, client_id: int, mine: ClientFields) -> Response | tuple[str, int]:
        """Somebody else has saved the card meanwhile: both versions, to choose field by field."""
        card = _card(client_id)
        with doors().database.read() as session:
            news = reading.history_of(session, f"client:{client_id}", _seen())
        theirs, here = conflicts.as_sent(asdict(card.fields)), url_for("clients.one", client_id=client_id)
        was, own = conflicts.before(theirs, news), conflicts.as_sent(asdict(mine))
        fields = conflicts.disputed(was, theirs, own, _TITLES)
        if not fields:
            tell(_("То же самое уже сохранено."))
            return redirect(here)
        page = self.page(
            "conflict.html", name=card.fields.name, here=here, refusal=_STALE, news=news, fields=fields,
            version=card.version, seen=news[0].history_id if news else _seen(),
        )  # fmt: skip
        return page, 409

    def _show(
        self,
        client_id: int,
        refusal: Text | None = None,
        *,
        stale: bool = False,
        form: MultiDict[str, str] | None = None,
    ) -> str:
        """The card. Refused words go on with the version that they were written over."""
        card = _card(client_id)
        with doors().database.read() as session:
            history = reading.history_of(session, f"client:{client_id}")
            people = roster.speakers(session, client_id)
            contacts = clients.contacts(session, client_id, doors().now())
            colleagues = reading.colleagues(session)
            overseers = [one for one in clients.everybody(session) if one.role in clients.OVERSEEING]
        seen = _seen()
        return self.page(
            "client.html",
            card=card,
            values=_as_typed(card.fields) if form is None else {name: form.get(name, "") for name in _FIELDS},
            version=card.version if form is None else asked.as_number(request.form.get("version", "")) or 0,
            refusal=refusal,
            stale=stale,
            news=tuple(line for line in history if line.history_id > seen) if stale else (),
            people=people,
            contacts=contacts,
            today=doors().now().astimezone(doors().house.calendar.zone).date(),
            colleagues=colleagues,
            overseers=overseers,
            kinds=tuple(kind.value for kind in ClientKind),
            history_lines=history,
            seen=seen if form is not None else history[0].history_id if history else 0,
            sees_requests=me().may_see(Area.REQUESTS) and sees_contents(me().role),
        )


_STALE = _("Карточку изменили, пока вы её правили. Сверьте с новым и сохраните ещё раз.")


_HEADINGS = (
    _("Название"), _("ИНН"), _("Кто это"), _("Ответственный"), _("Телефон"), _("Почта"),
    _("Не подтверждён"), _("Заявок в работе"),
)  # fmt: skip


def _rows(session: Session) -> Iterator[Row]:
    search, unconfirmed = asked.text("q"), asked.flag("new")
    reach = me().reach
    pages = lambda place: roster.find_clients(session, search, unconfirmed, place, reach)  # noqa: E731 - one use
    for row in listing.every_leaf(pages):
        fields = row.fields
        yield [
            fields.name, fields.inn, label(fields.kind, "client_kind"), row.responsible, fields.phone,
            fields.email, exporting.yes(not row.confirmed), row.open_requests,
        ]  # fmt: skip


_TITLES = {
    "name": _("Название"),
    "inn": _("ИНН"),
    "kind": _("Кто это"),
    "responsible_id": _("Ответственный"),
    "phone": _("Телефон"),
    "email": _("Почта"),
    "controller_id": _("Контролёр"),
    "substitute_id": _("Заменяет ответственного"),
    "contract": _("Договор"),
    "contract_until": _("Договор действует до"),
    "notes": _("Заметки"),
}


def _card(client_id: int) -> ClientRow:
    known = 0 < client_id <= asked.MAX_NUMBER
    with doors().database.read() as session:
        found = roster.read_client(session, client_id, me().reach) if known else None
    if found is None:
        abort(404)
    return found


def _unix_lines(form: MultiDict[str, str]) -> MultiDict[str, str]:
    """A browser sends the lines of a text as old Windows did: they would differ from what is kept."""
    pairs = form.items(multi=True)
    return MultiDict([(name, value.replace("\r\n", "\n")) for name, value in pairs])


def _one_of(word: str, known: set[int]) -> int | None:
    number = asked.as_number(word)
    return number if number in known else None


def _until(word: str) -> date | None:
    day = asked.as_day(word)
    if word.strip() and day is None:
        raise AnswerError(_("Напишите последний день договора так: 31.12.2026."))
    return day


def _seen() -> int:
    return asked.as_number(request.form.get("seen", "")) or 0


def _as_typed(fields: ClientFields) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in asdict(fields).items()}


# --- The import ----------------------------------------------------------------------------------------


def _tried(lines: list[ClientLine]) -> Imported:
    """What the import would do: it is done and rolled back, so that the preview cannot be wrong."""
    with doors().database.begin() as session:
        result = imports.import_clients(session, lines, doors().now(), skip_refused=True)
        session.rollback()
    return result


def _read_upload() -> list[ClientLine]:
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        raise FileUnreadable(_("Выберите файл CSV или XLSX."))
    suffix = Path(sent.filename).suffix.lower()
    if suffix not in (".csv", ".txt", ".xlsx", ".xlsm"):
        raise FileUnreadable(_("Нужен файл CSV или XLSX. Сохраните таблицу в одном из этих видов."))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clients{suffix}"
        with closing(sent):  # a large one lies in a file of its own until it is closed
            sent.save(path)
        if suffix.startswith(".xls"):
            verdict = inspect(path, f"clients{suffix}")
            if verdict.reason is not None:
                raise FileUnreadable(verdict.reason)
        lines = imports.read_clients(path)
    if len(lines) > MAX_LINES:
        raise FileUnreadable(_("В файле больше {count} строк. Разделите его на части.", count=MAX_LINES))
    return lines


def _plain_line(line: ClientLine) -> dict[str, object]:
    return {name: value for name, value in asdict(line).items() if value and name != "refusal"}


def _parcel() -> URLSafeSerializer:
    """The previewed lines travel through the browser, signed: nothing is kept until «Загрузить»."""
    return URLSafeSerializer(doors().secret_key, salt="priem.panel.import")
