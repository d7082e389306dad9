"""The geometry of the time-line: positions follow working time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.gantt import LATE, LEAST, PLANNED, WIDTH, lanes, scale_of
from router.model import Stage, Status
from router.worktime import WorkCalendar
from storage.board import Stretch

MOSCOW = ZoneInfo("Europe/Moscow")
CALENDAR = WorkCalendar(MOSCOW, time(9), time(18), (time(13), time(14)))
WEEK = tuple(date(2026, 11, 23) + timedelta(days=number) for number in range(7))


def at(day, hour, minute=0):
    return datetime(2026, 11, day, hour, minute, tzinfo=MOSCOW).astimezone(UTC)


DAY = scale_of((date(2026, 11, 25),), CALENDAR)
SINCE, UNTIL, NOW = at(25, 0), at(26, 0), at(25, 12)


@pytest.mark.parametrize(
    ("moment", "x"),
    [
        (at(25, 9), 0),
        (at(25, 13, 30), 500),
        (at(25, 18), 1000),
        (at(25, 3), 0),
        (at(25, 23), 1000),
        (at(24, 12), 0),
        (at(26, 12), 1000),
    ],
)
def test_a_day_is_its_working_hours(moment, x):
    assert DAY.x(moment) == pytest.approx(x)


def test_a_week_is_its_working_days():
    week = scale_of(WEEK, CALENDAR)
    assert [day.day for day, _x in week.starts()] == [23, 24, 25, 26, 27]
    assert week.x(at(24, 9)) == pytest.approx(200)
    assert week.x(at(28, 12)) == week.x(at(27, 18)) == pytest.approx(1000)
    assert scale_of(WEEK[5:], CALENDAR).days == WEEK[5:], "a weekend alone is shown all the same"


@given(minutes=st.lists(st.integers(0, 9 * 24 * 60), min_size=2, max_size=2).map(sorted))
def test_later_is_never_further_left(minutes):
    week = scale_of(WEEK, CALENDAR)
    early, late = (at(22, 0) + timedelta(minutes=count) for count in minutes)
    assert 0 <= week.x(early) <= week.x(late) <= WIDTH


def stretch(
    stage, begins, ends, *, number=7, deadline=None, theirs=True, status=Status.ACCEPTED, who=(1, "А")
):
    return Stretch(
        number, "ООО «Ромашка»", status, deadline or at(25, 16), theirs, who[0], who[1], stage, begins, ends
    )


def looks(found, now=NOW):
    return [
        [(bar.look, round(bar.x), round(bar.width)) for bar in line.bars]
        for lane in lanes(found, DAY, SINCE, UNTIL, now)
        for line in lane.lines
    ]


def test_stages_follow_one_another_and_the_rest_is_planned():
    found = [
        stretch(Stage.PROCESSING, at(25, 9), at(25, 10, 30)),
        stretch(Stage.EXECUTION, at(25, 10, 30), None),
    ]
    assert looks(found) == [[("processing", 0, 167), ("execution", 167, 167), (PLANNED, 333, 444)]]


def test_a_passed_deadline_shows_how_long_ago():
    assert looks([stretch(Stage.EXECUTION, at(25, 9), None, deadline=at(25, 10, 30))]) == [
        [("execution", 0, 333), (LATE, 167, 167)]
    ]


@pytest.mark.parametrize(
    "found",
    [
        stretch(Stage.EXECUTION, at(25, 9), at(25, 10), theirs=False),
        stretch(Stage.EXECUTION, at(25, 9), at(25, 10), status=Status.DONE),
    ],
    ids=["given away", "done"],
)
def test_only_what_is_still_theirs_is_planned(found):
    assert looks([found]) == [[("execution", 0, 111)]]


def test_a_moment_is_still_seen_and_nothing_sticks_out():
    found = [
        stretch(Stage.PROCESSING, at(25, 17, 59), at(25, 18), theirs=False),
        stretch(Stage.PROCESSING, at(25, 19), at(25, 20), theirs=False, number=8),
    ]
    for lane in lanes(found, DAY, SINCE, UNTIL, at(25, 21)):
        for line in lane.lines:
            for bar in line.bars:
                assert bar.width >= LEAST
                assert bar.x + bar.width <= WIDTH + 0.1


def test_nothing_is_shown_of_what_lasted_no_time_or_was_elsewhen():
    given_and_lost = stretch(Stage.PROCESSING, at(25, 9), at(25, 9), theirs=False)
    later = stretch(Stage.PROCESSING, at(25, 15), None, number=8, deadline=at(27, 9), theirs=False)
    assert lanes([given_and_lost, later], DAY, SINCE, UNTIL, NOW) == ()


def test_people_keep_their_own_lines():
    found = [
        stretch(Stage.EXECUTION, at(25, 9), at(25, 10), who=(1, "Анна"), theirs=False),
        stretch(Stage.EXECUTION, at(25, 10), None, who=(2, "Борис")),
        stretch(Stage.EXECUTION, at(25, 11), None, who=(2, "Борис"), number=8),
    ]
    made = lanes(found, DAY, SINCE, UNTIL, NOW)
    assert [(lane.name, [line.number for line in lane.lines]) for lane in made] == [
        ("Анна", [7]),
        ("Борис", [7, 8]),
    ]
