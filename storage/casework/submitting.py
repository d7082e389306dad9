"""A finished form becomes a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from forms.deadline import from_text
from forms.fields import Answers, files_from_text
from notifications import compose
from router import desk
from router.escalation import look_by
from router.model import Stage, Status
from storage import history
from storage.casework.opening import case_of, form_context
from storage.casework.routing import route
from storage.casework.telling import to_client
from storage.casework.writing import keep_answers, keep_files, search_text
from storage.house import House
from storage.models import (
    Client,
    ClientPerson,
    Request,
    StageInterval,
)


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A finished form. `created_at` is when its draft was begun."""

    answers: Answers
    person_id: int
    chat_id: int
    channel: str
    created_at: datetime


def submit(session: Session, house: House, new: NewRequest, now: datetime) -> int:
    """Keep a finished form as a request, route it, tell everybody. Returns its number."""
    history.wait_turn(session)
    answers = dict(new.answers)
    client = _client_of(session, new, now)
    deadline = from_text(answers["deadline"]).at
    row = Request(
        status=Status.NEW.value,
        stage=Stage.QUEUE.value,
        kind=answers["kind"],
        company=client.name,
        inn=client.inn,
        task=answers["task"],
        deadline=deadline,
        answers={**answers, "company": client.name},
        client_id=client.id or 0,
        person_id=new.person_id,
        chat_id=new.chat_id,
        channel=new.channel,
        created_at=new.created_at,
        submitted_at=now,
        search=search_text(client.name, client.inn, answers["task"]),
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    keep_answers(session, row, now)
    keep_files(session, row.id, new.person_id, files_from_text(answers.get("files", "[]")), "request", now)
    session.add(StageInterval(request_id=row.id, stage=Stage.QUEUE.value, started_at=now))
    history.record(
        session, at=now, actor_id=new.person_id, through=new.channel, action=desk.Event.SUBMITTED.value,
        subject=f"request:{row.id}", before=None, after={"status": row.status, **answers},
    )  # fmt: skip
    session.flush()
    case = route(session, house, case_of(session, row), now, tell_client=False)
    context = form_context(session, house, now)
    promised = look_by(now, house.calendar, house.look_within_minutes)
    to_client(session, house, case, compose.receipt(case.facts, context, promised), now, "receipt", focus="")
    return row.id


def _client_of(session: Session, new: NewRequest, now: datetime) -> Client:
    inn, name = new.answers["inn"], new.answers["company"]
    client = session.execute(select(Client).where(col(Client.inn) == inn)).scalar_one_or_none()
    if client is None:
        kind = "company" if len(inn) == 10 else "proprietor"  # noqa: PLR2004 - digits of an INN
        client = Client(name=name, inn=inn, kind=kind, confirmed=False, created_at=now)
        session.add(client)
        session.flush()
        history.record(
            session, at=now, actor_id=new.person_id, through=new.channel, action="client_appeared",
            subject=f"client:{client.id}", before=None, after={"name": name, "inn": inn},
        )  # fmt: skip
    assert client.id is not None
    if session.get(ClientPerson, (client.id, new.person_id)) is None:
        session.add(ClientPerson(client_id=client.id, person_id=new.person_id, created_at=now))
    return client
