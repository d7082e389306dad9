"""Delivery among several processes: one dispatcher for each messenger, at work where that messenger is ours.

Whoever owns a messenger alone sends to it, so its rate is kept exactly and its chats in order. A letter
that another process writes waits in the rows until the owner, woken by a bell, claims it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

import structlog

from bots.base import Limits
from bots.intake import Op
from bots.rendering import fit
from notifications.delivery import Dispatcher, Sender
from notifications.faults import place_of
from notifications.outbox import Letter, Outcome, Parcel, Retry, Settlement
from storage import postoffice
from storage.engine import Database
from storage.letters import LEASE_SECONDS
from storage.ownership import Ownership, channel_thing

log = structlog.get_logger(__name__)

GRACE_SECONDS = 5.0
GRACE_AFTER_LOSS_SECONDS = 0.4
"""What is in flight when the messenger was lost must end before another process may begin."""
RELEASE_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _PostOffice:
    """The outbox for one dispatcher: claims in transactions of their own, settlements in the group commit."""

    database: Database
    owner: str
    now: Callable[[], datetime]
    keep: Callable[[Sequence[Op]], Coroutine[Any, Any, None]]
    holds: Callable[[str], bool]

    async def claim(
        self, channels: Collection[str], limit: int, *, per_chat: int, urgent_only: bool
    ) -> Sequence[Letter]:
        ours = [name for name in channels if self.holds(name)]
        if not ours:
            return ()
        now = self.now()
        return await self.database.transact(
            lambda session: postoffice.claim(
                session, self.owner, ours, limit, now, per_chat=per_chat, urgent_only=urgent_only, alone=True
            )
        )

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self.keep(settlements)


@dataclass(frozen=True, slots=True)
class _Fenced:
    """A messenger that is sent to only while it is ours; `shown` is told to which chat something went."""

    sender: Sender[Limits]
    holds: Callable[[], bool]
    shown: Callable[[str], None]

    @property
    def limits(self) -> Limits:
        return self.sender.limits

    async def send(self, parcel: Parcel) -> Outcome:
        if not self.holds():
            return Retry(reason="Отправляет другой процесс")
        outcome = await self.sender.send(parcel)
        self.shown(parcel.chat_key)
        return outcome


@dataclass(slots=True)
class Senders:
    """The dispatchers of all messengers. `shown` gets a messenger's name and a chat key."""

    messengers: Mapping[str, Sender[Limits]]
    database: Database
    owner: str
    now: Callable[[], datetime]
    keep: Callable[[Sequence[Op]], Coroutine[Any, Any, None]]
    ownership: Ownership
    shown: Callable[[str, str], None] = lambda _channel, _chat_key: None
    _dispatchers: dict[str, Dispatcher[Limits]] = field(init=False)
    _at_work: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        post = _PostOffice(self.database, self.owner, self.now, self.keep, self.sends)
        self._dispatchers = {
            name: Dispatcher(
                {name: self._fenced(name, sender)},
                post,
                self.now,
                monotonic,
                fit,
                lease_seconds=LEASE_SECONDS,
            )
            for name, sender in self.messengers.items()
        }

    def _fenced(self, name: str, sender: Sender[Limits]) -> Sender[Limits]:
        return _Fenced(sender, lambda: self.sends(name), lambda chat_key: self.shown(name, chat_key))

    def sends(self, channel: str) -> bool:
        """Whether this process sends to that messenger at the moment."""
        return channel in self._at_work and self.ownership.holds(channel_thing(channel))

    def hand_over(self, letters: Sequence[Letter]) -> None:
        """Take letters that were just committed as leased to this process.

        Those of a messenger that was lost meanwhile are left to the next who gets it.
        """
        for name in {letter.channel for letter in letters}:
            if name in self._at_work:
                self._dispatchers[name].hand_over([letter for letter in letters if letter.channel == name])

    def wake(self) -> None:
        """Say that there are new due letters. Call it in the event loop."""
        for name in self._at_work:
            self._dispatchers[name].wake()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, dispatcher in self._dispatchers.items():
                tasks.create_task(
                    self.ownership.keep(
                        channel_thing(name), self._delivering(name, dispatcher), _hasten(dispatcher)
                    ),
                    name=f"deliver {name}",
                )

    def _delivering(self, name: str, dispatcher: Dispatcher[Limits]) -> Callable[[], Awaitable[None]]:
        async def deliver() -> None:
            dispatcher.grace_seconds = GRACE_SECONDS
            await self._void_leases(name)
            self._at_work.add(name)
            try:
                await dispatcher.run()
            finally:
                self._at_work.discard(name)

        return deliver

    async def _void_leases(self, name: str) -> None:
        """Whatever was leased before, to whom ever, is in nobody's hands now."""
        while True:
            try:
                await self.database.transact(
                    lambda session: postoffice.void_leases(session, name, self.now())
                )
            except Exception as error:  # noqa: BLE001 - the database is away: letters wait with it
                told = {"error": type(error).__name__, "place": place_of(error)}
                log.error("leases not voided", channel=name, **told)  # noqa: TRY400
                await asyncio.sleep(RELEASE_AGAIN_SECONDS)
            else:
                return


def _hasten(dispatcher: Dispatcher[Limits]) -> Callable[[], None]:
    def hasten() -> None:
        dispatcher.grace_seconds = GRACE_AFTER_LOSS_SECONDS

    return hasten
