"""Two processes on one PostgreSQL: nothing is lost, no order broken, nothing done by both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from sqlalchemy.engine import URL, make_url

from tests.e2e.processes import Pair
from tests.e2e.service import STEPS, Dialogue, Kill, audit
from tests.emulators.listening import PATIENCE_SECONDS
from tests.emulators.telegram import TelegramEmulator
from tests.storage.conftest import (  # noqa: F401 - fixtures
    _named,
    _on_server,
    postgresql_server,
    postgresql_template,
)

TELEGRAM, TIMERS = "channel:telegram", "timers"

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def databases(postgresql_server, postgresql_template) -> Iterator[Callable[[], URL]]:  # noqa: F811
    """Makes migrated databases; they go with the module."""
    made: list[str] = []

    def make() -> URL:
        made.append(f"priem_two_{len(made)}")
        _on_server(postgresql_server, f"create database {made[-1]} template {postgresql_template}")
        return make_url(_named(postgresql_server, made[-1]))

    yield make
    for name in made:
        _on_server(postgresql_server, f"drop database {name} with (force)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def polling(
    databases: Callable[[], URL], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    """Two that ask Telegram. Each test leaves both at work; the last one kills."""
    folder = tmp_path_factory.mktemp("polling")
    async with TelegramEmulator() as telegram, Pair(folder, telegram, databases()) as pair:
        yield pair


def _polled_since(telegram: TelegramEmulator, at: float) -> list[float]:
    return [each.at for each in telegram.requests if each.method == "getUpdates" and each.at > at]


def _conflicts(telegram: TelegramEmulator) -> list[float]:
    return [each.at for each in telegram.requests if each.status == 409]


async def _all_go_on(dialogues: list[Dialogue]) -> None:
    async with asyncio.TaskGroup() as clients:
        for dialogue in dialogues:
            clients.create_task(dialogue.run())


async def test_a_page_on_one_process_shows_what_the_other_hears(polling: Pair) -> None:
    first, second = polling.processes
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(f"{first.url}/chat") as page:
            assert page.status == 200
        async with (
            http.ws_connect(f"{first.url}/chat/socket", origin=first.url) as here,
            http.ws_connect(f"{second.url}/chat/socket", origin=second.url) as there,
        ):
            for socket in (here, there):
                await socket.send_json({"type": "hello"})
                assert (await socket.receive_json(timeout=PATIENCE_SECONDS))["type"] == "history"
            for speaking, said in ((here, "1"), (there, "2")):
                name = f"{said * 8}-1111-4111-8111-111111111111"
                await speaking.send_json({"type": "text", "id": name, "text": f"день {said}"})
                for socket in (here, there):
                    await _shows(socket, "Вы согласны?")


async def _shows(socket: aiohttp.ClientWebSocketResponse, words: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while words not in str(await socket.receive_json()):
            pass


async def test_one_is_cut_off_from_the_database_and_stops_before_another_begins(polling: Pair) -> None:
    pair, telegram = polling, polling.telegram
    dialogues = [Dialogue(number, telegram, random.Random(number)) for number in range(12)]
    pair.dialogues += dialogues
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_all_go_on(dialogues))
        await asyncio.sleep(0.6)
        cut = pair.owner_of(TELEGRAM)
        other = pair.other_than(cut)
        cut.line.cut()
        # What it had sent when it was cut off could not be written down, and is sent again.
        pair.kills.append(Kill.just_now(pair.rows))
        await pair.until(lambda: pair.owners().get(TELEGRAM) == other.pid)
    await pair.settled()

    # Cut off, it was rightly not sure; whoever else was has been starved by the machine.
    assert len(_conflicts(telegram)) < max(1, pair.hesitations())
    assert audit(pair, pair.dialogues).problems == ()
    assert "not sure of these any more" in cut.log()
    cut.line.mend()
    await pair.until(lambda: set(pair.owners().values()) == {cut.pid, other.pid})
    pair.dialogues.append(Dialogue(90, telegram, random.Random(90)))
    await pair.dialogues[-1].run()
    assert len(_conflicts(telegram)) < max(1, pair.hesitations())


async def test_the_poller_is_killed_and_another_goes_on_in_seconds(polling: Pair) -> None:
    pair, telegram = polling, polling.telegram
    dialogues = [Dialogue(100 + number, telegram, random.Random(number)) for number in range(12)]
    pair.dialogues += dialogues
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_all_go_on(dialogues))
        await asyncio.sleep(0.6)
        killed = pair.owner_of(TELEGRAM)
        killed_at = await pair.kill(killed)
        await pair.until(lambda: bool(_polled_since(telegram, killed_at)))
    await pair.settled()
    found = audit(pair, pair.dialogues)

    assert len(_conflicts(telegram)) < max(1, pair.hesitations())
    assert found.problems == ()
    assert found.acknowledged == len(pair.dialogues) * len(STEPS)
    assert set(pair.owners().values()) == {pair.other_than(killed).pid}


async def test_posts_of_one_chat_arrive_at_both_and_one_is_killed(
    databases: Callable[[], URL], tmp_path: Path
) -> None:
    async with TelegramEmulator() as telegram, Pair(tmp_path, telegram, databases(), webhook=True) as pair:
        await pair.until(lambda: bool(telegram.hook_url))
        dialogues = [Dialogue(number, telegram, random.Random(number), repeats=0) for number in range(12)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_all_go_on(dialogues))
            await asyncio.sleep(1.0)
            await pair.kill(pair.owner_of(TELEGRAM))
        await pair.settled()

        for dialogue in dialogues:
            of_chat = "join chat on chat.id = {0}.chat_id where chat.chat_key = ?"
            for table, count in (("request", 1), ("inbox_event", len(STEPS))):
                query = f"select count(*) from {table} {of_chat.format(table)}"
                assert pair.rows(query, str(dialogue.chat.id)) == [(count,)]
        assert pair.balancer.handed_to_both > 0
