"""Words about a form that is all but ready: assent, objections and corrections are no part of the task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.dialogue import EDIT, FILES, SUMMARY, Outcome, Progress, Turn, advance, begin
from forms.fields import FormContext, Said
from notifications.texts import Catalogue
from router.worktime import WorkCalendar, parse_hours
from tests.client import MOSCOW, WEDNESDAY

CONTEXT = FormContext(WEDNESDAY, WorkCalendar(MOSCOW, *parse_hours("09:00-18:00")), "Баланс Актив")
ANSWERS = {"inn": "7707083893", "company": "ООО «Ромашка»", "kind": "pay", "task": "ООО Свет, 500 ₽"}
WAY = {FILES: ("до пятницы",), SUMMARY: ("до пятницы", "Готово"), EDIT: ("до пятницы", "Готово", "Изменить")}
SAY = Catalogue.open("ru").say


def at(asked: str) -> Progress:
    progress = begin(CONTEXT, ANSWERS)
    for text in WAY[asked]:
        progress = advance(progress, Said(text=text), CONTEXT).progress
    assert progress.asking == asked
    return progress


def says(text: str, asked: str) -> Turn:
    return advance(at(asked), Said(text=text), CONTEXT)


def told(turn: Turn) -> str:
    return SAY(turn.replies[0].text)


@pytest.mark.parametrize(
    "typed",
    [
        "Да, всё верно", "всё верно, отправляйте", "готово", "отправить заявку", "всё так", "Отправить",
        "да, отправляйте, спасибо",
    ],
)  # fmt: skip
@pytest.mark.parametrize("asked", [SUMMARY, EDIT])
def test_assent_sends(typed, asked):
    assert says(typed, asked).outcome is Outcome.SUBMITTED


@pytest.mark.parametrize("typed", ["+", "++", "👍", "👍🏻👍🏻", "ага", "да"])
def test_mere_assent_sends_only_what_is_seen(typed):
    assert says(typed, SUMMARY).outcome is Outcome.SUBMITTED
    assert says(typed, EDIT).progress.asking == SUMMARY


@pytest.mark.parametrize("typed", ["?", "😊", "…"])
@pytest.mark.parametrize("asked", [SUMMARY, FILES])
def test_a_sign_is_no_addition(typed, asked):
    progress = says(typed, asked).progress
    assert progress.asking == asked
    assert progress.answers["task"] == ANSWERS["task"]


@pytest.mark.parametrize(
    "typed",
    ["не верно", "нет, неправильно", "не так", "есть ошибка", "хочу изменить заявку", "не отправляйте"],
)
def test_an_objection_asks_what_is_wrong(typed):
    assert says(typed, SUMMARY).progress.asking == EDIT


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("срок", "deadline"), ("Изменить срок", "deadline"), ("неверный срок", "deadline"),
        ("поменяйте, пожалуйста, сроки", "deadline"), ("срок не тот", "deadline"),
        ("не та компания", "inn"), ("Компания и ИНН", "inn"), ("другая компания", "inn"),
        ("ошибка в ИНН", "inn"), ("название неправильное", "inn"), ("убери файлы", "files"),
        ("Измените задачу", "task"), ("не тот вид работ", "kind"), ("поменяйте вид на что-нибудь", "kind"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("asked", [SUMMARY, EDIT, FILES])
def test_a_name_of_a_field_opens_it(typed, name, asked):
    progress = says(typed, asked).progress
    assert progress.asking == name
    assert progress.answers["task"] == ANSWERS["task"]
    back = {SUMMARY: SUMMARY, EDIT: SUMMARY, FILES: FILES}[asked]
    kept = advance(progress, Said(text="Готово" if name == "files" else "Оставить"), CONTEXT).progress
    assert kept.asking == (SUMMARY if name == "files" else back)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("завтра", "Срок: четверг, 26 ноября, до 18:00"),
        ("поменяйте срок на завтра", "Срок: четверг, 26 ноября, до 18:00"),
        ("срок поменяйте на завтра", "Срок: четверг, 26 ноября, до 18:00"),
        ("срок до 15:00 завтра", "Срок: четверг, 26 ноября, до 15:00"),
        ("нет, давайте лучше в понедельник", "Срок: понедельник, 30 ноября, до 18:00"),
        ("нет, лучше до четверга", "Срок: четверг, 26 ноября, до 18:00"),
        ("перенесите на вторник", "Срок: вторник, 1 декабря, до 18:00"),
        ("не завтра, а в понедельник", "Срок: понедельник, 30 ноября, до 18:00"),
        ("компания 500100732259 ИП Кузнецова", "ИП Кузнецова, ИНН 500100732259"),
        ("поменяйте компанию на ИП Кузнецова 500100732259", "ИП Кузнецова, ИНН 500100732259"),
        ("вид работ консультация", "Консультация — ООО Свет"),
        ("измените задачу на: заплатить половину", "Оплатить счёт — заплатить половину\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("asked", [SUMMARY, EDIT])
def test_a_correction_in_words_is_taken(typed, shown, asked):
    turn = says(typed, asked)
    assert turn.progress.asking == SUMMARY
    assert shown in told(turn)
    assert "Дописали" not in told(turn)


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("срок вчера", "уже прошло"), ("срок не завтра", "Поняли, когда не надо"),
        ("завтра или в пятницу", "Какой день верный"),
        ("перенесите на следующую неделю", "Назовите день точнее"), ("сегодня до 9:00", "уже прошло"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("asked", [SUMMARY, EDIT, FILES])
def test_a_wrong_deadline_is_asked_again(typed, problem, asked):
    turn = says(typed, asked)
    assert turn.progress.asking == "deadline"
    assert problem in told(turn)
    assert turn.progress.answers["task"] == ANSWERS["task"]


@pytest.mark.parametrize(
    "typed",
    [
        "сумма не 12345, а 12500", "компания просит прислать чек", "срок оплаты по счёту 30 ноября",
        "ИНН получателя 500100732259", "вопрос ещё один: нужен ли чек", "оплатите завтра утром",
        "не платите без звонка", "задача срочная", "счёт 15 завтра", "2 копии до пятницы",
    ],
)  # fmt: skip
@pytest.mark.parametrize("asked", [SUMMARY, FILES])
def test_other_words_stay_an_addition(typed, asked):
    before, turn = at(asked), says(typed, asked)
    assert turn.progress.answers["task"] == f"{ANSWERS['task']}\n{typed}"
    assert turn.progress.answers["deadline"] == before.answers["deadline"]
    assert turn.progress.asking == asked


def test_what_to_change_does_not_go_round_in_circles():
    turn = says("сумма 12 500", EDIT)
    assert "Нажмите, что изменить" in told(turn)
    assert "Не получается?" not in told(turn)
    turn = advance(turn.progress, Said(text="ещё что-нибудь"), CONTEXT)
    assert "Нажмите, что изменить" in told(turn)
    assert "Не получается? Ответьте «Позвать человека»" in told(turn)
    turn = advance(turn.progress, Said(text="задача оплатить половину"), CONTEXT)
    assert "Оплатить счёт — оплатить половину" in told(turn)


@pytest.mark.parametrize("typed", ["нет", "ничего не менять", "Назад"])
def test_nothing_to_change_leads_back(typed):
    assert says(typed, EDIT).progress.asking == SUMMARY


@pytest.mark.parametrize(
    "typed",
    ["не надо файлов", "файлов не будет", "нету", "без файла", "это всё, спасибо", "Отправить", "больше нет"],
)
def test_no_files_in_other_words(typed):
    progress = says(typed, FILES).progress
    assert (progress.asking, progress.answers["files"]) == (SUMMARY, "[]")
    assert progress.answers["task"] == ANSWERS["task"]


@pytest.mark.parametrize("typed", ["нет, лучше до четверга", "срок до четверга"])
def test_a_correction_at_the_files_is_taken(typed):
    turn = says(typed, FILES)
    assert turn.progress.asking == FILES
    assert told(turn).startswith("Срок: четверг, 26 ноября, до 18:00.\nПриложите")


WORDS = st.sampled_from(
    [
        "срок", "не та", "компания", "завтра", "ИНН", "500100732259", "измените", "на", "файлы", "задача",
        "вид работ", "всё", "верно", "нет", "+", "👍", ":", ",", "».",
    ]
)  # fmt: skip


@given(
    st.lists(WORDS, max_size=7).map(" ".join) | st.text(max_size=40), st.sampled_from([FILES, SUMMARY, EDIT])
)
def test_whatever_is_said_is_answered(text, asked):
    turn = says(text, asked)
    assert turn.replies or turn.outcome in (Outcome.SUBMITTED, Outcome.HUMAN)
    assert all(told(turn) for _reply in turn.replies)
