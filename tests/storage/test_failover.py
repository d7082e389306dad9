"""What does not arrive in one chat goes to the next one, by e-mail, or to the telephone: once."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import select

from bots.intake import Intake
from forms.messages import Button, Delivery, DeliveryState, OutgoingFile, Press, Reply
from forms.texts import plain
from notifications import undelivered
from notifications.outbox import LetterState, Settlement
from notifications.texts import Catalogue
from storage import calls, failover, postoffice
from storage.deliveries import Told
from storage.group_commit import GroupCommit
from storage.letters import Posting, post
from storage.models import CallTask, Chat, Client, ClientPerson, Letter, Person
from storage.sweeps import sweep
from tests.storage.firm import MINUTE, WEDNESDAY, Firm

OURS = "this process"
MESSENGERS = ("webchat", "telegram", "viber", "mail")
TITLES = {"webchat": "Веб-чат", "telegram": "Telegram", "viber": "Viber", "mail": "почте"}
DELIVERED, FAILED = Delivery(DeliveryState.DELIVERED), Delivery(DeliveryState.FAILED, "не в сети")


class Wandering(Firm):
    """Maria has a web chat, a Telegram and a Viber, in this order."""

    def chat(self, channel, name="maria", **more):
        with self.database.begin() as session:
            chat = Chat(
                channel=channel, chat_key=f"{channel}-{name}", user_key=name,
                person_id=self.people[name], created_at=WEDNESDAY, **more,
            )  # fmt: skip
            session.add(chat)
            session.flush()
            return chat.id

    def post(self, *keys, name="maria", chat=None, at_once=False, **more):
        """Post letters to the first chat of a person, or to another one; returns those leased at once."""
        from storage.letters import write_posted

        reply = Reply(plain("Нужна выписка"), **more.pop("reply", {}))
        with self.database.begin() as session:
            for key in keys:
                posting = Posting(
                    key, reply, chat_id=chat or self.chats[name], person_id=self.people[name], **more
                )
                post(session, self.house, self.clock, [posting])
            return write_posted(session, OURS).leased if at_once else ()

    def claim(self, channels=MESSENGERS):
        with self.database.begin() as session:
            return postoffice.claim(session, OURS, channels, 100, self.clock, per_chat=10)

    def settle(self, *settlements):
        with self.database.begin() as session:
            postoffice.settle(session, OURS, settlements)
            failover.after_batch(session, self.house, settlements, [], self.clock)

    def deliver(self, channels=MESSENGERS, **outcomes):
        """Send all that is due; a messenger named in `outcomes` fails with these words."""
        for letter in self.claim(channels):
            why = outcomes.get(letter.channel)
            if why is None:
                self.settle(sent(letter, self.clock))
            else:
                self.settle(
                    Settlement(
                        letter.letter_id, letter.chat_id, LetterState.FAILED, self.clock, reason=why,
                        chat_blocked=why == "закрыт", attempts=1,
                    )
                )  # fmt: skip

    def hear(self, key, delivery):
        row = self.row(Letter, key=key)
        with self.database.begin() as session:
            told = [Told(row.chat_id, row.message_key, delivery, self.clock)]
            failover.after_batch(session, self.house, [], told, self.clock)

    def sweep(self):
        with self.database.begin() as session:
            return sweep(session, self.house, self.clock).moved

    def fates(self, name="maria"):
        """The letters of a person: the messenger and the state of each."""
        channels = {chat.id: chat.channel for chat in self.rows(Chat)}
        return [(channels.get(row.chat_id), row.state) for row in self.letters(name)]


def sent(letter, at):
    return Settlement(
        letter.letter_id, letter.chat_id, LetterState.SENT, at, message_key=f"m{letter.letter_id}", attempts=1
    )


@pytest.fixture
def firm(database):
    firm = Wandering.open(database)
    firm.house = replace(firm.house, channel_titles=TITLES, email_channel="mail")
    return firm


@pytest.fixture
def maria(firm):
    firm.chats["telegram"] = firm.chat("telegram", rank=1)
    firm.chats["viber"] = firm.chat("viber", rank=2)
    return firm


# --- to the next chat ----------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["закрыт", "окно закрыто", "Не доставлено, попыток: 100"])
async def test_a_letter_that_failed_goes_to_the_next_chat(maria, why):
    buttons = ((Button(plain("Да"), str(Press("clar", "5", "yes"))),),)
    file = OutgoingFile("0" * 64, "счёт.pdf", "application/pdf", 10)
    maria.post("k", reply={"rows": buttons, "files": (file,)})
    maria.deliver(webchat=why)
    old, copy = maria.letters("maria")
    assert (old.state, old.reason) == ("failed", why)
    assert (copy.key, copy.replaces_id, copy.state) == (f"k>{maria.chats['telegram']}", old.id, "todo")
    assert copy.text == "Не дошло (Веб-чат), пишем сюда.\nНужна выписка"
    assert (copy.rows, copy.files) == (old.rows, old.files)
    shown = maria.row(Chat, id=maria.chats["telegram"]).screen
    assert shown[0][:2] == ["Да", "clar:5:yes:0"], "and can be typed there"
    maria.deliver()
    assert maria.fates() == [("webchat", "failed"), ("telegram", "sent")]
    assert maria.rows(CallTask) == []


async def test_typed_words_for_a_button_go_along(maria):
    buttons = ((Button(plain("Да"), "clar:5:yes:0", ("верно",)),),)
    maria.post("k", reply={"rows": buttons})
    maria.deliver(webchat="закрыт")
    assert ["Да", "clar:5:yes:0", "верно"] in maria.row(Chat, id=maria.chats["telegram"]).screen


async def test_each_chat_is_tried_once_and_then_somebody_telephones(maria):
    maria.post("k")
    for _step in range(5):
        maria.deliver(webchat="нет", telegram="нет", viber="нет")
    assert maria.fates() == [("webchat", "failed"), ("telegram", "failed"), ("viber", "failed")]
    (call,) = maria.rows(CallTask)
    assert call.letter_id == maria.letters("maria")[0].id
    told = [row for row in maria.rows(Letter) if row.key.startswith("call:")]
    assert {row.person_id for row in told} == {maria.people["elena"], maria.people["oleg"]}
    assert "Мария" in told[0].text
    assert "Нужна выписка" in told[0].text
    maria.clock += 3 * MINUTE
    assert maria.sweep() == 0


async def test_a_letter_is_settled_even_when_what_follows_fails(maria, monkeypatch):
    """Or it would stay leased, and go out again when the lease ends, for ever."""

    def broken(*_):
        raise LookupError("nobody to pass it on to")

    monkeypatch.setattr(failover, "pass_on", broken)
    maria.post("k")
    (letter,) = maria.claim()
    settlement = Settlement(letter.letter_id, letter.chat_id, LetterState.FAILED, maria.clock, reason="нет")
    intake = Intake(maria.database, lambda: maria.house, lambda: maria.clock, OURS)
    committing = GroupCommit(intake.apply, intake.poisoned)
    running = asyncio.create_task(committing.run())
    await committing.do([settlement])
    running.cancel()
    assert (maria.row(Letter, key="k").state, maria.row(Letter, key="k").lease_owner) == ("failed", "")


async def test_answers_of_a_dialogue_stay_in_it(maria):
    maria.post("turn:webchat:1:1")
    maria.deliver(webchat="закрыт")
    maria.clock += timedelta(hours=3)
    maria.sweep()
    assert maria.fates() == [("webchat", "failed")]
    assert maria.rows(CallTask) == []


async def test_nothing_is_sent_to_a_closed_chat(maria):
    maria.post("a", "b")
    (first,) = maria.claim()[:1]
    maria.settle(
        Settlement(first.letter_id, first.chat_id, LetterState.FAILED, maria.clock, chat_blocked=True)
    )
    maria.post("c")
    maria.deliver()
    assert maria.post("d", at_once=True)[0].channel == "telegram", "and leaves at once"
    states = {row.key: row.state for row in maria.letters("maria") if row.replaces_id is None}
    assert states == {"a": "failed", "b": "doing", "c": "failed", "d": "failed"}
    assert [row.key for row in maria.letters("maria") if row.replaces_id] == [
        f"{key}>{maria.chats['telegram']}" for key in ("a", "c", "d")
    ]


async def test_a_letter_that_waits_for_a_closed_chat_is_taken_along(maria):
    maria.post("a", "b")
    maria.change(Chat, maria.chats["maria"], blocked_at=WEDNESDAY)
    assert maria.claim() == ()
    maria.sweep()
    assert maria.fates() == [
        ("webchat", "failed"), ("webchat", "failed"), ("telegram", "todo"), ("telegram", "todo"),
    ]  # fmt: skip


async def test_who_unlinked_the_chat_is_written_to_in_another(maria):
    maria.change(Chat, maria.chats["maria"], person_id=None)
    maria.post("a")
    assert maria.fates() == [("webchat", "failed"), ("telegram", "todo")]


async def test_the_person_chooses_the_order(maria):
    maria.change(Chat, maria.chats["viber"], rank=0)
    maria.change(Chat, maria.chats["maria"], rank=5)
    maria.post("a")
    maria.deliver(webchat="нет")
    maria.deliver(viber="нет")
    maria.deliver()
    assert maria.fates() == [("webchat", "failed"), ("viber", "failed"), ("telegram", "sent")]


async def test_staff_are_never_on_the_list(firm):
    firm.post("k", name="anna")
    firm.deliver(webchat="закрыт")
    firm.clock += timedelta(hours=3)
    assert firm.sweep() == 0
    assert firm.rows(CallTask) == []
    firm.chat("telegram", "anna")
    assert firm.sweep() == 1
    assert firm.fates("anna") == [("webchat", "failed"), ("telegram", "todo")]


async def test_a_long_key_stays_short_enough(maria):
    maria.post("k" * 200)
    maria.deliver(webchat="нет")
    maria.deliver(telegram="нет")
    keys = [row.key for row in maria.letters("maria")]
    assert len(keys) == len(set(keys)) == 3
    assert max(map(len, keys)) <= 200


# --- by e-mail -----------------------------------------------------------------------------------


async def test_the_last_resort_before_the_telephone_is_the_post(firm):
    firm.change(Person, firm.people["maria"], email="Maria@Example.org")
    firm.post("k")
    firm.deliver(webchat="закрыт")
    (box,) = firm.rows(Chat, channel="mail")
    assert (box.chat_key, box.person_id) == ("maria@example.org", firm.people["maria"])
    assert firm.fates() == [("webchat", "failed"), ("mail", "todo")]
    firm.deliver(mail="такого адреса нет")
    assert len(firm.rows(CallTask)) == 1


async def test_an_address_of_somebody_else_is_left_alone(firm):
    firm.change(Person, firm.people["maria"], email="box@example.org")
    with firm.database.begin() as session:
        session.add(
            Chat(
                channel="mail", chat_key="box@example.org", user_key="x", person_id=firm.people["pyotr"],
                created_at=WEDNESDAY,
            )
        )  # fmt: skip
    firm.post("k")
    firm.deliver(webchat="закрыт")
    assert firm.fates() == [("webchat", "failed")]
    assert len(firm.rows(CallTask)) == 1


# --- a messenger that is down --------------------------------------------------------------------


def refuses(firm, name="maria"):
    """The messenger has not taken the latest letter so far."""
    firm.change(Letter, firm.letters(name)[-1].id, attempts=1, reason="status 502")


async def test_after_an_outage_of_our_own_letters_get_their_chance_to_leave(maria):
    maria.post("k")
    refuses(maria)
    maria.clock += timedelta(hours=3)
    up_since = maria.clock
    with maria.database.begin() as session:
        assert sweep(session, maria.house, maria.clock, up_since=up_since).moved == 0
    maria.clock += 10 * MINUTE
    with maria.database.begin() as session:
        assert sweep(session, maria.house, maria.clock, up_since=up_since).moved == 1


async def test_a_letter_that_nobody_has_tried_proves_no_outage(maria):
    maria.post("k")
    maria.clock += timedelta(hours=3)
    assert maria.sweep() == 0
    maria.house = replace(maria.house, switched_on=frozenset({"telegram"}))
    assert maria.sweep() == 1, "but what is switched off will never take it"


async def test_the_call_says_why_in_words_for_people_and_finds_the_companys_phone(firm):
    with firm.database.begin() as session:
        client = session.exec(select(Client).where(Client.inn == "7707083893")).one()
        client.phone = "+7 495 111-22-33"
        link = ClientPerson(client_id=client.id, person_id=firm.people["maria"], created_at=WEDNESDAY)
        session.merge(link)
    firm.post("k")
    firm.deliver(webchat="63024: nobody is reached at this number")
    (call,) = firm.rows(CallTask)
    assert call.reason == "Веб-чат: сообщение не приняли"
    told = [row.text for row in firm.rows(Letter) if row.key.startswith("call:")]
    assert all("+7 495 111-22-33" in text and "63024" not in text for text in told)


@pytest.mark.parametrize(
    ("reason", "blocked", "words"),
    [
        ("bot was blocked by the user", True, "Viber: чат закрыт"),
        ("Не доставлено, попыток: 8. status 502", False, "Viber: не доставлено, попыток: 8"),
        ("такого адреса нет", False, "такого адреса нет"),
        ("63016: outside the window", False, "Viber: сообщение не приняли"),
        ("", False, "Viber: сообщение не приняли"),
    ],
)
def test_why_is_said_in_russian(reason, blocked, words):
    assert str(Catalogue.open("ru").say(undelivered.why(reason, "Viber", blocked=blocked))) == words


async def test_a_messenger_that_takes_nothing_is_left_after_the_agreed_time(maria):
    maria.post("k")
    refuses(maria)
    maria.clock += 10 * MINUTE - timedelta(seconds=1)
    assert maria.sweep() == 0
    maria.clock += timedelta(seconds=1)
    assert maria.sweep() == 1
    assert maria.fates() == [("webchat", "superseded"), ("telegram", "todo")]
    refuses(maria)
    maria.clock += 10 * MINUTE
    assert maria.sweep() == 1, "and so is the next one"
    assert maria.fates()[1:] == [("telegram", "superseded"), ("viber", "todo")]


async def test_a_long_queue_is_no_outage(maria):
    maria.post("k")
    maria.clock += 11 * MINUTE
    maria.post("news", name="pyotr")
    with maria.database.begin() as session:
        session.execute(
            update(Letter).where(Letter.key == "news").values(state="sent", sent_at=maria.clock - MINUTE)
        )
    assert maria.sweep() == 0
    assert maria.fates() == [("webchat", "todo")]


async def test_a_letter_that_is_tried_again_and_again_moves_on_its_own(maria):
    maria.post("k")
    maria.clock += 11 * MINUTE
    maria.change(Letter, maria.letters("maria")[0].id, attempts=6, not_before=maria.clock + 5 * MINUTE)
    maria.post("news", name="pyotr")
    maria.deliver()
    assert maria.sweep() == 1
    assert maria.fates() == [("webchat", "superseded"), ("telegram", "todo")]


async def test_what_is_due_later_or_being_sent_is_left(maria):
    maria.post("later", not_before=WEDNESDAY + timedelta(hours=1))
    maria.post("now", chat=maria.chats["viber"])
    maria.claim(["viber"])
    maria.clock += 20 * MINUTE
    assert maria.sweep() == 0


async def test_without_another_chat_the_letter_waits_and_after_an_hour_somebody_telephones(firm):
    firm.post("k")
    refuses(firm)
    firm.clock += 59 * MINUTE
    assert firm.sweep() == 0
    firm.clock += MINUTE
    assert firm.sweep() == 1
    (call,) = firm.rows(CallTask)
    assert call.reason == "Веб-чат: не отвечает"
    assert firm.fates() == [("webchat", "todo")]
    firm.deliver()
    firm.sweep()
    (call,) = firm.rows(CallTask)
    assert (call.done_by, call.outcome) == (None, "сообщение дошло само")


# --- only one copy counts ------------------------------------------------------------------------


async def test_a_late_arrival_stops_the_copy(maria):
    maria.post("k")
    maria.deliver()
    maria.hear("k", FAILED)
    assert maria.fates() == [("webchat", "failed"), ("telegram", "todo")]
    maria.hear("k", DELIVERED)
    assert maria.fates() == [("webchat", "sent"), ("telegram", "superseded")]


async def test_a_late_arrival_ends_the_call(firm):
    firm.post("k")
    firm.deliver()
    firm.hear("k", FAILED)
    assert len(firm.rows(CallTask, done_at=None)) == 1
    firm.hear("k", DELIVERED)
    assert firm.rows(CallTask, done_at=None) == []


async def test_a_call_that_ended_by_itself_is_opened_again(firm):
    firm.post("k")
    firm.deliver()
    firm.hear("k", FAILED)
    (call,) = firm.rows(CallTask)
    with firm.database.begin() as session:
        calls.call_done(session, call.id, None, "сообщение дошло само", firm.clock)
    firm.sweep()
    assert firm.rows(CallTask, done_at=None) == []
    with firm.database.begin() as session:
        failover.pass_on(session, firm.house, [call.letter_id], firm.clock)
    assert len(firm.rows(CallTask, done_at=None)) == 1


async def test_who_writes_by_themselves_is_told_what_they_missed(firm):
    firm.post("a", "b")
    firm.deliver(webchat="закрыт")
    assert len(firm.rows(CallTask, done_at=None)) == 2
    new = firm.chat("telegram")
    with firm.database.begin() as session:
        failover.woke_up(session, firm.house, firm.people["maria"], new, "telegram", firm.clock)
    assert firm.fates()[2:] == [("telegram", "todo"), ("telegram", "todo")]
    assert firm.letters("maria")[2].text == "Это сообщение раньше до вас не дошло:\nНужна выписка"
    assert {call.outcome for call in firm.rows(CallTask)} == {"написал сам"}


async def test_words_return_to_the_chat_that_was_closed_once_it_is_open(firm):
    firm.post("a")
    firm.deliver(webchat="закрыт")
    firm.change(Chat, firm.chats["maria"], blocked_at=None, last_inbound_at=firm.clock)
    with firm.database.begin() as session:
        failover.woke_up(
            session, firm.house, firm.people["maria"], firm.chats["maria"], "webchat", firm.clock
        )
    firm.deliver()
    assert firm.fates() == [("webchat", "failed"), ("webchat", "sent")]


# --- whatever happens ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
async def test_nothing_is_lost_and_nothing_counts_twice(maria, seed):
    """Outcomes, news, blocks and outages in any order; then the messengers recover."""
    dice = random.Random(seed)
    sent_to_closed: list[str] = []
    for step in range(40):
        _act(maria, dice, step, sent_to_closed)
        maria.clock += timedelta(seconds=dice.choice((1, 30, 400)))
    for _round in range(8):
        maria.deliver()
        maria.sweep()
        maria.clock += 11 * MINUTE
    assert sent_to_closed == []
    _check(maria)


def _act(firm, dice, step, sent_to_closed):
    match dice.randrange(8):
        case 0 | 1:
            firm.post(f"k{step}")
        case 2 | 3:
            channel = dice.choice(MESSENGERS[:3])
            for letter in firm.claim([channel]):
                if firm.row(Chat, id=letter.chat_id).blocked_at is not None:
                    sent_to_closed.append(letter.key)
                why = dice.choice(("", "", "нет", "закрыт"))
                state = LetterState.FAILED if why else LetterState.SENT
                firm.settle(
                    replace(sent(letter, firm.clock), state=state, reason=why, chat_blocked=why == "закрыт")
                )
                if why == "закрыт":
                    break
        case 4:
            gone = [row for row in firm.letters("maria") if row.message_key]
            if gone:
                firm.hear(dice.choice(gone).key, dice.choice((DELIVERED, FAILED)))
        case 5:
            firm.sweep()
        case 6:
            chat_id = dice.choice([firm.chats[name] for name in ("maria", "telegram", "viber")])
            firm.change(Chat, chat_id, blocked_at=None, last_inbound_at=firm.clock)
            with firm.database.begin() as session:
                channel = session.get_one(Chat, chat_id).channel
                failover.woke_up(session, firm.house, firm.people["maria"], chat_id, channel, firm.clock)
        case _:
            firm.clock += 11 * MINUTE


def _check(firm):
    messages: dict[int, list[Letter]] = {}
    for row in firm.letters("maria"):
        messages.setdefault(row.replaces_id or row.id, []).append(row)
    called = {call.letter_id for call in firm.rows(CallTask)}
    for root, copies in messages.items():
        states = [copy.state for copy in copies]
        arrived = [copy for copy in copies if copy.delivered_at]
        assert "sent" in states or root in called, states
        assert not {"todo", "doing"} & set(states), states
        if len(arrived) == 1:
            assert arrived[0].state == "sent"
        assert len({copy.key for copy in copies}) == len(copies)
    with firm.database.read() as session:
        open_calls = calls.open_calls(session)
    for call in open_calls:
        assert "sent" not in [copy.state for copy in messages[call.letter_id]]
    firm.check()
