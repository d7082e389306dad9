"""Answers under their names: «ИНН: 7707083893», «Срок: до пятницы», as people fill in a letter."""

from __future__ import annotations

import re
from collections.abc import Mapping
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

_AGREEMENT_WORDS = frozenset(("согласен", "согласна", "я согласен", "я согласна", "i agree", "agree"))
_YES = frozenset((*_AGREEMENT_WORDS, "да", "ок", "yes", "ok"))

_LINE = re.compile(r"[\s>*•·–—-]*(?:[0-9]{1,2}[.)]\s+)?(?P<label>[^:\n]{1,60}?)\s*:[ \t]*(?P<answer>.*)")


def labelled(text: str, form: Form = FORM, more: Mapping[str, str] | None = None) -> Labelled:
    """Find lines that begin with a field's title, or another name of it, and a colon.

    A line below an empty answer is that answer; fields of many lines take all lines up to the next
    name. `more` gives further names, loosely written, and what they stand for.
    """
    names = {**_names(form), **(more or {})}
    many = {each.name for each in form if each.many_lines}
    answers: dict[str, list[str]] = {}
    labels: dict[str, str] = {}
    rest: list[str] = []
    current: str | None = None
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        name = names.get(loosely(match["label"])) if match else None
        if match and name is not None and not any(answers.get(name, ())):
            current, labels[name] = name, match["label"].strip()
            answers[name] = [match["answer"].strip()]
        elif current is not None and _goes_on(answers[current], line, many_lines=current in many):
            answers[current].append(line.strip())
        else:
            rest.append(line)
            current = None if line.strip() else current
    joined = {name: "\n".join(parts).strip() for name, parts in answers.items()}
    return Labelled(
        {name: answer for name, answer in joined.items() if answer}, labels, "\n".join(rest).strip()
    )


def agreed(text: str) -> str | None:
    """The other words of a message that agrees, by «Согласен: да» or by «Согласен» as its first line.

    None for a message that does not.
    """
    names = frozenset(map(loosely, AGREEMENT_LABELS))
    written = text.strip().splitlines()
    for number, line in enumerate(written):
        match = _LINE.fullmatch(line)
        says_yes = match is not None and loosely(match["label"]) in names and loosely(match["answer"]) in _YES
        # «Согласен:» with nothing behind it is a blank that was left empty.
        if says_yes or (number == 0 and match is None and loosely(line) in _AGREEMENT_WORDS):
            return "\n".join((*written[:number], *written[number + 1 :])).strip()
    return None


def _names(form: Form) -> dict[str, str]:
    """Loosely written names of fields; the first field to claim a name has it."""
    named = [(label, each.name) for each in form for label in (each.title.msgid, *each.labels)]
    return {loosely(label): name for label, name in reversed(named)}


def _goes_on(answer: list[str], line: str, *, many_lines: bool) -> bool:
    return many_lines or (bool(line.strip()) and not any(answer))
