"""Fetching the files of messages that were already kept: one chat at a time, chats side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from bots.albums import Messages
from bots.base import Channel, FileRefused, FileUnavailable
from bots.intake import FETCHER, Fetched, Transactions, inbound_from_json
from forms.fields import ReceivedFile
from forms.messages import FileRole, Inbound, IncomingFile
from forms.texts import _
from notifications.faults import place_of
from storage import work
from storage.engine import storage_is_down
from storage.files import KeptFile, KeptFiles

log = structlog.get_logger(__name__)

ATTEMPTS_PAUSES_SECONDS = (1.0, 3.0, 10.0)
FETCH_TIMEOUT_SECONDS = 120.0
CHATS_AT_ONCE = 8
MESSAGES_AT_ONCE = 30

Waiting = tuple[int, int, dict[str, Any]]
"""The number of a kept event, its chat, its payload."""


@dataclass(slots=True)
class Fetcher:
    """Fetches what waits and hands the complete messages to `deliver`, in the order of each chat."""

    database: Transactions
    channels: Mapping[str, Channel]
    store: KeptFiles
    deliver: Callable[[Sequence[Fetched]], Awaitable[None]]
    gate: Callable[[KeptFile], KeptFile] | None = None
    """What looks at a kept file before anybody may see it; called in a thread."""
    is_elsewhere: Callable[[str], bool] = lambda _process: False
    """Whether that is another process, still at work: what it fetches is left to it."""
    _wanted: set[int] = field(default_factory=set)
    _busy: set[int] = field(default_factory=set)
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def want(self, chat_ids: set[int]) -> None:
        """These chats have messages that wait for their files. Call it in the event loop."""
        self._wanted |= chat_ids
        self._bell.set()

    async def run(self) -> None:
        """Serve until cancelled; what was left over from before a restart comes first."""
        await self._take_up()
        slots = asyncio.Semaphore(CHATS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._bell.wait()
                self._bell.clear()
                for chat_id in self._wanted - self._busy:
                    self._wanted.discard(chat_id)
                    self._busy.add(chat_id)
                    tasks.create_task(self._serve(chat_id, slots))

    async def look_again(self) -> None:
        """Take up what nobody fetches: its process is gone."""
        left_over = await self.database.transact(work.waiting_events)
        self.want({chat_id for _event_id, chat_id, _payload in left_over})

    async def _take_up(self) -> None:
        """What is left over from before the start; a database that is down is waited for."""
        while True:
            try:
                return await self.look_again()
            except Exception as error:
                if not storage_is_down(error):
                    raise
                await asyncio.sleep(ATTEMPTS_PAUSES_SECONDS[-1])

    async def _serve(self, chat_id: int, slots: asyncio.Semaphore) -> None:
        try:
            async with slots:
                while (waiting := await self._waiting(chat_id)) and not self._is_left_to_another(waiting):
                    messages = await self._with_rest_of_album(chat_id, await self._complete(waiting))
                    if messages:
                        await self.deliver([Fetched(chat_id, messages)])
        except Exception as error:  # noqa: BLE001 - the database or the disk is down; the rows still wait
            log.error("files not fetched", error=type(error).__name__, place=place_of(error))  # noqa: TRY400
            await asyncio.sleep(ATTEMPTS_PAUSES_SECONDS[-1])
            self._wanted.add(chat_id)
        finally:
            self._busy.discard(chat_id)
            self._bell.set()

    def _is_left_to_another(self, waiting: Sequence[Waiting]) -> bool:
        """Who fetches the first of a chat goes on with all that comes behind it."""
        return self.is_elsewhere(str(waiting[0][2].get(FETCHER, "")))

    async def _complete(self, waiting: Sequence[Waiting]) -> Messages:
        """Fetch the files of these messages."""
        messages = []
        for event_id, _chat_id, payload in waiting:
            inbound = await self._read(event_id, payload)
            if inbound is not None:
                files = [await self._fetch(inbound, file) for file in inbound.files]
                messages.append((event_id, inbound, tuple(files)))
        return tuple(messages)

    async def _with_rest_of_album(self, chat_id: int, messages: Messages) -> Messages:
        """Add the parts of the last album that came while its first ones were fetched."""
        while messages and messages[-1][1].group_id and len(messages) < MESSAGES_AT_ONCE:
            known = {event_id for event_id, _inbound, _files in messages}
            arrived = [row for row in await self._waiting(chat_id) if row[0] not in known]
            rest = _of_album(messages[-1][1].group_id, arrived)
            if not rest:
                break
            messages += await self._complete(rest)
        return messages

    async def _read(self, event_id: int, payload: dict[str, Any]) -> Inbound | None:
        """The kept message; one of an older program that cannot be read any more is given up."""
        try:
            return inbound_from_json(payload)
        except (KeyError, TypeError, ValueError) as error:
            log.error("kept message unreadable", event=event_id, error=type(error).__name__)  # noqa: TRY400
            give_up = partial(work.give_up_waiting, event_ids=[event_id])
            await self.database.transact(give_up)
            return None

    async def _waiting(self, chat_id: int) -> list[Waiting]:
        return await self.database.transact(lambda session: work.waiting_events(session, chat_id))

    async def _fetch(self, inbound: Inbound, file: IncomingFile) -> ReceivedFile:
        """Fetch and judge one file. One that cannot be had is told to its sender, never lost in silence."""
        channel = self.channels.get(inbound.channel)
        for pause in (*ATTEMPTS_PAUSES_SECONDS, None):
            try:
                if channel is None:
                    break
                async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                    return await self._keep(channel, file)
            except FileRefused:
                break
            except (FileUnavailable, TimeoutError):
                if pause is not None:
                    await asyncio.sleep(pause)
            except OSError:
                raise  # the disk: the message waits until there is room again
            except Exception as error:  # noqa: BLE001 - one file must not stop its chat for ever
                log.error("file not judged", error=type(error).__name__, place=place_of(error))  # noqa: TRY400
                break
        reason = _(
            "Файл «{name}» не удалось получить. Пришлите его ещё раз, не больше 20 МБ.", name=file.name
        )
        return ReceivedFile("", file.name, file.size_bytes or 0, "", refusal=reason)

    async def _keep(self, channel: Channel, file: IncomingFile) -> ReceivedFile:
        is_voice = file.role is FileRole.VOICE
        kept = await self.store.keep(channel.open_file(file), file.name, voice=is_voice)
        if self.gate is not None:
            kept = await asyncio.to_thread(self.gate, kept)
        refusal = None if kept.verdict.accepted else kept.verdict.reason
        return ReceivedFile(
            kept.sha256,
            kept.name,
            kept.size_bytes,
            kept.verdict.media_type,
            refusal=refusal,
            is_voice=is_voice,
        )


def _of_album(group_id: str | None, waiting: Sequence[Waiting]) -> list[Waiting]:
    """Those at the beginning that belong to the album; what comes after other words waits its turn."""
    parts: list[Waiting] = []
    for row in waiting:
        if row[2].get("group_id") != group_id:
            break
        parts.append(row)
    return parts
