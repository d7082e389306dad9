"""What people type into the panel's cards, judged as strictly as what clients type into the chat."""

from __future__ import annotations

import re

from forms.answers import AnswerError
from forms.texts import _, plain

MAX_NAME = 200
MAX_EMAIL = 200
MAX_PHONE = 40
_EMAIL = re.compile(r"[^@\s,;<>\"']+@[^@\s,;<>\"']+\.[^@\s,;<>\"'.]{2,}")
_PHONE = re.compile(r"[0-9+()\-. ]+")
_PHONE_DIGITS = range(5, 16)


def email_of(text: str) -> str:
    """An address, or empty. Raises AnswerError."""
    email = text.strip()
    if email and (len(email) > MAX_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email)):
        raise AnswerError(
            _("Почта «{email}» написана неверно. Например: anna@balans.ru.", email=plain(email[:60]))
        )
    return email


def phone_of(text: str) -> str:
    """A phone number as it was typed, or empty. Raises AnswerError."""
    phone = " ".join(text.split())
    digits = sum(letter.isdigit() for letter in phone)
    if phone and (len(phone) > MAX_PHONE or not _PHONE.fullmatch(phone) or digits not in _PHONE_DIGITS):
        raise AnswerError(
            _("Телефон «{phone}» написан неверно. Например: +7 900 123-45-67.", phone=plain(phone[:60]))
        )
    return phone


def person_name_of(text: str) -> str:
    """A person's name in one line. Raises AnswerError."""
    name = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if not any(letter.isalpha() for letter in name):
        raise AnswerError(_("Напишите имя и фамилию. Например: Анна Петрова."))
    if len(name) > MAX_NAME:
        raise AnswerError(_("Имя длиннее {limit} знаков. Сократите его.", limit=MAX_NAME))
    return name
