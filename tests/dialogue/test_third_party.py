"""Waiting for a bank or a tax office, from the chat of whoever works on it."""

import pytest
from sqlmodel import select

from storage.models import StageInterval
from tests.client import Talker
from tests.dialogue.paths import submits


@pytest.fixture
async def mary(town):
    mary = await town.client()
    await submits(mary)
    mary.hears()
    return mary


@pytest.fixture
def anna(town):
    return Talker(town, "staff-Анна Петрова", "Анна Петрова")


def stages(town):
    with town.database.read() as session:
        return [row.stage for row in session.exec(select(StageInterval).order_by(StageInterval.id))]


async def test_others_are_waited_for_and_the_work_goes_on(town, mary, anna):
    assert "Ждём третьих лиц" not in anna.last.labels
    await anna.presses("Принять")
    (card,) = await anna.presses("Ждём третьих лиц")
    assert "ждём банк, налоговую или другую организацию" in card
    assert "Ждём третьих лиц" not in anna.last.labels
    mary.hears()
    (said,) = await mary.says("/status")
    assert "ждём банк, налоговую или другую организацию" in said
    town.pass_time(minutes=30)
    (card,) = await anna.presses("Продолжить")
    assert card.startswith("Заявка снова в работе.")
    assert "Ждём третьих лиц" in anna.last.labels
    assert stages(town)[-3:] == ["execution", "third_party", "execution"]


async def test_an_old_button_is_refused_kindly(town, mary, anna):
    await anna.presses("Принять")
    press = anna.press_of("Ждём третьих лиц")
    await anna.presses("Ждём третьих лиц")
    said = await anna.presses_id(press)
    assert any("нельзя" in text for text in said)
    assert stages(town)[-1] == "third_party"
