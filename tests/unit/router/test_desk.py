from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import desk
from router.desk import MACHINE, Change, DeskError, Event, Request, StageInterval
from router.model import Decision, Role, Stage, Status
from tests.unit.router.people import CALENDAR, MOSCOW, NOW
from tests.unit.router.reading import read

ANNA = desk.staff(1, Role.ACCOUNTANT, "Анна Петрова", MOSCOW)
BORIS = desk.staff(2, Role.ACCOUNTANT, "Борис Сидоров", MOSCOW)
CONTROLLER = desk.staff(5, Role.CONTROLLER, "Вера Орлова", MOSCOW)
DEPUTY = desk.staff(8, Role.DEPUTY, "Глеб Заместитель", MOSCOW)
DIRECTOR = desk.staff(9, Role.DIRECTOR, "Дарья Директор", MOSCOW)
CLIENT = desk.client("Иван Иванович")
THANKFUL = desk.client("Иван Иванович, довольный")

EARLIER = NOW - timedelta(minutes=18)
TO_ANNA, TO_BORIS, TO_NOBODY = (Decision(staff_id, ()) for staff_id in (1, 2, None))

DRAFT = Request(118, Status.DRAFT, deadline=NOW + timedelta(days=2))
NEW = desk.submitted(DRAFT, CLIENT, EARLIER).after
ASSIGNED = desk.assigned(NEW, MACHINE, EARLIER, TO_ANNA).after
ACCEPTED = desk.accept(ASSIGNED, ANNA, EARLIER).after
ASKED = desk.ask_clarification(ACCEPTED, ANNA, EARLIER, "inn").after
ASKED_FREELY = desk.ask_clarification(ACCEPTED, ANNA, EARLIER, None, "Какой счёт?").after
ASKED_BACK = desk.client_wrote(ASKED, CLIENT, EARLIER).after
CLARIFIED = desk.clarified(ASKED, CLIENT, EARLIER).after
OUTSIDE = desk.wait_outside(ACCEPTED, ANNA, EARLIER, "банк").after
DONE = desk.done(ACCEPTED, ANNA, EARLIER, "Оплачено").after
ASKED_ABOUT = desk.client_wrote(DONE, CLIENT, EARLIER).after
CLOSED = desk.close(DONE, CLIENT, EARLIER).after
CANCELLED = desk.cancel(ACCEPTED, CLIENT, EARLIER).after

EVERY_STATE = {
    "draft": DRAFT,
    "new": NEW,
    "assigned": ASSIGNED,
    "accepted": ACCEPTED,
    "asked": ASKED,
    "asked freely": ASKED_FREELY,
    "clarified": CLARIFIED,
    "outside": OUTSIDE,
    "done": DONE,
    "closed": CLOSED,
    "cancelled": CANCELLED,
}


@pytest.mark.parametrize(
    ("change", "event", "status", "stage", "assignee_id"),
    [
        pytest.param(
            desk.submitted(DRAFT, CLIENT, NOW), Event.SUBMITTED, Status.NEW, Stage.QUEUE, None, id="submitted"
        ),
        pytest.param(
            desk.assigned(NEW, MACHINE, NOW, TO_ANNA),
            Event.ASSIGNED,
            Status.ASSIGNED,
            Stage.PROCESSING,
            1,
            id="assigned",
        ),
        pytest.param(
            desk.accept(ASSIGNED, ANNA, NOW),
            Event.ACCEPTED,
            Status.ACCEPTED,
            Stage.EXECUTION,
            1,
            id="accepted",
        ),
        pytest.param(
            desk.accept(NEW, BORIS, NOW),
            Event.ACCEPTED,
            Status.ACCEPTED,
            Stage.EXECUTION,
            2,
            id="taken out of the queue",
        ),
        pytest.param(
            desk.decline(ASSIGNED, ANNA, NOW, "не мой участок"),
            Event.DECLINED,
            Status.NEW,
            Stage.QUEUE,
            None,
            id="declined",
        ),
        pytest.param(
            desk.pass_on(ACCEPTED, ANNA, NOW, 2, "ухожу в отпуск"),
            Event.PASSED,
            Status.ASSIGNED,
            Stage.PROCESSING,
            2,
            id="passed on",
        ),
        pytest.param(
            desk.escalate(ASSIGNED, MACHINE, NOW, TO_BORIS),
            Event.ESCALATED,
            Status.ASSIGNED,
            Stage.PROCESSING,
            2,
            id="escalated",
        ),
        pytest.param(
            desk.escalate(ASSIGNED, MACHINE, NOW, TO_NOBODY),
            Event.ESCALATED,
            Status.NEW,
            Stage.QUEUE,
            None,
            id="escalated to nobody",
        ),
        pytest.param(
            desk.reassign(NEW, DIRECTOR, NOW, 2),
            Event.REASSIGNED,
            Status.ASSIGNED,
            Stage.PROCESSING,
            2,
            id="given by hand",
        ),
        pytest.param(
            desk.reassign(ASKED, DEPUTY, NOW, 2),
            Event.REASSIGNED,
            Status.ASSIGNED,
            Stage.PROCESSING,
            2,
            id="reassigned by the deputy",
        ),
        pytest.param(
            desk.reassign(DONE, DIRECTOR, NOW, 1),
            Event.REASSIGNED,
            Status.ASSIGNED,
            Stage.PROCESSING,
            1,
            id="to be done again by the same person",
        ),
        pytest.param(
            desk.unassign(ACCEPTED, MACHINE, NOW),
            Event.UNASSIGNED,
            Status.NEW,
            Stage.QUEUE,
            None,
            id="unassigned",
        ),
        pytest.param(
            desk.ask_clarification(ACCEPTED, ANNA, NOW, "inn"),
            Event.CLARIFICATION_ASKED,
            Status.WAITING_CLIENT,
            Stage.CLIENT,
            1,
            id="asked",
        ),
        pytest.param(
            desk.clarified(ASKED, CLIENT, NOW),
            Event.CLARIFICATION_ANSWERED,
            Status.ACCEPTED,
            Stage.CLARIFICATION,
            1,
            id="clarified",
        ),
        pytest.param(
            desk.client_wrote(ASKED_FREELY, CLIENT, NOW),
            Event.CLIENT_WROTE,
            Status.ACCEPTED,
            Stage.CLARIFICATION,
            1,
            id="answered a free question",
        ),
        pytest.param(
            desk.client_wrote(ASKED, CLIENT, NOW),
            Event.CLIENT_WROTE,
            Status.WAITING_CLIENT,
            Stage.CLARIFICATION,
            1,
            id="wrote, but not what was asked",
        ),
        pytest.param(
            desk.client_wrote(ASKED, CLIENT, NOW, needs_answer=False),
            Event.CLIENT_WROTE,
            Status.WAITING_CLIENT,
            Stage.CLIENT,
            1,
            id="said thank you for the question",
        ),
        pytest.param(
            desk.answer(ASKED_BACK, ANNA, NOW),
            Event.ANSWERED,
            Status.WAITING_CLIENT,
            Stage.CLIENT,
            1,
            id="what was asked is waited for again",
        ),
        pytest.param(
            desk.clarified(ASKED_BACK, CLIENT, NOW),
            Event.CLARIFICATION_ANSWERED,
            Status.ACCEPTED,
            Stage.CLARIFICATION,
            1,
            id="clarified after all",
        ),
        pytest.param(
            desk.accept(desk.reassign(ASKED_BACK, DIRECTOR, NOW, 2).after, BORIS, NOW),
            Event.ACCEPTED,
            Status.WAITING_CLIENT,
            Stage.CLARIFICATION,
            2,
            id="accepted with an answer owed",
        ),
        pytest.param(
            desk.client_wrote(DONE, CLIENT, NOW),
            Event.CLIENT_WROTE,
            Status.DONE,
            Stage.CLARIFICATION,
            1,
            id="asked about the result",
        ),
        pytest.param(
            desk.note(ASKED_ABOUT, ANNA, NOW, "вижу"),
            Event.NOTED,
            Status.DONE,
            Stage.CLARIFICATION,
            1,
            id="a note is no answer",
        ),
        pytest.param(
            desk.answer(ASKED_ABOUT, ANNA, NOW),
            Event.ANSWERED,
            Status.DONE,
            Stage.CLIENT,
            1,
            id="answered about the result",
        ),
        pytest.param(
            desk.client_wrote(ACCEPTED, CLIENT, NOW),
            Event.CLIENT_WROTE,
            Status.ACCEPTED,
            Stage.EXECUTION,
            1,
            id="wrote meanwhile",
        ),
        pytest.param(
            desk.client_wrote(DONE, CLIENT, NOW, needs_answer=False),
            Event.CLIENT_WROTE,
            Status.DONE,
            Stage.CLIENT,
            1,
            id="said thank you",
        ),
        pytest.param(
            desk.answer(CLARIFIED, ANNA, NOW),
            Event.ANSWERED,
            Status.ACCEPTED,
            Stage.EXECUTION,
            1,
            id="answered after the clarification",
        ),
        pytest.param(
            desk.note(CLARIFIED, ANNA, NOW, "вижу"),
            Event.NOTED,
            Status.ACCEPTED,
            Stage.EXECUTION,
            1,
            id="noted after the clarification",
        ),
        pytest.param(
            desk.note(CLARIFIED, CONTROLLER, NOW, "проверю"),
            Event.NOTED,
            Status.ACCEPTED,
            Stage.CLARIFICATION,
            1,
            id="noted by somebody else",
        ),
        pytest.param(
            desk.answer(NEW, DIRECTOR, NOW),
            Event.ANSWERED,
            Status.NEW,
            Stage.QUEUE,
            None,
            id="answered by the director, who does not take it over",
        ),
        pytest.param(
            desk.wait_outside(ACCEPTED, ANNA, NOW, "банк"),
            Event.WAITING_OUTSIDE,
            Status.ACCEPTED,
            Stage.THIRD_PARTY,
            1,
            id="waiting for a bank",
        ),
        pytest.param(
            desk.resume(OUTSIDE, ANNA, NOW), Event.RESUMED, Status.ACCEPTED, Stage.EXECUTION, 1, id="resumed"
        ),
        pytest.param(
            desk.done(ASSIGNED, ANNA, NOW),
            Event.DONE,
            Status.DONE,
            Stage.CLIENT,
            1,
            id="done without «Принять»",
        ),
        pytest.param(
            desk.done(ACCEPTED, DIRECTOR, NOW),
            Event.DONE,
            Status.DONE,
            Stage.CLIENT,
            1,
            id="done by the director",
        ),
        pytest.param(
            desk.close(DONE, MACHINE, NOW), Event.CLOSED, Status.CLOSED, None, 1, id="closed by time"
        ),
        pytest.param(desk.rate(CLOSED, CLIENT, NOW, 5), Event.RATED, Status.CLOSED, None, 1, id="rated"),
        pytest.param(
            desk.reopen(CLOSED, CLIENT, NOW, "не прошло"),
            Event.REOPENED,
            Status.ACCEPTED,
            Stage.EXECUTION,
            1,
            id="not solved",
        ),
        pytest.param(
            desk.reopen(replace(DONE, assignee_id=None), CLIENT, NOW),
            Event.REOPENED,
            Status.NEW,
            Stage.QUEUE,
            None,
            id="not solved, and nobody has it",
        ),
        pytest.param(
            desk.cancel(ASKED, CLIENT, NOW), Event.CANCELLED, Status.CANCELLED, None, 1, id="withdrawn"
        ),
        pytest.param(
            desk.cancel(DONE, DIRECTOR, NOW),
            Event.CANCELLED,
            Status.CANCELLED,
            None,
            1,
            id="cancelled by the director",
        ),
    ],
)
def test_transitions(
    change: Change, event: Event, status: Status, stage: Stage | None, assignee_id: int | None
):
    assert (change.event, change.status, change.stage, change.assignee_id) == (
        event,
        status,
        stage,
        assignee_id,
    )
    assert change.after.version == change.before.version + 1
    assert change.at == NOW
    assert change.moves_clock == (change.before.stage is not stage)


def test_times_are_set_when_things_happen():
    history = _live(
        lambda r, at: desk.submitted(r, CLIENT, at),
        lambda r, at: desk.assigned(r, MACHINE, at, TO_ANNA),
        lambda r, at: desk.accept(r, ANNA, at),
        lambda r, at: desk.ask_clarification(r, ANNA, at, "inn"),
        lambda r, at: desk.clarified(r, CLIENT, at),
        lambda r, at: desk.answer(r, ANNA, at),
        lambda r, at: desk.done(r, ANNA, at),
        lambda r, at: desk.close(r, CLIENT, at),
    )
    last = history[-1].after
    moments = (last.submitted_at, last.assigned_at, last.accepted_at, last.first_response_at, last.done_at)
    assert [int((moment - NOW).total_seconds() / 60) for moment in (*moments, last.closed_at) if moment] == [
        0, 10, 20, 30, 60, 70,
    ]  # fmt: skip
    intervals = intervals_of(history)
    assert [interval.stage for interval in intervals] == [
        Stage.QUEUE,
        Stage.PROCESSING,
        Stage.EXECUTION,
        Stage.CLIENT,
        Stage.CLARIFICATION,
        Stage.EXECUTION,
        Stage.CLIENT,
    ]
    assert desk.stage_seconds(intervals, CALENDAR, NOW + timedelta(days=1)) == {
        Stage.QUEUE: 600,
        Stage.PROCESSING: 600,
        Stage.EXECUTION: 1200,
        Stage.CLIENT: 1200,
        Stage.CLARIFICATION: 600,
        Stage.THIRD_PARTY: 0,
    }


def test_a_new_assignee_has_not_accepted_and_a_reopened_request_is_not_done():
    assert desk.reassign(ACCEPTED, DIRECTOR, NOW, 2).after.accepted_at is None
    assert desk.reassign(DONE, DIRECTOR, NOW, 2).after.done_at is None
    again = desk.reopen(CLOSED, CLIENT, NOW).after
    assert (again.done_at, again.closed_at, again.first_response_at) == (None, None, DONE.first_response_at)


def test_working_without_pressing_accept_accepts():
    asked = desk.ask_clarification(ASSIGNED, ANNA, NOW, "inn").after
    answered = desk.answer(ASSIGNED, ANNA, NOW).after
    assert asked.accepted_at == answered.accepted_at == NOW
    assert answered.status is Status.ACCEPTED
    assert answered.first_response_at == NOW


def test_a_question_to_the_client_outlives_a_change_of_hands():
    passed = desk.reassign(ASKED, DIRECTOR, NOW, 2).after
    taken = desk.accept(passed, BORIS, NOW).after
    assert (taken.status, taken.stage, taken.question) == (Status.WAITING_CLIENT, Stage.CLIENT, "inn")
    settled = desk.clarified(passed, CLIENT, NOW).after
    assert (settled.status, settled.stage, settled.question) == (Status.ASSIGNED, Stage.PROCESSING, None)
    assert desk.accept(settled, BORIS, NOW).status is Status.ACCEPTED


def test_the_machine_does_not_close_while_the_firm_owes_an_answer():
    asked = desk.client_wrote(DONE, CLIENT, NOW).after
    noted = desk.note(asked, ANNA, NOW, "спрашивает про пени").after
    with pytest.raises(desk.FirmOwes) as refusal:
        desk.close(noted, MACHINE, NOW)
    assert read(refusal.value.text) == "Клиент ждёт ответа: сначала ответьте ему."
    answered = desk.answer(noted, ANNA, NOW).after
    assert desk.close(answered, MACHINE, NOW).status is Status.CLOSED
    assert desk.close(asked, CLIENT, NOW).status is Status.CLOSED


def test_the_debt_is_as_old_as_the_first_unanswered_message():
    first = desk.client_wrote(ACCEPTED, CLIENT, NOW).after
    second = desk.client_wrote(first, CLIENT, NOW + timedelta(hours=1)).after
    assert second.unanswered_since == NOW


@pytest.mark.parametrize(
    ("attempt", "error", "sentence"),
    [
        pytest.param(
            lambda: desk.accept(ACCEPTED, BORIS, NOW, holder="Анна Петрова"),
            desk.AlreadyTaken,
            "Эту заявку уже ведёт Анна Петрова. Взято: 10:42.",
            id="taken today",
        ),
        pytest.param(
            lambda: desk.accept(ACCEPTED, BORIS, NOW + timedelta(days=1), holder="Анна Петрова"),
            desk.AlreadyTaken,
            "Эту заявку уже ведёт Анна Петрова. Взято: 25.11.2026, 10:42.",
            id="taken yesterday",
        ),
        pytest.param(
            lambda: desk.accept(ACCEPTED, BORIS, NOW),
            desk.AlreadyTaken,
            "Эту заявку уже ведёт другой сотрудник. Взято: 10:42.",
            id="taken by a nameless one",
        ),
        pytest.param(
            lambda: desk.accept(ASSIGNED, BORIS, NOW, holder="Анна Петрова"),
            desk.NotYours,
            "Эта заявка передана: теперь она у другого. Исполнитель: Анна Петрова.",
            id="an old card",
        ),
        pytest.param(
            lambda: desk.accept(ACCEPTED, ANNA, NOW),
            desk.WrongState,
            "Сейчас этого сделать нельзя. Состояние заявки: в работе.",
            id="accepted twice",
        ),
        pytest.param(
            lambda: desk.done(ACCEPTED, BORIS, NOW, holder="Анна Петрова"),
            desk.NotYours,
            "Эту заявку ведёт Анна Петрова. Работать с ней может исполнитель или директор.",
            id="somebody else's",
        ),
        pytest.param(
            lambda: desk.ask_clarification(NEW, BORIS, NOW, "inn"),
            desk.NotYours,
            "Эта заявка пока ни у кого. Сначала примите её.",
            id="nobody's",
        ),
        pytest.param(
            lambda: desk.decline(ASSIGNED, ANNA, NOW, "  "),
            desk.ReasonMissing,
            "Напишите причину в двух словах, например: «не мой участок».",
            id="declined without a word",
        ),
        pytest.param(
            lambda: desk.pass_on(ACCEPTED, ANNA, NOW, 1, "себе"),
            desk.AlreadyTheirs,
            "Заявка и так у этого сотрудника. Выберите другого.",
            id="passed to oneself",
        ),
        pytest.param(
            lambda: desk.reassign(ACCEPTED, CONTROLLER, NOW, 2),
            desk.NotAllowed,
            "Передавать чужие заявки могут директор и заместитель.",
            id="reassigned by a controller",
        ),
        pytest.param(
            lambda: desk.assigned(NEW, MACHINE, NOW, TO_NOBODY),
            desk.NobodyFits,
            "Сейчас никто не подходит. Заявка ждёт первого, кто освободится.",
            id="nobody fits",
        ),
        pytest.param(
            lambda: desk.reopen(CLOSED, CLIENT, EARLIER + timedelta(days=30, seconds=1)),
            desk.TooLate,
            "Заявка закрыта больше 30 дней назад. Создайте новую, мы увидим и прежнюю.",
            id="too late",
        ),
        pytest.param(
            lambda: desk.rate(DONE, CLIENT, NOW, 6),
            desk.WrongRating,
            "Оценка — число от 1 до 5.",
            id="six of five",
        ),
        pytest.param(
            lambda: desk.require_version(
                ACCEPTED, 2, BORIS, NOW, changed_by="Анна Петрова", changed_at=EARLIER
            ),
            desk.StaleVersion,
            "Заявка изменилась, пока вы смотрели: Анна Петрова, 10:42. Проверьте её ещё раз и повторите.",
            id="an old screen",
        ),
    ],
)
def test_refusals_say_why_and_what_to_do(
    attempt: Callable[[], object], error: type[DeskError], sentence: str
):
    with pytest.raises(error) as refusal:
        attempt()
    assert read(refusal.value.text) == sentence


def test_the_present_version_is_no_conflict():
    desk.require_version(ACCEPTED, ACCEPTED.version, BORIS, NOW, changed_by="", changed_at=NOW)


def test_a_request_closed_30_days_ago_may_still_be_reopened():
    assert desk.reopen(CLOSED, CLIENT, EARLIER + timedelta(days=30)).status is Status.ACCEPTED


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda: desk.assigned(NEW, ANNA, NOW, TO_ANNA), id="an accountant distributes"),
        pytest.param(lambda: desk.assigned(NEW, CLIENT, NOW, TO_ANNA), id="a client distributes"),
        pytest.param(lambda: desk.unassign(ACCEPTED, ANNA, NOW), id="an accountant unassigns"),
        pytest.param(lambda: desk.accept(NEW, CONTROLLER, NOW), id="a controller accepts"),
        pytest.param(lambda: desk.accept(ASSIGNED, CLIENT, NOW), id="a client accepts"),
        pytest.param(
            lambda: desk.note(ACCEPTED, CLIENT, NOW, "…"), id="a client leaves a note for colleagues"
        ),
        pytest.param(lambda: desk.done(ACCEPTED, MACHINE, NOW), id="the machine does the work"),
        pytest.param(lambda: desk.close(DONE, ANNA, NOW), id="an accountant closes"),
        pytest.param(lambda: desk.reopen(DONE, ANNA, NOW), id="an accountant reopens"),
        pytest.param(lambda: desk.cancel(ACCEPTED, MACHINE, NOW), id="the machine cancels"),
        pytest.param(lambda: desk.rate(DONE, ANNA, NOW, 5), id="an accountant rates"),
    ],
)
def test_roles_do_only_what_is_theirs(attempt: Callable[[], object]):
    with pytest.raises(desk.NotAllowed):
        attempt()


ALLOWED = {
    "submitted": {"draft"},
    "assigned": {"new"},
    "escalate": {"assigned"},
    "reassign": {"new", "assigned", "accepted", "asked", "asked freely", "clarified", "outside", "done"},
    "unassign": {"assigned", "accepted", "asked", "asked freely", "clarified", "outside"},
    "accept": {"new", "assigned"},
    "decline": {"assigned", "accepted", "asked", "asked freely", "clarified", "outside"},
    "pass_on": {"assigned", "accepted", "asked", "asked freely", "clarified", "outside"},
    "ask": {"assigned", "accepted", "asked", "asked freely", "clarified", "outside"},
    "clarified": {"asked", "asked freely"},
    "client_wrote": set(EVERY_STATE) - {"draft"},
    "answer": set(EVERY_STATE) - {"draft", "new"},
    "note": set(EVERY_STATE) - {"draft"},
    "wait_outside": {"assigned", "accepted", "asked", "asked freely", "clarified"},
    "resume": {"asked", "asked freely", "clarified", "outside"},
    "done": {"assigned", "accepted", "asked", "asked freely", "clarified", "outside"},
    "close": {"done"},
    "rate": {"done", "closed"},
    "reopen": {"done", "closed"},
    "cancel": {"new", "assigned", "accepted", "asked", "asked freely", "clarified", "outside"},
}

Step = Callable[[Request, datetime], Change]

STEPS: dict[str, Step] = {
    "submitted": lambda r, at: desk.submitted(r, CLIENT, at),
    "assigned": lambda r, at: desk.assigned(r, MACHINE, at, TO_ANNA),
    "escalate": lambda r, at: desk.escalate(r, MACHINE, at, TO_BORIS),
    "reassign": lambda r, at: desk.reassign(r, DIRECTOR, at, 3),
    "unassign": lambda r, at: desk.unassign(r, DIRECTOR, at),
    "accept": lambda r, at: desk.accept(r, ANNA, at),
    "decline": lambda r, at: desk.decline(r, ANNA, at, "не мой участок"),
    "pass_on": lambda r, at: desk.pass_on(r, ANNA, at, 2, "в отпуске"),
    "ask": lambda r, at: desk.ask_clarification(r, ANNA, at, "inn"),
    "clarified": lambda r, at: desk.clarified(r, CLIENT, at),
    "client_wrote": lambda r, at: desk.client_wrote(r, CLIENT, at),
    "answer": lambda r, at: desk.answer(r, ANNA, at),
    "note": lambda r, at: desk.note(r, ANNA, at, "…"),
    "wait_outside": lambda r, at: desk.wait_outside(r, ANNA, at, "банк"),
    "resume": lambda r, at: desk.resume(r, ANNA, at),
    "done": lambda r, at: desk.done(r, ANNA, at),
    "close": lambda r, at: desk.close(r, MACHINE, at),
    "rate": lambda r, at: desk.rate(r, CLIENT, at, 4),
    "reopen": lambda r, at: desk.reopen(r, CLIENT, at),
    "cancel": lambda r, at: desk.cancel(r, CLIENT, at),
}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_possible_in_its_states_alone(step: str):
    possible = set()
    for name, request in EVERY_STATE.items():
        with suppress(DeskError):
            STEPS[step](request, NOW)
            possible.add(name)
    assert possible == ALLOWED[step]


def test_every_state_has_words():
    words = [desk.status_words(status) for status in Status] + [desk.next_step(status) for status in Status]
    assert all(read(text) for text in [*words, *(desk.stage_words(stage) for stage in Stage)])
    assert len({read(desk.stage_words(stage)) for stage in Stage}) == len(Stage)


def test_a_clock_set_back_spoils_no_interval():
    history = _live(
        lambda r, at: desk.submitted(r, CLIENT, at),
        lambda r, at: desk.assigned(r, MACHINE, at - timedelta(hours=1), TO_ANNA),
        lambda r, at: desk.accept(r, ANNA, at),
    )
    assert intervals_of(history) == (
        StageInterval(Stage.QUEUE, NOW, NOW),
        StageInterval(Stage.PROCESSING, NOW, NOW + timedelta(minutes=20)),
        StageInterval(Stage.EXECUTION, NOW + timedelta(minutes=20)),
    )


def intervals_of(history: Iterable[Change]) -> tuple[StageInterval, ...]:
    """What the clock of a request shows after its changes, oldest first."""
    intervals: list[StageInterval] = []
    for change in history:
        moved = desk.tick(intervals[-1] if intervals else None, change, change.at)
        if moved is None:
            continue
        if intervals and intervals[-1].ended_at is None:
            intervals[-1] = replace(intervals[-1], ended_at=moved.at)
        intervals += moved.begun
    return tuple(intervals)


def _live(*steps: Step) -> list[Change]:
    """Take a draft through the steps, ten minutes apart."""
    request, history = DRAFT, []
    for number, step in enumerate(steps):
        history.append(step(request, NOW + timedelta(minutes=10 * number)))
        request = history[-1].after
    return history


def _assignee(request: Request) -> desk.Actor:
    return desk.staff(request.assignee_id or 1, Role.ACCOUNTANT, "", MOSCOW)


BY_ANYBODY: dict[str, Step] = STEPS | {
    "assigned to Boris": lambda r, at: desk.assigned(r, MACHINE, at, TO_BORIS),
    "escalate to nobody": lambda r, at: desk.escalate(r, MACHINE, at, TO_NOBODY),
    "accept": lambda r, at: desk.accept(r, _assignee(r), at),
    "decline": lambda r, at: desk.decline(r, _assignee(r), at, "не мой участок"),
    "pass_on": lambda r, at: desk.pass_on(r, _assignee(r), at, 2, "в отпуске"),
    "ask": lambda r, at: desk.ask_clarification(r, _assignee(r), at, "inn"),
    "answer": lambda r, at: desk.answer(r, _assignee(r), at),
    "note": lambda r, at: desk.note(r, _assignee(r), at, "…"),
    "wait_outside": lambda r, at: desk.wait_outside(r, _assignee(r), at, "банк"),
    "resume": lambda r, at: desk.resume(r, _assignee(r), at),
    "done": lambda r, at: desk.done(r, _assignee(r), at),
    "director asks freely": lambda r, at: desk.ask_clarification(r, DIRECTOR, at, None),
    "director answers": lambda r, at: desk.answer(r, DIRECTOR, at),
    "director has done it": lambda r, at: desk.done(r, DIRECTOR, at),
    "director cancels": lambda r, at: desk.cancel(r, DIRECTOR, at),
    "client closes": lambda r, at: desk.close(r, CLIENT, at),
    "thank you": lambda r, at: desk.client_wrote(r, THANKFUL, at, needs_answer=False),
}
# The way through is taken often, and the way out, from which nothing leads back, seldom.
_WEIGHTS = dict.fromkeys(
    ("assigned", "accept", "done", "close", "reopen", "ask", "clarified", "wait_outside"), 8
) | dict.fromkeys(("cancel", "director cancels"), 1)


def _possible(request: Request, at: datetime) -> dict[str, Change]:
    changes = {}
    for name, step in BY_ANYBODY.items():
        with suppress(DeskError):
            changes[name] = step(request, at)
    return changes


@st.composite
def lives(draw: st.DrawFn) -> list[Change]:
    """A random request: at each of some random moments one of all the steps that the desk allows."""
    at = draw(
        st.datetimes(
            datetime.fromisoformat("2026-10-20"), datetime.fromisoformat("2027-01-15"), timezones=st.just(UTC)
        )
    )
    history = [desk.submitted(DRAFT, CLIENT, at)]
    for seconds in draw(st.lists(st.integers(0, 7200) | st.integers(0, 5 * 86_400), max_size=25)):
        at += timedelta(seconds=seconds)
        possible = _possible(history[-1].after, at)
        names = [name for name in possible for _time in range(_WEIGHTS.get(name, 2))]
        history.append(possible[draw(st.sampled_from(names))])
    return history


@settings(max_examples=200)
@given(lives(), st.integers(0, 10 * 86_400))
def test_the_stages_share_out_the_working_time_exactly(history: list[Change], seconds: int):
    until = history[-1].at + timedelta(seconds=seconds)
    ended = history[-1].after.closed_at or until
    intervals = intervals_of(history)
    whole = CALENDAR.working_seconds(history[0].at, ended)
    assert sum(desk.stage_seconds(intervals, CALENDAR, until).values()) == whole


@settings(max_examples=200)
@given(lives())
def test_between_submission_and_closing_every_moment_has_one_stage(history: list[Change]):
    intervals = intervals_of(history)
    assert intervals[0].started_at == history[0].at
    for earlier, later in pairwise(intervals):
        assert earlier.started_at <= earlier.ended_at == later.started_at
    assert intervals[-1].ended_at == history[-1].after.closed_at


def test_while_it_was_closed_a_request_was_the_clients():
    history = _live(
        lambda r, at: desk.submitted(r, CLIENT, at),
        lambda r, at: desk.assigned(r, MACHINE, at, TO_ANNA),
        lambda r, at: desk.done(r, ANNA, at),
        lambda r, at: desk.close(r, CLIENT, at),
        lambda r, at: desk.reopen(r, CLIENT, at, "не то"),
    )
    closed_at, reopened_at = history[-2].at, history[-1].at
    assert intervals_of(history)[-2:] == (
        StageInterval(Stage.CLIENT, closed_at, reopened_at),
        StageInterval(Stage.EXECUTION, reopened_at),
    )


_STAGES_OF = {
    Status.NEW: {Stage.QUEUE},
    Status.ASSIGNED: {Stage.PROCESSING},
    Status.ACCEPTED: {Stage.EXECUTION, Stage.CLARIFICATION, Stage.THIRD_PARTY},
    Status.WAITING_CLIENT: {Stage.CLIENT, Stage.CLARIFICATION},
    Status.DONE: {Stage.CLIENT, Stage.CLARIFICATION},
    Status.CLOSED: {None},
    Status.CANCELLED: {None},
}


@settings(max_examples=200)
@given(lives())
def test_status_stage_assignee_and_times_agree(history: list[Change]):
    for change in history:
        now = change.after
        assert now.stage in _STAGES_OF[now.status]
        if now.status in (Status.WAITING_CLIENT, Status.DONE):
            assert (now.stage is Stage.CLIENT) == (now.unanswered_since is None)
        assert (now.assignee_id is None) >= (now.status is Status.NEW)
        if now.status in (Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT, Status.DONE):
            assert now.assignee_id is not None
            assert now.assigned_at is not None
        if now.status in (Status.ACCEPTED, Status.WAITING_CLIENT, Status.DONE):
            assert now.accepted_at is not None
        assert (now.closed_at is not None) == (now.stage is None)
        if now.status is Status.DONE:
            assert now.done_at is not None
        if now.status.is_open and now.status is not Status.DONE:
            assert now.done_at is None
    versions = [change.after.version for change in history]
    assert versions == list(range(1, len(history) + 1))


@settings(max_examples=200)
@given(lives())
def test_the_machine_closes_only_what_is_done_and_answered(history: list[Change]):
    owed = False
    for change in history:
        if change.event is Event.CLOSED and change.actor is MACHINE:
            assert change.before.status is Status.DONE
            assert not owed
        if change.event in (
            Event.ANSWERED,
            Event.CLARIFICATION_ASKED,
            Event.DONE,
            Event.CLOSED,
            Event.CANCELLED,
        ):
            owed = False
        elif change.event is Event.REOPENED or (
            change.event is Event.CLIENT_WROTE and change.actor is CLIENT
        ):
            owed = True
        assert owed == (change.after.unanswered_since is not None)


@settings(max_examples=200)
@given(lives())
def test_the_first_response_is_the_first(history: list[Change]):
    responses = (Event.ANSWERED, Event.CLARIFICATION_ASKED, Event.DONE)
    expected = next((change.at for change in history if change.event in responses), None)
    assert history[-1].after.first_response_at == expected


@given(lives(), st.sampled_from(sorted(BY_ANYBODY)))
def test_a_step_changes_nothing_of_what_it_was_given(history: list[Change], name: str):
    request = history[-1].after
    copy = replace(request)
    try:
        change = BY_ANYBODY[name](request, history[-1].at)
    except DeskError:
        assert request == copy
    else:
        assert change.before is request
        assert request == copy
