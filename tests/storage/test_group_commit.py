"""Sharing one transaction: the bad harm nobody, and nobody is answered before the commit."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from storage import group_commit
from storage.engine import storage_is_down
from storage.group_commit import GroupCommit
from storage.models import Setting
from storage.work import get_setting, put_setting
from tests.storage.firm import WEDNESDAY


class PoisonedError(ValueError):
    """What an operation raises that fails for a reason of its own."""


class Store:
    """Operations are words: each is kept as a setting; `bad…` cannot be, and is kept as failed."""

    def __init__(self, database):
        self.database = database
        self.batches = []
        self.commit = GroupCommit(self.apply, self.poisoned)
        self.kept = []
        self.commit.after = self.kept.extend

    async def apply(self, operations):
        self.batches.append(list(operations))

        def work(session):
            for number, word in enumerate(operations):
                if word.startswith("bad"):
                    raise PoisonedError(word)
                put_setting(session, word, str(number), WEDNESDAY)
            return list(operations)

        return await self.database.transact(work)

    async def poisoned(self, word, error):
        assert isinstance(error, PoisonedError)
        await self.database.transact(lambda session: put_setting(session, f"failed {word}", "", WEDNESDAY))
        return [f"failed {word}"]

    def stored(self):
        with self.database.read() as session:
            rows = session.connection().execute(text("select key from setting order by key"))
            return [key for (key,) in rows]


@pytest.fixture
async def store(database):
    opened = Store(database)
    running = asyncio.create_task(opened.commit.run())
    yield opened
    running.cancel()
    await asyncio.wait([running])


async def answers(store, *members):
    """What each member got, in the order of submission."""
    return await asyncio.gather(*(store.commit.do(member) for member in members), return_exceptions=True)


async def test_those_who_wait_at_the_same_moment_share_a_transaction(store):
    assert await answers(store, ["a", "b"], [], ["c"]) == [None, None, None]
    assert store.batches == [["a", "b", "c"]]
    assert (store.stored(), store.kept) == (["a", "b", "c"], ["a", "b", "c"])


async def test_a_batch_has_a_limit_and_a_member_is_never_divided(store, monkeypatch):
    monkeypatch.setattr(group_commit, "MAX_BATCH", 3)
    await answers(store, ["a", "b"], ["c", "d"], ["e"], ["f"])
    assert store.batches == [["a", "b", "c", "d"], ["e", "f"]]


async def test_the_bad_one_harms_nobody_else(store):
    assert await answers(store, ["a"], ["b", "bad", "c"], ["d"]) == [None, None, None]
    assert store.stored() == ["a", "b", "c", "d", "failed bad"]
    assert store.kept == ["a", "b", "failed bad", "c", "d"]
    await answers(store, ["e"])
    assert store.batches[-1] == ["e"]


async def test_what_cannot_even_be_kept_as_failed_is_not_acknowledged(store):
    async def poisoned(word, error):
        raise error

    store.commit.poisoned = poisoned
    first, second, third = await answers(store, ["a"], ["bad"], ["b"])
    assert (first, third) == (None, None)
    assert isinstance(second, PoisonedError)
    assert store.stored() == ["a", "b"]


def hold(database):
    """Make the database unable to take writes; returns what ends it."""
    if database.is_sqlite:
        other = database.sync_engine.connect()
        # A transaction that may write begins with BEGIN IMMEDIATE.
        transaction = other.begin()

        def end():
            transaction.rollback()
            other.close()

        return end
    with database.sync_engine.connect() as connection:
        name = connection.execute(text("select current_database()")).scalar_one()

    def read_only(value):
        with database.sync_engine.connect() as connection:
            connection.execute(text("set transaction read write"))
            connection.execute(text(f"alter database {name} set default_transaction_read_only = {value}"))
            connection.execute(
                text("select pg_terminate_backend(pid) from pg_stat_activity"
                     " where datname = current_database() and pid != pg_backend_pid()")
            )  # fmt: skip
            connection.commit()

    read_only("on")

    def end():
        read_only("off")
        database.sync_engine.dispose()

    return end


async def make_impatient(database):
    if database.is_sqlite:
        await database.transact(
            lambda session: session.connection().connection.driver_connection.execute(
                "pragma busy_timeout=50"
            )
        )


async def test_while_the_storage_is_down_nobody_is_acknowledged(store):
    await make_impatient(store.database)
    end = await asyncio.to_thread(hold, store.database)
    try:
        results = await answers(store, ["a"], ["b", "bad"], ["c"])
    finally:
        await asyncio.to_thread(end)
    assert all(isinstance(result, DBAPIError) and storage_is_down(result) for result in results), results
    assert (store.stored(), store.kept) == ([], [])
    assert await answers(store, ["a"], ["b"]) == [None, None]
    assert store.stored() == ["a", "b"]


@contextmanager
def interrupting(raw):
    """Interrupt what runs on the connection, again and again: once may come before it has begun."""
    ended = threading.Event()

    def interrupt():
        while not ended.wait(0.05):
            raw.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def test_a_connection_that_dies_in_a_transaction_keeps_nothing(store):
    def die(session):
        put_setting(session, "a", "", WEDNESDAY)
        if store.database.is_sqlite:
            # What dies here is the statement: somebody interrupts it from another thread.
            raw = session.connection().connection.driver_connection
            endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
            with interrupting(raw):
                session.connection().execute(text(endless))
        else:
            session.connection().execute(text("select pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DBAPIError) as error:
        await store.database.transact(die)
    assert storage_is_down(error.value)
    assert store.stored() == []
    assert await answers(store, ["b"]) == [None]


async def test_who_gave_up_waiting_disturbs_nobody_and_is_kept_all_the_same(store):
    waiting = [asyncio.create_task(store.commit.do([word])) for word in ("a", "bad", "c")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    assert await answers(store, ["d"]) == [None]
    await waiting[2]
    assert store.stored() == ["a", "c", "d", "failed bad"]


async def test_draining_waits_for_what_nobody_waits_for(store):
    waiting = asyncio.create_task(store.commit.do(["a"]))
    await asyncio.sleep(0)
    waiting.cancel()
    await store.commit.drain(5)
    assert store.stored() == ["a"]


@pytest.mark.parametrize("alone", [False, True], ids=["in the batch", "one by one"])
async def test_when_it_is_stopped_nobody_waits_for_ever(database, alone):
    store = Store(database)
    begun = asyncio.Event()

    async def apply(operations):
        if alone and len(operations) > 1:
            raise PoisonedError
        begun.set()
        await asyncio.Event().wait()

    store.commit.apply = apply
    running = asyncio.create_task(store.commit.run())
    waiting = [asyncio.create_task(store.commit.do([word])) for word in ("a", "b", "c")]
    await begun.wait()
    late = asyncio.create_task(store.commit.do(["d"]))
    await asyncio.sleep(0)
    running.cancel()
    done, _pending = await asyncio.wait([running, *waiting, late], timeout=5)
    assert len(done) == 5
    assert all(task.cancelled() for task in done)


async def test_a_setting_is_written_over(database):
    for value in ("1", "2"):
        await database.transact(lambda session, value=value: put_setting(session, "cursor", value, WEDNESDAY))
    with database.read() as session:
        assert get_setting(session, "cursor") == "2"
        assert get_setting(session, "nothing") is None
        assert len(session.connection().execute(text("select * from setting")).all()) == 1
    assert Setting.__tablename__ == "setting"
