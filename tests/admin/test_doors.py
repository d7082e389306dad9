"""Who gets in where: every route, every role."""

import re
from datetime import timedelta

import pytest

from tests.admin.office import NASTY

OPEN_TO_ALL = {
    "auth.sign_in", "auth.code", "auth.forgotten", "auth.reset", "auth.invitation", "auth.enter",
    "admin.static", "static", "front",
}  # fmt: skip

SECTIONS = {
    "/panel/": {"director", "deputy", "controller", "admin", "anna", "lawyer"},
    "/panel/today": {"director", "deputy", "controller", "admin", "anna", "lawyer"},
    "/panel/risk": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/duty-list": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/my-calendar/": {"director", "deputy", "controller", "admin", "anna", "lawyer"},
    "/panel/requests/": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/requests/?list=unanswered": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/board/": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/board/?lanes=1": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/calendar/": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/calendar/?view=month": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/timeline/": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/timeline/?view=week": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/board/cards": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/recording/": {"director", "deputy", "controller", "anna", "lawyer"},
    "/panel/unassigned/": {"director", "deputy", "controller"},
    "/panel/calls/": {"director", "deputy", "controller", "admin", "anna", "lawyer"},
    "/panel/times/": {"director", "deputy", "controller"},
    "/panel/times/list?measure=whole": {"director", "deputy", "controller"},
    "/panel/times/people": {"director", "deputy", "controller"},
    "/panel/times/norms": {"director", "deputy", "controller"},
    "/panel/clients/": {"director", "deputy", "controller", "admin"},
    "/panel/clients/import": {"director", "deputy", "admin"},
    "/panel/clients/coverage/": {"director", "deputy", "controller", "admin"},
    "/panel/consents/": {"director", "deputy", "admin"},
    "/panel/erasure/retention": {"director", "admin"},
    "/panel/staff/": {"director", "deputy", "controller", "admin"},
    "/panel/copies/": {"director", "deputy", "controller", "admin"},
    "/panel/messengers/": {"director", "deputy", "controller", "admin"},
    "/panel/profile/": {"director", "deputy", "controller", "admin", "anna", "lawyer"},
    "/panel/profile/factor": {"director", "deputy", "controller", "admin", "anna", "lawyer"},
    "/panel/history/": {"director", "deputy", "controller", "admin"},
    "/panel/settings/": {"director", "deputy", "admin"},
    "/panel/settings/hours": {"director", "deputy", "admin"},
    "/panel/settings/terms": {"director", "deputy", "admin"},
    "/panel/settings/consent": {"director", "deputy", "admin"},
    "/panel/settings/kinds": {"director", "deputy", "admin"},
    "/panel/settings/texts/": {"director", "deputy", "admin"},
    "/panel/settings/replies/": {"director", "deputy", "admin"},
    "/panel/settings/replies/new": {"director", "deputy"},
    "/panel/settings/routing/": {"director", "deputy", "admin"},
}

OUTSIDE_THE_MENU = {
    "/panel/today",
    "/panel/risk",
    "/panel/duty-list",
    "/panel/board/cards",
    "/panel/timeline/",
    "/panel/my-calendar/",
    "/panel/times/list",
    "/panel/times/people",
    "/panel/times/norms",
    "/panel/clients/import",
    "/panel/history/check",
    "/panel/history/archive",
    "/panel/clients/coverage/",
    "/panel/consents/",
    "/panel/erasure/retention",
    "/panel/profile/factor",
    "/panel/settings/hours",
    "/panel/settings/terms",
    "/panel/settings/consent",
    "/panel/settings/kinds",
    "/panel/settings/texts/",
    "/panel/settings/replies/",
    "/panel/settings/replies/new",
    "/panel/settings/routing/",
}


ADMINISTERED = (
    "copies.",
    "clients.",
    "client.",
    "coverage.",
    "colleagues.",
    "colleague.",
    "access.",
    "erasure.",
    "consents.",
)
"""What the administrator may change."""


def addresses(office, numbers=None):
    """Every route with the numbers filled in, and its methods."""
    filled = {
        "number": (numbers or {}).get("working", 1),
        "file_id": 1,
        "client_id": office.clients[0],
        "person_id": office.speakers[0],
        "staff_id": office.staff["anna"],
        "absence_id": 1,
        "session_id": 999,
        "call_id": 1,
        "order_id": 1,
        "deed": "note",
        "code": "X" * 20,
        "part": "hours",
        "key": "0" * 64,
        "reply_id": 1,
        "filename": "panel.css",
    }
    for rule in office.app.url_map.iter_rules():
        path = rule.rule
        for name in rule.arguments:
            path = re.sub(rf"<(?:\w+:)?{name}>", str(filled[name]), path)
        yield rule.endpoint, path, rule.methods - {"HEAD", "OPTIONS"}


def test_nobody_without_signing_in_gets_anything(busy):
    office, numbers = busy
    browser = office.browser()
    seen = 0
    for endpoint, path, methods in addresses(office, numbers):
        if endpoint in OPEN_TO_ALL:
            continue
        for method in methods:
            answer = browser.client.open(path, method=method)
            assert answer.status_code == 302, (method, path)
            assert answer.headers["Location"].startswith("/panel/sign-in"), path
            assert "Ромашка" not in answer.get_data(as_text=True)
            seen += 1
    assert seen > 25


@pytest.mark.parametrize("role", ["director", "deputy", "controller", "admin", "anna", "lawyer"])
def test_each_role_sees_its_sections_and_no_others(busy, role):
    office, _numbers = busy
    browser = office.browser(role)
    menu = browser.page("/panel/")
    for path, allowed in SECTIONS.items():
        assert (browser.get(path).status_code == 200) == (role in allowed), path
        section = path.partition("?")[0]
        if section not in OUTSIDE_THE_MENU:
            assert (f'href="{section}"' in menu) == (role in allowed), path


@pytest.mark.parametrize("role", ["controller", "anna", "admin"])
def test_whoever_may_not_change_changes_nothing(busy, role):
    office, numbers = busy
    from storage.models import History

    browser = office.browser(role)
    before = len(office.all(History))
    for endpoint, path, methods in addresses(office, numbers):
        if "POST" not in methods or endpoint in OPEN_TO_ALL or endpoint == "auth.sign_out":
            continue
        if endpoint.startswith("my_calendar."):
            continue
        if endpoint.startswith("profile."):
            continue
        if role == "anna" and endpoint in ("requests.do", "board.move"):
            continue
        if role != "admin" and endpoint == "recording.index":
            continue
        if role == "admin" and endpoint.startswith(ADMINISTERED):
            continue
        fields = {"to": office.staff["boris"], "pick": f"{numbers['late']}:1", "text": "x", "version": "1"}
        assert browser.send(path, **fields).status_code in (403, 404), path
    assert len(office.all(History)) == before


def test_a_form_without_its_token_is_refused_and_changes_nothing(busy):
    office, numbers = busy
    browser = office.browser("director")
    version = office.request(numbers["late"]).version
    for endpoint, path, methods in addresses(office, numbers):
        if "POST" in methods:
            for token in ("", "forged"):
                answer = browser.client.post(path, data={"csrf_token": token, "to": office.staff["anna"]})
                assert answer.status_code == 400, endpoint
    assert office.request(numbers["late"]).version == version


def test_no_session_outlives_twelve_hours(office):
    browser = office.browser("director")
    assert browser.get("/panel/").status_code == 200
    office.clock += timedelta(hours=12, minutes=1)
    assert browser.get("/panel/").status_code == 302


def test_whoever_left_is_out_at_once(office):
    from storage.models import Staff

    browser = office.browser("anna")
    with office.database.begin() as session:
        row = session.get_one(Staff, office.staff["anna"])
        row.active = False
        session.add(row)
    assert browser.get("/panel/").status_code == 302


def test_signing_out_ends_a_copied_cookie_too(office):
    browser, copy = office.browser("anna"), office.browser()
    with browser.client.session_transaction(base_url="http://localhost/panel/") as session:
        kept = dict(session)
    with copy.client.session_transaction(base_url="http://localhost/panel/") as session:
        session.update(kept)
    assert copy.get("/panel/").status_code == 200
    assert browser.send("/panel/sign-out").status_code == 302
    assert browser.get("/panel/").status_code == 302
    assert copy.get("/panel/").status_code == 302


def test_every_answer_carries_the_headers(busy):
    office, numbers = busy
    browser = office.browser("director")
    for _endpoint, path, methods in addresses(office, numbers):
        if "GET" not in methods:
            continue
        headers = browser.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert re.search(r"script-src 'nonce-[\w-]{16,}'(;|$)", policy)
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"


def test_the_cookie_is_careful(tmp_path, empty_database):
    from tests.admin.office import open_office

    office = open_office(tmp_path, empty_database, public_url="https://priem.example")
    answer = office.browser().get("/panel/sign-in", base_url="https://priem.example")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "Secure" in cookie
    assert "SameSite=Lax" in cookie
    assert "Strict-Transport-Security" in answer.headers
    office.database.sync_engine.dispose()


JUNK = (
    "page=x&sort=;drop",
    "page=-1",
    "page=99999999999999999999",
    "sort=' or 1=1--&order=%00",
    "status=%F0%9F%92%A9&status=new",
    "since=2026-13-45&until=0000-00-00",
    "since=9999-12-31&until=0001-01-01",
    "assignee=²&client=1e9&before=-5",
    "q=%25_%27%22%5C",
    "q=99999999999999999999",
    "q=%00%01",
    "_scheme=javascript&_external=1&_anchor=x",
    "kind[]=pay&measure=whole",
    "subject=request:1&number=99999999999",
    "measure=%ff&action=" + "a" * 5000,
    "since=2026-11-25&until=2026-01-01&measure=queue",
)


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_in_the_address_breaks_nothing(busy, junk):
    office, numbers = busy
    browser = office.browser("director")
    for _endpoint, path, methods in addresses(office, numbers):
        if "GET" in methods and not path.endswith(("/files/1", ".css")):
            assert browser.get(f"{path}?{junk}").status_code in (200, 302, 404), path


NUMBERS = ("0", "999999999", "99999999999999999999999999", "-1", "abc", "1e3", "%00")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("section", ["requests", "clients", "staff"])
def test_junk_numbers_are_not_found(office, section, number):
    assert office.browser("director").get(f"/panel/{section}/{number}/").status_code in (308, 404)


def pages(office, numbers):
    """Every page that shows something, as the director sees it."""
    browser = office.browser("director")
    more = [f"/panel/requests/{number}/" for number in numbers.values()]
    more += [f"/panel/clients/{client}/" for client in office.clients]
    more += [
        "/panel/requests/?q=%3Cscript%3E",
        "/panel/clients/?q=%3Cscript%3E",
        "/panel/sign-in",
        "/panel/nowhere",
    ]
    for path in [*SECTIONS, *more]:
        answer = browser.get(path)
        # What is given out as a file is opened outside the panel.
        if "attachment" not in answer.headers.get("Content-Disposition", ""):
            yield path, answer.get_data(as_text=True)


def test_what_clients_type_never_becomes_markup(busy):
    office, numbers = busy
    from storage.models import Client, Letter, Person, Request

    number = office.submit(0, "advice", NASTY, hours=3)
    office.give(number, "anna")
    office.write(number, NASTY)
    office.attach(number, name=NASTY[:100])
    with office.database.begin() as session:
        for table in (Client, Person):
            for row in office.all(table):
                row.name = NASTY
                session.merge(row)
        for letter in office.all(Letter):
            letter.reason = NASTY
            session.merge(letter)
        row = session.get_one(Request, number)
        row.company, row.result = NASTY, NASTY
        session.add(row)
    numbers["nasty"] = number
    shown = 0
    for path, page in pages(office, numbers):
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "{{7*7}}" in page or "49" not in re.findall(r">(49)<", page), path
        shown += "&lt;script&gt;alert(1)" in page
    assert shown > 8


def test_no_page_runs_inline_code_or_asks_another_host(busy):
    office, numbers = busy
    for path, page in pages(office, numbers):
        assert not re.search(r"<[^>]+\son\w+\s*=", page), path
        assert "javascript:" not in page, path
        assert not re.search(r"<[^>]+\sstyle\s*=", page), path
        assert "<style" not in page, path
        for tag in re.findall(r"<script\b[^>]*>(.*?)</script>", page, re.DOTALL):
            assert tag.strip() == "", path
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', page):
            assert address.startswith(("/", "#")), (path, address)


def test_every_input_has_a_name_for_the_ear(busy):
    office, numbers = busy
    for path, page in pages(office, numbers):
        labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', page))
        inside = "".join(re.findall(r"<label\b[^>]*>.*?</label>", page, re.DOTALL))
        for tag in re.findall(r"<(?:input|select|textarea)\b[^>]*>", page):
            if 'type="hidden"' in tag or " hidden" in tag or "aria-label" in tag or tag in inside:
                continue
            found = re.search(r' id="([^"]+)"', tag)
            assert found, (path, tag)
            assert found.group(1) in labelled, (path, tag)
        ids = re.findall(r' id="([^"]+)"', page)
        assert len(ids) == len(set(ids)), path
