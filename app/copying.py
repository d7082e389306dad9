"""One copy from its beginning to its end: written, proved, carried to the second place, the old ones thinned.

It is done by a process of its own (`python -m app.copying`), which gets its order and its secrets through
stdin: hours of packing must not slow down the service, and can be ended at any moment. Whatever goes
wrong is an outcome, not an exception.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import shutil
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from app.settings import Backup, Settings, Storage
from bots.base import MAX_FILE_BYTES
from notifications.copying import CopyTrouble
from notifications.faults import place_of
from storage import copies, migrate
from storage.backup import PARTIAL, TRIAL, BackupError, Key, NoRoom, Verdict, is_live, verify, write_copy
from storage.copies import CopyPlan, Outcome, Told, made_at, superfluous
from storage.copy_places import UNFINISHED, CopyPlace, PlaceError, open_place

NICENESS = 10
READ_BYTES = 1024 * 1024
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """What to copy, and what is known of earlier copies."""

    storage: Storage
    backup: Backup
    zone: str
    now: datetime
    last_bytes: int = 0
    """How big the last copy was."""
    whole: frozenset[str] = frozenset()
    """The names of the copies that were proved."""
    key: Key | None = None
    """Another key than the configured one."""
    before_revision: str = ""
    """Of the schema, when the copy is taken for a migration; then it stays on this machine."""

    def plan(self) -> CopyPlan:
        """What is settled."""
        return self.backup.plan(ZoneInfo(self.zone))


def carry_out(order: Order) -> Outcome:
    """Make the copy; blocks, for hours if there is much to copy."""
    folder = order.backup.folder
    configured = order.key or order.backup.key()
    assert configured is not None
    key = configured.with_witness()
    file = folder / copies.name_of(order.now, order.before_revision)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep_unfinished(folder)
        _refuse_without_room(order)
        files = order.storage.open_files(MAX_FILE_BYTES)
        manifest = write_copy(order.storage.url, files, file, key, order.now, keep_free=_keep_free(order))
        size_bytes, sha256 = file.stat().st_size, _sha256(_chunks(file))
    except NoRoom as error:
        return _failed(CopyTrouble.NO_ROOM, str(error))
    except BackupError as error:
        return _failed(CopyTrouble.NOT_WRITTEN, str(error))
    except (OSError, SQLAlchemyError) as error:
        return _failed(CopyTrouble.NOT_WRITTEN, f"{type(error).__name__} in {place_of(error)}.")
    verdict = _proved(order, file, key, manifest.row_bytes)
    outcome = Outcome(
        file.name, size_bytes, sha256, manifest.rows.get("request", 0), manifest.files, verdict.whole,
        None, tuple(_told_of(verdict)), verdict.manifest is not None,
    )  # fmt: skip
    # What cannot even be opened is no use elsewhere.
    if outcome.opens and not order.before_revision:
        outcome = _carried(order, file, outcome)
    return _thinned(order, outcome)


def _failed(what: CopyTrouble, detail: str) -> Outcome:
    return Outcome(troubles=(Told(what, detail),))


def _told_of(verdict: Verdict) -> Iterator[Told]:
    what = CopyTrouble.NO_ROOM if verdict.no_room else CopyTrouble.DAMAGED
    return (Told(what, trouble) for trouble in verdict.troubles)


def before_migrating(settings: Settings, now: datetime) -> Path | None:
    """Copy what a migration is about to change, and try the migration on the copy; blocks.

    Without a key of its own the copy is locked with `server.secret_key`, which lies on the same machine
    (docs/decisions/0009). None when there is nothing to migrate, or nothing in the database. Raises
    BackupError, and then nothing may be migrated.
    """
    url, backup = settings.storage.url, settings.backup
    if migrate.missing(url) or migrate.is_newest(url) or not is_live(url):
        return None
    key = backup.key() or Key(settings.server.secret_key.get_secret_value())
    zone, revision = settings.firm.time_zone, migrate.newest_revision()
    order = Order(settings.storage, backup, zone, now, key=key, before_revision=revision)
    outcome = carry_out(order)
    if not outcome.opens:
        why = " ".join(told.detail for told in outcome.troubles)
        raise BackupError(
            f"The database was left as it is, since it could not be copied before: {why} Mend that, or run "
            "`priem migrate --without-copy`."
        )
    return backup.folder / outcome.file_name


# --- this machine's disk -----------------------------------------------------------------------


def sweep_unfinished(folder: Path) -> None:
    """Delete what a copy that was broken off has left here."""
    for path in folder.glob(f".priem-*{PARTIAL}"):
        path.unlink(missing_ok=True)
    for path in folder.glob(f"{TRIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def _keep_free(order: Order) -> int:
    return order.storage.warn_free_megabytes * _MEGABYTE


def _refuse_without_room(order: Order) -> None:
    """Twice the last copy must fit; before the first one is known, twice the database."""
    parsed = migrate.parsed_url(order.storage.url)
    database = Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None
    known = order.last_bytes or (database.stat().st_size if database and database.exists() else 0)
    _refuse_less_than(2 * known, order)


def _refuse_less_than(needed_bytes: int, order: Order) -> None:
    free = shutil.disk_usage(order.backup.folder).free
    needed = needed_bytes + _keep_free(order)
    if free < needed:
        raise NoRoom(
            f"{free // _MEGABYTE} MB are free in {order.backup.folder}, and a copy wants "
            f"{needed // _MEGABYTE} MB."
        )


def _proved(order: Order, file: Path, key: Key, row_bytes: int) -> Verdict:
    try:
        # The rows become a database with its indexes.
        _refuse_less_than(2 * row_bytes, order)
    except NoRoom as error:
        return Verdict(None, (str(error),), no_room=True)
    return verify(file, key, scratch=order.backup.folder)


def _thinned(order: Order, outcome: Outcome) -> Outcome:
    """Delete the copies here that are no longer wanted; that one cannot be deleted harms nobody."""
    folder = order.backup.folder
    for name in _unwanted(order, (path.name for path in folder.iterdir()), outcome):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    return outcome


def _unwanted(order: Order, names: Iterable[str], outcome: Outcome) -> Collection[str]:
    plan = order.plan()
    whole = order.whole | {outcome.file_name} if outcome.whole else order.whole
    return superfluous(names, plan.rules, plan.zone, whole)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        yield from iter(lambda: content.read(READ_BYTES), b"")


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


# --- the second place --------------------------------------------------------------------------


def _carried(order: Order, file: Path, outcome: Outcome) -> Outcome:
    """Carry the copy to the second place, and those that it missed; then thin them there, too."""
    address = order.backup.address()
    if address is None:
        return outcome
    try:
        with open_place(address) as place:
            there = place.sizes()
            place.put(file)
            if _sha256(place.read(file.name)) != outcome.sha256:
                place.delete(file.name)
                detail = f"What {address.shown()} gave back is not what it was given."
                return _with(outcome, CopyTrouble.DAMAGED_THERE, detail)
            _catch_up(order, place, there, outcome)
            for name in [*_unwanted(order, place.sizes(), outcome), *_unfinished(there)]:
                place.delete(name)
    except PlaceError as error:
        return _with(outcome, CopyTrouble.NOT_CARRIED, str(error))
    except OSError as error:
        return _with(outcome, CopyTrouble.NOT_CARRIED, f"{type(error).__name__} in {place_of(error)}.")
    return replace(outcome, second_whole=True)


def _with(outcome: Outcome, what: CopyTrouble, detail: str) -> Outcome:
    return replace(outcome, second_whole=False, troubles=(*outcome.troubles, Told(what, detail)))


def _catch_up(order: Order, place: CopyPlace, there: Mapping[str, int], outcome: Outcome) -> None:
    """Carry what is wanted there and is missing, or has another length: the place was away for a while."""
    here = {
        path.name: path
        for path in order.backup.folder.iterdir()
        if path.name in order.whole and made_at(path.name) is not None
    }
    wanted = here.keys() - set(_unwanted(order, {*here, *there, outcome.file_name}, outcome))
    for name in sorted(wanted - {outcome.file_name}, reverse=True):
        if there.get(name) != here[name].stat().st_size:
            place.put(here[name])
            if _sha256(place.read(name)) != _sha256(_chunks(here[name])):
                raise PlaceError(f"{name} did not arrive as it is here.")


def _unfinished(there: Mapping[str, int]) -> Iterator[str]:
    return (name for name in there if made_at(name.removesuffix(UNFINISHED)) and name.endswith(UNFINISHED))


# --- the process of its own --------------------------------------------------------------------


def to_line(order: Order) -> bytes:
    """The order as the process reads it."""
    return base64.b64encode(pickle.dumps(order)) + b"\n"


def outcome_of(answer: bytes) -> Outcome:
    """What the process answered. Raises ValueError for no answer."""
    read = json.loads(answer)
    return Outcome(
        **read | {"troubles": tuple(Told(CopyTrouble(what), detail) for what, detail in read["troubles"])}
    )


def _to_answer(outcome: Outcome) -> str:
    told = [[each.what.value, each.detail] for each in outcome.troubles]
    return json.dumps(asdict(outcome) | {"troubles": told})


def _end_with_parent() -> None:
    """Whoever gave the order keeps stdin open: when it is closed, nobody waits any more."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Read the order from stdin, carry it out, write the outcome to stdout."""
    # The order comes from our own parent, through a pipe that nobody else can write to.
    order: Order = pickle.loads(base64.b64decode(sys.stdin.buffer.readline()))  # noqa: S301
    _end_with_parent()
    with suppress(AttributeError, OSError):
        os.nice(NICENESS)
    try:
        outcome = carry_out(order)
    except Exception as error:  # noqa: BLE001 - its words may hold what clients wrote
        outcome = _failed(CopyTrouble.NOT_WRITTEN, f"{type(error).__name__} in {place_of(error)}.")
    sys.stdout.write(_to_answer(outcome))
    sys.stdout.flush()


if __name__ == "__main__":
    # Under its own name, or the pickled order would be another class.
    from app.copying import main as run

    run()
