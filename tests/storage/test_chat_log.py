"""The web chat's memory: both sides, in order, page after page, nothing lost between two pages."""

from datetime import timedelta

import pytest

from forms.messages import Button, OutgoingFile, Reply
from forms.texts import plain
from notifications.outbox import ShownButton
from storage import chat_log
from storage.letters import Posting, post
from storage.models import Letter, Message
from tests.storage.firm import MINUTE, WEDNESDAY, Firm

BILL = OutgoingFile("a" * 64, "счёт.pdf", "application/pdf", 5)


class Chatting(Firm):
    def says(self, *texts, name="maria", files=()):
        with self.database.begin() as session:
            session.add_all(
                Message(
                    chat_id=self.chats[name], person_id=self.people[name], direction="in",
                    text=text, event_key=f"e-{text}", files=list(files),
                    sent_at=self.clock - MINUTE, received_at=self.clock,
                )
                for text in texts
            )  # fmt: skip

    def hears(self, *texts, name="maria", state="sent", **reply):
        with self.database.begin() as session:
            postings = (
                Posting(f"k-{text}", Reply(plain(text), **reply), chat_id=self.chats[name]) for text in texts
            )
            post(session, self.house, self.clock, postings)
        for text in texts:
            self.change(Letter, self.row(Letter, key=f"k-{text}").id, state=state)

    def latest(self, limit=50, before=None, name="maria", channel="webchat"):
        with self.database.read() as session:
            return chat_log.latest(session, channel, name, limit, before)

    def texts(self, **more):
        return [item.text for item in self.latest(**more)]


@pytest.fixture
def chat(database):
    return Chatting.open(database)


@pytest.mark.parametrize(
    ("name", "version", "may"),
    [("maria", "3", True), ("maria", "4", False), ("anna", "4", True), ("nobody", "3", False)],
    ids=["agreed", "agreed to an older one", "staff", "unknown"],
)
async def test_what_may_be_kept_of_whom(chat, name, version, may):
    with chat.database.read() as session:
        assert chat_log.may_keep(session, "webchat", name, version) is may


async def test_both_sides_in_the_order_of_what_was_said(chat):
    chat.hears("д")
    chat.says("а", "б")
    chat.hears("в", "г")
    chat.clock += timedelta(milliseconds=1)
    chat.says("е")
    assert chat.texts() == ["а", "б", "д", "в", "г", "е"]
    assert [item.mine for item in chat.latest()] == [True, True, False, False, False, True]
    ids = [item.id for item in chat.latest()]
    assert ids == sorted(set(ids))
    assert max(ids) < 2**53


async def test_a_letter_is_there_from_the_moment_it_leaves(chat):
    for state in ("todo", "doing", "sent", "superseded", "failed"):
        chat.hears(state, state=state)
    assert chat.texts() == ["doing", "sent"]


async def test_everything_is_shown_as_it_was(chat):
    button = Button(plain("Да"), "s:t:yes:1")
    chat.hears("Верно?", rows=((button,),), files=(BILL,))
    (letter,) = chat.latest()
    assert (letter.key, letter.rows, letter.files, letter.sent_at) == (
        "k-Верно?", ((ShownButton("Да", "s:t:yes:1"),),), (BILL,), WEDNESDAY,
    )  # fmt: skip
    chat.clock += MINUTE
    file = {"sha256": BILL.sha256, "name": BILL.name, "media_type": BILL.media_type, "size_bytes": 5}
    chat.says("Да", files=(file,))
    said = chat.latest()[-1]
    assert (said.key, said.files, said.sent_at) == ("e-Да", (BILL,), WEDNESDAY)


async def test_page_after_page_nothing_is_lost_and_nothing_comes_twice(chat):
    for number in range(40):
        if number % 3:
            chat.says(*(f"{number:02}-{part}" for part in range(number % 5)))
        else:
            chat.hears(f"{number:02}-x", f"{number:02}-y")
        if number % 4 == 0:
            chat.clock += timedelta(milliseconds=number)
    everything = [item.id for item in chat.latest(limit=1000)]
    for limit in (1, 7, 50):
        pages, before = [], None
        while page := chat.latest(limit, before):
            assert len(page) <= limit
            pages = [item.id for item in page] + pages
            before = page[0].id
        assert pages == everything


async def test_nobody_elses_words(chat):
    chat.says("моё")
    chat.says("чужое", name="pyotr")
    chat.hears("чужой ответ", name="pyotr")
    assert chat.texts() == ["моё"]
    assert chat.texts(channel="telegram") == []
    assert chat.texts(name="nobody") == []


async def test_notes_of_staff_are_not_shown(chat):
    with chat.database.begin() as session:
        session.add(
            Message(
                chat_id=chat.chats["maria"], direction="note", text="Капризная", sent_at=WEDNESDAY,
                received_at=WEDNESDAY,
            )
        )  # fmt: skip
    assert chat.texts() == []
