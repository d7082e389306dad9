"""The words of a deadline: what in a Russian phrase names a day, an hour, a hurry.

`pieces_of` reads a phrase from left to right and returns what it recognised, in order. Nothing is
decided here: which day is meant when two are named, whether it has passed, and what to say about
it is the business of `forms.deadline`.

The rules are a table of patterns tried in order at the beginning of every word; the first that fits
takes its words away. No pattern repeats a group that can match nothing, so the time is linear.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Protocol

YEARS_AHEAD = 3
MAX_WORKING_DAYS_AHEAD = 800
"""More working days than `YEARS_AHEAD` can hold."""
WEEK_DAYS = 7
MONTHS_IN_YEAR = 12
MONTHS_IN_QUARTER = 3
NOON = 12
LAST_HOUR = 23
LAST_MINUTE = 59
LAST_DAY_OF_MONTH = 31
INN_DIGITS = 10
JUST_PASSED_DAYS = 31
"""A date without a year that passed at most this long ago is a slip rather than the next year."""


class WorkCalendar(Protocol):
    """The working time of the firm; hours are asked only for working days."""

    @property
    def zone(self) -> tzinfo:
        """The zone in which the firm works and in which deadlines are meant."""

    def is_working_day(self, day: date) -> bool:
        """Whether the firm works on this day, with holidays and moved days."""

    def opens_at(self, day: date) -> time:
        """When this working day begins."""

    def closes_at(self, day: date) -> time:
        """When this working day ends."""


class Part(StrEnum):
    """A part of the day; `forms.deadline` says at what hour each one ends."""

    OPENING = "opening"
    MORNING = "morning"
    NOON = "noon"
    LUNCH = "lunch"
    DAY = "day"
    AFTER_LUNCH = "after lunch"
    EVENING = "evening"
    CLOSING = "closing"
    MIDNIGHT = "midnight"


class Mark(StrEnum):
    """A word that says something about a deadline without naming one."""

    URGENT = "urgent"
    NO_HURRY = "no hurry"
    VAGUE = "vague"
    """A stretch of time in which no day is named: «в декабре», «на днях»."""
    NIGHT = "night"
    REPEATED = "repeated"
    IMPOSSIBLE = "impossible"
    """A day or an hour that does not exist; `words` show it."""
    TOO_FAR = "too far"
    PAST = "past"
    """«вчера», «в прошлую пятницу»: gone without any arithmetic."""
    LONG_NUMBER = "long number"


class Role(StrEnum):
    """What stands before a day or an hour and turns its meaning."""

    END = "end"
    START = "start"
    """«с понедельника», «после пятницы», «от 20 ноября»."""
    NEGATED = "negated"


@dataclass(frozen=True, slots=True)
class NamedDay:
    """A day; `options` are the days it may be, the earliest first: «в пятницу» is this one or the next."""

    options: tuple[date, ...]
    role: Role = Role.END


@dataclass(frozen=True, slots=True)
class NamedHour:
    """An hour; `bare` when nothing says whether it is before or after noon."""

    hour: int
    minute: int
    bare: bool = False
    lonely: bool = False
    """Whether it could as well be a day of the month: «до 18»."""
    counted: bool = False
    """Whether it could as well be a stretch of time: «3 часа»."""
    role: Role = Role.END


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part of a day."""

    part: Part
    role: Role = Role.END


@dataclass(frozen=True, slots=True)
class Moment:
    """An exact moment: «через час», or ISO 8601 with an offset."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """One expression with two readings: «5/10», «через день»."""

    days: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """A mark and the words that gave it."""

    mark: Mark
    words: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number that nothing explains."""

    digits: str


@dataclass(frozen=True, slots=True)
class _Turn:
    """A word that gives its role to the day or hour right behind it."""

    role: Role


Piece = NamedDay | NamedHour | NamedPart | Moment | Choice | Remark | Number


@dataclass(frozen=True, slots=True)
class Base:
    """From where «завтра» is counted: `now` is in the zone of the calendar."""

    now: datetime
    calendar: WorkCalendar

    @property
    def today(self) -> date:
        """The day of the firm."""
        return self.now.date()


def normalized(text: str) -> str:
    """Reduce a phrase to what the patterns expect: small letters, е for ё, plain dashes, one space."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")
    text = re.sub("[\u2010-\u2015\u2212]", "-", text)
    return re.sub(r"[\s\x00-\x1f]+", " ", text).strip()


def pieces_of(text: str, base: Base) -> list[Piece]:
    """Everything in a normalized phrase that speaks about time."""
    pieces: list[Piece] = []
    role = Role.END
    for found in _scan(text, base):
        match found:
            case _Turn():
                role = found.role
            case NamedDay():
                pieces.append(NamedDay(found.options, role))
                role = Role.END
            case NamedHour():
                pieces.append(replace(found, role=role))
                role = Role.END
            case NamedPart():
                pieces.append(NamedPart(found.part, role))
                role = Role.END
            case None:
                role = Role.END
            case _:
                pieces.append(found)
                role = Role.END
    return pieces


def words_beside(text: str, base: Base) -> Iterator[str]:
    """The words of a normalized phrase that do not speak about time."""
    position = 0
    while position < len(text):
        begin = position
        found, position = _next(text, position, base)
        if found == _ANOTHER_WORD:
            yield text[begin:position]


def last_working_day(first: date, last: date, calendar: WorkCalendar) -> date:
    """The last day between two on which the firm works; the last weekday when it works on none."""
    days = [last - timedelta(days=back) for back in range((last - first).days + 1)]
    working = next((day for day in days if calendar.is_working_day(day)), None)
    return working or next((day for day in days if day.weekday() < 5), last)  # noqa: PLR2004


def months_later(day: date, months: int) -> date:
    """The same day of a later month, or its last day when it is shorter."""
    index = day.year * MONTHS_IN_YEAR + day.month - 1 + months
    year, month = divmod(index, MONTHS_IN_YEAR)
    return date(year, month + 1, min(day.day, _days_in(year, month + 1)))


# --- Reading ---------------------------------------------------------------------------------------


def _scan(text: str, base: Base) -> Iterator[Piece | _Turn | None]:
    position = 0
    while position < len(text):
        found, position = _next(text, position, base)
        if found == _SILENT:
            continue
        if isinstance(found, tuple):
            yield from found
        else:
            yield found


def _next(text: str, position: int, base: Base) -> tuple[Found, int]:
    """What begins at this position, and where it ends."""
    ruled = _by_rule(text, position, base)
    if ruled is not None:
        return ruled
    match = _NUMBER.match(text, position)
    if match is not None:
        return _unexplained(text, match, base), match.end()
    match = _WORD.match(text, position)
    if match is not None:
        return _ANOTHER_WORD, match.end()
    return _SILENT, position + 1


def _by_rule(text: str, position: int, base: Base) -> tuple[Found, int] | None:
    for pattern, read in _RULES:
        match = pattern.match(text, position)
        if match is not None:
            found = read(match, base)
            if found is not None:
                return found, match.end()
    return None


def _unexplained(text: str, match: re.Match[str], base: Base) -> Found:
    digits = re.sub("[^0-9]", "", match["number"])
    if len(digits) >= INN_DIGITS:
        return Remark(Mark.LONG_NUMBER, digits)
    thing = _COUNTED.match(text, match.end())
    word = match.end() + text.startswith(" ", match.end())
    if thing is not None and _by_rule(text, word, base) is None:
        return _SILENT  # it counts something, and is no part of the deadline
    return Number(match["number"])


_SILENT: tuple[()] = ()
_ANOTHER_WORD = (None,)
Found = Piece | _Turn | tuple[Piece | _Turn | None, ...]
_Read = Callable[[re.Match[str], Base], "Found | None"]

_NUMBER = re.compile(r"\+?(?P<number>[0-9]+(?:[.,/: -][0-9]+)*)")
_COUNTED = re.compile(
    r" ?(?!или |пожалуйста|если )(?:[а-я]+(?:[аяиы]|[оеё]в|[еи]й|[ыи]х)|руб|р|шт|тыс|коп|экз)(?![0-9а-я])"
)
"""A thing in the case that follows a number: «2 копии», «350 руб»."""
_WORD = re.compile(r"[^\W\d_]+")


# --- Words -----------------------------------------------------------------------------------------

_MONTH_NAMES = (
    "январ[ьяюе]|янв", "феврал[ьяюе]|февр?", "март[аеу]?|мар", "апрел[ьяюе]|апр", "ма[йяюе]", "июн[ьяюе]",
    "июл[ьяюе]", "август[аеу]?|авг", "сентябр[ьяюе]|сент?", "октябр[ьяюе]|окт", "ноябр[ьяюе]|нояб?",
    "декабр[ьяюе]|дек",
)  # fmt: skip
_WEEKDAY_NAMES = (
    "понедельник(?:а|у|ом|е)?|понед|пн", "вторник(?:а|у|ом|е)?|вт", "сред(?:а|у|ы|е|ой)|ср",
    "четверг(?:а|у|ом|е)?|четв|чт", "пятниц(?:а|у|ы|е|ей)|пятн|пт", "суббот(?:а|у|ы|е|ой)|суб|сб",
    "воскресень(?:е|я|ю|ем)|воскр|вс",
)  # fmt: skip
_ORDINAL_STEMS = (
    "перв", "втор", "трет", "четверт", "пят", "шест", "седьм", "восьм", "девят", "десят", "одиннадцат",
    "двенадцат", "тринадцат", "четырнадцат", "пятнадцат", "шестнадцат", "семнадцат", "восемнадцат",
    "девятнадцат", "двадцат",
)  # fmt: skip
_CARDINALS = (
    "один|одна|одну|одного|одной|одному", "два|две|двух|двум|пару|пары|пара", "три|трех|трем",
    "четыре|четырех|четырем", "пять|пяти", "шесть|шести", "семь|семи", "восемь|восьми", "девять|девяти",
    "десять|десяти", "одиннадцать|одиннадцати", "двенадцать|двенадцати",
)  # fmt: skip

_MONTH = f"(?P<month>{'|'.join(_MONTH_NAMES)})\\.?"
_WEEKDAY = f"(?P<weekday>{'|'.join(_WEEKDAY_NAMES)})"
_ENDING = "(?:ого|его|ому|ему|ое|ее|ым|им|ым|ьего|ьему|ье|ьим|ье)"
_ORDINAL = (
    f"(?:(?:(?P<tens>двадцать|тридцать) )?(?P<ones>{'|'.join(_ORDINAL_STEMS)})|(?P<thirty>тридцат)){_ENDING}"
)
_CARDINAL = f"(?P<word>{'|'.join(_CARDINALS)})"
_THIS = "эт(?:ой|от|ого|ом|ому|у|о|а)|текущ[а-я]+"
_NEXT = "следующ[а-я]+|след\\.?|будущ[а-я]+"
_LAST = "прошл[а-я]+|минувш[а-я]+|предыдущ[а-я]+"
_OF_WEEK = f"(?:(?P<this>{_THIS})|(?P<next>{_NEXT}|той|ту)|(?P<last>{_LAST})|(?P<near>ближайш[а-я]+)) ?"
"""«Та неделя» is the next one: a deadline cannot be in the last."""
_ADJECTIVE = f"(?:(?P<this>{_THIS})|(?P<next>{_NEXT})|(?P<last>{_LAST})|(?P<near>ближайш[а-я]+)) ?"
_YEAR = (
    "(?: (?:(?P<year>[0-9]{4})(?: ?г(?:ода?|\\.)?)?|(?P<short>[0-9]{2}) ?г(?:ода?|\\.)?|"
    f"(?:(?P<ythis>{_THIS})|(?P<ynext>{_NEXT})) года?))?"
)
_TO = "(?:(?:до|ко?|во?|на|по|не позднее|не позже|максимум) )"
_DAY_PART = "(?: (?P<of>утра|дня|вечера|ночи))?"
_UNIT = (
    "(?P<unit>минут[ауы]?|мин|час(?:а|ов|ик)?|ч|день|дня|дней|дн|денек|сутки|суток|недел[яюиье]|недельку|"
    "месяц(?:а|ев)?|мес|квартал(?:а|ов)?|год(?:а|ик)?|лет)\\.?"
)
_QUANTITY = f"(?:(?P<count>[0-9]{{1,4}})(?:-?(?:х|ти|и|ми))?|{_CARDINAL})"
_WITHIN = "(?:через|спустя|за|в течени[еи]|в пределах)"
_FULL_DAYS = "(?=[0-9а-я]+ (?:рабоч[а-я]+ |календарн[а-я]+ )?(?:дней|недель|месяцев))"
"""«До 3 дней» is a stretch of time, «до 3 дня» is an hour."""
_ABOUT = "(?:примерно |где-то )?"
_WORKING = "(?P<working>раб(?:оч[а-я]+|\\.)?) "
_FIGURES = "(?P<hour>[0-9]{1,2})"
_SAID_HOUR = f"{_FIGURES}(?:-?(?:ти|и|ми|х))?"
"""«10», «10-ти», «5ти», «2-х»."""
_HOURS = "ч(?:ас(?:а|ов|ам)?|\\.)?"
_AT_MOST = "не (?:более|больше|дольше|позднее|позже)"
_G = r"(?: ?г(?:ода?|\.)?)?"
_END_OF = "(?:до |к |в |на |по )?(?:самого |самый )?кон(?:ца|цу|це|ец|цом)"


def _month_number(word: str) -> int:
    return _index_of(word, _MONTH_NAMES)


def _index_of(word: str, names: tuple[str, ...]) -> int:
    """Which of the alternatives this word is, from 1."""
    return next(number for number, name in enumerate(names, 1) if re.fullmatch(name, word))


def _ordinal_number(match: re.Match[str]) -> int:
    if match["thirty"]:
        return 30
    tens = {"двадцать": 20, "тридцать": 30}.get(match["tens"] or "", 0)
    return tens + _ORDINAL_STEMS.index(match["ones"]) + 1


def _count(match: re.Match[str]) -> int:
    return int(match["count"]) if match["count"] else _index_of(match["word"], _CARDINALS)


# --- Days ------------------------------------------------------------------------------------------


def _days_in(year: int, month: int) -> int:
    following = date(year + month // MONTHS_IN_YEAR, month % MONTHS_IN_YEAR + 1, 1)
    return (following - timedelta(days=1)).day


def _valid(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _in_days(days: int) -> _Read:
    return lambda _match, base: NamedDay((base.today + timedelta(days=days),))


_DAYS_AHEAD = {"послезавтра": 2, "завтра": 1, "сегодня": 0}


def _adjacent_day(match: re.Match[str], base: Base) -> Found:
    """«К завтрашнему»."""
    ahead = next(days for word, days in _DAYS_AHEAD.items() if match[0].startswith(word))
    return NamedDay((base.today + timedelta(days=ahead),))


def _part_of_adjacent_day(match: re.Match[str], base: Base) -> Found:
    """«До завтрашнего утра», «к концу сегодняшнего дня»."""
    day = NamedDay((base.today + timedelta(days=_DAYS_AHEAD[match["day"]]),))
    if match["whole"]:
        parts = {"begin": Part.OPENING, "middle": Part.DAY, "end": Part.CLOSING}
    else:
        parts = {
            "morning": Part.MORNING, "lunch": Part.LUNCH, "evening": Part.EVENING, "noon": Part.NOON,
            "day_time": Part.DAY,
        }  # fmt: skip
    part = next((part for name, part in parts.items() if match[name]), None)
    return day if part is None else (day, NamedPart(part))


def _calendar_date(match: re.Match[str], base: Base, day: int, month: int) -> Found:
    """A day and a month: the next one, unless the year is said."""
    words = match[0].strip()
    year = _said_year(match, base)
    if year is not None:
        exact = _valid(year, month, day)
        return NamedDay((exact,)) if exact else Remark(Mark.IMPOSSIBLE, words)
    if _valid(2024, month, day) is None:  # a leap year: 29.02 comes at some time
        return Remark(Mark.IMPOSSIBLE, words)
    return NamedDay(_yearly(base.today, month, day)) if _yearly(base.today, month, day) else _too_far(words)


def _yearly(today: date, month: int, day: int) -> tuple[date, ...]:
    years = range(today.year, today.year + YEARS_AHEAD + 2)
    days = [found for year in years if (found := _valid(year, month, day))]
    passed = [found for found in days if 0 < (today - found).days <= JUST_PASSED_DAYS]
    return tuple(passed) or tuple(found for found in days if found >= today)[:2]


def _too_far(words: str) -> Remark:
    return Remark(Mark.TOO_FAR, words)


def _said_year(match: re.Match[str], base: Base) -> int | None:
    groups = match.groupdict()
    if groups.get("year"):
        return int(groups["year"])
    if groups.get("short"):
        return 2000 + int(groups["short"])
    if groups.get("ynext"):
        return base.today.year + 1
    return base.today.year if groups.get("ythis") else None


def _month_named(match: re.Match[str], base: Base) -> Found:
    return _calendar_date(match, base, int(match["day"]), _month_number(match["month"]))


def _ordinal_month(match: re.Match[str], base: Base) -> Found:
    return _calendar_date(match, base, _ordinal_number(match), _month_number(match["month"]))


def _month_range(match: re.Match[str], base: Base) -> Found:
    month = _month_number(match["month"])
    days = (_calendar_date(match, base, int(match[name]), month) for name in ("from", "day"))
    return tuple(day for day in days if not isinstance(day, tuple))


def _dotted(match: re.Match[str], base: Base) -> Found:
    day, month = int(match["day"]), int(match["month"])
    is_clock = match["month"] == "00" or month > MONTHS_IN_YEAR
    if is_clock and not (match["year"] or match["short"]):
        # «до 15.00», «23.45»: nobody has a month 45.
        exact = len(match["month"]) == 2 and day <= LAST_HOUR and month <= LAST_MINUTE  # noqa: PLR2004
        return _clock(day, month, match["day"]) if exact else Remark(Mark.IMPOSSIBLE, match[0])
    return _calendar_date(match, base, day, month)


def _slashed(match: re.Match[str], base: Base) -> Found | None:
    """«25/12» can only be a day and a month; «5/10» may be either way round."""
    first, second = int(match["day"]), int(match["month"])
    if max(first, second) > MONTHS_IN_YEAR or first == second:
        return _calendar_date(match, base, first, second)
    readings = (_calendar_date(match, base, first, second), _calendar_date(match, base, second, first))
    return Choice(tuple(reading.options[0] for reading in readings if isinstance(reading, NamedDay)))


def _iso(match: re.Match[str], base: Base) -> Found:
    day = _valid(int(match["year"]), int(match["month"]), int(match["day"]))
    if day is None:
        return Remark(Mark.IMPOSSIBLE, match[0])
    if match["hour"] is None:
        return NamedDay((day,))
    if int(match["hour"]) > LAST_HOUR or int(match["minute"]) > LAST_MINUTE:
        return Remark(Mark.IMPOSSIBLE, match[0])
    hour = NamedHour(int(match["hour"]), int(match["minute"]))
    if match["offset"] is None:
        return NamedDay((day,)), hour
    return _offset_moment(match, day, time(hour.hour, hour.minute), base)


def _offset_moment(match: re.Match[str], day: date, at: time, base: Base) -> Found:
    offset = match["offset"].upper().replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(f"{day.isoformat()}T{at.isoformat()}{offset}")
        return Moment(moment.astimezone(base.calendar.zone))
    except (ValueError, OverflowError):
        return Remark(Mark.IMPOSSIBLE, match[0])


def _day_of_month(match: re.Match[str], base: Base) -> Found:
    return _monthly(match, base, int(match["day"]))


def _ordinal_day(match: re.Match[str], base: Base) -> Found:
    return _monthly(match, base, _ordinal_number(match))


def _monthly(match: re.Match[str], base: Base, day: int) -> Found:
    """«28-го», «15 числа следующего месяца»: the next month that has such a day."""
    if not 1 <= day <= LAST_DAY_OF_MONTH:
        return Remark(Mark.IMPOSSIBLE, match[0].strip())
    first = base.today.replace(day=1)
    if match["mthis"] or match["mnext"]:
        month = months_later(first, 1 if match["mnext"] else 0)
        exact = _valid(month.year, month.month, day)
        return NamedDay((exact,)) if exact else Remark(Mark.IMPOSSIBLE, match[0].strip())
    months = (months_later(first, ahead) for ahead in range(5))
    days = (_valid(month.year, month.month, day) for month in months)
    return NamedDay(tuple(found for found in days if found and found >= base.today)[:2])


def _weekday_named(match: re.Match[str], base: Base) -> Found:
    """«в пятницу» is the nearest, «в эту» is this week's, «в следующую» is next week's."""
    weekday = _index_of(match["weekday"], _WEEKDAY_NAMES) - 1
    monday = base.today - timedelta(days=base.today.weekday())
    groups = match.groupdict()
    if groups.get("last"):
        return Remark(Mark.PAST, match[0].strip())
    if groups.get("next"):
        return NamedDay((monday + timedelta(days=WEEK_DAYS + weekday),))
    if groups.get("this"):
        return NamedDay((monday + timedelta(days=weekday),))
    nearest = base.today + timedelta(days=(weekday - base.today.weekday()) % WEEK_DAYS)
    return NamedDay((nearest, nearest + timedelta(days=WEEK_DAYS)))


# --- Stretches of time -----------------------------------------------------------------------------


def _after(match: re.Match[str], base: Base) -> Found | None:
    return _ahead(match, base, _count(match) if match["count"] or match["word"] else 1)


def _after_one(match: re.Match[str], base: Base) -> Found | None:
    if match["unit"] == "день" and match["working"] is None and match["lead"] in ("через", "спустя"):
        # «Через день» is tomorrow for some and the day after for others.
        return Choice((base.today + timedelta(days=1), base.today + timedelta(days=2)))
    return _ahead(match, base, 1)


def _ahead(match: re.Match[str], base: Base, count: int) -> Found:
    unit, words = match["unit"], match[0].strip()
    working = bool(match.groupdict().get("working"))
    try:
        if unit.startswith("ми"):
            return Moment(_whole_minute(base.now + timedelta(minutes=count)))
        if unit.startswith("ч"):
            return Moment(_whole_minute(base.now + timedelta(hours=count)))
        return NamedDay((_days_ahead(unit, base, count, working=working),))
    except (OverflowError, ValueError):
        return _too_far(words)


def _days_ahead(unit: str, base: Base, count: int, *, working: bool) -> date:
    """Raises ValueError or OverflowError when it is too far for any calendar."""
    if unit.startswith(("де", "дн", "су")):
        return _working_days_ahead(base, count) if working else base.today + timedelta(days=count)
    if unit.startswith("не"):
        return base.today + timedelta(weeks=count)
    months = {"м": 1, "к": MONTHS_IN_QUARTER}.get(unit[0], MONTHS_IN_YEAR)
    return months_later(base.today, months * count)


def _fraction(match: re.Match[str], base: Base) -> Found:
    """«Через 1,5 часа»; when a day and a half are over, nobody can tell."""
    if not match["hours"]:
        return Number(match["number"])
    minutes = round(float(match["number"].replace(",", ".")) * 60)
    return Moment(_whole_minute(base.now + timedelta(minutes=minutes)))


def _number(match: re.Match[str], _base: Base) -> Found:
    return Number(match["number"])


def _hours_and_minutes_ahead(match: re.Match[str], base: Base) -> Found:
    minutes = int(match["count"] or 1) * 60 + int(match["minutes"])
    return Moment(_whole_minute(base.now + timedelta(minutes=minutes)))


def _next_working_day(_match: re.Match[str], base: Base) -> Found:
    return NamedDay((_working_days_ahead(base, 1),))


def _working_days_ahead(base: Base, count: int) -> date:
    if count > MAX_WORKING_DAYS_AHEAD:
        raise OverflowError
    day = base.today
    for _step in range(2 * MAX_WORKING_DAYS_AHEAD):
        if count == 0:
            break
        day += timedelta(days=1)
        count -= base.calendar.is_working_day(day)
    return day


def _whole_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0) + timedelta(
        minutes=bool(moment.second or moment.microsecond)
    )


def _minutes_ahead(minutes: int) -> _Read:
    return lambda _match, base: Moment(_whole_minute(base.now + timedelta(minutes=minutes)))


def _half_a_year(_match: re.Match[str], base: Base) -> Found:
    return NamedDay((months_later(base.today, 6),))


def _counted_range(match: re.Match[str], base: Base) -> Found:
    """«через 2-3 дня»: both ends, to be asked about."""
    days = (_ahead(match, base, int(match[name])) for name in ("from", "to"))
    return tuple(day for day in days if not isinstance(day, tuple))


def _end_of_period(match: re.Match[str], base: Base) -> Found:
    """«до конца месяца»: its last working day, because nobody works for a client on the day off after it."""
    if match["last"]:
        return Remark(Mark.PAST, match[0].strip())
    ahead = 1 if match["next"] else 0
    period = match["period"]
    if period.startswith("дн"):
        return NamedPart(Part.CLOSING)
    if period.startswith(("нед", "выход")):
        monday = base.today + timedelta(days=WEEK_DAYS * ahead - base.today.weekday())
        return NamedDay((last_working_day(monday, monday + timedelta(days=6), base.calendar),))
    months = {"м": 1, "к": MONTHS_IN_QUARTER}.get(period[0], MONTHS_IN_YEAR)
    begun = (base.today.month - 1) // months * months + 1
    first = months_later(base.today.replace(month=begun, day=1), months * ahead)
    return NamedDay((_last_of(first, months, base),))


def _last_of(first: date, months: int, base: Base) -> date:
    return last_working_day(first, months_later(first, months) - timedelta(days=1), base.calendar)


def _end_of_month(match: re.Match[str], base: Base) -> Found:
    month = _month_number(match["month"])
    year = _said_year(match, base)
    if year is None:
        year = base.today.year + (month < base.today.month)
    if not base.today.year - 1 <= year <= base.today.year + YEARS_AHEAD + 1:
        return Remark(Mark.PAST if year < base.today.year else Mark.TOO_FAR, match[0].strip())
    return NamedDay((_last_of(date(year, month, 1), 1, base),))


def _last_day_of_month(match: re.Match[str], base: Base) -> Found:
    """«Последний день месяца», «последний рабочий день декабря»."""
    if match["month"]:
        number = _month_number(match["month"])
        year = _said_year(match, base) or base.today.year + (number < base.today.month)
        if not base.today.year <= year <= base.today.year + YEARS_AHEAD:
            return Remark(Mark.PAST if year < base.today.year else Mark.TOO_FAR, match[0].strip())
        first = date(year, number, 1)
    else:
        first = months_later(base.today.replace(day=1), 1 if match["next"] else 0)
    if match["working"]:
        return NamedDay((_last_of(first, 1, base),))
    return NamedDay((months_later(first, 1) - timedelta(days=1),))


def _before_month(match: re.Match[str], base: Base) -> Found:
    """«До декабря»: by the last working day before it begins."""
    number = _month_number(match["month"])
    year = _said_year(match, base) or base.today.year + (number < base.today.month)
    if not base.today.year <= year <= base.today.year + YEARS_AHEAD:
        return Remark(Mark.PAST if year < base.today.year else Mark.TOO_FAR, match[0].strip())
    first = date(year, number, 1)
    if first <= base.today:
        return Remark(Mark.VAGUE, match[0].strip())
    return NamedDay((_last_of(months_later(first, -1), 1, base),))


def _new_year(_match: re.Match[str], base: Base) -> Found:
    return NamedDay((_last_of(base.today.replace(month=12, day=1), 1, base),))


# --- Hours -----------------------------------------------------------------------------------------


def _clock(hour: int, minute: int, written: str, of: str | None = None) -> Found:
    if minute > LAST_MINUTE or hour > LAST_HOUR + 1 or (hour > LAST_HOUR and minute):
        return Remark(Mark.IMPOSSIBLE, f"{written}:{minute:02}")
    if hour > LAST_HOUR:
        return NamedPart(Part.MIDNIGHT)
    if hour == minute == 0:
        return Remark(Mark.NIGHT, written)  # of which of the two days?
    if of is None:
        return NamedHour(hour, minute, bare=0 < hour < NOON and not written.startswith("0"))
    return _hour_of(hour, minute, of)


def _hour_of(hour: int, minute: int, of: str) -> Found:
    """«5 вечера», «3 дня», «2 ночи»; «12 ночи» is left to be asked about."""
    if hour == NOON:
        return NamedHour(hour, minute) if of == "дня" else Remark(Mark.NIGHT, of)
    if hour < NOON and of in ("дня", "вечера"):
        hour += NOON
    return NamedHour(hour, minute)


def _written_clock(match: re.Match[str], _base: Base) -> Found:
    return _clock(int(match["hour"]), int(match["minute"]), match["hour"], match["of"])


def _spoken_hour(match: re.Match[str], _base: Base) -> Found:
    return _clock(int(match["hour"]), 0, match["hour"], match["of"])


def _hour_after_preposition(match: re.Match[str], base: Base) -> Found:
    """«в 10», «до 18», «до 28»; «до 18» may be a day of the month, when no day is named."""
    hour = int(match["hour"])
    if hour > LAST_HOUR + 1:
        return _monthly_or_impossible(match, base, hour)
    found = _clock(hour, 0, match["hour"])
    is_day = not match["hours"] and not match["to"].startswith("в") and hour >= 1
    if is_day and isinstance(found, NamedHour):
        return replace(found, lonely=True)
    return found


def _monthly_or_impossible(match: re.Match[str], base: Base, day: int) -> Found:
    if day > LAST_DAY_OF_MONTH or match["hours"] or match["to"].startswith("в"):
        return Remark(Mark.IMPOSSIBLE, match[0].strip())
    months = (months_later(base.today.replace(day=1), ahead) for ahead in range(5))
    days = (_valid(month.year, month.month, day) for month in months)
    return NamedDay(tuple(found for found in days if found and found >= base.today)[:2])


def _hour_in_words(match: re.Match[str], _base: Base) -> Found:
    hour = _index_of(match["word"], _CARDINALS) if match["word"] else 1
    return _clock(hour, 0, "", match["of"])


def _lonely_hours(match: re.Match[str], _base: Base) -> Found:
    """«15 часов» is a time, «3 часа» alone may be a count."""
    found = _clock(int(match["hour"]), 0, match["hour"])
    if isinstance(found, NamedHour) and found.hour <= NOON:
        return replace(found, counted=True)
    return found


def _half_past(match: re.Match[str], _base: Base) -> Found | None:
    hour = _ordinal_number(match) - 1
    return _clock(hour or NOON, 30, "", match["of"]) if hour < NOON else None


def _quarter_past(match: re.Match[str], _base: Base) -> Found | None:
    """«Четверть пятого» is 4:15."""
    hour = _ordinal_number(match) - 1
    return _clock(hour or NOON, 15, "", match["of"]) if hour < NOON else None


# --- The table -------------------------------------------------------------------------------------


def _part(part: Part) -> _Read:
    return lambda _match, _base: NamedPart(part)


def _mark(mark: Mark) -> _Read:
    return lambda match, _base: Remark(mark, match[0].strip())


def _turn(role: Role) -> _Read:
    return lambda _match, _base: _Turn(role)


def _nothing(_match: re.Match[str], _base: Base) -> Found:
    return _SILENT


_NO_NOUN = (
    "(?! (?!(?:до|ко?|во?|на|с|после|утром|днем|вечером|пожалуйста|можно|если|или|не|но|а|и)(?![а-я]))[а-я])"
)
"""No thing stands behind the adjective that it could belong to."""
_OF_MONTH = f"(?: (?:(?P<mthis>{_THIS})|(?P<mnext>{_NEXT})) месяца)?"
_CASE = "(?:-?(?:его|ого|ому|ему|го|му|ое|ым)|-(?:е|м))"
_DM = "(?P<day>[0-9]{1,2})"

_TABLE: tuple[tuple[str, _Read], ...] = (
    # Hurry. «Не срочно» before «срочно», «ещё вчера» stays a past day.
    (
        (
            "не(?: очень| так| особо)? (?:срочно|горит|к спеху|спешу|торопит[а-я]*|тороплюсь)|несрочно|"
            "терпит|не важно|неважно|"
            "когда (?:удобно|получится|сможете|успеете|будет время|угодно)|"
            "как (?:получится|сможете|успеете)|без срока|без разницы|"
            "все равно|в любое время|(?:в )?любой день|никогда|нет срока|срока нет|бессрочно"
        ),
        _mark(Mark.NO_HURRY),
    ),
    (
        (
            "(?:очень |крайне |максимально |супер)?сроч(?:но|няк|ный|ная|ное|ненько)|"
            "(?:как можно|чем|по ?возможности) (?:скорее|быстрее|раньше|скорей|быстрей)(?:,? тем лучше)?|"
            "(?:по)?(?:скорее|быстрее|скорей|быстрей)|asap|асап|немедленно|незамедлительно|безотлагательно|"
            "(?:прямо |прям )?сейчас(?: же)?|горит|сию минуту"
        ),
        _mark(Mark.URGENT),
    ),
    (
        (
            "кажд(?:ый|ую|ое|ого|ой|ые)|ежедневно|еженедельно|ежемесячно|ежеквартально|регулярно|"
            "по (?:понедельникам|вторникам|средам|четвергам|пятницам|субботам|воскресеньям)"
        ),
        _mark(Mark.REPEATED),
    ),
    (
        (
            "на днях|скоро|потом|позже|попозже|когда-нибудь|как-нибудь|в ближайш[а-я]+ (?:время|дни)|"
            "(?:до |к )?праздник[а-я]+"
        ),
        _mark(Mark.VAGUE),
    ),
    (
        (
            "(?:в |во |к |ко )?"
            "(?:начал[еоуа]|середин[еуыа]|(?:перв|втор)(?:ых|ой|ые|ая|ую) (?:числах|декад[ае]|половин[ауе])) "
            f"(?:{'|'.join(_MONTH_NAMES)}|месяца|недели|года|квартала|следующ[а-я]+ [а-я]+)"
        ),
        _mark(Mark.VAGUE),
    ),
    # Parts of the day with «до» and «после» inside, before those become words of their own.
    (
        (
            f"{_END_OF} (?:(?:{_THIS}|сегодняшнего) )?(?:раб(?:очего|\\.) )?(?:дня|смены)|"
            "(?:до|к) закрыти[яю]|"
            "(?:в )?течени[еи] (?:рабочего )?дня|день в день"
        ),
        _part(Part.CLOSING),
    ),
    (
        (
            "(?:до|к|в|перед|ближе к) (?:обед(?:а|у|ом)?|ланч[ау]?)|обед(?:ом)?|"
            "(?:в |до конца )?перв(?:ой|ую|ая) половин(?:е|у|ы|а)(?: дня)?"
        ),
        _part(Part.LUNCH),
    ),
    (
        "после (?:обеда|ланча|полудня)|(?:во )?втор(?:ой|ую|ая) половин(?:е|у|ы|а)(?: дня)?|пополудни",
        _part(Part.AFTER_LUNCH),
    ),
    ("(?:в |к |до )?(?:полдень|полудню|полудня)", _part(Part.NOON)),
    ("(?:в |к |до )?(?:полночь|полуночи)", _part(Part.MIDNIGHT)),
    (
        "(?:рано |прямо )?(?:с утра|с утречка|утром|утречком|(?:до |к |на |под )утр[ауо])|утро",
        _part(Part.MORNING),
    ),
    ("(?:до|к|в) (?:открыти[яюе]|начал[ауе] (?:рабочего )?дня)", _part(Part.OPENING)),
    ("днем|(?:в )?середине дня", _part(Part.DAY)),
    ("вечером|вечерком|вечер|(?:до |к |ко |под |на |ближе к )вечер[ау]?", _part(Part.EVENING)),
    ("ночью|(?:в |до |к )?ноч(?:ь|и)", _mark(Mark.NIGHT)),
    # Days counted from today.
    (
        (
            "позавчера(?:шн[а-я]+)?|(?:еще )?вчера(?:шн[а-я]+)?|[0-9]{1,4} [а-я]+ назад|"
            f"(?:на |в )?(?:{_LAST}) (?:недел[а-я]+|месяц[а-я]*|год[а-я]*|раз)"
        ),
        _mark(Mark.PAST),
    ),
    (
        (
            "(?:(?P<begin>(?:(?:к|до|в) )?начал[ауе]|(?:(?:к|до|в) )?открыти[яюе]|с утра) |"
            "(?P<middle>(?:в |к |до )?середин[ауеы]) |"
            f"(?P<end>{_END_OF}) |{_TO})?"
            "(?P<day>послезавтра|завтра|сегодня)шн[а-я]+ "
            "(?:(?P<morning>утр[ауо](?:м|чком)?)|(?P<lunch>обед(?:а|у|ом|е)?)|(?P<evening>вечер(?:а|у|ом|е)?)|"
            "(?P<noon>полдень|полудн[яю])|(?P<day_time>днем)|(?:рабоч[а-я]+ )?(?P<whole>день|дн[яюе]))"
        ),
        _part_of_adjacent_day,
    ),
    (f"(?:послезавтра|завтра|сегодня)шн[а-я]+(?: числ[а-я]+)?{_NO_NOUN}", _adjacent_day),
    # «К завтрашней встрече»: at what hour it is, nobody has said.
    ("(?:послезавтра|завтра|сегодня)шн[а-я]+", _mark(Mark.VAGUE)),
    ("послезавтр[ао]|после завтра", _in_days(2)),
    ("завтр[ао]", _in_days(1)),
    ("сегодня(?: же)?|севодня|нынче", _in_days(0)),
    # A count with a fraction, before it is a date: «1.5 часа», «через 1,5 дня».
    (
        (
            f"(?:(?P<lead>{_WITHIN}) {_ABOUT}|{_AT_MOST} )?(?P<number>[0-9]{{1,3}}[.,][0-9]) ?"
            "(?:раб[а-я.]* |календарн[а-я]+ )?"
            "(?:(?P<hours>час(?:а|ов)?|ч)|мин(?:ут[аы]?)?|дн(?:я|ей)|дн|день|сут(?:ки|ок)|недел[яюиье]|"
            "месяц(?:а|ев)?|мес|год(?:а|ов)?|лет)\\.?"
        ),
        _fraction,
    ),
    ("(?:до|к|в|за) (?P<number>[0-9]{1,3}[.,][0-9]) ?(?:час(?:а|ов|ам)?|ч|дн(?:я|ей))", _number),
    # ISO 8601 and other dates in figures.
    (
        (
            "(?P<year>[0-9]{4})[-./](?P<month>[0-9]{1,2})[-./](?P<day>[0-9]{1,2})"
            "(?:(?:t| )(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::[0-9]{2}(?:\\.[0-9]{1,9})?)?"
            "(?P<offset>z|[+-][0-9]{2}:?[0-9]{2})?)?"
        ),
        _iso,
    ),
    (
        f"{_TO}?{_DM}[./](?P<month>[0-9]{{1,2}})\\.(?:(?P<year>[0-9]{{4}})|(?P<short>[0-9]{{2}}))" + _G,
        _dotted,
    ),
    (
        f"{_TO}?{_DM}(?P<sep>[- ])(?P<month>[0-9]{{1,2}})(?P=sep)(?P<year>[0-9]{{4}})(?P<short>)" + _G,
        _dotted,
    ),
    (f"{_TO}?{_DM}\\.(?P<month>[0-9]{{1,2}})(?P<year>)(?P<short>)", _dotted),
    (f"{_TO}?{_DM}/(?P<month>[0-9]{{1,2}})(?:/(?:(?P<year>[0-9]{{4}})|(?P<short>[0-9]{{2}})))?", _slashed),
    # Dates in words.
    (f"{_TO}?(?P<from>[0-9]{{1,2}})-(?P<day>[0-9]{{1,2}}){_CASE}? {_MONTH}{_YEAR}", _month_range),
    (f"{_TO}?{_DM}{_CASE}? ?{_MONTH}{_YEAR}", _month_named),
    (f"{_TO}?{_ORDINAL} {_MONTH}{_YEAR}", _ordinal_month),
    (f"{_TO}?{_DM}(?:{_CASE}(?: чис(?:ла|лу|ло))?| ?чис(?:ла|лу|ло)){_OF_MONTH}", _day_of_month),
    (f"(?:в |во )?(?:пол ?|половин[еау] ){_ORDINAL}{_DAY_PART}", _half_past),
    (f"(?:{_TO})?(?<!без )четверт[ьи] {_ORDINAL}{_DAY_PART}", _quarter_past),
    (f"{_TO}?{_ORDINAL}(?: чис(?:ла|лу|ло))?{_OF_MONTH}", _ordinal_day),
    # Weeks and weekdays.
    (f"через {_WEEKDAY}", _mark(Mark.VAGUE)),
    (f"(?:на |в )?{_OF_WEEK}недел[еюия],? ?(?:во? |ко? |до )?{_WEEKDAY}", _weekday_named),
    (f"{_WEEKDAY},? (?:на )?{_OF_WEEK}недел[еюи]", _weekday_named),
    (f"{_ADJECTIVE}{_WEEKDAY}", _weekday_named),
    (_WEEKDAY, _weekday_named),
    (f"(?:на |в |до )?(?:{_NEXT}) раб(?:оч[а-я]+|\\.)? (?:день|дня)", _next_working_day),
    (f"(?:на |в )?(?:{_NEXT}) день", _in_days(1)),
    (f"(?:до |на )?(?:{_NEXT}) (?:недел[яию]|месяц[ае]?|год[ау]?|дня)", _mark(Mark.VAGUE)),
    # Periods.
    (
        (
            f"{_END_OF} (?:{_ADJECTIVE})?(?:раб(?:оч[а-я]+|\\.) )?"
            "(?P<period>недели|недельки|месяца|квартала|года|дня)"
        ),
        _end_of_period,
    ),
    (f"(?:на |в ){_OF_WEEK}(?:рабоч[а-я]+ )?(?P<period>неделе)", _end_of_period),
    (f"в (?P<this>{_THIS}) (?P<next>)(?P<last>)(?P<period>месяце|квартале|году)", _end_of_period),
    ("(?:в |на )?выходн(?:ые|ой)", _mark(Mark.VAGUE)),
    (f"(?:до|к|перед) (?:{_ADJECTIVE})?(?P<period>выходн(?:ых|ым|ыми))", _end_of_period),
    (f"{_END_OF} {_MONTH}{_YEAR}", _end_of_month),
    (
        (
            f"(?:{_TO})?последн[а-я]+ (?:{_WORKING})?(?:день|дня|дню|числ[аоу]) "
            f"(?:(?:(?P<this>{_THIS})|(?P<next>{_NEXT}) )?месяца|{_MONTH}{_YEAR})"
        ),
        _last_day_of_month,
    ),
    (f"(?:до|к) {_MONTH}{_YEAR}", _before_month),
    ("(?:до|к|под|перед) (?:нов(?:ого|ому|ый|ым) год(?:а|у|ом)?|нг)", _new_year),
    # Counted time.
    (
        (
            f"(?P<lead>{_WITHIN}|до|в)? ?(?P<from>[0-9]{{1,2}})(?: ?- ?| или )(?P<to>[0-9]{{1,2}}) "
            f"(?:{_WORKING})?{_UNIT}"
        ),
        _counted_range,
    ),
    ("(?:в )?(?P<count>[0-9]{1,2})-?х?-?(?P<unit>дн)евн[а-я]+(?: срок)?(?P<word>)(?P<working>)", _after),
    (
        f"{_WITHIN} {_ABOUT}(?:пол(?:у)?час(?:а|ика|ик)?|пол часа)|полчас(?:а|ика)",
        _minutes_ahead(30),
    ),
    (f"(?:{_WITHIN} )?(?:полтора|полутора) часа?", _minutes_ahead(90)),
    (
        (
            f"{_WITHIN} {_ABOUT}(?:(?P<count>[0-9]{{1,2}}) ?)?(?:час(?:а|ов)?|ч)\\.? (?:и )?"
            "(?P<minutes>[0-9]{1,2}) ?м(?:ин(?:ут[уы]?)?)?\\.?"
        ),
        _hours_and_minutes_ahead,
    ),
    (r"\A(?:одна )?(?P<unit>недел(?:я|ю|ька|ьку)|месяц)(?P<count>)(?P<word>)(?P<working>)[.! ]*\Z", _after),
    (f"(?:{_WITHIN} )?полгода", _half_a_year),
    (
        (
            f"(?:{_WITHIN} {_ABOUT}|{_AT_MOST} |максимум |до {_FULL_DAYS})?{_QUANTITY} ?"
            f"(?:{_WORKING}|календарн[а-я]+ )?"
            "(?P<unit>минут[ауы]?|мин|дн(?:я|ей)|дн|день|сут(?:ки|ок)|недел[яюиье]|недельки|"
            "месяц(?:а|ев)?|мес)\\.?"
        ),
        _after,
    ),
    (
        (
            f"(?:{_WITHIN} {_ABOUT}|{_AT_MOST} ){_QUANTITY} ?(?P<working>)"
            "(?P<unit>час(?:а|ов)|ч|год|года|лет)\\.?"
        ),
        _after,
    ),
    (
        f"(?P<lead>{_WITHIN}) {_ABOUT}(?:{_WORKING}|календарн[а-я]+ )?{_UNIT}",
        _after_one,
    ),
    (f"(?P<unit>дня|дней|часа|часов|минут|недели|недель|месяца|месяцев) через {_QUANTITY}", _after),
    # Hours.
    (
        f"{_TO}{_FIGURES},(?P<minute>[0-5][0-9]){_DAY_PART}(?! ?(?:тыс|р|руб|₽|коп|шт|кг|т|м|л|%)[^а-я]?)",
        _written_clock,
    ),
    (f"{_TO}?(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}})(?::[0-9]{{2}})?{_DAY_PART}", _written_clock),
    (f"{_TO}?(?P<hour>[0-9]{{1,2}})-(?P<minute>00|15|30|45){_DAY_PART}", _written_clock),
    (
        (
            f"{_TO}?(?P<hour>[0-9]{{1,2}}) ?ч(?:ас(?:а|ов)?|\\.)? "
            f"?(?P<minute>[0-9]{{2}})(?: ?мин(?:ут)?)?{_DAY_PART}"
        ),
        _written_clock,
    ),
    (
        f"(?:{_TO}|с ){_SAID_HOUR}(?: ?{_HOURS})? (?P<of>утра|дня|вечера|ночи)",
        _spoken_hour,
    ),
    (f"{_SAID_HOUR}(?: ?{_HOURS})? (?P<of>утра|вечера|ночи)", _spoken_hour),
    (f"{_SAID_HOUR} ?ч(?:ас(?:а|ов))? (?P<of>дня)", _spoken_hour),
    (
        f"час(?:ов|ам|а|у)? (?P<to>ко?|во?|до) {_SAID_HOUR}(?P<hours>)",
        lambda match, _base: _clock(int(match["hour"]), 0, match["hour"]),
    ),
    (
        (
            f"(?P<to>во?|ко?|до|не позднее|не позже|максимум) {_FIGURES}"
            f"(?P<hours>(?:-?(?:ти|и|ми|х))?(?: ?{_HOURS})?)"
        ),
        _hour_after_preposition,
    ),
    (f"{_SAID_HOUR} ?(?:ч(?:ас(?:а|ов))?)", _lonely_hours),
    (f"(?:во?|ко?|до) (?:{_CARDINAL}(?: час(?:а|ов|ам)?)?|час[ау]?){_DAY_PART}", _hour_in_words),
    ("(?:за |в )?[1-4](?:-?(?:ый|ий|ой|й|м|го))? (?:квартал(?:а|е)?|кв\\.?)", _mark(Mark.VAGUE)),
    # Words that change what follows them, and words that mean nothing here.
    # «С 1 по 5 декабря», «с 10 до 12»: the end is named right behind.
    ("со? [0-9]{1,2}(?: ?ч(?:асов)?|:[0-9]{2}|-го)?(?= (?:по|до) )", _nothing),
    ("не (?:раньше|ранее)(?: чем)?|после|начиная с|со?|от", _turn(Role.START)),
    ("не (?:позднее|позже|более|дольше)", _nothing),
    (
        "не (?:могу|сможем|смогу|можем|получится|успею|успеем|успеваю)|не|кроме|только не|исключая",
        _turn(Role.NEGATED),
    ),
    (
        (
            "(?:no\\.?|n|номер) ?[0-9]{1,20}|"
            "(?:счет(?:а|у|ом)?|договор(?:а|у|ом)?|акт[ау]?|накладн[а-я]+|упд|инн|кпп|заявк[а-я]+) "
            "[0-9]{1,20}"
        ),
        lambda _match, _base: _ANOTHER_WORD,
    ),
    ("до|ко?|во?|на|по", _nothing),
    # Only a month: no day.
    (
        "(?:январ|феврал|март|апрел|июн|июл|август|сентябр|октябр|ноябр|декабр|май|мая|мае)[а-я]?",
        _mark(Mark.VAGUE),
    ),
    # A count without a thing («час-два»).
    (f"{_CARDINAL}(?! [а-я]{{3}})", lambda match, _base: Number(match["word"])),
)

_END = r"(?![0-9a-zа-я_])(?!(?<=[0-9])(?:[.,:/-][0-9]|-[а-я]))"
"""A rule takes whole words, and never the first half of a longer number."""

_RULES = tuple((re.compile(f"(?:{pattern}){_END}"), read) for pattern, read in _TABLE)
