"""Everything that is kept about one person of a client, as a ZIP to give to them (152-ФЗ, article 14).

`data.json` holds every row, `README.html` the same for reading, `files/` the files. What other people of
the same client wrote is theirs and is left out; the words of staff about this person are in.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import chain
from types import MappingProxyType
from typing import Any, BinaryIO
from urllib.parse import quote

from sqlalchemy import and_, or_, select
from sqlmodel import Session

from forms.request_form import BY_NAME
from forms.texts import Text, _
from router.desk import status_words
from router.model import Status
from storage import erasure, history, scanning
from storage.files import KeptFiles, NoSuchFile
from storage.house import House, Who
from storage.inspection import safe_name
from storage.models import metadata

GIVEN = "data_given"
"""The action of the line in the history."""

_ROWS_AT_ONCE = 500
_COPY_BYTES = 1024 * 1024
_tables = metadata.tables
_DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class Given:
    """What was written: so many rows and files; `missing` files are named but could not be given."""

    rows: int
    files: int
    missing: int


@dataclass(frozen=True, slots=True)
class _Keys:
    person_id: int
    subjects: tuple[str, ...]
    """What the history calls them, their requests and the calls to them."""

    @property
    def chats(self) -> Any:
        chat = _tables["chat"].c
        return select(chat.id).where(chat.person_id == self.person_id).scalar_subquery()

    @property
    def requests(self) -> Any:
        request = _tables["request"].c
        return select(request.id).where(request.person_id == self.person_id).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Part:
    """A table: which of its rows are the person's, the columns of the page, and those that are not given."""

    title: Text
    where: Callable[[_Keys], Any]
    shown: Mapping[str, Text]
    withheld: frozenset[str] = frozenset()
    """Keys, digests and the like, which say nothing about anybody."""


def _by_person(table: str) -> Callable[[_Keys], Any]:
    return lambda keys: _tables[table].c.person_id == keys.person_id


def _of_requests(table: str) -> Callable[[_Keys], Any]:
    return lambda keys: _tables[table].c.request_id.in_(keys.requests)


def _by_them_or_staff(table: str) -> Callable[[_Keys], Any]:
    """Theirs; and about their requests what is nobody's or the staff's."""

    def where(keys: _Keys) -> Any:
        column, staff = _tables[table].c, select(_tables["staff"].c.person_id).scalar_subquery()
        not_others = or_(column.person_id.is_(None), column.person_id.in_(staff))
        return or_(column.person_id == keys.person_id, and_(column.request_id.in_(keys.requests), not_others))

    return where


def _messages(keys: _Keys) -> Any:
    return or_(_by_them_or_staff("message")(keys), _tables["message"].c.chat_id.in_(keys.chats))


def _letters(keys: _Keys) -> Any:
    letter = _tables["letter"].c
    return or_(letter.person_id == keys.person_id, letter.chat_id.in_(keys.chats))


def _clients(keys: _Keys) -> Any:
    right = _tables["client_person"].c
    return _tables["client"].c.id.in_(select(right.client_id).where(right.person_id == keys.person_id))


def _consent_texts(keys: _Keys) -> Any:
    consent = _tables["consent"].c
    agreed = select(consent.text_sha256).where(consent.person_id == keys.person_id)
    return _tables["consent_text"].c.sha256.in_(agreed)


def _history(keys: _Keys) -> Any:
    line = _tables["history"].c
    return or_(line.subject.in_(keys.subjects), line.actor_id == keys.person_id)


_WHEN, _NUMBER, _WORDS = _("Когда"), _("Заявка №"), _("Слова")

PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "person": Part(
            _("Человек"),
            lambda keys: _tables["person"].c.id == keys.person_id,
            {
                "id": _("№"), "name": _("Имя"), "phone": _("Телефон"), "email": _("Почта"),
                "consent_version": _("Версия согласия"), "created_at": _("Записан"),
            },
        ),
        "client_person": Part(
            _("За кого пишет"),
            _by_person("client_person"),
            {
                "client_id": _("Клиент, №"), "post": _("Кем работает"),
                "may_pay": _("Может заказывать платежи"), "sees_all": _("Видит все заявки компании"),
                "created_at": _("Записан"),
            },
        ),
        "client": Part(
            _("Клиенты"),
            _clients,
            {
                "id": _("№"), "name": _("Название"), "inn": _("ИНН"), "phone": _("Телефон"),
                "email": _("Почта"), "contract": _("Договор"), "notes": _("Заметки"),
            },
        ),
        "chat": Part(
            _("Мессенджеры"),
            _by_person("chat"),
            {
                "channel": _("Мессенджер"), "user_key": _("Имя или номер в нём"),
                "created_at": _("Первое сообщение"), "last_inbound_at": _("Последнее сообщение"),
            },
        ),
        "consent": Part(
            _("Согласия"),
            _by_person("consent"),
            {"version": _("Версия"), "given_at": _("Дано"), "withdrawn_at": _("Отозвано")},
        ),
        "consent_text": Part(
            _("На что согласились"),
            _consent_texts,
            {"version": _("Версия"), "text": _WORDS, "url": _("Ссылка")},
        ),
        "request": Part(
            _("Заявки"),
            _by_person("request"),
            {
                "id": _("№"), "submitted_at": _("Отправлена"), "kind": _("Вид"), "company": _("Компания"),
                "inn": _("ИНН"), "task": _("Задание"), "deadline": _("Срок"), "status": _("Состояние"),
                "result": _("Результат"), "rating": _("Оценка"),
            },
            # The same words once more, in lower case.
            frozenset({"search"}),
        ),
        "answer_version": Part(
            _("Ответы в заявках"),
            _by_them_or_staff("answer_version"),
            {
                "request_id": _NUMBER, "field": _("Поле"), "value": _("Ответ"), "version": _("Версия"),
                "created_at": _WHEN,
            },
        ),
        "clarification": Part(
            _("Уточнения"),
            _of_requests("clarification"),
            {"request_id": _NUMBER, "field": _("Поле"), "question": _("Вопрос"), "asked_at": _WHEN},
        ),
        "proposal": Part(
            _("Предложенные изменения"),
            _by_person("proposal"),
            {"request_id": _NUMBER, "field": _("Поле"), "value": _("Значение"), "created_at": _WHEN},
        ),
        "assignment": Part(
            _("Кому передавали заявки"),
            _of_requests("assignment"),
            {"request_id": _NUMBER, "created_at": _WHEN, "reason": _("Почему")},
            # How the router compared members of staff.
            frozenset({"trace"}),
        ),
        "message": Part(
            _("Сообщения клиента и заметки сотрудников"),
            _messages,
            {
                "received_at": _WHEN, "direction": _("Чьи слова"), "request_id": _NUMBER, "text": _WORDS,
                "files": _("Файлы"),
            },
        ),
        "letter": Part(
            _("Что написали мы"),
            _letters,
            {"created_at": _WHEN, "request_id": _NUMBER, "text": _WORDS, "files": _("Файлы")},
            frozenset({"lease_owner", "lease_until"}),
        ),
        "attachment": Part(
            _("Файлы заявок"),
            _by_them_or_staff("attachment"),
            {"request_id": _NUMBER, "name": _("Имя файла"), "size_bytes": _("Байт"), "created_at": _WHEN},
        ),
        "call_task": Part(
            _("Звонки"),
            _by_person("call_task"),
            {
                "created_at": _WHEN, "request_id": _NUMBER, "reason": _("Зачем"), "outcome": _("Итог"),
                "done_at": _("Позвонили"),
            },
        ),
        "draft": Part(
            _("Недописанная заявка"),
            _by_person("draft"),
            {"progress": _WORDS, "updated_at": _WHEN},
        ),
        "inbox_event": Part(
            _("Пришло, но ещё не разобрано"),
            lambda keys: and_(
                _tables["inbox_event"].c.chat_id.in_(keys.chats), _tables["inbox_event"].c.state != "done"
            ),
            {"received_at": _WHEN, "channel": _("Мессенджер"), "payload": _WORDS},
        ),
        "invitation": Part(
            _("Приглашения"),
            _by_person("invitation"),
            {"created_at": _WHEN, "expires_at": _("Действует до"), "used_at": _("Использовано")},
            frozenset({"code_hash"}),
        ),
        "history": Part(
            _("История изменений"),
            _history,
            {
                "at": _WHEN, "action": _("Что"), "subject": _("О чём"), "through": _("Через что"),
                "before": _("Было"), "after": _("Стало"),
            },
            frozenset({"salt", "values_digest", "previous_hash", "hash"}),
        ),
    }
)  # fmt: skip
"""The tables that are given, in the order of the page."""

NOT_GIVEN: Mapping[str, str] = MappingProxyType(
    {
        "staff": "members of staff, whom their employer answers; a client's person is none",
        "absence": "of staff",
        "shift": "of staff",
        "panel_session": "of staff",
        "stage_interval": "whose minutes they were: the firm's own times",
        "request_word": "the words of the requests once more, for the search",
        "firm_setting": "what the firm has settled",
        "wording": "the firm's sentences",
        "canned_reply": "the firm's sentences",
        "throttle": "failed attempts by address or login, which no person is known by",
        "setting": "what the machine keeps for itself",
        "outage": "when the service did not work",
        "copy_run": "the copies of everything",
        "file_scan": "what the virus scanner said of a file; the file is given under its name",
        "process": "the machine's own",
        "ownership": "the machine's own",
    }
)
"""The tables that are not, each with the reason."""

_THE_FIRMS_OWN = ("contract", "notes", "responsible_id", "controller_id", "substitute_id")
_PROPRIETOR = "proprietor"


def write(
    session: Session, store: KeptFiles, house: House, person_id: int, now: datetime, out: BinaryIO
) -> Given:
    """Write the ZIP. Raises NoSuchCard for staff and for whoever is erased."""
    person = erasure.client_person(session, person_id)
    keys = _Keys(person_id, erasure.subjects_of(session, person_id))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        named = _named_files(session, keys)
        places = _write_files(archive, store, named, scanning.withheld(session, named.keys()))
        with archive.open("data.json", "w", force_zip64=True) as target:
            rows = _write_json(target, session, keys, places, now)
        page = _Page(house, places, named)
        with archive.open("README.html", "w", force_zip64=True) as target:
            for piece in page.pieces(session, keys, person.name, now):
                target.write(piece.encode())
    return Given(rows, len(places), len(named) - len(places))


def note_given(session: Session, who: Who, person_id: int, given: Given, now: datetime) -> None:
    """Write into the history that the person's data was taken out."""
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action=GIVEN,
        subject=f"person:{person_id}", before=None, after={"rows": given.rows, "files": given.files},
    )  # fmt: skip


# --- rows --------------------------------------------------------------------------------------


def _rows(session: Session, name: str, keys: _Keys) -> Iterator[Mapping[str, Any]]:
    """The person's rows of a table, oldest first, without what is withheld."""
    table, part = _tables[name], PARTS[name]
    query = select(*(column for column in table.c if column.name not in part.withheld))
    found = session.connection().execute(
        query.where(part.where(keys)).order_by(*table.primary_key.columns),
        execution_options={"yield_per": _ROWS_AT_ONCE},
    )
    for row in found.mappings():
        if name == "client" and row["kind"] != _PROPRIETOR:
            # Of a company these say nothing about the person; a sole proprietor is one.
            yield {key: value for key, value in row.items() if key not in _THE_FIRMS_OWN}
        else:
            yield dict(row)


def _write_json(target: Any, session: Session, keys: _Keys, places: Mapping[str, str], now: datetime) -> int:
    """One object: each table under its name, a row a line; times are ISO 8601 with their zone."""
    count = 0
    target.write(b'{"made_at": ' + _json(now) + b',\n"files": ' + _json(places))
    for name in PARTS:
        target.write(b",\n" + _json(name) + b": [")
        separator = b"\n"
        for row in _rows(session, name, keys):
            target.write(separator + _json(row))
            separator, count = b",\n", count + 1
        target.write(b"]")
    target.write(b"}\n")
    return count


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=_plain).encode("utf-8", "replace")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# --- files -------------------------------------------------------------------------------------

_HOLDING_FILES = ("attachment", "message", "letter", "request", "answer_version", "draft")


def _named_files(session: Session, keys: _Keys) -> dict[str, str]:
    """Every file that the person's rows name: digest → name."""
    found: dict[str, str] = {}
    for name in _HOLDING_FILES:
        for row in _rows(session, name, keys):
            for digest, called in _files_in(dict(row)):
                found.setdefault(digest, called)
    return found


def _files_in(value: object) -> Iterator[tuple[str, str]]:
    """The files in whatever JSON holds; answers hold theirs as JSON in a text."""
    match value:
        case {"sha256": str(digest)} if digest:
            yield digest, str(value.get("name", ""))  # type: ignore[attr-defined]
        case dict():
            for inner in value.values():
                yield from _files_in(inner)
        case list():
            for inner in value:
                yield from _files_in(inner)
        case str() if _DIGEST in value and value.startswith(("[", "{")):
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from _files_in(inner)


def _write_files(
    archive: zipfile.ZipFile, store: KeptFiles, named: Mapping[str, str], withheld: Iterable[str]
) -> dict[str, str]:
    """Put the files in; returns digest → its place. What is infected or no longer kept stays out."""
    places: dict[str, str] = {}
    dangerous = set(withheld)
    for number, (digest, name) in enumerate(named.items(), 1):
        if digest in dangerous:
            continue
        place = f"files/{number:04d}-{safe_name(name)}"
        try:
            source = store.open(digest)
        except NoSuchFile:
            continue
        with source, archive.open(place, "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)
        places[digest] = place
    return places


# --- the page ----------------------------------------------------------------------------------

_STYLE = """
body{font:15px/1.45 system-ui,Arial,sans-serif;color:#111;background:#fff;margin:1.5em auto;max-width:70em;
padding:0 1em}h1{font-size:1.5em}h2{font-size:1.15em;margin:1.6em 0 .4em}
table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.25em .4em;text-align:left;
vertical-align:top;white-space:pre-line;overflow-wrap:anywhere}th{background:#eee}
@media print{body{margin:0;font-size:10px}}
"""
_DIRECTIONS = {"in": _("человек"), "note": _("заметка сотрудника")}


@dataclass(frozen=True, slots=True)
class _Page:
    """The same for reading, without any help from the network."""

    house: House
    places: Mapping[str, str]
    named: Mapping[str, str]

    def pieces(self, session: Session, keys: _Keys, name: str, now: datetime) -> Iterator[str]:
        say = self.house.say
        title = escape(say(_("Данные человека: {name}", name=name or "—")))
        made = _("{firm} хранит о вас то, что ниже. Выгружено {when}.",
                 firm=self.house.firm_name, when=self._moment(now))  # fmt: skip
        yield (
            '<!doctype html>\n<html lang="ru"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
            f"<title>{title}</title><style>{_STYLE}</style></head><body>"
            f"<h1>{title}</h1><p>{escape(say(made))}</p>"
            f"<p>{escape(say(_('То же самое для программ лежит в data.json, файлы — в папке files.')))}</p>"
        )
        for table, part in PARTS.items():
            yield from self._table(part, _rows(session, table, keys))
        yield from self._left_out()
        yield "</body></html>\n"

    def _table(self, part: Part, rows: Iterator[Mapping[str, Any]]) -> Iterator[str]:
        first = next(rows, None)
        if first is None:
            return
        heads = "".join(
            f'<th scope="col">{escape(self.house.say(word))}</th>' for word in part.shown.values()
        )
        yield f"<h2>{escape(self.house.say(part.title))}</h2><table><thead><tr>{heads}</tr></thead><tbody>\n"
        for row in chain((first,), rows):
            yield self._line(part, row)
        yield "</tbody></table>\n"

    def _line(self, part: Part, row: Mapping[str, Any]) -> str:
        cells = "".join(f"<td>{self._cell(name, row.get(name))}</td>" for name in part.shown)
        return f"<tr>{cells}</tr>\n"

    def _left_out(self) -> Iterator[str]:
        missing = [name for digest, name in self.named.items() if digest not in self.places]
        if missing:
            told = _("Этих файлов здесь нет: они удалены, не проверены или заражены вирусом.")
            items = "".join(f"<li>{escape(name)}</li>" for name in missing)
            yield f"<h2>{escape(self.house.say(told))}</h2><ul>{items}</ul>"

    def _cell(self, name: str, value: Any) -> str:
        if name == "files":
            return "<br>".join(self._link(digest, called) for digest, called in _files_in(value))
        return escape(self._told(name, value))

    def _link(self, digest: str, name: str) -> str:
        place = self.places.get(digest)
        # Quoted as a path: a name may hold «#», «?» and «%».
        return f'<a href="{escape(quote(place))}">{escape(name)}</a>' if place else escape(name)

    def _told(self, name: str, value: Any) -> str:
        said = _IN_WORDS.get(name, _as_it_is)(self.house, value) if isinstance(value, str) else None
        match value:
            case None:
                return ""
            case bool():
                return self.house.say(_YES if value else _NO)
            case datetime():
                return self._moment(value)
            case dict() | list():
                return json.dumps(value, ensure_ascii=False)
        return said or str(value)

    def _moment(self, at: datetime) -> str:
        return f"{at.astimezone(self.house.calendar.zone):%d.%m.%Y %H:%M}"


def _as_it_is(_house: House, value: str) -> str:
    return value


def _kind(house: House, value: str) -> str:
    known = house.kinds.by_code.get(value)
    return house.say(known.label) if known else value


def _field(house: House, value: str) -> str:
    return house.say(BY_NAME[value].title) if value in BY_NAME else value


_YES, _NO = _("да"), _("нет")
_IN_WORDS: Mapping[str, Callable[[House, str], str]] = {
    "status": lambda house, value: house.say(status_words(Status(value))),
    "direction": lambda house, value: house.say(_DIRECTIONS[value]),
    "channel": lambda house, value: house.channel_title(value),
    "kind": _kind,
    "field": _field,
}
"""The columns that hold codes, and what people call those."""
