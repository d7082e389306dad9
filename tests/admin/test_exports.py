"""Lists as files: the same rows as the page, all of them, formulas dead, and a line in the history."""

import csv
import io
import json
import re

import pytest
from openpyxl import load_workbook

from admin import exporting
from admin.words import LISTS as LISTS_IN_WORDS
from admin.words import SETTING_PARTS
from storage.firm_settings import Part
from storage.models import CallTask, Client, History
from tests.admin.test_requests import shown

LISTS = {
    "requests": "/panel/requests/",
    "clients": "/panel/clients/",
    "staff": "/panel/staff/",
    "history": "/panel/history/",
    "unassigned": "/panel/unassigned/",
    "calls": "/panel/calls/",
}


def as_csv(browser, path: str) -> list[list[str]]:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    assert answer.headers["Content-Disposition"].startswith("attachment")
    return list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"), newline=""), delimiter=";"))


def as_xlsx(browser, path: str) -> list[tuple]:
    book = load_workbook(io.BytesIO(browser.get(path).data))
    return list(book.active.iter_rows())


def with_a_call(office) -> None:
    with office.database.begin() as session:
        session.add(
            CallTask(
                person_id=office.speakers[0], request_id=1, reason="Закрыл чат", created_at=office.clock,
            )
        )  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_every_list_offers_both_files_and_they_hold_the_same(busy, name):
    office, _numbers = busy
    with_a_call(office)
    browser = office.browser("director")
    page = browser.page(LISTS[name])
    for kind in ("xlsx", "csv"):
        assert f"{LISTS[name]}?format={kind}" in page
    lines = as_csv(browser, f"{LISTS[name]}?format=csv")
    assert len(lines) > 1
    assert all(len(line) == len(lines[0]) for line in lines)
    cells = as_xlsx(browser, f"{LISTS[name]}?format=xlsx")
    rows = [["" if cell.value is None else str(cell.value) for cell in row] for row in cells]
    if name == "history":
        # The first file has a line of its own by now.
        del rows[1]
    unquoted = [[cell.removeprefix("'") for cell in line] for line in lines]
    assert rows == unquoted


@pytest.mark.parametrize(
    "query",
    [
        "", "status=waiting_client", "overdue=1", "late=1", "undelivered=1", "q=счёт", "list=unanswered",
        "list=working", "since=2026-11-25&status=accepted", "sort=deadline&order=asc", "sort=status",
        "assignee=0", "kind=waybill&page=7",
    ],
)  # fmt: skip
def test_the_file_holds_what_the_page_shows_in_the_same_order(busy, query):
    office, _numbers = busy
    browser = office.browser("director")
    lines = as_csv(browser, f"/panel/requests/?{query}&format=csv")
    page = browser.page(f"/panel/requests/?{query.replace('&page=7', '')}")
    assert [int(line[0]) for line in lines[1:]] == shown(page)


def test_all_pages_are_in_the_file(office):
    made = [office.submit(0, task=f"Задача {number}") for number in range(53)]
    lines = as_csv(office.browser("director"), "/panel/requests/?format=csv")
    assert [int(line[0]) for line in lines[1:]] == made[::-1]


def test_a_list_that_is_too_long_says_so(busy, monkeypatch):
    office, _numbers = busy
    monkeypatch.setattr(exporting, "MOST_ROWS", 3)
    lines = as_csv(office.browser("director"), "/panel/requests/?format=csv")
    assert len(lines) == 1 + 3 + 1
    assert lines[-1][0].startswith("Здесь первые 3 строк")
    kept = json.loads(office.all(History)[-1].after)
    assert kept["rows"] == 3


def test_moments_have_their_zone_and_tasks_are_whole(office):
    task = "Очень длинная задача. " * 40
    office.submit(0, task=task)
    heading, line = as_csv(office.browser("director"), "/panel/requests/?format=csv")
    row = dict(zip(heading, line, strict=True))
    assert row["Что сделать"] == task
    assert row["Подана"] == "2026-11-25 11:00+03:00"
    assert row["Срок"] == "2026-11-25 16:00+03:00"
    assert row["Состояние"] == "Назначена"


BAD = ("=HYPERLINK(1)", "+7 900", "-2+3", "@SUM(A1)", "\t=1", "\r=1")


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_nothing_in_a_file_is_a_formula(office, bad):
    number = office.submit(0, "advice", bad)
    with office.database.begin() as session:
        from storage.models import Request

        session.get_one(Request, number).company = bad
        session.get_one(Client, office.clients[0]).name = bad
    browser = office.browser("director")
    for name in ("requests", "clients", "history"):
        path = LISTS[name]
        for line in as_csv(browser, f"{path}?format=csv"):
            assert not [cell for cell in line if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        types = {cell.data_type for row in as_xlsx(browser, f"{path}?format=xlsx") for cell in row}
        assert "f" not in types


def test_who_took_what_is_in_the_history(busy):
    office, _numbers = busy
    browser = office.browser("anna")
    lines = as_csv(browser, "/panel/requests/?q=счёт&format=csv")
    line = office.all(History)[-1]
    assert (line.action, line.subject, line.actor_id) == ("exported", "list:requests", office.persons["anna"])
    assert json.loads(line.after) == {"rows": len(lines) - 1, "format": "csv", "filter": "q=счёт"}
    page = office.browser("director").page("/panel/history/?action=exported")
    assert "список выгружен в файл" in page


def test_everybody_gets_only_what_they_see(busy):
    office, numbers = busy
    with_a_call(office)
    own = {int(line[0]) for line in as_csv(office.browser("anna"), "/panel/requests/?format=csv")[1:]}
    assert numbers["working"] in own
    assert own == set(shown(office.browser("anna").page("/panel/requests/")))
    assert office.browser("anna").get("/panel/clients/?format=csv").status_code == 403
    admin = office.browser("admin")
    assert admin.get("/panel/requests/?format=csv").status_code == 403
    told = str(as_csv(admin, "/panel/history/?format=csv"))
    assert "Поставили в очередь" not in told
    assert "Ромашка" not in str(as_csv(admin, "/panel/calls/?format=csv"))
    assert "Поставили в очередь" in str(as_csv(office.browser("controller"), "/panel/history/?format=csv"))


def test_an_unknown_kind_of_file_is_the_page(office):
    page = office.browser("director").page("/panel/requests/?format=exe")
    assert re.search("<h1>Заявки</h1>", page)


def test_the_history_names_lists_and_parts_of_the_settings(busy):
    office, _numbers = busy
    browser = office.browser("director")
    as_csv(browser, "/panel/clients/?format=csv")
    browser.client.get("/panel/duty-list")
    page = browser.page("/panel/history/")
    assert "выгрузки: клиенты" in page
    assert "выгрузки: список на день" in page
    about = {line[5] for line in as_csv(browser, "/panel/history/?format=csv")[1:]}
    assert {"выгрузки: клиенты", "выгрузки: список на день"} <= about
    assert not any(re.match(r"[a-z]", words) for words in about)


@pytest.mark.parametrize("part", [*(part.value for part in Part), "norms", "maintenance"])
def test_each_part_of_the_settings_has_a_name(part):
    assert part in SETTING_PARTS


MORE_LISTS = {
    "client-requests": "/panel/client/{client}/requests",
    "calendar": "/panel/calendar/?view=month&day=2026-11-25",
    "timeline": "/panel/timeline/?view=week&day=2026-11-25",
    "times": "/panel/times/",
    "people": "/panel/times/people",
    "times-list": "/panel/times/list?measure=sent",
}


@pytest.mark.parametrize("name", MORE_LISTS)
def test_every_report_that_is_taken_away_is_in_the_history(busy, name):
    office, _numbers = busy
    browser = office.browser("director")
    path = MORE_LISTS[name].format(client=office.clients[0])
    sign = "&" if "?" in path else "?"
    page = browser.page(path)
    for kind in ("xlsx", "csv"):
        assert f"format={kind}" in page
        answer = browser.get(f"{path}{sign}format={kind}")
        assert answer.headers["Content-Disposition"].startswith("attachment")
        line = office.all(History)[-1]
        assert (line.action, line.subject) == ("exported", f"list:{name}")
        told = json.loads(line.after)
        assert (told["format"], told["rows"] > 0) == (kind, True)
    assert name in LISTS_IN_WORDS


def test_a_file_of_deadlines_holds_what_the_calendar_shows(busy):
    office, _numbers = busy
    browser = office.browser("director")
    path = "/panel/calendar/?view=week&day=2026-11-25"
    listed = {line[0] for line in as_csv(browser, f"{path}&format=csv")[1:]}
    assert listed == set(re.findall(r"</time> № (\d+) ", browser.page(path)))


@pytest.mark.parametrize("path", ["/panel/risk", "/panel/client/{client}/files"])
def test_an_empty_list_is_taken_away_too(busy, path):
    office, _numbers = busy
    browser = office.browser("director")
    lines = as_csv(browser, f"{path.format(client=office.clients[0])}?format=csv")
    assert len(lines) >= 1
    assert office.all(History)[-1].action == "exported"
