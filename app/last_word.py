"""What those in charge are told while the database keeps nothing, so that no letter can be written.

Their chats are kept in memory, as they were when all was well, and the words go straight through the
messenger. It is done as well as it can be: nothing is kept of it, and nothing is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from bots.base import Channel
from notifications.outbox import Parcel, Sent
from storage import troubles
from storage.engine import Database, storage_is_down
from storage.house import House
from storage.troubles import Cause, InCharge, Trouble

log = structlog.get_logger(__name__)

AFTER = timedelta(seconds=60)
"""A trouble that is over sooner is told of by a letter alone."""
AGAIN_AFTER = timedelta(hours=1)
_REFRESHED_EVERY = timedelta(minutes=1)
_SEND_TIMEOUT_SECONDS = 30


@dataclass(slots=True)
class LastWord:
    """Of several processes only the one that did the timers' work when all was well says anything."""

    channels: Mapping[str, Channel]
    is_ours: Callable[[], bool]
    _in_charge: Sequence[InCharge] = field(default=(), init=False, repr=False)
    _was_ours: bool = field(default=False, init=False)
    _refreshed_at: datetime | None = field(default=None, init=False)
    _told_at: dict[Cause, datetime] = field(default_factory=dict, init=False)

    async def look(self, database: Database, house: House, trouble: Trouble | None, now: datetime) -> None:
        """Remember whom to tell while all is well; tell them when it has not been for a minute."""
        if trouble is None or self._refreshed_at is None:
            await self._refresh(database, now)
        if trouble is None:
            return
        told_at = self._told_at.get(trouble.cause)
        if now - trouble.since < AFTER or (told_at is not None and now - told_at < AGAIN_AFTER):
            return
        self._told_at[trouble.cause] = now
        if self._was_ours:
            words = house.say(troubles.nothing_is_kept(trouble, house.calendar.zone))
            key = f"down:{trouble.cause}:{now:%Y%m%dT%H%M}"
            reached = [
                await self._tell(person, f"{key}:{person.person_id}", words) for person in self._in_charge
            ]
            log.warning("those in charge were told", cause=trouble.cause.value, reached=sum(reached))

    async def _refresh(self, database: Database, now: datetime) -> None:
        if self._refreshed_at is not None and abs(now - self._refreshed_at) < _REFRESHED_EVERY:
            return

        def read() -> Sequence[InCharge]:
            with database.read() as session:
                return troubles.in_charge(session)

        try:
            self._in_charge = await asyncio.to_thread(read)
        except Exception as error:
            if storage_is_down(error):
                return  # whom we knew before is still right
            raise
        self._was_ours, self._refreshed_at = self.is_ours(), now

    async def _tell(self, person: InCharge, key: str, words: str) -> bool:
        """By the first of their chats that takes it."""
        for number, chat in enumerate(person.chats):
            channel = self.channels.get(chat.channel)
            if channel is None:
                continue
            parcel = Parcel(f"{key}:{number}", chat.chat_key, words, last_inbound_at=chat.last_inbound_at)
            try:
                async with asyncio.timeout(_SEND_TIMEOUT_SECONDS):
                    outcome = await channel.send(parcel)
            except Exception as error:  # noqa: BLE001 - one chat must not keep the others from being told
                log.warning("not told", channel=chat.channel, error=type(error).__name__)
                continue
            if isinstance(outcome, Sent):
                return True
        return False
