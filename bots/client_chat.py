"""The client's side of the conversation: consent, the form, and everything that comes after it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime

from bots import company, edits, linking, personal, readback, staff_chat
from bots.albums import request_of_album
from bots.linking import LINK_SCOPE, Entered
from bots.personal import CONSENT_SCOPE
from bots.turns import FORM_FOCUS, PICKING, ChatTurn, typed_press
from forms.answers import AnswerError
from forms.dialogue import (
    ALBUM_SECONDS,
    FORM_SCOPE,
    NAV_SCOPE,
    RESTORE,
    SMALL_TALK,
    Nav,
    Outcome,
    Progress,
    advance,
    begin,
    blank_letter,
    is_form_word,
    is_restore_word,
    nav_word,
    screen,
    typed_choice,
)
from forms.fields import Answers, ReceivedFile, Said
from forms.freetext import agreed
from forms.messages import Button, Contact, InboundKind, Press, Reply, loosely
from forms.request_form import BY_NAME
from forms.texts import Text, _, lines, n_, sentence
from notifications import compose
from notifications.compose import AS_IT_WAS, CLARIFY_SCOPE, RATE_SCOPE, REQUEST_SCOPE, RequestFacts, menu_rows
from notifications.consent import consent_words
from notifications.readback import FIX_SCOPE
from router.desk import DeskError
from router.escalation import look_by
from router.model import Status
from storage import casework, client_chats, history
from storage.casework import NewRequest
from storage.letters import Posting, post

PICK_SCOPE = "pick"

CLARIFYING = "clar:"
ADDING = "add:"
COMPANIES_IN_A_CALL = 2

FORCE = "force"
WITH_WORDS = "words"

LISTED_REQUESTS = 5
MAX_NAME_LENGTH = 200
MAX_PHONE_LENGTH = 40
REPEATED_FIELDS = ("inn", "company", "kind", "task", "goods")
BAD_MARK = 3
"""Whoever gives no more than that is asked whether it is solved at all."""

_MAX_REVISION = 1_000_000_000


def handle(turn: ChatTurn) -> None:
    """Answer one message of a client or a stranger."""
    was_staff = turn.chat.staff is not None
    entered = linking.come(turn)
    if entered.is_over:
        return
    if was_staff and entered == Entered():
        # A code that opens nothing came beside the words of staff.
        staff_chat.handle(turn)
    elif turn.chat.staff is not None:
        _welcome_staff(turn, entered)
    elif not _has_consented(turn) and turn.said.press is not None and linking.is_join(turn.said.press):
        _messengers(turn, turn.said.press)
    elif not _has_consented(turn):
        if turn.inbound.kind is not InboundKind.EDITED:  # nothing was kept that it could put right
            _before_consent(turn, entered.refused)
    elif turn.inbound.kind is not InboundKind.EDITED or not edits.taken(turn):
        _log(turn)
        _answer(turn, entered.refused or entered.hello)


def _answer(turn: ChatTurn, note: Text | None) -> None:
    named = _named_request(turn) if note is None else None
    if note is not None:
        _present(turn, note)
    elif named is not None and _is_said_about(turn, named):
        _about_request(turn, named)
    elif turn.said.press:
        _pressed(turn, turn.said.press)
    else:
        _wrote(turn)


# --- coming in ---------------------------------------------------------------------------------


def _welcome_staff(turn: ChatTurn, entered: Entered) -> None:
    if entered.refused is not None:
        turn.say_text(entered.refused)
    elif entered.hello is not None:
        staff_chat.resume(turn, entered.hello)
    else:
        staff_chat.welcome(turn)


# --- what names its request --------------------------------------------------------------------


def _named_request(turn: ChatTurn) -> RequestFacts | None:
    """The person's own request in whose thread the message stands, or that it names otherwise.

    Under a letter about a request words that press a button press one of that letter's.
    """
    inbound, number = turn.inbound, turn.inbound.about
    letter = client_chats.answered_letter(turn.session, turn.chat.chat_id, inbound.answers_to)
    if letter is not None and letter.request_id is None and _is_filling(_progress(turn)):
        return None  # it answers the form, whatever the form has told above its question
    if letter is not None and letter.request_id is not None:
        number = letter.request_id
        if inbound.button is None and not turn.said.files:
            in_sight = {button[1]: button for button in turn.chat.screen}
            shown = [in_sight.get(button[1], button) for button in letter.buttons]
            turn.said = replace(turn.said, press=typed_press(inbound, shown))
    return client_chats.own_request(turn.session, turn.chat.person_id, number) if number else None


def _is_said_about(turn: ChatTurn, facts: RequestFacts) -> bool:
    """Whether the message is words or files for that request, and no command and none of its buttons."""
    press, text, files = turn.said.press, turn.said.text, turn.said.files
    if press is not None and (press.scope in _EVERYWHERE or _number_of(turn, press) == facts.number):
        return False
    if turn.inbound.kind not in (InboundKind.TEXT, InboundKind.FILE) or not (text.strip() or files):
        return False
    is_command = nav_word(text) is not None or linking.is_asked(text) or personal.asked(text) is not None
    if not files and (is_command or _is_courtesy(turn)):
        return False
    return facts.status.is_open or (_UNSOLVED.match(text) is not None and facts.status is Status.CLOSED)


_EVERYWHERE = (NAV_SCOPE, LINK_SCOPE, CONSENT_SCOPE)


def _number_of(turn: ChatTurn, press: Press) -> int | None:
    """The request that a button belongs to."""
    if press.scope == CLARIFY_SCOPE:
        asked = client_chats.question(turn.session, turn.chat.person_id, _number(press.target))
        return asked.facts.number if asked is not None else None
    if press.scope in (REQUEST_SCOPE, RATE_SCOPE, PICK_SCOPE, *readback.READBACK_SCOPES):
        return _number(press.target.partition(".")[0])
    return None


def _about_request(turn: ChatTurn, facts: RequestFacts) -> None:
    """Before the form and whatever else is open: its own question, or else an addition to it."""
    turn.said = said = replace(turn.said, press=None)
    unsolved = _UNSOLVED.match(said.text)
    asked = client_chats.open_question_about(turn.session, turn.chat.person_id, facts.number)
    if unsolved and facts.status in (Status.DONE, Status.CLOSED):
        _unsolved(turn, facts, said.text[unsolved.end() :].strip())
    elif asked is not None:
        _clarify(turn, asked, said)
    else:
        _on_own_request(turn, str(facts.number), lambda own: _add(turn, own))


# --- consent -----------------------------------------------------------------------------------


def _has_consented(turn: ChatTurn) -> bool:
    return turn.chat.person_id is not None and turn.chat.consent_version == turn.house.consent_version


_AGREE_WORDS = frozenset(("согласен", "согласна", "да", "ок", "agree", "i agree", "yes"))
_REFUSE_WORDS = frozenset(("не согласен", "не согласна", "нет", "i do not agree", "no"))


def _before_consent(turn: ChatTurn, note: Text | None) -> None:
    """Nothing personal is stored here: neither the words nor the name of whoever writes."""
    press, word = turn.said.press, loosely(turn.said.text)
    pressed = (press.scope, press.target) if press else None
    words = agreed(turn.said.text)
    if words is not None and (words or turn.said.files):
        _consent_and_more(turn, words)
    elif words is not None or pressed == (CONSENT_SCOPE, "yes") or word in _AGREE_WORDS:
        _consent(turn)
    elif pressed == (CONSENT_SCOPE, "no") or word in _REFUSE_WORDS:
        text = lines(
            _("Хорошо, без согласия ничего не записываем."),
            _phone_line(turn),
            _("Передумаете — ответьте «Согласен»."),
        )
        turn.say(Reply(text, _consent_rows(), prompt=True))
    elif pressed == (NAV_SCOPE, Nav.HUMAN) or nav_word(turn.said.text) is Nav.HUMAN:
        text = lines(_phone_line(turn), _("Чтобы писать здесь, ответьте «Согласен»."))
        turn.say(Reply(text, _consent_rows(), prompt=True))
    else:
        turn.say(_consent_screen(turn, note))


def _consent_screen(turn: ChatTurn, note: Text | None) -> Reply:
    house = turn.house
    asks_again = turn.chat.person_id is not None and turn.chat.consent_version
    text = lines(
        note,
        consent_words(
            house.firm_name,
            house.consent_text,
            house.consent_url,
            house.consent_version,
            asks_again=bool(asks_again),
            warning=_("До согласия мы ничего не сохраняем, поэтому своё сообщение потом пришлите ещё раз.")
            if _said_something(turn)
            else None,
        ),
        *(("", blank_letter(turn.context)) if turn.context.asks_at_once else ()),
    )
    # Of several photos none is kept, so they cannot be put together: only the last one is answered.
    merge_seconds = ALBUM_SECONDS if turn.inbound.files else 0.0
    return Reply(text, _consent_rows(), prompt=True, merge_seconds=merge_seconds)


def _said_something(turn: ChatTurn) -> bool:
    """Whether there was a message that its author will miss."""
    text = turn.said.text
    if turn.said.press or turn.inbound.kind is InboundKind.STARTED:
        return False
    return bool(turn.inbound.files) or not (loosely(text) in SMALL_TALK or nav_word(text) is not None)


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


def _consent_and_more(turn: ChatTurn, words: str) -> None:
    """Somebody has agreed and gone on in the same message: the rest of it counts already."""
    name = turn.inbound.user_name[:MAX_NAME_LENGTH]
    client_chats.keep_consent(turn.session, turn.house, turn.chat, name, turn.now)
    rest = replace(turn, said=replace(turn.said, text=words, press=None))
    _log(rest)
    _answer(rest, None)


def _consent(turn: ChatTurn) -> None:
    name = turn.inbound.user_name[:MAX_NAME_LENGTH]
    client_chats.keep_consent(turn.session, turn.house, turn.chat, name, turn.now)
    progress, waiting = _progress(turn), readback.waiting(turn)
    if progress is not None:
        _show_form(turn, progress, None)
    elif waiting is not None:
        readback.show(turn, waiting)
    else:
        _begin_form(turn)


# --- presses -----------------------------------------------------------------------------------


def _pressed(turn: ChatTurn, press: Press) -> None:
    match press.scope:
        case scope if scope == NAV_SCOPE:
            _navigate(turn, Nav(press.target) if press.target in set(Nav) else None)
        case scope if scope == FORM_SCOPE:
            _form(turn, turn.said)
        case scope if scope == CLARIFY_SCOPE:
            _pressed_at_question(turn, press)
        case scope if scope == RATE_SCOPE:
            _on_own_request(turn, press.target, lambda facts: _rate(turn, facts, _number(press.value)))
        case scope if scope == REQUEST_SCOPE:
            _on_own_request(turn, press.target, lambda facts: _act(turn, facts, press))
        case scope if scope in readback.READBACK_SCOPES:
            _about_readback(turn, readback.pressed(turn, press), answers=press.scope == FIX_SCOPE)
        case scope if scope == LINK_SCOPE:
            _messengers(turn, press)
        case scope if scope == PICK_SCOPE:
            _on_own_request(turn, press.target, lambda facts: _place_words(turn, facts))
        case scope if scope == CONSENT_SCOPE:
            _about_consent(turn, press)
        case _:
            _present(turn, _("Эта кнопка уже не действует."))


def _pressed_at_question(turn: ChatTurn, press: Press) -> None:
    if press.value == AS_IT_WAS:
        _leave_as_it_was(turn, _number(press.target))
    else:
        asked = replace(press, scope=FORM_SCOPE)
        _clarify(turn, _number(press.target), replace(turn.said, press=asked, text=""))


def _about_consent(turn: ChatTurn, press: Press) -> None:
    if press.target == personal.WITHDRAW:
        personal.withdraw(turn, _consent_rows())
    else:
        _present(turn, _("Согласие уже есть, спасибо."))


def _number(text: str) -> int:
    """A number out of a button; a forged one is 0, which nothing has."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def _navigate(turn: ChatTurn, nav: Nav | None) -> None:
    progress = _progress(turn)
    match nav:
        case Nav.NEW:
            _new(turn)
        case Nav.MINE | Nav.STATUS:
            _status(turn)
        case Nav.HELP:
            turn.say(_help(turn))
        case Nav.HUMAN:
            _call_human(turn)
        case Nav.BACK | Nav.CANCEL:
            _step_back(turn, progress)
        case Nav.START if progress is not None and not progress.cancelled:
            _show_form(turn, progress, _("Продолжим вашу заявку.") if progress.is_begun else None)
        case Nav.START:
            _begin_form(turn)
        case _:
            _present(turn, _NOTHING_TO_CANCEL)


_NOTHING_TO_CANCEL = _("Сейчас ничего не заполняется, отменять нечего.")


def _step_back(turn: ChatTurn, progress: Progress | None) -> None:
    """«Назад» and «Отмена» leave what waits for words; a button of the form is the form's even then."""
    is_asked = turn.chat.focus.startswith(CLARIFYING) and turn.said.press is None
    if readback.is_fixing(turn):
        _about_readback(turn, readback.left(turn), answers=False)
    elif turn.chat.focus.startswith((ADDING, PICKING)):
        _forget_focus(turn)
        _present(turn, _("Хорошо, ничего не добавляем."))
    elif is_asked and _is_filling(progress):
        _put_question_off(turn)
    elif progress is not None and not is_asked:
        _form(turn, turn.said)
    elif (asked := _open_question(turn)) is not None:
        _ask_again(turn, asked)
    elif progress is not None:
        _form(turn, turn.said)
    else:
        _present(turn, _NOTHING_TO_CANCEL)


def _is_filling(progress: Progress | None) -> bool:
    return progress is not None and not progress.cancelled


def _messengers(turn: ChatTurn, press: Press) -> None:
    """Other messengers of the same person."""
    crossed = linking.crossed(turn, press)
    if crossed is None:
        turn.say(linking.answer(turn, press))
    elif not crossed.entered.is_over:
        _arrived(crossed.turn, crossed.entered)


def _arrived(turn: ChatTurn, entered: Entered) -> None:
    """Go on in the chat that has just been linked."""
    if turn.chat.staff is not None:
        _welcome_staff(turn, entered)
    elif _has_consented(turn):
        _present(turn, entered.refused or entered.hello)
    else:
        _before_consent(turn, entered.refused)


def _about_readback(turn: ChatTurn, note: Text | None, *, answers: bool) -> None:
    """Say what came of it; after a field was put right, a form that is being filled goes on."""
    progress = _progress(turn)
    if progress is None or progress.cancelled:
        if note is not None:
            turn.say(Reply(note, menu_rows()))
    elif note is not None or (answers and not readback.is_fixing(turn)):
        _show_form(turn, progress, note or _("Вернёмся к новой заявке."))


def _present(turn: ChatTurn, note: Text | None) -> None:
    """Where things stand: the form's question, or the open requests."""
    progress = _progress(turn)
    if progress is not None and not progress.cancelled:
        _show_form(turn, progress, note)
    else:
        _status(turn, note)


# --- words -------------------------------------------------------------------------------------


def _wrote(turn: ChatTurn) -> None:
    said = turn.said
    nav = nav_word(said.text) if said.text and not said.files else None
    about_data = None if said.files else personal.asked(said.text)
    match turn.inbound.kind:
        case InboundKind.STARTED:
            _navigate(turn, Nav.START)
        case InboundKind.EDITED:
            _edited(turn)
        case _ if nav is not None:
            _navigate(turn, nav)
        case _ if linking.is_asked(said.text) and not said.files:
            _messengers(turn, linking.SHOW)
        case _ if about_data is not None:
            about_data(turn)
        case _ if turn.inbound.button is not None:
            _present(turn, _("Эта кнопка уже не действует."))
        case _ if said.contact is not None:
            _contact(turn)
        case _:
            _words(turn)


def _words(turn: ChatTurn) -> None:
    """Free words and files go to whatever waits for them."""
    said, focus, progress = turn.said, turn.chat.focus, _progress(turn)
    filling = progress is not None and not progress.cancelled
    usable = said.other is None and bool(said.text.strip() or said.files)
    album = request_of_album(turn.inbound, turn.work.earlier(turn.chat)) if said.files else None
    if album is not None:
        _on_own_request(turn, str(album), lambda facts: _add(turn, facts))
        return
    if usable and readback.is_fixing(turn):
        _about_readback(turn, readback.answered(turn), answers=True)
        return
    question = _question(turn, filling=filling) if usable else None
    number = _NUMBER_ALONE.fullmatch(said.text.strip()) if not said.files else None
    if number is not None and focus.startswith(PICKING):
        _on_own_request(turn, number[1], lambda facts: _place_words(turn, facts))
    elif number is not None and question is None and not filling and not focus.startswith(ADDING):
        _on_own_request(turn, number[1], lambda facts: _show_request(turn, facts))
    elif question is not None and progress is not None and filling and _answers_form(turn, progress):
        _form(turn, said)
    elif question is not None:
        _clarify(turn, question, said)
    elif usable and focus.startswith(ADDING):
        _on_own_request(turn, focus.removeprefix(ADDING), lambda facts: _add(turn, facts))
    elif filling or (progress is not None and is_restore_word(said.text)):
        _form(turn, said)
    else:
        _free_words(turn)


_NUMBER_ALONE = re.compile(
    r"(?:(?:заявка|к заявке|по заявке|request)\s*)?(?:№|no\.?)\s*([0-9]{1,9})[.!]?", re.IGNORECASE
)


def _question(turn: ChatTurn, *, filling: bool) -> int | None:
    """The clarification that free words answer; while a form is filled, only one that was asked since."""
    focus = turn.chat.focus
    if focus.startswith(CLARIFYING):
        return _number(focus.removeprefix(CLARIFYING))
    if filling or focus.startswith((ADDING, PICKING)) or _is_courtesy(turn):
        return None
    return client_chats.open_question(turn.session, turn.chat.person_id)


def _answers_form(turn: ChatTurn, progress: Progress) -> bool:
    """Whether these words are a button of the form's own question, typed out."""
    asked = BY_NAME.get(progress.asking)
    if asked is not None and typed_choice(asked, turn.said, progress.answers, turn.context).press is not None:
        return True
    return not turn.said.files and is_form_word(turn.said.text)


def _is_courtesy(turn: ChatTurn) -> bool:
    return not turn.said.files and loosely(turn.said.text) in SMALL_TALK


def _edited(turn: ChatTurn) -> None:
    """Edited words that are read as new ones: the message itself is not known, or answered nothing."""
    progress = _progress(turn)
    if progress is not None and not progress.cancelled:
        _form(turn, turn.said)
    elif any(facts.status.is_open for facts in _requests(turn)):
        _free_words(turn)
    else:
        _status(turn, _("Исправление увидели, но заявка уже закрыта."))


def _contact(turn: ChatTurn) -> None:
    contact = turn.said.contact
    assert contact is not None
    if not contact.verified:
        _somebodys_contact(turn, contact)
        return
    client_chats.keep_phone(turn.session, turn.chat, contact.phone[:MAX_PHONE_LENGTH])
    _present(turn, _("Телефон записали: {phone}.", phone=contact.phone))


def _somebodys_contact(turn: ChatTurn, contact: Contact) -> None:
    """Somebody else's card is never the client's own phone: it is words for a request, if there is one."""
    progress = _progress(turn)
    if (progress is not None and not progress.cancelled) or not any(
        facts.status.is_open for facts in _requests(turn)
    ):
        _present(turn, _("Контакт увидели. Если он нужен для заявки, напишите об этом словами."))
        return
    words = " ".join(part for part in (turn.said.text.strip(), contact.name, contact.phone) if part)
    # No answer to a clarification: a card would replace the task.
    _free_words(replace(turn, said=replace(turn.said, text=words, contact=None)))


_UNSOLVED = re.compile(r"^\W*не\s+решен[оа]?\b\W*", re.IGNORECASE)


def _free_words(turn: ChatTurn) -> None:
    """Words that answer no question: an addition to a request, a new one, or courtesy."""
    said = turn.said
    if said.other:
        _present(
            turn, _("Это ({what}) мы прочитать не сможем. Напишите, пожалуйста, словами.", what=said.other)
        )
        return
    requests = _requests(turn)
    unsolved = _UNSOLVED.match(said.text.replace("ё", "е"))
    finished = [facts for facts in requests if facts.status in (Status.DONE, Status.CLOSED)]
    open_requests = [facts for facts in requests if facts.status.is_open]
    if unsolved and finished:
        _unsolved(turn, finished[0], said.text[unsolved.end() :].strip())
    elif _is_courtesy(turn):
        _courtesy(turn, requests)
    elif requests and not said.files and is_form_word(said.text):
        _status(turn, _("Эта заявка уже отправлена или закрыта."))
    elif len(open_requests) == 1:
        _add(turn, open_requests[0])
    elif (read_back := _objected_to(turn, open_requests)) is not None:
        _add(turn, read_back)
    elif open_requests:
        _ask_which(turn, open_requests)
    else:
        _begin_form(turn, said)


_OBJECTION = re.compile(r"\W*(?:не|нет|неверно|неправильно|no|not|wrong)\b", re.IGNORECASE)


def _objected_to(turn: ChatTurn, open_requests: list[RequestFacts]) -> RequestFacts | None:
    """«Нет, не 500, а 600» while «Верно?» is in sight is said about what is read back there."""
    if not _OBJECTION.match(turn.said.text):
        return None
    in_sight = readback.in_sight(turn)
    return next((facts for facts in open_requests if facts.unconfirmed and facts.number == in_sight), None)


_THANKS = re.compile(r"спасиб|благодар|thank|спс", re.IGNORECASE)


def _courtesy(turn: ChatTurn, requests: tuple[RequestFacts, ...]) -> None:
    if _THANKS.search(turn.said.text):
        done = next((facts for facts in requests if facts.status is Status.DONE), None)
        if done is not None:
            text = _("Пожалуйста! Оцените, пожалуйста, заявку № {number}: от 1 до 5.", number=done.number)
            turn.say(Reply(text, compose.done_rows(done)))
        else:
            turn.say(Reply(_("Пожалуйста! Обращайтесь."), menu_rows()))
    elif requests:
        _status(turn, _("Здравствуйте!") if "здрав" in loosely(turn.said.text) else None)
    else:
        _begin_form(turn)


def _ask_which(turn: ChatTurn, open_requests: list[RequestFacts]) -> None:
    rows = tuple(
        (Button(_named(turn, facts), str(Press(PICK_SCOPE, str(facts.number)))),)
        for facts in open_requests[:LISTED_REQUESTS]
    )
    others = (
        (
            Button(_("Новая заявка"), str(Press(NAV_SCOPE, Nav.NEW, WITH_WORDS))),
            Button(_("Отмена"), str(Press(NAV_SCOPE, Nav.CANCEL))),
        ),
        (Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN))),),
    )
    focus = turn.chat.focus if turn.chat.focus.startswith(PICKING) else f"{PICKING}{turn.now.isoformat()}"
    turn.say(Reply(_("К какой заявке это относится?"), (*rows, *others), prompt=True), focus=focus)


def _named(turn: ChatTurn, facts: RequestFacts) -> Text:
    kind = BY_NAME["kind"].show(facts.answers["kind"], turn.context)
    return _("№ {number}: {kind}", number=facts.number, kind=kind)


def _picking_since(turn: ChatTurn) -> datetime | None:
    focus = turn.chat.focus
    return datetime.fromisoformat(focus.removeprefix(PICKING)) if focus.startswith(PICKING) else None


# --- the form ----------------------------------------------------------------------------------


def _progress(turn: ChatTurn) -> Progress | None:
    return Progress.from_json(turn.chat.draft)


def _next_revision(turn: ChatTurn) -> int:
    """Higher than that of any form before, so that the buttons of last week are told from today's."""
    progress = _progress(turn)
    begun = int(turn.now.timestamp()) % _MAX_REVISION
    return max(begun, progress.revision + 1) if progress else begun


def _new(turn: ChatTurn) -> None:
    press, progress, since = turn.said.press, _progress(turn), _picking_since(turn)
    forced = (
        press is not None
        and press.value == FORCE
        and progress is not None
        and press.revision == progress.revision
    )
    if progress is not None and progress.is_begun and not forced:
        _ask_whether_to_go_on(turn, progress)
    elif press is not None and press.value == WITH_WORDS and since is not None:
        words = client_chats.unplaced(turn.session, turn.chat.chat_id, since)
        files = tuple(
            ReceivedFile(file.sha256, file.name, file.size_bytes, file.media_type) for file in words.files
        )
        _begin_form(turn, Said(words.text, files=files))
    else:
        _begin_form(turn)


def _ask_whether_to_go_on(turn: ChatTurn, progress: Progress) -> None:
    rows = (
        (
            Button(_("Продолжить"), str(Press(NAV_SCOPE, Nav.START)), ("да", "continue")),
            Button(_("Начать заново"), str(Press(NAV_SCOPE, Nav.NEW, FORCE, progress.revision)), ("заново",)),
        ),
    )
    text = _("У вас есть незаконченная заявка. Продолжить её или начать заново?")
    turn.say(Reply(text, rows, prompt=True))


def _begin_form(turn: ChatTurn, first: Said | None = None, answers: Answers | None = None) -> None:
    """Start a form; the words that opened it are already an answer where they can be one."""
    progress = begin(turn.context, answers, _next_revision(turn))
    if first is None or not (first.files or first.text.strip()):
        _show_form(turn, progress, None)
    else:
        _step(turn, progress, first)


def _form(turn: ChatTurn, said: Said) -> None:
    progress = _progress(turn)
    if progress is not None:
        _step(turn, progress, said)
    elif said.press and said.press.target == RESTORE:
        _status(turn, _("Возвращать уже нечего."))
    else:
        _status(turn, _("Эта заявка уже отправлена или закрыта."))


def _step(turn: ChatTurn, progress: Progress, said: Said) -> None:
    result = advance(progress, said, turn.context)
    if result.outcome is Outcome.SUBMITTED and result.submitted is not None:
        _submit(turn, result.submitted)
        return
    _keep(turn, result.progress)
    if result.field is not None:
        turn.work.answered_by_last_message(turn.chat, result.field)
    if result.outcome is Outcome.HUMAN:
        _call_human(turn)
    for reply in result.replies:
        turn.say(reply, focus=FORM_FOCUS)


def _submit(turn: ChatTurn, answers: Answers) -> None:
    chat = turn.chat
    assert chat.person_id is not None
    created_at = chat.draft_created_at or turn.now
    new = NewRequest(
        answers, chat.person_id, chat.chat_id, chat.channel, created_at, sent_at=turn.inbound.sent_at
    )
    number = casework.submit(turn.session, turn.house, new, turn.now)
    turn.work.save_draft(chat, None)
    chat.focus = ""
    # What was said while the form was filled belongs to the request from now on.
    turn.work.place_messages(chat, number)
    client_chats.place(turn.session, chat.chat_id, created_at, number)


def _show_form(turn: ChatTurn, progress: Progress, note: Text | None) -> None:
    _keep(turn, progress)
    turn.say(screen(progress, turn.context, note), focus=FORM_FOCUS)


def _keep(turn: ChatTurn, progress: Progress) -> None:
    turn.work.save_draft(turn.chat, progress.to_json())


# --- requests ----------------------------------------------------------------------------------


def _requests(turn: ChatTurn) -> tuple[RequestFacts, ...]:
    return client_chats.requests_of(turn.session, turn.chat.person_id)


def _on_own_request(turn: ChatTurn, number: str, act: Callable[[RequestFacts], None]) -> None:
    facts = client_chats.own_request(turn.session, turn.chat.person_id, _number(number))
    if facts is None:
        if not company.show(turn, _number(number)):
            _present(turn, compose.no_such_request())
        return
    try:
        act(facts)
    except DeskError as error:
        _show_request(turn, facts, error.text)


def _show_request(turn: ChatTurn, facts: RequestFacts, note: Text | None = None) -> None:
    text = lines(note, compose.status_answer(facts, turn.context))
    turn.say(Reply(text, (*compose.client_actions(facts), *menu_rows()), prompt=True))


def _status(turn: ChatTurn, note: Text | None = None) -> None:
    requests = _requests(turn)
    open_requests = [facts for facts in requests if facts.status.is_open]
    shown = open_requests[:LISTED_REQUESTS] or list(requests[:1])
    waiting = _progress(turn)
    colleagues, rows_of_colleagues = company.of_colleagues(turn)
    text = lines(
        note,
        *_apart([compose.status_answer(facts, turn.context) for facts in shown]),
        _and_more(len(open_requests) - len(shown)),
        None if shown or colleagues else _("Заявок пока нет. Чтобы начать, выберите «Новая заявка»."),
        colleagues,
        _("Недописанная заявка ждёт: выберите «Продолжить».") if waiting and waiting.is_begun else None,
    )
    going_on = (Button(_("Продолжить"), str(Press(NAV_SCOPE, Nav.START)), ("continue",)),)
    rows = (
        *_rows_of(shown),
        *rows_of_colleagues,
        *((going_on,) if waiting and waiting.is_begun else ()),
        *menu_rows(),
    )
    turn.say(Reply(text, rows, prompt=True))


def _apart(texts: list[Text]) -> list[Text | str]:
    """An empty line between requests."""
    return [part for text in texts for part in ("", text)][1:]


def _and_more(hidden: int) -> Text | None:
    if hidden <= 0:
        return None
    return n_("И ещё {count} открытая заявка.", "И ещё {count} открытых заявок.", hidden)


def _rows_of(shown: list[RequestFacts]) -> tuple[tuple[Button, ...], ...]:
    if len(shown) == 1:
        return compose.client_actions(shown[0])
    return tuple(
        (
            Button(
                _("Заявка № {number}", number=facts.number),
                str(Press(REQUEST_SCOPE, str(facts.number), "show")),
            ),
        )
        for facts in shown
    )


def _act(turn: ChatTurn, facts: RequestFacts, press: Press) -> None:
    match press.value:
        case "add":
            text = _("Напишите или приложите файлы, добавим к заявке № {number}.", number=facts.number)
            cancel = Button(_("Отмена"), str(Press(NAV_SCOPE, Nav.CANCEL)))
            turn.say(Reply(text, ((cancel,),), prompt=True), focus=f"{ADDING}{facts.number}")
        case "withdraw":
            _ask_whether_to_withdraw(turn, facts, None)
        case "withdraw-yes" if press.revision != facts.version:
            _ask_whether_to_withdraw(turn, facts, compose.status_answer(facts, turn.context))
        case "withdraw-yes":
            casework.cancel(turn.session, turn.house, turn.who, facts.number, "", turn.now)
            turn.say(Reply(_("Заявка № {number} отозвана.", number=facts.number), menu_rows(), prompt=True))
        case "unsolved":
            _unsolved(turn, facts, "")
        case "repeat":
            _repeat(turn, facts)
        case _:
            _show_request(turn, facts)


def _ask_whether_to_withdraw(turn: ChatTurn, facts: RequestFacts, note: Text | None) -> None:
    if facts.status is Status.DONE or not facts.status.is_open:
        _show_request(turn, facts, _("Отозвать уже нельзя."))
        return
    yes = Press(REQUEST_SCOPE, str(facts.number), "withdraw-yes", facts.version)
    no = Press(REQUEST_SCOPE, str(facts.number), "show", facts.version)
    rows = (
        (Button(_("Да, отозвать"), str(yes), ("да", "yes")), Button(_("Оставить"), str(no), ("нет", "no"))),
    )
    text = lines(note, _("Отозвать заявку № {number}? Её больше не будут делать.", number=facts.number))
    turn.say(Reply(text, rows, prompt=True))


def _repeat(turn: ChatTurn, facts: RequestFacts) -> None:
    """The same once more: only the deadline and the files are asked."""
    progress = _progress(turn)
    if progress is not None and progress.is_begun:
        _show_form(turn, progress, _("Сначала закончите эту заявку или ответьте «Отмена»."))
        return
    answers = {name: facts.answers[name] for name in REPEATED_FIELDS if name in facts.answers}
    again = begin(turn.context, answers, _next_revision(turn))
    # The question of the deadline reads the goods back by itself.
    told = {name: value for name, value in answers.items() if name != "goods"}
    _show_form(turn, again, lines(*compose.summary_of(replace(facts, answers=told), turn.context)))


def _add(turn: ChatTurn, facts: RequestFacts) -> None:
    """Words and files go to whoever has the request; what was refused is said."""
    text, files = turn.said.text.strip(), turn.kept_files()
    refusals = turn.refusals()
    if not text and client_chats.has_files(turn.session, facts.number, files):
        told = n_(
            "Этот файл уже есть в заявке № {number}.", "Эти файлы уже есть в заявке № {number}.",
            len(files), number=facts.number,
        )  # fmt: skip
        _added(turn, facts, lines(told, *refusals))
    elif not text and not files:
        turn.say_text(lines(*refusals) if refusals else _("Напишите словами или приложите файл."))
    else:
        casework.add(
            turn.session, turn.house, turn.who, facts.number, text, files, turn.now,
            needs_answer=not _is_courtesy(turn), said_at=turn.inbound.sent_at,
        )  # fmt: skip
        turn.work.place_last_message(turn.chat, facts.number)
        _added(turn, facts, lines(_added_to(facts), *refusals))


def _added_to(facts: RequestFacts) -> Text:
    if facts.assignee:
        return _("Добавили к заявке № {number}, ведёт {name}.", number=facts.number, name=facts.assignee)
    return _("Добавили к заявке № {number}.", number=facts.number)


def _added(turn: ChatTurn, facts: RequestFacts, told: Text) -> None:
    """Say where the words went, and go back to what the client was doing."""
    progress = _progress(turn)
    prompt, merge_seconds = not turn.refusals(), _merge_seconds(turn)
    if progress is not None and not progress.cancelled:
        shown = screen(progress, turn.context, sentence(told, _("Вернёмся к новой заявке.")))
        turn.say(replace(shown, prompt=prompt, merge_seconds=merge_seconds), focus=FORM_FOCUS)
        return
    is_done = facts.status is Status.DONE
    hint = _("Если результат не подошёл, ответьте «Не решено».") if is_done else None
    rows = (*(compose.done_rows(facts) if is_done else ()), *menu_rows())
    turn.say(Reply(lines(told, hint), rows, prompt=prompt, merge_seconds=merge_seconds), focus="")


def _merge_seconds(turn: ChatTurn) -> float:
    return ALBUM_SECONDS if turn.said.group_id else 0.0


def _place_words(turn: ChatTurn, facts: RequestFacts) -> None:
    """What came before the question «К какой заявке?» goes where the client has pointed."""
    since = _picking_since(turn)
    words = client_chats.unplaced(turn.session, turn.chat.chat_id, since) if since else None
    if since is None or words is None or not (words.text or words.files):
        _show_request(turn, facts, _("Эта кнопка уже не действует."))
        return
    casework.add(
        turn.session, turn.house, turn.who, facts.number, words.text, words.files, turn.now, said_at=since
    )
    client_chats.place(turn.session, turn.chat.chat_id, since, facts.number)
    _added(turn, facts, _added_to(facts))


def _rate(turn: ChatTurn, facts: RequestFacts, mark: int) -> None:
    if facts.status is Status.CLOSED and facts.rating is not None:
        told = _(
            "Оценка заявки № {number} уже есть: {mark}. Спасибо!", number=facts.number, mark=facts.rating
        )
        turn.say_text(told)
        return
    case = casework.rate(turn.session, turn.house, turn.who, facts.number, mark, turn.now)
    if case.request.status is Status.DONE:
        told = _(
            "Спасибо за оценку. На ваше сообщение по заявке № {number} ещё ответят.", number=facts.number
        )
    else:
        told = _("Спасибо за оценку. Заявка № {number} закрыта.", number=facts.number)
    if mark > BAD_MARK:
        turn.say(Reply(told, menu_rows()))
        return
    rows = (compose.unsolved_row(facts), *menu_rows())
    turn.say(Reply(sentence(told, _("Если вопрос остался, ответьте «Не решено».")), rows))


def _unsolved(turn: ChatTurn, facts: RequestFacts, reason: str) -> None:
    try:
        casework.reopen(
            turn.session, turn.house, turn.who, facts.number, reason, turn.now, said_at=turn.inbound.sent_at
        )
    except DeskError as error:
        _show_request(turn, facts, error.text)
        return
    turn.work.place_last_message(turn.chat, facts.number)
    if reason:
        text = _("Заявка № {number} снова в работе. Ваши слова передали.", number=facts.number)
        turn.say_text(text, focus="")
        return
    text = _("Заявка № {number} снова в работе. Напишите, что не так, — передадим.", number=facts.number)
    turn.say_text(text, focus=f"{ADDING}{facts.number}")


def _clarify(turn: ChatTurn, clarification_id: int, said: Said) -> None:
    """The answer to a question about one field; a wrong one is asked again with the reason."""
    try:
        case = casework.clarified(
            turn.session, turn.house, turn.who, clarification_id, said, turn.context,
            said_at=turn.inbound.sent_at,
        )  # fmt: skip
    except AnswerError as error:
        _not_an_answer(turn, clarification_id, said, error.text)
        return
    except DeskError:
        _no_longer_asked(turn, said)
        return
    turn.work.place_last_message(turn.chat, case.number)
    _answered(turn, case, _("Записали в заявку № {number}.", number=case.number))


def _leave_as_it_was(turn: ChatTurn, clarification_id: int) -> None:
    try:
        case = casework.left_as_it_was(
            turn.session, turn.house, turn.who, clarification_id, turn.now, said_at=turn.inbound.sent_at
        )
    except DeskError:
        _no_longer_asked(turn, turn.said)
        return
    _answered(turn, case, _("Хорошо, в заявке № {number} всё остаётся как было.", number=case.number))


def _answered(turn: ChatTurn, case: casework.Case, note: Text) -> None:
    told = lines(
        note,
        *compose.summary_of(case.facts, turn.context),
        *turn.refusals(),
        _("Остался ещё один вопрос по этой заявке: он выше в чате, ответьте и на него.")
        if case.request.status is Status.WAITING_CLIENT
        else None,
    )
    progress = _progress(turn)
    if progress is not None and not progress.cancelled:
        shown = screen(progress, turn.context, lines(told, _("Вернёмся к новой заявке.")))
        turn.say(replace(shown, merge_seconds=_merge_seconds(turn)), focus=FORM_FOCUS)
    else:
        turn.say(Reply(told, menu_rows(), merge_seconds=_merge_seconds(turn)), focus="")


_WORD = re.compile(r"[^\W\d_]{2}")


def _not_an_answer(turn: ChatTurn, clarification_id: int, said: Said, hint: Text) -> None:
    """What answers the field in no way is still said to a person: whoever has the request gets it.

    A number alone is a slip in the answer itself, of which the hint says all.
    """
    asked = client_chats.question(turn.session, turn.chat.person_id, clarification_id)
    assert asked is not None, "a question that has just refused an answer is open"
    files = turn.kept_files()
    is_said = bool(_WORD.search(said.text)) and not is_form_word(said.text)
    told = None
    if not said.press and (files or (is_said and (casework.is_yes_or_no(said) or not _is_courtesy(turn)))):
        casework.add(
            turn.session, turn.house, turn.who, asked.facts.number, said.text.strip(), files, turn.now,
            said_at=turn.inbound.sent_at,
        )  # fmt: skip
        turn.work.place_last_message(turn.chat, asked.facts.number)
        told = compose.passed_to_staff(asked.facts)
    rows = compose.clarifying_rows(asked.field, asked.facts.answers, clarification_id, turn.context)
    text = lines(told, *turn.refusals(), hint)
    turn.say(Reply(text, rows, merge_seconds=_merge_seconds(turn)), focus=f"{CLARIFYING}{clarification_id}")


def _open_question(turn: ChatTurn) -> client_chats.Question | None:
    """The clarification that is asked now, or the newest one that waits."""
    focus = turn.chat.focus
    number = _number(focus.removeprefix(CLARIFYING)) if focus.startswith(CLARIFYING) else None
    number = number or client_chats.open_question(turn.session, turn.chat.person_id)
    return client_chats.question(turn.session, turn.chat.person_id, number) if number else None


def _ask_again(turn: ChatTurn, asked: client_chats.Question) -> None:
    shown = compose.clarification_reminder(
        asked.facts, asked.field, asked.remark, asked.clarification_id, turn.context
    )
    turn.say(shown, focus=f"{CLARIFYING}{asked.clarification_id}")


def _put_question_off(turn: ChatTurn) -> None:
    """Back to the form; the question waits until it is sent, or for its button."""
    asked = _open_question(turn)
    _forget_focus(turn)
    note = (
        _("Вопрос по заявке № {number} подождёт.", number=asked.facts.number) if asked is not None else None
    )
    _present(turn, note)


def _no_longer_asked(turn: ChatTurn, said: Said) -> None:
    _forget_focus(turn)
    if said.press:
        _present(turn, _("На этот вопрос вы уже ответили."))
    else:
        _words(turn)


def _forget_focus(turn: ChatTurn) -> None:
    turn.chat.focus = ""
    client_chats.forget_focus(turn.session, turn.chat.chat_id)


# --- a person ----------------------------------------------------------------------------------


def _call_human(turn: ChatTurn) -> None:
    """Pass the call to whoever keeps this client, else to the directors; the form stays as it is."""
    chat = turn.chat
    words = client_chats.last_words(turn.session, chat.chat_id)
    companies = tuple(company.name for company in chat.companies[:COMPANIES_IN_A_CALL])
    call = compose.human_call(chat.person_name, companies, chat.phone, words, chat.chat_id)
    people = casework.people_for_call(turn.session, chat.person_id, turn.now)
    for person_id in people:
        key = f"human:{turn.inbound.channel}:{turn.inbound.event_key}:{person_id}"
        post(turn.session, turn.house, turn.now, (Posting(key, call, person_id=person_id, urgent=True),))
    history.record(
        turn.session, at=turn.now, actor_id=chat.person_id, through=chat.channel, action="human_called",
        subject=f"chat:{chat.chat_id}", before=None, after={"told": len(people)},
    )  # fmt: skip
    text = lines(_called(turn, anybody=bool(people)), _urgent_line(turn))
    progress = _progress(turn)
    if progress is not None and not progress.cancelled:
        _show_form(turn, progress, lines(text, _("А пока можно продолжить заявку.")))
    else:
        turn.say(Reply(text, menu_rows()[:1]))


def _called(turn: ChatTurn, *, anybody: bool) -> Text:
    looked_at = look_by(turn.now, turn.house.calendar, turn.house.look_within_minutes)
    promise = compose.look_promise(looked_at, turn.context)
    if anybody:
        return _("Позвали человека, он ответит в этом чате. {promise}", promise=promise)
    return _("Сейчас в чате никого нет, но ваше обращение записали. {promise}", promise=promise)


def _urgent_line(turn: ChatTurn) -> Text | None:
    return _("Срочно — звоните: {phone}.", phone=turn.house.firm_phone) if turn.house.firm_phone else None


def _help(turn: ChatTurn) -> Reply:
    text = lines(
        _(
            "Здесь можно передать поручение бухгалтеру «{firm}» и узнать, как оно выполняется.",
            firm=turn.house.firm_name,
        ),
        _("/new — новая заявка, /status — как дела, /human — позвать человека, /cancel — отменить."),
        _("Телефон: {phone}", phone=turn.house.firm_phone) if turn.house.firm_phone else None,
        _("О ваших данных: напишите «мои данные» или «отозвать согласие»."),
    )
    rows = (*menu_rows(), (linking.button(_("Другой мессенджер")),))
    return Reply(text, rows, prompt=not turn.chat.draft)


# --- keeping what was said ---------------------------------------------------------------------


def _log(turn: ChatTurn) -> None:
    said, contact = turn.said, turn.said.contact
    text = said.text
    if said.other:
        text = f"({said.other})"
    elif contact is not None:
        text = " ".join(part for part in (said.text, contact.name, contact.phone) if part)
    turn.work.log(turn.chat, turn.inbound, text, [asdict(file) for file in turn.kept_files()], None)
