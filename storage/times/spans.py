"""From rows to events: two queries by the index on the time of sending, whatever the years before hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, select
from sqlmodel import Session

from router.model import Stage, Status
from router.worktime import WorkCalendar
from storage.models import metadata
from storage.times.measures import OWN_STAGES, Event, Measure, Sent, TimesFilter

_REQUEST, _INTERVAL, _STAFF, _PERSON, _CLIENT = (
    metadata.tables[name] for name in ("request", "stage_interval", "staff", "person", "client")
)

_IDS_AT_ONCE = 500
MOST_CLIENTS = 500
"""More than anybody looks for in a list."""

# Looked up for every stretch of a month: calling the enumeration costs six times as much.
_BY_STAGE = {measure.value: measure for measure in Measure}
_BY_STATUS = {status.value: status for status in Status}
_OWN = frozenset(measure.value for measure in OWN_STAGES)
_NOT_TAKEN = frozenset({Stage.QUEUE.value, Stage.PROCESSING.value})


class Stretch(NamedTuple):
    """A stretch of a stage as it was written down; the one that lasts has no end."""

    interval_id: int
    number: int
    stage: str
    staff_id: int | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reading:
    """The requests of a period with their stretches."""

    sent: Mapping[int, Sent]
    stretches: tuple[Stretch, ...]
    people: frozenset[int] | None
    """Whose events alone count; None for everybody's."""

    def counts(self, staff_id: int | None) -> bool:
        """Whether events of this person (None: nobody's) are among those asked for."""
        return self.people is None or staff_id in self.people


def within(wanted: TimesFilter) -> list[ColumnElement[bool]]:
    """The conditions on requests that the database checks."""
    conditions = [_REQUEST.c.submitted_at >= wanted.since, _REQUEST.c.submitted_at < wanted.until]
    if wanted.kind:
        conditions.append(_REQUEST.c.kind == wanted.kind)
    if wanted.client_id is not None:
        conditions.append(_REQUEST.c.client_id == wanted.client_id)
    if wanted.channel:
        conditions.append(_REQUEST.c.channel == wanted.channel)
    return conditions


def people_of(session: Session, wanted: TimesFilter) -> frozenset[int] | None:
    """Whose work is asked for; None for everybody's."""
    if not wanted.department:
        return None if wanted.staff_id is None else frozenset({wanted.staff_id})
    found = select(_STAFF.c.id).where(_STAFF.c.department == wanted.department)
    people = frozenset(session.connection().execute(found).scalars())
    return people if wanted.staff_id is None else people & {wanted.staff_id}


def departments(session: Session) -> dict[int, str]:
    """The department of every member of staff, of those too who have left."""
    found = session.connection().execute(select(_STAFF.c.id, _STAFF.c.department))
    return {staff_id: department for staff_id, department in found}  # noqa: C416 - typed rows


def staff_names(session: Session) -> dict[int, str]:
    """Everybody's name, of those too who have left."""
    named = select(_STAFF.c.id, _PERSON.c.name).join(_PERSON, _PERSON.c.id == _STAFF.c.person_id)
    found = session.connection().execute(named.order_by(_PERSON.c.name))
    return {staff_id: name for staff_id, name in found}  # noqa: C416 - typed rows


def clients_of(session: Session, since: datetime, until: datetime) -> dict[int, str]:
    """The clients who sent anything in the period, by name."""
    query = (
        select(_CLIENT.c.id, _CLIENT.c.name)
        .where(
            _CLIENT.c.id.in_(
                select(_REQUEST.c.client_id).where(
                    _REQUEST.c.submitted_at >= since, _REQUEST.c.submitted_at < until
                )
            )
        )
        .order_by(_CLIENT.c.name)
        .limit(MOST_CLIENTS)
    )
    found = session.connection().execute(query)
    return {client_id: name for client_id, name in found}  # noqa: C416 - typed rows


def client_names(session: Session, reading: Reading) -> dict[int, str]:
    """What the clients of these requests are called now."""
    names = {sent.client_id: sent.company for sent in reading.sent.values()}
    ids = sorted(names)
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        query = select(_CLIENT.c.id, _CLIENT.c.name).where(
            _CLIENT.c.id.in_(ids[begin : begin + _IDS_AT_ONCE])
        )
        names.update(tuple(row) for row in session.connection().execute(query))
    return names


def read_sent(session: Session, wanted: TimesFilter, calendar: WorkCalendar) -> dict[int, Sent]:
    """The requests of the period by number, whoever has them."""
    columns = (
        _REQUEST.c.id, _REQUEST.c.status, _REQUEST.c.kind, _REQUEST.c.client_id, _REQUEST.c.company,
        _REQUEST.c.channel, _REQUEST.c.assignee_id, _REQUEST.c.recorded_by, _REQUEST.c.submitted_at,
        _REQUEST.c.first_response_at, _REQUEST.c.done_at, _REQUEST.c.deadline,
    )  # fmt: skip
    rows = session.connection().execute(select(*columns).where(*within(wanted)))
    found = (_sent(row, calendar) for row in rows)
    return {
        sent.number: sent
        for sent in found
        if wanted.weekday in (None, sent.weekday) and wanted.hour in (None, sent.hour)
    }


def _sent(row: Row[*tuple[Any, ...]], calendar: WorkCalendar) -> Sent:
    local = row.submitted_at.astimezone(calendar.zone)
    weekday = local.weekday()
    monday = local.date() - timedelta(days=weekday)
    return Sent._make((row[0], _BY_STATUS[row.status], *row[2:], monday, weekday, local.hour))


def read(session: Session, wanted: TimesFilter, calendar: WorkCalendar) -> Reading:
    """The requests of the period and all their stretches."""
    sent = read_sent(session, wanted, calendar)
    stretches = (
        select(
            _INTERVAL.c.id, _INTERVAL.c.request_id, _INTERVAL.c.stage, _INTERVAL.c.staff_id,
            _INTERVAL.c.started_at, _INTERVAL.c.ended_at,
        )
        .join(_REQUEST, _REQUEST.c.id == _INTERVAL.c.request_id)
        .where(*within(wanted))
    )  # fmt: skip
    rows = session.connection().execute(stretches)
    found = tuple(Stretch(*row) for row in rows if row.request_id in sent)
    return Reading(sent, found, people_of(session, wanted))


def measured(reading: Reading, calendar: WorkCalendar) -> Iterator[Event]:
    """Every event of every measure."""
    taken: dict[int, Stretch] = {}
    for stretch in reading.stretches:
        sent = reading.sent[stretch.number]
        if stretch.stage not in _NOT_TAKEN:
            first = taken.get(stretch.number)
            if first is None or stretch.interval_id < first.interval_id:
                taken[stretch.number] = stretch
        if stretch.ended_at is not None:
            yield from _of_stretch(reading, sent, stretch, stretch.ended_at, calendar)
    for number, sent in reading.sent.items():
        yield from _end_to_end(reading, sent, taken.get(number), calendar)


def _of_stretch(
    reading: Reading, sent: Sent, stretch: Stretch, ended_at: datetime, calendar: WorkCalendar
) -> Iterator[Event]:
    seconds = calendar.working_seconds(stretch.started_at, ended_at)
    if reading.counts(stretch.staff_id):
        measure = _BY_STAGE[stretch.stage]
        yield Event(measure, sent, stretch.staff_id, stretch.started_at, ended_at, seconds)
    if stretch.stage in _OWN and sent.done_at is not None and reading.counts(sent.assignee_id):
        yield Event(
            Measure.WHOLE, sent, sent.assignee_id, stretch.started_at, ended_at, seconds, stretch.stage
        )


def _end_to_end(
    reading: Reading, sent: Sent, taken: Stretch | None, calendar: WorkCalendar
) -> Iterator[Event]:
    ends: Iterable[tuple[Measure, datetime | None, int | None]] = (
        (Measure.FIRST_RESPONSE, sent.first_response_at, sent.assignee_id),
        (Measure.ACCEPTANCE, taken.started_at if taken else None, taken.staff_id if taken else None),
        (Measure.RESOLUTION, sent.done_at, sent.assignee_id),
    )
    for measure, ended_at, staff_id in ends:
        if ended_at is not None and reading.counts(staff_id):
            seconds = calendar.working_seconds(sent.submitted_at, ended_at)
            yield Event(measure, sent, staff_id, sent.submitted_at, ended_at, seconds)
