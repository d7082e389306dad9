"""The conversation that fills the form: one message in, the next screen out. No input or output here.

`advance` is a function of its arguments. Whoever calls it keeps `Progress` between messages and
fetches what `FormContext` needs. Every function takes the form as its last argument, so that a longer
one can be walked without changing this one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from forms.answers import AnswerError
from forms.changes import Change, is_assent, is_command_to_send, is_objection, wanted
from forms.fields import (
    Answers,
    AttachedFile,
    Choice,
    Field,
    Form,
    FormContext,
    ReceivedFile,
    Said,
    files_from_text,
    files_to_text,
)
from forms.freetext import Labelled, agreed, labelled, without_agreement
from forms.messages import Button, Press, Reply, loosely
from forms.request_form import FORM, longer_task, shortened, show_files, summary_lines
from forms.texts import Text, _, lines, listed

SUMMARY = "~summary"
EDIT = "~edit"
SEND = "~send"
KEEP = "~keep"
RESTORE = "~restore"

FORM_SCOPE = "form"
NAV_SCOPE = "nav"

TASK = "task"
DEADLINE = "deadline"
FILES = "files"
_FILES = "_files"
"""Files collected at any question; they become the answer FILES when the client says there are no more."""
_TASK_AT = "_task_at"
"""When the task was last written to."""
_ALBUM = "_album"
"""The album whose first parts have answered a question: the others answer no further one."""
_CAPTION = "_caption"
"""Its words, which may stand on several parts and count once."""

MAX_FILES = 50
ALBUM_SECONDS = 1.2
"""How long an answer waits for the rest of an album; messengers give no end mark."""
SAME_BREATH_SECONDS = 3
"""Whoever writes again so soon has not read the next question: it is still the task."""

FAILURES_BEFORE_ANOTHER_WAY = 2
FEWEST_BLANKS = 2
"""From so many missing answers on, a letter asks for them together."""


class Nav(StrEnum):
    """What can be said at any moment; the value is the press target."""

    BACK = "back"
    CANCEL = "cancel"
    HUMAN = "human"
    NEW = "new"
    MINE = "mine"
    STATUS = "status"
    HELP = "help"
    START = "start"


_WORDS_OF_NAV: Mapping[Nav, tuple[str, ...]] = MappingProxyType(
    {
        Nav.BACK: ("Назад", "Back", "вернуться", "шаг назад"),
        Nav.CANCEL: ("Отмена", "/cancel", "Cancel", "отменить", "стоп"),
        Nav.HUMAN: (
            "Позвать человека", "/human", "Call a person", "человек", "человека", "человека позовите",
            "позовите человека", "позови человека", "живой человек", "нужен человек", "оператор", "оператора",
            "свяжите с человеком", "хочу поговорить с человеком", "бухгалтера", "позовите бухгалтера",
        ),
        Nav.NEW: ("Новая заявка", "/new", "New request", "новая", "еще заявка", "заново"),
        Nav.MINE: ("Мои заявки", "/mine", "My requests"),
        Nav.STATUS: (
            "/status", "статус", "как дела", "что с заявкой", "где моя заявка", "как моя заявка",
        ),
        Nav.HELP: ("/help", "помощь", "help", "что ты умеешь", "что вы умеете", "а что вы умеете", "справка"),
        Nav.START: ("/start", "старт", "начать", "start"),
    }
)  # fmt: skip
NAV_WORDS: Mapping[str, Nav] = MappingProxyType(
    {loosely(word): nav for nav, words in _WORDS_OF_NAV.items() for word in words}
)

SMALL_TALK = frozenset(
    map(
        loosely,
        (
            "здравствуйте", "добрый день", "доброе утро", "добрый вечер", "привет", "приветствую",
            "доброго дня", "спасибо", "благодарю", "спасибо большое", "большое спасибо", "спс", "ок", "окей",
            "хорошо", "понятно", "ясно", "hello", "hi", "thanks", "thank you", "ok",
        ),
    )
)  # fmt: skip


def nav_word(text: str) -> Nav | None:
    """Whether these words ask for something that is possible at any moment."""
    return NAV_WORDS.get(loosely(text))


_FORM_LABELS = (
    "Согласен", "Отправить", "Изменить", "Готово", "Пропустить", "Оставить",
    "I agree", "Send", "Change", "Done", "Skip", "Keep it",
)  # fmt: skip
_FORM_WORDS = frozenset(map(loosely, _FORM_LABELS))


def is_form_word(text: str) -> bool:
    """Whether these words are the label of a button of the form, and so no message to anybody.

    «Всё верно» is none: once a request is sent, it may answer an accountant.
    """
    return loosely(text) in _FORM_WORDS


def is_restore_word(text: str) -> bool:
    """Whether these words want a cancelled form back."""
    return loosely(text) in _RESTORE_WORDS


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the form is.

    `asking` is a field's name, SUMMARY or EDIT; it may be a field that has an answer already, which
    then stays until a new one replaces it. `answers` whose names begin with an underscore are notes of
    the dialogue itself and never leave it. `editing`: the client came from the summary and goes back
    there.
    """

    answers: Answers = field(default_factory=dict)
    asking: str = "inn"
    revision: int = 1
    failures: int = 0
    editing: bool = False
    cancelled: bool = False

    @property
    def is_begun(self) -> bool:
        """Whether there is something to lose: more than the company, which is known anyway."""
        return not self.cancelled and bool(self.answers.keys() - {"inn", "company"})

    def to_json(self) -> dict[str, Any]:
        """Flatten for storage."""
        return {**asdict(self), "answers": dict(self.answers)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any] | None) -> Progress | None:
        """Read what `to_json` wrote; what is no form's progress is None."""
        names = {item.name for item in fields(cls)}
        return cls(**{name: kept[name] for name in names}) if kept and names <= kept.keys() else None


class Outcome(StrEnum):
    """What the turn led to."""

    GOING = "going"
    SUBMITTED = "submitted"
    CANCELLED = "cancelled"
    HUMAN = "human"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one message changed and what is answered; on SUBMITTED, `submitted` is the finished form.

    `field` is the field that the message has answered or added to, if any.
    """

    progress: Progress
    replies: tuple[Reply, ...]
    outcome: Outcome = Outcome.GOING
    submitted: Answers | None = None
    field: str | None = None


def begin(
    context: FormContext, answers: Answers | None = None, revision: int = 1, form: Form = FORM
) -> Progress:
    """A fresh form; who represents one company only is not asked which.

    `revision` must be higher than that of any earlier form of this person, so that the buttons of that
    one are recognised as old.
    """
    known = dict(answers or {})
    if "inn" not in known and len(context.companies) == 1:
        known |= {"inn": context.companies[0].inn, "company": context.companies[0].name}
    return _Walk(context, form).to_next(Progress(known, revision=revision))


def screen(progress: Progress, context: FormContext, note: Text | None = None, form: Form = FORM) -> Reply:
    """The current question with its buttons; `note` says before it what has just happened."""
    walk = _Walk(context, form)
    return walk.screen(walk.placed(progress), note)


def blank_letter(context: FormContext, form: Form = FORM) -> Text:
    """The whole form to be filled in by one letter, the agreement to the consent before it."""
    walk = _Walk(context, form)
    names = walk.blanks(begin(context, form=form).answers)
    return lines(
        _("Можно ответить одним письмом: впишите ответы после двоеточий, после «Согласен» — «да»."),
        "",
        _("Согласен:"),
        *walk.blank_lines(names),
    )


def advance(progress: Progress, said: Said, context: FormContext, form: Form = FORM) -> Turn:
    """Take one message into the form. Whatever was said gets an answer."""
    return _Walk(context, form).advance(progress, said)


def correct(progress: Progress, changed: Answers, context: FormContext, form: Form = FORM) -> Progress:
    """The form with answers that the client has corrected without being asked for them again."""
    kept = dict(progress.answers)
    if "inn" in changed:
        # The name belongs to the number; of a number that is new to us it is asked.
        kept.pop("company", None)
    walk = _Walk(context, form)
    return walk.placed(_turned(replace(progress, answers={**kept, **changed})))


def parse_one(name: str, said: Said, answers: Answers, context: FormContext, form: Form = FORM) -> Answers:
    """Answer one field alone, with its own validator: what a clarification asks for.

    Raises AnswerError. Other answers are left as they are.
    """
    asked = next(field for field in form if field.name == name)
    rest = asked.others(answers)
    filled = asked.parse(typed_choice(asked, said, rest, context), rest, context)
    if name == "inn" and "inn" in filled and "company" in answers:
        filled = {"company": answers["company"], **filled}
    return {
        key: value for key, value in filled.items() if key in asked.replaces() and not key.startswith("_")
    }


# --- walking through the form ------------------------------------------------------------------

_SUMMARY_CHOICES = (
    Choice(
        SEND,
        _("Отправить"),
        ("да", "верно", "все верно", "ок", "ok", "хорошо", "отправляй", "отправляйте", "send", "yes"),
    ),
    Choice(EDIT, _("Изменить"), ("нет", "исправить", "поправить", "edit", "change")),
)
_NOTHING_TO_CHANGE = ("нет", "ничего", "не надо", "ничего не надо", "ничего не менять", "передумал")
_KEEP_CHOICE = Choice(KEEP, _("Оставить"), ("пусть так", "оставь", "оставьте", "keep"))
_RESTORE_WORDS = ("вернуть", "вернуть черновик", "верни", "верните", "restore")


@dataclass(frozen=True, slots=True)
class _Walk:
    """A form and what it may know now; every method is a function of its arguments."""

    context: FormContext
    form: Form

    def advance(self, progress: Progress, said: Said) -> Turn:
        nav = _nav_of(said)
        if nav is Nav.HUMAN:
            return Turn(progress, (), Outcome.HUMAN)
        if progress.cancelled:
            return self.after_cancel(progress, said)
        if not self.is_asked(progress):
            return self.shown(self.placed(progress), _("Вопросы с тех пор изменились. Сейчас вопрос такой:"))
        if said.press and not _is_current(said.press, progress):
            return self.shown(progress, _("Эта кнопка от прошлого вопроса. Сейчас вопрос такой:"))
        return self.heard(progress, said, nav)

    def heard(self, progress: Progress, said: Said, nav: Nav | None) -> Turn:
        if nav is Nav.BACK:
            return self.back(progress)
        if nav is Nav.CANCEL:
            return self.cancel(progress)
        if said.other:
            note = _("Это ({what}) передать не получится. Ответьте словами или кнопкой.", what=said.other)
            return self.shown(progress, note)
        if not said.press and agreed(said.text) is not None:
            said = replace(said, text=without_agreement(said.text))
        if said.files:
            return self.with_files(progress, said)
        said = _typed(self.choices(progress), progress.asking, said)
        if not said.press and (not said.text.strip() or loosely(said.text) in SMALL_TALK):
            return self.shown(progress)
        return self.answer(progress, said)

    # --- answers

    def answer(self, progress: Progress, said: Said, note: Text | None = None) -> Turn:
        """Words or a press of the present question's own button; answers under their names go to these."""
        under_names = Labelled() if said.press else labelled(said.text, self.form)
        if under_names.is_meant:
            return self.fill(progress, under_names, note)
        try:
            match progress.asking:
                case name if name == SUMMARY:
                    return self.at_summary(progress, said, note)
                case name if name == EDIT:
                    return self.pick(progress, said)
                case name:
                    return self.answer_field(progress, self.field(name), said, note)
        except AnswerError as error:
            failed = replace(progress, failures=progress.failures + 1)
            return Turn(failed, (self.problem(failed, lines(note, error.text)),))

    def answer_field(self, progress: Progress, asked: Field, said: Said, note: Text | None) -> Turn:
        if said.press and said.press.value == KEEP:
            return self.shown(self.to_next(_turned(progress)), note)
        try:
            filled = asked.parse(said, asked.others(progress.answers), self.context)
        except AnswerError as error:
            change = self.wanted(progress, said) if asked.name == FILES else None
            if change is not None:
                return self.change(progress, change, note)
            if said.press or not self.is_more_of_task(progress, error) or not loosely(said.text):
                raise
            return self.add_to_task(progress, said.text, note)
        taken = self.take(progress, asked, filled)
        turn = self.shown(self.to_next(taken) if asked.name in filled else taken, note)
        answered = (asked.name, *(f.name for f in self.form))
        return replace(turn, field=next((name for name in answered if name in filled), None))

    def fill(self, progress: Progress, under_names: Labelled, note: Text | None) -> Turn:
        """Take several answers in one go; what is wrong with some is told together, words are kept."""
        told: list[Text] = []
        words = _without_courtesy(under_names.rest)
        for named in self.form:
            answer = under_names.answers.get(named.name)
            if answer is None:
                continue
            asked = self.asked_for(named, progress.answers)
            if not asked.asked_if(progress.answers):
                words = "\n".join(
                    part for part in (words, f"{under_names.labels[named.name]}: {answer}") if part
                )
                continue
            try:
                progress = self.take(progress, asked, self.parsed(asked, answer, progress.answers))
            except AnswerError as error:
                told.append(_("{title}: {problem}", title=named.title, problem=error.text))
        if words:
            progress, problem = self.with_words(progress, words)
            told += [problem] if problem else []
        progress = self.without_asking_for_files(progress)
        shown = self.to_next(_turned(progress))
        failures = progress.failures + 1 if told else 0
        return self.shown(replace(shown, failures=failures), lines(note, *told) if note or told else None)

    def asked_for(self, named: Field, answers: Answers) -> Field:
        """The question that takes words for this field: one before it may, while it has no answer."""
        first = named.opened_by or named.part_of
        return self.field(first) if first is not None and first not in answers else named

    def parsed(self, asked: Field, text: str, answers: Answers) -> Answers:
        others = asked.others(answers)
        return asked.parse(typed_choice(asked, Said(text=text), others, self.context), others, self.context)

    def with_words(self, progress: Progress, words: str) -> tuple[Progress, Text | None]:
        """Words under no name belong to the task."""
        try:
            if TASK in progress.answers:
                task = longer_task(progress.answers[TASK], words)
                answers = {**progress.answers, TASK: task, _TASK_AT: self.context.now.isoformat()}
                note = _("Дописали в задачу: «{words}».", words=shortened(words))
                return replace(progress, answers=answers), note
            asked = self.asked_for(self.field(TASK), progress.answers)
            return self.take(progress, asked, self.parsed(asked, words, progress.answers)), None
        except AnswerError as error:
            return progress, error.text

    def without_asking_for_files(self, progress: Progress) -> Progress:
        """A letter has its files with it: asking for them would cost another one."""
        if not self.context.asks_at_once or FILES in progress.answers:
            return progress
        return replace(progress, answers={**progress.answers, FILES: progress.answers.get(_FILES, "[]")})

    def take(self, progress: Progress, asked: Field, filled: Answers) -> Progress:
        answers = dict(progress.answers)
        if asked.name in filled:
            answers = {name: value for name, value in answers.items() if name not in asked.replaces()}
        answers |= filled
        if TASK in filled:
            answers[_TASK_AT] = self.context.now.isoformat()
        if _FILES in filled and FILES in answers:
            answers[FILES] = filled[_FILES]
        return _turned(replace(progress, answers=answers))

    def is_more_of_task(self, progress: Progress, error: AnswerError) -> bool:
        """Whether words that do not answer the question belong to the task before it."""
        if TASK not in progress.answers:
            return False
        if progress.asking == FILES:
            return True
        written = progress.answers.get(_TASK_AT)
        breath = timedelta(seconds=SAME_BREATH_SECONDS)
        if written is None:
            return False
        passed = self.context.now - datetime.fromisoformat(written)
        # Of what arrived together nobody has seen the next question; a moment later somebody may have.
        return not passed or (error.unrecognised and passed <= breath)

    def add_to_task(self, progress: Progress, text: str, note: Text | None = None) -> Turn:
        """Nothing typed is lost, and the client sees where it went."""
        task = longer_task(progress.answers[TASK], text)
        answers = {**progress.answers, TASK: task, _TASK_AT: self.context.now.isoformat()}
        told = lines(note, _("Дописали в задачу: «{words}».", words=shortened(text)))
        turn = self.shown(_turned(replace(progress, answers=answers)), told)
        return replace(turn, field=TASK)

    def to_next(self, progress: Progress) -> Progress:
        """Ask for the first answer that is missing; without one, show the summary."""
        missing = self.missing(progress.answers)
        return replace(progress, asking=missing or SUMMARY, editing=progress.editing and missing is not None)

    def missing(self, answers: Answers) -> str | None:
        return next((f.name for f in self.form if f.name not in answers and f.asked_if(answers)), None)

    def is_asked(self, progress: Progress) -> bool:
        """Whether this form can stand there: at its first open question, or at one that has an answer."""
        missing = self.missing(progress.answers)
        if progress.asking in (SUMMARY, EDIT):
            return missing is None
        answered = {
            f.name
            for f in self.form
            if f.asked_if(progress.answers) and {f.name, f.part_of or f.name} <= progress.answers.keys()
        }
        return progress.asking == missing or progress.asking in answered

    def placed(self, progress: Progress) -> Progress:
        """A draft of last month may stand at a question that is not asked any more."""
        return progress if self.is_asked(progress) else self.to_next(_turned(progress))

    def field(self, name: str) -> Field:
        return next(field for field in self.form if field.name == name)

    # --- files

    def with_files(self, progress: Progress, said: Said) -> Turn:
        """Keep good files whatever the question was; refused ones are named with the reason."""
        progress, note, refused = self.attach(progress, said.files)
        if said.group_id and progress.answers.get(_ALBUM) == said.group_id:
            turn = self.rest_of_album(progress, said, note)
        else:
            turn = self.captioned(progress, replace(said, press=None), note)
        if said.group_id and turn.field is not None:
            turn = _with_album(turn, said.group_id, said.text)
        merge_seconds = ALBUM_SECONDS if said.group_id else 0.0
        merged = tuple(
            replace(reply, prompt=reply.prompt and not refused, merge_seconds=merge_seconds)
            for reply in turn.replies
        )
        return replace(turn, replies=merged)

    def captioned(self, progress: Progress, said: Said, note: Text | None) -> Turn:
        has_words = bool(said.text.strip())
        if labelled(said.text, self.form).is_meant:
            return self.answer(progress, said, note)
        if has_words and progress.asking in (FILES, SUMMARY, EDIT):
            return self.answer_with_caption(progress, said, note)
        if has_words or (progress.asking == TASK and any(file.refusal is None for file in said.files)):
            return self.answer(progress, said, note)
        return self.shown(progress, note)

    def rest_of_album(self, progress: Progress, said: Said, note: Text | None) -> Turn:
        """The album has answered already: its other words belong to the task, wherever the form is now."""
        words = said.text.strip()
        if not words or words == progress.answers.get(_CAPTION) or TASK not in progress.answers:
            return self.shown(progress, note)
        return self.answer_with_caption(progress, said, note)

    def answer_with_caption(self, progress: Progress, said: Said, note: Text | None) -> Turn:
        try:
            return self.add_to_task(progress, said.text, note)
        except AnswerError as error:
            return self.shown(progress, lines(note, error.text))

    def attach(
        self, progress: Progress, files: tuple[ReceivedFile, ...]
    ) -> tuple[Progress, Text | None, bool]:
        kept = list(files_from_text(progress.answers.get(_FILES, "")))
        known = {file.sha256 for file in kept}
        refusals = [file.refusal for file in files if file.refusal is not None]
        added: list[AttachedFile] = []
        for file in files:
            if file.refusal is not None or file.sha256 in known:
                continue
            if len(kept) == MAX_FILES:
                refusals.append(
                    _("«{name}» не приложен: в заявке уже {count} файлов.", name=file.name, count=MAX_FILES)
                )
                continue
            known.add(file.sha256)
            added.append(AttachedFile(file.sha256, file.name, file.size_bytes, file.media_type))
            kept.append(added[-1])
        if added:
            answers = {**progress.answers, _FILES: files_to_text(tuple(kept))}
            if FILES in answers:
                answers[FILES] = answers[_FILES]
            progress = replace(progress, answers=answers)
        told: list[Text] = []
        if added and progress.asking != FILES:
            told.append(_("Приложили: {files}.", files=show_files(files_to_text(tuple(added)), self.context)))
        if not added and not refusals:
            told.append(_("Этот файл уже приложен."))
        return progress, lines(*told, *refusals) if told or refusals else None, bool(refusals)

    # --- summary and changes

    def at_summary(self, progress: Progress, said: Said, note: Text | None) -> Turn:
        match said.press.value if said.press else None:
            case value if value == EDIT:
                changed = _turned(replace(progress, asking=EDIT))
                return self.shown(changed)
            case value if value == SEND:
                return self.submit(progress)
            case None:
                return self.words_at_summary(progress, said, note)
            case _:
                return self.shown(progress, note)

    def words_at_summary(self, progress: Progress, said: Said, note: Text | None) -> Turn:
        """Assent, an objection or a correction; all other words belong to the task."""
        if is_assent(said.text):
            return self.submit(progress)
        change = self.wanted(progress, said)
        if change is not None:
            return self.change(progress, change, note)
        if is_objection(said.text):
            return self.shown(_turned(replace(progress, asking=EDIT)), note)
        if not loosely(said.text):
            return self.shown(progress, note)
        return self.add_to_task(progress, said.text, note)

    def wanted(self, progress: Progress, said: Said, *, asked: bool = False) -> Change | None:
        return (
            None if said.press else wanted(said.text, self.form, progress.answers, self.context, asked=asked)
        )

    def change(self, progress: Progress, change: Change, note: Text | None = None) -> Turn:
        """Take a correction; without a new answer, or with a wrong one, ask for it."""
        is_ready = progress.asking in (SUMMARY, EDIT)
        moved = self.go_to(replace(progress, editing=progress.editing or is_ready), change.name)
        if not change.answer:
            return self.shown(moved, note)
        asked = self.field(change.name)
        try:
            filled = self.parsed(asked, change.answer, moved.answers)
        except AnswerError as error:
            return self.shown(replace(moved, failures=1), lines(note, error.text))
        taken = self.take(moved, asked, filled)
        if asked.name not in filled:
            return self.shown(taken, note)
        shown = _("{title}: {value}", title=asked.title, value=asked.show(filled[asked.name], self.context))
        following = self.to_next(taken)
        # The question for files begins with the deadline.
        is_seen = change.name == DEADLINE and following.asking == FILES
        told = None if is_seen else _("Поправили: {values}", values=shown)
        turn = self.shown(following, lines(note, told) if note or told else None)
        return replace(turn, field=asked.name)

    def submit(self, progress: Progress) -> Turn:
        answers = {f.name: progress.answers[f.name] for f in self.form if f.asked_if(progress.answers)}
        for asked in self.form:
            reason = asked.stale(answers[asked.name], self.context) if asked.name in answers else None
            if reason is not None:
                late = self.to_next(_turned(replace(progress, answers=asked.others(progress.answers))))
                return self.shown(late, reason)
        return Turn(_turned(progress), (), Outcome.SUBMITTED, answers)

    def pick(self, progress: Progress, said: Said) -> Turn:
        names = {choice.value for choice in self.editable(progress.answers)}
        if said.press and said.press.value in names:
            return self.change(progress, Change(said.press.value))
        if is_command_to_send(said.text):
            return self.submit(progress)
        change = self.wanted(progress, said, asked=True)
        if change is not None:
            return self.change(progress, change)
        if is_assent(said.text) or loosely(said.text) in _NOTHING_TO_CHANGE:
            return self.shown(self.to_next(_turned(progress)))
        raise AnswerError(
            _("Нажмите, что изменить, или напишите, например: «срок до пятницы». Вернуться — «Назад».")
        )

    def editable(self, answers: Answers) -> tuple[Choice, ...]:
        return tuple(Choice(f.name, f.title) for f in self.form if f.part_of is None and f.asked_if(answers))

    # --- moving about

    def go_to(self, progress: Progress, name: str) -> Progress:
        """Ask a question again; its answer stays until a new one comes."""
        notes = {key for key in self.field(name).replaces() if key.startswith("_")}
        answers = {key: value for key, value in progress.answers.items() if key not in notes}
        return _turned(replace(progress, answers=answers, asking=name))

    def back(self, progress: Progress) -> Turn:
        if progress.asking == EDIT or (progress.editing and self.missing(progress.answers) is None):
            return self.shown(self.to_next(_turned(progress)))
        earlier = self.earlier(progress)
        if earlier is None:
            return self.shown(progress, _("Это первый вопрос."))
        return self.shown(self.go_to(progress, earlier))

    def earlier(self, progress: Progress) -> str | None:
        asked = [f for f in self.form if f.asked_if(progress.answers)]
        names = [f.name for f in asked]
        position = len(names) if progress.asking == SUMMARY else names.index(progress.asking)
        before = [f.name for f in asked[:position] if f.part_of is None]
        return before[-1] if before else None

    def cancel(self, progress: Progress) -> Turn:
        stopped = _turned(replace(progress, cancelled=True))
        return Turn(stopped, (_cancelled_screen(stopped),), Outcome.CANCELLED)

    def after_cancel(self, progress: Progress, said: Said) -> Turn:
        restores = said.press is not None and said.press.scope == FORM_SCOPE and said.press.target == RESTORE
        if restores or is_restore_word(said.text):
            restored = self.placed(_turned(replace(progress, cancelled=False)))
            return self.shown(restored, _("Вернули заявку."))
        return Turn(progress, (_cancelled_screen(progress),))

    # --- screens

    def shown(self, progress: Progress, note: Text | None = None) -> Turn:
        return Turn(progress, (self.screen(progress, note),))

    def screen(self, progress: Progress, note: Text | None = None) -> Reply:
        if progress.cancelled:
            return _cancelled_screen(progress)
        text = lines(note, *self.question(progress), _another_way(progress))
        return Reply(text, (*self.rows(progress), *_nav_rows(progress)), prompt=True)

    def problem(self, progress: Progress, text: Text) -> Reply:
        """Say what is wrong with this answer; the question itself is still in sight."""
        return replace(self.screen(progress), text=lines(text, _another_way(progress)))

    def question(self, progress: Progress) -> tuple[Text | None, ...]:
        if progress.asking == SUMMARY:
            return (_("Проверьте заявку:"), *summary_lines(progress.answers, self.context, self.form))
        if progress.asking == EDIT:
            return (_("Что изменить?"),)
        blank = self.blank(progress)
        if blank is not None:
            return (*summary_lines(progress.answers, self.context, self.form), blank)
        asked = self.field(progress.asking)
        present = None if asked.shows_itself else self.present(asked, progress.answers)
        return (present, asked.question(asked.others(progress.answers), self.context))

    def blank(self, progress: Progress) -> Text | None:
        """Everything that is missing, to be filled in at once; None where one question is enough."""
        if (
            not self.context.asks_at_once
            or progress.editing
            or progress.asking != self.missing(progress.answers)
        ):
            return None
        names = self.blanks(progress.answers)
        if len(names) < FEWEST_BLANKS:
            return None
        return lines(
            _("Ответьте на это письмо: впишите ответы после двоеточий."),
            "",
            *self.blank_lines(names),
        )

    def blank_lines(self, names: tuple[str, ...]) -> tuple[Text | str, ...]:
        return (
            *(_("{title}:", title=self.field(name).title) for name in names),
            "",
            _("Файлы приложите к ответу. Можно написать и просто своими словами."),
        )

    def blanks(self, answers: Answers) -> tuple[str, ...]:
        """Fields that a letter can answer; not those whose answer is found in the words for another one."""
        missing = [f for f in self.form if f.name not in answers and f.asked_if(answers) and f.name != FILES]
        openers = {f.opened_by for f in missing}
        # A part is asked for when the rest of its whole is known.
        return tuple(
            f.name for f in missing if f.name not in openers and (f.part_of is None or f.part_of in answers)
        )

    def present(self, asked: Field, answers: Answers) -> Text | None:
        """The answer that stays unless another one is given."""
        if asked.name not in answers:
            return None
        shown = (
            f.show(answers[f.name], self.context)
            for f in self.form
            if f.name in asked.replaces() and f.name in answers
        )
        return _("Сейчас: {value}", value=listed(*shown))

    def choices(self, progress: Progress) -> tuple[Choice, ...]:
        if progress.asking == SUMMARY:
            return _SUMMARY_CHOICES
        if progress.asking == EDIT:
            return self.editable(progress.answers)
        asked = self.field(progress.asking)
        own = asked.choices(asked.others(progress.answers), self.context)
        keeps = asked.name in progress.answers and not asked.shows_itself
        return (*own, _KEEP_CHOICE) if keeps else own

    def rows(self, progress: Progress) -> tuple[tuple[Button, ...], ...]:
        if self.blank(progress) is not None and progress.asking not in self.blanks(progress.answers):
            return ()
        at_field = progress.asking not in (SUMMARY, EDIT)
        per_row = self.field(progress.asking).choices_per_row if at_field else 2
        buttons = [
            Button(
                choice.label,
                str(Press(FORM_SCOPE, progress.asking, choice.value, progress.revision)),
                choice.synonyms,
            )
            for choice in self.choices(progress)
        ]
        return tuple(tuple(buttons[start : start + per_row]) for start in range(0, len(buttons), per_row))


# --- pieces ------------------------------------------------------------------------------------


def _turned(progress: Progress) -> Progress:
    """The screen changes: its buttons get a new revision, failures are forgotten."""
    return replace(progress, revision=progress.revision + 1, failures=0)


def _with_album(turn: Turn, group_id: str, caption: str) -> Turn:
    answers = {**turn.progress.answers, _ALBUM: group_id, _CAPTION: caption.strip()}
    return replace(turn, progress=replace(turn.progress, answers=answers))


_GREETING = re.compile(
    r"(?:здравствуйте|здравствуй|добрый\s+(?:день|вечер)|доброе\s+утро|доброго\s+(?:дня|времени\s+суток)|"
    r"привет|приветствую|уважаем\w+|hello|hi|dear|спасибо|благодарю)\b",
    re.IGNORECASE,
)
_WORDS_OF_A_GREETING = 4


def _without_courtesy(text: str) -> str:
    """Words without the lines that only greet or thank."""
    return "\n".join(
        line
        for line in text.splitlines()
        if not (_GREETING.match(line.strip()) and len(line.split()) <= _WORDS_OF_A_GREETING)
        and loosely(line) not in SMALL_TALK
    ).strip()


def _another_way(progress: Progress) -> Text | None:
    if progress.failures < FAILURES_BEFORE_ANOTHER_WAY:
        return None
    return _("Не получается? Ответьте «Позвать человека», поможем.")


def _nav_of(said: Said) -> Nav | None:
    if said.press:
        return (
            Nav(said.press.target)
            if said.press.scope == NAV_SCOPE and said.press.target in set(Nav)
            else None
        )
    return nav_word(said.text) if said.text and not said.files else None


def _is_current(press: Press, progress: Progress) -> bool:
    """Whether the button belongs to what is asked now."""
    moves = press.scope == NAV_SCOPE and press.target in (Nav.BACK, Nav.CANCEL)
    answers = press.scope == FORM_SCOPE and press.target == progress.asking
    return press.revision == progress.revision and (moves or answers)


def _typed(choices: tuple[Choice, ...], asking: str, said: Said) -> Said:
    """Read a typed label or synonym as a press of its button."""
    word = loosely(said.text)
    if said.press or not word:
        return said
    for choice in choices:
        # A company's name is a label that is nobody's sentence: it stands among the values.
        label = str(choice.label.params.get("value", choice.label.msgid))
        if word in {loosely(label), *map(loosely, choice.synonyms)}:
            return replace(said, press=Press(FORM_SCOPE, asking, choice.value))
    return said


def typed_choice(asked: Field, said: Said, answers: Answers, context: FormContext) -> Said:
    """Read the label of one of the question's own buttons, typed out, as its press."""
    return _typed(asked.choices(answers, context), asked.name, said)


def _cancelled_screen(progress: Progress) -> Reply:
    restore = str(Press(FORM_SCOPE, RESTORE, "", progress.revision))
    rows = (
        (
            Button(_("Вернуть"), restore, _RESTORE_WORDS),
            Button(_("Новая заявка"), str(Press(NAV_SCOPE, Nav.NEW))),
        ),
        (Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN))),),
    )
    return Reply(_("Заявку отменили, бухгалтеру ничего не ушло. Её можно вернуть."), rows, prompt=True)


def _nav_rows(progress: Progress) -> tuple[tuple[Button, ...], ...]:
    cancel = Button(_("Отмена"), str(Press(NAV_SCOPE, Nav.CANCEL, "", progress.revision)))
    back = Button(_("Назад"), str(Press(NAV_SCOPE, Nav.BACK, "", progress.revision)))
    human = Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN)))
    return ((back, cancel), (human,))
