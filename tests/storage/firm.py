"""A small firm in a fresh database, in the middle of a working day, and what must always hold of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlmodel import Session, SQLModel, select

from forms.deadline import Deadline, to_text
from forms.messages import Inbound, InboundKind
from forms.texts import Text
from router.desk import Event
from router.model import Role, Status
from router.worktime import WorkCalendar
from storage import casework, history
from storage.casework import NewRequest
from storage.engine import Database
from storage.house import House, Who
from storage.models import (
    AnswerVersion,
    Chat,
    Client,
    ClientPerson,
    History,
    Letter,
    Message,
    Person,
    Request,
    Shift,
    Staff,
    StageInterval,
)

MOSCOW = ZoneInfo("Europe/Moscow")
WEDNESDAY = datetime(2026, 11, 25, 11, 0, tzinfo=MOSCOW).astimezone(UTC)
"""An ordinary working day at 11:00; the days after it are ordinary too."""
MINUTE = timedelta(minutes=1)

STAFF = (
    ("anna", "Анна Петрова", Role.ACCOUNTANT),
    ("boris", "Борис Лядов", Role.ACCOUNTANT),
    ("elena", "Елена Дирова", Role.DIRECTOR),
    ("oleg", "Олег Замов", Role.DEPUTY),
    ("galina", "Галина Контролёрова", Role.CONTROLLER),
)
CLIENTS = (
    ("maria", "Мария", "7707083893", "ООО «Ромашка»"),
    ("pyotr", "Пётр", "500100732259", "ИП Ветров"),
)

Row = TypeVar("Row", bound=SQLModel)
T = TypeVar("T")


def say(text: Text) -> str:
    """Sentences with their values: enough to look for a name in them."""
    shown = {
        name: say(value) if isinstance(value, Text) else str(value) for name, value in text.params.items()
    }
    return text.msgid.format_map(shown)


def house(**settled: int) -> House:
    calendar = WorkCalendar(MOSCOW, time(9), time(18), lunch=(time(13), time(14)))
    return House(calendar=calendar, say=say, firm_name="Баланс", consent_version="3", **settled)


@dataclass(slots=True)
class Firm:
    """People by their first names: `people` are persons, `chats` their only chats, `staff` their numbers."""

    database: Database
    house: House = field(default_factory=house)
    clock: datetime = WEDNESDAY
    people: dict[str, int] = field(default_factory=dict)
    chats: dict[str, int] = field(default_factory=dict)
    staff: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, database: Database) -> Firm:
        firm = cls(database)
        early = WEDNESDAY - timedelta(hours=2)
        with database.begin() as session:
            for key, name, role in STAFF:
                firm._human(session, key, name, early)
                member = Staff(person_id=firm.people[key], role=role.value, created_at=early)
                session.add(member)
                session.flush()
                firm.staff[key] = member.id
            for key in ("anna", "boris"):
                session.add(Shift(staff_id=firm.staff[key], kind="work", started_at=early))
            for key, name, inn, company in CLIENTS:
                firm._human(session, key, name, early, consent_version="3")
                client = Client(name=company, inn=inn, created_at=early)
                session.add(client)
                session.flush()
                session.add(ClientPerson(client_id=client.id, person_id=firm.people[key], created_at=early))
        return firm

    def _human(self, session: Session, key: str, name: str, at: datetime, **more: str) -> None:
        person = Person(name=name, created_at=at, **more)
        session.add(person)
        session.flush()
        chat = Chat(channel="webchat", chat_key=key, user_key=key, person_id=person.id, created_at=at)
        session.add(chat)
        session.flush()
        self.people[key], self.chats[key] = person.id, chat.id

    def who(self, key: str, through: str = "webchat") -> Who:
        found = {name: (full, role) for name, full, role in STAFF}.get(key)
        if found is None:
            return Who(through, self.people[key], name=key)
        return Who(through, self.people[key], self.staff[key], found[1], found[0])

    def do(self, action: Callable[..., T], key: str, *words: object, **named: object) -> T:
        """Somebody does something in a transaction of its own."""
        with self.database.begin() as session:
            return action(session, self.house, self.who(key), *words, self.clock, **named)

    def form(self, client: str = "maria", hours: float = 5, **answers: str) -> NewRequest:
        _key, _name, inn, company = next(found for found in CLIENTS if found[0] == client)
        deadline = to_text(Deadline((self.clock + timedelta(hours=hours)).astimezone(MOSCOW)))
        filled = {"inn": inn, "company": company, "kind": "pay", "task": "Оплатить счёт № 15", "files": "[]"}
        filled |= {"deadline": deadline, **answers}
        return NewRequest(filled, self.people[client], self.chats[client], "webchat", self.clock - MINUTE)

    def submit(self, client: str = "maria", hours: float = 5, **answers: str) -> int:
        with self.database.begin() as session:
            return casework.submit(session, self.house, self.form(client, hours, **answers), self.clock)

    def submitted_to(self, key: str, **form: object) -> int:
        """A request that stands with this person, not accepted yet."""
        number = self.submit(**form)
        if self.request(number).assignee_id != self.staff[key]:
            self.do(casework.reassign, "elena", number, self.staff[key], "")
        return number

    def accepted_by(self, key: str, **form: object) -> int:
        number = self.submitted_to(key, **form)
        self.do(casework.accept, key, number)
        return number

    def nobody_works(self) -> None:
        for shift in self.rows(Shift, ended_at=None):
            self.change(Shift, shift.id, ended_at=self.clock)

    def starts(self, key: str) -> None:
        with self.database.begin() as session:
            session.add(Shift(staff_id=self.staff[key], kind="work", started_at=self.clock))

    # What is in the tables.

    def rows(self, table: type[Row], **values: object) -> list[Row]:
        with self.database.read() as session:
            return list(
                session.exec(select(table).filter_by(**values).order_by(*table.__table__.primary_key))
            )

    def row(self, table: type[Row], **values: object) -> Row:
        found = self.rows(table, **values)
        assert len(found) == 1, found
        return found[0]

    def change(self, table: type[Row], row_id: int, **values: object) -> None:
        with self.database.begin() as session:
            row = session.get_one(table, row_id)
            for name, value in values.items():
                setattr(row, name, value)

    def request(self, number: int) -> Request:
        return self.row(Request, id=number)

    def letters(self, key: str, **values: object) -> list[Letter]:
        return self.rows(Letter, person_id=self.people[key], **values)

    def told(self, since: int = 0) -> list[tuple[str, str]]:
        """Who was told what, from a number of letters on: the person and the word in the letter's key."""
        names = {person_id: name for name, person_id in self.people.items()}
        return sorted((names[row.person_id], row.key.split(":")[-2]) for row in self.rows(Letter)[since:])

    def check(self) -> None:
        """Hold everything against what must be true of every request at every moment."""
        with self.database.read() as session:
            assert history.verify(session).ok
        for request in self.rows(Request):
            self._check_clock(request)
            self._check_history(request)
            self._check_answers(request)

    def _check_clock(self, request: Request) -> None:
        intervals = self.rows(StageInterval, request_id=request.id)
        assert intervals[0].started_at == request.submitted_at
        for interval, following in pairwise(intervals):
            assert interval.started_at <= interval.ended_at == following.started_at
        last = intervals[-1]
        if request.status in (Status.CLOSED, Status.CANCELLED):
            assert last.ended_at == request.closed_at
            assert request.stage is None
        else:
            assert (last.ended_at, last.stage, last.staff_id) == (None, request.stage, request.assignee_id)

    def _check_history(self, request: Request) -> None:
        noted = self.rows(History, subject=f"request:{request.id}")
        # What a client proposes or edits is noted beside the changes and is none itself.
        rows = [row for row in noted if row.action in set(Event)]
        assert rows[0].action == "submitted"
        assert rows[0].before == ""
        was = {"status": "new", "assignee_id": None}
        for row in rows[1:]:
            before, after = json.loads(row.before), json.loads(row.after)
            assert {name: before[name] for name in was} == was, row.action
            was = {name: after[name] for name in was}
        assert was == {"status": request.status, "assignee_id": request.assignee_id}
        assert request.version == len(rows)

    def _check_answers(self, request: Request) -> None:
        latest: dict[str, tuple[int, str]] = {}
        for row in self.rows(AnswerVersion, request_id=request.id):
            assert row.version == latest.get(row.field, (0, ""))[0] + 1
            latest[row.field] = row.version, row.value
        assert {name: value for name, (_version, value) in latest.items()} == request.answers


def inbound(
    chat: str,
    event: str,
    text: str = "",
    *,
    channel: str = "webchat",
    at: datetime = WEDNESDAY,
    **more: object,
) -> Inbound:
    """A message as a messenger gives it; before consent nothing of `text` and `user_name` may be kept."""
    values: Mapping[str, object] = {"kind": InboundKind.TEXT, "user_name": "Зоя Тайная", **more}
    return Inbound(
        channel=channel, event_key=event, user_key=f"u-{chat}", chat_key=chat, sent_at=at, text=text, **values
    )


__all__ = ["MINUTE", "MOSCOW", "WEDNESDAY", "Firm", "Message", "house", "inbound", "say"]
