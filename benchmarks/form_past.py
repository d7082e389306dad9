"""Steps of the form per second with a million past requests and 100 000 drafts, beside none (P5).

    python -m benchmarks.form_past --keep FOLDER

Both firms have the same people; nobody is on shift and nothing is open in either, so that a request means
the same work. The databases of `benchmarks.panel_growth --keep` are used when they are there. Every run
begins from a copy; runs are interleaved, and the ratio is taken inside a round.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import past
from benchmarks.form_steps import OURS, Bot, measure, priem
from storage.migrate import migrate

GOAL = 0.9
DRAFTS = 100_000
PROGRESS = (
    '{"answers":{"inn":"7707083893","company":"ООО «Ромашка»","kind":"pay","task":"Оплатить счёт за аренду"},'
    '"step":"deadline"}'
)


def prepared(folder: Path, requests: int, drafts: int) -> Path:
    """A firm's database with nothing open in it."""
    file = folder / f"form-{requests}-{drafts}.sqlite3"
    if file.exists():
        return file
    template = folder / "empty.sqlite3"
    migrate(f"sqlite:///{template}")
    past.office_with(folder / str(requests), template, requests).database.sync_engine.dispose()
    half = file.with_suffix(".half")
    _copy(folder / str(requests) / "priem.sqlite3", half)
    connection = sqlite3.connect(half, isolation_level=None)
    try:
        now = past.moment(datetime.now(UTC))
        connection.execute("pragma synchronous=off")
        connection.execute("begin")
        connection.execute("update shift set ended_at = started_at where ended_at is null")
        connection.execute(
            "update request set status = 'closed', stage = null, unanswered_since = null"
            " where status not in ('closed', 'cancelled')"
        )
        connection.execute("update letter set state = 'sent' where state = 'failed'")
        # A service forgets them after a while.
        connection.execute("delete from inbox_event")
        first = 1_000_000
        for number in range(first, first + drafts):
            connection.execute(
                "insert into person (id, name, phone, email, consent_version, created_at)"
                " values (?, 'Клиент', '', '', '1', ?)",
                (number, now),
            )
            connection.execute(
                "insert into chat (channel, chat_key, user_key, person_id, rank, screen, focus, created_at)"
                " values ('telegram', ?, ?, ?, 0, '[]', 'form', ?)",
                (f"9{number}", f"9{number}", number, now),
            )
            connection.execute("insert into draft values (?, ?, ?, ?)", (number, PROGRESS, now, now))
        connection.execute("commit")
        connection.execute("pragma wal_checkpoint(truncate)")
    finally:
        connection.close()
    half.rename(file)
    return file


def _copy(source: Path, to: Path) -> None:
    subprocess.run(["cp", "--reflink=auto", str(source), str(to)], check=True)
    # Or the service's first commit waits until all of it is on the disk.
    with to.open("rb+") as file:
        os.fsync(file.fileno())


def main() -> int:
    """Measure; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--drafts", type=int, default=DRAFTS)
    parser.add_argument("--chats", type=int, default=300)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder for the databases, used again by the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = (prepared(folder, 0, 0), prepared(folder, options.requests, options.drafts))
        return _measure(files, options)


def _measure(files: tuple[Path, Path], options: argparse.Namespace) -> int:
    seen: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    for turn in range(options.rounds):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            found = measure(_ours(files[which]), options.chats, options.at_once, {})
            seen[which].append(found)
            name = "full" if which else "empty"
            print(f"  round {turn + 1}, {name}: {found['steps_per_second']:.0f} steps/s", file=sys.stderr)
    print(f"{'':28}{'empty':>12}{'full':>12}{'ratio':>8}")
    for title, figure in (("steps/s", "steps_per_second"), ("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"),
                          ("CPU ms/step", "cpu_ms_per_step"), ("RSS MB", "rss_mb")):  # fmt: skip
        empty, full = (statistics.median(one[figure] for one in half) for half in seen)
        print(f"{title:28}{empty:>12.2f}{full:>12.2f}{full / empty:>8.2f}")
    ratio = statistics.median(
        full["steps_per_second"] / empty["steps_per_second"] for empty, full in zip(*seen, strict=True)
    )
    behind = f"{options.requests} requests and {options.drafts} drafts"
    print(f"P5  steps/s with {behind} ÷ empty: {ratio:.2f} (goal ≥ {GOAL})")
    return 0 if ratio >= GOAL else 1


def _ours(file: Path) -> Bot:
    def command(folder: Path, api: str) -> list[str]:
        _copy(file, folder / "priem.sqlite3")
        return list(priem(folder, api))

    return Bot(OURS, command, "priem.sqlite3")


if __name__ == "__main__":
    sys.exit(main())
