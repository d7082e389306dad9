"""The machine's own figures: what waits, what was delivered, what failed, which messenger is too quiet.

Read once a minute and for every visit of the health page, so nothing here grows with the years: the
chats are few, unfinished and failed letters have indexes of their own, of the sent ones only the latest
are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, false, func, literal_column, or_, select
from sqlmodel import Session, col

from notifications.outbox import LetterState
from router.model import Status
from router.worktime import WorkCalendar
from storage.models import Chat, InboxEvent, Letter, Request
from storage.postoffice import oldest_waiting

FAILED_WITHIN_DAYS = 7
LATEST_LETTERS = 2000
SECONDS_PER_HOUR = 3600
USED_WITHIN_DAYS = 14
CHATS_OF_A_BUSY_MESSENGER = 3
RARELY_USED_TIMES = 5
"""Where fewer people write, silence has to last so many times longer to mean something."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What waits and what failed; ages are in seconds."""

    letters: Mapping[tuple[str, str], int]
    """By (channel, state): the unfinished ones, and those that failed in the last week."""
    requests: Mapping[str, int]
    """Those that go on, by status."""
    last_inbound: Mapping[str, datetime]
    last_delivered: Mapping[str, datetime]
    oldest_letter_seconds: Mapping[str, int]
    failed_messages: int
    """Messages of the last day that the program could not process."""
    lively_chats: Mapping[str, int]
    """In how many chats somebody has written in the two weeks before the last message."""

    def silent_seconds(self, channel: str, calendar: WorkCalendar, now: datetime) -> int | None:
        """For how many working seconds nothing has come; None where nothing ever did."""
        last = self.last_inbound.get(channel)
        return None if last is None else calendar.working_seconds(last, now)

    def suspicious_hours(
        self, channel: str, calendar: WorkCalendar, now: datetime, after_hours: int
    ) -> int | None:
        """For how many working hours nothing has come, if that is longer than it should be.

        `after_hours` is meant for a busy messenger.
        """
        silent_hours = (self.silent_seconds(channel, calendar, now) or 0) // SECONDS_PER_HOUR
        is_busy = self.lively_chats.get(channel, 0) >= CHATS_OF_A_BUSY_MESSENGER
        return silent_hours if silent_hours >= after_hours * (1 if is_busy else RARELY_USED_TIMES) else None


def figures(session: Session, now: datetime) -> Figures:
    """Read everything the health page and the metrics show."""
    last_inbound = _last_inbound(session)
    requests = session.execute(
        select(col(Request.status), func.count())
        # Those that have ended are as many as the years; nobody waits for them.
        .where(col(Request.status).in_([status.value for status in Status if status.is_open]))
        .group_by(col(Request.status))
    ).all()
    return Figures(
        letters=_letters(session, now),
        requests={status: count for status, count in requests},  # noqa: C416 - rows are not pairs to mypy
        last_inbound=last_inbound,
        last_delivered=_last_delivered(session),
        oldest_letter_seconds={
            item.channel: max(0, int((now - item.since).total_seconds()))
            for item in oldest_waiting(session, now)
        },
        failed_messages=_failed_messages(session, now),
        lively_chats=_lively_chats(session, last_inbound),
    )


def _last_inbound(session: Session) -> dict[str, datetime]:
    query = select(col(Chat.channel), func.max(col(Chat.last_inbound_at))).group_by(col(Chat.channel))
    return {channel: at for channel, at in session.execute(query) if at is not None}


def _lively_chats(session: Session, last_inbound: Mapping[str, datetime]) -> dict[str, int]:
    # Before the last message, not before now: else a messenger would be forgotten by being silent.
    lively = [
        and_(col(Chat.channel) == channel, col(Chat.last_inbound_at) > at - timedelta(days=USED_WITHIN_DAYS))
        for channel, at in last_inbound.items()
    ]
    query = select(col(Chat.channel), func.count()).where(or_(false(), *lively)).group_by(col(Chat.channel))
    return {channel: count for channel, count in session.execute(query)}  # noqa: C416 - rows, to mypy


def _letters(session: Session, now: datetime) -> dict[tuple[str, str], int]:
    by_channel = (
        select(col(Chat.channel), col(Letter.state), func.count())
        .join(Chat, col(Chat.id) == col(Letter.chat_id))
        .group_by(col(Chat.channel), col(Letter.state))
    )
    # Word for word the conditions of the partial indexes, or they would not be used.
    unfinished = by_channel.where(literal_column("letter.state in ('todo', 'doing')"))
    failed = by_channel.where(
        literal_column("letter.state = 'failed'"),
        col(Letter.created_at) > now - timedelta(days=FAILED_WITHIN_DAYS),
    )
    return {
        (channel, state): count
        for query in (unfinished, failed)
        for channel, state, count in session.execute(query)
    }


def _last_delivered(session: Session) -> dict[str, datetime]:
    newest = session.execute(select(func.max(col(Letter.id)))).scalar_one() or 0
    found = session.execute(
        select(col(Chat.channel), func.max(col(Letter.sent_at)))
        .join(Chat, col(Chat.id) == col(Letter.chat_id))
        .where(col(Letter.id) > newest - LATEST_LETTERS, col(Letter.state) == LetterState.SENT.value)
        .group_by(col(Chat.channel))
    )
    return {channel: at for channel, at in found if at is not None}


def _failed_messages(session: Session, now: datetime) -> int:
    count: int = session.execute(
        select(func.count())
        .select_from(InboxEvent)
        .where(
            literal_column("inbox_event.state != 'done'"),
            col(InboxEvent.state) == "failed",
            col(InboxEvent.received_at) > now - timedelta(days=1),
        )
    ).scalar_one()
    return count
