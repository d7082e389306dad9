"""Rows of a period in a table that is only added to, without an index on the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, select
from sqlmodel import Session

_MARGIN = timedelta(days=1)


def numbers_between(
    session: Session, number: Column[Any], at: Column[Any], since: datetime, until: datetime
) -> tuple[int, int]:
    """The numbers among which are all rows of a period, in a table that is only added to.

    Found by halving: rows get their numbers as time goes by (to within a day, clocks set back
    included), and no index on the time is needed.
    """
    lowest = select(number).order_by(number).limit(1)
    highest = select(number).order_by(number.desc()).limit(1)
    first, last = (session.connection().execute(query).scalar() for query in (lowest, highest))
    if first is None or last is None:
        return 0, 0
    at_or_after = select(number, at).order_by(number).limit(1)

    def found(number_from: int) -> tuple[int, datetime] | None:
        row = session.connection().execute(at_or_after.where(number >= number_from)).one_or_none()
        return None if row is None else (row[0], row[1])

    return (
        _first_after(found, first, last, since - _MARGIN),
        _first_after(found, first, last, until + _MARGIN),
    )


def _first_after(
    found: Callable[[int], tuple[int, datetime] | None], first: int, last: int, moment: datetime
) -> int:
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        row = found(middle)
        if row is None or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    return low
