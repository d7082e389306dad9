"""What the emulators do alike: listen on a port that stays theirs, and wait for what a person is to see."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from aiohttp import web

T = TypeVar("T")

PATIENCE_SECONDS = 30
"""How long one waits for what must come: a machine with much to do takes its time."""

_PORTS_OF_A_WORKER = 700
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 32
_FIRST_PORT = 10_000 + _WORKER * _PORTS_OF_A_WORKER
_ports = itertools.cycle(
    _FIRST_PORT + (os.getpid() * 37 + number) % _PORTS_OF_A_WORKER for number in range(_PORTS_OF_A_WORKER)
)
"""Each worker has its own, below those that the system gives to whoever asks for any."""


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, for a server that is yet to start."""
    for port in itertools.islice(_ports, _PORTS_OF_A_WORKER):
        with socket.socket() as probe, suppress(OSError):
            # As servers do: what is left of closed connections is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("all ports of this worker are taken")


async def listen(runner: web.BaseRunner, port: int) -> int:
    """Serve on this port of 127.0.0.1 (0: a free one), and give the port: it is to be used again."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port or free_port(), reuse_address=True).start()
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
