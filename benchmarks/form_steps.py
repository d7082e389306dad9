"""The six-step form over Telegram, ours beside aiogram's: steps a second, CPU and memory (P1, P2).

Ours is the whole service on SQLite with synchronous=FULL: polling, inbox, form, outbox, delivery. Core 0
is the bot's, core 1 the load's. Rounds are interleaved, and ratios are taken inside a round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.load import TOKEN

HERE = Path(__file__).parent
STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Bot:
    """One thing measured; `command` gets the folder it may write to and the API's address."""

    name: str
    command: Callable[[Path, str], Sequence[str]]
    database: str


def priem(folder: Path, api: str) -> Sequence[str]:
    (folder / "config.toml").write_text(
        f"""
[firm]
name = "Баланс"
[server]
port = {8097}
secret_key = "0123456789abcdef0123456789abcdef"
[bots.telegram]
token = "{TOKEN}"
api_base_url = "{api}"
messages_per_second = 1000000
messages_burst = 1000000
chat_messages_per_second = 1000000
chat_burst = 1000000
"""
    )
    return (str(Path(sys.executable).with_name("priem")), "run", "--config", str(folder / "config.toml"))


def aiogram(storage: str) -> Callable[[Path, str], Sequence[str]]:
    return lambda _folder, _api: (sys.executable, str(HERE / "peers" / "aiogram_form.py"), storage)


BOTS = (
    Bot("priem", priem, "priem.sqlite3"),
    Bot("aiogram in memory", aiogram("memory"), "bench.sqlite3"),
    Bot("aiogram + SQLite", aiogram("sqlite"), "bench.sqlite3"),
)
OURS, MEMORY, DURABLE = (bot.name for bot in BOTS)


def measure(
    bot: Bot, chats: int, at_once: int, environment: Mapping[str, str], *, senders: int = 0
) -> dict[str, float]:
    """One run of one bot from an empty database; `senders` more clients send files all the time."""
    with tempfile.TemporaryDirectory() as name, load_of(chats, at_once, senders) as load:
        folder = Path(name)
        assert load.stdout is not None
        assert load.stdin is not None
        api = f"http://127.0.0.1:{load.stdout.readline().strip()}"
        surroundings = {
            **os.environ,
            "TG_API": api,
            "TG_TOKEN": TOKEN,
            "BENCH_DB": str(folder / bot.database),
            **environment,
        }
        with (
            (folder / "log").open("w") as log,
            _running(bot.command(folder, api), surroundings, log) as process,
        ):
            load.stdin.write(f"{process.pid}\n")
            load.stdin.flush()
            told = load.stdout.readline()
        if not told:
            raise SystemExit(f"{bot.name} did not finish:\n{(folder / 'log').read_text()[-3000:]}")
        seen: dict[str, float] = json.loads(told)
        with sqlite3.connect(folder / bot.database) as database:
            (seen["stored"],) = database.execute("select count(*) from request").fetchone()
        database.close()
        if seen["stored"] < seen["conversations"]:
            raise SystemExit(f"{bot.name} lost requests: {seen['stored']} of {seen['conversations']}")
        return seen


@contextmanager
def load_of(
    chats: int, at_once: int, senders: int = 0, file_bytes: int = 4_000_000
) -> Iterator[subprocess.Popen[str]]:
    """Telegram and its clients; the first line that it prints is its port."""
    options = ["--chats", str(chats), "--warm-up", str(min(at_once, chats)), "--at-once", str(at_once)]
    options += ["--senders", str(senders), "--file-bytes", str(file_bytes)]
    command = [sys.executable, "-m", "benchmarks.load", *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
    )
    pin(process.pid, 1)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], log: IO[str]
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    pin(process.pid, 0)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pin(process_id: int, core: int) -> None:
    """Keep a process that has just begun, with the threads it will start, on one core; 0: this one."""
    os.sched_setaffinity(process_id, {core % (os.cpu_count() or 1)})


SLOW_FSYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
static void wait_longer(void) {
    const char *told = getenv("FSYNC_MS");
    double ms = told ? atof(told) : 0;
    struct timespec pause = {(time_t)(ms / 1000), (long)(ms * 1e6) % 1000000000L};
    if (ms > 0) nanosleep(&pause, 0);
}
#define SLOWLY(name) \
    int name(int file) { \
        static int (*real)(int); \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        wait_longer(); \
        return real(file); \
    }
SLOWLY(fsync)
SLOWLY(fdatasync)
"""


def slow_disk(folder: Path, fsync_ms: float) -> dict[str, str]:
    """An environment in which every fsync takes that much longer; needs a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("--fsync-ms needs gcc")
    source, library = folder / "slow_fsync.c", folder / "slow_fsync.so"
    source.write_text(SLOW_FSYNC)
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "FSYNC_MS": str(fsync_ms)}


Rounds = dict[str, list[dict[str, float]]]


def run_rounds(bots: Sequence[Bot], options: argparse.Namespace, environment: Mapping[str, str]) -> Rounds:
    rounds: Rounds = {bot.name: [] for bot in bots}
    for number in range(options.rounds):
        for bot in bots if number % 2 == 0 else reversed(bots):
            seen = measure(bot, options.chats, options.at_once, environment)
            rounds[bot.name].append(seen)
            print(
                f"  round {number + 1}, {bot.name}: {seen['steps_per_second']:.0f} steps/s", file=sys.stderr
            )
    return rounds


@dataclass(frozen=True, slots=True)
class Disks:
    """Ours on a slow disk and on this one."""

    fast_over_slow: float
    alone_ms: float
    alone_over_floor: float


def compare_disks(options: argparse.Namespace, slow: Mapping[str, str]) -> Disks:
    """Ours on both disks side by side, in a crowd and alone.

    The floor of one chat alone is what it takes when fsync costs nothing worth naming, and one fsync:
    the step is acknowledged after exactly one commit.
    """
    crowd, alone, floor = [], [], []
    ours = BOTS[0]
    for _ in range(options.rounds):
        fast = measure(ours, options.chats, options.at_once, {})["steps_per_second"]
        crowd.append(fast / measure(ours, options.chats, options.at_once, slow)["steps_per_second"])
        floor.append(measure(ours, 20, 1, {})["p50_ms"] + options.fsync_ms)
        alone.append(measure(ours, 20, 1, slow)["p50_ms"])
    shares = [one / other for one, other in zip(alone, floor, strict=True)]
    return Disks(statistics.median(crowd), statistics.median(alone), statistics.median(shares))


def median_of(rounds: Rounds, name: str, figure: str) -> float:
    return statistics.median(seen[figure] for seen in rounds[name])


def ratio(rounds: Rounds, over: str, under: str, figure: str = "steps_per_second") -> float:
    pairs = zip(rounds[over], rounds[under], strict=True)
    return statistics.median(one[figure] / other[figure] for one, other in pairs)


COLUMNS = (
    ("steps/s", "steps_per_second", "12.0f"),
    ("p50 ms", "p50_ms", "12.1f"),
    ("p99 ms", "p99_ms", "12.1f"),
    ("CPU ms/step", "cpu_ms_per_step", "12.3f"),
    ("RSS MB", "rss_mb", "12.0f"),
    ("unexpected", "unexpected", "12.0f"),
    ("load's core", "load_core_share", "12.2f"),
)


def show(rounds: Rounds) -> None:
    print(" " * 20, *(f"{title:>12}" for title, _figure, _shape in COLUMNS))
    for name in rounds:
        print(f"{name:20}", *(f"{median_of(rounds, name, figure):{shape}}" for _, figure, shape in COLUMNS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, default=300, help="conversations in a run")
    parser.add_argument("--at-once", type=int, default=50, help="conversations at any time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fsync-ms", type=float, default=0, help="make every fsync that much longer (P2)")
    parser.add_argument("--only", choices=["priem", "aiogram"], help="leave the others out")
    options = parser.parse_args()
    bots = [bot for bot in BOTS if options.only is None or bot.name.startswith(options.only)]
    with tempfile.TemporaryDirectory() as folder:
        environment = slow_disk(Path(folder), options.fsync_ms) if options.fsync_ms else {}
        rounds = run_rounds(bots, options, environment)
        if options.fsync_ms and not options.only:
            disk = compare_disks(options, environment)
    show(rounds)
    if options.only:
        return
    print()
    if options.fsync_ms:
        print(
            f"P2  steps/s ÷ aiogram + SQLite on a slow disk: {ratio(rounds, OURS, DURABLE):.2f} (goal ≥ 20)"
        )
        print(f"P2  its own steps/s as it is ÷ on a slow disk: {disk.fast_over_slow:.2f} (goal ≤ 1.5)")
        print(
            f"P2  one chat alone: p50 {disk.alone_ms:.1f} ms ÷ (p50 on a fast disk + one commit): "
            f"{disk.alone_over_floor:.2f} (goal ≤ 1.25)"
        )
    print(f"P1  steps/s ÷ aiogram in memory: {ratio(rounds, OURS, MEMORY):.2f} (gate ≥ 1.0, goal ≥ 3.5)")
    print(f"P1  steps/s ÷ aiogram + SQLite: {ratio(rounds, OURS, DURABLE):.2f}")
    cpu = ratio(rounds, OURS, MEMORY, "cpu_ms_per_step")
    print(f"P5  CPU per step ÷ aiogram in memory: {cpu:.2f} (goal ≤ 1.0)")
    print(f"P1  unexpected answers: {sum(seen['unexpected'] for seen in rounds[OURS]):.0f} (goal 0)")


if __name__ == "__main__":
    main()
