"""The machine's own figures: what waits, what was delivered, what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlmodel import Session, col

from notifications.outbox import LetterState
from storage.models import Chat, InboxEvent, Letter, Request
from storage.postoffice import oldest_waiting

LOOK_BACK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Figures:
    """Letters count by (channel, state) over the last week; ages are in seconds."""

    letters: Mapping[tuple[str, str], int]
    requests: Mapping[str, int]
    last_inbound: Mapping[str, datetime]
    last_delivered: Mapping[str, datetime]
    oldest_letter_seconds: Mapping[str, int]
    failed_messages: int
    """Messages of the last day that the program could not process."""


def figures(session: Session, now: datetime) -> Figures:
    """Read everything the health page and the metrics show."""
    since = now - timedelta(days=LOOK_BACK_DAYS)
    letters = session.execute(
        select(col(Chat.channel), col(Letter.state), func.count(), func.max(col(Letter.sent_at)))
        .join(Chat, col(Chat.id) == col(Letter.chat_id))
        .where(col(Letter.created_at) > since)
        .group_by(col(Chat.channel), col(Letter.state))
    ).all()
    requests = session.execute(select(col(Request.status), func.count()).group_by(col(Request.status))).all()
    inbound = session.execute(
        select(col(Chat.channel), func.max(col(Chat.last_inbound_at))).group_by(col(Chat.channel))
    ).all()
    failed = session.execute(
        select(func.count())
        .select_from(InboxEvent)
        .where(col(InboxEvent.state) == "failed", col(InboxEvent.received_at) > now - timedelta(days=1))
    ).scalar_one()
    return Figures(
        letters={(channel, state): count for channel, state, count, _at in letters},
        requests=dict(requests),
        last_inbound={channel: at for channel, at in inbound if at is not None},
        last_delivered={
            channel: at
            for channel, state, _count, at in letters
            if state == LetterState.SENT.value and at is not None
        },
        oldest_letter_seconds={
            item.channel: max(0, int((now - item.since).total_seconds()))
            for item in oldest_waiting(session, now)
        },
        failed_messages=failed,
    )
