"""Work that cannot wait is told once, to those who can do something about it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from router.model import Status
from storage import casework
from storage.models import Absence, Letter, Request
from storage.reminders import remind
from tests.storage.firm import MINUTE, MOSCOW, WEDNESDAY, Firm


class Watched(Firm):
    def look(self):
        """The timer looks; who was told what since."""
        before = len(self.rows(Letter))
        with self.database.begin() as session:
            remind(session, self.house, self.clock)
        names = {person_id: name for name, person_id in self.people.items()}
        return {names[row.person_id]: row.text for row in self.rows(Letter)[before:]}

    def at(self, day, hour, minute=0):
        self.clock = datetime(2026, 11, day, hour, minute, tzinfo=MOSCOW).astimezone(WEDNESDAY.tzinfo)

    def answered(self, number):
        """Nobody waits for a word of ours."""
        self.change(Request, number, unanswered_since=None)

    def waits_since(self, number, at):
        self.change(Request, number, unanswered_since=at)


@pytest.fixture
def firm(database):
    opened = Watched.open(database)
    assert opened.look() == {}, "the first look only begins"
    return opened


async def test_of_a_deadline_the_assignee_hears_before_and_the_directors_when_it_has_passed(firm):
    number = firm.accepted_by("anna", hours=5)
    firm.answered(number)
    assert firm.look() == {}
    firm.at(25, 14, 59)
    assert firm.look() == {}
    firm.at(25, 15, 0)
    assert firm.look() == {"anna": f"Заявка № {number}, ООО «Ромашка»: скоро срок, 16:00."}
    firm.at(25, 15, 30)
    assert firm.look() == {}
    firm.at(25, 16, 1)
    told = firm.look()
    late = f"Заявка № {number}, ООО «Ромашка»: срок прошёл (16:00)."
    assert told == {
        "anna": late,
        "elena": f"{late}\nВедёт: Анна Петрова",
        "oleg": f"{late}\nВедёт: Анна Петрова",
    }
    assert [button[0] for row in firm.letters("elena")[-1].rows for button in row] == [
        "Передать", "Напомнить", "Открыть",
    ]  # fmt: skip
    assert [button[0] for row in firm.letters("anna")[-1].rows for button in row] == [f"№ {number}"]
    firm.clock += 10 * MINUTE
    assert firm.look() == {}


async def test_what_passed_while_nobody_was_at_work_comes_in_one_letter_at_the_opening(firm):
    numbers = [firm.accepted_by("anna", hours=hours) for hours in (6.5, 6.75, 7)]
    for number in numbers:
        firm.answered(number)
    firm.at(25, 17, 0)
    firm.look()
    firm.at(25, 18, 30)
    assert firm.look() == {}
    firm.at(26, 9, 0)
    told = firm.look()
    assert set(told) == {"anna", "elena", "oleg"}
    assert told["anna"].splitlines() == [
        "Требуют внимания:",
        *(
            f"№ {number} ООО «Ромашка» — срок прошёл (25.11 {clock})"
            for number, clock in zip(numbers, ("17:30", "17:45", "18:00"), strict=True)
        ),
    ]
    assert told["elena"].count("Ведёт: Анна Петрова") == 3


async def test_a_client_who_waits_is_recalled_to_the_assignee_and_then_to_the_directors(firm):
    number = firm.accepted_by("anna", hours=24)
    firm.waits_since(number, firm.clock)
    firm.clock += 29 * MINUTE
    assert firm.look() == {}
    firm.clock += MINUTE
    waits = f"Заявка № {number}, ООО «Ромашка»: клиент ждёт ответа с 11:00."
    assert firm.look() == {"anna": waits}
    firm.clock += 29 * MINUTE
    assert firm.look() == {}
    firm.clock += MINUTE
    told = firm.look()
    assert set(told) == {"elena", "oleg"}
    assert told["elena"].startswith(waits)
    firm.at(25, 17, 0)
    assert firm.look() == {}


async def test_nobody_is_recalled_to_an_answered_client_or_to_an_unaccepted_request(firm):
    answered, given = firm.accepted_by("anna", hours=24), firm.submitted_to("boris", hours=24)
    firm.answered(answered)
    firm.waits_since(given, firm.clock)
    firm.clock += 90 * MINUTE
    assert firm.look() == {}


async def test_the_directors_hear_at_once_of_what_lies_with_somebody_absent(firm):
    number = firm.accepted_by("anna", hours=5)
    firm.waits_since(number, firm.clock)
    with firm.database.begin() as session:
        day = timedelta(days=1)
        session.add(
            Absence(
                staff_id=firm.staff["anna"], starts_at=firm.clock - day, ends_at=firm.clock + day,
                reason="", created_at=firm.clock,
            )
        )  # fmt: skip
    firm.clock += 30 * MINUTE
    assert firm.look()["elena"].endswith("Ведёт: Анна Петрова, сейчас отсутствует.")
    firm.answered(number)
    firm.at(25, 15, 0)
    told = firm.look()
    assert set(told) == {"anna", "elena", "oleg"}
    assert "скоро срок, 16:00" in told["oleg"]


async def test_what_nobody_has_is_told_to_the_directors(firm):
    firm.nobody_works()
    number = firm.submit(hours=5)
    assert firm.request(number).status == Status.NEW
    firm.at(25, 15, 0)
    told = firm.look()
    assert set(told) == {"elena", "oleg"}
    assert told["elena"].endswith("Заявка ни у кого.")


async def test_a_request_that_came_late_is_no_news(firm):
    firm.look()
    firm.clock += MINUTE
    firm.answered(firm.accepted_by("anna", hours=0.5))
    firm.clock += MINUTE
    assert firm.look() == {}


async def test_zero_switches_a_reminder_off(firm):
    firm.house = replace(firm.house, remind_before_minutes=0, answer_within_minutes=0)
    number = firm.accepted_by("anna", hours=5)
    firm.waits_since(number, firm.clock)
    firm.at(25, 15, 59)
    assert firm.look() == {}
    firm.at(25, 16, 1)
    assert set(firm.look()) == {"anna", "elena", "oleg"}


async def test_more_than_fit_are_counted(firm):
    for _each in range(10):
        firm.answered(firm.accepted_by("anna", hours=5))
    firm.at(25, 16, 1)
    told = firm.look()
    assert told["elena"].splitlines()[-1] == "И ещё 2: смотрите в панели."
    assert len([button for row in firm.letters("elena")[-1].rows for button in row]) == 8


async def test_finished_work_is_not_late(firm):
    number = firm.accepted_by("anna", hours=5)
    firm.do(casework.done, "anna", number, "готово", ())
    firm.answered(number)
    firm.at(25, 16, 1)
    assert firm.look() == {}
