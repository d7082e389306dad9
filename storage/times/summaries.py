"""The figures of a period: all together, by whatever one asks, by week, over the hours of the week."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeAlias, TypeVar

from sqlmodel import Session

from router.worktime import WorkCalendar
from storage.times.measures import Event, Figure, Measure, TimesFilter, figure
from storage.times.spans import (
    Asked,
    Reading,
    client_names,
    departments,
    measured,
    moment,
    people_of,
    read,
    read_sent,
)

K = TypeVar("K", str, date, tuple[int, int])


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


Totals: TypeAlias = dict[Measure, dict[int, int]]
"""The working seconds of each request by its number, by measure; of a stage entered twice, all of them."""


def response_times(session: Session, wanted: TimesFilter, calendar: WorkCalendar, by: By = By.STAFF) -> Times:
    """All figures of a period, from one reading of its requests and stretches."""
    reading = read(session, wanted, calendar)
    totals, theirs = _added_up(reading, _codes(session, by))
    requests = tuple(each for each in reading.requests.values() if reading.counts(each.assignee_id))
    return Times(
        sent=len(requests),
        overall=_figures(totals),
        groups=_groups(session, reading, totals, theirs, by),
        weeks=_weeks(reading, requests, totals),
        heat=_heat(reading, requests, totals),
    )


def events(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, measure: Measure
) -> tuple[Event, ...]:
    """The list behind a figure: the requests that took longest first, the stretches of each in order."""
    shown = read_sent(session, wanted, calendar)
    found = [
        Event(what, shown[request.number], staff_id, moment(begun), moment(ended), seconds, stage)
        for what, request, staff_id, begun, ended, seconds, stage in measured(read(session, wanted, calendar))
        if what is measure and request.number in shown
    ]
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


def _codes(session: Session, by: By) -> dict[int | None, str]:
    """Under what the work of each person counts; empty where the figures are not told apart by people."""
    if by in _OF_REQUEST:
        return {}
    of_department = by is By.DEPARTMENT
    return {
        staff_id: department if of_department else str(staff_id)
        for staff_id, department in departments(session).items()
    }


def _added_up(reading: Reading, codes: Mapping[int | None, str]) -> tuple[Totals, dict[str, Totals]]:
    """The totals of everybody, and those of each code."""
    everybody = _no_totals()
    theirs: defaultdict[str, Totals] = defaultdict(_no_totals)
    for measure, request, staff_id, _begun, _ended, seconds, _stage in measured(reading):
        number = request.number
        totals = everybody[measure]
        totals[number] = totals.get(number, 0) + seconds
        if staff_id in codes:
            totals = theirs[codes[staff_id]][measure]
            totals[number] = totals.get(number, 0) + seconds
    return everybody, theirs


def _no_totals() -> Totals:
    return {measure: {} for measure in Measure}


def _figures(totals: Totals) -> dict[Measure, Figure]:
    made = ((measure, figure(tuple(requests.values()))) for measure, requests in totals.items())
    return {measure: found for measure, found in made if found is not None}


def _told_apart(reading: Reading, totals: Totals, key: Callable[[Asked], K]) -> dict[K, Totals]:
    """The totals by what a request itself says."""
    keys = {number: key(request) for number, request in reading.requests.items()}
    found: defaultdict[K, Totals] = defaultdict(_no_totals)
    for measure, requests in totals.items():
        for number, seconds in requests.items():
            found[keys[number]][measure][number] = seconds
    return found


_OF_REQUEST: Mapping[By, Callable[[Asked], str]] = {
    By.KIND: lambda request: request.kind,
    By.CLIENT: lambda request: str(request.client_id),
    By.CHANNEL: lambda request: request.channel,
}


def _groups(
    session: Session, reading: Reading, totals: Totals, theirs: Mapping[str, Totals], by: By
) -> tuple[Group, ...]:
    names = client_names(session, reading) if by is By.CLIENT else {}
    found = _told_apart(reading, totals, _OF_REQUEST[by]) if by in _OF_REQUEST else theirs
    groups = [
        Group(code, _figures(their), names.get(int(code), "") if names else "")
        for code, their in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-_size(group), group.code)))


def _size(group: Group) -> int:
    return max(found.count for found in group.figures.values())


def _weeks(reading: Reading, requests: Iterable[Asked], totals: Totals) -> tuple[Week, ...]:
    found = _told_apart(reading, totals, lambda request: request.hour.week)
    counts = Counter(request.hour.week for request in requests)
    return tuple(
        Week(monday, counts[monday], _figures(found[monday]) if monday in found else {})
        for monday in sorted({*found, *counts})
    )


def _heat(reading: Reading, requests: Iterable[Asked], totals: Totals) -> dict[tuple[int, int], HeatCell]:
    answered = {Measure.FIRST_RESPONSE: totals[Measure.FIRST_RESPONSE]}
    found = _told_apart(reading, answered, lambda request: request.hour[1:])
    counts = Counter(request.hour[1:] for request in requests)
    return {
        cell: HeatCell(
            counts[cell], _figures(found[cell]).get(Measure.FIRST_RESPONSE) if cell in found else None
        )
        for cell in sorted({*counts, *found})
    }
