"""What `priem check` looks at: the configuration, the database, the files, every messenger."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app import clock
from app.service import lent_to_channels
from app.settings import Settings, channel_kinds
from bots.base import MAX_FILE_BYTES, Health
from notifications.texts import Catalogue
from storage.copy_places import PlaceError, open_place
from storage.engine import open_database
from storage.object_store import ObjectStore, StoreUnreachable

_FEWEST_DIFFERENT_CHARACTERS = 8
_READ_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    about: str
    told: str
    is_wrong: bool = False

    def line(self) -> str:
        """`ok` or `WRONG`, about what, and what there is to say."""
        return f"{'WRONG' if self.is_wrong else 'ok':6}{self.about}: {self.told}"


async def inspect_settings(settings: Settings, timeout_seconds: float) -> list[Finding]:
    """Look at everything; messengers are asked at the same time, each for so long at most."""
    kinds = channel_kinds()
    findings = [*_configuration(settings), await asyncio.to_thread(_database, settings)]
    findings.append(await asyncio.to_thread(_files, settings))
    findings.append(await asyncio.to_thread(_copies, settings))
    findings += [
        Finding(name, f"a page of our own: {settings.server.public_url}{kinds[name].own_page}")
        for name in settings.bots
        if kinds[name].own_page
    ]
    if not settings.bots:
        told = "none is switched on: add a section such as [bots.webchat]"
        return [*findings, Finding("messengers", told, is_wrong=True)]
    answers = await ask_messengers(settings, timeout_seconds)
    for name, health in answers.items():
        told = health.detail or ("answers" if health.reachable else "does not answer")
        findings.append(Finding(name, told, is_wrong=not health.reachable))
    return findings


async def ask_messengers(settings: Settings, timeout_seconds: float) -> dict[str, Health]:
    """Ask every messenger that is not a page of ours whether it knows us, all at the same time."""
    kinds = channel_kinds()
    names = [name for name in settings.bots if not kinds[name].own_page]
    answers = await asyncio.gather(*(_ask(settings, name, timeout_seconds) for name in names))
    return dict(zip(names, answers, strict=True))


async def _ask(settings: Settings, name: str, timeout_seconds: float) -> Health:
    """Open one messenger's channel, ask whether it knows us, and close it."""
    kind = channel_kinds()[name]
    database = open_database(settings.storage.url)
    store = settings.storage.open_files(MAX_FILE_BYTES)
    say = Catalogue.open(settings.firm.language).say
    channel = kind.open(settings.bots[name], lent_to_channels(settings, database, store, say, clock.now))
    try:
        async with asyncio.timeout(timeout_seconds):
            return await channel.health()
    except TimeoutError:
        return Health(reachable=False, detail=f"No answer within {timeout_seconds:.0f} seconds.")
    finally:
        await channel.close()
        await database.close()


def _configuration(settings: Settings) -> Iterator[Finding]:
    yield Finding("configuration", str(settings.file or "from the environment"))
    if settings.file is not None and os.name == "posix" and settings.file.stat().st_mode & _READ_BY_OTHERS:
        told = f"others can read the tokens in it: run `chmod 600 {settings.file}`"
        yield Finding("configuration", told, is_wrong=True)
    if _is_weak(settings.server.secret_key.get_secret_value()):
        told = 'easy to guess: write what `python -c "import secrets; print(secrets.token_urlsafe())"` prints'
        yield Finding("server.secret_key", told, is_wrong=True)
    year = clock.now().year
    if not settings.firm.calendar().knows_year(year):
        told = f"the moved days off of {year} are unknown: list them in firm.extra_days_off"
        yield Finding("calendar", told, is_wrong=True)


def _is_weak(secret_key: str) -> bool:
    return len(set(secret_key)) < _FEWEST_DIFFERENT_CHARACTERS or "change" in secret_key.lower()


def _database(settings: Settings) -> Finding:
    from sqlalchemy.exc import SQLAlchemyError

    from storage.engine import DatabaseUrlError
    from storage.migrate import MigrationError, missing, pending

    try:
        if missing(settings.storage.url):
            return Finding("database", "is not there yet: `priem run` will create it")
        if pending(settings.storage.url):
            return Finding("database", "of an older version: `priem run` will bring it up to date")
    except (MigrationError, DatabaseUrlError) as error:
        return Finding("database", str(error), is_wrong=True)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return Finding("database", f"does not answer: {reason}", is_wrong=True)
    return Finding("database", "answers and is up to date")


def _copies(settings: Settings) -> Finding:
    """Nightly copies that are off are told, but are no mistake: somebody may copy in another way."""
    plan, folder = settings.backup.plan(settings.firm.calendar().zone), settings.backup.folder
    if not plan.is_on:
        told = f"none are made at night: {plan.why_off}"
        return Finding("copies", f"{told}; somebody must copy in another way")
    nearest: Path = next(path for path in (folder, *folder.parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        return Finding("copies", f"{nearest} cannot be written to", is_wrong=True)
    address = settings.backup.address()
    if address is None:
        return Finding("copies", f"each night at {settings.backup.at} to {folder}; there is no second place")
    try:
        with open_place(address) as place:
            place.sizes()
    except PlaceError as error:
        return Finding("copies", f"the second place does not take any: {error}", is_wrong=True)
    return Finding("copies", f"each night at {settings.backup.at} to {folder} and {address.shown()}")


def _files(settings: Settings) -> Finding:
    found = _folder(settings.storage.folder)
    store = settings.storage.open_files(MAX_FILE_BYTES)
    if found.is_wrong or not isinstance(store, ObjectStore):
        return found
    try:
        store.check()
    except StoreUnreachable as error:
        return Finding("files", f"{store.bucket}: {error}", is_wrong=True)
    return Finding("files", str(store.bucket))


def _folder(folder: Path) -> Finding:
    nearest: Path = next(path for path in (folder, *folder.parents) if path.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding("files", str(folder))
    return Finding(
        "files", f"{nearest} cannot be written to: give it to the user of the service", is_wrong=True
    )
