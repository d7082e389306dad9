"""Which copies stay, when one is due, what is told of them, and the second places, each a real server."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.copying import CopyTrouble
from router.model import Role
from storage import copies
from storage.copies import CopyPlan, CopyState, KeepRules, Outcome, Told, made_at, name_of, superfluous
from storage.copy_places import PlaceError, open_place, parse
from storage.house import Who
from storage.models import CopyRun, History, Letter, Staff
from tests.emulators.listening import free_port
from tests.storage.firm import MOSCOW, WEDNESDAY, Firm

NIGHT = datetime(2026, 11, 25, 3, 30, tzinfo=MOSCOW).astimezone(UTC)
PLAN = CopyPlan(MOSCOW, time(3, 30), has_key=True)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# --- which copies stay -------------------------------------------------------------------------

RULES = st.builds(KeepRules, st.integers(1, 20), st.integers(0, 10), st.integers(0, 30))
MOMENTS = st.sets(
    st.integers(0, 3 * 365 * 24).map(lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + hours * HOUR),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(MOMENTS, RULES, st.data())
def test_thinning_keeps_what_it_must_and_no_more(moments, rules, data):
    names = {name_of(at) for at in moments}
    whole = data.draw(st.sets(st.sampled_from(sorted(names)))) if names else set()
    gone = superfluous(names, rules, MOSCOW, whole)
    kept = names - gone
    assert len(kept) <= rules.days + rules.weeks + rules.months + 2
    if names:
        assert max(names) in kept, "the newest stays"
    if whole:
        assert max(whole) in kept, "the newest whole one stays"
    days = sorted({made_at(name).astimezone(MOSCOW).date() for name in names}, reverse=True)[: rules.days]
    for day in days:
        of_day = {name for name in names if made_at(name).astimezone(MOSCOW).date() == day}
        wanted = max(of_day & whole) if of_day & whole else max(of_day)
        assert wanted in kept
    assert superfluous(kept, rules, MOSCOW, whole & kept) == frozenset(), "what was thinned stays as it is"


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(max_size=30), max_size=10), st.sets(st.sampled_from(["priem.sqlite3", "x.tar"])))
def test_what_is_not_ours_is_never_touched(names, others):
    assert superfluous(names | others, KeepRules(1, 0, 0), MOSCOW, ()) == frozenset()


def test_after_three_years_there_are_days_weeks_and_months():
    kept, now = set(), NIGHT
    for _night in range(3 * 365):
        now += DAY
        kept |= {name_of(now)}
        kept -= superfluous(kept, KeepRules(), MOSCOW, kept)
    at = sorted((made_at(name).astimezone(MOSCOW) for name in kept), reverse=True)
    assert [moment.date() for moment in at[:14]] == [
        (now - n * DAY).astimezone(MOSCOW).date() for n in range(14)
    ]
    assert len({moment.isocalendar()[:2] for moment in at if now - moment < 8 * 7 * DAY}) >= 8
    assert len({(moment.year, moment.month) for moment in at}) == 24
    assert len(kept) < 14 + 8 + 24


def test_copies_before_migrations_are_counted_apart():
    nights = {name_of(NIGHT + n * DAY) for n in range(3)}
    before = [name_of(NIGHT + n * HOUR, "0007") for n in range(5)]
    assert superfluous(nights | set(before), KeepRules(), MOSCOW, ()) == set(before[:2])


@pytest.mark.parametrize("name", ["priem-20261301T000000Z.tar", "priem-20261125T003000Z.tar.part", "x", ""])
def test_a_strange_name_is_not_ours(name):
    assert made_at(name) is None


# --- when one is due ---------------------------------------------------------------------------


def attempt(started_at, whole=None, *troubles):
    return copies.Attempt(1, started_at, started_at + HOUR, "timer", "", 0, "", 0, 0, whole, None, troubles)


OFF = CopyPlan(MOSCOW, time(3, 30), has_key=False)
ON_DEMAND = CopyPlan(MOSCOW, None, has_key=True)


def killed(started_at):
    return replace(attempt(started_at), ended_at=None)


def broken_off(started_at):
    return attempt(started_at, None, Told(CopyTrouble.BROKEN_OFF))


@pytest.mark.parametrize(
    ("plan", "newest", "wanted", "now", "expected"),
    [
        pytest.param(PLAN, None, False, NIGHT + 9 * HOUR, "timer", id="the first start"),
        pytest.param(PLAN, attempt(NIGHT - DAY, whole=True), False, NIGHT - HOUR, None, id="not yet night"),
        pytest.param(PLAN, attempt(NIGHT - DAY, whole=True), False, NIGHT, "timer", id="at night"),
        pytest.param(
            PLAN, attempt(NIGHT - 9 * DAY, whole=True), False, NIGHT + 5 * HOUR, "timer", id="made up"
        ),
        pytest.param(PLAN, attempt(NIGHT, whole=True), False, NIGHT + 5 * HOUR, None, id="done"),
        pytest.param(PLAN, attempt(NIGHT, whole=False), False, NIGHT + 1.5 * HOUR, None, id="failed lately"),
        pytest.param(PLAN, attempt(NIGHT, whole=False), False, NIGHT + 2.1 * HOUR, "timer", id="tried again"),
        pytest.param(PLAN, broken_off(NIGHT), False, NIGHT + 1.2 * HOUR, "timer", id="broken off"),
        pytest.param(PLAN, killed(NIGHT), False, NIGHT + 0.05 * HOUR, None, id="killed a moment ago"),
        pytest.param(PLAN, killed(NIGHT), False, NIGHT + 0.1 * HOUR, "timer", id="killed"),
        pytest.param(PLAN, attempt(NIGHT, whole=True), True, NIGHT + 5 * HOUR, "panel", id="asked for"),
        pytest.param(ON_DEMAND, None, False, NIGHT, None, id="only when asked for"),
        pytest.param(ON_DEMAND, None, True, NIGHT, "panel", id="asked for, no nights"),
        pytest.param(OFF, None, True, NIGHT, None, id="no key"),
    ],
)
def test_when_a_copy_is_due(plan, newest, wanted, now, expected):
    found = CopyState(newest, newest, NIGHT - 30 * DAY, now if wanted else None)
    assert copies.due(found, plan, now) == expected


def test_the_night_follows_the_zone_of_the_firm():
    plan = CopyPlan(ZoneInfo("Asia/Vladivostok"), time(3, 30), has_key=True)
    now = datetime(2026, 11, 25, 0, 0, tzinfo=UTC)
    assert plan.latest_due(now) == datetime(2026, 11, 24, 17, 30, tzinfo=UTC)
    assert plan.next_due(now) == datetime(2026, 11, 25, 17, 30, tzinfo=UTC)


# --- what is remembered and told ---------------------------------------------------------------

GOOD = Outcome("priem-20261125T003000Z.tar", 1000, "a" * 64, 2, 1, whole=True, second_whole=True)


@pytest.fixture
def firm(database):
    firm = Firm.open(database)
    with database.begin() as session:
        firm._human(session, "denis", "Денис Админов", WEDNESDAY)
        session.add(Staff(person_id=firm.people["denis"], role=Role.ADMIN.value, created_at=WEDNESDAY))
    return firm


def copied(firm, outcome, at=NIGHT):
    with firm.database.begin() as session:
        number = copies.begin(session, "timer", at)
    with firm.database.begin() as session:
        copies.settle(session, firm.house, number, outcome, at + HOUR)


def alarmed(firm, at):
    with firm.database.begin() as session:
        return copies.alarm(session, firm.house, PLAN, at)


def told(firm):
    names = {person: name for name, person in firm.people.items()}
    return {(names[row.person_id], row.text) for row in firm.rows(Letter) if row.key.startswith("copy:")}


def test_a_good_night_is_told_to_the_administrator_alone(firm):
    copied(firm, GOOD)
    ((name, text),) = told(firm)
    assert name == "denis"
    assert "Копия за ночь цела" in text
    assert "Во втором месте лежит такая же" in text
    letter = next(row for row in firm.rows(Letter) if row.key.startswith("copy:"))
    assert letter.not_before.astimezone(MOSCOW).time() == time(9), "nobody is woken"
    assert alarmed(firm, NIGHT + 10 * HOUR) == 0
    row = firm.row(CopyRun)
    assert (row.whole, row.second_whole, row.requests) == (True, True, 2)
    assert [line.action for line in firm.rows(History, subject="firm")] == ["copy_made"]


def test_nobody_is_told_of_a_good_copy_on_a_day_off(firm):
    copied(firm, GOOD, NIGHT + 3 * DAY)
    assert told(firm) == set()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (CopyTrouble.DAMAGED, "нельзя положиться"),
        (CopyTrouble.NOT_CARRIED, "не ушла во второе место"),
        (CopyTrouble.NO_ROOM, "не хватило места"),
    ],
)
def test_trouble_alarms_director_and_administrator_once_a_day(firm, trouble, words):
    whole = trouble is CopyTrouble.NOT_CARRIED
    copied(firm, Outcome("x", whole=whole, troubles=(Told(trouble, "detail"),)))
    assert alarmed(firm, NIGHT + 2 * HOUR) == 0, "not in the middle of the night"
    assert alarmed(firm, NIGHT + 5 * HOUR) == 3
    assert alarmed(firm, NIGHT + 6 * HOUR) == 0
    assert {name for name, _text in told(firm)} == {"elena", "oleg", "denis"}
    assert all(words in text for _name, text in told(firm))
    assert alarmed(firm, NIGHT + 29 * HOUR) == 3, "the next day again"
    copied(firm, GOOD, NIGHT + 30 * HOUR)
    assert alarmed(firm, NIGHT + 53 * HOUR) == 0


def test_a_copy_that_is_missing_for_a_day_and_a_half_alarms(firm):
    copied(firm, GOOD)
    assert alarmed(firm, NIGHT + 35 * HOUR) == 0
    assert alarmed(firm, NIGHT + 37 * HOUR) == 3
    assert any("нет больше полутора суток" in text for _name, text in told(firm))


def test_a_broken_off_attempt_is_closed_and_alarms_nobody(firm):
    copied(firm, GOOD, NIGHT - DAY)
    with firm.database.begin() as session:
        copies.begin(session, "timer", NIGHT)
    assert alarmed(firm, NIGHT + 6 * HOUR) == 0
    with firm.database.begin() as session:
        copies.begin(session, "timer", NIGHT + 6 * HOUR)
    first, last = firm.rows(CopyRun)[-2:]
    assert (first.troubles, first.ended_at is None) == ([["broken_off", ""]], False)
    assert last.ended_at is None


def test_a_wish_is_fulfilled_once(firm):
    with firm.database.begin() as session:
        copies.wish(session, Who("panel", firm.people["elena"]), NIGHT)
    with firm.database.read() as session:
        assert copies.due(copies.state(session), PLAN, NIGHT) == "panel"
    with firm.database.begin() as session:
        copies.begin(session, "panel", NIGHT)
    with firm.database.read() as session:
        assert copies.state(session).wanted_at is None


# --- the second places -------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 4096 * 20
"""More than one part of an upload to S3."""
NAME = name_of(NIGHT)


@contextmanager
def webdav(folder):
    from cheroot import wsgi
    from wsgidav.wsgidav_app import WsgiDAVApp

    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": {"*": {"priem": {"password": "secret"}}}},
            "verbose": 0, "logging": {"enable": False}, "property_manager": False, "lock_storage": False,
        }
    )  # fmt: skip
    port = free_port()
    server = wsgi.Server(("127.0.0.1", port), application)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def s3():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3", "webdav"])
def address(request, tmp_path):
    if request.param == "folder":
        (tmp_path / "far").mkdir()
        yield parse(str(tmp_path / "far"))
    elif request.param == "s3":
        endpoint = request.getfixturevalue("s3")
        found = parse(f"s3://copies/priem/east?endpoint={endpoint}&region=us-east-1", "key", "secret")
        with open_place(found) as place:
            if not place.client.bucket_exists("copies"):
                place.client.make_bucket("copies")
        yield found
    else:
        (tmp_path / "dav" / "priem").mkdir(parents=True)
        with webdav(tmp_path / "dav") as root:
            yield parse(f"{root.replace('://', '://priem@')}/priem", password="secret")


def test_a_place_takes_shows_gives_back_and_deletes(address, tmp_path):
    file = tmp_path / NAME
    file.write_bytes(CONTENT)
    with open_place(address) as place:
        assert NAME not in place.sizes()
        place.put(file)
        assert place.sizes()[NAME] == len(CONTENT)
        assert b"".join(place.read(NAME)) == CONTENT
        file.write_bytes(b"newer")
        place.put(file)
        assert b"".join(place.read(NAME)) == b"newer"
        place.delete(NAME)
        place.delete(NAME)
        assert NAME not in place.sizes()


def refusal(address, file):
    with open_place(address) as place, pytest.raises(PlaceError) as refused:
        place.put(file)
    return str(refused.value)


def test_a_place_without_the_folder_or_the_right_password_says_so(s3, tmp_path):
    file = tmp_path / NAME
    file.write_bytes(b"copy")
    assert "mounted" in refusal(parse(str(tmp_path / "far")), file)
    assert "no such bucket" in refusal(parse(f"s3://nowhere?endpoint={s3}", "key", "secret"), file)
    (tmp_path / "dav").mkdir()
    with webdav(tmp_path / "dav") as root:
        refused = refusal(parse(f"{root}/", "priem", "wrong-password"), file)
        assert "password is not accepted" in refused
        assert "wrong-password" not in refused
        assert "no such folder" in refusal(parse(f"{root}/nowhere", "priem", "secret"), file)
    assert "does not answer" in refusal(parse(f"{root}/", "priem", "secret"), file)


@pytest.mark.parametrize(
    ("told_as", "kind", "where"),
    [
        ("/mnt/copies", "folder", "/mnt/copies"),
        ("folder:///mnt/my%20copies", "folder", "/mnt/my copies"),
        ("s3://bucket/a/b?endpoint=https://s3.example", "s3", "s3://bucket/a/b"),
        ("https://anna@dav.example/priem", "webdav", "https://dav.example/priem/"),
    ],
)
def test_an_address_is_read_and_shown_without_secrets(told_as, kind, where):
    found = parse(told_as, password="secret")
    assert (found.kind, found.shown()) == (kind, where)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "told_as",
    ["copies", "s3:///x", "s3://b?zone=1", "s3://b?endpoint=s3.example", "ftp://x", "https://a:b@host/"],
)
def test_a_wrong_address_is_refused_in_words(told_as):
    with pytest.raises(ValueError, match=" "):
        parse(told_as)
