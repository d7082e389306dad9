"""Working time: when the firm is open, and how many working seconds lie between two moments.

The one room that knows the firm's zone. Moments go in aware, in any zone, and come out in UTC;
calendar days are the firm's own.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_SATURDAY = 5

# Labour Code of Russia, article 112.
_STATUTORY_HOLIDAYS = frozenset(
    {(1, day) for day in range(1, 9)} | {(2, 23), (3, 8), (5, 1), (5, 9), (6, 12), (11, 4)}
)
# Article 95: the working day before a statutory holiday is an hour shorter.
_PRE_HOLIDAY_CUT = timedelta(hours=1)

_TIME = r"([01]?\d|2[0-3]):([0-5]\d)"

# How far `add_working` and `next_opening` look before they say that the firm never opens.
_YEARS_AHEAD = 100


@dataclass(frozen=True, slots=True)
class _Year:
    """The working spans of one year, oldest first, in seconds since 1970.

    `before[i]` is the working time of the year that passes before span `i` starts.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    before: tuple[int, ...]
    total: int

    def passed(self, moment: int) -> int:
        """Working seconds of this year that lie before the moment."""
        span = bisect_right(self.starts, moment) - 1
        if span < 0:
            return 0
        return self.before[span] + min(moment, self.ends[span]) - self.starts[span]

    def moment(self, passed: int) -> int:
        """When so many (1 … total) working seconds of this year will have passed."""
        span = bisect_left(self.before, passed) - 1
        return self.starts[span] + passed - self.before[span]


@dataclass(frozen=True, slots=True)
class _Decree:
    """What the government decided for one year, over and above Saturdays, Sundays and article 112."""

    days_off: frozenset[date]
    working_weekends: Mapping[date, date | None]
    """A worked Saturday or Sunday, and the day that is free in exchange for it."""


@dataclass(frozen=True, slots=True)
class HoursSince:
    """The firm's hours from a day on; of the extra days those before it say nothing.

    Raises:
        ValueError: the hours are not in order, or a day is both worked and free.
    """

    since: date
    opens: time
    closes: time
    lunch: tuple[time, time] | None = None
    extra_working_days: frozenset[date] = frozenset()
    extra_days_off: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if self.opens >= self.closes:
            raise ValueError(f"The firm must close after it opens, not {self.opens}-{self.closes}.")
        if self.lunch and not self.opens <= self.lunch[0] < self.lunch[1] <= self.closes:
            raise ValueError(f"Lunch {self.lunch[0]}-{self.lunch[1]} must lie inside the working hours.")
        both = self.extra_working_days & self.extra_days_off
        if both:
            raise ValueError(f"{min(both)} stands both among the extra working days and the extra days off.")


@dataclass(frozen=True, slots=True)
class WorkCalendar:
    """The firm's working hours over the Russian calendar of holidays and transfers.

    `opens`, `closes` and `lunch` are local times of `zone`. The extra days overrule the decrees, for a
    year that has none yet or for the firm's own holidays. All of them hold until the first day of
    `later`, so that new hours leave the days before them as they were: see `from_day`. Computed years are
    kept in the instance.

    Raises:
        ValueError: the hours are not in order, or a day is both worked and free.
    """

    zone: ZoneInfo
    opens: time
    closes: time
    lunch: tuple[time, time] | None = None
    extra_working_days: frozenset[date] = frozenset()
    extra_days_off: frozenset[date] = frozenset()
    later: tuple[HoursSince, ...] = ()
    """By their days, oldest first."""
    _dated: tuple[HoursSince, ...] = field(init=False, repr=False, compare=False)
    _years: dict[int, _Year] = field(default_factory=dict, init=False, repr=False, compare=False)
    _decrees: dict[int, _Decree] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = HoursSince(
            date.min, self.opens, self.closes, self.lunch, self.extra_working_days, self.extra_days_off
        )
        object.__setattr__(self, "_dated", (first, *self.later))

    @property
    def dated(self) -> tuple[HoursSince, ...]:
        """All hours by the days from which they hold; the first are from ever."""
        return self._dated

    def hours_on(self, day: date) -> HoursSince:
        """The hours that hold on this day, whether it is worked or not."""
        return self._dated[bisect_right(self._dated, day, key=_since) - 1]

    def from_day(self, hours: HoursSince) -> WorkCalendar:
        """The calendar with other hours from a day on; whatever was to begin on it or later is gone."""
        return replace(self, later=(*(kept for kept in self.later if kept.since < hours.since), hours))

    def is_working_day(self, day: date) -> bool:
        """Whether the firm works on this day, transfers and working Saturdays included."""
        hours = self.hours_on(day)
        if day in hours.extra_working_days:
            return True
        if day in hours.extra_days_off:
            return False
        decree = self._decree(day.year)
        if day.weekday() >= _SATURDAY:
            return day in decree.working_weekends
        return day not in decree.days_off and not _is_statutory_holiday(day)

    def opens_at(self, day: date) -> time:
        """When the firm opens on this day, in its own zone, as if it were a working one."""
        return self.hours_on(day).opens

    def closes_at(self, day: date) -> time:
        """When the firm closes on this day, as if it were a working one; earlier before a holiday."""
        hours = self.hours_on(day)
        if not self._is_short(day):
            return hours.closes
        cut = datetime.combine(day, hours.closes) - _PRE_HOLIDAY_CUT
        return max(cut, datetime.combine(day, hours.opens)).time()

    def closing_of(self, day: date) -> datetime:
        """The moment (UTC) at which the firm closes on this day."""
        return datetime.combine(day, self.closes_at(day), self.zone).astimezone(UTC)

    def closing_after(self, at: datetime, working_days: int) -> datetime:
        """When (UTC) the firm closes on the so-many-th working day after the day of this moment."""
        day, left = at.astimezone(self.zone).date(), working_days
        while left:
            day += timedelta(days=1)
            left -= self.is_working_day(day)
        return self.closing_of(day)

    def is_open(self, at: datetime) -> bool:
        """Whether people are at work at this moment: the opening second is in, the closing one is out."""
        year, moment = self._year_of(at), _seconds(at)
        span = bisect_right(year.starts, moment) - 1
        return span >= 0 and moment < year.ends[span]

    def next_opening(self, at: datetime) -> datetime:
        """The moment itself inside working time, else the next moment at which work begins (UTC)."""
        if self.is_open(at):
            return at.astimezone(UTC)
        return self.add_working(at, 1) - _SECOND

    def working_seconds(self, start: datetime, end: datetime) -> int:
        """Whole working seconds from `start` to `end`; 0 when the end is not later.

        Adds up exactly: for a ≤ b ≤ c, the seconds of (a, b) and (b, c) make those of (a, c).
        """
        begun, ended = _seconds(start), _seconds(end)
        if ended <= begun:
            return 0
        first, last = start.astimezone(self.zone).year, end.astimezone(self.zone).year
        if first == last:  # the reports of a month ask tens of thousands of times
            year = self._year(last)
            return year.passed(ended) - year.passed(begun)
        between = sum(self._year(year).total for year in range(first, last))
        return between + self._year(last).passed(ended) - self._year(first).passed(begun)

    def elapsed(self, first: int, last: int) -> Callable[[int], int]:
        """A counter for whoever asks a million times: the working seconds that have passed by a moment.

        Moments are whole seconds since 1970, from `first` to `last`. The difference between two counts is
        what `working_seconds` says.
        """
        edges: list[int] = []
        # Behind an opening stands what is added to a moment, behind a closing all that has passed.
        passed, total = [0], 0
        years = (datetime.fromtimestamp(moment, self.zone).year for moment in (first, last))
        for number in range(next(years), next(years) + 1):
            year = self._year(number)
            for start, end in zip(year.starts, year.ends, strict=True):
                edges += (start, end)
                passed += (total - start, total + end - start)
                total += end - start

        def count(moment: int) -> int:
            edge = bisect_right(edges, moment)
            return passed[edge] + moment if edge & 1 else passed[edge]

        return count

    def add_working(self, start: datetime, seconds: int) -> datetime:
        """The earliest moment (UTC) by which so many working seconds have passed since `start`.

        Time that runs out exactly at closing is due at closing, not next morning. Zero seconds are
        `next_opening(start)`.

        Raises:
            ValueError: `seconds` is negative, or the firm does not work that much within a century.
        """
        if seconds < 0:
            raise ValueError(f"Working time is added, not taken away: {seconds} seconds.")
        if seconds == 0:
            return self.next_opening(start)
        first = start.astimezone(self.zone).year
        left = self._year(first).passed(_seconds(start)) + seconds
        for number in range(first, min(first + _YEARS_AHEAD, date.max.year)):
            year = self._year(number)
            if left <= year.total:
                return _EPOCH + year.moment(left) * _SECOND
            left -= year.total
        raise ValueError(f"There are no {seconds} working seconds within {_YEARS_AHEAD} years of {start}.")

    def knows_year(self, year: int) -> bool:
        """Whether the transferred days of this year are known, by decree or from the extra days."""
        decree = self._decree(year)
        extra = (hours.extra_working_days | hours.extra_days_off for hours in self._dated)
        transfers = any(not _is_statutory_holiday(day) for day in decree.days_off)
        return transfers or any(day.year == year for days in extra for day in days)

    def _is_short(self, day: date) -> bool:
        if _is_statutory_holiday(day + _DAY):
            return True
        # A Saturday worked in exchange for a day before a holiday is as short as that day would be.
        exchanged_for = self._decree(day.year).working_weekends.get(day)
        return exchanged_for is not None and _is_statutory_holiday(exchanged_for + _DAY)

    def _year_of(self, at: datetime) -> _Year:
        return self._year(at.astimezone(self.zone).year)

    def _year(self, number: int) -> _Year:
        year = self._years.get(number)
        if year is None:
            year = self._years[number] = self._count_year(number)
        return year

    def _count_year(self, number: int) -> _Year:
        starts: list[int] = []
        ends: list[int] = []
        before: list[int] = []
        total = 0
        for start, end in self._spans(number):
            starts.append(start)
            ends.append(end)
            before.append(total)
            total += end - start
        return _Year(tuple(starts), tuple(ends), tuple(before), total)

    def _spans(self, year: int) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        latest = _seconds(datetime(year, 1, 1, tzinfo=self.zone))
        for number in range((date(year + 1, 1, 1) - date(year, 1, 1)).days):
            day = date(year, 1, 1) + number * _DAY
            if not self.is_working_day(day):
                continue
            edges = []
            for edge in self._edges(day):
                # A local time that the change to summer time skips can come out later than the next
                # one; the spans must stay in order all the same.
                latest = max(latest, edge)
                edges.append(latest)
            pairs = zip(edges[::2], edges[1::2], strict=True)
            spans.extend((start, end) for start, end in pairs if start < end)
        return spans

    def _edges(self, day: date) -> tuple[int, ...]:
        hours = self.hours_on(day)
        opening = datetime.combine(day, hours.opens, self.zone)
        opens, closes = _seconds(opening), _seconds(self.closing_of(day))
        if hours.lunch is None:
            return opens, closes
        # A short day can end before lunch does.
        lunch = (_seconds(datetime.combine(day, edge, self.zone)) for edge in hours.lunch)
        return opens, *(min(edge, closes) for edge in lunch), closes

    def _decree(self, year: int) -> _Decree:
        decree = self._decrees.get(year)
        if decree is None:
            decree = self._decrees[year] = _read_decree(year)
        return decree


def parse_hours(text: str) -> tuple[time, time]:
    """Read "09:00-18:00" as two local times of one day.

    Raises:
        ValueError: a sentence for the operator.
    """
    parts = re.fullmatch(rf"\s*{_TIME}\s*[-–—]\s*{_TIME}\s*", text, re.ASCII)
    if parts:
        begin, end = (time(int(hour), int(minute)) for hour, minute in (parts.group(1, 2), parts.group(3, 4)))
        if begin < end:
            return begin, end
    raise ValueError(
        f'Hours are written as "09:00-18:00", the later time second and both within one day, not "{text}".'
    )


def _since(hours: HoursSince) -> date:
    return hours.since


def _is_statutory_holiday(day: date) -> bool:
    return (day.month, day.day) in _STATUTORY_HOLIDAYS


def _read_decree(year: int) -> _Decree:
    from holidays.countries.russia import Russia  # slow to import, and many commands never need it

    # One year at a time: the library would otherwise add neighbours when it is asked about them.
    known = Russia(years=year, language="ru", expand=False)  # type: ignore[no-untyped-call]
    worked: dict[date, date | None] = dict.fromkeys(sorted(known.weekend_workdays))
    for day, name in known.items():
        # «Выходной (перенесено с 02.11.2024)»
        match = re.search(r"(\d\d)\.(\d\d)\.(\d{4})", name)
        given = date(int(match[3]), int(match[2]), int(match[1])) if match else None
        if given in worked:
            worked[given] = day
    return _Decree(frozenset(known), worked)


def _seconds(at: datetime) -> int:
    return (at - _EPOCH) // _SECOND
