"""The chat of a member of staff: assignments, answers to clients, lists, the working day.

Words go to a client only after a person chose to whom: by «Ответить», or by a tap on «Кому это?».
What is in the middle is kept in the draft, so that it survives a restart and goes on in another
messenger of the same person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import MappingProxyType

from bots import calls, director, edits, linking, recording
from bots import staff_screens as screens
from bots.linking import LINK_SCOPE
from bots.staff_pending import WORDS_WANTED, StaffPending, Step, pending_from_json, revision_at
from bots.staff_screens import STAFF_SCOPE, Desk
from bots.turns import ChatTurn
from forms.answers import AnswerError
from forms.dialogue import NAV_SCOPE, SMALL_TALK, Nav, nav_word
from forms.messages import InboundKind, OutgoingFile, Press, Reply, loosely
from forms.texts import Text, _, lines
from notifications import compose
from notifications.compose import REQUEST_SCOPE
from notifications.proposals import AGREE, KEEP, PROPOSAL_SCOPE
from notifications.undelivered import CALL_SCOPE
from router import desk
from router.desk import DeskError
from router.model import Candidate, Role, Status
from storage import casework, shifts, staff_reading
from storage.casework import Case, NoSuchRequest
from storage.letters import Posting, post
from storage.reach import Reach, reach_of, reaches_client
from storage.staff_reading import Wanted

CHAT_SCOPE = "chat"

_SILENT = frozenset(
    (
        InboundKind.DELETED, InboundKind.DELIVERY, InboundKind.BLOCKED, InboundKind.UNBLOCKED,
        InboundKind.IGNORED,
    )
)  # fmt: skip
_QUEUE = 0
"""The «colleague» that stands for «Неразобранное»."""
_SOMEBODY = -1
_SOME_WORDS = "…"


def handle(turn: ChatTurn) -> None:
    """Answer one message of a member of staff. `turn.chat.staff` is set."""
    if turn.inbound.kind in _SILENT:
        return
    pending = _pending(turn)
    if turn.inbound.kind is InboundKind.EDITED:
        _edited(turn, pending)
        return
    if pending is not None or not recording.keeps_quiet(turn):
        _log(turn)
    press = _meant_press(turn, pending)
    if pending is None and recording.takes(turn, press):
        _write_down(turn, press)
        return
    _answer_message(turn, press, pending)
    if recording.is_going(turn) and _pending(turn) is None and not recording.is_in_sight(turn):
        recording.ask(turn)


def _answer_message(turn: ChatTurn, press: Press | None, pending: StaffPending | None) -> None:
    if press is not None:
        _pressed(turn, press, pending)
    elif turn.inbound.button is not None:
        _stale(turn, pending)
    elif turn.said.other:
        note = _("Это ({what}) передать не получится. Пришлите текст, фото или файл.", what=turn.said.other)
        _here_again(turn, pending, note)
    elif _is_unknown_command(turn):
        _here_again(turn, pending, _("Такой команды нет. Все команды: /help"))
    elif pending is not None and pending.step in WORDS_WANTED and not _is_find_command(turn):
        _said_to_step(turn, pending)
    else:
        _wrote(turn, pending)


def _edited(turn: ChatTurn, pending: StaffPending | None) -> None:
    """What has gone to a client is not changed behind their back; what has not, is put right."""
    edit = edits.by_staff(turn)
    if edit is None:
        return
    if pending is not None and edit.before and edit.before in pending.text:
        better = replace(pending, text=pending.text.replace(edit.before, edit.after, 1))
        _keep_and_ask(turn, better, _("Поправили, клиенту ещё ничего не ушло."))
    elif edit.was_sent:
        turn.say_text(
            _("У клиента остался прежний текст: отправленное не меняется. Чтобы поправить, ответьте ещё раз.")
        )
    else:
        turn.say_text(_("Исправление ничего не изменило. Если нужно, напишите ещё раз."))


def welcome(turn: ChatTurn) -> None:
    """Greet somebody whose chat has just become a member of staff's."""
    _save(turn, None)
    name = turn.chat.person_name
    hello = (
        _("Здравствуйте, {name}. Этот чат теперь рабочий.", name=name)
        if name
        else _("Этот чат теперь рабочий.")
    )
    if _role(turn).takes_requests:
        # Whoever has just linked their chat is at work; waiting for a button would leave them without work.
        _start_day(turn)
    _menu(turn, lines(hello, screens.help_text(_role(turn))))


def resume(turn: ChatTurn, note: Text) -> None:
    """Greet somebody who comes from another chat of theirs; what they were in the middle of goes on."""
    _here_again(turn, _pending(turn), note)


def _log(turn: ChatTurn) -> None:
    # What goes to a client or becomes a note stands in the request's correspondence as such; this is
    # the raw message, and giving it the request's number would show the same words there twice.
    files = [asdict(file) for file in turn.kept_files()]
    text = _words(turn)
    if text or files:
        turn.work.log(turn.chat, turn.inbound, text, files, None)


def _save(turn: ChatTurn, pending: StaffPending | None) -> None:
    """Keep what is in the middle, or (None) nothing of it; a call that is being written down stays."""
    kept = {**recording.kept_beside(turn), **(pending.to_json() if pending else {})}
    turn.work.save_draft(turn.chat, kept or None)


def _pending(turn: ChatTurn) -> StaffPending | None:
    """What is in the middle; a step whose album is over is not."""
    pending = pending_from_json(turn.chat.draft)
    if pending is None or (pending.sent_group and not _is_rest_of_album(turn, pending)):
        return None
    return pending


def _is_rest_of_album(turn: ChatTurn, pending: StaffPending) -> bool:
    return bool(pending.sent_group) and turn.said.group_id == pending.sent_group


def _meant_press(turn: ChatTurn, pending: StaffPending | None) -> Press | None:
    """The press, unless it was typed while words are waited for: «Выполнено» may be those words.

    Then only the buttons of that very question, «Отмена» and commands with a slash can be typed.
    """
    press, text = turn.said.press, turn.said.text
    if turn.inbound.button is not None:
        return press
    if turn.inbound.kind is InboundKind.STARTED:
        return Press(NAV_SCOPE, Nav.START)
    if turn.said.files:
        return None
    words_wanted = pending is not None and pending.step in WORDS_WANTED
    if press is not None and (not words_wanted or _belongs(press, pending)):
        return press
    nav = nav_word(text)
    if words_wanted and nav is not Nav.CANCEL and not text.startswith("/"):
        return None
    return Press(NAV_SCOPE, nav) if nav is not None else _STAFF_WORDS.get(loosely(text))


def _belongs(press: Press, pending: StaffPending | None) -> bool:
    return (
        pending is not None and press.scope in (STAFF_SCOPE, NAV_SCOPE) and press.revision == pending.revision
    )


_COMMAND = re.compile(r"/[a-z_]+(@\S+)?(\s.*)?", re.DOTALL)


def _is_unknown_command(turn: ChatTurn) -> bool:
    """Whether this is a mistyped command: never something to be sent to a client."""
    return (
        _COMMAND.fullmatch(turn.said.text) is not None and not _is_find_command(turn) and not turn.said.files
    )


def _is_find_command(turn: ChatTurn) -> bool:
    return turn.said.text.startswith("/") and _FIND.fullmatch(turn.said.text.strip()) is not None


_STAFF_WORDS: Mapping[str, Press] = MappingProxyType(
    {
        loosely(word): press
        for press, words in (
            (Press(STAFF_SCOPE, "day", "start"), ("Начать день", "Продолжить", "/start_day")),
            (Press(STAFF_SCOPE, "day", "pause"), ("Пауза", "/pause")),
            (Press(STAFF_SCOPE, "day", "end"), ("Закончить день", "/end_day")),
            (Press(NAV_SCOPE, Nav.MINE), ("Все заявки", "заявки")),
            (Press(NAV_SCOPE, Nav.START), ("Меню", "/menu", "menu")),
            (linking.SHOW, linking.WORDS),
            (calls.SHOW, calls.WORDS),
            (director.BOARD, director.WORDS),
            (Press(STAFF_SCOPE, "record"), ("Записать звонок", "Записать обращение", "/call")),
        )
        for word in words
    }
)


# --- presses -----------------------------------------------------------------------------------


def _pressed(turn: ChatTurn, press: Press, pending: StaffPending | None) -> None:
    match press.scope:
        case scope if scope == NAV_SCOPE:
            _navigated(turn, press, pending)
        case scope if scope == REQUEST_SCOPE and _ID.fullmatch(press.target):
            _request_pressed(turn, int(press.target), press.value, pending)
        case scope if scope == CHAT_SCOPE and _ID.fullmatch(press.target) and press.value == "answer":
            _ask_words_for_chat(turn, press, pending)
        case scope if scope == PROPOSAL_SCOPE and _ID.fullmatch(press.target):
            _proposal_pressed(turn, press, pending)
        case scope if scope in (CALL_SCOPE, director.DIRECTOR_SCOPE):
            of_board = scope == director.DIRECTOR_SCOPE
            shown = director.answer(turn, press, _own(turn)) if of_board else calls.answer(turn, press)
            _look(turn, pending, shown)
        case scope if scope == LINK_SCOPE:
            _look_at_messengers(turn, press, pending)
        case scope if scope == STAFF_SCOPE and press.target == "day":
            _day_pressed(turn, press.value, pending)
        case scope if scope == STAFF_SCOPE and press.target == "record":
            _record(turn, pending)
        case scope if scope == STAFF_SCOPE and pending is not None and press.revision == pending.revision:
            _step_pressed(turn, press, pending)
        case _:
            _stale(turn, pending)


_ID = re.compile(r"[0-9]{1,9}")


def _stale(turn: ChatTurn, pending: StaffPending | None) -> None:
    _here_again(turn, pending, _("Эта кнопка уже не действует."))


def _navigated(turn: ChatTurn, press: Press, pending: StaffPending | None) -> None:
    match press.target:
        case Nav.CANCEL | Nav.BACK:
            if press.revision and (pending is None or press.revision != pending.revision):
                _stale(turn, pending)
            else:
                _cancel(turn, pending)
        case Nav.MINE | Nav.STATUS:
            _look(turn, pending, _board(turn))
        case Nav.HELP:
            help_shown = _menu_reply(turn, screens.help_text(_role(turn)))
            where = (linking.button(_("Куда писать")),)
            _look(turn, pending, replace(help_shown, rows=(*help_shown.rows, where)))
        case Nav.NEW:
            note = _("Заявки создают клиенты в своём чате. Клиент позвонил — нажмите «Записать звонок».")
            _here_again(turn, pending, note)
        case Nav.HUMAN:
            _here_again(turn, pending, _("Здесь отвечает программа. Если нужна помощь, позвоните директору."))
        case _ if pending is not None:
            _cancel(turn, pending)
        case _:
            _menu(turn)


def _cancel(turn: ChatTurn, pending: StaffPending | None) -> None:
    if pending is None:
        _menu(turn, _("Отменять нечего."))
        return
    _save(turn, None)
    _menu(turn, _("Отменили, никому ничего не ушло."))


def _request_pressed(turn: ChatTurn, number: int, action: str, pending: StaffPending | None) -> None:
    if action in _VIEWS:
        _attempt(turn, number, lambda: _look(turn, pending, _VIEWS[action](turn, number)))
    elif screens.only_reads(_role(turn)):
        _look(
            turn,
            pending,
            Reply(_("Ваша роль позволяет смотреть заявки. Работают с ними исполнитель и директор.")),
        )
    elif action == "heard":
        _attempt(turn, number, lambda: _client_agreed(turn, number, pending))
    elif action == "ping":
        _attempt(turn, number, lambda: _remind(turn, number, pending))
    elif action == "accept":
        _attempt(turn, number, lambda: _accept(turn, number, pending))
    elif action in ("outside", "resume"):
        _attempt(turn, number, lambda: _waited_outside(turn, number, action, pending))
    elif action in _STEPS or action.startswith(_FIELD_ACTION):
        _attempt(turn, number, lambda: _begin_step(turn, number, action, pending))
    else:
        _stale(turn, pending)


def _proposal_pressed(turn: ChatTurn, press: Press, pending: StaffPending | None) -> None:
    """«Принять» or «Оставить прежнее» below what a client proposes."""
    if screens.only_reads(_role(turn)) or press.value not in (AGREE, KEEP):
        _stale(turn, pending)
        return
    agreed = press.value == AGREE
    try:
        decided = casework.decide(
            turn.session, turn.house, turn.who, int(press.target), turn.now, agreed=agreed
        )
    except DeskError as error:
        _here_again(turn, pending, error.text)
        return
    _look(turn, pending, _card(turn, decided.case, lines(decided.told, _("Клиенту написали."), "")))


def _attempt(turn: ChatTurn, number: int, act: Callable[[], None]) -> None:
    """Do something with a request; a refusal is said together with the request as it is now."""
    try:
        act()
    except (DeskError, AnswerError) as error:
        had_words = _pending(turn) is not None
        _save(turn, None)
        refusal = lines(error.text, _("Ничего не отправили.")) if had_words else error.text
        try:
            shown = _card(turn, _visible(turn, number))
        except NoSuchRequest:
            _menu(turn, refusal)
            return
        turn.say_text(refusal)
        turn.say(replace(shown, prompt=not recording.is_going(turn)), request_id=number)


# --- looking -----------------------------------------------------------------------------------


def _look(turn: ChatTurn, pending: StaffPending | None, reply: Reply) -> None:
    """Show something; a question that waits is asked again below it, so that nobody forgets it."""
    if pending is None and not recording.is_going(turn):
        turn.say(reply)
        return
    turn.say(replace(reply, prompt=False))
    if pending is not None:
        _ask(turn, pending)
    else:
        recording.ask(turn)


def _look_at_messengers(turn: ChatTurn, press: Press, pending: StaffPending | None) -> None:
    crossed = linking.crossed(turn, press)
    if crossed is not None:
        note = crossed.entered.refused or crossed.entered.hello
        if note is not None:
            resume(crossed.turn, note)
        return
    reply = linking.answer(turn, press)
    if turn.chat.staff is None:
        # This very chat has just been unlinked.
        turn.say(reply)
    else:
        _look(turn, pending, reply)


def _here_again(turn: ChatTurn, pending: StaffPending | None, note: Text) -> None:
    if pending is None:
        _menu(turn, note)
    else:
        _ask(turn, pending, note)


def _menu(turn: ChatTurn, note: Text | None = None) -> None:
    """The main screen; while a call is being written down, its question."""
    if recording.is_going(turn):
        recording.ask(turn, note)
    else:
        turn.say(_menu_reply(turn, note))


def _menu_reply(turn: ChatTurn, note: Text | None = None) -> Reply:
    day = shifts.present_day(turn.session, _staff_id(turn), turn.now)
    shown = Desk(_role(turn), day, staff_reading.counts(turn.session, _own(turn)))
    reply = screens.menu(shown, turn.context, note)
    return replace(reply, rows=(*reply.rows, *calls.menu_row(turn)))


def _board(turn: ChatTurn) -> Reply:
    if screens.sees_none(_role(turn)):
        return _menu_reply(turn)
    limit = screens.ALL_LINES if screens.sees_all(_role(turn)) else screens.OWN_LINES
    sections = staff_reading.board(turn.session, _own(turn), limit)
    if not sections:
        return _menu_reply(turn, _("Открытых заявок нет."))
    return screens.board(sections, _role(turn), turn.context)


def _visible(turn: ChatTurn, number: int) -> Case:
    """Open a request that this person may know of. Raises NoSuchRequest.

    Directing and reading roles see what is within their reach; the others what they have or have been
    given before.
    """
    case = casework.open_case(turn.session, number)
    staff_id, reach = _staff_id(turn), _own(turn)
    if screens.sees_none(_role(turn)):
        raise NoSuchRequest
    if (
        (screens.sees_all(_role(turn)) and reaches_client(turn.session, reach, case.row.client_id))
        or staff_id in (case.row.assignee_id, case.row.recorded_by)
        or staff_reading.was_given(turn.session, number, staff_id)
    ):
        return case
    raise NoSuchRequest


def _card(turn: ChatTurn, case: Case, note: Text | None = None) -> Reply:
    role = _role(turn)
    may_act = role.directs or (
        role.takes_requests and (case.row.assignee_id == _staff_id(turn) or case.request.status is Status.NEW)
    )
    return screens.card(case.facts, turn.context, may_act=may_act, note=note)


def _card_with_files(turn: ChatTurn, number: int) -> Reply:
    case = _visible(turn, number)
    return replace(_card(turn, case), files=screens.card_files(case.facts, turn.context))


def _history(turn: ChatTurn, number: int) -> Reply:
    case = _visible(turn, number)
    past = staff_reading.past_of(turn.session, number, case.row.client_id)
    return screens.history(case.facts, past, _role(turn), turn.context)


_VIEWS: Mapping[str, Callable[[ChatTurn, int], Reply]] = {"card": _card_with_files, "history": _history}


def _search(turn: ChatTurn, pending: StaffPending | None, wanted: Wanted) -> None:
    found = staff_reading.search(turn.session, wanted, _own(turn), screens.OWN_LINES)
    if not found.lines:
        _here_again(turn, pending, screens.nothing_found(_role(turn)))
    elif found.total == 1:
        _look(turn, pending, _card_with_files(turn, found.lines[0].number))
    else:
        _look(turn, pending, screens.found(found, _role(turn), turn.context))


_FIND = re.compile(r"(?:/find|найти|найди|поиск)[\s:]+(?P<words>\S.*)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"№?\s*([0-9]{1,9})")
_INN = re.compile(r"(?:инн\s*)?([0-9]{10}|[0-9]{12})", re.IGNORECASE)


def search_of(text: str) -> Wanted | None:
    """Read «17», «№ 17», an INN or «найти слова»; anything else is no search."""
    asked = _FIND.fullmatch(text.strip())
    plain = asked["words"] if asked else text.strip()
    if number := _NUMBER.fullmatch(plain):
        return Wanted(number=int(number[1]))
    if inn := _INN.fullmatch(plain):
        return Wanted(inn=inn[1])
    return Wanted(words=plain) if asked else None


# --- a call or a visit -------------------------------------------------------------------------


def _record(turn: ChatTurn, pending: StaffPending | None) -> None:
    """«Записать звонок»: whatever was in the middle is over."""
    if screens.sees_none(_role(turn)):
        _menu(turn)
        return
    lost = pending is not None and pending.holds_words
    _save(turn, None)
    recording.start(turn, _("Написанное раньше никому не ушло.") if lost else None)


def _write_down(turn: ChatTurn, press: Press | None) -> None:
    note = recording.hear(turn, press)
    if note is not None:
        _menu(turn, note)


# --- the working day ---------------------------------------------------------------------------


def _day_pressed(turn: ChatTurn, what: str, pending: StaffPending | None) -> None:
    if screens.only_reads(_role(turn)):
        _here_again(turn, pending, _("Рабочий день отмечают бухгалтеры, юристы и директор."))
        return
    note = _DAY_ACTIONS.get(what, _day_unknown)(turn)
    _look(turn, pending, _menu_reply(turn, note))


def _start_day(turn: ChatTurn) -> Text | None:
    if not shifts.start_work(turn.session, _staff_id(turn), turn.now):
        return _("День уже начат.")
    casework.pick_up_unassigned(turn.session, turn.house, turn.now)
    return None


def _pause(turn: ChatTurn) -> Text | None:
    if shifts.start_pause(turn.session, _staff_id(turn), turn.now):
        return _("Новых заявок пока не дадим. Вернётесь — нажмите «Продолжить».")
    day = shifts.present_day(turn.session, _staff_id(turn), turn.now)
    return _("Сначала начните день.") if day is None else _("Пауза уже идёт.")


def _end_day(turn: ChatTurn) -> Text | None:
    day = shifts.end_day(turn.session, _staff_id(turn), turn.now)
    if day is None:
        return _("День уже закончен.")
    left = staff_reading.unaccepted(turn.session, _staff_id(turn), screens.OWN_LINES)
    return screens.day_ended(day, left)


def _day_unknown(_turn: ChatTurn) -> Text | None:
    return _("Эта кнопка уже не действует.")


_DAY_ACTIONS: Mapping[str, Callable[[ChatTurn], Text | None]] = {
    "start": _start_day,
    "pause": _pause,
    "end": _end_day,
}


# --- what begins on a card ---------------------------------------------------------------------

_STEPS: Mapping[str, Step] = {
    "decline": Step.DECLINE,
    "clarify": Step.FIELD,
    "answer": Step.ANSWER,
    "note": Step.NOTE,
    "pass": Step.HAND_TO,
    "done": Step.DONE,
}
_FIELD_ACTION = "field-"


def _accept(turn: ChatTurn, number: int, pending: StaffPending | None) -> None:
    case = _visible(turn, number)
    if case.row.assignee_id == _staff_id(turn) and case.request.status in (
        Status.ACCEPTED,
        Status.WAITING_CLIENT,
    ):
        note = _("Эта заявка уже у вас.")
    else:
        case = casework.accept(turn.session, turn.house, turn.who, number, turn.now)
        note = _("Вы приняли заявку.")
    _look(turn, pending, _card(turn, case, note))


def _client_agreed(turn: ChatTurn, number: int, pending: StaffPending | None) -> None:
    """The client was asked by telephone whether what was written down is right."""
    _visible(turn, number)
    case = casework.confirm(turn.session, turn.house, turn.who, number, turn.now)
    _look(turn, pending, _card(turn, case, _("Отметили: клиент подтвердил по телефону.")))


def _waited_outside(turn: ChatTurn, number: int, action: str, pending: StaffPending | None) -> None:
    """A bank or the tax office is waited for, or no longer."""
    _visible(turn, number)
    if action == "outside":
        case = casework.wait_outside(turn.session, turn.house, turn.who, number, "", turn.now)
        note = _("Отметили: ждём третьих лиц. Дождётесь — нажмите «Продолжить».")
    else:
        case = casework.resume(turn.session, turn.house, turn.who, number, turn.now)
        note = _("Заявка снова в работе.")
    _look(turn, pending, _card(turn, case, note))


def _remind(turn: ChatTurn, number: int, pending: StaffPending | None) -> None:
    _visible(turn, number)
    _look(turn, pending, Reply(director.remind(turn, number)))


def _begin_step(turn: ChatTurn, number: int, action: str, before: StaffPending | None) -> None:
    """Ask for what the action needs, once it is known that it can be done at all."""
    case = _visible(turn, number)
    step = _STEPS.get(action, Step.QUESTION)
    _try_out(turn, case, step)
    pending = StaffPending(step, number, revision_at(turn.now), case.row.version)
    if step is Step.QUESTION:
        pending = replace(pending, field=_field_to_clarify(case, action))
    note = None
    if before is not None and before.holds_words:
        if before.step is Step.WHOM and step is Step.ANSWER:
            # «Кому это?» is answered through the card; one more tap sends the words.
            pending = pending.with_more(before.text, before.files)
        else:
            note = _("Написанное раньше никому не ушло.")
    _keep_and_ask(turn, pending, note)


def _try_out(turn: ChatTurn, case: Case, step: Step) -> None:
    """Raise the DeskError that the action would end with, before anybody writes words for it."""
    who, request, now, holder = turn.who, case.request, turn.now, case.assignee_name
    assert who.staff_id is not None
    assert who.role is not None
    actor = desk.staff(who.staff_id, who.role, who.name, turn.house.calendar.zone)
    match step:
        case Step.DECLINE:
            desk.decline(request, actor, now, _SOME_WORDS, holder=holder)
        case Step.FIELD | Step.QUESTION:
            desk.ask_clarification(request, actor, now, None, holder=holder)
        case Step.ANSWER:
            desk.answer(request, actor, now, holder=holder)
        case Step.NOTE:
            desk.note(request, actor, now, _SOME_WORDS)
        case Step.HAND_TO if actor.directs:
            desk.reassign(request, actor, now, _SOMEBODY)
        case Step.HAND_TO:
            desk.pass_on(request, actor, now, _SOMEBODY, _SOME_WORDS, holder=holder)
        case _:
            desk.done(request, actor, now, holder=holder)


def _field_to_clarify(case: Case, action: str) -> str:
    wanted = f":{action}:"
    for row in compose.clarify_choices(case.facts):
        if any(wanted in button.press for button in row):
            return action.removeprefix(_FIELD_ACTION)
    raise AnswerError(_("В этой заявке такого поля нет. Выберите другое."))


def _ask_words_for_chat(turn: ChatTurn, press: Press, pending: StaffPending | None) -> None:
    """Words for a client who called a person: from those who were called, and from directing roles."""
    assert turn.chat.person_id is not None
    chat = staff_reading.client_chat(turn.session, int(press.target))
    called = _role(turn).directs or staff_reading.was_called_to(turn.session, turn.chat.person_id, str(press))
    if chat is None or not called:
        _here_again(turn, pending, _("В этот чат ответить нельзя."))
    elif chat.blocked:
        _here_again(turn, pending, _("Клиент закрыл этот чат, написать туда нельзя. Позвоните ему."))
    else:
        _keep_and_ask(turn, StaffPending(Step.CHAT, chat.chat_id, revision_at(turn.now)))


def _keep_and_ask(turn: ChatTurn, pending: StaffPending, note: Text | None = None) -> None:
    _save(turn, pending)
    _ask(turn, pending, note)


def _ask(turn: ChatTurn, pending: StaffPending, note: Text | None = None) -> None:
    """Ask what is waited for (again)."""
    try:
        reply = _question(turn, pending, note)
    except DeskError as error:
        _save(turn, None)
        _menu(turn, lines(note, error.text))
        return
    turn.say(screens.merged(reply, turn.said.group_id))


def _question(turn: ChatTurn, pending: StaffPending, note: Text | None) -> Reply:
    match pending.step:
        case Step.WHOM:
            reply = screens.whom(pending, _addressees(turn))
            return replace(reply, text=lines(note, reply.text))
        case Step.CHAT:
            return screens.question(pending, None, _role(turn), note)
        case Step.HAND_TO:
            case = _visible(turn, pending.target)
            reply = screens.colleagues(
                pending, _colleagues(turn, case), turn.context, to_queue=_may_return(turn, case)
            )
            return replace(reply, text=lines(note, reply.text))
        case _:
            return screens.question(pending, _visible(turn, pending.target).facts, _role(turn), note)


def _colleagues(turn: ChatTurn, case: Case) -> tuple[Candidate, ...]:
    """Who may be given the request: those at work first, the least busy of them first."""
    people = [
        person
        for person in casework.candidates(turn.session, turn.now)
        if person.active
        and person.role.takes_requests
        and (person.staff_id != case.row.assignee_id or case.request.status is Status.DONE)
    ]
    context = turn.context
    people.sort(
        key=lambda person: (
            screens.is_absent(person, context),
            not person.on_shift,
            person.open_requests,
            person.staff_id,
        )
    )
    return tuple(people)


def _may_return(turn: ChatTurn, case: Case) -> bool:
    given = (Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)
    return _role(turn).directs and case.request.status in given


# --- what ends a step --------------------------------------------------------------------------


def _step_pressed(turn: ChatTurn, press: Press, pending: StaffPending) -> None:
    match pending.step, press.target:
        case Step.DECLINE, "why" if press.value in screens.REASONS:
            _attempt(turn, pending.target, lambda: _decline(turn, pending, screens.REASONS[press.value]))
        case Step.QUESTION, "plain":
            _attempt(turn, pending.target, lambda: _clarify(turn, pending, "", ()))
        case Step.HAND_TO, "to" if _ID.fullmatch(press.value):
            _chose_colleague(turn, pending, int(press.value))
        case Step.HAND_WHY, "plain" if _role(turn).directs:
            _attempt(turn, pending.target, lambda: _pass(turn, pending, ""))
        case Step.ANSWER, "send" if pending.holds_words:
            _attempt(turn, pending.target, lambda: _answer(turn, pending))
        case Step.DONE, "send":
            _attempt(turn, pending.target, lambda: _done(turn, pending))
        case Step.WHOM, "whom" if _ID.fullmatch(press.value):
            _chose_request(turn, pending, int(press.value))
        case _:
            _stale(turn, pending)


def _said_to_step(turn: ChatTurn, pending: StaffPending) -> None:
    """Words or files at a step that waits for them."""
    text, files = _words(turn), turn.kept_files()
    refusals = turn.refusals()
    if refusals and pending.step is not Step.DONE:
        _ask(turn, pending, lines(*refusals, _("Ничего не отправили. Пришлите ещё раз.")))
        return
    if not text and not files:
        _ask(turn, pending, lines(*refusals) if refusals else None)
        return
    match pending.step:
        case Step.ANSWER:
            _attempt(turn, pending.target, lambda: _answer(turn, pending.with_more(text, files)))
        case Step.NOTE:
            _attempt(turn, pending.target, lambda: _note(turn, pending, text, files))
        case Step.CHAT:
            _answer_chat(turn, pending, text, files)
        case Step.DONE:
            _more_result(turn, pending, text, files)
        case _ if not text:
            _ask(turn, pending, _("Здесь нужны слова, а не файл."))
        case Step.DECLINE:
            _attempt(turn, pending.target, lambda: _decline(turn, pending, text))
        case Step.HAND_WHY:
            _attempt(turn, pending.target, lambda: _pass(turn, pending, text))
        case _:
            _attempt(turn, pending.target, lambda: _clarify(turn, pending, text, files))


def _decline(turn: ChatTurn, pending: StaffPending, reason: str) -> None:
    case = casework.decline(turn.session, turn.house, turn.who, pending.target, reason, turn.now)
    _save(turn, None)
    turn.say_text(
        _(
            "Вы отказались от заявки № {number}. Теперь её ведёт {name}.",
            number=pending.target,
            name=case.facts.assignee,
        )
        if case.facts.assignee
        else _(
            "Вы отказались от заявки № {number}. Пока её никто не взял, директору сообщили.",
            number=pending.target,
        )
    )


def _clarify(turn: ChatTurn, pending: StaffPending, text: str, files: tuple[OutgoingFile, ...]) -> None:
    number = pending.target
    if files:
        # A clarification is words and the field's own question; files travel as an answer before it,
        # and only if the question can follow them.
        _try_out(turn, _visible(turn, number), Step.QUESTION)
        casework.answer(turn.session, turn.house, turn.who, number, "", files, turn.now)
    casework.clarify(turn.session, turn.house, turn.who, number, pending.field, text, turn.now)
    _save(turn, None)
    turn.say_text(_("Спросили клиента, № {number}. Ответ придёт сюда.", number=number))


def _answer(turn: ChatTurn, pending: StaffPending) -> None:
    """Send what `pending` holds to the client of its request, at once."""
    number = pending.target
    _visible(turn, number)
    casework.answer(turn.session, turn.house, turn.who, number, pending.text, pending.files, turn.now)
    _finish(turn, pending, _("Отправили клиенту, № {number}.", number=number))


def _chose_request(turn: ChatTurn, pending: StaffPending, number: int) -> None:
    """The answer to «Кому это?»; whatever is wrong with it, the words stay."""
    typed = turn.said.text.strip()
    if turn.inbound.button is None and typed.isdecimal() and typed != str(number) and _is_listed(turn, typed):
        _ask(turn, pending, _("Напишите номер заявки со знаком №, например: № {number}.", number=typed))
        return
    try:
        _answer(turn, replace(pending, target=number))
    except DeskError as error:
        _ask(turn, pending, error.text)


def _is_listed(turn: ChatTurn, number: str) -> bool:
    """Whether a typed number is the place of one button and the number of another's request."""
    return any(str(line.number) == number for line in _addressees(turn).lines)


def _note(turn: ChatTurn, pending: StaffPending, text: str, files: tuple[OutgoingFile, ...]) -> None:
    _visible(turn, pending.target)
    casework.note(turn.session, turn.house, turn.who, pending.target, text, files, turn.now)
    _finish(turn, pending, _("Записали заметку, № {number}. Клиент её не видит.", number=pending.target))


def _answer_chat(turn: ChatTurn, pending: StaffPending, text: str, files: tuple[OutgoingFile, ...]) -> None:
    """Words into a client's chat that belong to no request."""
    chat = staff_reading.client_chat(turn.session, pending.target)
    if chat is None or chat.blocked:
        _save(turn, None)
        _menu(turn, _("Клиент закрыл этот чат, сообщение не ушло. Позвоните ему."))
        return
    author = turn.chat.person_name or _("Бухгалтер")
    words = lines(
        _("{name}, «{firm}»:", name=author, firm=turn.house.firm_name),
        text or None,
        screens.files_line(files),
    )
    posting = Posting(
        key=f"chat:{chat.chat_id}:{turn.inbound.channel}:{turn.inbound.event_key}",
        reply=Reply(words, files=files), chat_id=chat.chat_id, person_id=chat.person_id,
        author_id=turn.chat.person_id, urgent=True,
    )  # fmt: skip
    post(turn.session, turn.house, turn.now, (posting,))
    _finish(
        turn, pending, _("Отправили: {name}.", name=chat.person) if chat.person else _("Отправили клиенту.")
    )


def _finish(turn: ChatTurn, pending: StaffPending, told: Text) -> None:
    """Confirm in one line. The rest of an album goes the same way and gets no line of its own."""
    group_id = turn.said.group_id
    rest = replace(pending, text="", files=(), sent_group=group_id) if group_id else None
    if pending.step is Step.WHOM and rest is not None:
        rest = replace(rest, step=Step.ANSWER)
    _save(turn, rest)
    turn.say(screens.merged(Reply(told), group_id))


def _more_result(turn: ChatTurn, pending: StaffPending, text: str, files: tuple[OutgoingFile, ...]) -> None:
    """Another part of the result; «Готово» sends it."""
    if pending.holds_words and not files and loosely(text) in _READY_WORDS:
        _attempt(turn, pending.target, lambda: _done(turn, pending))
        return
    refusals = turn.refusals()
    note = lines(*refusals) if refusals else None
    _attempt(turn, pending.target, lambda: _keep_and_ask(turn, pending.with_more(text, files), note))


_READY_WORDS = frozenset(("готово", "отправить", "отправь", "отправляй", "done", "send"))


def _done(turn: ChatTurn, pending: StaffPending) -> None:
    """Send the result, unless the request has changed since the step began: then show it first."""
    number = pending.target
    try:
        casework.done(
            turn.session, turn.house, turn.who, number, pending.text, pending.files, turn.now, pending.version
        )
    except desk.StaleVersion as stale:
        case = _visible(turn, number)
        _try_out(turn, case, Step.DONE)
        turn.say_text(stale.text)
        turn.say(replace(_card(turn, case), prompt=False), request_id=number)
        _keep_and_ask(turn, replace(pending, version=case.row.version))
        return
    _save(turn, None)
    turn.say_text(_("Заявка № {number} выполнена, результат ушёл клиенту.", number=number))


def _chose_colleague(turn: ChatTurn, pending: StaffPending, staff_id: int) -> None:
    def choose() -> None:
        case = _visible(turn, pending.target)
        names = {person.staff_id: person.name for person in _colleagues(turn, case)}
        if staff_id not in names and not (staff_id == _QUEUE and _may_return(turn, case)):
            _ask(turn, pending, _("Этому сотруднику передать нельзя. Выберите другого."))
            return
        chosen = replace(pending, step=Step.HAND_WHY, to_staff_id=staff_id, to_name=names.get(staff_id, ""))
        _keep_and_ask(turn, chosen)

    _attempt(turn, pending.target, choose)


def _pass(turn: ChatTurn, pending: StaffPending, reason: str) -> None:
    number, to_staff_id = pending.target, pending.to_staff_id
    if _role(turn).directs:
        to = None if to_staff_id == _QUEUE else to_staff_id
        case = casework.reassign(
            turn.session, turn.house, turn.who, number, to, reason, turn.now, pending.version
        )
    else:
        case = casework.pass_on(turn.session, turn.house, turn.who, number, to_staff_id, reason, turn.now)
    _save(turn, None)
    turn.say_text(
        _("Передали, № {number}: {name}.", number=number, name=case.facts.assignee)
        if case.facts.assignee
        else _("Заявка № {number} снова в «Неразобранном».", number=number)
    )


# --- free words --------------------------------------------------------------------------------


def _wrote(turn: ChatTurn, pending: StaffPending | None) -> None:
    """Words that nothing waits for, or a choice made in words."""
    text = turn.said.text.strip()
    wanted = search_of(text) if not turn.said.files else None
    if pending is not None and pending.step is Step.HAND_TO and text:
        _named_colleague(turn, pending, text)
    elif pending is not None and pending.step is Step.FIELD:
        _ask(turn, pending, _("Выберите поле кнопкой. Написать своими словами можно через «Ответить»."))
    elif pending is not None and pending.step is Step.WHOM and (number := _NUMBER.fullmatch(text)):
        _chose_request(turn, pending, int(number[1]))
    elif wanted is not None:
        _search(turn, pending, wanted)
    elif pending is None and not turn.said.files and (not text or loosely(text) in SMALL_TALK):
        _menu(turn, _("Чтобы написать клиенту, откройте заявку и нажмите «Ответить».") if text else None)
    else:
        _ask_whom(turn, pending)


def _named_colleague(turn: ChatTurn, pending: StaffPending, text: str) -> None:
    """A colleague named in words instead of tapped."""

    def choose() -> None:
        people = _colleagues(turn, _visible(turn, pending.target))
        named = [person for person in people if loosely(text) and loosely(text) in loosely(person.name)]
        if len(named) == 1:
            _chose_colleague(turn, pending, named[0].staff_id)
        else:
            _ask(
                turn,
                pending,
                _("Таких несколько, выберите кнопкой.") if named else _("Такого коллеги в списке нет."),
            )

    _attempt(turn, pending.target, choose)


def _ask_whom(turn: ChatTurn, pending: StaffPending | None) -> None:
    """«Кому это?»: keep the words until somebody says for whom; further ones are added to them."""
    refusals = turn.refusals()
    note = lines(*refusals) if refusals else None
    text, files = _words(turn), turn.kept_files()
    if turn.said.contact and not text:
        text = turn.said.contact.phone
    begun = pending or StaffPending(Step.WHOM, revision=revision_at(turn.now))
    kept = begun.with_more(text, files)
    if not kept.holds_words:
        _here_again(turn, pending, note or _("Пришлите текст, фото или файл."))
    elif screens.only_reads(_role(turn)):
        _menu(turn, _("Писать клиентам могут исполнитель и директор. Никому не отправили."))
    elif not _addressees(turn).lines:
        _menu(
            turn,
            lines(note, _("Открытых заявок у вас нет, поэтому никому не отправили. Найти заявку: № 17.")),
        )
    else:
        _keep_and_ask(turn, kept, note)


def _addressees(turn: ChatTurn) -> staff_reading.Section:
    return staff_reading.addressees(turn.session, _own(turn), screens.OWN_LINES)


def _words(turn: ChatTurn) -> str:
    # PostgreSQL keeps no zero characters, and no messenger shows them.
    return turn.said.text.replace("\0", "").strip()


# --- who writes --------------------------------------------------------------------------------


def _role(turn: ChatTurn) -> Role:
    assert turn.chat.staff is not None
    return turn.chat.staff.role


def _staff_id(turn: ChatTurn) -> int:
    assert turn.chat.staff is not None
    return turn.chat.staff.staff_id


def _own(turn: ChatTurn) -> Reach:
    """Which requests this person lists; 0 is nobody's."""
    if screens.sees_none(_role(turn)):
        # Even what they were given while they had another role.
        return 0
    return reach_of(turn.session, _role(turn), _staff_id(turn))
