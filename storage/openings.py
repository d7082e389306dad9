"""Who has looked at which file of a request: «кто видел мои документы».

A look is a line of the history. The same person looking at the same file again within the hour adds
none: turning the pages of one document is one look.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from storage import history
from storage.models import History, Person
from storage.reading import FileCard
from storage.roster import Act

ACTION = "file_opened"
ONE_LOOK = timedelta(hours=1)
LOOKS_READ = 500


@dataclass(frozen=True, slots=True)
class Looked:
    """A person and a file they have opened; `at` is the last time."""

    file: str
    person: str
    at: datetime
    times: int


def note_opening(session: Session, act: Act, number: int, file: FileCard) -> bool:
    """Write down that a file of the request is being opened; False when this look is known already."""
    history.wait_turn(session)
    recent = select(col(History.after)).where(
        col(History.subject) == f"request:{number}",
        col(History.action) == ACTION,
        col(History.actor_id) == act.who.person_id,
        col(History.at) > act.now - ONE_LOOK,
    )
    if any(_file_of(after)[0] == file.file_id for after in session.execute(recent).scalars()):
        return False
    history.record(
        session,
        at=act.now,
        actor_id=act.who.person_id,
        through=act.who.through,
        action=ACTION,
        subject=f"request:{number}",
        before=None,
        after={"file": file.name, "file_id": file.file_id},
    )
    return True


def who_looked(session: Session, number: int) -> tuple[Looked, ...]:
    """Who has opened the files of a request, the latest first: a line per person and file."""
    query = (
        select(col(History.after), col(History.at), col(Person.name))
        .join(Person, col(Person.id) == History.actor_id, isouter=True)
        .where(col(History.subject) == f"request:{number}", col(History.action) == ACTION)
        .order_by(col(History.id).desc())
        .limit(LOOKS_READ)
    )
    found: dict[tuple[int | None, str, str], Looked] = {}
    for after, at, name in session.execute(query):
        file_id, file = _file_of(after)
        known = found.get((file_id, file, name or ""))
        found[file_id, file, name or ""] = Looked(
            file, name or "", known.at if known else at, known.times + 1 if known else 1
        )
    return tuple(found.values())


def _file_of(after: str) -> tuple[int | None, str]:
    kept = json.loads(after) if after else {}
    file_id = kept.get("file_id")
    return file_id if isinstance(file_id, int) else None, str(kept.get("file", ""))
