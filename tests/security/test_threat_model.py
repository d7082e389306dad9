"""docs/security.md names the test of each defence; each of them must be there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


def test_there_are_many():
    assert len(NAMED) > 50


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_a_named_test_exists(path, name):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found


def test_every_row_of_a_threat_names_a_test():
    """In the tables that have a column of tests."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    inside, bare = False, []
    for row in rows:
        if row.rstrip().endswith("| test |"):
            inside = True
        elif re.match(r"\| (asset|what \|)", row) and "| test |" not in row:
            inside = False
        elif inside and "::" not in row:
            bare.append(row)
    assert bare == []


def test_every_test_file_of_this_folder_is_named():
    here = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    assert {name for name in here if f"tests/security/{name}" not in TEXT} == set()
