"""The list of people to telephone, in the chat of staff: one card at a time, and what came of the call."""

from __future__ import annotations

import re

from bots.turns import ChatTurn
from forms.messages import Button, Press, Reply
from forms.texts import Text, _, lines, n_
from notifications.undelivered import CALL_SCOPE, WantedCall, call_wanted
from router.model import Role
from storage import calls
from storage.calls import Call
from storage.reach import Reach, reach_of

SHOW = Press(CALL_SCOPE, "list")
WORDS = ("Позвонить", "Кому позвонить", "/calls")

_NUMBER = re.compile(r"[0-9]{1,9}")


def menu_row(turn: ChatTurn) -> tuple[tuple[Button, ...], ...]:
    """The item of the menu, while there is anybody to telephone."""
    if not calls.count_open(turn.session, _own(turn)):
        return ()
    waiting = len(_talks(calls.open_calls(turn.session, _own(turn))))
    return ((Button(_("Позвонить: {count}", count=waiting), str(SHOW), WORDS),),)


def answer(turn: ChatTurn, press: Press) -> Reply:
    """The next card, or what came of a call."""
    if not _NUMBER.fullmatch(press.target):
        return _next(turn)
    call = calls.open_call(turn.session, int(press.target), _own(turn))
    if call is None:
        return _next(turn, _("Этот звонок уже закрыт."))
    match press.value:
        case "done":
            return _done(turn, call)
        case "silent":
            return _silent(turn, call)
        case "next":
            return _next(turn, after=call.call_id)
        case _:
            return _card(turn, call, calls.open_calls(turn.session, _own(turn)))


def _own(turn: ChatTurn) -> Reach:
    assert turn.chat.staff is not None
    return reach_of(turn.session, turn.chat.staff.role, turn.chat.staff.staff_id)


def _done(turn: ChatTurn, call: Call) -> Reply:
    """Whoever got through has told everything that did not arrive."""
    assert turn.chat.staff is not None
    for each in _about(call, calls.open_calls(turn.session, _own(turn))):
        calls.call_done(
            turn.session, each.call_id, turn.chat.staff.staff_id, turn.house.say(_("дозвонились")), turn.now,
            through=turn.chat.channel,
        )  # fmt: skip
    return _next(turn, _("Записали: дозвонились, {name}.", name=call.name or _("клиент")))


def _silent(turn: ChatTurn, call: Call) -> Reply:
    assert turn.chat.staff is not None
    local = turn.now.astimezone(turn.house.calendar.zone)
    note = turn.house.say(
        _("{when}, {name}: не отвечает", when=f"{local:%d.%m %H:%M}", name=turn.chat.person_name)
    )
    together = _about(call, calls.open_calls(turn.session, _own(turn)))
    for each in together:
        calls.call_not_answered(
            turn.session, each.call_id, turn.chat.staff.staff_id, note, turn.now, through=turn.chat.channel
        )
    but = frozenset(each.call_id for each in together)
    return _next(turn, _("Записали: не отвечает. Звонок остался в списке, ниже других."), but=but)


def _next(
    turn: ChatTurn, note: Text | None = None, *, after: int = 0, but: frozenset[int] = frozenset()
) -> Reply:
    """The first call of the list, or the one after another."""
    waiting = calls.open_calls(turn.session, _own(turn))
    talks = _talks(waiting)
    place = next((place for place, call in enumerate(talks, start=1) if call.call_id == after), 0)
    order = [call for call in (*talks[place:], *talks[:place]) if call.call_id not in but]
    if not order:
        return Reply(lines(note, None if waiting else _("Звонить больше некому.")))
    return _card(turn, order[0], waiting, note)


def _card(turn: ChatTurn, call: Call, waiting: tuple[Call, ...], note: Text | None = None) -> Reply:
    assert turn.chat.staff is not None
    together = _about(call, waiting)
    # The administrator keeps the machine running and reads no client's correspondence.
    reads = turn.chat.staff.role is not Role.ADMIN
    shown = call_wanted(
        WantedCall(
            call.call_id, call.name, call.phone, call.reason, call.company if reads else "", call.request_id,
            tuple(each.words for each in together if each.words) if reads else (),
        )
    )  # fmt: skip
    others = len(_talks(waiting)) - 1
    text = lines(
        note,
        shown.text,
        *call.tried,
        n_("Ещё {count} звонок.", "Ещё {count} звонков.", others) if others else None,
    )
    more = (Button(_("Следующий"), str(Press(CALL_SCOPE, str(call.call_id), "next"))),)
    return Reply(text, (*shown.rows, *((more,) if others else ())))


def _talks(waiting: tuple[Call, ...]) -> tuple[Call, ...]:
    """One call for each conversation."""
    firsts: dict[tuple[int, int], Call] = {}
    for call in waiting:
        about = call.request_id or 0
        firsts.setdefault((call.person_id, about) if call.letter_id else (0, -call.call_id), call)
    return tuple(firsts.values())


def _about(call: Call, waiting: tuple[Call, ...]) -> tuple[Call, ...]:
    """The calls that one conversation settles: all that did not reach this person about this request."""
    if call.letter_id is None:
        return (call,)
    together = [
        each
        for each in waiting
        if (each.person_id, each.request_id) == (call.person_id, call.request_id)
        and each.letter_id is not None
    ]
    return tuple(sorted(together, key=lambda each: each.call_id)) or (call,)
