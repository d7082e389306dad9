"""What people change about themselves."""

import re

import pytest

from storage import access
from storage.models import History, PanelSession, Person, Staff
from tests.admin.office import NASTY, STAFF
from tests.admin.test_conflicts import disputes, opened, typed_by_me
from tests.admin.test_signing_in import PASSWORD, with_password

EVERYBODY = [key for key, _name, _role, _email in STAFF]
NEW = "совсем другой чайник"


def fields(**changes):
    return {
        "version": "1", "name": "Анна Сергеевна Петрова", "phone": "+7 900 123-45-67",
        "email": "anna.new@balans.example", **changes,
    }  # fmt: skip


@pytest.mark.parametrize("name", EVERYBODY)
def test_everybody_has_a_profile_and_sees_their_own(office, name):
    page = office.browser(name).page("/panel/profile/")
    email = {key: email for key, _name, _role, email in STAFF}[name]
    assert f'value="{email}"' in page
    assert ('name="digest"' in page) == (name in ("director", "deputy"))
    assert "этот браузер" in page


def test_name_and_addresses_are_saved_with_history(office):
    browser = office.browser("anna")
    assert browser.send("/panel/profile/", **fields()).status_code == 302
    row = office.all(Person, id=office.persons["anna"])[0]
    assert (row.name, row.phone, row.email) == (
        "Анна Сергеевна Петрова", "+7 900 123-45-67", "anna.new@balans.example",
    )  # fmt: skip
    line = office.all(History, subject=f"staff:{office.staff['anna']}")[-1]
    assert (line.action, line.actor_id, line.through) == ("profile_changed", office.persons["anna"], "panel")
    assert "Анна Петрова" in line.before
    assert "digest" not in line.after


def test_an_old_profile_overwrites_nothing_until_each_field_is_chosen(office):
    browser, path = office.browser("anna"), "/panel/profile/"
    kept = fields(name="Анна Петрова", phone="", email="anna@balans.example")
    assert browser.send(path, **{**kept, "phone": "+7 900 123-45-67"}).status_code == 302
    answer = browser.send(path, **{**kept, "name": "Анна Иванова"})
    assert answer.status_code == 409
    page = answer.get_data(as_text=True)
    found = {name: ticked for name, (_was, _theirs, _mine, ticked) in disputes(page).items()}
    assert found == {"name": "mine", "phone": "theirs"}
    picks = {f"pick:{name}": side for name, side in found.items()}
    assert browser.send(path, picking="1", **opened(page), **typed_by_me(page), **picks).status_code == 302
    row = office.all(Person, id=office.persons["anna"])[0]
    assert (row.name, row.phone) == ("Анна Иванова", "+7 900 123-45-67")


WRONG = (
    ({"name": "  "}, 422, "Напишите имя"),
    ({"email": ""}, 422, "Напишите почту"),
    ({"email": "anna"}, 422, "написана неверно"),
    ({"email": "BORIS@balans.example"}, 422, "входит другой сотрудник"),
    ({"phone": "звоните"}, 422, "написан неверно"),
    ({"version": "7"}, 409, "пока вы его правили"),
)


@pytest.mark.parametrize(("wrong", "status", "told"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit_is_refused_and_told(office, wrong, status, told):
    answer = office.browser("anna").send("/panel/profile/", **fields(**wrong))
    page = answer.get_data(as_text=True)
    assert answer.status_code == status
    assert told in page
    assert office.all(Person, id=office.persons["anna"])[0].name == "Анна Петрова"


def test_what_was_typed_survives_a_refusal_as_words(office):
    answer = office.browser("anna").send("/panel/profile/", **fields(name=f"Анна {NASTY}", phone="x"))
    page = answer.get_data(as_text=True)
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_directors_choose_whether_they_get_the_summary(office):
    browser, staff_id = office.browser("director"), office.staff["director"]
    own = {"name": "Елена Дирова", "email": "director@balans.example", "phone": ""}
    browser.send("/panel/profile/", **fields(**own))
    assert office.all(Staff, id=staff_id)[0].digest is False
    browser.send("/panel/profile/", **fields(**own, version="2", digest="1"))
    assert office.all(Staff, id=staff_id)[0].digest is True


def test_an_accountant_has_no_such_switch(office):
    office.browser("anna").send("/panel/profile/", **fields())
    assert office.all(Staff, id=office.staff["anna"])[0].digest is True


def test_a_new_password_asks_for_the_old_one_and_ends_the_other_sessions(office):
    browser, other = with_password(office, "anna"), office.browser("anna")
    form = {"password": NEW, "again": NEW}
    assert browser.send("/panel/profile/password", old="не тот пароль", **form).status_code == 401
    assert other.get("/panel/").status_code == 200
    assert browser.send("/panel/profile/password", old=PASSWORD, **form).status_code == 302
    assert browser.get("/panel/").status_code == 200
    assert other.get("/panel/").status_code == 302
    signs_in = office.browser().send("/panel/sign-in", email="anna@balans.example", password=NEW)
    assert signs_in.status_code == 302


@pytest.mark.parametrize(
    ("password", "again"),
    [("короткий", "короткий"), (NEW, PASSWORD), ("Анна Петрова", "Анна Петрова"), ("", "")],
    ids=["short", "differ", "name", "empty"],
)
def test_a_weak_new_password_is_refused(office, password, again):
    browser = with_password(office, "anna")
    answer = browser.send("/panel/profile/password", old=PASSWORD, password=password, again=again)
    assert answer.status_code == 422
    assert office.browser().send(
        "/panel/sign-in", email="anna@balans.example", password=PASSWORD
    ).status_code == 302  # fmt: skip


def test_guessing_the_old_password_is_stopped(office):
    browser = with_password(office, "anna")
    form = {"password": NEW, "again": NEW}
    for _attempt in range(5):
        assert browser.send("/panel/profile/password", old="мимо", **form).status_code == 401
    answer = browser.send("/panel/profile/password", old=PASSWORD, **form)
    assert answer.status_code == 429
    assert "до 11:15" in answer.get_data(as_text=True)


def test_one_session_is_ended_by_its_owner_only(office):
    here, there, boris = office.browser("anna"), office.browser("anna"), office.browser("boris")
    rows = {row.staff_id: row for row in office.all(PanelSession)}
    assert here.send(f"/panel/profile/sessions/{rows[office.staff['boris']].id}/end").status_code == 404
    assert boris.get("/panel/").status_code == 200
    ends = re.findall(r"/panel/profile/sessions/(\d+)/end", here.page("/panel/profile/"))
    assert len(ends) == 1
    assert here.send(f"/panel/profile/sessions/{ends[0]}/end").status_code == 302
    assert there.get("/panel/").status_code == 302
    assert here.get("/panel/").status_code == 200
    assert here.send(f"/panel/profile/sessions/{ends[0]}/end").status_code == 404


def test_leaving_everywhere_leaves_here_too(office):
    here, there, boris = office.browser("anna"), office.browser("anna"), office.browser("boris")
    assert here.send("/panel/profile/sessions/end").headers["Location"] == "/panel/sign-in"
    assert here.get("/panel/").status_code == 302
    assert there.get("/panel/").status_code == 302
    assert boris.get("/panel/").status_code == 200
    line = office.all(History, subject=f"staff:{office.staff['anna']}")[-1]
    assert (line.action, line.after) == ("session_ended", '{"sessions":2}')


def test_old_sessions_are_forgotten_at_the_next_sign_in(office):
    office.browser("anna")
    office.clock += access.REMEMBERED * 1.01
    office.browser("anna")
    assert len(office.all(PanelSession)) == 1
