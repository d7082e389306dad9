"""Lets a virus scanner look at what comes, and keeps from everybody what it has not looked at yet.

clamd is optional. Whatever it says is written down by the file's digest: an infected file is refused at
the door; when the scanner is silent, a file is kept and, as the firm has settled, held back or given out
with a mark, and looked at as soon as the scanner answers. A clean file leaves no trace.

The protocol is a few bytes (INSTREAM, https://docs.clamav.net/manual/Usage/Scanning.html#clamd), so the
client is ours: the only library for it has seen no release since 2014.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import BinaryIO

import structlog
from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from forms.messages import Reply
from forms.texts import Text, _, lines
from storage import history
from storage.alarms import IN_CHARGE, people_of, tell_once
from storage.dialects import insert_for
from storage.engine import Database
from storage.files import KeptFile, KeptFiles, NoSuchFile
from storage.house import House
from storage.inspection import UNKNOWN, Verdict
from storage.models import Attachment, FileScan

log = structlog.get_logger(__name__)

CHUNK_BYTES = 256 * 1024
MAX_ANSWER_BYTES = 4096
CONNECT_SECONDS = 5.0
SCANNED_AT_ONCE = 50
"""How many files that wait one round looks at."""
SILENT_TOO_LONG = timedelta(minutes=5)
"""A scanner that is restarted is no reason to disturb anybody."""

HELD, PASSED, INFECTED = "held", "passed", "infected"


class ScannerSilent(Exception):  # noqa: N818 - the name says what happened
    """The scanner gave no verdict; the sentence is for the operator."""


@dataclass(frozen=True, slots=True)
class Clamd:
    """A clamd: `HOST:PORT`, or the path of its socket. Every call opens a connection of its own."""

    address: str
    timeout_seconds: float = 60.0

    def virus_in(self, content: BinaryIO) -> str | None:
        """Name the virus in a stream; None for a clean one. Raises ScannerSilent. Blocking."""
        with self._connected() as (line, until):
            line.sendall(b"zINSTREAM\0")
            while chunk := content.read(CHUNK_BYTES):
                _within(line, until)
                line.sendall(struct.pack("!I", len(chunk)) + chunk)
            line.sendall(struct.pack("!I", 0))
            answer = _answer(line, until)
        if answer.endswith("FOUND"):
            found = answer.removesuffix("FOUND").partition(": ")[2]
            return "".join(sign for sign in found if sign.isprintable()).strip()[:100] or "?"
        if answer.endswith(": OK"):
            return None
        raise ScannerSilent(f"the scanner refused to look: {answer[:100]!r}")

    def ping(self) -> None:
        """Raise ScannerSilent unless a clamd answers."""
        with self._connected() as (line, until):
            line.sendall(b"zPING\0")
            if (answer := _answer(line, until)) != "PONG":
                raise ScannerSilent(f"no clamd answers there, but something that says {answer[:40]!r}")

    @contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, float]]:
        until = monotonic() + self.timeout_seconds
        try:
            with self._line() as line:
                _within(line, until)
                yield line, until
        except TimeoutError as error:
            raise ScannerSilent(f"no answer within {self.timeout_seconds:.0f} seconds") from error
        except OSError as error:
            raise ScannerSilent(error.strerror or type(error).__name__) from error

    def _line(self) -> socket.socket:
        if "/" in self.address:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            line.settimeout(CONNECT_SECONDS)
            try:
                line.connect(self.address)
            except OSError:
                line.close()
                raise
            return line
        host, _colon, port = self.address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS)


def _within(line: socket.socket, until: float) -> None:
    left_seconds = until - monotonic()
    if left_seconds <= 0:
        raise TimeoutError
    line.settimeout(left_seconds)


def _answer(line: socket.socket, until: float) -> str:
    answer = b""
    while b"\0" not in answer and len(answer) < MAX_ANSWER_BYTES:
        _within(line, until)
        part = line.recv(1024)
        if not part:
            break
        answer += part
    return answer.partition(b"\0")[0].decode("utf-8", "replace").strip()


# --- At the door ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gate:
    """What a file passes between being kept and being seen by anybody. In a thread, outside a transaction.

    A crash in between loses nothing: the message of an unseen file comes once more.
    """

    scanner: Clamd
    store: KeptFiles
    database: Database
    now: Callable[[], datetime]
    holds: bool = True
    """Whether a file that could not be looked at is held back; else it is given out with a mark."""

    def __call__(self, kept: KeptFile) -> KeptFile:
        """The same file, refused if it is infected. What is unknown is written down."""
        if not kept.verdict.accepted:
            return kept
        try:
            with self.store.open(kept.sha256) as content:
                virus = self.scanner.virus_in(content)
        except ScannerSilent as silent:
            log.warning("file not scanned", why=str(silent))
            self._note(kept, HELD if self.holds else PASSED)
            return kept
        if virus is None:
            self._clear(kept.sha256)
            return kept
        log.warning("infected file refused", virus=virus, file=kept.sha256[:12])
        self._note(kept, INFECTED, virus)
        with self.database.read() as session:
            belongs = _requests_of(session, kept.sha256)
        if not belongs:
            self.store.forget(kept.sha256, 0, self.now())
        return replace(kept, sha256="", verdict=Verdict(False, UNKNOWN, _refusal(kept.name)))  # noqa: FBT003

    def _note(self, kept: KeptFile, state: str, virus: str = "") -> None:
        with self.database.begin() as session:
            _put(session, kept.sha256, state, kept.name[:200], virus, self.now())

    def _clear(self, sha256: str) -> None:
        with self.database.read() as session:
            known = session.get(FileScan, sha256)
        if known is not None:
            with self.database.begin() as session:
                session.execute(delete(FileScan).where(col(FileScan.sha256) == sha256))


def _refusal(name: str) -> Text:
    return _(
        "В файле «{name}» нашёлся вирус, мы его не сохранили. "
        "Проверьте компьютер или телефон антивирусом и пришлите файл заново.",
        name=name,
    )  # fmt: skip


def _put(session: Session, sha256: str, state: str, name: str, virus: str, now: datetime) -> None:
    row = {"sha256": sha256, "state": state, "name": name, "virus": virus, "found_at": now, "told_at": None}
    added = insert_for(session)(FileScan).values(row)
    session.execute(added.on_conflict_do_update(index_elements=["sha256"], set_=row))


# --- At the way out ------------------------------------------------------------------------------------


def states(session: Session) -> dict[str, str]:
    """The state of every file that is not known to be clean, by digest; there are few."""
    found = session.execute(select(col(FileScan.sha256), col(FileScan.state)))
    return {sha256: state for sha256, state in found}  # noqa: C416 - rows are not pairs to mypy


def withheld(session: Session, digests: Collection[str]) -> dict[str, str]:
    """Those of these files that may be given to nobody: digest → held or infected."""
    if not digests:
        return {}
    found = session.execute(
        select(col(FileScan.sha256), col(FileScan.state)).where(
            col(FileScan.sha256).in_(sorted(digests)), col(FileScan.state).in_((HELD, INFECTED))
        )
    )
    return {sha256: state for sha256, state in found}  # noqa: C416 - rows are not pairs to mypy


WHY_WITHHELD: Mapping[str, Text] = {
    HELD: _("Файл ещё не проверен на вирусы. Откройте его через несколько минут."),
    INFECTED: _("В файле нашёлся вирус, поэтому он не открывается."),
}


def instead_of_file(name: str, state: str) -> Text:
    """What stands in a message in place of a file that may not be sent."""
    if state == HELD:
        return _("Файл «{name}» ещё не проверен на вирусы. Позже его можно открыть в заявке.", name=name)
    return _("Файл «{name}» не приложен: в нём нашёлся вирус.", name=name)


# --- By the clock --------------------------------------------------------------------------------------


def look_again(gate: Gate) -> int:
    """Scan what waits, oldest first; returns how many files are settled now. Blocking."""
    database = gate.database
    with database.read() as session:
        waiting = session.execute(
            select(col(FileScan.sha256))
            .where(col(FileScan.state).in_((HELD, PASSED)))
            .order_by(col(FileScan.found_at))
            .limit(SCANNED_AT_ONCE)
        ).scalars().all()  # fmt: skip
    settled = 0
    for sha256 in waiting:
        try:
            virus = _virus_in_kept(gate, sha256)
        except ScannerSilent as silent:
            log.info("files wait for the scanner", files=len(waiting) - settled, why=str(silent))
            break
        with database.begin() as session:
            _settle(session, sha256, virus, gate.now())
        settled += 1
    return settled


def _virus_in_kept(gate: Gate, sha256: str) -> str | None:
    try:
        with gate.store.open(sha256) as content:
            return gate.scanner.virus_in(content)
    except NoSuchFile:
        return None  # kept no longer, so there is nothing to hold back


def _settle(session: Session, sha256: str, virus: str | None, now: datetime) -> None:
    this = col(FileScan.sha256) == sha256
    if virus is None:
        session.execute(delete(FileScan).where(this))
    else:
        found = {"state": INFECTED, "virus": virus, "found_at": now, "told_at": None}
        session.execute(update(FileScan).where(this).values(found))


def tell(session: Session, house: House, now: datetime) -> int:
    """Tell the directors and administrators what was found, and, once a day, that nothing looks at files."""
    told = 0
    for row in session.execute(
        select(FileScan).where(col(FileScan.state) == INFECTED, col(FileScan.told_at).is_(None))
    ).scalars():
        history.record(
            session, at=now, actor_id=None, through="timer", action="virus_found",
            subject=f"file:{row.sha256[:12]}", before=None, after={"virus": row.virus},
        )  # fmt: skip
        reply = _found(row, _requests_of(session, row.sha256))
        key = f"virus:{row.sha256[:16]}:{row.found_at:%Y%m%dT%H%M%S}"
        told += tell_once(session, house, now, key, reply, people_of(session, IN_CHARGE))
        row.told_at = now
        session.add(row)
    return told + _tell_of_silence(session, house, now)


def _found(row: FileScan, requests: list[int]) -> Reply:
    where = (
        _("Он лежал в заявках: {numbers}.", numbers=", ".join(f"№ {number}" for number in requests))
        if requests
        else _("Мы его не сохранили и попросили прислать заново.")
    )
    return Reply(
        lines(
            _("В присланном файле нашёлся вирус: «{name}» ({virus}).", name=row.name, virus=row.virus),
            where,
            _("Больше он никому не откроется. Кто его уже открывал, пусть проверит компьютер.")
            if requests
            else None,
        )
    )


def _requests_of(session: Session, sha256: str) -> list[int]:
    numbers = select(col(Attachment.request_id)).where(col(Attachment.sha256) == sha256).distinct()
    return sorted(session.execute(numbers).scalars())


def _tell_of_silence(session: Session, house: House, now: datetime) -> int:
    oldest = session.execute(
        select(FileScan)
        .where(col(FileScan.state).in_((HELD, PASSED)))
        .order_by(col(FileScan.found_at))
        .limit(1)
    ).scalar_one_or_none()  # fmt: skip
    if oldest is None or now - oldest.found_at < SILENT_TOO_LONG:
        return 0
    consequence = (
        _("Новые файлы клиентов пока никому не открываются.")
        if oldest.state == HELD
        else _("Новые файлы клиентов открываются без проверки.")
    )
    reply = Reply(
        lines(
            _("Проверка файлов на вирусы не отвечает с {time}.",
              time=f"{oldest.found_at.astimezone(house.calendar.zone):%d.%m %H:%M}"),
            consequence,
            _("Пусть администратор посмотрит, работает ли clamd."),
        )
    )  # fmt: skip
    day = now.astimezone(house.calendar.zone)
    return tell_once(session, house, now, f"scanner:{day:%Y%m%d}", reply, people_of(session, IN_CHARGE))
