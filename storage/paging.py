"""Long lists, a page at a time, forwards and backwards.

A page begins where another one ended, at the values by which the list is sorted: no row before it is
read or counted, so the last page costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal, tuple_
from sqlmodel import Session

T = TypeVar("T")

PAGE_ROWS = 50

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**63 - 1
_BETWEEN = "~"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after the row with this key or, backwards, before it.

    Without a key it begins at that end of the list.
    """

    key: str = ""
    backwards: bool = False


FIRST, LAST = Place(), Place(backwards=True)


@dataclass(frozen=True, slots=True)
class Leaf(Generic[T]):
    """A page. `earlier` and `later` are the keys of its first and last row; empty where the list ends."""

    rows: tuple[T, ...]
    earlier: str = ""
    later: str = ""


def leaf(
    session: Session,
    query: Select[Any],
    order: Sequence[Any],
    read: Callable[[Any], T],
    place: Place = FIRST,
    *,
    descending: bool = False,
) -> Leaf[T]:
    """Cut a page out of a query. `order` ends with something unique; none of it may be null.

    A key that makes no sense counts as none.
    """
    values = values_of(place.key, order)
    downwards = descending is not place.backwards
    if values is not None:
        query = query.where(_beyond(order, values, downwards=downwards))
    query = query.order_by(*(column.desc() if downwards else column.asc() for column in order))
    found = session.execute(query.add_columns(*order).limit(PAGE_ROWS + 1)).all()
    shown = list(found[:PAGE_ROWS])
    if not shown:
        return Leaf(())
    further, came_from = len(found) > PAGE_ROWS, values is not None
    if place.backwards:
        shown.reverse()
        further, came_from = came_from, further
    width = len(order)
    return Leaf(
        tuple(read(row[:-width]) for row in shown),
        key_of(shown[0][-width:]) if came_from else "",
        key_of(shown[-1][-width:]) if further else "",
    )


def key_of(values: Sequence[Any]) -> str:
    """The values of a row as the words of an address."""
    return _BETWEEN.join(
        str((value - _EPOCH) // timedelta(microseconds=1)) if isinstance(value, datetime) else str(value)
        for value in values
    )


def values_of(key: str, order: Sequence[Any]) -> list[Any] | None:
    """Read a key; None for what was made for another order, and for what nobody made."""
    parts = key.rsplit(_BETWEEN, len(order) - 1)
    if not key or len(parts) != len(order):
        return None
    try:
        return [_read(part, column) for part, column in zip(parts, order, strict=True)]
    except (ValueError, OverflowError):
        return None


def _read(part: str, column: Any) -> Any:
    # SQLModel's own types wrap SQLAlchemy's, which know their values.
    kind = getattr(column.type, "impl", column.type).python_type
    if kind is str:
        return part
    number = int(part)
    if not -_LARGEST <= number <= _LARGEST:
        raise OverflowError
    return _EPOCH + timedelta(microseconds=number) if kind is datetime else number


def _beyond(order: Sequence[Any], values: Sequence[Any], *, downwards: bool) -> ColumnElement[bool]:
    typed = [literal(value, column.type) for value, column in zip(values, order, strict=True)]
    here: ColumnElement[Any] = tuple_(*order) if len(order) > 1 else order[0]
    there: ColumnElement[Any] = tuple_(*typed) if len(order) > 1 else typed[0]
    return here < there if downwards else here > there
