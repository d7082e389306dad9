"""A colleague's own hours, who stands in on leave, and the invitation by e-mail."""

import json
import re
from dataclasses import replace

import pytest

from storage.models import Absence, Chat, History, Invitation, Letter, Staff
from tests.admin.test_cards import staff_fields

WEEK = {f"works-{day}": "1" for day in range(5)} | {
    f"{edge}-{day}": hour for day in range(7) for edge, hour in (("from", "09:00"), ("to", "15:00"))
}


def path(office, key="anna"):
    return f"/panel/colleague/{office.staff[key]}/hours"


@pytest.fixture
def with_mail(office):
    """The firm writes e-mail, too."""
    house = replace(office.house, email_channel="mail")
    office.app.extensions["priem"] = replace(office.app.extensions["priem"], house_now=lambda: house)
    return office


# --- hours -------------------------------------------------------------------------------------------------


def test_own_hours_are_kept_with_history_and_taken_back(office):
    browser = office.browser("deputy")
    page = browser.page(path(office))
    assert "как у фирмы: 09:00–18:00" in page
    assert browser.send(path(office), version=1, own="1", **WEEK).status_code == 302
    row = office.all(Staff, id=office.staff["anna"])[0]
    assert row.schedule == {str(day): ["09:00", "15:00"] if day < 5 else None for day in range(7)}
    line = office.all(History)[-1]
    assert json.loads(line.after) == {"schedule": ["09:00–15:00"] * 5 + ["—"] * 2}
    assert re.search(r'name="works-4" value="1" checked', browser.page(path(office)))
    card = browser.page(f"/panel/staff/{office.staff['anna']}/")
    assert "свой, дней в неделю: 5" in card
    assert "График: " in card
    assert browser.send(path(office), version=2, own="", **WEEK).status_code == 302
    assert office.all(Staff, id=office.staff["anna"])[0].schedule == {}


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"to-0": "08:00"}, 422, "позже начала"),
        ({"to-0": "09:00"}, 422, "позже начала"),
        ({"from-2": "утром"}, 422, "среда: напишите часы"),
        ({"from-2": "09:00:00+03:00", "to-2": "10:00"}, 422, "позже начала"),
        ({f"works-{day}": "" for day in range(5)}, 422, "хотя бы один"),
        ({"version": "7"}, 409, "Карточку изменили"),
    ],
)
def test_hours_that_cannot_be_kept_are_refused_and_stay_typed(office, changes, status, words):
    answer = office.browser("director").send(path(office), **{**WEEK, "version": "1", "own": "1", **changes})
    page = answer.get_data(as_text=True)
    assert answer.status_code == status
    assert words in page
    assert 'value="15:00"' in page
    assert office.all(Staff, id=office.staff["anna"])[0].schedule == {}


@pytest.mark.parametrize(
    ("who", "whom", "status"),
    [("controller", "anna", 403), ("anna", "anna", 403), ("deputy", "director", 403)],
)
def test_who_may_not_settle_hours(office, who, whom, status):
    answer = office.browser(who).send(path(office, whom), version=1, own="1", **WEEK)
    assert answer.status_code == status


def test_nobodys_hours_are_not_found(office):
    for number in (0, 9999, 99999999999999999999):
        assert office.browser("director").get(f"/panel/colleague/{number}/hours").status_code == 404


# --- leave -------------------------------------------------------------------------------------------------


def test_a_leave_says_who_stands_in(office):
    browser = office.browser("director")
    where = f"/panel/staff/{office.staff['anna']}/absence"
    days = {"first": "2026-12-01", "last": "2026-12-14"}
    browser.send(where, **days, reason="отпуск", substitute="Борис Лядов")
    browser.send(where, **days, substitute="Б" * 500)
    first, second = office.all(Absence)
    assert first.reason == "отпуск, заменяет Борис Лядов"
    assert len(second.reason) == 200


# --- invitations -------------------------------------------------------------------------------------------


NEW = {"name": "Игорь Новый", "email": "Igor@balans.example", "role": "accountant", "mail": "1"}


def test_a_new_colleague_is_invited_by_letter(with_mail):
    page = with_mail.browser("director").send("/panel/staff/invite", **NEW).get_data(as_text=True)
    assert "Приглашение отправлено на Igor@balans.example" in page
    (letter,) = with_mail.all(Letter)
    chat = with_mail.all(Chat, id=letter.chat_id)[0]
    assert (chat.channel, chat.chat_key) == ("mail", "igor@balans.example")
    assert chat.person_id is None, "whoever forges the sender would act as a colleague"
    link = re.search(r"http://localhost(/panel/invitation/\w+)", letter.text).group(1)
    assert link in page
    assert with_mail.browser().get(link).status_code == 200
    assert with_mail.woken


def test_another_invitation_goes_to_the_same_address_and_ends_the_first(with_mail):
    browser = with_mail.browser("director")
    for _time in range(2):
        browser.send(f"/panel/staff/{with_mail.staff['anna']}/invite", mail="1")
    first, second = with_mail.all(Letter)
    assert first.chat_id == second.chat_id
    assert len([code for code in with_mail.all(Invitation) if code.expires_at > with_mail.clock]) == 2


@pytest.mark.parametrize("mail", ["1", ""])
def test_without_e_mail_there_is_only_the_link(office, mail):
    browser = office.browser("director")
    assert "письмом" not in browser.page("/panel/staff/")
    page = browser.send("/panel/staff/invite", **{**NEW, "mail": mail}).get_data(as_text=True)
    assert "/panel/invitation/" in page
    assert office.all(Letter) == []


def test_leaving_gives_the_work_back_and_returning_is_possible(office):
    where, browser = f"/panel/staff/{office.staff['anna']}/", office.browser("director")
    number = office.submit(0)
    assert office.request(number).assignee_id == office.staff["anna"]
    sent = staff_fields(office, "anna")
    del sent["active"]
    assert browser.send(where, **sent).status_code == 302
    assert office.request(number).assignee_id != office.staff["anna"]
    assert browser.send(where, **staff_fields(office, "anna")).status_code == 302
    assert office.all(Staff, id=office.staff["anna"])[0].active
