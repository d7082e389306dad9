"""Whose address a request comes from, and what one address may try."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.server import Reports, create_app, listening, make_server
from app.settings import ConfigError, load
from app.throttle import AddressBrake, address_of, is_inside
from bots.throttle import Throttle
from storage.files import FileLinks, FileStore
from tests.admin.office import NOW
from tests.emulators.listening import free_port
from tests.security.asking import get

STRANGER = "93.184.216.34"


@pytest.fixture
def house(tmp_path):
    """The one port with a link that opens, and a clock to turn."""
    store, links, clock = FileStore(tmp_path, 10**6), FileLinks("a key that is long enough"), [NOW]
    link = links.make(store.keep_sync(b"%PDF-1.4\n%%EOF", "a.pdf").sha256, "a.pdf", NOW, 10**6)

    async def health():
        return True, {"status": "ok", "attention": [], "channels": {"telegram": {"detail": "@bot"}}}

    async def metrics():
        return b"priem_letters 1\n", "text/plain"

    app = create_app([], None, Reports(health, metrics), links, store, lambda: clock[0])
    return app, link, clock


async def test_whoever_guesses_links_is_braked_and_others_are_not(house):
    app, link, clock = house
    tried = [(await get(app, f"/files/guess{number}", address=STRANGER)).status for number in range(80)]
    assert tried.count(404) == 60
    refused = await get(app, link, address=STRANGER)
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await get(app, link, address="93.184.216.35")).status == 200
    clock[0] += timedelta(minutes=1)
    assert (await get(app, link, address=STRANGER)).status == 200


async def test_an_office_that_opens_what_it_was_sent_is_not_braked(house):
    app, link, _clock = house
    assert {(await get(app, link, address=STRANGER)).status for _ in range(500)} == {200}


async def test_one_subscriber_of_ipv6_is_one(house):
    app, link, _clock = house
    for number in range(70):
        await get(app, f"/files/guess{number}", address=f"2a02:6b8:0:1::{number:x}")
    assert (await get(app, link, address="2a02:6b8:0:1:ffff::1")).status == 429
    assert (await get(app, link, address="2a02:6b8:0:2::1")).status == 200


async def test_what_the_machine_says_of_itself_is_not_for_strangers(house):
    app, _link, _clock = house
    assert (await get(app, "/metrics", address=STRANGER)).status == 404
    assert (await get(app, "/health", address=STRANGER)).body == b'{"status":"ok"}'
    assert b"telegram" in (await get(app, "/health", address="10.0.0.5")).body
    assert (await get(app, "/metrics", address="127.0.0.1")).status == 200


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("93.184.216.34", "93.184.216.34"),
        ("::ffff:93.184.216.34", "93.184.216.34"),
        ("2a02:6b8::1:2:3:4", "2a02:6b8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("<script>", "unknown"),
    ],
)
def test_an_address_is_counted_as(host, counted):
    assert address_of({"client": (host, 1)}) == counted


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:10.1.2.3", True), ("192.168.1.4", True),
     ("93.184.216.34", False), ("::ffff:93.184.216.34", False), ("2a02:6b8::1", False), ("", False)],
)  # fmt: skip
def test_who_is_inside(host, inside):
    assert is_inside({"client": (host, 1)}) is inside


async def test_the_memory_for_addresses_is_bounded():
    async def gone(_request):
        return PlainTextResponse("no", status_code=404)

    brake = Throttle(600, 1200, remembered=50)
    app = AddressBrake(Starlette(routes=[Route("/files/{token}", gone)]), lambda: NOW, brake)
    for number in range(300):
        await get(app, "/files/x", address=f"93.184.{number // 200}.{number % 200}")
    assert len(brake) == 50


# --- behind a proxy ------------------------------------------------------------------------------------


@asynccontextmanager
async def served(trusted, app=None):
    async def whoami(request):
        return PlainTextResponse(f"{request.client.host} {request.url.scheme}")

    port = free_port()
    server = make_server(app or Starlette(routes=[Route("/", whoami)]), trusted)
    with listening("127.0.0.1", port) as socket:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([socket]))
            while not server.started:
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{port}/"
            server.should_exit = True


@pytest.mark.parametrize(
    ("trusted", "told", "believed"),
    [
        (("127.0.0.1",), "93.184.216.34", "93.184.216.34"),
        (("127.0.0.0/8",), "93.184.216.34", "93.184.216.34"),
        ((), "93.184.216.34", "127.0.0.1"),
        (("10.0.0.5",), "93.184.216.34", "127.0.0.1"),
        # What the client wrote itself stands on the left; the proxy adds the truth on the right.
        (("127.0.0.1",), "1.1.1.1, 93.184.216.34", "93.184.216.34"),
        (("127.0.0.1", "10.0.0.0/8"), "1.1.1.1, 93.184.216.34, 10.0.0.7", "93.184.216.34"),
    ],
)
async def test_only_a_trusted_proxy_says_for_whom_it_asks(trusted, told, believed):
    headers = {"X-Forwarded-For": told}
    async with (
        served(trusted) as url,
        aiohttp.ClientSession() as http,
        http.get(url, headers=headers) as answer,
    ):
        assert (await answer.text()).split()[0] == believed


@pytest.mark.parametrize(
    ("trusted", "headers", "inside"),
    [
        ((), {}, True),
        ((), {"X-Forwarded-For": "93.184.216.34"}, False),
        ((), {"X-Forwarded-For": "10.0.0.5"}, False),
        ((), {"X-Forwarded-For": "127.0.0.1"}, False),
        ((), {"Forwarded": "for=10.0.0.5"}, False),
        ((), {"X-Real-IP": "93.184.216.34"}, False),
        (("127.0.0.1",), {"X-Forwarded-For": "93.184.216.34"}, False),
        (("127.0.0.1",), {"X-Forwarded-For": "10.0.0.5"}, True),
        # A second proxy, which nobody trusts, stands before the one that is trusted.
        (("127.0.0.1",), {"X-Forwarded-For": "93.184.216.34, 172.17.0.1"}, False),
    ],
)
async def test_what_came_through_a_proxy_is_not_inside_unless_it_is_trusted(trusted, headers, inside, house):
    app, _link, _clock = house
    async with (
        served(trusted, app) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}metrics", headers=headers) as metrics,
        http.get(f"{url}health", headers=headers) as health,
    ):
        assert metrics.status == (200 if inside else 404)
        assert ("channels" in await health.json()) is inside


@pytest.mark.parametrize("proxy", ["0.0.0.0/0", "::/0", "*", "proxy.local", "10.0.0.1/8"])
def test_a_proxy_that_is_everybody_or_nobody_is_refused(tmp_path, proxy):
    (tmp_path / "config.toml").write_text(
        f'[firm]\nname = "Б"\n[server]\nsecret_key = "0123456789abcdef"\ntrusted_proxies = ["{proxy}"]\n'
    )
    with pytest.raises(ConfigError, match="trusted_proxies"):
        load(tmp_path / "config.toml")
