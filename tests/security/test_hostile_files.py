"""Files that are built to hurt whoever opens them: made here byte by byte, judged by the real inspection."""

from __future__ import annotations

import io
import random
import struct
import time
import zipfile
import zlib
from pathlib import Path

import openpyxl
import pytest

from storage.inspection import Verdict, honest_name, inspect, safe_name
from tests.storage.test_inspection import JPEG, PDF, office, open_document, zipped


def judged(folder: Path, content: bytes, name: str) -> Verdict:
    path = folder / "received"
    path.write_bytes(content)
    return inspect(path, name)


def pdf(body: bytes) -> bytes:
    return (
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog " + body + b" >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"
    )


def packed(objects: bytes, *, how: bytes = b"/FlateDecode", kind: bytes = b"/ObjStm") -> bytes:
    content = zlib.compress(objects)
    head = b"5 0 obj\n<< /Type %s /N 1 /First 4 /Filter %s /Length %d >>\nstream\n" % (
        kind,
        how,
        len(content),
    )
    return b"%PDF-1.7\n" + head + content + b"\nendstream\nendobj\n%%EOF\n"


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + checked + bytes(40)


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + bytes(3)
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(9) + before + frame + bytes(20)


def webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00" + bytes(4) + sizes + bytes(20)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def bmp(width: int, height: int) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<Iii", 40, width, height) + bytes(20)


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = b'<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'


def book_with(content: bytes) -> bytes:
    """A real workbook in which one part was replaced."""
    made, changed = io.BytesIO(), io.BytesIO()
    openpyxl.Workbook().save(made)
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for path in source.namelist():
            target.writestr(path, content if path == "xl/workbook.xml" else source.read(path))
    return changed.getvalue()


def bomb(levels: int = 1) -> bytes:
    content = bytes(40 * 1024 * 1024)
    for _level in range(levels):
        content = zipped({f"{number}.txt": content for number in range(3)})
    return content


CODED = b"".join(b"#%02x" % letter for letter in b"JavaScript")

REFUSED = {
    "javascript in a pdf": (pdf(b"/OpenAction << /S /JavaScript /JS (1) >>"), "a.pdf", "команды"),
    "its name in code": (pdf(b"/OpenAction << /S /Java#53cript /JS (1) >>"), "a.pdf", "команды"),
    "every letter in code": (pdf(b"/AA << /S /%s >>" % CODED), "a.pdf", "команды"),
    "a program started by a pdf": (pdf(b"/OpenAction << /S /Launch /F (cmd.exe) >>"), "a.pdf", "команды"),
    "javascript packed away": (packed(b"1 0 << /S /JavaScript /JS (1) >>"), "a.pdf", "команды"),
    "packed, the kind in code": (packed(b"1 0 << /S /Launch >>", kind=b"/Obj#53tm"), "a.pdf", "команды"),
    "packed twice": (packed(b"00", how=b"[/ASCIIHexDecode /FlateDecode]"), "a.pdf", "команды"),
    "script beside a zip": (zipped({"счёт.pdf": pdf(b"/AA << /S /JavaScript >>")}), "a.zip", "команды"),
    "a huge png": (png(60_000, 60_000), "a.png", "слишком большая"),
    "a huge jpeg": (jpeg(65_000, 65_000), "a.jpg", "слишком большая"),
    "a huge jpeg after much": (jpeg(65_000, 65_000, b"\xff\xe1\x00\x04ab" * 50), "a.jpg", "слишком большая"),
    "a jpeg of nothing but heads": (jpeg(1, 1, b"\xff\xe1\x00\x02" * 9000), "a.jpg", "слишком большая"),
    "a huge webp": (webp(16_000_000, 16_000_000), "a.webp", "слишком большая"),
    "a huge gif": (gif(65_535, 65_535), "a.gif", "слишком большая"),
    "a huge bmp upside down": (bmp(30_000, -30_000), "a.bmp", "слишком большая"),
    "a huge picture in a zip": (zipped({"a.png": png(60_000, 60_000)}), "a.zip", "слишком большая"),
    "a picture that is a pdf too": (JPEG[:20] + b"%PDF-1.4\n" + JPEG, "a.jpg", "два файла"),
    "entities in docx": (office(**{"word/document.xml": ENTITIES}), "a.docx", "вставки"),
    "entities in xlsx": (book_with(ENTITIES), "a.xlsx", "вставки"),
    "a file of ours in xlsx": (book_with(OUTSIDE), "a.xlsx", "вставки"),
    "entities in utf-16": (office(**{"word/a.xml": ENTITIES.decode().encode("utf-16")}), "a.docx", "вставки"),
    "entities in odt": (open_document(**{"content.xml": ENTITIES}), "a.odt", "вставки"),
    "entities in xml": (ENTITIES, "a.xml", "вставки"),
    "a zip bomb": (bomb(), "a.zip", "слишком"),
    "a bomb in a zip": (bomb(2), "a.zip", "слишком"),
    "a way out of the folder": (zipped({"../../etc/cron.d/x": b"* * * * *"}), "a.zip", "имена папок"),
    "a way out, Windows": (zipped({"..\\..\\x.txt": b"text"}), "a.zip", "имена папок"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "name", "why"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_a_second(tmp_path, content, name, why):
    begun = time.process_time()
    verdict = judged(tmp_path, content, name)
    assert time.process_time() - begun < 2
    assert not verdict.accepted
    assert why in str(verdict.reason.msgid) + str(verdict.reason.params)


TAKEN = {
    "a plain pdf": (PDF, "a.pdf"),
    "a pdf that speaks of Java": (pdf(b"/Title (Java Script Launcher)"), "a.pdf"),
    "a packed pdf": (packed(b"1 0 << /Type /Page /Launcher 1 >>"), "a.pdf"),
    "a locked pdf": (packed(b"x").replace(zlib.compress(b"x"), b"\x01\x02locked") + b"/Encrypt", "a.pdf"),
    "a photo of 200 million points": (jpeg(16_320, 12_240), "a.jpg"),
    "a png": (png(4_000, 3_000), "a.png"),
    "a real workbook": (book_with(b'<?xml version="1.0"?><workbook/>'), "a.xlsx"),
    "an old odt": (
        open_document(
            manifest=b'<?xml version="1.0"?><!DOCTYPE manifest:manifest PUBLIC "-//x" "m.dtd"><m/>'
        ),
        "a.odt",
    ),
}


@pytest.mark.parametrize(("content", "name"), TAKEN.values(), ids=TAKEN)
def test_what_people_really_send_is_taken(tmp_path, content, name):
    verdict = judged(tmp_path, content, name)
    assert verdict.accepted, verdict.reason


SLOW = {
    "object streams in each other": b"%PDF-1.7\n"
    + b"obj<</Type/ObjStm/Filter/FlateDecode>>stream\n" * 400_000,
    "object streams without an end": b"%PDF-1.7\n" + b"/ObjStm stream\n" * 1_000_000,
    "names cut short": b"%PDF-1.7\n" + b"/JavaScrip" * 1_900_000,
    "letters in code": b"%PDF-1.7\n" + b"/#4a#61" * 2_500_000,
    "noise": b"%PDF-1.7\n" + random.Random(1).randbytes(19 * 1024 * 1024),
    "heads of a jpeg": b"\xff\xd8\xff" + b"\xff" * (19 * 1024 * 1024),
    "many parts": zipped({"[Content_Types].xml": b"x", **{f"{n}.xml": b"<a/>" for n in range(2900)}}),
}


@pytest.mark.parametrize("content", SLOW.values(), ids=SLOW)
def test_nothing_keeps_the_inspection_busy(tmp_path, content):
    begun = time.process_time()
    judged(tmp_path, content[: 20 * 1024 * 1024], "a.pdf")
    assert time.process_time() - begun < 3


def test_noise_is_not_taken_for_a_script(tmp_path):
    assert judged(tmp_path, SLOW["noise"], "a.pdf").accepted


@pytest.mark.parametrize(
    ("name", "media_type", "given"),
    [
        ("фото.zip", "image/jpeg", "фото.zip.jpg"),
        ("договор.docx", "image/png", "договор.docx.png"),
        ("скан.pdf", "image/jpeg", "скан.pdf.jpg"),
        ("книга.xlsx", "text/plain", "книга.xlsx.txt"),
        ("скан.pdf", "application/pdf", "скан.pdf"),
        ("архив.zip", "application/zip", "архив.zip"),
        ("старый.doc", "application/rtf", "старый.doc"),
        ("фото.jpeg", "image/jpeg", "фото.jpeg"),
        ("фото.png", "image/jpeg", "фото.png"),
        ("я" * 200 + ".zip", "image/jpeg", "я" * 112 + ".zip"[:4] + ".jpg"),
    ],
)
def test_a_name_claims_nothing_that_was_not_inspected(name, media_type, given):
    found = honest_name(name, media_type)
    assert found == given if len(name) < 100 else found.endswith(".jpg")
    assert len(found) <= 120


HOSTILE_NAMES = {
    "a way out": ("../../../etc/passwd", "passwd"),
    "a way out, Windows": ("..\\..\\boot.ini", "boot.ini"),
    "an address": ("file:///etc/passwd", "passwd"),
    "written backwards": ("счёт\u202efdp.exe", "счётfdp.exe"),
    "nothing to be seen": ("счёт\u200b\u2066.pdf", "счёт.pdf"),
    "a line of its own": ("a.pdf\r\nSet-Cookie: x=1", "a.pdf Set-Cookie_ x=1"),
    "a zero": ("a.pdf\x00.exe", "a.pdf.exe"),
    "a device": ("CON.pdf", "_CON.pdf"),
    "a device with a number": ("lpt1", "_lpt1"),
    "a stream of NTFS": ("a.txt:evil.exe", "a.txt_evil.exe"),
    "a wild card": ('*?<>|".pdf', "______.pdf"),
    "dots": ("....", "файл.bin"),
    "a tilde": ("~root", "~root"),
    "letters put together": ("й.pdf", "й.pdf"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "safe"), HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_a_name_is_only_a_name(name, safe):
    assert safe_name(name) == safe
