"""The real service as a process beside a Telegram emulator: to be killed, restarted, looked into."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson

from tests.emulators.listening import free_port
from tests.emulators.telegram import Chat, TelegramEmulator

START_SECONDS = 90
STOP_SECONDS = 90
REPO = Path(__file__).parents[2]

CONFIG = """
[firm]
name = "Баланс"
[server]
port = {port}
secret_key = "0123456789abcdef0123456789abcdef"
[bots.telegram]
token = "{token}"
api_base_url = "{api}"
messages_per_second = 100000
messages_burst = 100000
chat_messages_per_second = 100000
chat_burst = 100000
poll_timeout_seconds = 5
"""


Rows = Callable[..., list[tuple[Any, ...]]]
"""Answers a question past all our own code."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The end of a process, or of its way to the database."""

    at: float
    """In the event loop's time."""
    settled: frozenset[tuple[str, str]]
    """The letters, by chat and text, that were already written down as sent: they must not leave again."""

    @classmethod
    def just_now(cls, rows: Rows) -> Self:
        at = asyncio.get_running_loop().time()
        settled = rows(f"{LETTERS} where letter.state not in ('todo', 'doing')")
        return cls(at, frozenset((chat, text) for chat, text in settled))


LETTERS = "select chat.chat_key, letter.text from letter join chat on chat.id = letter.chat_id"


@dataclass(slots=True)
class Service:
    """`priem run` in `folder`. The database stays when the process is killed and started again."""

    folder: Path
    telegram: TelegramEmulator
    port: int = field(default_factory=free_port)
    kills: list[Kill] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        config = CONFIG.format(port=self.port, token=self.telegram.token, api=self.telegram.base_url)
        (self.folder / "config.toml").write_text(config)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def start(self) -> None:
        """Start and wait until /health answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "from app.cli import main; main()",
                "run", "--config", str(self.folder / "config.toml"),
                stdout=log, stderr=log, cwd=REPO, env={**os.environ, "PYTHONPATH": str(REPO)},
            )  # fmt: skip
        async with aiohttp.ClientSession() as http, asyncio.timeout(START_SECONDS):
            while not await self._answers(http):
                assert self._process.returncode is None, self.log()
                await asyncio.sleep(0.05)

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"http://127.0.0.1:{self.port}/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def kill(self) -> None:
        """SIGKILL: nothing of the process gets a chance to tidy up."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self.kills.append(Kill.just_now(self.rows))

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            return await self._process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the database past all our own code."""
        with self._database() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(f"file:{self.folder / 'priem.sqlite3'}?mode=ro", uri=True, timeout=10)
        try:
            yield database
        finally:
            database.close()


_WEIGHTS = (2, 4, 10, 3, 5, 9, 4, 6, 8)


def inn_of(number: int) -> str:
    """A valid INN of a company, another one for every number."""
    digits = f"{780_000_000 + number:09d}"
    check = sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11 % 10
    return f"{digits}{check}"


SAYS, PRESSES = "says", "presses"

STEPS: Sequence[tuple[str, str, str]] = (
    (SAYS, "/start", "Вы согласны?"),
    (PRESSES, "Согласен", "Пришлите ИНН"),
    (SAYS, "{inn} Ромашка-{number}", "Что нужно сделать?"),
    (PRESSES, "Оплатить счёт", "Кому и сколько"),
    (SAYS, "Свету 12 345 рублей по договору Д-{number}", "К какому сроку?"),
    (SAYS, "через неделю", "Приложите файлы"),
    (PRESSES, "Готово", "Проверьте заявку"),
    (PRESSES, "Отправить", "принята"),
)
"""How, what, and words that only the answer to this step has."""

CONSENT_STEP = 1


@dataclass(slots=True)
class Dialogue:
    """One client filling the form once, who sometimes is delivered twice by the messenger."""

    number: int
    telegram: TelegramEmulator
    dice: random.Random
    repeats: float = 0.2
    """How often Telegram delivers an update once more."""
    think_seconds: float = 0.15
    answer_seconds: float = 90
    events: list[int] = field(default_factory=list)
    """The numbers of the updates made by this client, one for each step."""

    @property
    def chat(self) -> Chat:
        return self.telegram.chat(50_000 + self.number, first_name="Мария")

    async def run(self) -> None:
        """Fill the form to its end."""
        for how, pattern, answer in STEPS:
            await asyncio.sleep(self.dice.uniform(0, self.think_seconds))
            what = pattern.format(number=self.number, inn=inn_of(self.number))
            await (self.chat.says(what) if how == SAYS else self.chat.presses(what))
            assert self.telegram._last_update is not None
            self.events.append(self.telegram._last_update.update_id)
            if self.dice.random() < self.repeats:
                self.telegram.repeat_last_update()
            await self._sees(answer)

    async def _sees(self, words: str) -> None:
        try:
            async with asyncio.timeout(self.answer_seconds):
                seen = 0
                while not any(words in message.text for message in self.chat.messages):
                    seen = max(seen, len(self.chat.messages))
                    await self.chat.shown(seen + 1, timeout_seconds=self.answer_seconds)
        except (TimeoutError, AssertionError):
            raise AssertionError(
                f"«{words}» never came to {self.number}:\n{self.chat.transcript()}"
            ) from None


@dataclass(frozen=True, slots=True)
class Audit:
    """What an independent look at the database and at what the clients saw has found."""

    acknowledged: int
    dialogues: int
    requests: int
    letters_twice: int
    problems: tuple[str, ...]


HEARD_AFTER_A_KILL_SECONDS = 3.0
"""So late the messenger may note the last call of a process that was killed or cut off."""


def audit(service: Service, dialogues: Sequence[Dialogue]) -> Audit:
    """Compare what Telegram has seen with what is stored, with plain sqlite3."""
    problems: list[str] = []
    twice = 0
    letters = set(service.rows(LETTERS))
    for dialogue in dialogues:
        problems += _acknowledged_once(service, dialogue)
        problems += _one_complete_request(service, dialogue)
        again, wrong = _letters_in_order(service, dialogue, letters)
        twice += again
        problems += wrong
    (requests,) = service.rows("select count(*) from request")[0]
    if requests != len(dialogues):
        problems.append(f"{requests} requests of {len(dialogues)} dialogues")
    unsent = service.rows("select key, state from letter where state not in ('sent', 'superseded')")
    problems += [f"letter {key} is {state}" for key, state in unsent]
    acknowledged = sum(event < service.telegram.confirmed for d in dialogues for event in d.events)
    return Audit(acknowledged, len(dialogues), requests, twice, tuple(problems))


def _acknowledged_once(service: Service, dialogue: Dialogue) -> list[str]:
    """Every update that Telegram may forget was taken once, whatever was delivered again."""
    problems = []
    for step, event in enumerate(dialogue.events):
        if event >= service.telegram.confirmed:
            problems.append(f"update {event} was answered and never acknowledged")
        states = service.rows("select state from inbox_event where event_key = ?", str(event))
        if states != [("done",)]:
            problems.append(f"update {event} is in the inbox as {states}")
        kept = service.rows("select request_id from message where event_key = ?", str(event))
        if len(kept) != (1 if step > CONSENT_STEP else 0):
            problems.append(f"update {event} of step {step} stands {len(kept)} times in the correspondence")
        answers = service.rows("select count(*) from letter where key like ?", f"turn:telegram:{event}:%")
        is_last = step == len(STEPS) - 1
        if answers != [(0 if is_last else 1,)]:
            problems.append(f"update {event} of step {step} was answered {answers[0][0]} times")
    consents = service.rows(
        "select count(*) from consent join chat on chat.id = consent.chat_id where chat.chat_key = ?",
        str(dialogue.chat.id),
    )
    if consents != [(1,)]:
        problems.append(f"chat {dialogue.chat.id} has agreed {consents[0][0]} times")
    return problems


def _one_complete_request(service: Service, dialogue: Dialogue) -> list[str]:
    found = service.rows(
        "select request.id, request.answers from request join chat on chat.id = request.chat_id "
        "where chat.chat_key = ?",
        str(dialogue.chat.id),
    )
    receipts = {message.text for message in dialogue.chat.messages if "принята" in message.text}
    if len(found) != 1 or len(receipts) != 1:
        return [f"chat {dialogue.chat.id} has {len(found)} requests and {len(receipts)} receipts"]
    number, answers = found[0][0], orjson.loads(found[0][1])
    wanted = {
        "inn": inn_of(dialogue.number),
        "company": f"Ромашка-{dialogue.number}",
        "kind": "pay",
        "task": f"Свету 12 345 рублей по договору Д-{dialogue.number}",
        "files": "[]",
    }
    problems = [
        f"request {number}: {name} is {answers.get(name)!r}"
        for name in wanted
        if answers.get(name) != wanted[name]
    ]
    if "deadline" not in answers:
        problems.append(f"request {number} has no deadline")
    if f"№ {number} " not in receipts.pop():
        problems.append(f"chat {dialogue.chat.id} was told another number than {number}")
    return problems


def _letters_in_order(
    service: Service, dialogue: Dialogue, letters: Container[tuple[str, str]]
) -> tuple[int, list[str]]:
    """How many letters came twice, and what is wrong with their order."""
    sent = [
        (received.params["text"], received.at)
        for received in service.telegram.requests
        if received.method == "sendMessage" and received.status == 200
        and str(received.params["chat_id"]) == str(dialogue.chat.id)
    ]  # fmt: skip
    first_sent: dict[str, float] = {}
    problems, order = [], []
    for text, at in sent:
        letter = (str(dialogue.chat.id), text)
        if text not in first_sent:
            first_sent[text] = at
            order.append(text)
            if letter not in letters:
                problems.append(f"chat {dialogue.chat.id} got what no letter says: {text[:60]!r}")
        elif not any(
            letter not in kill.settled and first_sent[text] - HEARD_AFTER_A_KILL_SECONDS <= kill.at <= at
            for kill in service.kills
        ):
            problems.append(f"chat {dialogue.chat.id} got a letter twice without a kill: {text[:60]!r}")
    steps = [next((n for n, step in enumerate(STEPS) if step[2] in text), -1) for text in order]
    if steps != list(range(len(STEPS))):
        problems.append(f"chat {dialogue.chat.id} got the answers of steps {steps}")
    return len(sent) - len(order), problems
