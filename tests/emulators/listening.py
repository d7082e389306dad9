"""What the emulators do alike: listen on a port that stays theirs, and wait for what a person is to see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from aiohttp import web

T = TypeVar("T")

PATIENCE_SECONDS = 30
"""How long one waits for what must come: a machine with much to do takes its time."""


async def listen(runner: web.BaseRunner, port: int) -> int:
    """Serve on this port of 127.0.0.1 (0: a free one), and give the port: it is to be used again."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    return int(runner.addresses[0][1])


async def once_there(
    messages: Sequence[T],
    count: int,
    changed: asyncio.Event,
    timeout_seconds: float,
    transcript: Callable[[], str],
) -> list[T]:
    """Give all messages once there are at least `count`; `changed` is set with each."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while len(messages) < count:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        missing = count - len(messages)
        raise AssertionError(
            f"{missing} answers are missing after {timeout_seconds} s:\n{transcript()}"
        ) from None
    return list(messages)
