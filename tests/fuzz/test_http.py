"""Whatever is asked of the one port by a stranger, or of the panel by the director, is answered.

No fault of ours, no word of the program's inside, whatever the address, the method, the headers, the body.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from app.server import Reports, calendar_route, create_app
from bots.base import Doors
from storage import calendars
from storage.files import FileLinks
from storage.migrate import migrate
from tests.admin.office import Browser, Office, fill, open_office
from tests.admin.test_access_matrix import arguments, attached, routes
from tests.channels.webchat import MemoryLog, chat
from tests.fuzz.hostile import INSIDE, ODD_TEXTS, Answered, asked, fuzzed
from tests.fuzz.test_payloads import PUBLIC_URL, Doorway

TEXT = {"type": "string"}


def _path(method: str, *names: str, body: str = "", query: tuple[str, ...] = ()) -> dict[str, Any]:
    told: dict[str, Any] = {"responses": {"default": {"description": "whatever is right"}}}
    told["parameters"] = [
        *({"name": name, "in": "path", "required": True, "schema": TEXT} for name in names),
        *({"name": name, "in": "query", "schema": TEXT} for name in query),
        {"name": "Accept-Language", "in": "header", "schema": TEXT},
        {"name": "If-None-Match", "in": "header", "schema": TEXT},
        {"name": "priem_chat", "in": "cookie", "schema": TEXT},
    ]
    if body:
        kind: dict[str, Any] = {"type": "object", "additionalProperties": TEXT} if "form" in body else {}
        told["requestBody"] = {"content": {body: {"schema": kind}}}
    return {method: told}


SIGNING_IN = "application/x-www-form-urlencoded"
SURFACE = {
    "openapi": "3.0.3",
    "info": {"title": "What strangers see of us", "version": "1"},
    "paths": {
        "/": _path("get"),
        "/health": _path("get"),
        "/metrics": _path("get"),
        "/chat": _path("get", query=("code",)),
        "/chat/{profile}": _path("get", "profile", query=("code",)),
        "/chat/upload": _path("post", body="application/octet-stream"),
        "/chat/{profile}/upload": _path("post", "profile", body="application/octet-stream"),
        "/chat/static/{version}/{name}": _path("get", "version", "name"),
        "/files/{token}": _path("get", "token"),
        "/calendar/{token}.ics": _path("get", "token"),
        **{
            f"/hooks/{name}": _path("post", body="application/json")
            for name in ("telegram", "max", "vk", "viber")
        },
        "/hooks/whatsapp": _path("post", body=SIGNING_IN),
        "/panel/": _path("get"),
        "/panel/{anything}": _path("get", "anything"),
        "/panel/sign-in": _path("get", query=("next",)) | _path("post", body=SIGNING_IN, query=("next",)),
        "/panel/sign-in/code": _path("get") | _path("post", body=SIGNING_IN),
        "/panel/forgotten": _path("get") | _path("post", body=SIGNING_IN),
        "/panel/reset/{token}": _path("get", "token") | _path("post", "token", body=SIGNING_IN),
        "/panel/invitation/{token}": _path("get", "token") | _path("post", "token", body=SIGNING_IN),
        "/panel/static/{name}": _path("get", "name"),
    },
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    migrate(f"sqlite:///{folder / 'empty.sqlite3'}")
    opened = open_office(folder, folder / "empty.sqlite3")
    yield opened
    opened.database.sync_engine.dispose()


def whole(office: Office, folder: Path) -> Starlette:
    """All of the one port, as the service puts it together."""
    door, log = Doorway(folder), MemoryLog()
    page = chat(folder, log)

    async def accept(inbounds: object, cursor: object) -> None:
        """The house takes everything."""

    async def health() -> tuple[bool, dict[str, Any]]:
        return True, {"status": "ok"}

    async def metrics() -> tuple[bytes, str]:
        return b"priem_up 1\n", "text/plain; version=0.0.4"

    def feed(token: str) -> calendars.Feed | None:
        with office.database.read() as session:
            return calendars.feed(session, office.house, token, PUBLIC_URL, office.clock)

    doors = Doors(accept=accept, now=lambda: office.clock, cursor=None, public_url=PUBLIC_URL)
    return create_app(
        [*door.routes, *page.routes(doors), calendar_route(feed)],
        _panel(office),
        Reports(health, metrics),
        FileLinks("a secret key of the tests", PUBLIC_URL),
        office.files,
        lambda: office.clock,
    )


def _panel(office: Office) -> Flask:
    return office.app


@pytest.fixture(scope="module")
def app(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    return whole(office, tmp_path_factory.mktemp("port"))


def test_what_strangers_see_bears_anything_that_its_description_allows_or_not(app: Starlette):
    async def described(_request: Request) -> Response:
        return JSONResponse(SURFACE)

    shown = Starlette(routes=[Route("/openapi.json", described), Mount("/", app)])
    schema = schemathesis.openapi.from_asgi("/openapi.json", shown)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == sum(len(methods) for methods in SURFACE["paths"].values())
    modes = schemathesis.GenerationMode

    @given(
        st.one_of(
            [
                operation.as_strategy(generation_mode=mode)
                for operation in operations
                for mode in (modes.POSITIVE, modes.NEGATIVE)
            ]
        )
    )
    @fuzzed(120)
    def answers(case: schemathesis.Case) -> None:
        answered = case.call(allow_redirects=False)
        assert answered.status_code < 500, answered.text[:500]
        assert not any(word in answered.content for word in INSIDE), answered.text[:2000]

    answers()


# ---------------------------------------------------------------------- addresses no browser would write

PATHS = (
    b"/", b"/chat", b"/chat/a", b"/chat/static/1/chat.js", b"/chat/upload", b"/files/abc",
    b"/calendar/abc.ics", b"/health", b"/metrics", b"/hooks/telegram", b"/hooks/vk", b"/hooks/viber",
    b"/hooks/max", b"/hooks/whatsapp", b"/panel", b"/panel/", b"/panel/sign-in", b"/panel/reset/abc",
    b"/panel/static/app.css", b"/panel/requests/1", b"/panel/requests/1/files/1", b"/panel/clients/1",
    b"/nothing",
)  # fmt: skip
TRICKS = (
    b"", b"/", b"//", b"/..", b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd",
    b"/..%2f..%2fetc%2fpasswd", b"%00", b"%00.ics", b"/%c0%ae%c0%ae/", b"%ff%fe", b"/%25%32%65",
    b"\\..\\..", b"%5c..%5c", b";a=b", b"%0d%0aX: y", b"\xd0\xb4\xd0\xb0", b"%ED%A0%80", b"?", b"?\x80=\xff",
    b"?" + b"a=1&" * 2000, b"?code=%00&next=%ff", b"?next=//evil.example", b"?next=%0d%0aLocation:x",
    b"?a[]=1&a[b]=2", b"?=&=&&", b"." * 5000, b"/a" * 3000, b"?code=" + b"%41" * 9000,
    b"?page=-1&sort=x&desc=y", b"?page=99999999999999999999999", b"%", b"%zz", b"+", b"*", b"?%",
)  # fmt: skip
METHODS = st.sampled_from(
    [
        "GET",
        "GET",
        "POST",
        "HEAD",
        "OPTIONS",
        "PUT",
        "DELETE",
        "PATCH",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "get",
        "X" * 300,
    ]
)
ODD_HEADERS = st.sampled_from(
    [
        (b"cookie", b"session=\xff\xfe; priem_chat=.; a"),
        (b"cookie", b"=;=;;" * 500),
        (b"cookie", b"session=" + b"A" * 20_000),
        (b"host", b"evil.example"),
        (b"host", b"\xff\x00"),
        (b"host", b""),
        (b"host", b"[::1"),
        (b"host", b"a" * 5000),
        (b"x-forwarded-for", b"1.1.1.1, \xff, ' or 1=1"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-forwarded-proto", b"gopher"),
        (b"accept-language", b"ru;q=nan,en;q=1e999,*;q=-1," + b"x," * 3000),
        (b"accept-language", b"\xff\xfe"),
        (b"accept-encoding", b"gzip;q=x, br, *"),
        (b"content-type", b"multipart/form-data"),
        (b"content-type", b"multipart/form-data; boundary=\xff"),
        (b"content-type", b"multipart/form-data; boundary=B; boundary=C"),
        (b"content-type", b"application/x-www-form-urlencoded; charset=utf-16"),
        (b"content-type", b"application/json; charset=hex"),
        (b"content-type", b"\x00"),
        (b"content-length", b"-1"),
        (b"content-length", b"99999999999999999999"),
        (b"content-length", b"\xb2"),
        (b"content-encoding", b"gzip"),
        (b"transfer-encoding", b"chunked"),
        (b"if-none-match", b'W/"' * 3000),
        (b"if-modified-since", b"Thu, 99 Foo 99999 99:99:99 GMT"),
        (b"if-unmodified-since", b"\xff"),
        (b"range", b"bytes=9-1,-,99999999999999999999-"),
        (b"range", b"bytes=" + b"0-1," * 3000),
        (b"authorization", b"Basic \xff\xff"),
        (b"authorization", b"Bearer " + b"a" * 20_000),
        (b"origin", b"null"),
        (b"referer", b"http://[::1"),
        (b"user-agent", b"\x00\xff" * 500),
        (b"x-telegram-bot-api-secret-token", "ключ".encode()),
        (b"x-viber-content-signature", b"\xff"),
        (b"x-twilio-signature", b"\xff"),
        (b"upgrade", b"websocket"),
        (b"expect", b"100-continue"),
        (b"x" * 5000, b"y" * 20_000),
    ]
)
BODIES = st.sampled_from(
    [
        b"", b"{}", b"\x00" * 10, b"a=1&a=2&=&%ff=%00",
        b"csrf_token=%00&email=%ff&password=" + b"x" * 5000,
        b'--B\r\nContent-Disposition: form-data; name="email"\r\n\r\n\xff\r\n--B--', b"--B\r\n\r\n",
        b"[" * 5000, b"a=" * 5000, b"&" * 5000,
    ]
) | st.binary(max_size=60)  # fmt: skip


def assert_leads_nowhere_else(answered: Answered) -> None:
    """A link of ours is no way to another site."""
    location = urlsplit(answered.headers.get("location", "").replace("\\", "/"))
    assert (location.hostname or "priem.example.ru") == "priem.example.ru", location


@given(
    METHODS,
    st.sampled_from(PATHS),
    st.sampled_from(TRICKS) | st.binary(max_size=12),
    st.lists(ODD_HEADERS, max_size=3),
    BODIES,
)
@fuzzed(400)
def test_no_request_of_a_stranger_breaks_us(
    app: Starlette, method: str, path: bytes, trick: bytes, headers: list[tuple[bytes, bytes]], body: bytes
):
    answered = asyncio.run(asked(app, method, path + trick, headers=headers, body=body))
    answered.assert_tells_nothing()
    assert_leads_nowhere_else(answered)
    assert b"root:x:0" not in answered.body


@pytest.mark.parametrize("trick", TRICKS, ids=[repr(trick[:16]) for trick in TRICKS])
def test_no_trick_with_an_address_breaks_us(app: Starlette, trick: bytes):
    async def all_paths() -> None:
        for path in PATHS:
            answered = await asked(app, "GET", path + trick)
            answered.assert_tells_nothing()
            assert_leads_nowhere_else(answered)

    asyncio.run(all_paths())


# ---------------------------------------------------------------------- the panel, from inside


@pytest.fixture(scope="module")
def inside(office: Office) -> tuple[Office, list[tuple[str, str, str]], list[str]]:
    """The busy firm, its routes with numbers filled in, and all names of fields that its pages have."""
    numbers = fill(office)
    named = arguments(office, numbers, attached(office, numbers["working"]))
    found = [route for route in routes(office, named) if not route[0].startswith(("auth.sign_out",))]
    browser = office.browser("director")
    names: set[str] = {
        "page",
        "sort",
        "desc",
        "search",
        "list",
        "view",
        "day",
        "from",
        "to",
        "lanes",
        "measure",
        "next",
    }
    for _endpoint, method, path in found:
        if method == "GET":
            page = browser.get(path).get_data()
            names |= {name.decode() for name in re.findall(rb'\bname="([^"]{1,60})"', page)}
            names |= {name.decode() for name in re.findall(rb"[?&;]([a-z_0-9]{1,40})=", page)}
    return office, found, sorted(names - {"csrf_token"})


VALUES = st.one_of(
    st.sampled_from([text[:5000] for text in ODD_TEXTS if "\ud800" not in text and "\udfff" not in text]),
    st.sampled_from(
        ["0", "-1", "1", "999999999999999999999", "2026-02-30", "0000-00-00", "9999-12-31", "24:61", "on",
         "1,2", "[]", "{", "director", "anna", "10000-01-01", "2026-11-25T99:00", "1e5", "٣", "W99"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)  # fmt: skip


def test_the_panel_bears_anything_that_its_director_types(
    inside: tuple[Office, list[tuple[str, str, str]], list[str]],
):
    office, found, names = inside
    assert len(found) > 80
    assert len(names) > 60
    browser = office.browser("director")

    @given(
        st.sampled_from(found),
        st.dictionaries(st.sampled_from(names), VALUES, max_size=6),
        st.dictionaries(st.sampled_from(names), VALUES, max_size=6),
    )
    @fuzzed(250)
    def bears(route: tuple[str, str, str], query: dict[str, str], form: dict[str, str]) -> None:
        _endpoint, method, path = route
        answered = (
            browser.client.get(path, query_string=query, buffered=True)
            if method == "GET"
            else _sent(browser, path, query, form)
        )
        content = answered.get_data()
        assert answered.status_code < 500, (path, query, form)
        assert not any(word in content for word in INSIDE), (path, query, form)
        if answered.status_code == 302 and "/sign-in" in answered.headers["Location"]:
            browser.client = office.browser("director").client

    bears()


def _sent(browser: Browser, path: str, query: dict[str, str], form: dict[str, str]):
    return browser.client.post(
        path, query_string=query, data={"csrf_token": "token-of-the-test", **form}, buffered=True
    )
