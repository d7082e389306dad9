"""Years of a firm's requests, written straight into the tables of SQLite: a million in two minutes.

The present is the same however long the past is: the last thousand requests came in the last thirty
days, a few hundred of them are open. The past lies in the eight years before. Clients and staff are as
many as ever.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from storage.casework import search_text
from storage.search import REQUESTS_IN_BLOCK, words_of
from tests.admin.office import NOW, Office, office_over, open_office

PRESENT = 1_000
OPEN = 300
CLIENTS, STAFF = 134, 20
YEARS = 8
MONTH = timedelta(days=30)

KINDS = (
    "pay", "report", "advice", "balance", "document", "waybill", "pay", "report", "pay", "advice", "pay",
)  # fmt: skip
CHANNELS = ("webchat", "telegram", "telegram", "max", "vk", "whatsapp", "telegram", "mail")
VERBS = ("Оплатить", "Подготовить", "Сдать", "Проверить", "Выставить", "Отправить", "Сверить")
THINGS = ("счёт", "договор", "акт", "декларацию", "накладную", "отчёт", "справку", "реестр", "платёжку")
PARTNERS = ("Свет", "Ромашка", "Север", "Вектор", "Альфа", "Восход", "Транзит", "Форум", "Каскад")
_STAGES = {"waiting_client": "client", "assigned": "processing", "new": "queue"}
RARE = "эскроу"
"""A word of one request in five thousand."""
_ALL = ("request", "stage_interval", "assignment", "letter", "message", "history", "request_word",
        "inbox_event", "shift", "clarification")  # fmt: skip
_AT_ONCE = 20_000


def office_with(folder: Path, template: Path, requests: int, clients: int = CLIENTS) -> Office:
    """A firm with so many requests; a folder that has them already is opened as it is."""
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        office = open_office(folder, template)
        office.database.sync_engine.dispose()
        fill(folder / "priem.sqlite3", requests, clients)
        done.touch()
    office = office_over(f"sqlite:///{folder / 'priem.sqlite3'}", folder / "files")
    names = ("director", "deputy", "anna", "boris", "lawyer", "controller", "admin")
    office.staff = {name: number for number, name in enumerate(names, start=1)}
    return office


def fill(file: Path, requests: int, clients: int = CLIENTS) -> None:
    """Write everything, without indexes first: made at the end, they are made of sorted rows."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        for pragma in ("journal_mode=off", "synchronous=off", "cache_size=-500000", "foreign_keys=off"):
            connection.execute(f"pragma {pragma}")
        marks = ", ".join("?" * len(_ALL))
        indexes = connection.execute(
            f"select name, sql from sqlite_master where type = 'index' and sql is not null"
            f" and tbl_name in ({marks})",
            _ALL,
        ).fetchall()
        for name, _sql in indexes:
            connection.execute(f"drop index {name}")
        connection.execute("begin")
        people = _People(connection, clients)
        for table, make in _TABLES.items():
            _insert(connection, table, make(range(1, requests + 1), requests, people))
        for statement in _FOLLOWS:
            connection.execute(statement, {"requests": requests} if ":requests" in statement else {})
        connection.execute("commit")
        for _name, sql in indexes:
            connection.execute(sql)
        connection.execute("pragma journal_mode=wal")
    finally:
        connection.close()


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    # The first row says what the columns are; the inner loop takes all the others.
    for first in rows:
        columns = tuple(first)
        statement = f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"
        values = map(tuple, map(dict.values, rows))
        connection.execute(statement, tuple(first.values()))
        while part := list(islice(values, _AT_ONCE)):
            connection.executemany(statement, part)


class _People:
    """Who there is: made here so that their numbers are known."""

    def __init__(self, connection: sqlite3.Connection, clients: int) -> None:
        early = moment(NOW - timedelta(days=366 * YEARS))
        self.staff = [3, 4, 5]
        for number in range(8, STAFF + 1):
            person = _one(connection, "person", name=f"Сотрудник {number:02}", phone="",
                          email=f"s{number}@b.example", consent_version="", created_at=early)  # fmt: skip
            self.staff.append(_one(
                connection, "staff", person_id=person, role="accountant", department="finance",
                skills='["payments","documents","reports"]', capacity=30, active=True, password_hash="",
                totp_secret="", recovery_hashes="[]", calendar_hash="", schedule="{}", digest=True,
                created_at=early, version=1,
            ))  # fmt: skip
        self.clients: list[tuple[int, str, str, int, int]] = []
        for number in range(4, clients + 1):
            name, inn = f"ООО «{PARTNERS[number % 9]} {number}»", f"{7_700_000_000 + number * 7919:010}"
            client = _one(
                connection, "client", name=name, inn=inn, kind="company", contract="", notes="",
                phone="+7 900 000-00-00", email="", confirmed=True, created_at=early, version=1,
                responsible_id=self.staff[number % len(self.staff)],
            )  # fmt: skip
            person = _one(connection, "person", name=f"Клиент {number}", phone="", email="",
                          consent_version="1", created_at=early)  # fmt: skip
            chat = _one(
                connection, "chat", channel=CHANNELS[number % len(CHANNELS)], chat_key=f"c{number}",
                user_key=f"u{number}", person_id=person, rank=0, screen="[]", focus="", created_at=early,
            )  # fmt: skip
            _one(connection, "client_person", client_id=client, person_id=person, post="", may_pay=True,
                 sees_all=True, created_at=early)  # fmt: skip
            self.clients.append((client, name, inn, person, chat))
        # Whoever sends requests is the same however long the list of clients is.
        self.senders = self.clients[: CLIENTS - 3]


def _one(connection: sqlite3.Connection, table: str, **values: Any) -> int:
    marks = ", ".join("?" * len(values))
    done = connection.execute(
        f"insert into {table} ({', '.join(values)}) values ({marks})", tuple(values.values())
    )
    return int(done.lastrowid or 0)


def moment(at: datetime) -> str:
    """A moment as SQLite keeps it; `at` is in UTC."""
    return at.isoformat(" ", "microseconds")[:26]


def _sender(number: int, people: _People) -> tuple[int, str, str, int, int]:
    """One client sends a tenth of everything."""
    return people.senders[0 if number % 10 == 3 else number % len(people.senders)]


def _sent_at(number: int, requests: int) -> datetime:
    past = requests - PRESENT
    if number > past:
        return NOW - MONTH + MONTH * (number - past) / (PRESENT + 1)
    whole = timedelta(days=365 * YEARS)
    return NOW - MONTH - whole + whole * (number / (past + 1))


def _is_open(number: int, requests: int) -> bool:
    return requests - number < OPEN


def _status(number: int, requests: int) -> str:
    if _is_open(number, requests):
        return ("accepted", "assigned", "accepted", "waiting_client", "done", "new")[number % 6]
    return "cancelled" if number % 13 == 0 else "closed"


def _task(number: int) -> str:
    words = (
        f"{VERBS[number % 7]} {THINGS[number // 7 % 9]} № {number * 13 % 9973}",
        f"от {number % 28 + 1:02}.{number % 12 + 1:02} на {number * 37 % 90_000 + 1_000} ₽",
        f"для ООО «{PARTNERS[number // 63 % 9]}», прошу до обеда",
    )
    return " ".join(words) + (f", через {RARE}" if number % 5_000 == 1 else "")


def _requests(numbers: Iterable[int], requests: int, people: _People) -> Iterator[dict[str, Any]]:
    for number in numbers:
        client, name, inn, person, chat = _sender(number, people)
        at, status = _sent_at(number, requests), _status(number, requests)
        kind, task = KINDS[number % len(KINDS)], _task(number)
        deadline = (
            at + timedelta(hours=30 + number % 50) + (MONTH if _is_open(number, requests) else timedelta())
        )
        ended = status in ("closed", "cancelled")
        yield {
            "id": number, "status": status,
            "stage": None if ended or status == "done" else _STAGES.get(status, "execution"),
            "kind": kind, "company": name, "inn": inn, "task": task,
            "deadline": moment(deadline),
            "answers": json.dumps({"inn": inn, "company": name, "kind": kind, "task": task, "files": "[]"},
                                  ensure_ascii=False),
            "client_id": client, "person_id": person, "chat_id": chat,
            "channel": CHANNELS[number % len(CHANNELS)],
            "assignee_id": None if status == "new" else people.staff[number % len(people.staff)],
            "created_at": moment(at), "submitted_at": moment(at), "assigned_at": moment(at),
            "accepted_at": moment(at + timedelta(minutes=3)),
            "first_response_at": moment(at + timedelta(minutes=5)),
            "first_responder_id": people.staff[number % len(people.staff)],
            "done_at": moment(at + timedelta(minutes=12 + number % 30)) if ended or status == "done"
            else None,
            "done_by": people.staff[number % len(people.staff)] if ended or status == "done" else None,
            "closed_at": moment(at + timedelta(hours=20)) if ended else None,
            "result": "Сделано." if ended else "",
            "unanswered_since": moment(at) if _is_open(number, requests) and number % 10 == 0 else None,
            "search": search_text(name, inn, task), "version": 4,
        }  # fmt: skip


# Everything that follows from a request is made of it by SQLite itself.
_FOLLOWS = (
    """
    insert into stage_interval (request_id, stage, staff_id, started_at, ended_at)
    select id, stretch.stage, coalesce(assignee_id, 3),
           strftime('%Y-%m-%d %H:%M:%f000', submitted_at, stretch.begins || ' minutes'),
           case when stretch.ends < 12 then
                    strftime('%Y-%m-%d %H:%M:%f000', submitted_at, stretch.ends || ' minutes')
                else done_at end
    from request join (
        select 'processing' as stage, 0 as begins, 3 as ends union all select 'execution', 3, 8
        union all select 'client', 8, 9 union all select 'clarification', 9, 10
        union all select 'execution', 10, 12
    ) as stretch
    order by id, stretch.begins
    """,
    """
    insert into assignment (request_id, staff_id, by, reason, trace, declined, created_at)
    select id, coalesce(assignee_id, 3), 'router', 'меньше других занят', '', false, submitted_at from request
    """,
    """
    insert into letter (key, chat_id, person_id, request_id, text, rows, files, prompt, urgent, state,
        not_before, attempts, lease_owner, message_key, reason, created_at, sent_at, delivered_at, read_at)
    select printf('%09d:%d', id, which), chat_id, person_id, id,
           'Заявка № ' || id || ': приняли, исполнитель сделает к сроку.', '[]', '[]', false, false,
           case when which = 3 and id % 20 = 0 and id > :requests - 200 then 'failed' else 'sent' end,
           submitted_at, 1, '', id || 'k' || which, '', submitted_at, submitted_at, submitted_at, submitted_at
    from request join (select 0 as which union all select 1 union all select 2 union all select 3)
    order by id, which
    """,
    """
    insert into message (chat_id, request_id, person_id, direction, kind, text, files, event_key,
        message_key, field, sent_at, received_at)
    select chat_id, id, person_id, 'in', 'text', 'Добрый день, есть ли новости?', '[]', id || '-' || which,
           'm' || id || 'k' || which, '', submitted_at, submitted_at
    from request join (select 0 as which union all select 1) order by id, which
    """,
    """
    insert into history (at, actor_id, through, action, subject, before, after, previous_hash, hash)
    select submitted_at, case when which > 1 then assignee_id end, iif(which, 'panel', 'webchat'),
           line.action, line.subject || ':' || iif(which < 4, id, id % 17 + 1), '{"status":"assigned"}',
           iif(which = 5, '{"told":0}', '{"status":"accepted"}'),
           printf('%064d', id * 8 + which - 1), printf('%064d', id * 8 + which)
    from request join (
        select 0 as which, 'submitted' as action, 'request' as subject, 1 as every
        union all select 1, 'assigned', 'request', 1 union all select 2, 'accepted', 'request', 1
        union all select 3, 'done', 'request', 1 union all select 4, 'signed_in', 'staff', 17
        union all select 5, 'human_called', 'chat', 600
    ) as line
    where id % line.every = 0 order by id, which
    """,
    """
    insert into inbox_event (channel, event_key, chat_id, state, received_at)
    select 'telegram', printf('%09d', id), chat_id, 'done', submitted_at from request
    """,
)


def _shifts(_numbers: Iterable[int], requests: int, people: _People) -> Iterator[dict[str, Any]]:
    days = 365 * YEARS if requests > PRESENT else 30
    for ago in range(days, 0, -1):
        for staff in people.staff:
            begin = NOW - timedelta(days=ago, hours=2)
            yield {
                "staff_id": staff, "kind": "work", "started_at": moment(begin),
                "ended_at": moment(begin + timedelta(hours=9)),
            }  # fmt: skip


def _words(numbers: Sequence[int], _requests: int, people: _People) -> Iterator[dict[str, Any]]:
    for begin in range(0, len(numbers) + 1, REQUESTS_IN_BLOCK):
        found: list[tuple[str, int]] = []
        for number in range(max(begin, 1), min(begin + REQUESTS_IN_BLOCK, len(numbers) + 1)):
            _id, name, inn, *_rest = _sender(number, people)
            found += [(word, number) for word in words_of(search_text(name, inn, _task(number)))]
        for word, number in sorted(found):
            yield {"block": begin // REQUESTS_IN_BLOCK, "word": word, "request_id": number}


_TABLES: dict[str, Callable[[Any, int, _People], Iterator[dict[str, Any]]]] = {
    "request": _requests,
    "shift": _shifts,
    "request_word": _words,
}
