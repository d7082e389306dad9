"""What the runbook tells people to type after a fire and at a move is done here word for word, in a shell.

Only what a test cannot have is put in its place: systemd, root, and the folders of the machine.
"""

import getpass
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs/runbook"
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CONFIG = """
[firm]
name = "Баланс Актив"
[storage]
url = "sqlite:////var/lib/priem/priem.sqlite3"
files = "/var/lib/priem/files"
warn_free_megabytes = 0
[backup]
folder = "/var/lib/priem/backups"
passphrase = "четыре слова не подобрать"
[server]
port = {port}
secret_key = "Zq4-f81mmP0_kd93Hc7w"
[bots.webchat]
"""
STUBS = {
    "sudo": 'exec "$@"\n',
    "systemctl": 'echo "$*" >> "$MACHINE/systemctl"\n',
    "program": f'exec {sys.executable} -c "from app.cli import main; main()" "$@"\n',
}


def block(document, *having):
    """The commands of that document's only block in which all of this is typed."""
    found = BLOCK.findall((RUNBOOK / document).read_text(encoding="utf-8"))
    (only,) = (typed for language, typed in found if not language and all(words in typed for words in having))
    return only


class Machine:
    """A machine on which Priem is installed as `install.ru.md` says, and not started yet."""

    def __init__(self, folder, port):
        self.folder = folder
        for place in ("bin", "etc/priem", "var/lib/priem"):
            (folder / place).mkdir(parents=True)
        for name, does in STUBS.items():
            self._program(name, f"#!/bin/sh\n{does}")
        wrapper = (ROOT / "docs/deploy/priem").read_text(encoding="utf-8")
        wrapper = wrapper.replace("user=priem", f"user={getpass.getuser()}")
        wrapper = wrapper.replace("/opt/priem/venv/bin/priem", str(folder / "bin/program"))
        self._program("priem", self._here(wrapper))
        self.config = folder / "etc/priem/config.toml"
        self.config.write_text(self._here(CONFIG.format(port=port)), encoding="utf-8")
        self.config.chmod(0o600)

    def _program(self, name, text):
        (self.folder / "bin" / name).write_text(text, encoding="utf-8")
        (self.folder / "bin" / name).chmod(0o755)

    def _here(self, text):
        """The same about this machine's folders and user."""
        for place in ("/etc/priem", "/var/lib/priem"):
            text = text.replace(place, f"{self.folder}{place}")
        return text.replace("-o priem -g priem ", "")

    def types(self, commands, downloads):
        """Type it in the folder in which an operator has what was downloaded."""
        done = subprocess.run(
            ["sh", "-e", "-c", self._here(commands)], cwd=downloads, capture_output=True, text=True,
            check=False, timeout=300,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(downloads),
                "MACHINE": str(self.folder), "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8",
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def systemctl(self):
        return (self.folder / "systemctl").read_text().splitlines()

    def clients(self):
        connection = sqlite3.connect(self.folder / "var/lib/priem/priem.sqlite3")
        try:
            return connection.execute("select name from client").fetchall()
        finally:
            connection.close()


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture
def old(tmp_path, port):
    """The machine on which the firm has worked, with a client."""
    machine = Machine(tmp_path / "old", port)
    (tmp_path / "clients.csv").write_text("Название;ИНН\nООО «Ромашка»;7707083893\n", encoding="utf-8")
    machine.types("priem import clients clients.csv", tmp_path)
    return machine


@pytest.fixture
def new(tmp_path, port):
    return Machine(tmp_path / "new", port)


def test_a_move_word_for_word(old, new, tmp_path):
    told = old.types(block("install.ru.md", "priem backup", "priem verify"), tmp_path)
    assert "The copy is whole" in told
    assert old.systemctl == ["disable --now priem"]
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (old.folder / "var/lib/priem/move.tar").rename(downloads / "move.tar")
    new.config.rename(downloads / "config.toml")
    told = new.types(block("install.ru.md", "priem restore", "config.toml"), downloads)
    assert "1 clients" in told
    assert (new.clients(), new.systemctl) == ([("ООО «Ромашка»",)], ["enable --now priem"])


def test_the_day_after_a_fire_word_for_word(old, new, tmp_path):
    commands = block("copies.ru.md", "priem restore", "systemctl enable")
    (name,) = set(re.findall(r"priem-\d{8}T\d{6}Z\.tar", commands))
    old.types(f"priem backup /var/lib/priem/{name}", tmp_path)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (old.folder / "var/lib/priem" / name).rename(downloads / name)
    told = new.types(commands, downloads)
    assert told.index("1 clients") < told.index("database: answers and is up to date")
    assert (new.clients(), new.systemctl) == ([("ООО «Ромашка»",)], ["enable --now priem"])
    kept = new.folder / "var/lib/priem/priem.sqlite3"
    assert kept.stat().st_mode & 0o077 == 0


def test_the_unit_is_understood_and_lets_write_where_the_runbook_says(tmp_path):
    unit = (ROOT / "docs/deploy/priem.service").read_text(encoding="utf-8")
    writable = set(re.findall(r"^ReadWritePaths=-?(\S+)$", unit, re.MULTILINE)) | {"/var/lib/priem"}
    assert "StateDirectory=priem\n" in unit
    copies = (RUNBOOK / "copies.ru.md").read_text(encoding="utf-8")
    places = {Path(place) for place in re.findall(r'second_place = "(/[^"]+)"', copies)}
    assert places
    assert all(any(place.is_relative_to(folder) for folder in writable) for place in places)
    # Where systemd is, it says what it would ignore; of the program itself only that it is not installed.
    if (verify := shutil.which("systemd-analyze")) is not None:
        (tmp_path / "priem.service").write_text(unit.replace("/opt/priem/venv/bin/priem", sys.executable))
        told = subprocess.run(
            [verify, "verify", tmp_path / "priem.service"], check=False, capture_output=True, text=True
        )
        assert "priem.service" not in told.stderr, told.stderr


def test_the_wrapper_asks_for_the_right_user(tmp_path, port):
    """Whoever is neither the user of the service nor root goes through sudo, with the two variables alone."""
    machine = Machine(tmp_path / "machine", port)
    wrapper = (machine.folder / "bin/priem").read_text()
    machine._program("priem", wrapper.replace(f"user={getpass.getuser()}", "user=priem"))
    machine._program("id", "#!/bin/sh\necho anna\n")
    machine._program("sudo", '#!/bin/sh\necho "$@"\n')
    told = machine.types("priem check", tmp_path)
    wanted = f"--preserve-env=PRIEM_CONFIG,PRIEM_BACKUP_PASSPHRASE {machine.folder}/bin/priem check\n"
    assert told == wanted
    machine._program("id", "#!/bin/sh\necho root\n")
    machine._program("runuser", '#!/bin/sh\necho "$PRIEM_CONFIG: $*"\n')
    told = machine.types("priem check", tmp_path)
    assert told == f"{machine.config}: -u priem -- {machine.folder}/bin/program check\n"
