"""Consent, codes, and what is known of somebody who has not agreed."""

import pytest

from storage.models import Consent, Message, Person
from tests.client import Talker
from tests.dialogue.samples import PDF


async def test_a_stranger_agrees_and_is_asked_for_the_company(town):
    maria = town.newcomer()
    await maria.says("/start")
    maria.sees(
        "Здравствуйте! Это приёмная «Баланс Актив»", "https://example.org/consent", "Версия 3",
        buttons=["Согласен", "Не согласен"],
    )  # fmt: skip
    await maria.presses("Согласен")
    maria.sees("Пришлите ИНН", buttons=[])
    [consent] = town.rows(Consent)
    assert (consent.version, len(consent.text_sha256)) == ("3", 64)


@pytest.mark.parametrize("word", ["согласен", "Согласна!", "да", "1"])
async def test_agreement_may_be_typed(town, word):
    maria = town.newcomer()
    await maria.says_all("/start", word)
    maria.sees("Пришлите ИНН")


@pytest.mark.parametrize("word", ["Не согласен", "нет", "2"])
async def test_a_refusal_is_respected_and_a_phone_is_offered(town, word):
    maria = town.newcomer()
    await maria.says_all("/start", word)
    maria.sees("без согласия ничего не записываем", "+7 495 000-00-00", buttons=["Согласен", "Не согласен"])
    assert "Позвать человека" in maria.latest[-1].labels
    await maria.says("Позвать человека")
    maria.sees("+7 495 000-00-00", buttons=["Согласен", "Не согласен"])
    assert "Позвать человека" in maria.latest[-1].labels
    await maria.says("Согласен")
    maria.sees("Пришлите ИНН")


async def test_nothing_personal_is_stored_before_consent(town):
    maria = town.newcomer(key="maria-chat", name="Мария Кузнецова")
    await maria.says_all(
        "Добрый день", "Я Мария, мой ИНН 500100732259, оплатите аренду", "/human", "Не согласен"
    )
    await maria.sends_files({"паспорт.pdf": PDF}, caption="вот мой паспорт")
    await maria.sends_contact("+79161234567")
    await maria.sends_other("геопозиция")
    await maria.edits("Я Мария Кузнецова")
    stored = town.everything_stored()
    for word in ("Мария", "Кузнецова", "500100732259", "аренду", "паспорт", "9161234567"):
        assert word not in stored, word
    assert len(town.rows(Person)) == 1, "Anna alone"
    assert not [path for path in town.store.folder.rglob("*") if path.is_file()]


async def test_words_before_consent_are_to_be_sent_again(town):
    maria = town.newcomer()
    await maria.says("Оплатите счёт от ООО Свет")
    maria.sees("Здравствуйте!", "своё сообщение потом пришлите ещё раз")
    boris = Talker(town, "boris", "Борис")
    await boris.says("Добрый день")
    boris.sees("Здравствуйте!")
    boris.sees_not("ещё раз")


async def test_a_person_can_be_called_before_consent(town):
    maria = town.newcomer()
    await maria.says("/start")
    await maria.presses("Позвать человека")
    maria.sees("Позвоните нам: +7 495 000-00-00", "ответьте «Согласен»")


async def test_a_new_version_asks_again_and_goes_on(town, maria):
    await maria.says("7707083893")
    town.new_consent("4")
    await maria.says("Оплатить счёт")
    maria.sees("изменился", "Версия 4", buttons=["Согласен", "Не согласен"])
    await maria.says("Согласен")
    maria.sees("ООО «Ромашка»", "Что нужно сделать?")
    assert [consent.version for consent in town.rows(Consent)] == ["3", "4"]


async def test_an_old_consent_button_says_so(town, maria):
    await maria.says("7707083893")
    await maria.presses("Согласен")
    maria.sees("Согласие уже есть", "Что нужно сделать?")


async def test_a_bad_code_is_answered_once(town):
    maria = town.newcomer()
    await maria.starts("AAAAA-BBBBB-CCCCC-DDDDD")
    maria.sees("Код не подошёл", "Здравствуйте!", buttons=["Согласен", "Не согласен"])


async def test_a_bad_code_does_not_disturb_the_form(town, maria):
    await maria.says("7707083893")
    await maria.starts("AAAAA-BBBBB-CCCCC-DDDDD")
    maria.sees("Код не подошёл", "Что нужно сделать?")


async def test_codes_cannot_be_guessed_for_long(town):
    maria = town.newcomer()
    for _attempt in range(6):
        await maria.starts("AAAAA-BBBBB-CCCCC-DDDDD")
    maria.sees("Слишком много неверных кодов", "Здравствуйте!")


async def test_an_invited_client_is_not_asked_for_the_company(town):
    code = town.invite_client("7707083893")
    olga = town.newcomer(key="olga", name="Оля")
    await olga.starts(code)
    olga.sees("Здравствуйте!")
    await olga.says("Согласен")
    olga.sees("ООО «Ромашка», ИНН 7707083893. Что нужно сделать?")


@pytest.mark.parametrize("typed", ["/start {}", " /start   {} ", "/start@priem_bot {}"])
async def test_a_code_may_be_typed(town, typed):
    olga = town.newcomer(key="olga", name="Оля")
    await olga.says(typed.format(town.invite_client("7707083893")))
    await olga.says("Согласен")
    olga.sees("ООО «Ромашка», ИНН 7707083893. Что нужно сделать?")


async def test_a_used_code_opens_nothing(town):
    code = town.invite_client("7707083893")
    await town.newcomer(key="olga").starts(code)
    thief = town.newcomer(key="thief")
    await thief.starts(code)
    thief.sees("Код не подошёл")


async def test_staff_with_a_bad_code_stay_staff(town):
    anna = Talker(town, "staff-Анна Петрова", "Анна Петрова")
    await anna.starts("AAAAA-BBBBB-CCCCC-DDDDD")
    assert "Код не подошёл" in anna.last.text


async def test_what_is_said_after_consent_is_kept(town, maria):
    await maria.says("7707083893")
    assert [row.text for row in town.rows(Message)] == ["7707083893"]
