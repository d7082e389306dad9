"""The Bot API of MAX on a real socket, and the poster of its webhooks.

Written after https://dev.max.ru/docs-api and the OpenAPI description 0.0.32. It refuses what MAX
refuses, and writes down as a violation also what MAX would let pass but only a mistake of ours would
send. Hours of retries are compressed into seconds.

    async with MaxEmulator() as messenger:
        olga = messenger.person(523_000_001)
        await olga.starts("INVITE42")
        shown = await olga.shown(1)
        await olga.presses("Согласен")
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiohttp import web

from tests.emulators.listening import PATIENCE_SECONDS, listen

Json = Any

TEXT_LENGTH = 4000
KEYBOARD_ROWS = 30
BUTTONS_PER_ROW = 7
BUTTONS_TOTAL = 210
LABEL_LENGTH = 128
PAYLOAD_LENGTH = 1024
START_PAYLOAD_LENGTH = 512
UPDATE_LIFE_SECONDS = 24 * 3600
POST_TRIES = 11
POST_GROWTH = 1.5
"""MAX waits 2.5 times longer after each failed post; the base is compressed too."""

DEFAULT_TOKEN = "f9LHodD0cOEmulated_token-of_no_bot"
SECRET = r"[a-zA-Z0-9_-]{5,256}"
UPDATE_TYPES = frozenset(
    (
        "bot_added",
        "bot_started",
        "bot_stopped",
        "bot_removed",
        "chat_title_changed",
        "dialog_cleared",
        "dialog_muted",
        "dialog_unmuted",
        "dialog_removed",
        "message_callback",
        "message_chat_created",
        "message_created",
        "message_edited",
        "message_removed",
        "user_added",
        "user_removed",
    )
)
BOT = {
    "user_id": 229_229_229,
    "first_name": "Приёмная",
    "name": "Приёмная",
    "username": "id7700000000_bot",
    "is_bot": True,
    "last_activity_time": 1_775_026_702_261,
}


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What is really enforced when given; the answer beyond is 429."""

    per_second: int = 30
    chat_per_second: int = 2
    polls_per_second: int = 2


@dataclass(slots=True)
class Misbehaviour:
    """What happens to the next calls of an endpoint. Made by `MaxEmulator.fail_next`."""

    endpoint: str | None
    times: int
    skips: int = 0
    """So many calls go well before."""
    status: int = 0
    code: str | None = None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hangs: bool = False
    drops: bool = False
    after_effect: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; `at` is the event loop's time."""

    endpoint: str
    query: Mapping[str, str]
    body: Json
    status: int
    at: float


@dataclass(slots=True)
class Message:
    """A message of the bot as the person sees it."""

    mid: str
    text: str
    buttons: list[list[dict[str, Json]]] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    raw: dict[str, Json] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        return [button["text"] for row in self.buttons for button in row]


@dataclass(slots=True)
class Subscription:
    """A webhook, what is still to be posted to it, and since when it has not taken anything."""

    url: str
    update_types: list[str]
    secret: str | None
    created_at: float
    queue: deque[Json] = field(default_factory=deque)
    queued: asyncio.Event = field(default_factory=asyncio.Event)
    failing_since: float | None = None
    poster: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Upload:
    """A file of the bot, from the asking for an address on."""

    kind: str
    token: str
    name: str = ""
    content: bytes | None = None


class Refusal(Exception):  # noqa: N818 - the server's word for it
    """What the server answers instead of a result."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.status = status
        self.code = code


class Dropped(Exception):  # noqa: N818
    """The connection is to be closed without an answer."""


class Person:
    """One person and their dialog with the bot."""

    def __init__(self, emulator: MaxEmulator, user_id: int, first_name: str, last_name: str) -> None:
        self.id = user_id
        self.chat_id = user_id + 59_182_182
        self.names = (first_name, last_name)
        self.is_open = False
        self.messages: list[Message] = []
        self.acknowledged: list[str] = []
        """The callbacks that the bot has answered."""
        self._emulator = emulator
        self._last: dict[str, Json] | None = None
        self._changed = asyncio.Event()

    # -------------------------------------------------------------- what the person does

    async def starts(self, payload: str | None = None) -> None:
        """Press "start", by a deep link when there is a payload."""
        assert payload is None or len(payload) <= START_PAYLOAD_LENGTH
        self.is_open = True
        more = {} if payload is None else {"payload": payload}
        self._emulator.push("bot_started", **self._dialog(), **more)

    async def says(self, text: str, **more: Json) -> str:
        return self.sends({"text": text}, **more)

    async def sends_file(
        self, name: str, content: bytes | Path, *, kind: str = "file", text: str = ""
    ) -> str:
        return self.sends({"text": text, "attachments": [self._emulator.hold(name, content, kind=kind)]})

    def sends(self, body: dict[str, Json] | None, **more: Json) -> str:
        """Send any message; its mid."""
        self.is_open = True
        mid = self._emulator.fresh_mid()
        stamp = self._emulator.stamp()
        message = {
            "recipient": {"chat_id": self.chat_id, "chat_type": "dialog", "user_id": BOT["user_id"]},
            "timestamp": stamp,
            "body": {"mid": mid, "seq": 116_327_994_376_978_689, "text": "", **(body or {})},
            "sender": self.user,
            **more,
        }
        self._last = message
        self._emulator.push("message_created", message=message, user_locale="ru")
        return mid

    async def edits(self, text: str) -> None:
        """Change the latest message."""
        assert self._last is not None, "there is nothing to edit"
        self._last = self._last | {"body": self._last["body"] | {"text": text}}
        self._emulator.push("message_edited", message=self._last)

    async def deletes(self) -> None:
        """Take back the latest message."""
        assert self._last is not None, "there is nothing to delete"
        mid = self._last["body"]["mid"]
        self._emulator.push("message_removed", message_id=mid, chat_id=self.chat_id, user_id=self.id)

    async def presses(self, label: str, *, forgets_message: bool = False) -> str:
        """Press a button of the latest message that has it; the callback's id."""
        for message in reversed(self.messages):
            for button in (button for row in message.buttons for button in row):
                if button["text"] == label:
                    return self._press(message, button, forgets_message=forgets_message)
        raise AssertionError(f"no message has the button «{label}»")

    def _press(self, message: Message, button: dict[str, Json], *, forgets_message: bool) -> str:
        callback_id = f"f9LHodD0cO{os.urandom(30).hex()}"
        self._emulator.callbacks[callback_id] = self
        callback = {
            "timestamp": self._emulator.stamp(),
            "callback_id": callback_id,
            "user": self.user,
            "payload": button["payload"],
        }
        shown = None if forgets_message else message.raw
        self._emulator.push("message_callback", callback=callback, message=shown, user_locale="ru")
        return callback_id

    async def stops(self, *, removes_dialog: bool = False) -> None:
        """Stop the bot in its settings; whoever deletes the dialog is told of twice."""
        self.is_open = False
        self._emulator.push("bot_stopped", **self._dialog())
        if removes_dialog:
            self._emulator.push("dialog_removed", **self._dialog())

    # -------------------------------------------------------------- what the person sees

    async def shown(self, count: int, *, timeout_seconds: float = PATIENCE_SECONDS) -> list[Message]:
        """Give all messages of the bot once there are at least `count`."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return list(self.messages)

    def show(self, message: Message) -> None:
        """Called by the server for each message that was taken."""
        self.messages.append(message)
        self._changed.set()

    @property
    def user(self) -> dict[str, Json]:
        first_name, last_name = self.names
        return {
            "user_id": self.id,
            "first_name": first_name,
            "last_name": last_name,
            "is_bot": False,
            "last_activity_time": 1_775_025_580_000,
            "name": f"{first_name} {last_name}".strip(),
        }

    def _dialog(self) -> dict[str, Json]:
        return {"chat_id": self.chat_id, "user": self.user, "user_locale": "ru"}


class MaxEmulator:
    """The server of one bot. `now` is its clock (Unix seconds), for the life of updates and presses."""

    def __init__(
        self,
        token: str = DEFAULT_TOKEN,
        *,
        now: Callable[[], float] = time.time,
        rates: RateLimits | None = None,
        post_retry_seconds: float = 0.02,
        unsubscribes_after_seconds: float = 3600,
    ) -> None:
        self.token = token
        self.base_url = ""
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.people: dict[int, Person] = {}
        self.callbacks: dict[str, Person] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.posts: list[int] = []
        """The statuses with which webhooks answered."""
        self.not_ready_times = 0
        """How often files are still processed when somebody sends them."""
        self._now = now
        self._rates = rates
        self._post_retry_seconds = post_retry_seconds
        self._unsubscribes_after_seconds = unsubscribes_after_seconds
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._log: list[tuple[int, float, Json]] = []
        """Updates for the long poll: number, time, content."""
        self._next_marker = 25_493_970
        self._pushed = asyncio.Event()
        self._polled = asyncio.Event()
        self._hooked = asyncio.Event()
        self._polls = 0
        self._counter = 0
        self._last_stamp = 0
        self._last_update: Json = None
        self._media: dict[str, bytes | Path] = {}
        self._redirects: dict[str, str] = {}
        self._videos: dict[str, str] = {}
        self._uploads: dict[str, Upload] = {}
        self._taken: dict[str, list[float]] = {}
        self._misbehaviours: list[Misbehaviour] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port again, with everything remembered."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/upload/{key}", self._take_file)
        app.router.add_get("/media/{key}/{name}", self._give)
        app.router.add_route("*", "/{endpoint:.*}", self._serve)
        # A client that goes away ends what hangs, as on the real server.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        self._port = await listen(self._runner, self._port)
        self.base_url = f"http://127.0.0.1:{self._port}"
        for subscription in self.subscriptions.values():
            subscription.poster = asyncio.create_task(self._post_all(subscription))

    async def stop(self) -> None:
        """Break all connections and listen no more; what is remembered stays."""
        posters = [each.poster for each in self.subscriptions.values() if each.poster is not None]
        for poster in posters:
            poster.cancel()
        await asyncio.gather(*posters, return_exceptions=True)
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    # -------------------------------------------------------------- for tests

    def person(self, user_id: int, *, first_name: str = "Ольга", last_name: str = "Смирнова") -> Person:
        """The person with this id, made when new; they have not started the bot yet."""
        return self.people.setdefault(user_id, Person(self, user_id, first_name, last_name))

    def fail_next(self, endpoint: str | None, *, times: int = 1, **how: Any) -> None:
        """Spoil the next calls of an endpoint ("POST messages"; None: any; "media", "upload").

        One of `status` with `code` and `message` (without a code: a page), `body` with HTTP 200,
        `hangs`, `drops`. With `after_effect` the work is done first and only the answer is spoilt.
        """
        self._misbehaviours.append(Misbehaviour(endpoint, times, **how))

    def forgive(self) -> None:
        """Take back all misbehaviour that is still to come."""
        self._misbehaviours.clear()

    async def hooked(self, public_url: str) -> Subscription:
        """Wait until a webhook lies below this address."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for url, subscription in self.subscriptions.items():
                    if url.startswith(public_url):
                        return subscription
                self._hooked.clear()
                await self._hooked.wait()

    async def polled(self, polls: int = 1) -> None:
        """Wait until so many polls are there, counted from the start, the last one waiting for updates."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._polls < polls:
                self._polled.clear()
                await self._polled.wait()

    @property
    def polls(self) -> int:
        """How many polls have come to wait for updates."""
        return self._polls

    async def move_webhooks(self, public_url: str) -> None:
        """Our address has changed: earlier webhooks end, and what they owe goes to the one below it."""
        newest = await self.hooked(public_url)
        for subscription in [each for each in self.subscriptions.values() if each is not newest]:
            await self._unsubscribe(subscription)
            newest.queue.extendleft(reversed(subscription.queue))
            newest.queued.set()

    def add_webhook(self, url: str, secret: str | None = None) -> Subscription:
        """Somebody subscribes, as if by the API."""
        subscription = Subscription(url, sorted(UPDATE_TYPES), secret, self._now())
        subscription.poster = asyncio.create_task(self._post_all(subscription), name="poster of MAX")
        self.subscriptions[url] = subscription
        self._hooked.set()
        return subscription

    async def drop_webhook(self, url: str) -> None:
        """Forget a webhook silently."""
        await self._unsubscribe(self.subscriptions[url])

    def push(self, update_type: str, **fields: Json) -> None:
        """Tell the bot of an update: every webhook, else whoever polls."""
        self.push_raw({**fields, "update_type": update_type, "timestamp": self.stamp()})

    def push_raw(self, update: Json) -> None:
        self._last_update = update
        wanted = isinstance(update, dict) and update.get("update_type")
        if not self.subscriptions:
            self._log.append((self._next_marker, self._now(), update))
            self._next_marker += 1
            self._pushed.set()
        for subscription in self.subscriptions.values():
            if wanted in subscription.update_types or wanted not in UPDATE_TYPES:
                subscription.queue.append(update)
                subscription.queued.set()

    def repeat_last_update(self) -> None:
        assert self._last_update is not None, "there was no update yet"
        self.push_raw(self._last_update)

    def hold(self, name: str, content: bytes | Path, *, kind: str = "file") -> dict[str, Json]:
        """Keep a file of a person; the attachment with which it comes."""
        key = hashlib.sha256(os.urandom(8)).hexdigest()
        self._media[key] = content
        url = f"{self.base_url}/media/{key}/getfile?sig=s&expires=1775112000"
        payload = {"url": url, "token": f"f9LHodD0cO{key[:12]}"}
        if kind == "file":
            size_bytes = content.stat().st_size if isinstance(content, Path) else len(content)
            return {
                "type": kind,
                "payload": payload | {"fileId": 3_612_345_678},
                "filename": name,
                "size": size_bytes,
            }
        if kind == "video":
            # What comes with the message is for looking at; the film itself has to be asked for.
            self._videos[payload["token"]] = url
            payload = payload | {"url": f"{self.base_url}/watch/{key}"}
        return {"type": kind, "payload": payload | ({"photo_id": 1} if kind == "image" else {})}

    def redirect_media(self, url: str, target: str) -> None:
        """The file no longer lies there, and the server says where."""
        self._redirects[urlsplit(url).path] = target

    def fresh_mid(self) -> str:
        self._counter += 1
        return f"mid.000000000adf429c019d47d5{self._counter:08x}"

    def stamp(self) -> int:
        """Milliseconds; no two are the same."""
        self._last_stamp = max(self._last_stamp + 1, int(self._now() * 1000))
        return self._last_stamp

    # -------------------------------------------------------------- the webhooks

    async def _post_all(self, subscription: Subscription) -> None:
        """Post in order; an update that is not taken comes again, and after all tries is lost."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            while subscription.url in self.subscriptions:
                while not subscription.queue:
                    subscription.queued.clear()
                    await subscription.queued.wait()
                for tried in range(POST_TRIES):
                    if await self._posted(session, subscription):
                        break
                    if self._gives_up(subscription):
                        return
                    await asyncio.sleep(self._post_retry_seconds * POST_GROWTH**tried)
                subscription.queue.popleft()

    async def _posted(self, session: aiohttp.ClientSession, subscription: Subscription) -> bool:
        headers = {"Content-Type": "application/json"}
        if subscription.secret is not None:
            headers["X-Max-Bot-Api-Secret"] = subscription.secret
        body = orjson.dumps(subscription.queue[0])
        try:
            async with session.post(subscription.url, data=body, headers=headers) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self.posts.append(status)
        subscription.failing_since = None if status == 200 else subscription.failing_since or self._now()
        return status == 200

    def _gives_up(self, subscription: Subscription) -> bool:
        """After 8 hours (compressed) without success MAX unsubscribes the bot and tells nobody."""
        failing_since = subscription.failing_since or self._now()
        if self._now() - failing_since < self._unsubscribes_after_seconds:
            return False
        del self.subscriptions[subscription.url]
        return True

    async def _unsubscribe(self, subscription: Subscription) -> None:
        del self.subscriptions[subscription.url]
        if subscription.poster is not None:
            subscription.poster.cancel()
            await asyncio.gather(subscription.poster, return_exceptions=True)

    # -------------------------------------------------------------- the API

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        endpoint = f"{request.method} {request.match_info['endpoint'].partition('/')[0]}"
        raw = await request.read()
        spoilt = self._spoilt(endpoint)
        body: Json = None
        try:
            if spoilt and not spoilt.after_effect:
                return await _misbehave(spoilt)
            if raw:
                body = self._read_json(request, raw)
            answer = await self._answer(endpoint, request, body)
            if spoilt:
                return await _misbehave(spoilt)
        except Refusal as refusal:
            self._note(endpoint, request, body, refusal.status)
            return _refusal(refusal.status, refusal.code, str(refusal))
        except Dropped:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        self._note(endpoint, request, body, 200)
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    def _note(self, endpoint: str, request: web.Request, body: Json, status: int) -> None:
        at = asyncio.get_running_loop().time()
        self.requests.append(Received(endpoint, dict(request.query), body, status, at))

    def _spoilt(self, endpoint: str) -> Misbehaviour | None:
        for spoilt in self._misbehaviours:
            if spoilt.endpoint not in (None, endpoint) or not spoilt.times:
                continue
            if not spoilt.skips:
                spoilt.times -= 1
                return spoilt
            spoilt.skips -= 1
        return None

    def _read_json(self, request: web.Request, raw: bytes) -> Json:
        if request.content_type != "application/json":
            self.violations.append(f"{request.path}: Content-Type {request.content_type}")
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Refusal(400, "proto.payload", "the body is no JSON") from None

    async def _answer(self, endpoint: str, request: web.Request, body: Json) -> Json:
        run, allowed, required = self._endpoints().get(endpoint, (None, frozenset(), frozenset()))
        if run is None:
            self.violations.append(f"{request.method} {request.path}")
            raise Refusal(404, "not.found", "Path not found")
        authorization = request.headers.get("Authorization", "")
        if authorization != self.token:
            if authorization.startswith("Bearer"):
                self.violations.append("the token is sent as a bearer's")
            raise Refusal(401, "verify.token", "Invalid access_token")
        if unknown := set(request.query) - allowed:
            self.violations.append(f"{endpoint}: unknown parameters {sorted(unknown)}")
        if missing := {name for name in required if not request.query.get(name, "").strip()}:
            raise Refusal(400, "proto.payload", f"missing {sorted(missing)}")
        self._count("everything", self._rates.per_second if self._rates else None)
        return await run(request, body)

    def _endpoints(
        self,
    ) -> Mapping[str, tuple[Callable[[web.Request, Json], Awaitable[Json]], set[str], set[str]]]:
        return {
            "GET me": (self._me, set(), set()),
            "GET subscriptions": (self._list_subscriptions, set(), set()),
            "POST subscriptions": (self._subscribe, set(), set()),
            "DELETE subscriptions": (self._delete_subscription, {"url"}, {"url"}),
            "GET updates": (self._updates, {"marker", "limit", "timeout", "types"}, set()),
            "POST messages": (
                self._send_message,
                {"user_id", "chat_id", "disable_link_preview"},
                {"user_id"},
            ),
            "POST answers": (self._answer_callback, {"callback_id"}, {"callback_id"}),
            "POST uploads": (self._upload_address, {"type"}, {"type"}),
            "GET videos": (self._video, set(), set()),
        }

    def _count(self, whose: str, limit: int | None) -> None:
        """Refuse what is more than `limit` in any second."""
        if limit is None:
            return
        now = asyncio.get_running_loop().time()
        taken = [at for at in self._taken.get(whose, []) if at > now - 1]
        if len(taken) >= limit:
            raise Refusal(429, "too.many.requests", "Too many requests")
        self._taken[whose] = [*taken, now]

    async def _me(self, _request: web.Request, _body: Json) -> Json:
        return BOT

    async def _list_subscriptions(self, _request: web.Request, _body: Json) -> Json:
        return {
            "subscriptions": [
                {"url": each.url, "time": int(each.created_at * 1000), "update_types": each.update_types}
                for each in self.subscriptions.values()
            ]
        }

    async def _subscribe(self, _request: web.Request, body: Json) -> Json:
        self._only(body, {"url", "update_types", "secret"}, {"url"})
        address = urlsplit(body["url"])
        if address.hostname != "127.0.0.1" and (address.scheme != "https" or address.port not in (None, 443)):
            raise Refusal(400, "proto.payload", "a webhook needs https on port 443")
        if "secret" in body and not re.fullmatch(SECRET, body["secret"]):
            raise Refusal(400, "proto.payload", "the secret has 5 to 256 characters")
        types = body.get("update_types", sorted(UPDATE_TYPES))
        if not isinstance(types, list) or len(types) != len(set(types)) or set(types) - UPDATE_TYPES:
            raise Refusal(400, "proto.payload", f"update_types: {types}")
        if earlier := self.subscriptions.get(body["url"]):
            earlier.update_types, earlier.secret = types, body.get("secret")
        else:
            self.add_webhook(body["url"], body.get("secret")).update_types = types
        return {"success": True}

    async def _delete_subscription(self, request: web.Request, _body: Json) -> Json:
        subscription = self.subscriptions.get(request.query["url"])
        if subscription is None:
            return {"success": False, "message": "no such subscription"}
        await self._unsubscribe(subscription)
        return {"success": True}

    async def _updates(self, request: web.Request, _body: Json) -> Json:
        self._count("polls", self._rates.polls_per_second if self._rates else None)
        limit = _number(request, "limit", 100, 1, 1000)
        timeout_seconds = _number(request, "timeout", 30, 0, 90)
        marker = _number(request, "marker", None, 0, 2**63)
        types = request.query.get("types", "")
        if unknown := set(filter(None, types.split(","))) - UPDATE_TYPES:
            self.violations.append(f"updates: unknown types {sorted(unknown)}")
        if self.subscriptions:
            # As long as a webhook is set, the long poll is told of nothing.
            await asyncio.sleep(min(timeout_seconds, 0.05))
            return {"updates": [], "marker": marker}
        if marker is not None:
            self._log = [each for each in self._log if each[0] >= marker]
        self._log = [each for each in self._log if each[1] > self._now() - UPDATE_LIFE_SECONDS]
        found = self._log[:limit] if marker is not None else self._log[-1:]
        if not found and timeout_seconds:
            found = (await self._awaited(marker, timeout_seconds))[:limit]
        following = found[-1][0] + 1 if found else self._next_marker
        return {"updates": [update for _, _, update in found], "marker": following}

    async def _awaited(self, marker: int | None, timeout_seconds: float) -> list[tuple[int, float, Json]]:
        first = self._next_marker if marker is None else marker
        self._polls += 1
        self._polled.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self.subscriptions:
                    found = [each for each in self._log if each[0] >= first]
                    if found:
                        return found
                    self._pushed.clear()
                    await self._pushed.wait()
        except TimeoutError:
            pass
        return []

    async def _send_message(self, request: web.Request, body: Json) -> Json:
        if request.query.get("disable_link_preview", "false") not in ("true", "false"):
            raise Refusal(400, "proto.payload", "disable_link_preview")
        user_id = request.query["user_id"]
        person = self.people.get(int(user_id)) if re.fullmatch(r"[0-9]{1,18}", user_id) else None
        if person is None:
            raise Refusal(404, "chat.not.found", f"Chat with user {user_id} not found")
        self._count(f"dialog {user_id}", self._rates.chat_per_second if self._rates else None)
        keyboard, files = self._check_message(body)
        if not person.is_open:
            raise Refusal(403, "chat.denied", "error.dialog.suspended")
        if files and self.not_ready_times:
            self.not_ready_times -= 1
            raise Refusal(400, "attachment.not.ready", "Key: errors.process.attachment.file.not.processed")
        mid = self.fresh_mid()
        raw = {
            "recipient": {"chat_id": person.chat_id, "chat_type": "dialog", "user_id": person.id},
            "timestamp": self.stamp(),
            "body": {"mid": mid, "seq": 1, "text": body.get("text") or "", "attachments": []},
            "sender": BOT,
        }
        taken = [(file.name, file.content or b"") for file in files]
        person.show(Message(mid, body.get("text") or "", keyboard, taken, raw))
        return {"message": raw}

    async def _answer_callback(self, request: web.Request, body: Json) -> Json:
        self._only(body, {"message", "notification"}, set())
        if body.get("message") is None and body.get("notification") is None:
            raise Refusal(400, "proto.payload", "a message or a notification is needed")
        if not isinstance(body.get("notification", ""), str):
            raise Refusal(400, "proto.payload", "the notification is a string")
        person = self.callbacks.get(request.query["callback_id"])
        if person is None:
            raise Refusal(404, "not.found", "no such callback")
        self._count(f"answers {person.id}", self._rates.chat_per_second if self._rates else None)
        person.acknowledged.append(request.query["callback_id"])
        return {"success": True}

    # -------------------------------------------------------------- what must be so

    def _only(self, body: Json, allowed: set[str], required: set[str]) -> None:
        if not isinstance(body, dict):
            raise Refusal(400, "proto.payload", "the body is an object")
        if unknown := set(body) - allowed:
            self.violations.append(f"unknown fields {sorted(unknown)}")
        if missing := required - set(body):
            raise Refusal(400, "proto.payload", f"missing {sorted(missing)}")

    def _check_message(self, body: Json) -> tuple[list[list[dict[str, Json]]], list[Upload]]:
        self._only(body, {"text", "attachments", "link", "notify", "format"}, set())
        if body.get("format") is not None or body.get("link") is not None:
            self.violations.append("we never format and never link")
        text = body.get("text")
        if text is not None and not isinstance(text, str):
            raise Refusal(400, "proto.payload", "text is a string")
        if len((text or "").encode("utf-16-le")) // 2 > TEXT_LENGTH:
            raise Refusal(400, "proto.payload", "text: size must be between 0 and 4000")
        keyboard: list[list[dict[str, Json]]] = []
        files: list[Upload] = []
        for attachment in body.get("attachments") or []:
            self._only(attachment, {"type", "payload"}, {"type", "payload"})
            if attachment["type"] == "inline_keyboard":
                if keyboard:
                    raise Refusal(400, "proto.payload", "one keyboard is enough")
                keyboard = self._check_keyboard(attachment["payload"])
            elif attachment["type"] == "file":
                files.append(self._uploaded(attachment["payload"]))
            else:
                self.violations.append(f"an attachment of the kind {attachment['type']}")
        if len(files) > 1:
            raise Refusal(400, "proto.payload", "a file must be the only one")
        if not (text or "").strip() and not files:
            raise Refusal(400, "proto.payload", "an empty message")
        return keyboard, files

    def _check_keyboard(self, payload: Json) -> list[list[dict[str, Json]]]:
        self._only(payload, {"buttons"}, {"buttons"})
        rows = payload["buttons"]
        if not 1 <= len(rows) <= KEYBOARD_ROWS or not all(1 <= len(row) <= BUTTONS_PER_ROW for row in rows):
            raise Refusal(400, "proto.payload", f"rows of buttons: {[len(row) for row in rows]}")
        for button in (button for row in rows for button in row):
            self._only(button, {"type", "text", "payload", "intent"}, {"type", "text", "payload"})
            if button["type"] != "callback" or button.get("intent", "default") != "default":
                self.violations.append(f"a button of the kind {button['type']}")
            if not 1 <= len(button["text"]) <= LABEL_LENGTH or not button["text"].strip():
                raise Refusal(400, "proto.payload", "a label has 1 to 128 characters")
            if not 1 <= len(button["payload"]) <= PAYLOAD_LENGTH:
                raise Refusal(400, "proto.payload", "a payload has 1 to 1024 characters")
        return list(rows)

    def _uploaded(self, payload: Json) -> Upload:
        self._only(payload, {"token"}, {"token"})
        for upload in self._uploads.values():
            if upload.token == payload["token"] and upload.content is not None:
                return upload
        raise Refusal(400, "proto.payload", "no such token")

    # -------------------------------------------------------------- files

    async def _upload_address(self, request: web.Request, _body: Json) -> Json:
        kind = request.query["type"]
        if kind not in ("image", "video", "audio", "file"):
            raise Refusal(400, "proto.payload", f"type {kind}")
        key = os.urandom(12).hex()
        self._uploads[key] = Upload(kind, f"f9LHodD0cO{key}")
        url = f"{self.base_url}/upload/{key}?sig=s&expires=1775112000&clientType=3"
        return {"url": url, "token": self._uploads[key].token} if kind in ("video", "audio") else {"url": url}

    async def _take_file(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self.violations.append("the token was shown to the upload host")
        upload = self._uploads.get(request.match_info["key"])
        if upload is None or upload.content is not None:
            return web.Response(status=400, text="one file for each address")
        if request.content_type != "multipart/form-data":
            self.violations.append(f"an upload of the type {request.content_type}")
            return web.Response(status=400)
        content: bytes | None = None
        async for part in await request.multipart():
            if part.name != "data":
                self.violations.append(f"an upload in the field {part.name}")
            upload.name, content = part.filename or "", bytes(await part.read())
        spoilt = self._spoilt("upload")
        try:
            if spoilt:
                return await _misbehave(spoilt)
        except Dropped:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        upload.content = content
        if upload.kind in ("video", "audio"):
            page = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<retval>1</retval>'
            return web.Response(text=page, content_type="application/xml")
        return web.json_response({"fileId": 3_612_345_678, "token": upload.token})

    async def _video(self, request: web.Request, _body: Json) -> Json:
        token = request.match_info["endpoint"].partition("/")[2]
        if token not in self._videos:
            raise Refusal(404, "not.found", "no such video")
        urls = {"mp4_1080": None, "mp4_480": self._videos[token], "hls": f"{self.base_url}/hls"}
        return {"token": token, "urls": urls, "width": 480, "height": 640, "duration": 3}

    async def _give(self, request: web.Request) -> web.StreamResponse:
        spoilt = self._spoilt("media")
        if spoilt and spoilt.drops:
            assert request.transport is not None
            request.transport.abort()
        if spoilt:
            return web.Response(status=spoilt.status or 500)
        if "Authorization" in request.headers:
            self.violations.append("the token was shown to the media host")
        if target := self._redirects.get(request.path):
            return web.Response(status=302, headers={"Location": target})
        held = self._media.get(request.match_info["key"])
        if held is None:
            return web.Response(status=403, text="Request has expired")
        return web.FileResponse(held) if isinstance(held, Path) else web.Response(body=held)


def _number(request: web.Request, name: str, default: int | None, least: int, most: int) -> Any:
    raw = request.query.get(name)
    if raw is None:
        return default
    if not re.fullmatch(r"[0-9]{1,19}", raw) or not least <= int(raw) <= most:
        raise Refusal(400, "proto.payload", f"{name}={raw}")
    return int(raw)


def _refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = orjson.dumps({"code": code, "message": message})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def _misbehave(spoilt: Misbehaviour) -> web.StreamResponse:
    if spoilt.hangs:
        await asyncio.sleep(3600)
    if spoilt.drops:
        raise Dropped
    if spoilt.status and spoilt.code is not None:
        return _refusal(spoilt.status, spoilt.code, spoilt.message, spoilt.headers)
    if spoilt.status:
        return web.Response(status=spoilt.status, headers=dict(spoilt.headers), text="<html>")
    return web.Response(body=spoilt.body or b"", content_type="application/json")
