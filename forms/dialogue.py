"""The conversation that fills the form: one message in, the next screen out. No input or output here.

`advance` is a function of its arguments. Whoever calls it keeps `Progress` between messages and
fetches what `FormContext` needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from forms.answers import AnswerError
from forms.deadline import from_text
from forms.fields import (
    Answers,
    AttachedFile,
    Choice,
    Field,
    FormContext,
    ReceivedFile,
    Said,
    files_from_text,
    files_to_text,
)
from forms.messages import Button, Press, Reply, loosely
from forms.request_form import BY_NAME, FORM, show_files, summary_lines
from forms.texts import Text, _, lines

SUMMARY = "~summary"
EDIT = "~edit"
SEND = "~send"
FIELD = "~field"
RESTORE = "~restore"

_BEFORE = "_before"

FORM_SCOPE = "form"
NAV_SCOPE = "nav"

MAX_FILES = 50
ALBUM_SECONDS = 1.2
"""How long an answer waits for the rest of an album; messengers give no end mark."""

FAILURES_BEFORE_ANOTHER_WAY = 2


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


NAV_WORDS: Mapping[str, Nav] = MappingProxyType(
    {
        loosely(word): nav
        for nav, words in (
            (Nav.BACK, ("Назад", "Back", "вернуться", "шаг назад")),
            (Nav.CANCEL, ("Отмена", "/cancel", "Cancel", "отменить", "стоп", "не надо ничего")),
            (
                Nav.HUMAN,
                (
                    "Позвать человека", "/human", "человек", "человека", "оператор", "оператора", "человека позовите",
                    "позовите человека", "живой человек", "бухгалтера", "позовите бухгалтера", "Call a person",
                    "нужен человек", "свяжите с человеком", "позови человека", "хочу поговорить с человеком",
                ),
            ),
            (Nav.NEW, ("Новая заявка", "/new", "New request", "новая", "еще заявка")),
            (Nav.MINE, ("Мои заявки", "My requests", "/mine")),
            (Nav.STATUS, ("/status", "статус", "как дела", "что с заявкой", "где моя заявка", "как моя заявка")),
            (Nav.HELP, ("/help", "помощь", "help", "что ты умеешь", "справка")),
            (Nav.START, ("/start", "старт", "начать", "start")),
        )
        for word in words
    }
)  # fmt: skip

SMALL_TALK = frozenset(
    loosely(word)
    for word in (
        "здравствуйте", "добрый день", "доброе утро", "добрый вечер", "привет", "приветствую", "доброго дня",
        "спасибо", "благодарю", "спасибо большое", "большое спасибо", "ок", "окей", "хорошо", "понятно", "ясно",
        "hello", "hi", "thanks", "thank you", "ok", "спс",
    )
)  # fmt: skip


def nav_word(text: str) -> Nav | None:
    """Whether these words ask for something that is possible at any moment."""
    return NAV_WORDS.get(loosely(text))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the form is. `asking` is a field's name, SUMMARY or EDIT; `answers` whose names begin
    with an underscore are notes of the dialogue itself and never leave it."""

    answers: Answers = field(default_factory=dict)
    asking: str = "inn"
    revision: int = 1
    failures: int = 0
    editing: bool = False
    cancelled: bool = False

    def complete(self) -> Answers:
        """The answers of a finished form, without the dialogue's own notes."""
        return {name: value for name, value in self.answers.items() if not name.startswith("_")}


class Outcome(StrEnum):
    """What the turn led to."""

    GOING = "going"
    SUBMITTED = "submitted"
    CANCELLED = "cancelled"
    HUMAN = "human"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one message changed and what is answered. On SUBMITTED, `progress.complete()` is the form."""

    progress: Progress
    replies: tuple[Reply, ...]
    outcome: Outcome = Outcome.GOING


def begin(context: FormContext, answers: Answers | None = None, revision: int = 1) -> Progress:
    """A fresh form; who represents one company only is not asked which."""
    known = dict(answers or {})
    if "inn" not in known and len(context.companies) == 1:
        known |= {"inn": context.companies[0].inn, "company": context.companies[0].name}
    return _ask_next(Progress(known, revision=revision))


def screen(progress: Progress, context: FormContext, note: Text | None = None) -> Reply:
    """The current question with its buttons; `note` says before it what has just happened."""
    if progress.cancelled:
        return _cancelled_screen(progress)
    match progress.asking:
        case name if name == SUMMARY:
            text = lines(note, _("Проверьте заявку:"), *summary_lines(progress.answers, context))
            rows = _rows(_SUMMARY_CHOICES, SUMMARY, progress, 2)
        case name if name == EDIT:
            text = lines(note, _("Что изменить?"))
            rows = _rows(_editable(progress.answers), FIELD, progress, 2)
        case name:
            asked = BY_NAME[name]
            text = lines(note, asked.question(progress.answers, context))
            rows = _rows(asked.choices(progress.answers, context), name, progress, asked.choices_per_row)
    if progress.failures >= FAILURES_BEFORE_ANOTHER_WAY:
        text = lines(text, _("Не получается? Нажмите «Позвать человека», поможем."))
    return Reply(text, (*rows, *_nav_rows(progress)), prompt=True)


def advance(progress: Progress, said: Said, context: FormContext) -> Turn:
    """Take one message into the form. Whatever was said gets an answer."""
    if progress.cancelled:
        return _after_cancel(progress, said, context)
    nav = _nav_of(said)
    if nav is Nav.HUMAN:
        return Turn(progress, (), Outcome.HUMAN)
    if said.press and said.press.revision != progress.revision:
        return _again(progress, context, _("Эта кнопка уже не действует. Сейчас вопрос такой."))
    if nav is Nav.BACK:
        return _back(progress, context)
    if nav is Nav.CANCEL:
        return _cancel(progress)
    if said.other:
        note = _("Это ({what}) передать не получится. Ответьте, пожалуйста, словами или кнопкой.", what=said.other)
        return _again(progress, context, note)
    if said.contact:
        said = replace(said, text=said.text or said.contact.phone)
    if said.files:
        return _with_files(progress, said, context)
    if not said.press and loosely(said.text) in SMALL_TALK:
        return _again(progress, context, None)
    return _answer(progress, said, context, None)


def parse_one(name: str, said: Said, answers: Answers, context: FormContext) -> Answers:
    """Answer one field alone, with its own validator: what a clarification asks for.

    Raises AnswerError. Other answers are left as they are.
    """
    asked = BY_NAME[name]
    rest = {key: value for key, value in answers.items() if key not in asked.forgets()}
    filled = dict(asked.parse(said, rest, context))
    if name == "inn" and "inn" in filled:
        filled.setdefault("company", answers.get("company", ""))
    return {key: value for key, value in filled.items() if not key.startswith("_")}


# --- answers -----------------------------------------------------------------------------------


def _answer(progress: Progress, said: Said, context: FormContext, note: Text | None) -> Turn:
    if progress.asking == SUMMARY:
        return _at_summary(progress, said, context, note)
    if progress.asking == EDIT:
        return _pick_field(progress, said, context)
    if said.press and said.press.target != progress.asking:
        return _again(progress, context, _("Эта кнопка уже не действует. Сейчас вопрос такой."))
    asked = BY_NAME[progress.asking]
    said = _typed_choice(asked, said, progress.answers, context)
    try:
        filled = asked.parse(said, progress.answers, context)
    except AnswerError as error:
        failed = replace(progress, failures=progress.failures + 1)
        return Turn(failed, (_problem(failed, context, lines(note, error.text)),))
    moved = _ask_next(_take(progress, asked, filled))
    return Turn(moved, (screen(moved, context, note),))


def _typed_choice(asked: Field, said: Said, answers: Answers, context: FormContext) -> Said:
    """Read a typed synonym of a button as a press of it."""
    if said.press or not said.text:
        return said
    word = loosely(said.text)
    for choice in asked.choices(answers, context):
        if word in {loosely(synonym) for synonym in choice.synonyms}:
            return replace(said, press=Press(FORM_SCOPE, asked.name, choice.value))
    return said


def _take(progress: Progress, asked: Field, filled: Answers) -> Progress:
    answers = dict(progress.answers)
    if asked.name in filled:
        for name in asked.forgets():
            answers.pop(name, None)
    answers |= filled
    if "goods" in answers and not BY_NAME["goods"].asked_if(answers):
        del answers["goods"]
    return replace(progress, answers=answers, failures=0, revision=progress.revision + 1)


def _missing(answers: Answers) -> str | None:
    return next((f.name for f in FORM if f.name not in answers and f.asked_if(answers)), None)


def _ask_next(progress: Progress) -> Progress:
    missing = _missing(progress.answers)
    if missing is not None:
        return replace(progress, asking=missing)
    answers = {name: value for name, value in progress.answers.items() if name != _BEFORE}
    return replace(progress, answers=answers, asking=SUMMARY, editing=False)


def _again(progress: Progress, context: FormContext, note: Text | None) -> Turn:
    return Turn(progress, (screen(progress, context, note),))


def _problem(progress: Progress, context: FormContext, text: Text) -> Reply:
    """Say what is wrong with this answer and keep the buttons; the question itself is still in sight."""
    shown = screen(progress, context)
    if progress.failures >= FAILURES_BEFORE_ANOTHER_WAY:
        text = lines(text, _("Не получается? Нажмите «Позвать человека», поможем."))
    return replace(shown, text=text)


# --- files -------------------------------------------------------------------------------------


def _with_files(progress: Progress, said: Said, context: FormContext) -> Turn:
    """Keep good files whatever the question was; refused ones are named with the reason."""
    progress, note, refused = _attach(progress, said.files)
    asking = progress.asking
    if asking == "files" or (asking in (SUMMARY, EDIT) and not said.text):
        turn = Turn(progress, (screen(progress, context, note),))
    elif asking == "task" and not said.text and not any(file.refusal is None for file in said.files):
        turn = Turn(progress, (_problem(progress, context, note or _("Файл не получен.")),))
    elif said.text or asking == "task":
        turn = _answer(progress, replace(said, press=None), context, note)
    else:
        turn = Turn(progress, (screen(progress, context, note),))
    merged = tuple(
        replace(reply, prompt=reply.prompt and not refused, merge_seconds=ALBUM_SECONDS if said.group_id else 0.0)
        for reply in turn.replies
    )
    return replace(turn, replies=merged)


def _attach(progress: Progress, files: tuple[ReceivedFile, ...]) -> tuple[Progress, Text | None, bool]:
    kept = list(files_from_text(progress.answers.get("_files", "")))
    known = {file.sha256 for file in kept}
    refusals = [file.refusal for file in files if file.refusal is not None]
    added: list[AttachedFile] = []
    for file in files:
        if file.refusal is not None or file.sha256 in known:
            continue
        if len(kept) >= MAX_FILES:
            refusals.append(_("Файл «{name}» не приложен: в заявке уже {count} файлов.", name=file.name, count=MAX_FILES))
            continue
        known.add(file.sha256)
        added.append(AttachedFile(file.sha256, file.name, file.size_bytes, file.media_type))
        kept.append(added[-1])
    if added:
        answers = {**progress.answers, "_files": files_to_text(tuple(kept))}
        if "files" in answers:
            answers["files"] = answers["_files"]
        progress = replace(progress, answers=answers)
    note = _files_note(progress, added, files, refusals)
    return progress, note, bool(refusals)


def _files_note(
    progress: Progress, added: list[AttachedFile], files: tuple[ReceivedFile, ...], refusals: list[Text]
) -> Text | None:
    told: list[Text] = []
    if added and progress.asking != "files":
        told.append(_("Приложили: {files}.", files=_short(added)))
    if not added and not refusals and files:
        told.append(_("Этот файл уже приложен."))
    return lines(*told, *refusals) if told or refusals else None


def _short(files: list[AttachedFile]) -> Text:
    return show_files(files_to_text(tuple(files)), None)  # type: ignore[arg-type]  # sizes need no context


# --- summary and changes -----------------------------------------------------------------------

_SUMMARY_CHOICES = (
    Choice(SEND, _("Отправить"), ("да", "верно", "отправляй", "отправляйте", "всё верно", "send", "yes")),
    Choice(EDIT, _("Изменить"), ("нет", "исправить", "поправить", "edit", "change")),
)


def _editable(answers: Answers) -> tuple[Choice, ...]:
    return tuple(
        Choice(field.name, field.title) for field in FORM if field.part_of is None and field.asked_if(answers)
    )


def _at_summary(progress: Progress, said: Said, context: FormContext, note: Text | None) -> Turn:
    value = said.press.value if said.press else _synonym(_SUMMARY_CHOICES, said.text)
    if value == EDIT:
        changed = replace(progress, asking=EDIT, revision=progress.revision + 1)
        return Turn(changed, (screen(changed, context),))
    if value == SEND:
        return _submit(progress, context)
    if not said.text.strip():
        return _again(progress, context, note)
    # Free words at the summary are an addition: nothing typed is lost, and the client sees it at once.
    added = {**progress.answers, "task": f"{progress.answers['task']}\n{said.text.strip()}"}
    changed = replace(progress, answers=added, revision=progress.revision + 1)
    return Turn(changed, (screen(changed, context, lines(note, _("Дописали в задачу."))),))


def _submit(progress: Progress, context: FormContext) -> Turn:
    if from_text(progress.answers["deadline"]).at <= context.now:
        answers = {name: value for name, value in progress.answers.items() if name != "deadline"}
        late = _ask_next(replace(progress, answers=answers, revision=progress.revision + 1))
        return Turn(late, (screen(late, context, _("Пока заявка ждала, её срок прошёл.")),))
    return Turn(replace(progress, revision=progress.revision + 1), (), Outcome.SUBMITTED)


def _pick_field(progress: Progress, said: Said, context: FormContext) -> Turn:
    choices = _editable(progress.answers)
    name = said.press.value if said.press else _synonym(choices, said.text)
    if name not in {choice.value for choice in choices}:
        return _again(progress, context, _("Выберите, что изменить."))
    asked = BY_NAME[name]
    kept = {
        key: value for key, value in progress.answers.items() if key not in asked.forgets()
    }
    changed = replace(
        progress, answers=kept, asking=name, editing=True, revision=progress.revision + 1, failures=0
    )
    before = {_BEFORE: _remember(progress.answers, asked)}
    changed = replace(changed, answers={**kept, **before})
    return Turn(changed, (screen(changed, context),))


def _remember(answers: Answers, asked: Field) -> str:
    """Keep the replaced answers until the new one comes, so that «Назад» gives them back."""
    return "\x1e".join(f"{name}\x1f{answers[name]}" for name in asked.forgets() if name in answers)


def _recalled(answers: Answers) -> dict[str, str]:
    rest = dict(answers)
    before = rest.pop(_BEFORE, "")
    pairs = (item.split("\x1f", 1) for item in before.split("\x1e") if item)
    return rest | {name: value for name, value in pairs}  # noqa: C416 - pairs are lists


def _synonym(choices: tuple[Choice, ...], text: str) -> str:
    word = loosely(text)
    for choice in choices:
        if word and word in {loosely(choice.label.msgid), *(loosely(item) for item in choice.synonyms)}:
            return choice.value
    return ""


# --- moving about ------------------------------------------------------------------------------


def _nav_of(said: Said) -> Nav | None:
    if said.press:
        return Nav(said.press.target) if said.press.scope == NAV_SCOPE and said.press.target in set(Nav) else None
    return nav_word(said.text) if said.text and not said.files else None


def _back(progress: Progress, context: FormContext) -> Turn:
    if progress.asking == EDIT or progress.editing:
        moved = replace(progress, answers=_recalled(progress.answers), editing=False)
        moved = _ask_next(replace(moved, revision=progress.revision + 1, failures=0))
        return Turn(moved, (screen(moved, context),))
    names = [field.name for field in FORM if field.asked_if(progress.answers)]
    position = len(names) if progress.asking == SUMMARY else names.index(progress.asking)
    earlier = [name for name in names[:position] if BY_NAME[name].part_of is None]
    if not earlier:
        return _again(progress, context, _("Это первый вопрос."))
    dropped = BY_NAME[earlier[-1]].forgets()
    answers = {name: value for name, value in progress.answers.items() if name not in dropped}
    moved = replace(progress, answers=answers, asking=earlier[-1], revision=progress.revision + 1, failures=0)
    return Turn(moved, (screen(moved, context),))


def _cancel(progress: Progress) -> Turn:
    stopped = replace(progress, cancelled=True, revision=progress.revision + 1)
    return Turn(stopped, (_cancelled_screen(stopped),), Outcome.CANCELLED)


def _cancelled_screen(progress: Progress) -> Reply:
    rows = (
        (
            Button(_("Вернуть"), str(Press(FORM_SCOPE, RESTORE, "", progress.revision)), ("вернуть черновик", "restore")),
            Button(_("Новая заявка"), str(Press(NAV_SCOPE, Nav.NEW))),
        ),
    )
    return Reply(_("Заявку отменили, бухгалтеру ничего не ушло. Её можно вернуть."), rows, prompt=True)


def _after_cancel(progress: Progress, said: Said, context: FormContext) -> Turn:
    restores = said.press and said.press.target == RESTORE or loosely(said.text) in ("вернуть", "вернуть черновик")
    if restores:
        back = replace(progress, cancelled=False, revision=progress.revision + 1)
        return Turn(back, (screen(back, context, _("Вернули заявку.")),))
    return Turn(progress, (_cancelled_screen(progress),))


def _rows(choices: tuple[Choice, ...], target: str, progress: Progress, per_row: int) -> tuple[tuple[Button, ...], ...]:
    buttons = [
        Button(
            choice.label, str(Press(FORM_SCOPE, target, choice.value, progress.revision)), choice.synonyms
        )
        for choice in choices
    ]
    return tuple(tuple(buttons[start : start + per_row]) for start in range(0, len(buttons), per_row))


def _nav_rows(progress: Progress) -> tuple[tuple[Button, ...], ...]:
    cancel = Button(_("Отмена"), str(Press(NAV_SCOPE, Nav.CANCEL, "", progress.revision)))
    back = Button(_("Назад"), str(Press(NAV_SCOPE, Nav.BACK, "", progress.revision)))
    human = Button(_("Позвать человека"), str(Press(NAV_SCOPE, Nav.HUMAN)))
    return ((back, cancel), (human,))
