"""The Bot API on a real socket: stricter than Telegram itself, and able to misbehave like it.

Written after https://core.telegram.org/bots/api and the public source of its server. It refuses what
Telegram would refuse, with the same words, and also what Telegram would silently ignore (an unknown
parameter), for that is a mistake of ours.

    async with TelegramEmulator() as telegram:
        chat = telegram.chat(523, first_name="Ольга")
        await chat.says("/start")
        shown = await chat.answer()
        await chat.presses("Согласен")
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import web

from tests.emulators.judge import Judge
from tests.emulators.listening import PATIENCE_SECONDS, listen, once_there

Json = Any

TEXT_LENGTH = 4096
CAPTION_LENGTH = 1024
CALLBACK_BYTES = 64
BUTTONS_TOTAL = 100
BUTTONS_PER_ROW = 8
UPLOAD_BYTES = 50 * 1024 * 1024
DOWNLOAD_BYTES = 20 * 1024 * 1024

MESSAGE_LIFE_SECONDS = 24 * 3600
CALLBACK_LIFE_SECONDS = 150
"""The server throws a press away after that, undelivered; nobody can answer it any more either."""

DEFAULT_TOKEN = "7000000001:AAEmulated-token_of-no-bot"
UPDATE_KINDS = ("message", "edited_message", "callback_query", "my_chat_member")


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What is really enforced when given; the answer beyond is 429 with `retry_after`."""

    per_second: float = 30
    burst: int = 30
    chat_per_second: float = 1
    chat_burst: int = 20


@dataclass(slots=True)
class Misbehaviour:
    """What happens to the next calls of a method. Made by `TelegramEmulator.fail_next`."""

    method: str | None
    times: int
    status: int = 0
    description: str = ""
    parameters: Mapping[str, int] = field(default_factory=dict)
    after_effect: bool = False
    hangs: bool = False
    drops: bool = False
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; `at` is the event loop's time."""

    method: str
    params: Mapping[str, Json]
    status: int
    at: float


@dataclass(slots=True)
class Message:
    """A bot's message as the person sees it."""

    message_id: int
    text: str = ""
    keyboard: list[list[dict[str, str]]] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    raw: dict[str, Json] = field(default_factory=dict)
    deleted: bool = False

    @property
    def buttons(self) -> list[str]:
        """The labels, row after row."""
        return [button["text"] for row in self.keyboard for button in row]


class Refusal(Exception):  # noqa: N818 - the server's word for it
    """What the server answers instead of a result."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters
        self.headers: Mapping[str, str] = {}


def bad(description: str) -> Refusal:
    return Refusal(400, f"Bad Request: {description}")


class Dropped(Exception):  # noqa: N818
    """The connection is to be closed without an answer."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in a multipart body."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """A file that the server keeps for the bot."""

    path: str
    content: bytes | Path
    size_bytes: int


@dataclass(slots=True)
class Update:
    update_id: int
    user_id: int
    expires_at: float
    raw: dict[str, Json]


class Pace:
    """A leaky bucket: so many a second, and a burst after a silence."""

    __slots__ = ("_burst_seconds", "_due", "_interval")

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._burst_seconds = (burst - 1) * self._interval
        self._due = -math.inf

    def wait_seconds(self, now: float) -> float:
        return max(0.0, self._due - self._burst_seconds - now)

    def take(self, now: float) -> None:
        self._due = max(self._due, now) + self._interval


class Chat:
    """One person and their private chat with the bot."""

    def __init__(self, emulator: TelegramEmulator, user: dict[str, Json], *, started: bool) -> None:
        self.id: int = user["id"]
        self.messages: list[Message] = []
        self.started = started
        self.blocked = False
        self.deactivated = False
        self.pace = (
            Pace(emulator.limits.chat_per_second, emulator.limits.chat_burst) if emulator.limits else None
        )
        self._emulator = emulator
        self._user = user
        self._read = 0
        self._lines: list[str] = []
        self._changed = asyncio.Event()
        self._raw_chat = {key: user[key] for key in ("id", "first_name", "last_name") if key in user} | {
            "type": "private"
        }
        self._last_sent: dict[str, Json] = {}

    # -------------------------------------------------------------- what the person does

    async def says(self, text: str) -> int:
        """Type a message; its id."""
        content: dict[str, Json] = {"text": text}
        if text.startswith("/"):
            length = len(text.split(maxsplit=1)[0])
            content["entities"] = [{"offset": 0, "length": length, "type": "bot_command"}]
        return self._sends(content, text)

    async def presses(self, label: str, *, message: Message | None = None) -> str:
        """Press a button of the latest message that has it, or of `message`; the id of the press."""
        shown, button = self._find(label, message)
        if "callback_data" not in button:
            raise AssertionError(f"«{label}» opens a link")
        self._lines.append(f"[{label}]")
        return self._emulator.press(self, shown, button["callback_data"])

    async def sends_file(
        self,
        name: str,
        content: bytes | Path,
        *,
        caption: str = "",
        media_type: str = "application/pdf",
        album: str | None = None,
        size_bytes: int | None = None,
    ) -> int:
        """Send a document; `size_bytes` may lie. Those with the same `album` belong together."""
        held = self._emulator.hold("documents", name, content, size_bytes)
        document = self._file(held) | {"file_name": name, "mime_type": media_type}
        return self._sends(
            self._captioned({"document": document}, caption, album), f"(файл {name}) {caption}"
        )

    async def sends_album(self, files: Iterable[tuple[str, bytes]], *, caption: str = "") -> list[int]:
        """Send documents together; the caption stands on the first, as the apps do it."""
        album = str(self._emulator.fresh())
        ids = []
        for name, content in files:
            ids.append(await self.sends_file(name, content, caption=caption, album=album))
            caption = ""
        return ids

    async def sends_photo(self, content: bytes, *, caption: str = "", album: str | None = None) -> int:
        """Send a photo, which Telegram offers in three sizes, the largest last."""
        sizes = []
        for part, width in ((8, 90), (2, 320), (1, 1280)):
            held = self._emulator.hold("photos", "photo.jpg", content[: len(content) // part])
            sizes.append(self._file(held) | {"width": width, "height": width * 3 // 4})
        return self._sends(self._captioned({"photo": sizes}, caption, album), f"(фото) {caption}")

    async def sends_voice(self, content: bytes = b"OggS", *, duration_seconds: int = 3) -> int:
        held = self._emulator.hold("voice", "voice.oga", content)
        voice = self._file(held) | {"duration": duration_seconds, "mime_type": "audio/ogg"}
        return self._sends({"voice": voice}, "(голосовое)")

    async def sends_sticker(self) -> int:
        held = self._emulator.hold("stickers", "sticker.webp", b"RIFF")
        shape = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
        sticker = self._file(held) | shape | {"emoji": "👍"}
        return self._sends({"sticker": sticker}, "(наклейка)")

    async def sends_location(self, latitude: float = 55.75, longitude: float = 37.61) -> int:
        return self._sends({"location": {"latitude": latitude, "longitude": longitude}}, "(геопозиция)")

    async def sends_contact(self, phone: str, *, own: bool = True) -> int:
        """Share a card: the person's own, which Telegram vouches for, or somebody else's."""
        contact = {"phone_number": phone, "first_name": self._user["first_name"] if own else "Кто-то"}
        if own:
            contact["user_id"] = self.id
        return self._sends({"contact": contact}, "(контакт)")

    async def edits(self, text: str) -> None:
        """Correct the last message sent."""
        self._lines.append(f"(правит) {text}")
        key = "text" if "text" in self._last_sent else "caption"
        edited = self._last_sent | {key: text, "edit_date": self._emulator.unix_time()}
        self._emulator.push(self.id, {"edited_message": edited})

    async def blocks(self) -> None:
        self._membership("member", "kicked")
        self.blocked = True

    async def unblocks(self) -> None:
        self.blocked = False
        self._membership("kicked", "member")

    # -------------------------------------------------------------- what the person sees

    async def answer(self, timeout_seconds: float = PATIENCE_SECONDS) -> Message:
        """Wait for the bot's next message that was not read yet."""
        await self.shown(self._read + 1, timeout_seconds=timeout_seconds)
        self._read += 1
        return self.messages[self._read - 1]

    async def shown(self, count: int, *, timeout_seconds: float = PATIENCE_SECONDS) -> list[Message]:
        """Give all messages of the bot once there are at least `count`."""
        return await once_there(self.messages, count, self._changed, timeout_seconds, self.transcript)

    def skip(self) -> None:
        """Take all that was shown for read."""
        self._read = len(self.messages)

    def transcript(self) -> str:
        """The talk so far: «—» are the person's lines, «>» the bot's, buttons in brackets."""
        return "\n".join(self._lines)

    def show(self, message: Message) -> None:
        """Called by the server for each message that was taken."""
        self.messages.append(message)
        files = "".join(f" (файл {name})" for name, _ in message.files)
        buttons = "".join(f" [{label}]" for label in message.buttons)
        self._lines.append(f"> {message.text}{files}{buttons}")
        self._changed.set()

    # -------------------------------------------------------------- inside

    def _find(self, label: str, message: Message | None) -> tuple[Message, dict[str, str]]:
        for shown in [message] if message else reversed(self.messages):
            for row in [] if shown.deleted else shown.keyboard:
                for button in row:
                    if button["text"] == label:
                        return shown, button
        raise AssertionError(f"nowhere is there a button «{label}»:\n{self.transcript()}")

    def _sends(self, content: dict[str, Json], line: str) -> int:
        self.started = True
        self._lines.append(f"— {line}".rstrip())
        message_id = self._emulator.fresh()
        self._last_sent = {
            "message_id": message_id,
            "from": self._user,
            "chat": self._raw_chat,
            "date": self._emulator.unix_time(),
            **content,
        }
        self._emulator.push(self.id, {"message": self._last_sent})
        return message_id

    @staticmethod
    def _captioned(content: dict[str, Json], caption: str, album: str | None) -> dict[str, Json]:
        caption_part = {"caption": caption} if caption else {}
        return content | caption_part | ({"media_group_id": album} if album else {})

    @staticmethod
    def _file(held: tuple[str, Held]) -> dict[str, Json]:
        file_id, file = held
        return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": file.size_bytes}

    def _membership(self, old: str, new: str) -> None:
        self._lines.append(f"({old} -> {new})")
        bot = self._emulator.me
        until = {"until_date": 0}
        change = {
            "chat": self._raw_chat,
            "from": self._user,
            "date": self._emulator.unix_time(),
            "old_chat_member": {"user": bot, "status": old} | (until if old == "kicked" else {}),
            "new_chat_member": {"user": bot, "status": new} | (until if new == "kicked" else {}),
        }
        self._emulator.push(self.id, {"my_chat_member": change})

    @property
    def raw(self) -> dict[str, Json]:
        return self._raw_chat

    @property
    def user(self) -> dict[str, Json]:
        return self._user


class TelegramEmulator:
    """The server of one bot. `now` is the server's clock (Unix seconds), for what expires."""

    def __init__(
        self,
        token: str = DEFAULT_TOKEN,
        *,
        limits: RateLimits | None = None,
        judge: Judge | None = None,
        now: Callable[[], float] = time.time,
        latency_seconds: float = 0,
        hook_retry_seconds: float = 0.05,
        port: int = 0,
    ) -> None:
        self.token = token
        self.limits = limits
        self.judge = judge
        """Refuses what its windows do not bear; its clock is the event loop's."""
        self.me = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Приёмная",
            "username": "priem_bot",
        }
        self.requests: deque[Received] = deque(maxlen=200_000)
        self.chats: dict[int, Chat] = {}
        self.base_url = ""
        self.confirmed = 0
        """All updates below this number were confirmed by the bot."""
        self._now = now
        self._latency_seconds = latency_seconds
        self._hook_retry_seconds = hook_retry_seconds
        self._port = port
        self._prefix = f"/bot{token}/"
        self._file_prefix = f"/file/bot{token}/"
        self._counter = 1000
        self._next_update_id = 880_000_001
        self._updates: dict[int, Update] = {}
        self._repeats: list[Update] = []
        self._last_update: Update | None = None
        self._allowed: frozenset[str] = frozenset(UPDATE_KINDS)
        self._arrived = asyncio.Event()
        self._poll: object | None = None
        self._presses: dict[str, float] = {}
        self.answered_presses: list[str] = []
        self._files: dict[str, Held] = {}
        self._paths: dict[str, Held] = {}
        self._pace = Pace(limits.per_second, limits.burst) if limits else None
        self._misbehaviours: list[Misbehaviour] = []
        self._hook = Hook(self)
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port again, with everything remembered."""
        # A client that goes away ends its long poll, as on the real server.
        server = web.Server(self._serve, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0)
        self._port = await listen(self._runner, self._port)
        self.base_url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Break all connections and listen no more; what is remembered stays."""
        await self._hook.stop()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self._arrived.set()
            await runner.cleanup()

    # -------------------------------------------------------------- for tests

    def chat(
        self, user_id: int, *, first_name: str = "Ольга", last_name: str = "", started: bool = True
    ) -> Chat:
        """The chat of a person, made when new. One that is not `started` may not be written to."""
        if user_id not in self.chats:
            user = {"id": user_id, "is_bot": False, "first_name": first_name, "language_code": "ru"}
            if last_name:
                user["last_name"] = last_name
            self.chats[user_id] = Chat(self, user, started=started)
        return self.chats[user_id]

    def fail_next(
        self,
        method: str | None,
        *,
        status: int = 0,
        description: str = "",
        retry_after: int | None = None,
        migrate_to_chat_id: int | None = None,
        hangs: bool = False,
        drops: bool = False,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        after_effect: bool = False,
        times: int = 1,
    ) -> Misbehaviour:
        """Spoil the next calls of a method (None: any; "file": downloads).

        Exactly one of: `status` or `retry_after` (an honest refusal, with `headers`), `hangs` (no answer
        ever), `drops` (the connection breaks), `body` (these bytes with status 200). With `after_effect` the
        call does its work first and only its answer is spoilt.
        """
        if retry_after is not None:
            status, description = 429, description or f"Too Many Requests: retry after {retry_after}"
        named = {"retry_after": retry_after, "migrate_to_chat_id": migrate_to_chat_id}
        parameters = {name: value for name, value in named.items() if value is not None}
        description = description or {500: "Internal Server Error", 502: "Bad Gateway"}.get(
            status, "Bad Request"
        )
        spoilt = Misbehaviour(
            method, times, status, description, parameters, after_effect, hangs, drops, body, headers or {}
        )
        self._misbehaviours.append(spoilt)
        return spoilt

    def forgive(self) -> None:
        """Take back all misbehaviour that is still to come."""
        self._misbehaviours.clear()

    def repeat_last_update(self) -> None:
        """Deliver the last update once more, whatever was confirmed."""
        if self._last_update is None:
            raise AssertionError("there was no update yet")
        if self._hook.url:
            self._hook.queue(self._last_update)
        else:
            self._repeats.append(self._last_update)
            self._arrived.set()

    @property
    def pending(self) -> int:
        """How many updates wait to be confirmed."""
        return len(self._updates)

    @property
    def hook_secret(self) -> str:
        return self._hook.secret

    @property
    def hook_url(self) -> str:
        return self._hook.url

    # -------------------------------------------------------------- for chats and the webhook

    def fresh(self) -> int:
        self._counter += 1
        return self._counter

    def unix_time(self) -> int:
        return int(self._now())

    def push(self, user_id: int, content: dict[str, Json]) -> None:
        """Make an update. Public, so that a test can send what no client would."""
        kind = next(iter(content))
        if kind in UPDATE_KINDS and kind not in self._allowed:
            return
        life_seconds = CALLBACK_LIFE_SECONDS if kind == "callback_query" else MESSAGE_LIFE_SECONDS
        raw = {"update_id": self._next_update_id, **content}
        update = Update(self._next_update_id, user_id, self._now() + life_seconds, raw)
        self._next_update_id += 1
        self._last_update = update
        self._updates[update.update_id] = update
        if self._hook.url:
            self._hook.queue(update)
        else:
            self._arrived.set()

    def press(self, chat: Chat, message: Message, data: str) -> str:
        press_id = str(2_248_273_948_000_000_000 + self.fresh())
        self._presses[press_id] = self._now() + CALLBACK_LIFE_SECONDS
        press = {
            "id": press_id,
            "from": chat.user,
            "message": message.raw,
            "chat_instance": "-3905829048290482",
            "data": data,
        }
        self.push(chat.id, {"callback_query": press})
        return press_id

    def hold(
        self, folder: str, name: str, content: bytes | Path, size_bytes: int | None = None
    ) -> tuple[str, Held]:
        """Keep a file for the bot; its id."""
        number = self.fresh()
        real_size = content.stat().st_size if isinstance(content, Path) else len(content)
        path = f"{folder}/file_{number}{Path(name).suffix}"
        held = Held(path, content, real_size if size_bytes is None else size_bytes)
        file_id = f"BQACAgIAAxkBAAI{number}"
        self._files[file_id] = self._paths[path] = held
        return file_id, held

    def confirm(self, update_id: int) -> None:
        self._updates.pop(update_id, None)

    def is_alive(self, update: Update) -> bool:
        return update.expires_at > self._now()

    # -------------------------------------------------------------- the server

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        path = request.path
        if path.startswith(self._file_prefix):
            return await self._serve_file(request, path.removeprefix(self._file_prefix))
        if not path.startswith(self._prefix):
            known_form = re.match(r"/(file/)?bot[0-9]+:[A-Za-z0-9_-]+/", path)
            return _failed(Refusal(401, "Unauthorized") if known_form else Refusal(404, "Not Found"))
        method = path.removeprefix(self._prefix)
        params: Mapping[str, Json] = {}
        try:
            known = _known(method)
            params = _checked(known, await _params(request))
            response = await self._obey_or_spoil(request, known, params)
        except Refusal as refusal:
            response = _failed(refusal)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            response = web.Response(status=500)
        self.requests.append(Received(method, params, response.status, asyncio.get_running_loop().time()))
        return response

    async def _obey_or_spoil(
        self, request: web.BaseRequest, known: Method, params: Mapping[str, Json]
    ) -> web.Response:
        spoilt = self._next_misbehaviour(known.name) if self._misbehaviours else None
        if spoilt is None:
            return _succeeded(await known.run(self, params))
        result = await known.run(self, params) if spoilt.after_effect else None
        await _misbehave(spoilt)
        # Only bytes are left: a lost answer that is not lost whole.
        return web.Response(body=spoilt.body) if spoilt.body is not None else _succeeded(result)

    def _next_misbehaviour(self, name: str) -> Misbehaviour | None:
        for spoilt in self._misbehaviours:
            if spoilt.method in (None, name):
                spoilt.times -= 1
                if not spoilt.times:
                    self._misbehaviours.remove(spoilt)
                return spoilt
        return None

    async def _serve_file(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        spoilt = self._next_misbehaviour("file")
        held = self._paths.get(path)
        try:
            if spoilt and not spoilt.after_effect:
                await _misbehave(spoilt)
        except Refusal as refusal:
            return _failed(refusal)
        except Dropped:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        if held is None:
            return _failed(Refusal(404, "Not Found"))
        if isinstance(held.content, Path):
            return web.FileResponse(held.content)
        if spoilt is None:
            return web.Response(body=held.content, content_type="application/octet-stream")
        # The middle of the file is where the connection breaks.
        response = web.StreamResponse(headers={"Content-Length": str(len(held.content))})
        await response.prepare(request)
        await response.write(held.content[: len(held.content) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    # -------------------------------------------------------------- methods: receiving

    async def get_me(self, _: Mapping[str, Json]) -> Json:
        return self.me | {
            "can_join_groups": False, "can_read_all_group_messages": False, "supports_inline_queries": False,
            "can_connect_to_business": False, "has_main_web_app": False,
        }  # fmt: skip

    async def get_updates(self, params: Mapping[str, Json]) -> Json:
        if self._hook.url:
            raise Refusal(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        limit = params.get("limit", 100)
        if not 1 <= limit <= 100:
            raise bad("limit must be between 1 and 100")
        if (allowed := params.get("allowed_updates")) is not None:
            self._allowed = frozenset(allowed) or frozenset(UPDATE_KINDS)
        self._poll = turn = object()
        self._arrived.set()
        self._forget(params.get("offset", 0))
        deadline = asyncio.get_running_loop().time() + params.get("timeout", 0)
        while True:
            ready = self._ready(limit)
            remaining = deadline - asyncio.get_running_loop().time()
            if ready or remaining <= 0:
                return ready
            self._arrived.clear()
            try:
                async with asyncio.timeout(remaining):
                    await self._arrived.wait()
            except TimeoutError:
                continue
            if self._runner is None:
                raise Dropped
            if self._poll is not turn:
                raise Refusal(
                    409,
                    "Conflict: terminated by other getUpdates request; "
                    "make sure that only one bot instance is running",
                )

    def _forget(self, offset: int) -> None:
        if offset < 0:
            offset = ([0] * -offset + sorted(self._updates))[offset]
        if offset:
            self.confirmed = max(self.confirmed, offset)
        for update_id in list(self._updates):
            # They are in order: the first that stays ends the search.
            if update_id >= offset:
                break
            del self._updates[update_id]

    def _ready(self, limit: int) -> list[Json]:
        repeats, self._repeats = self._repeats[:limit], self._repeats[limit:]
        found = [update.raw for update in repeats]
        now = self._now()
        for update in list(self._updates.values()):
            if len(found) == limit:
                break
            if update.expires_at <= now:
                del self._updates[update.update_id]
            else:
                found.append(update.raw)
        return found

    async def set_webhook(self, params: Mapping[str, Json]) -> Json:
        secret = params.get("secret_token", "")
        if secret and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
            raise bad("secret token contains unallowed characters")
        url = params["url"]
        if url and not re.match(r"https?://[^\s]+", url):
            raise bad("invalid webhook URL specified")
        self._drop_pending(params)
        if (allowed := params.get("allowed_updates")) is not None:
            self._allowed = frozenset(allowed) or frozenset(UPDATE_KINDS)
        await self._hook.change(url, secret, self._updates.values())
        return True

    async def delete_webhook(self, params: Mapping[str, Json]) -> Json:
        self._drop_pending(params)
        await self._hook.change("", "", ())
        return True

    def _drop_pending(self, params: Mapping[str, Json]) -> None:
        if params.get("drop_pending_updates"):
            self._updates.clear()

    async def get_webhook_info(self, _: Mapping[str, Json]) -> Json:
        info = {
            "url": self._hook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self._updates),
            "allowed_updates": sorted(self._allowed),
        }
        if self._hook.last_error:
            info |= {"last_error_date": self.unix_time(), "last_error_message": self._hook.last_error}
        return info

    # -------------------------------------------------------------- methods: sending

    async def send_message(self, params: Mapping[str, Json]) -> Json:
        text = params["text"].strip()
        if not text:
            raise bad("message text is empty")
        if utf16_length(text) > TEXT_LENGTH:
            raise bad("message is too long")
        keyboard = _keyboard(params)
        chat = self._open_chat(params)
        return self._posted(chat, {"text": text}, text, keyboard, [])

    async def send_document(self, params: Mapping[str, Json]) -> Json:
        caption = _caption(params)
        upload = params["document"]
        if not isinstance(upload, Upload):
            upload = params.get(str(upload).removeprefix("attach://"))
        if not isinstance(upload, Upload):
            raise bad("there is no document in the request")
        keyboard = _keyboard(params)
        chat = self._open_chat(params)
        return self._posted_document(chat, upload, caption, keyboard, {})

    async def send_media_group(self, params: Mapping[str, Json]) -> Json:
        media = params["media"]
        if not 2 <= len(media) <= 10:
            raise bad("group send failed: expected from 2 to 10 media")
        uploads = []
        for item in media:
            if extra := set(item) - {"type", "media", "caption", "disable_content_type_detection"}:
                raise bad(f"unknown fields of media: {sorted(extra)}")
            if item["type"] != "document":
                raise bad("documents only group with documents")
            upload = params.get(str(item["media"]).removeprefix("attach://"))
            if not isinstance(upload, Upload):
                raise bad("can't parse InputMedia: media not found")
            uploads.append((upload, _caption(item)))
        chat = self._open_chat(params, messages=len(uploads))
        group = {"media_group_id": str(self.fresh())}
        return [self._posted_document(chat, upload, caption, [], group) for upload, caption in uploads]

    async def send_chat_action(self, params: Mapping[str, Json]) -> Json:
        self._known_chat(params)
        return True

    async def edit_message_text(self, params: Mapping[str, Json]) -> Json:
        text = params["text"].strip()
        if not text:
            raise bad("message text is empty")
        if utf16_length(text) > TEXT_LENGTH:
            raise bad("message is too long")
        message = self._own_message(params)
        keyboard = _keyboard(params)
        if (message.text, message.keyboard) == (text, keyboard):
            raise bad(
                "message is not modified: specified new message content and reply markup are exactly the "
                "same as a current content and reply markup of the message"
            )
        message.text, message.keyboard = text, keyboard
        message.raw |= {"text": text, "edit_date": self.unix_time()} | _markup(keyboard)
        return message.raw

    async def delete_message(self, params: Mapping[str, Json]) -> Json:
        self._own_message(params).deleted = True
        return True

    async def answer_callback_query(self, params: Mapping[str, Json]) -> Json:
        if utf16_length(params.get("text", "")) > 200:
            raise bad("MESSAGE_TOO_LONG")
        expires_at = self._presses.get(params["callback_query_id"], -math.inf)
        if expires_at <= self._now():
            raise bad("query is too old and response timeout expired or query ID is invalid")
        self.answered_presses.append(params["callback_query_id"])
        return True

    async def get_file(self, params: Mapping[str, Json]) -> Json:
        file_id = params["file_id"]
        held = self._files.get(file_id)
        if held is None:
            raise bad("wrong file_id or the file is temporarily unavailable")
        if held.size_bytes > DOWNLOAD_BYTES:
            raise bad("file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": f"u{file_id}",
            "file_size": held.size_bytes,
            "file_path": held.path,
        }

    def _known_chat(self, params: Mapping[str, Json]) -> Chat:
        chat = self.chats.get(params["chat_id"])
        if chat is None:
            raise bad("chat not found")
        if chat.deactivated:
            raise Refusal(403, "Forbidden: user is deactivated")
        if chat.blocked:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        if not chat.started:
            raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
        return chat

    def _open_chat(self, params: Mapping[str, Json], *, messages: int = 1) -> Chat:
        chat = self._known_chat(params)
        now = asyncio.get_running_loop().time()
        if self.judge is not None:
            for _ in range(messages):
                if refused := self.judge.hears(now, str(chat.id), params.get("text", "")):
                    seconds = math.ceil(refused.retry_after_seconds)
                    raise Refusal(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        if self._pace is not None and chat.pace is not None:
            if wait := max(self._pace.wait_seconds(now), chat.pace.wait_seconds(now)):
                seconds = max(1, math.ceil(wait))
                raise Refusal(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
            for _ in range(messages):
                self._pace.take(now)
                chat.pace.take(now)
        return chat

    def _own_message(self, params: Mapping[str, Json]) -> Message:
        chat = self._known_chat(params)
        for message in chat.messages:
            if message.message_id == params["message_id"] and not message.deleted:
                return message
        raise bad("message to edit not found")

    def _posted_document(
        self,
        chat: Chat,
        upload: Upload,
        caption: str,
        keyboard: list[list[dict[str, str]]],
        extra: dict[str, Json],
    ) -> Json:
        file_id, held = self.hold("documents", upload.name, upload.content)
        document = {
            "file_id": file_id,
            "file_unique_id": f"u{file_id}",
            "file_name": upload.name,
            "file_size": held.size_bytes,
        }
        content = {"document": document} | ({"caption": caption} if caption else {}) | extra
        return self._posted(chat, content, caption, keyboard, [(upload.name, upload.content)])

    def _posted(
        self,
        chat: Chat,
        content: dict[str, Json],
        text: str,
        keyboard: list[list[dict[str, str]]],
        files: list[tuple[str, bytes]],
    ) -> Json:
        message_id = self.fresh()
        raw = {
            "message_id": message_id,
            "from": self.me,
            "chat": chat.raw,
            "date": self.unix_time(),
            **content,
            **_markup(keyboard),
        }
        chat.show(Message(message_id, text, keyboard, files, raw))
        return raw


class Hook:
    """Delivery to the bot's webhook: in order for a person, in parallel for different ones."""

    def __init__(self, emulator: TelegramEmulator) -> None:
        self.url = ""
        self.secret = ""
        self.last_error = ""
        self._emulator = emulator
        self._queues: dict[int, deque[Update]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def change(self, url: str, secret: str, pending: Iterable[Update]) -> None:
        if (url, secret) == (self.url, self.secret):
            return
        await self.stop()
        self.url, self.secret, self.last_error = url, secret, ""
        for update in list(pending) if url else ():
            self.queue(update)

    def queue(self, update: Update) -> None:
        waiting = self._queues.setdefault(update.user_id, deque())
        waiting.append(update)
        if update.user_id not in self._tasks:
            self._tasks[update.user_id] = asyncio.create_task(self._deliver(update.user_id, waiting))

    async def stop(self) -> None:
        tasks, self._tasks = list(self._tasks.values()), {}
        self._queues.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, raw: Json, secret: str | None) -> tuple[int, float]:
        """Post an update; status and the number of seconds after which the bot wants it again."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60))
        headers = {"Content-Type": "application/json"}
        if secret:
            headers["X-Telegram-Bot-Api-Secret-Token"] = secret
        async with self._session.post(self.url, data=orjson.dumps(raw), headers=headers) as response:
            await response.read()
            return response.status, min(float(response.headers.get("Retry-After", 0)), 3600)

    async def _deliver(self, user_id: int, waiting: deque[Update]) -> None:
        failures = 0
        while waiting:
            update = waiting[0]
            wait_seconds = 0.0
            try:
                status, wait_seconds = await self.post(update.raw, self.secret)
            except (aiohttp.ClientError, TimeoutError) as error:
                status, self.last_error = 0, type(error).__name__
            if 200 <= status < 300 or not self._emulator.is_alive(update):
                waiting.popleft()
                self._emulator.confirm(update.update_id)
                failures = 0
                continue
            self.last_error = self.last_error if not status else f"Wrong response from the webhook: {status}"
            # The first repeat comes at once, the next after 2, 4, 8 … seconds (scaled down here).
            pause = self._emulator._hook_retry_seconds * (2**failures if failures else 0)
            await asyncio.sleep(max(wait_seconds, pause))
            failures = min(failures + 1, 6)
        self._tasks.pop(user_id, None)


# ---------------------------------------------------------------------- parameters


def utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _integer(value: Json) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    raise ValueError


def _string(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - `_checked` looks for one kind of error
    return value


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]


def _object(value: Json) -> dict[str, Json]:
    value = orjson.loads(value) if isinstance(value, str) else value
    if isinstance(value, dict):
        return value
    raise ValueError


def _array(value: Json) -> list[Json]:
    value = orjson.loads(value) if isinstance(value, str) else value
    if isinstance(value, list):
        return value
    raise ValueError


def _file(value: Json) -> Json:
    return value


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the API: how it runs, and what its parameters must be."""

    name: str
    run: Callable[[TelegramEmulator, Mapping[str, Json]], Any]
    params: Mapping[str, Callable[[Json], Json]] = field(default_factory=dict)
    required: Sequence[str] = ()
    takes_files: bool = False


_SEND = {
    "chat_id": _integer,
    "disable_notification": _boolean,
    "protect_content": _boolean,
    "reply_parameters": _object,
}
_MARKUP = {"reply_markup": _object}
_PREVIEW = {"link_preview_options": _object}
_MESSAGE = {"chat_id": _integer, "message_id": _integer}

_METHODS = {
    method.name.lower(): method
    for method in (
        Method("getMe", TelegramEmulator.get_me),
        Method(
            "getUpdates",
            TelegramEmulator.get_updates,
            {"offset": _integer, "limit": _integer, "timeout": _integer, "allowed_updates": _array},
        ),
        Method(
            "setWebhook",
            TelegramEmulator.set_webhook,
            {
                "url": _string,
                "secret_token": _string,
                "allowed_updates": _array,
                "drop_pending_updates": _boolean,
                "max_connections": _integer,
            },
            ("url",),
        ),
        Method("deleteWebhook", TelegramEmulator.delete_webhook, {"drop_pending_updates": _boolean}),
        Method("getWebhookInfo", TelegramEmulator.get_webhook_info),
        Method(
            "sendMessage",
            TelegramEmulator.send_message,
            {**_SEND, **_MARKUP, **_PREVIEW, "text": _string},
            ("chat_id", "text"),
        ),
        Method(
            "sendDocument",
            TelegramEmulator.send_document,
            {
                **_SEND,
                **_MARKUP,
                "document": _file,
                "caption": _string,
                "disable_content_type_detection": _boolean,
            },
            ("chat_id", "document"),
            takes_files=True,
        ),
        Method(
            "sendMediaGroup",
            TelegramEmulator.send_media_group,
            {**_SEND, "media": _array},
            ("chat_id", "media"),
            takes_files=True,
        ),
        Method(
            "sendChatAction",
            TelegramEmulator.send_chat_action,
            {"chat_id": _integer, "action": _string},
            ("chat_id", "action"),
        ),
        Method(
            "editMessageText",
            TelegramEmulator.edit_message_text,
            {**_MESSAGE, **_MARKUP, **_PREVIEW, "text": _string},
            ("chat_id", "message_id", "text"),
        ),
        Method("deleteMessage", TelegramEmulator.delete_message, _MESSAGE, ("chat_id", "message_id")),
        Method(
            "answerCallbackQuery",
            TelegramEmulator.answer_callback_query,
            {
                "callback_query_id": _string,
                "text": _string,
                "show_alert": _boolean,
                "url": _string,
                "cache_time": _integer,
            },
            ("callback_query_id",),
        ),
        Method("getFile", TelegramEmulator.get_file, {"file_id": _string}, ("file_id",)),
    )
}


def _known(name: str) -> Method:
    method = _METHODS.get(name.lower())
    if method is None:
        raise Refusal(404, "Not Found")
    return method


def _checked(method: Method, given: Mapping[str, Json]) -> dict[str, Json]:
    params: dict[str, Json] = {}
    for name, value in given.items():
        check = method.params.get(name)
        if check is None and not (method.takes_files and isinstance(value, Upload)):
            raise bad(f"the emulator knows no parameter {name!r} of {method.name}")
        try:
            params[name] = check(value) if check else value
        except (ValueError, KeyError):
            raise bad(f"parameter {name!r} of {method.name} is of a wrong type") from None
    for name in method.required:
        if name not in params:
            raise bad(f"parameter {name!r} is required")
    return params


async def _params(request: web.BaseRequest) -> Mapping[str, Json]:
    kind = request.content_type
    if kind == "application/json":
        try:
            params = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            raise bad("can't parse JSON object") from None
        if not isinstance(params, dict):
            raise bad("object expected as JSON body")
        return params
    if kind == "multipart/form-data":
        return await _multipart(request)
    if kind == "application/x-www-form-urlencoded":
        return dict(await request.post())
    return dict(request.query)


async def _multipart(request: web.BaseRequest) -> dict[str, Json]:
    params: dict[str, Json] = {}
    size_bytes = 0
    async for part in await request.multipart():
        assert isinstance(part, aiohttp.BodyPartReader)
        content = bytearray()
        while chunk := await part.read_chunk(256 * 1024):
            size_bytes += len(chunk)
            if size_bytes <= UPLOAD_BYTES + 64 * 1024:
                content += chunk
        name = part.name or ""
        params[name] = (
            bytes(content).decode() if part.filename is None else Upload(part.filename, bytes(content))
        )
    if size_bytes > UPLOAD_BYTES:
        raise Refusal(413, "Request Entity Too Large")
    return params


def _caption(params: Mapping[str, Json]) -> str:
    caption: str = params.get("caption", "").strip()
    if utf16_length(caption) > CAPTION_LENGTH:
        raise bad("message caption is too long")
    return caption


def _keyboard(params: Mapping[str, Json]) -> list[list[dict[str, str]]]:
    markup = params.get("reply_markup")
    if markup is None:
        return []
    rows = markup.get("inline_keyboard")
    if set(markup) != {"inline_keyboard"} or not isinstance(rows, list):
        raise bad("object expected as reply markup")
    total = 0
    for row in rows:
        if not isinstance(row, list) or not 1 <= len(row) <= BUTTONS_PER_ROW:
            raise bad(f"a row of inline buttons has 1 to {BUTTONS_PER_ROW} of them")
        total += len(row)
        for button in row:
            _check_button(button)
    if total > BUTTONS_TOTAL:
        raise bad("reply markup is too long")
    return rows


def _check_button(button: Json) -> None:
    if not isinstance(button, dict) or not isinstance(button.get("text"), str) or not button["text"].strip():
        raise bad("can't parse inline keyboard button: text is empty")
    data = button.get("callback_data")
    if set(button) == {"text", "url"}:
        return
    if set(button) != {"text", "callback_data"} or not isinstance(data, str):
        raise bad("can't parse inline keyboard button: exactly one action must be used")
    if not 1 <= len(data.encode()) <= CALLBACK_BYTES:
        raise bad("BUTTON_DATA_INVALID")


def _markup(keyboard: list[list[dict[str, str]]]) -> dict[str, Json]:
    return {"reply_markup": {"inline_keyboard": keyboard}} if keyboard else {}


# ---------------------------------------------------------------------- answers


def _succeeded(result: Json) -> web.Response:
    return web.Response(body=orjson.dumps({"ok": True, "result": result}), content_type="application/json")


def _failed(refusal: Refusal) -> web.Response:
    answer = {"ok": False, "error_code": refusal.status, "description": refusal.description}
    if refusal.parameters:
        answer["parameters"] = refusal.parameters
    return web.Response(
        body=orjson.dumps(answer),
        status=refusal.status,
        content_type="application/json",
        headers=refusal.headers,
    )


async def _misbehave(spoilt: Misbehaviour) -> None:
    if spoilt.hangs:
        await asyncio.sleep(3600)
    if spoilt.drops:
        raise Dropped
    if spoilt.status:
        refusal = Refusal(spoilt.status, spoilt.description, **spoilt.parameters)
        refusal.headers = spoilt.headers
        raise refusal
