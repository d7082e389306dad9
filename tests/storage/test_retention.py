"""What goes when its months are over, on both engines."""

import json
from datetime import timedelta

import pytest

from storage import casework, history, retention
from storage.erasure import ERASED
from storage.models import Attachment, CallTask, Draft, History, Letter, Message, Request
from storage.retention import Forgotten, Retention, count_due, months_before, sweep
from tests.storage.firm import MOSCOW, WEDNESDAY, Firm
from tests.storage.test_erasure import attach, cancelled, carried_out, keep, say, store

__all__ = ["store"]


@pytest.fixture
def firm(database):
    return Firm.open(database)


def swept(firm, store, **months: int) -> Forgotten:
    return sweep(firm.database, store, Retention(**months), MOSCOW, firm.clock)


def draft(firm, key: str) -> None:
    with firm.database.begin() as session:
        session.add(
            Draft(person_id=firm.people[key], progress={}, created_at=firm.clock, updated_at=firm.clock)
        )


def later(firm, days: int) -> None:
    firm.clock += timedelta(days=days)


def test_by_default_everything_is_kept(firm, store):
    number = carried_out(firm)
    attach(firm, number, keep(firm, store, "счёт"))
    say(firm, "спасибо", number=number)
    draft(firm, "maria")
    later(firm, 5000)
    assert not swept(firm, store).anything
    assert not firm.rows(History, action="retention_swept")
    assert [row.text for row in firm.rows(Message)] == ["спасибо"]


def test_old_drafts_go_and_fresh_ones_stay(firm, store):
    draft(firm, "maria")
    later(firm, 100)
    draft(firm, "pyotr")
    assert swept(firm, store, drafts_months=3).drafts == 1
    assert [row.person_id for row in firm.rows(Draft)] == [firm.people["pyotr"]]


def test_words_of_closed_requests_and_of_none_go(firm, store):
    closed, opened = carried_out(firm), firm.submit()
    say(firm, "о закрытой", number=closed)
    say(firm, "ни о чём")
    say(firm, "об открытой", number=opened)
    later(firm, 400)
    say(firm, "свежее", number=closed)
    done = swept(firm, store, messages_months=12)
    assert done.messages == 2
    assert [row.text for row in firm.rows(Message)] == [ERASED, ERASED, "об открытой", "свежее"]
    assert {row.text for row in firm.rows(Letter, request_id=closed) if row.state == "sent"} <= {ERASED}
    assert all(row.text != ERASED for row in firm.rows(Letter, request_id=opened))
    assert not swept(firm, store, messages_months=12).anything


def test_files_of_closed_requests_go_from_the_disk_too(firm, store):
    old, dropped, opened = carried_out(firm), cancelled(firm), firm.submit()
    for number, words in ((old, "старое"), (dropped, "лишнее"), (opened, "нужное")):
        attach(firm, number, keep(firm, store, words))
    digest = keep(firm, store, "ни о чём")
    say(firm, "вот", (digest,))
    later(firm, 40)
    recent = carried_out(firm)
    attach(firm, recent, keep(firm, store, "свежее"))
    assert swept(firm, store, files_months=1).files == 3
    assert {row.request_id for row in firm.rows(Attachment)} == {opened, recent}
    assert len(list(store.every_path())) == 2
    assert firm.rows(Message)[0].text == "вот"


def test_a_file_that_a_living_request_has_too_stays_on_the_disk(firm, store):
    digest = keep(firm, store, "один на двоих")
    attach(firm, carried_out(firm), digest)
    attach(firm, firm.submit(), digest)
    later(firm, 400)
    assert swept(firm, store, files_months=1).files == 0
    assert [path.name for path in store.every_path()] == [digest]


def test_it_is_written_down_and_the_chain_holds(firm, store):
    draft(firm, "maria")
    later(firm, 100)
    swept(firm, store, drafts_months=1)
    line = firm.row(History, action="retention_swept")
    assert (line.through, json.loads(line.after)["drafts"]) == ("timer", 1)
    with firm.database.read() as session:
        assert history.verify(session).ok


def test_more_than_a_batch_goes_in_one_sweep(firm, store, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for count in range(5):
        say(firm, f"слово {count}", (keep(firm, store, str(count)),))
    later(firm, 100)
    done = swept(firm, store, messages_months=1, files_months=1)
    assert (done.messages, done.files) == (5, 5)


def test_words_about_calls_that_are_done_go(firm, store):
    with firm.database.begin() as session:
        for words, done_at in (("старый", firm.clock), ("ждёт", None)):
            session.add(
                CallTask(
                    person_id=firm.people["maria"], reason=words, created_at=firm.clock, done_at=done_at,
                    outcome=words,
                )
            )  # fmt: skip
    later(firm, 400)
    assert swept(firm, store, calls_months=12).calls == 1
    assert [(row.reason, row.outcome) for row in firm.rows(CallTask)] == [(ERASED, ERASED), ("ждёт", "ждёт")]
    assert not swept(firm, store, calls_months=12).anything


def test_what_is_counted_before_is_what_goes(firm, store):
    number = carried_out(firm)
    attach(firm, number, keep(firm, store, "счёт"))
    say(firm, "о закрытой", number=number)
    say(firm, "вот", (keep(firm, store, "ни о чём"),))
    draft(firm, "maria")
    later(firm, 400)
    months = Retention(drafts_months=1, messages_months=1, files_months=1, calls_months=1)

    def due(retention=months):
        with firm.database.read() as session:
            return count_due(session, retention, MOSCOW, firm.clock)

    before = due()
    assert (before.drafts, before.messages, before.files) == (1, 2, 2)
    assert not due(Retention()).anything
    done = sweep(firm.database, store, months, MOSCOW, firm.clock, firm.who("elena", "panel"))
    assert (done.drafts, done.messages, done.letters, done.files) == (1, 2, before.letters, 2)
    assert not due().anything
    assert firm.row(History, action="retention_swept").actor_id == firm.people["elena"]


def test_a_closed_request_stays_readable(firm, store):
    number = carried_out(firm, files="[]")
    attach(firm, number, keep(firm, store, "счёт"))
    later(firm, 400)
    swept(firm, store, files_months=1, messages_months=1)
    row = firm.row(Request, id=number)
    assert (row.task, row.answers["files"]) == ("Оплатить счёт № 15", "[]")
    with firm.database.read() as session:
        casework.open_case(session, number)


@pytest.mark.parametrize(
    ("months", "expected"),
    [(1, (2026, 10, 25)), (11, (2025, 12, 25)), (12, (2025, 11, 25)), (60, (2021, 11, 25))],
    ids=["month", "over the year", "year", "five years"],
)
def test_months_are_those_of_the_calendar(months, expected):
    found = months_before(WEDNESDAY, months, MOSCOW)
    assert (found.year, found.month, found.day) == expected


def test_the_last_days_of_a_month_count_as_its_28th():
    found = months_before(WEDNESDAY.replace(day=30), 9, MOSCOW)
    assert (found.month, found.day) == (2, 28)
