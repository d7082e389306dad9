"""A smoke test of the web chat in Debian's Firefox: it connects, speaks and is drawn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e import test_webchat_page as webchat
from tests.e2e.firefox import Firefox, colours, firefox
from tests.e2e.test_webchat_page import EchoHouse

pytestmark = pytest.mark.asyncio(loop_scope="session")

house = webchat.house

STATE = "document.getElementById('state').textContent === 'На связи'"
SPOKEN = "document.getElementById('log').textContent.includes('Здравствуйте!')"


def speaks(address: str, folder: Path) -> None:
    with firefox(folder) as window:
        window.goes(address)
        window.waits(STATE)
        window.finds("document.getElementById('start').click()")
        window.waits(SPOKEN)
        assert_drawn(window, folder / "chat.png")
        assert window.complains(address) == []


def assert_drawn(window: Firefox, path: Path) -> None:
    assert window.finds("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert colours(window.pictured(path)) > 16


async def test_a_visitor_starts_in_firefox(house: EchoHouse, tmp_path: Path) -> None:
    async with house.runs():
        await asyncio.to_thread(speaks, f"{house.public_url}/chat", tmp_path / "firefox")
