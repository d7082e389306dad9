"""`priem backup`, `priem verify`, `priem restore`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.shared import PLAIN, CommandError, Config, settings_of

if TYPE_CHECKING:
    from app.settings import Settings
    from storage.backup import Key

PASSPHRASE_VARIABLE = "PRIEM_BACKUP_PASSPHRASE"  # noqa: S105 - a variable's name

commands = typer.Typer(**PLAIN)

Recipient = Annotated[
    str, typer.Option(help="age's public key (age1…) to lock the copy for; left out: a passphrase.")
]
Identity = Annotated[
    Path | None,
    typer.Option(help="The file with age's identity, for a copy locked by --recipient.", show_default=False),
]


@commands.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes; an older one of this name is replaced.")],
    recipient: Recipient = "",
    config: Config = None,
) -> None:
    """Copy the database and the files, locked, while the service runs."""
    from app.clock import now
    from app.copying import by_hand

    settings = settings_of(config)
    manifest = by_hand(settings, file, _backup_key(settings, recipient=recipient), now())
    typer.echo(_told_of(manifest.rows, manifest.files, manifest.made_at))


@commands.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The copy.")],
    identity: Identity = None,
    config: Config = None,
) -> None:
    """Restore a copy into a temporary place and look whether the firm could go on from there."""
    from storage.backup import verify as tried

    verdict = tried(file, _backup_key(settings_of(config), identity=identity))
    if verdict.manifest is not None:
        typer.echo(_told_of(verdict.manifest.rows, verdict.manifest.files, verdict.manifest.made_at))
    if not verdict.whole:
        raise CommandError(" ".join(verdict.troubles))
    typer.echo("The copy is whole: it was restored and read.")


@commands.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The copy.")],
    identity: Identity = None,
    replace: Annotated[bool, typer.Option("--replace", help="There is data already: replace it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again; only with --replace.")] = False,
    faulty: Annotated[
        bool, typer.Option("--faulty", help="Bring it back although the trial found faults in it.")
    ] = False,
    config: Config = None,
) -> None:
    """Bring a copy back to where the configuration points. Live data is not overwritten unless told twice."""
    from app.clock import now
    from app.server import listening
    from bots.base import MAX_FILE_BYTES
    from storage import backup as copies
    from storage.ownership import at_work, sole_process

    settings = settings_of(config)
    _refuse_as_root(settings)
    url, key = settings.storage.url, _backup_key(settings, identity=identity)
    # Whoever has the port, or the file's lock, or a row among the processes writes into the database.
    with listening(settings.server.host, settings.server.port), sole_process(url, 0):
        if others := at_work(url):
            raise CommandError(f"Nothing was changed: priem is at work on it ({', '.join(others)}): stop it.")
        if copies.is_live(url):
            if not replace:
                raise CommandError("There is data already: to replace it, repeat with --replace.")
            if not yes and not typer.confirm("Replace all present data with the copy?"):
                raise CommandError("Nothing was changed.")
        # Whatever the copy lacks must be known before the present data is moved.
        try:
            key = copies.unlocked(file, key)
        except copies.BackupError as error:
            raise CommandError(f"Nothing was changed: {error}") from error
        verdict = copies.verify(file, key)
        if not verdict.whole and not (faulty and verdict.manifest is not None):
            way_out = " To bring it back all the same, repeat with --faulty." if verdict.manifest else ""
            raise CommandError(f"Nothing was changed: {' '.join(verdict.troubles)}{way_out}")
        with _nothing_changed(url):
            store = settings.storage.open_files(MAX_FILE_BYTES)
            if verdict.manifest is not None:
                here = settings.storage.files
                folder = here if isinstance(here, Path) else None
                copies.refuse_without_room(verdict.manifest, url, store, folder)
            back = copies.bring_back(file, key, url, store, now())
    typer.echo(_told_of(back.manifest.rows, back.manifest.files, back.manifest.made_at))
    if back.aside is not None:
        typer.echo(f"What was there before lies in {back.aside}.")


def _refuse_as_root(settings: Settings) -> None:
    """What root writes into another user's folders the service could not open."""
    if os.name != "posix" or os.geteuid() != 0:
        return
    for folder in settings.storage.live_folders():
        if folder.exists() and (owner := folder.stat().st_uid) != 0:
            name = _name_of(owner)
            told = f"{folder} belongs to {name}: repeat it as that user, with `sudo -u {name}`."
            raise CommandError(f"Nothing was changed: {told}")


def _name_of(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


@contextmanager
def _nothing_changed(url: str) -> Iterator[None]:
    """Say with every failure that the data of before is as it was, and where."""
    from app.commands.mistakes import sentence_of
    from storage.migrate import missing, parsed_url

    place = None if missing(url) else parsed_url(url).database
    told = f"Nothing was changed: all data is where it was, in {place}." if place else "Nothing was changed."
    try:
        yield
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            error.add_note(told)
            raise
        raise CommandError(f"{told} {sentence}") from error


def _backup_key(settings: Settings, *, recipient: str = "", identity: Path | None = None) -> Key:
    """What a copy is locked with and opened with.

    A key that is named comes first, then the configured one; without anything else the key of the service
    is the passphrase. To open a copy that one is tried, too.
    """
    from storage.backup import Key

    secret_key = settings.server.secret_key.get_secret_value()
    named = os.environ.get(PASSPHRASE_VARIABLE, "")
    passphrase = named or settings.backup.passphrase.get_secret_value() or secret_key
    recipient = recipient or ("" if named else settings.backup.public_key)
    try:
        told = identity.read_text(encoding="utf-8") if identity else ""
    except OSError as error:
        raise CommandError(f"{identity} cannot be read: {error.strerror}.") from error
    # age's own files begin with comments.
    lines = [line for line in told.splitlines() if line and not line.startswith("#")]
    return Key(passphrase, recipient, lines[0] if lines else "", other_passphrase=secret_key)


def _told_of(rows: Mapping[str, int], files: int, made_at: str) -> str:
    return (
        f"Copy of {made_at}: {rows.get('request', 0)} requests, {rows.get('client', 0)} clients, "
        f"{rows.get('message', 0) + rows.get('letter', 0)} messages, {files} files."
    )
