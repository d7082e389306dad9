"""After sending: status, notices, additions, clarifications, the result and what the client says to it."""

from datetime import timedelta

import pytest

from forms.messages import OutgoingFile
from router.model import Role
from storage import casework
from storage.models import AnswerVersion, Client, Message
from tests.client import Talker, Town
from tests.dialogue.paths import new_request, staff_does, submits, walk_to
from tests.dialogue.samples import PDF, PDF_2, PROGRAM


@pytest.fixture
def anna(town):
    return Talker(town, "staff-Анна Петрова", "Анна Петрова")


def result_file(town):
    kept = town.store.keep_sync(PDF_2, "платёжка.pdf")
    return (OutgoingFile(kept.sha256, kept.name, kept.verdict.media_type, kept.size_bytes),)


# --- status ------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["/status", "Мои заявки", "как дела"])
async def test_status_says_stage_who_and_what_is_next(maria, word):
    await submits(maria)
    await maria.says(word)
    maria.sees(
        "Заявка № 1: Оплатить счёт, ООО «Ромашка»", "Сейчас: назначена", "Ведёт: Анна Петрова", "Дальше: ",
        "Срок: пятница, 27 ноября, до 18:00",
        buttons=["Дополнить", "Отозвать", "Новая заявка", "Мои заявки"],
    )  # fmt: skip


async def test_status_of_nothing(maria):
    await maria.says_all("Отмена", "/status")
    maria.sees(
        "Заявок пока нет. Чтобы начать, выберите «Новая заявка».", buttons=["Новая заявка", "Мои заявки"]
    )


async def test_status_while_a_form_is_open_is_one_message(maria):
    await submits(maria)
    await maria.says_all("/new", "Консультация", "/status")
    maria.sees("Заявка № 1", "Недописанная заявка ждёт")
    await maria.presses("Продолжить")
    maria.sees("Продолжим вашу заявку.", "О чём ваш вопрос?")


async def test_two_open_requests_are_listed_and_opened(maria):
    await submits(maria)
    await new_request(maria)
    await maria.says("Мои заявки")
    maria.sees("Заявка № 2", "Заявка № 1", buttons=["Заявка № 2", "Заявка № 1", "Новая заявка", "Мои заявки"])
    await maria.says("2")
    maria.sees("Заявка № 1", buttons=["Дополнить", "Отозвать", "Новая заявка", "Мои заявки"])


# --- one notice per change ---------------------------------------------------------------------


async def test_every_change_is_told_once(town, maria):
    await submits(maria)
    await staff_does(town, casework.accept, 1)
    assert maria.hears() == ["Заявка № 1 в работе. Ведёт Анна Петрова."]
    await staff_does(town, casework.answer, 1, "Оплатили, платёжка в файле", result_file(town))
    maria.hears()
    maria.sees("Анна Петрова, по заявке № 1:", "Оплатили", files=["платёжка.pdf"])
    await staff_does(town, casework.done, 1, "Счёт оплачен", ())
    maria.hears()
    maria.sees("Заявка № 1 выполнена.", "Счёт оплачен", buttons=["1", "2", "3", "4", "5", "Не решено"])


async def test_the_receipt_names_who_will_do_it(town, maria):
    await town.staff("Пётр Юрист", Role.LAWYER)
    await submits(maria, kind="Консультация", task="Можно ли платить аванс наличными?")
    maria.sees("Займётся Пётр Юрист.")


async def test_when_nobody_fits_the_receipt_says_so(tmp_path):
    town = Town.open(tmp_path)
    town.clock += timedelta(hours=9)
    maria = await town.client()
    await submits(maria, inn="ООО «Ромашка» 7707083893")
    maria.sees("Подбираем бухгалтера, сообщим, кто займётся.", "Рабочий день закончился.")
    await town.database.close()


# --- adding ------------------------------------------------------------------------------------


async def test_words_after_sending_go_to_the_accountant(town, maria, anna):
    await submits(maria)
    anna.hears()
    await maria.says("Ещё нужна копия платёжки")
    maria.sees("Добавили к заявке № 1, ведёт Анна Петрова.", buttons=["Новая заявка", "Мои заявки"])
    anna.hears()
    anna.sees("ООО «Ромашка» пишет по заявке № 1:", "Ещё нужна копия платёжки")
    assert town.rows(Message)[-1].request_id == 1


async def test_adding_by_its_button(maria, anna):
    await submits(maria)
    await maria.presses("Дополнить")
    maria.sees("Напишите или приложите файлы, добавим к заявке № 1.")
    anna.hears()
    await maria.sends_files({"договор.pdf": PDF_2, "вирус.pdf": PROGRAM}, album="a1")
    maria.sees("Добавили к заявке № 1", "«вирус.pdf» — программа")
    anna.hears()
    anna.sees("пишет по заявке № 1:", files=["договор.pdf"])


@pytest.mark.parametrize("typed", ["отправить", "Готово", "согласен"])
async def test_a_label_typed_once_more_is_not_passed_on(maria, anna, typed):
    await submits(maria)
    anna.hears()
    await maria.says(typed)
    maria.sees("Эта заявка уже отправлена или закрыта.", "Заявка № 1")
    assert anna.hears() == []


async def test_adding_can_be_called_off(maria, anna):
    await submits(maria)
    anna.hears()
    await maria.presses("Дополнить")
    await maria.says("Отмена")
    maria.sees("Хорошо, ничего не добавляем.", "Заявка № 1")
    assert anna.hears() == []


async def test_adding_in_the_middle_of_another_form_comes_back_to_it(maria):
    await submits(maria)
    await maria.says_all("/new", "Оплатить счёт", "/status")
    await maria.presses("Дополнить")
    await maria.says("Вот ещё что")
    maria.sees("Добавили к заявке № 1", "Вернёмся к новой заявке.", "Кому и сколько заплатить?")


async def test_the_same_file_again_does_not_bother_the_accountant(maria, anna):
    await walk_to("files", maria)
    await maria.sends_files({"счёт.pdf": PDF})
    await maria.says_all("Готово", "Отправить")
    anna.hears()
    await maria.sends_files({"счёт.pdf": PDF})
    maria.sees("Этот файл уже есть в заявке № 1.")
    assert anna.hears() == []


async def test_with_two_open_requests_the_client_points(town, maria, anna):
    await submits(maria)
    await new_request(maria)
    await maria.says("копию пришлите")
    maria.sees(
        "К какой заявке это относится?", buttons=["№ 2: Оплатить счёт", "№ 1: Оплатить счёт", "Новая заявка"]
    )
    await maria.says("и ещё чек")
    anna.hears()
    await maria.says("№ 1: оплатить счёт")
    maria.sees("Добавили к заявке № 1, ведёт Анна Петрова.")
    anna.hears()
    anna.sees("по заявке № 1", "копию пришлите\nи ещё чек")


async def test_with_two_open_requests_it_may_be_a_third(maria):
    await submits(maria)
    await new_request(maria)
    await maria.says("нужно сдать отчёт по УСН за третий квартал")
    await maria.presses("Новая заявка")
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово")
    maria.sees("Сдать отчёт — нужно сдать отчёт по УСН за третий квартал")


# --- withdrawing -------------------------------------------------------------------------------


async def test_a_request_can_be_withdrawn(town, maria, anna):
    await submits(maria)
    anna.hears()
    await maria.presses("Отозвать")
    maria.sees("Отозвать заявку № 1?", buttons=["Да, отозвать", "Оставить"])
    await maria.says("да")
    maria.sees("Заявка № 1 отозвана.")
    assert town.request(1).status == "cancelled"
    anna.hears()
    anna.sees("заявка № 1 отозвана")
    await maria.presses("Да, отозвать")
    maria.sees("Отозвать уже нельзя.", "Сейчас: отменена")


async def test_withdrawing_can_be_thought_better_of(town, maria):
    await submits(maria)
    await maria.presses("Отозвать")
    await maria.says("нет")
    maria.sees("Заявка № 1", "Сейчас: назначена")
    assert town.request(1).status == "assigned"


async def test_an_old_yes_asks_again(town, maria):
    await submits(maria)
    await maria.presses("Отозвать")
    await staff_does(town, casework.accept, 1)
    await maria.presses("Да, отозвать")
    maria.sees_last("Сейчас: в работе", "Отозвать заявку № 1?")
    assert town.request(1).status == "accepted"


@pytest.mark.parametrize("typed", ["№ 1", "№1", "к заявке № 1", "2"])
async def test_the_request_that_words_belong_to_is_named(town, maria, anna, typed):
    await submits(maria)
    await new_request(maria)
    anna.hears()
    await maria.says("Акт подписали вчера")
    maria.sees("К какой заявке", buttons=["№ 2: Оплатить счёт", "№ 1: Оплатить счёт", "Новая заявка"])
    assert {"Отмена", "Позвать человека"} <= set(maria.latest[-1].labels)
    await maria.says(typed)
    maria.sees("Добавили к заявке № 1")
    anna.hears()
    anna.sees("пишет по заявке № 1:", "Акт подписали вчера")


async def test_a_number_alone_shows_the_request(maria):
    await submits(maria)
    await new_request(maria)
    await maria.says("№ 1")
    maria.sees("Заявка № 1: Оплатить счёт", buttons=["Дополнить", "Отозвать", "Новая заявка", "Мои заявки"])
    await maria.says("№ 17")
    maria.sees("Такой заявки нет.")


async def test_a_number_that_was_asked_for_names_no_request(town, maria):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "task", "Какой номер счёта?")
    await maria.says("№ 16")
    maria.sees_last("Записали в заявку № 1.", "№ 16")
    await maria.presses("Мои заявки")
    await maria.presses("Дополнить")
    await maria.says("№ 1")
    maria.sees("Добавили к заявке № 1")


# --- clarifications ----------------------------------------------------------------------------


async def test_a_clarification_is_answered_wrongly_and_then_rightly(town, maria, anna):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "deadline", "")
    maria.hears()
    maria.sees(
        "Анна Петрова уточняет по заявке № 1: Срок.", "Было: пятница, 27 ноября, до 18:00", "К какому сроку?",
        buttons=["Сегодня", "Завтра", "До пятницы", "Через неделю", "Оставить как было"],
    )  # fmt: skip
    anna.hears()
    await maria.says("31.11")
    maria.sees("31", buttons=["Сегодня", "Завтра", "До пятницы", "Через неделю", "Оставить как было"])
    assert anna.hears() == []
    await maria.says("в понедельник")
    maria.sees("Записали в заявку № 1.", "Срок: понедельник, 30 ноября, до 18:00")
    anna.hears()
    anna.sees("клиент уточнил", "было: пятница, 27 ноября", "стало: понедельник, 30 ноября")
    assert town.request(1).status == "accepted"
    assert [row.value[:10] for row in town.rows(AnswerVersion) if row.field == "deadline"] == [
        "2026-11-27",
        "2026-11-30",
    ]


@pytest.mark.parametrize("word", ["ок", "Спасибо!", "хорошо"])
async def test_courtesy_answers_no_clarification(town, maria, word):
    task = (await submits(maria)) and town.request(1).task
    await staff_does(town, casework.clarify, 1, "task", "Какой номер счёта?")
    maria.hears()
    await maria.says(word)
    maria.sees("Какой номер счёта?", buttons=["Оставить как было"])
    assert (town.request(1).task, town.request(1).status) == (task, "waiting_client")
    await maria.says("счёт 16")
    maria.sees("Записали в заявку № 1.", "счёт 16")


@pytest.mark.parametrize(
    "word",
    [
        "да",
        "подойдёт",
        "ок",
        "не знаю, решайте сами",
        "когда деньги дойдут?",
        "Не решено",
        "давайте созвонимся",
    ],
)
async def test_words_that_answer_no_field_reach_the_accountant(town, maria, anna, word):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "deadline", "успеем только к понедельнику, подойдёт?")
    maria.hears()
    anna.hears()
    await maria.says(word)
    maria.sees(
        "Передали, ответит Анна Петрова.",
        buttons=["Сегодня", "Завтра", "До пятницы", "Через неделю", "Оставить как было"],
    )  # fmt: skip
    assert "Позвать человека" in maria.latest[-1].labels
    anna.hears()
    anna.sees("ООО «Ромашка» пишет по заявке № 1:", word)
    assert town.rows(Message)[-1].request_id == 1
    assert (town.request(1).status, town.request(1).unanswered_since is None) == ("waiting_client", False)
    await maria.says("в понедельник")
    maria.sees("Записали в заявку № 1.", "Срок: понедельник, 30 ноября")


@pytest.mark.parametrize("word", ["да", "не знаю"])
async def test_yes_is_said_to_the_accountant_and_replaces_no_task(town, maria, anna, word):
    task = (await submits(maria)) and town.request(1).task
    await staff_does(town, casework.clarify, 1, "task", "счёт 15 или 16?")
    anna.hears()
    await maria.says(word)
    maria.sees_last("Передали, ответит Анна Петрова.", "счёт 15 или 16?")
    anna.hears()
    anna.sees("пишет по заявке № 1:", word)
    assert town.request(1).task == task


async def test_words_and_files_for_a_question_that_takes_none_are_kept(town, maria, anna):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "inn", "")
    anna.hears()
    await maria.sends_files({"устав.pdf": PDF_2}, caption="да, Ромашка, вот устав")
    maria.sees_last("Передали, ответит Анна Петрова.", "ИНН")
    anna.hears()
    anna.sees("да, Ромашка, вот устав", files=["устав.pdf"])


@pytest.mark.parametrize("word", ["Отмена", "Назад"])
async def test_a_way_out_of_a_clarification_is_shown(town, maria, anna, word):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "files", "нужен договор")
    anna.hears()
    await maria.says(word)
    maria.sees_last(
        "По заявке № 1 от вас ждут ответ: Файлы.", "Было: нет", "нужен договор", "«Оставить как было»",
        buttons=["Оставить как было"],
    )  # fmt: skip
    assert anna.hears() == []
    await maria.says("оставьте как было")
    maria.sees("Хорошо, в заявке № 1 всё остаётся как было.", "Файлы: нет")
    anna.hears()
    anna.sees("Заявка № 1: клиент просит оставить как было. Файлы: нет")
    assert (town.request(1).status, town.request(1).question) == ("accepted", None)
    await maria.presses("Оставить как было")
    maria.sees("На этот вопрос вы уже ответили.")


async def test_a_question_in_the_middle_of_a_form_can_be_put_off(town, maria):
    await submits(maria)
    await maria.says_all("/new", "Консультация")
    await staff_does(town, casework.clarify, 1, "deadline", "")
    maria.hears()
    await maria.says("Отмена")
    maria.sees("Вопрос по заявке № 1 подождёт.", "О чём ваш вопрос?")
    await maria.says("Можно ли платить наличными?")
    maria.sees("К какому сроку?")


async def test_words_after_the_result_are_no_answer_to_an_older_question(town, maria, anna):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "deadline", "")
    await staff_does(town, casework.done, 1, "Счёт оплачен", ())
    await maria.says("а почему сумма другая?")
    maria.sees_last("Добавили к заявке № 1", "Если результат не подошёл")


async def test_nobody_leaves_anothers_request_as_it_was(town, maria):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "deadline", "")
    maria.hears()
    boris = await town.client(key="boris", name="Борис")
    await boris.presses_id(maria.press_of("Оставить как было"))
    boris.sees("На этот вопрос вы уже ответили.", "Пришлите ИНН")
    assert town.request(1).status == "waiting_client"


async def test_a_clarification_by_button_while_another_form_is_open(town, maria):
    await submits(maria)
    await maria.says_all("/new", "Консультация")
    await staff_does(town, casework.clarify, 1, "kind", "")
    maria.hears()
    maria.sees("уточняет по заявке № 1: Вид работ.")
    await maria.says("Сдать отчёт")
    maria.sees("Записали в заявку № 1.", "Вернёмся к новой заявке.", "О чём ваш вопрос?")
    assert town.request(1).kind == "report"
    await maria.says("Можно ли платить наличными?")
    maria.sees("К какому сроку?")


async def test_a_clarification_by_words_while_another_form_is_open(town, maria):
    await submits(maria)
    await maria.says_all("/new", "Консультация")
    await staff_does(town, casework.clarify, 1, "task", "Какой номер счёта?")
    maria.hears()
    maria.sees("Было: ООО Свет", "Какой номер счёта?")
    await maria.says("счёт 16 на 500 ₽")
    maria.sees("Записали в заявку № 1.", "счёт 16 на 500 ₽", "Вернёмся к новой заявке.", "О чём ваш вопрос?")


async def test_a_clarification_set_aside_for_a_form_is_answered_afterwards(town, maria):
    await submits(maria)
    await maria.says("/new")
    await staff_does(town, casework.clarify, 1, "task", "Какой номер счёта?")
    await maria.says_all("Консультация")
    await maria.says_all("Можно ли платить наличными?", "завтра", "Готово", "Отправить")
    maria.sees_last("Заявка № 2 принята.")
    await maria.says("счёт 16")
    maria.sees("Записали в заявку № 1.", "счёт 16")


async def test_a_clarification_with_a_file(town, maria):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "files", "")
    maria.hears()
    maria.sees("уточняет по заявке № 1: Файлы.", "Пришлите, пожалуйста, файл", buttons=["Оставить как было"])
    await maria.says("сейчас")
    maria.sees("Передали, ответит Анна Петрова.", "Пришлите, пожалуйста, файл")
    await maria.sends_files({"вирус.pdf": PROGRAM})
    maria.sees("программа")
    await maria.sends_files({"счёт.pdf": PDF})
    maria.sees("Записали в заявку № 1.", "счёт.pdf")


async def test_a_clarified_inn_moves_the_request_to_the_right_client(town, maria):
    town.known_client("500100732259", "ИП Кузнецова")
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "inn", "")
    maria.hears()
    maria.sees("уточняет по заявке № 1: Компания и ИНН.", "Было: ")
    await maria.says("500100732250")
    maria.sees("не сходятся")
    await maria.says("500100732259")
    maria.sees("ИП Кузнецова, ИНН 500100732259")
    request = town.request(1)
    client = next(client for client in town.rows(Client) if client.id == request.client_id)
    assert (request.company, client.inn) == ("ИП Кузнецова", "500100732259")


async def test_an_answered_clarification_is_not_asked_again(town, maria):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "deadline", "")
    await maria.presses("Завтра")
    maria.sees_last("Записали в заявку № 1.")
    await maria.presses("Через неделю")
    maria.sees("На этот вопрос вы уже ответили.", "Заявка № 1")


async def test_nobody_answers_for_another(town, maria):
    await submits(maria)
    await staff_does(town, casework.clarify, 1, "deadline", "")
    boris = await town.client(key="boris", name="Борис")
    maria.hears()
    await boris.presses_id(maria.press_of("Завтра"))
    boris.sees("На этот вопрос вы уже ответили.", "Пришлите ИНН")
    assert town.request(1).status == "waiting_client"


# --- the result --------------------------------------------------------------------------------


@pytest.fixture
async def done(town, maria):
    await submits(maria)
    await staff_does(town, casework.done, 1, "Счёт оплачен", ())
    maria.hears()
    return maria


@pytest.mark.parametrize("mark", ["5", "4"])
async def test_the_result_is_rated(town, done, mark):
    await done.says(mark)
    done.sees("Спасибо за оценку. Заявка № 1 закрыта.", buttons=["Новая заявка", "Мои заявки"])
    assert (town.request(1).rating, town.request(1).status) == (int(mark), "closed")


async def test_a_mark_while_an_answer_is_owed_promises_it(town, done):
    await done.says("А почему сумма другая?")
    await done.presses("4")
    done.sees("Спасибо за оценку. На ваше сообщение по заявке № 1 ещё ответят.")
    assert (town.request(1).rating, town.request(1).status) == (4, "done")


async def test_a_bad_mark_offers_to_reopen(town, done):
    await done.presses("2")
    done.sees(
        "закрыта. Если вопрос остался, ответьте «Не решено».",
        buttons=["Не решено", "Новая заявка", "Мои заявки"],
    )


async def test_rating_twice(town, done):
    await done.presses("5")
    await done.presses("1")
    done.sees("Оценка заявки № 1 уже есть: 5. Спасибо!")
    assert town.request(1).rating == 5


@pytest.mark.parametrize(
    "forged", ["rate:1:9:0", "rate:1:²:0", "rate:99999999999999999999:5:0", "rate:x:5:0"]
)
async def test_a_forged_mark_changes_nothing(town, done, forged):
    await done.presses_id(forged)
    assert len(done.latest) == 1
    assert (town.request(1).status, town.request(1).rating) == ("done", None)


@pytest.mark.parametrize("typed", ["Не решено", "не решено: не та сумма", "Не решена!"])
async def test_not_solved_reopens(town, done, typed):
    await done.says(typed)
    done.sees("Заявка № 1 снова в работе.")
    assert town.request(1).status == "accepted"
    if ":" not in typed:
        await done.says("Сумма не та")
        done.sees("Добавили к заявке № 1")


@pytest.mark.parametrize("typed", ["спасибо", "Спасибо!", "благодарю"])
async def test_thanks_do_not_reopen(town, done, typed):
    await done.says(typed)
    done.sees("Пожалуйста! Оцените, пожалуйста, заявку № 1", buttons=["1", "2", "3", "4", "5", "Не решено"])
    assert town.request(1).status == "done"


async def test_words_after_the_result_reach_the_accountant(town, done):
    await done.says("А почему сумма другая?")
    done.sees("Добавили к заявке № 1", "Если результат не подошёл, ответьте «Не решено».")
    assert town.request(1).unanswered_since is not None


async def test_reopening_after_closing(town, done):
    await done.presses("5")
    town.pass_time(days=2)
    await done.says("/status")
    done.sees("Сейчас: закрыта", buttons=["Не решено", "Повторить", "Новая заявка", "Мои заявки"])
    await done.presses("Не решено")
    done.sees("Заявка № 1 снова в работе. Напишите, что не так")
    await done.presses("Не решено")
    done.sees("Сейчас этого сделать нельзя", "Сейчас: в работе")


async def test_after_a_year_it_is_too_late_to_reopen(town, done):
    await done.presses("5")
    town.pass_time(days=400)
    await done.presses("Не решено")
    assert len(done.latest) == 1
    assert town.request(1).status == "closed"


# --- the same once more ------------------------------------------------------------------------


async def test_the_last_request_is_repeated(town, done):
    await done.presses("5")
    await done.says("Мои заявки")
    await done.presses("Повторить")
    done.sees("Компания: ООО «Ромашка»", "Оплатить счёт — ООО Свет, 12 345 ₽ по счёту 15", "К какому сроку?")
    await done.says_all("завтра", "Готово", "Отправить")
    done.sees("Заявка № 2 принята.", "ООО Свет, 12 345 ₽ по счёту 15")


async def test_repeating_does_not_lose_a_form_that_is_open(done):
    await done.presses("5")
    await done.says_all("Мои заявки", "/new", "Консультация")
    await done.presses("Повторить")
    done.sees("Сначала закончите эту заявку или ответьте «Отмена».", "О чём ваш вопрос?")


async def test_a_waybill_is_repeated_with_its_goods(town, maria):
    await maria.says_all(
        "7707083893",
        "Выписать накладную/УПД",
        "Для ООО «Свет»\nБумага А4; 10; 350",
        "завтра",
        "Готово",
        "Отправить",
    )
    await maria.presses("Отозвать")
    await maria.says("да")
    await maria.says("/status")
    await maria.presses("Повторить")
    maria.sees("1. Бумага А4", "К какому сроку?")
