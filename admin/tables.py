"""A report as rows: the page, the CSV and the XLSX are made of the same cells, so they cannot differ."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from storage.sheets import Sheet, write_csv_tables, write_workbook

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. With `parts` every cell below holds that many values, which exports tell apart."""

    title: str
    numeric: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """`value` and `more` go into exports; the page shows `shown` (else the value), `small` under it."""

    value: Value
    shown: str | Markup = ""
    small: str = ""
    href: str = ""
    late: bool = False
    more: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """`strong` rows, by number, stand out on the page."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    strong: frozenset[int] = frozenset()

    def headings(self) -> list[str]:
        """The headings of an export."""
        return [
            f"{column.title}: {part}" if part else column.title
            for column in self.columns
            for part in (column.parts or ("",))
        ]

    def values(self) -> Iterator[list[Value]]:
        """The rows of an export."""
        for row in self.rows:
            cells: list[Value] = []
            for column, cell in zip(self.columns, row, strict=True):
                values = (cell.value, *cell.more)
                width = max(len(column.parts), 1)
                cells.extend((*values, *[None] * width)[:width])
            yield cells

    def sheet(self, number: int | None = None) -> Sheet:
        """The same for the writers; a number keeps the names of a workbook's sheets apart."""
        name = self.title if number is None else f"{number}. {self.title}"
        return Sheet(name, self.headings(), self.values())


def as_csv(tables: Sequence[Table]) -> bytes:
    """The tables one below the other, each with its title."""
    out = io.BytesIO()
    write_csv_tables((table.sheet() for table in tables), out)
    return out.getvalue()


def as_xlsx(tables: Sequence[Table]) -> bytes:
    """A workbook of a sheet per table."""
    out = io.BytesIO()
    write_workbook((table.sheet(number) for number, table in enumerate(tables, 1)), out)
    return out.getvalue()
