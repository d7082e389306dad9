"""The client's word on what staff wrote down from their call: «Верно», «Исправить», a field anew."""

from __future__ import annotations

import re
from dataclasses import replace

from bots.turns import ChatTurn
from forms.answers import AnswerError
from forms.dialogue import FORM_SCOPE
from forms.fields import Said
from forms.messages import Press
from forms.texts import Text, _, lines
from notifications import compose, readback
from notifications.compose import HEARD_SCOPE, RequestFacts
from notifications.readback import FIX_SCOPE
from router.desk import DeskError
from storage import casework, client_chats
from storage.casework import reading_back

READBACK_SCOPES = (HEARD_SCOPE, FIX_SCOPE)
FIXING = "heard:"
"""How a chat's focus begins while a field is answered anew, `heard:17:deadline`, or chosen, `heard:17:`."""

_TARGET = re.compile(r"([0-9]{1,9})(?:\.([a-z_]{1,40}))?")

Note = Text | None


def pressed(turn: ChatTurn, press: Press) -> Note:
    """A button of a read-back. Returns what to say above the present screen when nothing else is said."""
    target = _TARGET.fullmatch(press.target)
    facts = client_chats.own_request(turn.session, turn.chat.person_id, int(target[1])) if target else None
    if facts is None or target is None:
        return _("Эта кнопка уже не действует.")
    try:
        return _pressed(turn, facts, press, target[2] or "")
    except DeskError as error:
        _forget_focus(turn)
        return error.text


def _pressed(turn: ChatTurn, facts: RequestFacts, press: Press, field: str) -> Note:
    if not facts.unconfirmed:
        raise reading_back.AlreadyConfirmed
    revision = casework.answers_given(turn.session, facts.number)
    if press.revision not in (0, revision):
        _show(turn, facts, _("С тех пор запись изменилась. Сейчас так:"))
        return None
    if press.scope == FIX_SCOPE:
        asked = Press(FORM_SCOPE, field, press.value)
        return _correct(turn, facts.number, field, replace(turn.said, press=asked, text="", files=()))
    name = readback.field_of(press.value, facts.answers)
    match press.value:
        case "yes":
            casework.confirm(turn.session, turn.house, turn.who, facts.number, turn.now)
            _forget_focus(turn)
            return _("Спасибо, заявка № {number} подтверждена.", number=facts.number)
        case "fix":
            turn.say(readback.what_to_fix(facts, revision), focus=f"{FIXING}{facts.number}:")
        case _ if name is not None:
            asked_field = readback.ask_field(facts, name, turn.context, revision)
            turn.say(asked_field, focus=f"{FIXING}{facts.number}:{name}")
        case _:
            _show(turn, facts)
    return None


def is_fixing(turn: ChatTurn) -> bool:
    """Whether the next free words answer a field of a read-back, or say which one is wrong."""
    return turn.chat.focus.startswith(FIXING)


def answered(turn: ChatTurn) -> Note:
    """Words or files for the field that is being put right."""
    _heard, number, field = turn.chat.focus.split(":", 2)
    try:
        if not field:
            return _pass_on(turn, int(number))
        return _correct(turn, int(number), field, turn.said)
    except DeskError as error:
        _forget_focus(turn)
        return error.text


def _pass_on(turn: ChatTurn, number: int) -> Note:
    """What is wrong, in the client's own words: whoever has the request gets them."""
    facts = client_chats.own_request(turn.session, turn.chat.person_id, number)
    if facts is None or not facts.unconfirmed:
        raise reading_back.AlreadyConfirmed
    text, files = turn.said.text.strip(), turn.kept_files()
    told = None
    if text or files:
        casework.add(
            turn.session, turn.house, turn.who, number, text, files, turn.now, said_at=turn.inbound.sent_at
        )
        turn.work.place_last_message(turn.chat, number)
        told = compose.passed_to_staff(facts)
    revision = casework.answers_given(turn.session, number)
    turn.say(readback.what_to_fix(facts, revision, lines(told, *turn.refusals())))
    return None


def in_sight(turn: ChatTurn) -> int | None:
    """The request of the «Верно?» whose buttons are still in sight."""
    presses = (Press.parse(button[1]) for button in turn.chat.screen)
    asked = (press for press in presses if press is not None and press.scope == HEARD_SCOPE)
    target = next((_TARGET.fullmatch(press.target) for press in asked if press.value == "yes"), None)
    return int(target[1]) if target else None


def left(turn: ChatTurn) -> Note:
    """«Назад» or «Отмена» at a field: it stays as it is."""
    number = int(turn.chat.focus.split(":")[1])
    _forget_focus(turn)
    return show(turn, number)


def show(turn: ChatTurn, number: int) -> Note:
    """Read the request back as it stands now."""
    facts = client_chats.own_request(turn.session, turn.chat.person_id, number)
    if facts is None or not facts.unconfirmed:
        return _("Эта запись уже подтверждена, спасибо.")
    _show(turn, facts)
    return None


def waiting(turn: ChatTurn) -> int | None:
    """A recorded request that waits for this person's word."""
    return reading_back.unconfirmed_of(turn.session, turn.chat.person_id)


def _correct(turn: ChatTurn, number: int, field: str, said: Said) -> Note:
    try:
        case = casework.correct(turn.session, turn.house, turn.who, number, field, said, turn.context)
    except AnswerError as error:
        turn.say_text(lines(error.text, *turn.refusals()))
        return None
    if not said.press:
        turn.work.place_last_message(turn.chat, number)
    _show(turn, case.facts, lines(_("Исправили."), *turn.refusals()))
    return None


def _show(turn: ChatTurn, facts: RequestFacts, note: Note = None) -> None:
    revision = casework.answers_given(turn.session, facts.number)
    _forget_focus(turn)
    turn.say(readback.read_back(facts, turn.context, revision, note))


def _forget_focus(turn: ChatTurn) -> None:
    if is_fixing(turn):
        turn.chat.focus = ""
        client_chats.forget_focus(turn.session, turn.chat.chat_id)
