"""What is said to whom when something happens to a request.

Sentences only: who has which chat and whether a letter arrives is settled elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from forms.dialogue import NAV_SCOPE, Nav
from forms.fields import Answers, FormContext, files_from_text
from forms.messages import Button, OutgoingFile, Press, Reply
from forms.request_form import BY_NAME, FORM, summary_lines
from forms.texts import Clock, Day, Text, _, lines, listed, n_, sentence
from router.desk import next_step, stage_words, status_words
from router.model import Stage, Status

REQUEST_SCOPE = "req"
CLARIFY_SCOPE = "clar"
AS_IT_WAS = "as-it-was"
"""The value of «Оставить как было» among the buttons of a clarification; no choice of a field has it."""
RATE_SCOPE = "rate"
HEARD_SCOPE = "heard"
"""What staff wrote down from the client's words: the client's «Верно» and «Исправить»."""

SHORT_FINGERPRINT_LENGTH = 8


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A request as people read about it. `assignee` is a name or empty; `answers` are flat."""

    number: int
    status: Status
    answers: Answers
    client: str
    assignee: str = ""
    is_new_client: bool = False
    version: int = 1
    result: str = ""
    deadline: datetime | None = None
    rating: int | None = None
    unconfirmed: bool = False
    """Staff wrote it down from the client's words, and the client has not said yet that it is right."""
    stage: Stage | None = None


# --- for the client ----------------------------------------------------------------------------


def receipt(facts: RequestFacts, context: FormContext, look_by: datetime) -> Reply:
    """The receipt: number, every field, files with fingerprints, who takes it and by when it is looked at."""
    who = (
        _("Займётся {name}.", name=facts.assignee)
        if facts.assignee
        else _("Подбираем бухгалтера, сообщим, кто займётся.")
    )
    text = lines(
        _("Заявка № {number} принята.", number=facts.number),
        *summary_lines({k: v for k, v in facts.answers.items() if k != "files"}, context),
        fingerprints(facts.answers.get("files", "[]")),
        sentence(who, look_promise(look_by, context)),
        _("Узнать, как дела: /status"),
    )
    return Reply(text, (*client_actions(facts), *menu_rows()))


def menu_rows() -> tuple[tuple[Button, ...], ...]:
    """What a client may do when nothing is being filled."""
    return (
        (
            Button(_("Новая заявка"), str(Press(NAV_SCOPE, Nav.NEW))),
            Button(_("Мои заявки"), str(Press(NAV_SCOPE, Nav.MINE))),
        ),
        (Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN))),),
    )


def look_promise(look_by: datetime, context: FormContext) -> Text:
    """An honest promise: outside working hours it says so and names the day."""
    local = look_by.astimezone(context.calendar.zone)
    today = context.now.astimezone(context.calendar.zone)
    if local.date() == today.date():
        return _("Посмотрим сегодня до {time}.", time=Clock(local))
    day, time = Day(local.date(), when=True), Clock(local)
    if not context.calendar.is_working_day(today.date()):
        return _("Сегодня выходной. Посмотрим {day}, до {time}.", day=day, time=time)
    if today.time() < context.calendar.closes_at(today.date()):
        return _("Рабочий день заканчивается. Посмотрим {day}, до {time}.", day=day, time=time)
    return _("Рабочий день закончился. Посмотрим {day}, до {time}.", day=day, time=time)


def fingerprints(files_text: str) -> Text | None:
    """Each file with the first digits of its SHA-256, so that both sides can tell it is the same file."""
    files = files_from_text(files_text)
    if not files:
        return None
    shown = (
        _("{name} (отпечаток {digest})", name=file.name, digest=file.sha256[:SHORT_FINGERPRINT_LENGTH])
        for file in files
    )
    return _("Файлы: {files}", files=listed(*shown))


def status_answer(facts: RequestFacts, context: FormContext) -> Text:
    """Four lines: what, where it stands, who, what is next and by when."""
    kind = BY_NAME["kind"].show(facts.answers["kind"], context)
    return lines(
        _("Заявка № {number}: {kind}, {company}", number=facts.number, kind=kind, company=facts.client),
        _("Сейчас: {stage}", stage=_state_words(facts)),
        *_who_and_next(facts, context),
        _("Записано с ваших слов. Проверьте, всё ли верно.") if _is_to_be_checked(facts) else None,
    )


def _state_words(facts: RequestFacts) -> Text:
    # That somebody outside is waited for is no state of its own, and yet what everybody wants to know.
    return stage_words(facts.stage) if facts.stage is Stage.THIRD_PARTY else status_words(facts.status)


def _is_to_be_checked(facts: RequestFacts) -> bool:
    return facts.unconfirmed and facts.status.is_open


def _who_and_next(facts: RequestFacts, context: FormContext) -> tuple[Text, ...]:
    if not facts.status.is_open:
        return (_("Дальше: {step}", step=next_step(facts.status)),)
    deadline = BY_NAME["deadline"].show(facts.answers["deadline"], context)
    return (
        _("Ведёт: {name}", name=facts.assignee) if facts.assignee else _("Ведёт: пока никто, подбираем"),
        _("Дальше: {step} Срок: {deadline}", step=next_step(facts.status), deadline=deadline),
    )


def client_actions(facts: RequestFacts) -> tuple[tuple[Button, ...], ...]:
    """What the client may do with a request now."""
    match facts.status:
        case Status.DONE:
            return done_rows(facts)
        case Status.CLOSED:
            return (unsolved_row(facts), repeat_row(facts))
        case Status.CANCELLED:
            return (repeat_row(facts),)
        case _:
            return (
                *(check_row(facts) if _is_to_be_checked(facts) else ()),
                (
                    _request_button(_("Дополнить"), facts, "add"),
                    _request_button(_("Отозвать"), facts, "withdraw"),
                ),
            )


def check_row(facts: RequestFacts) -> tuple[tuple[Button, ...], ...]:
    """«Проверить»: what was written down from the client's words is read to them again."""
    return ((Button(_("Проверить"), str(Press(HEARD_SCOPE, str(facts.number), "show"))),),)


def unsolved_row(facts: RequestFacts) -> tuple[Button, ...]:
    """«Не решено» alone."""
    return (_request_button(_("Не решено"), facts, "unsolved"),)


def repeat_row(facts: RequestFacts) -> tuple[Button, ...]:
    """«Повторить»: the same request once more."""
    return (_request_button(_("Повторить"), facts, "repeat"),)


def passed_to_staff(facts: RequestFacts) -> Text:
    """The client's words were no answer to what was asked: who will answer them."""
    return (
        _("Передали, ответит {name}.", name=facts.assignee) if facts.assignee else _("Передали бухгалтеру.")
    )


def taken_notice(facts: RequestFacts) -> Reply:
    """The accountant has accepted."""
    return Reply(_("Заявка № {number} в работе. Ведёт {name}.", number=facts.number, name=facts.assignee))


def assigned_notice(facts: RequestFacts) -> Reply:
    """Somebody was found."""
    return Reply(_("Заявкой № {number} займётся {name}.", number=facts.number, name=facts.assignee))


def reassigned_notice(facts: RequestFacts) -> Reply:
    """Somebody else has it now."""
    return Reply(_("Заявку № {number} теперь ведёт {name}.", number=facts.number, name=facts.assignee))


def clarification_notice(
    facts: RequestFacts, field_name: str, question: str, clarification_id: int, context: FormContext
) -> Reply:
    """Ask the client one field anew, with that field's own words and buttons."""
    head = _(
        "{name} уточняет по заявке № {number}: {field}.",
        name=facts.assignee or _("Бухгалтер"), number=facts.number, field=BY_NAME[field_name].title,
    )  # fmt: skip
    asked = _asked_anew(facts, field_name, question, context)
    return Reply(lines(head, *asked), clarifying_rows(field_name, facts.answers, clarification_id, context))


def clarification_reminder(
    facts: RequestFacts, field_name: str, question: str, clarification_id: int, context: FormContext
) -> Reply:
    """The same once more for somebody who looks for a way out: what is open, and how to leave it."""
    head = _(
        "По заявке № {number} от вас ждут ответ: {field}.",
        number=facts.number, field=BY_NAME[field_name].title,
    )  # fmt: skip
    leave = _("Менять нечего — ответьте «Оставить как было».") if field_name in facts.answers else None
    asked = _asked_anew(facts, field_name, question, context)
    rows = clarifying_rows(field_name, facts.answers, clarification_id, context)
    return Reply(lines(head, *asked, leave), rows, prompt=True)


def _asked_anew(
    facts: RequestFacts, field_name: str, question: str, context: FormContext
) -> tuple[Text | str | None, ...]:
    old = (
        BY_NAME[field_name].show(facts.answers[field_name], context) if field_name in facts.answers else None
    )
    return (
        _("Было: {value}", value=old) if old else None,
        question or field_wanted(field_name, facts.answers, context),
    )


def clarifying_rows(
    field_name: str, answers: Answers, clarification_id: int, context: FormContext
) -> tuple[tuple[Button, ...], ...]:
    """The field's own buttons, and the ways out: «Оставить как было», if there is an answer, and a person."""
    asked, target = BY_NAME[field_name], str(clarification_id)
    choices = () if field_name == "files" else asked.choices(asked.others(answers), context)
    rows = tuple(
        (Button(choice.label, str(Press(CLARIFY_SCOPE, target, choice.value)), choice.synonyms),)
        for choice in choices
    )
    as_it_was = Button(
        _("Оставить как было"), str(Press(CLARIFY_SCOPE, target, AS_IT_WAS)),
        ("оставить", "оставьте", "оставьте как было", "как было", "без изменений", "keep it"),
    )  # fmt: skip
    human = Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN)))
    return (*rows, (as_it_was, human) if field_name in answers else (human,))


def answer_notice(facts: RequestFacts, text: str, files: tuple[OutgoingFile, ...]) -> Reply:
    """What the accountant writes to the client, in the same chat."""
    head = _("{name}, по заявке № {number}:", name=facts.assignee or _("Бухгалтер"), number=facts.number)
    return Reply(lines(head, text or None, _files_line(files)), files=files)


def done_notice(facts: RequestFacts, files: tuple[OutgoingFile, ...]) -> Reply:
    """The result, and the question whether it will do."""
    text = lines(
        _("Заявка № {number} выполнена.", number=facts.number),
        facts.result or None,
        _files_line(files),
        _("Всё в порядке? Оцените от 1 до 5. Если нет — ответьте «Не решено»."),
    )
    return Reply(text, done_rows(facts), files)


def done_rows(facts: RequestFacts) -> tuple[tuple[Button, ...], ...]:
    """The marks and «Не решено»."""
    marks = tuple(
        Button(_("{mark}", mark=mark), str(Press(RATE_SCOPE, str(facts.number), str(mark))))
        for mark in range(1, 6)
    )
    return (marks, unsolved_row(facts))


def closed_notice(facts: RequestFacts) -> Reply:
    """Nobody has objected in time."""
    text = _("Заявка № {number} закрыта. Если вопрос остался, ответьте «Не решено».", number=facts.number)
    return Reply(text, (unsolved_row(facts),))


def cancelled_notice(facts: RequestFacts, reason: str) -> Reply:
    """The director took it off."""
    return Reply(
        lines(
            _("Заявку № {number} сняли с исполнения.", number=facts.number),
            _("Причина: {reason}", reason=reason) if reason else None,
        )
    )


# --- for staff ---------------------------------------------------------------------------------


def assignment_card(
    facts: RequestFacts, context: FormContext, recent: int = 0, note: Text | None = None
) -> Reply:
    """The assignment on one phone screen: number, client, kind, deadline with the time left, task, files."""
    text = lines(
        note,
        _("Заявка № {number}, {client}", number=facts.number, client=facts.client),
        _by_word(facts),
        _("Новый клиент: директор ещё не подтвердил.") if facts.is_new_client else None,
        *summary_lines(facts.answers, context),
        time_left(facts, context),
        n_("У клиента была ещё {count} заявка за последнее время.",
           "У клиента было ещё {count} заявок за последнее время.", recent) if recent else None,
    )  # fmt: skip
    return Reply(text, staff_rows(facts), _attached(facts.answers))


def passed_note(name: str, reason: str) -> Text | None:
    """What whoever passes a request on says to the colleague who gets it."""
    if not reason.strip():
        return None
    return _("{name} передаёт: {reason}", name=name or _("Коллега"), reason=reason.strip())


def declined_note(name: str, reason: str) -> Text | None:
    """Why whoever was given the request before has not taken it."""
    if not reason.strip():
        return None
    return _("{name} не берёт: {reason}", name=name or _("Коллега"), reason=reason.strip())


def staff_card(facts: RequestFacts, context: FormContext, note: Text | None = None) -> Reply:
    """The same card in its present state, without sending the files again."""
    text = lines(
        note,
        _("Заявка № {number}, {client}", number=facts.number, client=facts.client),
        _by_word(facts),
        *summary_lines(facts.answers, context),
        time_left(facts, context),
        _("Сейчас: {stage}", stage=_state_words(facts)),
        _("Ведёт: {name}", name=facts.assignee) if facts.assignee else None,
    )
    return Reply(text, staff_rows(facts), prompt=True)


def _by_word(facts: RequestFacts) -> Text | None:
    return _("Со слов: клиент ещё не подтвердил.") if facts.unconfirmed else None


def time_left(facts: RequestFacts, context: FormContext) -> Text | None:
    """How long until the deadline in plain words."""
    if facts.deadline is None or not facts.status.is_open or facts.status is Status.DONE:
        return None
    seconds = int((facts.deadline - context.now).total_seconds())
    if seconds < 0:
        return _("Срок прошёл.")
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    days = hours // 24
    if days:
        return n_("Осталось: {count} день.", "Осталось: {count} дней.", days)
    return _("Осталось: {hours} ч {minutes} мин.", hours=hours, minutes=minutes)


def staff_rows(facts: RequestFacts) -> tuple[tuple[Button, ...], ...]:
    """The buttons of an assignment; who acts without having accepted accepts by acting."""

    def button(label: Text, action: str) -> Button:
        return _request_button(label, facts, action)

    answer = button(_("Ответить"), "answer")
    note = button(_("Заметка"), "note")
    agreed = ((button(_("Клиент подтвердил"), "heard"),),) if _is_to_be_checked(facts) else ()
    match facts.status:
        case Status.CLOSED | Status.CANCELLED:
            return ((note, button(_("История"), "history")),)
        case Status.DONE:
            return ((answer, note), (button(_("История"), "history"),), *agreed)
        case _:
            choice = _accept_rows(facts)
    return (
        *choice,
        (button(_("Уточнить"), "clarify"), answer),
        (note, button(_("Передать"), "pass")),
        (button(_("Выполнено"), "done"), button(_("История"), "history")),
        # Where buttons are numbered, 1 must not be the refusal of what one is working on.
        *(() if choice else ((_outside(facts), _decline(facts)),)),
        *agreed,
    )


def _accept_rows(facts: RequestFacts) -> tuple[tuple[Button, ...], ...]:
    """The choice that comes before all else, as long as it is open."""
    if facts.status not in (Status.NEW, Status.ASSIGNED):
        return ()
    return ((_request_button(_("Принять"), facts, "accept"), _decline(facts)),)


def _outside(facts: RequestFacts) -> Button:
    if facts.stage is Stage.THIRD_PARTY:
        return _request_button(_("Продолжить"), facts, "resume")
    return _request_button(_("Ждём третьих лиц"), facts, "outside")


def _decline(facts: RequestFacts) -> Button:
    return _request_button(_("Отказаться"), facts, "decline")


def clarify_choices(facts: RequestFacts) -> tuple[tuple[Button, ...], ...]:
    """Which field is wrong: one button each."""
    return tuple(
        (
            Button(
                field.title,
                str(Press(REQUEST_SCOPE, str(facts.number), f"field-{field.name}", facts.version)),
            ),
        )
        for field in FORM
        if field.part_of is None and field.asked_if(facts.answers)
    )


def client_wrote_notice(facts: RequestFacts, text: str, files: tuple[OutgoingFile, ...]) -> Reply:
    """The client added something."""
    head = _("{client} пишет по заявке № {number}:", client=facts.client, number=facts.number)
    # This takes the place of the card above it: who has not accepted yet must still be able to.
    rows = (
        *_accept_rows(facts),
        (_request_button(_("Ответить"), facts, "answer"), _request_button(_("Выполнено"), facts, "done")),
        (_request_button(_("Карточка"), facts, "card"),),
    )
    return Reply(lines(head, text or None, _files_line(files)), rows, files)


def clarified_notice(facts: RequestFacts, field_name: str, old: str, context: FormContext) -> Reply:
    """The client answered a clarification: the old value and the new one."""
    asked = BY_NAME[field_name]
    text = lines(
        _("Заявка № {number}: клиент уточнил.", number=facts.number),
        _("{field} — было: {value}", field=asked.title, value=asked.show(old, context)) if old else None,
        _("{field} — стало: {value}", field=asked.title, value=_shown(facts, field_name, context)),
    )
    files = _attached(facts.answers) if field_name == "files" else ()
    return Reply(text, staff_rows(facts), files)


def left_as_it_was_notice(facts: RequestFacts, field_name: str, context: FormContext) -> Reply:
    """The client changes nothing in what was asked."""
    text = _(
        "Заявка № {number}: клиент просит оставить как было. {field}: {value}",
        number=facts.number, field=BY_NAME[field_name].title, value=_shown(facts, field_name, context),
    )  # fmt: skip
    return Reply(text, staff_rows(facts))


def _shown(facts: RequestFacts, field_name: str, context: FormContext) -> Text:
    if field_name == "inn":
        return _("{company}, ИНН {inn}", company=facts.answers["company"], inn=facts.answers["inn"])
    return BY_NAME[field_name].show(facts.answers[field_name], context)


def lost_notice(facts: RequestFacts, comment: str) -> Reply:
    """To the one who no longer has it."""
    return Reply(
        lines(
            _("Заявка № {number} передана: {name}.", number=facts.number, name=facts.assignee)
            if facts.assignee
            else _("Заявка № {number} возвращена в «Неразобранное».", number=facts.number),
            _("Комментарий: {comment}", comment=comment) if comment else None,
        )
    )


def withdrawn_notice(facts: RequestFacts) -> Reply:
    """The client withdrew it."""
    return Reply(
        _(
            "{client}: заявка № {number} отозвана. Делать её не нужно.",
            client=facts.client,
            number=facts.number,
        )
    )


def unsolved_notice(facts: RequestFacts, reason: str) -> Reply:
    """The client says that it is not solved."""
    text = lines(
        _("Заявка № {number}: клиент пишет, что не решено. Она снова в работе.", number=facts.number),
        _("Причина: {reason}", reason=reason) if reason else None,
    )
    return Reply(text, staff_rows(facts))


def rated_notice(facts: RequestFacts, rating: int) -> Reply:
    """The client gave a mark; a request on which the client waits for an answer stays open."""
    if facts.status is Status.DONE:
        return Reply(
            _(
                "Заявка № {number}: клиент поставил {rating} из 5 и ждёт ответа на своё сообщение.",
                number=facts.number, rating=rating,
            )
        )  # fmt: skip
    return Reply(
        _("Заявка № {number}: клиент поставил {rating} из 5. Закрыта.", number=facts.number, rating=rating)
    )


# --- for the director --------------------------------------------------------------------------


def unassigned_alarm(facts: RequestFacts, context: FormContext, note: Text | None = None) -> Reply:
    """Nobody fits; `note` is what whoever had it before has said of it."""
    return Reply(
        lines(
            _("Заявка № {number} в «Неразобранном»: никто не подходит.", number=facts.number),
            note,
            *summary_lines(facts.answers, context),
        ),
        alarm_rows(facts.number, facts.version, is_given=False),
    )


def not_accepted_alarm(facts: RequestFacts, minutes: int, late: str) -> Reply:
    """Somebody let an assignment lie."""
    return Reply(
        lines(
            n_("Заявку № {number} не приняли за {count} рабочую минуту: {late}.",
               "Заявку № {number} не приняли за {count} рабочих минут: {late}.",
               minutes, number=facts.number, late=late),
            _("Теперь у неё {name}.", name=facts.assignee) if facts.assignee
            else _("Больше никто не подходит: она в «Неразобранном»."),
        ),
        alarm_rows(facts.number, facts.version, is_given=bool(facts.assignee)),
    )  # fmt: skip


def alarm_rows(number: int, version: int = 0, *, is_given: bool) -> tuple[tuple[Button, ...], ...]:
    """What a director can do about a request with one tap: give it to somebody, remind, look at it."""

    def button(label: Text, action: str) -> Button:
        return Button(label, str(Press(REQUEST_SCOPE, str(number), action, version)))

    remind = (button(_("Напомнить"), "ping"),) if is_given else ()
    return ((button(_("Передать"), "pass"), *remind), (button(_("Открыть"), "card"),))


def escalated_notice(facts: RequestFacts) -> Reply:
    """To the one who did not accept in time."""
    return Reply(
        _("Заявка № {number} ушла к другому сотруднику: её не приняли вовремя.", number=facts.number)
        if facts.assignee
        else _("Заявка № {number} в «Неразобранном»: её не приняли вовремя.", number=facts.number)
    )


def messenger_down(messenger: str, since: datetime) -> Reply:
    """A messenger does not answer us; `since` is local. What it says itself stands in the panel."""
    return Reply(
        lines(
            _("{messenger}: не отвечает с {time}.", messenger=messenger, time=f"{since:%H:%M}"),
            _("Письма ждут и уйдут сами, когда он вернётся; важные пойдут другим путём."),
        )
    )


def messenger_quiet(messenger: str, last: datetime) -> Reply:
    """Nothing comes from a messenger that is usually busy; `last` is local."""
    return Reply(
        _(
            "Из мессенджера «{messenger}» ничего не приходит с {time}. Напишите туда сами: если ответа бота "
            "нет, скажите администратору.",
            messenger=messenger,
            time=f"{last:%d.%m %H:%M}",
        )
    )


def human_call(client: str, companies: tuple[str, ...], phone: str, words: str, chat_id: int) -> Reply:
    """A client asked for a person; the answer goes straight into that chat."""
    name = listed(client or None, *companies) if client or companies else _("Клиент")
    text = lines(
        _("{client} просит позвать человека.", client=name),
        _("Телефон: {phone}", phone=phone) if phone else None,
        _("Последнее сообщение: {words}", words=words) if words else None,
    )
    button = Button(_("Ответить"), str(Press("chat", str(chat_id), "answer")))
    return Reply(text, ((button,),))


def failed_message(client: str, chat_id: int) -> Reply:
    """A message that the program could not process: a person must answer it."""
    text = _(
        "{client}: программа не смогла обработать сообщение. Ответьте сами.", client=client or _("Клиент")
    )
    return Reply(text, ((Button(_("Ответить"), str(Press("chat", str(chat_id), "answer"))),),))


# --- pieces ------------------------------------------------------------------------------------


def _request_button(label: Text, facts: RequestFacts, action: str) -> Button:
    return Button(label, str(Press(REQUEST_SCOPE, str(facts.number), action, facts.version)))


def _files_line(files: tuple[OutgoingFile, ...]) -> Text | None:
    return _("Файлы: {names}", names=listed(*(file.name for file in files))) if files else None


def _attached(answers: Answers) -> tuple[OutgoingFile, ...]:
    return tuple(
        OutgoingFile(file.sha256, file.name, file.media_type, file.size_bytes)
        for file in files_from_text(answers.get("files", "[]"))
    )


def no_such_request() -> Text:
    """The number is wrong, or the request somebody else's."""
    return _("Такой заявки нет. Проверьте номер: его видно в «Мои заявки».")


def files_wanted() -> Text:
    """A file was asked for and something else came."""
    return _("Пришлите, пожалуйста, файл: документ или фото.")


def field_wanted(field_name: str, answers: Answers, context: FormContext) -> Text:
    """The field's own question, when what was said did not answer it."""
    if field_name == "files":
        return files_wanted()
    asked = BY_NAME[field_name]
    return asked.question(asked.others(answers), context)


def has_form(field_name: str, answers: Answers, context: FormContext) -> bool:
    """Whether the field takes a choice, a date or a file; any other takes whatever is written."""
    asked = BY_NAME[field_name]
    return field_name in ("inn", "files") or bool(asked.choices(asked.others(answers), context))


def summary_of(facts: RequestFacts, context: FormContext) -> tuple[Text, ...]:
    """The form as it stands."""
    return summary_lines(facts.answers, context)
