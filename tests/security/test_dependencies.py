"""What we install: at the version that was tested, under a licence that fits, and told of in the docs.

Known holes are looked for on the Internet by `make audit`; this test needs none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]

LICENCES = (
    "mit", "bsd", "apache", "isc", "psf", "python software foundation", "mpl-2.0",
    "mozilla public license 2.0", "unlicense", "zlib", "0bsd", "cnri-python", "hpnd", "cc0", "zpl",
)  # fmt: skip
"""Those under which the whole may be given out under ours."""
LESSER = {"psycopg", "psycopg-binary", "python-stdnum"}
"""Under the LGPL: imported as they are, replaceable by whoever installs us, not copied into our code."""

SAID_ELSEWHERE = {"imapclient": "bsd", "pyrage": "mit", "viberbot": "apache"}
"""Whose metadata names none: what stands in the licence file of their wheels."""


def wanted(of: Distribution, extras: set[str]) -> Iterator[tuple[str, set[str]]]:
    for line in of.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield canonicalize_name(requirement.name), set(requirement.extras)


def closure() -> dict[str, Distribution]:
    """Everything that `pip install priem` brings, without ourselves."""
    found: dict[str, Distribution] = {}
    seen: dict[str, set[str]] = {}
    queue = list(wanted(distribution("priem"), set()))
    while queue:
        name, extras = queue.pop()
        if name in seen and extras <= seen[name]:
            continue
        seen[name] = seen.get(name, set()) | extras
        found[name] = distribution(name)
        queue += wanted(found[name], seen[name] | {""})
    return found


CLOSURE = closure()
PINS = {
    canonicalize_name(line.partition("==")[0]): line.partition("==")[2].partition(";")[0].strip()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line and not line.startswith("#")
}


def licence_of(package: Distribution) -> str:
    about = package.metadata
    classifiers = [
        line.rpartition("::")[2].strip()
        for line in about.get_all("Classifier") or ()
        if line.startswith("License ::") and line != "License :: OSI Approved"
    ]
    short = (about.get("License") or "").strip().splitlines()[:1]
    return " / ".join([about.get("License-Expression") or "", *classifiers, *short]).lower()


def test_there_is_something_to_look_at():
    assert len(CLOSURE) > 50


@pytest.mark.parametrize("name", sorted(CLOSURE))
def test_a_package_is_pinned_at_the_version_that_is_tested(name):
    assert PINS.get(name) == CLOSURE[name].version


@pytest.mark.parametrize("name", sorted(CLOSURE))
def test_a_package_may_be_given_out_with_us(name):
    licence = SAID_ELSEWHERE.get(name) or licence_of(CLOSURE[name])
    lesser = "lgpl" in licence or "lesser general public" in licence
    general = re.search(
        r"\b(?:a?gpl|(?:affero )?general public license)", licence.replace("lesser general", "")
    )
    assert not general, licence
    if lesser:
        assert name in LESSER, licence
    else:
        assert any(known in licence for known in LICENCES), licence or "no licence is named"


def test_nothing_is_excused_without_need():
    assert set(CLOSURE) >= LESSER | set(SAID_ELSEWHERE)
    for name in SAID_ELSEWHERE:
        assert not any(known in licence_of(CLOSURE[name]) for known in LICENCES), name


def _told() -> str:
    return canonicalize_name((ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8"))


ASKED_FOR = {name for name, _extras in wanted(distribution("priem"), {"dev"})}


@pytest.mark.parametrize("name", sorted(ASKED_FOR))
def test_what_we_ask_for_ourselves_has_its_reason_in_the_docs(name):
    assert re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", _told())


def test_nothing_is_pinned_twice():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = [canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line]
    assert sorted(names) == sorted(set(names))
