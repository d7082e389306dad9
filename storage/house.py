"""What every use case is told: who acts, and what the firm has settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from forms.texts import Text
from router.model import Role
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
    close_after_working_days: int = 3
