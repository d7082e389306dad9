"""Disasters and a real `priem run`: nothing is acknowledged that was not kept, and it goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from storage.migrate import migrate
from tests.e2e.disasters import (
    BROKEN,
    FULL,
    READ_ONLY,
    Beset,
    Faults,
    beset_by,
    let_in,
    letters_wait,
    small_disk,
    telegram_section,
    until,
)
from tests.e2e.service import STEPS, Dialogue
from tests.emulators.telegram import RateLimits, TelegramEmulator

pytestmark = pytest.mark.timeout(400)

HOUR = 3600.0

DISKS: dict[str, tuple[Callable[[Faults], None], str]] = {
    "full": (lambda faults: faults.writing_says(FULL), "The disk is full"),
    "full within a page": (lambda faults: faults.writing_says(FULL, tears=True), "The disk is full"),
    "read-only": (lambda faults: faults.writing_says(READ_ONLY), "The disk fails to read or to write"),
    "nothing reaches the platter": (lambda faults: faults.fsync_says(BROKEN), "The disk fails to read"),
}


async def test_what_a_bad_disk_does_not_keep_is_not_acknowledged_and_comes_again(tmp_path: Path) -> None:
    async with TelegramEmulator() as telegram, beset_by(tmp_path, telegram) as service:
        director = await let_in(service, telegram, "director", 11, "Ирина Орлова")
        for number, (disk, (happens, words)) in enumerate(DISKS.items()):
            chat = telegram.chat(100 + number)
            happens(service.faults)
            before, suffered = telegram.confirmed, service.faults.suffered
            await chat.says("/start")

            await until(lambda now=suffered: service.faults.suffered > now + 2, what=f"{disk}: it was tried")
            status, page = await service.health()
            assert status == 503
            assert words in "\n".join(page["attention"]), disk
            assert chat.messages == []
            assert telegram.pending == 1
            assert telegram.confirmed == before

            service.faults.end()
            assert "Вы согласны?" in (await chat.answer()).text
            await until(lambda: not telegram.pending, what=f"{disk}: it is acknowledged now")
            await until(lambda: _is_well(service), what=f"{disk}: /health is well again")
            assert len(chat.messages) == 1

        def told() -> list[str]:
            return [message.text for message in director.messages if "приём заявок стоял" in message.text]

        await until(lambda: len(told()) == 2, what="the director is told of both causes")
        assert "На диске кончилось место." in told()[0]
        assert "Диск отвечал ошибками." in told()[1]
        assert service.rows("pragma integrity_check") == [("ok",)]


async def test_a_disk_that_is_really_full_stops_intake_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", "4m") as is_real:
        async with TelegramEmulator() as telegram, beset_by(tmp_path, telegram) as service:
            with _no_room(service, is_real=is_real):
                chats = [telegram.chat(100 + number) for number in range(5)]
                for chat in chats:
                    await chat.says("/start")
                await until(
                    lambda: _asks_for(service, "The disk is full"), what="/health says what is the matter"
                )
                shown = [len(chat.messages) for chat in chats]
                assert telegram.pending
            for chat in chats:
                await chat.shown(1)
            await until(lambda: not telegram.pending)
            assert [len(chat.messages) for chat in chats] == [1] * 5
            assert sum(shown) < 5
            assert service.rows("pragma integrity_check") == [("ok",)]


async def test_a_database_that_is_locked_by_another_program_is_waited_for(tmp_path: Path) -> None:
    async with (
        TelegramEmulator() as telegram,
        beset_by(tmp_path, telegram, with_faults=False) as service,
    ):
        chat = telegram.chat(100)
        with contextlib.closing(sqlite3.connect(service.database, isolation_level=None)) as other:
            other.execute("begin immediate")
            await chat.says("/start")
            await until(
                lambda: _asks_for(service, "Another program keeps the database locked"),
                what="/health says what is the matter",
            )  # fmt: skip
            assert (await service.health())[0] == 503
            assert telegram.pending == 1
            assert chat.messages == []
            other.execute("rollback")
        await chat.answer()
        await until(lambda: _is_well(service))
        assert len(chat.messages) == 1


async def test_a_damaged_database_is_left_alone_until_a_copy_is_brought_back(tmp_path: Path) -> None:
    async with (
        TelegramEmulator() as telegram,
        beset_by(tmp_path, telegram, with_faults=False) as service,
    ):
        chat = telegram.chat(100)
        await chat.says("/start")
        await chat.answer()
        await until(lambda: not telegram.pending)
        copy = str(tmp_path / "copy")
        assert service.command("backup", copy).returncode == 0
        assert await service.stop() == 0
        _damage(service.database, "inbox_event")

        await service.start()
        await chat.presses("Согласен")
        await until(
            lambda: _asks_for(service, "`priem restore FILE --replace`"), what="/health says what to do"
        )
        assert telegram.pending == 1
        assert len(chat.messages) == 1
        await service.stop()

        again = service.command("run")
        assert again.returncode == 1
        assert "The database is damaged" in again.stderr.splitlines()[-1]
        restored = service.command("restore", copy, "--replace", "--yes")
        assert restored.returncode == 0, restored.stderr
        await service.start()
        await chat.shown(2)
        assert "ИНН" in chat.messages[1].text
        await until(lambda: _is_well(service))


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda content: b"\0" * 4096 + content[4096:], id="its first page is empty"),
        pytest.param(lambda content: b"Not a database at all" + content[21:], id="something else"),
        pytest.param(lambda content: content[: len(content) // 2], id="only a half of it"),
        pytest.param(lambda content: content[:60], id="only its beginning"),
    ],
)
async def test_a_start_on_a_damaged_file_ends_in_one_sentence(
    tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    service = Beset(tmp_path, "[bots.webchat]\n", with_faults=False)
    service.write_config()
    migrate(f"sqlite:///{service.database}")
    service.database.write_bytes(harm(service.database.read_bytes()))
    ended = service.command("run")
    assert ended.returncode == 1
    (sentence,) = ended.stderr.splitlines()
    assert "`priem restore FILE --replace`" in sentence


async def test_without_descriptors_nothing_is_lost_and_all_goes_on_with_them(tmp_path: Path) -> None:
    async with (
        TelegramEmulator() as telegram,
        beset_by(tmp_path, telegram, with_faults=False) as service,
    ):
        assert service.process is not None
        pid = service.process.pid
        dialogues = [Dialogue(number, telegram, random.Random(number)) for number in range(5)]
        async with asyncio.TaskGroup() as clients:
            for dialogue in dialogues:
                clients.create_task(dialogue.run())
            await asyncio.sleep(0.3)
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
            # Nobody can be let in, nothing can be opened.
            assert await service.health() == (0, {})
            await asyncio.sleep(3)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: _is_well(service))
        await until(lambda: not telegram.pending)
        assert service.rows("select count(*) from request") == [(5,)]
        assert [len(dialogue.chat.messages) for dialogue in dialogues] == [len(STEPS)] * 5


async def test_when_the_clock_goes_back_an_hour_nothing_happens_before_its_cause(tmp_path: Path) -> None:
    async with TelegramEmulator() as telegram, beset_by(tmp_path, telegram) as service:
        director = await let_in(service, telegram, "director", 11, "Ирина Орлова")
        dialogue = Dialogue(1, telegram, random.Random(1), think_seconds=0.5)
        async with asyncio.TaskGroup() as clients:
            clients.create_task(dialogue.run())
            await asyncio.sleep(1)
            service.faults.clock_is_wrong_by(-HOUR)
        # The timers follow: what they alone tell is told within seconds.
        service.faults.writing_says(FULL)
        chat = telegram.chat(100)
        await chat.says("/start")
        await until(lambda: _asks_for(service, "The disk is full"))
        assert "The clock of the machine was set back" in await service.attention()
        service.faults.end()
        await until(lambda: any("приём заявок стоял" in each.text for each in director.messages))
        await chat.shown(1)

        await service.kill()
        await service.start()
        after = Dialogue(2, telegram, random.Random(2))
        await after.run()
        await until(lambda: not telegram.pending)

        assert _goes_back(service, "select created_at from letter order by id") == []
        assert _goes_back(service, "select received_at from inbox_event order by id") == []
        assert _goes_back(service, "select at from history order by id") == []
        late = service.rows("select key from letter where sent_at < created_at")
        assert late == []
        await until(
            lambda: not service.rows("select 1 from letter where state not in ('sent', 'superseded')"),
            what="all letters left",
        )


async def test_of_ten_thousand_waiting_letters_the_urgent_go_first_in_little_memory(tmp_path: Path) -> None:
    chats, each = 500, 20
    async with (
        TelegramEmulator() as telegram,
        Beset(tmp_path, telegram_section(telegram, rate=2000), with_faults=False) as service,
    ):
        await telegram.chat(1000).says("/start")
        await telegram.chat(1000).answer()
        memory_before = service.memory_mb
        await service.stop()
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        await service.start()
        usually_starts_in = loop.time() - began_at
        await service.stop()
        letters_wait(service.database, telegram, chats, each)
        sent_before = len(telegram.requests)
        began_at = loop.time()
        await service.start()
        started_in = loop.time() - began_at
        most = 0.0
        async with asyncio.timeout(300):
            while service.rows("select 1 from letter where state in ('todo', 'doing') limit 1"):
                most = max(most, service.memory_mb)
                await asyncio.sleep(0.2)
        sent = [
            request for request in list(telegram.requests)[sent_before:] if request.method == "sendMessage"
        ]
        assert len(sent) == chats * each + 1
        words = [request.params["text"] for request in sent]
        # It was posted last of all.
        assert words.index("urgent") < 100
        by_chat: dict[str, list[str]] = {}
        for request in sent:
            by_chat.setdefault(str(request.params["chat_id"]), []).append(request.params["text"])
        for said in by_chat.values():
            assert said == ["urgent"] or len(said) == each
            assert said == ["urgent"] or said == sorted(said, key=int)
        assert started_in < 2 * usually_starts_in + 10
        assert most < memory_before + 60


async def test_a_messenger_that_was_down_for_a_day_gets_all_in_order_and_no_storm(tmp_path: Path) -> None:
    chats, each = 20, 5
    limits = RateLimits(per_second=31, burst=31, chat_per_second=1.2, chat_burst=20)
    section_of = {"rate": 28, "burst": 1, "chat_rate": 1, "chat_burst": 3}
    async with TelegramEmulator(limits=limits) as telegram:
        service = Beset(tmp_path, telegram_section(telegram, **section_of))
        async with service:
            director = await let_in(service, telegram, "director", 11, "Ирина Орлова")
            await telegram.chat(1000).says("/start")
            await telegram.chat(1000).answer()
            await service.stop()
            letters_wait(service.database, telegram, chats, each)
            await telegram.stop()
            await service.start()
            for hours in (1, 12, 24):
                service.faults.clock_is_wrong_by(hours * HOUR)
                await asyncio.sleep(6)
            seen_before = len(telegram.requests)
            await telegram.start()
            # The next look at the messengers is due at once.
            service.faults.clock_is_wrong_by(24 * HOUR + 60)
            await until(
                lambda: not service.rows(
                    "select 1 from letter where state in ('todo', 'doing') and key like 'waits:%'"
                ),
                seconds=60, what="all letters left",
            )  # fmt: skip
            sent = [each for each in list(telegram.requests)[seen_before:] if each.method == "sendMessage"]
            assert [request.status for request in sent if request.status != 200] == []
            for number in range(chats):
                said = [each.text for each in telegram.chat(1000 + number).messages]
                ordinary = [int(word) for word in said if word.isdigit()]
                assert ordinary == list(range(number * each, number * each + each))
            told = [message.text for message in director.messages]
            assert sum("не отвечает" in text for text in told) <= 1
            assert len(told) == len(set(told))


# --- looking ---------------------------------------------------------------------------------------


async def _is_well(service: Beset) -> bool:
    return (await service.health())[0] == 200


async def _asks_for(service: Beset, words: str) -> bool:
    return words in await service.attention()


def _goes_back(service: Beset, query: str) -> list[tuple[str, str]]:
    """Neighbours of which the second is earlier; what one transaction writes has one time."""
    moments = [datetime.fromisoformat(at) for (at,) in service.rows(query)]
    assert moments
    return [
        (str(before), str(after))
        for before, after in pairwise(moments)
        if after < before - timedelta(milliseconds=1)
    ]


# --- doing harm ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _no_room(service: Beset, *, is_real: bool) -> Iterator[None]:
    """Fill the disk to the last byte, or say that it is where nobody may mount a small one."""
    if not is_real:
        service.faults.writing_says(FULL)
        yield
        service.faults.end()
        return
    ballast = service.data / "ballast"
    with ballast.open("wb", buffering=0) as heavy, contextlib.suppress(OSError):
        while heavy.write(bytes(4096)):
            pass
    yield
    ballast.unlink()


def _damage(database: Path, table: str) -> None:
    """Overwrite the root page of a table, with all that has been written in its place."""
    with contextlib.closing(sqlite3.connect(database)) as opened:
        opened.execute("pragma wal_checkpoint(truncate)")
        (page,) = opened.execute("select rootpage from sqlite_master where name = ?", (table,)).fetchone()
        (page_bytes,) = opened.execute("pragma page_size").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(random.Random(1).randbytes(page_bytes))
