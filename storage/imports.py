"""Clients from a table: every line is judged, and either all good lines go in or none.

`read_clients` reads the file, `import_clients` checks it against the database and stores it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
from storage.models import Client, Person, Staff

COMPANY_INN_DIGITS = 10
_AT_ONCE = 500

_MAX_PHONE = 40
_MAX_EMAIL = 200


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
    refusal: Text | None = None

    def verdict(self) -> Text | None:
        """The refusal with the number of its line."""
        return self.refusal and _("строка {number}: {refusal}", number=self.number, refusal=self.refusal)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. When something was `refused` and not skipped, nothing was stored."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: tuple[ClientLine, ...] = ()
    stored: bool = True


def read_clients(path: Path) -> list[ClientLine]:
    """Read a CSV (UTF-8, UTF-16 or cp1251; commas, semicolons or tabs) or an XLSX.

    Raises FileUnreadable for a file without the columns «название» and «ИНН», OSError.
    """
    rows = _xlsx_rows(path) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv_rows(path)
    numbered = ((number, row) for number, row in enumerate(rows, 1) if any(cell.strip() for cell in row))
    heading = next(numbered, None)
    if heading is None:
        raise FileUnreadable(_("Файл пуст: в нём нет ни одной строки."))
    columns = _columns(heading[1])
    lines = [_judge(number, _values(row, columns)) for number, row in numbered]
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
    judged = [_with_responsible(line, staff) for line in lines]
    refused = tuple(line for line in judged if line.refusal is not None)
    if refused and not skip_refused:
        return Imported(refused=refused, stored=False)
    good = [line for line in judged if line.refusal is None]
    known = _known_clients(session, [line.inn for line in good])
    pairs = [(line, known.get(line.inn)) for line in good]
    before = {client.inn: _facts(client) for client in known.values()}
    stored = [_store(session, line, client, staff, now) for line, client in pairs]
    session.flush()
    changed = [client for client in stored if before.get(client.inn) != _facts(client)]
    for client in changed:
        history.record(
            session, at=now, actor_id=actor_id, through=through, action="imported",
            subject=f"client:{client.id}", before=before.get(client.inn), after=_facts(client),
        )  # fmt: skip
    added = sum(1 for client in stored if client.inn not in before)
    return Imported(added, len(changed) - added, len(stored) - len(changed), refused)


# --- reading -----------------------------------------------------------------------------------

_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("название", "наименование", "компания", "клиент", "организация", "name", "company", "client"),
    "inn": ("инн", "inn"),
    "kind": ("тип", "вид", "форма", "kind", "type"),
    "responsible": ("ответственный", "бухгалтер", "responsible", "accountant"),
    "phone": ("телефон", "phone"),
    "email": ("почта", "электронная почта", "e mail", "email", "mail", "эл почта"),
}
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


def _xlsx_rows(path: Path) -> Iterator[list[str]]:
    from zipfile import BadZipFile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise FileUnreadable(
            _("Таблица XLSX не открывается. Снимите с неё пароль или сохраните заново.")
        ) from error
    try:
        for row in book.worksheets[0].iter_rows(values_only=True):
            yield [_cell(value) for value in row]
    finally:
        book.close()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _columns(heading: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for position, cell in enumerate(heading):
        column = _BY_HEADING.get(loosely(cell))
        if column is not None:
            found.setdefault(column, position)
    for required, title in (("name", _("название")), ("inn", _("ИНН"))):
        if required not in found:
            raise FileUnreadable(
                _("В первой строке нет столбца «{title}». Назовите столбцы и повторите.", title=title)
            )
    return found


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
        values.get("responsible", ""),
        values.get("phone", ""),
        values.get("email", ""),
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
    if len(line.phone) > _MAX_PHONE or (line.phone and not any(letter.isdigit() for letter in line.phone)):
        raise AnswerError(_("«{phone}» не похоже на телефон.", phone=line.phone))
    if line.email and (len(line.email) > _MAX_EMAIL or not _looks_like_email(line.email)):
        raise AnswerError(_("«{email}» не похоже на адрес почты.", email=line.email))
    return replace(line, inn=inn, name=parse_company_name(line.name), kind=_kind(line.kind, inn))


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


def _with_responsible(line: ClientLine, staff: Mapping[str, int | None]) -> ClientLine:
    word = _word(line.responsible)
    if line.refusal is not None or not word:
        return line
    if word not in staff:
        return replace(
            line, refusal=_("сотрудника «{name}» нет: сначала пригласите его.", name=line.responsible)
        )
    if staff[word] is None:
        return replace(
            line, refusal=_("сотрудников «{name}» двое: укажите адрес почты.", name=line.responsible)
        )
    return line


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
    responsible_id = staff[_word(line.responsible)] if line.responsible else None
    if client is None:
        client = Client(
            name=line.name, inn=line.inn, kind=line.kind, responsible_id=responsible_id,
            phone=line.phone, email=line.email, created_at=now,
        )  # fmt: skip
        session.add(client)
        return client
    wanted: dict[str, object] = {
        "name": line.name, "kind": line.kind, "phone": line.phone, "email": line.email,
        "responsible_id": responsible_id, "confirmed": True,
    }  # fmt: skip
    changes = {key: value for key, value in wanted.items() if value and getattr(client, key) != value}
    for key, value in changes.items():
        setattr(client, key, value)
    if changes:
        client.version += 1
        session.add(client)
    return client


def _facts(client: Client) -> dict[str, object]:
    keys = ("name", "inn", "kind", "responsible_id", "phone", "email", "confirmed")
    return {key: getattr(client, key) for key in keys}
