"""The working day of one member of staff: stretches of work and of pauses, each a row.

A pause follows the work that it interrupts without a gap, and so does the work after it: stretches
that touch are one day. At most one stretch of a person is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update
from sqlmodel import Session, col

from storage.models import Shift, Staff

_STRETCHES_OF_A_DAY = 100
"""More stretches than anybody makes; older ones belong to other days."""


class ShiftKind(StrEnum):
    """What a stretch is."""

    WORK = "work"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class WorkingDay:
    """A day that goes on. Times are aware UTC.

    `since` is when it began, `stretch_since` when the present work or pause began; `worked_seconds`
    counts work alone.
    """

    kind: ShiftKind
    since: datetime
    stretch_since: datetime
    worked_seconds: int


def present_day(session: Session, staff_id: int, now: datetime) -> WorkingDay | None:
    """The day that this person is in; None when they are not on shift."""
    query = (
        select(Shift)
        .where(col(Shift.staff_id) == staff_id)
        .order_by(col(Shift.id).desc())
        .limit(_STRETCHES_OF_A_DAY)
    )
    stretches = session.execute(query).scalars().all()
    if not stretches or stretches[0].ended_at is not None:
        return None
    day = [stretches[0]]
    for earlier in stretches[1:]:
        if earlier.ended_at != day[-1].started_at:
            break
        day.append(earlier)
    worked = sum(
        int(((stretch.ended_at or now) - stretch.started_at).total_seconds())
        for stretch in day
        if stretch.kind == ShiftKind.WORK
    )
    return WorkingDay(ShiftKind(day[0].kind), day[-1].started_at, day[0].started_at, max(worked, 0))


def start_work(session: Session, staff_id: int, now: datetime) -> bool:
    """Begin the day or end a pause. False when this person is working already."""
    _lock(session, staff_id)
    day = present_day(session, staff_id, now)
    if day is not None and day.kind is ShiftKind.WORK:
        return False
    _move_on(session, staff_id, ShiftKind.WORK, now)
    return True


def start_pause(session: Session, staff_id: int, now: datetime) -> bool:
    """Interrupt the work. False when this person is not working."""
    _lock(session, staff_id)
    day = present_day(session, staff_id, now)
    if day is None or day.kind is not ShiftKind.WORK:
        return False
    _move_on(session, staff_id, ShiftKind.PAUSE, now)
    return True


def end_day(session: Session, staff_id: int, now: datetime) -> WorkingDay | None:
    """End the day, also from a pause; returns what it was, None when there was none."""
    _lock(session, staff_id)
    day = present_day(session, staff_id, now)
    if day is not None:
        _move_on(session, staff_id, None, now)
    return day


def _lock(session: Session, staff_id: int) -> None:
    """Two chats of one person must not open two stretches (SQLite has one writer anyway)."""
    session.execute(select(col(Staff.id)).where(col(Staff.id) == staff_id).with_for_update(key_share=True))


def _move_on(session: Session, staff_id: int, to: ShiftKind | None, now: datetime) -> None:
    session.execute(
        update(Shift)
        .where(col(Shift.staff_id) == staff_id, col(Shift.ended_at).is_(None))
        .values(ended_at=now)
    )
    if to is not None:
        session.add(Shift(staff_id=staff_id, kind=to.value, started_at=now))
    session.flush()
