"""What `compose.yaml` and the `Dockerfile` set is understood by the program, and tells visitors apart."""

import os
import re
import shlex
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml

from app.checks import _doors
from app.settings import load
from storage.object_store import Bucket

ROOT = Path(__file__).parents[2]
SECRETS = {
    "PRIEM_SECRET_KEY": "Zq4-f81mmP0_kd93Hc7w",
    "DATABASE_PASSWORD": "vremennyj",
    "FILES_PASSWORD": "ne-ugadat-0",
    "BACKUP_PASSPHRASE": "четыре слова не подобрать",
    "PUBLIC_HOST": "priem.example.ru",
}


def filled(text):
    """As docker compose does it: `${NAME}`, `${NAME:?why}`, and `$$` for a dollar."""
    found = re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda name: SECRETS[name[1]], text)
    return found.replace("$$", "$")


@pytest.fixture
def compose():
    return yaml.safe_load(filled((ROOT / "compose.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def settings(compose, monkeypatch, tmp_path):
    """What a process in the container reads: the example, and over it what Docker sets."""
    for name in list(os.environ):
        if name.upper().startswith("PRIEM"):
            monkeypatch.delenv(name)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    image = dict(
        word.split("=", 1) for line in re.findall(r"^ENV (.*)", dockerfile, re.MULTILINE)
        for word in shlex.split(line)
    )  # fmt: skip
    for name, value in (image | compose["services"]["priem"]["environment"]).items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "config.toml"
    config.write_text((ROOT / "config.example.toml").read_text(encoding="utf-8"), encoding="utf-8")
    return load(config)


def test_the_settings_come_from_the_environment(settings):
    assert settings.server.public_url == "https://priem.example.ru"
    assert settings.server.secret_key.get_secret_value() == SECRETS["PRIEM_SECRET_KEY"]
    assert settings.storage.url == "postgresql://priem:vremennyj@database/priem"
    assert settings.storage.files == Bucket.parse("s3://priem/files")
    assert settings.backup.key() is not None


def test_the_door_alone_says_for_whom_it_asks(settings, compose):
    door = compose["services"]["door"]["networks"]["default"]["ipv4_address"]
    (addresses,) = compose["networks"]["default"]["ipam"]["config"]
    assert settings.server.trusted_proxies == (door,)
    assert ip_address(door) in ip_network(addresses["subnet"])
    assert ip_address(door) not in ip_network(addresses["ip_range"]), "another one might take it first"
    assert ip_network(addresses["ip_range"]).subnet_of(ip_network(addresses["subnet"]))
    others = {name: service for name, service in compose["services"].items() if name != "door"}
    assert [name for name, service in others.items() if "ports" in service] == [], "the door is the only one"
    assert not any(finding.about == "server.trusted_proxies" for finding in _doors(settings))


def test_the_door_opens_under_the_name_that_people_type(settings, compose):
    command = shlex.split(compose["services"]["door"]["command"])
    assert command[command.index("--from") + 1] == settings.server.public_url.removeprefix("https://")
    assert command[command.index("--to") + 1] == f"priem:{settings.server.port}"
