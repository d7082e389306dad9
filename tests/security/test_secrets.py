"""Every secret of the configuration carries a mark; whatever is printed or logged is searched for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args
from urllib.request import urlopen

import pytest
from pydantic import BaseModel, SecretStr

from app import settings as declared
from app.checks import Finding, inspect_settings
from app.settings import channel_kinds, load
from router.model import Role
from storage import roster
from storage.engine import open_database
from storage.house import Who
from storage.invitations import invite_staff
from storage.migrate import migrate
from tests.admin.office import NOW
from tests.e2e.service import REPO
from tests.emulators.listening import free_port

MARK = "Zq8mmP0kd93Hc7wXtRb"
NOWHERE = "http://127.0.0.1:9"

SECRETS = {
    "server": {"secret_key": "{}server-signing-key-of-good-length"},
    "backup": {"passphrase": "four {} words here", "second_place_password": "{}place"},
    "storage.s3": {"access_key": "{}access", "secret_key": "{}s3"},
    "bots.telegram": {"token": "123456:{}telegram", "secret": "{}tghook", "proxy": "socks5://u:{}tgproxy@127.0.0.1:9"},
    "bots.vk": {"token": "vk1.a.{}vk", "secret": "{}vkhook", "proxy": "http://u:{}vkproxy@127.0.0.1:9"},
    "bots.viber": {"token": "445da6-{}viber-e0vc5", "proxy": "http://u:{}viproxy@127.0.0.1:9"},
    "bots.whatsapp": {"auth_token": "{}whatsapp", "proxy": "http://u:{}waproxy@127.0.0.1:9"},
    "bots.max": {"token": "{}max", "secret": "{}maxhook", "proxy": "http://u:{}maxproxy@127.0.0.1:9"},
    "bots.mail": {"imap_url": "imap://u:{}imap@127.0.0.1:9/INBOX", "smtp_url": "smtp://u:{}smtp@127.0.0.1:9"},
}  # fmt: skip
"""Every key that is a secret, in the shape it must have."""

OPEN = {
    "server": {"public_url": "https://priem.example.ru"},
    "storage": {"files": "s3://bucket"},
    "storage.s3": {"endpoint_url": NOWHERE},
    "backup": {"second_place": "http://127.0.0.1:9/dav", "second_place_user": "u"},
    "bots.telegram": {"api_base_url": NOWHERE},
    "bots.vk": {"group_id": 1, "api_base_url": NOWHERE},
    "bots.viber": {"api_base_url": NOWHERE},
    "bots.whatsapp": {"account_sid": "AC" + "0" * 32, "sender": "+14155238886", "api_base_url": NOWHERE},
    "bots.max": {"api_base_url": NOWHERE},
    "bots.mail": {"address": "intake@example.org"},
    "bots.webchat": {},
}  # fmt: skip


def written(*, port: int, files: bool = True, **changed: str) -> str:
    """The whole configuration as TOML; without `files`, those lie in a folder."""
    sections = {name: dict(values) for name, values in OPEN.items()}
    for name, keys in SECRETS.items():
        sections.setdefault(name, {}).update({key: shape.format(MARK) for key, shape in keys.items()})
    sections["server"]["port"] = port
    sections["storage"].update(changed)
    if not files:
        del sections["storage"]["files"], sections["storage.s3"]
    lines = ['[firm]\nname = "Баланс"\n']
    for name, values in sections.items():
        lines.append(f"[{name}]\n" + "".join(f"{key} = {value!r}\n" for key, value in values.items()))
    return "\n".join(lines)


def test_no_secret_of_the_configuration_is_forgotten_here():
    sections: dict[str, type[BaseModel]] = {
        name.lower(): model
        for name, model in vars(declared).items()
        if isinstance(model, type) and issubclass(model, declared.Section) and model is not declared.Section
    }
    sections = {"storage.s3" if name == "s3" else name: model for name, model in sections.items()}
    sections |= {f"bots.{name}": kind.settings for name, kind in channel_kinds().items()}
    found = {
        (name, key)
        for name, model in sections.items()
        for key, field in model.model_fields.items()
        if "SecretStr" in str(field.annotation) or SecretStr in get_args(field.annotation)
    }
    missing = found - {(name, key) for name, keys in SECRETS.items() for key in keys}
    assert missing == {("bots.mail", "proxy")}  # one proxy of a mailbox would keep its servers from answering


def run(folder: Path, *arguments: str, **variables: str) -> str:
    """Everything that a command prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRIEM")}
    done = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", *arguments],
        cwd=folder, env={**inherited, "PYTHONPATH": str(REPO), **variables}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def closed(told: str) -> None:
    assert told.strip()
    assert MARK not in told, told


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.toml").write_text(written(port=free_port(), files=False), encoding="utf-8")
    (tmp_path / "config.toml").chmod(0o600)
    return tmp_path


FAILURES = {
    "a misspelled key": ("token = ", "tokne = "),
    "a key of another shape": ("123456:", "no-token-"),
    "half a line": ("secret_key = '", "secret_key = "),
    "a secret that is too short": (f"'{MARK}server-signing-key-of-good-length'", f"'{MARK[:12]}'"),
    "a number in its place": ("group_id = 1", "group_id = 'eins'"),
    "a wrong proxy": ("socks5://", "gopher://"),
}


@pytest.mark.parametrize(("was", "becomes"), FAILURES.values(), ids=FAILURES)
def test_a_broken_configuration_is_told_without_what_it_holds(folder, was, becomes):
    text = (folder / "config.toml").read_text(encoding="utf-8")
    assert was in text
    (folder / "config.toml").write_text(text.replace(was, becomes, 1), encoding="utf-8")
    told = run(folder, "migrate")
    closed(told)
    assert MARK[:12] not in told


def test_a_broken_environment_is_told_without_what_it_holds(folder):
    closed(run(folder, "migrate", PRIEM__BOTS__TELEGRAM__TOKEN=f"{MARK} no token"))
    closed(run(folder, "migrate", PRIEM__BOTS__TELEGRAM=f'{{"token": "{MARK}"'))
    closed(run(folder, "migrate", PRIEM__SERVER__SECRET=MARK))
    closed(run(folder, "migrate", PRIEM__NOTHING=MARK))


def test_commands_print_no_secret(folder):
    told = run(folder, "migrate") + run(folder, "backup", "copy")
    told += run(folder, "invite", "director", "--name", "Елена", "--email", "e@example.ru")
    told += run(folder, "export", "requests") + run(folder, "verify", "config.toml")
    closed(told)


def test_a_database_and_a_bucket_that_do_not_answer_are_told_without_their_passwords(tmp_path):
    text = written(port=free_port(), url=f"postgresql://u:{MARK}@127.0.0.1:9/x")
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    for command in ("check", "migrate", "run"):
        closed(run(tmp_path, command))


def test_a_running_service_says_no_secret(folder):
    port = load(folder / "config.toml").server.port
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-c", "from app.cli import main; main()", "run"],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(REPO)}, stdout=log, stderr=log,
        )  # fmt: skip
    told = ""
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and "telegram" not in told:
            time.sleep(0.3)
            with contextlib.suppress(OSError):
                told = _asked(port, "/health") + _asked(port, "/metrics") + _asked(port, "/panel/sign-in")
        time.sleep(3)
    finally:
        service.terminate()
        service.wait(90)
    closed(told)
    closed((folder / "log").read_text(encoding="utf-8"))


def _asked(port: int, path: str) -> str:
    from urllib.error import HTTPError

    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.read().decode()
    except HTTPError as refused:
        return refused.read().decode()


# --- what `priem check` finds ---------------------------------------------------------------------------

KEY = "Zq4-f81mmP0_kd93Hc7wAa9z"


def looked_at(folder: Path, text: str) -> list[Finding]:
    (folder / "config.toml").write_text(f'[firm]\nname = "Б"\n{text}\n[bots.webchat]\n', encoding="utf-8")
    (folder / "config.toml").chmod(0o600)
    return asyncio.run(inspect_settings(load(folder / "config.toml"), 1))


def about(findings: list[Finding], what: str) -> str:
    return "\n".join(finding.line() for finding in findings if finding.about == what)


@pytest.mark.parametrize(
    "key",
    ["aaaaaaaaaaaaaaaa", "change-me-before-the-first-start", "0123456789abcdef", "my-secret-key-for-priem",
     "qwertyuiopasdfgh", "abcdefabcdefabcdefabc"],
)  # fmt: skip
def test_a_key_that_can_be_guessed_is_wrong(tmp_path, key):
    findings = looked_at(tmp_path, f'[server]\nsecret_key = "{key}"')
    assert about(findings, "server.secret_key").startswith("WRONG")
    assert key not in "\n".join(finding.line() for finding in findings)


def test_a_good_key_is_not_told_of(tmp_path):
    assert about(looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"'), "server.secret_key") == ""


def test_what_other_users_could_read_is_told_with_the_command_to_run(tmp_path):
    migrate(f"sqlite:///{tmp_path / 'priem.sqlite3'}")
    (tmp_path / "priem.sqlite3").chmod(0o644)
    for name in ("files", "backups"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    findings = looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"')
    assert f"chmod 600 {tmp_path / 'priem.sqlite3'}" in about(findings, "database")
    assert f"chmod 700 {tmp_path / 'files'}" in about(findings, "files")
    assert f"chmod 700 {tmp_path / 'backups'}" in about(findings, "copies")
    (tmp_path / "config.toml").chmod(0o644)
    again = asyncio.run(inspect_settings(load(tmp_path / "config.toml"), 1))
    assert f"chmod 600 {tmp_path / 'config.toml'}" in about(again, "configuration")


@pytest.mark.parametrize(
    ("url", "is_told"),
    [("http://priem.example.ru", True), ("https://priem.example.ru", False), ("http://127.0.0.1:8080", False),
     ("http://localhost", False), ("http://192.168.1.5", True)],
)  # fmt: skip
def test_an_address_without_a_lock_is_told(tmp_path, url, is_told):
    findings = looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"\npublic_url = "{url}"')
    assert about(findings, "server.public_url").startswith("warn") is is_told


@pytest.mark.parametrize("variable", ["FLASK_DEBUG", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE"])
def test_debug_mode_is_wrong(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    assert variable in about(looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"'), "environment")


def test_directors_without_a_second_factor_are_counted(tmp_path):
    url = f"sqlite:///{tmp_path / 'priem.sqlite3'}"
    migrate(url)
    database = open_database(url)
    with database.begin() as session:
        for role, name in ((Role.DIRECTOR, "Елена"), (Role.ADMIN, "Денис"), (Role.ACCOUNTANT, "Анна")):
            person = invite_staff(session, role, name, f"{role.value}@example.ru", NOW).person_id
            member = roster.member_by_person(session, person)
            roster.set_password(session, roster.Act(Who("command"), NOW), member.staff_id, "hash")
    database.sync_engine.dispose()
    found = about(looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"'), "second factor")
    assert found.startswith("warn  second factor: 2 director(s)")
    demanded = looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"\nrequire_second_factor = true')
    assert about(demanded, "second factor") == ""


def test_a_scanner_that_does_not_answer_is_wrong(tmp_path):
    findings = looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"\n[scan]\nclamd = "127.0.0.1:9"')
    assert "held back" in about(findings, "scan.clamd")


def test_no_copies_are_told(tmp_path):
    assert about(looked_at(tmp_path, f'[server]\nsecret_key = "{KEY}"'), "copies").startswith("warn")
