"""Signing in: by password, by an invitation, by a one-time link; then by the code of the second factor.

The session cookie holds a random token, the database its hash (`admin.sessions`). Whoever has no
session gets the sign-in page, whatever they asked for.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from flask import Blueprint, Flask, abort, redirect, render_template, request, session, url_for
from flask_babel import gettext
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_login.utils import LocalProxy
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import second_factor, sessions
from admin.csrf import renew_csrf_token
from admin.doors import doors
from admin.rights import Area, may_change, may_see, must_have_factor
from forms.messages import Reply
from forms.texts import _ as text_of
from router.model import Role
from storage import access, invitations, roster
from storage.house import Who
from storage.invitations import InvitationRefused, Purpose
from storage.letters import Posting, post
from storage.reach import Controlled, Reach, reach_of
from storage.roster import Act, Member
from storage.subscribers import subscriber

MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 256
RESET_VALID = timedelta(minutes=30)
RESETS = 3
"""How often a forgotten password may be asked about for one login before it must wait."""
HALF = "password_was_right"
HALF_VALID = timedelta(minutes=10)
"""How long after the password the code may come."""

# OWASP's second choice: a firm's small server must stand several sign-ins at once.
# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODYS_HASH = _HASHER.hash("nobody has this password")
"""Compared with when the login is unknown, so that it takes as long as a known one."""

PUBLIC = frozenset(
    {
        "auth.sign_in", "auth.code", "auth.invitation", "auth.enter", "auth.forgotten", "auth.reset",
        "admin.static", "static", "front",
    }
)  # fmt: skip
WITHOUT_FACTOR = frozenset({"profile.factor", "profile.confirm_factor", "auth.sign_out"})
"""What whoever must still set up the second factor may open."""


def _(sentence: str, **values: object) -> str:
    """A sentence in the language of the firm."""
    return str(gettext(sentence, **values))


auth = Blueprint("auth", __name__, url_prefix="/panel")


class StaffUser(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """The member of staff who is looking at the panel, through one of their sessions."""

    def __init__(self, member: Member, token: str = "", session_id: int = 0, reach: Reach = None) -> None:
        self.member = member
        self.reach = reach
        self.session_id = session_id
        self._token = token

    def get_id(self) -> str:
        """The token of the session."""
        return self._token

    @property
    def role(self) -> Role:
        """What they may do."""
        return self.member.role

    @property
    def who(self) -> Who:
        """The same person for the use cases."""
        member = self.member
        return Who("panel", member.person_id, member.staff_id, member.role, member.name)

    def may_see(self, area: Area) -> bool:
        """Whether they may open the section."""
        return may_see(self.role, area, narrowed=isinstance(self.reach, Controlled))

    @property
    def may_erase(self) -> bool:
        """Whether they may delete a client or a person's data."""
        return may_change(self.role, Area.ERASURE)

    @property
    def owes_factor(self) -> bool:
        """Whether they must set up the second factor before anything else."""
        return doors().require_second_factor and must_have_factor(self.role) and not self.member.has_factor


def me() -> StaffUser:
    """Who is signed in. Only for pages that nobody sees without signing in."""
    user: LocalProxy[StaffUser] = current_user
    found = user._get_current_object()
    if not isinstance(found, StaffUser):
        abort(401)
    return found


def act() -> Act:
    """The one who is signed in, doing something now."""
    return Act(me().who, doors().now())


def install(app: Flask) -> None:
    """Put the sign-in pages into the application and close everything else."""
    login = LoginManager(app)
    login.session_protection = None  # the row of the session is looked at on every request instead
    login.user_loader(_load)
    app.register_blueprint(auth)

    @app.before_request
    def require_sign_in() -> Response | None:
        if request.endpoint in PUBLIC:
            return None
        if not current_user.is_authenticated:
            return _to_sign_in()
        if me().owes_factor and request.endpoint not in WITHOUT_FACTOR:
            return redirect(url_for("profile.factor"))
        return None


def _to_sign_in() -> Response:
    if request.method in ("GET", "HEAD"):
        back = request.full_path.rstrip("?") if request.path.startswith("/panel/") else ""
        return redirect(url_for("auth.sign_in", next=back or None))
    return redirect(url_for("auth.sign_in"))


def _load(token: str) -> StaffUser | None:
    found = sessions.read(token)
    if found is None:
        return None
    member = found.member
    with doors().database.read() as reading:
        reach = reach_of(reading, member.role, member.staff_id)
    return StaffUser(member, token, found.session_id, reach)


def _admit(member: Member, back: str = "") -> Response:
    """Open a session; with a second factor, ask for its code first."""
    session.clear()
    renew_csrf_token()
    if member.has_factor:
        session[HALF] = [member.staff_id, int(doors().now().timestamp()), back]
        return redirect(url_for("auth.code"))
    return _let_in(member, back)


def _let_in(member: Member, back: str) -> Response:
    """Open a session under a new token, and lead where the person wanted to go."""
    session.clear()
    renew_csrf_token()
    with doors().database.begin() as writing:
        roster.record_door(writing, Act(StaffUser(member).who, doors().now()), "signed_in", member.staff_id)
    token, session_id = sessions.opened(member)
    login_user(StaffUser(member, token, session_id))
    session.permanent = True
    return redirect(way_back(back))


def way_back(asked: str) -> str:
    """Where the person wanted to go, if it is a page of the panel."""
    parts = urlsplit(asked)
    inside = asked.startswith("/panel/") and not parts.scheme and not parts.netloc and "\\" not in asked
    return asked if inside and asked.isprintable() else url_for("admin.index")


# --- The brake -----------------------------------------------------------------------------------------

_ADDRESS = "address:"


def _login_key(email: str) -> str:
    return f"login:{email.lower()}"[:200]


def _address_key() -> str:
    return f"{_ADDRESS}{subscriber(request.remote_addr or '')}"


def _attempts(key: str) -> int:
    return invitations.ATTEMPTS_BY_ADDRESS if key.startswith(_ADDRESS) else invitations.ATTEMPTS


def _waits_until(reading: Session, *keys: str) -> datetime | None:
    """Until when the longest braked of these keys must wait."""
    now = doors().now()
    found = [until for key in keys if (until := invitations.waits_until(reading, key, now))]
    return max(found, default=None)


def _failed(writing: Session, *keys: str) -> None:
    for key in keys:
        invitations.failed(writing, key, doors().now(), attempts=_attempts(key))


def too_many(until: datetime) -> str:
    """That one must wait, and until when, in the firm's zone."""
    zone = doors().house.calendar.zone
    # The seconds are rounded up: at the minute that is told it works again.
    at = (until + timedelta(seconds=59)).astimezone(zone)
    same_day = at.date() == doors().now().astimezone(zone).date()
    shown = f"{at:%H:%M}" if same_day else f"{at:%d.%m %H:%M}"
    return _("Слишком много попыток. Вход закрыт до %(time)s, потом попробуйте снова.", time=shown)


# --- By password ---------------------------------------------------------------------------------------


@auth.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response | str | tuple[str, int]:
    """The sign-in page."""
    if current_user.is_authenticated:
        return redirect(url_for("admin.index"))
    asked = request.values.get("next", "")
    if request.method == "GET":
        return render_template("sign_in.html", email="", next=asked)
    email, password = request.form.get("email", "").strip()[:200], request.form.get("password", "")
    refusal, status, member = _check(email, password[: MAX_PASSWORD_LENGTH + 1])
    if member is None:
        return render_template("sign_in.html", email=email, next=asked, refusal=refusal), status
    return _admit(member, asked)


def _check(email: str, password: str) -> tuple[str, int, Member | None]:
    """The same answer, as slow, for an unknown login, a wrong password and somebody who has left."""
    database = doors().database
    keys = (_login_key(email), _address_key())
    with database.read() as reading:
        until = _waits_until(reading, *keys)
        if until is not None:
            return too_many(until), 429, None
        member = roster.member_by_email(reading, email)
    right = verify(member, password)
    with database.begin() as writing:
        if member is None or not right or not member.active:
            _failed(writing, *keys)
            return _("Почта или пароль не подошли. Проверьте раскладку и попробуйте снова."), 401, None
        invitations.succeeded(writing, keys[0])
        if _HASHER.check_needs_rehash(member.password_hash):
            roster.replace_hash(writing, member.staff_id, _HASHER.hash(password))
    return "", 200, member


def check_password(member: Member, password: str) -> tuple[str, int]:
    """Ask once more for the password of who is signed in; returns the refusal, empty when it fits."""
    keys = (f"password:{member.staff_id}", _address_key())
    with doors().database.read() as reading:
        until = _waits_until(reading, *keys)
    if until is not None:
        return too_many(until), 429
    right = verify(member, password[: MAX_PASSWORD_LENGTH + 1])
    with doors().database.begin() as writing:
        if right:
            invitations.succeeded(writing, keys[0])
            return "", 200
        _failed(writing, *keys)
    return _("Прежний пароль не подошёл. Проверьте раскладку и попробуйте снова."), 401


def verify(member: Member | None, password: str) -> bool:
    """Whether this is the member's password; nobody's takes as long."""
    known = member.password_hash if member and member.password_hash else _NOBODYS_HASH
    try:
        _HASHER.verify(known, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
    return known is not _NOBODYS_HASH


@auth.route("/sign-out", methods=["POST"])
def sign_out() -> Response:
    """End this session: a copied cookie is worth nothing afterwards."""
    with doors().database.begin() as writing:
        with suppress(roster.NoSuchCard):  # two tabs at once
            access.end_session(writing, act(), me().member.staff_id, me().session_id)
        roster.record_door(writing, act(), "signed_out", me().member.staff_id)
    logout_user()
    session.clear()
    return redirect(url_for("auth.sign_in"))


# --- By the second factor ------------------------------------------------------------------------------


@auth.route("/code", methods=["GET", "POST"])
def code() -> Response | str | tuple[str, int]:
    """The code after the password: of the application, or one of the recovery codes."""
    half = _half()
    if half is None:
        return redirect(url_for("auth.sign_in"))
    member, back = half
    if request.method == "GET":
        return render_template("code.html")
    refusal, status = check_factor(member, request.form.get("code", "")[:100])
    if refusal:
        return render_template("code.html", refusal=refusal), status
    return _let_in(member, back)


def _half() -> tuple[Member, str] | None:
    """Who has given the right password a moment ago, and where they wanted to go."""
    kept = session.get(HALF)
    if not isinstance(kept, list):
        return None
    staff_id, since, back = kept
    age = doors().now() - datetime.fromtimestamp(since, UTC)
    if not timedelta(minutes=-5) <= age < HALF_VALID:
        return None
    with doors().database.read() as reading:
        member = roster.member(reading, staff_id)
    return None if member is None or not member.active else (member, back)


def check_factor(member: Member, typed: str) -> tuple[str, int]:
    """Use up a code of the application or a recovery code; returns the refusal, empty when it fits.

    One transaction from the brake to its count: guesses that come at once are counted one by one.
    """
    now, doing = doors().now(), Act(StaffUser(member).who, doors().now())
    keys = (f"factor:{member.staff_id}", _address_key())
    with doors().database.begin() as writing:
        until = _waits_until(writing, *keys)
        if until is not None:
            return too_many(until), 429
        sealed = access.factor_of(writing, member.staff_id).sealed_secret
        secret = second_factor.Seal(doors().secret_key).open(sealed)
        step = second_factor.matching_step(secret, typed, now)
        fits = step is not None and access.use_step(writing, member.staff_id, step, now)
        if not fits:
            hashed = invitations.code_hash(typed)
            fits = access.use_recovery(writing, doing, member.staff_id, hashed)
        if not fits:
            _failed(writing, *keys)
            return _("Код не подошёл. Дождитесь следующего кода в приложении и введите его."), 401
        invitations.succeeded(writing, keys[0])
    return "", 200


# --- A forgotten password ------------------------------------------------------------------------------


@auth.route("/forgotten", methods=["GET", "POST"])
def forgotten() -> str | tuple[str, int]:
    """Ask for a one-time link into one's own messenger. The answer tells nothing about the login."""
    if request.method == "GET":
        return render_template("forgotten.html", email="")
    email = request.form.get("email", "").strip()[:200]
    keys = (f"reset:{email.lower()}"[:200], f"{_ADDRESS}reset:{subscriber(request.remote_addr or '')}")
    now = doors().now()
    with doors().database.begin() as writing:
        until = _waits_until(writing, *keys)
        if until is not None:
            return render_template("forgotten.html", email=email, refusal=too_many(until)), 429
        # Every question counts, answered or not: nobody's chat is flooded.
        for key, attempts in zip(keys, (RESETS, invitations.ATTEMPTS_BY_ADDRESS), strict=True):
            invitations.failed(writing, key, now, attempts=attempts)
        member = roster.member_by_email(writing, email) if email else None
        if member is not None and member.active and member.password_hash:
            _send_link(writing, member, now)
    doors().wake()
    return render_template("forgotten.html", sent=True)


def _send_link(writing: Session, member: Member, now: datetime) -> None:
    code = invitations.invite_person(writing, member.person_id, Purpose.RESET, now, RESET_VALID)
    link = doors().public_url.rstrip("/") + url_for("auth.reset", code=code)
    words = text_of(
        "Новый пароль для панели задают по этой ссылке. Она действует 30 минут и один раз:\n{link}\n"
        "Если вы о ней не просили, ничего не делайте: прежний пароль работает.",
        link=link,
    )
    letter = Posting(f"reset:{secrets.token_hex(12)}", Reply(words), person_id=member.person_id, urgent=True)
    post(writing, doors().house, now, [letter])
    roster.record_door(writing, Act(Who("panel"), now), "reset_asked", member.staff_id)


@auth.route("/reset/<code>", methods=["GET", "POST"])
def reset(code: str) -> Response | str | tuple[str, int]:
    """Set a new password with the link from the messenger. The code of the second factor is asked for."""
    return _new_password(code, Purpose.RESET)


# --- By an invitation or a one-time link ---------------------------------------------------------------


@auth.route("/invitation/<code>", methods=["GET", "POST"])
def invitation(code: str) -> Response | str | tuple[str, int]:
    """Set a password with the code of an invitation, and come in."""
    return _new_password(code, Purpose.PANEL)


def _new_password(code: str, purpose: Purpose) -> Response | str | tuple[str, int]:
    if request.method == "GET":
        return render_template("invitation.html", code=code)
    password = request.form.get("password", "")
    database = doors().database
    with database.read() as reading:
        until = _waits_until(reading, _address_key())
    if until is not None:
        return render_template("invitation.html", code=code, refusal=too_many(until)), 429
    flaw = flaw_of(password, request.form.get("again", ""))
    if flaw:
        return render_template("invitation.html", code=code, refusal=flaw), 422
    hashed = _HASHER.hash(password)
    try:
        with database.begin() as writing:
            member = _with_password(writing, code, purpose, password, hashed)
    except TooPersonal:
        return render_template("invitation.html", code=code, refusal=too_personal()), 422
    except InvitationRefused as refused:
        return _refused(refused)
    return _admit(member)


@auth.route("/enter/<code>")
def enter(code: str) -> Response | str | tuple[str, int]:
    """Sign in once with a code from the command line. HEAD, as previews send it, uses nothing up."""
    if request.method == "HEAD":
        return ""
    database = doors().database
    with database.read() as reading:
        until = _waits_until(reading, _address_key())
    if until is not None:
        return render_template("refused.html", refusal=too_many(until)), 429
    try:
        with database.begin() as writing:
            member = _redeemed(writing, code, Purpose.SIGNIN, doors().now())
    except InvitationRefused as refused:
        return _refused(refused)
    return _admit(member)


# --- What a password must be ---------------------------------------------------------------------------


class TooPersonal(Exception):  # noqa: N818 - the name says what happened
    """The password contains the person's own name; the code is not used up by that."""


def too_personal() -> str:
    """What is told then."""
    return _("В пароле не должно быть вашего имени или почты. Придумайте другой.")


def set_password(
    writing: Session, member: Member, password: str, hashed: str, keep_session_id: int | None = None
) -> Member:
    """Set a password that was judged and hashed before. Raises TooPersonal."""
    if _is_own_name(password, member):
        raise TooPersonal
    doing = Act(StaffUser(member).who, doors().now())
    return roster.set_password(writing, doing, member.staff_id, hashed, keep_session_id)


def hash_of(password: str) -> str:
    """The hash under which a password is kept; takes a while by design."""
    return _HASHER.hash(password)


def _with_password(writing: Session, code: str, purpose: Purpose, password: str, hashed: str) -> Member:
    member = _redeemed(writing, code, purpose, doors().now())
    member = set_password(writing, member, password, hashed)
    invitations.succeeded(writing, _login_key(member.email))
    return member


def _redeemed(writing: Session, code: str, purpose: Purpose, now: datetime) -> Member:
    member = roster.member_by_person(writing, invitations.redeem(writing, code, purpose, now))
    if member is None or not member.active:
        raise InvitationRefused
    return member


def _refused(refused: InvitationRefused) -> tuple[str, int]:
    with doors().database.begin() as writing:
        _failed(writing, _address_key())
    return render_template("refused.html", refusal=doors().house.say(refused.text)), 404


def flaw_of(password: str, again: str) -> str:
    """What is wrong with a new password; empty when nothing is."""
    if len(password) < MIN_PASSWORD_LENGTH:
        return _("В пароле должно быть хотя бы 10 знаков. Подойдёт фраза из трёх слов.")
    if len(password) > MAX_PASSWORD_LENGTH:
        return _("Пароль длиннее 256 знаков: сократите его.")
    if password != again:
        return _("Пароли не совпали. Введите один и тот же дважды.")
    if len(set(password)) < MIN_PASSWORD_LENGTH // 2:
        return _("Пароль слишком прост: в нём повторяются одни и те же знаки.")
    return ""


def _is_own_name(password: str, member: Member) -> bool:
    spelt = password.casefold()
    parts = (*member.name.casefold().split(), member.email.casefold().partition("@")[0])
    rest = spelt
    for part in parts:
        if len(part) > 2:  # noqa: PLR2004 - initials prove nothing
            rest = rest.replace(part, "")
    # A name with a few digits after it is a name.
    return len(rest) < MIN_PASSWORD_LENGTH // 2 and rest != spelt
