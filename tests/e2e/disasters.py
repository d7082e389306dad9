"""`priem run` as a process that disasters befall: its disk, its clock, its descriptors, its database."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import mmap
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from tests.e2e.service import REPO, START_SECONDS, STOP_SECONDS
from tests.emulators.listening import free_port
from tests.emulators.telegram import Chat, TelegramEmulator

FULL, BROKEN, READ_ONLY = errno.ENOSPC, errno.EIO, errno.EROFS
PRIEM = (sys.executable, "-c", "from app.cli import main; main()")
_SOURCE = Path(__file__).with_name("faults.c")

HEAD = """
[firm]
name = "Баланс"
working_hours = "00:00-23:59"
lunch = ""
[server]
port = {port}
secret_key = "0123456789abcdef0123456789abcdef"
{server}
[storage]
url = "sqlite:///{data}/priem.sqlite3"
files = "{data}/files"
warn_free_megabytes = 0
"""

TELEGRAM = """
[bots.telegram]
token = "{token}"
api_base_url = "{api}"
messages_per_second = {rate}
messages_burst = {burst}
chat_messages_per_second = {chat_rate}
chat_burst = {chat_burst}
poll_timeout_seconds = 5
"""


def telegram_section(
    telegram: TelegramEmulator, *, rate: float = 100_000, burst: int = 100_000, chat_rate: float = 100_000,
    chat_burst: int = 100_000,
) -> str:  # fmt: skip
    """The section of an emulator, by default without a pace of our own."""
    return TELEGRAM.format(
        token=telegram.token, api=telegram.base_url, rate=rate, burst=burst, chat_rate=chat_rate,
        chat_burst=chat_burst,
    )  # fmt: skip


class _Shared(ctypes.Structure):
    """Laid out as `struct faults` in faults.c."""

    _fields_ = (
        ("write_errno", ctypes.c_int32),
        ("fsync_errno", ctypes.c_int32),
        ("clock_offset_ns", ctypes.c_int64),
        ("tears", ctypes.c_int32),
        ("suffered", ctypes.c_int32),
    )


class Faults:
    """What goes wrong in the process just now. Setting a value takes effect at its next call."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "faults"
        self.file.write_bytes(bytes(ctypes.sizeof(_Shared)))
        with self.file.open("r+b") as opened:
            self._mapped = mmap.mmap(opened.fileno(), ctypes.sizeof(_Shared))
        self._shared = _Shared.from_buffer(self._mapped)
        self._library = compiled(folder)

    def environment(self, below: Path) -> dict[str, str]:
        """What the process is started with; only files in the folder `below` suffer."""
        return {
            "LD_PRELOAD": str(self._library),
            "PRIEM_FAULTS": str(self.file),
            "PRIEM_FAULTS_DIR": f"{below.resolve()}{os.sep}",
        }

    def writing_says(self, code: int, *, tears: bool = False) -> None:
        """Refuse to write with this errno, 0 for no more; `tears` writes the half of it first."""
        self._shared.tears = tears
        self._shared.write_errno = code

    def fsync_says(self, code: int) -> None:
        self._shared.fsync_errno = code

    def clock_is_wrong_by(self, seconds: float) -> None:
        self._shared.clock_offset_ns = int(seconds * 1e9)

    def end(self) -> None:
        """No disaster goes on but a wrong clock."""
        self._shared.write_errno = self._shared.fsync_errno = self._shared.tears = 0

    @property
    def suffered(self) -> int:
        """How many calls have failed so far."""
        return int(self._shared.suffered)


def compiled(folder: Path) -> Path:
    """The library that makes faults; it takes a C compiler, and Linux."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        if os.environ.get("CI"):
            raise AssertionError("faults.c needs a C compiler on Linux")
        pytest.skip("faults.c needs a C compiler on Linux")
    library = folder / "faults.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"],
        check=True, timeout=60,
    )  # fmt: skip
    return library


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """Mount a file system of this size there; False where only root may and we are not."""
    folder.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    done = mount is not None and os.geteuid() == 0 and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "priem-test", str(folder)],
        check=False, capture_output=True, timeout=10,
    ).returncode == 0  # fmt: skip
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


@dataclass(slots=True)
class Beset:
    """`priem run` in `folder`, its data in `folder/data`; the data stays when the process ends."""

    folder: Path
    channels: str
    server: str = ""
    with_faults: bool = True
    port: int = field(default_factory=free_port)
    faults: Faults = field(init=False, repr=False)
    process: asyncio.subprocess.Process | None = None
    before_start: Callable[[], None] | None = None
    """Called in the new process before it becomes the service."""

    def __post_init__(self) -> None:
        self.data.mkdir(exist_ok=True)
        if self.with_faults:
            self.faults = Faults(self.folder)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def database(self) -> Path:
        return self.data / "priem.sqlite3"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    async def __aenter__(self) -> Self:
        self.write_config()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def write_config(self) -> None:
        head = HEAD.format(port=self.port, data=self.data, server=self.server)
        self.config.write_text(head + self.channels, encoding="utf-8")

    # -------------------------------------------------------------- its life

    async def launch(self) -> asyncio.subprocess.Process:
        """Start it and wait for nothing."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *PRIEM, "run", "--config", str(self.config), stdout=log, stderr=log, cwd=REPO,
                env=self._environment(), preexec_fn=self.before_start,
            )  # fmt: skip
        return self.process

    async def start(self) -> None:
        """Start it and wait until its port answers."""
        process = await self.launch()
        async with asyncio.timeout(START_SECONDS):
            while (await self.health())[0] == 0:
                assert process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL: nothing of the process gets a chance to tidy up."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of `priem` on the same configuration."""
        return subprocess.run(
            [*PRIEM, *arguments, "--config", str(self.config)],
            check=False, capture_output=True, text=True, cwd=REPO, timeout=60,
            env={**os.environ, "PYTHONPATH": str(REPO)},
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        faults = self.faults.environment(self.data) if self.with_faults else {}
        return {**os.environ, "PYTHONPATH": str(REPO), **faults}

    # -------------------------------------------------------------- what is seen of it

    async def health(self) -> tuple[int, dict[str, Any]]:
        """The status and the page of /health; (0, {}) when nobody answers."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as http,
                http.get(f"http://127.0.0.1:{self.port}/health") as response,
            ):
                return response.status, await response.json()
        return 0, {}

    async def attention(self) -> str:
        """What /health wants of a person, as one text."""
        return "\n".join((await self.health())[1].get("attention", ()))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the database past all our own code."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
        ) as database:
            return database.execute(query, values).fetchall()

    @property
    def memory_mb(self) -> float:
        """What it has in memory now."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * mmap.PAGESIZE / 1e6


@asynccontextmanager
async def beset_by(folder: Path, telegram: TelegramEmulator, **how: Any) -> AsyncIterator[Beset]:
    """The service with Telegram alone."""
    async with Beset(folder, telegram_section(telegram), **how) as service:
        yield service


async def let_in(service: Beset, telegram: TelegramEmulator, role: str, user_id: int, name: str) -> Chat:
    """Somebody of the staff, with a chat of their own."""
    invited = await asyncio.to_thread(
        service.command, "invite", role, "--name", name, "--email", f"s{user_id}@example.org"
    )
    code = next(line.split()[1] for line in invited.stdout.splitlines() if line.startswith("code: "))
    chat = telegram.chat(user_id, first_name=name.partition(" ")[0])
    await chat.says(f"/start {code}")
    await chat.answer()
    return chat


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, seconds: float = 60, what: str = ""
) -> None:
    """Look again and again until it is so."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = condition()
                if await found if isinstance(found, Awaitable) else found:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it never came to that: {what or condition}") from None


def letters_wait(database: Path, telegram: TelegramEmulator, chats: int, each: int) -> None:
    """Letters to people of Telegram, copied from the one that is there; then an urgent one to one more."""
    with contextlib.closing(sqlite3.connect(database)) as opened, opened:
        (chat_id,) = opened.execute("select id from chat where chat_key = '1000'").fetchone()
        (letter_id,) = opened.execute("select id from letter where chat_id = ?", (chat_id,)).fetchone()
        for number in range(1, chats + 1):
            telegram.chat(1000 + number)
            _copy(opened, "chat", chat_id, {"chat_key": str(1000 + number), "user_key": str(1000 + number)})
        of_chats = [
            opened.execute("select id from chat where chat_key = ?", (str(1000 + number),)).fetchone()[0]
            for number in range(chats + 1)
        ]
        waiting = {"state": "todo", "sent_at": None, "message_key": "", "attempts": 0, "urgent": 0}
        for part in range(each):
            for number, chat in enumerate(of_chats[:chats]):
                word = str(number * each + part)
                changed = {"key": f"waits:{word}", "chat_id": chat, "text": word, "rows": "[]"}
                _copy(opened, "letter", letter_id, waiting | changed)
        last = {"key": "waits:urgent", "chat_id": of_chats[-1], "text": "urgent", "rows": "[]", "urgent": 1}
        _copy(opened, "letter", letter_id, waiting | last)


def _copy(opened: sqlite3.Connection, table: str, row_id: int, changed: dict[str, object]) -> None:
    names = [row[1] for row in opened.execute(f"pragma table_info({table})") if row[1] != "id"]
    values = ", ".join("?" if name in changed else name for name in names)
    opened.execute(
        f"insert into {table} ({', '.join(names)}) select {values} from {table} where id = ?",
        [*(changed[name] for name in names if name in changed), row_id],
    )
