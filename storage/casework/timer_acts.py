"""What happens to a request because time has passed."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from notifications import compose
from router import assign as routing
from router import desk
from storage.casework.opening import Case, open_case
from storage.casework.routing import candidates, trace_of, work_of
from storage.casework.telling import give_card, to_client, to_directors, to_person
from storage.casework.writing import mark_declined, note_assignment, write_change
from storage.house import House, Who

TIMER = Who("timer")


def escalate(session: Session, house: House, request_id: int, now: datetime) -> Case:
    """Nobody accepted in time: the next person gets it, the director learns of it."""
    case = open_case(session, request_id)
    late_name, late_person_id = case.assignee_name, case.assignee_person_id
    mark_declined(session, case)
    decision = routing.assign(work_of(session, case.row), candidates(session, now), house.rules(now))
    case = write_change(session, case, desk.escalate(case.request, desk.MACHINE, now, decision), TIMER)
    note_assignment(session, case, decision.staff_id, "timer", "", now, trace_of(house, decision))
    alarm = compose.not_accepted_alarm(case.facts, house.accept_within_minutes, late_name)
    to_directors(session, house, case, alarm, now, "escalated")
    to_person(session, house, case, late_person_id, compose.escalated_notice(case.facts), now, "late")
    if case.assignee_person_id is not None:
        give_card(session, house, case, now)
        to_client(session, house, case, compose.reassigned_notice(case.facts), now, "reassigned")
    return case


def close_silent(session: Session, house: House, request_id: int, now: datetime) -> Case:
    """The client has had time to object: a done request is closed, unless the firm owes an answer."""
    case = open_case(session, request_id)
    case = write_change(session, case, desk.close(case.request, desk.MACHINE, now), TIMER)
    to_client(session, house, case, compose.closed_notice(case.facts), now, "closed")
    return case
