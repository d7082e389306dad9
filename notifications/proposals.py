"""An edit of a request that was sent already is a proposal: what both sides read about it."""

from __future__ import annotations

from forms.fields import Answers, FormContext
from forms.messages import Button, OutgoingFile, Press, Reply
from forms.request_form import BY_NAME
from forms.texts import Text, _, lines, listed, sentence
from notifications.compose import RequestFacts
from router.desk import status_words

PROPOSAL_SCOPE = "prop"
AGREE = "agree"
KEEP = "keep"


def differences(before: Answers, after: Answers, context: FormContext) -> tuple[Text, ...]:
    """«Срок»: было …, стало …; a field each. The company goes with its INN."""
    return tuple(
        _(
            "«{field}»: было {old}, стало {new}",
            field=BY_NAME[name].title,
            old=_shown(name, before, context),
            new=_shown(name, {**before, **after}, context),
        )
        for name in after
        if name in BY_NAME and not (name == "company" and "inn" in after)
    )


def _shown(name: str, answers: Answers, context: FormContext) -> Text:
    if not answers.get(name):
        return _("не указано")
    if name == "inn":
        return _("{company}, ИНН {inn}", company=answers.get("company", ""), inn=answers["inn"])
    return BY_NAME[name].show(answers[name], context)


# --- for the client ----------------------------------------------------------------------------


def proposed(facts: RequestFacts, changed: Answers, context: FormContext) -> Text:
    """The request stays as it is until the accountant agrees."""
    where = (
        _("Заявка № {number} уже у бухгалтера.", number=facts.number)
        if facts.assignee
        else _("Заявка № {number} уже отправлена.", number=facts.number)
    )
    first, *others = _proposing(facts.answers, changed, context)
    return lines(sentence(where, first), *others)


def _proposing(before: Answers, changed: Answers, context: FormContext) -> tuple[Text, ...]:
    return tuple(
        _("Предложили изменить {change}.", change=change) for change in differences(before, changed, context)
    )


def not_proposed(facts: RequestFacts, why: Text) -> Text:
    """The edited words do not answer the field."""
    return lines(why, _("Заявка № {number} не изменилась.", number=facts.number))


def withdrawn(facts: RequestFacts, field: str, context: FormContext) -> Text:
    """The client has edited the words back."""
    return _(
        "В заявке № {number} всё остаётся как было: {field} — {value}.",
        number=facts.number, field=BY_NAME[field].title, value=_shown(field, facts.answers, context),
    )  # fmt: skip


def agreed(facts: RequestFacts, before: Answers, changed: Answers, context: FormContext) -> Text:
    """The request has the new value."""
    return lines(
        _("Заявка № {number}: изменение приняли.", number=facts.number),
        *differences(before, changed, context),
    )


def refused(facts: RequestFacts, changed: Answers, context: FormContext) -> Text:
    """The request keeps the old value."""
    kept = (
        _("{field} — {value}", field=BY_NAME[name].title, value=_shown(name, facts.answers, context))
        for name in changed
        if name in BY_NAME and not (name == "company" and "inn" in changed)
    )
    return _("Заявка № {number}: оставили прежнее. {kept}.", number=facts.number, kept=listed(*kept))


def deadline_moved(
    facts: RequestFacts, before: Answers, changed: Answers, reason: str, context: FormContext
) -> Text:
    """The firm has settled another deadline."""
    return lines(
        _("Заявка № {number}: срок перенесли.", number=facts.number),
        *differences(before, changed, context),
        _("Причина: {reason}", reason=reason),
        _("Если так не подходит, напишите нам."),
    )


def words_passed_on(facts: RequestFacts) -> Text:
    """An edited message that answers no field."""
    return _("Исправление передали, заявка № {number}.", number=facts.number)


def too_late(facts: RequestFacts) -> Text:
    """The request has ended."""
    status = status_words(facts.status)
    return _("Исправление сохранили, но заявка № {number} уже {status}.", number=facts.number, status=status)


# --- for staff ---------------------------------------------------------------------------------


def proposal_notice(facts: RequestFacts, changed: Answers, proposal_id: int, context: FormContext) -> Reply:
    """«Клиент предлагает изменить …» with the decision."""
    text = lines(
        *(
            _("{client} предлагает изменить {change}.", client=facts.client, change=change)
            for change in differences(facts.answers, changed, context)
        ),
        _("Заявка № {number}. Пока в ней прежнее.", number=facts.number),
    )
    target = str(proposal_id)
    agree = Button(_("Принять"), str(Press(PROPOSAL_SCOPE, target, AGREE)), ("agree",))
    keep = Button(_("Оставить прежнее"), str(Press(PROPOSAL_SCOPE, target, KEEP)), ("оставить", "keep"))
    return Reply(text, ((agree, keep),))


def withdrawn_notice(facts: RequestFacts, field: str) -> Reply:
    """The client has edited the words back before anybody decided."""
    return Reply(
        _(
            "{client}: изменение «{field}» по заявке № {number} больше не нужно.",
            client=facts.client, field=BY_NAME[field].title, number=facts.number,
        )
    )  # fmt: skip


def edited_notice(facts: RequestFacts, before: str, after: str, files: tuple[OutgoingFile, ...]) -> Reply:
    """The client has edited a message that answers no field: both texts."""
    text = lines(
        _("{client} исправляет сообщение по заявке № {number}.", client=facts.client, number=facts.number),
        _("Было: {words}", words=before) if before and before != after else None,
        _("Стало: {words}", words=after) if after else None,
        _("Файлы: {names}", names=listed(*(file.name for file in files))) if files else None,
    )
    return Reply(text, files=files)
