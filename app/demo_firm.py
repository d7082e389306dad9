"""The demo's firm: its people, its clients, a month of finished work and what is going on right now.

Everything is lived through the same use cases as always, at earlier times and within working hours, so
that every figure of the panel can be opened down to its events.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import segno
from sqlalchemy import func, update
from sqlmodel import Session, col, select

from forms.deadline import Deadline, to_text
from forms.fields import AttachedFile, Said, files_to_text
from forms.goods import parse_goods
from notifications.outbox import LetterState
from router.model import Role, Status
from router.worktime import WorkCalendar
from storage import casework, failover
from storage.files import FileStore
from storage.house import House, Who
from storage.invitations import invite_staff
from storage.letters import write_posted
from storage.models import (
    Absence,
    CannedReply,
    Chat,
    Clarification,
    Client,
    ClientPerson,
    Consent,
    Letter,
    Message,
    Person,
    Request,
    Shift,
    Staff,
)

PAST_DAYS = 30
PAST_REQUESTS = 72
SEED = 20261122
MINUTE = 60
HOUR = 60 * MINUTE
WORKING_DAY = 8 * HOUR
PACES = (2.1, 1.5, 1.1, 0.85)
"""How slowly work went in the first quarter of the month, in the second and so on: the firm is learning."""
SLOWER = 1.7
"""How much more time the busiest of them takes than the others."""


@dataclass(frozen=True, slots=True)
class Employee:
    """Somebody of the staff."""

    name: str
    role: Role
    email: str
    capacity: int = 10


@dataclass(frozen=True, slots=True)
class _Firm:
    inn: str
    name: str
    contact: str
    phone: str


DIRECTOR = Employee("Елена Сергеевна Орлова", Role.DIRECTOR, "director@balans.example")
ANNA = Employee("Анна Петрова", Role.ACCOUNTANT, "anna@balans.example")
OLGA = Employee("Ольга Белова", Role.ACCOUNTANT, "olga@balans.example")
IGOR = Employee("Игорь Смирнов", Role.ACCOUNTANT, "igor@balans.example", capacity=4)
PAVEL = Employee("Павел Лазарев", Role.LAWYER, "pavel@balans.example")
MARINA = Employee("Марина Ковалёва", Role.ACCOUNTANT, "marina@balans.example")
TAMARA = Employee("Тамара Зайцева", Role.CONTROLLER, "tamara@balans.example")
EMPLOYEES = (DIRECTOR, ANNA, OLGA, IGOR, PAVEL, MARINA, TAMARA)
_KEEPERS = (ANNA, OLGA, IGOR)

_CLIENTS = (
    _Firm("7707083893", "ООО «Ромашка»", "Мария", "+7 900 000-00-01"),
    _Firm("7736050003", "ООО «Свет и тень»", "Виктор", "+7 900 000-00-02"),
    _Firm("5003052454", "ООО «Пекарня на углу»", "Светлана", "+7 900 000-00-03"),
    _Firm("500100732259", "ИП Кузнецов А. В.", "Андрей Кузнецов", "+7 900 000-00-04"),
    _Firm("7710140679", "ООО «Мастер окон»", "Денис", "+7 900 000-00-05"),
    _Firm("7702070139", "ООО «Вкусная лавка»", "Наталья", "+7 900 000-00-06"),
    _Firm("7709123453", "ООО «Тёплый дом»", "Григорий", "+7 900 000-00-07"),
    _Firm("771234567859", "ИП Соловьёва Н. П.", "Нина Соловьёва", "+7 900 000-00-08"),
    _Firm("7722987653", "ООО «Быстрая почта»", "Артём", "+7 900 000-00-09"),
)
_FLOWERS, _LIGHT, _BAKERY, _KUZNETSOV, _WINDOWS, _SHOP, _HOUSE, _SOLOVYOVA, _POST = range(len(_CLIENTS))

_BALANCE = "Остаток на расчётном счёте в Сбере на сегодня"
_TASKS = (
    ("pay", "Оплатить аренду за месяц, 45 000 ₽ по счёту 118"),
    ("pay", "ООО «Свет», 12 345 ₽ по счёту 15"),
    ("pay", "Поставщику муки, 78 200 ₽ по счёту 204"),
    ("pay", "Зарплата за первую половину месяца, ведомость 11"),
    ("balance", _BALANCE),
    ("balance", "Пришла ли оплата от ООО «Уют»?"),
    ("report", "Сведения о сотрудниках за квартал"),
    ("document", "Договор аренды с ИП Ивановым"),
    ("document", "Акт сверки с поставщиком"),
    ("document", "Доверенность на получение товара"),
    ("advice", "Можно ли принять наличные от другой компании?"),
    ("waybill", "Отгрузка для ООО «Уют»"),
    ("other", "Подскажите, какие бумаги собрать для кредита"),
)
_EXECUTION_SECONDS = {
    "pay": (70, 260), "balance": (50, 180), "waybill": (120, 300), "document": (150, 420),
    "advice": (100, 400), "report": (28 * MINUTE, 62 * MINUTE), "other": (80, 300),
}  # fmt: skip
_CLARIFIED_SHARE = 0.22
_ANSWERS = (
    "Взяли в работу, проверяем реквизиты.",
    "Смотрим, скоро ответим.",
    "Получили, спасибо.",
)
_RESULTS = {
    "pay": "Платёж отправлен.",
    "balance": "Остаток на утро: 318 400 ₽.",
    "waybill": "Накладная готова, отправили вам и покупателю.",
    "document": "Готово, документ отправили на почту.",
    "report": "Отчёт сдан и принят.",
    "advice": "Да, можно. Подробно написали выше.",
    "other": "Список бумаг отправили.",
}
_CANNED = (
    ("Взяли в работу", "{клиент}, взяли заявку № {номер} в работу, ответим сегодня."),
    ("Нужен договор", "{клиент}, пришлите, пожалуйста, договор по заявке № {номер}."),
)
_QUESTION = "Пришлите, пожалуйста, номер договора."


def fill(session: Session, house: House, files: FileStore, now: datetime) -> None:
    """Write the firm into an empty database, as if it had been at work for a month."""
    dice = random.Random(SEED)  # noqa: S311 - plausible, not secret
    firm = _DemoFirm(session, house, files, dice, now)
    firm.opens()
    for at in firm.past_moments():
        firm.lives_through(at)
    firm.is_busy_now()
    session.flush()
    write_posted(session)
    _everything_was_read(session)
    firm.has_one_unreached()
    write_posted(session)
    _nothing_waits(session)


def _everything_was_read(session: Session) -> None:
    """What the past said has long been read."""
    session.execute(
        update(Letter).values(
            state=LetterState.SENT.value, reason="", sent_at=col(Letter.created_at),
            delivered_at=col(Letter.created_at), read_at=col(Letter.created_at),
        )
    )  # fmt: skip


def _nothing_waits(session: Session) -> None:
    """Demo chats are nobody's, except the one that is opened by a link."""
    session.execute(
        update(Letter)
        .where(col(Letter.state) == LetterState.TODO.value)
        .values(state=LetterState.SENT.value, sent_at=col(Letter.created_at))
    )


@dataclass(slots=True)
class _Customer:
    """A client with the person who writes for it."""

    row: Client
    person: Person
    chat: Chat

    @property
    def who(self) -> Who:
        assert self.person.id is not None
        return Who("webchat", self.person.id, name=self.person.name)


class _DemoFirm:
    """The firm while its month is being told. Moments are aware UTC and inside working hours."""

    def __init__(
        self, session: Session, house: House, files: FileStore, dice: random.Random, now: datetime
    ) -> None:
        self.session, self.house, self.files, self.dice, self.now = session, house, files, dice, now
        self.calendar: WorkCalendar = house.calendar
        self.start = now - timedelta(days=PAST_DAYS)
        self.working_seconds = self.calendar.working_seconds(self.start, now)
        self.staff: dict[str, Who] = {}
        self.customers: list[_Customer] = []

    # --- the people -----------------------------------------------------------------------------

    def opens(self) -> None:
        """Hire everybody, sign the clients up, keep the time sheets of the month."""
        for employee in EMPLOYEES:
            self.staff[employee.name] = self._hire(employee)
        away = self.staff[MARINA.name]
        assert away.staff_id is not None
        left_at = self.now - timedelta(days=2)
        self.session.add(
            Absence(
                staff_id=away.staff_id, starts_at=left_at, ends_at=self.now + timedelta(days=4),
                reason="больничный",
            )
        )  # fmt: skip
        for who in self.staff.values():
            if who.role is not None and who.role.takes_requests:
                self._keep_time_sheet(who, until=left_at if who is away else self.now)
        for number, firm in enumerate(_CLIENTS):
            self.customers.append(self._sign_up(firm, self.staff[_KEEPERS[number % len(_KEEPERS)].name]))
        self.customers[_POST].row.confirmed = False
        self.session.add_all(
            CannedReply(title=title, text=text, updated_at=self.start) for title, text in _CANNED
        )

    def _hire(self, employee: Employee) -> Who:
        at = self.now - timedelta(days=90)
        invited = invite_staff(self.session, employee.role, employee.name, employee.email, at)
        staff = self.session.exec(select(Staff).where(col(Staff.person_id) == invited.person_id)).one()
        staff.capacity = employee.capacity
        self.session.add(self._chat(f"demo-{employee.email}", invited.person_id, at))
        return Who("webchat", invited.person_id, staff.id, employee.role, employee.name)

    def _keep_time_sheet(self, who: Who, until: datetime) -> None:
        """Mornings and afternoons with a pause between; whoever is not absent works right now."""
        assert who.staff_id is not None
        zone = self.calendar.zone
        today = self.now.astimezone(zone).date()
        for ago in range(PAST_DAYS, -1, -1):
            day = today - timedelta(days=ago)
            if not self.calendar.is_working_day(day):
                continue
            closes = self.calendar.closing_of(day)
            opens = datetime.combine(day, self.calendar.opens_at(day), zone)
            begun = opens - timedelta(minutes=self.dice.randint(0, 12))
            noon = opens + timedelta(hours=4)
            edges = (begun, noon, noon + timedelta(minutes=self.dice.randint(30, 60)), closes)
            for kind, (since, to) in zip(("work", "pause", "work"), pairwise(edges), strict=True):
                if to <= until:
                    self._shift(who.staff_id, kind, since, to)
        if until == self.now:
            opened = datetime.combine(today, self.calendar.opens_at(today), zone)
            self._shift(who.staff_id, "work", self._last_edge(who.staff_id, opened), None)

    def _last_edge(self, staff_id: int, opened: datetime) -> datetime:
        """When the present stretch of work began: after the last one of today, or with the day."""
        mine = col(Shift.staff_id) == staff_id
        ended = self.session.exec(select(func.max(Shift.ended_at)).where(mine)).one()
        if ended is not None and ended >= opened:
            return min(ended, self.now)
        return min(opened, self.now)

    def _shift(self, staff_id: int, kind: str, since: datetime, to: datetime | None) -> None:
        self.session.add(Shift(staff_id=staff_id, kind=kind, started_at=since, ended_at=to))
        self.session.flush()

    def _sign_up(self, firm: _Firm, keeper: Who) -> _Customer:
        at = self.now - timedelta(days=80)
        kind = "proprietor" if len(firm.inn) == 12 else "company"  # noqa: PLR2004 - digits of an INN
        row = Client(
            name=firm.name, inn=firm.inn, kind=kind, responsible_id=keeper.staff_id, phone=firm.phone,
            created_at=at,
        )  # fmt: skip
        person = Person(name=firm.contact, phone=firm.phone, consent_version="3", created_at=at)
        self.session.add_all((row, person))
        self.session.flush()
        assert row.id is not None
        assert person.id is not None
        chat = self._chat(f"demo-{firm.inn}", person.id, at)
        self.session.add_all((chat, ClientPerson(client_id=row.id, person_id=person.id, created_at=at)))
        self.session.flush()
        assert chat.id is not None
        self.session.add(
            Consent(person_id=person.id, chat_id=chat.id, version="3", text_sha256="0" * 64, given_at=at)
        )
        return _Customer(row, person, chat)

    def _chat(self, key: str, person_id: int, at: datetime) -> Chat:
        return Chat(
            channel="webchat", chat_key=key, user_key=key, person_id=person_id, last_inbound_at=at,
            created_at=at,
        )  # fmt: skip

    # --- the month ------------------------------------------------------------------------------

    def past_moments(self) -> Sequence[datetime]:
        """When the finished requests came, oldest first; the last of them some hours ago."""
        last = self.working_seconds - WORKING_DAY
        offsets = sorted(self.dice.sample(range(1, last), PAST_REQUESTS))
        return [self.calendar.add_working(self.start, offset) for offset in offsets]

    def lives_through(self, at: datetime) -> None:
        """One request from the form to the client's mark."""
        kind, task = self.dice.choice(_TASKS)
        customer = self.dice.choice(self.customers[:_POST])
        number = self._submits(customer, kind, task, at, self.dice.choice((1, 1, 2, 3, 5)) * WORKING_DAY)
        at = self._finishes(customer, number, kind, at, clarified=self.dice.random() < _CLARIFIED_SHARE)
        at = self._later(at, 5 * MINUTE, 2 * HOUR)
        casework.rate(
            self.session, self.house, customer.who, number, self.dice.choice((5, 5, 5, 4, 4, 3)), at
        )

    def _finishes(
        self, customer: _Customer, number: int, kind: str, at: datetime, *, clarified: bool = False
    ) -> datetime:
        session, house = self.session, self.house
        keeper = self._keeper(number)
        pace = self._pace(at) * (SLOWER if keeper.name == IGOR.name else 1.0)
        at = self._later(at, 50, int(200 * pace))
        casework.accept(session, house, keeper, number, at)
        if clarified:
            at = self._later(at, 20, 60)
            casework.clarify(session, house, keeper, number, "task", _QUESTION, at)
            at = self._later(at, 4 * MINUTE, 50 * MINUTE)
            self._answers(customer, number, at)
            at = self._later(at, 40, int(130 * pace))
        if kind == "report" and self.dice.random() < 0.5:  # noqa: PLR2004 - every other one
            casework.wait_outside(session, house, keeper, number, "налоговая", at)
            at = self._later(at, 20 * MINUTE, 70 * MINUTE)
            casework.resume(session, house, keeper, number, at)
        low, high = _EXECUTION_SECONDS[kind]
        spent = int(self.dice.randint(low, high) * (1.0 if kind == "report" else pace))
        answered = self._later(at, min(20, spent // 3), max(spent // 3, 21))
        casework.answer(session, house, keeper, number, self.dice.choice(_ANSWERS), (), answered)
        at = max(self.calendar.add_working(at, spent), answered)
        casework.done(session, house, keeper, number, _RESULTS[kind], (), at)
        return at

    def _pace(self, at: datetime) -> float:
        passed = self.calendar.working_seconds(self.start, at) / max(self.working_seconds, 1)
        return PACES[min(int(passed * len(PACES)), len(PACES) - 1)]

    # --- right now ------------------------------------------------------------------------------

    def is_busy_now(self) -> None:
        """One of everything that a director looks for in the morning, and work that goes well."""
        session, house = self.session, self.house
        for customer, kind, task, ago in self._finished_lately():
            number = self._submits(customer, kind, task, self._ago(ago), 2 * WORKING_DAY)
            self._finishes(customer, number, kind, self._ago(ago))
        self._is_late()
        self._is_in_danger()
        for index, kind, task, ago in (
            (_SHOP, "document", "Договор поставки с ООО «Ферма»", 5 * HOUR),
            (_WINDOWS, "pay", "Оплатить стекло, 64 300 ₽", 70 * MINUTE),
        ):
            number, keeper = self._accepted(index, kind, task, ago, WORKING_DAY)
            asked_at = self._later(self._ago(ago), 5 * MINUTE, 8 * MINUTE)
            casework.clarify(session, house, keeper, number, "task", _QUESTION, asked_at)
        number, keeper = self._accepted(_HOUSE, "balance", "Пришла ли субсидия на счёт?", 3 * HOUR, 5 * HOUR)
        casework.wait_outside(session, house, keeper, number, "банк", self._ago(170 * MINUTE))
        task = "Аренда склада, 38 000 ₽ по счёту 77"
        number, _keeper = self._accepted(_FLOWERS, "pay", task, HOUR, 4 * HOUR)
        words = "Срочно нужна платёжка с отметкой банка: арендодатель ждёт."
        self._writes(self.customers[_FLOWERS], number, words, self._ago(9 * MINUTE))
        self._accepted(_SHOP, "waybill", "Отгрузка для ООО «Уют»", 26 * MINUTE, WORKING_DAY)
        task = "Можно ли дать учредителю заём без процентов?"
        self._accepted(_LIGHT, "advice", task, 18 * MINUTE, WORKING_DAY)
        self._is_wanted_by_nobody()
        for index, kind, task, ago in (
            (_FLOWERS, "balance", _BALANCE, 6 * MINUTE),
            (_POST, "other", "Хотим вести у вас учёт, с чего начать?", 2 * MINUTE),
        ):
            self._submits(self.customers[index], kind, task, self._ago(ago), 2 * WORKING_DAY)

    def _finished_lately(self) -> Iterator[tuple[_Customer, str, str, int]]:
        yield self.customers[_BAKERY], "pay", "Поставщику муки, 78 200 ₽ по счёту 219", 4 * HOUR
        yield self.customers[_LIGHT], "document", "Доверенность на получение товара", 2 * HOUR
        yield self.customers[_KUZNETSOV], "balance", _BALANCE, 50 * MINUTE

    def _is_late(self) -> None:
        """It should have been ready one working hour and a half ago."""
        number, keeper = self._accepted(
            _BAKERY, "pay", "Оплатить ремонт печи, 112 000 ₽ по счёту 31", 9 * HOUR, 7 * HOUR + 30 * MINUTE
        )
        words = "Банк просит подтвердить платёж, звоним им."
        casework.answer(self.session, self.house, keeper, number, words, (), self._ago(8 * HOUR))

    def _is_in_danger(self) -> None:
        """Less time is left than such work usually takes."""
        until = 2 * HOUR + 20 * MINUTE
        self._accepted(_SOLOVYOVA, "report", "Уведомление по налогам за месяц", 2 * HOUR, until)

    def _is_wanted_by_nobody(self) -> None:
        """Everybody who may take it has said no, with a reason."""
        customer, task = self.customers[_SOLOVYOVA], "Отчёт ломбарда в Банк России"
        number = self._submits(customer, "report", task, self._ago(95 * MINUTE), WORKING_DAY)
        for step, reason in enumerate(("Такие отчёты не сдаю.", "Не моя область.", "Нет времени до завтра.")):
            if self.session.get_one(Request, number).assignee_id is not None:
                at = self._ago((90 - 10 * step) * MINUTE)
                casework.decline(self.session, self.house, self._keeper(number), number, reason, at)

    def has_one_unreached(self) -> None:
        """The result reached nobody, so that the client is to be telephoned."""
        customer = self.customers[_LIGHT]
        letter = self.session.exec(
            select(Letter)
            .join(Request, col(Request.id) == col(Letter.request_id))
            .where(col(Letter.person_id) == customer.person.id, col(Request.status) == Status.DONE.value)
            .order_by(col(Letter.id).desc())
        ).first()
        assert letter is not None
        assert letter.id is not None
        letter.state, letter.reason = LetterState.FAILED.value, "the chat was closed"
        letter.sent_at = letter.delivered_at = letter.read_at = None
        letter.attempts = 3
        self.session.flush()
        failover.pass_on(self.session, self.house, [letter.id], self._ago(100 * MINUTE))

    # --- what people do -------------------------------------------------------------------------

    def _accepted(self, index: int, kind: str, task: str, ago: int, until: int) -> tuple[int, Who]:
        """A request that somebody works on; `ago` and `until` (from its coming) in working seconds."""
        at = self._ago(ago)
        number = self._submits(self.customers[index], kind, task, at, until)
        keeper = self._keeper(number)
        casework.accept(self.session, self.house, keeper, number, self._later(at, MINUTE, 4 * MINUTE))
        return number, keeper

    def _submits(self, customer: _Customer, kind: str, task: str, at: datetime, until: int) -> int:
        assert customer.person.id is not None
        assert customer.chat.id is not None
        wished = self.calendar.add_working(at, until).astimezone(self.calendar.zone)
        attached = self._bill(task) if kind == "pay" and "счёту" in task else ()
        answers = {
            "inn": customer.row.inn, "company": customer.row.name, "kind": kind, "task": task,
            "files": files_to_text(attached),
            "deadline": to_text(Deadline(wished.replace(second=0, microsecond=0))),
        }  # fmt: skip
        if kind == "waybill":
            answers["goods"] = self._goods()
        began = at - timedelta(minutes=self.dice.randint(1, 4))
        new = casework.NewRequest(answers, customer.person.id, customer.chat.id, customer.chat.channel, began)
        number = casework.submit(self.session, self.house, new, at)
        self._says(customer, number, task, at, attached)
        return number

    def _writes(self, customer: _Customer, number: int, words: str, at: datetime) -> None:
        self._says(customer, number, words, at)
        casework.add(self.session, self.house, customer.who, number, words, (), at)

    def _answers(self, customer: _Customer, number: int, at: datetime) -> None:
        asked = self.session.exec(select(Clarification).where(col(Clarification.request_id) == number)).one()
        assert asked.id is not None
        words = f"{self.session.get_one(Request, number).task}. Договор 7/26."
        self._says(customer, number, "Договор 7/26.", at)
        context = casework.form_context(self.session, self.house, at)
        casework.clarified(self.session, self.house, customer.who, asked.id, Said(text=words), context)

    def _says(
        self, customer: _Customer, number: int, words: str, at: datetime, files: Sequence[AttachedFile] = ()
    ) -> None:
        self.session.add(
            Message(
                chat_id=customer.chat.id, request_id=number, person_id=customer.person.id, direction="in",
                text=words, files=[asdict(file) for file in files], sent_at=at, received_at=at,
            )
        )  # fmt: skip

    def _keeper(self, number: int) -> Who:
        staff_id = self.session.get_one(Request, number).assignee_id
        return next(who for who in self.staff.values() if who.staff_id == staff_id)

    def _bill(self, task: str) -> tuple[AttachedFile, ...]:
        """The code of a bill, as banks' applications read it."""
        picture = io.BytesIO()
        segno.make(f"ST00012|Purpose={task}").save(picture, kind="png", scale=4)
        kept = self.files.keep_sync(picture.getvalue(), f"счёт {task.rsplit(maxsplit=1)[-1]}.png")
        return (AttachedFile(kept.sha256, kept.name, kept.size_bytes, "image/png"),)

    def _goods(self) -> str:
        paper, folders = self.dice.randint(5, 40), self.dice.randint(2, 20)
        return parse_goods(f"Бумага А4; {paper}; 350\nПапка-регистратор; {folders}; 189,50").to_text()

    def _ago(self, seconds: int) -> datetime:
        """So many working seconds before now."""
        return self.calendar.add_working(self.start, self.working_seconds - seconds)

    def _later(self, at: datetime, low: int, high: int) -> datetime:
        """A while after, in working seconds, and never in the future."""
        return min(self.calendar.add_working(at, self.dice.randint(low, max(high, low))), self.now)
