"""The second factor, sessions and what others may do with them."""

import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from admin import second_factor, sessions
from storage import access, invitations
from storage.models import History, Letter, PanelSession, Staff
from tests.admin.office import STAFF
from tests.admin.test_signing_in import PASSWORD, code_for, with_password

EMAIL = {key: email for key, _name, _role, email in STAFF}


def key_on(page: str) -> str:
    found = re.search(r'id="key"[^>]*>([A-Z2-7 ]+)<', page)
    assert found, page
    return found.group(1).replace(" ", "")


def code_at(office, secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(office.clock + timedelta(seconds=30 * steps))


def with_factor(office, name: str = "director"):
    """Set a password and the second factor as people do; returns the browser, the secret and the codes."""
    browser = with_password(office, name)
    secret = key_on(browser.page("/panel/profile/factor"))
    page = browser.send("/panel/profile/factor/confirm", code=code_at(office, secret)).get_data(as_text=True)
    codes = re.findall(r"<li>((?:[0-9A-Z]{4}-){3}[0-9A-Z]{4})</li>", page)
    assert len(codes) == 10
    office.clock += timedelta(minutes=2)
    return browser, secret, codes


def past_the_password(office, name: str = "director"):
    browser = office.browser()
    answer = browser.send("/panel/sign-in", email=EMAIL[name], password=PASSWORD, next="/panel/staff/")
    assert answer.headers["Location"] == "/panel/code"
    assert browser.get("/panel/").status_code == 302
    return browser


def demand_factor(office):
    doors = office.app.extensions["priem"]
    office.app.extensions["priem"] = replace(doors, require_second_factor=True)


# --- The code ------------------------------------------------------------------------------------------


def test_the_code_is_asked_for_after_the_password(office):
    _browser, secret, _codes = with_factor(office)
    browser = past_the_password(office)
    answer = browser.send("/panel/code", code=code_at(office, secret))
    assert answer.headers["Location"] == "/panel/staff/"
    assert "Елена Дирова" in browser.page("/panel/")


@pytest.mark.parametrize(
    ("steps", "status"),
    [(-2, 401), (-1, 302), (0, 302), (1, 302), (2, 401)],
    ids=["two", "one", "now", "next", "far"],
)
def test_a_code_is_good_for_its_half_minute_and_its_neighbours(office, steps, status):
    _browser, secret, _codes = with_factor(office)
    browser = past_the_password(office)
    assert browser.send("/panel/code", code=code_at(office, secret, steps)).status_code == status


def test_a_code_is_good_once(office):
    _browser, secret, _codes = with_factor(office)
    code = code_at(office, secret)
    assert past_the_password(office).send("/panel/code", code=code).status_code == 302
    assert past_the_password(office).send("/panel/code", code=code).status_code == 401
    before = code_at(office, secret, -1)
    assert past_the_password(office).send("/panel/code", code=before).status_code == 401


def test_a_code_may_be_typed_in_groups(office):
    _browser, secret, _codes = with_factor(office)
    code = code_at(office, secret)
    assert past_the_password(office).send("/panel/code", code=f" {code[:3]} {code[3:]} ").status_code == 302


@pytest.mark.parametrize("typed", ["", "000", "٠١٢٣٤٥", "x" * 200, "-----"])
def test_anything_else_opens_nothing(office, typed):
    with_factor(office)
    browser = past_the_password(office)
    assert browser.send("/panel/code", code=typed).status_code == 401
    assert browser.get("/panel/").status_code == 302


def test_a_recovery_code_opens_once(office):
    _browser, _secret, codes = with_factor(office)
    typed = codes[0].lower().replace("-", " ")
    assert past_the_password(office).send("/panel/code", code=typed).status_code == 302
    assert past_the_password(office).send("/panel/code", code=typed).status_code == 401
    row = office.all(Staff, id=office.staff["director"])[0]
    assert len(row.recovery_hashes) == 9
    assert "recovery_used" in {line.action for line in office.all(History)}


def test_neither_the_secret_nor_the_codes_lie_in_the_table(office):
    _browser, secret, codes = with_factor(office)
    row = office.all(Staff, id=office.staff["director"])[0]
    assert secret not in row.totp_secret
    assert second_factor.Seal("a test key that is long enough").open(row.totp_secret) == secret
    assert second_factor.Seal("another key that is long enough").open(row.totp_secret) == ""
    kept = str(row.recovery_hashes)
    assert all(code not in kept and code.replace("-", "") not in kept for code in codes)
    assert hashlib.sha256(codes[0].replace("-", "").encode()).hexdigest() in kept


def test_guessing_codes_is_stopped_and_told_until_when(office):
    _browser, secret, _codes = with_factor(office)
    browser = past_the_password(office)
    for _attempt in range(5):
        assert browser.send("/panel/code", code="1").status_code == 401
    answer = browser.send("/panel/code", code=code_at(office, secret))
    assert answer.status_code == 429
    assert "до 11:17" in answer.get_data(as_text=True)
    office.clock += timedelta(minutes=15, seconds=1)
    browser = past_the_password(office)
    assert browser.send("/panel/code", code=code_at(office, secret)).status_code == 302


def test_the_password_alone_is_forgotten_after_ten_minutes(office):
    _browser, secret, _codes = with_factor(office)
    browser = past_the_password(office)
    office.clock += timedelta(minutes=11)
    answer = browser.send("/panel/code", code=code_at(office, secret))
    assert answer.headers["Location"] == "/panel/sign-in"


def test_the_code_page_tells_nothing_without_a_password(office):
    assert office.browser().get("/panel/code").headers["Location"] == "/panel/sign-in"


@pytest.mark.parametrize("purpose", ["panel", "signin", "reset"])
def test_no_link_goes_round_the_code(office, purpose):
    with_factor(office)
    code, browser = code_for(office, "director", purpose), office.browser()
    if purpose == "signin":
        answer = browser.get(f"/panel/enter/{code}")
    else:
        page = {"panel": "invitation", "reset": "reset"}[purpose]
        answer = browser.send(f"/panel/{page}/{code}", password="другой чайник 7", again="другой чайник 7")
    assert answer.headers["Location"] == "/panel/code"
    assert browser.get("/panel/").status_code == 302


# --- Setting it up -------------------------------------------------------------------------------------


def test_the_factor_counts_only_once_it_is_confirmed(office):
    browser = with_password(office)
    secret = key_on(browser.page("/panel/profile/factor"))
    assert key_on(browser.page("/panel/profile/factor")) == secret
    assert browser.send("/panel/profile/factor/confirm", code="123").status_code == 422
    assert office.all(Staff, id=office.staff["director"])[0].totp_secret == ""
    assert office.browser().send(
        "/panel/sign-in", email=EMAIL["director"], password=PASSWORD
    ).headers["Location"] == "/panel/"  # fmt: skip


def test_the_picture_holds_what_an_application_reads(office):
    secret = second_factor.new_secret()
    address = pyotp.TOTP(secret).provisioning_uri(name="a@b.example", issuer_name="Баланс Актив")
    assert parse_qs(urlsplit(address).query)["secret"] == [secret]
    drawn = second_factor.qr_code(secret, "a@b.example", "Баланс: Актив")
    assert drawn.startswith("<svg")
    assert "http" not in drawn
    assert "style" not in drawn


def test_new_recovery_codes_replace_the_old_ones(office):
    browser, secret, codes = with_factor(office)
    assert browser.send("/panel/profile/factor/codes", code="1").status_code == 401
    page = browser.send("/panel/profile/factor/codes", code=code_at(office, secret)).get_data(as_text=True)
    fresh = re.findall(r"<li>((?:[0-9A-Z]{4}-){3}[0-9A-Z]{4})</li>", page)
    assert not set(fresh) & set(codes)
    assert past_the_password(office).send("/panel/code", code=codes[0]).status_code == 401
    assert past_the_password(office).send("/panel/code", code=fresh[0]).status_code == 302


def test_it_is_switched_off_with_a_code_only(office):
    browser, secret, _codes = with_factor(office)
    assert browser.send("/panel/profile/factor/off", code="").status_code == 401
    assert browser.send("/panel/profile/factor/off", code=code_at(office, secret)).status_code == 302
    assert office.all(Staff, id=office.staff["director"])[0].recovery_hashes == []
    answer = office.browser().send("/panel/sign-in", email=EMAIL["director"], password=PASSWORD)
    assert answer.headers["Location"] == "/panel/"


@pytest.mark.parametrize(
    ("name", "owes"), [("director", True), ("admin", True), ("deputy", False), ("anna", False)]
)
def test_where_it_is_demanded_nothing_opens_before(office, name, owes):
    demand_factor(office)
    browser = with_password(office, name)
    for path in ("/panel/", "/panel/profile/", "/panel/access/"):
        answer = browser.get(path)
        assert (answer.headers.get("Location") == "/panel/profile/factor") == owes, path
    assert (
        browser.send("/panel/profile/sessions/end").headers["Location"] == "/panel/profile/factor"
    ) == owes
    if owes:
        secret = key_on(browser.page("/panel/profile/factor"))
        browser.send("/panel/profile/factor/confirm", code=code_at(office, secret))
        assert browser.get("/panel/").status_code == 200
        office.clock += timedelta(minutes=2)
        assert browser.send("/panel/profile/factor/off", code=code_at(office, secret)).status_code == 403


# --- Sessions ------------------------------------------------------------------------------------------


def test_a_session_is_kept_as_a_hash_and_renewed_at_each_sign_in(office):
    browser = with_password(office)
    tokens = []
    for _time in range(2):
        with browser.client.session_transaction(base_url="http://localhost/panel/") as kept:
            tokens.append(kept["_user_id"])
        browser.send("/panel/sign-out")
        browser.send("/panel/sign-in", email=EMAIL["director"], password=PASSWORD)
    assert tokens[0] != tokens[1]
    hashes = [row.token_hash for row in office.all(PanelSession)]
    assert hashlib.sha256(tokens[0].encode()).hexdigest() in hashes
    assert not set(tokens) & set(hashes)


def test_an_idle_session_ends_and_a_used_one_goes_on(office):
    used, idle = office.browser("anna"), office.browser("anna")
    for _hour in range(4):
        office.clock += timedelta(hours=4)
        assert used.get("/panel/").status_code == 200
    assert idle.get("/panel/").status_code == 302


def test_a_page_that_asks_for_news_keeps_no_session_alive(office):
    browser = office.browser("anna")
    for _hour in range(13):
        office.clock += timedelta(hours=1)
        browser.get("/panel/today", headers={sessions.LIVE: "1"})
    assert browser.get("/panel/").status_code == 302


def test_being_seen_is_written_once_a_minute(office):
    browser = office.browser("anna")
    office.clock += timedelta(seconds=50)
    browser.get("/panel/")
    assert office.all(PanelSession)[0].seen_at == office.clock - timedelta(seconds=50)
    office.clock += timedelta(seconds=11)
    browser.get("/panel/")
    assert office.all(PanelSession)[0].seen_at == office.clock


def test_no_session_is_older_than_two_weeks(office):
    browser = office.browser("anna")
    for _day in range(15 * 3):
        last = browser.get("/panel/profile/").status_code
        office.clock += timedelta(hours=8)
    assert last == 302


AGENTS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/96.0 Safari/537.36": "Chrome, Windows",
    "Mozilla/5.0 (Windows NT 10.0) Chrome/120 YaBrowser/24.1 Safari/537.36": "Яндекс Браузер, Windows",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17 Safari/604": "Safari, iPhone",
    "Mozilla/5.0 (X11; Linux x86_64; rv:85.0) Gecko/20100101 Firefox/85.0": "Firefox, Linux",
    "curl/8": "",
}


@pytest.mark.parametrize("agent", AGENTS, ids=range(len(AGENTS)))
def test_a_browser_is_told_in_words(agent):
    assert sessions.browser_of(agent) == AGENTS[agent]


# --- Others' doors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [("director", 302), ("admin", 302), ("deputy", 403), ("controller", 403), ("anna", 403)],
)
def test_only_the_highest_end_others_sessions(office, name, status):
    boris = office.browser("boris")
    answer = office.browser(name).send(f"/panel/access/{office.staff['boris']}/sessions/end")
    assert answer.status_code == status
    assert boris.get("/panel/").status_code == (302 if status == 302 else 200)


def test_a_lost_telephone_is_mended_by_a_director(office):
    browser, _secret, _codes = with_factor(office, "anna")
    director = office.browser("director")
    assert "Снять вход по коду" in director.page(f"/panel/staff/{office.staff['anna']}/")
    assert director.send(f"/panel/access/{office.staff['anna']}/factor/drop").status_code == 302
    assert browser.get("/panel/").status_code == 302
    answer = office.browser().send("/panel/sign-in", email=EMAIL["anna"], password=PASSWORD)
    assert answer.headers["Location"] == "/panel/"
    line = next(line for line in office.all(History) if line.action == "factor_dropped")
    assert (line.actor_id, line.subject) == (office.persons["director"], f"staff:{office.staff['anna']}")


def test_nobody_drops_their_own_factor_by_the_back_door(office):
    browser, _secret, _codes = with_factor(office)
    assert browser.send(f"/panel/access/{office.staff['director']}/factor/drop").status_code == 403


def test_another_role_ends_the_sessions(office):
    boris, director = office.browser("boris"), office.browser("director")
    path = f"/panel/staff/{office.staff['boris']}/"
    director.send(
        path, version="1", name="Борис Лядов", email=EMAIL["boris"], role="lawyer", department="legal",
        capacity="10", active="1",
    )  # fmt: skip
    assert boris.get("/panel/").status_code == 302


# --- A forgotten password ------------------------------------------------------------------------------


def link_in(office) -> str:
    text = office.all(Letter)[-1].text
    found = re.search(r"/panel/reset/\w+", text)
    assert found, text
    return found.group(0)


def test_a_link_comes_into_the_messenger_and_works_once_within_half_an_hour(office):
    with_password(office)
    old = office.browser("director")
    answer = office.browser().send("/panel/forgotten", email="DIRECTOR@balans.example")
    assert answer.status_code == 200
    assert office.woken == 1
    letter = office.all(Letter)[-1]
    assert letter.person_id == office.persons["director"]
    link, browser = link_in(office), office.browser()
    assert browser.get(link).status_code == 200
    assert browser.send(link, password="новый чайник поёт", again="новый чайник поёт").status_code == 302
    assert "Елена Дирова" in browser.page("/panel/")
    assert old.get("/panel/").status_code == 302
    assert office.browser().send(link, password="ещё один чайник", again="ещё один чайник").status_code == 404


def test_a_link_dies_after_half_an_hour(office):
    with_password(office)
    office.browser().send("/panel/forgotten", email=EMAIL["director"])
    office.clock += timedelta(minutes=31)
    assert office.browser().send(link_in(office), password=PASSWORD, again=PASSWORD).status_code == 404


def test_the_answer_is_the_same_for_everybody(office):
    with_password(office)
    answers = set()
    for email in (EMAIL["director"], EMAIL["boris"], "nobody@balans.example", "", "x" * 300):
        answer = office.browser().send("/panel/forgotten", email=email)
        page = re.sub(r'value="[^"]+"', "", answer.get_data(as_text=True))
        answers.add((answer.status_code, page))
    assert len(answers) == 1
    assert len(office.all(Letter)) == 1


def test_nobodys_chat_is_flooded(office):
    with_password(office)
    statuses = [
        office.browser().send("/panel/forgotten", email=EMAIL["director"]).status_code for _time in range(5)
    ]
    assert statuses == [200, 200, 200, 429, 429]
    assert len(office.all(Letter)) == 3


def test_only_the_last_link_works(office):
    with_password(office)
    office.browser().send("/panel/forgotten", email=EMAIL["director"])
    first = link_in(office)
    office.browser().send("/panel/forgotten", email=EMAIL["director"])
    assert office.browser().send(first, password=PASSWORD, again=PASSWORD).status_code == 404
    assert office.browser().send(link_in(office), password=PASSWORD, again=PASSWORD).status_code == 302


def test_a_code_step_is_used_by_one_of_two(office):
    with office.database.begin() as writing:
        assert access.use_step(writing, 1, 100, office.clock)
        assert not access.use_step(writing, 1, 100, office.clock)
        assert not access.use_step(writing, 1, 99, office.clock)
        assert access.use_step(writing, 1, 101, office.clock)
        assert access.use_step(writing, 2, 100, office.clock)


def test_a_reset_code_does_not_disturb_an_invitation(office):
    invited = code_for(office, "director", "panel")
    with office.database.begin() as writing:
        invitations.invite_person(
            writing, office.persons["director"], "reset", office.clock, timedelta(minutes=30)
        )
    assert (
        office.browser().send(f"/panel/invitation/{invited}", password=PASSWORD, again=PASSWORD).status_code
        == 302
    )
