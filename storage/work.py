"""One batch of inbound messages against the database.

Everything needed is read with one query per table, everything written goes out with one statement per
table, all in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, bindparam, delete, exists, insert, literal_column, select, text, update
from sqlmodel import Session

from forms.fields import Company
from forms.messages import Inbound, InboundKind
from router.model import Role
from storage.dialects import in_both
from storage.letters import ChatAddress, Posted, write_posted
from storage.models import (
    CallTask,
    Chat,
    Client,
    ClientPerson,
    Draft,
    InboxEvent,
    Message,
    Person,
    Setting,
    Staff,
)

_chat: Table = Chat.__table__  # type: ignore[attr-defined]
_person: Table = Person.__table__  # type: ignore[attr-defined]
_staff: Table = Staff.__table__  # type: ignore[attr-defined]
_draft: Table = Draft.__table__  # type: ignore[attr-defined]
_inbox: Table = InboxEvent.__table__  # type: ignore[attr-defined]
_message: Table = Message.__table__  # type: ignore[attr-defined]
_client: Table = Client.__table__  # type: ignore[attr-defined]
_client_person: Table = ClientPerson.__table__  # type: ignore[attr-defined]
_setting: Table = Setting.__table__  # type: ignore[attr-defined]
_call: Table = CallTask.__table__  # type: ignore[attr-defined]

# Statements are built once: building one costs more than running it, and these run for every batch.


def _upsert(insert_in: Any, table: Table, key: str, changed: Sequence[str]) -> Any:
    statement = insert_in(table)
    return statement.on_conflict_do_update(
        index_elements=[key], set_={name: statement.excluded[name] for name in changed}
    )


_CHATS = (
    select(
        _chat.c.id, _chat.c.channel, _chat.c.chat_key, _chat.c.person_id, _chat.c.screen, _chat.c.focus,
        _chat.c.blocked_at, _chat.c.last_inbound_at, _person.c.name, _person.c.phone,
        _person.c.consent_version,
        _staff.c.id, _staff.c.role, _staff.c.active, _draft.c.progress, _draft.c.created_at,
        # Both conditions, so that the partial index of unfinished events answers.
        exists().where(
            _inbox.c.chat_id == _chat.c.id,
            _inbox.c.state == literal_column("'waiting'"),
            _inbox.c.state != literal_column("'done'"),
        ),
        exists().where(
            _call.c.person_id == _chat.c.person_id,
            _call.c.letter_id.is_not(None),
            _call.c.done_at.is_(None),
        ),
    )
    .select_from(
        _chat.outerjoin(_person, _person.c.id == _chat.c.person_id)
        .outerjoin(_staff, _staff.c.person_id == _chat.c.person_id)
        .outerjoin(_draft, _draft.c.person_id == _chat.c.person_id)
    )
    .where(_chat.c.channel == bindparam("channel"), _chat.c.chat_key.in_(bindparam("keys", expanding=True)))
)  # fmt: skip
_TURNS_LOCK = 0x7072
_TURNS = text(
    """
    select pg_advisory_xact_lock(:lock, number) from (
        select -id as number from chat where (channel, chat_key) in :chats
        union
        select person_id from chat where (channel, chat_key) in :chats and person_id is not null
        order by 1 offset 0
    ) as numbers
    """
).bindparams(bindparam("chats", expanding=True))
_ADD_CHAT = in_both(
    lambda insert_in: insert_in(_chat).on_conflict_do_nothing(index_elements=["channel", "chat_key"])
)
_SEE_CHAT = (
    update(_chat)
    .where(_chat.c.id == bindparam("b_id"))
    .values(last_inbound_at=bindparam("b_at"), blocked_at=None)
)
_KEEP_EVENT = in_both(
    lambda insert_in: insert_in(_inbox).on_conflict_do_nothing(index_elements=["channel", "event_key"])
)
_ADD_EVENT: Mapping[str, Any] = {
    name: statement.returning(_inbox.c.channel, _inbox.c.event_key) for name, statement in _KEEP_EVENT.items()
}
_ADD_MESSAGE = insert(_message)
_SAID_BEFORE = (
    select(
        _message.c.event_key, _message.c.kind, _message.c.sent_at, _message.c.request_id
    )
    .where(_message.c.chat_id == bindparam("chat"), _message.c.direction == literal_column("'in'"))
    .order_by(_message.c.id.desc())
    .limit(bindparam("count"))
)  # fmt: skip
_WAITING_BEFORE = (
    select(_inbox.c.event_key, _inbox.c.payload)
    .where(_inbox.c.chat_id == bindparam("chat"), _inbox.c.state == literal_column("'waiting'"))
    .order_by(_inbox.c.id.desc())
    .limit(bindparam("count"))
)
_PUT_DRAFT = in_both(lambda insert_in: _upsert(insert_in, _draft, "person_id", ("progress", "updated_at")))
_DROP_DRAFTS = delete(_draft).where(_draft.c.person_id.in_(bindparam("people", expanding=True)))
_COMPANIES = (
    select(_client_person.c.person_id, _client.c.inn, _client.c.name)
    .join(_client, _client.c.id == _client_person.c.client_id)
    .where(_client_person.c.person_id.in_(bindparam("people", expanding=True)))
    .order_by(_client.c.name)
)
_DIRECTORY = select(_client.c.inn, _client.c.name).where(_client.c.inn.in_(bindparam("inns", expanding=True)))
_PUT_SETTING = in_both(lambda insert_in: _upsert(insert_in, _setting, "key", ("value", "updated_at")))


@dataclass(frozen=True, slots=True)
class StaffView:
    """The member of staff who writes."""

    staff_id: int
    role: Role


@dataclass(slots=True)
class ChatView:
    """A chat during one batch. Later messages of the batch see what earlier ones changed."""

    chat_id: int
    channel: str
    chat_key: str
    person_id: int | None = None
    person_name: str = ""
    phone: str = ""
    consent_version: str = ""
    staff: StaffView | None = None
    draft: Mapping[str, Any] | None = None
    draft_created_at: datetime | None = None
    screen: Sequence[Sequence[str]] = ()
    focus: str = ""
    blocked: bool = False
    has_waiting: bool = False
    last_inbound_at: datetime | None = None
    companies: tuple[Company, ...] = ()
    misses_words: bool = False
    """Whether something that was said to this person has not reached them in any chat."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A message of a chat that came before. `group_id` is known as long as its files are fetched."""

    event_key: str
    kind: InboundKind
    sent_at: datetime
    group_id: str | None = None
    request_id: int | None = None
    """Where its words went."""


EARLIER_MESSAGES = 40
"""More than any album has parts."""
OLDEST_BELIEVED = timedelta(days=30)
"""What is said to have been written earlier than so long ago was written now."""


@dataclass(slots=True)
class Work:
    """What one batch reads and will write."""

    session: Session
    now: datetime
    chats: dict[tuple[str, str], ChatView] = field(default_factory=dict)
    fresh: set[tuple[str, str]] = field(default_factory=set)
    """The events of this batch that are seen for the first time: (channel, event_key)."""
    directory: dict[str, str] = field(default_factory=dict)
    """INN → name for the clients whose INN stands in the batch."""
    _messages: list[dict[str, Any]] = field(default_factory=list)
    _drafts: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    _seen: dict[int, datetime] = field(default_factory=dict)

    def chat_of(self, inbound: Inbound) -> ChatView:
        """The chat a message came from."""
        return self.chats[inbound.channel, inbound.chat_key]

    def log(
        self, chat: ChatView, inbound: Inbound, text: str, files: list[dict[str, Any]], request_id: int | None
    ) -> None:
        """Keep what a person wrote; only ever called for people who have agreed to it."""
        self._messages.append(
            {
                "chat_id": chat.chat_id, "request_id": request_id, "person_id": chat.person_id,
                "direction": "in", "kind": inbound.kind.value, "text": text, "files": files,
                "event_key": inbound.event_key, "sent_at": inbound.sent_at, "received_at": self.now,
                # A press names the message of ours on which the button was.
                "message_key": "" if inbound.kind is InboundKind.BUTTON else inbound.message_key or "",
                "field": "",
            }
        )  # fmt: skip

    def answered_by_last_message(self, chat: ChatView, field_name: str) -> None:
        """Say which field of the form the message just logged has answered."""
        for row in reversed(self._messages):
            if row["chat_id"] == chat.chat_id:
                row["field"] = field_name
                return

    def earlier(self, chat: ChatView) -> list[Earlier]:
        """What was said in this chat, the newest first, with what waits for its files."""
        connection = self.session.connection()
        asked = {"chat": chat.chat_id, "count": EARLIER_MESSAGES}
        waiting = connection.execute(_WAITING_BEFORE, asked).all() if chat.has_waiting else []
        return [
            *(_earlier_waiting(event_key, payload) for event_key, payload in waiting),
            *(
                Earlier(
                    row["event_key"], InboundKind(row["kind"]), row["sent_at"], request_id=row["request_id"]
                )
                for row in reversed(self._messages)
                if row["chat_id"] == chat.chat_id
            ),
            *(
                Earlier(event_key, InboundKind(kind), sent_at, request_id=request_id)
                for event_key, kind, sent_at, request_id in connection.execute(_SAID_BEFORE, asked)
            ),
        ]

    def write_messages(self) -> None:
        """Write what was logged so far, so that it can be read; `place_last_message` is over for it."""
        if self._messages:
            self.session.connection().execute(_ADD_MESSAGE, self._messages)
            self._messages.clear()

    def place_last_message(self, chat: ChatView, request_id: int) -> None:
        """Say to which request the message just logged belongs."""
        for row in reversed(self._messages):
            if row["chat_id"] == chat.chat_id:
                row["request_id"] = request_id
                return

    def place_messages(self, chat: ChatView, request_id: int) -> None:
        """Say to which request everything belongs that this chat wrote in this batch."""
        for row in self._messages:
            if row["chat_id"] == chat.chat_id and row["request_id"] is None:
                row["request_id"] = request_id

    def forget_consent(self, person_id: int) -> None:
        """This person has taken their consent back: the rest of the batch must know."""
        for chat in self.chats.values():
            if chat.person_id == person_id:
                chat.consent_version = ""

    def save_draft(self, chat: ChatView, progress: Mapping[str, Any] | None) -> None:
        """Keep or (None) forget what this person is in the middle of."""
        assert chat.person_id is not None
        if progress is not None and chat.draft is None:
            chat.draft_created_at = self.now
        for other in self.chats.values():
            if other.person_id == chat.person_id:
                other.draft = progress
        if progress is None:
            chat.draft_created_at = None
            self._drafts[chat.person_id] = None
            return
        self._drafts[chat.person_id] = {
            "person_id": chat.person_id, "progress": dict(progress),
            "created_at": chat.draft_created_at or self.now, "updated_at": self.now,
        }  # fmt: skip

    def seen(self, chat: ChatView, sent_at: datetime) -> datetime:
        """The person has written: the chat is alive, whatever was thought of it before.

        Returns when they wrote as far as it can be believed: not in the future, not before what the
        chat has said already, and not years ago, which is a messenger without a clock.
        """
        written_at = min(sent_at, self.now)
        if self.now - written_at > OLDEST_BELIEVED:
            written_at = self.now
        chat.last_inbound_at = max(chat.last_inbound_at or written_at, written_at)
        self._seen[chat.chat_id] = chat.last_inbound_at
        chat.blocked = False
        return chat.last_inbound_at

    def move_cursor(self, channel: str, value: str) -> None:
        """Keep where a polling messenger goes on."""
        put_setting(self.session, f"cursor:{channel}", value, self.now)

    def flush(self, lease_owner: str, sends: Callable[[str], bool] = lambda _channel: True) -> Posted:
        """Write everything, letters last.

        Those that may leave at once are leased to `lease_owner`, if it `sends` to their messenger.
        """
        connection = self.session.connection()
        self.write_messages()
        kept = [row for row in self._drafts.values() if row is not None]
        if kept:
            connection.execute(_PUT_DRAFT[connection.dialect.name], kept)
        gone = [person_id for person_id, row in self._drafts.items() if row is None]
        if gone:
            connection.execute(_DROP_DRAFTS, {"people": gone})
        if self._seen:
            connection.execute(
                _SEE_CHAT, [{"b_id": chat_id, "b_at": at} for chat_id, at in self._seen.items()]
            )
        addresses = {
            chat.chat_id: ChatAddress(
                chat.chat_id,
                chat.channel,
                chat.chat_key,
                chat.screen,
                chat.blocked,
                chat.last_inbound_at,
                chat.person_id,
            )
            for chat in self.chats.values()
        }
        return write_posted(self.session, lease_owner, addresses, sends)


def open_work(
    session: Session,
    arrivals: Sequence[Inbound],
    known: Sequence[Inbound],
    inns: Iterable[str],
    now: datetime,
) -> Work:
    """Read what a batch of messages needs and mark the `arrivals` as received.

    The events of `known` messages were marked before.
    """
    work = Work(session, now)
    _load_chats(work, [*arrivals, *known])
    _mark_events(work, arrivals)
    _load_companies(work)
    wanted = set(inns)
    if wanted:
        found = session.connection().execute(_DIRECTORY, {"inns": list(wanted)})
        work.directory = {inn: name for inn, name in found}  # noqa: C416 - rows are not pairs to mypy
    return work


def _load_chats(work: Work, inbounds: Sequence[Inbound]) -> None:
    wanted: dict[str, dict[str, str]] = {}
    for inbound in inbounds:
        if inbound.chat_key:
            wanted.setdefault(inbound.channel, {}).setdefault(inbound.chat_key, inbound.user_key)
    if not wanted:
        return
    _take_turns(work.session, wanted)
    _read_chats(work, wanted)
    missing: list[dict[str, Any]] = [
        {
            "channel": channel,
            "chat_key": key,
            "user_key": user,
            "screen": [],
            "focus": "",
            "created_at": work.now,
        }
        for channel, keys in sorted(wanted.items())
        for key, user in sorted(keys.items())  # in one order, or two processes would wait for each other
        if (channel, key) not in work.chats
    ]
    if missing:
        connection = work.session.connection()
        connection.execute(_ADD_CHAT[connection.dialect.name], missing)
        absent: dict[str, dict[str, str]] = {}
        for row in missing:
            absent.setdefault(row["channel"], {})[row["chat_key"]] = row["user_key"]
        _read_chats(work, absent)


def _take_turns(session: Session, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Let no other process apply a message of these chats, nor of their people, before our commit.

    Not by their rows: those are also locked by who writes to a chat while holding the turn of the history.
    A chat that is not there yet is waited for where it is added.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    chats = [(channel, key) for channel, keys in wanted.items() for key in keys]
    session.connection().execute(_TURNS, {"chats": chats, "lock": _TURNS_LOCK})


def _read_chats(work: Work, wanted: Mapping[str, Mapping[str, str]]) -> None:
    connection = work.session.connection()
    for name, keys in wanted.items():
        for row in connection.execute(_CHATS, {"channel": name, "keys": list(keys)}):
            staff = StaffView(row[11], Role(row[12])) if row[11] is not None and row[13] else None
            view = ChatView(
                chat_id=row[0], channel=row[1], chat_key=row[2], person_id=row[3], screen=row[4],
                focus=row[5], blocked=row[6] is not None, last_inbound_at=row[7],
                person_name=row[8] or "", phone=row[9] or "", consent_version=row[10] or "", staff=staff,
                draft=row[14], draft_created_at=row[15], has_waiting=row[16], misses_words=row[17],
            )  # fmt: skip
            work.chats[view.channel, view.chat_key] = view


def _mark_events(work: Work, inbounds: Sequence[Inbound]) -> None:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for inbound in inbounds:
        chat = work.chats.get((inbound.channel, inbound.chat_key))
        rows.setdefault(
            (inbound.channel, inbound.event_key),
            {
                "channel": inbound.channel, "event_key": inbound.event_key, "state": "done",
                "chat_id": chat.chat_id if chat else None, "received_at": work.now, "payload": None,
            },
        )  # fmt: skip
    if not rows:
        return
    connection = work.session.connection()
    found = connection.execute(_ADD_EVENT[connection.dialect.name], list(rows.values()))
    work.fresh = {(channel, key) for channel, key in found}


def _load_companies(work: Work) -> None:
    people = {
        chat.person_id for chat in work.chats.values() if chat.person_id is not None and chat.staff is None
    }
    if not people:
        return
    found: dict[int, list[Company]] = {}
    for person_id, inn, name in work.session.connection().execute(_COMPANIES, {"people": list(people)}):
        found.setdefault(person_id, []).append(Company(inn, name))
    for chat in work.chats.values():
        if chat.person_id in found:
            chat.companies = tuple(found[chat.person_id])


def _earlier_waiting(event_key: str, payload: Mapping[str, Any]) -> Earlier:
    sent_at = datetime.fromisoformat(payload["sent_at"])
    return Earlier(event_key, InboundKind(payload["kind"]), sent_at, payload["group_id"])


def keep_waiting(session: Session, inbound: Inbound, payload: dict[str, Any]) -> None:
    """Keep a message whole until its files are here; it is processed later, in the order of its chat."""
    session.connection().execute(
        update(_inbox)
        .where(_inbox.c.channel == inbound.channel, _inbox.c.event_key == inbound.event_key)
        .values(state="waiting", payload=payload)
    )


def take_waiting(session: Session, event_ids: Sequence[int]) -> set[int]:
    """Claim fetched messages for processing: those that another process was quicker with are left out."""
    taken = session.connection().execute(
        update(_inbox)
        .where(_inbox.c.id.in_(list(event_ids)), _inbox.c.state == "waiting")
        .values(state="done", payload=None)
        .returning(_inbox.c.id)
    )
    return {event_id for (event_id,) in taken}


def give_up_waiting(session: Session, event_ids: Sequence[int]) -> None:
    """Say that messages could not be processed; they stay whole, for a person."""
    session.connection().execute(
        update(_inbox).where(_inbox.c.id.in_(list(event_ids))).values(state="failed")
    )


def waiting_events(session: Session, chat_id: int | None = None) -> list[tuple[int, int, dict[str, Any]]]:
    """(id, chat id, payload) of messages that wait for their files, oldest first."""
    query = (
        select(_inbox.c.id, _inbox.c.chat_id, _inbox.c.payload)
        .where(_inbox.c.state == "waiting")
        .order_by(_inbox.c.id)
    )
    if chat_id is not None:
        query = query.where(_inbox.c.chat_id == chat_id)
    return [(event_id, chat, payload) for event_id, chat, payload in session.execute(query)]


def keep_failed(session: Session, inbound: Inbound, payload: dict[str, Any] | None, now: datetime) -> bool:
    """Keep a message that the program could not process, for a person. False when it was kept before."""
    chat_id = session.execute(
        select(_chat.c.id).where(_chat.c.channel == inbound.channel, _chat.c.chat_key == inbound.chat_key)
    ).scalar_one_or_none()
    connection = session.connection()
    result = connection.execute(
        _KEEP_EVENT[connection.dialect.name],
        {
            "channel": inbound.channel, "event_key": inbound.event_key, "chat_id": chat_id, "state": "failed",
            "payload": payload, "received_at": now,
        },
    )  # fmt: skip
    return bool(result.rowcount)


def put_setting(session: Session, key: str, value: str, now: datetime) -> None:
    """Keep a small fact of the machine's own."""
    connection = session.connection()
    values = {"key": key, "value": value, "updated_at": now}
    connection.execute(_PUT_SETTING[connection.dialect.name], values)


def get_setting(session: Session, key: str) -> str | None:
    """Read what `put_setting` kept."""
    return session.execute(select(_setting.c.value).where(_setting.c.key == key)).scalar_one_or_none()
