"""Codes and links: nothing of them lies in the database, and each works once or for its time."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import SQLModel, select

from router.model import Role
from storage import access, calendars, invitations, linking
from storage.files import FileLinks, LinkExpired, LinkForged
from storage.invitations import ALPHABET, InvitationRefused, Purpose
from storage.roster import Act
from tests.admin.office import NOW, Office
from tests.client import Town

ROOT = Path(__file__).parents[2]

# purpose, letters, valid for, and how many wrong guesses may come from one chat or address in that time
CODES = {
    "a chat, by invitation": (Purpose.CHAT, invitations.CODE_LENGTH, timedelta(days=7)),
    "the panel for the first time": (Purpose.PANEL, invitations.CODE_LENGTH, timedelta(days=7)),
    "one sign-in": (Purpose.SIGNIN, invitations.CODE_LENGTH, timedelta(days=1)),
    "a new password": (Purpose.RESET, invitations.CODE_LENGTH, timedelta(minutes=30)),
    "another messenger": (Purpose.CHAT, linking.CODE_LENGTH, linking.CODE_VALID),
}
GUESSES_A_DAY = 100
"""By one chat: five, then pauses that double from a quarter of an hour."""
CHATS_OF_ONE_ATTACKER = 10_000


def everything_stored(office: Office) -> str:
    with office.database.read() as session:
        return "\n".join(
            str(row) for table in SQLModel.metadata.sorted_tables for row in session.execute(select(table))
        )


def make(office: Office, purpose: Purpose, length: int, valid: timedelta) -> str:
    with office.database.begin() as session:
        person = office.persons["anna"]
        return invitations.invite_person(session, person, purpose, office.clock, valid, length=length)


def use(office: Office, code: str, purpose: Purpose, after: timedelta = timedelta(0)) -> int:
    with office.database.begin() as session:
        return invitations.redeem(session, code, purpose, office.clock + after)


@pytest.mark.parametrize(("purpose", "length", "valid"), CODES.values(), ids=CODES)
def test_a_code(office, purpose, length, valid):
    code = make(office, purpose, length, valid)
    assert code not in everything_stored(office)
    for other in set(Purpose) - {purpose}:
        with pytest.raises(InvitationRefused):
            use(office, code, other)
    with pytest.raises(InvitationRefused):
        use(office, code, purpose, valid)
    assert use(office, code, purpose, valid - timedelta(seconds=1)) == office.persons["anna"]
    with pytest.raises(InvitationRefused):
        use(office, code, purpose)
    older, newer = (make(office, purpose, length, valid) for _time in range(2))
    with pytest.raises(InvitationRefused):
        use(office, older, purpose)
    assert use(office, newer, purpose) == office.persons["anna"]


@pytest.mark.parametrize(("length", "valid"), [(row[1], row[2]) for row in CODES.values()], ids=CODES)
def test_a_code_cannot_be_guessed_in_its_time(length, valid):
    guesses = CHATS_OF_ONE_ATTACKER * GUESSES_A_DAY * math.ceil(valid / timedelta(days=1))
    assert guesses * 100 / len(ALPHABET) ** length < 1e-3  # with a hundred codes out at once


async def test_guesses_of_one_chat_are_braked_and_the_right_code_waits_too(tmp_path):
    town = Town.open(tmp_path)
    with town.database.begin() as session:
        invited = invitations.invite_staff(session, Role.LAWYER, "Вера", "v@example.ru", town.clock)
    thief = town.newcomer("thief")
    for number in range(8):
        await thief.starts(f"{number}" * invitations.CODE_LENGTH)
    await thief.starts(invited.chat_code)
    with town.database.read() as session:
        assert invitations.owner_of_code(session, invited.chat_code, Purpose.CHAT, town.clock)
    town.database.sync_engine.dispose()


def test_a_session_and_its_token(office):
    browser = office.browser("anna")
    with browser.client.session_transaction(base_url="http://localhost/panel/") as session:
        token = session["_user_id"]
    assert token not in everything_stored(office)
    assert access.token_hash(token) in everything_stored(office)
    assert browser.get("/panel/").status_code == 200
    browser.send("/panel/sign-out")
    again = office.browser()
    with again.client.session_transaction(base_url="http://localhost/panel/") as session:
        session["_user_id"] = token
    assert again.get("/panel/").status_code == 302


def test_a_session_ends_without_use(office):
    browser = office.browser("anna")
    office.clock += timedelta(hours=13)
    assert browser.get("/panel/").status_code == 302


def test_a_calendar_link_is_kept_as_a_hash_and_dies_with_the_next_one(office):
    doing = Act(office.who("anna"), office.clock)

    def made() -> str:
        with office.database.begin() as session:
            return calendars.new_link(session, doing, office.staff["anna"])

    def opens(token: str) -> bool:
        with office.database.read() as session:
            return calendars.feed(session, office.house, token, "http://localhost", office.clock) is not None

    first = made()
    assert first not in everything_stored(office)
    assert opens(first)
    second = made()
    assert (opens(first), opens(second)) == (False, True)
    with office.database.begin() as session:
        calendars.drop_link(session, doing, office.staff["anna"])
    assert not opens(second)
    assert not opens("")


def test_recovery_codes_are_kept_as_hashes_and_work_once(office):
    doing = Act(office.who("director"), office.clock)
    code = "ABCDE-FGHJK"
    with office.database.begin() as session:
        access.replace_recovery(session, doing, office.staff["director"], [invitations.code_hash(code)])
    assert "ABCDEFGHJK" not in everything_stored(office)
    for works in (True, False):
        with office.database.begin() as session:
            used = access.use_recovery(session, doing, office.staff["director"], invitations.code_hash(code))
        assert used is works


def test_a_step_of_the_second_factor_works_once(office):
    for works in (True, False):
        with office.database.begin() as session:
            assert access.use_step(session, office.staff["anna"], 1000, NOW) is works


def test_a_file_link_lasts_its_time_and_cannot_be_turned_to_another_file():
    links = FileLinks("a key that is long enough")
    token = links.make("a" * 64, "a.pdf", NOW, 60).rpartition("/")[2]
    assert links.read(token, NOW).sha256 == "a" * 64
    with pytest.raises(LinkExpired):
        links.read(token, NOW + timedelta(seconds=60))
    for forged in (token[:-1], token + "A", token.replace(".", "", 1), "", "a.b.c", token[::-1]):
        with pytest.raises(LinkForged):
            links.read(forged, NOW)
    with pytest.raises(LinkForged):
        FileLinks("another key that is long enough").read(token, NOW)


def test_secrets_are_compared_without_telling_how_much_fits():
    """Where something secret is shown by a stranger, `==` would tell by its time how much of it is right."""
    names = r"(?:secret|signature|token|expected|seal)"
    shown = re.compile(rf"{names}\w*(?:\(\))?\s*[!=]=|[!=]=\s*\w*{names}\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("bots", "admin", "app", "storage")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if shown.search(line) and not line.lstrip().startswith("#") and '""' not in line
    ]  # fmt: skip
    assert found == []
