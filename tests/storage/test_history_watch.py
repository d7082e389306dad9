"""Each night the whole history is walked; what was changed or cut off is told once."""

from datetime import timedelta

import pytest

from storage import history_watch
from storage.models import Letter
from tests.storage.firm import Firm
from tests.storage.test_history import go_round_the_guard


@pytest.fixture
def firm(database) -> Firm:
    return Firm.open(database)


IN_CHARGE = {"elena", "oleg"}


def night(firm: Firm) -> history_watch.Walk:
    """One night's job."""
    found = history_watch.walk(firm.database, firm.clock)
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
    assert night(firm) == history_watch.Walk(at, rows=0, last_id=0)
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
    found = history_watch.walk(firm.database, firm.clock)
    assert history_watch.is_due(found, firm.clock + timedelta(hours=hours)) is due
