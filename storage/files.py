"""Keeps received files by their content, and signs the links under which they are fetched again."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from io import FileIO
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from itsdangerous import BadData, URLSafeSerializer

from forms.texts import Text, _
from storage.inspection import Verdict, honest_name, inspect, safe_name, too_big

BATCH_BYTES = 256 * 1024
"""How much is collected before a thread writes it: a hop per network chunk would cost more."""


class NoSuchFile(LookupError):  # noqa: N818 - the name says what happened
    """No file with this digest is kept."""


class StorageFull(OSError):  # noqa: N818 - the name says what happened
    """The disk has no room for the file; free some, and let the file be sent again."""

    text: Text = _(
        "Не получилось сохранить файл: на сервере кончилось место. Пришлите его, пожалуйста, позже."
    )


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file as it was kept. A refused one is not kept: its `sha256` is empty, its verdict says why."""

    sha256: str
    size_bytes: int
    name: str
    verdict: Verdict


class KeptFiles(Protocol):
    """Where received files are kept, each under its SHA-256: a folder (`FileStore`) or S3 (`ObjectStore`).

    A file appears under its digest whole and durably, or not at all. All but `keep` block: call them in a
    thread. Where the place itself cannot be reached they raise an OSError.
    """

    @property
    def max_bytes(self) -> int:
        """What is bigger is refused."""

    async def keep(self, chunks: AsyncIterator[bytes], name: str, voice: bool = False) -> KeptFile:
        """Store a stream if its content is allowed; `voice` lets audio in. Raises StorageFull.

        Reading stops at `max_bytes`. Nothing stays behind on a refusal, an error or a cancellation.
        """

    def keep_sync(self, source: Path | bytes | BinaryIO, name: str, voice: bool = False) -> KeptFile:
        """Do the same for a file, bytes or an open stream, in the calling thread."""

    def path(self, sha256: str) -> Path:
        """Where the whole file can be read on this machine, for the next hour. Raises NoSuchFile."""

    def open(self, sha256: str) -> BinaryIO:
        """Open a kept file for reading from its beginning. Raises NoSuchFile."""

    def size_bytes(self, sha256: str) -> int:
        """How big a kept file is. Raises NoSuchFile."""

    def every_digest(self) -> Iterator[str]:
        """The digest of each kept file, in order."""

    def put_back(self, sha256: str, content: IO[bytes]) -> str:
        """Write a file that was judged before; returns the digest of what came, kept only if it is that."""

    def forget(self, sha256: str, undisturbed_seconds: float, now: datetime) -> bool:
        """Delete a kept file. False while it is younger than that: it may have just come once more."""

    def sweep_temporary(self, older_than_seconds: float, now: datetime) -> int:
        """Delete what is left half-written or was only lent for a while; returns how many files it was."""


async def keep_stream(arrival: Arrival, chunks: AsyncIterator[bytes], name: str, *, voice: bool) -> KeptFile:
    """Take a stream in, judge it and keep it; what is read is written by threads."""
    batch = bytearray()
    try:
        async for chunk in chunks:
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                taken, batch = batch, bytearray()
                if not await asyncio.to_thread(arrival.write, taken):
                    break
        return await asyncio.to_thread(arrival.finish, batch, name, voice)
    finally:
        await asyncio.to_thread(arrival.discard)
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def keep_source(arrival: Arrival, source: Path | bytes | BinaryIO, name: str, *, voice: bool) -> KeptFile:
    """Do the same in the calling thread."""
    try:
        for batch in _batches(source):
            if not arrival.write(batch):
                break
        return arrival.finish(b"", name, voice)
    finally:
        arrival.discard()


def put_back_source(arrival: Arrival, sha256: str, content: IO[bytes]) -> str:
    """Keep what comes, unjudged, if it has that digest; returns the digest it has."""
    try:
        for batch in iter(lambda: content.read(BATCH_BYTES), b""):
            arrival.write(batch)
        return arrival.settle_as(sha256)
    finally:
        arrival.discard()


@dataclass(frozen=True, slots=True)
class FileStore:
    """Files in a folder: the `KeptFiles` of one machine. The same content is stored once.

    A file appears under its digest whole and flushed to the disk, or not at all.
    """

    folder: Path
    max_bytes: int

    async def keep(self, chunks: AsyncIterator[bytes], name: str, voice: bool = False) -> KeptFile:
        """Store a stream if its content is allowed; `voice` lets audio in. Raises StorageFull."""
        return await keep_stream(self._arrival(self.max_bytes), chunks, name, voice=voice)

    def keep_sync(self, source: Path | bytes | BinaryIO, name: str, voice: bool = False) -> KeptFile:
        """Do the same for a file, bytes or an open stream, in the calling thread."""
        return keep_source(self._arrival(self.max_bytes), source, name, voice=voice)

    def _arrival(self, max_bytes: int) -> Arrival:
        return Arrival(self.folder, max_bytes, partial(_settle, self.folder))

    def open(self, sha256: str) -> BinaryIO:
        """Open a kept file for reading. Raises NoSuchFile."""
        return self.path(sha256).open("rb")

    def size_bytes(self, sha256: str) -> int:
        """How big a kept file is. Raises NoSuchFile."""
        return self.path(sha256).stat().st_size

    def every_digest(self) -> Iterator[str]:
        """The digest of each kept file, in order."""
        for path in self.every_path():
            yield path.name

    def path(self, sha256: str) -> Path:
        """Where the file with this digest lies. Raises NoSuchFile."""
        check_digest(sha256)
        path = _place(self.folder, sha256)
        if not path.is_file():
            raise NoSuchFile(f"No file {sha256} is kept")
        return path

    def every_path(self) -> Iterator[Path]:
        """Where each kept file lies, by digest."""
        if self.folder.is_dir():
            yield from sorted(path for path in self.folder.glob("*/*/*") if _SHA256.fullmatch(path.name))

    def put_back(self, sha256: str, content: IO[bytes]) -> str:
        """Write a file that was judged before; returns the digest of what came, kept only if it is that."""
        return put_back_source(self._arrival(UNLIMITED), sha256, content)

    def forget(self, sha256: str, undisturbed_seconds: float, now: datetime) -> bool:
        """Delete a kept file. False while it is younger than that: it may have just come once more."""
        try:
            path = self.path(sha256)
            if now.timestamp() - path.stat().st_mtime < undisturbed_seconds:
                return False
            path.unlink()
        except (NoSuchFile, FileNotFoundError):
            return True
        _flush_folder(path.parent)
        return True

    def sweep_temporary(self, older_than_seconds: float, now: datetime) -> int:
        """Delete what an interrupted process left half-written; returns how many files it was."""
        return sweep_old(self.folder.glob(f"{TEMPORARY_PREFIX}*"), older_than_seconds, now)


def sweep_old(paths: Iterable[Path], older_than_seconds: float, now: datetime) -> int:
    """Delete those of these files that nobody has written for so long; returns how many it was."""
    before = now.timestamp() - older_than_seconds
    swept = 0
    for path in paths:
        try:
            if path.stat().st_mtime < before:
                path.unlink()
                swept += 1
        except FileNotFoundError:
            continue  # its own process finished it meanwhile
    return swept


def check_digest(sha256: str) -> None:
    """Raise NoSuchFile for what is not a digest as we write it: nothing else may become a path."""
    if not _SHA256.fullmatch(sha256):
        raise NoSuchFile("This is not a SHA-256 digest in lower-case hexadecimal digits")


# --- One arriving file ---------------------------------------------------------------------------------

_SHA256 = re.compile(r"[0-9a-f]{64}")
TEMPORARY_PREFIX = ".arriving-"
UNLIMITED = 2**63
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@dataclass(slots=True)
class Arrival:
    """A file on its way in. Blocking.

    It grows in a temporary file of `folder`; `settle` then puts the flushed file where its digest says,
    durably. The lock matters on a cancellation: the thread that writes is not cancelled with its awaiter, and
    must not write into a descriptor that was closed and given to another file.
    """

    folder: Path
    max_bytes: int
    settle: Callable[[Path, str], None]
    stream: FileIO | None = None
    discarded: bool = False
    size_bytes: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def temporary(self) -> Path:
        """Where it grows."""
        return self.folder / f"{TEMPORARY_PREFIX}{self.token}"

    def write(self, batch: bytes | bytearray) -> bool:
        """Add a batch; False when the file has become too big, and nothing more need be read."""
        with self.lock, _room():
            self.size_bytes += len(batch)
            if self.discarded or self.size_bytes > self.max_bytes:
                return False
            stream = self._opened()
            self.digest.update(batch)
            rest = memoryview(batch)
            # A disk that fills up takes a part first and refuses only the next write.
            while rest:
                rest = rest[stream.write(rest) :]
            return True

    def finish(self, batch: bytes | bytearray, name: str, voice: bool) -> KeptFile:
        """Add the last batch, judge the whole, and keep it if it is allowed."""
        fits = self.size_bytes <= self.max_bytes and self.write(batch)
        with self.lock, _room():
            if not fits or self.stream is None or self.discarded:
                return self._refused(name, too_big(name, self.max_bytes))
            verdict = inspect(self.temporary, name, voice)
            if not verdict.accepted:
                return self._refused(name, verdict)
            os.fsync(self.stream.fileno())
            # Windows moves no open file.
            self.stream.close()
            sha256 = self.digest.hexdigest()
            self.settle(self.temporary, sha256)
            return KeptFile(sha256, self.size_bytes, honest_name(name, verdict.media_type), verdict)

    def settle_as(self, sha256: str) -> str:
        """Keep what came, unjudged, if it has this digest; returns the digest it has."""
        with self.lock, _room():
            found = self.digest.hexdigest()
            if found == sha256 and not self.discarded:
                stream = self._opened()
                os.fsync(stream.fileno())
                stream.close()
                self.settle(self.temporary, sha256)
            return found

    def discard(self) -> None:
        """Close and delete the temporary file, if it is still there."""
        with self.lock:
            self.discarded = True
            if self.stream is not None:
                self.stream.close()
                self.temporary.unlink(missing_ok=True)

    def _opened(self) -> FileIO:
        if self.stream is None:
            make_folder(self.folder)
            # Unbuffered: whatever was counted is in the file when it is inspected.
            self.stream = FileIO(self.temporary, "xb", opener=_privately)
        return self.stream

    def _refused(self, name: str, verdict: Verdict) -> KeptFile:
        return KeptFile("", self.size_bytes, safe_name(name, verdict.media_type), verdict)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(error.errno, "No room for a received file; free some on this disk") from error
        raise


def _batches(source: Path | bytes | BinaryIO) -> Iterator[bytes]:
    match source:
        case bytes():
            yield source
        case Path():
            with source.open("rb") as stream:
                yield from iter(lambda: stream.read(BATCH_BYTES), b"")
        case _:
            yield from iter(lambda: source.read(BATCH_BYTES), b"")


# --- Places on the disk --------------------------------------------------------------------------------


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _place(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256[2:4] / sha256


def _settle(folder: Path, temporary: Path, sha256: str) -> None:
    """Move a flushed file to its place, and flush the folders that name it."""
    place = _place(folder, sha256)
    make_folder(place.parent)
    temporary.replace(place)
    # The outer folders too, even if they exist: another process may have made them a moment ago.
    for parent in (place.parent, place.parent.parent, folder):
        _flush_folder(parent)


def make_folder(folder: Path) -> None:
    """Make a folder for our eyes only, durably, if it is not there."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows flushes folders itself and refuses to open them
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- Links ---------------------------------------------------------------------------------------------


class LinkForged(Exception):  # noqa: N818 - the name says what happened
    """The link was not signed by us, or it was damaged on its way."""

    text: Text = _("Ссылка не открывается. Скопируйте её целиком или откройте файл из заявки.")


class LinkExpired(Exception):  # noqa: N818 - the name says what happened
    """The link was ours, but its time is over; a fresh one can be made."""

    text: Text = _("Срок ссылки истёк. Откройте файл из заявки: там появится новая ссылка.")


@dataclass(frozen=True, slots=True)
class FileLink:
    """What a link leads to."""

    sha256: str
    name: str


@dataclass(frozen=True, slots=True)
class FileLinks:
    """Links to kept files that work without a login, for a limited time.

    Whoever has the link has the file; there is no way to take one back but to change the key.
    """

    secret_key: str = field(repr=False)
    public_url: str = ""

    def make(self, sha256: str, name: str, now: datetime, valid_seconds: float) -> str:
        """Make an address `<public_url>/files/<token>`; only a path when no public address is set."""
        expires_at = int(now.timestamp() + valid_seconds)
        token = self._serializer().dumps([sha256, safe_name(name), expires_at])
        return f"{self.public_url.rstrip('/')}/files/{token}"

    def read(self, token: str, now: datetime) -> FileLink:
        """Read the last part of the address. Raises LinkForged or LinkExpired."""
        try:
            sha256, name, expires_at = self._serializer().loads(token)
        except (BadData, ValueError, TypeError) as error:
            raise LinkForged from error
        if now.timestamp() >= expires_at:
            raise LinkExpired
        return FileLink(sha256, name)

    def _serializer(self) -> URLSafeSerializer:
        # The salt keeps signatures made for another purpose with the same key from passing here.
        return URLSafeSerializer(
            self.secret_key, salt="priem.files", signer_kwargs={"digest_method": hashlib.sha256}
        )
