"""Everything a client can type, typed with bad intent; then every page, export and letter is read."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import threading
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser

import openpyxl
import pytest
from playwright.async_api import async_playwright
from werkzeug.serving import make_server

from bots.mail import _page, _subject
from router.model import Role
from storage import calendars, casework, duty_list, invitations
from storage.house import Who
from storage.models import Letter, Request, Staff
from storage.roster import Act
from tests.admin.office import Browser, Office, office_over
from tests.client import Town
from tests.dialogue.paths import WALK, staff_does
from tests.e2e.conftest import CHROMIUM, CHROMIUM_ARGS
from tests.e2e.test_panel_pages import _Quiet
from tests.security.hostile_words import ALL_IN_ONE, BROKEN, EVERYTHING, FORMULAS, SCRIPTS

INNS = ("7707083893", "7736050003", "7728168971", "7702070139", "7710140679")
INJECTED = (
    "img[src='x'], iframe, svg[onload], [onerror], [onfocus], [onload], [srcdoc], math, "
    "a[href^='javascript:'], textarea[autofocus][x], script:not([nonce])"
)
PDF = b"%PDF-1.4\n%%EOF\n"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("harm")


@pytest.fixture(scope="module")
def town(folder):
    """A firm whose every client means harm, and its panel."""
    opened = Town.open(folder)
    asyncio.run(_filled(opened))
    yield opened
    opened.database.sync_engine.dispose()


async def _filled(town: Town) -> None:
    await town.staff("Елена Дирова", Role.DIRECTOR)
    await town.staff("Анна Петрова")
    for number, inn in enumerate(INNS):
        await _harm(town, inn, EVERYTHING[number :: len(INNS)], number)
    await town.database.close()


async def _harm(town: Town, inn: str, words: tuple[str, ...], number: int) -> None:
    """One client who types these words wherever words can be typed."""
    town.known_client(inn, f"{words[0]} {ALL_IN_ONE}"[:190])
    client = town.newcomer(f"client-{number}", ALL_IN_ONE[:190])
    await client.says("/start")
    await client.says("Согласен")
    for each in words:
        await client.says("/new")
        for name, answer in WALK:
            if name == "inn":
                await client.says(f"{inn} {each}")
            elif name == "task":
                await client.says(f"{each} ООО Свет, 12 345 ₽ по счёту 15")
            elif name == "files":
                await client.sends_files({f"{each[:60]}.pdf": PDF}, caption=each)
                await client.says(answer)
            else:
                await client.says(answer)
    await client.says(ALL_IN_ONE)
    mine = [row.id for row in town.requests() if row.inn == inn]
    for request_id in mine[:1]:
        await _worked_on(town, request_id)
        await client.says(ALL_IN_ONE)
        await client.edits(f"{ALL_IN_ONE} исправлено")
        await client.sends_other(ALL_IN_ONE)


async def _worked_on(town: Town, request_id: int) -> None:
    with town.database.begin() as session:
        anna = session.get(Staff, 2)
        elena = session.get(Staff, 1)
        director = Who("panel", elena.person_id, elena.id, Role.DIRECTOR, "Елена Дирова")
        if session.get(Request, request_id).assignee_id != anna.id:
            casework.reassign(session, town.house, director, request_id, anna.id, "", town.clock)
    await staff_does(town, casework.accept, request_id)
    await staff_does(town, casework.clarify, request_id, "task", ALL_IN_ONE)


def office_of(town: Town, folder) -> Office:
    office = office_over(town.url, folder / "files")
    office.clock = town.clock
    office.staff = {"director": 1}
    return office


def signed_in(office: Office) -> Browser:
    return office.browser("director")


LISTS = ("/panel/requests/", "/panel/clients/")

PAGES = (
    "/panel/", "/panel/today", "/panel/risk", "/panel/requests/", "/panel/requests/?list=unanswered",
    "/panel/board/", "/panel/board/?lanes=1", "/panel/calendar/", "/panel/calendar/?view=month",
    "/panel/timeline/", "/panel/unassigned/",
    "/panel/times/", "/panel/times/?by=client", "/panel/times/list?measure=whole", "/panel/clients/",
    "/panel/clients/coverage/", "/panel/staff/", "/panel/calls/", "/panel/history/", "/panel/settings/texts/",
    "/panel/my-calendar/", "/panel/messengers/", "/panel/recording/",
)  # fmt: skip


async def test_no_page_runs_what_a_client_typed(town, folder):
    office = office_of(town, folder)
    numbers = [row.id for row in town.requests()]
    assert len(numbers) >= 15
    clients = sorted({row.client_id for row in town.requests()})
    paths = [
        *PAGES, *(f"/panel/requests/{n}/" for n in numbers),
        *(f"/panel/requests/{n}/all" for n in numbers[:3]),
        *(f"/panel/clients/{n}/" for n in clients),
        *(f"/panel/client/{n}/{part}" for n in clients for part in ("requests", "correspondence", "files")),
        f"/panel/requests/?q={SCRIPTS[1]}", f"/panel/clients/?q={SCRIPTS[0]}",
        f"/panel/board/{numbers[0]}/move",
    ]  # fmt: skip
    server = make_server("127.0.0.1", 0, office.app, threaded=True, request_handler=_Quiet)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    address = f"http://127.0.0.1:{server.server_port}"
    complaints: list[str] = []
    showing = 0
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
            context = await browser.new_context(locale="ru-RU")
            page = await context.new_page()
            page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            await page.goto(address + _link(office))
            for path in paths:
                answer = await page.goto(address + path)
                assert answer is not None
                assert answer.status == 200, path
                assert "sign-in" not in page.url, path
                assert await page.evaluate("window.stolen") is None, path
                assert await page.evaluate(f'document.querySelectorAll("{INJECTED}").length') == 0, path
                showing += "window.stolen" in await page.inner_text("body")
            await browser.close()
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
        office.database.sync_engine.dispose()
    assert complaints == []
    # The words are there to be read: nothing was swept away by chance.
    assert showing > 20


def _link(office: Office) -> str:
    with office.database.begin() as session:
        person = session.get(Staff, 1).person_id
        code = invitations.invite_person(
            session, person, invitations.Purpose.SIGNIN, office.clock, timedelta(hours=1)
        )
    return f"/panel/enter/{code}"


class _Tags(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.found |= {name for name, _value in attrs if name.startswith("on")}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def tags_of(page: str) -> _Tags:
    tags = _Tags()
    tags.feed(page)
    return tags


async def test_exports_and_letters_hold_words_only(town, folder):
    office = office_of(town, folder)
    browser = signed_in(office)
    try:
        for path in LISTS:
            _no_formula_in_csv(_file(browser, f"{path}?format=csv", "text/csv"))
            _no_formula_in_book(_file(browser, f"{path}?format=xlsx", "spreadsheet"))
        with office.database.read() as session:
            listed = duty_list.gather(session, town.house, town.clock)
        tags = tags_of(duty_list.as_html(listed).decode())
        assert not tags.found & {"script", "img", "iframe", "svg", "math", "onerror", "onload", "onfocus"}
        _no_formula_in_book(duty_list.as_xlsx(listed))
        with office.database.begin() as session:
            doing = Act(Who("panel", 1, 1, Role.DIRECTOR, "Елена"), town.clock)
            token = calendars.new_link(session, doing, 2)
        with office.database.read() as session:
            feed = calendars.feed(session, town.house, token, "http://localhost", town.clock)
        assert feed is not None
        names = {
            re.split(r"[:;]", line)[0] for line in feed.body.decode().splitlines() if not line.startswith(" ")
        }
        assert all(re.fullmatch(r"[A-Z-]+", name) for name in names), names
        assert "BCC" not in {name.upper() for name in names}
    finally:
        office.database.sync_engine.dispose()
    letters = [letter.text for letter in town.rows(Letter)]
    assert any("window.stolen" in text for text in letters)
    for text in letters:
        _harmless_letter(text)


def _file(browser: Browser, path: str, kind: str) -> bytes:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    assert kind in answer.mimetype, path
    return answer.data


def _no_formula_in_csv(content: bytes) -> None:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=";"))
    cells = [cell for row in rows for cell in row]
    assert cells
    assert [cell for cell in cells if cell.startswith(FORMULA_STARTS)] == []


def _no_formula_in_book(content: bytes) -> None:
    book = openpyxl.load_workbook(io.BytesIO(content))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert cells
    assert [cell.value for cell in cells if cell.data_type == "f" or cell.hyperlink is not None] == []


def _harmless_letter(text: str) -> None:
    tags = tags_of(_page(text))
    assert tags.found <= {"div", "a", "br"}
    assert all(link.startswith(("http://", "https://")) for link in tags.links)
    letter = EmailMessage(policy=SMTP)
    letter["Subject"] = _subject(text, None, ALL_IN_ONE)
    letter.set_content(text)
    read = message_from_bytes(letter.as_bytes(), policy=SMTP)
    assert read["Bcc"] is None
    assert len(read.get_all("Subject")) == 1


@pytest.mark.parametrize("words", [*FORMULAS, *BROKEN, *SCRIPTS])
def test_one_line_stays_one_line(words):
    subject = _subject(f"Заявка № 5 {words}", None, "Баланс")
    assert subject.isprintable()
