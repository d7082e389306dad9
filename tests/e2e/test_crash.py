"""The service is killed with SIGKILL while clients write: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from tests.e2e.service import STEPS, Dialogue, Service, audit
from tests.emulators.telegram import TelegramEmulator

KILLS = 3
DIALOGUES_BETWEEN_KILLS = 25
EXIT_SECONDS = 60


@pytest.mark.timeout(400)
async def test_kills_at_random_moments_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    dice = random.Random(20261122)
    dialogues: list[Dialogue] = []
    async with TelegramEmulator() as telegram, Service(tmp_path, telegram) as service:
        async with asyncio.TaskGroup() as clients:
            for _ in range(KILLS):
                begun = len(dialogues)
                for number in range(begun, begun + DIALOGUES_BETWEEN_KILLS):
                    dialogues.append(Dialogue(number, telegram, random.Random(number)))
                    clients.create_task(dialogues[-1].run())
                await asyncio.sleep(dice.uniform(0.1, 1.0))
                await service.kill()
                await service.start()
        await _settled(service)
        found = audit(service, dialogues)

    assert found.problems == ()
    assert found.acknowledged == len(dialogues) * len(STEPS)
    assert found.requests == found.dialogues == KILLS * DIALOGUES_BETWEEN_KILLS


async def test_a_letter_committed_before_the_kill_leaves_after_the_restart(tmp_path: Path) -> None:
    async with TelegramEmulator() as telegram, Service(tmp_path, telegram) as service:
        telegram.fail_next("sendMessage", hangs=True)
        chat = telegram.chat(7, first_name="Мария")
        await chat.says("/start")
        while service.rows("select state from letter") != [("doing",)] or telegram.pending:
            await asyncio.sleep(0.02)
        await service.kill()
        assert chat.messages == []
        telegram.forgive()

        await service.start()

        assert "Вы согласны?" in (await chat.answer()).text
        await _settled(service)
        assert service.rows("select count(*) from letter") == [(1,)]
        assert service.rows("select count(*) from inbox_event") == [(1,)]


async def test_sigterm_ends_in_seconds_with_nothing_lost_or_doubled(tmp_path: Path) -> None:
    async with TelegramEmulator() as telegram, Service(tmp_path, telegram) as service:
        dialogues = [Dialogue(number, telegram, random.Random(number)) for number in range(20)]
        async with asyncio.TaskGroup() as clients:
            for dialogue in dialogues:
                clients.create_task(dialogue.run())
            await asyncio.sleep(0.5)
            asked_at = time.monotonic()

            assert await service.stop() == 0

            assert time.monotonic() - asked_at < EXIT_SECONDS
            assert service.rows("select count(*) from letter where state = 'doing'") == [(0,)]
            await service.start()
        await _settled(service)
        found = audit(service, dialogues)

    assert found.problems == ()
    assert found.letters_twice == 0


async def _settled(service: Service) -> None:
    """Wait until what was sent is also written down as sent, and the last offset is confirmed."""
    async with asyncio.timeout(60):
        while (
            service.rows("select 1 from letter where state in ('todo', 'doing')") or service.telegram.pending
        ):
            await asyncio.sleep(0.05)
