"""Sessions and the second factor in the tables, on both engines."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from storage import access, roster
from storage.models import History, PanelSession, Setting, Staff
from storage.roster import Act, NoSuchCard
from tests.storage.firm import MINUTE, Firm

IDLE = timedelta(hours=12)


@pytest.fixture
def firm(database):
    return Firm.open(database)


def act(firm, key: str = "anna") -> Act:
    return Act(firm.who(key, "panel"), firm.clock)


def opened(firm, token: str, key: str = "anna") -> int:
    with firm.database.begin() as session:
        return access.open_session(
            session, firm.staff[key], token, firm.clock, address="10.0.0.1", browser="Firefox, Linux"
        )


def present(firm, token: str):
    with firm.database.read() as session:
        return access.present(session, token, firm.clock, IDLE)


def test_a_session_is_found_by_its_token_alone(firm):
    opened(firm, "a token")
    assert present(firm, "a token").member.name == "Анна Петрова"
    row = firm.row(PanelSession)
    assert row.token_hash == access.token_hash("a token")
    assert present(firm, row.token_hash) is None
    assert present(firm, "") is None


def test_it_ends_idle_and_is_kept_awake_by_looks(firm):
    session_id = opened(firm, "t")
    firm.clock += IDLE - MINUTE
    with firm.database.begin() as session:
        access.look(session, session_id, firm.clock)
    firm.clock += IDLE - MINUTE
    assert present(firm, "t") is not None
    firm.clock += 2 * MINUTE
    assert present(firm, "t") is None


def test_an_ended_one_stays_ended(firm):
    session_id = opened(firm, "t")
    with firm.database.begin() as session:
        access.end_session(session, act(firm), firm.staff["anna"], session_id)
    with firm.database.begin() as session:
        access.look(session, session_id, firm.clock)
        with pytest.raises(NoSuchCard):
            access.end_session(session, act(firm), firm.staff["anna"], session_id)
    assert present(firm, "t") is None


def test_one_may_stay_when_the_others_end(firm):
    kept, _other, _boris = opened(firm, "1"), opened(firm, "2"), opened(firm, "3", "boris")
    with firm.database.begin() as session:
        assert roster.end_sessions(session, firm.staff["anna"], firm.clock, kept) == 1
    assert [present(firm, token) is not None for token in "123"] == [True, False, True]


def test_whoever_left_has_no_session(firm):
    opened(firm, "t")
    firm.change(Staff, firm.staff["anna"], active=False)
    assert present(firm, "t") is None


def test_the_factor_comes_and_goes_with_history(firm):
    staff_id = firm.staff["anna"]
    with firm.database.begin() as session:
        access.keep_factor(session, act(firm), staff_id, "sealed", ["h1", "h2"])
        assert access.factor_of(session, staff_id) == access.Factor("sealed", 2)
        assert access.use_recovery(session, act(firm), staff_id, "h1")
        assert not access.use_recovery(session, act(firm), staff_id, "h1")
        assert access.drop_factor(session, act(firm, "elena"), staff_id)
        assert not access.drop_factor(session, act(firm, "elena"), staff_id)
        assert access.factor_of(session, staff_id) == access.Factor("", 0)
    actions = [row.action for row in firm.rows(History, subject=f"staff:{staff_id}")]
    assert actions == ["factor_set", "recovery_used", "factor_dropped"]


def test_of_many_at_once_one_uses_the_step(firm):
    def use(_number: int) -> bool:
        with firm.database.begin() as session:
            return access.use_step(session, firm.staff["anna"], 59_000_000, firm.clock)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(use, range(8))) == [False] * 7 + [True]
    assert firm.row(Setting, key=f"factor_step:{firm.staff['anna']}").value == "000059000000"


def test_of_many_at_once_one_uses_the_recovery_code(firm):
    staff_id = firm.staff["anna"]
    with firm.database.begin() as session:
        access.keep_factor(session, act(firm), staff_id, "sealed", ["h1", "h2"])

    def use(_number: int) -> bool:
        with firm.database.begin() as session:
            return access.use_recovery(session, act(firm), staff_id, "h1")

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(use, range(8))) == [False] * 7 + [True]
    assert firm.row(Staff, id=staff_id).recovery_hashes == ["h2"]
