"""The lists of the panel whole, for a file: the same conditions and the same order, without pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from sqlmodel import Session, col

from storage.models import Request
from storage.paging import FIRST, Leaf, Place
from storage.reading import (
    SORTS,
    HistoryFilter,
    HistoryLine,
    RequestFilter,
    RequestRow,
    conditions,
    find_history,
    request_row,
    request_rows,
)

T = TypeVar("T")

ROWS_AT_ONCE = 1000


def every_request(
    session: Session, wanted: RequestFilter, sort: str = "number", descending: bool = True
) -> Iterator[tuple[RequestRow, str]]:
    """The requests that fit, each with its whole task, read as they are asked for."""
    order = SORTS.get(sort, SORTS["number"])
    query = (
        request_rows()
        .add_columns(col(Request.task))
        .where(*conditions(wanted))
        .order_by(*(column.desc() if descending else column.asc() for column in order))
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    for *row, task in session.execute(query):
        yield request_row(row), task


def every_line(session: Session, wanted: HistoryFilter) -> Iterator[HistoryLine]:
    """The lines of the history that fit, newest first."""
    before_id: int | None = None
    while True:
        found = find_history(session, replace(wanted, before_id=before_id))
        yield from found.rows
        if not found.more:
            return
        before_id = found.rows[-1].history_id


def every_leaf(leaf_of: Callable[[Place], Leaf[T]]) -> Iterator[T]:
    """The rows of a list, page by page."""
    found = leaf_of(FIRST)
    yield from found.rows
    while found.later:
        found = leaf_of(Place(found.later))
        yield from found.rows
