"""The INN of a company and its name, out of what a client typed."""

from __future__ import annotations

import re
import unicodedata

from stdnum.ru import inn as registry_inn

from forms.answers import AnswerError
from forms.texts import _, plain

INN_LENGTHS = (10, 12)
MAX_NAME_CHARS = 200
SHOWN_CHARS = 40
ATTEMPT_DIGITS = 8
"""From so many digits on, a number in an answer is meant as an INN."""
LOOKALIKE_DIGITS = 6
"""So many true digits make «77O7083893» an INN with a letter in it and not a word."""


def parse_inn(text: str) -> str:
    """The INN as 10 or 12 plain digits with right check digits.

    Spaces, hyphens, the word «ИНН» and a KPP after a slash are put up with. Digits that only look like
    digits are not: what is stored must be what anybody else would type.
    """
    answer = _LABEL_BEFORE.sub("", _cleaned(text)).strip(" .,;:")
    with_kpp = _INN_AND_KPP.fullmatch(answer)
    digits = _SEPARATORS.sub("", with_kpp["inn"] if with_kpp else answer)
    if not digits:
        raise AnswerError(_("Пришлите ИНН: у компании в нём 10 цифр, у ИП 12. Например: 7707083893."))
    _refuse_foreign_signs(digits)
    if len(digits) not in INN_LENGTHS:
        raise AnswerError(
            _(
                "В ИНН 10 или 12 цифр, у вас {count}: {digits}. Проверьте и пришлите ещё раз.",
                count=len(digits),
                digits=plain(digits[:SHOWN_CHARS]),
            )
        )
    if not digits.strip("0"):
        raise AnswerError(_("ИНН из одних нулей не бывает. Проверьте и пришлите ещё раз."))
    if not registry_inn.is_valid(digits):
        raise AnswerError(
            _(
                "В ИНН {digits} опечатка: не сходятся контрольные цифры. Проверьте и пришлите ещё раз.",
                digits=plain(digits),
            )
        )
    return digits


def parse_company_name(text: str) -> str:
    """A name with at least one letter, at most 200 characters, in one line."""
    name = _cleaned(text)
    if len(name) > MAX_NAME_CHARS:
        raise AnswerError(
            _(
                "Название длиннее {limit} знаков: у вас {count}. Пришлите короткое, как в счетах.",
                limit=MAX_NAME_CHARS,
                count=len(name),
            )
        )
    if not any(char.isalpha() for char in name):
        raise AnswerError(
            _("В названии нет ни одной буквы. Напишите, как называется компания. Например: ООО «Ромашка».")
        )
    return name


def split_company(text: str) -> tuple[str | None, str | None]:
    """What in one answer is meant as an INN (still to be parsed) and what as the name.

    >>> split_company("ООО «Ромашка», ИНН 7707083893")
    ('7707083893', 'ООО «Ромашка»')
    >>> split_company("Магазин 24")
    (None, 'Магазин 24')
    """
    line = _cleaned(text)
    place = _labelled(line) or _unlabelled(line)
    if place is None:
        return None, _name_of(_LABEL_BEFORE.sub("", line))
    begin, end = place
    before = _LABEL_AT_END.sub(" ", line[:begin])
    after = _KPP_AT_START.sub(" ", line[end:])
    return line[begin:end], _name_of(f"{before} {_LABEL_AT_START.sub(' ', after)}")


# --- Where the number is ---------------------------------------------------------------------------

_LABEL = r"\bИНН\b(?:\s*/\s*КПП\b)?"
_LABEL_BEFORE = re.compile(rf"^{_LABEL}[\s:№=.,—–-]*", re.IGNORECASE)
_LABEL_AT_END = re.compile(rf"[\s,;]*{_LABEL}[\s:№=.,—–-]*$", re.IGNORECASE)
_LABEL_AT_START = re.compile(rf"^[\s,;(—–-]*{_LABEL}(?=\W*$)", re.IGNORECASE)
_INN_AND_KPP = re.compile(r"(?P<inn>[0-9]{10})\s*/\s*[0-9]{9}")
_KPP_AT_START = re.compile(
    r"^\s*(?:/\s*[0-9]{9}(?![0-9])|[\s,;]*КПП[\s:№-]*[0-9]{9}(?![0-9]))", re.IGNORECASE
)
_DASHES = "\\-\u2010-\u2015\u2212"
_SEPARATORS = re.compile(rf"[\s{_DASHES}]+")
# \d takes foreign digits too: such a number is an attempt at an INN, and is refused with the reason.
_RUN = re.compile(rf"\d+(?:[\s{_DASHES}]{{1,3}}\d+)*")
_LETTERS_FOR_DIGITS = re.compile(r"(?<!\w)[0-9OoОоЗзlI]{10,12}(?!\w)")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")


def _labelled(line: str) -> tuple[int, int] | None:
    """The number right after «ИНН», however short."""
    for label in re.finditer(rf"{_LABEL}[\s:№=.,—–-]*", line, re.IGNORECASE):
        run = _RUN.match(line, label.end())
        if run is not None:
            return _best_part(run)
    return None


def _unlabelled(line: str) -> tuple[int, int] | None:
    runs = [run for run in _RUN.finditer(line) if _digit_count(run[0]) >= ATTEMPT_DIGITS]
    if runs:
        return _best_part(runs[0])
    for word in _LETTERS_FOR_DIGITS.finditer(line):
        if _digit_count(word[0]) >= LOOKALIKE_DIGITS:
            return word.span()
    return None


def _best_part(run: re.Match[str]) -> tuple[int, int]:
    """«Магазин 24 7707083893» and «77 0708-3893» are both one run; only the second is one number."""
    offset = run.start()
    parts = [(offset + part.start(), offset + part.end(), part[0]) for part in re.finditer(r"\d+", run[0])]
    valid = [part for part in parts if _is_inn(part[2])]
    if not valid and not _is_inn(_SEPARATORS.sub("", run[0])):
        valid = [part for part in parts if len(part[2]) >= min(INN_LENGTHS)]
    return valid[0][:2] if valid else run.span()


def _is_inn(digits: str) -> bool:
    return digits.isascii() and len(digits) in INN_LENGTHS and registry_inn.is_valid(digits)


def _digit_count(text: str) -> int:
    return sum(char.isdecimal() for char in text)


def _name_of(rest: str) -> str | None:
    name = " ".join(_EMPTY_BRACKETS.sub(" ", rest).split())
    return name.rstrip(" ,;:/|—–-").lstrip(" .,;:/|—–-") or None


# --- Signs -----------------------------------------------------------------------------------------


def _refuse_foreign_signs(digits: str) -> None:
    foreign = next((char for char in digits if not (char.isascii() and char.isdigit())), None)
    if foreign is None:
        return
    if foreign.isnumeric():
        raise AnswerError(
            _(
                "Знак «{sign}» только похож на цифру. Наберите ИНН обычными цифрами: 0123456789.",
                sign=plain(foreign),
            )
        )
    raise AnswerError(
        _("В ИНН только цифры, а у вас есть «{sign}». Пришлите 10 или 12 цифр.", sign=plain(foreign))
    )


def _cleaned(text: str) -> str:
    """One line without control, invisible and broken characters."""
    visible = (
        " " if char.isspace() else char
        for char in text
        if char.isspace() or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    )
    return " ".join("".join(visible).split())
