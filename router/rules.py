"""What speaks for and against giving a request to a member of staff.

A rule is one function and its name in `RULES`. An exclusion is final; preferences add up. Every rule
is asked about everybody, so that the director can read why it was this person and not another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from forms.kinds import BY_CODE, RequestKind
from forms.texts import Day, _
from router.model import Candidate, Exclude, Prefer, Work
from router.schedule import covers
from router.worktime import WorkCalendar


@dataclass(frozen=True, slots=True)
class RuleWeights:
    """Points for and against, and the limits. The defaults are ours; the director may settle others.

    `dedicated` outweighs all others together: the client's own accountant, when free, takes the request
    however busy they are, unless it is outside their own hours.
    """

    dedicated: int = 1000
    recorded: int = 200
    skill: int = 50
    no_skill: int = -50
    open_request: int = -10
    open_requests_at_most: int = -500
    """The most that open requests count against a person, however many there are."""
    most_open_requests: int = 0
    """Nobody holds more at once, whatever their card says; 0 leaves it to the cards."""

    @property
    def off_hours(self) -> int:
        """More against a person than everything else can speak for them."""
        others = (
            self.dedicated, self.recorded, self.skill, self.no_skill, self.open_requests_at_most,
        )  # fmt: skip
        return -sum(abs(points) for points in others) - 1

    def room_of(self, person: Candidate) -> int:
        """How many open requests this person may hold at once."""
        return min(person.capacity, self.most_open_requests or person.capacity)


OUR_WEIGHTS = RuleWeights()


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What a rule may know besides the request and the person. `now` is aware UTC."""

    now: datetime
    calendar: WorkCalendar
    weights: RuleWeights = OUR_WEIGHTS
    kinds: Mapping[str, RequestKind] = field(default_factory=lambda: BY_CODE)


Rule = Callable[[Work, Candidate, RuleContext], Exclude | Prefer | None]
Rules = tuple[tuple[str, Rule], ...]


def takes_requests(_work: Work, person: Candidate, _context: RuleContext) -> Exclude | None:
    """Only accountants and lawyers who still work here."""
    if not person.active:
        return Exclude(_("уже не работает здесь"))
    if not person.role.takes_requests:
        return Exclude(_("по должности не берёт заявки"))
    return None


def has_not_refused(work: Work, person: Candidate, _context: RuleContext) -> Exclude | None:
    """Nobody gets back what they declined or let lie."""
    if person.staff_id in work.excluded_ids:
        return Exclude(_("эта заявка здесь уже была: отказ или нет ответа"))
    return None


def is_present(_work: Work, person: Candidate, context: RuleContext) -> Exclude | None:
    """Not on leave, not ill."""
    if person.absent_until is None or person.absent_until <= context.now:
        return None
    back = person.absent_until.astimezone(context.calendar.zone)
    return Exclude(_("нет на работе, возвращение: {day}", day=Day(back.date())))


def is_on_shift(_work: Work, person: Candidate, _context: RuleContext) -> Exclude | None:
    """At night nobody is, and the request waits for the first who comes."""
    return None if person.on_shift else Exclude(_("сейчас не на смене"))


def has_room(_work: Work, person: Candidate, context: RuleContext) -> Exclude | None:
    """Not more at once than this person can do."""
    capacity = context.weights.room_of(person)
    if person.open_requests < capacity:
        return None
    return Exclude(_("занято {open} из {capacity}", open=person.open_requests, capacity=capacity))


def is_of_the_department(work: Work, person: Candidate, context: RuleContext) -> Exclude | None:
    """Each kind has its department; a person without one, as in a small firm, does everything."""
    kind = context.kinds.get(work.kind)
    if kind is None or not kind.department or person.department in ("", kind.department):
        return None
    return Exclude(_("заявка для другого отдела"))


def has_the_skill(work: Work, person: Candidate, context: RuleContext) -> Prefer | None:
    """Rather somebody who knows this kind of work; but a learner is better than nobody."""
    kind = context.kinds.get(work.kind)
    if kind is None or not kind.skill:
        return None
    if kind.skill in person.skills:
        return Prefer(context.weights.skill, _("есть нужный навык"))
    return Prefer(context.weights.no_skill, _("нет нужного навыка"))


def keeps_the_books(work: Work, person: Candidate, context: RuleContext) -> Prefer | None:
    """The accountant who knows the client."""
    if person.staff_id != work.responsible_id:
        return None
    return Prefer(context.weights.dedicated, _("ведёт этого клиента"))


def stands_in(work: Work, person: Candidate, context: RuleContext) -> Prefer | None:
    """Whoever takes over for the client's own accountant counts as much, while that one is away."""
    if person.staff_id != work.substitute_id or person.staff_id == work.responsible_id:
        return None
    if not work.responsible_away:
        return None
    return Prefer(context.weights.dedicated, _("заменяет ответственного: его сейчас нет"))


def keeps_own_hours(_work: Work, person: Candidate, context: RuleContext) -> Prefer | None:
    """Outside their own hours a person gets something new only when there is nobody else.

    Of those who keep the firm's hours their shift tells whether they work.
    """
    if covers(person.hours, context.now, context.calendar.zone):
        return None
    return Prefer(context.weights.off_hours, _("сейчас нерабочее время по личному графику"))


def is_away(person: Candidate, context: RuleContext) -> bool:
    """Whether somebody has to take over for this person now."""
    absent = person.absent_until is not None and person.absent_until > context.now
    working = person.active and person.on_shift and not absent
    return not working or not covers(person.hours, context.now, context.calendar.zone)


def wrote_it_down(work: Work, person: Candidate, context: RuleContext) -> Prefer | None:
    """Whoever has spoken with the client need not be told what it is about."""
    if person.staff_id != work.recorded_by_id:
        return None
    return Prefer(context.weights.recorded, _("эту заявку записал этот сотрудник"))


def has_few_requests(_work: Work, person: Candidate, context: RuleContext) -> Prefer:
    """Work is spread evenly; beyond some load more of it makes no difference."""
    weights = context.weights
    return Prefer(
        max(weights.open_request * person.open_requests, weights.open_requests_at_most),
        _("заявок в работе: {open}", open=person.open_requests),
    )


RULES: Rules = (
    ("role", takes_requests),
    ("refused", has_not_refused),
    ("absence", is_present),
    ("shift", is_on_shift),
    ("room", has_room),
    ("department", is_of_the_department),
    ("hours", keeps_own_hours),
    ("dedicated", keeps_the_books),
    ("substitute", stands_in),
    ("recorded", wrote_it_down),
    ("skill", has_the_skill),
    ("load", has_few_requests),
)
