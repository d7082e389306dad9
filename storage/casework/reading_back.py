"""What staff wrote down from a call or a visit, and the client's word on it.

Every function raises `router.desk.DeskError`, whose text is for whoever acted.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from forms.fields import FormContext, Said
from forms.texts import _
from notifications import readback
from router import desk
from storage import addresses
from storage.calls import add_call, call_done
from storage.casework.client_acts import corrected
from storage.casework.opening import Case, NoSuchRequest, actor_of, context_of, open_case
from storage.casework.submitting import client_of
from storage.casework.telling import to_assignee_or_directors, to_client
from storage.casework.writing import replace_answers, write_change
from storage.house import House, Who
from storage.models import AnswerVersion, CallTask, Chat, Letter, Request

READ_BACK = "heard"
"""What a read-back is called in the key of its letter."""


class AlreadyConfirmed(desk.DeskError):
    """The client has agreed to it before, or nobody wrote it down for them."""

    def __init__(self) -> None:
        super().__init__(_("Эта запись уже подтверждена, спасибо."))


class AskedBy(Enum):
    """How a recorded request is read back to the client."""

    CHAT = auto()
    LETTER = auto()
    TELEPHONE = auto()
    """By staff: the client has neither a chat nor an address."""


def ask(session: Session, house: House, request_id: int, now: datetime) -> AskedBy:
    """Read a recorded request back to the client.

    It goes to the person's first chat, else to their e-mail address, else to the list of calls.
    """
    case = open_case(session, request_id)
    context = context_of(house, now)
    asked = _way_to(session, house, case.row.person_id)
    if asked is not AskedBy.TELEPHONE:
        revision = answers_given(session, request_id)
        to_client(session, house, case, readback.read_back(case.facts, context, revision), now, READ_BACK)
        return asked
    words = house.say(readback.to_be_read_out(case.facts, context))
    add_call(session, case.row.person_id, case.number, None, words, now)
    return asked


def answers_given(session: Session, request_id: int) -> int:
    """How many answers the request has had: the revision of its read-back."""
    query = select(func.count()).select_from(AnswerVersion).where(col(AnswerVersion.request_id) == request_id)
    return int(session.execute(query).scalar_one())


def unconfirmed_of(session: Session, person_id: int | None) -> int | None:
    """The newest open request of this person that waits for their word."""
    query = (
        select(col(Request.id))
        .where(
            col(Request.person_id) == person_id,
            col(Request.recorded_by).is_not(None),
            col(Request.confirmed_at).is_(None),
            col(Request.closed_at).is_(None),
        )
        .order_by(col(Request.id).desc())
        .limit(1)
    )
    return session.execute(query).scalar_one_or_none()


def confirm(session: Session, house: House, who: Who, request_id: int, now: datetime) -> Case:
    """«Верно»: by the client, or by a member of staff who has asked the client by telephone."""
    case = _unconfirmed(session, who, request_id)
    change = desk.confirm(case.request, actor_of(who, house), now)
    case.row.confirmed_at = now
    case = write_change(session, case, change, who, {} if who.staff_id is None else {"how": "phone"})
    _close_calls(session, house, who, request_id, now)
    notice = readback.confirmed_notice(case.facts, who.name if who.staff_id is not None else "")
    if who.person_id != case.assignee_person_id:
        to_assignee_or_directors(session, house, case, notice, now, "confirmed")
    return case


def correct(
    session: Session, house: House, who: Who, request_id: int, field: str, said: Said, context: FormContext
) -> Case:
    """«Исправить»: the client answers one field anew; what was written down stays as its earlier version.

    Raises AnswerError when the field's validator refuses the answer.
    """
    case = _unconfirmed(session, who, request_id)
    change = desk.correct(case.request, actor_of(who, house), context.now)
    before = dict(case.row.answers)
    filled = corrected(field, said, before, context)
    if all(before.get(name) == value for name, value in filled.items()):
        return case
    if "inn" in filled:
        client = client_of(session, filled, who, context.now)
        filled["company"], case.row.client_id = client.name, client.id
    replace_answers(session, case, filled, who, context.now)
    old = {name: before[name] for name in filled if name in before}
    case = write_change(session, case, change, who, filled, old)
    notice = readback.corrected_notice(case.facts, before, context_of(house, context.now))
    to_assignee_or_directors(session, house, case, notice, context.now, "corrected")
    return case


def _unconfirmed(session: Session, who: Who, request_id: int) -> Case:
    case = open_case(session, request_id)
    if who.staff_id is None and case.row.person_id != who.person_id:
        raise NoSuchRequest
    if not case.facts.unconfirmed:
        raise AlreadyConfirmed
    return case


def _close_calls(session: Session, house: House, who: Who, request_id: int, now: datetime) -> None:
    """Nobody need be telephoned about it any more."""
    undelivered = select(col(Letter.id)).where(
        col(Letter.request_id) == request_id, col(Letter.key).like(f"request:{request_id}:%:{READ_BACK}:%")
    )
    query = select(col(CallTask.id)).where(
        col(CallTask.request_id) == request_id,
        col(CallTask.done_at).is_(None),
        or_(col(CallTask.letter_id).is_(None), col(CallTask.letter_id).in_(undelivered)),
    )
    outcome = house.say(_("Клиент подтвердил: верно."))
    for call_id in session.execute(query).scalars().all():
        call_done(session, call_id or 0, who.staff_id, outcome, now, through=who.through)


def _way_to(session: Session, house: House, person_id: int) -> AskedBy:
    """An open chat, else the address: a letter to somebody without a chat goes there."""
    query = select(col(Chat.channel)).where(col(Chat.person_id) == person_id, col(Chat.blocked_at).is_(None))
    channels = set(session.execute(query).scalars())
    if channels - {house.email_channel}:
        return AskedBy.CHAT
    if channels or addresses.can_be_written_to(session, house.email_channel, person_id):
        return AskedBy.LETTER
    return AskedBy.TELEPHONE
