"""The copies of the running service: looks once a minute whether one is due, has it made, and alarms.

The work is done by a process of its own (`app.copying`), at low priority; it ends with the service.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlmodel import Session

from app.copying import Order, outcome_of, sweep_unfinished, to_line
from app.settings import Settings
from notifications.copying import CopyTrouble
from storage import copies
from storage.copies import CopyPlan, CopyState, Outcome, Places, Proved, Told
from storage.engine import Database
from storage.house import House

log = structlog.get_logger(__name__)

LONGEST_SECONDS = 12 * 3600.0


@dataclass(slots=True)
class Nightly:
    """Makes the copies that are due; one at a time."""

    settings: Settings
    database: Database
    house_now: Callable[[], House]
    now: Callable[[], datetime]
    _busy: bool = field(default=False, init=False)

    @property
    def plan(self) -> CopyPlan:
        """What the operator has settled."""
        return self.settings.backup.plan(self.house_now().calendar.zone)

    async def look(self) -> bool:
        """Make a copy if one is due, and tell whoever must know; True when there are letters about it."""
        if self._busy:
            return False
        plan, now = self.plan, self.now()
        found = await asyncio.to_thread(self._read)
        through = copies.due(found, plan, now)
        if through is not None:
            self._busy = True
            try:
                await self._make(found, through, now)
            finally:
                self._busy = False
            found = await asyncio.to_thread(self._read)
        return await self._alarm(found, plan) or through is not None

    def _read(self) -> CopyState:
        with self.database.read() as session:
            return copies.state(session)

    def _known(self) -> tuple[Mapping[str, Proved], Places | None]:
        with self.database.read() as session:
            return copies.proved(session), copies.places(session)

    async def _make(self, found: CopyState, through: str, now: datetime) -> None:
        number = await self.database.transact(lambda session: copies.begin(session, through, now))
        last_bytes = found.last_whole.size_bytes if found.last_whole else 0
        zone = str(self.house_now().calendar.zone)
        whole, places = await asyncio.to_thread(self._known)
        order = Order(self.settings.storage, self.settings.backup, zone, now, last_bytes, whole, places)
        outcome = await in_process_of_its_own(order)
        told = [each.what.value for each in outcome.troubles]
        log.log(30 if told else 20, "copied", file=outcome.file_name, whole=outcome.whole, troubles=told)

        def settle(session: Session) -> None:
            copies.settle(session, self.house_now(), number, outcome, self.now())

        await self.database.transact(settle)

    async def _alarm(self, found: CopyState, plan: CopyPlan) -> bool:
        now = self.now()
        if not found.troubles(plan, now):
            return False
        told = await self.database.transact(
            lambda session: copies.alarm(session, self.house_now(), plan, now)
        )
        return told > 0


async def in_process_of_its_own(order: Order) -> Outcome:
    """Carry the order out in another process, which is killed when this task is cancelled."""
    process = await asyncio.create_subprocess_exec(
        # -P: whatever lies in the working folder is not ours.
        sys.executable, "-P", "-m", "app.copying",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            process.stdin.write(to_line(order))
            # Left open until the answer is here: the process ends when it is closed.
            answer = await process.stdout.read()
            process.stdin.close()
            code = await process.wait()
        return outcome_of(answer)
    except TimeoutError:
        hours = LONGEST_SECONDS / 3600
        return Outcome(troubles=(Told(CopyTrouble.NOT_WRITTEN, f"It took more than {hours:g} hours."),))
    except ValueError:
        told = Told(CopyTrouble.NOT_WRITTEN, f"The process that makes the copy ended with {code}.")
        return Outcome(troubles=(told,))
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            sweep_unfinished(order.backup.folder)
