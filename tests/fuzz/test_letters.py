"""Whatever comes by e-mail is read or ignored, in time that grows with its length and no faster."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bots import mime
from bots.letters import Fetched, Own, is_automatic, is_vouched_for, parse
from bots.mail import outcome_of
from forms.messages import InboundKind
from tests.fuzz.hostile import ODD_TEXTS, assert_storable, damaged, fuzzed, promptly

NOON = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
OWN = Own("intake@firm.example", "mx.firm.example", "a secret key of the tests")
HEAD = (
    "From: =?utf-8?b?0J7Qu9GM0LPQsA==?= <olga@client.example>\r\nTo: intake@firm.example\r\n"
    "Subject: =?koi8-r?q?=F3=DE=A3=D4?=\r\nMessage-ID: <a1@client.example>\r\nMIME-Version: 1.0\r\n"
    "Date: Wed, 25 Nov 2026 11:59:00 +0300\r\n"
)


def winmail() -> bytes:
    """A winmail.dat of Outlook with one file in it."""

    def attribute(number: int, value: bytes) -> bytes:
        return struct.pack("<BIi", 2, number, len(value)) + value + b"\x00\x00"

    long_name = "Счёт.pdf\0".encode("utf-16-le")
    properties = struct.pack("<HHII", 0x001F, 0x3707, 1, len(long_name)) + long_name
    return (
        struct.pack("<IH", 0x223E9F78, 1)
        + attribute(0x00069002, b"\x01")
        + attribute(0x00018010, b"SCHET.PDF\x00")
        + attribute(0x0006800F, b"%PDF-1.7 ...")
        + attribute(0x00069005, properties)
    )


def part(kind: str, content: bytes, *more: str) -> bytes:
    head = "\r\n".join(["--B", f"Content-Type: {kind}", "Content-Transfer-Encoding: base64", *more])
    return f"{head}\r\n\r\n".encode() + base64.encodebytes(content) + b"\r\n"


def many(*parts: bytes, kind: str = "mixed", head: str = HEAD) -> bytes:
    return (
        f"{head}Content-Type: multipart/{kind}; boundary=B\r\n\r\n".encode() + b"".join(parts) + b"--B--\r\n"
    )


PAGE = (
    "<html><head><style>p{}</style></head><body><p>Добрый день,&nbsp;оплатите</p>"
    "<blockquote type=cite><div>раньше</div></blockquote><ul><li>раз<li>два</ul></body></html>"
)
REPLY = (
    "Да, до пятницы.\n\nпн, 23 нояб. 2026 г. в 10:00, Баланс <intake@firm.example>:\n> Какой срок?\n"
    "-- \nОльга"
)
LETTERS: tuple[bytes, ...] = (
    f"{HEAD}Content-Type: text/plain; charset=utf-8\r\n\r\n{REPLY}".encode(),
    f"{HEAD}Content-Type: text/html; charset=windows-1251\r\n\r\n{PAGE}".encode("cp1251"),
    many(
        part("text/plain; charset=utf-8", REPLY.encode()),
        part("application/pdf; name*=utf-8''%D0%A1%D1%87%D1%91%D1%82.pdf", b"%PDF-1.7"),
        part("image/png", b"\x89PNG", "Content-ID: <logo>", "Content-Disposition: inline; filename=l.png"),
    ),
    many(part("application/ms-tnef; name=winmail.dat", winmail())),
    many(b"--B\r\nContent-Type: message/rfc822\r\n\r\n" + HEAD.encode() + b"\r\n\r\nwords\r\n"),
    many(
        part("text/plain", b"Sorry"),
        b"--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        b"Final-Recipient: rfc822; olga@client.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n",
        kind="report; report-type=delivery-status",
        head=HEAD.replace("olga@client.example", "MAILER-DAEMON@mx.example"),
    ),
    (
        "Authentication-Results: mx.firm.example; dmarc=pass (p=none) header.from=client.example\r\n"
        f"{HEAD}\r\n/start X7a9K2"
    ).encode(),
)


def read_whole(raw: bytes) -> None:
    """All that is ever done with a letter that came."""
    inbound = parse(Fetched(7, 105, NOON, len(raw), raw), OWN)
    assert_storable(inbound)
    if inbound.kind is InboundKind.IGNORED:
        return
    message = mime.read(raw)
    for _name, address in mime.addresses(message, "From"):
        is_automatic(message, address)
        is_vouched_for(message, address, "mx.firm.example")


def test_samples_are_understood():
    found = [parse(Fetched(7, 105, NOON, len(raw), raw), OWN) for raw in LETTERS]
    assert [inbound.kind for inbound in found if inbound.kind is not InboundKind.IGNORED] == [
        InboundKind.TEXT, InboundKind.TEXT, InboundKind.FILE, InboundKind.FILE, InboundKind.TEXT,
        InboundKind.STARTED,
    ]  # fmt: skip
    assert found[3].files[0].name == "Счёт.pdf"


@given(damaged(LETTERS))
@fuzzed(200)
def test_a_damaged_letter_is_read_or_ignored(raw: bytes):
    with promptly():
        read_whole(raw)


NAMES = st.sampled_from(
    [
        "From", "To", "Subject", "Date", "Message-ID", "References", "In-Reply-To", "Content-Type",
        "Reply-To",
        "Content-Transfer-Encoding", "Content-Disposition", "Auto-Submitted", "Precedence", "List-Id",
        "Authentication-Results", "Return-Path", "Sender", "MIME-Version",
    ]
)  # fmt: skip
CHARSETS = st.sampled_from(
    ["utf-8", "koi8-r", "cp1251", "utf-16", "utf-7", "hex", "rot13", "idna", "punycode", "x-unknown", "",
     "base64", "iso-2022-kr", "zlib", "unicode_escape", "undefined", "utf-8\x00", "a" * 70]
)  # fmt: skip
ENCODED = st.builds(
    "=?{}?{}?{}?=".format, CHARSETS, st.sampled_from("bqBQx"), st.text("=AQo9D1/+_ ?", max_size=30)
)
KINDS = st.sampled_from(
    [
        "text/plain", "text/html", "multipart/mixed; boundary=B", "multipart/mixed", "multipart/alternative",
        "message/rfc822", "message/partial", "application/ms-tnef", "text", "/", "text/plain; format=flowed",
        "text/plain; charset*=utf-8''%D0%FF", "a/b; name*0*=utf-8''%D0; name*1=x", "a/b; name*9999999999=x",
        "message/delivery-status", 'text/plain; charset="', 'multipart/mixed; boundary=""',
    ]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=60), st.sampled_from(ODD_TEXTS), ENCODED, KINDS,
    st.lists(ENCODED, max_size=6).map(" ".join),
    st.builds('"{}" <{}@{}>'.format, st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)),
    CHARSETS,
)  # fmt: skip


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=12),
    st.sampled_from([b"\r\n", b"\n", b"\r"]),
    st.binary(max_size=200) | st.sampled_from([raw.partition(b"\r\n\r\n")[2] for raw in LETTERS]),
)
@fuzzed(200)
def test_any_headers_are_read_or_ignored(lines: list[tuple[str, str]], end: bytes, body: bytes):
    head = end.join(_bytes(name) + b": " + _bytes(value) for name, value in lines)
    with promptly():
        read_whole(head + end + end + body)


@st.composite
def nested(draw: st.DrawFn, depth: int = 0) -> bytes:
    kind = draw(st.sampled_from(["leaf", "leaf", "mixed", "alternative", "related", "signed", "letter"]))
    if kind == "leaf" or depth > 4:
        content = draw(st.binary(max_size=60) | st.just(winmail()) | st.just(PAGE.encode()))
        how = draw(st.sampled_from(["base64", "quoted-printable", "8bit", "x-uuencode", "nonsense"]))
        return f"Content-Type: {draw(KINDS)}\r\nContent-Transfer-Encoding: {how}\r\n\r\n".encode() + content
    if kind == "letter":
        return b"Content-Type: message/rfc822\r\n\r\n" + HEAD.encode() + draw(nested(depth + 1))
    mark = f"B{depth}".encode()
    inner = draw(st.lists(nested(depth + 1), max_size=3))
    parts = b"".join(b"--" + mark + b"\r\n" + each + b"\r\n" for each in inner)
    end = b"--" + mark + b"--\r\n" if draw(st.booleans()) else b""
    return f"Content-Type: multipart/{kind}; boundary=B{depth}\r\n\r\n".encode() + parts + end


@given(nested())
@fuzzed(100)
def test_letters_in_letters_are_read(raw: bytes):
    with promptly():
        read_whole(HEAD.encode() + raw)


@example(winmail().replace(b"SCHET.PDF", b"SC\x00ET\nPDF"))
@given(damaged([winmail(), winmail() * 3]))
@fuzzed(100)
def test_a_damaged_winmail_is_read_or_kept_as_it_is(content: bytes):
    raw = many(part("application/ms-tnef; name=winmail.dat", content))
    with promptly():
        read_whole(raw)


TAGS = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<", ">", "<!--", "-->", "<!", "<a href='", '"', "'", "</", "<script>", "</script",
         "&#", "&#x110000;", "&amp", "&#99999999999;", "<blockquote", "<br/>", "<pre>", "\n", "\t",
         "слово", "<td>", "/>", "\xa0"]
    ),
    max_size=60,
).map("".join)  # fmt: skip


@given(TAGS | st.text(max_size=100))
@fuzzed(200)
def test_any_page_has_a_text(page: str):
    with promptly():
        text = mime.text_of_html(page)
    assert "\ud800" not in text or "\ud800" in page


LONG = 200_000
SLOW = {
    "blanks": " " * LONG,
    "blank lines": "\n \t" * (LONG // 3),
    "marks of quotes": "> " * (LONG // 2),
    "levels of quotes": "".join(">" * (number % 90) + " а\n" for number in range(4000)),
    "dashes": "-" * LONG,
    "a signature again and again": "-- \nОльга\n" * (LONG // 12),
    "who wrote": "23 нояб. 2026 г. в 10:00, Ольга <o@x.ru> написал(а):\n" * 3000,
    "half of who wrote": "On Mon, Nov 23, 2026 at 10:00 " * 6000,
    "heads": "От: Ольга\nОтправлено: вчера\nКому: нам\n" * 4000,
    "almost heads": "От:" * (LONG // 3),
    "brackets": "<" * LONG,
    "open tags": "<a " * (LONG // 3),
    "quotes in tags": "<a '" * (LONG // 4),
    "comments": "<!--" * (LONG // 4),
    "references": "&#" * (LONG // 2),
    "encoded words": "=?utf-8?q?=D0?= " * (LONG // 16),
    "half of encoded words": "=?utf-8?q?" * (LONG // 10),
    "addresses": "a@b.c, " * (LONG // 7),
    "dots": "a." * (LONG // 2),
    "brackets of comments": "(" * LONG,
    "quotes": '"' * LONG,
    "backslashes": "\\" * LONG,
    "parameters": "; a=b" * (LONG // 5),
    "numbered parameters": "; a*0=b" * (LONG // 7),
    "labels": "Компания: " * (LONG // 10),
    "one long word": "ы" * LONG,
    "surrogates": "\ud800" * (LONG // 3),
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW.keys())
def test_no_letter_is_made_to_be_slow(text: str):
    content = _bytes(text)
    for kind in ("plain", "html"):
        with promptly(2):
            read_whole(f"{HEAD}Content-Type: text/{kind}; charset=utf-8\r\n\r\n".encode() + content)
    for name in ("From", "Subject", "Message-ID", "References", "Content-Type", "Authentication-Results"):
        value = content.replace(b"\n", b" ")
        with promptly(2):
            read_whole(f"{name}: ".encode() + value + b"\r\n" + HEAD.encode() + b"\r\n\xd0\xb4\xd0\xb0")


def test_no_letter_of_thousands_of_parts_is_slow():
    with promptly(3):
        read_whole(many(part("text/plain", b"x") * 10_000))
    deep = b"".join(
        f"Content-Type: multipart/mixed; boundary=B{number}\r\n\r\n--B{number}\r\n".encode()
        for number in range(2000)
    )
    with promptly(3):
        read_whole(HEAD.encode() + deep + b"\r\nx")


@given(
    st.integers(-5, 2000),
    st.text(max_size=200) | st.sampled_from(ODD_TEXTS),
    st.sampled_from(["rcpt", "data", ""]),
)
@fuzzed(60)
def test_any_refusal_of_a_mail_server_has_a_meaning(code: int, said: str, stage: str):
    outcome_of(code, said, stage)
