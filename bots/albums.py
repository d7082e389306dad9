"""Files that were sent together are one message, whether the messenger says so or not.

Telegram gives the parts of an album a common id. Viber and WhatsApp send them as messages of their
own: there the files that follow one another within seconds are taken for an album. Such an album is
named after the event of its first part, so that a redelivery, a restart or another process comes to
the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from forms.fields import ReceivedFile
from forms.messages import Inbound, InboundKind
from storage.work import Earlier

ALBUM_GAP = timedelta(seconds=3)
"""How far apart, by the messenger's own time, two parts may be. Parts may overtake one another."""
BY_TIME = "near:"
"""How the names begin that we give; a messenger's own are kept as they are."""

Message = tuple[int, Inbound, tuple[ReceivedFile, ...]]
"""The number of a kept event, the message, its files."""
Messages = tuple[Message, ...]


class EarlierMessages(Protocol):
    """Reads what the chat said before; only asked when it matters."""

    def __call__(self) -> Iterable[Earlier]:
        """The newest first."""


def with_album(inbound: Inbound, earlier: EarlierMessages) -> Inbound:
    """Say which album a file belongs to, if its messenger has not said so."""
    if inbound.kind is not InboundKind.FILE or inbound.group_id or not inbound.files:
        return inbound
    return replace(inbound, group_id=_album_by_time(inbound, earlier()))


def _album_by_time(inbound: Inbound, earlier: Iterable[Earlier]) -> str:
    """The first of the unbroken row of files that this one ends; words in between begin a new album."""
    first, at = inbound.event_key, inbound.sent_at
    for message in earlier:
        if message.kind is not InboundKind.FILE or abs(at - message.sent_at) > ALBUM_GAP:
            break
        if message.group_id is not None:
            if message.group_id.startswith(BY_TIME):
                return message.group_id
            break
        first, at = message.event_key, message.sent_at
    return f"{BY_TIME}{first}"


def request_of_album(inbound: Inbound, earlier: Iterable[Earlier]) -> int | None:
    """The request to which the part before this one went."""
    if inbound.kind is not InboundKind.FILE or not inbound.group_id:
        return None
    before = next((message for message in earlier if message.event_key != inbound.event_key), None)
    if before is None or before.kind is not InboundKind.FILE:
        return None
    return before.request_id if abs(inbound.sent_at - before.sent_at) <= ALBUM_GAP else None


def by_album(messages: Messages) -> list[Messages]:
    """Messages one by one, the parts of an album together."""
    albums: list[list[Message]] = []
    for message in messages:
        if albums and _goes_with(message[1], albums[-1][-1][1]):
            albums[-1].append(message)
        else:
            albums.append([message])
    return [tuple(album) for album in albums]


def _goes_with(inbound: Inbound, before: Inbound) -> bool:
    """Whether both are parts of one album; the edit of a part is none."""
    return (
        bool(inbound.group_id)
        and inbound.group_id == before.group_id
        and inbound.kind is before.kind is InboundKind.FILE
    )


def merged_albums(messages: Sequence[Message]) -> list[tuple[Inbound, tuple[ReceivedFile, ...]]]:
    """Make one message of the parts of an album: one answer, answered once."""
    return [_merged(album) for album in by_album(tuple(messages))]


def _merged(album: Messages) -> tuple[Inbound, tuple[ReceivedFile, ...]]:
    """The first part stands for all.

    It gets the words, each of them once, and the key of the message that has them, because that is the
    one that can be edited; and the time of the last part, after which the next one is looked for.
    """
    first = album[0][1]
    parts = sorted(album, key=lambda message: message[1].sent_at)
    captions = dict.fromkeys(inbound.text for _event_id, inbound, _files in parts if inbound.text)
    worded = next((inbound for _event_id, inbound, _files in parts if inbound.text), first)
    merged = replace(
        first,
        text="\n".join(captions),
        message_key=worded.message_key,
        sent_at=max(inbound.sent_at for _event_id, inbound, _files in album),
    )
    return merged, _once(file for _event_id, _inbound, files in parts for file in files)


def _once(files: Iterable[ReceivedFile]) -> tuple[ReceivedFile, ...]:
    """Each content once; of those refused every name is told."""
    kept: list[ReceivedFile] = []
    known: set[str] = set()
    for file in files:
        if file.refusal is None:
            if file.sha256 in known:
                continue
            known.add(file.sha256)
        kept.append(file)
    return tuple(kept)
