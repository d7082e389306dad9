"""The page of a request and the board offer the same steps to the same people, in every state."""

import re

import pytest

from storage import casework
from storage.models import Letter
from tests.admin.office import Office

BY_STEP = {
    "to": {"reassign", "hand_on"},
    "new": {"decline", "reassign"},
    "accepted": {"accept", "reopen"},
    "waiting_client": {"clarify"},
    "done": {"done"},
}
OF_THE_BOARD = {"accept", "decline", "clarify", "reassign", "hand_on", "done", "reopen"}


def in_state(office: Office, state: str) -> int:
    number = office.submit()
    office.give(number, "anna")
    with office.database.begin() as session:
        house, anna, now = office.house, office.who("anna"), office.clock
        if state == "new":
            casework.reassign(session, house, office.who("director"), number, None, "", now)
            return number
        if state != "assigned":
            casework.accept(session, house, anna, number, now)
        if state == "waiting":
            casework.clarify(session, house, anna, number, "task", "Какой счёт?", now)
        if state == "outside":
            casework.wait_outside(session, house, anna, number, "банк", now)
        if state == "done":
            casework.done(session, house, anna, number, "Готово", (), now)
    return number


@pytest.mark.parametrize("who", ["anna", "director", "deputy", "controller"])
@pytest.mark.parametrize("state", ["new", "assigned", "accepted", "waiting", "outside", "done"])
def test_what_the_board_offers_the_page_offers_too(office, state, who):
    number = in_state(office, state)
    browser = office.browser(who)
    if browser.get(f"/panel/requests/{number}/").status_code == 404:
        return
    page = set(re.findall(rf"/panel/requests/{number}/(\w+)\"", browser.page(f"/panel/requests/{number}/")))
    answer = browser.get(f"/panel/board/{number}/move")
    values = re.findall(r'value="(?:column:)?(\w+)(?::\d+)?"', answer.get_data(as_text=True))
    board = [BY_STEP[value] for value in set(values) if value in BY_STEP]
    for deeds in board:
        assert page & deeds, deeds
    # The client who was asked can be asked again from the page: on the board the card stays where it is.
    known = set().union(*board) | ({"clarify"} if state in ("waiting", "outside") else set())
    assert page & OF_THE_BOARD <= known


def test_a_deadline_is_moved_in_words_and_the_client_reads_why(office):
    number = in_state(office, "accepted")
    director, path = office.browser("director"), f"/panel/requests/{number}/"
    version = office.request(number).version
    before = office.request(number).deadline
    for deadline, reason, told in (
        ("вчера", "ждём банк", "уже прошло"),
        ("до пятницы", "", "Напишите причину"),
        ("ой", "ждём банк", "Не поняли срок"),
    ):
        refused = director.send(f"{path}deadline", version=version, deadline=deadline, reason=reason)
        assert refused.status_code == 422
        assert told in refused.get_data(as_text=True)
    assert office.request(number).deadline == before
    moved = director.send(f"{path}deadline", version=version, deadline="30.11 до 15:00", reason="ждём банк")
    assert moved.status_code == 302
    request = office.request(number)
    assert request.deadline.astimezone(office.house.calendar.zone).strftime("%d.%m %H:%M") == "30.11 15:00"
    letters = [row for row in office.all(Letter) if row.key.startswith(f"request:{number}:")]
    (told,) = [row.text for row in letters if ":deadline:client" in row.key]
    assert "срок перенесли" in told
    assert "Причина: ждём банк" in told
    assert "30 ноября" in told
    assert [row for row in letters if ":deadline-staff:" in row.key]
    assert director.send(f"{path}deadline", version=version, deadline="завтра", reason="а").status_code == 409
    assert "срок перенесли" in director.page(path)


def test_another_accountant_moves_no_deadline(office):
    number = in_state(office, "accepted")
    path = f"/panel/requests/{number}/deadline"
    assert office.browser("boris").send(path, version=1, deadline="завтра", reason="а").status_code == 404
    version = office.request(number).version
    sent = office.browser("anna").send(path, version=version, deadline="завтра до 12:00", reason="жду акт")
    assert sent.status_code == 302


def test_a_director_closes_what_is_done_and_the_client_may_object(office):
    number = in_state(office, "done")
    path = f"/panel/requests/{number}/close"
    version = office.request(number).version
    assert office.browser("anna").send(path, version=version).status_code == 404
    assert office.request(number).status == "done"
    assert office.browser("director").send(path, version=version).status_code == 302
    assert office.request(number).status == "closed"
    assert any(":closed:client" in row.key for row in office.all(Letter))
    assert office.browser("director").send(path, version=version).status_code == 409


def test_an_assignee_declines_and_a_director_takes_up_again(office):
    number = in_state(office, "assigned")
    anna, path = office.browser("anna"), f"/panel/requests/{number}/"
    version = office.request(number).version
    assert anna.send(f"{path}decline", version=version).status_code == 422
    assert anna.send(f"{path}decline", version=version, reason="Завал до завтра").status_code == 302
    assert office.request(number).assignee_id != office.staff["anna"]

    number = in_state(office, "done")
    director, path = office.browser("director"), f"/panel/requests/{number}/"
    stale = office.request(number).version - 1
    assert director.send(f"{path}reopen", version=stale, reason="Не та сумма").status_code == 409
    assert office.request(number).status == "done"
    version = office.request(number).version
    assert director.send(f"{path}reopen", version=version, reason="Не та сумма").status_code == 302
    assert office.request(number).status == "accepted"


@pytest.mark.parametrize("who", ["director", "controller"])
def test_nobody_declines_for_another(office, who):
    number = in_state(office, "assigned")
    answer = office.browser(who).send(f"/panel/requests/{number}/decline", version=1, reason="x")
    assert answer.status_code in (403, 404)
    assert office.browser("anna").send(f"/panel/requests/{number}/reopen", version=1).status_code == 404


def test_a_director_takes_what_is_nobodys_and_nothing_else(office):
    number, director = in_state(office, "new"), office.browser("director")
    version = office.request(number).version
    assert director.send(f"/panel/requests/{number}/accept", version=version).status_code == 302
    assert office.request(number).assignee_id == office.staff["director"]
    number = in_state(office, "assigned")
    version = office.request(number).version
    assert director.send(f"/panel/requests/{number}/accept", version=version).status_code == 404
