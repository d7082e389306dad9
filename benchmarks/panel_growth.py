"""How much slower the panel's pages are with 10 000 requests than with 100.

    python -m benchmarks.panel_growth

Prints the median of each page in milliseconds at both sizes and their ratio; the lists must stay
under 3. The figures of response times are made from every request of the period, so they grow; they
must stay under two seconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert

from storage.migrate import migrate
from storage.models import History, Letter, Request, StageInterval
from tests.admin.office import NOW, Office, open_office

SMALL, LARGE = 100, 10_000
ROUNDS = 15
LISTS = (
    "/panel/",
    "/panel/requests/",
    "/panel/requests/?sort=deadline&order=asc",
    "/panel/requests/?status=accepted&sort=status",
    "/panel/requests/?overdue=1",
    "/panel/requests/?q=задача+семь",
    "/panel/requests/?page=2",
    "/panel/requests/50/",
    "/panel/unassigned/",
    "/panel/clients/",
    "/panel/staff/",
    "/panel/history/",
)
FIGURES = (
    "/panel/times/",
    "/panel/times/?by=client&heat=response",
    "/panel/times/people",
    "/panel/times/list?measure=whole",
)
MAX_RATIO = 3.0
MAX_FIGURES_SECONDS = 2.0


def fill(office: Office, count: int) -> None:
    """Write finished and open requests straight into the tables, a month of them; a fiftieth is open."""
    step = timedelta(days=29) / count
    requests, stages, letters, history = [], [], [], []
    for number in range(1, count + 1):
        at = NOW - timedelta(days=29) + step * number
        is_open = number > count - min(100, count // 2)
        staff = office.staff[("anna", "boris", "lawyer")[number % 3]]
        client = number % 3
        requests.append(
            {
                "id": number,
                "status": ("accepted" if number % 2 else "assigned") if is_open else "closed",
                "stage": "execution" if is_open else None,
                "kind": ("pay", "report", "advice")[number % 3],
                "company": f"Клиент {client}",
                "inn": "7707083893",
                "task": f"Задача номер {number}",
                "deadline": at + timedelta(hours=6),
                "answers": {},
                "client_id": office.clients[client],
                "person_id": office.speakers[client],
                "chat_id": office.chats[client],
                "channel": "webchat",
                "assignee_id": staff,
                "created_at": at,
                "submitted_at": at,
                "assigned_at": at,
                "accepted_at": at + timedelta(minutes=3),
                "first_response_at": at + timedelta(minutes=5),
                "done_at": None if is_open else at + timedelta(minutes=12),
                "result": "",
                "search": f"клиент {client} 7707083893 задача номер {number}"
                + (" семь" if number % 7 == 0 else ""),
                "version": 4,
            }
        )
        moments = (
            ("processing", 0, 3),
            ("execution", 3, 8),
            ("client", 8, 9),
            ("clarification", 9, 10),
            ("execution", 10, 12),
        )
        stages += [
            {
                "request_id": number,
                "stage": stage,
                "staff_id": staff,
                "started_at": at + timedelta(minutes=begin),
                "ended_at": None if is_open and end == 12 else at + timedelta(minutes=end),
            }
            for stage, begin, end in moments
        ]
        letters += [
            {
                "key": f"{number}:{which}",
                "chat_id": office.chats[client],
                "person_id": office.speakers[client],
                "request_id": number,
                "text": "Письмо",
                "rows": [],
                "files": [],
                "state": "sent",
                "not_before": at,
                "created_at": at,
                "prompt": False,
                "urgent": False,
                "attempts": 0,
                "lease_owner": "",
                "message_key": "",
                "reason": "",
            }
            for which in range(4)
        ]
        history += [
            {
                "at": at,
                "through": "webchat",
                "action": "submitted",
                "subject": f"request:{number}",
                "before": "",
                "after": "",
                "previous_hash": "0" * 64,
                "hash": f"{number:032d}{which:032d}",
            }
            for which in range(4)
        ]
    with office.database.begin() as session:
        for table, rows in (
            (Request, requests),
            (StageInterval, stages),
            (Letter, letters),
            (History, history),
        ):
            for begin in range(0, len(rows), 5_000):
                session.execute(insert(table), rows[begin : begin + 5_000])
        session.connection().exec_driver_sql("ANALYZE")


def measure(count: int, template: Path, folder: Path) -> dict[str, float]:
    """The median seconds of each page."""
    folder.mkdir()
    office = open_office(folder, template)
    fill(office, count)
    browser = office.browser("director")
    medians = {}
    for path in (*LISTS, *FIGURES):
        browser.page(path)
        spent = []
        for _round in range(ROUNDS if path in LISTS else 3):
            begin = time.perf_counter()
            browser.page(path)
            spent.append(time.perf_counter() - begin)
        medians[path] = statistics.median(spent)
    office.database.sync_engine.dispose()
    return medians


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "empty.sqlite3"
        migrate(f"sqlite:///{template}")
        small, large = (measure(count, template, Path(folder) / str(count)) for count in (SMALL, LARGE))
    worst = 0.0
    print(f"{'page':<48}{SMALL:>10}{LARGE:>10}{'ratio':>8}")
    for path in (*LISTS, *FIGURES):
        ratio = large[path] / small[path]
        print(f"{path:<48}{small[path] * 1000:>8.1f}ms{large[path] * 1000:>8.1f}ms{ratio:>8.2f}")
        if path in LISTS:
            worst = max(worst, ratio)
    figures = max(large[path] for path in FIGURES)
    print(
        f"worst list: {worst:.2f} (must be under {MAX_RATIO}); "
        f"figures: {figures:.2f} s (must be under {MAX_FIGURES_SECONDS})"
    )
    return 0 if worst < MAX_RATIO and figures < MAX_FIGURES_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
