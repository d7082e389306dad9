"""From rows to what counts: two queries by the index on the time of sending, whatever the years before hold.

A year is a hundred thousand requests and half a million stretches. So moments come from the database as
whole seconds since 1970, and a stretch is a plain tuple; dates are made for what a list shows.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Row, cast, func, select
from sqlmodel import Session

from router.model import Stage, Status
from router.worktime import WorkCalendar
from storage.models import metadata
from storage.times.measures import OWN_STAGES, Measure, Sent, TimesFilter

_REQUEST, _INTERVAL, _STAFF, _PERSON, _CLIENT = (
    metadata.tables[name] for name in ("request", "stage_interval", "staff", "person", "client")
)

_IDS_AT_ONCE = 500
_ROWS_AT_ONCE = 1_000
_QUARTER_SECONDS = 15 * 60
MOST_CLIENTS = 500
"""More than anybody looks for in a list."""

# Looked up for every stretch of a month: calling the enumeration costs six times as much.
_BY_STAGE = {measure.value: measure for measure in Measure}
_BY_STATUS = {status.value: status for status in Status}
_OWN = frozenset(measure.value for measure in OWN_STAGES)
_NOT_TAKEN = frozenset({Stage.QUEUE.value, Stage.PROCESSING.value})
_NOT_YET = (0, 0, "", None, None, None)


class Hour(NamedTuple):
    """An hour of a week in the firm's zone; `week` is its Monday."""

    week: date
    weekday: int
    hour: int


class Asked(NamedTuple):
    """What the figures ask of a request; moments are in whole seconds since 1970."""

    number: int
    kind: str
    client_id: int
    channel: str
    assignee_id: int | None
    submitted: int
    responded: int | None
    responder_id: int | None
    done: int | None
    done_by: int | None
    hour: Hour


Stretch: TypeAlias = tuple[int, int, str, int | None, int, int | None]
"""A stretch of a stage as it was written down: (its number, the request's, stage, whose, from, to).

In whole seconds since 1970; the one that lasts has no end.
"""
Spent: TypeAlias = tuple[Measure, Asked, int | None, int, int, int, str]
"""What adds to a figure: (measure, request, whose, from, to, working seconds, stage); see `Event`.

The stage is told of a part of `WHOLE` alone.
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """The requests of a period with their stretches. `passed` counts working seconds up to a moment."""

    requests: Mapping[int, Asked]
    stretches: list[Stretch]
    people: frozenset[int] | None
    """Whose events alone count; None for everybody's."""
    passed: Callable[[int], int]

    def counts(self, staff_id: int | None) -> bool:
        """Whether events of this person (None: nobody's) are among those asked for."""
        return self.people is None or staff_id in self.people


def moment(seconds: int) -> datetime:
    """A moment (UTC) of whole seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


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
    names: dict[int, str] = {}
    ids = sorted({request.client_id for request in reading.requests.values()})
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        query = select(_CLIENT.c.id, _CLIENT.c.name).where(
            _CLIENT.c.id.in_(ids[begin : begin + _IDS_AT_ONCE])
        )
        names.update(tuple(row) for row in session.connection().execute(query))
    return names


def read_sent(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, *narrower: ColumnElement[bool]
) -> dict[int, Sent]:
    """The requests of the period by number, whoever has them, with all that a list shows of them."""
    columns = (
        _REQUEST.c.id, _REQUEST.c.status, _REQUEST.c.kind, _REQUEST.c.client_id, _REQUEST.c.company,
        _REQUEST.c.channel, _REQUEST.c.assignee_id, _REQUEST.c.recorded_by, _REQUEST.c.submitted_at,
        _REQUEST.c.first_response_at, _REQUEST.c.done_at, _REQUEST.c.done_by, _REQUEST.c.deadline,
    )  # fmt: skip
    rows = session.connection().execute(select(*columns).where(*within(wanted), *narrower))
    found = (_sent(row, calendar.zone) for row in rows)
    return {
        sent.number: sent
        for sent in found
        if wanted.weekday in (None, sent.weekday) and wanted.hour in (None, sent.hour)
    }


def _sent(row: Row[*tuple[Any, ...]], zone: ZoneInfo) -> Sent:
    return Sent._make((row[0], _BY_STATUS[row.status], *row[2:], *_hour(row.submitted_at, zone)))


def _hour(at: datetime, zone: ZoneInfo) -> Hour:
    local = at.astimezone(zone)
    weekday = local.weekday()
    return Hour(local.date() - timedelta(days=weekday), weekday, local.hour)


def read_asked(session: Session, wanted: TimesFilter, zone: ZoneInfo) -> dict[int, Asked]:
    """The requests of the period by number, whoever has them, with what the figures need."""
    columns = (
        _REQUEST.c.id, _REQUEST.c.kind, _REQUEST.c.client_id, _REQUEST.c.channel, _REQUEST.c.assignee_id,
        _seconds(session, _REQUEST.c.submitted_at), _seconds(session, _REQUEST.c.first_response_at),
        _REQUEST.c.first_responder_id, _seconds(session, _REQUEST.c.done_at), _REQUEST.c.done_by,
    )  # fmt: skip
    rows = session.connection().execute(select(*columns).where(*within(wanted)))
    # No zone is off by anything but quarters of an hour: requests of one were sent in the same hour.
    hours: dict[int, Hour] = {}
    found: dict[int, Asked] = {}
    for part in rows.partitions(_ROWS_AT_ONCE):
        for row in part:
            submitted = row[5]
            quarter = submitted // _QUARTER_SECONDS
            hour = hours.get(quarter)
            if hour is None:
                hour = hours[quarter] = _hour(moment(submitted), zone)
            if wanted.weekday in (None, hour.weekday) and wanted.hour in (None, hour.hour):
                found[row[0]] = Asked._make((*row, hour))
    return found


def how_many(
    session: Session, wanted: TimesFilter, calendar: WorkCalendar, people: frozenset[int] | None
) -> int:
    """How many requests of the period there are that these people have (None: anybody)."""
    if wanted.weekday is not None or wanted.hour is not None:
        found = read_asked(session, wanted, calendar.zone).values()
        return sum(people is None or request.assignee_id in people for request in found)
    query = select(func.count()).select_from(_REQUEST).where(*within(wanted))
    if people is not None:
        query = query.where(_REQUEST.c.assignee_id.in_(people))
    return session.connection().execute(query).scalar_one()


def read_stretches(session: Session, wanted: TimesFilter, among: Container[int]) -> list[Stretch]:
    """The stretches of these requests of the period."""
    query = (
        select(
            _INTERVAL.c.id, _INTERVAL.c.request_id, _INTERVAL.c.stage, _INTERVAL.c.staff_id,
            _seconds(session, _INTERVAL.c.started_at), _seconds(session, _INTERVAL.c.ended_at),
        )
        .join(_REQUEST, _REQUEST.c.id == _INTERVAL.c.request_id)
        .where(*within(wanted))
    )  # fmt: skip
    rows = session.connection().execute(query)
    return [
        (interval_id, number, stage, staff_id, begun, ended)
        for part in rows.partitions(_ROWS_AT_ONCE)
        for interval_id, number, stage, staff_id, begun, ended in part
        if number in among
    ]


def _seconds(session: Session, column: ColumnElement[datetime]) -> ColumnElement[int]:
    if session.get_bind().dialect.name == "sqlite":
        # Without the fraction, which SQLite would round.
        return cast(func.strftime("%s", func.substr(column, 1, 19)), BigInteger)
    return cast(func.floor(func.extract("epoch", column)), BigInteger)


def read(session: Session, wanted: TimesFilter, calendar: WorkCalendar) -> Reading:
    """The requests of the period and all their stretches."""
    requests = read_asked(session, wanted, calendar.zone)
    stretches = read_stretches(session, wanted, requests)
    ends = ((request.submitted, request.responded, request.done) for request in requests.values())
    passed = counter(calendar, ends, (stretch[4:] for stretch in stretches))
    return Reading(requests, stretches, people_of(session, wanted), passed)


def counter(calendar: WorkCalendar, *found: Iterable[tuple[int | None, ...]]) -> Callable[[int], int]:
    """How many working seconds have passed by a moment, for all of these moments."""
    moments = [at for many in found for some in many for at in some if at is not None]
    return calendar.elapsed(min(moments, default=0), max(moments, default=0))


def measured(reading: Reading) -> Iterator[Spent]:
    """All that adds to any measure."""
    requests, people, passed = reading.requests, reading.people, reading.passed
    taken: dict[int, Stretch] = {}
    for stretch in reading.stretches:
        interval_id, number, stage, staff_id, begun, ended = stretch
        if stage not in _NOT_TAKEN and (number not in taken or interval_id < taken[number][0]):
            taken[number] = stretch
        if ended is None:
            continue
        request = requests[number]
        seconds = passed(ended) - passed(begun) if ended > begun else 0
        if people is None or staff_id in people:
            yield _BY_STAGE[stage], request, staff_id, begun, ended, seconds, ""
            if stage in _OWN and request.done is not None:
                yield Measure.WHOLE, request, staff_id, begun, ended, seconds, stage
    for number, request in requests.items():
        begun = request.submitted
        _id, _number, _stage, taker_id, accepted, _ended = taken.get(number, _NOT_YET)
        for measure, ended, staff_id in (
            (Measure.FIRST_RESPONSE, request.responded, request.responder_id),
            (Measure.ACCEPTANCE, accepted, taker_id),
            (Measure.RESOLUTION, request.done, request.done_by),
        ):
            if ended is not None and (people is None or staff_id in people):
                seconds = passed(ended) - passed(begun) if ended > begun else 0
                yield measure, request, staff_id, begun, ended, seconds, ""
