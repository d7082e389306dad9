"""Answers kept for the next time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from admin import asked, conflicts, setting_conflicts
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area
from admin.settings_parts import SECTIONS, TITLES
from admin.shown import label, say
from admin.views.base import PanelView, expose, tell
from forms.texts import Text, _
from router.desk import DeskError
from storage import canned, reading
from storage.canned import NoSuchReply, Reply, ReplyChanged, ReplyFacts, ReplyFields

_MAX_SENT = 10_000


class RepliesView(PanelView):
    """`/panel/settings/replies/`."""

    area = Area.SETTINGS

    def __init__(self) -> None:
        super().__init__(name=_l("Заготовки ответов"), endpoint="replies", url="/panel/settings/replies")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the settings do."""
        return False

    @expose("/")
    def index(self) -> str:
        """The firm's answers and one's own."""
        with doors().database.read() as session:
            found = canned.all_replies(session, me().member.staff_id)
        return self.page("settings_replies.html", found=found, titles=TITLES, sections=SECTIONS)

    @expose("/new", methods=("GET", "POST"))
    def new(self) -> str | Response | tuple[str, int]:
        """Another answer."""
        self.require_change()
        if request.method == "GET":
            return self._show(None, ReplyFields("", "", position=10))
        fields = _sent(request.form)
        if "preview" in request.form:
            return self._show(None, fields, preview=True)
        try:
            with doors().database.begin() as session:
                canned.add(session, act(), fields)
        except DeskError as refused:
            return self._show(None, fields, refused.text), 422
        tell(_("Заготовка сохранена."))
        return redirect(url_for("replies.index"))

    @expose("/<int:reply_id>/", methods=("GET", "POST"))
    def one(self, reply_id: int) -> str | Response | tuple[str, int]:
        """An answer, and how it will look."""
        found = self._found(reply_id)
        if request.method == "GET":
            return self._show(found, found.fields)
        self.require_change()
        fields = _sent(conflicts.picked(conflicts.as_sent(_form(found.fields))))
        if "preview" in request.form:
            return self._show(found, fields, preview=True)
        try:
            with doors().database.begin() as session:
                canned.save(session, act(), reply_id, _version(), fields)
        except ReplyChanged as refused:
            return self._both(self._found(reply_id), fields, refused.text)
        except DeskError as refused:
            return self._show(self._found(reply_id), fields, refused.text), 422
        tell(_("Заготовка сохранена."))
        return redirect(url_for("replies.index"))

    @expose("/<int:reply_id>/delete", methods=("POST",))
    def delete(self, reply_id: int) -> Response | tuple[str, int]:
        """Forget an answer."""
        self.require_change()
        found = self._found(reply_id)
        try:
            with doors().database.begin() as session:
                canned.delete(session, act(), reply_id, _version())
        except ReplyChanged as refused:
            return self._show(found, found.fields, refused.text), 409
        tell(_("Заготовка удалена."))
        return redirect(url_for("replies.index"))

    def _found(self, reply_id: int) -> Reply:
        if reply_id > asked.MAX_NUMBER:
            abort(404)
        try:
            with doors().database.read() as session:
                return canned.read(session, me().member.staff_id, reply_id)
        except NoSuchReply:
            abort(404)

    def _both(self, found: Reply, mine: ReplyFields, refusal: Text) -> Response | tuple[str, int]:
        """Somebody else has saved the answer meanwhile: both versions, to choose field by field."""
        with doors().database.read() as session:
            lines = reading.history_of(session, f"reply:{found.reply_id}")
        # Every version has one line of the history.
        news = lines[: max(found.version - _version(), 0)]
        was = asdict(found.fields)
        for line in news:
            was |= json.loads(line.before) if line.before else {}
        fields = conflicts.disputed(
            conflicts.as_sent(_form(ReplyFields(**was))),
            conflicts.as_sent(_form(found.fields)),
            conflicts.as_sent(_form(mine)),
            _TITLES,
            _worded,
        )
        here = url_for("replies.one", reply_id=found.reply_id)
        return setting_conflicts.answer(self, found.fields.title, here, refusal, news, found.version, fields)

    def _show(
        self, found: Reply | None, fields: ReplyFields, refusal: Text | None = None, *, preview: bool = False
    ) -> str:
        history: tuple[reading.HistoryLine, ...] = ()
        if found is not None:
            with doors().database.read() as session:
                history = reading.history_of(session, f"reply:{found.reply_id}")[:20]
        unknown = canned.unknown_places(fields.text)
        if preview and unknown:
            names = ", ".join(f"{{{name}}}" for name in unknown)
            refusal = _("Непонятно, что подставить вместо {names}.", names=names)
        house = doors().house
        facts = ReplyFacts("Мария", "17", "27.11, 18:00", me().member.name, house.firm_name)
        return self.page(
            "settings_reply.html",
            reply=found,
            fields=fields,
            kinds=[(kind.code, house.say(kind.label)) for kind in house.kinds.known],
            places=canned.PLACES,
            shown=canned.fill(fields.text, facts),
            most=canned.MAX_TEXT,
            refusal=refusal,
            history_lines=history,
        )


def _version() -> int:
    return asked.as_number(request.form.get("version", "")) or 0


_TITLES: Mapping[str, Text] = {
    "title": _("Название"),
    "text": _("Текст ответа"),
    "kind": _("Для заявок вида"),
    "whose": _("Кто увидит"),
    "position": _("Место в списке"),
    "active": _("Показывать в списке"),
}


def _form(fields: ReplyFields) -> dict[str, object]:
    """An answer as its form sends it."""
    return {
        "title": fields.title, "text": fields.text, "kind": fields.kind,
        "whose": "all" if fields.owner_id is None else "own", "position": fields.position,
        "active": fields.active,
    }  # fmt: skip


def _worded(name: str, values: tuple[str, ...]) -> str:
    if name == "kind":
        return label(values[0], "kind") if values else say(_("любого"))
    if name == "whose":
        return say(_("только я") if values == ("own",) else _("все сотрудники"))
    return conflicts.shown(name, values)


def _sent(form: Mapping[str, str]) -> ReplyFields:
    kind = form.get("kind", "")
    return ReplyFields(
        title=asked.clean(form.get("title", "")),
        text=asked.clean(form.get("text", "").replace("\r\n", "\n"), _MAX_SENT),
        kind=kind if kind in doors().house.kinds.by_code else "",
        owner_id=me().member.staff_id if form.get("whose") == "own" else None,
        position=asked.as_number(form.get("position", "")) or 0,
        active="active" in form,
    )
