"""What a client proposes for a request that was sent, and who decides; on both engines."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from forms.deadline import Deadline, from_text, to_text
from forms.messages import InboundKind, OutgoingFile
from router.desk import DeskError, NotAllowed, NotYours, WrongState
from storage import casework, edits
from storage.casework import NoSuchProposal, NoSuchRequest
from storage.models import AnswerVersion, Attachment, Client, History, Letter, Message, Proposal
from tests.storage.firm import MOSCOW, Firm

BILL = OutgoingFile("b" * 64, "счёт.pdf", "application/pdf", 1000)


@pytest.fixture
def firm(database):
    opened = Firm.open(database)
    yield opened
    opened.check()


@pytest.fixture
def number(firm):
    """A request of Maria's that Anna works on."""
    return firm.submitted_to("anna")


def propose(firm, number, changed, field="task", key="maria"):
    return firm.do(casework.propose, key, number, field, changed)


def decide(firm, proposal, key="anna", *, agreed=True):
    return firm.do(casework.decide, key, proposal, agreed=agreed)


def last(firm):
    return firm.rows(Proposal)[-1]


def letters_to(firm, key):
    return [letter.text for letter in firm.rows(Letter) if letter.person_id == firm.people[key]]


def test_nothing_changes_until_it_is_agreed_to(firm, number):
    before = firm.request(number).model_dump()
    propose(firm, number, {"task": "Заплатить половину"})
    assert firm.request(number).model_dump() == before
    assert "предлагает изменить" in letters_to(firm, "anna")[-1]


def test_what_is_agreed_to_is_the_next_version_by_the_client(firm, number):
    day = to_text(Deadline((firm.clock + timedelta(days=3)).astimezone(MOSCOW)))
    propose(firm, number, {"deadline": day}, "deadline")
    decide(firm, last(firm).id)
    request = firm.request(number)
    assert request.answers["deadline"] == day
    assert request.deadline == from_text(day).at
    versions = [row for row in firm.rows(AnswerVersion) if row.field == "deadline"]
    assert [(row.version, row.person_id) for row in versions] == [
        (1, firm.people["maria"]),
        (2, firm.people["maria"]),
    ]
    assert (last(firm).decided_by, last(firm).agreed) == (firm.staff["anna"], True)
    assert "изменение приняли" in letters_to(firm, "maria")[-1]


def test_what_is_refused_leaves_no_version(firm, number):
    before = firm.request(number).answers
    propose(firm, number, {"task": "Заплатить половину"})
    decide(firm, last(firm).id, agreed=False)
    assert firm.request(number).answers == before
    assert max(row.version for row in firm.rows(AnswerVersion)) == 1
    assert "оставили прежнее" in letters_to(firm, "maria")[-1]


def test_another_company_makes_another_client(firm, number):
    propose(firm, number, {"inn": "7736207543", "company": "ООО «Новая»"}, "inn")
    decide(firm, last(firm).id)
    request = firm.request(number)
    assert (request.inn, request.company) == ("7736207543", "ООО «Новая»")
    client = next(row for row in firm.rows(Client) if row.id == request.client_id)
    assert (client.inn, client.confirmed) == ("7736207543", False)


def test_a_known_company_keeps_its_name(firm, number):
    propose(firm, number, {"inn": "500100732259", "company": "ветров"}, "inn")
    decide(firm, last(firm).id)
    assert firm.request(number).company == "ИП Ветров"


def test_a_later_proposal_takes_the_place_of_the_earlier_one_of_its_field(firm, number):
    propose(firm, number, {"task": "Первое"})
    propose(firm, number, {"kind": "report"}, "kind")
    propose(firm, number, {"task": "Второе"})
    with firm.database.read() as session:
        found = casework.open_proposals(session, number)
    assert [(proposal.field, dict(proposal.changed)) for proposal in found] == [
        ("kind", {"kind": "report"}),
        ("task", {"task": "Второе"}),
    ]
    with pytest.raises(DeskError):
        decide(firm, firm.rows(Proposal)[0].id)


def test_a_proposal_is_withdrawn_once(firm, number):
    propose(firm, number, {"task": "Первое"})
    told = len(letters_to(firm, "anna"))
    propose(firm, number, {})
    propose(firm, number, {})
    assert len(letters_to(firm, "anna")) == told + 1
    with firm.database.read() as session:
        assert casework.open_proposals(session, number) == ()


@pytest.mark.parametrize(
    ("key", "refusal"),
    [("boris", NotYours), ("galina", NotYours), ("maria", NotAllowed)],
    ids=["a colleague", "the controller", "the client"],
)
def test_who_may_not_decide(firm, number, key, refusal):
    propose(firm, number, {"task": "Заплатить половину"})
    with pytest.raises(refusal):
        decide(firm, last(firm).id, key)
    assert last(firm).decided_at is None


@pytest.mark.parametrize("key", ["elena", "oleg"])
def test_who_directs_decides_and_the_assignee_is_told(firm, number, key):
    propose(firm, number, {"task": "Заплатить половину"})
    decide(firm, last(firm).id, key)
    assert "изменение приняли" in letters_to(firm, "anna")[-1]


def test_nobody_proposes_for_somebody_else(firm, number):
    with pytest.raises(NoSuchRequest):
        propose(firm, number, {"task": "Заплатить чужое"}, key="pyotr")
    with pytest.raises(NoSuchRequest):
        firm.do(casework.edited, "pyotr", number, "было", "стало", (), event="e1")


def test_there_is_no_such_proposal(firm):
    with pytest.raises(NoSuchProposal):
        decide(firm, 17)


def test_what_has_ended_is_not_changed(firm, number):
    propose(firm, number, {"task": "Заплатить половину"})
    firm.do(casework.accept, "anna", number)
    firm.do(casework.done, "anna", number, "Готово", ())
    with pytest.raises(WrongState):
        decide(firm, last(firm).id)
    with pytest.raises(WrongState):
        propose(firm, number, {"task": "Ещё"})


def test_edited_words_reach_the_assignee_every_time(firm, number):
    before = firm.request(number).model_dump()
    firm.do(casework.edited, "maria", number, "первое", "второе", (BILL,), event="e1")
    firm.do(casework.edited, "maria", number, "второе", "третье", (), event="e2")
    assert [("Было: первое" in text, "Стало: третье" in text) for text in letters_to(firm, "anna")[-2:]] == [
        (True, False),
        (False, True),
    ]
    assert firm.request(number).model_dump() == before
    assert [(row.name, row.purpose) for row in firm.rows(Attachment)][-1] == ("счёт.pdf", "added")


async def test_of_two_decisions_at_once_one_counts(firm, number):
    propose(firm, number, {"task": "Заплатить половину"})
    proposal = last(firm).id

    async def decides(key, *, agreed):
        try:
            return await firm.database.transact(
                lambda session: casework.decide(
                    session, firm.house, firm.who(key), proposal, firm.clock, agreed=agreed
                )
            )
        except DeskError as refused:
            return refused

    both = await asyncio.gather(decides("anna", agreed=True), decides("elena", agreed=False))
    assert sum(isinstance(result, DeskError) for result in both) == 1
    actions = [row.action for row in firm.rows(History)]
    assert actions.count("change_agreed") + actions.count("change_refused") == 1
    assert (firm.request(number).task == "Заплатить половину") == ("change_agreed" in actions)


# --- versions of messages ----------------------------------------------------------------------


def written(firm, *texts, key="m1", request_id=None, **more):
    with firm.database.begin() as session:
        for order, text in enumerate(texts):
            session.add(
                Message(
                    chat_id=firm.chats["maria"], person_id=firm.people["maria"], request_id=request_id,
                    direction="in", kind="edited" if order else "text", text=text, message_key=key,
                    sent_at=firm.clock, received_at=firm.clock + timedelta(minutes=order), **more,
                )
            )  # fmt: skip
            session.flush()


def test_a_message_is_read_with_all_its_versions(firm):
    written(firm, "один", "два", field="deadline")
    with firm.database.read() as session:
        found = edits.written(session, firm.chats["maria"], firm.people["maria"], "m1")
        assert edits.written(session, firm.chats["maria"], firm.people["pyotr"], "m1") is None
        assert edits.written(session, firm.chats["pyotr"], firm.people["maria"], "m1") is None
    assert [version.text for version in found.versions] == ["один", "два"]
    assert (found.kind, found.field, found.is_last) == (InboundKind.TEXT, "deadline", True)
    written(firm, "потом", key="m2")
    with firm.database.read() as session:
        assert not edits.written(session, firm.chats["maria"], firm.people["maria"], "m1").is_last


def test_a_deletion_is_proved_by_the_history(firm, number):
    written(firm, "один", "два", request_id=number)
    written(firm, "чужое", key="m2")
    at = firm.clock + timedelta(minutes=5)
    for _time in range(2):
        with firm.database.begin() as session:
            edits.mark_deleted(session, firm.chats["maria"], "m1", at, through="vk", now=at)
    rows = [row for row in firm.rows(Message) if row.chat_id]
    assert [(row.text, row.deleted_at) for row in rows] == [("один", at), ("два", at), ("чужое", None)]
    told = [row for row in firm.rows(History) if row.action == "message_deleted"]
    assert [(row.subject, row.through) for row in told] == [(f"request:{number}", "vk")]
