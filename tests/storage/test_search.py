"""Requests found by words and leafed through, on both engines; no list walks through all requests."""

import re
from datetime import timedelta
from itertools import chain, product

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select, text
from sqlalchemy.engine import make_url

from forms.fields import Said
from router.model import Status
from storage import casework, paging, reading, search, staff_reading
from storage.casework import search_text
from storage.migrate import alembic_config, migrate
from storage.models import Clarification, Request, metadata
from storage.paging import FIRST, LAST, Place, key_of, values_of
from storage.reading import SORTS, RequestFilter
from storage.search import REQUESTS_IN_BLOCK
from storage.staff_reading import Wanted
from tests.storage.firm import WEDNESDAY, Firm

WORDS = metadata.tables["request_word"]


@pytest.fixture
def firm(database):
    return Firm.open(database)


def put(firm, tasks, **more):
    """Write requests with these tasks by number straight into the tables."""
    rows = [
        {
            "id": number, "status": "closed", "kind": "pay", "company": "ООО «Ромашка»", "inn": "7707083893",
            "task": task, "deadline": WEDNESDAY, "answers": {}, "client_id": 1,
            "person_id": firm.people["maria"], "chat_id": firm.chats["maria"], "channel": "webchat",
            "created_at": WEDNESDAY,
            "submitted_at": WEDNESDAY + timedelta(seconds=number), "result": "",
            "search": search_text("ООО «Ромашка»", "7707083893", task), "version": 1, **more,
        }
        for number, task in tasks.items()
    ]  # fmt: skip
    with firm.database.begin() as session:
        session.execute(insert(Request), rows)
        search.keep_words_on(session.connection(), [(row["id"], row["search"], "") for row in rows])


def found(firm, typed="", sort="number", place=FIRST, descending=True, **wanted):
    with firm.database.read() as session:
        wanted = RequestFilter(search=typed, **wanted)
        return [row.number for row in reading.find_requests(session, wanted, sort, descending, place).rows]


ASKED = (
    ("оплатить", [30_000, 5_000, 7]),
    ("ОПЛАТИТЬ", [30_000, 5_000, 7]),
    ("опл", [30_000, 5_000, 7]),
    ("счет", [30_000, 7]),
    ("счёт", [30_000, 7]),
    ("«Ромашка»", [30_000, 20_000, 5_000, 7]),
    ("оплатить счёт", [30_000, 7]),
    ("счёт оплатить", [30_000, 7]),
    ("оплатить 12.5", [5_000]),
    ("лата", []),
    ("%", [30_000, 20_000, 5_000, 7]),
    ("опл_ть", []),
    ("7707083893", [30_000, 20_000, 5_000, 7]),
    ("7", [7, 30_000, 20_000, 5_000]),
    ("№7", [7]),
    ("№ 8", []),
    ("99999999999999", []),
    ("бегемот", []),
    ("ромашка бегемот", []),
)


def test_each_word_begins_a_word_of_the_request(firm):
    put(
        firm,
        {
            7: "Оплатить счёт № 15",
            5_000: "Оплатить 12.50 ₽",
            20_000: "Подготовить акт",
            30_000: "оплатить СЧЁТ за аренду",
        },
    )
    for typed, numbers in ASKED:
        assert found(firm, typed) == numbers, typed
        with firm.database.read() as session:
            assert reading.count_requests(session, RequestFilter(search=typed)) == len(numbers), typed


def test_what_is_found_is_narrowed_and_sorted(firm):
    put(firm, dict.fromkeys(range(1, 30), "Оплатить"))
    put(firm, {5_000: "Оплатить", 5_001: "Сдать"}, status="accepted", deadline=WEDNESDAY - timedelta(days=1))
    assert found(firm, "оплатить", statuses=("accepted",)) == [5_000]
    assert found(firm, "оплатить", kind="advice") == []
    assert found(firm, "оплатить", "deadline", descending=False)[0] == 5_000
    assert found(firm, "оплатить", overdue_at=WEDNESDAY) == [5_000]
    assert found(firm, "5000", statuses=("closed",)) == []
    assert found(firm, "5000") == [5_000]


def test_leafing_loses_and_repeats_nothing_in_either_direction(firm, monkeypatch):
    monkeypatch.setattr(paging, "PAGE_ROWS", 3)
    monkeypatch.setattr(reading, "PAGE_ROWS", 3)
    put(firm, dict.fromkeys((1, 2, 3, 4, 4095, 4096, 9000, 90000), "Оплатить"))
    put(firm, {10: "Оплатить", 9_100: "Оплатить"}, status="new", unanswered_since=WEDNESDAY)

    for sort, typed, descending in product((*SORTS, "nonsense"), ("", "оплатить"), (True, False)):
        wanted = RequestFilter(search=typed)
        forwards = list(pages(firm, wanted, sort, descending, FIRST))
        backwards = list(pages(firm, wanted, sort, descending, LAST))[::-1]
        numbers = [*chain.from_iterable(forwards)]
        assert numbers == [*chain.from_iterable(backwards)]
        assert sorted(numbers) == [1, 2, 3, 4, 10, 4_095, 4_096, 9_000, 9_100, 90_000]
        assert [len(page) for page in forwards] == [3, 3, 3, 1]
        if sort in ("number", "nonsense", "unanswered"):
            assert numbers == sorted(numbers, reverse=descending)


def pages(firm, wanted, sort, descending, place):
    with firm.database.read() as session:
        while True:
            page = reading.find_requests(session, wanted, sort, descending, place)
            yield [row.number for row in page.rows]
            key = page.earlier if place.backwards else page.later
            if not key:
                return
            place = Place(key, backwards=place.backwards)


def test_a_key_that_nobody_made_is_a_page_all_the_same(firm):
    put(firm, {1: "Оплатить", 2: "Сдать"})
    keys = ("", "x", "~", "5~6~7~8", "9" * 40, "-1", "1~" + "9" * 30, "²")
    for key, sort, backwards in product(keys, SORTS, (False, True)):
        assert set(found(firm, sort=sort, place=Place(key, backwards=backwards))) <= {1, 2}
        assert set(found(firm, "оплатить", sort, Place(key, backwards=backwards))) <= {1}


def test_a_period_is_found_by_its_numbers(firm):
    put(firm, dict.fromkeys(range(1, 200), "Сдать"))
    since, until = WEDNESDAY + timedelta(seconds=100), WEDNESDAY + timedelta(seconds=103)
    assert found(firm, since=since, until=until) == [102, 101, 100]
    assert found(firm, since=WEDNESDAY + timedelta(days=3)) == []
    assert found(firm, until=WEDNESDAY) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tasks=st.dictionaries(
        st.integers(1, 3 * REQUESTS_IN_BLOCK),
        st.lists(st.sampled_from(["акт", "акты", "счёт", "ао", "а", "12", "x"]), max_size=4).map(" ".join),
        max_size=12,
    ),
    wanted=st.lists(st.sampled_from(["ак", "акт", "сч", "а", "1", "xy"]), min_size=1, max_size=3),
    newest_first=st.booleans(),
    beyond=st.none() | st.integers(0, 3 * REQUESTS_IN_BLOCK + 1),
)
def test_what_the_index_finds_is_what_a_walk_finds(firm, tasks, wanted, newest_first, beyond):
    with firm.database.begin() as session:
        session.execute(text("delete from request_word"))
        session.execute(text("delete from request"))
    if tasks:
        put(firm, tasks)
    expected = [
        number
        for number in sorted(tasks, reverse=newest_first)
        if search.fits(search_text("ООО «Ромашка»", "7707083893", tasks[number]), wanted)
        and (beyond is None or (number < beyond if newest_first else number > beyond))
    ]
    with firm.database.read() as session:
        parts = list(search.numbers(session, wanted, newest_first=newest_first, beyond=beyond))
    assert [*chain.from_iterable(parts)] == expected


def test_words_follow_the_request(firm):
    number = firm.submit(task="Оплатить счёт за аренду склада")
    assert found(firm, "склада") == [number]
    with firm.database.begin() as session:
        before = firm.request(number).search
        search.keep_words(session, number, search_text("ООО «Ромашка»", "7707083893", "Оплатить"), before)
    assert found(firm, "склада") == []
    assert found(firm, "оплатить ромашка") == [number]
    # The same words once more change nothing.
    with firm.database.begin() as session:
        row = search_text("ООО «Ромашка»", "7707083893", "Оплатить")
        search.keep_words(session, number, row, row)
    assert found(firm, "оплатить") == [number]


def test_a_field_that_was_changed_is_found_by_its_new_words(firm):
    number = firm.accepted_by("anna", task="Сдать декларацию")
    firm.do(casework.clarify, "anna", number, "task", "Какую?")
    firm.clock += timedelta(minutes=1)
    asked = firm.rows(Clarification)[-1].id
    with firm.database.begin() as session:
        context = casework.form_context(session, firm.house, firm.clock, firm.people["maria"])
        said = Said("Сдать отчёт по УСН за год")
        casework.clarified(session, firm.house, firm.who("maria"), asked, said, context)
    assert found(firm, "усн") == [number]
    assert found(firm, "декларацию") == []


def test_staff_are_told_that_there_are_more(firm, monkeypatch):
    monkeypatch.setattr(staff_reading, "MOST_COUNTED", 3)
    put(firm, dict.fromkeys((1, 2, 3), "Оплатить"))
    with firm.database.read() as session:
        few = staff_reading.search(session, Wanted(words="оплатить"), None, 2)
    assert ([line.number for line in few.lines], few.total, few.is_cut) == ([3, 2], 3, False)
    put(firm, {5_000: "Оплатить"})
    with firm.database.read() as session:
        many = staff_reading.search(session, Wanted(words="опл"), None, 2)
        none = staff_reading.search(session, Wanted(words="«»"), None, 2)
        own = staff_reading.search(session, Wanted(words="опл"), firm.staff["anna"], 2)
    assert ([line.number for line in many.lines], many.total, many.is_cut) == ([5_000, 3], 3, True)
    assert none.lines == own.lines == ()


# --- The migration -------------------------------------------------------------------------------------


def test_old_requests_are_found_after_the_migration(firm, database_url):
    put(firm, {number: f"Оплатить счёт {number}" for number in range(1, 2_500)})
    with firm.database.read() as session:
        kept = set(session.execute(select(WORDS)).all())
    url = make_url(database_url)
    url = url.set(drivername="sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg")
    with alembic_config(url) as config:
        command.downgrade(config, "0005")
    migrate(database_url)
    with firm.database.read() as session:
        assert set(session.execute(select(WORDS)).all()) == kept


# --- No list walks -------------------------------------------------------------------------------------

LISTS = [
    *({"sort": sort, "descending": descending} for sort in SORTS for descending in (True, False)),
    *({"sort": sort, "place": LAST} for sort in SORTS),
    *({"statuses": (status.value,)} for status in (Status.NEW, Status.CLOSED, Status.CANCELLED)),
    {"statuses": ("closed",), "place": LAST},
    {"assignee_id": 2}, {"assignee_id": 0}, {"own_of": 2}, {"kind": "pay"}, {"channel": "vk"},
    {"client_id": 1},
    {"since": WEDNESDAY}, {"until": WEDNESDAY}, {"overdue_at": WEDNESDAY}, {"late_before": WEDNESDAY},
    {"undelivered_since": WEDNESDAY}, {"unanswered": True}, {"unanswered": True, "sort": "unanswered"},
    {"typed": "оплатить"}, {"typed": "№ 7"}, {"typed": "77"}, {"typed": "опл счёт", "place": LAST},
    {"typed": "опл", "sort": "deadline"}, {"typed": "опл", "statuses": ("new",)},
    {"typed": "опл", "kind": "pay"},
]  # fmt: skip


def test_no_list_walks_through_all_requests(firm):
    put(firm, dict.fromkeys(range(1, 20), "Оплатить счёт"))
    put(firm, {21: "Оплатить счёт"}, status="new", unanswered_since=WEDNESDAY)
    engine, statements = firm.database.sync_engine, []

    def note(_connection, _cursor, statement, parameters, *_rest):
        statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    for asked in LISTS:
        statements.clear()
        found(firm, **asked)
        asked_for = [each for each in statements if re.match(r"\s*(SELECT|WITH)", each[0])]
        assert asked_for
        for statement, values in asked_for:
            if engine.dialect.name == "sqlite":
                _is_by_index(engine, statement, values)


def _is_by_index(engine, statement, values):
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"explain query plan {statement}", values)]
    walks = [
        step for step in plan
        if re.match(r"SCAN (request|request_word|letter|history|stage_interval)\b", step)
    ]  # fmt: skip
    # Of everything in its own order the first rows are read, and no more.
    is_sorted = any("TEMP B-TREE" in step for step in plan)
    is_cut = "WHERE" not in statement and "LIMIT" in statement and not is_sorted
    assert is_cut or walks == [], (statement, plan)


def test_a_key_is_read_back():
    order = (reading.SORTS["deadline"][0], reading.SORTS["deadline"][1])
    assert values_of(key_of((WEDNESDAY, 17)), order) == [WEDNESDAY, 17]
    assert values_of("x~17", order) is None
