"""A line to PostgreSQL that can be cut: it stays open and says nothing, as a broken network does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.engine import URL


@dataclass(slots=True)
class Line:
    """A TCP port of ours before the server's socket."""

    server: URL
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    _listening: asyncio.Server | None = None
    _port: int = 0
    _carrying: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> URL:
        """The same database over this line."""
        return self.server.set(host="127.0.0.1", port=self._port, query={})

    async def open(self) -> None:
        self.whole.set()
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._listening.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in list(self._carrying):
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def cut(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self.whole.clear()

    def mend(self) -> None:
        self.whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        try:
            await self.whole.wait()
            host = self.server.query.get("host") or self.server.host
            if str(host).startswith("/"):
                to_server = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{self.server.port or 5432}")
            else:
                to_server = await asyncio.open_connection(host, self.server.port or 5432)
            with suppress(OSError):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(reader, to_server[1]))
                    both.create_task(self._carry(to_server[0], writer))
        except asyncio.CancelledError:
            pass
        finally:
            self._carrying.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self.whole.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
