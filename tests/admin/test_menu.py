"""The menu: every role has its sections in a few groups, and knows where it is."""

import re

import pytest


def menu_of(page):
    """The words of the menu: links in a row, groups as (word, links)."""
    nav = page[page.index('<nav class="sections"') : page.index('<form class="who"')]
    found = []
    groups_and_links = r'<details class="group">(.*?)</details>|(<a [^>]*>[^<]*</a>)'
    for group, rest in re.findall(groups_and_links, nav, re.DOTALL):
        words = re.findall(r">([^<>]*\w[^<>]*)<", group or rest)
        found.append((words[0], words[1:]) if group else words[0])
    return found


REQUESTS = ["Список", "Доска", "Календарь", "Неразобранное", "Позвонить", "Записать звонок"]


@pytest.mark.parametrize("role", ["director", "controller"])
def test_whoever_sees_all_has_one_short_line(office, role):
    found = menu_of(office.browser(role).page("/panel/"))
    assert found[:5] == ["Сегодня", ("Заявки", REQUESTS), "Время ответа", "Клиенты", "Сотрудники"]
    word, sections = found[5]
    assert word == "Ещё"
    assert sections[:3] == ["Мессенджеры", "Копии", "История"]
    assert len(found) == 6


def test_an_accountant_has_no_empty_group(office):
    found = menu_of(office.browser("anna").page("/panel/"))
    assert found == ["Сегодня", ("Заявки", ["Список", "Доска", "Календарь", "Позвонить", "Записать звонок"])]


def test_a_group_of_one_is_a_plain_link(office):
    found = menu_of(office.browser("admin").page("/panel/"))
    assert found[:4] == ["Сегодня", "Позвонить", "Клиенты", "Сотрудники"]


HERE = (
    ("/panel/", [("a", "page", "Сегодня")]),
    ("/panel/risk", [("a", "true", "Сегодня")]),
    ("/panel/board/", [("summary", "true", "Заявки"), ("a", "page", "Доска")]),
    ("/panel/timeline/", [("summary", "true", "Заявки"), ("a", "true", "Календарь")]),
    ("/panel/times/people", [("a", "true", "Время ответа")]),
    ("/panel/clients/coverage/", [("a", "true", "Клиенты")]),
    ("/panel/history/", [("summary", "true", "Ещё"), ("a", "page", "История")]),
)


@pytest.mark.parametrize(("path", "marked"), HERE, ids=[path for path, _marked in HERE])
def test_the_menu_says_where_one_is(busy, path, marked):
    office, _numbers = busy
    page = office.browser("director").page(path)
    nav = page[page.index('<nav class="sections"') : page.index("</nav>")]
    assert re.findall(r'<(\w+)[^>]* aria-current="(\w+)">([^<]+)', nav) == marked
