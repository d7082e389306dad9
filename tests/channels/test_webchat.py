"""What only the web chat does: sessions, the door, uploads, its log. The page itself: tests/e2e."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bots.base import MAX_FILE_BYTES, Doors, FileRefused
from bots.webchat import CHANNEL, HISTORY_LENGTH, PAGE_TEXTS, Settings, _file_name
from forms.messages import Inbound, InboundKind, IncomingFile, OutgoingFile
from notifications.outbox import Parcel, Sent, ShownButton
from tests.channels.harness import House, cancelled_when, free_address, serving
from tests.channels.webchat import LoggedChat, MemoryLog, Tab, chat, render
from tests.emulators.listening import PATIENCE_SECONDS


@dataclass(slots=True)
class Stand:
    """A served web chat and its visitors."""

    channel: LoggedChat
    log: MemoryLog
    house: House
    url: str
    tasks: asyncio.TaskGroup
    stack: AsyncExitStack
    inbounds: list[Inbound] = field(default_factory=list)

    async def browser(self) -> aiohttp.ClientSession:
        jar = aiohttp.CookieJar(unsafe=True)
        return await self.stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))

    async def tab(self, browser: aiohttp.ClientSession | None = None, profile: str = "") -> Tab:
        """A page that is open and has its history."""
        tab = Tab(browser or await self.browser(), self.url, profile)
        await tab.opens()
        self.tasks.create_task(tab.listens())
        await tab.gets("history")
        return tab


Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def opened(*, now: Callable[[], datetime] = House.now, **settings: Any) -> AsyncIterator[Stand]:
        log, house = MemoryLog(), House()
        channel = chat(tmp_path, log, **settings)
        doors = Doors(house.accept, now=now, public_url=free_address())
        async with serving(channel, doors), asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            yield Stand(channel, log, house, doors.public_url, tasks, stack)

    return opened


# ---------------------------------------------------------------------- settings


def test_an_empty_section_is_enough():
    assert Settings.model_validate({}) == Settings()


def test_an_unknown_key_is_an_error():
    with pytest.raises(ValidationError):
        Settings.model_validate({"messages": 3})


def test_the_page_speaks_whole_sentences():
    rendered = {name: render(text) for name, text in PAGE_TEXTS.items()}
    assert rendered["file_too_big"] == "Файл «{name}» больше 20 МБ. Сожмите его или разделите на части."
    assert all(rendered.values())


# ---------------------------------------------------------------------- the page and its session


async def test_the_page_is_strict_about_where_things_come_from(serve: Serve):
    async with serve() as stand, (await stand.browser()).get(f"{stand.url}/chat") as response:
        page = await response.text()
    policy = response.headers["Content-Security-Policy"]
    nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert page.count(f'nonce="{nonce}"') == page.count("<script") == 2
    assert "style=" not in page
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    assert '<html lang="ru">' in page


async def test_settings_and_names_cannot_break_out_of_the_page(serve: Serve):
    evil = '</script><script>alert("1")</script>'
    async with (
        serve(title=evil, greeting=evil) as stand,
        (await stand.browser()).get(f"{stand.url}/chat") as got,
    ):
        page = await got.text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(&quot;1&quot;)" in page


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
async def test_the_cookie_is_kept_from_scripts_and_other_sites(tmp_path: Path, scheme: str, secure: bool):
    channel = chat(tmp_path, MemoryLog())
    doors = Doors(House().accept, now=House.now, public_url=free_address().replace("http", scheme))
    address = doors.public_url.replace("https", "http")
    async with (
        serving(channel, doors),
        aiohttp.ClientSession() as browser,
        browser.get(f"{address}/chat/staff") as response,
    ):
        cookie = response.cookies["priem_chat_staff"]
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "lax"
    assert cookie["path"] == "/chat"
    assert int(cookie["max-age"]) == 400 * 24 * 3600
    assert bool(cookie["secure"]) is secure
    assert len(cookie.value.partition(".")[0]) == 32


@pytest.mark.parametrize(
    "path", ["/chat/Ы", "/chat/STAFF", "/chat/a" + "b" * 20, "/chat/socket", "/chat/a.b"]
)
async def test_an_impossible_profile_is_not_found(serve: Serve, path: str):
    async with serve() as stand, (await stand.browser()).get(stand.url + path) as response:
        assert response.status == 404
        assert not response.cookies


async def test_a_session_lasts_and_a_forged_one_does_not(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        first, again = await stand.tab(browser), await stand.tab(browser)
        assert first.chat_key == again.chat_key
        value = next(iter(browser.cookie_jar)).value
        forgeries = [
            first.chat_key,
            # The first sign of the signature: the last one has bits that say nothing.
            re.sub(r"\.[^.]([^.]*)$", lambda end: f".{'A' if end[0][1] != 'A' else 'B'}{end[1]}", value),
            value.replace(first.chat_key, "0" * 32),
            "",
            "ы",
        ]
        for forged in forgeries:
            browser.cookie_jar.clear()
            browser.cookie_jar.update_cookies({"priem_chat": forged})
            assert (await stand.tab(browser)).chat_key not in {first.chat_key, "0" * 32}


async def test_a_session_of_one_profile_does_not_open_another(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        client = await stand.tab(browser)
        value = next(iter(browser.cookie_jar)).value
        browser.cookie_jar.update_cookies({"priem_chat_staff": value})
        assert (await stand.tab(browser, "staff")).chat_key != client.chat_key


async def test_assets_are_kept_by_their_version_only(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        async with browser.get(f"{stand.url}/chat") as response:
            page = await response.text()
        style = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
        for path, caching in ((style, "immutable"), ("/chat/static/old/chat.css", "no-cache")):
            async with browser.get(stand.url + path) as response:
                assert response.status == 200
                assert caching in response.headers["Cache-Control"]
                assert response.headers["Content-Type"] == "text/css; charset=utf-8"
        for name in ("index.html", "..%2f..%2fwebchat.py", "nothing.js"):
            async with browser.get(f"{stand.url}/chat/static/x/{name}") as response:
                assert response.status == 404


# ---------------------------------------------------------------------- the socket's door


@pytest.mark.parametrize(
    "origin",
    [None, "https://evil.example", "null", "http://127.0.0.1:1", "file://"],
    ids=["none", "foreign", "null", "other port", "file"],
)
async def test_another_site_cannot_speak_for_a_visitor(serve: Serve, origin: str | None):
    async with serve() as stand:
        browser = await stand.browser()
        await stand.tab(browser)
        headers = {"Origin": origin} if origin else {}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await browser.ws_connect(f"{stand.url}/chat/socket", headers=headers)
        assert refused.value.status == 403
        async with browser.post(f"{stand.url}/chat/upload", data=b"1", headers=headers) as response:
            assert response.status == 403


async def test_who_has_no_cookie_is_told_to_get_one(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        socket = await browser.ws_connect(f"{stand.url}/chat/socket", headers={"Origin": stand.url})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4401
        async with browser.post(
            f"{stand.url}/chat/upload", data=b"1", headers={"Origin": stand.url}
        ) as response:
            assert response.status == 403


async def test_one_address_has_only_so_many_sockets(serve: Serve):
    async with serve(max_sockets_per_address=2) as stand:
        browser = await stand.browser()
        first, _second = await stand.tab(browser), await stand.tab(browser)
        third = await browser.ws_connect(f"{stand.url}/chat/socket", headers={"Origin": stand.url})
        await third.receive()
        assert third.close_code == 4429
        await first.socket.close()
        await stand.tab(browser)


async def test_a_frame_that_is_too_big_ends_the_conversation(serve: Serve):
    async with serve() as stand:
        tab = await stand.tab()
        await tab.socket.send_str(json.dumps({"type": "text", "id": "x", "text": "a" * 70_000}))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not tab.socket.closed:
                await asyncio.sleep(0.01)
        assert tab.socket.close_code == 1009
    assert stand.house.received == []


UUID = "5f0c9a52-7f1e-4d54-9d2b-0f4f6cf0a001"


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "text", "id": UUID},
        {"type": "text", "id": UUID, "text": 5},
        {"type": "text", "id": UUID, "text": "да", "chat_key": "чужой"},
        {"type": "text", "id": UUID, "text": "  \n "},
        {"type": "text", "id": UUID, "text": "\u0000"},
        {"type": "press", "id": UUID, "press": "x" * 65},
        {"type": "files", "id": UUID, "files": []},
        {"type": "files", "id": UUID, "files": [{"reference": "../../etc/passwd", "name": "a"}]},
        {"type": "files", "id": UUID, "files": [{"reference": "0" * 32, "name": "a"}]},
        {"type": "files", "id": UUID, "files": [{"reference": "0" * 32, "name": "a"}] * 11},
    ],
    ids=lambda frame: json.dumps(frame)[:60],
)
async def test_a_wrong_message_is_refused_by_its_id(serve: Serve, frame: dict[str, Any]):
    async with serve() as stand:
        tab = await stand.tab()
        await tab.socket.send_json(frame)
        (refused,) = await tab.gets("refused")
    assert refused["id"] == UUID
    assert refused["text"].endswith(".")
    assert stand.house.received == []


async def test_half_an_emoji_is_refused(serve: Serve):
    async with serve() as stand:
        tab = await stand.tab()
        await tab.socket.send_str(f'{{"type": "text", "id": "{UUID}", "text": "\\ud83d"}}')
        assert (await tab.gets("refused"))[0]["id"] == UUID


@pytest.mark.parametrize(("length", "taken"), [(10_000, True), (10_001, False)])
async def test_the_longest_text(serve: Serve, length: int, taken: bool):
    async with serve() as stand:
        tab = await stand.tab()
        key = await tab.says(type="text", text="ы" * length)
        (answer,) = await tab.gets("ack" if taken else "refused")
    assert answer["id"] == key
    assert len(stand.house.received) == int(taken)
    assert taken or f"не больше 10000 знаков, у вас {length}" in answer["text"]


async def test_who_writes_too_fast_waits_and_nobody_else_does(serve: Serve):
    clock = datetime(2026, 11, 25, 11, tzinfo=UTC)

    def now() -> datetime:
        return clock

    async with serve(now=now, messages_per_10_seconds=4) as stand:
        fast, other = await stand.tab(), await stand.tab()
        for number in range(3):  # the greeting was the first
            await fast.says(type="text", text=str(number))
        await fast.gets("ack", 3)
        clock += timedelta(seconds=4)
        await fast.socket.send_json({"type": "text", "id": UUID, "text": "лишнее"})
        (slow_down,) = await fast.gets("slow_down")
        assert (slow_down["id"], slow_down["after_seconds"]) == (UUID, 6)
        await other.says(type="text", text="а я могу")
        await other.gets("ack")
        clock += timedelta(seconds=6)
        await fast.socket.send_json({"type": "text", "id": UUID, "text": "теперь можно"})
        await fast.gets("ack", 4)
    assert [inbound.text for inbound in stand.house.received] == ["0", "1", "2", "а я могу", "теперь можно"]


# ---------------------------------------------------------------------- messages both ways


async def test_events_name_the_visitor_and_the_message(serve: Serve):
    async with serve() as stand:
        tab = await stand.tab()
        start = await tab.says(type="start", code=" K7-pq ")
        press = await tab.says(type="press", press="form:kind:pay:7", label="Оплатить")
        started, pressed = await stand.house.receives(2)
    assert (started.kind, started.start_code) == (InboundKind.STARTED, "K7-pq")
    assert (pressed.kind, pressed.button, pressed.text) == (InboundKind.BUTTON, "form:kind:pay:7", "Оплатить")
    assert started.event_key.endswith(f":{start}")
    assert pressed.event_key.endswith(f":{press}")
    assert {started.chat_key, started.user_key, pressed.chat_key} == {tab.chat_key}
    assert tab.chat_key not in started.event_key


async def test_two_visitors_with_one_uuid_are_two_events(serve: Serve):
    async with serve() as stand:
        for _visitor in range(2):
            tab = await stand.tab()
            await tab.socket.send_json({"type": "text", "id": UUID, "text": "совпало"})
            await tab.gets("ack")
    assert len(stand.house.received) == 2


async def test_every_open_page_shows_the_message_before_its_answer(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        writer, reader, stranger = await stand.tab(browser), await stand.tab(browser), await stand.tab()
        store = stand.house.accept

        async def accept(inbounds: Any, cursor: Any) -> None:
            await store(inbounds, cursor)
            await stand.channel.send(Parcel("answer", writer.chat_key, "сделаем"))
            await asyncio.sleep(0.05)

        async with serving(
            stand.channel, Doors(accept, now=House.now, public_url=(elsewhere := free_address()))
        ):
            hasty = Tab(browser, elsewhere)
            await hasty.opens()
            stand.tasks.create_task(hasty.listens())
            await hasty.gets("history")
            key = await hasty.says(type="text", text="сделайте")
            for tab in (writer, reader):
                messages = await tab.gets("message", 2)
                assert [(message["mine"], message["text"]) for message in messages] == [
                    (True, "сделайте"),
                    (False, "сделаем"),
                ]
                assert messages[0]["key"] == key
            await hasty.gets("message")
            assert [frame["type"] for frame in hasty.frames] == ["history", "ack", "message"]
        assert stranger.messages() == []


async def test_a_message_nobody_was_there_for_is_read_later(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        tab = await stand.tab(browser)
        await tab.socket.close()
        outcome = await stand.channel.send(Parcel("request:118:done", tab.chat_key, "пока вас не было"))
        assert isinstance(outcome, Sent)
        assert [message["text"] for message in (await stand.tab(browser)).messages()] == ["пока вас не было"]


async def test_history_tells_keys_without_meaning_and_links_files(serve: Serve):
    file = OutgoingFile("ab" * 32, "акт.pdf", "application/pdf", 1000)
    coming = OutgoingFile("", "едет.pdf", "application/pdf", 1000)
    async with serve() as stand:
        browser = await stand.browser()
        first = await stand.tab(browser)
        said = await first.says(type="text", text="пришлите акт")
        await first.gets("ack")
        stand.log.heard(stand.house.received[0])
        parcel = Parcel("request:118118118:file:staff-7", first.chat_key, "вот", files=(file, coming))
        await stand.channel.send(parcel)
        (live,) = await first.gets("message")
        (history,) = await (await stand.tab(browser)).gets("history")
    mine, theirs = history["messages"]
    assert (mine["key"], mine["mine"], mine["text"]) == (said, True, "пришлите акт")
    assert theirs["key"] == live["key"]
    assert "118118118" not in theirs["key"]
    assert [attached["url"].partition("?")[0] for attached in theirs["files"]] == [f"/files/{'ab' * 32}", ""]
    assert datetime.fromisoformat(theirs["sent_at"]).tzinfo is not None
    assert history["before"] is None


async def test_earlier_messages_come_in_portions(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        chat_key = (await stand.tab(browser)).chat_key
        for number in range(HISTORY_LENGTH + 10):
            stand.log.said(Parcel(f"letter-{number}", chat_key, str(number)))
        tab = await stand.tab(browser)
        (history,) = await tab.gets("history")
        assert history["messages"][0]["text"] == "10"
        await tab.socket.send_json({"type": "earlier", "before": history["before"]})
        (earlier,) = await tab.gets("earlier")
    assert [message["text"] for message in earlier["messages"]] == [str(number) for number in range(10)]
    assert earlier["before"] is None


async def test_a_ping_is_answered(serve: Serve):
    async with serve() as stand:
        tab = await stand.tab()
        await tab.socket.send_json({"type": "ping"})
        await tab.gets("pong")


@pytest.mark.parametrize(
    ("presses", "thread"),
    [
        (("form:kind:pay:7",), ""),
        (("request:118:accept:1", "request:118:decline:1"), "request:118"),
        (("request:118:accept:1", "nav:human::0"), ""),
        (("что-то своё",), ""),
        ((), ""),
    ],
    ids=["dialogue", "card", "card with a way out", "foreign", "no buttons"],
)
async def test_buttons_say_what_they_are_about(serve: Serve, presses: tuple[str, ...], thread: str):
    rows = tuple((ShownButton("Да", press),) for press in presses)
    async with serve() as stand:
        tab = await stand.tab()
        await stand.channel.send(Parcel("letter", tab.chat_key, "?", rows))
        (message,) = await tab.gets("message")
    assert message["thread"] == thread


async def test_a_page_that_lags_comes_back_for_what_it_missed(serve: Serve):
    async with serve() as stand:
        browser = await stand.browser()
        tab = await stand.tab(browser)
        for number in range(300):  # without a pause in which the socket could write
            await stand.channel.send(Parcel(f"letter-{number}", tab.chat_key, str(number)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not tab.socket.closed:
                await asyncio.sleep(0.01)
        assert tab.socket.close_code == 1012
        assert (await stand.tab(browser)).messages()[-1]["text"] == "299"


async def test_what_another_process_sent_is_found(serve: Serve):
    async with serve(refresh_seconds=0.05) as stand:
        tab = await stand.tab()
        stand.log.said(Parcel("letter-of-another-process", tab.chat_key, "из соседнего процесса"))
        await tab.gets("history", 2)
        assert tab.messages()[-1]["text"] == "из соседнего процесса"
        looks = stand.log.looks
        async with asyncio.timeout(PATIENCE_SECONDS):
            while stand.log.looks < looks + 3:
                await asyncio.sleep(0.01)
        assert len(await tab.gets("history")) == 2


async def test_closing_tells_the_pages(serve: Serve):
    async with serve() as stand:
        tab = await stand.tab()
        assert (await stand.channel.health()).detail.startswith("1 open pages")
        await stand.channel.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not tab.socket.closed:
                await asyncio.sleep(0.01)
        assert tab.socket.close_code == 1012
        assert (await stand.channel.health()).detail.startswith("0 open pages")
        told = (await stand.channel.health()).told
        assert told is not None
        assert render(told).startswith("открыто окон: 0, места для файлов: ")


async def test_a_failed_commit_is_not_acknowledged_and_tells_no_words(
    serve: Serve, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    with structlog.testing.capture_logs() as logs:
        async with serve() as stand:
            tab = await stand.tab()
            stand.house.refuses(1)
            await tab.socket.send_json({"type": "text", "id": UUID, "text": "секретные слова"})
            (later,) = await tab.gets("slow_down")
            await tab.socket.send_json({"type": "text", "id": UUID, "text": "секретные слова"})
            await tab.gets("ack")
    assert later["id"] == UUID
    assert [entry["error"] for entry in logs] == ["Refused"]
    assert "секретные" not in caplog.text + repr(logs)
    assert tab.chat_key not in caplog.text + repr(logs)


# ---------------------------------------------------------------------- uploads


async def test_several_files_are_one_event_also_when_repeated(serve: Serve):
    async with serve() as stand:
        tab = await stand.tab()
        files = []
        for name, body in (("Счёт № 15.pdf", b"first"), ("папка\\скан.JPG", b"second")):
            reference = (await (await tab.uploads(body)).json())["reference"]
            files.append({"reference": reference, "name": name})
        await tab.says(type="files", text="за ноябрь", files=files)
        await tab.gets("ack")
        await tab.repeats()
        await tab.gets("ack", 2)
        (inbound,) = stand.house.received
        contents = [await content(stand, file) for file in inbound.files]
    assert (inbound.kind, inbound.text) == (InboundKind.FILE, "за ноябрь")
    assert [(file.name, file.size_bytes, file.media_type) for file in inbound.files] == [
        ("Счёт № 15.pdf", 5, "application/pdf"),
        ("скан.JPG", 6, "image/jpeg"),
    ]
    assert contents == [b"first", b"second"]


async def content(stand: Stand, file: IncomingFile) -> bytes:
    return b"".join([chunk async for chunk in stand.channel.open_file(file)])


async def test_a_file_belongs_to_who_uploaded_it(serve: Serve):
    async with serve() as stand:
        owner, thief = await stand.tab(), await stand.tab()
        reference = (await (await owner.uploads(b"secret")).json())["reference"]
        await thief.says(type="files", files=[{"reference": reference, "name": "a.pdf"}])
        (refused,) = await thief.gets("refused")
        assert refused["text"] == "Файл до нас не дошёл. Прикрепите его ещё раз."
        await owner.says(type="files", files=[{"reference": reference, "name": "a.pdf"}])
        await owner.gets("ack")


@pytest.mark.parametrize(
    "reference",
    ["", "/", "../../secret", f"{'0' * 32}/../../x", f"{'0' * 32}/{'0' * 32}", f"{'0' * 32}/{'0' * 32}\n"],
)
async def test_only_references_of_ours_open_files(tmp_path: Path, reference: str):
    channel = chat(tmp_path, MemoryLog())
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(FileRefused):
        _ = [chunk async for chunk in channel.open_file(IncomingFile(reference, "a"))]


async def chunks(size_bytes: int) -> AsyncIterator[bytes]:
    for _chunk in range(size_bytes // 2**16 + 1):
        yield b"\0" * 2**16


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "Файл пустой"),
        (b"\0" * (MAX_FILE_BYTES + 1), 413, "Файл больше 20 МБ"),
    ],
    ids=["empty", "too big"],
)
async def test_a_file_that_cannot_be_taken_leaves_nothing(
    serve: Serve, tmp_path: Path, body: bytes, status: int, sentence: str
):
    async with serve() as stand:
        response = await (await stand.tab()).uploads(body)
        assert response.status == status
        assert (await response.json())["text"].startswith(sentence)
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []


async def test_a_file_of_unsaid_length_is_cut_off(serve: Serve, tmp_path: Path):
    async with serve() as stand:
        browser = await stand.browser()
        await stand.tab(browser)
        try:
            async with browser.post(
                f"{stand.url}/chat/upload", data=chunks(MAX_FILE_BYTES), headers={"Origin": stand.url}
            ) as response:
                assert response.status == 413
        except aiohttp.ClientConnectionError:
            pass  # the answer came, and the connection was closed, while the rest was still being sent
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []


async def test_the_largest_file_is_taken(serve: Serve):
    async with serve() as stand:
        response = await (await stand.tab()).uploads(b"\0" * MAX_FILE_BYTES)
        assert (response.status, (await response.json())["size_bytes"]) == (200, MAX_FILE_BYTES)


async def test_files_stop_before_the_disk_is_full(serve: Serve):
    async with serve(keep_free_megabytes=10**9) as stand:
        assert (await (await stand.tab()).uploads(b"1")).status == 507


async def test_one_visitor_cannot_fill_the_disk(serve: Serve):
    async with serve(upload_megabytes_per_visitor=20) as stand:
        tab = await stand.tab()
        statuses = [(await tab.uploads(b"\0" * 11 * 2**20)).status for _file in range(3)]
        assert statuses == [200, 200, 429]
        assert (await (await stand.tab()).uploads(b"1")).status == 200


async def test_sent_files_count_too(serve: Serve):
    async with serve(upload_megabytes_per_visitor=20) as stand:
        tab = await stand.tab()
        for number in (1, 2):
            await tab.sends_file("a.pdf", b"\0" * 11 * 2**20)
            await tab.gets("ack", number)
        assert (await tab.uploads(b"1")).status == 429


async def test_no_file_is_kept_before_consent(serve: Serve, tmp_path: Path):
    async with serve() as stand:
        tab = await stand.tab()
        stand.log.strangers.add(tab.chat_key)
        response = await tab.uploads(b"1")
        assert response.status == 403
        assert "Сначала нажмите «Согласен»" in await response.text()
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []


async def test_a_file_is_not_taken_once_the_consent_is_gone(serve: Serve, tmp_path: Path):
    async with serve() as stand:
        tab = await stand.tab()
        reference = (await (await tab.uploads(b"1")).json())["reference"]
        stand.log.strangers.add(tab.chat_key)
        await tab.says(type="files", files=[{"reference": reference, "name": "a.pdf"}])
        (refused,) = await tab.gets("refused")
    assert refused["text"].startswith("Сначала нажмите «Согласен»")
    assert stand.house.received == []
    assert list((tmp_path / "uploads" / "sent").rglob("*")) == []


async def test_uploads_are_paced_with_the_messages(serve: Serve):
    async with serve(messages_per_10_seconds=3) as stand:
        tab = await stand.tab()
        assert [(await tab.uploads(b"1")).status for _file in range(3)] == [200, 200, 429]


async def test_unsent_files_go_after_a_day_and_sent_ones_stay(serve: Serve, tmp_path: Path):
    async with serve() as stand:
        tab = await stand.tab()
        await tab.uploads(b"unsent")
        await tab.sends_file("a.pdf", b"sent")
        await tab.gets("ack")
        for path in (tmp_path / "uploads").rglob("*"):
            if path.is_file():
                two_days_ago = (House.now() - timedelta(days=2)).timestamp()
                os.utime(path, (two_days_ago, two_days_ago))
        await tab.uploads(b"fresh")

        def left() -> set[bytes]:
            with suppress(FileNotFoundError):  # between the listing and the reading
                return {path.read_bytes() for path in (tmp_path / "uploads").rglob("*") if path.is_file()}
            return left()

        doors = Doors(stand.house.accept, now=House.now)
        await cancelled_when(lambda: left() == {b"sent", b"fresh"}, stand.channel.receive(doors))
        later = Doors(stand.house.accept, now=lambda: House.now() + timedelta(days=31))
        await cancelled_when(lambda: not left(), stand.channel.receive(later))
        with pytest.raises(FileRefused):
            await content(stand, stand.house.received[0].files[0])


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("C:\\fakepath\\счёт.pdf", "счёт.pdf"),
        ("../../etc/passwd", "passwd"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("..", "file"),
        ("x" * 300 + ".pdf", "x" * 150 + ".pdf"),
        (".gitignore", "gitignore"),
    ],
)
def test_a_file_keeps_a_harmless_name(given_name: str, kept: str):
    assert _file_name(given_name) == kept


@given(st.text(min_size=1, max_size=400))
def test_any_file_name_becomes_one_plain_line(name: str):
    kept = _file_name(name)
    assert 0 < len(kept) <= 171
    assert kept.isprintable()
    assert "/" not in kept
    assert "\\" not in kept
    assert not kept.startswith(".")


def test_the_channel_is_opened_as_the_others_are(tmp_path: Path):
    lent = chat(tmp_path, MemoryLog())._lent
    assert CHANNEL.open(Settings(), lent).name == "webchat"
