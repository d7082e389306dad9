"""What a browser asked for, taken with suspicion: anything that makes no sense counts as not asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import request

from storage.paging import LAST, Place

MAX_NUMBER = 2**31 - 1
_MAX_TEXT = 200
_MAX_KEY = 300
"""The key of a page may hold a name and a number."""


def number(name: str) -> int | None:
    """A whole number from 0."""
    return as_number(request.args.get(name, ""))


def as_number(text: str) -> int | None:
    """Read a whole number from 0 that the database can hold."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER))):
        return None
    return min(int(text), MAX_NUMBER)


def page() -> int:
    """The page of a list, from 1."""
    return max(number("page") or 1, 1)


def place() -> Place:
    """The page of a long list: after a row, before a row, the last one, or the first."""
    if flag("last"):
        return LAST
    before, after = (clean(request.args.get(name, ""), _MAX_KEY) for name in ("before", "after"))
    return Place(before, backwards=True) if before else Place(after)


def text(name: str) -> str:
    """A short line."""
    return clean(request.args.get(name, ""))


def clean(value: str, limit: int = _MAX_TEXT) -> str:
    """Words without what no database or terminal should get."""
    kept = "".join(letter for letter in value if letter.isprintable() or letter in "\n\t")
    return kept.strip()[:limit]


def one_of(name: str, allowed: Iterable[str]) -> str:
    """One of the known values, or empty."""
    value = request.args.get(name, "")
    return value if value in set(allowed) else ""


def flag(name: str) -> bool:
    """Whether a box is ticked."""
    return request.args.get(name) == "1"


def day(name: str) -> date | None:
    """A day as a date field sends it."""
    return as_day(request.args.get(name, ""))


def as_day(value: str) -> date | None:
    """Read ГГГГ-ММ-ДД; a year that nobody means is no day."""
    try:
        found = date.fromisoformat(value.strip())
    except ValueError:
        return None
    return found if 2000 <= found.year <= 2100 else None  # noqa: PLR2004 - years of this firm


def start_of(found: date | None, zone: ZoneInfo) -> datetime | None:
    """When this day begins in the firm's zone, in UTC."""
    return None if found is None else datetime.combine(found, time(), zone).astimezone(UTC)


def end_of(found: date | None, zone: ZoneInfo) -> datetime | None:
    """When the day after this one begins in the firm's zone, in UTC."""
    return None if found is None else start_of(found + timedelta(days=1), zone)


def link(**changes: object) -> str:
    """The address of this page with some questions changed; an empty one is left out.

    Built by hand: `url_for` gives a meaning of its own to names like `_scheme`.
    """
    asked: Mapping[str, object] = {**request.args.to_dict(flat=True), **changes}
    kept = {name: str(value)[:_MAX_KEY] for name, value in asked.items() if value not in ("", None)}
    return f"{request.path}?{urlencode(kept)}" if kept else request.path
