"""What every channel does, whatever its messenger. A case is written once and run on all of them.

A module of `bots` that defines `CHANNEL` belongs to the suite by that alone; its harness is
`tests/channels/<module>.py`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

import bots
from bots.base import MAX_FILE_BYTES, NAMELESS, Channel, ChannelKind, FileRefused, FileUnavailable
from bots.rendering import fit, utf16_length
from forms.messages import Inbound, InboundKind
from notifications.outbox import (
    Blocked,
    Outcome,
    Parcel,
    Rejected,
    Retry,
    Sent,
    ShownButton,
    TokenRevoked,
    Unknown,
)
from tests.channels.harness import (
    RETRY_AFTER_SECONDS,
    Ability,
    ApiFault,
    Deletes,
    Edits,
    Harness,
    House,
    Shelf,
    Variant,
)
from tests.emulators.listening import PATIENCE_SECONDS

MENU = (
    (ShownButton("Оплатить счёт", "form:kind:pay:1"), ShownButton("Сдать отчёт", "form:kind:report:1")),
    (ShownButton("Позвать человека", "form:human::1"),),
)
LABELS = ("Оплатить счёт", "Сдать отчёт", "Позвать человека")


def channel_modules() -> list[str]:
    modules = sorted(Path(bots.__path__[0]).glob("*.py"))
    return [module.stem for module in modules if re.search(r"^CHANNEL\b", module.read_text(), re.MULTILINE)]


def variants() -> list[Variant]:
    found: list[Variant] = []
    for name in channel_modules():
        if importlib.util.find_spec(f"tests.channels.{name}"):
            found += importlib.import_module(f"tests.channels.{name}").VARIANTS
    return found


def on_every_channel(*needed: Ability) -> pytest.MarkDecorator:
    """Run on each variant; where a needed ability is missing the case must fail, and says why."""
    params = []
    for variant in variants():
        missing = [variant.lacks[ability] for ability in needed if ability in variant.lacks]
        marks = [pytest.mark.xfail(strict=True, reason="; ".join(missing))] if missing else []
        params.append(pytest.param(variant, id=variant.name, marks=marks))
    return pytest.mark.parametrize("harness", params, indirect=True)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
async def harness(request: pytest.FixtureRequest, shelf: Shelf) -> AsyncIterator[Harness]:
    async with request.param.open(shelf) as opened:
        yield opened


@pytest.fixture
def house() -> House:
    return House()


def parcel(harness: Harness, text: str, **more: object) -> Parcel:
    return replace(Parcel("letter-1", harness.chat_key, text), **more)  # type: ignore[arg-type]


async def contents(channel: Channel, inbound: Inbound) -> bytes:
    return b"".join([chunk async for chunk in channel.open_file(inbound.files[0])])


# ---------------------------------------------------------------------- the suite itself


@pytest.mark.parametrize("name", channel_modules())
def test_channel_has_a_harness(name: str):
    assert importlib.util.find_spec(f"tests.channels.{name}"), (
        f"bots/{name}.py defines CHANNEL: write its harness tests/channels/{name}.py with VARIANTS"
    )
    assert importlib.import_module(f"tests.channels.{name}").VARIANTS


@pytest.mark.parametrize("name", channel_modules())
def test_kind_is_declared_in_full(name: str):
    kind = importlib.import_module(f"bots.{name}").CHANNEL
    assert isinstance(kind, ChannelKind)
    assert kind.name == name
    assert kind.title != NAMELESS, "say what people call it: ChannelKind(…, title=plain(…))"
    assert kind.settings.model_config["extra"] == "forbid"
    assert kind.settings.model_config["frozen"]


# ---------------------------------------------------------------------- what the client sends


@on_every_channel()
async def test_start_with_a_code(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts("INVITE42")
        (started,) = await house.receives(1)
    assert (started.kind, started.start_code) == (InboundKind.STARTED, "INVITE42")
    assert started.chat_key == harness.chat_key


@on_every_channel()
@pytest.mark.parametrize(
    "text",
    [
        "Нужно оплатить счёт",
        "a" * 3000,
        "строка\n\n  другая\tи «третья» 🙂👨‍👩‍👧",
        "*не* _разметка_ <b>&amp;",
    ],
    ids=["short", "long", "lines and emoji", "markup"],
)
async def test_typed_text_arrives_whole(harness: Harness, house: House, text: str):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_writes(text)
        inbound = (await house.receives(2))[-1]
    assert (inbound.kind, inbound.text) == (InboundKind.TEXT, text)
    assert inbound.channel == harness.channel.name
    assert inbound.sent_at.tzinfo is not None
    assert inbound.event_key
    assert inbound.user_key


@on_every_channel()
async def test_nul_bytes_never_arrive(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_writes("до\x00после")
        inbound = (await house.receives(2))[-1]
    assert inbound.text == "допосле"


@on_every_channel(Ability.BUTTONS)
async def test_pressing_and_typing_come_from_one_chat(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        assert isinstance(await harness.channel.send(parcel(harness, "Что сделать?", rows=MENU)), Sent)
        await harness.shown(1)
        await harness.client_presses("Сдать отчёт")
        pressed = (await house.receives(2))[-1]
        await harness.channel.acknowledge_button(pressed)
        await harness.client_writes("Сдать отчёт")
        typed = (await house.receives(3))[-1]
    assert (pressed.kind, pressed.button) == (InboundKind.BUTTON, "form:kind:report:1")
    assert (typed.kind, typed.text) == (InboundKind.TEXT, "Сдать отчёт")
    assert (pressed.user_key, pressed.chat_key) == (typed.user_key, typed.chat_key)


@on_every_channel(Ability.REDELIVERY)
async def test_redelivery_has_the_same_event_key(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_writes("один раз")
        await house.receives(2)
        await harness.messenger_repeats()
        await house.until(lambda: house.repeated == 1)
    assert [inbound.text for inbound in house.received].count("один раз") == 1


@on_every_channel()
async def test_attachment_bytes_are_equal(harness: Harness, house: House):
    content = bytes(range(256)) * 3000
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_sends_file("Счёт № 15.pdf", content, caption="вот счёт")
        inbound = (await house.receives(2))[-1]
        received = await contents(harness.channel, inbound)
    assert (inbound.kind, inbound.text) == (InboundKind.FILE, "вот счёт")
    assert inbound.files[0].name.endswith(".pdf")
    assert received == content


@on_every_channel(Ability.FILE_NAMES)
async def test_attachment_keeps_its_name(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_sends_file("Счёт № 15.pdf", b"%PDF", caption="вот счёт")
        inbound = (await house.receives(2))[-1]
    assert inbound.files[0].name == "Счёт № 15.pdf"


@on_every_channel(Ability.OVERSIZE)
async def test_oversize_file_is_refused(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_sends_file("архив.zip", b"\0" * (MAX_FILE_BYTES + 1))
        inbound = (await house.receives(2))[-1]
        with pytest.raises(FileRefused):
            await contents(harness.channel, inbound)
        unmeasured = replace(inbound, files=(replace(inbound.files[0], size_bytes=None),))
        with pytest.raises(FileRefused):
            await contents(harness.channel, unmeasured)


@on_every_channel()
async def test_unknown_file_is_unavailable(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_sends_file("счёт.pdf", b"%PDF")
        inbound = (await house.receives(2))[-1]
        lost = replace(inbound, files=(replace(inbound.files[0], reference="nothing-like-that"),))
        with pytest.raises((FileUnavailable, FileRefused)):
            await contents(harness.channel, lost)


@on_every_channel(Ability.BLOCKING)
async def test_blocking_is_told(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_blocks()
        blocked = (await house.receives(2))[-1]
        outcome = await harness.channel.send(parcel(harness, "Вы здесь?"))
    assert (blocked.kind, blocked.chat_key) == (InboundKind.BLOCKED, harness.chat_key)
    assert isinstance(outcome, Blocked)


@on_every_channel(Ability.EDITING)
async def test_edit_names_the_message_it_changes(harness: Harness, house: House):
    if not isinstance(harness, Edits):
        pytest.xfail("the harness has no client_edits")
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_writes("до четверга")
        written = (await house.receives(2))[-1]
        await harness.client_edits("до пятницы")
        edited = (await house.receives(3))[-1]
    assert (edited.kind, edited.text) == (InboundKind.EDITED, "до пятницы")
    assert edited.message_key
    assert (edited.chat_key, edited.message_key) == (written.chat_key, written.message_key)
    assert edited.event_key != written.event_key


@on_every_channel(Ability.EDITING)
async def test_second_edit_is_an_event_of_its_own(harness: Harness, house: House):
    if not isinstance(harness, Edits):
        pytest.xfail("the harness has no client_edits")
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_writes("до четверга")
        await house.receives(2)
        await harness.client_edits("до пятницы")
        await house.receives(3)
        await harness.client_edits("до субботы")
        *_, first, second = await house.receives(4)
    assert [first.text, second.text] == ["до пятницы", "до субботы"]
    assert first.message_key == second.message_key
    assert first.event_key != second.event_key


@on_every_channel(Ability.DELETING)
async def test_deletion_names_the_message_that_is_gone(harness: Harness, house: House):
    if not isinstance(harness, Deletes):
        pytest.xfail("the harness has no client_deletes")
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.client_writes("до четверга")
        written = (await house.receives(2))[-1]
        await harness.client_deletes()
        deleted = (await house.receives(3))[-1]
    assert deleted.kind is InboundKind.DELETED
    assert deleted.message_key
    assert (deleted.chat_key, deleted.message_key) == (written.chat_key, written.message_key)
    assert deleted.event_key != written.event_key


# ---------------------------------------------------------------------- acknowledging


@on_every_channel(Ability.REDELIVERY)
async def test_what_was_not_stored_comes_again(harness: Harness, house: House):
    async with house.runs(harness):
        house.refuses(2)
        await harness.client_starts()
        await harness.client_writes("не потеряйте")
        inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds][-1] == "не потеряйте"
    assert house.calls >= 3


@on_every_channel(Ability.REDELIVERY)
async def test_restart_loses_nothing(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        house.refuses(1_000_000)
        await harness.client_writes("пока база не отвечает")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while house.calls < 2:
                await asyncio.sleep(0.01)
    house.refuses(0)
    async with house.runs(harness):
        inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds].count("пока база не отвечает") == 1


@on_every_channel()
async def test_nonsense_is_survived(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        await harness.messenger_sends_nonsense()
        await harness.client_writes("а я здесь")
        inbounds = await house.receives(2)
    assert [inbound.text for inbound in inbounds][-1] == "а я здесь"
    assert len(inbounds) == 2


@on_every_channel(Ability.WEBHOOK)
async def test_stranger_is_turned_away(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        assert await harness.stranger_posts() in (401, 403)
        await harness.client_writes("а мне можно")
        inbounds = await house.receives(2)
    assert len(inbounds) == 2
    assert len(house.received) == 2


@on_every_channel()
async def test_cancellation_stops_within_a_second(harness: Harness, house: House):
    loop = asyncio.get_running_loop()
    async with house.runs(harness, stops_within_seconds=1):
        await harness.client_starts()
        await house.receives(1)
        stopping_at = loop.time()
    # `runs` itself asserts that receive() ended, as cancelled; here that the server did not hang either.
    assert loop.time() - stopping_at < 10


# ---------------------------------------------------------------------- what the client is shown


@on_every_channel()
@pytest.mark.parametrize(
    "text",
    [
        "Здравствуйте!",
        "Заявка №\u00a0118\n\n- пункт\n- пункт",
        "<b>не разметка</b> *и* _это_ [тоже](x) & точка",
        "🙂" * 40,
    ],
    ids=["short", "lines", "markup", "emoji"],
)
async def test_text_is_shown_whole(harness: Harness, house: House, text: str):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        assert isinstance(await harness.channel.send(parcel(harness, text)), Sent)
        (shown,) = await harness.shown(1)
    assert shown.text == text


@on_every_channel()
async def test_long_text_is_shown_in_parts(harness: Harness, house: House):
    words = [f"слово{number}" for number in range(3000)]
    parts = fit(parcel(harness, " ".join(words), rows=MENU), harness.channel.limits)
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        for part in parts:
            assert utf16_length(part.text) <= harness.channel.limits.text_length
            assert isinstance(await harness.channel.send(part), Sent)
        shown = await harness.shown(len(parts))
    assert " ".join(message.text for message in shown).split()[: len(words)] == words


@on_every_channel()
async def test_every_choice_is_a_button_or_a_number(harness: Harness, house: House):
    (part,) = fit(parcel(harness, "Что сделать?", rows=MENU), harness.channel.limits)
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        assert isinstance(await harness.channel.send(part), Sent)
        (shown,) = await harness.shown(1)
    if harness.channel.limits.buttons:
        assert shown.buttons == LABELS
    else:
        assert all(f"{number}. {label}" in shown.text for number, label in enumerate(LABELS, start=1))


@on_every_channel()
async def test_files_are_shown_with_equal_bytes(harness: Harness, house: House, shelf: Shelf):
    first, second = b"%PDF-1.7" + bytes(range(256)) * 900, b"second"
    files = (shelf.add("Акт «сверки».pdf", first), shelf.add("Реестр.xlsx", second))
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        outcome = await harness.channel.send(parcel(harness, "Готово, вот документы.", files=files))
        assert isinstance(outcome, Sent)
        shown = await harness.shown(1)
        while sum(len(message.files) for message in shown) < 2:
            shown = await harness.shown(len(shown) + 1)
    assert [file for message in shown for file in message.files] == [
        ("Акт «сверки».pdf", first),
        ("Реестр.xlsx", second),
    ]
    assert [message.text for message in shown if message.text] == ["Готово, вот документы."]


# ---------------------------------------------------------------------- when the messenger fails

OUTCOMES: list[tuple[ApiFault, type[Outcome]]] = [
    (ApiFault.RATE_LIMITED, Retry),
    (ApiFault.SERVER_ERROR, Retry),
    (ApiFault.UNREACHABLE, Retry),
    (ApiFault.ANSWER_LOST, Unknown),
    (ApiFault.BLOCKED, Blocked),
    (ApiFault.REJECTED, Rejected),
    (ApiFault.TOKEN_REVOKED, TokenRevoked),
]


@on_every_channel(Ability.API_FAULTS)
@pytest.mark.parametrize(("fault", "expected"), OUTCOMES, ids=[fault.name.lower() for fault, _ in OUTCOMES])
async def test_fault_becomes_an_outcome(
    harness: Harness, house: House, fault: ApiFault, expected: type[Outcome]
):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        async with harness.api_fails(fault):
            outcome = await harness.channel.send(parcel(harness, "Вы здесь?"))
        assert isinstance(outcome, expected)
        if isinstance(outcome, Retry) and fault is ApiFault.RATE_LIMITED:
            assert outcome.after_seconds == RETRY_AFTER_SECONDS
        if fault is ApiFault.ANSWER_LOST:
            assert len(await harness.shown(1)) == 1
        assert isinstance(await harness.channel.send(parcel(harness, "А теперь?", key="letter-2")), Sent)
        assert (await harness.shown(1))[-1].text == "А теперь?"


@on_every_channel(Ability.API_FAULTS)
async def test_health_follows_the_messenger(harness: Harness, house: House):
    async with house.runs(harness):
        await harness.client_starts()
        await house.receives(1)
        assert (await harness.channel.health()).reachable
        async with harness.api_fails(ApiFault.UNREACHABLE):
            sick = await harness.channel.health()
    assert not sick.reachable
    assert sick.detail


@on_every_channel(Ability.API_FAULTS, Ability.SECRETS)
async def test_secrets_are_never_told(harness: Harness, house: House, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    written = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))
    said: list[object] = []
    try:
        async with house.runs(harness):
            await harness.client_starts()
            await house.receives(1)
            await harness.client_sends_file("счёт.pdf", b"%PDF")
            await harness.messenger_sends_nonsense()
            inbound = (await house.receives(2))[-1]
            for fault in ApiFault:
                async with harness.api_fails(fault):
                    said += [await harness.channel.send(parcel(harness, "Вы здесь?"))]
                    said += [await harness.channel.health()]
                    if fault is ApiFault.UNREACHABLE:
                        with pytest.raises(FileUnavailable) as refused:
                            await contents(harness.channel, inbound)
                        said += [refused.value, *chain(refused.value)]
                        await asyncio.sleep(0.1)
    finally:
        structlog.reset_defaults()
    told = written.getvalue() + caplog.text + " ".join(f"{each} {each!r}" for each in said)
    assert harness.secrets
    for secret in harness.secrets:
        assert secret not in told


def chain(error: BaseException) -> list[BaseException]:
    """All that a logged traceback would show."""
    found = []
    cause: BaseException | None = error
    while cause is not None:
        found.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return found
