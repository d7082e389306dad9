"""axe-core finds no serious fault on any page of the panel, in either theme and at either width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from werkzeug.test import TestResponse

from tests.admin.test_doors import addresses
from tests.e2e import test_panel_pages as pages
from tests.e2e.axe import serious
from tests.e2e.test_panel_pages import DESKTOP, PHONE, Open

house, browser, context, page = pages.house, pages.browser, pages.context, pages.page

Look = tuple[str, Any, dict[str, Any]]
"""The colours asked for, the size of the window, and the rules to try."""

AXE = Axe()
ALL = {"resultTypes": ["violations"]}
COLOURS = {**ALL, "runOnly": ["color-contrast", "link-in-text-block"]}
"""In the dark the same elements have other colours, and nothing else."""
DOORS = ("/panel/sign-in", "/panel/forgotten", "/panel/invitation/XXXX", "/panel/enter/XXXX")


def every_page(house: Open, role: str) -> list[str]:
    """Every address that shows this role a whole page, refusals too."""
    known = dict.fromkeys(house.paths())
    known |= {
        path: None for _name, path, methods in addresses(house.office, house.numbers) if "GET" in methods
    }
    looking = house.office.browser(role)
    return [path for path in known if _is_page(looking.get(path))]


def _is_page(answer: TestResponse) -> bool:
    """Whether it is shown in the panel, and not given out as a file."""
    given_out = answer.headers.get("Content-Disposition", "").startswith("attachment")
    return not given_out and answer.get_data().lstrip()[:9].lower() == b"<!doctype"


ON_A_PHONE = ("light", PHONE, ALL)
LOOKS = (("light", DESKTOP, ALL), ON_A_PHONE, ("dark", DESKTOP, COLOURS))
"""In the dark only colours differ."""


def faults(page: Page, path: str, looks: Sequence[Look] = LOOKS) -> Iterator[str]:
    """What is wrong in light and in the dark, on a wide screen and on a phone."""
    for scheme, size, rules in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        for fault in serious(AXE.run(page, options=rules).response):
            yield f"{path}, {scheme}, {size['width']} px: {fault}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("role", "looks"),
    # Her pages are the director's with less on them: where they differ is on the narrow screen.
    [("director", LOOKS), ("anna", (ON_A_PHONE,))],
    ids=["director", "anna"],
)
def test_no_page_has_a_serious_fault(house: Open, page: Page, role: str, looks: Sequence[Look]) -> None:
    page.goto(house.link_for(role))
    found = []
    paths = every_page(house, role)
    assert len(paths) > 20
    for path in paths:
        page.goto(house.address + path)
        found += faults(page, path, looks)
    assert found == []


def test_the_doors_have_none(house: Open, page: Page) -> None:
    found = []
    for path in DOORS:
        page.goto(house.address + path)
        found += faults(page, path)
    assert found == []


OPENED = (
    ("/panel/board/", "document.querySelectorAll('details.group').forEach((it) => { it.open = true; })"),
    ("/panel/board/", "document.querySelector('.slip .move').click()"),
    ("/panel/requests/", "document.querySelectorAll('details').forEach((it) => { it.open = true; })"),
    ("/panel/times/", "document.querySelectorAll('details').forEach((it) => { it.open = true; })"),
    ("/panel/", "document.querySelector('.menu-switch').click()"),
)


@pytest.mark.parametrize(("path", "act"), OPENED, ids=["groups", "mover", "list", "times", "menu"])
def test_what_opens_has_none(house: Open, page: Page, path: str, act: str) -> None:
    page.goto(house.link_for("director"))
    page.goto(house.address + path)
    page.evaluate(act)
    page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
    assert list(faults(page, path)) == []
