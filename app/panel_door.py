"""What stands between the port and the panel: its few threads never wait for a slow client.

Flask reads what is posted and writes what it answers in one of `PANEL_THREADS`. So what is posted is taken
in here first, at a pace that must be kept, and an answer is given out from here when its thread is free
again: eight connections that say nothing would else close the panel to everybody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from urllib.parse import quote

from starlette.responses import PlainTextResponse

from app.throttle import DOORS, address_of

PUBLIC_BODY_BYTES = 64 * 1024
"""The most that is taken from whoever has not signed in: a login, a password, a code."""
GRACE_SECONDS = 10.0
BYTES_PER_SECOND = 64 * 1024
"""How fast a body must come once the grace is over."""
UNFINISHED_POSTS = 10
"""How many posts of one address may be under way at once; an office of twenty seldom has two."""
_IN_MEMORY_BYTES = 1024 * 1024
_ANSWER_IN_MEMORY_BYTES = 256 * 1024
_CHUNK_BYTES = 64 * 1024
_CHUNK_TAKEN_WITHIN_SECONDS = 60.0

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ASCII = bytes(range(128))


class _Gone(Exception):  # noqa: N818 - the name says what happened
    """The client hung up before all was there."""


class _TooLarge(Exception):  # noqa: N818 - the name says what happened
    """More came than this page takes."""


@dataclass(frozen=True, slots=True)
class PanelDoor:
    """Keep from Flask what is not the panel's, and whoever is slow.

    Other paths are not found, nobody is asked to sign in. A body that comes too slowly gets 408, one that
    is too large 413, one too many of an address 429.
    """

    panel: App
    grace_seconds: float = GRACE_SECONDS
    _unfinished: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith("/panel/"):
            await PlainTextResponse("Not found", status_code=404)(scope, receive, send)
            return
        if not scope["query_string"].isascii():  # a2wsgi fails on what no browser would send
            scope = {**scope, "query_string": quote(scope["query_string"], safe=_ASCII).encode()}
        with SpooledTemporaryFile(_IN_MEMORY_BYTES) as posted:
            refusal = await self._take_in(scope, receive, posted)
            if refusal is None:
                await self._served(scope, posted, send)
            elif refusal:
                words = {408: "Too slow", 413: "Too large", 429: "Too many at once", 503: "Not now"}
                # What is still to come of it is not read.
                answer = PlainTextResponse(words[refusal], refusal, headers={"Connection": "close"})
                await answer(scope, receive, send)

    async def _take_in(self, scope: Scope, receive: Receive, posted: IO[bytes]) -> int | None:
        """Read the body; returns the status of a refusal, 0 when nobody waits for an answer any more."""
        address = address_of(scope)
        if self._unfinished[address] >= UNFINISHED_POSTS:
            return 429
        self._unfinished[address] += 1
        try:
            most_bytes = PUBLIC_BODY_BYTES if scope["path"].startswith(DOORS) else None
            await _read(receive, posted, most_bytes, self.grace_seconds)
        except TimeoutError:
            return 408
        except _TooLarge:
            return 413
        except _Gone:
            return 0
        except OSError:
            return 503  # no room for it on the disk
        finally:
            self._unfinished[address] -= 1
            if not self._unfinished[address]:
                del self._unfinished[address]
        return None

    async def _served(self, scope: Scope, posted: IO[bytes], send: Send) -> None:
        """Let the panel answer into a file, and give that out at the client's own pace."""
        posted.seek(0)
        head: list[Message] = []

        async def hand_over() -> Message:
            chunk = posted.read(_CHUNK_BYTES)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

        with SpooledTemporaryFile(_ANSWER_IN_MEMORY_BYTES) as answer:

            async def keep(message: Message) -> None:
                if message["type"] == "http.response.start":
                    head.append(message)
                else:
                    answer.write(message.get("body", b""))

            await self.panel(scope, hand_over, keep)
            answer.seek(0)
            await _give_out(head[0], answer, send)


async def _read(receive: Receive, posted: IO[bytes], most_bytes: int | None, grace_seconds: float) -> None:
    """Take in a body. Raises TimeoutError, _TooLarge, _Gone, and OSError when it cannot be kept."""
    begun, received_bytes, more = asyncio.get_running_loop().time(), 0, True
    async with asyncio.timeout(grace_seconds) as deadline:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            received_bytes += len(chunk)
            if most_bytes is not None and received_bytes > most_bytes:
                raise _TooLarge
            posted.write(chunk)
            deadline.reschedule(begun + grace_seconds + received_bytes / BYTES_PER_SECOND)


async def _give_out(head: Message, answer: IO[bytes], send: Send) -> None:
    """Send an answer, until whoever asked for it takes nothing more for a minute."""
    try:
        async with asyncio.timeout(_CHUNK_TAKEN_WITHIN_SECONDS) as deadline:
            await send(head)
            while chunk := answer.read(_CHUNK_BYTES):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                deadline.reschedule(asyncio.get_running_loop().time() + _CHUNK_TAKEN_WITHIN_SECONDS)
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        return
