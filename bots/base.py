"""What a messenger is to the rest of the house: `Channel`, its limits, its outcomes.

A channel never touches the database, never retries and never raises for a messenger's refusal: it
returns an outcome, and only delivery interprets it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel
from starlette.routing import BaseRoute

from forms.messages import Inbound, IncomingFile, OutgoingFile
from forms.texts import Text, plain
from notifications.outbox import Outcome, Parcel
from storage import inspection
from storage.chat_log import Logged

MAX_FILE_BYTES = inspection.MAX_FILE_BYTES
"""What we take from a client: Telegram's getFile gives no more, and mail servers neither."""


class FileRefused(Exception):  # noqa: N818 - the name says what happened, as the outcomes do
    """The messenger will not give us this file; trying again is useless."""


class FileUnavailable(Exception):  # noqa: N818
    """The messenger did not give us the file this time."""


class Misconfigured(Exception):  # noqa: N818
    """A channel cannot run as it is set up; the sentence is for the operator's log and holds no secret."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a messenger answers. `detail` is for the operator and holds no secret.

    `told` is the same for the people of the firm, where `detail` is no name but a sentence.
    `link` is where a person opens the chat; `{code}` stands in it for a one-time code.
    """

    reachable: bool
    detail: str = ""
    link: str = ""
    told: Text | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a messenger can show and bear. Lengths are in the units the messenger counts."""

    text_length: int
    buttons: bool = True
    buttons_per_row: int = 8
    buttons_total: int = 100
    label_length: int = 64
    cut_labels: bool = True
    """Whether a label that is too long is cut; else the buttons become a numbered menu."""
    file_bytes: int = 50 * 1024 * 1024
    messages_per_second: float = 30.0
    messages_burst: int = 1
    chat_messages_per_second: float = 1.0
    chat_burst: int = 2


Accept = Callable[[Sequence[Inbound], "Cursor | None"], Awaitable[None]]
"""Give inbound messages to the house. It returns after the commit; only then may the channel
acknowledge. The cursor, if any, is stored in the same transaction."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a polling channel goes on after a restart."""

    channel: str
    value: str


@dataclass(frozen=True, slots=True)
class Doors:
    """What the house lends a channel while it runs."""

    accept: Accept
    now: Callable[[], datetime]
    """The clock, for events to which the messenger gives no time of their own; aware UTC."""
    cursor: str | None = None
    """The value of the last stored `Cursor` of this channel."""
    public_url: str = ""
    refused: Callable[[str], None] = lambda _reason: None
    """Count a webhook post that was turned away, by a short word: secret, signature, size, malformed."""


@runtime_checkable
class Channel(Protocol):
    """One messenger. `name` is its word in the configuration, the database and the URLs."""

    name: str
    limits: Limits

    async def receive(self, doors: Doors) -> None:
        """Run until cancelled: poll, or register the webhook and then wait. Survives network faults."""

    def routes(self, doors: Doors) -> Sequence[BaseRoute]:
        """The HTTP routes this messenger needs (its webhook under /hooks/<name>, a page)."""

    async def send(self, parcel: Parcel) -> Outcome:
        """Send one already rendered message. Never raises for what the messenger answers."""

    async def acknowledge_button(self, inbound: Inbound) -> None:
        """Stop the button's spinner; a refusal is of no interest."""

    def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        """Stream a file in chunks. Raises FileRefused or FileUnavailable."""

    async def health(self) -> Health:
        """Ask the messenger whether it knows us."""

    async def close(self) -> None:
        """Let connections go."""


@runtime_checkable
class Shown(Protocol):
    """A messenger of our own, whose open pages hang on one process each."""

    def look_again(self, chat_key: str) -> None:
        """Another process has shown or stored something in that chat: read it from the log."""


class StoredFiles(Protocol):
    """Where a channel finds the content of the files that it sends."""

    def path(self, sha256: str) -> Path:
        """Where the stored file lies on this machine's disk. It may be fetched first: call it in a thread."""


class ChatLog(Protocol):
    """What was said in a chat, as the house keeps it; for a messenger that has no memory of its own."""

    async def latest(self, chat_key: str, limit: int, before: int | None = None) -> Sequence[Logged]:
        """At most `limit` latest messages both ways, oldest first.

        With `before`, only those with a smaller id. A letter belongs to the log from the moment it was
        handed to `send`, a message of the visitor from the commit in `accept`. Presses count as
        messages; their text is the button's label.
        """

    async def may_keep(self, chat_key: str) -> bool:
        """Whether this person has agreed to the consent in force, or is staff: else nothing is kept."""


@dataclass(frozen=True, slots=True)
class Lent:
    """What the house lends every channel when it opens; each takes what it needs.

    `uploads` is a folder of ours for files that were uploaded and are not yet stored; several
    processes share it. `file_link` makes the signed link under which a stored file is given out.
    `secret_key` signs what a messenger of our own hands to its visitors.
    """

    files: StoredFiles
    log: ChatLog
    file_link: Callable[[OutgoingFile], str]
    render: Callable[[Text], str]
    uploads: Path
    secret_key: str = field(repr=False)
    firm: str
    language: str = "ru"
    public_url: str = ""
    """The same as in `Doors`, for a `health` that is asked while nothing runs."""
    file_links_last: timedelta = timedelta(days=1)
    """For how long a `file_link` works from the moment it is made."""


NAMELESS = plain("")


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """A messenger we can speak; the module constant `CHANNEL` of its file in `bots/`.

    `name` is the word in the configuration, `title` the one people use. `open` gets a checked instance of
    `settings` and what the house lends; it does no input or output, and only it may import the
    messenger's library.
    """

    name: str
    settings: type[BaseModel]
    open: Callable[[Any, Lent], Channel]
    title: Text = NAMELESS
    own_page: str = ""
    """The path under which our own server shows this messenger: links lead there."""
    press_kept_seconds: float = 0.0
    """After so long the messenger drops a press (or a message) that we have not taken; 0: it never does."""
    by_email: bool = False
    """Whether its chat keys are e-mail addresses, so that a person of whom we know one can be written to."""
