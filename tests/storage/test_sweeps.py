"""What the timers set off, each thing once, however often they look."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from router.desk import DeskError
from storage import casework, reports
from storage.models import Absence, Assignment, CallTask, Chat, History, Letter, Request, Staff
from storage.sweeps import Swept, Unreachable, sweep
from tests.storage.firm import MINUTE, MOSCOW, WEDNESDAY, Firm, house

NOTHING = Swept()


class Watched(Firm):
    def sweep(self):
        self.deliver()
        with self.database.begin() as session:
            return sweep(session, self.house, self.clock)

    def deliver(self):
        """Messengers do their work: nothing waits for them."""
        with self.database.begin() as session:
            session.execute(
                update(Letter).where(Letter.state == "todo").values(state="sent", sent_at=self.clock)
            )

    def at(self, day, hour, minute=0):
        self.clock = datetime(2026, 11, day, hour, minute, tzinfo=MOSCOW).astimezone(WEDNESDAY.tzinfo)


@pytest.fixture
def firm(database):
    opened = Watched.open(database)
    yield opened
    assert not opened.sweep().anything, "a second sweep must find nothing to do"
    opened.check()


async def test_who_does_not_accept_in_time_loses_it_and_the_directors_hear(firm):
    number = firm.submitted_to("anna")
    letters = len(firm.rows(Letter))
    firm.clock += 15 * MINUTE - timedelta(seconds=1)
    assert firm.sweep() == NOTHING
    firm.clock += timedelta(seconds=1)
    assert firm.sweep() == Swept(escalated=1)
    assert firm.request(number).assignee_id == firm.staff["boris"]
    assert firm.told(letters) == [
        ("anna", "late"), ("boris", "card"), ("elena", "escalated"), ("maria", "reassigned"),
        ("oleg", "escalated"),
    ]  # fmt: skip
    assert "Анна" in firm.letters("elena")[0].text
    assert [(row.by, row.declined) for row in firm.rows(Assignment)] == [("router", True), ("timer", False)]
    letters = len(firm.rows(Letter))
    firm.clock += 15 * MINUTE
    assert firm.sweep() == Swept(escalated=1)
    assert (firm.request(number).status, firm.request(number).assignee_id) == ("new", None)
    assert firm.told(letters) == [("boris", "late"), ("elena", "escalated"), ("oleg", "escalated")]


async def test_the_night_and_the_lunch_do_not_count(firm):
    firm.at(25, 17, 50)
    number = firm.submitted_to("anna", hours=30)
    firm.at(26, 9, 4)
    assert firm.sweep() == NOTHING
    firm.at(26, 9, 5)
    assert firm.sweep() == Swept(escalated=1)
    assert firm.request(number).assignee_id == firm.staff["boris"]


async def test_who_accepts_at_the_same_moment_either_has_it_or_learns_that_it_is_gone(firm):
    numbers = [firm.submitted_to("anna") for _number in range(4)]
    firm.clock += 15 * MINUTE

    def accept():
        taken = 0
        for number in numbers:
            try:
                firm.do(casework.accept, "anna", number)
                taken += 1
            except DeskError:
                pass
        return taken

    taken, *swept = await asyncio.gather(
        *(asyncio.to_thread(work) for work in (accept, firm.sweep, firm.sweep))
    )
    assert taken + sum(each.escalated for each in swept) == 4
    assert len(firm.rows(Request, assignee_id=firm.staff["anna"])) == taken


async def test_whoever_begins_a_shift_gets_the_nearest_deadline_first(firm):
    firm.nobody_works()
    for hours in (9, 3, 6):
        firm.submit(hours=hours)
    letters = len(firm.rows(Letter))
    firm.change(Staff, firm.staff["anna"], capacity=2)
    assert firm.sweep() == NOTHING
    firm.starts("anna")
    assert firm.sweep() == Swept(picked_up=2)
    assert [(row.id, row.assignee_id) for row in firm.rows(Request)] == [
        (1, None), (2, firm.staff["anna"]), (3, firm.staff["anna"])
    ]  # fmt: skip
    cards = [row.request_id for row in firm.rows(Letter)[letters:] if ":card:" in row.key]
    assert cards == [2, 3]
    assert firm.told(letters).count(("maria", "assigned")) == 2


async def test_an_absent_person_gets_nothing_even_on_shift(firm):
    with firm.database.begin() as session:
        for key in ("anna", "boris"):
            session.add(
                Absence(staff_id=firm.staff[key], starts_at=WEDNESDAY, ends_at=WEDNESDAY + timedelta(hours=1))
            )
    firm.submit()
    assert firm.sweep() == NOTHING
    firm.clock += timedelta(hours=1)
    assert firm.sweep() == Swept(picked_up=1)


def done(firm, key="anna"):
    number = firm.accepted_by(key)
    firm.do(casework.done, key, number, "Готово", ())
    return number


async def test_silence_closes_after_three_working_days(firm):
    number = done(firm)
    # Wednesday; the weekend does not count: Thursday, Friday, Monday.
    firm.at(30, 17, 59)
    assert firm.sweep() == NOTHING
    firm.at(30, 18)
    letters = len(firm.rows(Letter))
    assert firm.sweep() == Swept(closed=1)
    assert (firm.request(number).status, firm.request(number).closed_at) == ("closed", firm.clock)
    assert firm.told(letters) == [("maria", "closed")]
    assert [row.through for row in firm.rows(History, action="closed")] == ["timer"]


async def test_what_the_firm_owes_an_answer_is_never_closed(firm):
    number = done(firm)
    firm.do(casework.add, "maria", number, "А где чек?", ())
    firm.clock += timedelta(days=60)
    assert firm.sweep() == NOTHING
    firm.do(casework.answer, "anna", number, "Вот чек", ())
    assert firm.sweep() == Swept(closed=1)


async def test_a_thank_you_does_not_keep_it_open(firm):
    number = done(firm)
    firm.do(casework.add, "maria", number, "Спасибо", (), needs_answer=False)
    firm.clock += timedelta(days=10)
    assert firm.sweep() == Swept(closed=1)


async def test_what_was_taken_up_again_waits_anew(firm):
    number = done(firm)
    firm.clock += timedelta(days=1)
    firm.do(casework.reopen, "maria", number, "Не то")
    firm.clock += timedelta(days=10)
    assert firm.sweep() == NOTHING


async def test_how_many_days_is_the_firms_own_matter(firm):
    firm.house = house(close_after_working_days=1)
    done(firm)
    firm.at(26, 18)
    assert firm.sweep() == Swept(closed=1)


async def test_a_client_whom_no_letter_reaches_is_telephoned(firm):
    number = firm.submitted_to("anna")
    receipt = firm.letters("maria")[0]
    firm.change(Letter, receipt.id, state="failed", reason="Чат закрыт")
    before = len(firm.letters("anna"))
    assert firm.sweep() == Swept(moved=1)
    call = firm.row(CallTask)
    assert (call.letter_id, call.request_id, call.reason) == (receipt.id, number, "Чат закрыт")
    assert len(firm.letters("anna")) == before + 1
    assert firm.sweep() == NOTHING


async def test_of_staff_who_are_not_reached_the_directors_hear_once_a_day(firm):
    number = firm.submitted_to("anna")
    cards = firm.letters("anna")
    for card in cards:
        firm.change(Letter, card.id, state="failed", reason="Чат закрыт")
    assert firm.sweep() == Swept(alarms=1)
    alarms = [row for row in firm.rows(Letter) if row.key.startswith("undelivered:")]
    assert sorted(row.person_id for row in alarms) == sorted(firm.people[key] for key in ("elena", "oleg"))
    assert {row.request_id for row in alarms} == {number}
    assert all("Чат закрыт" in row.text and "Анна Петрова" in row.text for row in alarms)
    firm.change(Letter, alarms[0].id, state="failed")
    assert firm.sweep() == NOTHING
    firm.clock += timedelta(days=1)
    assert firm.sweep().alarms == 0


async def test_without_a_director_in_a_chat_the_alarm_waits_for_one(firm):
    firm.submitted_to("anna")
    firm.change(Letter, firm.letters("anna")[-1].id, state="failed")
    for key in ("elena", "oleg"):
        firm.change(Chat, firm.chats[key], blocked_at=WEDNESDAY)
    assert firm.sweep() == NOTHING
    firm.change(Chat, firm.chats["oleg"], blocked_at=None)
    assert firm.sweep() == Swept(alarms=1)


async def test_old_failures_raise_no_alarm(firm):
    firm.submitted_to("anna")
    firm.change(Letter, firm.letters("anna")[-1].id, state="failed")
    firm.change(Letter, firm.letters("maria")[0].id, state="failed")
    firm.do(casework.accept, "anna", 1)
    firm.clock += timedelta(days=2)
    swept = firm.sweep()
    assert (swept.alarms, firm.rows(CallTask)) == (0, [])


async def test_processes_that_sweep_at_once_do_everything_once(firm):
    firm.nobody_works()
    for _number in range(3):
        firm.submit()
    late = firm.submit()
    firm.do(casework.reassign, "elena", late, firm.staff["boris"], "")
    firm.clock += 20 * MINUTE
    firm.starts("anna")
    firm.change(Letter, firm.letters("boris")[0].id, state="failed")
    swept = await asyncio.gather(*(asyncio.to_thread(firm.sweep) for _number in range(4)))
    assert sum(each.picked_up for each in swept) == 3
    assert sum(each.escalated for each in swept) == 1
    assert sum(each.alarms for each in swept) == 1
    assert {row.assignee_id for row in firm.rows(Request)} == {firm.staff["anna"]}


# --- messengers that are down or too quiet -------------------------------------------------------


def _busy_messenger(firm, chats=3):
    """Strangers who wrote at this moment, in a messenger that is switched on."""
    firm.house = replace(firm.house, switched_on=frozenset({"vk"}), silent_after_hours=8)
    with firm.database.begin() as session:
        for number in range(chats):
            session.add(
                Chat(
                    channel="vk", chat_key=f"stranger {number}", user_key="u", created_at=firm.clock,
                    last_inbound_at=firm.clock,
                )
            )  # fmt: skip


async def test_a_messenger_that_does_not_answer_is_told_once(firm):
    down = Unreachable("vk", firm.clock, "status 502")
    with firm.database.begin() as session:
        assert sweep(session, firm.house, firm.clock, [down]).alarms == 2
    with firm.database.begin() as session:
        assert sweep(session, firm.house, firm.clock + MINUTE, [down]) == NOTHING
    with firm.database.begin() as session:
        other = Unreachable("vk", firm.clock + MINUTE, "noticed by another process")
        assert sweep(session, firm.house, firm.clock + 2 * MINUTE, [other]) == NOTHING
    assert "vk: не отвечает с 11:00" in firm.letters("elena")[0].text
    assert "502" not in firm.letters("elena")[0].text, "that stands in the panel"
    assert firm.letters("oleg")
    assert not firm.letters("anna")


async def test_a_busy_messenger_that_falls_silent_alarms_after_the_working_hours(firm):
    _busy_messenger(firm)
    firm.at(26, 10, 59)
    assert firm.sweep() == NOTHING
    firm.at(26, 11)
    assert firm.sweep() == Swept(alarms=2), "from 11:00 to 11:00 the next day are eight working hours"
    assert "vk" in firm.letters("elena")[0].text


@pytest.mark.parametrize("chats", [0, 2], ids=["never used", "used by few"])
async def test_the_silence_of_a_messenger_that_few_use_says_nothing(firm, chats):
    _busy_messenger(firm, chats)
    firm.at(27, 12)
    assert firm.sweep() == NOTHING


async def test_a_messenger_that_few_use_may_be_silent_for_longer(firm):
    _busy_messenger(firm, 2)
    firm.clock = datetime(2026, 12, 2, 10, 59, tzinfo=MOSCOW).astimezone(WEDNESDAY.tzinfo)
    assert firm.sweep() == NOTHING
    firm.clock += MINUTE
    assert firm.sweep() == Swept(alarms=2), "forty working hours are five days"


async def test_a_silence_is_not_forgotten_because_it_lasts(firm):
    _busy_messenger(firm)
    for day in (12, 24):
        now = datetime(2026, 12, day, 12, tzinfo=MOSCOW)
        with firm.database.read() as session:
            found = reports.figures(session, now)
        assert found.suspicious_hours("vk", firm.house.calendar, now, 8) >= 88


async def test_at_night_no_silence_is_told(firm):
    _busy_messenger(firm)
    firm.at(27, 20)
    assert firm.sweep() == NOTHING


async def test_a_messenger_that_is_switched_off_may_be_silent(firm):
    _busy_messenger(firm)
    firm.house = replace(firm.house, switched_on=frozenset())
    firm.at(27, 12)
    assert firm.sweep() == NOTHING
