"""Each question of the form: what is understood, what is refused and how, and the ways back."""

import pytest

from forms.messages import FileRole
from storage.models import Client, Message
from tests.dialogue.paths import ASKED, QUESTIONS, WALK, new_request, submits, walk_to
from tests.dialogue.samples import LOCKED_ZIP, PDF, PDF_2, PHOTO, PROGRAM, VOICE

KINDS = [
    "Оплатить счёт", "Узнать остаток", "Выписать накладную/УПД", "Сдать отчёт", "Подготовить документ",
    "Консультация", "Другое",
]  # fmt: skip


# --- the whole way -----------------------------------------------------------------------------


async def test_the_happy_path(town, maria):
    await maria.says("7707083893 ромашка")
    maria.sees("ООО «Ромашка», ИНН 7707083893. Что нужно сделать?", buttons=KINDS)
    await maria.presses("Оплатить счёт")
    maria.sees("Кому и сколько заплатить?", buttons=[])
    await maria.sends_files({"счёт.pdf": PDF})
    maria.sees(
        "Приложили: счёт.pdf", "К какому сроку?", buttons=["Сегодня", "Завтра", "До пятницы", "Через неделю"]
    )
    await maria.presses("До пятницы")
    maria.sees("Срок: пятница, 27 ноября, до 18:00.", "счёт.pdf", buttons=["Готово", "Убрать файлы"])
    await maria.presses("Готово")
    maria.sees(
        "Проверьте заявку:", "Компания: ООО «Ромашка», ИНН 7707083893",
        "Что сделать: Оплатить счёт — по приложенному счёту", "Срок: пятница, 27 ноября, до 18:00",
        "Файлы: счёт.pdf", buttons=["Отправить", "Изменить"],
    )  # fmt: skip
    await maria.presses("Отправить")
    maria.sees(
        "Заявка № 1 принята.", "ООО «Ромашка»", "по приложенному счёту", "пятница, 27 ноября",
        "счёт.pdf (отпечаток ", "Займётся Анна Петрова. Посмотрим сегодня до 11:3", "/status",
        buttons=["Дополнить", "Отозвать", "Новая заявка", "Мои заявки"],
    )  # fmt: skip
    request = town.request(1)
    assert (request.status, request.kind, request.inn) == ("assigned", "pay", "7707083893")
    assert {message.request_id for message in town.rows(Message) if message.chat_id == request.chat_id} == {1}


@pytest.mark.parametrize("index", range(7), ids=KINDS)
async def test_every_kind_can_be_asked_for(town, maria, index):
    await maria.says_all("7707083893", str(index + 1), "Подробности поручения")
    if "накладную" in KINDS[index]:
        maria.sees("Пришлите товары", "Бумага А4; 10; 350")
        await maria.says("Бумага А4; 10; 350")
    await maria.says_all("завтра", "Готово", "Отправить")
    maria.sees("Заявка № 1 принята.", f"{KINDS[index]} — Подробности поручения")


# --- company -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", ["7707083893", "77 0708 3893", "770-708-3893", "ИНН: 7707083893", "7707083893 КПП 770701001"]
)
async def test_a_known_inn_fills_the_name(maria, typed):
    await maria.says(typed)
    maria.sees("ООО «Ромашка», ИНН 7707083893. Что нужно сделать?")


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("770708389", "В ИНН 10 или 12 цифр, у вас 9: 770708389"),
        ("77070838931", "у вас 11"),
        ("12345", "у вас 5"),
        ("7707083894", "не сходятся контрольные цифры"),
        ("0000000000", "из одних нулей не бывает"),
        ("٧٧٠٧٠٨٣٨٩٣", "только похож на цифру"),
        ("77O7083893", "только цифры, а у вас есть «O»"),
    ],
)
async def test_a_wrong_inn_is_explained(maria, typed, why):
    await maria.says(typed)
    maria.sees(why)


async def test_after_two_failures_a_person_is_offered(maria):
    await maria.says("7707083894")
    maria.sees_not("Не получается?")
    await maria.says("7707083895")
    maria.sees("не сходятся", "Не получается? Ответьте «Позвать человека»")


async def test_an_unknown_inn_asks_for_the_name_and_marks_a_new_client(town, maria):
    await maria.says("500100732259")
    maria.sees("ИНН 500100732259 у нас впервые. Как называется компания или ИП?")
    await maria.says("!!!")
    maria.sees("В названии нет ни одной буквы")
    await maria.says("ИП Кузнецова М. А.")
    maria.sees("ИП Кузнецова М. А., ИНН 500100732259. Что нужно сделать?")
    await maria.says_all("Консультация", "Нужна ли мне касса?", "завтра", "Готово", "Отправить")
    client = next(client for client in town.rows(Client) if client.inn == "500100732259")
    assert (client.name, client.kind, client.confirmed) == ("ИП Кузнецова М. А.", "proprietor", False)


async def test_inn_and_name_in_one_line(maria):
    await maria.says("ИП Кузнецова М. А., ИНН 500100732259")
    maria.sees("ИП Кузнецова М. А., ИНН 500100732259. Что нужно сделать?")


async def test_the_name_may_come_first(maria):
    await maria.says("ООО «Василёк»")
    maria.sees("«ООО «Василёк»» — записали. Теперь ИНН")
    await maria.says("точно Василёк")
    maria.sees("Здесь нужен ИНН — 10 или 12 цифр")
    await maria.says("500100732259")
    maria.sees("ООО «Василёк», ИНН 500100732259")


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        ("Здравствуйте, нужно сдать отчёт по УСН за 2026 год", "Сдать отчёт — "),
        ("Заплатите аренду за ноябрь ООО «Свет»", "Оплатить счёт — "),
        ("у нас опять завис кассовый аппарат на точке", "Консультация — "),
    ],
)
async def test_who_begins_with_the_task_is_not_asked_for_it_again(maria, task, shown):
    await maria.says(task)
    maria.sees("Задачу записали. Пришлите ИНН")
    await maria.says("7707083893")
    if "касс" in task:
        maria.sees("Что нужно сделать?")
        await maria.says("Консультация")
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово")
    maria.sees(f"{shown}{task}")
    await maria.says_all("Изменить", "Компания и ИНН")
    maria.sees_not("Задачу записали")


@pytest.mark.parametrize("name", ["ООО «Отчёт и документ»", "Салон Мария", "ИП Вопросов", "Ромашка плюс"])
async def test_a_name_is_not_taken_for_a_task(maria, name):
    await maria.says(name)
    maria.sees(f"«{name}» — записали. Теперь ИНН")


async def test_one_company_is_not_asked_for(maria):
    await submits(maria)
    await maria.says("/new")
    maria.sees("ООО «Ромашка», ИНН 7707083893. Что нужно сделать?")


async def test_several_companies_are_chosen_from(town, maria):
    await submits(maria)
    town.known_client("500100732259", "ИП Кузнецова")
    await maria.says_all("/new", "Назад")
    maria.sees("Сейчас: 7707083893, ООО «Ромашка»", buttons=["ООО «Ромашка»", "Другая компания", "Оставить"])
    await maria.says("Другая компания")
    maria.sees("Пришлите ИНН")
    await maria.says("500100732259")
    maria.sees("ИП Кузнецова, ИНН 500100732259. Что нужно сделать?")
    for answer in [answer for _name, answer in WALK[1:]]:
        await maria.says(answer)
    await maria.says("/new")
    maria.sees("За какую компанию заявка?", buttons=["ИП Кузнецова", "ООО «Ромашка»", "Другая компания"])
    await maria.says("ромашка")
    maria.sees("ООО «Ромашка», ИНН 7707083893")


async def test_a_stranger_who_types_an_inn_learns_nothing_of_its_requests(town, maria):
    number = await submits(maria)
    boris = await town.client(key="boris", name="Борис")
    await submits(boris)
    await boris.presses_id(f"req:{number}:show::0".replace("::", ":"))
    boris.sees("Такой заявки нет")
    await boris.presses_id(f"req:{number}:withdraw-yes:2")
    boris.sees("Такой заявки нет")
    assert town.request(number).status == "assigned"


# --- what to do --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kind", "asked"),
    [
        ("нужно оплатить счёт 15 от ООО Свет", "Оплатить счёт", "К какому сроку?"),
        ("оплатить", None, "Кому и сколько заплатить?"),
        ("консультация", None, "О чём ваш вопрос?"),
        ("сдать отчет", None, "Какой отчёт и за какой период?"),
        ("у нас недостача на складе, что делать", "Другое", "К какому сроку?"),
        ("оплатите счёт 15", "Оплатить счёт", "К какому сроку?"),
    ],
)
async def test_the_kind_is_understood_from_words(maria, typed, kind, asked):
    await maria.says_all("7707083893", typed)
    maria.sees(asked)
    if kind:
        await maria.says_all("завтра", "Готово")
        maria.sees(f"Что сделать: {kind} — {typed}")


async def test_a_waybill_reads_its_lines_back_with_the_total(maria):
    await maria.says_all(
        "7707083893", "Выписать накладную/УПД", "Для ООО «Свет»", "Бумага А4; 10; 350\nРучка; 25 шт; 40,50"
    )
    maria.sees(
        "1. Бумага А4: 10 × 350,00", "2. Ручка: 25 шт × 40,50", "Итого: 4", "512,50", "К какому сроку?"
    )


async def test_a_waybill_may_come_at_once(maria):
    await maria.says_all("7707083893", "Выписать накладную/УПД", "Для ООО «Свет»\nБумага А4; 10; 350")
    maria.sees("1. Бумага А4", "К какому сроку?")


async def test_a_wrong_line_is_named(maria):
    await maria.says_all(
        "7707083893", "Выписать накладную/УПД", "Для ООО «Свет»", "Бумага А4; 10; 350\nРучка; много; 5"
    )
    maria.sees("Строка 2: количество «много» — не число")
    await maria.says("Бумага А4; 10")
    maria.sees("Строка 1: нужны три части", "Не получается?")


@pytest.mark.parametrize("length", [5_000, 10_000])
async def test_a_long_task_is_taken_whole(town, maria, length):
    task = ("слово " * 2_000)[: length - 1] + "."
    await submits(maria, task=task)
    assert town.request(1).task == task


async def test_a_task_that_is_too_long_is_said_to_be(maria):
    await walk_to("task", maria)
    await maria.says("ы" * 10_001)
    maria.sees("Текст длиннее 10000 знаков: у вас 10001")


@pytest.mark.parametrize("typed", [".", "?!", "…"])
async def test_a_task_needs_words(maria, typed):
    await walk_to("task", maria)
    await maria.says(typed)
    assert len(maria.latest) == 1


# --- deadline ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Сегодня", "среда, 25 ноября, до 18:00"),
        ("2", "четверг, 26 ноября, до 18:00"),
        ("до 28-го", "суббота, 28 ноября, до 18:00, это выходной"),
        ("к понедельнику утром", "понедельник, 30 ноября, до 10:00"),
        ("15.01.2027 в 12:00", "пятница, 15 января 2027\N{NO-BREAK SPACE}г., до 12:00"),
        ("срочно", "среда, 25 ноября, до 13:03, срочно"),
    ],
)
async def test_a_deadline_is_shown_as_a_full_date(maria, typed, shown):
    await walk_to("deadline", maria)
    await maria.says(typed)
    maria.sees(f"Срок: {shown}")


@pytest.mark.parametrize(
    "typed", ["вчера", "31.02", "01.01.2035", "а можно завтра? или лучше в пятницу", "5/10", "не знаю", "25"]
)
async def test_a_deadline_that_cannot_be_is_asked_again(maria, typed):
    await walk_to("deadline", maria)
    await maria.says(typed)
    maria.sees(buttons=["Сегодня", "Завтра", "До пятницы", "Через неделю"])
    maria.sees_not("Срок:")
    await maria.says("в пятницу")
    maria.sees("Срок: пятница, 27 ноября, до 18:00.")


# --- files -------------------------------------------------------------------------------------


async def test_an_album_is_answered_once_and_the_refused_one_is_named(town, maria):
    await walk_to("files", maria)
    await maria.sends_files({"1.pdf": PDF, "2.png": PHOTO, "вирус.pdf": PROGRAM}, album="a1")
    maria.sees("Файлы: 1.pdf", "2.png", "Файл «вирус.pdf» — программа", buttons=["Готово", "Убрать файлы"])
    await maria.says_all("Готово", "Отправить")
    maria.sees("1.pdf (отпечаток", "2.png (отпечаток")


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "пустой"), (PROGRAM, "программа"), (LOCKED_ZIP, "закрыт паролем")],
    ids=["empty", "renamed program", "locked zip"],
)
async def test_a_bad_file_is_refused_with_the_reason(maria, content, why):
    await walk_to("files", maria)
    await maria.sends_files({"счёт.pdf" if content != LOCKED_ZIP else "счёт.zip": content})
    maria.sees(why, "Приложите файлы")


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_file_is_kept_at_every_question(maria, question):
    await walk_to(question, maria)
    await maria.sends_files({"счёт.pdf": PDF})
    maria.sees("счёт.pdf")
    for name, answer in WALK[QUESTIONS.index(question) :]:
        if name != "task" or question != "task":
            await maria.says(answer)
    maria.sees("Заявка № 1 принята.", "счёт.pdf (отпечаток")


async def test_the_same_invoice_again(maria):
    await walk_to("files", maria)
    await maria.sends_files({"счёт.pdf": PDF})
    await maria.sends_files({"счёт копия.pdf": PDF})
    maria.sees("Этот файл уже приложен.")
    maria.sees_not("копия")


async def test_files_can_be_removed(maria):
    await walk_to("files", maria)
    await maria.sends_files({"счёт.pdf": PDF})
    await maria.presses("Убрать файлы")
    maria.sees("Приложите файлы", buttons=["Готово", "Пропустить"])


@pytest.mark.parametrize("typed", ["Готово", "Пропустить", "нет", "файлов нет", "1", "2", "всё"])
async def test_no_files(maria, typed):
    await walk_to("files", maria)
    await maria.says(typed)
    maria.sees("Проверьте заявку:", "Файлы: нет")


async def test_words_at_the_files_are_added_to_the_task(maria):
    await walk_to("files", maria)
    await maria.says("и пришлите платёжку")
    maria.sees("Дописали в задачу: «и пришлите платёжку».", "Приложите файлы")
    await maria.says("Готово")
    maria.sees("12 345 ₽ по счёту 15\nи пришлите платёжку")


@pytest.mark.parametrize("question", ["files", "summary"])
async def test_a_caption_is_not_lost(maria, question):
    await walk_to(question, maria)
    await maria.sends_files({"счёт.pdf": PDF}, caption="это старый счёт, не платите")
    maria.sees("счёт.pdf", "Дописали в задачу: «это старый счёт, не платите».")


async def test_a_caption_may_be_the_answer(maria):
    await walk_to("task", maria)
    await maria.sends_files({"счёт.pdf": PDF, "договор.pdf": PDF_2}, caption="оплатите половину", album="a1")
    maria.sees("Приложили: счёт.pdf", "договор.pdf", "К какому сроку?")


async def test_a_file_without_words_is_not_yet_a_task(maria):
    await maria.says_all("7707083893", "Подготовить документ")
    await maria.sends_files({"договор.pdf": PDF})
    maria.sees("Приложили: договор.pdf", "словами, что нужно сделать")


# --- summary and changes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "title", "answer", "shown"),
    [
        ("inn", "Компания и ИНН", "ИП Кузнецова 500100732259", "ИП Кузнецова, ИНН 500100732259"),
        ("kind", "Вид работ", "Узнать остаток", "Узнать остаток — ООО Свет"),
        ("task", "Что сделать", "Заплатить половину", "Оплатить счёт — Заплатить половину"),
        ("deadline", "Срок", "завтра", "Срок: четверг, 26 ноября, до 18:00"),
    ],
)
@pytest.mark.parametrize("change", ["change", "keep", "back"])
async def test_each_field_can_be_changed(maria, field, title, answer, shown, change):
    await walk_to("summary", maria)
    before = maria.last.text
    await maria.says("Изменить")
    maria.sees("Что изменить?", buttons=["Компания и ИНН", "Вид работ", "Что сделать", "Срок", "Файлы"])
    await maria.says(title)
    maria.sees("Сейчас: ")
    await maria.says({"change": answer, "keep": "Оставить", "back": "Назад"}[change])
    maria.sees(shown if change == "change" else before, buttons=["Отправить", "Изменить"])


async def test_files_can_be_changed(maria):
    await walk_to("summary", maria)
    await maria.says_all("Изменить", "Файлы")
    await maria.sends_files({"счёт.pdf": PDF})
    maria.sees("Файлы: счёт.pdf", buttons=["Готово", "Убрать файлы"])
    await maria.says("Назад")
    maria.sees("Проверьте заявку:", "Файлы: счёт.pdf")


async def test_a_changed_kind_asks_what_it_lacks(maria):
    await walk_to("summary", maria)
    await maria.says_all("Изменить", "Вид работ", "Выписать накладную/УПД")
    maria.sees("Пришлите товары")
    await maria.says("Бумага А4; 10; 350")
    maria.sees("Проверьте заявку:", "1. Бумага А4", buttons=["Отправить", "Изменить"])
    await maria.says_all("Изменить", "Вид работ", "Консультация")
    maria.sees("Консультация — ")
    maria.sees_not("Бумага")


async def test_back_goes_through_every_question_and_loses_nothing(maria):
    await walk_to("summary", maria)
    summary = maria.last.text
    for question in reversed(QUESTIONS[:-1]):
        await maria.says("Назад")
        asked = "За какую компанию" if question == "inn" and maria.town.requests() else ASKED[question]
        maria.sees(asked)
    await maria.says("Назад")
    maria.sees("Это первый вопрос.", "Сейчас: 7707083893, ООО «Ромашка»")
    await maria.says("Оставить")
    maria.sees(summary)


async def test_back_at_the_first_question(maria):
    await maria.says("Назад")
    maria.sees("Это первый вопрос.", "Пришлите ИНН")


async def test_a_change_on_the_way_back_goes_on_where_it_was(maria):
    await walk_to("files", maria)
    await maria.says_all("Назад", "Назад")
    maria.sees("Сейчас: ООО Свет, 12 345 ₽ по счёту 15", "Кому и сколько заплатить?")
    await maria.says("ООО Тень, 500 ₽")
    maria.sees("Срок: пятница", "Приложите файлы")


@pytest.mark.parametrize("question", QUESTIONS)
async def test_cancel_and_restore_at_every_question(town, maria, question):
    await walk_to(question, maria)
    asked = maria.last.text
    await maria.says("Отмена")
    maria.sees("Заявку отменили", buttons=["Вернуть", "Новая заявка"])
    await maria.says("вернуть")
    maria.sees("Вернули заявку.", asked if question != "inn" else ASKED["inn"])
    assert town.requests() == []


async def test_a_cancelled_form_can_be_restored_by_its_button_after_other_talk(maria):
    await walk_to("files", maria)
    await maria.says_all("Отмена", "/status")
    await maria.presses("Вернуть")
    maria.sees("Вернули заявку.", "Приложите файлы")


async def test_after_cancelling_a_new_form_is_fresh(maria):
    await walk_to("files", maria)
    await maria.says_all("Отмена", "Новая заявка")
    maria.sees("Пришлите ИНН")


async def test_a_person_can_be_called_at_every_question(town, maria):
    for question, answer in WALK:
        await maria.presses("Позвать человека")
        maria.sees("А пока можно продолжить заявку.", ASKED[question])
        await maria.says(answer)
    await maria.presses("Позвать человека")
    maria.sees("Позвали человека, он ответит в этом чате. Посмотрим сегодня до", "+7 495 000-00-00")


async def test_words_at_the_summary_are_an_addition(maria):
    await walk_to("summary", maria)
    await maria.says("и ещё возьмите чек")
    maria.sees("Дописали в задачу: «и ещё возьмите чек».", "Проверьте заявку:")


@pytest.mark.parametrize("typed", ["Отправить", "1", "да", "отправляйте", "ОК"])
async def test_sending_may_be_typed(maria, typed):
    await walk_to("summary", maria)
    await maria.says(typed)
    maria.sees("Заявка № 1 принята.")


async def test_a_deadline_that_passed_before_sending_is_asked_again(town, maria):
    await submits(maria)
    await new_request_until_summary(maria, "сегодня до 12:00")
    town.pass_time(hours=3)
    await maria.says("Отправить")
    maria.sees("Пока заявка ждала, её срок прошёл.", "К какому сроку?")
    await maria.says("завтра")
    maria.sees("Проверьте заявку:", "четверг, 26 ноября")
    await maria.says("Отправить")
    maria.sees("Заявка № 2 принята.")


async def new_request_until_summary(client, deadline: str) -> None:
    await client.says_all("/new", "Оплатить счёт", "ООО Свет, 5 ₽", deadline, "Готово")


@pytest.mark.parametrize(
    ("days", "hours", "promise"),
    [
        (0, 0, "Посмотрим сегодня до 11:3"),
        (0, 6.7, "Рабочий день заканчивается. Посмотрим в четверг, 26 ноября, до 09:1"),
        (0, 9, "Рабочий день закончился. Посмотрим в четверг, 26 ноября, до 09:30."),
        (3, 0, "Сегодня выходной. Посмотрим в понедельник, 30 ноября, до 09:30."),
        (41, 0, "Сегодня выходной. Посмотрим в понедельник, 11 января, до 09:30."),
    ],
    ids=["at work", "late", "evening", "Saturday", "New Year holidays"],
)
async def test_the_promise_is_honest(town, maria, days, hours, promise):
    town.pass_time(days=days, hours=hours)
    await submits(maria, deadline="через две недели")
    maria.sees("принята.", promise)


async def test_new_requests_of_the_same_person_have_their_own_numbers(town, maria):
    await submits(maria)
    assert await new_request(maria, task="ООО Тень, 7 ₽") == 2
    assert [request.task for request in town.requests()] == [
        "ООО Свет, 12 345 ₽ по счёту 15",
        "ООО Тень, 7 ₽",
    ]


async def test_a_voice_message_is_kept_as_a_note(maria):
    await walk_to("task", maria)
    await maria.sends_files({"голос.ogg": VOICE}, role=FileRole.VOICE)
    maria.sees("Приложили: голос.ogg", "К какому сроку?")


# --- words about the form ------------------------------------------------------------------------


async def test_corrections_in_words_end_in_the_form(town, maria):
    await walk_to("files", maria)
    await maria.says("нет, лучше до четверга")
    maria.sees("Срок: четверг, 26 ноября, до 18:00", "Приложите файлы")
    await maria.says_all("не надо файлов", "поменяйте срок на завтра до 15:00")
    maria.sees("Срок: четверг, 26 ноября, до 15:00", buttons=["Отправить", "Изменить"])
    await maria.says_all("не та компания", "500100732259 ИП Кузнецова")
    maria.sees("ИП Кузнецова, ИНН 500100732259", buttons=["Отправить", "Изменить"])
    maria.sees_not("Дописали")
    await maria.says("да, всё верно")
    maria.sees("Заявка № 1 принята.")
    assert (town.request(1).task, town.request(1).inn) == ("ООО Свет, 12 345 ₽ по счёту 15", "500100732259")
