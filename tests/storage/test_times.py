"""The reports on both engines, and that the years before a period cost nothing."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from storage import casework, times
from storage.engine import open_database
from storage.models import Absence, CallTask, History
from storage.times import By, Conduct, Measure, Norms, TimesFilter, figure_of
from tests.storage.firm import MINUTE, Firm


@pytest.fixture
def firm(database):
    return busy(database)


def busy(database) -> Firm:
    """Two requests: one declined and done by Boris, one that waits for Maria's word."""
    firm = Firm.open(database)
    first = firm.submitted_to("anna", hours=30)
    second = firm.submitted_to("boris", client="pyotr", hours=30, task="Другой счёт")
    firm.clock += 4 * MINUTE
    firm.do(casework.decline, "anna", first, "не мой участок")
    if firm.request(first).assignee_id != firm.staff["boris"]:
        firm.do(casework.reassign, "elena", first, firm.staff["boris"], "")
    firm.clock += 3 * MINUTE
    firm.do(casework.accept, "boris", first)
    firm.clock += 6 * MINUTE
    firm.do(casework.answer, "boris", first, "Смотрим", ())
    firm.do(casework.done, "boris", first, "Готово", ())
    firm.do(casework.clarify, "boris", second, "task", "Какой счёт?")
    with database.begin() as session:
        session.add(
            CallTask(
                person_id=firm.people["pyotr"],
                created_at=firm.clock,
                done_at=firm.clock,
                done_by=firm.staff["boris"],
            )
        )
        session.add(
            Absence(
                staff_id=firm.staff["anna"],
                starts_at=firm.clock - timedelta(hours=1),
                ends_at=firm.clock + timedelta(days=3),
            )
        )
    return firm


def period(firm: Firm) -> TimesFilter:
    return TimesFilter(firm.clock - timedelta(days=7), firm.clock + timedelta(hours=1))


def test_the_reports_say_the_same_on_both_engines(firm):
    calendar, boris = firm.house.calendar, firm.staff["boris"]
    with firm.database.read() as session:
        for by in By:
            found = times.response_times(session, period(firm), calendar, by)
            assert found.sent == 2
            assert found.overall[Measure.WHOLE].count == 1
            assert found.overall[Measure.PROCESSING].count == 2
            for measure in Measure:
                listed = times.events(session, period(firm), calendar, measure)
                assert figure_of(listed) == found.overall.get(measure)
        clarified = times.clarified(session, period(firm), calendar)
        assert (clarified.requests, dict(clarified.fields)) == (2, {"task": 1})
        reports = {
            report.staff_id: report.figures
            for report in times.people_report(session, period(firm), calendar, Norms(), firm.clock)
        }
        assert times.clients_of(session, period(firm).since, period(firm).until).keys() == {1, 2}
        narrowed = replace(period(firm), department="legal")
        assert times.response_times(session, narrowed, calendar).overall == {}
    anna = reports[firm.staff["anna"]]
    assert (anna[Conduct.GIVEN], anna[Conduct.DECLINED], anna[Conduct.IN_TIME]) == (1, 1, 0)
    assert anna[Conduct.ABSENT] == calendar.working_seconds(
        firm.clock - timedelta(hours=1), period(firm).until
    )
    assert reports[boris][Conduct.DONE] == 1
    # An answer, a result, a question, and a call.
    assert reports[boris][Conduct.TALK] == (3 * 2 + 5) * 60
    assert reports[boris][Conduct.HOURS] == (2 * 60 + 13) * 60


def test_norms_are_kept_with_history_and_version(firm):
    wanted = Norms(execution=(3, 9), message_minutes=1)
    with firm.database.begin() as session:
        times.save_norms(session, firm.who("elena"), wanted, firm.clock)
    with firm.database.read() as session:
        kept = times.read_norms(session)
    assert kept == replace(wanted, version=1)
    assert kept.target(Measure.WHOLE) == (6, 17)
    with firm.database.begin() as session, pytest.raises(times.NormsChanged):
        times.save_norms(session, firm.who("oleg"), wanted, firm.clock)
    row = firm.row(History, subject="setting:norms")
    assert row.after == '{"execution":"3–9","message_minutes":1}'
    firm.check()


GROWING = ("request", "stage_interval", "history", "letter", "clarification", "answer_version", "message")


def test_no_report_reads_a_growing_table_whole(sqlite_template, tmp_path):
    """On SQLite, which plans without statistics; PostgreSQL reads so small a table whole anyway."""
    file = tmp_path / "plans.sqlite3"
    shutil.copy(sqlite_template, file)
    firm = busy(open_database(f"sqlite:///{file}"))
    asked = []

    def keep(_connection, _cursor, statement, parameters, _context, _many):
        asked.append((statement, parameters))

    engine = firm.database.sync_engine
    event.listen(engine, "before_cursor_execute", keep)
    calendar, wanted = firm.house.calendar, period(firm)
    with firm.database.read() as session:
        for by in By:
            times.response_times(session, replace(wanted, kind="pay", client_id=1), calendar, by)
        times.events(session, wanted, calendar, Measure.WHOLE)
        times.sent(session, wanted, calendar)
        times.clarified(session, wanted, calendar)
        times.people_report(session, wanted, calendar, Norms(), firm.clock)
        times.clients_of(session, wanted.since, wanted.until)
    event.remove(engine, "before_cursor_execute", keep)
    explained = 0
    with engine.connect() as connection:
        for statement, parameters in asked:
            if not statement.lstrip().upper().startswith("SELECT"):
                continue
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            explained += 1
            for step in plan:
                detail = step[-1]
                scanned = detail.split()[1] if detail.startswith("SCAN ") else ""
                # The newest or the oldest row alone is read from its end of the key.
                assert scanned not in GROWING or "LIMIT" in statement, (detail, statement)
        assert connection.execute(text("select count(*) from request")).scalar() == 2
    engine.dispose()
    assert explained > 10
