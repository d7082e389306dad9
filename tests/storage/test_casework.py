"""Everything that may happen to a request, written down row by row, on both engines."""

import asyncio
import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import Session

from forms.answers import AnswerError
from forms.fields import ReceivedFile, Said, files_to_text
from forms.messages import OutgoingFile
from router.desk import (
    AlreadyTaken,
    DeskError,
    FirmOwes,
    NotAllowed,
    NotYours,
    ReasonMissing,
    StaleVersion,
    WrongState,
)
from storage import casework, roster
from storage.casework import NoSuchRequest
from storage.models import (
    Absence,
    AnswerVersion,
    Assignment,
    Attachment,
    Clarification,
    Client,
    ClientPerson,
    History,
    Letter,
    Message,
    Request,
    Staff,
    StageInterval,
)
from tests.storage.firm import MINUTE, WEDNESDAY, Firm, say

BILL = OutgoingFile("b" * 64, "счёт.pdf", "application/pdf", 1000)
PROOF = OutgoingFile("c" * 64, "платёжка.pdf", "application/pdf", 2000)


@pytest.fixture
def firm(database):
    opened = Firm.open(database)
    yield opened
    opened.check()


def clarified(firm, said, clarification_id=None, key="maria"):
    clarification_id = clarification_id or firm.rows(Clarification)[-1].id
    with firm.database.begin() as session:
        context = casework.form_context(session, firm.house, firm.clock, firm.people[key])
        return casework.clarified(session, firm.house, firm.who(key), clarification_id, said, context)


def reason(refused):
    return say(refused.value.text)


# --- one after the other -------------------------------------------------------------------------


async def test_the_long_life_of_a_request(firm):
    number = firm.submitted_to("anna", files=files_to_text((BILL,)))
    firm.check()

    def step(action, key, *words, status, stage, told, **named):
        firm.clock += 7 * MINUTE
        letters = len(firm.rows(Letter))
        if action is clarified:
            clarified(firm, *words)
        else:
            firm.do(action, key, number, *words, **named)
        request = firm.request(number)
        assert (request.status, request.stage, firm.told(letters)) == (status, stage, sorted(told))
        firm.check()
        return request

    anna, boris = firm.staff["anna"], firm.staff["boris"]
    request = step(casework.accept, "anna", status="accepted", stage="execution", told=[("maria", "taken")])
    assert request.accepted_at == firm.clock
    step(
        casework.answer, "anna", "Берусь", (PROOF,),
        status="accepted", stage="execution", told=[("maria", "answer")],
    )  # fmt: skip
    assert firm.request(number).first_response_at == firm.clock
    step(casework.note, "galina", "Проверить лимит", (), status="accepted", stage="execution", told=[])
    step(
        casework.clarify, "anna", "task", "На какую сумму?",
        status="waiting_client", stage="client", told=[("maria", "clarify")],
    )  # fmt: skip
    assert firm.request(number).question == "task"
    step(
        clarified, "maria", Said("Оплатить 12 345 рублей"),
        status="accepted", stage="clarification", told=[("anna", "clarified")],
    )  # fmt: skip
    step(
        casework.add, "maria", "И поскорее", (BILL,),
        status="accepted", stage="clarification", told=[("anna", "client")],
    )  # fmt: skip
    assert firm.request(number).unanswered_since == firm.clock
    step(
        casework.pass_on, "anna", boris, "Ухожу в отпуск",
        status="assigned", stage="processing", told=[("boris", "card"), ("maria", "reassigned")],
    )  # fmt: skip
    step(casework.accept, "boris", status="accepted", stage="execution", told=[("maria", "taken")])
    request = step(
        casework.done, "boris", "Оплачено", (PROOF,), status="done", stage="client", told=[("maria", "done")]
    )
    assert (request.result, request.done_at, request.unanswered_since) == ("Оплачено", firm.clock, None)
    request = step(
        casework.reopen, "maria", "Не пришло",
        status="accepted", stage="execution", told=[("boris", "unsolved")],
    )  # fmt: skip
    assert (request.done_at, request.assignee_id) == (None, boris)
    step(
        casework.reassign, "elena", anna, "Разберись",
        status="assigned", stage="processing",
        told=[("anna", "card"), ("boris", "lost"), ("maria", "reassigned")],
    )  # fmt: skip
    step(casework.done, "anna", "Теперь точно", (), status="done", stage="client", told=[("maria", "done")])
    request = step(casework.rate, "maria", 5, status="closed", stage=None, told=[("anna", "rated")])
    assert (request.rating, request.closed_at) == (5, firm.clock)
    step(casework.reopen, "maria", "", status="accepted", stage="execution", told=[("anna", "unsolved")])
    step(
        casework.cancel, "oleg", "Передумали",
        status="cancelled", stage=None, told=[("anna", "cancelled-staff"), ("maria", "cancelled")],
    )  # fmt: skip

    purposes = [(row.purpose, row.name) for row in firm.rows(Attachment, request_id=number)]
    assert purposes == [
        ("request", "счёт.pdf"), ("answer", "платёжка.pdf"), ("added", "счёт.pdf"), ("result", "платёжка.pdf")
    ]  # fmt: skip
    assert [(row.direction, row.text) for row in firm.rows(Message)] == [("note", "Проверить лимит")]
    versions = [(row.version, row.value) for row in firm.rows(AnswerVersion, field="task")]
    assert versions == [(1, "Оплатить счёт № 15"), (2, "Оплатить 12 345 рублей")]
    row = next(row for row in firm.rows(History) if row.action == "clarification_answered")
    assert json.loads(row.before)["value"] == "Оплатить счёт № 15"
    assert json.loads(row.after)["task"] == "Оплатить 12 345 рублей"
    assert "12 345" in firm.request(number).search


async def test_submitting_keeps_everything_and_tells_two(firm):
    number = firm.submit()
    request = firm.request(number)
    assert (request.status, request.stage, request.company, request.inn, request.version) == (
        "assigned", "processing", "ООО «Ромашка»", "7707083893", 2,
    )  # fmt: skip
    assert (request.created_at, request.submitted_at) == (WEDNESDAY - MINUTE, WEDNESDAY)
    assert [(row.stage, row.staff_id) for row in firm.rows(StageInterval)] == [
        ("queue", None), ("processing", request.assignee_id)
    ]  # fmt: skip
    assert firm.told() == [("anna", "card"), ("maria", "receipt")]
    receipt = firm.letters("maria")[0]
    assert (receipt.chat_id, receipt.request_id, receipt.urgent) == (firm.chats["maria"], number, True)
    assigned = firm.row(Assignment)
    assert (assigned.staff_id, assigned.by, assigned.declined) == (firm.staff["anna"], "router", False)
    assert json.loads(assigned.trace)["chosen"] == firm.staff["anna"]
    assert {row.field for row in firm.rows(AnswerVersion, version=1)} == set(request.answers)


async def test_a_stranger_becomes_a_client_for_the_director_to_confirm(firm):
    firm.submit(inn="7736050003", company="ООО «Север»")
    firm.submit(inn="7736050003", company="ООО «Северное сияние»")
    client = firm.row(Client, inn="7736050003")
    assert (client.name, client.kind, client.confirmed) == ("ООО «Север»", "company", False)
    assert firm.row(ClientPerson, client_id=client.id).person_id == firm.people["maria"]
    assert firm.request(2).company == "ООО «Север»"
    assert "Новый клиент" in firm.letters("anna")[0].text
    actions = [(row.action, row.subject) for row in firm.rows(History)]
    assert actions.count(("client_appeared", f"client:{client.id}")) == 1


async def test_with_nobody_there_the_directors_hear_of_it(firm):
    firm.nobody_works()
    number = firm.submit()
    assert firm.request(number).status == "new"
    assert firm.told() == [("elena", "unassigned"), ("maria", "receipt"), ("oleg", "unassigned")]
    assert firm.row(Assignment).staff_id is None
    firm.do(casework.add, "maria", number, "Вы там?", ())
    assert firm.told(3) == [("elena", "client"), ("oleg", "client")]


async def test_declining_goes_to_the_next_person_until_nobody_is_left(firm):
    number = firm.submitted_to("anna")
    letters = len(firm.rows(Letter))
    firm.do(casework.decline, "anna", number, "Не мой участок")
    assert firm.request(number).assignee_id == firm.staff["boris"]
    assert firm.told(letters) == [("boris", "card"), ("maria", "assigned")]
    firm.check()
    letters = len(firm.rows(Letter))
    firm.do(casework.decline, "boris", number, "Болею")
    assert (firm.request(number).status, firm.request(number).assignee_id) == ("new", None)
    assert firm.told(letters) == [("elena", "unassigned"), ("oleg", "unassigned")]
    declined = [(row.staff_id, row.declined) for row in firm.rows(Assignment, request_id=number)]
    assert declined == [(firm.staff["anna"], True), (firm.staff["boris"], True), (None, False)]
    comments = [json.loads(row.after).get("comment") for row in firm.rows(History, action="declined")]
    assert comments == ["Не мой участок", "Болею"]
    with pytest.raises(NotYours):
        firm.do(casework.done, "anna", number, "", ())
    firm.do(casework.accept, "anna", number)
    assert firm.rows(Assignment, request_id=number)[-1].by == "staff"


async def test_a_refused_step_changes_nothing(firm):
    number = firm.accepted_by("anna")
    firm.clock += MINUTE
    before = (firm.request(number), firm.rows(Letter), firm.rows(History), firm.rows(Assignment))
    refusals = [
        (ReasonMissing, casework.decline, "anna", number, " "),
        (ReasonMissing, casework.pass_on, "anna", number, firm.staff["boris"], ""),
        (NotYours, casework.done, "boris", number, "", ()),
        (NotYours, casework.answer, "galina", number, "Да", ()),
        (NotAllowed, casework.reassign, "anna", number, firm.staff["boris"], ""),
        (NotAllowed, casework.accept, "maria", number),
        (NotAllowed, casework.cancel, "boris", number, ""),
        (WrongState, casework.rate, "maria", number, 5),
        (WrongState, casework.reopen, "maria", number, ""),
        (NoSuchRequest, casework.accept, "anna", 999),
    ]
    for error, action, key, *words in refusals:
        with pytest.raises(error):
            firm.do(action, key, *words)
    assert (firm.request(number), firm.rows(Letter), firm.rows(History), firm.rows(Assignment)) == before


async def test_a_bad_answer_to_a_question_is_refused_and_leaves_it_open(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.clarify, "anna", number, "inn", "")
    asked = firm.row(Clarification)
    for said in (Said("7707083894"), Said("не знаю")):
        with pytest.raises(AnswerError):
            clarified(firm, said)
    assert firm.row(Clarification).answered_at is None
    assert firm.request(number).status == "waiting_client"
    clarified(firm, Said("7736050003 ООО «Север»"))
    assert (firm.request(number).inn, firm.row(Clarification).answered_at) == ("7736050003", firm.clock)
    with pytest.raises(WrongState):
        clarified(firm, Said("7707083893"), asked.id)
    with pytest.raises(NoSuchRequest):
        clarified(firm, Said("7707083893"), 999)


async def test_an_answer_to_an_older_question_leaves_the_newer_one_open(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.clarify, "anna", number, "task", "На какую сумму?")
    firm.do(casework.clarify, "anna", number, "deadline", "")
    task, deadline = firm.rows(Clarification)
    clarified(firm, Said("Оплатить 500 рублей"), task.id)
    request = firm.request(number)
    assert (request.status, request.question, request.task) == (
        "waiting_client", "deadline", "Оплатить 500 рублей"
    )  # fmt: skip
    clarified(firm, Said("завтра"), deadline.id)
    assert (firm.request(number).status, firm.request(number).question) == ("accepted", None)


async def test_an_answer_to_the_newer_question_waits_for_the_older(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.clarify, "anna", number, "task", "На какую сумму?")
    firm.do(casework.clarify, "anna", number, "deadline", "")
    clarified(firm, Said("завтра"))
    assert (firm.request(number).status, firm.request(number).question) == ("waiting_client", "task")
    clarified(firm, Said("Оплатить 500 рублей"), firm.rows(Clarification)[0].id)
    assert firm.request(number).status == "accepted"


async def test_questions_before_done_are_waited_for_no_more(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.clarify, "anna", number, "task", "На какую сумму?")
    firm.clock += MINUTE
    firm.do(casework.done, "anna", number, "Готово", ())
    firm.clock += MINUTE
    firm.do(casework.reopen, "maria", number, "Не то")
    firm.do(casework.clarify, "anna", number, "deadline", "")
    clarified(firm, Said("завтра"))
    assert firm.request(number).status == "accepted"


async def test_a_mark_closes_nothing_while_the_firm_owes_an_answer(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.done, "anna", number, "Готово", ())
    firm.do(casework.add, "maria", number, "А чек?", ())
    firm.do(casework.rate, "maria", number, 4)
    request = firm.request(number)
    assert (request.status, request.rating, request.unanswered_since) == ("done", 4, firm.clock)
    assert "ждёт ответа" in firm.letters("anna")[-1].text


def _is_away(firm, key):
    day = timedelta(days=1)
    with firm.database.begin() as session:
        session.add(
            Absence(staff_id=firm.staff[key], starts_at=firm.clock - day, ends_at=firm.clock + day, reason="")
        )


def _writes(firm, number):
    """The client adds something; who is told of it, in which words."""
    before = len(firm.rows(Letter))
    firm.clock += MINUTE
    firm.do(casework.add, "maria", number, "а когда?", ())
    names = {person_id: name for name, person_id in firm.people.items()}
    return {names[row.person_id]: row.text for row in firm.rows(Letter)[before:] if row.person_id}


async def test_of_somebody_absent_the_directors_hear_what_a_client_writes(firm):
    number = firm.accepted_by("anna", hours=24)
    assert set(_writes(firm, number)) == {"anna"}
    _is_away(firm, "anna")
    told = _writes(firm, number)
    assert set(told) == {"anna", "elena", "oleg"}
    assert told["elena"].startswith("Анна Петрова отсутствует.")
    assert "отсутствует" not in told["anna"]


@pytest.mark.parametrize("both", [False, True], ids=["the substitute is there", "the substitute is away"])
async def test_of_somebody_absent_the_substitute_of_the_client_hears(firm, both):
    number = firm.accepted_by("anna", hours=24)
    client = firm.request(number).client_id
    firm.change(Client, client, substitute_id=firm.staff["boris"])
    _is_away(firm, "anna")
    if both:
        _is_away(firm, "boris")
    assert set(_writes(firm, number)) == ({"anna", "elena", "oleg"} if both else {"anna", "boris"})


async def test_what_the_director_took_away_does_not_bounce_back(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.reassign, "elena", number, None, "Пусть другой")
    with firm.database.begin() as session:
        casework.pick_up_unassigned(session, firm.house, firm.clock)
    assert firm.request(number).assignee_id == firm.staff["boris"]


def leaves(firm, key):
    with firm.database.begin() as session:
        row = roster.read_staff(session, firm.staff[key], firm.clock)
        act = roster.Act(firm.who("elena", "panel"), firm.clock)
        fields = replace(row.fields, active=False)
        roster.save_staff(session, firm.house, act, row.staff_id, row.version, fields)


async def test_whoever_leaves_leaves_their_requests_and_hears_no_more(firm):
    assigned, accepted, asked, done = (
        firm.submitted_to("anna"),
        *(firm.accepted_by("anna") for _n in range(3)),
    )
    firm.do(casework.clarify, "anna", asked, "task", "На какую сумму?")
    firm.do(casework.done, "anna", done, "Готово", ())
    leaves(firm, "anna")
    for number in (assigned, accepted, asked):
        assert (firm.request(number).status, firm.request(number).assignee_id) == ("new", None)
    firm.check()
    with firm.database.begin() as session:
        casework.pick_up_unassigned(session, firm.house, firm.clock)
    assert {firm.request(number).assignee_id for number in (assigned, accepted, asked)} == {
        firm.staff["boris"]
    }
    letters = len(firm.rows(Letter))
    firm.do(casework.add, "maria", done, "А чек?", ())
    assert firm.told(letters) == [("elena", "client"), ("oleg", "client")]
    firm.do(casework.reopen, "maria", done, "Не то")
    assert firm.request(done).assignee_id == firm.staff["boris"]
    assert "anna" not in dict(firm.told(letters))


async def test_asked_for_files_the_new_ones_join_the_old(firm):
    number = firm.accepted_by("anna", files=files_to_text((BILL,)))
    firm.do(casework.clarify, "anna", number, "files", "")
    with pytest.raises(AnswerError):
        clarified(firm, Said("вот"))
    clarified(firm, Said(files=(ReceivedFile("d" * 64, "акт.pdf", 5, "application/pdf"),)))
    attached = [(row.name, row.purpose) for row in firm.rows(Attachment)]
    assert attached == [("счёт.pdf", "request"), ("акт.pdf", "added")]
    assert [row.version for row in firm.rows(AnswerVersion, field="files")] == [1, 2]


async def test_a_clock_that_was_set_back_makes_no_hole(firm):
    number = firm.accepted_by("anna")
    firm.clock -= timedelta(hours=3)
    firm.do(casework.done, "anna", number, "", ())
    intervals = firm.rows(StageInterval, request_id=number)
    assert [row.ended_at == row.started_at for row in intervals[:-1]][-1]
    assert intervals[-1].started_at == WEDNESDAY


async def test_the_machine_does_not_close_while_the_firm_owes_an_answer(firm):
    number = firm.accepted_by("anna")
    firm.do(casework.done, "anna", number, "Готово", ())
    firm.do(casework.add, "maria", number, "А чек?", ())
    with firm.database.begin() as session, pytest.raises(FirmOwes):
        casework.close_silent(session, firm.house, number, firm.clock)
    assert firm.request(number).status == "done"


async def test_who_has_withdrawn_is_not_told_but_the_assignee_is(firm):
    number = firm.accepted_by("anna")
    letters = len(firm.rows(Letter))
    firm.do(casework.cancel, "maria", number, "Уже не надо")
    assert firm.told(letters) == [("anna", "withdrawn")]


# --- two at once ---------------------------------------------------------------------------------


async def test_a_stale_screen_is_refused_naming_who_changed_it(firm):
    number = firm.submitted_to("anna")
    seen = firm.request(number).version
    firm.do(casework.accept, "anna", number, version=seen)
    firm.clock += 3 * MINUTE
    for action, *words in (
        (casework.reassign, firm.staff["boris"], "Пусть Борис"),
        (casework.cancel, ""),
        (casework.note, "Заметка", ()),
    ):
        with pytest.raises(StaleVersion) as refused:
            firm.do(action, "elena", number, *words, version=seen)
        assert "Анна Петрова" in reason(refused)
    assert firm.request(number).assignee_id == firm.staff["anna"]
    firm.do(casework.reassign, "elena", number, firm.staff["boris"], "", version=seen + 1)
    assert firm.request(number).assignee_id == firm.staff["boris"]


async def at_once(*works):
    """Run each on a thread of its own; returns what it gave or raised."""

    def one(work):
        try:
            return work()
        except DeskError as refused:
            return refused

    return await asyncio.gather(*(asyncio.to_thread(one, work) for work in works))


async def test_of_two_accountants_at_once_one_gets_it_and_the_other_learns_who(firm):
    firm.nobody_works()
    for number in [firm.submit() for _time in range(6)]:
        results = await at_once(
            *(
                lambda key=key, number=number: firm.do(casework.accept, key, number)
                for key in ("anna", "boris")
            )
        )
        winner = firm.request(number).assignee_id
        losers = [result for result in results if isinstance(result, AlreadyTaken)]
        assert len(losers) == 1, results
        name = "Анна Петрова" if winner == firm.staff["anna"] else "Борис Лядов"
        assert name in say(losers[0].text)
        assert [row.action for row in firm.rows(History, subject=f"request:{number}")] == [
            "submitted", "accepted",
        ]  # fmt: skip
        taken = [row for row in firm.rows(Letter, request_id=number) if ":taken:" in row.key]
        assert len(taken) == 1


async def test_the_same_screen_decided_upon_twice_at_once(firm):
    number = firm.accepted_by("anna")
    seen = firm.request(number).version
    results = await at_once(
        lambda: firm.do(casework.done, "anna", number, "Сделано", (), version=seen),
        lambda: firm.do(casework.reassign, "elena", number, firm.staff["boris"], "", version=seen),
        lambda: firm.do(casework.cancel, "oleg", number, "", version=seen),
    )
    refused = [result for result in results if isinstance(result, StaleVersion)]
    assert len(refused) == 2
    assert firm.request(number).version == seen + 1


async def test_no_update_is_lost(firm):
    """Four threads and four tasks, each reading the number of changes and writing one more."""
    number = firm.accepted_by("anna")
    start = firm.request(number).version
    times = 25

    def note(session: Session) -> None:
        casework.note(session, firm.house, firm.who("anna"), number, "Ещё одна", (), firm.clock)

    def thread() -> None:
        for _time in range(times):
            with firm.database.begin() as session:
                note(session)

    async def task() -> None:
        for _time in range(times):
            await firm.database.transact(note)

    await asyncio.gather(
        *(asyncio.to_thread(thread) for _number in range(4)), *(task() for _number in range(4))
    )
    assert firm.request(number).version == start + 8 * times
    assert len(firm.rows(Message)) == 8 * times


async def test_the_last_place_is_given_once(firm):
    firm.change(Staff, firm.staff["anna"], capacity=1)
    firm.change(Staff, firm.staff["boris"], capacity=2)
    await at_once(*(firm.submit for _number in range(6)))
    assigned = [row.assignee_id for row in firm.rows(Request) if row.assignee_id]
    assert sorted(assigned) == [firm.staff["anna"], firm.staff["boris"], firm.staff["boris"]]


async def test_a_new_client_who_writes_twice_at_once_appears_once(firm):
    results = await at_once(
        *(lambda: firm.submit(inn="7736050003", company="ООО «Север»") for _number in range(4))
    )
    assert sorted(results) == [1, 2, 3, 4]
    assert len(firm.rows(Client, inn="7736050003")) == 1


async def test_batches_over_the_same_requests_do_not_lock_one_another_out(firm):
    numbers = [firm.accepted_by("anna") for _number in range(3)]

    def batch(order):
        with firm.database.begin() as session:
            for number in order:
                casework.note(session, firm.house, firm.who("anna"), number, "", (), firm.clock)

    await asyncio.gather(
        *(asyncio.to_thread(batch, order) for order in (numbers, numbers[::-1]) * 4),
    )
    assert len(firm.rows(Message)) == 24


# --- anything ------------------------------------------------------------------------------------


async def test_whatever_people_try_the_books_are_in_order(firm):
    """A hundred and fifty random attempts by random people; what is refused leaves no trace."""
    chance = random.Random(7)
    numbers = [firm.submit(client) for client in ("maria", "pyotr", "maria")]
    owners = {1: "maria", 2: "pyotr", 3: "maria"}
    staff = ("anna", "boris", "elena", "oleg", "galina")
    done = 0

    def attempt():
        number, key = chance.choice(numbers), chance.choice(staff)
        to = firm.staff[chance.choice(("anna", "boris"))]
        client = owners[number]
        acts = [
            lambda: firm.do(casework.accept, key, number),
            lambda: firm.do(casework.decline, key, number, "Занята"),
            lambda: firm.do(casework.clarify, key, number, chance.choice(("task", "deadline")), ""),
            lambda: firm.do(casework.answer, key, number, "Ответ", ()),
            lambda: firm.do(casework.note, key, number, "Заметка", ()),
            lambda: firm.do(casework.pass_on, key, number, to, "Передаю"),
            lambda: firm.do(casework.reassign, key, number, chance.choice((to, None)), ""),
            lambda: firm.do(casework.done, key, number, "Итог", (PROOF,)),
            lambda: firm.do(casework.add, client, number, "Ещё", (), needs_answer=chance.random() < 0.5),
            lambda: firm.do(casework.rate, client, number, chance.randint(1, 5)),
            lambda: firm.do(casework.reopen, client, number, "Не то"),
            lambda: clarified(firm, Said("завтра"), chance.choice(firm.rows(Clarification)).id, client),
        ]
        if chance.random() < 0.01:
            acts = [lambda: firm.do(casework.cancel, chance.choice((client, "elena")), number, "")]
        elif key == "elena" and chance.random() < 0.1:
            firm.clock += timedelta(days=3)
        chance.choice(acts)()

    for _attempt in range(150):
        firm.clock += timedelta(minutes=chance.randint(0, 30))
        changes = len(firm.rows(History))
        try:
            attempt()
        except (DeskError, AnswerError, IndexError):
            assert len(firm.rows(History)) == changes
        else:
            done += 1
    assert done > 25
    firm.check()
