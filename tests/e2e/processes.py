"""Several `priem run` on one PostgreSQL beside a Telegram emulator: to be killed, cut off, looked into."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
import psycopg
from aiohttp import web
from sqlalchemy.engine import URL

from tests.e2e.service import REPO, Dialogue, Kill
from tests.emulators.listening import free_port
from tests.emulators.telegram import TelegramEmulator
from tests.storage.lines import Line

START_SECONDS = 120
"""Two start at once, beside whatever else the machine has to do."""

CONFIG = """
[firm]
name = "Баланс"
[storage]
url = "{url}"
files = "files"
[server]
port = {port}
public_url = "{public_url}"
secret_key = "0123456789abcdef0123456789abcdef"
[bots.webchat]
[bots.telegram]
token = "{token}"
api_base_url = "{api}"
mode = "{mode}"
{secret}
messages_per_second = 100000
messages_burst = 100000
chat_messages_per_second = 100000
chat_burst = 100000
poll_timeout_seconds = 5
"""


@dataclass(slots=True)
class Process:
    """One of them, with a line of its own to the database."""

    folder: Path
    line: Line
    port: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "from app.cli import main; main()",
                "run", "--config", str(self.folder / "config.toml"),
                stdout=log, stderr=log, cwd=REPO, env={**os.environ, "PYTHONPATH": str(REPO)},
            )  # fmt: skip

    async def answers(self) -> None:
        """Wait until it says that all is well."""
        told = "nothing"
        give_up_at = time.monotonic() + START_SECONDS
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < give_up_at:
                try:
                    async with http.get(f"{self.url}/health") as response:
                        if response.status == 200:
                            return
                        told = await response.text()
                except aiohttp.ClientError:
                    assert self.is_running, self.log()
                await asyncio.sleep(0.05)
        raise AssertionError(f"it said {told}\n{self.log()[-4000:]}")

    async def kill(self) -> None:
        if self.is_running:
            assert self._process is not None
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(60):
            return await self._process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text()


@dataclass(slots=True)
class Pair:
    """Two of them on one database. `rows` and `kills` are what `tests.e2e.service.audit` asks for."""

    folder: Path
    telegram: TelegramEmulator
    database: URL
    webhook: bool = False
    kills: list[Kill] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)
    balancer: Balancer = field(init=False)

    def __post_init__(self) -> None:
        self.balancer = Balancer(self.processes)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        public_url = await self.balancer.open() if self.webhook else ""
        for name in ("one", "two"):
            folder = self.folder / name
            folder.mkdir()
            line = Line(self.database)
            await line.open()
            process = Process(folder, line)
            self.processes.append(process)
            (folder / "config.toml").write_text(
                CONFIG.format(
                    url=line.url.set(drivername="postgresql").render_as_string(hide_password=False),
                    port=process.port,
                    public_url=public_url or process.url,
                    token=self.telegram.token,
                    api=self.telegram.base_url,
                    mode="webhook" if self.webhook else "polling",
                    secret='secret = "of-our-hook"' if self.webhook else "",
                )
            )
            await process.start()
        for process in self.processes:
            await process.answers()
        await self.until(lambda: len(set(self.owners().values())) == 2)

    async def __aexit__(self, *_: object) -> None:
        for process in self.processes:
            await process.kill()
            await process.line.close()
        await self.balancer.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the database past all our own code."""
        url = self.database.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(query.replace("?", "%s"), values).fetchall()
        return [tuple(orjson.dumps(v) if isinstance(v, dict) else v for v in row) for row in found]

    def owners(self) -> dict[str, int]:
        """Which process does what, by its number."""
        found = self.rows(
            "select name, ownership.owner from ownership join process on process.owner = ownership.owner"
        )
        return {thing: int(owner.split(":")[1]) for thing, owner in found}

    def owner_of(self, thing: str) -> Process:
        pid = self.owners()[thing]
        return next(process for process in self.processes if process.pid == pid)

    def other_than(self, process: Process) -> Process:
        return next(each for each in self.processes if each is not process)

    async def kill(self, process: Process) -> float:
        """SIGKILL; the event loop's time."""
        await process.kill()
        self.kills.append(Kill.just_now(self.rows))
        return self.kills[-1].at

    def hesitations(self) -> int:
        """How often a process was starved for so long that it did not trust its own ownership."""
        return sum(process.log().count("not sure of these any more") for process in self.processes)

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Look again and again until it is so."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Wait until what was sent is also written down as sent."""
        await self.until(
            lambda: (
                not self.rows("select 1 from letter where state in ('todo', 'doing')")
                and not self.telegram.pending
            )
        )


@dataclass(slots=True)
class Balancer:
    """Hands posts to the processes in turn, and each seventh to both; whoever is dead is passed over."""

    processes: list[Process]
    taken: int = 0
    handed_to_both: int = 0
    _runner: web.AppRunner | None = None
    _http: aiohttp.ClientSession | None = None

    async def open(self) -> str:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10))
        application = web.Application()
        application.router.add_route("POST", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{port}"

    async def close(self) -> None:
        if self._runner is not None and self._http is not None:
            await self._http.close()
            await self._runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.taken += 1
        order = [self.processes[(self.taken + number) % len(self.processes)] for number in range(2)]
        if self.taken % 7 == 0:
            self.handed_to_both += 1
            await asyncio.gather(*(self._post(each, request, body) for each in order))
        for process in order:
            status = await self._post(process, request, body)
            if status:
                return web.Response(status=status)
        return web.Response(status=502)

    async def _post(self, process: Process, request: web.Request, body: bytes) -> int:
        assert self._http is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        try:
            async with self._http.post(
                f"{process.url}{request.path_qs}", data=body, headers=headers
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
