"""Writing what changed: the row, the stage clock, the answers' versions, the files, the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlmodel import Session, col

from forms.deadline import from_text
from forms.fields import AttachedFile, files_from_text
from forms.messages import OutgoingFile
from router import desk
from router.model import Stage
from storage import history, search
from storage.casework.opening import Case, case_of
from storage.house import Who
from storage.models import (
    AnswerVersion,
    Assignment,
    Attachment,
    Request,
    StageInterval,
    metadata,
)

_ADD_ANSWERS = insert(metadata.tables["answer_version"])
_ADD_ASSIGNMENT = insert(metadata.tables["assignment"])


def write_change(
    session: Session, case: Case, change: desk.Change, who: Who,
    after: Mapping[str, Any] | None = None, before: Mapping[str, Any] | None = None,
    *, said_at: datetime | None = None,
) -> Case:  # fmt: skip
    """Write a change: the row, the stage clock, the history.

    `said_at` is when the client wrote what led to it, which may be earlier: the stage clock and the
    client's own waiting count from then, never from before the stage began.

    Of two at once the second one waits, for the row's lock on PostgreSQL and for the single writer on
    SQLite, and then reads the new state.
    """
    row, new = case.row, change.after
    row.status, row.stage = new.status.value, new.stage.value if new.stage else None
    row.assignee_id = new.assignee_id
    row.assigned_at, row.accepted_at = new.assigned_at, new.accepted_at
    row.first_response_at, row.done_at, row.closed_at = new.first_response_at, new.done_at, new.closed_at
    row.first_responder_id, row.done_by = new.first_responder_id, new.done_by
    row.question, row.unanswered_since, row.rating = new.question, new.unanswered_since, new.rating
    row.version = new.version
    at = min(said_at or change.at, change.at)
    if change.before.unanswered_since is None and new.unanswered_since is not None:
        row.unanswered_since = max(at, row.submitted_at)
    _move_clock(session, case, change, at)
    seen = {"status": change.before.status.value, "assignee_id": change.before.assignee_id}
    became: dict[str, Any] = {"status": new.status.value, "assignee_id": new.assignee_id}
    if change.comment:
        became["comment"] = change.comment
    history.record(
        session, at=change.at, actor_id=who.person_id, through=who.through, action=change.event.value,
        subject=f"request:{case.number}", before={**seen, **(before or {})},
        after={**became, **(after or {})},
    )  # fmt: skip
    session.flush()
    return case_of(session, row)


def _move_clock(session: Session, case: Case, change: desk.Change, at: datetime) -> None:
    newest = session.execute(
        select(StageInterval)
        .where(col(StageInterval.request_id) == case.number)
        .order_by(col(StageInterval.id).desc())
        .limit(1)
    ).scalar_one_or_none()
    known = newest and desk.StageInterval(Stage(newest.stage), newest.started_at, newest.ended_at)
    moved = desk.tick(known, change, at)
    if moved is None:
        return
    if newest is not None and newest.ended_at is None:
        newest.ended_at = moved.at
    if case.row.closed_at is not None:
        case.row.closed_at = moved.at
    for begun in moved.begun:
        # What has ended already is the time in which it was closed: nobody else had it meanwhile.
        staff_id = newest.staff_id if newest and begun.ended_at else change.after.assignee_id
        session.add(
            StageInterval(
                request_id=case.number, stage=begun.stage.value, staff_id=staff_id,
                started_at=begun.started_at, ended_at=begun.ended_at,
            )
        )  # fmt: skip
        # Rows of one flush may be written in any order, and the newest is found by its number.
        session.flush()


def keep_answers(session: Session, row: Request, by_person_id: int | None, now: datetime) -> None:
    """Keep every field as its first version."""
    assert row.id is not None
    common = {"request_id": row.id, "version": 1, "person_id": by_person_id, "created_at": now}
    session.connection().execute(
        _ADD_ANSWERS, [{**common, "field": name, "value": value} for name, value in row.answers.items()]
    )


def replace_answers(session: Session, case: Case, filled: Mapping[str, str], who: Who, now: datetime) -> None:
    """Keep corrected fields as their next version; the request shows the last one."""
    row = case.row
    latest = dict(
        session.execute(
            select(col(AnswerVersion.field), func.max(col(AnswerVersion.version)))
            .where(col(AnswerVersion.request_id) == row.id)
            .group_by(col(AnswerVersion.field))
        ).all()
    )
    for name, value in filled.items():
        if row.answers.get(name) == value:
            continue
        session.add(
            AnswerVersion(
                request_id=case.number, field=name, version=int(latest.get(name, 0)) + 1, value=value,
                person_id=who.person_id, created_at=now,
            )
        )  # fmt: skip
    if "files" in filled:
        before = {file.sha256 for file in files_from_text(row.answers.get("files", "[]"))}
        new = [file for file in files_from_text(filled["files"]) if file.sha256 not in before]
        keep_files(session, case.number, who.person_id, new, "added", now)
    row.answers = {**row.answers, **filled}
    row.company, row.inn = row.answers["company"], row.answers["inn"]
    row.kind, row.task = row.answers["kind"], row.answers["task"]
    row.deadline = from_text(row.answers["deadline"]).at
    searched, row.search = row.search, search_text(row.company, row.inn, row.task)
    search.keep_words(session, case.number, row.search, searched)


def keep_files(
    session: Session, request_id: int, person_id: int | None, files: Sequence[AttachedFile | OutgoingFile],
    purpose: str, now: datetime,
) -> None:  # fmt: skip
    """Keep whose files these are and for what they came."""
    session.add_all(
        Attachment(
            request_id=request_id, person_id=person_id, sha256=file.sha256, name=file.name,
            size_bytes=file.size_bytes, media_type=file.media_type, purpose=purpose, created_at=now,
        )
        for file in files
    )  # fmt: skip


def search_text(*parts: str) -> str:
    """What the search by words looks in: lower case, ё as е."""
    return " ".join(parts).casefold().replace("ё", "е")


def file_json(file: OutgoingFile) -> dict[str, Any]:
    """A file as a message's row holds it."""
    return {
        "sha256": file.sha256,
        "name": file.name,
        "media_type": file.media_type,
        "size_bytes": file.size_bytes,
    }


def mark_declined(session: Session, case: Case) -> None:
    """Remember that the assignee is not to be offered this request again."""
    session.flush()
    session.execute(
        update(Assignment)
        .where(col(Assignment.request_id) == case.number, col(Assignment.staff_id) == case.row.assignee_id)
        .values(declined=True)
    )


def note_assignment(
    session: Session, case: Case, staff_id: int | None, by: str, reason: str, now: datetime, trace: str = ""
) -> None:
    """Keep who was given the request (None: nobody), by whom and why."""
    values = {
        "request_id": case.number, "staff_id": staff_id, "by": by, "reason": reason, "trace": trace,
        "declined": False, "created_at": now,
    }  # fmt: skip
    session.connection().execute(_ADD_ASSIGNMENT, values)
