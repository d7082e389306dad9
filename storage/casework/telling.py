"""Who is told, and in which chat."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlmodel import Session, col

from forms.messages import Reply
from forms.texts import Text, _, lines
from notifications import compose
from router.model import Role
from storage.absences import away
from storage.casework.opening import Case, context_of
from storage.house import House
from storage.letters import Posting, post
from storage.models import Absence, Chat, Client, Request, Staff


def _letter_key(case: Case, what: str, to: object) -> str:
    return f"request:{case.number}:{case.row.version}:{what}:{to}"


def to_client(
    session: Session, house: House, case: Case, reply: Reply, now: datetime, what: str, *,
    author_id: int | None = None, focus: str | None = None,
) -> None:  # fmt: skip
    """Post a letter to the chat from which the request came; of a call or a visit, to the person."""
    posting = Posting(
        key=_letter_key(case, what, "client"), reply=reply,
        chat_id=case.row.chat_id if case.row.recorded_by is None else None,
        person_id=case.row.person_id, request_id=case.number, author_id=author_id, focus=focus,
        keeps_screen=focus is None, urgent=True,
    )  # fmt: skip
    post(session, house, now, (posting,))


def to_person(
    session: Session, house: House, case: Case, person_id: int | None, reply: Reply, now: datetime, what: str
) -> None:
    """Post a letter to a person's liveliest chat; nobody (None) is told nothing."""
    if person_id is None:
        return
    posting = Posting(
        key=_letter_key(case, what, person_id),
        reply=reply,
        person_id=person_id,
        request_id=case.number,
        urgent=True,
    )
    post(session, house, now, (posting,))


def to_directors(session: Session, house: House, case: Case, reply: Reply, now: datetime, what: str) -> None:
    """To every director and deputy who has a chat; those without one look at the panel."""
    for person_id in session.execute(_DIRECTORS_IN_CHATS).scalars().all():
        to_person(session, house, case, person_id, reply, now, what)


_DIRECTORS_IN_CHATS = (
    select(col(Staff.person_id))
    .join(Chat, col(Chat.person_id) == col(Staff.person_id))
    .where(col(Staff.active), col(Staff.role).in_((Role.DIRECTOR.value, Role.DEPUTY.value)))
    .distinct()
)


def to_assignee_or_directors(
    session: Session, house: House, case: Case, reply: Reply, now: datetime, what: str
) -> None:
    """Post a letter to whoever has the request; while nobody has it, to the directors.

    Of somebody absent the client's substitute hears too, or else the directors.
    """
    if case.assignee_person_id is None:
        to_directors(session, house, case, reply, now, what)
        return
    to_person(session, house, case, case.assignee_person_id, reply, now, what)
    if not _is_away(session, case.row.assignee_id, now):
        return
    told = replace(reply, text=lines(_("{name} отсутствует.", name=case.facts.assignee), reply.text))
    stands_in = session.execute(_substitute_of(case.row.client_id, now)).scalar_one_or_none()
    if stands_in is None:
        to_directors(session, house, case, told, now, what)
    else:
        to_person(session, house, case, stands_in, told, now, what)


def _is_away(session: Session, staff_id: int | None, now: datetime) -> bool:
    found = away(now).where(col(Absence.staff_id) == staff_id).limit(1)
    return session.execute(found).first() is not None


def _substitute_of(client_id: int | None, now: datetime) -> Select[int]:
    """The person who stands in for the keeper of a client's books, unless they are absent themselves."""
    return (
        select(col(Staff.person_id))
        .join(Client, col(Client.substitute_id) == col(Staff.id))
        .where(col(Client.id) == client_id, col(Staff.active), col(Staff.id).not_in(away(now)))
    )


RECENT_DAYS = 30


def give_card(session: Session, house: House, case: Case, now: datetime, note: Text | None = None) -> None:
    """Post the assignment card to the assignee; `note` says above it what a colleague has said of it."""
    recent = session.execute(
        select(func.count())
        .select_from(Request)
        .where(
            col(Request.client_id) == case.row.client_id,
            col(Request.id) != case.number,
            col(Request.submitted_at) > now - timedelta(days=RECENT_DAYS),
        )
    ).scalar_one()
    card = compose.assignment_card(case.facts, context_of(house, now), recent, note)
    to_person(session, house, case, case.assignee_person_id, card, now, "card")
