"""Received files in S3-compatible storage, for a firm whose processes share no disk.

A file arrives in a temporary file of this machine, is judged there, and is put under its digest only
then. To be read it is fetched back into a folder of this machine and its digest is proved, so a damaged
object never reaches anybody. The bucket stays private: all reading goes through us.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit

from storage.files import (
    BATCH_BYTES,
    TEMPORARY_PREFIX,
    UNLIMITED,
    Arrival,
    FileStore,
    KeptFile,
    KeptFiles,
    NoSuchFile,
    StorageFull,
    check_digest,
    keep_source,
    keep_stream,
    make_folder,
    put_back_source,
    sweep_old,
)

if TYPE_CHECKING:
    from minio import Minio
    from urllib3.response import BaseHTTPResponse

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3
CONNECTIONS = 16
LENT_BYTES = 1024 * 1024 * 1024
"""How much may lie fetched on this machine before the oldest goes."""

_NO_ROOM = frozenset({"XMinioStorageFull", "QuotaExceeded", "InsufficientCapacity", "EntityTooLarge"})
_NOT_THERE = frozenset({"NoSuchKey", "NoSuchObject", "NotFound"})
_FETCHED = "fetched"


class StoreUnreachable(OSError):  # noqa: N818 - the name says what happened
    """The S3 server did not do what it was asked for; it may later."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the objects are; `prefix` is empty or ends with a slash."""

    name: str
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Bucket:
        """Read `s3://bucket/prefix`. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("write a folder, or s3://BUCKET/PREFIX")
        prefix = parts.path.strip("/")
        return cls(parts.netloc, f"{prefix}/" if prefix else "")

    def __str__(self) -> str:
        """As it stands in the configuration."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class S3Server:
    """The S3 server and who we are to it."""

    endpoint_url: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = ""
    path_style: bool = True


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The `KeptFiles` of several machines: objects `<prefix>ab/cd/<digest>` of one bucket.

    `folder` is on this machine: for what arrives, and for what is lent to be read.
    """

    client: Minio
    bucket: Bucket
    folder: Path
    max_bytes: int

    async def keep(self, chunks: AsyncIterator[bytes], name: str, voice: bool = False) -> KeptFile:
        """Store a stream if its content is allowed. Raises StorageFull, StoreUnreachable."""
        return await keep_stream(self._arrival(self.max_bytes), chunks, name, voice=voice)

    def keep_sync(self, source: Path | bytes | BinaryIO, name: str, voice: bool = False) -> KeptFile:
        """Do the same for a file, bytes or an open stream, in the calling thread."""
        return keep_source(self._arrival(self.max_bytes), source, name, voice=voice)

    def path(self, sha256: str) -> Path:
        """Fetch the file to this machine, unless it lies here already. Raises NoSuchFile.

        That it is still kept is asked each time: what was erased elsewhere is not lent here.
        """
        self.size_bytes(sha256)
        place = self.folder / _FETCHED / sha256
        try:
            os.utime(place)
        except FileNotFoundError:
            self._fetch(sha256, place)
        return place

    def open(self, sha256: str) -> BinaryIO:
        """Stream a kept file straight from the server, its digest unproved. Raises NoSuchFile."""
        return cast("BinaryIO", self._open(sha256))

    def size_bytes(self, sha256: str) -> int:
        """How big a kept file is. Raises NoSuchFile."""
        with _told(sha256):
            return self.client.stat_object(self.bucket.name, self._name(sha256)).size or 0

    def every_digest(self) -> Iterator[str]:
        """The digest of each kept file, in order."""
        with _told(""):
            for found in self.client.list_objects(
                self.bucket.name, prefix=self.bucket.prefix, recursive=True
            ):
                digest = (found.object_name or "").rpartition("/")[2]
                if (found.object_name or "") == self._named(digest):
                    yield digest

    def put_back(self, sha256: str, content: IO[bytes]) -> str:
        """Put a file that was judged before; returns the digest of what came, kept only if it is that."""
        return put_back_source(self._arrival(UNLIMITED), sha256, content)

    def forget(self, sha256: str, undisturbed_seconds: float, now: datetime) -> bool:
        """Delete a kept file. False while it is younger than that: it may have just come once more."""
        try:
            name = self._name(sha256)
            with _told(sha256):
                changed_at = self.client.stat_object(self.bucket.name, name).last_modified
                if changed_at and (now - changed_at).total_seconds() < undisturbed_seconds:
                    return False
                self.client.remove_object(self.bucket.name, name)
        except NoSuchFile:
            pass
        (self.folder / _FETCHED / sha256).unlink(missing_ok=True)
        return True

    def sweep_temporary(self, older_than_seconds: float, now: datetime) -> int:
        """Delete what an interrupted process left, and what was lent and not asked for since."""
        swept = sweep_old(self.folder.glob(f"{TEMPORARY_PREFIX}*"), older_than_seconds, now)
        return swept + sweep_old((self.folder / _FETCHED).glob("*"), older_than_seconds, now)

    def check(self) -> None:
        """Raise StoreUnreachable unless the bucket is there and lets us in."""
        with _told(""):
            if not self.client.bucket_exists(self.bucket.name):
                raise StoreUnreachable(f"There is no bucket {self.bucket.name}: make it")

    def _arrival(self, max_bytes: int) -> Arrival:
        return Arrival(self.folder, max_bytes, self._settle)

    def _settle(self, temporary: Path, sha256: str) -> None:
        with _told(sha256):
            # Put again although it may be there: its age says that it has just come once more.
            self.client.fput_object(self.bucket.name, self._name(sha256), str(temporary))

    def _fetch(self, sha256: str, place: Path) -> None:
        """Bring the object here; it appears under its digest only when it has it."""
        make_folder(place.parent)
        self._make_room(place.parent)
        temporary = self.folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(16)}"
        digest = hashlib.sha256()
        try:
            with self._open(sha256) as content, temporary.open("xb") as written, _told(sha256):
                temporary.chmod(0o600)
                while batch := content.read(BATCH_BYTES):
                    digest.update(batch)
                    written.write(batch)
            if digest.hexdigest() != sha256:
                raise StoreUnreachable(f"What is kept as {sha256} is damaged: restore it from a copy")
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)

    def _make_room(self, fetched: Path) -> None:
        found = sorted(
            (entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(fetched)
        )
        excess_bytes = sum(size for _at, size, _path in found) - LENT_BYTES
        for _at, size, path in found:
            if excess_bytes <= 0:
                return
            Path(path).unlink(missing_ok=True)
            excess_bytes -= size

    def _open(self, sha256: str) -> BaseHTTPResponse:
        with _told(sha256):
            return self.client.get_object(self.bucket.name, self._name(sha256))

    def _name(self, sha256: str) -> str:
        check_digest(sha256)
        return self._named(sha256)

    def _named(self, digest: str) -> str:
        return f"{self.bucket.prefix}{digest[:2]}/{digest[2:4]}/{digest}"


def open_object_store(server: S3Server, bucket: Bucket, folder: Path, max_bytes: int) -> ObjectStore:
    """Open the store; nothing is asked of the server yet."""
    import certifi
    import urllib3
    from minio import Minio

    address = urlsplit(server.endpoint_url)
    client = Minio(
        address.netloc,
        access_key=server.access_key,
        secret_key=server.secret_key,
        region=server.region or None,
        secure=address.scheme == "https",
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS),
            retries=urllib3.Retry(
                total=ATTEMPTS - 1, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)
            ),
            maxsize=CONNECTIONS,
            cert_reqs="CERT_REQUIRED",
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        ),
    )
    if server.path_style:
        client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    else:
        client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    return ObjectStore(client, bucket, folder, max_bytes)


def open_store(place: Path | Bucket, server: S3Server | None, folder: Path, max_bytes: int) -> KeptFiles:
    """The files at `place`; `server` must be known when it is a bucket."""
    if isinstance(place, Path):
        return FileStore(place, max_bytes)
    assert server is not None
    return open_object_store(server, place, folder, max_bytes)


@contextmanager
def _told(sha256: str) -> Iterator[None]:
    """Say what the server answered in our own words; the log gets no address and no key."""
    from minio.error import MinioException, S3Error
    from urllib3.exceptions import HTTPError

    try:
        yield
    except S3Error as error:
        if error.code in _NOT_THERE:
            raise NoSuchFile(f"No file {sha256} is kept") from error
        if error.code in _NO_ROOM:
            raise StorageFull("No room for a received file; free some in the bucket") from error
        raise StoreUnreachable(f"The S3 server refuses: {error.code}") from error
    except (MinioException, HTTPError) as error:
        raise StoreUnreachable(f"The S3 server does not answer: {type(error).__name__}") from error


__all__ = ["Bucket", "ObjectStore", "S3Server", "StoreUnreachable", "open_object_store", "open_store"]
