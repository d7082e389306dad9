"""What is measured, over which requests, and how a list becomes a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

from router.model import Status


class Measure(StrEnum):
    """What is measured. The stages bear their own names; of them only stretches that have ended count."""

    FIRST_RESPONSE = "first_response"
    """From sending to the first answer of a person, whose it is."""
    ACCEPTANCE = "acceptance"
    """From sending until somebody first took it to work."""
    QUEUE = "queue"
    PROCESSING = "processing"
    CLARIFICATION = "clarification"
    EXECUTION = "execution"
    WHOLE = "whole"
    """Processing, clarification and execution of a request that is done: what the firm itself spent.

    Each stretch of it is whoever's it was.
    """
    CLIENT = "client"
    THIRD_PARTY = "third_party"
    RESOLUTION = "resolution"
    """From sending to the result; it is whoever's said that it is done."""


OWN_STAGES = (Measure.PROCESSING, Measure.CLARIFICATION, Measure.EXECUTION)
"""The firm's own minutes: what the norms and the minutes of before are about."""

BEFORE: Mapping[Measure, tuple[int, int]] = MappingProxyType(
    {
        Measure.PROCESSING: (15, 30),
        Measure.CLARIFICATION: (10, 30),
        Measure.EXECUTION: (20, 40),
        Measure.WHOLE: (45, 100),
    }
)
"""What it took before there was one form for all: (from, to) in minutes."""


@dataclass(frozen=True, slots=True)
class TimesFilter:
    """Requests sent from `since` until before `until` (aware UTC).

    `staff_id` and `department` narrow every measure to what these people did themselves, whoever has the
    request now; the number of requests sent, to those that they have. `weekday` (0 is Monday) and `hour`
    are those of sending, in the firm's zone.
    """

    since: datetime
    until: datetime
    kind: str = ""
    staff_id: int | None = None
    department: str = ""
    client_id: int | None = None
    channel: str = ""
    weekday: int | None = None
    hour: int | None = None


class Sent(NamedTuple):
    """A request that was sent in the period. `week` is the Monday of its week in the firm's zone."""

    number: int
    status: Status
    kind: str
    client_id: int
    company: str
    channel: str
    assignee_id: int | None
    recorded_by: int | None
    submitted_at: datetime
    first_response_at: datetime | None
    done_at: datetime | None
    done_by: int | None
    deadline: datetime
    week: date
    weekday: int
    hour: int


class Event(NamedTuple):
    """What adds to a figure: whose it was, from when to when, how many seconds it counts.

    `what` is a `Measure`, a `Conduct` or another name of a list. A stage may have been left and come
    back to: then a request has several events, which are added up.
    """

    what: str
    sent: Sent | None
    staff_id: int | None
    started_at: datetime | None
    ended_at: datetime | None
    seconds: int
    detail: str = ""

    @property
    def number(self) -> int | None:
        """The number of the request."""
        return self.sent.number if self.sent else None


@dataclass(frozen=True, slots=True)
class Figure:
    """A list summed up, in working seconds over `count` requests.

    The median is the middle value, of an even number the mean of the two in the middle. The ninth
    decile is by nearest rank: the smallest value that at least nine tenths do not exceed, so that it
    is always one of the list.
    """

    median_seconds: float
    p90_seconds: int
    count: int

    @property
    def median_minutes(self) -> float:
        """The median in working minutes."""
        return self.median_seconds / 60

    @property
    def p90_minutes(self) -> float:
        """The ninth decile in working minutes."""
        return self.p90_seconds / 60


def figure(seconds: Sequence[int]) -> Figure | None:
    """Sum up a list, a value per request; None when it is empty."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    # In whole numbers: 0.9 * 10 is not 9 for a computer that counts in twos.
    ninth = ordered[_ceil_div(len(ordered) * 9, 10) - 1]
    return Figure(median(ordered), ninth, len(ordered))


def _ceil_div(number: int, by: int) -> int:
    """Divide, rounding up."""
    return -(-number // by)


def figure_of(found: Iterable[Event]) -> Figure | None:
    """Sum up events of one measure: those of one request are one value."""
    totals: dict[int | None, int] = {}
    for event in found:
        totals[event.number] = totals.get(event.number, 0) + event.seconds
    return figure(tuple(totals.values()))
