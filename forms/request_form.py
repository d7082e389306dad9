"""The unified form. A question is one `Field` in `FORM`; nothing else has to change to add one."""

from __future__ import annotations

import re

from forms.answers import AnswerError
from forms.deadline import deadline_choices, from_text, parse_deadline, show_deadline, speaks_of_time, to_text
from forms.fields import Answers, Choice, Field, Form, FormContext, Said, files_from_text
from forms.goods import Goods, parse_goods, show_goods, split_goods
from forms.inn import INN_LENGTHS, parse_company_name, parse_inn, split_company
from forms.kinds import BY_CODE, OTHER, OUR_KINDS, Kinds, RequestKind
from forms.messages import loosely
from forms.texts import Size, Text, _, lines, listed, plain, sentence
from forms.vocabulary import Vocabulary

MAX_TASK_LENGTH = 10_000
"""More than any messenger lets a person write at once; beyond it a file is the better way."""

ANOTHER_COMPANY = "another"


# --- company and INN ---------------------------------------------------------------------------

_NAMED = "_company_name"
"""The name that came before its INN."""
_OTHER_COMPANY = "_other_company"
_TASK_FIRST = "_task_first"
"""The client began with what is to be done."""


def _ask_company(answers: Answers, context: FormContext) -> Text:
    if _NAMED in answers:
        return _("«{name}» — записали. Теперь ИНН: 10 или 12 цифр.", name=answers[_NAMED])
    fact = _("Задачу записали.") if _TASK_FIRST in answers else None
    if _company_choices(answers, context):
        return sentence(fact, _("За какую компанию заявка? Выберите или пришлите ИНН."))
    return sentence(
        fact, _("Пришлите ИНН компании или ИП. Можно вместе с названием, например: 7707083893 Ромашка.")
    )


def _company_choices(answers: Answers, context: FormContext) -> tuple[Choice, ...]:
    if not context.companies or _NAMED in answers or _OTHER_COMPANY in answers:
        return ()
    own = tuple(Choice(company.inn, plain(company.name)) for company in context.companies)
    return (*own, Choice(ANOTHER_COMPANY, _("Другая компания"), ("другая", "другой", "новая", "another")))


def _parse_company(said: Said, answers: Answers, context: FormContext) -> Answers:
    if said.press:
        return _pressed_company(said.press.value, context)
    inn_text, name = split_company(said.text)
    if inn_text is not None:
        return _company_by_inn(parse_inn(inn_text), name or answers.get(_NAMED), context)
    if not re.search(r"[^\W\d_]", said.text):
        return {"inn": parse_inn(said.text)}
    wanted = loosely(said.text)
    own = [company for company in context.companies if wanted and wanted in loosely(company.name)]
    if len(own) == 1:
        return {"inn": own[0].inn, "company": own[0].name}
    if "task" not in answers and _is_task(said.text, context):
        return _task_before_company(said.text, context)
    if _NAMED in answers:
        raise AnswerError(_("Здесь нужен ИНН — 10 или 12 цифр. Он есть в любом вашем счёте или договоре."))
    _refuse_no_name(
        said.text,
        context,
        _("ИНН есть в любом вашем счёте или договоре. Нет под рукой — напишите название компании или ИП."),
    )
    return {_NAMED: parse_company_name(said.text)}


_NO_NAME = Vocabulary.of(
    "не нет нету да знаю помню понял поняла потом позже пришлю скину отправлю напишу вышлю сейчас минуту "
    "секунду забыл забыла затрудняюсь где какой какая какую что это как зачем почему кто взять найти узнать "
    "посмотрю посмотреть ип ооо инн самозанятый самозанятая физлицо новая новый просто лицо компания "
    "компанию фирма организация моя мой наша наш любая та же прежняя прошлая ничего пусто чего",
    "я мы у меня нас мне вас и а ну же то ли его ее их ли мой в под рукой нужно надо лежит есть на счет "
    "физическое юридическое частное вот ой бы можно",
)
"""What people answer who have no name to tell; «ИП» alone is none either."""


def _refuse_no_name(text: str, context: FormContext, advice: Text) -> None:
    """A question, a deadline or «не знаю» must not become the name of a company. Raises AnswerError."""
    is_quoted = bool(re.search('[«"]', text))
    no_name = "?" in text or _NO_NAME.speaks(text) or speaks_of_time(text, context.now, context.calendar)
    if no_name and not is_quoted:
        raise AnswerError(advice)


def _company_by_inn(inn: str, name: str | None, context: FormContext) -> Answers:
    known = _known_name(inn, context)
    if known:
        return {"inn": inn, "company": known}
    return {"inn": inn, "company": parse_company_name(name)} if name else {"inn": inn}


_LEGAL_FORM = re.compile(
    r"\b(?:ооо|оао|зао|пао|ао|ип|нко|тсж|снт|гск|общество|предприниматель)\b|[«\"]", re.IGNORECASE
)
_WORDS_OF_A_NAME = 5
"""A longer answer without «ООО» or quotation marks is not the name of a company."""


def _is_task(text: str, context: FormContext) -> bool:
    """Whether somebody who was asked for a company has said at once what they want."""
    words = len(text.split())
    legal_form = _LEGAL_FORM.search(text)
    # «Оплатите счёт ООО Свет» is a task, «ООО Отчёт и документ» a name.
    before_name = text[: legal_form.start()] if legal_form else text
    if recognise_kind(before_name, context.kinds) is not None:
        return True
    return legal_form is None and words > _WORDS_OF_A_NAME


def has_legal_form(text: str) -> bool:
    """Whether «ООО», «ИП» or quotation marks show the name of a company."""
    return _LEGAL_FORM.search(text) is not None


def _task_before_company(text: str, context: FormContext) -> Answers:
    kind = recognise_kind(text, context.kinds)
    filled = _details(text, BY_CODE[OTHER]) if kind is None else _kind_and_details(kind, text, context)
    return {**filled, _TASK_FIRST: "1"}


def _pressed_company(value: str, context: FormContext) -> Answers:
    if value == ANOTHER_COMPANY:
        return {_OTHER_COMPANY: "1"}
    for company in context.companies:
        if company.inn == value:
            return {"inn": company.inn, "company": company.name}
    raise AnswerError(_("Этой компании больше нет в вашем списке. Пришлите ИНН."))


def _known_name(inn: str, context: FormContext) -> str | None:
    own = {company.inn: company.name for company in context.companies}
    return own.get(inn) or (context.directory or {}).get(inn)


def _ask_name(answers: Answers, _context: FormContext) -> Text:
    return _("ИНН {inn} у нас впервые. Как называется компания или ИП?", inn=answers["inn"])


def _parse_name(said: Said, _answers: Answers, context: FormContext) -> Answers:
    advice = _("Напишите название, как в счетах. Например: ООО «Ромашка» или ИП Кузнецова.")
    if _is_label(said.text, context):
        raise AnswerError(advice)
    _refuse_no_name(said.text, context, advice)
    return {"company": parse_company_name(said.text)}


def _show_plain(value: str, _context: FormContext) -> Text:
    return plain(value)


# --- what to do --------------------------------------------------------------------------------


def _ask_kind(answers: Answers, _context: FormContext) -> Text:
    if "inn" in answers:
        return _("{company}, ИНН {inn}. Что нужно сделать?", company=answers["company"], inn=answers["inn"])
    return _("Что нужно сделать?")


def _kind_choices(_answers: Answers, context: FormContext) -> tuple[Choice, ...]:
    return tuple(Choice(kind.code, kind.label) for kind in context.kinds.offered)


_WORDS_OF_A_LABEL = 3
_HEARD = "_heard"
"""The kind was found in the client's own words, and they have not yet been read back."""


def _parse_kind(said: Said, _answers: Answers, context: FormContext) -> Answers:
    if said.press:
        if not context.kinds.offers(said.press.value):
            raise AnswerError(
                _("Такого вида работ больше нет. Выберите из списка или напишите своими словами.")
            )
        return {"kind": said.press.value}
    if not re.search(r"\w{2}", said.text):
        raise AnswerError(_("Напишите словами, что нужно сделать, или выберите из списка."))
    company = _company_instead(said.text, context)
    if company is not None:
        return company
    kind = recognise_kind(said.text, context.kinds) or BY_CODE[OTHER]
    return _kind_and_details(kind, said.text, context)


def _company_instead(text: str, context: FormContext) -> Answers | None:
    """An INN where the kind was asked, with nothing but a name beside it, is another company.

    None when it is something else. Raises AnswerError when the number has a slip or needs a name.
    """
    inn_text, name = split_company(text)
    digits = re.sub(r"[\s-]", "", inn_text or "")
    if inn_text is None or not (len(digits) in INN_LENGTHS or (name is None and digits)):
        return None
    known = _known_name(digits, context)
    if name is not None and (
        recognise_kind(name, context.kinds) is not None
        or not (has_legal_form(name) or (known and loosely(name) in loosely(known)))
    ):
        return None
    inn = parse_inn(inn_text)
    if known is None and name is None:
        raise AnswerError(_("Чтобы сменить компанию, ответьте «Назад». Или выберите, что нужно сделать."))
    return _company_by_inn(inn, name, context)


def _kind_and_details(kind: RequestKind, text: str, context: FormContext) -> Answers:
    """«Сдать отчёт» only names the kind; whoever says more is not asked for it again."""
    if _is_bare(text) and recognise_kind(text, context.kinds) is not None:
        return {"kind": kind.code}
    return {"kind": kind.code, _HEARD: "1", **_details(text, kind)}


def recognise_kind(text: str, kinds: Kinds = OUR_KINDS) -> RequestKind | None:
    """The kind on offer whose word comes first in free text, or None."""
    spoken = text.casefold().replace("ё", "е")
    found = [
        (match.start(), order, kind)
        for order, kind in enumerate(kinds.offered)
        for stem in kind.stems
        if (match := re.search(rf"\b{stem.replace('ё', 'е')}", spoken))
    ]
    return min(found, key=lambda item: item[:2])[2] if found else None


def names_kind(text: str, context: FormContext) -> bool:
    """Whether this is the label of a kind, or little more than its word."""
    return _is_label(text, context) or (_is_bare(text) and recognise_kind(text, context.kinds) is not None)


def _is_label(text: str, context: FormContext) -> bool:
    return loosely(text) in {loosely(kind.label.msgid) for kind in context.kinds.offered}


def _is_bare(text: str) -> bool:
    return len(text.split()) <= _WORDS_OF_A_LABEL and not re.search(r"[0-9]", text)


def _show_kind(value: str, context: FormContext) -> Text:
    return context.kinds.label(value)


def _kind_is_gone(value: str, context: FormContext) -> Text | None:
    return None if context.kinds.offers(value) else _("Такого вида работ больше нет.")


def _kind(answers: Answers, kinds: Kinds) -> RequestKind:
    return kinds.by_code.get(answers.get("kind", ""), BY_CODE[OTHER])


def _ask_task(answers: Answers, context: FormContext) -> Text:
    return _kind(answers, context.kinds).question


def _parse_task(said: Said, answers: Answers, context: FormContext) -> Answers:
    kind = _kind(answers, context.kinds)
    if said.text.strip():
        return _details(said.text, kind)
    if any(file.is_voice for file in said.files):
        return {"task": "Голосовое сообщение (приложено)"}
    if said.files and kind.code == "pay":
        return {"task": "по приложенному счёту"}
    raise AnswerError(_("Напишите, пожалуйста, словами, что нужно сделать."))


def _details(text: str, kind: RequestKind) -> dict[str, str]:
    text = _within_limit(text.strip())
    if not re.search(r"\w{2}", text):
        raise AnswerError(_("Напишите чуть подробнее, что нужно сделать: хотя бы несколько слов."))
    if "goods" not in kind.extras:
        return {"task": text}
    goods, rest = split_goods(text)
    filled = {"task": rest.strip() or "Выписать накладную по списку товаров"}
    return filled | ({"goods": goods.to_text()} if goods else {})


def longer_task(task: str, more: str) -> str:
    """The task with what the client adds to it. Raises AnswerError when it becomes too long."""
    return _within_limit(f"{task}\n{more.strip()}")


def task_with(task: str, old: str, new: str) -> str:
    """The task with some of its words replaced. Raises AnswerError when it becomes too long."""
    return _within_limit(task.replace(old, new, 1))


def _within_limit(text: str) -> str:
    if len(text) <= MAX_TASK_LENGTH:
        return text
    raise AnswerError(
        _(
            "Текст длиннее {limit} знаков: у вас {count}. Сократите или пришлите его файлом.",
            limit=MAX_TASK_LENGTH,
            count=len(text),
        )
    )


def _needs_goods(answers: Answers) -> bool:
    # Only our own kinds have questions of their own.
    return "goods" in _kind(answers, OUR_KINDS).extras


def _ask_goods(_answers: Answers, _context: FormContext) -> Text:
    return _(
        "Пришлите товары, каждый с новой строки: наименование; количество; цена.\n"
        "Например:\nБумага А4; 10; 350\nРучка; 25; 40,50\n"
        "Если список в файле, приложите его и ответьте «Пропустить»."
    )


def _goods_choices(_answers: Answers, _context: FormContext) -> tuple[Choice, ...]:
    return (Choice("skip", _("Пропустить"), ("нет", "без списка", "список в файле", "в файле", "skip")),)


def _parse_goods(said: Said, _answers: Answers, _context: FormContext) -> Answers:
    if said.press:
        return {"goods": Goods(()).to_text()}
    return {"goods": parse_goods(said.text).to_text()}


def _show_goods(value: str, _context: FormContext) -> Text:
    goods = Goods.from_text(value)
    return show_goods(goods) if goods.lines else _("списком не указаны")


# --- deadline ----------------------------------------------------------------------------------


def _ask_deadline(answers: Answers, context: FormContext) -> Text:
    question = _("К какому сроку? Выберите или напишите словами: «до 28-го», «к понедельнику утром».")
    heard = None
    if _HEARD in answers and "task" in answers:
        kind = _show_kind(answers["kind"], context)
        heard = _("Записали: {kind} — {task}", kind=kind, task=shortened(answers["task"]))
    return lines(heard, _show_goods(answers["goods"], context) if _has_goods(answers) else None, question)


def _has_goods(answers: Answers) -> bool:
    return "goods" in answers and bool(Goods.from_text(answers["goods"]).lines)


def _deadline_buttons(_answers: Answers, context: FormContext) -> tuple[Choice, ...]:
    return tuple(Choice(code, label) for code, label, _at in deadline_choices(context.now, context.calendar))


def _parse_deadline(said: Said, _answers: Answers, context: FormContext) -> Answers:
    if said.press:
        for code, _label, deadline in deadline_choices(context.now, context.calendar):
            if code == said.press.value:
                return {"deadline": to_text(deadline)}
        raise AnswerError(_("Этот срок уже не подходит: день закончился. Выберите другой."))
    return {"deadline": to_text(parse_deadline(said.text, context.now, context.calendar))}


def _deadline_passed(value: str, context: FormContext) -> Text | None:
    return _("Пока заявка ждала, её срок прошёл.") if from_text(value).at <= context.now else None


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
        ask = _("Приложите файлы, если есть: счёт, договор, фото. Или ответьте «Готово».")
        return lines(fact, ask)
    return lines(
        fact,
        _("Файлы: {files}.", files=show_files(answers["_files"], context)),
        _("Пришлите ещё или ответьте «Готово»."),
    )


def _file_choices(answers: Answers, _context: FormContext) -> tuple[Choice, ...]:
    done = Choice(FILES_DONE, _("Готово"), ("все", "done", "ready", "хватит", "больше нет", "это все"))
    if files_from_text(answers.get("_files", "")):
        return (done, Choice(FILES_CLEAR, _("Убрать файлы"), ("убрать", "удалить файлы")))
    no_words = (
        "нет",
        "без файлов",
        "файлов нет",
        "нет файлов",
        "пропуск",
        "skip",
        "no",
        "не надо",
        "не нужно",
    )
    return (done, Choice("skip", _("Пропустить"), no_words))


def _parse_files(said: Said, answers: Answers, _context: FormContext) -> Answers:
    # The dialogue keeps files at any question under "_files"; here only buttons and «файлов нет» are read.
    if said.press and said.press.value == FILES_CLEAR:
        return {"_files": "[]"}
    if said.press or _NO_MORE_FILES.speaks(said.text):
        return {"files": answers.get("_files", "[]")}
    raise AnswerError(_("Здесь ждём файлы. Если файлов нет, ответьте «Готово»."))


_NO_MORE_FILES = Vocabulary.of(
    "нет нету не без готово все дальше далее хватит отправить отправь отправьте отправляй отправляйте",
    "файл файла файлы файлов документ документа документы документов приложений вложений их надо нужно нужны "
    "будет будут это пока больше никаких ничего у меня нас прикладывать прилагать заявку пожалуйста спасибо "
    "да так",
)
"""«Не надо файлов», «файлов не будет», «это всё, спасибо»."""


def show_files(value: str, _context: FormContext) -> Text:
    """Names and sizes; «нет» when there are none."""
    attached = files_from_text(value)
    if not attached:
        return _("нет")
    return listed(*(_("{name} ({size})", name=file.name, size=Size(file.size_bytes)) for file in attached))


FORM: Form = (
    Field(
        name="inn", title=_("Компания и ИНН"), question=_ask_company, parse=_parse_company,
        show=_show_plain, sample="7707083893", choices=_company_choices, choices_per_row=1,
        fills=("inn", "company", _NAMED, _OTHER_COMPANY, _TASK_FIRST),
        labels=("ИНН", "Компания", "Организация", "Фирма", "Company", "INN", "Company and INN"),
    ),
    Field(
        name="company", title=_("Название"), question=_ask_name, parse=_parse_name,
        show=_show_plain, sample="ООО «Ромашка»", part_of="inn",
        labels=("Название компании", "Наименование", "Name", "Company name"),
    ),
    Field(
        name="kind", title=_("Вид работ"), question=_ask_kind, parse=_parse_kind,
        show=_show_kind, sample="Консультация", choices=_kind_choices, stale=_kind_is_gone,
        fills=("kind", _HEARD),
        labels=("Вид", "Вид работы", "Тип", "Kind of work", "Kind"),
    ),
    Field(
        name="task", title=_("Что сделать"), question=_ask_task, parse=_parse_task,
        show=_show_plain, sample="Можно ли платить аванс наличными?",
        labels=(
            "Что нужно сделать", "Что нужно", "Что делать", "Задача", "Задание", "Поручение", "Просьба",
            "Вопрос", "Описание", "What to do", "Task",
        ),
        many_lines=True, opened_by="kind",
    ),
    Field(
        name="goods", title=_("Товары"), question=_ask_goods, parse=_parse_goods,
        show=_show_goods, sample="Бумага А4; 10; 350", choices=_goods_choices, asked_if=_needs_goods,
        labels=("Список товаров", "Товар", "Goods"), many_lines=True,
    ),
    Field(
        name="deadline", title=_("Срок"), question=_ask_deadline, parse=_parse_deadline,
        show=_show_deadline, sample="через неделю", choices=_deadline_buttons, stale=_deadline_passed,
        fills=("deadline", _HEARD),
        labels=("К какому сроку", "Крайний срок", "Дедлайн", "Когда", "К сроку", "Deadline", "Due"),
    ),
    Field(
        name="files", title=_("Файлы"), question=_ask_files, parse=_parse_files,
        show=show_files, sample="Готово", choices=_file_choices, shows_itself=True,
        labels=("Файл", "Вложения", "Вложение", "Приложение", "Files"),
    ),
)  # fmt: skip

BY_NAME = {field.name: field for field in FORM}


SHOWN_WORDS = 60


def shortened(text: str) -> str:
    """Somebody's words in one short line."""
    words = " ".join(text.split())
    return words if len(words) <= SHOWN_WORDS else f"{words[:SHOWN_WORDS].rstrip()}…"


def summary_lines(answers: Answers, context: FormContext, form: Form = FORM) -> tuple[Text, ...]:
    """The whole form for reading: summary, receipt, the accountant's card."""
    shown: list[Text] = []
    if "inn" in answers and "company" in answers:
        shown.append(_("Компания: {company}, ИНН {inn}", company=answers["company"], inn=answers["inn"]))
    if "kind" in answers and "task" in answers:
        kind = _show_kind(answers["kind"], context)
        shown.append(_("Что сделать: {kind} — {task}", kind=kind, task=answers["task"]))
    shown += [
        _shown_line(field, answers, context)
        for field in form
        if field.name in answers and field.name not in _SHOWN_TOGETHER and field.asked_if(answers)
    ]
    return tuple(shown)


def _shown_line(field: Field, answers: Answers, context: FormContext) -> Text:
    value = field.show(answers[field.name], context)
    if field.name == "goods" and _has_goods(answers):
        return lines(_("{title}:", title=field.title), value)
    return _("{title}: {value}", title=field.title, value=value)


_SHOWN_TOGETHER = frozenset({"inn", "company", "kind", "task"})

__all__ = [
    "BY_NAME",
    "FORM",
    "has_legal_form",
    "longer_task",
    "names_kind",
    "recognise_kind",
    "shortened",
    "show_files",
    "summary_lines",
]
