"""A call or a visit that staff write down, and the client's word on it."""

import re
from datetime import timedelta

import pytest
from sqlmodel import select

from router.model import Role
from storage.calls import open_calls
from storage.models import AnswerVersion, Client, ClientPerson, Consent, Draft, History, Message, Person
from storage.models import Chat as ChatRow
from storage.recording import NO_CONTACT
from tests.client import Talker
from tests.dialogue.paths import new_request, submits
from tests.dialogue.samples import PDF

FORM = ("Оплатить счёт", "ООО Свет, 12 345 ₽ по счёту 15", "до пятницы", "Готово")


@pytest.fixture
def anna(town):
    return Talker(town, "staff-Анна Петрова", "Анна Петрова")


@pytest.fixture
async def mary(town):
    """A client with a chat who has sent a request before, so that she is known with her company."""
    mary = await town.client()
    await submits(mary)
    mary.hears()
    return mary


async def to_form(anna, words="ромашка", person="Мария", how="Звонок", when="Только что"):
    """Up to the first question of the form, for a client and a person who are known."""
    await anna.says("Записать звонок")
    await anna.says(words)
    await anna.presses("ООО «Ромашка»")
    await anna.presses(person)
    await anna.presses(how)
    await anna.says(when)


async def records(anna, **parts):
    """A whole call; returns the number of the request."""
    await to_form(anna, **parts)
    await anna.says_all(*FORM)
    await anna.presses("Отправить")
    return anna.town.requests()[-1].id


def without_chat(town):
    """ООО «Ромашка» has a person who is known by telephone only."""
    with town.database.begin() as session:
        person = Person(name="Пётр Ильин", phone="8 (916) 123-45-67", created_at=town.clock)
        session.add(person)
        session.flush()
        client = session.exec(select(Client).where(Client.inn == "7707083893")).one()
        session.add(ClientPerson(client_id=client.id, person_id=person.id, created_at=town.clock))
        return person.id


# --- writing it down ---------------------------------------------------------------------------


async def test_a_call_from_a_known_client(town, mary, anna):
    anna.hears()
    await anna.says("Записать звонок")
    anna.sees("Кто обратился? Напишите телефон, ИНН, название или имя", buttons=["Новый клиент"])
    await anna.says("ромашка")
    anna.sees("Нашли: 1. Кто это?", buttons=["ООО «Ромашка»", "Новый клиент"])
    await anna.presses("ООО «Ромашка»")
    anna.sees(
        "ООО «Ромашка». С кем говорили?", buttons=["Мария", "Другой человек", "Без контакта"]
    )  # fmt: skip
    await anna.presses("Мария")
    anna.sees("Это звонок или приём в офисе?", buttons=["Звонок", "Приём в офисе"])
    await anna.presses("Звонок")
    anna.sees("Когда звонили?", "«в 11:20»", buttons=["Только что"])
    await anna.presses("Только что")
    anna.sees("Со слов: Мария. Звонок: 11:", "ООО «Ромашка», ИНН 7707083893. Что нужно сделать?")
    assert "Позвать человека" not in anna.last.labels
    await anna.says_all("Оплатить счёт", "ООО Свет, 12 345 ₽ по счёту 15", "до пятницы")
    await anna.sends_files({"счёт.pdf": PDF})
    anna.sees("Файлы: счёт.pdf")
    await anna.says("Готово")
    anna.sees("Со слов: Мария.", "Проверьте заявку:", "счёт.pdf", buttons=["Отправить", "Изменить"])
    await anna.presses("Отправить")
    anna.sees_last(
        "Записали заявку № 2, ООО «Ромашка».",
        "Займётся Анна Петрова.",
        "Спросили клиента в его чате, верно ли записано.",
    )
    card = next(heard for heard in anna.latest if heard.text.startswith("Заявка № 2"))
    assert "Со слов: клиент ещё не подтвердил." in card.text
    assert "Клиент подтвердил" in card.labels
    mary.hears()
    mary.sees(
        "Записали с ваших слов, заявка № 2:",
        "Компания: ООО «Ромашка»",
        "Что сделать: Оплатить счёт — ООО Свет",
        "счёт.pdf",
        "Займётся Анна Петрова.",
        "Верно?",
        buttons=["Верно", "Исправить"],
    )
    request = town.request(2)
    assert (request.channel, request.confirmed_at) == ("phone", None)
    assert request.recorded_by is not None
    await anna.says("/mine")
    assert "со слов" in anna.last.text


async def test_the_clock_counts_from_the_call(town, mary, anna):
    number = await records(anna, when="полчаса назад")
    request = town.request(number)
    waited = (town.clock - request.submitted_at).total_seconds() / 60
    assert 30 <= waited <= 33
    assert request.created_at <= request.submitted_at


async def test_a_visit(town, mary, anna):
    number = await records(anna, how="Приём в офисе", when="в 10:15")
    assert town.request(number).channel == "visit"
    assert town.request(number).submitted_at.strftime("%H:%M") == "07:15"


async def test_the_time_of_the_call_is_asked_until_it_makes_sense(mary, anna):
    await to_form(anna, when="в 18:20")
    anna.sees("18:20 сегодня ещё не наступило. Если это было вчера, напишите: «вчера в 18:20».")
    await anna.says("вчера")
    anna.sees("Во сколько это было?")
    await anna.says("месяц назад")
    anna.sees("Не получилось понять время.")
    await anna.says("вчера в 18:20")
    anna.sees("Звонок: вторник, 24 ноября, 18:20.", "Что нужно сделать?")


async def test_an_unknown_client_is_asked_for_consent_before_the_name(town, anna):
    await anna.says("/call")
    await anna.says("7736050003")
    anna.sees("ИНН 7736050003 у нас впервые.", buttons=["Новый клиент"])
    await anna.presses("Новый клиент")
    anna.sees("Спросите: «Вы согласны на обработку персональных данных?»", "Без согласия имя и телефон")
    await anna.presses("Клиент согласен (устно)")
    anna.sees("Как зовут и какой телефон?")
    await anna.says("Зоя Тайная")
    anna.sees("Не хватает телефона")
    await anna.says("Зоя Тайная 8 916 765 43 21")
    anna.sees("Зоя Тайная, +7 916 765-43-21.", "Это звонок или приём в офисе?")
    await anna.says_all("звонок", "только что")
    anna.sees("ИНН 7736050003 у нас впервые. Как называется компания или ИП?")
    await anna.says("ООО «Север»")
    await anna.says_all(*FORM, "Отправить")
    anna.sees_last("Записали заявку № 1, ООО «Север».", "Чата у клиента нет", "прочитать клиенту")
    person = next(person for person in town.rows(Person) if person.name == "Зоя Тайная")
    (consent,) = town.rows(Consent)
    assert (consent.person_id, consent.version) == (person.id, "3")
    line = next(chat for chat in town.rows(ChatRow) if chat.id == consent.chat_id)
    assert (line.channel, line.blocked_at is not None) == ("phone", True)
    given = next(row for row in town.rows(History) if row.action == "consent_given")
    assert '"heard_by":"Анна Петрова"' in given.after
    # In a messenger the same person is asked for themselves.
    assert person.consent_version == ""


async def test_nothing_personal_is_kept_of_whoever_has_not_agreed(town, anna):
    await anna.says("/call")
    await anna.says("Зоя Тайная")
    anna.sees("Никого не нашли. Напишите иначе или нажмите «Новый клиент».")
    await anna.says("8 916 765 43 21")
    await anna.presses("Новый клиент")
    await anna.presses("Без контакта")
    anna.sees("в заявке будет «контакт не указан»", "Это звонок или приём в офисе?")
    await anna.says_all("звонок", "только что", "7736050003 ООО «Север»", *FORM, "Отправить")
    anna.sees_last("Записали заявку № 1, ООО «Север».")
    stored = town.everything_stored()
    assert "Тайная" not in stored
    assert not re.search(r"765\D?43\D?21", stored)
    assert [person.name for person in town.rows(Person)][-1] == NO_CONTACT
    assert town.rows(Consent) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [("7707083894", "опечатка"), ("1234567890", "опечатка"), ("непонятно кто", "Никого не нашли")],
)
async def test_nobody_is_found(anna, said, told):
    await anna.says("/call")
    await anna.says(said)
    anna.sees(told, buttons=["Новый клиент"])


async def test_a_wrong_inn_in_the_form_is_the_forms_own_affair(anna):
    await anna.says_all("/call", "Новый клиент", "без контакта", "звонок", "только что", "7736050004")
    anna.sees("В ИНН 7736050004 опечатка")
    await anna.says("7736050003 ООО «Север»")
    anna.sees("ООО «Север», ИНН 7736050003. Что нужно сделать?")


@pytest.mark.parametrize("words", ["916 123 45 67", "+7(916)1234567", "пётр", "ильин"])
async def test_a_person_is_found_by_telephone_or_name(town, anna, words):
    without_chat(town)
    await anna.says_all("/call", words)
    anna.sees("Нашли: 1.", buttons=["Пётр Ильин, ООО «Ромашка»", "Новый клиент"])
    await anna.presses("Пётр Ильин, ООО «Ромашка»")
    anna.sees("Пётр Ильин: согласия ещё нет.", buttons=["Клиент согласен (устно)", "Без контакта"])
    await anna.says("согласен")
    anna.sees("Это звонок или приём в офисе?")


# --- being interrupted -------------------------------------------------------------------------


async def test_it_is_put_aside_and_taken_up_again_after_a_restart(town, mary, anna):
    await to_form(anna)
    await anna.says("Консультация")
    await anna.presses("Отмена")
    anna.sees("Запись отложили, никому ничего не ушло. Вернуться к ней: «Записать звонок».")
    await town.restart()
    await anna.says("Записать звонок")
    anna.sees("Есть недописанная запись: ООО «Ромашка».", buttons=["Продолжить запись", "Начать новую"])
    await anna.presses("Продолжить запись")
    anna.sees("Продолжим запись.", "О чём ваш вопрос?")
    await anna.says_all("Можно ли платить наличными?", "до пятницы", "Готово", "Отправить")
    assert len(town.requests()) == 2


async def test_a_new_one_instead_of_the_one_put_aside(mary, anna):
    await to_form(anna)
    old = anna.press_of("Консультация")
    await anna.says_all("Отмена", "/call", "Начать новую")
    anna.sees("Кто обратился?")
    await anna.presses_id(old)
    anna.sees("Эта кнопка от прошлого вопроса.", "Кто обратился?")


async def test_another_action_waits_for_nothing_and_the_recording_goes_on_after_it(town, mary, anna):
    await to_form(anna)
    anna.hears()
    await anna.presses("Ответить")
    anna.sees("Напишите ответ или пришлите файлы")
    await anna.says("Сделаем сегодня")
    assert anna.latest[0].text == "Отправили клиенту, № 1."
    anna.sees_last("Что нужно сделать?", "ООО «Ромашка»")
    assert "Сделаем сегодня" in mary.hears()[-1]
    await anna.says("/mine")
    assert "В работе" in anna.latest[0].text
    anna.sees_last("Что нужно сделать?")
    await anna.says_all(*FORM, "Отправить")
    assert town.request(2).task == "ООО Свет, 12 345 ₽ по счёту 15"


async def test_a_step_of_the_chat_gives_way_to_a_call(mary, anna):
    await anna.presses("Принять")
    await anna.presses("Выполнено")
    await anna.says("Половина результата")
    await anna.presses_id("staff:record::0")
    anna.sees("Написанное раньше никому не ушло.", "Кто обратился?")


async def test_one_step_back_after_another(mary, anna):
    await to_form(anna)
    await anna.says("Назад")
    anna.sees("За какую компанию заявка?")
    await anna.says("Назад")
    anna.sees("Когда звонили?")
    await anna.presses("Назад")
    await anna.presses("Назад")
    anna.sees("С кем говорили?")
    await anna.says_all("мария", "приём в офисе", "час назад")
    anna.sees("Приём в офисе: 10:", "За какую компанию заявка?")


async def test_everybody_but_the_administrator_may_write_a_call_down(town, mary):
    for name, role in (("Дина", Role.DIRECTOR), ("Галина", Role.CONTROLLER), ("Олег", Role.DEPUTY)):
        person = await town.staff(name, role)
        number = await records(person)
        assert town.request(number).recorded_by is not None
    admin = await town.staff("Админ", Role.ADMIN)
    await admin.says("/call")
    admin.sees("Администратор не видит заявок клиентов")
    with town.database.read() as session:
        assert session.exec(select(Draft)).all() == []


# --- the client's word -------------------------------------------------------------------------


async def test_the_client_confirms_and_the_mark_goes(town, mary, anna):
    number = await records(anna)
    mary.hears()
    anna.hears()
    await mary.presses("Верно")
    mary.sees("Спасибо, заявка № 2 подтверждена.")
    assert town.request(number).confirmed_at == town.clock
    assert anna.hears() == ["Заявка № 2, ООО «Ромашка»: клиент подтвердил, записано верно."]
    await mary.presses("Верно")
    mary.sees("Эта запись уже подтверждена, спасибо.")
    assert anna.hears() == []
    await anna.presses("История")
    assert "клиент подтвердил запись" in anna.last.text
    await anna.says("№ 2")
    assert "Со слов" not in anna.last.text


async def test_days_later_and_after_other_talk(town, mary, anna):
    await records(anna)
    mary.hears()
    await new_request(mary)
    town.pass_time(days=5)
    await mary.says("/status")
    assert "Записано с ваших слов. Проверьте, всё ли верно." in mary.last.text
    await mary.presses("Заявка № 2")
    await mary.presses("Проверить")
    mary.sees("Записали с ваших слов, заявка № 2:")
    await mary.says("да")
    mary.sees("Спасибо, заявка № 2 подтверждена.")


async def test_the_client_corrects_a_field(town, mary, anna):
    number = await records(anna)
    mary.hears()
    anna.hears()
    old = mary.press_of("Верно")
    await mary.presses("Исправить")
    mary.sees(
        "Что исправить?",
        buttons=["Компания и ИНН", "Вид работ", "Что сделать", "Срок", "Файлы", "Оставить как есть"],
    )
    await mary.presses("Срок")
    mary.sees("Срок сейчас: пятница, 27 ноября, до 18:00", "К какому сроку?")
    await mary.says("когда-нибудь")
    mary.sees("Назовите день точнее.")
    await mary.presses("Завтра")
    mary.sees("Исправили.", "Срок: четверг, 26 ноября, до 18:00", "Верно?", buttons=["Верно", "Исправить"])
    (told,) = anna.hears()
    assert told.splitlines() == [
        "Заявка № 2, ООО «Ромашка»: клиент исправил запись.",
        "Срок — было: пятница, 27 ноября, до 18:00",
        "Срок — стало: четверг, 26 ноября, до 18:00",
    ]
    versions = [
        row for row in town.rows(AnswerVersion) if (row.request_id, row.field) == (number, "deadline")
    ]
    assert [row.version for row in versions] == [1, 2]
    assert versions[0].person_id != versions[1].person_id
    await mary.presses_id(old)
    mary.sees("С тех пор запись изменилась.", "Срок: четверг", buttons=["Верно", "Исправить"])
    assert town.request(number).confirmed_at is None
    await mary.presses("Верно")
    assert town.request(number).confirmed_at is not None


async def test_a_correction_in_words_and_a_changed_mind(town, mary, anna):
    await records(anna)
    await mary.presses("Исправить")
    await mary.presses("Что сделать")
    await mary.says("Отмена")
    mary.sees("Записали с ваших слов, заявка № 2:", "Верно?")
    await mary.presses("Исправить")
    await mary.presses("Что сделать")
    await mary.says("ООО Тепло, 500 рублей")
    mary.sees("Исправили.", "ООО Тепло, 500 рублей", "Верно?")
    assert town.request(2).task == "ООО Тепло, 500 рублей"
    messages = [row for row in town.rows(Message) if row.text == "ООО Тепло, 500 рублей"]
    assert [row.request_id for row in messages] == [2]


@pytest.mark.parametrize("words", ["нет, не 500 а 600", "Не 500, а 600", "неверно, там 600"])
async def test_an_objection_goes_to_what_is_read_back(town, mary, anna, words):
    await records(anna)
    mary.hears()
    anna.hears()
    await mary.says(words)
    mary.sees("Добавили к заявке № 2, ведёт Анна Петрова.")
    anna.hears()
    anna.sees("пишет по заявке № 2:", words)


async def test_other_words_are_asked_about_even_then(town, mary, anna):
    await records(anna)
    await mary.says("Когда оплатите?")
    mary.sees_last("К какой заявке это относится?")


@pytest.mark.parametrize("words", ["нет, не 500 а 600", "сумма другая"])
async def test_words_instead_of_a_field_to_correct_reach_the_accountant(town, mary, anna, words):
    await records(anna)
    await mary.presses("Исправить")
    anna.hears()
    await mary.says(words)
    mary.sees(
        "Передали, ответит Анна Петрова.", "Что исправить?",
        buttons=["Компания и ИНН", "Вид работ", "Что сделать", "Срок", "Файлы", "Оставить как есть"],
    )  # fmt: skip
    anna.hears()
    anna.sees("пишет по заявке № 2:", words)
    assert [row.request_id for row in town.rows(Message) if row.text == words] == [2]
    await mary.says("Что сделать")
    await mary.says("ООО Свет, 600 рублей")
    mary.sees("Исправили.", "600 рублей", "Верно?")


async def test_correcting_is_left_by_a_word(mary, anna):
    await records(anna)
    await mary.presses("Исправить")
    await mary.says("Отмена")
    mary.sees("Записали с ваших слов, заявка № 2:", "Верно?")


async def test_a_form_in_progress_is_not_lost_over_a_correction(mary, anna):
    await mary.says_all("/new", "Консультация")
    await records(anna)
    mary.hears()
    await mary.presses("Исправить")
    await mary.presses("Срок")
    await mary.says("завтра до 15:00")
    assert "Исправили." in mary.latest[0].text
    mary.sees_last("Вернёмся к новой заявке.", "О чём ваш вопрос?")
    await mary.says("Можно ли платить наличными?")
    mary.sees("К какому сроку?")


async def test_nobody_else_confirms(town, mary, anna):
    await records(anna)
    press = mary.press_of("Верно")
    stranger = await town.client("200", "Чужой")
    await stranger.presses_id(press)
    assert "ООО «Ромашка»" not in stranger.last.text
    assert town.request(2).confirmed_at is None


async def test_a_client_without_a_chat_stands_on_the_list_of_calls(town, anna):
    person_id = without_chat(town)
    await anna.says_all("/call", "пётр")
    await anna.presses("Пётр Ильин, ООО «Ромашка»")
    await anna.says_all("согласен", "звонок", "только что", *FORM, "Отправить")
    with town.database.read() as session:
        (call,) = open_calls(session)
    assert (call.person_id, call.request_id) == (person_id, 1)
    assert call.phone == "8 (916) 123-45-67"
    assert call.reason.startswith("Прочитать клиенту заявку № 1 и спросить, всё ли верно:\nКомпания: ООО")
    await anna.presses("Клиент подтвердил")
    anna.sees_last("Отметили: клиент подтвердил по телефону.")
    assert "Клиент подтвердил" not in anna.last.labels
    request = town.request(1)
    assert request.confirmed_at is not None
    with town.database.read() as session:
        assert open_calls(session) == ()
    row = next(row for row in town.rows(History) if row.action == "confirmed")
    assert '"how":"phone"' in row.after
    # Consent once heard is not asked for again.
    await anna.says_all("/call", "пётр")
    await anna.presses("Пётр Ильин, ООО «Ромашка»")
    anna.sees("Это звонок или приём в офисе?")


async def test_by_mail_where_there_is_an_address(town, anna):
    from dataclasses import replace

    person_id = without_chat(town)
    town.house = replace(town.house, email_channel="mail")
    with town.database.begin() as session:
        session.get_one(Person, person_id).email = "Petr@romashka.example"
    await anna.says_all("/call", "пётр")
    await anna.presses("Пётр Ильин, ООО «Ромашка»")
    await anna.says_all("согласен", "звонок", "только что", *FORM, "Отправить")
    anna.sees_last("Спросили клиента письмом")
    chat = next(chat for chat in town.rows(ChatRow) if chat.channel == "mail")
    assert (chat.chat_key, chat.person_id) == ("petr@romashka.example", person_id)


async def test_the_recorder_is_asked_first_but_the_clients_own_accountant_before_them(town, mary):
    vera = await town.staff("Вера Орлова")
    number = await records(vera)
    assert town.request(number).assignee_id == town.request(number).recorded_by
    with town.database.begin() as session:
        client = session.exec(select(Client).where(Client.inn == "7707083893")).one()
        client.responsible_id = 1
    number = await records(vera)
    assert town.request(number).assignee_id == 1
    assert town.request(number).recorded_by != 1


async def test_whoever_comes_to_the_chat_later_finds_it_there(town, anna):
    """The person is known by telephone, the read-back waits, consent in the chat comes first."""
    person_id = without_chat(town)
    await anna.says_all("/call", "пётр")
    await anna.presses("Пётр Ильин, ООО «Ромашка»")
    await anna.says_all("согласен", "звонок", "только что", *FORM, "Отправить")
    from storage import invitations

    with town.database.begin() as session:
        code = invitations.invite_person(
            session, person_id, invitations.Purpose.CHAT, town.clock, timedelta(days=1)
        )
    pyotr = Talker(town, "300", "Пётр")
    await pyotr.starts(code)
    pyotr.sees("Вы согласны?")
    await pyotr.presses("Согласен")
    pyotr.sees("Записали с ваших слов, заявка № 1:", buttons=["Верно", "Исправить"])
    await pyotr.presses("Верно")
    assert town.request(1).confirmed_at is not None
