"""MAX: https://dev.max.ru/docs-api.

aiomax is the client: its `Bot` makes the requests, its message and button classes write the bodies, and
it brings the root certificate of the Ministry of Digital Development that MAX's servers need. Its
polling is not used, for it acknowledges updates before they are stored, and neither are its `send_…`
methods, which read whole messages back and repeat without end. MAX gives its updates no numbers.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from importlib.resources import as_file, files
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from starlette.routing import BaseRoute
from yarl import URL

from bots.base import (
    MAX_FILE_BYTES,
    ChannelKind,
    Cursor,
    Doors,
    FileRefused,
    FileUnavailable,
    Health,
    Lent,
    Limits,
    Misconfigured,
)
from bots.wire import (
    CONNECT_SECONDS,
    MISSHAPEN,
    SLOWEST_UPLOAD_BYTES_PER_SECOND,
    UNREADABLE,
    UNREADABLE_MESSAGE,
    AnswerLost,
    BaseUrl,
    Fault,
    HalfSent,
    Hook,
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
    matches,
    network_errors,
    proxied_connector,
    readable,
    retry_after,
    short_key,
    whole_number,
    with_asides,
)
from forms.messages import Contact, FileRole, Inbound, InboundKind, IncomingFile, OutgoingFile
from forms.texts import plain
from notifications.outbox import (
    Blocked,
    Outcome,
    Parcel,
    Rejected,
    Retry,
    ShownButton,
    TokenRevoked,
)

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout

logger = structlog.get_logger(__name__)

NAME = "max"
HOOK_PATH = "/hooks/max"
SECRET_HEADER = "X-Max-Bot-Api-Secret"  # noqa: S105 - a header's name
UPDATE_TYPES = (
    "message_created",
    "message_callback",
    "message_edited",
    "message_removed",
    "bot_started",
    "bot_stopped",
    "dialog_removed",
)
MAX_HOOK_BYTES = 1024 * 1024

TEXT_LENGTH = 4000
LABEL_LENGTH = 128
KEYBOARD_ROWS = 30
BUTTONS_PER_ROW = 7
UPLOAD_BYTES = 50 * 1024 * 1024
"""MAX takes 4 GB."""

HOOK_CHECK_SECONDS = 300
POLL_SPACING_SECONDS = 0.6
"""GET /updates is answered twice a second at most; the rest is for requests that overtake one another."""
PROCESSING_PAUSES_SECONDS = (0.5, 1, 2, 4, 8, 12)
"""How long a file that MAX is still processing is waited for; later delivery tries again."""

MAX_HOSTS = ("max.ru", "oneme.ru", "okcdn.ru", "mycdn.me")
"""MAX's own, with all below them: the API, its files, its videos."""

_LONGEST_EVENT_KEY = 200


class Settings(BaseModel):
    """Section `[bots.max]`. Files go to and come from `api_base_url` and `media_hosts` alone.

    With `use_ministry_certificate` the Ministry's root is trusted besides the system's, for MAX's own
    hosts alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Annotated[SecretStr, matches(r"[!-~]+", "the token of a bot has no spaces")]
    mode: Literal["webhook", "polling"] = "webhook"
    secret: (
        Annotated[
            SecretStr, matches(r"[A-Za-z0-9_-]{5,256}", "5 to 256 characters of A-Z, a-z, 0-9, _ and -")
        ]
        | None
    ) = None
    api_base_url: BaseUrl = "https://platform-api2.max.ru"
    proxy: ProxyAddress | None = None
    use_ministry_certificate: bool = True
    media_hosts: tuple[str, ...] = MAX_HOSTS
    poll_timeout_seconds: int = Field(30, ge=0, le=90)
    request_timeout_seconds: float = Field(20, gt=0)
    messages_per_second: float = Field(30, gt=0)
    messages_burst: int = Field(1, ge=1)
    chat_messages_per_second: float = Field(2, gt=0)
    chat_burst: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _webhook_has_secret(self) -> Self:
        if self.mode == "webhook" and self.secret is None:
            raise ValueError('a webhook needs a secret; mode = "polling" needs none and is for trying out')
        return self


class MaxChannel:
    """One bot. In webhook mode updates are posted to it, in polling mode it takes them itself."""

    name = NAME

    def __init__(
        self,
        settings: Settings,
        lent: Lent,
        pauses: Pauses | None = None,
        hook_check_seconds: float = HOOK_CHECK_SECONDS,
        poll_spacing_seconds: float = POLL_SPACING_SECONDS,
        processing_pauses_seconds: Sequence[float] = PROCESSING_PAUSES_SECONDS,
    ) -> None:
        self.limits = Limits(
            text_length=TEXT_LENGTH,
            buttons_per_row=BUTTONS_PER_ROW,
            buttons_total=KEYBOARD_ROWS * BUTTONS_PER_ROW,
            label_length=LABEL_LENGTH,
            file_bytes=UPLOAD_BYTES,
            messages_per_second=settings.messages_per_second,
            messages_burst=settings.messages_burst,
            chat_messages_per_second=settings.chat_messages_per_second,
            chat_burst=settings.chat_burst,
        )
        self._settings = settings
        self._lent = lent
        self._pauses = pauses or Pauses()
        self._hook_check_seconds = hook_check_seconds
        self._poll_spacing_seconds = poll_spacing_seconds
        self._processing_pauses_seconds = processing_pauses_seconds
        self._api = _Api(settings)
        self._media = Wire(
            settings.proxy,
            file_hosts(settings.api_base_url, settings.media_hosts),
            settings.request_timeout_seconds,
            self._api.trust,
        )
        self._hook_url = lent.public_url.rstrip("/") + HOOK_PATH if lent.public_url else ""
        self._strangers: frozenset[str] = frozenset()
        self._half_sent = HalfSent()
        self._insisting = Insisting(NAME, self._pauses, _Refused, self._setback)
        self._uploaded = HalfSent()

    # ------------------------------------------------------------------ receiving

    async def receive(self, doors: Doors) -> None:
        """Run until cancelled. Updates are acknowledged only after `accept` has returned.

        Raises Misconfigured for an address to which MAX cannot post.
        """
        self._hook_url = doors.public_url.rstrip("/") + HOOK_PATH
        if self._settings.mode == "webhook":
            await self._keep_webhook(doors.public_url)
        else:
            await self._poll(doors)

    async def _keep_webhook(self, public_url: str) -> None:
        """Subscribe, and again whenever we no longer are: after 8 hours of failures MAX drops us silently."""
        _check_address(public_url)
        secret = self._settings.secret
        subscription = {
            "url": self._hook_url,
            "update_types": UPDATE_TYPES,
            "secret": secret.get_secret_value() if secret else "",
        }
        await self._insist("POST", "subscriptions", value=subscription)
        while True:
            hooks = _hooks(await self._insist("GET", "subscriptions"))
            if self._hook_url not in hooks:
                logger.error("max had stopped posting to us; we are subscribed again")
                await self._insist("POST", "subscriptions", value=subscription)
            self._tell_of_strangers(hooks, "max also posts to somebody else")
            await asyncio.sleep(self._hook_check_seconds)

    async def _poll(self, doors: Doors) -> None:
        """Take updates in order. Without a marker MAX gives only the latest, so one is asked for at once."""
        marker = int(doors.cursor) if doors.cursor and doors.cursor.isdigit() else None
        loop = asyncio.get_running_loop()
        hooks_checked_at = -self._hook_check_seconds
        while True:
            started_at = loop.time()
            if started_at - hooks_checked_at >= self._hook_check_seconds:
                await self._end_webhook()
                hooks_checked_at = started_at
            answer = await self._insist("GET", "updates", self._poll_params(marker))
            updates, following = answer.get("updates"), answer.get("marker")
            if isinstance(updates, list):
                following = following if type(following) is int else marker
                if updates or following != marker:
                    await self._store(doors, updates, following)
                marker = following
            await asyncio.sleep(max(0.0, self._poll_spacing_seconds - (loop.time() - started_at)))

    def _poll_params(self, marker: int | None) -> dict[str, str]:
        timeout_seconds = 0 if marker is None else self._settings.poll_timeout_seconds
        params = {"limit": "100", "timeout": str(timeout_seconds), "types": ",".join(UPDATE_TYPES)}
        return params if marker is None else {"marker": str(marker), **params}

    async def _store(self, doors: Doors, updates: Sequence[Json], marker: int | None) -> None:
        """Hand the updates over until they are stored; asking anew would lose those without a marker."""
        now, failures = doors.now(), 0
        inbounds = [parse(update, now) for update in updates]
        cursor = None if marker is None else Cursor(NAME, str(marker))
        while True:
            try:
                await doors.accept(inbounds, cursor)
            except Exception as error:  # noqa: BLE001 - whatever kept them from being stored
                failures += 1
                pause = self._pauses.after(failures)
                logger.error(  # noqa: TRY400 - the traceback may hold the client's words
                    "updates of max were not stored; we try again",
                    error=type(error).__name__,
                    retry_in_seconds=round(pause, 1),
                )
                await asyncio.sleep(pause)
            else:
                return

    async def _end_webhook(self) -> None:
        """While a webhook is set polling finds nothing. We end our own; a stranger's is not ours to end."""
        hooks = _hooks(await self._insist("GET", "subscriptions"))
        if self._hook_url in hooks:
            await self._insist("DELETE", "subscriptions", {"url": self._hook_url})
            logger.info("our webhook at max is ended: it would keep updates from polling")
        self._tell_of_strangers(hooks, "max posts the updates to somebody else, so polling finds nothing")

    def _tell_of_strangers(self, hooks: Sequence[str], sentence: str) -> None:
        strangers = frozenset(_hosts(hooks, self._hook_url))
        if strangers - self._strangers:
            logger.error(sentence, hosts=sorted(strangers))
        self._strangers = strangers

    async def _insist(
        self, verb: _Verb, path: str, params: Mapping[str, str] | None = None, value: Json = None
    ) -> Json:
        within_seconds = self._settings.request_timeout_seconds + int((params or {}).get("timeout", 0))
        return await self._insisting.until_done(
            lambda: self._api.call(verb, path, params, value, within_seconds), endpoint=path
        )

    def _setback(self, refused: _Refused, failures: int) -> Setback:
        sentence = _REFUSALS.get(refused.status, "max refuses to work")
        if refused.status == HTTPStatus.UNAUTHORIZED:
            return Setback(sentence, str(refused), self._pauses.misconfigured_seconds)
        return Setback(sentence, str(refused), refused.after_seconds or self._pauses.after(failures))

    # ------------------------------------------------------------------ the webhook

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """Give the webhook, in webhook mode only."""
        secret = self._settings.secret
        if self._settings.mode != "webhook" or secret is None:
            return ()
        hook = Hook(NAME, HOOK_PATH, SECRET_HEADER, secret.get_secret_value(), MAX_HOOK_BYTES)

        def read(update: Json) -> Inbound | None:
            return parse(update, doors.now()) if isinstance(update, dict) else None

        return (hook.route(doors, read),)

    # ------------------------------------------------------------------ sending

    async def send(self, parcel: Parcel) -> Outcome:
        """Send the text with the first file, then the other files; the last message carries the buttons.

        A parcel of several messages that stopped half-way goes on from there when it comes again.
        """

        async def send_one(number: int, message: _Message) -> str:
            if number:  # delivery counts a parcel as one message, MAX does not
                await asyncio.sleep(1 / self.limits.chat_messages_per_second)
            return await self._deliver(message, f"{parcel.key} {number}")

        return await self._half_sent.send_all(
            parcel.key, _messages(parcel), send_one, _Refused, lambda refused: refused.outcome
        )

    async def _deliver(self, message: _Message, place: str) -> str:
        """Send one message and give its key. A file that is still being processed is waited for.

        What was uploaded and not sent is remembered under `place`: uploaded anew, a large file would
        never be ready in time.
        """
        if message.file is None:
            return await self._api.send_message(message)
        _, token = self._uploaded.take(place)
        pauses = iter(self._processing_pauses_seconds)
        is_sent = False
        try:
            token = token or await self._api.upload(message.file, self._lent)
            while True:
                try:
                    message_key = await self._api.send_message(message, token)
                except _Refused as refused:
                    pause = next(pauses, None)
                    if pause is None or not refused.is_not_ready:
                        raise
                    await asyncio.sleep(pause)
                else:
                    is_sent = True
                    return message_key
        finally:
            if token and not is_sent:
                self._uploaded.keep(place, 1, token)

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """Stop the spinner. It may be too old, or the person gone: of no interest."""
        if inbound.acknowledge is None:
            return
        try:
            # The smallest answer that holds one of the two fields: nothing is shown and nothing changed.
            params = {"callback_id": inbound.acknowledge}
            await self._api.call("POST", "answers", params, {"notification": ""})
        except (Fault, _Refused):
            logger.debug("a press was not acknowledged", channel=NAME)

    # ------------------------------------------------------------------ the rest

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Stream a file in chunks. Raises FileRefused or FileUnavailable: its link lives about a day."""
        if (file.size_bytes or 0) > MAX_FILE_BYTES:
            raise FileRefused("the file is over 20 MB")
        head, is_video, token = file.reference.partition(_VIDEO)
        url = await self._video_url(token) if is_video and not head else file.reference
        async for chunk in self._media.download(url):
            yield chunk

    async def _video_url(self, token: str) -> str:
        try:
            found = await self._api.call("GET", f"videos/{quote(token, safe='')}")
        except (Fault, _Refused) as error:
            raise FileUnavailable(str(error)) from None
        urls = found.get("urls") or {}
        for size in _VIDEO_SIZES:
            if isinstance(urls, dict) and isinstance(urls.get(size), str):
                return str(urls[size])
        raise FileUnavailable("MAX gives no address for the video")

    async def health(self) -> Health:
        """Ask who we are, and whether the updates come to us."""
        try:
            me = await self._api.call("GET", "me")
            hooks = _hooks(await self._api.call("GET", "subscriptions"))
        except Fault as fault:
            return Health(reachable=False, detail=f"MAX does not answer: {fault}")
        except _Refused as refused:
            return Health(reachable=False, detail=_REFUSALS.get(refused.status, str(refused)))
        strangers = ", ".join(_hosts(hooks, self._hook_url))
        is_posted = self._settings.mode == "webhook"
        if is_posted and self._hook_url and self._hook_url not in hooks:
            detail = "MAX does not post to us: priem run subscribes when it starts and every few minutes"
            return Health(reachable=False, detail=detail)
        if not is_posted and hooks:
            detail = f"MAX posts the updates to {strangers or 'our own webhook'}, so polling finds nothing"
            return Health(reachable=False, detail=detail)
        name = str(me.get("username") or "")
        link = f"https://max.ru/{quote(name)}?start={{code}}" if name else ""
        also = f"; MAX also posts to {strangers}" if strangers else ""
        return Health(reachable=True, detail=f"@{name}{also}", link=link)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._media.close()


def _check_address(public_url: str) -> None:
    address = urlsplit(public_url)
    if address.hostname in ("localhost", "127.0.0.1"):
        return
    if address.scheme != "https" or address.port not in (None, 443):
        raise Misconfigured(
            '[bots.max] mode = "webhook" needs a [server] public_url that begins with https:// and has no '
            "port: MAX posts to port 443 only"
        )


def _hooks(answer: Json) -> list[str]:
    found = answer.get("subscriptions")
    each_url = (each.get("url") for each in found or () if isinstance(each, dict))
    return [url for url in each_url if isinstance(url, str)]


def _hosts(hooks: Sequence[str], ours: str) -> list[str]:
    """Whom MAX posts to besides us; only the hosts, for a path may be somebody's secret."""
    return sorted({urlsplit(hook).hostname or "somebody" for hook in hooks if hook != ours})


def open_channel(settings: Settings, lent: Lent) -> MaxChannel:
    """Make the channel; imports aiomax."""
    return MaxChannel(settings, lent)


CHANNEL = ChannelKind(NAME, Settings, open_channel, plain("MAX"))


# ---------------------------------------------------------------------- updates


def parse(update: Json, now: datetime) -> Inbound:
    """Turn one update into what it means for us.

    What fits no schema is never an error: OTHER when it can be told whose message it is, else IGNORED.
    """
    event_key = _event_key(update)
    try:
        reader = _READERS.get(update["update_type"])
        found = reader(event_key, update) if reader else None
    except MISSHAPEN as error:
        logger.warning("an update of max fits no schema", event_key=event_key, error=type(error).__name__)
        found = readable(NAME, lambda: _read_whose(event_key, update, now))
    return found or Inbound(NAME, event_key, "", "", now, InboundKind.IGNORED)


def _event_key(update: Json) -> str:
    """MAX numbers no updates: each kind is told by what is its own and comes again with a repetition."""
    try:
        key = _KEYS[update["update_type"]](update)
    except (KeyError, TypeError, ValueError, AttributeError):
        try:
            key = f"other:{hashlib.sha256(repr(update).encode('utf-8', 'replace')).hexdigest()}"
        except RecursionError:
            key = "other:too deep to be read"
    if len(key) > _LONGEST_EVENT_KEY:
        kind = key.partition(":")[0]
        key = f"{kind}:{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}"
    return key


def _of_dialog(update: Json) -> str:
    return f"{update['update_type']}:{whole_number(update['chat_id'])}:{whole_number(update['timestamp'])}"


_KEYS: Mapping[str, Callable[[Json], str]] = {
    "message_created": lambda update: f"created:{clean(update['message']['body']['mid'])}",
    "message_edited": lambda update: (
        f"edited:{clean(update['message']['body']['mid'])}:{whole_number(update['timestamp'])}"
    ),
    "message_removed": lambda update: f"removed:{clean(update['message_id'])}",
    "message_callback": lambda update: (
        f"callback:{clean(update['callback']['callback_id'])}:{whole_number(update['callback']['timestamp'])}"
    ),
    "bot_started": _of_dialog,
    "bot_stopped": _of_dialog,
    "dialog_removed": _of_dialog,
}


def _read_created(event_key: str, update: Json) -> Inbound | None:
    message = update["message"]
    sender = message.get("sender")
    if message["recipient"]["chat_type"] != "dialog" or sender is None or sender.get("is_bot"):
        return None
    kind, text, more = _content(message)
    # A message that only passes on another one has no body of its own, and so no key.
    mid = (message.get("body") or {}).get("mid")
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=_user_key(sender["user_id"]),
        chat_key=_user_key(sender["user_id"]),
        sent_at=_time(message["timestamp"]),
        kind=kind,
        text=text,
        message_key=None if mid is None else short_key(mid),
        user_name=_name(sender),
        **more,
    )


def _read_whose(event_key: str, update: Json, now: datetime) -> Inbound | None:
    """Of a message that cannot be read: from whom it is, so that they are told."""
    if update["update_type"] != "message_created":
        return None
    message = update["message"]
    sender = message["sender"]
    if message["recipient"]["chat_type"] != "dialog" or sender.get("is_bot"):
        return None
    user_key = _user_key(sender["user_id"])
    return Inbound(NAME, event_key, user_key, user_key, now, InboundKind.OTHER, UNREADABLE_MESSAGE)


def _content(message: Json) -> tuple[InboundKind, str, dict[str, Any]]:
    """What was said, together with what was passed on; what is only replied to was said before."""
    bodies = [message.get("body") or {}]
    link = message.get("link") or {}
    if link.get("type") == "forward":
        bodies.append(link["message"])
    text = "\n".join(filter(None, (clean(body.get("text") or "") for body in bodies)))
    attachments = [each for body in bodies for each in body.get("attachments") or ()]
    found = [readable(NAME, partial(_attached, each)) for each in attachments if not _is_keyboard(each)]
    taken = tuple(each for each in found if isinstance(each, IncomingFile))
    asides = [each or UNREADABLE for each in found if each is None or isinstance(each, str)]
    if taken:
        return InboundKind.FILE, with_asides(text, asides), {"files": taken}
    contact = next((each for each in found if isinstance(each, Contact)), None)
    if contact is not None:
        return InboundKind.CONTACT, with_asides(text, asides), {"contact": contact}
    links = [each.text for each in found if isinstance(each, _Link)]
    # The app itself adds a link to words in which it finds one.
    text = text or "\n".join(filter(None, links))
    if text:
        return _typed(text, asides)
    nothing = "пустая ссылка" if links else "сообщение незнакомого вида"
    return InboundKind.OTHER, ", ".join(asides) or nothing, {}


def _typed(text: str, asides: Sequence[str]) -> tuple[InboundKind, str, dict[str, Any]]:
    command, _space, rest = text.partition(" ")
    if command == "/start":
        return InboundKind.STARTED, text, {"start_code": rest.strip() or None}
    return InboundKind.TEXT, with_asides(text, asides), {}


def _read_edited(event_key: str, update: Json) -> Inbound | None:
    inbound = _read_created(event_key, update)
    if inbound is None:
        return None
    sent_at = _time(update["timestamp"])
    return replace(inbound, kind=InboundKind.EDITED, sent_at=sent_at, contact=None, start_code=None)


def _read_removed(event_key: str, update: Json) -> Inbound | None:
    user_key = _user_key(update["user_id"])
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=user_key,
        chat_key=user_key,
        sent_at=_time(update["timestamp"]),
        kind=InboundKind.DELETED,
        message_key=short_key(update["message_id"]),
    )


def _read_press(event_key: str, update: Json) -> Inbound | None:
    press = update["callback"]
    # There is no message when it was deleted in the meantime.
    message = update.get("message") or {}
    if message.get("recipient", {}).get("chat_type", "dialog") != "dialog":
        return None
    mid = (message.get("body") or {}).get("mid")
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=_user_key(press["user"]["user_id"]),
        chat_key=_user_key(press["user"]["user_id"]),
        sent_at=_time(press["timestamp"]),
        kind=InboundKind.BUTTON,
        button=clean(press["payload"]),
        message_key=None if mid is None else short_key(mid),
        user_name=_name(press["user"]),
        acknowledge=clean(press["callback_id"]),
    )


def _read_dialog(kind: InboundKind) -> Callable[[str, Json], Inbound]:
    def read(event_key: str, update: Json) -> Inbound:
        user = update["user"]
        return Inbound(
            channel=NAME,
            event_key=event_key,
            user_key=_user_key(user["user_id"]),
            chat_key=_user_key(user["user_id"]),
            sent_at=_time(update["timestamp"]),
            kind=kind,
            start_code=clean(update.get("payload") or "").strip() or None,
            user_name=_name(user),
        )

    return read


_READERS: Mapping[Json, Callable[[str, Json], Inbound | None]] = {
    "message_created": _read_created,
    "message_callback": _read_press,
    "message_edited": _read_edited,
    "message_removed": _read_removed,
    "bot_started": _read_dialog(InboundKind.STARTED),
    "bot_stopped": _read_dialog(InboundKind.BLOCKED),
    "dialog_removed": _read_dialog(InboundKind.BLOCKED),
}

_FILES: Mapping[Json, tuple[FileRole, str]] = {
    "image": (FileRole.PHOTO, "Фото.jpg"),
    "video": (FileRole.VIDEO, "Видео.mp4"),
    "audio": (FileRole.VOICE, "Голосовое сообщение.mp3"),
    "file": (FileRole.DOCUMENT, "Файл"),
}
"""Kind of an attachment → how it is shown, and its name when it has none."""

_VIDEO = "video:"
"""The address that comes with a video is a page to look at it; the file is asked for by its token."""

_VIDEO_SIZES = ("mp4_720", "mp4_480", "mp4_360", "mp4_240", "mp4_144", "mp4_1080")
"""The best first, but the largest last: we take 20 MB."""


def _is_keyboard(attachment: Json) -> bool:
    """Whether it is what a bot, whose message is passed on, had under its words."""
    return isinstance(attachment, dict) and attachment.get("type") in ("inline_keyboard", "reply_keyboard")


@dataclass(frozen=True, slots=True)
class _Link:
    """A link with its title."""

    text: str


def _attached(attachment: Json) -> IncomingFile | Contact | _Link | str:
    """What we take of it, or what we call what we do not take."""
    kind = attachment["type"]
    if kind in _FILES:
        return _file(attachment)
    if kind == "contact":
        return _contact(attachment["payload"]) or "контакт без номера телефона"
    if kind == "share":
        return _Link(_shared(attachment))
    describe = _OTHER.get(kind)
    return describe(attachment) if describe else "вложение незнакомого вида"


def _file(attachment: Json) -> IncomingFile:
    role, default_name = _FILES[attachment["type"]]
    payload, size_bytes = attachment["payload"], attachment.get("size")
    is_film = role is FileRole.VIDEO and payload.get("token")
    return IncomingFile(
        reference=_VIDEO + clean(payload["token"]) if is_film else clean(payload["url"]),
        name=clean(attachment.get("filename") or default_name),
        size_bytes=None if size_bytes is None else int(size_bytes),
        role=role,
    )


def _contact(payload: Json) -> Contact | None:
    """Read the number off the card. How its `hash` proves that it is the sender's own is not published."""
    card = clean(payload.get("vcf_info") or "")
    phone, name = _PHONE.search(card), _FULL_NAME.search(card)
    if phone is None:
        return None
    about = payload.get("max_info")
    shown = name[1].strip() if name else _name(about) if about else ""
    return Contact(phone[1].strip(), shown, verified=False)


_PHONE = re.compile(r"^(?:\w+\.)?TEL[^:\r\n]*:(?:tel:)?([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_FULL_NAME = re.compile(r"^(?:\w+\.)?FN[^:\r\n]*:([^\r\n]+)", re.IGNORECASE | re.MULTILINE)


def _shared(attachment: Json) -> str:
    payload = attachment.get("payload") or {}
    said = (clean(each or "") for each in (attachment.get("title"), payload.get("url")))
    return "\n".join(filter(None, said))


def _place(attachment: Json) -> str:
    return f"геопозиция {float(attachment['latitude']):.5g}, {float(attachment['longitude']):.5g}"


_OTHER: Mapping[Json, Callable[[Json], str]] = {
    "sticker": lambda _: "наклейка",
    "location": _place,
}
"""What a person sent that we cannot take → what we call it."""


def _user_key(user_id: Json) -> str:
    """Dialogs are addressed by the person: MAX no longer lists them as chats."""
    if whole_number(user_id) <= 0:
        raise ValueError("a user without an id")
    return str(user_id)


def _name(user: Json) -> str:
    if user.get("name"):
        return clean(user["name"])
    names = (clean(user.get(part) or "") for part in ("first_name", "last_name"))
    return " ".join(filter(None, names))


def _time(unix_milliseconds: Json) -> datetime:
    return datetime.fromtimestamp(unix_milliseconds / 1000, UTC)


# ---------------------------------------------------------------------- messages


@dataclass(frozen=True, slots=True)
class _Message:
    """What goes with one request; a file must be the only one in its message."""

    user_key: str
    text: str
    rows: tuple[tuple[ShownButton, ...], ...] = ()
    file: OutgoingFile | None = None


def _messages(parcel: Parcel) -> list[_Message]:
    if not parcel.text and not parcel.files:
        return []
    attached = parcel.files or (None,)
    last = len(attached) - 1
    return [
        _Message(
            user_key=parcel.chat_key,
            text=parcel.text if number == 0 else "",
            rows=parcel.rows if number == last else (),
            file=file,
        )
        for number, file in enumerate(attached)
    ]


def _laid(rows: tuple[tuple[ShownButton, ...], ...]) -> Sequence[Sequence[ShownButton]]:
    """Put side by side only what a phone shows whole; a keyboard that would be too high is laid wider."""
    laid: list[Sequence[ShownButton]] = []
    for row in rows:
        fits = all(len(button.label) <= _SHOWN_LENGTHS.get(len(row), 3) for button in row)
        laid += [row] if len(row) == 1 or fits else [(button,) for button in row]
    if len(laid) <= KEYBOARD_ROWS:
        return laid
    buttons = [button for row in rows for button in row]
    width = ceil(len(buttons) / KEYBOARD_ROWS)
    return [buttons[start : start + width] for start in range(0, len(buttons), width)]


_SHOWN_LENGTHS = {2: 10, 3: 5}
"""Buttons in a row → characters of a label that are seen, as MAX's documentation has them."""


# ---------------------------------------------------------------------- refusals


class _Refused(Exception):  # noqa: N818
    """MAX took the request and said no; the sentence is its own, without the token."""

    def __init__(self, status: int, code: str, words: str, after_seconds: float | None = None) -> None:
        super().__init__(f"{words or 'no reason is given'} ({status} {code})")
        self.status = status
        self.code = code
        self.words = words
        self.after_seconds = after_seconds

    @property
    def is_not_ready(self) -> bool:
        """Whether a file is still being processed; MAX also says so with 200 and `success: false`."""
        return self.code == "attachment.not.ready" or self.status == HTTPStatus.OK

    @property
    def outcome(self) -> Outcome:
        if self.is_not_ready:
            return Retry(reason=str(self))
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Retry(reason=str(self), whole_channel=True)
        if self.status == HTTPStatus.NOT_FOUND and self.code not in _NOBODY:
            return Rejected(str(self))
        return _OUTCOMES.get(self.status, _rejected)(self)


class _Denied(_Refused):
    """MAX denies the bot itself, whomever it writes to."""

    @property
    def outcome(self) -> Outcome:
        return TokenRevoked(f"{_REFUSALS[self.status]}: {self}")


class _Undecided(Fault):
    """A message was refused, and whether that is for the sake of its reader cannot be told now."""

    @property
    def outcome(self) -> Outcome:
        return Retry(reason=str(self))


def _rejected(refused: _Refused) -> Outcome:
    return Rejected(str(refused))


_OUTCOMES: Mapping[int, Callable[[_Refused], Outcome]] = {
    401: lambda refused: TokenRevoked(str(refused)),  # verify.token
    # Its codes are published nowhere; a denial of the bot as a whole is a `_Denied`.
    403: lambda refused: Blocked(str(refused)),
    404: lambda refused: Blocked(str(refused)),  # chat.not.found
    # 2 messages a second for a dialog, 30 for the bot: the answer is the same. Delivery keeps to both,
    # so the narrower one is more likely met, and one person's silence must not be everybody's.
    429: lambda refused: Retry(refused.after_seconds or _RATE_WINDOW_SECONDS, str(refused)),
}
"""https://dev.max.ru/docs-api, the section on answers of the server; all others refuse this message."""

_RATE_WINDOW_SECONDS = 1.0

_NOBODY = ("chat.not.found", "dialog.not.found", "user.not.found")

_REFUSALS: Mapping[int, str] = {
    401: "max does not know this token: put the one from MAX's page for partners into [bots.max]",
    403: "max denies this bot the API: look whether it has passed moderation",
    429: "max asks for silence",
}


class _NotUploaded(Fault):
    """The file did not get to MAX; nothing was sent, and the text of others is not concerned."""

    @property
    def outcome(self) -> Outcome:
        return Retry(reason=str(self))


# ---------------------------------------------------------------------- the wire

_Verb = Literal["GET", "POST", "DELETE"]


class _Api:
    """The Bot API through aiomax's `Bot`. Raises `Fault`, or `_Refused`."""

    def __init__(self, settings: Settings) -> None:
        from aiomax import Bot, FileAttachment, buttons, utils  # type: ignore[import-untyped]

        self._settings = settings
        self._base_url = URL(settings.api_base_url.rstrip("/") + "/")
        self._token = settings.token.get_secret_value()
        # Given with each request and not to the session, which also carries files to other hosts.
        self._headers = {"Authorization": self._token}
        self._bot = Bot(self._token, max_messages_cached=0, api_url=str(self._base_url))
        self._verbs = {"GET": self._bot.get, "POST": self._bot.post, "DELETE": self._bot.delete}
        self._file, self._button, self._body = (
            FileAttachment,
            buttons.CallbackButton,
            utils.get_message_body,
        )
        self._session: ClientSession | None = None
        self._ministry: ssl.SSLContext | None = None
        self._not_sent, self._lost = network_errors()

    async def call(
        self,
        verb: _Verb,
        path: str,
        params: Mapping[str, str] | None = None,
        value: Json = None,
        within_seconds: float | None = None,
    ) -> dict[str, Json]:
        """Ask once and give the answer."""
        self._opened()
        body = {} if value is None else {"data": orjson.dumps(value)}
        typed = {} if value is None else {"Content-Type": "application/json"}
        try:
            response = await self._verbs[verb](
                path,
                params=dict(params or {}),
                headers=self._headers | typed,
                timeout=self._within(within_seconds or self._settings.request_timeout_seconds),
                ssl=self.trust(self._base_url),
                allow_redirects=False,
                **body,
            )
            said = decoded(await response.read())
        except self._not_sent as error:
            raise NotSent(type(error).__name__) from None
        except self._lost as error:
            raise AnswerLost(type(error).__name__) from None
        if not isinstance(said, dict):
            raise AnswerLost("the answer is cut short")
        if said.get("success") is False:
            raise _Refused(HTTPStatus.OK, "", self._hushed(said.get("message")))
        return said

    async def send_message(self, message: _Message, token: str | None = None) -> str:
        """Send one message, with an uploaded file, and give its key."""
        keyboard = [
            [self._button(button.label, button.press) for button in row] for row in _laid(message.rows)
        ]
        attached = [self._file(token)] if token else None
        body = self._body(message.text or None, keyboard=keyboard, attachments=attached)
        params = {"user_id": message.user_key, "disable_link_preview": "true"}
        try:
            said = (await self.call("POST", "messages", params, body)).get("message")
        except _Refused as refused:
            if refused.status == HTTPStatus.FORBIDDEN:
                await self._be_known()
            raise
        if not isinstance(said, dict):
            raise AnswerLost("the answer is cut short")
        # It was taken; a missing key only means that the message cannot be named later.
        return str((said.get("body") or {}).get("mid") or "")

    async def _be_known(self) -> None:
        """Raise `_Denied` when MAX denies us even who we are, `_Undecided` when that cannot be found out."""
        try:
            await self.call("GET", "me")
        except _Refused as refused:
            if refused.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise _Denied(refused.status, refused.code, refused.words) from None
            raise _Undecided(str(refused)) from None
        except Fault as fault:
            raise _Undecided(str(fault)) from None

    async def upload(self, file: OutgoingFile, lent: Lent) -> str:
        """Bring a file to MAX and give the token under which it is sent. Raises OSError for a lost file."""
        from aiohttp import FormData

        path = await asyncio.to_thread(lent.files.path, file.sha256)
        with await asyncio.to_thread(path.open, "rb") as content:
            target = await self._upload_target()
            # Names go as they are, for nobody says that MAX undoes percent-encoding.
            form = FormData(quote_fields=False)
            form.add_field(
                "data",
                content,
                filename=header_safe(file.name),
                content_type="application/octet-stream",
            )
            uploading_seconds = file.size_bytes / SLOWEST_UPLOAD_BYTES_PER_SECOND
            try:
                async with self._opened().post(
                    target,
                    data=form,
                    timeout=self._within(self._settings.request_timeout_seconds + uploading_seconds),
                    ssl=self.trust(target),
                    allow_redirects=False,
                    raise_for_status=False,
                ) as response:
                    body = await response.read()
            except (*self._not_sent, *self._lost) as error:
                raise _NotUploaded(f"the upload failed: {type(error).__name__}") from None
        said = decoded(body)
        if isinstance(said, dict) and isinstance(said.get("token"), str):
            return str(said["token"])
        if b"extension is forbidden" in body:
            raise _Refused(HTTPStatus.BAD_REQUEST, "", "MAX takes no files of this kind")
        raise _NotUploaded(f"the upload was answered with {response.status} and no token")

    async def _upload_target(self) -> URL:
        try:
            target = URL((await self.call("POST", "uploads", {"type": "file"})).get("url") or "")
        except _Refused as refused:
            # Only a message is refused for the sake of its reader.
            if refused.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                raise _NotUploaded(str(refused)) from None
            raise
        except AnswerLost as lost:
            raise _NotUploaded(str(lost)) from None
        except (TypeError, ValueError):
            raise _NotUploaded("MAX gave no address for the file") from None
        hosts = file_hosts(self._settings.api_base_url, self._settings.media_hosts)
        if target.scheme not in ("http", "https") or not _is_below(target, hosts):
            raise _NotUploaded("MAX wants the file on a host that is not in the list of media hosts")
        return target

    async def _refuse(self, response: ClientResponse) -> None:
        """Read a refusal before aiomax does, whose exceptions forget the status and the headers."""
        if response.status == HTTPStatus.OK:
            return
        said = decoded(await response.read())
        after_seconds = retry_after(response.headers)
        if isinstance(said, dict) and isinstance(said.get("code"), str):
            code, words = self._hushed(said["code"]), self._hushed(said.get("message"))
            raise _Refused(response.status, code, words, after_seconds)
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise _Refused(response.status, "", "", after_seconds)
        raise Misanswered(f"status {response.status} from somebody who is not MAX")

    def _hushed(self, words: Json) -> str:
        return str(words or "").replace(self._token, "…")

    def _opened(self) -> ClientSession:
        if self._session is None:
            import aiohttp

            proxy = self._settings.proxy
            self._session = self._bot.session = aiohttp.ClientSession(
                self._base_url,
                connector=proxied_connector(proxy.get_secret_value() if proxy else None),
                cookie_jar=aiohttp.DummyCookieJar(),
                raise_for_status=self._refuse,
            )
        return self._session

    def trust(self, url: URL) -> ssl.SSLContext | bool:
        """Only MAX's own hosts may show a certificate under the Ministry's root."""
        if not self._settings.use_ministry_certificate or not _is_below(url, MAX_HOSTS):
            return True
        if self._ministry is None:
            self._ministry = ministry_trust()
        return self._ministry

    def _within(self, seconds: float) -> ClientTimeout:
        from aiohttp import ClientTimeout

        return ClientTimeout(seconds, connect=CONNECT_SECONDS)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._session = self._bot.session = None


def _is_below(url: URL, hosts: Sequence[str]) -> bool:
    host = (url.host or "").lower().rstrip(".")
    return any(host == each or host.endswith(f".{each}") for each in hosts)


def ministry_trust() -> ssl.SSLContext:
    """Trust the system's roots and the Ministry's, which aiomax brings along."""
    trust = ssl.create_default_context()
    with as_file(files("aiomax") / "russian_trusted_root_ca.cer") as root:
        trust.load_verify_locations(cafile=root)
    return trust
