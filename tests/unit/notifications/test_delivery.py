"""Delivery against a post office in memory, on a loop whose time leaps; nothing here waits."""

import asyncio
import math
import random
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from forms.messages import OutgoingFile
from notifications.delivery import Dispatcher
from notifications.outbox import (
    Blocked,
    Letter,
    LetterState,
    Parcel,
    Rejected,
    Retry,
    Sent,
    TokenRevoked,
    Unknown,
    WindowClosed,
)
from notifications.verdicts import BACK_OFF_SECONDS, Policy, judge
from storage.letters import LEASE_SECONDS
from tests.unit.notifications.office import EPOCH, Office, leap, monotonic, wall_clock


@dataclass(frozen=True, slots=True)
class Rates:
    messages_per_second: float = math.inf
    messages_burst: int = 1
    chat_messages_per_second: float = math.inf
    chat_burst: int = 1
    text_length: int = 1000


@dataclass(slots=True)
class Messenger:
    """Answers what `script` says, by letter key; what it took is in `taken` as (moment, chat, key)."""

    limits: Rates = field(default_factory=Rates)
    script: dict[str, list[object]] = field(default_factory=dict)
    delay_seconds: object = lambda: 0.01
    taken: list[tuple[float, str, str]] = field(default_factory=list)
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    in_flight: Counter = field(default_factory=Counter)
    most_in_flight: int = 0
    gate: object = None

    async def send(self, parcel):
        chat = parcel.chat_key
        self.in_flight[chat] += 1
        assert self.in_flight[chat] == 1, "two messages of one chat in flight"
        self.most_in_flight = max(self.most_in_flight, self.in_flight.total())
        self.asked.append((monotonic(), chat, parcel.key))
        try:
            delay_seconds = self.delay_seconds()
            await asyncio.sleep(delay_seconds / 2)
            outcome = self._answer(parcel)
            await asyncio.sleep(delay_seconds / 2)
        finally:
            self.in_flight[chat] -= 1
        if isinstance(outcome, Exception):
            raise type(outcome)(*outcome.args)
        return outcome

    def _answer(self, parcel):
        refusal = self.gate(parcel.chat_key) if self.gate else None
        if refusal is not None:
            return refusal
        waiting = self.script.get(parcel.key)
        outcome = waiting.pop(0) if waiting else Sent(f"m-{parcel.key}")
        if isinstance(outcome, Sent) or outcome == ARRIVED:
            self.taken.append((monotonic(), parcel.chat_key, parcel.key))
        return outcome

    def keys(self):
        return [key for _, _, key in self.taken]


ARRIVED = Unknown("arrived")
"""The messenger took the message and its answer was lost."""


def letter(number, chat=1, channel="telegram", **kwargs):
    kwargs.setdefault("text", f"text {number}")
    return Letter(number, str(number), chat, channel, f"chat-{chat}", **kwargs)


def whole(parcel, _limits):
    return (parcel,)


def dispatcher(post, fit=whole, jitter=lambda: 0.0, **kwargs):
    channels = kwargs.pop("channels", None) or {"telegram": kwargs.pop("messenger")}
    return Dispatcher(channels, post, wall_clock, monotonic, fit, jitter=jitter, **kwargs)


@asynccontextmanager
async def running(*dispatchers):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in dispatchers]
        yield tasks
        for task in tasks:
            task.cancel()


def deliver(office, messenger, **kwargs):
    """Run one process until every letter is finished."""

    async def scenario():
        post = office.as_process("one")
        async with running(dispatcher(post, messenger=messenger, **kwargs)):
            await office.finished()

    leap(scenario())


# What follows from an outcome.

FIRST, SECOND, THIRD = letter(1), letter(2), letter(3)


def verdict(outcome, *letters, policy=None, spread=0.0):
    return judge(outcome, letters or (FIRST, SECOND, THIRD), policy or Policy(), EPOCH, spread)


def test_sent_keeps_the_messengers_key():
    (settlement,) = verdict(Sent("m1")).settlements
    assert (settlement.state, settlement.message_key, settlement.attempts) == (LetterState.SENT, "m1", 1)


@pytest.mark.parametrize("outcome", [Rejected("too long"), WindowClosed("too long")])
def test_a_refused_letter_fails_alone(outcome):
    decided = verdict(outcome)
    (settlement,) = decided.settlements
    assert decided.chat_goes_on
    assert (settlement.state, settlement.reason) == (LetterState.FAILED, "too long")
    assert not settlement.chat_blocked


def test_a_closed_chat_fails_with_all_its_letters():
    decided = verdict(Blocked("by user"))
    assert not decided.chat_goes_on
    assert [(each.letter_id, each.state, each.reason, each.chat_blocked) for each in decided.settlements] == [
        (number, LetterState.FAILED, "by user", True) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("outcome", "attempts", "seconds"),
    [
        (Retry(), 0, 1),
        (Retry(), 1, 2),
        (Retry(), 6, 900),
        (Retry(), 50, 900),
        (Unknown(), 2, 5),
        (Retry(after_seconds=7.5), 6, 7.5),
        (Retry(after_seconds=0), 0, 0.1),
        (Retry(after_seconds=-3), 0, 0.1),
        (Retry(after_seconds=math.inf), 0, 86_400),
    ],
    ids=str,
)
@pytest.mark.parametrize("whole_channel", [False, True])
def test_a_delayed_letter_goes_back_with_those_behind_it(outcome, attempts, seconds, whole_channel):
    if isinstance(outcome, Retry):
        outcome = replace(outcome, whole_channel=whole_channel)
    elif whole_channel:
        return
    decided = verdict(outcome, replace(FIRST, attempts=attempts), SECOND, THIRD)
    (settlement,) = decided.settlements
    assert settlement.state is LetterState.TODO
    assert settlement.not_before == EPOCH + timedelta(seconds=seconds)
    assert settlement.releases == (2, 3)
    assert settlement.attempts == attempts + 1
    named = isinstance(outcome, Retry) and outcome.after_seconds is not None
    longest = math.inf if named else 30
    assert decided.silence_channel_seconds == (min(seconds, longest) if whole_channel else 0)
    assert decided.silence_chat_seconds == (0 if whole_channel else seconds)
    assert not decided.chat_goes_on


def test_back_offs_are_uneven_but_a_named_time_is_kept():
    assert verdict(Retry(), spread=0.8).silence_chat_seconds == pytest.approx(1.2)
    assert verdict(Retry(after_seconds=3), spread=0.8).silence_chat_seconds == 3


@pytest.mark.parametrize(
    ("outcome", "policy"),
    [
        (Retry(reason="503"), Policy(max_attempts=5)),
        (Unknown(reason="503"), Policy(max_doubtful_attempts=5)),
    ],
    ids=["retry", "unknown"],
)
def test_exhausted_attempts_fail_visibly_and_the_chat_goes_on(outcome, policy):
    assert (
        verdict(outcome, replace(FIRST, attempts=3), policy=policy).settlements[0].state is LetterState.TODO
    )
    decided = verdict(outcome, replace(FIRST, attempts=4), SECOND, policy=policy)
    (settlement,) = decided.settlements
    assert (settlement.state, settlement.reason) == (LetterState.FAILED, "Не доставлено, попыток: 5. 503")
    assert decided.chat_goes_on


def test_the_default_patience_is_about_a_day():
    attempts = Policy().max_attempts
    waits = [BACK_OFF_SECONDS[min(number, len(BACK_OFF_SECONDS) - 1)] for number in range(attempts - 1)]
    assert 22 * 3600 < sum(waits) < 26 * 3600


def test_a_revoked_token_costs_no_attempt():
    decided = verdict(TokenRevoked())
    (settlement,) = decided.settlements
    assert (settlement.state, settlement.attempts, settlement.releases) == (LetterState.TODO, 0, (2, 3))
    assert (decided.silence_channel_seconds, decided.channel_revoked) == (60, True)


# Any history.

HISTORY = st.sampled_from(
    [
        Retry(),
        Retry(after_seconds=3.0),
        Retry(after_seconds=2.0, whole_channel=True),
        Retry(after_seconds=100.0, whole_channel=True),
        Unknown(),
        ARRIVED,
        TokenRevoked(),
        Rejected("no"),
        WindowClosed("no"),
        ValueError("bug"),
    ]
)


@st.composite
def histories(draw):
    number = draw(st.integers(1, 40))
    letters, script = [], {}
    for each in range(1, number + 1):
        chat = draw(st.integers(1, 6))
        channel = "telegram" if chat < 5 else "vk"
        letters.append(letter(each, chat, channel, urgent=draw(st.booleans())))
        script[str(each)] = draw(st.lists(HISTORY, max_size=3))
    ways = draw(st.lists(st.sampled_from(["stored", "leased", "wait"]), min_size=number, max_size=number))
    return letters, script, ways


@settings(deadline=None, max_examples=150)
@given(
    histories(),
    st.sampled_from([0.0, 0.003, 0.4]),
    st.integers(0, 3),
    st.sampled_from([math.inf, 5.0]),
    st.integers(1, 2),
    st.integers(0, 2**32),
)
def test_any_history_ends_well(history, latency_seconds, failures, rate, processes, seed):
    letters, script, ways = history
    office = Office(latency_seconds=latency_seconds, failures_ahead=failures)
    spread = random.Random(seed)
    limits = Rates(messages_per_second=rate, chat_messages_per_second=rate)
    delay = lambda: spread.choice([0.0, 0.01, 0.3])  # noqa: E731
    asked = {key: len(outcomes) for key, outcomes in script.items()}
    final_failure = {
        key for key, outcomes in script.items() if set(outcomes) & {Rejected("no"), WindowClosed("no")}
    }
    messengers = {name: Messenger(limits, script, delay) for name in ("telegram", "vk")}

    async def scenario():
        desks = [office.as_process(f"process {number}") for number in range(processes)]
        runners = [dispatcher(desk, channels=messengers, jitter=spread.random) for desk in desks]
        async with running(*runners):
            for each, way in zip(letters, ways, strict=True):
                turn = spread.randrange(processes)
                if way == "leased":
                    runners[turn].hand_over(desks[turn].commit_leased(each))
                else:
                    office.add(each)
                    runners[turn].wake()
                if way == "wait":
                    await asyncio.sleep(spread.choice([0.0, 0.05, 1.0]))
            await office.finished()
            await asyncio.sleep(1)
            assert [runner.held for runner in runners] == [0] * processes

    with capture_logs():
        leap(scenario())
    assert all(row.finals == 1 for row in office.rows.values())
    taken = defaultdict(list)
    for messenger in messengers.values():
        for _, chat, key in messenger.taken:
            taken[chat].append(int(key))
    for key, row in ((str(number), row) for number, row in office.rows.items()):
        if key not in final_failure:
            assert row.state is LetterState.SENT
            assert row.message_key == f"m-{key}"
            assert int(key) in taken[row.letter.chat_key]
        assert row.letter.attempts <= asked[key] + 1
    for numbers in taken.values():
        assert numbers == sorted(numbers), "a chat was written to out of order"


# Order, scope, priority.


def test_a_chat_is_written_to_in_order_and_chats_side_by_side():
    office, messenger = Office(), Messenger(delay_seconds=lambda: 0.1)
    office.add(*(letter(number, number % 30) for number in range(1, 301)))
    deliver(office, messenger)
    assert messenger.most_in_flight == 30
    assert office.states() == {LetterState.SENT: 300}


def test_no_more_in_flight_than_allowed():
    office, messenger = Office(), Messenger(delay_seconds=lambda: 0.1)
    office.add(*(letter(number, number, urgent=number % 2 == 0) for number in range(1, 301)))
    deliver(office, messenger, concurrency=16)
    assert messenger.most_in_flight == 16


def test_a_silence_for_one_chat_silences_no_other():
    office, messenger = Office(), Messenger(script={"1": [Retry(after_seconds=30)]})
    office.add(letter(1, 1), letter(2, 1), letter(3, 2), letter(4, 2))
    deliver(office, messenger)
    at = {key: moment for moment, _, key in messenger.taken}
    refused_at = messenger.asked[0][0]
    assert at["1"] >= refused_at + 30
    assert at["1"] < refused_at + 31
    assert at["2"] > at["1"]
    assert at["4"] < refused_at + 1


@pytest.mark.parametrize("after_seconds", [3.0, 600.0])
def test_a_silence_for_the_channel_silences_it_alone(after_seconds):
    office = Office()
    silence = Retry(after_seconds=after_seconds, whole_channel=True)
    telegram, vk = Messenger(script={"1": [silence]}), Messenger()

    async def scenario():
        channels = {"telegram": telegram, "vk": vk}
        runner = dispatcher(office.as_process("one"), channels=channels)
        async with running(runner):
            office.add(letter(1, 1))
            runner.wake()
            await asyncio.sleep(0.1)
            office.add(letter(2, 2), letter(3, 2), letter(4, 3, "vk"))
            runner.hand_over(runner.post.commit_leased(letter(5, 5)))
            runner.wake()
            await office.finished()

    leap(scenario())
    heard_at = telegram.asked[0][0]
    later = [moment - heard_at for moment, _, _ in telegram.asked[1:]]
    assert len(later) == 4
    assert after_seconds <= min(later)
    assert max(later) < after_seconds + 1
    assert vk.asked[0][0] < heard_at + 1


def test_a_messenger_that_makes_chat_after_chat_wait_means_all_of_them():
    """Telegram says the same whether a chat or the whole bot is too fast."""
    office, silent_until = Office(), 1008.0
    messenger = Messenger(Rates(30, 1, 1, 2), delay_seconds=lambda: 0.04)
    messenger.gate = lambda _chat: (
        Retry(after_seconds=silent_until - monotonic()) if 1003 < monotonic() < silent_until else None
    )
    office.add(*(letter(number, number) for number in range(1, 301)))
    deliver(office, messenger)
    asked = [moment for moment, _, _ in messenger.asked]
    assert sum(1003.1 < moment < silent_until for moment in asked) <= 3
    assert sum(silent_until <= moment < silent_until + 3 for moment in asked) >= 0.95 * 90
    assert office.states() == {LetterState.SENT: 300}


def test_chats_that_wait_for_reasons_of_their_own_do_not_silence_the_others():
    """Ten chats are too fast, and others are served between their refusals."""
    office = Office()
    messenger = Messenger(Rates(30, 1, 1, 2), delay_seconds=lambda: 0.01)
    refused = {}
    messenger.gate = lambda chat: (
        Retry(after_seconds=20)
        if int(chat.removeprefix("chat-")) % 10 == 0
        and monotonic() < refused.setdefault(chat, monotonic()) + 20
        else None
    )
    office.add(*(letter(number, number) for number in range(1, 301)))
    deliver(office, messenger)
    served = [moment for moment, _, _ in messenger.taken if moment < 1010]
    assert len(served) >= 0.95 * 270


@pytest.mark.parametrize("posted_before_seconds", [0, 30])
def test_a_chat_is_back_when_its_silence_ends_though_our_hands_are_full(posted_before_seconds):
    office = Office()
    messenger = Messenger(Rates(30, 1, 1, 2), {"1": [Retry(after_seconds=5)]}, delay_seconds=lambda: 0.04)

    async def scenario():
        first_at = wall_clock() - timedelta(seconds=posted_before_seconds)
        office.add(letter(1, 1, created_at=first_at))
        office.add(*(letter(number, number, created_at=wall_clock()) for number in range(2, 2001)))
        async with running(dispatcher(office.as_process("one"), messenger=messenger)):
            await asyncio.sleep(10)

    leap(scenario())
    refused_at = messenger.asked[0][0]
    again_at = next(moment for moment, _, key in messenger.taken if key == "1")
    assert refused_at + 5 <= again_at <= refused_at + 6


def test_a_closed_chat_takes_its_letters_with_it():
    office, messenger = Office(), Messenger(script={"1": [Blocked("by user")]})
    office.add(letter(1, 1), letter(2, 1), letter(3, 2))
    deliver(office, messenger)
    assert [(row.state, row.reason, row.chat_blocked) for row in office.rows.values()] == [
        (LetterState.FAILED, "by user", True),
        (LetterState.FAILED, "by user", True),
        (LetterState.SENT, "", False),
    ]
    assert messenger.keys() == ["3"]


@pytest.mark.parametrize("way", ["handed over", "stored"])
def test_an_answer_leaves_within_two_slots_in_the_middle_of_a_mailing(way):
    office = Office()
    messenger = Messenger(Rates(30, 1, 1, 1), delay_seconds=lambda: 0.04)
    office.add(*(letter(number, number) for number in range(1, 10_001)))

    async def scenario():
        runner = dispatcher(office.as_process("one"), messenger=messenger)
        async with running(runner):
            await asyncio.sleep(10)
            asked_at = monotonic()
            answer = letter(20_000, 20_000, urgent=True)
            if way == "stored":
                office.add(answer)
                runner.wake()
            else:
                runner.hand_over(runner.post.commit_leased(answer))
            await asyncio.sleep(1)
            after = [key for moment, _, key in messenger.asked if moment >= asked_at]
            assert "20000" in after[:2]

    leap(scenario())


def test_urgent_letters_have_slots_of_their_own():
    office = Office()
    messenger = Messenger(delay_seconds=lambda: 20.0)
    office.add(*(letter(number, number) for number in range(1, 201)))

    async def scenario():
        runner = dispatcher(office.as_process("one"), messenger=messenger)
        async with running(runner):
            await asyncio.sleep(1)
            runner.hand_over(runner.post.commit_leased(letter(999, 999, urgent=True)))
            await asyncio.sleep(0.1)
            assert messenger.asked[-1][2] == "999"

    leap(scenario())


# The pace, as a strict messenger counts it.


@dataclass(slots=True)
class Strict:
    """Counts as messengers do: by the moment of arrival, with one interval of tolerance."""

    rate: float = 30.0
    chat_rate: float = 1.0
    paid_at: float = 0.0
    chats: dict[str, float] = field(default_factory=dict)
    refusals: int = 0
    injected: list[tuple[float, Retry]] = field(default_factory=list)

    def __call__(self, chat):
        now = monotonic()
        if self.injected and now >= self.injected[0][0]:
            return self.injected.pop(0)[1]
        paid_at, chat_paid_at = max(now, self.paid_at), max(now, self.chats.get(chat, 0.0))
        if paid_at - now > 1 / self.rate + 1e-9 or chat_paid_at - now > 0.05 / self.chat_rate:
            self.refusals += 1
            return Retry(after_seconds=1, whole_channel=True)
        self.paid_at = paid_at + 1 / self.rate
        self.chats[chat] = chat_paid_at + 1 / self.chat_rate
        return None


@pytest.mark.parametrize(("rate", "chat_rate"), [(30.0, 1.0), (20.0, 20.0), (30.0, 2.0), (10.0, 1 / 6)])
def test_ten_seconds_of_backlog_use_the_whole_rate_without_a_refusal(rate, chat_rate):
    office, spread = Office(), random.Random(7)
    strict = Strict(rate, chat_rate)
    messenger = Messenger(Rates(rate, 1, chat_rate, 1), {}, lambda: spread.uniform(0.03, 0.06), gate=strict)
    hot = [chat for chat in range(10) for _ in range(max(1, min(10, int(8 * chat_rate))))]
    chats = [*hot, *range(100, 100 + int(rate * 10) - len(hot))]
    spread.shuffle(chats)
    office.add(*(letter(number, chat) for number, chat in enumerate(chats, 1)))
    deliver(office, messenger)
    moments = [moment for moment, _, _ in messenger.taken]
    assert strict.refusals == 0
    assert len(moments) / (moments[-1] - moments[0]) / rate >= 0.95
    assert len(moments) == len(chats)


def test_after_a_refusal_the_rate_is_back_when_the_silence_ends():
    office, spread = Office(), random.Random(7)
    strict = Strict(injected=[(1003.0, Retry(after_seconds=2, whole_channel=True))])
    messenger = Messenger(Rates(30, 1, 1, 1), {}, lambda: spread.uniform(0.03, 0.06), gate=strict)
    office.add(*(letter(number, number % 200) for number in range(1, 301)))
    deliver(office, messenger)
    refused_at = next(moment for moment, _, _ in messenger.asked if moment >= 1002.9)
    quiet = [moment for moment, _, _ in messenger.taken if refused_at + 0.2 < moment < refused_at + 2]
    after = [moment for moment, _, _ in messenger.taken if refused_at + 2.1 < moment <= refused_at + 5.1]
    assert quiet == []
    assert len(after) >= 0.95 * 90
    assert strict.refusals == 0
    assert office.states() == {LetterState.SENT: 300}


# Trouble.


def test_a_letter_that_was_sent_is_not_sent_again_while_the_store_is_down():
    office, messenger = Office(failures_ahead=30, lease_seconds=2), Messenger()
    office.add(*(letter(number, number) for number in range(1, 11)))
    deliver(office, messenger)
    assert sorted(map(int, messenger.keys())) == list(range(1, 11))
    assert all(row.finals == 1 for row in office.rows.values())


def test_while_the_store_keeps_nothing_nothing_more_is_sent():
    office, messenger = Office(failures_ahead=10_000), Messenger(delay_seconds=lambda: 0.1)
    office.add(*(letter(number, 1) for number in range(1, 11)))

    async def scenario():
        async with running(dispatcher(office.as_process("one"), messenger=messenger)):
            await asyncio.sleep(60)
            assert len(messenger.taken) <= 2
            office.failures_ahead = 0
            await office.finished()

    leap(scenario())
    assert messenger.keys() == [str(number) for number in range(1, 11)]


def test_a_send_longer_than_the_lease_is_not_begun_again_by_the_same_process():
    office, messenger = Office(lease_seconds=2), Messenger(delay_seconds=lambda: 10.0)
    office.add(letter(1), letter(2))
    deliver(office, messenger)
    assert messenger.keys() == ["1", "2"]


def test_a_claim_does_not_overtake_a_letter_that_is_being_given_back():
    office = Office(latency_seconds=0.4)
    messenger = Messenger(script={"1": [Retry()]}, delay_seconds=lambda: 0.0)
    office.add(letter(1))

    async def scenario():
        runner = dispatcher(office.as_process("one"), messenger=messenger)
        async with running(runner):
            # The first is refused at 0.8 and settled until 1.6; the second comes in between.
            await asyncio.sleep(1.0)
            runner.hand_over(runner.post.commit_leased(letter(2)))
            office.add(letter(3))
            runner.wake()
            await office.finished()

    leap(scenario())
    assert messenger.keys() == ["1", "2", "3"]


def test_a_bug_in_one_channel_stops_no_other_and_says_nothing_private():
    office = Office()
    telegram, vk = Messenger(), Messenger(script={"2": [KeyError("+7 900 000-00-00")] * 50})
    office.add(letter(1), letter(2, 2, "vk", text="секрет"), letter(3, 2, "vk"), letter(4))

    async def scenario():
        channels = {"telegram": telegram, "vk": vk}
        async with running(dispatcher(office.as_process("one"), channels=channels)):
            await office.finished()

    with capture_logs() as logs:
        leap(scenario())
    assert telegram.keys() == ["1", "4"]
    assert vk.keys() == ["3"]
    assert office.rows[2].state is LetterState.FAILED
    assert "KeyError" in office.rows[2].reason
    assert office.rows[2].letter.attempts == Policy().max_doubtful_attempts
    told = str(logs)
    assert "KeyError" in told
    assert "+7 900" not in told
    assert "секрет" not in told


def test_a_send_that_never_ends_is_an_unknown_one():
    office, messenger = Office(), Messenger()
    delays = [math.inf, 0.0]
    messenger.delay_seconds = lambda: min(delays.pop(0) if delays else 0.0, 1e6)
    office.add(letter(1), letter(2))
    deliver(office, messenger, send_timeout_seconds=20)
    assert messenger.keys() == ["1", "2"]
    assert messenger.taken[0][0] >= 1020


@pytest.mark.parametrize(
    ("megabytes", "lease_seconds", "limit_seconds"),
    [(0, 180, 20), (1, 180, 36), (50, 180, 81), (50, LEASE_SECONDS, 135)],
    ids=["text", "file", "within the lease", "within the lease of the real store"],
)
def test_a_large_file_may_take_longer(megabytes, lease_seconds, limit_seconds):
    office, messenger = Office(lease_seconds=lease_seconds), Messenger()
    delays = [1e6]
    messenger.delay_seconds = lambda: delays.pop(0) if delays else 0.0
    file = OutgoingFile("a" * 64, "акт.pdf", "application/pdf", megabytes * 2**20)
    office.add(replace(letter(1), files=(file,) if megabytes else ()))
    deliver(office, messenger, send_timeout_seconds=20, lease_seconds=lease_seconds)
    first, second = (moment for moment, _chat, _key in messenger.asked)
    assert limit_seconds + 5 > second - first >= limit_seconds


def test_the_largest_file_after_the_longest_wait_is_settled_within_the_lease():
    """What waits longest leaves when half of the lease is over, and may then take its longest."""
    office = Office(lease_seconds=LEASE_SECONDS)
    messenger = Messenger(Rates(chat_messages_per_second=1 / 149))
    messenger.delay_seconds = lambda: 0.0 if not messenger.taken else 1e6
    file = OutgoingFile("a" * 64, "акт.pdf", "application/pdf", 50 * 2**20)
    office.add(letter(1), replace(letter(2), files=(file,)))

    async def scenario():
        async with running(
            dispatcher(office.as_process("one"), messenger=messenger, lease_seconds=LEASE_SECONDS)
        ):
            while len(messenger.asked) < 2:
                await asyncio.sleep(0.1)
            lease_until = office.rows[2].lease_until
            while office.rows[2].state is LetterState.DOING:
                await asyncio.sleep(0.1)
            assert wall_clock() < lease_until - timedelta(seconds=10)

    leap(scenario())
    left_after_seconds = messenger.asked[1][0] - messenger.asked[0][0]
    assert left_after_seconds > 0.49 * LEASE_SECONDS


def test_a_revoked_token_is_told_once_and_tried_by_one_letter_a_minute():
    office, messenger = Office(), Messenger()
    messenger.gate = lambda _chat: TokenRevoked() if monotonic() < 1130 else None
    office.add(*(letter(number, number) for number in range(1, 101)))
    with capture_logs() as logs:
        deliver(office, messenger)
    assert [entry["log_level"] for entry in logs].count("error") == 1
    assert office.states() == {LetterState.SENT: 100}
    assert {row.letter.attempts for row in office.rows.values()} == {1}
    by_minute = Counter(int(moment - 1000) // 60 for moment, _, _ in messenger.asked)
    assert by_minute == {0: 56, 1: 1, 2: 1, 3: 100}


def test_letters_of_a_channel_that_is_off_wait():
    office, messenger = Office(), Messenger()

    async def scenario():
        runner = dispatcher(office.as_process("one"), messenger=messenger)
        async with running(runner):
            office.add(letter(1, 1, "viber"), letter(2, 2))
            runner.hand_over(runner.post.commit_leased(letter(3, 3, "viber")))
            await asyncio.sleep(10)
            assert runner.held == 0

    leap(scenario())
    assert [row.state for row in office.rows.values()] == [
        LetterState.TODO,
        LetterState.SENT,
        LetterState.TODO,
    ]
    assert {channels for channels, _, _ in office.claims} == {("telegram",)}


def by_thousands(parcel, limits):
    size = limits.text_length
    return tuple(
        Parcel(f"{parcel.key}/{place // size}", parcel.chat_key, parcel.text[place : place + size])
        for place in range(0, len(parcel.text), size)
    )


def test_a_long_letter_goes_part_by_part_each_in_its_slot():
    office, messenger = Office(), Messenger(Rates(chat_messages_per_second=1.0))
    office.add(letter(1, text="a" * 2500), letter(2, text="b"))
    deliver(office, messenger, fit=by_thousands)
    assert messenger.keys() == ["1/0", "1/1", "1/2", "2/0"]
    moments = [moment for moment, _, _ in messenger.taken]
    assert moments[3] - moments[0] >= 3.0
    assert office.rows[1].message_key == "m-1/2"


def test_a_long_letter_whose_part_failed_is_sent_again_whole():
    office, messenger = Office(), Messenger(script={"1/1": [Retry()]})
    office.add(letter(1, text="a" * 1500), letter(2, text="b"))
    deliver(office, messenger, fit=by_thousands)
    assert messenger.keys() == ["1/0", "1/0", "1/1", "2/0"]


def test_letters_that_lay_too_long_are_given_back_before_their_lease_ends():
    office, messenger = Office(lease_seconds=20), Messenger(Rates(chat_messages_per_second=0.2))
    office.add(*(letter(number, 1) for number in range(1, 11)))
    deliver(office, messenger, lease_seconds=20.0)
    assert messenger.keys() == [str(number) for number in range(1, 11)]
    assert messenger.taken[-1][0] - messenger.taken[0][0] < 9 * 5.3


def test_a_hand_over_does_not_overtake_a_claim_that_is_on_its_way():
    office, messenger = Office(latency_seconds=0.5), Messenger()
    office.add(letter(1), letter(2))

    async def scenario():
        runner = dispatcher(office.as_process("one"), messenger=messenger)
        async with running(runner):
            await asyncio.sleep(0.6)
            assert office.rows[2].state is LetterState.DOING
            runner.hand_over(runner.post.commit_leased(letter(3)))
            assert office.rows[3].state is LetterState.DOING
            await office.finished()

    leap(scenario())
    assert messenger.keys() == ["1", "2", "3"]


def test_a_late_hand_over_does_not_overtake_a_letter_that_was_given_back():
    office, messenger = Office(), Messenger(script={"1": [Retry(after_seconds=5)]})

    async def scenario():
        runner = dispatcher(office.as_process("one"), messenger=messenger)
        async with running(runner):
            leased = [runner.post.commit_leased(letter(number)) for number in (1, 2)]
            runner.hand_over(leased[0])
            await asyncio.sleep(1)
            # Committed while the first was still leased here, told only after it went back.
            office.lease("one", office.rows[2])
            runner.hand_over(leased[1])
            await office.finished()

    leap(scenario())
    assert messenger.keys() == ["1", "2"]


# The end of a process.


@pytest.mark.parametrize(("delay_seconds", "state"), [(3.0, LetterState.SENT), (30.0, LetterState.DOING)])
def test_what_is_in_flight_may_finish_after_a_cancellation(delay_seconds, state):
    office, messenger = Office(), Messenger(delay_seconds=lambda: delay_seconds)
    office.add(letter(1, 1), letter(2, 2), letter(3, 2), letter(4, 1))

    async def scenario():
        async with asyncio.TaskGroup() as group:
            runner = dispatcher(office.as_process("one"), messenger=messenger)
            running = group.create_task(runner.run())
            await asyncio.sleep(0.1)
            running.cancel()
            stopped_at = monotonic()
            await asyncio.wait({running})
        assert running.cancelled()
        assert monotonic() - stopped_at < 10.5

    leap(scenario())
    assert [office.rows[number].state for number in (1, 2)] == [state] * 2
    behind = LetterState.TODO if state is LetterState.SENT else LetterState.DOING
    assert [office.rows[number].state for number in (3, 4)] == [behind] * 2


@pytest.mark.parametrize("after_seconds", [0.2, 0.6], ids=["before the lease", "after the lease"])
def test_what_a_claim_brings_after_a_cancellation_is_given_back(after_seconds):
    office = Office(latency_seconds=0.5)
    office.add(letter(1, 1), letter(2, 2))

    async def scenario():
        async with running(dispatcher(office.as_process("one"), messenger=Messenger())):
            await asyncio.sleep(after_seconds)

    leap(scenario())
    assert office.states() == {LetterState.TODO: 2}


def test_idle_delivery_stops_at_once():
    async def scenario():
        async with running(dispatcher(Office().as_process("one"), messenger=Messenger())) as (task,):
            await asyncio.sleep(5)
            stopped_at = monotonic()
            task.cancel()
            await asyncio.wait({task})
            assert monotonic() - stopped_at < 0.01

    leap(scenario())


def test_the_letters_of_a_dead_process_arrive_in_order():
    office, messenger = Office(lease_seconds=4), Messenger(delay_seconds=lambda: 0.3)
    office.add(*(letter(number, number % 5) for number in range(1, 51)))

    async def scenario():
        dead = office.as_process("one")
        await dead.claim(["telegram"], 30, per_chat=16, urgent_only=False)
        async with running(dispatcher(office.as_process("two"), messenger=messenger)):
            await office.finished()

    leap(scenario())
    assert office.states() == {LetterState.SENT: 50}
    by_chat = defaultdict(list)
    for _, chat, key in messenger.taken:
        by_chat[chat].append(int(key))
    assert all(numbers == sorted(numbers) for numbers in by_chat.values())


def test_it_runs_again_after_it_was_stopped():
    office, messenger = Office(), Messenger(delay_seconds=lambda: 0.2)
    office.add(*(letter(number, number % 3) for number in range(1, 31)))

    async def scenario():
        runner = dispatcher(office.as_process("one"), messenger=messenger)
        async with running(runner):
            await asyncio.sleep(1)
        assert 0 < len(messenger.taken) < 30
        async with running(runner):
            await office.finished()

    leap(scenario())
    assert sorted(map(int, messenger.keys())) == list(range(1, 31))
