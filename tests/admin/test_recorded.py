"""Requests that staff wrote down from a call: marked «со слов» wherever they are shown."""

from datetime import timedelta

import pytest

from storage import recording
from storage.recording import How, Spoken


@pytest.fixture
def recorded(office):
    """A call that Anna wrote down; returns its number."""
    number = office.submit(0)
    answers = dict(office.request(number).answers)
    spoken = Spoken(How.PHONE, office.clock - timedelta(minutes=40), office.speakers[0])
    with office.database.begin() as session:
        kept = recording.keep(
            session, office.house, office.who("anna"), spoken, answers, office.clock, office.clock
        )
    return kept.number


def test_the_mark_stands_in_the_list_and_on_the_page_until_the_client_agrees(office, recorded):
    browser = office.browser("director")
    assert browser.page("/panel/requests/").count("со слов</span>") == 1
    page = browser.page(f"/panel/requests/{recorded}/")
    assert "со слов</span>" in page
    assert "со слов записал сотрудник: Анна Петрова; клиент ещё не подтвердил" in page
    assert "· телефон" in page
    answer = browser.send(
        f"/panel/requests/{recorded}/confirm", follow=True, version=str(office.request(recorded).version)
    )
    page = answer.get_data(as_text=True)
    assert "Отмечено: клиент подтвердил запись по телефону." in page
    assert "со слов</span>" not in page
    assert "клиент подтвердил <time" in page
    assert "/confirm" not in page
    assert "со слов</span>" not in browser.page("/panel/requests/")


def test_a_second_confirmation_is_refused_in_words(office, recorded):
    browser = office.browser("director")
    browser.send(f"/panel/requests/{recorded}/confirm", version="1")
    answer = browser.send(f"/panel/requests/{recorded}/confirm", version="1")
    assert answer.status_code == 422
    assert "Эта запись уже подтверждена" in answer.get_data(as_text=True)


def test_a_reader_may_not_confirm(office, recorded):
    assert office.browser("controller").send(f"/panel/requests/{recorded}/confirm").status_code == 403
    assert office.request(recorded).confirmed_at is None


def test_calls_can_be_found_by_where_they_came_from(office, recorded):
    browser = office.browser("director")
    page = browser.page("/panel/requests/?channel=phone")
    assert f"/panel/requests/{recorded}/" in page
    assert '<option value="phone" selected>телефон</option>' in page
