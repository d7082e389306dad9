"""The guarded download: where it may go, what it gives away, when it stops."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web

from bots.base import MAX_FILE_BYTES, FileRefused, FileUnavailable
from bots.wire import LONGEST_SILENCE_SECONDS, REMEMBERED_HALF_SENT, Parts, Wire, retry_after
from forms.messages import Delivery, DeliveryState, Inbound, InboundKind
from notifications.outbox import Blocked, Rejected, Sent, Unknown, WindowClosed

SECRET = {"Authorization": "Basic c2VjcmV0"}


@asynccontextmanager
async def host(handler) -> AsyncIterator[str]:
    """A web server on a port of its own: another origin than every other one."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    opened = Wire(None, ("127.0.0.1",), request_timeout_seconds=30)
    yield opened
    await opened.close()


async def content(wire: Wire, url: str, headers=None) -> bytes:
    return b"".join([chunk async for chunk in wire.download(url, headers)])


async def test_credentials_stay_with_the_host_they_are_for(wire):
    seen = {}

    async def storage(request):
        seen["storage"] = request.headers.get("Authorization")
        return web.Response(body=b"the file")

    async with host(storage) as storage_url:

        async def api(request):
            seen["api"] = request.headers.get("Authorization")
            raise web.HTTPFound(f"{storage_url}/file")

        async with host(api) as api_url:
            assert await content(wire, f"{api_url}/media", SECRET) == b"the file"
    assert seen == {"api": SECRET["Authorization"], "storage": None}


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.5/",
        "http://[::1]/",
        "http://example.org/file",
        "http://127.0.0.1.example.org/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "//127.0.0.1/",
        "http://",
        "http://[",
    ],
)
async def test_other_hosts_are_not_asked(wire, url):
    with pytest.raises(FileUnavailable):
        await content(wire, url)


async def test_a_redirect_leads_to_no_other_host(wire):
    async def lures(_request):
        raise web.HTTPFound("http://169.254.169.254/latest/meta-data")

    async with host(lures) as url:
        with pytest.raises(FileUnavailable, match="media hosts"):
            await content(wire, url)


async def test_a_name_below_a_listed_one_may_not_lead_into_our_network(monkeypatch):
    async def file(_request):
        return web.Response(body=b"ours")

    asked = socket.getaddrinfo

    def to_this_machine(name, *more, **options):
        return asked("127.0.0.1" if name.endswith("cdn.example") else name, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", to_this_machine)
    async with host(file) as url:
        port = url.rsplit(":", 1)[1]
        for hosts, reachable in (("example",), False), (("media.cdn.example",), True):
            wire = Wire(None, hosts, request_timeout_seconds=30)
            try:
                if reachable:
                    assert await content(wire, f"http://media.cdn.example:{port}/") == b"ours"
                else:
                    with pytest.raises(FileUnavailable):
                        await content(wire, f"http://media.cdn.example:{port}/")
            finally:
                await wire.close()


async def test_going_round_in_circles_ends(wire):
    async def circles(request):
        raise web.HTTPFound(str(request.url))

    async with host(circles) as url:
        with pytest.raises(FileUnavailable, match="redirects"):
            await content(wire, url)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "streamed"])
async def test_what_is_too_large_is_refused(wire, announced):
    async def large(request):
        if announced:
            return web.Response(body=b"\0" * (MAX_FILE_BYTES + 1))
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _chunk in range(MAX_FILE_BYTES // 2**20 + 1):
            await response.write(b"\0" * 2**20)
        return response

    async with host(large) as url:
        with pytest.raises(FileRefused):
            await content(wire, url)


async def test_what_is_not_there_is_unavailable(wire):
    async def missing(_request):
        raise web.HTTPNotFound

    async with host(missing) as url:
        with pytest.raises(FileUnavailable, match="404"):
            await content(wire, url)
    with pytest.raises(FileUnavailable):
        await content(wire, url)


# ---------------------------------------------------------------------- silence

SENT_AT = "Mon, 23 Nov 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    ("said", "sent_at", "seconds"),
    [
        ("7", "", 7),
        (" 7 ", "", 7),
        ("1.5", "", 1.5),
        ("Mon, 23 Nov 2026 09:02:00 GMT", SENT_AT, 120),
        ("Mon, 23 Nov 2026 12:02:00 +0300", SENT_AT, 120),
        ("Tue, 24 Nov 2026 09:00:00 GMT", SENT_AT, LONGEST_SILENCE_SECONDS),
        ("9" * 400, "", LONGEST_SILENCE_SECONDS),
        ("Mon, 23 Nov 2026 08:00:00 GMT", SENT_AT, None),
        ("Mon, 23 Nov 2026 09:02:00 GMT", "", None),
        ("Mon, 23 Nov 2026 09:02:00 -0000", SENT_AT, None),
        ("Mon, 99 Nov 2026 09:02:00 GMT", SENT_AT, None),
        ("0", "", None),
        ("-7", "", None),
        ("٧", "", None),
        ("inf", "", None),
        ("soon", SENT_AT, None),
        ("", SENT_AT, None),
    ],
    ids=str,
)
def test_silence_is_as_long_as_asked_for_within_reason(said, sent_at, seconds):
    headers = {"Retry-After": said, "Date": sent_at}
    assert retry_after({name: value for name, value in headers.items() if value}) == seconds


# ---------------------------------------------------------------------- parcels of several messages

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ARRIVED, READ, FAILED = (
    Delivery(state) for state in (DeliveryState.DELIVERED, DeliveryState.READ, DeliveryState.FAILED)
)


def proof(key: str, delivery: Delivery) -> Inbound:
    return Inbound(
        "viber", f"{key}:{delivery}", "u", "u", AT, InboundKind.DELIVERY, message_key=key, delivery=delivery
    )


def told(parts: Parts, *news: tuple[str, Delivery]) -> list[tuple[str | None, Delivery | None]]:
    found = [parts.news(proof(*each)) for each in news]
    return [(each.message_key, each.delivery) for each in found if each is not None]


@pytest.mark.parametrize(
    ("news", "expected"),
    [
        ([("b", ARRIVED)], []),
        ([("b", ARRIVED), ("a", ARRIVED)], [("b", ARRIVED)]),
        ([("a", ARRIVED), ("b", ARRIVED), ("b", READ)], [("b", ARRIVED), ("b", READ)]),
        ([("b", READ)], [("b", READ)]),
        ([("a", READ)], []),
        ([("a", FAILED)], [("b", FAILED)]),
        ([("b", FAILED)], [("b", FAILED)]),
        ([("a", FAILED), ("b", ARRIVED), ("b", READ)], [("b", FAILED)]),
        ([("a", FAILED), ("a", FAILED)], [("b", FAILED), ("b", FAILED)]),
        ([("stranger", ARRIVED)], [("stranger", ARRIVED)]),
    ],
    ids=str,
)
def test_news_of_any_message_are_told_of_the_last(news, expected):
    parts = Parts()
    for number, key in enumerate("ab"):
        parts.sent("parcel", number, 2, key)
    assert told(parts, *news) == expected


def test_news_that_overtake_the_answer_count():
    parts = Parts()
    assert told(parts, ("a", ARRIVED)) == [("a", ARRIVED)], "who it is about is not known yet"
    for number, key in enumerate("ab"):
        parts.sent("parcel", number, 2, key)
    assert told(parts, ("b", ARRIVED)) == [("b", ARRIVED)]


@pytest.mark.parametrize(
    ("delivery", "outcome"),
    [
        (replace(FAILED, reason="r"), Rejected("r")),
        (replace(FAILED, reason="r", blocked=True), Blocked("r")),
        (replace(FAILED, reason="r", window_closed=True), WindowClosed("r")),
        (ARRIVED, Sent("b")),
    ],
    ids=str,
)
def test_early_failure_is_what_sending_the_rest_leads_to(delivery, outcome):
    parts = Parts()
    parts.sent("parcel", 0, 2, "a")
    assert told(parts, ("a", delivery)) == []
    parts.sent("parcel", 1, 2, "b")
    assert parts.settled("parcel", Sent("b")) == outcome
    assert parts.settled("parcel", Unknown("r")) == Unknown("r"), "it comes again"


def test_a_parcel_sent_anew_has_new_messages_and_old_ones_are_forgotten():
    parts = Parts()
    parts.sent("parcel", 0, 2, "old")
    told(parts, ("old", FAILED))
    for number, key in enumerate("ab"):
        parts.sent("parcel", number, 2, key)
    assert parts.settled("parcel", Sent("b")) == Sent("b")
    for number in range(REMEMBERED_HALF_SENT):
        parts.sent(f"parcel {number}", 0, 2, f"{number}")
    assert told(parts, ("a", FAILED)) == [("a", FAILED)]
