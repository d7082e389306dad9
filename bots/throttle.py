"""How fast one sender may be: token buckets that remember a bounded number of senders.

The longest silent are forgotten first, and whoever is forgotten starts with a full bucket: so an attacker
with many names can push out others' debts, never fill the memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

REMEMBERED = 20_000
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: datetime
    told_at: datetime | None = None


@dataclass(slots=True)
class Throttle:
    """`per_minute` events of one key in the long run, `burst` at once after a rest."""

    per_minute: float
    burst: float
    remembered: int = REMEMBERED
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def take(self, key: str, now: datetime, cost: float = 1.0) -> bool:
        """Count one event; False when this key must wait. A refused event costs nothing."""
        bucket = self._filled(key, now)
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True

    def spend(self, key: str, now: datetime, cost: float) -> None:
        """Count what an event has turned out to cost, whether or not there is so much left."""
        self._filled(key, now).tokens -= cost

    def give_back(self, key: str, now: datetime, cost: float = 1.0) -> None:
        """Take back what an event was counted for: it had no effect, and its sender repeats it."""
        bucket = self._filled(key, now)
        bucket.tokens = min(self.burst, bucket.tokens + cost)

    def wait_seconds(self, key: str, now: datetime, cost: float = 1.0) -> float:
        """How long until one more event fits; 0 means now."""
        lacking = cost - self._filled(key, now).tokens
        return max(0.0, lacking * 60 / self.per_minute)

    def tells(self, key: str, now: datetime) -> bool:
        """Whether this key is to be told that it is too fast: once a minute."""
        bucket = self._filled(key, now)
        if bucket.told_at is not None and now - bucket.told_at < MINUTE:
            return False
        bucket.told_at = now
        return True

    def told_nothing(self, key: str, now: datetime) -> None:
        """Take back that this key is told: the words were not kept."""
        self._filled(key, now).told_at = None

    def __len__(self) -> int:
        return len(self._buckets)

    def _filled(self, key: str, now: datetime) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self.burst, now)
            if len(self._buckets) > self.remembered:
                self._buckets.popitem(last=False)
        passed_seconds = max(0.0, (now - bucket.at).total_seconds())
        bucket.tokens = min(self.burst, bucket.tokens + passed_seconds * self.per_minute / 60)
        bucket.at = now
        self._buckets.move_to_end(key)
        return bucket
