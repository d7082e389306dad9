"""Viber: https://developers.viber.com/docs/api/rest-bot-api/.

viberbot writes the requests: its `Api` and its message classes know the endpoints and the fields. They
are taken from its hands before it posts them, for its own way of posting waits without end, knows no
SOCKS and writes the token into the log; our `Wire` carries them. Viber has only a webhook: whoever
opens the chat is welcomed in the answer to it, everything else goes through the house.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import PurePath
from typing import Annotated
from urllib.parse import quote, urlsplit

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bots.base import MAX_FILE_BYTES, ChannelKind, Doors, FileRefused, Health, Lent, Limits, Misconfigured
from bots.wire import (
    MISSHAPEN,
    UNREADABLE,
    UNREADABLE_MESSAGE,
    AnswerLost,
    BaseUrl,
    Fault,
    HalfSent,
    Insisting,
    Json,
    Misanswered,
    Parts,
    Pauses,
    ProxyAddress,
    Setback,
    Wire,
    clean,
    decoded,
    file_hosts,
    limited_body,
    matches,
    readable,
    retry_after,
    short_key,
    stored,
    with_asides,
)
from forms.messages import (
    MAX_PRESS_BYTES,
    Contact,
    Delivery,
    DeliveryState,
    FileRole,
    Inbound,
    InboundKind,
    IncomingFile,
    OutgoingFile,
)
from forms.texts import _, lines, plain
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

logger = structlog.get_logger(__name__)

NAME = "viber"
HOOK_PATH = "/hooks/viber"
SIGNATURE_HEADER = "X-Viber-Content-Signature"
TOKEN_HEADER = "X-Viber-Auth-Token"  # noqa: S105 - a header's name
_HOOK_REFUSALS = {
    "size": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "signature": HTTPStatus.FORBIDDEN,
    "malformed": HTTPStatus.BAD_REQUEST,
}
EVENT_TYPES = ("delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started")
"""Messages come without being asked for, as does the event "webhook"."""
MAX_HOOK_BYTES = 256 * 1024

TEXT_LENGTH = 6000
"""Viber takes 7000 characters, but also no more than 30 KB of JSON: this leaves room for the keyboard
in any alphabet."""
SENDER_NAME_LENGTH = 28
FILE_NAME_LENGTH = 256
UPLOAD_BYTES = 50 * 1024 * 1024

KEYBOARD_COLUMNS = 6
KEYBOARD_ROWS = 12
"""What a phone held upright shows."""
BUTTONS_PER_ROW = 3

HOOK_CHECK_SECONDS = 300
_SILENT_USER_SECONDS = 600
"""A person who does not reply is written to 100 times an hour, and nobody says when the hour ends."""


class Settings(BaseModel):
    """Section `[bots.viber]`. Clients' files are fetched from `api_base_url` and `media_hosts` alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Annotated[
        SecretStr,
        matches(
            r"[0-9A-Za-z]+(-[0-9A-Za-z]+)+", "a bot's token looks like 445da6az1s345z78-dazcczb-e0vc5fva"
        ),
    ]
    sender_name: str = Field("", max_length=SENDER_NAME_LENGTH)
    sender_avatar: str = Field("", pattern=r"^(https://\S+)?$")
    api_base_url: BaseUrl = "https://chatapi.viber.com"
    proxy: ProxyAddress | None = None
    media_hosts: tuple[str, ...] = ("viber.com",)
    request_timeout_seconds: float = Field(20, gt=0)
    # Viber counts only mass mailings, 500 requests in 10 seconds, and 100 messages an hour to a person
    # who does not reply. We send one by one and evenly, no faster than it takes mailings.
    messages_per_second: float = Field(50, gt=0)
    messages_burst: int = Field(1, ge=1)
    chat_messages_per_second: float = Field(1, gt=0)
    chat_burst: int = Field(2, ge=1)


class ViberChannel:
    """One bot. Its webhook is registered when it begins to receive, and watched from then on."""

    name = NAME

    def __init__(
        self,
        settings: Settings,
        lent: Lent,
        pauses: Pauses | None = None,
        hook_check_seconds: float = HOOK_CHECK_SECONDS,
    ) -> None:
        self.limits = Limits(
            text_length=TEXT_LENGTH,
            buttons_per_row=BUTTONS_PER_ROW,
            buttons_total=24,
            label_length=60,
            file_bytes=UPLOAD_BYTES,
            messages_per_second=settings.messages_per_second,
            messages_burst=settings.messages_burst,
            chat_messages_per_second=settings.chat_messages_per_second,
            chat_burst=settings.chat_burst,
        )
        self._lent = lent
        self._pauses = pauses or Pauses()
        self._token = settings.token.get_secret_value()
        self._base_url = settings.api_base_url.rstrip("/")
        self._wire = Wire(
            settings.proxy,
            file_hosts(settings.api_base_url, settings.media_hosts),
            settings.request_timeout_seconds,
        )
        sender_name = settings.sender_name or lent.firm[:SENDER_NAME_LENGTH]
        self._requests = _Requests(sender_name, settings.sender_avatar)
        self._hook_check_seconds = hook_check_seconds
        self._hook_url = ""
        self._half_sent = HalfSent()
        self._insisting = Insisting(NAME, self._pauses, _Refused, self._setback)
        self._parts = Parts()

    # ------------------------------------------------------------------ receiving

    async def receive(self, doors: Doors) -> None:
        """Run until cancelled: register the webhook, and again whenever somebody else changed it."""
        self._hook_url = _hook_url(doors.public_url)
        registration = self._requests.set_webhook(self._hook_url)
        await self._insist(registration)
        while True:
            await asyncio.sleep(self._hook_check_seconds)
            account = await self._insist(self._requests.get_account_info())
            if account.get("webhook") != self._hook_url:
                logger.error("somebody changed the webhook of viber; it is set again")
                await self._insist(registration)

    async def _insist(self, request: _Request) -> Json:
        return await self._insisting.until_done(lambda: self._ask(request), endpoint=request.endpoint)

    def _setback(self, refused: _Refused, _failures: int) -> Setback:
        sentence = _MISCONFIGURED.get(refused.status, "viber refuses to work")
        return Setback(sentence, str(refused), self._pauses.misconfigured_seconds)

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """Give the webhook."""

        async def hook(request: Request) -> Response:
            body = await limited_body(request, MAX_HOOK_BYTES)
            event = decoded(body or b"")
            refusal = self._refusal(body, event, request.headers.get(SIGNATURE_HEADER))
            if refusal is not None:
                doors.refused(refusal)
                return Response(status_code=_HOOK_REFUSALS[refusal])
            if event.get("event") in ("webhook", "conversation_started"):
                return self._welcome(event) if event["event"] == "conversation_started" else Response()
            inbound = self._parts.news(parse(event, doors.now()))
            if inbound is None:
                return Response()
            return Response(status_code=await stored(doors, NAME, inbound))

        return (Route(HOOK_PATH, hook, methods=["POST"]),)

    def _refusal(self, body: bytes | None, event: Json, signature: str | None) -> str | None:
        """Why a post is turned away, None when it is not."""
        if body is None:
            return "size"
        # Viber tries the address while it is being registered, and does not always sign then.
        is_trial = signature is None and isinstance(event, dict) and event.get("event") == "webhook"
        expected = hmac.digest(self._token.encode(), body, "sha256").hex()
        if not is_trial and not hmac.compare_digest(expected.encode(), (signature or "").lower().encode()):
            return "signature"
        return None if isinstance(event, dict) else "malformed"

    def _welcome(self, event: Json) -> Response:
        """Greet whoever opened the chat, with a button that starts it.

        They have written nothing yet, so nothing of them is kept. Viber takes one message here, in the
        answer itself; somebody who is in the middle of a talk with us keeps the screen they had.
        """
        code = event.get("context")
        knows = isinstance(code, str) and re.fullmatch(_START_CODE, code)
        if event.get("subscribed") is True and not knows:
            return Response()
        firm = plain(self._lent.firm)
        greeting = _("Здесь можно передать поручение бухгалтеру и узнать, как идут дела.")
        label = self._lent.render(_("Начать"))
        keyboard = _keyboard_of([_reply(label, f"/start {code}" if knows else "/start", KEYBOARD_COLUMNS)])
        request = self._requests.send_text("", self._lent.render(lines(firm, greeting)), keyboard)
        return JSONResponse({name: value for name, value in request.params.items() if name != "receiver"})

    # ------------------------------------------------------------------ sending

    async def send(self, parcel: Parcel) -> Outcome:
        """Send the text, then the files, one message each; the last one carries the buttons.

        A parcel of several messages that stopped half-way goes on from there when it comes again.
        """
        links = [self._lent.file_link(file) for file in parcel.files]
        if not all(link.startswith("http") for link in links):
            return Rejected("Viber fetches files from our address: set [server] public_url")
        requests = self._requests.of(parcel, links)

        async def send_one(number: int, request: _Request) -> str:
            message_key = str((await self._ask(request)).get("message_token", ""))
            self._parts.sent(parcel.key, number, len(requests), message_key)
            return message_key

        outcome = await self._half_sent.send_all(
            parcel.key, requests, send_one, _Refused, lambda refused: refused.outcome
        )
        return self._parts.settled(parcel.key, outcome)

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """Viber shows no spinner."""

    # ------------------------------------------------------------------ the rest

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Stream a file in chunks. Raises FileRefused or FileUnavailable: its link lives about an hour."""
        if (file.size_bytes or 0) > MAX_FILE_BYTES:
            raise FileRefused("the file is over 20 MB")
        async for chunk in self._wire.download(file.reference):
            yield chunk

    async def health(self) -> Health:
        """Ask who we are, and whether Viber posts to us."""
        try:
            account = await self._ask(self._requests.get_account_info())
        except Fault as fault:
            return Health(reachable=False, detail=f"Viber does not answer: {fault}")
        except _Refused as refused:
            return Health(reachable=False, detail=_MISCONFIGURED.get(refused.status, str(refused)))
        if self._hook_url and account.get("webhook") != self._hook_url:
            return Health(reachable=False, detail="the webhook is set to another address")
        uri = quote(str(account.get("uri", "")))
        link = f"viber://pa?chatURI={uri}&context={{code}}" if uri else ""
        return Health(reachable=True, detail=str(account.get("name", "")), link=link)

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def _ask(self, request: _Request) -> Json:
        """Post a request and give the answer. Raises a Fault, or _Refused."""
        url = f"{self._base_url}/pa/{request.endpoint}"
        answer = await self._wire.post_json(url, request.params, {TOKEN_HEADER: self._token})
        said = answer.json
        # Viber answers 200 even when it refuses: the word is in "status".
        status = said.get("status") if isinstance(said, dict) else None
        if type(status) is int and answer.status == HTTPStatus.OK:
            if status == 0:
                return said
            reason = str(said.get("status_message", "")).replace(self._token, "…")
            raise _Refused(status, f"{reason} ({status})")
        if answer.status == HTTPStatus.OK:
            raise AnswerLost("the answer is cut short")
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise _Busy(retry_after(answer.headers))
        raise Misanswered(f"status {answer.status} from somebody who is not Viber")


def _hook_url(public_url: str) -> str:
    address = urlsplit(public_url)
    if address.scheme != "https" and address.hostname not in ("localhost", "127.0.0.1"):
        sentence = "[bots.viber] needs a [server] public_url that begins with https://"
        raise Misconfigured(sentence)
    return public_url.rstrip("/") + HOOK_PATH


def open_channel(settings: Settings, lent: Lent) -> ViberChannel:
    """Make the channel; imports viberbot."""
    return ViberChannel(settings, lent)


# What was posted in vain comes again for an hour and then never more: neither presses nor words.
CHANNEL = ChannelKind(NAME, Settings, open_channel, plain("Viber"), press_kept_seconds=3600)


# ---------------------------------------------------------------------- events


def parse(event: Mapping[str, Json], now: datetime) -> Inbound:
    """Turn one event into what it means for us.

    What fits no schema is never an error: OTHER when it can be told whose message it is, else IGNORED.
    """
    event_key = _event_key(event)
    try:
        reader = _READERS.get(event.get("event"))
        found = reader(event_key, event) if reader else None
    except MISSHAPEN as error:
        logger.warning("an event of viber fits no schema", event_key=event_key, error=type(error).__name__)
        found = readable(NAME, lambda: _read_whose(event_key, event, now))
    return found or Inbound(NAME, event_key, "", "", now, InboundKind.IGNORED)


def _event_key(event: Mapping[str, Json]) -> str:
    """Delivered, seen and failed carry the token of the message they are about, hence the name with it."""
    name, token = event.get("event"), _token(event)
    if token and isinstance(name, str) and name in _READERS:
        return f"{name}:{token}"
    return f"other:{hashlib.sha256(repr(event).encode()).hexdigest()}"


def _token(event: Mapping[str, Json]) -> str:
    """Give the number of a message. It is above 2^53, and some servers write it as a string."""
    token = event.get("message_token")
    return str(token) if re.fullmatch(r"[0-9]{1,20}", str(token)) else ""


def _read_message(event_key: str, event: Json) -> Inbound | None:
    if event.get("chat_id"):
        return None  # somebody calls us from inside another talk of theirs
    sender, message = event["sender"], event["message"]
    kind, text, more = _content(message)
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=short_key(sender["id"]),
        chat_key=short_key(sender["id"]),
        sent_at=_time(event["timestamp"]),
        kind=kind,
        text=text,
        message_key=_token(event) or None,
        user_name=clean(sender.get("name", "")),
        **more,
    )


def _read_whose(event_key: str, event: Json, now: datetime) -> Inbound | None:
    """Of a message that cannot be read: from whom it is, so that they are told."""
    if event["event"] != "message" or event.get("chat_id"):
        return None
    user_key = short_key(event["sender"]["id"])
    return Inbound(NAME, event_key, user_key, user_key, now, InboundKind.OTHER, UNREADABLE_MESSAGE)


def _content(message: Json) -> tuple[InboundKind, str, dict[str, Json]]:
    kind = message["type"]
    if kind == "text":
        return _typed(clean(message["text"]))
    if kind == "url":
        said = dict.fromkeys(clean(message.get(name) or "") for name in ("text", "media"))
        return InboundKind.TEXT, "\n".join(filter(None, said)), {}
    text = clean(message.get("text") or "")
    match readable(NAME, lambda: _attached(kind, message)):
        case IncomingFile() as file:
            return InboundKind.FILE, text, {"files": (file,)}
        case Contact() as contact:
            return InboundKind.CONTACT, text, {"contact": contact}
        case other if text:
            return InboundKind.TEXT, with_asides(text, [other or UNREADABLE]), {}
        case other:
            return InboundKind.OTHER, other or UNREADABLE, {}


def _attached(kind: Json, message: Json) -> IncomingFile | Contact | str:
    """What we take of it, or what we call what we do not take."""
    if kind in _FILES:
        return _file(message)
    if kind == "contact":
        contact = message["contact"]
        phone, name = clean(contact.get("phone_number") or ""), clean(contact.get("name") or "")
        # Nothing proves that the number is the sender's own.
        return Contact(phone, name, verified=False) if phone else "контакт без номера телефона"
    describe = _OTHER.get(kind)
    return describe(message) if describe else "сообщение незнакомого вида"


def _typed(text: str) -> tuple[InboundKind, str, dict[str, Json]]:
    """A press comes as a message with the button's ActionBody; nothing else tells it from typing."""
    _head, mark, tail = text.rpartition(_PRESS_MARK)
    if mark and tail.endswith("]") and len(tail.encode()) - 1 <= MAX_PRESS_BYTES:
        return InboundKind.BUTTON, "", {"button": tail[:-1]}
    command, _space, rest = text.partition(" ")
    if command == "/start":
        return InboundKind.STARTED, text, {"start_code": rest.strip() or None}
    return InboundKind.TEXT, text, {}


def _file(message: Json) -> IncomingFile:
    role, default_name = _FILES[message["type"]]
    size_bytes = message.get("size")
    return IncomingFile(
        reference=clean(message["media"]),
        name=clean(message.get("file_name") or default_name),
        size_bytes=None if size_bytes is None else int(size_bytes),
        role=role,
    )


def _read_membership(kind: InboundKind) -> Callable[[str, Json], Inbound]:
    def read(event_key: str, event: Json) -> Inbound:
        user_key = short_key(event["user"]["id"] if "user" in event else event["user_id"])
        return Inbound(NAME, event_key, user_key, user_key, _time(event["timestamp"]), kind)

    return read


def _read_delivery(state: DeliveryState) -> Callable[[str, Json], Inbound]:
    def read(event_key: str, event: Json) -> Inbound:
        user_key = short_key(event["user_id"])
        return Inbound(
            channel=NAME,
            event_key=event_key,
            user_key=user_key,
            chat_key=user_key,
            sent_at=_time(event["timestamp"]),
            kind=InboundKind.DELIVERY,
            message_key=_token(event) or None,
            delivery=Delivery(state, clean(event.get("desc") or "")[:200]),
        )

    return read


_READERS: Mapping[Json, Callable[[str, Json], Inbound | None]] = {
    "message": _read_message,
    # Whoever presses "subscribe" has said nothing yet that could be answered.
    "subscribed": _read_membership(InboundKind.UNBLOCKED),
    "unsubscribed": _read_membership(InboundKind.BLOCKED),
    "delivered": _read_delivery(DeliveryState.DELIVERED),
    "seen": _read_delivery(DeliveryState.READ),
    "failed": _read_delivery(DeliveryState.FAILED),
}

_FILES: Mapping[str, tuple[FileRole, str]] = {
    "picture": (FileRole.PHOTO, "Фото.jpg"),
    "video": (FileRole.VIDEO, "Видео.mp4"),
    "file": (FileRole.DOCUMENT, "Файл"),
}
"""Kind of a message → how it is shown, and its name when it has none."""


def _place(message: Json) -> str:
    location = message["location"]
    return f"геопозиция {float(location['lat']):.5g}, {float(location['lon']):.5g}"


_OTHER: Mapping[Json, Callable[[Json], str]] = {"sticker": lambda _message: "наклейка", "location": _place}
"""What a person sent that we cannot take → what we call it."""


def _time(unix_milliseconds: Json) -> datetime:
    return datetime.fromtimestamp(unix_milliseconds / 1000, UTC)


# ---------------------------------------------------------------------- refusals


class _Refused(Exception):  # noqa: N818
    """Viber took the request and said no; the sentence is its own, without the token."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status

    @property
    def outcome(self) -> Outcome:
        return _OUTCOMES.get(self.status, Rejected)(str(self))


class _Busy(Fault):
    """Something before Viber asks everybody for silence."""

    def __init__(self, after_seconds: float | None) -> None:
        super().__init__("too many requests")
        self._after_seconds = after_seconds

    @property
    def outcome(self) -> Outcome:
        return Retry(self._after_seconds, str(self), whole_channel=True)


_OUTCOMES: Mapping[int, Callable[[str], Outcome]] = {
    2: TokenRevoked,  # invalidAuthToken
    5: Blocked,  # receiverNotRegistered
    6: Blocked,  # receiverNotSubscribed
    7: TokenRevoked,  # publicAccountBlocked
    8: TokenRevoked,  # publicAccountNotFound
    9: TokenRevoked,  # publicAccountSuspended
    10: lambda reason: Retry(60, reason, whole_channel=True),  # webhookNotSet: `receive` sets it
    12: lambda reason: Retry(_SILENT_USER_SECONDS, reason),  # tooManyRequests, to this person
    15: TokenRevoked,  # publicAccountNotAuthorized
    23: WindowClosed,  # freeMessagesExceeded: only whoever wrote within 24 hours is answered free
    24: WindowClosed,  # noBalance: the same for a bot that pays
}
"""https://developers.viber.com/docs/api/rest-bot-api/#error-codes; all others refuse this message."""

_MISCONFIGURED: Mapping[int, str] = {
    1: "viber cannot post to us: public_url must be open to the world, with a certificate that all trust",
    2: "viber does not know this token: put the one from the bot's settings into [bots.viber]",
    7: "viber has blocked this bot: write to its support",
    8: "the token belongs to no bot: put the one from the bot's settings into [bots.viber]",
    9: "viber has suspended this bot: look whether it is paid for",
    15: "this bot is not authorized: write to Viber's support",
}


# ---------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True)
class _Request:
    """What is posted to an endpoint."""

    endpoint: str
    params: Mapping[str, Json]


class _Requests:
    """Requests as viberbot writes them. It holds neither the token nor a connection, and logs nothing."""

    def __init__(self, sender_name: str, sender_avatar: str) -> None:
        from viberbot import Api, BotConfiguration
        from viberbot.api.api_request_sender import ApiRequestSender

        written = self._written = list[_Request]()

        class Scribe(ApiRequestSender):  # type: ignore[misc]
            def post_request(self, endpoint: str, payload: str) -> Json:
                params = json.loads(payload)
                del params["auth_token"]
                if "sender" in params and not sender_avatar:
                    del params["sender"]["avatar"]
                written.append(_Request(endpoint, params))
                return {"status": 0, "message_token": 0, "event_types": []}

        configuration = BotConfiguration("", sender_name, sender_avatar)
        silent = logging.Logger("viberbot", level=logging.CRITICAL)  # noqa: LOG001 - heard by nobody
        self._api = Api(configuration)
        scribe = Scribe(silent, "", configuration, "")
        self._api._request_sender = self._api._message_sender._request_sender = scribe
        self._api._logger = self._api._message_sender._logger = silent

    def set_webhook(self, url: str) -> _Request:
        self._api.set_webhook(url, list(EVENT_TYPES))
        request = self._written.pop()
        return _Request(request.endpoint, {**request.params, "send_name": True})

    def get_account_info(self) -> _Request:
        self._api.get_account_info()
        return self._written.pop()

    def send_text(self, user_key: str, text: str, keyboard: Json = None) -> _Request:
        from viberbot.api.messages import TextMessage

        self._api.send_messages(user_key, TextMessage(text=text, keyboard=keyboard))
        return self._written.pop()

    def send_file(self, user_key: str, link: str, file: OutgoingFile, keyboard: Json = None) -> _Request:
        from viberbot.api.messages import FileMessage

        # Pictures too: Viber shows one only by a link that ends in .jpg, and signed links do not.
        message = FileMessage(
            media=link, size=file.size_bytes, file_name=_short_name(file.name), keyboard=keyboard
        )
        self._api.send_messages(user_key, message)
        return self._written.pop()

    def of(self, parcel: Parcel, links: Sequence[str]) -> list[_Request]:
        """Write the messages of a parcel. A message without a keyboard takes the last one away."""
        keyboard = _keyboard(parcel.rows)
        count = bool(parcel.text) + len(parcel.files)
        keyboards = [*[None] * (count - 1), keyboard]
        requests = []
        if parcel.text:
            requests.append(self.send_text(parcel.chat_key, parcel.text, keyboards.pop(0)))
        for file, link in zip(parcel.files, links, strict=True):
            requests.append(self.send_file(parcel.chat_key, link, file, keyboards.pop(0)))
        return requests


def _keyboard(rows: tuple[tuple[ShownButton, ...], ...]) -> Json:
    """Lay the buttons on six columns; a keyboard that would be too high is laid two in a row."""
    if not rows:
        return None
    if len(rows) > KEYBOARD_ROWS:
        buttons = [button for row in rows for button in row]
        rows = tuple(tuple(buttons[start : start + 2]) for start in range(0, len(buttons), 2))
    return _keyboard_of(
        [
            _reply(button.label, f"{button.label}{_PRESS_MARK}{button.press}]", KEYBOARD_COLUMNS // len(row))
            for row in rows
            for button in row
        ]
    )


def _keyboard_of(buttons: list[Json]) -> Json:
    return {"Type": "keyboard", "DefaultHeight": False, "Buttons": buttons}


def _reply(label: str, action_body: str, columns: int) -> Json:
    return {
        "Columns": columns,
        "Rows": 1,
        "ActionType": "reply",
        # An app that does not know Silent shows it as the person's own words: so the label comes first.
        "ActionBody": action_body,
        "Silent": True,
        # Viber reads labels as HTML.
        "Text": label.translate(_NO_MARKUP),
    }


_NO_MARKUP = {ord("<"): "‹", ord(">"): "›"}
_PRESS_MARK = " [priem:"
_START_CODE = r"[A-Za-z0-9_-]{1,64}"


def _short_name(name: str) -> str:
    suffix = PurePath(name).suffix[-20:]
    return name if len(name) <= FILE_NAME_LENGTH else name[: FILE_NAME_LENGTH - len(suffix)] + suffix
