"""The entry of `priem`. A user's mistake ends in one sentence on stderr and the exit code 1."""

from __future__ import annotations

import os
import sys

import typer

from app.commands import copies, data, people, service
from app.commands.mistakes import sentence_of
from app.commands.shared import PLAIN

app = typer.Typer(help="Priem: the intake of client requests in the messengers clients already use.", **PLAIN)
for group in (service, people, data, copies):
    app.add_typer(group.commands)


def main(arguments: list[str] | None = None) -> None:
    """The entry of `priem`: run a command and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if os.name == "posix":
        # Databases, copies and exports hold clients' data: nobody else of this machine reads them.
        os.umask(0o077)
    sys.exit(_exit_code(given or ["--help"]))


def _exit_code(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="priem", standalone_mode=False)
    except typer.TyperException as error:
        return _told(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        return 1
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        return _told(sentence)
    return code if isinstance(code, int) else 0


def _told(sentence: str) -> int:
    typer.echo(" ".join(sentence.split()), err=True)
    return 1
