"""What other weights would have made of the past: the same requests, decided twice, and compared.

Nothing here is exact, and the page says so. People are as their cards are now; when they were on shift
and away is known. Both runs play the whole period anew: each gives out every request in the order of
submission, those that nobody could take as soon as somebody comes or becomes free, and a request holds
its person for as long as it took in truth. Refusals and the director's own decisions are left out. In
the second run a request takes longer, or less long, as whoever gets it has more or fewer others then
than in the first.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from forms.kinds import RequestKind
from router.assign import assign, judge, order
from router.model import Candidate, Decision, Verdict, Work
from router.rules import RuleContext, RuleWeights
from router.worktime import WorkCalendar

TRIED_AT_ONCE = 20
"""Of many that wait, so many of the nearest deadlines are tried when somebody becomes free."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, aware UTC; without an end it goes on."""

    starts_at: datetime
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PastWork:
    """A request of the period. `taken_seconds` of working time passed until it was done."""

    work: Work
    taken_seconds: int
    company: str = ""
    can_be_late: bool = True
    """False for what was cancelled: nobody waited for it."""


@dataclass(frozen=True, slots=True)
class PastPerson:
    """A member of staff: the card, when they worked and were away, and what they held from before."""

    card: Candidate
    shifts: tuple[Span, ...] = ()
    absences: tuple[Span, ...] = ()
    held: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """A period as it was."""

    works: tuple[PastWork, ...]
    people: tuple[PastPerson, ...]
    calendar: WorkCalendar
    kinds: Mapping[str, RequestKind]
    until: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """Who got a request in a run, when, and how many each person had then, in the order of the people."""

    staff_id: int
    at: datetime
    loads: tuple[int, ...]
    open_requests: int
    late_seconds: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A request that another person would have got; a decision is None when nobody could take it."""

    past: PastWork
    before: Decision | None
    after: Decision | None


@dataclass(frozen=True, slots=True)
class Share:
    """What a person would have got in the two runs, and the most they held at once."""

    staff_id: int
    name: str
    given_before: int
    given_after: int
    most_before: int
    most_after: int


@dataclass(frozen=True, slots=True)
class Totals:
    """A run in figures; lateness in working seconds."""

    waiting: int
    """Requests that nobody could take by the end of the period."""
    late: int
    late_seconds: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The two runs side by side. `moved` holds the first of `moved_count`."""

    considered: int
    moved_count: int
    moved: tuple[Moved, ...]
    shares: tuple[Share, ...]
    before: Totals
    after: Totals


def compare(past: Past, old: RuleWeights, new: RuleWeights, shown: int = 50) -> Comparison:
    """Decide the period with the old and with the new weights."""
    before = _Run(past, old).play()
    after = _Run(past, new, before.given).play()
    moved = [
        each
        for each in past.works
        if before.chosen(each.work.request_id) != after.chosen(each.work.request_id)
    ]
    return Comparison(
        considered=len(past.works),
        moved_count=len(moved),
        moved=tuple(Moved(each, before.decision(each), after.decision(each)) for each in moved[:shown]),
        shares=tuple(
            Share(
                person.card.staff_id,
                person.card.name,
                before.counts[person.card.staff_id],
                after.counts[person.card.staff_id],
                before.most[person.card.staff_id],
                after.most[person.card.staff_id],
            )
            for person in past.people
        ),
        before=before.totals(),
        after=after.totals(),
    )


class _What(IntEnum):
    """At the same moment whoever leaves makes room first, and whoever comes is there for what arrives."""

    FREED = 0
    HELD = 1
    CAME = 2
    SUBMITTED = 3


@dataclass(slots=True)
class _Person:
    past: PastPerson
    starts: list[datetime]
    open_requests: int = 0

    def at(self, moment: datetime) -> Candidate:
        """How the router would have seen them."""
        return replace(
            self.past.card,
            open_requests=self.open_requests,
            on_shift=self.on_shift(moment),
            absent_until=self.absent_until(moment),
        )

    def absent_until(self, moment: datetime) -> datetime | None:
        """When they would be back; None when they are here."""
        away = [span.ends_at for span in self.past.absences if _covers(span, moment)]
        return max((end for end in away if end is not None), default=None)

    def on_shift(self, moment: datetime) -> bool:
        """Whether they were at work."""
        number = bisect_right(self.starts, moment) - 1
        return number >= 0 and _covers(self.past.shifts[number], moment)


@dataclass(slots=True)
class _Run:
    """One playing of the period."""

    past: Past
    weights: RuleWeights
    other: Mapping[int, Given] = field(default_factory=dict)
    """The first run, which this one is measured by."""
    given: dict[int, Given] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    most: Counter[int] = field(default_factory=Counter)
    _people: tuple[_Person, ...] = ()
    _by_id: dict[int, _Person] = field(default_factory=dict)
    _known: dict[tuple[object, ...], tuple[Verdict, Candidate]] = field(default_factory=dict)
    _waiting: list[PastWork] = field(default_factory=list)
    _events: list[tuple[datetime, _What, int, int]] = field(default_factory=list)

    def play(self) -> _Run:
        """Go through the period once."""
        self._people = tuple(
            _Person(person, [span.starts_at for span in person.shifts]) for person in self.past.people
        )
        self._by_id = {person.past.card.staff_id: person for person in self._people}
        self._set_up()
        while self._people and self._events:
            at, what, _order, number = heapq.heappop(self._events)
            if at > self.past.until:
                break
            match what:
                case _What.SUBMITTED:
                    each = self.past.works[number]
                    if not self._give(each, at):
                        self._waiting.append(each)
                case _What.HELD:
                    self._take(self._by_id[number])
                case _What.FREED:
                    self._by_id[number].open_requests -= 1
                    self._pick_up(at)
                case _What.CAME:
                    self._pick_up(at)
        return self

    def chosen(self, request_id: int) -> int | None:
        """Who got the request; None for nobody."""
        given = self.given.get(request_id)
        return given.staff_id if given else None

    def decision(self, each: PastWork) -> Decision | None:
        """Judge everybody once more as they were then: keeping every trace of a run would fill the memory."""
        given = self.given.get(each.work.request_id)
        if given is None:
            return None
        people = [
            replace(person.at(given.at), open_requests=load)
            for person, load in zip(self._people, given.loads, strict=True)
        ]
        return assign(each.work, people, self._context(given.at))

    def totals(self) -> Totals:
        """The run in figures."""
        late = [given.late_seconds for given in self.given.values() if given.late_seconds]
        return Totals(len(self.past.works) - len(self.given), len(late), sum(late))

    def _set_up(self) -> None:
        order = 0

        def happens(at: datetime, what: _What, number: int) -> None:
            nonlocal order
            order += 1
            self._events.append((at, what, order, number))

        for person in self.past.people:
            number = person.card.staff_id
            for span in person.held:
                happens(span.starts_at, _What.HELD, number)
                if span.ends_at is not None:
                    happens(max(span.ends_at, span.starts_at), _What.FREED, number)
            for span in person.shifts:
                happens(span.starts_at, _What.CAME, number)
            for span in person.absences:
                if span.ends_at is not None:
                    happens(span.ends_at, _What.CAME, number)
        for place, each in enumerate(self.past.works):
            happens(each.work.submitted_at, _What.SUBMITTED, place)
        heapq.heapify(self._events)

    def _pick_up(self, at: datetime) -> None:
        if not self._waiting:
            return
        self._waiting.sort(
            key=lambda each: (each.work.deadline, each.work.submitted_at, each.work.request_id)
        )
        tried, rest = self._waiting[:TRIED_AT_ONCE], self._waiting[TRIED_AT_ONCE:]
        self._waiting = [each for each in tried if not self._give(each, at)] + rest

    def _give(self, each: PastWork, at: datetime) -> bool:
        verdict, best = min((self._judged(each.work, person, at) for person in self._people), key=_best)
        if verdict.excluded:
            return False
        chosen = self._by_id[best.staff_id]
        loads = tuple(person.open_requests for person in self._people)
        ends_at = self._done_at(each, at, chosen.open_requests)
        late = self.past.calendar.working_seconds(each.work.deadline, ends_at) if each.can_be_late else 0
        self.given[each.work.request_id] = Given(best.staff_id, at, loads, chosen.open_requests, late)
        self.counts[best.staff_id] += 1
        self._take(chosen)
        heapq.heappush(self._events, (ends_at, _What.FREED, len(self.given) + _AFTER_ALL, best.staff_id))
        return True

    def _judged(self, work: Work, person: _Person, at: datetime) -> tuple[Verdict, Candidate]:
        """What the rules say; asked once for all that they cannot tell apart."""
        staff_id, back = person.past.card.staff_id, person.absent_until(at)
        alike = (
            staff_id, person.open_requests, person.on_shift(at), back is None, work.kind,
            work.responsible_id == staff_id, work.recorded_by_id == staff_id,
        )  # fmt: skip
        known = self._known.get(alike)
        if known is None:
            candidate = person.at(at)
            known = self._known[alike] = (judge(work, candidate, self._context(at)), candidate)
        return known

    def _done_at(self, each: PastWork, at: datetime, load: int) -> datetime:
        taken = each.taken_seconds
        first = self.other.get(each.work.request_id)
        if first is not None:
            taken = taken * (1 + load) // (1 + first.open_requests)
        return self.past.calendar.add_working(at, max(taken, 1))

    def _take(self, person: _Person) -> None:
        person.open_requests += 1
        staff_id = person.past.card.staff_id
        self.most[staff_id] = max(self.most[staff_id], person.open_requests)

    def _context(self, at: datetime) -> RuleContext:
        return RuleContext(at, self.past.calendar, self.weights, self.past.kinds)


_AFTER_ALL = 10_000_000
"""Orders what a run adds after what the period holds: only the order of equals depends on it."""


def _best(judged: tuple[Verdict, Candidate]) -> tuple[bool, int, int, int]:
    return order(*judged)


def _covers(span: Span, moment: datetime) -> bool:
    return span.starts_at <= moment and (span.ends_at is None or moment < span.ends_at)


def in_order(spans: Sequence[Span]) -> tuple[Span, ...]:
    """By their beginnings."""
    return tuple(sorted(spans, key=lambda span: span.starts_at))
