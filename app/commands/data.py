"""Data brought in and given out: `priem import`, `priem export`, `priem duty-list`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.commands.shared import PLAIN, CommandError, Config, database_of, day_of, output_to, settings_of

commands = typer.Typer(**PLAIN)
importing = typer.Typer(help="Bring data in from a file.", **PLAIN)
exporting = typer.Typer(help="Give data out for other programs.", **PLAIN)
commands.add_typer(importing, name="import")
commands.add_typer(exporting, name="export")


class ExportFormat(StrEnum):
    """How `priem export` writes."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"


@importing.command("clients")
def import_clients(
    file: Annotated[Path, typer.Argument(help="CSV or XLSX: name, INN, kind, responsible, phone, e-mail.")],
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Import the good lines although others are refused.")
    ] = False,
    config: Config = None,
) -> None:
    """Add clients from a table and update those whose INN is known."""
    from app.clock import now
    from notifications.texts import Catalogue
    from storage import imports

    settings = settings_of(config)
    say = Catalogue.open(settings.firm.language).say
    try:
        lines = imports.read_clients(file)
    except imports.FileUnreadable as error:
        raise CommandError(f"{file}: {say(error.text)}") from error
    with database_of(settings, may_create=True) as database, database.begin() as session:
        done = imports.import_clients(session, lines, now(), skip_refused=skip_refused)
    for line in done.refused:
        if (verdict := line.verdict()) is not None:
            typer.echo(say(verdict), err=True)
    if not done.stored:
        raise CommandError(
            f"Nothing was imported: {len(done.refused)} of {len(lines)} lines are refused; correct them, or "
            "repeat with --skip-refused."
        )
    typer.echo(
        f"Added {done.added}, updated {done.updated}, unchanged {done.unchanged}, "
        f"refused {len(done.refused)}."
    )


@exporting.command("requests")
def export_requests(
    shape: Annotated[ExportFormat, typer.Option("--format", help="How to write.")] = ExportFormat.JSON,
    since: Annotated[str, typer.Option(help="First day of submission, like 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(help="Last day of submission, like 2026-11-30.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="The file to write; left out: stdout.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Write requests as JSON (one array), CSV or XLSX."""
    from app.clock import now
    from storage.exports import WRITERS, requests_for_export

    settings = settings_of(config)
    first, last = day_of("--since", since), day_of("--until", until)
    if first and last and first > last:
        raise CommandError(f"--since {first} is later than --until {last}: swap them.")
    if out is None and shape is ExportFormat.XLSX and sys.stdout.isatty():
        raise CommandError("A workbook cannot be shown in a terminal: name a file with --out.")
    with database_of(settings) as database, database.read() as session, output_to(out) as stream:
        found = requests_for_export(session, settings.firm.calendar(), now(), first, last)
        WRITERS[shape.value](found, stream)


@exporting.command("person")
def export_person(
    number: Annotated[
        int, typer.Option("--id", help="The person's number, as in `person:17` of the history.")
    ],
    out: Annotated[Path, typer.Option(help="The ZIP to write, for nobody else of this machine to read.")],
    config: Config = None,
) -> None:
    """Write everything that is kept about a person of a client, to be given to them."""
    from app.clock import now
    from app.service import house_of
    from bots.base import MAX_FILE_BYTES
    from notifications.texts import Catalogue
    from storage import firm_settings, person_export
    from storage.house import Who
    from storage.private import private_file
    from storage.roster import NoSuchCard

    settings, made_at = settings_of(config), now()
    filed = house_of(settings, Catalogue.open(settings.firm.language))
    store = settings.storage.open_files(MAX_FILE_BYTES)
    with database_of(settings) as database:
        try:
            with private_file(out) as stream, database.read() as session:
                house = firm_settings.house_with(filed, firm_settings.read_settled(session))
                given = person_export.write(session, store, house, number, made_at, stream)
        except NoSuchCard:
            raise CommandError(
                f"No person of a client has the number {number}, or they were erased."
            ) from None
        with database.begin() as session:
            person_export.note_given(session, Who("command"), number, given, made_at)
    missing = f", {given.missing} files are gone or infected" if given.missing else ""
    typer.echo(f"{out} is written: {given.rows} rows, {given.files} files{missing}; it holds personal data.")


@commands.command("duty-list")
def write_duty_list(
    out: Annotated[Path, typer.Option(help="The file to write: .html or .xlsx.")],
    config: Config = None,
) -> None:
    """Write the list of the day: open requests, telephones, who is away and whom to call."""
    from app.clock import now
    from app.service import house_of
    from notifications.texts import Catalogue
    from storage import duty_list, firm_settings

    settings = settings_of(config)
    writers = {".html": duty_list.as_html, ".xlsx": duty_list.as_xlsx}
    written = writers.get(out.suffix.lower())
    if written is None:
        raise CommandError(f"--out ends with .html or .xlsx, unlike {out}.")
    with database_of(settings) as database, database.read() as session:
        filed = house_of(settings, Catalogue.open(settings.firm.language))
        house = firm_settings.house_with(filed, firm_settings.read_settled(session))
        found = duty_list.gather(session, house, now())
    duty_list.write_privately(out, written(found))
    typer.echo(f"{out} is written; it holds personal data.")
