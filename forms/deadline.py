"""A deadline as a client types it: «до пятницы», «завтра в 10», «через 2 рабочих дня», «25.12».

How a phrase is understood:

* A day without an hour means the closing time of that day, 18:00 on a day off. An hour without a day
  means today. A day off is allowed: the client may wish it, and `Deadline.on_day_off` tells it.
* A weekday, «28-го» and «25.12» mean the nearest such day that is still ahead: on a Sunday «в воскресенье»
  is today until its default hour, then the Sunday after. «В эту пятницу» is the Friday of this week,
  «в следующую» of the week after, weeks beginning on Monday. A date without a year that passed within
  the last month is asked about rather than moved by a year.
* «До конца недели», «месяца», «квартала», «года» is the closing of the last *working* day in it: whoever
  names the end of a month wants the work done by people who are at work. «До декабря» is the end of
  November in this sense. «На той неделе» is next week: a deadline cannot be in the last.
* An hour from 1 to 11 that is not said to be in the morning or the evening is the one within the working
  day («завтра в 5» is 17:00); if neither is, the client is asked. «05:00» is taken as written.
* Parts of a day: see `PART_ENDS`. «Утром», said when the morning is over, is tomorrow's.
* «Срочно» alone is two working hours from now, on the next working days if today has not that much left.

Two different days, «5/10», a bare number, «1,5 дня», «к завтрашней встрече», a past day and a day over
three years ahead are never guessed at: `AnswerError` says what was understood and what to write, and
offers nothing that would be refused itself.

The dateparser library was tried as a fallback for what this grammar does not know, and left out: of the
phrases that the tests refuse it gave a date to two in five («завтра 10» became tomorrow at the present hour,
«март» the 25th of March, «25 декабря 18» the year 2118), and on the held-out phrases it knew nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

from forms.answers import AnswerError
from forms.deadline_grammar import (
    LAST_DAY_OF_MONTH,
    LAST_HOUR,
    MONTHS_IN_YEAR,
    NOON,
    YEARS_AHEAD,
    Base,
    Choice,
    Mark,
    Moment,
    NamedDay,
    NamedHour,
    NamedPart,
    Number,
    Part,
    Piece,
    Remark,
    Role,
    WorkCalendar,
    months_later,
    normalized,
    pieces_of,
    words_beside,
)
from forms.texts import Clock, Day, Text, _, plain, sentence
from forms.vocabulary import words_of

__all__ = [
    "Deadline",
    "WorkCalendar",
    "deadline_choices",
    "from_text",
    "is_deadline",
    "parse_deadline",
    "show_deadline",
    "speaks_of_time",
    "to_text",
]

T = TypeVar("T")

MAX_ANSWER_CHARS = 300
OPENING_ON_DAY_OFF = time(9)
CLOSING_ON_DAY_OFF = time(18)
PART_ENDS = {
    Part.NOON: time(12),
    Part.LUNCH: time(13),
    Part.DAY: time(15),
    Part.AFTER_LUNCH: None,
    Part.EVENING: None,
    Part.CLOSING: None,
    Part.MIDNIGHT: time(23, 59),
}
"""«До обеда» is 13:00; None is the closing time. The morning is over an hour after opening."""
URGENT_WORKING_TIME = timedelta(hours=2)
SEARCHED_DAYS = 60
"""Within so many days there is a working day, whatever the holidays."""
FRIDAY = 4
LATE_MORNING_HOUR = 10
SHOWN_ANSWER_CHARS = 40


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when; `at` is aware, in the calendar's zone when it comes from `parse_deadline`."""

    at: datetime
    urgent: bool = False
    on_day_off: bool = False
    """Whether the firm does not work on that day, so that the summary can say it."""


_LATIN_WORD = re.compile(r"[a-z]{2,}")
_KNOWN_LATIN_WORDS = frozenset(("asap",))


def parse_deadline(text: str, now: datetime, calendar: WorkCalendar) -> Deadline:
    """Understand a deadline strictly after `now` (aware, any zone) and at most three years ahead.

    Raises AnswerError with what is wrong and what to write instead.
    """
    if now.tzinfo is None:
        raise ValueError("A deadline is counted from an aware moment.")
    if len(text) > MAX_ANSWER_CHARS:
        raise AnswerError(
            _("Это слишком длинно для срока. Напишите только день и час. Например: «завтра до 15:00».")
        )
    if set(_LATIN_WORD.findall(text.casefold())) - _KNOWN_LATIN_WORDS:
        # Leaving out what is not understood would make "tomorrow by 15:00" today's 15:00.
        raise AnswerError(_("Не получилось понять срок. Напишите день и час цифрами. Например: 28.11 15:00."))
    base = Base(now.astimezone(calendar.zone), calendar)
    said = _Said.of(pieces_of(normalized(text)[:MAX_ANSWER_CHARS], base))
    _refuse_impossible(said)
    if not said.names_time or (said.names_other_day and not said.names_day):
        return _without_time(said, base)
    _refuse_numbers(said)
    at = said.moments[0].at if said.moments else _moment_of_day(said, base)
    _refuse_contradiction(said, at, base)
    return _deadline(at, base, urgent=said.has(Mark.URGENT))


_AROUND = words_of(
    "а да ну и или но же бы лучше давай давайте можно нужно надо нужен хочу если получится успеть "
    "пожалуйста желательно крайний край срок срока сроки сделать сделайте спасибо"
)


def is_deadline(text: str, now: datetime, calendar: WorkCalendar) -> bool:
    """Whether these words name a day or an hour and speak of nothing else; they may still be refused."""
    said = _only_time(text, now, calendar)
    return said is not None and (said.names_time or (said.has(Mark.URGENT) and not said.has(Mark.NO_HURRY)))


def speaks_of_time(text: str, now: datetime, calendar: WorkCalendar) -> bool:
    """The same, but the time need not be an end, nor exact: «вчера», «на следующую неделю»."""
    said = _only_time(text, now, calendar)
    return said is not None and (said.names_time or said.turned or bool(said.remarks))


def _only_time(text: str, now: datetime, calendar: WorkCalendar) -> _Said | None:
    if len(text) > MAX_ANSWER_CHARS or set(_LATIN_WORD.findall(text.casefold())) - _KNOWN_LATIN_WORDS:
        return None
    base = Base(now.astimezone(calendar.zone), calendar)
    phrase = normalized(text)[:MAX_ANSWER_CHARS]
    if not set(words_beside(phrase, base)) <= _AROUND:
        return None
    return _Said.of(pieces_of(phrase, base))


def show_deadline(
    deadline: Deadline, now: datetime, calendar: WorkCalendar, *, capital: bool = False
) -> Text:
    """«пятница, 27 ноября, до 18:00», with the year when it is not the current one."""
    at = deadline.at.astimezone(calendar.zone)
    day = _shown_day(at.date(), now.astimezone(calendar.zone).date(), capital=capital)
    return _("{day}, до {clock}", day=day, clock=Clock(at))


def deadline_choices(now: datetime, calendar: WorkCalendar) -> tuple[tuple[str, Text, Deadline], ...]:
    """Codes, labels and deadlines of the buttons; a button that makes no sense at this moment is left out."""
    base = Base(now.astimezone(calendar.zone), calendar)
    weekday = base.today.weekday()
    days = [
        ("today", _("Сегодня"), 0, calendar.is_working_day(base.today)),
        ("tomorrow", _("Завтра"), 1, True),
        # On Thursday Friday is «Завтра» already.
        ("friday", _("До пятницы"), FRIDAY - weekday, FRIDAY - weekday > 1),
        ("week", _("Через неделю"), 7, True),
    ]
    offered = (
        (code, label, _at(base.today + timedelta(days=ahead), None, base))
        for code, label, ahead, sensible in days
        if sensible
    )
    return tuple((code, label, _deadline(at, base)) for code, label, at in offered if _is_ahead(at, base))


URGENT_WORD = "urgent"
DAY_OFF_WORD = "day-off"


def to_text(deadline: Deadline) -> str:
    """Keep a deadline as one flat string: ISO 8601 with the offset, then its marks."""
    marks = (URGENT_WORD if deadline.urgent else "", DAY_OFF_WORD if deadline.on_day_off else "")
    return " ".join((deadline.at.isoformat(), *filter(None, marks)))


def from_text(text: str) -> Deadline:
    """Read what `to_text` wrote; ValueError for anything else."""
    moment, *marks = text.split(" ")
    at = datetime.fromisoformat(moment)
    if at.tzinfo is None or not set(marks) <= {URGENT_WORD, DAY_OFF_WORD}:
        raise ValueError("A stored deadline is an ISO 8601 moment with an offset and its marks.")
    return Deadline(at, urgent=URGENT_WORD in marks, on_day_off=DAY_OFF_WORD in marks)


# --- What was said ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Said:
    """The pieces of a phrase by what they are. Only those that name an end are among days and hours."""

    days: tuple[tuple[date, ...], ...]
    """Each day that was named with the dates it may be; the same day said twice stands once."""
    hours: tuple[NamedHour, ...]
    parts: tuple[Part, ...]
    moments: tuple[Moment, ...]
    numbers: tuple[Number, ...]
    choices: tuple[Choice, ...]
    remarks: tuple[Remark, ...]
    turned: bool
    """Whether a day or an hour was named that is no end."""
    turned_day: bool

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> _Said:
        ends = [piece for piece in pieces if getattr(piece, "role", Role.END) is Role.END]
        days = [piece.options for piece in ends if isinstance(piece, NamedDay)]
        return cls(
            days=_merged(days),
            hours=_unique(piece for piece in ends if isinstance(piece, NamedHour)),
            parts=_unique(piece.part for piece in ends if isinstance(piece, NamedPart)),
            moments=_unique(piece for piece in ends if isinstance(piece, Moment)),
            numbers=tuple(piece for piece in ends if isinstance(piece, Number)),
            choices=tuple(piece for piece in ends if isinstance(piece, Choice)),
            remarks=tuple(piece for piece in ends if isinstance(piece, Remark)),
            turned=len(ends) < len(pieces),
            turned_day=any(isinstance(piece, NamedDay) for piece in pieces if piece not in ends),
        )

    @property
    def names_time(self) -> bool:
        return bool(self.names_day or self.hours or self.parts)

    @property
    def names_day(self) -> bool:
        return bool(self.days or self.moments or self.choices)

    @property
    def names_other_day(self) -> bool:
        """«Вчера в 15:00»: the hour alone must not become today's."""
        return self.turned_day or self.has(Mark.PAST) or self.has(Mark.VAGUE)

    def has(self, mark: Mark) -> bool:
        return any(remark.mark is mark for remark in self.remarks)

    def words_of(self, mark: Mark) -> str:
        return next(remark.words for remark in self.remarks if remark.mark is mark)


def _merged(days: Sequence[tuple[date, ...]]) -> tuple[tuple[date, ...], ...]:
    """«В пятницу, 27 ноября» is one day: the date both can be."""
    merged: list[tuple[date, ...]] = []
    for options in days:
        for place, other in enumerate(merged):
            common = tuple(day for day in other if day in options)
            if common:
                merged[place] = common
                break
        else:
            merged.append(options)
    return tuple(merged)


def _unique(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))


# --- From words to a moment ------------------------------------------------------------------------


def _moment_of_day(said: _Said, base: Base) -> datetime:
    """The first moment that is ahead among those the phrase may mean."""
    if said.choices:
        raise AnswerError(_which_day(said.choices[0].days, base))
    if len(said.days) > 1:
        raise AnswerError(_which_day([options[0] for options in said.days], base))
    if len(said.hours) > 1 or (len(said.parts) > 1 and not said.hours):
        raise AnswerError(_("Названо разное время. Напишите одно. Например: «завтра до 15:00»."))
    if not said.days and said.hours:
        _refuse_lonely_hour(said.hours[0], base)
    moments = [_at(day, _time_on(day, said, base), base) for day in _possible_days(said, base)]
    ahead = next((moment for moment in moments if _is_ahead(moment, base)), None)
    if ahead is None:
        raise AnswerError(_passed(moments[-1], said, base))
    return ahead


def _possible_days(said: _Said, base: Base) -> tuple[date, ...]:
    if not said.days:
        morning = said.parts in ((Part.MORNING,), (Part.OPENING,)) and not said.hours
        return (base.today, base.today + timedelta(days=1)) if morning else (base.today,)
    last = months_later(base.today, YEARS_AHEAD * MONTHS_IN_YEAR)
    days = said.days[0]
    if days[0] > last:
        raise AnswerError(_too_far(days[0], base))
    return days


def _time_on(day: date, said: _Said, base: Base) -> time | None:
    if said.hours:
        return _hour_time(said.hours[0], said.parts, day, base)
    return _part_time(said.parts[0], day, base) if said.parts else None


def _part_time(part: Part, day: date, base: Base) -> time | None:
    """When a part of the day is over; None is the end of the working day."""
    opening = _hours(day, base)[0]
    if part is Part.OPENING:
        return opening
    if part is Part.MORNING:
        return opening.replace(hour=min(opening.hour + 1, LAST_HOUR))
    return PART_ENDS[part]


def _hour_time(said: NamedHour, parts: tuple[Part, ...], day: date, base: Base) -> time:
    early = time(said.hour, said.minute)
    if not said.bare:
        return early
    late = time(said.hour + NOON, said.minute)
    if parts:
        is_late = parts[0] not in (Part.OPENING, Part.MORNING) and (
            parts[0] is not Part.DAY or said.hour < LATE_MORNING_HOUR
        )
        return late if is_late else early
    opening, closing = _hours(day, base)
    for reading in (early, late):
        if opening <= reading <= closing:
            return reading
    shown = f"{early:%H:%M}", f"{late:%H:%M}"
    raise AnswerError(_("Это утро или вечер? Напишите {early} или {late}.", early=shown[0], late=shown[1]))


def _hours(day: date, base: Base) -> tuple[time, time]:
    if not base.calendar.is_working_day(day):
        return OPENING_ON_DAY_OFF, CLOSING_ON_DAY_OFF
    return base.calendar.opens_at(day), base.calendar.closes_at(day)


def _at(day: date, at: time | None, base: Base) -> datetime:
    return datetime.combine(day, at or _hours(day, base)[1], base.calendar.zone)


def _is_ahead(moment: datetime, base: Base) -> bool:
    # A day of the distant past has no UTC of its own to compare in.
    return moment.date() >= base.today and moment.astimezone(UTC) > base.now.astimezone(UTC)


def _deadline(at: datetime, base: Base, *, urgent: bool = False) -> Deadline:
    return Deadline(at, urgent=urgent, on_day_off=not base.calendar.is_working_day(at.date()))


def _urgent(base: Base) -> Deadline:
    """Two working hours from now: sooner nobody can promise, and at night nobody works."""
    left = URGENT_WORKING_TIME
    for ahead in range(SEARCHED_DAYS):
        day = base.today + timedelta(days=ahead)
        if not base.calendar.is_working_day(day):
            continue
        begin = max(base.now, _at(day, base.calendar.opens_at(day), base))
        worked = _at(day, None, base) - begin
        if left <= worked:
            return _deadline(_whole_minute(begin + left), base, urgent=True)
        left -= max(worked, timedelta(0))
    return _deadline(_whole_minute(base.now + URGENT_WORKING_TIME), base, urgent=True)


def _whole_minute(moment: datetime) -> datetime:
    begun = bool(moment.second or moment.microsecond)
    return moment.replace(second=0, microsecond=0) + timedelta(minutes=begun)


# --- What cannot be a deadline ---------------------------------------------------------------------


def _refuse_impossible(said: _Said) -> None:
    if said.has(Mark.IMPOSSIBLE):
        words = plain(said.words_of(Mark.IMPOSSIBLE)[:SHOWN_ANSWER_CHARS])
        raise AnswerError(
            _("Такого дня или времени не бывает: {words}. Проверьте и пришлите ещё раз.", words=words)
        )
    if said.has(Mark.TOO_FAR):
        raise AnswerError(_("Это больше чем через три года. Назовите срок поближе."))
    if said.has(Mark.REPEATED):
        raise AnswerError(_("Здесь нужен один срок. Назовите ближайший день. Например: «до пятницы»."))
    if said.has(Mark.NIGHT):
        raise AnswerError(_("Ночью легко перепутать день. Напишите дату и час. Например: «26.11 в 23:00»."))


def _without_time(said: _Said, base: Base) -> Deadline:
    """No day and no hour: either it is urgent, or the reason why it is no answer."""
    _refuse_numbers(said)
    if said.turned:
        raise AnswerError(
            _("Поняли, когда не надо, а нужен срок: к какому дню сделать? Например: «до пятницы».")
        )
    if said.has(Mark.PAST):
        words = plain(said.words_of(Mark.PAST)[:SHOWN_ANSWER_CHARS])
        raise AnswerError(
            _(
                "«{words}» уже прошло. Назовите сегодняшний день или более поздний. Например: «завтра».",
                words=words,
            )
        )
    if said.has(Mark.NO_HURRY):
        raise AnswerError(
            _(
                "Хорошо, не срочно. Но день всё же нужен, чтобы заявка не потерялась. "
                "Например: «через неделю» или «до конца месяца»."
            )
        )
    if said.has(Mark.URGENT):
        return _urgent(base)
    if said.has(Mark.VAGUE):
        raise AnswerError(_("Назовите день точнее. Например: «до пятницы», «до 28-го» или «25 декабря»."))
    if said.has(Mark.LONG_NUMBER):
        raise AnswerError(
            _(
                "Это длинное число не похоже на срок. К какому дню сделать? "
                "Например: «до пятницы» или «25 декабря»."
            )
        )
    raise AnswerError(
        _("Не поняли срок. Назовите день или дату. Например: «завтра до 15:00», «до пятницы», «25 декабря»."),
        unrecognised=True,
    )


def _refuse_numbers(said: _Said) -> None:
    if not said.numbers:
        return
    digits = said.numbers[0].digits
    if said.names_time or not digits.isdecimal() or not 1 <= int(digits) <= LAST_DAY_OF_MONTH:
        raise AnswerError(
            _(
                "Не поняли, что значит «{number}». Напишите день и час. "
                "Например: «завтра до 15:00» или «25 декабря».",
                number=plain(digits[:SHOWN_ANSWER_CHARS]),
            )
        )
    raise AnswerError(
        _(
            "{number} — это число месяца или сколько дней? "
            "Напишите «до {number}-го» или, например, «через 3 дня».",
            number=int(digits),
        )
    )


def _refuse_lonely_hour(hour: NamedHour, base: Base) -> None:
    """«До 18», «3 часа»: offer only what is still ahead."""
    if not (hour.lonely or hour.counted):
        return
    clock = _next_reading(hour, base)
    tomorrow = clock.date() != base.today
    if hour.counted:
        advice = (
            _("Напишите «завтра до {clock}» или «через {hour} ч».", clock=Clock(clock), hour=hour.hour)
            if tomorrow
            else _("Напишите «сегодня до {clock}» или «через {hour} ч».", clock=Clock(clock), hour=hour.hour)
        )
        raise AnswerError(sentence(_("{hour} ч — это время или сколько ждать?", hour=hour.hour), advice))
    advice = (
        _("Напишите «завтра до {clock}» или «до {hour}-го».", clock=Clock(clock), hour=hour.hour)
        if tomorrow
        else _("Напишите «сегодня до {clock}» или «до {hour}-го».", clock=Clock(clock), hour=hour.hour)
    )
    raise AnswerError(sentence(_("{hour} — это час или число?", hour=hour.hour), advice))


def _next_reading(hour: NamedHour, base: Base) -> datetime:
    """The next moment this hour may mean, within the working day if it can be."""
    hours = (hour.hour, hour.hour + NOON) if hour.bare else (hour.hour,)
    for day in (base.today, base.today + timedelta(days=1)):
        opening, closing = _hours(day, base)
        readings = [time(reading) for reading in hours]
        within = [reading for reading in readings if opening <= reading <= closing] or readings
        for reading in within:
            if _is_ahead(_at(day, reading, base), base):
                return _at(day, reading, base)
    raise AssertionError("Tomorrow every hour is ahead.")


def _refuse_contradiction(said: _Said, at: datetime, base: Base) -> None:
    """Words beside an exact moment that name another one; and moments out of reach."""
    if said.moments:
        others = [options[0] for options in said.days if at.date() not in options]
        others += [moment.at.date() for moment in said.moments[1:]]
        if others and others[0] != at.date():
            raise AnswerError(_which_day((at.date(), others[0]), base))
        if others or said.hours or said.parts or said.choices:
            raise AnswerError(_("Названо разное время. Напишите одно. Например: «завтра до 15:00»."))
        if not _is_ahead(at, base):
            raise AnswerError(_passed(at, said, base))
    last_day = months_later(base.today, YEARS_AHEAD * MONTHS_IN_YEAR)
    if (at.date(), at.time()) > (last_day, base.now.time()):
        raise AnswerError(_too_far(at.date(), base))


def _passed(moment: datetime, said: _Said, base: Base) -> Text:
    tomorrow = base.today + timedelta(days=1)
    if moment.date() != base.today:
        day = _shown_day(moment.date(), base.today)
        return _("Этот день уже прошёл ({day}). Назовите сегодняшний день или более поздний.", day=day)
    if said.hours or said.moments or (said.parts and _part_time(said.parts[0], base.today, base)):
        return _(
            "Сегодня {clock} уже прошло. Если это завтра ({day}), напишите «завтра до {clock}».",
            clock=Clock(moment), day=_shown_day(tomorrow, base.today),
        )  # fmt: skip
    closing = _at(tomorrow, None, base)
    return _(
        "Сегодня рабочий день уже закончился. Можно завтра: {day}, до {clock}. "
        "Напишите «завтра» или другой день.",
        day=_shown_day(tomorrow, base.today), clock=Clock(closing),
    )  # fmt: skip


def _which_day(days: Sequence[date], base: Base) -> Text:
    first, *others = dict.fromkeys(days)
    shown = Text("{day}", {"day": _shown_day(first, base.today)})
    for day in others:
        shown = _("{first} или {second}", first=shown, second=_shown_day(day, base.today))
    return _("Какой день верный: {days}? Напишите одну дату.", days=shown)


def _too_far(day: date, base: Base) -> Text:
    shown = _shown_day(day, base.today)
    return _("До этого дня больше трёх лет ({day}). Проверьте год или назовите срок поближе.", day=shown)


def _shown_day(day: date, today: date, *, capital: bool = False) -> Day:
    return Day(day, with_year=day.year != today.year, capital=capital)
