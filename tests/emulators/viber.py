"""The REST API of Viber on a real socket, and the poster of its signed webhooks.

Written after https://developers.viber.com/docs/api/rest-bot-api/. It refuses what Viber refuses, and
writes down as a violation also what Viber would let pass but only a mistake of ours would send.

    async with ViberEmulator() as viber:
        olga = viber.person("01234567890A=")
        await olga.opens("INVITE42")
        await olga.presses("Начать")
        shown = await olga.shown(1)
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp import web

from tests.emulators.listening import PATIENCE_SECONDS, listen

Json = Any

JSON_BYTES = 30_000
TEXT_LENGTH = 7000
SENDER_NAME_LENGTH = 28
TRACKING_LENGTH = 4000
FILE_BYTES = 50 * 1024 * 1024
FILE_NAME_LENGTH = 256
ACTION_LENGTH = LABEL_LENGTH = 250
KEYBOARD_COLUMNS = 6
KEYBOARD_ROWS = 12
SILENT_USER_MESSAGES = 100
SILENT_USER_SECONDS = 3600

DEFAULT_TOKEN = "445da6az1s345z78-emulated-token-of-no-bot"
FIRST_MESSAGE_TOKEN = 5_741_311_803_571_721_087
"""Above 2^53, as all of them: a reader that takes it for a float loses it."""

STATUS_WORDS = {
    0: "ok",
    1: "invalidUrl",
    2: "invalidAuthToken",
    3: "badData",
    4: "missingData",
    5: "receiverNotRegistered",
    6: "notSubscribed",
    7: "publicAccountBlocked",
    8: "publicAccountNotFound",
    9: "publicAccountSuspended",
    10: "webhookNotSet",
    11: "receiverNoSuitableDevice",
    12: "Too many requests",
    13: "apiVersionNotSupported",
    15: "publicAccountNotAuthorized",
    23: "freeMessagesExceeded",
    24: "noBalance",
}
EVENT_TYPES = frozenset(("delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started"))


@dataclass(slots=True)
class Misbehaviour:
    """What happens to the next calls of an endpoint. Made by `ViberEmulator.fail_next`."""

    endpoint: str | None
    times: int
    skips: int = 0
    """So many calls go well before."""
    status: int | None = None
    http_status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hangs: bool = False
    drops: bool = False
    after_effect: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    endpoint: str
    params: Mapping[str, Json]
    headers: Mapping[str, str]
    size_bytes: int


@dataclass(slots=True)
class Message:
    """A message of the bot as the person sees it."""

    token: int
    text: str = ""
    buttons: list[dict[str, Json]] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    raw: dict[str, Json] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        return [button["Text"] for button in self.buttons]

    @property
    def width(self) -> list[int]:
        return [button["Columns"] for button in self.buttons]


class Refusal(Exception):  # noqa: N818 - the server's word for it
    """A status that is not 0."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail or STATUS_WORDS.get(status, "General error"))
        self.status = status


class Dropped(Exception):  # noqa: N818
    """The connection is to be closed without an answer."""


class Person:
    """One person and their chat with the bot."""

    def __init__(self, emulator: ViberEmulator, user_id: str, name: str) -> None:
        self.id = user_id
        self.name = name
        self.subscribed = False
        self.messages: list[Message] = []
        self.welcomes: list[Message] = []
        self.silent_since: list[float] = []
        """When the messages of the bot came to which the person has not replied."""
        self._emulator = emulator
        self._screen: Message | None = None
        self._changed = asyncio.Event()

    # -------------------------------------------------------------- what the person does

    async def opens(self, context: str | None = None) -> None:
        """Open the chat, by a deep link when there is a context; wait for the bot's welcome, if any."""
        head = {"context": context} if context is not None else {}
        event = {"type": "open", **head, "user": self.user, "subscribed": self.subscribed}
        await self._emulator.posted("conversation_started", event, self)

    async def says(self, text: str, **more: Json) -> int:
        return self.sends({"type": "text", "text": text, **more})

    async def presses(self, label: str) -> None:
        """Press a button of the keyboard that is shown now: the one of the latest message."""
        buttons = self._screen.buttons if self._screen else []
        for button in buttons:
            if button["Text"] == label:
                self.sends({"type": "text", "text": button["ActionBody"]}, silent=bool(button.get("Silent")))
                return
        raise AssertionError(f"there is no button «{label}» now, only {[each['Text'] for each in buttons]}")

    async def sends_file(
        self, name: str, content: bytes | Path, *, kind: str = "file", text: str = ""
    ) -> int:
        url = self._emulator.hold(name, content)
        size_bytes = content.stat().st_size if isinstance(content, Path) else len(content)
        caption = {"text": text} if text else {}
        return self.sends({"type": kind, "media": url, "file_name": name, "size": size_bytes, **caption})

    async def unsubscribes(self) -> None:
        self.subscribed = False
        self._emulator.post("unsubscribed", {"user_id": self.id})

    async def subscribes(self) -> None:
        self.subscribed = True
        self._emulator.post("subscribed", {"user": self.user})

    def sends(self, message: dict[str, Json], *, silent: bool = False) -> int:
        """Send any message; a first one also subscribes, without an event. Its token."""
        self.subscribed = True
        self.silent_since.clear()
        return self._emulator.post("message", {"sender": self.user, "message": message, "silent": silent})

    def gets(self, what: str, message: Message, **more: Json) -> None:
        """Viber tells that the person's phone delivered, showed or refused this message."""
        self._emulator.post(what, {"user_id": self.id, **more}, token=message.token)

    # -------------------------------------------------------------- what the person sees

    async def shown(self, count: int, *, timeout_seconds: float = PATIENCE_SECONDS) -> list[Message]:
        """Give all messages of the bot once there are at least `count`; the welcome is none."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return list(self.messages)

    def show(self, message: Message, *, is_welcome: bool = False) -> None:
        """Called by the server for each message that was taken."""
        (self.welcomes if is_welcome else self.messages).append(message)
        self._screen = message
        self._changed.set()

    @property
    def user(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "name": self.name,
            "avatar": "https://media-direct.cdn.viber.com/download_photo?dlid=none",
            "language": "ru",
            "country": "RU",
            "api_version": 10,
        }


@dataclass(frozen=True, slots=True)
class Event:
    """One post to the webhook; `asker` waits for the answer of a conversation_started."""

    body: bytes
    asker: Person | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class ViberEmulator:
    """The server of one bot. `now` is its clock (Unix seconds), for the hour of a silent person."""

    def __init__(
        self,
        token: str = DEFAULT_TOKEN,
        *,
        now: Callable[[], float] = time.time,
        hook_retry_seconds: float = 0.02,
        signs_trials: bool = False,
    ) -> None:
        self.token = token
        self.base_url = ""
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.people: dict[str, Person] = {}
        self.hook_url = ""
        self.event_types: list[str] = []
        self.name, self.uri = "Приёмная", "priem bot"
        self.posts: list[int] = []
        """The statuses with which our webhook answered."""
        self._now = now
        self._hook_retry_seconds = hook_retry_seconds
        self._signs_trials = signs_trials
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._poster: asyncio.Task[None] | None = None
        self._queue: deque[Event] = deque()
        self._queued = asyncio.Event()
        self._hooked = asyncio.Event()
        self._last: Event | None = None
        self._media: dict[str, tuple[str, bytes | Path]] = {}
        self._misbehaviours: list[Misbehaviour] = []
        self._message_token = FIRST_MESSAGE_TOKEN
        self._redirects: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port again, with everything remembered."""
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_route("*", "/pa/{endpoint}", self._serve)
        app.router.add_get("/media/{key}/{name}", self._give)
        # A client that goes away ends what hangs, as on the real server.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        self._port = await listen(self._runner, self._port)
        self.base_url = f"http://127.0.0.1:{self._port}"
        self._poster = asyncio.create_task(self._post_all(), name="viber's poster")

    async def stop(self) -> None:
        """Break all connections and listen no more; what is remembered stays."""
        if self._poster is not None:
            self._poster.cancel()
            await asyncio.gather(self._poster, return_exceptions=True)
            self._poster = None
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    # -------------------------------------------------------------- for tests

    def person(self, user_id: str, *, name: str = "Ольга") -> Person:
        """The person with this id, made when new; they have not subscribed yet."""
        return self.people.setdefault(user_id, Person(self, user_id, name))

    def fail_next(self, endpoint: str | None, *, times: int = 1, **how: Any) -> None:
        """Spoil the next calls of an endpoint (None: any; "media": downloads).

        One of `status` (Viber's own refusal), `http_status` with `headers`, `body` with HTTP 200,
        `hangs`, `drops`. With `after_effect` the work is done first and only the answer is spoilt.
        """
        self._misbehaviours.append(Misbehaviour(endpoint, times, **how))

    def forgive(self) -> None:
        """Take back all misbehaviour that is still to come."""
        self._misbehaviours.clear()

    async def hooked(self, public_url: str) -> None:
        """Wait until the webhook lies below this address."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.hook_url.startswith(public_url):
                self._hooked.clear()
                await self._hooked.wait()

    def signature(self, body: bytes) -> str:
        return hmac.new(self.token.encode(), body, hashlib.sha256).hexdigest()

    def redirect_media(self, url: str, target: str) -> None:
        """The file no longer lies there, and the server says where."""
        self._redirects[urlsplit(url).path] = target

    def repeat_last_event(self) -> None:
        assert self._last is not None, "there was no event yet"
        self._enqueue(Event(self._last.body))

    def post(self, event: str, fields: Mapping[str, Json], *, token: int | None = None) -> int:
        """Tell the webhook of an event, signed and in order; its token."""
        token = self._fresh() if token is None else token
        self.post_raw(json.dumps(self._envelope(event, token) | dict(fields)).encode())
        return token

    def post_raw(self, body: bytes) -> None:
        """Tell the webhook this, signed."""
        self._enqueue(Event(body))

    async def posted(self, event: str, fields: Mapping[str, Json], asker: Person) -> None:
        """Do the same and wait until the bot has answered."""
        body = json.dumps(self._envelope(event, self._fresh()) | dict(fields)).encode()
        asked = Event(body, asker)
        self._enqueue(asked)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asked.answered.wait()

    def hold(self, name: str, content: bytes | Path) -> str:
        """Keep a file of a person; the link under which the bot may fetch it."""
        key = hashlib.sha256(os.urandom(8)).hexdigest()
        self._media[key] = (name, content)
        return f"{self.base_url}/media/{key}/file{Path(name).suffix}?Expires=1&Signature=s"

    # -------------------------------------------------------------- the webhook

    def _envelope(self, event: str, token: int) -> dict[str, Json]:
        stamp = int(self._now() * 1000)
        return {"event": event, "timestamp": stamp, "chat_hostname": "SN-CHAT-03_", "message_token": token}

    def _fresh(self) -> int:
        self._message_token += 1
        return self._message_token

    def _enqueue(self, event: Event) -> None:
        self._last = event
        self._queue.append(event)
        self._queued.set()

    async def _post_all(self) -> None:
        """Post in order, and again whatever was not answered with 200."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            while True:
                while not (self._queue and self.hook_url):
                    self._queued.clear()
                    await self._queued.wait()
                event = self._queue[0]
                status, answer = await self._post_once(session, event.body, self.signature(event.body))
                if status != 200:
                    await asyncio.sleep(self._hook_retry_seconds)
                    continue
                self._queue.popleft()
                if event.asker is not None and answer:
                    self._welcome(event.asker, answer)
                event.answered.set()

    async def _post_once(
        self, session: aiohttp.ClientSession, body: bytes, signature: str | None
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        if signature is not None:
            headers["X-Viber-Content-Signature"] = signature
        try:
            async with session.post(self.hook_url, data=body, headers=headers) as response:
                self.posts.append(response.status)
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return 0, b""

    def _welcome(self, person: Person, answer: bytes) -> None:
        message = json.loads(answer)
        try:
            self._check_message(message, {"sender", "type", "text", "keyboard", "min_api_version"})
        except Refusal as refusal:
            self.violations.append(f"welcome: {refusal}")
        person.show(_message(self._fresh(), message), is_welcome=True)

    # -------------------------------------------------------------- the API

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        spoilt = self._spoilt(endpoint)
        try:
            if spoilt and not spoilt.after_effect:
                return await _misbehave(spoilt)
            answer = await self._answer(request, endpoint, body)
            if spoilt:
                return await _misbehave(spoilt)
        except Refusal as refusal:
            answer = {"status": refusal.status, "status_message": str(refusal)}
        except Dropped:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        return web.json_response({"chat_hostname": "SN-CHAT-03_"} | answer)

    def _spoilt(self, endpoint: str) -> Misbehaviour | None:
        for spoilt in self._misbehaviours:
            if spoilt.endpoint not in (None, endpoint) or not spoilt.times:
                continue
            if not spoilt.skips:
                spoilt.times -= 1
                return spoilt
            spoilt.skips -= 1
        return None

    async def _answer(self, request: web.Request, endpoint: str, body: bytes) -> dict[str, Json]:
        run = {
            "set_webhook": self._set_webhook,
            "get_account_info": self._get_account_info,
            "send_message": self._send_message,
        }.get(endpoint)
        if run is None or request.method != "POST":
            self.violations.append(f"{request.method} {request.path}")
            raise Refusal(3, "no such endpoint")
        if request.content_type != "application/json":
            self.violations.append(f"{endpoint}: Content-Type {request.content_type}")
        try:
            params = json.loads(body)
        except ValueError:
            raise Refusal(3) from None
        if not isinstance(params, dict):
            raise Refusal(3)
        self.requests.append(Received(endpoint, params, dict(request.headers), len(body)))
        if "auth_token" in params:
            self.violations.append(f"{endpoint}: the token stands in the body")
        if (request.headers.get("X-Viber-Auth-Token") or params.pop("auth_token", None)) != self.token:
            raise Refusal(2)
        if len(body) > JSON_BYTES:
            raise Refusal(3, f"{len(body)} bytes of JSON")
        return {"status": 0, "status_message": "ok"} | await run(params)

    async def _set_webhook(self, params: dict[str, Json]) -> dict[str, Json]:
        self._only(params, {"url", "event_types", "send_name", "send_photo", "is_inline"}, {"url"})
        address = urlsplit(params["url"])
        if address.scheme != "https" and address.hostname != "127.0.0.1":
            raise Refusal(1)
        event_types = params.get("event_types", [])
        if not set(event_types) <= EVENT_TYPES:
            raise Refusal(3, "unknown event types")
        previous, self.hook_url = self.hook_url, params["url"]
        trial = json.dumps(self._envelope("webhook", self._fresh())).encode()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            signature = self.signature(trial) if self._signs_trials else None
            status, _ = await self._post_once(session, trial, signature)
        if status != 200:
            self.hook_url = previous
            raise Refusal(1)
        self.event_types = ["message", *event_types]
        self._queued.set()
        self._hooked.set()
        return {"event_types": self.event_types}

    async def _get_account_info(self, params: dict[str, Json]) -> dict[str, Json]:
        self._only(params, set(), set())
        about = {"id": "pa:75346594275468546724", "name": self.name, "uri": self.uri, "country": "RU"}
        hook = {"webhook": self.hook_url, "event_types": self.event_types} if self.hook_url else {}
        return {**about, **hook, "subscribers_count": len(self.people)}

    async def _send_message(self, params: dict[str, Json]) -> dict[str, Json]:
        allowed = {"receiver", "sender", "type", "tracking_data", "min_api_version", "keyboard"}
        self._check_message(params, allowed | _FIELDS.get(params.get("type"), set()), {"receiver"})
        if not self.hook_url:
            raise Refusal(10)
        person = self.people.get(params["receiver"])
        if person is None:
            raise Refusal(5)
        if not person.subscribed:
            raise Refusal(6)
        now = self._now()
        person.silent_since = [at for at in person.silent_since if at > now - SILENT_USER_SECONDS]
        if len(person.silent_since) >= SILENT_USER_MESSAGES:
            raise Refusal(12)
        person.silent_since.append(now)
        message = _message(self._fresh(), params)
        if params["type"] == "file":
            try:
                message.files.append((params["file_name"], await _fetched(params)))
            except Refusal as refusal:
                # Viber took the message and finds out later.
                person.gets("failed", message, desc=str(refusal))
                return {"message_token": message.token, "billing_status": 1}
        person.show(message)
        return {"message_token": message.token, "billing_status": 1}

    # -------------------------------------------------------------- what must be so

    def _only(self, params: Mapping[str, Json], allowed: set[str], required: set[str]) -> None:
        if unknown := set(params) - allowed:
            self.violations.append(f"unknown fields {sorted(unknown)}")
        if missing := required - set(params):
            raise Refusal(4, f"missing {sorted(missing)}")

    def _check_message(
        self, params: Mapping[str, Json], allowed: set[str], required: frozenset[str] | set[str] = frozenset()
    ) -> None:
        self._only(params, allowed, {"sender", "type"} | required)
        sender = params["sender"]
        if not isinstance(sender, dict) or not 1 <= len(str(sender.get("name") or "")) <= SENDER_NAME_LENGTH:
            raise Refusal(3, "the name of the sender has 1 to 28 characters")
        if len(params.get("tracking_data", "")) > TRACKING_LENGTH:
            raise Refusal(3, "tracking_data is too long")
        match params["type"]:
            case "text":
                text = params.get("text")
                if not isinstance(text, str) or not text.strip():
                    raise Refusal(4, "missing text")
                if len(text.encode("utf-16-le")) // 2 > TEXT_LENGTH:
                    raise Refusal(3, "the text is too long")
            case "file":
                self._only(params, allowed, {"media", "size", "file_name"})
                if not Path(params["file_name"]).suffix or len(params["file_name"]) > FILE_NAME_LENGTH:
                    raise Refusal(3, "a file's name has an extension and at most 256 characters")
                if type(params["size"]) is not int or not 0 < params["size"] <= FILE_BYTES:
                    raise Refusal(3, "a file has at most 50 MB")
            case kind:
                self.violations.append(f"a message of the kind {kind}")
        if "keyboard" in params:
            _check_keyboard(params["keyboard"])

    # -------------------------------------------------------------- files of people

    async def _give(self, request: web.Request) -> web.StreamResponse:
        spoilt = self._spoilt("media")
        if spoilt and spoilt.drops:
            assert request.transport is not None
            request.transport.abort()
        if spoilt:
            return web.Response(status=spoilt.http_status or 500)
        if target := self._redirects.get(request.path):
            return web.Response(status=302, headers={"Location": target})
        held = self._media.get(request.match_info["key"])
        if held is None:
            return web.Response(status=403, text="Request has expired")
        if "X-Viber-Auth-Token" in request.headers:
            self.violations.append("the token was shown to the media host")
        content = held[1]
        return web.FileResponse(content) if isinstance(content, Path) else web.Response(body=content)


_FIELDS: Mapping[Json, set[str]] = {"text": {"text"}, "file": {"media", "size", "file_name"}}

_BUTTON_FIELDS = {
    "Columns": range(1, 7),
    "Rows": range(1, 3),
    "ActionType": ("reply", "none", "share-phone"),
    "Silent": (True, False),
    "TextSize": ("small", "regular", "large"),
}


def _check_keyboard(keyboard: Json) -> None:
    """The phone does that, and shows nothing when it does not like what it got."""
    if not isinstance(keyboard, dict) or set(keyboard) - {"Type", "Buttons", "DefaultHeight", "BgColor"}:
        raise Refusal(3, "no keyboard")
    buttons = keyboard.get("Buttons")
    if keyboard.get("Type") != "keyboard" or not isinstance(buttons, list) or not buttons:
        raise Refusal(3, "a keyboard has a type and buttons")
    column = rows = 0
    for button in buttons:
        _check_button(button)
        column += button["Columns"]
        if column > KEYBOARD_COLUMNS:
            raise Refusal(3, "a row of buttons has 6 columns")
        if column == KEYBOARD_COLUMNS:
            rows, column = rows + 1, 0
    if column or rows > KEYBOARD_ROWS:
        raise Refusal(3, f"{rows} rows of buttons and {column} columns more")


def _check_button(button: Json) -> None:
    if not isinstance(button, dict) or set(button) - {*_BUTTON_FIELDS, "Text", "ActionBody"}:
        raise Refusal(3, "unknown fields of a button")
    for name, values in _BUTTON_FIELDS.items():
        if name in button and button[name] not in values:
            raise Refusal(3, f"{name} of a button is {button[name]}")
    label, action = button.get("Text", ""), button.get("ActionBody", "")
    if not label.strip() or len(label) > LABEL_LENGTH or "<" in label:
        raise Refusal(3, "a button's label has 1 to 250 characters, and markup is not meant by us")
    if not action or len(action) > ACTION_LENGTH:
        raise Refusal(3, "a button's ActionBody has 1 to 250 characters")


def _message(token: int, params: dict[str, Json]) -> Message:
    buttons = params.get("keyboard", {}).get("Buttons", [])
    return Message(token, params.get("text", ""), list(buttons), raw=params)


async def _fetched(params: Mapping[str, Json]) -> bytes:
    """Fetch a file of the bot as Viber does, and hold it against what was said of it."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session,
        session.get(params["media"], allow_redirects=False) as response,
    ):
        content = await response.read()
        if response.status != 200:
            raise Refusal(3, f"the file's link answers {response.status}")
        if response.content_length != len(content) or len(content) != params["size"]:
            raise Refusal(3, "the file is not of the size that was said")
        if response.content_type == "text/html":
            raise Refusal(3, "the file's link leads to a page")
        disposition = response.headers.get("Content-Disposition", "")
        if not unquote(disposition).endswith(f"UTF-8''{params['file_name']}"):
            raise Refusal(3, f"the file has another name: {disposition}")
        return content


async def _misbehave(spoilt: Misbehaviour) -> web.StreamResponse:
    if spoilt.hangs:
        await asyncio.sleep(3600)
    if spoilt.drops:
        raise Dropped
    if spoilt.status is not None:
        raise Refusal(spoilt.status)
    if spoilt.http_status:
        return web.Response(status=spoilt.http_status, headers=dict(spoilt.headers), text="<html>")
    return web.Response(body=spoilt.body or b"", content_type="application/json")
