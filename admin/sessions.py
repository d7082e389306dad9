"""A browser's session: a random token in its signed cookie, a row with the token's hash in the database.

A session ends when it is ended, when nobody has used it for the agreed hours, and in any case with its
cookie. Pages that keep themselves up to date do not count as use.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta

from flask import request

from admin.doors import doors
from storage import access
from storage.access import Present
from storage.roster import Member

LONGEST = timedelta(days=14)
"""However busy a session is, after so long the password is asked for again."""
LIVE = "Priem-Live"
"""The header of a page that asks for news by itself."""
_TOKEN_BYTES = 32

# The first that fits: browsers name those that they descend from, too.
_BROWSERS = (
    ("YaBrowser/", "Яндекс Браузер"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def idle() -> timedelta:
    """After how long without use a session ends."""
    return timedelta(hours=doors().session_idle_hours)


def opened(member: Member) -> tuple[str, int]:
    """Open a session for the browser that asks now; returns its token and its number."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with doors().database.begin() as writing:
        session_id = access.open_session(
            writing, member.staff_id, token, doors().now(),
            address=request.remote_addr or "", browser=browser_of(request.headers.get("User-Agent", "")),
        )  # fmt: skip
    return token, session_id


def read(token: str) -> Present | None:
    """Whose session this token is, if it is still good; writes down that it is used."""
    now, database = doors().now(), doors().database
    with database.read() as reading:
        found = access.present(reading, token, now, idle())
    if found is None or now - found.created_at >= LONGEST:
        return None
    if now - found.seen_at >= access.LOOK_EVERY and LIVE not in request.headers:
        with database.begin() as writing:
            access.look(writing, found.session_id, now)
    return found


def browser_of(user_agent: str) -> str:
    """A browser in words: «Chrome, Windows»; empty when it says nothing we know."""
    return ", ".join(filter(None, (_first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent))))


def _first(names: Sequence[tuple[str, str]], user_agent: str) -> str:
    return next((name for mark, name in names if mark in user_agent), "")
