"""What a director does about a request that waits, short of taking it away from anybody."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from forms.texts import _
from notifications import digest
from router import desk
from storage.casework.opening import Case, actor_of, context_of, open_case
from storage.casework.telling import to_person
from storage.casework.writing import write_change
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


def _reminded_since(session: Session, request_id: int, since: datetime) -> bool:
    query = select(col(History.id)).where(
        col(History.subject) == f"request:{request_id}",
        col(History.action) == desk.Event.REMINDED.value,
        col(History.at) > since,
    )
    return session.execute(query.limit(1)).first() is not None
