"""A report as rows: the page, the CSV and the XLSX are made of the same cells, so they cannot differ."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from storage.sheets import harmless

Value = str | int | float | None

_SHEET_NAME = 31


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


def as_csv(tables: Sequence[Table], decimal: str = ",") -> bytes:
    """The tables one below the other, each with its title, for a spreadsheet: UTF-8 with its mark."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";")
    for number, table in enumerate(tables):
        if number:
            writer.writerow([])
        writer.writerow([harmless(table.title)])
        writer.writerow([harmless(heading) for heading in table.headings()])
        for row in table.values():
            writer.writerow([_localized(harmless(value), decimal) for value in row])
    return out.getvalue().encode("utf-8-sig")


def _localized(value: Value, decimal: str) -> Value:
    return str(value).replace(".", decimal) if isinstance(value, float) else value


def as_xlsx(tables: Sequence[Table]) -> bytes:
    """A workbook of a sheet per table; numbers are numbers, texts never become formulas."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook(write_only=True)
    for number, table in enumerate(tables, 1):
        sheet = book.create_sheet(f"{number}. {_sheet_name(table.title)}"[:_SHEET_NAME])
        sheet.freeze_panes = "A2"

        def cell(value: Value, sheet: object = sheet) -> object:
            if not isinstance(value, str):
                return value
            made = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("", str(harmless(value))))
            made.data_type = "s"
            return made

        sheet.append([cell(heading) for heading in table.headings()])
        for row in table.values():
            sheet.append([cell(value) for value in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _sheet_name(title: str) -> str:
    return "".join(letter for letter in title if letter not in "[]:*?/\\'")
