"""Messages that their authors have edited or deleted: nothing is overwritten, every version stays.

An edit is one more row under the messenger's key of the message; a deletion is a time on its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import literal_column, select, update
from sqlmodel import Session, col

from forms.messages import InboundKind, OutgoingFile
from storage import history
from storage.models import Letter, Message

LETTERS_SEARCHED = 50


@dataclass(frozen=True, slots=True)
class WrittenVersion:
    """What the message said from that moment on; aware UTC."""

    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Written:
    """A message of a chat with its edits, oldest first."""

    kind: InboundKind
    versions: tuple[WrittenVersion, ...]
    files: tuple[OutgoingFile, ...]
    field: str
    """The field of the form that it answered."""
    request_id: int | None
    is_last: bool
    """Whether its author has written nothing since."""

    @property
    def text(self) -> str:
        """As it reads now."""
        return self.versions[-1].text

    @property
    def written_at(self) -> datetime:
        """When it first came."""
        return self.versions[0].at


def written(session: Session, chat_id: int, person_id: int | None, message_key: str) -> Written | None:
    """The message of this very person that the messenger calls so; None when we never had it."""
    query = select(Message).where(*_of_message(chat_id, message_key), col(Message.person_id) == person_id)
    rows = session.execute(query.order_by(col(Message.id))).scalars().all()
    if not rows:
        return None
    since = select(col(Message.id)).where(
        col(Message.chat_id) == chat_id, col(Message.id) > rows[-1].id, col(Message.direction) == "in"
    )
    files = {file["sha256"]: OutgoingFile(**file) for row in rows for file in row.files}
    return Written(
        kind=InboundKind(rows[0].kind),
        versions=tuple(WrittenVersion(row.text, row.received_at) for row in rows),
        files=tuple(files.values()),
        field=next((row.field for row in reversed(rows) if row.field), ""),
        request_id=next((row.request_id for row in reversed(rows) if row.request_id is not None), None),
        is_last=session.execute(since.limit(1)).first() is None,
    )


def mark_deleted(
    session: Session, chat_id: int, message_key: str, at: datetime, *, through: str, now: datetime
) -> None:
    """Keep that its author took the message back at that moment; the words stay for staff."""
    rows = session.execute(
        update(Message)
        .where(*_of_message(chat_id, message_key), col(Message.deleted_at).is_(None))
        .values(deleted_at=at)
        .returning(col(Message.id), col(Message.request_id), col(Message.person_id))
    ).all()
    for request_id, person_id in {(row.request_id, row.person_id) for row in rows}:
        if request_id is None:
            continue
        history.record(
            session, at=now, actor_id=person_id, through=through, action="message_deleted",
            subject=f"request:{request_id}", before=None, after={"messages": sorted(row.id for row in rows)},
        )  # fmt: skip


def was_sent(session: Session, author_id: int | None, words: str, since: datetime) -> bool:
    """Whether these words of a member of staff have gone to a client since then."""
    if author_id is None or not words.strip():
        return False
    query = (
        select(col(Letter.text))
        .where(col(Letter.author_id) == author_id, col(Letter.created_at) >= since)
        .order_by(col(Letter.id))
        .limit(LETTERS_SEARCHED)
    )
    return any(words.strip() in text for text in session.execute(query).scalars())


def _of_message(chat_id: int, message_key: str) -> Sequence[Any]:
    return (
        col(Message.chat_id) == chat_id,
        col(Message.message_key) == message_key,
        # As the partial index says it, so that it answers.
        literal_column("message.message_key != ''"),
        col(Message.direction) == "in",
    )
