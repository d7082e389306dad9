"""Answers under their names fill the form in one go; a letter asks for everything at once."""

from dataclasses import replace

import pytest

from forms.freetext import agreed, labelled
from forms.messages import FileRole, InboundKind
from storage.models import Consent, Message
from tests.client import Talker
from tests.dialogue.samples import PDF, PHOTO

LETTER = "ИНН: 7707083893\nЧто сделать: оплатить счёт 15 от ООО «Свет» на 12 345 ₽\nСрок: до пятницы"


@pytest.fixture
def by_letter(town):
    """The messenger is one whose chats are e-mail addresses."""
    town.house = replace(town.house, email_channel=town.channel)
    return town


@pytest.fixture
async def olga(by_letter):
    """Somebody who writes letters and has agreed."""
    return await by_letter.client(key="olga", name="Ольга")


# --- in every messenger ------------------------------------------------------------------------


async def test_a_first_message_under_names_leaves_only_the_files(town, maria):
    await maria.says(LETTER)
    maria.sees("пятница, 27 ноября", "Приложите файлы", buttons=["Готово", "Пропустить"])
    await maria.says_all("Готово", "Отправить")
    request = town.request(1)
    assert (request.kind, request.task) == ("pay", "оплатить счёт 15 от ООО «Свет» на 12 345 ₽")


@pytest.mark.parametrize(
    ("said", "asks"),
    [
        ("Компания: 7707083893\nСрок: завтра", "Что нужно сделать?"),
        ("- ИНН: 7707083893\n- Задача: консультация, можно ли платить наличными?", "К какому сроку?"),
        ("1) Срок: до пятницы\n2) Что нужно: сверка с ООО Свет", "ИНН"),
        ("ИНН:\n7707083893\nЧто сделать:\nсверка за март\nи за апрель", "К какому сроку?"),
        ("ИНН: 7707083893", "Что нужно сделать?"),
    ],
    ids=["company and deadline", "dashes", "numbers, any order", "answers below", "one name alone"],
)
async def test_what_is_missing_is_asked(maria, said, asks):
    await maria.says(said)
    maria.sees(asks)


async def test_mistakes_are_told_together_and_the_rest_is_kept(maria):
    await maria.says("ИНН: 77070838931\nЧто сделать: сверка за март\nСрок: как обычно")
    maria.sees("Компания и ИНН: ", "77070838931", "Срок: ", "Пришлите ИНН")
    await maria.says("7707083893")
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово")
    maria.sees("Что сделать: ", "сверка за март", buttons=["Отправить", "Изменить"])


async def test_words_under_no_name_are_not_lost(maria):
    await maria.says(f"Добрый день!\n{LETTER}\nДеньги придут только в четверг.\nСпасибо")
    maria.sees("Дописали в задачу: «Деньги придут только в четверг.»")


async def test_a_name_before_an_answer_at_the_summary_changes_it(maria):
    await maria.says_all(LETTER, "Готово", "Срок: завтра")
    maria.sees("Срок: четверг, 26 ноября", buttons=["Отправить", "Изменить"])


async def test_a_colon_alone_is_no_name(maria):
    await maria.says_all("7707083893", "Консультация", "Подскажите: можно ли платить наличными?")
    maria.sees("К какому сроку?")


async def test_a_new_name_of_a_company_comes_with_its_inn(maria):
    await maria.says("ИНН: 500100732259\nНазвание: ИП Волков\nЧто сделать: сверка за март\nСрок: завтра")
    maria.sees("Приложите файлы")
    await maria.says("Готово")
    maria.sees("Компания: ИП Волков, ИНН 500100732259")


async def test_files_with_names_in_the_caption(maria):
    await maria.sends_files({"счёт.pdf": PDF}, caption=LETTER)
    maria.sees("Файлы: счёт.pdf", buttons=["Готово", "Убрать файлы"])


@pytest.mark.parametrize(
    ("words", "role", "is_taken"),
    [
        ("Готово", FileRole.IN_TEXT, False),
        ("1", FileRole.IN_TEXT, False),
        ("/status", FileRole.IN_TEXT, False),
        ("Вот счёт", FileRole.IN_TEXT, True),
        ("", FileRole.IN_TEXT, True),
        ("Готово", FileRole.PHOTO, True),
    ],
    ids=["button", "number", "command", "other words", "no words", "a photo beside the words"],
)
async def test_a_logo_below_a_pressed_word_is_no_file(by_letter, olga, words, role, is_taken):
    await olga.says("ИНН: 7707083893\nЧто сделать: сверка за март\nСрок: завтра")
    seen = await olga.sends_files({"image001.png": PHOTO}, caption=words, role=role)
    assert ("image001.png" in " ".join(seen)) is is_taken
    assert ("image001.png" in by_letter.everything_stored()) is is_taken


async def test_a_button_is_pressed_by_a_letter_with_a_logo(by_letter, olga):
    await olga.says("ИНН: 7707083893\nЧто сделать: сверка за март\nСрок: завтра")
    await olga.sends_files({"image001.png": PHOTO}, caption="Отправить", role=FileRole.IN_TEXT)
    assert by_letter.request(1).task == "сверка за март"


# --- by letter ---------------------------------------------------------------------------------


async def test_a_letter_asks_for_everything_at_once(olga):
    assert "Компания и ИНН:\nЧто сделать:\nСрок:\n" in olga.last.text
    assert "Вид работ" not in olga.last.text


async def test_one_letter_brings_the_summary_and_a_second_sends_it(by_letter, olga):
    await olga.sends_files({"счёт.pdf": PDF}, caption=LETTER)
    olga.sees("Проверьте заявку:", "счёт.pdf", buttons=["Отправить", "Изменить"])
    await olga.says("Отправить")
    assert by_letter.request(1).task.startswith("оплатить счёт 15")


async def test_the_next_letter_asks_for_what_is_missing(olga):
    await olga.says("ИНН: 7707083893\nЧто сделать:\nСрок:")
    olga.sees("Компания: ООО «Ромашка»", "Что сделать:\nСрок:")
    await olga.says("Оплатите счёт 15 от ООО «Свет»")
    olga.sees("К какому сроку?")


async def test_agreement_and_form_in_one_letter(by_letter):
    olga = by_letter.newcomer(key="olga", name="Ольга")
    await olga.says("Добрый день, нужна сверка за март")
    olga.sees("Вы согласны?", "Согласен:\nКомпания и ИНН:\nЧто сделать:\nСрок:", "пришлите ещё раз")
    await olga.says(f"Согласен: да\n{LETTER}")
    olga.sees("Проверьте заявку:", "ООО «Ромашка»")
    assert len(by_letter.rows(Consent)) == 1
    assert "сверка" not in by_letter.everything_stored()
    assert by_letter.rows(Message)[0].text == LETTER


@pytest.mark.parametrize(
    "said", ["Добрый день.\nСогласен.", "Здравствуйте, Анна!\n\nДа, согласна", "Согласен: да"]
)
async def test_a_greeting_above_the_agreement_is_no_hindrance(by_letter, said):
    olga = by_letter.newcomer(key="olga", name="Ольга")
    await olga.says(said)
    olga.sees("впишите ответы после двоеточий", "Что сделать:\nСрок:")
    assert len(by_letter.rows(Consent)) == 1
    assert not by_letter.rows(Message)


async def test_the_agreement_filled_in_again_is_no_word_of_the_task(by_letter, olga):
    await olga.says(f"Согласен: да\n{LETTER}")
    olga.sees_last("Проверьте заявку:")
    assert "Согласен" not in olga.last.text
    await olga.says("Согласен: да")
    olga.sees_last("Проверьте заявку:")
    assert "Согласен" not in olga.last.text
    await olga.says("Отправить")
    assert by_letter.request(1).task.startswith("оплатить счёт 15")
    assert "Согласен" not in by_letter.request(1).task


async def test_files_come_with_the_agreement(by_letter):
    olga = by_letter.newcomer(key="olga", name="Ольга")
    await olga.sends_files({"счёт.pdf": PDF}, caption=f"Согласна\n\n{LETTER}")
    olga.sees("Проверьте заявку:", "счёт.pdf")


@pytest.mark.parametrize(
    "said",
    ["Согласен:\n" + LETTER, "Согласен: нет\n" + LETTER, "Не согласен\n" + LETTER, LETTER],
    ids=["empty", "no", "not", "nothing said"],
)
async def test_nothing_is_kept_without_agreement(by_letter, said):
    olga = by_letter.newcomer(key="olga", name="Ольга")
    await olga.sends_files({"счёт.pdf": PDF}, caption=said)
    assert "счёт" not in by_letter.everything_stored()
    assert not by_letter.rows(Consent)


async def test_a_short_question_stays_one_question(by_letter, olga):
    await olga.says("ИНН: 7707083893\nЧто сделать: сверка за март")
    olga.sees("К какому сроку?")
    assert Talker(by_letter, "olga", "").last.text.count(":") < 5


async def test_a_code_agreement_and_form_in_one_letter(by_letter):
    code = by_letter.invite_client("7707083893")
    olga = by_letter.newcomer(key="olga", name="Ольга")
    words = "Согласен: да\nЧто сделать: оплатить счёт 15 от ООО «Свет» на 12 345 ₽\nСрок: до пятницы"
    await olga._do(olga.inbound(InboundKind.TEXT, text=words, start_code=code))
    olga.sees_last("Компания: ООО «Ромашка»")
    assert len(by_letter.rows(Consent)) == 1
    assert by_letter.rows(Message)[0].text.startswith("Что сделать: оплатить")


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("Согласен", ""),
        ("> — Согласен : Да\nСрок: завтра", "Срок: завтра"),
        ("1) Я согласен: нет", None),
        ("Согласен: да" + " " * 300, ""),
        ("-" + " " * 300 + "Согласен: да", None),
        ("- Согласна:\tда", ""),
        ("Согласен:\nда\nСрок: завтра", "Срок: завтра"),
        ("Согласен:\nСрок: да", None),
        ("Добрый день.\n\nСогласен.\nНужна сверка", "Нужна сверка"),
        ("Добрый день, согласна!", ""),
        ("Добрый день, я не согласен", None),
        ("Нужна сверка\nсогласен", None),
    ],
    ids=[
        "word",
        "marks",
        "no",
        "blanks",
        "too far",
        "tab",
        "below",
        "empty",
        "greeting",
        "in its line",
        "refusal",
        "further down",
    ],
)
def test_an_agreement_is_read_in_a_short_line(said, rest):
    assert agreed(said) == rest


def test_a_long_answer_stands_behind_its_name():
    task = "оплатить " + "счёт " * 200
    found = labelled(f"  > 2) Что сделать :  {task}\n\nи ещё\nСрок:\n\nзавтра\nСрок: вчера")
    assert found.answers == {"task": f"{task.strip()}\n\nи ещё", "deadline": "завтра"}
    assert found.rest == "Срок: вчера"
