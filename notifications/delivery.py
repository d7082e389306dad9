"""Delivery: leased letters go out, in order per chat, within each messenger's rate, and are settled.

Delivery alone interprets what a messenger answered (`verdicts.judge`), and it alone tries again. It
knows the store only as a `PostOffice` and a messenger only as a `Sender`.

A letter is in one of three hands: the store's (`TODO`), ours (`DOING`: queued, in flight, or sent and
not yet settled) or nobody's (final). What is in our hands is remembered by its id until the store has
durably taken the settlement, so a store that is down for a while doubles nothing; only a crash may.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Generic, Protocol, TypeVar

import structlog

from notifications.faults import place_of
from notifications.outbox import Letter, LetterState, Outcome, Parcel, Retry, Sent, Settlement, Unknown
from notifications.pacing import Gate, Pace, Turns
from notifications.verdicts import Policy, Verdict, give_back, judge

_RATE_SHARE = 0.985
"""We keep a little below the messenger's rate: its clock and the network are not ours."""

_HEARD_WITHIN_SECONDS = 0.25
"""An answer that takes longer is the messenger thinking, not the message travelling."""

_WINDOW_SECONDS = 15.0
_SMALLEST_WINDOW = 16
_LARGEST_WINDOW = 2048
_LETTERS_PER_CHAT = 16
_URGENT_RESERVE = 64
_DUE_RESERVE = 32
_TRIED_BEFORE_SECONDS = 30.0

_REFUSALS_OF_ALL = 3
"""So many chats told to wait, one after another and nobody served between: the messenger means everybody.
Telegram, for one, answers the same whether a chat or the whole bot is too fast."""

_SLOWEST_UPLOAD_BYTES_PER_SECOND = 64 * 1024
_LONGEST_SEND_SHARE_OF_LEASE = 0.45
"""A letter may wait for half of its lease before it leaves; it must be settled within the other half."""

_PARCELS_PER_TASK = 32
_SETTLEMENTS_AT_ONCE = 500
_OFFICE_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")


class Rates(Protocol):
    """How much a messenger bears; an infinite rate is no limit."""

    @property
    def messages_per_second(self) -> float:
        """Of the whole channel."""

    @property
    def messages_burst(self) -> int:
        """How many may leave at once after a rest; 1 keeps every window of one second in the rate."""

    @property
    def chat_messages_per_second(self) -> float:
        """Of one chat."""

    @property
    def chat_burst(self) -> int:
        """How many may go to one chat at once after a rest."""


LimitsT = TypeVar("LimitsT", bound=Rates)
LimitsT_co = TypeVar("LimitsT_co", bound=Rates, covariant=True)


class Sender(Protocol[LimitsT_co]):
    """A messenger as delivery sees it."""

    @property
    def limits(self) -> LimitsT_co:
        """What the messenger shows and bears."""

    async def send(self, parcel: Parcel) -> Outcome:
        """Send one message; what the messenger refuses is an outcome, not an exception."""


class PostOffice(Protocol):
    """Where letters are stored. Both methods raise only when the store kept nothing of the call."""

    async def claim(
        self, channels: Collection[str], limit: int, *, per_chat: int, urgent_only: bool
    ) -> Sequence[Letter]:
        """Lease due letters of these channels to this process.

        Chats with a due urgent letter come first (with `urgent_only`, only they come), then the
        oldest. The letters of a chat are contiguous, in the order of `letter_id`, at most `per_chat`.
        A letter is never leased while an earlier one of its chat is unfinished, unless that one is
        leased to this process too, by this claim or before.
        """

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Keep what became of letters; returns when it is durable. Settling again changes nothing.

        `TODO` gives the letter back, due at `not_before` or at once; the letters in `releases` go back
        as they were, neither their attempts nor their `not_before` change. What is no longer leased to
        this process is not given back.
        """


@dataclass(slots=True)
class _Chat:
    """The letters of one chat that are in our hands, the first of them perhaps in flight."""

    chat_id: int
    letters: deque[Letter] = field(default_factory=deque)
    arrivals: deque[float] = field(default_factory=deque)
    """When each of the letters came into our hands, on the monotonic clock."""
    urgent_letters: int = 0
    in_flight: bool = False
    in_ordinary_flight: bool = False
    capped: bool = False
    """Whether a claim gave as many letters of this chat as it could, so that more may be stored."""
    parts: tuple[Parcel, ...] = ()
    parts_sent: int = 0

    def add(self, letter: Letter, now: float) -> None:
        if self.letters and letter.letter_id < self.letters[-1].letter_id:
            self._insert(letter, now)
        else:
            self.letters.append(letter)
            self.arrivals.append(now)
        self.urgent_letters += letter.urgent

    def _insert(self, letter: Letter, now: float) -> None:
        """Put an earlier letter where it belongs, but never before one that is already leaving."""
        leaving = 1 if self.in_flight or self.parts_sent else 0
        place = leaving
        while place < len(self.letters) and self.letters[place].letter_id < letter.letter_id:
            place += 1
        self.letters.insert(place, letter)
        self.arrivals.insert(place, now)

    def drop_first(self) -> None:
        self.urgent_letters -= self.letters.popleft().urgent
        self.arrivals.popleft()
        self.parts, self.parts_sent = (), 0


@dataclass(slots=True)
class _Lane(Generic[LimitsT]):
    """One messenger: its queue of chats and what is in flight to it."""

    name: str
    sender: Sender[LimitsT]
    turns: Turns
    window: int
    """How many letters may be in our hands before we stop asking the store for more."""
    chats: dict[int, _Chat] = field(default_factory=dict)
    letters: int = 0
    in_flight: int = 0
    ordinary_in_flight: int = 0
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    sleeps_until: float = 0.0
    silent_until: float = float("-inf")
    told_to_wait: set[int] = field(default_factory=set)
    """The chats that were told to wait since the last message that was taken."""
    revoked: bool = False
    more_stored: bool = False

    @property
    def has_room(self) -> bool:
        return self.letters <= self.window * 3 // 4

    def add(self, letter: Letter, now: float) -> _Chat | None:
        """Take a letter; returns its chat if that was not here before and must yet enter the queue."""
        self.letters += 1
        chat = self.chats.get(letter.chat_id)
        if chat is None:
            chat = self.chats[letter.chat_id] = _Chat(letter.chat_id)
            chat.add(letter, now)
            return chat
        chat.add(letter, now)
        if letter.urgent:
            self.turns.promote(chat.chat_id)
        return None

    def enter(self, chat: _Chat, now: float, wall: datetime) -> None:
        """Put a chat in the queue, or forget it when it has nothing to send.

        A letter that was given back and comes again has the place of its age, and of an older one than
        those that were never tried: it has waited for its turn before.
        """
        if not chat.letters:
            del self.chats[chat.chat_id]
            return
        first = chat.letters[0]
        age_seconds = (wall - first.created_at).total_seconds() if first.created_at else 0.0
        if first.attempts:
            age_seconds += _TRIED_BEFORE_SECONDS
        self.turns.enter(
            now,
            chat.chat_id,
            since=min(chat.arrivals[0], now - age_seconds),
            left=len(chat.letters),
            urgent=chat.urgent_letters > 0,
        )

    def understood(self, outcome: Outcome, chat: _Chat) -> Outcome:
        """Widen a silence for one chat to the channel when it is asked for chat after chat."""
        if isinstance(outcome, Sent):
            self.told_to_wait.clear()
        if not isinstance(outcome, Retry) or outcome.after_seconds is None:
            return outcome
        self.told_to_wait.add(chat.chat_id)
        return replace(
            outcome, whole_channel=outcome.whole_channel or len(self.told_to_wait) >= _REFUSALS_OF_ALL
        )

    def drop_first(self, chat: _Chat) -> None:
        self.letters -= 1
        chat.drop_first()

    def forget(self, chat: _Chat) -> None:
        """Let go of all the letters of a chat."""
        self.letters -= len(chat.letters)
        chat.letters.clear()
        chat.arrivals.clear()
        self.turns.leave(chat.chat_id)
        del self.chats[chat.chat_id]


@dataclass(slots=True)
class Dispatcher(Generic[LimitsT]):
    """Carries letters from the post office to the messengers while `run` runs.

    `fit` cuts a parcel into what the messenger can show; the parts of a letter are sent one by one,
    and when one of them fails the whole letter is sent again. `now` is aware UTC; `monotonic` is the
    event loop's kind of clock; `jitter` returns numbers in [0, 1).

    Letters that lie here longer than half of `lease_seconds` are given back unsent, so the store must
    not give a leased letter to anybody else before `lease_seconds` have passed.
    """

    channels: Mapping[str, Sender[LimitsT]]
    post: PostOffice
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    fit: Callable[[Parcel, LimitsT], tuple[Parcel, ...]]
    policy: Policy = field(default_factory=Policy)
    jitter: Callable[[], float] = random.random
    concurrency: int = 64
    """How many messages may be in flight to one messenger; an eighth of them is for urgent ones."""
    claim_every_seconds: float = 1.0
    send_timeout_seconds: float = 60.0
    """For a message without files; each 64 KB of a file add a second, but the lease is kept."""
    lease_seconds: float = 180.0
    grace_seconds: float = 5.0
    """How long what is in flight may take to finish after a cancellation."""

    _lanes: dict[str, _Lane[LimitsT]] = field(init=False)
    _held: set[int] = field(default_factory=set, init=False)
    """The ids of all letters in our hands, until their settlement is durable."""
    _given_back: dict[int, int] = field(default_factory=dict, init=False)
    """The chats that have letters given back, and how often the store does not know it yet. A later
    letter of such a chat may not be sent before a claim shows that it is its turn."""
    _unsettled: list[Settlement] = field(default_factory=list, init=False)
    _office_bell: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _office_failures: int = field(default=0, init=False)
    _claiming: bool = field(default=False, init=False)
    _claim_under_way: asyncio.Task[Sequence[Letter] | _Fault] | None = field(default=None, init=False)
    _aside: list[Letter] = field(default_factory=list, init=False)
    """What was handed over during a claim."""
    _claim_wanted: bool = field(default=True, init=False)
    _silence_over: bool = field(default=False, init=False)
    """Whether letters that we gave back are due again, for which there must be room."""
    _next_claim_at: float = field(default=float("-inf"), init=False)
    _dues: list[float] = field(default_factory=list, init=False)
    """When letters that we gave back are due again, on the monotonic clock."""
    _stopping: bool = field(default=False, init=False)
    _senders: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._lanes = {name: _lane(name, sender) for name, sender in self.channels.items()}

    @property
    def held(self) -> int:
        """How many letters are in our hands: queued, in flight or not yet settled."""
        return len(self._held)

    def hand_over(self, letters: Sequence[Letter]) -> None:
        """Take letters that were just committed as leased to this process. Call it in the event loop.

        Only letters whose chat has no earlier unfinished letter outside this process may be leased so.
        """
        if self._claiming:
            # The claim may be bringing earlier letters of the same chats, leased but not yet here.
            self._aside.extend(letters)
        else:
            self._take_in(letters, claimed=False)

    def wake(self) -> None:
        """Say that the store has new due letters. Call it in the event loop."""
        self._claim_wanted = True
        self._office_bell.set()

    async def run(self) -> None:
        """Deliver until cancelled.

        After a cancellation, what is in flight has `grace_seconds` to finish and to be settled; the
        rest of the letters is given back to the store.
        """
        self._stopping = False
        self.wake()
        async with asyncio.TaskGroup() as senders:
            try:
                async with asyncio.TaskGroup() as loops:
                    loops.create_task(self._correspond(senders))
                    for lane in self._lanes.values():
                        loops.create_task(self._serve(lane, senders))
            finally:
                self._stopping = True
                await self._finish()

    # The correspondence with the store: one loop, so a claim and a settlement never overtake each other.

    async def _correspond(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._office_bell.clear()
            if self._unsettled and not await self._settle():
                await asyncio.sleep(self._office_pause())
                continue
            if self._is_time_to_claim():
                await self._claim(group)
            elif not self._unsettled:
                await _ring_or_time(self._office_bell, self._next_claim_at - self.monotonic())

    def _office_pause(self) -> float:
        return _OFFICE_RETRY_SECONDS[min(self._office_failures, len(_OFFICE_RETRY_SECONDS)) - 1]

    async def _settle(self) -> bool:
        """Settle what waits for it, in order; False when the store did not take it."""
        batch = self._unsettled[:_SETTLEMENTS_AT_ONCE]
        fault = await _guarded(self.post.settle(batch), "settle letters")
        if isinstance(fault, _Fault):
            self._office_failures += 1
            return False
        del self._unsettled[: len(batch)]
        for settlement in batch:
            self._held.discard(settlement.letter_id)
            self._held.difference_update(settlement.releases)
            if settlement.state is LetterState.TODO:
                self._given_back[settlement.chat_id] -= 1
                self._claim_wanted |= settlement.not_before is None
        if self._office_failures:
            self._office_failures = 0
            for lane in self._lanes.values():
                lane.bell.set()
        return True

    def _is_time_to_claim(self) -> bool:
        now = self.monotonic()
        while self._dues and self._dues[0] <= now:
            heappop(self._dues)
            self._claim_wanted = self._silence_over = True
        if self._claim_wanted or now >= self._next_claim_at:
            return True
        if self._dues:
            self._next_claim_at = min(self._next_claim_at, self._dues[0])
        return False

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        """Ask for as many letters as there is room for.

        Of a full messenger only for urgent ones, and after a silence for those that waited for its end:
        they are older than what fills it.
        """
        self._claim_wanted = False
        silence_over, self._silence_over = self._silence_over, False
        now = self.monotonic()
        self._next_claim_at = now + self.claim_every_seconds
        lanes = [lane for lane in self._lanes.values() if lane.silent_until <= now]
        roomy = [lane for lane in lanes if lane.has_room]
        full = [lane for lane in lanes if not lane.has_room and lane.letters < lane.window + _URGENT_RESERVE]
        for lane in full:
            lane.more_stored = True
        if roomy:
            limit = min(lane.window - lane.letters for lane in roomy)
            await self._claim_for(group, roomy, limit, urgent_only=False)
        if full:
            await self._claim_for(group, full, _URGENT_RESERVE, urgent_only=True)
        if silence_over and (waited := [each for each in full if each.letters < each.window + _DUE_RESERVE]):
            await self._claim_for(group, waited, _LETTERS_PER_CHAT, urgent_only=False)

    async def _claim_for(
        self, group: asyncio.TaskGroup, lanes: Sequence[_Lane[LimitsT]], limit: int, *, urgent_only: bool
    ) -> None:
        names = [lane.name for lane in lanes]
        claiming = self.post.claim(names, limit, per_chat=_LETTERS_PER_CHAT, urgent_only=urgent_only)
        self._claiming = True
        try:
            # Whoever cancels us must not lose what the store is about to lease to us.
            self._claim_under_way = group.create_task(_guarded(claiming, "claim letters"))
            letters = await asyncio.shield(self._claim_under_way)
            self._claim_under_way = None
            if isinstance(letters, _Fault):
                return
            self._take_in(letters, claimed=True)
        finally:
            self._claiming = False
            aside, self._aside = self._aside, []
            self._take_in(aside, claimed=False)
        if not urgent_only:
            for lane in lanes:
                lane.more_stored = len(letters) >= limit
            # Room that is left after a full answer is filled at once.
            self._claim_wanted |= len(letters) >= limit and any(lane.has_room for lane in lanes)

    def _take_in(self, letters: Sequence[Letter], *, claimed: bool) -> None:
        """Queue letters, or give them back where an earlier letter of their chat is in the store."""
        now = self.monotonic()
        entering: list[tuple[_Lane[LimitsT], _Chat]] = []
        refused: list[Letter] = []
        for letter in letters:
            if letter.letter_id in self._held:
                continue
            self._held.add(letter.letter_id)
            if claimed and self._given_back.get(letter.chat_id) == 0:
                del self._given_back[letter.chat_id]
            lane = self._lanes.get(letter.channel)
            if lane is None or letter.chat_id in self._given_back:
                refused.append(letter)
                continue
            chat = lane.add(letter, now)
            if chat is not None:
                entering.append((lane, chat))
        wall = self.now()
        for lane, chat in entering:
            lane.enter(chat, now, wall)
        if claimed:
            self._mark_capped(letters)
        for name in {letter.channel for letter in letters} & self._lanes.keys():
            self._lanes[name].bell.set()
        for letter in refused:
            self._give_back([letter])

    def _mark_capped(self, letters: Sequence[Letter]) -> None:
        """Remember the chats of which the store may have more than it was allowed to give."""
        for (name, chat_id), number in Counter((each.channel, each.chat_id) for each in letters).items():
            chat = self._lanes[name].chats.get(chat_id) if name in self._lanes else None
            if chat is not None and number >= _LETTERS_PER_CHAT:
                chat.capped = True

    def _give_back(self, letters: Sequence[Letter], silence_seconds: float = 0.0) -> None:
        self._file(give_back(letters, self.now(), silence_seconds))

    def _file(self, settlement: Settlement) -> None:
        """Have a settlement kept; until it is, its letters stay in our hands."""
        if settlement.state is LetterState.TODO:
            self._given_back[settlement.chat_id] = self._given_back.get(settlement.chat_id, 0) + 1
        self._unsettled.append(settlement)
        self._office_bell.set()

    # The messengers: one loop each, which starts senders when somebody's turn has come.

    async def _serve(self, lane: _Lane[LimitsT], senders: asyncio.TaskGroup) -> None:
        while True:
            lane.bell.clear()
            while (chat := self._next(lane)) is not None:
                task = senders.create_task(self._carry(lane, chat))
                self._senders.add(task)
                task.add_done_callback(self._senders.discard)
            now = self.monotonic()
            opens_at = self._opens_at(lane, now)
            lane.sleeps_until = float("inf") if opens_at is None else opens_at
            await _ring_or_time(lane.bell, lane.sleeps_until - now)
            lane.sleeps_until = float("-inf")

    async def _carry(self, lane: _Lane[LimitsT], first: _Chat) -> None:
        """Send to this chat, and then to whoever is next, so that busy hours need no task per letter."""
        chat: _Chat | None = first
        parcels = 0
        while chat is not None:
            await self._send(lane, chat)
            parcels += 1
            # A messenger that answers without waiting must not keep the event loop for itself.
            if parcels == _PARCELS_PER_TASK:
                lane.bell.set()
                return
            chat = self._next(lane)
            opens_at = self._opens_at(lane, self.monotonic())
            if opens_at is not None and opens_at < lane.sleeps_until:
                lane.bell.set()

    async def _send(self, lane: _Lane[LimitsT], chat: _Chat) -> None:
        """Send the next part of the chat's first letter and draw the consequences."""
        left_at = self.monotonic()
        outcome = await _guarded(self._attempt(lane, chat), "send a letter", channel=lane.name)
        now = self.monotonic()
        lane.turns.gate.heard(min(now, left_at + _HEARD_WITHIN_SECONDS), chat.chat_id)
        lane.in_flight -= 1
        lane.ordinary_in_flight -= chat.in_ordinary_flight
        chat.in_flight = chat.in_ordinary_flight = False
        if isinstance(outcome, _Fault):
            # It may have left before the fault: the same doubt as after a lost answer.
            outcome = Unknown(f"Ошибка программы: {outcome.name}")
        if isinstance(outcome, Sent) and chat.parts_sent + 1 < len(chat.parts):
            chat.parts_sent += 1
            lane.enter(chat, now, self.now())
        else:
            self._conclude(lane, chat, outcome, now)

    async def _attempt(self, lane: _Lane[LimitsT], chat: _Chat) -> Outcome:
        if not chat.parts:
            parcel = _parcel(chat.letters[0])
            chat.parts = self.fit(parcel, lane.sender.limits) or (parcel,)
        part = chat.parts[chat.parts_sent]
        limit_seconds = self._limit_seconds(part)
        try:
            async with asyncio.timeout(limit_seconds):
                return await lane.sender.send(part)
        except TimeoutError:
            return Unknown(f"Нет ответа за {limit_seconds:.0f} с")

    def _limit_seconds(self, parcel: Parcel) -> float:
        uploading_seconds = sum(file.size_bytes for file in parcel.files) / _SLOWEST_UPLOAD_BYTES_PER_SECOND
        longest = max(self.send_timeout_seconds, self.lease_seconds * _LONGEST_SEND_SHARE_OF_LEASE)
        return min(self.send_timeout_seconds + uploading_seconds, longest)

    def _conclude(self, lane: _Lane[LimitsT], chat: _Chat, outcome: Outcome, now: float) -> None:
        outcome = lane.understood(outcome, chat)
        verdict = judge(outcome, chat.letters, self.policy, self.now(), self.jitter())
        for settlement in verdict.settlements:
            self._file(settlement)
        if not isinstance(outcome, Sent):
            self._log_trouble(lane, outcome, verdict)
            self._be_silent(lane, chat, verdict, now)
        lane.revoked = verdict.channel_revoked or (lane.revoked and not isinstance(outcome, Sent))
        if verdict.chat_goes_on:
            lane.drop_first(chat)
            lane.enter(chat, now, self.now())
        else:
            lane.forget(chat)
        if verdict.channel_revoked or verdict.silence_channel_seconds > self.lease_seconds / 4:
            self._empty(lane, verdict.silence_channel_seconds)
        if (lane.more_stored and lane.has_room) or (chat.capped and not chat.letters):
            lane.more_stored = False
            self.wake()

    def _be_silent(self, lane: _Lane[LimitsT], chat: _Chat, verdict: Verdict, now: float) -> None:
        """Keep the silences of a verdict, and be back when they end."""
        if verdict.silence_chat_seconds:
            until = now + verdict.silence_chat_seconds
            lane.turns.gate.pause_chat(until, chat.chat_id)
            heappush(self._dues, until)
        if verdict.silence_channel_seconds:
            until = now + verdict.silence_channel_seconds
            lane.turns.gate.pause_channel(until)
            lane.silent_until = max(lane.silent_until, until)
            heappush(self._dues, until)

    def _empty(self, lane: _Lane[LimitsT], silence_seconds: float = 0.0) -> None:
        """Give back all letters of a messenger that are not in flight."""
        for chat in [chat for chat in lane.chats.values() if not chat.in_flight and chat.letters]:
            self._give_back(tuple(chat.letters), silence_seconds)
            lane.forget(chat)

    def _log_trouble(self, lane: _Lane[LimitsT], outcome: Outcome, verdict: Verdict) -> None:
        """Say what happened without a word of what was written, nor the messenger's own words."""
        if verdict.channel_revoked and not lane.revoked:
            _log.error("the messenger no longer accepts our token, letters wait", channel=lane.name)
        settlement = verdict.settlements[0]
        _log.info(
            "letter not sent",
            channel=lane.name,
            letter=settlement.letter_id,
            outcome=type(outcome).__name__,
            state=settlement.state.value,
            attempts=settlement.attempts,
        )

    def _may_send(self, lane: _Lane[LimitsT]) -> bool:
        """Whether there is a free slot. While the store keeps nothing, nothing more is sent either."""
        slots = 1 if lane.revoked else self.concurrency
        return lane.in_flight < slots and not self._stopping and not self._office_failures

    def _only_urgent(self, lane: _Lane[LimitsT]) -> bool:
        return lane.ordinary_in_flight >= self.concurrency - self.concurrency // 8

    def _opens_at(self, lane: _Lane[LimitsT], now: float) -> float | None:
        if not self._may_send(lane):
            return None
        return lane.turns.opens_at(now, urgent_only=self._only_urgent(lane))

    def _next(self, lane: _Lane[LimitsT]) -> _Chat | None:
        """Choose the chat that sends now; those whose letters are too old are given back on the way."""
        while self._may_send(lane):
            now = self.monotonic()
            chat_id = lane.turns.take(now, urgent_only=self._only_urgent(lane))
            if chat_id is None:
                return None
            chat = lane.chats[chat_id]
            if chat.parts_sent or now - chat.arrivals[0] < self.lease_seconds / 2:
                lane.turns.gate.spend(now, chat_id)
                chat.in_flight = True
                chat.in_ordinary_flight = not chat.urgent_letters
                lane.in_flight += 1
                lane.ordinary_in_flight += chat.in_ordinary_flight
                return chat
            self._give_back(tuple(chat.letters))
            lane.forget(chat)
        return None

    async def _finish(self) -> None:
        """Let what is in flight end and be settled, give back the rest."""
        try:
            async with asyncio.TaskGroup() as last:
                closing = asyncio.Event()
                settling = last.create_task(self._settle_until(closing))
                claim, self._claim_under_way = self._claim_under_way, None
                under_way: set[asyncio.Task[Any]] = {*self._senders, claim} if claim else {*self._senders}
                if under_way:
                    await asyncio.wait(under_way, timeout=self.grace_seconds)
                if claim is not None and claim.done():
                    letters = claim.result()
                    self._take_in(() if isinstance(letters, _Fault) else letters, claimed=True)
                for lane in self._lanes.values():
                    self._empty(lane)
                closing.set()
                self._office_bell.set()
                await asyncio.wait({settling}, timeout=self.grace_seconds)
                settling.cancel()
        finally:
            self._forget_leases()

    async def _settle_until(self, closing: asyncio.Event) -> None:
        while self._unsettled or not closing.is_set():
            self._office_bell.clear()
            if not self._unsettled:
                await self._office_bell.wait()
            elif not await self._settle():
                await asyncio.sleep(self._office_pause())

    def _forget_leases(self) -> None:
        """Leave to their leases the letters that nobody could settle; what is known stays unsettled."""
        self._lanes = {name: _lane(name, sender) for name, sender in self.channels.items()}
        self._held = {settlement.letter_id for settlement in self._unsettled}
        self._held.update(each for settlement in self._unsettled for each in settlement.releases)
        self._given_back = dict(
            Counter(each.chat_id for each in self._unsettled if each.state is LetterState.TODO)
        )
        self._dues.clear()


def _lane(name: str, sender: Sender[LimitsT]) -> _Lane[LimitsT]:
    limits = sender.limits
    rate_per_second = limits.messages_per_second * _RATE_SHARE
    gate = Gate(
        Pace(rate_per_second, limits.messages_burst),
        Pace(limits.chat_messages_per_second, limits.chat_burst),
    )
    window = max(_SMALLEST_WINDOW, int(min(rate_per_second * _WINDOW_SECONDS, _LARGEST_WINDOW)))
    return _Lane(name, sender, Turns(gate), window)


def _parcel(letter: Letter) -> Parcel:
    return Parcel(letter.key, letter.chat_key, letter.text, letter.rows, letter.files, letter.last_inbound_at)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Something raised what it should not have; `name` is the class of the exception."""

    name: str


async def _guarded(work: Awaitable[_T], doing: str, **context: str) -> _T | _Fault:
    """Survive the store's absence and a channel's bug; the log gets the place, never the contents."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - delivery is one of the three supervisors
        name = type(error).__name__
        _log.error("failed to " + doing, error=name, place=place_of(error), **context)
        return _Fault(name)


async def _ring_or_time(bell: asyncio.Event, seconds: float) -> None:
    """Wait for the bell, but not longer than `seconds`, which may be infinite."""
    try:
        async with asyncio.timeout(None if seconds == float("inf") else max(0.0, seconds)):
            await bell.wait()
    except TimeoutError:
        return
