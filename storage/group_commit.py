"""Group commit: use cases that wait at the same moment share one transaction.

Nobody is answered before the commit. If a shared transaction fails, it is rolled back and its
members run one by one, so that one bad message harms nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from notifications.faults import place_of
from storage.engine import storage_is_down

Op = TypeVar("Op")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)

MAX_BATCH = 200


@dataclass(slots=True)
class GroupCommit(Generic[Op, Result]):
    """`apply` runs a batch in one transaction and returns after the commit with what it led to.

    `poisoned` is told of an operation that fails even alone for a reason of its own; it may keep it
    for a person and returns what stands for its result. When the database itself is down the error
    goes to whoever submitted the operation: nothing was kept, so nothing may be acknowledged.
    """

    apply: Callable[[Sequence[Op]], Awaitable[Result]]
    poisoned: Callable[[Op, Exception], Awaitable[Result]]
    _waiting: list[tuple[Sequence[Op], asyncio.Future[None]]] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    after: Callable[[Result], None] = lambda _result: None

    async def do(self, operations: Sequence[Op]) -> None:
        """Have these operations committed, in their order. Raises when they could not be kept."""
        if not operations:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((operations, done))
        self._arrived.set()
        await done

    async def drain(self, within_seconds: float) -> None:
        """Wait for all that was submitted before, also for what nobody waits for any more.

        Whether it could be kept is its submitters' business.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((), done))
        self._arrived.set()
        await asyncio.wait([done], timeout=within_seconds)
        if done.done():
            done.exception()

    async def run(self) -> None:
        """Serve until cancelled. What was taken before is finished first, so cancel this last."""
        try:
            while True:
                await self._arrived.wait()
                # One turn of the loop lets everybody who is ready now join the same commit.
                await asyncio.sleep(0)
                self._arrived.clear()
                while self._waiting:
                    await self._serve(self._take())
        finally:
            # Nobody will serve them: whoever waits must not wait for ever.
            for _operations, done in self._waiting:
                done.cancel()

    def _take(self) -> list[tuple[Sequence[Op], asyncio.Future[None]]]:
        count = 0
        for position, (operations, _done) in enumerate(self._waiting):
            count += len(operations)
            if count >= MAX_BATCH:
                taken, self._waiting = self._waiting[: position + 1], self._waiting[position + 1 :]
                return taken
        taken, self._waiting = self._waiting, []
        return taken

    async def _serve(self, members: list[tuple[Sequence[Op], asyncio.Future[None]]]) -> None:
        try:
            await self._commit(members)
        except asyncio.CancelledError:
            for _operations, done in members:
                done.cancel()
            raise

    async def _commit(self, members: list[tuple[Sequence[Op], asyncio.Future[None]]]) -> None:
        try:
            result = await self.apply([op for operations, _done in members for op in operations])
        except Exception as error:  # noqa: BLE001 - the intake boundary: see the class docstring
            await self._one_by_one(members, error)
            return
        self.after(result)
        for _operations, done in members:
            if not done.done():
                done.set_result(None)

    async def _one_by_one(
        self, members: list[tuple[Sequence[Op], asyncio.Future[None]]], error: Exception
    ) -> None:
        for operations, done in members:
            try:
                if storage_is_down(error):
                    raise error  # noqa: TRY301 - the same answer for everybody who waits
                for operation in operations:
                    self.after(await self._alone(operation))
            except Exception as failure:  # noqa: BLE001 - handed to whoever waits
                log.error("batch not kept", error=type(failure).__name__, members=len(members))  # noqa: TRY400
                if not done.done():
                    done.set_exception(failure)
            else:
                if not done.done():
                    done.set_result(None)

    async def _alone(self, operation: Op) -> Result:
        try:
            return await self.apply([operation])
        except Exception as error:
            if storage_is_down(error):
                raise
            log.error("message failed", error=type(error).__name__, place=place_of(error))  # noqa: TRY400
            return await self.poisoned(operation, error)
