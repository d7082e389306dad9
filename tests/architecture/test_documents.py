"""What the documents tell people to type exists, and what they point to is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
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


BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]*\bpriem [a-z][^`]*)`")


def typed(text: str) -> Iterator[list[str]]:
    """The arguments of every `priem` that a document has typed; a bare name of a command is only named."""
    lines = [
        part
        for language, block in BLOCK.findall(text)
        if language in ("", "sh", "bash")
        for line in block.replace("\\\n", " ").splitlines()
        for part in line.split("&&")
    ]
    for line, is_inline in (
        *((line, False) for line in lines),
        *((line, True) for line in INLINE.findall(text)),
    ):
        if "priem" not in line:
            continue
        words = [word for word in shlex.split(line, comments=True, posix=True) if "=" not in word]
        words = words[1:] if words[:1] == ["sudo"] else words
        if words[:2] == ["docker", "compose"] and "priem" in words:
            words = words[len(words) - 1 - words[::-1].index("priem") :]
        if words and re.split(r"[/\\]", words[0])[-1] == "priem" and len(words) > 1 + is_inline:
            yield words[1:]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_types_is_understood(document):
    for arguments in typed(document.read_text(encoding="utf-8")):
        command, rest = typer.main.get_command(priem), list(arguments)
        while below := getattr(command, "commands", None):
            assert rest, arguments
            assert rest[0] in below, arguments
            command = below[rest.pop(0)]
        if any(word == "…" or re.fullmatch("[A-Z]+", word) for word in rest):
            continue  # the reader completes it
        try:
            command.make_context(command.name, rest)
        except typer.TyperException as error:
            pytest.fail(f"{' '.join(arguments)}: {error.format_message()}")


def test_the_commands_of_the_runbook_are_found():
    """Else the test above would have nothing to look at."""
    found = [
        " ".join(words)
        for name in ("copies", "install")
        for words in typed((ROOT / f"docs/runbook/{name}.ru.md").read_text(encoding="utf-8"))
    ]
    for wanted in (
        "restore /var/lib/priem/priem-20261125T003000Z.tar", "restore /copy.tar", "check",
        "backup /var/lib/priem/move.tar", "restore КОПИЯ --replace --faulty", "maintenance on --until 11:30",
    ):  # fmt: skip
        assert wanted in found
    assert list(typed("```\nsudo priem restor x\n```\n`priem restore`")) == [["restor", "x"]]
