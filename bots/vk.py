"""VK communities: https://dev.vk.com/api/bots/overview.

vk_api is the client: its `VkApi` makes calls and names refusals, its `VkBotLongPoll` fetches events,
its `VkUpload` uploads. It is synchronous, has no time-outs, sleeps to keep a pace under a lock that it
holds during the request, and opens sessions of its own. So every call gets a `VkApi` to itself, in a
thread, and its requests are carried by our wire, which has the proxy, the time-outs and the mirror.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlencode

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from yarl import URL

from bots.base import (
    MAX_FILE_BYTES,
    ChannelKind,
    Cursor,
    Doors,
    FileRefused,
    Health,
    Lent,
    Limits,
    Misconfigured,
    StoredFiles,
)
from bots.rendering import Rows, with_menu
from bots.wire import (
    MISSHAPEN,
    SLOWEST_UPLOAD_BYTES_PER_SECOND,
    UNREADABLE,
    UNREADABLE_MESSAGE,
    Answer,
    AnswerLost,
    BaseUrl,
    Fault,
    HalfSent,
    Insisting,
    Json,
    Misanswered,
    NotSent,
    Pauses,
    ProxyAddress,
    Setback,
    Wire,
    clean,
    decoded,
    file_hosts,
    header_safe,
    limited_body,
    matches,
    readable,
    retry_after,
    stored,
    whole_number,
    with_asides,
)
from forms.messages import (
    Delivery,
    DeliveryState,
    FileRole,
    Inbound,
    InboundKind,
    IncomingFile,
    OutgoingFile,
)
from forms.texts import plain
from notifications.outbox import (
    Blocked,
    Outcome,
    Parcel,
    Rejected,
    Retry,
    ShownButton,
    TokenRevoked,
    WindowClosed,
)

if TYPE_CHECKING:
    from vk_api import VkApi
    from vk_api.bot_longpoll import VkBotLongPoll

logger = structlog.get_logger(__name__)

NAME = "vk"
HOOK_PATH = "/hooks/vk"
MAX_HOOK_BYTES = 1024 * 1024
API_VERSION = "5.199"
SERVER_TITLE = "Priem"
EVENTS = ("message_new", "message_edit", "message_event", "message_allow", "message_deny", "message_read")

TEXT_LENGTH = 4096
"""The schema says 9000, the older documentation and the apps 4096."""
LABEL_LENGTH = 40
INLINE_BUTTONS = 10
INLINE_ROWS = 6
KEYBOARD_BUTTONS = 40
KEYBOARD_ROWS = 10
BUTTONS_PER_ROW = 5
ATTACHMENTS = 10
UPLOAD_BYTES = 200 * 1024 * 1024
PHOTO_BYTES = 50 * 1024 * 1024
PHOTO_TYPES = frozenset({"image/jpeg", "image/png"})
"""What is shown as a picture (https://dev.vk.com/api/upload/photo-in-message); others go as documents."""
FIRST_GROUP_CHAT = 2_000_000_000

_HOOK_CHECK_SECONDS = 300
_CONFIRMATION_HOLDS_SECONDS = 5
_COME_AGAIN_SECONDS = 30
_THREADS = 32
"""Calls at once: 20 a second, even when VK needs more than a second for each."""
_REMEMBERED_REFS = 1000
_REMEMBERED_APPS = 10_000
_KEYBOARD_IS_WRONG = 911
_BOT_FEATURES_ARE_OFF = 912
_LONGEST_EVENT_KEY = 200
_DEEPEST_FORWARD = 10

_VK_HOSTS = (
    "vk.com",
    "vk.ru",
    "vk.me",
    "userapi.com",
    "vkuserphoto.ru",
    "vkuseraudio.net",
    "vkuseraudio.ru",
    "vkuservideo.net",
    "vk-cdn.net",
    "mycdn.me",
    "okcdn.ru",
)

_T = TypeVar("_T")


class Settings(BaseModel):
    """Section `[bots.vk]`. Files go to and come from `api_base_url` and `media_hosts` alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Annotated[
        SecretStr, matches(r"[A-Za-z0-9._-]{10,}", "a community's key looks like vk1.a.Ab3-dE_…")
    ]
    group_id: int = Field(gt=0)
    mode: Literal["longpoll", "callback"] = "longpoll"
    secret: (
        Annotated[SecretStr, matches(r"[A-Za-z0-9_-]{1,50}", "1 to 50 characters of A-Z, a-z, 0-9, _ and -")]
        | None
    ) = None
    confirmation: str | None = Field(None, pattern=r"^[A-Za-z0-9]{1,50}$")
    api_base_url: BaseUrl = "https://api.vk.ru"
    proxy: ProxyAddress | None = None
    media_hosts: tuple[str, ...] = _VK_HOSTS
    poll_wait_seconds: int = Field(25, ge=1, le=90)
    request_timeout_seconds: float = Field(20, gt=0)
    send_timeout_seconds: float = Field(30, gt=0)
    messages_per_second: float = Field(20, gt=0)
    messages_burst: int = Field(1, ge=1)
    chat_messages_per_second: float = Field(1, gt=0)
    chat_burst: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _callback_has_secret(self) -> Self:
        if self.mode == "callback" and self.secret is None:
            raise ValueError('mode = "callback" needs a secret: it proves that a post comes from VK')
        return self


class VkChannel:
    """One community. In longpoll mode it fetches events itself, in callback mode they are posted to it."""

    name = NAME

    def __init__(self, settings: Settings, files: StoredFiles, pauses: Pauses | None = None) -> None:
        self.limits = Limits(
            text_length=TEXT_LENGTH,
            buttons_per_row=BUTTONS_PER_ROW,
            buttons_total=KEYBOARD_BUTTONS,
            label_length=LABEL_LENGTH,
            file_bytes=UPLOAD_BYTES,
            messages_per_second=settings.messages_per_second,
            messages_burst=settings.messages_burst,
            chat_messages_per_second=settings.chat_messages_per_second,
            chat_burst=settings.chat_burst,
        )
        self._settings = settings
        self._group = {"group_id": settings.group_id}
        self._files = files
        self._pauses = pauses or Pauses()
        self._api = _Api(settings)
        self._hook_url = ""
        self._receives = False
        self._confirmation: tuple[float, str] | None = None
        self._confirming = asyncio.Lock()
        self._half_sent = HalfSent()
        unknown_form = (KeyError, TypeError, AttributeError)
        self._insisting = Insisting(NAME, self._pauses, (_Refusal, *unknown_form), self._setback)
        self._refs: dict[tuple[str, str], str] = {}
        self._apps: dict[str, _App] = {}
        """What each dialog's app said last that it can show, by the dialog's key."""
        self._shows_no_buttons = False

    # ------------------------------------------------------------------ receiving

    async def receive(self, doors: Doors) -> None:
        """Run until cancelled. Events are acknowledged to VK only after `accept` has returned."""
        self._receives = True
        if self._settings.mode == "callback":
            await self._keep_server(doors)
        else:
            await self._poll(doors)

    async def _poll(self, doors: Doors) -> None:
        wanted = {"enabled": 1, "api_version": API_VERSION} | dict.fromkeys(EVENTS, 1)
        await self._insist(partial(self._api.call, "groups.setLongPollSettings", self._group | wanted))
        poll = await self._insist(self._api.open_poll)
        if doors.cursor is None:
            await self._begin_at(doors, poll.ts)
        poll.ts = doors.cursor or poll.ts
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            ts, asked_at = poll.ts, clock()
            polled = await self._insist(partial(self._api.poll, poll))
            if polled.lost:
                logger.error("vk threw away events that were not fetched in time")
            if not polled.events:
                # An answer that is empty before its time means that a key ran out, and then at once
                # again that something is wrong: VK punishes whoever keeps asking for a new server.
                early = clock() - asked_at < self._settings.poll_wait_seconds / 2
                failures = failures + 1 if early else 0
                if failures > 1:
                    await asyncio.sleep(self._pauses.after(failures))
                continue
            now = doors.now()
            try:
                await doors.accept(
                    [self._read(event, now) for event in polled.events], Cursor(NAME, str(poll.ts))
                )
            except Exception as error:  # noqa: BLE001 - whatever kept it from being stored: it is asked for again
                poll.ts = ts
                failures += 1
                pause = self._pauses.after(failures)
                logger.error(  # noqa: TRY400 - the traceback may hold the client's words
                    "events of vk were not stored and will be asked for again",
                    error=type(error).__name__,
                    retry_in_seconds=round(pause, 1),
                )
                await asyncio.sleep(pause)
            else:
                failures = 0

    async def _begin_at(self, doors: Doors, ts: str) -> None:
        """Keep where our first events begin.

        VK only tells where they end now: whoever began anew before the first of them was kept would skip it.
        """
        failures = 0
        while True:
            try:
                return await doors.accept((), Cursor(NAME, ts))
            except Exception as error:  # noqa: BLE001 - whatever kept it from being stored, it is tried again
                failures += 1
                pause = self._pauses.after(failures)
                logger.error("the place in vk's events was not stored", error=type(error).__name__)  # noqa: TRY400
                await asyncio.sleep(pause)

    async def _keep_server(self, doors: Doors) -> None:
        if not doors.public_url:
            raise Misconfigured('[server] public_url is needed for [bots.vk] mode = "callback"')
        self._hook_url = doors.public_url.rstrip("/") + HOOK_PATH
        if self._settings.confirmation is not None:
            # The operator enters the address by hand: that string is not the one of the API.
            await asyncio.Event().wait()
        while True:
            await self._insist(self._settle_server)
            await asyncio.sleep(_HOOK_CHECK_SECONDS)

    async def _settle_server(self) -> None:
        """Register our address, or put right what is registered; VK then asks for the confirmation."""
        secret = self._settings.secret
        wanted = {
            "url": self._hook_url,
            "title": SERVER_TITLE,
            "secret_key": secret.get_secret_value() if secret else "",
        }
        self._confirmation = None
        known = await self._servers()
        found = [server for server in known if server.get("url") == self._hook_url] or [
            server for server in known if server.get("title") == SERVER_TITLE
        ]
        if not found:
            added = await self._api.call("groups.addCallbackServer", self._group | wanted)
            server = {"server_id": added["server_id"]}
        else:
            server = {"server_id": found[0]["id"]}
            entered = {name: found[0].get(name) for name in wanted}
            if entered != wanted or found[0].get("status") in ("failed", "unconfigured"):
                logger.warning("the callback server of vk is set again", status=found[0].get("status"))
                await self._api.call("groups.editCallbackServer", self._group | server | wanted)
        events = {"api_version": API_VERSION} | dict.fromkeys(EVENTS, 1)
        await self._api.call("groups.setCallbackSettings", self._group | server | events)

    async def _servers(self) -> list[Json]:
        answer = await self._api.call("groups.getCallbackServers", self._group)
        return list(answer["items"])

    async def _insist(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        return await self._insisting.until_done(ask)

    def _setback(self, error: Exception, failures: int) -> Setback:
        pause = self._pauses.after(failures)
        if not isinstance(error, _Refusal):
            return Setback("vk answers in an unknown form", type(error).__name__, pause)
        if error.code in _WORDS:
            return Setback(_WORDS[error.code], error.reason, self._pauses.misconfigured_seconds)
        return Setback("vk refuses to work", error.reason, max(error.after_seconds or 0, pause))

    def _read(self, event: Json, now: datetime) -> Inbound:
        """Parse, and take the code of a link only once: VK may repeat it with later messages."""
        inbound = parse(event, now)
        self._remember_app(inbound, event)
        if inbound.start_code is None:
            return inbound
        seen_in = self._refs.setdefault((inbound.user_key, inbound.start_code), inbound.event_key)
        if len(self._refs) > _REMEMBERED_REFS:
            del self._refs[next(iter(self._refs))]
        is_new = seen_in == inbound.event_key or inbound.kind is InboundKind.STARTED
        return inbound if is_new else replace(inbound, start_code=None)

    def _remember_app(self, inbound: Inbound, event: Json) -> None:
        app = readable(NAME, lambda: _app(event["object"].get("client_info"))) if inbound.chat_key else None
        if app is None:
            return
        self._apps.pop(inbound.chat_key, None)
        if app != _App():
            self._apps[inbound.chat_key] = app
        if len(self._apps) > _REMEMBERED_APPS:
            del self._apps[next(iter(self._apps))]

    # ------------------------------------------------------------------ the webhook

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """Give the webhook, in callback mode only."""
        secret = self._settings.secret
        if self._settings.mode != "callback" or secret is None:
            return ()
        expected = secret.get_secret_value().encode()

        def turned_away(reason: str, status: HTTPStatus) -> Response:
            doors.refused(reason)
            return Response(status_code=status)

        async def hook(request: Request) -> Response:
            body = await limited_body(request, MAX_HOOK_BYTES)
            if body is None:
                return turned_away("size", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            event = decoded(body)
            if not isinstance(event, dict):
                return turned_away("malformed", HTTPStatus.BAD_REQUEST)
            is_confirmation = event.get("type") == "confirmation" and "secret" not in event
            shown = str(event.get("secret", "")).encode()
            if event.get("group_id") != self._settings.group_id or not (
                is_confirmation or hmac.compare_digest(shown, expected)
            ):
                return turned_away("secret", HTTPStatus.FORBIDDEN)
            if event.get("type") == "confirmation":
                return await self._confirmed()
            status = await stored(doors, NAME, self._read(event, doors.now()))
            if status != HTTPStatus.OK:
                again_at = doors.now() + timedelta(seconds=_COME_AGAIN_SECONDS)
                headers = {"Retry-After": format_datetime(again_at.astimezone(UTC), usegmt=True)}
                return Response(status_code=status, headers=headers)
            return PlainTextResponse("ok")

        return (Route(HOOK_PATH, hook, methods=["POST"]),)

    async def _confirmed(self) -> Response:
        """Answer with the string of the settings, or with that of the API, which changes with the server."""
        if self._settings.confirmation is not None:
            return PlainTextResponse(self._settings.confirmation)
        clock = asyncio.get_running_loop().time
        async with self._confirming:
            # Anybody may ask, so VK is not asked each time.
            if self._confirmation is None or clock() - self._confirmation[0] > _CONFIRMATION_HOLDS_SECONDS:
                self._confirmation = clock(), await self._confirmation_code()
            code = self._confirmation[1]
        return PlainTextResponse(code) if code else Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    async def _confirmation_code(self) -> str:
        try:
            answer = await self._api.call("groups.getCallbackConfirmationCode", self._group)
            return str(answer["code"])
        except (Fault, _Refusal, KeyError, TypeError) as error:
            logger.warning("vk gives no confirmation string", error=type(error).__name__)
            return ""

    # ------------------------------------------------------------------ sending

    async def send(self, parcel: Parcel) -> Outcome:
        """Send text, buttons and files, in as few messages as VK allows.

        VK shows messages with the same `random_id` once, so repeating is harmless for as long as it
        remembers them. It does not say how long, hence a lost answer is still `Unknown`: that is
        repeated for an hour or two, `Retry` for a day.
        """
        messages = _messages(parcel, self._apps.get(parcel.chat_key, _App()))
        return await self._half_sent.send_all(
            parcel.key, messages, partial(self._deliver, parcel), _Refusal, _outcome
        )

    async def _deliver(self, parcel: Parcel, number: int, message: _Message) -> str:
        peer = {"peer_id": parcel.chat_key}
        attachments = [await self._api.upload(file, self._files, parcel.chat_key) for file in message.files]
        params: dict[str, Json] = {
            **peer,
            "random_id": random_id(f"{parcel.key}/{number}"),
            "message": message.text or None,
            "attachment": ",".join(attachments) or None,
            "keyboard": message.keyboard or None,
            "dont_parse_links": 1,
            "disable_mentions": 1,
        }
        try:
            message_id = await self._send_with_buttons(params)
        except _Refusal as refusal:
            if refusal.code not in (_KEYBOARD_IS_WRONG, _BOT_FEATURES_ARE_OFF) or not message.keyboard:
                raise
            # Better a menu to be typed than no word at all.
            logger.error("vk shows no buttons, choices go as a menu", reason=refusal.reason)  # noqa: TRY400
            self._shows_no_buttons = True
            menu = _menu(parcel.text, parcel.rows)
            message_id = await self._send_once(params | {"message": menu, "keyboard": None})
        else:
            self._shows_no_buttons = self._shows_no_buttons and not message.keyboard
        # It was taken; an unknown answer only means that the message cannot be named later.
        return str(message_id) if type(message_id) is int and message_id else ""

    async def _send_with_buttons(self, params: Mapping[str, Json]) -> Json:
        try:
            return await self._send_once(params)
        except _Refusal as refusal:
            if refusal.code != _BOT_FEATURES_ARE_OFF:
                raise
            wanted = {"messages": 1, "bots_capabilities": 1, "bots_start_button": 1}
            await self._api.call("groups.setSettings", self._group | wanted)
            return await self._send_once(params)

    async def _send_once(self, params: Mapping[str, Json]) -> Json:
        return await self._api.call("messages.send", params, self._settings.send_timeout_seconds)

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """Stop the spinner. It may be over a minute old, or the person gone: of no interest."""
        if inbound.acknowledge is None:
            return
        user_id, peer_id, event_id = inbound.acknowledge.split(" ", 2)
        answer = {"user_id": user_id, "peer_id": peer_id, "event_id": event_id}
        try:
            await self._api.call("messages.sendMessageEventAnswer", answer)
        except (Fault, _Refusal):
            logger.debug("a press was not acknowledged", channel=NAME)

    # ------------------------------------------------------------------ the rest

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Stream a file in chunks, at most MAX_FILE_BYTES. Raises FileRefused or FileUnavailable."""
        if (file.size_bytes or 0) > MAX_FILE_BYTES:
            raise FileRefused("the file is over 20 MB")
        async for chunk in self._api.wire.download(file.reference):
            yield chunk

    async def health(self) -> Health:
        """Ask who we are, and whether events find the way to us."""
        try:
            answer = await self._api.call("groups.getById", self._group)
            name = str(answer["groups"][0]["name"])
            wrong = await (
                self._hook_trouble() if self._settings.mode == "callback" else self._poll_trouble()
            )
        except Fault as fault:
            return Health(reachable=False, detail=f"VK does not answer: {fault}")
        except _Refusal as refusal:
            sentence = _WORDS.get(refusal.code, "VK refuses")
            return Health(reachable=False, detail=f"{sentence} ({refusal.reason})")
        except (KeyError, IndexError, TypeError, AttributeError):
            return Health(reachable=False, detail="VK answers in an unknown form: is group_id right?")
        link = f"https://vk.me/club{self._settings.group_id}?ref={{code}}"
        if not wrong and self._shows_no_buttons:
            wrong = "VK shows no buttons, choices go as a menu: switch on Manage, Messages, Bot settings"
        if wrong and not self._receives and self._settings.confirmation is None:
            return Health(reachable=True, detail=f"{name}. {wrong}; `priem run` does it by itself", link=link)
        return Health(reachable=not wrong, detail=wrong or name, link=link)

    async def _poll_trouble(self) -> str:
        answer = await self._api.call("groups.getLongPollSettings", self._group)
        if not answer["is_enabled"]:
            return "Long Poll is off: switch it on in Manage, API usage, Long Poll API"
        missing = [name for name in EVENTS if not answer["events"].get(name)]
        return f"Long Poll leaves out events: tick {', '.join(missing)}" if missing else ""

    async def _hook_trouble(self) -> str:
        servers = await self._servers()
        ours = [server for server in servers if _is_ours(str(server.get("url")), self._hook_url)]
        if not ours:
            address = self._hook_url or f"<server.public_url>{HOOK_PATH}"
            return f"there is no callback server {address}: add it in Manage, API usage, Callback API"
        status = ours[0].get("status")
        if status != "ok":
            return f"VK does not post to {ours[0].get('url')}: the server's status is {status}, not ok"
        return ""

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def _is_ours(url: str, hook_url: str) -> bool:
    """Whether it is our address; before `receive` only its path is known."""
    return url == hook_url if hook_url else URL(url).path.endswith(HOOK_PATH)


def open_channel(settings: Settings, lent: Lent) -> VkChannel:
    """Make the channel; imports vk_api."""
    return VkChannel(settings, lent.files)


CHANNEL = ChannelKind(NAME, Settings, open_channel, plain("ВКонтакте"))


# ---------------------------------------------------------------------- refusals

# https://dev.vk.com/reference/errors and the errors of messages.send; they come with status 200.

_Outcome = Callable[[str], Outcome]

_OUTCOMES: Mapping[int, _Outcome] = {
    1: lambda reason: Retry(reason=reason, whole_channel=True),
    5: TokenRevoked,
    6: lambda reason: Retry(1, reason, whole_channel=True),
    # No right for messages, or a chat that is closed to us: the operator may put it right within a day.
    7: lambda reason: Retry(300, reason),
    9: lambda reason: Retry(60, reason),
    10: lambda reason: Retry(reason=reason, whole_channel=True),
    # Nobody can read a captcha to us. It goes away by itself when we are quiet.
    14: lambda reason: Retry(300, reason, whole_channel=True),
    15: lambda reason: Retry(300, reason),
    17: TokenRevoked,
    18: Blocked,
    27: TokenRevoked,
    28: TokenRevoked,
    29: lambda reason: Retry(60, reason, whole_channel=True),
    105: lambda reason: Retry(reason=reason),
    113: Blocked,
    900: Blocked,
    901: Blocked,
    902: Blocked,
    936: Blocked,
    950: WindowClosed,
}
"""Code → what it means for a letter; any other (100, 911, 912, 914 …) rejects it."""

_NO_RIGHT = 'the key lacks a right: make one with "community management", "messages" and "documents"'

_WORDS: Mapping[int, str] = {
    5: "vk does not know this key: put the community's key into [bots.vk]",
    7: _NO_RIGHT,
    15: _NO_RIGHT,
    17: "vk does not accept this key any more: make a new one",
    27: "vk does not know this key: put the community's key into [bots.vk]",
    28: "vk does not know this key: put the community's key into [bots.vk]",
    100: "vk finds a setting wrong: group_id is the number of the community that the key belongs to",
    203: _NO_RIGHT,
}
"""Code → what the operator must do."""

_TOO_MANY_PER_SECOND = 6


class _NotUploaded(Fault):
    """A file did not get through, so its message was not sent; letters without files may be."""

    @property
    def outcome(self) -> Outcome:
        return Retry(reason=str(self))


class _Refusal(Exception):  # noqa: N818 - VK's answer, which delivery interprets
    """VK refused a call. `reason` is VK's own sentence, without the token."""

    def __init__(self, code: int, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.after_seconds = after_seconds


def _outcome(refusal: _Refusal) -> Outcome:
    outcome = _OUTCOMES.get(refusal.code, Rejected)(f"{refusal.code}: {refusal.reason}")
    if isinstance(outcome, Retry) and refusal.after_seconds is not None:
        return replace(outcome, after_seconds=refusal.after_seconds)
    return outcome


# ---------------------------------------------------------------------- events


def parse(event: Json, now: datetime) -> Inbound:
    """Turn one event into what it means for us; what fits no schema is IGNORED, never an error.

    `now` (aware UTC) is the time of events for which VK gives none. Both modes give an event the same
    `event_id`, so one that comes both ways counts once.
    """
    event_key = _event_key(event)
    try:
        reader = _READERS.get(event["type"])
        inbound = reader(event_key, event["object"], now) if reader else None
    except MISSHAPEN as error:
        logger.warning("an event of vk fits no schema", event_key=event_key, error=type(error).__name__)
        inbound = readable(NAME, lambda: _read_envelope(event_key, event, now))
    return inbound or Inbound(NAME, event_key, "", "", now, InboundKind.IGNORED)


def _event_key(event: Json) -> str:
    found = event.get("event_id") if isinstance(event, dict) else None
    if isinstance(found, str) and 0 < len(found) <= _LONGEST_EVENT_KEY and "\x00" not in found:
        return found
    known = {name: event[name] for name in event if name != "secret"} if isinstance(event, dict) else event
    return "digest:" + hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _read_envelope(event_key: str, event: Json, now: datetime) -> Inbound | None:
    """A message of which only the sender can be read: they get an answer."""
    if event["type"] != "message_new":
        return None
    message = event["object"].get("message", event["object"])
    person = _author(message)
    if person is None:
        return None
    sent_at = readable(NAME, lambda: _time(message["date"])) or now
    key = readable(NAME, lambda: _message_key(message))
    return Inbound(NAME, event_key, *person, sent_at, InboundKind.OTHER, UNREADABLE_MESSAGE, message_key=key)


def _read_new(event_key: str, found: Json, now: datetime) -> Inbound | None:
    # Before version 5.103 the message itself was the object; a community may still be set so.
    return _read_message(event_key, found.get("message", found), now)


def _read_message(event_key: str, message: Json, now: datetime) -> Inbound | None:  # noqa: ARG001
    person = _author(message)
    if person is None:
        return None
    ref = message.get("ref")
    inbound = Inbound(
        NAME,
        event_key,
        *person,
        _time(message["date"]),
        InboundKind.TEXT,
        start_code=clean(ref).strip() or None if ref is not None else None,
        message_key=_message_key(message),
    )
    payload = _payload(message.get("payload"))
    if payload.get("command") == "start":
        return replace(inbound, kind=InboundKind.STARTED, text=clean(message["text"]))
    if "p" in payload:
        return replace(inbound, kind=InboundKind.BUTTON, button=clean(payload["p"]))
    kind, text, files = _content(message)
    return replace(inbound, kind=kind, text=text, files=files)


def _read_edited(event_key: str, found: Json, now: datetime) -> Inbound | None:
    message = found.get("message", found)
    inbound = _read_message(event_key, message | {"payload": None}, now)
    if inbound is None:
        return None
    edited_at = _time(message["update_time"]) if message.get("update_time") else inbound.sent_at
    return replace(inbound, kind=InboundKind.EDITED, sent_at=edited_at, start_code=None)


def _read_press(event_key: str, press: Json, now: datetime) -> Inbound | None:
    person = _person(press["user_id"], press["peer_id"])
    if person is None:
        return None
    button = _payload(press.get("payload")).get("p", "")
    number = press.get("conversation_message_id")
    return Inbound(
        NAME,
        event_key,
        *person,
        now,
        InboundKind.BUTTON,
        button=clean(button) if isinstance(button, str) else "",
        message_key=f"c{whole_number(number)}" if number is not None else None,
        acknowledge=f"{person[0]} {person[1]} {clean(press['event_id'])}",
    )


def _read_permission(kind: InboundKind) -> Callable[[str, Json, datetime], Inbound | None]:
    def read(event_key: str, change: Json, now: datetime) -> Inbound | None:
        person = _person(change["user_id"], change["user_id"])
        return Inbound(NAME, event_key, *person, now, kind) if person else None

    return read


def _read_receipt(event_key: str, receipt: Json, now: datetime) -> Inbound | None:
    """All messages up to this one were read; VK names the last."""
    person = _person(receipt["from_id"], receipt["peer_id"])
    if person is None:
        return None
    return Inbound(
        NAME,
        event_key,
        *person,
        now,
        InboundKind.DELIVERY,
        message_key=str(whole_number(receipt["read_message_id"])),
        delivery=Delivery(DeliveryState.READ),
    )


_READERS: Mapping[str, Callable[[str, Json, datetime], Inbound | None]] = {
    "message_new": _read_new,
    "message_edit": _read_edited,
    "message_event": _read_press,
    "message_allow": _read_permission(InboundKind.UNBLOCKED),
    "message_deny": _read_permission(InboundKind.BLOCKED),
    "message_read": _read_receipt,
}


def _person(from_id: Json, peer_id: Json) -> tuple[str, str] | None:
    """Keys of the person and of the chat with them; None for communities and group chats."""
    if whole_number(from_id) <= 0 or not 0 < whole_number(peer_id) < FIRST_GROUP_CHAT:
        return None
    return str(from_id), str(peer_id)


def _author(message: Json) -> tuple[str, str] | None:
    """The same of a message; None for our own, too, and for what VK itself tells in a dialog."""
    person = _person(message["from_id"], message["peer_id"])
    return None if message.get("out") or message.get("action") else person


def _message_key(message: Json) -> str | None:
    """The id that `messages.send` gives too. It may be 0 where only the dialog counts its messages."""
    if whole_number(message.get("id", 0)):
        return str(message["id"])
    number = message.get("conversation_message_id")
    return f"c{whole_number(number)}" if number else None


def _payload(payload: Json) -> dict[str, Json]:
    """What a button carries: JSON in a string with a message, a value with a press."""
    if isinstance(payload, str):
        payload = decoded(payload.encode("utf-8", "replace"))
    return payload if isinstance(payload, dict) else {}


def _content(message: Json) -> tuple[InboundKind, str, tuple[IncomingFile, ...]]:
    """Text and files of a message and of all that is forwarded with it; a quoted one says nothing new."""
    messages = list(_with_forwarded(message))
    texts = [clean(each["text"]) for each in messages if each.get("text")]
    files, others = [], []
    for each in messages:
        for attachment in each.get("attachments") or ():
            found = readable(NAME, partial(_attached, attachment))
            if isinstance(found, IncomingFile):
                files.append(found)
            elif found is None or not (texts and attachment.get("type") == "link"):
                others.append(found or UNREADABLE)
        if each.get("geo"):
            others.append(readable(NAME, partial(_place, each["geo"])) or "геопозиция")
    if not files and not texts:
        return InboundKind.OTHER, ", ".join(others) or "пустое сообщение", ()
    # What we cannot take must not vanish without a word beside what we can.
    text = with_asides("\n\n".join(texts), others)
    return InboundKind.FILE if files else InboundKind.TEXT, text, tuple(files)


def _attached(attachment: Json) -> IncomingFile | str:
    """The file, or what else it is."""
    kind = attachment["type"]
    return _FILES[kind](attachment[kind]) if kind in _FILES else _other(kind, attachment)


def _with_forwarded(message: Json, depth: int = 0) -> Iterator[Json]:
    yield message
    if depth < _DEEPEST_FORWARD:
        for forwarded in message.get("fwd_messages") or ():
            yield from _with_forwarded(forwarded, depth + 1)


def _document(document: Json) -> IncomingFile:
    title, ending = clean(document.get("title") or "Файл"), clean(document.get("ext") or "")
    is_complete = not ending or title.lower().endswith(f".{ending.lower()}")
    size_bytes = document.get("size")
    return IncomingFile(
        reference=clean(document["url"]),
        name=title if is_complete else f"{title}.{ending}",
        size_bytes=None if size_bytes is None else whole_number(size_bytes),
    )


def _photo(photo: Json) -> IncomingFile:
    sizes = [*(photo.get("sizes") or ()), *([photo["orig_photo"]] if photo.get("orig_photo") else ())]
    # Old photos have no measures; their sizes go from small to large.
    largest = max(reversed(sizes), key=lambda size: (size.get("width") or 0) * (size.get("height") or 0))
    return IncomingFile(clean(largest["url"]), "Фото.jpg", None, "image/jpeg", FileRole.PHOTO)


def _voice(voice: Json) -> IncomingFile:
    name, role = "Голосовое сообщение", FileRole.VOICE
    if voice.get("link_ogg"):
        return IncomingFile(clean(voice["link_ogg"]), f"{name}.ogg", None, "audio/ogg", role)
    return IncomingFile(clean(voice["link_mp3"]), f"{name}.mp3", None, "audio/mpeg", role)


_FILES: Mapping[str, Callable[[Json], IncomingFile]] = {
    "doc": _document,
    "photo": _photo,
    "audio_message": _voice,
}

_OTHER: Mapping[str, str] = {
    "sticker": "наклейка",
    "ugc_sticker": "наклейка",
    "video": "видео",
    "video_message": "видеосообщение",
    "audio": "аудиозапись",
    "wall": "запись со стены",
    "wall_reply": "комментарий",
    "market": "товар",
    "market_album": "подборка товаров",
    "gift": "подарок",
    "poll": "опрос",
    "link": "ссылка",
    "graffiti": "граффити",
    "story": "история",
    "call": "звонок",
    "podcast": "подкаст",
    "article": "статья",
    "money_transfer": "денежный перевод",
}
"""What a person sent that we cannot take → what we call it. VK gives communities no link to a video."""

_NAMED_BY = ("title", "question", "url")


def _other(kind: str, attachment: Json) -> str:
    name = _OTHER.get(kind, "вложение незнакомого вида")
    content = attachment.get(kind)
    titles = [content.get(key) for key in _NAMED_BY] if isinstance(content, dict) else []
    title = next((clean(title) for title in titles if title), "")
    return f"{name} «{title}»" if title and kind in ("market", "poll", "link", "video") else name


def _place(geo: Json) -> str:
    point = geo["coordinates"]
    return f"геопозиция {float(point['latitude']):.5g}, {float(point['longitude']):.5g}"


def _time(unix_seconds: Json) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


# ---------------------------------------------------------------------- messages


@dataclass(frozen=True, slots=True)
class _Message:
    """One message; `keyboard` is JSON."""

    text: str = ""
    keyboard: str = ""
    files: tuple[OutgoingFile, ...] = ()


@dataclass(frozen=True, slots=True)
class _App:
    """What a person's app can show, as VK tells with each of their messages."""

    keyboard: bool = True
    inline_keyboard: bool = True
    callback: bool = True


def _app(client_info: Json) -> _App | None:
    """None where VK tells nothing."""
    if client_info is None:
        return None
    return _App(
        keyboard=bool(client_info.get("keyboard", True)),
        inline_keyboard=bool(client_info.get("inline_keyboard", True)),
        callback="callback" in client_info.get("button_actions", ["callback"]),
    )


def _messages(parcel: Parcel, app: _App) -> list[_Message]:
    """Text, buttons and the first files go together; further files follow by tens."""
    if not parcel.text and not parcel.files:
        return []
    groups = [
        parcel.files[start : start + ATTACHMENTS] for start in range(0, len(parcel.files), ATTACHMENTS)
    ] or [()]
    keyboard = _keyboard(parcel.rows, app) if parcel.rows else ""
    text = _menu(parcel.text, parcel.rows) if parcel.rows and not keyboard else parcel.text
    first = _Message(text, keyboard, groups[0])
    return [first, *(_Message(files=group) for group in groups[1:])]


def random_id(key: str) -> int:
    """Make of a key what VK tells repeated messages by: 31 bits, the same for ever, never 0 (no check)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) & 0x7FFF_FFFF or 1


_Rows = Sequence[Sequence[ShownButton]]


def _menu(text: str, rows: Rows) -> str:
    """The choices to be typed; where there is no room for them, their words are understood too."""
    menu = with_menu(text, rows)
    return menu if len(menu) <= TEXT_LENGTH else text


def _keyboard(rows: _Rows, app: _App) -> str:
    """Buttons in the message while they fit there, else in place of the person's keyboard, until used.

    Empty for an app that shows neither.
    """
    if app.inline_keyboard and sum(map(len, rows)) <= INLINE_BUTTONS:
        place: dict[str, Json] = {"inline": True}
        kind, most_rows = "callback" if app.callback else "text", INLINE_ROWS
    elif app.keyboard:
        place, kind, most_rows = {"one_time": True}, "text", KEYBOARD_ROWS
    else:
        return ""
    buttons = [[_button(button, kind) for button in row] for row in _packed(rows, most_rows)]
    return json.dumps({**place, "buttons": buttons}, ensure_ascii=False)


def _packed(rows: _Rows, most_rows: int) -> _Rows:
    """The rows as they are, or as few longer ones as are needed."""
    if len(rows) <= most_rows:
        return rows
    buttons = [button for row in rows for button in row]
    width = -(-len(buttons) // most_rows)
    return [buttons[start : start + width] for start in range(0, len(buttons), width)]


def _button(button: ShownButton, kind: str) -> dict[str, Json]:
    payload = json.dumps({"p": button.press}, ensure_ascii=False)
    return {"action": {"type": kind, "label": button.label, "payload": payload}}


# ---------------------------------------------------------------------- the wire

_VK_API = "https://api.vk.ru"
"""What vk_api begins its addresses with."""

_DOCUMENT, _PHOTO = "file", "photo"
_SAVED_BY: Mapping[str, Sequence[str]] = {_DOCUMENT: ("file",), _PHOTO: ("server", "photo", "hash")}
"""Field of an upload → what of its answer is handed to the method that saves it."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class _Polled:
    """One answer of the long poll: the events; whether VK has lost some."""

    events: Sequence[Json]
    lost: bool


class _Api:
    """The API through vk_api. Raises `Fault` or `_Refusal`."""

    def __init__(self, settings: Settings) -> None:
        import vk_api  # noqa: F401 - it takes a while, and no call should wait for that

        self._settings = settings
        self._token = settings.token.get_secret_value()
        self._hosts = file_hosts(settings.api_base_url, settings.media_hosts)
        waits_seconds = settings.poll_wait_seconds + settings.request_timeout_seconds
        self.wire = Wire(settings.proxy, self._hosts, settings.request_timeout_seconds)
        self.poll_wire = Wire(settings.proxy, (), waits_seconds)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=NAME)

    async def call(
        self, method: str, params: Mapping[str, Json], within_seconds: float | None = None
    ) -> Json:
        """Give the `response` of a method."""
        return await self._in_thread(
            lambda session: self._client(session).method(method, dict(params)), within_seconds
        )

    async def open_poll(self) -> VkBotLongPoll:
        """Ask for a long poll server; a poll begins with the events that are still to come."""
        from vk_api.bot_longpoll import VkBotLongPoll

        class Poll(VkBotLongPoll):  # type: ignore[misc]
            """Gives events as they came: the library's own parsing fails on some of them."""

            __slots__ = ()

            def _parse_event(self, raw_event: Json) -> Json:
                return raw_event

        group_id, wait_seconds = self._settings.group_id, self._settings.poll_wait_seconds
        return await self._in_thread(lambda session: Poll(self._client(session), group_id, wait_seconds))

    async def poll(self, poll: VkBotLongPoll) -> _Polled:
        """Wait for events once. Then `poll.ts` stands behind them: put it back if they were not stored."""

        def check(session: _Session) -> _Polled:
            poll.vk, poll.session = self._client(session), session
            return _Polled(poll.check(), session.lost)

        return await self._in_thread(check)

    async def upload(self, file: OutgoingFile, files: StoredFiles, peer_id: str) -> str:
        """Upload a picture or a document and give its name as an attachment.

        Raises OSError for a lost file.
        """
        try:
            if file.media_type in PHOTO_TYPES and file.size_bytes <= PHOTO_BYTES:
                try:
                    return await self._upload(file, files, peer_id, _upload_photo)
                except (_Refusal, Misanswered) as error:
                    # Sides that are too long, or a key without the right to photos.
                    logger.info("a picture goes to vk as a document", reason=type(error).__name__)
            return await self._upload(file, files, peer_id, _upload_document)
        except Fault as fault:
            raise _NotUploaded(str(fault)) from None

    async def _upload(self, file: OutgoingFile, files: StoredFiles, peer_id: str, upload: _Upload) -> str:
        def carry(session: _Session) -> str:
            from vk_api import VkUpload

            uploading = VkUpload(self._client(session))
            uploading.http = session
            with files.path(file.sha256).open("rb") as content:
                return upload(uploading, _Named(file.name, content), peer_id)

        seconds = self._settings.send_timeout_seconds + file.size_bytes / SLOWEST_UPLOAD_BYTES_PER_SECOND
        return await self._in_thread(carry, seconds)

    def _client(self, session: _Session) -> VkApi:
        from jconfig import MemoryConfig
        from vk_api import VkApi

        # The usual configuration is a file in the current folder.
        client = VkApi(token=self._token, api_version=API_VERSION, session=session, config=MemoryConfig)
        client.RPS_DELAY = 0
        # Else it would sleep and repeat by itself, without an end, when there are too many requests.
        client.error_handlers = {}
        return client

    async def _in_thread(self, work: Callable[[_Session], _T], within_seconds: float | None = None) -> _T:
        from vk_api.exceptions import ApiError, ApiHttpError

        loop = asyncio.get_running_loop()
        session = _Session(loop, self, within_seconds or self._settings.request_timeout_seconds)
        try:
            return await loop.run_in_executor(self._threads, work, session)
        except ApiError as error:
            reason = str(error.error.get("error_msg", "")).replace(self._token, "…")
            raise _Refusal(error.code, reason) from None
        except ApiHttpError as error:
            raise _by_status(error.response) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # vk_api takes answers for what they should be.
            raise Misanswered(f"an answer in an unknown form: {type(error).__name__}") from None
        finally:
            session.abandon()

    def mirrored(self, url: str) -> str:
        """The address of a method where we ask for it."""
        return self._settings.api_base_url.rstrip("/") + url.removeprefix(_VK_API)

    def trusted(self, url: str) -> URL:
        """An address that VK named for events or uploads. Raises Misanswered for one of somebody else."""
        base, target = URL(self._settings.api_base_url), URL(url)
        host = target.host or ""
        if target.scheme not in ("https", base.scheme) or not any(
            host == ours or host.endswith(f".{ours}") for ours in self._hosts
        ):
            raise Misanswered("an address on a host that is not in the list of media hosts")
        return target

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self.wire.close()
        await self.poll_wire.close()


@dataclass(frozen=True, slots=True)
class _Named:
    """A file under its name, as vk_api wants it; it takes the ending from the name."""

    file_name: str
    content: Any

    @property
    def name(self) -> str:
        return self.file_name if "." in self.file_name else f"{self.file_name}.bin"

    def read(self) -> bytes:
        return bytes(self.content.read())


_Upload = Callable[[Any, _Named, str], str]


def _upload_document(uploading: Any, named: _Named, peer_id: str) -> str:
    document = uploading.document_message(named, title=named.file_name, peer_id=peer_id)["doc"]
    return f"doc{document['owner_id']}_{document['id']}"


def _upload_photo(uploading: Any, named: _Named, peer_id: str) -> str:
    (photo,) = uploading.photo_messages(named, peer_id=peer_id)
    key = f"_{photo['access_key']}" if photo.get("access_key") else ""
    return f"photo{photo['owner_id']}_{photo['id']}{key}"


@dataclass(frozen=True, slots=True)
class _Response:
    """As much of an answer as vk_api looks at."""

    answer: Answer
    value: Json

    @property
    def ok(self) -> bool:
        return self.answer.status == HTTPStatus.OK

    def json(self) -> Json:
        return self.value


class _Session:
    """Stands in for `requests.Session` during one call, in the thread of the call."""

    def __init__(self, loop: asyncio.AbstractEventLoop, api: _Api, within_seconds: float) -> None:
        self._loop = loop
        self._api = api
        self._within_seconds = within_seconds
        self._asked: Future[Answer] | None = None
        self._abandoned = False
        self.lost = False
        """Whether the long poll told of events that are gone."""

    def post(
        self,
        url: str,
        data: Mapping[str, Json] | None = None,
        headers: object = None,  # noqa: ARG002 - vk_api would suppress cookies, and we have none
        files: Sequence[tuple[str, tuple[str, _Named]]] = (),
    ) -> _Response:
        """Call a method, or upload."""
        if files:
            return self._upload(url, *files[0])
        filled = {name: value for name, value in (data or {}).items() if value is not None}
        body = urlencode(filled).encode()
        answer = self._carried(self._api.wire, "POST", self._api.mirrored(url), body, _FORM)
        value = answer.json
        if answer.status == HTTPStatus.OK and not _is_answer(value):
            raise AnswerLost("the answer is cut short")
        return _Response(answer, value)

    def get(self, url: str, params: Mapping[str, Json], timeout: float) -> _Response:
        """Ask the long poll server."""
        self._within_seconds = timeout + self._within_seconds
        answer = self._carried(self._api.poll_wire, "GET", self._api.trusted(url).update_query(params))
        value = answer.json
        if answer.status != HTTPStatus.OK or not _is_polled(value):
            raise Misanswered(f"status {answer.status} from somebody who is not VK's long poll")
        self.lost = value.get("failed") in (1, 3)
        return _Response(answer, value)

    def _upload(self, url: str, field: str, file: tuple[str, _Named]) -> _Response:
        from aiohttp import FormData

        file_name, named = file
        # vk_api numbers pictures; VK wants `photo` (https://dev.vk.com/api/upload/photo-in-message).
        field = field if field == _DOCUMENT else _PHOTO
        # Names go as they are: quoting is undone by nobody.
        form = FormData(quote_fields=False)
        form.add_field(
            field, named.content, filename=header_safe(file_name), content_type="application/octet-stream"
        )
        answer = self._carried(self._api.wire, "POST", self._api.trusted(url), form)
        value = answer.json
        if answer.status != HTTPStatus.OK or not isinstance(value, dict):
            raise Misanswered(f"status {answer.status} from somebody who is not VK's upload server")
        if not isinstance(value.get(field), str) or value[field] in ("", "[]"):
            raise _Refusal(0, f"the file was not taken: {str(value.get('error'))[:200]}")
        return _Response(answer, {name: value[name] for name in _SAVED_BY[field]})

    def _carried(
        self,
        wire: Wire,
        method: str,
        url: str | URL,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        if self._abandoned:
            raise NotSent("nobody waits for the answer")
        asking: Coroutine[Any, Any, Answer] = wire.request(
            method, url, data=data, headers=headers, timeout_seconds=self._within_seconds
        )
        self._asked = asyncio.run_coroutine_threadsafe(asking, self._loop)
        return self._asked.result()

    def abandon(self) -> None:
        """End the request, if it still runs: nobody waits for it any more."""
        self._abandoned = True
        if self._asked is not None:
            self._asked.cancel()


def _is_answer(value: Json) -> bool:
    if not isinstance(value, dict):
        return False
    error = value.get("error")
    return "response" in value or (isinstance(error, dict) and type(error.get("error_code")) is int)


def _is_polled(value: Json) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("ts", ""), str | int):
        return False
    return "failed" in value or ("ts" in value and isinstance(value.get("updates"), list))


def _by_status(response: _Response) -> Fault | _Refusal:
    """An answer with another status comes from VK's front servers, or from somebody between."""
    status = response.answer.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _Refusal(_TOO_MANY_PER_SECOND, "status 429", retry_after(response.answer.headers))
    return Misanswered(f"status {status} from somebody who is not VK")
