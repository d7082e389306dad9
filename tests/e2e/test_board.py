"""The board in a real browser: moved by mouse, by finger, by key, and by two directors at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

from storage import casework
from tests.e2e.test_panel_pages import DESKTOP, PHONE, Browser, Open, browser, complaints, house

__all__ = ["browser", "house"]

TALL = {**DESKTOP, "height": 4000}
"""All lanes at once."""

RESULT = "Оплачено, платёжка во вложении"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport=TALL, locale="ru-RU")
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which nothing may go wrong unnoticed; what the server refuses is no fault of the page."""
    opened = context.new_page()
    heard = complaints(opened)
    yield opened
    assert [words for words in heard if "status of 4" not in words] == []


def open_board(house: Open, page: Page, who: str = "director", lanes: bool = False) -> None:
    page.goto(house.link_for(who))
    page.goto(f"{house.address}/panel/board/{'?lanes=1' if lanes else ''}")
    expect(page.locator("body")).to_have_class("is-alive")


def card(page: Page, number: int) -> Locator:
    return page.locator(f'[data-card="{number}"]')


def cell(page: Page, column: str, lane: int | None = None) -> Locator:
    return page.locator(f'[data-column="{column}"]' + (f'[data-lane="{lane}"]' if lane is not None else ""))


def drag(page: Page, what: Locator, to: Locator, *, drop: bool = True) -> None:
    what.scroll_into_view_if_needed()
    start, end = what.bounding_box(), to.bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + 45)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + min(end["height"] / 2, 40), steps=8)
    if drop:
        page.mouse.up()


def submit(house: Open, task: str, to: str | None = None, accepted: bool = False) -> int:
    """A new request; nobody has it, or somebody has accepted it."""
    office = house.office
    number = office.submit(1, "pay", task, hours=4)
    with office.database.begin() as session:
        row = casework.open_case(session, number).row
        wanted = office.staff[to] if to else None
        if row.assignee_id != wanted:
            director = office.who("director")
            casework.reassign(session, office.house, director, number, wanted, "", office.clock)
    if accepted:
        with office.database.begin() as session:
            casework.accept(session, office.house, office.who(to or ""), number, office.clock)
    return number


def test_a_card_is_dragged_to_another_lane_by_mouse(house: Open, page: Page) -> None:
    number = submit(house, "Перетащить мышью", "anna", accepted=True)
    boris = house.office.staff["boris"]
    open_board(house, page, lanes=True)
    drag(page, card(page, number), cell(page, "assigned", boris))
    expect(page.get_by_role("status")).to_have_text("Передано. Исполнитель и клиент узнают об этом.")
    expect(cell(page, "assigned", boris).locator(f'[data-card="{number}"]')).to_be_visible()
    assert house.office.request(number).assignee_id == boris
    assert page.url.endswith("/panel/board/?lanes=1"), "the end of a drag presses no link"


def test_a_forbidden_move_says_why_and_the_card_goes_back(house: Open, page: Page) -> None:
    number = submit(house, "Рано")
    version = house.office.request(number).version
    open_board(house, page)
    drag(page, card(page, number), cell(page, "done"))
    expect(page.get_by_role("alert")).to_contain_text("Сейчас этого сделать нельзя.")
    expect(cell(page, "new").locator(f'[data-card="{number}"]')).to_be_visible()
    expect(page.locator(".flying")).to_have_count(0)
    assert house.office.request(number).version == version


def test_escape_lets_a_card_go_back(house: Open, page: Page) -> None:
    number = submit(house, "Передумал", "anna", accepted=True)
    version = house.office.request(number).version
    open_board(house, page)
    drag(page, card(page, number), cell(page, "new"), drop=False)
    expect(page.locator(".flying")).to_have_count(1)
    expect(cell(page, "new")).to_have_class("stack is-target")
    page.keyboard.press("Escape")
    expect(page.locator(".flying")).to_have_count(0)
    page.mouse.up()
    expect(cell(page, "accepted").locator(f'[data-card="{number}"]')).to_be_visible()
    assert house.office.request(number).version == version


def test_done_asks_for_the_result(house: Open, page: Page) -> None:
    number = submit(house, "Оплатить и написать", "anna", accepted=True)
    open_board(house, page, "anna")
    drag(page, card(page, number), cell(page, "done"))
    form = page.get_by_role("dialog", name=f"Перенести № {number}")
    expect(form.get_by_label("Куда")).to_have_value("column:done")
    expect(form.get_by_label("Что сделано, для клиента")).to_be_focused()
    expect(form.get_by_label("Если спрашиваете клиента")).to_be_hidden()
    form.get_by_role("button", name="Перенести").click()
    expect(form.get_by_role("alert")).to_have_text("Напишите клиенту, что сделано.")
    form.get_by_label("Что сделано, для клиента").fill(RESULT)
    form.get_by_role("button", name="Перенести").click()
    expect(page.get_by_role("status")).to_have_text("Выполнено. Результат уйдёт клиенту.")
    expect(cell(page, "done").locator(f'[data-card="{number}"]')).to_be_visible()
    assert house.office.request(number).result == RESULT


def test_a_new_one_is_given_to_somebody_chosen(house: Open, page: Page) -> None:
    number = submit(house, "Кому-нибудь")
    open_board(house, page)
    drag(page, card(page, number), cell(page, "assigned"))
    form = page.get_by_role("dialog")
    form.get_by_label("Куда").select_option(label="Вера Юристова")
    form.get_by_role("button", name="Перенести").click()
    expect(page.get_by_role("status")).to_contain_text("Передано.")
    assert house.office.request(number).assignee_id == house.office.staff["lawyer"]


def test_everything_works_by_key(house: Open, page: Page) -> None:
    number = submit(house, "Без мыши", "anna", accepted=True)
    open_board(house, page)
    column = cell(page, "accepted").locator("[data-card]")
    first = column.first
    first.focus()
    for _press in range(20):
        if page.evaluate("document.activeElement.dataset.card") == str(number):
            break
        page.keyboard.press("ArrowDown")
    expect(card(page, number)).to_be_focused()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('[data-column]').dataset.column") != "accepted"
    page.keyboard.press("ArrowLeft")
    card(page, number).focus()
    page.keyboard.press("Enter")
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Куда")).to_be_focused()
    wanted = f"to:{house.office.staff['boris']}"
    for _press in range(10):
        if form.get_by_label("Куда").input_value() == wanted:
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(form.get_by_label("Комментарий исполнителю")).to_be_focused()
    page.keyboard.type("срочно")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(form.get_by_label("Куда")).to_be_focused()  # the focus does not leave the form
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Передано.")
    expect(card(page, number)).to_be_focused()
    assert house.office.request(number).assignee_id == house.office.staff["boris"]


def test_escape_closes_the_form_and_comes_back(house: Open, page: Page) -> None:
    number = submit(house, "Раздумать", "anna")
    open_board(house, page)
    card(page, number).get_by_role("link", name="Перенести").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(card(page, number)).to_be_focused()


def test_a_finger_drags_by_the_grip_and_the_board_comes_along(house: Open, browser: Browser) -> None:
    number = submit(house, "Перенести пальцем", "anna")
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    page = context.new_page()
    heard = complaints(page)
    open_board(house, page)
    card(page, number).evaluate("it => it.scrollIntoView({ block: 'center', inline: 'center' })")
    box = card(page, number).locator("[data-grip]").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        finger.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": at_x, "y": at_y} for at_x, at_y in points]},
        )

    touch("touchStart", (x, y))
    for step in range(1, 9):
        touch("touchMove", (x + (8 - x) * step / 8, y))
    # Held at the left edge until the board has come along to its first column.
    page.wait_for_function("() => document.querySelector('[data-table]').scrollLeft === 0")
    touch("touchMove", (150, y))
    expect(cell(page, "new")).to_have_class("stack is-target")
    touch("touchEnd")
    expect(page.get_by_role("status")).to_have_text("Заявка снова в «Новых».")
    assert house.office.request(number).assignee_id is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert heard == []
    context.close()


def test_a_finger_anywhere_else_scrolls_the_page(house: Open, browser: Browser) -> None:
    number = submit(house, "Листать", "anna")
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, locale="ru-RU")
    page = context.new_page()
    open_board(house, page)
    assert card(page, number).evaluate("it => getComputedStyle(it).touchAction") == "auto"
    assert (
        card(page, number).locator("[data-grip]").evaluate("it => getComputedStyle(it).touchAction") == "none"
    )
    context.close()


def test_two_directors_drag_the_same_card(house: Open, page: Page, browser: Browser) -> None:
    number = submit(house, "Один на двоих", "anna", accepted=True)
    staff = house.office.staff
    other_context = browser.new_context(viewport=TALL, locale="ru-RU")
    other = other_context.new_page()
    open_board(house, page, "director", lanes=True)
    open_board(house, other, "deputy", lanes=True)
    drag(page, card(page, number), cell(page, "assigned", staff["lawyer"]), drop=False)
    drag(other, card(other, number), cell(other, "assigned", staff["boris"]))
    expect(other.get_by_role("status")).to_contain_text("Передано.")
    page.mouse.up()
    expect(page.get_by_role("alert")).to_contain_text(
        f"Пока вы переносили, Олег Замов передал(а) заявку № {number}. Исполнитель: Борис Лядов."
    )
    expect(cell(page, "assigned", staff["boris"]).locator(f'[data-card="{number}"]')).to_be_visible()
    assert house.office.request(number).assignee_id == staff["boris"]
    other_context.close()


def test_the_board_follows_what_others_do(house: Open, page: Page) -> None:
    number = submit(house, "Само обновится", "anna")
    open_board(house, page)
    card(page, number).focus()
    office = house.office
    with office.database.begin() as session:
        casework.accept(session, office.house, office.who("anna"), number, office.clock)
    page.evaluate("priemLive.refresh()")
    expect(cell(page, "accepted").locator(f'[data-card="{number}"]')).to_be_visible()
    expect(card(page, number)).to_be_focused()


LOOK = """(where) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => where === "away" });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


class Wire:
    """What the start page asks and is answered, on a clock that the test turns."""

    def __init__(self, page: Page) -> None:
        self.page, self.answers = page, list[int]()
        self.under_way: set[Request] = set()

        def asked(request: Request) -> None:
            if request.url.endswith("/panel/today"):
                self.under_way.add(request)

        def answered(request: Request, status: int) -> None:
            if request in self.under_way:
                self.under_way.remove(request)
                self.answers.append(status)

        page.on("request", asked)
        page.on("response", lambda answer: answered(answer.request, answer.status))
        page.on("requestfailed", lambda request: answered(request, 0))

    def turn(self, seconds: int) -> list[int]:
        """Let so much time pass; the answers that came (0: there was none)."""
        before = len(self.answers)
        for _second in range(seconds):
            self.page.clock.run_for(1000)
            # What was asked in this second is answered in it: the page has no patience for less.
            self.page.evaluate("() => new Promise((done) => done())")
            while self.under_way:
                self.page.evaluate("() => new Promise((done) => done())")
        return self.answers[before:]


def test_the_start_page_asks_only_while_it_is_looked_at(house: Open, page: Page) -> None:
    page.clock.install()
    page.goto(house.link_for("director"))
    page.goto(f"{house.address}/panel/")
    wire, region = Wire(page), page.locator("[data-live]")
    region.evaluate("it => { it.firstElementChild.mark = 1; }")
    assert wire.turn(35) == [304]
    assert region.evaluate("it => it.firstElementChild.mark") == 1, "nothing was drawn anew"
    page.evaluate(LOOK, "away")
    assert wire.turn(120) == []
    submit(house, "Пока не смотрели")
    page.evaluate(LOOK, "here")
    assert wire.turn(2) == [200]
    page.evaluate(LOOK, "away")
    page.evaluate(LOOK, "here")
    assert wire.turn(5) == [], "leafing between windows asks nothing"


def test_without_a_connection_the_start_page_asks_ever_more_seldom(house: Open, browser: Browser) -> None:
    context = browser.new_context(viewport=DESKTOP, locale="ru-RU")
    page = context.new_page()
    page.clock.install()
    page.goto(house.link_for("director"))
    page.goto(f"{house.address}/panel/")
    wire = Wire(page)
    context.set_offline(True)
    assert wire.turn(320) == [0, 0, 0], "after 30, 90 and 210 seconds"
    expect(page.locator("[data-live-state]")).to_contain_text("Нет связи с программой. Показано на 11:00")
    context.set_offline(False)
    assert wire.turn(310)[:1] == [304]
    expect(page.locator("[data-live-state]")).to_have_text("На 11:00")
    context.close()
