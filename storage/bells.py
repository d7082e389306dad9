"""Bells between processes: NOTIFY over PostgreSQL, so that none has to wait for its next look at the rows.

A bell says only that there is news; what the news is stands in the rows. One that is not heard costs a
moment, never a letter: everybody also looks by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.engine import URL

if TYPE_CHECKING:
    from psycopg import AsyncConnection

log = structlog.get_logger(__name__)

LETTERS = "letters"
HOUSE = "house"
PAGES = "pages:"
"""Followed by the key of a web chat."""
EVERYTHING = "everything"
"""Heard after a time without a connection."""

_CHANNEL = "priem"
_CONNECT_SECONDS = 5
_AGAIN_SECONDS = 2.0
_MOST_WAITING = 1000


@dataclass(slots=True)
class Bells:
    """`heard` is called in the event loop with what others rang, never with our own."""

    url: URL
    heard: Callable[[str], None]
    is_needed: Callable[[], bool] = lambda: True
    """Whether there is anybody to hear us."""
    _waiting: set[str] = field(default_factory=set, init=False)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _our_pid: int = field(default=0, init=False)

    def ring(self, word: str) -> None:
        """Tell the others. Call it in the event loop, after the commit."""
        if self.is_needed() and len(self._waiting) < _MOST_WAITING:
            self._waiting.add(word)
            self._arrived.set()

    async def run(self) -> None:
        """Ring and listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever(self._listen), name="listen")
            tasks.create_task(self._for_ever(self._ring), name="ring")

    async def _for_ever(self, work: Callable[[AsyncConnection[Any]], Any]) -> None:
        from psycopg import AsyncConnection

        dsn = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                connection = await AsyncConnection.connect(
                    dsn,
                    autocommit=True,
                    connect_timeout=_CONNECT_SECONDS,
                    keepalives_idle=5,
                    keepalives_interval=2,
                    keepalives_count=2,
                    application_name="priem bells",
                )
                try:
                    await work(connection)
                finally:
                    with suppress(Exception):
                        await connection.close()
            except Exception as error:  # noqa: BLE001 - without bells everybody looks by themselves
                log.info("bells between processes are silent", error=type(error).__name__)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute(f"listen {_CHANNEL}")
        self.heard(EVERYTHING)
        async for notification in connection.notifies():
            if notification.pid != self._our_pid:
                self.heard(notification.payload)

    async def _ring(self, connection: AsyncConnection[Any]) -> None:
        self._our_pid = connection.info.backend_pid
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            words, self._waiting = sorted(self._waiting), set()
            if words:
                await connection.execute(
                    "select pg_notify(%s, word) from unnest(%s::text[]) word", (_CHANNEL, words)
                )
