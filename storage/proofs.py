"""What became of what was said to somebody: every chat it was sent to, and which copy counts.

Reads only. A letter and its copies are one message to the person, however many chats it took.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, String, cast, exists, func, literal_column, or_, select
from sqlmodel import Session, col

from storage.models import CallTask, Chat, History, Letter

ALIVE = ("todo", "doing", "sent")


@dataclass(frozen=True, slots=True)
class Step:
    """One copy. `state` is todo, doing, sent, delivered, read, failed or superseded, `at` since when."""

    channel: str
    state: str
    at: datetime | None
    reason: str = ""
    attempts: int = 0
    counts: bool = False


@dataclass(frozen=True, slots=True)
class CallProof:
    """The call about what did not arrive; open without `done_at`."""

    done_at: datetime | None
    outcome: str


class Fate(Protocol):
    """What a stored letter says about itself."""

    id: int | None
    state: str
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    reason: str
    attempts: int


def which_counts(copies: Sequence[Fate]) -> int | None:
    """The place of the one copy that counts: the first that has arrived, else the last that went out."""
    arrived = [(copy.delivered_at, place) for place, copy in enumerate(copies) if copy.delivered_at]
    if arrived:
        return min(arrived)[1]
    gone_out = [place for place, copy in enumerate(copies) if copy.state == "sent"]
    return gone_out[-1] if gone_out else None


def trail(copies: Sequence[Fate], channels: Sequence[str]) -> tuple[Step, ...]:
    """The copies of one message in their order; `channels` are those of their chats."""
    counting = which_counts(copies)
    steps = []
    for place, (copy, channel) in enumerate(zip(copies, channels, strict=True)):
        state, at = _state_of(copy)
        steps.append(Step(channel, state, at, copy.reason, copy.attempts, counts=place == counting))
    return tuple(steps)


def _state_of(copy: Fate) -> tuple[str, datetime | None]:
    if copy.state != "sent":
        return copy.state, None
    if copy.read_at is not None:
        return "read", copy.read_at
    if copy.delivered_at is not None:
        return "delivered", copy.delivered_at
    return "sent", copy.sent_at


def trails(session: Session, roots: Collection[int]) -> dict[int, tuple[Step, ...]]:
    """The trail of each of these messages, by its first letter."""
    if not roots:
        return {}
    found = session.execute(
        select(Letter, col(Chat.channel))
        .outerjoin(Chat, col(Chat.id) == col(Letter.chat_id))
        .where(or_(col(Letter.id).in_(roots), col(Letter.replaces_id).in_(roots)))
        .order_by(col(Letter.id))
    )
    copies: dict[int, list[tuple[Letter, str]]] = {}
    for letter, channel in found:
        copies.setdefault(letter.replaces_id or letter.id or 0, []).append((letter, channel or ""))
    return {
        root: trail([letter for letter, _channel in group], [channel for _letter, channel in group])
        for root, group in copies.items()
    }


def calls_about(session: Session, roots: Iterable[int]) -> dict[int, CallProof]:
    """The calls about these messages, by the first letter."""
    found = session.execute(
        select(col(CallTask.letter_id), col(CallTask.done_at), col(CallTask.outcome)).where(
            col(CallTask.letter_id).in_(list(roots))
        )
    )
    return {letter_id: CallProof(done_at, outcome) for letter_id, done_at, outcome in found}


def nothing_arrived() -> ColumnElement[bool]:
    """Of a failed letter: no copy of it has gone out, and nobody has got through by telephone."""
    copy = Letter.__table__.alias("copy")  # type: ignore[attr-defined]
    root = func.coalesce(col(Letter.replaces_id), col(Letter.id))
    alive = exists().where(or_(copy.c.id == root, copy.c.replaces_id == root), copy.c.state.in_(ALIVE))
    told = exists().where(col(CallTask.letter_id) == root, col(CallTask.done_at).is_not(None))
    return ~alive & ~told


def unheard_calls(session: Session, since: datetime) -> int:
    """How many clients have called for a person since then and reached nobody's chat."""
    query = select(func.count()).select_from(History).where(col(History.at) >= since, reached_nobody())
    return int(session.execute(query).scalar_one())


def reached_nobody() -> ColumnElement[bool]:
    """Lines of the history about calls for a person of which nobody was told."""
    return (col(History.action) == literal_column("'human_called'")) & (
        cast(col(History.after), String).contains('"told":0', autoescape=True)
    )
