"""Who writes too fast: strangers are dropped, clients are kept, staff are let be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.intake import Arrival
from bots.pace import ChatPace, Pace
from bots.throttle import Throttle
from forms.messages import InboundKind
from storage.models import Message
from tests.client import WEDNESDAY, Town

SECOND = timedelta(seconds=1)


@pytest.fixture
def town(tmp_path):
    opened = Town.open(tmp_path)
    yield opened
    opened.database.sync_engine.dispose()


async def write(town, talker, pace: ChatPace, count: int, *, every=timedelta(0)) -> list[str]:
    """So many messages in a row, through the same two steps as the service's own."""
    for number in range(count):
        inbound = talker.inbound(InboundKind.TEXT, text=f"слово {number}")
        paced = pace.of(inbound, town.clock)
        applied = await town.intake.apply([Arrival(inbound, paced, pace.tells(inbound, paced, town.clock))])
        town._settle(applied.letters)
        town.clock += every
    await town.deliver()
    return talker.hears()


def exhaust(town, talker, pace: ChatPace) -> None:
    """So many messages that the next one is a flood."""
    while pace.of(talker.inbound(InboundKind.TEXT, text="а"), town.clock) is not Pace.FLOOD:
        pass


async def test_a_stranger_is_braked_told_once_and_let_in_again(town):
    pace, stranger = ChatPace(), town.newcomer()
    heard = await write(town, stranger, pace, 45)
    assert len([text for text in heard if "Подождите минуту" in text]) == 1
    assert "слово" not in town.everything_stored()
    town.pass_time(minutes=1)
    assert "согласие" in (await write(town, stranger, pace, 1))[-1]


async def test_a_client_is_never_dropped(town):
    pace, maria = ChatPace(), await town.client()
    exhaust(town, maria, pace)
    heard = await write(town, maria, pace, 20)
    assert len(heard) == len([text for text in heard if "Слова мы сохранили" in text]) == 1
    assert len([row for row in town.rows(Message) if row.text.startswith("слово")]) == 20


async def test_staff_may_write_as_they_like(town):
    pace, anna = ChatPace(), await town.staff("Анна Петрова")
    exhaust(town, anna, pace)
    heard = await write(town, anna, pace, 5)
    assert len(heard) == 5
    assert not [text for text in heard if "Подождите" in text]


async def test_an_album_and_a_quick_typist_are_not_braked(town):
    pace, maria = ChatPace(), await town.client()
    assert not [text for text in await write(town, maria, pace, 40) if "Подождите" in text]
    assert not [text for text in await write(town, maria, pace, 60, every=SECOND) if "Подождите" in text]


async def test_what_could_not_be_kept_does_not_count(town):
    pace, stranger = ChatPace(), town.newcomer()
    inbound = stranger.inbound(InboundKind.TEXT, text="а")
    for _number in range(500):
        paced = pace.of(inbound, town.clock)
        assert paced is Pace.EASY
        pace.not_kept(inbound, paced, town.clock, tells=False)


async def test_whoever_could_not_be_told_is_told_the_next_time(town):
    pace, stranger = ChatPace(), town.newcomer()
    inbound = stranger.inbound(InboundKind.TEXT, text="а")
    while (paced := pace.of(inbound, town.clock)) is Pace.EASY:
        pass
    for _number in range(2):
        assert pace.tells(inbound, paced, town.clock)
        pace.not_kept(inbound, paced, town.clock, tells=True)
    assert pace.tells(inbound, paced, town.clock)
    assert not pace.tells(inbound, paced, town.clock)


async def test_one_chat_does_not_slow_another(town):
    pace, loud, quiet = ChatPace(), town.newcomer("1"), town.newcomer("2", "Пётр")
    await write(town, loud, pace, 60)
    assert "согласие" in (await write(town, quiet, pace, 1))[-1]


async def test_proofs_of_delivery_are_not_counted(town):
    pace, maria = ChatPace(), town.newcomer()
    for _number in range(500):
        assert pace.of(maria.inbound(InboundKind.DELIVERY), town.clock) is Pace.EASY
    assert pace.of(maria.inbound(InboundKind.TEXT, text="а"), town.clock) is Pace.EASY


# --- the bucket itself ----------------------------------------------------------------------------------


def test_memory_is_bounded_and_the_longest_silent_are_forgotten():
    brake = Throttle(per_minute=1, burst=1, remembered=100)
    assert brake.take("busy", WEDNESDAY)
    for number in range(1000):
        brake.take(f"10.0.{number}", WEDNESDAY)
        assert not brake.take("busy", WEDNESDAY)
    assert len(brake) == 100


@given(
    per_minute=st.integers(1, 600),
    burst=st.integers(1, 300),
    steps=st.lists(st.floats(0, 30), min_size=1, max_size=200),
)
def test_no_more_passes_than_the_rate_and_the_burst_allow(per_minute, burst, steps):
    brake, now, passed = Throttle(per_minute, burst), WEDNESDAY, 0
    for step in steps:
        now += timedelta(seconds=step)
        passed += brake.take("key", now)
    seconds = (now - WEDNESDAY).total_seconds()
    assert passed <= burst + seconds * per_minute / 60 + 1e-6


@given(st.integers(1, 100), st.floats(0.5, 50))
def test_whoever_waits_as_long_as_told_passes(per_minute, cost):
    brake = Throttle(per_minute, burst=60)
    brake.spend("key", WEDNESDAY, 60)
    wait = timedelta(seconds=brake.wait_seconds("key", WEDNESDAY, cost) + 0.001)
    assert brake.take("key", WEDNESDAY + wait, cost)


def test_a_clock_that_goes_back_locks_nobody_out():
    brake = Throttle(per_minute=60, burst=1)
    assert brake.take("key", WEDNESDAY)
    assert not brake.take("key", WEDNESDAY - timedelta(hours=1))
    assert brake.take("key", WEDNESDAY - timedelta(hours=1) + SECOND)
