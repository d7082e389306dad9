"""Copies: whole, locked, and put back on either engine."""

import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from storage import history
from storage.backup import (
    BackupError,
    Key,
    NoRoom,
    _bytes_missing,
    bring_back,
    is_live,
    refuse_without_room,
    restore,
    verify,
    write_copy,
)
from storage.engine import open_database
from storage.files import FileStore, NoSuchFile
from storage.migrate import MigrationError, broken_restore, create, is_newest, migrate, newest_revision
from storage.models import Attachment, History, InboxEvent, Request
from tests.storage.conftest import _named, _on_server
from tests.storage.firm import Firm

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
WORDS = Key(passphrase="четыре слова не подобрать")
"""A passphrase costs a second of work each time, so most cases use a key pair."""
_PAIR = pyrage.x25519.Identity.generate()
KEY = Key(recipient=str(_PAIR.to_public()), identity=str(_PAIR))
PDF = b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"


@pytest.fixture
def firm(database):
    return Firm.open(database)


@pytest.fixture
def kept(firm, tmp_path):
    """The firm with two requests and a file; the address of its database and its folder."""
    files = tmp_path / "files"
    stored = FileStore(files, 10**6).keep_sync(PDF, "Счёт.pdf")
    numbers = [firm.submitted_to("anna") for _request in range(2)]
    with firm.database.begin() as session:
        session.add(
            Attachment(
                request_id=numbers[0], sha256=stored.sha256, name="Счёт.pdf", size_bytes=len(PDF),
                media_type="application/pdf", purpose="request", created_at=NOW,
            )
        )  # fmt: skip
    return firm, files, stored.sha256


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request, tmp_path):
    """Another machine's address, where nothing is yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}"
        return
    server = request.getfixturevalue("postgresql_server")
    yield _named(server, "priem_elsewhere")
    _on_server(server, "drop database if exists priem_elsewhere with (force)")


def rows_of(database):
    with database.read() as session:
        return (
            [request.model_dump() for request in session.exec(select(Request).order_by(Request.id))],
            [line.hash for line in session.exec(select(History).order_by(History.id))],
        )


async def test_a_copy_comes_back_on_either_engine(kept, tmp_path, database_url, elsewhere):
    firm, files, sha256 = kept
    copy = tmp_path / "copy.tar"
    manifest = write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    assert (manifest.rows["request"], manifest.files, manifest.file_bytes) == (2, 1, len(PDF))
    assert copy.stat().st_mode & 0o077 == 0
    back = tmp_path / "back"
    restore(copy, KEY, elsewhere, FileStore(back, 0))
    restored = open_database(elsewhere)
    try:
        assert rows_of(restored) == rows_of(firm.database)
        assert FileStore(back, 0).path(sha256).read_bytes() == PDF
        with restored.read() as session:
            assert history.verify(session).ok
        again = Firm(restored, firm.house, firm.clock, firm.people, firm.chats, firm.staff)
        assert again.submitted_to("anna") == 3, "life goes on: the next number is free"
    finally:
        await restored.close()


@pytest.mark.parametrize("key", [KEY, WORDS], ids=["key pair", "passphrase"])
def test_the_trial_restore_of_a_good_copy_finds_nothing(kept, tmp_path, database_url, key):
    _firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, key, NOW)
    verdict = verify(copy, key)
    assert (verdict.whole, verdict.troubles) == (True, ())


def test_nothing_in_a_copy_can_be_read_without_the_key(kept, tmp_path, database_url):
    _firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, WORDS, NOW)
    content = copy.read_bytes()
    for word in ("Ромашка".encode(), b"7707083893", b"%PDF", b"tables/request"):
        assert word not in content
    with pytest.raises(BackupError, match="key is another one"):
        restore(
            copy, Key(passphrase="не то"), f"sqlite:///{tmp_path}/x.sqlite3", FileStore(tmp_path / "x", 0)
        )


def test_a_copy_for_a_public_key_opens_with_its_identity_alone(kept, tmp_path, database_url):
    _firm, files, _sha256 = kept
    identity = pyrage.x25519.Identity.generate()
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, Key(recipient=str(identity.to_public())), NOW)
    assert verify(copy, Key(identity=str(identity))).whole
    with pytest.raises(BackupError, match="identity"):
        restore(copy, WORDS, f"sqlite:///{tmp_path}/x.sqlite3", FileStore(tmp_path / "x", 0))
    with pytest.raises(BackupError, match="age1"):
        write_copy(database_url, FileStore(files, 0), copy, Key(recipient="ssh-rsa nonsense"), NOW)


def test_a_copy_of_nine_gigabytes_can_be_read(kept, tmp_path, database_url, monkeypatch):
    """Over 8 GiB a header may need more room than was left for it before the size was known."""
    size = 9 * 2**30

    def encrypt(plain, sink, _recipients):
        while plain.read(2**16):
            pass
        sink.seek(size - 3, os.SEEK_CUR)  # a hole: nothing of it is on the disk
        sink.write(b"end")

    monkeypatch.setattr(pyrage, "encrypt_io", encrypt)
    _firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    with tarfile.open(copy) as container:
        assert container.getnames() == ["READ-ME.txt", "copy.tar.gz.age"]
        body = container.extractfile("copy.tar.gz.age")
        assert container.getmember("copy.tar.gz.age").size == size
        body.seek(-3, os.SEEK_END)
        assert body.read() == b"end"
        body.seek(0)
        assert body.read(512) == bytes(512), "the header has run over"


def test_a_copy_opens_by_hand(kept, tmp_path, database_url):
    _firm, files, sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, WORDS, NOW)
    subprocess.run(["tar", "-xf", copy, "-C", tmp_path], check=True)
    identity = pyrage.x25519.Identity.from_str(
        pyrage.passphrase.decrypt((tmp_path / "key.age").read_bytes(), WORDS.passphrase).decode()
    )
    (tmp_path / "copy.tar.gz").write_bytes(
        pyrage.decrypt((tmp_path / "copy.tar.gz.age").read_bytes(), [identity])
    )
    with tarfile.open(tmp_path / "copy.tar.gz") as archive:
        manifest = json.loads(archive.extractfile("manifest.json").read())
        assert archive.extractfile(f"files/{sha256}").read() == PDF
    assert manifest["rows"]["client"] == 2


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999], ids=str)
def test_a_copy_that_was_cut_short_is_not_taken_for_a_copy(kept, tmp_path, database_url, share):
    _firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    content = copy.read_bytes()
    body_ends = content.rstrip(b"\0")
    copy.write_bytes(body_ends[: int(len(body_ends) * share)])
    assert verify(copy, KEY).troubles


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9], ids=str)
def test_one_changed_byte_is_found(kept, tmp_path, database_url, place):
    _firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    content = bytearray(copy.read_bytes())
    with tarfile.open(copy) as container:
        body = container.getmember("copy.tar.gz.age")
    content[body.offset_data + int(body.size * place)] ^= 1
    copy.write_bytes(content)
    assert verify(copy, KEY).troubles


def test_a_file_that_is_missing_is_told(kept, tmp_path, database_url):
    _firm, files, sha256 = kept
    FileStore(files, 0).path(sha256).unlink()
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    (trouble,) = verify(copy, KEY).troubles
    assert sha256 in trouble


def test_a_broken_history_is_told(kept, tmp_path, database_url):
    firm, files, _sha256 = kept
    with firm.database.begin() as session:
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("drop trigger if exists history_is_never_changed")
            triggers = connection.exec_driver_sql(
                "select name from sqlite_master where type = 'trigger' and tbl_name = 'history'"
            )
            for (name,) in triggers.all():
                connection.exec_driver_sql(f"drop trigger {name}")
        else:
            connection.exec_driver_sql("alter table history disable trigger user")
        connection.exec_driver_sql("update history set after = '{}' where id = 1")
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    assert any("history" in trouble for trouble in verify(copy, KEY).troubles)


def test_a_copy_taken_while_others_write_is_of_one_moment(kept, tmp_path, database_url):
    firm, files, _sha256 = kept
    stop = threading.Event()

    def work():
        while not stop.is_set():
            firm.submitted_to("anna")

    writing = threading.Thread(target=work)
    writing.start()
    try:
        for number in range(3):
            copy = tmp_path / f"copy-{number}.tar"
            write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
            assert verify(copy, KEY).whole
    finally:
        stop.set()
        writing.join()


def test_a_full_disk_leaves_no_half_copy(kept, tmp_path, database_url):
    _firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    good = copy.read_bytes()
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ: a write beyond the limit is refused like one on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, allowed[1]))
    try:
        with pytest.raises(BackupError, match="cannot be written"):
            write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert copy.read_bytes() == good, "the copy of yesterday is still there"
    assert list(tmp_path.glob(".copy*")) == []


# --- over data that is there -------------------------------------------------------------------


def requests_in(url, schema="public"):
    """How many requests stand in that database, or in a schema of it."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg") if url.startswith("postgresql") else url
    )
    try:
        with engine.connect() as connection:
            table = f"{schema}.request" if url.startswith("postgresql") else "request"
            return connection.execute(text(f"select count(*) from {table}")).scalar_one()
    finally:
        engine.dispose()


@pytest.fixture
async def two_and_three(kept, tmp_path, database_url):
    """A copy with two requests, and the database to which a third has come since; nobody works on it."""
    firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    firm.submitted_to("anna")
    await firm.database.close()
    return copy


def left_over(url):
    if url.startswith("sqlite"):
        folder = Path(make_url(url).database).parent
        return [path.name for path in folder.iterdir() if "restor" in path.name]
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            found = connection.execute(text("select nspname from pg_namespace where nspname like 'before%'"))
            return list(found.scalars())
    finally:
        engine.dispose()


def dropped(url, aside):
    """The schema of before, which the next test on this server must not find."""
    if not url.startswith("sqlite"):
        _on_server(url, f"drop schema {aside.removeprefix('schema ')} cascade")


def test_what_was_there_before_is_put_aside_not_deleted(two_and_three, database_url, tmp_path):
    assert is_live(database_url)
    back = bring_back(two_and_three, KEY, database_url, FileStore(tmp_path / "back", 0), NOW)
    assert (requests_in(database_url), back.manifest.rows["request"]) == (2, 2)
    assert is_newest(database_url)
    if database_url.startswith("sqlite"):
        assert requests_in(f"sqlite:///{back.aside}") == 3
    else:
        assert requests_in(database_url, back.aside.removeprefix("schema ")) == 3
    dropped(database_url, back.aside)


def test_a_copy_is_brought_back_where_nothing_is(two_and_three, elsewhere, tmp_path):
    back = bring_back(two_and_three, KEY, elsewhere, FileStore(tmp_path / "back", 0), NOW)
    assert (requests_in(elsewhere), back.aside) == (2, None)


@dataclass(frozen=True)
class Full:
    """A disk on which no file has room. The rows come first, so they are all written by then."""

    def put_back(self, sha256, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_restore_that_fails_halfway_leaves_the_data_in_its_place(two_and_three, database_url):
    with pytest.raises(NoRoom, match="No space left"):
        bring_back(two_and_three, KEY, database_url, Full(), NOW)
    assert requests_in(database_url) == 3
    assert left_over(database_url) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_disk_that_is_full_for_the_rows_leaves_the_data_in_its_place(two_and_three, database_url, tmp_path):
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, allowed[1]))
    try:
        with pytest.raises(DBAPIError):
            bring_back(two_and_three, KEY, database_url, FileStore(tmp_path / "back", 0), NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert requests_in(database_url) == 3
    assert left_over(database_url) == []


KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from storage.backup import Key, bring_back
from storage.files import FileStore

copy, identity, url, folder, moment = sys.argv[1:]
moves = 0

def kill(event, arguments):
    global moves
    if event in ("os.link", "os.rename") and "sqlite3" in str(arguments):
        moves += 1
        if str(moves) == moment:
            os._exit(137)

class Killed(FileStore):
    def put_back(self, sha256, content):
        os._exit(137)

sys.addaudithook(kill)
store = (Killed if moment == "files" else FileStore)(Path(folder), 0)
bring_back(Path(copy), Key(identity=identity), url, store, datetime(2026, 11, 25, 9, tzinfo=UTC))
"""


def killed(copy, url, folder, moment):
    """Bring the copy back in a process that is gone at this moment."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, copy, str(_PAIR), url, folder, moment],
        check=False, timeout=60, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    return done.returncode


def test_a_restore_that_is_killed_leaves_the_data_in_its_place(two_and_three, database_url, tmp_path):
    assert killed(two_and_three, database_url, tmp_path / "back", "files") == 137
    assert requests_in(database_url) == 3
    back = bring_back(two_and_three, KEY, database_url, FileStore(tmp_path / "back", 0), NOW)
    assert requests_in(database_url) == 2, "the next one gets through"
    dropped(database_url, back.aside)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("damaged", [False, True], ids=["in order", "damaged"])
def test_there_is_a_database_at_every_moment_of_the_change(two_and_three, database_url, tmp_path, damaged):
    for moment in range(1, 9):
        place = tmp_path / str(moment)
        place.mkdir()
        database = place / "priem.sqlite3"
        shutil.copy(tmp_path / "priem.sqlite3", database)
        if damaged:
            database.write_bytes(b"no database at all" * 1000)
        before = database.read_bytes()
        code = killed(two_and_three, f"sqlite:///{database}", place / "files", str(moment))
        if code == 0:
            break
        assert code == 137
        assert database.read_bytes() == before
    assert requests_in(f"sqlite:///{database}") == 2
    assert moment == 3, "a second name for the old, then the new in its place"
    (aside,) = place.glob("*before-restore-????????T??????")
    assert aside.read_bytes() == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_service_does_not_begin_an_empty_firm_beside_half_a_restore(two_and_three, tmp_path, database_url):
    place = tmp_path / "new"
    place.mkdir()
    url = f"sqlite:///{place / 'priem.sqlite3'}"
    assert killed(two_and_three, url, place / "files", "files") == 137
    with pytest.raises(MigrationError, match="repeat `priem restore`"):
        migrate(url)
    assert broken_restore(url) == place / "priem.sqlite3.restoring"
    bring_back(two_and_three, KEY, url, FileStore(place / "files", 0), NOW)
    assert (requests_in(url), broken_restore(url)) == (2, None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_log_of_a_database_that_is_gone_does_not_spoil_the_new_one(two_and_three, tmp_path, database_url):
    place = tmp_path / "new"
    place.mkdir()
    (place / "priem.sqlite3-wal").write_bytes(b"what is left of another one")
    bring_back(two_and_three, KEY, f"sqlite:///{place / 'priem.sqlite3'}", FileStore(place / "files", 0), NOW)
    assert requests_in(f"sqlite:///{place / 'priem.sqlite3'}") == 2
    (aside,) = place.glob("*before-restore*-wal")
    assert aside.read_bytes() == b"what is left of another one"


def test_whether_a_copy_fits_is_seen_before(kept, tmp_path, database_url):
    _firm, files, _sha256 = kept
    manifest = write_copy(database_url, FileStore(files, 0), tmp_path / "copy.tar", KEY, NOW)
    huge = replace(manifest, file_bytes=10**18)
    for folder in (files, tmp_path / "not" / "there" / "yet"):
        refuse_without_room(manifest, database_url, FileStore(folder, 0), folder)
        with pytest.raises(NoRoom, match="MB are free"):
            refuse_without_room(huge, database_url, FileStore(folder, 0), folder)
    refuse_without_room(huge, database_url, FileStore(files, 0), None)
    there = replace(manifest, file_bytes=len(PDF), row_bytes=0)
    assert _bytes_missing(there, FileStore(files, 0)) == 0, "what is there already wants no room"
    assert _bytes_missing(there, FileStore(tmp_path / "empty", 0)) == len(PDF)


def test_a_copy_of_an_older_schema_is_brought_up_to_date(empty_url, elsewhere, tmp_path):
    create(empty_url, f"{int(newest_revision()) - 1:04}")
    engine = create_engine(
        make_url(empty_url).set(drivername="postgresql+psycopg") if "postgresql" in empty_url else empty_url
    )
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into person (name, phone, email, consent_version, created_at) "
                "values ('Мария', '', '', '', '2026-11-25 00:00:00')"
            )
        )
    engine.dispose()
    files, copy = FileStore(tmp_path / "files", 0), tmp_path / "copy.tar"
    manifest = write_copy(empty_url, files, copy, KEY, NOW)
    assert manifest.revision != newest_revision()
    assert verify(copy, KEY).whole
    restore(copy, KEY, elsewhere, files)
    assert is_newest(elsewhere)
    opened = open_database(elsewhere)
    with opened.read() as session:
        assert session.execute(text("select name from person")).scalar_one() == "Мария"
    opened.sync_engine.dispose()


def test_an_empty_place_is_not_live(elsewhere):
    assert not is_live(elsewhere)
    migrate(elsewhere)
    assert not is_live(elsewhere)


def test_a_place_into_which_somebody_has_only_written_is_live(database, database_url):
    assert not is_live(database_url)
    with database.begin() as session:
        session.add(
            InboxEvent(
                channel="telegram", event_key="1", kind="message", chat_key="7", payload={}, received_at=NOW
            )
        )
    assert is_live(database_url)


def test_a_stray_file_is_not_a_copy(tmp_path):
    stray = tmp_path / "stray.tar"
    stray.write_bytes(b"not a copy at all")
    assert verify(stray, KEY).troubles
    with pytest.raises(BackupError):
        restore(stray, KEY, f"sqlite:///{tmp_path}/x.sqlite3", FileStore(tmp_path / "x", 0))


def test_a_file_that_is_not_what_its_name_says_is_not_put_back(tmp_path):

    store = FileStore(tmp_path, 0)
    assert store.put_back("0" * 64, io.BytesIO(b"other")) != "0" * 64
    with pytest.raises(NoSuchFile):
        store.path("0" * 64)


def test_a_file_that_the_disk_has_spoilt_does_not_spoil_the_rest(kept, tmp_path, database_url):
    _firm, files, sha256 = kept
    FileStore(files, 0).path(sha256).write_bytes(b"%PDF-spoilt")
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    (trouble,) = verify(copy, KEY).troubles
    assert sha256 in trouble
    manifest = restore(copy, KEY, f"sqlite:///{tmp_path}/x.sqlite3", FileStore(tmp_path / "x", 0))
    assert manifest.rows["request"] == 2


def test_a_copy_for_a_public_key_is_proved_without_its_identity(kept, tmp_path, database_url):
    _firm, files, _sha256 = kept
    owner = pyrage.x25519.Identity.generate()
    key = Key(recipient=str(owner.to_public())).with_witness()
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, key, NOW)
    assert verify(copy, key).whole
    assert verify(copy, Key(identity=str(owner))).whole
    assert not verify(copy, Key(identity=str(pyrage.x25519.Identity.generate()))).whole
    assert WORDS.with_witness() is WORDS


def test_files_from_far_away_are_copied_too(kept, tmp_path, database_url):
    """A stream over the network is no file of this machine."""
    _firm, files, _sha256 = kept

    class Far(FileStore):
        def open(self, digest):
            return io.BytesIO(FileStore(self.folder, 0).path(digest).read_bytes())

    copy = tmp_path / "copy.tar"
    manifest = write_copy(database_url, Far(files, 0), copy, KEY, NOW)
    assert manifest.file_bytes == len(PDF)
    assert verify(copy, KEY).whole


def test_a_trial_leaves_nothing_behind(kept, tmp_path, database_url):
    _firm, files, _sha256 = kept
    (tmp_path / "copies").mkdir()
    copy = tmp_path / "copies" / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    assert verify(copy, KEY, scratch=tmp_path / "copies").whole
    assert list((tmp_path / "copies").iterdir()) == [copy]
