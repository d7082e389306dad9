"""What the commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

if TYPE_CHECKING:
    from app.settings import Settings
    from storage.engine import Database

PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "add_completion": False,
}

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The configuration file; left out: PRIEM_CONFIG, else ./config.toml.",
        show_default=False,
    ),
]

YEARS = range(2000, 2101)
"""Of the days that an option may name; others are slips, and their midnights may not exist."""


class CommandError(Exception):
    """The command cannot do it; the text is one sentence that says what to do."""


def settings_of(config: Path | None) -> Settings:
    """The checked configuration of that file, or of where it is looked for."""
    from app.settings import load

    return load(config)


@contextmanager
def database_of(settings: Settings, *, may_create: bool = False) -> Iterator[Database]:
    """The open database, its schema up to date; a missing one is created if that makes sense."""
    from storage.engine import open_database
    from storage.migrate import migrate as bring_up_to_date
    from storage.migrate import missing, pending

    url = settings.storage.url
    if may_create and missing(url):
        bring_up_to_date(url)
    elif pending(url):
        raise CommandError("The database is missing or of an older version: run `priem migrate` first.")
    database = open_database(url)
    try:
        yield database
    finally:
        database.sync_engine.dispose()


def day_of(option: str, text: str) -> date | None:
    """The day that an option names; None for an option left out."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} is a day like 2026-11-30, not «{text}».") from None
    if day.year not in YEARS:
        raise CommandError(f"{option} is a day from {YEARS[0]} to {YEARS[-1]}, not «{text}».")
    return day


def moment_of(option: str, text: str, settings: Settings, now: datetime) -> datetime:
    """The next moment that is meant, in the firm's zone."""
    zone = settings.firm.calendar().zone
    try:
        if ":" in text and "-" not in text:
            local = now.astimezone(zone)
            moment = datetime.combine(local.date(), time.fromisoformat(text), zone)
            # Half past midnight, said in the evening, is tomorrow's.
            return moment if moment > now else moment + timedelta(days=1)
        moment = datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:
        raise CommandError(f"{option} is a time like 11:30 or 2026-11-30 11:30, not «{text}».") from None
    if moment <= now:
        raise CommandError(f"{option} {text} is over already.")
    return moment


@contextmanager
def output_to(out: Path | None) -> Iterator[BinaryIO]:
    """Stdout, or a file that appears whole or not at all."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
