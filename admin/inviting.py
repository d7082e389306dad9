"""The invitation of a colleague by e-mail: a letter through the outbox to the address in the card."""

from __future__ import annotations

import secrets

from flask import url_for
from sqlmodel import Session

from admin.doors import doors
from admin.shown import say
from forms.messages import Reply
from forms.texts import _, lines, plain
from storage import staff_mail
from storage.invitations import Invited
from storage.letters import Posting, post


def can_mail() -> bool:
    """Whether the firm writes e-mail at all."""
    return bool(doors().house.email_channel)


def panel_link(invited: Invited) -> str:
    """Where the invited colleague sets a password."""
    return doors().public_url.rstrip("/") + url_for("auth.invitation", code=invited.panel_code or "")


def mail(session: Session, name: str, email: str, invited: Invited, days: int) -> None:
    """Put the invitation into the outbox. Whoever commits wakes the delivery."""
    now, house = doors().now(), doors().house
    chats = [way.with_code(invited.chat_code) for way in doors().ways_in_for_staff()]
    words = lines(
        _("Здравствуйте, {name}! Вас пригласили работать в {firm}.", name=plain(name), firm=house.firm_name),
        _("Задайте пароль для панели: {link}", link=panel_link(invited)),
        *(
            _("Рабочий чат, {messenger}: {link}", messenger=way.title, link=way.link)
            for way in chats
            if way.link
        ),
        _("Ссылки действуют {days} дней, каждая один раз. Никому их не пересылайте.", days=days),
    )
    chat_id = staff_mail.address_chat(session, house.email_channel, email, now)
    letter = Posting(f"invite:{secrets.token_hex(12)}", Reply(plain(say(words))), chat_id=chat_id)
    post(session, house, now, [letter])
