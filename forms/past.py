"""When somebody telephoned or came, as the person who took it down says it.

«Только что», «час назад», «в 11:20», «вчера в 15:30», «в понедельник в 10», «24.11 в 9:30». A day alone is
not enough: the clock of a request counts minutes. An hour from 1 to 7 that is not said to be in the
morning or at night is in the afternoon («в 3» is 15:00); «03:00» is taken as written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from forms.answers import AnswerError
from forms.texts import Clock, _

MAX_DAYS_BACK = 7
MAX_CHARS = 100
LAST_AFTERNOON_HOUR = 7
NOON = 12
LAST_HOUR = 23
LAST_MINUTE = 59
CENTURY = 2000
DAYS_IN_WEEK = 7

_NUMBERS = {
    "один": 1, "одну": 1, "два": 2, "две": 2, "три": 3, "четыре": 4, "пять": 5, "шесть": 6, "семь": 7,
    "десять": 10, "пятнадцать": 15, "двадцать": 20, "тридцать": 30, "сорок": 40,
}  # fmt: skip
_COUNT = rf"[0-9]{{1,3}}|{'|'.join(_NUMBERS)}"
_MONTHS = (
    "январ", "феврал", "март", "апрел", "ма", "июн", "июл", "август", "сентябр", "октябр", "ноябр", "декабр",
)  # fmt: skip
_WEEKDAYS = ("понедельник", "вторник", "сред", "четверг", "пятниц", "суббот", "воскресень")
_PARTS = {
    "утра": "am",
    "утром": "am",
    "ночи": "am",
    "дня": "pm",
    "днем": "pm",
    "вечера": "pm",
    "вечером": "pm",
}
_ONE_OF_WEEKDAYS = "|".join(rf"(?P<w{number}>{stem}\w*)" for number, stem in enumerate(_WEEKDAYS))
_ONE_OF_MONTHS = "|".join(rf"(?P<m{number}>{stem}[аяью]\w*)" for number, stem in enumerate(_MONTHS, 1))
_AGO = (
    rf"(?:(?P<half>пол ?часа)|(?P<hour_and_half>полтора часа)|(?P<before>{_COUNT})? ?"
    rf"(?P<unit>мин(?:ут\w*)?|ч(?:ас\w*)?)(?: (?P<after>{_COUNT}))?"
    r"(?: (?P<minutes>[0-9]{1,2}) ?мин(?:ут\w*)?)?) назад"
)
_DAYS_BACK = {"сегодня": 0, "вчера": 1, "позавчера": 2}

# Tried in this order at every place of the phrase.
_RULES = tuple(
    (name, re.compile(rf"(?:{pattern})(?!\w)"))
    for name, pattern in (
        ("now", r"(?:вот |буквально )?(?:только что|сейчас)"),
        ("ago", _AGO),
        ("days_ago", rf"(?P<days>{_COUNT})? ?(?:дн\w+|день|сут\w+) назад"),
        ("named_day", "|".join(_DAYS_BACK)),
        ("weekday", _ONE_OF_WEEKDAYS),
        ("date_in_words", rf"(?P<day>[0-9]{{1,2}})(?:-?го)? (?:{_ONE_OF_MONTHS})"),
        ("date", r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4}|[0-9]{2})"),
        ("dotted", r"(?P<first>[0-9]{1,2})\.(?P<second>[0-9]{2})"),
        ("clock", r"(?P<hour>[0-9]{1,2})(?:[:-]| час\w* )(?P<minute>[0-9]{2})(?: ?мин\w*)?"),
        ("hour_alone", r"(?P<alone>[0-9]{1,2})(?: ?(?:час\w*|ч))?"),
        ("part", "|".join(_PARTS)),
        ("filler", r"в|во|около|примерно|где-то|было|это|был|была|(?:по)?звонил\w*|приходил\w*|пришл\w*"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Said:
    """What a phrase named so far. `literal`: the hour was written out, «03:00»."""

    at: datetime | None = None
    day: date | None = None
    weekday: int | None = None
    hour: int | None = None
    minute: int = 0
    literal: bool = False
    part: str = ""
    dotted: tuple[int, int] | None = None


def parse_past(text: str, now: datetime, zone: tzinfo) -> datetime:
    """A moment (UTC) not after `now` and at most `MAX_DAYS_BACK` days before it; `zone` is the firm's.

    Raises AnswerError with what is wrong and what to write instead.
    """
    said = _read(text, now.astimezone(zone))
    if said.at is not None:
        return _within_limit(said.at, now)
    said = _with_dotted(said, now.astimezone(zone).date())
    if said.hour is None:
        raise AnswerError(_("Во сколько это было? Напишите день и час, например: «вчера в 15:30»."))
    if said.hour > LAST_HOUR or said.minute > LAST_MINUTE:
        raise AnswerError(_("Такого времени не бывает. Напишите, например: «в 11:20»."))
    return _within_limit(_moment(said, now, zone), now)


def _read(text: str, local_now: datetime) -> _Said:
    phrase = " ".join(re.sub(r"[,;!?«»\"()]", " ", text.casefold().replace("ё", "е")).split()).rstrip(".")
    said, position = _Said(), 0
    if not phrase or len(phrase) > MAX_CHARS:
        raise _not_understood()
    while position < len(phrase):
        if phrase[position] == " ":
            position += 1
            continue
        for name, rule in _RULES:
            match = rule.match(phrase, position)
            if match:
                said, position = _READERS[name](said, match, local_now), match.end()
                break
        else:
            raise _not_understood()
    return said


def _named_day(said: _Said, match: re.Match[str], local_now: datetime) -> _Said:
    return replace(said, day=local_now.date() - timedelta(days=_DAYS_BACK[match[0]]))


def _days_ago(said: _Said, match: re.Match[str], local_now: datetime) -> _Said:
    return replace(said, day=local_now.date() - timedelta(days=_count(match["days"])))


def _date_in_words(said: _Said, match: re.Match[str], local_now: datetime) -> _Said:
    month = next(int(key[1:]) for key, found in match.groupdict().items() if key != "day" and found)
    return replace(said, day=_date(int(match["day"]), month, None, local_now.date()))


def _full_date(said: _Said, match: re.Match[str], local_now: datetime) -> _Said:
    year = int(match["y"]) + (CENTURY if len(match["y"]) == 2 else 0)  # noqa: PLR2004 - «26»
    return replace(said, day=_date(int(match["d"]), int(match["m"]), year, local_now.date()))


def _clock(said: _Said, match: re.Match[str], _local_now: datetime) -> _Said:
    hour, minute = match["hour"], match["minute"]
    return replace(said, hour=int(hour), minute=int(minute), literal=hour.startswith("0"))


def _hour(said: _Said, match: re.Match[str], _local_now: datetime) -> _Said:
    return replace(said, hour=int(match["alone"]), literal=match["alone"].startswith("0"))


def _dotted(said: _Said, match: re.Match[str], _local_now: datetime) -> _Said:
    """«11.20» after «в» or after a day is a time; what else it may be is seen at the end."""
    first, second = int(match["first"]), int(match["second"])
    after_day = said.day is not None or said.weekday is not None or said.dotted is not None
    if after_day or re.search(r"\bво? $", match.string[: match.start()]):
        return replace(said, hour=first, minute=second, literal=match["first"].startswith("0"))
    return replace(said, dotted=(first, second))


_READERS: Mapping[str, Callable[[_Said, re.Match[str], datetime], _Said]] = {
    "now": lambda said, _match, local_now: replace(said, at=local_now),
    "ago": lambda said, match, local_now: replace(said, at=local_now - _ago(match)),
    "days_ago": _days_ago,
    "named_day": _named_day,
    "weekday": lambda said, match, _local_now: replace(said, weekday=int((match.lastgroup or "w0")[1:])),
    "date_in_words": _date_in_words,
    "date": _full_date,
    "dotted": _dotted,
    "clock": _clock,
    "hour_alone": _hour,
    "part": lambda said, match, _local_now: replace(said, part=_PARTS[match[0]]),
    "filler": lambda said, _match, _local_now: said,
}


def _with_dotted(said: _Said, today: date) -> _Said:
    if said.dotted is None:
        return said
    first, second = said.dotted
    if said.hour is not None or first > LAST_HOUR:
        return replace(said, day=_date(first, second, None, today))
    return replace(said, hour=first, minute=second)


def _ago(match: re.Match[str]) -> timedelta:
    if match["half"]:
        return timedelta(minutes=30)
    if match["hour_and_half"]:
        return timedelta(minutes=90)
    count = _count(match["before"] or match["after"])
    minutes = int(match["minutes"] or 0)
    if match["unit"].startswith("ч"):
        return timedelta(hours=count, minutes=minutes)
    return timedelta(minutes=count)


def _count(word: str | None) -> int:
    if not word:
        return 1
    return _NUMBERS.get(word) or int(word)


def _date(day: int, month: int, year: int | None, today: date) -> date:
    try:
        found = date(year or today.year, month, day)
        return found.replace(year=today.year - 1) if year is None and found > today else found
    except ValueError as error:
        raise AnswerError(_("Такого дня нет. Напишите, например: «24.11 в 15:30».")) from error


def _moment(said: _Said, now: datetime, zone: tzinfo) -> datetime:
    today = now.astimezone(zone).date()
    at = _time(said)
    if said.weekday is not None and said.day is None:
        day = today - timedelta(days=(today.weekday() - said.weekday) % DAYS_IN_WEEK)
        found = datetime.combine(day, at, zone)
        return found if found <= now else datetime.combine(day - timedelta(days=DAYS_IN_WEEK), at, zone)
    found = datetime.combine(said.day or today, at, zone)
    if found > now and said.day is None:
        raise AnswerError(
            _("{time} сегодня ещё не наступило. Если это было вчера, напишите: «вчера в {time}».",
              time=Clock(found))
        )  # fmt: skip
    return found


def _time(said: _Said) -> time:
    hour = said.hour or 0
    afternoon = not said.literal and 0 < hour <= LAST_AFTERNOON_HOUR
    if hour < NOON and (said.part == "pm" or (not said.part and afternoon)):
        hour += NOON
    return time(hour, said.minute)


def _within_limit(at: datetime, now: datetime) -> datetime:
    at = at.astimezone(UTC)
    if at > now:
        raise AnswerError(_("Это время ещё не наступило. Напишите, когда обращение уже было."))
    if now - at > timedelta(days=MAX_DAYS_BACK):
        raise AnswerError(
            _("Это больше {days} дней назад. Записать можно обращение за последние {days} дней.",
              days=MAX_DAYS_BACK)
        )  # fmt: skip
    return at if now - at < timedelta(minutes=1) else at.replace(second=0, microsecond=0)


def _not_understood() -> AnswerError:
    return AnswerError(
        _("Не получилось понять время. Напишите, например: «в 11:20», «час назад» или «вчера в 15:30».")
    )
