"""A file that somebody brings is read or refused in words; a damaged copy is told to be one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from notifications.texts import Catalogue
from storage.backup import Key, Verdict, verify, write_copy
from storage.engine import open_database
from storage.files import FileStore
from storage.imports import FileUnreadable, import_clients, read_clients
from storage.inspection import inspect
from storage.migrate import migrate
from tests.fuzz.hostile import ODD_TEXTS, damaged, fuzzed, promptly

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
SAY = Catalogue.open("ru").say

TABLE = (
    "Название;ИНН;Тип;Телефон;Почта;Договор до;Контакт;Телефон контакта\n"
    "ООО «Ромашка»;7707083893;компания;+7 495 111-22-33;a@b.ru;31.12.2026;Мария;89161112233\n"
    "ИП Кузнецова;500100732259;ИП;;;;;\n"
)


def workbook(rows: list[list[object]] | None = None) -> bytes:
    book = Workbook()
    sheet = book.active
    for row in rows or [line.split(";") for line in TABLE.splitlines()]:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


XLSX = workbook()
CSVS = (
    TABLE.encode(),
    TABLE.encode("cp1251"),
    TABLE.encode("utf-16"),
    TABLE.replace(";", "\t").encode("utf-8-sig"),
    TABLE.replace(";", ",").replace("ООО «Ромашка»", '"ООО ""Ромашка"", склад"').encode(),
)
CELLS = st.sampled_from([*TABLE.replace("\n", ";").split(";"), *ODD_TEXTS]) | st.text(max_size=15)
LINES = st.lists(st.lists(CELLS, max_size=9).map(";".join), max_size=6).map("\n".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def firm(folder: Path):
    url = f"sqlite:///{folder / 'imports.sqlite3'}"
    migrate(url)
    database = open_database(url)
    yield database
    database.sync_engine.dispose()


def brought(firm, path: Path, content: bytes, seconds: float = 0.5) -> None:
    """What the command and the panel do with a file."""
    path.write_bytes(content)
    with promptly(seconds):
        try:
            lines = read_clients(path)
        except FileUnreadable as error:
            refusal = error
        else:
            with firm.begin() as session:
                import_clients(session, lines, NOW, skip_refused=True)
                session.rollback()
            assert all(SAY(line.refusal).strip() for line in lines if line.refusal)
            return
    assert SAY(refusal.text).strip()


@given(
    damaged(CSVS)
    | LINES.map(lambda text: (TABLE + text).encode("utf-8", "surrogatepass"))
    | st.binary(max_size=300)
)
@fuzzed(150)
def test_any_csv_is_read_or_refused(firm, folder: Path, content: bytes):
    brought(firm, folder / "clients.csv", content)


def repacked(change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The workbook with its parts changed; None drops a part."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(XLSX)) as packed,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as changed,
    ):
        for name in packed.namelist():
            content = change(name, packed.read(name))
            if content is not None:
                changed.writestr(name, content)
    return out.getvalue()


PARTS = tuple(zipfile.ZipFile(io.BytesIO(XLSX)).namelist())
PART_CHANGES = st.sampled_from(
    [
        None, b"", b"<", b"<a/>", b"\x00", b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b"<worksheet><sheetData><row r='9999999999'><c r='ZZZZ1' t='s'/></row></sheetData></worksheet>",
    ]
)  # fmt: skip


@st.composite
def changed_workbook(draw: st.DrawFn) -> bytes:
    name = draw(st.sampled_from(PARTS))
    with zipfile.ZipFile(io.BytesIO(XLSX)) as packed:
        content = packed.read(name)
    new = draw(PART_CHANGES | damaged([content]) | _words_changed(content))
    return repacked(lambda each, old: new if each == name else old)


def _words_changed(content: bytes) -> st.SearchStrategy[bytes]:
    """The same XML with one value in it changed."""
    import re

    values = sorted(set(re.findall(rb'"([^"]{0,40})"', content))) or [b"x"]
    odd = [
        b"",
        b"-1",
        b"99999999999999999999",
        b"A0",
        b"\xff",
        b"nan",
        b"../../x",
        b"s",
        b"n",
        b"b",
        b"d",
        b"e",
    ]
    return st.builds(
        lambda old, new: content.replace(b'"' + old + b'"', b'"' + new + b'"'),
        st.sampled_from(values),
        st.sampled_from(odd),
    )


@pytest.mark.filterwarnings("ignore::UserWarning:openpyxl")
@given(changed_workbook() | damaged([XLSX]))
@fuzzed(100)
def test_any_workbook_is_read_or_refused(firm, folder: Path, content: bytes):
    brought(firm, folder / "clients.xlsx", content)


@given(changed_workbook() | damaged([XLSX]))
@fuzzed(50)
def test_any_workbook_is_judged(folder: Path, content: bytes):
    path = folder / "sent.xlsx"
    path.write_bytes(content)
    with promptly(0.5):
        verdict = inspect(path, "Реестр.xlsx")
    assert verdict.accepted or SAY(verdict.reason).strip()


HEAD_ROW = ["Название", "ИНН"]
ODD_CELLS = [
    None, True, 0, -1, 7707083893, 7707083893.0, 1e308, NOW.replace(tzinfo=None), NOW.date(), "=1+1",
    "#N/A", "  ", "x" * 32_000,
]  # fmt: skip


@pytest.mark.parametrize("value", ODD_CELLS, ids=[str(cell)[:12] for cell in ODD_CELLS])
def test_any_cell_is_read(firm, folder: Path, value: object):
    brought(
        firm, folder / "cells.xlsx", workbook([HEAD_ROW, [value, value], [value], ["ООО Ромашка", value]])
    )


def bomb() -> bytes:
    """A small workbook that unpacks into 60 MB."""
    rows = b"<row>" + b"<c t='inlineStr'><is><t>x</t></is></c>" * 100 + b"</row>"

    def change(name: str, content: bytes) -> bytes:
        if not name.startswith("xl/worksheets/"):
            return content
        before, _, after = content.partition(b"</sheetData>")
        return before + rows * 15_000 + b"</sheetData>" + after

    return repacked(change)


@pytest.mark.filterwarnings("ignore::UserWarning:openpyxl")
def test_a_workbook_that_is_a_bomb_is_refused_at_once(folder: Path):
    path = folder / "bomb.xlsx"
    path.write_bytes(bomb())
    with promptly(2):
        assert not inspect(path, "Реестр.xlsx").accepted


@pytest.mark.filterwarnings("ignore::UserWarning:openpyxl")
def test_a_workbook_that_says_it_is_huge_is_not_believed(firm, folder: Path):
    far = b'<row r="1048576"><c r="XFD1048576" t="str"><v>x</v></c></row></sheetData>'
    content = repacked(
        lambda name, old: old.replace(b"</sheetData>", far) if name.startswith("xl/worksheets/") else old
    )
    brought(firm, folder / "far.xlsx", content, seconds=3)


@pytest.fixture(scope="module")
def copied(folder: Path) -> tuple[bytes, Key]:
    url = f"sqlite:///{folder / 'copied.sqlite3'}"
    migrate(url)
    store = FileStore(folder / "files", 10**6)
    pair = pyrage.x25519.Identity.generate()
    key = Key(recipient=str(pair.to_public()), identity=str(pair))
    write_copy(url, store, folder / "copy.tar", key, NOW)
    return (folder / "copy.tar").read_bytes(), key


def test_any_damage_of_a_copy_is_told(copied: tuple[bytes, Key], folder: Path):
    content, key = copied

    @given(damaged([content]) | st.binary(max_size=2000) | _tar_head_changed(content))
    @fuzzed(20)
    def looks(spoilt: bytes) -> None:
        path = folder / "spoilt.tar"
        path.write_bytes(spoilt)
        verdict = verify(path, key, folder)
        assert isinstance(verdict, Verdict)
        # What stands behind the end of the archive, or says when it was made, spoils nothing.
        assert verdict.troubles or verdict.manifest is not None

    assert verify_of(content, key, folder).troubles == ()
    looks()


def verify_of(content: bytes, key: Key, folder: Path) -> Verdict:
    path = folder / "whole.tar"
    path.write_bytes(content)
    return verify(path, key, folder)


def _tar_head_changed(content: bytes) -> st.SearchStrategy[bytes]:
    """The outer archive is not sealed: somebody may write other heads into it."""

    def change(place: int, byte: int, kind: bytes) -> bytes:
        head = bytearray(content)
        head[place] = byte
        head[156:157] = kind
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\x00 " % sum(head[:512])
        return bytes(head)

    return st.builds(
        change,
        st.integers(0, 511),
        st.integers(0, 255),
        st.sampled_from([b"0", b"1", b"2", b"5", b"x", b"L", b"S", b"g"]),
    )
