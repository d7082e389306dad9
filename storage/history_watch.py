"""The nightly walk along the whole chain of the history: its verdict is kept, a break is an alarm.

A chain shows what was changed or cut out of it, not what was cut off at its newest end. So each walk also
remembers where it ended: that row must still be there when the next one begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import orjson
from sqlalchemy import exists, select
from sqlmodel import Session, col

from forms.messages import Reply
from forms.texts import _, lines
from storage import history
from storage.alarms import IN_CHARGE, people_of, tell_once
from storage.engine import Database
from storage.house import House
from storage.models import History
from storage.work import get_setting, put_setting

EVERY = timedelta(hours=20)
"""A little less than a day, so that it stays at night."""
ROWS_IN_PART = 20_000
"""So many rows are read in one transaction, and the next part in one of its own."""

_KEY = "history_walk"


@dataclass(frozen=True, slots=True)
class Walk:
    """What the last walk found. `broken_at` is the row that does not fit, or the one that is gone."""

    at: datetime
    rows: int
    last_id: int
    broken_at: int | None = None
    cut_off: bool = False
    """The newest rows that the walk before had seen are not there any more."""

    @property
    def whole(self) -> bool:
        """Whether nothing was changed."""
        return self.broken_at is None


def last_walk(session: Session) -> Walk | None:
    """The verdict of the last walk; None before the first."""
    kept = get_setting(session, _KEY)
    if not kept:
        return None
    values: Mapping[str, object] = orjson.loads(kept)
    return Walk(**{**values, "at": datetime.fromisoformat(str(values["at"]))})  # type: ignore[arg-type]


def is_due(found: Walk | None, now: datetime) -> bool:
    """Whether it is time for another walk; a clock that went back does not put it off for long."""
    return found is None or abs(now - found.at) > EVERY


def walk(database: Database, now: datetime) -> Walk:
    """Walk the whole chain, part by part; nobody waits for it meanwhile."""
    rows = last_id = 0
    with database.read() as session:
        before = last_walk(session)
        if before is not None and before.last_id and not _is_there(session, before.last_id):
            return replace(before, at=now, broken_at=before.last_id, cut_off=True)
    while True:
        with database.read() as session:
            part = history.verify_part(session, last_id, ROWS_IN_PART)
            rows, last_id = rows + part.rows, part.last_id
            if part.finished or part.broken_at is not None:
                return Walk(now, rows, last_id, part.broken_at)


def settle(session: Session, house: House, found: Walk, now: datetime) -> int:
    """Keep the verdict; of a break the directors and administrators hear, once. Returns the letters."""
    put_setting(session, _KEY, orjson.dumps(asdict(found)).decode(), now)
    if found.whole:
        return 0
    reply = Reply(
        lines(
            _("В истории изменений пропали последние записи, начиная с № {number}.", number=found.broken_at)
            if found.cut_off
            else _("История изменений нарушена на записи № {number}.", number=found.broken_at),
            _("Так бывает, когда базу меняют в обход программы."),
            _("Ничего не чините: сначала пусть администратор снимет копию и сравнит её с прежней."),
        )
    )
    return tell_once(session, house, now, f"history:{found.broken_at}", reply, people_of(session, IN_CHARGE))


def _is_there(session: Session, row_id: int) -> bool:
    return bool(session.execute(select(exists().where(col(History.id) == row_id))).scalar())
