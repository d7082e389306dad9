"""Watches whether the database keeps what it is given, and says when it does again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlmodel import Session

from storage import troubles
from storage.engine import Damaged, Database, storage_is_down
from storage.house import House
from storage.troubles import Cause, Trouble

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 5.0
_PROVED_EVERY = timedelta(minutes=1)
_CLOCK_IS_WRONG_SECONDS = 60
_MEGABYTE = 1_000_000


@dataclass(slots=True)
class StorageWatch:
    """Is told of failed transactions, and proves by writing that the trouble is over.

    A damaged database is not written to again: only a person can mend it.
    """

    now: Callable[[], datetime]
    clock_ahead_seconds: Callable[[], float]
    folders: Sequence[Path]
    """Where the database and the files lie; their disks must not be full."""
    warn_free_megabytes: int
    database_file: Path | None = None
    """Of SQLite; beside it the next start is told of damage."""
    trouble: Trouble | None = None
    _proved_at: datetime | None = None
    _free_megabytes: int | None = field(default=None, init=False)

    def before(self) -> None:
        """Raise Damaged when nothing may be written."""
        if self.trouble is not None and self.trouble.cause is Cause.DAMAGED:
            raise Damaged(troubles.WHAT_TO_DO[Cause.DAMAGED])

    def failed(self, error: Exception) -> None:
        """Nothing of a transaction was kept; an error of one message is none of ours."""
        if not storage_is_down(error):
            return
        cause = troubles.cause_of(error)
        if self.trouble is not None and self.trouble.cause in (cause, Cause.DAMAGED):
            return
        self.trouble = Trouble(cause, self.trouble.since if self.trouble else self.now())
        log.error("nothing can be kept", cause=cause.value, what=troubles.WHAT_TO_DO[cause])
        if cause is Cause.DAMAGED and self.database_file is not None:
            try:
                troubles.mark_damaged(self.database_file)
            except OSError as unmarked:
                log.error("damage could not be marked", error=type(unmarked).__name__)  # noqa: TRY400

    def attention(self) -> Iterator[str]:
        """What a person must do, in words."""
        if self.trouble is not None:
            since = self.trouble.since.isoformat(timespec="seconds")
            yield f"Nothing can be kept since {since}. {troubles.WHAT_TO_DO[self.trouble.cause]}"
            if self.trouble.cause is not Cause.DAMAGED:
                yield "No message is acknowledged meanwhile; all goes on by itself when the cause is gone."
        elif self._free_megabytes is not None and self._free_megabytes < self.warn_free_megabytes:
            yield f"Only {self._free_megabytes} MB are free on the disk: free some, or intake will stop."
        ahead = self.clock_ahead_seconds()
        if ahead > _CLOCK_IS_WRONG_SECONDS:
            yield (
                f"The clock of the machine was set back by {ahead:.0f} s or more: set it right. Until it "
                "catches up, time is stretched, so that nothing goes out of order."
            )

    async def look(self, database: Database, house: House) -> bool:
        """Look at the disk, and prove that writing works; True when there are letters about it."""
        if self.trouble is not None and self.trouble.cause is Cause.DAMAGED:
            return False
        now, trouble = self.now(), self.trouble
        free = self._free_megabytes = await asyncio.to_thread(self._least_free_megabytes)
        if trouble is None and self._proved_at is not None and now - self._proved_at < _PROVED_EVERY:
            return False
        try:
            if trouble is not None:
                told = await database.transact(lambda session: troubles.end(session, house, trouble, now))
            else:
                told = await database.transact(lambda session: self._prove(session, house, free, now))
        except Exception as error:
            if storage_is_down(error):
                return False  # `failed` was told
            raise
        if trouble is not None:
            self.trouble = None
            log.info("the database keeps again", cause=trouble.cause.value)
        self._proved_at = now
        return told

    def _prove(self, session: Session, house: House, free: int | None, now: datetime) -> bool:
        troubles.prove(session, now)
        if free is None or free >= self.warn_free_megabytes:
            return False
        return troubles.tell_of_little_space(session, house, free, now)

    def _least_free_megabytes(self) -> int | None:
        found = []
        for folder in self.folders:
            try:
                found.append(shutil.disk_usage(folder).free // _MEGABYTE)
            except OSError:
                continue
        return min(found, default=None)
