"""When a deadline is in danger: working time left against the time that such work takes."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.texts import Catalogue
from router.risk import UNKNOWN_WORK_SECONDS, risk_of
from router.worktime import WorkCalendar

MOSCOW = ZoneInfo("Europe/Moscow")
CALENDAR = WorkCalendar(MOSCOW, time(9), time(18), (time(13), time(14)))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=MOSCOW).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "deadline", "usual_minutes", "in_danger"),
    [
        pytest.param(at(25, 11), at(25, 12), 90, True, id="an hour left, the work takes an hour and a half"),
        pytest.param(at(25, 11), at(25, 12), 60, False, id="just enough"),
        pytest.param(at(25, 11), at(25, 12), 20, False, id="plenty"),
        pytest.param(at(25, 12, 30), at(25, 14, 30), 61, True, id="lunch is no working time"),
        pytest.param(at(25, 17, 30), at(26, 9, 30), 61, True, id="nor is the night"),
        pytest.param(at(27, 17, 30), at(30, 9, 30), 60, False, id="nor the weekend"),
        pytest.param(at(25, 9), at(25, 10, 59), None, True, id="unknown work, under two hours"),
        pytest.param(at(25, 9), at(25, 11), None, False, id="unknown work, two hours"),
        pytest.param(at(25, 11), at(25, 10, 59), 600, False, id="late already: another figure"),
        pytest.param(at(28, 11), at(28, 18), 1, True, id="due on a day off"),
    ],
)
def test_a_deadline_is_in_danger_when_the_work_takes_longer(now, deadline, usual_minutes, in_danger):
    usual = None if usual_minutes is None else usual_minutes * 60
    assert (risk_of(deadline, now, CALENDAR, usual) is not None) is in_danger


@pytest.mark.parametrize(
    ("usual", "told"),
    [
        (
            5400,
            "Осталось рабочего времени: 59 мин. Исполнение такой заявки обычно занимает 1 ч 30 мин.",
        ),
        (
            None,
            (
                "Осталось рабочего времени: 59 мин. Сколько занимают такие заявки, пока неизвестно; "
                "меньше двух рабочих часов — уже опасно."
            ),
        ),
    ],
    ids=["known", "unknown"],
)
def test_the_reason_names_both_times(usual, told):
    risk = risk_of(at(25, 11, 59), at(25, 11), CALENDAR, usual)
    assert risk is not None
    assert Catalogue.open("ru").say(risk.reason) == told


@given(
    left=st.integers(0, 60 * 24 * 10),
    usual=st.none() | st.integers(0, 100_000),
    longer=st.integers(0, 60 * 24),
)
def test_more_time_is_never_more_danger(left, usual, longer):
    now = at(25, 11)
    soon, later = now + timedelta(minutes=left), now + timedelta(minutes=left + longer)
    if risk_of(soon, now, CALENDAR, usual) is None:
        assert risk_of(later, now, CALENDAR, usual) is None


@given(minutes=st.integers(0, 60 * 24 * 5), usual=st.none() | st.integers(0, 100_000))
def test_the_time_left_is_less_than_the_time_needed(minutes, usual):
    now = at(25, 11)
    risk = risk_of(now + timedelta(minutes=minutes), now, CALENDAR, usual)
    if risk is not None:
        assert 0 <= risk.left_seconds < (UNKNOWN_WORK_SECONDS if usual is None else usual)
