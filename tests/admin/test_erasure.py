"""Deleting from the panel: who may, what is shown before, and the two confirmations."""

import re
from datetime import timedelta

import pytest

from storage import casework, erasure
from storage.models import Client, History, Person, Request


@pytest.fixture
def past(busy):
    """The office, a client whose requests are all closed, and its person."""
    office, _numbers = busy
    with office.database.begin() as session:
        for row in office.all(Request, client_id=office.clients[1]):
            if row.status not in ("closed", "cancelled"):
                casework.cancel(
                    session, office.house, office.who("director"), row.id, "передумали", office.clock
                )
    return office, f"/panel/erasure/client/{office.clients[1]}/person/{office.speakers[1]}"


def token_on(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found, page
    return found.group(1)


def test_a_person_is_erased_after_two_confirmations(past):
    office, path = past
    browser = office.browser("director")
    page = browser.page(path)
    assert "Будет удалено" in page
    assert "402-ФЗ" in page
    token = token_on(browser.send(path, sure="1").get_data(as_text=True))
    answer = browser.send(path, token=token, typed="  клиент   1 ", follow=True)
    assert "Данные удалены" in answer.get_data(as_text=True)
    assert office.all(Person, id=office.speakers[1])[0].name == erasure.ERASED
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize(
    ("form", "status"),
    [({}, 400), ({"sure": "0"}, 400), ({"token": "forged", "typed": "Клиент 1"}, 409)],
    ids=["nothing", "unticked", "forged"],
)
def test_one_confirmation_is_not_enough(past, form, status):
    office, path = past
    assert office.browser("director").send(path, **form).status_code == status
    assert office.all(Person, id=office.speakers[1])[0].name == "Клиент 1"


def test_the_name_must_be_typed(past):
    office, path = past
    browser = office.browser("admin")
    token = token_on(browser.send(path, sure="1").get_data(as_text=True))
    answer = browser.send(path, token=token, typed="Клиент 2")
    assert answer.status_code == 422
    assert token_on(answer.get_data(as_text=True)) == token
    assert office.all(Person, id=office.speakers[1])[0].name == "Клиент 1"


def test_a_confirmation_is_good_for_ten_minutes_for_one_person_by_one_person(past):
    office, path = past
    director, admin = office.browser("director"), office.browser("admin")
    token = token_on(director.send(path, sure="1").get_data(as_text=True))
    client = f"/panel/erasure/client/{office.clients[1]}"
    assert admin.send(path, token=token, typed="Клиент 1").status_code == 409
    assert director.send(client, token=token, typed="ИП Ветров Пётр").status_code == 409
    office.clock += timedelta(minutes=11)
    assert director.send(path, token=token, typed="Клиент 1").status_code == 409
    assert office.all(Person, id=office.speakers[1])[0].name == "Клиент 1"


def test_open_requests_are_named_and_refuse(busy):
    office, numbers = busy
    path = f"/panel/erasure/client/{office.clients[0]}/person/{office.speakers[0]}"
    browser = office.browser("director")
    page = browser.page(path)
    assert f"№ {numbers['working']}" in page
    assert 'name="sure"' not in page
    token = token_on(browser.send(path, sure="1").get_data(as_text=True))
    assert browser.send(path, token=token, typed="Клиент 0").status_code == 409
    assert office.all(Person, id=office.speakers[0])[0].name == "Клиент 0"


def test_a_bare_client_is_deleted_by_its_name_in_any_quotes(office):
    with office.database.begin() as session:
        client = Client(name="ООО «Пусто»", inn="7736050010", created_at=office.clock)
        session.add(client)
        session.flush()
        path = f"/panel/erasure/client/{client.id}"
    browser = office.browser("director")
    token = token_on(browser.send(path, sure="1").get_data(as_text=True))
    answer = browser.send(path, token=token, typed='ооо "пусто"')
    assert answer.headers["Location"] == "/panel/clients/"
    assert not office.all(Client, inn="7736050010")
    assert office.all(History)[-1].action == "client_deleted"


def test_a_client_with_requests_says_why_it_stays(busy):
    office, _numbers = busy
    page = office.browser("director").page(f"/panel/erasure/client/{office.clients[0]}")
    assert "удалить нельзя" in page
    assert "Клиент 0" in page
    assert 'name="sure"' not in page


@pytest.mark.parametrize("name", ["deputy", "controller", "anna", "lawyer"])
def test_nobody_else_may(past, name):
    office, path = past
    browser = office.browser(name)
    for each in (path, f"/panel/erasure/client/{office.clients[1]}"):
        assert browser.get(each).status_code == 403
        assert browser.send(each, sure="1").status_code == 403
    if name in ("deputy", "controller"):
        assert "/panel/erasure/" not in browser.page(f"/panel/clients/{office.clients[1]}/")


@pytest.mark.parametrize("other", ["client", "staff", "nobody", "huge"])
def test_a_person_is_found_only_at_their_client(busy, other):
    office, _numbers = busy
    person = {
        "client": office.speakers[0], "staff": office.persons["anna"], "nobody": 99999, "huge": 10**25,
    }[other]  # fmt: skip
    path = f"/panel/erasure/client/{office.clients[1]}/person/{person}"
    assert office.browser("director").get(path).status_code == 404


def test_the_administrator_sees_counts_and_no_words(past):
    office, path = past
    page = office.browser("admin").page(path)
    assert "сообщений" in page
    assert "УПД" not in page
