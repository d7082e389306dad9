"""WhatsApp for the contract suite: the channel against an emulator of Twilio."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from bots.base import Channel
from bots.whatsapp import HOOK_PATH, Reconciling, Settings, WhatsAppChannel
from tests.channels.file_links import served_links
from tests.channels.harness import (
    QUICK,
    RETRY_AFTER_SECONDS,
    Ability,
    ApiFault,
    Harness,
    Lacks,
    Shelf,
    Shown,
    Variant,
    as_shown,
    failing,
)
from tests.emulators.whatsapp import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    OUTSIDE,
    SENDER,
    Person,
    TwilioEmulator,
    list_picker,
    quick_reply,
    sid_of,
)

ADDRESS = "whatsapp:+79165230001"

TEMPLATES: dict[str, Mapping[str, Any]] = {
    **{f"quick_reply_{count}": quick_reply(count) for count in (1, 2, 3)},
    **{f"list_picker_{count}": list_picker(count) for count in range(4, 11)},
    "outside": OUTSIDE,
}

_FAULTS: dict[ApiFault, dict[str, object]] = {
    ApiFault.RATE_LIMITED: {"status": 429, "code": 20429, "retry_after": RETRY_AFTER_SECONDS},
    ApiFault.SERVER_ERROR: {"status": 503, "code": 20503},
    ApiFault.ANSWER_LOST: {"drops": True, "after_effect": True},
    ApiFault.BLOCKED: {"status": 400, "code": 21610},
    ApiFault.REJECTED: {"status": 400, "code": 21617},
    ApiFault.TOKEN_REVOKED: {"status": 401, "code": 20003},
}


def settings_for(
    emulator: TwilioEmulator, templates: Mapping[str, object] | None = None, **more: object
) -> Settings:
    section = {
        "account_sid": ACCOUNT_SID,
        "auth_token": AUTH_TOKEN,
        "sender": SENDER,
        "content_sids": {name: sid_of(name) for name in templates or ()},
        "api_base_url": emulator.base_url,
        "media_hosts": ["localhost"],
        "log_every_seconds": 0.2,
    }
    return Settings.model_validate(section | more)


def emulated(templates: Mapping[str, Mapping[str, Any]] | None = None, **more: Any) -> TwilioEmulator:
    known = {sid_of(name): types for name, types in (templates or {}).items()}
    return TwilioEmulator(known, approved=[sid_of("outside")], **more)


@dataclass
class WhatsAppHarness:
    channel: Channel
    emulator: TwilioEmulator
    person: Person

    @property
    def chat_key(self) -> str:
        return self.person.address

    @property
    def secrets(self) -> tuple[str, ...]:
        return AUTH_TOKEN, base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()

    async def house_opens(self, public_url: str) -> None:
        self.emulator.hook_url = public_url + HOOK_PATH

    async def client_starts(self, code: str | None = None) -> None:
        await self.person.says(f"/start {code}" if code else "/start")

    async def client_writes(self, text: str) -> None:
        await self.person.says(text)

    async def client_presses(self, label: str) -> None:
        if not any(message.buttons for message in self.person.messages):
            raise Lacks("without templates there are no buttons")
        await self.person.presses(label)

    async def client_sends_file(self, name: str, content: bytes, *, caption: str = "") -> None:
        if len(content) > 16 * 1024 * 1024:
            raise Lacks("WhatsApp takes no such files")
        await self.person.sends_file(content, caption=caption or name)

    async def client_blocks(self) -> None:
        await self.person.opts_out()

    async def messenger_repeats(self) -> None:
        await self.emulator.repeats()

    async def messenger_sends_nonsense(self) -> None:
        nonsense = {"MessageSid": "SM" + "e" * 32, "From": "", "NumMedia": "many", "Body": ""}
        assert await self.emulator.posts(nonsense) == 200

    async def stranger_posts(self) -> int:
        form = {"MessageSid": "SM" + "f" * 32, "From": ADDRESS, "Body": "Это не Twilio"}
        return await self.emulator.posts(form, signature="bm90IHR3aWxpbyBhdCBhbGw=")

    def api_fails(self, fault: ApiFault, *, times: int = 1) -> AbstractAsyncContextManager[None]:
        def spoil() -> None:
            self.emulator.fail_next(times=times, **_FAULTS[fault])

        return failing(self.emulator, fault, spoil)

    async def shown(self, count: int) -> Sequence[Shown]:
        return as_shown(await self.person.shown(count))


@asynccontextmanager
async def opened(
    templates: Mapping[str, Mapping[str, Any]] | None, shelf: Shelf
) -> AsyncIterator[WhatsAppHarness]:
    async with emulated(templates) as emulator, served_links(shelf) as file_link:
        channel = WhatsAppChannel(
            settings_for(emulator, templates), file_link, QUICK, Reconciling(grace_seconds=1)
        )
        try:
            yield WhatsAppHarness(channel, emulator, emulator.person(ADDRESS))
        finally:
            await channel.close()
        assert emulator.violations == []


def _opened(
    templates: Mapping[str, Mapping[str, Any]] | None, shelf: Shelf
) -> Any:  # an opener of harnesses, whatever more they can do
    return opened(templates, shelf)


_LACKS = {
    Ability.FILE_NAMES: "Twilio gives the name of a document only in place of missing words",
    Ability.OVERSIZE: "WhatsApp takes no files over 16 MB",
}

VARIANTS = (
    Variant(
        "whatsapp",
        partial(_opened, None),
        {Ability.BUTTONS: "WhatsApp shows buttons only with templates of the operator", **_LACKS},
    ),
    Variant("whatsapp-templates", partial(_opened, TEMPLATES), _LACKS),
)

__all__ = ["VARIANTS", "Harness", "WhatsAppHarness"]
