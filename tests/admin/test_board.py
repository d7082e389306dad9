"""The board without scripts: what it shows to whom, and the form «Перенести»."""

import re
from datetime import timedelta

import pytest

from storage import casework, paging
from storage.models import History

JSON = {"Accept": "application/json"}


def cells(html):
    """The numbers in each column, by the column's name (and the lane's number)."""
    found = {}
    for cell in re.findall(r'<div class="stack(?: |").*?</ol>', html, re.DOTALL):
        column = re.search(r'data-column="(\w+)"', cell)
        lane = re.search(r'data-lane="(\d+)"', cell)
        if column:
            key = column.group(1) if lane is None else (column.group(1), int(lane.group(1)))
            found[key] = [int(number) for number in re.findall(r'data-card="(\d+)"', cell)]
    return found


def test_every_open_request_stands_in_the_column_of_its_state(busy):
    office, numbers = busy
    found = cells(office.browser("director").page("/panel/board/"))
    assert list(found) == ["new", "assigned", "accepted", "waiting_client", "done"]
    assert found["new"] == [numbers["unassigned"]]
    assert found["accepted"] == [numbers["working"]]
    assert found["waiting_client"] == [numbers["waiting"]]
    assert numbers["late"] in found["assigned"]
    assert numbers["past"] not in found["done"], "closed ones are off the board"


def test_lanes_are_the_people_and_nobody(busy):
    office, numbers = busy
    found = cells(office.browser("director").page("/panel/board/?lanes=1"))
    anna, boris = office.staff["anna"], office.staff["boris"]
    assert found["accepted", anna] == [numbers["working"]]
    assert found["waiting_client", boris] == [numbers["waiting"]]
    assert found["new", 0] == [numbers["unassigned"]]
    assert found["assigned", office.staff["lawyer"]] == []
    assert ("new", anna) not in found, "a person has no new ones"
    assert ("done", 0) not in found, "nobody has nothing but new ones"


def test_an_accountant_sees_their_own_cards_and_no_lanes(busy):
    office, numbers = busy
    page = office.browser("anna").page("/panel/board/?lanes=1")
    shown = [number for column in cells(page).values() for number in column]
    assert numbers["working"] in shown
    assert not {numbers["waiting"], numbers["late"], numbers["unassigned"]} & set(shown)
    assert "Борис" not in page


def test_who_only_reads_is_offered_no_move(busy):
    office, numbers = busy
    browser = office.browser("controller")
    page = browser.page("/panel/board/")
    assert f'data-card="{numbers["working"]}"' in page
    assert "data-grip" not in page
    assert "board.js" not in page
    assert browser.get(f"/panel/board/{numbers['working']}/move").status_code == 403


def test_a_long_column_is_cut_with_a_link_to_the_rest(busy, monkeypatch):
    office, _numbers = busy
    monkeypatch.setattr(paging, "PAGE_ROWS", 1)
    for path in ("/panel/board/", "/panel/board/?lanes=1"):
        page = office.browser("director").page(path)
        assert re.search(r'href="/panel/requests/\?status=assigned[^"]*">ещё 1<', page), path


def test_overdue_and_endangered_are_marked_in_words(busy):
    office, _numbers = busy
    page = office.browser("director").page("/panel/board/")
    assert "— просрочена" in page
    assert "— под угрозой" in page


def test_the_form_offers_only_what_can_be_done(busy):
    office, numbers = busy
    page = office.browser("anna").page(f"/panel/board/{numbers['working']}/move")
    offered = re.findall(r'<option value="((?:column|to):[^"]+)"', page)
    people = {f"to:{office.staff[name]}" for name in ("boris", "lawyer")}
    assert set(offered) == {"column:new", "column:waiting_client", "column:done"} | people
    page = office.browser("director").page(f"/panel/board/{numbers['unassigned']}/move")
    offered = set(re.findall(r'<option value="((?:column|to):[^"]+)"', page))
    assert offered == {"column:accepted", *people, f"to:{office.staff['anna']}"}


def test_the_form_moves_without_scripts(busy):
    office, numbers = busy
    number, browser = numbers["late"], office.browser("director")
    answer = browser.send(
        f"/panel/board/{number}/move",
        follow=True,
        target=f"to:{office.staff['anna']}",
        version=office.request(number).version,
        words="помогите Борису",
    )
    assert "Передано." in answer.get_data(as_text=True)
    assert office.request(number).assignee_id == office.staff["anna"]
    line = office.all(History, subject=f"request:{number}")[-1]
    assert (line.action, line.through) == ("reassigned", "panel")
    assert "помогите Борису" in line.after
    assert office.woken == 1


def test_a_result_is_asked_for_and_what_was_typed_stays(busy):
    office, numbers = busy
    number, browser = numbers["working"], office.browser("anna")
    version = office.request(number).version
    answer = browser.send(f"/panel/board/{number}/move", target="column:done", version=version, words=" ")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "Напишите клиенту, что сделано." in page
    assert re.search(r'value="column:done"[^>]* selected', page)
    answer = browser.send(
        f"/panel/board/{number}/move", target="column:done", version=version, words="Оплачено сегодня"
    )
    assert answer.status_code == 302
    assert (office.request(number).status, office.request(number).result) == ("done", "Оплачено сегодня")


def test_the_client_is_asked_from_the_board(busy):
    office, numbers = busy
    number = numbers["working"]
    answer = office.browser("anna").client.post(
        f"/panel/board/{number}/move",
        headers=JSON,
        data={
            "csrf_token": "token-of-the-test", "target": "column:waiting_client", "field": "deadline",
            "words": "Можно завтра?", "version": office.request(number).version,
        },
    )  # fmt: skip
    assert answer.get_json() == {"text": "Вопрос уйдёт клиенту."}
    assert (office.request(number).status, office.request(number).question) == ("waiting_client", "deadline")


def script(browser, number, **fields):
    """What the board's script sends when a card is dropped."""
    return browser.client.post(
        f"/panel/board/{number}/move", headers=JSON, data={"csrf_token": "token-of-the-test", **fields}
    )


@pytest.mark.parametrize(
    ("name", "key", "target", "said"),
    [
        ("director", "waiting", "column:accepted", "Клиент ещё не ответил."),
        ("director", "unassigned", "column:done", "Сейчас этого сделать нельзя."),
        ("director", "working", "column:assigned", "Назначают кому-то"),
        ("director", "working", "to:999", "Этому сотруднику передать нельзя"),
        ("director", "working", "nowhere", "Выберите, куда перенести."),
        ("director", "working", "column:closed", "Выберите, куда перенести."),
        ("anna", "working", "column:new", "почему отказываетесь"),
    ],
)
def test_a_forbidden_move_says_why(busy, name, key, target, said):
    office, numbers = busy
    number = numbers[key]
    version = office.request(number).version
    answer = script(office.browser(name), number, target=target, version=version)
    assert answer.status_code == 422
    assert said in answer.get_json()["text"]
    assert office.request(number).version == version
    assert office.woken == 0


def test_somebody_elses_card_is_not_found(busy):
    office, numbers = busy
    for answer in (
        office.browser("anna").get(f"/panel/board/{numbers['waiting']}/move"),
        script(office.browser("anna"), numbers["waiting"], target="column:done", version="1", words="x"),
        office.browser("director").get("/panel/board/99999/move"),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        (
            lambda office, number, session: casework.reassign(
                session, office.house, office.who("deputy"), number, office.staff["lawyer"], "", office.clock
            ),
            "Пока вы переносили, Олег Замов передал(а) заявку № {number}. Исполнитель: Вера Юристова.",
        ),
        (
            lambda office, number, session: casework.done(
                session, office.house, office.who("anna"), number, "Готово", (), office.clock
            ),
            "Пока вы переносили, Анна Петрова выполнил(а) заявку (№ {number}).",
        ),
        (
            lambda office, number, session: casework.cancel(
                session, office.house, office.who("deputy"), number, "не нужно", office.clock
            ),
            "Пока вы переносили, Олег Замов отменил(а) заявку (№ {number}).",
        ),
    ],
    ids=["given away", "done", "cancelled"],
)
def test_the_second_of_two_learns_what_happened(busy, meanwhile, said):
    office, numbers = busy
    number, browser = numbers["working"], office.browser("director")
    seen = office.request(number).version
    with office.database.begin() as session:
        meanwhile(office, number, session)
    after = office.request(number)
    answer = script(browser, number, target=f"to:{office.staff['boris']}", version=seen)
    assert answer.status_code == 409
    assert answer.get_json()["text"].startswith(said.format(number=number))
    part = browser.get(f"/panel/board/{number}/move?part=1&version={seen}", headers=JSON)
    assert part.status_code == 409
    assert part.get_json() == answer.get_json()
    told = browser.send(
        f"/panel/board/{number}/move", follow=True, target=f"to:{office.staff['boris']}", version=seen
    )
    assert said.format(number=number) in told.get_data(as_text=True)
    assert office.request(number) == after


def test_the_board_is_sent_again_only_when_it_has_changed(busy):
    office, numbers = busy
    for lanes in ("", "?lanes=1"):
        browser = office.browser("director")
        tag = re.search(r'data-live-tag="(\w+)"', browser.page(f"/panel/board/{lanes}")).group(1)
        same = {"If-None-Match": f'"{tag}"'}
        assert browser.get(f"/panel/board/cards{lanes}", headers=same).status_code == 304
        office.clock += timedelta(seconds=10)
        assert browser.get(f"/panel/board/cards{lanes}", headers=same).status_code == 304
        with office.database.begin() as session:
            casework.note(
                session, office.house, office.who("anna"), numbers["working"], "x", (), office.clock
            )
        news = browser.get(f"/panel/board/cards{lanes}", headers=same)
        assert news.status_code == 200, "a card's version is part of it"
        assert "<form" not in news.get_data(as_text=True)
