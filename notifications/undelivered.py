"""What is said when words did not arrive: in the copy, to the one who has to telephone, to the directors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from forms.messages import Button, Press, Reply
from forms.texts import Text, _, lines, plain
from notifications.compose import alarm_rows

CALL_SCOPE = "call"

_SHORT_WORDS = 300


@dataclass(frozen=True, slots=True)
class WantedCall:
    """Somebody to be telephoned, as staff read about it. `company` and `number` may be unknown."""

    call_id: int
    name: str
    phone: str
    reason: str
    company: str = ""
    number: int | None = None
    words: tuple[str, ...] = ()
    """What did not arrive, oldest first."""


# --- for the client ----------------------------------------------------------------------------


def instead_of(title: str, words: Text) -> Text:
    """The same words in another messenger: where they were meant to go, and then they themselves."""
    return lines(_("Не дошло ({messenger}), пишем сюда.", messenger=title), words)


def instead_of_another_chat(words: Text) -> Text:
    """The same words in another chat of the same messenger."""
    return lines(_("Не дошло в другой ваш чат, поэтому пишем сюда."), words)


def repeated(words: Text) -> Text:
    """Words that did not arrive before, now that the person has written."""
    return lines(_("Это сообщение раньше до вас не дошло:"), words)


# --- for staff ---------------------------------------------------------------------------------


def why(reason: str, title: str, *, blocked: bool) -> Text:
    """Why words did not arrive, for people; what the messenger itself says is for the operator.

    `reason` is a letter's, `title` its messenger's, `blocked` whether the chat is closed.
    """
    given_up = _GIVEN_UP.match(reason)
    if blocked:
        return _("{messenger}: чат закрыт", messenger=title)
    if given_up is not None:
        return _("{messenger}: не доставлено, попыток: {count}", messenger=title, count=given_up[1])
    if reason and not _FOREIGN.search(reason):
        return plain(reason)
    return _("{messenger}: сообщение не приняли", messenger=title)


_GIVEN_UP = re.compile(r"Не доставлено, попыток: ([0-9]+)")
_FOREIGN = re.compile(r"[A-Za-z]")


def call_wanted(call: WantedCall) -> Reply:
    """Who is to be telephoned, about what, and what they have not read."""
    who = call.name or _("Клиент")
    text = lines(
        _("Позвоните: {name}, {company}.", name=who, company=call.company)
        if call.company
        else _("Позвоните: {name}.", name=who),
        _("Телефон: {phone}", phone=call.phone) if call.phone else _("Телефона у нас нет."),
        _("Заявка № {number}", number=call.number) if call.number is not None else None,
        _("Причина: {reason}", reason=call.reason) if call.reason else None,
        _("Не прочитано:") if call.words else None,
        *(_short(words) for words in call.words),
    )
    return Reply(text, call_rows(call.call_id))


def call_rows(call_id: int) -> tuple[tuple[Button, ...], ...]:
    """What may have come of a call."""
    return (
        (
            Button(_("Дозвонился"), str(Press(CALL_SCOPE, str(call_id), "done"))),
            Button(_("Не отвечает"), str(Press(CALL_SCOPE, str(call_id), "silent"))),
        ),
    )


def staff_not_reached(name: str, number: int, reason: Text) -> Reply:
    """To the directors: a member of staff does not get what is sent to them."""
    return Reply(
        _(
            "{name} не получает наших сообщений ({reason}). Заявка № {number}: скажите лично.",
            name=name,
            reason=reason,
            number=number,
        ),
        alarm_rows(number, is_given=False),
    )


def _short(words: str) -> str:
    flat = " ".join(words.split())
    return flat if len(flat) <= _SHORT_WORDS else f"{flat[:_SHORT_WORDS].rstrip()}…"
