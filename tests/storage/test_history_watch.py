"""Each night the whole history is walked; what was changed or cut off is told once."""

from datetime import timedelta

import orjson
import pytest
from sqlalchemy import text, update

from storage import history, history_watch
from storage.models import Letter
from storage.work import put_setting
from tests.storage.firm import Firm
from tests.storage.test_history import go_round_the_guard


@pytest.fixture
def firm(database) -> Firm:
    return Firm.open(database)


IN_CHARGE = {"elena", "oleg"}
KEY = "a key that is not in the database"


def night(firm: Firm, key: str = KEY) -> history_watch.Walk:
    """One night's job."""
    found = history_watch.walk(firm.database, firm.clock, key)
    with firm.database.begin() as session:
        history_watch.settle(session, firm.house, found, firm.clock)
    firm.clock += timedelta(days=1)
    with firm.database.read() as session:
        assert history_watch.last_walk(session) == found
    return found


def alarmed(firm: Firm) -> list[tuple[str, str]]:
    names = {number: name for name, number in firm.people.items()}
    return [
        (names[letter.person_id], letter.text)
        for letter in firm.rows(Letter)
        if letter.key.startswith("history:")
    ]


async def test_a_whole_history_is_walked_in_parts_and_nobody_is_woken(firm, monkeypatch):
    monkeypatch.setattr(history_watch, "ROWS_IN_PART", 2)
    for _ in range(3):
        firm.accepted_by("anna")
    found = night(firm)
    assert (found.whole, found.rows) == (True, found.last_id)
    assert found.rows > 6
    assert night(firm).whole
    assert alarmed(firm) == []


async def test_an_empty_history_is_whole(firm):
    at = firm.clock
    found = night(firm)
    assert found == history_watch.Walk(at, rows=0, last_id=0, seal=found.seal)
    assert night(firm).whole


@pytest.mark.parametrize(
    ("statement", "cut_off", "words"),
    [
        ("update history set after = '{{}}' where id = {first}", False, "нарушена на записи № {first}"),
        ("delete from history where id = {last}", True, "пропали последние записи, начиная с № {last}"),
    ],
    ids=["changed", "cut off at the end"],
)
async def test_a_break_is_told_once_to_those_in_charge(firm, statement, cut_off, words):
    firm.accepted_by("anna")
    last = night(firm).last_id
    go_round_the_guard(firm.database, statement.format(first=1, last=last))
    found = night(firm)
    assert (found.whole, found.cut_off) == (False, cut_off)
    night(firm)
    told = alarmed(firm)
    assert {name for name, _words in told} == IN_CHARGE
    assert len(told) == len(IN_CHARGE)
    assert all(words.format(first=1, last=last) in said for _name, said in told)


@pytest.mark.parametrize(("hours", "due"), [(1, False), (19, False), (21, True), (-21, True)])
async def test_a_walk_is_due_each_night(firm, hours, due):
    with firm.database.read() as session:
        assert history_watch.is_due(history_watch.last_walk(session), firm.clock)
    found = history_watch.walk(firm.database, firm.clock, KEY)
    assert history_watch.is_due(found, firm.clock + timedelta(hours=hours)) is due


def reckon_anew(firm: Firm, changed_id: int) -> None:
    """What whoever may write to the database can do: change a row, and every hash after it."""
    go_round_the_guard(firm.database, "select 1")
    table = history.metadata.tables["history"]
    with firm.database.begin() as session:
        previous_hash = history.GENESIS
        for row in session.connection().execute(table.select().order_by(table.c.id)).all():
            values = row._asdict() | {"previous_hash": previous_hash}
            if row.id == changed_id:
                values["after"] = '{"role":"director"}'
            values["values_digest"] = history._digest_of(row.salt, values["before"], values["after"])
            entry = history._Entry(**{k: v for k, v in values.items() if k not in ("id", "hash")})
            values["hash"] = previous_hash = history._hash_of(entry)
            session.connection().execute(update(table).where(table.c.id == row.id).values(values))
        assert history.verify(session).ok


async def test_a_chain_that_was_reckoned_anew_is_not_the_one_that_was_sealed(firm):
    firm.accepted_by("anna")
    last = night(firm).last_id
    firm.accepted_by("anna")
    reckon_anew(firm, changed_id=2)
    with firm.database.read() as session:
        assert history_watch.unlike_seal(session, KEY) == last
    found = night(firm)
    assert (found.whole, found.rewritten, found.broken_at) == (False, True, last)
    assert not night(firm).whole
    told = alarmed(firm)
    assert {name for name, _words in told} == IN_CHARGE
    assert all(f"переписана: запись № {last} " in said for _name, said in told)


async def test_rows_after_the_seal_may_come_and_are_sealed_next(firm):
    for _ in range(3):
        firm.accepted_by("anna")
        assert night(firm).whole
        with firm.database.read() as session:
            assert history_watch.unlike_seal(session, KEY) is None
    assert alarmed(firm) == []


def take_the_record(firm: Firm) -> None:
    with firm.database.begin() as session:
        session.connection().execute(text("delete from setting where key = 'history_walk'"))


def take_the_seal(firm: Firm) -> None:
    with firm.database.begin() as session:
        put_setting(session, "history_walk", orjson.dumps(UNSEALED).decode(), firm.clock)


UNSEALED = {"at": "2026-11-25T02:00:00+00:00", "rows": 1, "last_id": 1, "broken_at": None, "cut_off": False}


@pytest.mark.parametrize(
    ("take", "key"),
    [(take_the_record, KEY), (take_the_seal, KEY), (lambda _firm: None, "another key of the service")],
    ids=["no record", "a record without a seal", "another key"],
)
async def test_a_seal_that_is_not_there_is_told_and_set_anew(firm, take, key):
    firm.accepted_by("anna")
    night(firm)
    firm.clock += timedelta(days=2)
    take(firm)
    found = night(firm, key)
    assert (found.whole, found.unsealed) == (True, True)
    assert not night(firm, key).unsealed
    assert {name for name, _words in alarmed(firm)} == IN_CHARGE


async def test_whoever_writes_to_the_database_cannot_seal(firm):
    firm.accepted_by("anna")
    found = night(firm)
    forged = found.seal.replace(f"{found.last_id}:", f"{found.last_id - 1}:", 1)
    with firm.database.begin() as session:
        kept = orjson.dumps(UNSEALED | {"seal": forged}).decode()
        put_setting(session, "history_walk", kept, firm.clock)
    firm.clock += timedelta(days=2)
    assert night(firm).unsealed
