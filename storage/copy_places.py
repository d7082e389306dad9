"""The second place of the copies, away from this machine: a folder, S3, or WebDAV.

A place only takes, shows, gives back and deletes files by name; what is kept there is settled in
`storage.copies`. What does not work is told as a PlaceError, in words without secrets.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from minio import Minio
    from urllib3 import PoolManager
    from webdav4.client import Client

CHUNK_BYTES = 256 * 1024
CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 120.0
"""Of silence: a copy may take hours, but not a single answer."""
ATTEMPTS = 3
UNFINISHED = ".part"
S3_PART_BYTES = 16 * 2**20
AWS = "https://s3.amazonaws.com"

_HTTP_STATUSES = {
    401: "the name or the password is not accepted",
    403: "the name or the password is not accepted",
    404: "there is no such folder: make it",
    409: "there is no such folder: make it",
    507: "there is no room left",
}
_S3_CODES = {
    "NoSuchBucket": "there is no such bucket: make it",
    "AccessDenied": "the keys do not let us in",
    "InvalidAccessKeyId": "the keys do not let us in",
    "SignatureDoesNotMatch": "the keys do not let us in",
}


class PlaceError(Exception):
    """The place did not do what was asked; the text is a sentence for the operator, without secrets."""


class CopyPlace(Protocol):
    """Where copies are kept besides this machine. Everything blocks, and raises PlaceError."""

    def sizes(self) -> Mapping[str, int]:
        """What lies there: size in bytes by name."""

    def put(self, file: Path) -> None:
        """Copy a file there under its own name; it appears whole or not at all."""

    def read(self, name: str) -> Iterator[bytes]:
        """Give back what lies there."""

    def delete(self, name: str) -> None:
        """Delete it; that it is gone already is no error."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the second place is, as the configuration names it. `kind` is folder, s3 or webdav."""

    kind: str
    where: str
    """A path; `bucket/prefix`; the address without the user."""
    user: str = ""
    password: str = field(default="", repr=False)
    endpoint: str = AWS
    region: str = ""

    def shown(self) -> str:
        """How people are told of it."""
        return f"s3://{self.where}" if self.kind == "s3" else self.where


def parse(told: str, user: str = "", password: str = "") -> Address:
    """Read `/path`, `folder:///path`, `s3://bucket/prefix?endpoint=…&region=…` or `https://user@host/path`.

    Raises ValueError with a sentence for the operator.
    """
    parts = urlsplit(told)
    match parts.scheme:
        case "s3":
            if not parts.netloc:
                raise ValueError("name the bucket: s3://bucket/prefix?endpoint=https://…")
            asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            if unknown := asked.keys() - {"endpoint", "region"}:
                raise ValueError(f"s3:// knows endpoint and region, not {', '.join(sorted(unknown))}")
            endpoint = asked.get("endpoint", AWS)
            if not endpoint.startswith(("http://", "https://")):
                raise ValueError("the endpoint begins with https://")
            where = f"{parts.netloc}{parts.path}".rstrip("/")
            return Address("s3", where, user, password, endpoint, asked.get("region", ""))
        case "http" | "https":
            if not parts.hostname:
                raise ValueError("name the server: https://user@host/path")
            if parts.password:
                raise ValueError("write the password as second_place_password")
            host = parts.netloc.rpartition("@")[2]
            named = user or unquote(parts.username or "")
            return Address("webdav", f"{parts.scheme}://{host}{parts.path.rstrip('/')}/", named, password)
        case "folder" | "file":
            return Address("folder", _absolute(unquote(parts.path)))
        case _ if "://" in told:
            raise ValueError("the second place is a folder, s3://… or https://… (WebDAV)")
        case _:
            return Address("folder", _absolute(told))


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        raise ValueError("write the whole path of the folder, /mnt/copies")
    return path


@contextmanager
def open_place(address: Address) -> Iterator[CopyPlace]:
    """Make the place ready, and let its connections go in the end; nothing is asked of it yet."""
    match address.kind:
        case "s3":
            bucket, _slash, prefix = address.where.partition("/")
            with _connections() as connections:
                yield S3Place(_minio(address, connections), bucket, f"{prefix}/" if prefix else "")
        case "webdav":
            client = _webdav(address)
            with closing(client.http):
                yield WebdavPlace(client)
        case _:
            yield FolderPlace(Path(address.where))


# --- a folder: another disk, or what is mounted there ----------------------------------------------


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder, which must be there: one that is made anew would lie on this machine's own disk."""

    folder: Path

    def sizes(self) -> Mapping[str, int]:
        """What lies there."""
        with self._told():
            return {entry.name: entry.stat().st_size for entry in os.scandir(self.folder) if entry.is_file()}

    def put(self, file: Path) -> None:
        """Write beside, flush, rename."""
        unfinished = self.folder / f"{file.name}{UNFINISHED}"
        with self._told():
            if not self.folder.is_dir():
                raise FileNotFoundError
            try:
                with file.open("rb") as source, unfinished.open("wb") as target:
                    unfinished.chmod(0o600)
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
                    target.flush()
                    os.fsync(target.fileno())
                unfinished.replace(self.folder / file.name)
            finally:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)

    def read(self, name: str) -> Iterator[bytes]:
        """Read it from the disk."""
        with self._told(), (self.folder / name).open("rb") as content:
            yield from iter(lambda: content.read(CHUNK_BYTES), b"")

    def delete(self, name: str) -> None:
        """Delete it."""
        with self._told():
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            sentence = f"The folder {self.folder} is not there: is its disk mounted?"
            raise PlaceError(
                sentence if not self.folder.is_dir() else f"{error.filename} is gone."
            ) from error
        except OSError as error:
            raise PlaceError(f"The folder {self.folder}: {error.strerror}.") from error


# --- S3 ----------------------------------------------------------------------------------------


def _minio(address: Address, connections: PoolManager) -> Minio:
    from minio import Minio

    at = urlsplit(address.endpoint)
    return Minio(
        at.netloc,
        access_key=address.user or None,
        secret_key=address.password or None,
        secure=at.scheme == "https",
        region=address.region or None,
        http_client=connections,
    )


def _connections() -> PoolManager:
    from urllib3 import PoolManager, Retry, Timeout

    return PoolManager(
        timeout=Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        retries=Retry(total=ATTEMPTS, backoff_factor=1, status_forcelist=[500, 502, 503, 504]),
    )


@dataclass(frozen=True, slots=True)
class S3Place:
    """A part of a bucket; an object appears whole or not at all by itself."""

    client: Minio
    bucket: str
    prefix: str

    def sizes(self) -> Mapping[str, int]:
        """What lies there."""
        with self._told():
            return {
                str(found.object_name).removeprefix(self.prefix): found.size or 0
                for found in self.client.list_objects(self.bucket, prefix=self.prefix)
                if not found.is_dir
            }

    def put(self, file: Path) -> None:
        """Upload in parts."""
        with self._told():
            self.client.fput_object(
                self.bucket, f"{self.prefix}{file.name}", str(file), part_size=S3_PART_BYTES,
                num_parallel_uploads=1,
            )  # fmt: skip

    def read(self, name: str) -> Iterator[bytes]:
        """Download it."""
        with self._told():
            answer = self.client.get_object(self.bucket, f"{self.prefix}{name}")
            try:
                yield from answer.stream(CHUNK_BYTES)
            finally:
                answer.close()
                answer.release_conn()

    def delete(self, name: str) -> None:
        """Delete it."""
        with self._told():
            self.client.remove_object(self.bucket, f"{self.prefix}{name}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            yield
        except S3Error as error:
            reason = _S3_CODES.get(error.code or "", f"the server answered {error.code}")
            raise PlaceError(f"The bucket {self.bucket}: {reason}.") from error
        except (MinioException, HTTPError, OSError, ValueError) as error:
            raise PlaceError(f"The bucket {self.bucket} does not answer: {type(error).__name__}.") from error


# --- WebDAV: Yandex Disk, Nextcloud, a NAS -----------------------------------------------------


def _webdav(address: Address) -> Client:
    import httpx
    from webdav4.client import Client

    return Client(
        address.where,
        auth=(address.user, address.password) if address.user else None,
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        chunk_size=CHUNK_BYTES,
    )


@dataclass(frozen=True, slots=True)
class WebdavPlace:
    """A folder behind HTTP; an interrupted upload may leave a piece, so it is renamed when it is whole."""

    client: Client

    def sizes(self) -> Mapping[str, int]:
        """What lies there."""
        with self._told():
            found: list[Any] = self.client.ls("", detail=True, allow_listing_resource=False)
            return {
                str(each["name"]).rpartition("/")[2]: int(each["content_length"] or 0)
                for each in found
                if each["type"] == "file"
            }

    def put(self, file: Path) -> None:
        """Upload beside, then rename."""
        unfinished = f"{file.name}{UNFINISHED}"
        with self._told():
            self.client.upload_file(str(file), unfinished, overwrite=True, chunk_size=CHUNK_BYTES)
            self.client.move(unfinished, file.name, overwrite=True)

    def read(self, name: str) -> Iterator[bytes]:
        """Download it."""
        with self._told(), self.client.open(name, mode="rb", chunk_size=CHUNK_BYTES) as content:
            yield from iter(lambda: content.read(CHUNK_BYTES), b"")

    def delete(self, name: str) -> None:
        """Delete it."""
        from webdav4.client import ResourceNotFound

        with self._told(), suppress(ResourceNotFound):
            self.client.remove(name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        import httpx
        from webdav4.client import ClientError, HTTPError, ResourceNotFound

        host = self.client.base_url.host
        try:
            yield
        except ResourceNotFound as error:
            raise PlaceError(f"{host}: there is no such folder or file.") from error
        except HTTPError as error:
            status = error.status_code
            raise PlaceError(f"{host}: {_HTTP_STATUSES.get(status, f'it answered {status}')}.") from error
        except (ClientError, httpx.HTTPError, OSError) as error:
            raise PlaceError(f"{host} does not answer: {type(error).__name__}.") from error
