"""The calendar that staff subscribe to, on both engines."""

from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest
from icalendar import Calendar

from router.model import Status
from storage import calendars, casework
from storage.models import Absence, History, Request, Staff
from storage.roster import Act, NoSuchCard
from tests.storage.firm import MOSCOW, Firm


@pytest.fixture
def firm(database):
    return Firm.open(database)


def link(firm, key="anna"):
    with firm.database.begin() as session:
        return calendars.new_link(session, Act(firm.who(key, "panel"), firm.clock), firm.staff[key])


def feed(firm, token):
    with firm.database.read() as session:
        return calendars.feed(session, firm.house, token, "https://priem.example/", firm.clock)


def events(firm, token):
    found = feed(firm, token)
    return {str(event["uid"]): event for event in Calendar.from_ical(found.body).walk("VEVENT")}


def test_a_calendar_holds_the_open_deadlines_of_its_owner(firm):
    mine, other = firm.accepted_by("anna", hours=5), firm.accepted_by("boris")
    done = firm.accepted_by("anna")
    firm.do(casework.done, "anna", done, "Готово", ())
    found = events(firm, link(firm))
    assert set(found) == {f"request-{mine}@priem"}
    event = found[f"request-{mine}@priem"]
    assert event["dtend"].dt == firm.request(mine).deadline
    assert event["dtend"].dt - event["dtstart"].dt == timedelta(minutes=30)
    assert f"№ {mine} ООО «Ромашка»" in event["summary"]
    assert event["url"] == f"https://priem.example/panel/requests/{mine}/"
    assert f"request-{other}@priem" in events(firm, link(firm, "boris"))


def test_it_says_how_often_to_come_again(firm):
    lines = feed(firm, link(firm)).body.decode().split("\r\n")
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT30M" in lines
    assert "X-PUBLISHED-TTL:PT30M" in lines


def test_it_says_neither_the_task_nor_the_inn(firm):
    number = firm.accepted_by("anna", task="Заплатить тайному поставщику")
    body = feed(firm, link(firm)).body.decode()
    assert f"request-{number}@" in body
    assert "тайному" not in body.replace("\r\n ", "")
    assert "7707083893" not in body


def test_absences_are_whole_days_where_they_are(firm):
    def midnight(day):
        return datetime(2026, 12, day, tzinfo=MOSCOW).astimezone(UTC)

    with firm.database.begin() as session:
        for starts, ends, reason in (
            (midnight(1), midnight(15), "отпуск"),
            (midnight(20) + timedelta(hours=9), midnight(20) + timedelta(hours=12), ""),
            (midnight(1) - timedelta(days=99), midnight(1) - timedelta(days=90), "давно"),
        ):
            session.add(Absence(staff_id=firm.staff["anna"], starts_at=starts, ends_at=ends, reason=reason))
    leave, visit = events(firm, link(firm)).values()
    assert (leave["dtstart"].dt, leave["dtend"].dt) == (date(2026, 12, 1), date(2026, 12, 15))
    assert leave["summary"] == "Отсутствие: отпуск"
    assert visit["dtstart"].dt == midnight(20) + timedelta(hours=9)
    assert visit["summary"] == "Отсутствие"


def test_the_text_stays_the_same_until_something_changes(firm):
    number = firm.accepted_by("anna")
    token = link(firm)
    first = feed(firm, token)
    firm.clock += timedelta(hours=1)
    assert feed(firm, token) == first
    firm.change(Request, number, deadline=firm.clock + timedelta(days=1))
    assert feed(firm, token).tag != first.tag


def test_only_the_hash_is_kept_and_a_new_link_ends_the_old_one(firm):
    old = link(firm)
    assert len(old) >= 43
    assert firm.row(Staff, id=firm.staff["anna"]).calendar_hash == sha256(old.encode()).hexdigest()
    new = link(firm)
    assert feed(firm, old) is None
    assert feed(firm, new) is not None
    lines = firm.rows(History, action="calendar_link_made")
    assert len(lines) == 2
    assert all(secret not in line.before + line.after for line in lines for secret in (old, new))
    with firm.database.begin() as session:
        calendars.drop_link(session, Act(firm.who("anna", "panel"), firm.clock), firm.staff["anna"])
    assert feed(firm, new) is None
    with firm.database.read() as session:
        assert not calendars.has_link(session, firm.staff["anna"])


@pytest.mark.parametrize("token", ["", "x", "я" * 500, "'; drop table staff; --", "\x00"], ids=range(5))
def test_a_wrong_token_is_nobodys(firm, token):
    link(firm)
    assert feed(firm, token) is None
    assert feed(firm, sha256(b"").hexdigest()) is None


def test_whoever_left_has_no_calendar(firm):
    token = link(firm)
    firm.change(Staff, firm.staff["anna"], active=False)
    assert feed(firm, token) is None


def test_nobody_gives_out_a_calendar_of_nobody(firm):
    with pytest.raises(NoSuchCard), firm.database.begin() as session:
        calendars.new_link(session, Act(firm.who("anna"), firm.clock), 9999)


def test_overdue_requests_stay_until_they_are_done(firm):
    number = firm.accepted_by("anna", hours=1)
    firm.clock += timedelta(days=3)
    assert firm.request(number).status == Status.ACCEPTED
    assert f"request-{number}@priem" in events(firm, link(firm))
