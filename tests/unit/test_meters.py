"""What a process counts for the watchers, and that the operator is told its names."""

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from app.meters import Meters

ROOT = Path(__file__).parents[2]


def figures(meters: Meters) -> dict[str, float]:
    lines = generate_latest(meters.registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_messages_count_once_they_are_kept():
    meters = Meters()
    with meters.keeping("telegram", 3):
        pass
    with pytest.raises(OSError, match="disk"), meters.keeping("telegram", 5):
        raise OSError("disk")
    found = figures(meters)
    assert found['priem_messages_total{channel="telegram"}'] == 3
    assert found['priem_kept_seconds_count{channel="telegram"}'] == 1


def test_the_operator_is_told_every_name():
    code = "".join((ROOT / "app" / name).read_text() for name in ("meters.py", "monitor.py"))
    guide = (ROOT / "docs" / "guide-operator.ru.md").read_text()
    assert {name for name in re.findall(r'"(priem_\w+)"', code) if f"`{name}" not in guide} == set()
