"""Files on a real disk: kept once, whole or not at all; and the links to them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.files import FileLink, FileLinks, FileStore, LinkExpired, LinkForged, NoSuchFile
from storage.inspection import too_big

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 4000
DIGEST = hashlib.sha256(PDF).hexdigest()


@pytest.fixture
def store(tmp_path) -> FileStore:
    return FileStore(tmp_path / "files", max_bytes=2_000_000)


async def stream(content: bytes, size: int = 10_000):
    for start in range(0, len(content), size):
        yield content[start : start + size]


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def test_a_file_is_kept_under_its_digest(store):
    kept = await store.keep(stream(PDF), "папка/счёт.pdf")
    assert (kept.sha256, kept.size_bytes, kept.name) == (DIGEST, len(PDF), "счёт.pdf")
    assert kept.verdict.media_type == "application/pdf"
    assert left_in(store.folder) == [f"{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"]
    assert store.path(DIGEST).read_bytes() == PDF


@pytest.mark.parametrize("size", [1_000, 70_000, 5_000_000], ids=["small chunks", "chunks", "one chunk"])
async def test_the_size_of_chunks_does_not_matter(store, size):
    assert (await store.keep(stream(PDF, size), "a.pdf")).sha256 == DIGEST


async def test_the_same_content_is_one_file(store):
    first, second = await asyncio.gather(store.keep(stream(PDF), "a.pdf"), store.keep(stream(PDF), "b.pdf"))
    assert first.sha256 == second.sha256
    assert (first.name, second.name) == ("a.pdf", "b.pdf")
    assert len(left_in(store.folder)) == 1


@pytest.mark.parametrize("kind", ["bytes", "path", "stream"])
def test_the_panel_keeps_files_without_a_loop(store, tmp_path, kind):
    (tmp_path / "upload").write_bytes(PDF)
    sources = {"bytes": PDF, "path": tmp_path / "upload", "stream": io.BytesIO(PDF)}
    assert store.keep_sync(sources[kind], "a.pdf").sha256 == DIGEST
    assert store.path(DIGEST).read_bytes() == PDF


async def test_a_nameless_file_is_called_by_its_content(store):
    assert (await store.keep(stream(PDF), "")).name == "файл.pdf"


async def test_voice_is_kept_as_a_note_only(store):
    voice = b"OggS\x00\x02" + bytes(100)
    assert (await store.keep(stream(voice), "a.ogg")).sha256 == ""
    assert (await store.keep(stream(voice), "a.ogg", voice=True)).verdict.media_type == "audio/ogg"


@pytest.mark.parametrize("content", [b"", b"MZ" + bytes(1000)], ids=["empty", "program"])
async def test_a_refused_file_is_not_kept(store, content):
    kept = await store.keep(stream(content), "счёт.pdf")
    assert kept.sha256 == ""
    assert kept.verdict.reason is not None
    assert left_in(store.folder) == []


async def test_reading_stops_at_the_limit_and_nothing_is_left(store):
    read = closed = 0

    async def endless():
        nonlocal read, closed
        try:
            while True:
                read += 100_000
                yield bytes(100_000)
        finally:
            closed += 1

    kept = await store.keep(endless(), "видео.mov")
    assert kept.sha256 == ""
    assert kept.verdict == too_big("видео.mov", 2_000_000)
    assert read < 3_000_000
    assert closed == 1
    assert left_in(store.folder) == []


async def test_the_limit_itself_is_allowed(tmp_path):
    exact = FileStore(tmp_path, max_bytes=len(PDF))
    assert (await exact.keep(stream(PDF), "a.pdf")).verdict.accepted
    assert not (await FileStore(tmp_path, len(PDF) - 1).keep(stream(PDF), "a.pdf")).verdict.accepted


async def test_a_broken_stream_leaves_nothing(store):
    async def broken():
        yield PDF[:500_000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.keep(broken(), "a.pdf")
    assert left_in(store.folder) == []


async def test_a_cancelled_arrival_leaves_nothing(store):
    reached = asyncio.Event()

    async def stuck():
        yield PDF[:500_000]
        reached.set()
        await asyncio.Event().wait()
        yield b""

    task = asyncio.create_task(store.keep(stuck(), "a.pdf"))
    await reached.wait()
    assert len(left_in(store.folder)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left_in(store.folder) == []


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from storage.files import FileStore, StorageFull

resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
store = FileStore(Path(sys.argv[1]), 2_000_000)
content = b"%PDF-1.7 " + bytes(1_000_000)

async def stream():
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]

at_once = lambda: store.keep_sync(content, "a.pdf")
streamed = lambda: asyncio.run(store.keep(stream(), "a.pdf"))
for attempt in (at_once, streamed):
    try:
        attempt()
    except StorageFull as error:
        print(error.text.msgid)
print(store.keep_sync(content[:200_000], "a.pdf").verdict.accepted)
"""


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    # The kernel refuses the rest of a write here as a full disk does: a part is written, then an error.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL_DISK, str(tmp_path)],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stderr == ""
    told = done.stdout.splitlines()
    assert ["место" in line for line in told] == [True, True, False]
    assert told[2] == "True"
    assert len(left_in(tmp_path)) == 1


@pytest.mark.parametrize(
    "digest",
    ["0" * 64, "", "../../etc/passwd", DIGEST.upper(), DIGEST + "\n", "а" * 64],
    ids=["unknown", "empty", "path", "upper case", "line feed", "cyrillic"],
)
async def test_an_unknown_digest_is_no_file(store, digest):
    await store.keep(stream(PDF), "a.pdf")
    with pytest.raises(NoSuchFile):
        store.path(digest)


async def test_the_sweep_takes_old_leftovers_only(store):
    kept = await store.keep(stream(PDF), "a.pdf")
    for name, age_seconds in ((".arriving-old", 7200), (".arriving-new", 60)):
        path = store.folder / name
        path.write_bytes(b"half")
        seconds = NOW.timestamp() - age_seconds
        os.utime(path, (seconds, seconds))
    os.utime(store.path(kept.sha256), (0, 0))
    assert store.sweep_temporary(3600, NOW) == 1
    assert store.sweep_temporary(3600, NOW) == 0
    assert left_in(store.folder) == [".arriving-new", f"{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"]


def test_the_sweep_of_a_store_that_was_never_used(store):
    assert store.sweep_temporary(0, NOW) == 0


LINKS = FileLinks("a secret of the firm", "https://priem.example.ru/")


def test_a_link_leads_to_its_file_until_its_time_is_over():
    address = LINKS.make(DIGEST, "Счёт № 15.pdf", NOW, valid_seconds=3600)
    start, token = address.rsplit("/", 1)
    assert start == "https://priem.example.ru/files"
    assert LINKS.read(token, NOW + timedelta(seconds=3599)) == FileLink(DIGEST, "Счёт № 15.pdf")
    with pytest.raises(LinkExpired):
        LINKS.read(token, NOW + timedelta(seconds=3600))


def test_without_a_public_address_a_link_is_a_path():
    assert FileLinks("secret").make(DIGEST, "a.pdf", NOW, 60).startswith("/files/")


def test_a_link_of_another_key_is_forged():
    token = FileLinks("another secret").make(DIGEST, "a.pdf", NOW, 60).rsplit("/", 1)[1]
    with pytest.raises(LinkForged):
        LINKS.read(token, NOW)


def test_the_key_is_not_shown():
    assert "secret" not in repr(LINKS)


TOKEN = LINKS.make(DIGEST, "a.pdf", NOW, 60).rsplit("/", 1)[1]


@given(at=st.integers(0, len(TOKEN) - 2), char=st.characters())
def test_a_changed_link_is_forged(at, char):
    # The last sign is left alone: its lowest bits mean nothing in base64.
    changed = TOKEN[:at] + char + TOKEN[at + 1 :]
    if changed != TOKEN:
        with pytest.raises(LinkForged):
            LINKS.read(changed, NOW)


@given(token=st.text(max_size=200))
def test_any_text_in_place_of_a_link_is_forged(token):
    with pytest.raises(LinkForged):
        LINKS.read(token, NOW)
