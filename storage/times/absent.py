"""The firm's minutes without us, apart from the figures, which they do not change: the client waited."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from router.worktime import WorkCalendar
from storage.outages import SERVICE, Span, during, working_seconds
from storage.times.measures import Figure, TimesFilter, figure
from storage.times.spans import Asked, counter, people_of, read_asked


@dataclass(frozen=True, slots=True)
class Missed:
    """One outage: its working seconds in the period, and how many requests waited for an answer in it."""

    span: Span
    seconds: int
    requests: int


@dataclass(frozen=True, slots=True)
class Absence:
    """The outages of a period, oldest first.

    `seconds` are their working seconds, of what overlaps once. `first_response` is the figure as it
    would be if their minutes did not count.
    """

    missed: tuple[Missed, ...]
    seconds: int
    first_response: Figure | None


def without_us(session: Session, wanted: TimesFilter, calendar: WorkCalendar, now: datetime) -> Absence:
    """Tell what the outages of a period were, and what they cost."""
    since, until = wanted.since, min(wanted.until, now)
    spans = during(session, (SERVICE, wanted.channel) if wanted.channel else (), since, until)
    if not spans:
        return Absence((), 0, None)
    requests = tuple(read_asked(session, wanted, calendar.zone).values())
    people = people_of(session, wanted)
    waited = _waits(requests, now)
    missed = tuple(
        Missed(span, working_seconds([span], calendar, since, until), waited(span)) for span in spans
    )
    answered = [request for request in requests if people is None or request.responder_id in people]
    return Absence(
        missed, working_seconds(spans, calendar, since, until), _without(spans, answered, calendar, now)
    )


def _waits(requests: Iterable[Asked], now: datetime) -> Callable[[Span], int]:
    """How many requests waited for an answer in an outage: sent before its end, not answered before it."""
    sent: defaultdict[str, list[int]] = defaultdict(list)
    answered: defaultdict[str, list[int]] = defaultdict(list)
    so_far = _whole(now)
    for request in requests:
        until = so_far if request.responded is None else request.responded
        for scope in (SERVICE, request.channel):
            sent[scope].append(request.submitted)
            answered[scope].append(max(until, request.submitted))
    for moments in (*sent.values(), *answered.values()):
        moments.sort()

    def waited(span: Span) -> int:
        begun, ended = _whole(span.started_at), _whole(span.until(now))
        return bisect_left(sent[span.scope], ended) - bisect_right(answered[span.scope], begun)

    return waited


def _without(
    spans: tuple[Span, ...], requests: Iterable[Asked], calendar: WorkCalendar, now: datetime
) -> Figure | None:
    answered = [
        (each.channel, each.submitted, each.responded) for each in requests if each.responded is not None
    ]
    outages = [(_whole(span.started_at), _whole(span.until(now))) for span in spans]
    passed = counter(calendar, (each[1:] for each in answered), outages)
    lost: dict[str, Callable[[int], int]] = {}
    for channel in {channel for channel, _begun, _ended in answered}:
        theirs = (SERVICE, channel)
        lost[channel] = _lost(
            [at for at, span in zip(outages, spans, strict=True) if span.scope in theirs], passed
        )
    return figure(
        [
            passed(ended) - passed(begun) - lost[channel](ended) + lost[channel](begun)
            for channel, begun, ended in answered
        ]
    )


def _lost(outages: Iterable[tuple[int, int]], passed: Callable[[int], int]) -> Callable[[int], int]:
    """A counter of the working seconds that outages took up to a moment; what two cover counts once."""
    begins: list[int] = []
    ends: list[int] = []
    before = [0]
    for begun, ended in sorted(outages):
        start = max(begun, ends[-1]) if ends else begun
        if ended > start:
            begins.append(start)
            ends.append(ended)
            before.append(before[-1] + passed(ended) - passed(start))

    def count(moment: int) -> int:
        last = bisect_right(begins, moment) - 1
        return before[last] + passed(min(moment, ends[last])) - passed(begins[last]) if last >= 0 else 0

    return count


def _whole(at: datetime) -> int:
    return math.floor(at.timestamp())
