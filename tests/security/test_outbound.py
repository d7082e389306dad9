"""Where we fetch from: the hosts in the list, at public addresses, whatever a name or a redirect says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bots.base import FileUnavailable
from bots.wire import NotSent, Wire


class Trap:
    """A server of our own network: what reaches it was stolen."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.port = 0
        self.answer: web.Response | None = None

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(str(request.url))
        if self.answer is not None:
            return web.Response(status=self.answer.status, headers=self.answer.headers)
        return web.Response(body=b"the keys of the house")


@asynccontextmanager
async def trapped() -> AsyncIterator[Trap]:
    trap = Trap()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", trap.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    trap.port = runner.addresses[0][1]
    try:
        yield trap
    finally:
        await runner.cleanup()


async def fetched(
    url: str, hosts: tuple[str, ...] = ("vk.com", "userapi.com"), within_seconds: float = 30
) -> bytes:
    wire = Wire(None, hosts, request_timeout_seconds=within_seconds)
    try:
        return b"".join([chunk async for chunk in wire.download(url)])
    finally:
        await wire.close()


ADDRESSES = {
    "this machine": "http://127.0.0.1:{port}/",
    "by its name": "http://localhost:{port}/",
    "as one number": "http://2130706433:{port}/",
    "in octal": "http://0177.0.0.1:{port}/",
    "in hexadecimal": "http://0x7f.0.0.1:{port}/",
    "in short": "http://127.1:{port}/",
    "nowhere": "http://0.0.0.0:{port}/",
    "in IPv6": "http://[::1]:{port}/",
    "mapped into IPv6": "http://[::ffff:127.0.0.1]:{port}/",
    "mapped, in hexadecimal": "http://[::ffff:7f00:1]:{port}/",
    "the cloud's own": "http://169.254.169.254/latest/meta-data/",
    "behind a name in the list": "http://vk.com@127.0.0.1:{port}/",
    "behind a password": "http://vk.com:443@127.0.0.1:{port}/",
    "before a name in the list": "http://127.0.0.1:{port}/?vk.com",
    "with a fragment": "http://127.0.0.1:{port}#.vk.com",
    "with a backslash": "http://127.0.0.1:{port}\\@vk.com/",
    "like a name in the list": "http://evilvk.com:{port}/",
    "above a name in the list": "http://vk.com.evil.example:{port}/",
    "with a dot that is none": "http://127。0。0。1:{port}/",
    "with letters in circles": "http://①②⑦.⓪.⓪.①:{port}/",
    "a file": "file:///etc/passwd",
    "another protocol": "gopher://127.0.0.1:{port}/",
    "data": "data:text/plain,abc",
    "no host": "http:///etc/passwd",
    "no address": "\x00",
    "nothing": "",
}


@pytest.mark.parametrize("url", ADDRESSES.values(), ids=ADDRESSES)
async def test_a_private_or_foreign_address_is_not_asked(url):
    async with trapped() as trap:
        with pytest.raises(FileUnavailable):
            await fetched(url.format(port=trap.port))
        assert trap.asked == []


@pytest.mark.parametrize("url", [*ADDRESSES.values()][:12], ids=[*ADDRESSES][:12])
async def test_not_even_by_a_redirect(url):
    async with trapped() as open_host, trapped() as trap:
        open_host.answer = web.Response(status=302, headers={"Location": url.format(port=trap.port)})
        # The first host is in the list as the messenger's own; the trap is not.
        own = "127.0.0.1" if "localhost" in url else "localhost"
        with pytest.raises(FileUnavailable):
            await fetched(f"http://{own}:{open_host.port}/file", (own, "vk.com"))
        assert len(open_host.asked) == 1
        assert trap.asked == []


def resolves_to(monkeypatch, *answers: str) -> list[str]:
    """Let the name server of a stranger answer so, one after another; the last for ever."""
    left, asked = list(answers), []

    def getaddrinfo(host, port, *_rest, **_more):
        asked.append(host)
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place = (address, port, 0, 0) if ":" in address else (address, port)
        return [(family, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.7", "192.168.1.1", "169.254.169.254", "0.0.0.0", "::1", "fd00::1",
                "::ffff:127.0.0.1", "100.64.0.1", "fe80::1"],
)  # fmt: skip
async def test_a_name_in_the_list_that_leads_into_our_network_is_not_followed(monkeypatch, address):
    async with trapped() as trap:
        resolves_to(monkeypatch, address)
        with pytest.raises(FileUnavailable):
            await fetched(f"http://rebind.vk.com:{trap.port}/")
        assert trap.asked == []


async def test_a_name_that_changes_its_mind_is_asked_once_and_connected_as_it_was_checked(monkeypatch):
    async with trapped() as trap:
        # TEST-NET-3 answers nobody; had the name been asked again, the trap would have answered.
        asked = resolves_to(monkeypatch, "203.0.113.9", "127.0.0.1")
        with pytest.raises(FileUnavailable):
            async with asyncio.timeout(30):
                await fetched(f"http://rebind.vk.com:{trap.port}/", within_seconds=3)
        assert asked[:1] == ["rebind.vk.com"]
        assert trap.asked == []


async def test_calls_to_a_messenger_follow_no_redirect():
    async with trapped() as api, trapped() as trap:
        api.answer = web.Response(status=307, headers={"Location": f"http://127.0.0.1:{trap.port}/"})
        wire = Wire(None, (), request_timeout_seconds=30)
        try:
            answer = await wire.request("POST", f"http://127.0.0.1:{api.port}/", data=b"token")
        finally:
            await wire.close()
        assert answer.status == 307
        assert trap.asked == []


async def test_a_proxy_that_is_gone_is_not_gone_round():
    from pydantic import SecretStr

    async with trapped() as trap:
        wire = Wire(SecretStr("socks5://127.0.0.1:9"), ("127.0.0.1",), request_timeout_seconds=30)
        try:
            with pytest.raises(NotSent):
                await wire.request("GET", f"http://127.0.0.1:{trap.port}/")
            with pytest.raises(FileUnavailable):
                async for _chunk in wire.download(f"http://127.0.0.1:{trap.port}/"):
                    pass
        finally:
            await wire.close()
        assert trap.asked == []
