"""Copies: whole, locked, and put back on either engine."""

import io
import json
import os
import resource
import subprocess
import tarfile
import threading
from datetime import UTC, datetime

import pyrage
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlmodel import select

from storage import history
from storage.backup import (
    BackupError,
    Key,
    is_live,
    put_aside,
    restore,
    verify,
    write_copy,
)
from storage.engine import open_database
from storage.files import FileStore, NoSuchFile
from storage.migrate import create, is_newest, migrate, newest_revision
from storage.models import Attachment, History, Request
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


async def test_live_data_is_seen_and_put_aside_not_deleted(kept, database_url, tmp_path):
    firm, files, _sha256 = kept
    copy = tmp_path / "copy.tar"
    write_copy(database_url, FileStore(files, 0), copy, KEY, NOW)
    assert is_live(database_url)
    await firm.database.close()
    aside = put_aside(database_url, NOW)
    assert not is_live(database_url)
    if database_url.startswith("sqlite"):
        assert aside is not None
        assert is_live(f"sqlite:///{aside}")
    restore(copy, KEY, database_url, FileStore(files, 0))
    assert is_live(database_url)


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


async def test_what_was_there_before_can_be_looked_into(kept, database_url, tmp_path):
    """On PostgreSQL it stays in a schema of its own until somebody drops it."""
    firm, _files, _sha256 = kept
    await firm.database.close()
    aside = put_aside(database_url, NOW)
    if database_url.startswith("sqlite"):
        assert is_live(f"sqlite:///{aside}")
        return
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        old = aside.removeprefix("schema ")
        assert connection.execute(text(f"select count(*) from {old}.request")).scalar_one() == 2
        connection.execute(text(f"drop schema {old} cascade"))
    engine.dispose()
    assert put_aside(database_url, NOW) is None, "there is nothing left"


def test_an_empty_place_is_not_live(elsewhere):
    assert not is_live(elsewhere)
    migrate(elsewhere)
    assert not is_live(elsewhere)


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
