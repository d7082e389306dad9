"""A call or a visit that staff wrote down is read back to the client: what is asked, and what staff hear.

A button of a read-back carries how many answers the request had then: one given to an older text is
answered with the present one.
"""

from __future__ import annotations

from collections.abc import Mapping

from forms.dialogue import NAV_SCOPE, Nav
from forms.fields import Answers, FormContext
from forms.messages import Button, Press, Reply
from forms.request_form import BY_NAME, FORM, summary_lines
from forms.texts import Text, _, lines
from notifications.compose import HEARD_SCOPE, RequestFacts, fingerprints

FIX_SCOPE = "fix"
_FIELD = "field-"

Rows = tuple[tuple[Button, ...], ...]


def read_back(facts: RequestFacts, context: FormContext, revision: int, note: Text | None = None) -> Reply:
    """«Записали с ваших слов: … Верно?»."""
    text = lines(
        note,
        _("Записали с ваших слов, заявка № {number}:", number=facts.number),
        *written_down(facts, context),
        _("Займётся {name}.", name=facts.assignee) if facts.assignee else None,
        _("Верно?"),
    )
    yes = Button(_("Верно"), _heard(facts, "yes", revision), ("да", "все верно", "правильно", "yes"))
    fix = Button(_("Исправить"), _heard(facts, "fix", revision), ("нет", "неверно", "поправить", "no"))
    return Reply(text, ((yes, fix), (_human(),)))


def written_down(facts: RequestFacts, context: FormContext) -> tuple[Text | None, ...]:
    """What was written down, field by field."""
    answers = {name: value for name, value in facts.answers.items() if name != "files"}
    return (*summary_lines(answers, context), fingerprints(facts.answers.get("files", "[]")))


def to_be_read_out(facts: RequestFacts, context: FormContext) -> Text:
    """The same for a client whom no messenger reaches: staff read it out by telephone."""
    return lines(
        _("Прочитать клиенту заявку № {number} и спросить, всё ли верно:", number=facts.number),
        *written_down(facts, context),
    )


def what_to_fix(facts: RequestFacts, revision: int, note: Text | None = None) -> Reply:
    """Which field is wrong: one button each. `note` says before it what has just been told to staff."""
    buttons = [
        Button(field.title, _heard(facts, f"{_FIELD}{field.name}", revision))
        for field in FORM
        if field.part_of is None and field.name in facts.answers and field.asked_if(facts.answers)
    ]
    rows = tuple(tuple(buttons[at : at + 2]) for at in range(0, len(buttons), 2))
    text = lines(note, _("Что исправить?"))
    return Reply(text, (*rows, _ways_out(facts, revision)), prompt=note is None)


def field_of(value: str, answers: Answers) -> str | None:
    """The field that a button of `what_to_fix` names, if this request has it."""
    name = value.removeprefix(_FIELD) if value.startswith(_FIELD) else ""
    return name if name in answers and name in BY_NAME and BY_NAME[name].part_of is None else None


def ask_field(facts: RequestFacts, name: str, context: FormContext, revision: int) -> Reply:
    """The field's own question with its own buttons."""
    asked = BY_NAME[name]
    choices = () if name == "files" else asked.choices(asked.others(facts.answers), context)
    rows = tuple(
        (
            Button(
                choice.label,
                str(Press(FIX_SCOPE, f"{facts.number}.{name}", choice.value, revision)),
                choice.synonyms,
            ),
        )
        for choice in choices
    )
    question = (
        _("Пришлите файлы, которых не хватает.")
        if name == "files"
        else asked.question(asked.others(facts.answers), context)
    )
    text = lines(
        _("{title} сейчас: {value}", title=asked.title, value=_shown(facts, name, context)), question
    )
    return Reply(text, (*rows, _ways_out(facts, revision)), prompt=True)


def confirmed_notice(facts: RequestFacts, by: str) -> Reply:
    """To whoever has the request, in one line; `by` is the member of staff who telephoned."""
    values: Mapping[str, object] = {"number": facts.number, "client": facts.client, "name": by}
    if by:
        return Reply(_("Заявка № {number}, {client}: клиент подтвердил по телефону ({name}).", **values))
    return Reply(_("Заявка № {number}, {client}: клиент подтвердил, записано верно.", **values))


def corrected_notice(facts: RequestFacts, before: Answers, context: FormContext) -> Reply:
    """To whoever has the request: each changed field as it was and as it is."""
    shown: list[Text | None] = [
        _("Заявка № {number}, {client}: клиент исправил запись.", number=facts.number, client=facts.client)
    ]
    for field in FORM:
        if facts.answers.get(field.name) == before.get(field.name):
            continue
        if field.name in before:
            was = field.show(before[field.name], context)
            shown.append(_("{field} — было: {value}", field=field.title, value=was))
        if field.name in facts.answers:
            now = field.show(facts.answers[field.name], context)
            shown.append(_("{field} — стало: {value}", field=field.title, value=now))
    return Reply(lines(*shown))


def _shown(facts: RequestFacts, name: str, context: FormContext) -> Text:
    if name == "inn":
        return _("{company}, ИНН {inn}", company=facts.answers["company"], inn=facts.answers["inn"])
    return BY_NAME[name].show(facts.answers[name], context)


def _ways_out(facts: RequestFacts, revision: int) -> tuple[Button, ...]:
    as_it_is = Button(_("Оставить как есть"), _heard(facts, "show", revision), ("назад", "отмена", "back"))
    return (as_it_is, _human())


def _human() -> Button:
    return Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN)))


def _heard(facts: RequestFacts, value: str, revision: int) -> str:
    return str(Press(HEARD_SCOPE, str(facts.number), value, revision))
