"""The panel for whoever has no mouse, no script, another theme or paper."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import test_panel_pages as pages
from tests.e2e.test_panel_pages import DESKTOP, PHONE, Open

house, browser, context, page = pages.house, pages.browser, pages.context, pages.page


# --- the menu ------------------------------------------------------------------------------------------


def menu(page: Page, word: str) -> tuple[object, object]:
    """A group of the menu: what opens it, and its first link."""
    group = page.locator("details.group", has_text=word).first
    return group.locator("summary"), group.locator("a").first


def test_a_group_of_the_menu_opens_by_key_and_closes_behind_the_focus(house: Open, page: Page) -> None:
    page.goto(house.link_for("director"))
    summary, first = menu(page, "Заявки")
    other, _link = menu(page, "Ещё")
    summary.focus()
    page.keyboard.press("Enter")
    expect(first).to_be_visible()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("Escape")
    expect(first).to_be_hidden()
    expect(summary).to_be_focused()
    page.keyboard.press("Space")
    expect(first).to_be_visible()
    other.focus()
    expect(first).to_be_hidden()
    other.click()
    summary.click()
    expect(first).to_be_visible()
    expect(_link).to_be_hidden()
    page.locator("h1").click()
    expect(first).to_be_hidden()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_menu_needs_no_script(house: Open, browser: Browser, size: dict[str, int]) -> None:
    context = browser.new_context(viewport=size, locale="ru-RU", java_script_enabled=False, has_touch=True)
    page = context.new_page()
    page.goto(house.link_for("director"))
    if size is PHONE:
        page.locator(".menu-button").tap()
    summary, _first = menu(page, "Заявки")
    summary.tap()
    page.get_by_role("navigation", name="Разделы").get_by_role("link", name="Доска").tap()
    expect(page.get_by_role("heading", name="Доска", level=1)).to_be_visible()
    context.close()


@pytest.mark.parametrize("size", [DESKTOP, {"width": 1024, "height": 700}], ids=["desktop", "tablet"])
def test_the_top_is_one_line(house: Open, page: Page, size: dict[str, int]) -> None:
    page.set_viewport_size(size)
    page.goto(house.link_for("director"))
    assert page.locator(".top").bounding_box()["height"] < 80


# --- light, dark, paper --------------------------------------------------------------------------------

GROUND = "getComputedStyle(document.body).backgroundColor"
INK = "getComputedStyle(document.body).color"


def choose(page: Page, look: str) -> None:
    page.get_by_role("button", name=look).click()
    expect(page.get_by_role("button", name=look)).to_have_attribute("aria-pressed", "true")
    page.wait_for_load_state()  # the style sheets too


def test_whoever_wants_it_dark_has_it_at_once_without_scripts(house: Open, browser: Browser) -> None:
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False, color_scheme="light")
    page = context.new_page()
    page.goto(house.link_for("director"))
    page.goto(f"{house.address}/panel/times/?by=client")
    light = page.evaluate(INK)
    choose(page, "тёмное")
    assert page.url.endswith("/panel/times/?by=client")
    assert page.evaluate(INK) != light
    page.emulate_media(media="print")
    assert page.evaluate(INK) == light
    context.close()


def test_whoever_wants_it_light_has_it_in_a_dark_system(house: Open, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(house.link_for("director"))
    dark = page.evaluate(GROUND)
    choose(page, "светлое")
    assert page.evaluate(GROUND) != dark
    choose(page, "как в системе")
    assert page.evaluate(GROUND) == dark


A4 = {"width": 718, "height": 1040}
"""What is left of the sheet between its margins."""


@pytest.mark.parametrize(
    "path",
    ["/panel/requests/", "/panel/times/", "/panel/clients/coverage/", "/panel/history/", "/panel/timeline/"],
)
def test_paper_has_whole_tables_and_nothing_to_press(house: Open, page: Page, path: str) -> None:
    page.goto(house.link_for("director"))
    page.set_viewport_size(A4)
    page.emulate_media(media="print")
    page.goto(house.address + path)
    for selector in ("nav", "button", ".filters", ".foot", ".skip", ".menu-button"):
        for found in page.locator(selector).all():
            expect(found).to_be_hidden()
    for table in page.locator("table:visible").all():
        assert table.evaluate("(it) => getComputedStyle(it.tHead || it).display") in (
            "table",
            "table-header-group",
        )
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0


# --- the keyboard --------------------------------------------------------------------------------------

FOCUS = """(() => {
  const it = document.activeElement;
  if (it === document.body) return null;
  const style = getComputedStyle(it), box = it.getBoundingClientRect();
  const label = it.nextElementSibling && it.nextElementSibling.matches(".menu-button");
  return [it.outerHTML.slice(0, 80), style.outlineStyle !== "none" || Boolean(label), box.width > 0];
})()"""
TRAP = 250


def test_the_first_stop_leads_past_the_menu(house: Open, page: Page) -> None:
    page.goto(house.link_for("director"))
    page.goto(f"{house.address}/panel/clients/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="К содержанию")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize(
    "path",
    [
        "/panel/",
        "/panel/board/",
        "/panel/timeline/",
        "/panel/times/",
        "/panel/settings/hours",
        "/panel/profile/",
    ],
)
def test_every_stop_shows_itself_and_no_page_is_a_trap(
    house: Open, page: Page, path: str, size: dict[str, int]
) -> None:
    page.set_viewport_size(size)
    page.goto(house.link_for("director"))
    page.goto(house.address + path)
    for _press in range(TRAP):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUS)
        if stop is None:
            break
        assert stop[1], stop
        assert stop[2], stop
    else:
        pytest.fail("the focus never leaves the page")
