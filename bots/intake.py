"""One inbound message is one use case; messages that come at the same moment share a transaction.

A message is acknowledged to its messenger only after `accept` has returned, that is, after the
commit. A message with files is kept whole and processed when its files are here; what its chat says
meanwhile waits behind it, so the order of the person is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import structlog
from sqlmodel import Session, col, update

from bots import client_chat, edits, linking, staff_chat
from bots.albums import Messages, by_album, merged_albums, with_album
from bots.base import Cursor
from bots.pace import Pace, hold_off
from bots.turns import ChatTurn, press_of, without_logos
from forms.fields import ReceivedFile, Said
from forms.freetext import agreed
from forms.inn import split_company
from forms.messages import (
    Contact,
    Delivery,
    DeliveryState,
    FileRole,
    Inbound,
    InboundKind,
    IncomingFile,
    Reply,
)
from forms.texts import _
from notifications import compose
from notifications.outbox import Letter, Settlement
from storage import casework, failover, maintenance, outages, postoffice, work
from storage.deliveries import Told
from storage.engine import storage_is_down
from storage.house import House
from storage.letters import Posting, collect_postings, post
from storage.models import Chat
from storage.work import ChatView, Work, open_work

T = TypeVar("T")

log = structlog.get_logger(__name__)

_INN_LIKE = re.compile(r"[0-9](?:\D{0,3}[0-9]){9}")
_NOT_DIGIT = re.compile(r"[^0-9]")
CLOCKS_DIFFER = timedelta(minutes=2)
"""A messenger's clock may be ahead of ours by so much: the distances between its messages count."""
_START_WITH_CODE = re.compile(r"/start(?:@\w+)?\s+(\S{4,64})")


class Transactions(Protocol):
    """The database as the intake needs it."""

    async def transact(self, work: Callable[[Session], T]) -> T:
        """Run in one write transaction."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came, how its chat writes, and whether it is to be told so."""

    inbound: Inbound
    pace: Pace = Pace.EASY
    tells: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """Messages of one chat whose files were fetched, in their order."""

    chat_id: int
    messages: Messages


Op = Arrival | Fetched | Cursor | Settlement


@dataclass(slots=True)
class Applied:
    """What a batch led to, to be acted upon after its commit."""

    letters: tuple[Letter, ...] = ()
    chats_to_fetch: set[int] = field(default_factory=set)
    wakes_delivery: bool = False


@dataclass(frozen=True, slots=True)
class Intake:
    """Applies batches of operations. `owner` names this process in the leases of letters."""

    database: Transactions
    house_now: Callable[[], House]
    now: Callable[[], datetime]
    owner: str
    sends: Callable[[str], bool] = lambda _channel: True
    """Whether this process sends to that messenger: what it writes for others waits for their senders."""

    @property
    def house(self) -> House:
        """What the firm has settled by now."""
        return self.house_now()

    async def apply(self, operations: Sequence[Op]) -> Applied:
        """Apply a batch in one transaction; returns after its commit."""
        now = self.now()
        return await self.database.transact(lambda session: self._apply(session, operations, now))

    async def poisoned(self, operation: Op, error: Exception) -> Applied:
        """Keep a message that the program fails on, apologise, and call a person.

        It is acknowledged: a messenger that repeats it for ever would stop everybody behind it.
        """
        if isinstance(operation, Cursor | Settlement):
            return await self._once_more(operation, error)
        now = self.now()
        log.error("message kept as failed", error=type(error).__name__)
        if isinstance(operation, Fetched) and len(albums := by_album(operation.messages)) > 1:
            return await self._apart(operation.chat_id, albums)
        try:
            return await self.database.transact(lambda session: self._keep_failed(session, operation, now))
        except Exception as failure:
            if storage_is_down(failure):
                raise
            log.error("message that cannot be kept", error=type(failure).__name__)  # noqa: TRY400
            return await self.database.transact(lambda session: _keep_trace(session, operation, now))

    async def _once_more(self, operation: Cursor | Settlement, error: Exception) -> Applied:
        """Write down what became of a letter without what follows from it, or it would go out again."""
        log.error("kept alone", what=type(operation).__name__, error=type(error).__name__)
        try:
            if isinstance(operation, Cursor):
                return await self.apply([operation])
            await self.database.transact(lambda session: postoffice.settle(session, self.owner, [operation]))
        except Exception as again:
            if storage_is_down(again):
                raise
            # Whoever waits would try for ever, and all behind it would wait too.
            log.error("given up", what=type(operation).__name__, error=type(again).__name__)  # noqa: TRY400
        return Applied()

    async def _apart(self, chat_id: int, albums: Sequence[Messages]) -> Applied:
        """Take the messages of one chat one after another: only the one that fails is kept as failed."""
        together = Applied()
        for messages in albums:
            operation = Fetched(chat_id, messages)
            try:
                applied = await self.apply([operation])
            except Exception as error:
                if storage_is_down(error):
                    raise
                applied = await self.poisoned(operation, error)
            together.letters += applied.letters
            together.wakes_delivery |= applied.wakes_delivery
        return together

    def _apply(self, session: Session, operations: Sequence[Op], now: datetime) -> Applied:
        applied = Applied()
        collect_postings(session, self.house)
        arrivals = [op.inbound for op in operations if isinstance(op, Arrival)]
        fetched = [
            inbound for op in operations if isinstance(op, Fetched) for _id, inbound, _files in op.messages
        ]
        batch = open_work(session, arrivals, fetched, _inns([*arrivals, *fetched]), now)
        settlements: list[Settlement] = []
        told: list[Told] = []
        for operation in operations:
            match operation:
                case Arrival(inbound) if inbound.kind is InboundKind.DELIVERY:
                    told += _told(batch, inbound)
                case Arrival():
                    self._arrived(batch, operation, applied)
                case Fetched():
                    self._fetched(batch, operation)
                case Cursor(channel, value):
                    batch.move_cursor(channel, value)
                case Settlement():
                    settlements.append(operation)
        postoffice.settle(session, self.owner, settlements)
        failover.after_batch(session, self.house, settlements, told, now)
        posted = batch.flush(self.owner, self.sends)
        applied.letters, applied.wakes_delivery = posted.leased, posted.others_wait
        return applied

    def _arrived(self, batch: Work, arrival: Arrival, applied: Applied) -> None:
        inbound = arrival.inbound
        event = (inbound.channel, inbound.event_key)
        if event not in batch.fresh:
            return
        if "\0" in inbound.text:  # PostgreSQL keeps no NUL in a text
            inbound = replace(inbound, text=inbound.text.replace("\0", ""))
        if inbound.sent_at > batch.now + CLOCKS_DIFFER:
            inbound = replace(inbound, sent_at=batch.now)
        inbound = _with_typed_code(inbound)
        batch.fresh.discard(event)
        if inbound.kind is InboundKind.IGNORED or not inbound.chat_key:
            return
        chat = batch.chat_of(inbound)
        if inbound.kind is InboundKind.BLOCKED:
            if _block(batch.session, chat, inbound.sent_at, batch.now):
                failover.leave_blocked(batch.session, self.house, (chat.chat_id,), batch.now)
            return
        if inbound.kind is InboundKind.UNBLOCKED:
            batch.seen(chat, inbound.sent_at)
            return
        if hold_off(batch, self.house, chat, inbound, arrival.pace, tells=arrival.tells):
            return
        inbound = without_logos(inbound, chat)
        may_keep = self._may_keep(chat) or agreed(inbound.text) is not None
        if chat.has_waiting or (inbound.files and may_keep):
            inbound = with_album(inbound, lambda: batch.earlier(chat))
            work.keep_waiting(batch.session, inbound, {**inbound_to_json(inbound), FETCHER: self.owner})
            chat.has_waiting = True
            applied.chats_to_fetch.add(chat.chat_id)
            return
        self._answer(batch, chat, inbound, ())

    def _may_keep(self, chat: ChatView) -> bool:
        """Whether this person has agreed that we keep what they send; files of others are not fetched."""
        return chat.staff is not None or chat.consent_version == self.house.consent_version

    def _fetched(self, batch: Work, operation: Fetched) -> None:
        taken = work.take_waiting(
            batch.session, [event_id for event_id, _inbound, _files in operation.messages]
        )
        ours = [message for message in operation.messages if message[0] in taken]
        for inbound, files in merged_albums(ours):
            self._answer(batch, batch.chat_of(inbound), inbound, files)

    def _answer(self, batch: Work, chat: ChatView, inbound: Inbound, files: tuple[ReceivedFile, ...]) -> None:
        said_at = batch.seen(chat, inbound.sent_at)
        if said_at != inbound.sent_at <= batch.now:
            inbound = replace(inbound, sent_at=said_at)
        if inbound.kind is InboundKind.DELETED:
            edits.deleted(batch, chat, inbound)
            return
        said = Said(
            text=inbound.text,
            press=press_of(inbound, chat),
            files=files,
            contact=inbound.contact,
            other=inbound.text if inbound.kind is InboundKind.OTHER else None,
            group_id=inbound.group_id,
        )
        if inbound.kind is InboundKind.OTHER:
            said = replace(said, text="")
        if chat.staff is None:
            outages.own_up(batch.session, self.house, chat.chat_id, chat.channel, said_at, batch.now)
            maintenance.tell(batch.session, self.house, chat.chat_id, batch.now)
        turn = ChatTurn(batch, self.house, chat, inbound, said)
        if chat.staff is not None and linking.code_of(inbound) is None:
            staff_chat.handle(turn)
        else:
            client_chat.handle(turn)
        if chat.misses_words and chat.person_id is not None and self._may_keep(chat):
            chat.misses_words = False
            failover.woke_up(batch.session, self.house, chat.person_id, chat.chat_id, chat.channel, batch.now)

    def _keep_failed(self, session: Session, operation: Arrival | Fetched, now: datetime) -> Applied:
        inbounds = (
            [operation.inbound]
            if isinstance(operation, Arrival)
            else [item[1] for item in operation.messages]
        )
        batch = open_work(session, [], inbounds, (), now)
        for inbound in inbounds:
            chat = batch.chats.get((inbound.channel, inbound.chat_key))
            may_keep = chat is not None and self._may_keep(chat)
            fresh = work.keep_failed(session, inbound, inbound_to_json(inbound) if may_keep else None, now)
            if chat is not None and (fresh or isinstance(operation, Fetched)):
                apology = Reply(
                    _(
                        "У нас ошибка, это сообщение обработать не получилось. "
                        "Мы его сохранили, человек посмотрит."
                    )
                    if may_keep
                    else _("У нас ошибка. Попробуйте, пожалуйста, ещё раз чуть позже.")
                )
                key = f"failed:{inbound.channel}:{inbound.event_key}"
                post(session, self.house, now, (Posting(key, apology, chat_id=chat.chat_id, urgent=True),))
                self._call_a_person(session, chat, inbound, now)
        if isinstance(operation, Fetched):
            work.give_up_waiting(session, [item[0] for item in operation.messages])
        posted = batch.flush(self.owner, self.sends)
        return Applied(posted.leased, wakes_delivery=posted.others_wait)

    def _call_a_person(self, session: Session, chat: ChatView, inbound: Inbound, now: datetime) -> None:
        """What the program could not answer, a person must."""
        call = compose.failed_message(chat.person_name, chat.chat_id)
        people = casework.people_for_call(session, chat.person_id, now)
        postings = [
            Posting(
                f"failed:{inbound.channel}:{inbound.event_key}:{person}", call, person_id=person, urgent=True
            )
            for person in people
        ]
        post(session, self.house, now, postings)


def _keep_trace(session: Session, operation: Arrival | Fetched, now: datetime) -> Applied:
    """Keep only that there was a message: something in it is more than the database can hold."""
    if isinstance(operation, Fetched):
        work.give_up_waiting(session, [item[0] for item in operation.messages])
        return Applied()
    digest = hashlib.sha256(operation.inbound.event_key.encode("utf-8", "surrogatepass")).hexdigest()
    trace = replace(operation.inbound, event_key=f"unkept:{digest}", chat_key="")
    work.keep_failed(session, trace, None, now)
    return Applied()


def _told(batch: Work, inbound: Inbound) -> list[Told]:
    """What a messenger tells about a letter of ours, if it is news."""
    event = (inbound.channel, inbound.event_key)
    if event not in batch.fresh or not inbound.chat_key or not inbound.message_key or not inbound.delivery:
        return []
    batch.fresh.discard(event)
    chat_id, at = batch.chat_of(inbound).chat_id, min(inbound.sent_at, batch.now)
    return [Told(chat_id, inbound.message_key, inbound.delivery, at)]


def _with_typed_code(inbound: Inbound) -> Inbound:
    """Read «/start CODE» in every messenger: not each has links that carry a code."""
    typed = _START_WITH_CODE.fullmatch(inbound.text.strip()) if inbound.kind is InboundKind.TEXT else None
    return replace(inbound, kind=InboundKind.STARTED, start_code=typed[1]) if typed else inbound


def _block(session: Session, chat: ChatView, closed_at: datetime, now: datetime) -> bool:
    """Close the chat; False when its person has written since, for such news may come late."""
    if chat.last_inbound_at is not None and chat.last_inbound_at > closed_at:
        return False
    session.execute(update(Chat).where(col(Chat.id) == chat.chat_id).values(blocked_at=now))
    chat.blocked = True
    return True


def _inns(inbounds: Iterable[Inbound]) -> set[str]:
    """What may be an INN in these messages: the clients that the form may have to know."""
    texts = (inbound.text for inbound in inbounds if _INN_LIKE.search(inbound.text))
    # The form's own reading: what it takes for the INN is what has to be known.
    return {_NOT_DIGIT.sub("", number) for number, _name in map(split_company, texts) if number}


FETCHER = "fetcher"
"""In what is kept of a message: the process that fetches its files."""


def inbound_to_json(inbound: Inbound) -> dict[str, Any]:
    """A message as JSON can hold it.

    A process of an older version, which may take this one's place, gives up a message in which it does not
    know a name. So what it has no name for travels in `acknowledge`, which means nothing by then.
    """
    stored = {**asdict(inbound), "sent_at": inbound.sent_at.isoformat()}
    place = {name: stored.pop(name) for name in _PLACE}
    if any(place.values()):
        stored["acknowledge"] = json.dumps(place)
    return stored


_PLACE = ("about", "answers_to")


def _place_from_json(acknowledge: str | None) -> dict[str, Any]:
    if not (acknowledge or "").startswith("{"):
        return {"acknowledge": acknowledge}
    place = json.loads(acknowledge or "")
    return {"acknowledge": None, "about": place["about"], "answers_to": tuple(place["answers_to"])}


def _delivery_from_json(stored: dict[str, Any] | None) -> Delivery | None:
    return Delivery(**{**stored, "state": DeliveryState(stored["state"])}) if stored else None


def inbound_from_json(stored: dict[str, Any]) -> Inbound:
    """Read what `inbound_to_json` wrote, whoever fetches its files."""
    stored = {name: value for name, value in stored.items() if name != FETCHER}
    files = tuple(IncomingFile(**{**file, "role": FileRole(file["role"])}) for file in stored["files"])
    return Inbound(
        **{
            **stored,
            "kind": InboundKind(stored["kind"]),
            "sent_at": datetime.fromisoformat(stored["sent_at"]),
            "files": files,
            "contact": Contact(**stored["contact"]) if stored["contact"] else None,
            "delivery": _delivery_from_json(stored.get("delivery")),
            **_place_from_json(stored.get("acknowledge")),
        }
    )
