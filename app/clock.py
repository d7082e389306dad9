"""The one place that asks the clock; everywhere else the time is an argument."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

STRETCHED = timedelta(days=1)
"""A clock that goes back further was far ahead: then it is believed."""
_SLOWED_TO = 0.5


def now() -> datetime:
    """The present moment, aware UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class SteadyClock:
    """A clock that never goes back, whatever is done to the machine's; any thread may ask it.

    When the machine's clock is set back by up to `STRETCHED`, time here runs at half its speed until the
    two agree: what is timed goes on, nothing happens before what caused it, and no code is good again.
    """

    wall: Callable[[], datetime]
    monotonic: Callable[[], float]
    _told: datetime | None = None
    _asked: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> datetime:
        """The present moment, aware UTC."""
        with self._guard:
            wall, asked = self.wall(), self.monotonic()
            if self._told is not None and timedelta() < self._told - wall <= STRETCHED:
                wall = self._told + timedelta(seconds=max(0.0, asked - self._asked) * _SLOWED_TO)
            self._told, self._asked = wall, asked
            return wall

    def not_before(self, moment: datetime) -> None:
        """Begin no earlier than this, which was a present moment once."""
        with self._guard:
            if self._told is None or self._told < moment:
                self._told, self._asked = moment, self.monotonic()

    def ahead_seconds(self) -> float:
        """How far the machine's clock still is behind."""
        return max(0.0, (self() - self.wall()).total_seconds())
