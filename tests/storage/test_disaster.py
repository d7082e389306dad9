"""Full disks and killed processes: what was acknowledged is there, what could not be kept was not."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from bots.intake import Arrival, Intake
from storage import history, postoffice
from storage.engine import open_database, storage_is_down
from storage.group_commit import GroupCommit
from storage.models import InboxEvent, Letter
from tests.storage.firm import WEDNESDAY, Firm, house, inbound
from tests.storage.test_postoffice import Outbox

LONG = "Очень важное поручение. " * 150


def served(database):
    intake = Intake(database, house, lambda: WEDNESDAY, "town")
    return GroupCommit(intake.apply, intake.poisoned)


async def limited_to(database, pages):
    """Let the file grow by so many pages only; None takes the limit away."""

    def limit(session):
        connection = session.connection()
        count = connection.exec_driver_sql("pragma page_count").scalar_one()
        connection.exec_driver_sql(f"pragma max_page_count = {count + pages if pages else 1_000_000}")

    await database.transact(limit)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_on_a_full_disk_nothing_is_acknowledged_and_afterwards_everything_works(database):
    firm = Firm.open(database)
    commit = served(database)
    running = asyncio.create_task(commit.run())
    await limited_to(database, 12)
    acknowledged, refused = set(), []
    for number in range(40):
        messages = [Arrival(inbound("maria", f"e{number}-{part}", LONG)) for part in range(3)]
        try:
            await commit.do(messages)
        except DBAPIError as error:
            refused.append(error)
        else:
            acknowledged |= {message.inbound.event_key for message in messages}
    assert acknowledged
    assert refused
    assert all(storage_is_down(error) for error in refused)
    assert {row.event_key for row in firm.rows(InboxEvent)} == acknowledged
    assert {row.state for row in firm.rows(InboxEvent)} == {"done"}
    await limited_to(database, None)
    await commit.do([Arrival(inbound("maria", "after", LONG))])
    assert "after" in {row.event_key for row in firm.rows(InboxEvent)}
    running.cancel()
    await asyncio.wait([running])
    with database.read() as session:
        assert history.verify(session).ok
        assert session.connection().execute(text("pragma integrity_check")).scalar_one() == "ok"


PROGRAM = """
import asyncio, resource, signal, sys
from tests.storage.test_disaster import LONG, served
from tests.storage.firm import inbound
from bots.intake import Arrival
from storage.engine import open_database, storage_is_down

async def main(url, spare):
    if spare:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (spare, resource.RLIM_INFINITY))
    database = open_database(url)
    commit = served(database)
    running = asyncio.create_task(commit.run())

    async def client(name):
        for number in range(1_000_000):
            key = f"{name}-{number}"
            try:
                await commit.do([Arrival(inbound("maria", key, LONG))])
            except Exception as error:
                print("down" if storage_is_down(error) else repr(error), flush=True)
                sys.exit(0)
            print("kept", key, flush=True)

    await asyncio.gather(*(client(name) for name in "abcd"))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def started(url, spare_bytes=0):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, str(spare_bytes)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def kept(lines):
    return {line.split()[1] for line in lines if line.startswith("kept ")}


async def test_what_a_killed_process_acknowledged_is_there_and_nothing_twice(database_url):
    database = open_database(database_url)
    firm = Firm.open(database)
    with started(database_url) as process:
        lines = [process.stdout.readline() for _line in range(60)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    acknowledged = kept(lines)
    assert len(acknowledged) >= 60
    stored = [row.event_key for row in firm.rows(InboxEvent)]
    assert acknowledged <= set(stored)
    # At most what was under way was committed without having been acknowledged.
    assert len(set(stored) - acknowledged) <= 4
    commit = served(database)
    running = asyncio.create_task(commit.run())
    await commit.do([Arrival(inbound("maria", key, LONG)) for key in sorted(acknowledged)])
    running.cancel()
    await asyncio.wait([running])
    assert sorted(row.event_key for row in firm.rows(InboxEvent)) == sorted(stored)
    assert len({row.key for row in firm.rows(Letter)}) == len(firm.rows(Letter))
    with database.read() as session:
        assert history.verify(session).ok
    await database.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_when_the_system_refuses_to_write_it_is_an_outage_and_loses_nothing(database_url, tmp_path):
    database = open_database(database_url)
    firm = Firm.open(database)
    size = (tmp_path / "priem.sqlite3").stat().st_size
    await database.close()
    with started(database_url, size + 60_000) as process:
        lines = process.communicate(timeout=60)[0].splitlines()
    assert "down" in lines
    assert kept(lines)
    assert {row.event_key for row in firm.rows(InboxEvent)} >= kept(lines)
    with database.read() as session:
        assert session.connection().execute(text("pragma integrity_check")).scalar_one() == "ok"
    await database.close()


async def test_when_a_messenger_is_back_what_waits_long_for_it_is_due_at_once(database):
    firm = Outbox.open(database)
    firm.add(("maria", "long"), ("maria", "behind it"), ("oleg", "short"))
    with database.begin() as session:
        for key, attempts in (("long", 9), ("short", 1)):
            later = firm.clock + timedelta(minutes=15)
            tried = {"attempts": attempts, "not_before": later, "state": "todo", "lease_owner": ""}
            session.execute(update(Letter).where(Letter.key == key).values(**tried))
    assert "long" not in firm.claimed()
    with database.begin() as session:
        postoffice.hurry(session, ["telegram", "webchat", "vk"], firm.clock)
    assert firm.claimed()[:2] == ["long", "behind it"]
    assert firm.letter("short").state == "todo"
