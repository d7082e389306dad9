"""Who has to be telephoned, because no messenger reaches them or because a read-back is owed.

A call is open until somebody got through, or until the person wrote by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, update
from sqlmodel import Session, col

from storage import history
from storage.dialects import in_both
from storage.models import CallTask, Client, ClientPerson, Letter, Person, Request, Staff, metadata
from storage.reach import Controlled, Reach, within

MAX_LINE_LENGTH = 500

_call = metadata.tables["call_task"]
_ADD = in_both(
    lambda insert_in: (
        insert_in(_call)
        .on_conflict_do_update(
            index_elements=["letter_id"],
            set_={"done_at": None},
            # What somebody has telephoned about is done; a call that closed by itself may be needed again.
            where=and_(_call.c.done_at.is_not(None), _call.c.done_by.is_(None)),
        )
        .returning(_call.c.id)
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody to be telephoned. `tried` is what came of earlier attempts, a line each."""

    call_id: int
    person_id: int
    name: str
    phone: str
    reason: str
    created_at: datetime
    request_id: int | None = None
    company: str = ""
    assignee_id: int | None = None
    assignee: str = ""
    letter_id: int | None = None
    words: str = ""
    """What could not be delivered."""
    tried: tuple[str, ...] = ()


def add_call(
    session: Session,
    person_id: int,
    request_id: int | None,
    letter_id: int | None,
    reason: str,
    now: datetime,
) -> int | None:
    """Have this person telephoned; returns the call's number.

    A letter is worth one call however often it fails: None when there is one that waits or was made. A
    call that closed by itself is opened again.
    """
    connection = session.connection()
    row = {
        "person_id": person_id, "request_id": request_id, "letter_id": letter_id, "reason": reason,
        "created_at": now, "outcome": "",
    }  # fmt: skip
    added = connection.execute(_ADD[connection.dialect.name], row).scalar_one_or_none()
    return int(added) if added is not None else None


def open_calls(session: Session, own_of: Reach = None) -> tuple[Call, ...]:
    """The calls still to be made: those never tried first, then the less tried, the oldest first.

    With `own_of` only those about requests within it, or of nobody yet.
    """
    found = session.execute(_calls().where(*_open(own_of)))
    calls = [_read(*row) for row in found]
    return tuple(sorted(calls, key=lambda call: (len(call.tried), call.created_at, call.call_id)))


def count_open(session: Session, own_of: Reach = None) -> int:
    """How many calls wait."""
    query = (
        select(func.count())
        .select_from(CallTask)
        .outerjoin(Request, col(Request.id) == col(CallTask.request_id))
        .where(*_open(own_of))
    )
    return int(session.execute(query).scalar_one())


def open_call(session: Session, call_id: int, own_of: Reach = None) -> Call | None:
    """One call that waits still."""
    row = session.execute(_calls().where(col(CallTask.id) == call_id, *_open(own_of))).one_or_none()
    return _read(*row) if row is not None else None


def is_closed(session: Session, call_id: int, own_of: Reach = None) -> bool:
    """Whether there was such a call, and it is over."""
    is_own = _open(own_of)[1:]
    query = (
        select(col(CallTask.id))
        .outerjoin(Request, col(Request.id) == col(CallTask.request_id))
        .where(col(CallTask.id) == call_id, col(CallTask.done_at).is_not(None), *is_own)
    )
    return session.execute(query).first() is not None


def call_done(
    session: Session,
    call_id: int,
    staff_id: int | None,
    outcome: str,
    now: datetime,
    *,
    through: str = "timer",
) -> bool:
    """Close a call; without `staff_id` it closed by itself. False when it was closed before."""
    done = (
        update(CallTask)
        .where(col(CallTask.id) == call_id, col(CallTask.done_at).is_(None))
        .values(done_at=now, done_by=staff_id, outcome=_with_line(outcome))
        .returning(col(CallTask.person_id), col(CallTask.request_id))
    )
    closed = session.execute(done).one_or_none()
    if closed is None:
        return False
    _record(session, call_id, staff_id, "call_done", outcome, now, through)
    return True


def call_not_answered(
    session: Session, call_id: int, staff_id: int, note: str, now: datetime, *, through: str
) -> bool:
    """Keep that nobody picked up: the call stays and moves down. False when it is closed already."""
    tried = (
        update(CallTask)
        .where(col(CallTask.id) == call_id, col(CallTask.done_at).is_(None))
        .values(outcome=_with_line(note))
        .returning(col(CallTask.id))
    )
    if session.execute(tried).one_or_none() is None:
        return False
    _record(session, call_id, staff_id, "call_not_answered", note, now, through)
    return True


def _with_line(words: str) -> ColumnElement[str]:
    line = " ".join(words.split())[:MAX_LINE_LENGTH]
    before = col(CallTask.outcome)
    return case((before == "", line), else_=before + "\n" + line)


def _record(
    session: Session, call_id: int, staff_id: int | None, action: str, words: str, now: datetime, through: str
) -> None:
    actor = select(col(Staff.person_id)).where(col(Staff.id) == staff_id)
    history.record(
        session, at=now, actor_id=session.execute(actor).scalar_one_or_none(), through=through, action=action,
        subject=f"call:{call_id}", before=None, after={"outcome": words},
    )  # fmt: skip


def _open(own_of: Reach) -> tuple[ColumnElement[bool], ...]:
    is_open: ColumnElement[bool] = col(CallTask.done_at).is_(None)
    if own_of is None:
        return (is_open,)
    theirs = and_(*within(own_of))
    if isinstance(own_of, Controlled):
        return (is_open, theirs)
    return (is_open, or_(col(Request.assignee_id).is_(None), theirs))


def _calls() -> Select[Any]:
    assignee = (
        select(col(Person.name))
        .join(Staff, col(Staff.person_id) == col(Person.id))
        .where(col(Staff.id) == col(Request.assignee_id))
        .correlate(Request)
        .scalar_subquery()
    )
    # A person who has shown no phone of their own may be found by their company's.
    company_phone = (
        select(func.max(col(Client.phone)))
        .join(ClientPerson, col(ClientPerson.client_id) == col(Client.id))
        .where(col(ClientPerson.person_id) == col(CallTask.person_id))
        .correlate(CallTask)
        .scalar_subquery()
    )
    return (
        select(
            CallTask, col(Person.name), col(Person.phone), company_phone, col(Request.company),
            col(Request.assignee_id), assignee, col(Letter.text),
        )
        .join(Person, col(Person.id) == col(CallTask.person_id))
        .outerjoin(Request, col(Request.id) == col(CallTask.request_id))
        .outerjoin(Letter, col(Letter.id) == col(CallTask.letter_id))
    )  # fmt: skip


def _read(
    task: CallTask, name: str, phone: str, company_phone: str | None, company: str | None,
    assignee_id: int | None, assignee: str | None, words: str | None,
) -> Call:  # fmt: skip
    assert task.id is not None
    return Call(
        call_id=task.id, person_id=task.person_id, name=name, phone=phone or company_phone or "",
        reason=task.reason, created_at=task.created_at, request_id=task.request_id, company=company or "",
        assignee_id=assignee_id, assignee=assignee or "", letter_id=task.letter_id, words=words or "",
        tried=tuple(task.outcome.splitlines()),
    )  # fmt: skip
