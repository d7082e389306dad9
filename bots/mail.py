"""E-mail: IMAP (RFC 3501, IDLE: RFC 2177) for what comes, SMTP (RFC 5321) for what goes.

IMAPClient reads the mailbox from a thread of its own, aiosmtplib sends. A person's whole
correspondence is one chat, whose key is their address: subjects and threads are for people. Whoever
is not vouched for by our own mail server, where it vouches at all, has a chat apart. What a letter
means is read by `bots.letters`.
"""

from __future__ import annotations

import asyncio
import base64
import html
import re
import socket
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from starlette.routing import BaseRoute

from bots import mime
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
)
from bots.letters import (
    MARKED,
    MAX_LETTER_BYTES,
    NAME,
    REPLY,
    START,
    UNVERIFIED,
    Fetched,
    Own,
    Taken,
    Thread,
    ascii_address,
    has_nobody,
    hushed,
    parse_letter,
)
from bots.wire import CHUNK_BYTES, CONNECT_SECONDS, SLOWEST_UPLOAD_BYTES_PER_SECOND, Pauses
from forms.messages import (
    Inbound,
    InboundKind,
    IncomingFile,
    OutgoingFile,
)
from forms.texts import Text, _, lines
from notifications.outbox import Blocked, Outcome, Parcel, Rejected, Retry, Sent, TokenRevoked, Unknown
from storage.object_store import StoreUnreachable

if TYPE_CHECKING:
    from aiosmtplib import SMTP
    from imapclient import IMAPClient

logger = structlog.get_logger(__name__)

HEAD_BYTES = 256 * 1024
"""Of such a letter so much is read: its headers and, nearly always, its text."""
SENT_LETTER_BYTES = 25 * 1024 * 1024
FILES_BYTES = 17 * 1024 * 1024
"""What fits into a letter of 25 MB as base64; the other files of a message become links."""

LETTERS_AT_ONCE = 10
TRIES_FOR_A_LETTER = 4
"""So often a letter is asked for that the server will not give out, before the others go past it."""
WITHHELD_LETTERS = 20
"""So many such letters are remembered, and asked for again with every look into the mailbox."""
IDLE_SECONDS = 240
"""Routers forget silent connections; RFC 2177 wants a new IDLE every 29 minutes at least."""
FIRST_LOOK_BACK = timedelta(days=1)
LETTERS_BEFORE_A_LOGO = 2
_REMEMBERED_THREADS = 10_000
_REMEMBERED_PICTURES = 10_000

T = TypeVar("T")


# ---------------------------------------------------------------------- settings


@dataclass(frozen=True, slots=True)
class _Account:
    """A server and how to sign in there; its repr tells no password."""

    security: Literal["tls", "starttls", "none"]
    host: str
    port: int
    user: str
    password: SecretStr
    folder: str


_SECURITY: dict[str, tuple[str, Literal["tls", "starttls", "none"], int]] = {
    "imaps": ("imap", "tls", 993),
    "imap+starttls": ("imap", "starttls", 143),
    "imap": ("imap", "none", 143),
    "smtps": ("smtp", "tls", 465),
    "smtp+starttls": ("smtp", "starttls", 587),
    "smtp": ("smtp", "none", 25),
}


def _account(url: SecretStr) -> _Account:
    parts = urlsplit(url.get_secret_value())
    _protocol, security, port = _SECURITY[parts.scheme]
    return _Account(
        security,
        parts.hostname or "",
        parts.port or port,
        unquote(parts.username or ""),
        SecretStr(unquote(parts.password or "")),
        unquote(parts.path.strip("/")) or "INBOX",
    )


def _server(protocol: str, example: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            known = parts.scheme in _SECURITY and _SECURITY[parts.scheme][0] == protocol
            complete = bool(parts.hostname and parts.username and parts.password and parts.port != 0)
        except ValueError:
            known = complete = False
        if not (known and complete):
            raise ValueError(f"{example}, with %40 for an @ inside the name or the password")
        account = _account(value)
        if not (account.user + account.password.get_secret_value()).isascii():
            raise ValueError("only Latin letters, digits and signs: take an application password")
        return value

    return AfterValidator(check)


def _own_address(value: str) -> str:
    if not mime.is_address(parseaddr(value)[1]):
        raise ValueError("an address like intake@example.org, or Firm <intake@example.org>")
    return value


def _proxy(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"(http|socks4|socks5)://\S+", value.get_secret_value()):
        raise ValueError("socks5://user:password@host:port")
    return value


class Settings(BaseModel):
    """Section `[bots.mail]`. `authserv_id` is how our own mail server signs its checks of senders."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    imap_url: Annotated[SecretStr, _server("imap", "imaps://user:password@imap.example.org/INBOX")]
    smtp_url: Annotated[SecretStr, _server("smtp", "smtps://user:password@smtp.example.org")]
    address: Annotated[str, AfterValidator(_own_address)]
    authserv_id: str = ""
    idle: bool = True
    poll_seconds: float = Field(60, gt=0)
    proxy: Annotated[SecretStr, AfterValidator(_proxy)] | None = None
    request_timeout_seconds: float = Field(20, gt=0)
    send_timeout_seconds: float = Field(60, gt=0)
    messages_per_second: float = Field(1, gt=0)
    messages_burst: int = Field(10, ge=1)
    # One letter in 30 seconds, after the first five, is more than any conversation by letter needs:
    # the last brake should two robots ever answer one another.
    chat_messages_per_second: float = Field(0.033, gt=0)
    chat_burst: int = Field(5, ge=1)


# ---------------------------------------------------------------------- the channel


class _Withheld(Exception):  # noqa: N818 - the name says what happened
    """The server answers, but does not give out one of its letters."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Letters that were read; numbers of those given up; the one that is to be asked for once more."""

    letters: Sequence[Taken]
    withheld: tuple[int, ...] = ()
    refused: int | None = None


class MailChannel:
    """One mailbox and the server through which its answers go."""

    name = NAME

    def __init__(self, settings: Settings, lent: Lent, pauses: Pauses | None = None) -> None:
        self.limits = Limits(
            text_length=100_000,
            buttons=False,
            file_bytes=MAX_FILE_BYTES,
            messages_per_second=settings.messages_per_second,
            messages_burst=settings.messages_burst,
            chat_messages_per_second=settings.chat_messages_per_second,
            chat_burst=settings.chat_burst,
        )
        name, address = parseaddr(settings.address)
        self._settings = settings
        self._lent = lent
        self._pauses = pauses or Pauses()
        self._own = Own(address.lower(), settings.authserv_id.lower(), lent.secret_key)
        self._firm = name or lent.firm
        self._postman = _Postman(settings, self._own)
        # Where each person's last letter stands: lost in a restart, then ours begin a thread of their own.
        self._threads: OrderedDict[str, Thread] = OrderedDict()
        self._now: Callable[[], datetime] | None = None
        self._opening = asyncio.Lock()
        self._opened: tuple[str, list[mime.Attachment]] | None = None
        self._refusals: Counter[tuple[int, int]] = Counter()
        self._withheld: tuple[int, ...] = ()
        # In which letters of whom a picture stood: after a restart a logo may come as a file again.
        self._pictures: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()

    # ------------------------------------------------------------------ receiving

    async def receive(self, doors: Doors) -> None:
        """Run until cancelled. A letter counts as read only after `accept` has returned."""
        self._now = doors.now
        place, failures = _Place.read(doors.cursor), 0
        while True:
            async with _reading(self._settings) as mailbox:
                try:
                    await mailbox.do(lambda box: box.open())
                    while True:
                        place = await self._take_new(mailbox, doors, place)
                        failures = 0
                        await mailbox.until_news()
                except _mailbox_errors() as error:
                    failures += 1
                    trouble, (sentence, pause) = type(error).__name__, self._trouble(error, failures)
            logger.warning(sentence, reason=trouble, retry_in_seconds=round(pause, 1))
            await asyncio.sleep(pause)

    def _trouble(self, error: Exception, failures: int) -> tuple[str, float]:
        from imapclient.exceptions import LoginError

        if isinstance(error, LoginError):
            return (
                "the mailbox refuses our name or password: check imap_url in [bots.mail]",
                self._pauses.misconfigured_seconds,
            )
        if isinstance(error, _Withheld):
            return "the mailbox does not give out a letter", self._pauses.after(failures)
        return "the mailbox does not answer", self._pauses.after(failures)

    async def _take_new(self, mailbox: _Reading, doors: Doors, place: _Place | None) -> _Place:
        """Take what has come since `place`; where to go on from."""
        now = doors.now()
        validity = mailbox.box.uid_validity
        fresh = await mailbox.do(lambda box: box.new_letters(place, now))
        # Withheld letters have other numbers in a mailbox that was made anew: there they are fresh.
        withheld = place.withheld if place is not None and place.uid_validity == validity else ()
        if place is not None and withheld:
            asked = withheld
            found = await mailbox.do(lambda box: self._batch(box, asked, patient=False))
            withheld = found.withheld
            place = replace(place, withheld=withheld)
            if len(withheld) < len(asked):
                await self._take(mailbox, doors, found.letters, place)
        for start in range(0, len(fresh), LETTERS_AT_ONCE):
            uids = fresh[start : start + LETTERS_AT_ONCE]
            batch = await mailbox.do(lambda box, uids=uids: self._batch(box, uids, patient=True))  # type: ignore[misc]
            withheld = (*withheld, *batch.withheld)[-WITHHELD_LETTERS:]
            if batch.refused == uids[0]:
                raise _Withheld
            place = _Place(validity, batch.refused or uids[-1] + 1, now.date(), withheld)
            await self._take(mailbox, doors, batch.letters, place)
            if batch.refused is not None:
                raise _Withheld
        if place is None or place.uid_validity != validity:
            place = _Place(validity, mailbox.box.next_uid, now.date())
            await self._give(doors, [], place)
        return place

    def _batch(self, box: _Mailbox, uids: Sequence[int], *, patient: bool) -> _Batch:
        """Read these letters. Of one that the server refuses time and again, only the number is kept.

        While somebody patient still hopes for it, what comes after it waits.
        """
        letters: list[Taken] = []
        withheld: list[int] = []
        for uid in uids:
            known_as = box.uid_validity, uid
            try:
                letter = self._read(box, uid)
            except _mailbox_errors() as error:
                box.must_answer()
                self._refusals[known_as] += 1
                if patient and self._refusals[known_as] < TRIES_FOR_A_LETTER:
                    return _Batch(letters, tuple(withheld), uid)
                if patient:
                    logger.error(  # noqa: TRY400 - what a server says may hold words of the letter
                        "the mailbox does not give out a letter, the others go past it",
                        uid=uid,
                        reason=type(error).__name__,
                    )
                withheld.append(uid)
            else:
                letters += [] if letter is None else [letter]
            self._refusals.pop(known_as, None)
        return _Batch(letters, tuple(withheld))

    async def _take(self, mailbox: _Reading, doors: Doors, letters: Sequence[Taken], place: _Place) -> None:
        await self._give(doors, [letter.inbound for letter in letters], place)
        for letter in letters:
            self._remember(letter)
        # What is not for us stays unread, so that a person sees it.
        seen = [each.uid for each in letters if each.inbound.kind is not InboundKind.IGNORED]
        await mailbox.do(lambda box: box.mark_seen(seen))

    def _read(self, box: _Mailbox, uid: int) -> Taken | None:
        fetched = box.fetch(uid)
        return None if fetched is None else self._without_logos(parse_letter(fetched, self._own))

    def _without_logos(self, letter: Taken) -> Taken:
        """Leave pictures among the words out that came in other letters of this person before.

        Twice before: whoever was asked to send a letter once more has sent no logo.
        """
        logos: set[str] = set()
        for reference, digest in letter.pictures:
            known_as = letter.inbound.chat_key, digest
            others = self._pictures.get(known_as, frozenset()) - {letter.inbound.event_key}
            if len(others) >= LETTERS_BEFORE_A_LOGO:
                logos.add(reference)
            else:
                self._pictures[known_as] = others | {letter.inbound.event_key}
            self._pictures.move_to_end(known_as)
            if len(self._pictures) > _REMEMBERED_PICTURES:
                self._pictures.popitem(last=False)
        if not logos:
            return letter
        files = tuple(file for file in letter.inbound.files if file.reference not in logos)
        kind = letter.inbound.kind if files else InboundKind.TEXT
        return replace(letter, inbound=replace(letter.inbound, files=files, kind=kind))

    async def _give(self, doors: Doors, inbounds: list[Inbound], place: _Place) -> None:
        """Hand letters over, as often as it takes: the mailbox keeps them meanwhile."""
        self._withheld = place.withheld
        failures = 0
        while True:
            try:
                return await doors.accept(inbounds, Cursor(NAME, str(place)))
            except Exception as error:  # noqa: BLE001 - whatever kept them from being stored
                failures += 1
                pause = self._pauses.after(failures)
                logger.error(  # noqa: TRY400 - the traceback may hold the client's words
                    "letters were not stored and are given again",
                    error=type(error).__name__,
                    retry_in_seconds=round(pause, 1),
                )
                await asyncio.sleep(pause)

    def _remember(self, letter: Taken) -> None:
        if letter.inbound.chat_key and letter.thread is not None:
            self._threads[letter.inbound.chat_key] = letter.thread
            self._threads.move_to_end(letter.inbound.chat_key)
            if len(self._threads) > _REMEMBERED_THREADS:
                self._threads.popitem(last=False)

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """Nobody posts to us; the clock is for the dates of our letters."""
        self._now = doors.now
        return ()

    # ------------------------------------------------------------------ sending

    async def send(self, parcel: Parcel) -> Outcome:
        """Send one letter. The same parcel has the same Message-ID, so a repetition is recognised."""
        recipient = ascii_address(parcel.chat_key.removeprefix(UNVERIFIED))
        if recipient is None:
            return Rejected("this address cannot be written to")
        try:
            letter, message_id = await asyncio.to_thread(self._composed, parcel, recipient)
        except StoreUnreachable as error:
            return Retry(reason=str(error))
        except OSError as error:
            return Rejected(f"the stored file cannot be read: {type(error).__name__}")
        if len(letter) > SENT_LETTER_BYTES:
            return Rejected("the letter is over 25 MB")
        outcome = await self._postman.deliver(recipient, letter)
        return Sent(message_id) if isinstance(outcome, Sent) else outcome

    def _composed(self, parcel: Parcel, recipient: str) -> tuple[bytes, str]:
        files, linked = _fitting(parcel.files)
        text = parcel.text
        if linked:
            links = (
                _(
                    "Файл «{name}» не поместился в письмо, он здесь: {url}",
                    name=file.name,
                    url=self._lent.file_link(file),
                )
                for file in linked
            )
            text = f"{text}\n\n{self._lent.render(lines(*links, self._last_day()))}".strip()
        thread = self._threads.get(parcel.chat_key)
        message_id = self._own.message_id(parcel)
        letter = EmailMessage(policy=_POLICY)
        letter["From"] = Address(self._firm, addr_spec=ascii_address(self._own.address) or self._own.address)
        letter["To"] = Address(addr_spec=recipient)
        letter["Subject"] = _subject(parcel.text, thread, self._firm)
        letter["Message-ID"] = f"<{message_id}>"
        if self._now is not None:
            letter["Date"] = format_datetime(self._now())
        if thread is not None:
            letter["In-Reply-To"] = f"<{thread.message_id}>"
            letter["References"] = thread.references
        # Tells other robots not to answer (RFC 3834), and Exchange not to say that its owner is away.
        letter["Auto-Submitted"] = "auto-generated" if thread is None else "auto-replied"
        letter["X-Auto-Response-Suppress"] = "All"
        letter.set_content(text)
        letter.add_alternative(_page(text), subtype="html")
        for file in files:
            maintype, _slash, subtype = file.media_type.partition("/")
            letter.add_attachment(
                self._lent.files.path(file.sha256).read_bytes(),
                maintype=maintype
                if subtype and maintype not in ("text", "multipart", "message")
                else "application",
                subtype=subtype
                if subtype and maintype not in ("text", "multipart", "message")
                else "octet-stream",
                filename=_one_line(file.name),
            )
        return letter.as_bytes(), message_id

    def _last_day(self) -> Text | None:
        """On which day the links of a letter still work, wherever in Russia it is read."""
        if self._now is None:
            return None
        day = (self._now() + self._lent.file_links_last - timedelta(days=1)).date()
        return _("По ссылке файл можно скачать по {day} включительно.", day=f"{day:%d.%m.%Y}")

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """Letters have no buttons."""

    # ------------------------------------------------------------------ the rest

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Give a file of a letter, which is fetched once for all its files.

        Raises FileRefused or FileUnavailable.
        """
        if (file.size_bytes or 0) > MAX_FILE_BYTES:
            raise FileRefused("the file is over 20 MB")
        wanted = _FilePlace.read(file.reference)
        if wanted is None:
            raise FileRefused("the letter of this file is not known")
        async with self._opening:
            found = await self._files_of(wanted)
            if wanted.number >= len(found) - 1:
                self._opened = None
        if wanted.number >= len(found):
            raise FileRefused("the letter has no such file")
        content = found[wanted.number].content
        if len(content) > MAX_FILE_BYTES:
            raise FileRefused("the file turned out to be over 20 MB")
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]

    async def _files_of(self, wanted: _FilePlace) -> list[mime.Attachment]:
        if self._opened is None or self._opened[0] != wanted.letter:
            self._opened = None
            try:
                async with _reading(self._settings) as mailbox:
                    await mailbox.do(lambda box: box.open(readonly=True))
                    raw = await mailbox.do(lambda box: box.find(wanted))
            except _mailbox_errors() as error:
                raise FileUnavailable(type(error).__name__) from None
            if raw is None:
                raise FileRefused("the letter is no longer in the mailbox")
            attachments = await asyncio.to_thread(lambda: mime.attachments(mime.read(raw)))
            self._opened = (wanted.letter, attachments)
        return self._opened[1]

    async def health(self) -> Health:
        """Sign in to both servers."""
        link = f"mailto:{self._own.address}?subject=/start%20{{code}}"
        try:
            async with _reading(self._settings) as mailbox:
                await mailbox.do(lambda box: box.open(readonly=True))
        except _mailbox_errors() as error:
            sentence, _pause = self._trouble(error, 1)
            return Health(reachable=False, detail=f"{sentence} ({type(error).__name__})", link=link)
        outcome = await self._postman.greet()
        if not isinstance(outcome, Sent):
            return Health(reachable=False, detail=f"letters cannot be sent: {outcome.reason}", link=link)
        return Health(reachable=True, detail="; ".join((self._own.address, *self._warnings())), link=link)

    def _warnings(self) -> Iterator[str]:
        if self._withheld:
            numbers = ", ".join(map(str, self._withheld))
            yield f"the mailbox does not give out the letters with UID {numbers}: look at them yourself"
        if not self._own.authserv_id:
            yield "authserv_id is not set, so anybody may write under a client's address"
        for key, url in (("imap_url", self._settings.imap_url), ("smtp_url", self._settings.smtp_url)):
            if _account(url).security == "none":
                yield f"the password in {key} crosses the network unencrypted"

    async def close(self) -> None:
        """Nothing stays open: each letter has its own connection."""
        self._opened = None


def open_channel(settings: Settings, lent: Lent) -> MailChannel:
    """Make the channel; nothing is connected yet."""
    return MailChannel(settings, lent)


CHANNEL = ChannelKind(NAME, Settings, open_channel, title=_("Почта"), by_email=True)


# ---------------------------------------------------------------------- letters that go

_POLICY = SMTP_POLICY.clone(cte_type="7bit")
_REQUEST_NUMBER = re.compile(r"\b(?:заявк\w*|request)\s+(?:№\s*)?(\d{1,9})\b", re.IGNORECASE)
_SUBJECT_LENGTH = 120


def _subject(text: str, thread: Thread | None, firm: str) -> str:
    """«[№ 118] Заявка № 118 принята» when the text is about one request; else as the person's own letter."""
    numbers = set(_REQUEST_NUMBER.findall(text))
    if len(numbers) == 1:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        sentence = re.split(r"(?<=\w)[.!?:](?:\s|$)", first)[0]
        return _one_line(f"[№ {numbers.pop()}] {sentence}")[:_SUBJECT_LENGTH]
    subject = thread.subject if thread is not None else ""
    # A question of the form under somebody's words about a request is not about that request.
    if not subject or START.match(subject) or MARKED.search(subject):
        return _one_line(firm)[:_SUBJECT_LENGTH]
    return _one_line(subject if REPLY.match(subject) else f"Re: {subject}")[:_SUBJECT_LENGTH]


def _one_line(text: str) -> str:
    """Words that cannot break out of their header."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _page(text: str) -> str:
    shown = _LINK.sub(r'<a href="\g<0>">\g<0></a>', html.escape(text))
    # Whoever answers with a page alone quotes these lines: only breaks of their own stay apart.
    shown = shown.replace("\n", "<br>\n")
    return f'<div style="font-family: sans-serif">{shown}</div>'


_LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)»]")


def _fitting(files: Sequence[OutgoingFile]) -> tuple[list[OutgoingFile], list[OutgoingFile]]:
    """Files that fit into one letter, and the others."""
    inside: list[OutgoingFile] = []
    linked: list[OutgoingFile] = []
    room = FILES_BYTES
    for file in files:
        fits = file.size_bytes <= room
        room -= file.size_bytes if fits else 0
        (inside if fits else linked).append(file)
    return inside, linked


# ---------------------------------------------------------------------- SMTP

_SENDING, _GREETING, _TO_RECIPIENT, _CONTENT = "sender", "greeting", "recipient", "content"

_ABOUT_US = re.compile(
    r"\bsender address rejected|\bnot owned by|\bsend as this sender|\brelay(?:ing)? (?:access )?denied|"
    r"\bauthentication (?:is )?required|\b5\.7\.(?:8|9|60)\b",
    re.IGNORECASE,
)
_WAIT = re.compile(r"(\d{1,5})\s*(s|sec|second|m|min|minute)s?\b", re.IGNORECASE)
_AUTH_CODES = frozenset((530, 534, 535, 538))
_CLOSING = 421


def outcome_of(code: int, said: str, stage: str) -> Outcome:
    """What a reply means: https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3, RFC 4954 for 5xx of AUTH.

    | code | at | outcome |
    |---|---|---|
    | 421; 4xx | the greeting, the sender | retry, the whole messenger |
    | 4xx | the recipient, the content | retry, this chat |
    | 530, 534, 535, 538; 5xx | anywhere; the greeting, the sender | token revoked |
    | 5xx, it is our right to send that is missing | the recipient, the content | token revoked |
    | 5xx, nobody lives there | the recipient, the content | blocked |
    | other 5xx (552 too big, 554 spam) | the recipient, the content | rejected |
    """
    reason = hushed(f"{code} {said}")
    about_us = stage in (_GREETING, _SENDING)
    if 400 <= code < 500:  # noqa: PLR2004 - the class of passing faults
        return Retry(_asked_seconds(said), reason, whole_channel=about_us or code == _CLOSING)
    if code in _AUTH_CODES or about_us or _ABOUT_US.search(said):
        return TokenRevoked(reason)
    return Blocked(reason) if has_nobody(said) else Rejected(reason)


def _asked_seconds(said: str) -> float | None:
    """Servers with a grey list say in words when to come back."""
    found = _WAIT.search(said)
    return None if found is None else float(found[1]) * (60 if found[2].lower().startswith("m") else 1)


@dataclass(frozen=True, slots=True)
class _Stage:
    """How far a letter got, for the fault that may follow."""

    name: str


class _Postman:
    """Sends letters, each through a connection of its own."""

    def __init__(self, settings: Settings, own: Own) -> None:
        self._settings = settings
        self._own = own

    async def greet(self) -> Outcome:
        """Connect and sign in, nothing else. Sent, when that works."""
        return await self._attempt(None, b"")

    async def deliver(self, recipient: str, letter: bytes) -> Outcome:
        """Send one letter; the whole attempt has a time limit that grows with its size."""
        return await self._attempt(recipient, letter)

    async def _attempt(self, recipient: str | None, letter: bytes) -> Outcome:
        import aiosmtplib

        stage = [_GREETING]
        seconds = self._settings.send_timeout_seconds + len(letter) / SLOWEST_UPLOAD_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(seconds), self._signed_in() as smtp:
                if recipient is not None:
                    stage[0] = _SENDING
                    await smtp.mail(ascii_address(self._own.address) or self._own.address)
                    stage[0] = _TO_RECIPIENT
                    await smtp.rcpt(recipient)
                    stage[0] = _CONTENT
                    await smtp.data(letter, timeout=seconds)
                return Sent()
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            return outcome_of(refused.code, refused.message, _TO_RECIPIENT)
        except aiosmtplib.SMTPResponseException as error:
            return outcome_of(error.code, error.message, stage[0])
        except _smtp_faults() as error:
            if stage[0] == _CONTENT:
                return Unknown(type(error).__name__)
            return Retry(reason=type(error).__name__, whole_channel=True)

    @asynccontextmanager
    async def _signed_in(self) -> AsyncIterator[SMTP]:
        import aiosmtplib

        account = _account(self._settings.smtp_url)
        smtp = aiosmtplib.SMTP(
            hostname=account.host,
            port=None,
            sock=await _connected(self._settings, account),
            use_tls=account.security == "tls",
            start_tls=account.security == "starttls",
            username=account.user,
            password=account.password.get_secret_value(),
            local_hostname=self._own.address.rpartition("@")[2],
            timeout=self._settings.request_timeout_seconds,
        )
        try:
            await smtp.connect()
            yield smtp
            with suppress(aiosmtplib.SMTPException):
                await smtp.quit(timeout=1)
        finally:
            smtp.close()


def _smtp_faults() -> tuple[type[Exception], ...]:
    import aiosmtplib
    import python_socks

    return (
        aiosmtplib.SMTPException,
        OSError,
        TimeoutError,
        ValueError,
        python_socks.ProxyError,
        python_socks.ProxyConnectionError,
        python_socks.ProxyTimeoutError,
    )


async def _connected(settings: Settings, account: _Account) -> socket.socket:
    """A connection to the server, through the proxy if there is one, which then resolves the name."""
    opened = await asyncio.to_thread(_connect, settings, account)
    opened.settimeout(0)
    return opened


def _connect(settings: Settings, account: _Account) -> socket.socket:
    if settings.proxy is None:
        return socket.create_connection((account.host, account.port), timeout=CONNECT_SECONDS)
    address = settings.proxy.get_secret_value()
    if address.startswith("http:"):
        return _tunnel(address, account)
    from python_socks.sync import Proxy

    proxy = Proxy.from_url(address, rdns=True)
    return proxy.connect(account.host, account.port, timeout=CONNECT_SECONDS)


_LONGEST_ANSWER = 8192


def _tunnel(proxy: str, account: _Account) -> socket.socket:
    """Connect through an HTTP proxy. python_socks would also read what the mail server says first."""
    parts = urlsplit(proxy)
    asked = [f"CONNECT {account.host}:{account.port} HTTP/1.1", f"Host: {account.host}:{account.port}"]
    if parts.username:
        named = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        asked.append(f"Proxy-Authorization: Basic {base64.b64encode(named.encode()).decode()}")
    opened = socket.create_connection((parts.hostname, parts.port or 8080), timeout=CONNECT_SECONDS)
    try:
        opened.sendall("\r\n".join((*asked, "", "")).encode())
        _expect_agreement(opened)
    except BaseException:
        opened.close()
        raise
    return opened


def _expect_agreement(proxy: socket.socket) -> None:
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = proxy.recv(1)
        answer += byte
        if not byte or len(answer) > _LONGEST_ANSWER:
            raise ConnectionRefusedError("the proxy gave no answer")
    if not re.match(rb"HTTP/1\.[01] 2\d\d\b", answer):
        raise ConnectionRefusedError("the proxy refused")


# ---------------------------------------------------------------------- IMAP


@dataclass(frozen=True, slots=True)
class _Place:
    """How far the mailbox was read: the next UID. The day finds the place again if UIDs are dealt anew.

    `withheld` are UIDs below it that the server would not give out.
    """

    uid_validity: int
    uid: int
    day: date
    withheld: tuple[int, ...] = ()

    def __str__(self) -> str:
        skipped = ":" + ",".join(map(str, self.withheld)) if self.withheld else ""
        return f"{self.uid_validity}:{self.uid}:{self.day.isoformat()}{skipped}"

    @classmethod
    def read(cls, cursor: str | None) -> _Place | None:
        found = re.fullmatch(
            r"(\d{1,10}):(\d{1,10}):(\d{4}-\d\d-\d\d)(?::(\d{1,10}(?:,\d{1,10})*))?", cursor or ""
        )
        if not found:
            return None
        withheld = tuple(int(uid) for uid in (found[4] or "").split(",") if uid)
        try:
            return cls(int(found[1]), int(found[2]), date.fromisoformat(found[3]), withheld)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class _FilePlace:
    """Where a file lies: its letter's UID, its number there, and the Message-ID should the UIDs change."""

    uid_validity: int
    uid: int
    number: int
    message_id: str

    @property
    def letter(self) -> str:
        return f"{self.uid_validity}:{self.uid}"

    @classmethod
    def read(cls, reference: str) -> _FilePlace | None:
        found = re.fullmatch(r"(\d{1,10}):(\d{1,10}):(\d{1,5}):(.*)", reference)
        return cls(int(found[1]), int(found[2]), int(found[3]), found[4]) if found else None


class _Mailbox:
    """The folder, as one thread uses it; only `cut` may come from another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._account = _account(settings.imap_url)
        self._client: IMAPClient | None = None
        self._socket: socket.socket | None = None
        self._is_cut = False
        self.uid_validity = 0
        self.next_uid = 1

    def open(self, *, readonly: bool = False) -> None:
        """Sign in and open the folder."""
        account = self._account
        client = self._client = self._connected()
        client.normalise_times = False
        if account.security == "starttls":
            client.starttls()
            self.holds(client.socket())
        client.login(account.user, account.password.get_secret_value())
        opened = client.select_folder(account.folder, readonly=readonly)
        self.uid_validity = int(opened[b"UIDVALIDITY"])
        self.next_uid = int(opened.get(b"UIDNEXT", 1))

    def _connected(self) -> IMAPClient:
        from imapclient import IMAPClient, SocketTimeout
        from imapclient.imap4 import IMAP4WithTimeout
        from imapclient.tls import wrap_socket

        mailbox = self

        class Connection(IMAP4WithTimeout):  # type: ignore[misc]
            def _create_socket(self, timeout: float | None = None) -> socket.socket:  # noqa: ARG002
                plain = mailbox.connect()
                return mailbox.holds(wrap_socket(plain, None, self.host) if mailbox.is_tls else plain)

        class Client(IMAPClient):  # type: ignore[misc]
            def _create_IMAP4(self) -> Connection:  # noqa: N802 - the library's seam
                return Connection(self.host, self.port, CONNECT_SECONDS)

        seconds = self._settings.request_timeout_seconds
        account = self._account
        client = Client(
            account.host, account.port, ssl=False, timeout=SocketTimeout(CONNECT_SECONDS, seconds)
        )
        # The library would log every letter.
        client._imap.debug = 0
        return client

    @property
    def is_tls(self) -> bool:
        return self._account.security == "tls"

    def connect(self) -> socket.socket:
        """Connect, through the proxy if there is one."""
        opened = self.holds(_connect(self._settings, self._account))
        opened.settimeout(self._settings.request_timeout_seconds)
        return opened

    def holds(self, opened: socket.socket) -> socket.socket:
        """Take note of what `cut` has to break."""
        self._socket = opened
        if self._is_cut:
            opened.close()
            raise ConnectionAbortedError("no longer wanted")
        return opened

    @property
    def _imap(self) -> IMAPClient:
        if self._client is None:
            raise ConnectionAbortedError("the mailbox is not open")
        return self._client

    def new_letters(self, place: _Place | None, now: datetime) -> list[int]:
        """UIDs of letters to be taken, oldest first."""
        self._has_grown()
        if place is None:
            # The first start ever: what lies here for long is not ours to answer.
            since = now - FIRST_LOOK_BACK
            found = self._imap.search(["UNSEEN", "SINCE", since.date()])
            dates = self._imap.fetch(found, ["INTERNALDATE"]) if found else {}
            return sorted(
                uid for uid in found if _aware(dates.get(uid, {}).get(b"INTERNALDATE"), now) >= since
            )
        if place.uid_validity != self.uid_validity:
            # Known letters among them are known by their Message-ID.
            return sorted(self._imap.search(["SINCE", place.day - timedelta(days=1)]))
        # "n:*" also gives the last letter when its number is below n.
        return sorted(uid for uid in self._imap.search(["UID", f"{place.uid}:*"]) if uid >= place.uid)

    def fetch(self, uid: int) -> Fetched | None:
        """A letter, unless somebody has taken it away meanwhile."""
        measured = self._imap.fetch([uid], ["RFC822.SIZE", "INTERNALDATE"]).get(uid)
        if measured is None:
            return None
        size_bytes = int(measured.get(b"RFC822.SIZE", 0))
        received_at = _aware(measured.get(b"INTERNALDATE"), datetime.fromtimestamp(0, UTC))
        part = "BODY.PEEK[]" if size_bytes <= MAX_LETTER_BYTES else f"BODY.PEEK[]<0.{HEAD_BYTES}>"
        raw = self._content(uid, part)
        return None if raw is None else Fetched(self.uid_validity, uid, received_at, size_bytes, raw)

    def find(self, wanted: _FilePlace) -> bytes | None:
        """The whole letter of a file; by its Message-ID when the UIDs were dealt anew."""
        if wanted.uid_validity == self.uid_validity:
            return self._content(wanted.uid, "BODY.PEEK[]")
        found = self._imap.search(["HEADER", "Message-ID", wanted.message_id]) if wanted.message_id else []
        return self._content(max(found), "BODY.PEEK[]") if found else None

    def _content(self, uid: int, part: str) -> bytes | None:
        answer = self._imap.fetch([uid], [part]).get(uid, {})
        return next((value for name, value in answer.items() if name.startswith(b"BODY[") and value), None)

    def must_answer(self) -> None:
        """Raise what a connection raises that is broken; one that answers has refused a letter alone."""
        self._imap.noop()

    def mark_seen(self, uids: Sequence[int]) -> None:
        if uids:
            self._imap.add_flags(list(uids), [b"\\Seen"], silent=True)

    @property
    def tells_news(self) -> bool:
        return self._settings.idle and bool(self._imap.has_capability("IDLE"))

    def wait(self) -> None:
        """Return when something has happened in the folder since the last search, or after IDLE_SECONDS."""
        self._imap.noop()
        if self._has_grown():
            return
        self._imap.idle()
        self._imap.idle_check(timeout=IDLE_SECONDS)
        self._imap.idle_done()

    def _has_grown(self) -> bool:
        """Whether the server has told of new letters since this was asked last, in whatever answer."""
        return self._imap._imap.untagged_responses.pop("EXISTS", None) is not None

    def cut(self) -> None:
        """Break the connection off under whatever the thread is doing with it."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                # Not the TLS socket's own: that would wait for the thread that reads from it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let the connection go, in the thread that used it."""
        if self._socket is not None:
            self._socket.close()
        if self._client is not None:
            with suppress(OSError):
                self._client.shutdown()


@dataclass(frozen=True, slots=True)
class _Reading:
    """A mailbox in its thread."""

    box: _Mailbox
    thread: ThreadPoolExecutor
    poll_seconds: float

    async def do(self, action: Callable[[_Mailbox], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, action, self.box)

    async def until_news(self) -> None:
        if self.box.tells_news:
            await self.do(lambda box: box.wait())
        else:
            await asyncio.sleep(self.poll_seconds)


@asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[_Reading]:
    """A mailbox that lives as long as the block, however that ends."""
    with _thread_of_its_own() as thread:
        box = _Mailbox(settings)
        try:
            yield _Reading(box, thread, settings.poll_seconds)
        finally:
            box.cut()
            thread.submit(box.close)


@contextmanager
def _thread_of_its_own() -> Iterator[ThreadPoolExecutor]:
    """Waiting for letters would occupy one of the few threads that all share."""
    thread = ThreadPoolExecutor(1, thread_name_prefix=NAME)
    try:
        yield thread
    finally:
        thread.shutdown(wait=False)


def _aware(moment: Any, otherwise: datetime) -> datetime:
    return moment.astimezone(UTC) if isinstance(moment, datetime) and moment.tzinfo else otherwise


def _mailbox_errors() -> tuple[type[Exception], ...]:
    import python_socks
    from imapclient.exceptions import IMAPClientError

    return (
        IMAPClientError,
        _Withheld,
        OSError,
        TimeoutError,
        # What the library makes of answers that are cut off or no IMAP.
        ValueError,
        LookupError,
        AttributeError,
        python_socks.ProxyError,
        python_socks.ProxyConnectionError,
        python_socks.ProxyTimeoutError,
    )
