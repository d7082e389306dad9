"""The outbox in the database: leasing due letters in the order of their chats, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, Update, and_, bindparam, case, exists, func, or_, select, update
from sqlmodel import Session

from notifications.outbox import Letter, LetterState, Settlement
from storage.letters import LEASE_SECONDS, ChatAddress, letter_of
from storage.models import Chat
from storage.models import Letter as LetterRow

_letter: Table = LetterRow.__table__  # type: ignore[attr-defined]
_chat: Table = Chat.__table__  # type: ignore[attr-defined]

_TODO, _DOING = LetterState.TODO.value, LetterState.DOING.value
_COLUMNS = ("id", "key", "chat_id", "text", "rows", "files", "attempts", "urgent", "created_at")


@dataclass(frozen=True, slots=True)
class OldestWaiting:
    """The letter that has waited longest to leave, for the health page."""

    channel: str
    since: datetime


def claim(
    session: Session, owner: str, channels: Collection[str], limit: int, now: datetime, *,
    per_chat: int = 1, urgent_only: bool = False,
) -> tuple[Letter, ...]:  # fmt: skip
    """Lease due letters to `owner`, the letters of a chat together and in order, at most `per_chat`.

    Chats with an urgent letter come first, then the oldest. Nothing overtakes an earlier letter of its
    chat that is not due yet or is leased to another process.
    """
    session.execute(
        update(_letter)
        .where(_letter.c.state == _DOING, _letter.c.lease_until < now)
        .values(state=_TODO, lease_owner="", lease_until=None)
    )
    chat_ids = _due_chats(session, owner, channels, limit, now, urgent_only=urgent_only)
    if not chat_ids:
        return ()
    place = func.row_number().over(partition_by=_letter.c.chat_id, order_by=_letter.c.id).label("place")
    due = (
        select(_letter.c.id, _letter.c.chat_id, place)
        .where(_letter.c.chat_id.in_(chat_ids), *_is_due(now), ~_held_up(owner, now))
        .subquery()
    )
    found = session.execute(
        select(due.c.id, due.c.chat_id).where(due.c.place <= per_chat).order_by(due.c.id)
    ).all()
    order = {chat_id: number for number, chat_id in enumerate(chat_ids)}
    letter_ids = [
        letter_id for letter_id, _chat_id in sorted(found, key=lambda row: (order[row[1]], row[0]))
    ][:limit]
    session.execute(
        update(_letter)
        .where(_letter.c.id.in_(letter_ids))
        .values(state=_DOING, lease_owner=owner, lease_until=now + timedelta(seconds=LEASE_SECONDS))
    )
    return _read(session, letter_ids)


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (_letter.c.state == _TODO, _letter.c.not_before <= now)


def _held_up(owner: str, now: datetime) -> ColumnElement[bool]:
    """Whether an earlier letter of the chat must go first and cannot go now."""
    earlier = _letter.alias("earlier")
    return exists().where(
        and_(
            earlier.c.chat_id == _letter.c.chat_id,
            earlier.c.id < _letter.c.id,
            or_(
                and_(earlier.c.state == _TODO, earlier.c.not_before > now),
                and_(earlier.c.state == _DOING, earlier.c.lease_owner != owner),
            ),
        )
    )


def _due_chats(
    session: Session, owner: str, channels: Collection[str], limit: int, now: datetime, *, urgent_only: bool
) -> list[int]:
    urgency = func.max(case((_letter.c.urgent, 1), else_=0))
    query = (
        select(_letter.c.chat_id)
        .join(_chat, _chat.c.id == _letter.c.chat_id)
        .where(*_is_due(now), _chat.c.channel.in_(list(channels)), ~_held_up(owner, now))
        .group_by(_letter.c.chat_id)
        .order_by(urgency.desc(), func.min(_letter.c.id))
        .limit(limit)
    )
    if urgent_only:
        query = query.having(urgency == 1)
    chat_ids = list(session.execute(query).scalars())
    if session.get_bind().dialect.name == "postgresql":
        # Two processes must not lease letters of one chat at once: whoever holds its row goes first.
        # Letters may be posted to it meanwhile (key_share).
        locked = (
            select(_chat.c.id)
            .where(_chat.c.id.in_(chat_ids))
            .with_for_update(skip_locked=True, key_share=True)
        )
        mine = set(session.execute(locked).scalars())
        return [chat_id for chat_id in chat_ids if chat_id in mine]
    return chat_ids


def _read(session: Session, letter_ids: Sequence[int]) -> tuple[Letter, ...]:
    columns = [_letter.c[name] for name in _COLUMNS]
    found = session.execute(
        select(*columns, _chat.c.channel, _chat.c.chat_key, _chat.c.last_inbound_at)
        .join(_chat, _chat.c.id == _letter.c.chat_id)
        .where(_letter.c.id.in_(letter_ids))
        .order_by(_letter.c.id)
    )
    letters = []
    for values in found:
        row = dict(zip(_COLUMNS, values, strict=False))
        channel, chat_key, last_inbound_at = values[len(_COLUMNS) :]
        address = ChatAddress(row["chat_id"], channel, chat_key, last_inbound_at=last_inbound_at)
        letters.append(letter_of(row["id"], row, address))
    place = {letter_id: number for number, letter_id in enumerate(letter_ids)}
    return tuple(sorted(letters, key=lambda letter: place[letter.letter_id]))


def release_all(session: Session) -> None:
    """Give back every lease: at start-up on SQLite, where nobody else can be sending."""
    session.execute(
        update(_letter).where(_letter.c.state == _DOING).values(state=_TODO, lease_owner="", lease_until=None)
    )


def settle(session: Session, owner: str, settlements: Sequence[Settlement]) -> None:
    """Write down what became of letters that were leased to `owner`, one statement for each new state.

    Settling again changes nothing. A letter whose lease has gone to another process is not given back;
    that it was sent is a fact whatever was written meanwhile.
    """
    for state, may_change in _guards(owner).items():
        concluded = sorted(
            (item for item in settlements if item.state is state), key=lambda item: item.letter_id
        )
        if concluded:
            session.connection().execute(
                _conclusion(state).where(may_change), [_values(item) for item in concluded]
            )
    released = sorted({letter_id for item in settlements for letter_id in item.releases})
    if released:
        session.connection().execute(
            update(_letter)
            .where(_letter.c.id.in_(released), _is_ours(owner))
            .values(state=_TODO, **_NO_LEASE)
        )
    blocked = {item.chat_id: item.at for item in settlements if item.chat_blocked}
    if blocked:
        # A person who has written since is there again.
        silent = or_(_chat.c.last_inbound_at.is_(None), _chat.c.last_inbound_at <= bindparam("b_at"))
        session.connection().execute(
            update(_chat).where(_chat.c.id == bindparam("b_id"), silent).values(blocked_at=bindparam("b_at")),
            [{"b_id": chat_id, "b_at": at} for chat_id, at in sorted(blocked.items())],
        )


_NO_LEASE = {"lease_owner": "", "lease_until": None}


def _is_ours(owner: str) -> ColumnElement[bool]:
    return and_(_letter.c.state == _DOING, _letter.c.lease_owner == owner)


def _guards(owner: str) -> dict[LetterState, ColumnElement[bool]]:
    unfinished = or_(_letter.c.state == _TODO, _letter.c.state == _DOING)
    return {
        LetterState.SENT: _letter.c.state != LetterState.SENT.value,
        LetterState.FAILED: unfinished,
        LetterState.SUPERSEDED: unfinished,
        LetterState.TODO: _is_ours(owner),
    }


def _conclusion(state: LetterState) -> Update:
    values: dict[str, Any] = {
        "state": state.value,
        "reason": bindparam("b_reason"),
        "attempts": bindparam("b_attempts"),
        **_NO_LEASE,
    }
    if state is LetterState.SENT:
        values |= {"message_key": bindparam("b_message_key"), "sent_at": bindparam("b_at")}
    if state is LetterState.TODO:
        values["not_before"] = bindparam("b_not_before")
    return update(_letter).where(_letter.c.id == bindparam("b_id")).values(**values)


def _values(item: Settlement) -> dict[str, Any]:
    values: dict[str, Any] = {
        "b_id": item.letter_id,
        "b_reason": item.reason[:500],
        "b_attempts": item.attempts,
    }
    if item.state is LetterState.SENT:
        values |= {"b_message_key": item.message_key[:200], "b_at": item.at}
    if item.state is LetterState.TODO:
        values["b_not_before"] = item.not_before or item.at
    return values


def oldest_waiting(session: Session, now: datetime) -> tuple[OldestWaiting, ...]:
    """Per messenger, the due letter that has waited longest."""
    found = session.execute(
        select(_chat.c.channel, func.min(_letter.c.created_at))
        .join(_chat, _chat.c.id == _letter.c.chat_id)
        .where(or_(_letter.c.state == _TODO, _letter.c.state == _DOING), _letter.c.not_before <= now)
        .group_by(_chat.c.channel)
    )
    return tuple(OldestWaiting(channel, since) for channel, since in found)
