"""Rates and turns, on a clock that is a number."""

import math
import random
from bisect import bisect_right
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.pacing import Gate, Pace, Turns

NO_LIMIT = Pace(math.inf)


def gate(rate=30.0, burst=1, chat_rate=math.inf, chat_burst=1):
    return Gate(Pace(rate, burst), Pace(chat_rate, chat_burst))


def most_in_a_second(moments):
    return max(bisect_right(moments, start + 1.0) - index for index, start in enumerate(moments))


def send_all(gate, number, *, chat=lambda index: index, start=0.0, late=lambda: 0.0):
    """Send as soon as the gate allows, by timers that fire `late()` seconds late."""
    moments, now = [], start
    for index in range(number):
        opens_at = gate.earliest(now, chat(index))
        now = opens_at + (late() if opens_at > now else 0.0)
        gate.spend(now, chat(index))
        moments.append(now)
    return moments


@pytest.mark.parametrize(
    ("rate", "burst"), [(0, 1), (-1, 1), (math.nan, 1), (30, 0)], ids=["zero", "negative", "nan", "no-burst"]
)
def test_a_pace_without_sense_is_refused(rate, burst):
    with pytest.raises(ValueError, match="A pace needs"):
        Pace(rate, burst)


def test_an_infinite_rate_never_waits():
    assert send_all(gate(rate=math.inf), 1000, chat=lambda _: 1) == [0.0] * 1000


@given(
    rate=st.integers(1, 200),
    waits=st.lists(st.one_of(st.just(0.0), st.floats(0.0, 0.02), st.floats(0.0, 3.0)), max_size=300),
)
def test_no_second_holds_more_than_the_rate_and_one(rate, waits):
    channel = gate(rate=rate)
    now, moments = 0.0, []
    for wait in waits:
        now = channel.earliest(now, 1) + wait
        channel.spend(now, 1)
        moments.append(now)
    if moments:
        assert most_in_a_second(moments) <= rate + 1


@given(st.floats(5.0, 80.0), st.integers(0, 2**32))
def test_late_timers_cost_no_rate(rate, seed):
    spread = random.Random(seed)
    channel = gate(rate=rate)
    lateness = Pace(rate).catch_up_seconds
    moments = send_all(channel, 300, late=lambda: spread.uniform(0, lateness))
    assert moments[-1] <= 299 / rate + lateness


def test_the_pace_is_exact():
    moments = send_all(gate(rate=20), 201)
    assert moments[-1] == pytest.approx(10.0, abs=Pace(20).catch_up_seconds + 1e-6)
    assert min(after - before for before, after in pairwise(moments[2:])) == pytest.approx(0.05)


def test_a_burst_leaves_at_once_and_then_at_the_rate():
    moments = send_all(gate(rate=10, burst=5), 10, start=7.0)
    assert moments[:5] == [7.0] * 5
    assert moments[-1] == pytest.approx(7.5, abs=Pace(10).catch_up_seconds + 1e-6)


def test_a_chat_waits_for_its_own_rate_only():
    both = gate(rate=100, chat_rate=1)
    both.spend(0.0, 1)
    assert both.earliest(0.02, 1) == pytest.approx(1.0)
    assert both.earliest(0.02, 2) == 0.02


def test_a_chat_pays_from_when_the_messenger_heard_it():
    both = gate(rate=100, chat_rate=1)
    both.spend(0.0, 1)
    both.heard(0.2, 1)
    assert both.earliest(0.2, 1) == pytest.approx(1.2)
    both.heard(0.1, 1)
    assert both.earliest(0.2, 1) == pytest.approx(1.2)


@pytest.mark.parametrize("burst", [1, 20])
def test_a_silence_holds_in_its_scope_and_ends_without_a_burst(burst):
    whole = gate(rate=10, burst=burst)
    whole.pause_channel(5.0)
    moments = send_all(whole, 11)
    assert moments[0] == pytest.approx(5.0)
    assert moments[-1] == pytest.approx(6.0)
    of_chat = gate(rate=1000, burst=50, chat_rate=2, chat_burst=burst)
    of_chat.pause_chat(5.0, 1)
    assert of_chat.earliest(0.0, 2) == 0.0
    assert send_all(of_chat, 3, chat=lambda _: 1) == pytest.approx([5.0, 5.5, 6.0])


def test_a_shorter_silence_does_not_end_a_longer_one():
    both = gate(chat_rate=1)
    both.pause_channel(9.0)
    both.pause_channel(2.0)
    both.pause_chat(11.0, 1)
    both.pause_chat(3.0, 1)
    assert both.earliest(0.0, 2) == pytest.approx(9.0)
    assert both.earliest(0.0, 1) == pytest.approx(11.0)


def test_idle_chats_are_forgotten():
    both = gate(rate=1000, chat_rate=1)
    send_all(both, 50_000)
    assert len(both) < 5_000


def queue(rate=10.0, chat_rate=1.0):
    return Turns(gate(rate=rate, chat_rate=chat_rate))


def serve(turns, until, *, letters=None, urgent=()):
    """Send whenever it is somebody's turn; chats with letters left come back at once."""
    left = dict(letters or {})
    served, now = [], 0.0
    while (opens_at := turns.opens_at(now)) is not None and opens_at <= until:
        now = opens_at
        chat = turns.take(now)
        if chat is None:
            continue
        turns.gate.spend(now, chat)
        served.append((now, chat))
        left[chat] = left.get(chat, 1) - 1
        if left[chat]:
            turns.enter(now, chat, since=0.0, left=left[chat], urgent=chat in urgent)
    return served


def enter(turns, *chats, since=0.0, left=1, urgent=False):
    for chat in chats:
        turns.enter(since, chat, since=since, left=left, urgent=urgent)


def test_first_come_first_served():
    turns = queue()
    for place, chat in enumerate((5, 3, 9)):
        enter(turns, chat, since=place / 100)
    assert [chat for _, chat in serve(turns, 10)] == [5, 3, 9]
    assert len(turns) == 0
    assert turns.opens_at(10) is None


def test_an_urgent_chat_is_next_in_the_middle_of_a_mailing():
    turns = queue()
    enter(turns, *range(100))
    served = serve(turns, 0.9)
    enter(turns, 777, since=0.95, urgent=True)
    assert len(served) == 10
    opens_at = turns.opens_at(0.95)
    assert turns.take(opens_at) == 777


def test_a_promoted_chat_is_next_and_comes_once():
    turns = queue()
    enter(turns, *range(100))
    turns.promote(42)
    turns.promote(42)
    turns.promote(100_500)
    order = [chat for _, chat in serve(turns, 100)]
    assert order[0] == 42
    assert sorted(order) == list(range(100))


def test_a_chat_promoted_while_it_waits_for_its_own_rate_is_next_then():
    turns = queue(rate=10, chat_rate=1)
    turns.gate.spend(-0.5, 7)
    enter(turns, 7, *range(100, 120))
    turns.promote(7)
    assert dict(map(reversed, serve(turns, 10)))[7] == pytest.approx(0.5, abs=0.11)


def test_mailings_are_not_starved_by_answers():
    turns = queue(rate=10, chat_rate=math.inf)
    enter(turns, *range(100), urgent=True)
    enter(turns, 500, 501)
    order = [chat for _, chat in serve(turns, 100)]
    assert (order.index(500), order.index(501)) == (7, 15)


def test_nobodys_second_answer_passes_the_first_of_somebody_else():
    """134 chats write 7 or 8 times each within a second: 1000 answers."""
    turns, written = queue(rate=28, chat_rate=1), deque((place % 134, place / 1000) for place in range(1000))
    waiting: dict[int, deque[float]] = {}
    for chat, at in written:
        waiting.setdefault(chat, deque()).append(at)
        if len(waiting[chat]) == 1:
            turns.enter(at, chat, since=at, left=1, urgent=True)
    order, now = [], 1.0
    while (opens_at := turns.opens_at(now)) is not None:
        now = opens_at
        chat = turns.take(now)
        if chat is None:
            continue
        turns.gate.spend(now, chat)
        order.append(chat)
        waiting[chat].popleft()
        if waiting[chat]:
            turns.enter(now, chat, since=waiting[chat][0], left=len(waiting[chat]), urgent=True)
    assert len(order) == 1000
    assert sorted(order[:134]) == list(range(134))
    assert now <= 1000 / 28 + 2


def test_urgent_only_leaves_the_others_standing():
    turns = queue()
    enter(turns, 1)
    assert turns.take(0.0, urgent_only=True) is None
    assert turns.opens_at(0.0, urgent_only=True) is None
    enter(turns, 2, urgent=True)
    assert turns.take(0.0, urgent_only=True) == 2
    assert turns.take(0.0) == 1


def test_a_chat_that_left_is_not_served():
    turns = queue()
    enter(turns, 1, 2)
    turns.leave(1)
    turns.leave(1)
    assert [chat for _, chat in serve(turns, 10)] == [2]


@pytest.mark.parametrize("hot_first", [True, False])
def test_hot_chats_neither_block_others_nor_stay_alone_at_the_end(hot_first):
    """200 letters, 10 chats with 5 each: at 30/s they take 6.7 s, whoever came first."""
    turns = queue(rate=30, chat_rate=1)
    hot, others = range(10), range(100, 250)
    letters = dict.fromkeys(hot, 5)
    for chat in (*hot, *others) if hot_first else (*others, *hot):
        turns.enter(0.0, chat, since=0.0, left=letters.get(chat, 1), urgent=False)
    served = serve(turns, 100, letters=letters)
    assert len(served) == 200
    assert served[-1][0] <= 200 / 30 * 1.03
    for chat in hot:
        moments = [moment for moment, served_chat in served if served_chat == chat]
        assert all(after - before >= 1.0 - 1e-9 for before, after in pairwise(moments))


def test_a_long_queue_has_a_head_start_but_no_monopoly():
    turns = queue(rate=1, chat_rate=1)
    letters = dict.fromkeys(range(5), 1000)
    for chat in range(5):
        turns.enter(0.0, chat, since=0.0, left=1000, urgent=False)
    turns.enter(0.0, 99, since=-31.0, left=1, urgent=False)
    assert 99 in [chat for _, chat in serve(turns, 2, letters=letters)]
