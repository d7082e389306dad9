"""The nouns of the work: a request as the router sees it, a member of staff, the stages of the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from forms.texts import Text
from router.schedule import Hours


class Status(StrEnum):
    """Where a request stands; the words of the export."""

    DRAFT = "draft"
    NEW = "new"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    WAITING_CLIENT = "waiting_client"
    DONE = "done"
    CLOSED = "closed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether somebody still owes work or an answer on it."""
        return self not in (Status.DRAFT, Status.CLOSED, Status.CANCELLED)


class Stage(StrEnum):
    """Whose minute it is. Every moment between submission and closing belongs to exactly one.

    queue: nobody has it. processing: an accountant has it and has not accepted yet. execution: the
    accountant works. client: the client is asked, or the result waits for the client's word.
    clarification: the client has answered and the accountant has not reacted yet. third_party: a
    bank, the tax office or another outsider is waited for.
    """

    CLIENT = "client"
    QUEUE = "queue"
    PROCESSING = "processing"
    CLARIFICATION = "clarification"
    EXECUTION = "execution"
    THIRD_PARTY = "third_party"


class Role(StrEnum):
    """What a member of staff may do. `CLIENT` is nobody's role; clients are not staff."""

    ACCOUNTANT = "accountant"
    LAWYER = "lawyer"
    CONTROLLER = "controller"
    DEPUTY = "deputy"
    DIRECTOR = "director"
    ADMIN = "admin"

    @property
    def takes_requests(self) -> bool:
        """Whether the router may give requests to this role."""
        return self in (Role.ACCOUNTANT, Role.LAWYER)

    @property
    def directs(self) -> bool:
        """Whether this role sees and reassigns everybody's work."""
        return self in (Role.DIRECTOR, Role.DEPUTY)


@dataclass(frozen=True, slots=True)
class Work:
    """What the router must know of a request. `submitted_at` and `deadline` are aware UTC."""

    request_id: int
    kind: str
    submitted_at: datetime
    deadline: datetime
    responsible_id: int | None = None
    """The staff member who keeps this client's books."""
    substitute_id: int | None = None
    """Who takes over while that one is away."""
    responsible_away: bool = False
    """Settled by `router.assign.rank`, which sees everybody."""
    excluded_ids: frozenset[int] = frozenset()
    """Those who declined it or let it lie."""
    recorded_by_id: int | None = None
    """The staff member who wrote it down from the client's words, if anybody did."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member of staff as the router sees them at one moment."""

    staff_id: int
    name: str
    role: Role
    department: str
    skills: frozenset[str] = frozenset()
    capacity: int = 10
    """How many open requests this person may hold at once."""
    open_requests: int = 0
    on_shift: bool = True
    absent_until: datetime | None = None
    active: bool = True
    hours: Hours = ()
    """Their own working hours, where they differ from the firm's."""


@dataclass(frozen=True, slots=True)
class Exclude:
    """This person cannot take the request; `reason` is read by the director."""

    reason: Text


@dataclass(frozen=True, slots=True)
class Prefer:
    """A point for or against this person; negative points make others likelier."""

    points: int
    reason: Text


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all rules said about one candidate."""

    staff_id: int
    name: str
    points: int
    excluded: bool
    reasons: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Who takes a request and why; `staff_id` is None when nobody fits."""

    staff_id: int | None
    verdicts: tuple[Verdict, ...]
    context: Mapping[str, str] = field(default_factory=dict)
