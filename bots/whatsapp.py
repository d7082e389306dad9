"""WhatsApp through Twilio: https://www.twilio.com/docs/whatsapp.

twilio's `Client` builds the requests, reads the answers and turns the pages; its `RequestValidator`
checks the signatures. Its own HTTP client knows no other host, no SOCKS proxy and logs what it sends, so
the requests go over our wire.

Twilio posts a message once and does not repeat what we could not store; what became of ours neither. Its
log of messages is read at the start and every few minutes: what is in there and never reached us comes in
that way.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from yarl import URL

from bots.base import ChannelKind, Cursor, Doors, FileUnavailable, Health, Lent, Limits, Misconfigured
from bots.rendering import split
from bots.wire import (
    LONGEST_KEY,
    MISSHAPEN,
    UNREADABLE,
    UNREADABLE_MESSAGE,
    Answer,
    AnswerLost,
    BaseUrl,
    Fault,
    HalfSent,
    Json,
    Misanswered,
    Parts,
    Pauses,
    ProxyAddress,
    Wire,
    clean,
    limited_body,
    matches,
    readable,
    retry_after,
    short_key,
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
    from twilio.http import AsyncHttpClient
    from twilio.rest.api.v2010.account.message import MessageInstance

logger = structlog.get_logger(__name__)

NAME = "whatsapp"
HOOK_PATH = "/hooks/whatsapp"
STATUS_PATH = "/hooks/whatsapp/status"
SIGNATURE_HEADER = "X-Twilio-Signature"
MAX_HOOK_BYTES = 256 * 1024
MAX_HOOK_FIELDS = 200
MOST_MEDIA = 10
"""Twilio posts no more with one message."""

TEXT_LENGTH = 1600
TEMPLATE_BODY_LENGTH = 1024
OUTSIDE_LENGTH = 700
"""Of our text in the template for outside the window: the approved words around it need room too.
What is longer is not cut but goes another way, for a part of the words would count as delivered."""
TITLE_LENGTHS = {"quick_reply": 20, "list_picker": 24}
"""Kind of a template with buttons → how long a label may be."""
FILE_BYTES = 16 * 1024 * 1024
IMAGE_BYTES = 5 * 1024 * 1024

WINDOW = timedelta(hours=24)
WINDOW_MARGIN = timedelta(minutes=5)
"""What is sent in the last minutes may arrive too late."""

_MAX_KEPT = 10_000
_TWIML = "<Response/>"
_SID = re.compile(r"[A-Za-z]{2}[0-9A-Za-z]{1,62}")
_TWILIO_HOST = "twilio.com"
_TWILIO_API = f"https://api.{_TWILIO_HOST}"

Form = Mapping[str, str]


_TemplateName = Annotated[str, Field(pattern=r"^(quick_reply_[1-3]|list_picker_([1-9]|10)|outside)$")]
_TemplateSid = Annotated[str, Field(pattern=r"^HX[0-9a-fA-F]{32}$")]


class Settings(BaseModel):
    """Section `[bots.whatsapp]`. `api_base_url` may be a mirror of Twilio: everything goes through it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token: Annotated[SecretStr, matches(r"[A-Za-z0-9_-]+", "the Auth Token stands in Twilio's Console")]
    sender: str = Field(pattern=r"^(whatsapp:)?\+[0-9]{6,15}$")
    content_sids: dict[_TemplateName, _TemplateSid] = Field(default_factory=dict)
    api_base_url: BaseUrl = _TWILIO_API
    proxy: ProxyAddress | None = None
    media_hosts: tuple[str, ...] = ("twiliocdn.com", "amazonaws.com")
    request_timeout_seconds: float = Field(20, gt=0)
    log_every_seconds: float = Field(180, gt=0)
    messages_per_second: float = Field(10, gt=0)
    messages_burst: int = Field(1, ge=1)
    chat_messages_per_second: float = Field(1 / 6, gt=0)
    chat_burst: int = Field(20, ge=1)

    @model_validator(mode="after")
    def _templates_leave_no_gap(self) -> Self:
        for count in range(1, self.most_buttons + 1):
            if not any(f"{kind}_{count}" in self.content_sids for kind in TITLE_LENGTHS):
                raise ValueError(f"content_sids has a template for more buttons, but none for {count}")
        return self

    @property
    def most_buttons(self) -> int:
        """How many buttons the templates can show; 0 without templates."""
        counts = (name.rpartition("_")[2] for name in self.content_sids)
        return max((int(count) for count in counts if count.isdecimal()), default=0)

    @property
    def address(self) -> str:
        """Our sender as Twilio calls it."""
        return f"whatsapp:{self.sender.removeprefix('whatsapp:')}"


@dataclass(frozen=True, slots=True)
class Reconciling:
    """How Twilio's log is compared with what came.

    A message younger than the grace may still be on its way to us; the log may show one so much later
    than its time says.
    """

    grace_seconds: float = 60
    overlap_seconds: float = 3600


@dataclass(frozen=True, slots=True)
class _TurnedAway:
    """A post that is not taken, and why."""

    reason: str
    status: HTTPStatus


class WhatsAppChannel:
    """One WhatsApp sender of one account at Twilio."""

    name = NAME

    def __init__(
        self,
        settings: Settings,
        file_link: Callable[[OutgoingFile], str],
        pauses: Pauses | None = None,
        reconciling: Reconciling | None = None,
    ) -> None:
        self.limits = Limits(
            text_length=TEXT_LENGTH,
            buttons=bool(settings.most_buttons),
            buttons_per_row=1,
            buttons_total=settings.most_buttons,
            label_length=TITLE_LENGTHS["quick_reply"],
            cut_labels=False,
            file_bytes=FILE_BYTES,
            # Twilio queues what is faster than the sender's rate. Meta lets one person get a message
            # every 6 seconds, and bursts of up to 45 at the expense of the silence after them.
            messages_per_second=settings.messages_per_second,
            messages_burst=settings.messages_burst,
            chat_messages_per_second=settings.chat_messages_per_second,
            chat_burst=settings.chat_burst,
        )
        self._settings = settings
        self._file_link = file_link
        self._pauses = pauses or Pauses()
        self._reconciling = reconciling or Reconciling()
        self._api = _Api(settings)
        self._half_sent = HalfSent()
        self._parts = Parts()
        self._doors: Doors | None = None
        self._stored = _Latest()
        self._unstored: dict[str, Inbound] = {}
        self._missed = asyncio.Event()
        self._good_templates: set[str] = set()

    # ------------------------------------------------------------------ receiving

    async def receive(self, doors: Doors) -> None:
        """Run until cancelled: look into Twilio's log for what was never posted or could not be stored.

        That is what people wrote, and what became of our own messages.
        """
        if not doors.public_url:
            raise Misconfigured("[server] public_url is needed for [bots.whatsapp]: Twilio posts to it")
        self._doors = doors
        since = _read_time(doors.cursor) or doors.now()
        failures = 0
        while True:
            try:
                since = await self._reconcile(doors, since)
            except Exception as error:  # noqa: BLE001 - Twilio or the database: what is missing is asked for again
                failures += 1
                pause = self._pauses.after(failures)
                # No traceback: it may hold the client's words.
                logger.warning(
                    "the log of twilio was not taken over",
                    reason=str(error) if isinstance(error, Fault | _Refusal) else type(error).__name__,
                    retry_in_seconds=round(pause, 1),
                )
                await asyncio.sleep(pause)
                continue
            failures = 0
            try:
                async with asyncio.timeout(self._settings.log_every_seconds):
                    await self._missed.wait()
                await asyncio.sleep(self._pauses.after(1))
            except TimeoutError:
                continue

    async def _reconcile(self, doors: Doors, since: datetime) -> datetime:
        """Hand over what the house has not got yet, oldest first, and say from where to go on."""
        self._missed.clear()
        started = doors.now()
        unstored = dict(self._unstored)
        oldest = since - timedelta(seconds=self._reconciling.overlap_seconds)
        newest = started - timedelta(seconds=self._reconciling.grace_seconds)
        found = []
        for message in await self._api.received_since(oldest):
            sid, at = message.sid or "", message.date_created or started
            posted = unstored.pop(sid, None)
            if posted is not None:
                # It was posted with more than the log tells: which button was pressed, the name.
                found.append(replace(posted, sent_at=at))
            elif sid not in self._stored and oldest <= at <= newest:
                found.append(parse(await self._api.as_posted(message), at))
        for message in await self._api.sent_since(oldest):
            fate = _as_told(message)
            key = _status_key(fate)
            told_at = message.date_updated or message.date_created or started
            is_known = key in self._unstored or key in self._stored
            if not is_known and oldest <= told_at <= newest:
                told = self._read_status(fate, told_at)
                found += [told] if told else []
        found += unstored.values()
        # The log begins with the latest and counts in seconds; the order of equals is kept.
        found.sort(key=lambda inbound: inbound.sent_at)
        await doors.accept(found, Cursor(NAME, started.isoformat()))
        for inbound in found:
            self._is_stored(inbound)
        return started

    def _is_stored(self, inbound: Inbound) -> None:
        self._stored.add(inbound.event_key)
        self._unstored.pop(inbound.event_key, None)

    # ------------------------------------------------------------------ the webhooks

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """Give the webhook for messages and the one for the fate of ours."""
        self._doors = doors

        async def messages(request: Request) -> Response:
            return await self._posted(doors, request, parse)

        async def statuses(request: Request) -> Response:
            return await self._posted(doors, request, self._read_status)

        return (
            Route(HOOK_PATH, messages, methods=["POST"]),
            Route(STATUS_PATH, statuses, methods=["POST"]),
        )

    async def _posted(
        self, doors: Doors, request: Request, read: Callable[[Form, datetime], Inbound | None]
    ) -> Response:
        form = await self._signed_form(doors, request)
        if isinstance(form, _TurnedAway):
            doors.refused(form.reason)
            return Response(status_code=form.status)
        inbound = read(form, doors.now())
        if inbound is not None:
            # What could not be stored before goes first: the order of a chat is kept.
            ahead = {key: each for key, each in self._unstored.items() if each.chat_key == inbound.chat_key}
            inbounds = {**ahead, inbound.event_key: inbound}.values()
            try:
                await doors.accept(tuple(inbounds), None)
            except Exception as error:  # noqa: BLE001 - whatever kept it from being stored: the log still has it
                logger.error("a post of twilio was not stored", error=type(error).__name__)  # noqa: TRY400
                if len(self._unstored) < _MAX_KEPT:
                    self._unstored[inbound.event_key] = inbound
                self._missed.set()
                return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE)
            for each in inbounds:
                self._is_stored(each)
        return Response(_TWIML, media_type="text/xml")

    def _read_status(self, form: Form, now: datetime) -> Inbound | None:
        inbound = parse_status(form, now)
        return self._parts.news(inbound) if inbound else None

    async def _signed_form(self, doors: Doors, request: Request) -> Form | _TurnedAway:
        signature = request.headers.get(SIGNATURE_HEADER)
        body = await limited_body(request, MAX_HOOK_BYTES) if signature else b""
        if body is None:
            return _TurnedAway("size", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        form = _form(body)
        if signature and form is None:
            return _TurnedAway("malformed", HTTPStatus.BAD_REQUEST)
        # Signed is the address that Twilio was told, not what a proxy made of it.
        query = request.scope["query_string"].decode("latin-1")
        url = doors.public_url.rstrip("/") + request.scope["path"] + (f"?{query}" if query else "")
        if form is None or not signature or not self._api.signed(url, form, signature):
            return _TurnedAway("signature", HTTPStatus.FORBIDDEN)
        if not _SID.fullmatch(form.get("MessageSid", "")):
            return _TurnedAway("malformed", HTTPStatus.BAD_REQUEST)
        return form

    # ------------------------------------------------------------------ sending

    async def send(self, parcel: Parcel) -> Outcome:
        """Send text, buttons and files, one message each.

        A parcel of several messages that stopped half-way goes on from there when it comes again.
        """
        unfit = self._unfit(parcel)
        if unfit is not None:
            return unfit
        messages = self._messages(parcel)

        async def send_one(number: int, message: _Message) -> str:
            message_key = await self._api.send(parcel.chat_key, self._status_url, message)
            self._parts.sent(parcel.key, number, len(messages), message_key)
            return message_key

        outcome = await self._half_sent.send_all(
            parcel.key, messages, send_one, _Refusal, lambda refusal: refusal.outcome
        )
        return self._parts.settled(parcel.key, outcome)

    @property
    def _status_url(self) -> str:
        return self._doors.public_url.rstrip("/") + STATUS_PATH if self._doors else ""

    def _is_closed(self, parcel: Parcel) -> bool:
        """Whether WhatsApp takes only approved templates now; unknown counts as open."""
        if parcel.last_inbound_at is None or self._doors is None:
            return False
        return self._doors.now() - parcel.last_inbound_at >= WINDOW - WINDOW_MARGIN

    def _unfit(self, parcel: Parcel) -> Outcome | None:
        """What WhatsApp would refuse, or take and not show, is not even sent."""
        if self._is_closed(parcel):
            if "outside" not in self._settings.content_sids:
                return WindowClosed("over 24 hours since the person wrote; content_sids.outside is not set")
            if parcel.files:
                return WindowClosed("over 24 hours since the person wrote: WhatsApp takes no files")
            if len(_outside(parcel)) > OUTSIDE_LENGTH:
                return WindowClosed(
                    "over 24 hours since the person wrote: the text is too long for a template"
                )
        for file in parcel.files:
            most = IMAGE_BYTES if file.media_type.startswith("image/") else FILE_BYTES
            if file.size_bytes > most:
                return Rejected(f"WhatsApp takes such files up to {most // 1024 // 1024} MB")
        return None

    def _messages(self, parcel: Parcel) -> list[_Message]:
        """Text with its buttons, then the files; WhatsApp shows no words with a document."""
        if self._is_closed(parcel):
            return [_template(self._settings.content_sids["outside"], _outside(parcel))]
        buttons = [button for row in parcel.rows for button in row]
        messages: list[_Message] = []
        template = self._template_for(buttons)
        if template is not None:
            ahead, question = _parted(parcel.text)
            messages += [{"body": ahead}] if ahead else []
            messages.append(_template(template, question or "Выберите:", buttons))
        elif parcel.text.strip():
            messages.append({"body": parcel.text})
        return messages + [{"media_url": [self._file_link(file)]} for file in parcel.files]

    def _template_for(self, buttons: Sequence[ShownButton]) -> str | None:
        """The template that can show these buttons; what none can show came as a numbered menu."""
        for kind, length in TITLE_LENGTHS.items():
            sid = self._settings.content_sids.get(f"{kind}_{len(buttons)}")
            if sid is not None and all(len(button.label) <= length for button in buttons):
                return sid
        return None

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """WhatsApp shows no spinner."""

    # ------------------------------------------------------------------ the rest

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Stream a file in chunks, at most MAX_FILE_BYTES. Raises FileRefused or FileUnavailable."""
        async for chunk in self._api.download(file.reference):
            yield chunk

    async def health(self) -> Health:
        """Ask about the account, and about each template until it was found good once."""
        try:
            status = await self._api.account_status()
            fault = "" if status == "active" else f"the account at Twilio is {status}"
            fault = fault or await self._template_fault()
        except Fault as error:
            return Health(reachable=False, detail=f"Twilio does not answer: {error}")
        except _Refusal as refusal:
            return Health(reachable=False, detail=str(refusal))
        if fault:
            return Health(reachable=False, detail=fault)
        digits = self._settings.address.partition("+")[2]
        link = f"https://wa.me/{digits}?text=%2Fstart%20{{code}}"
        return Health(reachable=True, detail=f"+{digits}", link=link)

    async def _template_fault(self) -> str:
        for name, sid in self._settings.content_sids.items():
            if name in self._good_templates:
                continue
            try:
                types = await self._api.template_types(sid)
            except _Refusal as refusal:
                if refusal.status != HTTPStatus.NOT_FOUND:
                    raise
                return f"content_sids.{name}: Twilio knows no such template"
            if not _is_template(name, types):
                return f"content_sids.{name} has another type or another number of buttons"
            self._good_templates.add(name)
        return ""

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def open_channel(settings: Settings, lent: Lent) -> WhatsAppChannel:
    """Make the channel; imports twilio."""
    return WhatsAppChannel(settings, lent.file_link)


CHANNEL = ChannelKind(NAME, Settings, open_channel, plain("WhatsApp"))


class _Latest:
    """The latest event keys that were stored, so that the log is not handed over again and again."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > _MAX_KEPT:
            del self._keys[next(iter(self._keys))]


def _read_time(cursor: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(cursor or "").astimezone(UTC)
    except ValueError:
        return None


def _form(body: bytes) -> ImmutableMultiDict[str, str] | None:
    """Read a posted form with all that is empty or repeated in it: everything is signed."""
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_HOOK_FIELDS
        )
    except ValueError:
        return None
    return ImmutableMultiDict(pairs) if pairs else None


# ---------------------------------------------------------------------- posts


def parse(form: Form, now: datetime) -> Inbound:
    """Turn one posted message into what it means for us.

    What fits no schema is never an error: OTHER when it can be told whose message it is, else IGNORED.
    Twilio posts no time, so `now` (aware UTC) is taken for it.
    """
    event_key = form.get("MessageSid", "")
    try:
        return _read_message(event_key, form, now)
    except MISSHAPEN as error:
        logger.warning("a post of twilio fits no schema", message=event_key, error=type(error).__name__)
    address = readable(NAME, lambda: short_key(form["From"]))
    if address is None:
        return Inbound(NAME, event_key, "", "", now, InboundKind.IGNORED)
    return Inbound(NAME, event_key, address, address, now, InboundKind.OTHER, UNREADABLE_MESSAGE)


def _read_message(event_key: str, form: Form, now: datetime) -> Inbound:
    # A phone number today, an opaque id of Meta (BSUID) where people hide their number.
    address = short_key(form["From"])
    count = min(int(form.get("NumMedia") or 0), MOST_MEDIA)
    found = [readable(NAME, partial(_file, form, number)) for number in range(count)]
    asides = [UNREADABLE for file in found if file is None]
    sent = Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=address,
        chat_key=address,
        sent_at=now,
        kind=InboundKind.TEXT,
        # What was chosen stands in the body too, but not of every kind of template.
        text=clean(form.get("Body") or form.get("ButtonText") or form.get("ListTitle") or ""),
        files=tuple(file for file in found if file is not None),
        message_key=event_key,
        user_name=clean(form.get("ProfileName", "")),
    )
    press = form.get("ButtonPayload") or form.get("ListId")
    if press:
        return replace(sent, kind=InboundKind.BUTTON, text="", button=clean(press))
    if sent.files:
        return _with_files(sent, form.get("MessageType", ""), asides)
    if form.get("Latitude"):
        asides.append(readable(NAME, lambda: _place(form)) or UNREADABLE)
    if asides:
        return _beside(sent, asides)
    return _in_words(sent, form.get("OptOutType", ""))


def _beside(sent: Inbound, asides: Sequence[str]) -> Inbound:
    """The words, if there are any, with what came beside them and cannot be taken."""
    if sent.text:
        return replace(sent, text=with_asides(sent.text, asides), files=())
    return replace(sent, kind=InboundKind.OTHER, text=", ".join(asides), files=())


def _in_words(sent: Inbound, opt_out: str) -> Inbound:
    kind = _OPTED.get(opt_out.upper() or _OPT_OUT_WORDS.get(sent.text.strip(), ""))
    if kind is not None:
        return replace(sent, kind=kind)
    command, _, code = sent.text.partition(" ")
    if command == "/start":
        return replace(sent, kind=InboundKind.STARTED, start_code=code.strip() or None)
    if not sent.text:
        return replace(sent, kind=InboundKind.OTHER, text="сообщение незнакомого вида")
    return sent


_OPTED = {"STOP": InboundKind.BLOCKED, "START": InboundKind.UNBLOCKED}
"""Twilio answers these itself and lets us send no more, or again."""

_OPT_OUT_WORDS = {"STOP": "STOP", "Stop": "STOP", "stop": "STOP", "СТОП": "STOP"}
"""For senders without Twilio's own opt-out. «стоп» in small letters cancels a form in every messenger."""


def _with_files(sent: Inbound, message_type: str, asides: Sequence[str]) -> Inbound:
    media_types = {file.media_type for file in sent.files}
    if media_types & {"text/vcard", "text/x-vcard"} or message_type == "contacts":
        return _beside(sent, ["карточка контакта", *asides])
    if message_type == "sticker" or media_types == {"image/webp"}:
        return _beside(sent, ["наклейка", *asides])
    first = sent.files[0]
    suffix = _SUFFIXES.get(first.media_type or "")
    if first.role is FileRole.DOCUMENT and suffix and sent.text.lower().endswith(suffix):
        # Of a document that came without words Twilio gives the name as the text.
        named = replace(first, name=sent.text)
        sent = replace(sent, text="", files=(named, *sent.files[1:]))
    return replace(sent, kind=InboundKind.FILE, text=with_asides(sent.text, asides))


def _file(form: Form, number: int) -> IncomingFile:
    media_type = clean(form.get(f"MediaContentType{number}", "")).partition(";")[0].strip().lower()
    if media_type == "audio/ogg":
        role, name = FileRole.VOICE, "Голосовое сообщение"
    else:
        role, name = _FILES.get(media_type.partition("/")[0], (FileRole.DOCUMENT, "Документ"))
    return IncomingFile(
        reference=clean(form[f"MediaUrl{number}"]),
        name=name + _SUFFIXES.get(media_type, ""),
        media_type=media_type or None,
        role=role,
    )


_FILES: Mapping[str, tuple[FileRole, str]] = {
    "image": (FileRole.PHOTO, "Фото"),
    "video": (FileRole.VIDEO, "Видео"),
    "audio": (FileRole.DOCUMENT, "Аудио"),
}
"""What came → how it is shown, and its name: WhatsApp gives none."""

_SUFFIXES = {
    "application/pdf": ".pdf",
    "application/msword": ".doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/rtf": ".rtf",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "text/csv": ".csv",
    "text/plain": ".txt",
    "text/xml": ".xml",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "audio/aac": ".aac",
    "audio/amr": ".amr",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "video/3gpp": ".3gp",
    "video/mp4": ".mp4",
}


def _place(form: Form) -> str:
    label, address = clean(form.get("Label", "")), clean(form.get("Address", ""))
    if label:
        return f"место «{label}», {address}".rstrip(", ")
    return f"геопозиция {float(form['Latitude']):.5g}, {float(form['Longitude']):.5g}"


def parse_status(form: Form, now: datetime) -> Inbound | None:
    """Turn a status of a message of ours into a proof of delivery; one that proves nothing is None."""
    status, sid, address = form.get("MessageStatus", ""), form.get("MessageSid", ""), form.get("To", "")
    state = _STATES.get(status)
    if state is None or not sid or not 1 <= len(address) <= LONGEST_KEY:
        return None
    delivery = Delivery(state)
    if state is DeliveryState.FAILED:
        code = form.get("ErrorCode", "")
        outcome = _outcome(int(code) if re.fullmatch(r"[0-9]{1,6}", code) else 0)
        delivery = Delivery(
            state, outcome.reason, isinstance(outcome, Blocked), isinstance(outcome, WindowClosed)
        )
    return Inbound(
        channel=NAME,
        event_key=_status_key(form),
        user_key=clean(address),
        chat_key=clean(address),
        sent_at=now,
        kind=InboundKind.DELIVERY,
        message_key=sid,
        delivery=delivery,
    )


def _as_told(message: MessageInstance) -> Form:
    """A message of ours in the log in the form in which its status would have been posted."""
    code = message.error_code
    return {
        "MessageSid": message.sid or "",
        "MessageStatus": message.status or "",
        "To": message.to or "",
        "ErrorCode": "" if code is None else str(code),
    }


def _status_key(form: Form) -> str:
    return f"{form.get('MessageSid', '')}:{form.get('MessageStatus', '')}"


_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "failed": DeliveryState.FAILED,
    "undelivered": DeliveryState.FAILED,
}
"""https://www.twilio.com/docs/messaging/api/message-resource#message-status-values; others prove nothing."""


# ---------------------------------------------------------------------- messages

_Message = dict[str, Json]
"""What one message consists of, as arguments of twilio's `create`: a body, a template, or a file."""


def _template(sid: str, text: str, buttons: Sequence[ShownButton] = ()) -> _Message:
    """Variable 1 is the text; 2 and 3 are the label and the press of the first button, and so on."""
    values = [text, *(part for button in buttons for part in (button.label, button.press))]
    variables = {str(number): value for number, value in enumerate(values, start=1)}
    return {"content_sid": sid, "content_variables": orjson.dumps(variables).decode()}


def _parted(text: str) -> tuple[str, str]:
    """Part a text into what is sent ahead and its last line, which goes with the buttons.

    A template's variable takes one line (https://www.twilio.com/docs/api/errors/21656).
    """
    text = text.strip()
    question = split(text.rpartition("\n")[2], TEMPLATE_BODY_LENGTH)[-1]
    return text.removesuffix(question).rstrip(), _one_line(question)


def _one_line(text: str) -> str:
    return re.sub(r"[^\S\u00a0\u202f]+", " ", text).strip()


def _outside(parcel: Parcel) -> str:
    """The words for outside the window, in one line, with the buttons as a numbered menu."""
    buttons = [button for row in parcel.rows for button in row]
    menu = [f"{number}. {button.label}" for number, button in enumerate(buttons, start=1)]
    return _one_line(" ".join((parcel.text, *menu)))


_TEMPLATES = {
    "quick_reply": ("twilio/quick-reply", "actions"),
    "list_picker": ("twilio/list-picker", "items"),
}


def _is_template(name: str, types: Json) -> bool:
    kind, _, count = name.rpartition("_")
    if kind not in _TEMPLATES:
        return True
    type_name, choices = _TEMPLATES[kind]
    template = types.get(type_name) if isinstance(types, dict) else None
    return isinstance(template, dict) and len(template.get(choices) or ()) == int(count)


# ---------------------------------------------------------------------- refusals


_No = Retry | Blocked | WindowClosed | Rejected | TokenRevoked


def _soon(reason: str) -> Retry:
    return Retry(reason=reason, whole_channel=True)


_CODES: Mapping[int, tuple[Callable[[str], _No], str]] = {
    10001: (TokenRevoked, "the account is not active"),
    20003: (TokenRevoked, "Twilio does not know this account_sid with this auth_token"),
    20005: (TokenRevoked, "the account is not active"),
    30002: (TokenRevoked, "the account is suspended"),
    21212: (TokenRevoked, "sender is no number of this account"),
    63007: (TokenRevoked, "sender is no WhatsApp sender of this account"),
    63112: (TokenRevoked, "Meta has disabled the WhatsApp account of this sender"),
    21211: (Blocked, "nobody is reached at this address"),
    21610: (Blocked, "the person has opted out"),
    21614: (Blocked, "nobody is reached at this address"),
    63003: (Blocked, "nobody is reached at this address"),
    63015: (Blocked, "the person has not joined the sandbox"),
    63024: (Blocked, "nobody is reached at this address"),
    63016: (WindowClosed, "over 24 hours since the person wrote"),
    21408: (Rejected, "Twilio does not send to this country"),
    21609: (Rejected, "public_url is no address that Twilio accepts for its callbacks"),
    21617: (Rejected, "the text is too long"),
    21655: (Rejected, "content_sids names a template that does not exist"),
    21656: (Rejected, "a template of content_sids has other variables"),
    63005: (Rejected, "WhatsApp did not take the content"),
    63013: (Rejected, "WhatsApp's policy forbids it"),
    63019: (Rejected, "Twilio could not fetch the file from public_url"),
    63021: (Rejected, "WhatsApp does not take files of this type"),
    63049: (Rejected, "Meta chose not to deliver a template to this person"),
    14107: (_soon, "too many messages"),
    20429: (_soon, "too many requests"),
    30001: (_soon, "Twilio's queue is full"),
    63017: (_soon, "too many messages"),
    63018: (_soon, "too many messages of this sender"),
}
"""https://www.twilio.com/docs/api/errors: code → outcome, and why. What Twilio writes itself may hold the
person's number. Codes 63… also come later, by the status callback."""


def _outcome(code: int, status: int = HTTPStatus.BAD_REQUEST) -> _No:
    if code in _CODES:
        make, reason = _CODES[code]
        return make(f"{code}: {reason}")
    if status == HTTPStatus.UNAUTHORIZED:
        return TokenRevoked(f"{code}: Twilio does not know this account_sid with this auth_token")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _soon(f"{code}: Twilio is not ready")
    return Rejected(f"{code}: https://www.twilio.com/docs/api/errors/{code}" if code else "no reason given")


class _Refusal(Exception):  # noqa: N818 - it is Twilio who refuses
    """Twilio said no; its sentence holds nothing that Twilio wrote."""

    def __init__(self, status: int, code: int, after_seconds: float | None) -> None:
        outcome = _outcome(code, status)
        if isinstance(outcome, Retry) and after_seconds is not None:
            outcome = replace(outcome, after_seconds=after_seconds)
        super().__init__(outcome.reason)
        self.status = status
        self.outcome: Outcome = outcome


def _refused(answer: Answer) -> Exception:
    """What to raise for an answer that is no success."""
    refusal = answer.json
    code = refusal.get("code") if isinstance(refusal, dict) else None
    if type(code) is int or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _Refusal(answer.status, code or answer.status, retry_after(answer.headers))
    return Misanswered(f"status {answer.status} from somebody who is not Twilio")


# ---------------------------------------------------------------------- the wire


def _is_twilio(host: str) -> bool:
    return host == _TWILIO_HOST or host.endswith(f".{_TWILIO_HOST}")


class _Api:
    """Twilio through its own client. Raises `Fault` or `_Refusal`.

    Twilio has a host for each of its products; a mirror carries them all under its one address.
    """

    def __init__(self, settings: Settings) -> None:
        from twilio.request_validator import RequestValidator
        from twilio.rest import Client

        token = settings.auth_token.get_secret_value()
        base_url = settings.api_base_url.rstrip("/")
        self._mirror = "" if base_url == _TWILIO_API else base_url
        self._host = urlsplit(self._mirror).hostname or _TWILIO_HOST
        self._account_sid, self._sender = settings.account_sid, settings.address
        self._authorization = {
            "Authorization": "Basic " + base64.b64encode(f"{settings.account_sid}:{token}".encode()).decode()
        }
        self._wire = Wire(
            settings.proxy, (self._host, *settings.media_hosts), settings.request_timeout_seconds
        )
        self._validator = RequestValidator(token)
        self._client = Client(settings.account_sid, token, http_client=self._over_our_wire())

    def signed(self, url: str, form: Form, signature: str) -> bool:
        """Whether Twilio signed this form for this address; compared in constant time."""
        return bool(self._validator.validate(url, form, signature))

    async def send(self, address: str, status_url: str, message: _Message) -> str:
        """Send one message and give its SID."""
        callback = {"status_callback": status_url} if status_url else {}
        taken = await self._client.messages.create_async(
            to=address, from_=self._sender, **callback, **message
        )
        return taken.sid or ""

    async def received_since(self, oldest: datetime) -> list[MessageInstance]:
        """What people wrote to us since that day, in the order they wrote."""
        day: Any = oldest.astimezone(UTC).date().isoformat()  # the filter knows days only
        latest_first = await self._client.messages.list_async(
            to=self._sender, date_sent_after=day, page_size=1000
        )
        return [message for message in reversed(latest_first) if message.direction == "inbound"]

    async def sent_since(self, oldest: datetime) -> list[MessageInstance]:
        """What we wrote since that day, in the order we wrote."""
        day: Any = oldest.astimezone(UTC).date().isoformat()
        latest_first = await self._client.messages.list_async(
            from_=self._sender, date_sent_after=day, page_size=1000
        )
        return list(reversed(latest_first))

    async def as_posted(self, message: MessageInstance) -> Form:
        """A message of the log in the form in which it would have been posted."""
        media = []
        if message.num_media not in (None, "", "0"):
            media = await self._client.messages(message.sid or "").media.list_async()
        form = {
            "MessageSid": message.sid or "",
            "From": message.from_ or "",
            "Body": message.body or "",
            "NumMedia": str(len(media)),
        }
        for number, each in enumerate(media):
            path = (each.uri or "").removesuffix(".json")
            form[f"MediaUrl{number}"] = _TWILIO_API + path
            form[f"MediaContentType{number}"] = each.content_type or ""
        return form

    async def account_status(self) -> str:
        account = await self._client.api.accounts(self._account_sid).fetch_async()
        return str(account.status)

    async def template_types(self, sid: str) -> Json:
        template = await self._client.content.v1.contents(sid).fetch_async()
        return template.types

    async def download(self, url: str) -> AsyncIterator[bytes]:
        """Stream a file. Only Twilio, or its mirror, is shown who we are."""
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            raise FileUnavailable("the address of the file cannot be read") from None
        is_ours = _is_twilio(host)
        if is_ours:
            url = self._addressed(url)
        headers = self._authorization if is_ours or host == self._host else None
        async for chunk in self._wire.download(url, headers):
            yield chunk

    def _addressed(self, url: str) -> str:
        """Where to ask for what the library, or Twilio, names: at the mirror, or at that host of Twilio."""
        parts = urlsplit(url)
        if not self._mirror and not _is_twilio(parts.hostname or ""):
            raise Misanswered("an address that is not Twilio's")
        base_url = self._mirror or f"https://{parts.hostname}"
        return base_url + parts.path + (f"?{parts.query}" if parts.query else "")

    async def close(self) -> None:
        await self._wire.close()

    async def _request(
        self, method: str, url: str, data: Mapping[str, Json] | None, headers: Mapping[str, str]
    ) -> Answer:
        body = None if data is None else urlencode(data, doseq=True).encode()
        answer = await self._wire.request(
            method, URL(url, encoded=True), data=body, headers={**headers, **self._authorization}
        )
        if answer.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise _refused(answer)
        if not isinstance(answer.json, dict):
            raise AnswerLost("the answer is cut short")
        return answer

    def _over_our_wire(self) -> AsyncHttpClient:
        """The seam of twilio's client through which all its requests go."""
        from twilio.http import AsyncHttpClient
        from twilio.http.response import Response as Taken

        api = self

        class OverOurWire(AsyncHttpClient):  # type: ignore[misc]
            async def request(
                self,
                method: str,
                uri: str,
                params: dict[str, object] | None = None,
                data: dict[str, object] | None = None,
                headers: dict[str, str] | None = None,
                auth: tuple[str, str] | None = None,  # noqa: ARG002 - our own is the same
                timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the wire has its own
                allow_redirects: bool = False,  # noqa: ARG002 - never
            ) -> Taken:
                query = urlencode(params, doseq=True) if params else ""
                url = api._addressed(uri)
                url += ("&" if "?" in url else "?") + query if query else ""
                answer = await api._request(method, url, data, headers or {})
                return Taken(answer.status, answer.body.decode("utf-8", "replace"), answer.headers)

        import logging

        return OverOurWire(logging.getLogger(__name__), is_async=True)
