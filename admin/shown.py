"""How values look on a page: times in the firm's zone, working minutes, sizes, answers of the form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from flask import Flask, g
from markupsafe import Markup

from admin.asked import link
from admin.doors import doors
from admin.words import CLIENT_KINDS, MEASURES_EXPLAINED, word
from forms.fields import FormContext
from forms.request_form import BY_NAME
from forms.texts import Size, Text, _
from notifications.outage import announced_to_staff, moment
from router.assign import decision_from_json
from router.model import Decision
from storage import clients, scanning

_MINUTE = 60
_HOUR = 60 * _MINUTE
_TEN = 10


def say(text: Text) -> str:
    """A sentence in the language of the firm."""
    return doors().house.say(text)


def label(code: str | None, table: str) -> str:
    """The word for a code."""
    if table == "channel" and (title := doors().house.channel_titles.get(code or "")):
        return title
    if table == "kind":
        return say(doors().house.kinds.label(code or ""))
    return say(word(code, table))


def when(at: datetime | None) -> Markup | str:
    """A moment in the firm's zone; the year only when it is not this one."""
    if at is None:
        return "—"
    zone = doors().house.calendar.zone
    local, today = at.astimezone(zone), doors().now().astimezone(zone)
    pattern = "%d.%m %H:%M" if local.year == today.year else "%d.%m.%Y %H:%M"
    return Markup('<time datetime="{}">{}</time>').format(local.isoformat(), local.strftime(pattern))


def lately(at: datetime) -> Markup | str:
    """The time of a moment of today; of another day, the day too."""
    zone = doors().house.calendar.zone
    local = at.astimezone(zone)
    if local.date() != doors().now().astimezone(zone).date():
        return when(at)
    return Markup('<time datetime="{}">{}</time>').format(local.isoformat(), local.strftime("%H:%M"))


def on_day(at: datetime | None) -> str:
    """A day in the firm's zone."""
    return "—" if at is None else at.astimezone(doors().house.calendar.zone).strftime("%d.%m.%Y")


def iso_day(at: datetime) -> str:
    """A day in the firm's zone as a date field wants it."""
    return at.astimezone(doors().house.calendar.zone).date().isoformat()


def day_before(at: datetime) -> str:
    """The last day of a stretch that ends at this midnight."""
    return on_day(at - timedelta(seconds=1))


def maintenance() -> Text | None:
    """What is said on every page while the program is being worked on."""
    announced, now = doors().house.maintenance, doors().now()
    if announced is None or not announced.lasts(now):
        return None
    return announced_to_staff(moment(announced.until, now, doors().house.calendar.zone), announced.reason)


def explained(measure: str) -> str:
    """What a measure is, in a line; empty when its name says it all."""
    text = MEASURES_EXPLAINED.get(measure)
    return say(text) if text else ""


def spent(seconds: float) -> str:
    """A stretch of working time: «40 с», «12 мин», «3 ч 05 мин»."""
    if seconds < _MINUTE:
        return say(_("{count} с", count=int(seconds)))
    if seconds < _HOUR:
        return say(_("{count} мин", count=int(seconds // _MINUTE)))
    hours, rest = divmod(int(seconds), _HOUR)
    return say(_("{hours} ч {minutes} мин", hours=hours, minutes=f"{rest // _MINUTE:02d}"))


def minutes(value: float) -> str:
    """Working minutes of a figure: one decimal below ten."""
    shown = f"{value:.1f}" if value < _TEN else f"{value:.0f}"
    return shown.replace(".", ",") if doors().language == "ru" else shown


def time_left(deadline: datetime) -> Text:
    """How much working time there is until the deadline, or how long it has passed."""
    now, calendar = doors().now(), doors().house.calendar
    if deadline < now:
        return _("просрочена на {time}", time=spent(calendar.working_seconds(deadline, now)))
    return _("осталось {time} рабочего времени", time=spent(calendar.working_seconds(now, deadline)))


def size(size_bytes: int) -> str:
    """A size of a file."""
    return say(Text("{value}", {"value": Size(size_bytes)}))


def answer(value: str, field: str) -> str:
    """An answer of the form as a person reads it; one of an older form is shown as it was kept."""
    if field not in BY_NAME:
        return value
    house = doors().house
    context = FormContext(doors().now(), house.calendar, house.firm_name, kinds=house.kinds)
    try:
        return say(BY_NAME[field].show(value, context))
    except (ValueError, KeyError, TypeError):
        return value


def facts(kept: str) -> Iterator[tuple[str, str]]:
    """The values of a history line, each with its label."""
    try:
        values = json.loads(kept) if kept else {}
    except ValueError:
        values = {"value": kept}
    if not isinstance(values, dict):
        values = {"value": kept}
    # They are kept in the order of the alphabet: an end must not stand before its beginning.
    for name in sorted(values, key=lambda name: name == "ends_at" and "starts_at" in values):
        yield label(name, "field"), _fact(name, values[name])


def about(subject: str) -> str:
    """What a history line is about: «настройки: сроки», «сотрудники № 3»."""
    kind, _colon, which = subject.partition(":")
    if kind in _NAMED_SUBJECTS:
        return f"{label(kind, 'subject')}: {label(which, _NAMED_SUBJECTS[kind])}"
    shown = label(kind, "subject")
    return f"{shown} № {which}" if which else shown


_NAMED_SUBJECTS = {"setting": "setting_part", "list": "list"}
"""Subjects that have a name instead of a number, and the tables of the names."""


def _fact(name: str, value: object) -> str:  # noqa: PLR0911 - a table of answers
    if isinstance(value, bool):
        return say(_("да") if value else _("нет"))
    if value is None:
        return "—"
    if isinstance(value, list):
        return ", ".join(_item(name, item) for item in value) or "—"
    if name in _STAFF and isinstance(value, int):
        return _names().get(value, f"№ {value}")
    if table := _LABELLED.get(name) or ("client_kind" if name == "kind" and value in CLIENT_KINDS else ""):
        return label(str(value), table)
    if name in BY_NAME:
        return answer(str(value), name)
    return _moment(str(value), is_end=name == "ends_at")


def _item(name: str, item: object) -> str:
    return label(str(item), _ITEMS[name]) if name in _ITEMS else _moment(str(item), is_end=False)


_ITEMS = {"personal": "field", "skills": "skill"}
"""Lists of codes, and the tables of their words."""


def _moment(kept: str, *, is_end: bool) -> str:
    """A day or a moment as people write it, in the firm's zone; anything else as it is.

    A stretch that ends at midnight ends with the day before, and whole days need no hours.
    """
    if not _ISO.fullmatch(kept):
        return kept
    try:
        at = datetime.fromisoformat(kept)
    except ValueError:
        return kept
    if at.tzinfo is None:
        return f"{at:%d.%m.%Y}" if len(kept) == len("2026-12-01") else f"{at:%d.%m.%Y %H:%M}"
    local = at.astimezone(doors().house.calendar.zone)
    if (local.hour, local.minute) != (0, 0):
        return f"{local:%d.%m.%Y %H:%M}"
    return f"{local - timedelta(days=int(is_end)):%d.%m.%Y}"


_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d)?)?")


_STAFF = frozenset({"assignee_id", "responsible_id", "controller_id", "substitute_id"})
"""Values that are members of staff."""

_LABELLED = {
    "status": "status", "role": "role", "department": "department", "channel": "channel", "how": "channel",
}  # fmt: skip
"""Values that are codes, and the tables of their words."""


def _names() -> dict[int, str]:
    if "staff_names" not in g:
        with doors().database.read() as session:
            g.staff_names = {person.staff_id: person.name for person in clients.everybody(session)}
    names: dict[int, str] = g.staff_names
    return names


def firm_name() -> str:
    """What the firm is called."""
    return doors().house.firm_name


def decision(trace: str) -> Decision | None:
    """The routing trace as it was kept; one that cannot be read is not shown."""
    try:
        return decision_from_json(trace) if trace else None
    except (ValueError, KeyError, TypeError):
        return None


SCAN_MARKS = {
    "held": _("ещё не проверен на вирусы, откроется после проверки"),
    "passed": _("не проверен на вирусы"),
    "infected": _("вирус: файл не открывается"),
}


def scan_mark(sha256: str) -> str:
    """What the virus scanner has against a file; empty for one it has cleared."""
    if "scans" not in g:
        with doors().database.read() as session:
            g.scans = scanning.states(session)
    scans: dict[str, str] = g.scans
    return say(SCAN_MARKS[scans[sha256]]) if sha256 in scans else ""


def install(app: Flask) -> None:
    """Make these known to the templates."""
    filters = (
        say, label, when, lately, on_day, iso_day, day_before, explained, spent, minutes, time_left, size,
        answer, facts, about, decision,
    )  # fmt: skip
    app.jinja_env.filters.update({shown.__name__: shown for shown in filters})
    app.jinja_env.globals.update(link=link, firm_name=firm_name, scan_mark=scan_mark, maintenance=maintenance)
