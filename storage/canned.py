"""Answers kept for the next time: everybody's or one's own, with places for what differs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlmodel import Session, col

from forms.texts import Text, _
from router.desk import DeskError
from storage import history
from storage.models import CannedReply, Person, Staff
from storage.roster import Act

MAX_TITLE = 100
MAX_TEXT = 4000
MAX_OWN = 200
"""Nobody needs more of their own; the firm's may be as many again."""

_PLACE = re.compile(r"\{([^{}]*)\}")

PLACES: Mapping[str, Text] = MappingProxyType(
    {
        "клиент": _("кому пишем"),
        "номер": _("номер заявки"),
        "срок": _("срок заявки"),
        "исполнитель": _("кто ведёт заявку"),
        "фирма": _("название фирмы"),
    }
)
"""What may stand in braces, and what it becomes."""


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What the places of an answer become, in words ready to be read."""

    client: str
    number: str
    deadline: str
    assignee: str
    firm: str


@dataclass(frozen=True, slots=True)
class ReplyFields:
    """What can be changed; `kind` empty is for all kinds, `owner_id` None for everybody."""

    title: str
    text: str
    kind: str = ""
    owner_id: int | None = None
    position: int = 0
    active: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """A kept answer."""

    reply_id: int
    version: int
    fields: ReplyFields
    owner: str = ""


class WrongReply(DeskError):  # noqa: N818 - the names say what happened
    """This answer cannot be kept; the text says why."""


class ReplyChanged(DeskError):  # noqa: N818
    """Somebody else has changed it since the form was opened."""

    def __init__(self) -> None:
        super().__init__(_("Эту заготовку тем временем изменил кто-то ещё. Сверьте и сохраните ещё раз."))


class NoSuchReply(LookupError):  # noqa: N818
    """There is no answer with this number that this person may touch."""


def fill(text: str, facts: ReplyFacts) -> str:
    """Put the facts into an answer; braces that mean nothing stay as they are."""
    known = {
        "клиент": facts.client,
        "номер": facts.number,
        "срок": facts.deadline,
        "исполнитель": facts.assignee,
        "фирма": facts.firm,
    }
    return _PLACE.sub(lambda found: known.get(found[1].strip().casefold(), found[0]), text)


def unknown_places(text: str) -> tuple[str, ...]:
    """What stands in braces and means nothing, each once."""
    found = (name.strip() for name in _PLACE.findall(text))
    return tuple(dict.fromkeys(name for name in found if name.casefold() not in PLACES))


def replies_for(session: Session, staff_id: int, kind: str) -> tuple[Reply, ...]:
    """What this person may choose from for a request of this kind: for this kind first, then for all."""
    query = _replies().where(
        col(CannedReply.active),
        col(CannedReply.kind).in_(("", kind)),
        or_(col(CannedReply.owner_id).is_(None), col(CannedReply.owner_id) == staff_id),
    )
    found = _read(session, query)
    return tuple(sorted(found, key=lambda reply: not reply.fields.kind))


def all_replies(session: Session, staff_id: int) -> tuple[Reply, ...]:
    """The firm's answers and this person's own, those put away too."""
    mine = or_(col(CannedReply.owner_id).is_(None), col(CannedReply.owner_id) == staff_id)
    return _read(session, _replies().where(mine).limit(2 * MAX_OWN))


def read(session: Session, staff_id: int, reply_id: int) -> Reply:
    """One answer, the firm's or this person's own. Raises NoSuchReply."""
    mine = or_(col(CannedReply.owner_id).is_(None), col(CannedReply.owner_id) == staff_id)
    found = _read(session, _replies().where(mine, col(CannedReply.id) == reply_id))
    if not found:
        raise NoSuchReply
    return found[0]


def add(session: Session, act: Act, fields: ReplyFields) -> int:
    """Keep an answer; returns its number. Raises WrongReply."""
    check(fields)
    whose = (
        col(CannedReply.owner_id).is_(None)
        if fields.owner_id is None
        else col(CannedReply.owner_id) == fields.owner_id
    )
    kept = session.execute(select(col(CannedReply.id)).where(whose).limit(MAX_OWN)).all()
    if len(kept) >= MAX_OWN:
        raise WrongReply(_("Заготовок уже {most}. Удалите те, что не нужны.", most=MAX_OWN))
    row = CannedReply(**asdict(fields), updated_at=act.now)
    session.add(row)
    session.flush()
    assert row.id is not None
    _record(session, act, row.id, None, fields)
    return row.id


def save(session: Session, act: Act, reply_id: int, version: int, fields: ReplyFields) -> None:
    """Change an answer. Raises WrongReply, NoSuchReply, ReplyChanged."""
    check(fields)
    before = read(session, act.who.staff_id or 0, reply_id)
    changed = session.execute(
        update(CannedReply)
        .where(and_(col(CannedReply.id) == reply_id, col(CannedReply.version) == version))
        .values(**asdict(fields), updated_at=act.now, version=version + 1)
    )
    if not changed.rowcount:  # type: ignore[attr-defined]  # an update has it
        raise ReplyChanged
    _record(session, act, reply_id, before.fields, fields)


def delete(session: Session, act: Act, reply_id: int, version: int) -> None:
    """Forget an answer; what was sent with it stays sent. Raises NoSuchReply, ReplyChanged."""
    before = read(session, act.who.staff_id or 0, reply_id)
    row = session.get(CannedReply, reply_id)
    if row is None or row.version != version:
        raise ReplyChanged
    session.delete(row)
    session.flush()
    _record(session, act, reply_id, before.fields, None)


def check(fields: ReplyFields) -> None:
    """Raise WrongReply when something is missing, too long, or in braces that mean nothing."""
    if not fields.title.strip():
        raise WrongReply(_("Назовите заготовку, чтобы её было легко найти."))
    if len(fields.title) > MAX_TITLE:
        raise WrongReply(_("Название длиннее {most} знаков. Сократите.", most=MAX_TITLE))
    if not fields.text.strip():
        raise WrongReply(_("Напишите текст ответа."))
    if len(fields.text) > MAX_TEXT:
        raise WrongReply(_("Текст длиннее {most} знаков. Сократите.", most=MAX_TEXT))
    unknown = unknown_places(fields.text)
    if unknown:
        raise WrongReply(
            _(
                "Непонятно, что подставить вместо {names}. Можно: {known}.",
                names=", ".join(f"{{{name}}}" for name in unknown),
                known=", ".join(f"{{{name}}}" for name in PLACES),
            )
        )


def _replies() -> Any:
    return (
        select(CannedReply, col(Person.name))
        .outerjoin(Staff, col(Staff.id) == col(CannedReply.owner_id))
        .outerjoin(Person, col(Person.id) == col(Staff.person_id))
        .order_by(col(CannedReply.position), col(CannedReply.title), col(CannedReply.id))
    )


def _read(session: Session, query: Any) -> tuple[Reply, ...]:
    return tuple(
        Reply(
            row.id or 0,
            row.version,
            ReplyFields(row.title, row.text, row.kind, row.owner_id, row.position, row.active),
            name or "",
        )
        for row, name in session.execute(query)
    )


def _record(
    session: Session, act: Act, reply_id: int, before: ReplyFields | None, after: ReplyFields | None
) -> None:
    was, became = (asdict(fields) if fields is not None else {} for fields in (before, after))
    history.record(
        session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action="reply_changed",
        subject=f"reply:{reply_id}",
        before={name: value for name, value in was.items() if became.get(name) != value},
        after={name: value for name, value in became.items() if was.get(name) != value},
    )  # fmt: skip
