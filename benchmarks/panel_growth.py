"""How much longer the panel's pages take with a million past requests than with a thousand.

    python -m benchmarks.panel_growth --keep FOLDER

Over HTTP, each page of both firms in turn: medians of the time until the answer's first byte, and of the
processor's time for it. The latter is judged: a busy machine does not change it. Rows are lines of the
page, small/large: a page that shows more of them is longer for it. Beside them stands the last page of
the same list as Flask-Admin's own ModelView makes it.

The present, the clients (134) and the staff (20) are the same in both firms; a second pair has 20 000
clients. The databases take minutes to fill and 6 GB; `--keep` uses those of the last run.
"""

from __future__ import annotations

import argparse
import http.client
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from benchmarks import past
from benchmarks.peers import flask_admin_list
from storage.migrate import migrate
from tests.admin.office import NOW, Office

GOAL = 1.5
PEER_GOAL = 0.1
MANY_CLIENTS = 20_000

_WEEK_AGO = f"{NOW - past.MONTH / 4:%Y-%m-%d}"
_YEAR = "since=2025-11-26&until=2026-11-25"

LISTS: dict[str, str] = {
    "today": "/panel/",
    "requests: first page": "/panel/requests/",
    "requests: last page": "/panel/requests/?last=1",
    "requests: a page in the middle": "/panel/requests/?after={middle}",
    "requests: by deadline, first": "/panel/requests/?sort=deadline&order=asc",
    "requests: by deadline, last": "/panel/requests/?sort=deadline&order=asc&last=1",
    "requests: by time of sending": "/panel/requests/?sort=submitted&order=desc",
    "requests: by state": "/panel/requests/?sort=status&order=desc",
    **{
        f"requests: state {status}": f"/panel/requests/?status={status}"
        for status in ("new", "accepted", "waiting_client", "done", "closed", "cancelled")
    },
    "requests: closed, last page": "/panel/requests/?status=closed&last=1",
    "requests: of one person": "/panel/requests/?assignee=3",
    "requests: of nobody": "/panel/requests/?assignee=0",
    "requests: of a kind": "/panel/requests/?kind=waybill",
    "requests: from a messenger": "/panel/requests/?channel=vk",
    "requests: of a client": "/panel/requests/?client=4",
    "requests: of a kind and a person": "/panel/requests/?kind=pay&assignee=4",
    "requests: since a week ago": f"/panel/requests/?since={_WEEK_AGO}",
    "requests: since a week ago, by deadline": f"/panel/requests/?since={_WEEK_AGO}&sort=deadline",
    "requests: overdue": "/panel/requests/?overdue=1",
    "requests: not accepted in time": "/panel/requests/?late=1",
    "requests: a letter undelivered": "/panel/requests/?undelivered=1",
    "requests: unanswered": "/panel/requests/?list=unanswered",
    "requests: in work": "/panel/requests/?list=working",
    "search: a number": "/panel/requests/?q=%E2%84%96+777",
    "search: digits": "/panel/requests/?q=77",
    "search: an INN": "/panel/requests/?q=7700031676",
    "search: a frequent word": "/panel/requests/?q=оплатить",
    "search: the beginning of one": "/panel/requests/?q=опл",
    "search: two frequent words": "/panel/requests/?q=оплатить+ромашка",
    "search: a rare word": f"/panel/requests/?q={past.RARE}",
    "search: a word of no request": "/panel/requests/?q=бегемот",
    "search: a frequent word, last page": "/panel/requests/?q=оплатить&last=1",
    "search: a frequent word, by deadline": "/panel/requests/?q=оплатить&sort=deadline",
    "search: a word in what is open": "/panel/requests/?q=оплатить&status=accepted",
    "search: a word of a person's": "/panel/requests/?q=оплатить&assignee=3",
    "a request": "/panel/requests/{newest}/",
    "a request's correspondence": "/panel/requests/{newest}/all",
    "unassigned": "/panel/unassigned/",
    "board: columns": "/panel/board/",
    "board: lanes": "/panel/board/?lanes=1",
    "in danger": "/panel/risk",
    "calendar: week": "/panel/calendar/",
    "calendar: month": "/panel/calendar/?view=month",
    "time-line: day": "/panel/timeline/",
    "time-line: week": "/panel/timeline/?view=week",
    "to call": "/panel/calls/",
    "staff": "/panel/staff/",
    "a colleague": "/panel/staff/3/",
    "history": "/panel/history/",
    "history: an action": "/panel/history/?action=human_called",
    "history: a person": "/panel/history/?actor=3",
    "history: of staff": "/panel/history/?subject=staff",
    "history: a request": "/panel/history/?subject=request:{newest}",
    "history: since a week ago": f"/panel/history/?since={_WEEK_AGO}",
    "response times": "/panel/times/",
    **{
        f"response times: by {by}": f"/panel/times/?by={by}"
        for by in ("department", "kind", "client", "channel")
    },
    "response times: people": "/panel/times/people",
    "response times: the list behind": "/panel/times/list?measure=whole",
}
CLIENTS: dict[str, str] = {
    "clients: first page": "/panel/clients/",
    "clients: last page": "/panel/clients/?last=1",
    "clients: search": "/panel/clients/?q=вектор",
    "clients: unconfirmed": "/panel/clients/?new=1",
    "a client": "/panel/clients/4/",
    "a client's open requests": "/panel/client/4/requests",
    "a client's ended requests": "/panel/client/4/requests?ended=1",
    "a client's correspondence": "/panel/client/4/correspondence",
    "a client's files": "/panel/client/4/files",
    "clients in a messenger": "/panel/clients/coverage/",
}
GROWING: dict[str, str] = {
    "response times: a year": f"/panel/times/?{_YEAR}",
    "export of all requests (CSV)": "/panel/requests/?format=csv",
}
"""What is longer because more is asked for; measured once and without a goal."""


@dataclass(slots=True)
class Served:
    """A panel behind a socket, and the cookie of the director."""

    port: int
    cookie: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def ask(self, name: str, path: str, *, keep: bool = True) -> float:
        """Ask for a page; the seconds until its first byte."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            begin, worked = time.perf_counter(), time.process_time()
            connection.request("GET", _quoted(path), headers={"Cookie": self.cookie} if self.cookie else {})
            answer = connection.getresponse()
            spent, worked = time.perf_counter() - begin, time.process_time() - worked
            body = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise SystemExit(f"{name}: {path} answered with {answer.status}")
        if keep:
            self.seconds.setdefault(name, []).append(spent)
            self.processor.setdefault(name, []).append(worked)
            self.rows[name] = body.count(b"<tr") + body.count(b"<li")
        return spent

    def median(self, name: str) -> float:
        """The median seconds of a page."""
        return statistics.median(self.seconds[name])

    def work(self, name: str) -> float:
        """The median seconds of the processor: what other programs on the machine do not change."""
        return statistics.median(self.processor[name])


def _quoted(path: str) -> str:
    return quote(path, safe="/?&=+%~:,")


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the name of the parent
        """Say nothing: a line a page would be part of the figure."""


@contextmanager
def served(app: Flask, cookie: str = "") -> Iterator[Served]:
    """The application on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=False, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Served(server.server_port, cookie)
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def panel(office: Office) -> Iterator[Served]:
    """The panel, with the director signed in."""
    cookie = office.browser("director").client.get_cookie("priem_panel", path="/panel")
    assert cookie is not None
    with served(office.app, f"priem_panel={cookie.value}") as found:
        yield found
    office.database.sync_engine.dispose()


def compare(
    title: str, pages: dict[str, str], small: Served, large: Served, sizes: Sequence[int], rounds: int
) -> float:
    """Print the pages of two firms beside each other; the worst ratio."""
    filled = [
        {name: path.format(newest=size, middle=size // 2) for name, path in pages.items()} for size in sizes
    ]
    for turn in range(rounds + 1):
        for name in pages:
            for one, paths in zip((small, large), filled, strict=True):
                one.ask(name, paths[name], keep=turn > 0)
    worst = 0.0
    print(f"\n{title:<40}{'small':>10}{'large':>10}{'ratio':>7}{'by CPU':>8}{'rows':>10}   (goal {GOAL})")
    for name in pages:
        ratio, work = large.median(name) / small.median(name), large.work(name) / small.work(name)
        worst = max(worst, work)
        rows = f"{small.rows[name]}/{large.rows[name]}"
        times = f"{small.median(name) * 1000:>8.1f}ms{large.median(name) * 1000:>8.1f}ms"
        print(
            f"{name:<40}{times}{ratio:>7.2f}{work:>8.2f}{rows:>10}{' !' if work > GOAL else ''}", flush=True
        )
    return worst


def beside_flask_admin(office: Office, ours: Served, size: int, rounds: int) -> float:
    """Print our last page beside Flask-Admin's own; the ratio."""
    app = flask_admin_list.create_app(office.database.sync_engine)
    last = f"/admin/request/?page={(size - 1) // 50}"
    with served(app) as peer:
        for turn in range(min(rounds, 7) + 1):
            peer.ask("last", last, keep=turn > 0)
            ours.ask("beside", "/panel/requests/?last=1", keep=turn > 0)
        ratio = ours.median("beside") / peer.median("last")
        print(
            f"\nlast page of {size}: ours {ours.median('beside') * 1000:.1f} ms, Flask-Admin's ModelView "
            f"{peer.median('last') * 1000:.1f} ms, ratio {ratio:.3f} (goal {PEER_GOAL})"
        )
    return ratio


def main() -> int:
    """Measure everything; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="only pages whose name this expression finds")
    parser.add_argument("--keep", type=Path, help="a folder for the databases, used again by the next run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        template = folder / "empty.sqlite3"
        migrate(f"sqlite:///{template}")
        return _measure(folder, template, arguments)


def _measure(folder: Path, template: Path, arguments: argparse.Namespace) -> int:
    def chosen(pages: dict[str, str]) -> dict[str, str]:
        return {name: path for name, path in pages.items() if re.search(arguments.only, name)}

    sizes = (arguments.small, arguments.large)
    offices = [past.office_with(folder / str(size), template, size) for size in sizes]
    many = past.office_with(folder / "clients", template, arguments.small, MANY_CLIENTS)
    with panel(offices[0]) as small, panel(offices[1]) as large, panel(many) as crowd:
        lists = chosen({**LISTS, **CLIENTS})
        worst = compare(f"requests {sizes[0]} → {sizes[1]}", lists, small, large, sizes, arguments.rounds)
        small.seconds.clear()
        small.processor.clear()
        title = f"clients {past.CLIENTS} → {MANY_CLIENTS}"
        both = (sizes[0], sizes[0])
        other = chosen({**CLIENTS, "requests: first page": "/panel/requests/", "today": "/panel/"})
        crowded = compare(title, other, small, crowd, both, arguments.rounds) if other else 0.0
        print("\nlonger because more is asked for (once each):")
        for name, path in chosen(GROWING).items():
            print(f"{name:<44}{small.ask(name, path) * 1000:>8.1f}ms{large.ask(name, path) * 1000:>8.1f}ms")
        beside = 0.0
        if re.search(arguments.only, "beside Flask-Admin"):
            beside = beside_flask_admin(offices[1], large, sizes[1], arguments.rounds)
    print(f"\nworst page, by CPU: {worst:.2f} by requests, {crowded:.2f} by clients (goal {GOAL})")
    return 0 if max(worst, crowded) <= GOAL and beside <= PEER_GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
