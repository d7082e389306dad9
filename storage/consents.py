"""The journal of consents: who agreed to which words, where, when, and when they took it back.

152-ФЗ, article 9: the operator must be able to prove a consent, and it can be withdrawn at any time. So
the words themselves are kept, each version once, and a withdrawal is a time in the same row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlmodel import Session, col

from forms.messages import Reply
from forms.texts import Text, _, lines
from router.model import Status
from storage import history
from storage.alarms import IN_CHARGE, people_of, tell_once
from storage.dialects import insert_for
from storage.house import House, Who
from storage.models import Consent, Draft, Person, Request, metadata

ANSWER_WITHIN_WORKING_DAYS = 10
"""152-ФЗ, article 20: within so many working days a person is told what is kept about them."""

_OPEN = [status.value for status in Status if status.is_open]
_consent, _consent_text = metadata.tables["consent"], metadata.tables["consent_text"]


@dataclass(frozen=True, slots=True)
class Given:
    """A consent: whose, in which chat, heard when; `how` and `heard_by` if staff heard it aloud."""

    person_id: int
    chat_id: int
    at: datetime
    how: str = ""
    heard_by: str = ""


def give(session: Session, house: House, who: Who, given: Given, now: datetime) -> None:
    """Write a consent to the words in force into the journal."""
    connection = session.connection()
    digest = hashlib.sha256(house.consent_text.encode()).hexdigest()
    words = {
        "sha256": digest, "version": house.consent_version, "text": house.consent_text,
        "url": house.consent_url, "first_shown_at": now,
    }  # fmt: skip
    connection.execute(insert_for(connection)(_consent_text).on_conflict_do_nothing(), words)
    connection.execute(
        insert(_consent),
        {
            "person_id": given.person_id, "chat_id": given.chat_id, "version": house.consent_version,
            "text_sha256": digest, "given_at": given.at,
        },
    )  # fmt: skip
    after = {"version": house.consent_version}
    if given.how:
        after |= {"how": given.how, "heard_by": given.heard_by}
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action="consent_given",
        subject=f"person:{given.person_id}", before=None, after=after,
    )  # fmt: skip


def open_requests(session: Session, person_id: int) -> tuple[int, ...]:
    """The numbers of their requests that the firm still works on."""
    query = select(col(Request.id)).where(col(Request.person_id) == person_id, col(Request.status).in_(_OPEN))
    return tuple(number for number in session.execute(query.order_by(col(Request.id))).scalars() if number)


def withdraw(session: Session, house: House, who: Who, person_id: int, now: datetime) -> tuple[int, ...]:
    """Take every consent of this person back; returns their open requests, which a person must decide on.

    What is half-filled goes at once. From now on nothing they write is kept until they agree again.
    Nothing happens to somebody who has agreed to nothing.
    """
    history.wait_turn(session)
    person = session.get_one(Person, person_id, with_for_update=True, populate_existing=True)
    in_force = update(Consent).where(col(Consent.person_id) == person_id, col(Consent.withdrawn_at).is_(None))
    taken: Any = session.execute(in_force.values(withdrawn_at=now))
    if not (taken.rowcount or person.consent_version):
        return ()
    before, person.consent_version = person.consent_version, ""
    session.execute(delete(Draft).where(col(Draft.person_id) == person_id))
    session.flush()
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action="consent_withdrawn",
        subject=f"person:{person_id}", before={"version": before}, after=None,
    )  # fmt: skip
    numbers = open_requests(session, person_id)
    told = Reply(
        lines(
            _("{name}: согласие на обработку данных отозвано.", name=person.name or "—"),
            _("Открытые заявки: {numbers}. Позвоните клиенту и решите, что с ними делать.",
              numbers=listed(numbers))
            if numbers
            else _("Открытых заявок нет."),
            _("Новые сообщения этого клиента не сохраняем, пока он не согласится снова."),
        )
    )  # fmt: skip
    key = f"consent-withdrawn:{person_id}:{now:%Y%m%dT%H%M%S}"
    tell_once(session, house, now, key, told, people_of(session, IN_CHARGE))
    return numbers


def ask_for_data(session: Session, house: House, who: Who, now: datetime) -> datetime:
    """A person of a client wants to know what is kept about them; returns by when they are answered."""
    until = house.calendar.closing_after(now, ANSWER_WITHIN_WORKING_DAYS)
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action="data_asked",
        subject=f"person:{who.person_id}", before=None, after={"until": until.isoformat()},
    )  # fmt: skip
    told = Reply(
        lines(
            _("{name} просит показать, какие данные о нём мы храним.", name=who.name or "—"),
            _("Закон даёт на ответ десять рабочих дней: до {day}.",
              day=f"{until.astimezone(house.calendar.zone):%d.%m.%Y}"),
            _("Всё, что есть, выгружает карточка клиента в панели: кнопка «Данные человека»."),
        )
    )  # fmt: skip
    day = now.astimezone(house.calendar.zone)
    key = f"data-asked:{who.person_id}:{day:%Y%m%d}"
    tell_once(session, house, now, key, told, people_of(session, IN_CHARGE))
    return until


def listed(numbers: tuple[int, ...]) -> Text | str:
    """Numbers of requests as people write them."""
    return ", ".join(f"№ {number}" for number in numbers)
