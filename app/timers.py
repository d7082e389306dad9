"""What the service does by the clock: one declaration per job.

APScheduler only ticks; what is due stands in rows, so a tick that was missed loses nothing. A job that
fails is told in the log and comes again at its next tick; the others do not notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from prometheus_client import Counter
from sqlmodel import Session

from app import clock
from app.last_word import LastWord
from app.monitor import Monitor
from app.nightly import Nightly
from app.storage_watch import LOOK_EVERY_SECONDS, StorageWatch
from forms.messages import OutgoingFile
from notifications.faults import place_of
from storage import duty_list, history_watch, outages, postoffice, reminders, retention, scanning
from storage.digests import send_digests
from storage.engine import Database
from storage.files import KeptFiles
from storage.live_house import LiveHouse
from storage.sweeps import sweep

log = structlog.get_logger(__name__)

MINUTE_SECONDS = 60.0
DAY_SECONDS = 24 * 3600.0
CLOCK_LOOKED_AT_SECONDS = 5.0
REFRESHED_SECONDS = 10.0
_CLOCK_MAY_MOVE = timedelta(seconds=1)
COPIES_AFTER_SECONDS = 45.0
"""How long after the start a night without a copy is made up for: first the clients."""
HOUR_SECONDS = 3600.0
WALK_AFTER_SECONDS = 300.0
FORGET_AFTER_SECONDS = 600.0
"""How long after the start what has been kept long enough is looked for: first the clients."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something done again and again: never twice at once, and one late tick stands for all missed."""

    name: str
    run: Callable[[], Awaitable[None]]
    every_seconds: float = MINUTE_SECONDS
    first_after_seconds: float = 0.0
    at_once: int = 1
    """How often it may run at the same time; more than once only if it looks itself who else runs."""
    everywhere: bool = False
    """Whether each process does it for itself; else only one of them all does it."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What jobs work with."""

    database: Database
    house: LiveHouse
    store: KeptFiles
    monitor: Monitor
    retention: retention.Retention
    now: Callable[[], datetime]
    wake_delivery: Callable[[], None]
    gate: scanning.Gate | None
    up_since: datetime
    duty_list: duty_list.Plan | None
    forgetting: Mapping[str, timedelta]
    """The messengers that drop a press which was not fetched for so long."""
    storage: StorageWatch
    last_word: LastWord
    copies: Nightly
    secret_key: str = field(repr=False)
    """Seals the history between two walks."""


def jobs(bench: Bench) -> tuple[Job, ...]:
    """Every job of the service."""
    return (
        Job("what was settled", partial(_refresh, bench), REFRESHED_SECONDS, everywhere=True),
        Job("what is due", partial(_look_what_is_due, bench)),
        Job("what is pressing", partial(_remind, bench)),
        Job("messengers", partial(_look_at_messengers, bench), everywhere=True),
        Job("outages", partial(_note_outages, bench)),
        Job("list of the day", partial(_make_duty_list, bench)),
        Job("summaries", partial(_summarize, bench)),
        Job("virus scans", partial(_scan, bench)),
        Job("storage", partial(_look_at_storage, bench), LOOK_EVERY_SECONDS, everywhere=True),
        Job("last word", partial(_say_last_word, bench), LOOK_EVERY_SECONDS, everywhere=True),
        Job("copies", partial(_copy, bench), MINUTE_SECONDS, COPIES_AFTER_SECONDS, at_once=2),
        Job("what was lent", partial(_sweep_lent, bench), HOUR_SECONDS, HOUR_SECONDS, everywhere=True),
        Job("history", partial(_walk_history, bench), HOUR_SECONDS, WALK_AFTER_SECONDS),
        Job("retention", partial(_forget, bench), DAY_SECONDS, FORGET_AFTER_SECONDS),
    )


async def _sweep_lent(bench: Bench) -> None:
    """Clear this machine of files that lie elsewhere, and of what an interrupted process left."""
    await asyncio.to_thread(bench.store.sweep_temporary, HOUR_SECONDS, bench.now())


async def _look_at_messengers(bench: Bench) -> None:
    await bench.monitor.look()
    if returned := bench.monitor.returned():
        now = bench.now()
        await bench.database.transact(lambda session: postoffice.hurry(session, returned, now))
        bench.wake_delivery()


async def _look_what_is_due(bench: Bench) -> None:
    now = bench.now()
    quiet = bench.monitor.unreachable()
    swept = await bench.database.transact(
        lambda session: sweep(session, bench.house(), now, quiet, up_since=bench.up_since)
    )
    bench.monitor.swept(now)
    if swept.anything:
        bench.wake_delivery()


async def _remind(bench: Bench) -> None:
    now = bench.now()
    if await bench.database.transact(lambda session: reminders.remind(session, bench.house(), now)):
        bench.wake_delivery()


async def _refresh(bench: Bench) -> None:
    # Another process may have taken what the director settled.
    await asyncio.to_thread(bench.house.refresh)


async def _summarize(bench: Bench) -> None:
    now = bench.now()
    if await bench.database.transact(lambda session: send_digests(session, bench.house(), now)):
        bench.wake_delivery()


async def _look_at_storage(bench: Bench) -> None:
    if await bench.storage.look(bench.database, bench.house()):
        bench.wake_delivery()


async def _say_last_word(bench: Bench) -> None:
    await bench.last_word.look(bench.database, bench.house(), bench.storage.trouble, bench.now())


async def _copy(bench: Bench) -> None:
    if await bench.copies.look():
        bench.wake_delivery()


async def _forget(bench: Bench) -> None:
    zone = bench.house().calendar.zone
    done = await asyncio.to_thread(
        retention.sweep, bench.database, bench.store, bench.retention, zone, bench.now()
    )
    if done.anything:
        log.info("kept no longer", **asdict(done))


async def _walk_history(bench: Bench) -> None:
    now = bench.now()
    if not await asyncio.to_thread(_walk_is_due, bench.database, now):
        return
    found = await asyncio.to_thread(history_watch.walk, bench.database, now, bench.secret_key)
    if not found.whole:
        log.error(
            "the history is broken", row=found.broken_at, cut_off=found.cut_off, rewritten=found.rewritten
        )
    elif found.unsealed:
        log.warning("the history had no seal to be compared with", rows=found.rows)
    if await bench.database.transact(
        lambda session: history_watch.settle(session, bench.house(), found, now)
    ):
        bench.wake_delivery()


async def _scan(bench: Bench) -> None:
    if bench.gate is not None:
        await asyncio.to_thread(scanning.look_again, bench.gate)
    now = bench.now()
    if await bench.database.transact(lambda session: scanning.tell(session, bench.house(), now)):
        bench.wake_delivery()


async def _make_duty_list(bench: Bench) -> None:
    plan, house, now = bench.duty_list, bench.house(), bench.now()
    day = duty_list.is_due(plan, house, now) if plan else None
    if plan is None or day is None:
        return

    def made() -> tuple[duty_list.DutyList, tuple[str, ...], tuple[OutgoingFile, ...]] | None:
        writes = plan.folder is not None and not duty_list.is_written(plan.folder, day)
        with bench.database.read() as session:
            emails = duty_list.unsent(session, plan, day) if house.email_channel else ()
            if not writes and not emails:
                return None
            found = duty_list.gather(session, house, now)
        return found, emails, duty_list.keep(bench.store, day, found) if emails else ()

    if (done := await asyncio.to_thread(made)) is None:
        return
    found, emails, files = done
    if emails:
        await bench.database.transact(lambda session: duty_list.send(session, house, day, emails, files, now))
        bench.wake_delivery()
    if plan.folder is not None:
        await asyncio.to_thread(duty_list.write, plan.folder, day, found)


def _walk_is_due(database: Database, now: datetime) -> bool:
    with database.read() as session:
        return history_watch.is_due(history_watch.last_walk(session), now)


async def _note_outages(bench: Bench) -> None:
    now, house = bench.now(), bench.house()
    silent, answering = bench.monitor.silent(), bench.monitor.answering()

    def note(session: Session) -> bool:
        told = outages.beat(session, house, now)
        told |= outages.follow(session, house, now, silent, answering)
        return outages.ask_again(session, house, now, bench.forgetting) or told

    if await bench.database.transact(note):
        bench.wake_delivery()


@asynccontextmanager
async def ticking(declared: Sequence[Job], failed: Counter) -> AsyncIterator[None]:
    """Run the jobs as long as the block lasts; `failed` counts those that fail, by their names."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    # The scheduler asks the machine's clock itself, not the service's steady one.
    now = clock.now
    for job in declared:
        scheduler.add_job(
            _come_what_may, "interval", args=[job, failed], seconds=job.every_seconds,
            next_run_time=now() + timedelta(seconds=job.first_after_seconds),
            coalesce=True, max_instances=job.at_once, misfire_grace_time=None,
        )  # fmt: skip
    scheduler.start()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow_clock(scheduler), name="follow the clock")
        try:
            yield
        finally:
            following.cancel()
            scheduler.shutdown(wait=False)


async def _follow_clock(scheduler: AsyncIOScheduler) -> None:
    """When the machine's clock goes back, move the next ticks with it, or nothing would tick till then."""
    elapsed = asyncio.get_running_loop().time
    wall, tick = clock.now(), elapsed()
    while True:
        await asyncio.sleep(CLOCK_LOOKED_AT_SECONDS)
        moved = clock.now() - wall - timedelta(seconds=elapsed() - tick)
        wall, tick = clock.now(), elapsed()
        if moved < -_CLOCK_MAY_MOVE:
            log.warning("the clock of the machine went back", seconds=round(-moved.total_seconds()))
            for job in scheduler.get_jobs():
                job.modify(next_run_time=job.next_run_time + moved)


async def _come_what_may(job: Job, failed: Counter) -> None:
    try:
        await job.run()
    except asyncio.CancelledError:
        # Only the scheduler's end does this, and the scheduler itself would tell it as a failure.
        log.info("job broken off", job=job.name)
    except Exception as error:  # noqa: BLE001 - the next tick looks again
        failed.labels(job.name).inc()
        log.error("job failed", job=job.name, error=type(error).__name__, place=place_of(error))  # noqa: TRY400
