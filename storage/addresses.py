"""Whose e-mail address it is: somebody who is known by it alone, and who writes or is written there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlmodel import Session

from storage.models import metadata

_person = metadata.tables["person"]
_staff = metadata.tables["staff"]
_chat = metadata.tables["chat"]

_ADDRESS: Any = func.lower(func.trim(_person.c.email))
_SPOKEN = ("phone", "visit")
"""Channels in which nobody writes: a client has spoken there."""
_IS_STAFF = exists().where(_staff.c.person_id == _person.c.id)


def known_by(session: Session, address: str) -> int | None:
    """The one client with this address who has never written anywhere.

    Whoever has a messenger says in it that the address is theirs too: by a code, as for any other chat.
    """
    has_chats = exists().where(_chat.c.person_id == _person.c.id, _chat.c.channel.not_in(_SPOKEN))
    query = select(_person.c.id, has_chats | _IS_STAFF).where(address.strip().lower() == _ADDRESS).limit(2)
    found = session.connection().execute(query).all()
    return found[0][0] if len(found) == 1 and not found[0][1] else None


def can_be_written_to(session: Session, email_channel: str, person_id: int) -> bool:
    """Whether a first letter to this client's own address will find a chat: nobody else writes from it.

    Not the address of staff: whoever can forge a sender would act in their name.
    """
    own, at_address = _chat.alias(), _chat.alias()
    has_own = exists().where(own.c.person_id == _person.c.id, own.c.channel == email_channel)
    is_anothers = exists().where(
        at_address.c.channel == email_channel,
        at_address.c.chat_key == _ADDRESS,
        or_(at_address.c.person_id.is_not(None), at_address.c.blocked_at.is_not(None)),
    )
    has_address: ColumnElement[bool] = _person.c.email.contains("@")
    query = select(_person.c.id).where(
        _person.c.id == person_id, has_address, ~_IS_STAFF, ~has_own, ~is_anothers
    )
    return bool(email_channel) and session.connection().execute(query).one_or_none() is not None
