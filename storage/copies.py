"""The firm's copies: when one is due, which ones stay, what became of them, and whom that alarms.

The rules are pure; what was done stands in `copy_run`. The work itself is `app.nightly`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from notifications.copying import CopyTrouble, copy_alarm, copy_whole
from router.model import Role
from storage import history
from storage.alarms import IN_CHARGE, people_of, tell_once
from storage.house import House, Who
from storage.models import CopyRun, History
from storage.work import get_setting, put_setting

MISSING_AFTER = timedelta(hours=36)
AGAIN_AFTER = timedelta(hours=1)
"""How long after a failed attempt the next is made."""
BROKEN_OFF_AGAIN_AFTER = timedelta(minutes=5)
KEPT_BEFORE_MIGRATIONS = 3
WISH_KEY = "copy:wanted"
PLACES_KEY = "copy:places"
TOLD_FOR = timedelta(hours=24)
"""How long it is told that an older copy is lost: the next attempt knows nothing of it any more."""
_TOLD_FROM = time(8)
"""Nobody is woken for a copy: it can wait for the morning."""
_RECENT = 10
_LOST = frozenset((CopyTrouble.VANISHED, CopyTrouble.DAMAGED_LATER))
_NAME = re.compile(r"priem-(\d{8}T\d{6})Z(-before-\w+)?\.tar")


WHAT_TO_DO: Mapping[CopyTrouble, str] = MappingProxyType(
    {
        CopyTrouble.MISSING: "There is no whole copy of the last 36 hours: look at the log.",
        CopyTrouble.NO_ROOM: "There was no room for a copy: free some space.",
        CopyTrouble.NOT_WRITTEN: "The copy could not be made.",
        CopyTrouble.DAMAGED: "The trial restore of the copy found a fault.",
        CopyTrouble.NOT_CARRIED: "The copy did not get to the second place.",
        CopyTrouble.DAMAGED_THERE: "The second place gave back another copy than it was given.",
        CopyTrouble.VANISHED: "A copy of an earlier night is gone, and not by us.",
        CopyTrouble.DAMAGED_LATER: "A copy of an earlier night is damaged by now: look at the disk.",
        CopyTrouble.BROKEN_OFF: "The copy was broken off; it is made again.",
    }
)
"""For the operator, on /health."""


# --- names, and which copies stay ------------------------------------------------------------------


def name_of(at: datetime, before_revision: str = "") -> str:
    """What the copy of this moment is called; `before_revision` when it is taken for a migration."""
    suffix = f"-before-{before_revision}" if before_revision else ""
    return f"priem-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}{suffix}.tar"


def made_at(name: str) -> datetime | None:
    """When a copy was made, by its name; None for what is not one of ours and is never touched."""
    found = _NAME.fullmatch(name)
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class KeepRules:
    """The newest copy of each of so many days, weeks and months stays."""

    days: int = 14
    weeks: int = 8
    months: int = 24


def superfluous(
    names: Iterable[str], rules: KeepRules, zone: ZoneInfo, whole: Collection[str]
) -> frozenset[str]:
    """Which copies may go. Pure.

    Days without a copy do not count, so a machine that was off for a year loses nothing by it. A copy
    that was proved `whole` goes before a newer one that was not, and the newest whole one always stays.
    """
    found = {name: at.astimezone(zone) for name in names if (at := made_at(name)) is not None}
    before_migrations = sorted((name for name in found if "-before-" in name), key=lambda name: found[name])
    kept = set(before_migrations[-KEPT_BEFORE_MIGRATIONS:])
    nightly = {name: at for name, at in found.items() if "-before-" not in name}
    best_first = sorted(nightly, key=lambda name: (name in whole, nightly[name]), reverse=True)
    kept.update(best_first[:1])
    newest_first = sorted(nightly, key=lambda name: nightly[name], reverse=True)
    kept.update(newest_first[:1])
    for period, how_many in ((_day, rules.days), (_week, rules.weeks), (_month, rules.months)):
        chosen: dict[date, str] = {}
        for name in best_first:
            chosen.setdefault(period(nightly[name]), name)
        kept.update(chosen[key] for key in sorted(chosen, reverse=True)[:how_many])
    return frozenset(found.keys() - kept)


def _day(at: datetime) -> date:
    return at.date()


def _week(at: datetime) -> date:
    return at.date() - timedelta(days=at.weekday())


def _month(at: datetime) -> date:
    return at.date().replace(day=1)


# --- what is settled -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What the operator has settled about the copies, without the secrets."""

    zone: ZoneInfo
    at: time | None = None
    """When a copy is made each night, in the firm's zone; None is never."""
    has_key: bool = False
    folder: str = ""
    second_place: str = ""
    rules: KeepRules = field(default_factory=KeepRules)

    @property
    def is_on(self) -> bool:
        """Whether copies are made by themselves."""
        return self.at is not None and self.has_key

    @property
    def why_off(self) -> str:
        """Why no copies are made by themselves, for the operator; empty when they are."""
        if not self.has_key:
            return "[backup] has neither a passphrase nor a public_key"
        return "" if self.at is not None else "[backup] at is empty"

    def latest_due(self, now: datetime) -> datetime | None:
        """When the latest copy should have begun."""
        if self.at is None or not self.is_on:
            return None
        today = datetime.combine(now.astimezone(self.zone).date(), self.at, self.zone)
        return (today if today <= now else today - timedelta(days=1)).astimezone(UTC)

    def next_due(self, now: datetime) -> datetime | None:
        """When the next one begins."""
        latest = self.latest_due(now)
        if latest is None or self.at is None:
            return None
        day = latest.astimezone(self.zone).date() + timedelta(days=1)
        return datetime.combine(day, self.at, self.zone).astimezone(UTC)


# --- what was done ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A trouble, and a detail for the operator: English, without secrets and without clients' words."""

    what: CopyTrouble
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proved:
    """What a copy was like when it was proved."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Places:
    """Which copies lay here and in the second place after the latest attempt, and when each was last read."""

    here: Mapping[str, datetime] = field(default_factory=dict)
    there: Mapping[str, datetime] = field(default_factory=dict)
    second_place: str = ""

    def to_json(self) -> str:
        """As it is kept, and told from process to process."""
        sides = ({name: at.isoformat() for name, at in side.items()} for side in (self.here, self.there))
        return json.dumps([*sides, self.second_place])

    @classmethod
    def from_json(cls, told: str) -> Places:
        """The same the other way round."""
        here, there, second_place = json.loads(told)
        return cls(_moments(here), _moments(there), second_place)


def _moments(side: Mapping[str, str]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(at) for name, at in side.items()}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to copy everything; `whole` is None while it goes on or when it was broken off."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    through: str
    file_name: str
    size_bytes: int
    sha256: str
    requests: int
    files: int
    whole: bool | None
    second_whole: bool | None
    troubles: tuple[Told, ...]

    @property
    def broken_off(self) -> bool:
        """Whether it never came to a verdict."""
        return any(told.what is CopyTrouble.BROKEN_OFF for told in self.troubles)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt."""

    file_name: str = ""
    size_bytes: int = 0
    sha256: str = ""
    requests: int = 0
    files: int = 0
    whole: bool = False
    second_whole: bool | None = None
    troubles: tuple[Told, ...] = ()
    opens: bool = False
    """Whether it can be restored at all, whatever its rows are like."""
    places: Places | None = None
    """What lies where now; None when nobody looked."""
    rotten: tuple[str, ...] = ()
    """Older copies that were whole and are not now, anywhere."""


@dataclass(frozen=True, slots=True)
class CopyState:
    """How the copies are: the newest attempt, the newest whole one, the first of all."""

    newest: Attempt | None = None
    last_whole: Attempt | None = None
    first_at: datetime | None = None
    """Of the first attempt; before any, of the first thing that the firm did."""
    wanted_at: datetime | None = None
    """When somebody asked for a copy that has not begun yet."""
    recent: tuple[Attempt, ...] = ()
    """The latest attempts, newest first."""

    def troubles(self, plan: CopyPlan, now: datetime) -> tuple[CopyTrouble, ...]:
        """What a person must do something about. Pure."""
        found: list[CopyTrouble] = []
        since = self.last_whole.started_at if self.last_whole else self.first_at
        # Without a key there are no copies either; only an empty `at` says that this is meant.
        if plan.at is not None and since is not None and now - since > MISSING_AFTER:
            found.append(CopyTrouble.MISSING)
        newest = self.newest
        if newest is not None and newest.ended_at is None:
            newest = self.last_whole
        if newest is not None and not newest.broken_off:
            found += [told.what for told in newest.troubles]
        found += [
            told.what
            for attempt in self.recent
            for told in attempt.troubles
            if told.what in _LOST and attempt.ended_at is not None and now - attempt.ended_at < TOLD_FOR
        ]
        return tuple(dict.fromkeys(found))


def state(session: Session) -> CopyState:
    """Read how the copies are."""
    recent = attempts(session, _RECENT)
    whole = attempts(session, 1, col(CopyRun.whole).is_(True))
    first = session.execute(
        select(col(CopyRun.started_at)).order_by(col(CopyRun.id)).limit(1)
    ).scalar_one_or_none()
    if first is None:
        first = session.execute(
            select(col(History.at)).order_by(col(History.id)).limit(1)
        ).scalar_one_or_none()
    wanted = get_setting(session, WISH_KEY)
    return CopyState(
        recent[0] if recent else None,
        whole[0] if whole else None,
        first,
        datetime.fromisoformat(wanted) if wanted else None,
        tuple(recent),
    )


def attempts(session: Session, limit: int, *fitting: ColumnElement[bool]) -> Sequence[Attempt]:
    """The latest attempts, newest first."""
    query = select(CopyRun).where(*fitting).order_by(col(CopyRun.id).desc()).limit(limit)
    return tuple(_attempt(row) for row in session.execute(query).scalars())


def _attempt(row: CopyRun) -> Attempt:
    return Attempt(
        row.id or 0, row.started_at, row.ended_at, row.through, row.file_name, row.size_bytes, row.sha256,
        row.requests, row.files, row.whole, row.second_whole,
        tuple(Told(CopyTrouble(what), detail) for what, detail in row.troubles),
    )  # fmt: skip


def proved(session: Session) -> Mapping[str, Proved]:
    """All copies that were ever proved and have not been found damaged since, by name."""
    columns = col(CopyRun.file_name), col(CopyRun.size_bytes), col(CopyRun.sha256)
    found = session.execute(select(*columns).where(col(CopyRun.whole).is_(True)))
    return {name: Proved(size_bytes, sha256) for name, size_bytes, sha256 in found}


def places(session: Session) -> Places | None:
    """What lay where after the latest attempt; None when nobody has looked yet."""
    told = get_setting(session, PLACES_KEY)
    return Places.from_json(told) if told else None


def due(found: CopyState, plan: CopyPlan, now: datetime) -> str | None:
    """Whether a copy must begin now: `panel` when somebody asked for it, `timer`, or None. Pure.

    A night on which the machine was off is made up; after a failure it is tried again in an hour.
    """
    if not plan.has_key:
        return None
    newest, latest = found.newest, plan.latest_due(now)
    if found.wanted_at is not None:
        return "panel"
    if latest is None:
        return None
    if newest is None or newest.started_at < latest:
        return "timer"
    if newest.whole:
        return None
    # Whoever asks makes none at the moment, so one without an end was broken off.
    broken_off = newest.broken_off or newest.ended_at is None
    pause = BROKEN_OFF_AGAIN_AFTER if broken_off else AGAIN_AFTER
    return "timer" if now - (newest.ended_at or newest.started_at) > pause else None


def wish(session: Session, who: Who, now: datetime) -> None:
    """Somebody asks for a copy at once; whichever process makes the copies begins within a minute."""
    put_setting(session, WISH_KEY, now.astimezone(UTC).isoformat(), now)
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action="copy_wanted", subject="firm",
        before=None, after=None,
    )  # fmt: skip


def begin(session: Session, through: str, now: datetime) -> int:
    """Write down that an attempt begins, and that older ones without an end were broken off."""
    abandoned = select(CopyRun).where(col(CopyRun.ended_at).is_(None))
    for row in session.execute(abandoned).scalars():
        row.ended_at = now
        row.troubles = [[CopyTrouble.BROKEN_OFF.value, ""]]
    put_setting(session, WISH_KEY, "", now)
    run = CopyRun(started_at=now, through=through)
    session.add(run)
    session.flush()
    return run.id or 0


def settle(session: Session, house: House, number: int, outcome: Outcome, now: datetime) -> None:
    """Write down what became of an attempt, and tell the administrators if all is well."""
    row = session.get_one(CopyRun, number)
    row.ended_at = now
    row.file_name, row.size_bytes, row.sha256 = outcome.file_name, outcome.size_bytes, outcome.sha256
    row.requests, row.files = outcome.requests, outcome.files
    row.whole, row.second_whole = outcome.whole, outcome.second_whole
    row.troubles = [[told.what.value, told.detail] for told in outcome.troubles]
    after = {
        "file": outcome.file_name, "bytes": outcome.size_bytes, "sha256": outcome.sha256,
        "whole": outcome.whole, "second_whole": outcome.second_whole,
    }  # fmt: skip
    if outcome.places is not None:
        put_setting(session, PLACES_KEY, outcome.places.to_json(), now)
    _mark_rotten(session, outcome.rotten)
    history.record(
        session, at=now, actor_id=None, through="timer", action="copy_made", subject="firm", before=None,
        after=after,
    )  # fmt: skip
    if outcome.whole and not outcome.troubles and row.through == "timer":
        _tell_verdict(session, house, outcome, now)


def _mark_rotten(session: Session, names: Collection[str]) -> None:
    if not names:
        return
    for row in session.execute(select(CopyRun).where(col(CopyRun.file_name).in_(names))).scalars():
        row.whole = False
        row.troubles = [*row.troubles, [CopyTrouble.DAMAGED_LATER.value, ""]]


def _tell_verdict(session: Session, house: House, outcome: Outcome, now: datetime) -> None:
    """One line a day to the administrators who have a chat, when the working day begins."""
    day = now.astimezone(house.calendar.zone).date()
    if not house.calendar.is_working_day(day):
        return
    reply = copy_whole(
        outcome.requests, outcome.files, outcome.size_bytes, second=outcome.second_whole is True
    )
    opening = datetime.combine(day, house.calendar.opens_at(day), house.calendar.zone)
    tell_once(
        session, house, now, f"copy:whole:{day}", reply, people_of(session, (Role.ADMIN,), with_chat=True),
        not_before=max(now, opening),
    )  # fmt: skip


def alarm(session: Session, house: House, plan: CopyPlan, now: datetime) -> int:
    """Tell directors and administrators, once a day, what is wrong; returns how many letters it was."""
    zone = house.calendar.zone
    local = now.astimezone(zone)
    found = state(session)
    troubles = found.troubles(plan, now)
    if not troubles or local.time() < _TOLD_FROM:
        return 0
    last = found.last_whole.started_at.astimezone(zone) if found.last_whole else None
    key = f"copy:alarm:{local:%Y-%m-%d}"
    return tell_once(session, house, now, key, copy_alarm(troubles, last), people_of(session, IN_CHARGE))
