"""What the panel reads about requests. Nothing here writes, locks or commits.

Every list is cut by a limit and begins where the page before it ended (`storage.paging`), so that
nothing is counted or skipped over, however many years of requests there are. Rows come out as values of
this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal_column, or_, select
from sqlmodel import Session, col

from router.model import Role, Stage, Status
from storage import proofs, search
from storage.by_time import numbers_between
from storage.models import (
    AnswerVersion,
    Assignment,
    Attachment,
    Chat,
    Clarification,
    Client,
    History,
    Letter,
    Message,
    Person,
    Request,
    Staff,
    StageInterval,
    metadata,
)
from storage.paging import FIRST, PAGE_ROWS, Leaf, Place, leaf, values_of
from storage.reach import Reach, within

T = TypeVar("T")

DIALOGUE_ROWS = 500
HISTORY_ROWS = 300

OWING = (Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)
"""States in which the result is still to come: only these can be overdue."""

MOST_SORTED = 1_000
"""Of the requests found by words so many, the newest, are put into another order than by number."""

_MAX_NUMBER = 2**31 - 1
_NUMBERS_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A cut of a list and whether something follows it. Pages are counted from 1."""

    rows: tuple[T, ...]
    page: int
    more: bool


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests to show; an empty field does not narrow. Times are aware UTC.

    `assignee_id` 0 means nobody. `own_of` is the reader's right, not their wish. `late_before` keeps
    those assigned before it and not accepted
    yet; `undelivered_since` those of which a letter has failed since.
    """

    statuses: tuple[str, ...] = ()
    assignee_id: int | None = None
    kind: str = ""
    channel: str = ""
    client_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    overdue_at: datetime | None = None
    late_before: datetime | None = None
    undelivered_since: datetime | None = None
    search: str = ""
    own_of: Reach = None
    unanswered: bool = False
    """Only those whose client has written last and waits."""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request in a list."""

    number: int
    status: Status
    stage: Stage | None
    kind: str
    company: str
    inn: str
    task: str
    deadline: datetime
    submitted_at: datetime
    channel: str
    assignee_id: int | None
    assignee: str
    unanswered_since: datetime | None
    version: int
    unconfirmed: bool = False
    """Staff wrote it down from the client's words, and the client has not agreed to it yet."""

    def overdue(self, now: datetime) -> bool:
        """Whether the deadline has passed and the result is still to come."""
        return self.status in OWING and self.deadline < now


SORTS: Mapping[str, tuple[Any, ...]] = {
    "number": (col(Request.id),),
    "deadline": (col(Request.deadline), col(Request.id)),
    "submitted": (col(Request.submitted_at), col(Request.id)),
    "status": (col(Request.status), col(Request.deadline), col(Request.id)),
    "unanswered": (col(Request.unanswered_since), col(Request.id)),
}


def find_requests(
    session: Session,
    wanted: RequestFilter,
    sort: str = "number",
    descending: bool = True,
    place: Place = FIRST,
) -> Leaf[RequestRow]:
    """One page of the requests that fit; an unknown sort is by number.

    A request whose number is looked for stands first of all when the list is sorted by number.
    """
    if sort == "unanswered" and not wanted.unanswered:
        sort = "number"
    order = SORTS.get(sort, SORTS["number"])
    asked = _Asked.of(wanted.search)
    fitting = _fitting(wanted)
    if asked.is_empty:
        query = request_rows().where(*fitting)
        if sort not in SORTS or sort == "number":
            query = query.where(*_numbers_of(session, wanted))
        return leaf(session, query, order, request_row, place, descending=descending)
    if len(order) == 1:
        return _by_number(session, wanted, asked, descending, place)
    found = islice(_found(session, wanted, asked), MOST_SORTED)
    numbers = [*_own_number(session, fitting, asked), *found]
    query = request_rows().where(col(Request.id).in_(numbers))
    return leaf(session, query, order, request_row, place, descending=descending)


def count_requests(session: Session, wanted: RequestFilter) -> int:
    """How many requests fit."""
    query = select(func.count()).select_from(Request).where(*conditions(wanted))
    return int(session.execute(query).scalar_one())


# --- Looking for words ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was typed into the search: a number, words, or a number that may be a word as well."""

    number: int | None
    words: tuple[str, ...]

    @classmethod
    def of(cls, typed: str) -> _Asked:
        words = search.asked_words(typed)
        alone = words[0] if len(words) == 1 else ""
        if not (alone.isascii() and alone.isdigit()):
            return cls(None, words)
        number = int(alone) if int(alone) <= _MAX_NUMBER else None
        return cls(number, () if number is not None and typed.strip().startswith("№") else words)

    @property
    def is_empty(self) -> bool:
        return self.number is None and not self.words


def _by_number(
    session: Session, wanted: RequestFilter, asked: _Asked, descending: bool, place: Place
) -> Leaf[RequestRow]:
    order = SORTS["number"]
    key = values_of(place.key, order)
    newest_first = descending is not place.backwards
    found = _found(session, wanted, asked, newest_first=newest_first, beyond=key[0] if key else None)
    numbers = list(islice(found, PAGE_ROWS + 1)) if asked.words else []
    query = request_rows().where(col(Request.id).in_(numbers))
    shown = leaf(session, query, order, request_row, place, descending=descending)
    if shown.earlier:
        return shown
    own = _own_number(session, _fitting(wanted), asked)
    first = session.execute(request_rows().where(col(Request.id).in_(own))).all()
    return replace(shown, rows=(*map(request_row, first), *shown.rows))


def newest_with_words(session: Session, typed: str, own_of: Reach = None) -> Iterator[int]:
    """The numbers of the requests with all these words, the newest first, as they are asked for."""
    words = search.asked_words(typed)
    return _found(session, RequestFilter(own_of=own_of), _Asked(None, words)) if words else iter(())


def _own_number(session: Session, fitting: Sequence[ColumnElement[bool]], asked: _Asked) -> list[int]:
    query = select(col(Request.id)).where(col(Request.id) == asked.number, *fitting)
    return list(session.execute(query).scalars()) if asked.number is not None else []


def _found(
    session: Session,
    wanted: RequestFilter,
    asked: _Asked,
    *,
    newest_first: bool = True,
    beyond: int | None = None,
) -> Iterator[int]:
    """The numbers of the requests that have the words and fit, as they are asked for."""
    fitting = _fitting(wanted)
    if asked.number is not None:
        # It stands apart from the others.
        fitting.append(col(Request.id) != asked.number)
    if _is_of_today(wanted):
        # Few requests fit, and the words of each are at hand.
        at_hand = select(col(Request.id), col(Request.search)).where(*fitting)
        if beyond is not None:
            at_hand = at_hand.where(col(Request.id) < beyond if newest_first else col(Request.id) > beyond)
        rows = session.execute(at_hand).all()
        found = (number for number, text in rows if search.fits(text, asked.words))
        yield from sorted(found, reverse=newest_first)
        return
    for part in search.numbers(session, asked.words, newest_first=newest_first, beyond=beyond):
        for begin in range(0, len(part), _NUMBERS_AT_ONCE):
            numbers = part[begin : begin + _NUMBERS_AT_ONCE]
            kept = numbers
            if fitting:
                query = select(col(Request.id)).where(col(Request.id).in_(numbers), *fitting)
                fit = set(session.execute(query).scalars())
                kept = [number for number in numbers if number in fit]
            yield from kept


def _fitting(wanted: RequestFilter) -> list[ColumnElement[bool]]:
    """The conditions but for the words: of these days' requests first that they are such.

    Left to itself, SQLite looks for the few of them from the newest request down to the oldest, for the
    sake of the order.
    """
    if not _is_of_today(wanted):
        return conditions(replace(wanted, search=""))
    of_today = RequestFilter(
        statuses=wanted.statuses,
        unanswered=wanted.unanswered,
        overdue_at=wanted.overdue_at,
        late_before=wanted.late_before,
        undelivered_since=wanted.undelivered_since,
    )
    others = replace(
        wanted, search="", statuses=(), unanswered=False, overdue_at=None, late_before=None,
        undelivered_since=None,
    )  # fmt: skip
    theirs = select(col(Request.id)).where(*conditions(of_today)).correlate(None)
    return [col(Request.id).in_(theirs), *conditions(others)]


def _is_of_today(wanted: RequestFilter) -> bool:
    """Whether only the requests of these days can fit, however many there have been."""
    return (
        (bool(wanted.statuses) and set(wanted.statuses) <= {*OWING, Status.DONE})
        or wanted.unanswered
        or None is not wanted.overdue_at
        or None is not wanted.late_before
        or None is not wanted.undelivered_since
    )


def _numbers_of(session: Session, wanted: RequestFilter) -> list[ColumnElement[bool]]:
    """Requests get their numbers as time goes by: a period is a stretch of numbers."""
    if wanted.since is None and wanted.until is None:
        return []
    first, last = numbers_between(
        session, _REQUEST.c.id, _REQUEST.c.submitted_at, wanted.since or _LONG_AGO, wanted.until or _FAR_OFF
    )
    return [col(Request.id) >= first, col(Request.id) <= last]


_REQUEST, _HISTORY = metadata.tables["request"], metadata.tables["history"]
_LONG_AGO, _FAR_OFF = (datetime(year, 1, 1, tzinfo=UTC) for year in (1900, 2900))


def request_rows() -> Select[Any]:
    """The columns that `request_row` reads; whoever asks adds conditions, an order and a limit."""
    return (
        select(
            col(Request.id), col(Request.status), col(Request.stage), col(Request.kind),
            col(Request.company), col(Request.inn), func.substr(Request.task, 1, 200),
            col(Request.deadline), col(Request.submitted_at), col(Request.channel),
            col(Request.assignee_id), col(Person.name), col(Request.unanswered_since), col(Request.version),
            and_(col(Request.recorded_by).is_not(None), col(Request.confirmed_at).is_(None)),
        )
        .join(Staff, col(Staff.id) == Request.assignee_id, isouter=True)
        .join(Person, col(Person.id) == Staff.person_id, isouter=True)
    )  # fmt: skip


def request_row(row: Any) -> RequestRow:
    """Read one row of `request_rows`."""
    (
        number,
        status,
        stage,
        kind,
        company,
        inn,
        task,
        deadline,
        submitted,
        channel,
        assignee_id,
        name,
        owed,
        version,
        unconfirmed,
    ) = row
    return RequestRow(
        number, Status(status), Stage(stage) if stage else None, kind, company, inn, task,
        deadline, submitted, channel, assignee_id, name or "", owed, version, bool(unconfirmed),
    )  # fmt: skip


def conditions(wanted: RequestFilter) -> list[ColumnElement[bool]]:
    """What a request must be to fit."""
    equal = (
        (Request.assignee_id, wanted.assignee_id or None),
        (Request.client_id, wanted.client_id),
        (Request.kind, wanted.kind or None),
        (Request.channel, wanted.channel or None),
    )
    found = [col(column) == value for column, value in equal if value is not None]
    if wanted.statuses:
        found.append(col(Request.status).in_(wanted.statuses))
    if wanted.assignee_id == 0:
        found.append(col(Request.assignee_id).is_(None))
    return [*within(wanted.own_of), *found, *_timed(wanted), *_searched(wanted.search)]


def _timed(wanted: RequestFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(col(Request.submitted_at) >= wanted.since)
    if wanted.until is not None:
        found.append(col(Request.submitted_at) < wanted.until)
    if wanted.overdue_at is not None:
        found += [col(Request.status).in_(OWING), col(Request.deadline) < wanted.overdue_at]
    if wanted.late_before is not None:
        found += [col(Request.status) == Status.ASSIGNED, col(Request.assigned_at) <= wanted.late_before]
    if wanted.unanswered:
        found.append(col(Request.unanswered_since).is_not(None))
    if wanted.undelivered_since is not None:
        found.append(col(Request.id).in_(_undelivered(wanted.undelivered_since)))
    return found


def _undelivered(since: datetime) -> Select[Any]:
    query: Select[Any] = (
        select(col(Letter.request_id))
        # Written out: a bound value proves nothing about the partial index of failed letters.
        .where(col(Letter.state) == literal_column("'failed'"), col(Letter.created_at) >= since)
        .where(col(Letter.request_id).is_not(None), proofs.nothing_arrived())
    )
    return query


def _searched(typed: str) -> list[ColumnElement[bool]]:
    """The same question put to the database whole, for whoever needs every request that fits."""
    asked = _Asked.of(typed)
    either = [col(Request.id) == asked.number] if asked.number is not None else []
    if asked.words:
        either.append(col(Request.id).in_(search.holding(asked.words)))
    return [or_(*either)] if either else []


# --- The start page ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of what there is now."""

    unassigned: int
    unanswered: int
    late: int
    overdue: int
    assigned: int
    working: int
    waiting: int
    done: int
    undelivered: int


def count_all(
    session: Session,
    now: datetime,
    late_before: datetime,
    undelivered_since: datetime,
    own_of: Reach = None,
) -> Counts:
    """Count for the start page; only what is within `own_of`."""

    def count(**narrower: Any) -> int:
        return count_requests(session, RequestFilter(own_of=own_of, **narrower))

    return Counts(
        unassigned=count(statuses=(Status.NEW,), assignee_id=0),
        unanswered=count(unanswered=True),
        late=count(late_before=late_before),
        overdue=count(overdue_at=now),
        assigned=count(statuses=(Status.ASSIGNED,)),
        working=count(statuses=(Status.ACCEPTED,)),
        waiting=count(statuses=(Status.WAITING_CLIENT,)),
        done=count(statuses=(Status.DONE,)),
        undelivered=count(undelivered_since=undelivered_since),
    )


# --- Who there is to choose from -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Colleague:
    """A member of staff in a list to choose from."""

    staff_id: int
    name: str
    role: Role
    active: bool


def colleagues(session: Session, only_active: bool = False) -> tuple[Colleague, ...]:
    """Those who take requests, by name."""
    query = (
        select(col(Staff.id), col(Person.name), col(Staff.role), col(Staff.active))
        .join(Person, col(Person.id) == Staff.person_id)
        .where(col(Staff.role).in_([role for role in Role if role.takes_requests]))
        .order_by(col(Person.name), col(Staff.id))
    )
    if only_active:
        query = query.where(col(Staff.active).is_(True))
    return tuple(
        Colleague(number, name, Role(role), active) for number, name, role, active in session.execute(query)
    )


def used_channels(session: Session) -> tuple[str, ...]:
    """The messengers through which somebody has written.

    From one to the next in the index: there are a few messengers, and thousands of chats.
    """
    found: list[str] = []
    query = select(col(Chat.channel)).order_by(col(Chat.channel)).limit(1)
    channel = session.execute(query).scalar()
    while channel is not None:
        found.append(channel)
        channel = session.execute(query.where(col(Chat.channel) > channel)).scalar()
    return tuple(found)


# --- One request ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldVersion:
    """One value that a field has had."""

    version: int
    value: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class FileCard:
    """A file of a request."""

    file_id: int
    sha256: str
    name: str
    size_bytes: int
    media_type: str
    purpose: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the correspondence.

    `direction` is in, note or out; a letter to a member of staff is `staff`. `steps` say how a letter
    and its copies fared, `call` whether somebody telephoned instead; `files` are names with the number
    of the file when the request still has it.
    """

    at: datetime
    direction: str
    author: str
    text: str
    channel: str = ""
    to: str = ""
    files: tuple[tuple[str, int | None], ...] = ()
    steps: tuple[proofs.Step, ...] = ()
    call: proofs.CallProof | None = None
    was: str | None = None
    """Of an edit: what the message said before it."""
    deleted_at: datetime | None = None
    """When its author took it back in their messenger."""


@dataclass(frozen=True, slots=True)
class Given:
    """A step of the routing: who was given the request, by whom, why; the trace is the router's JSON."""

    at: datetime
    staff_id: int | None
    name: str
    by: str
    reason: str
    trace: str
    declined: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of one stage."""

    stage: Stage
    name: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A line of the history."""

    history_id: int
    at: datetime
    actor: str
    through: str
    action: str
    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RequestCard:
    """Everything the page of a request shows."""

    row: RequestRow
    task: str
    answers: Mapping[str, str]
    versions: Mapping[str, tuple[FieldVersion, ...]]
    client_id: int
    client_confirmed: bool
    person: str
    phone: str
    recorded_by: str
    """Who wrote it down from the client's words; empty when the client filled the form."""
    confirmed_at: datetime | None
    assigned_at: datetime | None
    accepted_at: datetime | None
    first_response_at: datetime | None
    done_at: datetime | None
    closed_at: datetime | None
    result: str
    rating: int | None
    question: str
    lines: tuple[Line, ...]
    lines_cut: bool
    files: tuple[FileCard, ...]
    given: tuple[Given, ...]
    intervals: tuple[Interval, ...]
    history: tuple[HistoryLine, ...]


def read_request(session: Session, number: int, own_of: Reach = None) -> RequestCard | None:
    """A request whole; None when there is none, or it is not within `own_of`."""
    if not 0 < number <= _MAX_NUMBER:
        return None
    found = session.execute(
        request_rows().where(col(Request.id) == number, *conditions(RequestFilter(own_of=own_of)))
    ).first()
    request = session.get(Request, number)
    if found is None or request is None:
        return None
    row = request_row(found)
    client = session.get_one(Client, request.client_id)
    person = session.get_one(Person, request.person_id)
    files = _files(session, number)
    lines = _dialogue(session, number, request.person_id, person.name, files)
    return RequestCard(
        row=row,
        task=request.task,
        answers=request.answers,
        versions=_versions(session, number),
        client_id=request.client_id,
        client_confirmed=client.confirmed,
        person=person.name,
        phone=person.phone or client.phone,
        recorded_by=_staff_name(session, request.recorded_by),
        confirmed_at=request.confirmed_at,
        assigned_at=request.assigned_at,
        accepted_at=request.accepted_at,
        first_response_at=request.first_response_at,
        done_at=request.done_at,
        closed_at=request.closed_at,
        result=request.result,
        rating=request.rating,
        question=_open_question(session, number),
        lines=lines[-DIALOGUE_ROWS:],
        lines_cut=len(lines) > DIALOGUE_ROWS,
        files=files,
        given=_given(session, number),
        intervals=_intervals(session, number),
        history=history_of(session, f"request:{number}"),
    )


def _staff_name(session: Session, staff_id: int | None) -> str:
    query = select(col(Person.name)).join(Staff, col(Staff.person_id) == Person.id)
    return session.execute(query.where(col(Staff.id) == staff_id)).scalar_one_or_none() or ""


def request_version(session: Session, number: int, own_of: Reach = None) -> int | None:
    """The version of a request; None when there is none, or it is not within `own_of`."""
    if not 0 < number <= _MAX_NUMBER:
        return None
    fitting = [col(Request.id) == number, *conditions(RequestFilter(own_of=own_of))]
    return session.execute(select(col(Request.version)).where(*fitting)).scalar_one_or_none()


def read_file(session: Session, number: int, file_id: int, own_of: Reach = None) -> FileCard | None:
    """A file of that very request; None when there is none, or the request is not within `own_of`."""
    if request_version(session, number, own_of) is None or not 0 < file_id <= _MAX_NUMBER:
        return None
    found = session.get(Attachment, file_id)
    return _file_card(found) if found and found.request_id == number else None


def _versions(session: Session, number: int) -> dict[str, tuple[FieldVersion, ...]]:
    query = (
        select(AnswerVersion, col(Person.name))
        .join(Person, col(Person.id) == AnswerVersion.person_id, isouter=True)
        .where(col(AnswerVersion.request_id) == number)
        .order_by(col(AnswerVersion.field), col(AnswerVersion.version))
    )
    found: dict[str, list[FieldVersion]] = {}
    for answer, name in session.execute(query):
        found.setdefault(answer.field, []).append(
            FieldVersion(answer.version, answer.value, answer.created_at, name or "")
        )
    return {field: tuple(values) for field, values in found.items()}


def _files(session: Session, number: int) -> tuple[FileCard, ...]:
    query = select(Attachment).where(col(Attachment.request_id) == number).order_by(col(Attachment.id))
    return tuple(_file_card(found) for found in session.execute(query).scalars())


def _file_card(found: Attachment) -> FileCard:
    return FileCard(
        found.id or 0,
        found.sha256,
        found.name,
        found.size_bytes,
        found.media_type,
        found.purpose,
        found.created_at,
    )


def _dialogue(
    session: Session, number: int, person_id: int, person: str, files: tuple[FileCard, ...]
) -> tuple[Line, ...]:
    by_digest = {file.sha256: file.file_id for file in files}
    written = list(_written(session, number, person, by_digest))
    letters = list(_letters(session, number, person_id, by_digest))
    # Both come newest first; what happened at the same moment keeps the order in which it was written.
    return tuple(sorted([*reversed(written), *reversed(letters)], key=lambda line: line.at))


def _written(session: Session, number: int, person: str, by_digest: Mapping[str, int]) -> Iterable[Line]:
    query = (
        select(Message, col(Person.name), col(Chat.channel))
        .join(Person, col(Person.id) == Message.person_id, isouter=True)
        .join(Chat, col(Chat.id) == Message.chat_id, isouter=True)
        .where(col(Message.request_id) == number)
        .order_by(col(Message.id).desc())
        .limit(DIALOGUE_ROWS + 1)
    )
    found = session.execute(query).all()
    before = texts_before([row[0] for row in reversed(found)])
    for message, name, channel in found:
        yield Line(
            at=message.sent_at,
            direction=message.direction,
            author=name or person,
            text=message.text,
            channel=channel or "",
            files=_named(message.files, by_digest),
            was=before.get(message.id),
            deleted_at=message.deleted_at,
        )


def texts_before(messages: Iterable[Message]) -> dict[int | None, str]:
    """Of every edit among these messages, oldest first, what its message said before."""
    says: dict[tuple[int | None, str], str] = {}
    before: dict[int | None, str] = {}
    for message in messages:
        key = message.chat_id, message.message_key
        if message.message_key and key in says:
            before[message.id] = says[key]
        says[key] = message.text
    return before


def _letters(session: Session, number: int, person_id: int, by_digest: Mapping[str, int]) -> Iterable[Line]:
    author = Person.__table__.alias("author")  # type: ignore[attr-defined]
    reader = Person.__table__.alias("reader")  # type: ignore[attr-defined]
    copied = exists().where(_copy.c.replaces_id == Letter.id)
    query = (
        select(Letter, author.c.name, reader.c.name, col(Chat.channel))
        .join(author, author.c.id == Letter.author_id, isouter=True)
        .join(Chat, col(Chat.id) == Letter.chat_id, isouter=True)
        .join(reader, reader.c.id == func.coalesce(Letter.person_id, Chat.person_id), isouter=True)
        .where(
            col(Letter.request_id) == number,
            # Copies stand with the letter that they replace.
            col(Letter.replaces_id).is_(None),
            or_(col(Letter.state) != "superseded", copied),
        )
        .order_by(col(Letter.id).desc())
        .limit(DIALOGUE_ROWS + 1)
    )
    clients_own = _chats_of(session, person_id)
    found = session.execute(query).all()
    roots = [letter.id for letter, *_names in found]
    steps, calls = proofs.trails(session, roots), proofs.calls_about(session, roots)
    for letter, wrote, reads, channel in found:
        to_client = letter.person_id == person_id or letter.chat_id in clients_own
        yield Line(
            at=letter.created_at,
            direction="out" if to_client else "staff",
            author=wrote or "",
            text=letter.text,
            channel=channel or "",
            to=reads or "",
            files=_named(letter.files, by_digest),
            steps=steps.get(letter.id, ()),
            call=calls.get(letter.id),
        )


_copy = Letter.__table__.alias("copy")  # type: ignore[attr-defined]


def _chats_of(session: Session, person_id: int) -> frozenset[int]:
    found = session.execute(select(col(Chat.id)).where(col(Chat.person_id) == person_id)).scalars()
    return frozenset(number for number in found if number is not None)


def _named(files: Iterable[Any], by_digest: Mapping[str, int]) -> tuple[tuple[str, int | None], ...]:
    return tuple((str(file.get("name", "")), by_digest.get(file.get("sha256", ""))) for file in files)


def _open_question(session: Session, number: int) -> str:
    query = (
        select(col(Clarification.question))
        .where(col(Clarification.request_id) == number, col(Clarification.answered_at).is_(None))
        .order_by(col(Clarification.id).desc())
    )
    return session.execute(query.limit(1)).scalar_one_or_none() or ""


def _given(session: Session, number: int) -> tuple[Given, ...]:
    query = (
        select(Assignment, col(Person.name))
        .join(Staff, col(Staff.id) == Assignment.staff_id, isouter=True)
        .join(Person, col(Person.id) == Staff.person_id, isouter=True)
        .where(col(Assignment.request_id) == number)
        .order_by(col(Assignment.id).desc())
    )
    return tuple(
        Given(step.created_at, step.staff_id, name or "", step.by, step.reason, step.trace, step.declined)
        for step, name in session.execute(query)
    )


def _intervals(session: Session, number: int) -> tuple[Interval, ...]:
    query = (
        select(StageInterval, col(Person.name))
        .join(Staff, col(Staff.id) == StageInterval.staff_id, isouter=True)
        .join(Person, col(Person.id) == Staff.person_id, isouter=True)
        .where(col(StageInterval.request_id) == number)
        .order_by(col(StageInterval.id))
    )
    return tuple(
        Interval(Stage(found.stage), name or "", found.started_at, found.ended_at)
        for found, name in session.execute(query)
    )


# --- «Неразобранное» -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that nobody has, with the last routing trace (the router's JSON, or empty)."""

    row: RequestRow
    trace: str


def unassigned(session: Session, place: Place = FIRST) -> Leaf[Waiting]:
    """Requests in the queue, nearest deadline first."""
    wanted = RequestFilter(statuses=(Status.NEW,), assignee_id=0)
    found = find_requests(session, wanted, "deadline", descending=False, place=place)
    traces = _last_traces(session, [row.number for row in found.rows])
    rows = tuple(Waiting(row, traces.get(row.number, "")) for row in found.rows)
    return Leaf(rows, found.earlier, found.later)


def _last_traces(session: Session, numbers: list[int]) -> dict[int, str]:
    query = (
        select(col(Assignment.request_id), col(Assignment.trace))
        .where(col(Assignment.request_id).in_(numbers), col(Assignment.trace) != "")
        .order_by(col(Assignment.id))
    )
    return {number: trace for number, trace in session.execute(query)}  # noqa: C416 - rows are not pairs to mypy


# --- History -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which lines of the history to show; an empty field does not narrow. Times are aware UTC."""

    subject: str = ""
    action: str = ""
    actor_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None
    """Only older lines: how the list is leafed through without skipping rows."""
    reached_nobody: bool = False
    """Only calls for a person of which nobody was told."""


def _history_lines() -> Any:
    return select(History, col(Person.name)).join(Person, col(Person.id) == History.actor_id, isouter=True)


def _history_line(row: Any) -> HistoryLine:
    line, name = row
    return HistoryLine(
        line.id or 0, line.at, name or "", line.through, line.action, line.subject, line.before, line.after
    )


def find_history(session: Session, wanted: HistoryFilter) -> Page[HistoryLine]:
    """The newest lines that fit. `page` is always 1: leaf by `before_id`."""
    query = _history_lines().order_by(col(History.id).desc()).limit(PAGE_ROWS + 1)
    if wanted.subject:
        exact = ":" in wanted.subject
        query = query.where(
            col(History.subject) == wanted.subject
            if exact
            else col(History.subject).startswith(f"{wanted.subject}:", autoescape=True)
        )
    if wanted.action:
        query = query.where(col(History.action) == wanted.action)
    if wanted.reached_nobody:
        query = query.where(proofs.reached_nobody())
    if wanted.actor_id is not None:
        query = query.where(col(History.actor_id) == wanted.actor_id)
    if wanted.since is not None or wanted.until is not None:
        since, until = wanted.since or _LONG_AGO, wanted.until or _FAR_OFF
        first, last = numbers_between(session, _HISTORY.c.id, _HISTORY.c.at, since, until)
        query = query.where(col(History.id) >= first, col(History.id) <= last)
        query = query.where(col(History.at) >= since, col(History.at) < until)
    if wanted.before_id is not None:
        query = query.where(col(History.id) < wanted.before_id)
    found = session.execute(query).all()
    return Page(tuple(_history_line(row) for row in found[:PAGE_ROWS]), 1, len(found) > PAGE_ROWS)


def history_of(session: Session, subject: str, after_id: int = 0) -> tuple[HistoryLine, ...]:
    """The newest lines about one thing, newest first; `after_id` keeps those that came later."""
    query = (
        _history_lines()
        .where(and_(col(History.subject) == subject, col(History.id) > after_id))
        .order_by(col(History.id).desc())
        .limit(HISTORY_ROWS)
    )
    return tuple(_history_line(row) for row in session.execute(query))
