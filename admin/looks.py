"""Light or dark: as the browser says, until whoever uses it chooses here. Kept in a cookie of the browser.

The page is made with the chosen style sheet, so that nothing flashes and no script is needed.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Flask, abort, current_app, redirect, request
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from admin.auth import way_back

COOKIE = "priem_look"
_KEPT = timedelta(days=365)
AUTO, LIGHT, DARK = "auto", "light", "dark"
LOOKS = {AUTO: _l("как в системе"), LIGHT: _l("светлое"), DARK: _l("тёмное")}
# Paper is always light.
_DARK_FOR = {AUTO: "screen and (prefers-color-scheme: dark)", LIGHT: "", DARK: "screen"}

looks = Blueprint("looks", __name__, url_prefix="/panel")


def look() -> str:
    """What this browser has chosen."""
    chosen = request.cookies.get(COOKIE, AUTO)
    return chosen if chosen in LOOKS else AUTO


def dark_for() -> str:
    """The media that the dark colours are for; empty when for none."""
    return _DARK_FOR[look()]


@looks.post("/look")
def choose() -> Response:
    """Keep the choice, and show the same page again."""
    chosen = request.form.get("look", "")
    if chosen not in LOOKS:
        abort(404)
    answer = redirect(way_back(request.form.get("back", "")))
    is_secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
    answer.set_cookie(
        COOKIE, chosen, max_age=_KEPT, path="/panel", httponly=True, samesite="Lax", secure=is_secure
    )
    return answer


def install(app: Flask) -> None:
    """Add the form's address, and make the choice known to the templates."""
    app.register_blueprint(looks)
    app.jinja_env.globals.update(look=look, look_words=LOOKS, dark_for=dark_for)
