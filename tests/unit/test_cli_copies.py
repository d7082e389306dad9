"""Copies from the command line: another machine, a key, an older schema, faults."""

# ruff: noqa: F811 - fixtures of the other file

import hashlib
import io
import os
import shutil
import sqlite3
from tempfile import TemporaryDirectory

import pyrage
import pytest

from storage.files import FileStore
from storage.migrate import create, is_newest, newest_revision
from tests.unit.test_cli import CONFIG, _no_variables, folder, priem, refused  # noqa: F401 - fixtures

WORDS = "четыре слова не подобрать"
WITH_PASSPHRASE = f'{CONFIG}\n[backup]\npassphrase = "{WORDS}"\n'


def older(folder):
    """A database of the schema before the newest, with a person in it, where the configuration points."""
    url = f"sqlite:///{folder / 'priem.sqlite3'}"
    create(url, f"{int(newest_revision()) - 1:04}")
    with sqlite3.connect(folder / "priem.sqlite3") as connection:
        connection.execute(
            "insert into person (name, phone, email, consent_version, created_at) "
            "values ('Мария', '', '', '', '2026-11-25 00:00:00')"
        )
    connection.close()
    return url


def test_a_burnt_machine_comes_back_on_another_in_one_command(priem, folder, tmp_path_factory, monkeypatch):
    (folder / "config.toml").write_text(WITH_PASSPHRASE, encoding="utf-8")
    assert priem("import", "clients", "clients.csv")[0] == 0
    assert priem("backup", "copy.tar")[0] == 0
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    secret_key = CONFIG.partition('secret_key = "')[2].partition('"')[0]
    (elsewhere / "config.toml").write_text(
        WITH_PASSPHRASE.replace(secret_key, "another-key-of-another-machine"), encoding="utf-8"
    )
    (elsewhere / "copy.tar").write_bytes((folder / "copy.tar").read_bytes())
    monkeypatch.chdir(elsewhere)
    code, out, _err = priem("restore", "copy.tar")
    assert (code, "1 clients" in out) == (0, True)
    assert is_newest(f"sqlite:///{elsewhere / 'priem.sqlite3'}")


def test_a_copy_under_the_key_of_the_service_opens_after_a_passphrase_was_set(priem, folder):
    assert priem("import", "clients", "clients.csv")[0] == 0
    assert priem("backup", "copy.tar")[0] == 0
    (folder / "config.toml").write_text(WITH_PASSPHRASE, encoding="utf-8")
    code, out, _err = priem("verify", "copy.tar")
    assert (code, "The copy is whole" in out) == (0, True)


@pytest.fixture
def pair(folder, monkeypatch):
    """A key pair instead of a passphrase, which costs a second each time; the file with the identity."""
    identity = pyrage.x25519.Identity.generate()
    monkeypatch.setenv("PRIEM__BACKUP__PUBLIC_KEY", str(identity.to_public()))
    (folder / "identity.txt").write_text(f"# made by age-keygen\n{identity}\n")
    return folder / "identity.txt"


def test_migrate_copies_before_and_the_copy_brings_the_old_data_back(priem, folder, pair):
    url = older(folder)
    code, out, _err = priem("migrate")
    assert code == 0
    copy = next((folder / "backups").iterdir())
    assert f"lies in {copy}" in out
    assert is_newest(url)
    code, out, _err = priem("restore", copy, "--identity", pair, "--replace", "--yes")
    assert (code, "Copy of" in out) == (0, True)
    assert is_newest(url), "what was of an older schema is migrated"
    connection = sqlite3.connect(folder / "priem.sqlite3")
    assert connection.execute("select name from person").fetchall() == [("Мария",)]
    connection.close()


def test_nothing_is_migrated_without_a_copy_unless_told_so(priem, folder):
    url = older(folder)
    (folder / "backups").write_text("a file where the folder should be")
    refused(priem("migrate"), "--without-copy")
    assert not is_newest(url)
    assert priem("migrate", "--without-copy")[0] == 0
    assert is_newest(url)


def test_a_copy_with_a_fault_comes_back_only_when_told_so(priem, folder, pair):
    assert priem("import", "clients", "clients.csv")[0] == 0
    connection = sqlite3.connect(folder / "priem.sqlite3")
    triggers = connection.execute(
        "select name from sqlite_master where type = 'trigger' and tbl_name = 'history'"
    )
    for (name,) in triggers.fetchall():
        connection.execute(f"drop trigger {name}")
    connection.execute("update history set after = '{}' where id = 1")
    connection.commit()
    connection.close()
    assert priem("backup", "copy.tar")[0] == 0
    code, out, err = priem("verify", "copy.tar", "--identity", pair)
    assert (code, "chain of the history is broken" in err) == (1, True)
    wanted = ("restore", "copy.tar", "--identity", pair, "--replace", "--yes")
    refused(priem(*wanted), "--faulty")
    code, out, _err = priem(*wanted, "--faulty")
    assert (code, "1 clients" in out) == (0, True)


def test_a_copy_by_hand_leaves_the_service_its_room(priem, folder, pair, monkeypatch):
    assert priem("import", "clients", "clients.csv")[0] == 0
    free_megabytes = shutil.disk_usage(folder).free // 10**6
    monkeypatch.setenv("PRIEM__STORAGE__WARN_FREE_MEGABYTES", str(free_megabytes * 2))
    refused(priem("backup", "copy.tar"), f"MB are free in {folder}, and a copy wants")
    assert not (folder / "copy.tar").exists()
    monkeypatch.setenv("PRIEM__STORAGE__WARN_FREE_MEGABYTES", "1")
    assert priem("backup", "copy.tar")[0] == 0


def test_another_disk_may_be_filled_by_a_copy(priem, folder, pair, monkeypatch):
    assert priem("import", "clients", "clients.csv")[0] == 0
    monkeypatch.setenv("PRIEM__STORAGE__WARN_FREE_MEGABYTES", str(10**9))
    # A disk of its own on every Linux.
    with TemporaryDirectory(dir="/dev/shm") as other:
        assert priem("backup", f"{other}/copy.tar")[0] == 0


def test_root_does_not_restore_into_the_folder_of_another(priem, folder, pair, monkeypatch):
    assert priem("import", "clients", "clients.csv")[0] == 0
    assert priem("backup", "copy.tar")[0] == 0
    if folder.stat().st_uid == 0:
        os.chown(folder, 10001, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    refused(priem("restore", "copy.tar", "--identity", pair, "--replace", "--yes"), "repeat it as that user")
    assert list(folder.glob("*restor*")) == []


def test_a_restore_that_fails_says_where_the_data_lies(priem, folder, pair):
    assert priem("import", "clients", "clients.csv")[0] == 0
    content = b"%PDF-1.7"
    FileStore(folder / "files", 0).put_back(hashlib.sha256(content).hexdigest(), io.BytesIO(content))
    assert priem("backup", "copy.tar")[0] == 0
    shutil.rmtree(folder / "files")
    (folder / "files").write_text("a file where the folder should be")
    outcome = priem("restore", "copy.tar", "--identity", pair, "--replace", "--yes")
    refused(outcome, f"Nothing was changed: all data is where it was, in {folder / 'priem.sqlite3'}.")
    assert "files of the copy cannot be written" in outcome[2]
    assert list(folder.glob("*restor*")) == []
    connection = sqlite3.connect(folder / "priem.sqlite3")
    assert connection.execute("select count(*) from client").fetchall() == [(1,)]
    connection.close()


def test_check_tells_of_a_restore_that_was_broken_off(priem, folder):
    (folder / "priem.sqlite3.restoring").touch()
    code, out, _err = priem("check")
    assert (code, "WRONG database: a restore was broken off" in out) == (1, True)
    refused(priem("migrate"), "repeat `priem restore`")
    (folder / "priem.sqlite3.restoring").unlink()
    assert priem("migrate")[0] == 0
    (folder / "priem.sqlite3.restoring").touch()
    code, out, _err = priem("check")
    assert (code, "has changed nothing" in out) == (0, True)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('passphrase = "short"', "at least 12 characters"),
        ('at = "25:00"', "a time like 03:30"),
        ('public_key = "ssh-rsa AAAA"', "public_key"),
        ('second_place = "copies"', "the whole path"),
        ('second_place = "ftp://x"', "a folder, s3://"),
    ],
)
def test_a_wrong_setting_of_the_copies_is_told(priem, folder, line, sentence):
    (folder / "config.toml").write_text(f"{CONFIG}\n[backup]\n{line}\n", encoding="utf-8")
    refused(priem("check"), sentence)


def test_check_tells_of_the_copies(priem, folder):
    assert "copies: none are made at night" in priem("check")[1]
    (folder / "config.toml").write_text(WITH_PASSPHRASE, encoding="utf-8")
    assert "there is no second place" in priem("check")[1]
    gone = f'{WITH_PASSPHRASE}second_place = "{folder / "gone"}"\n'
    (folder / "config.toml").write_text(gone, encoding="utf-8")
    code, out, _err = priem("check")
    assert (code, "WRONG copies: the second place" in out) == (1, True)
