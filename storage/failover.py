"""What did not arrive in one chat goes to the person's next one, then by e-mail, then somebody telephones.

A letter and its copies are one message: all copies name the first of them in `replaces_id`, their keys
begin alike, and only one of them counts. Answers of a dialogue stay in their chat (`is_answer`).
Everything here looks at rows, so doing it again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select, text, update
from sqlmodel import Session

from forms.messages import Button, OutgoingFile, Reply
from forms.texts import Text, _, plain
from notifications import undelivered
from notifications.outbox import LetterState, Settlement
from notifications.undelivered import WantedCall
from storage import calls, deliveries
from storage.casework.opening import people_for_call, staff_name
from storage.deliveries import Told, Undelivered, close_answered_calls
from storage.dialects import in_both
from storage.house import House
from storage.letters import ANSWER, Posting, post
from storage.models import metadata

LAST_RESORT = 1000
"""The rank of an address that nobody has asked us to write to: after all that people chose themselves."""
CALL_PATIENCE = 6
"""A person who has no other chat is telephoned after so many times the wait of those who have."""
TRIED_BY_ITSELF = 5
"""So many attempts of one letter are its own trouble, however well its messenger serves others."""
LOOK_BACK = timedelta(days=2)
_AT_ONCE = 200
_NEWEST_LETTERS = 5000
MAX_KEY_LENGTH = 200

_letter = metadata.tables["letter"]
_chat = metadata.tables["chat"]
_person = metadata.tables["person"]
_staff = metadata.tables["staff"]
_call = metadata.tables["call_task"]
_request = metadata.tables["request"]
_client = metadata.tables["client"]
_client_person = metadata.tables["client_person"]

_TODO, _DOING = LetterState.TODO.value, LetterState.DOING.value
_SENT, _FAILED = LetterState.SENT.value, LetterState.FAILED.value
_ALIVE = (_TODO, _DOING, _SENT)
_root_id = func.coalesce(_letter.c.replaces_id, _letter.c.id)
_wanders = and_(_letter.c.person_id.is_not(None), ~_letter.c.key.like(f"{ANSWER}%"))

_ADD_CHAT = in_both(
    lambda insert_in: (
        insert_in(_chat).on_conflict_do_nothing(index_elements=["channel", "chat_key"]).returning(_chat.c.id)
    )
)


@dataclass(frozen=True, slots=True)
class _ChatRow:
    """A chat of a person, as the choice needs it."""

    chat_id: int
    channel: str
    screen: Sequence[Sequence[str]] = ()
    focus: str = ""
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class _PersonRow:
    """Whom a message is for. `chats` come in the order in which the person wants to be written to."""

    person_id: int
    name: str
    phone: str
    email: str
    is_staff: bool
    chats: tuple[_ChatRow, ...] = ()


@dataclass(slots=True)
class _Message:
    """A letter and its copies, oldest first."""

    root: Row[Any]
    copies: list[Row[Any]] = field(default_factory=list)

    @property
    def is_alive(self) -> bool:
        """Whether one of them has gone out or is about to."""
        return any(copy.state in _ALIVE for copy in self.copies)

    @property
    def tried(self) -> set[int | None]:
        """The chats that have had a copy."""
        return {copy.chat_id for copy in self.copies}


# --- what failed ---------------------------------------------------------------------------------


def after_batch(
    session: Session, house: House, settlements: Sequence[Settlement], told: Sequence[Told], now: datetime
) -> None:
    """Take in what messengers tell, and deliver in another way what turned out to be undelivered.

    The settlements of the batch have been written before.
    """
    early = deliveries.settled(session, house, settlements, now) if settlements else Undelivered()
    news = deliveries.take_in(session, house, told, now) if told else Undelivered()
    failed = [item.letter_id for item in settlements if item.state is LetterState.FAILED]
    blocked = {item.chat_id for item in settlements if item.chat_blocked}
    blocked.update(early.blocked_chat_ids, news.blocked_chat_ids)
    if blocked:
        leave_blocked(session, house, sorted(blocked), now)
    failed += [*early.letter_ids, *news.letter_ids]
    if failed:
        pass_on(session, house, failed, now)


def leave_blocked(session: Session, house: House, chat_ids: Collection[int], now: datetime) -> None:
    """Send nothing more to chats that are closed: what waits for them goes elsewhere."""
    closed = select(_chat.c.id).where(_chat.c.id.in_(list(chat_ids)), _chat.c.blocked_at.is_not(None))
    _leave(session, house, _letter.c.chat_id.in_(closed), _CHAT_CLOSED, now)


def leave_chat(session: Session, house: House, chat_id: int, now: datetime) -> None:
    """What waits for a chat that the person has unlinked goes elsewhere."""
    _leave(session, house, _letter.c.chat_id == chat_id, _CHAT_LEFT, now)


def _leave(session: Session, house: House, where: ColumnElement[bool], why: Text, now: datetime) -> None:
    left = (
        update(_letter)
        .where(where, _letter.c.state == _TODO)
        .values(state=_FAILED, reason=house.say(why))
        .returning(_letter.c.id)
    )
    pass_on(session, house, list(session.connection().execute(left).scalars()), now)


def pass_on(session: Session, house: House, letter_ids: Collection[int], now: datetime) -> int:
    """Post copies of these failed letters to the next chats of their people.

    Where there is no chat left, a client is to be telephoned. Returns how many found a way.
    """
    messages = [each for each in _messages(session, letter_ids) if not each.is_alive]
    people = _people(session, {message.root.person_id for message in messages})
    passed = 0
    for message in messages:
        person = people[message.root.person_id]
        chat = _next_chat(house, message, person) or _by_email(session, house, message, person, now)
        if chat is not None:
            _post_copy(session, house, message, person, chat, now)
            passed += 1
        elif not person.is_staff:
            passed += _telephone(session, house, message, person, _why(session, house, message), now)
    return passed


def _why(session: Session, house: House, message: _Message) -> str:
    last = message.copies[-1]
    found = session.connection().execute(
        select(_chat.c.channel, _chat.c.blocked_at).where(_chat.c.id == last.chat_id)
    )
    channel, blocked_at = found.one_or_none() or ("", None)
    title = house.channel_title(channel)
    return house.say(undelivered.why(last.reason, title, blocked=blocked_at is not None))


def _messages(session: Session, letter_ids: Collection[int]) -> list[_Message]:
    """The messages to which these letters belong, of those that may wander."""
    if not letter_ids:
        return []
    connection = session.connection()
    roots = list(
        connection.execute(
            select(_root_id).where(_letter.c.id.in_(list(letter_ids)), _wanders).distinct()
        ).scalars()
    )
    if not roots:
        return []
    found = connection.execute(
        select(_letter)
        .where(or_(_letter.c.id.in_(roots), _letter.c.replaces_id.in_(roots)))
        .order_by(_letter.c.id)
    )
    messages: dict[int, _Message] = {}
    for row in found:
        messages.setdefault(row.replaces_id or row.id, _Message(row)).copies.append(row)
    return list(messages.values())


def _people(session: Session, person_ids: Collection[int]) -> dict[int, _PersonRow]:
    if not person_ids:
        return {}
    connection = session.connection()
    chats: dict[int, list[_ChatRow]] = {}
    for row in connection.execute(
        select(_chat)
        .where(_chat.c.person_id.in_(list(person_ids)))
        .order_by(_chat.c.rank, _chat.c.last_inbound_at.desc().nulls_last(), _chat.c.id.desc())
    ):
        chat = _ChatRow(row.id, row.channel, row.screen, row.focus, row.blocked_at is not None)
        chats.setdefault(row.person_id, []).append(chat)
    found = connection.execute(
        select(_person.c.id, _person.c.name, _person.c.phone, _person.c.email, _staff.c.id)
        .outerjoin(_staff, _staff.c.person_id == _person.c.id)
        .where(_person.c.id.in_(list(person_ids)))
    )
    return {
        person_id: _PersonRow(
            person_id, name, phone, email, staff_id is not None, tuple(chats.get(person_id, ()))
        )
        for person_id, name, phone, email, staff_id in found
    }


def _next_chat(
    house: House, message: _Message, person: _PersonRow, but: Collection[str] = ()
) -> _ChatRow | None:
    for chat in person.chats:
        runs = not house.switched_on or chat.channel in house.switched_on
        if runs and not chat.blocked and chat.chat_id not in message.tried and chat.channel not in but:
            return chat
    return None


def _by_email(
    session: Session, house: House, message: _Message, person: _PersonRow, now: datetime
) -> _ChatRow | None:
    """A client's own address, to which nobody has been written yet.

    Not the address of staff: whoever can forge a sender would act in their name.
    """
    address = person.email.strip().lower()
    known = any(chat.channel == house.email_channel for chat in person.chats)
    if not house.email_channel or "@" not in address or person.is_staff or known:
        return None
    connection = session.connection()
    row = {
        "channel": house.email_channel, "chat_key": address, "user_key": address, "screen": [], "focus": "",
        "person_id": person.person_id, "rank": LAST_RESORT, "created_at": now,
    }  # fmt: skip
    chat_id = connection.execute(_ADD_CHAT[connection.dialect.name], row).scalar_one_or_none()
    if chat_id is None:
        # Somebody has written from this address without having agreed to anything; it is theirs.
        taken = (
            update(_chat)
            .where(
                _chat.c.channel == house.email_channel,
                _chat.c.chat_key == address,
                _chat.c.person_id.is_(None),
                _chat.c.blocked_at.is_(None),
            )
            .values(person_id=person.person_id, rank=LAST_RESORT)
            .returning(_chat.c.id)
        )
        chat_id = connection.execute(taken).scalar_one_or_none()
    if chat_id is None or chat_id in message.tried:
        return None
    return _ChatRow(chat_id, house.email_channel)


# --- the copy ------------------------------------------------------------------------------------


def _post_copy(
    session: Session, house: House, message: _Message, person: _PersonRow, chat: _ChatRow, now: datetime
) -> None:
    root = message.root
    words = _instead_of(house, _channel_of(session, root.chat_id), chat.channel, plain(root.text))
    _post(session, house, message, person, chat, words, now)


def _instead_of(house: House, meant: str, now_in: str, words: Text) -> Text:
    """The words with the line that says where they were meant to go, if that was any messenger."""
    if not meant or (house.channel_titles and meant not in house.channel_titles):
        return words
    if meant == now_in:
        return undelivered.instead_of_another_chat(words)
    return undelivered.instead_of(house.channel_title(meant), words)


def _post(
    session: Session, house: House, message: _Message, person: _PersonRow, chat: _ChatRow, words: Text,
    now: datetime,
) -> None:  # fmt: skip
    root = message.root
    meant = next((each for each in person.chats if each.chat_id == root.chat_id), None)
    reply = Reply(
        words,
        _rows(root.rows, meant.screen if meant else ()),
        tuple(OutgoingFile(**file) for file in root.files),
    )
    posting = Posting(
        key=_copy_key(message, chat.chat_id), reply=reply, chat_id=chat.chat_id, person_id=root.person_id,
        request_id=root.request_id, author_id=root.author_id, urgent=root.urgent,
        focus=_focus(root, meant, chat), keeps_screen=True, replaces_id=root.id,
    )  # fmt: skip
    post(session, house, now, (posting,))


def _rows(stored: Sequence[Sequence[Sequence[str]]], screen: Iterable[Sequence[str]]) -> Any:
    """The buttons of a letter again; what may be typed instead of them its first chat remembers."""
    synonyms = {press: tuple(words) for _label, press, *words in screen if press}
    return tuple(
        tuple(Button(plain(label), press, synonyms.get(press, ())) for label, press in row) for row in stored
    )


_CLARIFYING = "clar:"


def _focus(root: Row[Any], meant: _ChatRow | None, chat: _ChatRow) -> str | None:
    """The next free words answer the question that came along, unless that chat is busy with others."""
    asks = meant is not None and meant.focus.startswith(_CLARIFYING) and ":clarify:" in root.key
    return meant.focus if asks and meant is not None and not chat.focus else None


def _copy_key(message: _Message, chat_id: int) -> str:
    """The first letter's key and the chat; longer ones are cut to a digest, the same for each copy."""
    key = message.root.key
    suffix = f">{chat_id}"
    if chat_id in message.tried:
        suffix += f".{len(message.copies)}"
    if len(key) + len(suffix) > MAX_KEY_LENGTH:
        key = hashlib.sha256(key.encode()).hexdigest()
    return f"{key}{suffix}"


def _channel_of(session: Session, chat_id: int | None) -> str:
    found = session.connection().execute(select(_chat.c.channel).where(_chat.c.id == chat_id))
    return found.scalar_one_or_none() or ""


# --- the call ------------------------------------------------------------------------------------


def _telephone(
    session: Session, house: House, message: _Message, person: _PersonRow, reason: str, now: datetime
) -> bool:
    """Put the person on the list, and tell whoever keeps them: once, however much does not arrive.

    False when they are on it because of this letter.
    """
    root = message.root
    listed = _is_listed(session, person.person_id, root.request_id)
    call_id = calls.add_call(session, person.person_id, root.request_id, root.id, reason, now)
    if call_id is None or listed:
        return call_id is not None
    company, keeper = _request_of(session, root.request_id)
    phone = person.phone or _company_phone(session, person.person_id)
    wanted = WantedCall(call_id, person.name, phone, reason, company, root.request_id, (root.text,))
    reply = undelivered.call_wanted(wanted)
    told = (keeper,) if keeper is not None else people_for_call(session, person.person_id, now)
    postings = [
        Posting(
            f"call:{call_id}:{staff_person}", reply, person_id=staff_person, request_id=root.request_id,
            urgent=True, keeps_screen=True,
        )
        for staff_person in told
    ]  # fmt: skip
    post(session, house, now, postings)
    return True


def _company_phone(session: Session, person_id: int) -> str:
    """Who has shown no phone of their own may be found by their company's."""
    found = session.connection().execute(
        select(func.max(_client.c.phone))
        .join(_client_person, _client_person.c.client_id == _client.c.id)
        .where(_client_person.c.person_id == person_id)
    )
    return found.scalar() or ""


def _is_listed(session: Session, person_id: int, request_id: int | None) -> bool:
    """Whether somebody was told already to telephone this person about that request."""
    same = _call.c.request_id == request_id if request_id is not None else _call.c.request_id.is_(None)
    waiting = exists().where(
        _call.c.person_id == person_id, same, _call.c.done_at.is_(None), _call.c.letter_id.is_not(None)
    )
    return bool(session.connection().execute(select(waiting)).scalar())


def _request_of(session: Session, request_id: int | None) -> tuple[str, int | None]:
    """The company and the person who has the request."""
    found = session.connection().execute(
        select(_request.c.company, _request.c.assignee_id).where(_request.c.id == request_id)
    )
    row = found.one_or_none()
    return (row[0], staff_name(session, row[1])[1]) if row is not None else ("", None)


def woke_up(
    session: Session, house: House, person_id: int, chat_id: int, channel: str, now: datetime
) -> None:
    """Say to a person who has written by themselves what did not reach them; nobody need telephone."""
    waiting = (
        select(_call.c.id, _call.c.letter_id)
        .where(_call.c.person_id == person_id, _call.c.done_at.is_(None), _call.c.letter_id.is_not(None))
        .order_by(_call.c.letter_id)
    )
    due = {row.letter_id: row.id for row in session.connection().execute(waiting)}
    messages = _messages(session, due.keys())
    if not messages:
        return
    person = _people(session, {person_id})[person_id]
    chat = next((each for each in person.chats if each.chat_id == chat_id), _ChatRow(chat_id, channel))
    for message in messages:
        if any(copy.state == _TODO and copy.chat_id == chat_id for copy in message.copies):
            # It waits for this very chat and will leave by itself.
            continue
        if _withdrawn(session, house, message):
            words = undelivered.repeated(plain(message.root.text))
            _post(session, house, message, person, chat, words, now)
        calls.call_done(
            session, due[message.root.id], None, house.say(_WROTE_BY_THEMSELVES), now, through=channel
        )


def _withdrawn(session: Session, house: House, message: _Message) -> bool:
    """Take back what has not left yet; False when it has, or is just leaving."""
    waiting = [copy.id for copy in message.copies if copy.state == _TODO]
    if waiting and _superseded(session, waiting, house.say(_SENT_ELSEWHERE)) != set(waiting):
        return False
    return not any(copy.state in (_DOING, _SENT) for copy in message.copies)


_CHAT_CLOSED = _("чат закрыт получателем")
_CHAT_LEFT = _("получатель отвязал этот чат")
_WROTE_BY_THEMSELVES = _("написал сам")
_SENT_ELSEWHERE = _("мессенджер не отвечает, отправили в другой чат")


def _superseded(session: Session, letter_ids: Collection[int], reason: str) -> set[int]:
    """Of these letters, those that nobody has begun to send: they will not be sent."""
    taken = (
        update(_letter)
        .where(_letter.c.id.in_(list(letter_ids)), _letter.c.state == _TODO)
        .values(state=LetterState.SUPERSEDED.value, reason=reason)
        .returning(_letter.c.id)
    )
    return set(session.connection().execute(taken).scalars())


# --- the timer -----------------------------------------------------------------------------------


def sweep(session: Session, house: House, now: datetime, up_since: datetime | None = None) -> int:
    """Deliver in another way what failed unseen, or has waited too long; returns how many found a way.

    `up_since` is when this process began: what waited while nothing ran gets its chance to leave first.
    """
    early = deliveries.sweep_early(session, house, now)
    if early.blocked_chat_ids:
        leave_blocked(session, house, early.blocked_chat_ids, now)
    _end_needless(session, house, now)
    closed = _waiting().where(_chat.c.blocked_at.is_not(None)).distinct()
    blocked = list(session.connection().execute(closed.with_only_columns(_letter.c.chat_id)).scalars())
    if blocked:
        leave_blocked(session, house, blocked, now)
    moved = pass_on(session, house, _failed_unseen(session, now), now)
    if up_since is not None and now - up_since < timedelta(minutes=house.failover_after_minutes):
        return moved
    return moved + _leave_silent(session, house, now)


def _failed_unseen(session: Session, now: datetime) -> list[int]:
    """Failed letters of which no copy is under way and about which nobody is to be telephoned."""
    other, called = _letter.alias("other"), exists().where(_call.c.letter_id == _root_id)
    staffed = exists().where(_staff.c.person_id == _letter.c.person_id)
    query = (
        select(_letter.c.id)
        .where(
            text("letter.state = 'failed'"),
            _letter.c.created_at > now - LOOK_BACK,
            _wanders,
            ~exists().where(_same_message(other), other.c.state.in_(_ALIVE)),
            ~called,
            # Staff are not telephoned: without another chat their letters stay as they are.
            or_(~staffed, _has_untried_chat()),
        )
        # As the index of failed letters has them: by number, SQLite would walk through all letters instead.
        .order_by(_letter.c.created_at.desc(), _letter.c.id.desc())
        .limit(_AT_ONCE)
    )
    return list(session.connection().execute(query).scalars())


def _same_message(other: Any) -> ColumnElement[bool]:
    """Whether the row of `other` is the same message as the letter's; it may be the letter itself."""
    return or_(
        other.c.id == _root_id,
        other.c.replaces_id == _root_id,
    )


def _has_untried_chat() -> ColumnElement[bool]:
    other = _letter.alias("had_copy")
    tried = exists().where(_same_message(other), other.c.chat_id == _chat.c.id).correlate(_letter, _chat)
    return exists().where(_chat.c.person_id == _letter.c.person_id, _chat.c.blocked_at.is_(None), ~tried)


def _waiting() -> Select[Any]:
    return (
        select(_letter.c.id)
        .join(_chat, _chat.c.id == _letter.c.chat_id)
        # The condition of the partial index of unfinished letters must be there word for word.
        .where(text("letter.state in ('todo', 'doing')"), _letter.c.state == _TODO)
    )


def _leave_silent(session: Session, house: House, now: datetime) -> int:
    """Letters whose messenger does not take them go to the person's next one."""
    limit = now - timedelta(minutes=house.failover_after_minutes)
    overdue = (
        _waiting()
        .with_only_columns(_letter.c.id, _letter.c.attempts, _chat.c.channel)
        .where(
            _letter.c.created_at <= limit,
            _wanders,
            # Its own back-offs move `not_before` on; a letter that nobody has tried was not due before.
            or_(_letter.c.not_before <= limit, _letter.c.attempts >= TRIED_BY_ITSELF, _letter.c.reason != ""),
        )
        .order_by(_letter.c.id)
        .limit(_AT_ONCE)
    )
    found = session.connection().execute(overdue).all()
    if not found:
        return 0
    down = ({row.channel for row in found} & _refusing(session, house)) - _serving(session, limit)
    stuck = {row.id for row in found if row.channel in down or row.attempts >= TRIED_BY_ITSELF}
    messages = [
        each
        for each in _messages(session, stuck)
        if not any(copy.state in _ALIVE and copy.id not in stuck for copy in each.copies)
    ]
    people = _people(session, {message.root.person_id for message in messages})
    return sum(
        _leave_one(session, house, message, people[message.root.person_id], down, now) for message in messages
    )


def _leave_one(
    session: Session,
    house: House,
    message: _Message,
    person: _PersonRow,
    down: Collection[str],
    now: datetime,
) -> bool:
    chat = _next_chat(house, message, person, down)
    if chat is None and house.email_channel not in down:
        chat = _by_email(session, house, message, person, now)
    waiting = message.copies[-1]
    if chat is not None:
        if not _superseded(session, (waiting.id,), house.say(_SENT_ELSEWHERE)):
            return False
        _post_copy(session, house, message, person, chat, now)
        return True
    patience = timedelta(minutes=house.failover_after_minutes * CALL_PATIENCE)
    if not person.is_staff and waiting.created_at <= now - patience:
        # It stays where it is: the messenger may come back before anybody gets through.
        title = house.channel_title(_channel_of(session, waiting.chat_id))
        reason = house.say(_("{messenger}: не отвечает", messenger=title))
        return _telephone(session, house, message, person, reason, now)
    return False


def _refusing(session: Session, house: House) -> set[str]:
    """The messengers that do not run, or that did not take a letter which waits still."""
    tried = _waiting().with_only_columns(_chat.c.channel, _letter.c.attempts > 0, _letter.c.reason != "")
    return {
        channel
        for channel, *has_failed in session.connection().execute(tried.distinct())
        if any(has_failed) or (house.switched_on and channel not in house.switched_on)
    }


def _serving(session: Session, since: datetime) -> set[str]:
    """The messengers that have taken a letter since then."""
    newest = (
        select(_letter.c.chat_id, _letter.c.sent_at)
        .order_by(_letter.c.id.desc())
        .limit(_NEWEST_LETTERS)
        .subquery()
    )
    query = (
        select(_chat.c.channel)
        .join(newest, newest.c.chat_id == _chat.c.id)
        .where(newest.c.sent_at > since)
        .distinct()
    )
    return set(session.connection().execute(query).scalars())


def _end_needless(session: Session, house: House, now: datetime) -> None:
    """What has gone out after all is not sent twice, and needs no call."""
    other = _letter.alias("other")
    gone_out = exists().where(_same_message(other), other.c.state == _SENT, other.c.id != _letter.c.id)
    connection = session.connection()
    copies = _waiting().where(_letter.c.replaces_id.is_not(None), gone_out)
    needless = list(connection.execute(copies).scalars())
    if needless:
        _superseded(session, needless, house.say(_NO_LONGER_NEEDED))
    copy = _letter.alias("copy")
    answered = select(_call.c.letter_id).where(
        _call.c.done_at.is_(None),
        exists().where(
            or_(copy.c.id == _call.c.letter_id, copy.c.replaces_id == _call.c.letter_id),
            copy.c.state == _SENT,
        ),
    )
    roots = list(connection.execute(answered).scalars())
    if roots:
        close_answered_calls(session, house, roots, now)


_NO_LONGER_NEEDED = _("дошло в другой чат")
