"""A migration only adds, so that the version before goes on working (docs/decisions/0010)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

VERSIONS = Path(__file__).resolve().parents[2] / "storage" / "migrations" / "versions"
FIRST = "0006"
"""Nothing older was ever run beside another version."""

TAKES_AWAY = {
    "drop_column", "drop_table", "rename_table", "alter_column", "create_unique_constraint",
    "create_check_constraint", "create_foreign_key", "create_primary_key",
}  # fmt: skip
KNOWN = {("0006", "drop_column", "session_key")}
"""No version that read it was released."""


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    """What is called on the way up: everything but `downgrade`."""
    for node in tree.body:
        if not (isinstance(node, ast.FunctionDef) and node.name == "downgrade"):
            yield from (each for each in ast.walk(node) if isinstance(each, ast.Call))


def _broken(source: str, revision: str) -> list[tuple[str, str, str]]:
    found = []
    for call in _calls(ast.parse(source)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        words = [each.value for each in call.args if isinstance(each, ast.Constant)]
        if name in TAKES_AWAY:
            found.append((revision, name, str(words[-1] if words else "")))
        elif name == "add_column":
            found += [(revision, name, ast.unparse(column)) for column in _obligatory(call)]
    return [each for each in found if each not in KNOWN]


def _obligatory(call: ast.Call) -> Iterator[ast.Call]:
    for column in ast.walk(call):
        if not (isinstance(column, ast.Call) and getattr(column.func, "attr", "") == "Column"):
            continue
        named = {each.arg: each.value for each in column.keywords}
        nullable = named.get("nullable")
        may_be_empty = nullable is None or (isinstance(nullable, ast.Constant) and nullable.value is True)
        if not may_be_empty and "server_default" not in named:
            yield column


@pytest.mark.parametrize(
    "path",
    sorted(path for path in VERSIONS.glob("[0-9]*.py") if path.name >= FIRST),
    ids=lambda path: path.name[:4],
)
def test_a_migration_takes_nothing_away_from_the_version_before(path):
    assert _broken(path.read_text(encoding="utf-8"), path.name[:4]) == []


@pytest.mark.parametrize(
    ("line", "is_broken"),
    [
        ("op.add_column('staff', sa.Column('a', sa.Text(), nullable=True))", False),
        ("op.add_column('staff', sa.Column('a', sa.Text(), nullable=False, server_default=''))", False),
        ("op.add_column('staff', sa.Column('a', sa.Text(), nullable=False))", True),
        ("op.drop_column('staff', 'a')", True),
        ("op.alter_column('staff', 'a', new_column_name='b')", True),
        ("op.rename_table('staff', 'people')", True),
        ("op.create_table('staff', sa.Column('a', sa.Text(), nullable=False))", False),
    ],
)
def test_what_takes_something_away_is_seen(line, is_broken):
    assert bool(_broken(f"def upgrade():\n    {line}\n", "0007")) is is_broken
    assert not _broken(f"def downgrade():\n    {line}\n", "0007")
