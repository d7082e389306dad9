"""The same conversation in an English-speaking firm."""

import re
from dataclasses import replace

import pytest

from storage import casework
from tests.client import Talker, Town
from tests.dialogue.paths import staff_does
from tests.dialogue.samples import PDF, PROGRAM

CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


@pytest.fixture
async def town(tmp_path):
    town = Town.open(tmp_path, language="en")
    town.pace_seconds = 20
    consent = "Processing of personal data needs your consent."
    town.house = replace(town.house, firm_name="Balance Active", consent_text=consent)
    town.known_client("7707083893", "Daisy Ltd")
    await town.staff("Анна Петрова")
    yield town
    await town.database.close()


async def test_a_request_from_start_to_rating(town):
    maria = Talker(town, "maria", "Maria")
    await maria.says("/start")
    await maria.presses("I agree")
    await maria.says_all("77", "7707083894", "7707083893", "waybill")
    await maria.presses("Pay an invoice")
    await maria.sends_files({"invoice.pdf": PDF, "virus.pdf": PROGRAM}, album="a1")
    await maria.presses("Today")
    await maria.says_all("Back", "1", "Cancel", "restore", "done")
    await maria.says("Edit")
    await maria.says_all("Back", "send")
    maria.sees("1", "invoice.pdf", "Daisy Ltd")
    assert town.request(1).status == "assigned"
    await maria.says_all("/status", "thanks", "one more thing", "/help", "/human")
    await staff_does(town, casework.clarify, 1, "deadline", "")
    await maria.says("tomorrow")
    await staff_does(town, casework.done, 1, "Paid", ())
    await maria.says("5")
    assert town.request(1).status == "closed"
    said = [heard for heard in maria.everything() if CYRILLIC.search(heard.text.replace("Анна Петрова", ""))]
    assert said == []
