"""The name and the telephone of somebody who called, out of one line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from forms.answers import AnswerError
from forms.texts import _

MAX_NAME_CHARS = 100
LOCAL_DIGITS = 10
FEWEST_DIGITS, MOST_DIGITS = 10, 15

_PHONE = re.compile(r"\+?[0-9][0-9\s()\-–.]{7,24}[0-9]")
_LABELS = re.compile(r"\b(?:тел(?:ефон)?|моб(?:ильный)?|имя)\b[.:]?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedContact:
    """Who called: a name, and a telephone as people write it."""

    name: str
    phone: str


def parse_contact(text: str) -> NamedContact:
    """Read «Мария, +7 916 123-45-67». Raises AnswerError saying which half is missing."""
    line = " ".join(text.split())
    found = _PHONE.search(line)
    digits = re.sub(r"[^0-9]", "", found[0]) if found else ""
    rest = line[: found.start()] + " " + line[found.end() :] if found else line
    name = " ".join(_LABELS.sub(" ", rest).split()).strip(" ,;:.—–-")
    if sum(char.isalpha() for char in name) < 2:  # noqa: PLR2004 - «Ян» is the shortest name
        raise AnswerError(_("Не хватает имени. Напишите имя и телефон: «Мария, +7 916 123-45-67»."))
    if not FEWEST_DIGITS <= len(digits) <= MOST_DIGITS:
        raise AnswerError(
            _("Не хватает телефона: в нём от 10 до 15 цифр. Напишите: «Мария, +7 916 123-45-67».")
        )
    if len(name) > MAX_NAME_CHARS:
        raise AnswerError(_("Имя слишком длинное. Напишите, как к человеку обращаться, и телефон."))
    return NamedContact(name, shown_phone(digits))


def shown_phone(digits: str) -> str:
    """A Russian number in groups; a foreign one with its plus.

    >>> shown_phone("89161234567")
    '+7 916 123-45-67'
    """
    if len(digits) == LOCAL_DIGITS + 1 and digits[0] in "78":
        digits = digits[1:]
    if len(digits) != LOCAL_DIGITS:
        return f"+{digits}"
    return f"+7 {digits[:3]} {digits[3:6]}-{digits[6:8]}-{digits[8:]}"


def phone_key(text: str) -> str:
    """What of a number stays the same however it is written: its last ten digits."""
    return re.sub(r"[^0-9]", "", text)[-LOCAL_DIGITS:]
