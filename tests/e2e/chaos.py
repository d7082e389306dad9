"""Chaos: clients fill the form in three messengers while everything that can go wrong does, by chance.

`check` is independent: it knows what the messengers were told and what the people were shown, reads the
database with plain sqlite3, and imports nothing of the program.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.e2e.chaos_sides import Person, Side, TelegramSide, ViberSide, VkSide, loop_time
from tests.e2e.disasters import BROKEN, FULL, READ_ONLY, Beset, until
from tests.e2e.service import CONSENT_STEP, HEARD_AFTER_A_KILL_SECONDS, STEPS, Kill, inn_of

SETTLED_WITHIN_SECONDS = 400.0
"""A letter that failed many times is tried again after minutes."""


# --- the clients -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Dialogue:
    """One client who fills the form once; a client who sees no answer waits, as people do."""

    number: int
    side: Side
    person: Person
    dice: random.Random
    events: list[str] = field(default_factory=list)
    is_done: bool = False

    async def run(self, answer_seconds: float) -> None:
        for how, pattern, answer in STEPS:
            await asyncio.sleep(self.dice.uniform(0, 0.2))
            what = pattern.format(number=self.number, inn=inn_of(self.number))
            self.events.append(await self.person.does(how, what))
            if self.dice.random() < 0.1:
                self.side.repeat(self.dice)
            async with asyncio.timeout(answer_seconds):
                while not any(answer in each.text for each in self.person.shown):
                    self.person.changed.clear()
                    await self.person.changed.wait()
        self.is_done = True


# --- what goes wrong -------------------------------------------------------------------------------


@dataclass(slots=True)
class Weather:
    """What went wrong so far. Moments are the event loop's time."""

    counts: Counter[str] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """All but the kills."""
        return sum(count for what, count in self.counts.items() if what != "kill")


@dataclass(slots=True)
class Storm:
    """Makes misfortunes happen, one after another, as the dice say."""

    service: Beset
    sides: Sequence[Side]
    dice: random.Random
    weather: Weather = field(default_factory=Weather)

    async def blow(self, until: float) -> None:
        """Until that moment of the event loop, with one kill at least; then nothing is wrong any more."""
        async with asyncio.TaskGroup() as tasks:
            # Dice of their own: how many small faults fit in must not change which misfortunes come.
            spoiling = tasks.create_task(self._spoil_and_repeat(random.Random(self.dice.random())))
            misfortunes: Sequence[tuple[Callable[[], Awaitable[None]], int]] = (
                (self._kill, 4), (self._bad_disk, 4), (self._kill_on_bad_disk, 1), (self._clock, 2),
                (self._messenger_down, 1),
            )  # fmt: skip
            acts, weights = zip(*misfortunes, strict=True)
            while loop_time() < until:
                await asyncio.sleep(self.dice.uniform(0.3, 2.0))
                await self.dice.choices(acts, weights)[0]()
            if not self.weather.kills:
                await self._kill()
            spoiling.cancel()
        self.service.faults.end()
        self.service.faults.clock_is_wrong_by(0)
        for side in self.sides:
            side.forgive()

    async def _spoil_and_repeat(self, dice: random.Random) -> None:
        while True:
            await asyncio.sleep(dice.uniform(0.1, 0.8))
            side = dice.choice(self.sides)
            if dice.random() < 0.5:
                side.spoil(dice)
                self._count("messenger's fault")
            else:
                side.repeat(dice)
                self._count("repeated or late event")

    async def _kill(self) -> None:
        self._count("kill")
        await self.service.kill()
        self.weather.kills.append(Kill.just_now(self.service.rows))
        await self._up_again()

    async def _up_again(self) -> None:
        """As whoever supervises the service does it."""
        async with asyncio.timeout(60):
            while True:
                process = await self.service.launch()
                while process.returncode is None:
                    if (await self.service.health())[0]:
                        return
                    await asyncio.sleep(0.1)

    def _disk_goes_bad(self) -> None:
        faults = self.service.faults
        match self.dice.randrange(4):
            case 0:
                faults.writing_says(FULL)
                self._count("full disk")
            case 1:
                faults.writing_says(FULL, tears=True)
                self._count("half-written page")
            case 2:
                faults.writing_says(READ_ONLY)
                self._count("read-only disk")
            case _:
                faults.fsync_says(BROKEN)
                self._count("failed fsync")

    async def _bad_disk(self) -> None:
        self._disk_goes_bad()
        await asyncio.sleep(self.dice.uniform(0.1, 2.5))
        self.service.faults.end()

    async def _kill_on_bad_disk(self) -> None:
        self._disk_goes_bad()
        await asyncio.sleep(self.dice.uniform(0.1, 1.0))
        self._count("kill")
        await self.service.kill()
        self.weather.kills.append(Kill.just_now(self.service.rows))
        self.service.faults.end()
        await self._up_again()

    async def _clock(self) -> None:
        self.service.faults.clock_is_wrong_by(self.dice.choice([-3600.0, -600.0, -5.0, 0.0, 5.0, 90.0]))
        self._count("clock jump")

    async def _messenger_down(self) -> None:
        side = self.dice.choice(self.sides)
        await side.stop()
        side.lost_answers.append(loop_time())
        await asyncio.sleep(self.dice.uniform(0.2, 2.0))
        await side.start()
        self._count("messenger down")

    def _count(self, what: str) -> None:
        self.weather.counts[what] += 1


# --- the checker -----------------------------------------------------------------------------------

FAULT_WAITS_SECONDS = 30.0
"""So long a fault may have waited for the call that it spoilt: a service that was killed makes none."""


@dataclass(slots=True)
class Verdict:
    """What the checker has found."""

    dialogues: int = 0
    finished: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seen_twice: int = 0
    """Messages that people saw twice for a reason that no messenger without idempotency lets us avoid."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.disordered or self.wrong)


def check(database: Path, dialogues: Sequence[Dialogue], weather: Weather) -> Verdict:
    """Compare what was acknowledged, done and shown with what is stored."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        stored = _Stored(opened)
    verdict = Verdict(len(dialogues), sum(each.is_done for each in dialogues))
    if stored.integrity != "ok":
        verdict.wrong.append(f"the database: {stored.integrity}")
    for dialogue in dialogues:
        _check_events(dialogue, stored, verdict)
        _check_request(dialogue, stored, verdict)
        _check_shown(dialogue, stored, weather, verdict)
    expected = {(dialogue.side.name, dialogue.person.key) for dialogue in dialogues}
    for chat in stored.requests.keys() - expected:
        verdict.doubled.append(f"{chat} has a request that nobody made")
    verdict.wrong += [f"letter {key} is {state}" for key, state in stored.unsent]
    for side in {dialogue.side.name: dialogue.side for dialogue in dialogues}.values():
        verdict.wrong += side.violations()
    return verdict


class _Stored:
    """All that is of interest, read once."""

    def __init__(self, opened: sqlite3.Connection) -> None:
        (self.integrity,) = opened.execute("pragma integrity_check").fetchone()
        self.events: dict[tuple[str, str], list[str]] = defaultdict(list)
        for channel, key, state in opened.execute("select channel, event_key, state from inbox_event"):
            self.events[channel, key].append(state)
        chats = {row[0]: (row[1], row[2]) for row in opened.execute("select id, channel, chat_key from chat")}
        self.messages: Counter[tuple[str, str]] = Counter()
        for chat_id, key in opened.execute("select chat_id, event_key from message"):
            self.messages[chats[chat_id][0], key] += 1
        consents = opened.execute("select chat_id from consent")
        self.consents = Counter(chats[chat_id] for (chat_id,) in consents)
        self.answers: Counter[str] = Counter()
        self.unsent = []
        self.letters: set[tuple[str, str]] = set()
        self.said: dict[tuple[str, str], list[str]] = defaultdict(list)
        """All that we wrote to a chat, with what became of it."""
        query = "select key, state, chat_id, text, attempts, sent_at from letter order by id"
        for key, state, chat_id, text, attempts, sent_at in opened.execute(query):
            self.letters.add((chats[chat_id][1], text))
            self.said[chats[chat_id]].append(f"{key} {state} {attempts} {sent_at} {text[:60]!r}")
            if key.startswith("turn:"):
                self.answers[key.rpartition(":")[0]] += 1
            if state not in ("sent", "superseded"):
                self.unsent.append((key, state))
        self.requests: dict[tuple[str, str], list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
        for number, chat_id, answers in opened.execute("select id, chat_id, answers from request"):
            self.requests[chats[chat_id]].append((number, orjson.loads(answers)))


def _check_events(dialogue: Dialogue, stored: _Stored, verdict: Verdict) -> None:
    channel = dialogue.side.name
    for step, event in enumerate(dialogue.events):
        name = f"{channel} {event}, step {step}"
        states = stored.events.get((channel, event), [])
        if dialogue.side.has_acknowledged(event):
            verdict.acknowledged += 1
            if states != ["done"]:
                verdict.lost.append(f"{name} was acknowledged and is stored as {states}")
        elif dialogue.is_done:
            verdict.wrong.append(f"{name} was never acknowledged")
        kept, wanted = stored.messages[channel, event], 1 if step > CONSENT_STEP else 0
        if kept > wanted:
            verdict.doubled.append(f"{name} stands {kept} times in the correspondence")
        elif states and kept < wanted:
            verdict.lost.append(f"{name} is missing in the correspondence")
        if stored.answers[f"turn:{channel}:{event}"] > 1:
            verdict.doubled.append(f"{name} was answered more than once")
    if stored.consents[channel, dialogue.person.key] > 1:
        verdict.doubled.append(f"{channel} {dialogue.person.key} has agreed twice")


def _check_request(dialogue: Dialogue, stored: _Stored, verdict: Verdict) -> None:
    who = f"{dialogue.side.name} {dialogue.person.key}"
    found = stored.requests.get((dialogue.side.name, dialogue.person.key), [])
    if len(found) > 1:
        verdict.doubled.append(f"{who} has {len(found)} requests")
    if not dialogue.is_done:
        story = "; ".join(
            f"{event}: {stored.events.get((dialogue.side.name, event))}" for event in dialogue.events
        )
        verdict.wrong.append(
            f"{who} was left without an answer after {len(dialogue.events)} steps"
            f"\n    saw {[each.text[:60] for each in dialogue.person.shown]}\n    did {story}"
            f"\n    stored {stored.said[dialogue.side.name, dialogue.person.key]}"
        )
        return
    if not found:
        verdict.lost.append(f"{who} has no request")
        return
    number, answers = found[0]
    wanted = {
        "inn": inn_of(dialogue.number),
        "company": f"Ромашка-{dialogue.number}",
        "kind": "pay",
        "task": f"Свету 12 345 рублей по договору Д-{dialogue.number}",
        "files": "[]",
    }
    verdict.wrong += [
        f"request {number}: {name} is {answers.get(name)!r}"
        for name in wanted
        if answers.get(name) != wanted[name]
    ]
    receipts = {each.text for each in dialogue.person.shown if "принята" in each.text}
    if len(receipts) != 1 or f"№ {number} " not in receipts.pop():
        verdict.wrong.append(f"{who} was not told the number {number} once")


def _check_shown(dialogue: Dialogue, stored: _Stored, weather: Weather, verdict: Verdict) -> None:
    who = f"{dialogue.side.name} {dialogue.person.key}"
    first: dict[str, float] = {}
    for each in dialogue.person.shown:
        if each.text not in first:
            first[each.text] = each.at
            if (dialogue.person.key, each.text) not in stored.letters:
                verdict.wrong.append(f"{who} saw what no letter says: {each.text[:60]!r}")
            continue
        verdict.seen_twice += 1
        if not _may_come_twice(dialogue, each.text, first[each.text], each.at, weather):
            verdict.doubled.append(f"{who} saw twice without a reason: {each.text[:60]!r}")
    steps = [next((n for n, step in enumerate(STEPS) if step[2] in text), -1) for text in first]
    if steps != list(range(len(STEPS)))[: len(steps)]:
        verdict.disordered.append(f"{who} saw the answers of the steps {steps}")


def _may_come_twice(dialogue: Dialogue, text: str, first: float, again: float, weather: Weather) -> bool:
    """Only when an answer was lost, or a kill came before what was sent could be written down."""
    if not dialogue.side.doubles:
        return False
    lost = dialogue.side.lost_answers
    if bisect_left(lost, first - FAULT_WAITS_SECONDS) != bisect_right(lost, again):
        return True
    letter = (dialogue.person.key, text)
    return any(
        letter not in kill.settled and first - HEARD_AFTER_A_KILL_SECONDS <= kill.at <= again
        for kill in weather.kills
    )


# --- all together ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of chaos."""

    verdict: Verdict
    weather: Weather
    dialogues_by_messenger: Mapping[str, int]
    suffered: int
    """How many writes and fsyncs of the service have failed."""
    log: str


async def run(
    folder: Path, seconds: float, seed: int, at_once: int, *, answer_seconds: float = 400
) -> Outcome:
    """Let clients fill forms in a storm of `seconds`, let them finish in calm weather, and check."""
    dice = random.Random(seed)
    sides: Sequence[Side] = (TelegramSide(), VkSide(), ViberSide())
    dialogues: list[Dialogue] = []
    async with AsyncExitStack() as stack:
        for side in sides:
            await side.start()
            stack.push_async_callback(side.stop)
        port_taken_by = Beset(folder, "".join(side.section() for side in sides))
        port_taken_by.server = f'public_url = "http://127.0.0.1:{port_taken_by.port}"'
        service = await stack.enter_async_context(port_taken_by)
        # What is written before a messenger knows us for the first time, it does not keep for us.
        await until(lambda: _is_known(service, sides), seconds=60, what="all messengers know us")
        storm = Storm(service, sides, random.Random(dice.random()))
        ends_at = loop_time() + seconds
        async with asyncio.TaskGroup() as tasks:
            storming = tasks.create_task(storm.blow(ends_at))
            slots = asyncio.Semaphore(at_once)

            async def talk(dialogue: Dialogue) -> None:
                try:
                    await dialogue.run(answer_seconds)
                except TimeoutError:
                    pass  # the checker tells it
                finally:
                    slots.release()

            while loop_time() < ends_at:
                await slots.acquire()
                number = len(dialogues)
                side = sides[number % len(sides)]
                own = random.Random(f"{seed}:{number}")
                dialogues.append(Dialogue(number, side, side.person(number), own))
                tasks.create_task(talk(dialogues[-1]))
            await storming
        await _settled(service, dialogues)
        verdict = check(service.database, dialogues, storm.weather)
        counted = Counter(dialogue.side.name for dialogue in dialogues)
        return Outcome(verdict, storm.weather, counted, service.faults.suffered, service.log)


def _is_known(service: Beset, sides: Sequence[Side]) -> bool:
    cursors = service.rows("select 1 from setting where key = 'cursor:vk'")
    return bool(cursors) and all(side.is_known() for side in sides)


async def _settled(service: Beset, dialogues: Sequence[Dialogue]) -> None:
    """Wait until what was sent is written down as sent, and the last events are acknowledged.

    What does not come to that in time, the checker tells.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
            while service.rows("select 1 from letter where state in ('todo', 'doing') limit 1"):
                await asyncio.sleep(0.1)
            while not all(each.side.has_acknowledged(each.events[-1]) for each in dialogues if each.is_done):
                await asyncio.sleep(0.1)
