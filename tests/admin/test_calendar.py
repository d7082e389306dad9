"""The calendar of deadlines and the time-line."""

import re
from datetime import timedelta

import pytest

from storage import casework


def numbers_in(html):
    return [
        int(number) for number in re.findall(r'<li class="due[^"]*"><a href="/panel/requests/(\d+)/">', html)
    ]


def cell_of(html, day):
    """The cell of a day of the month."""
    return next(cell for cell in re.findall(r"<td.*?</td>", html, re.DOTALL) if f'datetime="{day}"' in cell)


def test_a_month_shows_each_deadline_on_its_day(busy):
    office, numbers = busy
    tomorrow = office.submit(0, "advice", "Завтра", hours=24)
    page = office.browser("director").page("/panel/calendar/?view=month")
    today, after = cell_of(page, "2026-11-25"), cell_of(page, "2026-11-26")
    assert tomorrow in numbers_in(after)
    assert numbers["working"] in numbers_in(today)
    assert tomorrow not in numbers_in(today)
    assert 'aria-current="date"' in today
    assert re.search(r"Ноябрь|ноябрь 2026", page)
    assert "is-free" in cell_of(page, "2026-11-04"), "a public holiday"


def test_a_full_day_of_a_month_leads_to_its_week(office):
    for _number in range(6):
        office.submit(0, hours=3)
    page = office.browser("director").page("/panel/calendar/?view=month")
    assert len(numbers_in(cell_of(page, "2026-11-25"))) == 4
    href = re.search(r'href="([^"]+)">ещё 2<', page).group(1).replace("&amp;", "&")
    assert len(numbers_in(office.browser("director").page(href))) == 6


def test_a_week_has_a_line_for_each_person(busy):
    office, numbers = busy
    page = office.browser("director").page("/panel/calendar/?day=2026-11-27")
    lines = dict(re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', page, re.DOTALL))
    assert numbers["working"] in numbers_in(lines["Анна Петрова"])
    assert numbers["waiting"] in numbers_in(lines["Борис Лядов"])
    assert numbers_in(lines["Ни у кого"]) == [numbers["unassigned"]]


def test_overdue_is_marked_in_words(busy):
    office, numbers = busy
    page = office.browser("director").page("/panel/calendar/")
    late = re.search(
        rf'<li class="due is-late"><a href="/panel/requests/{numbers["overdue"]}/">.*?</li>', page
    )
    assert "просрочена" in late.group(0)
    assert page.count("<b>просрочена</b>") == 1


def test_one_person_or_nobody_can_be_chosen(busy):
    office, numbers = busy
    browser = office.browser("director")
    boris = numbers_in(browser.page(f"/panel/calendar/?assignee={office.staff['boris']}"))
    assert set(boris) == {numbers["waiting"], numbers["late"]}
    assert numbers_in(browser.page("/panel/calendar/?assignee=0")) == [numbers["unassigned"]]


@pytest.mark.parametrize("view", ["week", "month"])
def test_leafing_there_and_back(busy, view):
    office, _numbers = busy
    browser = office.browser("director")
    path = f"/panel/calendar/?view={view}&day=2026-11-30"
    there = re.search(r'rel="next" href="([^"]+)"', browser.page(path)).group(1).replace("&amp;", "&")
    page = browser.page(there)
    assert "2026-12" in page
    back = re.search(r'rel="prev" href="([^"]+)"', page).group(1).replace("&amp;", "&")
    assert numbers_in(browser.page(back)) == numbers_in(browser.page(path))


@pytest.mark.parametrize("path", ["/panel/calendar/", "/panel/calendar/?view=month", "/panel/timeline/"])
def test_an_accountant_sees_their_own(busy, path):
    office, numbers = busy
    page = office.browser("boris").page(f"{path}{'&' if '?' in path else '?'}assignee={office.staff['anna']}")
    assert f"/panel/requests/{numbers['waiting']}/" in page
    assert f"/panel/requests/{numbers['working']}/" not in page
    assert "Анна Петрова" not in page


def test_the_time_line_draws_and_says_the_same(busy):
    office, numbers = busy
    page = office.browser("director").page("/panel/timeline/")
    anna = page[page.index("Анна Петрова</h2>") :].split("</section>")[0]
    drawn = re.findall(rf"<title>№ {numbers['working']} [^:]*: ([^<]+)</title>", anna)
    table = re.findall(
        rf'№ {numbers["working"]} [^<]*</a>.*?<td data-title="Этап"[^>]*>([^<]+)</td>', anna, re.DOTALL
    )
    assert drawn == table == ["обработка: назначена, ещё не принята", "исполнение", "до срока"]
    assert 'aria-hidden="true"' in re.search(r"<svg[^>]*viewBox[^>]*>", anna).group(0)


def test_the_time_line_keeps_what_was(busy):
    office, numbers = busy
    with office.database.begin() as session:
        casework.done(
            session, office.house, office.who("anna"), numbers["working"], "Готово", (), office.clock
        )
    office.clock += timedelta(days=1)
    page = office.browser("director").page("/panel/timeline/?day=2026-11-25")
    assert f"№ {numbers['working']} " in page
    page = office.browser("director").page("/panel/timeline/?view=week&day=2026-11-18")
    assert "№ " in page
    assert f"№ {numbers['working']} " not in page
