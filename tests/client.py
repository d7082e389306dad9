"""A client (or an accountant) who talks to the house: transcripts instead of mocks.

The real engine, the real storage, no messenger: a message goes into the intake, what the letters
say comes back. A test reads like the chat:

    await maria.says("Оплатить счёт")
    maria.sees("Кому и сколько заплатить?")
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlmodel import SQLModel, col, select

from bots.intake import Arrival, Fetched, Intake, inbound_from_json
from forms.fields import ReceivedFile
from forms.messages import Contact, FileRole, Inbound, InboundKind, IncomingFile
from notifications.outbox import Letter as Leased
from notifications.outbox import LetterState, Settlement
from notifications.texts import Catalogue
from router.model import Role
from router.worktime import WorkCalendar, parse_hours
from storage import casework, invitations, postoffice, work
from storage.engine import Database, open_database
from storage.files import FileStore
from storage.house import House
from storage.migrate import migrate
from storage.models import Chat, Letter, Request
from storage.models import Client as ClientRow
from storage.sweeps import sweep

MOSCOW = ZoneInfo("Europe/Moscow")
WEDNESDAY = datetime(2026, 11, 25, 11, 0, tzinfo=MOSCOW).astimezone(UTC)
"""An ordinary working day at 11:00 in Moscow."""


ALWAYS = ("Назад", "Отмена", "Позвать человека")

T = TypeVar("T", bound=SQLModel)


@dataclass(slots=True)
class Heard:
    """One message as a person sees it."""

    text: str
    buttons: tuple[tuple[str, str], ...]
    files: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for label, _press in self.buttons)


@cache
def _empty_database() -> bytes:
    """A migrated SQLite file: migrating takes longer than most dialogues."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "empty.sqlite3"
        migrate(f"sqlite:///{file}")
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        return file.read_bytes()


@dataclass(slots=True)
class Town:
    """The house with its database and clock, and everybody who talks to it."""

    database: Database
    house: House
    store: FileStore
    clock: datetime = WEDNESDAY
    url: str = ""
    channel: str = "webchat"
    pace_seconds: float = 0.0
    """How long people think before each message."""
    _keys: itertools.count = field(default_factory=itertools.count)

    @classmethod
    def open(
        cls, folder: Path, *, language: str = "ru", url: str | None = None, channel: str = "webchat"
    ) -> Town:
        if url is None:
            file = folder / "town.sqlite3"
            url = f"sqlite:///{file}"
            if not file.exists():
                file.write_bytes(_empty_database())
        else:
            migrate(url)
        catalogue = Catalogue.open(language)
        hours = parse_hours("09:00-18:00")
        house = House(
            calendar=WorkCalendar(MOSCOW, *hours, lunch=parse_hours("13:00-14:00")),
            say=catalogue.say, firm_name="Баланс Актив", firm_phone="+7 495 000-00-00", consent_version="3",
            consent_text="Нужно согласие на обработку персональных данных.", consent_url="https://example.org/consent",
        )  # fmt: skip
        store = FileStore(folder / "files", 20 * 1024 * 1024)
        return cls(open_database(url), house, store, url=url, channel=channel)

    def now(self) -> datetime:
        return self.clock

    def pass_time(self, **parts: float) -> None:
        self.clock += timedelta(**parts)

    @property
    def intake(self) -> Intake:
        return Intake(self.database, lambda: self.house, self.now, "town")

    async def take(self, *inbounds: Inbound, files: dict[str, bytes] | None = None) -> None:
        """Let messages in, fetch their files, deliver the letters."""
        applied = await self.intake.apply([Arrival(inbound) for inbound in inbounds])
        self._settle(applied.letters)
        for chat_id in sorted(applied.chats_to_fetch):
            await self.fetch(chat_id, files or {})
        await self.deliver()

    async def fetch(self, chat_id: int, contents: dict[str, bytes]) -> None:
        waiting = await self.database.transact(lambda session: work.waiting_events(session, chat_id))
        messages = []
        for event_id, _chat, payload in waiting:
            inbound = inbound_from_json(payload)
            messages.append((event_id, inbound, tuple(self._keep(file, contents) for file in inbound.files)))
        applied = await self.intake.apply([Fetched(chat_id, tuple(messages))])
        self._settle(applied.letters)

    def _keep(self, file: IncomingFile, contents: dict[str, bytes]) -> ReceivedFile:
        voice = file.role is FileRole.VOICE
        kept = self.store.keep_sync(contents[file.reference], file.name, voice=voice)
        refusal = None if kept.verdict.accepted else kept.verdict.reason
        return ReceivedFile(kept.sha256, kept.name, kept.size_bytes, kept.verdict.media_type, refusal, voice)

    def _settle(self, letters: Sequence[Leased]) -> None:
        with self.database.begin() as session:
            postoffice.settle(session, "town", [_sent(letter, self.clock) for letter in letters])

    async def deliver(self) -> None:
        """Send all that is due within two seconds: the rest of an album has come by then."""
        due = self.clock + timedelta(seconds=2)
        while True:
            with self.database.begin() as session:
                letters = postoffice.claim(
                    session, "town", ["webchat", "telegram", "vk"], 100, due, per_chat=10
                )
                postoffice.settle(session, "town", [_sent(letter, self.clock) for letter in letters])
            if not letters:
                return

    async def sweep(self) -> None:
        now = self.clock
        await self.database.transact(lambda session: sweep(session, self.house, now))
        await self.deliver()

    async def restart(self) -> None:
        """The process dies and another one takes its place."""
        await self.database.close()
        self.database = open_database(self.url)

    def everything_stored(self) -> str:
        """Every cell of every table as text."""
        with self.database.read() as session:
            tables = [
                (table, session.execute(select(table)).all()) for table in SQLModel.metadata.sorted_tables
            ]
        return "\n".join(f"{table.name}: {row}" for table, rows in tables for row in rows)

    def rows(self, table: type[T]) -> list[T]:
        """Every row of one table, oldest first."""
        with self.database.read() as session:
            return list(session.exec(select(table).order_by(table.id)).all())

    def newcomer(self, key: str = "100", name: str = "Мария") -> Talker:
        return Talker(self, key, name)

    async def client(self, key: str = "100", name: str = "Мария") -> Talker:
        """Somebody who has agreed already."""
        talker = Talker(self, key, name)
        await talker.says("/start")
        await talker.says("Согласен")
        return talker

    async def staff(
        self, name: str, role: Role = Role.ACCOUNTANT, *, key: str | None = None, on_shift: bool = True
    ) -> Talker:
        with self.database.begin() as session:
            invited = invitations.invite_staff(
                session, role, name, f"{abs(hash(name))}@example.org", self.clock
            )
        talker = Talker(self, key or f"staff-{name}", name)
        await talker.starts(invited.chat_code)
        if not on_shift:
            await talker.says("Закончить день")
        return talker

    def new_consent(self, version: str) -> None:
        """The firm changes its document."""
        self.house = replace(self.house, consent_version=version)

    def invite_client(self, inn: str) -> str:
        """The code for a person of this client."""
        with self.database.begin() as session:
            return invitations.invite_client(session, inn, self.clock).chat_code

    def known_client(self, inn: str, name: str, responsible: str | None = None) -> None:
        with self.database.begin() as session:
            session.add(ClientRow(inn=inn, name=name, created_at=self.clock))

    def request(self, number: int) -> Request:
        with self.database.read() as session:
            return session.get_one(Request, number)

    def requests(self) -> list[Request]:
        with self.database.read() as session:
            return list(session.exec(select(Request).order_by(col(Request.id))).all())


def _sent(letter: Leased, at: datetime) -> Settlement:
    return Settlement(
        letter.letter_id, letter.chat_id, LetterState.SENT, at, message_key=str(letter.letter_id), attempts=1
    )


@dataclass(slots=True)
class Talker:
    """One person in one chat. Every method returns what came back since."""

    town: Town
    key: str
    name: str
    heard: int = 0
    latest: list[Heard] = field(default_factory=list)
    said: list[Inbound] = field(default_factory=list)

    def sees(self, *parts: str, buttons: Sequence[str] | None = None, files: Sequence[str] = ()) -> None:
        """The last thing said brought one message, with these words in it and these buttons on it.

        The buttons that every question has («Назад», «Отмена», «Позвать человека») are not named.
        """
        assert len(self.latest) == 1, f"{self.name} got {len(self.latest)} messages: {self.latest}"
        self.sees_last(*parts, buttons=buttons, files=files)

    def sees_last(self, *parts: str, buttons: Sequence[str] | None = None, files: Sequence[str] = ()) -> None:
        """The same about the last of several messages."""
        shown = self.latest[-1]
        for part in parts:
            assert part in shown.text, f"«{part}» is not in:\n{shown.text}"
        if buttons is not None:
            assert [label for label in shown.labels if label not in ALWAYS] == list(buttons)
        assert shown.files == tuple(files)

    def sees_not(self, *parts: str) -> None:
        """These words are nowhere in what the last thing said brought."""
        for part in parts:
            assert all(part not in heard.text for heard in self.latest), self.latest

    async def says_all(self, *texts: str) -> None:
        """One after another, reading the answers in between."""
        for text in texts:
            await self.says(text)

    async def says(self, text: str) -> list[str]:
        kind = InboundKind.STARTED if text == "/start" else InboundKind.TEXT
        return await self._do(self.inbound(kind, text=text))

    async def starts(self, code: str) -> list[str]:
        return await self._do(self.inbound(InboundKind.STARTED, text="", start_code=code))

    async def presses(self, label: str) -> list[str]:
        """Press a button by its label on the latest message that has it."""
        return await self._do(self.inbound(InboundKind.BUTTON, button=self.press_of(label)))

    async def presses_id(self, press: str) -> list[str]:
        return await self._do(self.inbound(InboundKind.BUTTON, button=press))

    async def sends_files(
        self,
        files: dict[str, bytes],
        *,
        caption: str = "",
        album: str | None = None,
        role: FileRole = FileRole.DOCUMENT,
    ) -> list[str]:
        """Send files as one message each; with `album`, as the parts of an album."""
        contents = {f"ref:{name}": data for name, data in files.items()}
        inbounds = [
            self.inbound(
                InboundKind.FILE, text=caption if number == 0 else "", group_id=album,
                files=(IncomingFile(f"ref:{name}", name, len(data), role=role),),
            )
            for number, (name, data) in enumerate(files.items())
        ]  # fmt: skip
        return await self._do(*inbounds, files=contents)

    async def sends_other(self, what: str) -> list[str]:
        return await self._do(self.inbound(InboundKind.OTHER, text=what))

    async def sends_contact(self, phone: str, *, verified: bool = True) -> list[str]:
        return await self._do(self.inbound(InboundKind.CONTACT, contact=Contact(phone, verified=verified)))

    async def edits(self, text: str, *, was: str | None = None, **parts) -> list[str]:
        """Correct the message that said this; without words, the last one."""
        return await self._do(self.edited(text, was=was, **parts))

    def edited(self, text: str, *, was: str | None = None, **parts) -> Inbound:
        key = self.message(was).message_key
        return replace(self.inbound(InboundKind.EDITED, text=text, **parts), message_key=key)

    async def deletes(self, was: str | None = None) -> list[str]:
        """Take back the message that said this; without words, the last one."""
        key = self.message(was).message_key
        return await self._do(replace(self.inbound(InboundKind.DELETED), message_key=key))

    def message(self, text: str | None = None) -> Inbound:
        """The latest message with these words; without words, the latest of all."""
        return next(said for said in reversed(self.said) if text in (None, said.text))

    async def burst(self, *texts: str) -> list[str]:
        """Several messages that arrive at the same moment."""
        return await self._do(*(self.inbound(InboundKind.TEXT, text=text) for text in texts))

    async def repeats(self, inbound: Inbound) -> list[str]:
        return await self._do(inbound)

    def inbound(self, kind: InboundKind, **parts) -> Inbound:
        number = next(self.town._keys)
        return Inbound(
            channel=self.town.channel, event_key=f"{self.key}:{number}", user_key=self.key,
            chat_key=self.key, sent_at=self.town.clock, kind=kind, user_name=self.name,
            message_key=f"m{number}", **parts,
        )  # fmt: skip

    async def _do(self, *inbounds: Inbound, files: dict[str, bytes] | None = None) -> list[str]:
        self.town.pass_time(seconds=self.town.pace_seconds)
        kept = (InboundKind.TEXT, InboundKind.FILE, InboundKind.CONTACT, InboundKind.OTHER)
        self.said += [inbound for inbound in inbounds if inbound.kind in kept]
        await self.town.take(*inbounds, files=files)
        return self.hears()

    def hears(self) -> list[str]:
        """What has come since the last look."""
        everything = self.everything()
        new = everything[self.heard :]
        self.heard = len(everything)
        self.latest = new
        return [item.text for item in new]

    def everything(self) -> list[Heard]:
        with self.town.database.read() as session:
            rows = session.exec(
                select(Letter)
                .join(Chat, col(Chat.id) == col(Letter.chat_id))
                .where(
                    col(Chat.chat_key) == self.key,
                    col(Chat.channel) == self.town.channel,
                    col(Letter.state) == "sent",
                )
                .order_by(col(Letter.id))
            ).all()
        return [
            Heard(
                row.text,
                tuple((b[0], b[1]) for line in row.rows for b in line),
                tuple(f["name"] for f in row.files),
            )
            for row in rows
        ]

    @property
    def last(self) -> Heard:
        return self.everything()[-1]

    def press_of(self, label: str) -> str:
        for heard in reversed(self.everything()):
            for shown, press in heard.buttons:
                if shown == label:
                    return press
        raise AssertionError(
            f"{self.name} sees no button «{label}»: {[h.labels for h in self.everything()[-3:]]}"
        )


__all__ = ["MOSCOW", "WEDNESDAY", "Heard", "Talker", "Town", "casework"]
