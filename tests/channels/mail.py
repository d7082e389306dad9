"""E-mail for the contract suite: the channel against a real IMAP and a real SMTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from bots.base import Channel, Lent
from bots.mail import MailChannel, Settings
from bots.wire import Pauses
from notifications.texts import Catalogue
from tests.channels.harness import (
    RETRY_AFTER_SECONDS,
    Ability,
    ApiFault,
    Harness,
    Lacks,
    Shelf,
    Shown,
    Variant,
)
from tests.emulators.mail import OWN, PASSWORD, Fault, MailEmulator, Person

QUICK = Pauses(first_seconds=0.02, longest_seconds=0.1, misconfigured_seconds=0.1)
SECRET_KEY = "the-key-that-signs-message-ids"

_FAULTS = {
    ApiFault.RATE_LIMITED: Fault(
        "RCPT", f"450 4.7.1 Greylisted, please try again in {RETRY_AFTER_SECONDS} seconds"
    ),
    ApiFault.SERVER_ERROR: Fault("MAIL", "451 4.3.0 Requested action aborted: local error"),
    ApiFault.ANSWER_LOST: Fault("DATA", drops=True, after_effect=True),
    ApiFault.BLOCKED: Fault("RCPT", "550 5.1.1 <olga@client.example>: User unknown"),
    ApiFault.REJECTED: Fault("DATA", "554 5.7.1 Message rejected as spam"),
    ApiFault.TOKEN_REVOKED: Fault("AUTH", "535 5.7.8 Error: authentication failed"),
}


def settings_for(emulator: MailEmulator, **more: object) -> Settings:
    section = {"imap_url": emulator.imap_url, "smtp_url": emulator.smtp_url, "address": OWN}
    # People answer letters after minutes, tests at once.
    quick = {"poll_seconds": 0.05, "request_timeout_seconds": 30, "chat_messages_per_second": 100}
    return Settings.model_validate(section | quick | more)


def lent(shelf: Shelf) -> Lent:
    return Lent(
        files=shelf, log=None, file_link=lambda file: f"https://firm.example/files/{file.sha256}",  # type: ignore[arg-type]
        render=Catalogue.open("ru").say, uploads=Path("/nowhere"), secret_key=SECRET_KEY, firm="Баланс Актив",
        file_links_last=timedelta(days=14),
    )  # fmt: skip


@dataclass
class MailHarness:
    channel: Channel
    emulator: MailEmulator
    person: Person

    @property
    def chat_key(self) -> str:
        return self.person.address

    @property
    def secrets(self) -> tuple[str, ...]:
        return PASSWORD, "rd of-the-tests", SECRET_KEY

    async def house_opens(self, public_url: str) -> None:
        """Letters wait in the mailbox for whoever reads it."""

    async def client_starts(self, code: str | None = None) -> None:
        await self.person.writes("", subject=f"/start {code}" if code else "/start")

    async def client_writes(self, text: str) -> None:
        await self.person.writes(text)

    async def client_presses(self, label: str) -> None:
        raise Lacks("letters have no buttons")

    async def client_sends_file(self, name: str, content: bytes, *, caption: str = "") -> None:
        await self.person.writes(caption, files={name: content})

    async def client_blocks(self) -> None:
        raise Lacks("nobody can close a mailbox to us alone and have us told")

    async def messenger_repeats(self) -> None:
        await self.person.repeats()

    async def messenger_sends_nonsense(self) -> None:
        await self.emulator.put(
            b"\xff\xfe\x00 no: letter\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--"
        )

    async def stranger_posts(self) -> int:
        raise Lacks("nobody posts")

    @asynccontextmanager
    async def api_fails(self, fault: ApiFault, *, times: int = 1) -> AsyncIterator[None]:
        if fault is ApiFault.UNREACHABLE:
            await self.emulator.disconnect()
        else:
            self.emulator.fail_next(_FAULTS[fault], times=times)
        try:
            yield
        finally:
            self.emulator.forgive()
            if fault is ApiFault.UNREACHABLE:
                await self.emulator.connect()

    async def shown(self, count: int) -> Sequence[Shown]:
        return [Shown(each.text, (), tuple(each.files)) for each in await self.emulator.taken(count)]


@asynccontextmanager
async def opened(shelf: Shelf, *, idle: bool) -> AsyncIterator[Harness]:
    async with MailEmulator() as emulator:
        channel = MailChannel(settings_for(emulator, idle=idle), lent(shelf), QUICK)
        try:
            yield MailHarness(channel, emulator, emulator.person())
        finally:
            await channel.close()


_LACKS = {
    Ability.BUTTONS: "letters have no buttons: choices are a numbered menu",
    Ability.WEBHOOK: "the mailbox is read: nobody posts",
    Ability.BLOCKING: "nobody can close a mailbox to us alone and have us told",
    Ability.EDITING: "a sent letter cannot be changed",
    Ability.DELETING: "a sent letter cannot be taken back",
}

VARIANTS = (
    Variant("mail", partial(opened, idle=True), _LACKS),
    Variant("mail-poll", partial(opened, idle=False), _LACKS),
)
