"""The panel in a real browser: it fits a phone, obeys its own policy, and can be used by keyboard."""

from __future__ import annotations

import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from storage import casework, invitations
from storage.migrate import migrate
from tests.admin.office import Office, fill, open_office

CHROMIUM = shutil.which("chromium")
"""The system's; without it, the one that `playwright install chromium` brings."""
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


class Open:
    """A firm whose panel answers on a free port."""

    def __init__(self, office: Office, numbers: dict[str, int], address: str) -> None:
        self.office, self.numbers, self.address = office, numbers, address

    def link_for(self, name: str) -> str:
        """A one-time link that signs in."""
        with self.office.database.begin() as session:
            person = self.office.persons[name]
            code = invitations.invite_person(
                session, person, invitations.Purpose.SIGNIN, self.office.clock, timedelta(days=1)
            )
        return f"{self.address}/panel/enter/{code}"

    def paths(self) -> list[str]:
        """Every page of the panel."""
        office, numbers = self.office, self.numbers
        return [
            "/panel/",
            "/panel/risk",
            "/panel/requests/",
            "/panel/requests/?q=счёт&status=accepted",
            f"/panel/requests/{numbers['working']}/",
            f"/panel/requests/{numbers['waiting']}/",
            f"/panel/requests/{numbers['working']}/all",
            "/panel/requests/?list=unanswered",
            "/panel/board/",
            "/panel/board/?lanes=1",
            f"/panel/board/{numbers['working']}/move",
            "/panel/my-calendar/",
            "/panel/calendar/",
            "/panel/calendar/?view=month",
            "/panel/timeline/",
            "/panel/timeline/?view=week",
            "/panel/unassigned/",
            "/panel/times/",
            "/panel/times/list?measure=whole",
            "/panel/times/?by=client&trend=first_response&heat=response",
            "/panel/times/people",
            "/panel/times/list?measure=given",
            "/panel/times/norms",
            "/panel/clients/",
            f"/panel/clients/{office.clients[2]}/",
            "/panel/clients/import",
            "/panel/clients/coverage/",
            "/panel/consents/",
            "/panel/erasure/retention",
            f"/panel/client/{office.clients[0]}/requests",
            f"/panel/client/{office.clients[0]}/correspondence",
            f"/panel/client/{office.clients[0]}/files",
            f"/panel/colleague/{office.staff['anna']}/hours",
            "/panel/staff/",
            f"/panel/staff/{office.staff['anna']}/",
            "/panel/profile/",
            "/panel/profile/factor",
            "/panel/messengers/",
            "/panel/copies/",
            "/panel/history/",
            "/panel/history/check",
            "/panel/history/archive",
            "/panel/settings/",
            "/panel/settings/hours",
            "/panel/settings/terms",
            "/panel/settings/consent",
            "/panel/settings/kinds",
            "/panel/settings/texts/",
            "/panel/settings/texts/?q=чей",
            "/panel/settings/replies/",
            "/panel/settings/replies/new",
            "/panel/settings/routing/",
        ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    folder = tmp_path_factory.mktemp("panel")
    template = folder / "empty.sqlite3"
    migrate(f"sqlite:///{template}")
    with sqlite3.connect(template) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    office = open_office(folder, template)
    numbers = fill(office)
    server = make_server("127.0.0.1", 0, office.app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Open(office, numbers, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()
    office.database.sync_engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport=DESKTOP, locale="ru-RU")
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def complaints(page: Page) -> list[str]:
    """What the browser complains about from now on: refused scripts, errors, foreign hosts."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))

    def failed(request: Request) -> None:
        # Leaving a page stops whatever it was still loading.
        if request.failure != "net::ERR_ABORTED":
            heard.append(f"failed: {request.url}")

    page.on("requestfailed", failed)
    return heard


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_breaks_no_rule(
    house: Open, page: Page, size: dict[str, int], scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(size)
    heard = complaints(page)
    page.goto(house.link_for("director"))
    for path in house.paths():
        page.goto(house.address + path)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, path
        assert page.evaluate("typeof showCount") == "function", path
    assert heard == []


def test_the_director_reassigns_from_the_list(house: Open, page: Page) -> None:
    page.goto(house.link_for("director"))
    page.get_by_role("link", name="не приняты вовремя").click()
    number = house.numbers["late"]
    page.get_by_label(f"Отметить заявку {number}").check()
    expect(page.locator("[data-picked-count]")).to_have_text("Отмеченные: 1")
    page.get_by_label("Кому").select_option(label="Анна Петрова")
    page.get_by_label("Комментарий").fill("помогите Борису")
    page.get_by_role("button", name="Передать").click()
    expect(page.get_by_text("Передано заявок: 1.")).to_be_visible()
    assert house.office.request(number).assignee_id == house.office.staff["anna"]


def test_words_survive_a_stale_form(house: Open, page: Page) -> None:
    number, office = house.numbers["working"], house.office
    page.goto(house.link_for("director"))
    page.goto(f"{house.address}/panel/requests/{number}/")
    page.get_by_label("Ответ клиенту").fill("Я долго это писала")
    with office.database.begin() as session:
        casework.note(session, office.house, office.who("anna"), number, "уже позвонила", (), office.clock)
    page.get_by_role("button", name="Ответить").click()
    expect(page.get_by_role("alert")).to_contain_text("уже позвонила")
    expect(page.get_by_label("Ответ клиенту")).to_have_value("Я долго это писала")
    page.get_by_role("button", name="Ответить").click()
    expect(page.get_by_text("Ответ уйдёт клиенту")).to_be_visible()


def test_the_menu_opens_on_a_phone_by_finger_and_by_key(house: Open, page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto(house.link_for("director"))
    section = page.get_by_role("navigation", name="Разделы").get_by_role("link", name="Клиенты")
    expect(section).to_be_hidden()
    page.locator(".menu-button").click()
    expect(section).to_be_visible()
    page.get_by_label("Меню").focus()
    page.keyboard.press("Space")
    expect(section).to_be_hidden()


def test_everything_that_can_be_pressed_is_reached_by_key_and_shows_it(house: Open, page: Page) -> None:
    page.goto(house.link_for("director"))
    page.goto(f"{house.address}/panel/requests/{house.numbers['waiting']}/")
    reached = set()
    for _press in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(() => { const it = document.activeElement;"
            " return it === document.body ? null :"
            " [it.id || it.textContent.trim().slice(0, 30), getComputedStyle(it).outlineStyle]; })()"
        )
        if found is None:
            break
        assert found[1] != "none", found
        reached.add(found[0])
    assert {"to", "comment", "answer", "note", "Ответить", "Выйти"} <= reached


def test_an_invited_colleague_sets_a_password_and_signs_in(house: Open, page: Page, browser: Browser) -> None:
    page.goto(house.link_for("director"))
    page.goto(f"{house.address}/panel/staff/")
    page.get_by_label("Имя и фамилия").fill("Игорь Новый")
    page.get_by_label("Почта, с ней он входит").fill("igor@balans.example")
    page.get_by_role("button", name="Пригласить").click()
    link = page.get_by_label("Ссылка, по которой задают пароль").input_value()
    path = re.sub(r"^https?://[^/]+", "", link)
    guest = browser.new_context(viewport=PHONE).new_page()
    guest.goto(house.address + path)
    guest.get_by_label("Пароль").fill("три слова подряд")
    guest.get_by_label("Ещё раз").fill("три слова подряд")
    guest.get_by_role("button", name="Сохранить и войти").click()
    expect(guest.get_by_role("heading", name="Сегодня")).to_be_visible()
    guest.locator(".menu-button").click()
    guest.get_by_role("button", name="Выйти").click()
    guest.get_by_label("Почта").fill("igor@balans.example")
    guest.get_by_label("Пароль").fill("три слова подряд")
    guest.get_by_role("button", name="Войти").click()
    expect(guest.get_by_role("heading", name="Сегодня")).to_be_visible()
    guest.context.close()
