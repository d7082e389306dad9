"""Judges a received file by its content; the name only matters when it would start a program.

What was decided, where the choice was open:

* A PDF with `/Encrypt` is accepted: banks and tax offices forbid printing and copying that way, and
  the file opens without a password. Whether a password is needed cannot be told without trying one.
* A PDF that runs JavaScript or starts programs is refused, in its object streams too; tax forms that
  compute are printed into a plain one. What `/Encrypt` hides is not looked into.
* Macros are refused in every Office format (docm, xlsm, xlsb, doc, xls, odt): an accountant does not
  need them, and they are how malware comes.
* Only stored and deflated zip members are read: other methods are rare and slow enough to stall us.
* A 1C bank statement may be in cp866; other text has to be UTF-8, UTF-16 with a mark, or cp1251.
* A file goes by the extension of what it is: a picture that calls itself .zip gets .jpg behind it, so
  nothing opens it as an archive that nobody has looked into.
* What a document loads or starts by itself is refused (`storage.active_content` says what that is); the
  files within a new Office file are judged too, for a chart brings its table along.
* Programs inside e-mails and old Office files are looked for, but no attachment is unpacked there.
"""

from __future__ import annotations

import codecs
import copy
import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from io import BytesIO
from pathlib import Path

import puremagic

from forms.texts import Size, Text, _, sentence
from storage import active_content
from storage.active_content import pdf_name

MAX_FILE_BYTES = 20 * 1024 * 1024
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
"""What all files of an archive may take together, those of nested archives included."""
MAX_MEMBER_BYTES = 50 * 1024 * 1024
MAX_MEMBERS = 1000
MAX_NAME_LENGTH = 120

UNKNOWN = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a file is taken. `reason` tells its sender why not; an accepted file has none."""

    accepted: bool
    media_type: str
    reason: Text | None = None


def inspect(path: Path, name: str, voice: bool = False) -> Verdict:
    """Judge the file at `path` that its sender calls `name`; `voice` also lets audio in, as a note.

    Blocking; under a second for the worst archive. Raises OSError alone, when `path` cannot be read.
    """
    shown = safe_name(name)
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        return too_big(shown, MAX_FILE_BYTES)
    verdict = _judge(_Received(path.read_bytes(), shown, _Budget(), depth=0))
    if voice and verdict.media_type in _AUDIO_TYPES:
        return _accepted(verdict.media_type)
    return verdict


def too_big(name: str, max_bytes: int) -> Verdict:
    """The verdict on a file over `max_bytes`."""
    reason = _(
        "Файл «{name}» больше {limit}. Разделите его на части или пришлите ссылку.",
        name=safe_name(name), limit=Size(max_bytes),
    )  # fmt: skip
    return Verdict(accepted=False, media_type=UNKNOWN, reason=reason)


def type_by_name(name: str) -> str:
    """The media type that a file of this name has; `UNKNOWN` for what a browser might run."""
    suffix = f".{_extension(name)}"
    return _TYPES.get(".jpg" if suffix == ".jpeg" else suffix, UNKNOWN)


def safe_name(name: str, media_type: str = UNKNOWN) -> str:
    """Make a name that is safe to show, to store and to save under on any system.

    No folders, no invisible or direction-changing characters, NFC, at most 120 characters with the
    extension kept. An empty name becomes «файл» with the extension of `media_type`.
    """
    base = next((part for part in reversed(re.split(r"[/\\]", name)) if part.strip(" .")), "")
    spaced = "".join(" " if char.isspace() else char for char in base)
    visible = "".join(char for char in spaced if unicodedata.category(char)[0] != "C")
    clean = unicodedata.normalize("NFC", _FORBIDDEN_IN_NAMES.sub("_", visible))
    clean = re.sub(" {2,}", " ", clean).rstrip(" .").lstrip(" ")
    # A name that was nothing but an extension (".pdf") still says what the file is.
    stem, extension = _split(clean)
    stem = stem.strip(" .")
    if not stem:
        stem, extension = "файл", extension or _EXTENSIONS.get(media_type, ".bin")
    if stem.split(".")[0].strip().upper() in _RESERVED_NAMES:
        stem = f"_{stem}"
    return stem[: MAX_NAME_LENGTH - len(extension)].rstrip(" .") + extension


def honest_name(name: str, media_type: str) -> str:
    """A safe name whose extension does not claim something else than what the file was judged to be.

    Only claims that make a program look for what was not inspected are put right: a scan called .pdf.
    """
    safe = safe_name(name, media_type)
    claimed = _OPENED_AS.get(_extension(safe))
    if claimed is None or media_type in claimed or media_type not in _EXTENSIONS:
        return safe
    extension = _EXTENSIONS[media_type]
    return safe[: MAX_NAME_LENGTH - len(extension)].rstrip(" .") + extension


# --- Names -------------------------------------------------------------------------------------------

_FORBIDDEN_IN_NAMES = re.compile(r'[<>:"|?*]')

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED_NAMES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"]
)

_EXTENSIONS = {
    "image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp",
    "image/heic": ".heic", "image/bmp": ".bmp", "image/tiff": ".tif",
    "application/pdf": ".pdf", "application/rtf": ".rtf", "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls", "application/vnd.ms-outlook": ".msg",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/xml": ".xml", "text/plain": ".txt", "text/csv": ".csv", "message/rfc822": ".eml",
    "application/zip": ".zip", "audio/ogg": ".ogg", "audio/mpeg": ".mp3", "audio/mp4": ".m4a",
    "audio/aac": ".aac", "audio/amr": ".amr", "audio/wav": ".wav", "audio/webm": ".weba",
}  # fmt: skip

# What Windows, macOS or Linux starts on a double click, whatever is inside.
_TYPES = {extension: media_type for media_type, extension in _EXTENSIONS.items() if extension != ".xml"}

_OFFICE_TYPES = frozenset(
    media_type for media_type in _EXTENSIONS if ".openxml" in media_type or ".oasis" in media_type
)
_OPENED_AS = {
    "pdf": frozenset(("application/pdf",)),
    "zip": frozenset(("application/zip",)) | _OFFICE_TYPES,
    **dict.fromkeys(
        ("docx", "docm", "dotx", "xlsx", "xlsm", "xltx", "pptx", "odt", "ods", "odp"), _OFFICE_TYPES
    ),
}
"""Programs that open these look for their own beginning anywhere in the file."""

_PROGRAM_EXTENSIONS = frozenset((
    "exe", "com", "scr", "pif", "bat", "cmd", "ps1", "psm1", "ps1xml", "vbs", "vbe", "js", "jse", "mjs",
    "ws", "wsf", "wsh", "wsc", "sct", "hta", "msi", "msp", "mst", "msix", "appx", "appinstaller", "jar",
    "jnlp", "lnk", "url", "website", "reg", "cpl", "dll", "sys", "drv", "ocx", "inf", "scf", "chm",
    "hlp", "apk", "ipa", "app", "dmg", "pkg", "deb", "rpm", "sh", "bash", "command", "run", "py", "pyw",
    "pyz", "pl", "rb", "php", "iso", "img", "vhd", "vhdx", "xll", "gadget", "application",
    "settingcontent-ms", "library-ms", "search-ms", "desktop", "appimage",
))  # fmt: skip
# What opens a connection, a query or a notebook of files by its name alone, whatever is inside.
_LEADING_EXTENSIONS = frozenset((
    "iqy", "oqy", "dqy", "rqy", "slk", "rdp", "diagcab", "one", "onepkg", "vcs", "theme", "themepack",
))  # fmt: skip
_WEB_PAGE_EXTENSIONS = frozenset(("html", "htm", "xhtml", "shtml", "mht", "mhtml", "svg", "svgz"))


def _split(name: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*)(\.[^\s.]{1,20})", name, re.DOTALL)
    return (found[1], found[2]) if found else (name, "")


def _extension(name: str) -> str:
    return _split(name)[1].removeprefix(".").lower()


# --- Sentences ---------------------------------------------------------------------------------------


class _Trouble(Enum):
    EMPTY = auto()
    PROGRAM = auto()
    SCRIPT = auto()
    WEB_PAGE = auto()
    MACROS = auto()
    PASSWORD = auto()
    OTHER_ARCHIVE = auto()
    BOMB = auto()
    NESTED = auto()
    EMPTY_ARCHIVE = auto()
    BAD_PATH = auto()
    BROKEN = auto()
    XML_ENTITIES = auto()
    PDF_SCRIPT = auto()
    BRINGS_ALONG = auto()
    TWO_KINDS = auto()
    HUGE_PICTURE = auto()
    AUDIO = auto()
    VIDEO = auto()
    PICTURE = auto()
    UNKNOWN = auto()


_REASONS = {
    _Trouble.EMPTY: _("Файл «{name}» пустой. Проверьте его и пришлите ещё раз."),
    _Trouble.PROGRAM: _("Файл «{name}» — программа, такие мы не принимаем. Пришлите документ или фото."),
    _Trouble.SCRIPT: _("В файле «{name}» команды для компьютера, а не документ. Пришлите документ или фото."),
    _Trouble.WEB_PAGE: _(
        "Файл «{name}» — веб-страница, такие мы не принимаем. "
        "Сохраните её в PDF и пришлите."
    ),
    _Trouble.MACROS: _(
        "В файле «{name}» есть макросы. "
        "Сохраните его без макросов (.docx, .xlsx) или в PDF и пришлите."
    ),
    _Trouble.PASSWORD: _("Файл «{name}» закрыт паролем. Снимите пароль и пришлите ещё раз."),
    _Trouble.OTHER_ARCHIVE: _(
        "Архив «{name}» мы не открываем. "
        "Пришлите обычный zip без пароля или файлы по одному."
    ),
    _Trouble.BOMB: _("В архиве «{name}» слишком много файлов, или они слишком большие. Пришлите их частями."),
    _Trouble.NESTED: _("В архиве «{name}» архивы лежат друг в друге. Пришлите файлы одним обычным zip."),
    _Trouble.EMPTY_ARCHIVE: _("В архиве «{name}» нет файлов. Проверьте его и пришлите ещё раз."),
    _Trouble.BAD_PATH: _(
        "В архиве «{name}» неверные имена папок. "
        "Соберите архив заново или пришлите файлы по одному."
    ),
    _Trouble.BROKEN: _("Файл «{name}» повреждён и не открывается. Проверьте его и пришлите ещё раз."),
    _Trouble.XML_ENTITIES: _(
        "В файле «{name}» есть вставки, из-за которых мы его не открываем. "
        "Пришлите XML без DOCTYPE или PDF."
    ),
    _Trouble.PDF_SCRIPT: _(
        "В файле «{name}» есть команды для компьютера. "
        "Откройте его, выберите «Печать», затем «Сохранить как PDF», и пришлите новый файл."
    ),
    _Trouble.BRINGS_ALONG: _(
        "В файле «{name}» есть вложение или ссылка, которая открывается сама. "
        "Откройте его, выберите «Печать», затем «Сохранить как PDF», и пришлите новый файл."
    ),
    _Trouble.TWO_KINDS: _(
        "Файл «{name}» устроен как два файла сразу, такие мы не принимаем. "
        "Пришлите обычный PDF или фото."
    ),
    _Trouble.HUGE_PICTURE: _(
        "Картинка «{name}» слишком большая, её не открыть. Уменьшите её и пришлите снова."
    ),
    _Trouble.AUDIO: _("Файл «{name}» — звукозапись, а нужен документ. Пришлите документ или фото."),
    _Trouble.VIDEO: _("Файл «{name}» — видео, такие мы не принимаем. Пришлите документ или фото."),
    _Trouble.PICTURE: _("Картинку «{name}» мы не сможем открыть. Пришлите её в JPEG, PNG или PDF."),
    _Trouble.UNKNOWN: _("Файл «{name}» мы не сможем открыть. Пришлите PDF, Word, Excel, фото или текст."),
}  # fmt: skip


def _accepted(media_type: str) -> Verdict:
    return Verdict(accepted=True, media_type=media_type)


def _refused(trouble: _Trouble, name: str, media_type: str = UNKNOWN) -> Verdict:
    reason = replace(_REASONS[trouble], params={"name": name})
    return Verdict(accepted=False, media_type=media_type, reason=reason)


# --- Signatures --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Signature:
    """Bytes that begin a file; `then` are further bytes with their offset."""

    starts: bytes
    media_type: str
    trouble: _Trouble | None = None
    then: tuple[int, bytes] = (0, b"")

    def matches(self, data: bytes) -> bool:
        offset, more = self.then
        return data.startswith(self.starts) and data.startswith(more, offset)


_PROGRAMS = (
    _Signature(b"MZ", "application/x-msdownload", _Trouble.PROGRAM),
    _Signature(b"\x7fELF", "application/x-executable", _Trouble.PROGRAM),
    _Signature(b"\xfe\xed\xfa\xce", "application/x-mach-binary", _Trouble.PROGRAM),
    _Signature(b"\xfe\xed\xfa\xcf", "application/x-mach-binary", _Trouble.PROGRAM),
    _Signature(b"\xce\xfa\xed\xfe", "application/x-mach-binary", _Trouble.PROGRAM),
    _Signature(b"\xcf\xfa\xed\xfe", "application/x-mach-binary", _Trouble.PROGRAM),
    # A Java class and a universal Mach-O begin alike.
    _Signature(b"\xca\xfe\xba\xbe", "application/java-vm", _Trouble.PROGRAM),
    _Signature(b"\x4c\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut", _Trouble.PROGRAM),
    _Signature(b"dex\n", "application/x-dex", _Trouble.PROGRAM),
    _Signature(b"\x00asm", "application/wasm", _Trouble.PROGRAM),
    _Signature(b"ITSF", "application/vnd.ms-htmlhelp", _Trouble.PROGRAM),
)

_AUDIO_TYPES = frozenset(media_type for media_type in _EXTENSIONS if media_type.startswith("audio/"))

# No text begins like these; they may be asked before it is tried as text.
_STRONG = (
    _Signature(b"\xff\xd8\xff", "image/jpeg"),
    _Signature(b"\x89PNG\r\n\x1a\n", "image/png"),
    _Signature(b"GIF87a", "image/gif"),
    _Signature(b"GIF89a", "image/gif"),
    _Signature(b"RIFF", "image/webp", then=(8, b"WEBP")),
    _Signature(b"BM", "image/bmp", then=(6, b"\x00\x00\x00\x00")),
    _Signature(b"II*\x00", "image/tiff"),
    _Signature(b"MM\x00*", "image/tiff"),
    _Signature(b"{\\rt", "application/rtf"),  # readers need no more of it
    _Signature(b"OggS", "audio/ogg", _Trouble.AUDIO),
    _Signature(b"ID3", "audio/mpeg", _Trouble.AUDIO),
    _Signature(b"#!AMR", "audio/amr", _Trouble.AUDIO),
    _Signature(b"RIFF", "audio/wav", _Trouble.AUDIO, then=(8, b"WAVE")),
    _Signature(b"RIFF", "video/x-msvideo", _Trouble.VIDEO, then=(8, b"AVI ")),
    _Signature(b"Rar!\x1a\x07", "application/vnd.rar", _Trouble.OTHER_ARCHIVE),
    _Signature(b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", _Trouble.OTHER_ARCHIVE),
    _Signature(b"\x1f\x8b", "application/gzip", _Trouble.OTHER_ARCHIVE),
    _Signature(b"BZh", "application/x-bzip2", _Trouble.OTHER_ARCHIVE, then=(4, b"1AY&SY")),
    _Signature(b"\xfd7zXZ\x00", "application/x-xz", _Trouble.OTHER_ARCHIVE),
    _Signature(b"\x28\xb5\x2f\xfd", "application/zstd", _Trouble.OTHER_ARCHIVE),
    _Signature(b"MSCF\x00", "application/vnd.ms-cab-compressed", _Trouble.OTHER_ARCHIVE),
    _Signature(b"", "application/x-tar", _Trouble.OTHER_ARCHIVE, then=(257, b"ustar")),
    _Signature(b"", "application/x-ace-compressed", _Trouble.OTHER_ARCHIVE, then=(7, b"**ACE**")),
)

# Two bytes that Russian text in cp1251 may begin with ("яы…"): asked only of what is not text.
_WEAK = tuple(
    _Signature(bytes((0xFF, second)), media_type, _Trouble.AUDIO)
    for second, media_type in (
        (0xFB, "audio/mpeg"), (0xFA, "audio/mpeg"), (0xF3, "audio/mpeg"), (0xF2, "audio/mpeg"),
        (0xF1, "audio/aac"), (0xF9, "audio/aac"),
    )
)  # fmt: skip

# Brands of ISO media files, https://mp4ra.org/registered-types/brands
_BRANDS = {
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), _accepted("image/heic")
    ),
    **dict.fromkeys((b"M4A ", b"M4B ", b"F4A "), Verdict(accepted=False, media_type="audio/mp4")),
    b"avif": Verdict(accepted=False, media_type="image/avif"),
}

_OTHER_KINDS = {"audio": _Trouble.AUDIO, "video": _Trouble.VIDEO, "image": _Trouble.PICTURE}


def _first(table: Iterable[_Signature], data: bytes) -> _Signature | None:
    return next((signature for signature in table if signature.matches(data)), None)


# --- The judgement -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Budget:
    """What one received file may still cost; shared by everything nested in it."""

    unpacked_bytes: int = MAX_UNPACKED_BYTES
    members: int = MAX_MEMBERS
    zip_headers: int = 20_000
    searched_bytes: int = 4 * 1024 * 1024
    searched_part_bytes: int = 16 * 1024 * 1024
    """Parts of Office files that are read whole: the text of a thousand pages fits."""
    directory_sectors: int = 20_000
    object_stream_bytes: int = MAX_FILE_BYTES * 2

    @property
    def is_spent_on_objects(self) -> bool:
        """Whether object streams lie in each other, or unpack to more than any document."""
        return self.object_stream_bytes < 0 or self.unpacked_bytes < 0


@dataclass(frozen=True, slots=True)
class _Received:
    """A file to be judged; `depth` counts the archives around it."""

    data: bytes
    name: str
    budget: _Budget
    depth: int


def _judge(file: _Received) -> Verdict:
    attempts = (_judge_name, _judge_signature, _judge_container, _judge_pdf, _judge_text)
    verdicts = (attempt(file) for attempt in attempts)
    return next((verdict for verdict in verdicts if verdict is not None), None) or _judge_unknown(file)


def _judge_name(file: _Received) -> Verdict | None:
    if _extension(file.name) in _PROGRAM_EXTENSIONS:
        return _refused(_Trouble.PROGRAM, file.name)
    if _extension(file.name) in _WEB_PAGE_EXTENSIONS:
        return _refused(_Trouble.WEB_PAGE, file.name, "text/html")
    if _extension(file.name) in _LEADING_EXTENSIONS:
        return _refused(_Trouble.UNKNOWN, file.name)
    return None if file.data else _refused(_Trouble.EMPTY, file.name, "application/x-empty")


def _judge_signature(file: _Received) -> Verdict | None:
    signature = _first(_PROGRAMS, file.data) or _first(_STRONG, file.data)
    if signature is None:
        return None
    trouble = None if signature.trouble else _trouble_within(file.data, signature.media_type)
    return _refused(trouble, file.name) if trouble else _by_signature(signature, file.name)


def _trouble_within(data: bytes, media_type: str) -> _Trouble | None:
    if media_type == "application/rtf":
        return _Trouble.BRINGS_ALONG if active_content.rtf_acts(data) else None
    return _picture_trouble(data, media_type)


def _judge_container(file: _Received) -> Verdict | None:
    containers = (
        (0, (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), _judge_zip),
        (0, (_OLE_MAGIC,), _judge_ole),
        (4, (b"ftyp",), _judge_iso_media),
        (0, (b"\x1aE\xdf\xa3",), _judge_matroska),
    )
    return next((judge(file) for at, marks, judge in containers if file.data.startswith(marks, at)), None)


def _by_signature(signature: _Signature, name: str) -> Verdict:
    if signature.trouble is None:
        return _accepted(signature.media_type)
    return _refused(signature.trouble, name, signature.media_type)


def _judge_pdf(file: _Received) -> Verdict | None:
    at = file.data.find(b"%PDF-", 0, 1024)
    if at < 0:
        return None
    # Readers forgive some bytes before the header; nobody needs a script there.
    trouble = _commands(file.data[:at]) or _pdf_trouble(file)
    return _refused(trouble, file.name) if trouble else _accepted("application/pdf")


def _judge_iso_media(file: _Received) -> Verdict:
    verdict = _BRANDS.get(file.data[8:12])
    if verdict is not None and verdict.accepted:
        return verdict
    # Telephones record voice under video brands too: the track handlers tell.
    silent_picture = re.search(rb"hdlr\x00{8}vide", file.data) is None
    if verdict is None and silent_picture and re.search(rb"hdlr\x00{8}soun", file.data):
        verdict = Verdict(accepted=False, media_type="audio/mp4")
    media_type = verdict.media_type if verdict else "video/mp4"
    return _refused(_OTHER_KINDS[media_type.split("/")[0]], file.name, media_type)


def _judge_matroska(file: _Received) -> Verdict:
    # A browser's recorder writes the codec's file.name near the beginning.
    head = file.data[:4096]
    if b"A_OPUS" in head and b"V_" not in head:
        return _refused(_Trouble.AUDIO, file.name, "audio/webm")
    return _refused(_Trouble.VIDEO, file.name, "video/webm")


def _judge_unknown(file: _Received) -> Verdict:
    signature = _first(_WEAK, file.data)
    if signature is not None:
        return _by_signature(signature, file.name)
    try:
        media_type = puremagic.from_string(file.data, mime=True) or UNKNOWN
    except (puremagic.PureError, ValueError):
        media_type = UNKNOWN
    kind = media_type.split("/")[0]
    # A guess is good enough for the sentence, not for letting audio in as a note.
    shown_type = UNKNOWN if kind == "audio" else media_type
    return _refused(_OTHER_KINDS.get(kind, _Trouble.UNKNOWN), file.name, shown_type)


# --- PDF ---------------------------------------------------------------------------------------------

_MAX_OBJECT_STREAMS = 5000
_MAX_OBJECT_STREAM_BYTES = 4 * 1024 * 1024
_STREAM_HEAD_BYTES = 2048


_PDF_COMMANDS = re.compile(
    rb"(?:" + pdf_name("JavaScript") + rb"|" + pdf_name("Launch") + rb")(?![A-Za-z0-9])"
)
_PDF_OBJECT_STREAM = re.compile(pdf_name("ObjStm") + rb"(?![A-Za-z0-9])")
_PDF_STREAM = re.compile(rb"stream(?:\r\n|\n|\r)")
_PDF_FILTER = re.compile(pdf_name("Filter"))
_PDF_FLATE = re.compile(
    pdf_name("Filter") + rb"\s*\[?\s*(?:" + pdf_name("FlateDecode") + rb"|/Fl)\s*\]?\s*(?:/|>>)"
)


def _pdf_trouble(file: _Received) -> _Trouble | None:
    """Find what a reader would run or open, also where objects are packed together."""
    leads_away = by_itself = False
    for objects in _pdf_objects(file):
        if objects is None or _PDF_COMMANDS.search(objects):
            return _Trouble.PDF_SCRIPT
        if file.budget.is_spent_on_objects:
            return _Trouble.BOMB
        leads_away = leads_away or active_content.pdf_leads_away(objects)
        by_itself = by_itself or active_content.pdf_acts_by_itself(objects)
        if active_content.pdf_brings_files(objects) or (leads_away and by_itself):
            return _Trouble.BRINGS_ALONG
    return None


def _pdf_objects(file: _Received) -> Iterator[bytes | None]:
    """The file as it is, then what is packed in it; None for a packing nobody uses, or too much of it."""
    yield file.data
    for count, found in enumerate(_PDF_OBJECT_STREAM.finditer(file.data)):
        if count >= _MAX_OBJECT_STREAMS:
            file.budget.object_stream_bytes = -1
        if file.budget.is_spent_on_objects:
            yield b""
            return
        yield _object_stream(file, found.start())


def _object_stream(file: _Received, at: int) -> bytes | None:
    """What is packed in the stream whose dictionary has its type at `at`; None for a packing nobody uses."""
    begins = _PDF_STREAM.search(file.data, at, at + _STREAM_HEAD_BYTES)
    if begins is None:
        return b""
    dictionary = file.data[
        max(0, file.data.rfind(b"obj", max(0, at - _STREAM_HEAD_BYTES), at)) : begins.start()
    ]
    if _PDF_FILTER.search(dictionary) is None:
        return b""  # not packed, so it was searched with the rest
    if _PDF_FLATE.search(dictionary) is None:
        return None
    longest = begins.end() + _MAX_OBJECT_STREAM_BYTES
    ends = file.data.find(b"endstream", begins.end(), longest)
    packed = file.data[begins.end() : ends if ends >= 0 else longest]
    file.budget.object_stream_bytes -= len(packed)
    try:
        objects = zlib.decompressobj().decompress(packed, _MAX_OBJECT_STREAM_BYTES)
    except zlib.error:
        return b""  # damaged, or locked by /Encrypt
    file.budget.unpacked_bytes -= len(objects)
    return objects


# --- Pictures ----------------------------------------------------------------------------------------

_MAX_PIXELS = 250_000_000
"""Telephones take up to 200 million; a browser needs four bytes for each."""
_MAX_JPEG_SEGMENTS = 5000
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))


def _picture_trouble(data: bytes, media_type: str) -> _Trouble | None:
    if b"%PDF-" in data[:1024]:
        # Readers forgive what stands before the header, so it would open as a document nobody has judged.
        return _Trouble.TWO_KINDS
    measure = _MEASURES.get(media_type)
    try:
        width, height = measure(data) if measure else (0, 0)
    except struct.error:
        return None
    return _Trouble.HUGE_PICTURE if width * height > _MAX_PIXELS else None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    for _segment in range(_MAX_JPEG_SEGMENTS):
        mark, kind = struct.unpack_from(">BB", data, at)
        if mark != 0xFF:  # noqa: PLR2004 - every segment begins so
            return 0, 0
        if kind in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        (length,) = (0,) if kind in _JPEG_ALONE else struct.unpack_from(">H", data, at + 2)
        at += 1 if kind == 0xFF else 2 + length  # noqa: PLR2004 - a filler
    return _MAX_PIXELS, _MAX_PIXELS


def _webp_size(data: bytes) -> tuple[int, int]:
    match data[12:16]:
        case b"VP8X":
            packed = int.from_bytes(data[24:30], "little")
            return (packed & 0xFFFFFF) + 1, (packed >> 24) + 1
        case b"VP8L":
            (packed,) = struct.unpack_from("<I", data, 21)
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        case _:
            return 0, 0  # 16383 x 16383 at most, in fourteen bits each


def _two(pattern: str, at: int) -> Callable[[bytes], tuple[int, int]]:
    def measure(data: bytes) -> tuple[int, int]:
        width, height = struct.unpack_from(pattern, data, at)
        return abs(width), abs(height)

    return measure


_MEASURES: dict[str, Callable[[bytes], tuple[int, int]]] = {
    "image/png": _two(">II", 16),
    "image/gif": _two("<HH", 6),
    "image/bmp": _two("<ii", 18),
    "image/jpeg": _jpeg_size,
    "image/webp": _webp_size,
}

# --- Text --------------------------------------------------------------------------------------------

_SEARCHED_BYTES = 1024 * 1024
"""How far commands are searched for; Notepad shows the rest as harmless text anyway."""
_SEARCHED_BYTES_AT_LEAST = 16 * 1024
_STATEMENT_BYTES = 64 * 1024
_LETTER_HEAD_BYTES = 8192

_CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n\r\x0c") + b"\x7f"
_NOT_ASCII = bytes(range(0x80, 0x100))
_LOWER = bytes(range(0x100)).lower()
_CP1251_GAP = b"\x98"
"""The one byte that cp1251 gives no letter."""

_UTF16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}

_HEADER = re.compile(
    rb"(?:from|to|cc|subject|date|received|return-path|message-id|mime-version|delivered-to|reply-to"
    rb"|sender|content-type|dkim-signature|authentication-results|x-[\w-]{1,60}|arc-[\w-]{1,60}):",
    re.IGNORECASE,
)
_HEADERS_NEEDED = 2

# Programs that begin a base64 part: "MZ" and "\x7fELF" look like this.
_ENCODED_PROGRAMS = tuple(
    blank_line + start
    for blank_line in (b"\n\n", b"\n\r\n")
    for start in (b"TVo", b"TVp", b"TVq", b"TVr", b"f0VM")
)

# What begins a file of commands. Lower case, after blanks.
_COMMAND_STARTS = (
    (b"#!", _Trouble.SCRIPT), (b"@echo", _Trouble.SCRIPT), (b"echo off", _Trouble.SCRIPT),
    (b"<?php", _Trouble.SCRIPT), (b"<%", _Trouble.SCRIPT), (b"<job", _Trouble.SCRIPT),
    (b"<package", _Trouble.SCRIPT), (b"<scriptlet", _Trouble.SCRIPT), (b"option explicit", _Trouble.SCRIPT),
    (b"on error resume next", _Trouble.SCRIPT), (b"[internetshortcut]", _Trouble.PROGRAM),
    (b"windows registry editor", _Trouble.SCRIPT), (b"regedit4", _Trouble.SCRIPT),
    (b"<html", _Trouble.WEB_PAGE), (b"<!doctype html", _Trouble.WEB_PAGE), (b"<head", _Trouble.WEB_PAGE),
    (b"<body", _Trouble.WEB_PAGE), (b"<svg", _Trouble.WEB_PAGE),
    (b"id;p", _Trouble.SCRIPT),  # a table whose formulas start programs, whatever its name
)  # fmt: skip

# What no document for an accountant contains anywhere. Lower case.
_COMMANDS = (
    (b"<script", _Trouble.SCRIPT), (b":script", _Trouble.SCRIPT), (b"<hta:", _Trouble.SCRIPT),
    (b"javascript:", _Trouble.SCRIPT), (b"wscript.", _Trouble.SCRIPT), (b"activexobject", _Trouble.SCRIPT),
    (b"createobject(b", _Trouble.SCRIPT), (b"shell.application", _Trouble.SCRIPT),
    (b"powershell -", _Trouble.SCRIPT), (b"powershell.exe", _Trouble.SCRIPT),
    (b"invoke-expression", _Trouble.SCRIPT), (b"invoke-webrequest", _Trouble.SCRIPT),
    (b"downloadstring(b", _Trouble.SCRIPT), (b"downloadfile(b", _Trouble.SCRIPT),
    (b"frombase64string", _Trouble.SCRIPT), (b"set-executionpolicy", _Trouble.SCRIPT),
    (b"net.webclient", _Trouble.SCRIPT), (b"start-process", _Trouble.SCRIPT),
    (b"cmd /c", _Trouble.SCRIPT), (b"cmd.exe", _Trouble.SCRIPT), (b"=cmd|", _Trouble.SCRIPT),
    (b"certutil -", _Trouble.SCRIPT), (b"mshta ", _Trouble.SCRIPT), (b"regsvr32", _Trouble.SCRIPT),
    (b"rundll32", _Trouble.SCRIPT), (b"bitsadmin", _Trouble.SCRIPT), (b"document.write(b", _Trouble.SCRIPT),
    (b"\\objdata", _Trouble.SCRIPT), (b"\\objupdate", _Trouble.SCRIPT),
    (b"string.fromcharcode", _Trouble.SCRIPT), (b"@echo off", _Trouble.SCRIPT),
    (b"<html", _Trouble.WEB_PAGE), (b"<!doctype html", _Trouble.WEB_PAGE), (b"<iframe", _Trouble.WEB_PAGE),
    (b"http://www.w3.org/2000/svg", _Trouble.WEB_PAGE), (b"http://www.w3.org/1999/xhtml", _Trouble.WEB_PAGE),
)  # fmt: skip

# Statements that begin lines of JavaScript, VBScript, PowerShell and batch; one kind alone proves nothing.
_STATEMENTS = re.compile(
    rb"^[ \t]*(?:"
    rb"((?:var|let|const)[ ]+\w{1,40}[ ]*=)|(function[ ]+\w{1,40}[ ]*\()|(eval[ ]*\()"
    rb"|(dim[ ]+\w{1,40}[ ]*(?:,|:|\r?$))|(set[ ]+\w{1,40}[ ]*=)|(sub[ ]+\w{1,40}[ ]*\()|(end sub[ ]*\r?$)"
    rb"|(\$\w{1,40}[ ]*=)|(write-host\b)|(param[ ]*\()|(setlocal\b)|(goto[ ]+:?\w{1,40}[ ]*\r?$)"
    rb"|((?:del|erase)[ ]+/[fsq]\b)|(start[ ]+(?:/|\"))|(if[ ]+(?:not[ ]+)?exist\b)"
    rb")",
    re.MULTILINE,
)
_STATEMENTS_NEEDED = 2


def _judge_text(file: _Received) -> Verdict | None:
    """Judge what can be read as text; None when it cannot."""
    text = _plain_text(file.data)
    if text is None:
        return None
    if _looks_like_letter(text):
        return _judge_letter(text, file.name)
    searched_bytes = max(_SEARCHED_BYTES_AT_LEAST, min(_SEARCHED_BYTES, file.budget.searched_bytes))
    file.budget.searched_bytes -= min(len(text), searched_bytes)
    trouble = _commands(text[:searched_bytes])
    if trouble is not None:
        return _refused(trouble, file.name, "text/html" if trouble is _Trouble.WEB_PAGE else "text/plain")
    start = text[:256].lstrip()
    if start.startswith(b"<?xml") or (start.startswith(b"<") and _extension(file.name) == "xml"):
        return _judge_xml(text, file.name)
    return _accepted("text/csv" if _extension(file.name) == "csv" else "text/plain")


def _judge_letter(text: bytes, name: str) -> Verdict:
    if any(program in text for program in _ENCODED_PROGRAMS):
        return _refused(_Trouble.PROGRAM, name, "message/rfc822")
    return _accepted("message/rfc822")


def _judge_xml(text: bytes, name: str) -> Verdict:
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return _refused(_Trouble.XML_ENTITIES, name, "application/xml")
    return _accepted("application/xml")


def _plain_text(data: bytes) -> bytes | None:
    """Give text in an encoding that keeps ASCII as it is, without a mark; None for what is no text."""
    encoding = _UTF16_MARKS.get(data[:2])
    if encoding is not None:
        return _from_utf16(data[2:], encoding)
    # DOS programs close a text with Ctrl-Z.
    text = data.removeprefix(codecs.BOM_UTF8).removesuffix(b"\x1a")
    if _has_controls(text):
        return None
    dos_statement = text.startswith(b"1CClientBankExchange")
    return text if dos_statement or _CP1251_GAP not in text or _is_utf8(text) else None


def _from_utf16(data: bytes, encoding: str) -> bytes | None:
    try:
        text = data.decode(encoding).encode()
    except UnicodeError:
        return None
    return None if _has_controls(text) else text


def _has_controls(text: bytes) -> bool:
    return len(text.translate(None, _CONTROLS)) != len(text)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _looks_like_letter(text: bytes) -> bool:
    head = text[:_LETTER_HEAD_BYTES].lstrip().splitlines()[:60]
    if not head or not (_HEADER.match(head[0]) or head[0].startswith(b"From ")):
        return False
    return sum(1 for line in head if _HEADER.match(line)) >= _HEADERS_NEEDED


def _commands(text: bytes) -> _Trouble | None:
    """Recognise commands for a computer, or a web page."""
    # Commands are ASCII in any language; what is left of Russian text is searched in no time.
    window = text.translate(_LOWER, _NOT_ASCII)
    start = window[:4096].lstrip()
    for opening, trouble in _COMMAND_STARTS:
        if start.startswith(opening):
            return trouble
    for command, trouble in _COMMANDS:
        if command in window:
            return trouble
    kinds: set[int | None] = set()
    for statement in _STATEMENTS.finditer(window, 0, _STATEMENT_BYTES):
        kinds.add(statement.lastindex)
        if len(kinds) >= _STATEMENTS_NEEDED:
            return _Trouble.SCRIPT
    return None


# --- Zip, and the Office formats that are zips --------------------------------------------------------

_MAX_RATIO = 100
_RATIO_FLOOR_BYTES = 10 * 1024 * 1024
"""Below this an archive may be packed as tightly as it likes: it does no harm."""
_MAX_PART_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024

_ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000
_UTF8_NAME_FLAG = 0x800

_ZIP_METHODS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, NotImplementedError,
    RuntimeError, OverflowError, LookupError,
)  # fmt: skip

_CONTENT_TYPES = "[Content_Types].xml"

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_OFFICE_MAIN_PARTS = (
    (b"wordprocessingml.document.main+xml", _WORD),
    (b"wordprocessingml.template.main+xml", _WORD),
    (b"spreadsheetml.sheet.main+xml", _EXCEL),
    (b"spreadsheetml.template.main+xml", _EXCEL),
)
_OFFICE_MACROS = (b"vbaproject", b"macroenabled", b"macrosheet")
_OPEN_DOCUMENTS = frozenset(
    ("application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.spreadsheet")
)
_OPEN_DOCUMENT_MACROS = ("Basic/", "Scripts/")

_PROGRAM_MEMBERS = frozenset(("META-INF/MANIFEST.MF", "AndroidManifest.xml", "AppxManifest.xml"))

# What file managers leave in archives; no reason to refuse the rest.
_LITTER = re.compile(r"(?:^|/)(?:__MACOSX/.*|\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)

_BAD_PATH = re.compile(r"^(?:/|[A-Za-z]:)|(?:^|/)\.\.(?:/|$)|\x00")


def _judge_zip(file: _Received) -> Verdict:
    # zipfile reads the whole directory at once; every entry there begins like this.
    file.budget.zip_headers -= file.data.count(b"PK\x01\x02")
    if file.budget.zip_headers < 0:
        return _refused(_Trouble.BOMB, file.name, "application/zip")
    try:
        with zipfile.ZipFile(BytesIO(file.data)) as archive:
            return _judge_archive(file, archive)
    except _ZIP_ERRORS:
        return _refused(_Trouble.BROKEN, file.name, "application/zip")


def _judge_archive(file: _Received, archive: zipfile.ZipFile) -> Verdict:
    members = [member for member in archive.infolist() if not member.is_dir()]
    trouble = _archive_trouble(file, members)
    if trouble is not None:
        return _refused(trouble, file.name, "application/zip")
    paths = frozenset(member.filename for member in members)
    if _CONTENT_TYPES in paths:
        return _judge_office(file, archive, paths)
    if "mimetype" in paths:
        return _judge_open_document(file, archive, paths)
    if paths & _PROGRAM_MEMBERS:
        return _refused(_Trouble.PROGRAM, file.name, "application/java-archive")
    if file.depth > 1:
        return _refused(_Trouble.NESTED, file.name, "application/zip")
    return _judge_members(file, archive, members)


def _archive_trouble(file: _Received, members: list[zipfile.ZipInfo]) -> _Trouble | None:
    """What the directory alone tells against an archive."""
    unpacked_bytes = sum(member.file_size for member in members)
    tight = unpacked_bytes > max(_RATIO_FLOOR_BYTES, len(file.data) * _MAX_RATIO)
    encrypted = any(member.flag_bits & _ENCRYPTED_FLAGS for member in members)
    uncommon = any(member.compress_type not in _ZIP_METHODS for member in members)
    too_long = any(member.file_size > MAX_MEMBER_BYTES for member in members)
    found = (
        (encrypted, _Trouble.PASSWORD),
        (tight or too_long or unpacked_bytes > file.budget.unpacked_bytes, _Trouble.BOMB),
        (uncommon, _Trouble.OTHER_ARCHIVE),
    )
    return next((trouble for is_so, trouble in found if is_so), None)


def _judge_members(file: _Received, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> Verdict:
    file.budget.members -= len(members)
    if file.budget.members < 0:
        return _refused(_Trouble.BOMB, file.name, "application/zip")
    if any(_BAD_PATH.search(_member_path(member)) for member in members):
        return _refused(_Trouble.BAD_PATH, file.name, "application/zip")
    found = False
    for member in members:
        inner = _judge_member(file, archive, member)
        if inner is not None and not inner.accepted:
            reason = sentence(_("Архив «{name}» не принят.", name=file.name), inner.reason)
            return Verdict(accepted=False, media_type="application/zip", reason=reason)
        found = found or inner is not None
    return _accepted("application/zip") if found else _refused(_Trouble.EMPTY_ARCHIVE, file.name)


def _judge_member(file: _Received, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Verdict | None:
    """Judge one file of an archive; None for what does not count as a file."""
    path = _member_path(member)
    inner = _Received(_unpacked(archive, member, file.budget), safe_name(path), file.budget, file.depth + 1)
    if _extension(inner.name) in _PROGRAM_EXTENSIONS:
        return _judge(inner)
    if _LITTER.search(path):
        program = _first(_PROGRAMS, inner.data)
        return _by_signature(program, inner.name) if program else None
    return _judge(inner) if inner.data else None


def _member_path(member: zipfile.ZipInfo) -> str:
    path = member.filename
    if not member.flag_bits & _UTF8_NAME_FLAG:
        # Windows in Russia writes names in cp866; zipfile takes them for cp437.
        path = path.encode("cp437", "replace").decode("cp866")
    return path.replace("\\", "/")


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: _Budget) -> bytes:
    """Read a member to its real end, whatever size it claims; raises BadZipFile when it lied."""
    honest = copy.copy(member)
    # zipfile stops at the claimed size and would hide the rest from us; other programs would not.
    honest.file_size = member.file_size + 1
    content = bytearray()
    with archive.open(honest) as stream:
        while chunk := stream.read(_READ_BYTES):
            content += chunk
    if len(content) != member.file_size:
        raise zipfile.BadZipFile("The size of a member is not what the directory says")
    budget.unpacked_bytes -= len(content)
    return bytes(content)


def _part(archive: zipfile.ZipFile, path: str, budget: _Budget) -> bytes:
    """Read the small describing part of an Office file, in lower case and as if it were ASCII."""
    member = archive.getinfo(path)
    if member.file_size > _MAX_PART_BYTES:
        raise zipfile.BadZipFile("A describing part is too long")
    return _unpacked(archive, member, budget).replace(b"\x00", b"").lower()


def _judge_office(file: _Received, archive: zipfile.ZipFile, paths: frozenset[str]) -> Verdict:
    types = _part(archive, _CONTENT_TYPES, file.budget)
    media_type = next((media for main, media in _OFFICE_MAIN_PARTS if main in types), None)
    if any(macro in types for macro in _OFFICE_MACROS) or any("vbaproject" in path.lower() for path in paths):
        return _refused(_Trouble.MACROS, file.name, media_type or UNKNOWN)
    if _has_entities(file, archive, paths, (b"<!doctype", b"<!entity")):
        return _refused(_Trouble.XML_ENTITIES, file.name, media_type or UNKNOWN)
    trouble = _active_part(file, archive, paths) or _embedded_trouble(file, archive, paths)
    if trouble is not None:
        return _refused(trouble, file.name, media_type or UNKNOWN)
    return _judge_parts(file, paths, media_type)


_RELATION_WEIGHT = 4
"""Relationships are parsed, which takes so much longer than searching."""
_MAX_OTHER_PARTS = 3000
_MAX_EMBEDDED_DEPTH = 2


def _active_part(file: _Received, archive: zipfile.ZipFile, paths: frozenset[str]) -> _Trouble | None:
    """What a part of an Office file loads or starts when the file is opened."""
    searched = [(path, judge) for path in paths if (judge := _judge_of_part(path.lower())) is not None]
    for path, judge in searched:
        weight = _RELATION_WEIGHT if judge is active_content.relations_act else 1
        file.budget.searched_part_bytes -= weight * archive.getinfo(path).file_size
    if file.budget.searched_part_bytes < 0:
        return _Trouble.BOMB
    for path, judge in searched:
        part = _unpacked(archive, archive.getinfo(path), file.budget)
        if judge is active_content.relations_act:
            if any(sign in part.replace(b"\x00", b"").lower() for sign in (b"<!doctype", b"<!entity")):
                return _Trouble.XML_ENTITIES
        elif b"\x00" in part:
            part = part.replace(b"\x00", b"")  # UTF-16
        if judge(part):
            return _Trouble.BRINGS_ALONG
    return None


def _judge_of_part(path: str) -> Callable[[bytes], bool] | None:
    if path.endswith(".rels"):
        return active_content.relations_act
    if path.startswith("word/") and path.endswith(".xml"):
        return active_content.fields_act
    if "externallink" in path:
        return active_content.external_link_acts
    return None


def _embedded_trouble(file: _Received, archive: zipfile.ZipFile, paths: frozenset[str]) -> _Trouble | None:
    """What is wrong with the files that an Office file brings along, whatever they are called there."""
    others = [path for path in paths if not path.lower().endswith(_XML_PARTS)]
    if len(others) > _MAX_OTHER_PARTS:
        raise zipfile.BadZipFile("Too many parts")
    for path in others:
        with archive.open(path) as part:
            head = part.read(len(_OLE_MAGIC))
        inner = None
        if head == _OLE_MAGIC or head.startswith(b"PK\x03\x04") or _first(_PROGRAMS, head):
            content = _unpacked(archive, archive.getinfo(path), file.budget)
            inner = _Received(content, file.name, file.budget, file.depth + 1)
        trouble = _trouble_of_embedded(inner) if inner else None
        if trouble is not None:
            return trouble
    return None


def _trouble_of_embedded(inner: _Received) -> _Trouble | None:
    if _first(_PROGRAMS, inner.data):
        return _Trouble.PROGRAM
    if inner.data.startswith(_OLE_MAGIC):
        compound = _read_compound(inner.data, inner.budget)
        return _compound_trouble(inner, compound)
    inner.budget.zip_headers -= inner.data.count(b"PK\x01\x02")
    if inner.depth > _MAX_EMBEDDED_DEPTH or inner.budget.zip_headers < 0:
        return _Trouble.NESTED
    with zipfile.ZipFile(BytesIO(inner.data)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        paths = frozenset(member.filename for member in members)
        trouble = _archive_trouble(inner, members)
        if trouble is not None or _CONTENT_TYPES not in paths:
            return trouble or _Trouble.BRINGS_ALONG
        verdict = _judge_office(inner, archive, paths)
    # A chart's table is judged as any workbook; drawings and slides, which nobody may send, may lie inside.
    return (
        None
        if verdict.accepted or verdict.reason == _refused(_Trouble.UNKNOWN, inner.name).reason
        else (_Trouble.BRINGS_ALONG)
    )


def _judge_open_document(file: _Received, archive: zipfile.ZipFile, paths: frozenset[str]) -> Verdict:
    claimed = _part(archive, "mimetype", file.budget).strip().decode("ascii", "replace")
    media_type = claimed if claimed in _OPEN_DOCUMENTS else None
    if any(path.startswith(_OPEN_DOCUMENT_MACROS) for path in paths):
        return _refused(_Trouble.MACROS, file.name, media_type or UNKNOWN)
    if media_type and b"encryption-data" in _part(archive, "META-INF/manifest.xml", file.budget):
        return _refused(_Trouble.PASSWORD, file.name, media_type)
    # Old OpenOffice wrote a DOCTYPE of its own; entities nobody needs.
    if _has_entities(file, archive, paths, (b"<!entity",)):
        return _refused(_Trouble.XML_ENTITIES, file.name, media_type or UNKNOWN)
    return _judge_parts(file, paths, media_type)


_MAX_XML_PARTS = 3000
_XML_HEAD_BYTES = 64 * 1024
_XML_PARTS = (".xml", ".rels", ".vml")


def _has_entities(
    file: _Received, archive: zipfile.ZipFile, paths: frozenset[str], signs: tuple[bytes, ...]
) -> bool:
    """Whether a part of an Office file defines entities: they must stand before its first element."""
    parts = [path for path in paths if path.lower().endswith(_XML_PARTS)]
    if len(parts) > _MAX_XML_PARTS:
        raise zipfile.BadZipFile("Too many parts")
    for path in parts:
        with archive.open(path) as part:
            head = part.read(_XML_HEAD_BYTES)
        file.budget.unpacked_bytes -= len(head)
        if any(sign in head.replace(b"\x00", b"").lower() for sign in signs):
            return True
    return False


def _judge_parts(file: _Received, paths: frozenset[str], media_type: str | None) -> Verdict:
    """An archive may dress up as a document: what it could be unpacked to decides too."""
    if any(_extension(path) in _PROGRAM_EXTENSIONS for path in paths):
        return _refused(_Trouble.PROGRAM, file.name)
    return _accepted(media_type) if media_type else _refused(_Trouble.UNKNOWN, file.name)


# --- OLE: the Office formats before 2007, Outlook letters, installers ----------------------------------

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENTRY_BYTES = 128
_OLE_LAST_SECTOR = 0xFFFFFFFA
_OLE_MAX_CHAINED = 8
_OLE_SECTOR_BYTES = 512
_OLE_SECTOR_SHIFTS = frozenset((9, 12))

# Class ids of Windows Installer: a package, a patch, a transform.
_INSTALLER_CLASSES = frozenset(
    bytes((first,)) + b"\x10\x0c\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"
    for first in (0x82, 0x84, 0x86)
)
_INSTALLER_TABLE = "\u4840"
_DOS_STUBS = (b"This program cannot be run in DOS mode", b"This program must be run under Win32")

# The first stream found decides.
_OLE_REFUSALS = (
    (frozenset(("EncryptedPackage", "EncryptionInfo")), _Trouble.PASSWORD),
    (frozenset(("VBA", "_VBA_PROJECT", "_VBA_PROJECT_CUR", "Macros")), _Trouble.MACROS),
)
_OLE_DOCUMENTS = (
    ("__properties_version1.0", "application/vnd.ms-outlook"),
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
)


@dataclass(frozen=True, slots=True)
class _Compound:
    names: frozenset[str]
    class_id: bytes


def _judge_ole(file: _Received) -> Verdict:
    try:
        compound = _read_compound(file.data, file.budget)
    except (struct.error, ValueError):
        return _refused(_Trouble.BROKEN, file.name, "application/x-ole-storage")
    media_type = next((media for stream, media in _OLE_DOCUMENTS if stream in compound.names), None)
    trouble = _compound_trouble(file, compound)
    if trouble is _Trouble.PROGRAM:
        return _refused(trouble, file.name, "application/x-ole-storage")
    if trouble is not None:
        return _refused(trouble, file.name, media_type or "application/x-ole-storage")
    if media_type is None:
        return _refused(_Trouble.UNKNOWN, file.name, "application/x-ole-storage")
    return _accepted(media_type)


def _compound_trouble(file: _Received, compound: _Compound) -> _Trouble | None:
    installer = any(entry.startswith(_INSTALLER_TABLE) for entry in compound.names)
    if installer or compound.class_id in _INSTALLER_CLASSES or any(stub in file.data for stub in _DOS_STUBS):
        return _Trouble.PROGRAM
    for streams, trouble in _OLE_REFUSALS:
        if streams & compound.names:
            return trouble
    is_letter = "__properties_version1.0" in compound.names  # a picture pasted there is such a stream too
    return None if is_letter or not active_content.streams_act(compound.names) else _Trouble.BRINGS_ALONG


def _read_compound(data: bytes, budget: _Budget) -> _Compound:
    """Read the directory of a compound file; raises ValueError or struct.error when it makes no sense.

    https://learn.microsoft.com/openspecs/windows_protocols/ms-cfb
    """
    (shift,) = struct.unpack_from("<H", data, 30)
    if shift not in _OLE_SECTOR_SHIFTS:
        raise ValueError("Unknown sector size")
    sector_bytes = 1 << shift
    (directory_at,) = struct.unpack_from("<I", data, 48)
    table = _allocation_sectors(data, sector_bytes)
    per_sector = sector_bytes // 4
    names: set[str] = set()
    class_id = b""
    seen: set[int] = set()
    sector = directory_at
    while sector < _OLE_LAST_SECTOR:
        budget.directory_sectors -= sector_bytes // _OLE_SECTOR_BYTES
        if sector in seen or budget.directory_sectors < 0:
            raise ValueError("The directory runs in a circle")
        seen.add(sector)
        start = (sector + 1) * sector_bytes
        for at in range(start, start + sector_bytes, _OLE_ENTRY_BYTES):
            name, entry_class = _directory_entry(data, at)
            names.add(name)
            class_id = class_id or entry_class
        holder = table[sector // per_sector] if sector // per_sector < len(table) else None
        if holder is None:
            raise ValueError("The directory leaves the allocation table")
        (sector,) = struct.unpack_from("<I", data, (holder + 1) * sector_bytes + sector % per_sector * 4)
    return _Compound(frozenset(names), class_id)


def _allocation_sectors(data: bytes, sector_bytes: int) -> list[int]:
    """List the sectors that hold the allocation table: 109 in the header, the rest in a chain."""
    first_chained, chained_count = struct.unpack_from("<II", data, 68)
    sectors = list(struct.unpack_from("<109I", data, 76))
    sector = first_chained
    per_sector = sector_bytes // 4
    for _step in range(min(chained_count, _OLE_MAX_CHAINED)):
        if sector >= _OLE_LAST_SECTOR:
            break
        *more, sector = struct.unpack_from(f"<{per_sector}I", data, (sector + 1) * sector_bytes)
        sectors.extend(more)
    return sectors


def _directory_entry(data: bytes, at: int) -> tuple[str, bytes]:
    raw, name_bytes = struct.unpack_from("<64sH", data, at)
    (class_id,) = struct.unpack_from("<16s", data, at + 80)
    return raw[: max(0, min(name_bytes, 64) - 2)].decode("utf-16-le", "replace"), class_id
