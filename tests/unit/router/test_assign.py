import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.texts import plain
from router.assign import assign, decision_from_json, decision_to_json, pick_up, rank
from router.model import Candidate, Exclude, Work
from router.rules import RULES, RuleContext
from tests.unit.router.people import ANNA, BORIS, CONTEXT, NOW, PAYMENT, VERA, candidates, teams, works
from tests.unit.router.reading import read

FULL = {"open_requests": 10}


@pytest.mark.parametrize(
    ("work", "people", "chosen"),
    [
        pytest.param(PAYMENT, [], None, id="an empty office"),
        pytest.param(PAYMENT, [replace(ANNA, on_shift=False)], None, id="night: it waits"),
        pytest.param(PAYMENT, [replace(ANNA, open_requests=2), BORIS], 2, id="the less loaded"),
        pytest.param(PAYMENT, [BORIS, ANNA], 1, id="as loaded: the older number"),
        pytest.param(
            PAYMENT,
            [replace(ANNA, skills=frozenset()), replace(BORIS, open_requests=5)],
            2,
            id="skill before load",
        ),
        pytest.param(PAYMENT, [replace(ANNA, skills=frozenset())], 1, id="a learner rather than nobody"),
        pytest.param(
            replace(PAYMENT, responsible_id=1),
            [replace(ANNA, open_requests=9, skills=frozenset()), BORIS],
            1,
            id="the client's own accountant, however busy",
        ),
        pytest.param(
            replace(PAYMENT, responsible_id=1),
            [replace(ANNA, **FULL), BORIS],
            2,
            id="but not when there is no room",
        ),
        pytest.param(
            replace(PAYMENT, responsible_id=1, excluded_ids=frozenset({1})),
            [ANNA, BORIS],
            2,
            id="nor after declining",
        ),
        pytest.param(
            replace(PAYMENT, responsible_id=1),
            [replace(ANNA, absent_until=NOW + timedelta(days=3)), BORIS],
            2,
            id="nor on leave",
        ),
        pytest.param(
            PAYMENT,
            [replace(ANNA, open_requests=70, capacity=99), replace(BORIS, open_requests=60, capacity=99)],
            2,
            id="where load counts no further, still the less loaded",
        ),
    ],
)
def test_who_takes_it(work: Work, people: list[Candidate], chosen: int | None):
    assert assign(work, people, CONTEXT).staff_id == chosen


def test_everybody_is_judged_by_every_rule_the_chosen_first():
    work = replace(PAYMENT, responsible_id=2)
    decision = assign(
        work, [replace(BORIS, on_shift=False, **FULL), ANNA, replace(VERA, open_requests=1)], CONTEXT
    )
    assert [verdict.name for verdict in decision.verdicts] == ["Анна Петрова", "Вера Орлова", "Борис Сидоров"]
    boris = decision.verdicts[-1]
    assert boris.excluded
    assert [read(reason) for reason in boris.reasons] == [
        "сейчас не на смене",
        "занято 10 из 10",
        "ведёт этого клиента",
        "есть нужный навык",
        "заявок в работе: 10",
    ]


def test_what_waits_is_picked_up_nearest_deadline_first_while_there_is_room():
    later, soon, soonest = (
        replace(PAYMENT, request_id=number, deadline=PAYMENT.deadline + timedelta(hours=hours))
        for number, hours in ((1, 9), (2, 5), (3, 1))
    )
    decided = pick_up(
        [later, soon, soonest], [replace(ANNA, capacity=1), replace(BORIS, capacity=1)], CONTEXT
    )
    assert [(work.request_id, decision.staff_id) for work, decision in decided] == [(3, 1), (2, 2), (1, None)]


def test_the_load_grows_while_picking_up():
    waiting = [replace(PAYMENT, request_id=number) for number in range(1, 7)]
    chosen = [decision.staff_id for _work, decision in pick_up(waiting, [ANNA, BORIS, VERA], CONTEXT)]
    assert chosen == [1, 2, 3, 1, 2, 3]


def test_a_decision_is_kept_as_json_that_people_can_read():
    decision = assign(PAYMENT, [ANNA, replace(BORIS, on_shift=False)], CONTEXT)
    stored = decision_to_json(decision, read)
    assert json.loads(stored)["chosen"] == 1
    assert json.loads(stored)["candidates"][1] == {
        "staff_id": 2,
        "name": "Борис Сидоров",
        "points": 50,
        "excluded": True,
        "reasons": ["сейчас не на смене", "есть нужный навык", "заявок в работе: 0"],
    }
    assert "не на смене" in stored


def test_a_rule_is_added_by_its_function_and_its_name_alone():
    def speaks_chinese(_work: Work, person: Candidate, _context: RuleContext) -> Exclude | None:
        return None if person is BORIS else Exclude(plain("не говорит по-китайски"))

    rules = (*RULES, ("chinese", speaks_chinese))
    assert assign(PAYMENT, [ANNA, BORIS], CONTEXT, rules=rules).staff_id == BORIS.staff_id
    assert pick_up([PAYMENT], [ANNA, BORIS], CONTEXT, rules=rules)[0][1].staff_id == BORIS.staff_id


@given(works, teams, st.randoms(use_true_random=False))
def test_the_order_of_the_people_changes_nothing(work: Work, team: list[Candidate], random):
    shuffled = random.sample(team, len(team))
    assert assign(work, shuffled, CONTEXT) == assign(work, team, CONTEXT)


@given(works, teams)
def test_nobody_excluded_is_ever_chosen_and_somebody_free_always_is(work: Work, team: list[Candidate]):
    decision = assign(work, team, CONTEXT)
    free = {
        person.staff_id
        for person in team
        if not any(isinstance(rule(work, person, CONTEXT), Exclude) for _name, rule in RULES)
    }
    assert decision.staff_id in (free or {None})
    assert {verdict.staff_id for verdict in decision.verdicts if not verdict.excluded} == free


@given(works, teams)
def test_the_chosen_one_has_room_and_is_there(work: Work, team: list[Candidate]):
    decision = assign(work, team, CONTEXT)
    for person in team:
        if person.staff_id == decision.staff_id:
            assert person.open_requests < person.capacity
            assert person.on_shift
            assert person.active
            assert person.staff_id not in work.excluded_ids


@given(works, teams, candidates)
def test_the_dedicated_accountant_wins_when_free(work: Work, team: list[Candidate], own: Candidate):
    own = replace(
        ANNA, staff_id=50, department="", open_requests=own.open_requests, capacity=own.open_requests + 1
    )
    work = replace(work, responsible_id=own.staff_id)
    assert assign(work, [*team, own], CONTEXT).staff_id == own.staff_id


@given(works, teams)
def test_a_stored_decision_reads_back(work: Work, team: list[Candidate]):
    decision = assign(work, team, CONTEXT)
    back = decision_from_json(decision_to_json(decision, read))
    assert back.staff_id == decision.staff_id
    assert back.context == decision.context
    assert decision_to_json(back, read) == decision_to_json(decision, read)


@given(st.lists(works, max_size=6, unique_by=lambda work: work.request_id), teams)
def test_picking_up_overfills_nobody_and_forgets_nothing(waiting: list[Work], team: list[Candidate]):
    decided = pick_up(waiting, team, CONTEXT)
    assert sorted(work.request_id for work, _decision in decided) == sorted(
        work.request_id for work in waiting
    )
    deadlines = [work.deadline for work, _decision in decided]
    assert deadlines == sorted(deadlines)
    for person in team:
        given_here = sum(decision.staff_id == person.staff_id for _work, decision in decided)
        assert given_here == 0 or person.open_requests + given_here <= person.capacity


@given(works, teams)
def test_ranking_puts_the_excluded_last(work: Work, team: list[Candidate]):
    excluded = [verdict.excluded for verdict in rank(work, team, CONTEXT)]
    assert excluded == sorted(excluded)
