"""The web chat's side of the contract suite: a visitor's browser, without the browser."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp

from bots import webchat
from bots.base import Doors, Lent
from bots.webchat import WebChat
from forms.messages import Inbound
from forms.texts import Size, Text
from notifications.outbox import Outcome, Parcel
from storage.chat_log import Logged
from tests.channels.harness import (
    Ability,
    ApiFault,
    House,
    Lacks,
    Shelf,
    Shown,
    Variant,
    free_address,
    serving,
)
from tests.emulators.listening import PATIENCE_SECONDS

SECRET_KEY = "webchat-secret-key-of-the-tests"


def render(text: Text) -> str:
    """Enough of rendering for what the page says."""
    shown = {
        name: render(value)
        if isinstance(value, Text)
        else f"{value.size_bytes // 2**20} МБ"
        if isinstance(value, Size)
        else value
        for name, value in text.params.items()
    }
    return text.msgid.format_map(shown)


@dataclass(slots=True)
class MemoryLog:
    """The house's log of one or several chats."""

    messages: dict[str, list[Logged]] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    """The chats of those who have not agreed."""
    looks: int = 0
    """How often somebody has read in it."""

    async def latest(self, chat_key: str, limit: int, before: int | None = None) -> Sequence[Logged]:
        self.looks += 1
        chat = self.messages.get(chat_key, [])
        return [message for message in chat if before is None or message.id < before][-limit:]

    async def may_keep(self, chat_key: str) -> bool:
        return chat_key not in self.strangers

    def heard(self, inbound: Inbound) -> None:
        self._add(inbound.chat_key, inbound.event_key, inbound.text, mine=True)

    def said(self, parcel: Parcel) -> None:
        self._add(parcel.chat_key, parcel.key, parcel.text, parcel=parcel)

    def _add(
        self, chat_key: str, key: str, text: str, *, mine: bool = False, parcel: Parcel | None = None
    ) -> None:
        chat = self.messages.setdefault(chat_key, [])
        if any(message.key == key for message in chat):
            return
        rows, files = (parcel.rows, parcel.files) if parcel else ((), ())
        chat.append(Logged(len(chat) + 1, key, mine, text, datetime.now(UTC), rows, files))


class LoggedChat(WebChat):
    """Like the house, knows a letter before it is handed to `send`."""

    def __init__(self, settings: webchat.Settings, lent: Lent, log: MemoryLog) -> None:
        super().__init__(settings, lent)
        self._log = log

    async def send(self, parcel: Parcel) -> Outcome:
        self._log.said(parcel)
        return await super().send(parcel)


def chat(folder: Path, log: MemoryLog, **settings: Any) -> LoggedChat:
    """A channel that keeps its uploads under `folder`."""
    lent = Lent(
        files=Shelf(folder),
        secret_key=SECRET_KEY,
        uploads=folder / "uploads",
        log=log,
        file_link=lambda file: f"/files/{file.sha256}?name={quote(file.name)}",
        render=render,
        firm="Баланс Актив",
    )
    return LoggedChat(webchat.Settings(**settings), lent, log)


class Tab:
    """An open page of one visitor: its cookie, its socket, and what it has not got confirmed yet."""

    def __init__(self, session: aiohttp.ClientSession, public_url: str, profile: str = "") -> None:
        self.frames: list[dict[str, Any]] = []
        self.chat_key = ""
        self._session = session
        self._public_url = public_url
        self._path = f"/chat/{profile}".rstrip("/")
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._changed = asyncio.Condition()
        self._unconfirmed: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}

    @property
    def socket(self) -> aiohttp.ClientWebSocketResponse:
        assert self._socket is not None
        return self._socket

    async def opens(self, public_url: str | None = None) -> None:
        """Load the page, say hello and repeat what was not confirmed; at another address, if given."""
        self._public_url = public_url or self._public_url
        await self.visits()
        await self.connects()

    async def visits(self) -> None:
        """Load the page: from now on the visitor has a chat."""
        async with self._session.get(self._public_url + self._path) as response:
            assert response.status == 200
            await response.read()
            (cookie,) = (morsel for morsel in response.cookies.values())
        self.chat_key = cookie.value.partition(".")[0]

    async def connects(self) -> None:
        """Open the socket, as the page's script does."""
        self._socket = await self._session.ws_connect(
            f"{self._public_url}{self._path}/socket", headers={"Origin": self._public_url}
        )
        await self.socket.send_json({"type": "hello"})
        await self._send_first()

    async def listens(self) -> None:
        """Take what comes until the socket closes; send the next message when one is confirmed."""
        async for message in self.socket:
            frame = json.loads(message.data)
            async with self._changed:
                self.frames.append(frame)
                self._changed.notify_all()
            if self._unconfirmed and frame.get("id") == self._unconfirmed[0]["id"]:
                if frame["type"] == "slow_down":
                    await asyncio.sleep(frame["after_seconds"])
                else:
                    del self._unconfirmed[0]
                await self._send_first()

    async def says(self, **frame: Any) -> str:
        self._last = {"id": str(uuid4())} | frame
        self._unconfirmed.append(self._last)
        if len(self._unconfirmed) == 1:
            await self._send_first()
        return str(self._last["id"])

    async def repeats(self) -> None:
        await self.socket.send_json(self._last)

    async def _send_first(self) -> None:
        if self._unconfirmed and not self.socket.closed:
            await self.socket.send_json(self._unconfirmed[0])

    async def uploads(self, content: bytes) -> aiohttp.ClientResponse:
        """Send one file; its answer, with the body already read."""
        response = await self._session.post(
            f"{self._public_url}{self._path}/upload",
            data=io.BytesIO(content),
            headers={"Origin": self._public_url},
        )
        await response.read()
        return response

    async def sends_file(self, name: str, content: bytes, *, caption: str = "") -> str:
        response = await self.uploads(content)
        assert response.status == 200, await response.text()
        reference = (await response.json())["reference"]
        return await self.says(type="files", text=caption, files=[{"reference": reference, "name": name}])

    def messages(self) -> list[dict[str, Any]]:
        """What the page shows, each message once."""
        by_key: dict[str, dict[str, Any]] = {}
        for frame in self.frames:
            for message in frame["messages"] if frame["type"] == "history" else [frame]:
                if frame["type"] in {"history", "message"}:
                    by_key.setdefault(message["key"], message)
        return list(by_key.values())

    async def gets(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The frames of this kind, once there are so many."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self._of(kind)) >= count)
        return self._of(kind)

    async def until_shown(self, count: int) -> list[dict[str, Any]]:
        """What the house said, once it is at least so many messages."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self._theirs()) >= count)
        return self._theirs()

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    def _theirs(self) -> list[dict[str, Any]]:
        return [message for message in self.messages() if not message["mine"]]


class WebChatHarness:
    """One visitor, who has been here before, with one open page."""

    secrets = (SECRET_KEY,)

    def __init__(self, channel: WebChat, shelf: Shelf, tab: Tab, tasks: asyncio.TaskGroup) -> None:
        self.channel = channel
        self.chat_key = tab.chat_key
        self.tab = tab
        self._shelf = shelf
        self._tasks = tasks

    async def house_opens(self, public_url: str) -> None:
        await self.tab.opens(public_url)
        self._tasks.create_task(self.tab.listens())
        await self.tab.gets("history")

    async def client_starts(self, code: str | None = None) -> None:
        await self.tab.says(type="start", code=code or "")

    async def client_writes(self, text: str) -> None:
        await self.tab.says(type="text", text=text)

    async def client_presses(self, label: str) -> None:
        presses = [
            button["press"]
            for message in await self.tab.until_shown(1)
            for row in message["rows"]
            for button in row
            if button["label"] == label
        ]
        await self.tab.says(type="press", press=presses[-1], label=label)

    async def client_sends_file(self, name: str, content: bytes, *, caption: str = "") -> None:
        await self.tab.sends_file(name, content, caption=caption)

    async def client_blocks(self) -> None:
        raise Lacks(LACKS[Ability.BLOCKING])

    async def messenger_repeats(self) -> None:
        await self.tab.repeats()

    async def messenger_sends_nonsense(self) -> None:
        for nonsense in ("{", "[]", '{"type": "text", "id": 5}', '{"type": "location"}', "\u0000"):
            await self.tab.socket.send_str(nonsense)

    async def stranger_posts(self) -> int:
        raise Lacks(LACKS[Ability.WEBHOOK])

    def api_fails(self, fault: ApiFault, *, times: int = 1) -> AbstractAsyncContextManager[None]:
        raise Lacks(f"{LACKS[Ability.API_FAULTS]} ({fault}, {times})")

    async def shown(self, count: int) -> Sequence[Shown]:
        return [
            Shown(
                message["text"],
                tuple(button["label"] for row in message["rows"] for button in row),
                tuple((file["name"], self._content(file["url"])) for file in message["files"]),
            )
            for message in await self.tab.until_shown(count)
        ]

    def _content(self, url: str) -> bytes:
        return self._shelf.path(url.removeprefix("/files/").partition("?")[0]).read_bytes()


LACKS: Mapping[Ability, str] = {
    Ability.API_FAULTS: "sending asks nobody: the house's own log is the messenger",
    Ability.EDITING: "the page changes nothing that was sent",
    Ability.DELETING: "the page takes back nothing that was sent",
    Ability.BLOCKING: "a visitor closes the page and may come back to it",
    Ability.OVERSIZE: "the page and the upload refuse the file before there is a message",
    Ability.WEBHOOK: "messages come through the visitor's own socket",
}


@asynccontextmanager
async def opened(shelf: Shelf) -> AsyncIterator[WebChatHarness]:
    channel = chat(shelf.folder, MemoryLog(), messages_per_10_seconds=500)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        doors = Doors(House().accept, now=House.now, public_url=free_address())
        tab = Tab(session, doors.public_url)
        async with serving(channel, doors):
            await tab.visits()
        try:
            async with asyncio.TaskGroup() as tasks:
                yield WebChatHarness(channel, shelf, tab, tasks)
                await session.close()
        finally:
            await channel.close()


VARIANTS = (Variant("sockets", opened, LACKS),)
