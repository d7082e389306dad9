"""What real people do in the middle of a form: bursts, stickers, old buttons, silence, thanks."""

from datetime import timedelta

import pytest

from forms.messages import FileRole, InboundKind, IncomingFile
from router.model import Role
from storage import casework
from storage.models import Chat, Message, Person
from tests.client import Talker, Town
from tests.dialogue.paths import ASKED, QUESTIONS, WALK, staff_does, submits, walk_to
from tests.dialogue.samples import PDF, PHOTO, VOICE


async def test_five_messages_in_two_seconds_are_one_task_and_one_answer(maria):
    await walk_to("task", maria)
    await maria.burst("счёт 15", "от ООО Свет", "12 345 ₽", "это аренда", "за ноябрь")
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово")
    maria.sees("счёт 15\nот ООО Свет\n12 345 ₽\nэто аренда\nза ноябрь")


async def test_a_burst_may_be_the_whole_form(maria):
    await maria.burst("7707083893", "Оплатить счёт", "ООО Свет, 500 ₽", "завтра", "Готово")
    maria.sees("Проверьте заявку:", "ООО Свет, 500 ₽", "четверг, 26 ноября")


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_sticker_is_answered_at_every_question(maria, question):
    await walk_to(question, maria)
    await maria.sends_other("стикер")
    maria.sees("Это (стикер) передать не получится.", ASKED[question])


async def test_a_sticker_when_nothing_is_asked(maria):
    await submits(maria)
    await maria.sends_other("стикер")
    maria.sees("Это (стикер) мы прочитать не сможем.", "Заявка № 1")


async def test_a_photo_of_the_screen(maria):
    await walk_to("task", maria)
    await maria.sends_files({"фото.png": PHOTO}, role=FileRole.PHOTO)
    maria.sees("Приложили: фото.png", "К какому сроку?")


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_voice_message_is_kept_at_every_question(maria, question):
    await walk_to(question, maria)
    await maria.sends_files({"голос.ogg": VOICE}, role=FileRole.VOICE)
    maria.sees("голос.ogg")


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("words", ["человека позовите", "/human", "Позвать человека"])
async def test_a_person_is_called_with_words(maria, question, words):
    await walk_to(question, maria)
    await maria.says(words)
    maria.sees("Позвали человека, он ответит в этом чате.", ASKED[question])


async def test_a_call_reaches_the_directors_until_somebody_keeps_the_client(town, maria):
    olga = await town.staff("Ольга Директор", Role.DIRECTOR)
    await walk_to("task", maria)
    await maria.says("человека позовите")
    olga.hears()
    olga.sees("Мария просит позвать человека.", "Последнее сообщение: Оплатить счёт", buttons=["Ответить"])


@pytest.mark.parametrize("question", QUESTIONS[:-1])
async def test_thanks_and_greetings_are_no_answers(maria, question):
    await walk_to(question, maria)
    await maria.says("Спасибо")
    maria.sees(ASKED[question])
    await maria.says("Здравствуйте!")
    maria.sees(ASKED[question])


async def test_a_call_is_kept_when_nobody_can_be_reached(tmp_path):
    town = Town.open(tmp_path)
    maria = await town.client()
    await maria.says("/human")
    maria.sees("Сейчас в чате никого нет, но ваше обращение записали.", "звоните: +7 495 000-00-00")
    await town.database.close()


async def test_thanks_after_sending(maria):
    await submits(maria)
    await maria.says("спасибо большое")
    maria.sees("Пожалуйста! Обращайтесь.", buttons=["Новая заявка", "Мои заявки"])


@pytest.mark.parametrize("question", QUESTIONS)
async def test_three_days_of_silence_and_a_restart(town, maria, question):
    await walk_to(question, maria)
    town.pass_time(days=3)
    await town.restart()
    await maria.says("здравствуйте")
    maria.sees(ASKED[question])
    for _name, answer in WALK[QUESTIONS.index(question) :]:
        await maria.says("через неделю" if answer == "до пятницы" else answer)
    if "Пока заявка ждала" in maria.last.text:
        await maria.says_all("завтра", "Отправить")
    maria.sees("Заявка № 1 принята.")


async def test_a_button_from_last_week(town, maria):
    await walk_to("deadline", maria)
    old = maria.press_of("Завтра")
    await maria.says_all("сегодня", "Готово", "Отправить")
    town.pass_time(days=7)
    await maria.presses_id(old)
    maria.sees("Эта заявка уже отправлена или закрыта.", "Заявка № 1")
    await maria.says_all("/new", "Оплатить счёт", "ООО Тень, 5 ₽")
    await maria.presses_id(old)
    maria.sees("Эта кнопка от прошлого вопроса. Сейчас вопрос такой:", "К какому сроку?")


async def test_an_old_send_does_not_send_the_new_form(town, maria):
    await walk_to("summary", maria)
    send = maria.press_of("Отправить")
    await maria.presses("Отправить")
    await maria.says_all("/new", "Оплатить счёт", "ООО Тень, 5 ₽", "завтра", "Готово")
    await maria.presses_id(send)
    maria.sees("Эта кнопка от прошлого вопроса.", "Проверьте заявку:")
    assert len(town.requests()) == 1


async def test_a_double_tap_sends_once(town, maria):
    await walk_to("summary", maria)
    send = maria.press_of("Отправить")
    await maria.presses_id(send)
    await maria.presses_id(send)
    maria.sees("Эта заявка уже отправлена или закрыта.", "Заявка № 1")
    assert len(town.requests()) == 1


async def test_a_double_tap_at_the_same_moment_sends_once(town, maria):
    await walk_to("summary", maria)
    send = maria.press_of("Отправить")
    twice = [maria.inbound(InboundKind.BUTTON, button=send) for _tap in range(2)]
    await town.take(*twice)
    heard = maria.hears()
    assert "Заявка № 1 принята." in heard[0]
    assert len(town.requests()) == 1


async def test_the_same_event_twice_is_answered_once(town, maria):
    event = maria.inbound(InboundKind.TEXT, text="7707083893")
    await maria.repeats(event)
    maria.sees("Что нужно сделать?")
    assert await maria.repeats(event) == []


@pytest.mark.parametrize(
    "forged",
    [
        "form:task:~send:0", "form:~summary:~send:1", "nav:what::0", "rubbish", "::::", "form:inn:1:99999999",
        "req:1:show:0", "clar:1:today:0", "pick:1::0", "consent:what::0", "form:nobody:x:5",
    ],
)  # fmt: skip
async def test_a_forged_press_is_answered_politely(town, maria, forged):
    await walk_to("deadline", maria)
    await maria.presses_id(forged)
    maria.sees("К какому сроку?")
    assert town.requests() == []


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_contact_is_kept_and_the_question_stays(town, maria, question):
    await walk_to(question, maria)
    await maria.sends_contact("+79161234567")
    maria.sees("Телефон записали: +79161234567.", ASKED[question])
    assert town.rows(Person)[-1].phone == "+79161234567"


async def test_somebody_elses_contact_does_not_replace_the_phone(town, maria):
    await maria.sends_contact("+79161234567")
    await maria.sends_contact("+70000000000", verified=False)
    maria.sees("Контакт увидели.")
    assert town.rows(Person)[-1].phone == "+79161234567"
    assert town.rows(Message)[-1].text == "+70000000000"


async def test_somebody_elses_contact_is_nobodys_phone(town, maria):
    await maria.sends_contact("+70000000000", verified=False)
    maria.sees("Контакт увидели.", "Пришлите ИНН")
    assert town.rows(Person)[-1].phone == ""


async def test_somebody_elses_contact_after_sending_goes_to_the_accountant(town, maria):
    await submits(maria)
    await maria.sends_contact("+70000000000", verified=False)
    maria.sees("Добавили к заявке № 1")
    assert town.rows(Person)[-1].phone == ""
    assert "+70000000000" in Talker(town, "staff-Анна Петрова", "Анна").last.text


async def test_new_asks_before_a_form_is_dropped(maria):
    await walk_to("deadline", maria)
    await maria.says("/new")
    maria.sees("У вас есть незаконченная заявка.", buttons=["Продолжить", "Начать заново"])
    again = maria.press_of("Начать заново")
    await maria.says("Продолжить")
    maria.sees("К какому сроку?")
    await maria.says("завтра")
    await maria.presses_id(again)
    maria.sees("У вас есть незаконченная заявка.", buttons=["Продолжить", "Начать заново"])
    await maria.presses("Начать заново")
    maria.sees("Пришлите ИНН")


@pytest.mark.parametrize("word", ["/help", "помощь"])
async def test_help(maria, word):
    await walk_to("deadline", maria)
    await maria.says(word)
    maria.sees("/new", "/status", "/human", "/cancel", "+7 495 000-00-00")
    await maria.says("завтра")
    maria.sees("Срок: четверг")


async def test_start_goes_on_with_the_form(maria):
    await walk_to("deadline", maria)
    await maria.says("/start")
    maria.sees("Продолжим вашу заявку.", "К какому сроку?")


async def test_cancel_when_nothing_is_filled(maria):
    await submits(maria)
    await maria.says("/cancel")
    maria.sees("Сейчас ничего не заполняется, отменять нечего.", "Заявка № 1")


async def test_numbers_belong_to_the_latest_message(town, maria):
    """A notice that comes in the middle has numbered buttons of its own."""
    await submits(maria)
    await maria.says_all("/new", "Оплатить счёт", "ООО Тень, 5 ₽")
    await staff_does(town, casework.done, 1, "", ())
    await maria.says("6")
    maria.sees_last("Заявка № 1 снова в работе.")


async def test_a_label_of_an_earlier_message_still_works_after_a_notice(town, maria):
    await submits(maria)
    await maria.says_all("/new", "Оплатить счёт", "ООО Тень, 5 ₽")
    await staff_does(town, casework.accept, 1)
    await maria.says("завтра")
    maria.sees_last("Срок: четверг, 26 ноября")


async def test_two_people_at_once_do_not_mix(town, maria):
    boris = await town.client(key="boris", name="Борис")
    await town.take(
        maria.inbound(InboundKind.TEXT, text="7707083893"),
        boris.inbound(InboundKind.TEXT, text="ИП Борисов 500100732259"),
    )
    maria.hears()
    boris.hears()
    maria.sees("ООО «Ромашка»")
    boris.sees("ИП Борисов")


async def test_a_chat_that_was_blocked_comes_back_where_it_was(town, maria):
    await walk_to("deadline", maria)
    await town.take(maria.inbound(InboundKind.BLOCKED))
    assert any(chat.blocked_at for chat in town.rows(Chat))
    await maria.says("завтра")
    maria.sees("Срок: четверг")
    assert not any(chat.blocked_at for chat in town.rows(Chat))


async def test_files_and_words_keep_their_order(town, maria):
    """«Готово» right behind a file waits until the file is here."""
    await walk_to("files", maria)
    file = maria.inbound(InboundKind.FILE, files=(IncomingFile("ref:счёт.pdf", "счёт.pdf", len(PDF)),))
    done = maria.inbound(InboundKind.TEXT, text="Готово")
    await town.take(file, done, files={"ref:счёт.pdf": PDF})
    maria.hears()
    maria.sees_last("Проверьте заявку:", "Файлы: счёт.pdf")


@pytest.mark.parametrize("text", ["", " ", "\n", "\u200b", "…"])
async def test_empty_words_are_answered(maria, text):
    await walk_to("task", maria)
    await maria.says(text)
    assert len(maria.latest) == 1


async def test_a_message_that_waited_a_week_is_still_an_answer(town, maria):
    await walk_to("task", maria)
    town.clock += timedelta(days=7)
    await maria.says("ООО Свет, 500 ₽")
    maria.sees("К какому сроку?")
