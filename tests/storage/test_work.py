"""A batch of messages against the database: seen once, in order, and nothing kept before consent."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlmodel import select

from bots.intake import Arrival, Fetched, Intake, inbound_from_json, inbound_to_json
from forms.messages import InboundKind, IncomingFile
from notifications.outbox import LetterState, Settlement
from storage import work
from storage.models import Chat, InboxEvent, Letter, Message, Person, metadata
from storage.work import open_work
from tests.storage.firm import MINUTE, WEDNESDAY, Firm, inbound

TEXT = "Моя фамилия Тайная, ИНН 7736050003"
BILL = IncomingFile("ref", "секретный счёт.pdf", 100)


@pytest.fixture
def firm(database):
    return Firm.open(database)


def intake(firm, owner="town"):
    return Intake(firm.database, lambda: firm.house, lambda: firm.clock, owner)


async def take(firm, *inbounds):
    return await intake(firm).apply([Arrival(each) for each in inbounds])


def everything_stored(database):
    """Every value of every table, as text."""
    with database.read() as session:
        return "\n".join(
            str(tuple(row))
            for table in metadata.sorted_tables
            for row in session.connection().execute(select(table))
        )


# --- seen once -----------------------------------------------------------------------------------


async def test_a_message_that_comes_again_has_no_second_effect(firm):
    first = inbound("maria", "e1", "/status")
    other_channel = inbound("maria", "e1", "/status", channel="telegram")
    await take(firm, first, first, other_channel)
    letters, messages = len(firm.rows(Letter)), len(firm.rows(Message))
    assert letters
    again = await take(firm, first, other_channel)
    assert again.letters == ()
    assert (len(firm.rows(Letter)), len(firm.rows(Message))) == (letters, messages)
    assert [(row.channel, row.state, row.payload) for row in firm.rows(InboxEvent)] == [
        ("webchat", "done", None), ("telegram", "done", None)
    ]  # fmt: skip


async def test_the_same_messages_in_many_batches_at_once_are_answered_once(firm):
    messages = [inbound(f"new-{number % 3}", f"e{number}", "Здравствуйте") for number in range(12)]

    async def process(owner):
        return await intake(firm, owner).apply([Arrival(each) for each in messages])

    applied = await asyncio.gather(*(process(f"p{number}") for number in range(4)))
    assert len(firm.rows(InboxEvent)) == 12
    assert len(firm.rows(Chat, channel="webchat")) == len(firm.chats) + 3
    leased = [letter.letter_id for each in applied for letter in each.letters]
    assert len(leased) == len(set(leased))
    keys = [row.key for row in firm.rows(Letter)]
    assert len(keys) == len(set(keys))


async def test_a_chat_is_made_once_and_knows_nothing_but_the_messengers_keys(firm):
    with firm.database.begin() as session:
        batch = open_work(
            session, [inbound("zoya", "e1", TEXT), inbound("zoya", "e2", TEXT)], [], (), firm.clock
        )
        assert len(batch.chats) == 1
        assert batch.fresh == {("webchat", "e1"), ("webchat", "e2")}
    row = firm.row(Chat, chat_key="zoya")
    assert (row.user_key, row.person_id, row.screen, row.focus, row.created_at) == (
        "u-zoya", None, [], "", WEDNESDAY,
    )  # fmt: skip


async def test_a_batch_reads_who_writes_and_the_clients_it_names(firm):
    with firm.database.begin() as session:
        batch = open_work(
            session,
            [inbound("maria", "e1"), inbound("anna", "e2")],
            [],
            {"500100732259", "7736050003"},
            WEDNESDAY,
        )
        maria, anna = batch.chats["webchat", "maria"], batch.chats["webchat", "anna"]
        assert (maria.person_name, maria.consent_version, maria.staff) == ("Мария", "3", None)
        assert [(company.inn, company.name) for company in maria.companies] == [
            ("7707083893", "ООО «Ромашка»")
        ]
        assert (anna.staff.staff_id, anna.staff.role, anna.companies) == (
            firm.staff["anna"],
            "accountant",
            (),
        )
        assert batch.directory == {"500100732259": "ИП Ветров"}


# --- one chat at several processes ---------------------------------------------------------------


def _at_both(firm, one, other):
    """Apply a message in two transactions at once; what the second one found in the middle of."""
    begun, found = threading.Event(), []

    def first():
        with firm.database.begin() as session:
            batch = open_work(session, [one], [], (), firm.clock)
            begun.set()
            time.sleep(0.3)
            chat = batch.chat_of(one)
            if chat.person_id is not None:
                batch.save_draft(chat, {"step": 1})
            batch.flush("one")

    def second():
        begun.wait(10)
        with firm.database.begin() as session:
            batch = open_work(session, [other], [], (), firm.clock)
            found.append((batch.chat_of(other).draft, batch.chat_of(other).chat_id))
            batch.flush("two")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def test_a_second_message_of_a_chat_sees_what_the_first_has_led_to(firm):
    ((draft, _chat_id),) = _at_both(firm, inbound("maria", "e1", "раз"), inbound("maria", "e2", "два"))
    assert draft == {"step": 1}


def test_so_does_one_from_another_chat_of_the_same_person(firm):
    with firm.database.begin() as session:
        session.add(
            Chat(
                channel="telegram",
                chat_key="m",
                user_key="m",
                person_id=firm.people["maria"],
                created_at=firm.clock,
            )
        )
    other = inbound("m", "e2", "два", channel="telegram")
    ((draft, _chat_id),) = _at_both(firm, inbound("maria", "e1", "раз"), other)
    assert draft == {"step": 1}


def test_two_first_messages_of_somebody_new_make_one_chat(firm):
    ((_draft, chat_id),) = _at_both(firm, inbound("zoya", "e1", "раз"), inbound("zoya", "e2", "два"))
    assert [row.id for row in firm.rows(Chat, chat_key="zoya")] == [chat_id]


async def test_what_another_process_sends_to_is_left_to_it(firm):
    ours = Intake(firm.database, lambda: firm.house, lambda: firm.clock, "town", lambda name: name == "vk")
    applied = await ours.apply(
        [Arrival(inbound("a", "e1", "день", channel="vk")), Arrival(inbound("b", "e2", "день"))]
    )
    assert {letter.channel for letter in applied.letters} == {"vk"}
    assert applied.wakes_delivery
    assert {(row.state, row.lease_owner) for row in firm.rows(Letter)} == {("doing", "town"), ("todo", "")}


# --- before consent ------------------------------------------------------------------------------


async def test_before_consent_nothing_of_a_person_is_kept(firm):
    people = len(firm.rows(Person))
    said = [
        inbound("zoya", "e1", kind=InboundKind.STARTED),
        inbound("zoya", "e2", TEXT),
        inbound("zoya", "e3", TEXT, kind=InboundKind.FILE, files=(BILL,)),
        inbound("zoya", "e4", "стикер Тайной", kind=InboundKind.OTHER),
    ]
    for message in said:
        assert (await take(firm, message)).chats_to_fetch == set()
    await intake(firm).poisoned(Arrival(inbound("zoya", "e5", TEXT, files=(BILL,))), ValueError())
    stored = everything_stored(firm.database)
    for secret in ("Тайн", "7736050003", "секретный", "Зоя"):
        assert secret not in stored
    assert len(firm.rows(Person)) == people
    assert firm.rows(Message) == []
    assert [row.state for row in firm.rows(InboxEvent)] == ["done"] * 4 + ["failed"]
    assert len(firm.rows(Letter, chat_id=firm.row(Chat, chat_key="zoya").id)) >= 4


# --- messages with files -------------------------------------------------------------------------


async def test_what_a_chat_says_while_its_files_are_fetched_waits_in_order(firm):
    applied = await take(
        firm,
        inbound("maria", "e1", "Вот счёт", kind=InboundKind.FILE, files=(BILL,)),
        inbound("maria", "e2", "до пятницы"),
        inbound("pyotr", "e3", "/status"),
    )
    assert applied.chats_to_fetch == {firm.chats["maria"]}
    await take(firm, inbound("maria", "e4", "спасибо"))
    assert firm.rows(Letter, chat_id=firm.chats["maria"]) == []
    with firm.database.read() as session:
        waiting = work.waiting_events(session, firm.chats["maria"])
        assert waiting == work.waiting_events(session)
    messages = [inbound_from_json(payload) for _id, _chat, payload in waiting]
    assert [message.event_key for message in messages] == ["e1", "e2", "e4"]
    assert messages[0].files == (BILL,)
    fetched = tuple((row[0], message, ()) for row, message in zip(waiting, messages, strict=True))
    await intake(firm).apply([Fetched(firm.chats["maria"], fetched)])
    assert {(row.state, row.payload) for row in firm.rows(InboxEvent)} == {("done", None)}
    assert [row.event_key for row in firm.rows(Message, chat_id=firm.chats["maria"])] == ["e1", "e2", "e4"]


def letters_to(firm, name):
    return [letter for letter in firm.rows(Letter) if letter.chat_id == firm.chats[name]]


async def test_a_message_that_fails_is_kept_whole_and_apologised_for_once(firm):
    message = inbound("maria", "e1", "Важное")
    for _time in range(2):
        await intake(firm).poisoned(Arrival(message), ValueError())
    row = firm.row(InboxEvent)
    assert (row.state, row.payload["text"], row.chat_id) == ("failed", "Важное", firm.chats["maria"])
    assert len(letters_to(firm, "maria")) == 1
    [call] = letters_to(firm, "elena")
    assert "Ответьте сами" in call.text


async def test_fetched_messages_that_fail_again_and_again_are_apologised_for_once(firm):
    message = inbound("maria", "e1", "Вот", kind=InboundKind.FILE, files=(BILL,))
    await take(firm, message)
    operation = Fetched(firm.chats["maria"], ((firm.row(InboxEvent).id, message, ()),))
    for _time in range(2):
        await intake(firm).poisoned(operation, ValueError())
    assert (firm.row(InboxEvent).state, len(letters_to(firm, "maria"))) == ("failed", 1)
    assert firm.row(InboxEvent).payload["text"] == "Вот"


async def test_one_bad_message_of_a_waiting_chat_harms_no_other(firm):
    good = [inbound("maria", f"e{n}", f"Слово {n}", kind=InboundKind.FILE, files=(BILL,)) for n in (1, 3)]
    bad = inbound("maria", "e2", "Слово 2", kind=InboundKind.FILE, files=(BILL,))
    await take(firm, good[0], bad, good[1])
    spoilt = replace(bad, kind=None)
    messages = zip((row.id for row in firm.rows(InboxEvent)), (good[0], spoilt, good[1]), strict=True)
    operation = Fetched(firm.chats["maria"], tuple((number, message, ()) for number, message in messages))
    with pytest.raises(AttributeError):
        await intake(firm).apply([operation])
    await intake(firm).poisoned(operation, AttributeError())
    assert [row.state for row in firm.rows(InboxEvent)] == ["done", "failed", "done"]


async def test_what_another_process_has_answered_is_not_answered_again(firm):
    message = inbound("maria", "e1", "Вот", kind=InboundKind.FILE, files=(BILL,))
    await take(firm, message)
    operation = Fetched(firm.chats["maria"], ((firm.row(InboxEvent).id, message, ()),))
    await intake(firm).apply([operation])
    once = len(firm.rows(Message))
    await intake(firm).apply([operation])
    assert len(firm.rows(Message)) == once


@pytest.mark.parametrize(
    "words", ["a\0b", "половина \ud83d пары", "😀" * 5000, ""], ids=["nul", "half", "long", "empty"]
)
async def test_whatever_bytes_a_message_holds_it_is_kept_or_kept_as_failed(firm, words):
    message = inbound("maria", "e1", words)
    try:
        await take(firm, message)
    except Exception as error:  # noqa: BLE001 - what the group commit does
        await intake(firm).poisoned(Arrival(message), error)
    assert firm.row(InboxEvent).state in ("done", "failed")
    assert len(letters_to(firm, "maria")) == 1


# --- chats come and go ---------------------------------------------------------------------------


async def test_who_closes_the_chat_is_not_written_to_until_they_write(firm):
    await take(firm, inbound("maria", "e1", kind=InboundKind.BLOCKED))
    assert firm.row(Chat, chat_key="maria").blocked_at == WEDNESDAY
    firm.clock += MINUTE
    await take(firm, inbound("maria", "e2", "/status"))
    row = firm.row(Chat, chat_key="maria")
    assert (row.blocked_at, row.last_inbound_at) == (None, WEDNESDAY), "the messenger's own time counts"
    assert {letter.state for letter in firm.rows(Letter)} == {"doing"}


async def test_a_late_refusal_in_the_batch_of_a_new_message_leaves_the_chat_open(firm):
    (letter, *_more) = (await take(firm, inbound("maria", "e1", "/status"))).letters
    firm.clock += MINUTE
    refused = Settlement(letter.letter_id, letter.chat_id, LetterState.FAILED, firm.clock, chat_blocked=True)
    applied = await intake(firm).apply([Arrival(inbound("maria", "e2", "/status")), refused])
    assert firm.row(Chat, chat_key="maria").blocked_at is None
    assert len(applied.letters) == 1


async def test_a_draft_is_kept_replaced_and_forgotten(firm):
    def step(progress):
        with firm.database.begin() as session:
            batch = open_work(session, [], [inbound("maria", "e1")], (), firm.clock)
            batch.save_draft(batch.chats["webchat", "maria"], progress)
            batch.flush("town")
        with firm.database.read() as session:
            return session.connection().execute(text("select count(*) from draft")).scalar_one()

    assert step({"a": "1"}) == 1
    firm.clock += MINUTE
    assert step({"a": "2"}) == 1
    assert step(None) == 0
    assert step(None) == 0


async def test_a_message_survives_being_written_down():
    message = inbound("maria", "e1", "Вот", files=(BILL, replace(BILL, reference="r2")), button="form:x:y:1")
    assert inbound_from_json(inbound_to_json(message)) == message
