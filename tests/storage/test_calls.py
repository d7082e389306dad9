"""The list of people to telephone."""

import pytest

from storage.calls import add_call, call_done, call_not_answered, count_open, open_call, open_calls
from storage.models import CallTask, History, Letter
from tests.storage.firm import MINUTE, Firm


@pytest.fixture
def firm(database):
    return Firm.open(database)


def added(firm, request_id=None, letter_id=None, reason="Telegram закрыт"):
    with firm.database.begin() as session:
        return add_call(session, firm.people["maria"], request_id, letter_id, reason, firm.clock)


def listed(firm, own_of=None):
    with firm.database.read() as session:
        calls = open_calls(session, own_of)
        assert count_open(session, own_of) == len(calls)
        return calls


def test_a_call_says_who_and_about_what(firm):
    number = firm.accepted_by("anna")
    letter = firm.letters("maria")[0]
    call_id = added(firm, number, letter.id)
    (call,) = listed(firm)
    assert (call.call_id, call.name, call.company, call.assignee) == (
        call_id, "Мария", "ООО «Ромашка»", "Анна Петрова",
    )  # fmt: skip
    assert (call.words, call.request_id, call.tried) == (letter.text, number, ())


def test_a_letter_is_worth_one_call(firm):
    firm.accepted_by("anna")
    letter = firm.row(Letter, id=firm.letters("maria")[0].id)
    assert added(firm, None, letter.id) is not None
    assert added(firm, None, letter.id) is None
    assert added(firm) is not None
    assert added(firm) is not None
    assert len(firm.rows(CallTask)) == 3


def test_everybody_sees_their_own_and_those_of_nobody(firm):
    number = firm.accepted_by("anna")
    hers, free = added(firm, number), added(firm)
    assert {call.call_id for call in listed(firm, firm.staff["anna"])} == {hers, free}
    assert {call.call_id for call in listed(firm, firm.staff["boris"])} == {free}
    with firm.database.read() as session:
        assert open_call(session, hers, firm.staff["boris"]) is None
        assert open_call(session, hers).call_id == hers


def test_whoever_does_not_answer_moves_down_and_stays(firm):
    first = added(firm)
    firm.clock += MINUTE
    second = added(firm)
    with firm.database.begin() as session:
        assert call_not_answered(
            session, first, firm.staff["anna"], "11:01 не отвечает", firm.clock, through="webchat"
        )
    assert [(call.call_id, call.tried) for call in listed(firm)] == [
        (second, ()),
        (first, ("11:01 не отвечает",)),
    ]


def test_a_call_is_done_once(firm):
    call_id = added(firm)
    with firm.database.begin() as session:
        assert call_done(session, call_id, firm.staff["anna"], "дозвонились", firm.clock, through="webchat")
        assert not call_done(session, call_id, None, "написал сам", firm.clock)
        assert not call_not_answered(session, call_id, firm.staff["anna"], "", firm.clock, through="webchat")
    assert listed(firm) == ()
    row = firm.row(CallTask, id=call_id)
    assert (row.done_at, row.done_by, row.outcome) == (firm.clock, firm.staff["anna"], "дозвонились")
    assert firm.row(History, action="call_done").actor_id == firm.people["anna"]
    firm.check()
