"""While the database keeps nothing, those in charge hear of it all the same."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.disasters import FULL, Beset, beset_by, let_in, until
from tests.emulators.telegram import Chat, TelegramEmulator

pytestmark = pytest.mark.timeout(200)

HOUR = 3600.0
LATER = 90.0
"""More than the minute after which a trouble is told of."""


class Clock:
    """The service's clock, put forward by and by."""

    def __init__(self, service: Beset) -> None:
        self.service = service
        self.ahead_seconds = 0.0

    def passes(self, seconds: float) -> None:
        self.ahead_seconds += seconds
        self.service.faults.clock_is_wrong_by(self.ahead_seconds)


def told(chat: Chat, words: str) -> list[str]:
    return [each.text for each in chat.messages if "приём заявок стоит" in each.text and words in each.text]


async def start_again(service: Beset) -> None:
    """Whoever was let in since the last look is known at the first one."""
    await service.stop()
    await service.start()


async def test_a_full_disk_is_told_after_a_minute_once_an_hour_and_again_when_it_is_over(
    tmp_path: Path,
) -> None:
    async with TelegramEmulator() as telegram, beset_by(tmp_path, telegram) as service:
        director = await let_in(service, telegram, "director", 11, "Ирина Орлова")
        accountant = await let_in(service, telegram, "accountant", 12, "Анна Белова")
        clock = Clock(service)
        await start_again(service)

        service.faults.writing_says(FULL)
        await telegram.chat(100).says("/start")
        await until(lambda: _asks_for(service, "The disk is full"))
        clock.passes(LATER)
        await until(lambda: told(director, "На диске кончилось место"), what="the director is told")
        clock.passes(HOUR)
        await until(
            lambda: len(told(director, "На диске кончилось место")) == 2, what="and an hour later again"
        )

        service.faults.end()
        await until(lambda: any("приём заявок стоял" in each.text for each in director.messages))
        assert len(told(director, "")) == 2
        assert told(accountant, "") == []


async def test_damage_is_told_though_no_letter_will_ever_be_written(tmp_path: Path) -> None:
    async with TelegramEmulator() as telegram, beset_by(tmp_path, telegram) as service:
        director = await let_in(service, telegram, "director", 11, "Ирина Орлова")
        clock = Clock(service)
        await service.stop()
        with contextlib.closing(sqlite3.connect(service.database)) as opened:
            opened.execute("pragma wal_checkpoint(truncate)")
            (page,) = opened.execute(
                "select rootpage from sqlite_master where name = 'inbox_event'"
            ).fetchone()
            (page_bytes,) = opened.execute("pragma page_size").fetchone()
        with service.database.open("r+b") as file:
            file.seek((page - 1) * page_bytes)
            file.write(random.Random(1).randbytes(page_bytes))
        await service.start()

        await telegram.chat(100).says("/start")
        await until(lambda: _asks_for(service, "`priem restore FILE --replace`"))
        clock.passes(LATER)
        await until(lambda: told(director, "База данных повреждена"), what="the director is told")


async def _asks_for(service: Beset, words: str) -> bool:
    return words in await service.attention()
