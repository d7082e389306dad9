"""The example configuration is complete and true."""

import re
import tomllib
from pathlib import Path

import pytest

from app.settings import Consent, Firm, Scan, Server, Settings, Storage, channel_kinds, load

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"
SWITCHED_OFF = re.compile(r"^#(?=\[|[a-z_]+ = )", re.MULTILINE)

SECTIONS = {"firm": Firm, "consent": Consent, "scan": Scan, "storage": Storage, "server": Server} | {
    f"bots.{name}": kind.settings for name, kind in channel_kinds().items()
}


def everything_switched_on() -> str:
    return SWITCHED_OFF.sub("", EXAMPLE.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    import os

    for name in list(os.environ):
        if name.upper().startswith("PRIEM"):
            monkeypatch.delenv(name)


def test_it_loads_as_it_is():
    settings = load(EXAMPLE)
    assert isinstance(settings, Settings)
    assert list(settings.bots) == ["webchat"]
    assert settings.storage.url == f"sqlite:///{ROOT}/priem.sqlite3"


def test_it_loads_with_everything_switched_on(tmp_path):
    (tmp_path / "config.toml").write_text(everything_switched_on(), encoding="utf-8")
    assert set(load(tmp_path / "config.toml").bots) == set(channel_kinds())


@pytest.mark.parametrize("section", SECTIONS)
def test_it_shows_every_key(section):
    shown = tomllib.loads(everything_switched_on())
    for part in section.split("."):
        shown = shown.get(part, {})
    assert set(shown) == set(SECTIONS[section].model_fields)


def test_the_values_it_shows_are_the_defaults():
    shown = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert Consent(**shown["consent"]) == Consent()
    examples = {"name": "Баланс Актив", "phone": "+7 495 000-00-00"}
    assert Firm(**shown["firm"]) == Firm(**examples)
    assert Storage(**shown["storage"]) == Storage()


def test_only_the_marked_keys_are_obligatory():
    marked = set(
        re.findall(r"^# ! .*\n(?:# .*\n)*#?([a-z_]+) = ", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    obligatory = {
        name
        for model in SECTIONS.values()
        for name, field in model.model_fields.items()
        if field.is_required()
    }
    assert marked == obligatory
