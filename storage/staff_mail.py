"""Where a letter to an address of staff goes: to a chat that is nobody's.

Such a chat never becomes the member of staff's own: whoever can forge a sender would act in their name.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, select

from storage.models import Chat


def address_chat(session: Session, channel: str, email: str, now: datetime) -> int:
    """The number of the chat of this address in the messenger of e-mail; made when there is none."""
    address = email.strip().lower()
    found = session.exec(select(Chat).where(Chat.channel == channel, Chat.chat_key == address)).first()
    if found is None:
        found = Chat(channel=channel, chat_key=address, user_key=address, created_at=now)
        session.add(found)
        session.flush()
    return found.id or 0
