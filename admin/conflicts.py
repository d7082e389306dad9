"""Two people changed one card: what was there, what the other saved, what was typed here, field by field.

The form of a conflict carries only what was typed and the version of the other's card. What is not
picked stays as the other left it, so a form that lost its picks overwrites nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict

from admin.shown import facts, label, say
from forms.texts import Text
from storage.reading import HistoryLine

_PICK, _MINE = "pick:", "mine:"

Values = Mapping[str, tuple[str, ...]]
"""A card as its form sends it: nothing, one value or several under each name."""


@dataclass(frozen=True, slots=True)
class Disputed:
    """A field that both versions hold differently; `picked` is theirs, mine, or empty: a person must say."""

    name: str
    title: str
    was: str
    theirs: str
    mine: str
    typed: tuple[str, ...]
    picked: str


def as_sent(card: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """A card, or the `before` of a history line, as its form would send it."""
    return {name: _values(value) for name, value in card.items()}


def _values(value: object) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("1",) if value else ()
    if isinstance(value, list | tuple):
        return tuple(str(each) for each in value)
    return () if value in (None, "") else (str(value),)


def picked(theirs: Values) -> MultiDict[str, str]:
    """The form that was sent; of a conflict, the other's card with what was picked from one's own."""
    if "picking" not in request.form:
        return request.form
    card = {name: list(values) for name, values in theirs.items()}
    for name in theirs:
        if request.form.get(_PICK + name) == "mine":
            card[name] = request.form.getlist(_MINE + name)
    return MultiDict(card)


def before(theirs: Values, news: Iterable[HistoryLine]) -> dict[str, tuple[str, ...]]:
    """The card as it was before these lines of its history (newest first) were written."""
    was = dict(theirs)
    for line in news:
        kept = json.loads(line.before) if line.before else {}
        was |= {name: values for name, values in as_sent(kept).items() if name in was}
    return was


def disputed(
    was: Values,
    theirs: Values,
    mine: Values,
    titles: Mapping[str, Text],
    worded: Callable[[str, tuple[str, ...]], str] | None = None,
) -> tuple[Disputed, ...]:
    """The fields in which the two versions differ: those of `titles` first, then whatever else there is.

    `worded` says how a value is shown where that is not as on a card.
    """
    words = worded or shown
    found = []
    for name in (*titles, *(name for name in theirs if name not in titles)):
        old, new, own = (card.get(name, ()) for card in (was, theirs, mine))
        if _same(own, new):
            continue
        title = say(titles[name]) if name in titles else label(name, "field")
        pick = "theirs" if _same(own, old) else "mine" if _same(new, old) else ""
        found.append(Disputed(name, title, words(name, old), words(name, new), words(name, own), own, pick))
    return tuple(found)


def _same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return sorted(one) == sorted(other)


_CODES = {"kind": "client_kind", "role": "role", "department": "department", "skills": "skill"}


def shown(name: str, values: tuple[str, ...]) -> str:
    """A value as a card shows it."""
    if name in _CODES:
        return ", ".join(label(value, _CODES[name]) for value in values) or "—"
    if name == "active":
        return _fact(name, bool(values))
    if name.endswith("_id") and values and values[0].isdecimal():
        return _fact(name, int(values[0]))
    return ", ".join(values) or "—"


def _fact(name: str, value: object) -> str:
    return next(facts(json.dumps({name: value})))[1]
