"""Who is in the panel now, and with what besides a password: sessions, the second factor, the own profile.

A session's token is known to its browser alone; the row keeps the token's SHA-256. The secret of the
second factor comes here sealed already, and a recovery code as its hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlmodel import Session, col

from storage import history
from storage.dialects import insert_for
from storage.models import PanelSession, Person, Setting, Staff
from storage.roster import Act, CardChanged, EmailTaken, Member, NoSuchCard, email_taken, end_sessions, member

LOOK_EVERY = timedelta(minutes=1)
"""How often a session writes down that it is alive."""
REMEMBERED = timedelta(days=90)
"""How long an ended session is kept, for whoever wants to know who came in from where."""


# --- Sessions ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Present:
    """A signed-in browser and whose it is."""

    session_id: int
    member: Member
    created_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One line of the list of sessions."""

    session_id: int
    created_at: datetime
    seen_at: datetime
    address: str
    browser: str


def token_hash(token: str) -> str:
    """What is kept of a session's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(
    session: Session, staff_id: int, token: str, now: datetime, *, address: str, browser: str
) -> int:
    """Write down a browser that has just signed in; returns the session's number."""
    session.execute(
        delete(PanelSession).where(
            col(PanelSession.staff_id) == staff_id, col(PanelSession.seen_at) < now - REMEMBERED
        )
    )
    opened = (
        insert(PanelSession)
        .values(
            staff_id=staff_id, token_hash=token_hash(token), address=address[:60], browser=browser[:200],
            created_at=now, seen_at=now,
        )
        .returning(col(PanelSession.id))
    )  # fmt: skip
    return int(session.execute(opened).scalar_one() or 0)


def present(session: Session, token: str, now: datetime, idle: timedelta) -> Present | None:
    """Whose session this is, if it is still open and somebody used it within `idle`."""
    row = session.execute(
        select(PanelSession).where(
            col(PanelSession.token_hash) == token_hash(token),
            col(PanelSession.ended_at).is_(None),
            col(PanelSession.seen_at) > now - idle,
        )
    ).scalar_one_or_none()
    whose = member(session, row.staff_id) if row is not None else None
    if row is None or row.id is None or whose is None or not whose.active:
        return None
    return Present(row.id, whose, row.created_at, row.seen_at)


def look(session: Session, session_id: int, now: datetime) -> None:
    """Write down that the session was used."""
    session.execute(
        update(PanelSession)
        .where(col(PanelSession.id) == session_id, col(PanelSession.ended_at).is_(None))
        .values(seen_at=now)
    )


def sessions_of(session: Session, staff_id: int, now: datetime, idle: timedelta) -> tuple[OpenSession, ...]:
    """The open sessions of a member of staff, the one used last first."""
    found = session.execute(
        select(PanelSession)
        .where(
            col(PanelSession.staff_id) == staff_id,
            col(PanelSession.ended_at).is_(None),
            col(PanelSession.seen_at) > now - idle,
        )
        .order_by(col(PanelSession.seen_at).desc(), col(PanelSession.id).desc())
    ).scalars()
    return tuple(
        OpenSession(row.id or 0, row.created_at, row.seen_at, row.address, row.browser) for row in found
    )


def end_session(session: Session, act: Act, staff_id: int, session_id: int) -> None:
    """End one session of this member of staff. Raises NoSuchCard."""
    ended: Any = session.execute(
        update(PanelSession)
        .where(
            col(PanelSession.id) == session_id,
            col(PanelSession.staff_id) == staff_id,
            col(PanelSession.ended_at).is_(None),
        )
        .values(ended_at=act.now)
    )
    if ended.rowcount != 1:
        raise NoSuchCard
    _record(session, act, "session_ended", staff_id, after={"sessions": 1})


def end_every_session(session: Session, act: Act, staff_id: int) -> int:
    """Sign somebody out everywhere; returns how many sessions it were."""
    ended = end_sessions(session, staff_id, act.now)
    _record(session, act, "session_ended", staff_id, after={"sessions": ended})
    return ended


# --- The second factor ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Factor:
    """The second factor of a member of staff; `sealed_secret` is empty without one."""

    sealed_secret: str
    recovery_left: int


def factor_of(session: Session, staff_id: int) -> Factor:
    """What this member of staff shows besides a password. Raises NoSuchCard."""
    found = session.execute(
        select(col(Staff.totp_secret), col(Staff.recovery_hashes)).where(col(Staff.id) == staff_id)
    ).one_or_none()
    if found is None:
        raise NoSuchCard
    return Factor(found[0], len(found[1]))


def keep_factor(
    session: Session, act: Act, staff_id: int, sealed_secret: str, recovery_hashes: Sequence[str]
) -> None:
    """From now on the code is asked for after the password."""
    session.execute(
        update(Staff)
        .where(col(Staff.id) == staff_id)
        .values(totp_secret=sealed_secret, recovery_hashes=list(recovery_hashes))
    )
    _record(session, act, "factor_set", staff_id)


def replace_recovery(session: Session, act: Act, staff_id: int, recovery_hashes: Sequence[str]) -> None:
    """Put new recovery codes in the place of the old ones."""
    session.execute(
        update(Staff).where(col(Staff.id) == staff_id).values(recovery_hashes=list(recovery_hashes))
    )
    _record(session, act, "recovery_renewed", staff_id)


def drop_factor(session: Session, act: Act, staff_id: int) -> bool:
    """Sign in by password alone again. False when there was no second factor."""
    dropped: Any = session.execute(
        update(Staff)
        .where(col(Staff.id) == staff_id, col(Staff.totp_secret) != "")
        .values(totp_secret="", recovery_hashes=[])
    )
    if dropped.rowcount:
        _record(session, act, "factor_dropped", staff_id)
    return bool(dropped.rowcount)


def use_step(session: Session, staff_id: int, step: int, now: datetime) -> bool:
    """Use up a code by its time step. False when this one or a later one has been used before.

    Of two that come at once, one gets it.
    """
    # The same number of digits always: as texts they compare like numbers.
    value = f"{step:012d}"
    added = insert_for(session)(Setting).values(key=f"factor_step:{staff_id}", value=value, updated_at=now)
    used = added.on_conflict_do_update(
        index_elements=["key"], set_={"value": value, "updated_at": now}, where=col(Setting.value) < value
    ).returning(col(Setting.key))
    return session.execute(used).first() is not None


def use_recovery(session: Session, act: Act, staff_id: int, recovery_hash: str) -> bool:
    """Use up a recovery code. False when it is none of those left."""
    left = session.execute(
        select(col(Staff.recovery_hashes)).where(col(Staff.id) == staff_id).with_for_update()
    ).scalar_one()
    if recovery_hash not in left:
        return False
    kept = [each for each in left if each != recovery_hash]
    session.execute(update(Staff).where(col(Staff.id) == staff_id).values(recovery_hashes=kept))
    _record(session, act, "recovery_used", staff_id, after={"left": len(kept)})
    return True


@dataclass(frozen=True, slots=True)
class DoorsOf:
    """How somebody comes in, for whoever keeps the doors."""

    open_sessions: int
    has_factor: bool


def doors_of(session: Session, staff_id: int, now: datetime, idle: timedelta) -> DoorsOf:
    """How this member of staff comes in. Raises NoSuchCard."""
    found = len(sessions_of(session, staff_id, now, idle))
    return DoorsOf(found, bool(factor_of(session, staff_id).sealed_secret))


# --- The own profile -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProfileFields:
    """What people change about themselves; every value was validated before."""

    name: str
    phone: str
    email: str
    digest: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """The own card."""

    fields: ProfileFields
    version: int


def profile_of(session: Session, staff_id: int) -> Profile:
    """Read the own card. Raises NoSuchCard."""
    found = session.execute(
        select(Staff, Person)
        .join(Person, col(Person.id) == col(Staff.person_id))
        .where(col(Staff.id) == staff_id)
    ).one_or_none()
    if found is None:
        raise NoSuchCard
    staff, person = found
    return Profile(ProfileFields(person.name, person.phone, person.email, staff.digest), staff.version)


def save_profile(session: Session, act: Act, staff_id: int, version: int, fields: ProfileFields) -> None:
    """Change the own card. Raises CardChanged, EmailTaken, NoSuchCard."""
    before = profile_of(session, staff_id)
    if email_taken(session, fields.email, staff_id):
        raise EmailTaken
    # The comparison and the write are one statement: nobody can slip in between.
    changed: Any = session.execute(
        update(Staff)
        .where(col(Staff.id) == staff_id, col(Staff.version) == version)
        .values(digest=fields.digest, version=version + 1)
    )
    if changed.rowcount != 1:
        raise CardChanged
    person_id = select(col(Staff.person_id)).where(col(Staff.id) == staff_id).scalar_subquery()
    session.execute(
        update(Person)
        .where(col(Person.id) == person_id)
        .values(name=fields.name, phone=fields.phone, email=fields.email)
        .execution_options(synchronize_session=False)
    )
    was, became = asdict(before.fields), asdict(fields)
    changes = [name for name in became if was[name] != became[name]]
    if changes:
        _record(
            session,
            act,
            "profile_changed",
            staff_id,
            before={name: was[name] for name in changes},
            after={name: became[name] for name in changes},
        )


def _record(
    session: Session,
    act: Act,
    action: str,
    staff_id: int,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    history.record(
        session,
        at=act.now,
        actor_id=act.who.person_id,
        through=act.who.through,
        action=action,
        subject=f"staff:{staff_id}",
        before=before,
        after=after,
    )
