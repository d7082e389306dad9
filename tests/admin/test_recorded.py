"""Requests that staff wrote down from a call: marked «со слов» wherever they are shown."""

import io
from datetime import timedelta

import pytest

from storage import recording
from storage.models import Person
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


# --- the page «Записать звонок» ----------------------------------------------------------------

FILLED = {
    "contact": "Мария", "how": "phone", "when": "час назад", "inn": "7707083893", "kind": "Консультация",
    "task": "Можно ли платить наличными?", "deadline": "до пятницы",
}  # fmt: skip


@pytest.fixture
def maria(office):
    """The first client's person has agreed in their chat."""
    with office.database.begin() as session:
        person = session.get_one(Person, office.speakers[0])
        person.name, person.consent_version = "Мария", office.house.consent_version
    return office.speakers[0]


def test_a_call_is_written_down_on_one_page(office, maria):
    browser = office.browser("controller")
    page = browser.page("/panel/recording/")
    assert '<option value="Оплатить счёт">' in page
    files = {"files": (io.BytesIO(b"%PDF-1.4\n%%EOF\n"), "счёт.pdf")}
    answer = browser.send("/panel/recording/", follow=True, **FILLED, **files)
    assert "Записана заявка № 1." in answer.get_data(as_text=True)
    request = office.request(1)
    assert (request.person_id, request.channel, request.recorded_by) == (
        maria, "phone", office.staff["controller"]
    )  # fmt: skip
    assert office.clock - request.submitted_at == timedelta(hours=1)
    assert "счёт.pdf" in request.answers["files"]
    assert office.woken == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"inn": "7707083894"}, "опечатка"),
        ({"inn": "9999999994"}, "В ИНН"),
        ({"inn": "Ромашка и партнёры"}, "Пришлите ИНН"),
        ({"inn": "7702070139"}, "В названии нет ни одной буквы"),
        ({"deadline": ""}, "Не поняли срок."),
        ({"task": ""}, "Напишите"),
        ({"when": "завтра"}, "Не получилось понять время"),
        ({"contact": "Зоя, +7 916 123-45-67"}, "Без согласия имя и телефон не записываем."),
        ({"contact": "Зоя", "consent": "1"}, "Не хватает телефона"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_kept(office, maria, changed, told):
    people = len(office.all(Person))
    answer = office.browser("anna").send("/panel/recording/", **(FILLED | changed))
    page = answer.get_data(as_text=True)
    assert (answer.status_code, told in page) == (422, True), page
    assert "Можно ли платить наличными?" in page or "task" in changed
    assert len(office.all(Person)) == people


def test_consent_heard_and_no_contact_at_all(office, maria):
    browser = office.browser("anna")
    new = FILLED | {"contact": "Зоя, 8 916 123 45 67", "consent": "1", "inn": "7702070139 ООО «Новая»"}
    browser.send("/panel/recording/", **new)
    browser.send("/panel/recording/", **(FILLED | {"contact": ""}))
    names = {person.id: person.name for person in office.all(Person)}
    assert [names[office.request(number).person_id] for number in (1, 2)] == ["Зоя", recording.NO_CONTACT]
    assert office.request(1).company == "ООО «Новая»"


def test_a_page_of_the_list_leads_there_for_everybody_but_the_administrator(office):
    assert office.browser("admin").get("/panel/recording/").status_code == 403
    assert 'href="/panel/recording/"' in office.browser("lawyer").page("/panel/")
