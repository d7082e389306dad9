"""Signing in: by password, by an invitation, by a one-time link.

The session cookie names the member of staff and their session key; changing the key in the database
signs them out everywhere. Whoever has no session gets the sign-in page, whatever they asked for.
"""

from __future__ import annotations

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

from admin.csrf import renew_csrf_token
from admin.doors import doors
from router.model import Role
from storage import invitations, roster
from storage.house import Who
from storage.invitations import InvitationRefused, Purpose
from storage.roster import Act, Member

SESSION_HOURS = 12
MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 256
SINCE = "signed_in_at"

# OWASP's second choice: a firm's small server must stand several sign-ins at once.
# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODYS_HASH = _HASHER.hash("nobody has this password")
"""Compared with when the login is unknown, so that it takes as long as a known one."""

PUBLIC = frozenset({"auth.sign_in", "auth.invitation", "auth.enter", "admin.static", "static", "front"})


def _(sentence: str) -> str:
    """A sentence in the language of the firm."""
    return str(gettext(sentence))


auth = Blueprint("auth", __name__, url_prefix="/panel")


class StaffUser(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """The member of staff who is looking at the panel."""

    def __init__(self, member: Member) -> None:
        self.member = member

    def get_id(self) -> str:
        """Who it is and under which key: an old cookie does not outlive the key."""
        return f"{self.member.staff_id}.{self.member.session_key}"

    @property
    def role(self) -> Role:
        """What they may do."""
        return self.member.role

    @property
    def who(self) -> Who:
        """The same person for the use cases."""
        member = self.member
        return Who("panel", member.person_id, member.staff_id, member.role, member.name)


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
    login.session_protection = None  # the key and the lifetime are checked at every request instead
    login.user_loader(_load)
    app.register_blueprint(auth)

    @app.before_request
    def require_sign_in() -> Response | None:
        if request.endpoint in PUBLIC or current_user.is_authenticated:
            return None
        if request.method in ("GET", "HEAD"):
            back = request.full_path.rstrip("?") if request.path.startswith("/panel/") else ""
            return redirect(url_for("auth.sign_in", next=back or None))
        return redirect(url_for("auth.sign_in"))


def _load(cookie_id: str) -> StaffUser | None:
    staff_id, _dot, key = cookie_id.partition(".")
    if not (staff_id.isascii() and staff_id.isdigit()) or not key or not _is_fresh():
        return None
    with doors().database.read() as database:
        member = roster.member(database, int(staff_id))
    if member is None or not member.active or member.session_key != key:
        return None
    return StaffUser(member)


def _is_fresh() -> bool:
    since = session.get(SINCE)
    if not isinstance(since, int):
        return False
    age = doors().now() - datetime.fromtimestamp(since, UTC)
    return timedelta() - timedelta(minutes=5) <= age < timedelta(hours=SESSION_HOURS)


def _open_session(member: Member) -> None:
    session.clear()
    session[SINCE] = int(doors().now().timestamp())
    renew_csrf_token()
    login_user(StaffUser(member))
    session.permanent = True


def _way_back(asked: str) -> str:
    """Where the person wanted to go, if it is a page of the panel."""
    parts = urlsplit(asked)
    inside = asked.startswith("/panel/") and not parts.scheme and not parts.netloc and "\\" not in asked
    return asked if inside and asked.isprintable() else url_for("admin.index")


def _too_many() -> str:
    return _("Слишком много попыток. Подождите 15 минут и попробуйте снова.")


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
    _open_session(member)
    return redirect(_way_back(asked))


def _check(email: str, password: str) -> tuple[str, int, Member | None]:
    """The same answer, as slow, for an unknown login, a wrong password and somebody who has left."""
    now, database = doors().now(), doors().database
    keys = _throttle_keys(email)
    with database.read() as reading:
        if any(_must_wait(reading, key, now) for key in keys):
            return _too_many(), 429, None
        member = roster.member_by_email(reading, email)
    right = _verify(member, password)
    with database.begin() as writing:
        if member is None or not right or not member.active:
            for key in keys:
                _failed(writing, key, now)
            return _("Почта или пароль не подошли. Проверьте раскладку и попробуйте снова."), 401, None
        invitations.succeeded(writing, keys[0])
        return "", 200, _signed_in(writing, member, password)


def _signed_in(writing: Session, member: Member, password: str = "") -> Member:
    if password and _HASHER.check_needs_rehash(member.password_hash):
        roster.replace_hash(writing, member.staff_id, _HASHER.hash(password))
    if not member.session_key:
        member = roster.renew_session_key(writing, member.staff_id)
    who = StaffUser(member).who
    roster.record_door(writing, Act(who, doors().now()), "signed_in", member.staff_id)
    return member


def _verify(member: Member | None, password: str) -> bool:
    known = member.password_hash if member and member.password_hash else _NOBODYS_HASH
    try:
        _HASHER.verify(known, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
    return known is not _NOBODYS_HASH


def _throttle_keys(email: str) -> tuple[str, str]:
    return f"login:{email.lower()}"[:200], _address_key()


_ADDRESS = "address:"


def _address_key() -> str:
    return f"{_ADDRESS}{request.remote_addr or 'unknown'}"[:200]


def _attempts(key: str) -> int:
    return invitations.ATTEMPTS_BY_ADDRESS if key.startswith(_ADDRESS) else invitations.ATTEMPTS


def _must_wait(session: Session, key: str, now: datetime) -> bool:
    return invitations.attempts_left(session, key, now, attempts=_attempts(key)) == 0


def _failed(session: Session, key: str, now: datetime) -> None:
    invitations.failed(session, key, now, attempts=_attempts(key))


@auth.route("/sign-out", methods=["POST"])
def sign_out() -> Response:
    """End the session here and everywhere: a copied cookie is worth nothing afterwards."""
    with doors().database.begin() as writing:
        roster.renew_session_key(writing, me().member.staff_id)
        roster.record_door(writing, act(), "signed_out", me().member.staff_id)
    logout_user()
    session.clear()
    return redirect(url_for("auth.sign_in"))


# --- By an invitation or a one-time link ---------------------------------------------------------------


@auth.route("/invitation/<code>", methods=["GET", "POST"])
def invitation(code: str) -> Response | str | tuple[str, int]:
    """Set a password with the code of an invitation, and come in."""
    if request.method == "GET":
        return render_template("invitation.html", code=code)
    password = request.form.get("password", "")
    now, database = doors().now(), doors().database
    with database.read() as reading:
        waits = _must_wait(reading, _address_key(), now)
    if waits:
        return render_template("invitation.html", code=code, refusal=_too_many()), 429
    flaw = _flaw(password, request.form.get("again", ""))
    if flaw:
        return render_template("invitation.html", code=code, refusal=flaw), 422
    hashed = _HASHER.hash(password)
    try:
        with database.begin() as writing:
            member = _with_password(writing, code, password, hashed)
    except _TooPersonal:
        refusal = _("В пароле не должно быть вашего имени или почты. Придумайте другой.")
        return render_template("invitation.html", code=code, refusal=refusal), 422
    except InvitationRefused as refused:
        return _refused(refused, now)
    _open_session(member)
    return redirect(url_for("admin.index"))


@auth.route("/enter/<code>")
def enter(code: str) -> Response | str | tuple[str, int]:
    """Sign in once with a code from the command line. HEAD, as previews send it, uses nothing up."""
    if request.method == "HEAD":
        return ""
    now, database = doors().now(), doors().database
    with database.read() as reading:
        waits = _must_wait(reading, _address_key(), now)
    if waits:
        return render_template("refused.html", refusal=_too_many()), 429
    try:
        with database.begin() as writing:
            member = _signed_in(writing, _redeemed(writing, code, Purpose.SIGNIN, now))
    except InvitationRefused as refused:
        return _refused(refused, now)
    _open_session(member)
    return redirect(url_for("admin.index"))


class _TooPersonal(Exception):  # noqa: N818 - the name says what happened
    """The password contains the person's own name; the code is not used up by that."""


def _with_password(writing: Session, code: str, password: str, hashed: str) -> Member:
    now = doors().now()
    member = _redeemed(writing, code, Purpose.PANEL, now)
    if _is_own_name(password, member):
        raise _TooPersonal
    member = roster.set_password(writing, Act(StaffUser(member).who, now), member.staff_id, hashed)
    invitations.succeeded(writing, f"login:{member.email.lower()}"[:200])
    return _signed_in(writing, member)


def _redeemed(writing: Session, code: str, purpose: Purpose, now: datetime) -> Member:
    member = roster.member_by_person(writing, invitations.redeem(writing, code, purpose, now))
    if member is None or not member.active:
        raise InvitationRefused
    return member


def _refused(refused: InvitationRefused, now: datetime) -> tuple[str, int]:
    with doors().database.begin() as writing:
        _failed(writing, _address_key(), now)
    return render_template("refused.html", refusal=doors().house.say(refused.text)), 404


def _flaw(password: str, again: str) -> str:
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
