"""What every use case is told: who acts, and what the firm has settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from forms.kinds import OUR_KINDS, Kinds
from forms.texts import Text
from router.model import Role
from router.rules import OUR_WEIGHTS, RuleContext, RuleWeights
from router.worktime import WorkCalendar


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts and through what: a messenger's name, `panel`, `command` or `timer`."""

    through: str
    person_id: int | None = None
    staff_id: int | None = None
    role: Role | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class WayIn:
    """A messenger a person may come by: what people call it, and its link, `{code}` being a one-time code.

    Without a link, «/start CODE» is sent there by hand.
    """

    title: str
    link: str = ""

    def with_code(self, code: str) -> WayIn:
        """The same with the code in its place."""
        return WayIn(self.title, self.link.replace("{code}", code))


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Work on the program that was announced at `since` and is over at `until` (aware UTC)."""

    since: datetime
    until: datetime
    reason: str = ""

    def lasts(self, now: datetime) -> bool:
        """Whether it is going on."""
        return self.since <= now < self.until


@dataclass(frozen=True, slots=True)
class House:
    """What the firm has settled: its calendar, its words, its norms. Passed to every use case."""

    calendar: WorkCalendar
    say: Callable[[Text], str]
    """Render a sentence in the language of the firm."""
    firm_name: str
    firm_phone: str = ""
    consent_version: str = "1"
    consent_text: str = ""
    consent_url: str = ""
    accept_within_minutes: int = 15
    look_within_minutes: int = 30
    remind_before_minutes: int = 60
    """So many working minutes before a deadline its assignee is reminded; 0: never."""
    answer_within_minutes: int = 30
    """After so many working minutes without an answer the assignee is reminded of the client; 0: never."""
    close_after_working_days: int = 3
    failover_after_minutes: int = 10
    """How long a letter may wait for its messenger before the person's next one is tried."""
    silent_after_hours: int = 8
    """After so many working hours without a message, a messenger that used to bring some is suspect."""
    weights: RuleWeights = OUR_WEIGHTS
    """What the router goes by."""
    kinds: Kinds = OUR_KINDS
    """What clients may ask for."""
    own_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sentences that the firm says in its own words, by the Russian originals; `say` knows them already."""
    channel_titles: Mapping[str, str] = field(default_factory=dict)
    """What people call each messenger."""
    switched_on: frozenset[str] = frozenset()
    """The messengers that run."""
    email_channel: str = ""
    """The messenger whose chats are e-mail addresses, when it is switched on."""
    ways_in: Callable[[], Sequence[WayIn]] = tuple
    """The messengers that are switched on, as a client comes by them."""
    ways_in_for_staff: Callable[[], Sequence[WayIn]] = tuple
    """The same for staff, who in our own pages have a session apart from a client's."""
    maintenance: Maintenance | None = None
    """What is announced to whoever writes or looks; it may be over."""

    def rules(self, now: datetime) -> RuleContext:
        """What the rules of the router may know."""
        return RuleContext(now, self.calendar, self.weights, self.kinds.by_code)

    def channel_title(self, channel: str) -> str:
        """What people call this messenger."""
        return self.channel_titles.get(channel, channel)
