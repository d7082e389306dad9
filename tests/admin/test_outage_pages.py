"""What the panel tells about times without us, and while the program is being worked on."""

import re
from datetime import timedelta

from sqlmodel import select

from storage import maintenance
from storage.models import History, Outage, Request


def test_the_minutes_without_us_stand_under_the_figures(office):
    browser = office.browser("director")
    assert "Были без связи" not in browser.page("/panel/times/")
    start = office.clock - timedelta(days=1)
    with office.database.begin() as session:
        session.add(
            Outage(scope="service", cause="crashed", started_at=start, ended_at=start + timedelta(minutes=20))
        )
    page = browser.page("/panel/times/")
    assert "Были без связи: 20 мин рабочего времени." in page
    assert "программа упала" in page
    exported = browser.client.get("/panel/times/?format=csv").data.decode("utf-8-sig")
    assert "программа упала" in exported


def test_announced_work_is_said_on_every_page_until_it_is_over(office):
    with office.database.begin() as session:
        maintenance.announce(session, office.clock + timedelta(minutes=30), "чиним базу", office.clock)
    office.app.extensions["priem"].settled()
    browser = office.browser("director")
    for path in ("/panel/", "/panel/times/"):
        assert "чиним базу. Заявки принимаются, клиенты предупреждены." in browser.page(path)
    office.clock += timedelta(minutes=30)
    assert "чиним базу" not in browser.page("/panel/")
    with office.database.begin() as session:
        assert maintenance.call_off(session, office.clock)
        assert not maintenance.call_off(session, office.clock)
    office.app.extensions["priem"].settled()
    assert office.house.maintenance is None


def test_the_list_of_the_day_is_one_press_away(busy):
    office, numbers = busy
    browser = office.browser("director")
    assert 'href="/panel/duty-list"' in browser.page("/panel/")
    page = browser.client.get("/panel/duty-list")
    assert page.headers["Content-Disposition"].startswith("attachment")
    assert f"<td>{numbers['working']}</td>" in page.text
    assert browser.client.get("/panel/duty-list?format=xlsx").data.startswith(b"PK")
    with office.database.read() as session:
        noted = session.exec(select(History.subject).where(History.action == "exported")).all()
    assert noted == ["list:duty-list"] * 2


def test_an_accountant_gets_their_own_requests_alone(busy):
    office, _numbers = busy
    page = office.browser("boris").client.get("/panel/duty-list").text
    with office.database.read() as session:
        own = select(Request.id).where(
            Request.assignee_id == office.staff["boris"],
            Request.status.in_(("assigned", "accepted", "waiting_client")),
        )
        open_numbers = set(session.exec(own).all())
    assert set(map(int, re.findall(r"<tr><td>(\d+)</td>", page))) == open_numbers
