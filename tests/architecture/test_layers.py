"""The house stands as it is drawn: imports point down, the ground floor is pure, doors stay thin."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import channel_kinds

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("app", "admin", "bots", "forms", "notifications", "router", "storage")
PURE = ("forms", "router")
BANNED_IN_PURE = {
    "asyncio", "aiogram", "aiohttp", "aiosqlite", "flask", "logging", "os", "pathlib", "psycopg", "random",
    "requests", "socket", "sqlalchemy", "sqlmodel", "starlette", "structlog", "subprocess", "threading",
    "time",
}  # fmt: skip


def sources(*rooms: str) -> list[Path]:
    return sorted(
        path for room in rooms for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts
    )


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_imports_point_down_the_house():
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", sources(*PURE), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_ground_floor_does_no_input_or_output(path):
    roots = {name.partition(".")[0] for name in imported(path)}
    assert not roots & BANNED_IN_PURE


@pytest.mark.parametrize(
    "path", sources("bots", "admin", "app"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_door_writes_sql_text(path):
    """Queries are built in storage; a door may compose typed selects but never raw SQL."""
    called = {
        node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not called & {"exec_driver_sql", "executescript"}


LIBRARIES = {
    "telegram": {"aiogram"},
    "vk": {"vk_api", "jconfig"},
    "viber": {"viberbot"},
    "whatsapp": {"twilio"},
    "max": {"aiomax"},
    "mail": {"imapclient", "aiosmtplib"},
}
"""What speaks each messenger; the web chat is our own."""


def messengers() -> list[str]:
    return sorted(channel_kinds())


@pytest.mark.parametrize("name", [name for name in messengers() if name in LIBRARIES])
def test_only_its_own_file_knows_a_messengers_library(name):
    knows = {
        path.relative_to(ROOT).as_posix()
        for path in sources(*ROOMS)
        if any(module.partition(".")[0] in LIBRARIES[name] for module in imported(path))
    }
    assert knows == {f"bots/{name}.py"}


@pytest.mark.parametrize("name", messengers())
def test_no_room_asks_which_messenger_it_is(name):
    """`if channel == "telegram"` outside that messenger's own file is how a second house begins."""
    asking = []
    for path in sources("bots", "forms", "router", "notifications", "storage"):
        if path.name == f"{name}.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and any(
                isinstance(side, ast.Constant) and side.value == name
                for side in (node.left, *node.comparators)
            ):
                asking.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not asking


def test_only_one_place_asks_the_clock():
    asking = [
        path.relative_to(ROOT).as_posix()
        for path in sources(*ROOMS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("now", "utcnow", "today")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("datetime", "date", "dt")
    ]
    assert set(asking) <= {"app/clock.py"}


def test_help_does_not_wait_for_the_messengers():
    """`priem --help` answers before aiogram or the panel could have been imported."""
    code = (
        "import sys, app.cli; heavy = {'aiogram', 'flask', 'sqlalchemy', 'starlette', 'holidays', 'babel'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_every_top_level_room_is_on_the_plan():
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert rooms - {"benchmarks"} == {*ROOMS, "tests"}
