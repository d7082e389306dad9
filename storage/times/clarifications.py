"""How many requests could not be done without asking the client, and about which field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session

from router.worktime import WorkCalendar
from storage.models import metadata
from storage.times.measures import Event, TimesFilter
from storage.times.spans import how_many, people_of, read_sent, within

_REQUEST, _CLARIFICATION = metadata.tables["request"], metadata.tables["clarification"]


@dataclass(frozen=True, slots=True)
class Clarified:
    """The questions put to clients about requests of the period, and how many requests there were.

    An event is a question: `detail` is its field, the seconds are working time until the answer, 0
    while there is none.
    """

    requests: int
    events: tuple[Event, ...]

    def asked_about(self, field: str = "") -> int:
        """How many requests had a question about this field; about any when it is empty."""
        return len({event.number for event in self.events if field in ("", event.detail)})

    @property
    def fields(self) -> Mapping[str, int]:
        """The requests asked about by field, the worst first."""
        found = {event.detail for event in self.events}
        return {
            field: self.asked_about(field)
            for field in sorted(found, key=lambda field: (-self.asked_about(field), field))
        }


def clarified(session: Session, wanted: TimesFilter, calendar: WorkCalendar) -> Clarified:
    """The questions about requests of the period; of a person's, those that this person has."""
    people = people_of(session, wanted)
    questioned = select(_CLARIFICATION.c.id).where(_CLARIFICATION.c.request_id == _REQUEST.c.id).exists()
    requests = {
        number: sent
        for number, sent in read_sent(session, wanted, calendar, questioned).items()
        if people is None or sent.assignee_id in people
    }
    query = (
        select(
            _CLARIFICATION.c.request_id, _CLARIFICATION.c.field, _CLARIFICATION.c.asked_by,
            _CLARIFICATION.c.asked_at, _CLARIFICATION.c.answered_at,
        )
        .join(_REQUEST, _REQUEST.c.id == _CLARIFICATION.c.request_id)
        .where(*within(wanted))
        .order_by(_CLARIFICATION.c.request_id, _CLARIFICATION.c.id)
    )  # fmt: skip
    found = tuple(
        Event(
            "clarified", requests[number], asked_by, asked_at, answered_at,
            calendar.working_seconds(asked_at, answered_at) if answered_at else 0, field,
        )
        for number, field, asked_by, asked_at, answered_at in session.connection().execute(query)
        if number in requests
    )  # fmt: skip
    return Clarified(how_many(session, wanted, calendar, people), found)
