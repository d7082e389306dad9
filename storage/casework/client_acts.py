"""What the client does with a request. Every function raises `router.desk.DeskError`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlmodel import Session, col

from forms.answers import AnswerError
from forms.dialogue import SMALL_TALK, parse_one
from forms.fields import Answers, AttachedFile, FormContext, Said, files_from_text, files_to_text
from forms.messages import OutgoingFile, loosely
from forms.texts import plain
from notifications import compose
from router import desk
from router.model import Status
from storage.casework.opening import Case, NoSuchRequest, actor_of, context_of, open_case
from storage.casework.routing import route
from storage.casework.submitting import client_of
from storage.casework.telling import to_assignee_or_directors
from storage.casework.writing import keep_files, replace_answers, write_change
from storage.house import House, Who
from storage.models import (
    Clarification,
    History,
)


def add(
    session: Session, house: House, who: Who, request_id: int, text: str, files: tuple[OutgoingFile, ...],
    now: datetime, *, needs_answer: bool = True, said_at: datetime | None = None,
) -> Case:  # fmt: skip
    """The client writes into the request: the assignee gets it, nothing in the form changes."""
    case = open_case(session, request_id)
    change = desk.client_wrote(case.request, actor_of(who, house), now, needs_answer=needs_answer)
    written = {"text": text, "files": [file.name for file in files]}
    case = write_change(session, case, change, who, written, said_at=said_at)
    keep_files(session, case.number, who.person_id, files, "added", now)
    notice = compose.client_wrote_notice(case.facts, text, files)
    to_assignee_or_directors(session, house, case, notice, now, "client")
    return case


def clarified(
    session: Session, house: House, who: Who, clarification_id: int, said: Said, context: FormContext, *,
    said_at: datetime | None = None,
) -> Case:  # fmt: skip
    """The client answers the asked field; the old value stays as its earlier version.

    Raises AnswerError when the field's validator refuses the answer; the question stays open then.
    """
    asked, case, change = _asked_of(session, house, who, clarification_id, context.now)
    if _is_thanks(said) or is_yes_or_no(said):
        wanted = compose.field_wanted(asked.field, case.row.answers, context)
        # To «да» the remark has been answered: what is still wanted is the field, if it is more than words.
        is_wanted = is_yes_or_no(said) and compose.has_form(asked.field, case.row.answers, context)
        raise AnswerError(plain(asked.question) if asked.question and not is_wanted else wanted)
    old = case.row.answers.get(asked.field, "")
    filled = corrected(asked.field, said, case.row.answers, context)
    if "inn" in filled:
        client = client_of(session, filled, who, context.now)
        filled["company"], case.row.client_id = client.name, client.id
    replace_answers(session, case, filled, who, context.now)
    _settle(session, asked, max(min(said_at or context.now, context.now), asked.asked_at))
    became, was = {"field": asked.field, **filled}, {"field": asked.field, "value": old}
    case = write_change(session, case, change, who, became, was, said_at=said_at)
    notice = compose.clarified_notice(case.facts, asked.field, old, context_of(house, context.now))
    to_assignee_or_directors(session, house, case, notice, context.now, "clarified")
    return case


def left_as_it_was(
    session: Session, house: House, who: Who, clarification_id: int, now: datetime, *,
    said_at: datetime | None = None,
) -> Case:  # fmt: skip
    """«Оставить как было»: the question is answered, and nothing changes."""
    asked, case, change = _asked_of(session, house, who, clarification_id, now)
    if asked.field not in case.row.answers:
        raise NoSuchRequest
    _settle(session, asked, max(min(said_at or now, now), asked.asked_at))
    kept = {"field": asked.field, "value": case.row.answers[asked.field]}
    case = write_change(session, case, change, who, kept, kept, said_at=said_at)
    notice = compose.left_as_it_was_notice(case.facts, asked.field, context_of(house, now))
    to_assignee_or_directors(session, house, case, notice, now, "clarified")
    return case


def _asked_of(
    session: Session, house: House, who: Who, clarification_id: int, now: datetime
) -> tuple[Clarification, Case, desk.Change]:
    """A question that waits for this very person, its request, and what an answer makes of it."""
    asked = session.get(Clarification, clarification_id)
    if asked is None:
        raise NoSuchRequest
    case = open_case(session, asked.request_id)
    if case.row.person_id != who.person_id:
        raise NoSuchRequest
    session.refresh(asked)
    if asked.answered_at is not None or not case.request.status.is_open:
        raise desk.WrongState(case.request.status)
    left = _still_asked(session, case, asked)
    return asked, case, desk.clarified(case.request, actor_of(who, house), now, still_asked=left)


def _still_asked(session: Session, case: Case, asked: Clarification) -> str | None:
    """The field of the newest question that this answer leaves open; those before «Выполнено» are over."""
    done_at = select(func.max(col(History.at))).where(
        col(History.subject) == f"request:{case.number}", col(History.action) == desk.Event.DONE.value
    )
    query = (
        select(col(Clarification.field))
        .where(
            col(Clarification.request_id) == case.number,
            col(Clarification.answered_at).is_(None),
            # An answer settles the older questions about the same field.
            or_(col(Clarification.field) != asked.field, col(Clarification.id) > asked.id),
        )
        .order_by(col(Clarification.id).desc())
        .limit(1)
    )
    finished_at = session.execute(done_at).scalar_one()
    if finished_at is not None:
        query = query.where(col(Clarification.asked_at) >= finished_at)
    return session.execute(query).scalar_one_or_none()


def _settle(session: Session, asked: Clarification, now: datetime) -> None:
    session.execute(
        update(Clarification)
        .where(
            col(Clarification.request_id) == asked.request_id,
            col(Clarification.field) == asked.field,
            col(Clarification.id) <= asked.id,
            col(Clarification.answered_at).is_(None),
        )
        .values(answered_at=now)
    )


_YES_OR_NO = frozenset(
    map(
        loosely,
        (
            "да", "ага", "угу", "нет", "ок", "окей", "хорошо", "ладно", "понятно", "ясно", "подойдёт",
            "подходит", "не подойдёт", "не подходит", "можно", "нельзя", "конечно", "согласен", "согласна",
            "верно", "всё верно", "правильно", "пусть так", "устраивает", "не устраивает", "не знаю",
            "ok", "yes", "no", "all right",
        ),
    )
)  # fmt: skip
_THANKS = SMALL_TALK - _YES_OR_NO


def is_yes_or_no(said: Said) -> bool:
    """«Да», «подойдёт»: an answer to a person; as an answer to a field it would replace the task."""
    return not (said.press or said.files) and loosely(said.text) in _YES_OR_NO


def _is_thanks(said: Said) -> bool:
    """«Спасибо» says that the question was read, and no more."""
    return not (said.press or said.files) and loosely(said.text) in _THANKS


def corrected(field: str, said: Said, answers: Answers, context: FormContext) -> dict[str, str]:
    """What an answer to one field alone changes; files are added to those there are. Raises AnswerError."""
    if field == "files":
        kept = {file.sha256: file for file in files_from_text(answers.get("files", "[]"))}
        new = [file for file in said.files if file.refusal is None]
        if not new:
            refused = [file.refusal for file in said.files if file.refusal is not None]
            raise AnswerError(refused[0] if refused else compose.files_wanted())
        kept |= {f.sha256: AttachedFile(f.sha256, f.name, f.size_bytes, f.media_type) for f in new}
        return {"files": files_to_text(tuple(kept.values()))}
    filled = dict(parse_one(field, said, answers, context))
    if field not in filled:
        raise AnswerError(compose.field_wanted(field, answers, context))
    return filled


def rate(session: Session, house: House, who: Who, request_id: int, points: int, now: datetime) -> Case:
    """The client's mark 1–5; it closes a done request, unless an answer is still owed to the client."""
    case = open_case(session, request_id)
    actor = actor_of(who, house)
    change = desk.rate(case.request, actor, now, points)
    case = write_change(session, case, change, who, {"rating": points})
    if case.request.status is Status.DONE and case.request.unanswered_since is None:
        case = write_change(session, case, desk.close(case.request, actor, now), who)
    to_assignee_or_directors(session, house, case, compose.rated_notice(case.facts, points), now, "rated")
    return case


def reopen(
    session: Session, house: House, who: Who, request_id: int, reason: str, now: datetime, *,
    said_at: datetime | None = None,
) -> Case:  # fmt: skip
    """«Не решено»: the same assignee works on it again; after one who has left the router chooses."""
    case = open_case(session, request_id)
    has_left = case.assignee_person_id is None
    change = desk.reopen(case.request, actor_of(who, house), now, reason, assignee_left=has_left)
    case = write_change(session, case, change, who, said_at=said_at)
    if case.request.status is Status.NEW:
        return route(session, house, case, now)
    notice = compose.unsolved_notice(case.facts, reason)
    to_assignee_or_directors(session, house, case, notice, now, "unsolved")
    return case
