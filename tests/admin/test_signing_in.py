"""Passwords, invitations, one-time links, and the brake on guessing."""

from datetime import timedelta

import pytest

from storage import invitations
from storage.models import History, Invitation, Staff

PASSWORD = "синий чайник поёт"


def code_for(office, name: str, purpose: str) -> str:
    with office.database.begin() as session:
        return invitations.invite_person(
            session, office.persons[name], purpose, office.clock, timedelta(days=7)
        )


def with_password(office, name: str = "director"):
    """Set a password through an invitation, as people do."""
    browser = office.browser()
    code = code_for(office, name, "panel")
    answer = browser.send(f"/panel/invitation/{code}", password=PASSWORD, again=PASSWORD)
    assert answer.status_code == 302
    return browser


def test_an_invitation_sets_a_password_and_signs_in_once(office):
    browser = with_password(office)
    assert "Елена Дирова" in browser.page("/panel/")
    row = office.all(Staff, id=office.staff["director"])[0]
    assert row.password_hash.startswith("$argon2id$")
    used = office.all(Invitation)[-1]
    assert used.used_at == office.clock
    assert {"password_set", "signed_in"} <= {line.action for line in office.all(History)}


def test_a_used_invitation_opens_nothing(office):
    code = code_for(office, "director", "panel")
    first, second = office.browser(), office.browser()
    first.send(f"/panel/invitation/{code}", password=PASSWORD, again=PASSWORD)
    answer = second.send(f"/panel/invitation/{code}", password="другой пароль 12", again="другой пароль 12")
    assert answer.status_code == 404
    assert second.get("/panel/").status_code == 302


def test_an_expired_invitation_opens_nothing(office):
    code = code_for(office, "director", "panel")
    office.clock += timedelta(days=8)
    assert (
        office.browser().send(f"/panel/invitation/{code}", password=PASSWORD, again=PASSWORD).status_code
        == 404
    )


@pytest.mark.parametrize("purpose", ["chat", "signin"])
def test_a_code_for_something_else_sets_no_password(office, purpose):
    code = code_for(office, "director", purpose)
    assert (
        office.browser().send(f"/panel/invitation/{code}", password=PASSWORD, again=PASSWORD).status_code
        == 404
    )


BAD_PASSWORDS = (
    ("короткий", "короткий"),
    ("аааааааааааа", "аааааааааааа"),
    ("длинный пароль 1", "длинный пароль 2"),
    ("Елена Дирова", "Елена Дирова"),
    ("дирова12345"[:10], "дирова1234"),
    ("x" * 300, "x" * 300),
)


@pytest.mark.parametrize(
    ("password", "again"), BAD_PASSWORDS, ids=["short", "same", "differ", "name", "name+digits", "long"]
)
def test_a_weak_password_is_refused_and_the_code_lives(office, password, again):
    code = code_for(office, "director", "panel")
    browser = office.browser()
    assert browser.send(f"/panel/invitation/{code}", password=password, again=again).status_code == 422
    assert browser.send(f"/panel/invitation/{code}", password=PASSWORD, again=PASSWORD).status_code == 302


def test_signing_in_with_the_password(office):
    with_password(office)
    browser = office.browser()
    answer = browser.send(
        "/panel/sign-in", email=" Director@BALANS.example ", password=PASSWORD, next="/panel/requests/?q=1"
    )
    assert answer.headers["Location"] == "/panel/requests/?q=1"
    assert "Елена Дирова" in browser.page("/panel/")


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/panel/\\evil", "javascript:alert(1)", "/chat"]
)
def test_signing_in_leads_only_into_the_panel(office, elsewhere):
    with_password(office)
    answer = office.browser().send(
        "/panel/sign-in", email="director@balans.example", password=PASSWORD, next=elsewhere
    )
    assert answer.headers["Location"] == "/panel/"


def test_unknown_wrong_and_gone_sound_the_same(office):
    with_password(office)
    with_password(office, "anna")
    with office.database.begin() as session:
        row = session.get_one(Staff, office.staff["anna"])
        row.active = False
        session.add(row)
    heard = set()
    tries = (
        ("nobody@balans.example", PASSWORD),
        ("director@balans.example", "не тот пароль"),
        ("boris@balans.example", ""),
        ("anna@balans.example", PASSWORD),
    )
    for email, password in tries:
        answer = office.browser().send("/panel/sign-in", email=email, password=password)
        assert answer.status_code == 401
        page = answer.get_data(as_text=True).replace(email, "")
        heard.add(page.partition('role="alert">')[2].partition("</p>")[0])
    assert len(heard) == 1


def test_guessing_is_stopped_by_login_and_goes_on_after_a_pause(office):
    with_password(office)
    for attempt in range(5):
        browser = office.browser()
        browser.client.environ_base["REMOTE_ADDR"] = f"10.0.0.{attempt}"
        assert (
            browser.send("/panel/sign-in", email="director@balans.example", password="нет").status_code == 401
        )
    browser = office.browser()
    browser.client.environ_base["REMOTE_ADDR"] = "10.0.0.99"
    assert (
        browser.send("/panel/sign-in", email="director@balans.example", password=PASSWORD).status_code == 429
    )
    office.clock += timedelta(minutes=16)
    assert (
        browser.send("/panel/sign-in", email="director@balans.example", password=PASSWORD).status_code == 302
    )


def guessed_from_one_address(office, times):
    with office.database.begin() as session:
        for _time in range(times):
            invitations.failed(session, "address:127.0.0.1", office.clock, attempts=50)


def test_an_office_behind_one_address_is_not_locked_out_by_a_few_typos(office):
    with_password(office)
    browser = office.browser()
    for attempt in range(6):
        assert (
            browser.send("/panel/sign-in", email=f"n{attempt}@x.example", password="нет").status_code == 401
        )
    assert (
        browser.send("/panel/sign-in", email="director@balans.example", password=PASSWORD).status_code == 302
    )


def test_guessing_is_stopped_by_address_whatever_the_login(office):
    with_password(office)
    browser = office.browser()
    guessed_from_one_address(office, 49)
    assert browser.send("/panel/sign-in", email="n@x.example", password="нет").status_code == 401
    assert (
        browser.send("/panel/sign-in", email="director@balans.example", password=PASSWORD).status_code == 429
    )


def from_address(office, address):
    browser = office.browser()
    browser.client.environ_base["REMOTE_ADDR"] = address
    return browser


@pytest.mark.parametrize(
    ("path", "form", "missed"),
    [
        ("/panel/sign-in", {"email": "n{}@x.example", "password": "нет"}, 401),
        ("/panel/forgotten", {"email": "n{}@x.example"}, 200),
    ],
)
def test_one_subscriber_of_ipv6_is_one_address(office, path, form, missed):
    with office.database.begin() as session:
        for key in ("address:2a02:6b8:0:1::/64", "address:reset:2a02:6b8:0:1::/64"):
            for _time in range(48):
                invitations.failed(session, key, office.clock, attempts=invitations.ATTEMPTS_BY_ADDRESS)
    statuses = []
    for number in range(3):
        browser = from_address(office, f"2a02:6b8:0:1::{number + 1:x}")
        typed = {name: value.format(number) for name, value in form.items()}
        statuses.append(browser.send(path, **typed).status_code)
    assert statuses == [missed, missed, 429]
    assert from_address(office, "2a02:6b8:0:2::1").send(path, **typed).status_code == missed


def test_guessing_codes_is_stopped_by_address(office):
    browser = office.browser()
    guessed_from_one_address(office, 49)
    assert browser.get("/panel/enter/WRONG").status_code == 404
    code = code_for(office, "director", "signin")
    assert browser.get(f"/panel/enter/{code}").status_code == 429


def test_a_one_time_link_signs_in_once(office):
    code = code_for(office, "director", "signin")
    browser, second = office.browser(), office.browser()
    assert browser.client.head(f"/panel/enter/{code}").status_code == 200
    assert browser.get(f"/panel/enter/{code}").headers["Location"] == "/panel/"
    assert "Елена Дирова" in browser.page("/panel/")
    assert second.get(f"/panel/enter/{code}").status_code == 404


def test_a_client_of_the_firm_gets_no_session(office):
    with office.database.begin() as session:
        code = invitations.invite_person(
            session, office.speakers[0], "signin", office.clock, timedelta(days=1)
        )
    browser = office.browser()
    assert browser.get(f"/panel/enter/{code}").status_code == 404
    assert browser.get("/panel/").status_code == 302


def test_signing_in_gives_a_new_form_token(office):
    browser = office.browser()
    browser.get("/panel/sign-in")
    with browser.client.session_transaction(base_url="http://localhost/panel/") as session:
        before = session["csrf_token"]
    browser.get(f"/panel/enter/{code_for(office, 'director', 'signin')}")
    with browser.client.session_transaction(base_url="http://localhost/panel/") as session:
        assert session["csrf_token"] != before
