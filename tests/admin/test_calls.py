"""The proof of what arrived, and the list of people to telephone."""

import html
import re
from datetime import timedelta

import pytest

from storage import casework, history
from storage.models import CallTask, Chat, Letter

MINUTE = timedelta(minutes=1)


@pytest.fixture
def firm(office):
    """A request of the first client that Anna has taken up; nothing has been sent yet."""
    number = office.submit()
    office.give(number, "anna")
    with office.database.begin() as session:
        casework.accept(session, office.house, office.who("anna"), number, office.clock)
        session.add(
            Chat(
                channel="telegram", chat_key="tg", user_key="tg", person_id=office.speakers[0],
                created_at=office.clock,
            )
        )  # fmt: skip
    return office


@pytest.fixture
def number(firm):
    return firm.all(Letter)[0].request_id


def letters_to_client(office):
    return [row for row in office.all(Letter) if row.person_id == office.speakers[0]]


def change(office, letter_id, **values):
    with office.database.begin() as session:
        row = session.get_one(Letter, letter_id)
        for name, value in values.items():
            setattr(row, name, value)


def copy_of(office, letter, channel="telegram", **values):
    chat = next(chat for chat in office.all(Chat) if chat.channel == channel)
    with office.database.begin() as session:
        copy = Letter(
            key=f"{letter.key}>{chat.id}", chat_id=chat.id, person_id=letter.person_id,
            request_id=letter.request_id, text=f"Не дошло. {letter.text}", not_before=office.clock,
            created_at=office.clock, replaces_id=letter.id, **values,
        )  # fmt: skip
        session.add(copy)


def shown(office, number):
    page = office.browser("director").page(f"/panel/requests/{number}/")
    return [
        " ".join(re.sub(r"<[^>]+>", " ", line).split())
        for line in re.findall(r'<p class="delivery[^>]*>(.*?)</p>', page, re.DOTALL)
    ]


def test_each_message_says_how_far_it_came(firm, number):
    receipt, *others = letters_to_client(firm)
    for letter in others:
        change(firm, letter.id, state="superseded")
    at = firm.clock
    for values, words in (
        ({"state": "todo"}, "ждёт отправки"),
        ({"state": "sent", "sent_at": at}, "отправлено 25.11 11:00"),
        ({"delivered_at": at + MINUTE}, "доставлено 25.11 11:01"),
        ({"read_at": at + 5 * MINUTE}, "прочитано 25.11 11:05"),
        ({"state": "failed", "reason": "Чат закрыт"}, "не доставлено: Чат закрыт"),
    ):
        change(firm, receipt.id, **values)
        assert any(words in line for line in shown(firm, number)), (words, shown(firm, number))


def test_a_copy_says_what_it_stands_for_and_which_counts(firm, number):
    receipt = letters_to_client(firm)[0]
    change(firm, receipt.id, state="failed", reason="Чат закрыт")
    copy_of(firm, receipt, state="sent", sent_at=firm.clock + MINUTE, delivered_at=firm.clock + 2 * MINUTE)
    lines = shown(firm, number)
    assert "чат на сайте: не доставлено: Чат закрыт" in lines
    assert "вместо чат на сайте → Telegram: доставлено 25.11 11:02 · считается" in lines
    assert sum("считается" in line for line in lines) == 1


def test_only_one_copy_counts_though_both_arrived(firm, number):
    receipt = letters_to_client(firm)[0]
    change(firm, receipt.id, state="sent", sent_at=firm.clock, delivered_at=firm.clock + 9 * MINUTE)
    copy_of(firm, receipt, state="sent", sent_at=firm.clock, delivered_at=firm.clock + 2 * MINUTE)
    counting = [line for line in shown(firm, number) if "считается" in line]
    assert counting == ["вместо чат на сайте → Telegram: доставлено 25.11 11:02 · считается"]


def test_what_a_copy_delivered_is_not_counted_as_undelivered(firm, number):
    receipt = letters_to_client(firm)[0]
    change(firm, receipt.id, state="failed", reason="Чат закрыт")
    assert figure(firm, "undelivered") == "1"
    copy_of(firm, receipt, state="sent", sent_at=firm.clock)
    assert figure(firm, "undelivered") == "0"


def figure(office, key, who="director"):
    page = office.browser(who).page("/panel/")
    return re.search(rf'data-key="{key}"[^>]*><b>(\d+)</b>', page).group(1)


# --- the list ------------------------------------------------------------------------------------


@pytest.fixture
def call(firm, number):
    """The client closed every chat before the accountant wrote."""
    with firm.database.begin() as session:
        for chat in firm.all(Chat):
            if chat.person_id == firm.speakers[0]:
                session.get_one(Chat, chat.id).blocked_at = firm.clock
    with firm.database.begin() as session:
        casework.answer(session, firm.house, firm.who("anna"), number, "Нужна доверенность", (), firm.clock)
    (task,) = firm.all(CallTask)
    return task


def test_the_list_says_whom_to_call_and_what_they_have_not_read(firm, number, call):
    assert figure(firm, "calls") == "1"
    page = firm.browser("anna").page("/panel/calls/")
    for words in ("Клиент 0", "ООО «Ромашка»", "+7 900 000-00-00", f"№ {number}", "Нужна доверенность"):
        assert words in page, words
    assert "Клиент 0" not in firm.browser("boris").page("/panel/calls/"), "somebody else's"
    assert "Нужна доверенность" not in firm.browser("admin").page("/panel/calls/")
    assert "звонок: ещё не дозвонились" in shown(firm, number)


def test_a_call_is_tried_and_done(firm, number, call):
    browser = firm.browser("anna")
    browser.send(f"/panel/calls/{call.id}", what="silent")
    assert "25.11 11:00, Анна Петрова: не отвечает" in browser.page("/panel/calls/")
    browser.send(f"/panel/calls/{call.id}", what="done", note="Привезёт завтра")
    assert "Звонить некому" in browser.page("/panel/calls/")
    (task,) = firm.all(CallTask)
    assert task.done_by == firm.staff["anna"]
    assert task.outcome.endswith("Привезёт завтра")
    assert any("Привезёт завтра" in line for line in shown(firm, number))
    assert figure(firm, "undelivered") == "0"
    answer = browser.send(f"/panel/calls/{call.id}", follow=True, what="done")
    assert "Этот звонок уже закрыт." in answer.get_data(as_text=True)


def test_somebody_elses_call_cannot_be_closed(firm, call):
    firm.browser("boris").send(f"/panel/calls/{call.id}", what="done")
    assert [task.done_at for task in firm.all(CallTask)] == [None]


# --- calls for a person that nobody heard --------------------------------------------------------


def test_a_call_for_a_person_that_reached_nobody_stands_on_the_first_page(office):
    with office.database.begin() as session:
        for told, chat in ((0, 1), (2, 2)):
            history.record(
                session, at=office.clock, actor_id=office.speakers[0], through="webchat",
                action="human_called", subject=f"chat:{chat}", before=None, after={"told": told},
            )  # fmt: skip
    assert figure(office, "unheard") == "1"
    director = office.browser("director")
    (link,) = re.findall(r'href="(/panel/history/\?action=human_called[^"]*)"', director.page("/panel/"))
    assert "since=2026-11-18" in link
    page = director.page(html.unescape(link))
    assert page.count("позвал человека</b>") == 1
