"""Sentences for people, before anyone knows in which language they will be read.

A sentence is written in Russian where the question or the decision is declared, and stays a value
until `notifications.texts` renders it: the Russian sentence is its own catalogue key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day, shown as "пятница, 27 ноября"; with the year when it is not obvious."""

    date: date
    with_year: bool = False
    capital: bool = False
    """Whether the sentence begins with this day."""
    when: bool = False
    """Whether it answers "when": "в пятницу, 27 ноября"."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day, shown as "15:40"; `at` is already in the zone of the reader."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Money:
    """A sum in roubles with kopecks, shown as "12 345,00 ₽"."""

    roubles: Decimal


@dataclass(frozen=True, slots=True)
class Size:
    """A size of a file, shown as "348 КБ"."""

    size_bytes: int


Param = "str | int | Decimal | Text | Day | Clock | Money | Size"


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence or several: a Russian pattern with named values.

    `plural` holds the Russian pattern for many; then `count` chooses the form, and is itself
    available to the pattern as `{count}`.
    """

    msgid: str
    params: Mapping[str, object] = field(default_factory=dict)
    plural: str | None = None
    count: int = 0


def _(msgid: str, /, **params: object) -> Text:
    """Mark a sentence for translation; `params` fill its `{names}`."""
    return Text(msgid, params)


def n_(one: str, many: str, count: int, /, **params: object) -> Text:
    """Mark a sentence that depends on a number; the Russian forms stand in the `ru` catalogue."""
    return Text(one, {"count": count, **params}, plural=many, count=count)


def plain(value: str) -> Text:
    """Take somebody's own words as they are: never translated, never formatted."""
    return Text("{value}", {"value": value})


def lines(*items: Text | str | None) -> Text:
    """Put sentences under one another; `None` leaves its line out."""
    return _joined("\n", items)


def sentence(*items: Text | str | None) -> Text:
    """Put short sentences into one line; `None` is left out."""
    return _joined(" ", items)


def listed(*items: Text | str | None) -> Text:
    """Enumerate with commas; `None` is left out."""
    return _joined(", ", items)


def _joined(separator: str, items: tuple[Text | str | None, ...]) -> Text:
    params = {f"p{number}": item for number, item in enumerate(items) if item is not None}
    return Text(separator.join(f"{{{name}}}" for name in params), params)
