"""Files are fetched as fast as by a bare socket, in little memory, and nobody waits for them (P7).

The bare rival reads a blocking socket into SHA-256 and a file, and syncs it. Ours is the messenger's own
adapter and the file store: streamed, judged by its content, kept durably under its digest.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from benchmarks.form_steps import BOTS, load_of, measure
from benchmarks.load import TOKEN
from bots.base import MAX_FILE_BYTES
from bots.telegram import Settings, TelegramChannel
from forms.messages import IncomingFile
from storage.files import FileStore

SMALL_BYTES, BIG_BYTES = 1_000_000, 19_000_000
RECEIVE_BYTES = 256 * 1024
AT_ONCE = 8


def bare(port: int, folder: Path) -> float:
    """Seconds of one file by a blocking socket."""
    began_at = time.perf_counter()
    digest, buffer, left = hashlib.sha256(), bytearray(RECEIVE_BYTES), None
    with socket.create_connection(("127.0.0.1", port), 30) as connection, (folder / "bare").open("wb") as out:
        connection.sendall(f"GET /file/bot{TOKEN}/documents/a.pdf HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while left != 0:
            size = connection.recv_into(buffer)
            part = memoryview(buffer)[:size]
            if left is None:
                head, _, body = bytes(part).partition(b"\r\n\r\n")
                left, part = int(head.rpartition(b": ")[2]), memoryview(body)
            left -= len(part)
            digest.update(part)
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
    digest.hexdigest()
    return time.perf_counter() - began_at


async def ours(channel: TelegramChannel, folder: Path, size_bytes: int) -> float:
    """Seconds of one file by the adapter and the store."""
    store = FileStore(folder / "kept", MAX_FILE_BYTES)
    began_at = time.perf_counter()
    kept = await store.keep(channel.open_file(IncomingFile("file-1", "Счёт.pdf", size_bytes)), "Счёт.pdf")
    seconds = time.perf_counter() - began_at
    if kept.size_bytes != size_bytes:
        raise SystemExit("the file did not come whole")
    # The next one is a new file for the store.
    shutil.rmtree(folder / "kept")
    return seconds


def own_megabytes() -> float:
    """What this process holds itself. The pages of a file that it maps are the kernel's cache, not this."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Megabytes by which this process grew at most inside the block; the list gets the figure."""
    grown, over, before = [0.0], threading.Event(), own_megabytes()

    def watch() -> None:
        while not over.wait(0.002):
            grown[0] = max(grown[0], own_megabytes() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield grown
    finally:
        over.set()
        watching.join()


async def fetch(rounds: int) -> None:
    """The rate and the memory of one process that fetches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size_bytes in (SMALL_BYTES, BIG_BYTES):
            with load_of(0, 0, file_bytes=size_bytes) as load:
                assert load.stdout is not None
                port = int(load.stdout.readline())
                channel = TelegramChannel(
                    Settings(token=TOKEN, api_base_url=f"http://127.0.0.1:{port}"), FileStore(folder, 1)
                )
                await ours(channel, folder, size_bytes)
                ratios = []
                with peak_memory() as grown:
                    for _ in range(rounds):
                        seconds = await ours(channel, folder, size_bytes)
                        ratios.append(await asyncio.to_thread(bare, port, folder) / seconds)
                with peak_memory() as crowd:
                    async with asyncio.TaskGroup() as tasks:
                        for number in range(AT_ONCE):
                            tasks.create_task(ours(channel, folder / str(number), size_bytes))
                await channel.close()
            print(
                f"P7  {size_bytes / 1e6:.0f} MB: rate ÷ blocking socket {statistics.median(ratios):.2f} "
                f"(goal ≥ 0.8), memory grew by {grown[0]:.1f} MB (goal ≤ 16), "
                f"{AT_ONCE} at once by {crowd[0]:.1f}"
            )


def form_beside_files(rounds: int, chats: int, at_once: int) -> None:
    """The form's waiting while eight clients send files all the time, beside a quiet run."""
    shares, files = [], []
    for _ in range(rounds):
        quiet = measure(BOTS[0], chats, at_once, {})
        busy = measure(BOTS[0], chats, at_once, {}, senders=AT_ONCE)
        shares.append(busy["p99_ms"] / quiet["p99_ms"])
        files.append(busy["files_per_second"])
    print(
        f"P7  form p99 beside {AT_ONCE} downloads ÷ quiet: {statistics.median(shares):.2f} (goal ≤ 2), "
        f"{statistics.median(files):.1f} files of 4 MB a second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    uvloop.run(fetch(options.rounds))
    form_beside_files(max(1, options.rounds // 3), chats=300, at_once=10)


if __name__ == "__main__":
    main()
