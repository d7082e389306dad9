"""VK for the contract suite: the channel against an emulator of a community."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from bots.base import Channel
from bots.vk import Settings, VkChannel
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
from tests.emulators.listening import PATIENCE_SECONDS
from tests.emulators.vk import Chat, VkEmulator

Mode = Literal["longpoll", "callback"]

_FAULTS: dict[ApiFault, dict[str, Any]] = {
    # The API's own error 6 names no time; VK's front servers do.
    ApiFault.RATE_LIMITED: {"status": 429, "headers": {"Retry-After": str(RETRY_AFTER_SECONDS)}},
    ApiFault.SERVER_ERROR: {"status": 502},
    ApiFault.ANSWER_LOST: {"drops": True, "after_effect": True},
    ApiFault.BLOCKED: {"code": 901},
    ApiFault.REJECTED: {"code": 914},
    ApiFault.TOKEN_REVOKED: {"code": 5},
}


def settings_for(emulator: VkEmulator, mode: Mode = "longpoll", **more: object) -> Settings:
    secret = {"secret": HOOK_SECRET} if mode == "callback" else {}
    section = {
        "token": emulator.token,
        "group_id": emulator.group_id,
        "mode": mode,
        "api_base_url": emulator.base_url,
        "poll_wait_seconds": 2,
    }
    return Settings.model_validate(section | secret | more)


@dataclass
class VkHarness:
    channel: Channel
    emulator: VkEmulator
    chat: Chat
    mode: Mode

    @property
    def chat_key(self) -> str:
        return str(self.chat.id)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.emulator.token, HOOK_SECRET, self.emulator.poll_key

    async def house_opens(self, public_url: str) -> None:
        """Wait until VK knows where we are: it keeps no event of before."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._listens(public_url):
                await asyncio.sleep(0.01)

    def _listens(self, public_url: str) -> bool:
        if self.mode == "callback":
            return self.emulator.hook is not None and self.emulator.hook.url.startswith(public_url)
        return any(each.method == "groups.getLongPollServer" for each in self.emulator.requests)

    async def client_starts(self, code: str | None = None) -> None:
        await self.chat.starts(code)

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
        self.emulator.repeat_last_event()

    async def messenger_sends_nonsense(self) -> None:
        self.emulator.push("message_new", {"message": {"id": [], "peer_id": "nobody", "from_id": None}})

    async def stranger_posts(self) -> int:
        assert self.emulator.hook is not None, "nobody posts in this mode"
        event = {"type": "message_new", "group_id": self.emulator.group_id, "secret": "guessed", "object": {}}
        return await posted_by_a_stranger(self.emulator.hook.url, event)

    def api_fails(self, fault: ApiFault, *, times: int = 1) -> AbstractAsyncContextManager[None]:
        def spoil() -> None:
            self.emulator.fail_next("messages.send", times=times, **_FAULTS[fault])

        return failing(self.emulator, fault, spoil)

    async def shown(self, count: int) -> Sequence[Shown]:
        return as_shown(await self.chat.shown(count))


@asynccontextmanager
async def opened(mode: Mode, shelf: Shelf) -> AsyncIterator[Harness]:
    async with VkEmulator() as emulator:
        channel = VkChannel(settings_for(emulator, mode), shelf, QUICK)
        try:
            yield VkHarness(channel, emulator, emulator.chat(743_784_474), mode)
        finally:
            await channel.close()
        assert emulator.violations == []


_LACKS = {Ability.DELETING: "VK tells a community nothing of messages that a person takes back"}

VARIANTS = (
    Variant(
        "vk-longpoll",
        partial(opened, "longpoll"),
        _LACKS | {Ability.WEBHOOK: "events are fetched: nobody posts"},
    ),
    Variant("vk-callback", partial(opened, "callback"), _LACKS),
)
