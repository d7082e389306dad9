"""Deleting what the law lets go: a client that is nothing but a record, the data of a client's person.

A request is never deleted. Its number, kind, times and company stay, and of the history of changes that
something was done, when and by whom; what was written there goes. The files of work that was carried out
stay for the years for which primary documents must be kept (402-ФЗ, article 29). A consent that was given
stays as a proof, without a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import String, cast, delete, exists, func, or_, select, true, update
from sqlmodel import Session, col

from notifications.outbox import LetterState
from router.model import Status
from storage import history, search
from storage.casework import search_text
from storage.dialects import insert_for
from storage.engine import Database
from storage.files import KeptFiles
from storage.models import (
    AnswerVersion,
    Assignment,
    Attachment,
    CallTask,
    Chat,
    Clarification,
    Client,
    ClientPerson,
    Consent,
    Draft,
    FileScan,
    History,
    InboxEvent,
    Invitation,
    Letter,
    Message,
    Person,
    Proposal,
    Request,
    Setting,
    Staff,
)
from storage.roster import Act, CardChanged, NoSuchCard

ERASED = "удалено"
KEEP_YEARS = 5
"""For so many full years after the one in which the work was done its documents stay."""
UNDISTURBED_SECONDS = 3600.0
"""A file that came a moment ago may be about to be named by a row."""

_KEPT_FIELDS = frozenset({"inn", "company", "kind", "deadline"})
_HARMLESS = frozenset(
    {"status", "stage", "assignee_id", "person_id", "channel", "version", "kind", "deadline", "rating"}
)
"""What the history of their requests may go on to tell."""
_EMPTY_LISTS = frozenset({"files", "goods"})
_TOLD_TO_STAFF = ("consent_withdrawn", "data_asked", "human_called")
"""What is told to staff at the moment at which the history notes it."""
_CLOSED = (Status.CLOSED.value, Status.CANCELLED.value)
_TO_FORGET = "erased_file:"
_AT_ONCE = 100


class NotErasable(Exception):  # noqa: N818 - the name says what happened
    """Something still holds the record or the person; nothing was written."""


# --- A person ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PersonErasure:
    """What would be erased of a person and what would stay."""

    person_id: int
    name: str
    clients: tuple[str, ...]
    """The companies for which they speak."""
    chats: int
    requests: int
    open_requests: tuple[int, ...]
    """While there are any, the person stays."""
    messages: int
    letters: int
    files: int
    kept_files: int
    has_draft: bool


def preview_person(session: Session, person_id: int, now: datetime, zone: ZoneInfo) -> PersonErasure:
    """Count what `erase_person` would erase. Raises NoSuchCard for staff and for whoever is erased."""
    person = client_person(session, person_id)
    going, staying = _attachments(session, person_id, now, zone)
    clients = session.execute(
        select(col(Client.name))
        .join(ClientPerson, col(ClientPerson.client_id) == col(Client.id))
        .where(col(ClientPerson.person_id) == person_id)
        .order_by(col(Client.name))
    ).scalars()
    unfinished = session.execute(
        select(col(Request.id))
        .where(col(Request.person_id) == person_id, col(Request.status).not_in(_CLOSED))
        .order_by(col(Request.id))
    ).scalars()
    return PersonErasure(
        person_id=person_id,
        name=person.name,
        clients=tuple(clients),
        chats=_count(session, Chat, col(Chat.person_id) == person_id),
        requests=_count(session, Request, col(Request.person_id) == person_id),
        open_requests=tuple(number for number in unfinished if number is not None),
        messages=_count(session, Message, _said(person_id)),
        letters=_count(session, Letter, _told(person_id)),
        files=len({row.sha256 for row in going}),
        kept_files=len({row.sha256 for row in staying}),
        has_draft=session.get(Draft, person_id) is not None,
    )


def erase_person(session: Session, act: Act, person_id: int, zone: ZoneInfo) -> PersonErasure:
    """Erase a person of a client for good; returns what it was.

    The files go from the disk once this is committed: call `forget_files` then. Raises NoSuchCard, and
    NotErasable while a request of theirs is open.
    """
    history.wait_turn(session)
    session.get(Person, person_id, with_for_update=True)
    found = preview_person(session, person_id, act.now, zone)
    if found.open_requests:
        raise NotErasable
    digests = _digests_said(session, person_id)
    going, _staying = _attachments(session, person_id, act.now, zone)
    digests |= {row.sha256 for row in going}
    _erase_letters(session, col(Letter.id).in_(_told_to_staff(session, person_id)))
    _erase_words(session, person_id)
    _erase_requests(session, person_id, {row.id for row in _staying if row.id is not None})
    session.execute(delete(Attachment).where(col(Attachment.id).in_([row.id for row in going])))
    session.execute(update(FileScan).where(col(FileScan.sha256).in_(digests)).values(name=""))
    _erase_identity(session, person_id, act.now)
    remember_to_forget(session, digests, act.now)
    subjects = subjects_of(session, person_id)
    history.forget_values(session, subjects, _HARMLESS)
    _record_erasure(session, act, found, subjects)
    return found


def client_person(session: Session, person_id: int) -> Person:
    """A person of a client. Raises NoSuchCard for staff and for whoever is erased."""
    person = session.get(Person, person_id)
    is_staff = session.execute(select(exists().where(col(Staff.person_id) == person_id))).scalar()
    if person is None or is_staff or person.name == ERASED:
        raise NoSuchCard
    return person


def _count(session: Session, table: Any, condition: Any) -> int:
    return int(session.execute(select(func.count()).select_from(table).where(condition)).scalar_one())


def _own_requests(person_id: int) -> Any:
    return select(col(Request.id)).where(col(Request.person_id) == person_id).scalar_subquery()


def _own_chats(person_id: int) -> Any:
    return select(col(Chat.id)).where(col(Chat.person_id) == person_id).scalar_subquery()


def _said(person_id: int) -> Any:
    """What they wrote, and what was written about it: notes may name them."""
    return or_(
        col(Message.person_id) == person_id,
        col(Message.chat_id).in_(_own_chats(person_id)),
        col(Message.request_id).in_(_own_requests(person_id)),
    )


def _told(person_id: int) -> Any:
    """What was said to them, and to staff about their requests."""
    return or_(
        col(Letter.person_id) == person_id,
        col(Letter.chat_id).in_(_own_chats(person_id)),
        col(Letter.request_id).in_(_own_requests(person_id)),
    )


def _attachments(
    session: Session, person_id: int, now: datetime, zone: ZoneInfo
) -> tuple[list[Attachment], list[Attachment]]:
    """The files of their requests and those that they added elsewhere: which go and which stay."""
    rows = session.execute(
        select(Attachment, Request)
        .join(Request, col(Request.id) == col(Attachment.request_id))
        .where(or_(col(Request.person_id) == person_id, col(Attachment.person_id) == person_id))
        .order_by(col(Attachment.id))
    ).all()
    going = [attachment for attachment, request in rows if not _must_stay(request, now, zone)]
    staying = [attachment for attachment, request in rows if _must_stay(request, now, zone)]
    return going, staying


def _must_stay(request: Request, now: datetime, zone: ZoneInfo) -> bool:
    if request.status == Status.CANCELLED.value:
        return False
    if request.status != Status.CLOSED.value:
        return True
    done = request.done_at or request.closed_at or request.submitted_at
    return now.astimezone(zone).year <= done.astimezone(zone).year + KEEP_YEARS


def _digests_said(session: Session, person_id: int) -> set[str]:
    lists = [
        *session.execute(select(col(Message.files)).where(_said(person_id))).scalars(),
        *session.execute(select(col(Letter.files)).where(_told(person_id))).scalars(),
    ]
    return {file["sha256"] for files in lists for file in files if file.get("sha256")}


def _erase_words(session: Session, person_id: int) -> None:
    session.execute(
        update(Message)
        .where(_said(person_id))
        .values(text=ERASED, files=[], event_key="", message_key="")
        .execution_options(synchronize_session=False)
    )
    _erase_letters(session, _told(person_id))
    session.execute(
        update(CallTask)
        .where(col(CallTask.person_id) == person_id)
        .values(reason=ERASED, outcome=ERASED)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(InboxEvent)
        .where(col(InboxEvent.chat_id).in_(_own_chats(person_id)), col(InboxEvent.state) != "done")
        .values(state="done", payload=None)
        .execution_options(synchronize_session=False)
    )


def _erase_letters(session: Session, wanted: Any) -> None:
    """Blank these letters; those that wait are not sent."""
    gone = {"text": ERASED, "rows": [], "files": [], "message_key": "", "reason": ""}
    for condition, values in (
        (col(Letter.state) == LetterState.TODO.value, {"state": LetterState.SUPERSEDED.value}),
        (true(), gone),
    ):
        changed = update(Letter).where(wanted, condition).values(**values)
        session.execute(changed.execution_options(synchronize_session=False))


def _told_to_staff(session: Session, person_id: int) -> list[int]:
    """What staff were told about this person apart from any request: an alarm, a call for a human.

    No index knows whom such a letter is about. The rows written with it know when it was, and letters are
    found by whom they went to and when.
    """
    chats = list(session.execute(select(col(Chat.id)).where(col(Chat.person_id) == person_id)).scalars())
    calls = session.execute(
        select(col(CallTask.id), col(CallTask.created_at)).where(col(CallTask.person_id) == person_id)
    ).all()
    subjects = [f"person:{person_id}", *(f"chat:{chat}" for chat in chats)]
    noted = select(col(History.at)).where(
        col(History.subject).in_(subjects), col(History.action).in_(_TOLD_TO_STAFF)
    )
    times = {*session.execute(noted).scalars(), *(call.created_at for call in calls)}
    about = or_(
        col(Letter.key).startswith(f"consent-withdrawn:{person_id}:"),
        col(Letter.key).startswith(f"data-asked:{person_id}:"),
        *(col(Letter.key).startswith(f"call:{call.id}:") for call in calls),
        *(cast(col(Letter.rows), String).contains(f'"chat:{chat}:') for chat in chats),
    )
    found = select(col(Letter.id)).where(
        col(Letter.person_id).in_(select(col(Staff.person_id))), col(Letter.created_at).in_(times), about
    )
    failed = select(col(Letter.id)).where(col(Letter.key).in_(_keys_of_failures(session, chats)))
    told = {*session.execute(found).scalars(), *session.execute(failed).scalars()}
    copies = select(col(Letter.id)).where(col(Letter.replaces_id).in_(told))
    return [number for number in {*told, *session.execute(copies).scalars()} if number is not None]


def _keys_of_failures(session: Session, chats: Sequence[int | None]) -> list[str]:
    """The keys of the letters that told staff of this person's messages that could not be answered."""
    events = session.execute(
        select(col(InboxEvent.channel), col(InboxEvent.event_key)).where(
            col(InboxEvent.chat_id).in_(chats), col(InboxEvent.state) != "done"
        )
    ).all()
    staff = session.execute(select(col(Staff.person_id))).scalars().all()
    return [f"failed:{event.channel}:{event.event_key}:{person}" for event in events for person in staff]


def _erase_requests(session: Session, person_id: int, kept_files: set[int]) -> None:
    kept = select(col(Attachment.request_id)).where(col(Attachment.id).in_(kept_files))
    with_files = set(session.execute(kept).scalars())
    for row in session.execute(select(Request).where(col(Request.person_id) == person_id)).scalars():
        row.answers = {name: _blank(name, value, row.id in with_files) for name, value in row.answers.items()}
        row.task, row.result = ERASED, ERASED if row.result else ""
        before, row.search = row.search, search_text(row.company, row.inn)
        search.keep_words(session, row.id or 0, row.search, before)
        row.version += 1
        session.add(row)
    session.flush()
    own = _own_requests(person_id)
    versions = select(AnswerVersion).where(
        col(AnswerVersion.request_id).in_(own), col(AnswerVersion.field).not_in(_KEPT_FIELDS)
    )
    for version in session.execute(versions).scalars():
        version.value = _blank(version.field, version.value, version.request_id in with_files)
        session.add(version)
    session.flush()
    # Why a request changed hands is somebody's comment, too.
    for table, column in ((Clarification, "question"), (Proposal, "value"), (Assignment, "reason")):
        session.execute(
            update(table)
            .where(col(table.request_id).in_(own))
            .values({column: ERASED})
            .execution_options(synchronize_session=False)
        )


def _blank(name: str, value: str, keeps_files: bool) -> str:
    if name in _KEPT_FIELDS or (name == "files" and keeps_files):
        return value
    return "[]" if name in _EMPTY_LISTS else ERASED


def _erase_identity(session: Session, person_id: int, now: datetime) -> None:
    """The person, their chats' keys, what they began to write, what they were invited with."""
    session.execute(delete(Draft).where(col(Draft.person_id) == person_id))
    session.execute(delete(ClientPerson).where(col(ClientPerson.person_id) == person_id))
    session.execute(
        update(Consent)
        .where(col(Consent.person_id) == person_id, col(Consent.withdrawn_at).is_(None))
        .values(withdrawn_at=now)
    )
    session.execute(
        update(Invitation)
        .where(col(Invitation.person_id) == person_id, col(Invitation.expires_at) > now)
        .values(expires_at=now)
    )
    for chat in session.execute(select(Chat).where(col(Chat.person_id) == person_id)).scalars():
        chat.chat_key, chat.user_key, chat.person_id = f"erased:{chat.id}", "", None
        chat.screen, chat.focus, chat.blocked_at = [], "", now
        session.add(chat)
    person = session.get_one(Person, person_id)
    person.name, person.phone, person.email, person.consent_version = ERASED, "", "", ""
    session.add(person)
    session.flush()


def subjects_of(session: Session, person_id: int) -> tuple[str, ...]:
    """What the history calls them, their requests and the calls to them."""
    own = select(col(Request.id)).where(col(Request.person_id) == person_id).order_by(col(Request.id))
    calls = select(col(CallTask.id)).where(col(CallTask.person_id) == person_id).order_by(col(CallTask.id))
    return (
        f"person:{person_id}",
        *(f"request:{number}" for number in session.execute(own).scalars()),
        *(f"call:{number}" for number in session.execute(calls).scalars()),
    )


def _record_erasure(session: Session, act: Act, found: PersonErasure, subjects: Iterable[str]) -> None:
    counted = {
        "person_id": found.person_id, "requests": found.requests, "messages": found.messages,
        "letters": found.letters, "files": found.files, "kept_files": found.kept_files,
    }  # fmt: skip
    for subject in subjects:
        history.record(
            session, at=act.now, actor_id=act.who.person_id, through=act.who.through,
            action=history.PERSON_ERASED, subject=subject, before=None, after=counted,
        )  # fmt: skip


# --- A client ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A client, and what keeps it from being deleted."""

    client_id: int
    name: str
    inn: str
    version: int
    requests: int
    people: tuple[str, ...]
    """Those who speak for it and have come; whoever was only invited holds nothing."""

    @property
    def is_bare(self) -> bool:
        """Whether there is nothing but the record."""
        return not self.requests and not self.people


def preview_client(session: Session, client_id: int) -> ClientRecord:
    """What is known of the client. Raises NoSuchCard."""
    client = session.get(Client, client_id)
    if client is None:
        raise NoSuchCard
    came = session.execute(
        select(col(Person.name))
        .join(ClientPerson, col(ClientPerson.person_id) == col(Person.id))
        .where(
            col(ClientPerson.client_id) == client_id,
            or_(col(Person.name) != "", exists().where(col(Chat.person_id) == col(Person.id))),
        )
        .order_by(col(Person.id))
    ).scalars()
    requests = _count(session, Request, col(Request.client_id) == client_id)
    return ClientRecord(client_id, client.name, client.inn, client.version, requests, tuple(came))


def delete_client(session: Session, act: Act, client_id: int, version: int) -> None:
    """Delete a client that is nothing but a record. Raises NoSuchCard, NotErasable, CardChanged."""
    history.wait_turn(session)
    found = preview_client(session, client_id)
    if not found.is_bare:
        raise NotErasable
    invited = select(col(ClientPerson.person_id)).where(col(ClientPerson.client_id) == client_id)
    session.execute(
        update(Invitation)
        .where(col(Invitation.person_id).in_(invited.scalar_subquery()), col(Invitation.expires_at) > act.now)
        .values(expires_at=act.now)
        .execution_options(synchronize_session=False)
    )
    session.execute(delete(ClientPerson).where(col(ClientPerson.client_id) == client_id))
    # The comparison and the deletion are one statement: nobody can slip in between.
    deleted: Any = session.execute(
        delete(Client).where(col(Client.id) == client_id, col(Client.version) == version)
    )
    if deleted.rowcount != 1:
        raise CardChanged
    history.record(
        session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action="client_deleted",
        subject=f"client:{client_id}", before={"inn": found.inn}, after=None,
    )  # fmt: skip


# --- Files ---------------------------------------------------------------------------------------------


def remember_to_forget(session: Session, digests: Iterable[str], now: datetime) -> None:
    """Have these files deleted by the next `forget_files`, unless somebody still refers to them."""
    # Written with the rest: if the power goes before the disk is cleared, the timer finds them here.
    rows = [{"key": f"{_TO_FORGET}{digest}", "value": "", "updated_at": now} for digest in sorted(digests)]
    if rows:
        added = insert_for(session)(Setting).on_conflict_do_nothing(index_elements=["key"])
        session.execute(added, rows)


def forget_files(database: Database, store: KeptFiles, now: datetime) -> int:
    """Delete from the disk what was erased and nobody else refers to; returns how many files it was.

    A file that nobody refers to can only come back by being sent again, and then it is young.
    """
    with database.read() as reading:
        keys = select(col(Setting.key)).where(
            col(Setting.key) >= _TO_FORGET, col(Setting.key) < f"{_TO_FORGET}~"
        )
        digests = [key.removeprefix(_TO_FORGET) for key in reading.execute(keys.limit(_AT_ONCE)).scalars()]
        named = {digest for digest in digests if is_referred_to(reading, digest)}
    gone = {
        digest for digest in digests if digest not in named and store.forget(digest, UNDISTURBED_SECONDS, now)
    }
    settled = [f"{_TO_FORGET}{digest}" for digest in gone | named]
    if settled:
        with database.begin() as writing:
            writing.execute(delete(Setting).where(col(Setting.key).in_(settled)))
    return len(gone)


_MENTIONS: Sequence[Any] = (Message.files, Letter.files, Request.answers, Draft.progress, InboxEvent.payload)


def is_referred_to(session: Session, digest: str) -> bool:
    """Whether any row names the file with this digest."""
    if session.execute(select(exists().where(col(Attachment.sha256) == digest))).scalar():
        return True
    for column in _MENTIONS:
        named = cast(col(column), String).contains(digest)
        if session.execute(select(exists().where(named))).scalar():
            return True
    return False
