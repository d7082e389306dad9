"""Who may come in: one-time codes for staff and clients, and the brake on guessing them.

Only the SHA-256 of a code is kept; the code itself is shown once, to whoever invites.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import case, func, insert, update
from sqlmodel import Session, col, select

from forms.kinds import FINANCE, LEGAL
from forms.texts import Text, _, n_
from router.model import Role
from storage import history
from storage.dialects import insert_for
from storage.models import Client, ClientPerson, Invitation, Person, Staff, Throttle

CODE_LENGTH = 20
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0 O, 1 I L and U, so that a code can be copied by hand; 20 of these 30 are 98 bits."""

_FROM_CYRILLIC = str.maketrans("АВЕКМНРСТУХ", "ABEKMHPCTYX")

ATTEMPTS = 5
ATTEMPTS_BY_ADDRESS = 50
"""A whole office may share one address, and each of them mistypes."""
FIRST_PAUSE = timedelta(minutes=15)
LONGEST_PAUSE = timedelta(days=1)

_SKILLS: dict[Role, tuple[str, ...]] = {
    Role.ACCOUNTANT: ("payments", "documents", "reports"),
    Role.LAWYER: ("contracts", "advice"),
}


class Purpose(StrEnum):
    """What a code opens: a messenger, the panel for the first time, one sign-in, a new password."""

    CHAT = "chat"
    PANEL = "panel"
    SIGNIN = "signin"
    RESET = "reset"


class InvitationRefused(Exception):  # noqa: N818 - the name says what happened
    """The code opens nothing; `text` is the same whether it is wrong, used or expired."""

    def __init__(self, text: Text | None = None) -> None:
        self.text = text or _("Код не подошёл: он неверный, уже использован или истёк. Попросите новый.")
        super().__init__(self.text.msgid)


class NoSuchClient(LookupError):  # noqa: N818
    """No client has this INN: add them first with `priem import clients FILE`."""


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom the codes belong to. A client has no `panel_code`."""

    person_id: int
    chat_code: str
    panel_code: str | None = None


def invite_staff(
    session: Session,
    role: Role,
    name: str,
    email: str,
    now: datetime,
    *,
    valid_days: int = 7,
    department: str | None = None,
    skills: Sequence[str] | None = None,
    through: str = "command",
    actor_id: int | None = None,
) -> Invited:
    """Add a member of staff, or invite a known one again, and give them their codes.

    Known is who has this e-mail, or without one this name and role; unused older codes die. The
    department and the skills follow from the role unless they are given.
    """
    name, email = name.strip(), email.strip()
    staff = _known_staff(session, role, name, email)
    before = _facts(staff) if staff else None
    if staff is None:
        person = Person(name=name, email=email, created_at=now)
        session.add(person)
        session.flush()
        assert person.id is not None
        staff = Staff(person_id=person.id, role=role.value, created_at=now)
        department = department or _department(role)
        skills = _SKILLS.get(role, ()) if skills is None else skills
    elif staff.role != role.value:
        department = department or _department(role)
        skills = _SKILLS.get(role, ()) if skills is None else skills
    _settle(staff, role, department, skills)
    session.add(staff)
    session.flush()
    invited = Invited(
        staff.person_id,
        invite_person(session, staff.person_id, Purpose.CHAT, now, timedelta(days=valid_days)),
        invite_person(session, staff.person_id, Purpose.PANEL, now, timedelta(days=valid_days)),
    )
    history.record(
        session, at=now, actor_id=actor_id, through=through, action="invited",
        subject=f"staff:{staff.id}", before=before, after=_facts(staff),
    )  # fmt: skip
    return invited


def invite_client(
    session: Session,
    inn: str,
    now: datetime,
    *,
    valid_days: int = 7,
    through: str = "command",
    actor_id: int | None = None,
) -> Invited:
    """Give a new person of a known client their code. Raises NoSuchClient.

    The person has no name yet: nothing personal is kept before their consent.
    """
    client = session.exec(select(Client).where(Client.inn == inn)).first()
    if client is None or client.id is None:
        raise NoSuchClient(f"No client has the INN {inn}: add them first with `priem import clients FILE`.")
    person = Person(created_at=now)
    session.add(person)
    session.flush()
    assert person.id is not None
    session.add(ClientPerson(client_id=client.id, person_id=person.id, created_at=now))
    code = invite_person(session, person.id, Purpose.CHAT, now, timedelta(days=valid_days))
    history.record(
        session, at=now, actor_id=actor_id, through=through, action="invited",
        subject=f"client:{client.id}", before=None, after={"person_id": person.id},
    )  # fmt: skip
    return Invited(person.id, code)


def invite_person(
    session: Session, person_id: int, purpose: str, now: datetime, valid: timedelta, *,
    length: int = CODE_LENGTH,
) -> str:  # fmt: skip
    """A new code for a known person; their older unused codes for the same purpose die."""
    session.exec(
        update(Invitation)
        .where(
            col(Invitation.person_id) == person_id,
            col(Invitation.purpose) == Purpose(purpose).value,
            col(Invitation.used_at).is_(None),
            col(Invitation.expires_at) > now,
        )
        .values(expires_at=now)
    )
    code = "".join(secrets.choice(ALPHABET) for _letter in range(length))
    session.exec(
        insert(Invitation).values(
            code_hash=code_hash(code),
            purpose=Purpose(purpose).value,
            person_id=person_id,
            created_at=now,
            expires_at=now + valid,
        )
    )
    return code


def owner_of_code(session: Session, code: str, purpose: str, now: datetime) -> int:
    """Say whose a code is without using it up. Raises InvitationRefused."""
    known = select(Invitation.person_id).where(
        col(Invitation.code_hash) == code_hash(code),
        col(Invitation.purpose) == Purpose(purpose).value,
        col(Invitation.used_at).is_(None),
        col(Invitation.expires_at) > now,
    )
    person_id = session.exec(known).one_or_none()
    if person_id is None:
        raise InvitationRefused
    return person_id


def redeem(session: Session, code: str, purpose: str, now: datetime) -> int:
    """Use a code up and say whose it is. Raises InvitationRefused.

    Of two that come at once, one gets it.
    """
    used = (
        update(Invitation)
        .where(
            col(Invitation.code_hash) == code_hash(code),
            col(Invitation.purpose) == Purpose(purpose).value,
            col(Invitation.used_at).is_(None),
            col(Invitation.expires_at) > now,
        )
        .values(used_at=now)
        .returning(col(Invitation.person_id))
    )
    person_id = session.exec(used).scalar_one_or_none()
    if person_id is None:
        raise InvitationRefused
    return int(person_id)


def code_hash(code: str) -> str:
    """The hash of a code however it was typed: small letters, dashes, Cyrillic twins."""
    return hashlib.sha256(as_issued(code).encode()).hexdigest()


def as_issued(code: str) -> str:
    """A code as it was given out, however it was typed."""
    return "".join(letter for letter in code.upper().translate(_FROM_CYRILLIC) if letter.isalnum())


def _department(role: Role) -> str:
    return LEGAL if role is Role.LAWYER else FINANCE


def _known_staff(session: Session, role: Role, name: str, email: str) -> Staff | None:
    found = select(Staff).join(Person, col(Person.id) == col(Staff.person_id))
    if email:
        found = found.where(func.lower(Person.email) == email.lower())
    else:
        found = found.where(col(Person.name) == name, col(Staff.role) == role.value)
    return session.exec(found.order_by(col(Staff.id)).limit(1)).first()


def _settle(staff: Staff, role: Role, department: str | None, skills: Sequence[str] | None) -> None:
    staff.role = role.value
    staff.active = True
    if department is not None:
        staff.department = department
    if skills is not None:
        staff.skills = sorted(set(skills))


def _facts(staff: Staff) -> dict[str, object]:
    return {
        "role": staff.role,
        "department": staff.department,
        "skills": list(staff.skills),
        "active": staff.active,
    }


# --- the brake on guessing ---------------------------------------------------------------------


@contextmanager
def attempt(session: Session, key: str, now: datetime) -> Iterator[None]:
    """Try something that may be a guess. Raises InvitationRefused at once while the key must wait.

    An InvitationRefused from within counts as a failure and goes on; the caller must commit all the
    same, or the failure is forgotten. Success forgets earlier failures.
    """
    until = waits_until(session, key, now)
    if until is not None:
        raise _too_many(until, now)
    try:
        yield
    except InvitationRefused:
        failed(session, key, now)
        raise
    succeeded(session, key)


def _too_many(until: datetime, now: datetime) -> InvitationRefused:
    minutes = -((now - until) // timedelta(minutes=1))
    return InvitationRefused(
        n_(
            "Слишком много неверных кодов. Попробуйте через {count} минуту.",
            "Слишком много неверных кодов. Попробуйте через {count} минут.",
            minutes,
        )
    )


def waits_until(session: Session, key: str, now: datetime) -> datetime | None:
    """Until when this key must wait, if it must."""
    throttle: Throttle | None = session.get(Throttle, key, populate_existing=True)
    if throttle is None or throttle.until is None or throttle.until <= now:
        return None
    return throttle.until


def attempts_left(session: Session, key: str, now: datetime, *, attempts: int = ATTEMPTS) -> int:
    """How often this key (an address, a login) may still fail; 0 while it must wait."""
    throttle = session.get(Throttle, key, populate_existing=True)
    if throttle is None or now - throttle.updated_at >= LONGEST_PAUSE:
        return attempts
    if waits_until(session, key, now) is not None:
        return 0
    return max(1, attempts - throttle.failures)


def failed(session: Session, key: str, now: datetime, *, attempts: int = ATTEMPTS) -> datetime | None:
    """Count a failure; returns until when the key must wait, if it must.

    The last of `attempts` costs 15 minutes, each further one twice as much, a day at most. A day without
    failures forgives them.
    """
    added = insert_for(session)(Throttle).values(key=key, failures=1, until=None, updated_at=now)
    forgiven = col(Throttle.updated_at) <= now - LONGEST_PAUSE
    counted = added.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "failures": case((forgiven, 1), else_=col(Throttle.failures) + 1),
            "updated_at": now,
        },
    ).returning(col(Throttle.failures))
    failures = int(session.exec(counted).scalar_one())
    if failures < attempts:
        return None
    until = now + min(FIRST_PAUSE * (1 << min(failures - attempts, 10)), LONGEST_PAUSE)
    session.exec(update(Throttle).where(col(Throttle.key) == key).values(until=until))
    return until


def succeeded(session: Session, key: str) -> None:
    """Forget the failures of this key."""
    throttle = session.get(Throttle, key, populate_existing=True)
    if throttle is not None:
        session.delete(throttle)
        session.flush()
