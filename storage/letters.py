"""Writing letters: who gets them in which chat, and in one statement per table for a whole batch.

A letter posted during a transaction is written just before its commit, so that use cases can post
in the order in which people should read, and a batch of them costs one insert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Executable, TextClause, bindparam, event, literal_column, select, text, update
from sqlmodel import Session

from forms.messages import OutgoingFile, Reply
from forms.texts import Text
from notifications.outbox import Letter, LetterState, ShownButton
from storage.dialects import in_both
from storage.house import House
from storage.models import metadata

LEASE_SECONDS = 300
MAX_SCREEN_BUTTONS = 60
OLDER_BUTTONS = ("", "")
"""Stands in a chat's screen between the buttons of the latest message and those of earlier ones."""
_POSTED = "priem_posted_letters"


_chat = metadata.tables["chat"]
_letter = metadata.tables["letter"]

_CHATS_OF_PEOPLE = (
    select(_chat.c.person_id, _chat.c.id)
    .where(_chat.c.person_id.in_(bindparam("people", expanding=True)), _chat.c.blocked_at.is_(None))
    .order_by(_chat.c.rank.desc(), _chat.c.last_inbound_at.asc().nulls_first(), _chat.c.id)
)
"""The chat that each person wants to be written to comes last; among equals, the liveliest."""
_ADDRESSES = select(
    _chat.c.id,
    _chat.c.channel,
    _chat.c.chat_key,
    _chat.c.screen,
    _chat.c.blocked_at,
    _chat.c.last_inbound_at,
    _chat.c.person_id,
).where(_chat.c.id.in_(bindparam("chats", expanding=True)))


def _unfinished_in(letters: TextClause) -> Executable:
    columns = ("chat_id", "id", "state", "prompt", "lease_owner")
    return (
        select(*(literal_column(f"letter.{name}") for name in columns))
        .select_from(letters)
        .where(
            literal_column("letter.chat_id").in_(bindparam("chats", expanding=True)),
            # Word for word the condition of the partial index, or it would not be used.
            text("letter.state in ('todo', 'doing')"),
        )
    )


_UNFINISHED = {
    # Left to itself SQLite may read all that was ever said in these chats, by the index of the chat alone.
    "sqlite": _unfinished_in(text("letter indexed by ix_letter_unfinished")),
    "postgresql": _unfinished_in(text("letter")),
}
_ADD = in_both(
    lambda insert_in: (
        insert_in(_letter)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(_letter.c.key, _letter.c.id)
    )
)
_SUPERSEDE = (
    update(_letter)
    .where(_letter.c.id.in_(bindparam("letters", expanding=True)), _letter.c.state == LetterState.TODO.value)
    .values(state=LetterState.SUPERSEDED.value)
)
_SET_SCREEN = (
    update(_chat)
    .where(_chat.c.id == bindparam("b_chat"))
    .values(screen=bindparam("b_screen", type_=_chat.c.screen.type))
)
_SET_FOCUS = update(_chat).where(_chat.c.id == bindparam("b_chat")).values(focus=bindparam("b_focus"))


@dataclass(frozen=True, slots=True)
class Posting:
    """One reply on its way into the outbox. Without `chat_id` the person's first chat is taken.

    `key` makes it unique for ever: the same step repeated posts it once.
    """

    key: str
    reply: Reply
    chat_id: int | None = None
    person_id: int | None = None
    request_id: int | None = None
    author_id: int | None = None
    urgent: bool = False
    focus: str | None = None
    """What the next free words of that chat belong to from now on; None leaves it as it is."""
    keeps_screen: bool = False
    """The buttons are added to those in sight instead of taking their place."""
    not_before: datetime | None = None
    replaces_id: int | None = None
    """The letter of which this is a copy for another chat."""
    at: datetime | None = None
    """When it was posted; `post` sets it."""


ANSWER = "turn:"
"""How the key begins of what is said in a chat in answer to what was just said there."""


def is_answer(key: str) -> bool:
    """Whether a letter makes sense in its own chat alone, as the next line of what goes on there."""
    return key.startswith(ANSWER)


@dataclass(frozen=True, slots=True)
class ChatAddress:
    """Where a letter goes."""

    chat_id: int
    channel: str
    chat_key: str
    screen: Sequence[Sequence[str]] = ()
    blocked: bool = False
    last_inbound_at: datetime | None = None
    person_id: int | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of the posted letters: those leased to this process, and whether others wait."""

    leased: tuple[Letter, ...] = ()
    others_wait: bool = False


@dataclass(slots=True)
class _Bag:
    house: House
    postings: list[Posting] = field(default_factory=list)


def collect_postings(session: Session, house: House) -> None:
    """Have what is posted from now on kept for a `write_posted` that the caller will call itself."""
    session.info[_POSTED] = _Bag(house)


def post(session: Session, house: House, now: datetime, postings: Iterable[Posting]) -> None:
    """Post letters; they are written when the transaction commits, in the order of posting."""
    bag: _Bag | None = session.info.get(_POSTED)
    if bag is None:
        bag = session.info[_POSTED] = _Bag(house)
        event.listen(session, "before_commit", write_posted)
    bag.postings.extend(replace(posting, at=now) for posting in postings)


def write_posted(
    session: Session,
    lease_owner: str = "",
    addresses: Mapping[int, ChatAddress] | None = None,
    sends: Callable[[str], bool] = lambda _channel: True,
) -> Posted:
    """Write what was posted.

    With a `lease_owner` the letters that may leave at once are leased to that process, if it `sends` to
    their messenger; `addresses` are chats that the caller has read already.
    """
    bag: _Bag | None = session.info.pop(_POSTED, None)
    if bag is None or not bag.postings:
        return Posted()
    lease = _Lease(lease_owner, sends)
    posted, refused = _write(session, bag, lease, addresses or {})
    if not refused:
        return posted
    from storage.failover import pass_on  # it posts letters itself

    at = bag.postings[-1].at
    assert at is not None
    collect_postings(session, bag.house)
    pass_on(session, bag.house, refused, at)
    # The copies go to open chats, and what calls for a telephone to staff: this ends.
    copies = write_posted(session, lease_owner, sends=sends)
    return Posted(posted.leased + copies.leased, posted.others_wait or copies.others_wait)


@dataclass(frozen=True, slots=True)
class _Lease:
    """To whom letters are leased as they are written; to nobody when `owner` is empty."""

    owner: str
    sends: Callable[[str], bool]

    def takes(self, address: ChatAddress) -> bool:
        return bool(self.owner) and self.sends(address.channel)


def _write(
    session: Session, bag: _Bag, lease: _Lease, addresses: Mapping[int, ChatAddress]
) -> tuple[Posted, list[int]]:
    """Write what is in the bag; returns also the letters to people whose chat is closed."""
    session.flush()
    postings = _addressed(session, _first_of_each_key(bag.postings))
    known = dict(addresses)
    wanted = {posting.chat_id for posting in postings if posting.chat_id is not None}
    known |= _addresses(session, wanted - known.keys())
    busy, waiting_prompts = _unfinished(session, wanted, lease.owner)
    postings = _without_superseded(postings)
    rows = [_row(posting, known, busy, bag, lease) for posting in postings]
    ids = _insert(session, rows)
    postings = [posting for posting in postings if posting.key in ids]
    _supersede(
        session, {p.chat_id for p in postings if p.reply.prompt} & waiting_prompts.keys(), waiting_prompts
    )
    _remember_screens(session, postings, known, bag.house)
    written = [row for row in rows if row["key"] in ids]
    leased = [row for row in written if row["state"] == LetterState.DOING.value]
    refused = [
        ids[row["key"]]
        for row in written
        if row["state"] == LetterState.FAILED.value and row["person_id"] is not None
    ]
    posted = Posted(
        tuple(_leased(ids[row["key"]], row, known) for row in leased),
        others_wait=any(row["state"] == LetterState.TODO.value for row in written),
    )
    return posted, refused


def _first_of_each_key(postings: Iterable[Posting]) -> list[Posting]:
    first: dict[str, Posting] = {}
    for posting in postings:
        first.setdefault(posting.key, posting)
    return list(first.values())


def _insert(session: Session, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Write the rows in their order; returns the numbers by key of those that were not there before."""
    connection = session.connection()
    returned = connection.execute(_ADD[connection.dialect.name], list(rows))
    return {key: letter_id for key, letter_id in returned}  # noqa: C416 - rows are not pairs to mypy


def shown_buttons(reply: Reply, say: Callable[[Text], str]) -> list[list[str]]:
    """The buttons of a message as a chat remembers them: label, press id, what may be typed instead."""
    return [[say(button.label), button.press, *button.synonyms] for button in reply.buttons()]


def _addressed(session: Session, postings: Sequence[Posting]) -> list[Posting]:
    people = {p.person_id for p in postings if p.chat_id is None and p.person_id is not None}
    liveliest: dict[int, int] = {}
    if people:
        found = session.connection().execute(_CHATS_OF_PEOPLE, {"people": list(people)})
        liveliest = {person_id: chat_id for person_id, chat_id in found}  # noqa: C416 - rows are not pairs to mypy
    return [
        posting
        if posting.chat_id is not None
        else replace(posting, chat_id=liveliest.get(posting.person_id or 0))
        for posting in postings
    ]


def _addresses(session: Session, chat_ids: Iterable[int]) -> dict[int, ChatAddress]:
    wanted = list(chat_ids)
    if not wanted:
        return {}
    found = session.connection().execute(_ADDRESSES, {"chats": wanted})
    return {
        row[0]: ChatAddress(row[0], row[1], row[2], row[3], row[4] is not None, row[5], row[6])
        for row in found
    }


def _unfinished(
    session: Session, chat_ids: Iterable[int], lease_owner: str
) -> tuple[set[int], dict[int, list[int]]]:
    """The chats that have letters under way outside this process, and their unsent prompts."""
    connection = session.connection()
    found = connection.execute(_UNFINISHED[connection.dialect.name], {"chats": list(chat_ids)})
    busy: set[int] = set()
    prompts: dict[int, list[int]] = {}
    for chat_id, letter_id, state, prompt, owner in found:
        if state == LetterState.TODO.value or owner != lease_owner:
            busy.add(chat_id)
        if prompt and state == LetterState.TODO.value:
            prompts.setdefault(chat_id, []).append(letter_id)
    return busy, prompts


def _without_superseded(postings: Sequence[Posting]) -> list[Posting]:
    last = {posting.chat_id: number for number, posting in enumerate(postings) if posting.reply.prompt}
    return [
        posting
        for number, posting in enumerate(postings)
        if not posting.reply.prompt or last[posting.chat_id] == number
    ]


def _supersede(session: Session, chat_ids: Iterable[int | None], prompts: Mapping[int, list[int]]) -> None:
    letter_ids = [letter_id for chat_id in chat_ids if chat_id is not None for letter_id in prompts[chat_id]]
    if letter_ids:
        session.connection().execute(_SUPERSEDE, {"letters": letter_ids})


def _row(
    posting: Posting, known: Mapping[int, ChatAddress], busy: set[int], bag: _Bag, lease: _Lease
) -> dict[str, Any]:
    reply = posting.reply
    address = known.get(posting.chat_id) if posting.chat_id is not None else None
    assert posting.at is not None
    not_before = posting.not_before or posting.at + timedelta(seconds=reply.merge_seconds)
    state, closed = LetterState.TODO, _closed(posting, address)
    if closed is not None:
        state = LetterState.FAILED
    elif (
        address is not None
        and lease.takes(address)
        and not_before <= posting.at
        and address.chat_id not in busy
    ):
        state = LetterState.DOING
    if state is LetterState.TODO and address is not None:
        # What follows a letter that waits must wait behind it.
        busy.add(address.chat_id)
    leased = state is LetterState.DOING
    return {
        "key": posting.key,
        "chat_id": address.chat_id if address else None,
        "person_id": posting.person_id,
        "request_id": posting.request_id,
        "author_id": posting.author_id,
        "text": bag.house.say(reply.text),
        "rows": [[[bag.house.say(b.label), b.press] for b in row] for row in reply.rows],
        "files": [asdict(file) for file in reply.files],
        "prompt": reply.prompt,
        "urgent": posting.urgent,
        "state": state.value,
        "not_before": not_before,
        "attempts": 0,
        "lease_owner": lease.owner if leased else "",
        "lease_until": posting.at + timedelta(seconds=LEASE_SECONDS) if leased else None,
        "message_key": "",
        "reason": bag.house.say(closed) if closed is not None else "",
        "created_at": posting.at,
        "sent_at": None,
        "replaces_id": posting.replaces_id,
    }


def _closed(posting: Posting, address: ChatAddress | None) -> Text | None:
    """Why nothing can be sent to that address, if so."""
    if address is None:
        return _NO_CHAT
    if address.blocked:
        return _CHAT_CLOSED
    if is_answer(posting.key) or posting.person_id in (None, address.person_id):
        return None
    return _CHAT_LEFT


def _remember_screens(
    session: Session, postings: Sequence[Posting], known: Mapping[int, ChatAddress], house: House
) -> None:
    screens: dict[int, list[list[str]]] = {}
    focuses: dict[int, str] = {}
    for posting in postings:
        if posting.chat_id is None or posting.chat_id not in known:
            continue
        if posting.focus is not None:
            focuses[posting.chat_id] = posting.focus
        shown = shown_buttons(posting.reply, house.say)
        if posting.keeps_screen and shown:
            before = screens.get(posting.chat_id) or [list(item) for item in known[posting.chat_id].screen]
            screens[posting.chat_id] = [*shown, list(OLDER_BUTTONS), *before][:MAX_SCREEN_BUTTONS]
        elif shown or posting.reply.prompt:
            screens[posting.chat_id] = shown
    connection = session.connection()
    if screens:
        connection.execute(
            _SET_SCREEN, [{"b_chat": chat_id, "b_screen": screen} for chat_id, screen in screens.items()]
        )
    if focuses:
        connection.execute(
            _SET_FOCUS, [{"b_chat": chat_id, "b_focus": focus} for chat_id, focus in focuses.items()]
        )


def _leased(letter_id: int, row: Mapping[str, Any], known: Mapping[int, ChatAddress]) -> Letter:
    address = known[row["chat_id"]]
    return letter_of(letter_id, row, address)


def letter_of(letter_id: int, row: Mapping[str, Any], address: ChatAddress) -> Letter:
    """A stored letter as delivery gets it."""
    return Letter(
        letter_id=letter_id,
        key=row["key"],
        chat_id=address.chat_id,
        channel=address.channel,
        chat_key=address.chat_key,
        text=row["text"],
        rows=tuple(tuple(ShownButton(label, press) for label, press in shown) for shown in row["rows"]),
        files=tuple(OutgoingFile(**file) for file in row["files"]),
        attempts=row["attempts"],
        urgent=row["urgent"],
        created_at=row["created_at"],
        last_inbound_at=address.last_inbound_at,
    )


_NO_CHAT = Text("нет привязанного мессенджера")
_CHAT_CLOSED = Text("чат закрыт получателем")
_CHAT_LEFT = Text("получатель отвязал этот чат")
