"""Answers under their names: «ИНН: 7707083893», «Срок: до пятницы», as people fill in a letter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from forms.fields import Form
from forms.messages import loosely
from forms.request_form import FORM


@dataclass(frozen=True, slots=True)
class Labelled:
    """What stands under names of the form's fields. `rest` are the words that stand under none.

    `answers` has no empty ones; `labels` are all names that were met, as they were written, by field.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    rest: str = ""

    @property
    def is_meant(self) -> bool:
        """Whether somebody has answered under names: under several, or under one and nothing else."""
        several = len(self.labels) > 1 and bool(self.answers)
        return several or (len(self.answers) == 1 and not self.rest)

    def __str__(self) -> str:
        """The answers alone, to be read again."""
        return "\n".join(f"{self.labels[name]}: {answer}" for name, answer in self.answers.items())


AGREEMENT_LABELS = ("Согласен", "Согласна", "Согласие", "I agree", "Agree")
"""Before a «да» that agrees to the consent, in a letter that answers everything at once."""

_AGREEMENT_NAMES = frozenset(map(loosely, AGREEMENT_LABELS))
_AGREEMENT_WORDS = frozenset(
    ("согласен", "согласна", "я согласен", "я согласна", "да согласен", "да согласна", "i agree", "agree")
)
_NO = ("", "нет", "не согласен", "не согласна", "no")
_GREETING = re.compile(
    r"\W*(?:здравствуй(?:те)?|добр(?:ый|ое|ого) (?:день|утро|вечер|дня|утра|вечера|времени суток)|привет|"
    r"приветствую|hello|hi|good (?:morning|day|afternoon|evening))\b[ ,.!]*",
    re.IGNORECASE,
)
_LONGEST_GREETING = 80
_NAMES = 4
_YES = frozenset((*_AGREEMENT_WORDS, "да", "ок", "yes", "ok"))

_NUMBER = re.compile(r"[0-9]{1,2}[.)]\s")
_MARKS = " \t\xa0>*•·–—-"
_LONGEST_LABEL = 60
_LONGEST_MARKED = 200
"""A line whose colon stands further on has no label."""


def _named(line: str) -> tuple[str, str] | None:
    """The label before the colon of a line, and the answer behind it.

    No pattern does this: whoever writes a line of nothing but marks should not keep us busy.
    """
    marked, colon, answer = line.partition(":")
    if not colon or len(marked) > _LONGEST_MARKED:
        return None
    label = marked.strip().lstrip(_MARKS)
    number = _NUMBER.match(label)
    label = label[number.end() :].strip() if number else label
    return (label, answer.strip()) if 0 < len(label) <= _LONGEST_LABEL else None


def greets(line: str) -> bool:
    """Whether this is a greeting («Добрый день, Анна Ивановна!») and nothing else."""
    greeting = _GREETING.match(line) if len(line) <= _LONGEST_GREETING else None
    if greeting is None:
        return False
    names = re.findall(r"\w+", line[greeting.end() :])
    return len(names) <= _NAMES and all(name[0].isupper() for name in names)


def labelled(text: str, form: Form = FORM, more: Mapping[str, str] | None = None) -> Labelled:
    """Find lines that begin with a field's title, or another name of it, and a colon.

    A line below an empty answer is that answer; fields of many lines take all lines up to the next
    name. `more` gives further names, loosely written, and what they stand for. The line of the consent
    is none of its words, also where it was filled in once more.
    """
    names = {**_names(form), **(more or {})}
    many = {each.name for each in form if each.many_lines}
    answers: dict[str, list[str]] = {}
    labels: dict[str, str] = {}
    rest: list[str] = []
    current: str | None = None
    answered: set[str] = set()
    asks_to_agree = names.keys() & _AGREEMENT_NAMES
    written = text.splitlines()
    for line in written if asks_to_agree else _without_agreement(written):
        label, answer = _named(line) or ("", "")
        name = names.get(loosely(label)) if label else None
        if name is not None and name not in answered:
            current, labels[name], answers[name] = name, label, [answer]
        elif current is not None and (current in many or (bool(line.strip()) and current not in answered)):
            answer = line.strip()
            answers[current].append(answer)
        else:
            rest.append(line)
            current = None if line.strip() else current
            continue
        if answer:
            answered.add(current)
    joined = {name: "\n".join(parts).strip() for name, parts in answers.items()}
    return Labelled(
        {name: answer for name, answer in joined.items() if answer}, labels, "\n".join(rest).strip()
    )


def agreed(text: str) -> str | None:
    """The other words of a message that agrees, by «Согласен: да» or by «Согласен» as its first line.

    None for a message that does not. A greeting above is no word of it.
    """
    written = text.strip().splitlines()
    above = 0
    for number, line in enumerate(written):
        if len(line) > _LONGEST_MARKED:
            continue
        said = _agreement(written, number)
        # «Согласен:» with nothing behind it is a blank that was left empty.
        is_given = said.answer in _YES if said else number == above and _named(line) is None and _agrees(line)
        if is_given:
            after = number + (said.lines if said else 1)
            return "\n".join((*written[above:number], *written[after:])).strip()
        if number == above and (greets(line) or not line.strip()):
            above += 1
    return None


def _agrees(line: str) -> bool:
    greeting = _GREETING.match(line)
    return loosely(line[greeting.end() :] if greeting else line) in _AGREEMENT_WORDS


@dataclass(frozen=True, slots=True)
class _Agreement:
    """The place of the blank where somebody agrees: what is put there, and how many lines it takes."""

    answer: str
    lines: int = 1


def _agreement(written: Sequence[str], number: int) -> _Agreement | None:
    """What stands behind «Согласен:» in this line, or below it; None for any other line."""
    label, answer = _named(written[number]) or ("", "")
    if loosely(label) not in _AGREEMENT_NAMES or loosely(answer) not in (*_YES, *_NO):
        return None
    below = written[number + 1] if number + 1 < len(written) else ""
    if not answer and len(below) < _LONGEST_MARKED and loosely(below) in _YES:
        return _Agreement(loosely(below), 2)
    return _Agreement(loosely(answer))


def without_agreement(text: str) -> str:
    """A message without the lines of the blank that agree to the consent: it was given before."""
    return "\n".join(_without_agreement(text.splitlines())).strip()


def _without_agreement(written: Sequence[str]) -> list[str]:
    kept: list[str] = []
    number = 0
    while number < len(written):
        said = _agreement(written, number)
        if said is None:
            kept.append(written[number])
        number += said.lines if said else 1
    return kept


def _names(form: Form) -> dict[str, str]:
    """Loosely written names of fields; the first field to claim a name has it."""
    named = [(label, each.name) for each in form for label in (each.title.msgid, *each.labels)]
    return {loosely(label): name for label, name in reversed(named)}
