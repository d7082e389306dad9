"""The own profile: name and address, password, the code at signing in, the browsers that are signed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from flask import abort, redirect, request, session, url_for
from flask_babel import lazy_gettext as _l
from flask_login import logout_user
from werkzeug.wrappers import Response

from admin import asked, conflicts, second_factor, sessions, setting_conflicts
from admin.auth import (
    TooPersonal,
    act,
    check_factor,
    check_password,
    flaw_of,
    hash_of,
    me,
    set_password,
    too_personal,
)
from admin.doors import doors
from admin.rights import Area, must_have_factor
from admin.shown import say
from admin.typed import email_of, person_name_of, phone_of
from admin.views.base import PanelView, expose, tell
from forms.answers import AnswerError
from forms.texts import Text, _, plain
from storage import access, roster
from storage.access import ProfileFields
from storage.reading import history_of
from storage.roster import CardChanged, EmailTaken

PENDING = "factor_not_confirmed"


class ProfileView(PanelView):
    """`/panel/profile/`. Everybody has one, and sees no other."""

    area = Area.PROFILE

    def __init__(self) -> None:
        super().__init__(name=_l("Мой профиль"), endpoint="profile", url="/panel/profile")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the name at its end leads here."""
        return False

    @expose("/", methods=("GET", "POST"))
    def index(self) -> Response | str | tuple[str, int]:
        """The profile; a POST saves the name and the addresses."""
        if request.method == "GET":
            return self._show()
        try:
            fields = _fields()
            with doors().database.begin() as writing:
                version = asked.as_number(request.form.get("version", "")) or 0
                access.save_profile(writing, act(), me().member.staff_id, version, fields)
        except AnswerError as refused:
            return self._show("about", refused.text), 422
        except EmailTaken:
            return self._show("about", _("С этой почтой входит другой сотрудник.")), 422
        except CardChanged:
            return self._both(fields)
        tell(_("Сохранено."))
        return redirect(url_for("profile.index"))

    def _both(self, mine: ProfileFields) -> Response | tuple[str, int]:
        """Another page, or whoever keeps the cards, has saved it meanwhile: both, field by field."""
        staff_id = me().member.staff_id
        with doors().database.read() as reading:
            profile = access.profile_of(reading, staff_id)
            lines = history_of(reading, f"staff:{staff_id}")
        newer = max(profile.version - (asked.as_number(request.form.get("version", "")) or 0), 0)
        news = tuple(line for line in lines if line.action in _OF_THE_CARD)[:newer]
        theirs = conflicts.as_sent(asdict(profile.fields))
        fields = conflicts.disputed(
            conflicts.before(theirs, news), theirs, conflicts.as_sent(asdict(mine)), _TITLES, _worded
        )
        here, name = url_for("profile.index"), say(_("Мой профиль"))
        return setting_conflicts.answer(self, name, here, _STALE, news, profile.version, fields)

    @expose("/password", methods=("POST",))
    def password(self) -> Response | tuple[str, int]:
        """Set another password; the other sessions end."""
        form, member = request.form, me().member
        refusal, status = check_password(member, form.get("old", ""))
        new = form.get("password", "")
        if not refusal:
            refusal, status = flaw_of(new, form.get("again", "")), 422
        if refusal:
            return self._show("password", plain(refusal)), status
        hashed = hash_of(new)
        try:
            with doors().database.begin() as writing:
                set_password(writing, member, new, hashed, me().session_id)
        except TooPersonal:
            return self._show("password", plain(too_personal())), 422
        tell(_("Пароль изменён. На других устройствах понадобится войти заново."))
        return redirect(url_for("profile.index"))

    @expose("/sessions/<int:session_id>/end", methods=("POST",))
    def end_session(self, session_id: int) -> Response:
        """End one of the own sessions."""
        try:
            with doors().database.begin() as writing:
                number = min(session_id, asked.MAX_NUMBER)
                access.end_session(writing, act(), me().member.staff_id, number)
        except roster.NoSuchCard:
            abort(404)
        tell(_("Там вы больше не в панели."))
        return redirect(url_for("profile.index"))

    @expose("/sessions/end", methods=("POST",))
    def end_every_session(self) -> Response:
        """Sign out everywhere, here too."""
        with doors().database.begin() as writing:
            access.end_every_session(writing, act(), me().member.staff_id)
        logout_user()
        session.clear()
        return redirect(url_for("auth.sign_in"))

    # --- the code at signing in ---

    @expose("/factor")
    def factor(self) -> str:
        """Set up the code, or what there is to do with it."""
        return self._factor()

    @expose("/factor/confirm", methods=("POST",))
    def confirm_factor(self) -> str | tuple[str, int]:
        """Count the code from now on: the first one has come from the person's own application."""
        secret = second_factor.Seal(doors().secret_key).open(str(session.get(PENDING, "")))
        if me().member.has_factor or not secret:
            return self._factor(_("Начните заново: страница устарела.")), 409
        step = second_factor.matching_step(secret, request.form.get("code", "")[:100], doors().now())
        if step is None:
            return self._factor(_("Код не подошёл. Проверьте, верно ли идут часы телефона.")), 422
        codes = second_factor.new_recovery_codes()
        sealed = second_factor.Seal(doors().secret_key).close(secret)
        with doors().database.begin() as writing:
            staff_id = me().member.staff_id
            access.use_step(writing, staff_id, step, doors().now())
            access.keep_factor(writing, act(), staff_id, sealed, second_factor.recovery_hashes(codes))
        session.pop(PENDING, None)
        return self.page("recovery.html", codes=codes, first=True)

    @expose("/factor/codes", methods=("POST",))
    def renew_codes(self) -> str | tuple[str, int]:
        """New recovery codes in the place of the old ones."""
        refusal, status = self._checked()
        if refusal:
            return self._factor(plain(refusal)), status
        codes = second_factor.new_recovery_codes()
        with doors().database.begin() as writing:
            hashes = second_factor.recovery_hashes(codes)
            access.replace_recovery(writing, act(), me().member.staff_id, hashes)
        return self.page("recovery.html", codes=codes, first=False)

    @expose("/factor/off", methods=("POST",))
    def drop_factor(self) -> Response | tuple[str, int]:
        """Sign in by password alone again."""
        if _is_obliged():
            abort(403)
        refusal, status = self._checked()
        if refusal:
            return self._factor(plain(refusal)), status
        with doors().database.begin() as writing:
            access.drop_factor(writing, act(), me().member.staff_id)
        tell(_("Код при входе больше не спрашивается."))
        return redirect(url_for("profile.index"))

    def _checked(self) -> tuple[str, int]:
        if not me().member.has_factor:
            abort(404)
        return check_factor(me().member, request.form.get("code", "")[:100])

    def _factor(self, refusal: Text | None = None) -> str:
        member = me().member
        if member.has_factor:
            with doors().database.read() as reading:
                left = access.factor_of(reading, member.staff_id).recovery_left
            return self.page(
                "factor_kept.html", left=left, refusal=refusal, is_obliged=_is_obliged(),
                form=request.endpoint,
            )  # fmt: skip
        seal = second_factor.Seal(doors().secret_key)
        secret = seal.open(str(session.get(PENDING, ""))) or second_factor.new_secret()
        session[PENDING] = seal.close(secret)
        return self.page(
            "factor.html",
            qr=second_factor.qr_code(secret, member.email, doors().house.firm_name),
            key=second_factor.by_hand(secret),
            refusal=refusal,
            owes=me().owes_factor,
        )

    def _show(self, form: str = "", refusal: Text | None = None) -> str:
        staff_id, now = me().member.staff_id, doors().now()
        with doors().database.read() as reading:
            profile = access.profile_of(reading, staff_id)
            open_ones = access.sessions_of(reading, staff_id, now, sessions.idle())
            factor = access.factor_of(reading, staff_id)
        return self.page(
            "profile.html",
            values=request.form if form == "about" else _as_typed(profile.fields),
            version=request.form.get("version", profile.version) if form == "about" else profile.version,
            sessions=open_ones,
            idle_hours=doors().session_idle_hours,
            factor=factor,
            refused=form,
            refusal=refusal,
        )


_STALE = _("Профиль изменили, пока вы его правили. Выберите, что оставить.")
_TITLES: Mapping[str, Text] = {
    "name": _("Имя"), "phone": _("Телефон"), "email": _("Почта"), "digest": _("Сводка в мессенджер"),
}  # fmt: skip
_OF_THE_CARD = ("profile_changed", "staff_changed")
"""The lines of the history that a version of the card leaves."""


def _worded(name: str, values: tuple[str, ...]) -> str:
    if name == "digest":
        return say(_("да") if values else _("нет"))
    return conflicts.shown(name, values)


def _is_obliged() -> bool:
    return doors().require_second_factor and must_have_factor(me().role)


def _fields() -> ProfileFields:
    with doors().database.read() as reading:
        kept = access.profile_of(reading, me().member.staff_id).fields
    form, digest = conflicts.picked(conflicts.as_sent(asdict(kept))), kept.digest
    email = email_of(form.get("email", ""))
    if not email:
        raise AnswerError(_("Напишите почту: с ней вы входите в панель."))
    if me().role.directs:
        digest = form.get("digest") == "1"
    return ProfileFields(person_name_of(form.get("name", "")), phone_of(form.get("phone", "")), email, digest)


def _as_typed(fields: ProfileFields) -> dict[str, str]:
    return {
        "name": fields.name, "phone": fields.phone, "email": fields.email,
        "digest": "1" if fields.digest else "",
    }  # fmt: skip
