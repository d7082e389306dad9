"""What only WhatsApp through Twilio does: its posts, its log, its templates and its window."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from yarl import URL

from bots.base import Doors, FileUnavailable, Misconfigured
from bots.rendering import fit
from bots.whatsapp import (
    HOOK_PATH,
    MAX_HOOK_BYTES,
    OUTSIDE_LENGTH,
    STATUS_PATH,
    WINDOW,
    Reconciling,
    Settings,
    WhatsAppChannel,
    parse,
    parse_status,
)
from bots.wire import LONGEST_SILENCE_SECONDS, UNREADABLE, UNREADABLE_MESSAGE, Answer, Wire
from forms.messages import Delivery, DeliveryState, FileRole, InboundKind, IncomingFile
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
from tests.channels.whatsapp import ADDRESS, QUICK, TEMPLATES, emulated, settings_for
from tests.emulators.whatsapp import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    SENDER,
    Media,
    Person,
    TwilioEmulator,
    quick_reply,
    sid_of,
)

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SID = "SM" + "7" * 32
MEDIA_URL = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/MM1/Media/ME1"
BUTTONS = tuple(ShownButton(label, f"form:a:{label}:1") for label in ("Да", "Нет", "Позже"))


# ---------------------------------------------------------------------- posts


def form(**more: str) -> dict[str, str]:
    head = {
        "MessageSid": SID,
        "AccountSid": ACCOUNT_SID,
        "From": ADDRESS,
        "To": SENDER,
        "WaId": "79165230001",
        "ProfileName": "Ольга",
        "NumMedia": "0",
        "MessageType": "text",
        "Body": "",
    }
    return head | more


def with_file(media_type: str, **more: str) -> dict[str, str]:
    return form(NumMedia="1", MediaUrl0=MEDIA_URL, MediaContentType0=media_type, **more)


def file(name: str, media_type: str | None, role: FileRole = FileRole.DOCUMENT) -> dict[str, object]:
    return {"kind": InboundKind.FILE, "files": (IncomingFile(MEDIA_URL, name, None, media_type, role),)}


@pytest.mark.parametrize(
    ("posted", "expected"),
    [
        (form(Body="Добрый день"), {"kind": InboundKind.TEXT, "text": "Добрый день"}),
        (form(Body="a\0b"), {"kind": InboundKind.TEXT, "text": "ab"}),
        (form(Body="/start"), {"kind": InboundKind.STARTED, "start_code": None}),
        (form(Body="/start X7_a-9"), {"kind": InboundKind.STARTED, "start_code": "X7_a-9"}),
        (form(Body="/started"), {"kind": InboundKind.TEXT}),
        (
            form(Body="Да", MessageType="button", ButtonText="Да", ButtonPayload="form:a:yes:1"),
            {"kind": InboundKind.BUTTON, "button": "form:a:yes:1", "text": ""},
        ),
        (
            form(Body="Отчёт", MessageType="interactive", ListId="form:a:report:1", ListTitle="Отчёт"),
            {"kind": InboundKind.BUTTON, "button": "form:a:report:1", "text": ""},
        ),
        (
            form(Body="Да", MessageType="button", ButtonText="Да", ButtonPayload=""),
            {"kind": InboundKind.TEXT, "text": "Да", "button": None},
        ),
        (
            form(MessageType="button", ButtonText="Да"),
            {"kind": InboundKind.TEXT, "text": "Да", "button": None},
        ),
        (
            form(MessageType="interactive", ListTitle="Отчёт"),
            {"kind": InboundKind.TEXT, "text": "Отчёт", "button": None},
        ),
        (form(Body="STOP", OptOutType="STOP"), {"kind": InboundKind.BLOCKED}),
        (form(Body="хватит", OptOutType="STOP"), {"kind": InboundKind.BLOCKED}),
        (form(Body="START", OptOutType="START"), {"kind": InboundKind.UNBLOCKED}),
        (form(Body="HELP", OptOutType="HELP"), {"kind": InboundKind.TEXT}),
        (form(Body=" stop "), {"kind": InboundKind.BLOCKED}),
        (form(Body="СТОП"), {"kind": InboundKind.BLOCKED}),
        (form(Body="стоп"), {"kind": InboundKind.TEXT}),
        (
            with_file("image/jpeg", Body="чек"),
            file("Фото.jpg", "image/jpeg", FileRole.PHOTO) | {"text": "чек"},
        ),
        (with_file("application/pdf"), file("Документ.pdf", "application/pdf") | {"text": ""}),
        (
            with_file("application/pdf", Body="Акт сверки.PDF"),
            file("Акт сверки.PDF", "application/pdf") | {"text": ""},
        ),
        (
            with_file("application/pdf", Body="оплатить до 12.12"),
            file("Документ.pdf", "application/pdf") | {"text": "оплатить до 12.12"},
        ),
        (with_file("application/x-dwg"), file("Документ", "application/x-dwg")),
        (with_file(""), file("Документ", None)),
        (
            with_file("audio/ogg; codecs=opus"),
            file("Голосовое сообщение.ogg", "audio/ogg", FileRole.VOICE),
        ),
        (with_file("audio/mpeg"), file("Аудио.mp3", "audio/mpeg")),
        (with_file("video/mp4"), file("Видео.mp4", "video/mp4", FileRole.VIDEO)),
        (
            with_file("text/vcard", MessageType="contacts"),
            {"kind": InboundKind.OTHER, "text": "карточка контакта", "files": ()},
        ),
        (with_file("image/webp"), {"kind": InboundKind.OTHER, "text": "наклейка", "files": ()}),
        (
            form(MessageType="location", Latitude="55.751244", Longitude="37.618423"),
            {"kind": InboundKind.OTHER, "text": "геопозиция 55.751, 37.618"},
        ),
        (
            form(Latitude="55.7", Longitude="37.6", Label="Офис", Address="Тверская, 1"),
            {"kind": InboundKind.OTHER, "text": "место «Офис», Тверская, 1"},
        ),
        (
            form(Body="мы здесь", Latitude="55.7", Longitude="37.6"),
            {"kind": InboundKind.TEXT, "text": "мы здесь\n\n[геопозиция 55.7, 37.6]"},
        ),
        (form(MessageType="order"), {"kind": InboundKind.OTHER, "text": "сообщение незнакомого вида"}),
        (
            form(From="whatsapp:RU.13491208655302741918", Body="я"),
            {"chat_key": "whatsapp:RU.13491208655302741918"},
        ),
        (form(From=""), {"kind": InboundKind.IGNORED}),
        (form(NumMedia="1"), {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (
            form(NumMedia="1", Body="акт за октябрь"),
            {"kind": InboundKind.TEXT, "text": f"акт за октябрь\n\n[{UNREADABLE}]", "files": ()},
        ),
        (
            with_file("image/jpeg", Body="чеки") | {"NumMedia": "2"},
            file("Фото.jpg", "image/jpeg", FileRole.PHOTO) | {"text": f"чеки\n\n[{UNREADABLE}]"},
        ),
        (
            with_file("text/vcard", Body="звоните ему"),
            {"kind": InboundKind.TEXT, "text": "звоните ему\n\n[карточка контакта]", "files": ()},
        ),
        (form(Latitude="здесь"), {"kind": InboundKind.OTHER, "text": UNREADABLE}),
        (
            form(Latitude="здесь", Body="мы на месте"),
            {"kind": InboundKind.TEXT, "text": f"мы на месте\n\n[{UNREADABLE}]"},
        ),
    ],
)
def test_post_becomes_inbound(posted: dict[str, str], expected: dict[str, object]):
    inbound = parse(posted, NOW)
    assert {name: getattr(inbound, name) for name in expected} == expected
    assert (inbound.event_key, inbound.sent_at) == (SID, NOW)
    if inbound.kind is not InboundKind.IGNORED:
        assert inbound.user_key == inbound.chat_key
        assert (inbound.message_key, inbound.user_name) == (SID, "Ольга")


def test_message_that_fits_no_schema_is_still_somebodys():
    inbound = parse(form(NumMedia="many", Body="посмотрите"), NOW)
    assert (inbound.kind, inbound.text) == (InboundKind.OTHER, UNREADABLE_MESSAGE)
    assert (inbound.event_key, inbound.user_key, inbound.chat_key) == (SID, ADDRESS, ADDRESS)


def test_several_files_are_one_message():
    posted = form(
        NumMedia="2",
        MediaUrl0=MEDIA_URL,
        MediaContentType0="image/jpeg",
        MediaUrl1=f"{MEDIA_URL}2",
        MediaContentType1="image/png",
    )
    assert [each.name for each in parse(posted, NOW).files] == ["Фото.jpg", "Фото.png"]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("queued", "", None),
        ("sent", "", None),
        ("delivered", "", Delivery(DeliveryState.DELIVERED)),
        ("read", "", Delivery(DeliveryState.READ)),
        (
            "failed",
            "63016",
            Delivery(DeliveryState.FAILED, "63016: over 24 hours since the person wrote", window_closed=True),
        ),
        (
            "undelivered",
            "63024",
            Delivery(DeliveryState.FAILED, "63024: nobody is reached at this address", blocked=True),
        ),
        (
            "failed",
            "63019",
            Delivery(DeliveryState.FAILED, "63019: Twilio could not fetch the file from public_url"),
        ),
        ("failed", "", Delivery(DeliveryState.FAILED, "no reason given")),
        ("failed", "9" * 5000, Delivery(DeliveryState.FAILED, "no reason given")),
        ("failed", "²", Delivery(DeliveryState.FAILED, "no reason given")),
        (
            "failed",
            "12345",
            Delivery(DeliveryState.FAILED, "12345: https://www.twilio.com/docs/api/errors/12345"),
        ),
    ],
)
def test_status_becomes_a_proof(status: str, code: str, expected: Delivery | None):
    told = {"MessageSid": SID, "MessageStatus": status, "To": ADDRESS, "From": SENDER, "ErrorCode": code}
    inbound = parse_status(told, NOW)
    if expected is None:
        assert inbound is None
        return
    assert inbound is not None
    assert (inbound.kind, inbound.delivery) == (InboundKind.DELIVERY, expected)
    assert (inbound.event_key, inbound.message_key) == (f"{SID}:{status}", SID)
    assert inbound.chat_key == ADDRESS


_NAMES = st.sampled_from(
    [
        *form(),
        *("MediaUrl0", "MediaContentType0", "Latitude", "Longitude", "ButtonPayload", "ListId"),
        *("MessageStatus", "ErrorCode", "OptOutType", "Label"),
    ]
)
_VALUES = st.one_of(st.text(), st.sampled_from(["1", "-1", "9" * 5000, "nan", "STOP", "failed", "image/"]))


@given(st.dictionaries(_NAMES, _VALUES))
def test_no_post_is_too_strange(posted: dict[str, str]):
    assert parse(posted, NOW).sent_at == NOW
    parse_status(posted, NOW)


# ---------------------------------------------------------------------- settings

SECTION = {"account_sid": ACCOUNT_SID, "auth_token": "abc", "sender": "+14155230000"}


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (SECTION | {"sender": "8 (916) 523-00-01"}, "sender"),
        (SECTION | {"account_sid": "5e5e"}, "account_sid"),
        (SECTION | {"auth_token": "a b"}, "auth_token"),
        (SECTION | {"proxy": "localhost:1080"}, "proxy"),
        (SECTION | {"content_sids": {"quick_reply_4": sid_of("a")}}, "content_sids"),
        (SECTION | {"content_sids": {"outside": "my template"}}, "content_sids"),
        (
            SECTION | {"content_sids": {"quick_reply_1": sid_of("a"), "quick_reply_3": sid_of("b")}},
            "none for 2",
        ),
        (SECTION | {"colour": "green"}, "colour"),
    ],
)
def test_wrong_settings_are_named(section: dict[str, object], key: str):
    with pytest.raises(ValidationError, match=key) as refused:
        Settings.model_validate(section)
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize("sender", ["+14155230000", "whatsapp:+14155230000"])
def test_sender_may_be_given_in_two_ways(sender: str):
    assert Settings.model_validate(SECTION | {"sender": sender}).address == SENDER


# ---------------------------------------------------------------------- the parts


@dataclass(slots=True)
class Clock:
    """A clock that a test can move; Twilio and the house look at the same."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def passes(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass(slots=True)
class Stage:
    """The channel between Twilio, a person and the house."""

    twilio: TwilioEmulator
    channel: WhatsAppChannel
    olga: Person
    house: House
    doors: Doors
    clock: Clock
    shelf: Shelf
    refused: list[str] = field(default_factory=list)

    async def sends(self, text: str, *buttons: ShownButton, **more: Any) -> Any:
        rows = tuple((button,) for button in buttons)
        return await self.channel.send(Parcel(f"k{text}", ADDRESS, text, rows, **more))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Only the webhooks: nobody looks into the log."""
        async with serving(self.channel, self.doors):
            yield

    @asynccontextmanager
    async def running(self, *, served: bool = True) -> AsyncIterator[None]:
        doors = replace(self.doors, cursor=self.house.cursor)
        receiving = asyncio.create_task(self.channel.receive(doors))
        try:
            if served:
                async with serving(self.channel, doors):
                    yield
            else:
                yield
        finally:
            await stopped(receiving)


@asynccontextmanager
async def staged(
    shelf: Shelf, templates: Mapping[str, Mapping[str, Any]] | None = None, **more: Any
) -> AsyncIterator[Stage]:
    clock, refused, house = Clock(), list[str](), House()
    public_url = free_address()
    page_size = more.pop("page_size", 1000)
    async with emulated(templates, now=clock, page_size=page_size) as twilio, served_links(shelf) as link:
        channel = WhatsAppChannel(
            settings_for(twilio, templates, **more), link, QUICK, Reconciling(grace_seconds=60)
        )
        doors = Doors(house.accept, clock, public_url=public_url, refused=refused.append)
        channel.routes(doors)
        twilio.hook_url = public_url + HOOK_PATH
        olga = twilio.person(ADDRESS)
        olga.last_wrote_at = clock.at
        try:
            yield Stage(twilio, channel, olga, house, doors, clock, shelf, refused)
        finally:
            await channel.close()
        assert twilio.violations == []


@pytest.fixture
def shelf(tmp_path: Any) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
async def stage(shelf: Shelf) -> AsyncIterator[Stage]:
    async with staged(shelf, TEMPLATES) as opened:
        yield opened


@pytest.fixture
async def bare(shelf: Shelf) -> AsyncIterator[Stage]:
    """Without templates."""
    async with staged(shelf) as opened:
        yield opened


# ---------------------------------------------------------------------- who may post


async def test_signed_post_is_stored_and_answered(stage: Stage):
    async with stage.served():
        await stage.olga.says("Добрый день", Forwarded="", FrequentlyForwarded="")
        (inbound,) = await stage.house.receives(1)
    assert inbound.text == "Добрый день"
    assert stage.twilio.hook_statuses == [200]
    assert stage.refused == []


@pytest.mark.parametrize(
    "how",
    [
        {"signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        {"signature": "не подпись".encode().decode("latin-1")},
        {"headers": {"X-Twilio-Signature": ""}},
        {"signed_url": "https://elsewhere.example/hooks/whatsapp"},
    ],
    ids=["guessed", "no base64", "missing", "signed for another address"],
)
async def test_forged_post_is_turned_away(stage: Stage, how: dict[str, Any]):
    async with stage.served():
        assert await stage.twilio.posts(form(Body="я не Twilio"), **how) == 403
        assert (
            await stage.twilio.posts(form(Body="я не Twilio"), stage.doors.public_url + STATUS_PATH, **how)
            == 403
        )
    assert stage.refused == ["signature", "signature"]
    assert stage.house.received == []


async def test_every_parameter_is_signed(stage: Stage):
    good = form(Body="перевести 100")
    signature = stage.twilio.signature(stage.twilio.hook_url, list(good.items()))
    async with stage.served():
        for changed in (good | {"Body": "перевести 900"}, good | {"Extra": ""}):
            assert await stage.twilio.posts(changed, signature=signature) == 403
        assert await stage.twilio.posts(good, signature=signature) == 200
        # The same post once more is Twilio's or an eavesdropper's: it counts once.
        assert await stage.twilio.posts(good, signature=signature) == 200
    assert [each.text for each in stage.house.received] == ["перевести 100"]


async def test_address_is_ours_whatever_the_request_says(stage: Stage):
    """A proxy in front of us changes the scheme and the host; a stranger may name any."""
    forwarded = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    async with stage.served():
        assert await stage.twilio.posts(form(Body="да"), headers=forwarded) == 200
        lured = {"signed_url": "https://evil.example/hooks/whatsapp", "headers": forwarded}
        assert await stage.twilio.posts(form(Body="нет"), **lured) == 403


async def test_query_belongs_to_the_address(stage: Stage):
    async with stage.served():
        url = f"{stage.twilio.hook_url}?from=%D1%82&b=&a=1"
        assert await stage.twilio.posts(form(Body="да"), url) == 200
        assert await stage.twilio.posts(form(Body="нет"), url, signed_url=stage.twilio.hook_url) == 403


async def test_repeated_and_blank_parameters_are_kept(stage: Stage):
    repeated = [*form(Body="да").items(), ("Topic", "б"), ("Topic", "а"), ("Topic", "б"), ("Blank", "")]
    without_blank = stage.twilio.signature(stage.twilio.hook_url, repeated[:-1])
    async with stage.served():
        assert await stage.twilio._post(stage.twilio.hook_url, repeated, signature=without_blank) == 403
        assert await stage.twilio._post(stage.twilio.hook_url, repeated) == 200


@pytest.mark.parametrize(
    ("posted", "status", "reason"),
    [
        (form(Body="я" * (MAX_HOOK_BYTES // 6 + 1)), 413, "size"),
        ({"Body": "без номера"}, 400, "malformed"),
        ({"MessageSid": "S" * 65}, 400, "malformed"),
        ({f"P{number}": "" for number in range(300)}, 400, "malformed"),
        ({}, 400, "malformed"),
    ],
    ids=["too long", "no SID", "a SID that is none", "too many fields", "empty"],
)
async def test_impossible_post_is_turned_away(stage: Stage, posted: dict[str, str], status: int, reason: str):
    async with stage.served():
        assert await stage.twilio.posts(posted) == status
    assert stage.refused == [reason]
    assert stage.house.received == []


# ---------------------------------------------------------------------- what was not posted, or not stored


async def test_what_never_reached_us_comes_out_of_the_log(stage: Stage):
    """The house was down; Twilio does not come again."""
    async with stage.running(served=False):
        await stage.house.until(lambda: stage.house.cursor is not None)
    texts = ["первое", "второе", "третье"]
    for text in texts:
        stage.clock.passes(seconds=40)
        await stage.olga.says(text)
    stage.clock.passes(minutes=10)
    async with stage.running():
        inbounds = await stage.house.receives(3)
        await stage.olga.says("четвёртое")
        await stage.house.receives(4)
        calls = stage.house.calls
        await stage.house.until(lambda: stage.house.calls >= calls + 3)  # the log is compared again
    assert [each.text for each in inbounds] == texts
    assert [each.sent_at for each in inbounds] == [NOW + timedelta(seconds=40 * n) for n in (1, 2, 3)]
    assert [each.chat_key for each in inbounds] == [ADDRESS] * 3
    assert stage.house.repeated == 0


async def test_refused_posts_come_once_and_in_order(stage: Stage):
    async with stage.running():
        await stage.house.until(lambda: stage.house.cursor is not None)
        await stage.sends("Ок?", BUTTONS[0])
        stage.house.refuses(3)
        await stage.olga.says("первое")
        await stage.olga.presses("Да")
        await stage.olga.says("третье")
        inbounds = await stage.house.receives(3)
        calls = stage.house.calls
        await stage.house.until(lambda: stage.house.calls >= calls + 3)  # the log is compared again
    assert 503 in stage.twilio.hook_statuses
    # The log does not tell which button was pressed: what was posted does.
    assert [each.button or each.text for each in inbounds] == ["первое", BUTTONS[0].press, "третье"]
    assert stage.house.repeated == 0


async def test_refused_status_comes_again(stage: Stage):
    async with stage.running():
        await stage.sends("Готово")
        stage.house.refuses(1)
        sid = stage.olga.messages[0].sid
        assert await stage.twilio.tells(sid, "delivered") in (200, 503)
        (inbound,) = await stage.house.receives(1)
    assert inbound.delivery == Delivery(DeliveryState.DELIVERED)


async def test_fate_of_our_letters_comes_out_of_the_log(stage: Stage):
    """The house was down when Twilio told it; Twilio does not come again."""
    async with stage.running():
        await stage.house.until(lambda: stage.house.cursor is not None)
        late, read, queued = [await stage.sends(text) for text in ("Готово", "И счёт", "И акт")]
        stage.clock.passes(minutes=2)
        assert await stage.twilio.tells(read.message_key, "delivered") == 200
        await stage.house.receives(1)
    stage.clock.passes(hours=3)
    told = [(late, "undelivered", 63016), (read, "read", None), (queued, "queued", None)]
    for sent, status, code in told:
        assert await stage.twilio.tells(sent.message_key, status, code) == 0, "nobody is there"
    stage.clock.passes(minutes=40)
    async with stage.running():
        await stage.house.receives(3)
        calls = stage.house.calls
        await stage.house.until(lambda: stage.house.calls >= calls + 3)
    _, undelivered, seen = await stage.house.receives(3)
    assert (undelivered.message_key, undelivered.chat_key) == (late.message_key, ADDRESS)
    assert undelivered.event_key == f"{late.message_key}:undelivered"
    assert undelivered.sent_at == NOW + timedelta(hours=3, minutes=2)
    assert undelivered.delivery == Delivery(
        DeliveryState.FAILED, "63016: over 24 hours since the person wrote", window_closed=True
    )
    assert (seen.message_key, seen.delivery) == (read.message_key, Delivery(DeliveryState.READ))
    assert stage.house.repeated == 0


async def test_letter_of_several_messages_fails_by_the_log_with_any_of_them(bare: Stage):
    async with bare.running():
        await bare.house.until(lambda: bare.house.cursor is not None)
        sent = await bare.sends("Готово", files=(bare.shelf.add("Акт.pdf", b"%PDF"),))
        first, _last = (each.sid for each in bare.olga.messages)
    assert await bare.twilio.tells(first, "failed", 63024) == 0
    bare.clock.passes(minutes=2)
    async with bare.running():
        (told,) = await bare.house.receives(1)
    assert (told.message_key, told.delivery and told.delivery.blocked) == (sent.message_key, True)


async def test_files_of_the_log_can_be_fetched(stage: Stage):
    stage.twilio.delivers = False
    async with stage.running():
        await stage.house.until(lambda: stage.house.cursor is not None)
        await stage.olga.sends_file(b"%PDF-lost", caption="Счёт.pdf")
        stage.clock.passes(minutes=2)
        (inbound,) = await stage.house.receives(1)
    assert [(each.name, each.media_type) for each in inbound.files] == [("Счёт.pdf", "application/pdf")]
    assert await contents(stage.channel, inbound.files[0].reference) == b"%PDF-lost"


async def test_young_messages_are_left_to_the_webhook(stage: Stage):
    stage.twilio.delivers = False
    async with stage.running():
        await stage.house.until(lambda: stage.house.cursor is not None)
        await stage.olga.says("ещё в пути")
        calls = stage.house.calls
        await stage.house.until(lambda: stage.house.calls >= calls + 3)  # the log is compared again
        assert stage.house._counted() == []
        stage.clock.passes(minutes=2)
        await stage.house.receives(1)


async def test_pages_of_the_log_are_turned(shelf: Shelf):
    async with staged(shelf, page_size=2) as stage:
        stage.twilio.delivers = False
        stage.house.cursor = (NOW - timedelta(minutes=5)).isoformat()
        for number in range(7):
            await stage.olga.says(str(number))
        stage.clock.passes(minutes=3)
        async with stage.running():
            inbounds = await stage.house.receives(7)
    assert [each.text for each in inbounds] == list("0123456")


async def test_log_from_before_us_is_nobodys_business(stage: Stage):
    await stage.olga.says("давно")
    stage.clock.passes(hours=3)
    async with stage.running():
        await stage.house.until(lambda: stage.house.calls >= 3)
    assert stage.house._counted() == []


async def test_unreachable_log_is_asked_again(stage: Stage):
    await stage.twilio.stop()
    async with stage.running(served=False):
        await asyncio.sleep(0.2)
        assert stage.house.cursor is None
        await stage.twilio.start()
        await stage.house.until(lambda: stage.house.cursor is not None)


async def test_broken_cursor_begins_anew(stage: Stage):
    stage.house.cursor = "yesterday"
    async with stage.running():
        await stage.house.until(lambda: stage.house.cursor == NOW.isoformat())


async def test_public_address_is_needed(stage: Stage):
    with pytest.raises(Misconfigured, match="public_url"):
        await stage.channel.receive(replace(stage.doors, public_url=""))


# ---------------------------------------------------------------------- what the person is shown


@pytest.mark.parametrize("count", range(1, 11))
async def test_so_many_buttons_come_back_as_their_presses(stage: Stage, count: int):
    buttons = [ShownButton(f"Ответ {number}", f"form:a:{number}:1") for number in range(count)]
    async with stage.served():
        assert isinstance(await stage.sends("Что выбрать?", *buttons), Sent)
        (shown,) = stage.olga.messages
        assert (shown.text, list(shown.buttons)) == ("Что выбрать?", [each.label for each in buttons])
        assert shown.is_list == (count > 3)
        await stage.olga.presses(buttons[-1].label)
        (pressed,) = await stage.house.receives(1)
    assert (pressed.kind, pressed.button) == (InboundKind.BUTTON, buttons[-1].press)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "ООО «Ромашка», ИНН 7707083893.\n\nЧто сделать?",
            ["ООО «Ромашка», ИНН 7707083893.", "Что сделать?"],
        ),
        ("Одна\tстрока      с пробелами, №\u00a0118", ["Одна строка с пробелами, №\u00a0118"]),
        ("\n Что сделать? \n", ["Что сделать?"]),
        ("слово " * 260, ["слово " * 90, "слово " * 170]),
        ("", ["Выберите:"]),
    ],
    ids=["lines", "tabs and spaces", "edges", "long", "nothing"],
)
async def test_template_takes_the_last_line(stage: Stage, text: str, shown: list[str]):
    assert isinstance(await stage.sends(text, *BUTTONS), Sent)
    told = [each.text for each in stage.olga.messages]
    assert " ".join(told).split() == " ".join(shown).split()
    assert len(told) == len(shown)
    assert [bool(each.buttons) for each in stage.olga.messages] == [False] * (len(shown) - 1) + [True]


@pytest.mark.parametrize(
    "labels",
    [["Позвать человека, пожалуйста", "Да"], [f"Ответ {number}" for number in range(11)]],
    ids=["long label", "too many"],
)
async def test_what_no_template_shows_is_a_numbered_menu(stage: Stage, labels: list[str]):
    rows = tuple((ShownButton(label, f"f:a:{n}:1"),) for n, label in enumerate(labels))
    (part,) = fit(Parcel("k", ADDRESS, "Что сделать?", rows), stage.channel.limits)
    assert isinstance(await stage.channel.send(part), Sent)
    (shown,) = stage.olga.messages
    assert not shown.buttons
    assert all(f"{number}. {label}" in shown.text for number, label in enumerate(labels, start=1))


async def test_files_are_sent_one_by_one_and_go_on_where_they_stopped(bare: Stage):
    files = tuple(bare.shelf.add(f"{n}.pdf", b"%PDF" + n.encode()) for n in "абв")
    parcel = Parcel("k", ADDRESS, "Вот они.", files=files)
    sent = bare.channel.send
    async with bare.served():
        bare.twilio.fail_next(status=503, code=20503)
        assert isinstance(await sent(parcel), Retry)
        bare.twilio.fail_next(drops=True, after_effect=True)
        assert isinstance(await sent(parcel), Unknown)
        assert isinstance(await sent(parcel), Sent)
    names = [name for message in bare.olga.messages for name, _content in message.files]
    assert names == ["а.pdf", "б.pdf", "в.pdf"]
    # The one whose answer was lost is sent again: Twilio knows no idempotency key.
    assert [each.text for each in bare.olga.messages if each.text] == ["Вот они."] * 2


@pytest.mark.parametrize(
    ("media_type", "size_bytes", "is_sent"),
    [
        ("application/pdf", 16 * 1024 * 1024, True),
        ("application/pdf", 16 * 1024 * 1024 + 1, False),
        ("image/jpeg", 5 * 1024 * 1024, True),
        ("image/jpeg", 5 * 1024 * 1024 + 1, False),
    ],
)
async def test_file_over_the_limit_is_not_sent(
    bare: Stage, media_type: str, size_bytes: int, *, is_sent: bool
):
    large = bare.shelf.add("Большой", b"\0" * size_bytes, media_type)
    outcome = await bare.sends("Вот.", files=(large,))
    assert isinstance(outcome, Sent if is_sent else Rejected)
    assert len(bare.olga.messages) == (2 if is_sent else 0)


async def test_nothing_is_rejected(bare: Stage):
    assert await bare.sends(" ") == Rejected("nothing to send")


# ---------------------------------------------------------------------- the window


async def test_closed_window_costs_no_request(bare: Stage):
    long_ago = NOW - WINDOW
    outcome = await bare.sends("Готово", last_inbound_at=long_ago)
    assert isinstance(outcome, WindowClosed)
    assert not bare.twilio.requests


@pytest.mark.parametrize(
    ("ago", "is_open"),
    [
        (timedelta(hours=23, minutes=54), True),
        (timedelta(hours=23, minutes=56), False),
        (timedelta(days=30), False),
        (None, True),
    ],
    ids=["open", "about to close", "closed", "unknown"],
)
async def test_window_closes_after_a_day(bare: Stage, ago: timedelta | None, *, is_open: bool):
    outcome = await bare.sends("Готово", last_inbound_at=ago and NOW - ago)
    assert isinstance(outcome, Sent if is_open else WindowClosed)


async def test_outside_the_window_the_template_is_sent(stage: Stage):
    stage.clock.passes(days=3)
    text = "Заявка № 118 готова.\n\n\tПосмотрите?   Ответ нужен."
    assert isinstance(await stage.sends(text, *BUTTONS[:2], last_inbound_at=NOW), Sent)
    (shown,) = stage.olga.messages
    assert shown.text == (
        "Сообщение от вашей бухгалтерии: Заявка № 118 готова. Посмотрите? Ответ нужен. 1. Да 2. Нет "
        "Чтобы продолжить, ответьте на него."
    )


@pytest.mark.parametrize(
    ("length", "buttons", "fits"),
    [(OUTSIDE_LENGTH, 0, True), (OUTSIDE_LENGTH + 1, 0, False), (OUTSIDE_LENGTH - 3, 1, False)],
    ids=["whole", "too long", "too long with its buttons"],
)
async def test_words_that_the_template_cannot_hold_go_another_way(
    stage: Stage, length: int, buttons: int, *, fits: bool
):
    """What is cut off would count as delivered."""
    stage.clock.passes(days=3)
    outcome = await stage.sends("ж" * length, *BUTTONS[:buttons], last_inbound_at=NOW)
    assert isinstance(outcome, Sent if fits else WindowClosed)
    assert len(stage.olga.messages) == fits


async def test_outside_the_window_buttons_are_told(stage: Stage):
    stage.clock.passes(days=3)
    await stage.sends("Верно?", *BUTTONS, last_inbound_at=NOW)
    assert "Верно? 1. Да 2. Нет 3. Позже Чтобы" in stage.olga.messages[0].text


async def test_files_wait_for_the_window(stage: Stage):
    act = stage.shelf.add("Акт.pdf", b"%PDF")
    stage.clock.passes(days=3)
    assert isinstance(await stage.sends("Акт", files=(act,), last_inbound_at=NOW), WindowClosed)
    assert not stage.twilio.requests


async def test_window_that_closed_on_the_way_is_told_later(bare: Stage):
    """Twilio takes the message and says only in a status callback that it was too late."""
    bare.olga.last_wrote_at = NOW - timedelta(days=2)
    async with bare.served():
        sent = await bare.sends("Готово")
        assert isinstance(sent, Sent)
        assert await bare.twilio.tells_failures() == [200]
        (told,) = await bare.house.receives(1)
    assert told.message_key == sent.message_key
    assert told.delivery == Delivery(
        DeliveryState.FAILED, "63016: over 24 hours since the person wrote", window_closed=True
    )


async def test_proofs_of_delivery_come_in_any_order(bare: Stage):
    async with bare.served():
        sent = await bare.sends("Готово")
        for status in ("read", "queued", "delivered", "sent", "read"):
            assert await bare.twilio.tells(sent.message_key, status) == 200
        told = await bare.house.receives(2)
    assert [each.delivery and each.delivery.state for each in told] == [
        DeliveryState.READ,
        DeliveryState.DELIVERED,
    ]
    assert bare.house.calls == 3


async def test_letter_of_several_messages_arrives_with_all_of_them(bare: Stage):
    files = (bare.shelf.add("Акт.pdf", b"%PDF"),)
    async with bare.served():
        sent = await bare.sends("Готово", files=files)
        first, last = (each.sid for each in bare.olga.messages)
        assert await bare.twilio.tells(last, "delivered") == 200
        assert bare.house.calls == 0, "the text may still be on its way"
        assert await bare.twilio.tells(first, "delivered") == 200
        (told,) = await bare.house.receives(1)
    assert isinstance(sent, Sent)
    assert (told.message_key, told.delivery) == (sent.message_key, Delivery(DeliveryState.DELIVERED))


async def test_letter_fails_with_any_of_its_messages(bare: Stage):
    """The house knows the key of the last message only."""
    files = (bare.shelf.add("Акт.pdf", b"%PDF"),)
    async with bare.served():
        sent = await bare.sends("Готово", files=files)
        first, last = (each.sid for each in bare.olga.messages)
        await bare.twilio.tells(first, "failed", 63024)
        await bare.twilio.tells(last, "delivered")
        (told,) = await bare.house.receives(1)
    assert isinstance(sent, Sent)
    assert told.message_key == sent.message_key
    assert told.delivery == Delivery(
        DeliveryState.FAILED, "63024: nobody is reached at this address", blocked=True
    )
    assert bare.house.calls == 1, "the last message alone is not the letter"


async def test_message_that_fails_while_the_others_are_sent_fails_them_all(bare: Stage):
    file = bare.shelf.add("Акт.pdf", b"%PDF")
    async with bare.served():
        bare.twilio.fail_next(times=1, status=503, code=20503, skips=1)
        assert isinstance(await bare.sends("Готово", files=(file,)), Retry)
        (first,) = (each.sid for each in bare.olga.messages)
        await bare.twilio.tells(first, "failed", 63016)
        outcome = await bare.sends("Готово", files=(file,))
    assert outcome == WindowClosed("63016: over 24 hours since the person wrote")


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"status": 400, "code": 21211}, Blocked),
        ({"status": 400, "code": 21610}, Blocked),
        ({"status": 400, "code": 21614}, Blocked),
        ({"status": 400, "code": 63003}, Blocked),
        ({"status": 400, "code": 63015}, Blocked),
        ({"status": 400, "code": 63024}, Blocked),
        ({"status": 400, "code": 63016}, WindowClosed),
        ({"status": 400, "code": 21408}, Rejected),
        ({"status": 400, "code": 21617}, Rejected),
        ({"status": 400, "code": 99999}, Rejected),
        ({"status": 401, "code": 20003}, TokenRevoked),
        ({"status": 401, "code": 99999}, TokenRevoked),
        ({"status": 403, "code": 20005}, TokenRevoked),
        ({"status": 400, "code": 63007}, TokenRevoked),
        ({"status": 429, "code": 20429}, Retry),
        ({"status": 400, "code": 63018}, Retry),
        ({"status": 500, "code": 20500}, Retry),
        ({"status": 502, "body": b"<html>Bad gateway</html>"}, Retry),
        ({"status": 302, "body": b""}, Retry),
        ({"status": 403, "body": b"<html>Blocked by the provider</html>"}, Retry),
        ({"drops": True}, Unknown),
        ({"body": b'{"sid": "SM'}, Unknown),
        ({"body": b"[]"}, Unknown),
        ({"hangs": True}, Unknown),
    ],
    ids=str,
)
async def test_refusal_becomes_an_outcome(shelf: Shelf, how: dict[str, Any], expected: type[object]):
    limits = {"request_timeout_seconds": HASTY_SECONDS} if "hangs" in how else {}
    async with staged(shelf, **limits) as stage:
        stage.twilio.fail_next(**how)
        outcome = await stage.sends("Вы здесь?")
    assert isinstance(outcome, expected)
    assert ADDRESS not in outcome.reason
    if isinstance(outcome, Retry):
        assert outcome.whole_channel


async def test_silence_is_as_long_as_twilio_asks(bare: Stage):
    bare.twilio.fail_next(status=429, code=20429, retry_after=11)
    assert (await bare.sends("Вы здесь?")).after_seconds == 11
    bare.twilio.fail_next(status=429, code=20429, retry_after="Fri, 31 Dec 2100 23:59:59 GMT")
    assert (await bare.sends("Вы здесь?")).after_seconds == LONGEST_SILENCE_SECONDS
    bare.twilio.fail_next(status=429, body=b"slow down")
    assert (await bare.sends("Вы здесь?")).after_seconds is None


# ---------------------------------------------------------------------- files of clients


async def contents(channel: WhatsAppChannel, reference: str) -> bytes:
    return b"".join([chunk async for chunk in channel.open_file(IncomingFile(reference, "Файл"))])


@asynccontextmanager
async def storage(answer: Callable[[web.BaseRequest], web.Response]) -> AsyncIterator[str]:
    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        return answer(request)

    runner = web.ServerRunner(web.Server(serve, access_log=None), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_credentials_never_reach_the_storage(bare: Stage):
    bare.twilio.holds(Media("ME1", b"%PDF", "application/pdf"))
    assert await contents(bare.channel, MEDIA_URL) == b"%PDF"  # the emulator's storage accepts none


async def test_credentials_are_shown_to_nobody_else(bare: Stage):
    seen: list[str | None] = []

    def answer(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=b"content")

    async with storage(answer) as url:
        assert await contents(bare.channel, f"{url}/a.pdf") == b"content"
    assert seen == [None]


@pytest.mark.parametrize(
    "reference",
    [
        "https://api.twilio.com/2010-04-01/Accounts/AC0/Messages/MM1/Media/ME404",
        "https://api.twilio.com.evil.example/ME1",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1.nip.io/",
        "file:///etc/passwd",
        "http://[",
        "",
    ],
)
async def test_strange_files_are_unavailable(bare: Stage, reference: str):
    with pytest.raises(FileUnavailable):
        await contents(bare.channel, reference)


async def test_redirect_elsewhere_is_not_followed(shelf: Shelf):
    async with staged(shelf, media_hosts=["media.example"]) as stage:
        stage.twilio.holds(Media("ME1", b"%PDF", "application/pdf"))
        with pytest.raises(FileUnavailable, match="media hosts"):
            await contents(stage.channel, MEDIA_URL)


# ---------------------------------------------------------------------- health


async def test_health_gives_the_link(stage: Stage):
    health = await stage.channel.health()
    assert (health.reachable, health.detail) == (True, "+14155230000")
    assert health.link == "https://wa.me/14155230000?text=%2Fstart%20{code}"
    asked = len(stage.twilio.requests)
    await stage.channel.health()
    assert len(stage.twilio.requests) == asked + 1, "good templates are not asked for again"


@pytest.mark.parametrize(
    ("templates", "detail"),
    [
        ({}, "content_sids.quick_reply_1: Twilio knows no such template"),
        (
            {sid_of("quick_reply_1"): quick_reply(2)},
            "content_sids.quick_reply_1 has another type or another number of buttons",
        ),
    ],
)
async def test_wrong_template_is_named(stage: Stage, templates: dict[str, Any], detail: str):
    stage.twilio.templates = templates
    health = await stage.channel.health()
    assert (health.reachable, health.detail) == (False, detail)


async def test_each_product_of_twilio_is_asked_at_its_own_host(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    """Content templates live at another host than messages; only a mirror carries both."""
    asked: list[str] = []
    ask = Wire.request

    async with staged(shelf, TEMPLATES, api_base_url="https://api.twilio.com") as stage:

        async def resolved(wire: Wire, method: str, url: URL, **more: Any) -> Answer:
            asked.append(str(url.origin()))
            emulated_at = URL(stage.twilio.hosts[url.host or ""])
            there = url.with_scheme("http").with_host(emulated_at.host or "").with_port(emulated_at.port)
            return await ask(wire, method, there, **more)

        monkeypatch.setattr(Wire, "request", resolved)
        health = await stage.channel.health()
        assert (health.reachable, health.detail) == (True, "+14155230000")
        assert isinstance(await stage.sends("Верно?", *BUTTONS), Sent)
    assert set(asked) == {"https://api.twilio.com", "https://content.twilio.com"}


async def test_suspended_account_is_named(bare: Stage):
    bare.twilio.account_status = "suspended"
    assert (await bare.channel.health()).detail == "the account at Twilio is suspended"


async def test_wrong_token_is_named(shelf: Shelf):
    async with staged(shelf, auth_token="another") as stage:
        health = await stage.channel.health()
    assert (health.reachable, health.detail) == (
        False,
        "20003: Twilio does not know this account_sid with this auth_token",
    )


# ---------------------------------------------------------------------- proxies, mirrors, logs


async def test_everything_goes_through_the_proxy_to_the_mirror(shelf: Shelf):
    async with emulated(TEMPLATES) as twilio, served_links(shelf) as link:
        tunnel = Tunnel({"mirror.test": twilio.base_url, "storage.test": twilio.storage_url})
        twilio.storage_url = "http://storage.test"
        async with await asyncio.start_server(tunnel.serve, "127.0.0.1", 0) as server:
            settings = settings_for(
                twilio,
                TEMPLATES,
                api_base_url="http://mirror.test/",
                proxy=f"http://user:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}",
                media_hosts=["storage.test"],
            )
            channel = WhatsAppChannel(settings, link, QUICK, Reconciling(grace_seconds=0))
            house = House()
            doors = Doors(house.accept, house.now, house.now().isoformat(), public_url=free_address())
            channel.routes(doors)
            olga = twilio.person(ADDRESS)
            await olga.sends_file(b"%PDF", caption="Счёт.pdf")
            files = (shelf.add("Акт.pdf", b"%PDF"),)
            assert isinstance(await channel.send(Parcel("k", ADDRESS, "Акт", files=files)), Sent)
            assert (await channel.health()).reachable
            receiving = asyncio.create_task(channel.receive(doors))
            (inbound,) = await house.receives(1)
            await stopped(receiving)
            assert await contents(channel, inbound.files[0].reference) == b"%PDF"
            await channel.close()
        assert twilio.violations == []
    # These names exist nowhere: whoever does not ask the proxy cannot have got an answer.
    assert tunnel.hosts == {"mirror.test", "storage.test"}


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_dead_proxy_means_not_sent(shelf: Shelf, scheme: str):
    proxy = free_address().replace("http", scheme, 1).replace("//", "//user:hidden@", 1)
    async with staged(shelf, proxy=proxy) as stage:
        outcome = await stage.sends("Вы здесь?")
        assert isinstance(outcome, Retry)
        assert "hidden" not in outcome.reason
        assert not (await stage.channel.health()).reachable
        assert stage.olga.messages == []


async def test_twilio_logs_neither_words_nor_numbers(bare: Stage, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    await bare.sends("тайна клиента")
    bare.twilio.fail_next(status=400, code=21211)
    await bare.sends("тайна клиента")
    async with bare.served():
        await bare.olga.says("тайна клиента")
        await bare.twilio.posts(form(NumMedia="many", Body="тайна клиента"))
    for secret in ("тайна", ADDRESS, AUTH_TOKEN):
        assert secret not in caplog.text


# ---------------------------------------------------------------------- Twilio's own client as a witness


class Rerouted(TwilioHttpClient):
    """Twilio's client as it is, but for the address."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=5)
        self._base_url = base_url

    def request(self, method: str, url: str, *more: Any, **named: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._base_url), *more, **named)


async def test_emulator_speaks_with_twilios_own_client(shelf: Shelf):
    async with emulated(page_size=1) as twilio, served_links(shelf) as link:
        olga = twilio.person(ADDRESS)
        today = datetime.now(UTC).date()
        await olga.sends_file(b"%PDF", caption="Счёт.pdf")
        client = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=Rerouted(twilio.base_url))

        def talk() -> None:
            callback = "https://priem.example/hooks/whatsapp/status"
            sent = client.messages.create(to=ADDRESS, from_=SENDER, body="Ок", status_callback=callback)
            assert (sent.status, sent.direction) == ("queued", "outbound-api")
            act = link(shelf.add("Акт.pdf", b"%PDF"))
            client.messages.create(to=ADDRESS, from_=SENDER, media_url=[act], status_callback=callback)
            listed = client.messages.list(date_sent_after=today.isoformat())
            assert [each.direction for each in listed] == ["outbound-api", "outbound-api", "inbound"]
            (media,) = client.messages(listed[-1].sid).media.list()
            assert media.content_type == "application/pdf"
            assert client.api.accounts(ACCOUNT_SID).fetch().status == "active"
            with pytest.raises(TwilioRestException) as refused:
                client.messages.create(to=ADDRESS, from_=SENDER, body="я" * 1601, status_callback=callback)
            assert (refused.value.status, refused.value.code) == (400, 21617)

        await asyncio.to_thread(talk)
        assert [each.text or each.files[0][0] for each in olga.messages] == ["Ок", "Акт.pdf"]
        assert twilio.violations == []
        params = dict(parse_qsl("Body=&From=whatsapp%3A%2B7&NumMedia=0", keep_blank_values=True))
        signature = twilio.signature("https://priem.example/hooks/whatsapp?a=1", list(params.items()))
        assert RequestValidator(AUTH_TOKEN).validate(
            "https://priem.example/hooks/whatsapp?a=1", params, signature
        )
