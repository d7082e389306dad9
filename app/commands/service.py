"""`priem run` and what is done around it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.shared import PLAIN, Config, database_of, moment_of, settings_of

if TYPE_CHECKING:
    from app.settings import Settings

HEALTH_TIMEOUT_SECONDS = 20.0
OTHER_PROCESS_ENDS_SECONDS = 60.0
"""How long a start waits for another process on the same SQLite file to end, as at an update."""

commands = typer.Typer(**PLAIN)


@commands.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of everything.")] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="Where the demo keeps its data.", show_default=False)
    ] = None,
) -> None:
    """Start everything on SQLite without any token: web chats, the panel, a few clients and requests."""
    from app.demo import run_demo

    run_demo(port, data)


@commands.command()
def run(config: Config = None) -> None:
    """Start the service: every configured messenger, deliveries, timers and the panel in one process."""
    import structlog

    from app import logs
    from app.loop import run_in_loop
    from app.server import listening
    from app.service import run_service
    from storage.migrate import migrate as bring_up_to_date
    from storage.ownership import sole_process
    from storage.troubles import refuse_damaged

    settings = settings_of(config)
    logs.configure(as_json=not sys.stderr.isatty(), secrets=settings.secrets())
    with (
        listening(settings.server.host, settings.server.port) as port,
        sole_process(settings.storage.url, OTHER_PROCESS_ENDS_SECONDS, _told_to_wait),
    ):
        refuse_damaged(settings.storage.url)
        if (copy := _copy_before_migrating(settings)) is not None:
            structlog.get_logger(__name__).info("copied before the migration", file=str(copy))
        bring_up_to_date(settings.storage.url)
        run_in_loop(lambda: run_service(settings, port))


def _told_to_wait() -> None:
    typer.echo("Another priem works on this database: waiting a minute for it to end.", err=True)


@commands.command()
def check(config: Config = None) -> None:
    """Say in words what is wrong in the configuration and which messenger answers."""
    from app.checks import inspect_settings
    from app.loop import run_in_loop

    settings = settings_of(config)
    findings = run_in_loop(lambda: inspect_settings(settings, HEALTH_TIMEOUT_SECONDS))
    for finding in findings:
        typer.echo(finding.line())
    if any(finding.is_wrong for finding in findings):
        raise typer.Exit(1)


@commands.command()
def migrate(
    without_copy: Annotated[
        bool, typer.Option("--without-copy", help="Do not copy the data before; for when there is no room.")
    ] = False,
    config: Config = None,
) -> None:
    """Create the database or bring its schema up to date; what is in it is copied before."""
    from storage.migrate import migrate as bring_up_to_date
    from storage.migrate import pending

    settings = settings_of(config)
    if not pending(settings.storage.url):
        typer.echo("The database is up to date.")
        return
    if not without_copy and (copy := _copy_before_migrating(settings)) is not None:
        typer.echo(f"A copy of what was there before lies in {copy}.")
    bring_up_to_date(settings.storage.url)
    typer.echo("The database has been brought up to date.")


def _copy_before_migrating(settings: Settings) -> Path | None:
    """The copy of what a migration is about to change; None when there is nothing to change or to lose."""
    from app.clock import now
    from app.copying import before_migrating

    return before_migrating(settings, now())


class Switch(StrEnum):
    """How `priem maintenance` is told."""

    ON = "on"
    OFF = "off"


@commands.command("maintenance")
def announce_maintenance(
    switch: Annotated[Switch, typer.Argument(help="on or off.", show_default=False)],
    until: Annotated[str, typer.Option(help="When it is over: 11:30, or 2026-11-30 11:30.")] = "",
    reason: Annotated[str, typer.Option(help="What is done, for clients: «обновляем программу».")] = "",
    config: Config = None,
) -> None:
    """Tell clients who write that answers come later; everything they write is kept as always."""
    from app.clock import now
    from storage import maintenance

    settings = settings_of(config)
    with database_of(settings) as database:
        if switch is Switch.OFF:
            with database.begin() as session:
                ended = maintenance.call_off(session, now())
            typer.echo("It is over." if ended else "Nothing was announced.")
            return
        over = moment_of("--until", until, settings, now())
        with database.begin() as session:
            maintenance.announce(session, over, reason, now())
    local = over.astimezone(settings.firm.calendar().zone)
    typer.echo(f"Announced until {local:%Y-%m-%d %H:%M}; the service says so within a minute.")
