"""Outgoing letters at the very limit of each messenger, before a strict judge (P3).

Ours is the whole service on SQLite with synchronous=FULL: letters wait in its outbox, delivery claims, paces,
sends and settles them. The judge is a messenger that counts every second and every chat and answers 429;
Telegram's stands behind real HTTP and the real adapter. The others' stand in this process and take the limits
of their adapters' default settings. Each profile has a process of its own, and all run at the same time:
nothing here is bound by the CPU. Then come bots that send as their guides tell.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
from sqlalchemy import insert, select

from app.clock import now as wall_clock
from app.service import Service, lent_to_channels, open_service
from app.settings import channel_kinds, load
from benchmarks.load import TOKEN
from benchmarks.memory import free_port
from bots.base import Doors, Health, Limits
from forms.messages import Inbound, InboundKind
from notifications.outbox import LetterState, Outcome, Parcel, Retry, Sent
from notifications.texts import Catalogue
from storage.engine import Database
from storage.files import FileStore
from storage.migrate import migrate
from storage.models import Chat, Letter
from tests.emulators.judge import Judge, TooMuch
from tests.emulators.telegram import TelegramEmulator

HOT_CHATS = 10
MAILING = 10_000
BACKLOG_SECONDS = 10.0
ANSWERS = 8
ANSWER_EVERY_SECONDS = 0.4
SILENCE_SECONDS = 2
AFTER_SECONDS = 3.0
LATENCY_SECONDS = (0.03, 0.05)
"""There and back, of a messenger in this process."""
QUIET_MS = 10.0
"""Where every process is held up for longer, the pauses between messages are the machine's and not ours."""
PEERS = ("aiogram, gather and retry_after", "aiogram, sleep 0.05 after each")

FIRST_ANSWERED = 900_000
SECTION_SWITCHED_OFF = re.compile(r"^#(?=\[|[a-z_]+ = )", re.MULTILINE)
EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
CONFIG = """
[firm]
name = "Баланс"
[server]
port = {port}
secret_key = "0123456789abcdef0123456789abcdef"
[bots.{section}]
"""


# --- the profiles --------------------------------------------------------------------------------


def profiles() -> dict[str, Limits]:
    """What each messenger bears, as its adapter says when it is opened with its default settings."""
    shown = tomllib.loads(SECTION_SWITCHED_OFF.sub("", EXAMPLE.read_text(encoding="utf-8")))
    found = {}
    with tempfile.TemporaryDirectory() as name:
        settings = load(_config(Path(name), "webchat"))
        nothing: Any = SimpleNamespace()
        store = FileStore(settings.storage.files, 1)
        lent = lent_to_channels(settings, nothing, store, Catalogue.open("ru").say, wall_clock)
        for kind in channel_kinds().values():
            # Our own page has no limits of others, and mail servers do not count seconds.
            section = shown.get("bots", {}).get(kind.name)
            if kind.own_page or kind.by_email or section is None:
                continue
            found[kind.name] = kind.open(kind.settings(**section), lent).limits
    return found


def _config(folder: Path, section: str, **values: str) -> Path:
    file = folder / "config.toml"
    lines = "".join(f'{name} = "{value}"\n' for name, value in values.items())
    file.write_text(CONFIG.format(port=free_port(), section=section) + lines)
    return file


# --- the messengers ------------------------------------------------------------------------------


@dataclass(slots=True)
class JudgedMessenger:
    """A messenger in this process: half of the latency there, the judge, half of it back."""

    name: str
    limits: Limits
    judge: Judge
    spread: random.Random = field(default_factory=lambda: random.Random(7))
    _people: asyncio.Queue[Inbound] = field(default_factory=asyncio.Queue)

    def says(self, chat_key: str, text: str) -> None:
        self._people.put_nowait(
            Inbound(
                channel=self.name,
                event_key=f"e{chat_key}",
                user_key=chat_key,
                chat_key=chat_key,
                sent_at=wall_clock(),
                kind=InboundKind.TEXT,
                text=text,
            )
        )

    async def receive(self, doors: Doors) -> None:
        while True:
            await doors.accept((await self._people.get(),), None)

    async def send(self, parcel: Parcel) -> Outcome:
        one_way_seconds = self.spread.uniform(*LATENCY_SECONDS) / 2
        await asyncio.sleep(one_way_seconds)
        now = asyncio.get_running_loop().time()
        refused = self.judge.hears(now, parcel.chat_key, parcel.text)
        await asyncio.sleep(one_way_seconds)
        if refused is None:
            return Sent(parcel.key)
        return Retry(refused.retry_after_seconds, "429", whole_channel=refused.whole_channel)

    def routes(self, _doors: Doors) -> Sequence[Any]:
        return ()

    async def acknowledge_button(self, inbound: Inbound) -> None: ...

    async def health(self) -> Health:
        return Health(reachable=True)

    async def close(self) -> None: ...


@dataclass(slots=True)
class Watched:
    """A channel, and when answers were committed and letters left."""

    inner: Any
    committed_at: dict[str, float] = field(default_factory=dict)
    left: list[tuple[float, str]] = field(default_factory=list)

    async def receive(self, doors: Doors) -> None:
        async def accept(inbounds: Sequence[Inbound], cursor: Any) -> None:
            await doors.accept(inbounds, cursor)
            at = asyncio.get_running_loop().time()
            self.committed_at.update((inbound.chat_key, at) for inbound in inbounds)

        await self.inner.receive(replace(doors, accept=accept))

    async def send(self, parcel: Parcel) -> Outcome:
        self.left.append((asyncio.get_running_loop().time(), parcel.chat_key))
        outcome: Outcome = await self.inner.send(parcel)
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass(slots=True)
class Stage:
    """One service before one judged messenger."""

    service: Service
    channel: Watched
    judge: Judge
    says: Callable[[str, str], Any]


@asynccontextmanager
async def _stage(name: str, limits: Limits, folder: Path, chat_keys: Sequence[str]) -> AsyncIterator[Stage]:
    judge = Judge(limits.messages_per_second, limits.chat_messages_per_second, limits.chat_burst)
    if name == "telegram":
        async with TelegramEmulator(TOKEN, judge=judge, latency_seconds=sum(LATENCY_SECONDS) / 4) as telegram:
            for chat_key in chat_keys:
                telegram.chat(int(chat_key))
            service = _service(_config(folder, name, token=TOKEN, api_base_url=telegram.base_url))
            channel = Watched(service.channels[name])

            def says(chat_key: str, text: str) -> None:
                telegram.push(int(chat_key), _telegram_message(telegram, int(chat_key), text))

            yield Stage(service, channel, judge, says)
        return
    messenger = JudgedMessenger(name, limits, judge)
    service = _service(_config(folder, "webchat"))
    yield Stage(service, Watched(messenger), judge, messenger.says)


def _telegram_message(telegram: TelegramEmulator, chat_id: int, text: str) -> dict[str, Any]:
    chat = telegram.chat(chat_id)
    message_id, at = telegram.fresh(), telegram.unix_time()
    content = {"message_id": message_id, "from": chat.user, "chat": chat.raw, "date": at, "text": text}
    return {"message": content}


def _service(config: Path) -> Service:
    settings = load(config)
    migrate(settings.storage.url)
    import socket

    port = socket.create_server(("127.0.0.1", settings.server.port))
    return open_service(settings, port)


# --- the letters ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Post:
    """Everything that waits: chats by their keys, and the chat of each letter in their order."""

    hot: tuple[str, ...]
    cold: tuple[str, ...]
    letters: tuple[str, ...]


def post_of(limits: Limits) -> Post:
    """Ten chats with letters for the whole run, scattered among a mailing to ten thousand others."""
    hot = tuple(str(1 + number) for number in range(HOT_CHATS))
    cold = tuple(str(1001 + number) for number in range(MAILING))
    most = int(limits.messages_per_second * BACKLOG_SECONDS * 3 / (2 * HOT_CHATS))
    each = min(limits.chat_burst + int(limits.chat_messages_per_second * 26), most)
    front = [*(hot * each), *cold[: each * HOT_CHATS]]
    random.Random(7).shuffle(front)
    return Post(hot, cold, (*front, *cold[each * HOT_CHATS :]))


def write(database: Database, channel: str, post: Post, at: datetime) -> None:
    """Store it as if it had been waiting."""
    with database.begin() as session:
        chats = [
            {
                "channel": channel,
                "chat_key": key,
                "user_key": key,
                "screen": [],
                "focus": "",
                "created_at": at,
            }
            for key in (*post.hot, *post.cold)
        ]
        session.execute(insert(Chat), chats)
        ids = {key: chat_id for key, chat_id in session.execute(select(Chat.chat_key, Chat.id))}  # type: ignore[call-overload] # noqa: C416
        letters = [
            {
                "key": f"mail:{number}",
                "chat_id": ids[key],
                "text": f"Письмо {number}",
                "rows": [],
                "files": [],
                "not_before": at,
                "created_at": at,
            }
            for number, key in enumerate(post.letters)
        ]
        session.execute(insert(Letter), letters)


# --- one profile ---------------------------------------------------------------------------------


async def run_profile(name: str, limits: Limits) -> dict[str, Any]:
    """Ten seconds of backlog, answers amid the mailing, a silence of a chat, a silence of everybody."""
    post = post_of(limits)
    with tempfile.TemporaryDirectory() as folder:
        async with _stage(name, limits, Path(folder), (*post.hot, *post.cold)) as stage:
            service, judge = stage.service, stage.judge
            service.channels = {name: stage.channel}
            write(service.database, name, post, wall_clock())
            with service.port:
                async with asyncio.TaskGroup() as tasks:
                    running = tasks.create_task(service.run())
                    seen = await _act(stage, limits, post)
                    service.stop.set()
                    await asyncio.wait([running])
            seen |= _accounts(folder, judge, post)
    return seen


async def _act(stage: Stage, limits: Limits, post: Post) -> dict[str, Any]:
    judge, rate = stage.judge, limits.messages_per_second
    async with asyncio.timeout(30):
        while not judge.taken:
            await asyncio.sleep(0.02)
    began_at = judge.taken[0].at
    await _until(began_at + BACKLOG_SECONDS)
    seen: dict[str, Any] = {
        "ratio": judge.taken_between(began_at, began_at + BACKLOG_SECONDS) / (rate * BACKLOG_SECONDS)
    }
    for number in range(ANSWERS):
        stage.says(str(FIRST_ANSWERED + number), "/start")
        await asyncio.sleep(ANSWER_EVERY_SECONDS)
    asked = {str(FIRST_ANSWERED + number) for number in range(ANSWERS)}
    async with asyncio.timeout(30):
        while not asked <= {key for _at, key in stage.channel.left}:
            await asyncio.sleep(0.02)
    seen |= _answers(stage)

    judge.refuse_next(TooMuch(SILENCE_SECONDS, whole_channel=False), post.hot)
    said = await _refused(judge, 1)
    await _until(said.at + SILENCE_SECONDS + AFTER_SECONDS)
    others = judge.taken_between(said.at, said.at + SILENCE_SECONDS) / (rate * SILENCE_SECONDS)
    again = next((heard.at for heard in judge.taken if heard.at > said.at and heard.what == said.what), 0.0)
    seen |= {"others_during_silence": others, "chat_again_after": again - said.at - SILENCE_SECONDS}

    refused = len(judge.refused)
    judge.refuse_next(TooMuch(SILENCE_SECONDS, whole_channel=True))
    said = await _refused(judge, 2)
    back_at = said.at + SILENCE_SECONDS + 1
    await _until(back_at + AFTER_SECONDS)
    seen |= {
        "taken_in_silence": judge.taken_between(said.at, said.at + SILENCE_SECONDS),
        "refused_in_silence": len(judge.refused) - refused,
        "ratio_after_silence": judge.taken_between(back_at, back_at + AFTER_SECONDS) / (rate * AFTER_SECONDS),
        "refused": refused,
    }
    return seen


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


async def _refused(judge: Judge, times: int) -> Any:
    async with asyncio.timeout(30):
        while len(judge.injected) < times:
            await asyncio.sleep(0.005)
    return judge.injected[-1][0]


def _answers(stage: Stage) -> dict[str, Any]:
    """How many letters left between the commit of each answer and the answer itself, and the time."""
    ahead, waited = [], []
    for chat_key, committed_at in stage.channel.committed_at.items():
        later = [(at, key) for at, key in stage.channel.left if at >= committed_at]
        place = next((place for place, (_at, key) in enumerate(later) if key == chat_key), None)
        # It may leave in the very turn of the event loop that tells of its commit.
        ahead.append(0 if place is None else place)
        waited.append(0.0 if place is None else later[place][0] - committed_at)
    return {"answers": len(ahead), "slots": max(ahead) + 1, "answer_ms": max(waited) * 1000}


def _accounts(folder: str, judge: Judge, post: Post) -> dict[str, Any]:
    """What the store says against what the judge has."""
    database = load(Path(folder) / "config.toml").storage.url.removeprefix("sqlite:///")
    import sqlite3

    with sqlite3.connect(database) as connection:
        rows = connection.execute("select text, state from letter where key like 'mail:%'").fetchall()
    connection.close()
    taken = Counter(heard.what for heard in judge.taken)
    lost = sum(state == LetterState.SENT.value and not taken[text] for text, state in rows)
    lost += sum(state not in (LetterState.SENT.value, LetterState.TODO.value) for _text, state in rows)
    lost += len(post.letters) - len(rows)
    order: dict[str, list[int]] = {}
    for heard in judge.taken:
        if heard.what.startswith("Письмо"):
            order.setdefault(heard.chat, []).append(int(heard.what.split()[1]))
    return {
        "fullest_second": judge.most_in_a_second(),
        "fullest_second_of_a_chat": judge.most_of_a_chat_in_a_second(),
        "lost": lost,
        "doubled": sum(number - 1 for text, number in taken.items() if text.startswith("Письмо")),
        "out_of_order": sum(numbers != sorted(numbers) for numbers in order.values()),
    }


# --- the peers -----------------------------------------------------------------------------------


async def run_peer(name: str, limits: Limits) -> dict[str, Any]:
    """The same backlog sent by a bot as guides tell, for as long as ours is measured."""
    from benchmarks.peers.aiogram_mailing import mail

    post = post_of(limits)
    post = replace(post, letters=post.letters[: int(limits.messages_per_second * BACKLOG_SECONDS * 1.1)])
    judge = Judge(limits.messages_per_second, limits.chat_messages_per_second, limits.chat_burst)
    async with TelegramEmulator(TOKEN, judge=judge, latency_seconds=sum(LATENCY_SECONDS) / 4) as telegram:
        for chat_key in post.letters:
            telegram.chat(int(chat_key))
        letters = [(int(key), f"Письмо {number}") for number, key in enumerate(post.letters)]
        try:
            async with asyncio.timeout(BACKLOG_SECONDS + 0.5):
                await mail(TOKEN, telegram.base_url, letters, at_once=name == PEERS[0])
        except TimeoutError:
            pass
    began_at = min(heard.at for heard in (*judge.taken, *judge.refused))
    accepted = judge.taken_between(began_at, began_at + BACKLOG_SECONDS)
    return {
        "ratio": accepted / (limits.messages_per_second * BACKLOG_SECONDS),
        "refused": len(judge.refused),
    }


# --- all together --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, what it should be, and whether it is."""

    words: str
    shown: str
    goal: str
    met: bool


def goals(seen: dict[str, Any], limits: Limits) -> list[Goal]:
    most, chat_most = int(limits.messages_per_second) + 1, int(limits.chat_messages_per_second) + 1
    interval = 1 / limits.chat_messages_per_second
    if limits.chat_messages_per_second < 1:
        chat_most = limits.chat_burst + 1
    figures = (
        ("accepted ÷ limit, 10 s of backlog", seen["ratio"], "≥ 0.95", seen["ratio"] >= 0.95),
        ("429s", seen["refused"], "0", not seen["refused"]),
        ("fullest second", seen["fullest_second"], f"≤ {most}", seen["fullest_second"] <= most),
        (
            "fullest second of a chat",
            seen["fullest_second_of_a_chat"],
            f"≤ {chat_most}",
            seen["fullest_second_of_a_chat"] <= chat_most,
        ),
        (
            f"slots of {seen['answers']} answers amid a mailing, worst ({seen['answer_ms']:.0f} ms)",
            seen["slots"],
            "≤ 2",
            seen["slots"] <= 2,
        ),
        (
            "others ÷ limit while a chat is silent",
            seen["others_during_silence"],
            "≥ 0.95",
            seen["others_during_silence"] >= 0.95,
        ),
        (
            "seconds until that chat is written to again",
            seen["chat_again_after"],
            f"0 to {1 + interval:.3g}",
            0 <= seen["chat_again_after"] <= 1 + interval,
        ),
        ("taken while all are silent", seen["taken_in_silence"], "0", not seen["taken_in_silence"]),
        (
            "refused while all are silent",
            seen["refused_in_silence"],
            "≤ 3",
            seen["refused_in_silence"] <= 3,
        ),
        (
            "accepted ÷ limit 1 s after it",
            seen["ratio_after_silence"],
            "≥ 0.95",
            seen["ratio_after_silence"] >= 0.95,
        ),
        (
            "lost, doubled, chats out of order",
            seen["lost"] + seen["doubled"] + seen["out_of_order"],
            "0",
            not (seen["lost"] or seen["doubled"] or seen["out_of_order"]),
        ),
    )
    return [
        Goal(words, f"{value:.3f}" if isinstance(value, float) else str(value), goal, met)
        for words, value, goal, met in figures
    ]


def _started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.outgoing", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _lateness_ms(processes: Sequence[subprocess.Popen[str]]) -> float:
    """How late the timers of this machine are while these run, at the 99th percentile."""
    late = []
    while any(process.poll() is None for process in processes):
        before = time.perf_counter()
        time.sleep(0.005)
        late.append(time.perf_counter() - before - 0.005)
    return sorted(late)[int(len(late) * 0.99)] * 1000 if late else 0.0


def _told(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    out, errors = process.communicate(timeout=110)
    if process.returncode:
        raise SystemExit(f"{name} did not finish:\n{errors[-3000:]}")
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one profile, by its section in the configuration")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--profile", help=argparse.SUPPRESS)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--bears", nargs=3, type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if options.peer:
        rate, chat_rate, chat_burst = options.bears
        borne = Limits(
            1, messages_per_second=rate, chat_messages_per_second=chat_rate, chat_burst=int(chat_burst)
        )
        print(json.dumps(asyncio.run(run_peer(options.peer, borne))))
        return
    limits = profiles()
    if options.profile:
        print(json.dumps(asyncio.run(run_profile(options.profile, limits[options.profile]))))
        return
    wanted = [name for name in limits if options.only in (None, name)]
    running = {name: _started("--profile", name) for name in wanted}
    lateness_ms = _lateness_ms(list(running.values()))
    print(
        f"timers of this machine are late by {lateness_ms:.1f} ms (p99); figures count below {QUIET_MS:.0f}"
    )
    all_met = True
    for name, process in running.items():
        bears = limits[name]
        print(f"{name}: {bears.messages_per_second:g}/s, {bears.chat_messages_per_second:g}/s a chat")
        for goal in goals(_told(process, name), bears):
            all_met &= goal.met
            print(f"  {goal.words:58} {goal.shown:>7}  (goal {goal.goal}){'' if goal.met else '  NOT MET'}")
    if not options.no_peers:
        # In processes that never opened our channel: it leaves aiogram's types unbuilt.
        borne = limits["telegram"]
        bears_words = [
            str(figure)
            for figure in (borne.messages_per_second, borne.chat_messages_per_second, borne.chat_burst)
        ]
        print("the same backlog for Telegram by others, accepted ÷ limit and 429s")
        for name, process in {
            name: _started("--peer", name, "--bears", *bears_words) for name in PEERS
        }.items():
            seen = _told(process, name)
            print(f"  {name:58} {seen['ratio']:7.3f}  {seen['refused']}")
    print(f"P3  every goal {'met' if all_met else 'NOT met'}")


if __name__ == "__main__":
    main()
