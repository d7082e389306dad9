"""A smoke test in Debian's Firefox: pages are drawn whole, scripts run, the policy forbids nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.e2e import test_panel_pages as pages
from tests.e2e.firefox import Firefox, colours, firefox
from tests.e2e.test_panel_pages import Open

house = pages.house

DESKTOP, NARROW = (1280, 900), (500, 900)
DOORS = ("/panel/sign-in", "/panel/forgotten", "/panel/invitation/XXXX", "/panel/nowhere")
BLANK = 16
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
STYLED = "[...document.styleSheets].filter((it) => it.cssRules.length > 0).length"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("firefox")) as opened:
        yield opened


@pytest.mark.timeout(400)
@pytest.mark.parametrize("size", [DESKTOP, NARROW], ids=["wide", "narrow"])
def test_every_page_is_drawn(house: Open, window: Firefox, tmp_path: Path, size: tuple[int, int]) -> None:
    window.resize(*size)
    window.goes(house.link_for("director"))
    # Chromium draws them all at both widths; here every third is enough of the narrow ones.
    for number, path in enumerate(house.paths()[:: 1 if size == DESKTOP else 3]):
        window.goes(house.address + path)
        assert window.finds("typeof showCount") == "function", path
        assert window.finds(STYLED) >= 2, path
        assert window.finds(WIDER) <= 0, path
        assert colours(window.pictured(tmp_path / f"{number:02d}.png")) > BLANK, path
    assert window.complains(house.address) == []


def test_the_doors_are_drawn(house: Open, window: Firefox, tmp_path: Path) -> None:
    window.say("WebDriver:DeleteAllCookies")
    for number, path in enumerate(DOORS):
        window.goes(house.address + path)
        assert window.finds("document.querySelector('h1').textContent.length > 0"), path
        assert colours(window.pictured(tmp_path / f"{number}.png")) > BLANK, path


def test_the_menu_and_the_theme_work(house: Open, window: Firefox) -> None:
    window.resize(*DESKTOP)
    window.goes(house.link_for("director"))
    window.finds("document.querySelector('details.group summary').click()")
    window.waits("document.querySelector('details.group a').getBoundingClientRect().height > 0")
    light = window.finds("getComputedStyle(document.body).color")
    window.finds("document.querySelector('.foot [value=dark]').click()")
    window.waits(
        "document.readyState === 'complete' && document.querySelector('[aria-pressed=true][value=dark]')"
    )
    assert window.finds("getComputedStyle(document.body).color") != light


def test_a_blank_picture_is_known(window: Firefox, tmp_path: Path) -> None:
    window.goes("about:blank")
    assert colours(window.pictured(tmp_path / "blank.png")) <= BLANK


def test_a_breach_of_the_policy_is_heard(house: Open, window: Firefox) -> None:
    window.goes(f"{house.address}/panel/sign-in")
    window.finds(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: '1' }))"
    )
    # The console hears of it from another process, a moment later.
    until = monotonic() + 10
    while not (heard := window.complains(house.address)) and monotonic() < until:
        sleep(0.05)
    assert len(heard) == 1
