"""What passes between a messenger and the house: an inbound message, and what is answered.

Nothing here belongs to one messenger. A channel turns its updates into `Inbound` and shows `Reply`
after it was rendered; it never decides what is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from forms.texts import Text

MAX_PRESS_BYTES = 64
"""The narrowest messenger's payload (Telegram callback_data, https://core.telegram.org/bots/api#inlinekeyboardbutton)."""


class InboundKind(StrEnum):
    """What a person or a messenger did."""

    STARTED = "started"
    TEXT = "text"
    BUTTON = "button"
    FILE = "file"
    CONTACT = "contact"
    OTHER = "other"
    """Something we cannot take as an answer: a sticker, a location, a poll; `text` says what."""
    EDITED = "edited"
    DELETED = "deleted"
    DELIVERY = "delivery"
    """The messenger tells what became of a message of ours."""
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    IGNORED = "ignored"


class FileRole(StrEnum):
    """How the messenger showed the file to its sender."""

    DOCUMENT = "document"
    PHOTO = "photo"
    VOICE = "voice"
    VIDEO = "video"
    IN_TEXT = "in_text"
    """A picture among the words of a letter: a photo of a bill, or a logo."""


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file that a messenger holds for us; `reference` means something to that channel alone."""

    reference: str
    name: str
    size_bytes: int | None = None
    media_type: str | None = None
    role: FileRole = FileRole.DOCUMENT


@dataclass(frozen=True, slots=True)
class Contact:
    """A phone number that a person showed; `verified` when the messenger vouches that it is their own."""

    phone: str
    name: str = ""
    verified: bool = False


class DeliveryState(StrEnum):
    """What a messenger tells about a message it had taken."""

    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the message of ours whose key stands in `Inbound.message_key`.

    Of a failed one: why, in words for the operator; whether the person closed the chat; whether it
    came too late after the person's own message.
    """

    state: DeliveryState
    reason: str = ""
    blocked: bool = False
    window_closed: bool = False


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event of one chat. `sent_at` is the messenger's own time, aware UTC.

    `event_key` is unique within the channel and the same for a redelivery. `group_id` is shared by
    the parts of an album. `button` is the press id of a `Button`. `user_name` is what the messenger
    calls the person; it is personal data and is kept only after consent.
    """

    channel: str
    event_key: str
    user_key: str
    chat_key: str
    sent_at: datetime
    kind: InboundKind
    text: str = ""
    button: str | None = None
    files: tuple[IncomingFile, ...] = ()
    contact: Contact | None = None
    start_code: str | None = None
    group_id: str | None = None
    message_key: str | None = None
    user_name: str = ""
    acknowledge: str | None = None
    """What the channel needs to stop the button's spinner, if anything."""
    delivery: Delivery | None = None
    trusted: bool = True
    """Whether the messenger vouches for who writes; a code opens nothing for anybody else."""
    about: int | None = None
    """The number of the request that the message names outside its words; whose it is is not proven."""
    answers_to: tuple[str, ...] = ()
    """The keys of the messages that it was written under, the nearest first."""


@dataclass(frozen=True, slots=True)
class Press:
    """What a button means: `scope` (form, request, staff …), a target, a value.

    The revision of the screen it was shown on tells a stale or doubled press.

    >>> str(Press("form", "kind", "pay", 7))
    'form:kind:pay:7'
    """

    scope: str
    target: str = ""
    value: str = ""
    revision: int = 0

    def __str__(self) -> str:
        text = f"{self.scope}:{self.target}:{self.value}:{self.revision}"
        if len(text.encode()) > MAX_PRESS_BYTES:
            raise ValueError(f"A button's press id is over {MAX_PRESS_BYTES} bytes: {text}")
        return text

    @classmethod
    def parse(cls, text: str | None) -> Press | None:
        """Read a press id; anything else (a foreign or forged one) is None."""
        parts = (text or "").split(":")
        if len(parts) != 4 or not re.fullmatch(r"[0-9]{1,9}", parts[3]):  # noqa: PLR2004
            return None
        return cls(parts[0], parts[1], parts[2], int(parts[3]))


@dataclass(frozen=True, slots=True)
class Button:
    """A choice offered to a person. `press` is sent back by the messenger; `synonyms` may be typed."""

    label: Text
    press: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A stored file to be sent: its digest finds it, its name is what the person sees."""

    sha256: str
    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One message to a person, not yet rendered. Each tuple in `rows` is a row of buttons.

    A `prompt` is a question that only makes sense as the last word of the chat: a later prompt takes
    its place while it is still unsent. `merge_seconds` holds it back for the rest of an album.
    """

    text: Text
    rows: tuple[tuple[Button, ...], ...] = ()
    files: tuple[OutgoingFile, ...] = ()
    prompt: bool = False
    merge_seconds: float = 0.0

    def buttons(self) -> tuple[Button, ...]:
        """All buttons in the order in which they are numbered for typing."""
        return tuple(button for row in self.rows for button in row)


_LOOSE = re.compile(r"[\W_]+")


def loosely(text: str) -> str:
    """Reduce a typed label to what matters: case, ё, punctuation and extra spaces do not."""
    return _LOOSE.sub(" ", text.casefold().replace("ё", "е")).strip()
