"""What a client edited or took back, on the request's page; a proposal is decided as in the chat."""

from datetime import timedelta

import pytest

from forms.deadline import from_text
from storage import casework, edits
from storage.house import Who
from storage.models import Letter, Message, Proposal


@pytest.fixture
def proposed(office):
    """A request of Anna's whose client proposes another task."""
    number = office.submit(0, task="Оплатить счёт № 15")
    office.give(number, "anna")
    propose(office, number, "task", {"task": "Оплатить счёт № 16"})
    return number


def propose(office, number, field, changed):
    who = Who("webchat", office.speakers[0])
    with office.database.begin() as session:
        casework.propose(session, office.house, who, number, field, changed, office.clock)


def proposal_of(office, number):
    return office.all(Proposal, request_id=number)[-1].id


def test_a_proposal_is_shown_and_accepted(office, proposed):
    browser = office.browser("anna")
    page = browser.page(f"/panel/requests/{proposed}/")
    assert "Клиент предлагает изменить" in page
    assert "«Что сделать»: было Оплатить счёт № 15, стало Оплатить счёт № 16" in page
    answer = browser.send(
        f"/panel/requests/{proposed}/agree", follow=True, proposal=proposal_of(office, proposed)
    )
    page = answer.get_data(as_text=True)
    assert "Изменение в заявке." in page
    assert "Клиент предлагает изменить" not in page
    assert office.request(proposed).task == "Оплатить счёт № 16"
    letters = [letter.text for letter in office.all(Letter, request_id=proposed)]
    assert any("изменение приняли" in text and "было Оплатить счёт № 15" in text for text in letters)


def test_a_proposal_is_left_alone(office, proposed):
    browser = office.browser("director")
    answer = browser.send(
        f"/panel/requests/{proposed}/keep", follow=True, proposal=proposal_of(office, proposed)
    )
    assert "Оставлено прежнее." in answer.get_data(as_text=True)
    assert office.request(proposed).task == "Оплатить счёт № 15"
    letters = {letter.person_id: letter.text for letter in office.all(Letter, request_id=proposed)}
    assert "оставили прежнее" in letters[office.speakers[0]]
    assert "оставили прежнее" in letters[office.persons["anna"]]


def test_a_second_decision_is_told_whose_the_first_was(office, proposed):
    number = proposal_of(office, proposed)
    office.browser("director").send(f"/panel/requests/{proposed}/agree", proposal=number)
    answer = office.browser("anna").send(f"/panel/requests/{proposed}/keep", proposal=number)
    assert answer.status_code == 422
    assert "Это изменение уже принято:" in answer.get_data(as_text=True)


def test_a_proposal_of_another_request_is_not_decided_here(office, proposed):
    other = office.submit(0, task="Другое дело")
    office.give(other, "anna")
    for wrong in (proposal_of(office, proposed), 99, "x", ""):
        answer = office.browser("anna").send(f"/panel/requests/{other}/agree", proposal=wrong)
        assert answer.status_code == 422
    assert office.all(Proposal)[0].decided_at is None


@pytest.mark.parametrize("name", ["controller", "boris"])
def test_who_does_not_work_on_it_cannot_decide(office, proposed, name):
    answer = office.browser(name).send(
        f"/panel/requests/{proposed}/agree", proposal=proposal_of(office, proposed)
    )
    assert answer.status_code in (403, 404)
    assert office.all(Proposal)[0].decided_at is None


def test_a_passed_day_cannot_be_agreed_to(office, proposed):
    deadline = office.request(proposed).answers["deadline"]
    propose(office, proposed, "deadline", {"deadline": deadline})
    office.clock = from_text(deadline).at + timedelta(hours=1)
    answer = office.browser("director").send(
        f"/panel/requests/{proposed}/agree", proposal=proposal_of(office, proposed)
    )
    assert "Принять это уже нельзя" in answer.get_data(as_text=True)


def test_edits_and_deletions_stand_in_the_correspondence(office, proposed):
    words = {
        "chat_id": office.chats[0], "request_id": proposed, "person_id": office.speakers[0],
        "direction": "in", "message_key": "m7", "sent_at": office.clock, "received_at": office.clock,
    }  # fmt: skip
    with office.database.begin() as session:
        session.add(Message(kind="text", text="с расчётного счёта", **words))
        session.add(Message(kind="edited", text="с валютного счёта", **words))
        session.flush()
        edits.mark_deleted(session, office.chats[0], "m7", office.clock, through="webchat", now=office.clock)
    page = office.browser("anna").page(f"/panel/requests/{proposed}/")
    assert page.count("удалено клиентом") == 2
    assert "с валютного счёта" in page
    assert 'исправлено, было: <s class="words">с расчётного счёта</s>' in page
    assert "клиент удалил сообщение" in page
