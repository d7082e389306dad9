"""Forms that only our own pages can send.

The token belongs to the session and lives as long: a tab left open over lunch still saves.
"""

from __future__ import annotations

import secrets

from flask import Flask, abort, request, session
from markupsafe import Markup

FIELD = "csrf_token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_BYTES = 32


def csrf_token() -> str:
    """The token of this session; made at the first form."""
    if FIELD not in session:
        renew_csrf_token()
    return str(session[FIELD])


def renew_csrf_token() -> None:
    """Forget the old token: somebody has just signed in or out."""
    session[FIELD] = secrets.token_urlsafe(_TOKEN_BYTES)


def csrf_field() -> Markup:
    """The hidden field that every form carries."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token())


def guard_forms(app: Flask) -> None:
    """Refuse every writing request of this application that does not carry its session's token."""

    @app.before_request
    def refuse_foreign_forms() -> None:
        if request.method in _SAFE:
            return
        sent = request.form.get(FIELD, "")
        known = str(session.get(FIELD, ""))
        if not known or not secrets.compare_digest(sent.encode(), known.encode()):
            abort(400, "csrf")

    app.jinja_env.globals["csrf_field"] = csrf_field
