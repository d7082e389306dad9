"""Times without us: noticed by the gap in the heartbeat, told to whoever wrote meanwhile, kept for reports.

The service writes a heartbeat each minute. Whoever finds an old one, at the start or afterwards, knows
from when until when nobody was there. A messenger's own outages are what the monitor has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from sqlalchemy import Select, or_, select
from sqlmodel import Session, col

from forms.dialogue import Progress, screen
from forms.messages import Button, Reply
from forms.texts import plain
from notifications import outage as words
from router.worktime import WorkCalendar
from storage import history
from storage.alarms import IN_CHARGE, people_of, tell_once
from storage.casework import form_context
from storage.house import House
from storage.letters import ANSWER, OLDER_BUTTONS, Posting, post
from storage.models import Chat, Draft, Outage, Staff
from storage.work import get_setting, put_setting

SERVICE = "service"
"""The scope of an outage of everything."""
NOTICED_AFTER = timedelta(minutes=3)
"""A shorter gap is nobody's business: a restart takes less."""
ALARM_AFTER = timedelta(minutes=10)
ASKED_AGAIN_WITHIN = timedelta(minutes=30)
SETTLED_AFTER = timedelta(minutes=1)
"""So long after an outage what had waited at the messenger has been fetched."""
WAS_WRITING = timedelta(hours=2)
"""Whoever wrote so shortly before the outage may have gone on writing in it."""

_HEARTBEAT, _STOPPED = "heartbeat", "stopped"
_FORM_FOCUS = "form"


class Cause(StrEnum):
    """Why nobody was there."""

    STOPPED = "stopped"
    """Somebody switched the service off."""
    CRASHED = "crashed"
    STALLED = "stalled"
    """The process, or its database, stood still."""
    UNREACHABLE = "unreachable"
    """The messenger did not answer."""


class Silent(Protocol):
    """A messenger that does not answer, and since when (aware UTC)."""

    @property
    def channel(self) -> str:
        """Its name."""

    @property
    def since(self) -> datetime:
        """When it was found silent first."""


@dataclass(frozen=True, slots=True)
class Span:
    """One outage, aware UTC; of one that lasts, `ended_at` is None."""

    outage_id: int
    scope: str
    cause: Cause
    started_at: datetime
    ended_at: datetime | None

    def until(self, now: datetime) -> datetime:
        """The end so far."""
        return now if self.ended_at is None else min(self.ended_at, now)


# --- noticing ----------------------------------------------------------------------------------


def beat(session: Session, house: House, now: datetime, *, starting: bool = False) -> bool:
    """Say that the service is there; True when it had not been for a while and letters tell of it."""
    told = notice(session, house, now, starting=starting)
    put_setting(session, _HEARTBEAT, now.isoformat(), now)
    return told


def stop(session: Session, now: datetime) -> None:
    """Say that the service is being switched off, so that its absence is no crash."""
    put_setting(session, _STOPPED, now.isoformat(), now)


def notice(session: Session, house: House, now: datetime, *, starting: bool = False) -> bool:
    """Write down the gap between the last heartbeat and now, if there is one; True when somebody is told."""
    beaten = get_setting(session, _HEARTBEAT)
    if beaten is None:
        return False
    last = datetime.fromisoformat(beaten)
    stopped = get_setting(session, _STOPPED) if now - last > NOTICED_AFTER else None
    cause = Cause.CRASHED if starting else Cause.STALLED
    if stopped is not None and datetime.fromisoformat(stopped) >= last:
        last, cause = datetime.fromisoformat(stopped), Cause.STOPPED
    if now - last <= NOTICED_AFTER:
        return False
    history.wait_turn(session)
    if session.execute(_of(SERVICE).where(col(Outage.started_at) == last)).first() is not None:
        return False
    row = Outage(scope=SERVICE, cause=cause.value, started_at=last, ended_at=now)
    session.add(row)
    # Whoever looks next in this transaction, or in another process, must not find the same gap.
    put_setting(session, _HEARTBEAT, now.isoformat(), now)
    return _over(session, house, row, now)


def follow(
    session: Session, house: House, now: datetime, silent: Sequence[Silent],
    answering: Mapping[str, bool | None],
) -> bool:  # fmt: skip
    """Begin and end the outages of messengers; True when somebody is told.

    `answering` says of every messenger that runs whether it answered last; None before it was asked.
    """
    lasting = session.execute(
        select(Outage).where(col(Outage.scope) != SERVICE, col(Outage.ended_at).is_(None))
    )
    open_rows = {row.scope: row for row in lasting.scalars()}
    for each in silent:
        if each.channel not in open_rows and now - each.since > NOTICED_AFTER:
            _begin(session, each)
    told = False
    for scope, row in open_rows.items():
        # What another process runs is for that one to say.
        if answering.get(scope) or scope not in house.switched_on:
            row.ended_at = now
            history.wait_turn(session)
            told |= _over(session, house, row, now)
    return told


def _begin(session: Session, silent: Silent) -> None:
    same = _of(silent.channel).where(col(Outage.started_at) == silent.since)
    row = session.execute(same).scalar_one_or_none()
    # A process that reaches the messenger may have ended it too early.
    row = row or Outage(scope=silent.channel, cause=Cause.UNREACHABLE.value, started_at=silent.since)
    row.ended_at = None
    session.add(row)


def _over(session: Session, house: House, row: Outage, now: datetime) -> bool:
    """Keep an outage that has ended in the history, and tell those who answer for it."""
    assert row.ended_at is not None
    session.add(row)
    session.flush()
    history.record(
        session, at=now, actor_id=None, through="timer", action="outage", subject=f"outage:{row.id}",
        before=None,
        after={
            "scope": row.scope, "cause": row.cause,
            "since": row.started_at.isoformat(), "until": row.ended_at.isoformat(),
        },
    )  # fmt: skip
    lasted = row.ended_at - row.started_at
    if row.cause == Cause.STOPPED.value or lasted <= ALARM_AFTER:
        return False
    zone, minutes = house.calendar.zone, round(lasted.total_seconds() / 60)
    since, until = (words.moment(at, now, zone) for at in (row.started_at, row.ended_at))
    if row.scope == SERVICE:
        reply = words.service_was_down(since, until, minutes)
    else:
        reply = words.messenger_is_back(house.channel_title(row.scope), since, until, minutes)
    return bool(tell_once(session, house, now, f"outage:{row.id}", reply, people_of(session, IN_CHARGE)))


# --- what clients are told ---------------------------------------------------------------------


def own_up(
    session: Session, house: House, chat_id: int, channel: str, sent_at: datetime, now: datetime
) -> None:
    """Tell a client, once a chat and outage, that what they wrote at `sent_at` waited because of us."""
    if now - sent_at <= NOTICED_AFTER:
        return
    notice(session, house, now)
    waited = [
        span
        for span in during(session, (SERVICE, channel), sent_at, now)
        if span.until(now) - max(span.started_at, sent_at) > NOTICED_AFTER
    ]
    if not waited:
        return
    last = max(waited, key=lambda span: span.until(now))
    zone = house.calendar.zone
    said, since, until = (
        words.moment(at, now, zone)
        for at in (sent_at, min(span.started_at for span in waited), last.until(now))
    )
    _tell(session, house, last, chat_id, Reply(words.received_late(said, since, until)), now)


def ask_again(session: Session, house: House, now: datetime, forgetting: Mapping[str, timedelta]) -> bool:
    """Show the last question again where a press may have been lost; True when anybody is asked.

    `forgetting` are the messengers that drop a press we have not fetched, and after how long.
    """
    query = _of(SERVICE, *forgetting).where(
        col(Outage.ended_at) > now - ASKED_AGAIN_WITHIN, col(Outage.ended_at) <= now - SETTLED_AFTER
    )
    asked = False
    for row in session.execute(query).scalars():
        span = _span(row)
        lasted = span.until(now) - span.started_at
        channels = [
            name for name, after in forgetting.items() if row.scope in (SERVICE, name) and lasted > after
        ]
        for chat, draft in _were_writing(session, channels, span.started_at):
            asked |= _show_again(session, house, span, chat, draft, now)
    return asked


def _were_writing(
    session: Session, channels: Sequence[str], started_at: datetime
) -> Iterable[tuple[Chat, Draft | None]]:
    query = (
        select(Chat, Draft)
        .outerjoin(Draft, col(Draft.person_id) == col(Chat.person_id))
        .where(
            col(Chat.channel).in_(channels),
            col(Chat.blocked_at).is_(None),
            # Whoever has written since has been answered.
            col(Chat.last_inbound_at) < started_at,
            col(Chat.last_inbound_at) > started_at - WAS_WRITING,
            or_(col(Chat.person_id).is_(None), col(Draft.person_id).is_not(None)),
            col(Chat.person_id).is_(None) | col(Chat.person_id).not_in(select(col(Staff.person_id))),
        )
        .order_by(col(Chat.id))
    )
    return [(chat, draft) for chat, draft in session.execute(query)]


def _show_again(
    session: Session, house: House, span: Span, chat: Chat, draft: Draft | None, now: datetime
) -> bool:
    zone = house.calendar.zone
    since, until = (words.moment(at, now, zone) for at in (span.started_at, span.until(now)))
    note = words.press_again(since, until)
    progress = Progress.from_json(draft.progress) if draft else None
    if progress is not None and not progress.cancelled:
        context = form_context(session, house, now, chat.person_id)
        _tell(session, house, span, chat.id, screen(progress, context, note), now, focus=_FORM_FOCUS)
        return True
    if chat.person_id is None and chat.screen:
        _tell(session, house, span, chat.id, Reply(note, _in_sight(chat), prompt=True), now)
        return True
    return False


def _in_sight(chat: Chat) -> tuple[tuple[Button, ...], ...]:
    """The buttons of the last message, a row each."""
    rows: list[tuple[Button, ...]] = []
    for label, press, *synonyms in chat.screen:
        if (label, press) == OLDER_BUTTONS:
            break
        rows.append((Button(plain(label), press, tuple(synonyms)),))
    return tuple(rows)


def _tell(
    session: Session, house: House, span: Span, chat_id: int | None, reply: Reply, now: datetime, *,
    focus: str | None = None,
) -> None:  # fmt: skip
    posting = Posting(
        # As an answer it stays in its own chat; the key makes it one line for a chat and an outage.
        key=f"{ANSWER}outage:{span.outage_id}:{chat_id}", reply=reply, chat_id=chat_id, urgent=True,
        focus=focus, keeps_screen=not reply.rows,
    )  # fmt: skip
    post(session, house, now, (posting,))


# --- for reports -------------------------------------------------------------------------------


def during(session: Session, scopes: Sequence[str], since: datetime, until: datetime) -> tuple[Span, ...]:
    """The outages of these scopes that touch the period, oldest first; no scope is every one."""
    query = _of(*scopes) if scopes else select(Outage)
    found = query.where(
        col(Outage.started_at) < until, or_(col(Outage.ended_at).is_(None), col(Outage.ended_at) > since)
    )
    rows = session.execute(found.order_by(col(Outage.started_at), col(Outage.id))).scalars()
    return tuple(_span(row) for row in rows)


def working_seconds(spans: Iterable[Span], calendar: WorkCalendar, since: datetime, until: datetime) -> int:
    """How much working time of the period was without us; what two outages cover counts once."""
    total, reached = 0, since
    for span in sorted(spans, key=lambda each: each.started_at):
        start, end = max(span.started_at, reached), span.until(until)
        if end > start:
            total += calendar.working_seconds(start, end)
            reached = end
    return total


def _of(*scopes: str) -> Select[Outage]:
    return select(Outage).where(col(Outage.scope).in_(scopes))


def _span(row: Outage) -> Span:
    assert row.id is not None
    return Span(row.id, row.scope, Cause(row.cause), row.started_at, row.ended_at)
