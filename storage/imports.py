"""Clients from a table: every line is judged, and either all good lines go in or none.

`read_clients` reads the file, `import_clients` checks it against the database and stores it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from forms.answers import AnswerError
from forms.inn import parse_company_name, parse_inn
from forms.messages import loosely
from forms.texts import Text, _
from storage import history
from storage.clients import OVERSEEING, ContactFields, add_contact, change_contact
from storage.house import Who
from storage.models import Client, ClientPerson, Person, Staff
from storage.roster import Act

COMPANY_INN_DIGITS = 10
_AT_ONCE = 500

_MAX_PHONE = 40
_MAX_EMAIL = 200
_MAX_NAME = 200
_MAX_POST = 100
_MAX_CONTRACT = 4_000
_YEARS = range(2000, 2101)


class ClientKind(StrEnum):
    """What a client is by law; the INN has 10 digits or 12 accordingly."""

    COMPANY = "company"
    PROPRIETOR = "proprietor"


class FileUnreadable(Exception):  # noqa: N818 - the name says what happened
    """The file is no table of clients; `text` says what is wrong with it."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.msgid)
        self.text = text


@dataclass(frozen=True, slots=True)
class ClientLine:
    """One line of the file. `refusal` says why it cannot be imported; then the values are as typed."""

    number: int
    """As a spreadsheet counts: the heading is line 1."""
    name: str
    inn: str
    kind: str
    responsible: str = ""
    phone: str = ""
    email: str = ""
    controller: str = ""
    substitute: str = ""
    contract: str = ""
    contract_until: str = ""
    """ISO 8601, once the line is judged."""
    contact: str = ""
    post: str = ""
    contact_phone: str = ""
    contact_email: str = ""
    refusal: Text | None = None

    def verdict(self) -> Text | None:
        """The refusal with the number of its line."""
        return self.refusal and _("строка {number}: {refusal}", number=self.number, refusal=self.refusal)


@dataclass(frozen=True, slots=True)
class Change:
    """What a line does to one field of a known client, in words; a staff member is named."""

    field: str
    was: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became, or would become, of one good line."""

    number: int
    is_new: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. When something was `refused` and not skipped, nothing was stored."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: tuple[ClientLine, ...] = ()
    stored: bool = True
    outcomes: tuple[Outcome, ...] = ()


def read_clients(path: Path) -> list[ClientLine]:
    """Read a CSV (UTF-8, UTF-16 or cp1251; commas, semicolons or tabs) or an XLSX.

    Raises FileUnreadable for a file without the columns «название» and «ИНН», OSError.
    """
    rows = _xlsx_rows(path) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv_rows(path)
    numbered = [(number, row) for number, row in enumerate(rows, 1) if any(cell.strip() for cell in row)]
    if not numbered:
        raise FileUnreadable(_("Файл пуст: в нём нет ни одной строки."))
    columns, first = _heading([row for _number, row in numbered[: _HEADING_WITHIN + 1]])
    lines = [_judge(number, _values(row, columns)) for number, row in numbered[first:]]
    return list(_without_repeats(lines))


def import_clients(
    session: Session,
    lines: Iterable[ClientLine],
    now: datetime,
    *,
    skip_refused: bool = False,
    through: str = "command",
    actor_id: int | None = None,
) -> Imported:
    """Add new clients and update those whose INN is known; an empty cell changes nothing.

    Nothing is stored when a line is refused, unless refused lines are to be skipped.
    """
    staff = _staff_by_word(session)
    overseers = _overseers(session)
    judged = [_with_controller(_with_staff(line, staff), staff, overseers) for line in lines]
    refused = tuple(line for line in judged if line.refusal is not None)
    if refused and not skip_refused:
        return Imported(refused=refused, stored=False)
    good = [line for line in judged if line.refusal is None]
    known = _known_clients(session, [line.inn for line in good])
    pairs = [(line, known.get(line.inn)) for line in good]
    before = {client.inn: _facts(client) for client in known.values()}
    stored = [_store(session, line, client, staff, now) for line, client in pairs]
    session.flush()
    for client in stored:
        if before.get(client.inn) != _facts(client):
            history.record(
                session, at=now, actor_id=actor_id, through=through, action="imported",
                subject=f"client:{client.id}", before=before.get(client.inn), after=_facts(client),
            )  # fmt: skip
    act = Act(Who(through, actor_id), now)
    contacts = _store_contacts(session, act, list(zip(good, stored, strict=True)))
    names = _staff_names(session)
    outcomes = tuple(
        Outcome(
            line.number,
            client.inn not in before,
            (*_changes(before.get(client.inn), _facts(client), names), *contacts.get(line.number, ())),
        )
        for line, client in zip(good, stored, strict=True)
    )
    added = sum(1 for outcome in outcomes if outcome.is_new)
    updated = sum(1 for outcome in outcomes if outcome.changes and not outcome.is_new)
    return Imported(added, updated, len(outcomes) - added - updated, refused, outcomes=outcomes)


# --- reading -----------------------------------------------------------------------------------

_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("название", "наименование", "компания", "клиент", "организация", "name", "company", "client"),
    "inn": ("инн", "inn"),
    "kind": ("тип", "вид", "форма", "kind", "type"),
    "responsible": ("ответственный", "бухгалтер", "responsible", "accountant"),
    "phone": ("телефон", "phone"),
    "email": ("почта", "электронная почта", "e mail", "email", "mail", "эл почта"),
    "controller": ("контролёр", "контролер", "аудитор", "controller"),
    "substitute": ("замещает", "заменяет", "заместитель", "замена", "substitute"),
    "contract": ("договор", "предмет договора", "условия договора", "contract"),
    "contract_until": ("договор до", "срок договора", "договор действует до", "contract until"),
    "contact": ("контакт", "контактное лицо", "контакт имя", "контакт фио", "имя контакта", "contact"),
    "post": ("должность", "должность контакта", "контакт должность", "post"),
    "contact_phone": ("телефон контакта", "контакт телефон", "contact phone"),
    "contact_email": ("почта контакта", "контакт почта", "контакт e mail", "контакт email", "contact email"),
}
_HEADING_WITHIN = 20
"""Above the names of the columns there may be a title, a date, an address."""
_BY_HEADING = {heading: column for column, headings in _HEADINGS.items() for heading in headings}

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def _csv_rows(path: Path) -> Iterator[list[str]]:
    content = path.read_bytes()
    if b"\x00" in content and not content.startswith(_UTF16_MARKS):
        raise FileUnreadable(_("Это не таблица CSV и не XLSX. Сохраните её в одном из этих видов."))
    text = _decoded(content)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(";,\t", key=first.count)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise FileUnreadable(_("Таблица CSV повреждена. Сохраните её заново.")) from error


def _decoded(content: bytes) -> str:
    encodings = ("utf-16",) if content.startswith(_UTF16_MARKS) else ("utf-8-sig", "cp1251")
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise FileUnreadable(_("Буквы в файле не читаются. Сохраните таблицу как CSV UTF-8 или как XLSX."))


_MAX_ROWS, _MAX_COLUMNS = 100_000, 100
"""A workbook of a few bytes may say that it has a thousand million cells."""


def _xlsx_rows(path: Path) -> list[list[str]]:
    from zipfile import BadZipFile
    from zlib import error as packing_error

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    # What openpyxl raises on workbooks that are broken, or were made to be.
    broken = (
        BadZipFile, InvalidFileException, packing_error, ArithmeticError, AttributeError, EOFError,
        LookupError, RuntimeError, SyntaxError, TypeError, ValueError,
    )  # fmt: skip
    with path.open("rb") as file:
        try:
            book = load_workbook(file, read_only=True, data_only=True)
            rows = book.worksheets[0].iter_rows(max_row=_MAX_ROWS, max_col=_MAX_COLUMNS, values_only=True)
            return [[_cell(value) for value in row] for row in rows]
        except (*broken, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk, not the workbook
                raise
            raise FileUnreadable(
                _("Таблица XLSX не открывается. Снимите с неё пароль или сохраните заново.")
            ) from error


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _heading(rows: Sequence[Sequence[str]]) -> tuple[dict[str, int], int]:
    """The columns, and how many lines stand above the data.

    A second line of heading, under merged cells, names parts of what stands above: «Контакт», «Телефон».
    """
    for place, row in enumerate(rows[:_HEADING_WITHIN]):
        found = _columns(row)
        if not _missing(found):
            below = rows[place + 1] if place + 1 < len(rows) else ()
            parts = _columns(_under(row, below))
            is_second = not any(_at(below, found[name]) for name in ("name", "inn"))
            if is_second and set(parts) - set(found):
                return {**parts, **found}, place + 2
            return found, place + 1
    _refuse(_columns(rows[0]))
    raise AssertionError  # `_refuse` has raised


def _under(above: Sequence[str], below: Sequence[str]) -> list[str]:
    """Each cell of the second line with the merged cell over it, which only its first column holds."""
    found, over = [], ""
    for position in range(max(len(above), len(below))):
        over = _at(above, position) or over
        part = _at(below, position)
        found.append(f"{over} {part}" if part else "")
    return found


def _at(row: Sequence[str], position: int) -> str:
    return row[position].strip() if position < len(row) else ""


def _columns(heading: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for position, cell in enumerate(heading):
        column = _BY_HEADING.get(loosely(cell))
        if column is not None:
            found.setdefault(column, position)
    return found


def _missing(found: Mapping[str, int]) -> bool:
    return "name" not in found or "inn" not in found


def _refuse(found: Mapping[str, int]) -> None:
    for required, title in (("name", _("название")), ("inn", _("ИНН"))):
        if required not in found:
            raise FileUnreadable(
                _("В первой строке нет столбца «{title}». Назовите столбцы и повторите.", title=title)
            )


def _values(row: Sequence[str], columns: Mapping[str, int]) -> dict[str, str]:
    return {
        column: " ".join(row[position].split()) if position < len(row) else ""
        for column, position in columns.items()
    }


# --- judging -----------------------------------------------------------------------------------

_KIND_WORDS = {
    "ип": ClientKind.PROPRIETOR,
    "предприниматель": ClientKind.PROPRIETOR,
    "индивидуальный предприниматель": ClientKind.PROPRIETOR,
    "proprietor": ClientKind.PROPRIETOR,
    "sole proprietor": ClientKind.PROPRIETOR,
    "ооо": ClientKind.COMPANY,
    "ао": ClientKind.COMPANY,
    "зао": ClientKind.COMPANY,
    "пао": ClientKind.COMPANY,
    "компания": ClientKind.COMPANY,
    "организация": ClientKind.COMPANY,
    "юрлицо": ClientKind.COMPANY,
    "юридическое лицо": ClientKind.COMPANY,
    "company": ClientKind.COMPANY,
}


def _judge(number: int, values: Mapping[str, str]) -> ClientLine:
    line = ClientLine(
        number,
        values["name"],
        values["inn"],
        values.get("kind", ""),
        responsible=values.get("responsible", ""),
        phone=values.get("phone", ""),
        email=values.get("email", ""),
        controller=values.get("controller", ""),
        substitute=values.get("substitute", ""),
        contract=values.get("contract", ""),
        contract_until=values.get("contract_until", ""),
        contact=values.get("contact", ""),
        post=values.get("post", ""),
        contact_phone=values.get("contact_phone", ""),
        contact_email=values.get("contact_email", ""),
    )
    try:
        return _checked(line)
    except AnswerError as error:
        return replace(line, refusal=error.text)


def _checked(line: ClientLine) -> ClientLine:
    if not line.inn:
        raise AnswerError(_("нет ИНН."))
    if not line.name:
        raise AnswerError(_("нет названия."))
    inn = parse_inn(_with_lost_zero(line.inn))
    for phone in (line.phone, line.contact_phone):
        if len(phone) > _MAX_PHONE or (phone and not any(letter.isdigit() for letter in phone)):
            raise AnswerError(_("«{phone}» не похоже на телефон.", phone=phone))
    for email in (line.email, line.contact_email):
        if email and (len(email) > _MAX_EMAIL or not _looks_like_email(email)):
            raise AnswerError(_("«{email}» не похоже на адрес почты.", email=email))
    if not line.contact and (line.post or line.contact_phone or line.contact_email):
        raise AnswerError(_("у контакта нет имени."))
    if len(line.contact) > _MAX_NAME or len(line.post) > _MAX_POST or len(line.contract) > _MAX_CONTRACT:
        raise AnswerError(_("слишком длинный текст в одном из столбцов."))
    return replace(
        line,
        inn=inn,
        name=parse_company_name(line.name),
        kind=_kind(line.kind, inn),
        contract_until=_day(line.contract_until),
    )


def _day(text: str) -> str:
    """A day as a spreadsheet or a person writes it, in ISO 8601."""
    if not text:
        return ""
    for pattern in ("%d.%m.%Y", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%d.%m.%y"):
        try:
            found = datetime.strptime(text, pattern).replace(tzinfo=UTC).date()
        except ValueError:
            continue
        if found.year in _YEARS:
            return found.isoformat()
    raise AnswerError(_("«{day}» не похоже на дату: напишите 31.12.2026.", day=text))


def _with_lost_zero(inn: str) -> str:
    """Give back the leading zero that a spreadsheet takes from INNs of the first nine regions.

    Only where the check digits say that it was there.
    """
    if inn.isascii() and inn.isdigit() and len(inn) in (9, 11):
        try:
            return parse_inn(f"0{inn}")
        except AnswerError:
            return inn
    return inn


def _looks_like_email(text: str) -> bool:
    name, at, host = text.partition("@")
    return bool(name and at and "." in host.strip(".") and "@" not in host and " " not in text)


def _kind(word: str, inn: str) -> str:
    by_inn = ClientKind.COMPANY if len(inn) == COMPANY_INN_DIGITS else ClientKind.PROPRIETOR
    if not word:
        return by_inn.value
    named = _KIND_WORDS.get(loosely(word))
    if named is None:
        raise AnswerError(_("тип «{word}» неизвестен: напишите «компания» или «ИП».", word=word))
    if named is not by_inn:
        raise AnswerError(
            _("у компании в ИНН 10 цифр, у ИП 12; в строке «{word}» и {count}.", word=word, count=len(inn))
        )
    return named.value


def _without_repeats(lines: Iterable[ClientLine]) -> Iterator[ClientLine]:
    first_at: dict[str, int] = {}
    for line in lines:
        if line.refusal is not None:
            yield line
        elif line.inn in first_at:
            refusal = _("ИНН {inn} уже есть в строке {number}.", inn=line.inn, number=first_at[line.inn])
            yield replace(line, refusal=refusal)
        else:
            first_at[line.inn] = line.number
            yield line


# --- storing -----------------------------------------------------------------------------------


def _staff_by_word(session: Session) -> dict[str, int | None]:
    """Active staff by e-mail and by name; None where two share a name."""
    found: dict[str, int | None] = {}
    rows = session.connection().execute(
        select(col(Staff.id), col(Person.name), col(Person.email))
        .join(Person, col(Person.id) == col(Staff.person_id))
        .where(col(Staff.active).is_(True))
    )
    for staff_id, name, email in rows:
        for word in {_word(name), _word(email)} - {""}:
            found[word] = None if word in found else staff_id
    return found


def _word(text: str) -> str:
    return text.strip().casefold() if "@" in text else loosely(text)


def _with_staff(line: ClientLine, staff: Mapping[str, int | None]) -> ClientLine:
    if line.refusal is not None:
        return line
    for name in (line.responsible, line.controller, line.substitute):
        word = _word(name)
        if word and word not in staff:
            refusal = _("сотрудника «{name}» нет: сначала пригласите его.", name=name)
            return replace(line, refusal=refusal)
        if word and staff[word] is None:
            return replace(line, refusal=_("сотрудников «{name}» двое: укажите адрес почты.", name=name))
    return line


def _overseers(session: Session) -> frozenset[int | None]:
    query = select(col(Staff.id)).where(col(Staff.role).in_([role.value for role in OVERSEEING]))
    return frozenset(session.connection().execute(query).scalars())


def _with_controller(
    line: ClientLine, staff: Mapping[str, int | None], overseers: frozenset[int | None]
) -> ClientLine:
    if line.refusal is not None or not line.controller or staff[_word(line.controller)] in overseers:
        return line
    refusal = _("«{name}» не контролёр, не заместитель и не директор.", name=line.controller)
    return replace(line, refusal=refusal)


def _known_clients(session: Session, inns: Sequence[str]) -> dict[str, Client]:
    found: dict[str, Client] = {}
    for start in range(0, len(inns), _AT_ONCE):
        part = inns[start : start + _AT_ONCE]
        found |= {
            client.inn: client for client in session.scalars(select(Client).where(col(Client.inn).in_(part)))
        }
    return found


def _store(
    session: Session, line: ClientLine, client: Client | None, staff: Mapping[str, int | None], now: datetime
) -> Client:
    wanted: dict[str, Any] = {
        "name": line.name, "kind": line.kind, "phone": line.phone, "email": line.email, "confirmed": True,
        "responsible_id": _staff_id(line.responsible, staff),
        "controller_id": _staff_id(line.controller, staff),
        "substitute_id": _staff_id(line.substitute, staff),
        "contract": line.contract,
        "contract_until": _midnight(line.contract_until),
    }  # fmt: skip
    if client is None:
        client = Client(inn=line.inn, created_at=now, **wanted)
        session.add(client)
        return client
    changes = {key: value for key, value in wanted.items() if value and getattr(client, key) != value}
    for key, value in changes.items():
        setattr(client, key, value)
    if changes:
        client.version += 1
        session.add(client)
    return client


def _facts(client: Client) -> dict[str, object]:
    facts: dict[str, object] = {key: getattr(client, key) for key in _FACTS}
    until = client.contract_until
    return {**facts, "contract_until": until.date().isoformat() if until else None}


_FACTS = (
    "name", "inn", "kind", "responsible_id", "phone", "email", "confirmed", "controller_id", "substitute_id",
    "contract",
)  # fmt: skip


def _staff_id(name: str, staff: Mapping[str, int | None]) -> int | None:
    return staff[_word(name)] if name else None


def _midnight(day: str) -> datetime | None:
    """As `storage.roster` keeps a day: its midnight in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None


# --- contacts ----------------------------------------------------------------------------------


def _store_contacts(
    session: Session, act: Act, pairs: Sequence[tuple[ClientLine, Client]]
) -> Mapping[int, tuple[Change, ...]]:
    """Add the contacts that a client lacks; of those it has, fill in what is empty."""
    named = [(line, client) for line, client in pairs if line.contact]
    known = _known_contacts(session, [client.id or 0 for _line, client in named])
    told: dict[int, tuple[Change, ...]] = {}
    for line, client in named:
        client_id = client.id or 0
        wanted = ContactFields(line.contact, line.contact_phone, line.contact_email, line.post)
        person_id, kept = _same_contact(wanted, known.get(client_id, ()))
        if kept is None:
            add_contact(session, act, client_id, wanted)
            told[line.number] = (Change("contact", "", wanted.name),)
            continue
        filled = replace(
            kept,
            phone=kept.phone or wanted.phone,
            email=kept.email or wanted.email,
            post=kept.post or wanted.post,
        )
        if filled != kept:
            change_contact(session, act, client_id, person_id, kept.stamp, filled)
            told[line.number] = (Change("contact", kept.name, _in_a_line(filled)),)
    return told


def _in_a_line(contact: ContactFields) -> str:
    return ", ".join(filter(None, (contact.name, contact.post, contact.phone, contact.email)))


def _known_contacts(
    session: Session, clients: Sequence[int]
) -> Mapping[int, list[tuple[int, ContactFields]]]:
    found: dict[int, list[tuple[int, ContactFields]]] = {}
    for start in range(0, len(clients), _AT_ONCE):
        query = (
            select(Person, ClientPerson)
            .join(ClientPerson, col(ClientPerson.person_id) == col(Person.id))
            .where(col(ClientPerson.client_id).in_(clients[start : start + _AT_ONCE]))
            .order_by(col(Person.id))
        )
        for person, right in session.execute(query):
            fields = ContactFields(
                person.name, person.phone, person.email, right.post, right.may_pay, right.sees_all
            )
            found.setdefault(right.client_id, []).append((person.id, fields))
    return found


def _same_contact(
    wanted: ContactFields, known: Iterable[tuple[int, ContactFields]]
) -> tuple[int, ContactFields | None]:
    for person_id, kept in known:
        same_email = wanted.email and wanted.email.casefold() == kept.email.casefold()
        if same_email or loosely(wanted.name) == loosely(kept.name):
            return person_id, kept
    return 0, None


# --- what changes ------------------------------------------------------------------------------


def _staff_names(session: Session) -> Mapping[object, str]:
    query = select(col(Staff.id), col(Person.name)).join(Person, col(Person.id) == col(Staff.person_id))
    return {staff_id: name for staff_id, name in session.connection().execute(query)}  # noqa: C416


def _changes(
    before: Mapping[str, object] | None, after: Mapping[str, object], names: Mapping[object, str]
) -> tuple[Change, ...]:
    if before is None:
        return ()
    return tuple(
        Change(field, _shown(field, before.get(field), names), _shown(field, value, names))
        for field, value in after.items()
        if before.get(field) != value
    )


def _shown(field: str, value: object, names: Mapping[object, str]) -> str:
    if field.endswith("_id"):
        return names.get(value, "")
    return "" if value in (None, False) else "1" if value is True else str(value)
