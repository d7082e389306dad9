"""A copy from its beginning to its end, as the service, a migration and an operator have it made."""

import asyncio
import contextlib
import hashlib
import io
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest
from sqlalchemy import create_engine, text

from app import copying
from app.copying import Order, before_migrating, carry_out, outcome_of, to_line
from app.monitor import Monitor
from app.nightly import Nightly, in_process_of_its_own
from app.settings import Backup, Consent, Server, Settings, Storage
from app.settings import Firm as FirmSection
from notifications.copying import CopyTrouble
from storage import copies
from storage.backup import BackupError, Key, verify
from storage.copies import Places, Proved, Told, made_at, name_of
from storage.files import FileStore
from storage.house import Who
from storage.migrate import create, is_newest, newest_revision
from storage.models import CopyRun, History, Letter
from tests.storage.firm import MOSCOW, Firm

NOW = datetime(2026, 11, 25, 3, 30, tzinfo=MOSCOW).astimezone(UTC)
DAY = timedelta(days=1)
_PAIR = pyrage.x25519.Identity.generate()
"""A passphrase costs a second of work each time, so most cases use a public key."""

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def firm(database):
    firm = Firm.open(database)
    firm.submitted_to("anna")
    return firm


def settled(tmp_path, database_url, **backup):
    (tmp_path / "far").mkdir(exist_ok=True)
    chosen = {"public_key": str(_PAIR.to_public()), "second_place": str(tmp_path / "far"), **backup}
    return Settings(
        FirmSection(name="Баланс"),
        Consent(),
        Storage(url=database_url, files=tmp_path / "files", warn_free_megabytes=0),
        Server(secret_key="0123456789abcdef"),
        {},
        backup=Backup(folder=tmp_path / "near", **chosen),
    )


def order(settings, now=NOW, **known):
    return Order(settings.storage, settings.backup, "Europe/Moscow", now, **known)


@pytest.fixture
def settings(firm, tmp_path, database_url):
    return settled(tmp_path, database_url)


@pytest.fixture
def near(tmp_path):
    return tmp_path / "near"


@pytest.fixture
def far(tmp_path):
    return tmp_path / "far"


def keep(settings, size_bytes):
    """A received file that does not shrink when it is packed."""
    content = os.urandom(size_bytes)
    FileStore(settings.storage.folder, 0).put_back(hashlib.sha256(content).hexdigest(), io.BytesIO(content))


def proved(outcome):
    return {outcome.file_name: Proved(outcome.size_bytes, outcome.sha256)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- from beginning to end ---------------------------------------------------------------------


def test_a_copy_is_written_proved_and_carried_away(settings, near, far):
    keep(settings, 20_000)
    done = carry_out(order(settings))
    assert (done.whole, done.second_whole, done.troubles, done.requests) == (True, True, (), 1)
    assert names(near) == names(far) == [name_of(NOW)]
    assert (near / name_of(NOW)).read_bytes() == (far / name_of(NOW)).read_bytes()
    assert near.stat().st_mode & 0o077 == 0
    assert verify(far / name_of(NOW), Key(identity=str(_PAIR))).whole, "its owner opens it anywhere"
    assert done.files == 1


def test_the_old_ones_go_in_both_places_and_strangers_stay(settings, near, far):
    known = {}
    for day in range(3):
        backup = settings.backup.model_copy(update={"keep_days": 2, "keep_weeks": 0, "keep_months": 0})
        done = carry_out(Order(settings.storage, backup, "Europe/Moscow", NOW + day * DAY, whole=known))
        known |= proved(done)
        (far / "holiday.jpg").write_bytes(b"not ours")
        (far / f"{name_of(NOW)}.part").write_bytes(b"broken off")
    kept = [name_of(NOW + DAY), name_of(NOW + 2 * DAY)]
    assert names(near) == kept
    assert [name for name in names(far) if made_at(name)] == kept
    assert (far / "holiday.jpg").exists()


def test_what_the_second_place_missed_is_carried_later(settings, near, far, tmp_path):
    far.rmdir()
    first = carry_out(order(settings))
    assert (first.whole, first.second_whole) == (True, False)
    ((what, detail),) = ((told.what, told.detail) for told in first.troubles)
    assert what is CopyTrouble.NOT_CARRIED
    assert "mounted" in detail
    far.mkdir()
    second = carry_out(order(settings, NOW + DAY, whole=proved(first)))
    assert second.troubles == ()
    assert names(far) == [first.file_name, second.file_name]


def test_a_second_place_that_gives_back_something_else_is_found_out(settings, far, monkeypatch):
    """A disk that says it has written, and has not."""
    from storage.copy_places import FolderPlace

    honest = FolderPlace.put

    def lying(self, file):
        honest(self, file)
        with (self.folder / file.name).open("r+b") as there:
            there.seek(100)
            there.write(b"\0\0\0\0")

    monkeypatch.setattr(FolderPlace, "put", lying)
    done = carry_out(order(settings))
    assert (done.whole, done.second_whole) == (True, False)
    assert [told.what for told in done.troubles] == [CopyTrouble.DAMAGED_THERE]
    assert names(far) == [], "what cannot be relied upon does not lie there under our name"


def test_a_fault_in_the_data_is_told_and_the_copy_is_kept_all_the_same(settings, firm, near, far):
    with firm.database.begin() as session:
        session.connection().exec_driver_sql(
            "insert into attachment (request_id, sha256, name, size_bytes, media_type, purpose, created_at) "
            f"values (1, '{'a' * 64}', 'x', 1, 'image/png', 'request', '2026-11-25 00:00:00')"
        )
    done = carry_out(order(settings))
    assert (done.whole, done.opens, done.second_whole) == (False, True, True)
    assert [told.what for told in done.troubles] == [CopyTrouble.DAMAGED]
    assert names(near) == names(far) == [name_of(NOW)]


# --- the copies of earlier nights ---------------------------------------------------------------


def spoil(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def told_of(outcome):
    return [(told.what, told.detail) for told in outcome.troubles]


class Nights:
    """One night after the other, each knowing what the service would know of those before."""

    def __init__(self, settings):
        self.settings, self.known, self.places, self.number = settings, {}, None, 0

    def another(self):
        now = NOW + self.number * DAY
        done = carry_out(order(self.settings, now, whole=dict(self.known), places=self.places))
        self.known |= proved(done)
        for name in done.rotten:
            del self.known[name]
        self.places, self.number = done.places, self.number + 1
        return done


def test_a_copy_that_vanishes_later_is_told_once(settings, near, far):
    nights = Nights(settings)
    first = nights.another()
    (near / first.file_name).unlink()
    second = nights.another()
    assert (second.whole, second.second_whole) == (True, True)
    assert told_of(second) == [(CopyTrouble.VANISHED, f"{first.file_name} is not in {near} any more.")]
    (far / first.file_name).unlink()
    ((what, detail),) = told_of(nights.another())
    assert (what, str(far) in detail) == (CopyTrouble.VANISHED, True), "it lay there alone"
    assert told_of(nights.another()) == []


def test_what_the_second_place_alone_has_lost_is_carried_again(settings, far):
    nights = Nights(settings)
    first = nights.another()
    (far / first.file_name).unlink()
    assert told_of(nights.another()) == []
    assert (far / first.file_name).exists()


def test_a_copy_that_rots_here_is_told_and_counts_no_more(settings, near):
    nights = Nights(settings)
    first = nights.another()
    spoil(near / first.file_name)
    second = nights.another()
    assert told_of(second) == [
        (CopyTrouble.DAMAGED_LATER, f"{first.file_name} in {near} is not what it was.")
    ]
    assert second.rotten == (first.file_name,)
    assert told_of(nights.another()) == [], "it is known"


def test_a_copy_that_rots_in_the_second_place_is_carried_again(settings, near, far):
    nights = Nights(settings)
    first = nights.another()
    spoil(far / first.file_name)
    second = nights.another()
    ((what, detail),) = told_of(second)
    assert (what, "carried there again" in detail) == (CopyTrouble.DAMAGED_LATER, True)
    assert second.rotten == ()
    assert (near / first.file_name).read_bytes() == (far / first.file_name).read_bytes()


def test_every_copy_is_read_again_in_its_turn(settings, near):
    nights = Nights(settings)
    made = [nights.another().file_name for _night in range(2)]
    spoil(near / made[1])
    found = [outcome for _night in range(2) if told_of(outcome := nights.another())]
    assert [outcome.rotten for outcome in found] == [(made[1],)]
    (near / made[0]).write_bytes(b"cut short")
    assert nights.another().rotten == (made[0],), "its length is seen at once"


def test_what_has_rotted_here_is_not_carried_away(settings, near, far):
    nights = Nights(settings)
    first = nights.another()
    spoil(near / first.file_name)
    (far / first.file_name).unlink()
    nights.another()
    assert not (far / first.file_name).exists()


def test_a_new_second_place_has_lost_nothing(settings, far, tmp_path, database_url):
    nights = Nights(settings)
    first = nights.another()
    (tmp_path / "near" / first.file_name).unlink()
    nights.another()
    (tmp_path / "farther").mkdir()
    nights.settings = settled(tmp_path, database_url, second_place=str(tmp_path / "farther"))
    assert told_of(nights.another()) == []


def test_what_was_thinned_has_not_vanished(settings, near):
    nights = Nights(settings)
    few = {"keep_days": 1, "keep_weeks": 0, "keep_months": 0}
    nights.another()
    backup = settings.backup.model_copy(update=few)
    nights.settings = Settings(
        settings.firm, settings.consent, settings.storage, settings.server, {}, backup=backup
    )
    assert [told_of(nights.another()) for _night in range(3)] == [[], [], []]
    assert len(names(near)) == 1


# --- the disk ----------------------------------------------------------------------------------


def test_a_copy_that_would_fill_the_disk_is_not_begun(settings, near):
    free = os.statvfs(settings.backup.folder.parent).f_bavail * os.statvfs(near.parent).f_frsize
    done = carry_out(order(settings, last_bytes=free))
    ((what, detail),) = ((told.what, told.detail) for told in done.troubles)
    assert what is CopyTrouble.NO_ROOM
    assert "a copy wants" in detail
    assert names(near) == []


def test_a_copy_stops_before_the_rest_of_the_disk_is_taken(settings, near, monkeypatch):
    """Files come after the estimate: only looking while it grows helps."""
    import shutil

    seen = iter([10**12, 10**12])
    honest = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: honest(path)._replace(free=next(seen, 0)))
    storage = settings.storage.model_copy(update={"warn_free_megabytes": 1})
    monkeypatch.setattr("storage.backup.LOOKED_AT_BYTES", 2**10)
    keep(settings, 3 * 2**20)
    done = carry_out(Order(storage, settings.backup, "Europe/Moscow", NOW))
    assert [told.what for told in done.troubles] == [CopyTrouble.NO_ROOM]
    assert names(near) == []


def test_a_full_disk_leaves_no_piece_and_is_told(settings, near):
    keep(settings, 500_000)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ: a write beyond the limit is refused like one on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, allowed[1]))
    try:
        done = carry_out(order(settings))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert [told.what for told in done.troubles] == [CopyTrouble.NO_ROOM]
    assert names(near) == []


# --- in a process of its own -------------------------------------------------------------------


async def test_the_process_gets_its_order_through_a_pipe_and_answers(settings, near, far):
    done = await in_process_of_its_own(order(settings))
    assert (done.whole, done.second_whole, done.troubles) == (True, True, ())
    assert names(near) == names(far)


async def test_the_process_is_killed_with_the_task_and_leaves_nothing(settings, near):
    keep(settings, 60 * 2**20)
    task = asyncio.ensure_future(in_process_of_its_own(order(settings)))
    async with asyncio.timeout(60):
        while not (near.exists() and list(near.glob("*.partial"))):
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert names(near) == []


def test_the_process_ends_when_its_parent_is_gone(settings, near):
    keep(settings, 60 * 2**20)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "app.copying"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(to_line(order(settings)))
        process.stdin.close()  # as the system does for a parent that was killed
        assert process.wait(60) == 1
        assert process.stdout.read() == b""
    copying.sweep_unfinished(near)
    assert not near.exists() or names(near) == []


def test_an_answer_is_read_as_it_was_given(settings):
    done = copies.Outcome(
        "x",
        1,
        "a",
        2,
        3,
        whole=True,
        second_whole=False,
        troubles=(Told(CopyTrouble.DAMAGED, "why"),),
        opens=True,
        places=Places({"x": NOW}, {"y": NOW}, "/mnt/copies"),
        rotten=("z",),
    )
    assert outcome_of(copying._to_answer(done).encode()) == done
    with pytest.raises(ValueError, match="Expecting value"):
        outcome_of(b"")


# --- in the service ----------------------------------------------------------------------------


async def test_the_service_copies_once_a_night_and_says_so(firm, settings, near, far):
    clock = [NOW - timedelta(hours=1)]
    nightly = Nightly(settings, firm.database, lambda: firm.house, lambda: clock[0])
    monitor = Monitor(firm.database, {}, lambda: firm.house, lambda: clock[0], copy_plan=nightly.plan)
    assert await nightly.look()
    assert names(near) == names(far)
    assert not await nightly.look(), "the night is made up for once"
    clock[0] = NOW
    assert await nightly.look()
    assert [run.whole for run in firm.rows(CopyRun)] == [True, True]
    well, page = await monitor.health()
    assert well
    assert page["last_backup"]["whole"] is True
    assert page["last_backup"]["second_place_whole"] is True
    metrics = (await monitor.metrics())[0].decode()
    assert "priem_last_backup_whole 1.0" in metrics
    assert f"priem_last_backup_timestamp_seconds {NOW.timestamp()}".partition(" ")[0] in metrics
    clock[0] = NOW + timedelta(hours=48)
    well, page = await monitor.health()
    assert not well
    assert page["last_backup"]["troubles"] == ["missing"]


async def test_a_failed_copy_alarms_and_the_service_goes_on(firm, tmp_path, database_url, near):
    near.write_bytes(b"a file where the folder should be")
    settings = settled(tmp_path, database_url)
    clock = [NOW + timedelta(hours=7)]
    nightly = Nightly(settings, firm.database, lambda: firm.house, lambda: clock[0])
    assert await nightly.look()
    run = firm.row(CopyRun)
    assert (run.whole, run.troubles[0][0]) == (False, "not_written")
    alarms = [row for row in firm.rows(Letter) if row.key.startswith("copy:alarm")]
    assert {row.person_id for row in alarms} == {firm.people["elena"], firm.people["oleg"]}
    assert firm.submitted_to("anna") == 2


async def test_without_a_key_nothing_is_copied_and_health_says_why(firm, tmp_path, database_url):
    settings = settled(tmp_path, database_url, public_key="")
    nightly = Nightly(settings, firm.database, lambda: firm.house, lambda: NOW)
    assert not await nightly.look()
    assert firm.rows(CopyRun) == []
    monitor = Monitor(firm.database, {}, lambda: firm.house, lambda: NOW, copy_plan=nightly.plan)
    well, page = await monitor.health()
    assert well
    assert page["last_backup"]["on"] is False
    assert "passphrase" in page["last_backup"]["why_off"]


async def test_a_copy_that_is_gone_or_rotten_is_told_to_people(firm, settings, near, far):
    clock = [NOW]
    nightly = Nightly(settings, firm.database, lambda: firm.house, lambda: clock[0])
    monitor = Monitor(firm.database, {}, lambda: firm.house, lambda: clock[0], copy_plan=nightly.plan)
    assert await nightly.look()
    (first,) = names(near)
    (near / first).unlink()
    spoil(far / first)
    clock[0] += DAY
    assert await nightly.look()
    clock[0] += timedelta(hours=5)
    with firm.database.begin() as session:
        copies.wish(session, Who("panel", None), clock[0])
    assert await nightly.look(), "the copy that somebody asks for knows nothing of it"
    assert firm.rows(CopyRun)[-1].troubles == []
    well, page = await monitor.health()
    assert not well
    assert page["last_backup"]["troubles"] == ["vanished", "damaged_later"]
    told = {row.text for row in firm.rows(Letter) if row.key.startswith("copy:alarm")}
    assert any("Пропала копия" in text and "испортилась" in text for text in told)
    assert {row.file_name: row.whole for row in firm.rows(CopyRun)}[first] is False
    clock[0] += DAY
    assert (await monitor.health())[0], "it was told for a day"


@pytest.mark.parametrize(
    ("chosen", "troubles"),
    [({"public_key": ""}, ["missing"]), ({"public_key": "", "at": ""}, [])],
    ids=["forgotten", "meant"],
)
async def test_a_firm_without_any_copy_is_told_unless_it_is_meant(
    firm, tmp_path, database_url, chosen, troubles
):
    settings = settled(tmp_path, database_url, **chosen)
    began = firm.rows(History)[0].at
    clock = [began + timedelta(hours=36)]
    nightly = Nightly(settings, firm.database, lambda: firm.house, lambda: clock[0])
    monitor = Monitor(firm.database, {}, lambda: firm.house, lambda: clock[0], copy_plan=nightly.plan)
    assert (await monitor.health())[0], "a new firm has a day and a half to set it up"
    clock[0] = (began + timedelta(days=2)).replace(hour=9)
    assert await nightly.look() is bool(troubles)
    well, page = await monitor.health()
    assert (well, page["last_backup"]["troubles"]) == (not troubles, troubles)
    letters = [row for row in firm.rows(Letter) if row.key.startswith("copy:alarm")]
    assert {row.person_id for row in letters} == (
        {firm.people["elena"], firm.people["oleg"]} if troubles else set()
    )


# --- before a migration ------------------------------------------------------------------------


@pytest.fixture
def older(tmp_path):
    """A database of the schema before the newest, with a person in it."""
    url = f"sqlite:///{tmp_path / 'older.sqlite3'}"
    create(url, f"{int(newest_revision()) - 1:04}")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into person (name, phone, email, consent_version, created_at) "
                "values ('Мария', '', '', '', '2026-11-25 00:00:00')"
            )
        )
    engine.dispose()
    return url


@pytest.mark.parametrize("key", ["own", "secret key"])
def test_a_migration_takes_a_copy_first(older, tmp_path, database_url, key):
    settings = settled(tmp_path, older, **({} if key == "own" else {"public_key": ""}))
    copy = before_migrating(settings, NOW)
    assert copy == tmp_path / "near" / name_of(NOW, newest_revision())
    opens = Key(identity=str(_PAIR)) if key == "own" else Key(passphrase="0123456789abcdef")
    verdict = verify(copy, opens)
    assert verdict.whole
    assert verdict.manifest.revision != newest_revision(), "it is the copy of the old schema"
    assert not is_newest(older)
    assert names(tmp_path / "far") == []


def test_nothing_is_migrated_when_it_cannot_be_copied(older, tmp_path, database_url):
    (tmp_path / "near").write_bytes(b"a file where the folder should be")
    with pytest.raises(BackupError, match="left as it is"):
        before_migrating(settled(tmp_path, older), NOW)


def test_there_is_no_copy_of_nothing(tmp_path, database_url):
    settings = settled(tmp_path, f"sqlite:///{tmp_path / 'new.sqlite3'}")
    assert before_migrating(settings, NOW) is None
    create(settings.storage.url, "0005")
    assert before_migrating(settings, NOW) is None, "there is nobody in it"
    assert before_migrating(settled(tmp_path, database_url), NOW) is None, "it is of the newest schema"
    assert not Path(settings.backup.folder).exists()
