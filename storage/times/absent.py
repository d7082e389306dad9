"""The firm's minutes without us, apart from the figures, which they do not change: the client waited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from router.worktime import WorkCalendar
from storage.outages import SERVICE, Span, during, working_seconds
from storage.times.measures import Event, Figure, Measure, TimesFilter, figure
from storage.times.spans import read_sent
from storage.times.summaries import events


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
    requests = read_sent(session, wanted, calendar).values()
    waits = [(sent.channel, sent.submitted_at, sent.first_response_at or now) for sent in requests]
    missed = tuple(
        Missed(span, working_seconds([span], calendar, since, until), _touched(span, waits, now))
        for span in spans
    )
    answered = events(session, wanted, calendar, Measure.FIRST_RESPONSE)
    return Absence(
        missed, working_seconds(spans, calendar, since, until), _without(spans, answered, calendar)
    )


def _touched(span: Span, waits: Iterable[tuple[str, datetime, datetime]], now: datetime) -> int:
    return sum(
        span.scope in (SERVICE, channel) and sent_at < span.until(now) and span.started_at < answered_at
        for channel, sent_at, answered_at in waits
    )


def _without(spans: tuple[Span, ...], answered: Iterable[Event], calendar: WorkCalendar) -> Figure | None:
    of_channel: dict[str, tuple[Span, ...]] = {}
    seconds: Mapping[int | None, int] = {
        event.number: event.seconds - _lost(event, _of(event, spans, of_channel), calendar)
        for event in answered
    }
    return figure(tuple(seconds.values()))


def _of(event: Event, spans: tuple[Span, ...], known: dict[str, tuple[Span, ...]]) -> tuple[Span, ...]:
    channel = event.sent.channel if event.sent else ""
    if channel not in known:
        known[channel] = tuple(span for span in spans if span.scope in (SERVICE, channel))
    return known[channel]


def _lost(event: Event, spans: tuple[Span, ...], calendar: WorkCalendar) -> int:
    if event.started_at is None or event.ended_at is None:
        return 0
    return working_seconds(spans, calendar, event.started_at, event.ended_at)
