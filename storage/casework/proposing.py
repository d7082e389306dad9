"""The client edits what was sent: a proposal, which staff agree to or not. Nothing changes by itself.

Every function raises `router.desk.DeskError`, whose text is for whoever acted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlmodel import Session, col

from forms.fields import Answers
from forms.messages import OutgoingFile, Reply
from forms.request_form import BY_NAME
from forms.texts import Text, _, sentence
from notifications import proposals
from router import desk
from storage import history
from storage.casework.opening import (
    Case,
    NoSuchRequest,
    actor_of,
    context_of,
    open_case,
    people_for_call,
    staff_name,
)
from storage.casework.submitting import client_of
from storage.casework.telling import to_client, to_person
from storage.casework.writing import keep_files, replace_answers, write_change
from storage.house import House, Who
from storage.models import Person, Proposal


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """What a client proposes and nobody has decided."""

    proposal_id: int
    field: str
    changed: Mapping[str, str]
    author: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about a proposal. `told` is what both sides read: the difference, or what stays."""

    case: Case
    told: Text


class NoSuchProposal(desk.DeskError):
    """There is no such proposal."""

    def __init__(self) -> None:
        super().__init__(_("Такого изменения нет."))


class AlreadyDecided(desk.DeskError):
    """Somebody was quicker, or the client has edited the words once more."""

    def __init__(self, proposal: Proposal, decided_by: str) -> None:
        super().__init__(_decision(proposal, decided_by))


def _decision(proposal: Proposal, name: str) -> Text:
    if proposal.agreed is None:
        return _("Это изменение больше не действует: клиент исправил сообщение ещё раз.")
    if proposal.agreed:
        return _("Это изменение уже принято: {name}.", name=name or _("другой сотрудник"))
    return _("Прежнее уже оставлено: {name}.", name=name or _("другой сотрудник"))


class NoLongerPossible(desk.DeskError):
    """What was proposed cannot be meant any more: the day has passed."""

    def __init__(self, why: Text) -> None:
        super().__init__(sentence(why, _("Принять это уже нельзя: оставьте прежнее и уточните у клиента.")))


# --- the client --------------------------------------------------------------------------------


def propose(
    session: Session, house: House, who: Who, request_id: int, field: str, changed: Answers, now: datetime
) -> Case:
    """Propose other answers for a request, already read by the field's own validator.

    They take the place of what was proposed for this field before and is not decided. Without any the
    old proposal is withdrawn.
    """
    case = _own_case(session, who, request_id)
    desk.require_unfinished(case.request)
    was_open = _supersede(session, case, field, now)
    if not changed:
        if was_open:
            _record(session, case, who, "change_withdrawn", {"field": field}, now)
            _tell_keepers(
                session, house, case, proposals.withdrawn_notice(case.facts, field), now, "withdrawn"
            )
        return case
    assert who.person_id is not None
    value = json.dumps(dict(changed), ensure_ascii=False)
    proposal = Proposal(
        request_id=case.number, field=field, value=value, person_id=who.person_id, created_at=now
    )
    session.add(proposal)
    session.flush()
    assert proposal.id is not None
    _record(session, case, who, "change_proposed", {"field": field, **changed}, now)
    notice = proposals.proposal_notice(case.facts, changed, proposal.id, context_of(house, now))
    _tell_keepers(session, house, case, notice, now, f"proposal-{proposal.id}")
    return case


def has_proposal(session: Session, request_id: int, field: str) -> bool:
    """Whether something is proposed for this field and not decided."""
    return any(proposal.field == field for proposal in open_proposals(session, request_id))


def edited(
    session: Session, house: House, who: Who, request_id: int, before: str, after: str,
    files: tuple[OutgoingFile, ...], now: datetime, *, event: str,
) -> Case:  # fmt: skip
    """The client edits words that answer no field: whoever has the request reads both texts.

    `event` tells this edit from the next one.
    """
    case = _own_case(session, who, request_id)
    keep_files(session, case.number, who.person_id, files, "added", now)
    words = {"text": after, "files": [file.name for file in files]}
    _record(session, case, who, "message_edited", words, now, {"text": before})
    notice = proposals.edited_notice(case.facts, before, after, files)
    _tell_keepers(session, house, case, notice, now, f"edit-{event}")
    return case


def _own_case(session: Session, who: Who, request_id: int) -> Case:
    case = open_case(session, request_id)
    if case.row.person_id != who.person_id:
        raise NoSuchRequest
    return case


def _supersede(session: Session, case: Case, field: str, now: datetime) -> list[int]:
    """Close what was proposed for the field without a decision."""
    closed = session.execute(
        update(Proposal)
        .where(
            col(Proposal.request_id) == case.number,
            col(Proposal.field) == field,
            col(Proposal.decided_at).is_(None),
        )
        .values(decided_at=now)
        .returning(col(Proposal.id))
    )
    return [proposal_id for (proposal_id,) in closed]


# --- staff -------------------------------------------------------------------------------------


def open_proposals(session: Session, request_id: int) -> tuple[OpenProposal, ...]:
    """What is proposed for a request and not decided, oldest first."""
    query = (
        select(Proposal, col(Person.name))
        .join(Person, col(Person.id) == Proposal.person_id)
        .where(col(Proposal.request_id) == request_id, col(Proposal.decided_at).is_(None))
        .order_by(col(Proposal.id))
    )
    return tuple(
        OpenProposal(found.id or 0, found.field, json.loads(found.value), name, found.created_at)
        for found, name in session.execute(query)
    )


def request_of_proposal(session: Session, proposal_id: int) -> int | None:
    """The request that the proposal is about."""
    query = select(col(Proposal.request_id)).where(col(Proposal.id) == proposal_id)
    return session.execute(query).scalar_one_or_none()


def decide(
    session: Session, house: House, who: Who, proposal_id: int, now: datetime, *, agreed: bool
) -> Decided:
    """«Принять» or «Оставить прежнее»: the assignee or a directing role; both sides read the difference.

    What was agreed to becomes the next version of each answer, by the client; the first one stays.
    """
    request_id = request_of_proposal(session, proposal_id)
    if request_id is None:
        raise NoSuchProposal
    case = open_case(session, request_id)
    # Read after the request's row is locked: of two at once the second sees the decision.
    proposal = session.get_one(Proposal, proposal_id, populate_existing=True)
    if proposal.decided_at is not None:
        raise AlreadyDecided(proposal, staff_name(session, proposal.decided_by)[0])
    change = desk.decide_change(
        case.request, actor_of(who, house), now, agreed=agreed, holder=case.assignee_name
    )
    changed: dict[str, str] = json.loads(proposal.value)
    before = {name: case.row.answers[name] for name in (*changed, "company") if name in case.row.answers}
    if agreed:
        _require_possible(house, changed, now)
        _put_in_force(session, case, changed, Who(who.through, proposal.person_id), now)
    proposal.decided_at, proposal.decided_by, proposal.agreed = now, who.staff_id, agreed
    case = write_change(session, case, change, who, {"field": proposal.field, **changed}, before)
    context = context_of(house, now)
    told = (
        proposals.agreed(case.facts, before, changed, context)
        if agreed
        else proposals.refused(case.facts, changed, context)
    )
    to_client(session, house, case, Reply(told), now, "change")
    if case.assignee_person_id != who.person_id:
        to_person(session, house, case, case.assignee_person_id, Reply(told), now, "change-staff")
    return Decided(case, told)


def _require_possible(house: House, changed: Answers, now: datetime) -> None:
    for name, value in changed.items():
        why = BY_NAME[name].stale(value, context_of(house, now)) if name in BY_NAME else None
        if why is not None:
            raise NoLongerPossible(why)


def _put_in_force(session: Session, case: Case, changed: dict[str, str], author: Who, now: datetime) -> None:
    if "inn" in changed:
        client = client_of(session, {**case.row.answers, **changed}, author, now)
        changed["company"], case.row.client_id = client.name, client.id
    replace_answers(session, case, changed, author, now)


# --- pieces ------------------------------------------------------------------------------------


def _tell_keepers(
    session: Session, house: House, case: Case, notice: Reply, now: datetime, what: str
) -> None:
    """Whoever has the request; while nobody has it, whom a call of this client would reach."""
    if case.assignee_person_id is not None:
        to_person(session, house, case, case.assignee_person_id, notice, now, what)
        return
    for person_id in people_for_call(session, case.row.person_id, now):
        to_person(session, house, case, person_id, notice, now, what)


def _record(
    session: Session, case: Case, who: Who, action: str, after: Mapping[str, object], now: datetime,
    before: Mapping[str, object] | None = None,
) -> None:  # fmt: skip
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action=action,
        subject=f"request:{case.number}", before=before, after=after,
    )  # fmt: skip
