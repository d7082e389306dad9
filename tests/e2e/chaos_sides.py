"""The messengers of the chaos, each with the faults that it knows and a person who talks through it."""

from __future__ import annotations

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp
from aiohttp import web

from tests.e2e.disasters import telegram_section
from tests.e2e.service import SAYS
from tests.emulators.telegram import TelegramEmulator
from tests.emulators.viber import ViberEmulator
from tests.emulators.vk import VkEmulator

FAULTS: Sequence[Mapping[str, Any]] = (
    {"status": 429},
    {"status": 500},
    {"status": 502},
    {"drops": True},
    {"drops": True, "after_effect": True},
    {"hangs": True},
    {"hangs": True, "after_effect": True},
    {"body": b"<html>", "after_effect": True},
)
"""Refused, broken, silent; the last ones took the message first."""

LATE_AMONG = 200
"""An event that comes again long after newer ones is one of so many."""

FAST = """messages_per_second = 100000
messages_burst = 100000
chat_messages_per_second = 100000
chat_burst = 100000
request_timeout_seconds = 10
"""
VK = """
[bots.vk]
token = "{token}"
group_id = {group}
api_base_url = "{api}"
poll_wait_seconds = 5
send_timeout_seconds = 10
"""
VIBER = """
[bots.viber]
token = "{token}"
api_base_url = "{api}"
"""


def loop_time() -> float:
    """The moment, by the event loop's clock."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as a person saw it; `at` is the event loop's time."""

    at: float
    text: str


class Person:
    """Somebody with one chat in one messenger. `key` is what the messenger calls the chat."""

    def __init__(self, side: Side, key: str, chat: Any) -> None:
        self.key = key
        self.shown: list[Shown] = []
        self.changed = asyncio.Event()
        self._side = side
        self._chat = chat
        show = chat.show

        def seen(message: Any, *more: Any, **how: Any) -> Any:
            self.shown.append(Shown(loop_time(), str(getattr(message, "text", message))))
            self.changed.set()
            return show(message, *more, **how)

        chat.show = seen

    async def does(self, how: str, what: str) -> str:
        """Say something or press a button; the messenger's key of that event."""
        await (self._chat.says(what) if how == SAYS else self._chat.presses(what))
        return self._side.remembers()


class Side(ABC):
    """A messenger and its faults."""

    name: ClassVar[str]
    doubles: ClassVar[bool]
    """Whether a message may come twice after an answer that was lost: it has no idempotency key."""

    emulator: Any

    def __init__(self) -> None:
        self.lost_answers: list[float] = []
        """When an answer to us was spoilt after the message was taken, or may have been."""
        self._events: list[Any] = []

    @abstractmethod
    def section(self) -> str:
        """Its part of the configuration."""

    @abstractmethod
    def person(self, number: int) -> Person: ...

    @abstractmethod
    def remembers(self) -> str:
        """Keep the event that just left, to deliver it again; its key."""

    @abstractmethod
    def delivers_again(self, event: Any) -> None: ...

    @abstractmethod
    def fails_next(self, dice: random.Random, how: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def has_acknowledged(self, event: str) -> bool:
        """Whether the messenger may forget an event."""

    @abstractmethod
    def is_known(self) -> bool:
        """Whether the service has come to it."""

    def spoil(self, dice: random.Random) -> None:
        """Spoil the next call that we make."""
        how = dice.choice(FAULTS)
        if how.get("after_effect"):
            self.lost_answers.append(loop_time())
        self.fails_next(dice, how)

    def repeat(self, dice: random.Random) -> None:
        """Deliver an event again: the latest one, or one of long ago after newer ones."""
        if self._events:
            self.delivers_again(
                self._events[-1] if dice.random() < 0.5 else dice.choice(self._events[-LATE_AMONG:])
            )

    def forgive(self) -> None:
        self.emulator.forgive()

    async def start(self) -> None:
        await self.emulator.start()

    async def stop(self) -> None:
        await self.emulator.stop()

    def violations(self) -> Sequence[str]:
        """What we asked it that it does not understand."""
        return list(self.emulator.violations)


class TelegramSide(Side):
    """Asked for updates, without an idempotency key."""

    name = "telegram"
    doubles = True

    def __init__(self) -> None:
        super().__init__()
        self.emulator: TelegramEmulator = TelegramEmulator()

    def section(self) -> str:
        return telegram_section(self.emulator) + "request_timeout_seconds = 10\nsend_timeout_seconds = 10\n"

    def person(self, number: int) -> Person:
        chat = self.emulator.chat(1_000_000 + number, first_name="Мария")
        return Person(self, str(chat.id), chat)

    def remembers(self) -> str:
        update = self.emulator._last_update
        assert update is not None
        self._events.append(update)
        return str(update.update_id)

    def delivers_again(self, event: Any) -> None:
        self.emulator._repeats.append(event)
        self.emulator._arrived.set()

    def fails_next(self, dice: random.Random, how: Mapping[str, Any]) -> None:
        method = dice.choice(["sendMessage", "sendMessage", "sendMessage", "getUpdates", None])
        self.emulator.fail_next(method, **({"retry_after": 1} if how.get("status") == 429 else how))

    def has_acknowledged(self, event: str) -> bool:
        return int(event) < self.emulator.confirmed

    def is_known(self) -> bool:
        return self.emulator._poll is not None

    def violations(self) -> Sequence[str]:
        return [
            f"telegram was asked for {request.method} and answered {request.status}"
            for request in self.emulator.requests
            if request.status == 400 and request.method == "sendMessage"
        ]


class _Vk(VkEmulator):
    """Remembers how far it was told that events are taken."""

    taken_ts = 0

    async def _check(self, request: web.BaseRequest) -> web.Response:
        if request.query.get("ts", "").isdigit():
            self.taken_ts = max(self.taken_ts, int(request.query["ts"]))
        return await super()._check(request)


class VkSide(Side):
    """A long poll, and a random_id that makes a repeated message one."""

    name = "vk"
    doubles = False

    def __init__(self) -> None:
        super().__init__()
        self.emulator: _Vk = _Vk()
        self._places: dict[str, int] = {}

    def section(self) -> str:
        emulator = self.emulator
        return VK.format(token=emulator.token, group=emulator.group_id, api=emulator.base_url) + FAST

    def person(self, number: int) -> Person:
        return Person(self, str(2_000_000 + number), self.emulator.chat(2_000_000 + number))

    def remembers(self) -> str:
        event = self.emulator._last_event
        assert event is not None
        key = str(event["event_id"])
        self._places[key] = self.emulator._first_ts + len(self.emulator._events) - 1
        self._events.append(event)
        return key

    def delivers_again(self, event: Any) -> None:
        self.emulator._offer(event)

    def fails_next(self, dice: random.Random, how: Mapping[str, Any]) -> None:
        method = dice.choice(["messages.send", "messages.send", "messages.send", "lp", "*"])
        waits = {"headers": {"Retry-After": "1"}} if how.get("status") == 429 else {}
        self.emulator.fail_next(method, **how, **waits)

    def has_acknowledged(self, event: str) -> bool:
        return self._places[event] < self.emulator.taken_ts

    def is_known(self) -> bool:
        return self.emulator.polls > 0


class _Viber(ViberEmulator):
    """Remembers which events were answered with 200."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[str] = set()

    async def _post_once(
        self, session: aiohttp.ClientSession, body: bytes, signature: str | None
    ) -> tuple[int, bytes]:
        status, answer = await super()._post_once(session, body, signature)
        if status == 200:
            self.taken.add(_token_of(body))
        return status, answer


def _token_of(body: bytes) -> str:
    found = json.loads(body)
    return f"{found['event']}:{found['message_token']}"


class ViberSide(Side):
    """A webhook, repeated until it answers 200."""

    name = "viber"
    doubles = True

    def __init__(self) -> None:
        super().__init__()
        self.emulator: _Viber = _Viber()

    def section(self) -> str:
        return VIBER.format(token=self.emulator.token, api=self.emulator.base_url) + FAST

    def person(self, number: int) -> Person:
        person = self.emulator.person(f"{number:012d}A=")
        return Person(self, person.id, person)

    def remembers(self) -> str:
        last = self.emulator._last
        assert last is not None
        self._events.append(last.body)
        return _token_of(last.body)

    def delivers_again(self, event: Any) -> None:
        self.emulator.post_raw(event)

    def fails_next(self, dice: random.Random, how: Mapping[str, Any]) -> None:
        spoilt: dict[str, Any] = {key: value for key, value in how.items() if key != "status"}
        if "status" in how:
            spoilt |= {"http_status": how["status"], "headers": {"Retry-After": "1"}}
        self.emulator.fail_next("send_message", **spoilt)

    def has_acknowledged(self, event: str) -> bool:
        return event in self.emulator.taken

    def is_known(self) -> bool:
        return bool(self.emulator.hook_url)
