"""The nightly walk along the whole chain of the history: its verdict is kept, a break is an alarm.

A chain shows what was changed or cut out of it, not what was cut off at its newest end, nor that all of it
was reckoned anew by whoever can write to the database. So each walk seals where it ended with a key that is
not in the database: when the next one begins, that row must still be there with the hash that it had.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import orjson
from itsdangerous import BadSignature, Signer
from sqlalchemy import select
from sqlmodel import Session, col

from forms.messages import Reply
from forms.texts import Text, _, lines
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
_PURPOSE = b"priem history walk"


@dataclass(frozen=True, slots=True)
class Walk:
    """What the last walk found. `broken_at` is the row that does not fit, or the one that is gone."""

    at: datetime
    rows: int
    last_id: int
    broken_at: int | None = None
    cut_off: bool = False
    """The newest rows that the walk before had seen are not there any more."""
    rewritten: bool = False
    """The chain fits, and is another one than the walk before had seen."""
    unsealed: bool = False
    """There was no seal of ours to compare with, though there are rows that should have one by now."""
    seal: str = ""
    """What the last walk that found all whole has signed: the row where it ended, its hash, how many rows."""

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


def walk(database: Database, now: datetime, secret_key: str) -> Walk:
    """Walk the whole chain, part by part; nobody waits for it meanwhile."""
    rows = last_id = 0
    with database.read() as session:
        before = last_walk(session)
        seal = _read(before.seal, secret_key) if before else None
        ended = seal.last_id if seal else before.last_id if before else 0
        there = _hash_at(session, ended)
        unsealed = seal is None and _is_older(session, now - 2 * EVERY)
    if before is not None and there is None:
        return replace(before, at=now, broken_at=ended, cut_off=True)
    if before is not None and seal is not None and not _is_same(there, seal):
        return replace(before, at=now, broken_at=ended, rewritten=True)
    while True:
        with database.read() as session:
            part = history.verify_part(session, last_id, ROWS_IN_PART)
            rows, last_id = rows + part.rows, part.last_id
            if part.broken_at is not None:
                return Walk(now, rows, last_id, part.broken_at, seal=before.seal if before else "")
            if part.finished:
                signed = _signer(secret_key).sign(f"{last_id}:{rows}:{_hash_at(session, last_id)}").decode()
                return Walk(now, rows, last_id, unsealed=unsealed, seal=signed)


def unlike_seal(session: Session, secret_key: str) -> int | None:
    """The row that is gone or is another one since the last walk; None when it is as it was."""
    before = last_walk(session)
    seal = _read(before.seal, secret_key) if before else None
    if seal is None or _is_same(_hash_at(session, seal.last_id), seal):
        return None
    return seal.last_id


def settle(session: Session, house: House, found: Walk, now: datetime) -> int:
    """Keep the verdict; of a break the directors and administrators hear, once. Returns the letters."""
    put_setting(session, _KEY, orjson.dumps(asdict(found)).decode(), now)
    if not found.whole:
        reply = Reply(lines(_what_is_wrong(found), *_WHAT_TO_DO))
        about = f"history:{found.broken_at}"
    elif found.unsealed:
        reply, about = Reply(_UNSEALED), f"history:unsealed:{now:%Y%m%d}"
    else:
        return 0
    return tell_once(session, house, now, about, reply, people_of(session, IN_CHARGE))


_WHAT_TO_DO = (
    _("Так бывает, когда базу меняют в обход программы."),
    _("Ничего не чините: сначала пусть администратор снимет копию и сравнит её с прежней."),
)
_UNSEALED = lines(
    _("История изменений проверена, но сравнить её с прошлой проверкой нельзя: её печати нет."),
    _("Так бывает один раз после обновления программы или смены secret_key."),
    _("Если ни того, ни другого не было, пусть администратор сравнит базу с прежней копией."),
)


def _what_is_wrong(found: Walk) -> Text:
    number = found.broken_at
    if found.cut_off:
        return _(
            "В истории изменений пропали последние записи, начиная с № {number}.", number=found.broken_at
        )
    if found.rewritten:
        return _(
            "История изменений переписана: запись № {number} уже не та, что была при прошлой проверке.",
            number=number,
        )
    return _("История изменений нарушена на записи № {number}.", number=number)


@dataclass(frozen=True, slots=True)
class _Seal:
    last_id: int
    hash: str


def _signer(secret_key: str) -> Signer:
    return Signer(secret_key, salt=_PURPOSE, digest_method=hashlib.sha256)


def _read(seal: str, secret_key: str) -> _Seal | None:
    """What a seal says; None when it is not ours."""
    try:
        last_id, _rows, its_hash = _signer(secret_key).unsign(seal).decode().split(":")
    except BadSignature:
        return None
    return _Seal(int(last_id), its_hash)


def _is_same(there: str | None, seal: _Seal) -> bool:
    return there is not None and hmac.compare_digest(there, seal.hash)


def _hash_at(session: Session, row_id: int) -> str | None:
    """The hash of a row; before the first one, what stands for it. None when the row is gone."""
    if not row_id:
        return history.GENESIS
    return session.execute(select(col(History.hash)).where(col(History.id) == row_id)).scalar()


def _is_older(session: Session, then: datetime) -> bool:
    """Whether the history began before then."""
    began = session.execute(select(col(History.at)).order_by(col(History.id)).limit(1)).scalar()
    return began is not None and began < then
