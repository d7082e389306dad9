"""The list of the day: what stands in it, when it is made, and that nobody else can read it."""

from __future__ import annotations

import io
import stat
from dataclasses import replace
from datetime import date, time, timedelta

import pytest
from openpyxl import load_workbook
from sqlalchemy import update
from sqlmodel import select

from storage import casework, duty_list
from storage.calls import add_call
from storage.duty_list import DutyList, Plan, Table
from storage.files import FileStore
from storage.models import Absence, Attachment, Letter, Person, Setting
from tests.storage.firm import MOSCOW, WEDNESDAY, Firm

DAY = date(2026, 11, 25)


@pytest.fixture
def firm(database):
    opened = Firm.open(database)
    opened.house = replace(opened.house, email_channel="mail")
    return opened


def gathered(firm, reach=None) -> DutyList:
    with firm.database.read() as session:
        return duty_list.gather(session, firm.house, firm.clock, reach)


def rows(found: DutyList, title: str) -> tuple[tuple[str, ...], ...]:
    return next(table.rows for table in found.tables if table.title == title)


def test_open_requests_stand_with_whoever_is_to_be_telephoned(firm):
    firm.change(Person, firm.people["maria"], phone="+7 900 111-22-33")
    number = firm.accepted_by("anna", task="Оплатить <b>счёт</b>")
    other = firm.submit("pyotr", hours=2)
    done = firm.accepted_by("anna")
    firm.do(casework.done, "anna", done, "Готово", ())
    with firm.database.begin() as session:
        session.add(
            Attachment(
                request_id=number, sha256="a" * 64, name="счёт.pdf", size_bytes=1,
                media_type="application/pdf", purpose="request", created_at=firm.clock,
            )
        )  # fmt: skip
    firm.do(casework.add, "maria", number, "И ещё акт", ())
    found = rows(gathered(firm), "Открытые заявки")
    assert [row[0] for row in found] == [str(other), str(number)], (
        "the nearest deadline first, done ones gone"
    )
    row = found[1]
    assert row[1:7] == (
        "25.11 16:00", "ООО «Ромашка»", "Мария\n+7 900 111-22-33", "Оплатить счёт", "Оплатить <b>счёт</b>",
        "Анна Петрова",
    )  # fmt: skip
    assert "Клиент ждёт ответа с 25.11 11:00" in row[7]
    assert row[8] == "счёт.pdf"
    with firm.database.read() as session:
        own = duty_list.gather(session, firm.house, firm.clock, firm.staff["anna"])
    assert [row[0] for row in rows(own, "Открытые заявки")] == [str(number)]


def test_who_is_away_whom_to_call_and_what_did_not_arrive(firm):
    number = firm.submit()
    with firm.database.begin() as session:
        session.add(
            Absence(
                staff_id=firm.staff["boris"], starts_at=firm.clock - timedelta(days=3),
                ends_at=firm.clock + timedelta(days=3), reason="отпуск",
            )
        )  # fmt: skip
        add_call(session, firm.people["maria"], number, None, "не читает мессенджер", firm.clock)
        session.execute(
            update(Letter)
            .where(Letter.person_id == firm.people["maria"])
            .values(state="failed", reason="закрыла чат")
        )
    found = gathered(firm)
    assert rows(found, "Кого сегодня нет") == (("Борис Лядов", "22.11 11:00", "28.11 11:00", "отпуск"),)
    (call,) = rows(found, "Кому позвонить")
    assert (call[0], call[2], call[5]) == ("Мария", f"№ {number}", "не читает мессенджер")
    (lost,) = rows(found, "Не доставлено за неделю")
    assert (lost[0], lost[2], lost[5]) == ("Мария", f"№ {number}", "закрыла чат")
    assert [row[0] for row in rows(found, "Сотрудники")] == sorted(
        ("Анна Петрова", "Борис Лядов", "Елена Дирова", "Олег Замов", "Галина Контролёрова")
    )


def test_an_empty_list_is_a_list(firm):
    page = duty_list.as_html(gathered(firm)).decode()
    assert "Открытые заявки: 0" in page
    assert "Нет." in page


# --- what it looks like and where it goes -------------------------------------------------------

LIST = DutyList(
    "День", "Составлен", (Table("Заявки", ("№", "Что"), (("1", "<script>&"), ("2", "=1+1"))),), "Нет."
)


def test_the_page_needs_nothing_else_and_holds_no_code():
    page = duty_list.as_html(LIST).decode()
    assert "&lt;script&gt;&amp;" in page
    assert "<script" not in page
    assert "http" not in page
    assert "src=" not in page


def test_the_workbook_holds_the_same_and_no_formula():
    sheet = load_workbook(io.BytesIO(duty_list.as_xlsx(LIST)))["Заявки"]
    assert [[cell.value for cell in row] for row in sheet] == [
        ["№", "Что"],
        ["1", "<script>&"],
        ["2", "=1+1"],
    ]
    assert {cell.data_type for row in sheet for cell in row} == {"s"}


def test_the_folder_holds_two_private_files_a_day_for_a_fortnight(tmp_path):
    folder = tmp_path / "duty"
    for days in range(20):
        day = DAY + timedelta(days=days)
        assert not duty_list.is_written(folder, day)
        duty_list.write(folder, day, LIST)
        assert duty_list.is_written(folder, day)
    (folder / "чужое.html").touch()
    duty_list.write(folder, DAY + timedelta(days=19), LIST)
    names = sorted(file.name for file in folder.iterdir())
    assert len(names) == 14 * 2 + 1
    assert names[0] == f"priem-{DAY + timedelta(days=6)}.html"
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("priem-*")}
    assert modes == {0o600}


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "list.html"
    duty_list.write_privately(file, b"old")
    monkeypatch.setattr("os.fsync", lambda _handle: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        duty_list.write_privately(file, b"new")
    assert file.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["list.html"]


@pytest.mark.parametrize(
    ("day", "hour", "minute", "due"),
    [(25, 7, 29, False), (25, 7, 30, True), (25, 17, 59, True), (25, 18, 0, False), (28, 8, 0, False)],
    ids=["early", "due", "late", "the day is over", "a Saturday"],
)
def test_when_it_is_due(firm, day, hour, minute, due):
    now = WEDNESDAY.astimezone(MOSCOW).replace(day=day, hour=hour, minute=minute)
    found = duty_list.is_due(Plan(time(7, 30)), firm.house, now)
    assert found == (date(2026, 11, day) if due else None)


def test_each_address_gets_it_once_a_day_and_old_ones_are_let_go(firm, tmp_path):
    plan = Plan(time(7, 30), emails=("Anna@example.ru", "boss@example.ru"))
    store = FileStore(tmp_path / "files", 1_000_000)

    def sends(day):
        with firm.database.begin() as session:
            emails = duty_list.unsent(session, plan, day)
            if emails:
                found = duty_list.gather(session, firm.house, firm.clock)
                files = duty_list.keep(store, day, found)
                duty_list.send(session, firm.house, day, emails, files, firm.clock)
        return emails

    assert sends(DAY) == plan.emails
    assert sends(DAY) == ()
    first, second = firm.rows(Letter)
    assert [file["name"] for file in first.files] == ["priem-2026-11-25.html", "priem-2026-11-25.xlsx"]
    assert first.chat_id != second.chat_id
    assert b"<!doctype html>" in store.path(first.files[0]["sha256"]).read_bytes()
    firm.clock += timedelta(days=15)
    assert sends(DAY + timedelta(days=15)) == plan.emails
    with firm.database.read() as session:
        assert [bool(row.files) for row in session.exec(select(Letter).order_by(Letter.id))] == [
            False, False, True, True,
        ]  # fmt: skip
        forgotten = session.exec(select(Setting.key).where(Setting.key.like("%" + first.files[0]["sha256"])))
        assert forgotten.all()
