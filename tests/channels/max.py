"""MAX for the contract suite: the channel against an emulator of the Bot API and its webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from bots.base import Channel, Lent
from bots.max import SECRET_HEADER, MaxChannel, Settings
from forms.messages import OutgoingFile
from tests.channels.harness import (
    HOOK_SECRET,
    QUICK,
    RETRY_AFTER_SECONDS,
    Ability,
    ApiFault,
    Harness,
    Lacks,
    Shelf,
    Shown,
    Variant,
    failing,
    posted_by_a_stranger,
)
from tests.channels.webchat import MemoryLog, render
from tests.emulators.max import MaxEmulator, Person

USER_ID = 523_000_001

Mode = Literal["polling", "webhook"]

_FAULTS: dict[ApiFault, dict[str, Any]] = {
    ApiFault.RATE_LIMITED: {
        "status": 429,
        "code": "too.many.requests",
        "headers": {"Retry-After": str(RETRY_AFTER_SECONDS)},
    },
    ApiFault.SERVER_ERROR: {"status": 502},
    ApiFault.ANSWER_LOST: {"drops": True, "after_effect": True},
    ApiFault.BLOCKED: {"status": 403, "code": "chat.denied", "message": "error.dialog.suspended"},
    ApiFault.REJECTED: {"status": 400, "code": "proto.payload", "message": "text: size is wrong"},
    ApiFault.TOKEN_REVOKED: {"status": 401, "code": "verify.token", "message": "Invalid access_token"},
}


def settings_for(emulator: MaxEmulator, mode: Mode = "polling", **more: object) -> Settings:
    section = {"token": emulator.token, "mode": mode, "api_base_url": emulator.base_url}
    tests = {"poll_timeout_seconds": 2, "chat_messages_per_second": 50}
    secret = {"secret": HOOK_SECRET} if mode == "webhook" else {}
    return Settings.model_validate(section | tests | secret | more)


def lent_by(shelf: Shelf, public_url: str = "") -> Lent:
    def no_link(_file: OutgoingFile) -> str:
        raise AssertionError("MAX takes files from our hands")

    return Lent(
        files=shelf,
        log=MemoryLog(),
        file_link=no_link,
        render=render,
        uploads=shelf.folder / "uploads",
        secret_key="a secret key of the tests",
        firm="Баланс Актив",
        public_url=public_url,
    )


@dataclass
class MaxHarness:
    channel: Channel
    emulator: MaxEmulator
    person: Person
    mode: Mode

    @property
    def chat_key(self) -> str:
        return str(self.person.id)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.emulator.token, HOOK_SECRET

    async def house_opens(self, public_url: str) -> None:
        """The channel itself tells MAX where we are: in life always there, here each run elsewhere."""
        if self.mode == "webhook":
            await self.emulator.move_webhooks(public_url)
        else:
            await self.emulator.polled(self.emulator.polls + 1)

    async def client_starts(self, code: str | None = None) -> None:
        await self.person.starts(code)

    async def client_writes(self, text: str) -> None:
        await self.person.says(text)

    async def client_presses(self, label: str) -> None:
        await self.person.presses(label)

    async def client_sends_file(self, name: str, content: bytes, *, caption: str = "") -> None:
        await self.person.sends_file(name, content, text=caption)

    async def client_edits(self, text: str) -> None:
        await self.person.edits(text)

    async def client_deletes(self) -> None:
        await self.person.deletes()

    async def client_blocks(self) -> None:
        await self.person.stops()

    async def messenger_repeats(self) -> None:
        self.emulator.repeat_last_update()

    async def messenger_sends_nonsense(self) -> None:
        self.emulator.push("message_created", message={"sender": "nobody", "recipient": 5, "body": []})

    async def stranger_posts(self) -> int:
        update = {"update_type": "message_created", "timestamp": 1, "message": {}}
        if not self.emulator.subscriptions:
            raise Lacks("updates are polled: nobody posts")
        url = next(iter(self.emulator.subscriptions))
        return await posted_by_a_stranger(url, update, {SECRET_HEADER: "guessed"})

    def api_fails(self, fault: ApiFault, *, times: int = 1) -> AbstractAsyncContextManager[None]:
        def spoil() -> None:
            self.emulator.fail_next("POST messages", times=times, **_FAULTS[fault])

        return failing(self.emulator, fault, spoil)

    async def shown(self, count: int) -> Sequence[Shown]:
        messages = await self.person.shown(count)
        return [Shown(each.text, tuple(each.labels), tuple(each.files)) for each in messages]


@asynccontextmanager
async def opened(mode: Mode, shelf: Shelf) -> AsyncIterator[Harness]:
    async with MaxEmulator() as emulator:
        settings = settings_for(emulator, mode)
        channel = MaxChannel(settings, lent_by(shelf), QUICK, poll_spacing_seconds=0.01)
        try:
            yield MaxHarness(channel, emulator, emulator.person(USER_ID), mode)
        finally:
            await channel.close()
        assert emulator.violations == []


VARIANTS = (
    Variant("max-polling", partial(opened, "polling"), {Ability.WEBHOOK: "updates are polled: nobody posts"}),
    Variant("max-webhook", partial(opened, "webhook")),
)
