"""The start page: figures that open their lists, who is here, and news without reloading."""

import re
from datetime import timedelta

import pytest

from storage import casework
from storage.models import Absence, Shift, Staff


def tiles(html):
    """The figures by their key: how many, and where they lead."""
    found = re.findall(r'<a class="tile[^"]*" data-key="(\w+)" href="([^"]+)"><b>(\d+)</b>', html)
    return {key: (int(count), href.replace("&amp;", "&")) for key, href, count in found}


def rows(html):
    """How many requests a list shows."""
    return len(re.findall(r'<td class="number">|<li class="waiting', html))


def test_every_figure_is_the_length_of_the_list_it_opens(busy):
    office, _numbers = busy
    browser = office.browser("director")
    found = tiles(browser.page("/panel/"))
    assert set(found) >= {
        "unassigned",
        "unanswered",
        "assigned",
        "late",
        "overdue",
        "risk",
        "undelivered",
        "waiting",
        "working",
        "done",
    }
    for key, (count, href) in found.items():
        page = browser.page(href)
        if key != "unassigned":
            assert rows(page) == count, key
        else:
            assert page.count("unassigned/") >= count, key


def test_risk_says_which_and_why(office):
    tight = office.submit(0, "pay", "Оплатить до обеда", hours=1)
    office.submit(1, "pay", "Не горит", hours=30)
    page = office.browser("director").page("/panel/risk")
    assert f"№ {tight}<" in page
    assert "Не горит" not in page
    assert "Осталось рабочего времени: 1 ч 00 мин" in page
    assert "пока неизвестно" in page


def test_risk_learns_from_what_such_work_took(office):
    """An hour is enough for work that takes ten minutes, and not for work that takes three hours."""
    start = office.clock
    for kind, minutes in (("balance", 10), ("report", 180)):
        office.clock = start - timedelta(days=1)
        number = office.submit(0, kind, "Раньше", hours=40)
        office.give(number, "anna")
        with office.database.begin() as session:
            casework.accept(session, office.house, office.who("anna"), number, office.clock)
        office.clock += timedelta(minutes=minutes)
        with office.database.begin() as session:
            casework.done(session, office.house, office.who("anna"), number, "Готово", (), office.clock)
    office.clock = start
    office.submit(0, "balance", "Узнать остаток", hours=1)
    office.submit(0, "report", "Сдать отчёт", hours=1)
    page = office.browser("director").page("/panel/risk")
    assert "Сдать отчёт" in page
    assert "обычно занимает" in page
    assert "Узнать остаток" not in page


def test_an_accountant_counts_only_their_own(busy):
    office, numbers = busy
    browser = office.browser("boris")
    found = tiles(browser.page("/panel/"))
    assert "unassigned" not in found
    assert found["waiting"][0] == 1
    assert found["working"][0] == 0
    assert found["undelivered"][0] == 0, "Anna's letter is none of Boris's"
    page = browser.page("/panel/")
    assert "Анна Петрова" not in page
    assert "Борис Лядов" in page
    for key, (count, href) in found.items():
        assert rows(browser.page(href)) == count, key
    assert f"№ {numbers['working']}<" not in browser.page("/panel/risk")


def test_the_administrator_learns_who_is_here_and_nothing_of_clients(busy):
    office, _numbers = busy
    browser = office.browser("admin")
    page = browser.page("/panel/")
    assert not tiles(page)
    assert "Анна Петрова" in page
    assert "Ромашка" not in page
    assert browser.get("/panel/risk").status_code == 403


def test_staff_stand_where_they_are_with_their_load(office):
    day = timedelta(days=1)
    with office.database.begin() as session:
        session.add(
            Absence(
                staff_id=office.staff["boris"], starts_at=office.clock - day, ends_at=office.clock + 3 * day
            )
        )
        shift = session.exec(_shifts_of(office.staff["lawyer"])).one()
        shift.ended_at = office.clock
        session.get_one(Staff, office.staff["anna"]).capacity = 1
    number = office.submit(0)
    office.give(number, "anna")
    page = re.sub(r"\s+", " ", office.browser("director").page("/panel/today"))
    on_shift, rest = page.split("Отсутствуют: 1", 1)
    away, off = rest.split("Не на смене: 1", 1)
    assert "На смене: 1" in on_shift
    assert re.search(r'Анна Петрова.*class="load late"[^>]*>1 / 1<', on_shift)
    assert re.search(r"Борис Лядов.*до 28\.11\.2026", away)
    assert "Вера Юристова" in off


def _shifts_of(staff_id):
    from sqlmodel import select

    return select(Shift).where(Shift.staff_id == staff_id)


def test_news_are_sent_only_when_there_are_any(busy):
    office, numbers = busy
    browser = office.browser("director")
    tag = re.search(r'data-live-tag="(\w+)"', browser.page("/panel/")).group(1)
    same = browser.get("/panel/today", headers={"If-None-Match": f'"{tag}"'})
    assert same.status_code == 304
    assert same.get_data() == b""
    assert same.headers["Priem-At"] == "11:00"
    office.clock += timedelta(minutes=1)
    assert browser.get("/panel/today", headers={"If-None-Match": f'"{tag}"'}).status_code == 304
    with office.database.begin() as session:
        casework.note(session, office.house, office.who("anna"), numbers["working"], "x", (), office.clock)
    assert browser.get("/panel/today", headers={"If-None-Match": f'"{tag}"'}).status_code == 304
    office.give(numbers["unassigned"], "anna")
    news = browser.get("/panel/today", headers={"If-None-Match": f'"{tag}"'})
    assert news.status_code == 200
    assert tiles(news.get_data(as_text=True))["unassigned"][0] == 0
    assert "<html" not in news.get_data(as_text=True)
    assert news.headers["ETag"].strip('"') != tag


@pytest.mark.parametrize("path", ["/panel/today", "/panel/risk"])
def test_whoever_is_signed_out_gets_no_news(busy, path):
    office, _numbers = busy
    assert office.browser().get(path).status_code == 302
