"""Webhooks acknowledged durably beside the same server that acknowledges blindly (P6).

Every post is a message of a client of its own: it is stored, answered and logged before its 200. The blind
server is the same uvicorn with the same limits, whose route reads the body and says 200.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import uvloop

from benchmarks.form_steps import pin
from benchmarks.load import TOKEN
from benchmarks.memory import free_port, priem_command, wait_for_health

SECRET = "benchmark-secret"
HEADERS = (
    f"Host: localhost\r\nContent-Type: application/json\r\nX-Telegram-Bot-Api-Secret-Token: {SECRET}\r\n"
)
UNLIMITED = """messages_per_second = 1000000
messages_burst = 1000000
chat_messages_per_second = 1000000
chat_burst = 1000000
"""
CONFIG = """
[firm]
name = "Баланс"
[server]
port = {port}
public_url = "http://127.0.0.1:{port}"
secret_key = "0123456789abcdef0123456789abcdef"
[bots.telegram]
token = "{token}"
api_base_url = "{api}"
mode = "webhook"
secret = "{secret}"
{unlimited}"""


def update(number: int) -> bytes:
    person = {"id": 200_000 + number, "is_bot": False, "first_name": "Мария"}
    chat = {"id": 200_000 + number, "first_name": "Мария", "type": "private"}
    message = {
        "message_id": number,
        "from": person,
        "chat": chat,
        "date": int(time.time()),
        "text": "Здравствуйте",
    }
    body = orjson.dumps({"update_id": 5_000_000 + number, "message": message})
    head = f"POST /hooks/telegram HTTP/1.1\r\n{HEADERS}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def post_all(port: int, posts: int, at_once: int, first: int) -> tuple[float, float]:
    """Acknowledgements a second, and the 99th percentile in milliseconds."""
    numbers = iter(range(first, first + posts))
    waited: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            sent_at = time.perf_counter()
            writer.write(update(number))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise SystemExit(f"refused: {head!r}")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].partition(b":")[2]))
            waited.append(time.perf_counter() - sent_at)
        writer.close()

    began_at = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(connection())
    seconds = time.perf_counter() - began_at
    return posts / seconds, sorted(waited)[int(posts * 0.99)] * 1000


def serve_blindly(port: int) -> None:
    """The same server, route and limits, and nothing behind them."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from app.server import MAX_BODY_BYTES, BodyLimit, make_server

    async def hook(request: Request) -> Response:
        await request.body()
        return Response()

    async def health(_request: Request) -> Response:
        return Response()

    routes = [Route("/hooks/telegram", hook, methods=["POST"]), Route("/health", health)]
    middleware = [Middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)]
    server = make_server(Starlette(routes=routes, middleware=middleware))
    with socket.create_server(("127.0.0.1", port)) as listening:
        uvloop.run(server.serve(sockets=[listening]))


@contextmanager
def blind(port: int) -> Iterator[None]:
    with _running([sys.executable, "-m", "benchmarks.webhooks", "--serve-blindly", str(port)], port):
        yield


@contextmanager
def durable(port: int) -> Iterator[None]:
    load = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert load.stdout is not None
        api = f"http://127.0.0.1:{load.stdout.readline().strip()}"
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "config.toml"
            config.write_text(
                CONFIG.format(port=port, token=TOKEN, api=api, secret=SECRET, unlimited=UNLIMITED)
            )
            with _running([priem_command(), "run", "--config", str(config)], port):
                yield
    finally:
        load.kill()
        load.communicate()


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    pin(process.pid, 0)
    try:
        wait_for_health(process, port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve-blindly", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_blindly:
        serve_blindly(options.serve_blindly)
        return
    pin(0, 1)
    servers: dict[str, Callable[[int], object]] = {"blind": blind, "durable": durable}
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for number in range(options.rounds):
        for name in servers if number % 2 == 0 else reversed(servers):
            port = free_port()
            with servers[name](port):  # type: ignore[attr-defined]
                uvloop.run(post_all(port, options.at_once * 2, options.at_once, 10_000_000))
                rounds[name].append(uvloop.run(post_all(port, options.posts, options.at_once, 0)))
    for name, seen in rounds.items():
        print(f"{name:8} {statistics.median(rate for rate, _ in seen):6.0f} acknowledgements/s, ", end="")
        print(f"p99 {statistics.median(p99 for _, p99 in seen):.0f} ms")
    pairs = list(zip(rounds["durable"], rounds["blind"], strict=True))
    rate = statistics.median(ours[0] / bare[0] for ours, bare in pairs)
    print(f"P6  durable ÷ blind: {rate:.2f} (goal ≥ 0.5)")
    print(f"P6  p99 ÷ blind: {statistics.median(ours[1] / bare[1] for ours, bare in pairs):.1f} (goal ≤ 3)")


if __name__ == "__main__":
    main()
