"""What the panel is given by whoever puts the house together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from flask import current_app

from forms.texts import Text
from storage.copies import CopyPlan
from storage.engine import Database
from storage.files import KeptFile, KeptFiles
from storage.house import House, WayIn

EXTENSION = "priem"


@dataclass(frozen=True, slots=True)
class MessengerState:
    """What a messenger said when it was asked last. `reachable` is None before the first answer."""

    name: str
    reachable: bool | None
    detail: str
    asked_at: datetime | None
    refused_posts: int
    """How many posts to its webhook were turned away since the start."""
    told: Text | None = None
    """The same as `detail`, for people; where it is missing `detail` is a name or the answer of a service."""


@dataclass(frozen=True, slots=True)
class PanelDoors:
    """Everything the panel needs.

    `wake` is called after a commit that may have written letters, `settled` after one that may have
    changed what the firm has settled.

    `public_url` is the address people see; the session cookie is Secure when it begins with https.
    `ways_in_for_staff` are the messengers in which an invitation code of staff works; for clients see
    `House.ways_in`.
    """

    database: Database
    house_now: Callable[[], House]
    files: KeptFiles
    now: Callable[[], datetime]
    wake: Callable[[], None]
    secret_key: str = field(repr=False)
    public_url: str = ""
    language: str = "ru"
    ways_in_for_staff: Callable[[], Sequence[WayIn]] = tuple
    messengers: Callable[[], Sequence[MessengerState]] = tuple
    copies: CopyPlan = field(default_factory=lambda: CopyPlan(ZoneInfo("UTC")))
    """What is settled about the copies."""
    gate: Callable[[KeptFile], KeptFile] | None = None
    """What looks at a kept file before anybody may see it."""
    settled: Callable[[], None] = lambda: None
    filed: House | None = None
    """The house as the configuration file alone has it; without it, the present one."""
    max_upload_bytes: int = 25 * 1024 * 1024
    require_second_factor: bool = False
    """Whether directors and administrators must have one."""
    session_idle_hours: int = 12
    """After so many hours without use a session ends."""

    @property
    def house(self) -> House:
        """What the firm has settled by now."""
        return self.house_now()

    @property
    def is_https(self) -> bool:
        """Whether browsers come over TLS."""
        return self.public_url.startswith("https://")


def doors() -> PanelDoors:
    """The doors of the running application."""
    return cast("PanelDoors", current_app.extensions[EXTENSION])
