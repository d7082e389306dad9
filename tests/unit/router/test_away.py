"""Own working hours, and who stands in for the client's accountant while that one is away."""

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import schedule
from router.assign import assign
from router.model import Candidate
from router.rules import RuleContext, RuleWeights
from tests.unit.router.people import ANNA, BORIS, CALENDAR, CONTEXT, MOSCOW, NOW, PAYMENT, VERA, teams
from tests.unit.router.reading import read

MORNINGS = schedule.from_json({"0": ["09:00", "13:00"], "2": ["09:00", "13:00"], "5": ["10:00", "12:00"]})
ANNAS = replace(PAYMENT, responsible_id=ANNA.staff_id, substitute_id=VERA.staff_id)


def at(day: int, hour: int, minute: int = 0) -> RuleContext:
    return RuleContext(datetime(2026, 11, day, hour, minute, tzinfo=MOSCOW), CALENDAR)


def reasons(person: Candidate, *team: Candidate, work=PAYMENT, context=CONTEXT) -> list[str]:
    verdicts = assign(work, (person, *team), context).verdicts
    own = next(verdict for verdict in verdicts if verdict.staff_id == person.staff_id)
    return [read(reason) for reason in own.reasons]


@pytest.mark.parametrize(
    ("context", "works"),
    [
        pytest.param(at(25, 9), True, id="the first minute"),
        pytest.param(at(25, 12, 59), True, id="the last minute"),
        pytest.param(at(25, 13), False, id="after it"),
        pytest.param(at(25, 8, 59), False, id="before"),
        pytest.param(at(26, 11), False, id="a day that is not named"),
        pytest.param(at(28, 11), True, id="a Saturday of one's own"),
        pytest.param(at(29, 11), False, id="a Sunday"),
    ],
)
def test_own_hours_are_in_the_zone_of_the_firm(context, works):
    told = reasons(replace(ANNA, hours=MORNINGS), context=context)
    assert ("сейчас нерабочее время по личному графику" in told) is not works


def test_the_hours_of_the_firm_are_told_by_the_shift():
    assert "сейчас нерабочее время по личному графику" not in reasons(ANNA, context=at(25, 22))


def test_outside_own_hours_only_when_there_is_nobody_else():
    late, anna = at(25, 14), replace(ANNA, hours=MORNINGS)
    busy = replace(BORIS, open_requests=9, skills=frozenset())
    work = replace(PAYMENT, responsible_id=ANNA.staff_id)
    assert assign(work, (anna, busy), late).staff_id == BORIS.staff_id
    assert assign(work, (anna, replace(busy, on_shift=False)), late).staff_id == ANNA.staff_id
    assert assign(work, (anna, busy), at(25, 12)).staff_id == ANNA.staff_id


@given(
    team=teams,
    weights=st.builds(RuleWeights, dedicated=st.integers(0, 5000), skill=st.integers(0, 900),
                      no_skill=st.integers(-900, 0), open_request=st.integers(-100, 0),
                      open_requests_at_most=st.integers(-5000, 0), recorded=st.integers(0, 5000)),
    out=st.frozensets(st.integers(1, 12)),
    whose=st.integers(1, 12),
)  # fmt: skip
def test_whatever_the_weights_nobody_is_disturbed_while_somebody_works(team, weights, out, whose):
    context = replace(at(25, 14), weights=weights)
    people = [replace(person, hours=MORNINGS) if person.staff_id in out else person for person in team]
    work = replace(PAYMENT, responsible_id=whose, recorded_by_id=whose)
    decision = assign(work, people, context)
    free = {verdict.staff_id for verdict in decision.verdicts if not verdict.excluded}
    if decision.staff_id in out:
        assert free <= out


@pytest.mark.parametrize(
    ("anna", "stands_in"),
    [
        pytest.param(ANNA, False, id="there"),
        pytest.param(replace(ANNA, open_requests=10), False, id="there, and full"),
        pytest.param(replace(ANNA, absent_until=NOW + timedelta(days=3)), True, id="on leave"),
        pytest.param(replace(ANNA, absent_until=NOW), False, id="back at this moment"),
        pytest.param(replace(ANNA, on_shift=False), True, id="not on shift"),
        pytest.param(replace(ANNA, active=False), True, id="has left"),
        pytest.param(
            replace(ANNA, hours=((time(14), time(18)),) * 7), True, id="by her own hours not yet"
        ),
    ],
)  # fmt: skip
def test_the_substitute_stands_in_while_the_accountant_is_away(anna, stands_in):
    vera = replace(VERA, open_requests=8)
    told = reasons(vera, anna, BORIS, work=ANNAS)
    assert ("заменяет ответственного: его сейчас нет" in told) is stands_in
    chosen = assign(ANNAS, (anna, BORIS, vera), CONTEXT).staff_id
    assert (chosen == VERA.staff_id) is stands_in


def test_the_substitute_too_may_be_away():
    anna, vera = (replace(person, on_shift=False) for person in (ANNA, VERA))
    assert assign(ANNAS, (anna, BORIS, vera), CONTEXT).staff_id == BORIS.staff_id


@pytest.mark.parametrize(
    ("kept", "monday"),
    [
        ({}, None),
        ({"0": None}, None),
        ({"0": ["09:00"]}, None),
        ({"0": ["late", "18:00"]}, None),
        ({"0": ["18:00", "09:00"]}, None),
        ({"0": ["09:00", "15:30"]}, (time(9), time(15, 30))),
    ],
)
def test_hours_are_read_as_they_were_kept(kept, monday):
    hours = schedule.from_json(kept)
    assert (hours[0] if hours else None) == monday
    assert schedule.from_json(schedule.to_json(hours)) == hours
