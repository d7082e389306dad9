"""A leak into a log is caught, wherever it is written; the watch over the suite is worth nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.secrecy import MARKERS, SECRETS, LogFiles, leaks

REPO = Path(__file__).parents[2]

LEAKING = f"""
import logging, sys
import pytest, structlog

def test_by_structlog():
    structlog.get_logger().info("letter", name="Мария")

def test_by_an_exception():
    try:
        raise ValueError("7707083893")
    except ValueError:
        structlog.get_logger().exception("refused")

def test_by_a_library():
    logging.getLogger("lib").info("call %s", "+7 916 111-22-33")

def test_by_a_secret():
    logging.getLogger("lib").warning("asked with %s", {SECRETS[0]!r})

def test_by_print():
    print("olga@client.example")

def test_by_stderr():
    sys.stderr.write("Ромашка")

@pytest.fixture
def prepared():
    structlog.get_logger().info("Василёк")

def test_while_prepared(prepared):
    pass

@pytest.fixture
def tidied():
    yield
    logging.getLogger("lib").error("Василёк")

def test_while_tidied(tidied):
    pass
"""
HONEST = """
import structlog

def test_that_says_what_it_may():
    structlog.get_logger().info("letter sent", chat=17, channel="telegram")
"""


@pytest.mark.parametrize("processes", ["0", "2"], ids=["one process", "xdist"])
def test_a_planted_leak_fails_the_test(tmp_path: Path, processes: str):
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n")
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    (tmp_path / "test_honest.py").write_text(HONEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-rfEp", "-n", processes, "-p", "no:cacheprovider", str(tmp_path)],
        check=False, capture_output=True, text=True, timeout=150, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )  # fmt: skip
    told = dict(re.findall(r"^(?:PASSED|(?:FAILED|ERROR)) \S+::(\w+)(.*)$", ran.stdout, re.MULTILINE))
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", ran.stdout, re.MULTILINE))
    assert failed == set(re.findall(r"def (test_\w+)", LEAKING)), ran.stdout
    assert "test_that_says_what_it_may" in told
    assert ran.stdout.count("The log holds what nobody may read there") >= len(failed)


def test_the_log_of_a_process_is_read_once(tmp_path: Path):
    logs = LogFiles(tmp_path)
    (tmp_path / "service").mkdir()
    log = tmp_path / "service" / "log"
    log.write_text("started\n")
    assert [leaks(text) for _file, text in logs.fresh()] == [[]]
    with log.open("a") as more:
        more.write("7707083893 refused\n")
    assert [leaks(text) for _file, text in logs.fresh()] == [["7707083893"]]
    assert list(logs.fresh()) == []
    log.unlink()  # or the next test that starts a service finds it


def test_markers_are_peculiar():
    assert len(set(MARKERS)) == len(MARKERS)
    assert all(len(marker) >= 5 for marker in MARKERS)
