"""What the contract suite needs of a messenger, and the stand-in for the house that it talks to.

A channel is added to the suite by `tests/channels/<name>.py` with `VARIANTS`: one variant for each
way in which the channel can run (polling, webhook). A variant opens the channel together with an
emulator of its messenger on a real socket.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import aiohttp
import uvicorn
from starlette.applications import Starlette

from bots.base import Channel, Cursor, Doors
from bots.wire import Pauses
from forms.messages import Inbound, InboundKind, OutgoingFile
from tests.emulators.listening import PATIENCE_SECONDS, free_port


class Ability(StrEnum):
    """What not every messenger has. A case that needs a missing one is a strict xfail."""

    BUTTONS = "buttons"
    WEBHOOK = "webhook"
    """Messages come as signed posts of the messenger."""
    REDELIVERY = "redelivery"
    """The messenger repeats what we did not acknowledge."""
    API_FAULTS = "api faults"
    """Sending asks a messenger that can fail."""
    BLOCKING = "blocking"
    """A person can close the chat for us."""
    FILE_NAMES = "file names"
    """A file that comes with words keeps its own name."""
    OVERSIZE = "oversize"
    """A file over `MAX_FILE_BYTES` reaches us at all."""
    SECRETS = "secrets"
    """We hold something that must never be read in a log."""
    EDITING = "editing"
    """A person can change what they wrote, and we are told: the harness is `Edits`."""
    DELETING = "deleting"
    """A person can take back what they wrote, and we are told: the harness is `Deletes`."""


class ApiFault(StrEnum):
    """How the messenger receives what we send next."""

    RATE_LIMITED = "rate limited"
    """Refused: try again after `RETRY_AFTER_SECONDS`."""
    SERVER_ERROR = "server error"
    UNREACHABLE = "unreachable"
    """Nobody answers the connection, so nothing was sent."""
    ANSWER_LOST = "answer lost"
    """The message is taken and shown, and the connection breaks before the answer."""
    BLOCKED = "blocked"
    REJECTED = "rejected"
    TOKEN_REVOKED = "token revoked"


RETRY_AFTER_SECONDS = 7

STOP_SECONDS = 10
"""How long `receive` may take to end where the time itself is not the subject."""

HASTY_SECONDS = 1.5
"""The limit of a call that is to run out of it; all others have time."""

QUICK = Pauses(first_seconds=0.02, longest_seconds=0.1, misconfigured_seconds=0.1)

HOOK_SECRET = "hook-secret_of-the-tests"


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as the person sees it."""

    text: str
    buttons: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    """Name and content."""


class Harness(Protocol):
    """A channel with its messenger, driven from the client's side.

    Everything the client does is awaited until the messenger has taken it, not until the house has.
    """

    @property
    def channel(self) -> Channel: ...

    @property
    def chat_key(self) -> str:
        """The chat of the one client who writes; a parcel for this key is shown to that client."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be read in a log, an exception or an outcome."""

    async def house_opens(self, public_url: str) -> None:
        """The channel receives and its routes are served at this address: the client may come."""

    async def client_starts(self, code: str | None = None) -> None:
        """Open the chat, by the link of an invitation when there is a code."""

    async def client_writes(self, text: str) -> None: ...

    async def client_presses(self, label: str) -> None:
        """Press the button with this label on the latest message that has one."""

    async def client_sends_file(self, name: str, content: bytes, *, caption: str = "") -> None: ...

    async def client_blocks(self) -> None: ...

    async def messenger_repeats(self) -> None:
        """Deliver the client's last event again, as after a lost acknowledgement."""

    async def messenger_sends_nonsense(self) -> None:
        """Deliver an event, properly signed, that fits no schema."""

    async def stranger_posts(self) -> int:
        """Post an event with a wrong signature to the webhook; the status of the answer."""

    def api_fails(self, fault: ApiFault, *, times: int = 1) -> AbstractAsyncContextManager[None]:
        """While open, the next `times` sends meet this fault."""

    async def shown(self, count: int) -> Sequence[Shown]:
        """All that the client was shown so far, once it is at least `count` messages."""


@runtime_checkable
class Edits(Protocol):
    """A harness whose messenger lets a person change a message."""

    async def client_edits(self, text: str) -> None:
        """Change the client's latest message into this."""


@runtime_checkable
class Deletes(Protocol):
    """A harness whose messenger lets a person take a message back."""

    async def client_deletes(self) -> None:
        """Take back the client's latest message."""


class Lacks(Exception):  # noqa: N818 - a sentence, not an error of the code under test
    """Raised by a harness whose messenger cannot do what a case asks; declared in `lacks`."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a channel; `lacks` gives the reason for every missing ability."""

    name: str
    open: Callable[[Shelf], AbstractAsyncContextManager[Harness]]
    lacks: Mapping[Ability, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Stored files of the house, by digest."""

    folder: Path

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def add(self, name: str, content: bytes, media_type: str = "application/pdf") -> OutgoingFile:
        sha256 = hashlib.sha256(content).hexdigest()
        self.path(sha256).write_bytes(content)
        return OutgoingFile(sha256, name, media_type, len(content))


class Stoppable(Protocol):
    """An emulator of a messenger that can be out of reach."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def forgive(self) -> None: ...


class _Seen(Protocol):
    """A message as an emulator keeps it."""

    text: str
    files: list[tuple[str, bytes]]

    @property
    def buttons(self) -> list[str]: ...


@asynccontextmanager
async def failing(emulator: Stoppable, fault: ApiFault, spoil: Callable[[], object]) -> AsyncIterator[None]:
    """`api_fails` of a messenger that has an emulator: `spoil` arranges any fault but an unreachable one."""
    if fault is ApiFault.UNREACHABLE:
        await emulator.stop()
        # Idle connections must notice that they were closed: what is written into one is Unknown.
        for _ in range(10):
            await asyncio.sleep(0.01)
    else:
        spoil()
    try:
        yield
    finally:
        emulator.forgive()
        if fault is ApiFault.UNREACHABLE:
            await emulator.start()


async def cancelled_when(is_hanging: Callable[[], bool], call: Coroutine[Any, Any, object]) -> None:
    """Cancel the call once the messenger has it and does not answer."""
    calling = asyncio.create_task(call)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_hanging():
            await asyncio.sleep(0.005)
    calling.cancel()
    await asyncio.wait({calling})
    assert calling.cancelled(), "the call ended by itself, or swallowed its cancellation"


def as_shown(messages: Sequence[_Seen]) -> Sequence[Shown]:
    """What an emulator keeps of the messages that a person sees."""
    return [Shown(each.text, tuple(each.buttons), tuple(each.files)) for each in messages]


async def posted_by_a_stranger(url: str, value: object, headers: Mapping[str, str] | None = None) -> int:
    """Post JSON to a webhook; the status of the answer."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_SECONDS)) as stranger,
        stranger.post(url, json=value, headers=headers) as response,
    ):
        return response.status


class Refused(Exception):  # noqa: N818
    """The house could not commit."""


@dataclass(slots=True)
class House:
    """What a channel sees of the house: it takes inbound messages and remembers the cursor.

    It stores like the real one: a message counts once per event key, and nothing of a call that
    raised.
    """

    received: list[Inbound] = field(default_factory=list)
    cursor: str | None = None
    calls: int = 0
    repeated: int = 0
    """How many inbound messages came with an event key already known."""
    _refusals: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    def refuses(self, times: int) -> None:
        """The next commits fail."""
        self._refusals = times

    async def accept(self, inbounds: Sequence[Inbound], cursor: Cursor | None) -> None:
        self.calls += 1
        if self._refusals:
            self._refusals -= 1
            raise Refused("The disk is full.")
        known = {inbound.event_key for inbound in self.received}
        async with self._changed:
            for inbound in inbounds:
                self.repeated += inbound.event_key in known
                if inbound.event_key not in known:
                    self.received.append(inbound)
                    known.add(inbound.event_key)
            if cursor is not None:
                self.cursor = cursor.value
            self._changed.notify_all()

    async def receives(self, count: int) -> list[Inbound]:
        """All that counts so far (not IGNORED), once it is at least `count` messages."""
        await self.until(lambda: len(self._counted()) >= count)
        return self._counted()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that `accept` changes."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(condition)

    def _counted(self) -> list[Inbound]:
        return [inbound for inbound in self.received if inbound.kind is not InboundKind.IGNORED]

    @asynccontextmanager
    async def runs(
        self, harness: Harness, *, stops_within_seconds: float = STOP_SECONDS
    ) -> AsyncIterator[None]:
        """Serve the channel's routes and let it receive, as `app.service` does."""
        doors = Doors(self.accept, now=self.now, cursor=self.cursor, public_url=free_address())
        async with serving(harness.channel, doors):
            receiving = asyncio.create_task(harness.channel.receive(doors), name="receive")
            try:
                await harness.house_opens(doors.public_url)
                yield
            finally:
                await stopped(receiving, within_seconds=stops_within_seconds)


async def stopped(receiving: asyncio.Task[None], *, within_seconds: float = STOP_SECONDS) -> None:
    """Cancel `receive`: it must end in time, as cancelled, and not have died before."""
    if receiving.done():
        receiving.result()
        raise AssertionError("receive() returned by itself")
    receiving.cancel()
    done, _ = await asyncio.wait({receiving}, timeout=within_seconds)
    assert done, f"receive() still runs {within_seconds} s after its cancellation"
    assert receiving.cancelled(), "receive() swallowed its cancellation"


def free_address() -> str:
    """An address of this machine where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to pytest."""
        yield


@asynccontextmanager
async def serving(channel: Channel, doors: Doors) -> AsyncIterator[None]:
    """The channel's routes on the port of `doors.public_url`; nothing when it has none."""
    routes = list(channel.routes(doors))
    if not routes:
        yield
        return
    port = int(doors.public_url.rsplit(":", 1)[1])
    config = uvicorn.Config(
        Starlette(routes=routes),
        host="127.0.0.1",
        port=port,
        log_config=None,
        lifespan="off",
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(), name="server")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await task
