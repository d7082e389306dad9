"""The outbox keeps what delivery was promised: `PostOffice` of `notifications.delivery`."""

import asyncio
import random
from datetime import timedelta

import pytest
from sqlalchemy import event

from forms.messages import Reply
from forms.texts import plain
from notifications.delivery import Dispatcher
from notifications.outbox import (
    Blocked,
    LetterState,
    Rejected,
    Retry,
    Sent,
    Settlement,
    Unknown,
    WindowClosed,
)
from notifications.verdicts import Policy
from storage import failover, postoffice
from storage.letters import LEASE_SECONDS, Posting, post
from storage.models import Chat, Letter
from tests.storage.firm import MINUTE, WEDNESDAY, Firm

OURS, THEIRS = "our process", "their process"
CHANNELS = ("telegram", "webchat", "vk")


class Outbox(Firm):
    """A firm whose people get letters a, b, c … in the order of posting."""

    def add(self, *letters):
        """Each is (person, key) with what else a Posting may have."""
        with self.database.begin() as session:
            for name, key, *more in letters:
                posting = Posting(key, Reply(plain(key)), chat_id=self.chats[name], **dict(*more))
                post(session, self.house, self.clock, (posting,))

    def claim(self, owner=OURS, limit=100, channels=CHANNELS, per_chat=10, **more):
        with self.database.begin() as session:
            return postoffice.claim(session, owner, channels, limit, self.clock, per_chat=per_chat, **more)

    def claimed(self, *args, **more):
        return [letter.key for letter in self.claim(*args, **more)]

    def settle(self, *settlements, owner=OURS):
        with self.database.begin() as session:
            postoffice.settle(session, owner, settlements)

    def letter(self, key):
        return self.row(Letter, key=key)

    def states(self):
        return {row.key: row.state for row in self.rows(Letter)}


@pytest.fixture
def box(database):
    return Outbox.open(database)


def settlement(letter, state=LetterState.SENT, at=WEDNESDAY, **more):
    return Settlement(
        letter.letter_id, letter.chat_id, state, at, **{"attempts": letter.attempts + 1, **more}
    )


# --- claiming ------------------------------------------------------------------------------------


async def test_the_letters_of_a_chat_come_together_and_in_order(box):
    box.add(("maria", "a"), ("pyotr", "b"), ("maria", "c"), ("anna", "d"), ("pyotr", "e"))
    assert box.claimed() == ["a", "c", "b", "e", "d"]
    assert box.claimed() == []
    row = box.letter("a")
    assert (row.state, row.lease_owner) == ("doing", OURS)
    assert row.lease_until == WEDNESDAY + timedelta(seconds=LEASE_SECONDS)


async def test_the_urgent_chats_come_first_and_alone_when_only_they_are_wanted(box):
    box.add(("maria", "a"), ("pyotr", "b"), ("anna", "c", {"urgent": True}), ("pyotr", "d", {"urgent": True}))
    assert box.claimed(urgent_only=True, limit=1) == ["b"]
    assert box.claimed(urgent_only=True) == ["c", "d"]
    assert box.claimed(urgent_only=True) == []
    assert box.claimed() == ["a"]


async def test_no_more_of_a_chat_and_no_more_at_all_than_wanted(box):
    box.add(*(("maria", f"m{number}") for number in range(5)), ("anna", "a"), ("pyotr", "p"))
    assert box.claimed(per_chat=2, limit=4) == ["m0", "m1", "a", "p"]
    # The first two are in our own hands: the third may follow them.
    assert box.claimed(per_chat=2, limit=1) == ["m2"]
    assert box.claimed(owner=THEIRS) == []


async def test_only_the_wanted_messengers_are_claimed_for(box):
    box.change(Chat, box.chats["anna"], channel="telegram")
    box.change(Chat, box.chats["pyotr"], channel="vk")
    box.add(("maria", "a"), ("anna", "b"), ("pyotr", "c"))
    assert box.claimed(channels=["telegram"]) == ["b"]
    assert box.claimed(channels=[]) == []
    assert [(letter.channel, letter.chat_key) for letter in box.claim(channels={"vk", "telegram"})] == [
        ("vk", "pyotr")
    ]


async def test_nothing_overtakes_a_letter_that_is_not_due(box):
    box.add(
        ("maria", "a"), ("maria", "b", {"not_before": WEDNESDAY + MINUTE}), ("maria", "c", {"urgent": True})
    )
    assert box.claimed() == ["a"]
    assert box.claimed(urgent_only=True) == []
    box.clock += MINUTE
    assert box.claimed() == ["b", "c"]


async def test_nothing_overtakes_a_letter_in_other_hands_until_its_lease_is_over(box):
    box.add(("maria", "a"))
    box.claim(THEIRS)
    box.add(("maria", "b"), ("anna", "c"))
    (c,) = box.claim()
    assert c.key == "c"
    box.settle(settlement(c))
    box.clock += timedelta(seconds=LEASE_SECONDS)
    assert box.claimed() == []
    box.clock += timedelta(seconds=1)
    assert box.claimed() == ["a", "b"]
    assert box.letter("a").lease_owner == OURS


@pytest.mark.parametrize("state", ["sent", "failed", "superseded"])
async def test_a_finished_letter_holds_nobody_up(box, state):
    box.add(("maria", "a"), ("maria", "b"))
    box.change(Letter, 1, state=state)
    assert box.claimed() == ["b"]


async def test_processes_that_claim_at_once_share_no_chat(box):
    names = list(box.chats)
    box.add(*((names[number % 7], f"k{number}") for number in range(70)))

    def work(owner):
        mine = []
        while letters := box.claim(owner, limit=3, per_chat=2):
            mine += letters
            box.settle(*(settlement(letter) for letter in letters), owner=owner)
        return mine

    shares = await asyncio.gather(*(asyncio.to_thread(work, f"process {number}") for number in range(4)))
    everything = [letter.key for share in shares for letter in share]
    for letter in box.claim("last"):
        everything.append(letter.key)
    assert sorted(everything) == sorted(f"k{number}" for number in range(70))
    for share in shares:
        for name in names:
            ids = [letter.letter_id for letter in share if letter.chat_id == box.chats[name]]
            assert ids == sorted(ids)


async def test_who_alone_sends_to_a_messenger_gets_what_was_leased_to_others(box):
    box.add(("maria", "a"), ("anna", "b"))
    box.claim(THEIRS)
    assert box.claimed() == []
    assert box.claimed(channels=("webchat",), alone=True) == ["a", "b"]
    assert box.claimed(channels=("webchat",), alone=True) == []


async def test_what_is_leased_for_another_messenger_stays_with_its_sender(box):
    box.add(("maria", "a"))
    box.claim(THEIRS)
    assert box.claimed(channels=("vk", "telegram"), alone=True) == []
    assert box.letter("a").lease_owner == THEIRS


# --- settling ------------------------------------------------------------------------------------


async def test_what_became_of_letters_is_kept(box):
    box.add(("maria", "a"), ("anna", "b"), ("pyotr", "c"))
    a, b, c = box.claim()
    box.clock += MINUTE
    later = box.clock + MINUTE
    box.settle(
        settlement(a, at=box.clock, message_key="m" * 300),
        settlement(b, LetterState.FAILED, box.clock, reason="н" * 600),
        settlement(c, LetterState.TODO, box.clock, not_before=later, reason="занят"),
    )
    for key, state, message_key, reason, sent_at, due in (
        ("a", "sent", "m" * 200, "", box.clock, WEDNESDAY),
        ("b", "failed", "", "н" * 500, None, WEDNESDAY),
        ("c", "todo", "", "занят", None, later),
    ):
        row = box.letter(key)
        assert (row.state, row.message_key, row.reason, row.sent_at, row.not_before) == (
            state, message_key, reason, sent_at, due,
        )  # fmt: skip
        assert (row.attempts, row.lease_owner, row.lease_until) == (1, "", None)
    box.clock = later
    assert [letter.attempts for letter in box.claim()] == [1]


async def test_settling_again_changes_nothing(box):
    box.add(("maria", "a"), ("anna", "b"), ("pyotr", "c"), ("pyotr", "d"))
    a, b, c, d = box.claim()
    everything = (
        settlement(a, message_key="7"),
        settlement(b, LetterState.FAILED, reason="нет", chat_blocked=True),
        settlement(c, LetterState.TODO, not_before=WEDNESDAY + MINUTE, releases=(d.letter_id,)),
    )
    box.settle(*everything)
    once = box.rows(Letter), box.rows(Chat)
    box.settle(*everything)
    assert (box.rows(Letter), box.rows(Chat)) == once


async def test_letters_behind_a_given_back_one_go_back_as_they_were(box):
    due = WEDNESDAY - MINUTE
    box.add(("maria", "a"), ("maria", "b", {"not_before": due}), ("maria", "c"))
    a, b, c = box.claim()
    box.settle(settlement(c))
    box.settle(settlement(a, LetterState.TODO, releases=(b.letter_id, c.letter_id)))
    assert box.states() == {"a": "todo", "b": "todo", "c": "sent"}
    assert (box.letter("b").attempts, box.letter("b").not_before) == (0, due)
    assert box.claimed() == ["a", "b"]


@pytest.mark.parametrize("taken_over_is_sent", [False, True], ids=["in other hands", "sent by another"])
async def test_what_is_no_longer_ours_is_not_given_back(box, taken_over_is_sent):
    box.add(("maria", "a"), ("maria", "b"))
    a, b = box.claim()
    box.clock += timedelta(seconds=LEASE_SECONDS + 1)
    theirs = box.claim(THEIRS)
    if taken_over_is_sent:
        box.settle(*(settlement(letter) for letter in theirs), owner=THEIRS)
    before = box.rows(Letter)
    box.settle(settlement(a, LetterState.TODO, not_before=box.clock, releases=(b.letter_id,)))
    assert box.rows(Letter) == before


async def test_that_it_was_sent_is_a_fact_and_a_failure_does_not_undo_it(box):
    box.add(("maria", "a"), ("anna", "b"))
    a, b = box.claim()
    box.clock += timedelta(seconds=LEASE_SECONDS + 1)
    box.claim(THEIRS)
    box.settle(settlement(a, message_key="ours"), settlement(b, message_key="ours"))
    box.settle(
        settlement(a, LetterState.FAILED, reason="нет"), settlement(b, message_key="theirs"), owner=THEIRS
    )
    assert [(row.state, row.message_key, row.reason) for row in box.rows(Letter)] == [
        ("sent", "ours", "")
    ] * 2


async def test_a_closed_chat_stays_closed_until_its_person_writes(box):
    box.add(("maria", "a"), ("anna", "b"))
    a, b = box.claim()
    box.change(Chat, box.chats["anna"], last_inbound_at=WEDNESDAY + MINUTE)
    box.change(Chat, box.chats["maria"], last_inbound_at=WEDNESDAY - MINUTE)
    box.settle(
        settlement(a, LetterState.FAILED, chat_blocked=True),
        # She has written after the messenger refused.
        settlement(b, LetterState.FAILED, chat_blocked=True),
    )
    assert box.row(Chat, chat_key="maria").blocked_at == WEDNESDAY
    assert box.row(Chat, chat_key="anna").blocked_at is None


async def test_nothing_to_settle_is_fine(box):
    box.settle()


async def test_the_oldest_waiting_letter_of_each_messenger(box):
    box.add(("maria", "a"))
    box.clock += MINUTE
    box.change(Chat, box.chats["anna"], channel="telegram")
    box.add(("maria", "b"), ("anna", "c"), ("pyotr", "d", {"not_before": box.clock + MINUTE}))
    with box.database.begin() as session:
        found = {item.channel: item.since for item in postoffice.oldest_waiting(session, box.clock)}
    assert found == {"webchat": WEDNESDAY, "telegram": WEDNESDAY + MINUTE}


async def test_no_statement_reads_the_letters_of_all_the_years(box):
    """On SQLite its plan tells; on PostgreSQL the same conditions stand for the same index."""
    if not box.database.is_sqlite:
        return
    box.add(("maria", "a"), ("maria", "b"), ("anna", "c", {"urgent": True}))
    ran = []

    def note(_connection, _cursor, statement, parameters, _context, executemany):
        ran.append((statement, parameters[0] if executemany else parameters))

    with box.database.begin() as session:
        event.listen(session.get_bind(), "before_cursor_execute", note)
        letters = postoffice.claim(session, OURS, CHANNELS, 1, box.clock, urgent_only=True)
        letters += postoffice.claim(session, OURS, CHANNELS, 10, box.clock, per_chat=10)
        c, a, b = letters
        postoffice.settle(
            session, OURS, [settlement(c), settlement(a, LetterState.TODO, releases=(b.letter_id,))]
        )
        postoffice.oldest_waiting(session, box.clock)
        event.remove(session.get_bind(), "before_cursor_execute", note)
        for statement, parameters in ran:
            plan = session.connection().exec_driver_sql("explain query plan " + statement, parameters)
            for *_numbers, step in plan:
                if any(
                    step.startswith(f"{how} {table}")
                    for how in ("SCAN", "SEARCH")
                    for table in ("letter", "blocker")
                ):
                    assert "ix_letter_unfinished" in step or "PRIMARY KEY" in step, (step, statement)
    assert len(ran) > 10


# --- together with the dispatcher ----------------------------------------------------------------


class Limits:
    messages_per_second = 10_000.0
    messages_burst = 1000
    chat_messages_per_second = 10_000.0
    chat_burst = 1000


class Capricious:
    """A messenger that takes most letters and finds every other answer too. `taken` is what arrived."""

    limits = Limits()

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.taken = []
        self.rejected = set()

    async def send(self, parcel):
        await asyncio.sleep(self.chance.choice((0, 0, 0.001)))
        draw = self.chance.random()
        if draw < 0.1:
            return Retry(0.01)
        if draw < 0.11:
            return Unknown("не ответил")
        if draw < 0.17:
            self.rejected.add(parcel.key)
            return self.chance.choice((Rejected("нет"), WindowClosed("поздно")))
        self.taken.append(parcel.key)
        if draw < 0.18:
            return Unknown("ответ потерян")
        if draw < 0.2:
            return Blocked("закрыт")
        return Sent(f"m-{parcel.key}")


class Desk:
    """The post office as one process sees it; now and then the store is away.

    `takes_over`: whatever another process had leased is free at once, also what it leases last.
    """

    def __init__(self, box, owner, now, seed, takes_over):
        self.box, self.owner, self.now, self.chance = box, owner, now, random.Random(seed)
        self.takes_over = takes_over

    async def claim(self, channels, limit, *, per_chat, urgent_only):
        now = self.now()
        return await self.box.database.transact(
            lambda session: postoffice.claim(
                session, self.owner, channels, limit, now, per_chat=per_chat, urgent_only=urgent_only,
                alone=self.takes_over,
            )
        )  # fmt: skip

    async def settle(self, settlements):
        if self.chance.random() < 0.1:
            raise OSError("the store is away")
        await self.box.database.transact(lambda session: postoffice.settle(session, self.owner, settlements))


async def test_whatever_the_messenger_answers_each_letter_reaches_its_end_in_order(box):
    chance = random.Random(3)
    names = list(box.chats)
    messenger = Capricious(3)
    loop = asyncio.get_running_loop()
    started = loop.time()

    def now():
        return WEDNESDAY + timedelta(seconds=loop.time() - started)

    def dispatcher(owner, takes_over=False):
        return Dispatcher(
            {"webchat": messenger}, Desk(box, owner, now, 3, takes_over), now, loop.time,
            lambda parcel, _: (parcel,), policy=Policy(max_attempts=6, max_doubtful_attempts=2),
            claim_every_seconds=0.05, jitter=chance.random,
        )  # fmt: skip

    first = dispatcher(OURS)
    running = asyncio.create_task(first.run())
    for part in range(6):
        letters = [
            (chance.choice(names), f"k{part}-{number}", {"urgent": chance.random() < 0.3})
            for number in range(20)
        ]
        await asyncio.to_thread(box.add, *letters)
        first.wake()
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    # Another process goes on where the first was stopped. What that one leased last may have been
    # committed without its knowledge.
    running = asyncio.create_task(dispatcher(THEIRS, takes_over=True).run())
    async with asyncio.timeout(60):
        while {"todo", "doing"} & set((await asyncio.to_thread(box.states)).values()):
            # What still waits for a chat that has been closed is ended by the timer.
            await box.database.transact(lambda session: failover.sweep(session, box.house, now()))
            await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.wait([running])

    rows = box.rows(Letter)
    assert len(rows) == 120
    taken = set(messenger.taken)
    for row in rows:
        if row.state == "sent":
            assert row.key in taken
            assert row.message_key == f"m-{row.key}"
        else:
            assert row.state == "failed"
    for chat_id in box.chats.values():
        arrived = [row.id for row in rows if row.chat_id == chat_id and row.key in taken]
        keys = {row.key: row.id for row in rows if row.chat_id == chat_id}
        first_arrivals = list(dict.fromkeys(keys[key] for key in messenger.taken if key in keys))
        assert first_arrivals == sorted(arrived)
