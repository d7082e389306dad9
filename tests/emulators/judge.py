"""A messenger's limits, counted strictly: what a benchmark of delivery is judged by.

It knows nothing of how messages are paced. It looks at the second that has just passed, for the whole
channel and for one chat, and refuses what would be one message more than the limit and one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that came; `at` is the judge's own clock."""

    at: float
    chat: str
    what: str


@dataclass(frozen=True, slots=True)
class TooMuch:
    """The answer to a message that is not taken."""

    retry_after_seconds: float
    whole_channel: bool


@dataclass(slots=True)
class _Window:
    """At most so many within so many seconds."""

    most: int
    seconds: float
    moments: deque[float] = field(default_factory=deque)

    def wait_seconds(self, now: float) -> float:
        while self.moments and self.moments[0] <= now - self.seconds:
            self.moments.popleft()
        return self.moments[0] + self.seconds - now if len(self.moments) >= self.most else 0.0


@dataclass(slots=True)
class Judge:
    """Decides about messages in the order in which they come.

    A chat that bears less than one message a second bears a burst instead: then the window is the time
    of one message, and `chat_burst` messages and one may be in it.
    """

    per_second: float
    chat_per_second: float
    chat_burst: int = 1
    taken: list[Heard] = field(default_factory=list)
    refused: list[Heard] = field(default_factory=list)
    """Beyond the limits, or during a silence that was asked for."""
    injected: list[tuple[Heard, TooMuch]] = field(default_factory=list)
    """Refused because `refuse_next` said so; not the fault of who sent them."""
    silent_until: float = -math.inf
    _channel: _Window = field(init=False)
    _chats: dict[str, _Window] = field(init=False)
    _chats_silent_until: dict[str, float] = field(default_factory=dict)
    _next: tuple[TooMuch, Collection[str]] | None = None

    def __post_init__(self) -> None:
        self._channel = _Window(math.floor(self.per_second) + 1, 1.0)
        most, seconds = math.floor(self.chat_per_second) + 1, 1.0
        if self.chat_per_second < 1:
            most, seconds = self.chat_burst + 1, 1 / self.chat_per_second
        self._chats = defaultdict(lambda: _Window(most, seconds))

    def refuse_next(self, verdict: TooMuch, chats: Collection[str] = ()) -> None:
        """Refuse the next message to one of these chats (none: to anybody), then all in its scope a while."""
        self._next = verdict, chats

    def hears(self, now: float, chat: str, what: str) -> TooMuch | None:
        """Take a message, or say why not."""
        heard = Heard(now, chat, what)
        if self._next is not None and (not self._next[1] or chat in self._next[1]):
            (verdict, _chats), self._next = self._next, None
            self.injected.append((heard, verdict))
            if verdict.whole_channel:
                self.silent_until = now + verdict.retry_after_seconds
            else:
                self._chats_silent_until[chat] = now + verdict.retry_after_seconds
            return verdict
        window = self._chats[chat]
        channel_wait = max(self.silent_until - now, self._channel.wait_seconds(now))
        chat_wait = max(self._chats_silent_until.get(chat, now) - now, window.wait_seconds(now))
        if channel_wait > 0 or chat_wait > 0:
            self.refused.append(heard)
            return TooMuch(max(channel_wait, chat_wait), whole_channel=channel_wait > 0)
        self._channel.moments.append(now)
        window.moments.append(now)
        self.taken.append(heard)
        return None

    def taken_between(self, start: float, end: float) -> int:
        """How many messages were taken from `start` on and before `end`."""
        return sum(start <= heard.at < end for heard in self.taken)

    def most_in_a_second(self) -> int:
        """How many messages the fullest second holds."""
        return _fullest([heard.at for heard in self.taken])

    def most_of_a_chat_in_a_second(self) -> int:
        """How many messages of one chat the fullest second holds."""
        moments: dict[str, list[float]] = defaultdict(list)
        for heard in self.taken:
            moments[heard.chat].append(heard.at)
        return max(map(_fullest, moments.values()), default=0)


def _fullest(moments: list[float]) -> int:
    # What is exactly a second apart is in two windows.
    return max((bisect_right(moments, at + 1 - 1e-9) - index for index, at in enumerate(moments)), default=0)
