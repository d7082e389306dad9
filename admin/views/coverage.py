"""Which clients are in a messenger, and the invitations for those who are not."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime

from flask import abort, redirect, request, send_file, url_for
from flask_babel import lazy_gettext as _l
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.wrappers import Response

from admin import asked, bringing
from admin.auth import act
from admin.doors import doors
from admin.rights import Area
from admin.tables import as_csv, as_xlsx
from admin.views.base import PanelView, expose, tell, warn
from forms.texts import _
from storage import coverage
from storage.coverage import MOST_AT_ONCE, Brought
from storage.roster import NoSuchCard

PICTURES_AT_FIRST = 3
"""So many messengers fit beside each other on a printed card."""

MEDIA: Mapping[str, str] = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class CoverageView(PanelView):
    """`/panel/clients/coverage/`."""

    area = Area.COVERAGE

    def __init__(self) -> None:
        super().__init__(name=_l("Кто на связи"), endpoint="coverage", url="/panel/clients/coverage")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the list of clients leads here."""
        return False

    @expose("/")
    def index(self) -> str:
        """How many clients are in a messenger, and the list of the others."""
        now = doors().now()
        with doors().database.read() as session:
            count = coverage.coverage(session)
            found = coverage.missing(session, now, search=asked.text("q"), place=asked.place())
            fresh = coverage.not_invited(session, now)
        return self.page(
            "coverage.html",
            count=count,
            found=found,
            fresh=fresh,
            most=MOST_AT_ONCE,
            ways=bringing.ways(),
            pictures=PICTURES_AT_FIRST,
        )

    @expose("/<int:client_id>/invite", methods=("POST",))
    def invite(self, client_id: int) -> str:
        """One invitation, shown once."""
        self.require_change()
        person_id = asked.as_number(request.form.get("person_id", "")) or None
        try:
            with doors().database.begin() as session:
                brought = coverage.invite(session, act(), min(client_id, asked.MAX_NUMBER), person_id)
        except NoSuchCard:
            abort(404)
        back = url_for("coverage.index")
        if request.form.get("back") == "card":
            back = url_for("clients.one", client_id=client_id)
        return self._sheet([brought], back)

    @expose("/invite", methods=("POST",))
    def invite_all(self) -> Response | str:
        """Invitations for everybody who is missing; asked for twice, they are made once."""
        self.require_change()
        if request.form.get("sure") != "1":
            warn(_("Поставьте отметку «Да, создать приглашения» и нажмите ещё раз."))
            return redirect(url_for("coverage.index"))
        with doors().database.begin() as session:
            brought = coverage.invite_missing(session, act(), again=request.form.get("again") == "1")
        if not brought:
            tell(_("Всех уже пригласили: их коды ещё действуют."))
            return redirect(url_for("coverage.index"))
        return self._sheet(brought, url_for("coverage.index"), set(request.form.getlist("way")))

    @expose("/export", methods=("POST",))
    def export(self) -> Response:
        """The links of a sheet as a file. The sheet brings them itself: the codes are kept nowhere."""
        self.require_change()
        kind = request.form.get("format", "")
        try:
            invitations = [_unpacked(packed) for packed in _parcel().loads(request.form.get("parcel", ""))]
        except (BadData, TypeError, ValueError, KeyError):
            abort(400)
        if kind not in MEDIA:
            abort(400)
        tables = [bringing.table_of(invitations)]
        content = as_csv(tables) if kind == "csv" else as_xlsx(tables)
        name = f"invitations-{doors().now():%Y-%m-%d}.{kind}"
        return send_file(io.BytesIO(content), MEDIA[kind], as_attachment=True, download_name=name)

    def _sheet(self, invitations: Sequence[Brought], back: str, pictured: set[str] | None = None) -> str:
        return self.page(
            "coverage_sheet.html",
            invitations=[bringing.shown(one, pictured) for one in invitations],
            back=back,
            parcel=_parcel().dumps([_packed(one) for one in invitations]),
            days=coverage.CODE_VALID.days,
            cut=len(invitations) >= MOST_AT_ONCE,
        )


def _packed(one: Brought) -> list[object]:
    expires = one.expires_at.isoformat()
    return [one.person_id, one.code, list(one.companies), one.contact, one.phone, one.email, expires]


def _unpacked(packed: Sequence[object]) -> Brought:
    person_id, code, companies, contact, phone, email, expires_at = packed
    if not isinstance(companies, list):
        raise TypeError
    return Brought(
        int(str(person_id)), str(code), tuple(map(str, companies)), str(contact), str(phone), str(email),
        datetime.fromisoformat(str(expires_at)),
    )  # fmt: skip


def _parcel() -> URLSafeSerializer:
    """The codes travel through the browser that shows them, signed: nothing but their hash is kept."""
    return URLSafeSerializer(doors().secret_key, salt="priem.panel.invitations")
