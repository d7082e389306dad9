"""What `priem check` looks at: the configuration, the database, the files, every messenger."""

from __future__ import annotations

import asyncio
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from app import clock
from app.service import lent_to_channels
from app.settings import Scan, Settings, channel_kinds
from bots.base import MAX_FILE_BYTES, Health
from notifications.texts import Catalogue
from storage import reports
from storage.copy_places import PlaceError, open_place
from storage.engine import open_database
from storage.object_store import ObjectStore, StoreUnreachable
from storage.scanning import Clamd, ScannerSilent

_FEWEST_DIFFERENT_CHARACTERS = 8
_FEWEST_BITS = 80
_EXAMPLE_WORDS = ("change", "example", "secret", "password", "0123456789", "qwerty", "replace")
_THIS_MACHINE = frozenset(("127.0.0.1", "::1", "localhost"))
_DEBUG_VARIABLES = ("FLASK_DEBUG", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE")
_SCANNER_SECONDS = 10.0
_READ_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    about: str
    told: str
    is_wrong: bool = False
    is_doubtful: bool = False
    """Whether it works, but somebody should look whether it is meant so."""

    def line(self) -> str:
        """`ok`, `warn` or `WRONG`, about what, and what there is to say."""
        verdict = "WRONG" if self.is_wrong else "warn" if self.is_doubtful else "ok"
        return f"{verdict:6}{self.about}: {self.told}"


_UP_TO_DATE = Finding("database", "answers and is up to date")


async def inspect_settings(settings: Settings, timeout_seconds: float) -> list[Finding]:
    """Look at everything; messengers are asked at the same time, each for so long at most."""
    kinds = channel_kinds()
    database = await asyncio.to_thread(_database, settings)
    findings = [*_configuration(settings), database]
    findings.append(await asyncio.to_thread(_files, settings))
    findings.append(await asyncio.to_thread(_copies, settings))
    findings += await asyncio.to_thread(lambda: [*_doors(settings)])
    traffic = dict.fromkeys(settings.bots, "")
    if database == _UP_TO_DATE:
        traffic = await asyncio.to_thread(_traffic, settings)
    findings += [
        Finding(name, f"a page of our own: {settings.server.public_url}{kinds[name].own_page}{traffic[name]}")
        for name in settings.bots
        if kinds[name].own_page
    ]
    if not settings.bots:
        told = "none is switched on: add a section such as [bots.webchat]"
        return [*findings, Finding("messengers", told, is_wrong=True)]
    answers = await ask_messengers(settings, timeout_seconds)
    for name, health in answers.items():
        told = health.detail or ("answers" if health.reachable else "does not answer")
        findings.append(Finding(name, told + traffic[name], is_wrong=not health.reachable))
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
    """Whether it could be guessed: few characters, few different ones, a word out of an example."""
    bits = len(secret_key) * math.log2(max(2, len(set(secret_key))))
    return (
        len(set(secret_key)) < _FEWEST_DIFFERENT_CHARACTERS
        or bits < _FEWEST_BITS
        or any(word in secret_key.lower() for word in _EXAMPLE_WORDS)
    )


def _doors(settings: Settings) -> Iterator[Finding]:
    """What lets in whom it should not."""
    yield from _opened_to_others(settings)
    address = urlsplit(settings.server.public_url)
    if address.scheme == "http" and not _is_this_machine(address.hostname or ""):
        told = (
            f"{settings.server.public_url}: what is typed goes unlocked through the Internet; set up https://"
        )
        yield Finding("server.public_url", told, is_doubtful=True)
    if settings.server.host not in _THIS_MACHINE and address.scheme == "https":
        told = f"{settings.server.host} is reached past the web server in front: write 127.0.0.1 if you can"
        yield Finding("server.host", told, is_doubtful=True)
    if settings.server.host not in _THIS_MACHINE and _trusts_this_machine_alone(settings):
        told = (
            f"{settings.server.host} is reached from elsewhere, and only this machine may say for whom: "
            "write the address of a web server in front, or all visitors have one and the same"
        )
        yield Finding("server.trusted_proxies", told, is_doubtful=True)
    for variable in _DEBUG_VARIABLES:
        if os.environ.get(variable, "").lower() not in ("", "0", "false"):
            told = f"debug mode is on by {variable}: unset it, errors would show what they hold"
            yield Finding("environment", told, is_wrong=True)
    if (without := _without_factor(settings)) and not settings.server.require_second_factor:
        told = (
            f"{without} director(s) and administrator(s) sign in by password alone: "
            "set server.require_second_factor = true"
        )
        yield Finding("second factor", told, is_doubtful=True)
    if settings.scan is not None:
        yield _scanner(settings.scan)


def _opened_to_others(settings: Settings) -> Iterator[Finding]:
    """What other users of this machine could read: the folders and files that hold clients' data."""
    if os.name != "posix":
        return
    url = settings.storage.url.partition("?")[0]
    database = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    places = (
        ("database", [database, Path(f"{database}-wal")] if database else []),
        ("files", [settings.storage.folder]),
        ("copies", [settings.backup.folder]),
    )
    for about, paths in places:
        for path in paths:
            if not path.exists() or not path.stat().st_mode & _READ_BY_OTHERS:
                continue
            mode = "700" if path.is_dir() else "600"
            told = f"other users of this machine can read it: run `chmod {mode} {path}`"
            yield Finding(about, told, is_doubtful=True)


def _without_factor(settings: Settings) -> int:
    """How many of those who may change everything have no second factor; 0 while nobody can say."""
    from sqlalchemy import func, select
    from sqlalchemy.exc import SQLAlchemyError
    from sqlmodel import col

    from admin.rights import must_have_factor
    from router.model import Role
    from storage.migrate import MigrationError, missing, pending
    from storage.models import Staff

    roles = [role.value for role in Role if must_have_factor(role)]
    try:
        if missing(settings.storage.url) or pending(settings.storage.url):
            return 0
        database = open_database(settings.storage.url)
        try:
            with database.read() as session:
                query = select(func.count()).where(
                    col(Staff.active), col(Staff.role).in_(roles), col(Staff.password_hash) != "",
                    col(Staff.totp_secret) == "",
                )  # fmt: skip
                return int(session.execute(query).scalar_one())
        finally:
            database.sync_engine.dispose()
    except (MigrationError, SQLAlchemyError):
        return 0


def _scanner(scan: Scan) -> Finding:
    try:
        Clamd(scan.clamd, min(scan.timeout_seconds, _SCANNER_SECONDS)).ping()
    except ScannerSilent as silent:
        meanwhile = (
            "new files are held back" if scan.when_down == "hold" else "new files are given out unscanned"
        )
        return Finding("scan.clamd", f"{scan.clamd}: {silent}; {meanwhile}", is_wrong=True)
    return Finding("scan.clamd", f"{scan.clamd} answers")


def _trusts_this_machine_alone(settings: Settings) -> bool:
    return all(ip_network(proxy).is_loopback for proxy in settings.server.trusted_proxies)


def _is_this_machine(host: str) -> bool:
    return host in _THIS_MACHINE or host.endswith(".localhost")


def _database(settings: Settings) -> Finding:
    from sqlalchemy.exc import SQLAlchemyError

    from storage.engine import DatabaseUrlError
    from storage.migrate import MigrationError, broken_restore, missing, pending

    try:
        if (left := broken_restore(settings.storage.url)) is not None:
            return _half_restored(settings.storage.url, left)
        if missing(settings.storage.url):
            return Finding("database", "is not there yet: `priem run` will create it")
        if pending(settings.storage.url):
            return Finding("database", "of an older version: `priem run` will bring it up to date")
    except (MigrationError, DatabaseUrlError) as error:
        return Finding("database", str(error), is_wrong=True)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return Finding("database", f"does not answer: {reason}", is_wrong=True)
    return _UP_TO_DATE


def _traffic(settings: Settings) -> dict[str, str]:
    """What went through each messenger last."""
    database, now = open_database(settings.storage.url), clock.now()
    try:
        with database.read() as session:
            found = reports.figures(session, now)
    finally:
        database.sync_engine.dispose()
    zone = settings.firm.calendar().zone

    def moment(at: datetime | None) -> str:
        return f"{at.astimezone(zone):%Y-%m-%d %H:%M}" if at else "never"

    def waits(channel: str) -> str:
        seconds = found.oldest_letter_seconds.get(channel)
        return "no letter waits" if seconds is None else f"the oldest letter waits for {seconds} s"

    return {
        name: f"; last came {moment(found.last_inbound.get(name))}, "
        f"last delivered {moment(found.last_delivered.get(name))}, {waits(name)}"
        for name in settings.bots
    }


def _half_restored(url: str, left: Path) -> Finding:
    from storage.migrate import missing

    if missing(url):
        told = f"a restore was broken off: repeat it, or delete {left} to begin with an empty one"
        return Finding("database", told, is_wrong=True)
    told = f"a restore was broken off and has changed nothing: repeat it, or delete {left}"
    return Finding("database", told, is_doubtful=True)


def _copies(settings: Settings) -> Finding:
    """Nightly copies that are off are told, but are no mistake: somebody may copy in another way."""
    plan, folder = settings.backup.plan(settings.firm.calendar().zone), settings.backup.folder
    if not plan.is_on:
        told = f"none are made at night: {plan.why_off}; somebody must copy in another way"
        if plan.at is not None:
            told += ', which at = "" says; else the directors are told each day that there is no copy'
        return Finding("copies", told, is_doubtful=True)
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
