"""The tables. Rows never leave `storage`.

SQLModel tables validate nothing, so every typed value is validated in `forms` before it comes here.

Times are aware UTC. Enums are stored by value as text. JSON columns are reassigned, never mutated.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Index, String, Text, UniqueConstraint, text
from sqlmodel import Field, MetaData, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata: MetaData = SQLModel.metadata
metadata.naming_convention = NAMING


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=f"{column}_known")


def _where(condition: str) -> dict[str, Any]:
    """A partial index, the same on both engines."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Client(SQLModel, table=True):
    """A company or sole proprietor whose books the firm keeps, or who has just asked."""

    __table_args__ = (Index("ix_client_name_id", "name", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=200)
    inn: str = Field(max_length=12, unique=True)
    kind: str = Field(default="company", max_length=20)
    responsible_id: int | None = Field(default=None, foreign_key="staff.id", index=True)
    controller_id: int | None = Field(default=None, foreign_key="staff.id")
    """Who audits the work for this client."""
    substitute_id: int | None = Field(default=None, foreign_key="staff.id")
    """Who takes over while the responsible person is away."""
    contract: str = Field(default="", sa_column=Column(Text, nullable=False))
    """What the contract covers, in the firm's own words."""
    contract_until: datetime | None = None
    notes: str = Field(default="", sa_column=Column(Text, nullable=False))
    phone: str = Field(default="", max_length=40)
    email: str = Field(default="", max_length=200)
    confirmed: bool = True
    """False while a client who came by chat waits for the director's word."""
    created_at: datetime
    version: int = 1


class Person(SQLModel, table=True):
    """A human: a client's or a member of staff. Created only after consent or by invitation."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(default="", max_length=200)
    phone: str = Field(default="", max_length=40)
    email: str = Field(default="", max_length=200)
    consent_version: str = Field(default="", max_length=40)
    """The version last agreed to; empty for staff and after a withdrawal."""
    created_at: datetime


class ClientPerson(SQLModel, table=True):
    """Who may speak for which client."""

    __tablename__ = "client_person"
    client_id: int = Field(foreign_key="client.id", primary_key=True)
    person_id: int = Field(foreign_key="person.id", primary_key=True, index=True)
    post: str = Field(default="", max_length=100)
    """What the person is there: owner, accountant, secretary."""
    may_pay: bool = False
    """Whether this person may order payments."""
    sees_all: bool = False
    """Whether this person sees the requests that others sent for this client."""
    created_at: datetime


class Chat(SQLModel, table=True):
    """One conversation in one messenger. Before consent it holds nothing but the messenger's own keys."""

    __table_args__ = (UniqueConstraint("channel", "chat_key"),)
    id: int | None = Field(default=None, primary_key=True)
    channel: str = Field(max_length=20)
    chat_key: str = Field(max_length=200)
    user_key: str = Field(max_length=200)
    person_id: int | None = Field(default=None, foreign_key="person.id", index=True)
    last_inbound_at: datetime | None = None
    blocked_at: datetime | None = None
    rank: int = 0
    """The person's own order of their chats: the lowest is written to first; among equals, the liveliest."""
    screen: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """The buttons now in sight, in their numbered order: [[label, press id], …]."""
    focus: str = Field(default="", max_length=60)
    """What the next free words belong to: `form`, `clar:5`, `add:17`; empty is the form or nothing."""
    created_at: datetime


class Consent(SQLModel, table=True):
    """The journal of consents: a row is added, never changed, except for the withdrawal's time."""

    id: int | None = Field(default=None, primary_key=True)
    person_id: int = Field(foreign_key="person.id", index=True)
    chat_id: int = Field(foreign_key="chat.id")
    version: str = Field(max_length=40)
    text_sha256: str = Field(max_length=64)
    given_at: datetime
    withdrawn_at: datetime | None = None


class ConsentText(SQLModel, table=True):
    """The words of each version that anybody has agreed to."""

    __tablename__ = "consent_text"
    sha256: str = Field(primary_key=True, max_length=64)
    version: str = Field(max_length=40)
    text: str = Field(sa_column=Column(Text, nullable=False))
    url: str = Field(default="", sa_column=Column(Text, nullable=False))
    first_shown_at: datetime


class Staff(SQLModel, table=True):
    """A member of staff and how they sign in."""

    __table_args__ = (_one_of("role", "accountant", "lawyer", "controller", "deputy", "director", "admin"),)
    id: int | None = Field(default=None, primary_key=True)
    person_id: int = Field(foreign_key="person.id", unique=True)
    role: str = Field(max_length=20)
    department: str = Field(default="finance", max_length=20)
    skills: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    capacity: int = 10
    active: bool = True
    password_hash: str = Field(default="", max_length=200)
    totp_secret: str = Field(default="", max_length=200)
    """Encrypted with the key of the service; empty without a second factor."""
    recovery_hashes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """SHA-256 of the recovery codes that are not used yet."""
    calendar_hash: str = Field(default="", max_length=64, index=True)
    """SHA-256 of the token under which the person's calendar is given out."""
    schedule: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Working hours by weekday ("0" is Monday): ["09:00", "15:00"], null for a day off. Empty: the firm's."""
    digest: bool = True
    """Whether a director gets the morning and the evening summary in chat."""
    created_at: datetime
    version: int = 1


class Absence(SQLModel, table=True):
    """Leave or illness; the router gives nothing to an absent person."""

    id: int | None = Field(default=None, primary_key=True)
    staff_id: int = Field(foreign_key="staff.id", index=True)
    starts_at: datetime
    ends_at: datetime
    reason: str = Field(default="", max_length=200)


class Shift(SQLModel, table=True):
    """A stretch of the working day of one person; a pause is a stretch of its own."""

    __table_args__ = (
        _one_of("kind", "work", "pause"),
        Index("ix_shift_staff_id_started_at", "staff_id", "started_at"),
        Index("ix_shift_open", "staff_id", **_where("ended_at is null")),
    )
    id: int | None = Field(default=None, primary_key=True)
    staff_id: int = Field(foreign_key="staff.id")
    kind: str = Field(max_length=10)
    started_at: datetime
    ended_at: datetime | None = None


class Request(SQLModel, table=True):
    """A submitted form and where its execution stands. `id` is the number people see."""

    __table_args__ = (
        _one_of("status", "new", "assigned", "accepted", "waiting_client", "done", "closed", "cancelled"),
        Index("ix_request_status_deadline", "status", "deadline"),
        Index("ix_request_assignee_id_status", "assignee_id", "status"),
        # The newest of a kind, a client and so on, whatever the years before hold.
        Index("ix_request_status_id", "status", "id"),
        Index("ix_request_assignee_id_id", "assignee_id", "id"),
        Index("ix_request_kind_id", "kind", "id"),
        Index("ix_request_inn_id", "inn", "id"),
        Index("ix_request_client_id_id", "client_id", "id"),
        Index("ix_request_channel_id", "channel", "id"),
        Index("ix_request_deadline_id", "deadline", "id"),
        Index("ix_request_submitted_at_id", "submitted_at", "id", "closed_at"),
        Index("ix_request_unanswered", "unanswered_since", **_where("unanswered_since is not null")),
    )
    id: int | None = Field(default=None, primary_key=True)
    status: str = Field(max_length=20)
    stage: str | None = Field(default=None, max_length=20)
    kind: str = Field(max_length=20)
    company: str = Field(max_length=200)
    inn: str = Field(max_length=12)
    task: str = Field(sa_column=Column(Text, nullable=False))
    deadline: datetime
    answers: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Every field of the form in its flat form, the last version."""
    client_id: int = Field(foreign_key="client.id")
    person_id: int = Field(foreign_key="person.id", index=True)
    chat_id: int = Field(foreign_key="chat.id", index=True)
    channel: str = Field(max_length=20)
    assignee_id: int | None = Field(default=None, foreign_key="staff.id")
    created_at: datetime
    submitted_at: datetime
    assigned_at: datetime | None = None
    accepted_at: datetime | None = None
    first_response_at: datetime | None = None
    done_at: datetime | None = None
    closed_at: datetime | None = None
    first_responder_id: int | None = Field(default=None, foreign_key="staff.id")
    """Who answered the client first, whoever has the request now; empty when that is not known."""
    done_by: int | None = Field(default=None, foreign_key="staff.id")
    """Who said that it is done."""
    result: str = Field(default="", sa_column=Column(Text, nullable=False))
    rating: int | None = None
    question: str | None = Field(default=None, max_length=40)
    """The field the client was asked to correct."""
    unanswered_since: datetime | None = None
    """When the client wrote last without an answer from the firm."""
    recorded_by: int | None = Field(default=None, foreign_key="staff.id")
    """Who wrote it down from a call or a visit; empty when the client filled the form."""
    confirmed_at: datetime | None = None
    """When the client said that a recorded request was written down right."""
    search: str = Field(default="", sa_column=Column(Text, nullable=False))
    """Company, INN and task in lower case, for the search by words: see `RequestWord`."""
    version: int = 1


class RequestWord(SQLModel, table=True):
    """A word by which a request is found; kept by `storage.search` alone.

    Without a foreign key: requests are never deleted, and each of the many rows would check it.
    """

    __tablename__ = "request_word"
    __table_args__ = ({"sqlite_with_rowid": False},)
    block: int = Field(primary_key=True)
    word: str = Field(
        sa_column=Column(String(32).with_variant(String(32, collation="C"), "postgresql"), primary_key=True)
    )
    """By code points, whatever the language of the database: the beginnings of words are ranges."""
    request_id: int = Field(primary_key=True)


class AnswerVersion(SQLModel, table=True):
    """Every value a field of a request has had; version 1 is what was submitted."""

    __tablename__ = "answer_version"
    id: int | None = Field(default=None, primary_key=True)
    request_id: int = Field(foreign_key="request.id", index=True)
    field: str = Field(max_length=40)
    version: int
    value: str = Field(sa_column=Column(Text, nullable=False))
    person_id: int | None = Field(default=None, foreign_key="person.id")
    created_at: datetime


class Assignment(SQLModel, table=True):
    """Who was given a request, by whom and why; the trace keeps every candidate's reasons."""

    id: int | None = Field(default=None, primary_key=True)
    request_id: int = Field(foreign_key="request.id", index=True)
    staff_id: int | None = Field(default=None, foreign_key="staff.id")
    by: str = Field(max_length=20)
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))
    trace: str = Field(default="", sa_column=Column(Text, nullable=False))
    declined: bool = False
    """The person refused it or let it lie: the router does not offer it to them again."""
    created_at: datetime


class StageInterval(SQLModel, table=True):
    """Whose minutes these were; the open interval has no end."""

    __tablename__ = "stage_interval"
    __table_args__ = (Index("ix_stage_interval_staff_id_started_at", "staff_id", "started_at"),)
    id: int | None = Field(default=None, primary_key=True)
    request_id: int = Field(foreign_key="request.id", index=True)
    stage: str = Field(max_length=20)
    staff_id: int | None = Field(default=None, foreign_key="staff.id")
    started_at: datetime
    ended_at: datetime | None = None


class Clarification(SQLModel, table=True):
    """A question about one field, put to the client; open until answered."""

    id: int | None = Field(default=None, primary_key=True)
    request_id: int = Field(foreign_key="request.id", index=True)
    field: str = Field(max_length=40)
    question: str = Field(default="", sa_column=Column(Text, nullable=False))
    asked_by: int = Field(foreign_key="staff.id")
    asked_at: datetime
    answered_at: datetime | None = None


class Message(SQLModel, table=True):
    """What a person wrote (`in`), or a note of staff that no client sees (`note`)."""

    __table_args__ = (
        _one_of("direction", "in", "note"),
        Index("ix_message_message_key", "chat_id", "message_key", **_where("message_key != ''")),
        Index("ix_message_chat_id_id", "chat_id", "id"),
        Index("ix_message_unplaced", "chat_id", "received_at", **_where("request_id is null")),
    )
    id: int | None = Field(default=None, primary_key=True)
    chat_id: int | None = Field(default=None, foreign_key="chat.id")
    request_id: int | None = Field(default=None, foreign_key="request.id", index=True)
    person_id: int | None = Field(default=None, foreign_key="person.id")
    direction: str = Field(max_length=10)
    kind: str = Field(default="text", max_length=20)
    text: str = Field(sa_column=Column(Text, nullable=False))
    files: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    event_key: str = Field(default="", max_length=200)
    message_key: str = Field(default="", max_length=200)
    """The messenger's own name of the message: its edits and its deletion refer to it."""
    field: str = Field(default="", max_length=40)
    """The field of the form that these words answered."""
    sent_at: datetime
    received_at: datetime
    deleted_at: datetime | None = None


class Proposal(SQLModel, table=True):
    """Another value for a field of a submitted request, by the client; in force once staff agree."""

    id: int | None = Field(default=None, primary_key=True)
    request_id: int = Field(foreign_key="request.id", index=True)
    field: str = Field(max_length=40)
    value: str = Field(sa_column=Column(Text, nullable=False))
    person_id: int = Field(foreign_key="person.id")
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: int | None = Field(default=None, foreign_key="staff.id")
    agreed: bool | None = None


class CallTask(SQLModel, table=True):
    """Somebody to be telephoned, because no messenger reaches them; open until it is done."""

    __tablename__ = "call_task"
    __table_args__ = (Index("ix_call_task_open", "created_at", **_where("done_at is null")),)
    id: int | None = Field(default=None, primary_key=True)
    person_id: int = Field(foreign_key="person.id", index=True)
    request_id: int | None = Field(default=None, foreign_key="request.id", index=True)
    letter_id: int | None = Field(default=None, foreign_key="letter.id", unique=True)
    """What could not be delivered; empty when the task is something else, a read-back for instance."""
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))
    created_at: datetime
    done_at: datetime | None = None
    done_by: int | None = Field(default=None, foreign_key="staff.id")
    outcome: str = Field(default="", sa_column=Column(Text, nullable=False))


class Attachment(SQLModel, table=True):
    """A file that belongs to a request; its bytes are found by the digest."""

    id: int | None = Field(default=None, primary_key=True)
    request_id: int = Field(foreign_key="request.id", index=True)
    person_id: int | None = Field(default=None, foreign_key="person.id")
    sha256: str = Field(max_length=64, index=True)
    name: str = Field(max_length=200)
    size_bytes: int
    media_type: str = Field(max_length=120)
    purpose: str = Field(max_length=20)
    """request: came with the form; added: later by the client; answer, result: by staff; note: internal."""
    created_at: datetime


class Draft(SQLModel, table=True):
    """A half-filled form of a client, or what a member of staff is in the middle of saying."""

    person_id: int = Field(foreign_key="person.id", primary_key=True)
    progress: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    created_at: datetime
    updated_at: datetime


class InboxEvent(SQLModel, table=True):
    """One event of a messenger. `waiting` rows hold a message whose files are still being fetched."""

    __tablename__ = "inbox_event"
    __table_args__ = (
        UniqueConstraint("channel", "event_key"),
        _one_of("state", "done", "waiting", "failed"),
        Index(
            "ix_inbox_event_unfinished", "chat_id", "id",
            **_where("state != 'done'"),
        ),
    )  # fmt: skip
    id: int | None = Field(default=None, primary_key=True)
    channel: str = Field(max_length=20)
    event_key: str = Field(max_length=200)
    chat_id: int | None = Field(default=None, foreign_key="chat.id")
    state: str = Field(default="done", max_length=10)
    payload: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSON(none_as_null=True), nullable=True)
    )
    received_at: datetime


class Letter(SQLModel, table=True):
    """What is said to a person. It is the outbox and the outgoing half of the correspondence at once."""

    __table_args__ = (
        _one_of("state", "todo", "doing", "sent", "superseded", "failed"),
        Index(
            "ix_letter_unfinished", "chat_id", "id",
            **_where("state in ('todo', 'doing')"),
        ),
        Index(
            "ix_letter_failed", "created_at",
            **_where("state = 'failed'"),
        ),
        Index("ix_letter_message_key", "chat_id", "message_key", **_where("message_key != ''")),
        # The newest in a chat and to a person, without the years before.
        Index("ix_letter_chat_id_created_at", "chat_id", "created_at", "id"),
        Index("ix_letter_person_id_created_at", "person_id", "created_at", "id"),
        Index("ix_letter_author_id", "author_id", "created_at", **_where("author_id is not null")),
    )  # fmt: skip
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=200, unique=True)
    chat_id: int | None = Field(default=None, foreign_key="chat.id")
    person_id: int | None = Field(default=None, foreign_key="person.id")
    request_id: int | None = Field(default=None, foreign_key="request.id", index=True)
    author_id: int | None = Field(default=None, foreign_key="person.id")
    """Who speaks through the bot: a member of staff; empty when the bot itself speaks."""
    text: str = Field(sa_column=Column(Text, nullable=False))
    rows: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    files: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    prompt: bool = False
    urgent: bool = False
    state: str = Field(default="todo", max_length=12)
    not_before: datetime
    attempts: int = 0
    lease_owner: str = Field(default="", max_length=40)
    lease_until: datetime | None = None
    message_key: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=500)
    created_at: datetime
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    replaces_id: int | None = Field(default=None, foreign_key="letter.id", index=True)
    """The same words in another chat, which did not arrive there: only one copy counts."""


class History(SQLModel, table=True):
    """Every change, append-only; each row's hash covers the row before it."""

    __table_args__ = (
        Index("ix_history_action_id", "action", "id"),
        Index("ix_history_actor_id_id", "actor_id", "id"),
        Index("ix_history_human_called", "at", **_where("action = 'human_called'")),
    )
    id: int | None = Field(default=None, primary_key=True)
    at: datetime
    actor_id: int | None = Field(default=None, foreign_key="person.id")
    through: str = Field(max_length=40)
    """The messenger, `panel`, `command` or `timer`."""
    action: str = Field(max_length=60)
    subject: str = Field(max_length=40, index=True)
    """What was changed: `request:17`, `client:3`, `staff:2`."""
    before: str = Field(default="", sa_column=Column(Text, nullable=False))
    after: str = Field(default="", sa_column=Column(Text, nullable=False))
    salt: str = Field(default="", max_length=32, sa_column_kwargs={"server_default": ""})
    """Keeps what was erased from being guessed by its digest; it goes with the values."""
    values_digest: str = Field(default="", max_length=64, sa_column_kwargs={"server_default": ""})
    """SHA-256 of salt, `before` and `after`: the chain covers this, so values can be erased and it holds."""
    previous_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64, unique=True)


class Invitation(SQLModel, table=True):
    """A one-time code; only its hash is kept."""

    id: int | None = Field(default=None, primary_key=True)
    code_hash: str = Field(max_length=64, unique=True)
    purpose: str = Field(max_length=20)
    """chat: links a messenger; panel, reset: set a password; signin: one sign-in (the demo's link)."""
    person_id: int = Field(foreign_key="person.id", index=True)
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class PanelSession(SQLModel, table=True):
    """One signed-in browser."""

    __tablename__ = "panel_session"
    id: int | None = Field(default=None, primary_key=True)
    staff_id: int = Field(foreign_key="staff.id", index=True)
    token_hash: str = Field(max_length=64, unique=True)
    address: str = Field(default="", max_length=60)
    browser: str = Field(default="", max_length=200)
    created_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None


class FirmSetting(SQLModel, table=True):
    """What the director has settled in the panel; it beats the configuration. `value` is JSON."""

    __tablename__ = "firm_setting"
    key: str = Field(primary_key=True, max_length=80)
    value: str = Field(sa_column=Column(Text, nullable=False))
    updated_at: datetime
    updated_by: int | None = Field(default=None, foreign_key="person.id")
    version: int = 1


class Wording(SQLModel, table=True):
    """The firm's own words in place of a sentence of ours."""

    __table_args__ = (UniqueConstraint("language", "msgid_sha256"),)
    id: int | None = Field(default=None, primary_key=True)
    language: str = Field(max_length=10)
    msgid_sha256: str = Field(max_length=64)
    msgid: str = Field(sa_column=Column(Text, nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False))
    updated_at: datetime
    updated_by: int | None = Field(default=None, foreign_key="person.id")
    version: int = 1


class CannedReply(SQLModel, table=True):
    """An answer kept for the next time; without an owner it is everybody's."""

    __tablename__ = "canned_reply"
    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(max_length=100)
    text: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(default="", max_length=20)
    """For requests of this kind only; empty is for all."""
    owner_id: int | None = Field(default=None, foreign_key="staff.id")
    position: int = 0
    active: bool = True
    updated_at: datetime
    version: int = 1


class Throttle(SQLModel, table=True):
    """Failed attempts by key (an address, a login); survives a restart and is shared by processes."""

    key: str = Field(primary_key=True, max_length=200)
    failures: int = 0
    until: datetime | None = None
    updated_at: datetime


class Setting(SQLModel, table=True):
    """Small facts the machine keeps for itself: a messenger's cursor, the time of the last sweep."""

    key: str = Field(primary_key=True, max_length=80)
    value: str = Field(sa_column=Column(Text, nullable=False))
    updated_at: datetime


class Outage(SQLModel, table=True):
    """A stretch without us: the whole service (`scope` is «service»), or one messenger (its name)."""

    __table_args__ = (
        _one_of("cause", "stopped", "crashed", "stalled", "unreachable"),
        UniqueConstraint("scope", "started_at"),
    )
    id: int | None = Field(default=None, primary_key=True)
    scope: str = Field(max_length=20)
    cause: str = Field(max_length=20)
    """stopped: switched off; crashed: killed; stalled: the process or its database stood still;
    unreachable: the messenger did not answer."""
    started_at: datetime
    ended_at: datetime | None = None


class CopyRun(SQLModel, table=True):
    """One attempt to copy everything. `whole` is None while it goes on, and when it came to no verdict."""

    __tablename__ = "copy_run"
    id: int | None = Field(default=None, primary_key=True)
    started_at: datetime = Field(index=True)
    ended_at: datetime | None = None
    through: str = Field(max_length=20)
    """`timer` or `panel`."""
    file_name: str = Field(default="", max_length=100)
    size_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    sha256: str = Field(default="", max_length=64)
    requests: int = 0
    files: int = 0
    whole: bool | None = None
    second_whole: bool | None = None
    """Whether the second place gave back the same bytes; None where there is no second place."""
    troubles: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """What went wrong: [[its name in notifications.copying, a detail for the operator], …]."""


class FileScan(SQLModel, table=True):
    """A file about which the virus scanner is not content; a clean one has no row."""

    __tablename__ = "file_scan"
    __table_args__ = (_one_of("state", "held", "passed", "infected"),)
    sha256: str = Field(primary_key=True, max_length=64)
    state: str = Field(max_length=10)
    """held: not looked at yet, given to nobody; passed: the same, but given out; infected: never."""
    name: str = Field(default="", max_length=200)
    virus: str = Field(default="", max_length=100)
    found_at: datetime
    told_at: datetime | None = None
    """When the directors and administrators were told of the virus."""


class Process(SQLModel, table=True):
    """A process at work on this database. `until` is by the database's clock; see `storage.ownership`."""

    owner: str = Field(primary_key=True, max_length=80)
    until: datetime


class Ownership(SQLModel, table=True):
    """What exactly one process does, and which; free when `owner` is empty or no longer a process."""

    name: str = Field(primary_key=True, max_length=60)
    owner: str = Field(max_length=80)
