"""When the next message may leave: a messenger's rates, and whose turn it is.

No clock and no input or output here: every moment is an argument, in seconds of one monotonic clock.

Rates are kept with the generic cell rate algorithm: one number per subject (the "theoretical arrival
time", when the subject will have paid for all it has sent), so an idle chat costs nothing at all.
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

_CATCH_UP_SHARE = 0.5
_CATCH_UP_FLOOR_SECONDS = 0.002
_CATCH_UP_CEILING_SHARE = 0.9

_HEAD_START_LIMIT_SECONDS = 30.0
_URGENT_IN_A_ROW = 7
_SWEEP_FLOOR = 1024

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something may happen: `rate_per_second` on average, `burst` at once after a rest.

    With `burst=1` and a whole rate no window of one second holds more than `rate_per_second + 1`. An
    infinite rate means that there is no limit.
    """

    rate_per_second: float
    burst: int = 1

    def __post_init__(self) -> None:
        if not self.rate_per_second > 0 or self.burst < 1:
            raise ValueError(
                f"A pace needs a rate above 0 and a burst of at least 1, not {self.rate_per_second} and "
                f"{self.burst}."
            )

    @property
    def interval_seconds(self) -> float:
        """The time one message costs."""
        return 1.0 / self.rate_per_second

    @property
    def burst_seconds(self) -> float:
        """How far ahead of the average a burst may run."""
        return (self.burst - 1) * self.interval_seconds

    @property
    def catch_up_seconds(self) -> float:
        """How much lateness of a timer may be made good, so that late timers do not cost rate.

        Less than one interval, so the promise about a window of one second holds.
        """
        interval = self.interval_seconds
        return min(
            max(interval * _CATCH_UP_SHARE, _CATCH_UP_FLOOR_SECONDS), interval * _CATCH_UP_CEILING_SHARE
        )


class Gate:
    """The rates of one messenger: of the whole channel and of each chat.

    A chat's own rate is stricter than the channel's: lateness is not made good there, and `heard`
    moves the payment to the moment by which the messenger has surely counted the message. So a
    trembling network never brings two messages of a chat too close together.
    """

    __slots__ = (
        "_channel_interval",
        "_channel_paid_at",
        "_channel_tolerance",
        "_chat_tolerance",
        "_chats",
        "_sweep_at",
        "chat_interval_seconds",
    )

    def __init__(self, channel: Pace, chat: Pace) -> None:
        self.chat_interval_seconds = chat.interval_seconds
        self._chat_tolerance = chat.burst_seconds
        self._channel_interval = channel.interval_seconds
        self._channel_tolerance = channel.burst_seconds + channel.catch_up_seconds
        self._channel_paid_at = _NEVER
        self._chats: dict[int, float] = {}
        self._sweep_at = _SWEEP_FLOOR

    def __len__(self) -> int:
        """Count the chats whose last messages are still remembered."""
        return len(self._chats)

    def earliest(self, now: float, chat: int) -> float:
        """When a message to this chat may leave, not before `now`."""
        return max(self.channel_opens_at(now), self.chat_opens_at(now, chat))

    def channel_opens_at(self, now: float) -> float:
        """When the channel as a whole has a slot, not before `now`."""
        return max(now, self._channel_paid_at - self._channel_tolerance)

    def chat_opens_at(self, now: float, chat: int) -> float:
        """When the chat has a slot, not before `now`, whatever the channel says."""
        paid_at = self._chats.get(chat)
        return now if paid_at is None else max(now, paid_at - self._chat_tolerance)

    def spend(self, now: float, chat: int) -> None:
        """A message to this chat leaves now."""
        self._channel_paid_at = max(now, self._channel_paid_at) + self._channel_interval
        self._chats[chat] = max(now, self._chats.get(chat, now)) + self.chat_interval_seconds
        if len(self._chats) >= self._sweep_at:
            self._forget_idle(now)

    def heard(self, at: float, chat: int) -> None:
        """Say that the messenger counted the chat's last message at `at` rather than when it left."""
        paid_at = self._chats.get(chat)
        if paid_at is not None:
            self._chats[chat] = max(paid_at, at + self.chat_interval_seconds)

    def pause_channel(self, until: float) -> None:
        """Silence the channel; when the silence ends there is no burst."""
        self._channel_paid_at = max(self._channel_paid_at, until + self._channel_tolerance)

    def pause_chat(self, until: float, chat: int) -> None:
        """Silence one chat; when the silence ends there is no burst."""
        paid_at = until + self._chat_tolerance
        self._chats[chat] = max(paid_at, self._chats.get(chat, paid_at))

    def _forget_idle(self, now: float) -> None:
        """Drop the chats that have paid for everything: they are as new ones."""
        self._chats = {chat: paid_at for chat, paid_at in self._chats.items() if paid_at > now}
        self._sweep_at = max(_SWEEP_FLOOR, 2 * len(self._chats))


@dataclass(slots=True)
class _Place:
    """Where a chat stands in the queue. Heap entries with another ticket are stale."""

    ticket: int
    order: float
    urgent: bool
    ready: bool


@dataclass(slots=True)
class Turns:
    """The queue of chats that have something to send: whose time has come, and who of those is first.

    A chat stands here at most once and leaves when it is taken; its owner enters it again when there
    is more to send. A chat whose own time has not come waits aside and holds nobody up.

    Urgent chats go first, but after seven of them in a row one of the others is let through. Within a
    level it is first come, first served. Among those that are not urgent a chat with many letters left has
    a head start of the time it needs for them anyway: the longest queue would otherwise be alone at the
    end, with the channel's rate half unused. Urgent letters are answers: nobody's third passes the first
    of somebody who has waited longer.
    """

    gate: Gate
    _places: dict[int, _Place] = field(default_factory=dict, init=False)
    _waiting: list[tuple[float, int, int]] = field(default_factory=list, init=False)
    _urgent: list[tuple[float, int, int]] = field(default_factory=list, init=False)
    _ordinary: list[tuple[float, int, int]] = field(default_factory=list, init=False)
    _tickets: Iterator[int] = field(default_factory=count, init=False)
    _urgent_in_a_row: int = field(default=0, init=False)

    def __len__(self) -> int:
        """Count the chats that stand in the queue."""
        return len(self._places)

    def enter(self, now: float, chat: int, *, since: float, left: int, urgent: bool) -> None:
        """Put a chat with `left` letters in the queue, the first of which is here since `since`."""
        wanted = 0.0 if urgent else (left - 1) * self.gate.chat_interval_seconds
        head_start = min(wanted, _HEAD_START_LIMIT_SECONDS)
        opens_at = self.gate.chat_opens_at(now, chat)
        place = _Place(next(self._tickets), since - head_start, urgent, opens_at <= now)
        self._places[chat] = place
        if place.ready:
            self._make_ready(chat, place)
        else:
            heappush(self._waiting, (opens_at, place.ticket, chat))

    def promote(self, chat: int) -> None:
        """Make a chat urgent; one that does not stand in the queue is left alone."""
        place = self._places.get(chat)
        if place is None or place.urgent:
            return
        place.urgent = True
        if place.ready:
            place.ticket = next(self._tickets)
            self._make_ready(chat, place)

    def leave(self, chat: int) -> None:
        """Take a chat out of the queue without sending."""
        self._places.pop(chat, None)

    def take(self, now: float, *, urgent_only: bool = False) -> int | None:
        """Choose the chat that sends now; None when it is nobody's turn. Whoever sends, spends."""
        if self.gate.channel_opens_at(now) > now:
            return None
        self._admit(now)
        chat = self._first(urgent_only=urgent_only)
        if chat is not None:
            del self._places[chat]
        return chat

    def opens_at(self, now: float, *, urgent_only: bool = False) -> float | None:
        """When `take` is worth calling again if nothing else happens; None when it never is."""
        self._admit(now)
        channel_opens_at = self.gate.channel_opens_at(now)
        if self._head(self._urgent) is not None or (
            not urgent_only and self._head(self._ordinary) is not None
        ):
            return channel_opens_at
        self._head(self._waiting)
        return max(channel_opens_at, self._waiting[0][0]) if self._waiting else None

    def _admit(self, now: float) -> None:
        """Let in the waiting chats whose time has come."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            _, ticket, chat = heappop(waiting)
            place = self._places.get(chat)
            if place is not None and place.ticket == ticket:
                place.ready = True
                self._make_ready(chat, place)

    def _make_ready(self, chat: int, place: _Place) -> None:
        level = self._urgent if place.urgent else self._ordinary
        heappush(level, (place.order, place.ticket, chat))

    def _first(self, *, urgent_only: bool) -> int | None:
        urgent = self._head(self._urgent)
        ordinary = None if urgent_only else self._head(self._ordinary)
        if urgent is not None and (ordinary is None or self._urgent_in_a_row < _URGENT_IN_A_ROW):
            self._urgent_in_a_row += 1
            heappop(self._urgent)
            return urgent
        if ordinary is not None:
            self._urgent_in_a_row = 0
            heappop(self._ordinary)
        return ordinary

    def _head(self, heap: list[tuple[float, int, int]]) -> int | None:
        """Look at the first chat of a heap, dropping the stale entries before it."""
        while heap:
            _, ticket, chat = heap[0]
            place = self._places.get(chat)
            if place is not None and place.ticket == ticket:
                return chat
            heappop(heap)
        return None
