"""The command line from outside: words, exit codes, and no traceback for a user's mistake."""

import json
import os
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from openpyxl import load_workbook

from app.cli import main
from storage.engine import open_database
from storage.models import Chat, Letter

CONFIG = """
[firm]
name = "Баланс Актив"
[server]
secret_key = "Zq4-f81mmP0_kd93Hc7w"
public_url = "https://priem.example.ru"
[bots.webchat]
"""

CLIENTS = "Название;ИНН\nООО «Ромашка»;7707083893\n"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith("PRIEM"):
            monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    config = tmp_path / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    config.chmod(0o600)
    (tmp_path / "clients.csv").write_text(CLIENTS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def priem(folder, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return left.value.code or 0, told.out, told.err

    return run


def refused(outcome, sentence):
    code, out, err = outcome
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert sentence in err


def test_help_is_quick_and_names_the_commands():
    best_seconds = 60.0
    for _round in range(3):
        used_before = processor_seconds_of_children()
        done = subprocess.run(
            [sys.executable, "-c", "from app.cli import main; main(['--help'])"],
            check=True,
            capture_output=True,
            text=True,
        )
        best_seconds = min(best_seconds, processor_seconds_of_children() - used_before)
    for command in ("demo", "run", "check", "invite", "import", "export", "migrate"):
        assert re.search(rf"^  {command}\b", done.stdout, re.MULTILINE)
    assert best_seconds < 0.5


def processor_seconds_of_children():
    """Not the time on the wall: the machine may have much else to do."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


COMMANDS = [
    [],
    ["demo"],
    ["run"],
    ["check"],
    ["invite"],
    ["import"],
    ["import", "clients"],
    ["export"],
    ["export", "requests"],
    ["export", "person"],
    ["migrate"],
    ["maintenance"],
    ["duty-list"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(priem, command):
    code, out, err = priem(*command, "--help")
    assert (code, err) == (0, "")
    assert "Usage: priem" in out
    if command not in ([], ["demo"], ["import"], ["export"]):
        assert "--config" in out


MISTAKES = {
    "no such command": (["invte"], "invite"),
    "no such option": (["migrate", "--cofnig", "x"], "--cofnig"),
    "no role": (["invite"], "role"),
    "no such role": (["invite", "boss"], "boss"),
    "no name": (["invite", "accountant"], "--name"),
    "no INN": (["invite", "client"], "--inn"),
    "wrong INN": (
        ["invite", "client", "--inn", "77070838931"],
        "В ИНН 10 или 12 цифр, у вас 11: 77070838931",
    ),
    "unknown client": (["invite", "client", "--inn", "7707083893"], "priem import clients"),
    "no department": (["invite", "lawyer", "--name", "Анна", "--department", "hr"], "finance or legal"),
    "no such file": (["import", "clients", "nowhere.csv"], "nowhere.csv: No such file or directory"),
    "no table": (["import", "clients", "config.toml"], "нет столбца"),
    "no database": (["export", "requests"], "run `priem migrate` first"),
    "no day": (["export", "requests", "--since", "yesterday"], "a day like 2026-11-30"),
    "a day too early": (["export", "requests", "--since", "0001-01-01"], "a day from 2000 to 2100"),
    "a day too late": (["export", "requests", "--until", "9999-12-31"], "a day from 2000 to 2100"),
    "no order": (["export", "requests", "--since", "2026-11-30", "--until", "2026-11-01"], "swap them"),
    "no format": (["export", "requests", "--format", "pdf"], "pdf"),
    "no end of maintenance": (["maintenance", "on"], "--until is a time like 11:30"),
    "maintenance that is over": (["maintenance", "on", "--until", "2020-01-01 11:30"], "is over already"),
    "maintenance half on": (["maintenance", "maybe"], "maybe"),
    "a list of no kind": (["duty-list", "--out", "list.pdf"], ".html or .xlsx"),
    "a list without a file": (["duty-list"], "--out"),
    "no configuration": (["migrate", "--config", "other.toml"], "no configuration file other.toml"),
    "a folder for a port": (["demo", "--port", "home"], "port"),
}


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_sentence(priem, arguments, sentence):
    if arguments[0] == "maintenance":
        priem("migrate")
    refused(priem(*arguments), sentence)


@pytest.mark.parametrize(
    "command", [["migrate"], ["export", "requests"], ["invite", "admin", "--name", "А"]], ids=" ".join
)
def test_a_database_that_does_not_answer_is_one_sentence(priem, monkeypatch, command):
    monkeypatch.setenv("PRIEM__STORAGE__URL", "postgresql://priem:hunter2@127.0.0.1:1/priem")
    outcome = priem(*command)
    refused(outcome, "The database cannot be used")
    assert "hunter2" not in outcome[2]


def test_a_configuration_that_is_wrong_is_one_sentence(priem, folder):
    (folder / "config.toml").write_text(CONFIG + "[firmm]\n", encoding="utf-8")
    refused(priem("migrate"), "[firmm]; did you mean «firm»")


def test_the_configuration_can_be_named_by_the_environment(priem, folder, monkeypatch):
    (folder / "config.toml").rename(folder / "mine.toml")
    monkeypatch.setenv("PRIEM_CONFIG", str(folder / "mine.toml"))
    assert priem("migrate")[0] == 0
    assert (folder / "priem.sqlite3").is_file()


def test_migrate_says_what_it_did(priem):
    assert priem("migrate") == (0, "The database has been brought up to date.\n", "")
    assert priem("migrate") == (0, "The database is up to date.\n", "")


def test_staff_are_invited_with_links(priem):
    code, out, err = priem("invite", "accountant", "--name", "Анна Петрова", "--email", "anna@example.ru")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    chat_code = re.fullmatch(r"code: ([0-9A-Z]{20})", lines[0])[1]
    assert re.fullmatch(r"panel: https://priem\.example\.ru/panel/invitation/[0-9A-Z]{20}", lines[1])
    assert lines[2] == f"webchat: https://priem.example.ru/chat/staff?code={chat_code}"


def test_a_messenger_that_does_not_answer_leaves_the_words_to_send(priem, monkeypatch):
    monkeypatch.setenv("PRIEM__BOTS__TELEGRAM__TOKEN", "123456:ABC")
    monkeypatch.setenv("PRIEM__BOTS__TELEGRAM__API_BASE_URL", "http://127.0.0.1:1")
    code, out, _err = priem("invite", "lawyer", "--name", "Вера")
    chat_code = re.search(r"^code: (\w+)$", out, re.MULTILINE)[1]
    assert code == 0
    assert f"telegram: send «/start {chat_code}» to the bot" in out.splitlines()


def test_a_client_is_imported_and_invited(priem, folder):
    assert priem("import", "clients", "clients.csv") == (
        0,
        "Added 1, updated 0, unchanged 0, refused 0.\n",
        "",
    )
    code, out, _err = priem("invite", "client", "--inn", "7707 083893")
    lines = out.splitlines()
    chat_code = lines[0].removeprefix("code: ")
    assert (code, lines[1:]) == (0, [f"webchat: https://priem.example.ru/chat?code={chat_code}"])


def test_refused_lines_are_told_and_nothing_is_half_imported(priem, folder):
    (folder / "clients.csv").write_text(CLIENTS + "Лютик;77070838931\n", encoding="utf-8")
    code, out, err = priem("import", "clients", "clients.csv")
    assert (code, out) == (1, "")
    assert "строка 3: В ИНН 10 или 12 цифр, у вас 11" in err.splitlines()[0]
    assert "Nothing was imported" in err.splitlines()[1]
    code, out, err = priem("import", "clients", "clients.csv", "--skip-refused")
    assert (code, out) == (0, "Added 1, updated 0, unchanged 0, refused 1.\n")
    assert "строка 3" in err


@pytest.mark.parametrize("shape", ["json", "csv", "xlsx"])
def test_requests_are_exported_to_a_file(priem, folder, shape):
    priem("migrate")
    out = folder / f"requests.{shape}"
    assert priem("export", "requests", "--format", shape, "--out", out, "--since", "2026-01-01") == (
        0,
        "",
        "",
    )
    if shape == "json":
        assert json.loads(out.read_text()) == []
    elif shape == "csv":
        assert out.read_text().startswith("number,status,kind,")
    else:
        assert load_workbook(out).active["A1"].value == "number"
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []


def test_requests_are_exported_to_stdout(folder):
    run = [sys.executable, "-c", "from app.cli import main; main()"]
    subprocess.run([*run, "migrate"], check=True, cwd=folder, capture_output=True)
    done = subprocess.run([*run, "export", "requests"], check=True, cwd=folder, capture_output=True)
    assert (json.loads(done.stdout), done.stderr) == ([], b"")


def test_a_file_that_cannot_be_written_is_one_sentence(priem, folder):
    priem("migrate")
    refused(
        priem("export", "requests", "--out", folder / "no" / "such" / "folder.json"),
        "No such file or directory",
    )


def test_maintenance_is_announced_and_called_off(priem):
    priem("migrate")
    code, out, err = priem("maintenance", "on", "--until", "2099-11-30 11:30", "--reason", "обновляем сервер")
    assert (code, err) == (0, "")
    assert out == "Announced until 2099-11-30 11:30; the service says so within a minute.\n"
    assert priem("maintenance", "off") == (0, "It is over.\n", "")
    assert priem("maintenance", "off") == (0, "Nothing was announced.\n", "")
    assert re.fullmatch(
        r"Announced until \d{4}-\d\d-\d\d 11:30.*\n", priem("maintenance", "on", "--until", "11:30")[1]
    )


@pytest.mark.parametrize("name", ["list.html", "list.xlsx"])
def test_the_list_of_the_day_is_written_for_us_alone(priem, folder, name):
    priem("import", "clients", "clients.csv")
    assert priem("duty-list", "--out", name) == (0, f"{name} is written; it holds personal data.\n", "")
    assert (folder / name).stat().st_mode & 0o777 == 0o600
    if name == "list.xlsx":
        assert load_workbook(folder / name).sheetnames[0] == "Открытые заявки"
    else:
        assert "Список на день" in (folder / name).read_text(encoding="utf-8")


def test_what_is_kept_of_a_person_is_written_for_us_alone(priem, folder):
    priem("import", "clients", "clients.csv")
    priem("invite", "client", "--inn", "7707083893")
    code, out, _err = priem("export", "person", "--id", "1", "--out", "one.zip")
    assert (code, "it holds personal data" in out) == (0, True)
    assert (folder / "one.zip").stat().st_mode & 0o777 == 0o600
    refused(
        priem("export", "person", "--id", "99", "--out", "two.zip"), "No person of a client has the number 99"
    )
    assert not (folder / "two.zip").exists()


def test_letters_with_the_list_need_the_mail(priem, folder):
    (folder / "config.toml").write_text(
        CONFIG + '[duty_list]\nemail = ["boss@example.ru"]\n', encoding="utf-8"
    )
    refused(priem("migrate"), "[duty_list] email: letters go through [bots.mail]")


# --- check -------------------------------------------------------------------------------------


def test_check_finds_nothing_wrong(priem, folder):
    code, out, err = priem("check")
    assert (code, err) == (0, "")
    assert "is not there yet" in out
    assert not (folder / "priem.sqlite3").exists()
    priem("migrate")
    assert "answers and is up to date" in priem("check")[1]


def test_check_tells_what_went_through_each_messenger(priem, folder):
    assert "last came" not in priem("check")[1]
    priem("migrate")
    assert "; last came never, last delivered never, no letter waits" in priem("check")[1]
    at = datetime(2026, 11, 18, 8, 0, tzinfo=UTC)
    database = open_database(f"sqlite:///{folder / 'priem.sqlite3'}")
    with database.begin() as session:
        chat = Chat(channel="webchat", chat_key="c", user_key="c", created_at=at, last_inbound_at=at)
        session.add(chat)
        session.flush()
        common = {"chat_id": chat.id, "rows": [], "files": [], "created_at": at, "not_before": at}
        session.add(Letter(key="a", text="а", state="sent", sent_at=at + timedelta(minutes=1), **common))
        session.add(Letter(key="b", text="б", state="todo", **common))
    database.sync_engine.dispose()
    out = priem("check")[1]
    assert "; last came 2026-11-18 11:00, last delivered 2026-11-18 11:01, the oldest letter waits for" in out


def wrong(priem, sentence):
    code, out, err = priem("check")
    assert (code, err) == (1, "")
    assert any(line.startswith("WRONG") and sentence in line for line in out.splitlines()), out


def test_check_sees_a_weak_key(priem, monkeypatch):
    monkeypatch.setenv("PRIEM__SERVER__SECRET_KEY", "aaaaaaaaaaaaaaaaaaaa")
    wrong(priem, "easy to guess")


def test_check_sees_the_key_of_the_example(priem, monkeypatch):
    monkeypatch.setenv("PRIEM__SERVER__SECRET_KEY", "change-me-before-the-first-start")
    wrong(priem, "easy to guess")


def test_check_sees_that_others_can_read_the_tokens(priem, folder):
    Path(folder / "config.toml").chmod(0o644)
    wrong(priem, "chmod 600")


def test_check_sees_a_messenger_that_does_not_answer(priem, monkeypatch):
    monkeypatch.setenv("PRIEM__BOTS__TELEGRAM__TOKEN", "123456:ABC")
    monkeypatch.setenv("PRIEM__BOTS__TELEGRAM__API_BASE_URL", "http://127.0.0.1:1")
    wrong(priem, "telegram: ")


def test_check_sees_a_database_that_does_not_answer(priem, monkeypatch):
    monkeypatch.setenv("PRIEM__STORAGE__URL", "postgresql://priem:hunter2@127.0.0.1:1/priem")
    wrong(priem, "database: does not answer")


@pytest.mark.parametrize(
    ("host", "trusted", "is_told"),
    [
        ("0.0.0.0", '["127.0.0.1", "::1"]', True),
        ("10.0.0.7", '["127.0.0.0/8"]', True),
        ("0.0.0.0", '["127.0.0.1", "10.0.0.5"]', False),
        ("127.0.0.1", '["127.0.0.1", "::1"]', False),
    ],
)
def test_check_sees_that_all_visitors_would_have_one_address(priem, monkeypatch, host, trusted, is_told):
    monkeypatch.setenv("PRIEM__SERVER__HOST", host)
    monkeypatch.setenv("PRIEM__SERVER__TRUSTED_PROXIES", trusted)
    assert ("warn  server.trusted_proxies: " in priem("check")[1]) == is_told


def test_check_sees_that_nothing_is_switched_on(priem, folder):
    (folder / "config.toml").write_text(CONFIG.replace("[bots.webchat]", ""), encoding="utf-8")
    wrong(priem, "none is switched on")


# --- copies --------------------------------------------------------------------------------------------


def test_a_copy_is_taken_proved_and_brought_back(priem, folder):
    assert priem("import", "clients", "clients.csv")[0] == 0
    code, out, _err = priem("backup", "copy.tar")
    assert (code, "1 clients" in out) == (0, True)
    code, out, _err = priem("verify", "copy.tar")
    assert (code, "The copy is whole" in out) == (0, True)
    (folder / "clients.csv").write_text("Название;ИНН\nИП Ветров;500100732259\n", encoding="utf-8")
    assert priem("import", "clients", "clients.csv")[0] == 0
    refused(priem("restore", "copy.tar"), "repeat with --replace")
    code, out, _err = priem("restore", "copy.tar", "--replace", "--yes")
    assert (code, "1 clients" in out, "before-restore" in out) == (0, True, True)
    assert priem("export", "requests")[:2] == (0, "[]\n")
    assert len(list(folder.glob("*before-restore*"))) >= 1


def test_a_damaged_copy_replaces_nothing(priem, folder):
    assert priem("import", "clients", "clients.csv")[0] == 0
    assert priem("backup", "copy.tar")[0] == 0
    copy = folder / "copy.tar"
    copy.write_bytes(copy.read_bytes()[:-20_000])
    refused(priem("verify", "copy.tar"), "damaged")
    refused(priem("restore", "copy.tar", "--replace", "--yes"), "Nothing was changed")
    assert not list(folder.glob("*before-restore*"))


def test_a_copy_needs_its_own_key(priem, folder, monkeypatch):
    assert priem("import", "clients", "clients.csv")[0] == 0
    monkeypatch.setenv("PRIEM_BACKUP_PASSPHRASE", "одни слова")
    assert priem("backup", "copy.tar")[0] == 0
    monkeypatch.setenv("PRIEM_BACKUP_PASSPHRASE", "другие слова")
    refused(priem("verify", "copy.tar"), "the key is another one")


def test_nothing_to_copy_yet(priem):
    refused(priem("backup", "copy.tar"), "no database yet")
