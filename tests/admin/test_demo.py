"""The demo's firm has an ordinary morning whenever it is opened."""

import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest

from app import demo_firm
from storage import board, reading, times
from storage.times import Measure, TimesFilter
from tests.admin.office import MOSCOW, office_over


@pytest.fixture
def empty(tmp_path, empty_database):
    file = tmp_path / "demo.sqlite3"
    shutil.copy(empty_database, file)
    office = office_over(f"sqlite:///{file}", tmp_path / "files")
    yield office
    office.database.sync_engine.dispose()


@pytest.mark.parametrize(
    "local",
    [(2026, 11, 23, 9, 1), (2026, 1, 5, 3, 0)],
    ids=["Monday morning", "a night of holidays"],
)
def test_one_of_everything_a_director_looks_for(empty, local):
    now = empty.clock = datetime(*local, tzinfo=MOSCOW).astimezone(UTC)
    with empty.database.begin() as session:
        demo_firm.fill(session, empty.house, empty.files, now)
    week = timedelta(days=7)
    with empty.database.read() as session:
        counts = reading.count_all(session, now, now - timedelta(days=30), now - week)
        risky = board.at_risk(session, now, empty.house.calendar)
        duty = board.on_duty(session, now)
        wanted = TimesFilter(now - timedelta(days=31), now + timedelta(minutes=1))
        spent: Counter[int | None] = Counter()
        for event in times.events(session, wanted, empty.house.calendar, Measure.WHOLE):
            spent[event.number] += event.seconds
    assert (counts.unassigned, counts.unanswered, counts.overdue, counts.assigned) == (1, 1, 1, 2)
    assert (counts.working, counts.waiting, counts.done, counts.undelivered) == (6, 2, 3, 1)
    assert len(risky) >= 1
    assert [one.name for one in duty if one.absent_until] == ["Марина Ковалёва"]
    assert any(one.open_requests >= one.capacity for one in duty)
    # The firm keeps its norm in the middle, and not always.
    assert 5 * 60 <= median(spent.values()) <= 15 * 60
    assert max(spent.values()) > 15 * 60
