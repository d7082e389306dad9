"""The client's side of the conversation: consent, the form, and everything that comes after it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from bots.turns import ChatTurn
from forms.answers import AnswerError
from forms.dialogue import (
    ALBUM_SECONDS,
    FORM_SCOPE,
    NAV_SCOPE,
    SMALL_TALK,
    Nav,
    Outcome,
    Progress,
    Turn,
    advance,
    begin,
    nav_word,
    screen,
)
from forms.fields import Said
from forms.messages import Button, InboundKind, OutgoingFile, Press, Reply, loosely
from forms.request_form import BY_NAME
from forms.texts import Text, _, lines, n_
from notifications import compose
from notifications.compose import CLARIFY_SCOPE, RATE_SCOPE, REQUEST_SCOPE, RequestFacts
from router.desk import DeskError
from router.escalation import look_by
from router.model import Role, Status
from storage import casework, history
from storage.casework import NewRequest
from storage.invitations import InvitationRefused, attempts_left, failed, redeem, succeeded
from storage.letters import Posting, post
from storage.models import Chat, ClientPerson, Consent, Message, Person, Request, Staff

CONSENT_SCOPE = "consent"
PICK_SCOPE = "pick"
CLARIFYING = "clar:"
ADDING = "add:"
LISTED_REQUESTS = 5


def handle(turn: ChatTurn) -> None:
    """Answer one message of a client or a stranger."""
    if turn.inbound.start_code and _entered_by_code(turn, turn.inbound.start_code):
        return
    if not _has_consented(turn):
        _before_consent(turn)
        return
    _log(turn)
    if turn.said.press:
        _pressed(turn, turn.said.press)
    else:
        _wrote(turn)


# --- coming in ---------------------------------------------------------------------------------


def _entered_by_code(turn: ChatTurn, code: str) -> bool:
    """Redeem a one-time code; a staff member's chat is theirs from now on. False: go on as usual."""
    brake = f"code:{turn.chat.channel}:{turn.chat.chat_key}"
    if not attempts_left(turn.session, brake, turn.now):
        turn.say_text(_("Слишком много неверных кодов. Попробуйте через 15 минут."))
        return turn.chat.person_id is None
    try:
        person_id = redeem(turn.session, code, "chat", turn.now)
    except InvitationRefused as refused:
        failed(turn.session, brake, turn.now)
        turn.say_text(refused.text)
        return False
    succeeded(turn.session, brake)
    chat = turn.chat
    person = turn.session.get(Person, person_id)
    row = turn.session.get(Chat, chat.chat_id)
    assert person is not None
    assert row is not None
    row.person_id = person_id
    chat.person_id, chat.person_name, chat.consent_version = person_id, person.name, person.consent_version
    chat.draft = None
    history.record(
        turn.session, at=turn.now, actor_id=person_id, through=chat.channel, action="chat_linked",
        subject=f"person:{person_id}", before=None, after={"channel": chat.channel},
    )  # fmt: skip
    staff = turn.session.exec(select(Staff).where(col(Staff.person_id) == person_id)).one_or_none()
    if staff is None or not staff.active:
        return False
    from bots import staff_chat
    from storage.work import StaffView

    assert staff.id is not None
    chat.staff = StaffView(staff.id, Role(staff.role))
    turn.session.flush()
    staff_chat.welcome(turn)
    return True


# --- consent -----------------------------------------------------------------------------------


def _has_consented(turn: ChatTurn) -> bool:
    return turn.chat.person_id is not None and turn.chat.consent_version == turn.house.consent_version


_AGREE_WORDS = frozenset(("согласен", "согласна", "да", "ок", "agree", "i agree", "yes"))
_REFUSE_WORDS = frozenset(("не согласен", "не согласна", "нет", "i do not agree", "no"))


def _before_consent(turn: ChatTurn) -> None:
    """Nothing personal is stored here: neither the words nor the name of whoever writes."""
    press, word = turn.said.press, loosely(turn.said.text)
    nav = nav_word(turn.said.text)
    if (press and press.scope == CONSENT_SCOPE and press.target == "yes") or word in _AGREE_WORDS:
        _consent(turn)
    elif (press and press.scope == CONSENT_SCOPE and press.target == "no") or word in _REFUSE_WORDS:
        text = lines(
            _("Хорошо, без согласия ничего не записываем."),
            _phone_line(turn),
            _("Передумаете — нажмите «Согласен»."),
        )
        turn.say(Reply(text, _consent_rows()[:1], prompt=True))
    elif nav is Nav.HUMAN or (press and press.target == Nav.HUMAN):
        turn.say(Reply(lines(_phone_line(turn), _("Чтобы ответили здесь, нажмите «Согласен».")), _consent_rows(), prompt=True))
    else:
        turn.say(_consent_screen(turn))


def _consent_screen(turn: ChatTurn) -> Reply:
    house = turn.house
    asks_again = turn.chat.person_id is not None and turn.chat.consent_version
    something_said = turn.inbound.kind is not InboundKind.STARTED and not turn.said.press
    small = loosely(turn.said.text) in SMALL_TALK or nav_word(turn.said.text) is not None
    text = lines(
        _("Документ о персональных данных изменился.")
        if asks_again
        else _("Здравствуйте! Это приёмная «{firm}»: здесь можно за пару минут передать поручение бухгалтеру.", firm=house.firm_name),
        house.consent_text or None,
        _("Документ: {url}", url=house.consent_url) if house.consent_url else None,
        _("Версия {version}. Вы согласны?", version=house.consent_version),
        _("До согласия мы ничего не сохраняем, поэтому своё сообщение потом пришлите ещё раз.")
        if something_said and not small
        else None,
    )
    return Reply(text, _consent_rows(), prompt=True)


def _consent_rows() -> tuple[tuple[Button, ...], ...]:
    return (
        (
            Button(_("Согласен"), str(Press(CONSENT_SCOPE, "yes"))),
            Button(_("Не согласен"), str(Press(CONSENT_SCOPE, "no"))),
        ),
        (Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN))),),
    )


def _phone_line(turn: ChatTurn) -> Text:
    if turn.house.firm_phone:
        return _("Позвоните нам: {phone}.", phone=turn.house.firm_phone)
    return _("Позвоните бухгалтеру, с которым вы работаете.")


def _consent(turn: ChatTurn) -> None:
    chat, house = turn.chat, turn.house
    if chat.person_id is None:
        person = Person(name=turn.inbound.user_name[:200], created_at=turn.now)
        turn.session.add(person)
        turn.session.flush()
        chat.person_id, chat.person_name = person.id, person.name
        row = turn.session.get(Chat, chat.chat_id)
        assert row is not None
        row.person_id = person.id
    else:
        known = turn.session.get(Person, chat.person_id)
        assert known is not None
        person = known
        person.name = person.name or turn.inbound.user_name[:200]
    assert person.id is not None
    person.consent_version = chat.consent_version = house.consent_version
    digest = hashlib.sha256(house.consent_text.encode()).hexdigest()
    turn.session.add(
        Consent(
            person_id=person.id, chat_id=chat.chat_id, version=house.consent_version, text_sha256=digest,
            given_at=turn.now,
        )
    )  # fmt: skip
    history.record(
        turn.session, at=turn.now, actor_id=person.id, through=chat.channel, action="consent_given",
        subject=f"person:{person.id}", before=None, after={"version": house.consent_version},
    )  # fmt: skip
    turn.session.flush()
    if chat.draft:
        _show_form(turn, _progress(turn), None)
    else:
        _begin_form(turn, None)


# --- presses -----------------------------------------------------------------------------------


def _pressed(turn: ChatTurn, press: Press) -> None:
    match press.scope:
        case scope if scope == NAV_SCOPE:
            _navigate(turn, Nav(press.target) if press.target in set(Nav) else None, force=press.value == "force")
        case scope if scope == FORM_SCOPE:
            _form(turn, turn.said)
        case scope if scope == CLARIFY_SCOPE:
            asked = replace(press, scope=FORM_SCOPE)
            _clarify(turn, int(press.target) if press.target.isdigit() else 0, replace(turn.said, press=asked, text=""))
        case scope if scope == RATE_SCOPE:
            _on_own_request(turn, press.target, lambda facts: _rate(turn, facts, press.value))
        case scope if scope == REQUEST_SCOPE:
            _on_own_request(turn, press.target, lambda facts: _act(turn, facts, press.value))
        case scope if scope == PICK_SCOPE:
            _on_own_request(turn, press.target, lambda facts: _place_words(turn, facts))
        case scope if scope == CONSENT_SCOPE:
            _present(turn, _("Согласие уже есть, спасибо."))
        case _:
            _present(turn, _("Эта кнопка уже не действует."))


def _navigate(turn: ChatTurn, nav: Nav | None, *, force: bool = False) -> None:
    has_form = bool(turn.chat.draft)
    match nav:
        case Nav.NEW:
            _new(turn, force=force)
        case Nav.MINE | Nav.STATUS:
            _status(turn)
        case Nav.HELP:
            turn.say(_help(turn))
        case Nav.HUMAN:
            _call_human(turn)
        case Nav.BACK | Nav.CANCEL if has_form:
            _form(turn, turn.said)
        case Nav.START if has_form:
            _show_form(turn, _progress(turn), _("Продолжим вашу заявку."))
        case Nav.START:
            _new(turn, force=False)
        case _:
            _present(turn, _("Сейчас ничего не заполняется, отменять нечего."))


def _present(turn: ChatTurn, note: Text | None) -> None:
    """Where things stand: the form's question, or the open requests."""
    if turn.chat.draft:
        _show_form(turn, _progress(turn), note)
    else:
        _status(turn, note)


# --- words -------------------------------------------------------------------------------------


def _wrote(turn: ChatTurn) -> None:
    said, chat = turn.said, turn.chat
    nav = nav_word(said.text) if said.text and not said.files else None
    if turn.inbound.kind is InboundKind.STARTED:
        nav = Nav.START
    if turn.inbound.kind is InboundKind.EDITED:
        _edited(turn)
    elif nav is not None:
        _navigate(turn, nav)
    elif said.contact and not chat.draft:
        _keep_phone(turn)
    elif chat.focus.startswith(CLARIFYING) and not _is_unusable(said):
        _clarify(turn, int(chat.focus.removeprefix(CLARIFYING)), said)
    elif chat.focus.startswith(ADDING) and not _is_unusable(said):
        _on_own_request(turn, chat.focus.removeprefix(ADDING), lambda facts: _add(turn, facts))
    elif chat.draft and not _progress(turn).cancelled:
        _form(turn, said)
    else:
        _free_words(turn)


def _is_unusable(said: Said) -> bool:
    return said.other is not None or (not said.text.strip() and not said.files)


def _edited(turn: ChatTurn) -> None:
    if turn.chat.draft:
        _present(turn, _("Исправление в сообщении мы не подставляем сами. Чтобы поменять ответ, нажмите «Назад» или «Изменить»."))
        return
    _free_words(turn)


def _keep_phone(turn: ChatTurn) -> None:
    contact = turn.said.contact
    assert contact is not None
    person = turn.session.get(Person, turn.chat.person_id)
    assert person is not None
    person.phone = contact.phone[:40]
    turn.chat.phone = person.phone
    _present(turn, _("Телефон записали: {phone}.", phone=contact.phone))


_UNSOLVED = re.compile(r"^\W*не\s+решен[оа]?\b\W*", re.IGNORECASE)


def _free_words(turn: ChatTurn) -> None:
    """Words that answer no question: an addition to a request, a new one, or courtesy."""
    said = turn.said
    if said.other:
        _present(turn, _("Это ({what}) мы прочитать не сможем. Напишите, пожалуйста, словами.", what=said.other))
        return
    recent = _recent_requests(turn)
    unsolved = _UNSOLVED.match(said.text.replace("ё", "е"))
    finished = [facts for facts in recent if facts.status in (Status.DONE, Status.CLOSED)]
    if unsolved and finished:
        _unsolved(turn, finished[0], said.text[unsolved.end() :].strip())
        return
    if not said.files and loosely(said.text) in SMALL_TALK:
        _courtesy(turn, recent)
        return
    open_requests = [facts for facts in recent if facts.status.is_open]
    if len(open_requests) == 1:
        _add(turn, open_requests[0])
    elif open_requests:
        _ask_which(turn, open_requests)
    else:
        _begin_form(turn, said)


_THANKS = re.compile(r"спасиб|благодар|thank|спс", re.IGNORECASE)


def _courtesy(turn: ChatTurn, recent: list[RequestFacts]) -> None:
    if _THANKS.search(turn.said.text):
        done = next((facts for facts in recent if facts.status is Status.DONE), None)
        text = _("Пожалуйста! Оцените, пожалуйста, результат от 1 до 5.") if done else _("Пожалуйста! Обращайтесь.")
        turn.say(Reply(text, compose.done_rows(done) if done else (_menu_row(),)))
    elif recent:
        _status(turn, _("Здравствуйте!") if "здрав" in loosely(turn.said.text) else None)
    else:
        _begin_form(turn, None)


def _ask_which(turn: ChatTurn, open_requests: list[RequestFacts]) -> None:
    rows = tuple(
        (
            Button(
                _("№ {number}: {kind}", number=facts.number, kind=BY_NAME["kind"].show(facts.answers["kind"], turn.context)),
                str(Press(PICK_SCOPE, str(facts.number))),
            ),
        )
        for facts in open_requests
    )
    new = (Button(_("Новая заявка"), str(Press(NAV_SCOPE, Nav.NEW))),)
    turn.say(Reply(_("К какой заявке это относится?"), (*rows, new), prompt=True))


# --- the form ----------------------------------------------------------------------------------


def _progress(turn: ChatTurn) -> Progress:
    return Progress(**turn.chat.draft) if turn.chat.draft else Progress()


def _new(turn: ChatTurn, *, force: bool) -> None:
    progress = _progress(turn)
    begun = {name for name in progress.answers if not name.startswith("_")} - {"inn", "company"}
    if turn.chat.draft and begun and not progress.cancelled and not force:
        rows = (
            (
                Button(_("Продолжить"), str(Press(NAV_SCOPE, Nav.START)), ("продолжить",)),
                Button(_("Начать заново"), str(Press(NAV_SCOPE, Nav.NEW, "force"))),
            ),
        )
        turn.say(Reply(_("У вас есть незаконченная заявка. Продолжить её или начать заново?"), rows, prompt=True))
        return
    _begin_form(turn, None)


def _begin_form(turn: ChatTurn, first: Said | None) -> None:
    """Start a form; the words that opened it are already an answer where they can be one."""
    revision = _progress(turn).revision + 1
    progress = begin(turn.context, revision=revision)
    if first is None or (not first.files and not first.text.strip()):
        _show_form(turn, progress, None)
        return
    _step(turn, progress, first)


def _form(turn: ChatTurn, said: Said) -> None:
    if not turn.chat.draft:
        _status(turn, _("Эта заявка уже отправлена или закрыта."))
        return
    _step(turn, _progress(turn), said)


def _step(turn: ChatTurn, progress: Progress, said: Said) -> None:
    result = advance(progress, said, turn.context)
    match result.outcome:
        case Outcome.SUBMITTED:
            _submit(turn, result)
        case Outcome.HUMAN:
            _keep(turn, result.progress)
            _call_human(turn)
        case _:
            _keep(turn, result.progress)
            for reply in result.replies:
                turn.say(reply, focus="form")


def _submit(turn: ChatTurn, result: Turn) -> None:
    chat = turn.chat
    assert chat.person_id is not None
    created_at = chat.draft_created_at or turn.now
    new = NewRequest(result.progress.complete(), chat.person_id, chat.chat_id, chat.channel, created_at)
    number = casework.submit(turn.session, turn.house, new, turn.now)
    turn.work.save_draft(chat, None)
    turn.work.place_last_message(chat, number)
    _attach_dialogue(turn, number, created_at)
    chat.focus = ""
    turn.session.get_one(Chat, chat.chat_id).focus = ""


def _attach_dialogue(turn: ChatTurn, number: int, since: datetime) -> None:
    """What was said while the form was filled belongs to the request from now on."""
    rows = turn.session.exec(
        select(Message).where(
            col(Message.chat_id) == turn.chat.chat_id, col(Message.request_id).is_(None), col(Message.received_at) >= since
        )
    )
    for row in rows:
        row.request_id = number


def _show_form(turn: ChatTurn, progress: Progress, note: Text | None) -> None:
    _keep(turn, progress)
    turn.say(screen(progress, turn.context, note), focus="form")


def _keep(turn: ChatTurn, progress: Progress) -> None:
    turn.work.save_draft(turn.chat, {**asdict(progress), "answers": dict(progress.answers)})


# --- requests ----------------------------------------------------------------------------------


def _recent_requests(turn: ChatTurn) -> list[RequestFacts]:
    """This person's requests that are open or were touched lately, the newest first."""
    query = (
        select(Request)
        .where(col(Request.person_id) == turn.chat.person_id)
        .order_by(col(Request.id).desc())
        .limit(30)
    )
    return [casework.facts_of(turn.session, row) for row in turn.session.exec(query).all()]


def _on_own_request(turn: ChatTurn, number: str, act: Callable[[RequestFacts], None]) -> None:
    row = turn.session.get(Request, int(number)) if number.isdigit() else None
    if row is None or not _is_own(turn, row):
        _present(turn, compose.no_such_request())
        return
    facts = casework.facts_of(turn.session, row)
    try:
        act(facts)
    except DeskError as error:
        turn.say(Reply(lines(error.text, compose.status_answer(facts, turn.context)), compose.client_actions(facts)))


def _is_own(turn: ChatTurn, row: Request) -> bool:
    if row.person_id == turn.chat.person_id:
        return True
    return turn.session.get(ClientPerson, (row.client_id, turn.chat.person_id)) is not None


def _status(turn: ChatTurn, note: Text | None = None) -> None:
    recent = _recent_requests(turn)
    shown = [facts for facts in recent if facts.status.is_open][:LISTED_REQUESTS] or recent[:1]
    if not shown:
        text = lines(note, _("Заявок пока нет. Чтобы начать, нажмите «Новая заявка»."))
        turn.say(Reply(text, (_menu_row(),), prompt=True))
        return
    texts: list[Text | None] = []
    for facts in shown:
        texts += [compose.status_answer(facts, turn.context), None]
    hidden = sum(facts.status.is_open for facts in recent) - len(shown)
    more = n_("И ещё {count} открытая заявка.", "И ещё {count} открытых заявок.", hidden) if hidden > 0 else None
    rows = compose.client_actions(shown[0]) if len(shown) == 1 else tuple(
        (Button(_("№ {number}", number=facts.number), str(Press(REQUEST_SCOPE, str(facts.number), "show"))),)
        for facts in shown
    )  # fmt: skip
    turn.say(Reply(lines(note, *texts, more), (*rows, _menu_row()), prompt=True))
    if turn.chat.draft and not _progress(turn).cancelled:
        turn.say_text(_("Новая заявка ждёт продолжения: напишите ответ на последний вопрос или нажмите /start."))


def _menu_row() -> tuple[Button, ...]:
    return (
        Button(_("Новая заявка"), str(Press(NAV_SCOPE, Nav.NEW))),
        Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN))),
    )


def _act(turn: ChatTurn, facts: RequestFacts, action: str) -> None:
    match action:
        case "add":
            focus = f"{ADDING}{facts.number}"
            turn.say_text(_("Напишите или приложите файлы, добавим к заявке № {number}.", number=facts.number), focus=focus)
        case "withdraw":
            rows = (
                (
                    Button(_("Да, отозвать"), _press(facts, "withdraw-yes"), ("да",)),
                    Button(_("Оставить"), _press(facts, "show"), ("нет",)),
                ),
            )
            turn.say(Reply(_("Отозвать заявку № {number}? Её больше не будут делать.", number=facts.number), rows, prompt=True))
        case "withdraw-yes":
            casework.cancel(turn.session, turn.house, turn.who, facts.number, "", turn.now)
            turn.say(Reply(_("Заявка № {number} отозвана.", number=facts.number), (_menu_row(),), prompt=True))
        case "unsolved":
            _unsolved(turn, facts, "")
        case _:
            turn.say(Reply(compose.status_answer(facts, turn.context), (*compose.client_actions(facts), _menu_row()), prompt=True))


def _press(facts: RequestFacts, action: str) -> str:
    return str(Press(REQUEST_SCOPE, str(facts.number), action, facts.version))


def _add(turn: ChatTurn, facts: RequestFacts) -> None:
    """Words and files go to whoever has the request; what was refused is said."""
    text, files = turn.said.text.strip(), turn.kept_files()
    refusals = turn.refusals()
    if not text and not files:
        turn.say_text(lines(*refusals) if refusals else _("Напишите словами или приложите файл."))
        return
    courtesy = not files and loosely(text) in SMALL_TALK
    casework.add(
        turn.session, turn.house, turn.who, facts.number, text, files, turn.now, needs_answer=not courtesy
    )
    turn.work.place_last_message(turn.chat, facts.number)
    told = _("Добавили к заявке № {number} и передали: {name}.", number=facts.number, name=facts.assignee) if facts.assignee \
        else _("Добавили к заявке № {number}.", number=facts.number)  # fmt: skip
    hint = _("Если результат не подошёл, нажмите «Не решено».") if facts.status is Status.DONE else None
    rows = compose.done_rows(facts) if facts.status is Status.DONE else (_menu_row(),)
    turn.say(
        replace(Reply(lines(told, hint, *refusals), rows, prompt=not refusals), merge_seconds=_merge_seconds(turn)),
        focus="",
    )


def _merge_seconds(turn: ChatTurn) -> float:
    return ALBUM_SECONDS if turn.said.group_id else 0.0


def _place_words(turn: ChatTurn, facts: RequestFacts) -> None:
    """The words that came before the question «К какой заявке?» go where the client has pointed."""
    query = (
        select(Message)
        .where(
            col(Message.chat_id) == turn.chat.chat_id, col(Message.request_id).is_(None),
            col(Message.direction) == "in", col(Message.kind) != InboundKind.BUTTON.value,
        )
        .order_by(col(Message.id).desc())
        .limit(1)
    )  # fmt: skip
    words = turn.session.exec(query).one_or_none()
    if words is None:
        _act(turn, facts, "add")
        return
    words.request_id = facts.number
    files = tuple(OutgoingFile(**file) for file in words.files)
    casework.add(turn.session, turn.house, turn.who, facts.number, words.text, files, turn.now)
    turn.say(Reply(_("Добавили к заявке № {number}.", number=facts.number), (_menu_row(),), prompt=True), focus="")


def _rate(turn: ChatTurn, facts: RequestFacts, mark: str) -> None:
    if facts.rating is not None:
        turn.say_text(_("Оценка заявки № {number} уже есть: {mark}. Спасибо!", number=facts.number, mark=facts.rating))
        return
    casework.rate(turn.session, turn.house, turn.who, facts.number, int(mark) if mark.isdigit() else 0, turn.now)
    turn.say(Reply(_("Спасибо за оценку. Заявка № {number} закрыта.", number=facts.number), (_menu_row(),)))


def _unsolved(turn: ChatTurn, facts: RequestFacts, reason: str) -> None:
    try:
        casework.reopen(turn.session, turn.house, turn.who, facts.number, reason, turn.now)
    except DeskError as error:
        turn.say(Reply(lines(error.text, compose.status_answer(facts, turn.context)), (_menu_row(),)))
        return
    turn.work.place_last_message(turn.chat, facts.number)
    if reason:
        turn.say_text(_("Заявка № {number} снова в работе. Ваши слова передали.", number=facts.number), focus="")
        return
    text = _("Заявка № {number} снова в работе. Напишите, что не так, — передадим.", number=facts.number)
    turn.say_text(text, focus=f"{ADDING}{facts.number}")


def _clarify(turn: ChatTurn, clarification_id: int, said: Said) -> None:
    """The answer to a question about one field; a wrong one is asked again with the reason."""
    try:
        case = casework.clarified(turn.session, turn.house, turn.who, clarification_id, said, turn.context)
    except AnswerError as error:
        turn.say_text(lines(error.text, *turn.refusals()))
        return
    except DeskError:
        turn.chat.focus = ""
        turn.session.get_one(Chat, turn.chat.chat_id).focus = ""
        if said.press:
            _present(turn, _("На этот вопрос вы уже ответили."))
        else:
            _wrote(turn)
        return
    turn.work.place_last_message(turn.chat, case.number)
    text = lines(
        _("Записали в заявку № {number}.", number=case.number),
        *compose.summary_of(case.facts, turn.context),
        *turn.refusals(),
    )
    turn.say(Reply(text, merge_seconds=_merge_seconds(turn)), focus="form" if turn.chat.draft else "")
    if turn.chat.draft:
        _show_form(turn, _progress(turn), _("Вернёмся к новой заявке."))


# --- a person ----------------------------------------------------------------------------------


def _call_human(turn: ChatTurn) -> None:
    """Pass the call to whoever keeps this client, else to the directors; the form stays as it is."""
    open_requests = [facts for facts in _recent_requests(turn) if facts.status.is_open]
    words = _last_words(turn)
    call = compose.human_call(turn.chat.person_name, turn.chat.phone, words, turn.chat.chat_id)
    people = casework.people_for_call(turn.session, turn.chat.person_id, turn.now)
    for person_id in people:
        key = f"human:{turn.inbound.channel}:{turn.inbound.event_key}:{person_id}"
        post(turn.session, turn.house, turn.now, (Posting(key, call, person_id=person_id, urgent=True),))
    history.record(
        turn.session, at=turn.now, actor_id=turn.chat.person_id, through=turn.chat.channel, action="human_called",
        subject=f"request:{open_requests[0].number}" if open_requests else f"chat:{turn.chat.chat_id}",
        before=None, after={"told": len(people)},
    )  # fmt: skip
    promise = compose.look_promise(look_by(turn.now, turn.house.calendar, turn.house.look_within_minutes), turn.context)
    phone = _("Срочно — звоните: {phone}.", phone=turn.house.firm_phone) if turn.house.firm_phone else None
    text = lines(_("Позвали человека, он ответит в этом чате. {promise}", promise=promise), phone)
    if not people:
        text = lines(_("Сейчас в чате никого нет, но ваше обращение записали. {promise}", promise=promise), phone)
    if turn.chat.draft and not _progress(turn).cancelled:
        _show_form(turn, _progress(turn), lines(text, _("А пока можно продолжить заявку.")))
    else:
        turn.say(Reply(text, (_menu_row()[:1],)))


def _last_words(turn: ChatTurn) -> str:
    query = (
        select(col(Message.text))
        .where(col(Message.chat_id) == turn.chat.chat_id, col(Message.kind) == InboundKind.TEXT.value)
        .order_by(col(Message.id).desc())
        .limit(1)
    )
    return turn.session.exec(query).first() or ""


def _help(turn: ChatTurn) -> Reply:
    text = lines(
        _("Здесь можно передать поручение бухгалтеру «{firm}» и узнать, как оно выполняется.", firm=turn.house.firm_name),
        _("/new — новая заявка, /status — как дела, /human — позвать человека, /cancel — отменить заполнение."),
        _("Телефон: {phone}", phone=turn.house.firm_phone) if turn.house.firm_phone else None,
    )
    return Reply(text, (_menu_row(),), prompt=not turn.chat.draft)


# --- keeping what was said ---------------------------------------------------------------------


def _log(turn: ChatTurn) -> None:
    said = turn.said
    text = said.text or (said.other and f"({said.other})") or ""
    files: list[Mapping[str, Any]] = [asdict(file) for file in turn.kept_files()]
    turn.work.log(turn.chat, turn.inbound, text, [dict(file) for file in files], None)

