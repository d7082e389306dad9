"""Who is in a messenger, who is invited, and that nobody's code dies by somebody else's press."""

from datetime import timedelta

import pytest

from storage import coverage, invitations
from storage.casework.submitting import COMPANY_INN_DIGITS
from storage.coverage import CODE_VALID, NoSuchContact
from storage.models import Chat, Client, ClientPerson, History, Invitation, Person
from storage.paging import Place
from storage.roster import Act, NoSuchCard
from tests.storage.firm import WEDNESDAY, Firm

DAY = timedelta(days=1)


@pytest.fixture
def firm(database):
    return Firm.open(database)


def add_client(firm, name, *, people=(), confirmed=True, **values):
    """A client with people who have chats in these channels; returns its number and the people's."""
    with firm.database.begin() as session:
        inn = f"{len(firm.rows(Client)):0{COMPANY_INN_DIGITS}}"
        client = Client(name=name, inn=inn, confirmed=confirmed, created_at=WEDNESDAY, **values)
        session.add(client)
        session.flush()
        numbers = []
        for channels in people:
            person = Person(created_at=WEDNESDAY)
            session.add(person)
            session.flush()
            session.add(ClientPerson(client_id=client.id, person_id=person.id, created_at=WEDNESDAY))
            for channel, blocked in channels.items():
                key = f"{channel}-{person.id}"
                session.add(
                    Chat(
                        channel=channel, chat_key=key, user_key=key, person_id=person.id,
                        blocked_at=WEDNESDAY if blocked else None, created_at=WEDNESDAY,
                    )
                )  # fmt: skip
            numbers.append(person.id)
        return client.id, numbers


def act(firm):
    return Act(firm.who("elena", "panel"), firm.clock)


def missing(firm, **asked):
    with firm.database.read() as session:
        return coverage.missing(session, firm.clock, **asked).rows


def invite(firm, client_id, person_id=None):
    with firm.database.begin() as session:
        return coverage.invite(session, act(firm), client_id, person_id)


def invite_missing(firm, **how):
    with firm.database.begin() as session:
        return coverage.invite_missing(session, act(firm), **how)


def opens(firm, code):
    """Whose the code is."""
    with firm.database.begin() as session:
        return invitations.owner_of_code(session, code, "chat", firm.clock)


@pytest.mark.parametrize(
    ("people", "is_missing", "blocked"),
    [
        pytest.param((), True, False, id="nobody"),
        pytest.param(({},), True, False, id="invited and not come"),
        pytest.param(({"telegram": False},), False, False, id="one messenger"),
        pytest.param(({"telegram": True},), True, True, id="blocked"),
        pytest.param(({"telegram": True, "vk": False},), False, False, id="one of two blocked"),
        pytest.param(({}, {"max": False}),  False, False, id="a colleague is there"),
        pytest.param(({"phone": False},), True, False, id="only by telephone"),
    ],
)  # fmt: skip
def test_a_client_is_there_when_somebody_can_be_written_to(firm, people, is_missing, blocked):
    add_client(firm, "ООО «Новая»", people=people)
    found = missing(firm)
    assert [row.name for row in found] == (["ООО «Новая»"] if is_missing else [])
    assert [row.blocked for row in found] == ([blocked] if is_missing else [])
    with firm.database.read() as session:
        count = coverage.coverage(session)
    assert (count.clients, count.linked, count.missing) == (3, 3 - is_missing, int(is_missing))


def test_who_waits_for_the_directors_word_is_not_counted(firm):
    add_client(firm, "ООО «Кто это»", confirmed=False)
    with firm.database.read() as session:
        assert coverage.coverage(session).clients == 2
    assert missing(firm) == ()


def test_the_list_is_searched_and_cut_into_pages(firm):
    for number in range(60):
        add_client(firm, f"ООО «Лист {number:02}-й»")
    with firm.database.read() as session:
        first = coverage.missing(session, firm.clock)
        second = coverage.missing(session, firm.clock, place=Place(first.later))
    assert len(first.rows) == 50
    assert [row.name for row in second.rows] == [f"ООО «Лист {number}-й»" for number in range(50, 60)]
    assert second.later == ""
    assert [row.name for row in missing(firm, search="лист 07-й")] == ["ООО «Лист 07-й»"]
    assert missing(firm, search="%") == ()


def test_an_invitation_lasts_thirty_days_and_the_next_one_ends_it(firm):
    client_id, _people = add_client(firm, "ООО «Новая»", phone="+7 900 000-00-00")
    first = invite(firm, client_id)
    assert first.companies == ("ООО «Новая»",)
    assert first.phone == "+7 900 000-00-00"
    assert missing(firm)[0].invited_until == first.expires_at == firm.clock + CODE_VALID
    assert opens(firm, first.code) == first.person_id
    firm.clock += DAY
    second = invite(firm, client_id)
    assert second.person_id == first.person_id, "no heap of empty people"
    assert opens(firm, second.code) == first.person_id
    with pytest.raises(invitations.InvitationRefused):
        opens(firm, first.code)
    firm.clock += CODE_VALID
    assert missing(firm)[0].invited_until is None
    assert [row.action for row in firm.rows(History, subject=f"client:{client_id}")] == ["invited"] * 2


def test_somebody_named_is_invited_rather_than_nobody(firm):
    client_id, (empty, named) = add_client(firm, "ООО «Новая»", people=({}, {}))
    firm.change(Person, named, name="Ольга", email="olga@client.example")
    brought = invite(firm, client_id)
    assert (brought.person_id, brought.contact, brought.email) == (named, "Ольга", "olga@client.example")
    assert invite(firm, client_id, empty).person_id == empty
    assert opens(firm, brought.code) == named


def test_nobody_elses_person_is_invited(firm):
    client_id, _people = add_client(firm, "ООО «Новая»")
    with pytest.raises(NoSuchContact):
        invite(firm, client_id, firm.people["maria"])
    with pytest.raises(NoSuchCard):
        invite(firm, 9999)
    assert firm.rows(Invitation) == []


def test_all_who_are_missing_are_invited_once(firm):
    numbers = {add_client(firm, f"ООО «Лист {number}»")[0] for number in range(3)}
    alone, _people = add_client(firm, "ООО «Раньше»")
    before = invite(firm, alone)
    brought = invite_missing(firm)
    assert sorted(name for one in brought for name in one.companies) == [f"ООО «Лист {n}»" for n in range(3)]
    assert len({one.code for one in brought}) == len({one.person_id for one in brought}) == 3
    assert invite_missing(firm) == (), "a second press makes nothing and kills nothing"
    assert [opens(firm, one.code) for one in (*brought, before)] == [
        one.person_id for one in (*brought, before)
    ]
    again = invite_missing(firm, again=True)
    assert len(again) == 4
    with pytest.raises(invitations.InvitationRefused):
        opens(firm, before.code)
    assert {row.subject for row in firm.rows(History, action="invited")} == {
        f"client:{number}" for number in (*numbers, alone)
    }


def test_one_person_of_several_companies_gets_one_code(firm):
    first, (olga,) = add_client(firm, "ООО «А»", people=({},))
    second, _people = add_client(firm, "ООО «Б»")
    with firm.database.begin() as session:
        session.add(ClientPerson(client_id=second, person_id=olga, created_at=WEDNESDAY))
    (brought,) = invite_missing(firm)
    assert brought.companies == ("ООО «А»", "ООО «Б»")
    assert opens(firm, brought.code) == olga
    assert {row.subject for row in firm.rows(History)} == {f"client:{first}", f"client:{second}"}


def test_no_more_are_invited_at_once_than_a_page_holds(firm, monkeypatch):
    monkeypatch.setattr(coverage, "MOST_AT_ONCE", 2)
    for number in range(3):
        add_client(firm, f"ООО «Лист {number}»")
    assert [len(invite_missing(firm)) for _press in range(3)] == [2, 1, 0]
    with firm.database.read() as session:
        assert coverage.not_invited(session, firm.clock) == 0
