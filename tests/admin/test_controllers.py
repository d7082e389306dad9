"""Rights per object: a controller knows of the clients in whose cards they stand, once cards name anybody."""

import re

import pytest

from storage.models import Client
from tests.admin.office import Office
from tests.admin.test_access_matrix import ROWS, VISITORS, arguments, attached, opened, routes

ALL_TOGETHER = (
    "unassigned.index", "times.index", "times.behind", "times.norms", "times.people", "history.index",
    "history.archives", "history.check", "coverage.index",
)  # fmt: skip
"""Sections about everybody's requests together."""
OF_THE_CLIENT = (
    "requests.one", "requests.download", "clients.one", "client.requests", "client.correspondence",
    "client.files",
)  # fmt: skip


def names(office: Office, client: int, who: str | None) -> None:
    """Write in a client's card who controls the work for it."""
    with office.database.begin() as session:
        row = session.get_one(Client, office.clients[client])
        row.controller_id = office.staff[who] if who else None


def expected(endpoint: str, method: str, *, theirs: bool) -> str:
    usual = ROWS[endpoint, method][VISITORS.index("controller")]
    if endpoint in ALL_TOGETHER:
        return "-"
    if endpoint == "requests.whole":
        return "0"
    if endpoint == "calls.done":
        return "+" if theirs else "0"
    return "0" if usual == "+" and endpoint in OF_THE_CLIENT and not theirs else usual


@pytest.mark.parametrize("theirs", [True, False], ids=["of this client", "of another client"])
def test_the_table_holds_for_a_controller_of_some_clients(busy, theirs):
    office, numbers = busy
    names(office, 0 if theirs else 2, "controller")
    named = arguments(office, numbers, attached(office, numbers["working"]))
    wrong = {}
    for endpoint, method, path in routes(office, named):
        seen = opened(office.browser("controller"), method, path)
        if (endpoint, method) in ROWS and seen != expected(endpoint, method, theirs=theirs):
            wrong[endpoint, method] = seen
    assert wrong == {}


def test_lists_hold_only_what_is_of_their_clients(busy):
    office, numbers = busy
    names(office, 2, "controller")
    browser = office.browser("controller")
    own = office.submit(client=2)
    for path in ("requests/", "board/", "board/cards", "calendar/?view=month", "requests/?format=csv"):
        text = browser.get(f"/panel/{path}").get_data(as_text=True)
        assert "ООО «Север»" in text, path
        assert "Ромашка" not in text, path
    assert f"№ {own}" in browser.page("/panel/requests/")
    for path in ("", "risk", "timeline/?view=week", "calls/", "clients/", "clients/?format=csv"):
        assert "Ромашка" not in browser.get(f"/panel/{path}").get_data(as_text=True), path
    assert browser.get(f"/panel/requests/{numbers['working']}/").status_code == 404


def test_no_link_of_theirs_leads_to_a_closed_door(busy):
    office, _numbers = busy
    names(office, 2, "controller")
    browser, number = office.browser("controller"), office.submit(client=2)
    pages = ("", "requests/", f"requests/{number}/", "board/", "clients/", f"clients/{office.clients[2]}/")
    found = {
        link
        for page in pages
        for link in re.findall(r'href="(/panel/[^"#]*)"', browser.page(f"/panel/{page}"))
    }
    refused = {link for link in found if browser.get(link.replace("&amp;", "&")).status_code >= 400}
    assert refused == set()


def test_named_nowhere_they_see_nothing_as_soon_as_anybody_is_named(busy):
    office, numbers = busy
    assert office.browser("controller").get(f"/panel/requests/{numbers['working']}/").status_code == 200
    names(office, 0, "deputy")
    browser = office.browser("controller")
    assert browser.get(f"/panel/requests/{numbers['working']}/").status_code == 404
    assert "Ромашка" not in browser.page("/panel/requests/")
    assert office.browser("deputy").get(f"/panel/requests/{numbers['working']}/").status_code == 200
    names(office, 0, None)
    assert office.browser("controller").get(f"/panel/requests/{numbers['working']}/").status_code == 200
