"""What only Viber does: its events, its welcome, its refusals; and that the emulator is strict."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bots.base import Doors, FileRefused, FileUnavailable, Misconfigured
from bots.rendering import fit
from bots.viber import (
    HOOK_PATH,
    MAX_HOOK_BYTES,
    SIGNATURE_HEADER,
    TOKEN_HEADER,
    Settings,
    ViberChannel,
    parse,
)
from bots.wire import LONGEST_SILENCE_SECONDS, UNREADABLE, UNREADABLE_MESSAGE
from forms.messages import Contact, Delivery, DeliveryState, FileRole, Inbound, InboundKind, IncomingFile
from notifications.outbox import (
    Blocked,
    Parcel,
    Rejected,
    Retry,
    Sent,
    ShownButton,
    TokenRevoked,
    Unknown,
    WindowClosed,
)
from tests.channels.file_links import served_links
from tests.channels.harness import HASTY_SECONDS, House, Shelf, free_address, serving, stopped
from tests.channels.tunnel import Tunnel
from tests.channels.viber import QUICK, USER_ID, ViberHarness, lent_by, settings_for
from tests.emulators.viber import JSON_BYTES, Person, ViberEmulator

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SENT_AT = datetime(2026, 11, 23, 8, 59, 30, 250_000, tzinfo=UTC)
TOKEN = 5_741_311_803_571_721_091
PERSON = {"id": USER_ID, "name": "Ольга", "language": "ru", "country": "RU", "api_version": 10}
ROWS = ((ShownButton("Согласен", "form:consent:yes:1"),),)


def event(name: str, **fields: object) -> dict[str, Any]:
    head = {"event": name, "timestamp": int(SENT_AT.timestamp() * 1000), "message_token": TOKEN}
    return {**head, "chat_hostname": "SN-CHAT-03_", **fields}


def message(**content: object) -> dict[str, Any]:
    return event("message", sender=PERSON, message=content, silent=False)


def read(raw: dict[str, Any]) -> Inbound:
    return parse(json.loads(json.dumps(raw)), NOW)


# ---------------------------------------------------------------------- events


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"type": "text", "text": "Добрый день"}, {"kind": InboundKind.TEXT, "text": "Добрый день"}),
        ({"type": "text", "text": "a\0b"}, {"text": "ab"}),
        ({"type": "text", "text": "/start"}, {"kind": InboundKind.STARTED, "start_code": None}),
        ({"type": "text", "text": "/start X7_a-9"}, {"kind": InboundKind.STARTED, "start_code": "X7_a-9"}),
        ({"type": "text", "text": "/started"}, {"kind": InboundKind.TEXT, "start_code": None}),
        (
            {"type": "text", "text": "Да [priem:form:consent:yes:1]"},
            {"kind": InboundKind.BUTTON, "button": "form:consent:yes:1", "text": ""},
        ),
        (
            {"type": "text", "text": "Да [1] [priem:a:b:[]:1]", "tracking_data": "whatever"},
            {"kind": InboundKind.BUTTON, "button": "a:b:[]:1"},
        ),
        ({"type": "text", "text": "Да [priem:"}, {"kind": InboundKind.TEXT}),
        ({"type": "text", "text": f"Да [priem:{'я' * 33}]"}, {"kind": InboundKind.TEXT}),
        (
            {"type": "picture", "media": "https://dl.viber.com/1", "text": "чек", "size": 98310},
            {
                "kind": InboundKind.FILE,
                "text": "чек",
                "files": (IncomingFile("https://dl.viber.com/1", "Фото.jpg", 98310, role=FileRole.PHOTO),),
            },
        ),
        (
            {"type": "picture", "media": "https://dl.viber.com/1", "text": None, "file_name": "IMG-1.jpg"},
            {
                "text": "",
                "files": (IncomingFile("https://dl.viber.com/1", "IMG-1.jpg", role=FileRole.PHOTO),),
            },
        ),
        (
            {"type": "file", "media": "https://dl.viber.com/2", "file_name": "счёт.pdf", "size": 9},
            {"kind": InboundKind.FILE, "files": (IncomingFile("https://dl.viber.com/2", "счёт.pdf", 9),)},
        ),
        (
            {"type": "video", "media": "https://dl.viber.com/3", "duration": 4, "size": 7},
            {"files": (IncomingFile("https://dl.viber.com/3", "Видео.mp4", 7, role=FileRole.VIDEO),)},
        ),
        (
            {"type": "contact", "contact": {"name": "Ольга", "phone_number": "79161234567", "avatar": ""}},
            {"kind": InboundKind.CONTACT, "contact": Contact("79161234567", "Ольга", verified=False)},
        ),
        (
            {"type": "contact", "contact": {"phone_number": "79161234567"}},
            {"contact": Contact("79161234567")},
        ),
        (
            {"type": "location", "location": {"lat": 55.75, "lon": 37.61}},
            {"kind": InboundKind.OTHER, "text": "геопозиция 55.75, 37.61"},
        ),
        ({"type": "sticker", "sticker_id": 46105}, {"kind": InboundKind.OTHER, "text": "наклейка"}),
        (
            {"type": "url", "media": "https://a.example/b"},
            {"kind": InboundKind.TEXT, "text": "https://a.example/b"},
        ),
        (
            {"type": "url", "media": "https://a.example/b", "text": "вот договор"},
            {"text": "вот договор\nhttps://a.example/b"},
        ),
        ({"type": "url", "media": "https://a.b", "text": "https://a.b"}, {"text": "https://a.b"}),
        ({"type": "hologram"}, {"kind": InboundKind.OTHER, "text": "сообщение незнакомого вида"}),
        (
            {"type": "picture", "text": "чек за октябрь"},
            {"kind": InboundKind.TEXT, "text": f"чек за октябрь\n\n[{UNREADABLE}]", "files": ()},
        ),
        (
            {"type": "sticker", "text": "спасибо"},
            {"kind": InboundKind.TEXT, "text": "спасибо\n\n[наклейка]"},
        ),
        ({"type": ["text"]}, {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        ({"type": "picture"}, {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (
            {"type": "file", "media": "https://a.b", "size": "много"},
            {"kind": InboundKind.OTHER, "text": UNREADABLE},
        ),
        ({"type": "location", "location": None}, {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (
            {"type": "contact", "contact": {"name": "Ольга", "phone_number": None}},
            {"kind": InboundKind.OTHER, "text": "контакт без номера телефона"},
        ),
        ({"type": "contact", "contact": None}, {"kind": InboundKind.OTHER, "text": UNREADABLE}),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) and "type" in value else "",
)
def test_message_is_read(content: dict[str, object], expected: dict[str, object]):
    inbound = read(message(**content))
    assert {name: getattr(inbound, name) for name in expected} == expected
    assert inbound.event_key == f"message:{TOKEN}"
    if inbound.kind is not InboundKind.IGNORED:
        assert (inbound.user_key, inbound.chat_key, inbound.message_key) == (USER_ID, USER_ID, str(TOKEN))
        assert (inbound.sent_at, inbound.user_name) == (SENT_AT, "Ольга")


@pytest.mark.parametrize(
    "raw",
    [
        message(),
        message(type="text"),
        message(type="text", text="a") | {"message": None},
        message(type="text", text="a") | {"timestamp": 10**30},
        message(type="text", text="a") | {"sender": PERSON | {"name": 5}},
    ],
    ids=["no kind", "no text", "no message", "no time", "no name"],
)
def test_message_that_fits_no_schema_is_still_somebodys(raw: dict[str, Any]):
    inbound = read(raw)
    assert (inbound.kind, inbound.text) == (InboundKind.OTHER, UNREADABLE_MESSAGE)
    assert (inbound.user_key, inbound.chat_key, inbound.sent_at) == (USER_ID, USER_ID, NOW)


@pytest.mark.parametrize(
    ("raw", "kind", "delivery"),
    [
        (event("subscribed", user=PERSON), InboundKind.UNBLOCKED, None),
        (event("unsubscribed", user_id=USER_ID), InboundKind.BLOCKED, None),
        (event("delivered", user_id=USER_ID), InboundKind.DELIVERY, Delivery(DeliveryState.DELIVERED)),
        (event("seen", user_id=USER_ID), InboundKind.DELIVERY, Delivery(DeliveryState.READ)),
        (
            event("failed", user_id=USER_ID, desc="client\0 error"),
            InboundKind.DELIVERY,
            Delivery(DeliveryState.FAILED, "client error"),
        ),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_event_is_read(raw: dict[str, Any], kind: InboundKind, delivery: Delivery | None):
    inbound = read(raw)
    assert (inbound.kind, inbound.delivery, inbound.chat_key) == (kind, delivery, USER_ID)
    assert (inbound.sent_at, inbound.text, inbound.user_name) == (SENT_AT, "", "")
    assert inbound.message_key == (str(TOKEN) if delivery else None)


@pytest.mark.parametrize(
    "raw",
    [
        event("client_status", user_id=USER_ID),
        event("conversation_started", user=PERSON, context="X7"),
        event("webhook"),
        message(type="text", text="a") | {"chat_id": "an inline talk"},
        message(type="text", text="a") | {"sender": PERSON | {"id": ""}},
        message(type="text", text="a") | {"sender": PERSON | {"id": "x" * 201}},
        {},
        {"event": ["message"]},
    ],
    ids=["unknown", "opened", "trial", "inline", "nobody", "long id", "empty", "unhashable"],
)
def test_what_is_not_for_us_is_ignored(raw: dict[str, Any]):
    inbound = read(raw)
    assert (inbound.kind, inbound.user_key) == (InboundKind.IGNORED, "")
    assert len(inbound.event_key) <= 200


def test_event_keys_tell_events_apart_and_repeats_not():
    named = [event(name, user_id=USER_ID) for name in ("delivered", "seen", "failed")]
    assert [read(raw).event_key for raw in named] == [
        f"{name}:{TOKEN}" for name in ("delivered", "seen", "failed")
    ]
    assert (
        read(message(type="text", text="a") | {"message_token": str(TOKEN)}).event_key == f"message:{TOKEN}"
    )
    assert read(message(type="text", text="a") | {"message_token": TOKEN + 1}).event_key.endswith("092")
    tokenless = [event("subscribed", user=PERSON, message_token=token) for token in (None, 1.5, "a" * 300)]
    keys = [read(raw).event_key for raw in tokenless]
    assert len(set(keys)) == 3
    assert keys == [read(raw).event_key for raw in tokenless]


_KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        "event sender user user_id message message_token timestamp id name type text media file_name size "
        "contact phone_number location lat lon desc chat_id context subscribed",
    )
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["message", "text", "file", "contact", "location", "url", "failed", "subscribed"]),
)
_WILD = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(_KEYS, _WILD, max_size=5))
def test_no_event_breaks_the_reader(wild: dict[str, Any]):
    inbound = parse(wild, NOW)
    assert inbound.kind in InboundKind
    assert 1 <= len(inbound.event_key) <= 200
    assert inbound.sent_at.tzinfo is not None


@given(_WILD, st.sampled_from(["type", "text", "media", "file_name", "size", "contact", "location"]))
def test_no_message_breaks_the_reader(wild: object, name: str):
    for kind in ("text", "file", "contact", "location", "url"):
        inbound = parse(message(**{"type": kind, "text": "а", "media": "https://a.b", name: wild}), NOW)
        assert all(type(text) is str for file in inbound.files for text in (file.reference, file.name))
        assert type(inbound.text) is str


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({}, "token"),
        ({"token": "with space-1"}, "token"),
        ({"token": "nodashes"}, "token"),
        ({"token": "a-b", "sender_name": "я" * 29}, "sender_name"),
        ({"token": "a-b", "sender_avatar": "http://a.example/a.png"}, "sender_avatar"),
        ({"token": "a-b", "api_base_url": "chatapi.viber.com"}, "api_base_url"),
        ({"token": "a-b", "proxy": "localhost:1080"}, "proxy"),
        ({"token": "a-b", "tokken": "a-b"}, "tokken"),
        ({"token": "a-b", "messages_per_second": 0}, "messages_per_second"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_settings_are_refused(section: dict[str, object], named: str):
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(section)
    assert named in str(refused.value)
    assert "with space" not in str(refused.value)


def test_import_is_cheap():
    script = (
        "import sys, bots.viber; print([n for n in ('viberbot', 'requests', 'aiohttp') if n in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout.strip() == "[]"


# ---------------------------------------------------------------------- the scene


class Clock:
    """A server's clock that a test can move."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def __call__(self) -> float:
        return NOW.timestamp() + self.ahead_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def viber(clock: Clock) -> AsyncIterator[ViberEmulator]:
    async with ViberEmulator(now=clock) as emulator:
        # The webhook is not what most cases are about; those that are set their own.
        emulator.hook_url = f"{free_address()}{HOOK_PATH}"
        yield emulator
        assert emulator.violations == []


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
async def channel(viber: ViberEmulator, shelf: Shelf) -> AsyncIterator[ViberChannel]:
    async with opened(viber, shelf) as made:
        yield made


@pytest.fixture
async def hasty(viber: ViberEmulator, shelf: Shelf) -> AsyncIterator[ViberChannel]:
    """For calls that are never answered."""
    async with opened(viber, shelf, request_timeout_seconds=HASTY_SECONDS) as made:
        yield made


@asynccontextmanager
async def opened(
    viber: ViberEmulator, shelf: Shelf, *, hook_check_seconds: float = 300, **settings: object
) -> AsyncIterator[ViberChannel]:
    async with served_links(shelf) as link:
        lent = lent_by(shelf, link)
        made = ViberChannel(settings_for(viber, **settings), lent, QUICK, hook_check_seconds)
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture
def olga(viber: ViberEmulator) -> Person:
    person = viber.person(USER_ID)
    person.subscribed = True
    return person


def parcel(text: str = "Вы здесь?", **more: Any) -> Parcel:
    return replace(Parcel("letter-1", USER_ID, text), **more)


# ---------------------------------------------------------------------- the webhook


@dataclass
class Door:
    """The served webhook, knocked at by hand."""

    viber: ViberEmulator
    url: str
    house: House
    refused: list[str] = field(default_factory=list)

    async def knocks(self, body: bytes, signature: str | None = None) -> tuple[int, bytes]:
        headers = {} if signature is None else {SIGNATURE_HEADER: signature}
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.post(self.url, data=body, headers=headers) as response,
        ):
            return response.status, await response.read()

    async def is_told(self, raw: dict[str, Any]) -> tuple[int, Any]:
        body = json.dumps(raw).encode()
        status, answer = await self.knocks(body, self.viber.signature(body))
        return status, json.loads(answer) if answer else None


@pytest.fixture
async def door(viber: ViberEmulator, channel: ViberChannel) -> AsyncIterator[Door]:
    house, refused, address = House(), list[str](), free_address()
    doors = Doors(house.accept, now=lambda: NOW, public_url=address, refused=refused.append)
    async with serving(channel, doors):
        yield Door(viber, address + HOOK_PATH, house, refused)


BODY = json.dumps(message(type="text", text="Добрый день")).encode()
WRITTEN_ANEW = json.dumps(json.loads(BODY), indent=1).encode()
TOO_LONG = b"x" * (MAX_HOOK_BYTES + 1)


@pytest.mark.parametrize(
    ("body", "sign", "status", "refused"),
    [
        (BODY, lambda _viber: None, 403, "signature"),
        (BODY, lambda _viber: "", 403, "signature"),
        (BODY, lambda _viber: "guessed", 403, "signature"),
        (BODY, lambda _viber: "ё".encode().decode("latin-1"), 403, "signature"),
        (BODY, lambda viber: viber.signature(BODY + b" "), 403, "signature"),
        (WRITTEN_ANEW, lambda viber: viber.signature(BODY), 403, "signature"),
        (json.dumps(event("webhook")).encode(), lambda _viber: "guessed", 403, "signature"),
        (TOO_LONG, lambda viber: viber.signature(TOO_LONG), 413, "size"),
        (b"not json", lambda viber: viber.signature(b"not json"), 400, "malformed"),
        (b"[1]", lambda viber: viber.signature(b"[1]"), 400, "malformed"),
        (b"[" * 100_000, lambda viber: viber.signature(b"[" * 100_000), 400, "malformed"),
    ],
    ids=[
        "unsigned", "empty", "wrong", "not ascii", "of another body", "written anew", "forged trial",
        "too long", "no json", "a list", "deep",
    ],
)  # fmt: skip
async def test_wrong_posts_are_turned_away(
    *, door: Door, body: bytes, sign: Callable[[ViberEmulator], str | None], status: int, refused: str
):
    assert await door.knocks(body, sign(door.viber)) == (status, b"")
    assert door.refused == [refused]
    assert door.house.calls == 0


async def test_rightly_signed_post_is_stored(door: Door):
    assert await door.knocks(BODY, door.viber.signature(BODY)) == (200, b"")
    assert await door.knocks(BODY, door.viber.signature(BODY).upper()) == (200, b"")
    assert [inbound.text for inbound in door.house.received] == ["Добрый день"]
    assert (door.house.repeated, door.refused) == (1, [])


async def test_trial_is_answered_without_effects(door: Door):
    assert await door.knocks(json.dumps(event("webhook")).encode()) == (200, b"")
    assert await door.is_told(event("webhook")) == (200, None)
    assert door.house.calls == 0
    assert door.refused == []


async def test_what_could_not_be_stored_is_asked_for_again(door: Door):
    door.house.refuses(1)
    assert (await door.is_told(message(type="text", text="а")))[0] == 503
    assert (await door.is_told(message(type="text", text="а")))[0] == 200


# ---------------------------------------------------------------------- the welcome


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"context": "X7_a-9", "subscribed": False}, "/start X7_a-9"),
        ({"context": "X7_a-9", "subscribed": True}, "/start X7_a-9"),
        ({"context": "", "subscribed": False}, "/start"),
        ({"subscribed": False}, "/start"),
        ({}, "/start"),
        ({"context": "два слова"}, "/start"),
        ({"context": "a" * 65}, "/start"),
        ({"context": ["X7"]}, "/start"),
        ({"subscribed": True}, None),
        ({"subscribed": True, "context": "два слова"}, None),
    ],
    ids=[
        "by a link", "an old friend by a link", "empty", "plain", "bare", "words", "long", "list",
        "an old friend", "an old friend with words",
    ],
)  # fmt: skip
async def test_whoever_opens_the_chat_is_welcomed(door: Door, fields: dict[str, object], action: str | None):
    status, answer = await door.is_told(event("conversation_started", user=PERSON, **fields))
    assert status == 200
    assert door.house.calls == 0
    if action is None:
        assert answer is None
        return
    assert answer["text"] == (
        "Баланс Актив\nЗдесь можно передать поручение бухгалтеру и узнать, как идут дела."
    )
    (button,) = answer["keyboard"]["Buttons"]
    assert (button["Text"], button["ActionBody"], button["Columns"]) == ("Начать", action, 6)
    assert set(answer) == {"sender", "type", "text", "keyboard"}


async def test_subscribing_alone_is_no_start(viber: ViberEmulator, shelf: Shelf):
    house = House()
    async with opened(viber, shelf) as channel:
        harness = ViberHarness(channel, viber, viber.person(USER_ID))
        async with house.runs(harness):
            await harness.person.opens("INVITE42")
            await harness.person.subscribes()
            await harness.person.presses("Начать")
            inbounds = await house.receives(2)
    assert [inbound.kind for inbound in inbounds] == [InboundKind.UNBLOCKED, InboundKind.STARTED]
    assert inbounds[1].start_code == "INVITE42"
    assert len(harness.person.welcomes) == 1


# ---------------------------------------------------------------------- registering


async def test_webhook_is_registered_and_watched(viber: ViberEmulator, shelf: Shelf):
    address = free_address()
    doors = Doors(House().accept, now=House.now, public_url=f"{address}/")
    viber.fail_next("set_webhook", status=1, times=2)
    viber.fail_next("set_webhook", drops=True)
    async with (
        opened(viber, shelf, hook_check_seconds=0.3) as channel,
        serving(channel, replace(doors, public_url=address)),
    ):
        receiving = asyncio.create_task(channel.receive(doors))
        await viber.hooked(address)
        assert viber.hook_url == address + HOOK_PATH
        viber.hook_url = "https://somebody.example/else"
        assert (await channel.health()).detail == "the webhook is set to another address"
        await viber.hooked(address)
        assert (await channel.health()).reachable
        await stopped(receiving)
    params = next(each.params for each in viber.requests if each.endpoint == "set_webhook")
    assert params["send_name"] is True
    assert {"delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started"} == set(
        params["event_types"]
    )


@pytest.mark.parametrize("public_url", ["", "http://priem.example", "ftp://priem.example"])
async def test_public_address_must_be_safe(channel: ViberChannel, public_url: str):
    doors = Doors(House().accept, now=House.now, public_url=public_url)
    with pytest.raises(Misconfigured, match="public_url"):
        await channel.receive(doors)


async def test_health_says_who_we_are_and_how_to_come(channel: ViberChannel, viber: ViberEmulator):
    health = await channel.health()
    assert (health.reachable, health.detail) == (True, "Приёмная")
    assert health.link == "viber://pa?chatURI=priem%20bot&context={code}"
    viber.fail_next("get_account_info", status=2)
    sick = await channel.health()
    assert not sick.reachable
    assert "token" in sick.detail


# ---------------------------------------------------------------------- sending


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (1, Rejected),
        (2, TokenRevoked),
        (3, Rejected),
        (4, Rejected),
        (5, Blocked),
        (6, Blocked),
        (7, TokenRevoked),
        (8, TokenRevoked),
        (9, TokenRevoked),
        (10, Retry),
        (11, Rejected),
        (12, Retry),
        (13, Rejected),
        (15, TokenRevoked),
        (23, WindowClosed),
        (24, WindowClosed),
        (99, Rejected),
    ],
)
async def test_refusal_is_understood(
    *, channel: ViberChannel, viber: ViberEmulator, olga: Person, status: int, outcome: type
):
    viber.fail_next("send_message", status=status)
    got = await channel.send(parcel())
    assert type(got) is outcome
    assert f"({status})" in str(got)
    assert olga.messages == []


@pytest.mark.parametrize(
    ("spoilt", "outcome", "arrives"),
    [
        ({"hangs": True}, Unknown, False),
        ({"hangs": True, "after_effect": True}, Unknown, True),
        ({"drops": True}, Unknown, False),
        ({"drops": True, "after_effect": True}, Unknown, True),
        ({"body": b'{"status":0', "after_effect": True}, Unknown, True),
        ({"body": b"<html>OK</html>"}, Unknown, False),
        ({"body": b'{"status":"0"}'}, Unknown, False),
        ({"body": b'{"status":0}', "after_effect": True}, Sent, True),
        ({"http_status": 500}, Retry, False),
        ({"http_status": 302, "headers": {"Location": "http://127.0.0.1:9/"}}, Retry, False),
        ({"http_status": 403}, Retry, False),
        ({"http_status": 429}, Retry, False),
    ],
    ids=[
        "hangs before", "hangs after", "breaks before", "breaks after", "truncated", "a page", "neither",
        "no token", "server error", "sent elsewhere", "a provider's page", "too many requests",
    ],
)  # fmt: skip
async def test_fault_is_understood(
    *, channel: ViberChannel, hasty: ViberChannel, viber: ViberEmulator, olga: Person,
    spoilt: dict[str, Any], outcome: type, arrives: bool,
):  # fmt: skip
    viber.fail_next("send_message", **spoilt)
    got = await (hasty if "hangs" in spoilt else channel).send(parcel())
    assert type(got) is outcome
    assert len(olga.messages) == arrives
    if isinstance(got, Retry):
        assert got.whole_channel


@pytest.mark.parametrize("said", ["9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_silence_ends(channel: ViberChannel, viber: ViberEmulator, olga: Person, said: str):
    viber.fail_next("send_message", http_status=429, headers={"Retry-After": said})
    got = await channel.send(parcel())
    assert isinstance(got, Retry)
    assert got.after_seconds == LONGEST_SILENCE_SECONDS


async def test_only_the_silent_person_waits(
    channel: ViberChannel, viber: ViberEmulator, olga: Person, clock: Clock
):
    viber.person("another=").subscribed = True
    olga.silent_since = [clock()] * 100
    got = await channel.send(parcel())
    assert isinstance(got, Retry)
    assert (got.after_seconds, got.whole_channel) == (600, False)
    assert isinstance(await channel.send(parcel(chat_key="another=")), Sent)
    clock.ahead_seconds = 3601
    assert isinstance(await channel.send(parcel()), Sent)


async def test_message_key_is_exact(channel: ViberChannel, olga: Person):
    got = await channel.send(parcel())
    assert got == Sent(str(olga.messages[0].token))
    assert olga.messages[0].token > 2**53


async def test_what_is_posted(channel: ViberChannel, viber: ViberEmulator, olga: Person):
    await channel.send(parcel("Вы <здесь>? & «да»"))
    (request,) = viber.requests
    assert request.headers[TOKEN_HEADER] == viber.token
    assert request.params == {
        "receiver": USER_ID,
        "sender": {"name": "Баланс Актив"},
        "type": "text",
        "text": "Вы <здесь>? & «да»",
    }
    assert olga.messages[0].text == "Вы <здесь>? & «да»"


async def test_sender_has_the_name_of_the_settings(viber: ViberEmulator, olga: Person, shelf: Shelf):
    sender = {"sender_name": "Приёмная", "sender_avatar": "https://a.example/a.png"}
    async with opened(viber, shelf, **sender) as channel:
        await channel.send(parcel())
    assert olga.messages[0].raw["sender"] == {"name": "Приёмная", "avatar": "https://a.example/a.png"}


@pytest.mark.parametrize(
    "letter", ["я", "漢", "🙂", '"', "\n"], ids=["cyrillic", "han", "emoji", "quote", "line"]
)
async def test_longest_message_fits_into_30_kilobytes(
    channel: ViberChannel, viber: ViberEmulator, olga: Person, letter: str
):
    rows = tuple((ShownButton(letter.strip() * 300 or "_", f"{'p' * 60}:{n:03}"),) for n in range(24))
    parts = fit(parcel("a" + letter * 20_000 + "b", rows=rows), channel.limits)
    for part in parts:
        assert isinstance(await channel.send(part), Sent)
    assert max(request.size_bytes for request in viber.requests) < JSON_BYTES
    assert len(olga.messages[-1].buttons) == 24


# ---------------------------------------------------------------------- buttons


@pytest.mark.parametrize(
    ("row_lengths", "widths"),
    [
        ([1], [6]),
        ([2, 1], [3, 3, 6]),
        ([3], [2, 2, 2]),
        ([4], [2, 2, 2, 6]),
        ([1] * 12, [6] * 12),
        ([1] * 13, [3] * 12 + [6]),
        ([2] * 12, [3] * 24),
    ],
    ids=str,
)
async def test_buttons_are_laid_on_six_columns(
    channel: ViberChannel, olga: Person, row_lengths: list[int], widths: list[int]
):
    numbers = iter(range(100))
    rows = tuple(
        tuple(
            ShownButton(f"№ {number}", f"a:b:{number}:1")
            for _, number in zip(range(length), numbers, strict=False)
        )
        for length in row_lengths
    )
    (part,) = fit(parcel(rows=rows), channel.limits)
    assert isinstance(await channel.send(part), Sent)
    assert olga.messages[0].width == widths
    assert olga.messages[0].labels == [f"№ {number}" for number in range(sum(row_lengths))]


async def test_press_is_shown_to_nobody_and_still_reads_well(channel: ViberChannel, olga: Person):
    rows = ((ShownButton("ООО <Ромашка> & Ко", "form:company:7:1"),),)
    await channel.send(parcel("Какая компания?", rows=rows))
    (button,) = olga.messages[0].buttons
    assert button["Silent"] is True
    assert button["Text"] == "ООО ‹Ромашка› & Ко"
    assert button["ActionBody"] == "ООО <Ромашка> & Ко [priem:form:company:7:1]"
    inbound = read(message(type="text", text=button["ActionBody"]))
    assert (inbound.kind, inbound.button) == (InboundKind.BUTTON, "form:company:7:1")


async def test_message_without_buttons_takes_them_away(channel: ViberChannel, olga: Person):
    await channel.send(parcel("Согласны?", rows=ROWS))
    await channel.send(parcel("Спасибо."))
    with pytest.raises(AssertionError, match="no button"):
        await olga.presses("Согласен")


# ---------------------------------------------------------------------- files out


async def test_last_message_carries_the_buttons(channel: ViberChannel, olga: Person, shelf: Shelf):
    files = (shelf.add("Акт.pdf", b"%PDF-1"), shelf.add("фото.jpg", b"\xff\xd8", "image/jpeg"))
    got = await channel.send(parcel("Готово.", files=files, rows=ROWS))
    assert [(each.text, each.files, each.labels) for each in olga.messages] == [
        ("Готово.", [], []),
        ("", [("Акт.pdf", b"%PDF-1")], []),
        ("", [("фото.jpg", b"\xff\xd8")], ["Согласен"]),
    ]
    assert got == Sent(str(olga.messages[-1].token))


@pytest.mark.parametrize("spoilt", [{"http_status": 502}, {"status": 12}], ids=["server error", "too many"])
async def test_half_sent_parcel_goes_on(
    channel: ViberChannel, viber: ViberEmulator, olga: Person, shelf: Shelf, spoilt: dict[str, Any]
):
    whole = parcel("Готово.", files=(shelf.add("1.pdf", b"1"), shelf.add("2.pdf", b"2")))
    viber.fail_next("send_message", skips=2, **spoilt)
    assert isinstance(await channel.send(whole), Retry)
    assert isinstance(await channel.send(whole), Sent)
    assert [each.text or each.files[0][0] for each in olga.messages] == ["Готово.", "1.pdf", "2.pdf"]


async def test_refused_half_is_not_remembered(
    channel: ViberChannel, viber: ViberEmulator, olga: Person, shelf: Shelf
):
    whole = parcel("Готово.", files=(shelf.add("1.pdf", b"1"),))
    viber.fail_next("send_message", skips=1, status=3)
    assert isinstance(await channel.send(whole), Rejected)
    assert isinstance(await channel.send(whole), Sent)
    assert [each.text for each in olga.messages] == ["Готово.", "Готово.", ""]


async def test_lost_file_is_told_later(viber: ViberEmulator, shelf: Shelf):
    house = House()
    async with opened(viber, shelf) as channel:
        harness = ViberHarness(channel, viber, viber.person(USER_ID))
        async with house.runs(harness):
            await harness.client_starts()
            await house.receives(1)
            lost = replace(shelf.add("a.pdf", b"1"), sha256="ff" * 32)
            got = await channel.send(parcel("", files=(lost,)))
            await house.until(lambda: len(house.received) == 2)
    assert isinstance(got, Sent)
    failed = house.received[1]
    assert (failed.kind, failed.message_key) == (InboundKind.DELIVERY, got.message_key)
    assert failed.delivery == Delivery(DeliveryState.FAILED, "the file's link answers 404")


async def test_lost_earlier_message_is_told_of_the_whole_letter(viber: ViberEmulator, shelf: Shelf):
    """The house knows the key of the last message only."""
    house = House()
    async with opened(viber, shelf) as channel:
        olga = viber.person(USER_ID)
        async with house.runs(ViberHarness(channel, viber, olga)):
            await olga.says("Добрый день")
            await house.receives(1)
            got = await channel.send(parcel("Готово.", files=(shelf.add("Акт.pdf", b"%PDF-1"),)))
            text, file = olga.messages[-2:]
            olga.gets("delivered", file)
            olga.gets("failed", text, desc="client error")
            await house.until(lambda: len(house.received) == 2)
    assert isinstance(got, Sent)
    failed = house.received[1]
    assert (failed.message_key, failed.delivery) == (
        got.message_key,
        Delivery(DeliveryState.FAILED, "client error"),
    )


async def test_long_names_keep_their_extension(
    channel: ViberChannel, viber: ViberEmulator, olga: Person, shelf: Shelf
):
    got = await channel.send(parcel("", files=(shelf.add("а" * 300 + ".xlsx", b"1"),)))
    assert isinstance(got, Sent)
    name = viber.requests[0].params["file_name"]
    assert (len(name), name[-6:]) == (256, "а.xlsx")


async def test_impossible_parcels_are_rejected(
    viber: ViberEmulator, olga: Person, shelf: Shelf, channel: ViberChannel
):
    assert isinstance(await channel.send(parcel("")), Rejected)
    homeless = ViberChannel(settings_for(viber), lent_by(shelf, lambda _file: "/files/token"), QUICK)
    got = await homeless.send(parcel("", files=(shelf.add("a.pdf", b"1"),)))
    assert isinstance(got, Rejected)
    assert "public_url" in got.reason
    assert olga.messages == []
    await homeless.close()


# ---------------------------------------------------------------------- files in


async def downloaded(channel: ViberChannel, url: str, size_bytes: int | None = None) -> bytes:
    file = IncomingFile(url, "a.pdf", size_bytes)
    return b"".join([chunk async for chunk in channel.open_file(file)])


async def test_only_known_hosts_are_asked_for_files(channel: ViberChannel, viber: ViberEmulator):
    url = viber.hold("a.pdf", b"%PDF")
    assert await downloaded(channel, url) == b"%PDF"
    for strange in (
        url.replace("127.0.0.1", "localhost"),
        "https://viber.com.example/a.pdf",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "",
    ):
        with pytest.raises(FileUnavailable):
            await downloaded(channel, strange)
    viber.redirect_media(url, url.replace("127.0.0.1", "localhost"))
    with pytest.raises(FileUnavailable, match="media hosts"):
        await downloaded(channel, url)


async def test_viber_itself_is_known_by_default():
    section = Settings.model_validate({"token": "a-b"})
    assert section.media_hosts == ("viber.com",)


@pytest.mark.parametrize("spoilt", [{"http_status": 403}, {"http_status": 500}, {"drops": True}], ids=str)
async def test_expired_link_is_unavailable(
    channel: ViberChannel, viber: ViberEmulator, spoilt: dict[str, Any]
):
    url = viber.hold("a.pdf", b"%PDF")
    viber.fail_next("media", times=2, **spoilt)
    with pytest.raises(FileUnavailable) as refused:
        await downloaded(channel, url)
    assert "Signature" not in f"{refused.value!r} {refused.value.__cause__!r}"
    viber.forgive()
    assert await downloaded(channel, url) == b"%PDF"
    with pytest.raises(FileUnavailable):
        await downloaded(channel, url.replace("/media/", "/media/0"))


async def test_announced_oversize_is_not_even_asked_for(channel: ViberChannel):
    with pytest.raises(FileRefused):
        await downloaded(channel, "https://dl-media.viber.com/1", 21 * 1024 * 1024)


# ---------------------------------------------------------------------- proxies and logs


async def test_everything_goes_through_the_proxy(viber: ViberEmulator, olga: Person, shelf: Shelf):
    tunnel = Tunnel(viber.base_url)
    url = viber.hold("a.pdf", b"%PDF").replace(viber.base_url, "http://dl-media.viber.test")
    async with await asyncio.start_server(tunnel.serve, "127.0.0.1", 0) as server:
        settings = {
            "api_base_url": "http://mirror.viber.test/",
            "proxy": f"http://user:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "media_hosts": ["viber.test"],
        }
        async with opened(viber, shelf, **settings) as channel:
            assert isinstance(await channel.send(parcel()), Sent)
            assert (await channel.health()).reachable
            assert await downloaded(channel, url) == b"%PDF"
    # These names exist nowhere: whoever does not ask the proxy cannot have got an answer.
    assert set(tunnel.asked) == {"mirror.viber.test:80", "dl-media.viber.test:80"}


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_dead_proxy_means_not_sent(viber: ViberEmulator, olga: Person, shelf: Shelf, scheme: str):
    proxy = free_address().replace("http", f"{scheme}", 1).replace("//", "//user:hidden@", 1)
    async with opened(viber, shelf, proxy=proxy) as channel:
        got = await channel.send(parcel())
        assert isinstance(got, Retry)
        assert got.whole_channel
        assert "hidden" not in got.reason
        assert not (await channel.health()).reachable
    assert olga.messages == []


async def test_viberbot_logs_neither_words_nor_the_token(
    channel: ViberChannel, viber: ViberEmulator, olga: Person, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    await channel.send(parcel("тайна клиента"))
    viber.fail_next("send_message", drops=True)
    await channel.send(parcel("тайна клиента"))
    assert "тайна" not in caplog.text
    assert viber.token not in caplog.text


# ---------------------------------------------------------------------- the emulator is strict


def keyboard(*buttons: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Type": "keyboard", "Buttons": list(buttons), **more}


def button(**more: Any) -> dict[str, Any]:
    return {"Columns": 6, "Rows": 1, "ActionType": "reply", "ActionBody": "a", "Text": "A", **more}


TEXT = {"receiver": USER_ID, "sender": {"name": "Приёмная"}, "type": "text", "text": "а"}
FILE = {key: TEXT[key] for key in ("receiver", "sender")} | {
    "type": "file", "media": "http://127.0.0.1:9/a", "size": 1, "file_name": "a.pdf",
}  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "params", "status"),
    [
        ("send_mesage", TEXT, 3),
        ("send_message", {**TEXT, "auth_token": "another", "drop header": True}, 2),
        ("send_message", {**TEXT, "text": ""}, 4),
        ("send_message", {**TEXT, "text": "а" * 7001}, 3),
        ("send_message", {**TEXT, "text": "漢" * 7000, "tracking_data": "漢" * 4000}, 3),
        ("send_message", {**TEXT, "receiver": "nobody="}, 5),
        ("send_message", {**TEXT, "receiver": "left="}, 6),
        ("send_message", {key: TEXT[key] for key in TEXT if key != "sender"}, 4),
        ("send_message", {**TEXT, "sender": {"name": "я" * 29}}, 3),
        ("send_message", {**TEXT, "tracking_data": "а" * 4001}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard()}, 3),
        ("send_message", {**TEXT, "keyboard": {"Buttons": [button()]}}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard(button(Columns=7))}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard(button(Columns=4), button(Columns=4))}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard(button(Columns=5))}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard(*[button()] * 13)}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard(button(ActionBody="a" * 251))}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard(button(Text="<b>A"))}, 3),
        ("send_message", {**TEXT, "keyboard": keyboard(button(callback="a"))}, 3),
        ("send_message", {**FILE, "file_name": "без расширения"}, 3),
        ("send_message", {**FILE, "size": 51 * 1024 * 1024}, 3),
        ("send_message", {**FILE, "media": 5} | {"size": 0}, 3),
        ("set_webhook", {"url": "http://priem.example/hooks/viber"}, 1),
        ("set_webhook", {"url": "https://127.0.0.1:9/hooks/viber"}, 1),
        ("set_webhook", {}, 4),
        ("set_webhook", {"url": "http://127.0.0.1:9/", "event_types": ["edited"]}, 3),
        ("send_message", TEXT, 0),
    ],
)
async def test_emulator_refuses(endpoint: str, params: dict[str, Any], status: int):
    async with ViberEmulator() as viber:
        viber.hook_url = "https://priem.example/hooks/viber"
        viber.person(USER_ID).subscribed = True
        viber.person("left=")
        headers = {} if "drop header" in params else {TOKEN_HEADER: viber.token}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{viber.base_url}/pa/{endpoint}", json=params) as response,
        ):
            assert (response.status, (await response.json())["status"]) == (200, status)
        assert len(viber.person(USER_ID).messages) == (status == 0)
        assert viber.hook_url == "https://priem.example/hooks/viber"


async def test_unmodified_viberbot_understands_the_emulator(shelf: Shelf):
    """The library is a witness that the emulator speaks the API and not only our idea of it."""
    from viberbot import Api, BotConfiguration
    from viberbot.api.messages import FileMessage, TextMessage

    taken: list[tuple[bytes, str | None]] = []

    async def take(request: web.Request) -> web.Response:
        taken.append((await request.read(), request.headers.get(SIGNATURE_HEADER)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with ViberEmulator(signs_trials=True) as viber, served_links(shelf) as link:
        api = Api(BotConfiguration(viber.token, "Приёмная", "https://a.example/a.png"))
        api._request_sender._viber_bot_api_url = f"{viber.base_url}/pa"
        olga = viber.person(USER_ID)
        assert "seen" in await asyncio.to_thread(api.set_webhook, hook, ["seen", "failed"])
        await olga.opens("X7")
        await olga.says("Добрый день")
        await olga.sends_file("счёт.pdf", b"%PDF")
        olga.sends({"type": "contact", "contact": {"name": "Ольга", "phone_number": "79161234567"}})
        olga.sends({"type": "location", "location": {"lat": 55.75, "lon": 37.61}})
        file = shelf.add("Акт.pdf", b"%PDF")
        sent = [
            TextMessage(text="Ок?", keyboard=keyboard(button())),
            FileMessage(media=link(file), size=4, file_name="Акт.pdf"),
        ]
        tokens = await asyncio.to_thread(api.send_messages, USER_ID, sent)
        assert tokens == [each.token for each in olga.messages]
        assert olga.messages[1].files == [("Акт.pdf", b"%PDF")]
        assert (await asyncio.to_thread(api.get_account_info))["webhook"] == hook
        olga.gets("seen", olga.messages[0])
        await olga.unsubscribes()
        with pytest.raises(Exception, match="failed with status: 6"):
            await asyncio.to_thread(api.send_messages, USER_ID, sent[0])
        async with asyncio.timeout(5):
            while len(taken) < 8:
                await asyncio.sleep(0.01)
    await runner.cleanup()
    assert all(api.verify_signature(body, signature) for body, signature in taken)
    assert [type(api.parse_request(body)).__name__ for body, _signature in taken] == [
        "ViberRequest",
        "ViberConversationStartedRequest",
        *["ViberMessageRequest"] * 4,
        "ViberSeenRequest",
        "ViberUnsubscribedRequest",
    ]
