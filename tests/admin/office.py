"""A small firm in the middle of a working day: real SQLite, real use cases, a browser without pictures."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask
from flask.testing import FlaskClient

from admin.doors import MessengerState
from admin.panel import PanelDoors, create_panel
from app.settings import channel_kinds
from forms.deadline import Deadline, to_text
from notifications.texts import Catalogue
from router.model import Role
from router.worktime import WorkCalendar
from storage import access, casework
from storage.casework import NewRequest
from storage.engine import Database, open_database
from storage.files import FileStore
from storage.house import House, WayIn, Who
from storage.live_house import LiveHouse
from storage.models import Attachment, Chat, Client, ClientPerson, Letter, Message, Person, Shift, Staff

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2026, 11, 25, 11, 0, tzinfo=MOSCOW).astimezone(UTC)
"""A Wednesday at 11:00."""

NASTY = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}"
"""What a client might type."""

STAFF = (
    ("director", "Елена Дирова", Role.DIRECTOR, "director@balans.example"),
    ("deputy", "Олег Замов", Role.DEPUTY, "deputy@balans.example"),
    ("anna", "Анна Петрова", Role.ACCOUNTANT, "anna@balans.example"),
    ("boris", "Борис Лядов", Role.ACCOUNTANT, "boris@balans.example"),
    ("lawyer", "Вера Юристова", Role.LAWYER, "vera@balans.example"),
    ("controller", "Галина Контролёрова", Role.CONTROLLER, "galina@balans.example"),
    ("admin", "Денис Админов", Role.ADMIN, "denis@balans.example"),
)
CLIENTS = (("ООО «Ромашка»", "7707083893"), ("ИП Ветров Пётр", "500100732259"), ("ООО «Север»", "7736050003"))


@dataclass(slots=True)
class Office:
    """The firm, its panel, and the clock on its wall."""

    database: Database
    files: FileStore
    app: Flask
    clock: datetime = NOW
    staff: dict[str, int] = field(default_factory=dict)
    persons: dict[str, int] = field(default_factory=dict)
    clients: list[int] = field(default_factory=list)
    chats: list[int] = field(default_factory=list)
    speakers: list[int] = field(default_factory=list)
    woken: int = 0
    messengers: tuple[MessengerState, ...] = ()

    @property
    def house(self) -> House:
        return self.app.extensions["priem"].house

    def wake(self) -> None:
        self.woken += 1

    def who(self, name: str) -> Who:
        role = {key: role for key, _name, role, _email in STAFF}[name]
        full = {key: full for key, full, _role, _email in STAFF}[name]
        return Who("panel", self.persons[name], self.staff[name], role, full)

    def submit(
        self,
        client: int = 0,
        kind: str = "pay",
        task: str = "Оплатить счёт № 15 от 20.11",
        hours: int = 5,
        **more: str,
    ) -> int:
        """A client sends a finished form; the router does the rest. Returns the number."""
        name, inn = CLIENTS[client]
        answers = {
            "inn": inn,
            "company": name,
            "kind": kind,
            "task": task,
            "files": "[]",
            "deadline": to_text(Deadline((self.clock + timedelta(hours=hours)).astimezone(MOSCOW))),
            **more,
        }
        new = NewRequest(answers, self.speakers[client], self.chats[client], "webchat", self.clock)
        with self.database.begin() as session:
            return casework.submit(session, self.house, new, self.clock)

    def give(self, number: int, name: str) -> None:
        """The director gives a request to somebody."""
        row = self.request(number)
        if row.assignee_id != self.staff[name]:
            with self.database.begin() as session:
                casework.reassign(
                    session, self.house, self.who("director"), number, self.staff[name], "", self.clock
                )

    def request(self, number: int):
        from storage.models import Request

        with self.database.read() as session:
            return session.get_one(Request, number)

    def attach(self, number: int, name: str = "счёт.pdf", content: bytes = b"%PDF-1.4\n%%EOF\n") -> int:
        """Put a kept file to a request; returns its number."""
        digest = hashlib.sha256(content).hexdigest()
        place = self.files.folder / digest[:2] / digest[2:4]
        place.mkdir(parents=True, exist_ok=True)
        (place / digest).write_bytes(content)
        with self.database.begin() as session:
            row = Attachment(
                request_id=number,
                sha256=digest,
                name=name,
                size_bytes=len(content),
                media_type="application/pdf",
                purpose="request",
                created_at=self.clock,
            )
            session.add(row)
            session.flush()
            return row.id or 0

    def write(self, number: int, text: str, client: int = 0) -> None:
        """The client writes into the correspondence."""
        with self.database.begin() as session:
            session.add(
                Message(
                    chat_id=self.chats[client],
                    request_id=number,
                    person_id=self.speakers[client],
                    direction="in",
                    text=text,
                    sent_at=self.clock,
                    received_at=self.clock,
                    event_key=f"m{number}{len(text)}",
                )
            )

    def all(self, table, **equal):
        from sqlmodel import col, select

        with self.database.read() as session:
            query = select(table).order_by(col(table.id))
            for name, value in equal.items():
                query = query.where(getattr(table, name) == value)
            return list(session.exec(query))

    def browser(self, name: str | None = None) -> Browser:
        """A browser; signed in as one of the staff when a name is given."""
        browser = Browser(self.app.test_client())
        if name is not None:
            token = secrets.token_urlsafe()
            with self.database.begin() as session:
                access.open_session(
                    session, self.staff[name], token, self.clock, address="127.0.0.1", browser="Chrome, Linux"
                )
            with browser.client.session_transaction(base_url="http://localhost/panel/") as session:
                session["_user_id"] = token
                session["csrf_token"] = "token-of-the-test"
        return browser


@dataclass(slots=True)
class Browser:
    """Sends forms as a browser would: with the token of the page it has just seen."""

    client: FlaskClient

    def get(self, path: str, **more):
        # Buffered: a file that is sent is closed again.
        return self.client.get(path, buffered=True, **more)

    def page(self, path: str) -> str:
        """The page, which must be there."""
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.get_data(as_text=True)

    def send(self, path: str, follow: bool = False, **fields):
        """Send a form with the session's token."""
        with self.client.session_transaction(base_url="http://localhost/panel/") as session:
            token = session.get("csrf_token")
        if token is None:
            found = re.search(
                r'name="csrf_token" value="([^"]+)"', self.client.get("/panel/sign-in").get_data(as_text=True)
            )
            token = found.group(1) if found else ""
        return self.client.post(
            path, data={"csrf_token": token, **fields}, follow_redirects=follow, buffered=True
        )


def open_office(folder: Path, template: Path, public_url: str = "http://localhost") -> Office:
    """Open a firm over a copy of a migrated, empty database."""
    file = folder / "priem.sqlite3"
    shutil.copy(template, file)
    office = office_over(f"sqlite:///{file}", folder / "files", public_url)
    _people(office)
    return office


def copy_of(office: Office, folder: Path) -> Office:
    """The same firm in the same state, in another folder; the original is closed for good."""
    office.database.sync_engine.dispose()
    source = Path(str(office.database.url.database))
    with sqlite3.connect(source) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    shutil.copy(source, folder / source.name)
    shutil.copytree(office.files.folder, folder / "files")
    copy = office_over(f"sqlite:///{folder / source.name}", folder / "files")
    copy.staff, copy.persons, copy.clients = office.staff, office.persons, office.clients
    copy.chats, copy.speakers = office.chats, office.speakers
    return copy


def office_over(url: str, folder: Path, public_url: str = "http://localhost") -> Office:
    """Open a panel over a migrated database; there is nobody in it yet."""
    database = open_database(url)
    catalogue = Catalogue.open("ru")
    calendar = WorkCalendar(MOSCOW, time(9), time(18), (time(13), time(14)))

    def built(spoken: Catalogue) -> House:
        return House(
            calendar,
            spoken.say,
            "Баланс Актив",
            "+7 495 000-00-00",
            channel_titles={name: spoken.say(kind.title) for name, kind in channel_kinds().items()},
            ways_in=lambda: (WayIn("Веб-чат", "http://localhost/chat?code={code}"),),
        )

    files = FileStore(folder, 10 * 1024 * 1024)
    holder: list[Office] = []
    house = LiveHouse(database, catalogue, built, lambda: holder[0].clock)
    house.refresh()
    doors = PanelDoors(
        database=database,
        house_now=house,
        filed=house.filed,
        settled=house.refresh,
        files=files,
        secret_key="a test key that is long enough",
        now=lambda: holder[0].clock,
        wake=lambda: Office.wake(holder[0]),
        messengers=lambda: holder[0].messengers,
        public_url=public_url,
    )
    app = create_panel(doors)
    app.config["TESTING"] = True
    holder.append(Office(database, files, app))
    return holder[0]


def _people(office: Office) -> None:
    early = NOW - timedelta(days=60)
    with office.database.begin() as session:
        for key, name, role, email in STAFF:
            person = Person(name=name, email=email, created_at=early)
            session.add(person)
            session.flush()
            skills = {
                Role.ACCOUNTANT: ["payments", "documents", "reports"],
                Role.LAWYER: ["contracts", "advice"],
            }
            row = Staff(
                person_id=person.id,
                role=role.value,
                department="legal" if role is Role.LAWYER else "finance",
                skills=skills.get(role, []),
                created_at=early,
            )
            session.add(row)
            session.flush()
            office.staff[key], office.persons[key] = row.id, person.id
            session.add(
                Chat(
                    channel="webchat",
                    chat_key=f"staff-{key}",
                    user_key=key,
                    person_id=person.id,
                    created_at=early,
                )
            )
            if role.takes_requests:
                session.add(Shift(staff_id=row.id, kind="work", started_at=NOW - timedelta(hours=2)))
        for number, (name, inn) in enumerate(CLIENTS):
            client = Client(
                name=name,
                inn=inn,
                kind="company" if len(inn) == 10 else "proprietor",
                phone="+7 900 000-00-00",
                responsible_id=office.staff["anna"] if number == 0 else None,
                confirmed=number < 2,
                created_at=early,
            )
            person = Person(name=f"Клиент {number}", consent_version="1", created_at=early)
            session.add_all((client, person))
            session.flush()
            chat = Chat(
                channel="webchat",
                chat_key=f"client-{number}",
                user_key=f"u{number}",
                person_id=person.id,
                created_at=early,
            )
            session.add_all((chat, ClientPerson(client_id=client.id, person_id=person.id, created_at=early)))
            session.flush()
            office.clients.append(client.id)
            office.speakers.append(person.id)
            office.chats.append(chat.id)


def fill(office: Office) -> dict[str, int]:
    """A past and a present: requests in every state. Returns numbers by what they are."""
    start = office.clock
    numbers: dict[str, int] = {}
    for day in range(12, 1, -1):
        office.clock = start - timedelta(days=day)
        if not office.house.calendar.is_open(office.clock):
            continue
        number = office.submit(
            day % 3, ("pay", "report", "advice", "balance")[day % 4], f"Прошлая задача № {day}", hours=30
        )
        _carry_out(office, number, minutes=(3 + day % 4, 2 + day % 3, 4 + day % 5))
        numbers["past"] = number
    office.clock = start - timedelta(hours=1, minutes=40)
    numbers["working"] = office.submit(0, "pay", "Оплатить счёт № 77, ООО «Свет», 12 345 ₽", hours=6)
    office.give(numbers["working"], "anna")
    office.clock += timedelta(minutes=4)
    _step(office, casework.accept, numbers["working"], "anna")
    office.write(numbers["working"], "Счёт во вложении, спасибо")
    office.attach(numbers["working"])
    office.clock += timedelta(minutes=2)
    _step(office, casework.answer, numbers["working"], "anna", "Поставили в очередь на оплату.", ())
    _step(office, casework.note, numbers["working"], "anna", "Проверить лимит в банке", ())
    numbers["waiting"] = office.submit(1, "waybill", "Выписать УПД на бумагу", goods="[]", hours=2)
    office.give(numbers["waiting"], "boris")
    office.clock += timedelta(minutes=3)
    _step(office, casework.clarify, numbers["waiting"], "boris", "task", "Сколько пачек?")
    office.clock = start - timedelta(minutes=50)
    numbers["late"] = office.submit(0, "report", "Сдать декларацию по УСН", hours=1)
    office.give(numbers["late"], "boris")
    office.clock = start - timedelta(minutes=30)
    numbers["unassigned"] = office.submit(2, "document", "Подготовить договор аренды", hours=8)
    with office.database.begin() as session:
        row = casework.open_case(session, numbers["unassigned"]).row
        if row.assignee_id is not None:
            casework.reassign(
                session,
                office.house,
                office.who("director"),
                numbers["unassigned"],
                None,
                "пока подождёт",
                office.clock,
            )
    numbers["overdue"] = office.submit(1, "balance", "Узнать остаток на счёте", hours=0)
    office.clock = start
    with office.database.begin() as session:
        from sqlmodel import select

        letter = session.exec(select(Letter).where(Letter.request_id == numbers["working"])).first()
        assert letter is not None
        letter.state, letter.reason = "failed", "Клиент закрыл чат"
        session.add(letter)
    return numbers


def _step(office: Office, what, number: int, name: str, *words) -> None:
    with office.database.begin() as session:
        what(session, office.house, office.who(name), number, *words, office.clock)


def _carry_out(office: Office, number: int, minutes: tuple[int, int, int]) -> None:
    from storage.models import Request

    office.give(number, ("anna", "boris")[number % 2])
    name = ("anna", "boris")[number % 2]
    office.clock += timedelta(minutes=minutes[0])
    _step(office, casework.accept, number, name)
    office.clock += timedelta(minutes=minutes[1])
    _step(office, casework.answer, number, name, "Берём в работу.", ())
    office.clock += timedelta(minutes=minutes[2])
    _step(office, casework.done, number, name, "Сделано, подтверждение у вас.", ())
    with office.database.begin() as session:
        row = session.get_one(Request, number)
        casework.rate(session, office.house, Who("webchat", row.person_id), number, 5, office.clock)


__all__ = [
    "CLIENTS",
    "NASTY",
    "NOW",
    "STAFF",
    "Browser",
    "Office",
    "copy_of",
    "fill",
    "office_over",
    "open_office",
]
