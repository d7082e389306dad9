"""Telling people of certain roles something once, whatever runs twice or in two processes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import exists, select
from sqlmodel import Session, col

from forms.messages import Reply
from router.model import Role
from storage.house import House
from storage.letters import Posting, post
from storage.models import Chat, Letter, Staff

IN_CHARGE = (Role.DIRECTOR, Role.DEPUTY, Role.ADMIN)
"""Who hears when the firm's machine is in trouble."""


def people_of(session: Session, roles: Collection[Role], *, with_chat: bool = False) -> list[int]:
    """The active staff of these roles, as persons; `with_chat`: only those a messenger reaches."""
    query = select(col(Staff.person_id)).where(
        col(Staff.active), col(Staff.role).in_([role.value for role in roles])
    )
    if with_chat:
        has_chat = exists().where(col(Chat.person_id) == col(Staff.person_id), col(Chat.blocked_at).is_(None))
        query = query.where(has_chat)
    return sorted(session.execute(query).scalars())


def tell_once(
    session: Session,
    house: House,
    now: datetime,
    key: str,
    reply: Reply,
    people: Sequence[int],
    *,
    not_before: datetime | None = None,
) -> int:
    """Write to each of them unless it was written under this key; returns how many letters that makes.

    Whatever question their chat was at stays there.
    """
    keys = {f"{key}:{person}": person for person in people}
    told = set(session.execute(select(col(Letter.key)).where(col(Letter.key).in_(keys))).scalars())
    new = [
        Posting(key, reply, person_id=person, keeps_screen=True, not_before=not_before)
        for key, person in keys.items()
        if key not in told
    ]
    post(session, house, now, new)
    return len(new)
