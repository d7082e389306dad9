"""Which process does what: each owned thing is done by exactly one of the processes on a PostgreSQL.

A process is a row that it renews twice a second, by the database's clock. Whoever finds a row that was not
renewed for `LEASE_SECONDS` deletes it, and with it go its things. A process that could not renew stops its
own work well before that, by its own steady clock, so two never work at once: neither after a kill nor
when one is cut off. On SQLite there is one process alone, which the lock file sees to.

Every statement is a transaction of its own: a process that is cut off in the middle leaves no lock behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from sqlalchemy.engine import URL, make_url

from storage.engine import session_name

if TYPE_CHECKING:
    from psycopg import AsyncConnection

log = structlog.get_logger(__name__)

BEAT_SECONDS = 0.5
LEASE_SECONDS = 3.0
STOP_SECONDS = 1.8
"""After so long without a renewal a process stops its work; the rest of the lease is for stopping."""
ANSWER_SECONDS = 1.0
CONNECT_SECONDS = 2

TIMERS = "timers"


def channel_thing(name: str) -> str:
    """The sending to a messenger, and the asking of one that has to be asked."""
    return f"channel:{name}"


Work = Callable[[], Awaitable[None]]


class Ownership(Protocol):
    """Who does what, as the service sees it. Everything is called in the event loop."""

    @property
    def has_peers(self) -> bool:
        """Whether other processes work on this database."""

    def holds(self, thing: str) -> bool:
        """Whether this process may do that right now."""

    def is_peer(self, name: str) -> bool:
        """Whether another process of that name is at work."""

    async def run(self, peer_gone: Callable[[], None] = lambda: None) -> None:
        """Keep what we have until cancelled; `peer_gone` is called when another process is gone."""

    async def keep(self, thing: str, work: Work, lost: Callable[[], None] = lambda: None) -> None:
        """Run `work` whenever the thing is ours, until cancelled.

        When it is to go to another process, `work` is cancelled, and the thing goes once `work` has ended.
        When it was lost, `lost` is called first: then `work` must end within a second.
        """

    async def leave(self) -> None:
        """Let everything go at once; the work must have ended."""


class SoleOwner:
    """The only process there is."""

    has_peers = False

    def holds(self, thing: str) -> bool:
        """Everything is ours."""
        del thing
        return True

    def is_peer(self, name: str) -> bool:
        """There are no others."""
        del name
        return False

    async def run(self, peer_gone: Callable[[], None] = lambda: None) -> None:
        """There is nothing to keep."""
        del peer_gone
        await asyncio.Event().wait()

    async def keep(self, thing: str, work: Work, lost: Callable[[], None] = lambda: None) -> None:
        """Run the work."""
        del thing, lost
        await work()

    async def leave(self) -> None:
        """Nobody takes over."""


@dataclass(slots=True)
class _Thing:
    """Whether it is ours, for those who work at it."""

    ours: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False
    workers: int = 0

    def begin(self) -> None:
        self.over.clear()
        self.ours.set()

    def end(self, *, lost: bool) -> None:
        self.lost = lost
        self.ours.clear()
        self.over.set()


_REGISTER = "insert into process (owner, until) values (%s, clock_timestamp() + %s * interval '1 second')"
_RENEW = (
    "update process set until = clock_timestamp() + %s * interval '1 second' "
    "where owner = %s and until > clock_timestamp()"
)
# A delete that meets a renewal waits for it and looks again, so nobody is buried alive.
_BURY = "delete from process where until <= clock_timestamp()"
_LOOK = "select '', owner from process union all select name, owner from ownership"
_TAKE = (
    "insert into ownership (name, owner) values (%s, %s) "
    "on conflict (name) do update set owner = excluded.owner where ownership.owner = %s"
)
# Cut off in the middle of a statement, a session keeps its locks for as long as its line seems to live.
_END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s"
_RELEASE = "update ownership set owner = '' where name = %s and owner = %s"
_LEAVE = "delete from process where owner = %s"


@dataclass(slots=True)
class SharedOwner:
    """One of several processes. `wanted` are the things that every process of this database can do.

    They are spread evenly: nobody keeps more than its share once others are there.
    """

    url: URL
    wanted: Sequence[str]
    name: str
    """What this process is called in the table, for the operator."""
    _me: str = field(default="", init=False)
    """A new one after each burial: nobody rises under an old name."""
    _connection: AsyncConnection[Any] | None = field(default=None, init=False)
    _certain_until: float = field(default=float("-inf"), init=False)
    _alarm: asyncio.TimerHandle | None = field(default=None, init=False)
    _things: dict[str, _Thing] = field(init=False)
    _leaving: set[str] = field(default_factory=set, init=False)
    _peers: frozenset[str] = field(default=frozenset(), init=False)
    _failures: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._things = {thing: _Thing() for thing in self.wanted}

    @property
    def has_peers(self) -> bool:
        """Whether other processes work on this database."""
        return bool(self._peers)

    def holds(self, thing: str) -> bool:
        """Whether this process may do that right now."""
        known = self._things[thing]
        return (known.ours.is_set() or (known.workers > 0 and not known.lost)) and self._is_certain()

    def is_peer(self, name: str) -> bool:
        """Whether another process of that name is at work."""
        return any(peer.rpartition(":")[0] == name for peer in self._peers)

    def _is_certain(self) -> bool:
        return monotonic() < self._certain_until

    async def run(self, peer_gone: Callable[[], None] = lambda: None) -> None:
        """Renew, bury, take and give up, until cancelled; `peer_gone` is called when a process is gone."""
        try:
            while True:
                started, peers = monotonic(), self._peers
                try:
                    await self._beat()
                    self._failures = 0
                    if peers - self._peers:
                        peer_gone()
                except Exception as error:  # noqa: BLE001 - the database is away: the alarm ends our work in time
                    await self._disconnect()
                    if not self._failures:
                        log.warning("the table of processes does not answer", error=type(error).__name__)
                    self._failures += 1
                await asyncio.sleep(max(0.05, BEAT_SECONDS - (monotonic() - started)))
        finally:
            self._lose_all()

    async def keep(self, thing: str, work: Work, lost: Callable[[], None] = lambda: None) -> None:
        """Run `work` whenever the thing is ours, until cancelled."""
        known = self._things[thing]
        while True:
            await known.ours.wait()
            known.workers += 1
            try:
                async with asyncio.TaskGroup() as tasks:
                    working = tasks.create_task(_run(work), name=thing)
                    await known.over.wait()
                    if known.lost:
                        lost()
                    working.cancel()
            finally:
                known.workers -= 1

    async def leave(self) -> None:
        """Take our row away, and with it all that is ours."""
        self._lose_all()
        with suppress(Exception):
            await self._do(_LEAVE, self._me)
        await self._disconnect()

    # --- one beat --------------------------------------------------------------------------------

    async def _beat(self) -> None:
        sent_at = monotonic()
        if not self._me or not await self._do(_RENEW, LEASE_SECONDS, self._me):
            self._lose_all()
            self._me = f"{self.name}:{uuid.uuid4().hex[:8]}"
            sent_at = monotonic()
            await self._do(_REGISTER, self._me, LEASE_SECONDS)
        self._renewed(sent_at)
        await self._do(_BURY)
        owners, alive = await self._look()
        for thing in [each for each in self._leaving if not self._things[each].workers]:
            if owners.get(thing) == self._me:
                await self._do(_RELEASE, thing, self._me)
                owners[thing] = ""
            self._leaving.discard(thing)
        await self._take_share(owners, alive)
        self._settle({thing for thing, owner in owners.items() if owner == self._me})

    async def _look(self) -> tuple[dict[str, str], set[str]]:
        owners: dict[str, str] = {}
        alive: set[str] = set()
        connection = await self._connected()
        with self._answering(connection):
            for thing, owner in await (await connection.execute(_LOOK)).fetchall():
                if thing:
                    owners[thing] = owner
                else:
                    alive.add(owner)
        self._peers = frozenset(alive - {self._me})
        return owners, alive

    async def _take_share(self, owners: dict[str, str], alive: Collection[str]) -> None:
        """Take what is free up to our share; begin to let go what is above it."""
        share = -(-len(self.wanted) // max(1, len(alive)))
        mine = [thing for thing in self.wanted if owners.get(thing) == self._me]
        for thing in self.wanted:
            seen = owners.get(thing, "")
            if len(mine) >= share or seen in alive:
                continue
            if await self._do(_TAKE, thing, self._me, seen):
                owners[thing] = self._me
                mine.append(thing)
                log.info("taken over" if seen else "taken", thing=thing)
                await self._end_sessions(seen, alive)
        for thing in mine[share:]:
            if thing not in self._leaving:
                log.info("given up to another process", thing=thing)
                self._leaving.add(thing)

    async def _end_sessions(self, dead: str, alive: Collection[str]) -> None:
        """Have the server let go what a process that is gone, or cut off, still holds there."""
        name = dead.rpartition(":")[0]
        if name and name not in {peer.rpartition(":")[0] for peer in alive}:
            await self._do(_END_SESSIONS, session_name(name))

    def _settle(self, mine: Collection[str]) -> None:
        """Tell those who work what is ours by the table."""
        for thing, known in self._things.items():
            is_ours = thing in mine and thing not in self._leaving
            if is_ours and not known.ours.is_set() and not known.workers and self._is_certain():
                known.begin()
            elif not is_ours and known.ours.is_set():
                known.end(lost=thing not in mine)

    def _renewed(self, sent_at: float) -> None:
        """Count from before the question: the database counts from after it."""
        self._certain_until = sent_at + STOP_SECONDS
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(
            max(0.0, self._certain_until - monotonic()), self._lose_all
        )

    def _lose_all(self) -> None:
        self._certain_until = float("-inf")
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        lost = [thing for thing, known in self._things.items() if known.ours.is_set()]
        for known in self._things.values():
            if known.ours.is_set():
                known.end(lost=True)
            known.lost = True
        if lost:
            log.warning("not sure of these any more, so they are left alone", things=sorted(lost))

    # --- the connection --------------------------------------------------------------------------

    async def _do(self, statement: str, *values: object) -> int:
        """Run one statement; how many rows it changed."""
        connection = await self._connected()
        with self._answering(connection):
            return (await connection.execute(statement, values)).rowcount

    async def _connected(self) -> AsyncConnection[Any]:
        from psycopg import AsyncConnection

        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self.url.set(drivername="postgresql").render_as_string(hide_password=False),
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                options=f"-c statement_timeout={int(ANSWER_SECONDS * 1000)}",
                application_name="priem ownership",
            )
        return self._connection

    @contextmanager
    def _answering(self, connection: AsyncConnection[Any]) -> Iterator[None]:
        """Let the question fail when no answer comes: a cut line says nothing by itself for minutes.

        The socket is closed under it: a cancellation would first ask the server to cancel, over that line.
        """
        closing = asyncio.get_running_loop().call_later(ANSWER_SECONDS, _shut, connection)
        try:
            yield
        finally:
            closing.cancel()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close()


async def _run(work: Work) -> None:
    await work()


def _shut(connection: AsyncConnection[Any]) -> None:
    with suppress(OSError, ValueError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def open_ownership(url: str, wanted: Sequence[str], name: str) -> Ownership:
    """The ownership that suits the database; `name` tells the operator which process it is."""
    parsed = make_url(url)
    return SoleOwner() if parsed.get_backend_name() == "sqlite" else SharedOwner(parsed, wanted, name)


def at_work(url: str) -> tuple[str, ...]:
    """The processes at work on a PostgreSQL; on SQLite the lock file tells."""
    import psycopg

    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return ()
    dsn = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
        if connection.execute("select to_regclass('process')").fetchone() == (None,):
            return ()
        found = connection.execute("select owner from process where until > clock_timestamp() order by 1")
        return tuple(owner for (owner,) in found)


# --- one process on a SQLite file ------------------------------------------------------------------


class InUse(Exception):  # noqa: N818 - a sentence for the operator
    """Another process works on this SQLite file."""


@contextmanager
def sole_process(url: str, wait_seconds: float, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Be the only process on a SQLite file; nothing is asked of PostgreSQL. Raises InUse.

    `waiting` is called once when another one has it: it may be ending, as at an update.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    file = Path(parsed.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        ends_at, told = monotonic() + wait_seconds, False
        while not _locked(descriptor):
            if monotonic() >= ends_at:
                raise InUse(
                    f"Another priem works on {file}: stop it, or take PostgreSQL for several processes."
                )
            if not told:
                told = True
                waiting()
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Take the lock, which goes with the process whatever ends it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
