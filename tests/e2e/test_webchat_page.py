"""The web chat in a real browser, against a house that answers like ours but keeps nothing on disk."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from bots.base import MAX_FILE_BYTES, Cursor, Doors
from forms.messages import Inbound, InboundKind
from notifications.outbox import Parcel, ShownButton
from tests.channels.harness import free_address, serving
from tests.channels.webchat import LoggedChat, MemoryLog, chat
from tests.e2e.conftest import DESKTOP, PHONE, SMALL_PHONE

pytestmark = pytest.mark.asyncio(loop_scope="session")

Rows = tuple[tuple[ShownButton, ...], ...]


def buttons(*labels: str, scope: str = "form", target: str = "kind") -> Rows:
    return tuple((ShownButton(label, f"{scope}:{target}:{number}:1"),) for number, label in enumerate(labels))


@dataclass(slots=True)
class EchoHouse:
    """Takes what comes and answers with its own words."""

    channel: LoggedChat
    log: MemoryLog
    public_url: str
    heard: list[Inbound] = field(default_factory=list)
    refusing: bool = False
    _said: int = 0

    def doors(self) -> Doors:
        return Doors(self.accept, now=lambda: datetime.now(UTC), public_url=self.public_url)

    async def accept(self, inbounds: Sequence[Inbound], cursor: Cursor | None) -> None:
        assert cursor is None
        if self.refusing:
            raise OSError("the disk is full")
        for inbound in inbounds:
            if inbound.event_key in {known.event_key for known in self.heard}:
                continue
            self.heard.append(inbound)
            self.log.heard(inbound)
            await self.answer(inbound)

    async def answer(self, inbound: Inbound) -> None:
        match inbound.kind:
            case InboundKind.STARTED:
                code = f" Ваш код: {inbound.start_code}." if inbound.start_code else ""
                await self.says(
                    inbound.chat_key, f"Здравствуйте!{code}", buttons("Согласен", "Позвать человека")
                )
            case InboundKind.FILE:
                names = ", ".join(file.name for file in inbound.files)
                await self.says(inbound.chat_key, f"Получили: {names}. Подпись: {inbound.text}")
            case _:
                await self.says(inbound.chat_key, f"Вы сказали: {inbound.text}")

    async def says(self, chat_key: str, text: str, rows: Rows = ()) -> None:
        self._said += 1
        await self.channel.send(Parcel(f"letter:{self._said}", chat_key, text, rows))

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        async with serving(self.channel, self.doors()):
            yield


@pytest.fixture
def house(tmp_path: Path) -> EchoHouse:
    log = MemoryLog()
    return EchoHouse(chat(tmp_path, log, messages_per_10_seconds=100), log, free_address())


async def enters(page: Page, house: EchoHouse, path: str = "/chat") -> None:
    await page.goto(house.public_url + path)
    await expect(page.locator("#state")).to_have_text("На связи")


async def test_a_visitor_starts_presses_and_writes(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house)
        await expect(page).to_have_title("Баланс Актив")
        await page.get_by_role("button", name="Начать").click()
        await expect(page.get_by_text("Здравствуйте!")).to_be_visible()
        await page.get_by_role("button", name="Согласен").click()
        await expect(page.get_by_text("Вы сказали: Согласен")).to_be_visible()
        await expect(page.get_by_role("button", name="Согласен")).to_be_disabled()
        await page.get_by_label("Сообщение", exact=True).fill("Оплатить счёт")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("до пятницы")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Вы сказали: Оплатить счёт\nдо пятницы")).to_be_visible()
    assert [inbound.kind for inbound in house.heard] == [
        InboundKind.STARTED,
        InboundKind.BUTTON,
        InboundKind.TEXT,
    ]
    assert house.heard[1].button == "form:kind:0:1"


@pytest.mark.parametrize("mark", ["?", "#"], ids=["query", "fragment"])
async def test_an_invitation_starts_by_itself_and_leaves_the_address(
    page: Page, house: EchoHouse, mark: str
) -> None:
    async with house.runs():
        await enters(page, house, f"/chat/staff{mark}code=K7-pq_9")
        await expect(page.get_by_text("Ваш код: K7-pq_9.")).to_be_visible()
        assert page.url.rstrip("#") == f"{house.public_url}/chat/staff"
        await page.reload()
        await expect(page.get_by_text("Ваш код: K7-pq_9.")).to_be_visible()
    assert len(house.heard) == 1


async def test_profiles_are_different_people_in_one_browser(
    context: BrowserContext, house: EchoHouse
) -> None:
    async with house.runs():
        for path in ("/chat?code=client", "/chat/staff?code=staff"):
            page = await context.new_page()
            await enters(page, house, path)
            await expect(page.locator(".message-theirs")).to_have_count(1)
    assert len({inbound.chat_key for inbound in house.heard}) == 2


async def test_the_dialogue_is_there_after_a_reload_and_in_the_other_tab(
    page: Page, context: BrowserContext, house: EchoHouse
) -> None:
    async with house.runs():
        await enters(page, house)
        other = await context.new_page()
        await enters(other, house)
        await page.get_by_role("textbox").fill("первое")
        await page.keyboard.press("Enter")
        for tab in (page, other):
            await expect(tab.locator(".message .words")).to_have_text(["первое", "Вы сказали: первое"])
        await page.reload()
        await expect(page.locator(".message .words")).to_have_text(["первое", "Вы сказали: первое"])


async def test_what_was_written_without_a_connection_arrives_once_after_a_restart(
    page: Page, house: EchoHouse
) -> None:
    async with house.runs():
        await enters(page, house)
        await page.get_by_role("textbox").fill("до")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Вы сказали: до")).to_be_visible()
    await expect(page.locator("#state")).to_have_text(re.compile("Нет связи"))
    for text in ("без связи", "и ещё"):
        await page.get_by_role("textbox").fill(text)
        await page.keyboard.press("Enter")
    await expect(page.get_by_text("не отправлено, повторяем")).to_have_count(2)
    await house.says(house.heard[0].chat_key, "пока вас не было")
    async with house.runs():
        await expect(page.locator("#state")).to_have_text("На связи")
        await expect(page.locator(".message .words")).to_have_text(
            [
                "до",
                "Вы сказали: до",
                "пока вас не было",
                "без связи",
                "и ещё",
                "Вы сказали: без связи",
                "Вы сказали: и ещё",
            ]
        )
        await expect(page.get_by_text("не отправлено, повторяем")).to_have_count(0)
    assert [inbound.text for inbound in house.heard] == ["до", "без связи", "и ещё"]


async def test_an_unsent_message_outlives_the_page(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house)
        house.refusing = True
        await page.get_by_role("textbox").fill("важное")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Сообщение пока не сохранилось")).to_be_visible()
        await expect(page.get_by_text("не отправлено, повторяем")).to_be_visible()
        await page.reload()
        house.refusing = False
        await expect(page.get_by_text("Вы сказали: важное")).to_be_visible()
        await expect(page.locator(".message-mine")).to_have_count(1)
    assert len(house.heard) == 1


async def test_several_files_and_a_caption_are_one_answer(page: Page, house: EchoHouse) -> None:
    contents = {"счёт № 15.pdf": b"%PDF-1.4 one", "скан.jpg": b"\xff\xd8" * 300_000}
    async with house.runs():
        await enters(page, house)
        await page.locator("#files").set_input_files(
            [
                {"name": name, "mimeType": "application/octet-stream", "buffer": content}
                for name, content in contents.items()
            ]
        )
        await expect(page.locator(".chip")).to_have_count(2)
        await page.get_by_role("textbox").fill("оба за ноябрь")
        await page.keyboard.press("Enter")
        await expect(
            page.get_by_text("Получили: счёт № 15.pdf, скан.jpg. Подпись: оба за ноябрь")
        ).to_be_visible()
        await expect(page.locator(".chip")).to_have_count(0)
        (inbound,) = house.heard
        arrived = {
            file.name: b"".join([chunk async for chunk in house.channel.open_file(file)])
            for file in inbound.files
        }
    assert arrived == contents
    assert [file.media_type for file in inbound.files] == ["application/pdf", "image/jpeg"]


async def test_an_upload_that_was_cut_off_goes_on_by_itself(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house)
    await page.locator("#files").set_input_files(
        {"name": "счёт.pdf", "mimeType": "application/pdf", "buffer": b"%PDF"}
    )
    await expect(page.locator(".chip")).to_contain_text("не загрузился")
    async with house.runs():
        await expect(page.locator(".chip")).to_contain_text("Б, загружен")
        await page.get_by_role("button", name="Отправить сообщение").click()
        await expect(page.get_by_text("Получили: счёт.pdf")).to_be_visible()


async def test_a_file_can_be_dropped_pasted_and_taken_back(page: Page, house: EchoHouse) -> None:
    give = """([kind, name]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(["x"], name));
        const init = kind === "paste" ? {clipboardData: transfer} : {dataTransfer: transfer};
        const Event = kind === "paste" ? ClipboardEvent : DragEvent;
        document.body.dispatchEvent(new Event(kind, {...init, bubbles: true, cancelable: true}));
    }"""
    async with house.runs():
        await enters(page, house)
        await page.evaluate(give, ["dragenter", "a.txt"])
        await expect(page.get_by_text("Отпустите файлы")).to_be_visible()
        await page.evaluate(give, ["drop", "a.txt"])
        await expect(page.get_by_text("Отпустите файлы")).to_be_hidden()
        await page.evaluate(give, ["paste", "b.png"])
        await expect(page.locator(".chip")).to_have_count(2)
        await page.get_by_role("button", name="Убрать файл «a.txt»").click()
        await expect(page.locator(".chip")).to_have_count(1)
        await expect(page.locator(".chip")).to_contain_text("загружен")
        await page.get_by_role("button", name="Отправить сообщение").click()
        await expect(page.get_by_text("Получили: b.png")).to_be_visible()


@pytest.mark.parametrize(
    ("size_bytes", "sentence"),
    [(0, "Файл «счёт.pdf» пустой"), (MAX_FILE_BYTES + 1, "Файл «счёт.pdf» больше 20 МБ")],
    ids=["empty", "too big"],
)
async def test_a_file_that_we_cannot_take_is_refused_with_a_sentence(
    page: Page, house: EchoHouse, size_bytes: int, sentence: str
) -> None:
    async with house.runs():
        await enters(page, house)
        await page.evaluate(
            """(size) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(size)], "счёт.pdf"));
                const box = document.getElementById("files");
                box.files = transfer.files;
                box.dispatchEvent(new Event("change"));
            }""",
            size_bytes,
        )
        await expect(page.get_by_role("alert")).to_contain_text(sentence)
        await expect(page.locator(".chip")).to_have_count(0)


async def test_a_text_that_is_too_long_stays_in_the_box(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house)
        await page.get_by_role("textbox").fill("ы" * 10_001)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("не больше 10000 знаков, у вас 10001")
        assert len(await page.get_by_role("textbox").input_value()) == 10_001
    assert house.heard == []


async def test_markup_is_text_and_only_web_addresses_are_links(page: Page, house: EchoHouse) -> None:
    text = '<img src=x onerror="document.title=1"> javascript:alert(1) (https://example.ru/a?b=1).'
    async with house.runs():
        await enters(page, house, "/chat?code=1")
        await expect(page.locator(".message-theirs")).to_have_count(1)
        await house.says(house.heard[0].chat_key, text)
        words = page.locator(".message-theirs .words").last
        await expect(words).to_have_text(text)
        links = words.locator("a")
        await expect(links).to_have_count(1)
        assert await links.get_attribute("href") == "https://example.ru/a?b=1"
        assert "noopener" in str(await links.get_attribute("rel"))
        assert await page.title() == "Баланс Актив"


async def test_cards_of_different_requests_stay_alive_side_by_side(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house, "/chat/staff?code=1")
        await expect(page.locator(".message-theirs")).to_have_count(1)
        chat_key = house.heard[0].chat_key
        for number in ("118", "119"):
            await house.says(
                chat_key, f"Заявка № {number}", buttons("Принять", scope="request", target=number)
            )
        accept = page.get_by_role("button", name="Принять")
        await expect(accept).to_have_count(2)
        await accept.first.click()
        await expect(page.get_by_text("Вы сказали: Принять")).to_be_visible()
        await expect(accept.nth(1)).to_be_enabled()
        await house.says(chat_key, "Заявка № 118 у вас", buttons("Выполнено", scope="request", target="118"))
        await expect(page.get_by_role("button", name="Выполнено")).to_be_enabled()
        await expect(accept.first).to_be_disabled()
        await expect(accept.nth(1)).to_be_enabled()
    assert house.heard[-1].button == "request:118:0:1"


async def test_earlier_messages_come_on_request(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house, "/chat?code=1")
        await expect(page.locator(".message-theirs")).to_have_count(1)
        for number in range(100):
            await house.says(house.heard[0].chat_key, f"сообщение {number}")
        await expect(page.get_by_text("сообщение 99", exact=True)).to_be_in_viewport()
        assert await page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")
        await page.reload()
        await expect(page.locator(".message")).to_have_count(60)
        await page.get_by_role("button", name="Показать более ранние").click()
        await expect(page.locator(".message .words").nth(1)).to_have_text("сообщение 0")
        await expect(page.locator(".message")).to_have_count(101)
        await expect(page.get_by_role("button", name="Показать более ранние")).to_be_hidden()


async def test_a_visitor_with_a_keyboard_only_gets_everywhere(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house, "/chat?code=1")
        await expect(page.get_by_role("button", name="Согласен")).to_be_visible()
        await page.get_by_role("textbox").focus()
        await page.keyboard.press("Shift+Tab")
        await expect(page.get_by_role("button", name="Прикрепить файлы")).to_be_focused()
        await page.keyboard.press("Shift+Tab")
        await expect(page.get_by_role("button", name="Позвать человека")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Вы сказали: Позвать человека")).to_be_visible()
        await expect(page.get_by_role("textbox")).to_be_focused()


@pytest.mark.parametrize("viewport", [SMALL_PHONE["viewport"], DESKTOP["viewport"]], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_is_large_enough_and_nothing_sticks_out(
    page: Page, house: EchoHouse, viewport: dict[str, int], scheme: str
) -> None:
    await page.set_viewport_size(viewport)  # type: ignore[arg-type]
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    async with house.runs():
        await enters(page, house, "/chat?code=1")
        await expect(page.locator(".message-theirs")).to_have_count(1)
        await house.says(house.heard[0].chat_key, "длинное_слово" * 40, buttons("подпись_без_пробелов" * 5))
        await page.locator("#files").set_input_files(
            {"name": "имя_файла" * 20 + ".pdf", "mimeType": "application/pdf", "buffer": b"1"}
        )
        await expect(page.locator(".chip")).to_contain_text("загружен")
        for box in await page.locator("button:visible:enabled, textarea").all():
            size = await box.bounding_box()
            assert size is not None
            assert round(min(size["width"], size["height"]), 2) >= 44, await box.get_attribute("id")
            assert size["x"] >= 0
            assert size["x"] + size["width"] <= viewport["width"]
        for part in ("html", "#talk", ".compose"):
            assert await page.locator(part).evaluate("part => part.scrollWidth <= part.clientWidth"), part
        assert await page.evaluate(LOW_CONTRAST) == []


LOW_CONTRAST = """() => {
    const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
        const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
        for (let node = element; node; node = node.parentElement) {
            const colour = parse(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.99) return colour;
        }
        return [255, 255, 255];
    };
    const low = [];
    for (const element of document.querySelectorAll("h1, p, span, a, button, .day")) {
        if (!element.checkVisibility() || !element.textContent.trim()) continue;
        const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort();
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) low.push(`${element.className || element.id} ${ratio.toFixed(2)}`);
    }
    return low;
}"""


async def test_a_lost_cookie_is_healed_by_one_reload(
    page: Page, context: BrowserContext, house: EchoHouse
) -> None:
    async with house.runs():
        await enters(page, house)
    await context.clear_cookies()
    async with house.runs():
        await expect(page.locator("#state")).to_have_text("На связи")
        await page.get_by_role("textbox").fill("снова здесь")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Вы сказали: снова здесь")).to_be_visible()


async def test_a_browser_that_keeps_no_cookies_is_told_so(
    page: Page, context: BrowserContext, house: EchoHouse
) -> None:
    async def forget_cookies(route: Route) -> None:
        await context.clear_cookies()
        await route.continue_()

    await page.route("**/wire.js", forget_cookies)
    async with house.runs():
        await page.goto(f"{house.public_url}/chat")
        await expect(page.get_by_role("alert")).to_contain_text("Браузер не сохраняет cookie.")


async def test_a_tap_on_a_phone_does_not_call_up_the_keyboard(browser: Browser, house: EchoHouse) -> None:
    phone = await browser.new_context(**PHONE)
    page = await phone.new_page()
    async with house.runs():
        await enters(page, house)
        await page.get_by_role("button", name="Начать").tap()
        await page.get_by_role("button", name="Согласен").tap()
        await expect(page.get_by_text("Вы сказали: Согласен")).to_be_visible()
        await expect(page.get_by_role("textbox")).not_to_be_focused()
        await expect(page.locator(".day")).to_have_count(1)
    await phone.close()


async def test_the_house_may_go_while_a_page_is_open(page: Page, house: EchoHouse) -> None:
    async with asyncio.timeout(60):
        async with house.runs():
            await enters(page, house)
            await house.channel.close()
        await expect(page.locator("#state")).to_have_text(re.compile("Нет связи"))
