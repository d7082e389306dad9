"""Files in S3: the same promises as in a folder, against a real S3 server."""

import asyncio
import hashlib
import io
import threading
from datetime import UTC, datetime, timedelta

import pytest
import urllib3
from moto.server import ThreadedMotoServer

from storage.files import FileStore, NoSuchFile, StorageFull
from storage.object_store import (
    Bucket,
    ObjectStore,
    S3Server,
    StoreUnreachable,
    open_object_store,
    open_store,
)

PDF = b"%PDF-1.7\n" + b"invoice" * 40_000
DIGEST = hashlib.sha256(PDF).hexdigest()
MAX_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def s3():
    """An S3 server of our own."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(s3, tmp_path, request):
    """An empty bucket, and a prefix in it beside which others keep theirs."""
    name = f"priem-{abs(hash(request.node.nodeid)) % 10**8}"
    opened = opened_at(s3, Bucket(name, "firm/"), tmp_path / "here")
    opened.client.make_bucket(name)
    return opened


def opened_at(s3, bucket, folder):
    return open_object_store(S3Server(s3, "key", "word", "us-east-1"), bucket, folder, MAX_BYTES)


@pytest.fixture(params=["folder", "bucket"])
def kept(request, tmp_path):
    """Both places: what they promise is the same."""
    return (
        FileStore(tmp_path / "files", MAX_BYTES)
        if request.param == "folder"
        else request.getfixturevalue("store")
    )


async def stream(*chunks):
    for chunk in chunks:
        yield chunk


def here(store):
    """What lies on this machine, without folders."""
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


async def test_a_stream_is_kept_under_its_digest_and_read_again(kept):
    found = await kept.keep(stream(PDF[:1000], PDF[1000:]), "счёт.pdf")

    assert (found.sha256, found.size_bytes, found.name) == (DIGEST, len(PDF), "счёт.pdf")
    assert kept.path(DIGEST).read_bytes() == PDF
    assert kept.size_bytes(DIGEST) == len(PDF)
    assert list(kept.every_digest()) == [DIGEST]
    with kept.open(DIGEST) as content:
        assert content.read(8) == PDF[:8]


async def test_what_is_refused_or_interrupted_leaves_nothing(kept):
    refused = await kept.keep(stream(b"MZ\x90\x00" + b"\0" * 2000), "счёт.pdf")
    too_big = await kept.keep(stream(PDF, b"x" * MAX_BYTES), "счёт.pdf")

    async def broken():
        yield PDF
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await kept.keep(broken(), "счёт.pdf")
    assert not refused.sha256
    assert not too_big.sha256
    assert list(kept.every_digest()) == []
    assert here(kept) == []


def test_a_copy_brings_back_only_what_has_the_digest(kept):
    assert kept.put_back(DIGEST, io.BytesIO(PDF)) == DIGEST
    other = "0" * 64
    assert kept.put_back(other, io.BytesIO(b"damaged")) == hashlib.sha256(b"damaged").hexdigest()
    assert list(kept.every_digest()) == [DIGEST]


@pytest.mark.parametrize("digest", ["0" * 64, "", "../secret", DIGEST.upper()])
def test_a_digest_that_is_not_kept_is_no_file(kept, digest):
    for ask in (kept.path, kept.open, kept.size_bytes):
        with pytest.raises(NoSuchFile):
            ask(digest)


def test_a_young_file_is_not_forgotten_and_an_old_one_is(kept):
    kept.keep_sync(PDF, "счёт.pdf")
    kept.path(DIGEST)
    now = datetime.now(UTC)
    assert not kept.forget(DIGEST, 3600, now)
    assert kept.forget(DIGEST, 3600, now + timedelta(hours=2))
    with pytest.raises(NoSuchFile):
        kept.path(DIGEST)
    assert kept.forget(DIGEST, 3600, now)
    assert here(kept) == []


def test_another_machine_reads_what_one_has_kept_until_it_is_forgotten(store, s3, tmp_path):
    other = opened_at(s3, store.bucket, tmp_path / "there")
    store.keep_sync(PDF, "счёт.pdf")
    assert other.path(DIGEST).read_bytes() == PDF
    assert store.forget(DIGEST, 0, datetime.now(UTC) + timedelta(minutes=1))
    with pytest.raises(NoSuchFile):
        other.path(DIGEST)


def test_what_others_keep_in_the_bucket_is_none_of_ours(store):
    store.keep_sync(PDF, "счёт.pdf")
    for name in (f"other/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}", "firm/notes.txt", f"firm/{'1' * 64}"):
        store.client.put_object(store.bucket.name, name, io.BytesIO(b"x"), 1)
    assert list(store.every_digest()) == [DIGEST]


def test_a_damaged_object_reaches_nobody(store):
    name = f"firm/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"
    store.client.put_object(store.bucket.name, name, io.BytesIO(b"damaged"), 7)
    with pytest.raises(StoreUnreachable, match="damaged: restore it from a copy"):
        store.path(DIGEST)
    assert here(store) == []


def test_what_was_lent_goes_after_a_while(store):
    store.keep_sync(PDF, "счёт.pdf")
    store.path(DIGEST)
    assert store.sweep_temporary(3600, datetime.now(UTC)) == 0
    assert store.sweep_temporary(3600, datetime.now(UTC) + timedelta(hours=2)) == 1
    assert here(store) == []
    assert store.path(DIGEST).read_bytes() == PDF


async def test_many_at_once_do_not_disturb_each_other(store):
    contents = [b"%PDF-1.7\n" + bytes([65 + number]) * 300_000 for number in range(8)]
    kept = await asyncio.gather(*(store.keep(stream(content), "a.pdf") for content in contents * 2))
    wanted = {hashlib.sha256(content).hexdigest(): content for content in contents}
    assert {each.sha256 for each in kept} == wanted.keys()
    read = await asyncio.gather(*(asyncio.to_thread(store.path, digest) for digest in [*wanted] * 3))
    assert all(path.read_bytes() == wanted[path.name] for path in read)


class Answers(threading.Thread):
    """A server that says one thing to everybody."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        import socket

        self.answer = answer
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def run(self):
        while True:
            try:
                connection, _address = self.listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self.answer)


def _refusal(status, code):
    body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    head = f"HTTP/1.1 {status} no\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(_refusal(403, "AccessDenied"), StoreUnreachable, id="a wrong key"),
        pytest.param(_refusal(404, "NoSuchBucket"), StoreUnreachable, id="no bucket"),
        pytest.param(_refusal(403, "QuotaExceeded"), StorageFull, id="a full bucket"),
        pytest.param(b"nonsense\r\n\r\n", StoreUnreachable, id="not a server of this kind"),
    ],
)
def test_a_server_that_refuses_is_told_in_our_words(tmp_path, answer, error):
    server = Answers(answer)
    server.start()
    store = opened_at(server.url, Bucket("bucket"), tmp_path)
    with pytest.raises(error) as told:
        store.keep_sync(PDF, "счёт.pdf")
    assert "word" not in str(told.value)
    assert here(store) == []
    server.listening.close()


def test_a_server_that_is_not_there_is_not_waited_for(tmp_path):
    store = opened_at("http://127.0.0.1:9", Bucket("bucket"), tmp_path)
    with pytest.raises(StoreUnreachable, match="does not answer"):
        store.check()
    with pytest.raises(OSError, match="does not answer"):
        store.keep_sync(PDF, "счёт.pdf")


def test_the_bucket_is_looked_for_by_the_check(store):
    store.check()
    with pytest.raises(StoreUnreachable, match="no bucket"):
        ObjectStore(store.client, Bucket("nowhere"), store.folder, 1).check()


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("s3://bucket", Bucket("bucket")),
        ("s3://bucket/", Bucket("bucket")),
        ("s3://bucket/a/b/", Bucket("bucket", "a/b/")),
    ],
)
def test_an_address_is_read_and_written(url, wanted):
    assert Bucket.parse(url) == wanted
    assert Bucket.parse(str(wanted)) == wanted


@pytest.mark.parametrize("url", ["http://bucket", "s3://", "s3:///prefix", "s3://bucket?region=1"])
def test_another_address_is_refused(url):
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX"):
        Bucket.parse(url)


def test_a_folder_needs_no_server(tmp_path):
    assert isinstance(open_store(tmp_path, None, tmp_path, 1), FileStore)


def test_virtual_hosts_are_for_those_who_ask_for_them(tmp_path):
    server = S3Server("https://s3.example.ru", "key", "word", "eu-1", path_style=False)
    store = open_object_store(server, Bucket("bucket"), tmp_path, 1)
    assert "bucket.s3.example.ru" in store.client.presigned_get_object("bucket", "a")
    assert isinstance(store.client._http, urllib3.PoolManager)
