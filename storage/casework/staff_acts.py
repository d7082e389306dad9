"""What staff do with a request. Every function raises `router.desk.DeskError`, whose text is for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from forms.messages import OutgoingFile
from notifications import compose
from router import desk
from router.model import Status
from storage.casework.opening import Case, actor_of, context_of, open_case, open_checked
from storage.casework.routing import route
from storage.casework.telling import give_card, to_assignee_or_directors, to_client, to_person
from storage.casework.writing import file_json, keep_files, mark_declined, note_assignment, write_change
from storage.house import House, Who
from storage.models import (
    Clarification,
    Message,
    Request,
)


def accept(
    session: Session, house: House, who: Who, request_id: int, now: datetime, version: int | None = None
) -> Case:
    """«Принять»."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.accept(case.request, actor_of(who, house), now, holder=case.assignee_name)
    case = write_change(session, case, change, who)
    if change.before.assignee_id is None:
        note_assignment(session, case, change.assignee_id, "staff", "", now)
    to_client(session, house, case, compose.taken_notice(case.facts), now, "taken")
    return case


def decline(
    session: Session,
    house: House,
    who: Who,
    request_id: int,
    reason: str,
    now: datetime,
    version: int | None = None,
) -> Case:
    """«Отказаться»: the router looks for somebody else at once."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.decline(case.request, actor_of(who, house), now, reason, holder=case.assignee_name)
    mark_declined(session, case)
    case = write_change(session, case, change, who)
    return route(session, house, case, now, note=compose.declined_note(who.name, reason))


def clarify(
    session: Session, house: House, who: Who, request_id: int, field: str, question: str, now: datetime,
    version: int | None = None,
) -> Case:  # fmt: skip
    """«Уточнить»: the client is asked that field again; the client's clock runs."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.ask_clarification(
        case.request, actor_of(who, house), now, field, question, holder=case.assignee_name
    )
    case = write_change(session, case, change, who)
    assert who.staff_id is not None
    asked = Clarification(
        request_id=case.number, field=field, question=question, asked_by=who.staff_id, asked_at=now
    )
    session.add(asked)
    session.flush()
    assert asked.id is not None
    reply = compose.clarification_notice(case.facts, field, question, asked.id, context_of(house, now))
    to_client(session, house, case, reply, now, "clarify", author_id=who.person_id, focus=f"clar:{asked.id}")
    return case


def answer(
    session: Session, house: House, who: Who, request_id: int, text: str, files: tuple[OutgoingFile, ...],
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """«Ответить»: words and files to the client, in the client's own messenger."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.answer(case.request, actor_of(who, house), now, holder=case.assignee_name)
    case = write_change(session, case, change, who, {"text": text, "files": [file.name for file in files]})
    keep_files(session, case.number, who.person_id, files, "answer", now)
    speaker = replace(case.facts, assignee=who.name or case.facts.assignee)
    to_client(
        session,
        house,
        case,
        compose.answer_notice(speaker, text, files),
        now,
        "answer",
        author_id=who.person_id,
    )
    return case


def note(
    session: Session, house: House, who: Who, request_id: int, text: str, files: tuple[OutgoingFile, ...],
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """«Заметка»: stays among staff."""
    case = open_checked(session, house, who, request_id, now, version)
    case = write_change(session, case, desk.note(case.request, actor_of(who, house), now, text), who)
    keep_files(session, case.number, who.person_id, files, "note", now)
    session.add(
        Message(
            request_id=case.number, person_id=who.person_id, direction="note", text=text,
            files=[file_json(file) for file in files], sent_at=now, received_at=now,
        )
    )  # fmt: skip
    return case


def pass_on(
    session: Session, house: House, who: Who, request_id: int, to_staff_id: int, reason: str, now: datetime,
    version: int | None = None,
) -> Case:  # fmt: skip
    """«Передать»: to a colleague, who has yet to accept it."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.pass_on(
        case.request, actor_of(who, house), now, to_staff_id, reason, holder=case.assignee_name
    )
    return _handed_over(session, house, who, case, change, reason, now)


def reassign(
    session: Session, house: House, who: Who, request_id: int, to_staff_id: int | None, comment: str,
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """The director gives a request to somebody, or back to «Неразобранное» (None)."""
    case = open_checked(session, house, who, request_id, now, version)
    actor = actor_of(who, house)
    if to_staff_id is None:
        change = desk.unassign(case.request, actor, now, comment)
        # Or the next sweep would bounce it back.
        mark_declined(session, case)
    else:
        change = desk.reassign(case.request, actor, now, to_staff_id, comment)
    return _handed_over(session, house, who, case, change, comment, now)


def release(session: Session, house: House, who: Who, staff_id: int, now: datetime) -> None:
    """Whoever leaves the firm leaves their requests: all that are not done go back to the queue."""
    query = select(col(Request.id)).where(
        col(Request.assignee_id) == staff_id,
        col(Request.status).in_([Status.ASSIGNED.value, Status.ACCEPTED.value, Status.WAITING_CLIENT.value]),
    )
    for number in session.execute(query.order_by(col(Request.id))).scalars().all():
        case = open_case(session, number or 0)
        # The administrator, who takes people off the list, disposes of no requests.
        change = desk.unassign(case.request, replace(desk.MACHINE, zone=house.calendar.zone), now)
        case = write_change(session, case, change, who)
        note_assignment(session, case, None, who.through, "", now)


def _handed_over(
    session: Session, house: House, who: Who, case: Case, change: desk.Change, comment: str, now: datetime
) -> Case:
    loser_id = case.assignee_person_id
    case = write_change(session, case, change, who)
    note_assignment(session, case, case.row.assignee_id, who.through, comment, now)
    if loser_id is not None and loser_id != who.person_id:
        to_person(session, house, case, loser_id, compose.lost_notice(case.facts, comment), now, "lost")
    if case.assignee_person_id is not None:
        give_card(session, house, case, now, compose.passed_note(who.name, comment))
        to_client(session, house, case, compose.reassigned_notice(case.facts), now, "reassigned")
    return case


def wait_outside(
    session: Session, house: House, who: Who, request_id: int, for_whom: str, now: datetime,
    version: int | None = None,
) -> Case:  # fmt: skip
    """«Ждём третьих лиц»: a bank, the tax office; `for_whom` stays among staff and may be empty."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.wait_outside(case.request, actor_of(who, house), now, for_whom, holder=case.assignee_name)
    return write_change(session, case, change, who)


def resume(
    session: Session, house: House, who: Who, request_id: int, now: datetime, version: int | None = None
) -> Case:
    """«Продолжить»: the outsider has delivered, or is no longer waited for."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.resume(case.request, actor_of(who, house), now, holder=case.assignee_name)
    return write_change(session, case, change, who)


def done(
    session: Session, house: House, who: Who, request_id: int, result: str, files: tuple[OutgoingFile, ...],
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """«Выполнено»: the result goes to the client, whose word is waited for."""
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.done(case.request, actor_of(who, house), now, result, holder=case.assignee_name)
    case.row.result = result
    case = write_change(session, case, change, who)
    keep_files(session, case.number, who.person_id, files, "result", now)
    to_client(
        session, house, case, compose.done_notice(case.facts, files), now, "done", author_id=who.person_id
    )
    return case


def cancel(
    session: Session,
    house: House,
    who: Who,
    request_id: int,
    reason: str,
    now: datetime,
    version: int | None = None,
) -> Case:
    """The client withdraws it, or the director takes it off; the other side and the assignee are told."""
    case = open_checked(session, house, who, request_id, now, version)
    case = write_change(session, case, desk.cancel(case.request, actor_of(who, house), now, reason), who)
    if who.staff_id is None:
        to_assignee_or_directors(session, house, case, compose.withdrawn_notice(case.facts), now, "withdrawn")
    else:
        to_client(session, house, case, compose.cancelled_notice(case.facts, reason), now, "cancelled")
        if case.assignee_person_id != who.person_id:
            notice = compose.cancelled_notice(case.facts, reason)
            to_person(session, house, case, case.assignee_person_id, notice, now, "cancelled-staff")
    return case
