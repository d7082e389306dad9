"""The list of the day: open requests, people and telephones on paper, for a morning without the server.

It is a page that needs nothing else and a workbook, written to a folder and sent by e-mail; both hold
personal data.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from html import escape
from pathlib import Path

from sqlalchemy import String, cast, func, literal_column, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from forms.messages import OutgoingFile, Reply
from forms.texts import Day, Text, _
from router.desk import status_words
from router.model import Status
from storage import calls, proofs, staff_mail
from storage.erasure import remember_to_forget
from storage.files import KeptFiles
from storage.house import House
from storage.letters import Posting, post
from storage.models import Absence, Attachment, Client, Letter, Person, Request, Staff
from storage.private import private_file
from storage.reach import Reach, within
from storage.reading import OWING
from storage.sheets import MEDIA, Sheet, write_workbook

KEPT_DAYS = 14
UNDELIVERED_DAYS = 7
_OURS = re.compile(r"priem-(\d{4}-\d\d-\d\d)\.(?:html|xlsx)")
_KEY = "duty:"
_HTML = "text/html"
_LATEST = timedelta(hours=2)
"""On a day whose work is over before the list is due, it may still come so much later."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When the list is made, and where it goes; without a folder and addresses it is made on demand only."""

    at: time
    folder: Path | None = None
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A part of the list, in words; `wide` is the number of the column with long texts."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: int = 0


@dataclass(frozen=True, slots=True)
class DutyList:
    """The list of one day, made at `made_at` (aware UTC)."""

    title: str
    made: str
    tables: tuple[Table, ...]
    nothing: str
    """What stands under a heading without rows."""
    language_code: str = "ru"


# --- what it holds -----------------------------------------------------------------------------


def gather(session: Session, house: House, now: datetime, reach: Reach = None) -> DutyList:
    """Read the list; with `reach`, only the requests that this reader may know of."""
    say, zone = house.say, house.calendar.zone
    local = now.astimezone(zone)
    return DutyList(
        title=say(_("Список на день: {day}", day=Day(local.date(), with_year=True))),
        made=say(_("{firm}. Составлен {time}.", firm=house.firm_name, time=f"{local:%d.%m.%Y %H:%M}")),
        tables=(
            _requests(session, house, now, reach),
            _absences(session, house, now),
            _calls(session, house, reach),
            _undelivered(session, house, now, reach),
            _staff(session, house),
        ),
        nothing=say(_("Нет.")),
    )


def _requests(session: Session, house: House, now: datetime, reach: Reach) -> Table:
    speaker, doer = aliased(Person), aliased(Person)
    query = (
        select(
            col(Request.id), col(Request.status), col(Request.company), col(Request.kind), col(Request.task),
            col(Request.deadline), col(Request.unanswered_since), col(speaker.name), col(speaker.phone),
            col(Client.phone), col(doer.name),
        )
        .select_from(Request)
        .join(Client, col(Client.id) == col(Request.client_id))
        .join(speaker, col(speaker.id) == col(Request.person_id))
        .outerjoin(Staff, col(Staff.id) == col(Request.assignee_id))
        .outerjoin(doer, col(doer.id) == col(Staff.person_id))
        .where(col(Request.status).in_(OWING), *within(reach))
        .order_by(col(Request.deadline), col(Request.id))
    )  # fmt: skip
    found = session.execute(query).all()
    files = _file_names(session, [number for number, *_rest in found])
    say = house.say
    rows = tuple(
        (
            str(number),
            _short(house, deadline) + (say(_(" (прошёл)")) if deadline < now else ""),
            company,
            _joined(name, *_phones(phone, firm_phone)),
            say(house.kinds.label(kind)),
            task,
            assignee or say(_("никто")),
            say(status_words(Status(status)))
            + (say(_(". Клиент ждёт ответа с {time}", time=_short(house, waits))) if waits else ""),
            _joined(*files.get(number, ())),
        )
        for number, status, company, kind, task, deadline, waits, name, phone, firm_phone, assignee in found
    )
    headings = (
        _("№"), _("Срок"), _("Клиент"), _("Кто обратился, телефон"), _("Вид работ"), _("Что сделать"),
        _("Кто делает"), _("Состояние"), _("Файлы"),
    )  # fmt: skip
    return _table(house, _("Открытые заявки"), headings, rows, wide=5)


def _file_names(session: Session, numbers: Sequence[int]) -> Mapping[int, list[str]]:
    names: dict[int, list[str]] = {}
    of_open = select(col(Request.id)).where(col(Request.status).in_(OWING))
    query = select(col(Attachment.request_id), col(Attachment.name)).where(
        col(Attachment.request_id).in_(of_open)
    )
    wanted = set(numbers)
    for number, name in session.execute(query.order_by(col(Attachment.id))):
        if number in wanted and name not in names.setdefault(number, []):
            names[number].append(name)
    return names


def _absences(session: Session, house: House, now: datetime) -> Table:
    zone = house.calendar.zone
    midnight = datetime.combine(now.astimezone(zone).date(), time(), zone)
    query = (
        select(col(Person.name), col(Absence.starts_at), col(Absence.ends_at), col(Absence.reason))
        .join(Staff, col(Staff.id) == col(Absence.staff_id))
        .join(Person, col(Person.id) == col(Staff.person_id))
        .where(
            col(Staff.active),
            col(Absence.starts_at) < midnight + timedelta(days=1),
            col(Absence.ends_at) > midnight,
        )
        .order_by(col(Person.name), col(Absence.starts_at))
    )
    rows = tuple(
        (name, _short(house, starts_at), _short(house, ends_at), reason)
        for name, starts_at, ends_at, reason in session.execute(query)
    )
    return _table(house, _("Кого сегодня нет"), (_("Кто"), _("С"), _("До"), _("Причина")), rows)


def _calls(session: Session, house: House, reach: Reach) -> Table:
    rows = tuple(
        (
            call.name,
            call.phone,
            f"№ {call.request_id}" if call.request_id else "",
            call.company,
            call.assignee,
            _joined(call.reason, call.words, *call.tried),
        )
        for call in calls.open_calls(session, reach)
    )
    headings = (_("Кому"), _("Телефон"), _("Заявка"), _("Клиент"), _("Кто звонит"), _("Зачем"))
    return _table(house, _("Кому позвонить"), headings, rows, wide=5)


def _undelivered(session: Session, house: House, now: datetime, reach: Reach) -> Table:
    since = now - timedelta(days=UNDELIVERED_DAYS)
    query = (
        select(
            col(Person.name), col(Person.phone), col(Letter.request_id), col(Letter.created_at),
            col(Letter.text), col(Letter.reason),
        )
        .select_from(Letter)
        .join(Person, col(Person.id) == col(Letter.person_id))
        .join(Request, col(Request.id) == col(Letter.request_id))
        .where(
            # Written out: a bound value proves nothing about the partial index of failed letters.
            col(Letter.state) == literal_column("'failed'"),
            col(Letter.created_at) >= since,
            col(Letter.replaces_id).is_(None),
            proofs.nothing_arrived(),
            *within(reach),
        )
        .order_by(col(Letter.created_at), col(Letter.id))
    )  # fmt: skip
    rows = tuple(
        (name, phone, f"№ {number}", _short(house, created_at), text, reason)
        for name, phone, number, created_at, text, reason in session.execute(query)
    )
    headings = (_("Кому"), _("Телефон"), _("Заявка"), _("Когда"), _("Что хотели сказать"), _("Почему"))
    return _table(house, _("Не доставлено за неделю"), headings, rows, wide=4)


def _staff(session: Session, house: House) -> Table:
    query = (
        select(col(Person.name), col(Person.phone), col(Person.email))
        .join(Staff, col(Staff.person_id) == col(Person.id))
        .where(col(Staff.active))
        .order_by(func.lower(Person.name), col(Person.id))
    )
    rows = tuple((name, phone, email) for name, phone, email in session.execute(query))
    return _table(house, _("Сотрудники"), (_("Кто"), _("Телефон"), _("Почта")), rows)


def _table(
    house: House, title: Text, headings: Iterable[Text], rows: tuple[tuple[str, ...], ...], wide: int = 0
) -> Table:
    return Table(house.say(title), tuple(house.say(heading) for heading in headings), rows, wide)


def _short(house: House, at: datetime) -> str:
    return f"{at.astimezone(house.calendar.zone):%d.%m %H:%M}"


def _phones(*phones: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(phone for phone in phones if phone))


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


# --- what it looks like ------------------------------------------------------------------------

_STYLE = """
body{font:13px/1.35 system-ui,Arial,sans-serif;color:#111;background:#fff;margin:1.5em}
h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.15em;margin:1.4em 0 .4em}p{margin:.2em 0}
table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.25em .4em;text-align:left;
vertical-align:top;white-space:pre-line;overflow-wrap:anywhere}th{background:#eee}td.wide{min-width:16em}
thead{display:table-header-group}tr{break-inside:avoid}
@media print{body{margin:0;font-size:10px}@page{size:A4 landscape;margin:10mm}}
"""


def as_html(found: DutyList) -> bytes:
    """A page that needs no network and can be printed."""
    parts = [
        "<!doctype html>",
        f'<html lang="{found.language_code}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">',
        f"<title>{escape(found.title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(found.title)}</h1><p>{escape(found.made)}</p>",
        *(_html_of(table, found.nothing) for table in found.tables),
        "</body></html>",
    ]
    return "\n".join(parts).encode()


def _html_of(table: Table, nothing: str) -> str:
    title = f"<h2>{escape(table.title)}: {len(table.rows)}</h2>"
    if not table.rows:
        return f"{title}<p>{escape(nothing)}</p>"
    heads = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in table.headings)
    rows = "".join(f"<tr>{_cells(row, table.wide)}</tr>\n" for row in table.rows)
    return f"{title}<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table>"


def _cells(row: tuple[str, ...], wide: int) -> str:
    return "".join(
        f'<td class="wide">{escape(cell)}</td>' if wide and number == wide else f"<td>{escape(cell)}</td>"
        for number, cell in enumerate(row)
    )


def as_xlsx(found: DutyList) -> bytes:
    """The same as a workbook of a sheet per table."""
    out = io.BytesIO()
    write_workbook((Sheet(table.title, table.headings, table.rows) for table in found.tables), out)
    return out.getvalue()


# --- where it goes -----------------------------------------------------------------------------


def is_due(plan: Plan, house: House, now: datetime) -> date | None:
    """The day whose list should be there by now, if it is a working one; by its end nobody wants it."""
    local = now.astimezone(house.calendar.zone)
    day = local.date()
    due_at = datetime.combine(day, plan.at, house.calendar.zone)
    if not house.calendar.is_working_day(day) or now < due_at:
        return None
    return day if now < max(house.calendar.closing_of(day), due_at + _LATEST) else None


def names_of(day: date) -> tuple[str, str]:
    """What the page and the workbook of this day are called."""
    return f"priem-{day}.html", f"priem-{day}.xlsx"


def is_written(folder: Path, day: date) -> bool:
    """Whether both are there."""
    return all((folder / name).is_file() for name in names_of(day))


def write(folder: Path, day: date, found: DutyList) -> None:
    """Put both into the folder, each whole or not at all, for us alone; old ones go. Raises OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, content in zip(names_of(day), (as_html(found), as_xlsx(found)), strict=True):
        write_privately(folder / name, content)
    for old in folder.iterdir():
        named = _OURS.fullmatch(old.name)
        if named and date.fromisoformat(named[1]) <= day - timedelta(days=KEPT_DAYS):
            old.unlink(missing_ok=True)


def write_privately(file: Path, content: bytes) -> None:
    """Write a file that appears whole and that only we may read. Raises OSError."""
    with private_file(file) as stream:
        stream.write(content)


def unsent(session: Session, plan: Plan, day: date) -> tuple[str, ...]:
    """The addresses that have not got this day's list yet."""
    keys = {_key(day, email): email for email in plan.emails}
    sent = set(session.execute(select(col(Letter.key)).where(col(Letter.key).in_(keys))).scalars())
    return tuple(email for key, email in keys.items() if key not in sent)


def keep(store: KeptFiles, day: date, found: DutyList) -> tuple[OutgoingFile, ...]:
    """Put both among the files, for letters. They are our own: nobody has to look into them."""
    kept = []
    contents = (as_html(found), as_xlsx(found))
    for name, content, media in zip(names_of(day), contents, (_HTML, MEDIA["xlsx"]), strict=True):
        digest = hashlib.sha256(content).hexdigest()
        store.put_back(digest, io.BytesIO(content))
        kept.append(OutgoingFile(digest, name, media, len(content)))
    return tuple(kept)


def send(
    session: Session, house: House, day: date, emails: Sequence[str], files: tuple[OutgoingFile, ...],
    now: datetime,
) -> None:  # fmt: skip
    """Post the list to these addresses, once a day each; what was sent a fortnight ago is let go of."""
    text = _(
        "Список на день, {day}: открытые заявки, телефоны, кого нет и кому позвонить. "
        "Пригодится, если программа будет недоступна.",
        day=Day(day),
    )
    postings = [
        Posting(
            _key(day, email),
            Reply(text, files=files),
            chat_id=staff_mail.address_chat(session, house.email_channel, email, now),
        )
        for email in emails
    ]
    post(session, house, now, postings)
    _let_go(session, now)


def _key(day: date, email: str) -> str:
    return f"{_KEY}{day}:{hashlib.sha256(email.strip().lower().encode()).hexdigest()[:16]}"


def _let_go(session: Session, now: datetime) -> None:
    old = select(Letter).where(
        col(Letter.key).like(f"{_KEY}%"),
        col(Letter.created_at) < now - timedelta(days=KEPT_DAYS),
        cast(col(Letter.files), String) != "[]",
    )
    digests: set[str] = set()
    for letter in session.execute(old).scalars():
        digests |= {file["sha256"] for file in letter.files}
        letter.files = []
        session.add(letter)
    session.flush()
    remember_to_forget(session, digests, now)
