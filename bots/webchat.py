"""The web chat: our own messenger on our own port, `/chat`.

A browser holds a signed cookie, and the random chat key inside it is the whole identity. What was
said lives in the house (`ChatLog`), not here: an open page is shown new messages at once, and a page
that was away asks for the latest ones and recognises those it has by their keys. So a message nobody
was there to read counts as sent: it is read when the page opens again. A message of the visitor
carries the page's own UUID and is repeated until the acknowledgement, which follows the commit.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import html
import json
import mimetypes
import os
import re
import secrets
import shutil
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from string import Template
from typing import Annotated, BinaryIO, Literal
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from itsdangerous import BadSignature, Signer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bots.base import (
    MAX_FILE_BYTES,
    ChannelKind,
    Doors,
    FileRefused,
    FileUnavailable,
    Health,
    Lent,
    Limits,
)
from forms.messages import Inbound, InboundKind, IncomingFile, OutgoingFile, Press
from forms.texts import Size, Text, _
from notifications.outbox import Outcome, Parcel, Sent, ShownButton
from storage.subscribers import subscriber

logger = structlog.get_logger(__name__)

NAME = "webchat"

MAX_TEXT_LENGTH = 10_000
MAX_FRAME_BYTES = 64 * 1024
MAX_FILES_IN_MESSAGE = 10
MAX_LABEL_LENGTH = 200

HISTORY_LENGTH = 60
"""How many of the latest messages an opened page gets; earlier ones are asked for in such portions."""

COOKIE_SECONDS = 400 * 24 * 3600
"""Browsers cut anything longer: https://www.rfc-editor.org/rfc/rfc6265bis §5.5."""

SEND_TIMEOUT_SECONDS = 20.0
UPLOAD_TIMEOUT_SECONDS = 900.0
SWEEP_EVERY_SECONDS = 3600.0
STORE_AGAIN_SECONDS = 2.0
PACE_SECONDS = 10.0
QUEUED_FRAMES = 200
"""An open page that lags further behind is disconnected; it comes back and asks for what it missed."""

CLOSED_BY_HOUSE = 1012
"""The house restarts, or the page lagged: come back. https://www.iana.org/assignments/websocket"""
CLOSED_TOO_BIG = 1009
CLOSED_NO_SESSION = 4401
CLOSED_TOO_MANY = 4429

_ASSETS = Path(__file__).parent / "static" / "webchat"
_ASSET_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_RESERVED_PROFILES = frozenset({"socket", "static", "upload"})
_DIALOGUE_SCOPES = frozenset({"form", "nav"})
_DIALOGUE = ""
_CHUNK_BYTES = 256 * 1024
_TOKEN = re.compile(r"[0-9a-f]{32}")
_HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]{1,255}")


class Settings(BaseModel):
    """`[bots.webchat]`; an empty section is enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    """What stands in the header; the firm's name when empty."""
    greeting: str = ""
    """What a visitor reads before «Начать»."""
    messages_per_10_seconds: int = Field(20, ge=1)
    """For one visitor; five times as many for one address, since an office shares it."""
    max_sockets_per_address: int = Field(40, ge=1)
    upload_megabytes_per_visitor: int = Field(300, ge=20)
    """How much of one visitor's files may lie here, not yet sent or only just sent."""
    keep_free_megabytes: int = Field(500, ge=0)
    """Below this much free space no files are taken."""
    keep_unsent_hours: int = Field(24, ge=1)
    """A file that was uploaded and never sent goes after that long."""
    keep_sent_days: int = Field(3, ge=1)
    """A sent file waits that long for the house to store it."""
    refresh_seconds: float = Field(0, ge=0)
    """How often an open page looks by itself for what another process sent: only where their bells do not
    reach each other. 0 = never."""


PAGE_TEXTS: Mapping[str, Text] = {
    "log": _("Переписка"),
    "you": _("Вы"),
    "start": _("Начать"),
    "greeting": _("Здесь можно передать поручение бухгалтеру и узнать, как идут дела."),
    "write": _("Сообщение"),
    "send": _("Отправить сообщение"),
    "attach": _("Прикрепить файлы"),
    "drop": _("Отпустите файлы, чтобы прикрепить"),
    "earlier": _("Показать более ранние"),
    "newer": _("К последним сообщениям"),
    "online": _("На связи"),
    "connecting": _("Соединяемся…"),
    "offline": _("Нет связи, соединяемся снова…"),
    "refused_session": _("Браузер не сохраняет cookie. Разрешите их для этой страницы и обновите её."),
    "too_many": _("Открыто слишком много страниц чата. Закройте лишние и обновите эту."),
    "sending": _("отправляется"),
    "retrying": _("не отправлено, повторяем"),
    "not_sent": _("Не отправлено."),
    "remove": _("Убрать"),
    "remove_file": _("Убрать файл «{name}»", name="{name}"),
    "retry_file": _("Загрузить файл «{name}» ещё раз", name="{name}"),
    "retry": _("Повторить"),
    "uploading": _("Файл «{name}» загружается", name="{name}"),
    "uploaded": _("загружен"),
    "upload_failed": _("не загрузился"),
    "upload_failed_notice": _("Не все файлы загрузились. Повторите загрузку или уберите их."),
    "wait_upload": _("Отправим, как только файлы загрузятся."),
    "file_empty": _("Файл «{name}» пустой. Выберите другой.", name="{name}"),
    "file_too_big": _(
        "Файл «{name}» больше {limit}. Сожмите его или разделите на части.",
        name="{name}",
        limit=Size(MAX_FILE_BYTES),
    ),
    "too_many_files": _(
        "В одном сообщении не больше {count} файлов. Остальные отправьте следующим.",
        count=MAX_FILES_IN_MESSAGE,
    ),
    "text_too_long": _(
        "В сообщении не больше {limit} знаков, у вас {count}. Сократите его или отправьте файлом.",
        limit=MAX_TEXT_LENGTH,
        count="{count}",
    ),
    "file": _("Файл"),
    "bytes": _("Б"),
    "kilobytes": _("КБ"),
    "megabytes": _("МБ"),
    "no_script": _("Для чата нужен JavaScript. Включите его в браузере или позвоните нам."),
}
"""What the page itself says; `{braces}` that stay after rendering are filled by the page."""


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Hello(_Frame):
    type: Literal["hello"]


class _Ping(_Frame):
    type: Literal["ping"]


class _Earlier(_Frame):
    type: Literal["earlier"]
    before: int


class _Started(_Frame):
    type: Literal["start"]
    id: UUID
    code: str = Field("", max_length=100)


class _Said(_Frame):
    type: Literal["text"]
    id: UUID
    text: str = Field(min_length=1)


class _Pressed(_Frame):
    type: Literal["press"]
    id: UUID
    press: str = Field(min_length=1, max_length=64)
    label: str = Field("", max_length=MAX_LABEL_LENGTH)


class _Uploaded(_Frame):
    reference: str = Field(pattern=r"^[0-9a-f]{32}$")
    name: str = Field(min_length=1, max_length=500)


class _Attached(_Frame):
    type: Literal["files"]
    id: UUID
    text: str = ""
    files: list[_Uploaded] = Field(min_length=1, max_length=MAX_FILES_IN_MESSAGE)


_Message = _Started | _Said | _Pressed | _Attached
_FRAME: TypeAdapter[_Hello | _Ping | _Earlier | _Message] = TypeAdapter(
    Annotated[_Hello | _Ping | _Earlier | _Message, Field(discriminator="type")]
)


class WebChat:
    """The channel. One object serves all visitors of this process."""

    name = NAME
    limits = Limits(
        text_length=100_000,  # never cut: a letter is one message of the log
        buttons_per_row=5,
        label_length=100,
        file_bytes=2_000_000_000,  # a file is only linked to
        messages_per_second=1_000,
        messages_burst=1_000,
        chat_messages_per_second=20,
        chat_burst=100,
    )

    def __init__(self, settings: Settings, lent: Lent) -> None:
        self._settings = settings
        self._lent = lent
        self._uploads = _Uploads(lent.uploads)
        self._rooms: dict[str, _Room] = {}

    async def receive(self, doors: Doors) -> None:
        """Messages come through the routes; here old uploads are swept until cancelled."""
        while True:
            now = doors.now()
            await asyncio.to_thread(
                self._uploads.sweep,
                unsent_before=now - timedelta(hours=self._settings.keep_unsent_hours),
                sent_before=now - timedelta(days=self._settings.keep_sent_days),
            )
            await asyncio.sleep(SWEEP_EVERY_SECONDS)

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """The page, its files, the upload and the socket, for the chat and for each profile of it."""
        entrance = _Entrance(self._settings, self._lent, doors, self._uploads, self._rooms)
        return (
            Route("/chat/static/{version}/{name}", entrance.asset),
            Route("/chat/upload", entrance.upload, methods=["POST"]),
            Route("/chat/{profile}/upload", entrance.upload, methods=["POST"]),
            WebSocketRoute("/chat/socket", entrance.socket),
            WebSocketRoute("/chat/{profile}/socket", entrance.socket),
            Route("/chat", entrance.page),
            Route("/chat/{profile}", entrance.page),
        )

    async def send(self, parcel: Parcel) -> Outcome:
        """Show the message on every open page of the chat.

        `Sent` also when none is open: the house's own store is this messenger, and the next page to
        open reads the message there. The page knows a message by its key, so a repetition is shown once.
        """
        frame = _message_frame(
            key=_shown_key(parcel.key),
            mine=False,
            text=parcel.text,
            rows=parcel.rows,
            files=tuple(_file_frame(file, self._lent.file_link) for file in parcel.files),
        )
        if room := self._rooms.get(parcel.chat_key):
            room.say(frame)
        return Sent(_shown_key(parcel.key))

    def look_again(self, chat_key: str) -> None:
        """Have the open pages of that chat read the log: another process wrote there."""
        if room := self._rooms.get(chat_key):
            room.say(_LOOK)

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """The page disables the pressed buttons by itself."""

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Stream an uploaded file; `FileRefused` when it is no longer there."""
        try:
            handle = await asyncio.to_thread(self._uploads.open, file.reference)
        except FileNotFoundError as error:
            raise FileRefused("The uploaded file is gone.") from error
        except OSError as error:
            raise FileUnavailable(f"The upload folder does not answer: {error.strerror}") from error
        try:
            while chunk := await asyncio.to_thread(handle.read, _CHUNK_BYTES):
                yield chunk
        finally:
            handle.close()

    async def health(self) -> Health:
        """Reachable as long as files can be taken."""
        try:
            free_bytes = await asyncio.to_thread(self._uploads.free_bytes)
        except OSError:
            told = _("файлы негде хранить: в папку для них нельзя записать")
            return Health(reachable=False, detail="The upload folder cannot be written to.", told=told)
        pages = len(self._open_pages())
        return Health(
            reachable=True,
            detail=f"{pages} open pages, {free_bytes // 2**20} MB free",
            told=_("открыто окон: {count}, места для файлов: {free}", count=pages, free=Size(free_bytes)),
        )

    async def close(self) -> None:
        """Tell the open pages to come back."""
        for page in self._open_pages():
            page.leave()

    def _open_pages(self) -> list[_Page]:
        return [page for room in self._rooms.values() for page in room.pages]


def open_channel(settings: Settings, lent: Lent) -> WebChat:
    """Make the channel. Stored files are not sent but linked to."""
    return WebChat(settings, lent)


CHANNEL = ChannelKind(NAME, Settings, open_channel, _("чат на сайте"), own_page="/chat")


_LOOK: Mapping[str, object] = {"type": "look"}
"""Never sent: the page is sent what the log has instead."""


class _Page:
    """One open page, and what it is yet to be sent."""

    def __init__(self, socket: WebSocket, chat_key: str) -> None:
        self.socket = socket
        self.chat_key = chat_key
        self.newest: object = None
        """The key of the last message that it was sent."""
        self._outgoing: asyncio.Queue[Mapping[str, object] | None] = asyncio.Queue(QUEUED_FRAMES)

    def push(self, frame: Mapping[str, object]) -> None:
        """Send when its turn comes."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self.leave()

    def leave(self) -> None:
        """Close it; what it was not yet sent it will ask for when it returns."""
        while not self._outgoing.empty():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(None)

    async def next(self) -> Mapping[str, object] | None:
        """What to send next; None is the end."""
        return await self._outgoing.get()


@dataclass(slots=True)
class _Room:
    """The open pages of one chat. What the house answers waits until the pages know what it answers."""

    pages: set[_Page] = field(default_factory=set)
    _hearing: int = 0
    _held: list[Mapping[str, object]] = field(default_factory=list)

    def say(self, frame: Mapping[str, object]) -> None:
        """Show a message of the house."""
        if self._hearing:
            self._held.append(frame)
            return
        for page in self.pages:
            page.push(frame)

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """While open, a message of the visitor is being stored."""
        self._hearing += 1
        try:
            yield
        finally:
            self._hearing -= 1
            if not self._hearing:
                held, self._held = self._held, []
                for frame in held:
                    self.say(frame)


@dataclass(frozen=True, slots=True)
class _Visitor:
    """Who stands at the door: the chat's key in the cookie of this profile, and the address."""

    profile: str
    chat_key: str
    address: str

    @property
    def tag(self) -> str:
        """A public name of the session, of no use for entering it."""
        return hashlib.sha256(f"tag:{self.chat_key}".encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        return hashlib.sha256(f"folder:{self.chat_key}".encode()).hexdigest()[:32]


class _RefusedFrame(Exception):  # noqa: N818
    """The visitor's message cannot be taken; `text` says why."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.msgid)
        self.text = text


class _RefusedUpload(Exception):  # noqa: N818
    """The file cannot be taken."""

    def __init__(self, status: int, text: Text) -> None:
        super().__init__(text.msgid)
        self.status = status
        self.text = text


@dataclass(slots=True)
class _Pace:
    """At most `limit` events of one key in any `PACE_SECONDS`."""

    limit: int
    taken: dict[str, deque[datetime]] = field(default_factory=dict)

    def wait_seconds(self, key: str, now: datetime) -> float:
        """How long until one more fits; 0 means it fits."""
        taken = self.taken.get(key, deque())
        while taken and (now - taken[0]).total_seconds() >= PACE_SECONDS:
            taken.popleft()
        if len(taken) < self.limit:
            return 0.0
        return PACE_SECONDS - (now - taken[0]).total_seconds()

    def take(self, key: str, now: datetime) -> None:
        """Count one event."""
        if len(self.taken) > 10_000:  # noqa: PLR2004 - forget those who have been silent
            self.taken = {
                key: taken
                for key, taken in self.taken.items()
                if (now - taken[-1]).total_seconds() < PACE_SECONDS
            }
        self.taken.setdefault(key, deque()).append(now)


class _Entrance:
    """The HTTP side: who comes in, how often, and what the page says to us."""

    def __init__(
        self,
        settings: Settings,
        lent: Lent,
        doors: Doors,
        uploads: _Uploads,
        rooms: dict[str, _Room],
    ) -> None:
        self._settings = settings
        self._lent = lent
        self._doors = doors
        self._uploads = uploads
        self._rooms = rooms
        self._cards = _Cards(lent.secret_key)
        self._by_visitor = _Pace(settings.messages_per_10_seconds)
        self._by_address = _Pace(settings.messages_per_10_seconds * 5)
        self._sockets: Counter[str] = Counter()
        self._assets = {path.name: path.read_bytes() for path in sorted(_ASSETS.iterdir()) if path.is_file()}
        self._version = hashlib.sha256(b"".join(self._assets.values())).hexdigest()[:12]

    async def page(self, request: Request) -> Response:
        """The chat itself; gives a session to whoever has none and prolongs the others'."""
        profile = _profile(request)
        if profile is None:
            return _not_found()
        chat_key = self._cards.read(request, profile) or secrets.token_hex(16)
        visitor = _Visitor(profile, chat_key, subscriber(request.client.host if request.client else ""))
        nonce = secrets.token_urlsafe(16)
        response = Response(
            self._page_html(visitor, nonce),
            media_type="text/html",
            headers={
                "Content-Security-Policy": _policy(nonce, request),
                "Cache-Control": "no-store",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "X-Robots-Tag": "noindex",
            },
        )
        response.set_cookie(
            _cookie_name(profile),
            self._cards.write(chat_key, profile),
            max_age=COOKIE_SECONDS,
            path="/chat",
            secure=self._doors.public_url.startswith("https://"),
            httponly=True,
            samesite="lax",
        )
        return response

    async def asset(self, request: Request) -> Response:
        """A file of the page; its address changes with its content, so it may be kept for ever."""
        name = request.path_params["name"]
        media_type = _ASSET_TYPES.get(Path(name).suffix)
        if media_type is None or name not in self._assets:
            return _not_found()
        current = request.path_params["version"] == self._version
        return Response(
            self._assets[name],
            headers={
                "Content-Type": media_type,
                "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def upload(self, request: Request) -> Response:
        """Take one file as the body of the request; the answer's `reference` goes into a message."""
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT_SECONDS):
                return await self._keep(request, self._uploader(request))
        except _RefusedUpload as refused:
            status, text = refused.status, refused.text
        except TimeoutError:
            status, text = 408, _("Файл загружался слишком долго. Проверьте связь и попробуйте снова.")
        except ClientDisconnect:
            return Response(status_code=400)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            status, text = 507, _NO_ROOM
        return JSONResponse({"text": self._lent.render(text)}, status_code=status)

    def _uploader(self, request: Request) -> _Visitor:
        visitor = self._visitor(request)
        if visitor is None or not self._comes_from_us(request):
            raise _RefusedUpload(403, _("Сеанс закончился. Обновите страницу и прикрепите файл снова."))
        if self._must_wait_seconds(visitor):
            raise _RefusedUpload(429, _("Слишком много файлов подряд. Подождите несколько секунд."))
        if int(request.headers.get("content-length") or 0) > MAX_FILE_BYTES:
            raise _RefusedUpload(413, _TOO_BIG)
        return visitor

    async def _keep(self, request: Request, visitor: _Visitor) -> Response:
        if not await self._lent.log.may_keep(visitor.chat_key):
            raise _RefusedUpload(403, _CONSENT_FIRST)
        await asyncio.to_thread(self._check_room, visitor)
        part = await asyncio.to_thread(self._uploads.begin, visitor.folder)
        try:
            async for chunk in request.stream():
                if part.size_bytes + len(chunk) > MAX_FILE_BYTES:
                    raise _RefusedUpload(413, _TOO_BIG)
                await asyncio.to_thread(part.write, chunk)
            if not part.size_bytes:
                raise _RefusedUpload(400, _("Файл пустой. Выберите другой."))
            await asyncio.to_thread(part.finish)
        finally:
            part.discard()
        return JSONResponse({"reference": part.token, "size_bytes": part.size_bytes})

    def _check_room(self, visitor: _Visitor) -> None:
        if self._uploads.free_bytes() < self._settings.keep_free_megabytes * 2**20:
            raise _RefusedUpload(507, _NO_ROOM)
        if self._uploads.kept_bytes(visitor.folder) > self._settings.upload_megabytes_per_visitor * 2**20:
            raise _RefusedUpload(
                429,
                _("Загружено слишком много файлов. Попробуйте завтра или пришлите их другим способом."),
            )

    async def socket(self, socket: WebSocket) -> None:
        """Talk with one open page until it goes."""
        if not self._comes_from_us(socket):
            await _deny(socket)
            return
        visitor = self._visitor(socket)
        if visitor is None:
            # The page cannot read the status of a refused handshake, but it can read a close code.
            await socket.accept()
            await socket.close(CLOSED_NO_SESSION)
            return
        await socket.accept()
        if self._sockets[visitor.address] >= self._settings.max_sockets_per_address:
            await socket.close(CLOSED_TOO_MANY)
            return
        self._sockets[visitor.address] += 1
        try:
            await self._converse(_Page(socket, visitor.chat_key), visitor)
        finally:
            self._sockets -= Counter({visitor.address: 1})

    async def _converse(self, page: _Page, visitor: _Visitor) -> None:
        room = self._rooms.setdefault(visitor.chat_key, _Room())
        room.pages.add(page)
        try:
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(self._speak(page), name="webchat-speak")
                with suppress(WebSocketDisconnect):
                    await self._listen(page, visitor)
                speaking.cancel()
        finally:
            room.pages.discard(page)
            if not room.pages:
                self._rooms.pop(visitor.chat_key, None)

    async def _speak(self, page: _Page) -> None:
        with suppress(WebSocketDisconnect, TimeoutError):
            while True:
                try:
                    async with asyncio.timeout(self._settings.refresh_seconds or None):
                        frame = await page.next()
                except TimeoutError:
                    frame = _LOOK
                if frame is _LOOK:
                    frame = await self._news(page)
                async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                    if frame is None:
                        await page.socket.close(CLOSED_BY_HOUSE)
                        return
                    page.newest = frame.get("key", frame.get("newest", page.newest))
                    await page.socket.send_text(json.dumps(frame, ensure_ascii=False))

    async def _news(self, page: _Page) -> Mapping[str, object]:
        history = await self._history(page)
        return history if history["newest"] != page.newest else {"type": "pong"}

    async def _listen(self, page: _Page, visitor: _Visitor) -> None:
        while True:
            message = await page.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            raw = message.get("text") or ""
            if len(raw.encode()) > MAX_FRAME_BYTES:
                await page.socket.close(CLOSED_TOO_BIG)
                return
            try:
                frame = _FRAME.validate_json(raw)
            except ValidationError:
                page.push(self._refusal(_named(raw), _NOT_UNDERSTOOD))
                continue
            match frame:
                case _Hello() | _Earlier():
                    await self._recall(page, visitor, frame)
                case _Ping():
                    page.push({"type": "pong"})
                case _:
                    with self._rooms[visitor.chat_key].hearing():
                        await self._hear(page, visitor, frame)

    async def _recall(self, page: _Page, visitor: _Visitor, frame: _Hello | _Earlier) -> None:
        if self._must_wait_seconds(visitor):
            page.leave()
        elif isinstance(frame, _Hello):
            page.push(await self._history(page))
        else:
            page.push(await self._portion(page, "earlier", frame.before))

    async def _hear(self, page: _Page, visitor: _Visitor, frame: _Message) -> None:
        key = str(frame.id)
        if wait_seconds := self._must_wait_seconds(visitor):
            page.push(self._later(key, wait_seconds, _TOO_FAST))
            return
        now = self._doors.now()
        try:
            inbound = await self._inbound(visitor, frame, now)
            await self._doors.accept([inbound], None)
        except _RefusedFrame as refused:
            page.push(self._refusal(key, refused.text))
            return
        except Exception as error:  # noqa: BLE001 - whatever kept it from being stored: the page repeats it
            # The traceback may hold the visitor's words.
            logger.error("a web chat message was not stored and will be repeated", error=type(error).__name__)  # noqa: TRY400
            page.push(self._later(key, STORE_AGAIN_SECONDS, _NOT_STORED))
            return
        page.push({"type": "ack", "id": key, "sent_at": now.isoformat()})
        said = _message_frame(
            key=key,
            mine=True,
            text=inbound.text,
            files=tuple(
                {"name": file.name, "size_bytes": file.size_bytes or 0, "url": ""} for file in inbound.files
            ),
            sent_at=now,
        )
        for other in self._rooms[visitor.chat_key].pages:
            if other is not page and frame.type != "start":
                other.push(said)

    async def _inbound(self, visitor: _Visitor, frame: _Message, now: datetime) -> Inbound:
        def event(kind: InboundKind, **rest: object) -> Inbound:
            return Inbound(
                channel=NAME,
                event_key=f"{visitor.tag}:{frame.id}",
                user_key=visitor.chat_key,
                chat_key=visitor.chat_key,
                sent_at=now,
                kind=kind,
                message_key=str(frame.id),
                **rest,  # type: ignore[arg-type]
            )

        match frame:
            case _Started(code=code):
                return event(InboundKind.STARTED, start_code=code.strip() or None)
            case _Said(text=text):
                return event(InboundKind.TEXT, text=_clean(text))
            case _Pressed(press=press, label=label):
                return event(InboundKind.BUTTON, text=label, button=press)
            case _Attached(text=text, files=files):
                # Uploaded under a consent that was taken back, or replaced by a newer one, meanwhile.
                if not await self._lent.log.may_keep(visitor.chat_key):
                    raise _RefusedFrame(_CONSENT_FIRST)
                caption = _clean(text) if text.strip() else ""
                taken = await asyncio.to_thread(self._take, visitor, files)
                return event(InboundKind.FILE, text=caption, files=taken)

    def _take(self, visitor: _Visitor, files: Sequence[_Uploaded]) -> tuple[IncomingFile, ...]:
        try:
            return tuple(
                IncomingFile(
                    reference=f"{visitor.folder}/{file.reference}",
                    name=(name := _file_name(file.name)),
                    size_bytes=self._uploads.take(visitor.folder, file.reference),
                    media_type=mimetypes.guess_type(name)[0],
                )
                for file in files
            )
        except FileNotFoundError as error:
            raise _RefusedFrame(_("Файл до нас не дошёл. Прикрепите его ещё раз.")) from error

    async def _history(self, page: _Page) -> Mapping[str, object]:
        return await self._portion(page, "history", None)

    async def _portion(self, page: _Page, kind: str, before: int | None) -> Mapping[str, object]:
        """One more message than is shown tells whether there are earlier ones."""
        messages = await self._lent.log.latest(page.chat_key, HISTORY_LENGTH + 1, before)
        shown = messages[-HISTORY_LENGTH:]
        frames = [
            _message_frame(
                key=_own_key(message.key) if message.mine else _shown_key(message.key),
                mine=message.mine,
                text=message.text,
                rows=message.rows,
                files=tuple(_file_frame(file, self._lent.file_link) for file in message.files),
                sent_at=message.sent_at,
            )
            for message in shown
        ]
        return {
            "type": kind,
            "messages": frames,
            "before": shown[0].id if len(messages) > len(shown) else None,
            "newest": frames[-1]["key"] if frames else None,
        }

    def _must_wait_seconds(self, visitor: _Visitor) -> float:
        now = self._doors.now()
        wait_seconds = max(
            self._by_visitor.wait_seconds(visitor.chat_key, now),
            self._by_address.wait_seconds(visitor.address, now),
        )
        if not wait_seconds:
            self._by_visitor.take(visitor.chat_key, now)
            self._by_address.take(visitor.address, now)
        return wait_seconds

    def _visitor(self, connection: HTTPConnection) -> _Visitor | None:
        profile = _profile(connection)
        chat_key = None if profile is None else self._cards.read(connection, profile)
        if profile is None or chat_key is None:
            return None
        return _Visitor(profile, chat_key, subscriber(connection.client.host if connection.client else ""))

    def _comes_from_us(self, connection: HTTPConnection) -> bool:
        """A browser names the page that connects; another site's page must not speak for a visitor."""
        origin = urlsplit(connection.headers.get("origin", ""))
        if origin.scheme not in {"http", "https"} or not origin.netloc:
            return False
        public = urlsplit(self._doors.public_url)
        return origin.netloc == connection.headers.get("host") or origin[:2] == public[:2]

    def _page_html(self, visitor: _Visitor, nonce: str) -> str:
        title = self._settings.title or self._lent.firm
        texts = {name: self._lent.render(text) for name, text in PAGE_TEXTS.items()}
        texts["greeting"] = self._settings.greeting or texts["greeting"]
        data = {
            "base": f"/chat/{visitor.profile}" if visitor.profile else "/chat",
            "language": self._lent.language,
            "limits": {
                "text_length": MAX_TEXT_LENGTH,
                "file_bytes": MAX_FILE_BYTES,
                "files": MAX_FILES_IN_MESSAGE,
            },
            "storage": f"priem-chat:{visitor.tag}:",
            "texts": texts,
        }
        return Template(self._assets["index.html"].decode()).substitute(
            {name: html.escape(text) for name, text in texts.items()},
            assets=f"/chat/static/{self._version}",
            data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
            language=html.escape(self._lent.language),
            nonce=nonce,
            title=html.escape(title),
        )

    def _later(self, key: str, after_seconds: float, text: Text) -> Mapping[str, object]:
        return {
            "type": "slow_down",
            "id": key,
            "after_seconds": round(after_seconds, 1),
            "text": self._lent.render(text),
        }

    def _refusal(self, key: str | None, text: Text) -> Mapping[str, object]:
        return {"type": "refused", "id": key, "text": self._lent.render(text)}


_TOO_BIG = _("Файл больше {limit}. Сожмите его или разделите на части.", limit=Size(MAX_FILE_BYTES))
_TOO_FAST = _("Вы пишете слишком быстро. Отправим через несколько секунд.")
_NOT_STORED = _("Сообщение пока не сохранилось. Отправим его ещё раз.")
_NOT_UNDERSTOOD = _("Мы не поняли сообщение. Обновите страницу и отправьте снова.")
_CONSENT_FIRST = _("Сначала нажмите «Согласен»: до согласия мы ничего не сохраняем.")
_NO_ROOM = _("Сейчас мы не можем принять файл. Попробуйте через час или пришлите его другим способом.")


class _Cards:
    """The cookie's content: a chat key that only we can have signed, for one profile."""

    def __init__(self, secret_key: str) -> None:
        self._secret_key = secret_key

    def write(self, chat_key: str, profile: str) -> str:
        return self._signer(profile).sign(chat_key).decode()

    def read(self, connection: HTTPConnection, profile: str) -> str | None:
        try:
            chat_key = (
                self._signer(profile).unsign(connection.cookies.get(_cookie_name(profile), "")).decode()
            )
        except BadSignature:
            return None
        return chat_key if _TOKEN.fullmatch(chat_key) else None

    def _signer(self, profile: str) -> Signer:
        return Signer(
            self._secret_key,
            salt=f"webchat-session:{profile}",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )


class _Part:
    """A file that is being uploaded."""

    def __init__(self, folder: Path, token: str) -> None:
        self.token = token
        self.size_bytes = 0
        self._path = folder / f"{token}.part"
        self._final = folder / token
        self._handle = self._path.open("xb")

    def write(self, chunk: bytes) -> None:
        self._handle.write(chunk)
        self.size_bytes += len(chunk)

    def finish(self) -> None:
        """Name it as a whole file, so that neither a crash nor a power cut can take it back."""
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self._handle.close()
        self._path.replace(self._final)
        _keep_names(self._final.parent)

    def discard(self) -> None:
        """Drop what was not finished."""
        self._handle.close()
        self._path.unlink(missing_ok=True)


class _Uploads:
    """The folder of uploaded files: `new/<visitor>/<token>` until a message takes them, then `sent/…`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new = folder / "new"
        self._sent = folder / "sent"

    def begin(self, visitor: str) -> _Part:
        folder = self._new / visitor
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _Part(folder, secrets.token_hex(16))

    def take(self, visitor: str, token: str) -> int:
        """A message carries this file now; its size. Again for a repeated message."""
        sent = self._sent / visitor / token
        if not sent.exists():
            sent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._new / visitor / token).replace(sent)
            _keep_names(sent.parent)
        return sent.stat().st_size

    def open(self, reference: str) -> BinaryIO:
        visitor, _slash, token = reference.partition("/")
        if not (_TOKEN.fullmatch(visitor) and _TOKEN.fullmatch(token)):
            raise FileNotFoundError(reference)
        return (self._sent / visitor / token).open("rb")

    def kept_bytes(self, visitor: str) -> int:
        """What lies here of this visitor, sent or not."""
        size_bytes = 0
        for folder in (self._new, self._sent):
            for path in folder.glob(f"{visitor}/*"):
                with suppress(FileNotFoundError):  # sent, finished or swept this moment
                    size_bytes += path.stat().st_size
        return size_bytes

    def free_bytes(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._folder).free

    def sweep(self, *, unsent_before: datetime, sent_before: datetime) -> None:
        """Delete what nobody sent, and what the house has had long enough to store."""
        for folder, before in ((self._new, unsent_before), (self._sent, sent_before)):
            for path in folder.glob("*/*"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before.timestamp():
                        path.unlink()


def _keep_names(folder: Path) -> None:
    """Make the names in this folder survive a power cut."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _message_frame(
    *,
    key: str,
    mine: bool,
    text: str,
    rows: Sequence[Sequence[ShownButton]] = (),
    files: Sequence[Mapping[str, object]] = (),
    sent_at: datetime | None = None,
) -> Mapping[str, object]:
    return {
        "type": "message",
        "key": key,
        "mine": mine,
        "text": text,
        "rows": [[{"label": button.label, "press": button.press} for button in row] for row in rows],
        "thread": _thread(rows),
        "files": list(files),
        "sent_at": sent_at.isoformat() if sent_at else None,
    }


def _thread(rows: Sequence[Sequence[ShownButton]]) -> str:
    """What the buttons are about, so that the page knows which later message takes their place.

    The dialogue has one current screen: a later one, or a word of the visitor, makes the earlier dead.
    Cards of different requests stay alive side by side; an accountant may have several to accept.
    """
    presses = [Press.parse(button.press) for row in rows for button in row]
    known = [press for press in presses if press is not None]
    if not known or any(press.scope in _DIALOGUE_SCOPES for press in known):
        return _DIALOGUE
    return f"{known[0].scope}:{known[0].target}"


def _file_frame(file: OutgoingFile, link: Callable[[OutgoingFile], str]) -> Mapping[str, object]:
    return {"name": file.name, "size_bytes": file.size_bytes, "url": link(file) if file.sha256 else ""}


def _shown_key(key: str) -> str:
    """A letter's key speaks of what the house does; the page gets a name without meaning."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _own_key(event_key: str) -> str:
    return event_key.partition(":")[2]


def _named(raw: str) -> str | None:
    """The id of a frame that is otherwise not understood, so that the page stops repeating it."""
    found = re.search(r'"id"\s*:\s*"([0-9a-f-]{36})"', raw)
    return found[1] if found else None


def _clean(text: str) -> str:
    """What a person wrote; PostgreSQL cannot store NUL."""
    if len(text) > MAX_TEXT_LENGTH:
        raise _RefusedFrame(
            _(
                "В сообщении не больше {limit} знаков, у вас {count}. Сократите его или отправьте файлом.",
                limit=MAX_TEXT_LENGTH,
                count=len(text),
            )
        )
    cleaned = text.replace("\x00", "").strip()
    if not cleaned:
        raise _RefusedFrame(_("Сообщение пустое. Напишите что-нибудь."))
    return cleaned


def _file_name(name: str) -> str:
    """The last part of a path in either notation, without control characters, of bearable length."""
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(sign for sign in last if sign.isprintable()).strip(". ")
    stem, dot, suffix = printable.rpartition(".")
    return f"{stem[:150]}{dot}{suffix[:20]}" if stem else printable[:170] or "file"


def _profile(connection: HTTPConnection) -> str | None:
    """Which of the chats that live side by side in one browser; None for an impossible name."""
    profile: str = connection.path_params.get("profile", "")
    if profile and (not re.fullmatch(r"[a-z0-9-]{1,20}", profile) or profile in _RESERVED_PROFILES):
        return None
    return profile


def _cookie_name(profile: str) -> str:
    return f"priem_chat_{profile}" if profile else "priem_chat"


def _policy(nonce: str, request: Request) -> str:
    """Nothing but ourselves. Firefox before 101 and Safari before 15.4 do not count a WebSocket as 'self'."""
    host = request.headers.get("host", "")
    socket = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; connect-src 'self'{socket}; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def _deny(socket: WebSocket) -> None:
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(PlainTextResponse("Forbidden", status_code=403))
    else:
        await socket.close()


def _not_found() -> Response:
    return PlainTextResponse("Not found", status_code=404)
