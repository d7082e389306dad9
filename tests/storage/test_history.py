"""History only grows, and a break of its chain is found."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from storage import history
from storage.models import History

NOW = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)


def record(session, number, **changed):
    values = {
        "at": NOW + timedelta(seconds=number),
        "actor_id": None,
        "through": "command",
        "action": "changed",
        "subject": f"client:{number}",
        "before": None,
        "after": {"имя": "Ромашка", "b": 1, "a": [1, None]},
    }
    history.record(session, **(values | changed))


async def test_an_empty_history_is_whole(database):
    with database.read() as session:
        assert history.verify(session) == history.HistoryCheck(ok=True, rows=0)


async def test_rows_are_chained_within_and_across_transactions(database):
    for start in (0, 3):
        with database.begin() as session:
            for number in range(start, start + 3):
                record(session, number)
    with database.read() as session:
        assert history.verify(session) == history.HistoryCheck(ok=True, rows=6)
        rows = session.exec(select(History).order_by(History.id)).all()
    assert [row.subject for row in rows] == [f"client:{number}" for number in range(6)]
    assert rows[0].previous_hash == history.GENESIS
    assert [row.previous_hash for row in rows[1:]] == [row.hash for row in rows[:-1]]
    assert rows[0].before == ""
    assert rows[0].after == '{"a":[1,null],"b":1,"имя":"Ромашка"}'


async def test_the_chain_is_read_once_per_transaction(database):
    with database.begin() as session:
        for number in range(50):
            record(session, number)
    with database.read() as session:
        assert history.verify(session).rows == 50


async def test_the_zone_of_a_time_does_not_matter(database):
    with database.begin() as session:
        record(session, 1, at=datetime(2026, 11, 25, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=3))))
    with database.read() as session:
        assert history.verify(session).ok


async def test_a_savepoint_that_is_rolled_back_takes_its_rows_out_of_the_chain(database):
    with database.begin() as session:
        record(session, 1)
        nested = session.begin_nested()
        record(session, 2)
        nested.rollback()
        record(session, 3)
    with database.begin() as session:
        nested = session.begin_nested()
        record(session, 4)
        nested.rollback()
        with session.begin_nested():
            record(session, 5)
        record(session, 6)
    with database.read() as session:
        assert history.verify(session) == history.HistoryCheck(ok=True, rows=4)


async def test_a_rolled_back_transaction_is_forgotten(database):
    def fail():
        with database.begin() as session:
            record(session, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.begin() as session:
        record(session, 2)
    with database.read() as session:
        assert history.verify(session) == history.HistoryCheck(ok=True, rows=1)


async def test_writers_at_once_do_not_fork_the_chain(database):
    def write(start):
        for number in range(5):
            with database.begin() as session:
                record(session, start + number)
                record(session, start + number)

    await asyncio.gather(*(asyncio.to_thread(write, 10 * number) for number in range(4)))
    with database.read() as session:
        assert history.verify(session) == history.HistoryCheck(ok=True, rows=40)


@pytest.mark.parametrize(
    "statement",
    ["update history set action = 'x'", "update history set after = '' where id = 1", "delete from history"],
)
async def test_the_database_refuses_changes(database, statement):
    with database.begin() as session:
        record(session, 1)
    with pytest.raises(DBAPIError, match="append-only"), database.begin() as session:
        session.connection().execute(text(statement))
    with database.read() as session:
        assert history.verify(session) == history.HistoryCheck(ok=True, rows=1)


def go_round_the_guard(database, statement):
    """What somebody with the rights of the database's owner can do."""
    with database.begin() as session:
        if database.is_sqlite:
            for trigger in ("history_keeps_rows", "history_keeps_values"):
                session.connection().execute(text(f"drop trigger {trigger}"))
        else:
            session.connection().execute(text("alter table history disable trigger user"))
        session.connection().execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("update history set after = '{}' where id = 2", 2),
        ("update history set at = '2026-01-01 00:00:00' where id = 3", 3),
        ("update history set actor_id = null, subject = 'client:9' where id = 1", 1),
        ("delete from history where id = 2", 3),
        ("delete from history where id = 1", 2),
        ("update history set hash = 'x' where id = 4", 4),
    ],
)
async def test_a_break_is_found(database, statement, broken_at):
    with database.begin() as session:
        for number in range(1, 6):
            record(session, number)
    go_round_the_guard(database, statement)
    with database.read() as session:
        check = history.verify(session)
    assert (check.ok, check.broken_at) == (False, broken_at)


def forget(session, subject: str) -> None:
    history.forget_values(session, [subject], {"status"})


def say_why(session, subject: str) -> None:
    history.record(
        session, at=NOW, actor_id=None, through="panel", action=history.PERSON_ERASED, subject=subject,
        before=None, after={"requests": 1},
    )  # fmt: skip


async def test_values_go_with_the_person_and_the_chain_holds(database):
    with database.begin() as session:
        for number in (1, 2, 1):
            record(session, number)
        record(session, 1, before=None, after={"status": "new"})
        forget(session, "client:1")
        say_why(session, "client:1")
    with database.read() as session:
        rows = session.execute(text("select subject, before, after from history order by id")).all()
        assert history.verify(session) == history.HistoryCheck(ok=True, rows=5)
    assert [(row.before, row.after) for row in rows if row.subject == "client:1"][:2] == [("", ""), ("", "")]
    assert rows[1].after
    assert rows[3].after == '{"status":"new"}'


@pytest.mark.parametrize("why", [None, "client:2"])
async def test_values_that_nobody_erased_for_a_person_are_missed(database, why):
    with database.begin() as session:
        for number in (1, 2):
            record(session, number)
        forget(session, "client:1")
        if why:
            say_why(session, why)
    with database.read() as session:
        assert history.verify(session).broken_at == 1


async def test_erased_values_cannot_be_written_anew(database):
    with database.begin() as session:
        record(session, 1)
        forget(session, "client:1")
    with pytest.raises(DBAPIError, match="append-only"), database.begin() as session:
        session.connection().execute(text("update history set after = '{}' where id = 1"))
