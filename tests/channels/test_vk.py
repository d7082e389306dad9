"""What only VK does: its events, its refusals, its callbacks; and that the emulator is strict."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bots.base import Cursor, Doors, FileUnavailable, Misconfigured
from bots.vk import EVENTS, HOOK_PATH, MAX_HOOK_BYTES, Settings, VkChannel, parse, random_id
from bots.wire import LONGEST_SILENCE_SECONDS, UNREADABLE, UNREADABLE_MESSAGE
from forms.messages import Delivery, DeliveryState, FileRole, Inbound, InboundKind, IncomingFile
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
from tests.channels.harness import (
    HASTY_SECONDS,
    House,
    Shelf,
    cancelled_when,
    free_address,
    serving,
    stopped,
)
from tests.channels.vk import HOOK_SECRET, QUICK, Mode, VkHarness, settings_for
from tests.emulators.listening import PATIENCE_SECONDS
from tests.emulators.vk import Chat, VkEmulator

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SENT_AT = datetime(2026, 11, 23, 8, 59, 30, tzinfo=UTC)
PERSON = 523
GROUP = 195_746_392
ROWS = ((ShownButton("Согласен", "form:consent:yes:1"),),)
DOC = {
    "title": "Акт.pdf",
    "ext": "pdf",
    "size": 9,
    "url": "https://vk.com/doc523_1?hash=h",
    "id": 1,
    "owner_id": PERSON,
}


def event(kind: str, content: object, **more: object) -> dict[str, Any]:
    return {"group_id": GROUP, "type": kind, "event_id": "e7", "v": "5.199", "object": content, **more}


def message(**content: object) -> dict[str, Any]:
    head = {
        "id": 41,
        "date": int(SENT_AT.timestamp()),
        "from_id": PERSON,
        "peer_id": PERSON,
        "out": 0,
        "text": "",
        "conversation_message_id": 7,
        "attachments": [],
        "fwd_messages": [],
    }
    return event("message_new", {"message": head | content, "client_info": {"keyboard": True}})


def attached(*attachments: tuple[str, object], **content: object) -> dict[str, object]:
    return {"attachments": [{"type": kind, kind: value} for kind, value in attachments], **content}


def read(update: dict[str, Any]) -> Inbound:
    return parse(json.loads(json.dumps(update)), NOW)


# ---------------------------------------------------------------------- events

READ: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "text": ({"text": "Добрый день"}, {"kind": InboundKind.TEXT, "text": "Добрый день"}),
    "a NUL": ({"text": "a\0b"}, {"text": "ab"}),
    "«Начать»": (
        {"text": "Начать", "payload": '{"command":"start"}'},
        {"kind": InboundKind.STARTED, "start_code": None},
    ),
    "«Начать» by a link": (
        {"text": "Начать", "payload": '{"command":"start"}', "ref": "X7A"},
        {"kind": InboundKind.STARTED, "start_code": "X7A"},
    ),
    "a link into an open dialog": (
        {"text": "Это Олег", "ref": "X7A"},
        {"kind": InboundKind.TEXT, "text": "Это Олег", "start_code": "X7A"},
    ),
    "typed «Начать»": ({"text": "Начать"}, {"kind": InboundKind.TEXT}),
    "a button of the keyboard": (
        {"text": "Да", "payload": '{"p": "form:kind:pay:1"}'},
        {"kind": InboundKind.BUTTON, "button": "form:kind:pay:1", "acknowledge": None},
    ),
    "a button of somebody else": (
        {"text": "Меню", "payload": '{"command":"menu"}'},
        {"kind": InboundKind.TEXT, "text": "Меню", "button": None},
    ),
    "a payload that is no JSON": ({"text": "Меню", "payload": "{"}, {"kind": InboundKind.TEXT}),
    "a document": (
        attached(("doc", DOC), text="до пятницы"),
        {
            "kind": InboundKind.FILE,
            "text": "до пятницы",
            "files": (IncomingFile("https://vk.com/doc523_1?hash=h", "Акт.pdf", 9),),
        },
    ),
    "a title without an ending": (
        attached(("doc", DOC | {"title": "Акт", "size": None})),
        {"files": (IncomingFile("https://vk.com/doc523_1?hash=h", "Акт.pdf"),)},
    ),
    "the largest photo": (
        attached(
            (
                "photo",
                {
                    "sizes": [
                        {"url": "https://a/s", "width": 56, "height": 75},
                        {"url": "https://a/w", "width": 960, "height": 1280},
                        {"url": "https://a/m", "width": 130, "height": 87},
                    ]
                },
            )
        ),
        {"files": (IncomingFile("https://a/w", "Фото.jpg", None, "image/jpeg", FileRole.PHOTO),)},
    ),
    "a photo without measures": (
        attached(("photo", {"sizes": [{"url": "https://a/s"}, {"url": "https://a/w"}]})),
        {"files": (IncomingFile("https://a/w", "Фото.jpg", None, "image/jpeg", FileRole.PHOTO),)},
    ),
    "an original photo": (
        attached(
            (
                "photo",
                {
                    "sizes": [{"url": "https://a/s", "width": 56, "height": 75}],
                    "orig_photo": {"url": "https://a/o", "width": 4000, "height": 3000},
                },
            )
        ),
        {"files": (IncomingFile("https://a/o", "Фото.jpg", None, "image/jpeg", FileRole.PHOTO),)},
    ),
    "a voice": (
        attached(("audio_message", {"link_ogg": "https://a/v.ogg", "link_mp3": "https://a/v.mp3"})),
        {
            "files": (
                IncomingFile("https://a/v.ogg", "Голосовое сообщение.ogg", None, "audio/ogg", FileRole.VOICE),
            )
        },
    ),
    "an album": (
        attached(("doc", DOC), ("doc", DOC | {"title": "Реестр.xlsx", "ext": "xlsx"})),
        {
            "kind": InboundKind.FILE,
            "group_id": None,
            "files": tuple(
                IncomingFile("https://vk.com/doc523_1?hash=h", name, 9) for name in ("Акт.pdf", "Реестр.xlsx")
            ),
        },
    ),
    "a sticker": (attached(("sticker", {})), {"kind": InboundKind.OTHER, "text": "наклейка"}),
    "a video beside text": (
        attached(("video", {"title": "Склад"}), text="вот"),
        {"kind": InboundKind.TEXT, "text": "вот\n\n[видео «Склад»]"},
    ),
    "a preview of a link": (
        attached(("link", {"url": "https://a"}), text="https://a"),
        {"kind": InboundKind.TEXT, "text": "https://a"},
    ),
    "a link alone": (
        attached(("link", {"url": "https://a"})),
        {"kind": InboundKind.OTHER, "text": "ссылка «https://a»"},
    ),
    "goods": (
        attached(("market", {"title": "Касса"})),
        {"kind": InboundKind.OTHER, "text": "товар «Касса»"},
    ),
    "a post": (attached(("wall", {"text": "Акция"})), {"text": "запись со стены"}),
    "something new": (attached(("hologram", {})), {"text": "вложение незнакомого вида"}),
    "a place": (
        {"geo": {"type": "point", "coordinates": {"latitude": 55.75, "longitude": 37.61}}},
        {"kind": InboundKind.OTHER, "text": "геопозиция 55.75, 37.61"},
    ),
    "nothing": ({}, {"kind": InboundKind.OTHER, "text": "пустое сообщение"}),
    "forwarded": (
        {
            "text": "смотрите",
            "fwd_messages": [
                {"text": "счёт", "from_id": 9, **attached(("doc", DOC))},
                {"text": "", "fwd_messages": [{"text": "срочно"}]},
            ],
        },
        {
            "kind": InboundKind.FILE,
            "text": "смотрите\n\nсчёт\n\nсрочно",
            "files": (IncomingFile("https://vk.com/doc523_1?hash=h", "Акт.pdf", 9),),
        },
    ),
    "an answer to our message": (
        {"text": "да", "reply_message": {"text": "Согласны?"}},
        {"kind": InboundKind.TEXT, "text": "да"},
    ),
    "no number of its own": ({"text": "а", "id": 0}, {"message_key": "c7"}),
    "a group chat": ({"text": "привет", "peer_id": 2_000_000_001}, {"kind": InboundKind.IGNORED}),
    "another community": ({"text": "привет", "from_id": -9}, {"kind": InboundKind.IGNORED}),
    "our own": ({"text": "привет", "out": 1}, {"kind": InboundKind.IGNORED}),
    "a service message": ({"action": {"type": "chat_photo_update"}}, {"kind": InboundKind.IGNORED}),
    "text that is none": ({"text": 5}, {"kind": InboundKind.OTHER, "text": UNREADABLE_MESSAGE}),
    "a date that is none": (
        {"text": "а", "date": "вчера"},
        {"kind": InboundKind.OTHER, "text": UNREADABLE_MESSAGE},
    ),
    "nobody": ({"text": "а", "from_id": "x"}, {"kind": InboundKind.IGNORED}),
    "a file without address": (
        attached(("doc", {"title": "а"}), text="Оплатите счёт 17"),
        {"kind": InboundKind.TEXT, "text": f"Оплатите счёт 17\n\n[{UNREADABLE}]"},
    ),
    "a file without address among others": (
        attached(("doc", {"title": "а"}), ("doc", DOC), text="акт"),
        {"kind": InboundKind.FILE, "text": f"акт\n\n[{UNREADABLE}]"},
    ),
    "a photo without sizes": (
        attached(("photo", {"sizes": []})),
        {"kind": InboundKind.OTHER, "text": UNREADABLE},
    ),
    "a place without coordinates": (
        {"text": "мы здесь", "geo": {"type": "point"}},
        {"kind": InboundKind.TEXT, "text": "мы здесь\n\n[геопозиция]"},
    ),
    "a forwarded file without address": (
        {"text": "вот", "fwd_messages": [attached(("doc", {"title": "а"}), text="от банка")]},
        {"kind": InboundKind.TEXT, "text": f"вот\n\nот банка\n\n[{UNREADABLE}]"},
    ),
    "a voice message as MP3": (
        attached(("audio_message", {"link_mp3": "https://a/v.mp3", "duration": 3})),
        {
            "kind": InboundKind.FILE,
            "files": (
                IncomingFile(
                    "https://a/v.mp3", "Голосовое сообщение.mp3", None, "audio/mpeg", FileRole.VOICE
                ),
            ),
        },
    ),
}


@pytest.mark.parametrize(("content", "expected"), READ.values(), ids=READ.keys())
def test_message_is_read(content: dict[str, object], expected: dict[str, object]):
    inbound = read(message(**content))
    assert {name: getattr(inbound, name) for name in expected} == expected
    assert inbound.event_key == "e7"
    if inbound.kind is not InboundKind.IGNORED:
        assert (inbound.user_key, inbound.chat_key, inbound.user_name) == ("523", "523", "")
        assert inbound.sent_at == (NOW if "date" in content else SENT_AT)
        assert inbound.message_key in ("41", "c7")


def press(**more: object) -> dict[str, Any]:
    head = {"user_id": PERSON, "peer_id": PERSON, "event_id": "feb0", "payload": {"p": "form:kind:pay:1"}}
    return event("message_event", head | {"conversation_message_id": 8} | more)


@pytest.mark.parametrize(
    ("payload", "button"),
    [
        ({"p": "form:kind:pay:1"}, "form:kind:pay:1"),
        ('{"p": "form:kind:pay:1"}', "form:kind:pay:1"),
        ({"p": "form:kind\0:pay:1"}, "form:kind:pay:1"),
        ({"f": "topic"}, ""),
        ({"p": 5}, ""),
        (None, ""),
    ],
    ids=["value", "string", "null character", "foreign", "number", "none"],
)
def test_press_is_read(payload: object, button: str):
    inbound = read(press(payload=payload))
    assert (inbound.kind, inbound.button) == (InboundKind.BUTTON, button)
    assert (inbound.acknowledge, inbound.sent_at, inbound.message_key) == ("523 523 feb0", NOW, "c8")


EDIT = message(text="исправлено", update_time=int(NOW.timestamp()))["object"]["message"]


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (
            event("message_edit", EDIT),
            {"kind": InboundKind.EDITED, "text": "исправлено", "message_key": "41", "sent_at": NOW},
        ),
        (
            event("message_edit", {"message": EDIT | {"payload": '{"command":"start"}', "ref": "X"}}),
            {"kind": InboundKind.EDITED, "text": "исправлено", "start_code": None},
        ),
        (event("message_edit", EDIT | {"from_id": -GROUP}), {"kind": InboundKind.IGNORED}),
        (event("message_deny", {"user_id": PERSON}), {"kind": InboundKind.BLOCKED, "chat_key": "523"}),
        (
            event("message_allow", {"user_id": PERSON, "key": "k"}),
            {"kind": InboundKind.UNBLOCKED, "chat_key": "523"},
        ),
        (
            event("message_read", {"from_id": PERSON, "peer_id": PERSON, "read_message_id": 110}),
            {
                "kind": InboundKind.DELIVERY,
                "message_key": "110",
                "delivery": Delivery(DeliveryState.READ),
                "chat_key": "523",
            },
        ),
        (event("message_reply", EDIT), {"kind": InboundKind.IGNORED}),
        (event("message_typing_state", {"from_id": PERSON, "to_id": -GROUP}), {"kind": InboundKind.IGNORED}),
        (press(peer_id=2_000_000_001), {"kind": InboundKind.IGNORED}),
        (
            # A community whose API version is older than 5.103.
            event("message_new", message(text="по-старому")["object"]["message"]),
            {"kind": InboundKind.TEXT, "text": "по-старому"},
        ),
        (event("wall_post_new", {}), {"kind": InboundKind.IGNORED}),
        (event("message_new", []), {"kind": InboundKind.IGNORED}),
        (event("message_new", {"message": None}), {"kind": InboundKind.IGNORED}),
        ({"type": ["message_new"], "event_id": "e7"}, {"kind": InboundKind.IGNORED}),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) and "type" in value else "",
)
def test_event_is_read(update: dict[str, Any], expected: dict[str, object]):
    inbound = read(update)
    assert {name: getattr(inbound, name) for name in expected} == expected
    assert inbound.event_key == "e7"


@pytest.mark.parametrize("event_id", [None, "", 5, "a" * 201, "a\0"], ids=repr)
def test_event_without_a_number_is_told_by_its_content(event_id: object):
    by_poll = message(text="а") | {"event_id": event_id}
    by_callback = by_poll | {"secret": HOOK_SECRET}
    other = message(text="б") | {"event_id": event_id}
    assert read(by_poll).event_key == read(by_callback).event_key != read(other).event_key
    assert read(by_poll).event_key.startswith("digest:")
    assert HOOK_SECRET not in read(by_callback).event_key


_KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        "type event_id object message from_id peer_id user_id date text payload id out ref action geo "
        "coordinates attachments doc photo sizes url fwd_messages audio_message conversation_message_id",
    )
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["message_new", "message_event", "doc", "photo", '{"p":"a"}', "[" * 20]),
)
_WILD = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)


@given(_WILD | st.fixed_dictionaries({"type": st.sampled_from(EVENTS), "object": _WILD}))
def test_no_event_breaks_the_reader(wild: object):
    inbound = parse(wild, NOW)
    assert 0 < len(inbound.event_key) <= 200
    assert isinstance(inbound.text, str)
    assert inbound.sent_at.tzinfo is not None


@given(_WILD, st.sampled_from(["text", "attachments", "from_id", "date", "payload", "fwd_messages", "ref"]))
def test_no_message_breaks_the_reader(wild: object, name: str):
    update = copy.deepcopy(message(text="а"))
    update["object"]["message"][name] = wild
    inbound = parse(update, NOW)
    assert inbound.kind in InboundKind
    assert all(type(text) is str for file in inbound.files for text in (file.reference, file.name))


# ---------------------------------------------------------------------- settings

TOKEN = "vk1.a.Ab3-dE_f"


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"group_id": 1}, "token"),
        ({"token": TOKEN}, "group_id"),
        ({"token": TOKEN, "group_id": -1}, "group_id"),
        ({"token": "из настроек", "group_id": 1}, "token"),
        ({"token": TOKEN, "group_id": 1, "mode": "webhook"}, "mode"),
        ({"token": TOKEN, "group_id": 1, "mode": "callback"}, "secret"),
        ({"token": TOKEN, "group_id": 1, "mode": "callback", "secret": "с пробелом"}, "secret"),
        ({"token": TOKEN, "group_id": 1, "mode": "callback", "secret": "a" * 51}, "secret"),
        ({"token": TOKEN, "group_id": 1, "poll_wait_seconds": 91}, "poll_wait_seconds"),
        ({"token": TOKEN, "group_id": 1, "api_base_url": "api.vk.ru"}, "api_base_url"),
        ({"token": TOKEN, "group_id": 1, "proxy": "localhost:1080"}, "proxy"),
        ({"token": TOKEN, "group_id": 1, "tokken": "1"}, "tokken"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_settings_are_refused(section: dict[str, object], named: str):
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(section)
    assert named in str(refused.value)
    assert "из настроек" not in str(refused.value)


def test_import_is_cheap():
    script = "import sys, bots.vk; print([name for name in sys.modules if name in ('vk_api', 'requests')])"
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout.strip() == "[]"


# ---------------------------------------------------------------------- the long poll


@pytest.fixture
async def vk() -> AsyncIterator[VkEmulator]:
    async with VkEmulator() as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path)


@asynccontextmanager
async def channel_of(vk: VkEmulator, shelf: Shelf, mode: Mode = "longpoll", **more: object):
    made = VkChannel(settings_for(vk, mode, **more), shelf, QUICK)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def channel(vk: VkEmulator, shelf: Shelf) -> AsyncIterator[VkChannel]:
    async with channel_of(vk, shelf) as made:
        yield made


@pytest.fixture
async def hasty(vk: VkEmulator, shelf: Shelf) -> AsyncIterator[VkChannel]:
    """For calls that are never answered."""
    async with channel_of(vk, shelf, send_timeout_seconds=HASTY_SECONDS) as made:
        yield made


@pytest.fixture
async def hooked(vk: VkEmulator, shelf: Shelf) -> AsyncIterator[VkChannel]:
    async with channel_of(vk, shelf, "callback") as made:
        yield made


@pytest.fixture
def chat(vk: VkEmulator) -> Chat:
    return vk.chat(PERSON)


@asynccontextmanager
async def running(channel: VkChannel) -> AsyncIterator[Doors]:
    """Run a channel of which no event is expected."""
    doors = Doors(House().accept, House.now, public_url=free_address())
    async with serving(channel, doors):
        receiving = asyncio.create_task(channel.receive(doors))
        yield doors
        await stopped(receiving)


def harness_of(channel: VkChannel, vk: VkEmulator, mode: Mode = "longpoll") -> VkHarness:
    return VkHarness(channel, vk, vk.chat(PERSON), mode)


class WatchedHouse(House):
    """Remembers the cursors that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.cursors: list[str] = []

    async def accept(self, inbounds: Sequence[Inbound], cursor: Cursor | None) -> None:
        await super().accept(inbounds, cursor)
        assert cursor is not None
        self.cursors.append(cursor.value)


async def test_cursor_is_stored_with_the_events_and_is_where_polling_goes_on(
    channel: VkChannel, vk: VkEmulator, chat: Chat
):
    house = WatchedHouse()
    async with house.runs(harness_of(channel, vk)):
        await chat.says("первое")
        await house.receives(1)
    assert house.cursors == ["1", "2"]
    assert house.cursor == "2"
    await chat.says("пока спали")
    async with house.runs(harness_of(channel, vk)):
        inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds] == ["первое", "пока спали"]
    assert house.cursor == "3"


async def test_burst_comes_in_order(channel: VkChannel, vk: VkEmulator, chat: Chat):
    house = House()
    async with house.runs(harness_of(channel, vk)):
        for number in range(100):
            await chat.says(str(number))
        inbounds = await house.receives(100)
    assert [inbound.text for inbound in inbounds] == [str(number) for number in range(100)]


async def test_key_that_ran_out_is_renewed_and_nothing_is_lost(
    channel: VkChannel, vk: VkEmulator, chat: Chat
):
    house = House()
    async with house.runs(harness_of(channel, vk)):
        await chat.says("до")
        await house.receives(1)
        vk.change_key()
        await chat.says("после")
        inbounds = await house.receives(2)
        await chat.says("и потом")
        inbounds = await house.receives(3)
    assert [inbound.text for inbound in inbounds] == ["до", "после", "и потом"]
    assert servers_asked(vk) == 2


async def test_lost_history_is_told(
    channel: VkChannel, vk: VkEmulator, chat: Chat, capsys: pytest.CaptureFixture[str]
):
    house = House(cursor="1")
    await channel._api.call("groups.setLongPollSettings", {"group_id": GROUP, "enabled": 1, "message_new": 1})
    await chat.says("пропало")
    vk.lose_history()
    async with house.runs(harness_of(channel, vk)):
        await asks_again(vk)
        await chat.says("я ещё здесь")
        inbounds = await house.receives(1)
    assert [inbound.text for inbound in inbounds] == ["я ещё здесь"]
    assert "threw away events" in capsys.readouterr().out
    assert house.cursor == "3"


async def test_cursor_of_another_server_is_given_up(channel: VkChannel, vk: VkEmulator, chat: Chat):
    house = House(cursor="ts-of-another-time")
    async with house.runs(harness_of(channel, vk)):
        await asks_again(vk)
        await chat.says("я здесь")
        await house.receives(1)
    assert house.cursor == "2"


async def asks_again(vk: VkEmulator) -> None:
    """Wait until the first poll was refused and another waits for events."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while vk.polls < 2:
            await asyncio.sleep(0.01)


def servers_asked(vk: VkEmulator) -> int:
    return sum(each.method == "groups.getLongPollServer" for each in vk.requests)


@pytest.mark.parametrize("failed", [2, 3])
async def test_server_is_not_hammered(shelf: Shelf, vk: VkEmulator, failed: int):
    vk.fail_next("lp", times=1000, body=json.dumps({"failed": failed}).encode())
    async with channel_of(vk, shelf) as channel, running(channel):
        began_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while servers_asked(vk) < 12:
                await asyncio.sleep(0.01)
        # Most of the pauses of the tests are of a twentieth of a second at least.
        assert asyncio.get_running_loop().time() - began_at > 0.3


@pytest.mark.parametrize(
    ("method", "spoilt", "said"),
    [
        ("lp", {"status": 502}, "vk does not answer"),
        ("lp", {"drops": True}, "vk does not answer"),
        ("lp", {"body": b'{"ts":"2","updates":['}, "vk does not answer"),
        ("lp", {"body": b"[]"}, "vk does not answer"),
        ("lp", {"body": b'{"ts":["2"],"updates":[]}'}, "vk does not answer"),
        ("lp", {"body": b'{"ts":"1","updates":[{"event_id":"x"},5,null]}'}, None),
        ("groups.getLongPollServer", {"code": 5}, "does not know this key"),
        ("groups.getLongPollServer", {"code": 15}, "the key lacks a right"),
        ("groups.getLongPollServer", {"code": 29}, "vk refuses to work"),
        ("groups.getLongPollServer", {"body": b'{"response":{}}'}, "vk does not answer"),
        ("groups.setLongPollSettings", {"code": 6}, "vk refuses to work"),
        ("groups.setLongPollSettings", {"code": 100}, "group_id is the number"),
        ("groups.setLongPollSettings", {"body": b"<html>"}, "vk does not answer"),
    ],
)
async def test_polling_survives(
    *,
    channel: VkChannel,
    vk: VkEmulator,
    chat: Chat,
    method: str,
    spoilt: dict[str, Any],
    said: str | None,
    capsys: pytest.CaptureFixture[str],
):
    vk.fail_next(method, times=2, **spoilt)
    house = House()
    async with house.runs(harness_of(channel, vk)):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not vk.polls:
                await asyncio.sleep(0.01)
        await chat.says("я здесь")
        await house.receives(1)
    printed = capsys.readouterr().out
    assert said is None or said in printed
    assert vk.token not in printed


async def told(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Wait until the log says this."""
    printed = ""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while words not in printed:
            await asyncio.sleep(0.01)
            printed += capsys.readouterr().out


async def test_stranger_gets_no_long_poll(
    channel: VkChannel, vk: VkEmulator, chat: Chat, capsys: pytest.CaptureFixture[str]
):
    server = {"key": "k", "server": "http://example.org/wh1", "ts": "1"}
    vk.fail_next("groups.getLongPollServer", body=json.dumps({"response": server}).encode())
    async with running(channel):
        await told(capsys, "a host that is not in the list")


async def test_code_of_a_link_counts_once(channel: VkChannel, vk: VkEmulator, chat: Chat):
    house = House()
    async with house.runs(harness_of(channel, vk)):
        await chat.starts("CODE1")
        house.refuses(1)
        await chat.says("вы тут?", ref="CODE1")
        await chat.says("ещё раз", ref="CODE2")
        await chat.says("и ещё", ref="CODE2")
        await chat.starts("CODE2")
        inbounds = await house.receives(5)
    assert [inbound.start_code for inbound in inbounds] == ["CODE1", None, "CODE2", None, "CODE2"]


async def test_everything_a_person_does_comes_through(channel: VkChannel, vk: VkEmulator, chat: Chat):
    house = House()
    async with house.runs(harness_of(channel, vk)):
        await chat.starts("CODE1")
        await channel.send(Parcel("k", str(PERSON), "Ваши документы?"))
        await chat.reads()
        await chat.sends_photo(b"\xff\xd8" * 500, caption="чек")
        await chat.sends_voice(b"OggS-voice")
        await chat.edits("до среды")
        await chat.blocks()
        await chat.unblocks()
        inbounds = await house.receives(7)
        photo = b"".join([chunk async for chunk in channel.open_file(inbounds[2].files[0])])
        voice = b"".join([chunk async for chunk in channel.open_file(inbounds[3].files[0])])
    assert [inbound.kind for inbound in inbounds] == [
        InboundKind.STARTED,
        InboundKind.DELIVERY,
        InboundKind.FILE,
        InboundKind.FILE,
        InboundKind.EDITED,
        InboundKind.BLOCKED,
        InboundKind.UNBLOCKED,
    ]
    assert inbounds[1].message_key == str(chat.messages[0].message_id)
    assert (photo, voice) == (b"\xff\xd8" * 500, b"OggS-voice")
    assert inbounds[4].message_key == inbounds[3].message_key


# ---------------------------------------------------------------------- callbacks


async def posts(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status, await response.text()


def signed(update: dict[str, Any] | None = None, secret: object = HOOK_SECRET, **more: object) -> bytes:
    return json.dumps((update or message(text="а")) | {"secret": secret} | more).encode()


CONFIRMATION = {"type": "confirmation", "group_id": GROUP}


@pytest.mark.parametrize(
    ("body", "status", "kept"),
    [
        (signed(), 200, 1),
        (signed(event("message_typing_state", {})), 200, 1),
        (signed(secret="guessed"), 403, 0),
        (signed(secret=HOOK_SECRET + "x"), 403, 0),
        (signed(secret=""), 403, 0),
        (signed(secret=None), 403, 0),
        (signed(secret="ключ"), 403, 0),
        (signed(secret={"a": 1}), 403, 0),
        (json.dumps(message(text="а")).encode(), 403, 0),
        (signed(group_id=1), 403, 0),
        (signed(group_id=str(GROUP)), 403, 0),
        (json.dumps(CONFIRMATION | {"group_id": 1}).encode(), 403, 0),
        (json.dumps(CONFIRMATION | {"secret": "guessed"}).encode(), 403, 0),
        (signed()[:-1], 400, 0),
        (b"[" * 100_000, 400, 0),
        (b"[]", 400, 0),
        (b"", 400, 0),
        (signed(pad="a" * MAX_HOOK_BYTES), 413, 0),
    ],
    ids=[
        "right", "uninteresting", "wrong", "longer", "empty", "null", "odd", "no text", "none",
        "another group", "group as text", "confirmation of another group", "forged confirmation",
        "cut short", "deep", "a list", "nothing", "too large",
    ],
)  # fmt: skip
async def test_callback_answers(hooked: VkChannel, vk: VkEmulator, body: bytes, status: int, kept: int):
    house = House()
    async with house.runs(harness_of(hooked, vk, "callback")):
        assert vk.hook is not None
        got, text = await posts(vk.hook.url, body)
    assert got == status
    assert text == ("ok" if status == 200 else "")
    assert len(house.received) == kept


async def test_refused_posts_are_counted(hooked: VkChannel):
    house, refused = House(), []
    doors = Doors(house.accept, House.now, public_url=free_address(), refused=refused.append)
    async with serving(hooked, doors):
        for body in (signed(secret="guessed"), b"{", signed(pad="a" * MAX_HOOK_BYTES)):
            await posts(doors.public_url + HOOK_PATH, body)
    assert refused == ["secret", "malformed", "size"]


async def test_callback_acknowledges_after_the_commit_and_takes_repeats(hooked: VkChannel, vk: VkEmulator):
    house = House()
    async with house.runs(harness_of(hooked, vk, "callback")):
        assert vk.hook is not None
        house.refuses(1)
        assert (await posts(vk.hook.url, signed()))[0] == 503
        assert house.received == []
        headers = {"X-Retry-Counter": "1"}
        assert await posts(vk.hook.url, signed(), **headers) == (200, "ok")
        assert await posts(vk.hook.url, signed(), **headers) == (200, "ok")
    assert (len(house.received), house.repeated) == (1, 1)


async def test_channel_registers_its_address(hooked: VkChannel, vk: VkEmulator, chat: Chat):
    house = House()
    async with house.runs(harness_of(hooked, vk, "callback")):
        (server,) = vk.servers.values()
        assert server.url.endswith(HOOK_PATH)
        assert (server.secret_key, server.status, server.events) == (HOOK_SECRET, "ok", set(EVENTS))
        assert (await hooked.health()).reachable
        await chat.says("я здесь")
        await house.receives(1)
    server.status = "failed"
    async with house.runs(harness_of(hooked, vk, "callback")):
        assert len(vk.servers) == 1
        assert server.status == "ok"


async def test_health_knows_the_path_of_the_address_before_it_runs(vk: VkEmulator, shelf: Shelf):
    async with channel_of(vk, shelf, "callback") as channel:
        fresh = await channel.health()
        assert fresh.reachable
        assert "no callback server <server.public_url>/hooks/vk" in fresh.detail
        async with channel_of(vk, shelf, "callback") as another, running(another):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while vk.hook is None:
                    await asyncio.sleep(0.01)
            assert (await channel.health()).reachable


async def test_address_entered_by_hand_is_left_alone(vk: VkEmulator, shelf: Shelf):
    async with (
        channel_of(vk, shelf, "callback", confirmation=vk.site_code) as channel,
        running(channel) as doors,
    ):
        url = doors.public_url + HOOK_PATH
        assert await posts(url, json.dumps(CONFIRMATION).encode()) == (200, vk.site_code)
        sick = await channel.health()
    assert vk.servers == {}
    assert not sick.reachable
    assert url in sick.detail


async def test_confirmation_is_not_asked_for_each_stranger(hooked: VkChannel, vk: VkEmulator):
    house = House()
    async with house.runs(harness_of(hooked, vk, "callback")):
        assert vk.hook is not None
        for _ in range(5):
            status, code = await posts(vk.hook.url, json.dumps(CONFIRMATION).encode())
            assert (status, code) == (200, vk._code)
    asked = [each for each in vk.requests if each.method == "groups.getCallbackConfirmationCode"]
    assert len(asked) == 1


async def test_key_without_rights_is_told(shelf: Shelf, capsys: pytest.CaptureFixture[str]):
    async with (
        VkEmulator(manages=False) as vk,
        channel_of(vk, shelf, "callback") as channel,
        running(channel),
    ):
        await told(capsys, "the key lacks a right")
        sick = await channel.health()
    assert not sick.reachable
    assert "the key lacks a right" in sick.detail


async def test_callback_needs_an_address(hooked: VkChannel):
    with pytest.raises(Misconfigured, match="public_url"):
        await hooked.receive(Doors(House().accept, House.now))


def test_long_poll_has_no_routes(channel: VkChannel):
    assert list(channel.routes(None)) == []  # type: ignore[arg-type]


async def test_health_names_the_community_and_its_link(channel: VkChannel, vk: VkEmulator):
    fresh = await channel.health()
    assert (fresh.reachable, "Long Poll is off" in fresh.detail) == (True, True)
    async with House().runs(harness_of(channel, vk)):
        well = await channel.health()
        assert (well.reachable, well.detail) == (True, "Баланс Актив")
        assert well.link == f"https://vk.me/club{GROUP}?ref={{code}}"
        vk.long_poll["events"]["message_event"] = 0  # type: ignore[index]
        deaf = await channel.health()
        assert (deaf.reachable, "tick message_event" in deaf.detail) == (False, True)
    vk.fail_next("groups.getById", code=5, message=f"User authorization failed {vk.token}")
    revoked = await channel.health()
    assert "does not know this key" in revoked.detail
    assert vk.token not in revoked.detail


# ---------------------------------------------------------------------- sending


async def test_message_is_sent_as_it_is(channel: VkChannel, vk: VkEmulator, chat: Chat):
    outcome = await channel.send(Parcel("k", str(PERSON), "https://example.org _так_", ROWS))
    shown = await chat.answer()
    assert outcome == Sent(str(shown.message_id))
    sent = vk.requests[-1].params
    assert json.loads(sent["keyboard"]) == {
        "inline": True,
        "buttons": [
            [
                {
                    "action": {
                        "type": "callback",
                        "label": "Согласен",
                        "payload": '{"p": "form:consent:yes:1"}',
                    }
                }
            ]
        ],
    }
    assert {name: sent[name] for name in sent if name not in ("keyboard", "v")} == {
        "peer_id": str(PERSON),
        "random_id": str(random_id("k/0")),
        "message": "https://example.org _так_",
        "dont_parse_links": "1",
        "disable_mentions": "1",
    }


@given(st.text(max_size=80))
def test_random_id_is_stable_and_never_none(key: str):
    assert random_id(key) == random_id(key)
    assert 0 < random_id(key) < 2**31


def buttons(count: int, width: int = 1) -> tuple[tuple[ShownButton, ...], ...]:
    made = [ShownButton(f"Кнопка {number}", f"form:kind:{number}:1") for number in range(count)]
    return tuple(tuple(made[start : start + width]) for start in range(0, count, width))


@pytest.mark.parametrize(
    ("rows", "inline", "widths"),
    [
        (buttons(1), True, [1]),
        (buttons(6), True, [1] * 6),
        (buttons(7), True, [2, 2, 2, 1]),
        (buttons(10, 5), True, [5, 5]),
        (buttons(10), True, [2] * 5),
        (buttons(11), False, [2] * 5 + [1]),
        (buttons(12, 2), False, [2] * 6),
        (buttons(40), False, [4] * 10),
        (buttons(40, 5), False, [5] * 8),
    ],
    ids=["1", "6 rows", "7 rows", "2 full rows", "10 rows", "11", "12", "40", "8 rows"],
)  # fmt: skip
async def test_buttons_fit(
    *,
    channel: VkChannel,
    vk: VkEmulator,
    chat: Chat,
    rows: tuple[tuple[ShownButton, ...], ...],
    inline: bool,
    widths: list[int],
):
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "Выберите", rows)), Sent)
    shown = await chat.answer()
    assert shown.inline is inline
    assert [len(row) for row in shown.keyboard] == widths
    assert len(shown.buttons) == sum(map(len, rows))


@pytest.mark.parametrize(
    ("app", "inline", "kind", "text"),
    [
        ({}, True, "callback", "Выберите"),
        ({"button_actions": ["text", "location"]}, True, "text", "Выберите"),
        ({"inline_keyboard": False}, False, "text", "Выберите"),
        (
            {"inline_keyboard": False, "keyboard": False},
            False,
            None,
            "Выберите\n\n1. Кнопка 0\n2. Кнопка 1\n3. Кнопка 2",
        ),
    ],
    ids=["everything", "no callback", "no inline", "no buttons"],
)
async def test_an_app_gets_what_it_can_show(
    *, channel: VkChannel, vk: VkEmulator, chat: Chat, app: dict[str, Any], inline: bool, kind: str, text: str
):
    chat.client_info |= app
    house = House()
    async with house.runs(harness_of(channel, vk)):
        await chat.says("здравствуйте")
        await house.receives(1)
        await channel.send(Parcel("k", str(PERSON), "Выберите", buttons(3)))
        shown = await chat.answer()
        assert (shown.text, shown.inline) == (text, inline)
        assert {button["action"]["type"] for row in shown.keyboard for button in row} == ({kind} - {None})
        # Another app of the same person.
        chat.client_info |= {
            "button_actions": ["text", "callback"], "inline_keyboard": True, "keyboard": True,
        }  # fmt: skip
        await chat.says("а теперь с телефона")
        await house.receives(2)
        await channel.send(Parcel("k2", str(PERSON), "Выберите", buttons(3)))
        assert (await chat.answer()).inline


async def test_buttons_of_a_community_without_bot_features_are_switched_on(
    channel: VkChannel, vk: VkEmulator, chat: Chat
):
    vk.has_bot_features = False
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "Выберите", buttons(2))), Sent)
    assert [(each.text, each.buttons) for each in chat.messages] == [("Выберите", ["Кнопка 0", "Кнопка 1"])]


@pytest.mark.parametrize("code", [911, 912])
async def test_refused_buttons_come_as_a_menu(channel: VkChannel, vk: VkEmulator, chat: Chat, code: int):
    async with running(channel):
        while not vk.polls:
            await asyncio.sleep(0.01)
        vk.fail_next("messages.send", code=code, times=1 if code == 911 else 2)
        assert isinstance(await channel.send(Parcel("k", str(PERSON), "Выберите", buttons(2))), Sent)
        (shown,) = chat.messages
        assert (shown.text, shown.buttons) == ("Выберите\n\n1. Кнопка 0\n2. Кнопка 1", [])
        assert "VK shows no buttons" in (await channel.health()).detail
        assert isinstance(await channel.send(Parcel("k2", str(PERSON), "Выберите", buttons(2))), Sent)
        assert "VK shows no buttons" not in (await channel.health()).detail


async def test_every_button_comes_back(channel: VkChannel, vk: VkEmulator, chat: Chat):
    house = House()
    async with house.runs(harness_of(channel, vk)):
        for count in (3, 12):
            await channel.send(Parcel(f"k{count}", str(PERSON), "Выберите", buttons(count)))
            await chat.presses("Кнопка 2")
        inline, keyboard = await house.receives(2)
        await channel.acknowledge_button(inline)
        await channel.acknowledge_button(keyboard)
        await channel.acknowledge_button(inline)
    assert [inline.button, keyboard.button] == ["form:kind:2:1"] * 2
    assert keyboard.acknowledge is None
    assert len(vk.answered_presses) == 1


@pytest.mark.parametrize(
    ("count", "text", "messages"),
    [
        (1, "Готово.", [("Готово.", 1, ["Согласен"])]),
        (2, "", [("", 2, ["Согласен"])]),
        (10, "а" * 4096, [("а" * 4096, 10, ["Согласен"])]),
        (12, "Все.", [("Все.", 10, ["Согласен"]), ("", 2, [])]),
    ],
)
async def test_files_are_sent_in_few_messages(
    *,
    channel: VkChannel,
    chat: Chat,
    shelf: Shelf,
    count: int,
    text: str,
    messages: list[tuple[str, int, list[str]]],
):
    files = tuple(shelf.add(f"Файл «{number}».pdf", b"%PDF" + bytes([number])) for number in range(count))
    outcome = await channel.send(Parcel("k", str(PERSON), text, ROWS, files))
    assert [(each.text, len(each.files), each.buttons) for each in chat.messages] == messages
    assert [file for each in chat.messages for file in each.files] == [
        (f"Файл «{number}».pdf", b"%PDF" + bytes([number])) for number in range(count)
    ]
    assert outcome == Sent(str(chat.messages[-1].message_id))


@pytest.mark.parametrize("name", ["Договор", 'a"; name="x"\r\nX: \\1.pdf', "счёт.п\rdf", "." * 60], ids=repr)
async def test_file_name_cannot_break_out(channel: VkChannel, chat: Chat, shelf: Shelf, name: str):
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "", (), (shelf.add(name, b"%PDF"),))), Sent)
    assert chat.messages[0].files == [(name, b"%PDF")]


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\0\0\0"


async def test_pictures_are_shown_as_pictures(channel: VkChannel, vk: VkEmulator, chat: Chat, shelf: Shelf):
    files = (
        replace(shelf.add("скан.png", png(600, 800)), media_type="image/png"),
        replace(shelf.add("фото.jpg", b"\xff\xd8\xff\xe0"), media_type="image/jpeg"),
        replace(shelf.add("плакат.png", png(9000, 9000)), media_type="image/png"),
        shelf.add("акт.pdf", b"%PDF"),
    )
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "Вот.", (), files)), Sent)
    (shown,) = chat.messages
    assert [content for _, content in shown.files] == [
        png(600, 800), b"\xff\xd8\xff\xe0", png(9000, 9000), b"%PDF",
    ]  # fmt: skip
    names = vk.requests[-1].params["attachment"].split(",")
    assert [re.match("[a-z]+", name)[0] for name in names] == ["photo", "photo", "doc", "doc"]


async def test_a_picture_goes_as_a_document_without_the_right_to_photos(
    channel: VkChannel, vk: VkEmulator, chat: Chat, shelf: Shelf
):
    file = replace(shelf.add("скан.png", png(600, 800)), media_type="image/png")
    vk.fail_next("photos.getMessagesUploadServer", code=15)
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "", (), (file,))), Sent)
    assert chat.messages[0].files == [("скан.png", png(600, 800))]


@pytest.mark.parametrize("method", ["upload", "photos.saveMessagesPhoto"])
async def test_a_picture_that_did_not_get_through_comes_again(
    channel: VkChannel, vk: VkEmulator, chat: Chat, shelf: Shelf, method: str
):
    file = replace(shelf.add("скан.png", png(600, 800)), media_type="image/png")
    parcel = Parcel("k", str(PERSON), "", (), (file,))
    vk.fail_next(method, drops=True)
    assert isinstance(await channel.send(parcel), Retry)
    assert chat.messages == []
    assert isinstance(await channel.send(parcel), Sent)


async def test_large_file_is_streamed_whole(channel: VkChannel, chat: Chat, shelf: Shelf):
    content = bytes(range(256)) * 20_000
    file = shelf.add("a.zip", content)
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "", (), (file,))), Sent)
    assert chat.messages[0].files == [("a.zip", content)]


@pytest.mark.parametrize(
    ("name", "spoilt", "outcome"),
    [
        ("игра.exe", {}, Rejected),
        ("a.pdf", {"method": "upload", "status": 502}, Retry),
        ("a.pdf", {"method": "upload", "body": b"<html>"}, Retry),
        ("a.pdf", {"method": "upload", "drops": True}, Retry),
        ("a.pdf", {"method": "docs.save", "code": 105}, Retry),
        ("a.pdf", {"method": "docs.save", "body": b'{"response":{}}'}, Retry),
        ("a.pdf", {"method": "docs.getMessagesUploadServer", "code": 901}, Blocked),
        (
            "a.pdf",
            {
                "method": "docs.getMessagesUploadServer",
                "body": b'{"response":{"upload_url":"https://example.org/"}}',
            },
            Retry,
        ),
    ],
)
async def test_upload_that_fails_sends_nothing(
    *,
    channel: VkChannel,
    vk: VkEmulator,
    chat: Chat,
    shelf: Shelf,
    name: str,
    spoilt: dict[str, Any],
    outcome: type,
):
    if spoilt:
        vk.fail_next(**spoilt)
    parcel = Parcel("k", str(PERSON), "Вот.", (), (shelf.add(name, b"%PDF"),))
    got = await channel.send(parcel)
    assert isinstance(got, outcome)
    assert chat.messages == []
    vk.forgive()
    if isinstance(got, Retry):
        assert not got.whole_channel
        assert isinstance(await channel.send(parcel), Sent)


async def test_lost_stored_file_rejects(channel: VkChannel, shelf: Shelf, chat: Chat):
    file = replace(shelf.add("a.pdf", b"1"), sha256="0" * 64)
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "", (), (file,))), Rejected)


async def test_what_was_sent_is_not_sent_twice(channel: VkChannel, vk: VkEmulator, chat: Chat, shelf: Shelf):
    files = tuple(shelf.add(f"{number}.pdf", bytes([number + 1])) for number in range(11))
    parcel = Parcel("k", str(PERSON), "Вот акты.", (), files)
    vk.fail_next("messages.send", drops=True, after_effect=True)
    assert isinstance(await channel.send(parcel), Unknown)
    vk.fail_next("docs.getMessagesUploadServer", code=6)
    assert isinstance(await channel.send(parcel), Retry)
    assert isinstance(await channel.send(parcel), Sent)
    assert [len(each.files) for each in chat.messages] == [10, 1]


REFUSALS = [
    (1, Retry(None, "1: why", whole_channel=True)),
    (5, TokenRevoked("5: why")),
    (6, Retry(1, "6: why", whole_channel=True)),
    (7, Retry(300, "7: why")),
    (9, Retry(60, "9: why")),
    (10, Retry(None, "10: why", whole_channel=True)),
    (14, Retry(300, "14: why", whole_channel=True)),
    (15, Retry(300, "15: why")),
    (17, TokenRevoked("17: why")),
    (18, Blocked("18: why")),
    (27, TokenRevoked("27: why")),
    (29, Retry(60, "29: why", whole_channel=True)),
    (100, Rejected("100: why")),
    (113, Blocked("113: why")),
    (900, Blocked("900: why")),
    (901, Blocked("901: why")),
    (902, Blocked("902: why")),
    (911, Rejected("911: why")),
    (914, Rejected("914: why")),
    (936, Blocked("936: why")),
    (950, WindowClosed("950: why")),
    (31337, Rejected("31337: why")),
]


@pytest.mark.parametrize(
    ("code", "outcome"), REFUSALS, ids=lambda value: str(value) if type(value) is int else ""
)
async def test_refusal_is_understood(
    channel: VkChannel, vk: VkEmulator, chat: Chat, code: int, outcome: object
):  # fmt: skip
    vk.fail_next("messages.send", code=code, message="why")
    assert await channel.send(Parcel("k", str(PERSON), "Вы здесь?")) == outcome
    # The library would have slept and repeated by itself.
    assert len(vk.requests) == 1
    vk.fail_next("messages.send", code=code, message=f"why {vk.token}")
    assert vk.token not in repr(await channel.send(Parcel("k", str(PERSON), "Вы здесь?")))


@pytest.mark.parametrize(
    ("spoilt", "outcome", "arrives"),
    [
        ({"hangs": True}, Unknown, False),
        ({"hangs": True, "after_effect": True}, Unknown, True),
        ({"drops": True}, Unknown, False),
        ({"body": b'{"respon', "after_effect": True}, Unknown, True),
        ({"body": b"{}"}, Unknown, False),
        ({"body": b'{"error":"no"}'}, Unknown, False),
        ({"body": b'{"error":{"error_msg":"no code"}}'}, Unknown, False),
        ({"body": b'{"response":[]}', "after_effect": True}, Sent, True),
        ({"status": 502}, Retry, False),
        ({"status": 302, "headers": {"Location": "https://example.org/"}}, Retry, False),
        ({"status": 429}, Retry, False),
    ],
)
async def test_repeating_after_a_fault_shows_a_message_once(
    *, channel: VkChannel, hasty: VkChannel, vk: VkEmulator, chat: Chat, spoilt: dict[str, Any],
    outcome: type, arrives: bool,
):  # fmt: skip
    vk.fail_next("messages.send", **spoilt)
    parcel = Parcel("k", str(PERSON), "Вы здесь?")
    assert isinstance(await (hasty if "hangs" in spoilt else channel).send(parcel), outcome)
    assert len(chat.messages) == arrives
    assert isinstance(await channel.send(parcel), Sent)
    assert len(chat.messages) == 1


async def test_nothing_to_send_is_rejected(channel: VkChannel):
    assert isinstance(await channel.send(Parcel("k", str(PERSON), "", ROWS)), Rejected)


async def test_calls_do_not_wait_for_one_another(channel: VkChannel, vk: VkEmulator, chat: Chat):
    vk.fail_next("messages.send", times=20, hangs=True)
    parcels = [Parcel(f"k{number}", str(PERSON), "а") for number in range(20)]

    async def send_all() -> None:
        await asyncio.gather(*(channel.send(parcel) for parcel in parcels))

    await cancelled_when(lambda: vk.highest_in_flight == 20, send_all())


async def test_rate_is_refused_and_not_waited_for(shelf: Shelf):
    async with VkEmulator(requests_per_second=3) as vk, channel_of(vk, shelf) as channel:
        vk.chat(PERSON)
        outcomes = [await channel.send(Parcel(f"k{n}", str(PERSON), "а")) for n in range(4)]
    assert [type(outcome) for outcome in outcomes] == [Sent, Sent, Sent, Retry]


@pytest.mark.parametrize("said", ["9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_silence_ends(channel: VkChannel, vk: VkEmulator, chat: Chat, said: str):
    vk.fail_next("messages.send", status=429, headers={"Retry-After": said})
    outcome = await channel.send(Parcel("k", str(PERSON), "а"))
    assert isinstance(outcome, Retry)
    assert outcome.after_seconds == LONGEST_SILENCE_SECONDS


async def test_cancelled_call_ends_its_request(channel: VkChannel, vk: VkEmulator, chat: Chat):
    vk.fail_next("messages.send", hangs=True)
    call = channel.send(Parcel("k", str(PERSON), "а"))
    await cancelled_when(lambda: not vk._misbehaviours, call)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while vk._in_flight:
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------------- where requests go


@asynccontextmanager
async def http_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that notes through it whom it was asked to reach, and leads everybody there."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        address = head.split()[1]
        asked.append(address)
        host, _, port = address.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", asked
    finally:
        server.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_everything_goes_through_the_proxy(vk: VkEmulator, shelf: Shelf, chat: Chat):
    house = House()
    async with (
        http_proxy() as (proxy, asked),
        channel_of(vk, shelf, proxy=proxy) as channel,
        house.runs(harness_of(channel, vk)),
    ):
        await chat.sends_file("счёт.pdf", b"%PDF")
        (inbound,) = await house.receives(1)
        assert b"".join([chunk async for chunk in channel.open_file(inbound.files[0])]) == b"%PDF"
        file = shelf.add("a.pdf", b"1")
        assert isinstance(await channel.send(Parcel("k", str(PERSON), "Вот.", (), (file,))), Sent)
        assert (await channel.health()).reachable
    assert set(asked) == {vk.base_url.removeprefix("http://")}


async def test_unreachable_proxy_sends_nothing_directly(vk: VkEmulator, shelf: Shelf, chat: Chat):
    async with channel_of(vk, shelf, proxy=free_address()) as channel:
        outcome = await channel.send(Parcel("k", str(PERSON), "а"))
    assert isinstance(outcome, Retry)
    assert outcome.whole_channel
    assert list(vk.requests) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/doc1",
        "http://169.254.169.254/latest",
        "ftp://vk.com/doc1",
        "vk.com",
        "file:///etc",
    ],
)
async def test_files_come_from_vk_only(vk: VkEmulator, shelf: Shelf, url: str):
    async with channel_of(vk, shelf) as channel:
        with pytest.raises(FileUnavailable):
            [chunk async for chunk in channel.open_file(IncomingFile(url, "а"))]


async def test_redirect_to_a_stranger_is_not_followed(vk: VkEmulator, channel: VkChannel, chat: Chat):
    vk.fail_next("file", status=302, headers={"Location": "https://example.org/"})
    url = vk.hold("a.pdf", b"%PDF")
    with pytest.raises(FileUnavailable):
        [chunk async for chunk in channel.open_file(IncomingFile(url, "а"))]


async def test_mirror_may_lie_under_a_path(vk: VkEmulator, shelf: Shelf, chat: Chat):
    async def forwarded(request: web.Request) -> web.Response:
        url = vk.base_url + request.path.removeprefix("/mirror")
        async with aiohttp.ClientSession() as session, session.post(url, data=await request.post()) as answer:
            return web.Response(body=await answer.read(), content_type="application/json")

    app = web.Application()
    app.router.add_post("/mirror/method/{name}", forwarded)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/mirror/"
    async with channel_of(vk, shelf, api_base_url=base_url) as channel:
        assert isinstance(await channel.send(Parcel("k", str(PERSON), "а")), Sent)
    await runner.cleanup()


def test_default_hosts_are_those_of_vk():
    settings = Settings(token=SecretStr(TOKEN), group_id=1)
    assert settings.api_base_url == "https://api.vk.ru"
    assert {"vk.com", "vk.ru", "userapi.com", "vkuserphoto.ru", "mycdn.me", "okcdn.ru"} <= set(
        settings.media_hosts
    )


# ---------------------------------------------------------------------- the emulator


async def called(vk: VkEmulator, method: str, **params: object) -> tuple[int, Any]:
    form = {"access_token": vk.token, "v": "5.199", **params}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{vk.base_url}/method/{method}", data=form) as response,
    ):
        answer = await response.json()
    return answer.get("error", {}).get("error_code", 0), answer.get("response")


def keyboard(*rows: list[dict[str, object]], **more: object) -> str:
    return json.dumps({"inline": True, "buttons": rows} | more)


def key(label: str = "a", payload: object = '{"p":"a"}', **more: object) -> dict[str, object]:
    return {"action": {"type": "callback", "label": label, "payload": payload}} | more


SENDING = {"peer_id": PERSON, "random_id": 5}


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("messages.sendAll", {}, 3),
        ("messages.send", {"message": "a", "random_id": 5, "peer_id": 7}, 901),
        ("messages.send", {"message": "a", "random_id": 5, "peer_id": 8}, 100),
        ("messages.send", {"message": "a", "peer_id": PERSON}, 100),
        ("messages.send", {**SENDING}, 100),
        ("messages.send", {**SENDING, "message": "а" * 4097}, 914),
        ("messages.send", {**SENDING, "attachment": "doc1_1"}, 100),
        ("messages.send", {**SENDING, "message": "a", "keyboard": "{"}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard([key()] * 6)}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard(*[[key()]] * 7)}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard(*[[key()] * 5] * 3)}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard([key("a" * 41)])}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard([key(payload=None)])}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard([key(payload={"p": 1})])}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard([key(payload="null")])}, 911),
        ("messages.send", {**SENDING, "message": "a", "keyboard": keyboard([key()], one_time=True)}, 911),
        ("messages.sendMessageEventAnswer", {"event_id": "x", "user_id": PERSON, "peer_id": PERSON}, 100),
        ("groups.getLongPollServer", {"group_id": GROUP}, 100),
        ("groups.getLongPollServer", {"group_id": 1}, 100),
        ("groups.addCallbackServer", {"group_id": GROUP, "url": "https://a", "title": "a" * 15}, 100),
        ("docs.save", {"file": "nothing"}, 105),
    ],
)
async def test_emulator_refuses(vk: VkEmulator, method: str, params: dict[str, object], code: int):
    vk.chat(PERSON)
    vk.chat(7, started=False)
    assert (await called(vk, method, **params))[0] == code
    assert vk.chat(PERSON).messages == []
    assert (await called(vk, method, **params, access_token="другой"))[0] == 5
    vk.violations.clear()


async def test_emulator_notes_what_vk_would_let_pass():
    async with VkEmulator() as vk:
        vk.chat(PERSON)
        await called(vk, "messages.send", peer_id=PERSON, random_id=0, message="a", v="5.92", colour="red")
        async with aiohttp.ClientSession() as session:
            await session.get(f"{vk.base_url}/bot")
    assert set(vk.violations) >= {
        "messages.send: not version 5.199",
        "messages.send: unknown parameter colour",
        "messages.send: random_id 0",
        "GET /bot: there is nothing here",
    }


async def test_unmodified_vk_api_understands_the_emulator(vk: VkEmulator, chat: Chat):
    """The library is a witness that the emulator speaks the API and not only our idea of it."""
    await called(vk, "groups.setLongPollSettings", group_id=GROUP, enabled=1, message_new=1, message_event=1)
    witness = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.channels.witness_vk", vk.base_url, vk.token, str(GROUP),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert witness.stdout is not None
    assert await witness.stdout.readline() == b"sent\n"
    await chat.says("Добрый день")
    await chat.presses("Да")
    await witness.communicate(b"go\n")
    assert witness.returncode == 0
    assert chat.messages[1].files == [("Акт.pdf", b"%PDF")]
    assert len(vk.answered_presses) == 1
