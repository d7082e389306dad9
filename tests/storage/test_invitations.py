"""One-time codes: who gets in, once, and how guessing is slowed down."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from router.model import Role
from storage import history
from storage.invitations import (
    ALPHABET,
    ATTEMPTS,
    InvitationRefused,
    NoSuchClient,
    Purpose,
    attempt,
    attempts_left,
    failed,
    invite_client,
    invite_person,
    invite_staff,
    redeem,
    succeeded,
)
from storage.models import Client, ClientPerson, History, Invitation, Person, Staff

NOW = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "address:203.0.113.7"


@pytest.fixture
def person_id(database):
    with database.begin() as session:
        person = Person(name="Анна", created_at=NOW)
        session.add(person)
        session.flush()
        return person.id


def code_for(database, person_id, purpose=Purpose.CHAT, now=NOW):
    with database.begin() as session:
        return invite_person(session, person_id, purpose, now, 7 * DAY)


def redeemed(database, code, purpose=Purpose.CHAT, now=NOW):
    with database.begin() as session:
        return redeem(session, code, purpose, now)


async def test_a_code_is_good_once(database, person_id):
    code = code_for(database, person_id)
    assert redeemed(database, code) == person_id
    with pytest.raises(InvitationRefused):
        redeemed(database, code)


async def test_a_code_fits_every_messenger(database, person_id):
    codes = {code_for(database, person_id, now=NOW + number * DAY * 30) for number in range(20)}
    assert len(codes) == 20
    for code in codes:
        assert re.fullmatch(rf"[{ALPHABET}]{{20}}", code)
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", code)
    assert not set("01OILU") & set(ALPHABET)


async def test_only_the_hash_is_kept(database, person_id):
    code = code_for(database, person_id)
    with database.read() as session:
        rows = session.exec(select(Invitation)).all()
    assert len(rows) == 1
    assert code not in str(rows[0].model_dump())


@pytest.mark.parametrize(
    "typed",
    [
        str.lower,
        lambda code: f" {code[:5]}-{code[5:]}\n",
        lambda code: code.replace("A", "А").replace("B", "В"),
    ],
    ids=["small letters", "in groups", "cyrillic twins"],
)
async def test_a_code_may_be_typed_by_hand(database, person_id, typed):
    assert redeemed(database, typed(code_for(database, person_id))) == person_id


async def test_a_stranger_cannot_tell_why(database, person_id):
    used = code_for(database, person_id)
    redeemed(database, used)
    expired = code_for(database, person_id)
    other_purpose = code_for(database, person_id, Purpose.PANEL)
    texts = set()
    for code, now in (
        (used, NOW),
        (expired, NOW + 7 * DAY),
        (other_purpose, NOW),
        ("A" * 20, NOW),
        ("", NOW),
        ("🙂" * 500, NOW),
    ):
        with pytest.raises(InvitationRefused) as caught:
            redeemed(database, code, now=now)
        texts.add(caught.value.text.msgid)
    assert len(texts) == 1


async def test_an_expired_code_is_good_until_its_last_moment(database, person_id):
    code = code_for(database, person_id)
    assert redeemed(database, code, now=NOW + 7 * DAY - timedelta(seconds=1)) == person_id


async def test_a_new_code_kills_the_older_ones_of_its_purpose(database, person_id):
    first, panel = code_for(database, person_id), code_for(database, person_id, Purpose.PANEL)
    second = code_for(database, person_id)
    with pytest.raises(InvitationRefused):
        redeemed(database, first)
    assert redeemed(database, second) == person_id
    assert redeemed(database, panel, Purpose.PANEL) == person_id


async def test_of_two_at_once_one_gets_in(database, person_id):
    code = code_for(database, person_id)

    def one():
        try:
            return redeemed(database, code)
        except InvitationRefused:
            return None

    results = await asyncio.gather(*(asyncio.to_thread(one) for _number in range(6)))
    assert sorted(results, key=str) == [person_id, *[None] * 5]


async def test_an_unknown_purpose_is_a_mistake_of_ours(database):
    with database.begin() as session, pytest.raises(ValueError):
        redeem(session, "A" * 20, "door", NOW)


# --- staff -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "department", "skills"),
    [
        (Role.ACCOUNTANT, "finance", ["documents", "payments", "reports"]),
        (Role.LAWYER, "legal", ["advice", "contracts"]),
        (Role.DIRECTOR, "finance", []),
        (Role.ADMIN, "finance", []),
    ],
)
async def test_a_role_brings_its_department_and_skills(database, role, department, skills):
    with database.begin() as session:
        invited = invite_staff(session, role, " Анна Петрова ", "anna@example.ru", NOW)
    with database.read() as session:
        staff = session.exec(select(Staff)).one()
        person = session.get(Person, invited.person_id)
        assert session.exec(select(History.action, History.subject)).all() == [
            ("invited", f"staff:{staff.id}")
        ]
        assert history.verify(session).ok
    assert (staff.role, staff.department, staff.skills) == (role.value, department, skills)
    assert (person.name, person.email, person.consent_version) == ("Анна Петрова", "anna@example.ru", "")
    assert redeemed(database, invited.chat_code) == invited.person_id
    assert redeemed(database, invited.panel_code, Purpose.PANEL) == invited.person_id


async def test_department_and_skills_can_be_named(database):
    with database.begin() as session:
        invite_staff(session, Role.ACCOUNTANT, "Анна", "", NOW, department="legal", skills=["payments"])
    with database.read() as session:
        staff = session.exec(select(Staff)).one()
    assert (staff.department, staff.skills) == ("legal", ["payments"])


async def test_inviting_again_adds_nobody_and_changes_only_what_is_said(database):
    with database.begin() as session:
        first = invite_staff(session, Role.ACCOUNTANT, "Анна", "anna@example.ru", NOW, skills=["payments"])
        staff = session.exec(select(Staff)).one()
        staff.active = False
    with database.begin() as session:
        again = invite_staff(session, Role.ACCOUNTANT, "Анна Петрова", "ANNA@example.ru", NOW + DAY)
    with database.read() as session:
        staff = session.exec(select(Staff)).one()
    assert again.person_id == first.person_id
    assert (staff.active, staff.skills) == (True, ["payments"])
    with pytest.raises(InvitationRefused):
        redeemed(database, first.chat_code, now=NOW + DAY)


async def test_a_new_role_brings_its_own_department_and_skills(database):
    with database.begin() as session:
        invite_staff(session, Role.ACCOUNTANT, "Анна", "anna@example.ru", NOW)
        invite_staff(session, Role.LAWYER, "Анна", "anna@example.ru", NOW)
    with database.read() as session:
        staff = session.exec(select(Staff)).one()
    assert (staff.role, staff.department, staff.skills) == ("lawyer", "legal", ["advice", "contracts"])


async def test_without_an_address_the_name_and_the_role_tell_people_apart(database):
    with database.begin() as session:
        ids = [
            invite_staff(session, role, name, "", NOW).person_id
            for role, name in (
                (Role.ACCOUNTANT, "Анна"),
                (Role.ACCOUNTANT, "Анна"),
                (Role.LAWYER, "Анна"),
                (Role.ACCOUNTANT, "Вера"),
            )
        ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


# --- clients -----------------------------------------------------------------------------------


async def test_a_client_gets_a_nameless_person(database):
    with database.begin() as session:
        session.add(Client(name="ООО «Ромашка»", inn="7707083893", created_at=NOW))
    with database.begin() as session:
        invited = invite_client(session, "7707083893", NOW)
    with database.read() as session:
        person = session.get(Person, invited.person_id)
        linked = session.exec(select(ClientPerson)).one()
    assert (person.name, person.phone, person.email) == ("", "", "")
    assert linked.person_id == person.id
    assert invited.panel_code is None
    assert redeemed(database, invited.chat_code) == person.id


async def test_an_unknown_client_is_refused_with_the_way_out(database):
    with database.begin() as session, pytest.raises(NoSuchClient, match="priem import clients"):
        invite_client(session, "7707083893", NOW)
    with database.read() as session:
        assert session.exec(select(Person)).all() == []


# --- the brake ---------------------------------------------------------------------------------


async def test_five_failures_cost_fifteen_minutes_and_each_more_twice_as_much(database):
    now, pauses = NOW, []
    with database.begin() as session:
        for left in range(ATTEMPTS, 0, -1):
            assert attempts_left(session, KEY, now) == left
            until = failed(session, KEY, now)
        for _more in range(3):
            assert attempts_left(session, KEY, now) == 0
            pauses.append(until - now)
            now = until
            assert attempts_left(session, KEY, now) == 1
            until = failed(session, KEY, now)
    assert [pause / timedelta(minutes=1) for pause in pauses] == [15, 30, 60]


async def test_the_longest_pause_is_a_day_and_a_quiet_day_forgives(database):
    with database.begin() as session:
        for _number in range(40):
            until = failed(session, KEY, NOW)
        assert until == NOW + DAY
        assert attempts_left(session, KEY, NOW + DAY - timedelta(seconds=1)) == 0
        assert attempts_left(session, KEY, NOW + DAY) == ATTEMPTS
        assert failed(session, KEY, NOW + DAY) is None
        assert attempts_left(session, KEY, NOW + DAY) == ATTEMPTS - 1


async def test_success_forgets_and_keys_are_apart(database):
    with database.begin() as session:
        for _number in range(3):
            failed(session, KEY, NOW)
        failed(session, "login:anna", NOW)
        succeeded(session, KEY)
        succeeded(session, "nobody")
        assert attempts_left(session, KEY, NOW) == ATTEMPTS
        assert attempts_left(session, "login:anna", NOW) == ATTEMPTS - 1


async def test_failures_at_once_are_all_counted(database):
    def fail():
        with database.begin() as session:
            failed(session, KEY, NOW)

    await asyncio.gather(*(asyncio.to_thread(fail) for _number in range(8)))
    with database.read() as session:
        assert session.connection().execute(text("select failures from throttle")).scalar_one() == 8


async def test_attempts_are_counted_refused_and_forgiven(database, person_id):
    def guess(code, now=NOW):
        with database.begin() as session:
            try:
                with attempt(session, KEY, now):
                    return redeem(session, code, Purpose.CHAT, now)
            except InvitationRefused as refused:
                return refused.text

    code = code_for(database, person_id)
    assert guess("x").plural is None
    assert guess(code) == person_id
    for _number in range(ATTEMPTS):
        assert guess("x").plural is None
    waiting = guess(code_for(database, person_id))
    assert (waiting.plural is not None, waiting.count) == (True, 15)
    assert guess("x", NOW + timedelta(minutes=14, seconds=1)).count == 1
    assert guess(code_for(database, person_id), NOW + timedelta(minutes=15)) == person_id
