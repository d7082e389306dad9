"""What messengers tell about our letters, in whatever order and however often."""

from datetime import timedelta
from itertools import permutations

import pytest

from forms.messages import Delivery, DeliveryState, Reply
from forms.texts import plain
from notifications.outbox import LetterState, Settlement
from storage import deliveries, failover, postoffice
from storage.deliveries import Told
from storage.letters import Posting, post
from storage.models import Chat, Letter, Setting
from tests.storage.firm import MINUTE, WEDNESDAY, Firm

DELIVERED = Delivery(DeliveryState.DELIVERED)
READ = Delivery(DeliveryState.READ)
FAILED = Delivery(DeliveryState.FAILED, "номер не в сети")
BLOCKED = Delivery(DeliveryState.FAILED, "закрыл чат", blocked=True)


class Watched(Firm):
    def send(self, *keys, name="maria", settle=True):
        """Letters that a messenger took; its name of each is the key in capitals."""
        with self.database.begin() as session:
            post(
                session, self.house, self.clock,
                [Posting(f"turn:{key}", Reply(plain(key)), chat_id=self.chats[name]) for key in keys],
            )  # fmt: skip
        with self.database.begin() as session:
            self.leased = postoffice.claim(session, "us", ["webchat"], 100, self.clock, per_chat=10)
        if settle:
            self.settle()

    def settle(self):
        done = [
            Settlement(
                each.letter_id, each.chat_id, LetterState.SENT, self.clock,
                message_key=each.key.removeprefix("turn:").upper(), attempts=1,
            )
            for each in self.leased
        ]  # fmt: skip
        with self.database.begin() as session:
            postoffice.settle(session, "us", done)
            failover.after_batch(session, self.house, done, [], self.clock)

    def hear(self, *news, name="maria"):
        """Each is the messenger's key, what it says and, if not now, when."""
        told = [Told(self.chats[name], key, delivery, (*at, self.clock)[0]) for key, delivery, *at in news]
        with self.database.begin() as session:
            failover.after_batch(session, self.house, [], told, self.clock)

    def letter(self, key):
        return self.row(Letter, key=f"turn:{key}")

    def fate(self, key):
        row = self.letter(key)
        return row.state, row.delivered_at, row.read_at


@pytest.fixture
def firm(database):
    return Watched.open(database)


async def test_each_kind_of_news_is_written_down(firm):
    firm.send("a", "b", "c", "d")
    firm.clock += MINUTE
    firm.hear(("A", DELIVERED), ("C", FAILED))
    assert firm.fate("a") == ("sent", firm.clock, None)
    assert firm.fate("b") == ("sent", None, None)
    assert firm.fate("c") == ("failed", None, None)
    assert firm.letter("c").reason == "номер не в сети"


async def test_who_has_read_a_message_has_seen_those_above_it(firm):
    firm.send("a", "b", "c")
    firm.hear(("B", READ))
    assert [firm.fate(key)[2] for key in ("a", "b", "c")] == [WEDNESDAY, WEDNESDAY, None]
    assert firm.fate("a")[1] == WEDNESDAY


async def test_order_and_repetition_make_no_difference(firm):
    first, second = WEDNESDAY + MINUTE, WEDNESDAY + 2 * MINUTE
    news = (("k", DELIVERED, first), ("k", READ, second), ("k", FAILED, second))
    orders = list(permutations(news))
    for number, order in enumerate(orders):
        firm.send(f"k{number}")
        for _key, delivery, at in (*order, *order):
            firm.hear((f"K{number}", delivery, at))
        state, delivered_at, read_at = firm.fate(f"k{number}")
        assert (state, read_at) == ("sent", second), order
        assert delivered_at in (first, second)


async def test_a_late_arrival_takes_a_failure_back(firm):
    firm.send("a")
    firm.hear(("A", FAILED))
    firm.hear(("A", DELIVERED))
    row = firm.letter("a")
    assert (row.state, row.reason, row.delivered_at) == ("sent", "", WEDNESDAY)
    firm.hear(("A", FAILED))
    assert firm.letter("a").state == "sent"


async def test_a_key_means_something_in_its_own_chat_alone(firm):
    firm.send("a")
    firm.hear(("A", DELIVERED), name="pyotr")
    assert firm.fate("a") == ("sent", None, None)


async def test_a_long_reason_is_cut(firm):
    firm.send("a")
    firm.hear(("A", Delivery(DeliveryState.FAILED, "ы" * 2000)))
    assert firm.letter("a").reason == "ы" * 500


# --- news that are quicker than our own books ----------------------------------------------------


@pytest.mark.parametrize("delivery", [DELIVERED, READ, FAILED], ids=["delivered", "read", "failed"])
async def test_news_that_come_before_the_settlement_wait_for_it(firm, delivery):
    firm.send("a", settle=False)
    firm.hear(("A", delivery))
    assert firm.letter("a").state == "doing"
    firm.clock += MINUTE
    firm.settle()
    if delivery is FAILED:
        assert firm.fate("a") == ("failed", None, None)
    else:
        read_at = WEDNESDAY if delivery is READ else None
        assert firm.fate("a") == ("sent", WEDNESDAY, read_at)
    assert firm.rows(Setting) == []


async def test_all_the_early_news_of_a_letter_are_kept(firm):
    firm.send("a", settle=False)
    firm.hear(("A", READ, WEDNESDAY + MINUTE), ("A", DELIVERED, WEDNESDAY))
    firm.clock += 2 * MINUTE
    firm.settle()
    assert firm.fate("a") == ("sent", WEDNESDAY, WEDNESDAY + MINUTE)


async def test_what_slipped_in_between_two_processes_the_timer_applies(firm):
    firm.send("a", settle=False)
    firm.hear(("A", READ))
    with firm.database.begin() as session:
        done = [
            Settlement(each.letter_id, each.chat_id, LetterState.SENT, firm.clock, message_key="A")
            for each in firm.leased
        ]
        postoffice.settle(session, "us", done)
    with firm.database.begin() as session:
        deliveries.sweep_early(session, firm.house, firm.clock)
    assert firm.fate("a") == ("sent", WEDNESDAY, WEDNESDAY)
    assert firm.rows(Setting) == []


async def test_news_of_an_unknown_message_are_forgotten_in_a_day(firm):
    firm.hear(("part of a long letter", DELIVERED))
    for hours, kept in ((23, 1), (25, 0)):
        with firm.database.begin() as session:
            deliveries.sweep_early(session, firm.house, WEDNESDAY + timedelta(hours=hours))
        assert len(firm.rows(Setting)) == kept


# --- a chat that is closed -----------------------------------------------------------------------


async def test_a_block_closes_the_chat_and_stops_what_waits_for_it(firm):
    firm.send("a")
    with firm.database.begin() as session:
        post(
            session, firm.house, firm.clock,
            [Posting("turn:b", Reply(plain("b")), chat_id=firm.chats["maria"])],
        )  # fmt: skip
    firm.hear(("A", BLOCKED))
    assert firm.row(Chat, chat_key="maria").blocked_at == WEDNESDAY
    assert firm.letter("b").state == "failed"


async def test_who_has_written_since_is_there_again(firm):
    firm.send("a")
    firm.change(Chat, firm.chats["maria"], last_inbound_at=WEDNESDAY + MINUTE)
    firm.hear(("A", BLOCKED))
    assert firm.row(Chat, chat_key="maria").blocked_at is None
