"""`priem demo`: everything on SQLite, no token, a firm that is already at work."""

from __future__ import annotations

import random
import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import update
from sqlmodel import Session, col, select

from app import clock, logs
from app.loop import run_in_loop
from app.server import listening
from app.service import house_of, run_service
from app.settings import Consent, Firm, Server, Settings, Storage
from bots.webchat import Settings as WebchatSettings
from forms.deadline import Deadline, to_text
from forms.goods import parse_goods
from notifications.outbox import LetterState
from notifications.texts import Catalogue
from router.model import Role, Status
from storage import casework, shifts
from storage.engine import Database, open_database
from storage.house import House, Who
from storage.invitations import invite_person, invite_staff
from storage.migrate import migrate
from storage.models import Chat, Client, Letter, Message, Person, Request, Staff
from storage.models import Consent as ConsentRow

DEFAULT_FOLDER = Path("priem-data")
PAST_DAYS = 30
PAST_REQUESTS = 60
FRESH_MINUTES = (6, 2)
"""How long ago, in working minutes, the newest requests came: nobody has accepted them yet."""
LINK_DAYS = 1
SEED = 20261122


@dataclass(frozen=True, slots=True)
class _Employee:
    name: str
    role: Role
    email: str


@dataclass(frozen=True, slots=True)
class _Firm:
    inn: str
    name: str
    contact: str


EMPLOYEES = (
    _Employee("Елена Сергеевна Орлова", Role.DIRECTOR, "director@balans.example"),
    _Employee("Анна Петрова", Role.ACCOUNTANT, "anna@balans.example"),
    _Employee("Ольга Белова", Role.ACCOUNTANT, "olga@balans.example"),
    _Employee("Игорь Смирнов", Role.ACCOUNTANT, "igor@balans.example"),
    _Employee("Павел Лазарев", Role.LAWYER, "pavel@balans.example"),
)

CLIENTS = (
    _Firm("7707083893", "ООО «Ромашка»", "Мария"),
    _Firm("7736050003", "ООО «Свет и тень»", "Виктор"),
    _Firm("5003052454", "ООО «Пекарня на углу»", "Светлана"),
    _Firm("500100732259", "ИП Кузнецов А. В.", "Андрей Кузнецов"),
    _Firm("7710140679", "ООО «Мастер окон»", "Денис"),
    _Firm("7702070139", "ООО «Вкусная лавка»", "Наталья"),
)

TASKS = (
    ("pay", "Оплатить аренду за месяц, 45 000 ₽ по счёту 118"),
    ("pay", "ООО «Свет», 12 345 ₽ по счёту 15"),
    ("pay", "Поставщику муки, 78 200 ₽, счёт во вложении"),
    ("balance", "Остаток на расчётном счёте в Сбере на сегодня"),
    ("report", "Декларация по УСН за 2026 год"),
    ("report", "Сведения о сотрудниках за квартал"),
    ("document", "Договор аренды с ИП Ивановым"),
    ("document", "Акт сверки с поставщиком"),
    ("advice", "Можно ли принять наличные от другой компании?"),
    ("waybill", "Отгрузка для ООО «Уют»"),
    ("other", "Подскажите, какие бумаги собрать для кредита"),
)

ANSWERS = ("Взяли в работу, проверяем реквизиты.", "Подготовили, сейчас отправим.", "Всё получили, спасибо.")
RESULTS = (
    "Платёж отправлен.",
    "Готово, документ во вложении.",
    "Отчёт сдан и принят.",
    "Ответили, см. сообщение выше.",
)


def run_demo(port: int, data: Path | None) -> None:
    """Fill a folder on the first start, print the links, serve until Ctrl+C."""
    folder = (data or DEFAULT_FOLDER).resolve()
    settings = _settings(folder, port)
    logs.configure(as_json=False, level="WARNING", secrets=settings.secrets())
    with listening(settings.server.host, port) as taken_port:
        _serve(settings, taken_port, _prepare(settings))


def _prepare(settings: Settings) -> list[tuple[str, str]]:
    """Bring the database up to date, fill an empty one, and make the links."""
    migrate(settings.storage.url)
    house = house_of(settings, Catalogue.open(settings.firm.language))
    database = open_database(settings.storage.url)
    try:
        with database.begin() as session:
            if session.exec(select(Staff).limit(1)).first() is None:
                _fill(session, house, clock.now())
        return _links(database, settings.server.public_url)
    finally:
        database.sync_engine.dispose()


def _settings(folder: Path, port: int) -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    key_file = folder / "secret.key"
    if not key_file.exists():
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    return Settings(
        firm=Firm(name="Баланс Актив", phone="+7 495 000-00-00"),
        consent=Consent(version="3", url="https://example.org/consent"),
        storage=Storage(url="sqlite:///priem.sqlite3", files=Path("files")).beside(folder),
        server=Server(port=port, secret_key=key_file.read_text(encoding="utf-8").strip()),
        bots={"webchat": WebchatSettings()},
    )


def _serve(settings: Settings, port: socket.socket, links: Sequence[tuple[str, str]]) -> None:
    def ready() -> None:
        width = max(len(title) for title, _link in links)
        sys.stdout.write("\nПриём работает. Откройте в браузере:\n\n")
        for title, link in links:
            sys.stdout.write(f"  {title:<{width}}  {link}\n")
        sys.stdout.write(f"\nДанные лежат в {settings.storage.files.parent}. Остановить: Ctrl+C.\n")
        sys.stdout.flush()

    run_in_loop(lambda: run_service(settings, port, ready))


def _links(database: Database, public_url: str) -> list[tuple[str, str]]:
    """Fresh one-time links at every start: each opens once."""
    now = clock.now()
    valid = timedelta(days=LINK_DAYS)
    with database.begin() as session:
        anna = _person(session, EMPLOYEES[1].name)
        director = _person(session, EMPLOYEES[0].name)
        accountant_code = invite_person(session, anna, "chat", now, valid)
        director_code = invite_person(session, director, "signin", now, valid)
    return [
        ("Чат клиента", f"{public_url}/chat"),
        ("Чат бухгалтера", f"{public_url}/chat/staff?code={accountant_code}"),
        ("Панель директора", f"{public_url}/panel/enter/{director_code}"),
        ("Состояние", f"{public_url}/health"),
    ]


def _person(session: Session, name: str) -> int:
    person_id = session.exec(select(col(Person.id)).where(col(Person.name) == name)).first()
    assert person_id is not None
    return person_id


# --- a month of work ---------------------------------------------------------------------------


def _fill(session: Session, house: House, now: datetime) -> None:
    """Live through the last month: the same use cases as always, at earlier times."""
    dice = random.Random(SEED)  # noqa: S311 - plausible, not secret
    staff = [_hire(session, employee, now - timedelta(days=90)) for employee in EMPLOYEES]
    for who in staff:
        if who.role is not None and who.role.takes_requests and who.staff_id is not None:
            shifts.start_work(session, who.staff_id, now)
    clients = [_client(session, firm, staff[1 + number % 3], now) for number, firm in enumerate(CLIENTS)]
    moments = _moments(house, dice, now)
    for number, at in enumerate(moments):
        left = len(moments) - number
        _live(session, house, dice, dice.choice(clients), at, now, unfinished=left)
    session.flush()
    # What the past said has long been read.
    from storage.letters import write_posted

    write_posted(session)
    session.execute(
        update(Letter).where(col(Letter.state).in_(("todo", "failed"))).values(
            state=LetterState.SENT.value, sent_at=col(Letter.created_at), reason=""
        )
    )  # fmt: skip


def _hire(session: Session, employee: _Employee, at: datetime) -> Who:
    invited = invite_staff(session, employee.role, employee.name, employee.email, at)
    staff = session.exec(select(Staff).where(col(Staff.person_id) == invited.person_id)).one()
    session.add(_chat(f"demo-{employee.email}", invited.person_id, at))
    return Who("webchat", invited.person_id, staff.id, employee.role, employee.name)


def _chat(key: str, person_id: int, at: datetime) -> Chat:
    return Chat(
        channel="webchat", chat_key=key, user_key=key, person_id=person_id, last_inbound_at=at, created_at=at
    )


def _client(session: Session, firm: _Firm, keeper: Who, now: datetime) -> tuple[Client, Person, Chat]:
    at = now - timedelta(days=80)
    kind = "proprietor" if len(firm.inn) == 12 else "company"  # noqa: PLR2004 - digits of an INN
    client = Client(name=firm.name, inn=firm.inn, kind=kind, responsible_id=keeper.staff_id, created_at=at)
    person = Person(name=firm.contact, consent_version="3", created_at=at)
    session.add_all((client, person))
    session.flush()
    assert person.id is not None
    chat = _chat(f"demo-{firm.inn}", person.id, at)
    session.add(chat)
    session.flush()
    assert chat.id is not None
    session.add(
        ConsentRow(person_id=person.id, chat_id=chat.id, version="3", text_sha256="0" * 64, given_at=at)
    )
    return client, person, chat


def _moments(house: House, dice: random.Random, now: datetime) -> list[datetime]:
    """Times of the past month within working hours, oldest first; the last few are of today or yesterday."""
    calendar = house.calendar
    start = now - timedelta(days=PAST_DAYS)
    total = calendar.working_seconds(start, now)
    offsets = sorted(dice.sample(range(1, total - 3600), PAST_REQUESTS - len(FRESH_MINUTES)))
    offsets += [total - minutes * 60 for minutes in FRESH_MINUTES]
    return [calendar.add_working(start, offset) for offset in offsets]


def _live(
    session: Session, house: House, dice: random.Random, who: tuple[Client, Person, Chat], at: datetime,
    now: datetime, *, unfinished: int,
) -> None:  # fmt: skip
    client, person, chat = who
    assert person.id is not None
    assert chat.id is not None
    kind, task = dice.choice(TASKS)
    wished = house.calendar.add_working(at, dice.choice((1, 2, 3, 5)) * 8 * 3600).astimezone(
        house.calendar.zone
    )
    answers = {
        "inn": client.inn, "company": client.name, "kind": kind, "task": task, "files": "[]",
        "deadline": to_text(Deadline(wished.replace(second=0, microsecond=0))),
    }  # fmt: skip
    if kind == "waybill":
        answers["goods"] = _goods(dice)
    new = casework.NewRequest(
        answers, person.id, chat.id, chat.channel, at - timedelta(minutes=dice.randint(1, 4))
    )
    number = casework.submit(session, house, new, at)
    session.add(
        Message(
            chat_id=chat.id,
            request_id=number,
            person_id=person.id,
            direction="in",
            text=task,
            sent_at=at,
            received_at=at,
        )
    )
    _work_on(session, house, dice, number, Who("webchat", person.id, name=person.name), at, now, unfinished)


def _goods(dice: random.Random) -> str:
    paper, folders = dice.randint(5, 40), dice.randint(2, 20)
    return parse_goods(f"Бумага А4; {paper}; 350\nПапка-регистратор; {folders}; 189,50").to_text()


def _work_on(
    session: Session,
    house: House,
    dice: random.Random,
    number: int,
    client: Who,
    at: datetime,
    now: datetime,
    unfinished: int,
) -> None:
    """Accept, perhaps clarify, answer, finish, rate: as far as this request has come."""

    def later(low: int, high: int) -> datetime:
        return house.calendar.add_working(at, dice.randint(low * 60, high * 60))

    keeper = _keeper(session, number)
    if keeper is None or unfinished <= 2:  # noqa: PLR2004 - the newest two wait to be accepted
        return
    at = min(later(1, 14), now)
    casework.accept(session, house, keeper, number, at)
    if unfinished <= 5:  # noqa: PLR2004 - three are being worked on
        return
    if dice.random() < 0.25:  # noqa: PLR2004 - every fourth had to be clarified
        at = min(later(1, 5), now)
        casework.clarify(session, house, keeper, number, "task", "Пришлите, пожалуйста, номер договора.", at)
        if unfinished <= 8:  # noqa: PLR2004 - these clients have not answered yet
            return
        at = min(later(5, 60), now)
        _answer_clarification(session, house, number, client, at)
    at = min(later(1, 9), now)
    casework.answer(session, house, keeper, number, dice.choice(ANSWERS), (), at)
    at = min(later(2, 25), now)
    casework.done(session, house, keeper, number, dice.choice(RESULTS), (), at)
    if unfinished > 9:  # noqa: PLR2004 - the oldest were rated
        at = min(later(5, 120), now)
        casework.rate(session, house, client, number, dice.choice((5, 5, 5, 4, 4, 3)), at)


def _keeper(session: Session, number: int) -> Who | None:
    request = session.get_one(Request, number)
    if request.assignee_id is None or request.status != Status.ASSIGNED.value:
        return None
    staff = session.get_one(Staff, request.assignee_id)
    person = session.get_one(Person, staff.person_id)
    return Who("webchat", staff.person_id, staff.id, Role(staff.role), person.name)


def _answer_clarification(session: Session, house: House, number: int, client: Who, at: datetime) -> None:
    from forms.fields import Said
    from storage.models import Clarification

    asked = session.exec(select(Clarification).where(col(Clarification.request_id) == number)).one()
    assert asked.id is not None
    context = casework.form_context(session, house, at)
    task = session.get_one(Request, number).task
    casework.clarified(session, house, client, asked.id, Said(text=f"{task}. Договор 7/26."), context)
