"""Which requests and clients a reader may know of: the right per object, for the panel and the chat alike.

Whoever takes requests knows of those they have now. A controller knows of the clients in whose cards
they stand; while no card at all names a controller, the firm does not use this, and controllers see
everything. So giving one controller their clients narrows all of them, and taking the last client from
one of them opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from router.model import Role
from storage.models import Client, Request


@dataclass(frozen=True, slots=True)
class Controlled:
    """The clients in whose cards this member of staff is the controller, with their requests."""

    staff_id: int


Reach = int | Controlled | None
"""The requests that this member of staff has now, those of the clients they control, or (None) all."""


def reach_of(session: Session, role: Role, staff_id: int) -> Reach:
    """What a member of staff may know of. Sections closed to a role are closed elsewhere."""
    if role.takes_requests:
        return staff_id
    if role is Role.CONTROLLER and _is_used(session):
        return Controlled(staff_id)
    return None


def within(reach: Reach) -> list[ColumnElement[bool]]:
    """What a request must be to be within reach."""
    match reach:
        case None:
            return []
        case Controlled(staff_id):
            theirs = select(col(Client.id)).where(col(Client.controller_id) == staff_id)
            return [col(Request.client_id).in_(theirs)]
        case staff_id:
            return [col(Request.assignee_id) == staff_id]


def clients_within(reach: Reach) -> list[ColumnElement[bool]]:
    """What a client must be for its card to be within reach."""
    match reach:
        case Controlled(staff_id):
            return [col(Client.controller_id) == staff_id]
        case _:
            return []


def reaches_client(session: Session, reach: Reach, client_id: int | None) -> bool:
    """Whether this client's card is within reach."""
    if not isinstance(reach, Controlled):
        return True
    query = select(col(Client.id)).where(col(Client.id) == client_id, *clients_within(reach))
    return session.execute(query).first() is not None


def _is_used(session: Session) -> bool:
    named = select(col(Client.id)).where(col(Client.controller_id).is_not(None)).limit(1)
    return session.execute(named).first() is not None
