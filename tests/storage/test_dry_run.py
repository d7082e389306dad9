"""What the dry run is told of the past month, on both engines."""

from datetime import timedelta

import pytest
from sqlmodel import select

from router.dry_run import compare
from router.rules import OUR_WEIGHTS, RuleWeights
from storage import casework, dry_run
from storage.models import Absence, Client, Request, Shift, metadata
from tests.storage.firm import WEDNESDAY, Firm

DAY = timedelta(days=1)


@pytest.fixture
def firm(database):
    return Firm.open(database)


def recalled(firm):
    with firm.database.read() as session:
        return dry_run.recall(session, firm.house, firm.clock)


def change(firm, number, **values):
    with firm.database.begin() as session:
        row = session.get_one(Request, number)
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)


def carry_out(firm, number, key, **time):
    firm.do(casework.accept, key, number)
    firm.clock += timedelta(**time)
    firm.do(casework.done, key, number, "Готово", ())


def test_requests_come_in_their_order_with_the_time_they_took(firm):
    first = firm.submitted_to("anna")
    carry_out(firm, first, "anna", minutes=40)
    firm.clock += timedelta(minutes=5)
    second = firm.submit()
    firm.clock += timedelta(minutes=15)
    found = recalled(firm)
    assert [each.work.request_id for each in found.past.works] == [first, second]
    assert [each.company for each in found.past.works] == [firm.request(first).company] * 2
    done, going_on = found.past.works
    assert done.taken_seconds == 40 * 60
    assert going_on.taken_seconds == 40 * 60, "as long as its kind usually takes"
    firm.clock += timedelta(hours=1)
    assert recalled(firm).past.works[1].taken_seconds == 75 * 60, "not less than it has taken already"


def test_only_the_last_thirty_days_and_at_most_so_many(firm, monkeypatch):
    numbers = [firm.submit() for _number in range(4)]
    change(firm, numbers[0], submitted_at=firm.clock - 31 * DAY)
    found = recalled(firm)
    assert [each.work.request_id for each in found.past.works] == numbers[1:]
    assert not found.cut
    monkeypatch.setattr(dry_run, "MAX_REQUESTS", 2)
    found = recalled(firm)
    assert [each.work.request_id for each in found.past.works] == numbers[2:], "the newest"
    assert found.cut
    assert found.since == firm.request(numbers[2]).submitted_at


def test_people_come_with_their_shifts_absences_and_what_they_held(firm):
    old, older = firm.submitted_to("anna"), firm.submitted_to("anna")
    firm.do(casework.accept, "anna", old)
    change(firm, old, submitted_at=firm.clock - 40 * DAY, assigned_at=firm.clock - 39 * DAY)
    change(
        firm, older, submitted_at=firm.clock - 60 * DAY, assigned_at=firm.clock - 60 * DAY, status="done",
        done_at=firm.clock - 50 * DAY,
    )  # fmt: skip
    with firm.database.begin() as session:
        session.add(Absence(staff_id=firm.staff["boris"], starts_at=WEDNESDAY - DAY, ends_at=WEDNESDAY + DAY))
        session.add(Shift(staff_id=firm.staff["anna"], kind="pause", started_at=WEDNESDAY))
    people = {person.card.name: person for person in recalled(firm).past.people}
    anna, boris = (
        next(person for person in people.values() if person.card.staff_id == firm.staff[key])
        for key in ("anna", "boris")
    )
    assert len(anna.shifts) == len(boris.shifts) == 1, "a pause is no shift"
    assert [(span.starts_at, span.ends_at) for span in boris.absences] == [(WEDNESDAY - DAY, WEDNESDAY + DAY)]
    assert [(span.starts_at, span.ends_at) for span in anna.held] == [(firm.clock - 39 * DAY, None)]
    assert all(person.card.role.takes_requests for person in people.values())


def test_the_cancelled_is_not_late_and_the_keeper_of_the_books_is_known(firm):
    number = firm.submit()
    firm.do(casework.cancel, "elena", number, "передумали")
    with firm.database.begin() as session:
        client = session.exec(select(Client).where(Client.id == firm.request(number).client_id)).one()
        client.responsible_id = firm.staff["boris"]
        session.add(client)
    each = recalled(firm).past.works[0]
    assert (each.can_be_late, each.work.responsible_id) == (False, firm.staff["boris"])


def test_it_changes_nothing(firm):
    for _number in range(5):
        firm.submit()

    def everything():
        with firm.database.read() as session:
            return {
                name: sorted(map(str, session.connection().execute(table.select()).all()))
                for name, table in metadata.tables.items()
            }

    before = everything()
    found = compare(recalled(firm).past, OUR_WEIGHTS, RuleWeights(skill=0, no_skill=0, open_request=0))
    assert found.considered == 5
    assert everything() == before


def test_a_firm_without_people_or_requests_can_be_tried(database):
    firm = Firm(database)
    found = compare(recalled(firm).past, OUR_WEIGHTS, RuleWeights(skill=0))
    assert (found.considered, found.shares) == (0, ())
