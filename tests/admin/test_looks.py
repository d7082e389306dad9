"""Light or dark: what the page links, and what the cookie may say."""

import re

import pytest


def dark_sheet(page):
    found = re.search(r'<link [^>]*dark\.css[^>]* media="([^"]+)"', page)
    return found.group(1) if found else None


LOOKS = (
    ("auto", "screen and (prefers-color-scheme: dark)", "light dark"),
    ("light", None, "light"),
    ("dark", "screen", "dark"),
)


@pytest.mark.parametrize(("look", "media", "scheme"), LOOKS, ids=[look for look, *_ in LOOKS])
def test_the_choice_is_kept_and_leads_back(office, look, media, scheme):
    browser = office.browser("anna")
    answer = browser.send("/panel/look", look=look, back="/panel/board/?lanes=1")
    assert answer.headers["Location"] == "/panel/board/?lanes=1"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "Path=/panel" in cookie
    page = browser.page("/panel/board/")
    assert dark_sheet(page) == media
    assert f'name="color-scheme" content="{scheme}"' in page
    pressed = re.findall(r'name="look" value="(\w+)" aria-pressed="true"', page)
    assert pressed == [look]
    browser.send("/panel/sign-out")
    assert dark_sheet(browser.page("/panel/sign-in")) == media


@pytest.mark.parametrize("back", ["https://elsewhere.example/", "//elsewhere.example", ""])
def test_it_leads_nowhere_else(office, back):
    answer = office.browser("anna").send("/panel/look", look="dark", back=back)
    assert answer.headers["Location"] == "/panel/"


def test_an_unknown_look_is_none(office):
    browser = office.browser("anna")
    assert browser.send("/panel/look", look="pink").status_code == 404
    browser.client.set_cookie("priem_look", '"><script>', path="/panel")
    assert dark_sheet(browser.page("/panel/")) == "screen and (prefers-color-scheme: dark)"
