"""The walk through the form itself: where words go, what a press counts for, what one field alone takes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from forms.answers import AnswerError
from forms.dialogue import SUMMARY, Nav, Outcome, Progress, advance, begin, nav_word, parse_one, screen
from forms.fields import Company, FormContext, Said
from forms.messages import Press
from forms.request_form import recognise_kind
from notifications.texts import Catalogue
from router.worktime import WorkCalendar, parse_hours
from tests.client import MOSCOW, WEDNESDAY

CONTEXT = FormContext(WEDNESDAY, WorkCalendar(MOSCOW, *parse_hours("09:00-18:00")), "Баланс Актив")
TWO = replace(CONTEXT, companies=(Company("7707083893", "ООО «Ромашка»"), Company("500100732259", "Value")))
ANSWERS = {"inn": "7707083893", "company": "ООО «Ромашка»", "kind": "pay", "task": "ООО Свет, 500 ₽"}
SAY = Catalogue.open("ru").say


def says(progress: Progress, *texts: str, context: FormContext = CONTEXT) -> Progress:
    for text in texts:
        progress = advance(progress, Said(text=text), context).progress
    return progress


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Оплатить счёт", "pay"), ("перевести деньги", "pay"), ("ПЛАТЁЖ", "pay"),
        ("узнать остаток", "balance"),
        ("недостаток на складе", None), ("УПД", "waybill"), ("есть вопрос по оплате", "advice"),
        ("договор аренды", "document"), ("", None),
    ],
)  # fmt: skip
def test_the_kind_whose_word_comes_first(text, code):
    kind = recognise_kind(text)
    assert (kind.code if kind else None) == code


@pytest.mark.parametrize(
    ("word", "nav"),
    [
        ("НАЗАД", Nav.BACK), ("«Отмена».", Nav.CANCEL), ("человека, позовите!", Nav.HUMAN), ("/new", Nav.NEW),
        ("назад в СССР", None),
    ],
)  # fmt: skip
def test_words_that_are_possible_at_any_moment(word, nav):
    assert nav_word(word) is nav


def test_words_in_the_same_breath_belong_to_the_task():
    progress = says(begin(CONTEXT, ANSWERS | {"task": "счёт 15"}), "Назад", "счёт 16")
    soon = replace(CONTEXT, now=CONTEXT.now + timedelta(seconds=2))
    assert says(progress, "от ООО Свет", context=soon).answers["task"] == "счёт 16\nот ООО Свет"
    later = replace(CONTEXT, now=CONTEXT.now + timedelta(seconds=10))
    turn = advance(progress, Said(text="от ООО Свет"), later)
    assert turn.progress.answers["task"] == "счёт 16"
    assert turn.progress.failures == 1


def test_a_company_is_chosen_by_its_name_typed():
    assert says(begin(TWO), "value", context=TWO).answers["company"] == "Value"
    assert says(begin(CONTEXT), "value").answers == {"_company_name": "value"}


NO_NAMES = [
    "не знаю", "где взять ИНН?", "до конца недели", "потом пришлю", "у меня ИП", "нет", "Я не знаю ИНН", "ИП",
    "сейчас посмотрю", "забыла", "что это?", "завтра", "нет под рукой", "физлицо", "срочно",
]  # fmt: skip


@pytest.mark.parametrize("typed", NO_NAMES)
def test_what_is_no_name_does_not_become_one(typed):
    turn = advance(begin(CONTEXT), Said(text=typed), CONTEXT)
    assert turn.progress.answers == {}
    assert "ИНН есть в любом вашем счёте" in SAY(turn.replies[0].text)
    turn = advance(turn.progress, Said(text=typed), CONTEXT)
    assert "Позвать человека" in SAY(turn.replies[0].text)
    asked = says(begin(CONTEXT), "500100732259")
    turn = advance(asked, Said(text=typed), CONTEXT)
    assert turn.progress.answers == {"inn": "500100732259"}
    assert "Напишите название" in SAY(turn.replies[0].text)


def test_a_kind_is_no_name():
    turn = advance(says(begin(CONTEXT), "500100732259"), Said(text="Консультация"), CONTEXT)
    assert turn.progress.asking == "company"
    assert "Напишите название" in SAY(turn.replies[0].text)


@pytest.mark.parametrize(
    "typed",
    [
        "Ромашка",
        "ООО «Завтра»",
        "«Пятница»",
        "ООО Что где когда",
        "Наш дом",
        "Компания Свет",
    ],
)
def test_odd_names_are_names(typed):
    assert says(begin(CONTEXT), typed).answers == {"_company_name": typed}
    assert says(begin(CONTEXT), "500100732259", typed).answers["company"] == typed


KNOWN = replace(CONTEXT, directory={"500100732259": "ИП Кузнецова"})
NEW = replace(CONTEXT, directory={})
AT_KIND = {"inn": "7707083893", "company": "ООО «Ромашка»"}


@pytest.mark.parametrize(
    ("typed", "context", "company"),
    [
        ("500100732259", KNOWN, "ИП Кузнецова"), ("500100732259 ИП Иванов", KNOWN, "ИП Кузнецова"),
        ("500100732259 кузнецова", KNOWN, "ИП Кузнецова"), ("500100732259 ИП Иванов", NEW, "ИП Иванов"),
        ("ООО «Свет», ИНН 500100732259", NEW, "ООО «Свет»"),
    ],
)  # fmt: skip
def test_another_company_at_the_kind_is_no_task(typed, context, company):
    turn = advance(begin(context, AT_KIND), Said(text=typed), context)
    assert turn.progress.answers == {"inn": "500100732259", "company": company}
    assert turn.progress.asking == "kind"
    assert company in SAY(turn.replies[0].text)


@pytest.mark.parametrize(
    "typed", ["оплатить 500100732259 ИП Иванов", "перевод 500100732259", "позвоните ИП Иванову 89161112233"]
)
def test_a_company_inside_a_task_stays_there(typed):
    answers = says(begin(KNOWN, AT_KIND), typed, context=KNOWN).answers
    assert (answers["inn"], answers["task"]) == ("7707083893", typed)


def test_a_slip_in_the_number_of_another_company_is_told():
    turn = advance(begin(NEW, AT_KIND), Said(text="500100732258 ИП Иванов"), NEW)
    assert turn.progress.answers == AT_KIND
    assert "опечатка" in SAY(turn.replies[0].text)


@pytest.mark.parametrize(
    ("typed", "heard"),
    [
        ("какой остаток на счёте в Сбере", "Записали: Узнать остаток — какой остаток на счёте в Сбере"),
        ("а почему так долго?", "Записали: Другое — а почему так долго?"),
        ("оплатить " + "ООО Свет " * 20, "Записали: Оплатить счёт — оплатить ООО Свет "),
    ],
)
def test_a_kind_in_free_words_is_read_back_once(typed, heard):
    turn = advance(begin(CONTEXT, AT_KIND), Said(text=typed), CONTEXT)
    assert SAY(turn.replies[0].text).startswith(heard)
    assert len(SAY(turn.replies[0].text).splitlines()[0]) < 100
    ready = says(turn.progress, "завтра", "Готово")
    assert "Записали" not in SAY(advance(ready, Said(text="срок"), CONTEXT).replies[0].text)


def test_a_kind_that_was_pressed_is_not_read_back():
    progress = says(begin(CONTEXT, AT_KIND), "Узнать остаток")
    assert "Записали" not in SAY(advance(progress, Said(text="в Сбере"), CONTEXT).replies[0].text)


def test_a_press_counts_only_on_its_own_screen():
    progress = begin(CONTEXT, ANSWERS, revision=7)
    press = Press("form", "deadline", "tomorrow", 7)
    assert advance(progress, Said(press=press), CONTEXT).progress.asking == "files"
    for stale in (replace(press, revision=6), replace(press, target="kind"), replace(press, scope="nav")):
        turn = advance(progress, Said(press=stale), CONTEXT)
        assert turn.progress == progress
        assert "от прошлого вопроса" in SAY(turn.replies[0].text)


def test_every_button_leads_somewhere():
    progress = says(begin(CONTEXT, ANSWERS), "завтра", "Готово")
    assert progress.asking == SUMMARY
    for button in screen(progress, CONTEXT).buttons():
        turn = advance(progress, Said(press=Press.parse(button.press)), CONTEXT)
        assert turn.outcome is not Outcome.GOING or turn.progress.revision > progress.revision


def test_one_field_alone_leaves_the_others():
    said = Said(text="нужно сдать отчёт по УСН за 2026 год")
    assert parse_one("kind", said, ANSWERS, CONTEXT) == {"kind": "report"}
    assert parse_one("inn", Said(text="500100732259"), ANSWERS, CONTEXT) == {
        "inn": "500100732259", "company": "ООО «Ромашка»",
    }  # fmt: skip
    with pytest.raises(AnswerError):
        parse_one("deadline", Said(text="вчера"), ANSWERS, CONTEXT)


def test_a_kind_that_is_gone_is_asked_again():
    progress = says(begin(CONTEXT, ANSWERS | {"kind": "abolished"}), "завтра", "Готово")
    turn = advance(progress, Said(text="Отправить"), CONTEXT)
    assert turn.progress.asking == "kind"
    assert "Такого вида работ больше нет." in SAY(turn.replies[0].text)


@pytest.mark.parametrize("kept", [None, {}, {"staff": {"step": "answer"}}, {"answers": {}}])
def test_what_is_no_form_is_no_progress(kept):
    assert Progress.from_json(kept) is None
