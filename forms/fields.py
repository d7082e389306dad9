"""What a question of the form is: its words, its validator, its choices, how its answer is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from forms.deadline import WorkCalendar
from forms.kinds import OUR_KINDS, Kinds
from forms.messages import Contact, Press
from forms.texts import Text

Answers = Mapping[str, str]
"""Field name → answer in its flat, storable form (an INN, an ISO date, a JSON list)."""


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file after it was fetched and judged by its content; a refused one is not stored."""

    sha256: str
    name: str
    size_bytes: int
    media_type: str
    refusal: Text | None = None
    is_voice: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said in one turn, whatever the messenger: words, a press, files, a contact.

    `other` is the Russian name of something that cannot be an answer: a sticker, a location.
    """

    text: str = ""
    press: Press | None = None
    files: tuple[ReceivedFile, ...] = ()
    contact: Contact | None = None
    other: str | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """A company or a sole proprietor by its INN."""

    inn: str
    name: str


@dataclass(frozen=True, slots=True)
class FormContext:
    """What the questions may know.

    `now` is aware UTC; `companies` are those this person represents; `directory` holds the clients of
    the firm whose INN stands in the message. `asks_at_once`: each answer takes a letter and maybe a day,
    so all that is missing is asked together.
    """

    now: datetime
    calendar: WorkCalendar
    firm_name: str
    firm_phone: str = ""
    companies: tuple[Company, ...] = ()
    directory: Mapping[str, str] | None = None
    asks_at_once: bool = False
    kinds: Kinds = OUR_KINDS


@dataclass(frozen=True, slots=True)
class Choice:
    """A button of a question; `value` comes back as `Press.value`."""

    value: str
    label: Text
    synonyms: tuple[str, ...] = ()


def _no_choices(_answers: Answers, _context: FormContext) -> tuple[Choice, ...]:
    return ()


def _always(_answers: Answers) -> bool:
    return True


def _holds(_answer: str, _context: FormContext) -> Text | None:
    return None


@dataclass(frozen=True, slots=True)
class Field:
    """One question.

    `question`, `choices` and `parse` get the answers without those that this question replaces. `parse`
    returns every field the answer filled, or raises AnswerError; names that begin with an underscore are
    notes for its own next call. Without the field's own name among them the question stays open.
    `fills` names the fields that a new answer replaces. `stale` says why an answer given earlier can
    no longer be sent. `labels` are other names of it, by which it is answered in a letter. A field of
    `many_lines` takes there all lines up to the next name. Words for a field with `opened_by` go to that
    field while it has no answer: it finds this answer in them. `sample` is an answer that is always
    accepted, for tests and the demo. A field with `part_of` is asked only to complete another one and is
    changed together with it. A field that `shows_itself` has the present answer in its question and a
    button of its own to go on.
    """

    name: str
    title: Text
    question: Callable[[Answers, FormContext], Text]
    parse: Callable[[Said, Answers, FormContext], Answers]
    show: Callable[[str, FormContext], Text]
    sample: str
    choices: Callable[[Answers, FormContext], tuple[Choice, ...]] = _no_choices
    asked_if: Callable[[Answers], bool] = _always
    stale: Callable[[str, FormContext], Text | None] = _holds
    fills: tuple[str, ...] = ()
    part_of: str | None = None
    choices_per_row: int = 2
    shows_itself: bool = False
    labels: tuple[str, ...] = ()
    many_lines: bool = False
    opened_by: str | None = None

    def replaces(self) -> tuple[str, ...]:
        """The answers that a new answer to this question replaces."""
        return self.fills or (self.name,)

    def others(self, answers: Answers) -> dict[str, str]:
        """The answers that stay when this question is asked anew, and its notes to itself."""
        replaced = {name for name in self.replaces() if not name.startswith("_")}
        return {name: value for name, value in answers.items() if name not in replaced}


Form = tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file that belongs to an answer; its bytes are found by the digest."""

    sha256: str
    name: str
    size_bytes: int
    media_type: str


def files_to_text(files: tuple[AttachedFile, ...]) -> str:
    """Flatten attached files for storage."""
    return json.dumps([asdict(file) for file in files], ensure_ascii=False)


def files_from_text(text: str) -> tuple[AttachedFile, ...]:
    """Read what `files_to_text` wrote."""
    return tuple(AttachedFile(**item) for item in json.loads(text or "[]"))
