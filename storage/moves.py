"""Moving a card on the board: one of the use cases of `storage.casework`, whichever the move means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from sqlmodel import Session

from forms.request_form import FORM
from forms.texts import Text, _
from router import board
from router.board import NoSuchMove, Step, Target
from router.model import Status
from storage import casework, reading
from storage.casework.opening import Case, actor_of, case_of, open_checked
from storage.house import House, Who
from storage.models import Request
from storage.reading import Colleague

DEFAULT_FIELD = "task"


@dataclass(frozen=True, slots=True)
class Movable:
    """A request with everything that can be done with its card now."""

    number: int
    company: str
    status: Status
    assignee_id: int | None
    assignee: str
    version: int
    columns: tuple[tuple[Status, Step], ...]
    people: tuple[Colleague, ...]
    """To whom it may be given; empty when it may not."""
    fields: tuple[tuple[str, Text], ...]
    """What the client may be asked about, by name and title."""


def movable(session: Session, house: House, who: Who, number: int, now: datetime) -> Movable | None:
    """What this person may do with a card; None when there is no such request. Whose it is, is not asked."""
    row = session.get(Request, number)
    if row is None:
        return None
    case, actor = case_of(session, row), actor_of(who, house)
    people = tuple(
        person
        for person in reading.colleagues(session, only_active=True)
        # A done request may be given to the same person: it is taken up again.
        if person.staff_id != row.assignee_id or case.request.status is Status.DONE
    )
    gives = board.may_give(case.request, actor, now, case.assignee_name)
    return Movable(
        number=number,
        company=row.company,
        status=case.request.status,
        assignee_id=row.assignee_id,
        assignee=case.assignee_name,
        version=row.version,
        columns=board.possible(case.request, actor, now, case.assignee_name),
        people=people if gives else (),
        fields=_askable(case),
    )


def move(
    session: Session, house: House, who: Who, number: int, target: Target, words: str, field: str,
    now: datetime, version: int,
) -> Step:  # fmt: skip
    """Do what moving the card means, and say what that was.

    `words` are the comment, the reason, the question or the result; `field` is what a question is about.
    Raises DeskError, as StaleVersion when the card was moved on an older board.
    """
    case = open_checked(session, house, who, number, now, version)
    actor = actor_of(who, house)
    if target.to_id is not None:
        _require_colleague(session, target.to_id)
    step = board.step_to(case.request, actor, target)
    # First whether it may be done at all: nobody is asked for words in vain.
    board.attempt(step, case.request, actor, now, target.to_id, case.assignee_name)
    board.require_words(step, words)
    _carry_out(session, house, who, case, step, target, words, field, now)
    return step


def _carry_out(
    session: Session, house: House, who: Who, case: Case, step: Step, target: Target, words: str, field: str,
    now: datetime,
) -> None:  # fmt: skip
    number = case.number
    match step:
        case Step.GIVE:
            casework.reassign(session, house, who, number, target.to_id, words, now)
        case Step.HAND_ON:
            assert target.to_id is not None
            casework.pass_on(session, house, who, number, target.to_id, words, now)
        case Step.TAKE_BACK:
            casework.reassign(session, house, who, number, None, words, now)
        case Step.DECLINE:
            casework.decline(session, house, who, number, words, now)
        case Step.ACCEPT:
            casework.accept(session, house, who, number, now)
        case Step.ASK:
            asked = field or DEFAULT_FIELD
            if asked not in {name for name, _title in _askable(case)}:
                raise NoSuchMove(_("В этой заявке такого поля нет. Выберите другое."))
            casework.clarify(session, house, who, number, asked, words, now)
        case Step.FINISH:
            casework.done(session, house, who, number, words, (), now)
        case Step.REOPEN:
            casework.reopen(session, house, who, number, words, now)
        case _:
            assert_never(step)


def _askable(case: Case) -> tuple[tuple[str, Text], ...]:
    return tuple(
        (field.name, field.title)
        for field in FORM
        if field.part_of is None and field.asked_if(case.facts.answers)
    )


def _require_colleague(session: Session, staff_id: int) -> None:
    known = {person.staff_id for person in reading.colleagues(session, only_active=True)}
    if staff_id not in known:
        raise NoSuchMove(_("Этому сотруднику передать нельзя: он не берёт заявки или уже не работает."))
