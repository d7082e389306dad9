"""What only Telegram does: its updates, its refusals, its webhook; and that the emulator is strict."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bots.base import Cursor, FileRefused, FileUnavailable
from bots.telegram import HOOK_PATH, MAX_HOOK_BYTES, SECRET_HEADER, Settings, TelegramChannel, parse
from bots.wire import LONGEST_SILENCE_SECONDS, UNREADABLE, UNREADABLE_MESSAGE, Pauses
from forms.messages import Contact, FileRole, Inbound, InboundKind, IncomingFile
from notifications.outbox import Blocked, Parcel, Rejected, Retry, Sent, ShownButton, TokenRevoked, Unknown
from tests.channels.harness import HASTY_SECONDS, House, Shelf, cancelled_when, free_address
from tests.channels.telegram import HOOK_SECRET, QUICK, TelegramHarness, settings_for
from tests.emulators.telegram import Chat, RateLimits, TelegramEmulator, utf16_length

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SENT_AT = datetime(2026, 11, 23, 8, 59, 30, tzinfo=UTC)
PERSON = {"id": 523, "is_bot": False, "first_name": "Ольга", "last_name": "Смирнова"}
PRIVATE = {"id": 523, "type": "private", "first_name": "Ольга"}
GROUP = {"id": -100500, "type": "supergroup", "title": "Склад"}
ROWS = ((ShownButton("Согласен", "form:consent:yes:1"),),)


def message(**content: object) -> dict[str, object]:
    head = {"message_id": 41, "from": PERSON, "chat": PRIVATE, "date": int(SENT_AT.timestamp())}
    return {"update_id": 880_000_007, "message": head | content}


def read(update: dict[str, object]) -> Inbound:
    return parse(json.loads(json.dumps(update)), NOW)


# ---------------------------------------------------------------------- updates


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"text": "Добрый день"}, {"kind": InboundKind.TEXT, "text": "Добрый день"}),
        ({"text": "a\0b"}, {"kind": InboundKind.TEXT, "text": "ab"}),
        ({"text": "/start"}, {"kind": InboundKind.STARTED, "text": "/start", "start_code": None}),
        ({"text": "/start X7_a-9"}, {"kind": InboundKind.STARTED, "start_code": "X7_a-9"}),
        ({"text": "/start@priem_bot X7"}, {"kind": InboundKind.STARTED, "start_code": "X7"}),
        ({"text": "/started"}, {"kind": InboundKind.TEXT, "text": "/started"}),
        (
            {
                "document": {
                    "file_id": "D1",
                    "file_name": "счёт.pdf",
                    "mime_type": "application/pdf",
                    "file_size": 9,
                }
            },
            {"kind": InboundKind.FILE, "files": (IncomingFile("D1", "счёт.pdf", 9, "application/pdf"),)},
        ),
        (
            {"document": {"file_id": "D1"}, "caption": "оплатить до пятницы", "media_group_id": "77"},
            {
                "kind": InboundKind.FILE,
                "text": "оплатить до пятницы",
                "group_id": "77",
                "files": (IncomingFile("D1", "Файл"),),
            },
        ),
        (
            {
                "photo": [
                    {"file_id": "S", "width": 90, "height": 60},
                    {"file_id": "L", "width": 1280, "height": 960, "file_size": 88},
                    {"file_id": "M", "width": 320, "height": 240},
                ]
            },
            {"files": (IncomingFile("L", "Фото.jpg", 88, "image/jpeg", FileRole.PHOTO),)},
        ),
        (
            {"voice": {"file_id": "V", "duration": 3, "mime_type": "audio/ogg", "file_size": 7}},
            {"files": (IncomingFile("V", "Голосовое сообщение.ogg", 7, "audio/ogg", FileRole.VOICE),)},
        ),
        (
            {"video": {"file_id": "V", "file_name": "склад.mp4"}},
            {"files": (IncomingFile("V", "склад.mp4", role=FileRole.VIDEO),)},
        ),
        (
            {"audio": {"file_id": "A", "title": "Звонок"}},
            {"files": (IncomingFile("A", "Аудио.mp3"),)},
        ),
        (
            {"video_note": {"file_id": "N", "length": 240}},
            {"files": (IncomingFile("N", "Видеосообщение.mp4", role=FileRole.VIDEO),)},
        ),
        (
            {"animation": {"file_id": "G"}, "document": {"file_id": "G-as-document"}},
            {"files": (IncomingFile("G", "Анимация.mp4", role=FileRole.VIDEO),)},
        ),
        (
            {"contact": {"phone_number": "79161234567", "first_name": "Ольга", "user_id": 523}},
            {"kind": InboundKind.CONTACT, "contact": Contact("79161234567", "Ольга", verified=True)},
        ),
        (
            {
                "contact": {
                    "phone_number": "79161234567",
                    "first_name": "Пётр",
                    "last_name": "П",
                    "user_id": 9,
                }
            },
            {"contact": Contact("79161234567", "Пётр П", verified=False)},
        ),
        (
            {"contact": {"phone_number": "79161234567", "first_name": "Пётр"}},
            {"contact": Contact("79161234567", "Пётр", verified=False)},
        ),
        ({"sticker": {"file_id": "S", "emoji": "👍"}}, {"kind": InboundKind.OTHER, "text": "наклейка"}),
        (
            {"location": {"latitude": 55.75, "longitude": 37.61}},
            {"kind": InboundKind.OTHER, "text": "геопозиция 55.75, 37.61"},
        ),
        (
            {
                "venue": {"title": "Кафе", "address": "Ленина, 1", "location": {}},
                "location": {"latitude": 55.75, "longitude": 37.61},
            },
            {"kind": InboundKind.OTHER, "text": "место «Кафе», Ленина, 1"},
        ),
        ({"poll": {"question": "Когда?"}}, {"kind": InboundKind.OTHER, "text": "опрос «Когда?»"}),
        ({"dice": {"emoji": "🎲", "value": 4}}, {"kind": InboundKind.OTHER, "text": "игральная кость"}),
        ({"hologram": {}}, {"kind": InboundKind.OTHER, "text": "сообщение незнакомого вида"}),
        ({"pinned_message": {}}, {"kind": InboundKind.IGNORED}),
        ({"text": "всем привет", "chat": GROUP}, {"kind": InboundKind.IGNORED}),
        ({"text": "я бот", "from": PERSON | {"is_bot": True}}, {"kind": InboundKind.IGNORED}),
        (
            {"document": {"file_id": "D1"}, "caption": None},
            {"kind": InboundKind.FILE, "text": "", "files": (IncomingFile("D1", "Файл"),)},
        ),
        (
            {"document": {"file_name": "без номера"}, "caption": "счёт на оплату"},
            {"kind": InboundKind.TEXT, "text": f"счёт на оплату\n\n[{UNREADABLE}]", "files": ()},
        ),
        ({"document": {"file_name": "без номера"}}, {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (
            {"animation": {"width": 9}, "document": {"file_id": "D1"}},
            {"files": (IncomingFile("D1", "Файл"),)},
        ),
        ({"contact": {"first_name": "Пётр"}}, {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        ({"location": {"latitude": None}}, {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (
            {"paid_media": {"star_count": 1}, "caption": "чек"},
            {"kind": InboundKind.TEXT, "text": "чек\n\n[платная запись]"},
        ),
    ],
    ids=lambda value: "-".join(map(str, value)) if "kind" not in value and "files" not in value else "",
)
def test_message_is_read(content: dict[str, object], expected: dict[str, object]):
    inbound = read(message(**content))
    assert {name: getattr(inbound, name) for name in expected} == expected
    assert inbound.event_key == "880000007"
    if inbound.kind is not InboundKind.IGNORED:
        assert (inbound.user_key, inbound.chat_key, inbound.message_key) == ("523", "523", "41")
        assert (inbound.sent_at, inbound.user_name) == (SENT_AT, "Ольга Смирнова")


@pytest.mark.parametrize(
    "content",
    [
        {"text": 5},
        {"text": "когда?", "date": "вчера"},
        {"document": {"file_id": "D1"}, "caption": 5},
        {"rich_message": {"blocks": 5}},
        {"text": "когда?", "from": {"id": 523, "is_bot": False}},
    ],
    ids=["text", "date", "caption", "blocks", "name"],
)
def test_message_that_fits_no_schema_is_still_somebodys(content: dict[str, object]):
    inbound = read(message(**content))
    assert (inbound.kind, inbound.text) == (InboundKind.OTHER, UNREADABLE_MESSAGE)
    assert (inbound.user_key, inbound.chat_key, inbound.sent_at) == ("523", "523", NOW)


def block(kind: str, **fields: object) -> dict[str, object]:
    return {"type": kind, **fields}


def written(text: object) -> dict[str, object]:
    return block("paragraph", text=text)


def deep(levels: int) -> dict[str, object]:
    inner = written("слишком глубоко")
    for _ in range(levels):
        inner = block("details", summary="глубже", blocks=[inner])
    return inner


LIST = [
    {"label": "1.", "blocks": [written("ООО «Лес»")]},
    {
        "label": "2.",
        "has_checkbox": True,
        "is_checked": True,
        "blocks": [written("ИП Ким"), block("footer", text="Омск")],
    },
    {"label": "", "has_checkbox": True, "blocks": [written("АО «Дом»")]},
]
QUOTATIONS = [
    block("blockquote", blocks=[written("цитата")], credit="Пётр"),
    block("pullquote", text="ещё", credit=["О", "льга"]),
    block("details", summary="Подробно", blocks=[block("pre", text={"type": "code", "text": "a\0b"})]),
    block("mathematical_expression", expression="2+2"),
    written([{"type": "custom_emoji", "alternative_text": "!"}, {"type": "anchor", "name": "a"}]),
]
PLACE = block(
    "map", location={"latitude": 55.75, "longitude": 37.61}, caption={"text": "мы тут", "credit": "я"}
)


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([written("Нужен акт")], "Нужен акт"),
        ([written(["до ", {"type": "bold", "text": ["пят", {"type": "x", "text": "ницы"}]}])], "до пятницы"),
        ([written({"type": "url", "text": "сюда", "url": "https://a.b"}), block("divider")], "сюда"),
        ([block("list", items=LIST)], "1. ООО «Лес»\n2. [x] ИП Ким\nОмск\n[ ] АО «Дом»"),
        (
            [block("table", cells=[[{"text": "Май"}, {"align": "left"}, {"text": "5"}]], caption="Суммы")],
            "Май |  | 5\nСуммы",
        ),
        (QUOTATIONS, "цитата\nПётр\nещё\nОльга\nПодробно\nab\n2+2\n!"),
        ([written("до"), "после"], f"до\n\n[{UNREADABLE}]"),
        ([PLACE], "мы тут\nя\n\n[геопозиция 55.75, 37.61]"),
        ([deep(40)], "\n".join(["глубже"] * 31)),
    ],
    ids=["paragraph", "pieces", "link", "list", "table", "quotations", "broken", "place", "deep"],
)
def test_rich_message_is_read(blocks: list[object], text: str):
    inbound = read(message(rich_message={"blocks": blocks}))
    assert (inbound.kind, inbound.text, inbound.files) == (InboundKind.TEXT, text, ())
    edited = message(rich_message={"blocks": blocks}, edit_date=int(NOW.timestamp()))
    inbound = read({"update_id": 10, "edited_message": edited["message"]})
    assert (inbound.kind, inbound.text) == (InboundKind.EDITED, text)


def test_files_of_a_rich_message_are_taken():
    photo = [{"file_id": "L", "width": 1280, "height": 960}]
    inner = [block("photo", photo=photo), block("video", video={"width": 9})]
    shown = [
        block("collage", blocks=inner, caption={"text": "чеки"}),
        block("list", items=[{"label": "•", "blocks": [block("voice_note", voice_note={"file_id": "V"})]}]),
    ]
    inbound = read(message(rich_message={"blocks": shown}))
    assert (inbound.kind, inbound.text) == (InboundKind.FILE, f"чеки\n•\n\n[{UNREADABLE}]")
    assert [(each.reference, each.role) for each in inbound.files] == [
        ("L", FileRole.PHOTO),
        ("V", FileRole.VOICE),
    ]


def test_rich_message_of_nothing_is_no_answer():
    inbound = read(message(rich_message={"blocks": [block("divider")]}))
    assert (inbound.kind, inbound.text) == (InboundKind.OTHER, "сообщение незнакомого вида")


def test_album_shares_a_group():
    parts = [read(message(document={"file_id": str(n)}, media_group_id="12")) for n in range(3)]
    assert {part.group_id for part in parts} == {"12"}


def press(**more: object) -> dict[str, object]:
    shown = {"message_id": 7, "chat": PRIVATE, "date": 1, "text": "Согласны?"}
    head = {
        "id": "224827",
        "from": PERSON,
        "message": shown,
        "chat_instance": "-3",
        "data": "form:consent:yes:1",
    }
    return {"update_id": 9, "callback_query": head | more}


@pytest.mark.parametrize(
    ("more", "chat_key", "message_key"),
    [
        ({}, "523", "7"),
        ({"message": {"message_id": 7, "chat": PRIVATE, "date": 0}}, "523", "7"),
        ({"message": None}, "523", None),
    ],
    ids=["usual", "inaccessible message", "no message"],
)
def test_press_is_read(more: dict[str, object], chat_key: str, message_key: str | None):
    inbound = read(press(**more))
    assert (inbound.kind, inbound.button) == (InboundKind.BUTTON, "form:consent:yes:1")
    assert (inbound.acknowledge, inbound.sent_at) == ("224827", NOW)
    assert (inbound.chat_key, inbound.message_key) == (chat_key, message_key)


@pytest.mark.parametrize(
    "update",
    [
        press(message={"message_id": 7, "chat": GROUP, "date": 1}),
        press(data=None),
        {"update_id": 9, "channel_post": {"message_id": 1, "chat": {"id": -1, "type": "channel"}, "date": 1}},
        {"update_id": 9, "message_reaction": {}},
        {"update_id": 9},
        {"update_id": 9, "message": [1, 2]},
        {"update_id": 9, "message": {"chat": {}}},
    ],
    ids=["group", "no data", "channel", "unasked kind", "empty", "list", "hollow"],
)
def test_what_is_not_for_us_is_ignored(update: dict[str, object]):
    inbound = read(update)
    assert (inbound.kind, inbound.event_key) == (InboundKind.IGNORED, "9")


def test_edit_names_its_message():
    edited = message(text="исправлено", edit_date=int(NOW.timestamp()))
    inbound = read({"update_id": 10, "edited_message": edited["message"]})
    assert (inbound.kind, inbound.text, inbound.message_key) == (InboundKind.EDITED, "исправлено", "41")
    assert (inbound.event_key, inbound.sent_at) == ("10", NOW)


def test_a_live_location_on_the_move_is_no_correction():
    moved = message(location={"latitude": 55.75, "longitude": 37.61}, edit_date=int(SENT_AT.timestamp()) + 9)
    inbound = read({"update_id": 11, "edited_message": moved["message"]})
    assert inbound.kind is InboundKind.IGNORED


@pytest.mark.parametrize(
    ("status", "chat", "kind"),
    [
        ("kicked", PRIVATE, InboundKind.BLOCKED),
        ("member", PRIVATE, InboundKind.UNBLOCKED),
        ("administrator", PRIVATE, InboundKind.IGNORED),
        ("kicked", GROUP, InboundKind.IGNORED),
    ],
)
def test_membership_is_read(status: str, chat: dict[str, object], kind: InboundKind):
    change = {"chat": chat, "from": PERSON, "date": 1_775_025_800, "new_chat_member": {"status": status}}
    assert read({"update_id": 11, "my_chat_member": change}).kind is kind


_KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        "message edited_message callback_query my_chat_member from chat id type date text data document "
        "photo contact location venue poll file_id file_name file_size width height first_name phone_number "
        "new_chat_member status message_id caption edit_date media_group_id rich_message blocks items cells "
        "summary credit label",
    )
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["private", "kicked"]),
)
_WILD = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(_KEYS, _WILD, max_size=4))
def test_no_update_breaks_the_reader(wild: dict[str, object]):
    inbound = parse({**wild, "update_id": 5}, NOW)
    assert inbound.event_key == "5"
    assert isinstance(inbound.text, str)
    assert inbound.sent_at.tzinfo is not None


@given(_WILD, st.sampled_from(["text", "document", "photo", "contact", "chat", "from", "date"]))
def test_no_message_breaks_the_reader(wild: object, name: str):
    update = message(text="а")
    if name in ("document", "photo", "contact"):
        del update["message"]["text"]  # type: ignore[attr-defined]
    update["message"][name] = wild  # type: ignore[index]
    inbound = parse(update, NOW)
    assert inbound.kind in InboundKind
    assert all(type(text) is str for file in inbound.files for text in (file.reference, file.name))


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({}, "token"),
        ({"token": "from BotFather"}, "token"),
        ({"token": "1:a", "mode": "push"}, "mode"),
        ({"token": "1:a", "mode": "webhook"}, "secret"),
        ({"token": "1:a", "mode": "webhook", "secret": "с пробелом"}, "secret"),
        ({"token": "1:a", "mode": "webhook", "secret": "a" * 257}, "secret"),
        ({"token": "1:a", "api_base_url": "api.telegram.org"}, "api_base_url"),
        ({"token": "1:a", "proxy": "localhost:1080"}, "proxy"),
        ({"token": "1:a", "tokken": "1:a"}, "tokken"),
        ({"token": "1:a", "messages_per_second": 0}, "messages_per_second"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_settings_are_refused(section: dict[str, object], named: str):
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(section)
    assert named in str(refused.value)


def test_refusal_of_settings_hides_the_token():
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"token": "12:se cret", "mode": "webhook"})
    assert "se cret" not in str(refused.value)


def test_import_is_cheap():
    script = (
        "import sys, bots.telegram; print([name for name in sys.modules if name in ('aiogram', 'aiohttp')])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout.strip() == "[]"


# ---------------------------------------------------------------------- polling


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
async def telegram(clock: Clock) -> AsyncIterator[TelegramEmulator]:
    async with TelegramEmulator(now=clock) as emulator:
        yield emulator


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
async def channel(telegram: TelegramEmulator, shelf: Shelf) -> AsyncIterator[TelegramChannel]:
    made = TelegramChannel(settings_for(telegram), shelf, QUICK)
    yield made
    await made.close()


@pytest.fixture
async def hasty(telegram: TelegramEmulator, shelf: Shelf) -> AsyncIterator[TelegramChannel]:
    """For calls that are never answered."""
    made = TelegramChannel(settings_for(telegram, send_timeout_seconds=HASTY_SECONDS), shelf, QUICK)
    yield made
    await made.close()


@pytest.fixture
async def hooked(telegram: TelegramEmulator, shelf: Shelf) -> AsyncIterator[TelegramChannel]:
    made = TelegramChannel(settings_for(telegram, "webhook"), shelf, QUICK)
    yield made
    await made.close()


@pytest.fixture
def chat(telegram: TelegramEmulator) -> Chat:
    return telegram.chat(523)


def harness_of(channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat) -> TelegramHarness:
    return TelegramHarness(channel, telegram, chat, "polling")


class SlowHouse(House):
    """Looks at what Telegram holds for confirmed while it stores."""

    def __init__(self, telegram: TelegramEmulator) -> None:
        super().__init__()
        self.telegram = telegram
        self.confirmed: list[int] = []

    async def accept(self, inbounds: Sequence[Inbound], cursor: Cursor | None) -> None:
        await asyncio.sleep(0.05)
        self.confirmed.append(self.telegram.confirmed)
        await super().accept(inbounds, cursor)


async def test_nothing_is_confirmed_before_it_is_stored(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    house = SlowHouse(telegram)
    await chat.says("первое")
    async with house.runs(harness_of(channel, telegram, chat)):
        (first,) = await house.receives(1)
        while telegram.pending:
            await asyncio.sleep(0.01)
    assert house.confirmed == [0]
    assert telegram.confirmed == int(first.event_key) + 1
    assert house.cursor == str(telegram.confirmed)


async def test_stored_cursor_is_where_polling_goes_on(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    for text in ("старое", "новое"):
        await chat.says(text)
    house = House(cursor="880000002")
    async with house.runs(harness_of(channel, telegram, chat)):
        inbounds = await house.receives(1)
    assert [inbound.text for inbound in inbounds] == ["новое"]


async def test_numbers_that_start_anew_are_taken(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    house = House()
    async with house.runs(harness_of(channel, telegram, chat)):
        await chat.says("до отпуска")
        await house.receives(1)
        # The poll that confirmed the update has ended, and found nothing.
        while "offset" not in (polls := polls_of(telegram))[-1]:
            await asyncio.sleep(0.01)
        telegram._next_update_id = 17
        await chat.says("после отпуска")
        inbounds = await house.receives(2)
    assert [inbound.event_key for inbound in inbounds][-1] == "17"
    assert polls[0]["allowed_updates"] == ["message", "edited_message", "callback_query", "my_chat_member"]


def polls_of(telegram: TelegramEmulator) -> list[Mapping[str, object]]:
    """What was asked for in the polls that have ended."""
    return [each.params for each in telegram.requests if each.method == "getUpdates"] or [{}]


async def test_burst_comes_in_batches_and_in_order(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    for number in range(250):
        await chat.says(str(number))
    house = House()
    async with house.runs(harness_of(channel, telegram, chat)):
        inbounds = await house.receives(250)
    assert [inbound.text for inbound in inbounds] == [str(number) for number in range(250)]
    assert house.calls == 3


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"status": 502}, "telegram refuses to work"),
        ({"retry_after": 1}, "telegram asks for silence"),
        ({"status": 429}, "telegram asks for silence"),
        ({"status": 401, "description": "Unauthorized"}, "does not know this token"),
        ({"status": 409, "description": "Conflict: terminated by other getUpdates"}, "another process"),
        ({"drops": True}, "does not answer"),
        ({"body": b'{"ok":true,"result":[{"upda'}, "does not answer"),
        ({"body": b'{"ok":true,"result":[{"message":{}}]}'}, "without numbers"),
        ({"body": b'{"ok":true,"result":{"update_id":1}}'}, None),
        ({"body": b"<html>blocked by order</html>"}, "does not answer"),
    ],
    ids=[
        "5xx",
        "429",
        "429 without end",
        "401",
        "409",
        "broken",
        "truncated",
        "unnumbered",
        "not a list",
        "not telegram",
    ],
)
async def test_polling_survives(
    *,
    channel: TelegramChannel,
    telegram: TelegramEmulator,
    chat: Chat,
    spoilt: dict[str, object],
    said: str | None,
    capsys: pytest.CaptureFixture[str],
):
    telegram.fail_next("getUpdates", times=2, **spoilt)  # type: ignore[arg-type]
    await chat.says("я здесь")
    house = House()
    async with house.runs(harness_of(channel, telegram, chat)):
        await house.receives(1)
    printed = capsys.readouterr().out
    assert said is None or said in printed
    assert telegram.token not in printed


async def test_half_surrogate_does_not_stop_the_queue(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    update = message(text="ВОТ")
    body = json.dumps({"ok": True, "result": [update]}, ensure_ascii=True).replace("\\u0412", "\\ud83d")
    telegram.fail_next("getUpdates", body=body.encode())
    house = House()
    async with house.runs(harness_of(channel, telegram, chat)):
        (inbound,) = await house.receives(1)
    assert inbound.text == "?ОТ"


async def test_polling_takes_the_webhook_away_and_drops_nothing(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    async with aiohttp.ClientSession() as session:
        hook = {"url": free_address() + "/nobody"}
        await session.post(f"{telegram.base_url}/bot{telegram.token}/setWebhook", json=hook)
    await chat.says("пока стоял вебхук")
    house = House()
    async with house.runs(harness_of(channel, telegram, chat)):
        (inbound,) = await house.receives(1)
    assert inbound.text == "пока стоял вебхук"


async def test_press_expires_but_text_does_not(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat, clock: Clock
):
    await channel.send(Parcel("k", "523", "Согласны?", ROWS))
    await chat.presses("Согласен")
    await chat.says("согласен")
    clock.ahead_seconds = 151
    house = House()
    async with house.runs(harness_of(channel, telegram, chat)):
        inbounds = await house.receives(1)
    assert [inbound.kind for inbound in inbounds] == [InboundKind.TEXT]


async def test_album_photo_and_edit_come_through(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    house = House()
    async with house.runs(harness_of(channel, telegram, chat)):
        await chat.sends_album([("1.pdf", b"one"), ("2.pdf", b"two")], caption="оплатить оба")
        await chat.sends_photo(b"\xff\xd8" * 500)
        await chat.says("до пятницы")
        await chat.edits("до среды")
        inbounds = await house.receives(5)
        photo = b"".join([chunk async for chunk in channel.open_file(inbounds[2].files[0])])
    assert [inbound.kind for inbound in inbounds] == [
        *[InboundKind.FILE] * 3,
        InboundKind.TEXT,
        InboundKind.EDITED,
    ]
    assert inbounds[0].group_id == inbounds[1].group_id is not None
    assert [inbound.text for inbound in inbounds] == ["оплатить оба", "", "", "до пятницы", "до среды"]
    assert inbounds[4].message_key == inbounds[3].message_key
    assert photo == b"\xff\xd8" * 500


# ---------------------------------------------------------------------- the webhook


async def posts(url: str, body: bytes, secret: str | None = HOOK_SECRET) -> int:
    headers = {"Content-Type": "application/json"} | ({SECRET_HEADER: secret} if secret is not None else {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [
        (b'{"update_id": 5}', HOOK_SECRET, 200),
        (b'{"update_id": 5}', None, 403),
        (b'{"update_id": 5}', "", 403),
        (b'{"update_id": 5}', HOOK_SECRET + "x", 403),
        (b"{}", "ключ".encode().decode("latin-1"), 403),
        (b'{"update_id": ', HOOK_SECRET, 400),
        (b"[" * 100_000, HOOK_SECRET, 400),
        (b"[]", HOOK_SECRET, 400),
        (b'{"update_id": "5"}', HOOK_SECRET, 400),
        (b" " * (MAX_HOOK_BYTES + 1), HOOK_SECRET, 413),
        (b" " * (MAX_HOOK_BYTES + 1), "guessed", 403),
    ],
    ids=[
        "right", "no secret", "empty secret", "longer secret", "odd secret", "cut short", "deep", "a list",
        "no number", "too large", "too large and forged",
    ],
)  # fmt: skip
async def test_webhook_answers(
    *,
    hooked: TelegramChannel,
    telegram: TelegramEmulator,
    chat: Chat,
    body: bytes,
    secret: str | None,
    status: int,
):
    house = House()
    async with house.runs(harness_of(hooked, telegram, chat)):
        while not telegram.hook_url:
            await asyncio.sleep(0.01)
        assert await posts(telegram.hook_url, body, secret) == status
    assert len(house.received) == (status == 200)


async def test_webhook_acknowledges_after_the_commit(
    hooked: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    house = House()
    async with house.runs(harness_of(hooked, telegram, chat)):
        while not telegram.hook_url:
            await asyncio.sleep(0.01)
        house.refuses(1)
        assert await posts(telegram.hook_url, json.dumps(message(text="а")).encode()) == 503
        assert house.received == []
        assert await posts(telegram.hook_url, json.dumps(message(text="а")).encode()) == 200
        assert len(house.received) == 1
    assert telegram.hook_secret == HOOK_SECRET
    assert telegram.hook_url.endswith(HOOK_PATH)


async def test_health_notices_a_stolen_webhook(
    hooked: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    house = House()
    async with house.runs(harness_of(hooked, telegram, chat)):
        while not telegram.hook_url:
            await asyncio.sleep(0.01)
        assert (await hooked.health()).reachable
        async with aiohttp.ClientSession() as session:
            hook = {"url": "https://example.org/theirs"}
            await session.post(f"{telegram.base_url}/bot{telegram.token}/setWebhook", json=hook)
        health = await hooked.health()
    assert (health.reachable, health.detail) == (False, "the webhook is set to another address")


def test_polling_has_no_routes(telegram: TelegramEmulator, channel: TelegramChannel):
    assert list(channel.routes(None)) == []  # type: ignore[arg-type]


# ---------------------------------------------------------------------- sending


async def test_plain_message_has_no_preview_and_no_markup(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    outcome = await channel.send(Parcel("k", "523", "https://example.org _так_", ROWS))
    shown = await chat.answer()
    assert outcome == Sent(str(shown.message_id))
    assert telegram.requests[-1].params == {
        "chat_id": 523,
        "text": "https://example.org _так_",
        "link_preview_options": {"is_disabled": True},
        "reply_markup": {"inline_keyboard": [[{"text": "Согласен", "callback_data": "form:consent:yes:1"}]]},
    }


@pytest.mark.parametrize(
    ("count", "text", "rows", "messages"),
    [
        (1, "Готово.", ROWS, [("Готово.", 1, ["Согласен"])]),
        (1, "а" * 1025, ROWS, [("а" * 1025, 0, ["Согласен"]), ("", 1, [])]),
        (1, "", ROWS, [("", 1, ["Согласен"])]),
        (2, "Готово.", ROWS, [("Готово.", 0, ["Согласен"]), ("", 1, []), ("", 1, [])]),
        (2, "", ROWS, [("", 1, ["Согласен"]), ("", 1, [])]),
        (11, "Все.", (), [("Все.", 0, []), *[("", 1, [])] * 11]),
    ],
    ids=["caption", "too long for a caption", "file alone", "group", "group with buttons only", "eleven"],
)
async def test_files_are_sent_in_few_messages(
    *,
    channel: TelegramChannel,
    chat: Chat,
    shelf: Shelf,
    count: int,
    text: str,
    rows: tuple[tuple[ShownButton, ...], ...],
    messages: list[tuple[str, int, list[str]]],
):
    files = tuple(shelf.add(f"Файл «{number}».pdf", b"%PDF" + bytes([number])) for number in range(count))
    outcome = await channel.send(Parcel("k", "523", text, rows, files))
    shown = chat.messages
    assert [(each.text, len(each.files), each.buttons) for each in shown] == messages
    assert [file for each in shown for file in each.files] == [
        (f"Файл «{number}».pdf", b"%PDF" + bytes([number])) for number in range(count)
    ]
    assert outcome == Sent(str(shown[-1].message_id))


async def test_file_name_cannot_break_out(channel: TelegramChannel, chat: Chat, shelf: Shelf):
    file = shelf.add('a"; name="chat_id"\r\nX: \\1.pdf', b"%PDF")
    assert isinstance(await channel.send(Parcel("k", "523", "", (), (file,))), Sent)
    assert chat.messages[0].files == [("a'; name='chat_id'  X: _1.pdf", b"%PDF")]


async def test_large_file_is_streamed_whole(channel: TelegramChannel, chat: Chat, shelf: Shelf):
    content = bytes(range(256)) * 20_000
    assert isinstance(await channel.send(Parcel("k", "523", "", (), (shelf.add("a.zip", content),))), Sent)
    assert chat.messages[0].files == [("a.zip", content)]


async def test_what_was_sent_is_not_sent_twice_when_the_rest_is_tried_again(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat, shelf: Shelf
):
    parcel = Parcel("k", "523", "Вот акты.", (), (shelf.add("1.pdf", b"1"), shelf.add("2.pdf", b"2")))
    telegram.fail_next("sendMediaGroup", retry_after=3)
    outcome = await channel.send(parcel)
    assert isinstance(outcome, Retry)
    assert outcome.after_seconds == 3
    assert isinstance(await channel.send(parcel), Sent)
    assert [each.text for each in chat.messages] == ["Вот акты.", "", ""]
    assert isinstance(await channel.send(replace(parcel, key="k2")), Sent)
    assert [each.text for each in chat.messages][3:] == ["Вот акты.", "", ""]


async def test_what_was_sent_is_not_sent_twice_after_a_cancellation(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat, shelf: Shelf
):
    parcel = Parcel("k", "523", "Вот акты.", (), (shelf.add("1.pdf", b"1"), shelf.add("2.pdf", b"2")))
    telegram.fail_next("sendMediaGroup", hangs=True)
    await cancelled_when(lambda: not telegram._misbehaviours, channel.send(parcel))
    assert isinstance(await channel.send(parcel), Sent)
    assert [each.text for each in chat.messages] == ["Вот акты.", "", ""]


@pytest.mark.parametrize(
    ("status", "description", "outcome"),
    [
        (403, "Forbidden: bot was blocked by the user", Blocked),
        (403, "Forbidden: user is deactivated", Blocked),
        (403, "Forbidden: bot can't initiate conversation with a user", Blocked),
        (400, "Bad Request: chat not found", Blocked),
        (400, "Bad Request: PEER_ID_INVALID", Blocked),
        (400, "Bad Request: message is too long", Rejected),
        (413, "Request Entity Too Large", Rejected),
        (418, "I'm a teapot", Rejected),
        (401, "Unauthorized", TokenRevoked),
        (404, "Not Found", TokenRevoked),
        (500, "Internal Server Error", Retry),
        (502, "Bad Gateway", Retry),
        (504, "Gateway Timeout: restart", Retry),
    ],
)
async def test_refusal_is_understood(
    *,
    channel: TelegramChannel,
    telegram: TelegramEmulator,
    chat: Chat,
    status: int,
    description: str,
    outcome: type,
):
    telegram.fail_next("sendMessage", status=status, description=f"{description} {telegram.token}")
    got = await channel.send(Parcel("k", "523", "Вы здесь?"))
    assert type(got) is outcome
    assert description in str(got)
    assert telegram.token not in str(got)


async def test_only_the_network_and_the_server_silence_everybody(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    telegram.fail_next("sendMessage", retry_after=7)
    assert await channel.send(Parcel("k", "523", "а")) == Retry(
        7, reason="Flood control exceeded on method 'sendMessage'. Retry in 7 seconds.\n"
        "Original description: Too Many Requests: retry after 7",
    )  # fmt: skip
    telegram.fail_next("sendMessage", status=502)
    broken = await channel.send(Parcel("k", "523", "а"))
    assert isinstance(broken, Retry)
    assert broken.whole_channel


@pytest.mark.parametrize(
    ("spoilt", "after_seconds"),
    [
        ({"status": 429}, None),
        ({"retry_after": 0}, None),
        ({"retry_after": -5}, None),
        ({"retry_after": 10**12}, LONGEST_SILENCE_SECONDS),
        ({"status": 429, "headers": {"Retry-After": "12"}}, 12),
        (
            {"status": 429, "headers": {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}},
            LONGEST_SILENCE_SECONDS,
        ),
    ],
    ids=str,
)
async def test_letter_that_comes_too_soon_is_not_thrown_away(
    *,
    channel: TelegramChannel,
    telegram: TelegramEmulator,
    chat: Chat,
    spoilt: dict[str, object],
    after_seconds: float | None,
):
    telegram.fail_next("sendMessage", description="Too Many Requests", **spoilt)  # type: ignore[arg-type]
    got = await channel.send(Parcel("k", "523", "а"))
    assert isinstance(got, Retry)
    assert (got.after_seconds, got.whole_channel) == (after_seconds, False)
    assert "Too Many Requests" in got.reason
    assert isinstance(await channel.send(Parcel("k", "523", "а")), Sent)


@pytest.mark.parametrize(
    ("spoilt", "outcome", "arrives"),
    [
        ({"hangs": True}, Unknown, False),
        ({"hangs": True, "after_effect": True}, Unknown, True),
        ({"drops": True}, Unknown, False),
        ({"drops": True, "after_effect": True}, Unknown, True),
        ({"body": b'{"ok":tr', "after_effect": True}, Unknown, True),
        ({"body": b"<html>OK</html>"}, Unknown, False),
        ({"body": b'{"ok":false}'}, Unknown, False),
        ({"body": b'{"ok":true,"result":true}', "after_effect": True}, Sent, True),
        ({"status": 400, "migrate_to_chat_id": -100}, Rejected, False),
    ],
    ids=[
        "hangs before", "hangs after", "breaks before", "breaks after", "truncated", "a page", "neither",
        "no message in the answer", "migrated",
    ],
)  # fmt: skip
async def test_lost_answer_is_unknown(
    *,
    channel: TelegramChannel,
    hasty: TelegramChannel,
    telegram: TelegramEmulator,
    chat: Chat,
    spoilt: dict[str, object],
    outcome: type,
    arrives: bool,
):
    telegram.fail_next("sendMessage", **spoilt)  # type: ignore[arg-type]
    sender = hasty if "hangs" in spoilt else channel
    assert isinstance(await sender.send(Parcel("k", "523", "Вы здесь?")), outcome)
    assert len(chat.messages) == arrives


async def test_page_of_a_provider_blames_nobody(shelf: Shelf):
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\nConnection: close\r\n\r\nblocked")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        channel = TelegramChannel(Settings.model_validate({"token": "1:a", "api_base_url": address}), shelf)
        outcome = await channel.send(Parcel("k", "523", "Вы здесь?"))
        assert outcome == Retry(reason="status 403 from somebody who is not Telegram", whole_channel=True)
        await channel.close()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_dead_proxy_means_not_sent(telegram: TelegramEmulator, shelf: Shelf, scheme: str):
    proxy = free_address().replace("http", f"{scheme}", 1).replace("//", "//user:hidden@", 1)
    channel = TelegramChannel(settings_for(telegram, proxy=proxy), shelf)
    telegram.chat(523)
    outcome = await channel.send(Parcel("k", "523", "Вы здесь?"))
    assert isinstance(outcome, Retry)
    assert outcome.whole_channel
    assert "hidden" not in outcome.reason
    assert not (await channel.health()).reachable
    await channel.close()


async def test_impossible_parcels_are_rejected(channel: TelegramChannel, chat: Chat, shelf: Shelf):
    assert isinstance(await channel.send(Parcel("k", "523", "")), Rejected)
    lost = replace(shelf.add("a.pdf", b"1"), sha256="ff" * 32)
    assert await channel.send(Parcel("k", "523", "Акт", (), (lost,))) == Rejected(
        "the stored file cannot be read: FileNotFoundError"
    )
    assert chat.messages == []


async def test_press_is_acknowledged_and_a_late_one_is_no_error(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat, clock: Clock
):
    await channel.send(Parcel("k", "523", "Согласны?", ROWS))
    inbound = replace(read(press()), acknowledge=await chat.presses("Согласен"))
    await channel.acknowledge_button(inbound)
    assert telegram.answered_presses == [inbound.acknowledge]
    clock.ahead_seconds = 200
    await channel.acknowledge_button(inbound)
    telegram.fail_next("answerCallbackQuery", drops=True)
    await channel.acknowledge_button(inbound)
    await channel.acknowledge_button(replace(inbound, acknowledge=None))
    assert [each.status for each in telegram.requests if each.method == "answerCallbackQuery"] == [
        200,
        400,
        500,
    ]


# ---------------------------------------------------------------------- files


async def downloaded(channel: TelegramChannel, file: IncomingFile) -> bytes:
    return b"".join([chunk async for chunk in channel.open_file(file)])


async def test_download_that_breaks_is_unavailable_and_names_no_address(
    channel: TelegramChannel, telegram: TelegramEmulator, chat: Chat
):
    file_id, _ = telegram.hold("documents", "a.pdf", b"%PDF" * 50_000)
    file = IncomingFile(file_id, "a.pdf")
    for spoilt in ({"drops": True}, {"status": 404}, {"drops": True, "after_effect": True}):
        # aiohttp itself repeats a download whose connection broke at once.
        telegram.fail_next("file", times=2, **spoilt)
        with pytest.raises(FileUnavailable) as refused:
            await downloaded(channel, file)
        assert telegram.token not in f"{refused.value!r} {refused.value.__cause__!r}"
        assert refused.value.__suppress_context__ or refused.value.__context__ is None
        telegram.forgive()
    telegram.fail_next("getFile", status=500)
    with pytest.raises(FileUnavailable):
        await downloaded(channel, file)
    assert await downloaded(channel, file) == b"%PDF" * 50_000


async def test_file_that_lies_about_its_size_is_cut_off(channel: TelegramChannel, telegram: TelegramEmulator):
    file_id, _ = telegram.hold("documents", "a.zip", bytes(21 * 1024 * 1024), size_bytes=5)
    sizes: list[int] = []

    async def take() -> None:
        async for chunk in channel.open_file(IncomingFile(file_id, "a.zip", 5)):
            sizes.append(len(chunk))

    with pytest.raises(FileRefused):
        await take()
    assert max(sizes) <= 64 * 1024
    assert sum(sizes) <= 20 * 1024 * 1024


# ---------------------------------------------------------------------- the emulator is strict


async def called(telegram: TelegramEmulator, method: str, **params: object) -> tuple[int, str]:
    url = f"{telegram.base_url}/bot{telegram.token}/{method}"
    async with aiohttp.ClientSession() as session, session.post(url, json=params) as response:
        answer = await response.json()
        return response.status, answer.get("description") or json.dumps(answer["result"])


def keyboard(*rows: list[dict[str, str]]) -> dict[str, object]:
    return {"inline_keyboard": list(rows)}


@pytest.mark.parametrize(
    ("method", "params", "status", "said"),
    [
        ("getMee", {}, 404, "Not Found"),
        ("sendMessage", {"chat_id": 523}, 400, "'text' is required"),
        ("sendMessage", {"chat_id": 523, "text": "a", "colour": "red"}, 400, "'colour'"),
        ("sendMessage", {"chat_id": [523], "text": "a"}, 400, "wrong type"),
        ("sendMessage", {"chat_id": 523, "text": " \n"}, 400, "message text is empty"),
        ("sendMessage", {"chat_id": 523, "text": "🙂" * 2049}, 400, "message is too long"),
        ("sendMessage", {"chat_id": 99, "text": "a"}, 400, "Bad Request: chat not found"),
        ("sendMessage", {"chat_id": 7, "text": "a"}, 403, "can't initiate conversation"),
        (
            "sendMessage",
            {
                "chat_id": 523,
                "text": "a",
                "reply_markup": keyboard([{"text": "a", "callback_data": "ж" * 33}]),
            },
            400,
            "BUTTON_DATA_INVALID",
        ),
        (
            "sendMessage",
            {"chat_id": 523, "text": "a", "reply_markup": keyboard([{"text": "", "callback_data": "a"}])},
            400,
            "text is empty",
        ),
        (
            "sendMessage",
            {
                "chat_id": 523,
                "text": "a",
                "reply_markup": keyboard([{"text": "a", "callback_data": "a"}] * 9),
            },
            400,
            "1 to 8",
        ),
        (
            "sendMessage",
            {
                "chat_id": 523,
                "text": "a",
                "reply_markup": keyboard(*[[{"text": "a", "callback_data": "a"}]] * 101),
            },
            400,
            "too long",
        ),
        ("getUpdates", {"limit": 101}, 400, "limit"),
        ("getFile", {"file_id": "none"}, 400, "wrong file_id"),
        ("answerCallbackQuery", {"callback_query_id": "1"}, 400, "query is too old"),
        ("setWebhook", {"url": "https://a.example", "secret_token": "a b"}, 400, "unallowed characters"),
        (
            "sendMediaGroup",
            {"chat_id": 523, "media": [{"type": "document", "media": "x"}]},
            400,
            "from 2 to 10",
        ),
    ],
)
async def test_emulator_refuses(
    telegram: TelegramEmulator, method: str, params: dict[str, object], status: int, said: str
):
    telegram.chat(523)
    telegram.chat(7, started=False)
    got = await called(telegram, method, **params)
    assert got[0] == status
    assert said in got[1]
    assert telegram.chat(523).messages == []


async def test_emulator_knows_its_token(telegram: TelegramEmulator):
    async with aiohttp.ClientSession() as session:
        for path, status in (("/bot1:other/getMe", 401), ("/botnonsense/getMe", 404), ("/", 404)):
            async with session.get(telegram.base_url + path) as response:
                assert (response.status, (await response.json())["error_code"]) == (status, status)


async def test_emulator_keeps_updates_until_they_are_confirmed(telegram: TelegramEmulator, chat: Chat):
    for text in "абв":
        await chat.says(text)

    async def texts(**params: int) -> list[str]:
        _, result = await called(telegram, "getUpdates", **params)
        return [update["message"]["text"] for update in json.loads(result)]

    assert await texts() == await texts() == ["а", "б", "в"]
    assert await texts(limit=2) == ["а", "б"]
    assert await texts(offset=880_000_002) == ["б", "в"]
    assert await texts() == ["б", "в"]
    assert await texts(offset=-1) == ["в"]
    assert await texts() == ["в"]
    telegram.repeat_last_update()
    assert await texts(offset=880_000_004) == ["в"]
    assert await texts() == []


async def test_emulator_lets_one_poller_in(telegram: TelegramEmulator):
    first = asyncio.create_task(called(telegram, "getUpdates", timeout=5))
    while telegram._poll is None:
        await asyncio.sleep(0.01)
    second = asyncio.create_task(called(telegram, "getUpdates", timeout=0))
    assert (await second)[0] == 200
    assert (await first)[0] == 409
    await called(telegram, "setWebhook", url="http://127.0.0.1:9/x")
    assert (await called(telegram, "getUpdates"))[0] == 409


async def test_emulator_limits_the_rate_in_earnest():
    async with TelegramEmulator(limits=RateLimits(chat_burst=3)) as telegram:
        telegram.chat(1)
        telegram.chat(2)
        statuses = [(await called(telegram, "sendMessage", chat_id=1, text="a"))[0] for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert (await called(telegram, "sendMessage", chat_id=2, text="a"))[0] == 200


async def test_emulator_refuses_an_edit_that_changes_nothing(telegram: TelegramEmulator, chat: Chat):
    await called(telegram, "sendMessage", chat_id=523, text="a")
    message_id = chat.messages[0].message_id
    edit = {"chat_id": 523, "message_id": message_id}
    assert (await called(telegram, "editMessageText", **edit, text="b"))[0] == 200
    assert "message is not modified" in (await called(telegram, "editMessageText", **edit, text="b"))[1]
    assert (await called(telegram, "deleteMessage", **edit))[0] == 200
    assert (await called(telegram, "deleteMessage", **edit))[0] == 400


async def test_unmodified_aiogram_understands_the_emulator(telegram: TelegramEmulator, chat: Chat):
    """The library is a witness that the emulator speaks the API and not only our idea of it.

    In a process of its own: in this one aiogram's types were left unbuilt by our channel.
    """
    witness = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.channels.witness", telegram.base_url, telegram.token,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert witness.stdin is not None
    assert witness.stdout is not None
    assert await witness.stdout.readline() == b"sent\n"
    press_id = await chat.presses("Да")
    await chat.says("/start X")
    await chat.sends_photo(b"photo")
    await chat.sends_voice()
    await chat.sends_sticker()
    await chat.sends_contact("79161234567")
    await chat.sends_location()
    await chat.sends_file("счёт.pdf", b"content")
    await chat.edits("исправленная подпись")
    await chat.blocks()
    await witness.communicate(f"{press_id}\n".encode())
    assert witness.returncode == 0
    assert chat.messages[1].files == [("Акт.pdf", b"%PDF")]


def test_pauses_grow_to_a_limit():
    pauses = Pauses(first_seconds=1, longest_seconds=30)
    for failures, most in ((1, 1), (2, 2), (4, 8), (6, 30), (5000, 30)):
        assert all(most / 2 <= pauses.after(failures) <= most for _ in range(20))


def test_lengths_are_utf16():
    assert [utf16_length(text) for text in ("abc", "абв", "🙂", "e\u0301")] == [3, 3, 2, 2]
