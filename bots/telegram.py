"""Telegram: https://core.telegram.org/bots/api.

aiogram is the client: its `Bot` keeps the token, its session the connections, the proxy and the
addresses, its exceptions name the refusals. Bodies go past its pydantic models, which cost more than
the request itself: orjson reads and writes them. Its polling is not used either, for it acknowledges
updates before they are stored. aiogram takes seconds to import, hence the imports inside functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Annotated, Literal, Self

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
    StoredFiles,
)
from bots.telegram_rich import Shown, parts_of
from bots.wire import (
    CHUNK_BYTES,
    CONNECT_SECONDS,
    LONGEST_SILENCE_SECONDS,
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
    clean,
    decoded,
    header_safe,
    matches,
    network_errors,
    readable,
    retry_after,
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
    from aiogram.exceptions import TelegramAPIError, TelegramRetryAfter
    from aiohttp import ClientTimeout, FormData

logger = structlog.get_logger(__name__)

NAME = "telegram"
HOOK_PATH = "/hooks/telegram"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")
MAX_HOOK_BYTES = 1024 * 1024

TEXT_LENGTH = 4096
CAPTION_LENGTH = 1024
MEDIA_GROUP_SIZE = 10
UPLOAD_BYTES = 50 * 1024 * 1024

_HOOK_CHECK_SECONDS = 300


class Settings(BaseModel):
    """Section `[bots.telegram]`. `api_base_url` may be a mirror or a local Bot API server."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Annotated[
        SecretStr, matches(r"[0-9]+:[A-Za-z0-9_-]+", "a token of @BotFather looks like 123456:ABC-def")
    ]
    mode: Literal["polling", "webhook"] = "polling"
    secret: (
        Annotated[
            SecretStr, matches(r"[A-Za-z0-9_-]{1,256}", "1 to 256 characters of A-Z, a-z, 0-9, _ and -")
        ]
        | None
    ) = None
    api_base_url: BaseUrl = "https://api.telegram.org"
    proxy: ProxyAddress | None = None
    poll_timeout_seconds: int = Field(50, ge=0, le=300)
    request_timeout_seconds: float = Field(20, gt=0)
    send_timeout_seconds: float = Field(30, gt=0)
    messages_per_second: float = Field(30, gt=0)
    messages_burst: int = Field(1, ge=1)
    chat_messages_per_second: float = Field(1, gt=0)
    # An answer of two parts comes at once; three would break the limit of a second.
    chat_burst: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _webhook_has_secret(self) -> Self:
        if self.mode == "webhook" and self.secret is None:
            raise ValueError('mode = "webhook" needs a secret: it proves that a post comes from Telegram')
        return self


class TelegramChannel:
    """One bot. In polling mode it takes the updates itself, in webhook mode they are posted to it."""

    name = NAME

    def __init__(self, settings: Settings, files: StoredFiles, pauses: Pauses | None = None) -> None:
        self.limits = Limits(
            text_length=TEXT_LENGTH,
            buttons_per_row=8,
            buttons_total=100,
            label_length=64,
            file_bytes=UPLOAD_BYTES,
            messages_per_second=settings.messages_per_second,
            messages_burst=settings.messages_burst,
            chat_messages_per_second=settings.chat_messages_per_second,
            chat_burst=settings.chat_burst,
        )
        self._settings = settings
        self._files = files
        self._pauses = pauses or Pauses()
        self._api = _Api(settings)
        self._hook_url = ""
        self._half_sent = HalfSent()
        self._insisting = Insisting(NAME, self._pauses, self._api.refusal, self._setback)

    # ------------------------------------------------------------------ receiving

    async def receive(self, doors: Doors) -> None:
        """Run until cancelled. Updates are confirmed to Telegram only after `accept` has returned."""
        if self._settings.mode == "webhook":
            await self._keep_webhook(doors)
        else:
            await self._poll(doors)

    async def _poll(self, doors: Doors) -> None:
        await self._insist("deleteWebhook", {"drop_pending_updates": False})
        offset = int(doors.cursor) if doors.cursor and doors.cursor.isdigit() else None
        failures = 0
        while True:
            answer = await self._insist("getUpdates", self._poll_params(offset), self._api.poll_timeout)
            updates = answer if isinstance(answer, list) else [answer]
            identified = [update for update in updates if _update_id(update) is not None]
            if not identified:
                # An empty answer confirms all below the offset. Without one the next poll also finds
                # updates with lower numbers: Telegram starts anew at random after a quiet week.
                offset = None
                if updates:
                    failures += 1
                    logger.error("telegram sent updates without numbers", count=len(updates))
                    await asyncio.sleep(self._pauses.after(failures))
                continue
            now = doors.now()
            next_offset = 1 + max(update["update_id"] for update in identified)
            try:
                await doors.accept(
                    [parse(update, now) for update in identified], Cursor(NAME, str(next_offset))
                )
            except Exception as error:  # noqa: BLE001 - whatever kept it from being stored: it is asked for again
                failures += 1
                pause = self._pauses.after(failures)
                logger.error(  # noqa: TRY400 - the traceback may hold the client's words
                    "updates of telegram were not stored and will be asked for again",
                    error=type(error).__name__,
                    retry_in_seconds=round(pause, 1),
                )
                await asyncio.sleep(pause)
            else:
                failures = 0
                offset = next_offset

    def _poll_params(self, offset: int | None) -> dict[str, Json]:
        params: dict[str, Json] = {
            "timeout": self._settings.poll_timeout_seconds,
            # Telegram remembers the last list it was given, so it is always said.
            "allowed_updates": ALLOWED_UPDATES,
        }
        return params if offset is None else {"offset": offset, **params}

    async def _keep_webhook(self, doors: Doors) -> None:
        if not doors.public_url:
            raise Misconfigured('[server] public_url is needed for [bots.telegram] mode = "webhook"')
        self._hook_url = doors.public_url.rstrip("/") + HOOK_PATH
        secret = self._settings.secret
        params = {
            "url": self._hook_url,
            "secret_token": secret.get_secret_value() if secret else "",
            "allowed_updates": ALLOWED_UPDATES,
        }
        await self._insist("setWebhook", params)
        while True:
            await asyncio.sleep(_HOOK_CHECK_SECONDS)
            info = await self._insist("getWebhookInfo", {})
            if info.get("url") != self._hook_url:
                logger.error("somebody changed the webhook of telegram; it is set again")
                await self._insist("setWebhook", params)
            elif info.get("last_error_message"):
                logger.warning("telegram could not post to us", reason=str(info["last_error_message"]))

    async def _insist(
        self, method: str, params: Mapping[str, Json], within: ClientTimeout | None = None
    ) -> Json:
        return await self._insisting.until_done(lambda: self._api.call(method, params, within), method=method)

    def _setback(self, error: TelegramAPIError, failures: int) -> Setback:
        from aiogram import exceptions

        reason = self._api.hushed(error.message)
        needs_a_person = self._pauses.misconfigured_seconds
        match error:
            case exceptions.TelegramRetryAfter():
                pause = _silence_seconds(error) or self._pauses.after(failures)
                return Setback("telegram asks for silence", reason, pause)
            case exceptions.TelegramConflictError():
                sentence = "another process takes the updates of this bot: stop it or delete its webhook"
                return Setback(sentence, reason, needs_a_person)
            case exceptions.TelegramUnauthorizedError() | exceptions.TelegramNotFound():
                sentence = (
                    "telegram does not know this token: put the one from @BotFather into [bots.telegram]"
                )
                return Setback(sentence, reason, needs_a_person)
            case _:
                return Setback("telegram refuses to work", reason, self._pauses.after(failures))

    # ------------------------------------------------------------------ the webhook

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """Give the webhook, in webhook mode only."""
        secret = self._settings.secret
        if self._settings.mode != "webhook" or secret is None:
            return ()
        hook = Hook(NAME, HOOK_PATH, SECRET_HEADER, secret.get_secret_value(), MAX_HOOK_BYTES)

        def read(update: Json) -> Inbound | None:
            return None if _update_id(update) is None else parse(update, doors.now())

        return (hook.route(doors, read),)

    # ------------------------------------------------------------------ sending

    async def send(self, parcel: Parcel) -> Outcome:
        """Send text, buttons and files, in as few messages as Telegram allows.

        A parcel of several messages that stopped half-way goes on from there when it comes again.
        """

        async def send_one(_number: int, call: _Call) -> str:
            return await self._api.deliver(call, self._files)

        return await self._half_sent.send_all(
            parcel.key, _calls(parcel), send_one, self._api.refusal, self._outcome
        )

    def _outcome(self, error: TelegramAPIError) -> Outcome:
        from aiogram import exceptions

        reason = self._api.hushed(error.message)
        match error:
            case exceptions.TelegramRetryAfter():
                return Retry(_silence_seconds(error), reason)
            case exceptions.TelegramForbiddenError():
                return Blocked(reason)
            case exceptions.TelegramBadRequest() if _is_nobody(error.message):
                return Blocked(reason)
            case exceptions.TelegramUnauthorizedError() | exceptions.TelegramNotFound():
                return TokenRevoked(reason)
            case exceptions.TelegramServerError():
                return Retry(reason=reason, whole_channel=True)
            case _:
                return Rejected(reason)

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """Stop the spinner. It may be too old, or the person gone: of no interest."""
        if inbound.acknowledge is None:
            return
        try:
            await self._api.call("answerCallbackQuery", {"callback_query_id": inbound.acknowledge})
        except (Fault, self._api.refusal):
            logger.debug("a press was not acknowledged", channel=NAME)

    # ------------------------------------------------------------------ the rest

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Stream a file in chunks, at most MAX_FILE_BYTES. Raises FileRefused or FileUnavailable."""
        if (file.size_bytes or 0) > MAX_FILE_BYTES:
            raise FileRefused("the file is over the 20 MB that Telegram gives to bots")
        try:
            found = await self._api.call("getFile", {"file_id": file.reference})
        except self._api.refusal as error:
            if "file is too big" in error.message:
                raise FileRefused("the file is over the 20 MB that Telegram gives to bots") from error
            raise FileUnavailable(self._api.hushed(error.message)) from error
        except Fault as fault:
            raise FileUnavailable(str(fault)) from fault
        path = found.get("file_path") if isinstance(found, dict) else None
        if not isinstance(path, str):
            raise FileUnavailable("Telegram gave no path for the file")
        size_bytes = 0
        async for chunk in self._api.download(path):
            size_bytes += len(chunk)
            if size_bytes > MAX_FILE_BYTES:
                raise FileRefused("the file turned out to be over 20 MB")
            yield chunk

    async def health(self) -> Health:
        """Ask who we are, and in webhook mode whether Telegram posts to us."""
        try:
            me = await self._api.call("getMe", {})
            hook = await self._api.call("getWebhookInfo", {}) if self._hook_url else {}
        except Fault as fault:
            return Health(reachable=False, detail=f"Telegram does not answer: {fault}")
        except self._api.refusal as error:
            return Health(reachable=False, detail=self._api.hushed(error.message))
        if self._hook_url and hook.get("url") != self._hook_url:
            return Health(reachable=False, detail="the webhook is set to another address")
        username = me.get("username", "")
        return Health(reachable=True, detail=f"@{username}", link=f"https://t.me/{username}?start={{code}}")

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def open_channel(settings: Settings, lent: Lent) -> TelegramChannel:
    """Make the channel; imports aiogram, which takes seconds."""
    return TelegramChannel(settings, lent.files)


# A message is kept for a day, a press only for so long: Client.cpp of the Bot API server.
CHANNEL = ChannelKind(NAME, Settings, open_channel, plain("Telegram"), press_kept_seconds=150)


# ---------------------------------------------------------------------- updates


def parse(update: Json, now: datetime) -> Inbound:
    """Turn one update into what it means for us.

    What fits no schema is never an error: OTHER when it can be told whose message it is, else IGNORED.
    `now` (aware UTC) is the time of a press, for which Telegram gives none.
    """
    event_key = str(update["update_id"])
    try:
        for kind, reader in _READERS.items():
            event = update.get(kind)
            if event is not None:
                return reader(event_key, event, now) or _ignored(event_key, now)
    except MISSHAPEN as error:
        logger.warning("an update of telegram fits no schema", update=event_key, error=type(error).__name__)
        found = readable(NAME, lambda: _read_whose(event_key, update, now))
        return found or _ignored(event_key, now)
    return _ignored(event_key, now)


def _ignored(event_key: str, now: datetime) -> Inbound:
    return Inbound(NAME, event_key, "", "", now, InboundKind.IGNORED)


def _read_message(event_key: str, message: Json, now: datetime) -> Inbound | None:  # noqa: ARG001
    sender, chat = message.get("from"), message["chat"]
    if chat["type"] != "private" or sender is None or sender.get("is_bot"):
        return None
    kind, text, code, files, contact = _content(message, sender)
    if kind is InboundKind.IGNORED:
        return None
    group = message.get("media_group_id")
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=str(whole_number(sender["id"])),
        chat_key=str(whole_number(chat["id"])),
        sent_at=_time(message["date"]),
        kind=kind,
        text=text,
        files=files,
        contact=contact,
        start_code=code,
        group_id=None if group is None else clean(group),
        message_key=str(whole_number(message["message_id"])),
        user_name=_name(sender),
    )


def _read_whose(event_key: str, update: Json, now: datetime) -> Inbound | None:
    """Of a message that cannot be read: from whom it is, so that they are told."""
    message = update["message"]
    sender, chat = message["from"], message["chat"]
    if chat["type"] != "private" or sender.get("is_bot"):
        return None
    keys = str(whole_number(sender["id"])), str(whole_number(chat["id"]))
    return Inbound(NAME, event_key, *keys, now, InboundKind.OTHER, UNREADABLE_MESSAGE)


_Content = tuple[InboundKind, str, str | None, tuple[IncomingFile, ...], Contact | None]


def _content(message: Json, sender: Json) -> _Content:
    text = message.get("text")
    if text is not None:
        text = clean(text)
        command, _, rest = text.partition(" ")
        if command == "/start" or command.startswith("/start@"):
            return InboundKind.STARTED, text, rest.strip() or None, (), None
        return InboundKind.TEXT, text, None, (), None
    return _rich(message["rich_message"]) if message.get("rich_message") else _shown(message, sender)


def _shown(message: Json, sender: Json) -> _Content:
    """What is not words; of a file there may be a caption."""
    text, kinds = clean(message.get("caption") or ""), [kind for kind in _FILES if message.get(kind)]
    found = (readable(NAME, partial(_file, kind, message[kind])) for kind in kinds)
    file = next(filter(None, found), None)
    if file is not None:
        return InboundKind.FILE, text, None, (file,), None
    if "contact" in message:
        contact = readable(NAME, lambda: _contact(message["contact"], sender))
        if contact is not None:
            return InboundKind.CONTACT, text, None, (), contact
    aside = UNREADABLE if kinds or "contact" in message else _unanswerable(message)
    if aside is None:
        return InboundKind.IGNORED, "", None, (), None
    return _said(text, [aside], ())


def _said(text: str, asides: Sequence[str], files: tuple[IncomingFile, ...]) -> _Content:
    """Words and files, with what came beside them and cannot be taken."""
    if not text and not files:
        return InboundKind.OTHER, ", ".join(asides) or "сообщение незнакомого вида", None, (), None
    kind = InboundKind.FILE if files else InboundKind.TEXT
    return kind, with_asides(text, asides), None, files, None


def _rich(message: Json) -> _Content:
    """What is written in the blocks, with the files in them."""
    read = [readable(NAME, partial(list[str | Shown], parts_of(block))) for block in message["blocks"]]
    parts = [part for block in read for part in block or ()]
    taken = [
        readable(NAME, partial(_taken, part.kind, part.content)) for part in parts if isinstance(part, Shown)
    ]
    files = tuple(each for each in taken if isinstance(each, IncomingFile))
    asides = [each or UNREADABLE for each in taken if not isinstance(each, IncomingFile)]
    asides += [UNREADABLE for block in read if block is None]
    return _said("\n".join(part for part in parts if isinstance(part, str)), asides, files)


def _taken(kind: str, content: Json) -> IncomingFile | str:
    return _place(content) if kind == "location" else _file(kind, content)


def _unanswerable(message: Json) -> str | None:
    """What we call what we cannot take; None for what Telegram notes down itself."""
    for kind, describe in _OTHER.items():
        if kind in message:
            return readable(NAME, partial(describe, message[kind])) or UNREADABLE
    if any(kind in message for kind in _SERVICE):
        return None
    return "сообщение незнакомого вида"


def _read_edited(event_key: str, message: Json, now: datetime) -> Inbound | None:
    inbound = _read_message(event_key, message, now)
    if inbound is None:
        return None
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=inbound.user_key,
        chat_key=inbound.chat_key,
        sent_at=_time(message["edit_date"]) if "edit_date" in message else inbound.sent_at,
        # A live location moves every few seconds: those are no corrections.
        kind=InboundKind.IGNORED if inbound.kind is InboundKind.OTHER else InboundKind.EDITED,
        text=inbound.text,
        files=inbound.files,
        group_id=inbound.group_id,
        message_key=inbound.message_key,
        user_name=inbound.user_name,
    )


def _read_press(event_key: str, press: Json, now: datetime) -> Inbound | None:
    sender = press["from"]
    # The message is absent or has only its ids and date 0 when it is too old to be shown.
    message = press.get("message") or {"chat": {"id": sender["id"], "type": "private"}}
    if message["chat"]["type"] != "private" or sender.get("is_bot"):
        return None
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=str(whole_number(sender["id"])),
        chat_key=str(whole_number(message["chat"]["id"])),
        sent_at=now,
        kind=InboundKind.BUTTON,
        button=clean(press["data"]),
        message_key=str(whole_number(message["message_id"])) if "message_id" in message else None,
        user_name=_name(sender),
        acknowledge=clean(press["id"]),
    )


def _read_membership(event_key: str, change: Json, now: datetime) -> Inbound | None:  # noqa: ARG001
    sender, chat = change["from"], change["chat"]
    kind = _MEMBERSHIP.get(change["new_chat_member"]["status"])
    if chat["type"] != "private" or kind is None:
        return None
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=str(whole_number(sender["id"])),
        chat_key=str(whole_number(chat["id"])),
        sent_at=_time(change["date"]),
        kind=kind,
        user_name=_name(sender),
    )


_READERS: Mapping[str, Callable[[str, Json, datetime], Inbound | None]] = {
    "message": _read_message,
    "callback_query": _read_press,
    "edited_message": _read_edited,
    "my_chat_member": _read_membership,
}

_MEMBERSHIP = {"kicked": InboundKind.BLOCKED, "member": InboundKind.UNBLOCKED}

_FILES: Mapping[str, tuple[FileRole, str]] = {
    # An animation also comes with a "document" for old clients: it must be looked at first.
    "animation": (FileRole.VIDEO, "Анимация.mp4"),
    "document": (FileRole.DOCUMENT, "Файл"),
    "photo": (FileRole.PHOTO, "Фото.jpg"),
    "voice": (FileRole.VOICE, "Голосовое сообщение.ogg"),
    "video": (FileRole.VIDEO, "Видео.mp4"),
    "audio": (FileRole.DOCUMENT, "Аудио.mp3"),
    "video_note": (FileRole.VIDEO, "Видеосообщение.mp4"),
}
"""Kind of a message → how it is shown, and its name when it has none."""


def _place(location: Json) -> str:
    return f"геопозиция {float(location['latitude']):.5g}, {float(location['longitude']):.5g}"


_OTHER: Mapping[str, Callable[[Json], str]] = {
    "sticker": lambda _: "наклейка",
    "venue": lambda venue: f"место «{clean(venue['title'])}», {clean(venue['address'])}",
    "location": _place,
    "poll": lambda poll: f"опрос «{clean(poll['question'])}»",
    "dice": lambda _: "игральная кость",
    "game": lambda _: "игра",
    "story": lambda _: "история",
    "checklist": lambda _: "список дел",
    "invoice": lambda _: "счёт Telegram",
    "paid_media": lambda _: "платная запись",
    "giveaway": lambda _: "розыгрыш",
}
"""What a person sent that we cannot take → what we call it. A venue also holds its location."""

_SERVICE = (
    "pinned_message",
    "message_auto_delete_timer_changed",
    "chat_background_set",
    "write_access_allowed",
    "connected_website",
    "proximity_alert_triggered",
    "boost_added",
    "gift",
    "unique_gift",
    "gift_upgrade_sent",
    "checklist_tasks_done",
    "checklist_tasks_added",
    "successful_payment",
    "refunded_payment",
    "giveaway_created",
    "giveaway_completed",
    "giveaway_winners",
    "managed_bot_created",
    "poll_option_added",
    "poll_option_deleted",
)
"""What Telegram notes down in a private chat; nobody expects an answer to it."""


def _file(kind: str, found: Json) -> IncomingFile:
    role, default_name = _FILES[kind]
    if kind == "photo":
        found = max(found, key=lambda size: size["width"] * size["height"])
    size_bytes, media_type = found.get("file_size"), found.get("mime_type")
    return IncomingFile(
        reference=clean(found["file_id"]),
        name=clean(found.get("file_name") or default_name),
        size_bytes=None if size_bytes is None else int(size_bytes),
        media_type="image/jpeg" if kind == "photo" else media_type and clean(media_type),
        role=role,
    )


def _contact(contact: Json, sender: Json) -> Contact:
    # A card of somebody else has another user_id, or none at all.
    verified = contact.get("user_id") is not None and contact["user_id"] == sender["id"]
    return Contact(clean(contact["phone_number"]), _name(contact), verified)


def _name(person: Json) -> str:
    last_name = person.get("last_name")
    first_name = clean(person["first_name"])
    return f"{first_name} {clean(last_name)}".strip() if last_name else first_name


def _time(unix_seconds: Json) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


def _update_id(update: Json) -> int | None:
    number = update.get("update_id") if isinstance(update, dict) else None
    return number if type(number) is int and number >= 0 else None


# ---------------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class _Call:
    """One request that sends one message, or one group of files."""

    method: str
    params: dict[str, Json]
    files: tuple[OutgoingFile, ...] = ()


def _calls(parcel: Parcel) -> list[_Call]:
    """Text, then files. One file goes with a short text as its caption; groups carry no buttons."""
    chat_id = int(parcel.chat_key) if parcel.chat_key.removeprefix("-").isdecimal() else parcel.chat_key
    base: dict[str, Json] = {"chat_id": chat_id}
    keyboard = {"reply_markup": {"inline_keyboard": _keyboard(parcel.rows)}} if parcel.rows else {}
    files = parcel.files
    if len(files) == 1 and _utf16_length(parcel.text) <= CAPTION_LENGTH:
        caption = {"caption": parcel.text} if parcel.text else {}
        return [_document(base | caption | keyboard, files[0])]
    calls = []
    if parcel.text:
        preview = {"link_preview_options": {"is_disabled": True}}
        calls.append(_Call("sendMessage", base | {"text": parcel.text} | preview | keyboard))
    elif parcel.rows and files:
        calls.append(_document(base | keyboard, files[0]))
        files = files[1:]
    for start in range(0, len(files), MEDIA_GROUP_SIZE):
        group = files[start : start + MEDIA_GROUP_SIZE]
        calls.append(_document(base, group[0]) if len(group) == 1 else _group(base, group))
    return calls


def _keyboard(rows: tuple[tuple[ShownButton, ...], ...]) -> list[list[dict[str, str]]]:
    return [[{"text": button.label, "callback_data": button.press} for button in row] for row in rows]


def _document(base: dict[str, Json], file: OutgoingFile) -> _Call:
    # Without the switch Telegram would show some documents as animations and music.
    params = {"document": "attach://file0", "disable_content_type_detection": True}
    return _Call("sendDocument", base | params, (file,))


def _group(base: dict[str, Json], files: tuple[OutgoingFile, ...]) -> _Call:
    media = [
        {"type": "document", "media": f"attach://file{number}", "disable_content_type_detection": True}
        for number in range(len(files))
    ]
    return _Call("sendMediaGroup", base | {"media": media}, files)


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _silence_seconds(error: TelegramRetryAfter) -> float | None:
    """For how long Telegram asks for silence; None when it does not say."""
    return min(error.retry_after, LONGEST_SILENCE_SECONDS) if error.retry_after > 0 else None


_NOBODY = ("chat not found", "user not found", "peer_id_invalid", "user is deactivated")


def _is_nobody(description: str) -> bool:
    return any(phrase in description.lower() for phrase in _NOBODY)


# ---------------------------------------------------------------------- the wire


@contextmanager
def _types_left_unbuilt() -> Iterator[None]:
    """Import aiogram without building the validators of its thousand types.

    aiogram declares them as built on first use and then has all of them built at import: 3 seconds and
    105 MB. We read and write Telegram's JSON ourselves and use none of them (docs/decisions/0006).
    """

    def left(_model: type[BaseModel], /, **_options: object) -> None:
        return None

    built = BaseModel.__dict__["model_rebuild"]
    BaseModel.model_rebuild = classmethod(left)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        BaseModel.model_rebuild = built  # type: ignore[method-assign]


class _Api:
    """The Bot API through aiogram's session. Raises `Fault`, or aiogram's error as `refusal`."""

    def __init__(self, settings: Settings) -> None:
        with _types_left_unbuilt():
            from aiogram import Bot
            from aiogram.client.session.aiohttp import AiohttpSession
            from aiogram.client.telegram import TelegramAPIServer
            from aiogram.exceptions import TelegramAPIError
        from aiohttp import ClientTimeout

        self._token = settings.token.get_secret_value()
        self._session = AiohttpSession(
            api=TelegramAPIServer.from_base(settings.api_base_url),
            proxy=settings.proxy.get_secret_value() if settings.proxy else None,
        )
        # Parsing the address anew would be a tenth of the cost of a request.
        self._urls: dict[str, URL] = {}
        self._bot = Bot(self._token, session=self._session)
        self._send_timeout_seconds = settings.send_timeout_seconds
        self.refusal: type[TelegramAPIError] = TelegramAPIError
        self._not_sent, self._lost = network_errors()
        self._download_timeout = ClientTimeout(
            connect=CONNECT_SECONDS, sock_read=settings.request_timeout_seconds
        )
        self.request_timeout = ClientTimeout(settings.request_timeout_seconds, connect=CONNECT_SECONDS)
        self.send_timeout = ClientTimeout(settings.send_timeout_seconds, connect=CONNECT_SECONDS)
        self.poll_timeout = ClientTimeout(
            settings.poll_timeout_seconds + settings.request_timeout_seconds, connect=CONNECT_SECONDS
        )

    def hushed(self, sentence: str) -> str:
        """Whatever Telegram or a proxy said, without the token."""
        return sentence.replace(self._token, "…")

    async def call(
        self, method: str, params: Mapping[str, Json], within: ClientTimeout | None = None
    ) -> Json:
        """Give the `result` of a method."""
        body = orjson.dumps(params)
        return await self._post(method, body, _JSON_HEADERS, within or self.request_timeout)

    async def deliver(self, call: _Call, files: StoredFiles) -> str:
        """Send a message and give its id, the last one of a group. Raises OSError for a lost file."""
        if call.files:
            result = await self._upload(call, files)
        else:
            result = await self._post(
                call.method, orjson.dumps(call.params), _JSON_HEADERS, self.send_timeout
            )
        message = result[-1] if isinstance(result, list) and result else result
        # It was taken; a missing id only means that the message cannot be named later.
        return str(message.get("message_id", "")) if isinstance(message, dict) else ""

    async def _upload(self, call: _Call, files: StoredFiles) -> Json:
        from aiohttp import ClientTimeout, FormData

        size_bytes = sum(file.size_bytes for file in call.files)
        timeout = ClientTimeout(
            self._send_timeout_seconds + size_bytes / SLOWEST_UPLOAD_BYTES_PER_SECOND,
            connect=CONNECT_SECONDS,
        )
        # Names go as they are: Telegram does not undo percent-encoding.
        form = FormData(quote_fields=False)
        for name, value in call.params.items():
            form.add_field(name, value if isinstance(value, str) else orjson.dumps(value).decode())
        with ExitStack() as opened:
            for number, file in enumerate(call.files):
                path = await asyncio.to_thread(files.path, file.sha256)
                content = await asyncio.to_thread(path.open, "rb")
                opened.enter_context(content)
                form.add_field(f"file{number}", content, filename=header_safe(file.name), content_type=_BYTES)
            return await self._post(call.method, form, None, timeout)

    async def _post(
        self,
        method: str,
        data: bytes | FormData,
        headers: Mapping[str, str] | None,
        within: ClientTimeout,
    ) -> Json:
        session = await self._session.create_session()
        url = self._urls.get(method)
        if url is None:
            url = self._urls[method] = URL(self._session.api.api_url(self._token, method))
        try:
            async with session.post(
                url, data=data, headers=headers, timeout=within, allow_redirects=False
            ) as response:
                body = await response.read()
        except self._not_sent as error:
            raise NotSent(type(error).__name__) from error
        except self._lost as error:
            raise AnswerLost(type(error).__name__) from error
        answer = decoded(body)
        if response.status == HTTPStatus.OK and isinstance(answer, dict) and answer.get("ok") is True:
            return answer.get("result")
        raise self._refused(method, response.status, answer, body, retry_after(response.headers))

    def _refused(
        self, method: str, status: int, answer: Json, body: bytes, after_seconds: float | None
    ) -> Fault:
        """Raise aiogram's error when it is Telegram who refuses; give the fault when it is not."""
        from aiogram.exceptions import ClientDecodeError, TelegramRetryAfter
        from aiogram.methods import DeleteWebhook

        if isinstance(answer, dict) and isinstance(answer.get("description"), str):
            # A refusal looks the same for every method; this one returns no type that must be built.
            any_method = DeleteWebhook.model_construct()
            try:
                self._session.check_response(self._bot, any_method, status, body.decode())
            except self.refusal as error:
                error.message = error.message.replace(DeleteWebhook.__name__, method)
                if status != HTTPStatus.TOO_MANY_REQUESTS or isinstance(error, TelegramRetryAfter):
                    raise
                # aiogram looks for the time in the body alone, and takes a 429 without one for a refusal.
                asks = TelegramRetryAfter(any_method, "", ceil(after_seconds or 0))
                asks.message = error.message
                raise asks from None
            except ClientDecodeError:
                logger.debug("telegram refused in an unknown form", method=method, status=status)
        if status == HTTPStatus.OK:
            return AnswerLost("the answer is cut short")
        return Misanswered(f"status {status} from somebody who is not Telegram")

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """Stream a file by its path. Raises FileUnavailable, without a cause: a cause may name the URL."""
        session = await self._session.create_session()
        url = self._session.api.file_url(self._token, path)
        try:
            async with session.get(
                url, timeout=self._download_timeout, allow_redirects=False, read_bufsize=4 * CHUNK_BYTES
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise FileUnavailable(f"status {response.status} instead of the file")
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    yield chunk
        except (*self._not_sent, *self._lost) as error:
            raise FileUnavailable(type(error).__name__) from None

    async def close(self) -> None:
        # Not aiogram's own close(), which sleeps for the sake of an aiohttp that did not wait for TLS.
        await (await self._session.create_session()).close()


_JSON_HEADERS = {"Content-Type": "application/json"}
_BYTES = "application/octet-stream"
