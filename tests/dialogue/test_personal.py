"""What clients ask about their data: the consent taken back, what is kept told by a person."""

import pytest

from router.model import Role
from storage import history
from storage.models import Consent, ConsentText, History, Letter, Message, Person
from tests.dialogue.paths import submits


@pytest.mark.parametrize(
    "words", ["отозвать согласие", "Отзываю согласие на обработку персональных данных", "withdraw my consent"]
)
async def test_a_consent_is_taken_back_after_one_question(town, maria, words):
    await submits(maria)
    await maria.says_all("/new", words)
    maria.sees("Отозвать согласие на обработку ваших данных?", "№ 1", buttons=["Да, отозвать", "Оставить"])
    await maria.presses("Да, отозвать")
    maria.sees("Согласие отозвано.", "№ 1", "с вами свяжется человек", buttons=["Согласен", "Не согласен"])
    assert "Позвать человека" in maria.latest[-1].labels
    (given,) = town.rows(Consent)
    assert given.withdrawn_at is not None
    assert "draft:" not in town.everything_stored()
    with town.database.read() as session:
        assert session.get_one(ConsentText, given.text_sha256).text == town.house.consent_text
        assert history.verify(session).ok
    assert town.rows(History)[-1].action == "consent_withdrawn"


async def test_nothing_is_kept_afterwards_until_they_agree_again(town, maria):
    await submits(maria)
    await maria.says("отозвать согласие")
    await maria.presses("Да, отозвать")
    before = len(town.rows(Message))
    await maria.says("Тайное слово")
    maria.sees("Вы согласны?")
    assert len(town.rows(Message)) == before
    assert "Тайное" not in " ".join(row.text for row in town.rows(Letter))
    await maria.presses("Согласен")
    maria.sees("ИНН")
    assert [row.withdrawn_at is None for row in town.rows(Consent)] == [False, True]


async def test_it_may_stay(town, maria):
    await submits(maria)
    await maria.says("отозвать согласие")
    await maria.presses("Оставить")
    maria.sees("Согласие уже есть")
    (given,) = town.rows(Consent)
    assert given.withdrawn_at is None


async def test_a_task_that_speaks_of_a_consent_is_a_task(town, maria):
    await submits(maria)
    await maria.says("Подготовьте бланк, чтобы работник мог отозвать согласие на удержание")
    maria.sees("Добавили к заявке № 1")
    (given,) = town.rows(Consent)
    assert given.withdrawn_at is None


@pytest.mark.parametrize("words", ["мои данные", "Какие данные обо мне вы храните?", "my data"])
async def test_what_is_kept_is_told_by_a_person_in_time(town, maria, words):
    await submits(maria)
    await maria.says_all("Отмена", words)
    maria.sees("Просьбу передали. Покажем всё, что о вас храним, не позже ")
    assert town.rows(History)[-1].action == "data_asked"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["отозвать согласие", "Да, отозвать"], "согласие на обработку данных отозвано"),
        (["мои данные"], "просит показать, какие данные"),
    ],
    ids=["withdrawn", "asked"],
)
async def test_those_in_charge_hear_of_it(town, maria, words, told):
    await town.staff("Елена Дирова", Role.DIRECTOR)
    await submits(maria)
    await maria.says_all(*words)
    director = next(row.id for row in town.rows(Person) if row.name == "Елена Дирова")
    heard = [row.text for row in town.rows(Letter) if row.person_id == director]
    assert "Мария" in heard[-1]
    assert told in heard[-1]
