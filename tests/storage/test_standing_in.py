"""The router is told who stands in and who keeps hours of their own, when a request comes and later."""

import json
from datetime import timedelta

import pytest

from storage import casework
from storage.models import Absence, Assignment, Client, Shift, Staff
from tests.storage.firm import MINUTE, Firm


@pytest.fixture
def firm(database):
    """Boris has less to do than Olga, who stands in for Anna at Maria's company."""
    firm = Firm.open(database)
    with database.begin() as session:
        olga = Staff(person_id=firm.people["oleg"], role="accountant", created_at=firm.clock)
        session.delete(session.get_one(Staff, firm.staff["oleg"]))
        session.flush()
        session.add(olga)
        session.flush()
        firm.staff["olga"] = olga.id
        session.add(Shift(staff_id=olga.id, kind="work", started_at=firm.clock - MINUTE))
        client = session.get_one(Client, 1)
        client.responsible_id, client.substitute_id = firm.staff["anna"], olga.id
    for _number in range(2):
        number = firm.submit("pyotr")
        if firm.request(number).assignee_id != firm.staff["olga"]:
            firm.do(casework.reassign, "elena", number, firm.staff["olga"], "")
    return firm


def absent(firm, key):
    with firm.database.begin() as session:
        session.add(
            Absence(
                staff_id=firm.staff[key],
                starts_at=firm.clock - MINUTE,
                ends_at=firm.clock + timedelta(days=3),
            )
        )


def why(firm, number):
    trace = json.loads(firm.rows(Assignment, request_id=number)[-1].trace)
    return {each["staff_id"]: each["reasons"] for each in trace["candidates"]}


def test_the_accountant_of_the_client_is_there(firm):
    assert firm.request(firm.submit("maria")).assignee_id == firm.staff["anna"]


def test_the_substitute_gets_a_new_request_and_the_trace_says_why(firm):
    absent(firm, "anna")
    number = firm.submit("maria")
    assert firm.request(number).assignee_id == firm.staff["olga"]
    assert "заменяет ответственного: его сейчас нет" in why(firm, number)[firm.staff["olga"]]
    assert firm.request(firm.submit("pyotr")).assignee_id == firm.staff["boris"], "not at other clients"


def test_the_substitute_gets_what_has_waited(firm):
    firm.nobody_works()
    number = firm.submit("maria")
    assert firm.request(number).assignee_id is None
    for key in ("boris", "olga"):
        firm.starts(key)
    with firm.database.begin() as session:
        casework.pick_up_unassigned(session, firm.house, firm.clock)
    assert firm.request(number).assignee_id == firm.staff["olga"]


def test_outside_own_hours_another_gets_it_and_the_trace_says_why(firm):
    firm.change(Staff, firm.staff["anna"], schedule={"2": ["14:00", "18:00"]})
    number = firm.submit("maria")
    assert firm.request(number).assignee_id == firm.staff["olga"]
    assert "сейчас нерабочее время по личному графику" in why(firm, number)[firm.staff["anna"]]
