"""axe-core finds no serious fault on the page of the web chat, empty and in the middle of a dialogue."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.e2e import test_webchat_page as webchat
from tests.e2e.axe import serious
from tests.e2e.conftest import DESKTOP, PHONE
from tests.e2e.test_webchat_page import EchoHouse, enters

pytestmark = pytest.mark.asyncio(loop_scope="session")

house = webchat.house


async def faults(page: Page) -> list[str]:
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for device in (DESKTOP, PHONE):
            await page.set_viewport_size(device["viewport"])
            found += [f"{scheme}: {fault}" for fault in serious((await Axe().run(page)).response)]
    return found


async def test_the_chat_has_no_serious_fault(page: Page, house: EchoHouse) -> None:
    async with house.runs():
        await enters(page, house)
        assert await faults(page) == []
        await page.get_by_role("button", name="Начать").click()
        await expect(page.get_by_role("button", name="Согласен")).to_be_visible()
        assert await faults(page) == []
        await page.get_by_role("button", name="Согласен").click()
        await expect(page.get_by_text("Вы сказали: Согласен")).to_be_visible()
        assert await faults(page) == []
