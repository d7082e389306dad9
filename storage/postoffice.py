"""The outbox in the database: leasing due letters in the order of their chats, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    TextClause,
    Update,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Session

from notifications.outbox import Letter, LetterState, Settlement
from storage.letters import LEASE_SECONDS, ChatAddress, letter_of
from storage.models import Chat
from storage.models import Letter as LetterRow

_letter: Table = LetterRow.__table__  # type: ignore[attr-defined]
_chat: Table = Chat.__table__  # type: ignore[attr-defined]

_TODO, _DOING = LetterState.TODO.value, LetterState.DOING.value
_COLUMNS = ("id", "key", "chat_id", "text", "rows", "files", "attempts", "urgent", "created_at")
_NO_LEASE = {"lease_owner": "", "lease_until": None}

# The statements are built once: building one costs ten times more than running it.

# In all that look for letters stands, word for word, the condition of the partial index of the unfinished
# ones: a bound state would prove nothing, and every claim would read all letters ever sent.

_unfinished = text("letter.state in ('todo', 'doing')")
_now = bindparam("b_now", type_=_letter.c.not_before.type)
_owner = bindparam("b_owner", type_=_letter.c.lease_owner.type)
_limit = bindparam("b_limit", type_=Integer())
_chats: BindParameter[Any] = bindparam("b_chats", expanding=True)
_letters: BindParameter[Any] = bindparam("b_letters", expanding=True)

_blocker = _letter.alias("blocker")
_held_up = (
    select(_blocker.c.chat_id, func.min(_blocker.c.id).label("from_id"))
    .where(
        text("blocker.state in ('todo', 'doing')"),
        or_(
            and_(_blocker.c.state == _TODO, _blocker.c.not_before > _now),
            and_(_blocker.c.state == _DOING, _blocker.c.lease_owner != _owner),
        ),
    )
    .group_by(_blocker.c.chat_id)
    .subquery("held_up")
)
"""The chats with a letter that must go first and cannot go now: nothing behind it may go."""
_is_due = and_(_unfinished, _letter.c.state == _TODO, _letter.c.not_before <= _now)

_EXPIRE_LEASES = (
    update(_letter)
    .where(_unfinished, _letter.c.state == _DOING, _letter.c.lease_until < _now)
    .values(state=_TODO, **_NO_LEASE)
)
_VOID_LEASES = (
    update(_letter)
    .where(
        _unfinished,
        _letter.c.state == _DOING,
        or_(
            _letter.c.lease_until < _now,
            and_(
                _letter.c.lease_owner != _owner,
                exists().where(
                    _chat.c.id == _letter.c.chat_id,
                    _chat.c.channel.concat("").in_(bindparam("b_channels", expanding=True)),
                ),
            ),
        ),
    )
    .values(state=_TODO, **_NO_LEASE)
)
_urgency = func.max(case((_letter.c.urgent, 1), else_=0))
_DUE_CHATS = (
    select(_letter.c.chat_id)
    .select_from(
        _letter.join(_chat, _chat.c.id == _letter.c.chat_id).outerjoin(
            _held_up, _held_up.c.chat_id == _letter.c.chat_id
        )
    )
    .where(
        _is_due,
        or_(_held_up.c.from_id.is_(None), _letter.c.id < _held_up.c.from_id),
        # Not by the index of channels: there are more chats than unfinished letters.
        _chat.c.channel.concat("").in_(bindparam("b_channels", expanding=True)),
        # What waits for a closed chat is about to go to the person's next one.
        _chat.c.blocked_at.is_(None),
    )
    .group_by(_letter.c.chat_id)
    .order_by(_urgency.desc(), func.min(_letter.c.id))
    .limit(_limit)
)
_URGENT_CHATS = _DUE_CHATS.having(_urgency == 1)
_LOCK_CHATS = (
    select(_chat.c.id).where(_chat.c.id.in_(_chats)).with_for_update(skip_locked=True, key_share=True)
)
_FROM_UNFINISHED = {
    # SQLite would take another index that begins with the chat, and with it all its letters ever sent.
    "sqlite": text("letter indexed by ix_letter_unfinished"),
    "postgresql": text("letter"),
}
_id, _chat_id, _state, _not_before, _lease_owner = (
    column(each.name, each.type)
    for each in (_letter.c[name] for name in ("id", "chat_id", "state", "not_before", "lease_owner"))
)
_of_chats = (_chat_id.in_(_chats), text("state in ('todo', 'doing')"))
_HELD_UP_FROM: dict[str, Select[Any]] = {
    dialect: select(_chat_id, func.min(_id))
    .select_from(letters)
    .where(
        *_of_chats,
        or_(
            and_(_state == _TODO, _not_before > _now),
            and_(_state == _DOING, _lease_owner != _owner),
        ),
    )
    .group_by(_chat_id)
    for dialect, letters in _FROM_UNFINISHED.items()
}


def _due_letters(letters: TextClause) -> Select[Any]:
    place = func.row_number().over(partition_by=_chat_id, order_by=_id).label("place")
    due = (
        select(_id, _chat_id, place)
        .select_from(letters)
        .where(*_of_chats, _state == _TODO, _not_before <= _now)
        .subquery("due")
    )
    return select(due.c.id, due.c.chat_id).where(due.c.place <= bindparam("b_per_chat"))


_DUE_LETTERS = {dialect: _due_letters(letters) for dialect, letters in _FROM_UNFINISHED.items()}
_LEASE = (
    update(_letter)
    .where(_letter.c.id.in_(_letters))
    .values(state=_DOING, lease_owner=_owner, lease_until=bindparam("b_until"))
)
_READ = (
    select(
        *(_letter.c[name] for name in _COLUMNS), _chat.c.channel, _chat.c.chat_key, _chat.c.last_inbound_at
    )
    .join(_chat, _chat.c.id == _letter.c.chat_id)
    .where(_letter.c.id.in_(_letters))
)


_is_ours = and_(_letter.c.state == _DOING, _letter.c.lease_owner == _owner)
_is_unfinished = or_(_letter.c.state == _TODO, _letter.c.state == _DOING)
_OUTCOME: dict[str, Any] = {"reason": bindparam("b_reason"), "attempts": bindparam("b_attempts"), **_NO_LEASE}


def _conclusion(state: LetterState, may_change: ColumnElement[bool], **values: Any) -> Update:
    return (
        update(_letter)
        .where(_letter.c.id == bindparam("b_id"), may_change)
        .values(state=state.value, **_OUTCOME, **values)
    )


_CONCLUDE = {
    LetterState.SENT: _conclusion(
        LetterState.SENT,
        _letter.c.state != LetterState.SENT.value,
        message_key=bindparam("b_message_key"),
        sent_at=bindparam("b_at"),
    ),
    LetterState.FAILED: _conclusion(LetterState.FAILED, _is_unfinished),
    LetterState.SUPERSEDED: _conclusion(LetterState.SUPERSEDED, _is_unfinished),
    LetterState.TODO: _conclusion(LetterState.TODO, _is_ours, not_before=bindparam("b_not_before")),
}
_RELEASE = update(_letter).where(_letter.c.id.in_(_letters), _is_ours).values(state=_TODO, **_NO_LEASE)
_TRIED_LONG = 4
"""After so many attempts a letter waits a minute and more: `notifications.verdicts.BACK_OFF_SECONDS`."""
_HURRY = (
    update(_letter)
    .where(
        _unfinished,
        _letter.c.state == _TODO,
        _letter.c.not_before > _now,
        _letter.c.attempts >= _TRIED_LONG,
        _letter.c.chat_id.in_(
            select(_chat.c.id).where(_chat.c.channel.in_(bindparam("b_channels", expanding=True)))
        ),
    )
    .values(not_before=_now)
)
# A person who has written since is there again.
_BLOCK = (
    update(_chat)
    .where(
        _chat.c.id == bindparam("b_id"),
        or_(_chat.c.last_inbound_at.is_(None), _chat.c.last_inbound_at <= bindparam("b_at")),
    )
    .values(blocked_at=bindparam("b_at"))
)
_OLDEST_WAITING = (
    select(_chat.c.channel, func.min(_letter.c.created_at))
    .join(_chat, _chat.c.id == _letter.c.chat_id)
    .where(_unfinished, _letter.c.not_before <= _now)
    .group_by(_chat.c.channel)
)


@dataclass(frozen=True, slots=True)
class OldestWaiting:
    """The letter that has waited longest to leave, for the health page."""

    channel: str
    since: datetime


def claim(
    session: Session, owner: str, channels: Collection[str], limit: int, now: datetime, *,
    per_chat: int = 1, urgent_only: bool = False, alone: bool = False,
) -> tuple[Letter, ...]:  # fmt: skip
    """Lease due letters to `owner`, the letters of a chat together and in order, at most `per_chat`.

    Chats with an urgent letter come first, then the oldest. Nothing overtakes an earlier letter of its
    chat that is not due yet or is leased to another process. `alone` says that nobody else sends to these
    messengers any more: what was leased to others comes free at once.
    """
    connection = session.connection()
    if alone:
        connection.execute(_VOID_LEASES, {"b_now": now, "b_owner": owner, "b_channels": list(channels)})
    else:
        connection.execute(_EXPIRE_LEASES, {"b_now": now})
    chat_ids = _due_chats(connection, owner, channels, limit, now, urgent_only=urgent_only)
    if not chat_ids:
        return ()
    # Only now, when nobody else can lease letters of these chats.
    dialect, moment = connection.dialect.name, {"b_chats": chat_ids, "b_now": now}
    held_up = connection.execute(_HELD_UP_FROM[dialect], {**moment, "b_owner": owner})
    held_up_from = {chat_id: letter_id for chat_id, letter_id in held_up}  # noqa: C416 - not pairs to mypy
    place = {chat_id: number for number, chat_id in enumerate(chat_ids)}
    found = sorted(
        (place[chat_id], letter_id)
        for letter_id, chat_id in connection.execute(
            _DUE_LETTERS[dialect], {**moment, "b_per_chat": per_chat}
        )
        if letter_id < held_up_from.get(chat_id, math.inf)
    )
    letter_ids = [letter_id for _place, letter_id in found[:limit]]
    until = now + timedelta(seconds=LEASE_SECONDS)
    connection.execute(_LEASE, {"b_letters": letter_ids, "b_owner": owner, "b_until": until})
    return _read(connection, letter_ids)


def _due_chats(
    connection: Connection, owner: str, channels: Collection[str], limit: int, now: datetime, *,
    urgent_only: bool,
) -> list[int]:  # fmt: skip
    wanted = {"b_channels": list(channels), "b_limit": limit, "b_now": now, "b_owner": owner}
    chat_ids = list(connection.execute(_URGENT_CHATS if urgent_only else _DUE_CHATS, wanted).scalars())
    if connection.dialect.name == "postgresql":
        # Two processes must not lease letters of one chat at once: whoever holds its row goes first.
        # Letters may be posted to it meanwhile (key_share).
        mine = set(connection.execute(_LOCK_CHATS, {"b_chats": chat_ids}).scalars())
        return [chat_id for chat_id in chat_ids if chat_id in mine]
    return chat_ids


def _read(connection: Connection, letter_ids: Sequence[int]) -> tuple[Letter, ...]:
    letters = {}
    for values in connection.execute(_READ, {"b_letters": letter_ids}):
        row = dict(zip(_COLUMNS, values, strict=False))
        channel, chat_key, last_inbound_at = values[len(_COLUMNS) :]
        address = ChatAddress(row["chat_id"], channel, chat_key, last_inbound_at=last_inbound_at)
        letters[row["id"]] = letter_of(row["id"], row, address)
    return tuple(letters[letter_id] for letter_id in letter_ids)


def void_leases(session: Session, channel: str, now: datetime) -> None:
    """Give back what is leased for this messenger, to whom ever: by who begins to send to it alone."""
    session.connection().execute(_VOID_LEASES, {"b_now": now, "b_owner": "", "b_channels": [channel]})


def hurry(session: Session, channels: Collection[str], now: datetime) -> None:
    """Make due what waits long because these messengers did not answer: they do again.

    How many leave in a second is not ours to decide; what waits shortly may have been told to.
    """
    session.connection().execute(_HURRY, {"b_channels": list(channels), "b_now": now})


def settle(session: Session, owner: str, settlements: Sequence[Settlement]) -> None:
    """Write down what became of letters that were leased to `owner`, one statement for each new state.

    Settling again changes nothing. A letter whose lease has gone to another process is not given back;
    that it was sent is a fact whatever was written meanwhile.
    """
    connection = session.connection()
    for state, conclude in _CONCLUDE.items():
        concluded = sorted(
            (item for item in settlements if item.state is state), key=lambda item: item.letter_id
        )
        if concluded:
            connection.execute(conclude, [_values(item, owner) for item in concluded])
    released = sorted({letter_id for item in settlements for letter_id in item.releases})
    if released:
        connection.execute(_RELEASE, {"b_letters": released, "b_owner": owner})
    blocked = {item.chat_id: item.at for item in settlements if item.chat_blocked}
    if blocked:
        connection.execute(_BLOCK, [{"b_id": chat_id, "b_at": at} for chat_id, at in sorted(blocked.items())])


def _values(item: Settlement, owner: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "b_id": item.letter_id,
        "b_reason": item.reason[:500],
        "b_attempts": item.attempts,
    }
    if item.state is LetterState.SENT:
        values |= {"b_message_key": item.message_key[:200], "b_at": item.at}
    if item.state is LetterState.TODO:
        values |= {"b_not_before": item.not_before or item.at, "b_owner": owner}
    return values


def oldest_waiting(session: Session, now: datetime) -> tuple[OldestWaiting, ...]:
    """Per messenger, the due letter that has waited longest."""
    found = session.connection().execute(_OLDEST_WAITING, {"b_now": now})
    return tuple(OldestWaiting(channel, since) for channel, since in found)
