"""The calendar that a member of staff subscribes to: the deadlines of their open requests, their absences.

Whoever has the link reads it, so it names number, kind and company only, and no more of the link is kept
than its hash. The text is the same until something changes, so that a calendar need not fetch it again.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from icalendar import Calendar, Event
from sqlalchemy import select, update
from sqlmodel import Session, col

from forms.texts import Text, _
from storage import history
from storage.house import House
from storage.models import Absence, Person, Request, Staff
from storage.reading import OWING
from storage.roster import Act, NoSuchCard

SLOT = timedelta(minutes=30)
"""How long a deadline is in a calendar: it ends when the result must be there."""

PAST_ABSENCES = timedelta(days=31)
MAX_EVENTS = 1_000
_TOKEN_BYTES = 32
_MAX_TOKEN = 200
_REFRESH = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Feed:
    """A calendar as it is sent; `tag` changes when it does."""

    body: bytes
    tag: str


def has_link(session: Session, staff_id: int) -> bool:
    """Whether this person's calendar is given out."""
    kept = session.execute(select(col(Staff.calendar_hash)).where(col(Staff.id) == staff_id))
    return bool(kept.scalar_one_or_none())


def new_link(session: Session, act: Act, staff_id: int) -> str:
    """Give out this person's calendar under a new token, the only time it is seen; an older one dies.

    Raises NoSuchCard.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    _keep(session, act, staff_id, _hash(token), "calendar_link_made")
    return token


def drop_link(session: Session, act: Act, staff_id: int) -> None:
    """Give this person's calendar out no more. Raises NoSuchCard."""
    _keep(session, act, staff_id, "", "calendar_link_dropped")


def feed(session: Session, house: House, token: str, public_url: str, now: datetime) -> Feed | None:
    """The calendar under a token; None when there is none, or its owner works here no more.

    A wrong token is compared by its hash alone: how long that takes tells nothing of the right one.
    """
    wanted = _hash(token[:_MAX_TOKEN])
    found = session.execute(
        select(col(Staff.id), col(Staff.calendar_hash), col(Person.name))
        .join(Person, col(Person.id) == Staff.person_id)
        .where(col(Staff.calendar_hash) == wanted, col(Staff.active).is_(True))
    ).one_or_none()
    kept = found[1] if found else ""
    if not secrets.compare_digest(kept.encode(), wanted.encode()) or found is None:
        return None
    staff_id, _kept, name = found
    calendar = _calendar(house, name)
    for event in (
        *_deadlines(session, house, staff_id, public_url),
        *_absences(session, house, staff_id, now),
    ):
        calendar.add_component(event)
    body = calendar.to_ical()
    return Feed(body, sha256(body).hexdigest()[:32])


def _calendar(house: House, name: str) -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", "-//Priem//Priem//RU")
    calendar.add("version", "2.0")
    title = house.say(_("{firm}: сроки, {name}", firm=house.firm_name, name=name))
    calendar.add("name", title)
    calendar.add("x-wr-calname", title)
    calendar.add("refresh-interval", _REFRESH, parameters={"value": "DURATION"})
    calendar.add("x-published-ttl", "PT30M")
    return calendar


def _deadlines(session: Session, house: House, staff_id: int, public_url: str) -> list[Event]:
    query = (
        select(Request)
        .where(col(Request.assignee_id) == staff_id, col(Request.status).in_(OWING))
        .order_by(col(Request.deadline), col(Request.id))
        .limit(MAX_EVENTS)
    )
    found = []
    for request in session.execute(query).scalars():
        kind = house.kinds.label(request.kind)
        event = Event()
        event.add("uid", f"request-{request.id}@priem")
        # When it was put into this calendar: a clock here would make every fetch a new text.
        event.add("dtstamp", request.assigned_at or request.submitted_at)
        event.add("sequence", request.version)
        event.add("dtstart", request.deadline - SLOT)
        event.add("dtend", request.deadline)
        words = _("№ {number} {company}: {kind}", number=request.id or 0, company=request.company, kind=kind)
        event.add("summary", house.say(words))
        event.add("transp", "TRANSPARENT")
        if public_url:
            event.add("url", f"{public_url.rstrip('/')}/panel/requests/{request.id}/")
        found.append(event)
    return found


def _absences(session: Session, house: House, staff_id: int, now: datetime) -> list[Event]:
    query = (
        select(Absence)
        .where(col(Absence.staff_id) == staff_id, col(Absence.ends_at) > now - PAST_ABSENCES)
        .order_by(col(Absence.starts_at), col(Absence.id))
        .limit(MAX_EVENTS)
    )
    zone, found = house.calendar.zone, []
    for absence in session.execute(query).scalars():
        starts, ends = absence.starts_at.astimezone(zone), absence.ends_at.astimezone(zone)
        whole_days = starts.time() == ends.time() == starts.min.time()
        event = Event()
        event.add("uid", f"absence-{absence.id}@priem")
        event.add("dtstamp", absence.starts_at)
        event.add("dtstart", starts.date() if whole_days else absence.starts_at)
        event.add("dtend", ends.date() if whole_days else absence.ends_at)
        words: Text = _("Отсутствие: {reason}", reason=absence.reason) if absence.reason else _("Отсутствие")
        event.add("summary", house.say(words))
        found.append(event)
    return found


def _keep(session: Session, act: Act, staff_id: int, calendar_hash: str, action: str) -> None:
    if session.get(Staff, staff_id) is None:
        raise NoSuchCard
    session.execute(update(Staff).where(col(Staff.id) == staff_id).values(calendar_hash=calendar_hash))
    history.record(
        session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action=action,
        subject=f"staff:{staff_id}", before=None, after=None,
    )  # fmt: skip


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
