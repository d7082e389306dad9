"""Rows as CSV and XLSX, written as they come: a hundred thousand of them never stand in memory at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

Cell = str | int | float | None
Row = Sequence[Cell]

_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")
_LONGEST_CELL = 32_767
"""Excel opens no longer one."""
_LONGEST_SHEET_NAME = 31


def harmless(cell: Cell) -> Cell:
    """A spreadsheet takes a text that begins like this for a formula and runs it: it is quoted."""
    if isinstance(cell, str) and cell.startswith(_FORMULA_BEGINNINGS):
        return f"'{cell}"
    return cell


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of a file that holds several."""

    name: str
    headings: Row
    rows: Iterable[Row]


def write_csv(
    headings: Row, rows: Iterable[Row], out: BinaryIO, *, delimiter: str = ";", encoding: str = "utf-8-sig"
) -> None:
    """A heading and a line per row; with the semicolon and the mark that a Russian Excel wants."""
    with _writer(out, delimiter, encoding) as write:
        write(headings)
        for row in rows:
            write(row)


def write_csv_tables(sheets: Iterable[Sheet], out: BinaryIO, *, decimal: str = ",") -> None:
    """Tables one below the other, each under its name; fractions with the decimal mark of the reader."""
    with _writer(out, ";", "utf-8-sig", decimal) as write:
        for number, sheet in enumerate(sheets):
            if number:
                write(())
            write((sheet.name,))
            write(sheet.headings)
            for row in sheet.rows:
                write(row)


def write_xlsx(headings: Row, rows: Iterable[Row], out: BinaryIO, *, name: str = "1") -> None:
    """A workbook of one sheet. Texts stay texts: none of them becomes a formula."""
    write_workbook((Sheet(name, headings, rows),), out)


def write_workbook(sheets: Iterable[Sheet], out: BinaryIO) -> None:
    """A workbook of a sheet per table; numbers are numbers, texts never become formulas."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    for sheet in sheets:
        page = book.create_sheet(_sheet_name(sheet.name))
        page.freeze_panes = "A2"
        page.append([_typed(page, cell) for cell in sheet.headings])
        for row in sheet.rows:
            page.append([_typed(page, cell) for cell in row])
    book.save(out)


@contextmanager
def _writer(
    out: BinaryIO, delimiter: str, encoding: str, decimal: str = "."
) -> Iterator[Callable[[Row], None]]:
    lines = io.TextIOWrapper(out, encoding=encoding, newline="", write_through=False)
    writer = csv.writer(lines, delimiter=delimiter)
    yield lambda row: writer.writerow([_localized(harmless(cell), decimal) for cell in row])
    lines.flush()
    lines.detach()


def _localized(cell: Cell, decimal: str) -> Cell:
    return str(cell).replace(".", decimal) if isinstance(cell, float) else cell


def _typed(page: object, cell: Cell) -> object:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if not isinstance(cell, str):
        return cell
    made = WriteOnlyCell(page, value=ILLEGAL_CHARACTERS_RE.sub("", cell)[:_LONGEST_CELL])
    made.data_type = "s"
    # As Excel marks what was typed after an apostrophe: it stays text when somebody edits the cell, too.
    made.quotePrefix = harmless(cell) != cell
    return made


def _sheet_name(name: str) -> str:
    return "".join(letter for letter in name if letter not in "[]:*?/\\'")[:_LONGEST_SHEET_NAME]


WRITERS: Mapping[str, Callable[[Row, Iterable[Row], BinaryIO], None]] = {"csv": write_csv, "xlsx": write_xlsx}
MEDIA: Mapping[str, str] = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
