"""«Копии»: what the page says, and the wish for a copy."""

from dataclasses import replace
from datetime import time, timedelta

import pytest
from sqlmodel import select

from notifications.copying import CopyTrouble
from storage import copies
from storage.copies import CopyPlan, Outcome, Told
from storage.models import History
from tests.admin.office import MOSCOW

PLAN = CopyPlan(
    MOSCOW, time(3, 30), has_key=True, folder="/srv/priem/backups", second_place="s3://firm/copies"
)
NIGHT_BEFORE = timedelta(hours=7, minutes=30)
GOOD = Outcome("priem-20261125T003000Z.tar", 12_345_678, "a" * 64, 42, 7, whole=True, second_whole=True)


@pytest.fixture
def planned(office):
    """The office with copies settled; call it with another plan to change them."""

    def settle(plan=PLAN):
        office.app.extensions["priem"] = replace(office.app.extensions["priem"], copies=plan)
        return office

    return settle


def copied(office, outcome):
    with office.database.begin() as session:
        number = copies.begin(session, "timer", office.clock - NIGHT_BEFORE)
    with office.database.begin() as session:
        copies.settle(session, office.house, number, outcome, office.clock - NIGHT_BEFORE)


def test_a_good_night_is_shown_with_both_places_and_the_next_time(planned):
    office = planned()
    copied(office, GOOD)
    page = office.browser("admin").page("/panel/copies/")
    for words in (
        "последняя копия пробно восстановлена и цела", "s3://firm/copies", "/srv/priem/backups",
        "26.11 03:30", "priem-20261125T003000Z.tar", "лежит и цела", "42",
    ):  # fmt: skip
        assert words in page, words


def test_trouble_is_said_in_words_with_the_detail(planned):
    office = planned()
    troubles = (Told(CopyTrouble.NOT_CARRIED, "dav.example: <script>"),)
    copied(office, replace(GOOD, second_whole=False, troubles=troubles))
    page = office.browser("director").page("/panel/copies/")
    assert "Копия не ушла во второе место" in page
    assert "dav.example: &lt;script&gt;" in page


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (CopyPlan(MOSCOW, time(3, 30)), "не задан пароль"),
        (CopyPlan(MOSCOW, None, has_key=True), "Ночные копии выключены"),
        (replace(PLAN, second_place=""), "Второго места нет"),
    ],
    ids=["no key", "no time", "no second place"],
)
def test_what_is_missing_is_said(planned, plan, words):
    page = planned(plan).browser("admin").page("/panel/copies/")
    assert words in page
    assert ("Сделать копию сейчас" in page) == plan.has_key


def test_a_copy_is_made_when_asked(planned):
    office = planned()
    browser = office.browser("admin")
    browser.send("/panel/copies/now")
    with office.database.read() as session:
        assert copies.due(copies.state(session), PLAN, office.clock) == "panel"
        (line,) = session.exec(select(History).where(History.action == "copy_wanted"))
        assert line.actor_id == office.persons["admin"]
    assert "начнётся в течение минуты" in browser.page("/panel/copies/")


def test_a_controller_looks_and_asks_for_nothing(planned):
    office = planned()
    browser = office.browser("controller")
    assert "Сделать копию сейчас" not in browser.page("/panel/copies/")


def test_nobody_can_ask_for_a_copy_that_cannot_be_locked(planned):
    office = planned(CopyPlan(MOSCOW, time(3, 30)))
    browser = office.browser("admin")
    answer = browser.send("/panel/copies/now")
    assert answer.status_code == 302
    assert "Копию нечем закрыть" in browser.page("/panel/copies/")
    with office.database.read() as session:
        assert copies.state(session).wanted_at is None
