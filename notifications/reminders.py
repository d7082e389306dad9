"""What staff and directors are told of work that cannot wait: a deadline near or past, a client who waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from forms.messages import Reply
from forms.texts import Text, _, lines, listed
from notifications.compose import alarm_rows
from notifications.digest import card_rows
from notifications.outage import moment

SHOWN = 8


class Concern(StrEnum):
    """Why a request cannot wait."""

    LATE = "late"
    WAITS = "waits"
    SOON = "soon"


@dataclass(frozen=True, slots=True)
class Pressing:
    """A request that cannot wait. `at` is its deadline, or since when its client waits for an answer."""

    concern: Concern
    number: int
    version: int
    company: str
    at: datetime
    assignee: str = ""
    away: bool = False
    """Whether the assignee is absent."""


def for_assignee(pressing: Sequence[Pressing], now: datetime, zone: ZoneInfo) -> Reply:
    """To the one who has them."""
    if len(pressing) == 1:
        (one,) = pressing
        return Reply(_sentence(one, now, zone), card_rows([(one.number, one.version)]))
    return _list(pressing, [_line(each, now, zone) for each in pressing[:SHOWN]])


def for_directors(pressing: Sequence[Pressing], now: datetime, zone: ZoneInfo) -> Reply:
    """To those who can give them to somebody else."""
    if len(pressing) == 1:
        (one,) = pressing
        rows = alarm_rows(one.number, one.version, is_given=bool(one.assignee))
        return Reply(lines(_sentence(one, now, zone), _keeper(one)), rows)
    shown = [listed(_line(each, now, zone), _keeper(each)) for each in pressing[:SHOWN]]
    return _list(pressing, shown)


def _list(pressing: Sequence[Pressing], shown: Sequence[Text]) -> Reply:
    more = len(pressing) - len(shown)
    text = lines(
        _("Требуют внимания:"),
        *shown,
        _("И ещё {count}: смотрите в панели.", count=more) if more else None,
    )
    return Reply(text, card_rows([(each.number, each.version) for each in pressing[:SHOWN]]))


def _known(one: Pressing, now: datetime, zone: ZoneInfo) -> Mapping[str, Any]:
    return {"number": one.number, "client": one.company, "time": moment(one.at, now, zone)}


def _sentence(one: Pressing, now: datetime, zone: ZoneInfo) -> Text:
    known = _known(one, now, zone)
    match one.concern:
        case Concern.LATE:
            return _("Заявка № {number}, {client}: срок прошёл ({time}).", **known)
        case Concern.WAITS:
            return _("Заявка № {number}, {client}: клиент ждёт ответа с {time}.", **known)
        case Concern.SOON:
            return _("Заявка № {number}, {client}: скоро срок, {time}.", **known)


def _line(one: Pressing, now: datetime, zone: ZoneInfo) -> Text:
    known = _known(one, now, zone)
    match one.concern:
        case Concern.LATE:
            return _("№ {number} {client} — срок прошёл ({time})", **known)
        case Concern.WAITS:
            return _("№ {number} {client} — ждёт ответа с {time}", **known)
        case Concern.SOON:
            return _("№ {number} {client} — скоро срок, {time}", **known)


def _keeper(one: Pressing) -> Text:
    if not one.assignee:
        return _("Заявка ни у кого.")
    if one.away:
        return _("Ведёт: {name}, сейчас отсутствует.", name=one.assignee)
    return _("Ведёт: {name}", name=one.assignee)
