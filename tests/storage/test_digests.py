"""The summaries of the day: when, to whom, once, and what they say."""

from datetime import datetime, time

import pytest
from sqlalchemy import update

from notifications.digest import Occasion
from router.worktime import WorkCalendar
from storage import casework
from storage.digests import occasion_at, send_digests
from storage.models import Chat, Letter, Staff
from tests.storage.firm import MINUTE, MOSCOW, WEDNESDAY, Firm

CALENDAR = WorkCalendar(MOSCOW, time(9), time(18), (time(13), time(14)))


def local(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=MOSCOW)


@pytest.mark.parametrize(
    ("at", "due"),
    [
        (local(25, 8, 59, 59), None),
        (local(25, 9), Occasion.MORNING),
        (local(25, 10, 59, 59), Occasion.MORNING),
        (local(25, 11), None),
        (local(25, 13, 30), None),
        (local(25, 17, 59, 59), None),
        (local(25, 18), Occasion.EVENING),
        (local(25, 19, 59), Occasion.EVENING),
        (local(25, 20), None),
        (local(28, 9), None),
        (local(29, 18), None),
        (local(3, 17), Occasion.EVENING),
        (local(4, 9), None),
    ],
    ids=str,
)
def test_a_summary_is_due_for_two_hours_of_a_working_day(at, due):
    found = occasion_at(CALENDAR, at)
    assert (found and found[0]) == due
    assert found is None or found[1] == at.date()


def test_an_evening_that_ends_after_midnight_is_of_its_own_day():
    late = WorkCalendar(MOSCOW, time(9), time(23, 30))
    assert occasion_at(late, local(26, 0, 30)) == (Occasion.EVENING, local(25, 0).date())
    assert occasion_at(late, local(26, 1, 30)) is None


class Digested(Firm):
    def digests(self) -> int:
        with self.database.begin() as session:
            return send_digests(session, self.house, self.clock)

    def at(self, day: int, hour: int, minute: int = 0) -> None:
        self.clock = local(day, hour, minute).astimezone(WEDNESDAY.tzinfo)

    def summaries(self, key: str) -> list[Letter]:
        return [row for row in self.letters(key) if row.key.startswith("digest:")]


@pytest.fixture
def firm(database):
    return Digested.open(database)


async def test_each_director_gets_each_summary_once(firm):
    firm.at(26, 9)
    assert firm.digests() == 2
    assert firm.digests() == 0
    firm.clock += 30 * MINUTE
    assert firm.digests() == 0
    firm.at(26, 18)
    assert firm.digests() == 2
    firm.at(27, 9, 59)
    assert firm.digests() == 2
    assert len(firm.summaries("elena")) == len(firm.summaries("oleg")) == 3
    for nobody in ("anna", "boris", "galina", "maria"):
        assert firm.summaries(nobody) == []


async def test_nobody_gets_a_summary_that_is_late(firm):
    firm.at(26, 11)
    assert firm.digests() == 0
    firm.at(28, 10)
    assert firm.digests() == 0


async def test_whoever_does_not_want_it_or_has_no_chat_or_has_left_gets_none(firm):
    firm.change(Staff, firm.staff["elena"], digest=False)
    firm.at(26, 9)
    assert firm.digests() == 1
    assert firm.summaries("elena") == []
    firm.change(Staff, firm.staff["elena"], digest=True, active=False)
    firm.change(Chat, firm.chats["oleg"], blocked_at=firm.clock)
    firm.at(26, 18)
    assert firm.digests() == 0


async def test_the_morning_says_what_there_is_to_do(firm):
    firm.at(25, 12)
    numbers = [firm.accepted_by("anna", hours=hours) for hours in (30, 3, 90, 45, 60, 80)]
    firm.do(casework.clarify, "anna", numbers[2], "task", "Какой счёт?")
    firm.nobody_works()
    waiting = firm.submit(hours=40)
    firm.do(casework.reassign, "elena", waiting, firm.staff["boris"], "")
    firm.at(26, 9, 1)
    assert firm.digests() == 2
    (letter,) = firm.summaries("elena")
    text = letter.text
    assert "Назначены, не приняты: 1" in text
    assert "В работе: 5" in text
    assert "Ждут клиента: 1" in text
    assert "просрочено 1" in text
    urgent = [line for line in text.splitlines() if line.startswith("№")]
    assert [line.split()[1] for line in urgent] == [
        str(number) for number in (numbers[1], numbers[0], waiting, numbers[3], numbers[4])
    ]
    assert "просрочена" in urgent[0]
    assert "Анна Петрова" in urgent[1]
    labels = [label for row in letter.rows for label, *_press in row]
    assert labels == [f"№ {n}" for n in (numbers[1], numbers[0], waiting, numbers[3], numbers[4])] + ["Доска"]
    assert firm.row(Chat, id=firm.chats["elena"]).screen


async def test_the_evening_says_what_the_day_brought(firm):
    firm.at(25, 12)
    old = firm.accepted_by("anna")
    firm.at(26, 10)
    for _count in range(2):
        firm.submit()
    firm.do(casework.done, "anna", old, "Готово", ())
    with firm.database.begin() as session:
        session.execute(update(Letter).where(Letter.state == "todo").values(state="sent"))
    firm.at(26, 18)
    firm.digests()
    (letter,) = firm.summaries("oleg")
    assert "подано 2, выполнено 1" in letter.text
    assert "Готовы, ждут слова клиента: 1" in letter.text


async def test_an_empty_firm_is_told_so(firm):
    firm.at(26, 9)
    firm.digests()
    assert "Открытых заявок нет." in firm.summaries("elena")[0].text


async def test_two_processes_send_it_once(firm):
    import asyncio

    firm.at(26, 9)
    await asyncio.gather(*(asyncio.to_thread(firm.digests) for _process in range(3)))
    assert len(firm.summaries("elena")) == len(firm.summaries("oleg")) == 1
