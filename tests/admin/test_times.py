"""The figures of the response times, and that each one is what its list says."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from storage import times
from storage.times import Measure, TimesFilter, figure


@pytest.mark.parametrize(
    ("seconds", "median", "p90"),
    [
        ([60], 1, 1),
        ([60, 120], 1.5, 2),
        ([600, 60, 120], 2, 10),
        ([60 * n for n in range(1, 11)], 5.5, 9),
        ([0, 0], 0, 0),
    ],
)
def test_a_figure_is_median_and_nearest_rank(seconds, median, p90):
    found = figure(seconds)
    assert (found.median_minutes, found.p90_minutes, found.count) == (median, p90, len(seconds))


def test_no_figure_without_requests():
    assert figure([]) is None


def period(office) -> TimesFilter:
    return TimesFilter(office.clock - timedelta(days=30), office.clock + timedelta(days=1))


def test_stages_are_counted_in_working_minutes(office):
    office.clock = datetime(2026, 11, 24, 14, 50, tzinfo=UTC)  # 17:50 in Moscow; closes at 18:00
    number = office.submit(0, hours=30)
    office.give(number, "anna")
    office.clock = datetime(2026, 11, 25, 6, 5, tzinfo=UTC)  # 09:05 the next morning
    from storage import casework

    with office.database.begin() as session:
        casework.accept(session, office.house, office.who("anna"), number, office.clock)
    office.clock += timedelta(minutes=7)
    with office.database.begin() as session:
        casework.done(session, office.house, office.who("anna"), number, "Готово", (), office.clock)
    with office.database.read() as session:
        found = times.response_times(session, period(office), office.house.calendar).overall
    assert found[Measure.PROCESSING].median_minutes == 15
    assert found[Measure.EXECUTION].median_minutes == 7
    assert found[Measure.WHOLE].median_minutes == 22
    assert found[Measure.RESOLUTION].median_minutes == 22


def test_each_figure_opens_the_list_that_makes_it(busy):
    office, _numbers = busy
    browser = office.browser("director")
    page = browser.page("/panel/times/")
    links = {link.replace("&amp;", "&") for link in re.findall(r'href="(/panel/times/list\?[^"]+)"', page)}
    assert len(links) > 15
    for link in sorted(links):
        behind = browser.page(link)
        count = int(re.findall(r'<div class="tile"><b>([^<]+)</b>', behind)[2])
        assert len(re.findall(r'<td class="number">', behind)) == count, link


def test_recomputing_every_list_gives_every_figure(busy):
    office, _numbers = busy
    with office.database.read() as session:
        wanted = period(office)
        found = times.response_times(session, wanted, office.house.calendar)
        checked = 0
        narrowed = [(wanted, found.overall)]
        narrowed += [
            (TimesFilter(wanted.since, wanted.until, staff_id=staff), figures)
            for staff, figures in found.by_staff.items()
        ]
        narrowed += [
            (TimesFilter(wanted.since, wanted.until, kind=kind), figures)
            for kind, figures in found.by_kind.items()
        ]
        for narrower, figures in narrowed:
            for measure, expected in figures.items():
                spans = times.events(session, narrower, office.house.calendar, measure)
                assert figure([span.seconds for span in spans]) == expected, (narrower, measure)
                checked += 1
            again = times.response_times(session, narrower, office.house.calendar).overall
            assert again == figures, narrower
    assert checked > 15


def test_the_norms_stand_beside(busy):
    office, _numbers = busy
    page = office.browser("director").page("/panel/times/")
    for norm in ("5–15", "2–5", "1–3", "2–7", "45–100"):
        assert f">{norm}<" in page


def test_an_unknown_measure_is_not_found(office):
    assert office.browser("director").get("/panel/times/list?measure=speed").status_code == 404
