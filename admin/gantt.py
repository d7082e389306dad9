"""Where the bars of the time-line stand: pure geometry over working hours.

Nights, days off and hours outside the firm's day take no room: a moment in them stands at the nearest
edge. Positions are thousandths of the whole width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

from router.model import Status
from router.worktime import WorkCalendar
from storage.board import Stretch

WIDTH = 1000.0
LEAST = 3.0
"""No bar is thinner, or nobody would see a minute in a week."""

ROW = 40
PLANNED = "planned"
LATE = "late"

_OWING = (Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)


@dataclass(frozen=True, slots=True)
class Scale:
    """The days that are shown, each with its working hours."""

    days: tuple[date, ...]
    calendar: WorkCalendar

    def x(self, at: datetime) -> float:
        """Where a moment stands."""
        local = at.astimezone(self.calendar.zone)
        before = sum(day < local.date() for day in self.days)
        part = self._part(local) if local.date() in self.days else 0.0
        return WIDTH * (before + part) / len(self.days)

    def starts(self) -> tuple[tuple[date, float], ...]:
        """Where each day begins."""
        return tuple((day, WIDTH * at / len(self.days)) for at, day in enumerate(self.days))

    def hours(self) -> tuple[tuple[str, float], ...]:
        """The full hours of a day that is shown alone."""
        if len(self.days) > 1:
            return ()
        opens = datetime.combine(self.days[0], self.calendar.opens_at(self.days[0]), self.calendar.zone)
        first = opens.replace(minute=0) + timedelta(hours=1)
        hours = (first + timedelta(hours=number) for number in range(24))
        return tuple((hour.strftime("%H:%M"), self.x(hour)) for hour in hours if 0 < self._part(hour) < 1)

    def _part(self, local: datetime) -> float:
        opens = datetime.combine(local.date(), self.calendar.opens_at(local.date()), self.calendar.zone)
        closes = datetime.combine(
            local.date(), self.calendar.hours_on(local.date()).closes, self.calendar.zone
        )
        return min(max((local - opens) / (closes - opens), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch as it is drawn. `look` is a stage, `planned` (until the deadline) or `late` (since it)."""

    look: str
    x: float
    width: float
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Line:
    """A request on one person's time-line; `deadline_x` is None outside the days that are shown."""

    number: int
    company: str
    status: Status
    deadline: datetime
    deadline_x: float | None
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """A person's time-line."""

    staff_id: int
    name: str
    lines: tuple[Line, ...]

    @property
    def height(self) -> int:
        """How high its picture is."""
        return ROW * len(self.lines)


def scale_of(shown: Sequence[date], calendar: WorkCalendar) -> Scale:
    """The working days among those asked for; all of them when there is none."""
    working = tuple(day for day in shown if calendar.is_working_day(day))
    return Scale(working or tuple(shown), calendar)


def lanes(
    found: Iterable[Stretch], scale: Scale, since: datetime, until: datetime, now: datetime
) -> tuple[Lane, ...]:
    """The time-lines; `found` comes person by person."""
    made = []
    for (staff_id, name), stretches in groupby(found, key=lambda one: (one.staff_id, one.name)):
        by_number: dict[int, list[Stretch]] = {}
        for stretch in stretches:
            by_number.setdefault(stretch.number, []).append(stretch)
        lines = (_line(own, scale, since, until, now) for own in by_number.values())
        # Whoever was given a request and lost it in the same second was not busy with it.
        made.append(Lane(staff_id, name, tuple(line for line in lines if line.bars)))
    return tuple(lane for lane in made if lane.lines)


def _line(own: Sequence[Stretch], scale: Scale, since: datetime, until: datetime, now: datetime) -> Line:
    last = own[-1]
    bars = [
        _bar(scale, one.stage.value, max(one.started_at, since), min(one.ended_at or now, until), one)
        for one in own
        if one.started_at < min(one.ended_at or now, until)
    ]
    if last.is_theirs and last.status in _OWING:
        bars += _ahead(last, scale, since, until, now)
    within = since <= last.deadline < until
    return Line(
        last.number, last.company, last.status, last.deadline,
        scale.x(last.deadline) if within else None, tuple(bars),
    )  # fmt: skip


def _ahead(last: Stretch, scale: Scale, since: datetime, until: datetime, now: datetime) -> list[Bar]:
    """From now until the deadline, or how long it is over."""
    look = LATE if last.deadline < now else PLANNED
    begins, ends = max(min(last.deadline, now), since), min(max(last.deadline, now), until)
    if begins >= ends:
        return []
    x = scale.x(begins)
    return [Bar(look, x, max(scale.x(ends) - x, LEAST), min(last.deadline, now), max(last.deadline, now))]


def _bar(scale: Scale, look: str, begins: datetime, ends: datetime, stretch: Stretch) -> Bar:
    x = min(scale.x(begins), WIDTH - LEAST)
    return Bar(look, x, max(scale.x(ends) - x, LEAST), stretch.started_at, stretch.ended_at)
