"""The director in the chat: alarms with what can be done, the board in figures, a reminder."""

import pytest

from notifications import digest
from notifications.digest import COLUMN_TITLES
from router.model import Role, Status
from storage.models import History, Letter, Shift
from tests.client import Talker
from tests.dialogue.paths import new_request, submits


@pytest.fixture
async def boss(town):
    boss = await town.staff("Дина Котова", Role.DIRECTOR)
    boss.hears()
    return boss


@pytest.fixture
def anna(town):
    anna = Talker(town, "staff-Анна Петрова", "Анна Петрова")
    anna.hears()
    return anna


@pytest.fixture
async def mary(town):
    return await town.client()


def at_home(town):
    """Nobody is at work."""
    with town.database.begin() as session:
        for shift in town.rows(Shift):
            session.get_one(Shift, shift.id).ended_at = town.clock


async def test_what_was_not_accepted_is_given_away_or_looked_at_from_the_alarm(town, boss, anna, mary):
    boris = await town.staff("Борис Сидоров")
    await submits(mary)
    town.pass_time(minutes=16)
    await town.sweep()
    (alarm,) = boss.hears()
    assert "не приняли за 15" in alarm
    assert boss.last.labels == ("Передать", "Напомнить", "Открыть")
    (card,) = await boss.presses("Открыть")
    assert card.startswith("Заявка № 1")
    (whom,) = await boss.presses_id("req:1:pass:0")
    assert whom.startswith("Кому передать заявку № 1?")
    await boss.presses("Анна Петрова, 0 из 10")
    (done,) = await boss.presses("Без пояснений")
    assert done == "Передали, № 1: Анна Петрова."
    assert boris.hears()


async def test_a_reminder_reaches_whoever_has_it_once(town, boss, anna, mary):
    await town.staff("Борис Сидоров")
    await submits(mary)
    anna.hears()
    (told,) = await boss.presses_id("req:1:ping:1")
    assert told == "Напомнили, № 1: Анна Петрова."
    (reminder,) = anna.hears()
    assert reminder.startswith("Дина Котова напоминает: заявка № 1, ООО «Ромашка».")
    assert "Принять" in anna.last.labels
    refused = await boss.presses_id("req:1:ping:2")
    assert refused[0].startswith("Об этой заявке только что напомнили.")
    assert anna.hears() == []
    town.pass_time(minutes=11)
    await boss.presses_id("req:1:ping:2")
    assert len(anna.hears()) == 1
    reminded = [line for line in town.rows(History) if line.action == "reminded"]
    assert [line.subject for line in reminded] == ["request:1", "request:1"]
    assert town.request(1).status == "assigned"
    assert mary.hears() == []
    (past,) = await boss.presses_id("req:1:history:0")
    assert "директор напомнил, Дина Котова" in past


async def test_nobody_is_reminded_of_what_nobody_has(town, boss, mary):
    at_home(town)
    await submits(mary)
    (alarm,) = boss.hears()
    assert "в «Неразобранном»" in alarm
    assert boss.last.labels == ("Передать", "Открыть")
    refused = await boss.presses_id("req:1:ping:0")
    assert refused[0].startswith("Эта заявка пока ни у кого")


async def test_only_directors_remind(town, boss, anna, mary):
    await submits(mary)
    anna.hears()
    refused = await anna.presses_id("req:1:ping:0")
    assert refused[0].startswith("Напоминать о заявках могут директор и заместитель.")
    assert not [line for line in town.rows(History) if line.action == "reminded"]


async def test_the_board_counts_and_leads_to_its_columns(town, boss, anna, mary):
    assert await boss.says("/board") == ["Открытых заявок нет."]
    await submits(mary)
    await new_request(mary)
    anna.hears()
    await anna.presses_id("req:2:accept:0")
    (board,) = await boss.says("/board")
    assert board == "Назначены, не приняты: 1\nВ работе: 1"
    assert boss.last.labels == ("Назначены, не приняты: 1", "В работе: 1")
    (column,) = await boss.presses("В работе: 1")
    assert column.startswith("В работе: 1\n№ 2 ООО «Ромашка»")
    assert boss.last.labels == ("№ 2", "Доска")
    (card,) = await boss.presses("№ 2")
    assert "Ведёт: Анна Петрова" in card
    town.pass_time(days=20)
    (board,) = await boss.says("Доска")
    assert "просрочено 2" in board


async def test_others_see_their_own_board(town, boss, anna, mary):
    await submits(mary)
    boris = await town.staff("Борис Сидоров")
    anna.hears()
    assert await anna.says("/board") == ["Назначены, не приняты: 1"]
    assert await boris.says("/board") == ["Открытых заявок нет."]
    admin = await town.staff("Денис Админов", Role.ADMIN)
    assert await admin.says("/board") == ["Открытых заявок нет."]


@pytest.mark.parametrize("press", ["dir:list::0", "dir:list:draft:0", "dir:junk:new:0", "dir:::0"])
async def test_a_forged_column_is_the_board(town, boss, press):
    assert await boss.presses_id(press) == ["Открытых заявок нет."]


async def test_a_question_that_waits_is_asked_again_below_the_board(town, boss, anna, mary):
    await submits(mary)
    anna.hears()
    await anna.presses_id("req:1:note:0")
    board, question = await anna.presses_id(str(digest.BOARD))
    assert board.startswith("Назначены")
    assert question.startswith("Напишите заметку")


def test_every_column_of_the_board_has_a_title():
    assert set(COLUMN_TITLES) == {
        Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT, Status.DONE
    }  # fmt: skip


async def test_a_board_never_sends_a_letter_to_anybody_else(town, boss, anna, mary):
    await submits(mary)
    for talker in (anna, mary, boss):
        talker.hears()
    before = len(town.rows(Letter))
    await boss.says("/board")
    assert len(town.rows(Letter)) == before + 1
    assert anna.hears() == mary.hears() == []
