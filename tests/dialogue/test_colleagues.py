"""What a person sees of the requests that colleagues sent for the same company."""

import pytest
from sqlmodel import select

from storage.models import Chat, Client, ClientPerson, Person
from tests.dialogue.paths import submits

ROMASHKA_INN = "7707083893"


@pytest.fixture
async def colleagues(town, maria):
    """Maria has sent request 1; Pyotr speaks for the same company, as staff have written down."""
    await submits(maria)
    pyotr = await town.client("200", "Пётр")
    return maria, pyotr


def link(town, talker, **rights):
    """Staff write the person down as a contact of the company."""
    person = next(chat.person_id for chat in town.rows(Chat) if chat.chat_key == talker.key)
    client = next(row for row in town.rows(Client) if row.inn == ROMASHKA_INN)
    with town.database.begin() as session:
        row = session.get(ClientPerson, (client.id, person)) or ClientPerson(
            client_id=client.id, person_id=person, created_at=town.clock
        )
        for name, value in rights.items():
            setattr(row, name, value)
        session.add(row)
    return person


@pytest.mark.parametrize("word", ["/status", "Мои заявки"])
async def test_with_the_right_the_requests_of_colleagues_are_shown(town, colleagues, word):
    _maria, pyotr = colleagues
    link(town, pyotr, sees_all=True)
    await pyotr.says(word)
    pyotr.sees(
        "Отправили ваши коллеги:", "Заявка № 1: Оплатить счёт, ООО «Ромашка»", "Сейчас: назначена",
        "От кого: Мария", buttons=["Заявка № 1", "Новая заявка", "Мои заявки"],
    )  # fmt: skip
    pyotr.sees_not("Заявок пока нет")
    await pyotr.presses("Заявка № 1")
    pyotr.sees("Заявка № 1", "От кого: Мария", buttons=["Новая заявка", "Мои заявки"])


async def test_without_the_right_speaking_for_the_company_shows_nothing(town, colleagues):
    _maria, pyotr = colleagues
    link(town, pyotr)
    await pyotr.says("/status")
    pyotr.sees_not("Заявка № 1")
    await pyotr.presses_id("req:1:show:0")
    pyotr.sees("Такой заявки")


async def test_typing_the_companys_inn_proves_nothing(town, colleagues):
    _maria, pyotr = colleagues
    await submits(pyotr)
    await pyotr.says("/status")
    pyotr.sees("Заявка № 2")
    pyotr.sees_not("Заявка № 1", "коллеги")


@pytest.mark.parametrize(
    "press", ["req:1:add:0", "req:1:withdraw:0", "req:1:withdraw-yes:2", "req:1:show:0", "rate:1:5:0"]
)
async def test_nothing_can_be_done_to_a_colleagues_request(town, colleagues, press):
    _maria, pyotr = colleagues
    link(town, pyotr, sees_all=True)
    before = town.request(1)
    await pyotr.presses_id(press)
    pyotr.sees("От кого: Мария", buttons=["Новая заявка", "Мои заявки"])
    await pyotr.says("и ещё вот это")
    pyotr.sees_not("Дополнено")
    assert (town.request(1).version, town.request(1).rating) == (before.version, None)


async def test_own_requests_stand_first_and_once(town, colleagues):
    maria, pyotr = colleagues
    link(town, maria, sees_all=True)
    await submits(pyotr)
    await maria.says("/status")
    text = maria.last.text
    assert text.index("Заявка № 1") < text.index("Отправили ваши коллеги") < text.index("Заявка № 2")
    assert text.count("Заявка № 1") == 1


async def test_the_right_of_a_contact_comes_to_whoever_uses_the_code(town, colleagues):
    """Pyotr has typed the INN before; the invitation as a contact must not lose its rights."""
    _maria, pyotr = colleagues
    await submits(pyotr)
    code = town.invite_client(ROMASHKA_INN)
    invited = town.rows(Person)[-1].id
    client = next(row for row in town.rows(Client) if row.inn == ROMASHKA_INN)
    with town.database.begin() as session:
        row = session.get_one(ClientPerson, (client.id, invited))
        row.sees_all, row.may_pay, row.post = True, True, "директор"
    await pyotr.starts(code)
    await pyotr.says("/status")
    pyotr.sees("Заявка № 2", "Отправили ваши коллеги:", "Заявка № 1", "От кого: Мария")
    with town.database.read() as session:
        kept = [row for row in session.exec(select(ClientPerson)) if row.sees_all]
    assert [(row.may_pay, row.post) for row in kept] == [(True, "директор")]
