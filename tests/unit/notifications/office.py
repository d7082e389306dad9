"""A post office in memory that keeps the promises of `PostOffice`, and a loop whose time leaps."""

import asyncio
import selectors
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from notifications.outbox import Letter, LetterState

EPOCH = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: when nothing is ready, its clock leaps to the next timer."""

    def __init__(self):
        self.clock_seconds = 1000.0
        super().__init__(_LeapingSelector(self))

    def time(self):
        return self.clock_seconds


class _LeapingSelector(selectors.SelectSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("Nothing will ever happen again: the loop waits without a timer.")
        # Every turn of the loop costs something, or a loop that spins would stop the time.
        self._loop.clock_seconds += max(timeout, 1e-6)
        return super().select(0)


def leap(scenario):
    """Run a coroutine on a leaping loop; an hour of its time takes as long as its instructions."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(scenario)


def wall_clock():
    """The wall clock of the running loop."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def monotonic():
    return asyncio.get_running_loop().time()


class StoreDownError(Exception):
    pass


@dataclass(slots=True)
class Row:
    letter: Letter
    state: LetterState = LetterState.TODO
    not_before: datetime = EPOCH
    owner: str = ""
    lease_until: datetime = EPOCH
    message_key: str = ""
    reason: str = ""
    chat_blocked: bool = False
    finals: int = 0

    @property
    def is_finished(self):
        return self.state not in (LetterState.TODO, LetterState.DOING)


@dataclass(slots=True)
class Office:
    """Every letter there is, by id. `as_process` gives the view of one process."""

    rows: dict[int, Row] = field(default_factory=dict)
    latency_seconds: float = 0.0
    failures_ahead: int = 0
    claims: list[tuple[tuple[str, ...], int, bool]] = field(default_factory=list)
    lease_seconds: float = 180.0

    def add(self, *letters):
        for letter in letters:
            self.rows[letter.letter_id] = Row(letter)

    def as_process(self, name):
        return Desk(self, name)

    def lease(self, owner, row):
        row.state, row.owner = LetterState.DOING, owner
        row.lease_until = wall_clock() + timedelta(seconds=self.lease_seconds)

    def states(self):
        return Counter(row.state for row in self.rows.values())

    def unfinished(self):
        return [row for row in self.rows.values() if not row.is_finished]

    async def finished(self, poll_seconds=0.5, within_seconds=2_000_000.0):
        async with asyncio.timeout(within_seconds):
            while self.unfinished():
                await asyncio.sleep(poll_seconds)


@dataclass(slots=True)
class Desk:
    """The post office as one process sees it."""

    office: Office
    owner: str

    def commit_leased(self, *letters):
        """What intake does: store letters, lease to itself those that may go at once, return them."""
        self.office.add(*letters)
        leased = []
        for letter in letters:
            if self._may_lease(self.office.rows[letter.letter_id]):
                self.office.lease(self.owner, self.office.rows[letter.letter_id])
                leased.append(letter)
        return leased

    async def claim(self, channels, limit, *, per_chat, urgent_only):
        await self._travel()
        self.office.claims.append((tuple(channels), limit, urgent_only))
        now = wall_clock()
        for row in self.office.rows.values():
            if row.state is LetterState.DOING and row.lease_until <= now:
                row.state, row.owner = LetterState.TODO, ""
        due = [
            row
            for row in self.office.rows.values()
            if row.state is LetterState.TODO and row.not_before <= now and row.letter.channel in channels
        ]
        urgent_chats = {row.letter.chat_id for row in due if row.letter.urgent}
        oldest = {}
        for row in due:
            oldest[row.letter.chat_id] = min(
                oldest.get(row.letter.chat_id, row.letter.letter_id), row.letter.letter_id
            )
        due.sort(
            key=lambda row: (
                row.letter.chat_id not in urgent_chats,
                oldest[row.letter.chat_id],
                row.letter.letter_id,
            )
        )
        unfinished = {}
        for row in sorted(self.office.unfinished(), key=lambda row: row.letter.letter_id):
            unfinished.setdefault(row.letter.chat_id, []).append(row)
        given = Counter()
        letters = []
        for row in due:
            if len(letters) == limit:
                break
            chat_id = row.letter.chat_id
            if urgent_only and chat_id not in urgent_chats:
                break
            if given[chat_id] < per_chat and self._is_first(row, unfinished[chat_id]):
                given[chat_id] += 1
                self.office.lease(self.owner, row)
                letters.append(row.letter)
        await self._travel()
        return letters

    async def settle(self, settlements):
        await self._travel()
        if self.office.failures_ahead:
            self.office.failures_ahead -= 1
            raise StoreDownError
        for settlement in settlements:
            self._settle_one(settlement)
        await self._travel()

    def _settle_one(self, settlement):
        row = self.office.rows[settlement.letter_id]
        if settlement.state is LetterState.TODO:
            if settlement.not_before is not None:
                row.not_before = settlement.not_before
            for letter_id in (settlement.letter_id, *settlement.releases):
                self._release(self.office.rows[letter_id])
            row.letter = replace(row.letter, attempts=settlement.attempts)
            return
        row.finals += not row.is_finished
        row.state, row.owner = settlement.state, ""
        row.letter = replace(row.letter, attempts=settlement.attempts)
        row.message_key, row.reason = settlement.message_key, settlement.reason
        row.chat_blocked = settlement.chat_blocked

    def _release(self, row):
        if row.state is LetterState.DOING and row.owner == self.owner:
            row.state, row.owner = LetterState.TODO, ""

    def _may_lease(self, row):
        chat = [other for other in self.office.unfinished() if other.letter.chat_id == row.letter.chat_id]
        return self._is_first(row, chat)

    def _is_first(self, row, of_its_chat):
        return all(
            other.state is LetterState.DOING and other.owner == self.owner
            for other in of_its_chat
            if other.letter.letter_id < row.letter.letter_id
        )

    async def _travel(self):
        if self.office.latency_seconds:
            await asyncio.sleep(self.office.latency_seconds)
