"""A messenger that is given no file which the virus scanner has not cleared.

The words go out all the same; a sentence stands in place of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from bots.base import Channel, Limits
from forms.texts import Text
from notifications.outbox import Outcome, Parcel
from storage.engine import Database
from storage.scanning import instead_of_file, withheld


@dataclass(frozen=True, slots=True)
class Checked:
    """A channel as delivery sees it."""

    channel: Channel
    database: Database
    say: Callable[[Text], str]

    @property
    def limits(self) -> Limits:
        """The messenger's own."""
        return self.channel.limits

    async def send(self, parcel: Parcel) -> Outcome:
        """Send what may be sent. Raises what the database raises when it cannot say."""
        if not parcel.files:
            return await self.channel.send(parcel)
        closed = await asyncio.to_thread(self._withheld, [file.sha256 for file in parcel.files])
        return await self.channel.send(self._without(parcel, closed) if closed else parcel)

    def _withheld(self, digests: Collection[str]) -> Mapping[str, str]:
        with self.database.read() as session:
            return withheld(session, digests)

    def _without(self, parcel: Parcel, closed: Mapping[str, str]) -> Parcel:
        told = [
            self.say(instead_of_file(file.name, closed[file.sha256]))
            for file in parcel.files
            if file.sha256 in closed
        ]
        left = tuple(file for file in parcel.files if file.sha256 not in closed)
        text = "\n".join(part for part in (parcel.text, *told) if part)
        # The parcel was cut to fit; words that came with the file matter more than why it is missing.
        fits = len(text) <= self.limits.text_length or not parcel.text
        return replace(parcel, files=left, text=text if fits else parcel.text)
