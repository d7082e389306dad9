"""VK's API, its long poll and its callbacks on a real socket: stricter than VK itself, and able to misbehave.

Written after https://dev.vk.com/reference. It refuses what VK would refuse, with the same codes, and
notes what VK would silently ignore (an unknown parameter, no version) in `violations`.

    async with VkEmulator() as vk:
        chat = vk.chat(743)
        await chat.starts()
        shown = await chat.answer()
        await chat.presses("Согласен")

With the variable PRIEM_SHARED, a folder that holds VK's published schema, calls are checked by it too.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.emulators.listening import PATIENCE_SECONDS, listen, once_there

Json = Any

VERSION = "5.199"
DEFAULT_TOKEN = "vk1.a.emulated-token_of.no-community"
DEFAULT_GROUP = 195_746_392
TEXT_LENGTH = 4096
LABEL_LENGTH = 40
PAYLOAD_LENGTH = 255
UPLOAD_BYTES = 200 * 1024 * 1024
PHOTO_BYTES = 50 * 1024 * 1024
PRESS_LIFE_SECONDS = 60
EVENT_KINDS = (
    "message_new",
    "message_edit",
    "message_event",
    "message_allow",
    "message_deny",
    "message_read",
    "message_reply",
    "message_typing_state",
)
ERRORS = {
    1: "Unknown error occurred",
    3: "Unknown method passed",
    5: "User authorization failed: invalid access_token (4).",
    6: "Too many requests per second",
    7: "Permission to perform this action is denied",
    9: "Flood control: too much messages sent to user",
    10: "Internal server error",
    14: "Captcha needed",
    15: "Access denied: no access to call this method",
    17: "Validation required: please open redirect_uri in browser",
    18: "User was deleted or banned",
    27: "Group authorization failed: invalid access_token (4).",
    29: "Rate limit reached",
    100: "One of the parameters specified was missing or invalid",
    105: "Couldn't save file",
    113: "Invalid user id",
    900: "Can't send messages for users from blacklist",
    901: "Can't send messages for users without permission",
    902: "Can't send messages to this user due to their privacy settings",
    911: "Keyboard format is invalid",
    912: "This is a chat bot feature, change this status in settings",
    914: "Message is too long",
    936: "Contact not found",
    950: "Can't send message, reply timed out",
    2000: "Servers number limit is reached",
}


@dataclass(slots=True)
class Misbehaviour:
    """What happens to the next calls of a method. Made by `VkEmulator.fail_next`."""

    method: str
    times: int
    code: int = 0
    message: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hangs: bool = False
    drops: bool = False
    after_effect: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; `at` is the event loop's time."""

    method: str
    params: Mapping[str, str]
    at: float


@dataclass(slots=True)
class Message:
    """A community's message as the person sees it."""

    message_id: int
    number: int
    text: str
    keyboard: list[list[dict[str, Json]]]
    inline: bool
    files: list[tuple[str, bytes]]

    @property
    def buttons(self) -> list[str]:
        """The labels, row after row."""
        return [button["action"]["label"] for row in self.keyboard for button in row]


@dataclass(slots=True)
class Held:
    """A file that VK keeps."""

    name: str
    content: bytes
    saved_as: str = ""


@dataclass(slots=True)
class Server:
    """One callback server of the community, and what waits to be posted to it."""

    id: int
    url: str
    title: str
    secret_key: str
    status: str = "unconfigured"
    events: set[str] = field(default_factory=set)
    queue: deque[Json] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class Refusal(Exception):  # noqa: N818 - the server's word for it
    """What the server answers instead of a response."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = f"{ERRORS.get(code, 'Unknown error occurred')}{detail and ': ' + detail}"


class Dropped(Exception):  # noqa: N818
    """The connection is to be closed without an answer."""


class Chat:
    """One person and their dialog with the community."""

    def __init__(self, emulator: VkEmulator, user_id: int, *, started: bool) -> None:
        self.id = user_id
        self.messages: list[Message] = []
        self.keyboard: list[list[dict[str, Json]]] = []
        """The keyboard in place of the person's own, until a button of it is used."""
        self.allowed = started
        self.sent: dict[int, int] = {}
        """`random_id` → the message."""
        self._emulator = emulator
        self._read = 0
        self._lines: list[str] = []
        self._changed = asyncio.Event()
        self._last_sent: dict[str, Json] = {}
        self._number = 40
        self.client_info: Json = {
            "button_actions": ["text", "vkpay", "open_app", "location", "open_link", "callback"],
            "keyboard": True,
            "inline_keyboard": True,
            "carousel": True,
            "lang_id": 0,
        }
        """What the person's app can show; VK tells it with each message."""

    # -------------------------------------------------------------- what the person does

    async def starts(self, ref: str | None = None) -> None:
        """Press «Начать»; `ref` is what the link carried."""
        more = {"ref": ref, "ref_source": ""} if ref is not None else {}
        await self.sends({"text": "Начать", "payload": '{"command":"start"}', **more})

    async def says(self, text: str, **more: Json) -> None:
        """Type a message."""
        await self.sends({"text": text, **more})

    async def sends(self, content: dict[str, Json]) -> None:
        """Send a message with this content. Public, for what has no method of its own."""
        self.allowed = True
        self._number += 1
        self._lines.append(f"— {content.get('text', '')} {[*content]}")
        self._last_sent = {
            "date": self._emulator.unix_time(),
            "from_id": self.id,
            "id": self._emulator.fresh(),
            "version": 10_000 + self._number,
            "out": 0,
            "fwd_messages": [],
            "important": False,
            "is_hidden": False,
            "attachments": [],
            "conversation_message_id": self._number,
            "text": "",
            "peer_id": self.id,
            "random_id": 0,
            **content,
        }
        self._emulator.push("message_new", {"message": self._last_sent, "client_info": self.client_info})

    async def presses(self, label: str) -> str:
        """Press a button of the keyboard, or of the latest message that has it."""
        shown, button = self._find(label)
        action = button["action"]
        self._lines.append(f"[{label}]")
        if action["type"] == "text":
            self.keyboard = []
            await self.sends({"text": action["label"], "payload": action["payload"]})
            return ""
        return self._emulator.press(self, shown, json.loads(action["payload"]))

    async def sends_file(self, name: str, content: bytes, *, caption: str = "") -> None:
        await self.sends({"text": caption, "attachments": [self.document(name, content)]})

    async def sends_photo(self, content: bytes, *, caption: str = "") -> None:
        """Send a photo, which VK offers in several sizes."""
        sizes = []
        for kind, part, width in (("s", 8, 56), ("w", 1, 960), ("m", 2, 130)):
            url = self._emulator.hold("photo.jpg", content[: len(content) // part])
            sizes.append({"type": kind, "url": url, "width": width, "height": width * 4 // 3})
        photo = {
            "id": self._emulator.fresh(),
            "owner_id": self.id,
            "album_id": -3,
            "sizes": sizes,
            "text": "",
        }
        await self.sends({"text": caption, "attachments": [{"type": "photo", "photo": photo}]})

    async def sends_voice(self, content: bytes = b"OggS") -> None:
        url = self._emulator.hold("voice.ogg", content)
        voice = {
            "id": self._emulator.fresh(),
            "owner_id": self.id,
            "duration": 3,
            "link_ogg": url,
            "link_mp3": f"{url}.mp3",
            "waveform": [1, 2, 3],
        }
        await self.sends({"attachments": [{"type": "audio_message", "audio_message": voice}]})

    async def edits(self, text: str) -> None:
        """Correct the last message sent."""
        edited = self._last_sent | {"text": text, "update_time": self._emulator.unix_time()}
        self._emulator.push("message_edit", edited)

    async def reads(self) -> None:
        """Open the dialog: all up to the last message is read."""
        last = self.messages[-1]
        receipt = {"from_id": self.id, "peer_id": self.id, "read_message_id": last.message_id}
        self._emulator.push("message_read", receipt | {"conversation_message_id": last.number})

    async def blocks(self) -> None:
        self.allowed = False
        self._emulator.push("message_deny", {"user_id": self.id})

    async def unblocks(self) -> None:
        self.allowed = True
        self._emulator.push("message_allow", {"user_id": self.id, "key": ""})

    def document(self, name: str, content: bytes, *, size_bytes: int | None = None) -> dict[str, Json]:
        """An attachment; `size_bytes` may lie."""
        number = self._emulator.fresh()
        document = {
            "id": number,
            "owner_id": self.id,
            "title": name,
            "size": len(content) if size_bytes is None else size_bytes,
            "ext": name.rpartition(".")[2],
            "date": self._emulator.unix_time(),
            "type": 1,
            "url": self._emulator.hold(name, content),
            "access_key": "ab12",
        }
        return {"type": "doc", "doc": document}

    # -------------------------------------------------------------- what the person sees

    async def answer(self, timeout_seconds: float = PATIENCE_SECONDS) -> Message:
        """Wait for the next message that was not read yet."""
        await self.shown(self._read + 1, timeout_seconds=timeout_seconds)
        self._read += 1
        return self.messages[self._read - 1]

    async def shown(self, count: int, *, timeout_seconds: float = PATIENCE_SECONDS) -> list[Message]:
        """Give all messages of the community once there are at least `count`."""
        return await once_there(self.messages, count, self._changed, timeout_seconds, self.transcript)

    def transcript(self) -> str:
        """The talk so far."""
        return "\n".join(self._lines)

    def show(self, text: str, keyboard: dict[str, Json], files: list[tuple[str, bytes]]) -> Message:
        """Called by the server for each message that was taken."""
        self._number += 1
        rows = keyboard.get("buttons", [])
        inline = bool(keyboard.get("inline"))
        message = Message(self._emulator.fresh(), self._number, text, rows, inline, files)
        if keyboard and not inline:
            self.keyboard = rows
        self.messages.append(message)
        self._lines.append(f"> {text} {message.buttons} {[name for name, _ in files]}")
        self._changed.set()
        return message

    def _find(self, label: str) -> tuple[Message, dict[str, Json]]:
        for row in self.keyboard:
            for button in row:
                if button["action"]["label"] == label:
                    return self.messages[-1], button
        for message in reversed(self.messages):
            for row in message.keyboard if message.inline else []:
                for button in row:
                    if button["action"]["label"] == label:
                        return message, button
        raise AssertionError(f"nowhere is there a button «{label}»:\n{self.transcript()}")


class VkEmulator:
    """The server of one community. `now` is the server's clock (Unix seconds), for what expires."""

    def __init__(
        self,
        token: str = DEFAULT_TOKEN,
        group_id: int = DEFAULT_GROUP,
        *,
        now: Callable[[], float] = time.time,
        latency_seconds: float = 0,
        hook_retry_seconds: float = 0.05,
        requests_per_second: int = 0,
        manages: bool = True,
    ) -> None:
        self.token = token
        self.group_id = group_id
        self.base_url = ""
        self.chats: dict[int, Chat] = {}
        self.requests: deque[Received] = deque(maxlen=100_000)
        self.violations: list[str] = []
        """What VK would have let pass and we do not."""
        self.answered_presses: list[str] = []
        self.servers: dict[int, Server] = {}
        self.site_code = "5ite0c0de"
        """The confirmation string that the site shows: not the one of the API."""
        self.manages = manages
        """Whether the key has the right to manage the community."""
        self.has_bot_features = True
        """Whether the community may show buttons («Возможности ботов»)."""
        self.long_poll = {"is_enabled": False, "events": dict.fromkeys(EVENT_KINDS, 0)}
        self.polls = 0
        """How many questions for events were understood."""
        self.highest_in_flight = 0
        self.retry_counters: list[int] = []
        self._now = now
        self._latency_seconds = latency_seconds
        self._hook_retry_seconds = hook_retry_seconds
        self._requests_per_second = requests_per_second
        self._second: deque[float] = deque()
        self._in_flight = 0
        self._counter = 100
        self._code = "c0de1"
        self._events: list[Json] = []
        self._first_ts = 1
        self.poll_key = "emulated-poll-key-1"
        self._last_event: Json = None
        self._arrived = asyncio.Event()
        self._presses: dict[str, tuple[int, float]] = {}
        self._uploads: dict[str, Held | None] = {}
        self._files: dict[str, Held] = {}
        self._documents: dict[str, Held] = {}
        self._misbehaviours: list[Misbehaviour] = []
        self._posting: dict[int, asyncio.Task[None]] = {}
        self._port = 0
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port again, with everything remembered."""
        server = web.Server(self._serve, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0)
        self._port = await listen(self._runner, self._port)
        self.base_url = f"http://127.0.0.1:{self._port}"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(8))
        for server_id in self.servers:
            self._posting[server_id] = asyncio.create_task(self._post_events(self.servers[server_id]))

    async def stop(self) -> None:
        """Break all connections and listen no more; what is remembered stays."""
        for posting in self._posting.values():
            posting.cancel()
        await asyncio.gather(*self._posting.values(), return_exceptions=True)
        self._posting.clear()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self._arrived.set()
            await runner.cleanup()

    # -------------------------------------------------------------- for tests

    def chat(self, user_id: int, *, started: bool = True) -> Chat:
        """The dialog with a person, made when new. One that is not `started` may not be written to."""
        if user_id not in self.chats:
            self.chats[user_id] = Chat(self, user_id, started=started)
        return self.chats[user_id]

    def fail_next(self, method: str, *, code: int = 0, message: str = "", times: int = 1, **how: Any) -> None:
        """Spoil the next calls of a method ("lp": the long poll, "upload", "file", "*": any method).

        Exactly one of `code` (an error of the API), `status` (another HTTP status, with `headers`),
        `body` (these bytes with status 200), `hangs`, `drops`. With `after_effect` the call does its
        work first and only its answer is spoilt.
        """
        self._misbehaviours.append(Misbehaviour(method, times, code, message, **how))

    def forgive(self) -> None:
        """Take back all misbehaviour that is still to come."""
        self._misbehaviours.clear()

    def repeat_last_event(self) -> None:
        """Deliver the last event once more."""
        self._offer(self._last_event)

    def change_key(self) -> None:
        """Let the key of the long poll run out."""
        self.poll_key = f"emulated-poll-key-{self.fresh()}"

    def lose_history(self) -> None:
        """Forget the events that the long poll has kept so far."""
        self._first_ts += len(self._events)
        self._events.clear()

    @property
    def hook(self) -> Server | None:
        """The server that works, if any."""
        return next((each for each in self.servers.values() if each.status == "ok" and each.events), None)

    # -------------------------------------------------------------- for chats

    def fresh(self) -> int:
        self._counter += 1
        return self._counter

    def unix_time(self) -> int:
        return int(self._now())

    def push(self, kind: str, content: Json) -> None:
        """Make an event. Public, so that a test can send what no client would."""
        event = {
            "group_id": self.group_id,
            "type": kind,
            "event_id": f"{self.fresh():040x}",
            "v": VERSION,
            "object": content,
        }
        self._last_event = event
        self._offer(event)

    def press(self, chat: Chat, message: Message, payload: Json) -> str:
        press_id = f"{self.fresh():012x}"
        self._presses[press_id] = chat.id, self._now() + PRESS_LIFE_SECONDS
        press = {"user_id": chat.id, "peer_id": chat.id, "event_id": press_id, "payload": payload}
        self.push("message_event", press | {"conversation_message_id": message.number})
        return press_id

    def hold(self, name: str, content: bytes) -> str:
        """Keep a file; its address, which leads on to another as VK's do."""
        key = f"{self.fresh()}"
        self._files[key] = Held(name, content)
        return f"{self.base_url}/doc{key}?hash=h&dl=d"

    def _offer(self, event: Json) -> None:
        if self.long_poll["is_enabled"] and self.long_poll["events"].get(event["type"]):  # type: ignore[attr-defined]
            self._events.append(event)
            self._arrived.set()
        for server in self.servers.values():
            if event["type"] in server.events:
                server.queue.append(event)
                server.arrived.set()

    # -------------------------------------------------------------- the server

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._in_flight += 1
        self.highest_in_flight = max(self.highest_in_flight, self._in_flight)
        try:
            if self._latency_seconds:
                await asyncio.sleep(self._latency_seconds)
            return await self._routed(request)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        finally:
            self._in_flight -= 1

    async def _routed(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith("/method/") and request.method == "POST":
            return await self._method(request, path.removeprefix("/method/"))
        if path == f"/wh{self.group_id}" and request.method == "GET":
            return await self._spoilt("lp", lambda: self._check(request))
        if path.startswith("/upload/") and request.method == "POST":
            return await self._spoilt("upload", lambda: self._upload(request, path.removeprefix("/upload/")))
        if path.startswith("/doc") and request.method == "GET":
            location = {"Location": f"/media/{path.removeprefix('/doc')}"}
            return await self._spoilt("file", lambda: _soon(web.Response(status=302, headers=location)))
        held = self._files.get(path.removeprefix("/media/"))
        if held is not None and request.method == "GET":
            return web.Response(body=held.content, content_type="application/octet-stream")
        self.violations.append(f"{request.method} {path}: there is nothing here")
        return web.Response(status=404)

    async def _method(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        if request.content_type != "application/x-www-form-urlencoded":
            self.violations.append(f"{name}: a body of type {request.content_type}")
        params = {key: str(value) for key, value in (await request.post()).items()}
        shown = {key: value for key, value in params.items() if key != "access_token"}
        self.requests.append(Received(name, shown, asyncio.get_running_loop().time()))

        async def answered() -> web.Response:
            try:
                return web.json_response({"response": await self._obeyed(name, dict(params))})
            except Refusal as refusal:
                return self._refused(refusal.code, refusal.message, name, shown)

        spoilt = self._next_misbehaviour(name)
        if spoilt is not None and spoilt.code and not spoilt.after_effect:
            message = spoilt.message or ERRORS.get(spoilt.code, "Unknown error occurred")
            return self._refused(spoilt.code, message, name, shown)
        return await self._spoilt_by(spoilt, answered)

    async def _obeyed(self, name: str, params: dict[str, str]) -> Json:
        if params.pop("access_token", "") != self.token:
            raise Refusal(5)
        if params.pop("v", "") != VERSION:
            self.violations.append(f"{name}: not version {VERSION}")
        self._check_rate()
        known = METHODS.get(name)
        if known is None:
            raise Refusal(3)
        self._check_params(name, known, params)
        if known.manages and not self.manages:
            raise Refusal(15)
        return known.run(self, params)

    def _check_rate(self) -> None:
        if not self._requests_per_second:
            return
        now = asyncio.get_running_loop().time()
        while self._second and self._second[0] <= now - 1:
            self._second.popleft()
        if len(self._second) >= self._requests_per_second:
            raise Refusal(6)
        self._second.append(now)

    def _check_params(self, name: str, known: Method, params: Mapping[str, str]) -> None:
        allowed = known.required | known.optional | (set(EVENT_KINDS) if known.takes_events else set())
        self.violations += [f"{name}: unknown parameter {each}" for each in params if each not in allowed]
        self.violations += [f"{name}: {each} is empty" for each, value in params.items() if not value]
        self.violations += schema_complaints(name, params)
        for each in known.required:
            if each not in params:
                raise Refusal(100, f"{each} is undefined")
        if "group_id" in params and params["group_id"] != str(self.group_id):
            raise Refusal(100, "group_id not integer")

    @staticmethod
    def _refused(code: int, message: str, method: str, params: Mapping[str, str]) -> web.Response:
        told = [{"key": "method", "value": method}, *({"key": k, "value": v} for k, v in params.items())]
        captcha = (
            {"captcha_sid": "1", "captcha_img": "https://api.vk.ru/captcha.php?sid=1"} if code == 14 else {}
        )
        error = {"error_code": code, "error_msg": message, "request_params": told}
        return web.json_response({"error": error | captcha})

    def _next_misbehaviour(self, method: str) -> Misbehaviour | None:
        for spoilt in self._misbehaviours:
            if spoilt.method == method or (spoilt.method == "*" and "." in method):
                spoilt.times -= 1
                if not spoilt.times:
                    self._misbehaviours.remove(spoilt)
                return spoilt
        return None

    async def _spoilt(self, method: str, work: Callable[[], Any]) -> web.StreamResponse:
        return await self._spoilt_by(self._next_misbehaviour(method), work)

    @staticmethod
    async def _spoilt_by(spoilt: Misbehaviour | None, work: Callable[[], Any]) -> web.StreamResponse:
        if spoilt is None:
            return await work()  # type: ignore[no-any-return]
        if spoilt.after_effect:
            await work()
        if spoilt.hangs:
            await asyncio.sleep(3600)
        if spoilt.drops:
            raise Dropped
        if spoilt.body is not None:
            return web.Response(body=spoilt.body, content_type="application/json")
        return web.Response(status=spoilt.status or 500, headers=spoilt.headers, text="<html>sorry</html>")

    # -------------------------------------------------------------- the long poll

    async def _check(self, request: web.BaseRequest) -> web.Response:
        query = request.query
        if set(query) != {"act", "key", "ts", "wait"} or query["act"] != "a_check":
            self.violations.append(f"long poll: parameters {sorted(query)}")
        if not 0 < int(query["wait"]) <= 90:
            self.violations.append(f"long poll: wait {query['wait']}")
        if query["key"] != self.poll_key:
            return web.json_response({"failed": 2})
        self.polls += 1
        deadline = asyncio.get_running_loop().time() + int(query["wait"])
        while True:
            newest = self._first_ts + len(self._events)
            if not query["ts"].isdigit():
                return web.json_response({"failed": 3})
            ts = int(query["ts"])
            if not self._first_ts <= ts <= newest:
                # Here, and only here, VK gives a number and not a string.
                return web.json_response({"failed": 1, "ts": newest})
            found = self._events[ts - self._first_ts :]
            remaining = deadline - asyncio.get_running_loop().time()
            if found or remaining <= 0:
                return web.json_response({"ts": str(newest), "updates": found})
            self._arrived.clear()
            try:
                async with asyncio.timeout(remaining):
                    await self._arrived.wait()
            except TimeoutError:
                continue
            if self._runner is None:
                raise Dropped

    def get_long_poll_server(self, _: Mapping[str, str]) -> Json:
        if not self.long_poll["is_enabled"]:
            raise Refusal(100, "longpoll for this group is not enabled")
        server = f"{self.base_url}/wh{self.group_id}"
        return {"key": self.poll_key, "server": server, "ts": str(self._first_ts + len(self._events))}

    def get_long_poll_settings(self, _: Mapping[str, str]) -> Json:
        return {"api_version": VERSION, **self.long_poll}

    def set_long_poll_settings(self, params: Mapping[str, str]) -> Json:
        self.long_poll["is_enabled"] = params.get("enabled") == "1"
        events = {kind: int(params[kind]) for kind in EVENT_KINDS if kind in params}
        self.long_poll["events"] |= events  # type: ignore[operator]
        return 1

    # -------------------------------------------------------------- callbacks

    def get_by_id(self, _: Mapping[str, str]) -> Json:
        group = {"id": self.group_id, "name": "Баланс Актив", "screen_name": f"club{self.group_id}"}
        return {"groups": [group], "profiles": []}

    def get_callback_servers(self, _: Mapping[str, str]) -> Json:
        items = [
            {
                "id": each.id,
                "title": each.title,
                "creator_id": 1,
                "url": each.url,
                "secret_key": each.secret_key,
                "status": each.status,
            }
            for each in self.servers.values()
        ]
        return {"count": len(items), "items": items}

    def get_confirmation_code(self, _: Mapping[str, str]) -> Json:
        return {"code": self._code}

    def add_callback_server(self, params: Mapping[str, str]) -> Json:
        if len(self.servers) == 10:
            raise Refusal(2000)
        server = Server(self.fresh(), "", "", "")
        self.servers[server.id] = server
        self._change_server(server, params)
        self._posting[server.id] = asyncio.create_task(self._post_events(server))
        return {"server_id": server.id}

    def edit_callback_server(self, params: Mapping[str, str]) -> Json:
        self._change_server(self._server(params), params)
        return 1

    def set_callback_settings(self, params: Mapping[str, str]) -> Json:
        self._server(params).events = {kind for kind in EVENT_KINDS if params.get(kind) == "1"}
        return 1

    def _server(self, params: Mapping[str, str]) -> Server:
        if int(params["server_id"]) not in self.servers:
            raise Refusal(100, "server_id is wrong")
        return self.servers[int(params["server_id"])]

    def _change_server(self, server: Server, params: Mapping[str, str]) -> None:
        if len(params["title"]) > 14 or len(params.get("secret_key", "")) > 50:
            raise Refusal(100, "title or secret_key is too long")
        server.url, server.title = params["url"], params["title"]
        server.secret_key = params.get("secret_key", "")
        server.status = "unconfigured"
        self._code = f"c0de{self.fresh()}"
        server.arrived.set()

    async def confirms(self, server: Server, code: str) -> bool:
        """Ask the server for its string, as VK does before it posts anything."""
        body, _ = await self._posted(server.url, {"type": "confirmation", "group_id": self.group_id}, 0)
        server.status = "ok" if body == code else "failed"
        return server.status == "ok"

    async def _post_events(self, server: Server) -> None:
        counter = 0
        while True:
            server.arrived.clear()
            if server.status == "unconfigured":
                await self.confirms(server, self._code)
            if server.status == "ok" and server.queue:
                event = server.queue[0]
                signed = event | ({"secret": server.secret_key} if server.secret_key else {})
                body, _ = await self._posted(server.url, signed, counter)
                if body == "ok":
                    server.queue.popleft()
                    counter = 0
                else:
                    counter += 1
                    self.retry_counters.append(counter)
                    await asyncio.sleep(self._hook_retry_seconds)
                continue
            await server.arrived.wait()

    async def _posted(self, url: str, event: Json, counter: int) -> tuple[str, int]:
        assert self._session is not None
        headers = {"X-Retry-Counter": str(counter)} if counter else {}
        try:
            async with self._session.post(url, json=event, headers=headers) as response:
                body = await response.text()
                again = response.headers.get("Retry-After")
                if again is not None and parsedate_to_datetime(again) is None:
                    self.violations.append("callback: Retry-After is no date")
                return (body if response.status == 200 else ""), response.status
        except (aiohttp.ClientError, TimeoutError):
            return "", 0

    # -------------------------------------------------------------- messages

    def send(self, params: Mapping[str, str]) -> Json:
        chat = self._open_chat(params["peer_id"])
        if not re.fullmatch(r"[0-9]{1,10}", params["random_id"]) or not 0 < int(params["random_id"]) < 2**31:
            self.violations.append(f"messages.send: random_id {params['random_id']}")
        text = params.get("message", "")
        if len(text) > TEXT_LENGTH:
            raise Refusal(914)
        keyboard = _keyboard(params["keyboard"]) if "keyboard" in params else {}
        if keyboard and not self.has_bot_features:
            raise Refusal(912)
        files = self._attached(params["attachment"]) if "attachment" in params else []
        if not text.strip() and not files:
            raise Refusal(100, "message is empty or invalid")
        random_id = int(params["random_id"])
        if random_id not in chat.sent:
            chat.sent[random_id] = chat.show(text, keyboard, files).message_id
            self.push("message_reply", {"id": chat.sent[random_id], "from_id": -self.group_id, "text": text})
        return chat.sent[random_id]

    def _open_chat(self, peer_id: str) -> Chat:
        chat = self.chats.get(int(peer_id)) if peer_id.isdigit() else None
        if chat is None:
            raise Refusal(100, "peer_id is invalid")
        if not chat.allowed:
            raise Refusal(901)
        return chat

    def _attached(self, names: str) -> list[tuple[str, bytes]]:
        # A picture's key of access may follow its name.
        documents = [self._documents.get("_".join(name.split("_")[:2])) for name in names.split(",")]
        if len(documents) > 10 or None in documents:
            raise Refusal(100, "attachment is invalid")
        return [(held.name, held.content) for held in documents if held is not None]

    def answer_press(self, params: Mapping[str, str]) -> Json:
        user_id, expires_at = self._presses.get(params["event_id"], (0, 0.0))
        if not {params["user_id"], params["peer_id"]} == {str(user_id)} or expires_at < self._now():
            raise Refusal(100, "event_id is invalid or too old")
        del self._presses[params["event_id"]]
        self.answered_presses.append(params["event_id"])
        return 1

    # -------------------------------------------------------------- documents

    def get_upload_server(self, params: Mapping[str, str]) -> Json:
        self._open_chat(params["peer_id"])
        key = f"{self.fresh()}"
        self._uploads[key] = None
        return {"upload_url": f"{self.base_url}/upload/{key}"}

    def get_photo_server(self, params: Mapping[str, str]) -> Json:
        self._open_chat(params["peer_id"])
        key = f"photo-{self.fresh()}"
        self._uploads[key] = None
        return {"upload_url": f"{self.base_url}/upload/{key}", "album_id": -64, "group_id": 0}

    async def _upload(self, request: web.BaseRequest, key: str) -> web.Response:
        if key not in self._uploads:
            return web.json_response({"error": "ERR_UPLOAD_BAD_SERVER"})
        if request.content_type != "multipart/form-data":
            self.violations.append(f"upload: a body of type {request.content_type}")
        parts = await request.multipart()
        part = await parts.next()
        assert isinstance(part, aiohttp.BodyPartReader)
        is_photo = key.startswith("photo-")
        if part.name != ("photo" if is_photo else "file") or not part.filename:
            self.violations.append(f"upload: field {part.name}, file {part.filename}")
        content = b""
        while chunk := await part.read_chunk(256 * 1024):
            content += chunk
        if await parts.next() is not None:
            self.violations.append("upload: more than one field")
        ending = (part.filename or "").rpartition(".")[2].lower()
        if is_photo:
            # VK answers with status 200 and an empty list to what it does not take for a picture.
            is_taken = _is_picture(content) and len(content) <= PHOTO_BYTES
            self._uploads[key] = Held(part.filename or "", content) if is_taken else None
            photo = json.dumps([{"photo": key}]) if is_taken else "[]"
            return web.json_response({"server": 1, "photo": photo, "hash": f"hash-{key}"})
        if not content or len(content) > UPLOAD_BYTES or ending in ("exe", "mp3", "apk"):
            return web.json_response({"error": "bad_file", "error_descr": "Unsupported file"})
        self._uploads[key] = Held(part.filename or "", content)
        return web.json_response({"file": f"uploaded|{key}"})

    def save_photo(self, params: Mapping[str, str]) -> Json:
        named = json.loads(params["photo"])
        key = named[0]["photo"] if named else ""
        held = self._uploads.get(key)
        if held is None or params["hash"] != f"hash-{key}":
            raise Refusal(100, "photo is undefined")
        number, owner = self.fresh(), -self.group_id
        self._documents[f"photo{owner}_{number}"] = held
        sizes = [{"type": "x", "url": f"{self.base_url}/photo0", "width": 604, "height": 453}]
        return [{"id": number, "owner_id": owner, "album_id": -64, "access_key": "ab12", "sizes": sizes}]

    def set_settings(self, params: Mapping[str, str]) -> Json:
        if "bots_capabilities" in params:
            self.has_bot_features = params["bots_capabilities"] == "1"
        return 1

    def save_document(self, params: Mapping[str, str]) -> Json:
        held = self._uploads.get(params["file"].removeprefix("uploaded|"))
        if held is None:
            raise Refusal(105)
        held.name = params.get("title", held.name)
        number, owner = self.fresh(), -self.group_id
        self._documents[f"doc{owner}_{number}"] = held
        document = {"id": number, "owner_id": owner, "title": held.name, "size": len(held.content)}
        ending = held.name.rpartition(".")[2]
        return {"type": "doc", "doc": document | {"ext": ending, "url": f"{self.base_url}/doc0"}}


async def _soon(response: web.Response) -> web.Response:
    return response


def _keyboard(text: str) -> dict[str, Json]:
    """Read a keyboard as strictly as VK does."""
    try:
        keyboard = json.loads(text)
        rows = keyboard["buttons"]
        buttons = [button for row in rows for button in row]
        inline = keyboard.get("inline", False)
        most_rows, most_buttons = (6, 10) if inline else (10, 40)
        fits = (
            set(keyboard) <= {"buttons", "inline", "one_time"}
            and not (inline and "one_time" in keyboard)
            and 0 < len(rows) <= most_rows
            and 0 < len(buttons) <= most_buttons
            and all(0 < len(row) <= 5 for row in rows)
            and all(_is_button(button) for button in buttons)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise Refusal(911)
    return dict(keyboard)


def _is_picture(content: bytes) -> bool:
    """Whether VK takes it for one; the two sides of a PNG may not be over 14 000 dots together."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return sum(struct.unpack(">II", content[16:24])) <= 14_000
    return content.startswith(b"\xff\xd8\xff")


def _is_button(button: Json) -> bool:
    action = button["action"]
    json.loads(action["payload"])
    return (
        set(button) <= {"action", "color"}
        and set(action) == {"type", "label", "payload"}
        and action["type"] in ("text", "callback")
        and 0 < len(action["label"]) <= LABEL_LENGTH
        and isinstance(action["payload"], str)
        and len(action["payload"]) <= PAYLOAD_LENGTH
        and json.loads(action["payload"]) is not None
    )


@dataclass(frozen=True, slots=True)
class Method:
    """What a method takes, and who does its work."""

    run: Callable[[VkEmulator, Mapping[str, str]], Json]
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    manages: bool = False
    takes_events: bool = False


_GROUP = frozenset({"group_id"})
_SERVER = frozenset({"group_id", "url", "title"})

METHODS: Mapping[str, Method] = {
    "groups.getById": Method(VkEmulator.get_by_id, _GROUP),
    "groups.getLongPollServer": Method(VkEmulator.get_long_poll_server, _GROUP, manages=True),
    "groups.getLongPollSettings": Method(VkEmulator.get_long_poll_settings, _GROUP, manages=True),
    "groups.setLongPollSettings": Method(
        VkEmulator.set_long_poll_settings,
        _GROUP,
        frozenset({"enabled", "api_version"}),
        manages=True,
        takes_events=True,
    ),
    "groups.getCallbackServers": Method(VkEmulator.get_callback_servers, _GROUP, manages=True),
    "groups.getCallbackConfirmationCode": Method(VkEmulator.get_confirmation_code, _GROUP, manages=True),
    "groups.addCallbackServer": Method(
        VkEmulator.add_callback_server, _SERVER, frozenset({"secret_key"}), manages=True
    ),
    "groups.editCallbackServer": Method(
        VkEmulator.edit_callback_server, _SERVER | {"server_id"}, frozenset({"secret_key"}), manages=True
    ),
    "groups.setCallbackSettings": Method(
        VkEmulator.set_callback_settings,
        _GROUP | {"server_id"},
        frozenset({"api_version"}),
        manages=True,
        takes_events=True,
    ),
    "messages.send": Method(
        VkEmulator.send,
        frozenset({"peer_id", "random_id"}),
        frozenset({"message", "attachment", "keyboard", "dont_parse_links", "disable_mentions"}),
    ),
    "messages.sendMessageEventAnswer": Method(
        VkEmulator.answer_press, frozenset({"event_id", "user_id", "peer_id"}), frozenset({"event_data"})
    ),
    "groups.setSettings": Method(
        VkEmulator.set_settings,
        _GROUP,
        frozenset({"messages", "bots_capabilities", "bots_start_button"}),
        manages=True,
    ),
    "photos.getMessagesUploadServer": Method(VkEmulator.get_photo_server, frozenset({"peer_id"})),
    "photos.saveMessagesPhoto": Method(VkEmulator.save_photo, frozenset({"server", "photo", "hash"})),
    "docs.getMessagesUploadServer": Method(
        VkEmulator.get_upload_server, frozenset({"peer_id"}), frozenset({"type"})
    ),
    "docs.save": Method(
        VkEmulator.save_document, frozenset({"file"}), frozenset({"title", "tags", "return_tags"})
    ),
}


def schema_complaints(name: str, params: Mapping[str, str]) -> Sequence[str]:
    """What VK's published schema has against a call; nothing when there is no schema at hand."""
    known = _schema().get(name)
    if known is None:
        return ()
    complaints = [f"{name}: the schema knows no {each}" for each in params if each not in known]
    for each, parameter in known.items():
        value = params.get(each)
        if value is None:
            complaints += [f"{name}: the schema requires {each}"] if parameter.get("required") else []
        elif parameter.get("type") == "integer" and not re.fullmatch(r"-?[0-9]+", value):
            complaints.append(f"{name}: {each} is no integer")
        elif parameter.get("type") == "boolean" and value not in ("0", "1"):
            complaints.append(f"{name}: {each} is no flag")
        elif len(value) > parameter.get("maxLength", len(value)):
            complaints.append(f"{name}: {each} is too long")
    return complaints


@functools.cache
def _schema() -> Mapping[str, Mapping[str, Json]]:
    folder = Path(os.environ.get("PRIEM_SHARED", "-"), "channels/schemas/vk-api-schema")
    return {
        method["name"]: {each["name"]: each for each in method.get("parameters", ())}
        for file in folder.glob("*/methods.json")
        for method in json.loads(file.read_text())["methods"]
    }
