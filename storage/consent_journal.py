"""The journal of consents as it is read: newest first, and the words of each version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from storage.listing import every_leaf
from storage.models import Chat, ClientPerson, Consent, ConsentText, Person
from storage.paging import FIRST, Leaf, Place, leaf
from storage.search import every_word


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which consents: whose name has these words, to which version, of which person, not taken back."""

    words: str = ""
    version: str = ""
    person_id: int | None = None
    in_force: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A consent. `client_id` is a client for which the person speaks; None where there is none."""

    consent_id: int
    person_id: int
    name: str
    client_id: int | None
    channel: str
    version: str
    text_sha256: str
    given_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class Version:
    """Words that somebody has agreed to. A version whose words were changed is there more than once."""

    name: str
    sha256: str
    text: str
    url: str
    first_shown_at: datetime
    agreed: int
    in_force: int


def find(session: Session, wanted: Wanted, place: Place = FIRST) -> Leaf[Line]:
    """A page of the journal."""
    client = (
        select(func.min(col(ClientPerson.client_id)))
        .where(col(ClientPerson.person_id) == col(Consent.person_id))
        .scalar_subquery()
    )
    query = (
        select(
            col(Consent.id), col(Consent.person_id), col(Person.name), client, col(Chat.channel),
            col(Consent.version), col(Consent.text_sha256), col(Consent.given_at), col(Consent.withdrawn_at),
        )
        .join(Person, col(Person.id) == col(Consent.person_id))
        .join(Chat, col(Chat.id) == col(Consent.chat_id))
    )  # fmt: skip
    if wanted.version:
        query = query.where(col(Consent.version) == wanted.version)
    if wanted.person_id is not None:
        query = query.where(col(Consent.person_id) == wanted.person_id)
    if wanted.in_force:
        query = query.where(col(Consent.withdrawn_at).is_(None))
    query = query.where(*every_word(wanted.words, col(Person.name)))
    return leaf(session, query, (col(Consent.id),), lambda row: Line(*row), place, descending=True)


def every(session: Session, wanted: Wanted) -> Iterator[Line]:
    """The journal whole, for a file."""
    return every_leaf(lambda place: find(session, wanted, place))


def versions(session: Session) -> tuple[Version, ...]:
    """The words of each version, the newest first."""
    counted = (
        select(
            col(Consent.text_sha256).label("sha256"),
            func.count().label("agreed"),
            (func.count() - func.count(col(Consent.withdrawn_at))).label("in_force"),
        )
        .group_by(col(Consent.text_sha256))
        .subquery()
    )
    found = session.execute(
        select(ConsentText, func.coalesce(counted.c.agreed, 0), func.coalesce(counted.c.in_force, 0))
        .join(counted, counted.c.sha256 == col(ConsentText.sha256), isouter=True)
        .order_by(col(ConsentText.first_shown_at).desc(), col(ConsentText.sha256))
    )
    return tuple(
        Version(row.version, row.sha256, row.text, row.url, row.first_shown_at, agreed, in_force)
        for row, agreed, in_force in found
    )
