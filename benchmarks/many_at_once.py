"""A whole firm at once in 1 GB: 134 clients, 20 staff, a burst of 1000 messages, a mailing to 10 000.

The limit is a real one: a memory control group of the kernel, out of which the service would be killed.
Telegram is paced as in production, so the mailing goes on all the time below the answers. Where control
groups cannot be made, the limit is only watched, and the report says so.

Goals: answers within seconds (p99 3 s; a burst as soon as Telegram bears it), nothing out of order, 1 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from router.model import Role
from storage.engine import open_database
from storage.invitations import invite_staff
from tests.e2e.disasters import Beset, letters_wait, telegram_section, until
from tests.e2e.service import SAYS, STEPS, inn_of
from tests.emulators.telegram import Chat, TelegramEmulator

LIMIT_BYTES = 1024**3
CLIENTS, STAFF, BURST, MAILING = 134, 20, 1000, 10_000
CLIENT_THINKS_SECONDS, STAFF_THINKS_SECONDS = (6.0, 12.0), (4.0, 8.0)
ANSWER_GOAL_SECONDS = 3.0
BURST_GOAL_SECONDS = 36.0
"""Telegram takes 28 messages a second: so long take a thousand answers."""
FIRST_CLIENT, FIRST_STAFF = 500_000, 900_000


@dataclass(slots=True)
class Room:
    """Where the service runs; without a folder nothing limits it."""

    folder: Path | None
    is_v2: bool = False

    def enter(self) -> None:
        """Called in the new process."""
        if self.folder is not None:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def told(self) -> str:
        if self.folder is None:
            return "only watched: control groups cannot be made here"
        return f"set by the kernel, {'memory.max' if self.is_v2 else 'memory.limit_in_bytes'}"


@contextmanager
def memory_room(limit_bytes: int) -> Iterator[Room]:
    """A control group with so much memory, of version 2 or 1; no limit where neither can be made."""
    root = Path("/sys/fs/cgroup")
    for parent, limit in ((root, "memory.max"), (root / "memory", "memory.limit_in_bytes")):
        folder = parent / f"priem-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            # Where there is no such control, the folder is a common one.
            with (folder / limit).open("r+") as opened:
                opened.write(str(limit_bytes))
            if limit == "memory.max":
                with contextlib.suppress(OSError):
                    (folder / "memory.swap.max").write_text("0")
        except OSError:
            folder.rmdir()
            continue
        try:
            yield Room(folder, is_v2=limit == "memory.max")
        finally:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.1)
        return
    yield Room(None)


@dataclass(slots=True)
class Measured:
    """Seconds between what a person did and the answer."""

    clients: list[float] = field(default_factory=list)
    staff: list[float] = field(default_factory=list)
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Firm:
    """Everybody who talks."""

    telegram: TelegramEmulator
    measured: Measured

    async def client(self, number: int, ends_at: float) -> None:
        """Fill one form after another, thinking between the steps."""
        dice = random.Random(number)
        loop = asyncio.get_running_loop()
        form = 0
        await asyncio.sleep(dice.uniform(0, CLIENT_THINKS_SECONDS[1]))
        while loop.time() < ends_at:
            # Each form is a new client's: whoever has agreed is not asked again.
            identity = number + 1000 * form
            chat = self.telegram.chat(FIRST_CLIENT + identity, first_name="Мария")
            form += 1
            for how, pattern, words in STEPS:
                if loop.time() >= ends_at:
                    return
                what = pattern.format(number=identity, inn=inn_of(identity))
                asked_at = loop.time()
                await (chat.says(what) if how == SAYS else chat.presses(what))
                await self._answered(chat, words, asked_at, self.measured.clients)
                await asyncio.sleep(dice.uniform(*CLIENT_THINKS_SECONDS))

    async def member(self, number: int, ends_at: float) -> None:
        """Look at one's own list again and again."""
        dice = random.Random(FIRST_STAFF + number)
        loop = asyncio.get_running_loop()
        chat = self.telegram.chat(FIRST_STAFF + number)
        while loop.time() < ends_at:
            await asyncio.sleep(dice.uniform(*STAFF_THINKS_SECONDS))
            asked_at, seen = loop.time(), len(chat.messages)
            await chat.says("/mine")
            try:
                await chat.shown(seen + 1, timeout_seconds=60)
            except AssertionError:
                self.measured.unanswered += 1
            else:
                self.measured.staff.append(loop.time() - asked_at)

    async def _answered(self, chat: Chat, words: str, asked_at: float, into: list[float]) -> None:
        loop = asyncio.get_running_loop()
        while not any(words in each.text for each in chat.messages):
            if loop.time() - asked_at > 60:
                self.measured.unanswered += 1
                return
            with contextlib.suppress(AssertionError):
                await chat.shown(len(chat.messages) + 1, timeout_seconds=5)
        into.append(loop.time() - asked_at)


@dataclass(frozen=True, slots=True)
class Burst:
    """What became of a thousand messages in a second."""

    took_to_send_seconds: float
    kept_in_seconds: float
    answered_in_seconds: float
    """Till the last of the clients has an answer."""
    answers: int
    """So many had come by then."""
    out_of_order: int
    lost: int


async def burst(service: Beset, telegram: TelegramEmulator, count: int, clients: int) -> Burst:
    """Everybody writes several messages one after another, all within a second."""
    loop = asyncio.get_running_loop()
    chats = [telegram.chat(700_000 + number, first_name="Пётр") for number in range(clients)]
    for chat in chats:
        await chat.says("/start")
    for chat in chats:
        await chat.shown(1, timeout_seconds=60)
        await chat.presses("Согласен")
    for chat in chats:
        await chat.shown(2, timeout_seconds=60)
    seen = {chat.id: len(chat.messages) for chat in chats}
    said: dict[int, list[str]] = {chat.id: [] for chat in chats}
    began_at = loop.time()
    for number in range(count):
        chat = chats[number % clients]
        said[chat.id].append(f"Сообщение {number}")
        await chat.says(f"Сообщение {number}")
        await asyncio.sleep(max(0.0, began_at + number / count - loop.time()))
    sent_at = loop.time()
    await until(lambda: not telegram.pending, seconds=120, what="all is acknowledged")
    kept_at = loop.time()
    await until(
        lambda: all(len(chat.messages) > seen[chat.id] for chat in chats),
        seconds=120,
        what="all are told",
    )
    answered_at = loop.time()
    answers = sum(len(chat.messages) - seen[chat.id] for chat in chats)
    stored: dict[str, list[str]] = {}
    query = (
        "select chat.chat_key, message.text from message join chat on chat.id = message.chat_id "
        "where message.text like 'Сообщение %' order by message.id"
    )
    for key, text in service.rows(query):
        stored.setdefault(key, []).append(text)
    lost = sum(len(texts) - len(stored.get(str(key), [])) for key, texts in said.items())
    disordered = sum(stored.get(str(key), []) != texts for key, texts in said.items())
    return Burst(sent_at - began_at, kept_at - began_at, answered_at - began_at, answers, disordered, lost)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def let_staff_in(service: Beset, telegram: TelegramEmulator, count: int) -> None:
    database = open_database(f"sqlite:///{service.database}")
    for number in range(count):
        role = Role.DIRECTOR if number == 0 else Role.ACCOUNTANT
        with database.begin() as session:
            email = f"staff{number}@example.org"
            invited = invite_staff(
                session, role, f"Анна Петрова{number}", email, datetime.now(UTC), valid_days=7,
                department=None, skills=None,
            )  # fmt: skip
        chat = telegram.chat(FIRST_STAFF + number, first_name="Анна")
        await chat.says(f"/start {invited.chat_code}")
        await chat.answer(timeout_seconds=30)
    await database.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run."""

    room: str
    started_in_seconds: float
    measured: Measured
    burst: Burst
    mailed: int
    mailing_disordered: bool
    peak_mb: float


async def run(
    folder: Path, room: Room, seconds: float, *, clients: int = CLIENTS, staff: int = STAFF,
    messages: int = BURST, mailing: int = MAILING, rate: float = 28,
) -> Outcome:  # fmt: skip
    async with TelegramEmulator() as telegram:
        section = telegram_section(telegram, rate=rate, burst=1, chat_rate=1, chat_burst=3)
        service = Beset(folder, section, with_faults=False)
        async with service:
            await let_staff_in(service, telegram, staff)
            await telegram.chat(1000).says("/start")
            await telegram.chat(1000).answer(timeout_seconds=30)
            await until(lambda: not telegram.pending)
            await service.stop()
            letters_wait(service.database, telegram, mailing, 1)
            service.before_start = room.enter
            loop = asyncio.get_running_loop()
            began_at = loop.time()
            await service.start()
            started_in = loop.time() - began_at
            firm = Firm(telegram, Measured())
            ends_at = loop.time() + seconds
            async with asyncio.TaskGroup() as people:
                for number in range(clients):
                    people.create_task(firm.client(number, ends_at))
                for number in range(staff):
                    people.create_task(firm.member(number, ends_at))
            done = await burst(service, telegram, messages, clients)
            words = [
                request.params["text"] for request in telegram.requests
                if request.method == "sendMessage" and request.status == 200
            ]  # fmt: skip
            mailed = [int(word) for word in words if word.isdigit()]
            return Outcome(
                room.told, started_in, firm.measured, done, len(mailed), len(set(mailed)) != len(mailed),
                _peak_mb(service),
            )  # fmt: skip


def _peak_mb(service: Beset) -> float:
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def report(outcome: Outcome) -> int:
    measured, done = outcome.measured, outcome.burst
    goals: list[tuple[str, float, float, str]] = [
        ("clients, p99 of answers", percentile(measured.clients, 0.99), ANSWER_GOAL_SECONDS, "s"),
        ("staff, p99 of answers", percentile(measured.staff, 0.99), ANSWER_GOAL_SECONDS, "s"),
        ("burst answered in", done.answered_in_seconds, BURST_GOAL_SECONDS, "s"),
        ("peak memory", outcome.peak_mb, LIMIT_BYTES / 1024**2, "MB"),
    ]
    print(f"limit of memory           {outcome.room}")
    print(f"started in                {outcome.started_in_seconds:.1f} s, with the mailing waiting")
    print(f"clients, p50 of answers   {statistics.median(measured.clients):.2f} s of {len(measured.clients)}")
    print(f"staff, p50 of answers     {statistics.median(measured.staff):.2f} s of {len(measured.staff)}")
    print(f"burst sent, kept in       {done.took_to_send_seconds:.1f} s, {done.kept_in_seconds:.1f} s")
    print(f"answers to the burst      {done.answers} when everybody had one")
    print(f"mailed meanwhile          {outcome.mailed}")
    for name, value, goal, unit in goals:
        print(f"{name:26}{value:.2f} {unit} (goal {goal:g}, {value / goal:.0%} of it)")
    faults = done.out_of_order + done.lost + measured.unanswered + outcome.mailing_disordered
    print(f"out of order, lost        {done.out_of_order}, {done.lost} (goal 0)")
    print(f"unanswered                {measured.unanswered} (goal 0)")
    return 1 if faults or any(value > goal for _name, value, goal, _unit in goals) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long clients and staff talk")
    parser.add_argument("--rate", type=float, default=28, help="messages a second that Telegram bears")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, memory_room(LIMIT_BYTES) as room:
        return report(asyncio.run(run(Path(folder), room, options.seconds, rate=options.rate)))


if __name__ == "__main__":
    raise SystemExit(main())
