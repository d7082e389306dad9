"""Rows as CSV and XLSX, written as they come: a hundred thousand of them never stand in memory at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

Cell = str | int | float | None
Row = Sequence[Cell]

_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")
_LONGEST_CELL = 32_767
"""Excel opens no longer one."""
_LONGEST_SHEET_NAME = 31


def harmless(cell: Cell) -> Cell:
    """A spreadsheet takes a text that begins like this for a formula and runs it: it is quoted."""
    if isinstance(cell, str) and cell.startswith(_FORMULA_BEGINNINGS):
        return f"'{cell}"
    return cell


def write_csv(
    headings: Row, rows: Iterable[Row], out: BinaryIO, *, delimiter: str = ";", encoding: str = "utf-8-sig"
) -> None:
    """A heading and a line per row; with the semicolon and the mark that a Russian Excel wants."""
    lines = io.TextIOWrapper(out, encoding=encoding, newline="", write_through=False)
    writer = csv.writer(lines, delimiter=delimiter)
    writer.writerow([harmless(cell) for cell in headings])
    for row in rows:
        writer.writerow([harmless(cell) for cell in row])
    lines.flush()
    lines.detach()


def write_xlsx(headings: Row, rows: Iterable[Row], out: BinaryIO, *, name: str = "1") -> None:
    """A workbook of one sheet. Texts stay texts: none of them becomes a formula."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook(write_only=True)
    sheet = book.create_sheet(
        "".join(letter for letter in name if letter not in "[]:*?/\\'")[:_LONGEST_SHEET_NAME]
    )
    sheet.freeze_panes = "A2"

    def cell(value: Cell) -> object:
        if not isinstance(value, str):
            return value
        made = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("", value)[:_LONGEST_CELL])
        made.data_type = "s"
        return made

    sheet.append([cell(value) for value in headings])
    for row in rows:
        sheet.append([cell(value) for value in row])
    book.save(out)


WRITERS: Mapping[str, Callable[[Row, Iterable[Row], BinaryIO], None]] = {"csv": write_csv, "xlsx": write_xlsx}
MEDIA: Mapping[str, str] = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
