"""The director's panel: a Flask application with Flask-Admin as its frame.

It is mounted at the root, as the last route of the one server; everything it answers lies under
`/panel/`. It changes requests through `storage.casework` alone, and has no SQL of its own.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from flask import Flask, redirect, render_template, request, url_for
from flask_admin import Admin
from flask_admin.theme import Bootstrap4Theme
from flask_babel import Babel, gettext
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from admin import auth, csrf, looks, menu, own_words, security, sessions, shown
from admin.doors import EXTENSION, PanelDoors
from admin.views import VIEWS, StartView
from notifications.texts import DOMAIN, LOCALE_FOLDER


def _(sentence: str) -> str:
    return str(gettext(sentence))


_FORM_BYTES = 1024 * 1024
_FORM_PARTS = 400


def create_panel(doors: PanelDoors) -> Flask:
    """Build the application. It opens nothing by itself: the doors are open when it is asked."""
    app = Flask(__name__, static_url_path="/panel/assets")
    app.config.update(
        SECRET_KEY=doors.secret_key,
        SESSION_COOKIE_NAME="priem_panel",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=doors.is_https,
        SESSION_COOKIE_PATH="/panel",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=sessions.LONGEST,
        MAX_CONTENT_LENGTH=doors.max_upload_bytes + _FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=_FORM_BYTES,
        MAX_FORM_PARTS=_FORM_PARTS,
        BABEL_DEFAULT_LOCALE=doors.language,
        BABEL_TRANSLATION_DIRECTORIES=str(LOCALE_FOLDER),
        BABEL_DOMAIN=DOMAIN,
    )
    app.extensions[EXTENSION] = doors
    Babel(app)
    security.guard_answers(app, doors.is_https)
    # First who it is, then whether the form is ours: a forged form learns nothing of either.
    auth.install(app)
    csrf.guard_forms(app)
    own_words.install(app, DOMAIN)
    shown.install(app)
    menu.install(app)
    looks.install(app)
    _add_views(app, doors)
    _add_errors(app)

    @app.get("/", endpoint="front")
    def front() -> Response:
        return redirect(url_for("admin.index"))

    return app


def _add_views(app: Flask, doors: PanelDoors) -> None:
    admin = Admin(
        app,
        name=doors.house.firm_name,
        index_view=StartView(),
        theme=Bootstrap4Theme(base_template="frame.html", fluid=True),
        csp_nonce_generator=security.nonce,
    )
    for view in VIEWS:
        admin.add_view(view())


def _add_errors(app: Flask) -> None:
    words = {
        400: lambda: _("Страница устарела, и форма не отправлена. Вернитесь назад, обновите её и повторите."),
        403: lambda: _("Этот раздел вам не открыт. Если он нужен, попросите директора."),
        404: lambda: _("Такой страницы нет, или она не ваша."),
        405: lambda: _("Так эту страницу открыть нельзя."),
        413: lambda: _("Файлы слишком большие. Уменьшите их или отправьте по одному."),
    }

    @app.errorhandler(HTTPException)
    def told(error: HTTPException) -> tuple[str, int] | HTTPException | Response:
        status = error.code or 500
        if status < 400:  # noqa: PLR2004 - a redirect is no error
            return error
        text = words.get(status, lambda: _("Не получилось открыть страницу. Попробуйте ещё раз."))()
        return render_template("refused.html", refusal=text), status

    @app.errorhandler(Exception)
    def broken(error: Exception) -> tuple[str, int]:
        # Only the kind of error: its words may hold what a client wrote.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        logging.getLogger(__name__).error(
            "panel page failed",
            extra={"error": type(error).__name__, "where": where, "page": request.endpoint},
        )
        text = _(
            "Что-то сломалось у нас. Ничего не сохранено; попробуйте ещё раз или скажите администратору."
        )
        return render_template("refused.html", refusal=text), 500


__all__ = ["PanelDoors", "create_panel"]
