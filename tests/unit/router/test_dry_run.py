"""Other weights: today's are today's decisions, and the past is played the same way twice."""

import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.kinds import BY_CODE, KINDS
from router.assign import assign
from router.dry_run import Past, PastPerson, PastWork, Span, compare
from router.model import Exclude, Prefer
from router.rules import OUR_WEIGHTS, RULES, RuleContext, RuleWeights, has_room
from tests.unit.router.people import ANNA, BORIS, CALENDAR, NOW, PAYMENT, VERA, teams, works

MONDAY = datetime(2026, 11, 2, 6, tzinfo=UTC)
"""09:00 in Moscow."""
HOUR = timedelta(hours=1)
EVEN = RuleWeights(dedicated=0)

OF_OLD = {
    "dedicated": 1000, "recorded": 200, "skill": 50, "no_skill": -50, "open_request": -10,
    "open_requests_at_most": -500,
}  # fmt: skip
"""The points as they were constants."""


def points_of_old(work, person):
    """Today's preferences, written out once more."""
    kind = BY_CODE.get(work.kind)
    points = 0
    if kind is not None and kind.skill:
        points += OF_OLD["skill"] if kind.skill in person.skills else OF_OLD["no_skill"]
    if person.staff_id == work.responsible_id:
        points += OF_OLD["dedicated"]
    if person.staff_id == work.recorded_by_id:
        points += OF_OLD["recorded"]
    return points + max(OF_OLD["open_request"] * person.open_requests, OF_OLD["open_requests_at_most"])


@given(works, teams)
def test_the_defaults_decide_as_the_constants_did(work, people):
    decision = assign(work, people, RuleContext(NOW, CALENDAR))
    assert decision == assign(work, people, RuleContext(NOW, CALENDAR, RuleWeights()))
    by_id = {person.staff_id: person for person in people}
    for verdict in decision.verdicts:
        person = by_id[verdict.staff_id]
        assert verdict.points == points_of_old(work, person)
        full = [isinstance(has_room(work, person, RuleContext(NOW, CALENDAR)), Exclude)]
        assert full == [person.open_requests >= person.capacity]
    free = [verdict for verdict in decision.verdicts if not verdict.excluded]
    best = min(
        free,
        key=lambda verdict: (-verdict.points, by_id[verdict.staff_id].open_requests, verdict.staff_id),
        default=None,
    )
    assert decision.staff_id == (best.staff_id if best else None)


def test_the_defaults_are_the_constants():
    kept = asdict(OUR_WEIGHTS)
    assert kept.pop("most_open_requests") == 0
    assert kept == OF_OLD


@pytest.mark.parametrize(
    ("limit", "open_requests", "capacity", "has"),
    [(0, 9, 10, True), (5, 4, 10, True), (5, 5, 10, False), (50, 10, 10, False), (0, 10, 10, False)],
    ids=["no common limit", "below it", "at it", "the card is narrower", "the card alone"],
)
def test_the_common_limit_narrows_the_cards(limit, open_requests, capacity, has):
    person = replace(ANNA, open_requests=open_requests, capacity=capacity)
    context = RuleContext(NOW, CALENDAR, RuleWeights(most_open_requests=limit))
    assert (has_room(PAYMENT, person, context) is None) == has


@given(works, st.integers(0, 100), st.integers(-100, 0))
def test_each_weight_moves_only_its_own_points(work, skill, load):
    person = replace(ANNA, open_requests=1)
    ours = RuleContext(NOW, CALENDAR)
    others = RuleContext(NOW, CALENDAR, RuleWeights(skill=skill, open_request=load))
    for name, rule in RULES:
        before, after = rule(work, person, ours), rule(work, person, others)
        if isinstance(before, Prefer) and name not in ("skill", "load"):
            assert before == after


# --- The dry run ---------------------------------------------------------------------------------------


def day(person, *, hours=9, days=20, **more):
    shifts = tuple(
        Span(MONDAY + timedelta(days=number), MONDAY + timedelta(days=number, hours=hours))
        for number in range(days)
    )
    return PastPerson(person, shifts, **more)


def request(number, at, *, seconds=3600, deadline=timedelta(days=3), responsible=None, **more):
    work = replace(
        PAYMENT, request_id=number, submitted_at=at, deadline=at + deadline, responsible_id=responsible
    )
    return PastWork(work, seconds, **more)


def past(*requests, people=None, until=MONDAY + timedelta(days=20)):
    people = people if people is not None else (day(ANNA), day(BORIS))
    return Past(tuple(requests), tuple(people), CALENDAR, BY_CODE, until)


def given_to(found):
    return {share.name.split()[0]: (share.given_before, share.given_after) for share in found.shares}


def test_the_same_weights_move_nothing():
    found = compare(
        past(*(request(number, MONDAY + number * HOUR / 4) for number in range(30))),
        OUR_WEIGHTS,
        RuleWeights(),
    )
    assert (found.considered, found.moved_count, found.moved) == (30, 0, ())
    assert found.before == found.after
    assert all(share.given_before == share.given_after for share in found.shares)


def test_without_the_weight_of_their_own_accountant_clients_are_spread():
    own = [request(number, MONDAY + timedelta(minutes=number), responsible=1) for number in range(4)]
    found = compare(past(*own), OUR_WEIGHTS, EVEN)
    assert given_to(found) == {"Анна": (4, 2), "Борис": (0, 2)}
    assert [moved.past.work.request_id for moved in found.moved] == [1, 3]
    first = found.moved[0]
    assert (first.before.staff_id, first.after.staff_id) == (1, 2)
    assert [verdict.points for verdict in first.before.verdicts] == [1040, 50]
    assert [verdict.points for verdict in first.after.verdicts] == [50, 40]
    assert [(share.most_before, share.most_after) for share in found.shares] == [(4, 2), (0, 2)]


def test_whoever_has_fewer_at_once_is_estimated_to_be_late_less():
    own = [
        request(
            number, MONDAY + timedelta(minutes=number), seconds=4 * 3600, deadline=2 * HOUR, responsible=1
        )
        for number in range(4)
    ]
    found = compare(past(*own), OUR_WEIGHTS, EVEN)
    assert found.before.late == 4
    assert found.after.late_seconds < found.before.late_seconds


def test_the_cancelled_is_not_late():
    found = compare(
        past(request(1, MONDAY, seconds=9000, deadline=HOUR, can_be_late=False)), OUR_WEIGHTS, EVEN
    )
    assert (found.before.late, found.after.late) == (0, 0)


def test_at_night_a_request_waits_for_the_first_shift():
    found = compare(
        past(request(1, MONDAY - 10 * HOUR, responsible=2), people=(day(ANNA), day(VERA))), OUR_WEIGHTS, EVEN
    )
    assert found.before.waiting == 0
    assert given_to(found)["Анна"] == (1, 1)


def test_whoever_is_away_gets_nothing_until_they_are_back():
    away = Span(MONDAY - HOUR, MONDAY + timedelta(days=1))
    people = (day(ANNA, absences=(away,)), day(BORIS))
    found = compare(
        past(
            request(1, MONDAY, responsible=1), request(2, MONDAY + timedelta(days=1, hours=1), responsible=1),
            people=people,
        ),
        OUR_WEIGHTS, OUR_WEIGHTS,
    )  # fmt: skip
    assert given_to(found) == {"Анна": (1, 1), "Борис": (1, 1)}


def test_what_was_held_from_before_counts_until_it_was_done():
    held = tuple(Span(MONDAY - timedelta(days=5), MONDAY + timedelta(days=2)) for _number in range(3))
    people = (day(ANNA, held=held), day(BORIS))
    early, late = request(1, MONDAY + HOUR), request(2, MONDAY + timedelta(days=3))
    found = compare(past(early, late, people=people), OUR_WEIGHTS, OUR_WEIGHTS)
    assert given_to(found) == {"Анна": (1, 1), "Борис": (1, 1)}
    assert found.shares[0].most_before == 3


def test_with_a_common_limit_some_wait_and_are_counted():
    works = [request(number, MONDAY + timedelta(minutes=number), seconds=10**6) for number in range(6)]
    found = compare(past(*works), OUR_WEIGHTS, RuleWeights(most_open_requests=2))
    assert (found.before.waiting, found.after.waiting) == (0, 2)
    assert found.moved_count == 2
    assert [moved.after for moved in found.moved] == [None, None]


def test_two_thousand_requests_take_seconds_at_most():
    people = [day(replace(ANNA, staff_id=number, name=f"№ {number}"), days=30) for number in range(1, 21)]
    works = [
        request(
            number, MONDAY + timedelta(minutes=15 * number), responsible=number % 20 + 1, seconds=5 * 3600
        )
        for number in range(2000)
    ]
    begun = time.process_time()
    found = compare(past(*works, people=people, until=MONDAY + timedelta(days=30)), OUR_WEIGHTS, EVEN)
    spent = time.process_time() - begun
    assert found.considered == 2000
    assert len(found.moved) == 50
    assert all(moved.before.staff_id != moved.after.staff_id for moved in found.moved)
    assert spent < 5, spent


def test_every_kind_can_be_played():
    works = [
        replace(request(number, MONDAY), work=replace(request(number, MONDAY).work, kind=kind.code))
        for number, kind in enumerate(KINDS)
    ]
    assert compare(past(*works), OUR_WEIGHTS, EVEN).considered == len(KINDS)


@given(st.lists(works, max_size=12, unique_by=lambda work: work.request_id), teams)
def test_a_run_decides_as_the_router_would(asked, team):
    """What was judged once for many is what `assign` says of each."""
    team = [replace(person, absent_until=None) for person in team]
    begun = min((work.submitted_at for work in asked), default=NOW)
    people = [PastPerson(person, (Span(begun),) if person.on_shift else ()) for person in team]
    asked = [replace(work, excluded_ids=frozenset()) for work in asked]
    played = Past(
        tuple(PastWork(work, 3600) for work in asked),
        tuple(people),
        CALENDAR,
        BY_CODE,
        NOW + timedelta(days=30),
    )
    found = compare(played, OUR_WEIGHTS, EVEN, shown=len(asked))
    for moved in found.moved:
        before, after = (decision and decision.staff_id for decision in (moved.before, moved.after))
        assert before != after
    total = sum(share.given_before for share in found.shares)
    assert total + found.before.waiting == len(asked)
