"""What a member of staff sees in the chat: the menu, lists, the card, the past, the questions of a step.

Sentences and buttons only: what they are made of was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bots.staff_pending import StaffPending, Step
from forms.dialogue import ALBUM_SECONDS, NAV_SCOPE, Nav
from forms.fields import FormContext
from forms.messages import Button, OutgoingFile, Press, Reply
from forms.request_form import BY_NAME
from forms.texts import Clock, Day, Text, _, lines, listed, plain, sentence
from notifications import compose
from notifications.compose import REQUEST_SCOPE, RequestFacts
from router.desk import Event, status_words
from router.model import Candidate, Role, Status
from storage.shifts import ShiftKind, WorkingDay
from storage.staff_reading import Past, PastEvent, PastWords, RequestLine, Section, Waiting

STAFF_SCOPE = "staff"

Rows = tuple[tuple[Button, ...], ...]

OWN_LINES = 8
ALL_LINES = 5
"""Lines of a section for one person's requests and for everybody's: both fit a phone."""

BUTTONS_IN_ROW = 4
COLLEAGUES_SHOWN = 12
_SHORT_WORDS = 200


@dataclass(frozen=True, slots=True)
class Desk:
    """What the menu tells about: the role, the day, how much waits."""

    role: Role
    day: WorkingDay | None
    counts: Mapping[Waiting, int]


def sees_all(role: Role) -> bool:
    """Whether this role reads everybody's requests."""
    return role.directs or role is Role.CONTROLLER


def sees_none(role: Role) -> bool:
    """Whether clients' requests are closed to this role, as they are in the panel."""
    return role is Role.ADMIN


def only_reads(role: Role) -> bool:
    """Whether this role changes nothing in the chat."""
    return not (role.directs or role.takes_requests)


# --- the menu ----------------------------------------------------------------------------------


def menu(desk: Desk, context: FormContext, note: Text | None = None) -> Reply:
    """The main screen: the working day, how much waits, the few things to do from here."""
    day = None if only_reads(desk.role) else _day_line(desk.day, context)
    helps = Button(_("Помощь"), str(Press(NAV_SCOPE, Nav.HELP)))
    if sees_none(desk.role):
        return Reply(lines(note or help_text(desk.role)), ((helps,),), prompt=True)
    text = lines(note, day, _counts_line(desk))
    mine = Button(mine_label(desk.role), str(Press(NAV_SCOPE, Nav.MINE)), ("мои заявки", "/mine"))
    record = Button(_("Записать звонок"), str(Press(STAFF_SCOPE, "record")))
    rows: Rows = ((mine, helps), (record,))
    if not only_reads(desk.role):
        rows = (*rows, _day_buttons(desk.day))
    return Reply(text, rows, prompt=True)


def mine_label(role: Role) -> Text:
    """The label of the button that shows requests."""
    return _("Все заявки") if sees_all(role) else _("Мои заявки")


def _day_line(day: WorkingDay | None, context: FormContext) -> Text:
    if day is None:
        return _("Вы не на смене.")
    if day.kind is ShiftKind.PAUSE:
        return _("У вас пауза с {since}.", since=moment(day.stretch_since, context))
    return _("Вы на смене с {since}.", since=moment(day.since, context))


def _counts_line(desk: Desk) -> Text:
    unanswered = desk.counts.get(Waiting.UNANSWERED, 0)
    working = desk.counts.get(Waiting.WORKING, 0)
    client = desk.counts.get(Waiting.CLIENT, 0)
    shown = _(
        "Неотвеченных {unanswered}, в работе {working}, ждут клиента {client}.",
        unanswered=unanswered, working=working, client=client,
    )  # fmt: skip
    if not sees_all(desk.role):
        return shown
    return sentence(_("Неразобранных {count}.", count=desk.counts.get(Waiting.UNASSIGNED, 0)), shown)


def _day_buttons(day: WorkingDay | None) -> tuple[Button, ...]:
    if day is None:
        return (_staff_button(_("Начать день"), "day", "start"),)
    end = _staff_button(_("Закончить день"), "day", "end")
    if day.kind is ShiftKind.PAUSE:
        return (_staff_button(_("Продолжить"), "day", "start"), end)
    return (_staff_button(_("Пауза"), "day", "pause"), end)


def moment(at: datetime, context: FormContext) -> Text:
    """A moment in the past: the time alone when it is today's."""
    local, today = at.astimezone(context.calendar.zone), context.now.astimezone(context.calendar.zone).date()
    if local.date() == today:
        return _("{clock}", clock=Clock(local))
    return _("{day}, {clock}", day=Day(local.date(), with_year=local.year != today.year), clock=Clock(local))


def day_ended(day: WorkingDay, left: Section) -> Text:
    """What was worked, and what the person leaves behind unaccepted."""
    hours, minutes = day.worked_seconds // 3600, day.worked_seconds % 3600 // 60
    ended = _("День закончен. Отработано: {hours} ч {minutes} мин.", hours=hours, minutes=minutes)
    if not left.total:
        return ended
    more = "…" if left.total > len(left.lines) else None
    numbers = listed(*(_("№ {number}", number=line.number) for line in left.lines), more)
    waiting = _(
        "Не приняты: {count} ({numbers}). Примите их, передайте или откажитесь.",
        count=left.total,
        numbers=numbers,
    )
    return lines(ended, waiting)


_RECORDING_HELP = _("Клиент позвонил или пришёл сам: «Записать звонок» или /call.")


def help_text(role: Role) -> Text:
    """What can be done here, in a few lines."""
    if sees_none(role):
        return _("Администратор не видит заявок клиентов: его разделы — в панели.")
    if only_reads(role):
        return lines(
            _("Здесь можно смотреть заявки: «Все заявки» или /mine."),
            _("Найти заявку: № 17, ИНН или /find и слова."),
            _RECORDING_HELP,
        )
    return lines(
        _("Новая заявка приходит сюда карточкой: «Принять», «Уточнить», «Ответить», «Выполнено»."),
        _("Чтобы написать клиенту, нажмите «Ответить» и пришлите текст или файлы."),
        _("«Заметку» видят только сотрудники."),
        _RECORDING_HELP,
        _("Список заявок: /mine. Найти: № 17, ИНН или /find и слова."),
        _("Сколько заявок на каждом шаге: /board.") if role.directs else None,
        _("Рабочий день: «Начать день», «Пауза», «Закончить день». Выйти из начатого: «Отмена»."),
    )


# --- lists -------------------------------------------------------------------------------------

_SECTION_TITLES: Mapping[Waiting, Text] = {
    Waiting.UNASSIGNED: _("Неразобранные"),
    Waiting.UNANSWERED: _("Неотвеченные"),
    Waiting.WORKING: _("В работе"),
    Waiting.CLIENT: _("Ждут клиента"),
}


def board(sections: Mapping[Waiting, Section], role: Role, context: FormContext) -> Reply:
    """Open requests by what they wait for."""
    shown: list[Text | None] = []
    for waiting, section in sections.items():
        shown.append(_("{title}: {count}", title=_SECTION_TITLES[waiting], count=section.total))
        shown += _section_lines(section, role, context)
    return Reply(lines(*shown), _number_rows(sections.values()), prompt=True)


def found(section: Section, role: Role, context: FormContext) -> Reply:
    """Several requests that were found."""
    many = _("Нашли больше {count} заявок, вот новые", count=section.total)
    title = many if section.is_cut else _("Нашли заявок: {count}", count=section.total)
    return Reply(lines(title, *_section_lines(section, role, context)), _number_rows((section,)), prompt=True)


def nothing_found(role: Role) -> Text:
    """Nothing fits, and how else to look."""
    whose = _("Такой заявки нет.") if sees_all(role) else _("Среди ваших такой заявки нет.")
    return sentence(whose, _("Можно искать по номеру (№ 17), ИНН или словам: /find аренда."))


def _section_lines(section: Section, role: Role, context: FormContext) -> list[Text | None]:
    rest = section.total - len(section.lines)
    shown: list[Text | None] = [request_line(line, role, context) for line in section.lines]
    if section.is_cut:
        return [*shown, _("Это не все. Добавьте слов: /find и слова.")]
    return [*shown, _("Ещё {count}. Найти: /find и слова.", count=rest) if rest else None]


def request_line(line: RequestLine, role: Role, context: FormContext) -> Text:
    """«№ 17 ООО «Ромашка» — Оплатить счёт, до пт 27.11, 18:00»."""
    kind = context.kinds.label(line.kind)
    head = _("№ {number} {company} — {kind}", number=line.number, company=line.company, kind=kind)
    if not line.status.is_open:
        return listed(head, status_words(line.status))
    assignee = line.assignee if sees_all(role) and line.assignee else None
    by_word = _("со слов") if line.unconfirmed else None
    late = _("просрочена") if line.deadline < context.now and line.status is not Status.DONE else None
    return listed(head, short_deadline(line.deadline, context), late, by_word, assignee)


_WEEKDAYS = (_("пн"), _("вт"), _("ср"), _("чт"), _("пт"), _("сб"), _("вс"))


def short_deadline(at: datetime, context: FormContext) -> Text:
    """A deadline in a list: «сегодня до 18:00», «до пт 27.11, 18:00»."""
    zone = context.calendar.zone
    local, today = at.astimezone(zone), context.now.astimezone(zone).date()
    if local.date() == today:
        return _("сегодня до {clock}", clock=Clock(local))
    if local.date() == today + timedelta(days=1):
        return _("завтра до {clock}", clock=Clock(local))
    date = f"{local:%d.%m}" if local.year == today.year else f"{local:%d.%m.%Y}"
    return _(
        "до {weekday} {date}, {clock}", weekday=_WEEKDAYS[local.weekday()], date=date, clock=Clock(local)
    )


def _number_rows(sections: Iterable[Section]) -> Rows:
    buttons = [_card_button(line) for section in sections for line in section.lines]
    return tuple(tuple(buttons[at : at + BUTTONS_IN_ROW]) for at in range(0, len(buttons), BUTTONS_IN_ROW))


def _card_button(line: RequestLine) -> Button:
    press = Press(REQUEST_SCOPE, str(line.number), "card", line.version)
    return Button(_("№ {number}", number=line.number), str(press))


# --- one request -------------------------------------------------------------------------------


def card(facts: RequestFacts, context: FormContext, *, may_act: bool, note: Text | None = None) -> Reply:
    """The request in its present state, with the buttons that this reader may press."""
    shown = compose.staff_card(facts, context, note)
    return shown if may_act else replace(shown, rows=((_request_button(_("История"), facts, "history"),),))


def card_files(facts: RequestFacts, context: FormContext) -> tuple[OutgoingFile, ...]:
    """The files that came with the request."""
    return compose.assignment_card(facts, context).files


_EVENT_WORDS: Mapping[Event, Text] = {
    Event.SUBMITTED: _("заявка отправлена"),
    Event.ASSIGNED: _("назначена"),
    Event.ACCEPTED: _("принята"),
    Event.DECLINED: _("отказ"),
    Event.CLARIFICATION_ASKED: _("вопрос клиенту"),
    Event.CLARIFICATION_ANSWERED: _("клиент уточнил"),
    Event.ANSWERED: _("ответ клиенту"),
    Event.CLIENT_WROTE: _("клиент написал"),
    Event.NOTED: _("заметка"),
    Event.PASSED: _("передана"),
    Event.WAITING_OUTSIDE: _("ждём других"),
    Event.RESUMED: _("снова в работе"),
    Event.DONE: _("выполнена"),
    Event.REOPENED: _("не решено, снова в работе"),
    Event.CLOSED: _("закрыта"),
    Event.RATED: _("оценка"),
    Event.CANCELLED: _("отменена"),
    Event.REASSIGNED: _("переназначена"),
    Event.UNASSIGNED: _("возвращена в «Неразобранное»"),
    Event.ESCALATED: _("не приняли вовремя, ушла дальше"),
    Event.CONFIRMED: _("клиент подтвердил запись"),
    Event.CORRECTED: _("клиент исправил запись"),
    Event.REMINDED: _("директор напомнил"),
}


def history(facts: RequestFacts, past: Past, role: Role, context: FormContext) -> Reply:
    """The last steps, the last words, what was corrected, the client's other requests."""
    parts: list[Text | None] = [
        _("История заявки № {number}, {client}", number=facts.number, client=facts.client)
    ]
    parts += [_event_line(step, context) for step in past.events]
    if past.words:
        parts.append(_("Переписка:"))
        parts += [_words_line(words, context) for words in past.words]
    changed = [name for name in past.versions if name in BY_NAME]
    if changed:
        parts.append(_("Что менялось:"))
        parts += [_versions_line(name, past.versions[name], context) for name in changed]
    if past.others:
        parts.append(_("Другие заявки клиента:"))
        parts += [request_line(line, role, context) for line in past.others]
    return Reply(lines(*parts), ((_request_button(_("Карточка"), facts, "card"),),))


def _event_line(step: PastEvent, context: FormContext) -> Text:
    known = step.action in set(Event)
    what = listed(_EVENT_WORDS[Event(step.action)] if known else plain(step.action), step.who or None)
    when = moment(step.at, context)
    if not step.comment:
        return _("{when} — {what}", when=when, what=what)
    return _("{when} — {what}: {comment}", when=when, what=what, comment=_short(step.comment))


def _words_line(words: PastWords, context: FormContext) -> Text:
    when = moment(words.at, context)
    said = listed(_short(words.text) or None, *words.files)
    match words.direction:
        case "in":
            return _("{when} Клиент: {said}", when=when, said=said)
        case "note":
            return _("{when} Заметка, {author}: {said}", when=when, author=words.author, said=said)
        case _:
            return _("{when} Клиенту, {author}: {said}", when=when, author=words.author, said=said)


def _versions_line(name: str, values: tuple[str, ...], context: FormContext) -> Text:
    asked = BY_NAME[name]
    shown = " → ".join(f"{{v{number}}}" for number in range(len(values)))
    values_shown = {f"v{number}": asked.show(value, context) for number, value in enumerate(values)}
    return _("{title}: {values}", title=asked.title, values=Text(shown, values_shown))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHORT_WORDS else f"{text[:_SHORT_WORDS].rstrip()}…"


# --- the questions of a step -------------------------------------------------------------------

REASONS: Mapping[str, str] = {"busy": "Занят", "area": "Не мой участок", "ill": "Болею"}
"""Reasons of a refusal that are a tap away; the words go into the history as they are."""

_REASON_LABELS = {"busy": _("Занят"), "area": _("Не мой участок"), "ill": _("Болею")}


def question(
    pending: StaffPending, facts: RequestFacts | None, role: Role, note: Text | None = None
) -> Reply:
    """What is waited for, with its buttons. `facts` is None only for words to a chat."""
    if facts is None:
        return Reply(
            lines(note, _("Напишите ответ: он уйдёт клиенту сразу.")), ((_cancel(pending),),), prompt=True
        )
    text, rows = _QUESTIONS[pending.step](pending, facts, role)
    return Reply(lines(note, text), (*rows, (_cancel(pending),)), prompt=True)


_Asked = tuple[Text, Rows]


def _ask_decline(pending: StaffPending, facts: RequestFacts, _role: Role) -> _Asked:
    reasons = tuple(_step_button(label, "why", value, pending) for value, label in _REASON_LABELS.items())
    text = _("Почему отказываетесь от заявки № {number}? Выберите или напишите.", number=facts.number)
    return text, (reasons,)


def _ask_field(_pending: StaffPending, facts: RequestFacts, _role: Role) -> _Asked:
    choices = [button for row in compose.clarify_choices(facts) for button in row]
    rows = tuple(tuple(choices[at : at + 2]) for at in range(0, len(choices), 2))
    return _(
        "Заявка № {number}, {client}. Что клиенту уточнить?", number=facts.number, client=facts.client
    ), rows


def _ask_question(pending: StaffPending, facts: RequestFacts, _role: Role) -> _Asked:
    field = BY_NAME[pending.field].title
    text = _("Заявка № {number}, «{field}». Напишите клиенту, что не так.", number=facts.number, field=field)
    return text, (_plain_row(pending),)


def _ask_answer(pending: StaffPending, facts: RequestFacts, _role: Role) -> _Asked:
    values = {"number": facts.number, "client": facts.client}
    if not pending.holds_words:
        return _("Заявка № {number}, {client}. Напишите ответ или пришлите файлы: уйдут сразу.", **values), ()
    text = lines(
        _("Отправить клиенту, заявка № {number}, {client}?", **values),
        pending.text or None,
        files_line(pending.files),
    )
    return text, ((_step_button(_("Отправить"), "send", "", pending),),)


def _ask_note(_pending: StaffPending, facts: RequestFacts, _role: Role) -> _Asked:
    return _("Напишите заметку к заявке № {number}. Клиент её не увидит.", number=facts.number), ()


def _ask_why(pending: StaffPending, facts: RequestFacts, role: Role) -> _Asked:
    text = (
        _("Передаём заявку № {number}: {name}. Напишите коллеге в двух словах, почему.",
          number=facts.number, name=pending.to_name)
        if pending.to_staff_id
        else _("Возвращаем заявку № {number} в «Неразобранное». Напишите в двух словах, почему.",
               number=facts.number)
    )  # fmt: skip
    return text, (_plain_row(pending),) if role.directs else ()


def _ask_result(pending: StaffPending, facts: RequestFacts, _role: Role) -> _Asked:
    values = {"number": facts.number, "client": facts.client}
    if not pending.holds_words:
        ask = _("Заявка № {number}, {client}. Пришлите результат: текст, файлы или и то и другое.", **values)
        return ask, ((_step_button(_("Без пояснений"), "send", "", pending),),)
    text = lines(
        _("Отправить клиенту результат по заявке № {number}, {client}?", **values),
        pending.text or None,
        files_line(pending.files),
        _("Можно дополнить: пришлите ещё текст или файлы."),
    )
    return text, ((_step_button(_("Отправить"), "send", "", pending),),)


_QUESTIONS: Mapping[Step, Callable[[StaffPending, RequestFacts, Role], _Asked]] = {
    Step.DECLINE: _ask_decline,
    Step.FIELD: _ask_field,
    Step.QUESTION: _ask_question,
    Step.ANSWER: _ask_answer,
    Step.NOTE: _ask_note,
    Step.HAND_WHY: _ask_why,
    Step.DONE: _ask_result,
}


def files_line(files: tuple[OutgoingFile, ...]) -> Text | None:
    """Names of files, when there are any."""
    return _("Файлы: {names}", names=listed(*(file.name for file in files))) if files else None


def colleagues(
    pending: StaffPending, people: tuple[Candidate, ...], context: FormContext, *, to_queue: bool
) -> Reply:
    """To whom: everybody who may take it, with their load; the least busy of those at work first."""
    shown = people[:COLLEAGUES_SHOWN]
    rows: Rows = tuple(
        (_step_button(_colleague(person, context), "to", str(person.staff_id), pending),) for person in shown
    )
    if to_queue:
        rows = (*rows, (_step_button(_("В «Неразобранное»"), "to", "0", pending),))
    more = _("Показаны не все: остальных можно назвать по фамилии.") if len(people) > len(shown) else None
    text = lines(_("Кому передать заявку № {number}?", number=pending.target), more)
    return Reply(text, (*rows, (_cancel(pending),)), prompt=True)


def _colleague(person: Candidate, context: FormContext) -> Text:
    load = _("{open} из {capacity}", open=person.open_requests, capacity=person.capacity)
    if is_absent(person, context):
        return listed(person.name, load, _("отсутствует"))
    return listed(person.name, load, None if person.on_shift else _("не на смене"))


def is_absent(person: Candidate, context: FormContext) -> bool:
    """Whether this person is away now."""
    return person.absent_until is not None and person.absent_until > context.now


def whom(pending: StaffPending, open_requests: Section) -> Reply:
    """«Кому это?»: the words are kept, a tap sends them."""
    rows: Rows = tuple(
        (_step_button(_("№ {number}, {company}", number=line.number, company=line.company),
                      "whom", str(line.number), pending),)
        for line in open_requests.lines
    )  # fmt: skip
    text = lines(
        _("Кому это? Выберите заявку, и мы отправим клиенту:"),
        _short(pending.text) or None,
        files_line(pending.files),
        _("Показаны не все: можно написать номер, например № 17.")
        if open_requests.total > len(open_requests.lines)
        else None,
    )
    return Reply(text, (*rows, (_cancel(pending),)), prompt=True)


def merged(reply: Reply, group_id: str | None) -> Reply:
    """One answer to all parts of an album: the earlier ones give way while they wait."""
    return replace(reply, prompt=True, merge_seconds=ALBUM_SECONDS) if group_id else reply


def _cancel(pending: StaffPending) -> Button:
    return Button(_("Отмена"), str(Press(NAV_SCOPE, Nav.CANCEL, "", pending.revision)))


def _plain_row(pending: StaffPending) -> tuple[Button, ...]:
    return (_step_button(_("Без пояснений"), "plain", "", pending),)


def _step_button(label: Text, target: str, value: str, pending: StaffPending) -> Button:
    return Button(label, str(Press(STAFF_SCOPE, target, value, pending.revision)))


def _staff_button(label: Text, target: str, value: str) -> Button:
    return Button(label, str(Press(STAFF_SCOPE, target, value)))


def _request_button(label: Text, facts: RequestFacts, action: str) -> Button:
    return Button(label, str(Press(REQUEST_SCOPE, str(facts.number), action, facts.version)))
