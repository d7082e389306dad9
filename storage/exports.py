"""Requests as other programs read them: one flat value per request, written as JSON, CSV or XLSX."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO

from sqlalchemy import Row, select
from sqlmodel import Session

from router.desk import StageInterval, stage_seconds
from router.model import Stage
from router.worktime import WorkCalendar
from storage import sheets
from storage.models import metadata

ROWS_AT_ONCE = 1000

_REQUEST, _PERSON, _STAFF, _ATTACHMENT, _INTERVAL = (
    metadata.tables[name] for name in ("request", "person", "staff", "attachment", "stage_interval")
)

CLIENT_FILES = ("request", "added")
"""The purposes of the files that came from the client."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of the client."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportedRequest:
    """A request from outside. Times are ISO 8601 in the firm's zone; the names are a promise to others."""

    number: int
    status: str
    kind: str
    company: str
    inn: str
    task: str
    deadline: str
    files: tuple[ExportedFile, ...]
    channel: str
    client: str
    assignee: str | None
    created_at: str
    submitted_at: str
    assigned_at: str | None
    accepted_at: str | None
    first_response_at: str | None
    done_at: str | None
    closed_at: str | None
    stage_minutes: Mapping[str, float]


def requests_for_export(
    session: Session,
    calendar: WorkCalendar,
    now: datetime,
    since: date | None = None,
    until: date | None = None,
) -> Iterator[ExportedRequest]:
    """Requests by number, submitted on the days from `since` to `until`, both included.

    Three queries per thousand requests. A stage that still lasts is counted up to `now`.
    """
    staff = _staff_names(session)
    last_id = 0
    while True:
        wanted = (
            select(*_REQUEST.c, _PERSON.c.name.label("client"))
            .join(_PERSON, _PERSON.c.id == _REQUEST.c.person_id)
            .where(_REQUEST.c.id > last_id)
            .order_by(_REQUEST.c.id)
            .limit(ROWS_AT_ONCE)
        )
        if since is not None:
            wanted = wanted.where(_REQUEST.c.submitted_at >= _midnight(since, calendar))
        if until is not None:
            wanted = wanted.where(_REQUEST.c.submitted_at < _midnight(until + timedelta(days=1), calendar))
        rows = session.connection().execute(wanted).all()
        if not rows:
            return
        yield from _exported(session, rows, staff, calendar, now)
        last_id = rows[-1].id


def _midnight(day: date, calendar: WorkCalendar) -> datetime:
    return datetime.combine(day, time.min, calendar.zone)


def _exported(
    session: Session,
    rows: Sequence[Row[*tuple[Any, ...]]],
    staff: Mapping[int, str],
    calendar: WorkCalendar,
    now: datetime,
) -> Iterator[ExportedRequest]:
    first, last = rows[0].id, rows[-1].id
    files = _files(session, first, last)
    intervals = _intervals(session, first, last)

    def shown(at: datetime) -> str:
        return at.astimezone(calendar.zone).isoformat(timespec="seconds")

    def shown_if(at: datetime | None) -> str | None:
        return None if at is None else shown(at)

    for request in rows:
        seconds = stage_seconds(intervals[request.id], calendar, now)
        yield ExportedRequest(
            number=request.id,
            status=request.status,
            kind=request.kind,
            company=request.company,
            inn=request.inn,
            task=request.task,
            deadline=shown(request.deadline),
            files=tuple(files[request.id]),
            channel=request.channel,
            client=request.client,
            assignee=None if request.assignee_id is None else staff.get(request.assignee_id),
            created_at=shown(request.created_at),
            submitted_at=shown(request.submitted_at),
            assigned_at=shown_if(request.assigned_at),
            accepted_at=shown_if(request.accepted_at),
            first_response_at=shown_if(request.first_response_at),
            done_at=shown_if(request.done_at),
            closed_at=shown_if(request.closed_at),
            stage_minutes={stage.value: round(seconds.get(stage, 0) / 60, 2) for stage in _STAGES},
        )


_STAGES = (
    Stage.CLIENT, Stage.QUEUE, Stage.PROCESSING, Stage.CLARIFICATION, Stage.EXECUTION, Stage.THIRD_PARTY,
)  # fmt: skip


def _files(session: Session, first: int, last: int) -> dict[int, list[ExportedFile]]:
    found: dict[int, list[ExportedFile]] = defaultdict(list)
    wanted = (
        select(_ATTACHMENT.c.request_id, _ATTACHMENT.c.name, _ATTACHMENT.c.size_bytes, _ATTACHMENT.c.sha256)
        .where(_ATTACHMENT.c.request_id.between(first, last), _ATTACHMENT.c.purpose.in_(CLIENT_FILES))
        .order_by(_ATTACHMENT.c.id)
    )
    for request_id, name, size_bytes, sha256 in session.connection().execute(wanted):
        found[request_id].append(ExportedFile(name, size_bytes, sha256))
    return found


def _intervals(session: Session, first: int, last: int) -> dict[int, list[StageInterval]]:
    found: dict[int, list[StageInterval]] = defaultdict(list)
    wanted = (
        select(_INTERVAL.c.request_id, _INTERVAL.c.stage, _INTERVAL.c.started_at, _INTERVAL.c.ended_at)
        .where(_INTERVAL.c.request_id.between(first, last))
        .order_by(_INTERVAL.c.id)
    )
    for request_id, stage, started_at, ended_at in session.connection().execute(wanted):
        found[request_id].append(StageInterval(Stage(stage), started_at, ended_at))
    return found


def _staff_names(session: Session) -> dict[int, str]:
    named = select(_STAFF.c.id, _PERSON.c.name).join(_PERSON, _PERSON.c.id == _STAFF.c.person_id)
    return {staff_id: name for staff_id, name in session.connection().execute(named)}  # noqa: C416 - typed rows


# --- the three shapes --------------------------------------------------------------------------


def write_json(requests: Iterable[ExportedRequest], out: BinaryIO) -> None:
    """One array, a request a line."""
    import orjson

    separator = b"[\n"
    for request in requests:
        out.write(separator + orjson.dumps(asdict(request)))
        separator = b",\n"
    out.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def write_csv(requests: Iterable[ExportedRequest], out: BinaryIO) -> None:
    """A heading and a line per request, in UTF-8; nested values are flattened."""
    sheets.write_csv(FLAT_NAMES, map(flat, requests), out, delimiter=",", encoding="utf-8")


def write_xlsx(requests: Iterable[ExportedRequest], out: BinaryIO) -> None:
    """A workbook of one sheet. Texts stay texts: none of them becomes a formula."""
    sheets.write_xlsx(FLAT_NAMES, map(flat, requests), out, name="requests")


WRITERS: Mapping[str, Callable[[Iterable[ExportedRequest], BinaryIO], None]] = {
    "json": write_json,
    "csv": write_csv,
    "xlsx": write_xlsx,
}

_NESTED = "stage_minutes"
FLAT_NAMES = tuple(field.name for field in fields(ExportedRequest) if field.name != _NESTED) + tuple(
    f"{_NESTED}_{stage.value}" for stage in _STAGES
)


def flat(request: ExportedRequest) -> list[str | float | None]:
    """The cells of a request in the order of FLAT_NAMES; the names of the files share one cell."""
    cells: list[str | float | None] = []
    for field in fields(request):
        match field.name:
            case "files":
                cells.append("; ".join(file.name for file in request.files))
            case name if name != _NESTED:
                cells.append(getattr(request, name))
    return cells + [request.stage_minutes[stage.value] for stage in _STAGES]
