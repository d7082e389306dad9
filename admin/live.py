"""Parts of a page that keep themselves up to date: sent whole, or not at all when nothing has changed."""

from __future__ import annotations

import hashlib

from flask import Response, request

from admin.doors import doors

AT = "Priem-At"
"""The header with the time of day, in the firm's zone, at which the part was true."""


def tag_of(html: str) -> str:
    """The name of this very state of the part."""
    return hashlib.sha256(html.encode()).hexdigest()[:32]


def fragment(html: str) -> Response:
    """Answer with the part; with 304 when the browser shows it already."""
    answer = Response(html, content_type="text/html; charset=utf-8")
    answer.set_etag(tag_of(html))
    answer.make_conditional(request)
    answer.headers[AT] = clock()
    return answer


def clock() -> str:
    """The time of day in the firm's zone."""
    return doors().now().astimezone(doors().house.calendar.zone).strftime("%H:%M")
