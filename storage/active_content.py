"""What in a document does something by itself when it is opened: loads, starts, or brings a file along.

Only what a reader acts upon is looked for, in pieces that `storage.inspection` has taken out and measured.
Ordinary documents have links, pictures, charts with their tables, and paths of the templates and workbooks
they were made from: all that stays.

What was decided, where the choice was open:

* Objects in RTF are refused, all of them: the file that is brought along and the one that breaks a reader
  look alike. So are objects of Office that hold a file of any kind, and the equations of before 2007.
* A picture that lies on a web page is only fetched: let be. One on a share gives a password's hash away.
* A workbook may name other workbooks, wherever they lie: Excel asks before it looks there.
* A PDF that brings files along is refused whatever they are. One that leads to another file is refused only
  if it does anything when it is opened.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from xml.parsers import expat

# --- RTF ---------------------------------------------------------------------------------------------

_RTF_OBJECTS = re.compile(rb"\\(?:objdata|objupdate|objautlink|objlink|objocx|objhtml)(?![a-z])")
_RTF_ARGUMENT_BYTES = 2048
_RTF_MOST_ARGUMENTS = 3000
_RTF_TEMPLATE = re.compile(rb"\\template(?![a-z])")
_RTF_FIELD = re.compile(rb"\\fldinst(?![a-z])")
_RTF_SIGN = re.compile(
    rb"\\u(?P<unicode>-?\d{1,6}) ?\??|\\'(?P<byte>[0-9a-fA-F]{2})|\\(?P<literal>[\\{}])"
    rb"|\\[a-z]{1,32}-?\d{0,10} ?|\\.|[{}\r\n\x00]",
    re.DOTALL,
)


def rtf_acts(data: bytes) -> bool:
    """Whether an RTF brings an object along, takes its template from elsewhere, or asks a program (DDE)."""
    if _RTF_OBJECTS.search(data):
        return True
    for mark, acts in ((_RTF_TEMPLATE, _leads_away), (_RTF_FIELD, _is_dde)):
        for count, found in enumerate(mark.finditer(data)):
            words = data[found.end() : found.end() + _RTF_ARGUMENT_BYTES]
            if count >= _RTF_MOST_ARGUMENTS or acts(
                _RTF_SIGN.sub(_rtf_sign, words).decode("latin-1").strip()
            ):
                return True
    return False


def _rtf_sign(found: re.Match[bytes]) -> bytes:
    if found["literal"]:
        return found["literal"]
    code = int(found["byte"], 16) if found["byte"] else int(found["unicode"] or 0) % 0x10000
    return bytes((code,)) if 0 < code < 0x100 else b""  # noqa: PLR2004 - what leads away is spelt in ASCII


# --- Office since 2007 -------------------------------------------------------------------------------

_ALWAYS_LET_BE = frozenset(("hyperlink", "externallinkpath", "xlpathmissing", "xlstartup", "xllibrary"))
_WEB = ("http://", "https://")
_LOCAL_FILE = re.compile(r"(?:file:/{0,3})?[a-z]:", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

# A field begins, goes on or ends at each fldCharType; quotes may hold a ">". Nothing here is tried twice.
_FIELD_PIECES = re.compile(
    rb"(?:fldCharType\s*+=|instr(?:"
    rb"Text(?=[\s>])(?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*+>(?P<text>[^<]*+)"
    rb"|\s*+=\s*+(?:\"(?P<double>[^\"<]{0,2000})|'(?P<single>[^'<]{0,2000}))))"
)
_MOST_FIELD_PIECES = 200_000
_KEYWORD_BYTES = 256
"""The name of a field stands within so many bytes of its beginning, blanks and all."""
_TAG_BYTES = 200
_LINK_TO_A_PROGRAM = re.compile(rb"<(?:[^<>\s/:]{1,1000}+:)?(?:ddeLink|oleLink)(?![A-Za-z])")


def relations_act(part: bytes) -> bool:
    """Whether a part of relationships loads something from elsewhere; raises ValueError if it is no XML.

    The part must have been looked through for entities before.
    """
    found: list[bool] = []

    def begun(_name: str, attributes: dict[str, str]) -> None:
        if attributes.get("TargetMode", "").strip().lower() == "external":
            kind = attributes.get("Type", "").rpartition("/")[2].lower()
            found.append(_acts(kind, attributes.get("Target", "").strip()))

    parser = expat.ParserCreate()
    parser.StartElementHandler = begun
    try:
        parser.Parse(part, True)  # noqa: FBT003 - the parser's own word for "this is all"
    except expat.ExpatError as error:
        raise ValueError("The relationships are no XML") from error
    return any(found)


def _acts(kind: str, target: str) -> bool:
    if kind in _ALWAYS_LET_BE:
        return False
    if kind == "image" and target.lower().startswith(_WEB):
        return False
    return kind == "oleobject" or _leads_away(target)


def fields_act(part: bytes) -> bool:
    """Whether a field of Word asks a program (DDE); its words may be spread over several runs."""
    return any(_is_dde(html.unescape(words.decode("utf-8", "replace"))) for words in _fields(part))


def _fields(part: bytes) -> Iterator[bytes]:
    """How each field begins; its words may come in pieces."""
    words, part = b"", _without_remarks(part)
    for count, found in enumerate(_FIELD_PIECES.finditer(part)):
        if count >= _MOST_FIELD_PIECES:
            yield b"DDE"  # no document has so many
            return
        if found["text"] is not None:
            if len(words) < _KEYWORD_BYTES and not _closes(part, found.start()):
                words += found["text"].lstrip(b" \t\r\n" if not words else b"")[:_KEYWORD_BYTES]
            continue
        if words:
            yield words
            words = b""
        if alone := found["double"] or found["single"]:
            yield alone
    yield words


def _closes(part: bytes, name_at: int) -> bool:
    """Whether the tag with a name there is a closing one."""
    begun_at = part.rfind(b"<", max(0, name_at - _TAG_BYTES), name_at)
    return begun_at >= 0 and part.startswith(b"/", begun_at + 1)


def _without_remarks(part: bytes) -> bytes:
    """What a reader of XML sees, even of words that remarks were put between."""
    for begins, ends in ((b"<!--", b"-->"), (b"<?", b"?>")):
        first, *others = part.split(begins)
        part = first + b"".join(other.partition(ends)[2] for other in others)
    return part.replace(b"<![CDATA[", b"").replace(b"]]>", b"")


def external_link_acts(part: bytes) -> bool:
    """Whether what a workbook calls an external link is a program."""
    return _LINK_TO_A_PROGRAM.search(part) is not None


def streams_act(names: frozenset[str]) -> bool:
    """Whether a compound file with these streams holds a file of any kind, or an old equation."""
    return bool(names & {"\x01Ole10Native", "Equation Native"})


def _leads_away(target: str) -> bool:
    """Whether it is taken over the network: anything but a path on this machine's disk."""
    if _LOCAL_FILE.match(target):
        return False
    return target.replace("\\", "/").startswith("//") or _SCHEME.match(target) is not None


def _is_dde(words: str) -> bool:
    return re.match(r"\s*DDE(?:AUTO)?(?![A-Z])", words, re.IGNORECASE) is not None


# --- PDF ---------------------------------------------------------------------------------------------


def pdf_name(name: str) -> bytes:
    """A pattern for a name of PDF, of which any letter may be written as #xx (ISO 32000-1, 7.3.5)."""
    letters = [
        f"(?:{letter}|#{ord(letter):02x}|#{ord(letter):02X})" if f"{ord(letter):02x}" != f"{ord(letter):02X}"
        else f"(?:{letter}|#{ord(letter):02x})"
        for letter in name
    ]  # fmt: skip
    return ("/" + "".join(letters)).encode()


_PDF_END = rb"(?![A-Za-z0-9#])"
_PDF_BRINGS_FILES = re.compile(
    rb"(?:" + pdf_name("EmbeddedFile") + rb"|" + pdf_name("GoToE") + rb")" + _PDF_END
    # Two letters alone would be found in any picture.
    + rb"|" + pdf_name("EF") + rb"(?:\s++|%[^\r\n]{0,200}[\r\n]){0,20}+(?:<<|\d{1,10}\s+\d{1,5}\s+R)"
)  # fmt: skip
_PDF_LEADS_AWAY = re.compile(pdf_name("GoToR") + _PDF_END)
_PDF_BY_ITSELF = re.compile(rb"(?:" + pdf_name("OpenAction") + rb"|" + pdf_name("AA") + rb")" + _PDF_END)


def pdf_brings_files(objects: bytes) -> bool:
    """Whether objects of a PDF hold other files, or lead into them."""
    return _PDF_BRINGS_FILES.search(objects) is not None


def pdf_leads_away(objects: bytes) -> bool:
    """Whether objects of a PDF lead to another file."""
    return _PDF_LEADS_AWAY.search(objects) is not None


def pdf_acts_by_itself(objects: bytes) -> bool:
    """Whether objects of a PDF do anything when it is opened or leafed through."""
    return _PDF_BY_ITSELF.search(objects) is not None
