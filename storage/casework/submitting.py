"""A finished form becomes a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import make_transient_to_detached
from sqlmodel import Session

from forms.deadline import from_text
from forms.fields import Answers, files_from_text
from notifications import compose
from router import desk
from router.escalation import look_by
from router.model import Stage, Status, Work
from storage import history, search
from storage.casework.opening import form_context, new_case
from storage.casework.routing import route
from storage.casework.telling import to_client
from storage.casework.writing import keep_answers, keep_files, search_text
from storage.house import House, Who
from storage.models import Request, metadata

COMPANY_INN_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Recorded:
    """Who filled a form from the client's words, and when the client spoke (aware UTC)."""

    by: Who
    spoken_at: datetime


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A finished form. `created_at` is when its draft was begun, `sent_at` when the client sent it off.

    One that was `recorded` by staff has the channel `phone` or `visit`.
    """

    answers: Answers
    person_id: int
    chat_id: int
    channel: str
    created_at: datetime
    recorded: Recorded | None = None
    sent_at: datetime | None = None
    """Left out: now."""

    @property
    def writer(self) -> Who:
        """Whoever filled the form."""
        return self.recorded.by if self.recorded else Who(self.channel, self.person_id)


def submit(session: Session, house: House, new: NewRequest, now: datetime) -> int:
    """Keep a finished form as a request, route it, tell everybody. Returns its number.

    The clock of a recorded one counts from the client's own words; what the client is asked about it
    is the recorder's to say (`storage.recording`).
    """
    history.wait_turn(session)
    writer, submitted_at = new.writer, min(new.sent_at or now, now)
    if new.recorded:
        submitted_at = new.recorded.spoken_at
    client = client_of(session, new.answers, writer, now, speaker_id=new.person_id)
    answers = {**new.answers, "company": client.name}
    row = _written(session, new, client, answers, submitted_at)
    number = row.id or 0
    keep_answers(session, row, writer.person_id, now)
    keep_files(session, number, writer.person_id, files_from_text(answers.get("files", "[]")), "request", now)
    queued = {"request_id": number, "stage": Stage.QUEUE.value, "staff_id": None, "started_at": submitted_at}
    session.connection().execute(_ADD_STAGE, queued)
    history.record(
        session, at=now, actor_id=writer.person_id, through=writer.through, action=desk.Event.SUBMITTED.value,
        subject=f"request:{number}", before=None,
        after={"status": row.status, **_where_from(new), **new.answers},
    )  # fmt: skip
    case = new_case(row, is_new_client=not client.confirmed)
    work = Work(
        number, row.kind, submitted_at, row.deadline,
        responsible_id=client.responsible_id, recorded_by_id=row.recorded_by,
        substitute_id=client.substitute_id,
    )  # fmt: skip
    case = route(session, house, case, now, work=work, tell_client=False)
    if new.recorded:
        return number
    context = form_context(session, house, now)
    promised = look_by(now, house.calendar, house.look_within_minutes)
    to_client(session, house, case, compose.receipt(case.facts, context, promised), now, "receipt", focus="")
    return number


def _where_from(new: NewRequest) -> dict[str, str]:
    if new.recorded is None:
        return {}
    return {"channel": new.channel, "spoken_at": new.recorded.spoken_at.isoformat()}


def _written(
    session: Session, new: NewRequest, client: RequestClient, answers: Answers, submitted_at: datetime
) -> Request:
    """Write the row with one statement; it is in the session as if it had been read."""
    values: dict[str, Any] = {
        "status": Status.NEW.value,
        "stage": Stage.QUEUE.value,
        "kind": answers["kind"],
        "company": client.name,
        "inn": client.inn,
        "task": answers["task"],
        "deadline": from_text(answers["deadline"]).at,
        "answers": answers,
        "client_id": client.id,
        "person_id": new.person_id,
        "chat_id": new.chat_id,
        "channel": new.channel,
        "created_at": min(new.created_at, submitted_at),
        "submitted_at": submitted_at,
        "recorded_by": new.recorded.by.staff_id if new.recorded else None,
        "result": "",
        "search": search_text(client.name, client.inn, answers["task"]),
        "version": 1,
    }
    row = Request(**values, id=session.connection().execute(_ADD_REQUEST, values).scalar_one())
    search.keep_words(session, row.id or 0, row.search)
    make_transient_to_detached(row)
    session.add(row)
    return row


class RequestClient(NamedTuple):
    """Whose request it is."""

    id: int
    inn: str
    name: str
    confirmed: bool
    responsible_id: int | None
    substitute_id: int | None = None


def client_of(
    session: Session, answers: Answers, who: Who, now: datetime, *, speaker_id: int | None = None
) -> RequestClient:
    """The client with the INN of these answers, for whom this person may speak from now on.

    An unknown one is added and waits for the director's word. `speaker_id` is the client's person
    where somebody else writes it down.
    """
    speaker_id = speaker_id or who.person_id
    connection = session.connection()
    inn, name = answers["inn"], answers["company"]
    found = connection.execute(_CLIENT, {"inn": inn}).one_or_none()
    client = RequestClient(*found) if found else _new_client(session, who, inn, name, now)
    known = connection.execute(_SPEAKS_FOR, {"client": client.id, "person": speaker_id}).one_or_none()
    if known is None:
        link = {"client_id": client.id, "person_id": speaker_id, "created_at": now}
        connection.execute(_ADD_SPEAKER, link)
    return client


def _new_client(session: Session, who: Who, inn: str, name: str, now: datetime) -> RequestClient:
    values = {
        "name": name, "inn": inn, "kind": "company" if len(inn) == COMPANY_INN_DIGITS else "proprietor",
        "confirmed": False, "phone": "", "email": "", "created_at": now, "version": 1,
    }  # fmt: skip
    client_id = session.connection().execute(_ADD_CLIENT, values).scalar_one()
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action="client_appeared",
        subject=f"client:{client_id}", before=None, after={"name": name, "inn": inn},
    )  # fmt: skip
    return RequestClient(client_id, inn, name, confirmed=False, responsible_id=None)


_client = metadata.tables["client"]
_speaker = metadata.tables["client_person"]
_request = metadata.tables["request"]

_CLIENT = select(
    _client.c.id,
    _client.c.inn,
    _client.c.name,
    _client.c.confirmed,
    _client.c.responsible_id,
    _client.c.substitute_id,
).where(_client.c.inn == bindparam("inn"))
_ADD_CLIENT = insert(_client).returning(_client.c.id)
_SPEAKS_FOR = select(_speaker.c.client_id).where(
    _speaker.c.client_id == bindparam("client"), _speaker.c.person_id == bindparam("person")
)
_ADD_SPEAKER = insert(_speaker)
_ADD_REQUEST = insert(_request).returning(_request.c.id)
_ADD_STAGE = insert(metadata.tables["stage_interval"])
