"""The figures of the response times, that each one is what its list says, and that exports say the same."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from html import unescape

import pytest
from openpyxl import load_workbook

from router.model import Role
from router.schedule import to_json
from storage import casework, shifts, times
from storage.house import Who
from storage.models import Absence, CallTask, Client, FirmSetting, History, Letter, Request, Staff
from storage.times import By, Conduct, Measure, Norms, TimesFilter, figure, figure_of

MINUTE = timedelta(minutes=1)
LINK = re.compile(r'<a href="(/panel/times/list\?[^"]+)"[^>]*>([^<]+)</a>')


@pytest.mark.parametrize(
    ("seconds", "median", "p90"),
    [
        ([60], 1, 1),
        ([60, 120], 1.5, 2),
        ([600, 60, 120], 2, 10),
        ([60 * n for n in range(1, 11)], 5.5, 9),
        ([60 * n for n in range(1, 31)], 15.5, 27),
        ([0, 0], 0, 0),
        ([1, 2], 1.5 / 60, 2 / 60),
    ],
)
def test_a_figure_is_median_and_nearest_rank(seconds, median, p90):
    found = figure(seconds)
    assert (found.median_minutes, found.p90_minutes, found.count) == (median, p90, len(seconds))


def test_no_figure_without_requests():
    assert figure([]) is None


def period(office) -> TimesFilter:
    return TimesFilter(office.clock - timedelta(days=30), office.clock + timedelta(days=1))


def act(office, action, name, number, *words):
    with office.database.begin() as session:
        action(session, office.house, office.who(name), number, *words, office.clock)


def found_in(office, wanted=None, by=By.STAFF):
    with office.database.read() as session:
        return times.response_times(session, wanted or period(office), office.house.calendar, by)


def test_stages_are_counted_in_working_minutes(office):
    office.clock = datetime(2026, 11, 24, 14, 50, tzinfo=UTC)  # 17:50 in Moscow; closes at 18:00
    number = office.submit(0, hours=30)
    office.give(number, "anna")
    office.clock = datetime(2026, 11, 25, 6, 5, tzinfo=UTC)  # 09:05 the next morning
    act(office, casework.accept, "anna", number)
    office.clock += 7 * MINUTE
    act(office, casework.done, "anna", number, "Готово", ())
    found = found_in(office).overall
    assert found[Measure.PROCESSING].median_seconds == 15 * 60
    assert found[Measure.ACCEPTANCE].median_seconds == 15 * 60
    assert found[Measure.EXECUTION].median_seconds == 7 * 60
    assert found[Measure.WHOLE].median_seconds == 22 * 60
    assert found[Measure.RESOLUTION].median_seconds == 22 * 60


def test_the_hours_of_the_firm_count_whatever_somebodys_own_hours_are(office):
    with office.database.begin() as session:
        late = to_json(((time(12), time(21)),) * 5 + (None, None))
        session.get_one(Staff, office.staff["anna"]).schedule = late
    office.clock = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)  # 10:00 in Moscow
    number = office.submit(0, hours=30)
    office.give(number, "anna")
    office.clock += 120 * MINUTE
    act(office, casework.accept, "anna", number)
    office.clock += 8 * 60 * MINUTE  # 20:00: the firm has closed at 18:00, Anna has not
    act(office, casework.done, "anna", number, "Готово", ())
    found = found_in(office).overall
    assert found[Measure.PROCESSING].median_minutes == 120
    assert found[Measure.EXECUTION].median_minutes == 5 * 60


def test_acceptance_is_the_first_one_whoever_has_it_later(office):
    number = office.submit(0)
    office.give(number, "anna")
    office.clock += 4 * MINUTE
    act(office, casework.accept, "anna", number)
    office.clock += 30 * MINUTE
    office.give(number, "boris")
    office.clock += 9 * MINUTE
    act(office, casework.accept, "boris", number)
    found = found_in(office)
    assert found.overall[Measure.ACCEPTANCE].median_minutes == 4
    assert found.overall[Measure.PROCESSING].median_minutes == 13
    people = {int(group.code): group.figures for group in found.groups}
    assert Measure.ACCEPTANCE not in people[office.staff["boris"]]
    assert people[office.staff["boris"]][Measure.PROCESSING].median_minutes == 9


def test_what_was_done_counts_for_whoever_did_it_whoever_has_it_later(office):
    number = office.submit(0)
    office.give(number, "anna")
    office.clock += 4 * MINUTE
    act(office, casework.accept, "anna", number)
    office.clock += 2 * MINUTE
    act(office, casework.answer, "anna", number, "Смотрим", ())
    office.give(number, "boris")
    office.clock += 9 * MINUTE
    act(office, casework.accept, "boris", number)
    office.clock += 5 * MINUTE
    act(office, casework.done, "director", number, "Готово", ())
    office.clock += MINUTE
    anna, boris, director = (office.staff[key] for key in ("anna", "boris", "director"))
    people = {int(group.code): group.figures for group in found_in(office).groups}
    told = {
        staff_id: {
            measure: figures[measure].median_minutes
            for measure in (Measure.FIRST_RESPONSE, Measure.WHOLE, Measure.RESOLUTION)
            if measure in figures
        }
        for staff_id, figures in people.items()
    }
    assert told == {
        anna: {Measure.FIRST_RESPONSE: 6, Measure.WHOLE: 6},
        boris: {Measure.WHOLE: 14},
        director: {Measure.RESOLUTION: 20},
    }
    with office.database.read() as session:
        for staff_id, measures in told.items():
            for measure in measures:
                wanted = replace(period(office), staff_id=staff_id)
                listed = times.events(session, wanted, office.house.calendar, measure)
                assert {event.staff_id for event in listed} == {staff_id}, measure
        reports = times.people_report(session, period(office), office.house.calendar, Norms(), office.clock)
    assert {report.staff_id for report in reports if report.figures[Conduct.DONE]} == {director}
    # Anna has the request no more, and still her page shows what she did with it.
    browser = office.browser("director")
    page = browser.page(f"/panel/times/?assignee={anna}")
    link, shown = next(
        (unescape(link), shown.strip())
        for link, shown in LINK.findall(page)
        if "measure=first_response" in link and f"assignee={anna}" in link
    )
    assert shown == "6,0"
    assert f"№ {number}" in browser.page(link)


NARROWED = {
    "staff_id": lambda office: office.staff["anna"],
    "department": lambda _office: "finance",
    "kind": lambda _office: "pay",
    "client_id": lambda office: office.clients[0],
    "channel": lambda _office: "webchat",
    "weekday": lambda _office: 2,
    "hour": lambda _office: 11,
}


@pytest.mark.parametrize("name", ["", *NARROWED])
def test_recomputing_every_list_gives_every_figure(busy, name):
    office, _numbers = busy
    wanted = period(office)
    if name:
        wanted = replace(wanted, **{name: NARROWED[name](office)})
    checked = 0
    with office.database.read() as session:
        calendar = office.house.calendar
        fields = {
            By.STAFF: lambda code: {"staff_id": int(code)},
            By.DEPARTMENT: lambda code: {"department": code},
            By.KIND: lambda code: {"kind": code},
            By.CLIENT: lambda code: {"client_id": int(code)},
            By.CHANNEL: lambda code: {"channel": code},
        }
        for by in By:
            found = times.response_times(session, wanted, calendar, by)
            narrowed = [(wanted, found.overall)]
            narrowed += [(replace(wanted, **fields[by](group.code)), group.figures) for group in found.groups]
            for narrower, figures in narrowed:
                for measure in Measure:
                    listed = times.events(session, narrower, calendar, measure)
                    assert figure_of(listed) == figures.get(measure), (by, narrower, measure)
                    for event in listed:
                        spent = calendar.working_seconds(event.started_at, event.ended_at)
                        assert spent == event.seconds
                    checked += measure in figures
        found = times.response_times(session, wanted, calendar)
        zone = calendar.zone
        for week in found.weeks:
            since = datetime.combine(week.monday, datetime.min.time(), zone).astimezone(UTC)
            narrower = replace(
                wanted,
                since=max(since, wanted.since),
                until=min(since + timedelta(days=7), wanted.until),
            )
            again = times.response_times(session, narrower, calendar)
            assert (again.overall, again.sent) == (week.figures, week.sent)
        for (weekday, hour), cell in found.heat.items():
            narrower = replace(wanted, weekday=weekday, hour=hour)
            assert len(times.sent(session, narrower, calendar)) == cell.sent
            listed = times.events(session, narrower, calendar, Measure.FIRST_RESPONSE)
            assert figure_of(listed) == cell.first_response
        assert sum(week.sent for week in found.weeks) == found.sent
        assert sum(cell.sent for cell in found.heat.values()) == found.sent
        assert len(times.sent(session, wanted, calendar)) == found.sent
    assert checked > 8


@pytest.mark.parametrize(
    "page",
    [
        "/panel/times/",
        "/panel/times/?by=client&trend=processing&heat=response",
        "/panel/times/?by=kind&assignee=3",
        "/panel/times/?by=channel&department=finance&trend=resolution",
        "/panel/times/people",
    ],
)
def test_each_figure_opens_the_list_that_makes_it(busy, page):
    office, _numbers = busy
    browser = office.browser("director")
    links = {(unescape(link), shown.strip()) for link, shown in LINK.findall(browser.page(page))}
    assert len(links) > 8
    for link, shown in sorted(links):
        behind = browser.page(link)
        tiles = re.findall(r'<div class="tile"><b>([^<]+)</b>', behind)
        assert shown in tiles, (link, shown, tiles)


def _csv_tables(content: bytes) -> list[list[list[str]]]:
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";"))
    tables: list[list[list[str]]] = [[]]
    for row in rows:
        if row:
            tables[-1].append(row)
        else:
            tables.append([])
    return tables


def _plain(cell: object) -> object:
    """A cell without what makes one format different from another."""
    text = "" if cell is None else str(cell)
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text


def _shown_cells(page: str) -> list[str]:
    cells = re.findall(r"<t[dh](?! scope=\"col\")[^>]*>(.*?)</t[dh]>", page, re.DOTALL)
    found = []
    for cell in cells:
        text = re.sub(r"<small.*?</small>", "", cell, flags=re.DOTALL)
        found.append(unescape(re.sub(r"<[^>]+>", "", text)).strip())
    return found


@pytest.mark.parametrize(
    "path",
    ["/panel/times/?by=client", "/panel/times/people?department=finance", "/panel/times/list?measure=whole"],
)
def test_exports_say_what_the_page_says(busy, path):
    office, _numbers = busy
    browser = office.browser("director")
    sign = "&" if "?" in path else "?"
    page = browser.page(path)
    answer = browser.get(f"{path}{sign}format=csv")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=priem-")
    tables = _csv_tables(answer.data)
    assert tables[0][0] == ["Отбор"]
    book = load_workbook(io.BytesIO(browser.get(f"{path}{sign}format=xlsx").data))
    assert len(book.worksheets) == len(tables)
    for sheet, table in zip(book.worksheets, tables, strict=True):
        for row, written in zip(sheet.iter_rows(values_only=True), table[1:], strict=True):
            assert [_plain(cell) for cell in written] == [_plain(cell) for cell in row]
        assert all(cell.data_type in ("s", "n") for row in sheet.iter_rows() for cell in row)
    shown = _shown_cells(page)
    if "list" not in path and "people" not in path:
        exported = [row[1].replace("0.0", "0,0") for row in tables[1][2:] if row[1]]
        assert exported
        assert all(value in shown for value in exported), (exported, shown)
    names = [row[0] for row in tables[-1][2:]]
    assert [name for name in names if name not in shown and f"№ {name}" not in shown] == []


def test_a_list_is_exported_whole_with_the_zone_of_its_times(busy):
    office, _numbers = busy
    table = _csv_tables(office.browser("director").get("/panel/times/list?measure=whole&format=csv").data)[1]
    with office.database.read() as session:
        listed = times.events(session, period(office), office.house.calendar, Measure.WHOLE)
    assert len(table) - 2 == len(listed)
    assert all(row[5].endswith("+03:00") and row[6].endswith("+03:00") for row in table[2:])
    assert sum(int(row[-1]) for row in table[2:]) == sum(event.seconds for event in listed)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_an_export_is_a_formula(busy, start):
    office, numbers = busy
    evil = f"{start}HYPERLINK(1)"
    with office.database.begin() as session:
        row = session.get_one(Request, numbers["past"])
        client = session.get_one(Client, row.client_id)
        row.company = client.name = evil
        session.add_all((row, client))
    browser = office.browser("director")
    for path in ("/panel/times/?by=client", "/panel/times/list?measure=whole"):
        content = browser.get(f"{path}&format=csv").data.decode("utf-8-sig")
        assert f"'{evil}" in content
        cells = [cell for row in csv.reader(io.StringIO(content, newline=""), delimiter=";") for cell in row]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
        book = load_workbook(io.BytesIO(browser.get(f"{path}&format=xlsx").data))
        values = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
        assert all(cell.data_type != "f" for cell in values)
        risky = [cell for cell in values if isinstance(cell.value, str) and cell.value.startswith(start)]
        assert all(cell.data_type == "s" and cell.quotePrefix for cell in risky)
        assert risky or start == "\r"  # XML knows of no carriage return


# --- norms -------------------------------------------------------------------------------------

FORM = {
    "processing-from": "2", "processing-to": "6", "clarification-from": "1", "clarification-to": "4",
    "execution-from": "3", "execution-to": "10", "interaction_percent": "30", "message_minutes": "3",
    "call_minutes": "7", "version": "0",
}  # fmt: skip


def test_the_norms_stand_beside(busy):
    office, _numbers = busy
    page = office.browser("director").page("/panel/times/")
    for norm in ("5–15", "2–5", "1–3", "2–7", "45–100", "15–30", "10–30", "20–40"):
        assert f">{norm}<" in page
    assert "по рабочим часам фирмы, у всех одинаково" in page


def test_the_director_settles_the_norms(busy):
    office, _numbers = busy
    browser = office.browser("director")
    assert browser.send("/panel/times/norms", **FORM).status_code == 302
    page = browser.page("/panel/times/")
    for norm in ("6–20", "2–6", "1–4", "3–10"):
        assert f">{norm}<" in page
    (row,) = office.all(History, subject="setting:norms")
    assert (row.action, row.through, row.actor_id) == ("norms_changed", "panel", office.persons["director"])
    assert '"processing":"2–5"' in row.before
    assert '"processing":"2–6"' in row.after
    assert "2–6" in browser.page("/panel/history/")


def test_norms_from_an_old_page_overwrite_nothing(office):
    browser = office.browser("director")
    browser.send("/panel/times/norms", **FORM)
    answer = browser.send("/panel/times/norms", **FORM | {"processing-to": "9"})
    assert answer.status_code == 409
    assert "изменил кто-то ещё" in answer.get_data(as_text=True)
    with office.database.read() as session:
        kept = times.read_norms(session)
    assert kept == Norms((2, 6), (1, 4), (3, 10), 30, 3, 7, version=1)
    assert (
        browser.send("/panel/times/norms", **FORM | {"version": "1", "processing-to": "9"}).status_code == 302
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"processing-to": "1"},
        {"processing-from": "-2"},
        {"processing-from": ""},
        {"execution-to": "два"},
        {"execution-to": "99999999999"},
        {"clarification-from": "0", "clarification-to": "0"},
        {"interaction_percent": "0"},
        {"interaction_percent": "101"},
        {"message_minutes": "1.5"},
        {"call_minutes": "²"},
    ],
    ids=str,
)
def test_norms_that_make_no_sense_are_refused(office, wrong):
    answer = office.browser("director").send("/panel/times/norms", **FORM | wrong)
    assert answer.status_code == 422
    assert office.all(History, subject="setting:norms") == []


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"processing": 5}', '{"processing": [5, 2]}', "null"])
def test_reports_go_on_over_norms_that_cannot_be_read(office, kept):
    with office.database.begin() as session:
        session.add(FirmSetting(key="norms", value=kept, updated_at=office.clock, version=4))
    browser = office.browser("director")
    assert ">5–15<" in browser.page("/panel/times/")
    assert browser.send("/panel/times/norms", **FORM | {"version": "4"}).status_code == 302


# --- clarifications ----------------------------------------------------------------------------


def test_what_had_to_be_clarified_is_told_by_field(office):
    numbers = [office.submit(0), office.submit(1), office.submit(2), office.submit(0, task="Ещё счёт")]
    for number in numbers:
        office.give(number, "anna")
    for number, field in ((numbers[0], "task"), (numbers[0], "deadline"), (numbers[1], "task")):
        act(office, casework.clarify, "anna", number, field, "Что здесь?")
    with office.database.read() as session:
        found = times.clarified(session, period(office), office.house.calendar)
        boris = replace(period(office), staff_id=office.staff["boris"])
        assert times.clarified(session, boris, office.house.calendar).requests == 0
    assert (found.requests, found.asked_about(), dict(found.fields)) == (4, 2, {"task": 2, "deadline": 1})
    browser = office.browser("director")
    page = browser.page("/panel/times/")
    assert "50 %" in page
    assert "25 %" in page
    behind = browser.page("/panel/times/list?measure=clarified&field=deadline")
    assert behind.count('<th scope="row"') == 1


# --- people ------------------------------------------------------------------------------------


def people(office, **narrower):
    wanted = replace(period(office), **narrower)
    with office.database.read() as session:
        reports = times.people_report(session, wanted, office.house.calendar, Norms(), office.clock)
    return {report.staff_id: report for report in reports}


def test_hours_are_those_of_the_shifts_without_pauses_within_the_period(office):
    anna = office.staff["anna"]
    begun = office.clock - timedelta(hours=2)
    with office.database.begin() as session:
        shifts.start_pause(session, anna, office.clock)
        shifts.start_work(session, anna, office.clock + 15 * MINUTE)
        shifts.end_day(session, anna, office.clock + timedelta(hours=3))
    office.clock += timedelta(hours=5)
    whole = timedelta(hours=4, minutes=45).total_seconds()
    assert people(office)[anna].figures[Conduct.HOURS] == whole
    assert people(office, since=begun + timedelta(hours=1))[anna].figures[Conduct.HOURS] == whole - 3600
    open_shift = people(office)[office.staff["boris"]].figures[Conduct.HOURS]
    assert open_shift == timedelta(hours=7).total_seconds()
    assert anna not in people(office, department="legal")


def test_interaction_is_reckoned_by_messages_and_talks(office):
    anna = office.staff["anna"]
    number = office.submit(0)
    office.give(number, "anna")
    act(office, casework.answer, "anna", number, "Смотрим", ())
    act(office, casework.note, "anna", number, "позвонить", ())
    act(office, casework.done, "anna", number, "Готово", ())
    with office.database.begin() as session:
        session.add(
            CallTask(
                person_id=office.speakers[0], created_at=office.clock, done_at=office.clock, done_by=anna
            )
        )
        office_letter = session.get_one(Letter, office.all(Letter, author_id=office.persons["anna"])[0].id)
        copy = office_letter.model_dump(exclude={"id"}) | {"key": "copy", "replaces_id": office_letter.id}
        session.add(Letter(**copy))
    report = people(office)[anna]
    assert report.figures[Conduct.TALK] == (2 * 2 + 5) * 60
    assert report.talk_share == report.figures[Conduct.TALK] / 7200
    assert people(office, since=office.clock + MINUTE, until=office.clock + 2 * MINUTE).get(anna) is None


def test_messages_of_the_period_are_found_among_those_of_years(office):
    anna = office.persons["anna"]
    common = {
        "chat_id": office.chats[0],
        "text": "…",
        "state": "sent",
        "author_id": anna,
        "not_before": office.clock,
    }
    with office.database.begin() as session:
        for day in range(-400, 1):
            at = office.clock + timedelta(days=day)
            if day % 7:  # numbers without rows between them
                session.add(Letter(key=f"l{day}", created_at=at, **common))
    wanted = period(office)
    inside = [day for day in range(-30, 1) if day % 7]
    with office.database.read() as session:
        found = times.conduct_events(
            session, wanted, office.house.calendar, Norms(), office.clock + MINUTE, Conduct.TALK
        )
    assert len(found) == len(inside)
    assert all(wanted.since <= event.started_at < wanted.until for event in found)


def test_discipline_tells_what_became_of_each_request(office):
    anna, boris = office.staff["anna"], office.staff["boris"]
    in_time, late, declined, lost, overdue = (office.submit(0, hours=20) for _ in range(5))
    for number in (in_time, late, declined, lost, overdue):
        office.give(number, "anna")
    office.clock += 5 * MINUTE
    act(office, casework.accept, "anna", in_time)
    act(office, casework.decline, "anna", declined, "не мой участок")
    office.clock += timedelta(seconds=1)
    act(office, casework.accept, "anna", late)
    act(office, casework.clarify, "anna", overdue, "task", "Что?")
    office.clock += 30 * MINUTE
    with office.database.begin() as session:
        casework.escalate(session, office.house, lost, office.clock)
        row = session.get_one(Request, overdue)
        row.deadline = office.clock - 10 * MINUTE
        session.add(row)
        session.add(
            Absence(
                staff_id=anna,
                starts_at=office.clock - timedelta(days=60),
                ends_at=office.clock - timedelta(days=28),
                reason="отпуск",
            )
        )
    act(office, casework.done, "anna", in_time, "Готово", ())
    found = people(office)[anna].figures
    expected = {
        Conduct.GIVEN: 5, Conduct.IN_TIME: 1, Conduct.TAKEN_LATE: 2, Conduct.DECLINED: 1,
        Conduct.ESCALATED: 1, Conduct.DONE: 1, Conduct.LATE: 1,
    }  # fmt: skip
    assert {what: found[what] for what in expected} == expected
    calendar = office.house.calendar
    away = calendar.working_seconds(period(office).since, office.clock - timedelta(days=28))
    assert found[Conduct.ABSENT] == away > 0
    assert people(office)[boris].figures[Conduct.ESCALATED] == 0
    with office.database.read() as session:
        (event,) = times.conduct_events(
            session, period(office), calendar, Norms(), office.clock, Conduct.DECLINED
        )
    assert (event.number, event.staff_id, event.detail) == (declined, anna, "не мой участок")


def test_recomputing_the_lists_of_people_gives_their_figures(busy):
    office, _numbers = busy
    reports = people(office)
    assert len(reports) >= 3
    with office.database.read() as session:
        for what in Conduct:
            found = times.conduct_events(
                session, period(office), office.house.calendar, Norms(), office.clock, what
            )
            for staff_id, report in reports.items():
                mine = [event for event in found if event.staff_id == staff_id]
                summed = sum(event.seconds for event in mine) if what in times.IN_SECONDS else len(mine)
                assert report.figures[what] == summed, (staff_id, what)


def test_the_director_who_answers_is_told_of_too(office):
    number = office.submit(0)
    with office.database.begin() as session:
        who = Who("panel", office.persons["director"], office.staff["director"], Role.DIRECTOR, "Елена")
        casework.answer(session, office.house, who, number, "Отвечу сама", (), office.clock)
    assert people(office)[office.staff["director"]].figures[Conduct.TALK] == 120
    assert "Елена Дирова" in office.browser("director").page("/panel/times/people")


def test_an_unknown_measure_is_not_found(office):
    assert office.browser("director").get("/panel/times/list?measure=speed").status_code == 404


@pytest.mark.parametrize("path", ["/panel/times/", "/panel/times/people", "/panel/times/list?measure=hours"])
def test_a_firm_without_requests_has_its_pages(office, path):
    with office.database.begin() as session:
        for staff_id in office.staff.values():
            shifts.end_day(session, staff_id, office.clock)
    browser = office.browser("director")
    browser.page(path)
    for kind in ("csv", "xlsx"):
        sign = "&" if "?" in path else "?"
        assert browser.get(f"{path}{sign}format={kind}").status_code == 200


def test_the_charts_are_pictures_with_words(busy):
    office, _numbers = busy
    page = office.browser("director").page("/panel/times/")
    charts = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(charts) == 3
    for chart in charts:
        assert 'role="img"' in chart
        title, described = re.search(r'aria-labelledby="(\S+) (\S+)"', chart).groups()
        assert re.search(rf'<title id="{title}">[^<]+</title><desc id="{described}">[^<]+</desc>', chart)
        assert "style=" not in chart
        assert "http" not in chart.replace('xmlns="http://www.w3.org/2000/svg"', "")
