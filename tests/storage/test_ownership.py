"""Each thing is done by exactly one of several processes, whatever becomes of the others."""

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy.engine import make_url

from storage import ownership
from storage.bells import EVERYTHING, Bells
from storage.engine import open_database
from storage.models import Setting
from storage.ownership import InUse, SharedOwner, SoleOwner, at_work, open_ownership, sole_process

THINGS = ("channel:telegram", "channel:vk", "channel:webchat", "timers")
WITHIN_SECONDS = 30.0
"""How long it is waited for; `benchmarks/scale_out.py` measures how long it takes."""


@pytest.fixture
def shared_url(request, postgresql_server, postgresql_template):
    """A migrated PostgreSQL of this test's own."""
    return _database_of(request, postgresql_server, postgresql_template)


@pytest.fixture
def patient(monkeypatch):
    """For cases without a death: a machine that stands still for seconds makes nobody give up."""
    for name, seconds in (("ANSWER_SECONDS", 5.0), ("STOP_SECONDS", 15.0), ("LEASE_SECONDS", 30.0)):
        monkeypatch.setattr(ownership, name, seconds)


def _database_of(request, server, template):
    from tests.storage.conftest import _named, _on_server

    name = f"priem_shared_{abs(hash(request.node.nodeid)) % 10**8}"
    _on_server(server, f"create database {name} template {template}")
    request.addfinalizer(lambda: _on_server(server, f"drop database {name} with (force)"))
    return make_url(_named(server, name))


class Process:
    """A process as the table sees it: what it works at, and what it was told about losing it."""

    def __init__(self, url, name):
        self.owner = SharedOwner(url, THINGS, name)
        self.at_work = set()
        self.lost = []
        self.peers_gone = 0

    async def work_at(self, thing, seconds_to_end=0.0):
        async def work():
            assert self.owner.holds(thing)
            self.at_work.add(thing)
            try:
                await asyncio.Event().wait()
            finally:
                if seconds_to_end:
                    await asyncio.sleep(seconds_to_end)
                self.at_work.discard(thing)

        await self.owner.keep(thing, work, lambda: self.lost.append(thing))

    def _gone(self):
        self.peers_gone += 1

    @asynccontextmanager
    async def running(self, **ending):
        try:
            async with asyncio.TaskGroup() as tasks:
                self.owning = tasks.create_task(self.owner.run(self._gone))
                self.working = [tasks.create_task(self.work_at(thing, **ending)) for thing in THINGS]
                try:
                    yield self
                finally:
                    self.dies()
        finally:
            await self.owner.leave()

    def dies(self):
        """As after SIGKILL: nothing is said to anybody, and nothing is done any more."""
        for task in (*self.working, self.owning):
            task.cancel()


async def until(condition):
    async with asyncio.timeout(WITHIN_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("patient")
async def test_one_process_gets_everything_and_two_share_it(shared_url):
    async with Process(shared_url, "a").running() as first:
        await until(lambda: first.at_work == set(THINGS))
        assert not first.owner.has_peers
        async with Process(shared_url, "b").running() as second:
            await until(lambda: len(second.at_work) == 2)
            assert first.at_work | second.at_work == set(THINGS)
            assert not first.at_work & second.at_work
            assert first.owner.is_peer("b")
            assert not first.owner.is_peer("a")
            assert first.lost == []
        # Whoever leaves in order is not waited for until the lease has run out.
        assert await asyncio.to_thread(at_work, str_of(shared_url)) == (first.owner._me,)
        await until(lambda: first.at_work == set(THINGS))
        assert first.peers_gone == 1


def str_of(url):
    return url.render_as_string(hide_password=False)


@pytest.mark.usefixtures("patient")
async def test_a_thing_goes_on_only_when_its_work_has_ended(shared_url):
    async with Process(shared_url, "a").running(seconds_to_end=1.0) as first:
        await until(lambda: first.at_work == set(THINGS))
        async with Process(shared_url, "b").running() as second:
            async with asyncio.timeout(WITHIN_SECONDS):
                while len(second.at_work) < 2:
                    assert not first.at_work & second.at_work
                    await asyncio.sleep(0.01)


async def test_what_a_dead_process_did_is_taken_over_in_seconds(shared_url):
    async with (
        Process(shared_url, "a").running() as first,
        Process(shared_url, "b").running() as second,
    ):
        await until(lambda: len(first.at_work) == len(second.at_work) == 2)
        first.dies()

        await until(lambda: second.at_work == set(THINGS))

        assert second.peers_gone == 1


async def test_what_a_dead_process_had_locked_is_free_for_whoever_takes_over(shared_url):
    url = str_of(shared_url)
    dead = open_database(url, process="dead")
    # As after a cut in the middle of a statement: the server goes on waiting for the rest of it.
    left_open = dead.sync_engine.connect()
    left_open.exec_driver_sql("set idle_in_transaction_session_timeout = 0")
    left_open.exec_driver_sql("insert into setting (key, value, updated_at) values ('locked', '', now())")
    heir = open_database(url, process="heir")
    try:
        async with Process(shared_url, "dead").running() as first:
            await until(lambda: first.at_work == set(THINGS))
            first.dies()
            async with Process(shared_url, "heir").running() as second:
                await until(lambda: second.at_work == set(THINGS))
                async with asyncio.timeout(WITHIN_SECONDS):
                    # Waits for as long as the same key is being written by somebody else.
                    await asyncio.to_thread(_writes, heir, "locked")
    finally:
        left_open.invalidate()
        for database in (dead, heir):
            database.sync_engine.dispose()


def _writes(database, key):
    with database.begin() as session:
        session.add(Setting(key=key, value="", updated_at=datetime.now(UTC)))


async def test_who_is_cut_off_stops_before_another_begins(shared_url, line_to_postgresql):
    line = await line_to_postgresql(shared_url)
    async with (
        Process(line.url, "cut").running() as cut,
        Process(shared_url, "other").running() as other,
    ):
        await until(lambda: len(cut.at_work) == len(other.at_work) == 2)
        before = set(cut.at_work)
        cut.lost.clear()
        line.cut()
        async with asyncio.timeout(WITHIN_SECONDS):
            while other.at_work != set(THINGS):
                assert not cut.at_work & other.at_work
                await asyncio.sleep(0.005)
        assert set(cut.lost) == before
        assert cut.at_work == set()
        assert not any(cut.owner.holds(thing) for thing in THINGS)

        line.mend()

        await until(lambda: len(cut.at_work) == len(other.at_work) == 2)
        assert not cut.at_work & other.at_work


async def test_a_process_that_stood_still_does_not_go_on_under_its_old_name(shared_url):
    async with Process(shared_url, "a").running() as first:
        await until(lambda: first.at_work == set(THINGS))
        name = first.owner._me
        time.sleep(3.5)
        async with Process(shared_url, "b").running() as second:
            await until(lambda: second.at_work and first.at_work)
            assert first.owner._me != name
            assert not first.at_work & second.at_work


async def test_who_is_at_work_is_known_to_whoever_would_replace_the_data(shared_url):
    url = str_of(shared_url)
    async with Process(shared_url, "a").running() as first:
        await until(lambda: first.at_work == set(THINGS))
        assert await asyncio.to_thread(at_work, url) == (first.owner._me,)
    assert at_work(url) == ()
    assert at_work("sqlite:///a.sqlite3") == ()


async def test_bells_are_heard_by_others_alone(shared_url):
    heard = {"a": [], "b": []}
    bells = {name: Bells(shared_url, heard[name].append) for name in heard}
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in bells.values()]
        await until(lambda: all(EVERYTHING in words for words in heard.values()))
        bells["a"].ring("letters")
        bells["a"].ring("letters")
        await until(lambda: "letters" in heard["b"])
        bells["b"].ring("pages:7")
        await until(lambda: "pages:7" in heard["a"])
        for task in running:
            task.cancel()
    assert heard == {"a": [EVERYTHING, "pages:7"], "b": [EVERYTHING, "letters"]}


async def test_nobody_rings_where_nobody_listens(shared_url):
    bells = Bells(shared_url, lambda _word: None, lambda: False)
    bells.ring("letters")
    assert not bells._waiting


# --- SQLite --------------------------------------------------------------------------------------


def test_sqlite_has_one_process_which_owns_everything(tmp_path):
    owner = open_ownership(f"sqlite:///{tmp_path / 'a.sqlite3'}", THINGS, "a")
    assert isinstance(owner, SoleOwner)
    assert owner.holds("timers")
    assert not owner.has_peers


def test_a_second_process_on_a_sqlite_file_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.sqlite3'}"
    waited = []
    with sole_process(url, 0):
        with (
            pytest.raises(InUse, match="Another priem works on"),
            sole_process(url, 0.3, lambda: waited.append(1)),
        ):
            pytest.fail("two at once")
        with sole_process(f"sqlite:///{tmp_path / 'b.sqlite3'}", 0):
            pass
    assert waited == [1]
    with sole_process(url, 0):
        pass


def test_the_lock_goes_with_the_process_that_had_it(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.sqlite3'}"
    code = (
        "import sys, time; from storage.ownership import sole_process\n"
        f"with sole_process({url!r}, 0): print('has it', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"has it\n"
        with pytest.raises(InUse), sole_process(url, 0):
            pytest.fail("two at once")
        process.kill()
        with sole_process(url, WITHIN_SECONDS):
            pass


def test_postgresql_has_no_lock_file(shared_url):
    with sole_process(str_of(shared_url), 0):
        database = open_database(str_of(shared_url))
        assert not database.is_sqlite
