"""Everything that happens to a request, one function per action over a Session.

The chat and the panel call the same functions, so history, stage clock and letters are never
skipped. Rules live in `router.desk`, sentences in `notifications.compose`; here rows are read and
written. Every function raises `router.desk.DeskError`, whose text is for the person who acted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlmodel import Session, col

from forms.answers import AnswerError
from forms.deadline import from_text
from forms.dialogue import parse_one
from forms.fields import Answers, FormContext, Said, files_from_text, files_to_text
from forms.fields import AttachedFile
from forms.messages import OutgoingFile, Reply
from notifications import compose
from notifications.compose import RequestFacts
from router import assign as routing
from router import desk
from router.escalation import look_by
from router.model import Candidate, Decision, Role, Stage, Status, Work
from router.rules import RuleContext
from storage import history
from storage.house import House, Who
from storage.letters import Posting, post
from storage.models import (
    Absence,
    AnswerVersion,
    Assignment,
    Attachment,
    Chat,
    Clarification,
    Client,
    ClientPerson,
    History,
    Message,
    Person,
    Request,
    Shift,
    Staff,
    StageInterval,
)

RECENT_DAYS = 30


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A finished form. `created_at` is when its draft was begun."""

    answers: Answers
    person_id: int
    chat_id: int
    channel: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """A request opened for one action: the row, its desk value, its facts for sentences."""

    row: Request
    facts: RequestFacts
    request: desk.Request
    assignee_name: str
    assignee_person_id: int | None

    @property
    def number(self) -> int:
        """The number people see."""
        assert self.row.id is not None
        return self.row.id


class NoSuchRequest(desk.DeskError):  # noqa: N818 - the name says what happened
    """There is no such request, or this person may not know of it."""

    def __init__(self) -> None:
        super().__init__(compose.no_such_request())


# --- opening -----------------------------------------------------------------------------------


def open_case(session: Session, request_id: int) -> Case:
    """Read a request for a change; on PostgreSQL the row is locked until the commit.

    Raises NoSuchRequest.
    """
    query = select(Request).where(col(Request.id) == request_id).with_for_update(of=Request)
    row = session.execute(query).scalar_one_or_none()
    if row is None:
        raise NoSuchRequest
    return _case(session, row)


def _case(session: Session, row: Request) -> Case:
    name, person_id = staff_name(session, row.assignee_id)
    client = session.get(Client, row.client_id)
    assert client is not None
    return Case(row, _facts(row, name, client), _desk_request(row), name, person_id)


def _facts(row: Request, assignee: str, client: Client) -> RequestFacts:
    assert row.id is not None
    return RequestFacts(
        number=row.id,
        status=Status(row.status),
        answers=row.answers,
        client=row.company,
        assignee=assignee,
        is_new_client=not client.confirmed,
        version=row.version,
        result=row.result,
        deadline=row.deadline,
        rating=row.rating,
    )


def facts_of(session: Session, row: Request) -> RequestFacts:
    """A request as people read about it."""
    return _case(session, row).facts


def people_for_call(session: Session, person_id: int | None, now: datetime) -> tuple[int, ...]:
    """Whose chats a client's call for a person goes to: the keepers of their open requests and books
    who are not absent; without any, the directors. Only people who have a chat."""
    has_chat = select(col(Chat.id)).where(col(Chat.person_id) == col(Staff.person_id), col(Chat.blocked_at).is_(None))
    absent = select(col(Absence.staff_id)).where(col(Absence.starts_at) <= now, col(Absence.ends_at) > now)
    reachable = select(col(Staff.person_id)).where(
        col(Staff.active), has_chat.exists(), col(Staff.id).not_in(absent)
    )
    working_on = select(col(Request.assignee_id)).where(
        col(Request.person_id) == person_id,
        col(Request.status).in_([Status.ASSIGNED.value, Status.ACCEPTED.value, Status.WAITING_CLIENT.value, Status.DONE.value]),
        col(Request.assignee_id).is_not(None),
    )
    responsible = (
        select(col(Client.responsible_id))
        .join(ClientPerson, col(ClientPerson.client_id) == col(Client.id))
        .where(col(ClientPerson.person_id) == person_id, col(Client.responsible_id).is_not(None))
    )
    near = session.execute(reachable.where(col(Staff.id).in_(working_on) | col(Staff.id).in_(responsible))).scalars().all()
    if near:
        return tuple(sorted(near))
    directing = (Role.DIRECTOR.value, Role.DEPUTY.value)
    return tuple(sorted(session.execute(reachable.where(col(Staff.role).in_(directing))).scalars().all()))


def _desk_request(row: Request) -> desk.Request:
    assert row.id is not None
    return desk.Request(
        request_id=row.id,
        status=Status(row.status),
        deadline=row.deadline,
        stage=Stage(row.stage) if row.stage else None,
        assignee_id=row.assignee_id,
        version=row.version,
        submitted_at=row.submitted_at,
        assigned_at=row.assigned_at,
        accepted_at=row.accepted_at,
        first_response_at=row.first_response_at,
        done_at=row.done_at,
        closed_at=row.closed_at,
        question=row.question,
        unanswered_since=row.unanswered_since,
        rating=row.rating,
    )


def staff_name(session: Session, staff_id: int | None) -> tuple[str, int | None]:
    """Name and person of a member of staff; empty for nobody."""
    if staff_id is None:
        return "", None
    query = select(col(Person.name), col(Person.id)).join(Staff, col(Staff.person_id) == col(Person.id))
    found = session.execute(query.where(col(Staff.id) == staff_id)).one_or_none()
    return (found[0], found[1]) if found else ("", None)


def form_context(session: Session, house: House, now: datetime, person_id: int | None = None) -> FormContext:
    """What the form may know about this person."""
    from forms.fields import Company

    companies: tuple[Company, ...] = ()
    if person_id is not None:
        query = (
            select(col(Client.inn), col(Client.name))
            .join(ClientPerson, col(ClientPerson.client_id) == col(Client.id))
            .where(col(ClientPerson.person_id) == person_id)
            .order_by(col(Client.name))
        )
        companies = tuple(Company(inn, name) for inn, name in session.execute(query))
    return FormContext(now, house.calendar, house.firm_name, house.firm_phone, companies)


# --- coming in ---------------------------------------------------------------------------------


def submit(session: Session, house: House, new: NewRequest, now: datetime) -> int:
    """Keep a finished form as a request, route it, tell everybody. Returns its number."""
    answers = dict(new.answers)
    client = _client_of(session, house, new, now)
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
    _keep_answers(session, row, now)
    _keep_files(session, row.id, new.person_id, files_from_text(answers.get("files", "[]")), "request", now)
    session.add(StageInterval(request_id=row.id, stage=Stage.QUEUE.value, started_at=now))
    history.record(
        session, at=now, actor_id=new.person_id, through=new.channel, action=desk.Event.SUBMITTED.value,
        subject=f"request:{row.id}", before=None, after={"status": row.status, **answers},
    )  # fmt: skip
    session.flush()
    case = _route(session, house, _case(session, row), now, tell_client=False)
    context = form_context(session, house, now)
    promised = look_by(now, house.calendar, house.look_within_minutes)
    _to_client(session, house, case, compose.receipt(case.facts, context, promised), now, "receipt")
    return row.id


def _client_of(session: Session, house: House, new: NewRequest, now: datetime) -> Client:
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


def search_text(*parts: str) -> str:
    """What the search by words looks in: lower case, ё as е."""
    return " ".join(parts).casefold().replace("ё", "е")


def _keep_answers(session: Session, row: Request, now: datetime) -> None:
    assert row.id is not None
    session.add_all(
        AnswerVersion(
            request_id=row.id, field=name, version=1, value=value, person_id=row.person_id, created_at=now
        )
        for name, value in row.answers.items()
    )


def _keep_files(
    session: Session, request_id: int, person_id: int | None, files: Sequence[AttachedFile | OutgoingFile],
    purpose: str, now: datetime,
) -> None:  # fmt: skip
    session.add_all(
        Attachment(
            request_id=request_id, person_id=person_id, sha256=file.sha256, name=file.name,
            size_bytes=file.size_bytes, media_type=file.media_type, purpose=purpose, created_at=now,
        )
        for file in files
    )  # fmt: skip


# --- routing -----------------------------------------------------------------------------------


def candidates(session: Session, now: datetime) -> tuple[Candidate, ...]:
    """Everybody who might take a request, as they are at this moment. Three queries whatever the number."""
    open_statuses = [status.value for status in (Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)]
    load = dict(
        session.execute(
            select(col(Request.assignee_id), func.count())
            .where(col(Request.status).in_(open_statuses))
            .group_by(col(Request.assignee_id))
        ).all()
    )
    on_shift = set(
        session.execute(
            select(col(Shift.staff_id)).where(col(Shift.ended_at).is_(None), col(Shift.kind) == "work")
        ).scalars()
    )
    absent: dict[int, datetime] = dict(
        session.execute(
            select(col(Absence.staff_id), func.max(col(Absence.ends_at)))
            .where(col(Absence.starts_at) <= now, col(Absence.ends_at) > now)
            .group_by(col(Absence.staff_id))
        ).all()
    )  # type: ignore[arg-type]
    people = session.execute(
        select(Staff, col(Person.name)).join(Person, col(Staff.person_id) == col(Person.id)).order_by(col(Staff.id))
    )
    return tuple(
        Candidate(
            staff_id=staff.id or 0,
            name=name,
            role=Role(staff.role),
            department=staff.department,
            skills=frozenset(staff.skills),
            capacity=staff.capacity,
            open_requests=int(load.get(staff.id, 0)),
            on_shift=staff.id in on_shift,
            absent_until=absent.get(staff.id or 0),
            active=staff.active,
        )
        for staff, name in people
    )


def _work(session: Session, row: Request) -> Work:
    client = session.get(Client, row.client_id)
    refused = session.execute(
        select(col(Assignment.staff_id)).where(
            col(Assignment.request_id) == row.id, col(Assignment.declined), col(Assignment.staff_id).is_not(None)
        )
    ).scalars()
    return Work(
        request_id=row.id or 0,
        kind=row.kind,
        submitted_at=row.submitted_at,
        deadline=row.deadline,
        responsible_id=client.responsible_id if client else None,
        excluded_ids=frozenset(staff_id for staff_id in refused if staff_id is not None),
    )


def _route(session: Session, house: House, case: Case, now: datetime, *, tell_client: bool = True) -> Case:
    """Let the router choose; the decision is stored whether or not somebody fits."""
    context = RuleContext(now, house.calendar)
    decision = routing.assign(_work(session, case.row), candidates(session, now), context)
    return _decided(session, house, case, decision, now, tell_client=tell_client)


def _decided(
    session: Session, house: House, case: Case, decision: Decision, now: datetime, *, tell_client: bool
) -> Case:
    _note_assignment(session, case, decision.staff_id, "router", "", now, _trace(house, decision))
    if decision.staff_id is None:
        _to_directors(session, house, case, compose.unassigned_alarm(case.facts, _context(house, now)), now, "unassigned")
        return case
    case = _apply(session, case, desk.assigned(case.request, desk.MACHINE, now, decision), ROUTER)
    _give_card(session, house, case, now)
    if tell_client:
        _to_client(session, house, case, compose.assigned_notice(case.facts), now, "assigned")
    return case


def _trace(house: House, decision: Decision) -> str:
    return routing.decision_to_json(decision, house.say)


def _note_assignment(
    session: Session, case: Case, staff_id: int | None, by: str, reason: str, now: datetime, trace: str = ""
) -> None:
    session.add(
        Assignment(
            request_id=case.number, staff_id=staff_id, by=by, reason=reason, trace=trace, created_at=now
        )
    )


def _give_card(session: Session, house: House, case: Case, now: datetime) -> None:
    recent = session.execute(
        select(func.count())
        .select_from(Request)
        .where(
            col(Request.client_id) == case.row.client_id,
            col(Request.id) != case.number,
            col(Request.submitted_at) > now - timedelta(days=RECENT_DAYS),
        )
    ).scalar_one()
    card = compose.assignment_card(case.facts, _context(house, now), recent)
    _to_person(session, house, case, case.assignee_person_id, card, now, "card")


def pick_up_unassigned(session: Session, house: House, now: datetime) -> int:
    """Offer what waits in «Неразобранное» to whoever has appeared, nearest deadline first.

    Only requests that somebody can take now are touched. Returns how many were given out.
    """
    waiting = session.execute(select(Request).where(col(Request.status) == Status.NEW.value)).scalars().all()
    if not waiting:
        return 0
    rows = {row.id: row for row in waiting}
    people = candidates(session, now)
    works = [_work(session, row) for row in waiting]
    given = 0
    for work, decision in routing.pick_up(works, people, RuleContext(now, house.calendar)):
        if decision.staff_id is None:
            continue
        _decided(session, house, _case(session, rows[work.request_id]), decision, now, tell_client=True)
        given += 1
    return given


# --- what staff do -----------------------------------------------------------------------------


def accept(session: Session, house: House, who: Who, request_id: int, now: datetime, version: int | None = None) -> Case:
    """«Принять»."""
    case = _opened(session, house, who, request_id, now, version)
    case = _apply(session, case, desk.accept(case.request, _actor(who, house), now, holder=case.assignee_name), who)
    if case.row.assignee_id is not None and case.request.assignee_id is None:
        _note_assignment(session, case, case.row.assignee_id, "staff", "", now)
    _to_client(session, house, case, compose.taken_notice(case.facts), now, "taken")
    return case


def decline(
    session: Session, house: House, who: Who, request_id: int, reason: str, now: datetime, version: int | None = None
) -> Case:
    """«Отказаться»: the router looks for somebody else at once."""
    case = _opened(session, house, who, request_id, now, version)
    change = desk.decline(case.request, _actor(who, house), now, reason, holder=case.assignee_name)
    _mark_declined(session, case)
    case = _apply(session, case, change, who)
    return _route(session, house, case, now)


def _mark_declined(session: Session, case: Case) -> None:
    session.flush()
    session.execute(
        update(Assignment)
        .where(col(Assignment.request_id) == case.number, col(Assignment.staff_id) == case.row.assignee_id)
        .values(declined=True)
    )


def clarify(
    session: Session, house: House, who: Who, request_id: int, field: str, question: str, now: datetime,
    version: int | None = None,
) -> Case:  # fmt: skip
    """«Уточнить»: the client is asked that field again; the client's clock runs."""
    case = _opened(session, house, who, request_id, now, version)
    change = desk.ask_clarification(case.request, _actor(who, house), now, field, question, holder=case.assignee_name)
    case = _apply(session, case, change, who)
    assert who.staff_id is not None
    asked = Clarification(
        request_id=case.number, field=field, question=question, asked_by=who.staff_id, asked_at=now
    )
    session.add(asked)
    session.flush()
    assert asked.id is not None
    reply = compose.clarification_notice(case.facts, field, question, asked.id, _context(house, now))
    _to_client(session, house, case, reply, now, "clarify", author_id=who.person_id, focus=f"clar:{asked.id}")
    return case


def answer(
    session: Session, house: House, who: Who, request_id: int, text: str, files: tuple[OutgoingFile, ...],
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """«Ответить»: words and files to the client, in the client's own messenger."""
    case = _opened(session, house, who, request_id, now, version)
    change = desk.answer(case.request, _actor(who, house), now, holder=case.assignee_name)
    case = _apply(session, case, change, who, {"text": text, "files": [file.name for file in files]})
    _keep_files(session, case.number, who.person_id, files, "answer", now)
    speaker = replace(case.facts, assignee=who.name or case.facts.assignee)
    _to_client(session, house, case, compose.answer_notice(speaker, text, files), now, "answer", author_id=who.person_id)
    return case


def note(
    session: Session, house: House, who: Who, request_id: int, text: str, files: tuple[OutgoingFile, ...],
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """«Заметка»: stays among staff."""
    case = _opened(session, house, who, request_id, now, version)
    case = _apply(session, case, desk.note(case.request, _actor(who, house), now, text), who)
    _keep_files(session, case.number, who.person_id, files, "note", now)
    session.add(
        Message(
            request_id=case.number, person_id=who.person_id, direction="note", text=text,
            files=[_file_json(file) for file in files], sent_at=now, received_at=now,
        )
    )  # fmt: skip
    return case


def pass_on(
    session: Session, house: House, who: Who, request_id: int, to_staff_id: int, reason: str, now: datetime,
    version: int | None = None,
) -> Case:  # fmt: skip
    """«Передать»: to a colleague, who has yet to accept it."""
    case = _opened(session, house, who, request_id, now, version)
    change = desk.pass_on(case.request, _actor(who, house), now, to_staff_id, reason, holder=case.assignee_name)
    return _handed_over(session, house, who, case, change, reason, now)


def reassign(
    session: Session, house: House, who: Who, request_id: int, to_staff_id: int | None, comment: str,
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """The director gives a request to somebody, or back to «Неразобранное» (None)."""
    case = _opened(session, house, who, request_id, now, version)
    actor = _actor(who, house)
    if to_staff_id is None:
        change = desk.unassign(case.request, actor, now, comment)
    else:
        change = desk.reassign(case.request, actor, now, to_staff_id, comment)
    return _handed_over(session, house, who, case, change, comment, now)


def _handed_over(
    session: Session, house: House, who: Who, case: Case, change: desk.Change, comment: str, now: datetime
) -> Case:
    loser_id = case.assignee_person_id
    case = _apply(session, case, change, who)
    _note_assignment(session, case, case.row.assignee_id, who.through, comment, now)
    if loser_id is not None and loser_id != who.person_id:
        _to_person(session, house, case, loser_id, compose.lost_notice(case.facts, comment), now, "lost")
    if case.assignee_person_id is not None:
        _give_card(session, house, case, now)
        _to_client(session, house, case, compose.reassigned_notice(case.facts), now, "reassigned")
    return case


def done(
    session: Session, house: House, who: Who, request_id: int, result: str, files: tuple[OutgoingFile, ...],
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """«Выполнено»: the result goes to the client, whose word is waited for."""
    case = _opened(session, house, who, request_id, now, version)
    change = desk.done(case.request, _actor(who, house), now, result, holder=case.assignee_name)
    case.row.result = result
    case = _apply(session, case, change, who)
    _keep_files(session, case.number, who.person_id, files, "result", now)
    _to_client(session, house, case, compose.done_notice(case.facts, files), now, "done", author_id=who.person_id)
    return case


def cancel(
    session: Session, house: House, who: Who, request_id: int, reason: str, now: datetime, version: int | None = None
) -> Case:
    """The client withdraws it, or the director takes it off; the other side and the assignee are told."""
    case = _opened(session, house, who, request_id, now, version)
    case = _apply(session, case, desk.cancel(case.request, _actor(who, house), now, reason), who)
    if who.staff_id is None:
        _to_assignee_or_directors(session, house, case, compose.withdrawn_notice(case.facts), now, "withdrawn")
    else:
        _to_client(session, house, case, compose.cancelled_notice(case.facts, reason), now, "cancelled")
        if case.assignee_person_id != who.person_id:
            notice = compose.cancelled_notice(case.facts, reason)
            _to_person(session, house, case, case.assignee_person_id, notice, now, "cancelled-staff")
    return case


# --- what the client does ----------------------------------------------------------------------


def add(
    session: Session, house: House, who: Who, request_id: int, text: str, files: tuple[OutgoingFile, ...],
    now: datetime, *, needs_answer: bool = True,
) -> Case:  # fmt: skip
    """The client writes into the request: the assignee gets it, nothing in the form changes."""
    case = open_case(session, request_id)
    change = desk.client_wrote(case.request, _actor(who, house), now, needs_answer=needs_answer)
    case = _apply(session, case, change, who, {"text": text, "files": [file.name for file in files]})
    _keep_files(session, case.number, who.person_id, files, "added", now)
    notice = compose.client_wrote_notice(case.facts, text, files)
    _to_assignee_or_directors(session, house, case, notice, now, "client")
    return case


def clarified(
    session: Session, house: House, who: Who, clarification_id: int, said: Said, context: FormContext
) -> Case:
    """The client answers the asked field; the old value stays as its earlier version.

    Raises AnswerError when the field's validator refuses the answer.
    """
    asked = session.get(Clarification, clarification_id)
    if asked is None:
        raise NoSuchRequest
    case = open_case(session, asked.request_id)
    if asked.answered_at is not None or not case.request.status.is_open:
        raise desk.WrongState(case.request.status)
    old = case.row.answers.get(asked.field, "")
    filled = _corrected(asked.field, said, case.row.answers, context)
    change = desk.clarified(case.request, _actor(who, house), context.now)
    _replace_answers(session, case, filled, who, context.now)
    asked.answered_at = context.now
    case = _apply(session, case, change, who, {"field": asked.field, **filled}, {"field": asked.field, "value": old})
    notice = compose.clarified_notice(case.facts, asked.field, old, _context(house, context.now))
    _to_assignee_or_directors(session, house, case, notice, context.now, "clarified")
    return case


def _corrected(field: str, said: Said, answers: Answers, context: FormContext) -> dict[str, str]:
    if field == "files":
        kept = {file.sha256: file for file in files_from_text(answers.get("files", "[]"))}
        new = [file for file in said.files if file.refusal is None]
        if not new:
            refused = [file.refusal for file in said.files if file.refusal is not None]
            raise AnswerError(refused[0] if refused else compose.files_wanted())
        kept |= {f.sha256: AttachedFile(f.sha256, f.name, f.size_bytes, f.media_type) for f in new}
        return {"files": files_to_text(tuple(kept.values()))}
    filled = dict(parse_one(field, said, answers, context))
    if field not in filled:
        raise AnswerError(compose.field_wanted(field, answers, context))
    return filled


def _replace_answers(session: Session, case: Case, filled: Mapping[str, str], who: Who, now: datetime) -> None:
    row = case.row
    latest = dict(
        session.execute(
            select(col(AnswerVersion.field), func.max(col(AnswerVersion.version)))
            .where(col(AnswerVersion.request_id) == row.id)
            .group_by(col(AnswerVersion.field))
        ).all()
    )
    for name, value in filled.items():
        if row.answers.get(name) == value:
            continue
        session.add(
            AnswerVersion(
                request_id=case.number, field=name, version=int(latest.get(name, 0)) + 1, value=value,
                person_id=who.person_id, created_at=now,
            )
        )  # fmt: skip
    if "files" in filled:
        before = {file.sha256 for file in files_from_text(row.answers.get("files", "[]"))}
        new = [file for file in files_from_text(filled["files"]) if file.sha256 not in before]
        _keep_files(session, case.number, who.person_id, new, "added", now)
    row.answers = {**row.answers, **filled}
    row.company, row.inn = row.answers["company"], row.answers["inn"]
    row.kind, row.task = row.answers["kind"], row.answers["task"]
    row.deadline = from_text(row.answers["deadline"]).at
    row.search = search_text(row.company, row.inn, row.task)


def rate(session: Session, house: House, who: Who, request_id: int, points: int, now: datetime) -> Case:
    """The client's mark 1–5; it closes a done request."""
    case = open_case(session, request_id)
    actor = _actor(who, house)
    change = desk.rate(case.request, actor, now, points)
    case = _apply(session, case, change, who, {"rating": points})
    if case.request.status is Status.DONE:
        case = _apply(session, case, desk.close(case.request, actor, now), who)
    _to_person(
        session, house, case, case.assignee_person_id, compose.rated_notice(case.facts, points), now, "rated"
    )
    return case


def reopen(session: Session, house: House, who: Who, request_id: int, reason: str, now: datetime) -> Case:
    """«Не решено»: the same assignee works on it again."""
    case = open_case(session, request_id)
    case = _apply(session, case, desk.reopen(case.request, _actor(who, house), now, reason), who)
    if case.request.status is Status.NEW:
        return _route(session, house, case, now)
    notice = compose.unsolved_notice(case.facts, reason)
    _to_assignee_or_directors(session, house, case, notice, now, "unsolved")
    return case


# --- what the timers do ------------------------------------------------------------------------


def escalate(session: Session, house: House, request_id: int, now: datetime) -> Case:
    """Nobody accepted in time: the next person gets it, the director learns of it."""
    case = open_case(session, request_id)
    late_name, late_person_id = case.assignee_name, case.assignee_person_id
    _mark_declined(session, case)
    decision = routing.assign(_work(session, case.row), candidates(session, now), RuleContext(now, house.calendar))
    case = _apply(session, case, desk.escalate(case.request, desk.MACHINE, now, decision), TIMER)
    _note_assignment(session, case, decision.staff_id, "timer", "", now, _trace(house, decision))
    alarm = compose.not_accepted_alarm(case.facts, house.accept_within_minutes, late_name)
    _to_directors(session, house, case, alarm, now, "escalated")
    _to_person(session, house, case, late_person_id, compose.escalated_notice(case.facts), now, "late")
    if case.assignee_person_id is not None:
        _give_card(session, house, case, now)
        _to_client(session, house, case, compose.reassigned_notice(case.facts), now, "reassigned")
    return case


def close_silent(session: Session, house: House, request_id: int, now: datetime) -> Case:
    """The client has had time to object: a done request is closed, unless the firm owes an answer."""
    case = open_case(session, request_id)
    case = _apply(session, case, desk.close(case.request, desk.MACHINE, now), TIMER)
    _to_client(session, house, case, compose.closed_notice(case.facts), now, "closed")
    return case


# --- writing -----------------------------------------------------------------------------------

ROUTER = Who("router")
TIMER = Who("timer")


def _opened(
    session: Session, house: House, who: Who, request_id: int, now: datetime, version: int | None
) -> Case:
    case = open_case(session, request_id)
    if version is not None and version != case.row.version:
        changed_by, changed_at = _last_change(session, request_id)
        desk.require_version(
            case.request, version, _actor(who, house), now, changed_by=changed_by, changed_at=changed_at or now
        )
    return case


def _last_change(session: Session, request_id: int) -> tuple[str, datetime | None]:
    """Who changed a request last and when; the name is empty when it was the program."""
    query = (
        select(col(Person.name), col(History.at))
        .select_from(History)
        .outerjoin(Person, col(Person.id) == col(History.actor_id))
        .where(col(History.subject) == f"request:{request_id}")
        .order_by(col(History.id).desc())
        .limit(1)
    )
    found = session.execute(query).one_or_none()
    return (found[0] or "", found[1]) if found else ("", None)


def _actor(who: Who, house: House) -> desk.Actor:
    if who.staff_id is not None and who.role is not None:
        return desk.staff(who.staff_id, who.role, who.name, house.calendar.zone)
    return desk.Actor(who.name, zone=house.calendar.zone)


def _apply(
    session: Session, case: Case, change: desk.Change, who: Who,
    after: Mapping[str, Any] | None = None, before: Mapping[str, Any] | None = None,
) -> Case:  # fmt: skip
    """Write a change: the row, the stage clock, the history. Two at once: the second one is refused by
    the row lock on PostgreSQL and by the single writer on SQLite, and then reads the new state."""
    row, new = case.row, change.after
    row.status, row.stage = new.status.value, new.stage.value if new.stage else None
    row.assignee_id = new.assignee_id
    row.assigned_at, row.accepted_at = new.assigned_at, new.accepted_at
    row.first_response_at, row.done_at, row.closed_at = new.first_response_at, new.done_at, new.closed_at
    row.question, row.unanswered_since, row.rating = new.question, new.unanswered_since, new.rating
    row.version = new.version
    _move_clock(session, case, change)
    seen = {"status": change.before.status.value, "assignee_id": change.before.assignee_id}
    became: dict[str, Any] = {"status": new.status.value, "assignee_id": new.assignee_id}
    if change.comment:
        became["comment"] = change.comment
    history.record(
        session, at=change.at, actor_id=who.person_id, through=who.through, action=change.event.value,
        subject=f"request:{case.number}", before={**seen, **(before or {})}, after={**became, **(after or {})},
    )  # fmt: skip
    session.flush()
    return _case(session, row)


def _move_clock(session: Session, case: Case, change: desk.Change) -> None:
    if not change.moves_clock and change.before.assignee_id == change.after.assignee_id:
        return
    at = change.at
    running = session.execute(
        select(StageInterval).where(
            col(StageInterval.request_id) == case.number, col(StageInterval.ended_at).is_(None)
        )
    ).scalars()
    for interval in running:
        # A machine whose clock was set back must not make an interval end before it began.
        at = max(at, interval.started_at)
        interval.ended_at = at
    if change.after.stage is not None:
        session.add(
            StageInterval(
                request_id=case.number, stage=change.after.stage.value, staff_id=change.after.assignee_id, started_at=at
            )
        )


# --- telling -----------------------------------------------------------------------------------


def _context(house: House, now: datetime) -> FormContext:
    return FormContext(now, house.calendar, house.firm_name, house.firm_phone)


def _letter_key(case: Case, what: str, to: object) -> str:
    return f"request:{case.number}:{case.row.version}:{what}:{to}"


def _to_client(
    session: Session, house: House, case: Case, reply: Reply, now: datetime, what: str, *,
    author_id: int | None = None, focus: str | None = None,
) -> None:  # fmt: skip
    posting = Posting(
        key=_letter_key(case, what, "client"), reply=reply, chat_id=case.row.chat_id,
        person_id=case.row.person_id, request_id=case.number, author_id=author_id, focus=focus,
        keeps_screen=focus is None, urgent=True,
    )  # fmt: skip
    post(session, house, now, (posting,))


def _to_person(
    session: Session, house: House, case: Case, person_id: int | None, reply: Reply, now: datetime, what: str
) -> None:
    if person_id is None:
        return
    posting = Posting(
        key=_letter_key(case, what, person_id), reply=reply, person_id=person_id, request_id=case.number, urgent=True
    )
    post(session, house, now, (posting,))


def _to_directors(session: Session, house: House, case: Case, reply: Reply, now: datetime, what: str) -> None:
    """To every director and deputy who has a chat; those without one look at the panel."""
    query = (
        select(col(Staff.person_id))
        .join(Chat, col(Chat.person_id) == col(Staff.person_id))
        .where(col(Staff.active), col(Staff.role).in_((Role.DIRECTOR.value, Role.DEPUTY.value)))
        .distinct()
    )
    for person_id in session.execute(query).scalars().all():
        _to_person(session, house, case, person_id, reply, now, what)


def _to_assignee_or_directors(
    session: Session, house: House, case: Case, reply: Reply, now: datetime, what: str
) -> None:
    if case.assignee_person_id is not None:
        _to_person(session, house, case, case.assignee_person_id, reply, now, what)
    else:
        _to_directors(session, house, case, reply, now, what)


def _file_json(file: OutgoingFile) -> dict[str, Any]:
    return {
        "sha256": file.sha256, "name": file.name, "media_type": file.media_type, "size_bytes": file.size_bytes,
    }  # fmt: skip


Post = Callable[[Posting], None]
__all__ = [
    "Case", "House", "NewRequest", "NoSuchRequest", "Who", "accept", "add", "answer", "cancel", "candidates",
    "clarified", "clarify", "close_silent", "decline", "done", "escalate", "form_context", "note", "open_case",
    "pass_on", "pick_up_unassigned", "rate", "reassign", "reopen", "staff_name", "submit",
]  # fmt: skip
