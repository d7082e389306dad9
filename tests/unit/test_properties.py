"""What holds for every conversation, whatever people send."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stdnum.ru import inn as registry_inn

from forms.deadline import from_text
from forms.dialogue import (
    EDIT,
    FORM_SCOPE,
    NAV_SCOPE,
    SUMMARY,
    Nav,
    Outcome,
    Progress,
    Turn,
    advance,
    begin,
    screen,
)
from forms.fields import Company, FormContext, ReceivedFile, Said, files_from_text
from forms.kinds import BY_CODE, KINDS
from forms.messages import MAX_PRESS_BYTES, Press
from forms.request_form import FORM
from forms.texts import plain
from router.worktime import WorkCalendar, parse_hours
from tests.client import MOSCOW, Town

CALENDAR = WorkCalendar(MOSCOW, *parse_hours("09:00-18:00"))
NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
COMPANIES = (Company("7707083893", "ООО «Ромашка»"), Company("500100732259", "ИП Кузнецова"))
CONTEXT = FormContext(NOW, CALENDAR, "Баланс Актив", "+7 495 000-00-00")

FIELD_NAMES = [field.name for field in FORM]
SENSIBLE = [
    "7707083893", "7707083893 Ромашка", "500100732259", "ООО «Василёк»", "Ромашка", "Оплатить счёт",
    "накладная", "нужно сдать отчёт по УСН за год", "ООО Свет, 500 ₽", "Бумага А4; 10; 350",
    "Бумага; много; 5", "завтра", "вчера", "до пятницы", "срочно", "Готово", "Пропустить", "Отправить",
    "Изменить", "Срок", "Вид работ", "Файлы", "Товары", "Компания и ИНН", "Что сделать", "Назад", "Отмена",
    "Вернуть", "Оставить", "Другая компания", "спасибо", "да", "нет", "Позвать человека",
]  # fmt: skip
FILES = st.lists(
    st.builds(
        ReceivedFile,
        sha256=st.sampled_from(["a" * 64, "b" * 64, "c" * 64]),
        name=st.sampled_from(["счёт.pdf", "{name}.pdf", "фото.png"]),
        size_bytes=st.integers(0, 10**9),
        media_type=st.just("application/pdf"),
        refusal=st.none() | st.just(plain("Файл не принят.")),
        is_voice=st.booleans(),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
SCOPES = st.sampled_from([FORM_SCOPE, FORM_SCOPE, NAV_SCOPE, "req"])
TARGETS = st.sampled_from([*FIELD_NAMES, SUMMARY, EDIT, *Nav, "", "nobody"])
VALUES = st.sampled_from(
    ["", "~send", "~edit", "~keep", "today", "week", "done", "clear", "skip", "7707083893", "another"]
    + [kind.code for kind in KINDS] + FIELD_NAMES
)  # fmt: skip
FORGED = st.builds(Press, SCOPES, TARGETS, VALUES, st.integers(0, 30))
"""Buttons that may never have been shown, or long ago."""

WORDS = st.sampled_from(SENSIBLE) | st.sampled_from(SENSIBLE) | st.text(max_size=60)
MESSAGES = st.one_of(
    st.builds(Said, text=WORDS),
    st.builds(Said, press=FORGED),
    st.builds(Said, files=FILES, text=st.just("") | WORDS, group_id=st.none() | st.just("album")),
    st.builds(Said, other=st.sampled_from(["стикер", "геопозиция"])),
    st.just(Said()),
)
STEPS = st.lists(
    st.tuples(MESSAGES, st.integers(0, 40) | st.none(), st.sampled_from([0, 1, 60, 86_400])), max_size=25
)
"""A message, or the button with this number on the screen, and the seconds that pass before it."""


def offered(progress: Progress, context: FormContext, number: int) -> Said:
    """The press of one of the buttons in sight."""
    buttons = screen(progress, context).buttons()
    return Said(press=Press.parse(buttons[number % len(buttons)].press))


def assert_answered(turn: Turn) -> None:
    """A reply, a request or a person: never silence."""
    assert turn.replies or turn.outcome in (Outcome.SUBMITTED, Outcome.HUMAN)
    for reply in turn.replies:
        assert reply.text.msgid
        assert all(len(button.press.encode()) <= MAX_PRESS_BYTES for button in reply.buttons())
    assert (turn.submitted is not None) == (turn.outcome is Outcome.SUBMITTED)


def assert_complete(answers, now: datetime) -> None:
    """What an accountant may rely on."""
    assert registry_inn.is_valid(answers["inn"])
    assert answers["company"].strip()
    assert answers["kind"] in BY_CODE
    assert answers["task"].strip()
    assert from_text(answers["deadline"]).at > now
    files_from_text(answers["files"])
    assert ("goods" in answers) == ("goods" in BY_CODE[answers["kind"]].extras)
    assert not any(name.startswith("_") for name in answers)


@given(steps=STEPS, companies=st.sampled_from([(), COMPANIES[:1], COMPANIES]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_said_is_answered_and_only_complete_forms_are_sent(steps, companies):
    context = replace(CONTEXT, companies=companies, directory={"7707083893": "ООО «Ромашка»"})
    progress = begin(context)
    for said, number, seconds in steps:
        context = replace(context, now=context.now + timedelta(seconds=seconds))
        turn = advance(progress, said if number is None else offered(progress, context, number), context)
        assert_answered(turn)
        assert Progress.from_json(turn.progress.to_json()) == turn.progress
        if turn.submitted is not None:
            assert_complete(turn.submitted, context.now)
            progress = begin(context, revision=turn.progress.revision + 1)
        else:
            progress = turn.progress


FULL = {
    "inn": "7707083893", "company": "ООО «Ромашка»", "kind": "waybill", "task": "Для ООО «Свет»",
    "goods": '[["Бумага", "10", "350", ""]]', "deadline": "2026-11-27T18:00:00+03:00",
    "files": '[{"sha256": "a", "name": "счёт.pdf", "size_bytes": 1, "media_type": "application/pdf"}]',
}  # fmt: skip
FULL["_files"] = FULL["files"]

MOVES = st.lists(
    st.sampled_from(["Назад", "Отмена", "Вернуть", "Изменить", "Оставить", "спасибо", "???"])
    | st.sampled_from([field.title.msgid for field in FORM]),
    max_size=30,
)


@given(moves=MOVES, answered=st.integers(0, len(FORM)))
@settings(max_examples=150, deadline=None)
def test_moving_about_never_loses_an_answer(moves, answered):
    """Back, edit, cancel, restore, in any order, from any question: nothing was replaced, nothing is gone."""
    names = {field.name for field in FORM[:answered]}
    known = {name: value for name, value in FULL.items() if name in names or name == "_files"}
    progress = begin(CONTEXT, known)
    kept = {name: value for name, value in progress.answers.items() if not name.startswith("_")}
    for move in moves:
        if move == "???" and progress.asking not in ("inn", "deadline", "goods"):
            continue
        if move in ("Изменить", *(field.title.msgid for field in FORM)) and progress.asking not in (
            SUMMARY,
            EDIT,
        ):
            continue
        if progress.asking == SUMMARY and move not in ("Назад", "Отмена", "Вернуть", "Изменить"):
            continue
        if move == "Оставить" and "~keep" not in str(screen(progress, CONTEXT).buttons()):
            continue
        if move == "Вернуть" and not progress.cancelled:
            continue
        progress = advance(progress, Said(text=move), CONTEXT).progress
        assert {name: progress.answers.get(name) for name in kept} == kept
        assert progress.answers["_files"] == FULL["_files"]


DRAFTS = st.builds(
    Progress,
    answers=st.sets(st.sampled_from([*FULL])).map(lambda names: {name: FULL[name] for name in names}),
    asking=st.sampled_from([*FIELD_NAMES, SUMMARY, EDIT, "gone"]),
    revision=st.integers(1, 30),
    editing=st.booleans(),
    cancelled=st.booleans(),
)


@given(progress=DRAFTS, said=MESSAGES)
@settings(max_examples=150, deadline=None)
def test_a_draft_of_an_older_program_goes_on(progress, said):
    turn = advance(progress, said, CONTEXT)
    assert_answered(turn)
    if turn.submitted is not None:
        assert_complete(turn.submitted, NOW)


# --- the same against the real house -----------------------------------------------------------


STRETCHES = [
    ("7707083893",),
    ("Консультация", "Можно ли платить наличными?", "завтра", "Готово", "Отправить"),
]


class Chat(RuleBasedStateMachine):
    """One client, the real intake on SQLite: every message is answered, every request is complete."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()

    @initialize()
    def opens(self) -> None:
        self.town = Town.open(self.folder)
        self.town.known_client("7707083893", "ООО «Ромашка»")
        self.loop.run_until_complete(self.town.staff("Анна Петрова"))
        self.maria = self.loop.run_until_complete(self.town.client())

    @rule(text=st.sampled_from(SENSIBLE))
    def says(self, text: str) -> None:
        self.answered(self.maria.says(text))

    @rule(number=st.integers(0, 40))
    def presses(self, number: int) -> None:
        buttons = [press for heard in self.maria.everything()[-3:] for _label, press in heard.buttons]
        if buttons:
            self.answered(self.maria.presses_id(buttons[number % len(buttons)]))

    @rule(press=FORGED)
    def forges(self, press: Press) -> None:
        self.answered(self.maria.presses_id(str(press)))

    @rule(
        answers=st.sampled_from(
            [
                ("7707083893",),
                ("Консультация", "Можно ли платить наличными?", "завтра", "Готово", "Отправить"),
            ]
        )
    )
    def goes_on(self, answers: tuple[str, ...]) -> None:
        for answer in answers:
            self.answered(self.maria.says(answer))

    @rule(content=st.sampled_from([b"%PDF-1.7\n" + b"x" * 100, b"", b"MZ" + bytes(100)]))
    def sends_a_file(self, content: bytes) -> None:
        self.answered(self.maria.sends_files({"счёт.pdf": content}))

    @rule(what=st.sampled_from(["стикер", "геопозиция"]))
    def sends_other(self, what: str) -> None:
        self.answered(self.maria.sends_other(what))

    @rule(hours=st.sampled_from([1, 20, 90]))
    def is_silent(self, hours: int) -> None:
        self.town.pass_time(hours=hours)

    def answered(self, doing) -> None:
        assert self.loop.run_until_complete(doing), "silence"

    @invariant()
    def requests_are_complete(self) -> None:
        for request in self.town.requests() if hasattr(self, "town") else ():
            assert_complete(request.answers, request.submitted_at)

    def teardown(self) -> None:
        if hasattr(self, "town"):
            self.loop.run_until_complete(self.town.database.close())
        self.loop.close()
        shutil.rmtree(self.folder)


TestChat = Chat.TestCase
TestChat.settings = settings(
    max_examples=10, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
