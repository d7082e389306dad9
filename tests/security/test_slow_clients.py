"""Clients that say nothing, or read nothing, take the panel from nobody."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from a2wsgi import WSGIMiddleware
from flask import Flask, request

from app.panel_door import PUBLIC_BODY_BYTES, UNFINISHED_POSTS, PanelDoor
from app.server import PANEL_THREADS, Reports, create_app, listening, make_server
from storage.files import FileLinks
from tests.admin.office import NOW
from tests.emulators.listening import free_port
from tests.security.asking import get

PATIENCE_SECONDS = 10
A_LARGE_FILE = "/panel/static/vendor/fontawesome-free-5.1.0-web/metadata/icons.json"


@asynccontextmanager
async def served(app):
    port = free_port()
    server = make_server(app)
    with listening("127.0.0.1", port) as opened:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([opened]))
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                yield port
            finally:
                server.should_exit = True
                server.force_exit = True


def whole(office):
    return create_app(
        [], office.app, Reports(None, None), FileLinks("a key that is long enough"), office.files, lambda: NOW
    )


def connected(port, words):
    talking = socket.socket()
    talking.connect(("127.0.0.1", port))
    talking.sendall(words)
    return talking


def a_slow_post(port, path="/panel/sign-in", length=1000):
    form = "Content-Type: application/x-www-form-urlencoded"
    return connected(
        port, f"POST {path} HTTP/1.1\r\nHost: x\r\n{form}\r\nContent-Length: {length}\r\n\r\na".encode()
    )


async def sign_in_page(port):
    waits = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=waits) as http,
        http.get(f"http://127.0.0.1:{port}/panel/sign-in") as answer,
    ):
        return answer.status


async def heard(talking):
    """The first line of what is answered there."""
    talking.settimeout(PATIENCE_SECONDS)
    words = await asyncio.to_thread(talking.recv, 4096)
    return words.split(b"\r\n")[0].decode()


async def test_posts_that_never_end_take_no_thread(office):
    async with served(whole(office)) as port:
        held = [a_slow_post(port) for _ in range(PANEL_THREADS)]
        try:
            # Whoever has the threads would have them until the grace of the slow ones is over.
            began = time.monotonic()
            assert await sign_in_page(port) == 200
            assert time.monotonic() - began < PATIENCE_SECONDS / 2
        finally:
            for talking in held:
                talking.close()


async def test_answers_that_nobody_reads_take_no_thread(office):
    app, reading = whole(office), asyncio.Event()

    async def ask(path, take):
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"host", b"localhost")], "client": ("203.0.113.7", 1), "server": ("localhost", 80),
        }  # fmt: skip

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        await app(scope, receive, take)

    def reader():
        statuses = asyncio.Queue()

        async def take(message):
            if message["type"] == "http.response.start":
                statuses.put_nowait(message["status"])
            else:
                await reading.wait()

        return statuses, take

    async with asyncio.TaskGroup() as tasks, asyncio.timeout(PATIENCE_SECONDS):
        readers = [reader() for _ in range(PANEL_THREADS)]
        for _statuses, take in readers:
            tasks.create_task(ask(A_LARGE_FILE, take))
        for statuses, _take in readers:
            assert await statuses.get() == 200
        assert (await get(app, "/panel/sign-in")).status == 200
        reading.set()


def echo():
    """A panel that says how much it was sent, in a page of any length."""
    flask = Flask(__name__)

    @flask.post("/panel/<path:_path>")
    def count(_path):
        return f"{len(request.environ['wsgi.input'].read())} {'.' * request.args.get('dots', 0, int)}"

    return WSGIMiddleware(flask, workers=1)


async def test_a_body_that_stops_coming_gets_408_and_the_address_may_post_again():
    async with served(PanelDoor(echo(), grace_seconds=0.3)) as port:
        talking = a_slow_post(port)
        assert await heard(talking) == "HTTP/1.1 408 Request Timeout"
        talking.close()
        talking = a_slow_post(port, length=1)
        assert await heard(talking) == "HTTP/1.1 200 OK"
        talking.close()


async def test_one_address_has_a_few_posts_under_way():
    async with served(PanelDoor(echo())) as port:
        held = [a_slow_post(port) for _ in range(UNFINISHED_POSTS)]
        try:
            waits = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
            async with aiohttp.ClientSession(timeout=waits) as http:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while True:  # until the last of them was read
                        async with http.post(f"http://127.0.0.1:{port}/panel/sign-in", data=b"a") as answer:
                            if answer.status == 429:
                                break
                held.pop().close()
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while answer.status != 200:
                        async with http.post(f"http://127.0.0.1:{port}/panel/sign-in", data=b"a") as answer:
                            assert answer.status in (200, 429)
        finally:
            for talking in held:
                talking.close()


@pytest.mark.parametrize(
    ("path", "size_bytes", "status"),
    [
        ("/panel/sign-in", PUBLIC_BODY_BYTES, 200),
        ("/panel/sign-in", PUBLIC_BODY_BYTES + 1, 413),
        ("/panel/reset/code", PUBLIC_BODY_BYTES + 1, 413),
        ("/panel/request/files", 3_000_000, 200),
    ],
)
async def test_a_stranger_posts_little(path, size_bytes, status):
    answer = await get(PanelDoor(echo()), path, method="POST", body=b"a" * size_bytes)
    assert answer.status == status
    if status == 200:
        assert answer.body.split()[0] == str(size_bytes).encode()


async def test_a_long_answer_comes_whole():
    answer = await get(PanelDoor(echo()), "/panel/request/files?dots=3000000", method="POST", body=b"a")
    assert len(answer.body) == 3_000_002
