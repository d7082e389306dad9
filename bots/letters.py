"""What a letter means: whose it is, what it says, and what other mail servers report about ours.

Its form is read by `bots.mime`; fetching and sending is `bots.mail`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import Message

import structlog

from bots import mime
from forms.dialogue import SMALL_TALK
from forms.freetext import AGREEMENT_LABELS, Labelled, greets, labelled
from forms.messages import (
    Delivery,
    DeliveryState,
    FileRole,
    Inbound,
    InboundKind,
    IncomingFile,
    loosely,
)
from forms.pressing import is_pressing
from notifications.outbox import Parcel

logger = structlog.get_logger(__name__)

NAME = "mail"
UNVERIFIED = "unverified:"
"""Before the address of somebody who only claims to be it."""

MAX_LETTER_BYTES = 30 * 1024 * 1024
"""A longer letter is not fetched whole: its files could not be taken anyway."""
KEY_LENGTH = 180


@dataclass(frozen=True, slots=True)
class Thread:
    """The last letter of a person, for ours to stand under it."""

    message_id: str
    references: str
    subject: str


# ---------------------------------------------------------------------- who we are


@dataclass(frozen=True, slots=True)
class Own:
    """Our address, the name by which our mail server signs its checks, and what signs our Message-IDs."""

    address: str
    authserv_id: str = ""
    secret_key: str = ""

    def message_id(self, parcel: Parcel) -> str:
        """The same for the same parcel, and nobody else can make it up."""
        digest = hashlib.sha256(parcel.key.encode()).hexdigest()[:24]
        mark = "u" if parcel.chat_key.startswith(UNVERIFIED) else "v"
        seal = self._seal(digest + mark, parcel.chat_key.removeprefix(UNVERIFIED))
        return f"priem.{digest}{mark}.{seal}@{self.address.rpartition('@')[2]}"

    def chat_prefix(self, message_id: str, recipient: str) -> str | None:
        """What stands before the address of the chat of this letter of ours.

        None when it is not ours, or went to somebody else: whoever gets a letter knows its id.
        """
        found = re.fullmatch(r"priem\.([0-9a-f]{24}[uv])\.([0-9a-f]{16})@.*", message_id.strip().strip("<>"))
        if not found or not hmac.compare_digest(found[2], self._seal(found[1], recipient)):
            return None
        return UNVERIFIED if found[1].endswith("u") else ""

    def _seal(self, digest: str, recipient: str) -> str:
        address = (ascii_address(recipient) or recipient).lower()
        sealed = f"mail:{digest}:{address}".encode("utf-8", "replace")
        return hmac.new(self.secret_key.encode(), sealed, "sha256").hexdigest()[:16]


# ---------------------------------------------------------------------- letters that come


@dataclass(frozen=True, slots=True)
class Fetched:
    """A letter as the mailbox gave it; `raw` of one over MAX_LETTER_BYTES is only its beginning."""

    uid_validity: int
    uid: int
    received_at: datetime
    size_bytes: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """A letter that was read, by its number in the mailbox."""

    uid: int
    inbound: Inbound
    thread: Thread | None = None
    pictures: tuple[tuple[str, str], ...] = ()
    """References and SHA-256 of the pictures among the words."""


def parse(fetched: Fetched, own: Own) -> Inbound:
    """Turn one letter into what it means for us; what is for nobody here is IGNORED, never an error."""
    return parse_letter(fetched, own).inbound


def parse_letter(fetched: Fetched, own: Own) -> Taken:
    """The same, with what is needed to answer in the same thread."""
    try:
        message = mime.read(fetched.raw)
        event_key = _event_key(message)
    except _UNREADABLE as error:
        logger.warning("a letter cannot be read", error=type(error).__name__)
        event_key = "raw:" + hashlib.sha256(fetched.raw).hexdigest()
        return Taken(fetched.uid, _ignored(event_key, fetched))
    try:
        inbound = _delivery(message, fetched, own, event_key) or _written(message, fetched, own, event_key)
    except _UNREADABLE as error:
        logger.warning("a letter cannot be read", error=type(error).__name__)
        inbound = None
    if inbound is None:
        return Taken(fetched.uid, _ignored(event_key, fetched))
    return Taken(fetched.uid, inbound, _thread(message), _pictures(message, inbound))


_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)
"""What the standard library raises on letters that are none."""


def _ignored(event_key: str, fetched: Fetched) -> Inbound:
    return Inbound(NAME, event_key, "", "", fetched.received_at, InboundKind.IGNORED)


def _event_key(message: Message) -> str:
    """The Message-ID; without one, a digest of what does not change when a letter is delivered again."""
    message_id = _message_id(message)
    if message_id:
        return _short_key(message_id)
    parts = [mime.header(message, name) for name in ("From", "To", "Date", "Subject")]
    body = message.get_payload()
    parts.append(body if isinstance(body, str) else str(len(body or "")))
    return "none:" + hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _message_id(message: Message) -> str:
    return re.sub(r"[\x00-\x20]", "", mime.header(message, "Message-ID")).strip("<>")


def _short_key(message_id: str) -> str:
    if len(message_id) <= KEY_LENGTH:
        return message_id
    return "long:" + hashlib.sha256(message_id.encode("utf-8", "replace")).hexdigest()


def _written(message: Message, fetched: Fetched, own: Own, event_key: str) -> Inbound | None:
    """What a person wrote; None for what no person did."""
    senders = mime.addresses(message, "From")
    name, address = senders[0] if senders else ("", "")
    if not mime.is_address(address) or is_automatic(message, address) or _is_own(address, own):
        return None
    trusted = len(senders) == 1 and is_vouched_for(message, address, own.authserv_id)
    chat_key = address if trusted else UNVERIFIED + address
    subject = mime.header(message, "Subject")
    is_reply = _is_reply(message, subject)
    words = mime.words(message, mime.Known(own.address, is_reply=is_reply, is_press=is_pressing))
    if mime.is_ciphered(message, words):
        return Inbound(
            NAME, event_key, chat_key, chat_key, fetched.received_at, InboundKind.OTHER, CIPHERED,
            message_key=event_key, user_name=name,
        )  # fmt: skip
    text = _said(words, subject, is_reply=is_reply)
    files = _files(message, fetched)
    # A code may stand above words and files, which count as well.
    start = START.match(subject)
    if start:
        text = _with_filled_quote(words)
        text = "" if words.is_signature and text == words.own else text
    else:
        start = START.match(text)
        text = text[start.end() :].strip() if start else text
    is_start = start is not None and not text and not files
    kind = InboundKind.STARTED if is_start else InboundKind.FILE if files else InboundKind.TEXT
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=chat_key,
        chat_key=chat_key,
        sent_at=fetched.received_at,
        kind=kind,
        text=start[0].strip() if start and is_start else text,
        files=files,
        start_code=start[1] if start else None,
        message_key=event_key,
        user_name=name,
        about=_named_request(message, subject, own),
        answers_to=_answered(message),
    )


CIPHERED = "зашифрованное письмо, пришлите его без шифрования"
MARKED = re.compile(r"\[№\s*([0-9]{1,9})\]")
_RECIPIENTS = ("To", "Cc", "Delivered-To", "X-Original-To")


def _named_request(message: Message, subject: str, own: Own) -> int | None:
    """The request of `[№ 17]` in the subject, or of the address `intake+17@…` to which a letter went."""
    marks = set(MARKED.findall(subject))
    if not marks:
        local, _at, domain = own.address.partition("@")
        ours = re.compile(rf"{re.escape(local.partition('+')[0])}\+([0-9]{{1,9}})@{re.escape(domain)}")
        sent_to = (address for name in _RECIPIENTS for _person, address in mime.addresses(message, name))
        marks = {found[1] for found in map(ours.fullmatch, sent_to) if found}
    return int(marks.pop()) if len(marks) == 1 else None


_ANSWERED_LETTERS = 10


def _answered(message: Message) -> tuple[str, ...]:
    """The letters that this one was written under, by their keys, the nearest first."""
    above = f"{mime.header(message, 'References')} {mime.header(message, 'In-Reply-To')}"
    keys = [_short_key(key) for key in re.findall(r"<([\x21-\x3b\x3d\x3f-\x7e]{1,250})>", above)]
    return tuple(dict.fromkeys(reversed(keys)))[:_ANSWERED_LETTERS]


START = re.compile(r"\s*/start(?:[ \t]+(\S{4,64}))?[ \t]*(?:\n|$)")


def _is_own(address: str, own: Own) -> bool:
    local, _at, domain = address.partition("@")
    return f"{local.partition('+')[0]}@{domain}" == own.address or address == own.address


_ROBOTS = re.compile(r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?)(?:[+._-].*)?@.*")
_BULK = frozenset(("bulk", "list", "junk", "auto_reply"))


def is_automatic(message: Message, address: str) -> bool:
    """Whether a program wrote this: an answer would go round in circles, or to nobody."""
    submitted = mime.header(message, "Auto-Submitted").partition(";")[0].strip().lower()
    suppressed = {
        each.strip() for each in mime.header(message, "X-Auto-Response-Suppress").lower().split(",")
    }
    return (
        submitted not in ("", "no")
        or mime.header(message, "Precedence").lower() in _BULK
        or any(name in message for name in ("List-Id", "List-Unsubscribe", "X-Autoreply", "X-Autorespond"))
        or "".join(mime.header(message, "Return-Path").split()) == "<>"
        or bool(suppressed & {"all", "autoreply", "oof"})
        or _ROBOTS.fullmatch(address) is not None
        or message.get_content_type() == "multipart/report"
    )


REPLY = re.compile(r"\s*(?:re|aw|ha|на|отв|ответ)\s*(?:\[\d+\]\s*)?:", re.IGNORECASE)
_NO_SUBJECT = frozenset(("", "без темы", "no subject", "тема", "письмо", "заявка", "вопрос", "ответ"))
_ANSWER_WORDS = 2


def _is_reply(message: Message, subject: str) -> bool:
    return bool(REPLY.match(subject)) or any(name in message for name in ("In-Reply-To", "References"))


def _said(words: mime.Words, subject: str, *, is_reply: bool) -> str:
    """The words of a letter; those of its subject too, where a person began with them."""
    text = _without_greeting(_with_filled_quote(words))
    subject = mime.FORWARDED_SUBJECT.sub("", subject)
    if is_reply or loosely(subject) in _NO_SUBJECT:
        return text
    if words.is_signature and text == words.own:
        return subject.strip()
    if loosely(subject) in loosely(text):
        return text
    is_answer = text.startswith("/") or (
        0 < len(text.split()) <= _ANSWER_WORDS and loosely(text) not in SMALL_TALK
    )
    return text if is_answer else f"{subject}\n{text}".strip()


_SHORT_ANSWER_WORDS = 5


def _without_greeting(text: str) -> str:
    """A short answer without the greeting that its program or its author has put above it."""
    first, *below = [line.strip() for line in text.split("\n", 1)]
    is_short = bool(below) and "\n" not in below[0] and 0 < len(below[0].split()) <= _SHORT_ANSWER_WORDS
    return below[0] if is_short and greets(first) else text


_LINES_OF_A_BLANK = 300
"""The blank stands at the beginning of our letter: of a long quote no more is read."""
_AGREED = "~agreed"
_CONSENT = {loosely(name): _AGREED for name in AGREEMENT_LABELS}
_BLANK = re.compile(r"впишите ответы|after the colons", re.IGNORECASE)
_BELOW = re.compile(r"\b(?:ниже|внизу|заполнил\w*|below|filled)\b", re.IGNORECASE)


def _with_filled_quote(words: mime.Words) -> str:
    """Somebody may write the answers into our own letter below: then the quote is the answer."""
    between = _answered_between(words)
    if between:
        return between
    own = "" if words.is_signature else words.own
    found = labelled(_filled_part(words.quoted), more=_CONSENT)
    if not _is_filled_in(found) or labelled(own).is_meant:
        return words.own
    is_blank = _AGREED in found.answers or _BLANK.search(" ".join(words.quoted.split()))
    is_cover = not own.strip() or loosely(own) in SMALL_TALK or _BELOW.search(own)
    # A summary of ours has the same names as the blank, and the files.
    if is_pressing(own) or not (is_blank or (is_cover and "files" not in found.labels)):
        return words.own
    return f"{found}\n{own}".strip()


def _is_filled_in(found: Labelled) -> bool:
    """Whether somebody has answered: the company that we know stands in the blank before anybody does."""
    answers = set(found.answers) - {_AGREED}
    known = {name for name, label in found.labels.items() if loosely(label) == "компания"}
    return bool(answers - known) or _AGREED in found.answers


def _filled_part(quoted: str) -> str:
    """From the first name of the form in a quote to the end of the last answer."""
    lines_of_quote = quoted.splitlines()[:_LINES_OF_A_BLANK]
    named = [
        number
        for number, line in enumerate(lines_of_quote)
        if ":" in line and labelled(line, more=_CONSENT).labels
    ]
    if not named:
        return ""
    end = named[-1] + 1
    while end < len(lines_of_quote) and lines_of_quote[end].strip():
        end += 1
    return "\n".join(lines_of_quote[named[0] : end])


def _answered_between(words: mime.Words) -> str:
    """The answers that somebody has written below the names of the blank, one by one; "" for none."""
    parts = [
        f"{above}\n{said}" if above.endswith(":") and labelled(above, more=_CONSENT).labels else said
        for above, said in words.between[:_LINES_OF_A_BLANK]
    ]
    found = labelled("\n".join(parts), more=_CONSENT)
    return f"{found}\n{found.rest}".strip() if len(found.answers) > 1 else ""


def _files(message: Message, fetched: Fetched) -> tuple[IncomingFile, ...]:
    whole = len(fetched.raw) >= fetched.size_bytes or fetched.size_bytes <= MAX_LETTER_BYTES
    found = mime.attachments(message)
    if not whole and not found:
        found = [mime.Attachment("Вложения письма", "application/octet-stream", b"")]
    letter = f"{fetched.uid_validity}:{fetched.uid}"
    message_id = _message_id(message)[:KEY_LENGTH]
    return tuple(
        IncomingFile(
            reference=f"{letter}:{number}:{message_id}",
            name=file.name,
            size_bytes=len(file.content) if whole else fetched.size_bytes,
            media_type=file.media_type,
            role=_role(file),
        )
        for number, file in enumerate(found)
    )


def _pictures(message: Message, inbound: Inbound) -> tuple[tuple[str, str], ...]:
    if all(file.role is not FileRole.IN_TEXT for file in inbound.files):
        return ()
    return tuple(
        (taken.reference, hashlib.sha256(found.content).hexdigest())
        for taken, found in zip(inbound.files, mime.attachments(message), strict=True)
        if taken.role is FileRole.IN_TEXT
    )


def _role(file: mime.Attachment) -> FileRole:
    if file.in_text:
        return FileRole.IN_TEXT
    return FileRole.PHOTO if file.media_type.startswith("image/") else FileRole.DOCUMENT


def _thread(message: Message) -> Thread | None:
    message_id = _message_id(message)
    if not re.fullmatch(r"[\x21-\x7e]{1,250}", message_id):
        return None
    earlier = re.findall(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>", mime.header(message, "References"))
    return Thread(message_id, " ".join((*earlier[-10:], f"<{message_id}>")), mime.header(message, "Subject"))


# ---------------------------------------------------------------------- who vouches for the sender


def is_vouched_for(message: Message, address: str, authserv_id: str) -> bool:
    """Whether our own mail server says that the sender is who they seem (RFC 8601); or never says.

    Only its topmost header counts: it puts its own above whatever came with the letter.
    """
    if not authserv_id:
        return True
    for result in mime.headers(message, "Authentication-Results"):
        server, *checks = _bare(result).split(";")
        if (server.split() or [""])[0].lower() == authserv_id:
            return _passes([_Check.read(each) for each in checks], address.rpartition("@")[2])
    return False


@dataclass(frozen=True, slots=True)
class _Check:
    """One method of an Authentication-Results header, its result and its properties."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, written: str) -> _Check:
        named = " ".join(written.lower().split()).replace(" =", "=").replace("= ", "=").split()
        (method, result), *properties = [(name, value) for name, _is, value in _parts(named)] or [("", "")]
        return cls(method.partition("/")[0], result, tuple(properties))

    @property
    def signers(self) -> list[str]:
        domains = [value for name, value in self.properties if name == "header.d"]
        return domains or [value for name, value in self.properties if name == "header.i"]


def _parts(named: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    return (each.partition("=") for each in named)


def _passes(checks: Sequence[_Check], domain: str) -> bool:
    policies = {each.result for each in checks if each.method == "dmarc"}
    if policies == {"pass"} or "fail" in policies:
        return "fail" not in policies
    return any(
        each.method == "dkim"
        and each.result == "pass"
        and each.signers
        and all(_aligned(signer, domain) for signer in each.signers)
        for each in checks
    )


def _bare(result: str) -> str:
    """A header without its comments and quoted strings: senders choose words that stand there.

    "" when one of them does not end, for then nobody knows what is what.
    """
    kept: list[str] = []
    depth, quoted, escaped = 0, False, False
    for sign in result:
        if escaped or sign == "\\":
            escaped = not escaped
        elif sign == '"':
            quoted = not quoted
        elif not quoted and sign in "()":
            depth = max(0, depth + (1 if sign == "(" else -1))
            kept.append(" ")
        elif not quoted and not depth:
            kept.append(sign)
    return "" if quoted or depth else "".join(kept)


def _aligned(signer: str, domain: str) -> bool:
    """Whether a signature belongs to the sender's domain or to one above it."""
    signer = signer.rpartition("@")[2]
    return "." in signer and (domain == signer or domain.endswith(f".{signer}"))


# ---------------------------------------------------------------------- reports of other mail servers


def _delivery(message: Message, fetched: Fetched, own: Own, event_key: str) -> Inbound | None:
    """A report that a letter of ours was refused for good or given up; None for anything else."""
    is_report = message.get_content_type() == "multipart/report"
    failure = _reported_failure(message, own) if is_report else _told_failure(message, own)
    if failure is None:
        return None
    return Inbound(
        channel=NAME,
        event_key=event_key,
        user_key=failure.chat_key,
        chat_key=failure.chat_key,
        sent_at=fetched.received_at,
        kind=InboundKind.DELIVERY,
        message_key=failure.message_id,
        delivery=Delivery(DeliveryState.FAILED, hushed(failure.said), blocked=has_nobody(failure.said)),
    )


@dataclass(frozen=True, slots=True)
class _Failure:
    """Which letter of ours did not arrive in which chat, and what the server said to it."""

    message_id: str
    chat_key: str
    said: str


def _reported_failure(message: Message, own: Own) -> _Failure | None:
    """What a report for programs (RFC 3464) says; there "failed" is final, also after days of trying."""
    parts = list(message.walk())
    status_part = next((each for each in parts if each.get_content_type() == "message/delivery-status"), None)
    if status_part is None:
        return None
    blocks = [block for block in status_part.get_payload() if isinstance(block, Message)]
    failed = next((block for block in blocks if _is_failed(block)), None)
    if failed is None:
        return None
    found = _reported(_candidates(parts), _recipients(blocks), own)
    if found is None:
        return None
    diagnosis = mime.header(failed, "Diagnostic-Code").rpartition(";")[2].strip()
    return _Failure(*found, f"{mime.header(failed, 'Status')} {diagnosis}".strip())


def _is_failed(block: Message) -> bool:
    action = mime.header(block, "Action").partition(" ")[0].lower()
    return action == "failed" or (not action and mime.header(block, "Status").startswith("5."))


_MAILERS = re.compile(r"(?:mailer-daemon|postmaster|mail-daemon|mdaemon)(?:[+._-].*)?@.*")
_GIVEN_UP = re.compile(
    r"failure notice|delivery (?:has )?(?:permanently )?fail|undeliver|returned mail|"
    r"permanent (?:fatal )?error|(?:could not|couldn.t|cannot|can.t) be delivered|"
    r"не доставлен|не (?:удалось|удаётся|может быть) достав",
    re.IGNORECASE,
)
_STILL_TRYING = re.compile(
    r"\bdelayed|will (?:be )?(?:retr|keep trying|continue)|still trying|no action is required|"
    r"задерж|будут? (?:повтор|продолж)|попытки продолж",
    re.IGNORECASE,
)
_OUR_ID = re.compile(r"priem\.[0-9a-f]{24}[uv]\.[0-9a-f]{16}@[^\s<>]{1,200}")
_ANY_ADDRESS = re.compile(r"[^\s<>@\"'(),:;]{1,64}@[^\s<>@\"'(),:;]{1,180}")
_REFUSAL = re.compile(r"(?:\b5\d\d[ -]|\b[45]\.\d\.\d{1,3}\b).{0,300}")
_TOLD = 20_000
"""So much of a report for people is read: the copy of our letter is short."""


def _told_failure(message: Message, own: Own) -> _Failure | None:
    """What a report for people says: qmail and old servers put our letter below a few sentences."""
    senders = mime.addresses(message, "From")
    if not senders or _MAILERS.fullmatch(senders[0][1]) is None:
        return None
    parts = list(message.walk())
    told = "\n".join(_plain_text(part) for part in parts[:_REPORTED])[:_TOLD]
    subject = mime.header(message, "Subject")
    if _STILL_TRYING.search(f"{subject}\n{told}") or not _GIVEN_UP.search(f"{subject}\n{told}"):
        return None
    failed = [mime.header(message, "X-Failed-Recipients"), told]
    named = (each.strip(".").lower() for text in failed for each in _ANY_ADDRESS.findall(text))
    recipients = [each for each in dict.fromkeys(named) if each != own.address and not _OUR_ID.match(each)]
    found = _reported([*_candidates(parts), *_OUR_ID.findall(told)], recipients[:_REPORTED], own)
    if found is None:
        return None
    refusal = _REFUSAL.search(told)
    return _Failure(*found, refusal[0] if refusal else subject)


def _plain_text(part: Message) -> str:
    if part.get_content_type() != "text/plain":
        return ""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    return mime.decoded_bytes(content[:_TOLD], part.get_content_charset())


def _recipients(blocks: Sequence[Message]) -> list[str]:
    """Addresses that a report names; where a letter was forwarded, the one we wrote to as well."""
    named = (
        mime.header(block, name).rpartition(";")[2].strip(" <>").lower()
        for name in ("Final-Recipient", "Original-Recipient")
        for block in blocks
    )
    return [each for each in dict.fromkeys(named) if each][:_REPORTED]


_REPORTED = 10
"""Of what a report names so much is tried: ours name one letter and one address."""


def _candidates(parts: Sequence[Message]) -> list[str]:
    """Message-IDs that a report names; one of them is that of the letter it is about."""
    candidates: list[str] = []
    for part in parts:
        if part.get_content_type() == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            candidates.append(_message_id(mime.read(payload if isinstance(payload, bytes) else b"")))
        candidates += [_message_id(part), *mime.header(part, "In-Reply-To").split()]
    return candidates + [each for part in parts for each in mime.header(part, "References").split()]


def _reported(candidates: Sequence[str], recipients: Sequence[str], own: Own) -> tuple[str, str] | None:
    """The letter of ours that a report is about, and the chat it went to."""
    ours = [candidate for candidate in candidates if candidate.strip("<>").startswith("priem.")]
    for candidate in ours[:_REPORTED]:
        for recipient in recipients:
            prefix = own.chat_prefix(candidate, recipient)
            if prefix is not None and mime.is_address(recipient):
                return candidate.strip("<>"), prefix + recipient
    return None


_LONGEST_REASON = 600


def hushed(reason: str) -> str:
    """What a mail server said, without anybody's address."""
    said = re.sub(r"[^\s<>@]++@[^\s<>]+", "…", " ".join(reason[:_LONGEST_REASON].split()))
    return said if len(said) <= 200 else f"{said[:200]}…"  # noqa: PLR2004


def ascii_address(address: str) -> str | None:
    """An address as every mail server takes it: domains in other alphabets have an ASCII form."""
    local, _at, domain = address.rpartition("@")
    try:
        domain = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        return None
    plain_address = f"{local}@{domain}"
    if not (mime.is_address(plain_address) and plain_address.isascii()):
        return None
    try:
        return Address(addr_spec=plain_address).addr_spec
    except (ValueError, IndexError, MessageError):  # what the library makes of addresses that are none
        return None


# ---------------------------------------------------------------------- refusals in words

_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_NOBODY = frozenset(("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"))
"""https://www.rfc-editor.org/rfc/rfc3463#section-3.2; 5.1.7 and 5.1.8 are about the sender."""
_NOBODY_IN_WORDS = re.compile(
    r"\b(?:user (?:is )?unknown|no such (?:user|mailbox|recipient|person)|"
    r"unknown (?:user|recipient|mailbox)|invalid (?:mailbox|recipient)|"
    r"(?:user|mailbox|recipient|account) (?:does not|doesn.t) exist|mailbox not found)\b",
    re.IGNORECASE,
)


def has_nobody(said: str) -> bool:
    """Whether a refusal says that nobody has this address; its number counts for more than its words."""
    exact = [status for status in _STATUS.findall(said) if not status.endswith(".0.0")]
    return exact[0] in _NOBODY if exact else _NOBODY_IN_WORDS.search(said) is not None
