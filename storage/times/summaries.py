"""The figures of a period: all together, by whatever one asks, by week, over the hours of the week."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar

from sqlmodel import Session

from router.worktime import WorkCalendar
from storage.times.measures import Event, Figure, Measure, Sent, TimesFilter, figure
from storage.times.spans import Reading, client_names, departments, measured, people_of, read, read_sent

K = TypeVar("K", int, str, date, tuple[int, int])


class By(StrEnum):
    """By what the figures are told apart."""

    STAFF = "staff"
    DEPARTMENT = "department"
    KIND = "kind"
    CLIENT = "client"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one person, department, kind, client or messenger; `name` is the client's alone."""

    code: str
    figures: Mapping[Measure, Figure]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Week:
    """The requests sent in the week from this Monday on."""

    monday: date
    sent: int
    figures: Mapping[Measure, Figure]


@dataclass(frozen=True, slots=True)
class HeatCell:
    """The requests sent on a weekday in one hour, and how soon they were answered."""

    sent: int
    first_response: Figure | None


@dataclass(frozen=True, slots=True)
class Times:
    """The figures of a period. `heat` is by (weekday, hour) of sending in the firm's zone."""

    sent: int
    overall: Mapping[Measure, Figure]
    groups: tuple[Group, ...]
    weeks: tuple[Week, ...]
    heat: Mapping[tuple[int, int], HeatCell]


def response_times(session: Session, wanted: TimesFilter, calendar: WorkCalendar, by: By = By.STAFF) -> Times:
    """All figures of a period, from one reading of its requests and stretches."""
    reading = read(session, wanted, calendar)
    found = tuple(measured(reading, calendar))
    requests = tuple(sent for sent in reading.sent.values() if reading.counts(sent.assignee_id))
    return Times(
        sent=len(requests),
        overall=figures_by(found, lambda _event: "").get("", {}),
        groups=_groups(session, reading, found, by),
        weeks=_weeks(requests, found),
        heat=_heat(requests, found),
    )


def events(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, measure: Measure
) -> tuple[Event, ...]:
    """The list behind a figure: the requests that took longest first, the stretches of each in order."""
    found = [event for event in measured(read(session, wanted, calendar), calendar) if event.what is measure]
    totals: dict[int | None, int] = {}
    for event in found:
        totals[event.number] = totals.get(event.number, 0) + event.seconds
    return tuple(sorted(found, key=lambda event: (-totals[event.number], event.number, event.started_at)))


def sent(session: Session, wanted: TimesFilter, calendar: WorkCalendar) -> tuple[Event, ...]:
    """The requests of the period, as they came."""
    people = people_of(session, wanted)
    found = [
        Event("sent", sent, sent.assignee_id, sent.submitted_at, None, 0)
        for sent in read_sent(session, wanted, calendar).values()
        if people is None or sent.assignee_id in people
    ]
    return tuple(sorted(found, key=lambda event: (event.started_at, event.number)))


def figures_by(found: Iterable[Event], key: Callable[[Event], K | None]) -> dict[K, dict[Measure, Figure]]:
    """Tell events apart by a key (None: left out) and sum up each measure of each."""
    totals: dict[tuple[K, str], dict[int | None, int]] = {}
    for event in found:
        group = key(event)
        if group is None:
            continue
        number = event.number
        requests = totals.setdefault((group, event.what), {})
        requests[number] = requests.get(number, 0) + event.seconds
    figures: dict[K, dict[Measure, Figure]] = {}
    for (group, what), requests in totals.items():
        made = figure(tuple(requests.values()))
        if made is not None:
            figures.setdefault(group, {})[Measure(what)] = made
    return figures


def _groups(session: Session, reading: Reading, found: tuple[Event, ...], by: By) -> tuple[Group, ...]:
    department_of = departments(session) if by is By.DEPARTMENT else {}
    names = client_names(session, reading) if by is By.CLIENT else {}

    def key(event: Event) -> str | None:
        assert event.sent is not None
        match by:
            case By.STAFF:
                return None if event.staff_id is None else str(event.staff_id)
            case By.DEPARTMENT:
                return None if event.staff_id is None else department_of.get(event.staff_id)
            case By.KIND:
                return event.sent.kind
            case By.CLIENT:
                return str(event.sent.client_id)
            case By.CHANNEL:
                return event.sent.channel

    groups = [
        Group(code, figures, names.get(int(code), "") if names else "")
        for code, figures in figures_by(found, key).items()
    ]
    return tuple(sorted(groups, key=lambda group: (-_size(group), group.code)))


def _size(group: Group) -> int:
    return max(found.count for found in group.figures.values())


def _weeks(requests: tuple[Sent, ...], found: tuple[Event, ...]) -> tuple[Week, ...]:
    figures = figures_by(found, lambda event: event.sent.week if event.sent else None)
    counts: dict[date, int] = {}
    for request in requests:
        counts[request.week] = counts.get(request.week, 0) + 1
    mondays = sorted({*figures, *counts})
    return tuple(Week(monday, counts.get(monday, 0), figures.get(monday, {})) for monday in mondays)


def _heat(requests: tuple[Sent, ...], found: tuple[Event, ...]) -> dict[tuple[int, int], HeatCell]:
    answered = (event for event in found if event.what is Measure.FIRST_RESPONSE)
    figures = figures_by(
        answered, lambda event: (event.sent.weekday, event.sent.hour) if event.sent else None
    )
    counts: dict[tuple[int, int], int] = {}
    for request in requests:
        cell = request.weekday, request.hour
        counts[cell] = counts.get(cell, 0) + 1
    return {
        cell: HeatCell(count, figures.get(cell, {}).get(Measure.FIRST_RESPONSE))
        for cell, count in sorted(counts.items())
    }
