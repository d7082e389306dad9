"""Every working second between submission and closing belongs to exactly one stage.

Random histories through the real use cases: nights, lunches, weekends, holidays with moved days, a
clock that is set back. What the tables, the export and the reports say must agree.
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.fields import Said
from router.desk import DeskError
from router.model import Stage, Status
from storage import casework, shifts, times
from storage.engine import open_database
from storage.exports import requests_for_export
from storage.models import Clarification, StageInterval
from storage.times import Measure, TimesFilter
from tests.storage.firm import MINUTE, Firm

EARLY, LATE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
STAGES = {Measure(stage.value) for stage in Stage}


def _timer(action: Callable[..., object]) -> Callable[[Firm, int], None]:
    def act(firm: Firm, number: int) -> None:
        with firm.database.begin() as session:
            action(session, firm.house, number, firm.clock)

    return act


def _by(key: str, action: Callable[..., object], *words: object, **named: object):
    return lambda firm, number: firm.do(action, key, number, *words, **named)


def _by_assignee(action: Callable[..., object], *words: object):
    def act(firm: Firm, number: int) -> None:
        assignee = firm.request(number).assignee_id
        key = next((key for key, staff_id in firm.staff.items() if staff_id == assignee), "anna")
        firm.do(action, key, number, *words)

    return act


def _given_to(action: Callable[..., object], by: str, to: str | None):
    return lambda firm, number: firm.do(action, by, number, firm.staff[to] if to else None, "так надо")


def _clarified(firm: Firm, number: int) -> None:
    asked = [row for row in firm.rows(Clarification, request_id=number) if row.answered_at is None]
    if asked:
        with firm.database.begin() as session:
            context = casework.form_context(session, firm.house, firm.clock)
            casework.clarified(
                session, firm.house, firm.who("maria"), asked[-1].id, Said("Оплатить счёт № 16"), context
            )


def _shift(action: Callable[..., object], key: str):
    def act(firm: Firm, _number: int) -> None:
        with firm.database.begin() as session:
            action(session, firm.staff[key], firm.clock)

    return act


def _picked_up(firm: Firm, _number: int) -> None:
    with firm.database.begin() as session:
        casework.pick_up_unassigned(session, firm.house, firm.clock)


STEPS: dict[str, Callable[[Firm, int], object]] = {
    "accept": _by_assignee(casework.accept),
    "accept by Boris": _by("boris", casework.accept),
    "decline": _by_assignee(casework.decline, "не мой участок"),
    "clarify": _by_assignee(casework.clarify, "task", "Какой счёт?"),
    "clarified": _clarified,
    "answer": _by_assignee(casework.answer, "Смотрим", ()),
    "answer by Elena": _by("elena", casework.answer, "Смотрим", ()),
    "note": _by_assignee(casework.note, "Позвонить", ()),
    "client writes": _by("maria", casework.add, "И ещё", ()),
    "pass on": _given_to(casework.pass_on, "anna", "boris"),
    "reassign": _given_to(casework.reassign, "elena", "anna"),
    "reassign to Boris": _given_to(casework.reassign, "oleg", "boris"),
    "to the queue": _given_to(casework.reassign, "elena", None),
    "outside": _by_assignee(casework.wait_outside, "банк"),
    "resume": _by_assignee(casework.resume),
    "done": _by_assignee(casework.done, "Готово", ()),
    "rate": _by("maria", casework.rate, 5),
    "reopen": _by("maria", casework.reopen, "не то"),
    "cancel": _by("elena", casework.cancel, "передумали"),
    "escalate": _timer(casework.escalate),
    "close": _timer(casework.close_silent),
    "pick up": _picked_up,
    "pause": _shift(shifts.start_pause, "anna"),
    "back": _shift(shifts.start_work, "anna"),
    "leave": lambda firm, _number: firm.do(casework.release, "elena", firm.staff["anna"]),
}
"""Whatever the desk refuses in a state is left out of the history."""


_OFTEN = (
    "accept",
    "clarify",
    "clarified",
    "done",
    "reopen",
    "rate",
    "outside",
    "reassign",
    "close",
    "client writes",
)

steps = st.sampled_from([*STEPS, *_OFTEN, *_OFTEN])
starts = st.sampled_from(
    (
        datetime(2026, 11, 25, 8, 0, tzinfo=UTC),  # an ordinary Wednesday, 11:00 in Moscow
        datetime(2026, 11, 27, 14, 40, tzinfo=UTC),  # Friday, twenty minutes before closing
        datetime(2025, 12, 30, 9, 30, tzinfo=UTC),  # before the long holidays, with moved days
        datetime(2025, 10, 31, 13, 0, tzinfo=UTC),  # before a worked Saturday, a short one
        datetime(2026, 5, 8, 9, 55, tzinfo=UTC),  # five minutes before lunch on a short day
    )
)
clock_steps = st.one_of(
    st.integers(0, 20 * 60),
    st.integers(0, 3 * 3600),
    st.integers(0, 86_400),
    st.integers(0, 6 * 86_400),
    st.integers(-900, 0),
)
lives = st.lists(st.tuples(steps, clock_steps), min_size=1, max_size=22)


def live(firm: Firm, number: int, life: list[tuple[str, int]]) -> None:
    for step, seconds in life:
        firm.clock += timedelta(seconds=seconds)
        with suppress(DeskError):
            STEPS[step](firm, number)


def check(firm: Firm, number: int) -> None:
    """The intervals tile the request's life; the export and the reports say the same of them."""
    calendar = firm.house.calendar
    request = firm.request(number)
    intervals = firm.rows(StageInterval, request_id=number)
    # The clock may have been set back behind what is written down.
    now = max(firm.clock, intervals[-1].started_at, intervals[-1].ended_at or firm.clock)

    assert intervals[0].started_at == request.submitted_at
    for earlier, later in pairwise(intervals):
        assert earlier.started_at <= earlier.ended_at == later.started_at
    assert intervals[-1].ended_at == request.closed_at
    is_over = request.status in (Status.CLOSED, Status.CANCELLED)
    assert (request.closed_at is not None) == is_over
    if not is_over:
        assert (intervals[-1].stage, intervals[-1].staff_id) == (request.stage, request.assignee_id)
    if request.unanswered_since is not None:
        assert request.stage != Stage.CLIENT, "the client is owed an answer"
    for interval in intervals:
        assert (interval.staff_id is None) == (interval.stage == Stage.QUEUE) or interval.stage == "client"

    whole = calendar.working_seconds(request.submitted_at, request.closed_at or now)
    by_stage = dict.fromkeys(Stage, 0)
    for interval in intervals:
        spent = calendar.working_seconds(interval.started_at, interval.ended_at or now)
        by_stage[Stage(interval.stage)] += spent
    assert sum(by_stage.values()) == whole

    with firm.database.read() as session:
        exported = next(iter(requests_for_export(session, calendar, now)))
        reported = {
            measure: [
                event.seconds
                for event in times.events(session, TimesFilter(EARLY, LATE), calendar, measure)
                if event.number == number
            ]
            for measure in STAGES
        }
    assert exported.stage_minutes == {
        stage.value: round(seconds / 60, 2) for stage, seconds in by_stage.items()
    }
    for stage, seconds in by_stage.items():
        running = 0
        if intervals[-1].ended_at is None and intervals[-1].stage == stage:
            running = calendar.working_seconds(intervals[-1].started_at, now)
        assert sum(reported[Measure(stage.value)]) == seconds - running, stage


@settings(max_examples=60, deadline=None)
@given(start=starts, life=lives)
def test_every_working_second_belongs_to_exactly_one_stage(sqlite_template, start, life):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "priem.sqlite3"
        shutil.copy(sqlite_template, file)
        firm = Firm.open(open_database(f"sqlite:///{file}"))
        try:
            firm.clock = start
            number = firm.submit()
            check(firm, number)
            live(firm, number, life)
            check(firm, number)
        finally:
            firm.database.sync_engine.dispose()


CHAPTERS = {
    "given from hand to hand": ["reassign", "reassign to Boris", "to the queue", "accept by Boris", "done"],
    "clarified, outside, done": ["accept", "clarify", "clarified", "answer", "outside", "resume", "done"],
    "taken up again": ["accept", "done", "rate", "reopen", "done", "rate"],
    "nobody reacts": ["escalate", "escalate", "pick up", "accept", "done", "close"],
    "given up": ["accept", "outside", "cancel"],
    "asked back": ["accept", "clarify", "client writes", "note", "answer", "clarified", "done"],
    "asked about the result": ["accept", "done", "client writes", "note", "answer", "rate"],
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_same_on_both_engines(database, chapter):
    firm = Firm.open(database)
    number = firm.submit()
    for step in CHAPTERS[chapter]:
        live(firm, number, [(step, 3 * 3600 + 61)])
        check(firm, number)


def test_a_request_taken_up_again_was_the_clients_while_it_was_closed(database):
    firm = Firm.open(database)
    number = firm.accepted_by("anna")
    firm.clock += 10 * MINUTE
    live(firm, number, [("done", 0), ("rate", 300), ("reopen", 1200)])
    assert [row.stage for row in firm.rows(StageInterval, request_id=number)][-3:] == [
        "client", "client", "execution",
    ]  # fmt: skip
    with firm.database.read() as session:
        exported = next(iter(requests_for_export(session, firm.house.calendar, firm.clock)))
    assert exported.stage_minutes["client"] == 25
    assert exported.stage_minutes["execution"] == 10
    check(firm, number)


def test_while_the_firm_owes_an_answer_the_client_is_not_waited_for(database):
    firm = Firm.open(database)
    number = firm.accepted_by("anna")
    live(firm, number, [("clarify", 600), ("client writes", 300), ("answer", 1200), ("clarified", 60)])
    live(firm, number, [("done", 120), ("client writes", 180), ("note", 600), ("answer", 900), ("rate", 240)])
    with firm.database.read() as session:
        exported = next(iter(requests_for_export(session, firm.house.calendar, firm.clock)))
    minutes = {stage: spent for stage, spent in exported.stage_minutes.items() if spent}
    assert minutes == {"execution": 10, "client": 13, "clarification": 47}
    assert firm.request(number).status == Status.CLOSED
    check(firm, number)


def test_a_clock_that_was_set_back_leaves_no_gap(database):
    firm = Firm.open(database)
    number = firm.accepted_by("anna")
    live(firm, number, [("done", 600), ("rate", -300)])
    request = firm.request(number)
    assert request.closed_at == firm.clock + timedelta(seconds=300)
    check(firm, number)


def test_outsiders_are_waited_for_and_work_goes_on(database):
    firm = Firm.open(database)
    number = firm.accepted_by("anna")
    firm.clock += 5 * MINUTE
    case = firm.do(casework.wait_outside, "anna", number, "банк проверяет платёж")
    assert (case.request.status, case.request.stage) == (Status.ACCEPTED, Stage.THIRD_PARTY)
    with pytest.raises(DeskError):
        firm.do(casework.wait_outside, "anna", number, "")
    with pytest.raises(DeskError):
        firm.do(casework.resume, "boris", number)
    firm.clock += 40 * MINUTE
    assert firm.do(casework.resume, "anna", number).request.stage is Stage.EXECUTION
    with pytest.raises(DeskError):
        firm.do(casework.resume, "anna", number)
    with firm.database.read() as session:
        exported = next(iter(requests_for_export(session, firm.house.calendar, firm.clock)))
    assert (exported.stage_minutes["third_party"], exported.stage_minutes["execution"]) == (40, 5)
    firm.check()


def test_waiting_outside_on_an_old_screen_is_refused(database):
    firm = Firm.open(database)
    number = firm.accepted_by("anna")
    seen = firm.request(number).version
    firm.do(casework.note, "anna", number, "позвонила", ())
    for action, words in ((casework.wait_outside, ("банк",)), (casework.resume, ())):
        with pytest.raises(DeskError):
            firm.do(action, "anna", number, *words, version=seen)
    assert firm.request(number).stage == "execution"
