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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from app.settings import Backup, Settings, Storage
from bots.base import MAX_FILE_BYTES
from notifications.copying import CopyTrouble
from notifications.faults import place_of
from storage import copies, migrate
from storage.backup import (
    PARTIAL,
    TRIAL,
    BackupError,
    Key,
    Manifest,
    NoRoom,
    Verdict,
    is_live,
    verify,
    write_copy,
)
from storage.copies import CopyPlan, Outcome, Places, Proved, Told, made_at, superfluous
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
    whole: Mapping[str, Proved] = field(default_factory=dict)
    """The copies that were proved, by name."""
    places: Places | None = None
    """What lay where after the latest attempt."""
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
    if order.before_revision or not outcome.opens:
        return _thinned(order, outcome)
    return _looked_after(order, _thinned(order, _carried(order, file, outcome)))


def _failed(what: CopyTrouble, detail: str) -> Outcome:
    return Outcome(troubles=(Told(what, detail),))


def _told_of(verdict: Verdict) -> Iterator[Told]:
    what = CopyTrouble.NO_ROOM if verdict.no_room else CopyTrouble.DAMAGED
    return (Told(what, trouble) for trouble in verdict.troubles)


def by_hand(settings: Settings, file: Path, key: Key, now: datetime) -> Manifest:
    """Write a copy where an operator wants it; blocks. Raises BackupError, NoRoom.

    On the disk of the live data it leaves the service as much room as a nightly copy does.
    """
    storage, folder = settings.storage, _existing(file.absolute().parent)
    lives = {_existing(path).stat().st_dev for path in storage.live_folders()}
    keep_free = storage.warn_free_megabytes * _MEGABYTE if folder.stat().st_dev in lives else 0
    _refuse_less_than(_database_bytes(storage) + keep_free, folder)
    files = storage.open_files(MAX_FILE_BYTES)
    return write_copy(storage.url, files, file, key, now, keep_free=keep_free)


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
    known = order.last_bytes or _database_bytes(order.storage)
    _refuse_less_than(2 * known + _keep_free(order), order.backup.folder)


def _database_bytes(storage: Storage) -> int:
    """How long the file of SQLite is; what it holds takes less when it is packed."""
    file = storage.database_file
    return file.stat().st_size if file is not None and file.exists() else 0


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _refuse_less_than(needed_bytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise NoRoom(
            f"{free // _MEGABYTE} MB are free in {folder}, and a copy wants {needed_bytes // _MEGABYTE} MB."
        )


def _proved(order: Order, file: Path, key: Key, row_bytes: int) -> Verdict:
    try:
        # The rows become a database with its indexes.
        _refuse_less_than(2 * row_bytes + _keep_free(order), order.backup.folder)
    except NoRoom as error:
        return Verdict(None, (str(error),), no_room=True)
    return verify(file, key, scratch=order.backup.folder)


def _thinned(order: Order, outcome: Outcome) -> Outcome:
    """Delete the copies here that are no longer wanted; that one cannot be deleted harms nobody."""
    folder = order.backup.folder
    names = [path.name for path in folder.iterdir() if not order.before_revision or "-before-" in path.name]
    for name in _unwanted(order, names, outcome):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    return outcome


def _unwanted(order: Order, names: Iterable[str], outcome: Outcome) -> Collection[str]:
    plan = order.plan()
    whole = {*order.whole, outcome.file_name} if outcome.whole else order.whole.keys()
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
            _carry_again(order, place, here[name])


def _carry_again(order: Order, place: CopyPlace, file: Path) -> None:
    # What has rotted here must not take the place of what may be whole there.
    if _sha256(_chunks(file)) != order.whole[file.name].sha256:
        return
    place.put(file)
    if _sha256(place.read(file.name)) != order.whole[file.name].sha256:
        raise PlaceError(f"{file.name} did not arrive as it is here.")


def _unfinished(there: Mapping[str, int]) -> Iterator[str]:
    return (name for name in there if made_at(name.removesuffix(UNFINISHED)) and name.endswith(UNFINISHED))


# --- the copies of earlier nights ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Side:
    """What became of the copies in one place."""

    lying: Mapping[str, datetime]
    gone: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def _looked_after(order: Order, outcome: Outcome) -> Outcome:
    """See that what was kept here and there is still what it was; one older copy a night is read in full.

    What the second place alone has lost was carried there again, and is no trouble.
    """
    folder, before = order.backup.folder, order.places or Places()
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    here = _side(order, outcome, before.here, sizes, lambda name: _chunks(folder / name))
    there, healed = _Side({}), list[str]()
    address = order.backup.address()
    shown = address.shown() if address else ""
    if address is not None:
        known = before.there if before.second_place == shown else {}
        try:
            with open_place(address) as place:
                there = _side(order, outcome, known, place.sizes(), place.read)
                healed += [name for name in there.damaged if name in here.lying]
                for name in healed:
                    _carry_again(order, place, folder / name)
        except (PlaceError, OSError) as error:
            there, healed = _Side(known), []
            if outcome.second_whole:
                why = str(error) if isinstance(error, PlaceError) else type(error).__name__
                outcome = _with(outcome, CopyTrouble.NOT_CARRIED, why)
    told = [
        *(Told(CopyTrouble.VANISHED, f"{name} is not in {folder} any more.") for name in here.gone),
        *(
            Told(CopyTrouble.VANISHED, f"{name} is not in {shown} any more.")
            for name in there.gone
            if name not in here.lying
        ),
        *(
            Told(CopyTrouble.DAMAGED_LATER, f"{name} in {folder} is not what it was.")
            for name in here.damaged
        ),
        *(
            Told(CopyTrouble.DAMAGED_LATER, f"{name} in {shown} is not what it was{_again(name, healed)}.")
            for name in there.damaged
        ),
    ]
    lying = Places(here.lying, {**there.lying, **dict.fromkeys(healed, order.now)}, shown)
    rotten = {*here.damaged, *there.damaged} - set(healed)
    return replace(outcome, troubles=(*outcome.troubles, *told), places=lying, rotten=tuple(sorted(rotten)))


def _again(name: str, healed: Collection[str]) -> str:
    return ": it was carried there again" if name in healed else ""


def _side(
    order: Order,
    outcome: Outcome,
    before: Mapping[str, datetime],
    sizes: Mapping[str, int],
    read: Callable[[str], Iterable[bytes]],
) -> _Side:
    """Compare the names and the lengths of all, and the content of the one that was not read for longest."""
    older = {name: proved for name, proved in order.whole.items() if name != outcome.file_name}
    thinned = set(_unwanted(order, {*before, *sizes}, outcome))
    gone = tuple(sorted(before.keys() & older.keys() - sizes.keys() - thinned))
    # One that nobody has seen here yet was read when it was made.
    lying = {name: before.get(name) or made_at(name) or order.now for name in older.keys() & sizes.keys()}
    damaged = {name for name in lying if sizes[name] != older[name].size_bytes}
    unread = lying.keys() - damaged
    if unread:
        name = min(unread, key=lambda name: (lying[name], name))
        lying[name] = order.now
        if _sha256(read(name)) != older[name].sha256:
            damaged.add(name)
    lying = {name: at for name, at in lying.items() if name not in damaged}
    if outcome.whole and outcome.file_name in sizes:
        lying[outcome.file_name] = order.now
    return _Side(lying, gone, tuple(sorted(damaged)))


# --- the process of its own --------------------------------------------------------------------


def to_line(order: Order) -> bytes:
    """The order as the process reads it."""
    return base64.b64encode(pickle.dumps(order)) + b"\n"


def outcome_of(answer: bytes) -> Outcome:
    """What the process answered. Raises ValueError for no answer."""
    read = json.loads(answer)
    places = read["places"]
    told = {
        "troubles": tuple(Told(CopyTrouble(what), detail) for what, detail in read["troubles"]),
        "places": Places.from_json(places) if places else None,
        "rotten": tuple(read["rotten"]),
    }
    return Outcome(**read | told)


def _to_answer(outcome: Outcome) -> str:
    told = [[each.what.value, each.detail] for each in outcome.troubles]
    places = outcome.places.to_json() if outcome.places else None
    return json.dumps(asdict(replace(outcome, places=None)) | {"troubles": told, "places": places})


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
