"""What a client proposes by editing a message, as the request's page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from forms.texts import Text
from notifications.proposals import differences
from router.model import Status
from storage import casework
from storage.house import House
from storage.reading import RequestCard

UNFINISHED = (Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)
"""When an answer can still be changed."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """Other answers, field by field, about which nobody has decided."""

    proposal_id: int
    author: str
    created_at: datetime
    differences: tuple[Text, ...]


def proposed_to(session: Session, house: House, card: RequestCard, now: datetime) -> tuple[Proposed, ...]:
    """The open proposals for this request, oldest first."""
    if card.row.status not in UNFINISHED:
        return ()
    context = casework.form_context(session, house, now)
    return tuple(
        Proposed(
            found.proposal_id, found.author, found.created_at,
            differences(card.answers, found.changed, context),
        )
        for found in casework.open_proposals(session, card.row.number)
    )  # fmt: skip
