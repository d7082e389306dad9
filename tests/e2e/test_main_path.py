"""The whole service as people meet it: a client, an accountant and the director, each in a browser."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from playwright.async_api import Error as PlaywrightError

from tests.channels.harness import free_address
from tests.e2e.conftest import (
    DESKTOP,
    PHONE,
    SCREENSHOTS,
    Faults,
    Running,
    has_printed_links,
    links_in,
    new_context,
    running,
    tell_violations,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

HEAR_SECONDS = 30
MOSCOW = ZoneInfo("Europe/Moscow")
INN = "7707083893"
COMPANY = "ООО «Ромашка»"


def pdf(words: str) -> bytes:
    """A page that a PDF reader opens."""
    drawn = f"BT /F1 18 Tf 72 720 Td ({words}) Tj ET".encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    )
    written = bytearray(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table_at = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    written += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table_at)
    return bytes(written)


BILL = pdf("Invoice 15")
PAYMENT = pdf("Payment order 77")


@dataclass(slots=True)
class Person:
    """Somebody at a browser."""

    name: str
    page: Page
    shots: Path

    async def shows(self, what: str) -> None:
        """Keep what is on the screen now."""
        number = len(list(self.shots.glob("*.png"))) + 1
        # For people to look at: a busy machine's browser sometimes cannot take one, which proves nothing.
        with suppress(PlaywrightError):
            await self.page.screenshot(path=self.shots / f"{number:02d}-{self.name}-{what}.png")


@dataclass(slots=True)
class Talker(Person):
    """Somebody in the web chat. What is heard is looked for below what was already heard."""

    heard: int = 0

    async def enters(self, link: str) -> None:
        await self.page.goto(link)
        await expect(self.page.locator("#state")).to_have_text("На связи")

    def messages(self) -> Locator:
        return self.page.locator(".message-theirs")

    async def hears(self, *parts: str) -> str:
        """Wait for a new message with all these words, and return it whole."""
        texts: list[str] = []
        until = monotonic() + HEAR_SECONDS
        while monotonic() < until:
            texts = [
                text.replace("\N{NO-BREAK SPACE}", " ") for text in await self.messages().all_inner_texts()
            ]
            for number in range(self.heard, len(texts)):
                if all(part in texts[number] for part in parts):
                    self.heard = number + 1
                    await expect(self.messages().nth(number)).to_be_visible()
                    return texts[number]
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self.name} did not hear {parts}, but {texts[self.heard :]}")

    async def presses(self, label: str) -> None:
        button = self.page.get_by_role("button", name=label, exact=True, disabled=False).last
        await button.click()

    async def says(self, text: str) -> None:
        await self.page.get_by_role("textbox").fill(text)
        await self.page.get_by_role("button", name="Отправить сообщение").click()

    async def sends(self, name: str, content: bytes, caption: str = "") -> None:
        await self.page.locator("#files").set_input_files(
            {"name": name, "mimeType": "application/pdf", "buffer": content}
        )
        await expect(self.page.locator(".chip")).to_contain_text("загружен")
        await self.says(caption)

    async def downloads(self, name: str) -> bytes:
        async with self.page.expect_download() as started:
            await self.page.get_by_role("link", name=name).last.click()
        download = await started.value
        return Path(await download.path()).read_bytes()


@dataclass(slots=True)
class Firm:
    """The demo firm at work, and everybody who looks at it."""

    service: Running
    address: str
    links: Mapping[str, str]
    browser: Browser
    device: Mapping[str, Any]
    shots: Path
    stack: AsyncExitStack
    faults: Faults = field(default_factory=Faults)

    async def page(self) -> Page:
        context = await new_context(self.browser, self.device)
        self.stack.push_async_callback(context.close)
        await tell_violations(context)
        page = await context.new_page()
        self.faults.watch(page)
        return page

    async def talker(self, name: str, link: str) -> Talker:
        talker = Talker(name, await self.page(), self.shots)
        await talker.enters(link)
        return talker


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def device(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    return request.param


@pytest.fixture
def shots(request: pytest.FixtureRequest) -> Path:
    """An empty folder for the pictures of one test."""
    folder = SCREENSHOTS / re.sub(r"\W+", "-", request.node.name).strip("-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@asynccontextmanager
async def demo(browser: Browser, device: Mapping[str, Any], shots: Path, folder: Path) -> AsyncIterator[Firm]:
    address = free_address()
    port = address.rpartition(":")[2]
    arguments = ("demo", "--port", port, "--data", str(folder / "data"))
    async with (
        running(arguments, folder, has_printed_links) as service,
        AsyncExitStack() as stack,
    ):
        yield Firm(service, address, links_in(service.output), browser, device, shots, stack)


def in_days(days: int) -> str:
    return f"{(datetime.now(UTC) + timedelta(days=days)).astimezone(MOSCOW):%d.%m.%Y}"


async def begins(client: Talker) -> None:
    """Start, agree, say for which company."""
    start = client.page.get_by_role("button", name="Начать")
    await expect(start.or_(client.messages().first)).to_be_visible()
    if await start.is_visible():
        await start.click()
    assert "согласие" in await client.hears("Здравствуйте")
    await client.shows("consent")
    await client.presses("Согласен")
    if "Пришлите ИНН" in await client.hears("ИНН"):
        await client.says(INN)
        await client.hears(COMPANY, INN)


async def fills(client: Talker, task: str, bill: bytes | None) -> int:
    """From «Что нужно сделать?» to the receipt; returns the number of the request."""
    await client.presses("Оплатить счёт")
    await client.hears("Кому и сколько")
    await client.says(task)
    await client.hears("К какому сроку")
    await client.shows("deadline")
    await client.says(in_days(7))
    await client.hears("Готово")
    if bill is not None:
        await client.sends("счёт № 15.pdf", bill)
        await client.hears("счёт № 15.pdf")
    await client.shows("files")
    await client.presses("Готово")
    summary = await client.hears("Проверьте")
    assert COMPANY in summary
    assert INN in summary
    assert task in summary
    await client.shows("summary")
    await client.presses("Отправить")
    receipt = await client.hears("принята")
    await client.shows("receipt")
    found = re.search(r"№\s(\d+)", receipt)
    assert found is not None
    return int(found[1])


async def test_a_request_lives_from_the_form_to_the_result(
    browser: Browser, device: Mapping[str, Any], shots: Path, tmp_path: Path
) -> None:
    async with demo(browser, device, shots, tmp_path) as firm:
        client = await firm.talker("client", firm.links["Чат клиента"])
        accountant = await firm.talker("accountant", firm.links["Чат бухгалтера"])
        await accountant.hears("Анна Петрова", "на смене")
        await accountant.shows("welcome")
        await begins(client)
        number = await fills(client, "ООО «Поставщик», 12 345 ₽ по счёту 15", BILL)

        card = await accountant.hears(f"Заявка № {number}")
        assert COMPANY in card
        assert "12 345 ₽" in card
        assert "счёт № 15.pdf" in card
        await accountant.shows("card")
        assert await accountant.downloads("счёт № 15.pdf") == BILL

        await accountant.presses("Принять")
        await accountant.hears("приняли", str(number))
        await accountant.shows("accepted")
        await client.hears(f"№ {number}", "в работе", "Анна Петрова")

        await accountant.presses("Уточнить")
        await accountant.hears("уточнить")
        await accountant.shows("clarify")
        await accountant.presses("Срок")
        await accountant.hears("Срок")
        await accountant.says("Банк в этот день закрыт. Подождёте ещё немного?")
        await accountant.hears("Спросили клиента")
        asked = await client.hears("Анна Петрова", f"№ {number}", "Банк в этот день закрыт")
        assert "Срок" in asked
        await client.shows("clarification")
        await client.says(in_days(9))
        await client.hears(f"№ {number}")
        await client.shows("clarified")
        await accountant.hears(f"№ {number}", "уточнил", "было", "стало")
        await accountant.shows("clarified")

        await accountant.presses("Ответить")
        await accountant.hears("Напишите ответ")
        await accountant.says("Платёж уйдёт в этот день до обеда.")
        await accountant.hears("Отправили клиенту")
        await client.hears("Анна Петрова", f"№ {number}", "Платёж уйдёт в этот день до обеда.")
        await client.shows("answer")

        await accountant.presses("Выполнено")
        await accountant.hears("результат")
        await accountant.sends("платёжка.pdf", PAYMENT, "Счёт оплачен.")
        await accountant.hears("Отправить клиенту результат", "платёжка.pdf")
        await accountant.shows("result")
        await accountant.presses("Отправить")
        await accountant.hears(f"№ {number}", "выполнена")
        await client.hears(f"№ {number} выполнена", "Счёт оплачен.", "платёжка.pdf")
        await client.shows("done")
        assert await client.downloads("платёжка.pdf") == PAYMENT

        await client.presses("5")
        await client.hears("Спасибо")
        await client.shows("rated")
        await accountant.hears(f"№ {number}", "5 из 5")
        assert firm.faults.of_anything == []
        assert await firm.service.stops() == 0
        assert "Traceback" not in firm.service.log


async def test_the_director_reassigns_and_everybody_is_told(
    browser: Browser, device: Mapping[str, Any], shots: Path, tmp_path: Path
) -> None:
    async with demo(browser, device, shots, tmp_path) as firm:
        client = await firm.talker("client", firm.links["Чат клиента"])
        accountant = await firm.talker("accountant", firm.links["Чат бухгалтера"])
        await accountant.hears("на смене")
        await begins(client)
        number = await fills(client, "Арендодателю, 45 000 ₽ по договору 7", None)
        await accountant.hears(f"Заявка № {number}")

        director = Person("director", await firm.page(), firm.shots)
        await signs_in(director, firm.links["Панель директора"])
        colleague = await firm.talker("colleague", await chat_link_of(director, "Ольга Белова"))
        await colleague.hears("Ольга Белова", "на смене")

        await finds_request(director, number)
        await director.shows("request")
        page = director.page
        await expect(page.get_by_role("heading", level=1)).to_contain_text(f"№ {number}")
        await expect(page.locator("main")).to_contain_text("45 000 ₽")
        await page.get_by_label("Передать", exact=True).select_option(label="Ольга Белова")
        await page.get_by_label("Комментарий исполнителю").fill("Анна занята отчётами")
        await page.get_by_role("button", name="Передать", exact=True).click()
        await expect(page.get_by_text("Передано.")).to_be_visible()
        await expect(page.locator("main")).to_contain_text("Анна занята отчётами")
        await director.shows("reassigned")

        await client.hears(f"№ {number}", "Ольга Белова")
        await client.shows("reassigned")
        await accountant.hears(f"№ {number}", "Ольга Белова", "Анна занята отчётами")
        await accountant.shows("reassigned")
        card = await colleague.hears(f"Заявка № {number}", "45 000 ₽")
        await colleague.shows("card")
        assert COMPANY in card
        await colleague.presses("Принять")
        await colleague.hears("приняли", str(number))
        await client.hears(f"№ {number}", "в работе", "Ольга Белова")
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("В работе")
        assert firm.faults.of_anything == []


async def signs_in(director: Person, link: str) -> None:
    """The link opens the panel once; whoever finds it later stays outside."""
    page = director.page
    await page.goto(link)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Сегодня")
    await director.shows("start")
    assert "/panel/enter/" not in page.url


async def opens_section(director: Person, name: str) -> None:
    menu = director.page.locator(".menu-button")
    if await menu.is_visible():
        await menu.click()
        await director.shows("menu")
    # Not by role: what a closed group holds has none.
    sections, words = director.page.locator("nav.sections"), re.compile(f"^{name}$")
    link = sections.locator("a", has_text=words)
    if not await link.is_visible():
        group = sections.locator("details", has=director.page.locator("a", has_text=words))
        await group.locator("summary").click()
    await link.click()


async def chat_link_of(director: Person, name: str) -> str:
    """Let the director invite a member of staff into the web chat."""
    await opens_section(director, "Сотрудники")
    await director.page.get_by_role("link", name=name).click()
    await director.page.get_by_role("button", name="Пригласить ещё раз").click()
    await director.shows("invitation")
    address = director.page.locator("input[value*='/chat'][value*='code=']")
    return await address.input_value()


async def finds_request(director: Person, number: int) -> None:
    await opens_section(director, "Список")
    page = director.page
    await page.get_by_label("Номер, ИНН или слова").fill(str(number))
    await page.get_by_role("button", name="Найти").click()
    await director.shows("found")
    await page.get_by_role("link", name=f"№ {number}", exact=True).click()
