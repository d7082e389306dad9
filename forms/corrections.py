"""What an answer becomes when its author edits the message that gave it. No input or output here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from forms.answers import AnswerError
from forms.dialogue import TASK, typed_choice
from forms.fields import Answers, Field, Form, FormContext, Said
from forms.request_form import FORM, task_with


@dataclass(frozen=True, slots=True)
class Version:
    """A message as it read at some moment; `at` is aware UTC: «завтра» is that day's tomorrow."""

    said: Said
    at: datetime


def corrected(
    name: str, versions: Sequence[Version], now_reads: Said, answers: Answers, context: FormContext,
    form: Form = FORM,
) -> Answers | None:  # fmt: skip
    """The answers that change when the message that answered this field now reads so; often none do.

    `versions` are all that it read before. None when none of them is the present answer: the client has
    answered anew since, and an old message must not undo that. Answers that the message gave by the way
    change with it, those that came from other messages stay. Raises AnswerError when the field's
    validator refuses the new words.
    """
    asked = next(field for field in form if field.name == name)
    rest = asked.others(answers)
    gave = _in_force(asked, versions, answers, context)
    if gave is None:
        return None
    new = asked.parse(typed_choice(asked, now_reads, rest, context), rest, context)
    if name not in new:
        raise AnswerError(asked.question(rest, context))
    changed = {
        key: _in_its_place(key, gave.get(key, ""), value, answers)
        for key, value in new.items()
        if not key.startswith("_") and (key == name or _is_still(key, gave, answers))
    }
    return {key: value for key, value in changed.items() if answers.get(key) != value}


def _in_force(
    asked: Field, versions: Sequence[Version], answers: Answers, context: FormContext
) -> Answers | None:
    """What the message gave when it gave the present answer."""
    rest = asked.others(answers)
    for version in reversed(versions):
        then = replace(context, now=version.at)
        try:
            gave = asked.parse(typed_choice(asked, version.said, rest, then), rest, then)
        except AnswerError:
            continue
        if asked.name in gave and _is_still(asked.name, gave, answers):
            return gave
    return None


def _is_still(key: str, gave: Answers, answers: Answers) -> bool:
    """Whether what the message gave is what the form has; the task may have grown around it."""
    if key == TASK:
        return bool(gave.get(TASK)) and gave[TASK] in answers.get(TASK, "")
    return gave.get(key) == answers.get(key)


def _in_its_place(key: str, old: str, new: str, answers: Answers) -> str:
    return task_with(answers[TASK], old, new) if key == TASK else new
