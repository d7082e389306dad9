"""A client of the base who writes a letter for the first time, from the address that stands there."""

from dataclasses import replace

import pytest
from sqlmodel import select

from forms.messages import InboundKind
from router.model import Role
from storage.models import Chat, Client, ClientPerson, Consent, Person
from tests.client import Talker

ADDRESS = "maria@romashka.example"


@pytest.fixture
def mail(town):
    """All that is said from here on is written in letters."""
    town.house = replace(town.house, email_channel="mail")
    town.channel = "mail"
    return town


def imported(town, email=" Maria@Romashka.example ", name="Мария Иванова"):
    """A contact of ООО «Ромашка», as the firm's base has it."""
    with town.database.begin() as session:
        client = session.exec(select(Client)).one()
        person = Person(name=name, email=email, phone="8 916 123-45-67", created_at=town.clock)
        session.add(person)
        session.flush()
        session.add(ClientPerson(client_id=client.id, person_id=person.id, created_at=town.clock))
        return person.id


def owner(town, key=ADDRESS):
    return next(chat.person_id for chat in town.rows(Chat) if (chat.channel, chat.chat_key) == ("mail", key))


async def agrees(town, key=ADDRESS):
    """Write two letters; Town delivers only chats, so what stands in the base is looked at."""
    talker = Talker(town, key, "masha")
    for words in ("Добрый день", "Согласен"):
        await town.take(talker.inbound(InboundKind.TEXT, text=words))
    return talker


async def test_a_letter_from_an_address_of_the_base_is_that_client(mail):
    person_id = imported(mail)
    before = len(mail.rows(Person))
    await agrees(mail)
    assert owner(mail) == person_id
    assert len(mail.rows(Person)) == before
    person = next(row for row in mail.rows(Person) if row.id == person_id)
    assert (person.name, person.consent_version) == ("Мария Иванова", "3")
    assert [row.person_id for row in mail.rows(Consent)] == [person_id]


async def test_the_company_is_known_at_once(mail):
    imported(mail)
    masha = await agrees(mail)
    for words in ("Консультация", "Можно ли платить наличными?", "завтра", "Готово", "Отправить"):
        await mail.take(masha.inbound(InboundKind.TEXT, text=words))
    assert [(row.inn, row.person_id) for row in mail.requests()] == [("7707083893", owner(mail))]


async def test_before_consent_nobody_is_recognised(mail):
    imported(mail)
    await mail.take(Talker(mail, ADDRESS, "masha").inbound(InboundKind.TEXT, text="Добрый день"))
    assert owner(mail) is None


@pytest.mark.parametrize("key", ["?" + ADDRESS, "other@romashka.example"], ids=["not vouched for", "another"])
async def test_whoever_only_seems_to_write_from_it_is_somebody_new(mail, key):
    person_id = imported(mail)
    await agrees(mail, key)
    assert owner(mail, key) not in (None, person_id)


async def test_an_address_of_two_is_nobodys(mail):
    both = {imported(mail), imported(mail, ADDRESS, "Пётр Иванов")}
    await agrees(mail)
    assert owner(mail) not in (None, *both)


@pytest.mark.parametrize("channel", ["telegram", "mail"])
async def test_who_has_a_chat_says_there_that_the_address_is_theirs(mail, channel):
    person_id = imported(mail)
    with mail.database.begin() as session:
        session.add(
            Chat(channel=channel, chat_key="x", user_key="x", person_id=person_id, created_at=mail.clock)
        )
    await agrees(mail)
    assert owner(mail) not in (None, person_id)


async def test_the_address_of_staff_opens_nothing(mail):
    mail.channel = "webchat"
    await mail.staff("Борис Сидоров", Role.DIRECTOR)
    mail.channel = "mail"
    with mail.database.begin() as session:
        person = session.exec(select(Person).where(Person.name == "Борис Сидоров")).one()
        person.email = ADDRESS
        boris_id = person.id
        for chat in session.exec(select(Chat).where(Chat.person_id == boris_id)):
            chat.person_id = None
    await agrees(mail)
    assert owner(mail) not in (None, boris_id)
