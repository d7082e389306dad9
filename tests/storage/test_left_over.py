"""Whose files are fetched by whom when there are several processes."""

import asyncio

import pytest

from bots.fetching import Fetcher
from bots.intake import Arrival, Intake
from forms.messages import InboundKind, IncomingFile
from storage.files import FileStore
from storage.models import InboxEvent
from tests.storage.firm import Firm, inbound

PDF = b"%PDF-1.7\n" + b"invoice" * 100


class Shelf:
    """A messenger that has one file, and counts how often it was asked for."""

    def __init__(self):
        self.asked = 0

    async def open_file(self, file):
        del file
        self.asked += 1
        yield PDF


@pytest.fixture
def firm(database):
    return Firm.open(database)


@pytest.fixture
def alive():
    """The other processes at work."""
    return {"other"}


@pytest.fixture
def fetcher(firm, alive, tmp_path):
    async def deliver(fetched):
        await Intake(firm.database, lambda: firm.house, lambda: firm.clock, "ours").apply(fetched)

    store = FileStore(tmp_path, 10**6)
    return Fetcher(firm.database, {"webchat": Shelf()}, store, deliver, is_elsewhere=alive.__contains__)


async def arrives(firm, event, process):
    message = inbound(
        "maria", event, kind=InboundKind.FILE, files=(IncomingFile("ref", "счёт.pdf", len(PDF)),)
    )
    await Intake(firm.database, lambda: firm.house, lambda: firm.clock, process).apply([Arrival(message)])


def waiting(firm):
    return [row.event_key for row in firm.rows(InboxEvent) if row.state == "waiting"]


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_what_a_live_process_fetches_is_left_to_it_until_it_is_gone(firm, fetcher, alive):
    await arrives(firm, "e1", "other")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fetcher.run())
        await asyncio.sleep(0.3)
        assert waiting(firm) == ["e1"]
        assert fetcher.channels["webchat"].asked == 0
        # What comes here meanwhile waits behind it, whoever heard it.
        await arrives(firm, "e2", "ours")
        fetcher.want({firm.chats["maria"]})
        await asyncio.sleep(0.3)
        assert waiting(firm) == ["e1", "e2"]

        alive.clear()
        await fetcher.look_again()

        await until(lambda: waiting(firm) == [])
        running.cancel()
    assert fetcher.channels["webchat"].asked == 2


async def test_what_was_left_by_a_process_that_is_gone_is_fetched_at_the_start(firm, fetcher):
    await arrives(firm, "e1", "long gone")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fetcher.run())
        await until(lambda: waiting(firm) == [])
        running.cancel()
    assert fetcher.channels["webchat"].asked == 1
