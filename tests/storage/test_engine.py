"""The database's own promises: no lost update, no waiting readers, times with their zone."""

import asyncio
import threading
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import select

from storage.engine import storage_is_down
from storage.models import Chat, InboxEvent, Person, Setting
from tests.storage.firm import WEDNESDAY

COUNTER = "counter"
TWICE = """insert into setting (key, value, updated_at)
           select 'a', '', current_timestamp from (select 1 union all select 2) as two"""


def add_one(session):
    row = session.get(Setting, COUNTER, with_for_update=True)
    row.value = str(int(row.value) + 1)
    session.add(row)


async def test_read_and_write_from_threads_and_tasks_loses_nothing(database):
    with database.begin() as session:
        session.add(Setting(key=COUNTER, value="0", updated_at=WEDNESDAY))

    def thread():
        for _time in range(50):
            with database.begin() as session:
                add_one(session)

    async def task():
        for _time in range(50):
            await database.transact(add_one)

    await asyncio.gather(
        *(asyncio.to_thread(thread) for _number in range(4)), *(task() for _number in range(4))
    )
    with database.read() as session:
        assert session.get_one(Setting, COUNTER).value == "400"


async def test_a_reader_does_not_wait_for_the_writer_and_sees_only_what_is_committed(database):
    written, read = threading.Event(), threading.Event()

    def write():
        with database.begin() as session:
            session.add(Setting(key="a", value="", updated_at=WEDNESDAY))
            session.flush()
            written.set()
            assert read.wait(5)

    writing = asyncio.create_task(asyncio.to_thread(write))
    await asyncio.to_thread(written.wait, 5)
    with database.read() as session:
        assert session.exec(select(Setting)).all() == []
    read.set()
    await writing
    with database.read() as session:
        assert len(session.exec(select(Setting)).all()) == 1


async def test_an_error_takes_everything_back(database):
    def work(session):
        session.add(Setting(key="a", value="", updated_at=WEDNESDAY))
        session.flush()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.transact(work)
    assert await database.transact(lambda session: session.exec(select(Setting)).all()) == []


async def test_a_cancelled_transaction_is_whole_or_absent_and_the_next_one_works(database):
    for number in range(8):

        def work(session, number=number):
            for half in "ab":
                session.add(Setting(key=f"{number}{half}", value="", updated_at=WEDNESDAY))
                session.flush()

        task = asyncio.create_task(database.transact(work))
        for _turn in range(number * 3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await database.transact(lambda session: session.add(Setting(key="last", value="", updated_at=WEDNESDAY)))
    with database.read() as session:
        keys = sorted(row.key for row in session.exec(select(Setting)))
    assert keys[-1] == "last"
    assert [key[0] for key in keys[:-1:2]] == [key[0] for key in keys[1:-1:2]]


async def test_times_come_back_with_their_zone(database):
    moscow = timezone(timedelta(hours=3))
    told = datetime(2026, 11, 25, 11, 0, 0, 123456, tzinfo=moscow)
    with database.begin() as session:
        session.add(Setting(key="a", value="", updated_at=told))
    with database.read() as session:
        found = session.exec(select(Setting)).one().updated_at
        equal = session.exec(select(Setting).where(Setting.updated_at == told)).all()
    assert (found, found.utcoffset()) == (told, timedelta())
    assert len(equal) == 1


async def test_json_is_kept_as_it_is_and_nothing_is_null(database):
    payload = {"текст": "«ёж» 😀", "list": [1, None, {"a": []}], "long": "я" * 10_000}
    with database.begin() as session:
        session.add(Chat(channel="c", chat_key="k", user_key="u", screen=[["Да", "x"]], created_at=WEDNESDAY))
        for number, held in enumerate((payload, None)):
            session.add(InboxEvent(channel="c", event_key=str(number), payload=held, received_at=WEDNESDAY))
    with database.read() as session:
        assert [row.payload for row in session.exec(select(InboxEvent).order_by(InboxEvent.id))] == [
            payload,
            None,
        ]
        assert session.exec(select(Chat)).one().screen == [["Да", "x"]]
        nulls = session.connection().execute(text("select count(*) from inbox_event where payload is null"))
        assert nulls.scalar_one() == 1


async def test_half_a_surrogate_pair_does_not_stop_a_payload(database):
    with database.begin() as session:
        session.add(
            InboxEvent(channel="c", event_key="1", payload={"a": "до\ud83dпосле"}, received_at=WEDNESDAY)
        )
    with database.read() as session:
        assert session.exec(select(InboxEvent)).one().payload == {"a": "до?после"}


async def test_the_rules_of_the_tables_hold(database):
    wrong = [
        Chat(channel="c", chat_key="k", user_key="u", person_id=99, created_at=WEDNESDAY),
        InboxEvent(channel="c", event_key="1", state="odd", received_at=WEDNESDAY),
        InboxEvent(channel="c", event_key="1", chat_id=99, received_at=WEDNESDAY),
    ]
    for row in wrong:
        with pytest.raises(IntegrityError) as error:
            await database.transact(lambda session, row=row: session.add(row))
        assert not storage_is_down(error.value)


async def test_sqlite_is_as_careful_as_we_say(database):
    if not database.is_sqlite:
        with database.read() as session:
            assert session.connection().execute(text("show timezone")).scalar_one() == "UTC"
        return

    def settled(session):
        return [
            session.connection().exec_driver_sql(f"pragma {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]

    with database.begin() as session:
        from_the_panel = settled(session)
    assert from_the_panel == await database.transact(settled) == ["wal", 2, 1, 10_000]


# --- whose fault an error is ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "select * from nothing",
        "select nonsense from person",
        "selekt 1",
        "insert into person (name) values (null)",
        TWICE,
    ],
    ids=["no table", "no column", "syntax", "null", "twice"],
)
async def test_a_bad_statement_is_not_an_outage(database, statement):
    with pytest.raises(DBAPIError) as error:
        await database.transact(lambda session: session.connection().execute(text(statement)))
    assert not storage_is_down(error.value)
    with database.read() as session:
        assert session.exec(select(Person)).all() == []


async def test_errors_of_other_kinds_are_not_an_outage_but_an_exhausted_pool_is():
    assert not storage_is_down(ValueError("database is locked"))
    assert storage_is_down(PoolTimeout())


async def test_a_lock_is_an_outage(database):
    def be_impatient(session):
        # On SQLite BEGIN IMMEDIATE already waits, so this must be settled before.
        session.connection().exec_driver_sql("pragma busy_timeout = 50")

    def work(session):
        session.connection()
        if not database.is_sqlite:
            session.connection().execute(text("set local lock_timeout = '50ms'"))
            session.connection().execute(text("lock table setting in exclusive mode"))

    if database.is_sqlite:
        await database.transact(be_impatient)
    with database.begin() as holding:
        holding.add(Setting(key="a", value="", updated_at=WEDNESDAY))
        holding.flush()
        with pytest.raises(DBAPIError) as error:
            await database.transact(work)
    assert storage_is_down(error.value)
    await database.transact(work)
