"""A request written down from a call, and the client's word on it, on both engines."""

from dataclasses import replace

import pytest

from forms.answers import AnswerError
from forms.fields import Said
from router.desk import DeskError, NotAllowed, WrongState
from storage import calls, casework, recording
from storage.calls import open_calls
from storage.casework.reading_back import AlreadyConfirmed, AskedBy
from storage.exports import requests_for_export
from storage.models import AnswerVersion, Chat, ClientPerson, Consent, History, Letter, Person, StageInterval
from storage.recording import NO_CONTACT, How, Spoken
from tests.storage.firm import MINUTE, Firm


@pytest.fixture
def firm(database):
    opened = Firm.open(database)
    yield opened
    opened.check()


def keep(firm, who="anna", minutes=40, **spoken):
    """Anna writes down what Maria said so many minutes ago."""
    told = {"person_id": firm.people["maria"], **spoken}
    words = Spoken(How.PHONE, firm.clock - minutes * MINUTE, **told)
    with firm.database.begin() as session:
        return recording.keep(
            session, firm.house, firm.who(who), words, firm.form().answers, firm.clock, firm.clock
        )


def correct(firm, number, field, text, key="maria"):
    with firm.database.begin() as session:
        context = casework.form_context(session, firm.house, firm.clock, firm.people[key])
        return casework.correct(session, firm.house, firm.who(key), number, field, Said(text), context)


async def test_the_clock_of_the_stages_counts_from_the_call(firm):
    number = keep(firm).number
    request = firm.request(number)
    assert request.submitted_at == firm.clock - 40 * MINUTE
    queue, processing = firm.rows(StageInterval, request_id=number)
    assert (queue.stage, queue.started_at, queue.ended_at) == ("queue", request.submitted_at, firm.clock)
    assert (processing.stage, processing.started_at) == ("processing", firm.clock)
    with firm.database.read() as session:
        (exported,) = requests_for_export(session, firm.house.calendar, firm.clock)
    assert (exported.channel, exported.stage_minutes["queue"]) == ("phone", 40)


async def test_who_wrote_it_down_and_who_spoke(firm):
    number = keep(firm).number
    request = firm.request(number)
    assert (request.person_id, request.recorded_by) == (firm.people["maria"], firm.staff["anna"])
    first = firm.rows(History, subject=f"request:{number}")[0]
    assert (first.actor_id, first.action, first.through) == (firm.people["anna"], "submitted", "webchat")
    assert '"channel":"phone"' in first.after
    assert {row.person_id for row in firm.rows(AnswerVersion)} == {firm.people["anna"]}
    line = firm.row(Chat, id=request.chat_id)
    assert (line.channel, line.person_id, line.blocked_at) == ("phone", request.person_id, firm.clock)


async def test_the_read_back_goes_to_the_persons_own_chat_and_there_is_no_receipt(firm):
    kept = keep(firm)
    assert kept.asked is AskedBy.CHAT
    (letter,) = firm.letters("maria")
    assert (letter.chat_id, letter.state) == (firm.chats["maria"], "todo")
    assert letter.text.startswith(f"Записали с ваших слов, заявка № {kept.number}:")
    # So do the letters that follow.
    firm.do(casework.accept, "anna", kept.number)
    assert [row.chat_id for row in firm.letters("maria")] == [firm.chats["maria"]] * 2


async def test_the_recorder_is_preferred_with_a_reason(firm):
    assert keep(firm, "boris").assignee == "Борис Лядов"
    assert keep(firm, "anna").assignee == "Анна Петрова"
    assert keep(firm, "galina").assignee != "Галина Контролёрова"


async def test_confirmed_once(firm):
    number = keep(firm).number
    firm.clock += MINUTE
    case = firm.do(casework.confirm, "maria", number)
    assert not case.facts.unconfirmed
    assert firm.request(number).confirmed_at == firm.clock
    assert [row.key.split(":")[-2] for row in firm.letters("anna")] == ["card", "confirmed"]
    with pytest.raises(AlreadyConfirmed):
        firm.do(casework.confirm, "maria", number)
    with pytest.raises(AlreadyConfirmed):
        correct(firm, number, "task", "Другое")
    assert [row.action for row in firm.rows(History)].count("confirmed") == 1


async def test_a_request_that_the_client_filled_needs_no_word(firm):
    with pytest.raises(AlreadyConfirmed):
        firm.do(casework.confirm, "maria", firm.submit())


async def test_somebody_else_may_not(firm):
    number = keep(firm).number
    for act in (
        lambda: firm.do(casework.confirm, "pyotr", number),
        lambda: correct(firm, number, "task", "Нет", "pyotr"),
    ):
        with pytest.raises(DeskError, match="Такой заявки нет"):
            act()
    with pytest.raises(NotAllowed):
        correct(firm, number, "task", "За клиента", "anna")


async def test_a_correction_is_a_version_and_the_accountant_sees_both(firm):
    number = keep(firm).number
    before = firm.request(number).version
    correct(firm, number, "task", "Оплатить счёт № 16")
    versions = [(row.version, row.value, row.person_id) for row in firm.rows(AnswerVersion, field="task")]
    assert versions == [
        (1, "Оплатить счёт № 15", firm.people["anna"]), (2, "Оплатить счёт № 16", firm.people["maria"])
    ]  # fmt: skip
    told = firm.letters("anna")[-1].text
    assert "было: Оплатить счёт № 15" in told
    assert "стало: Оплатить счёт № 16" in told
    request = firm.request(number)
    assert (request.task, request.confirmed_at, request.version) == ("Оплатить счёт № 16", None, before + 1)
    correct(firm, number, "task", "Оплатить счёт № 16")
    assert firm.request(number).version == before + 1


async def test_a_wrong_correction_changes_nothing(firm):
    number = keep(firm).number
    with pytest.raises(AnswerError):
        correct(firm, number, "inn", "7707083894")
    assert len(firm.rows(AnswerVersion, field="inn")) == 1


async def test_what_is_done_can_be_confirmed_but_no_longer_corrected(firm):
    number = keep(firm).number
    firm.do(casework.done, "anna", number, "Готово", ())
    with pytest.raises(WrongState):
        correct(firm, number, "task", "Иначе")
    firm.do(casework.confirm, "maria", number)
    assert firm.request(number).confirmed_at is not None


async def test_without_a_chat_it_stands_on_the_list_of_calls_until_staff_have_asked(firm):
    firm.change(Chat, firm.chats["maria"], blocked_at=firm.clock)
    kept = keep(firm)
    assert kept.asked is AskedBy.TELEPHONE
    with firm.database.read() as session:
        (call,) = open_calls(session)
    assert (call.person_id, call.request_id) == (firm.people["maria"], kept.number)
    assert call.reason.startswith(f"Прочитать клиенту заявку № {kept.number}")
    firm.do(casework.confirm, "boris", kept.number)
    with firm.database.read() as session:
        assert open_calls(session) == ()
    assert "клиент подтвердил по телефону (Борис Лядов)" in firm.letters("anna")[-1].text
    assert firm.rows(History, action="confirmed")[0].actor_id == firm.people["boris"]


async def test_an_address_becomes_a_chat_where_letters_by_mail_are_switched_on(firm):
    firm.change(Chat, firm.chats["maria"], blocked_at=firm.clock)
    firm.change(Person, firm.people["maria"], email=" Maria@Romashka.example ")
    firm.house = replace(firm.house, email_channel="mail")
    assert keep(firm).asked is AskedBy.LETTER
    chat = firm.row(Chat, channel="mail")
    assert (chat.chat_key, chat.person_id) == ("maria@romashka.example", firm.people["maria"])
    assert firm.rows(Letter, chat_id=chat.id)[0].text.startswith("Записали с ваших слов")
    assert keep(firm).asked is AskedBy.LETTER
    assert len(firm.rows(Chat, channel="mail")) == 1


async def test_an_address_from_which_somebody_else_writes_is_no_way(firm):
    firm.change(Chat, firm.chats["maria"], blocked_at=firm.clock)
    firm.change(Person, firm.people["maria"], email="maria@romashka.example")
    firm.house = replace(firm.house, email_channel="mail")
    with firm.database.begin() as session:
        session.add(
            Chat(
                channel="mail", chat_key="maria@romashka.example", user_key="maria@romashka.example",
                person_id=firm.people["pyotr"], created_at=firm.clock,
            )
        )  # fmt: skip
    assert keep(firm).asked is AskedBy.TELEPHONE
    with firm.database.read() as session:
        assert len(open_calls(session)) == 1


async def test_consent_heard_is_kept_and_not_asked_for_again(firm):
    keep(firm, person_id=None, name="Зоя", phone="+7 916 123-45-67", consent_at=firm.clock - 2 * MINUTE)
    person = firm.rows(Person)[-1]
    consent = firm.row(Consent)
    assert (person.name, person.phone, person.consent_version) == ("Зоя", "+7 916 123-45-67", "")
    assert (consent.person_id, consent.version) == (person.id, "3")
    assert consent.given_at == firm.clock - 2 * MINUTE
    assert firm.row(Chat, id=consent.chat_id).channel == "phone"
    with firm.database.read() as session:
        client_id = firm.rows(ClientPerson, person_id=person.id)[0].client_id
        heard = {one.name: one.has_consent for one in recording.speakers(session, firm.house, client_id)}
    assert heard == {"Мария": True, "Зоя": True}


async def test_without_consent_there_is_one_nobody_for_each_client(firm):
    first = keep(firm, person_id=None, name="Зоя", phone="+7 916 123-45-67").number
    second = keep(firm, person_id=None).number
    person = firm.row(Person, id=firm.request(first).person_id)
    assert (person.name, person.phone) == (NO_CONTACT, "")
    assert firm.request(second).person_id == person.id
    with firm.database.read() as session:
        assert recording.find(session, "контакт") == ()
        assert len(open_calls(session)) == 2


@pytest.mark.parametrize(
    ("words", "companies"),
    [
        ("РОМАШКА", ["ООО «Ромашка»"]),
        ("7707083893", ["ООО «Ромашка»"]),
        ("50010", ["ИП Ветров"]),
        ("ооо ветров", []),
        ("пётр", ["ИП Ветров"]),
        ("петр", ["ИП Ветров"]),
        ("анна", []),
        ("", []),
        ("123", []),
        ("8 916 000 00 01", ["ООО «Ромашка»"]),
        ("0000001", ["ООО «Ромашка»"]),
    ],
)
async def test_looking_for_a_client(firm, words, companies):
    firm.change(Person, firm.people["maria"], phone="+7 (916) 000-00-01")
    with firm.database.read() as session:
        assert [found.company for found in recording.find(session, words)] == companies


async def test_a_read_back_that_does_not_arrive_is_read_out_by_telephone(firm):
    number = keep(firm).number
    (letter,) = firm.letters("maria")
    with firm.database.begin() as session:
        calls.add_call(session, firm.people["maria"], number, letter.id, "не доставлено", firm.clock)
    firm.do(casework.confirm, "anna", number)
    with firm.database.read() as session:
        assert open_calls(session) == ()
