"""What only MAX does: its updates, its webhooks and polls, its refusals; and that the emulator is strict."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator
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
from yarl import URL

from bots.base import Doors, FileRefused, FileUnavailable, Misconfigured
from bots.max import (
    HOOK_PATH,
    MAX_HOOK_BYTES,
    MAX_HOSTS,
    POLL_SPACING_SECONDS,
    SECRET_HEADER,
    MaxChannel,
    Settings,
    ministry_trust,
    parse,
)
from bots.rendering import fit
from bots.wire import LONGEST_SILENCE_SECONDS, UNREADABLE, UNREADABLE_MESSAGE
from forms.messages import Contact, FileRole, Inbound, InboundKind, IncomingFile
from notifications.outbox import (
    Blocked,
    Parcel,
    Rejected,
    Retry,
    Sent,
    ShownButton,
    TokenRevoked,
    Unknown,
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
from tests.channels.max import HOOK_SECRET, QUICK, USER_ID, MaxHarness, Mode, lent_by, settings_for
from tests.channels.tunnel import Tunnel
from tests.emulators.listening import PATIENCE_SECONDS
from tests.emulators.max import BOT, MaxEmulator, Person, RateLimits

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SENT_AT = datetime(2026, 11, 23, 8, 59, 30, 250_000, tzinfo=UTC)
STAMP = int(SENT_AT.timestamp() * 1000)
MID = "mid.000000000adf429c019d47d500000001"
OLGA = {"user_id": USER_ID, "first_name": "Ольга", "last_name": "Смирнова", "is_bot": False, "name": ""}
ROWS = ((ShownButton("Согласен", "form:consent:yes:1"),),)


def update(kind: str, **fields: object) -> dict[str, Any]:
    return {"update_type": kind, "timestamp": STAMP, **fields}


def message(body: object, **more: object) -> dict[str, Any]:
    recipient = {"chat_id": 582, "chat_type": "dialog", "user_id": BOT["user_id"]}
    said = {"mid": MID, "seq": 1, **body} if isinstance(body, dict) else body
    content = {"recipient": recipient, "timestamp": STAMP, "body": said, "sender": OLGA, **more}
    return update("message_created", message=content, user_locale="ru")


def attached(*attachments: object, text: str | None = "") -> dict[str, object]:
    return {"text": text, "attachments": list(attachments)}


def media(kind: str, **more: object) -> dict[str, object]:
    return {"type": kind, "payload": {"url": f"https://i.oneme.ru/{kind}", "token": f"t-{kind}"}, **more}


def card(*lines: str, **more: object) -> dict[str, object]:
    vcard = "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""])
    return {"type": "contact", "payload": {"vcf_info": vcard, "hash": "ab", **more}}


def read(raw: object) -> Inbound:
    return parse(json.loads(json.dumps(raw)), NOW)


# ---------------------------------------------------------------------- updates

PHOTO = IncomingFile("https://i.oneme.ru/image", "Фото.jpg", role=FileRole.PHOTO)
VIDEO = IncomingFile("video:t-video", "Видео.mp4", role=FileRole.VIDEO)
VOICE = IncomingFile("https://i.oneme.ru/audio", "Голосовое сообщение.mp3", role=FileRole.VOICE)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"text": "Добрый день"}, {"kind": InboundKind.TEXT, "text": "Добрый день"}),
        ({"text": "a\0b", "attachments": None}, {"text": "ab"}),
        ({"text": "/start"}, {"kind": InboundKind.STARTED, "start_code": None}),
        ({"text": "/start X7_a-9 "}, {"kind": InboundKind.STARTED, "start_code": "X7_a-9"}),
        ({"text": "/started"}, {"kind": InboundKind.TEXT, "start_code": None}),
        (
            attached(media("file", filename="счёт.pdf", size=9), text=None),
            {
                "kind": InboundKind.FILE,
                "text": "",
                "files": (IncomingFile("https://i.oneme.ru/file", "счёт.pdf", 9),),
            },
        ),
        (
            attached(media("image"), media("image"), media("video"), text="чеки"),
            {"kind": InboundKind.FILE, "text": "чеки", "files": (PHOTO, PHOTO, VIDEO)},
        ),
        (attached(media("audio", transcription="алло")), {"kind": InboundKind.FILE, "files": (VOICE,)}),
        (
            attached({"type": "video", "payload": {"url": "https://i.oneme.ru/v.mp4"}}),
            {"files": (replace(VIDEO, reference="https://i.oneme.ru/v.mp4"),)},
        ),
        (
            attached(card("TEL;TYPE=cell:79161234567", "FN:Ольга Смирнова")),
            {
                "kind": InboundKind.CONTACT,
                "contact": Contact("79161234567", "Ольга Смирнова", verified=False),
            },
        ),
        (
            attached(card("item1.TEL:tel:+7 916 123-45-67", max_info=OLGA)),
            {"contact": Contact("+7 916 123-45-67", "Ольга Смирнова")},
        ),
        (
            attached(card("TEL:79161234567"), {"type": "sticker"}, text="звоните"),
            {"kind": InboundKind.CONTACT, "text": "звоните\n\n[наклейка]", "contact": Contact("79161234567")},
        ),
        (
            attached({"type": "contact", "payload": {"vcf_info": None, "max_info": OLGA}}),
            {"kind": InboundKind.OTHER, "text": "контакт без номера телефона"},
        ),
        (
            attached({"type": "sticker", "payload": {"code": "1", "url": "https://a"}}),
            {"kind": InboundKind.OTHER, "text": "наклейка"},
        ),
        (
            attached({"type": "location", "latitude": 55.75, "longitude": 37.61}),
            {"kind": InboundKind.OTHER, "text": "геопозиция 55.75, 37.61"},
        ),
        (
            attached({"type": "share", "payload": {"url": "https://a.b"}, "title": "Акт"}),
            {"kind": InboundKind.TEXT, "text": "Акт\nhttps://a.b"},
        ),
        (
            attached({"type": "share", "payload": {"url": "https://a.b"}}, text="см. https://a.b"),
            {"kind": InboundKind.TEXT, "text": "см. https://a.b"},
        ),
        (
            attached({"type": "share", "payload": {}}),
            {"kind": InboundKind.OTHER, "text": "пустая ссылка"},
        ),
        (
            attached({"type": "hologram"}),
            {"kind": InboundKind.OTHER, "text": "вложение незнакомого вида"},
        ),
        ({"text": ""}, {"kind": InboundKind.OTHER, "text": "сообщение незнакомого вида"}),
        (attached({"type": "file", "payload": {}}), {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (attached({"type": "location", "latitude": None}), {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (attached("file"), {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (
            attached({"type": "contact", "payload": None}, text="вот мой номер"),
            {"kind": InboundKind.TEXT, "text": f"вот мой номер\n\n[{UNREADABLE}]"},
        ),
        (
            attached({"type": "image", "payload": {"token": "t"}}, media("image"), text="чеки"),
            {"kind": InboundKind.FILE, "text": f"чеки\n\n[{UNREADABLE}]", "files": (PHOTO,)},
        ),
        (
            attached({"type": ["image"]}, {"type": "location", "latitude": 1, "longitude": 2}, text="мы тут"),
            {"kind": InboundKind.TEXT, "text": f"мы тут\n\n[{UNREADABLE}, геопозиция 1, 2]"},
        ),
        (
            attached({"type": "share", "payload": None}, text="см. https://a.b"),
            {"kind": InboundKind.TEXT, "text": "см. https://a.b"},
        ),
        (
            attached({"type": "sticker"}, text="/start X7"),
            {"kind": InboundKind.STARTED, "start_code": "X7"},
        ),
    ],
    ids=str,
)
def test_message_is_read(body: dict[str, object], expected: dict[str, object]):
    inbound = read(message(body))
    assert {name: getattr(inbound, name) for name in expected} == expected
    assert inbound.event_key == f"created:{MID}"
    if inbound.kind is not InboundKind.IGNORED:
        keys = (inbound.user_key, inbound.chat_key, inbound.message_key)
        assert keys == (str(USER_ID), str(USER_ID), MID)
        assert (inbound.sent_at, inbound.user_name) == (SENT_AT, "Ольга Смирнова")


FORWARDED = {"type": "forward", "chat_id": 9, "message": {"mid": "mid.old", "seq": 1, "text": "вот акт"}}


@pytest.mark.parametrize(
    ("body", "link", "text", "taken", "message_key"),
    [
        ({"text": ""}, FORWARDED, "вот акт", (), MID),
        (None, FORWARDED, "вот акт", (), None),
        ({"text": "смотрите"}, FORWARDED, "смотрите\nвот акт", (), MID),
        (
            {"text": ""},
            FORWARDED | {"message": {"mid": "mid.old", "text": None, "attachments": [media("image")]}},
            "",
            (PHOTO,),
            MID,
        ),
        ({"text": "да"}, FORWARDED | {"type": "reply"}, "да", (), MID),
        ({"text": "да"}, None, "да", (), MID),
    ],
    ids=["forwarded", "no body at all", "with words", "a photo", "a reply", "none"],
)
def test_what_is_passed_on_counts_as_said(
    body: object, link: object, text: str, taken: tuple[IncomingFile, ...], message_key: str | None
):
    inbound = read(message(body, link=link))
    assert (inbound.text, inbound.files, inbound.message_key) == (text, taken, message_key)
    assert inbound.event_key == read(message(body, link=link)).event_key


@pytest.mark.parametrize(
    "raw",
    [
        message({"text": 5}),
        message({"text": "a"}, timestamp=10**30),
        message({"text": "a", "attachments": 5}),
        message({"text": "a"}, link={"type": "forward"}),
        message({"text": "a"}, sender=OLGA | {"name": 5}),
    ],
    ids=["no text", "no time", "no list", "nothing passed on", "no name"],
)
def test_message_that_fits_no_schema_is_still_somebodys(raw: object):
    inbound = read(raw)
    assert (inbound.kind, inbound.text) == (InboundKind.OTHER, UNREADABLE_MESSAGE)
    assert (inbound.user_key, inbound.chat_key, inbound.sent_at) == (str(USER_ID), str(USER_ID), NOW)


def press(**more: object) -> dict[str, Any]:
    callback = {"timestamp": STAMP, "callback_id": "cb", "user": OLGA, "payload": "form:a:b:1"}
    return update("message_callback", callback=callback | more, message=None)


BUTTONS = {"recipient": {"chat_type": "dialog", "user_id": USER_ID}, "body": {"mid": MID, "text": "?"}}


@pytest.mark.parametrize(
    ("raw", "message_key"),
    [(press(), None), (press() | {"message": BUTTONS}, MID), (press() | {"message": {}}, None)],
    ids=["the message is gone", "with it", "an empty one"],
)
def test_press_is_read(raw: dict[str, Any], message_key: str | None):
    inbound = read(raw)
    assert (inbound.kind, inbound.button, inbound.acknowledge) == (InboundKind.BUTTON, "form:a:b:1", "cb")
    assert (inbound.chat_key, inbound.message_key) == (str(USER_ID), message_key)
    assert (inbound.event_key, inbound.sent_at) == (f"callback:cb:{STAMP}", SENT_AT)


DIALOG = {"chat_id": 582, "user": OLGA}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            update("bot_started", **DIALOG, payload="X7"),
            {
                "kind": InboundKind.STARTED,
                "start_code": "X7",
                "event_key": f"bot_started:582:{STAMP}",
            },
        ),
        (update("bot_started", **DIALOG, payload=None), {"kind": InboundKind.STARTED, "start_code": None}),
        (
            update("bot_stopped", **DIALOG),
            {"kind": InboundKind.BLOCKED, "event_key": f"bot_stopped:582:{STAMP}"},
        ),
        (
            update("dialog_removed", **DIALOG),
            {"kind": InboundKind.BLOCKED, "event_key": f"dialog_removed:582:{STAMP}"},
        ),
        (
            update("message_edited", message=message({"text": "стало"}, timestamp=1)["message"]),
            {
                "kind": InboundKind.EDITED,
                "text": "стало",
                "message_key": MID,
                "event_key": f"edited:{MID}:{STAMP}",
            },
        ),
        (
            update("message_removed", message_id=MID, chat_id=582, user_id=USER_ID),
            {"kind": InboundKind.DELETED, "message_key": MID, "event_key": f"removed:{MID}"},
        ),
    ],
    ids=["started", "without a code", "stopped", "removed dialog", "edited", "deleted"],
)
def test_event_is_read(raw: dict[str, Any], expected: dict[str, object]):
    inbound = read(raw)
    assert {name: getattr(inbound, name) for name in expected} == expected
    assert (inbound.chat_key, inbound.sent_at) == (str(USER_ID), SENT_AT)


@pytest.mark.parametrize(
    "raw",
    [
        update("dialog_muted", **DIALOG, muted_until=STAMP),
        update("dialog_cleared", **DIALOG),
        update("bot_added", **DIALOG),
        update("something_new"),
        message({"text": "a"}, recipient={"chat_id": 5, "chat_type": "chat", "user_id": None}),
        message({"text": "a"}, sender=OLGA | {"is_bot": True}),
        message({"text": "a"}, sender=None),
        message({"text": "a"}, sender=OLGA | {"user_id": "7"}),
        press() | {"message": {"recipient": {"chat_type": "chat"}}},
        press(payload=None),
        {},
        {"update_type": ["message_created"]},
        [],
        None,
    ],
    ids=[
        "muted", "cleared", "added", "unknown", "a group", "a bot", "a channel's post", "no id",
        "press in a group", "press of nothing", "empty", "unhashable", "a list", "null",
    ],
)  # fmt: skip
def test_what_is_not_for_us_is_ignored(raw: object):
    inbound = read(raw)
    assert (inbound.kind, inbound.user_key) == (InboundKind.IGNORED, "")
    assert 1 <= len(inbound.event_key) <= 200


def test_event_keys_tell_events_apart_and_repeats_not():
    long = "f" * 500
    raws = [
        update("message_edited", message=message({"text": "a"})["message"]),
        update("message_edited", message=message({"text": "a"})["message"]) | {"timestamp": STAMP + 1},
        press(callback_id=long),
        press(callback_id=long, timestamp=STAMP + 1),
        update("bot_started", **DIALOG),
        update("bot_started", **DIALOG) | {"timestamp": STAMP + 1},
        update("dialog_muted", **DIALOG),
    ]
    keys = [read(raw).event_key for raw in raws]
    assert len(set(keys)) == len(keys)
    assert all(len(key) <= 200 for key in keys)
    assert keys[2].startswith("callback:")
    assert keys == [read(raw).event_key for raw in raws]


def test_bottomless_update_is_survived():
    deep: list[object] = []
    for _ in range(20_000):
        deep = [deep]
    assert parse({"update_type": deep}, NOW).kind is InboundKind.IGNORED


_KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        "update_type message sender recipient chat_type user_id body mid text attachments type payload url "
        "token size filename vcf_info max_info link timestamp callback callback_id user chat_id message_id "
        "is_bot name latitude longitude title",
    )
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["dialog", "forward", "file", "image", "video", "contact", "location", "share"]),
)
_WILD = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)
_TYPES = st.sampled_from(
    ["message_created", "message_edited", "message_removed", "message_callback", "bot_started"]
)


@given(st.dictionaries(_KEYS, _WILD, max_size=5), _TYPES)
def test_no_update_breaks_the_reader(wild: dict[str, Any], kind: str):
    for raw in (wild, wild | {"update_type": kind}):
        inbound = parse(raw, NOW)
        assert inbound.kind in InboundKind
        assert 1 <= len(inbound.event_key) <= 200
        assert inbound.sent_at.tzinfo is not None


@given(_WILD, st.sampled_from(["text", "attachments", "mid", "link", "sender", "recipient", "timestamp"]))
def test_no_message_breaks_the_reader(wild: object, name: str):
    raw = message({"text": "а", name: wild}, **({name: wild} if name not in ("text", "mid") else {}))
    inbound = parse(raw, NOW)
    assert all(type(text) is str for file in inbound.files for text in (file.reference, file.name))
    assert type(inbound.text) is str


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({}, "token"),
        ({"token": "with space", "mode": "polling"}, "token"),
        ({"token": "t"}, "a webhook needs a secret"),
        ({"token": "t", "mode": "carrier pigeon"}, "mode"),
        ({"token": "t", "secret": "abcd"}, "secret"),
        ({"token": "t", "secret": "пять букв"}, "secret"),
        ({"token": "t", "secret": "x" * 257}, "secret"),
        ({"token": "t", "mode": "polling", "api_base_url": "platform-api2.max.ru"}, "api_base_url"),
        ({"token": "t", "mode": "polling", "proxy": "localhost:1080"}, "proxy"),
        ({"token": "t", "mode": "polling", "poll_timeout_seconds": 91}, "poll_timeout_seconds"),
        ({"token": "t", "mode": "polling", "tokken": "t"}, "tokken"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(section: dict[str, object], named: str):
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(section)
    assert named in str(refused.value)
    assert "with space" not in str(refused.value)


def test_import_is_cheap():
    script = "import sys, bots.max; print([n for n in ('aiomax', 'aiohttp') if n in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout.strip() == "[]"


# ---------------------------------------------------------------------- the scene


@pytest.fixture
async def emulator() -> AsyncIterator[MaxEmulator]:
    async with MaxEmulator() as made:
        yield made
        assert made.violations == []


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@asynccontextmanager
async def opened(
    emulator: MaxEmulator,
    shelf: Shelf,
    mode: Mode = "polling",
    *,
    seams: dict[str, Any] | None = None,
    public_url: str = "",
    **settings: object,
) -> AsyncIterator[MaxChannel]:
    quick = {"poll_spacing_seconds": 0.01, "processing_pauses_seconds": (0.05, 0.1)} | (seams or {})
    made = MaxChannel(settings_for(emulator, mode, **settings), lent_by(shelf, public_url), QUICK, **quick)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def channel(emulator: MaxEmulator, shelf: Shelf) -> AsyncIterator[MaxChannel]:
    async with opened(emulator, shelf) as made:
        yield made


@pytest.fixture
async def hasty(emulator: MaxEmulator, shelf: Shelf) -> AsyncIterator[MaxChannel]:
    """For calls that are never answered."""
    async with opened(emulator, shelf, request_timeout_seconds=HASTY_SECONDS) as made:
        yield made


@pytest.fixture
async def hooked(emulator: MaxEmulator, shelf: Shelf) -> AsyncIterator[MaxChannel]:
    async with opened(emulator, shelf, "webhook", seams={"hook_check_seconds": 0.2}) as made:
        yield made


@pytest.fixture
def olga(emulator: MaxEmulator) -> Person:
    person = emulator.person(USER_ID)
    person.is_open = True
    return person


def parcel(text: str = "Вы здесь?", **more: Any) -> Parcel:
    return replace(Parcel("letter-1", str(USER_ID), text), **more)


def harness_of(channel: MaxChannel, emulator: MaxEmulator, mode: Mode = "polling") -> MaxHarness:
    return MaxHarness(channel, emulator, emulator.person(USER_ID), mode)


# ---------------------------------------------------------------------- the webhook


@dataclass
class Door:
    """The served webhook, knocked at by hand."""

    url: str
    house: House
    refused: list[str] = field(default_factory=list)

    async def knocks(self, body: bytes, secret: str | None = HOOK_SECRET) -> int:
        headers = {} if secret is None else {SECRET_HEADER: secret}
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.post(self.url, data=io.BytesIO(body), headers=headers) as response,
        ):
            return response.status


@pytest.fixture
async def door(hooked: MaxChannel) -> AsyncIterator[Door]:
    house, refused, address = House(), list[str](), free_address()
    doors = Doors(house.accept, now=lambda: NOW, public_url=address, refused=refused.append)
    async with serving(hooked, doors):
        yield Door(address + HOOK_PATH, house, refused)


BODY = json.dumps(message({"text": "Добрый день"})).encode()


@pytest.mark.parametrize(
    ("body", "secret", "status", "refused"),
    [
        (BODY, None, 403, "secret"),
        (BODY, "", 403, "secret"),
        (BODY, "guessed", 403, "secret"),
        (BODY, HOOK_SECRET + "x", 403, "secret"),
        (BODY, "ё".encode().decode("latin-1"), 403, "secret"),
        (b"x" * (MAX_HOOK_BYTES + 1), HOOK_SECRET, 413, "size"),
        (b"not json", HOOK_SECRET, 400, "malformed"),
        (b"[1]", HOOK_SECRET, 400, "malformed"),
        (b"[" * 100_000, HOOK_SECRET, 400, "malformed"),
    ],
    ids=[
        "none", "empty", "wrong", "longer", "not ascii", "too long", "no json", "a list", "deep",
    ],
)  # fmt: skip
async def test_wrong_posts_are_turned_away(
    *, door: Door, body: bytes, secret: str | None, status: int, refused: str
):
    assert await door.knocks(body, secret) == status
    assert door.refused == [refused]
    assert door.house.calls == 0


async def test_rightful_post_is_stored_once(door: Door):
    assert [await door.knocks(BODY), await door.knocks(BODY)] == [200, 200]
    assert [inbound.text for inbound in door.house.received] == ["Добрый день"]
    assert await door.knocks(b'{"update_type": "something_new"}') == 200
    assert door.refused == []


async def test_what_could_not_be_stored_is_asked_for_again(door: Door):
    door.house.refuses(1)
    assert [await door.knocks(BODY), await door.knocks(BODY)] == [503, 200]
    assert len(door.house.received) == 1


def test_polling_has_no_routes(channel: MaxChannel):
    assert channel.routes(Doors(House().accept, now=House.now)) == ()


async def test_silent_unsubscription_is_noticed(
    hooked: MaxChannel, emulator: MaxEmulator, olga: Person, capsys: pytest.CaptureFixture[str]
):
    house = House()
    async with house.runs(harness_of(hooked, emulator, "webhook")):
        ours = next(iter(emulator.subscriptions))
        assert emulator.subscriptions[ours].secret == HOOK_SECRET
        await emulator.drop_webhook(ours)
        await emulator.hooked(ours)
        assert (await hooked.health()).reachable
        await olga.says("слышно?")
        (inbound,) = await house.receives(1)
    assert inbound.text == "слышно?"
    assert "max had stopped posting to us" in capsys.readouterr().out


async def test_emulator_unsubscribes_whoever_never_answers():
    async with MaxEmulator(unsubscribes_after_seconds=0.1) as emulator:
        emulator.add_webhook(free_address() + HOOK_PATH)
        await emulator.person(USER_ID).says("кто-нибудь?")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while emulator.subscriptions:
                await asyncio.sleep(0.02)


async def test_strangers_who_also_listen_are_told_of(
    hooked: MaxChannel, emulator: MaxEmulator, capsys: pytest.CaptureFixture[str]
):
    emulator.add_webhook("https://old.example/hooks/very-secret-path")
    async with House().runs(harness_of_strangers(hooked, emulator)):
        health = await hooked.health()
        looks = looks_at_webhooks(emulator)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while looks_at_webhooks(emulator) < looks + 3:
                await asyncio.sleep(0.01)
    assert health.reachable
    assert health.detail == "@id7700000000_bot; MAX also posts to old.example"
    assert "https://old.example/hooks/very-secret-path" in emulator.subscriptions
    told = capsys.readouterr().out
    assert told.count("max also posts to somebody else") == 1
    assert "very-secret-path" not in told


def looks_at_webhooks(emulator: MaxEmulator) -> int:
    return [each.endpoint for each in emulator.requests].count("GET subscriptions")


def harness_of_strangers(channel: MaxChannel, emulator: MaxEmulator) -> MaxHarness:
    """A harness that leaves other webhooks where they are."""

    class Tolerant(MaxHarness):
        async def house_opens(self, public_url: str) -> None:
            await self.emulator.hooked(public_url)

    return Tolerant(channel, emulator, emulator.person(USER_ID), "webhook")


@pytest.mark.parametrize("public_url", ["", "http://priem.example", "https://priem.example:8443", "ftp://a"])
async def test_public_address_must_suit_max(hooked: MaxChannel, public_url: str):
    with pytest.raises(Misconfigured, match="port 443"):
        await hooked.receive(Doors(House().accept, now=House.now, public_url=public_url))


async def test_subscribing_is_insisted_on(
    hooked: MaxChannel, emulator: MaxEmulator, capsys: pytest.CaptureFixture[str]
):
    emulator.fail_next("POST subscriptions", status=401, code="verify.token", message="Invalid access_token")
    emulator.fail_next("POST subscriptions", status=429, code="too.many.requests")
    emulator.fail_next("POST subscriptions", body=b'{"success": false, "message": "no"}')
    emulator.fail_next("POST subscriptions", drops=True)
    emulator.fail_next("POST subscriptions", body=b"<html>")
    receiving = asyncio.create_task(
        hooked.receive(Doors(House().accept, now=House.now, public_url="https://priem.example"))
    )
    await emulator.hooked("https://priem.example/hooks/max")
    await stopped(receiving)
    told = capsys.readouterr().out
    for sentence in ("does not know this token", "asks for silence", "refuses to work", "does not answer"):
        assert sentence in told


@pytest.mark.parametrize(
    ("mode", "hooks", "detail"),
    [
        ("webhook", [], "MAX does not post to us"),
        ("webhook", ["https://priem.example/hooks/max"], "@id7700000000_bot"),
        ("polling", [], "@id7700000000_bot"),
        ("polling", ["https://old.example/h"], "MAX posts the updates to old.example"),
        ("polling", ["https://priem.example/hooks/max"], "MAX posts the updates to our own webhook"),
    ],
)
async def test_health_knows_who_listens(
    emulator: MaxEmulator, shelf: Shelf, mode: Mode, hooks: list[str], detail: str
):
    for hook in hooks:
        emulator.add_webhook(hook)
    async with opened(emulator, shelf, mode, public_url="https://priem.example/") as made:
        health = await made.health()
    assert health.detail.startswith(detail)
    assert health.reachable is detail.startswith("@")
    if health.reachable:
        assert health.link == "https://max.ru/id7700000000_bot?start={code}"


async def test_health_explains_a_wrong_token(channel: MaxChannel, emulator: MaxEmulator):
    emulator.fail_next("GET me", status=401, code="verify.token")
    sick = await channel.health()
    assert (sick.reachable, "token" in sick.detail) == (False, True)


# ---------------------------------------------------------------------- polling


async def test_first_poll_finds_the_latest_only_and_the_next_ones_all(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person
):
    for text in ("раньше", "вчера", "только что"):
        await olga.says(text)
    house = House()
    async with house.runs(harness_of(channel, emulator)):
        await house.receives(1)
        for text in ("раз", "два", "три"):
            await olga.says(text)
        inbounds = await house.receives(4)
    assert [inbound.text for inbound in inbounds] == ["только что", "раз", "два", "три"]


async def test_marker_is_stored_before_anybody_writes(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person
):
    house = House()
    async with house.runs(harness_of(channel, emulator)):
        assert house.cursor
    for text in ("пока нас", "не было"):
        await olga.says(text)
    async with house.runs(harness_of(channel, emulator)):
        inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds] == ["пока нас", "не было"]


async def test_latest_update_is_not_lost_while_the_store_refuses(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person
):
    await olga.says("первое")
    house = House()
    house.refuses(3)
    async with house.runs(harness_of(channel, emulator)):
        await olga.says("второе")
        inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds] == ["первое", "второе"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "code": "internal.error"},
        {"status": 502},
        {"status": 429, "code": "too.many.requests"},
        {"status": 401, "code": "verify.token"},
        {"drops": True},
        {"body": b'{"upd'},
        {"body": b'{"updates": 5, "marker": "x"}'},
        {"body": b"{}"},
        {"body": b'{"updates": [5, null, {}], "marker": null}'},
    ],
    ids=str,
)
async def test_polling_survives(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, fault: dict[str, Any]
):
    house = House()
    async with house.runs(harness_of(channel, emulator)):
        emulator.fail_next("GET updates", times=2, **fault)
        await olga.says("раз")
        await olga.says("два")
        inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds] == ["раз", "два"]


async def test_polling_ends_our_webhook_and_only_ours(
    emulator: MaxEmulator, shelf: Shelf, capsys: pytest.CaptureFixture[str]
):
    emulator.add_webhook("https://priem.example/hooks/max")
    emulator.add_webhook("https://old.example/h")
    doors = Doors(House().accept, now=House.now, public_url="https://priem.example")
    async with opened(emulator, shelf) as made:
        receiving = asyncio.create_task(made.receive(doors))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(each.endpoint == "GET updates" for each in emulator.requests):
                await asyncio.sleep(0.01)
        await stopped(receiving)
    assert list(emulator.subscriptions) == ["https://old.example/h"]
    assert "so polling finds nothing" in capsys.readouterr().out


async def test_polling_keeps_to_two_requests_a_second(shelf: Shelf):
    async with MaxEmulator(rates=RateLimits()) as emulator:
        olga, house = emulator.person(USER_ID), House()
        async with (
            opened(emulator, shelf, seams={"poll_spacing_seconds": POLL_SPACING_SECONDS}) as made,
            house.runs(harness_of(made, emulator)),
        ):
            for number in range(3):
                await olga.says(str(number))
                await house.receives(number + 1)
        assert {each.status for each in emulator.requests} == {200}


async def test_everything_a_person_does_comes_through(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person
):
    house = House()
    async with house.runs(harness_of(channel, emulator)):
        await olga.starts("INVITE42")
        olga.sends({"attachments": [emulator.hold("", b"1", kind="image") for _ in range(3)]})
        await channel.send(parcel(rows=ROWS))
        pressed_id = await olga.presses("Согласен", forgets_message=True)
        await olga.stops(removes_dialog=True)
        inbounds = await house.receives(5)
        await channel.acknowledge_button(inbounds[2])
        await channel.acknowledge_button(replace(inbounds[2], acknowledge="too old"))
        await channel.acknowledge_button(inbounds[0])
    kinds = [InboundKind.STARTED, InboundKind.FILE, InboundKind.BUTTON, *[InboundKind.BLOCKED] * 2]
    assert [inbound.kind for inbound in inbounds] == kinds
    assert len(inbounds[1].files) == 3
    assert olga.acknowledged == [pressed_id]


# ---------------------------------------------------------------------- sending


async def test_what_is_posted(channel: MaxChannel, emulator: MaxEmulator, olga: Person):
    got = await channel.send(parcel("*не* <b>разметка</b>", rows=ROWS))
    assert got == Sent(olga.messages[0].mid)
    posted = emulator.requests[-1]
    assert posted.query == {"user_id": str(USER_ID), "disable_link_preview": "true"}
    assert posted.body["text"] == "*не* <b>разметка</b>"
    assert posted.body["format"] is None
    (keyboard,) = posted.body["attachments"]
    ((button,),) = keyboard["payload"]["buttons"]
    assert (button["type"], button["payload"]) == ("callback", "form:consent:yes:1")


def labelled(*widths: int, label: str = "Да") -> tuple[tuple[ShownButton, ...], ...]:
    return tuple(
        tuple(ShownButton(label, f"p:{row}:{n}:1") for n in range(w)) for row, w in enumerate(widths)
    )


@pytest.mark.parametrize(
    ("rows", "widths"),
    [
        (labelled(2, 3, 7), [2, 3, 7]),
        (labelled(2, label="Оплатить"), [2]),
        (labelled(2, label="Оплатить счёт"), [1, 1]),
        (labelled(3, label="Оплатить"), [1, 1, 1]),
        (labelled(1, label="Оплатить счёт поставщику прямо сейчас"), [1]),
        (labelled(*[1] * 30), [1] * 30),
        (labelled(*[1] * 31), [2] * 15 + [1]),
        (labelled(*[7] * 30, label="д" * 40), [7] * 30),
    ],
    ids=["narrow", "two", "two wide", "three wide", "one", "thirty", "thirty-one", "all"],
)
async def test_buttons_are_laid_so_that_they_are_read(
    channel: MaxChannel, olga: Person, rows: tuple[tuple[ShownButton, ...], ...], widths: list[int]
):
    (part,) = fit(parcel(rows=rows), channel.limits)
    assert isinstance(await channel.send(part), Sent)
    assert [len(row) for row in olga.messages[0].buttons] == widths
    pressed = [button["payload"] for row in olga.messages[0].buttons for button in row]
    assert pressed == [button.press for row in rows for button in row]


async def test_longest_message_is_taken(channel: MaxChannel, olga: Person):
    (part,) = fit(parcel("🙂" * 2000, rows=labelled(1, label="ж" * 300)), channel.limits)
    assert isinstance(await channel.send(part), Sent)
    assert len(olga.messages[0].labels[0]) == 128


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 401, "code": "verify.token", "message": "Invalid access_token"}, TokenRevoked),
        ({"status": 403, "code": "chat.denied", "message": "error.dialog.suspended"}, Blocked),
        ({"status": 403, "code": "error.dialog.suspended"}, Blocked),
        ({"status": 403, "code": "access.denied", "message": "a word that is published nowhere"}, Blocked),
        ({"status": 404, "code": "chat.not.found"}, Blocked),
        ({"status": 404, "code": "user.not.found"}, Blocked),
        ({"status": 404, "code": "not.found", "message": "Path not found"}, Rejected),
        ({"status": 405, "code": "not.allowed"}, Rejected),
        ({"status": 400, "code": "proto.payload", "message": "text"}, Rejected),
        ({"status": 429, "code": "too.many.requests"}, Retry),
        ({"status": 429}, Retry),
        ({"status": 400, "code": "attachment.not.ready"}, Retry),
        ({"body": b'{"success": false, "message": "error"}'}, Retry),
        ({"drops": True, "after_effect": True}, Unknown),
        ({"drops": True}, Unknown),
        ({"hangs": True}, Unknown),
        ({"body": b'{"message": {"bo', "after_effect": True}, Unknown),
        ({"body": b"{}", "after_effect": True}, Unknown),
        ({"body": b'{"message": {}}', "after_effect": True}, Sent),
    ],
    ids=str,
)
async def test_answer_is_understood(
    *, channel: MaxChannel, hasty: MaxChannel, emulator: MaxEmulator, olga: Person, fault: dict[str, Any],
    expected: type,
):  # fmt: skip
    emulator.fail_next("POST messages", **fault)
    got = await (hasty if "hangs" in fault else channel).send(parcel())
    assert type(got) is expected
    assert not getattr(got, "whole_channel", False)
    assert isinstance(await channel.send(parcel()), Sent)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "code": "internal.error"},
        {"status": 503, "code": "service.unavailable"},
        {"status": 502},
        {"status": 407},
        {"status": 302, "headers": {"Location": "https://blocked.example/"}},
        {"status": 403},
    ],
    ids=str,
)
async def test_only_the_network_and_the_server_silence_everybody(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, fault: dict[str, Any]
):
    emulator.fail_next("POST messages", **fault)
    got = await channel.send(parcel())
    assert isinstance(got, Retry)
    assert got.whole_channel


@pytest.mark.parametrize("said", ["9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_silence_ends(channel: MaxChannel, emulator: MaxEmulator, olga: Person, said: str):
    emulator.fail_next("POST messages", status=429, headers={"Retry-After": said})
    got = await channel.send(parcel())
    assert isinstance(got, Retry)
    assert got.after_seconds == LONGEST_SILENCE_SECONDS


@pytest.mark.parametrize(
    ("about_us", "expected"),
    [
        ({"status": 403, "code": "access.denied", "message": "Bot is not moderated"}, TokenRevoked),
        ({"status": 401, "code": "verify.token", "message": "Invalid access_token"}, TokenRevoked),
        ({"status": 429, "code": "too.many.requests"}, Retry),
        ({"status": 503, "code": "service.unavailable"}, Retry),
        ({"status": 502}, Retry),
        ({"drops": True, "times": 2}, Retry),
    ],
    ids=str,
)
async def test_denial_is_of_the_bot_only_when_max_does_not_know_it_either(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, about_us: dict[str, Any], expected: type
):
    emulator.fail_next("POST messages", status=403, code="access.denied")
    emulator.fail_next("GET me", **about_us)  # a question is asked once more over a new connection
    got = await channel.send(parcel())
    assert type(got) is expected
    assert not getattr(got, "whole_channel", False)
    assert isinstance(await channel.send(parcel()), Sent)


async def test_whoever_stopped_the_bot_silences_nobody_else(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person
):
    pavel = emulator.person(USER_ID + 1)
    await pavel.starts()
    await olga.stops()
    emulator.fail_next("POST messages", status=403, code="whatever.max.calls.it")
    assert isinstance(await channel.send(parcel()), Blocked)
    assert isinstance(await channel.send(parcel(chat_key=str(pavel.id))), Sent)


async def test_refusal_never_tells_the_token(channel: MaxChannel, emulator: MaxEmulator, olga: Person):
    emulator.fail_next(
        "POST messages", times=2, status=400, code=emulator.token, message=f"bad {emulator.token}"
    )
    assert emulator.token not in f"{await channel.send(parcel())!r}"


async def test_stranger_cannot_be_written_to(channel: MaxChannel, emulator: MaxEmulator, olga: Person):
    assert isinstance(await channel.send(parcel(chat_key="777")), Blocked)
    await olga.stops()
    assert isinstance(await channel.send(parcel()), Blocked)


async def test_nothing_to_send_is_rejected(channel: MaxChannel):
    assert await channel.send(parcel("", rows=ROWS)) == Rejected("nothing to send")


# ---------------------------------------------------------------------- files out


async def test_each_file_has_a_message_and_the_last_the_buttons(
    channel: MaxChannel, olga: Person, shelf: Shelf
):
    sent_files = (shelf.add("Акт «сверки».pdf", b"%PDF"), shelf.add('на"ш\nа.txt', b"2"))
    got = await channel.send(parcel("Готово.", rows=ROWS, files=sent_files))
    first, second = olga.messages
    assert (first.text, first.labels, first.files) == ("Готово.", [], [("Акт «сверки».pdf", b"%PDF")])
    assert (second.text, second.labels, second.files) == ("", ["Согласен"], [("на'ш а.txt", b"2")])
    assert got == Sent(second.mid)


async def test_large_file_is_streamed_whole(channel: MaxChannel, olga: Person, shelf: Shelf):
    content = bytes(range(256)) * 40_000
    assert isinstance(await channel.send(parcel("", files=(shelf.add("архив.zip", content),))), Sent)
    assert olga.messages[0].files == [("архив.zip", content)]


async def test_file_in_processing_is_waited_for(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, shelf: Shelf
):
    emulator.not_ready_times = 1
    assert isinstance(await channel.send(parcel(files=(shelf.add("a.pdf", b"1"),))), Sent)
    assert next(each.status for each in emulator.requests if each.endpoint == "POST messages") == 400
    assert len(olga.messages) == 1


async def test_file_that_takes_longer_is_not_uploaded_anew(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, shelf: Shelf
):
    emulator.not_ready_times = 3
    letter = parcel(files=(shelf.add("a.pdf", b"1"), shelf.add("b.pdf", b"2")))
    got = await channel.send(letter)
    assert isinstance(got, Retry)
    assert not got.whole_channel
    assert isinstance(await channel.send(letter), Sent)
    assert [each.endpoint for each in emulator.requests].count("POST uploads") == 2
    assert [file for each in olga.messages for file in each.files] == [("a.pdf", b"1"), ("b.pdf", b"2")]


async def test_failure_without_a_reason_counts_as_processing(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, shelf: Shelf
):
    emulator.fail_next("POST messages", body=b'{"success": false, "message": "error"}')
    assert isinstance(await channel.send(parcel(files=(shelf.add("a.pdf", b"1"),))), Sent)
    assert len(olga.messages) == 1


async def test_half_sent_parcel_goes_on(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, shelf: Shelf
):
    letter = parcel("Вот.", files=tuple(shelf.add(f"{n}.pdf", b"%d" % n) for n in range(3)))
    emulator.fail_next("POST messages", skips=1, status=500, code="internal.error")
    assert isinstance(await channel.send(letter), Retry)
    assert isinstance(await channel.send(letter), Sent)
    names = [name for each in olga.messages for name, _ in each.files]
    assert names == ["0.pdf", "1.pdf", "2.pdf"]


async def test_half_is_remembered_after_a_cancellation(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, shelf: Shelf
):
    letter = parcel("Вот.", files=tuple(shelf.add(f"{n}.pdf", b"%d" % n) for n in range(2)))
    emulator.fail_next("POST messages", skips=1, hangs=True)
    await cancelled_when(lambda: not emulator._misbehaviours[0].times, channel.send(letter))
    assert isinstance(await channel.send(letter), Sent)
    assert [name for each in olga.messages for name, _ in each.files] == ["0.pdf", "1.pdf"]
    assert [each.endpoint for each in emulator.requests].count("POST uploads") == 2


@pytest.mark.parametrize(
    ("endpoint", "fault", "expected"),
    [
        ("upload", {"status": 500}, Retry),
        ("upload", {"drops": True}, Retry),
        ("upload", {"hangs": True}, Retry),
        ("upload", {"body": b"<retval>1</retval>"}, Retry),
        ("upload", {"status": 302, "headers": {"Location": "http://10.0.0.1/"}}, Retry),
        ("upload", {"body": b'{"error_msg": "File extension is forbidden"}'}, Rejected),
        ("POST uploads", {"status": 403, "code": "access.denied"}, Retry),
        ("POST uploads", {"status": 404, "code": "not.found"}, Retry),
        ("POST uploads", {"body": b"{}"}, Retry),
        ("POST uploads", {"body": b'{"url": 5}'}, Retry),
        ("POST uploads", {"body": b'{"url": "https://elsewhere.example/upload"}'}, Retry),
        ("POST uploads", {"body": b'{"url": "file:///etc/passwd"}'}, Retry),
        ("POST uploads", {"body": b'{"u'}, Retry),
        ("POST uploads", {"drops": True}, Retry),
        ("POST uploads", {"status": 400, "code": "proto.payload"}, Rejected),
        ("POST uploads", {"status": 401, "code": "verify.token"}, TokenRevoked),
    ],
    ids=str,
)
async def test_upload_that_fails_sends_nothing(
    *, channel: MaxChannel, hasty: MaxChannel, emulator: MaxEmulator, olga: Person, shelf: Shelf,
    endpoint: str, fault: dict[str, Any], expected: type,
):  # fmt: skip
    letter = parcel(files=(shelf.add("a.pdf", b"1"),))
    emulator.fail_next(endpoint, **fault)
    got = await (hasty if "hangs" in fault else channel).send(letter)
    assert type(got) is expected
    assert not getattr(got, "whole_channel", False)
    assert olga.messages == []
    assert isinstance(await channel.send(letter), Sent)


async def test_lost_stored_file_rejects(channel: MaxChannel, olga: Person, shelf: Shelf):
    file = shelf.add("a.pdf", b"1")
    shelf.path(file.sha256).unlink()
    assert isinstance(await channel.send(parcel(files=(file,))), Rejected)


async def test_one_parcel_keeps_to_two_messages_a_second(shelf: Shelf):
    async with MaxEmulator(rates=RateLimits()) as emulator:
        olga = emulator.person(USER_ID)
        olga.is_open = True
        sent_files = tuple(shelf.add(f"{n}.pdf", b"%d" % n) for n in range(4))
        async with opened(emulator, shelf, chat_messages_per_second=2) as made:
            assert isinstance(await made.send(parcel(files=sent_files)), Sent)
        assert {each.status for each in emulator.requests} == {200}


# ---------------------------------------------------------------------- files in


async def downloaded(channel: MaxChannel, reference: str, size_bytes: int | None = None) -> bytes:
    file = IncomingFile(reference, "a", size_bytes)
    return b"".join([chunk async for chunk in channel.open_file(file)])


async def test_video_is_asked_for_by_its_token(channel: MaxChannel, emulator: MaxEmulator, olga: Person):
    house = House()
    async with house.runs(harness_of(channel, emulator)):
        await olga.sends_file("", b"film", kind="video")
        (inbound,) = await house.receives(1)
        reference = inbound.files[0].reference
        assert await downloaded(channel, reference) == b"film"
        with pytest.raises(FileUnavailable):
            await downloaded(channel, "video:../me?x=1")
        for fault in ({"body": b'{"urls": null}'}, {"body": b'{"urls": [1]}'}, {"status": 502}):
            emulator.fail_next("GET videos", **fault)
            with pytest.raises(FileUnavailable):
                await downloaded(channel, reference)


async def test_only_known_hosts_are_asked_for_files(channel: MaxChannel, emulator: MaxEmulator):
    url = emulator.hold("a.pdf", b"%PDF")["payload"]["url"]
    assert await downloaded(channel, url) == b"%PDF"
    wrong = [
        url.replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "",
        "video:",
    ]
    for each in wrong:
        with pytest.raises(FileUnavailable):
            await downloaded(channel, each)
    emulator.redirect_media(url, "http://169.254.169.254/latest")
    with pytest.raises(FileUnavailable):
        await downloaded(channel, url)
    with pytest.raises(FileRefused):
        await downloaded(channel, url, 21 * 1024 * 1024)


def test_default_hosts_are_those_of_max():
    settings = Settings(token="t", mode="polling")
    assert settings.media_hosts == MAX_HOSTS
    assert URL(settings.api_base_url).host == "platform-api2.max.ru"


# ---------------------------------------------------------------------- proxies, certificates and logs


async def test_everything_goes_through_the_proxy(emulator: MaxEmulator, olga: Person, shelf: Shelf):
    tunnel = Tunnel(emulator.base_url)
    real_url = emulator.base_url
    url = emulator.hold("a.pdf", b"%PDF")["payload"]["url"].replace(real_url, "http://fd.oneme.test")
    async with await asyncio.start_server(tunnel.serve, "127.0.0.1", 0) as server:
        settings = {
            "api_base_url": "http://mirror.max.test/",
            "proxy": f"http://user:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "media_hosts": ["oneme.test"],
        }
        async with opened(emulator, shelf, **settings) as made:
            emulator.base_url = "http://fu.oneme.test"
            assert isinstance(await made.send(parcel(files=(shelf.add("a.pdf", b"1"),))), Sent)
            assert (await made.health()).reachable
            assert await downloaded(made, url) == b"%PDF"
            emulator.base_url = real_url
    # These names exist nowhere: whoever does not ask the proxy cannot have got an answer.
    assert set(tunnel.asked) == {"mirror.max.test:80", "fu.oneme.test:80", "fd.oneme.test:80"}


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_dead_proxy_means_not_sent(emulator: MaxEmulator, olga: Person, shelf: Shelf, scheme: str):
    proxy = free_address().replace("http", f"{scheme}", 1).replace("//", "//user:hidden@", 1)
    async with opened(emulator, shelf, proxy=proxy) as made:
        got = await made.send(parcel())
        assert isinstance(got, Retry)
        assert got.whole_channel
        assert "hidden" not in got.reason
        assert not (await made.health()).reachable
    assert olga.messages == []


async def test_mirror_may_lie_under_a_path(shelf: Shelf, emulator: MaxEmulator):
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response({"message": {"body": {"mid": "m"}}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with opened(emulator, shelf, api_base_url=f"{address}/max/api") as made:
        assert await made.send(parcel()) == Sent("m")
    await runner.cleanup()
    assert asked == [f"/max/api/messages?user_id={USER_ID}&disable_link_preview=true"]


def test_ministry_is_trusted_besides_the_system():
    names = [
        dict(pair for part in root["subject"] for pair in part).get("commonName")
        for root in ministry_trust().get_ca_certs()
    ]
    assert "Russian Trusted Root CA" in names
    assert ministry_trust().check_hostname


@pytest.mark.parametrize(
    ("url", "is_ministry_trusted"),
    [
        ("https://platform-api2.max.ru/me", True),
        ("https://fu.oneme.ru/upload", True),
        ("https://vu.okcdn.ru./upload", True),
        ("https://max.ru.example/me", False),
        ("https://notmax.ru/me", False),
        ("https://mirror.example/me", False),
    ],
)
async def test_ministry_is_trusted_for_hosts_of_max_alone(
    emulator: MaxEmulator, shelf: Shelf, url: str, *, is_ministry_trusted: bool
):
    for wanted in (True, False):
        async with opened(emulator, shelf, use_ministry_certificate=wanted) as made:
            await made.health()
            trusted = made._api.trust(URL(url))
            assert (trusted is not True) is (wanted and is_ministry_trusted)


async def test_aiomax_logs_neither_words_nor_the_token(
    channel: MaxChannel, emulator: MaxEmulator, olga: Person, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    house = House()
    async with house.runs(harness_of(channel, emulator)):
        await olga.says("тайна клиента")
        await house.receives(1)
        await channel.send(parcel("тайна бухгалтера"))
        emulator.fail_next("POST messages", drops=True)
        await channel.send(parcel("тайна бухгалтера"))
    assert "тайна" not in caplog.text
    assert emulator.token not in caplog.text


# ---------------------------------------------------------------------- the emulator is strict


async def asked(
    emulator: MaxEmulator, verb: str, path: str, *, token: str | None = None, **more: Any
) -> tuple[int, Any]:
    headers = {"Authorization": emulator.token if token is None else token}
    async with (
        aiohttp.ClientSession() as session,
        session.request(verb, f"{emulator.base_url}/{path}", headers=headers, **more) as response,
    ):
        return response.status, await response.json()


def keyboard(*rows: list[dict[str, object]]) -> dict[str, object]:
    return {"text": "?", "attachments": [{"type": "inline_keyboard", "payload": {"buttons": list(rows)}}]}


def key(**more: object) -> dict[str, object]:
    return {"type": "callback", "text": "Да", "payload": "p", **more}


TO_OLGA = f"messages?user_id={USER_ID}"
UNKNOWN_FILE = {"type": "file", "payload": {"token": "f9"}}


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "messages", {"text": "a"}, 400),
        ("POST", "messages?user_id=777", {"text": "a"}, 404),
        ("POST", TO_OLGA, {}, 400),
        ("POST", TO_OLGA, {"text": " "}, 400),
        ("POST", TO_OLGA, {"text": "я" * 4001}, 400),
        ("POST", TO_OLGA, {"text": 5}, 400),
        ("POST", TO_OLGA, [], 400),
        ("POST", f"{TO_OLGA}&disable_link_preview=yes", {"text": "a"}, 400),
        ("POST", TO_OLGA, {"text": "a", "attachments": [UNKNOWN_FILE]}, 400),
        ("POST", TO_OLGA, keyboard(), 400),
        ("POST", TO_OLGA, keyboard([]), 400),
        ("POST", TO_OLGA, keyboard([key()] * 8), 400),
        ("POST", TO_OLGA, keyboard(*[[key()]] * 31), 400),
        ("POST", TO_OLGA, keyboard([key(text="")]), 400),
        ("POST", TO_OLGA, keyboard([key(text="x" * 129)]), 400),
        ("POST", TO_OLGA, keyboard([key(payload="x" * 1025)]), 400),
        ("POST", "uploads?type=photo", None, 400),
        ("POST", "uploads", None, 400),
        ("POST", "answers?callback_id=x", {"notification": ""}, 404),
        ("POST", "answers?callback_id=x", {}, 400),
        ("POST", "answers", {"notification": ""}, 400),
        ("POST", "subscriptions", {}, 400),
        ("POST", "subscriptions", {"url": "http://a.example/h"}, 400),
        ("POST", "subscriptions", {"url": "https://a.example:8443/h"}, 400),
        ("POST", "subscriptions", {"url": "https://a.example/h", "secret": "abcd"}, 400),
        ("POST", "subscriptions", {"url": "https://a.example/h", "update_types": ["all"]}, 400),
        ("GET", "updates?limit=0", None, 400),
        ("GET", "updates?timeout=91", None, 400),
        ("GET", "updates?marker=x", None, 400),
        ("GET", "videos/none", None, 404),
        ("DELETE", "subscriptions", None, 400),
    ],
    ids=str,
)
async def test_emulator_refuses(
    emulator: MaxEmulator, olga: Person, verb: str, path: str, body: object, status: int
):
    answer = (
        await asked(emulator, verb, path, json=body)
        if body is not None
        else await asked(emulator, verb, path)
    )
    assert answer[0] == status
    assert set(answer[1]) == {"code", "message"}
    assert olga.messages == []


async def test_emulator_notes_what_max_would_let_pass():
    async with MaxEmulator() as emulator:
        emulator.person(USER_ID).is_open = True
        assert (await asked(emulator, "GET", "me", token=f"Bearer {emulator.token}"))[0] == 401
        assert (await asked(emulator, "GET", "me?access_token=1"))[0] == 200
        assert (await asked(emulator, "GET", "chats"))[0] == 404
        assert (await asked(emulator, "POST", TO_OLGA, data=b'{"text": "a"}'))[0] == 200
        assert (await asked(emulator, "POST", TO_OLGA, json={"text": "a", "format": "html"}))[0] == 200
        assert (await asked(emulator, "POST", TO_OLGA, json=keyboard([key(type="link")])))[0] == 200
        assert len(emulator.violations) == 6


async def test_emulator_limits_the_rate_in_earnest():
    async with MaxEmulator(rates=RateLimits(per_second=5)) as emulator:
        emulator.person(USER_ID).is_open = True
        to_olga = [(await asked(emulator, "POST", TO_OLGA, json={"text": "a"}))[0] for _ in range(3)]
        others = [(await asked(emulator, "GET", "me"))[0] for _ in range(3)]
    assert to_olga == [200, 200, 429]
    assert others == [200, 200, 429]


async def test_emulator_forgets_updates_after_a_day():
    ahead_seconds = 0.0
    async with MaxEmulator(now=lambda: NOW.timestamp() + ahead_seconds) as emulator:
        olga = emulator.person(USER_ID)
        _, first = await asked(emulator, "GET", "updates?timeout=0")
        for text in ("a", "b"):
            await olga.says(text)
        path = f"updates?timeout=0&marker={first['marker']}"
        assert len((await asked(emulator, "GET", path))[1]["updates"]) == 2
        assert len((await asked(emulator, "GET", "updates?timeout=0"))[1]["updates"]) == 1
        ahead_seconds = 24 * 3600 + 1.0
        assert (await asked(emulator, "GET", path))[1]["updates"] == []


async def test_emulator_keeps_films_as_max_does(emulator: MaxEmulator):
    _, address = await asked(emulator, "POST", "uploads?type=video")
    assert set(address) == {"url", "token"}
    form = aiohttp.FormData()
    form.add_field("data", b"film", filename="a.mp4")
    async with aiohttp.ClientSession() as session:
        async with session.post(address["url"], data=form) as response:
            assert "<retval>1</retval>" in await response.text()
        async with session.post(address["url"], data=form) as response:
            assert response.status == 400


async def test_unmodified_aiomax_understands_the_emulator(emulator: MaxEmulator, olga: Person):
    import aiomax

    bot = aiomax.Bot(emulator.token, api_url=emulator.base_url)
    session = aiohttp.ClientSession(f"{emulator.base_url}/", headers={"Authorization": emulator.token})
    async with session:
        bot.session = session
        assert (await bot.get_me()).username == BOT["username"]
        buttons = [[aiomax.buttons.CallbackButton("Да", "y")]]
        sent = await bot.send_message("Ок?", user_id=USER_ID, keyboard=buttons)
        assert sent.id == olga.messages[0].mid
        await olga.starts("X7")
        (started,) = (await bot.get_updates())["updates"]
        await olga.sends_file("акт.pdf", b"%PDF", text="вот")
        await olga.presses("Да")
        written, pressed = (await bot.get_updates())["updates"]
        assert aiomax.BotStartPayload.from_json(started, bot).payload == "X7"
        read_back = aiomax.Message.from_json(written["message"])
        assert (read_back.body.text, read_back.body.attachments[0].filename) == ("вот", "акт.pdf")
        callback = aiomax.Callback.from_json(pressed["callback"], pressed["message"], "ru", bot)
        assert (callback.payload, callback.user_id) == ("y", USER_ID)
        with pytest.raises(aiomax.exceptions.ChatNotFound):
            await bot.send_message("Вы здесь?", user_id=777)
