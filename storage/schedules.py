"""A colleague's own working hours, which the router goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlmodel import Session, col

from router.schedule import Hours, from_json, to_json
from storage import history
from storage.models import Person, Staff
from storage.roster import Act, CardChanged, NoSuchCard


@dataclass(frozen=True, slots=True)
class OwnHours:
    """Whose hours they are; `hours` is empty for those of the firm."""

    name: str
    role: str
    hours: Hours
    version: int


def read_hours(session: Session, staff_id: int) -> OwnHours:
    """The hours of one member of staff. Raises NoSuchCard."""
    found = session.execute(
        select(Staff, col(Person.name))
        .join(Person, col(Person.id) == col(Staff.person_id))
        .where(col(Staff.id) == staff_id)
    ).one_or_none()
    if found is None:
        raise NoSuchCard
    staff, name = found
    return OwnHours(name, staff.role, from_json(staff.schedule), staff.version)


def save_hours(session: Session, act: Act, staff_id: int, version: int, hours: Hours) -> None:
    """Change them; empty ones are those of the firm. Raises NoSuchCard, CardChanged."""
    before = read_hours(session, staff_id)
    if before.version == version and before.hours == hours:
        return
    # The comparison and the write are one statement: nobody can slip in between.
    changed: Any = session.execute(
        update(Staff)
        .where(col(Staff.id) == staff_id, col(Staff.version) == version)
        .values(schedule=to_json(hours), version=version + 1)
        .execution_options(synchronize_session="fetch")
    )
    if changed.rowcount != 1:
        raise CardChanged
    history.record(
        session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action="staff_changed",
        subject=f"staff:{staff_id}", before={"schedule": _told(before.hours)},
        after={"schedule": _told(hours)},
    )  # fmt: skip


def _told(hours: Hours) -> list[str]:
    """Seven stretches from Monday on; nothing for the hours of the firm."""
    return [f"{span[0]:%H:%M}–{span[1]:%H:%M}" if span else "—" for span in hours]
