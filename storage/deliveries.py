"""What messengers tell about letters that they had taken: delivered, read, or failed after all.

Such news comes twice, in any order, and now and then before we have written down that the letter was
sent. None of this changes the result: a letter that has arrived has arrived.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update, and_, bindparam, case, delete, func, or_, select, text, update
from sqlmodel import Session

from forms.messages import Delivery, DeliveryState
from forms.texts import Text, _
from notifications.outbox import LetterState, Settlement
from storage.calls import call_done
from storage.dialects import in_both
from storage.house import House
from storage.models import metadata

KEPT_FOR = timedelta(days=1)
"""So long news about a message that we do not know (yet) is kept: parts of a long letter have none."""
READ_WITHIN = timedelta(days=60)
"""A look into a chat reads what was sent to it so long before."""
_EARLY = "early:"
_SWEPT_AT_ONCE = 1000
MAX_KEY_LENGTH = 200
MAX_REASON_LENGTH = 500

_letter = metadata.tables["letter"]
_chat = metadata.tables["chat"]
_setting = metadata.tables["setting"]
_call = metadata.tables["call_task"]

_SENT, _FAILED = LetterState.SENT.value, LetterState.FAILED.value

_FIND = select(_letter.c.id, _letter.c.chat_id, _letter.c.message_key).where(
    _letter.c.chat_id.in_(bindparam("chats", expanding=True)),
    _letter.c.message_key.in_(bindparam("keys", expanding=True)),
    # Word for word the condition of the partial index, or it would not be used.
    text("letter.message_key != ''"),
)
_moment = _letter.c.read_at.type
_had_failed = _letter.c.state == _FAILED
_ARRIVED = (
    update(_letter)
    .where(_letter.c.id == bindparam("b_id"))
    .values(
        delivered_at=func.coalesce(_letter.c.delivered_at, bindparam("b_at", type_=_moment)),
        read_at=func.coalesce(_letter.c.read_at, bindparam("b_read", type_=_moment)),
        state=case((_had_failed, _SENT), else_=_letter.c.state),
        reason=case((_had_failed, ""), else_=_letter.c.reason),
    )
)  # fmt: skip
_READ_BEFORE = (
    update(_letter)
    .where(
        _letter.c.chat_id == bindparam("b_chat"),
        _letter.c.id < bindparam("b_id"),
        # What is older and unread stays so: a chat's years are not walked for every look into it.
        _letter.c.created_at > bindparam("b_since", type_=_moment),
        _letter.c.state == _SENT,
        _letter.c.read_at.is_(None),
    )
    .values(
        read_at=bindparam("b_at", type_=_moment),
        delivered_at=func.coalesce(_letter.c.delivered_at, bindparam("b_at", type_=_moment)),
    )
)
_FAILED_AFTER_ALL = (
    update(_letter)
    .where(
        _letter.c.id == bindparam("b_id"),
        _letter.c.state == _SENT,
        _letter.c.delivered_at.is_(None),
        _letter.c.read_at.is_(None),
    )
    .values(state=_FAILED, reason=bindparam("b_reason"))
)
_BLOCK = (
    update(_chat)
    .where(
        _chat.c.id == bindparam("b_id"),
        # A person who has written since is there again.
        or_(_chat.c.last_inbound_at.is_(None), _chat.c.last_inbound_at <= bindparam("b_at")),
    )
    .values(blocked_at=func.coalesce(_chat.c.blocked_at, bindparam("b_at", type_=_moment)))
)
_KEEP_EARLY = in_both(lambda insert_in: insert_in(_setting).on_conflict_do_nothing(index_elements=["key"]))
_TAKE_EARLY = (
    delete(_setting).where(_setting.c.key.in_(bindparam("keys", expanding=True))).returning(_setting.c.value)
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a messenger says about its message of that key in one of our chats. `at` is aware UTC."""

    chat_id: int
    message_key: str
    delivery: Delivery
    at: datetime


@dataclass(frozen=True, slots=True)
class Undelivered:
    """What has to be delivered in another way: letters that failed, chats that are closed."""

    letter_ids: tuple[int, ...] = ()
    blocked_chat_ids: tuple[int, ...] = ()


@dataclass(slots=True)
class _News:
    """The news of one batch by what they say."""

    arrived: list[dict[str, Any]] = field(default_factory=list)
    read: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)


def take_in(session: Session, house: House, told: Sequence[Told], now: datetime) -> Undelivered:
    """Write down what messengers tell, one statement for each kind of news.

    News about messages that we do not know yet waits until they are settled.
    """
    told = [replace(each, message_key=each.message_key[:MAX_KEY_LENGTH]) for each in told if each.message_key]
    letters = _letters_of(session, told)
    _keep_early(session, [each for each in told if (each.chat_id, each.message_key) not in letters], now)
    return _write(session, house, told, letters, now)


def settled(session: Session, house: House, settlements: Sequence[Settlement], now: datetime) -> Undelivered:
    """Apply the news that were quicker than our own knowledge that the letter was sent."""
    keys = [
        key
        for item in settlements
        if item.state is LetterState.SENT and item.message_key
        for key in _early_keys(item.chat_id, item.message_key[:MAX_KEY_LENGTH])
    ]
    return _take_early(session, house, keys, now)


def sweep_early(session: Session, house: House, now: datetime) -> Undelivered:
    """Apply news that slipped in while another process was settling, and forget what is too old."""
    forgotten = delete(_setting).where(
        _setting.c.key.like(f"{_EARLY}%"), _setting.c.updated_at < now - KEPT_FOR
    )
    session.connection().execute(forgotten)
    found = session.connection().execute(
        select(_setting.c.value)
        .where(_setting.c.key.like(f"{_EARLY}%"))
        .order_by(_setting.c.updated_at.desc(), _setting.c.key)
        .limit(_SWEPT_AT_ONCE)
    )
    told = [_told(value) for (value,) in found]
    letters = _letters_of(session, told)
    keys = [
        key
        for each in told
        if (each.chat_id, each.message_key) in letters
        for key in _early_keys(each.chat_id, each.message_key)
    ]
    return _take_early(session, house, keys, now)


def close_answered_calls(session: Session, house: House, roots: Iterable[int], now: datetime) -> None:
    """Nobody has to be telephoned any more about these letters: a copy of each has gone out."""
    waiting = (
        select(_call.c.id)
        .where(_call.c.letter_id.in_(sorted(set(roots))), _call.c.done_at.is_(None))
        .order_by(_call.c.id)
    )
    for (call_id,) in session.connection().execute(waiting).all():
        call_done(session, call_id, None, house.say(_ARRIVED_BY_ITSELF), now)


_ARRIVED_BY_ITSELF = _("сообщение дошло само")
_NO_LONGER_NEEDED: Text = _("дошло в другой чат")


def _letters_of(session: Session, told: Sequence[Told]) -> dict[tuple[int, str], list[int]]:
    if not told:
        return {}
    asked = {
        "chats": sorted({each.chat_id for each in told}),
        "keys": sorted({each.message_key for each in told}),
    }
    letters: dict[tuple[int, str], list[int]] = {}
    for letter_id, chat_id, message_key in session.connection().execute(_FIND, asked):
        letters.setdefault((chat_id, message_key), []).append(letter_id)
    return letters


def _write(
    session: Session,
    house: House,
    told: Sequence[Told],
    letters: Mapping[tuple[int, str], Sequence[int]],
    now: datetime,
) -> Undelivered:
    news = _News()
    for each in sorted(told, key=lambda each: each.at):
        for letter_id in letters.get((each.chat_id, each.message_key), ()):
            _sort(news, each, letter_id)
    connection = session.connection()
    if news.arrived:
        connection.execute(_ARRIVED, news.arrived)
        _drop_needless(session, house, [row["b_id"] for row in news.arrived], now)
    if news.read:
        connection.execute(_READ_BEFORE, news.read)
    failed: tuple[int, ...] = ()
    if news.failed:
        connection.execute(_FAILED_AFTER_ALL, news.failed)
        suspects = select(_letter.c.id).where(
            _letter.c.id.in_([row["b_id"] for row in news.failed]), _had_failed
        )
        failed = tuple(connection.execute(suspects.order_by(_letter.c.id)).scalars())
    return Undelivered(failed, _block(session, told))


def _sort(news: _News, told: Told, letter_id: int) -> None:
    match told.delivery.state:
        case DeliveryState.FAILED:
            news.failed.append({"b_id": letter_id, "b_reason": told.delivery.reason[:MAX_REASON_LENGTH]})
        case DeliveryState.READ:
            news.arrived.append({"b_id": letter_id, "b_at": told.at, "b_read": told.at})
            # Who has read a message has seen those above it; some messengers name only the last.
            since = told.at - READ_WITHIN
            news.read.append({"b_chat": told.chat_id, "b_id": letter_id, "b_at": told.at, "b_since": since})
        case _:
            news.arrived.append({"b_id": letter_id, "b_at": told.at, "b_read": None})


def _block(session: Session, told: Sequence[Told]) -> tuple[int, ...]:
    rows = {each.chat_id: {"b_id": each.chat_id, "b_at": each.at} for each in told if each.delivery.blocked}
    if not rows:
        return ()
    connection = session.connection()
    connection.execute(_BLOCK, [rows[chat_id] for chat_id in sorted(rows)])
    closed = select(_chat.c.id).where(_chat.c.id.in_(list(rows)), _chat.c.blocked_at.is_not(None))
    return tuple(connection.execute(closed.order_by(_chat.c.id)).scalars())


def _drop_needless(session: Session, house: House, letter_ids: Sequence[int], now: datetime) -> None:
    """What has arrived is not sent once more, and nobody is telephoned about it."""
    roots = list(
        session.connection()
        .execute(
            select(func.coalesce(_letter.c.replaces_id, _letter.c.id))
            .where(_letter.c.id.in_(letter_ids))
            .distinct()
        )
        .scalars()
    )
    session.connection().execute(_unsent_copies(roots, house))
    close_answered_calls(session, house, roots, now)


def _unsent_copies(roots: Sequence[int], house: House) -> Update:
    return (
        update(_letter)
        .where(
            or_(_letter.c.replaces_id.in_(roots), _letter.c.id.in_(roots)),
            and_(_letter.c.state == LetterState.TODO.value, _letter.c.delivered_at.is_(None)),
        )
        .values(state=LetterState.SUPERSEDED.value, reason=house.say(_NO_LONGER_NEEDED))
    )


# --- news that came too early --------------------------------------------------------------------


def _early_keys(chat_id: int, message_key: str) -> list[str]:
    digest = hashlib.sha256(message_key.encode()).hexdigest()[:32]
    return [f"{_EARLY}{chat_id}:{digest}:{state.value}" for state in DeliveryState]


def _keep_early(session: Session, told: Sequence[Told], now: datetime) -> None:
    rows = [
        {"key": key, "value": _as_json(each), "updated_at": now}
        for each in told
        for key in _early_keys(each.chat_id, each.message_key)
        if key.endswith(f":{each.delivery.state.value}")
    ]
    if rows:
        connection = session.connection()
        connection.execute(_KEEP_EARLY[connection.dialect.name], rows)


def _take_early(session: Session, house: House, keys: Sequence[str], now: datetime) -> Undelivered:
    if not keys:
        return Undelivered()
    values = session.connection().execute(_TAKE_EARLY, {"keys": list(keys)}).scalars().all()
    told = [_told(value) for value in values]
    return _write(session, house, told, _letters_of(session, told), now)


def _as_json(told: Told) -> str:
    delivery = told.delivery
    kept = {
        "chat_id": told.chat_id, "message_key": told.message_key, "at": told.at.isoformat(),
        "state": delivery.state.value, "reason": delivery.reason[:MAX_REASON_LENGTH],
        "blocked": delivery.blocked, "window_closed": delivery.window_closed,
    }  # fmt: skip
    return json.dumps(kept, ensure_ascii=False)


def _told(value: str) -> Told:
    kept = json.loads(value)
    delivery = Delivery(DeliveryState(kept["state"]), kept["reason"], kept["blocked"], kept["window_closed"])
    return Told(kept["chat_id"], kept["message_key"], delivery, datetime.fromisoformat(kept["at"]))
