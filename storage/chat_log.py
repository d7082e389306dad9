"""What was said in one chat, both ways, as the web chat shows it again after a reload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from forms.messages import OutgoingFile
from notifications.outbox import LetterState, ShownButton
from storage.models import Chat, Letter, Message, Person, Staff

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_ROWS_IN_A_MILLISECOND = 2048
"""How many rows of one table a chat may get within a millisecond before their order is lost."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One message of a chat. `id` grows with time and is small enough for a browser's number."""

    id: int
    key: str
    mine: bool
    text: str
    sent_at: datetime
    rows: tuple[tuple[ShownButton, ...], ...] = ()
    files: tuple[OutgoingFile, ...] = ()


def latest(session: Session, channel: str, chat_key: str, limit: int, before: int | None) -> Sequence[Logged]:
    """At most `limit` latest messages of a chat, oldest first; with `before`, those with a smaller id.

    Letters count from the moment they were handed to the messenger.
    """
    chat_id = session.execute(
        select(col(Chat.id)).where(col(Chat.channel) == channel, col(Chat.chat_key) == chat_key)
    ).scalar_one_or_none()
    if chat_id is None:
        return ()
    until = (
        None
        if before is None
        else _EPOCH + timedelta(milliseconds=before // (_ROWS_IN_A_MILLISECOND * 2) + 1)
    )
    said = select(Message).where(col(Message.chat_id) == chat_id, col(Message.direction) == "in")
    sent = select(Letter).where(
        col(Letter.chat_id) == chat_id,
        col(Letter.state).in_((LetterState.DOING.value, LetterState.SENT.value)),
    )
    if until is not None:
        said = said.where(col(Message.received_at) < until)
        sent = sent.where(col(Letter.created_at) < until)
    # A little more than asked for: rows of the same millisecond as `before` are sorted out below.
    more = limit + 50
    found = [
        _of_message(row)
        for row in session.execute(said.order_by(col(Message.id).desc()).limit(more)).scalars()
    ]
    found += [
        _of_letter(row)
        for row in session.execute(
            sent.order_by(col(Letter.created_at).desc(), col(Letter.id).desc()).limit(more)
        ).scalars()
    ]
    found = sorted((item for item in found if before is None or item.id < before), key=lambda item: item.id)
    return found[-limit:]


def may_keep(session: Session, channel: str, chat_key: str, consent_version: str) -> bool:
    """Whether who writes in this chat has agreed to this consent, or is a member of staff at work here."""
    found = session.execute(
        select(col(Person.consent_version), col(Staff.active))
        .select_from(Chat)
        .join(Person, col(Person.id) == col(Chat.person_id))
        .outerjoin(Staff, col(Staff.person_id) == col(Person.id))
        .where(col(Chat.channel) == channel, col(Chat.chat_key) == chat_key)
    ).one_or_none()
    return found is not None and (bool(found[1]) or found[0] == consent_version)


def _of_message(row: Message) -> Logged:
    assert row.id is not None
    return Logged(
        id=_number(row.received_at, 0, row.id),
        key=row.event_key,
        mine=True,
        text=row.text,
        sent_at=row.sent_at,
        files=_files(row.files),
    )


def _of_letter(row: Letter) -> Logged:
    assert row.id is not None
    return Logged(
        id=_number(row.created_at, 1, row.id),
        key=row.key,
        mine=False,
        text=row.text,
        sent_at=row.created_at,
        rows=tuple(tuple(ShownButton(label, press) for label, press in shown) for shown in row.rows),
        files=_files(row.files),
    )


def _files(stored: list[Any]) -> tuple[OutgoingFile, ...]:
    return tuple(OutgoingFile(**file) for file in stored)


def _number(at: datetime, table: int, row_id: int) -> int:
    """What a person said comes before the answers of the same moment."""
    milliseconds = int((at - _EPOCH).total_seconds() * 1000)
    return (milliseconds * 2 + table) * _ROWS_IN_A_MILLISECOND + row_id % _ROWS_IN_A_MILLISECOND
