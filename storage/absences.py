"""Who is away: on leave, or ill."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select
from sqlmodel import col

from storage.models import Absence


def away(now: datetime) -> Select[int]:
    """The numbers of the staff who are absent at this moment."""
    return select(col(Absence.staff_id)).where(*_lasts(now))


def away_until(now: datetime) -> Select[int, datetime]:
    """The same with the last end of each one's absences."""
    until = select(col(Absence.staff_id), func.max(col(Absence.ends_at)))
    return until.where(*_lasts(now)).group_by(col(Absence.staff_id))


def _lasts(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return col(Absence.starts_at) <= now, col(Absence.ends_at) > now
