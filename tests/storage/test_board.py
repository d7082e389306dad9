"""The board's queries and moves, on both engines."""

import threading
from datetime import timedelta

import pytest

from router.board import Step, Target
from router.desk import DeskError, NotYours, StaleVersion
from router.model import Status
from storage import board, casework, moves, paging
from storage.models import Absence, Shift
from tests.storage.firm import MINUTE, Firm, say


@pytest.fixture
def firm(database):
    return Firm.open(database)


def shown(firm, own_of=None):
    with firm.database.read() as session:
        return {column.status: column for column in board.columns(session, own_of)}


def move(firm, key, number, target, words="", field="", version=None):
    seen = firm.request(number).version if version is None else version
    with firm.database.begin() as session:
        return moves.move(session, firm.house, firm.who(key), number, target, words, field, firm.clock, seen)


def test_a_column_holds_its_state_nearest_deadline_first(firm):
    far, near = firm.submitted_to("anna", hours=7), firm.submitted_to("boris", hours=2)
    working = firm.accepted_by("anna", hours=5)
    found = shown(firm)
    assert [card.number for card in found[Status.ASSIGNED].cards] == [near, far]
    assert [card.number for card in found[Status.ACCEPTED].cards] == [working]
    assert not found[Status.NEW].cards
    own = shown(firm, firm.staff["boris"])
    assert [card.number for column in own.values() for card in column.cards] == [near]


def test_a_long_column_is_cut_and_says_how_much_is_missing(firm, monkeypatch):
    monkeypatch.setattr(paging, "PAGE_ROWS", 2)
    firm.nobody_works()
    for hour in range(5):
        firm.submit(hours=hour + 1)
    new = shown(firm)[Status.NEW]
    assert (len(new.cards), new.more) == (2, 3)


def test_danger_is_judged_by_what_such_work_took(firm):
    start = firm.clock
    number = firm.accepted_by("anna", kind="report")
    firm.clock += 90 * MINUTE
    firm.do(casework.done, "anna", number, "Сдан", ())
    in_danger, safe = firm.submit(hours=2.5, kind="report"), firm.submit(hours=4, kind="report")
    unknown = firm.submit(hours=2.5, kind="advice")
    overdue = firm.submit(hours=0.1, kind="report")
    firm.clock = start + 120 * MINUTE
    firm.clock += 7 * MINUTE
    with firm.database.read() as session:
        usual = board.usual_seconds(session, {"report", "advice"}, firm.house.calendar)
        found = board.at_risk(session, firm.clock, firm.house.calendar)
        own = board.at_risk(session, firm.clock, firm.house.calendar, firm.staff["galina"])
    assert usual == {"report": 90 * 60}
    assert {one.row.number for one in found} == {in_danger, unknown}
    assert "1 ч 30 мин" in say(next(one for one in found if one.row.number == in_danger).risk.reason)
    assert not {safe, overdue} & {one.row.number for one in found}
    assert own == ()


def test_who_is_here_with_what_load(firm):
    firm.accepted_by("anna")
    day = timedelta(days=1)
    with firm.database.begin() as session:
        session.add(
            Absence(staff_id=firm.staff["boris"], starts_at=firm.clock - day, ends_at=firm.clock + day)
        )
        session.add(Shift(staff_id=firm.staff["elena"], kind="pause", started_at=firm.clock))
    with firm.database.read() as session:
        found = {one.name.split()[0]: one for one in board.on_duty(session, firm.clock)}
        one = board.on_duty(session, firm.clock, firm.staff["boris"])
    assert set(found) == {"Анна", "Борис", "Елена"}
    assert (found["Анна"].open_requests, found["Анна"].capacity, found["Анна"].shift) == (1, 10, "work")
    assert found["Борис"].absent_until == firm.clock + day
    assert found["Елена"].shift == "pause"
    assert [person.name for person in one] == ["Борис Лядов"]


@pytest.mark.parametrize(
    ("key", "target", "words", "step", "status", "holder"),
    [
        ("elena", Target(to_id=-2), "", Step.GIVE, Status.ASSIGNED, "boris"),
        ("elena", Target(Status.NEW), "", Step.TAKE_BACK, Status.NEW, None),
        ("elena", Target(Status.DONE), "Сделано", Step.FINISH, Status.DONE, "anna"),
        ("anna", Target(to_id=-2), "ваш участок", Step.HAND_ON, Status.ASSIGNED, "boris"),
        ("anna", Target(Status.NEW), "не мой участок", Step.DECLINE, Status.ASSIGNED, "boris"),
        ("anna", Target(Status.WAITING_CLIENT), "Какой счёт?", Step.ASK, Status.WAITING_CLIENT, "anna"),
        ("anna", Target(Status.DONE), "Оплачено", Step.FINISH, Status.DONE, "anna"),
    ],
)
def test_a_move_is_the_use_case_that_it_means(firm, key, target, words, step, status, holder):
    number = firm.accepted_by("anna")
    if target.to_id is not None:
        target = Target(to_id=firm.staff["boris"])
    assert move(firm, key, number, target, words) is step
    row = firm.request(number)
    assert row.status == status
    assert row.assignee_id == (firm.staff[holder] if holder else None)
    firm.check()


def test_a_done_request_is_taken_up_again(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.done, "anna", number, "Оплачено", ())
    assert move(firm, "elena", number, Target(Status.ACCEPTED), "не та сумма") is Step.REOPEN
    assert firm.request(number).status == Status.ACCEPTED
    firm.check()


@pytest.mark.parametrize(
    ("key", "target", "words", "field"),
    [
        ("anna", Target(Status.DONE), "  ", ""),
        ("anna", Target(Status.WAITING_CLIENT), "Сколько?", "no such field"),
        ("anna", Target(to_id=10_000), "возьмите", ""),
        ("elena", Target(to_id=-1), "", ""),
        ("boris", Target(Status.DONE), "Сделано", ""),
        ("galina", Target(to_id=-2), "", ""),
    ],
    ids=["no result", "no such field", "nobody", "to a controller", "not theirs", "a controller"],
)
def test_a_refused_move_leaves_everything_as_it_was(firm, key, target, words, field):
    number = firm.accepted_by("anna")
    if target.to_id is not None and target.to_id < 0:
        target = Target(to_id=firm.staff["galina" if target.to_id == -1 else "boris"])
    letters, before = len(firm.told()), firm.request(number)
    with pytest.raises(DeskError):
        move(firm, key, number, target, words, field)
    assert firm.request(number) == before
    assert len(firm.told()) == letters
    firm.check()


def test_an_older_board_moves_nothing_and_learns_who_was_faster(firm):
    number = firm.accepted_by("anna")
    seen = firm.request(number).version
    move(firm, "oleg", number, Target(to_id=firm.staff["boris"]))
    with pytest.raises(StaleVersion):
        move(firm, "elena", number, Target(Status.NEW), version=seen)
    with firm.database.read() as session:
        last = board.last_change(session, number)
    assert (last.actor, last.action, last.assignee) == ("Олег Замов", "reassigned", "Борис Лядов")
    with pytest.raises(NotYours):
        move(firm, "anna", number, Target(Status.DONE), "Сделано")


def test_of_two_who_move_at_once_one_wins(firm):
    number = firm.accepted_by("anna")
    seen = firm.request(number).version
    refused, start = [], threading.Barrier(2)

    def moved(key, target):
        start.wait()
        try:
            move(firm, key, number, target, version=seen)
        except StaleVersion:
            refused.append(key)

    hands = [
        threading.Thread(target=moved, args=("elena", Target(Status.NEW))),
        threading.Thread(target=moved, args=("oleg", Target(to_id=firm.staff["boris"]))),
    ]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert len(refused) == 1
    assert firm.request(number).version == seen + 1
    firm.check()


def test_deadlines_of_a_stretch_of_days(firm):
    soon, later = firm.accepted_by("anna", hours=3), firm.submitted_to("boris", hours=26)
    closed = firm.accepted_by("anna", hours=4)
    firm.do(casework.cancel, "elena", closed, "не нужно")
    day = timedelta(days=1)

    def due(since, until, **whose):
        with firm.database.read() as session:
            return [row.number for row in board.deadlines(session, since, until, **whose)]

    assert due(firm.clock, firm.clock + day) == [soon]
    assert due(firm.clock, firm.clock + 2 * day) == [soon, later]
    assert due(firm.clock, firm.clock + 2 * day, assignee_id=firm.staff["boris"]) == [later]
    assert due(firm.clock, firm.clock + 2 * day, own_of=firm.staff["anna"]) == [soon]
    assert due(firm.clock, firm.clock + 2 * day, assignee_id=0) == []


def test_the_time_line_of_who_was_busy_with_what(firm):
    start = firm.clock
    number = firm.accepted_by("anna", hours=5)
    firm.clock += 30 * MINUTE
    firm.do(casework.reassign, "elena", number, firm.staff["boris"], "")
    firm.clock += 30 * MINUTE

    def found(since, until, staff_id=None):
        with firm.database.read() as session:
            return [
                (one.name, one.stage.value, one.is_theirs)
                for one in board.stretches(session, since, until, staff_id)
                if one.ended_at is None or one.ended_at > one.started_at
            ]

    anna, boris = ("Анна Петрова", "execution", False), ("Борис Лядов", "processing", True)
    assert found(start, firm.clock) == [anna, boris]
    assert found(start + 31 * MINUTE, firm.clock) == [boris]
    assert found(start, firm.clock, firm.staff["anna"]) == [anna]
    firm.do(casework.cancel, "elena", number, "не нужно")
    firm.clock += timedelta(days=1)
    assert found(start, start + timedelta(hours=2)) == [anna, (*boris[:2], True)]
    assert found(firm.clock, firm.clock + timedelta(hours=2)) == []
