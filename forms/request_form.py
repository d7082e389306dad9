"""The unified form. A question is one `Field` in `FORM`; nothing else has to change to add one."""

from __future__ import annotations

import re

from forms.answers import AnswerError
from forms.deadline import deadline_choices, from_text, parse_deadline, show_deadline, to_text
from forms.fields import Answers, Choice, Field, FormContext, Said, files_from_text
from forms.goods import Goods, parse_goods, show_goods, split_goods
from forms.inn import parse_company_name, parse_inn, split_company
from forms.kinds import BY_CODE, KINDS, RequestKind
from forms.messages import loosely
from forms.texts import Size, Text, _, lines, listed, n_, plain, sentence

MAX_TASK_LENGTH = 10_000
"""More than any messenger lets a person write at once; beyond it a file is the better way."""

ANOTHER_COMPANY = "another"


# --- company and INN ---------------------------------------------------------------------------


def _ask_company(answers: Answers, context: FormContext) -> Text:
    if "company" in answers:
        return _("«{name}» — записали. Теперь ИНН: 10 или 12 цифр.", name=answers["company"])
    if context.companies and not answers.get("_another"):
        return _("За какую компанию заявка? Выберите или пришлите ИНН.")
    return _("Пришлите ИНН компании или ИП. Можно вместе с названием, например: 7707083893 Ромашка.")


def _company_choices(answers: Answers, context: FormContext) -> tuple[Choice, ...]:
    if not context.companies or "company" in answers or answers.get("_another"):
        return ()
    own = tuple(Choice(company.inn, plain(company.name)) for company in context.companies)
    return (*own, Choice(ANOTHER_COMPANY, _("Другая компания"), ("другая", "другой", "новая")))


def _parse_company(said: Said, answers: Answers, context: FormContext) -> Answers:
    if said.press:
        return _pressed_company(said.press.value, context)
    inn_text, name = split_company(said.text)
    if inn_text is not None:
        inn = parse_inn(inn_text)
        known = _known_name(inn, context)
        if known:
            return {"inn": inn, "company": known}
        if name:
            return {"inn": inn, "company": parse_company_name(name)}
        return {"inn": inn}
    wanted = loosely(said.text)
    own = [company for company in context.companies if wanted and wanted in loosely(company.name)]
    if len(own) == 1:
        return {"inn": own[0].inn, "company": own[0].name}
    if "company" in answers:
        raise AnswerError(_("Здесь нужен ИНН — 10 или 12 цифр. Он есть в любом вашем счёте или договоре."))
    return {"company": parse_company_name(said.text)}


def _pressed_company(value: str, context: FormContext) -> Answers:
    if value == ANOTHER_COMPANY:
        return {"_another": "1"}
    for company in context.companies:
        if company.inn == value:
            return {"inn": company.inn, "company": company.name}
    raise AnswerError(_("Этой компании больше нет в вашем списке. Пришлите ИНН."))


def _known_name(inn: str, context: FormContext) -> str | None:
    own = {company.inn: company.name for company in context.companies}
    return own.get(inn) or (context.directory or {}).get(inn)


def _ask_name(answers: Answers, _context: FormContext) -> Text:
    return _("ИНН {inn} у нас впервые. Как называется компания или ИП?", inn=answers["inn"])


def _parse_name(said: Said, _answers: Answers, _context: FormContext) -> Answers:
    return {"company": parse_company_name(said.text)}


def _show_plain(value: str, _context: FormContext) -> Text:
    return plain(value)


# --- what to do --------------------------------------------------------------------------------


def _ask_kind(answers: Answers, _context: FormContext) -> Text:
    if "inn" in answers:
        return _("{company}, ИНН {inn}. Что нужно сделать?", company=answers["company"], inn=answers["inn"])
    return _("Что нужно сделать?")


def _kind_choices(_answers: Answers, _context: FormContext) -> tuple[Choice, ...]:
    return tuple(Choice(kind.code, kind.label) for kind in KINDS)


_WORDS_OF_A_LABEL = 3


def _parse_kind(said: Said, _answers: Answers, _context: FormContext) -> Answers:
    if said.press:
        if said.press.value not in BY_CODE:
            raise AnswerError(_("Такого вида работ больше нет. Выберите из списка или напишите своими словами."))
        return {"kind": said.press.value}
    words = said.text.split()
    if not re.search(r"\w{2}", said.text):
        raise AnswerError(_("Напишите словами, что нужно сделать, или выберите из списка."))
    kind = recognise_kind(said.text)
    if len(words) <= _WORDS_OF_A_LABEL and kind is not None:
        return {"kind": kind.code}
    return {"kind": (kind or BY_CODE["other"]).code, **_details(said.text, kind or BY_CODE["other"])}


def recognise_kind(text: str) -> RequestKind | None:
    """The kind whose word comes first in free text, or None."""
    spoken = text.casefold().replace("ё", "е")
    found = [
        (spoken.find(stem.replace("ё", "е")), order, kind)
        for order, kind in enumerate(KINDS)
        for stem in kind.stems
        if stem.replace("ё", "е") in spoken
    ]
    return min(found, key=lambda item: item[:2])[2] if found else None


def _show_kind(value: str, _context: FormContext) -> Text:
    return BY_CODE[value].label if value in BY_CODE else plain(value)


def _kind(answers: Answers) -> RequestKind:
    return BY_CODE.get(answers.get("kind", ""), BY_CODE["other"])


def _ask_task(answers: Answers, _context: FormContext) -> Text:
    return _kind(answers).question


def _parse_task(said: Said, answers: Answers, _context: FormContext) -> Answers:
    kind = _kind(answers)
    if said.text.strip():
        return _details(said.text, kind)
    if any(file.is_voice for file in said.files):
        return {"task": "Голосовое сообщение (приложено)"}
    if said.files and kind.code == "pay":
        return {"task": "Оплатить по приложенному счёту"}
    raise AnswerError(_("Напишите, пожалуйста, словами, что нужно сделать."))


def _details(text: str, kind: RequestKind) -> dict[str, str]:
    text = text.replace("\0", "").strip()
    if len(text) > MAX_TASK_LENGTH:
        raise AnswerError(
            _(
                "Сообщение длиннее {limit} знаков: у вас {count}. Сократите или пришлите текст файлом.",
                limit=MAX_TASK_LENGTH,
                count=len(text),
            )
        )
    if not re.search(r"\w{2}", text):
        raise AnswerError(_("Напишите чуть подробнее, что нужно сделать: хотя бы несколько слов."))
    if "goods" not in kind.extras:
        return {"task": text}
    goods, rest = split_goods(text)
    filled = {"task": rest.strip() or "Выписать накладную по списку товаров"}
    return filled | ({"goods": goods.to_text()} if goods else {})


def _needs_goods(answers: Answers) -> bool:
    return "goods" in _kind(answers).extras


def _ask_goods(_answers: Answers, _context: FormContext) -> Text:
    return _(
        "Пришлите товары, каждый с новой строки: наименование; количество; цена.\n"
        "Например:\nБумага А4; 10; 350\nРучка; 25; 40,50"
    )


def _parse_goods(said: Said, _answers: Answers, _context: FormContext) -> Answers:
    return {"goods": parse_goods(said.text).to_text()}


def _show_goods(value: str, _context: FormContext) -> Text:
    return show_goods(Goods.from_text(value))


# --- deadline ----------------------------------------------------------------------------------


def _ask_deadline(answers: Answers, context: FormContext) -> Text:
    question = _("К какому сроку? Выберите или напишите словами: «до 28-го», «к понедельнику утром».")
    return lines(_show_goods(answers["goods"], context), question) if "goods" in answers else question


def _deadline_buttons(_answers: Answers, context: FormContext) -> tuple[Choice, ...]:
    return tuple(
        Choice(code, label) for code, label, _at in deadline_choices(context.now, context.calendar)
    )


def _parse_deadline(said: Said, _answers: Answers, context: FormContext) -> Answers:
    if said.press:
        for code, _label, deadline in deadline_choices(context.now, context.calendar):
            if code == said.press.value:
                return {"deadline": to_text(deadline)}
        raise AnswerError(_("Этот срок уже не подходит: день закончился. Выберите другой."))
    return {"deadline": to_text(parse_deadline(said.text, context.now, context.calendar))}


def _show_deadline(value: str, context: FormContext) -> Text:
    deadline = from_text(value)
    shown = show_deadline(deadline, context.now, context.calendar)
    urgent = _("срочно") if deadline.urgent else None
    day_off = _("это выходной") if not context.calendar.is_working_day(deadline.at.date()) else None
    return listed(shown, urgent, day_off)


# --- files -------------------------------------------------------------------------------------

FILES_DONE = "done"
FILES_CLEAR = "clear"


def _ask_files(answers: Answers, context: FormContext) -> Text:
    fact = None
    if "deadline" in answers:
        fact = _("Срок: {deadline}.", deadline=_show_deadline(answers["deadline"], context))
    attached = files_from_text(answers.get("_files", ""))
    if not attached:
        ask = _("Приложите файлы, если есть: счёт, договор, фото. Или нажмите «Готово».")
        return lines(fact, ask)
    return lines(
        fact,
        _("Файлы: {files}.", files=show_files(answers["_files"], context)),
        _("Пришлите ещё или нажмите «Готово»."),
    )


def _file_choices(answers: Answers, _context: FormContext) -> tuple[Choice, ...]:
    done = Choice(FILES_DONE, _("Готово"), ("все", "всё", "done", "ready", "хватит", "больше нет"))
    if files_from_text(answers.get("_files", "")):
        return (done, Choice(FILES_CLEAR, _("Убрать файлы"), ("убрать", "удалить файлы")))
    return (done, Choice("skip", _("Пропустить"), ("нет", "без файлов", "пропуск", "skip", "no", "не надо")))


def _parse_files(said: Said, answers: Answers, _context: FormContext) -> Answers:
    # Files themselves are kept by the dialogue at any question; here only the word "done" is read.
    if said.press:
        if said.press.value == FILES_CLEAR:
            return {"_files": "[]"}
        return {"files": answers.get("_files", "[]")}
    if said.text.strip():
        raise AnswerError(
            _("Здесь ждём файлы. Если файлов нет, нажмите «Готово». Чтобы дописать задачу, потом нажмите «Изменить».")
        )
    return {}


def show_files(value: str, _context: FormContext) -> Text:
    """Names and sizes; «нет» when there are none."""
    attached = files_from_text(value)
    if not attached:
        return _("нет")
    return listed(
        *(_("{name} ({size})", name=file.name, size=Size(file.size_bytes)) for file in attached)
    )


FORM: tuple[Field, ...] = (
    Field(
        name="inn", title=_("Компания и ИНН"), question=_ask_company, parse=_parse_company,
        show=_show_plain, sample="7707083893", choices=_company_choices, choices_per_row=1,
        fills=("inn", "company", "_another"),
    ),
    Field(
        name="company", title=_("Название"), question=_ask_name, parse=_parse_name,
        show=_show_plain, sample="ООО «Ромашка»", part_of="inn",
    ),
    Field(
        name="kind", title=_("Вид работ"), question=_ask_kind, parse=_parse_kind,
        show=_show_kind, sample="Консультация", choices=_kind_choices,
    ),
    Field(
        name="task", title=_("Что сделать"), question=_ask_task, parse=_parse_task,
        show=_show_plain, sample="Можно ли платить аванс наличными?",
    ),
    Field(
        name="goods", title=_("Товары"), question=_ask_goods, parse=_parse_goods,
        show=_show_goods, sample="Бумага А4; 10; 350", asked_if=_needs_goods,
    ),
    Field(
        name="deadline", title=_("Срок"), question=_ask_deadline, parse=_parse_deadline,
        show=_show_deadline, sample="через неделю", choices=_deadline_buttons,
    ),
    Field(
        name="files", title=_("Файлы"), question=_ask_files, parse=_parse_files,
        show=show_files, sample="Готово", choices=_file_choices,
    ),
)  # fmt: skip

BY_NAME = {field.name: field for field in FORM}


def title_and_value(field: Field, answers: Answers, context: FormContext) -> Text:
    """One line of the summary."""
    return _("{title}: {value}", title=field.title, value=field.show(answers[field.name], context))


def summary_lines(answers: Answers, context: FormContext) -> tuple[Text, ...]:
    """The whole form for reading: summary, receipt, the accountant's card."""
    shown: list[Text] = []
    if "inn" in answers and "company" in answers:
        shown.append(_("Компания: {company}, ИНН {inn}", company=answers["company"], inn=answers["inn"]))
    if "kind" in answers and "task" in answers:
        shown.append(
            _("Что сделать: {kind} — {task}", kind=_show_kind(answers["kind"], context), task=answers["task"])
        )
    shown += [
        title_and_value(BY_NAME[name], answers, context)
        for name in ("goods", "deadline", "files")
        if name in answers and BY_NAME[name].asked_if(answers)
    ]
    shown += [
        title_and_value(field, answers, context)
        for field in FORM
        if field.name in answers and field.name not in _SHOWN_TOGETHER and field.asked_if(answers)
    ]
    return tuple(shown)


_SHOWN_TOGETHER = frozenset({"inn", "company", "kind", "task", "goods", "deadline", "files"})


def counted_files(count: int) -> Text:
    """«1 файл», «2 файла», «5 файлов»."""
    return n_("{count} файл", "{count} файлов", count)


__all__ = ["BY_NAME", "FORM", "counted_files", "recognise_kind", "sentence", "summary_lines", "title_and_value"]
