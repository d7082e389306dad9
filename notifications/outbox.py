"""Letters: what is to be said to whom, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from forms.messages import OutgoingFile


class LetterState(StrEnum):
    """The life of a letter. `DOING` is leased to one process; an expired lease is `TODO` again."""

    TODO = "todo"
    DOING = "doing"
    SENT = "sent"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ShownButton:
    """A button in the language of its reader."""

    label: str
    press: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """One rendered message for one chat, as a channel gets it.

    `text` may be longer than the messenger's limit: `bots.rendering.fit` cuts it before the channel
    sees it. `key` is unique for ever: messengers with an idempotency key derive it from there.
    """

    key: str
    chat_key: str
    text: str
    rows: tuple[tuple[ShownButton, ...], ...] = ()
    files: tuple[OutgoingFile, ...] = ()
    last_inbound_at: datetime | None = None
    """When this chat's person wrote last, aware UTC: some messengers let us write only for a time after."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The messenger took it; `message_key` is the messenger's own id of the (last) message."""

    message_key: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now. `scope` says for whom the silence of `after_seconds` is: this chat or the whole messenger."""

    after_seconds: float | None = None
    reason: str = ""
    whole_channel: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer was lost after sending: it may have arrived."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The person closed the chat; only their next message opens it."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """The messenger lets us write only within a time after the person's own message."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """This message will never be taken; others may."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """The messenger no longer knows us: nothing can be sent until the operator acts."""

    reason: str = ""


Outcome = Sent | Retry | Unknown | Blocked | WindowClosed | Rejected | TokenRevoked


@dataclass(frozen=True, slots=True)
class Letter:
    """A stored letter as delivery gets it. `letter_id` orders the letters of a chat."""

    letter_id: int
    key: str
    chat_id: int
    channel: str
    chat_key: str
    text: str
    rows: tuple[tuple[ShownButton, ...], ...] = ()
    files: tuple[OutgoingFile, ...] = ()
    attempts: int = 0
    urgent: bool = False
    """An answer to what a person has just done: goes before mailings and reminders."""
    created_at: datetime | None = None
    last_inbound_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What delivery decided about a letter after an attempt. Times are aware UTC."""

    letter_id: int
    chat_id: int
    state: LetterState
    at: datetime
    message_key: str = ""
    reason: str = ""
    not_before: datetime | None = None
    chat_blocked: bool = False
    releases: tuple[int, ...] = field(default=())
    """Letters of the same chat that were leased behind this one and go back to `TODO`."""
    attempts: int = 0
    """How many attempts the letter has had by now; the store writes it as it is, so settling again
    changes nothing. Letters in `releases` keep theirs."""
