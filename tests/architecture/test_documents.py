"""What the documents tell people to type exists, and what they point to is there."""

import re
from pathlib import Path

import pytest
import typer.main

from app.cli import app as priem

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
    if "decisions" not in path.parts
)

COMMAND = re.compile(r"`(?:[\w/.]*/)?priem ([a-z][a-z-]*)(?: ([a-z]+))?[^`]*`")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)[^)]*\)")
BENCHMARK = re.compile(r"python -m (benchmarks\.\w+)")


def commands() -> dict[str, set[str]]:
    """Every command of `priem` with the commands below it."""
    root = typer.main.get_command(priem)
    return {name: set(getattr(command, "commands", {})) for name, command in root.commands.items()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_only_what_there_is(document):
    text, known = document.read_text(encoding="utf-8"), commands()
    unknown = {
        f"priem {name} {below or ''}".strip()
        for name, below in COMMAND.findall(text)
        if name not in known or (known[name] and below and below not in known[name])
    }
    assert unknown == set()
    assert {link for link in LINK.findall(text) if not (document.parent / link).exists()} == set()
    missing = {
        name for name in BENCHMARK.findall(text) if not (ROOT / f"{name.replace('.', '/')}.py").exists()
    }
    assert missing == set()
