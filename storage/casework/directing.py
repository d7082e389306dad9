"""What whoever directs does about a request, short of taking it away from anybody."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from forms.deadline import Deadline, to_text
from forms.messages import Reply
from forms.texts import _
from notifications import compose, digest, proposals
from router import desk
from storage.casework.opening import Case, actor_of, context_of, open_case, open_checked
from storage.casework.telling import to_client, to_person
from storage.casework.writing import replace_answers, write_change
from storage.house import House, Who
from storage.models import History

REMIND_AGAIN = timedelta(minutes=10)


class JustReminded(desk.DeskError):
    """The assignee was reminded a moment ago; a second letter would say nothing new."""

    def __init__(self) -> None:
        super().__init__(_("Об этой заявке только что напомнили. Подождите десять минут."))


def remind(session: Session, house: House, who: Who, request_id: int, now: datetime) -> Case:
    """«Напомнить»: the assignee hears that the request is waited for. Raises DeskError."""
    case = open_case(session, request_id)
    change = desk.remind(case.request, actor_of(who, house), now)
    if _reminded_since(session, request_id, now - REMIND_AGAIN):
        raise JustReminded
    case = write_change(session, case, change, who)
    letter = digest.reminder(case.facts, who.name, context_of(house, now))
    to_person(session, house, case, case.assignee_person_id, letter, now, "remind")
    return case


def move_deadline(
    session: Session, house: House, who: Who, request_id: int, deadline: Deadline, reason: str,
    now: datetime, version: int | None = None,
) -> Case:  # fmt: skip
    """«Перенести срок»: the assignee or a directing role; the client reads both deadlines and the reason.

    It becomes the next version of the answer; the client's own one stays.
    """
    case = open_checked(session, house, who, request_id, now, version)
    change = desk.move_deadline(case.request, actor_of(who, house), now, reason, holder=case.assignee_name)
    before = {"deadline": case.row.answers["deadline"]}
    changed = {"deadline": to_text(deadline)}
    replace_answers(session, case, changed, who, now)
    case = write_change(session, case, change, who, changed, before)
    told = Reply(proposals.deadline_moved(case.facts, before, changed, reason, context_of(house, now)))
    to_client(session, house, case, told, now, "deadline", author_id=who.person_id)
    if case.assignee_person_id != who.person_id:
        to_person(session, house, case, case.assignee_person_id, told, now, "deadline-staff")
    return case


def close(
    session: Session, house: House, who: Who, request_id: int, now: datetime, version: int | None = None
) -> Case:
    """Close what is done without waiting for the client's word; they may still object."""
    case = open_checked(session, house, who, request_id, now, version)
    case = write_change(session, case, desk.close(case.request, actor_of(who, house), now), who)
    to_client(session, house, case, compose.closed_notice(case.facts), now, "closed")
    return case


def _reminded_since(session: Session, request_id: int, since: datetime) -> bool:
    query = select(col(History.id)).where(
        col(History.subject) == f"request:{request_id}",
        col(History.action) == desk.Event.REMINDED.value,
        col(History.at) > since,
    )
    return session.execute(query.limit(1)).first() is not None
