"""How long requests take, in the firm's working minutes, beside what they should take.

A figure is made from a list of spans, one per request, and the list can be asked for with the same
arguments: recomputing it gives the figure. A stage counts for a request once a stretch of it has
ended; all its ended stretches are added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import ceil
from statistics import median
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import select
from sqlmodel import Session, col

from router.worktime import WorkCalendar
from storage.models import Request, StageInterval


class Measure(StrEnum):
    """What is measured. The stages bear their own names."""

    FIRST_RESPONSE = "first_response"
    """From sending to the first answer of a person."""
    QUEUE = "queue"
    PROCESSING = "processing"
    CLARIFICATION = "clarification"
    EXECUTION = "execution"
    WHOLE = "whole"
    """Processing, clarification and execution of a request that is done: what the firm itself spent."""
    CLIENT = "client"
    THIRD_PARTY = "third_party"
    RESOLUTION = "resolution"
    """From sending to the result."""


@dataclass(frozen=True, slots=True)
class Norm:
    """What a measure should be and what it was before, both as (from, to) in minutes."""

    target: tuple[int, int]
    before: tuple[int, int]


NORMS: Mapping[Measure, Norm] = MappingProxyType(
    {
        Measure.PROCESSING: Norm((2, 5), (15, 30)),
        Measure.CLARIFICATION: Norm((1, 3), (10, 30)),
        Measure.EXECUTION: Norm((2, 7), (20, 40)),
        Measure.WHOLE: Norm((5, 15), (45, 100)),
    }
)

K = TypeVar("K")

# Looked up for every stretch of a month: calling the enumeration costs six times as much.
_BY_STAGE = {measure.value: measure for measure in Measure}
_OWN_STAGES = (Measure.PROCESSING, Measure.CLARIFICATION, Measure.EXECUTION)


@dataclass(frozen=True, slots=True)
class TimesFilter:
    """Requests sent from `since` until before `until` (aware UTC).

    `staff_id` narrows a stage to the stretches that were this person's, and the measures from end to
    end to the requests this person has.
    """

    since: datetime
    until: datetime
    kind: str = ""
    staff_id: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """What one request adds to a figure."""

    number: int
    kind: str
    staff_id: int | None
    measure: Measure
    seconds: int


@dataclass(frozen=True, slots=True)
class Figure:
    """Median and ninth decile (nearest rank) in working minutes over `count` requests."""

    median_minutes: float
    p90_minutes: float
    count: int


@dataclass(frozen=True, slots=True)
class Times:
    """The figures of a period: all together, by member of staff, by kind of work."""

    overall: Mapping[Measure, Figure]
    by_staff: Mapping[int, Mapping[Measure, Figure]]
    by_kind: Mapping[str, Mapping[Measure, Figure]]


def response_times(session: Session, wanted: TimesFilter, calendar: WorkCalendar) -> Times:
    """All figures of a period, from one reading of its intervals."""
    reading = _read(session, wanted, calendar)
    personal = _narrowed(reading.spans(by_person=True), wanted.staff_id)
    spans = reading.spans(by_person=False) if wanted.staff_id is None else personal
    return Times(
        overall=_figures(spans),
        by_staff=_grouped((span.staff_id, span) for span in personal if span.staff_id is not None),
        by_kind=_grouped((span.kind, span) for span in spans),
    )


def events(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, measure: Measure
) -> tuple[Span, ...]:
    """The list behind a figure, longest first."""
    reading = _read(session, wanted, calendar)
    spans = _narrowed(reading.spans(by_person=wanted.staff_id is not None), wanted.staff_id)
    found = [span for span in spans if span.measure is measure]
    return tuple(sorted(found, key=lambda span: (-span.seconds, span.number)))


def figure(seconds: Sequence[int]) -> Figure | None:
    """Sum up a list; None when it is empty."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    ninth = ordered[ceil(len(ordered) * 0.9) - 1]
    return Figure(median(ordered) / 60, ninth / 60, len(ordered))


# --- From rows to spans --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request as far as the clock is concerned; its own measures in working seconds."""

    kind: str
    assignee_id: int | None
    first_response: int | None
    resolution: int | None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """An ended stretch of a stage."""

    number: int
    stage: str
    staff_id: int | None
    seconds: int


@dataclass(frozen=True, slots=True)
class _Reading:
    sent: Mapping[int, _Sent]
    stretches: tuple[_Stretch, ...]

    def spans(self, by_person: bool) -> list[Span]:
        """One span per request and measure; `by_person` also tells the stages of its holders apart."""
        totals: dict[tuple[int, str, int | None], int] = {}
        whole: dict[int, int] = {}
        for stretch in self.stretches:
            key = (stretch.number, stretch.stage, stretch.staff_id if by_person else None)
            totals[key] = totals.get(key, 0) + stretch.seconds
            if stretch.stage in _OWN_STAGES:
                whole[stretch.number] = whole.get(stretch.number, 0) + stretch.seconds
        spans = [
            Span(number, self.sent[number].kind, staff_id, _BY_STAGE[stage], seconds)
            for (number, stage, staff_id), seconds in totals.items()
        ]
        for number, sent in self.sent.items():
            done = sent.resolution is not None
            for measure, seconds in (
                (Measure.FIRST_RESPONSE, sent.first_response),
                (Measure.RESOLUTION, sent.resolution),
                (Measure.WHOLE, whole.get(number) if done else None),
            ):
                if seconds is not None:
                    spans.append(Span(number, sent.kind, sent.assignee_id, measure, seconds))
        return spans


def _read(session: Session, wanted: TimesFilter, calendar: WorkCalendar) -> _Reading:
    within = [col(Request.submitted_at) >= wanted.since, col(Request.submitted_at) < wanted.until]
    if wanted.kind:
        within.append(col(Request.kind) == wanted.kind)
    requests = select(
        col(Request.id), col(Request.kind), col(Request.assignee_id),
        col(Request.submitted_at), col(Request.first_response_at), col(Request.done_at),
    ).where(*within)  # fmt: skip
    stretches = (
        select(
            col(StageInterval.request_id), col(StageInterval.stage), col(StageInterval.staff_id),
            col(StageInterval.started_at), col(StageInterval.ended_at),
        )
        .join(Request, col(Request.id) == StageInterval.request_id)
        .where(*within, col(StageInterval.ended_at).is_not(None))
    )  # fmt: skip
    return _Reading(
        {row[0]: _sent(row, calendar) for row in session.execute(requests)},
        tuple(
            _Stretch(number, stage, staff_id, calendar.working_seconds(started, ended))
            for number, stage, staff_id, started, ended in session.execute(stretches)
        ),
    )


def _sent(row: Any, calendar: WorkCalendar) -> _Sent:
    _number, kind, assignee_id, submitted_at, first_response_at, done_at = row

    def until(moment: datetime | None) -> int | None:
        return None if moment is None else calendar.working_seconds(submitted_at, moment)

    return _Sent(kind, assignee_id, until(first_response_at), until(done_at))


def _narrowed(spans: list[Span], staff_id: int | None) -> list[Span]:
    return spans if staff_id is None else [span for span in spans if span.staff_id == staff_id]


def _figures(spans: Iterable[Span]) -> dict[Measure, Figure]:
    seconds: dict[Measure, list[int]] = {}
    for span in spans:
        seconds.setdefault(span.measure, []).append(span.seconds)
    made = {measure: figure(values) for measure, values in seconds.items()}
    return {measure: value for measure, value in made.items() if value is not None}


def _grouped(pairs: Iterable[tuple[K, Span]]) -> dict[K, dict[Measure, Figure]]:
    groups: dict[K, list[Span]] = {}
    for key, span in pairs:
        groups.setdefault(key, []).append(span)
    return {key: _figures(spans) for key, spans in groups.items()}
