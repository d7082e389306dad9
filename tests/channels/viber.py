"""Viber for the contract suite: the channel against an emulator of the REST API and its webhooks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from bots.base import Channel, Lent
from bots.viber import SIGNATURE_HEADER, Settings, ViberChannel
from forms.messages import OutgoingFile
from tests.channels.file_links import served_links
from tests.channels.harness import (
    QUICK,
    RETRY_AFTER_SECONDS,
    Ability,
    ApiFault,
    Harness,
    Shelf,
    Shown,
    Variant,
    failing,
)
from tests.channels.webchat import MemoryLog, render
from tests.emulators.viber import Person, ViberEmulator

USER_ID = "01234567890Aa+/x=="

_FAULTS: dict[ApiFault, dict[str, object]] = {
    ApiFault.RATE_LIMITED: {"http_status": 429, "headers": {"Retry-After": str(RETRY_AFTER_SECONDS)}},
    ApiFault.SERVER_ERROR: {"http_status": 502},
    ApiFault.ANSWER_LOST: {"drops": True, "after_effect": True},
    ApiFault.BLOCKED: {"status": 6},
    ApiFault.REJECTED: {"status": 3},
    ApiFault.TOKEN_REVOKED: {"status": 2},
}


def settings_for(emulator: ViberEmulator, **more: object) -> Settings:
    section = {"token": emulator.token, "api_base_url": emulator.base_url}
    return Settings.model_validate(section | more)


def lent_by(shelf: Shelf, link: Callable[[OutgoingFile], str]) -> Lent:
    return Lent(
        files=shelf,
        log=MemoryLog(),
        file_link=link,
        render=render,
        uploads=shelf.folder / "uploads",
        secret_key="a secret key of the tests",
        firm="Баланс Актив",
    )


@dataclass
class ViberHarness:
    channel: Channel
    emulator: ViberEmulator
    person: Person

    @property
    def chat_key(self) -> str:
        return self.person.id

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.emulator.token,)

    async def house_opens(self, public_url: str) -> None:
        """The channel itself tells Viber where we are."""
        await self.emulator.hooked(public_url)

    async def client_starts(self, code: str | None = None) -> None:
        await self.person.opens(code)
        await self.person.presses("Начать")

    async def client_writes(self, text: str) -> None:
        await self.person.says(text)

    async def client_presses(self, label: str) -> None:
        await self.person.presses(label)

    async def client_sends_file(self, name: str, content: bytes, *, caption: str = "") -> None:
        # Only a picture has a caption in Viber.
        await self.person.sends_file(name, content, kind="picture" if caption else "file", text=caption)

    async def client_blocks(self) -> None:
        await self.person.unsubscribes()

    async def messenger_repeats(self) -> None:
        self.emulator.repeat_last_event()

    async def messenger_sends_nonsense(self) -> None:
        self.emulator.post("message", {"sender": [], "message": {"type": 5}})

    async def stranger_posts(self) -> int:
        body = json.dumps({"event": "message", "sender": self.person.user, "message": {"type": "text"}})
        headers = {SIGNATURE_HEADER: self.emulator.signature(b"another body")}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as stranger,
            stranger.post(self.emulator.hook_url, data=body, headers=headers) as response,
        ):
            return response.status

    def api_fails(self, fault: ApiFault, *, times: int = 1) -> AbstractAsyncContextManager[None]:
        def spoil() -> None:
            self.emulator.fail_next("send_message", times=times, **_FAULTS[fault])

        return failing(self.emulator, fault, spoil)

    async def shown(self, count: int) -> Sequence[Shown]:
        messages = await self.person.shown(count)
        return [Shown(each.text, tuple(each.labels), tuple(each.files)) for each in messages]


@asynccontextmanager
async def opened(shelf: Shelf) -> AsyncIterator[Harness]:
    async with ViberEmulator() as emulator, served_links(shelf) as link:
        channel = ViberChannel(settings_for(emulator), lent_by(shelf, link), QUICK)
        try:
            yield ViberHarness(channel, emulator, emulator.person(USER_ID))
        finally:
            await channel.close()
        assert emulator.violations == []


VARIANTS = (
    Variant(
        "viber",
        opened,
        {
            Ability.EDITING: "Viber does not tell bots that a message was changed",
            Ability.DELETING: "Viber does not tell bots that a message was taken back",
        },
    ),
)
