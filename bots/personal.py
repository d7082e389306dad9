"""What clients may ask about their personal data: to take their consent back, to see what is kept."""

from __future__ import annotations

import re
from collections.abc import Callable

from bots.turns import ChatTurn
from forms.messages import Button, Press, Reply
from forms.texts import _, lines
from notifications.compose import menu_rows
from storage import consents

CONSENT_SCOPE = "consent"
WITHDRAW = "withdraw"
_STAY = "stay"

_TAKES_BACK = re.compile(
    r"\W*(?:хочу |прошу )?(?:отозвать|отзываю|отзовите) (?:\w+ ){0,2}согласие\b.{0,60}"
    r"|\W*(?:i )?withdraw (?:my )?consent\W*",
    re.IGNORECASE | re.DOTALL,
)
_WANTS_DATA = re.compile(
    r"\W*(?:покажите )?мои (?:персональные )?данные\W*"
    r"|\W*какие (?:мои )?данные (?:вы )?(?:обо мне )?(?:вы )?храните.{0,40}"
    r"|\W*my data\W*",
    re.IGNORECASE | re.DOTALL,
)


def asked(words: str) -> Callable[[ChatTurn], None] | None:
    """What these words ask about personal data, if they are nothing else."""
    if _TAKES_BACK.fullmatch(words):
        return ask_whether
    return show_data if _WANTS_DATA.fullmatch(words) else None


def ask_whether(turn: ChatTurn) -> None:
    """A withdrawal cannot be undone for the words that go: it is asked for once."""
    assert turn.chat.person_id is not None
    numbers = consents.open_requests(turn.session, turn.chat.person_id)
    text = lines(
        _("Отозвать согласие на обработку ваших данных?"),
        _("Недописанная заявка пропадёт, новые сообщения мы не будем сохранять."),
        _("Об открытых заявках ({numbers}) с вами свяжется человек.", numbers=consents.listed(numbers))
        if numbers
        else None,
        _("Документы по сделанной работе закон велит хранить, их мы оставим."),
    )
    rows = (
        (
            Button(_("Да, отозвать"), str(Press(CONSENT_SCOPE, WITHDRAW)), ("да", "yes")),
            Button(_("Оставить"), str(Press(CONSENT_SCOPE, _STAY)), ("нет", "no")),
        ),
    )
    turn.say(Reply(text, rows, prompt=True))


def withdraw(turn: ChatTurn, agree_again: tuple[tuple[Button, ...], ...]) -> None:
    """Take the consent back; `agree_again` are the buttons under the last words."""
    assert turn.chat.person_id is not None
    turn.work.save_draft(turn.chat, None)
    numbers = consents.withdraw(turn.session, turn.house, turn.who, turn.chat.person_id, turn.now)
    turn.work.forget_consent(turn.chat.person_id)
    text = lines(
        _("Согласие отозвано. Новых сообщений мы не сохраняем."),
        _("Об открытых заявках ({numbers}) с вами свяжется человек.", numbers=consents.listed(numbers))
        if numbers
        else None,
        _("Понадобимся — ответьте «Согласен»."),
    )
    turn.say(Reply(text, agree_again, prompt=True), focus="")


def show_data(turn: ChatTurn) -> None:
    """The answer comes from a person, who makes sure whom they give it to."""
    until = consents.ask_for_data(turn.session, turn.house, turn.who, turn.now)
    day = f"{until.astimezone(turn.house.calendar.zone):%d.%m.%Y}"
    text = _("Просьбу передали. Покажем всё, что о вас храним, не позже {day}.", day=day)
    turn.say(Reply(text, menu_rows()))
