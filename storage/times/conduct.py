"""How each member of staff worked: hours, time with clients, and what discipline asks about.

What is about requests is about those sent in the period; shifts, messages, talks and absences are
those that fell into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain, zip_longest

from sqlalchemy import String, cast, literal, or_, select
from sqlmodel import Session

from router.desk import Event as DeskEvent
from router.model import Stage, Status
from router.worktime import WorkCalendar
from storage.by_time import numbers_between
from storage.models import metadata
from storage.shifts import ShiftKind
from storage.times.measures import Event, Sent, TimesFilter
from storage.times.norms import Norms
from storage.times.spans import Stretch, counter, moment, people_of, read_sent, read_stretches, within

_REQUEST, _SHIFT, _STAFF, _LETTER, _CALL, _HISTORY, _ABSENCE = (
    metadata.tables[name]
    for name in ("request", "shift", "staff", "letter", "call_task", "history", "absence")
)


class Conduct(StrEnum):
    """What is told of a person; each is a list of events."""

    HOURS = "hours"
    """Stretches of work of the shifts, in clock time, pauses left out."""
    TALK = "talk"
    """Messages to clients and talks with them, each reckoned at the minutes that the norms say."""
    GIVEN = "given"
    """Requests given to the person."""
    IN_TIME = "in_time"
    """Taken within the norm of processing."""
    TAKEN_LATE = "taken_late"
    """Taken, but later than that."""
    DECLINED = "declined"
    ESCALATED = "escalated"
    """Not taken in time: it went to somebody else."""
    DONE = "done"
    """Of whoever said so."""
    LATE = "late"
    """Done after the deadline, or not done though it has passed; in working time over it.

    It is the assignee's, a director may have helped.
    """
    ABSENT = "absent"
    """Leave and illness, in the firm's working time."""


IN_SECONDS = frozenset({Conduct.HOURS, Conduct.TALK, Conduct.ABSENT})
"""Of these the seconds are added up; of the others the events are counted."""


@dataclass(frozen=True, slots=True)
class PersonReport:
    """The figures of one person: seconds or counts by what they tell."""

    staff_id: int
    figures: Mapping[Conduct, int]

    @property
    def talk_share(self) -> float | None:
        """Client interaction as a part of the hours worked; None without hours."""
        worked = self.figures[Conduct.HOURS]
        return self.figures[Conduct.TALK] / worked if worked else None


def people_report(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, norms: Norms, now: datetime
) -> tuple[PersonReport, ...]:
    """Everybody with anything to tell, by number."""
    figures: dict[int, dict[Conduct, int]] = {}
    for event in _all(session, wanted, calendar, norms, now):
        if event.staff_id is None:
            continue
        person = figures.setdefault(event.staff_id, dict.fromkeys(Conduct, 0))
        what = Conduct(event.what)
        person[what] += event.seconds if what in IN_SECONDS else 1
    return tuple(PersonReport(staff_id, figures[staff_id]) for staff_id in sorted(figures))


def conduct_events(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, norms: Norms, now: datetime, what: Conduct
) -> tuple[Event, ...]:
    """The list behind a figure, oldest first."""
    found = [event for event in _all(session, wanted, calendar, norms, now) if event.what is what]
    return tuple(sorted(found, key=_order))


def _order(event: Event) -> tuple[bool, datetime, int]:
    at = event.started_at or event.ended_at
    assert at is not None
    return False, at, event.number or 0


def _all(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, norms: Norms, now: datetime
) -> Iterator[Event]:
    sent = read_sent(session, wanted, calendar)
    people = people_of(session, wanted)
    for event in chain(
        _hours(session, wanted.since, min(wanted.until, now)),
        _talk(session, sent, norms, wanted.since, wanted.until),
        _taking(sent, read_stretches(session, wanted, sent), calendar, norms),
        _given_back(session, sent, wanted),
        _finishing(sent, calendar, now),
        _absences(session, calendar, wanted),
    ):
        if people is None or event.staff_id in people:
            yield event


def _hours(session: Session, since: datetime, until: datetime) -> Iterator[Event]:
    query = select(_SHIFT.c.staff_id, _SHIFT.c.started_at, _SHIFT.c.ended_at).where(
        _SHIFT.c.kind == ShiftKind.WORK.value,
        _SHIFT.c.started_at < until,
        or_(_SHIFT.c.ended_at.is_(None), _SHIFT.c.ended_at > since),
    )
    for staff_id, started_at, ended_at in session.connection().execute(query):
        begun, ended = max(started_at, since), min(ended_at or until, until)
        if begun < ended:
            seconds = int((ended - begun).total_seconds())
            yield Event(Conduct.HOURS, None, staff_id, begun, ended, seconds)


def _talk(
    session: Session, requests: Mapping[int, Sent], norms: Norms, since: datetime, until: datetime
) -> Iterator[Event]:
    people = session.connection().execute(select(_STAFF.c.person_id, _STAFF.c.id))
    staff_of = {person_id: staff_id for person_id, staff_id in people}  # noqa: C416 - typed rows
    first, last = numbers_between(session, _LETTER.c.id, _LETTER.c.created_at, since, until)
    letters = select(_LETTER.c.author_id, _LETTER.c.created_at, _LETTER.c.request_id).where(
        _LETTER.c.id.between(first, last),
        _LETTER.c.created_at >= since,
        _LETTER.c.created_at < until,
        _LETTER.c.author_id.is_not(None),
        # The same words in another messenger were written once.
        _LETTER.c.replaces_id.is_(None),
    )
    for person_id, at, number in session.connection().execute(letters):
        yield _talked(requests, staff_of.get(person_id), at, number, norms.message_minutes, "message")
    calls = select(_CALL.c.done_by, _CALL.c.done_at, _CALL.c.request_id).where(
        _CALL.c.done_at >= since, _CALL.c.done_at < until, _CALL.c.done_by.is_not(None)
    )
    for staff_id, at, number in session.connection().execute(calls):
        yield _talked(requests, staff_id, at, number, norms.call_minutes, "call")
    for sent in requests.values():
        if sent.recorded_by is not None:
            yield _talked(
                requests, sent.recorded_by, sent.submitted_at, sent.number, norms.call_minutes, "recorded"
            )


def _talked(
    requests: Mapping[int, Sent],
    staff_id: int | None,
    at: datetime,
    number: int | None,
    minutes: int,
    how: str,
) -> Event:
    # A message may be about a request of before the period: then only its number is known.
    sent = requests.get(number) if number is not None else None
    detail = how if sent is not None or number is None else f"{how}:{number}"
    return Event(Conduct.TALK, sent, staff_id, at, at, minutes * 60, detail)


def _taking(
    requests: Mapping[int, Sent], stretches: list[Stretch], calendar: WorkCalendar, norms: Norms
) -> Iterator[Event]:
    passed = counter(calendar, (stretch[4:] for stretch in stretches))
    limit = norms.processing[1] * 60
    # By request, and of one as they were written down.
    stretches = sorted(stretches, key=lambda stretch: (stretch[1], stretch[0]))
    for stretch, following in zip_longest(stretches, stretches[1:]):
        _id, number, stage, staff_id, begun, ended = stretch
        if stage != Stage.PROCESSING:
            continue
        spent = 0 if ended is None else max(passed(ended) - passed(begun), 0)
        ended_at = None if ended is None else moment(ended)
        common = (requests[number], staff_id, moment(begun), ended_at, spent)
        yield Event(Conduct.GIVEN, *common)
        if following is not None and _is_taken(stretch, following):
            yield Event(Conduct.IN_TIME if spent <= limit else Conduct.TAKEN_LATE, *common)


def _is_taken(given: Stretch, following: Stretch) -> bool:
    _id, number, stage, staff_id, _begun, _ended = following
    return number == given[1] and staff_id == given[3] and stage != Stage.PROCESSING


_GIVEN_BACK = {DeskEvent.DECLINED.value: Conduct.DECLINED, DeskEvent.ESCALATED.value: Conduct.ESCALATED}


def _given_back(session: Session, requests: Mapping[int, Sent], wanted: TimesFilter) -> Iterator[Event]:
    subject = literal("request:") + cast(_REQUEST.c.id, String)
    query = (
        select(_REQUEST.c.id, _HISTORY.c.action, _HISTORY.c.at, _HISTORY.c.before, _HISTORY.c.after)
        .join(_HISTORY, _HISTORY.c.subject == subject)
        .where(*within(wanted), _HISTORY.c.action.in_(_GIVEN_BACK))
    )
    for number, action, at, before, after in session.connection().execute(query):
        if number in requests:
            comment = str(json.loads(after).get("comment", ""))
            staff_id = json.loads(before).get("assignee_id")
            yield Event(_GIVEN_BACK[action], requests[number], staff_id, None, at, 0, comment)


def _finishing(requests: Mapping[int, Sent], calendar: WorkCalendar, now: datetime) -> Iterator[Event]:
    for sent in requests.values():
        if sent.done_at is not None:
            yield Event(Conduct.DONE, sent, sent.done_by, sent.submitted_at, sent.done_at, 0)
        ended_at = sent.done_at or (now if sent.status.is_open and sent.status is not Status.DONE else None)
        if ended_at is not None and ended_at > sent.deadline:
            over = calendar.working_seconds(sent.deadline, ended_at)
            yield Event(Conduct.LATE, sent, sent.assignee_id, sent.deadline, sent.done_at, over)


def _absences(session: Session, calendar: WorkCalendar, wanted: TimesFilter) -> Iterator[Event]:
    query = select(_ABSENCE.c.staff_id, _ABSENCE.c.starts_at, _ABSENCE.c.ends_at, _ABSENCE.c.reason).where(
        _ABSENCE.c.starts_at < wanted.until, _ABSENCE.c.ends_at > wanted.since
    )
    for staff_id, starts_at, ends_at, reason in session.connection().execute(query):
        begun, ended = max(starts_at, wanted.since), min(ends_at, wanted.until)
        yield Event(
            Conduct.ABSENT, None, staff_id, begun, ended, calendar.working_seconds(begun, ended), reason
        )
