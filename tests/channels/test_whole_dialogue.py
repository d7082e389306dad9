"""The whole house behind every messenger: a stranger fills the form, and the receipt comes back.

Typed answers alone lead through: what a messenger can show must not change what a person may say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from app.server import listening
from app.service import Service, open_service
from app.settings import load
from storage.migrate import migrate
from storage.models import Attachment, Request
from tests.channels import viber
from tests.channels.harness import Harness, Shelf, Variant, free_address
from tests.channels.test_contract import variants
from tests.emulators.listening import PATIENCE_SECONDS
from tests.storage.test_disaster import limited_to

CONFIG = """
[firm]
name = "Баланс"
working_hours = "00:00-23:59"
lunch = ""
[server]
host = "127.0.0.1"
port = {port}
public_url = "http://127.0.0.1:{port}"
secret_key = "0123456789abcdef0123456789abcdef"
"""

PDF = b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"


@asynccontextmanager
async def house_behind(harness: Harness, folder: Path) -> AsyncIterator[Service]:
    """The real service with this messenger alone."""
    port_number = int(free_address().rsplit(":", 1)[1])
    file = folder / "config.toml"
    file.write_text(CONFIG.format(port=port_number), encoding="utf-8")
    settings = load(file)
    migrate(settings.storage.url)
    with listening("127.0.0.1", port_number) as port:
        service = open_service(settings, port)
        service.channels = {harness.channel.name: harness.channel}
        ready = asyncio.Event()
        service.ready = ready.set
        running = asyncio.create_task(service.run(), name="service")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ready.wait()
        try:
            await harness.house_opens(settings.server.public_url)
            yield service
        finally:
            service.stop.set()
            await running


class Conversation:
    """What the client says, and what is new on their screen afterwards."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.read = 0

    async def hears(self, pattern: str) -> str:
        """Wait until something new is shown that matches; what was shown since the last time."""
        heard = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not re.search(pattern, heard):
                shown = await self.harness.shown(self.read + 1)
                heard += "\n".join(message.text for message in shown[self.read :]) + "\n"
                self.read = len(shown)
        return heard


@pytest.mark.parametrize("variant", variants(), ids=[variant.name for variant in variants()])
async def test_a_stranger_fills_the_form_in_words(variant: Variant, tmp_path: Path):
    shelf = Shelf(tmp_path)
    async with variant.open(shelf) as harness, house_behind(harness, tmp_path) as service:
        client = Conversation(harness)
        await harness.client_starts()
        await client.hears("согласие|Согласен")
        await harness.client_writes("Согласен")
        await client.hears("ИНН")
        await harness.client_writes("77070838931")
        await client.hears("10 или 12 цифр")
        await harness.client_writes("7707083893 ООО «Ромашка»")
        await client.hears("сделать")
        await harness.client_writes("Сдать отчёт по НДС за третий квартал")
        await client.hears("сроку|срок")
        await harness.client_writes("завтра")
        await client.hears("[Фф]айл")
        await harness.client_sends_file("Реестр.pdf", PDF)
        await client.hears("Реестр|файл|Готово")
        await harness.client_writes("Готово")
        summary = await client.hears("Отправить|Проверьте")
        assert "Ромашка" in summary
        await harness.client_writes("Отправить")
        receipt = await client.hears(r"№\s*1\b")
        assert "принята" in receipt
        with service.database.read() as session:
            request = session.exec(select(Request)).one()
            (attachment,) = session.exec(select(Attachment)).all()
        assert (request.inn, request.channel) == ("7707083893", harness.channel.name)
        assert (attachment.size_bytes, service.store.path(attachment.sha256).read_bytes()) == (len(PDF), PDF)


async def test_a_message_repeated_while_the_disk_is_full_is_not_taken_for_many(tmp_path: Path):
    """Whoever wrote "/start" once is answered, however often the messenger had to post it."""
    async with viber.opened(Shelf(tmp_path)) as harness, house_behind(harness, tmp_path) as service:
        assert isinstance(harness, viber.ViberHarness)
        emulator = harness.emulator
        people = [emulator.person(f"{number:012d}A=") for number in range(40)]
        await limited_to(service.database, 1)
        for person in people:
            await person.says("/start")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while emulator.posts.count(503) < 40:
                await asyncio.sleep(0.05)
        await limited_to(service.database, None)
        for person in people:
            (asked,) = await person.shown(1)
            assert "согласие" in asked.text
