"""After a time without us: the messenger's own times count, and each chat is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from forms.messages import InboundKind
from router.model import Stage, Status
from storage import casework, maintenance, outages
from storage.models import Clarification, Letter, Message, Outage, StageInterval
from tests.client import Talker, Town
from tests.dialogue.paths import staff_does, submits, walk_to

LINE = "мы были без связи"
SLACK = timedelta(seconds=30)


async def beats(town: Town, *, starting: bool = False) -> None:
    """The service writes that it is there."""
    now = town.clock
    await town.database.transact(lambda session: outages.beat(session, town.house, now, starting=starting))


async def away(town: Town, minutes: float) -> None:
    """The service dies, and is there again after so many minutes."""
    await beats(town)
    town.pass_time(minutes=minutes)
    await town.restart()
    await beats(town, starting=True)


def ago(talker: Talker, text: str, minutes: float, **parts):
    """A message that has waited for so long at its messenger."""
    inbound = talker.inbound(InboundKind.TEXT, text=text, **parts)
    return replace(inbound, sent_at=talker.town.clock - timedelta(minutes=minutes))


async def reads(town: Town, talker: Talker, *inbounds) -> list[str]:
    await town.take(*inbounds)
    return talker.hears()


async def test_a_message_that_waited_counts_from_when_it_was_written(town, maria):
    await walk_to("summary", maria)
    begun_at = town.clock
    await away(town, 60)
    heard = await reads(town, maria, ago(maria, "Отправить", 48))
    assert heard[0] == (
        "Получили ваше сообщение от 11:14. С 11:02 до 12:02 мы были без связи, теперь всё на месте."
    )
    assert "Заявка № 1 принята" in heard[1]
    (request,) = town.requests()
    assert request.submitted_at == begun_at + timedelta(minutes=12)
    assert request.created_at <= request.submitted_at
    assert request.assigned_at == town.clock
    first, *_rest = town.rows(StageInterval)
    assert (first.started_at, first.ended_at) == (request.submitted_at, town.clock)


async def test_several_messages_are_taken_in_order_and_told_of_once(town, maria):
    await walk_to("kind", maria)
    await away(town, 40)
    waited = [
        ago(maria, text, minutes)
        for text, minutes in (
            ("Оплатить счёт", 30), ("ООО Свет, 12 345 ₽ по счёту 15", 29), ("до пятницы", 20), ("Готово", 19),
            ("Отправить", 18),
        )
    ]  # fmt: skip
    heard = await reads(town, maria, *waited)
    assert len([text for text in heard if LINE in text]) == 1
    assert LINE in heard[0]
    assert "принята" in heard[-1]
    (request,) = town.requests()
    assert request.submitted_at == town.clock - timedelta(minutes=18)
    written = [row.sent_at for row in town.rows(Message)]
    assert written == sorted(written)


async def test_two_chats_are_told_once_each_and_a_second_outage_again(town, maria):
    other = await town.client("200", "Пётр")
    await away(town, 20)
    for talker in (maria, other):
        assert LINE in (await reads(town, talker, ago(talker, "7707083893", 10)))[0]
    assert not [text for text in await reads(town, maria, ago(maria, "Оплатить счёт", 9)) if LINE in text]
    town.pass_time(minutes=5)
    await away(town, 20)
    assert LINE in (await reads(town, maria, ago(maria, "ООО Свет, 5 ₽", 10)))[0]
    assert len([row for row in town.rows(Letter) if LINE in row.text]) == 3


@pytest.mark.parametrize(
    ("gap_minutes", "waited_minutes"),
    [(2, 1), (60, 2), (60, 0)],
    ids=["no outage", "written at its very end", "written after it"],
)
async def test_who_did_not_wait_is_told_nothing(town, maria, gap_minutes, waited_minutes):
    await away(town, gap_minutes)
    heard = await reads(town, maria, ago(maria, "7707083893", waited_minutes))
    assert not [text for text in heard if LINE in text]


async def test_late_without_an_outage_is_told_nothing(town, maria):
    await beats(town)
    heard = await reads(town, maria, ago(maria, "7707083893", 30))
    assert not [text for text in heard if LINE in text]


async def test_a_stall_is_noticed_by_the_message_that_waited(town, maria):
    """The database stood still: the first message comes before the next heartbeat."""
    await beats(town)
    town.pass_time(minutes=30)
    heard = await reads(town, maria, ago(maria, "7707083893", 20))
    assert LINE in heard[0]
    await beats(town)
    (row,) = town.rows(Outage)
    assert (row.cause, row.ended_at - row.started_at) == ("stalled", timedelta(minutes=30))


@pytest.mark.parametrize("minutes", [-600, -1, 600], ids=["far ahead", "ahead", "before what was said"])
async def test_a_clock_that_is_wrong_changes_no_order(town, maria, minutes):
    number = await submits(maria)
    before = town.request(number).submitted_at
    town.pass_time(minutes=5)
    await reads(town, maria, ago(maria, "И ещё акт", minutes))
    request = town.request(number)
    assert before <= request.unanswered_since <= town.clock
    assert town.rows(Message)[-1].sent_at <= town.clock + timedelta(minutes=2)


async def test_the_wait_of_a_client_counts_from_their_words(town, maria):
    number = await submits(maria)
    await away(town, 60)
    await reads(town, maria, ago(maria, "И ещё акт", 40))
    assert town.request(number).unanswered_since == town.clock - timedelta(minutes=40)


async def test_the_stage_of_the_client_ends_with_their_words(town, maria):
    number = await submits(maria)
    await staff_does(town, casework.accept, number)
    town.pass_time(minutes=5)
    await staff_does(town, casework.clarify, number, "task", "За какой месяц?")
    maria.hears()
    asked_at = town.clock
    await away(town, 60)
    await reads(town, maria, ago(maria, "За октябрь", 40))
    request = town.request(number)
    assert request.status == Status.ACCEPTED.value
    (question,) = town.rows(Clarification)
    assert question.answered_at == asked_at + timedelta(minutes=20)
    of_client = next(row for row in town.rows(StageInterval) if row.stage == Stage.CLIENT.value)
    assert (of_client.started_at, of_client.ended_at) == (asked_at, asked_at + timedelta(minutes=20))


async def test_a_messengers_own_outage_is_told_in_its_own_chats_alone(town, maria):
    town.pass_time(hours=1)
    since = town.clock - timedelta(minutes=30)
    with town.database.begin() as session:
        session.add(Outage(scope="telegram", cause="unreachable", started_at=since))
    assert LINE not in (await reads(town, maria, ago(maria, "7707083893", 20)))[0]
    with town.database.begin() as session:
        session.add(Outage(scope="webchat", cause="unreachable", started_at=since))
    heard = await reads(town, maria, ago(maria, "Оплатить счёт", 20))
    assert "С 11:31 до 12:01" in heard[0]


async def test_staff_are_not_told(town):
    boris = await town.staff("Борис Лядов")
    await away(town, 60)
    assert not [text for text in await reads(town, boris, ago(boris, "привет", 30)) if LINE in text]


# --- presses that were lost ---------------------------------------------------------------------


async def asks_again(town: Town, seconds: float = 150) -> None:
    now = town.clock
    forgetting = {town.channel: timedelta(seconds=seconds)}
    await town.database.transact(lambda session: outages.ask_again(session, town.house, now, forgetting))
    await town.deliver()


async def test_after_lost_presses_the_question_is_shown_again_once(town, maria):
    await walk_to("summary", maria)
    await away(town, 20)
    await asks_again(town)
    assert not maria.hears(), "what has waited at the messenger comes first"
    town.pass_time(minutes=2)
    await asks_again(town)
    maria.hears()
    maria.sees("ответ мог потеряться", "С 11:02 до 11:22", "Проверьте заявку")
    await asks_again(town)
    assert not maria.hears()
    await maria.presses("Отправить")
    maria.sees("Заявка № 1 принята")


async def test_a_stranger_gets_the_same_buttons_again(town):
    pyotr = town.newcomer("300", "Пётр")
    await pyotr.says("/start")
    await away(town, 20)
    town.pass_time(minutes=2)
    await asks_again(town)
    pyotr.hears()
    pyotr.sees("ответ мог потеряться")
    assert "Согласен" in pyotr.last.labels
    await pyotr.presses("Согласен")
    pyotr.sees("Пришлите ИНН")


@pytest.mark.parametrize("case", ["wrote since", "sent everything", "kept for ever", "long ago", "staff"])
async def test_nobody_else_is_asked_again(town, maria, case):
    if case == "sent everything":
        await submits(maria)
    else:
        await walk_to("summary", maria)
    if case == "long ago":
        town.pass_time(hours=3)
    await away(town, 20)
    if case == "wrote since":
        await reads(town, maria, ago(maria, "Готово", 10))
    town.pass_time(minutes=2)
    maria.hears()
    await asks_again(town, seconds=1e6 if case == "kept for ever" else 150)
    assert not [row for row in town.rows(Letter) if "ответ мог потеряться" in row.text and case != "staff"]
    if case == "staff":
        assert [row.person_id for row in town.rows(Letter) if "ответ мог потеряться" in row.text] == [None]


# --- maintenance --------------------------------------------------------------------------------


async def announce(town: Town, minutes: float, reason: str = "") -> None:
    now, until = town.clock, town.clock + timedelta(minutes=minutes)
    announced = await town.database.transact(
        lambda session: maintenance.announce(session, until, reason, now)
    )
    town.house = replace(town.house, maintenance=announced)


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("", "До 11:30 обновляем программу: заявки принимаем, ответим позже."),
        ("переносим сервер", "До 11:30 переносим сервер: заявки принимаем, ответим позже."),
    ],
    ids=["plain", "with a reason"],
)  # fmt: skip
async def test_during_maintenance_each_chat_is_told_once_and_served(town, maria, reason, line):
    await announce(town, 29 + 1 / 3, reason)
    heard = await maria.says("7707083893")
    assert heard[0] == line
    assert "Что нужно сделать?" in heard[-1]
    assert line not in await maria.says("Оплатить счёт")
    number_of_lines = len([row for row in town.rows(Letter) if row.text == line])
    assert number_of_lines == 1


async def test_when_maintenance_is_over_nobody_is_told(town, maria):
    await announce(town, 10)
    town.pass_time(minutes=10)
    await maria.says("7707083893")
    maria.sees("Что нужно сделать?")
