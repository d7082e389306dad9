"""Telegram for the contract suite: the channel against an emulator of the Bot API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bots.base import Channel
from bots.telegram import SECRET_HEADER, Settings, TelegramChannel
from tests.channels.harness import (
    HOOK_SECRET,
    QUICK,
    RETRY_AFTER_SECONDS,
    Ability,
    ApiFault,
    Harness,
    Shelf,
    Shown,
    Variant,
    as_shown,
    failing,
    posted_by_a_stranger,
)
from tests.emulators.telegram import Chat, TelegramEmulator

Mode = Literal["polling", "webhook"]

_FAULTS: dict[ApiFault, dict[str, object]] = {
    ApiFault.RATE_LIMITED: {"retry_after": RETRY_AFTER_SECONDS},
    ApiFault.SERVER_ERROR: {"status": 502},
    ApiFault.ANSWER_LOST: {"drops": True, "after_effect": True},
    ApiFault.BLOCKED: {"status": 403, "description": "Forbidden: bot was blocked by the user"},
    ApiFault.REJECTED: {"status": 400, "description": "Bad Request: message is too long"},
    ApiFault.TOKEN_REVOKED: {"status": 401, "description": "Unauthorized"},
}


def settings_for(emulator: TelegramEmulator, mode: Mode = "polling", **more: object) -> Settings:
    secret = {"secret": HOOK_SECRET} if mode == "webhook" else {}
    section = {"token": emulator.token, "mode": mode, "api_base_url": emulator.base_url}
    return Settings.model_validate(section | {"poll_timeout_seconds": 2} | secret | more)


@dataclass
class TelegramHarness:
    channel: Channel
    emulator: TelegramEmulator
    chat: Chat
    mode: Mode

    @property
    def chat_key(self) -> str:
        return str(self.chat.id)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.emulator.token, self.emulator.token.partition(":")[2], HOOK_SECRET

    async def house_opens(self, public_url: str) -> None:
        """The channel itself tells Telegram where we are."""

    async def client_starts(self, code: str | None = None) -> None:
        await self.chat.says(f"/start {code}" if code else "/start")

    async def client_writes(self, text: str) -> None:
        await self.chat.says(text)

    async def client_presses(self, label: str) -> None:
        await self.chat.presses(label)

    async def client_sends_file(self, name: str, content: bytes, *, caption: str = "") -> None:
        await self.chat.sends_file(name, content, caption=caption)

    async def client_edits(self, text: str) -> None:
        await self.chat.edits(text)

    async def client_blocks(self) -> None:
        await self.chat.blocks()

    async def messenger_repeats(self) -> None:
        self.emulator.repeat_last_update()

    async def messenger_sends_nonsense(self) -> None:
        self.emulator.push(self.chat.id, {"message": {"message_id": [], "chat": 5, "from": "nobody"}})

    async def stranger_posts(self) -> int:
        update = {"update_id": 1, "message": {"message_id": 1}}
        headers = {SECRET_HEADER: "guessed"}
        return await posted_by_a_stranger(self.emulator.hook_url, update, headers)

    def api_fails(self, fault: ApiFault, *, times: int = 1) -> AbstractAsyncContextManager[None]:
        def spoil() -> None:
            self.emulator.fail_next("sendMessage", times=times, **_FAULTS[fault])  # type: ignore[arg-type]

        return failing(self.emulator, fault, spoil)

    async def shown(self, count: int) -> Sequence[Shown]:
        return as_shown(await self.chat.shown(count))


@asynccontextmanager
async def opened(mode: Mode, shelf: Shelf) -> AsyncIterator[Harness]:
    async with TelegramEmulator() as emulator:
        channel = TelegramChannel(settings_for(emulator, mode), shelf, QUICK)
        try:
            yield TelegramHarness(channel, emulator, emulator.chat(523_000_001), mode)
        finally:
            await channel.close()


NO_DELETIONS = {Ability.DELETING: "the Bot API tells nothing of deleted messages"}
POLLED = {Ability.WEBHOOK: "updates are polled: nobody posts"}

VARIANTS = (
    Variant("telegram-polling", partial(opened, "polling"), NO_DELETIONS | POLLED),
    Variant("telegram-webhook", partial(opened, "webhook"), NO_DELETIONS),
)
