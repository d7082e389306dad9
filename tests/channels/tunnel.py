"""An HTTP proxy for tests of channels that are told to use one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping


class Tunnel:
    """Leads every CONNECT to an emulator and remembers where it was meant to go.

    `targets` gives the address for each host, or is the one address for all.
    """

    def __init__(self, targets: str | Mapping[str, str]) -> None:
        self.asked: list[str] = []
        """Host and port of each CONNECT."""
        self._targets = targets

    @property
    def hosts(self) -> set[str]:
        return {asked.partition(":")[0] for asked in self.asked}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked = head.split()[1].decode()
        self.asked.append(asked)
        targets = self._targets
        target = targets if isinstance(targets, str) else targets[asked.partition(":")[0]]
        inner_reader, inner_writer = await asyncio.open_connection(
            "127.0.0.1", int(target.rpartition(":")[2])
        )
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pour(reader, inner_writer))
            tasks.create_task(_pour(inner_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
