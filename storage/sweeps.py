"""What the timers look for: everything that is due now and that no person has set off.

Each sweep looks at rows, so a restart or a second run of the same minute changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Select, String, cast, exists, func, literal, or_, select, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from notifications import compose, undelivered
from notifications.faults import place_of
from notifications.outbox import LetterState
from router.desk import DeskError
from router.escalation import accept_due
from router.model import Role, Status
from storage import casework, failover, history, reports
from storage.alarms import IN_CHARGE, people_of, tell_once
from storage.engine import storage_is_down
from storage.house import House
from storage.letters import Posting, post
from storage.models import Chat, Letter, Person, Request, Staff

log = structlog.get_logger(__name__)

ALARM_WITHIN_DAYS = 1


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A messenger that does not answer us. `detail` is for the operator and holds no secret."""

    channel: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Swept:
    """How many of each were acted upon."""

    escalated: int = 0
    picked_up: int = 0
    closed: int = 0
    alarms: int = 0
    moved: int = 0
    """Letters that go another way: to another chat of their person, or to the telephone."""

    @property
    def anything(self) -> bool:
        """Whether letters may have been written."""
        return bool(self.escalated or self.picked_up or self.closed or self.alarms or self.moved)


def sweep(
    session: Session, house: House, now: datetime, unreachable: Sequence[Unreachable] = (), *,
    up_since: datetime | None = None,
) -> Swept:  # fmt: skip
    """Do everything that is due at `now`. Nobody changes a request meanwhile.

    `up_since` is when this process began to send letters.
    """
    history.wait_turn(session)
    escalated = _each(
        session,
        _not_accepted(session, house, now),
        lambda number: casework.escalate(session, house, number, now),
    )
    picked_up = casework.pick_up_unassigned(session, house, now)
    closed = _each(
        session,
        _silent(session, house, now),
        lambda number: casework.close_silent(session, house, number, now),
    )
    moved = failover.sweep(session, house, now, up_since)
    alarms = _alarm_unreached(session, house, now) + _alarm_messengers(session, house, now, unreachable)
    return Swept(escalated, picked_up, closed, alarms, moved)


def _each(session: Session, numbers: list[int], act: Callable[[int], object]) -> int:
    done = 0
    for number in numbers:
        try:
            with session.begin_nested():
                act(number)
            done += 1
        except DeskError as error:
            log.info("sweep left a request as it is", request=number, why=type(error).__name__)
        except Exception as error:
            if storage_is_down(error):
                raise
            # One request that the program fails on must not stop the timers of all the others.
            name, place = type(error).__name__, place_of(error)
            log.error("sweep failed on a request", request=number, error=name, place=place)  # noqa: TRY400
    return done


def _not_accepted(session: Session, house: House, now: datetime) -> list[int]:
    """Overdue assignments; outside working time nobody is there to take them over."""
    if not house.calendar.is_open(now):
        return []
    query = select(col(Request.id), col(Request.assigned_at)).where(
        col(Request.status) == Status.ASSIGNED.value
    )
    return [
        number
        for number, assigned_at in session.execute(query.order_by(col(Request.deadline)))
        if assigned_at is not None
        and accept_due(assigned_at, house.calendar, house.accept_within_minutes) <= now
    ]


def _silent(session: Session, house: House, now: datetime) -> list[int]:
    """Done requests whose client has had the agreed working days to object, and to whom nothing is owed."""
    query = select(col(Request.id), col(Request.done_at)).where(
        col(Request.status) == Status.DONE.value, col(Request.unanswered_since).is_(None)
    )
    waited = [(number, done_at) for number, done_at in session.execute(query) if done_at is not None]
    days = house.close_after_working_days
    return [number for number, done_at in waited if house.calendar.closing_after(done_at, days) <= now]


def _alarm_unreached(session: Session, house: House, now: datetime) -> int:
    """Tell the directors, at most once a day, that somebody of the staff does not get what is sent to them.

    Clients who are not reached are telephoned: `failover` says so to whoever keeps them. Staff who have
    never had a chat read the panel.
    """
    directors = people_of(session, (Role.DIRECTOR, Role.DEPUTY), with_chat=True)
    if not directors:
        return 0
    unreached: dict[int, tuple[int, str, int, str, str, datetime | None]] = {}
    for person_id, *failure in session.execute(
        _unreached(now - timedelta(days=ALARM_WITHIN_DAYS), directors)
    ):
        unreached.setdefault(person_id, tuple(failure))
    for person_id, (letter_id, name, request_id, reason, channel, blocked_at) in unreached.items():
        why = undelivered.why(reason, house.channel_title(channel), blocked=blocked_at is not None)
        reply = undelivered.staff_not_reached(name, request_id, why)
        postings = [
            Posting(
                f"undelivered:{person_id}:{letter_id}:{director}",
                reply,
                person_id=director,
                request_id=request_id,
            )
            for director in directors
        ]
        post(session, house, now, postings)
    return len(unreached)


def _unreached(since: datetime, directors: Sequence[int]) -> Select[*tuple[Any, ...]]:
    """Letters to staff of which no copy has gone out, of people about whom nobody was told since then."""
    copy, alarm = aliased(Letter), aliased(Letter)
    root = func.coalesce(col(Letter.replaces_id), col(Letter.id))
    told = literal("undelivered:") + cast(col(Staff.person_id), String) + ":%"
    gone_out = [state.value for state in (LetterState.TODO, LetterState.DOING, LetterState.SENT)]
    return (
        select(
            col(Staff.person_id),
            col(Letter.id),
            col(Person.name),
            col(Letter.request_id),
            col(Letter.reason),
            col(Chat.channel),
            col(Chat.blocked_at),
        )
        .select_from(Letter)
        .join(Staff, col(Staff.person_id) == col(Letter.person_id))
        .join(Person, col(Person.id) == col(Staff.person_id))
        .join(Chat, col(Chat.id) == col(Letter.chat_id))
        .where(
            col(Staff.active),
            # Word for word the condition of the partial index, or it would not be used.
            text("letter.state = 'failed'"),
            col(Letter.created_at) > since,
            col(Letter.chat_id).is_not(None),
            col(Letter.key).like("request:%"),
            ~exists().where(
                or_(col(copy.id) == root, col(copy.replaces_id) == root), col(copy.state).in_(gone_out)
            ),
            # By whom it was told: letters have no index of their times alone.
            ~exists().where(
                col(alarm.person_id).in_(directors), col(alarm.created_at) > since, col(alarm.key).like(told)
            ),
        )
        # As the index of failed letters has them: by number, SQLite would walk through all letters instead.
        .order_by(col(Letter.created_at), col(Letter.id))
    )


def _alarm_messengers(
    session: Session, house: House, now: datetime, unreachable: Sequence[Unreachable]
) -> int:
    """Tell the directors and the administrators, once each time, which messenger is down or too quiet."""
    alarms = {
        f"{_DOWN}{item.channel}:{now:%Y%m%dT%H%M}": compose.messenger_down(
            house.channel_title(item.channel), item.since.astimezone(house.calendar.zone)
        )
        for item in unreachable
        if not _was_told(session, item, now)
    }
    if house.calendar.is_open(now):
        found = reports.figures(session, now)
        for channel, last in found.last_inbound.items():
            hours = found.suspicious_hours(channel, house.calendar, now, house.silent_after_hours)
            if channel in house.switched_on and hours is not None:
                alarms[f"quiet:{channel}:{last:%Y%m%dT%H%M}"] = compose.messenger_quiet(
                    house.channel_title(channel), last.astimezone(house.calendar.zone)
                )
    people = people_of(session, IN_CHARGE) if alarms else ()
    return sum(tell_once(session, house, now, key, reply, people) for key, reply in alarms.items())


_DOWN = "down:"
TOLD_LATELY = timedelta(hours=1)


def _was_told(session: Session, item: Unreachable, now: datetime) -> bool:
    """Whether this outage was told: another process has noticed it at a moment of its own."""
    since = min(item.since, now - TOLD_LATELY)
    told = select(col(Letter.id)).where(
        col(Letter.person_id).in_(people_of(session, IN_CHARGE)),
        col(Letter.created_at) > since,
        col(Letter.key).like(f"{_DOWN}{item.channel}:%"),
    )
    return session.execute(told.limit(1)).first() is not None
