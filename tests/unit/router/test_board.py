"""What moving a card means, for whom it is possible, and what is said when it is not."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.texts import Catalogue
from router import board, desk
from router.board import COLUMNS, NEEDS_WORDS, NoSuchMove, Step, Target, WordsMissing
from router.desk import DeskError, Request
from router.model import Role, Stage, Status

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
ANNA = desk.staff(1, Role.ACCOUNTANT, "Анна", MOSCOW)
BORIS = desk.staff(2, Role.ACCOUNTANT, "Борис", MOSCOW)
CONTROLLER = desk.staff(5, Role.CONTROLLER, "Галина", MOSCOW)
DIRECTOR = desk.staff(9, Role.DIRECTOR, "Елена", MOSCOW)

STAGES = {
    Status.NEW: Stage.QUEUE,
    Status.ASSIGNED: Stage.PROCESSING,
    Status.ACCEPTED: Stage.EXECUTION,
    Status.WAITING_CLIENT: Stage.CLIENT,
    Status.DONE: Stage.CLIENT,
}


def request_in(status: Status) -> Request:
    """One of Anna's, or nobody's while it is new."""
    holder = None if status is Status.NEW else 1
    accepted = NOW if status not in (Status.NEW, Status.ASSIGNED) else None
    return Request(
        7, status, NOW + timedelta(hours=5), STAGES[status], holder, 3, NOW, NOW, accepted,
        done_at=NOW if status is Status.DONE else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "director", "holder"),
    [
        (Status.NEW, {"accepted": Step.ACCEPT}, {"accepted": Step.ACCEPT}),
        (
            Status.ASSIGNED,
            {"new": Step.TAKE_BACK},
            {
                "new": Step.DECLINE,
                "accepted": Step.ACCEPT,
                "waiting_client": Step.ASK,
                "done": Step.FINISH,
            },
        ),
        (
            Status.ACCEPTED,
            {"new": Step.TAKE_BACK, "waiting_client": Step.ASK, "done": Step.FINISH},
            {"new": Step.DECLINE, "waiting_client": Step.ASK, "done": Step.FINISH},
        ),
        (
            Status.WAITING_CLIENT,
            {"new": Step.TAKE_BACK, "done": Step.FINISH},
            {"new": Step.DECLINE, "done": Step.FINISH},
        ),
        (Status.DONE, {"accepted": Step.REOPEN}, {}),
    ],
    ids=str,
)
def test_where_a_card_can_go(status, director, holder):
    request = request_in(status)
    assert dict(board.possible(request, DIRECTOR, NOW)) == director
    assert dict(board.possible(request, ANNA, NOW)) == holder


@pytest.mark.parametrize("status", COLUMNS, ids=str)
def test_who_may_hand_it_over(status):
    request = request_in(status)
    assert board.may_give(request, DIRECTOR, NOW)
    assert board.may_give(request, ANNA, NOW) is (status not in (Status.NEW, Status.DONE))
    assert not board.may_give(request, BORIS, NOW)
    assert not board.may_give(request, CONTROLLER, NOW)


@pytest.mark.parametrize("status", COLUMNS[1:], ids=str)
@pytest.mark.parametrize("actor", [BORIS, CONTROLLER], ids=["colleague", "controller"])
def test_somebody_elses_card_stays(status, actor):
    assert board.possible(request_in(status), actor, NOW) == ()


@pytest.mark.parametrize(
    ("status", "actor", "target", "said"),
    [
        (Status.WAITING_CLIENT, ANNA, Target(Status.ACCEPTED), "Клиент ещё не ответил"),
        (Status.NEW, DIRECTOR, Target(Status.ASSIGNED), "выберите, кому передать"),
        (Status.ACCEPTED, DIRECTOR, Target(Status.ASSIGNED), "выберите, кому передать"),
        (Status.ACCEPTED, ANNA, Target(Status.ACCEPTED), "и так здесь"),
        (Status.NEW, DIRECTOR, Target(Status.DONE), "Сейчас этого сделать нельзя"),
        (Status.ASSIGNED, DIRECTOR, Target(Status.ACCEPTED), "передана: теперь она у другого"),
        (Status.ACCEPTED, DIRECTOR, Target(to_id=1), "и так у этого сотрудника"),
        (Status.DONE, ANNA, Target(Status.ACCEPTED), "могут клиент и директор"),
        (Status.ACCEPTED, ANNA, Target(Status.CLOSED), "Такого столбца"),
    ],
)
def test_a_forbidden_move_says_why(status, actor, target, said):
    request = request_in(status)
    with pytest.raises(DeskError) as refused:
        board.attempt(board.step_to(request, actor, target), request, actor, NOW, target.to_id)
    assert said in Catalogue.open("ru").say(refused.value.text)


@given(
    status=st.sampled_from(COLUMNS),
    column=st.sampled_from(COLUMNS),
    actor=st.sampled_from([ANNA, BORIS, DIRECTOR, CONTROLLER]),
)
def test_what_the_board_offers_leads_to_that_column(status, column, actor):
    """Whatever is possible puts the card exactly where it was dropped."""
    request = request_in(status)
    for offered, step in board.possible(request, actor, NOW):
        after = board.attempt(step, request, actor, NOW).after
        assert after.status is offered
        assert after.version == request.version + 1
    if column not in dict(board.possible(request, actor, NOW)):
        with pytest.raises(DeskError):
            board.attempt(board.step_to(request, actor, Target(column)), request, actor, NOW)


@pytest.mark.parametrize("step", Step, ids=str)
def test_words_are_asked_for_where_they_are_needed(step):
    if step in NEEDS_WORDS:
        with pytest.raises(WordsMissing):
            board.require_words(step, " \n")
    else:
        board.require_words(step, "")
    board.require_words(step, "готово")
    assert (board.words_wanted(step) is None) is (step is Step.ACCEPT)


def test_a_lane_beats_a_column():
    assert board.step_to(request_in(Status.ACCEPTED), DIRECTOR, Target(Status.DONE, 2)) is Step.GIVE
    assert board.step_to(request_in(Status.ACCEPTED), ANNA, Target(to_id=2)) is Step.HAND_ON
    with pytest.raises(NoSuchMove):
        board.step_to(request_in(Status.NEW), ANNA, Target(Status.NEW))
