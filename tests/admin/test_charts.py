"""Charts: well-formed pictures of whatever values, with words, without anything from outside."""

import re
from xml.etree import ElementTree as ET

import pytest

from admin import charts
from admin.charts import Bar, Point
from tests.admin.office import NASTY

SVG = "{http://www.w3.org/2000/svg}"

BARS = {
    "nothing": [],
    "no value": [Bar("Обработка", None, "—", (2, 5), (15, 30))],
    "zero": [Bar("Обработка", 0, "0")],
    "over the norm": [Bar("Обработка", 9, "9", (2, 5), (15, 30), late=True), Bar("Уточнение", 0.4, "0,4")],
    "long name": [Bar("Константинопольская Анастасия-Виктория", 250_000, "250000")],
    "nasty": [Bar(NASTY, 3, NASTY)],
}
POINTS = {
    "nothing": [],
    "one": [Point("02.11", 4, 9)],
    "gap": [Point("02.11", 4, 9), Point("09.11", None, None), Point("16.11", 6, 6)],
    "a year": [Point(f"{week}", week % 7, week % 7 + 3) for week in range(53)],
    "nasty": [Point(NASTY, 0, 0)],
}


def picture(drawn) -> ET.Element:
    root = ET.fromstring(str(drawn))
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    told = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert [told[name] for name in root.get("aria-labelledby").split()] == ["Название", "Описание"]
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {
            "svg", "title", "desc", "text", "rect", "line", "polyline", "circle",
        }  # fmt: skip
        assert not {"style", "href", "onload"} & set(element.keys())
        for name in ("x", "y", "width", "height", "cx", "cy"):
            if name in element.keys():  # noqa: SIM118 - an element's keys are not its iteration
                assert float(element.get(name)) >= 0
                assert float(element.get(name)) <= 700 or name in ("y", "height")
    return root


@pytest.mark.parametrize("values", BARS.values(), ids=BARS)
def test_bars(values):
    root = picture(charts.bars("a", "Название", "Описание", values))
    drawn = [found for found in root.iter(f"{SVG}rect") if found.get("class", "").startswith("gauge")]
    assert len(drawn) == sum(bar.value is not None for bar in values)
    assert sum(found.get("class") == "gauge late" for found in drawn) == sum(bar.late for bar in values)


def test_bars_are_as_long_as_their_values():
    values = [Bar("а", 10, "10"), Bar("б", 40, "40"), Bar("в", 20, "20", norm=(0, 20))]
    root = picture(charts.bars("a", "Название", "Описание", values))
    ten, forty, twenty = (
        float(found.get("width")) for found in root.iter(f"{SVG}rect") if found.get("class") == "gauge"
    )
    assert (forty, twenty) == (pytest.approx(4 * ten), pytest.approx(2 * ten))
    (norm,) = (found for found in root.iter(f"{SVG}rect") if found.get("class") == "norm")
    assert float(norm.get("width")) == pytest.approx(twenty)


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
@pytest.mark.parametrize("norm", [None, (2, 5)])
def test_lines(points, norm):
    root = picture(charts.line("b", "Название", "Описание", points, norm))
    assert len(list(root.iter(f"{SVG}circle"))) == sum(point.middle is not None for point in points)


def test_a_heat_map_is_darkest_where_most_is():
    values = {(0, 0): (1.0, "1"), (1, 2): (10.0, "10"), (2, 1): (0.0, "0")}
    root = picture(
        charts.heat_map("c", "Название", "Описание", ["пн", "вт", "ср"], ["09", "10", "11"], values)
    )
    shades = [
        float(found.get("fill-opacity")) for found in root.iter(f"{SVG}rect") if found.get("fill-opacity")
    ]
    assert len(shades) == len(values)
    assert max(shades) == 1
    assert len([found for found in root.iter(f"{SVG}rect") if found.get("class") == "cell"]) == 9


def test_what_people_are_called_never_becomes_markup():
    for drawn in (
        charts.bars("a", NASTY, NASTY, BARS["nasty"]),
        charts.line("b", NASTY, NASTY, POINTS["nasty"]),
        charts.heat_map("c", NASTY, NASTY, [NASTY], [NASTY], {(0, 0): (1.0, NASTY)}),
    ):
        assert "<script" not in drawn
        assert not re.search(r"<img", drawn)
        ET.fromstring(str(drawn))
