from dataclasses import replace
from datetime import timedelta

import pytest

from forms.kinds import LEGAL
from router.model import Candidate, Exclude, Prefer, Role, Work
from router.rules import RULES, RuleContext, RuleWeights
from tests.unit.router.people import ANNA, CALENDAR, CONTEXT, NOW, PAYMENT
from tests.unit.router.reading import read

BY_NAME = dict(RULES)
LEGAL_WORK = replace(PAYMENT, kind="advice")


def ask(
    rule: str, person: Candidate, work: Work = PAYMENT, context: RuleContext = CONTEXT
) -> Exclude | Prefer | None:
    return BY_NAME[rule](work, person, context)


@pytest.mark.parametrize(
    ("rule", "person", "work", "reason"),
    [
        pytest.param(
            "role", replace(ANNA, active=False), PAYMENT, "уже не работает здесь", id="left the firm"
        ),
        pytest.param(
            "role",
            replace(ANNA, role=Role.CONTROLLER),
            PAYMENT,
            "по должности не берёт заявки",
            id="a controller",
        ),
        pytest.param(
            "refused",
            ANNA,
            replace(PAYMENT, excluded_ids=frozenset({ANNA.staff_id})),
            "эта заявка здесь уже была: отказ или нет ответа",
            id="declined it",
        ),
        pytest.param(
            "absence",
            replace(ANNA, absent_until=NOW + timedelta(hours=14)),
            PAYMENT,
            "нет на работе, возвращение: 26.11.2026",
            id="absent; the day is the firm's, not that of UTC",
        ),
        pytest.param("shift", replace(ANNA, on_shift=False), PAYMENT, "сейчас не на смене", id="off shift"),
        pytest.param("room", replace(ANNA, open_requests=10), PAYMENT, "занято 10 из 10", id="full"),
        pytest.param(
            "room", replace(ANNA, open_requests=12), PAYMENT, "занято 12 из 10", id="more than full"
        ),
        pytest.param(
            "department",
            replace(ANNA, department=LEGAL),
            PAYMENT,
            "заявка для другого отдела",
            id="of another department",
        ),
    ],
)
def test_exclusions(rule: str, person: Candidate, work: Work, reason: str):
    finding = ask(rule, person, work)
    assert isinstance(finding, Exclude)
    assert read(finding.reason) == reason


@pytest.mark.parametrize(
    ("rule", "person", "work"),
    [
        pytest.param("role", replace(ANNA, role=Role.LAWYER), PAYMENT, id="a lawyer takes requests"),
        pytest.param(
            "refused", ANNA, replace(PAYMENT, excluded_ids=frozenset({99})), id="somebody else declined"
        ),
        pytest.param("absence", replace(ANNA, absent_until=NOW), PAYMENT, id="comes back at this moment"),
        pytest.param("shift", ANNA, PAYMENT, id="on shift"),
        pytest.param("room", replace(ANNA, open_requests=9), PAYMENT, id="room for the last one"),
        pytest.param("department", ANNA, PAYMENT, id="of the department"),
        pytest.param("department", ANNA, LEGAL_WORK, id="work of no department"),
        pytest.param(
            "department", replace(ANNA, department=""), LEGAL_WORK, id="the only person of a small firm"
        ),
        pytest.param(
            "department", ANNA, replace(PAYMENT, kind="unheard of"), id="a kind without a department"
        ),
        pytest.param("skill", ANNA, replace(PAYMENT, kind="other"), id="a kind that needs no skill"),
        pytest.param("dedicated", ANNA, replace(PAYMENT, responsible_id=2), id="a client of somebody else"),
        pytest.param("dedicated", ANNA, PAYMENT, id="a client of nobody"),
        pytest.param("recorded", ANNA, PAYMENT, id="written by the client"),
        pytest.param("recorded", ANNA, replace(PAYMENT, recorded_by_id=2), id="written down by another"),
    ],
)
def test_what_says_nothing(rule: str, person: Candidate, work: Work):
    assert ask(rule, person, work) is None


@pytest.mark.parametrize(
    ("rule", "person", "work", "points", "reason"),
    [
        pytest.param("skill", ANNA, PAYMENT, 50, "есть нужный навык", id="skilled"),
        pytest.param(
            "skill", replace(ANNA, skills=frozenset()), PAYMENT, -50, "нет нужного навыка", id="unskilled"
        ),
        pytest.param(
            "dedicated",
            ANNA,
            replace(PAYMENT, responsible_id=1),
            1000,
            "ведёт этого клиента",
            id="keeps the books",
        ),
        pytest.param(
            "recorded",
            ANNA,
            replace(PAYMENT, recorded_by_id=1),
            200,
            "эту заявку записал этот сотрудник",
            id="wrote it down",
        ),
        pytest.param("load", ANNA, PAYMENT, 0, "заявок в работе: 0", id="idle"),
        pytest.param("load", replace(ANNA, open_requests=3), PAYMENT, -30, "заявок в работе: 3", id="three"),
        pytest.param(
            "load", replace(ANNA, open_requests=90), PAYMENT, -500, "заявок в работе: 90", id="ninety"
        ),
    ],
)
def test_preferences(rule: str, person: Candidate, work: Work, points: int, reason: str):
    finding = ask(rule, person, work)
    assert isinstance(finding, Prefer)
    assert (finding.points, read(finding.reason)) == (points, reason)


def test_the_director_may_weigh_otherwise():
    context = RuleContext(NOW, CALENDAR, weights=RuleWeights(skill=7))
    skill, load = (ask(rule, replace(ANNA, open_requests=1), context=context) for rule in ("skill", "load"))
    assert isinstance(skill, Prefer)
    assert isinstance(load, Prefer)
    assert (skill.points, load.points) == (7, -10)


def test_a_rule_is_one_function_with_a_name_and_words_for_the_reader():
    assert len(BY_NAME) == len(RULES)
    assert all(rule.__doc__ for _name, rule in RULES)
