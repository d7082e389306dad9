"""Every test fails that lets something personal or secret into a log: see `tests/secrecy.py`."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import secrecy

settings.register_profile("starved", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("starved")
"""A machine that stands still for a moment says nothing of the code: no example has a time limit."""

STARTS_PROCESSES = ("tests/e2e/", "tests/storage/test_disaster")
"""Where services run beside the tests and write logs of their own."""

LOGS_SECRETS = "tests/unit/test_logs.py"
"""Whose subject is what becomes of secrets that were logged."""
SERVERS_OF_TESTS = ("mail.log", "mail.debug", "pymap", "werkzeug", "wsgidav", "cheroot")
"""The loggers of the real servers beside the tests: those see clients' addresses, and are not ours."""


@pytest.fixture(autouse=True, scope="session")
def libraries_are_heard() -> Iterator[None]:
    """Libraries log from INFO on, as in the service."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    for name in SERVERS_OF_TESTS:
        logging.getLogger(name).setLevel(logging.ERROR)
    yield
    root.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at all that the test has logged or printed so far; what a failed one prints is for its reader."""
    report = yield
    if report.outcome == "failed" or item.nodeid.startswith(LOGS_SECRETS):
        return report
    heard = [text for name, text in report.sections if call.when in name]
    if call.when == "teardown" and item.nodeid.startswith(STARTS_PROCESSES):
        heard += [text for _file, text in _log_files(item).fresh()]
    found = sorted({leak for text in heard for leak in secrecy.leaks(text)})
    if found:
        report.outcome = "failed"
        report.longrepr = f"The log holds what nobody may read there: {found}"
    return report


_WATCHED = pytest.StashKey[secrecy.LogFiles]()


def _log_files(item: pytest.Item) -> secrecy.LogFiles:
    stash = item.session.stash
    if _WATCHED not in stash:
        stash[_WATCHED] = secrecy.LogFiles(item.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    return stash[_WATCHED]
