"""A question is one declaration: a longer form is walked by the same dialogue."""

import pytest

from forms.answers import AnswerError
from forms.dialogue import Outcome, advance, begin, screen
from forms.fields import Choice, Field, FormContext, Said
from forms.messages import Press
from forms.request_form import FORM, summary_lines
from forms.texts import _, plain
from notifications.texts import Catalogue
from router.worktime import WorkCalendar, parse_hours
from tests.client import MOSCOW, WEDNESDAY

CONTEXT = FormContext(WEDNESDAY, WorkCalendar(MOSCOW, *parse_hours("09:00-18:00")), "Баланс Актив")
SAY = Catalogue.open("ru").say


def parse_branch(said, _answers, _context):
    if said.press:
        return {"branch": said.press.value}
    if not said.text.strip().isalpha():
        raise AnswerError(_("Название филиала пишут буквами."))
    return {"branch": said.text.strip()}


BRANCH = Field(
    name="branch", title=_("Филиал"), question=lambda _a, _c: _("Какой филиал?"), parse=parse_branch,
    show=lambda value, _context: plain(value), sample="Тверь",
    choices=lambda _a, _c: (Choice("Москва", _("В Москве"), ("мск",)),),
)  # fmt: skip

LONGER = {place: (*FORM[:place], BRANCH, *FORM[place:]) for place in (0, 2, 5, len(FORM))}


@pytest.mark.parametrize("form", LONGER.values(), ids=LONGER.keys())
def test_another_question_is_walked_shown_changed_and_sent(form):
    progress = begin(CONTEXT, form=form)
    asked = []
    while progress.asking != "~summary":
        asked.append(progress.asking)
        sample = next(field.sample for field in form if field.name == progress.asking)
        progress = advance(progress, Said(text=sample), CONTEXT, form).progress
    assert "branch" in asked
    assert "Филиал: Тверь" in SAY(screen(progress, CONTEXT, form=form).text)

    for text in ("Изменить", "Филиал", "мск"):
        progress = advance(progress, Said(text=text), CONTEXT, form).progress
    assert "Филиал: Москва" in SAY(screen(progress, CONTEXT, form=form).text)

    sent = advance(progress, Said(text="Отправить"), CONTEXT, form)
    assert sent.outcome is Outcome.SUBMITTED
    assert sent.submitted is not None
    assert sent.submitted["branch"] == "Москва"
    assert "Филиал: Москва" in [SAY(line) for line in summary_lines(sent.submitted, CONTEXT, form)]


def test_its_mistake_is_explained_in_its_own_words():
    progress = begin(CONTEXT, form=LONGER[0])
    turn = advance(progress, Said(text="12"), CONTEXT, LONGER[0])
    assert SAY(turn.replies[0].text) == "Название филиала пишут буквами."


def test_a_draft_from_before_the_question_is_asked_it():
    old = begin(CONTEXT)
    for text in ("7707083893 Ромашка", "Консультация", "Можно ли платить наличными?", "завтра", "Готово"):
        old = advance(old, Said(text=text), CONTEXT).progress
    assert "Какой филиал?" in SAY(advance(old, Said(text="Отправить"), CONTEXT, LONGER[2]).replies[0].text)


ANSWERS = {"inn": "7707083893", "company": "ООО «Ромашка»", "kind": "waybill", "task": "Для ООО «Свет»"}


@pytest.mark.parametrize("field", FORM, ids=lambda field: field.name)
def test_every_question_accepts_its_sample_and_shows_it(field):
    others = field.others({**ANSWERS, "_files": "[]"})
    shown = screen(begin(CONTEXT, others), CONTEXT)
    assert shown.text.msgid
    choices = {SAY(choice.label): choice.value for choice in field.choices(others, CONTEXT)}
    press = choices.get(field.sample)
    said = Said(press=Press("form", field.name, press)) if press else Said(text=field.sample)
    filled = field.parse(said, others, CONTEXT)
    assert SAY(field.show(filled[field.name], CONTEXT))
    assert SAY(field.question(others, CONTEXT)).strip()
    assert set(filled) <= set(field.replaces()) | {"task"}
