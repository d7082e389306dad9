"""The whole service in one TaskGroup: messengers, intake, deliveries, timers, and the one port.

Stopping goes against the stream: first nothing new comes in, then what is under way is finished and
kept, and the group commit ends last.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
from sqlalchemy.engine import make_url

from admin.doors import PanelDoors
from admin.panel import create_panel
from app import clock
from app.last_word import LastWord
from app.monitor import Monitor
from app.nightly import Nightly
from app.senders import Senders
from app.server import Reports, calendar_route, create_app, make_server
from app.settings import Settings, channel_kinds
from app.storage_watch import StorageWatch
from app.timers import Bench, Job, jobs, ticking
from bots.base import MAX_FILE_BYTES, Channel, Cursor, Doors, Lent, Misconfigured, Shown
from bots.checked import Checked
from bots.fetching import Fetcher
from bots.intake import Applied, Arrival, Intake, Op
from bots.pace import ChatPace
from forms.messages import Inbound, OutgoingFile
from forms.texts import Text
from notifications.faults import place_of
from notifications.texts import Catalogue
from storage import calendars, chat_log, outages, retention, troubles
from storage.bells import EVERYTHING, HOUSE, LETTERS, PAGES, Bells
from storage.engine import Database, open_database
from storage.files import FileLinks, KeptFiles
from storage.group_commit import GroupCommit
from storage.house import House, WayIn
from storage.live_house import LiveHouse
from storage.ownership import TIMERS, Ownership, channel_thing, open_ownership
from storage.scanning import Clamd, Gate, withheld
from storage.work import get_setting

log = structlog.get_logger(__name__)

RESTART_PAUSES_SECONDS = (1.0, 5.0, 30.0)
FILE_LINK_SECONDS = 14 * 24 * 3600
STOP_SECONDS = 15.0
HALF_WRITTEN_SECONDS = 3600.0
"""A file that another process may still be writing is younger."""


def house_of(
    settings: Settings,
    catalogue: Catalogue,
    ways_in: Callable[[], Sequence[WayIn]] = tuple,
    ways_in_for_staff: Callable[[], Sequence[WayIn]] = tuple,
) -> House:
    """What the firm has settled, for the use cases."""
    firm, consent, kinds = settings.firm, settings.consent, channel_kinds()
    return House(
        calendar=firm.calendar(),
        say=catalogue.say,
        firm_name=firm.name,
        firm_phone=firm.phone,
        consent_version=consent.version,
        consent_text=consent.text,
        consent_url=consent.url,
        accept_within_minutes=firm.accept_within_minutes,
        look_within_minutes=firm.look_within_minutes,
        remind_before_minutes=firm.remind_before_minutes,
        answer_within_minutes=firm.answer_within_minutes,
        close_after_working_days=firm.close_after_working_days,
        failover_after_minutes=firm.failover_after_minutes,
        silent_after_hours=firm.silent_after_hours,
        channel_titles={name: catalogue.say(kind.title) for name, kind in kinds.items()},
        switched_on=frozenset(settings.bots),
        email_channel=next((name for name in settings.bots if kinds[name].by_email), ""),
        ways_in=ways_in,
        ways_in_for_staff=ways_in_for_staff,
    )


def ways_in(
    settings: Settings, say: Callable[[Text], str], links: Mapping[str, str], profile: str = ""
) -> dict[str, WayIn]:
    """Where a one-time code opens a chat. `links` are what messengers say themselves.

    In our own pages staff keep a session (`profile`) apart from a client's; by e-mail they do not come in
    at all: a sender can be forged.
    """
    kinds = channel_kinds()
    return {
        name: WayIn(
            say(kinds[name].title),
            f"{settings.server.public_url}{kinds[name].own_page}{profile}?code={{code}}"
            if kinds[name].own_page
            else links.get(name, ""),
        )
        for name in settings.bots
        if not (profile and kinds[name].by_email)
    }


@dataclass(frozen=True, slots=True)
class _ChatLog:
    """The web chat's memory."""

    database: Database
    consent_version: Callable[[], str]

    async def latest(self, chat_key: str, limit: int, before: int | None = None) -> Sequence[chat_log.Logged]:
        def read() -> Sequence[chat_log.Logged]:
            with self.database.read() as session:
                return chat_log.latest(session, "webchat", chat_key, limit, before)

        return await asyncio.to_thread(read)

    async def may_keep(self, chat_key: str) -> bool:
        def read() -> bool:
            with self.database.read() as session:
                return chat_log.may_keep(session, "webchat", chat_key, self.consent_version())

        return await asyncio.to_thread(read)


@dataclass(slots=True)
class Service:
    """Everything put together; `open_service` makes it and `run` runs it until `stop` is set."""

    settings: Settings
    database: Database
    live_house: LiveHouse
    store: KeptFiles
    file_links: FileLinks
    links: dict[str, str]
    """Where each messenger says that its chat is opened; filled by the monitor."""
    channels: Mapping[str, Channel]
    owner: str
    now: Callable[[], datetime]
    port: socket.socket
    """Listens already; whoever opened it closes it."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ready: Callable[[], None] = lambda: None
    """Called once the port is open."""
    storage: StorageWatch = field(kw_only=True)

    @property
    def house(self) -> House:
        """What the firm has settled by now."""
        return self.live_house()

    async def run(self) -> None:
        """Serve until `stop`."""
        await asyncio.to_thread(self.live_house.refresh)
        # Before the first message: whoever wrote meanwhile is told.
        await self.database.transact(
            lambda session: outages.beat(session, self.house, self.now(), starting=True)
        )
        ownership = open_ownership(
            self.settings.storage.url, [TIMERS, *map(channel_thing, self.channels)], self.owner
        )
        async with asyncio.TaskGroup() as sharing:
            await self._share(ownership, sharing)
        await self.database.close()

    async def _share(self, ownership: Ownership, sharing: asyncio.TaskGroup) -> None:
        """Serve until `stop`, doing what is ours among the processes on this database."""
        floor = _Floor(self, ownership, sharing)
        monitor, commit = floor.monitor, floor.commit
        owning = [sharing.create_task(ownership.run(floor.peer_gone), name="own")]
        if not self.database.is_sqlite:
            owning.append(sharing.create_task(floor.bells.run(), name="bells"))
        async with asyncio.TaskGroup() as tasks:
            committing = tasks.create_task(commit.run(), name="commit")
            delivering = tasks.create_task(floor.senders.run(), name="deliver")
            fetching = tasks.create_task(floor.fetcher.run(), name="fetch")
            doors = {name: self._doors(channel, floor, tasks) for name, channel in self.channels.items()}
            inward = [
                tasks.create_task(self._receive_here(channel, doors[name], ownership), name=f"receive {name}")
                for name, channel in self.channels.items()
            ]
            timing = tasks.create_task(ownership.keep(TIMERS, lambda: self._tick(floor)), name="timers")
            everywhere = [job for job in self._jobs(floor) if job.everywhere]
            async with ticking(everywhere, monitor.meters.failed_jobs), self._serving(tasks, doors, floor):
                await self.stop.wait()
                log.info("stopping")
            for task in (*inward, fetching, timing):
                await _ended(task)
            # A batch that was under way has letters, which delivery must get while it still listens.
            await commit.drain(STOP_SECONDS)
            for task in (delivering, committing):
                await _ended(task)
        if not ownership.has_peers:
            await self.database.transact(lambda session: outages.stop(session, self.now()))
        for task in owning:
            await _ended(task)
        await ownership.leave()
        for channel in self.channels.values():
            await channel.close()

    async def _tick(self, floor: _Floor) -> None:
        """Do what is done by the clock by one process for all."""
        try:
            ours = [job for job in self._jobs(floor) if not job.everywhere]
            async with ticking(ours, floor.monitor.meters.failed_jobs):
                await asyncio.Event().wait()
        finally:
            floor.monitor.swept(None)

    def checked(self) -> Mapping[str, Channel | Checked]:
        """The messengers as delivery gets them."""
        return {name: Checked(channel, self.database, self._say) for name, channel in self.channels.items()}

    def _say(self, text: Text) -> str:
        """Say it in the words of the moment: the firm may change its own."""
        return self.house.say(text)

    @property
    def gate(self) -> Gate | None:
        """What looks at every file that comes; None where no scanner is set up."""
        scan = self.settings.scan
        if scan is None:
            return None
        scanner = Clamd(scan.clamd, scan.timeout_seconds)
        return Gate(scanner, self.store, self.database, self.now, holds=scan.when_down == "hold")

    def _is_withheld(self, sha256: str) -> bool:
        with self.database.read() as session:
            return bool(withheld(session, [sha256]))

    def _doors(
        self,
        channel: Channel,
        floor: _Floor,
        tasks: asyncio.TaskGroup,
    ) -> Doors:
        async def accept(inbounds: Sequence[Inbound], cursor: Cursor | None) -> None:
            if cursor is not None and not floor.ownership.holds(channel_thing(channel.name)):
                raise NotOurs
            arrivals = [floor.arrival(inbound) for inbound in inbounds]
            operations: list[Op] = [*arrivals, cursor] if cursor else [*arrivals]
            try:
                with floor.monitor.meters.keeping(channel.name, len(inbounds)):
                    await floor.commit.do(operations)
            except Exception:
                floor.not_kept(arrivals)
                raise
            for inbound in inbounds:
                if inbound.acknowledge is not None and not self.stop.is_set():
                    tasks.create_task(_acknowledge(channel, inbound))
                if isinstance(channel, Shown):
                    floor.bells.ring(f"{PAGES}{inbound.chat_key}")

        return Doors(
            accept=accept,
            public_url=self.settings.server.public_url,
            now=self.now,
            refused=lambda reason: floor.monitor.refused(channel.name, reason),
        )

    async def _receive_here(self, channel: Channel, doors: Doors, ownership: Ownership) -> None:
        """Run one messenger where it is ours; one that is shown by our own server runs in every process."""
        if isinstance(channel, Shown):
            await self._receive(channel, doors)
        else:
            await ownership.keep(channel_thing(channel.name), lambda: self._receive(channel, doors))

    async def _receive(self, channel: Channel, doors: Doors) -> None:
        """Keep one messenger running whatever happens to it; the others do not notice."""
        failures = 0
        key = f"cursor:{channel.name}"
        while True:
            started = monotonic()
            try:
                # Read each time: another process may have moved it meanwhile.
                cursor = await self.database.transact(lambda session: get_setting(session, key))
                await channel.receive(replace(doors, cursor=cursor))
            except Misconfigured as error:
                log.error("messenger is not set up right", channel=channel.name, what=str(error))  # noqa: TRY400
            except Exception as error:  # noqa: BLE001 - the channel runner: the others go on
                log.error("messenger failed", channel=channel.name, **_told(error))  # noqa: TRY400
            failures = 1 if monotonic() - started > RESTART_PAUSES_SECONDS[-1] else failures + 1
            await asyncio.sleep(RESTART_PAUSES_SECONDS[min(failures, len(RESTART_PAUSES_SECONDS)) - 1])

    @property
    def _nightly(self) -> Nightly:
        return Nightly(self.settings, self.database, self.live_house, self.now)

    def _jobs(self, floor: _Floor) -> Sequence[Job]:
        return jobs(
            Bench(
                database=self.database,
                house=self.live_house,
                store=self.store,
                monitor=floor.monitor,
                retention=retention.Retention(**self.settings.retention.model_dump()),
                now=self.now,
                wake_delivery=floor.wake,
                gate=self.gate,
                up_since=self.now(),
                duty_list=self.settings.duty_list.plan(),
                forgetting={
                    name: timedelta(seconds=kind.press_kept_seconds)
                    for name, kind in channel_kinds().items()
                    if name in self.channels and kind.press_kept_seconds
                },
                storage=self.storage,
                last_word=floor.last_word,
                copies=self._nightly,
                secret_key=self.settings.server.secret_key.get_secret_value(),
            )
        )

    @asynccontextmanager
    async def _serving(
        self,
        tasks: asyncio.TaskGroup,
        doors: Mapping[str, Doors],
        floor: _Floor,
    ) -> AsyncIterator[None]:
        loop, monitor = asyncio.get_running_loop(), floor.monitor

        def wake() -> None:
            loop.call_soon_threadsafe(floor.wake)

        def settled() -> None:
            self.live_house.refresh()
            loop.call_soon_threadsafe(floor.bells.ring, HOUSE)

        panel = create_panel(
            PanelDoors(
                database=self.database,
                house_now=self.live_house,
                filed=self.live_house.filed,
                settled=settled,
                language=self.settings.firm.language,
                secret_key=self.settings.server.secret_key.get_secret_value(),
                public_url=self.settings.server.public_url,
                now=self.now,
                wake=wake,
                files=self.store,
                ways_in_for_staff=self._ways_in_for_staff,
                messengers=monitor.messengers,
                copies=self._nightly.plan,
                gate=self.gate,
                require_second_factor=self.settings.server.require_second_factor,
                session_idle_hours=self.settings.server.session_idle_hours,
            )
        )
        routes = [route for name, channel in self.channels.items() for route in channel.routes(doors[name])]
        application = create_app(
            [*routes, calendar_route(self._calendar)],
            panel,
            Reports(monitor.health, monitor.metrics),
            self.file_links,
            self.store,
            self.now,
            self._is_withheld,
        )
        server = make_server(application, self.settings.server.trusted_proxies)
        serving = tasks.create_task(server.serve([self.port]), name="serve")
        announcing = tasks.create_task(self._announce(server), name="announce")
        try:
            yield
        finally:
            announcing.cancel()
            server.should_exit = True
            await asyncio.wait([serving], timeout=STOP_SECONDS)

    def _calendar(self, token: str) -> calendars.Feed | None:
        with self.database.read() as session:
            return calendars.feed(session, self.house, token, self.settings.server.public_url, self.now())

    def _ways_in_for_staff(self) -> Sequence[WayIn]:
        return tuple(ways_in(self.settings, self.house.say, self.links, "/staff").values())

    async def _announce(self, server: Any) -> None:
        # uvicorn tells only by this attribute that the port is open.
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        log.info("started", address=self.settings.server.public_url, messengers=sorted(self.channels))
        # The libraries stay for ever: searching them for garbage would stop everybody each time.
        gc.collect()
        gc.freeze()
        self.ready()


@dataclass(slots=True)
class _Floor:
    """What works together while the service runs, and what the other processes have to be told."""

    service: Service
    ownership: Ownership
    tasks: asyncio.TaskGroup
    commit: GroupCommit[Op, Applied] = field(init=False)
    bells: Bells = field(init=False)
    senders: Senders = field(init=False)
    fetcher: Fetcher = field(init=False)
    monitor: Monitor = field(init=False)
    last_word: LastWord = field(init=False)
    pace: ChatPace = field(default_factory=ChatPace)

    def __post_init__(self) -> None:
        house = self.service
        intake = Intake(house.database, house.live_house, house.now, house.owner, self._sends)
        self.commit = GroupCommit(intake.apply, intake.poisoned, after=self._after)
        self.bells = Bells(house.database.url, self._heard, lambda: self.ownership.has_peers)
        self.senders = Senders(
            house.checked(),
            house.database,
            house.owner,
            house.now,
            self.commit.do,
            self.ownership,
            self._shown,
        )
        self.fetcher = Fetcher(
            house.database, house.channels, house.store, self.commit.do, house.gate,
            is_elsewhere=self.ownership.is_peer,
        )  # fmt: skip
        self.monitor = Monitor(house.database, house.channels, house.live_house, house.now, house.links)
        self.monitor.more_attention = house.storage.attention
        self.monitor.copy_plan = house._nightly.plan
        self.last_word = LastWord(house.channels, lambda: self.ownership.holds(TIMERS))

    def wake(self) -> None:
        """There are new letters: for our senders, or for those of another process."""
        self.senders.wake()
        self.bells.ring(LETTERS)

    def arrival(self, inbound: Inbound) -> Arrival:
        """A message with the pace of its chat."""
        now = self.service.now()
        pace = self.pace.of(inbound, now)
        return Arrival(inbound, pace, self.pace.tells(inbound, pace, now))

    def not_kept(self, arrivals: Sequence[Arrival]) -> None:
        """These messages come again, and only then they count."""
        now = self.service.now()
        for each in arrivals:
            self.pace.not_kept(each.inbound, each.pace, now, tells=each.tells)

    def peer_gone(self) -> None:
        """What it was fetching is nobody's now."""
        self.tasks.create_task(_tried(self.fetcher.look_again), name="fetch what is left over")

    def _sends(self, channel: str) -> bool:
        return self.senders.sends(channel)

    def _after(self, applied: Applied) -> None:
        self.senders.hand_over(applied.letters)
        if applied.wakes_delivery:
            self.wake()
        if applied.chats_to_fetch:
            self.fetcher.want(applied.chats_to_fetch)

    def _shown(self, channel: str, chat_key: str) -> None:
        if isinstance(self.service.channels[channel], Shown):
            self.bells.ring(f"{PAGES}{chat_key}")

    def _heard(self, word: str) -> None:
        """What another process rang."""
        if word in (LETTERS, EVERYTHING):
            self.senders.wake()
        if word in (HOUSE, EVERYTHING):
            refresh = self.service.live_house.refresh
            self.tasks.create_task(_tried(lambda: asyncio.to_thread(refresh)), name="refresh")
        if word.startswith(PAGES):
            for channel in self.service.channels.values():
                if isinstance(channel, Shown):
                    channel.look_again(word.removeprefix(PAGES))


class NotOurs(Exception):  # noqa: N818 - the name says what happened
    """Another process asks this messenger now: what we were given is given to it too."""


async def _tried(work: Callable[[], Awaitable[object]]) -> None:
    """Do what a later look does again if it fails."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("not done this time", **_told(error))


async def _acknowledge(channel: Channel, inbound: Inbound) -> None:
    """Stop a button's spinner; whatever goes wrong with it is not worth more than a line in the log."""
    try:
        await channel.acknowledge_button(inbound)
    except Exception as error:  # noqa: BLE001 - a spinner must not end the service
        log.warning("press not acknowledged", channel=channel.name, **_told(error))


def _told(error: Exception) -> dict[str, str]:
    return {"error": type(error).__name__, "place": place_of(error)}


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=STOP_SECONDS)


def open_service(
    settings: Settings, port: socket.socket, wall: Callable[[], datetime] = clock.now
) -> Service:
    """Put the house together behind a listening port. The database must be migrated already."""
    catalogue = Catalogue.open(settings.firm.language)
    links: dict[str, str] = {}
    now = clock.SteadyClock(wall, monotonic)
    storage = _watch_of(settings, now)
    owner = f"{socket.gethostname()[:12]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    database = open_database(settings.storage.url, storage, owner)
    with database.read() as session:
        if (latest := troubles.latest_moment(session)) is not None:
            now.not_before(latest)

    def built(spoken: Catalogue) -> House:
        return house_of(
            settings,
            spoken,
            lambda: tuple(ways_in(settings, spoken.say, links).values()),
            lambda: tuple(ways_in(settings, spoken.say, links, "/staff").values()),
        )

    house = LiveHouse(database, catalogue, built, now)
    # The holidays of the year take a third of a second to read: before the first client, not during.
    house().calendar.next_opening(now())
    store = settings.storage.open_files(MAX_FILE_BYTES)
    store.sweep_temporary(HALF_WRITTEN_SECONDS, now())
    secret_key = settings.server.secret_key.get_secret_value()
    file_links = FileLinks(secret_key, settings.server.public_url)
    lent = lent_to_channels(settings, database, store, lambda text: house().say(text), now, house)
    kinds = channel_kinds()
    channels = {name: kinds[name].open(section, lent) for name, section in settings.bots.items()}
    return Service(
        settings, database, house, store, file_links, links, channels, owner, now, port, storage=storage
    )


def _watch_of(settings: Settings, now: clock.SteadyClock) -> StorageWatch:
    database = make_url(settings.storage.url)
    file = Path(str(database.database)) if database.get_backend_name() == "sqlite" else None
    places = (file.parent if file else None, settings.storage.files)
    return StorageWatch(
        now,
        now.ahead_seconds,
        [place for place in places if isinstance(place, Path)],
        settings.storage.warn_free_megabytes,
        file,
    )


def lent_to_channels(
    settings: Settings,
    database: Database,
    store: KeptFiles,
    say: Callable[[Text], str],
    now: Callable[[], datetime],
    house: Callable[[], House] | None = None,
) -> Lent:
    """What every messenger gets when it is opened; without `house`, consent is as the file has it."""
    secret_key = settings.server.secret_key.get_secret_value()
    links = FileLinks(secret_key, settings.server.public_url)

    def file_link(file: OutgoingFile) -> str:
        return links.make(file.sha256, file.name, now(), FILE_LINK_SECONDS)

    return Lent(
        files=store,
        log=_ChatLog(database, lambda: house().consent_version if house else settings.consent.version),
        file_link=file_link,
        render=say,
        uploads=settings.storage.folder / "uploads",
        secret_key=secret_key,
        firm=settings.firm.name,
        language=settings.firm.language,
        public_url=settings.server.public_url,
        file_links_last=timedelta(seconds=FILE_LINK_SECONDS),
    )


async def run_service(
    settings: Settings, port: socket.socket, ready: Callable[[], None] = lambda: None
) -> None:
    """Run until SIGTERM or Ctrl+C; then everything under way is finished and kept."""
    service = open_service(settings, port)
    service.ready = ready
    with _stopped_by_signals(service.stop):
        await service.run()


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Any:
    loop = asyncio.get_running_loop()
    handled = (signal.SIGTERM, signal.SIGINT)
    for number in handled:
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows has no such handlers in its event loop
            signal.signal(number, lambda *_args: loop.call_soon_threadsafe(stop.set))
    try:
        yield
    finally:
        for number in handled:
            try:
                loop.remove_signal_handler(number)
            except NotImplementedError:
                signal.signal(number, signal.SIG_DFL)
