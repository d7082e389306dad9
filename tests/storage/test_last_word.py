"""Whom the service tells when it cannot write letters, and how often."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from app.last_word import LastWord
from notifications.outbox import Blocked, Sent
from storage.models import Chat
from storage.troubles import Cause, Trouble
from tests.storage.firm import Firm, house


@dataclass
class Messenger:
    """Takes what it is given, or refuses all of it."""

    outcome: object = field(default_factory=Sent)
    given: list = field(default_factory=list)

    async def send(self, parcel):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        self.given.append(parcel)
        return self.outcome


@pytest.fixture
def firm(database) -> Firm:
    firm = Firm.open(database)
    with database.begin() as session:
        for name in ("elena", "anna"):
            session.add(
                Chat(
                    channel="max", chat_key=f"{name}-max", user_key=name, person_id=firm.people[name], rank=9,
                    created_at=firm.clock,
                )
            )  # fmt: skip
            session.add(
                Chat(
                    channel="vk", chat_key=f"{name}-vk", user_key=name, person_id=firm.people[name], rank=8,
                    created_at=firm.clock,
                )
            )  # fmt: skip
    return firm


async def after(firm, word, trouble, *waits):
    for wait in waits:
        await word.look(firm.database, house(), trouble, firm.clock + wait)


def keys(messenger):
    return [parcel.chat_key for parcel in messenger.given]


MINUTES = [timedelta(minutes=minutes) for minutes in range(65)]


async def test_after_a_minute_and_once_an_hour_for_a_cause(firm):
    vk, largest = Messenger(), Messenger()
    word = LastWord({"vk": vk, "max": largest}, lambda: True)
    await after(firm, word, None, timedelta(0))
    await after(firm, word, Trouble(Cause.FULL, firm.clock), timedelta(seconds=59))
    assert vk.given == []
    await after(firm, word, Trouble(Cause.FULL, firm.clock), *MINUTES)
    assert keys(vk) == ["elena-vk"] * 2
    assert len({parcel.key for parcel in vk.given}) == 2
    assert "На диске кончилось место" in vk.given[0].text
    await after(firm, word, Trouble(Cause.DAMAGED, firm.clock), *MINUTES[:30])
    assert len(vk.given) == 3
    assert largest.given == []


@pytest.mark.parametrize("refusal", [Blocked(), OSError("no route")])
async def test_the_next_chat_is_tried_when_one_does_not_take_it(firm, refusal):
    largest = Messenger()
    word = LastWord({"vk": Messenger(refusal), "max": largest}, lambda: True)
    await after(firm, word, None, timedelta(0))
    await after(firm, word, Trouble(Cause.GONE, firm.clock), timedelta(minutes=2))
    assert keys(largest) == ["elena-max"]


async def test_of_two_processes_the_one_that_did_the_timers_tells(firm):
    vk, is_ours = Messenger(), [True, False]
    words = [LastWord({"vk": vk}, lambda number=number: is_ours[number]) for number in range(2)]
    for word in words:
        await after(firm, word, None, timedelta(0))
    is_ours[0] = False  # what cannot be renewed is lost
    for word in words:
        await after(firm, word, Trouble(Cause.GONE, firm.clock), timedelta(minutes=2))
    assert keys(vk) == ["elena-vk"]


async def test_whom_to_tell_is_read_even_then_when_the_trouble_came_first(firm):
    vk = Messenger()
    word = LastWord({"vk": vk}, lambda: True)
    await after(firm, word, Trouble(Cause.DAMAGED, firm.clock), timedelta(0), timedelta(minutes=2))
    assert keys(vk) == ["elena-vk"]
