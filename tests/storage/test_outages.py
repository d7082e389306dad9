"""Times without us, as they are noticed, told to those who answer for it, and counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select

from router.worktime import WorkCalendar, parse_hours
from storage import casework, outages
from storage.models import History, Letter, Outage
from storage.outages import SERVICE, Cause, Span, beat, during, follow, stop, working_seconds
from storage.sweeps import Unreachable
from storage.times import Measure, TimesFilter, response_times, without_us
from tests.storage.firm import MINUTE, MOSCOW, WEDNESDAY, Firm


class Watched(Firm):
    """Looks as the timers do."""

    def beats(self, *, starting=False):
        with self.database.begin() as session:
            return beat(session, self.house, self.clock, starting=starting)

    def stops(self):
        with self.database.begin() as session:
            stop(session, self.clock)

    def looks(self, silent_since=None, *, answers=True):
        silent = (Unreachable("webchat", silent_since, ""),) if silent_since else ()
        with self.database.begin() as session:
            return follow(session, self.house, self.clock, silent, {"webchat": answers})

    def outages(self):
        return [(row.scope, row.cause, row.started_at, row.ended_at) for row in self.rows(Outage)]

    def alarms(self):
        with self.database.read() as session:
            keys = select(Letter.key).where(Letter.key.like("outage:%"))
            return sorted(session.execute(keys).scalars())


@pytest.fixture
def firm(database):
    opened = Watched.open(database)
    opened.house = replace(opened.house, switched_on=frozenset({"webchat"}))
    yield opened
    opened.check()


@pytest.mark.parametrize("minutes", [1, 3], ids=["a restart", "three minutes"])
def test_a_short_gap_is_nobodys_business(firm, minutes):
    firm.beats()
    firm.clock += minutes * MINUTE
    assert not firm.beats(starting=True)
    assert firm.outages() == []


def test_the_first_start_of_all_is_no_outage(firm):
    assert not firm.beats(starting=True)
    assert firm.outages() == []


@pytest.mark.parametrize("starting", [True, False], ids=["crashed", "stalled"])
def test_a_gap_is_kept_once_and_told_to_those_who_answer_for_it(firm, starting):
    firm.beats()
    firm.clock += 30 * MINUTE
    assert firm.beats(starting=starting)
    assert not firm.beats(starting=starting)
    cause = "crashed" if starting else "stalled"
    assert firm.outages() == [(SERVICE, cause, WEDNESDAY, WEDNESDAY + 30 * MINUTE)]
    people = sorted(f"outage:1:{firm.people[name]}" for name in ("elena", "oleg"))
    assert firm.alarms() == people
    assert "Программа не работала" in firm.letters("elena")[-1].text
    assert [row.subject for row in firm.rows(History) if row.action == "outage"] == ["outage:1"]


@pytest.mark.parametrize(("minutes", "alarmed"), [(10, 0), (11, 2)], ids=["ten", "eleven"])
def test_ten_minutes_wake_nobody(firm, minutes, alarmed):
    firm.beats()
    firm.clock += minutes * MINUTE
    firm.beats(starting=True)
    assert len(firm.outages()) == 1
    assert len(firm.alarms()) == alarmed


def test_what_was_switched_off_alarms_nobody(firm):
    firm.beats()
    firm.clock += MINUTE
    firm.stops()
    firm.clock += 60 * MINUTE
    assert not firm.beats(starting=True)
    assert firm.outages() == [(SERVICE, "stopped", WEDNESDAY + MINUTE, WEDNESDAY + 61 * MINUTE)]
    assert firm.alarms() == []


def test_an_old_stop_does_not_excuse_a_crash(firm):
    firm.stops()
    firm.clock += MINUTE
    firm.beats(starting=True)
    firm.clock += 60 * MINUTE
    firm.beats(starting=True)
    assert [cause for _scope, cause, _since, _until in firm.outages()] == ["crashed"]


def test_a_messenger_is_away_from_its_first_silence_until_it_answers(firm):
    since = firm.clock
    firm.clock += 3 * MINUTE
    assert not firm.looks(since, answers=False)
    assert firm.outages() == []
    firm.clock += MINUTE
    for _look in range(2):
        firm.looks(since, answers=False)
    assert firm.outages() == [("webchat", "unreachable", since, None)]
    assert not firm.looks(answers=None), "after a restart nobody has asked it yet"
    assert firm.outages()[0][3] is None
    firm.clock += 10 * MINUTE
    assert firm.looks()
    assert not firm.looks()
    assert firm.outages() == [("webchat", "unreachable", since, since + 14 * MINUTE)]
    assert len(firm.alarms()) == 2
    assert "снова на связи" in firm.letters("elena")[-1].text


def test_another_process_neither_ends_it_nor_begins_it_twice(firm):
    since = firm.clock
    firm.clock += 5 * MINUTE
    firm.looks(since, answers=False)
    with firm.database.begin() as session:
        follow(session, firm.house, firm.clock, (), {})
    assert firm.outages() == [("webchat", "unreachable", since, None)]
    firm.looks(answers=True)
    firm.clock += MINUTE
    firm.looks(since, answers=False)
    assert firm.outages() == [("webchat", "unreachable", since, None)]


def test_an_outage_of_a_messenger_that_runs_no_more_is_over(firm):
    with firm.database.begin() as session:
        session.add(Outage(scope="viber", cause="unreachable", started_at=firm.clock))
    firm.clock += 5 * MINUTE
    firm.looks()
    assert firm.outages()[0][3] == firm.clock


def test_what_touches_a_period(firm):
    with firm.database.begin() as session:
        for scope, start, end in ((SERVICE, 0, 10), ("webchat", 20, None), ("vk", 30, 40)):
            ended_at = None if end is None else WEDNESDAY + end * MINUTE
            session.add(
                Outage(scope=scope, cause="crashed", started_at=WEDNESDAY + start * MINUTE, ended_at=ended_at)
            )

    def scopes(wanted, since, until):
        with firm.database.read() as session:
            found = during(session, wanted, WEDNESDAY + since * MINUTE, WEDNESDAY + until * MINUTE)
            return [span.scope for span in found]

    assert scopes((), 0, 60) == [SERVICE, "webchat", "vk"]
    assert scopes((SERVICE, "webchat"), 0, 60) == [SERVICE, "webchat"]
    assert scopes((), 10, 20) == []
    assert scopes((), 50, 60) == ["webchat"]


# --- counting -----------------------------------------------------------------------------------

CALENDAR = WorkCalendar(MOSCOW, *parse_hours("09:00-18:00"), lunch=parse_hours("13:00-14:00"))
BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
END = BEGIN + timedelta(days=7)
minutes = st.integers(0, 7 * 24 * 60)
spans = st.lists(st.tuples(minutes, st.integers(1, 500), st.integers(0, 9)), max_size=4).map(
    lambda found: [
        Span(
            number, SERVICE, Cause.CRASHED, BEGIN + timedelta(minutes=start),
            None if not open_ended else BEGIN + timedelta(minutes=start + lasted),
        )
        for number, (start, lasted, open_ended) in enumerate(found)
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(spans)
def test_outages_that_overlap_count_once(found):
    counted = working_seconds(found, CALENDAR, BEGIN, END)
    covered = {
        minute
        for span in found
        for minute in range(
            int((span.started_at - BEGIN).total_seconds() // 60),
            int((min(span.until(END), END) - BEGIN).total_seconds() // 60),
        )
    }
    each = (
        CALENDAR.working_seconds(BEGIN + timedelta(minutes=at), BEGIN + timedelta(minutes=at + 1))
        for at in covered
    )
    assert counted == sum(each)
    assert counted <= CALENDAR.working_seconds(BEGIN, END)


def test_the_beginning_outside_the_period_does_not_count():
    span = Span(1, SERVICE, Cause.CRASHED, WEDNESDAY - 60 * MINUTE, WEDNESDAY + 10 * MINUTE)
    assert outages.working_seconds([span], CALENDAR, WEDNESDAY, WEDNESDAY + 60 * MINUTE) == 600


# --- reports ------------------------------------------------------------------------------------

WANTED = TimesFilter(WEDNESDAY - timedelta(days=1), WEDNESDAY + timedelta(days=1))


def figures(firm, wanted=WANTED):
    with firm.database.read() as session:
        found = response_times(session, wanted, firm.house.calendar)
        return found, without_us(session, wanted, firm.house.calendar, firm.clock)


def answers_late(firm):
    """A request that is answered after forty minutes, twenty of which nobody was there."""
    number = firm.accepted_by("anna")
    firm.clock += 10 * MINUTE
    firm.beats()
    firm.clock += 20 * MINUTE
    beaten = firm.clock
    firm.clock += 10 * MINUTE
    firm.do(casework.answer, "anna", number, "Сделаем сегодня.", ())
    return beaten


def test_minutes_without_us_stand_apart_and_change_no_figure(firm):
    back_at = answers_late(firm)
    before, nothing = figures(firm)
    assert (nothing.missed, nothing.seconds, nothing.first_response) == ((), 0, None)
    now, firm.clock = firm.clock, back_at
    firm.beats(starting=True)
    firm.clock = now
    after, absent = figures(firm)
    assert after == before
    assert after.overall[Measure.FIRST_RESPONSE].median_minutes == 40
    assert absent.first_response.median_minutes == 20
    assert (absent.seconds, [(each.seconds, each.requests) for each in absent.missed]) == (1200, [(1200, 1)])


def test_another_messengers_outage_costs_a_request_nothing(firm):
    answers_late(firm)
    with firm.database.begin() as session:
        session.add(
            Outage(scope="vk", cause="unreachable", started_at=WEDNESDAY, ended_at=WEDNESDAY + 20 * MINUTE)
        )
    _found, absent = figures(firm)
    assert absent.first_response.median_minutes == 40
    assert [each.requests for each in absent.missed] == [0]
    assert figures(firm, replace(WANTED, channel="webchat"))[1].missed == ()


def test_the_night_is_no_working_time(firm):
    evening = WEDNESDAY.replace(hour=15)  # closing
    with firm.database.begin() as session:
        session.add(
            Outage(scope=SERVICE, cause="crashed", started_at=evening, ended_at=evening + timedelta(hours=15))
        )
    firm.clock = WEDNESDAY + timedelta(days=1)
    _found, absent = figures(firm, TimesFilter(WEDNESDAY, firm.clock))
    assert [each.seconds for each in absent.missed] == [0]
