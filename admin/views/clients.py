"""Clients: the list, the card, the word on a new one, the invitation, the import."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from admin import asked, conflicts
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area, may_see
from admin.typed import email_of, phone_of
from admin.views.base import PanelView, expose, tell, warn
from forms.answers import AnswerError
from forms.inn import parse_company_name, parse_inn
from forms.texts import Text, _
from storage import imports, invitations, reading, roster
from storage.imports import ClientKind, ClientLine, FileUnreadable, Imported
from storage.inspection import inspect
from storage.roster import CardChanged, ClientFields, ClientRow, InnTaken

MAX_LINES = 3_000
_FIELDS = ("name", "inn", "kind", "responsible_id", "phone", "email")


class ClientsView(PanelView):
    """`/panel/clients/`."""

    area = Area.CLIENTS

    def __init__(self) -> None:
        super().__init__(name=_l("Клиенты"), endpoint="clients")

    @expose("/")
    def index(self) -> str:
        """The list."""
        with doors().database.read() as session:
            found = roster.find_clients(session, asked.text("q"), asked.flag("new"), asked.page())
        return self.page("clients.html", found=found, sees_requests=may_see(me().role, Area.REQUESTS))

    @expose("/<int:client_id>/", methods=("GET", "POST"))
    def one(self, client_id: int) -> Response | str | tuple[str, int]:
        """The card; a POST saves it."""
        if request.method == "GET":
            return self._show(client_id)
        self.require_change()
        version = asked.as_number(request.form.get("version", "")) or 0
        form = conflicts.picked(conflicts.as_sent(asdict(_card(client_id).fields)))
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

    @expose("/<int:client_id>/invite", methods=("POST",))
    def invite(self, client_id: int) -> str:
        """Show a code for a person of this client, once."""
        self.require_change()
        found = _card(client_id)
        doing = act()
        with doors().database.begin() as session:
            invited = invitations.invite_client(
                session, found.fields.inn, doing.now, through=doing.who.through, actor_id=doing.who.person_id
            )
        return self.page(
            "invited.html",
            name=found.fields.name,
            back=url_for("clients.one", client_id=client_id),
            codes=(),
            chat_code=invited.chat_code,
            chat_links=tuple(way.with_code(invited.chat_code) for way in doors().house.ways_in()),
            for_client=True,
        )

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
            lines=shown[:500],
            cut=len(shown) > 500,  # noqa: PLR2004 - nobody reads further
            result=result,
            parcel=_parcel().dumps([_plain_line(line) for line in good]) if good else "",
        )

    def _fields(self, form: MultiDict[str, str]) -> ClientFields:
        inn = parse_inn(form.get("inn", ""))
        responsible = asked.as_number(form.get("responsible_id", ""))
        with doors().database.read() as session:
            known = {person.staff_id for person in reading.colleagues(session)}
        kind = form.get("kind", "")
        return ClientFields(
            name=parse_company_name(form.get("name", "")),
            inn=inn,
            kind=kind if kind in set(ClientKind) else ClientKind.COMPANY.value,
            responsible_id=responsible if responsible in known else None,
            phone=phone_of(form.get("phone", "")),
            email=email_of(form.get("email", "")),
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
            colleagues = reading.colleagues(session)
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
            colleagues=colleagues,
            kinds=tuple(kind.value for kind in ClientKind),
            history_lines=history,
            seen=seen if form is not None else history[0].history_id if history else 0,
            sees_requests=may_see(me().role, Area.REQUESTS),
        )


_STALE = _("Карточку изменили, пока вы её правили. Сверьте с новым и сохраните ещё раз.")


_TITLES = {
    "name": _("Название"),
    "inn": _("ИНН"),
    "kind": _("Кто это"),
    "responsible_id": _("Ответственный"),
    "phone": _("Телефон"),
    "email": _("Почта"),
}


def _card(client_id: int) -> ClientRow:
    with doors().database.read() as session:
        found = roster.read_client(session, client_id) if 0 < client_id <= asked.MAX_NUMBER else None
    if found is None:
        abort(404)
    return found


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
    return {
        "number": line.number, "name": line.name, "inn": line.inn, "kind": line.kind,
        "responsible": line.responsible, "phone": line.phone, "email": line.email,
    }  # fmt: skip


def _parcel() -> URLSafeSerializer:
    """The previewed lines travel through the browser, signed: nothing is kept until «Загрузить»."""
    return URLSafeSerializer(doors().secret_key, salt="priem.panel.import")
