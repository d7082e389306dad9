"""The house of the moment: the configuration file, and over it what the panel has settled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from notifications.texts import Catalogue, Forms
from storage import firm_settings, maintenance, wordings
from storage.engine import Database
from storage.firm_settings import Settled
from storage.house import House


@dataclass(slots=True)
class LiveHouse:
    """Ask it for the house each time: `refresh` puts a whole new one in place of the old.

    `build` makes the house of the configuration file that speaks with the given words. `refresh` is
    called after whoever changed something has committed, and every minute for what other processes
    changed. Any thread may ask and refresh.
    """

    database: Database
    catalogue: Catalogue
    build: Callable[[Catalogue], House]
    now: Callable[[], datetime]
    filed: House = field(init=False)
    """What the configuration file alone says."""
    _house: House = field(init=False)
    _settled: Settled = field(default_factory=Settled)
    _own_words: Mapping[str, Forms] = field(default_factory=dict)
    _refreshing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.filed = self._house = self.build(self.catalogue)

    def __call__(self) -> House:
        """The house as it is now."""
        return self._house

    def refresh(self) -> None:
        """Read what is settled; nothing is done when it is the same."""
        # The last to begin reads the newest: without the lock an older reading might be put in last.
        with self._refreshing:
            with self.database.read() as session:
                settled = firm_settings.read_settled(session)
                own_words = wordings.read_own(session, self.catalogue.language)
                announced = maintenance.read(session)
            if (settled, own_words) != (self._settled, self._own_words):
                self._house = self._made(settled, own_words)
            if announced != self._house.maintenance:
                self._house = replace(self._house, maintenance=announced)
            self._settled, self._own_words = settled, own_words

    def _made(self, settled: Settled, own_words: Mapping[str, Forms]) -> House:
        catalogue = self.catalogue.with_own(own_words)
        house = firm_settings.house_with(self.build(catalogue), settled)
        house = replace(house, own_words=own_words)
        for known in (self._house.calendar, self.filed.calendar):
            if known == house.calendar:
                return replace(house, calendar=known)
        # Counting a year takes a moment: now, and not while a client waits.
        house.calendar.next_opening(self.now())
        return house
