"""Requests for other programs: names, times, stages, and cells that are no formulas."""

import csv
import io
import json
from datetime import UTC, date, datetime, time, timedelta
from time import thread_time
from zoneinfo import ZoneInfo

import pytest
from openpyxl import load_workbook
from sqlalchemy import event, insert

from router.worktime import WorkCalendar
from storage.exports import WRITERS, requests_for_export
from storage.models import Attachment, Chat, Client, Person, Request, Staff, StageInterval

CALENDAR = WorkCalendar(ZoneInfo("Europe/Moscow"), time(9), time(18), (time(13), time(14)))
NOW = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
"""A Wednesday, 14:00 in Moscow."""

NAMES = [
    "number", "status", "kind", "company", "inn", "task", "deadline", "files", "channel", "client",
    "assignee", "created_at", "submitted_at", "assigned_at", "accepted_at", "first_response_at", "done_at",
    "closed_at", "stage_minutes",
]  # fmt: skip
STAGES = ["client", "queue", "processing", "clarification", "execution", "third_party"]


def at(hour, minute=0, day=25):
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def request_row(number, **changed):
    return {
        "id": number,
        "status": "assigned",
        "stage": "execution",
        "kind": "pay",
        "company": "ООО «Ромашка»",
        "inn": "7707083893",
        "task": "Оплатить счёт",
        "deadline": at(15, day=27),
        "answers": {},
        "client_id": 1,
        "person_id": 1,
        "chat_id": 1,
        "channel": "telegram",
        "assignee_id": 1,
        "created_at": at(6),
        "submitted_at": at(7),
        "assigned_at": at(7, 10),
        "result": "",
        "search": "",
        "version": 1,
    } | changed


@pytest.fixture
def filled(database):
    def fill(*requests, attachments=(), intervals=()):
        with database.begin() as session:
            session.add(Person(id=1, name="Мария", created_at=NOW))
            session.add(Person(id=2, name="Анна Петрова", created_at=NOW))
            session.flush()
            session.add(Staff(id=1, person_id=2, role="accountant", created_at=NOW))
            session.add(Client(id=1, name="ООО «Ромашка»", inn="7707083893", created_at=NOW))
            session.add(
                Chat(id=1, channel="telegram", chat_key="1", user_key="1", person_id=1, created_at=NOW)
            )
            session.flush()
            connection = session.connection()
            connection.execute(insert(Request), list(requests))
            for table, rows in ((Attachment, attachments), (StageInterval, intervals)):
                if rows:
                    connection.execute(insert(table), list(rows))

    return fill


def attachment(request_id, name, purpose="request"):
    return {
        "request_id": request_id,
        "sha256": "ab" * 32,
        "name": name,
        "size_bytes": 7,
        "media_type": "text/plain",
        "purpose": purpose,
        "created_at": NOW,
    }


def interval(request_id, stage, start, end):
    return {"request_id": request_id, "stage": stage, "started_at": start, "ended_at": end}


def exported(database, since=None, until=None):
    with database.read() as session:
        return list(requests_for_export(session, CALENDAR, NOW, since, until))


def written(database, shape):
    out = io.BytesIO()
    with database.read() as session:
        WRITERS[shape](requests_for_export(session, CALENDAR, NOW), out)
    return out.getvalue()


async def test_json_is_one_array_of_the_promised_objects(database, filled):
    filled(
        request_row(118, accepted_at=at(7, 20)),
        attachments=[
            attachment(118, "счёт.pdf"),
            attachment(118, "ещё.pdf", "added"),
            attachment(118, "ответ.pdf", "answer"),
            attachment(118, "черновик.pdf", "note"),
        ],
        intervals=[
            interval(118, "queue", at(7), at(7, 10)),
            interval(118, "processing", at(7, 10), at(7, 20) + timedelta(seconds=1)),
            interval(118, "execution", at(9), None),
        ],
    )
    (found,) = json.loads(written(database, "json"))
    assert list(found) == NAMES
    assert list(found["stage_minutes"]) == STAGES
    assert found == {
        "number": 118,
        "status": "assigned",
        "kind": "pay",
        "company": "ООО «Ромашка»",
        "inn": "7707083893",
        "task": "Оплатить счёт",
        "deadline": "2026-11-27T18:00:00+03:00",
        "files": [
            {"name": "счёт.pdf", "size_bytes": 7, "sha256": "ab" * 32},
            {"name": "ещё.pdf", "size_bytes": 7, "sha256": "ab" * 32},
        ],
        "channel": "telegram",
        "client": "Мария",
        "assignee": "Анна Петрова",
        "created_at": "2026-11-25T09:00:00+03:00",
        "submitted_at": "2026-11-25T10:00:00+03:00",
        "assigned_at": "2026-11-25T10:10:00+03:00",
        "accepted_at": "2026-11-25T10:20:00+03:00",
        "first_response_at": None,
        "done_at": None,
        "closed_at": None,
        # Execution has lasted since noon in Moscow, lunch left out.
        "stage_minutes": {
            "client": 0,
            "queue": 10,
            "processing": 10.02,
            "clarification": 0,
            "execution": 60,
            "third_party": 0,
        },
    }


@pytest.mark.parametrize("shape", WRITERS)
async def test_nothing_to_export(database, shape):
    content = written(database, shape)
    if shape == "json":
        assert json.loads(content) == []
    elif shape == "csv":
        assert len(content.decode().splitlines()) == 1
    else:
        assert load_workbook(io.BytesIO(content)).active.max_row == 1


async def test_days_are_the_firms_and_both_ends_are_in(database, filled):
    filled(
        request_row(1, submitted_at=at(20, 59, day=23)),
        request_row(2, submitted_at=at(21, 0, day=23)),
        request_row(3, submitted_at=at(20, 59, day=24)),
        request_row(4, submitted_at=at(21, 0, day=24)),
    )
    day = date(2026, 11, 24)
    assert [found.number for found in exported(database, day, day)] == [2, 3]
    assert [found.number for found in exported(database, since=day)] == [2, 3, 4]
    assert [found.number for found in exported(database, until=day)] == [1, 2, 3]


async def test_nobody_has_it_yet(database, filled):
    filled(request_row(1, assignee_id=None, assigned_at=None, status="new"))
    (found,) = exported(database)
    assert (found.assignee, found.assigned_at, found.status) == (None, None, "new")


DANGEROUS = ["=1+1", "+7 495", "-5", "@SUM(A1)", "\tx", "\r=x"]


@pytest.mark.parametrize("task", DANGEROUS, ids=repr)
async def test_no_cell_is_a_formula(database, filled, task):
    filled(request_row(1, task=task), attachments=[attachment(1, "=cmd.pdf"), attachment(1, "б.pdf")])
    (row,) = csv.DictReader(io.StringIO(written(database, "csv").decode(), newline=""))
    assert row["task"] == f"'{task}"
    assert row["files"] == "'=cmd.pdf; б.pdf"
    assert row["number"] == "1"
    sheet = load_workbook(io.BytesIO(written(database, "xlsx"))).active
    heading, cells = list(sheet.iter_rows())
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    values = dict(zip((cell.value for cell in heading), (cell.value for cell in cells), strict=True))
    assert values["task"].replace("_x000D_", "\r") in (task, task.replace("\r", "\n"))
    assert values["files"] == "=cmd.pdf; б.pdf"


async def test_csv_flattens_the_stages(database, filled):
    filled(request_row(1), intervals=[interval(1, "queue", at(7), at(7, 30))])
    (row,) = csv.DictReader(io.StringIO(written(database, "csv").decode(), newline=""))
    assert list(row) == [*NAMES[:-1], *(f"stage_minutes_{stage}" for stage in STAGES)]
    assert float(row["stage_minutes_queue"]) == 30
    assert row["closed_at"] == ""


async def test_signs_that_a_workbook_cannot_hold_are_left_out(database, filled):
    filled(request_row(1, task="а\x0bб"))
    sheet = load_workbook(io.BytesIO(written(database, "xlsx"))).active
    assert [row[5] for row in sheet.iter_rows(values_only=True)] == ["task", "аб"]


async def test_ten_thousand_requests_take_a_few_queries_and_little_time(database, filled):
    numbers = range(1, 10_001)
    filled(
        *(request_row(number) for number in numbers),
        attachments=[attachment(number, "счёт.pdf") for number in numbers],
        intervals=[interval(number, "queue", at(7), at(7, 30)) for number in numbers],
    )
    statements = []
    event.listen(database.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    started = thread_time()
    content = written(database, "json")
    assert thread_time() - started < 10
    assert len(json.loads(content)) == 10_000
    assert len(statements) <= 3 * 10 + 3
