"""Posting: whose chat, in which order, what is leased at once, what is never written twice."""

import asyncio
from datetime import timedelta

import pytest

from forms.messages import Button, OutgoingFile, Reply
from forms.texts import plain
from notifications.outbox import ShownButton
from storage.letters import LEASE_SECONDS, ChatAddress, Posting, post, write_posted
from storage.models import Chat, Letter
from tests.storage.firm import MINUTE, WEDNESDAY, Firm

OURS = "this process"


@pytest.fixture
def firm(database):
    return Firm.open(database)


def words(text, **more):
    return Reply(plain(text), **more)


def posted(firm, *postings, owner="", addresses=None):
    """Post in one transaction; returns the letters that were leased to `owner`."""
    with firm.database.begin() as session:
        for posting in postings:
            post(session, firm.house, firm.clock, (posting,))
        return write_posted(session, owner, addresses).leased if owner else ()


def to(firm, name, key, text="Текст", **more):
    reply = {name: more.pop(name) for name in ("rows", "prompt", "merge_seconds", "files") if name in more}
    return Posting(key, words(text, **reply), chat_id=firm.chats[name], **more)


def stored(firm):
    return [(row.key, row.state) for row in firm.rows(Letter)]


async def test_what_was_posted_is_written_by_the_commit_in_its_order(firm):
    names = ("maria", "anna", "maria", "boris")
    keys = [f"k{number}" for number in range(1200)]
    posted(firm, *(to(firm, names[number % 4], key) for number, key in enumerate(keys)))
    rows = firm.rows(Letter)
    assert [row.key for row in rows] == keys
    assert {(row.state, row.lease_owner, row.attempts) for row in rows} == {("todo", "", 0)}


async def test_nothing_is_written_when_the_use_case_fails(firm):
    def fails():
        with firm.database.begin() as session:
            post(session, firm.house, firm.clock, (to(firm, "maria", "k"),))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    posted(firm)
    assert stored(firm) == []


async def test_a_chat_linked_by_the_same_use_case_is_found(firm):
    firm.change(Chat, firm.chats["maria"], person_id=None)
    with firm.database.begin() as session:
        session.get_one(Chat, firm.chats["maria"]).person_id = firm.people["maria"]
        post(session, firm.house, firm.clock, (Posting("k", words("Раз"), person_id=firm.people["maria"]),))
    assert stored(firm) == [("k", "todo")]


async def test_a_letter_is_kept_whole(firm):
    files = (OutgoingFile("a" * 64, "счёт.pdf", "application/pdf", 7),)
    rows = (
        (Button(plain("Да"), "s:t:yes:1"), Button(plain("Нет"), "s:t:no:1")),
        (Button(plain("Позже"), "s:t:later:1"),),
    )
    (letter,) = posted(
        firm,
        to(firm, "maria", "k", "Верно?", rows=rows, files=files, urgent=True, person_id=firm.people["maria"]),
        owner=OURS,
    )
    assert (letter.key, letter.text, letter.urgent, letter.attempts) == ("k", "Верно?", True, 0)
    assert letter.rows == (
        (ShownButton("Да", "s:t:yes:1"), ShownButton("Нет", "s:t:no:1")),
        (ShownButton("Позже", "s:t:later:1"),),
    )
    assert letter.files == files
    assert (letter.channel, letter.chat_key, letter.created_at) == ("webchat", "maria", WEDNESDAY)
    row = firm.row(Letter)
    assert (row.id, row.state, row.lease_owner) == (letter.letter_id, "doing", OURS)
    assert row.lease_until == WEDNESDAY + timedelta(seconds=LEASE_SECONDS)


# --- the same key again --------------------------------------------------------------------------


async def test_a_repeated_key_is_posted_once_and_harms_nothing_around_it(firm):
    posted(firm, to(firm, "maria", "k1", "Первое"))
    letters = posted(
        firm,
        to(firm, "anna", "a"),
        to(firm, "maria", "k1", "Второе"),
        to(firm, "boris", "b", "Раз"),
        to(firm, "boris", "b", "Два"),
        to(firm, "boris", "c"),
        owner=OURS,
    )
    assert [letter.key for letter in letters] == ["a", "b", "c"]
    assert stored(firm) == [("k1", "todo"), ("a", "doing"), ("b", "doing"), ("c", "doing")]
    assert [row.text for row in firm.rows(Letter)] == ["Первое", "Текст", "Раз", "Текст"]
    assert {letter.letter_id for letter in letters} == {row.id for row in firm.rows(Letter, state="doing")}


async def test_a_repeated_question_does_not_supersede_itself(firm):
    button = ((Button(plain("Да"), "s:t:yes:1"),),)
    posted(firm, to(firm, "maria", "k", prompt=True, rows=button))
    posted(firm, to(firm, "maria", "k", prompt=True))
    assert stored(firm) == [("k", "todo")]
    assert firm.row(Chat, chat_key="maria").screen[0][:2] == ["Да", "s:t:yes:1"]


async def test_the_same_key_from_many_at_once(firm):
    def one():
        return posted(firm, to(firm, "maria", "k"), to(firm, "anna", "a"), owner=OURS)

    leased = await asyncio.gather(*(asyncio.to_thread(one) for _number in range(6)))
    assert sorted(key for key, _state in stored(firm)) == ["a", "k"]
    assert sorted(letter.key for letters in leased for letter in letters) == ["a", "k"]


# --- questions -----------------------------------------------------------------------------------


async def test_a_question_takes_the_place_of_an_unsent_one_of_its_chat(firm):
    posted(
        firm,
        to(firm, "maria", "old", prompt=True),
        to(firm, "maria", "fact"),
        to(firm, "anna", "hers", prompt=True),
    )
    posted(firm, to(firm, "maria", "new", prompt=True))
    assert stored(firm) == [("old", "superseded"), ("fact", "todo"), ("hers", "todo"), ("new", "todo")]


@pytest.mark.parametrize("state", ["doing", "sent", "failed"])
async def test_a_question_that_has_left_stays(firm, state):
    posted(firm, to(firm, "maria", "old", prompt=True))
    firm.change(Letter, 1, state=state, lease_owner="another")
    posted(firm, to(firm, "maria", "new", prompt=True))
    assert stored(firm) == [("old", state), ("new", "todo")]


async def test_of_several_questions_of_one_batch_the_last_is_asked(firm):
    letters = posted(
        firm,
        to(firm, "maria", "1", prompt=True),
        to(firm, "anna", "2", prompt=True),
        to(firm, "maria", "3"),
        to(firm, "maria", "4", prompt=True),
        owner=OURS,
    )
    assert [letter.key for letter in letters] == ["2", "3", "4"]
    assert [key for key, _state in stored(firm)] == ["2", "3", "4"]


# --- what may leave at once ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "owner", "at_once"),
    [
        ("todo", "", False),
        ("doing", "another process", False),
        ("doing", OURS, True),
        ("sent", "", True),
        ("failed", "", True),
        ("superseded", "", True),
    ],
)
async def test_a_letter_leaves_at_once_unless_an_earlier_one_waits_elsewhere(firm, state, owner, at_once):
    posted(firm, to(firm, "maria", "before"))
    firm.change(Letter, 1, state=state, lease_owner=owner)
    letters = posted(firm, to(firm, "maria", "after"), to(firm, "anna", "other"), owner=OURS)
    assert [letter.key for letter in letters] == (["after", "other"] if at_once else ["other"])
    assert stored(firm)[1:] == [("after", "doing" if at_once else "todo"), ("other", "doing")]


async def test_what_follows_a_waiting_letter_waits_behind_it(firm):
    letters = posted(
        firm,
        to(firm, "maria", "1"),
        to(firm, "maria", "2", merge_seconds=1.5),
        to(firm, "maria", "3"),
        to(firm, "anna", "4", not_before=WEDNESDAY + MINUTE),
        to(firm, "anna", "5"),
        owner=OURS,
    )
    assert [letter.key for letter in letters] == ["1"]
    due = {row.key: row.not_before - WEDNESDAY for row in firm.rows(Letter)}
    assert due == {
        "1": timedelta(), "2": timedelta(seconds=1.5), "3": timedelta(), "4": MINUTE, "5": timedelta()
    }  # fmt: skip


async def test_chats_that_the_caller_has_read_are_not_read_again(firm):
    known = {firm.chats["maria"]: ChatAddress(firm.chats["maria"], "telegram", "777")}
    letters = posted(firm, to(firm, "maria", "1"), to(firm, "anna", "2"), owner=OURS, addresses=known)
    assert [(letter.channel, letter.chat_key) for letter in letters] == [
        ("telegram", "777"),
        ("webchat", "anna"),
    ]


# --- to a person ---------------------------------------------------------------------------------


async def test_a_persons_liveliest_chat_is_taken(firm):
    with firm.database.begin() as session:
        for number, (heard, blocked) in enumerate(
            [(None, None), (WEDNESDAY, None), (WEDNESDAY - MINUTE, None), (WEDNESDAY + MINUTE, WEDNESDAY)]
        ):
            session.add(
                Chat(
                    channel="telegram", chat_key=f"{number}", user_key="1", person_id=firm.people["maria"],
                    created_at=WEDNESDAY, last_inbound_at=heard, blocked_at=blocked,
                )
            )  # fmt: skip
    (letter,) = posted(firm, Posting("k", words("Раз"), person_id=firm.people["maria"]), owner=OURS)
    assert letter.chat_key == "1"
    assert firm.row(Letter).person_id == firm.people["maria"]


async def test_who_has_no_chat_or_closed_it_is_not_reached_and_it_is_kept_why(firm):
    firm.change(Chat, firm.chats["maria"], blocked_at=WEDNESDAY)
    firm.change(Chat, firm.chats["boris"], person_id=None)
    letters = posted(
        firm,
        Posting("1", words("Раз"), person_id=firm.people["maria"]),
        to(firm, "maria", "2"),
        Posting("3", words("Раз"), person_id=firm.people["boris"]),
        to(firm, "anna", "4"),
        owner=OURS,
    )
    directors = [f"call:1:{firm.people[key]}" for key in ("elena", "oleg")]
    assert [letter.key for letter in letters] == ["4", *directors], "one call, whatever did not arrive"
    assert [(row.key, row.state, row.reason, row.chat_id) for row in firm.rows(Letter)[:4]] == [
        ("1", "failed", "нет привязанного мессенджера", None),
        ("2", "failed", "чат закрыт получателем", firm.chats["maria"]),
        ("3", "failed", "нет привязанного мессенджера", None),
        ("4", "doing", "", firm.chats["anna"]),
    ]


# --- what a chat has in sight --------------------------------------------------------------------


def shown(firm, name):
    return [button[0] for button in firm.row(Chat, chat_key=name).screen if button[0]]


async def test_the_buttons_in_sight_and_the_focus_are_remembered(firm):
    yes, no = (Button(plain(label), f"s:t:{number}:1") for number, label in enumerate(("Да", "Нет")))
    posted(firm, to(firm, "maria", "1", rows=((yes,),), focus="clar:5"))
    assert (shown(firm, "maria"), firm.row(Chat, chat_key="maria").focus) == (["Да"], "clar:5")
    posted(firm, to(firm, "maria", "2"))
    assert (shown(firm, "maria"), firm.row(Chat, chat_key="maria").focus) == (["Да"], "clar:5")
    posted(firm, to(firm, "maria", "3", rows=((no,),), keeps_screen=True))
    assert sorted(shown(firm, "maria")) == ["Да", "Нет"]
    posted(firm, to(firm, "maria", "4", rows=((no,),), focus=""))
    assert (shown(firm, "maria"), firm.row(Chat, chat_key="maria").focus) == (["Нет"], "")
    posted(firm, to(firm, "maria", "5", prompt=True))
    assert shown(firm, "maria") == []
