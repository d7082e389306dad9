"""What a member of staff is in the middle of: kept in their draft between two messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from forms.messages import OutgoingFile

_KEY = "staff"
_MAX_REVISION = 1_000_000_000


class Step(StrEnum):
    """What is waited for."""

    DECLINE = "decline"
    """The reason of a refusal."""
    FIELD = "field"
    """Which field the client is to correct."""
    QUESTION = "question"
    """The words for that field."""
    ANSWER = "answer"
    NOTE = "note"
    HAND_TO = "hand_to"
    """Which colleague gets the request."""
    HAND_WHY = "hand_why"
    DONE = "done"
    """The result, message by message, until it is sent."""
    CHAT = "chat"
    """Words for a client's chat; `target` is the number of the chat."""
    WHOM = "whom"
    """The words are here, their request is not."""


WORDS_WANTED = frozenset(
    (Step.DECLINE, Step.QUESTION, Step.ANSWER, Step.NOTE, Step.HAND_WHY, Step.DONE, Step.CHAT)
)
"""Steps at which whatever is typed is meant for somebody, whatever button it may look like."""


@dataclass(frozen=True, slots=True)
class StaffPending:
    """An unfinished step. `target` is the request's number; `revision` tells its buttons from older ones.

    `version` is that of the request when the step began; `to_staff_id` 0 is «Неразобранное».
    `sent_group` is set when the step is over but for the other parts of that album.
    """

    step: Step
    target: int = 0
    revision: int = 0
    version: int = 0
    field: str = ""
    to_staff_id: int = 0
    to_name: str = ""
    text: str = ""
    files: tuple[OutgoingFile, ...] = ()
    sent_group: str = ""

    def with_more(self, text: str, files: tuple[OutgoingFile, ...]) -> StaffPending:
        """Add another message to what is kept; a file is kept once."""
        known = {file.sha256 for file in self.files}
        added = tuple(file for file in files if file.sha256 not in known)
        joined = "\n".join(part for part in (self.text, text) if part)
        return replace(self, text=joined, files=(*self.files, *added))

    @property
    def holds_words(self) -> bool:
        """Whether something would be lost with it."""
        return bool(self.text or self.files)

    def to_json(self) -> dict[str, Any]:
        """Flatten for the draft."""
        return {_KEY: asdict(self)}


def pending_from_json(progress: Mapping[str, Any] | None) -> StaffPending | None:
    """Read a draft; one that was a client's form, or an older program's, is nothing."""
    kept = (progress or {}).get(_KEY)
    if not isinstance(kept, dict) or kept.get("step") not in set(Step):
        return None
    files = tuple(OutgoingFile(**file) for file in kept.get("files", ()))
    return StaffPending(**{**kept, "step": Step(kept["step"]), "files": files})


def revision_at(now: datetime) -> int:
    """A number for the buttons of a step that begins now."""
    return int(now.timestamp()) % _MAX_REVISION
