"""Who hears of a client who calls for a person: always somebody, as long as anybody has a chat."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from router.model import Role
from storage.casework.opening import people_for_call
from storage.models import Absence, Chat, Client, Staff
from tests.storage.firm import MINUTE, Firm

DAY = timedelta(days=1)
EVERYBODY = ("anna", "boris", "elena", "oleg", "galina", "denis")


@pytest.fixture
def firm(database):
    opened = Firm.open(database)
    with opened.database.begin() as session:
        opened._human(session, "denis", "Денис Админов", opened.clock)
        session.add(Staff(person_id=opened.people["denis"], role=Role.ADMIN.value, created_at=opened.clock))
        session.flush()
        row = session.exec(select(Staff).where(col(Staff.person_id) == opened.people["denis"])).one()
        opened.staff["denis"] = row.id
    return opened


def blocked(firm: Firm, *keys: str) -> None:
    with firm.database.begin() as session:
        chats = [firm.chats[key] for key in keys]
        session.execute(update(Chat).where(col(Chat.id).in_(chats)).values(blocked_at=firm.clock))


def away(firm: Firm, *keys: str) -> None:
    with firm.database.begin() as session:
        session.add_all(
            Absence(
                staff_id=firm.staff[key], starts_at=firm.clock - MINUTE, ends_at=firm.clock + timedelta(1)
            )
            for key in keys
        )


def gone(firm: Firm, *keys: str) -> None:
    with firm.database.begin() as session:
        staff = [firm.staff[key] for key in keys]
        session.execute(update(Staff).where(col(Staff.id).in_(staff)).values(active=False))


def heard(firm: Firm) -> set[str]:
    with firm.database.read() as session:
        found = people_for_call(session, firm.people["maria"], firm.clock)
    names = {person_id: key for key, person_id in firm.people.items()}
    return {names[person_id] for person_id in found}


def kept_by(firm: Firm, key: str) -> None:
    with firm.database.begin() as session:
        session.execute(update(Client).values(responsible_id=firm.staff[key]))


def test_whoever_keeps_the_client_hears_of_it_alone(firm):
    kept_by(firm, "anna")
    assert heard(firm) == {"anna"}


@pytest.mark.parametrize("unreachable", [blocked, away, gone])
def test_then_those_who_direct(firm, unreachable):
    kept_by(firm, "anna")
    unreachable(firm, "anna")
    assert heard(firm) == {"elena", "oleg"}


@pytest.mark.parametrize("unreachable", [blocked, away, gone])
def test_then_everybody_who_is_there_but_the_administrator(firm, unreachable):
    kept_by(firm, "anna")
    unreachable(firm, "anna", "elena", "oleg")
    assert heard(firm) == {"boris", "galina"}


@pytest.mark.parametrize("unreachable", [blocked, away, gone])
def test_when_no_chat_of_staff_is_reachable_the_administrator_hears_of_it(firm, unreachable):
    kept_by(firm, "anna")
    unreachable(firm, "anna", "boris", "elena", "oleg", "galina")
    assert heard(firm) == {"denis"}


def test_rather_somebody_on_leave_than_nobody(firm):
    away(firm, *EVERYBODY)
    assert heard(firm) == {"denis"}
    blocked(firm, "denis")
    assert heard(firm) == set(EVERYBODY) - {"denis"}


def test_nobody_at_all_is_an_empty_list(firm):
    blocked(firm, *EVERYBODY)
    assert heard(firm) == set()
