"""What every answer of the panel forbids browsers to do."""

from __future__ import annotations

import secrets

from flask import Flask, Response, g, request

_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)
_YEAR_SECONDS = 365 * 24 * 60 * 60


def nonce() -> str:
    """The word that marks our own scripts on this one page."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def policy() -> str:
    """The content security policy of this page. Bootstrap draws its arrows as data: pictures."""
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'nonce-{nonce()}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def guard_answers(app: Flask, is_https: bool) -> None:
    """Put the headers on every answer; pages are kept by no cache, our own pictures and styles are."""

    @app.after_request
    def add_headers(response: Response) -> Response:
        # A client's file that is shown in the browser brings a stricter one.
        response.headers.setdefault("Content-Security-Policy", policy())
        for name, value in _HEADERS:
            response.headers.setdefault(name, value)
        if is_https:
            response.headers["Strict-Transport-Security"] = f"max-age={_YEAR_SECONDS}"
        is_asset = (request.endpoint or "").rpartition(".")[2] == "static"
        if not is_asset:
            response.headers["Cache-Control"] = "no-store"
        return response

    app.jinja_env.globals["nonce"] = nonce
