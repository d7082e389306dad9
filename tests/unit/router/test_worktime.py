from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from time import thread_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.escalation import accept_due, look_by
from router.worktime import HoursSince, WorkCalendar, parse_hours

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")

OFFICE = WorkCalendar(MOSCOW, time(9), time(18), (time(13), time(14)))
CALENDARS = {
    "Moscow with lunch": OFFICE,
    "Moscow without lunch": WorkCalendar(MOSCOW, time(10), time(19)),
    "Kamchatka, a year ahead of UTC": WorkCalendar(ZoneInfo("Asia/Kamchatka"), time(9), time(18)),
    "Berlin by day": WorkCalendar(BERLIN, time(9), time(18), (time(12, 30), time(13))),
    # Sunday night, when the clocks change, is worked: one hour of it is missing, or comes twice.
    "Berlin through the change of clocks": WorkCalendar(
        BERLIN,
        time(1, 30),
        time(5),
        (time(2, 15), time(2, 45)),
        extra_working_days=frozenset({date(2026, 3, 29), date(2026, 10, 25)}),
    ),
    "Berlin, an hour that is skipped": WorkCalendar(
        BERLIN, time(2, 15), time(3, 5), extra_working_days=frozenset({date(2026, 3, 29)})
    ),
    "its own days": WorkCalendar(
        MOSCOW,
        time(9),
        time(18),
        (time(17), time(18)),
        extra_working_days=frozenset({date(2026, 11, 28)}),
        extra_days_off=frozenset({date(2026, 11, 25)}),
    ),
    "other hours from a day on, and from another": OFFICE.from_day(
        HoursSince(date(2026, 3, 2), time(12), time(21), (time(16), time(16, 30)))
    ).from_day(HoursSince(date(2026, 11, 25), time(8), time(17), (time(12), time(13)))),
}

calendars = st.sampled_from(list(CALENDARS.values()))
zones = st.sampled_from([UTC, MOSCOW, BERLIN, ZoneInfo("America/New_York")])


def between(first: str, last: str) -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime.fromisoformat(first), datetime.fromisoformat(last), timezones=zones)


any_moment = (
    between("2024-01-01", "2029-12-31")
    | between("2026-03-28 22:00", "2026-03-29 08:00")
    | between("2026-10-24 22:00", "2026-10-25 08:00")
)


def at(text: str, zone: ZoneInfo = MOSCOW) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def in_order(*values: datetime) -> list[datetime]:
    return sorted(values, key=datetime.timestamp)


@pytest.mark.parametrize(
    ("day", "works"),
    [
        pytest.param("2026-11-25", True, id="a Wednesday"),
        pytest.param("2026-11-28", False, id="a Saturday"),
        pytest.param("2025-11-01", True, id="a Saturday worked by decree"),
        pytest.param("2027-02-20", True, id="another worked Saturday"),
        pytest.param("2025-05-02", False, id="a Friday freed by decree"),
        pytest.param("2026-03-09", False, id="a Monday for a Sunday holiday"),
        pytest.param("2026-01-08", False, id="New Year holidays"),
        pytest.param("2026-01-09", False, id="and the day transferred to their end"),
        pytest.param("2026-01-12", True, id="the first working day"),
        pytest.param("2031-05-09", False, id="a holiday of a year without a decree"),
        pytest.param("2105-01-01", False, id="a holiday beyond the library's knowledge"),
    ],
)
def test_working_days(day: str, works: bool):
    assert OFFICE.is_working_day(date.fromisoformat(day)) is works


@pytest.mark.parametrize(("year", "days"), [(2024, 248), (2025, 247), (2026, 247), (2027, 247)])
def test_a_year_has_as_many_working_days_as_the_official_calendar_says(year: int, days: int):
    every_day = (date(year, 1, 1) + timedelta(number) for number in range(366))
    assert sum(OFFICE.is_working_day(day) for day in every_day if day.year == year) == days


def test_the_firms_own_days_overrule_the_decrees():
    calendar = CALENDARS["its own days"]
    assert calendar.is_working_day(date(2026, 11, 28))
    assert not calendar.is_working_day(date(2026, 11, 25))


@pytest.mark.parametrize(
    ("day", "closes"),
    [
        pytest.param("2026-11-25", "18:00", id="usual"),
        pytest.param("2026-11-03", "17:00", id="before National Unity Day"),
        pytest.param("2027-02-20", "17:00", id="a worked Saturday in exchange for a short Monday"),
        pytest.param("2024-11-02", "17:00", id="a worked Saturday in exchange for 30 April"),
        pytest.param("2024-04-27", "18:00", id="a worked Saturday in exchange for a usual Monday"),
        pytest.param("2026-03-06", "18:00", id="a Friday before a holiday on Sunday"),
    ],
)
def test_closing_time(day: str, closes: str):
    assert OFFICE.closing_of(date.fromisoformat(day)) == at(f"{day} {closes}")
    assert OFFICE.closes_at(date.fromisoformat(day)) == time.fromisoformat(closes)
    assert OFFICE.opens_at(date.fromisoformat(day)) == time(9)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        pytest.param("2026-11-25 10:00", "2026-11-25 12:00", 2, id="in the morning"),
        pytest.param("2026-11-25 12:30", "2026-11-25 14:30", 1, id="over lunch"),
        pytest.param("2026-11-25 13:10", "2026-11-25 13:50", 0, id="inside lunch"),
        pytest.param("2026-11-25 17:00", "2026-11-26 10:00", 2, id="over night"),
        pytest.param("2026-11-27 17:00", "2026-11-30 10:00", 2, id="over a weekend"),
        pytest.param("2026-11-28 10:00", "2026-11-29 10:00", 0, id="inside a weekend"),
        pytest.param("2025-12-30 17:00", "2026-01-12 10:00", 2, id="over New Year"),
        pytest.param("2026-11-03 16:00", "2026-11-05 10:00", 2, id="over a short day and a holiday"),
        pytest.param("2026-11-26 10:00", "2026-11-25 10:00", 0, id="backwards"),
    ],
)
def test_working_seconds(start: str, end: str, hours: int):
    assert OFFICE.working_seconds(at(start), at(end)) == hours * 3600


@given(calendars, st.lists(any_moment, min_size=2, max_size=6))
def test_what_has_elapsed_between_two_moments_are_its_working_seconds(calendar, moments):
    moments = in_order(*moments)
    seconds = [int(moment.timestamp() // 1) for moment in moments]
    passed = calendar.elapsed(seconds[0], seconds[-1])
    for start, end in pairwise(range(len(moments))):
        spent = passed(seconds[end]) - passed(seconds[start])
        assert spent == calendar.working_seconds(moments[start], moments[end])


def test_an_hour_that_comes_twice_is_counted_twice():
    night = CALENDARS["Berlin through the change of clocks"]
    day = night.working_seconds(at("2026-10-23", BERLIN), at("2026-10-24", BERLIN))
    assert night.working_seconds(at("2026-10-25", BERLIN), at("2026-10-26", BERLIN)) == day + 3600
    first, again = at("2026-10-25 02:50", BERLIN), at("2026-10-25 02:50", BERLIN).replace(fold=1)
    assert night.working_seconds(first, again) == 3600
    assert night.working_seconds(again, first) == 0


@pytest.mark.parametrize(
    ("start", "seconds", "end"),
    [
        pytest.param("2026-11-25 10:00", 3600, "2026-11-25 11:00", id="inside the morning"),
        pytest.param("2026-11-25 12:30", 3600, "2026-11-25 14:30", id="over lunch"),
        pytest.param("2026-11-25 17:00", 3600, "2026-11-25 18:00", id="exactly at closing"),
        pytest.param("2026-11-25 17:00", 3601, "2026-11-26 09:00:01", id="a second later"),
        pytest.param("2026-11-28 12:00", 0, "2026-11-30 09:00", id="nothing, on a Saturday"),
        pytest.param("2026-11-25 10:00:30", 0, "2026-11-25 10:00:30", id="nothing, at work"),
        pytest.param("2026-12-30 17:30", 3600, "2027-01-11 09:30", id="over New Year"),
    ],
)
def test_add_working(start: str, seconds: int, end: str):
    assert OFFICE.add_working(at(start), seconds) == at(end)


@pytest.mark.parametrize(
    ("moment", "opens", "is_open"),
    [
        pytest.param("2026-11-25 09:00", "2026-11-25 09:00", True, id="opening"),
        pytest.param("2026-11-25 08:59:59", "2026-11-25 09:00", False, id="before it"),
        pytest.param("2026-11-25 13:00", "2026-11-25 14:00", False, id="lunch"),
        pytest.param("2026-11-25 17:59:59", "2026-11-25 17:59:59", True, id="the last second"),
        pytest.param("2026-11-25 18:00", "2026-11-26 09:00", False, id="closing"),
        pytest.param("2026-11-27 20:00", "2026-11-30 09:00", False, id="Friday night"),
        pytest.param("2026-12-31 12:00", "2027-01-11 09:00", False, id="the last day of the year"),
    ],
)
def test_next_opening(moment: str, opens: str, is_open: bool):
    assert OFFICE.is_open(at(moment)) is is_open
    assert OFFICE.next_opening(at(moment)) == at(opens)


def test_promises_are_counted_from_the_next_opening():
    assert look_by(at("2026-11-28 15:00"), OFFICE, 60) == at("2026-11-30 10:00")
    assert look_by(at("2026-11-28 15:00"), OFFICE, 0) == at("2026-11-30 09:00")
    assert accept_due(at("2026-11-27 17:50"), OFFICE, 15) == at("2026-11-30 09:05")


@pytest.mark.parametrize(("year", "known"), [(2024, True), (2026, True), (2027, True), (2040, False)])
def test_a_year_without_a_decree_is_not_known(year: int, known: bool):
    assert OFFICE.knows_year(year) is known


def test_a_year_with_the_firms_own_days_is_known():
    own = WorkCalendar(MOSCOW, time(9), time(18), extra_days_off=frozenset({date(2040, 1, 9)}))
    assert own.knows_year(2040)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        pytest.param("09:00-18:00", time(9), time(18), id="as written"),
        pytest.param(" 9:30 – 17:45 ", time(9, 30), time(17, 45), id="with spaces and a dash"),
    ],
)
def test_hours_are_read(text: str, begin: time, end: time):
    assert parse_hours(text) == (begin, end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "с девяти до шести",
        "18:00-09:00",
        "09:00-09:00",
        "9-18",
        "09:00-24:00",
        "09:60-18:00",
        "٠٩:٠٠-18:00",
    ],
)
def test_wrong_hours_are_refused_with_a_sentence(text: str):
    with pytest.raises(ValueError, match="Hours are written as"):
        parse_hours(text)


@pytest.mark.parametrize(
    ("hours", "sentence"),
    [
        pytest.param({"opens": time(18), "closes": time(9)}, "must close after it opens", id="backwards"),
        pytest.param({"lunch": (time(8), time(10))}, "inside the working hours", id="lunch before opening"),
        pytest.param(
            {
                "extra_days_off": frozenset({date(2026, 5, 4)}),
                "extra_working_days": frozenset({date(2026, 5, 4)}),
            },
            "2026-05-04 stands both",
            id="a day both worked and free",
        ),
    ],
)
def test_an_impossible_calendar_is_refused(hours: dict, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        WorkCalendar(**{"zone": MOSCOW, "opens": time(9), "closes": time(18), **hours})


def test_negative_working_time_cannot_be_added():
    with pytest.raises(ValueError, match="added, not taken away"):
        OFFICE.add_working(at("2026-11-25 10:00"), -1)


def test_a_firm_that_works_too_little_is_told_so():
    brief = WorkCalendar(MOSCOW, time(9), time(9, 1))
    with pytest.raises(ValueError, match="within 100 years"):
        brief.add_working(at("2026-11-25 10:00"), 10_000_000)


def test_hours_of_a_day_leave_the_days_before_and_put_away_what_was_to_come():
    day = date(2026, 11, 25)
    later = OFFICE.from_day(HoursSince(day + timedelta(days=20), time(10), time(19)))
    now = later.from_day(
        HoursSince(day, time(8), time(17), extra_days_off=frozenset({day - timedelta(days=1), day}))
    )
    days = [day - timedelta(days=1), day + timedelta(days=1), day + timedelta(days=20)]
    assert [later.opens_at(each).hour for each in days] == [9, 9, 10]
    assert [now.opens_at(each).hour for each in days] == [9, 8, 8]
    assert [now.is_working_day(each) for each in (day - timedelta(days=1), day)] == [True, False]
    before = at("2026-01-01"), at("2026-11-25")
    assert now.working_seconds(*before) == OFFICE.working_seconds(*before)
    assert OFFICE not in {later, now}


def test_calendars_are_equal_by_what_they_say_not_by_what_they_have_counted():
    used, fresh = (WorkCalendar(MOSCOW, time(9), time(18)) for _number in range(2))
    used.working_seconds(at("2026-01-01"), at("2027-01-01"))
    assert used == fresh
    assert hash(used) == hash(fresh)


@given(calendars, any_moment, any_moment, any_moment)
def test_working_time_adds_up_exactly(calendar: WorkCalendar, a: datetime, b: datetime, c: datetime):
    a, b, c = in_order(a, b, c)
    assert calendar.working_seconds(a, b) + calendar.working_seconds(b, c) == calendar.working_seconds(a, c)


@given(calendars, any_moment, any_moment)
def test_working_time_is_never_negative_nor_more_than_real_time(
    calendar: WorkCalendar, a: datetime, b: datetime
):
    a, b = in_order(a, b)
    assert 0 <= calendar.working_seconds(a, b) <= b.timestamp() - a.timestamp() + 1
    assert calendar.working_seconds(b, a) == 0


@given(calendars, any_moment, any_moment, any_moment)
def test_a_later_end_never_makes_less_of_it(calendar: WorkCalendar, a: datetime, b: datetime, c: datetime):
    a, b, c = in_order(a, b, c)
    assert calendar.working_seconds(a, b) <= calendar.working_seconds(a, c)
    assert calendar.working_seconds(b, c) <= calendar.working_seconds(a, c)


@given(calendars, any_moment, st.integers(1, 400 * 3600))
@example(CALENDARS["Berlin, an hour that is skipped"], datetime(2026, 3, 28, 22, tzinfo=UTC), 1)
def test_adding_is_the_inverse_of_counting_and_lands_inside_the_hours(
    calendar: WorkCalendar, start: datetime, seconds: int
):
    end = calendar.add_working(start, seconds)
    assert calendar.working_seconds(start, end) == seconds
    assert calendar.working_seconds(start, end - timedelta(seconds=1)) == seconds - 1
    assert calendar.is_open(end - timedelta(seconds=1))


@given(calendars, any_moment)
def test_the_next_opening_is_open_and_nothing_is_worked_before_it(calendar: WorkCalendar, moment: datetime):
    opening = calendar.next_opening(moment)
    assert opening.timestamp() >= moment.timestamp()
    assert calendar.is_open(opening)
    assert calendar.working_seconds(moment, opening) == 0
    assert calendar.next_opening(opening) == opening


_DATED = ("other hours from a day on, and from another",)


@settings(max_examples=30)
@example(_DATED[0], datetime(2026, 11, 24, 18, tzinfo=UTC), 20 * 60)
@given(st.sampled_from(["Moscow with lunch", "Berlin by day", *_DATED]), any_moment, st.integers(0, 40 * 60))
def test_the_sum_equals_counting_open_minutes_one_by_one(name: str, start: datetime, minutes: int):
    calendar = CALENDARS[name]
    first = start.astimezone(UTC).replace(second=0, microsecond=0)
    every_minute = (first + timedelta(minutes=number) for number in range(minutes))
    expected = 60 * sum(_open_by_hand(calendar, minute) for minute in every_minute)
    assert calendar.working_seconds(first, first + timedelta(minutes=minutes)) == expected


def _open_by_hand(calendar: WorkCalendar, moment: datetime) -> bool:
    local = moment.astimezone(calendar.zone)
    if not calendar.is_working_day(local.date()) or moment >= calendar.closing_of(local.date()):
        return False
    hours = [each for each in calendar.dated if each.since <= local.date()][-1]
    assert hours.lunch
    return hours.opens <= local.time() and not hours.lunch[0] <= local.time() < hours.lunch[1]


def test_ten_years_are_counted_in_no_time():
    start, end = at("2020-01-01 12:00"), at("2030-01-01 12:00")
    OFFICE.working_seconds(start, end)
    begun = thread_time()
    for _number in range(1000):
        OFFICE.working_seconds(start, end)
    assert (thread_time() - begun) / 1000 < 0.001
