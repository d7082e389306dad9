"""What stands in a letter: whose it is, what was written anew, what is attached. Pure, never raises.

Letters come from every program of thirty years, so nothing here trusts a header: charsets are guessed
when they lie, names are decoded in each of the ways that were ever used for them, and what a program
quotes below an answer is told from what a person wrote. Anybody may send a letter made to be slow to
read, so the time for one grows with its length and no faster: patterns never search blanks twice.
"""

from __future__ import annotations

import mimetypes
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import Compat32
from email.utils import collapse_rfc2231_value, getaddresses
from encodings import normalize_encoding
from encodings.aliases import aliases
from html import unescape

MAX_TEXT_LENGTH = 500_000
"""Of a longer text or page only so much is read."""
MAX_HEADER_LENGTH = 10_000
"""Of a longer header only so much is read: the standard library reads its parts again and again."""
MAX_ADDRESS_LENGTH = 180
"""With a mark before it, an address still fits into the key of a chat."""
MAX_DEPTH = 10
SMALL_PICTURE_BYTES = 40 * 1024
"""A picture inside a page's text is a logo up to this size; a larger one may be a photo of a bill."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a letter, taken out of whatever it was wrapped in.

    One `in_text` is a picture that the letter's page shows among its words.
    """

    name: str
    media_type: str
    content: bytes
    in_text: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """What the sender wrote, and what their program quoted below or around it.

    `is_signature` tells that they have signed a letter without words: `own` is the signature then.
    """

    own: str
    quoted: str = ""
    is_signature: bool = False
    between: tuple[tuple[str, str], ...] = ()
    """What was written below which line of a quote, where somebody has answered in the midst of it."""


# ---------------------------------------------------------------------- headers


class _Lenient(Compat32):
    """Headers with bare 8-bit bytes are read in the likeliest charset instead of as question marks."""

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002 - the policy's own
        value = value[:MAX_HEADER_LENGTH].replace("\x00", "")
        return value if value.isascii() else decoded_bytes(value.encode("utf-8", "surrogateescape"), None)


def read(raw: bytes) -> Message:
    """Read the bytes of a letter, or of the beginning of one."""
    message = message_from_bytes(raw, policy=_Lenient())
    if message.get_content_maintype() == "multipart" and not message.is_multipart():
        _part(message)
    return message


_BOUNDARY = re.compile(rb"\s*--([^\s\"\\]{1,200})[ \t]*\r?\n")


def _part(message: Message) -> None:
    """Part a letter whose header does not say where its parts begin: its first line does."""
    content = _content(message)
    boundary = _BOUNDARY.match(content)
    if boundary is not None:
        head = b'Content-Type: multipart/mixed; boundary="' + boundary[1] + b'"\r\n\r\n'
        parted = message_from_bytes(head + content, policy=_Lenient())
        if parted.is_multipart():
            message.set_payload(parted.get_payload())


def header(message: Message, name: str) -> str:
    """A header in one line, its encoded words read; "" when there is none."""
    value = message.get(name)
    return _in_one_line(_decoded_words(str(value))) if value is not None else ""


def headers(message: Message, name: str) -> list[str]:
    """All headers of this name, the topmost first."""
    return [_in_one_line(_decoded_words(str(value))) for value in message.get_all(name, [])]


def addresses(message: Message, name: str) -> list[tuple[str, str]]:
    """Names and addresses (lower-cased) of a header of addresses."""
    raw = [str(value) for value in message.get_all(name, [])]
    found = [(_decoded_words(person), address.strip().lower()) for person, address in getaddresses(raw)]
    return [(_in_one_line(person), address) for person, address in found if address]


def _in_one_line(text: str) -> str:
    return " ".join(_storable(text).split())


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _storable(text: str) -> str:
    """Text that UTF-8 and every database can hold: halves of pairs become question marks, NUL goes."""
    return _UNSTORABLE.sub(lambda found: "" if found[0] == "\x00" else "\ufffd", text)


_ATOM = r"[^\s@<>\"(),:;\\\[\].\x00-\x1f\x7f\ud800-\udfff]+"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*")


def is_address(text: str) -> bool:
    """Whether this can be written to; quoted local parts and address literals are nobody's."""
    return len(text) <= MAX_ADDRESS_LENGTH and _ADDRESS.fullmatch(text) is not None


_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bBqQ])\?([^?]*)\?=")


def _decoded_words(text: str) -> str:
    """Read encoded words (RFC 2047), also where a letter is cut in two or the padding is missing."""
    if "=?" not in text:
        return text
    shown: list[str] = []
    pending, pending_charset, end = b"", "", 0
    for match in _WORD.finditer(text):
        between = text[end : match.start()]
        charset, content = match[1].partition("*")[0].lower(), _word_bytes(match[2], match[3])
        if pending and not between.strip() and charset == pending_charset:
            pending += content
        else:
            shown.append(decoded_bytes(pending, pending_charset) if pending else "")
            # White space between two encoded words is only their separator.
            shown.append(between if between.strip() or not end else "")
            pending, pending_charset = content, charset
        end = match.end()
    shown.append(decoded_bytes(pending, pending_charset) if pending else "")
    return "".join([*shown, text[end:]])


def _word_bytes(encoding: str, content: str) -> bytes:
    import binascii
    import quopri

    if encoding in "qQ":
        return quopri.decodestring(content.replace("_", " ").encode("utf-8", "replace"), header=True)
    packed = re.sub(r"[^A-Za-z0-9+/]", "", content)
    # One character alone in the last group holds no byte.
    packed = packed[: len(packed) - 1] if len(packed) % 4 == 1 else packed
    return binascii.a2b_base64(packed + "=" * (-len(packed) % 4))


# ---------------------------------------------------------------------- charsets

_CYRILLIC_CHARSETS = ("cp1251", "koi8-r", "cp866")
_FREQUENT = frozenset("оеаинтсрвлкмдпу")
_WESTERN = frozenset(("latin_1", "cp1252", "iso8859_15"))
_CHARSETS = _WESTERN | frozenset(
    (
        "utf_8", "utf_16", "utf_16_be", "utf_16_le", "cp1251", "koi8_r", "koi8_u", "cp866", "cp855",
        "mac_cyrillic", "kz1048", "ptcp154", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256",
        "cp1257", "cp1258", "cp437", "cp850", "cp852", "cp857", "mac_roman", "iso8859_2",
        "iso8859_3", "iso8859_4", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "iso8859_9",
        "iso8859_10", "iso8859_13", "iso8859_14", "iso8859_16", "tis_620", "cp874", "gb2312", "gbk",
        "gb18030", "big5", "cp950", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "euc_kr", "cp949",
        "iso2022_kr",
    )
)  # fmt: skip
"""What letters are written in. Python knows more: of those some are no text, some make what is none."""
_OF_MANY_BYTES = ("utf_", "gb", "big5", "cp950", "shift_jis", "cp932", "euc_", "iso2022_", "cp949")
_MOSTLY = 0.3


def decoded_bytes(content: bytes, charset: str | None) -> str:
    """Text of bytes: as declared, if that can be; else UTF-8, else the likeliest Cyrillic charset."""
    declared = _codec(charset or "")
    if content.isascii() and b"\x1b" not in content and not declared.startswith("utf_16"):
        return content.decode("ascii")
    believed = declared in _CHARSETS and not (declared in _WESTERN and _looks_cyrillic(content))
    # Words in a charset of one byte are never UTF-8 by chance, but UTF-8 is declared as such by mistake.
    is_sure = believed and declared.startswith(_OF_MANY_BYTES)
    for candidate in (declared, "utf_8") if is_sure else ("utf_8", declared if believed else "utf_8"):
        try:
            return _storable(content.decode(candidate))
        except (LookupError, ValueError):
            continue
    return max(
        (content.decode(name, "replace") for name in _CYRILLIC_CHARSETS),
        key=lambda text: sum(letter in _FREQUENT for letter in text),
    )


def _codec(charset: str) -> str:
    name = normalize_encoding(charset[:60].strip().strip("\"'").lower())
    return aliases.get(name, name)


def _looks_cyrillic(content: bytes) -> bool:
    """Whether most letters are beyond ASCII: so no Western language is written."""
    high = sum(byte >= 0x80 for byte in content)  # noqa: PLR2004
    low = len(re.findall(rb"[A-Za-z]", content))
    return high > _MOSTLY * (high + low)


# ---------------------------------------------------------------------- what was written


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a letter beside its text.

    A letter that is no reply quotes only what went from `own_address`: other letters in it are content.
    Where `is_press` says of a line that it is a button, a number or a command, a signature below it is
    one whatever it looks like.
    """

    own_address: str = ""
    is_reply: bool = True
    is_press: Callable[[str], bool] = lambda _line: False


NOTHING = Known()


def words(message: Message, known: Known = NOTHING) -> Words:
    """The text of a letter apart from its quotes and signature; forwarded letters are content."""
    text = _storable(_body(message, 0)[:MAX_TEXT_LENGTH]).replace("\r\n", "\n").replace("\r", "\n")
    forwarded = FORWARDED_SUBJECT.match(header(message, "Subject")) is not None
    found = _unquoted(text, known, forwarded=forwarded)
    attached = [_attached_text(letter) for letter in _attached_letters(message)]
    if not attached:
        return found
    own = "" if found.is_signature else found.own
    return Words("\n\n".join(part for part in (own, *attached) if part), found.quoted)


_CIPHERED = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted"))
_PGP = re.compile(r"\s*-----BEGIN PGP MESSAGE-----")


def is_ciphered(message: Message, found: Words) -> bool:
    """Whether a letter with these words is encrypted, or wrapped up with its signature."""
    if found.own.strip():
        return _PGP.match(found.own) is not None
    return any(
        part.get_content_type() in _CIPHERED
        and (part is message or part.is_multipart() or _file_name(part).lower() == "smime.p7m")
        for part in message.walk()
    )


def _attached_text(letter: Message) -> str:
    """A letter that was attached to another: who wrote it about what, and its words."""
    sender = next((person or address for person, address in addresses(letter, "From")), "")
    about = f"Пересланное письмо «{header(letter, 'Subject')}»" + (f", {sender}" if sender else "") + ":"
    return f"{about}\n{_storable(_body(letter, 0)[:MAX_TEXT_LENGTH]).strip()}".strip()


def _body(part: Message, depth: int) -> str:
    if depth > MAX_DEPTH:
        return ""
    return _text_of_parts(part, depth) if part.is_multipart() else _text_of_part(part)


def _text_of_parts(part: Message, depth: int) -> str:
    children = _children(part)
    if part.get_content_subtype() == "alternative":
        return _best(children, depth)
    if part.get_content_subtype() == "related":
        children = children[:1]
    texts = [_body(child, depth + 1) for child in children if child.get_content_maintype() != "message"]
    return "\n".join(text.strip("\n") for text in texts if text.strip())


def _text_of_part(part: Message) -> str:
    if part.get_content_maintype() == "multipart":  # of which it has none: what stands there is read
        return decoded_bytes(_content(part)[: 4 * MAX_TEXT_LENGTH], part.get_content_charset())
    if part.get_content_maintype() != "text" or _is_file(part):
        return ""
    text = decoded_bytes(_content(part)[: 4 * MAX_TEXT_LENGTH], part.get_content_charset())
    match part.get_content_subtype():
        case "html":
            return text_of_html(text)
        case "plain":
            text = _unflowed(text) if str(part.get_param("format", "")).lower() == "flowed" else text
            return _PICTURE_MARK.sub("", text)
        case _:
            return ""


_PICTURE_MARK = re.compile(r"\[(?:cid:|image: |изображение: )[^\[\]\n]{1,200}\]", re.IGNORECASE)
"""What programs put into the plain text where the page shows a picture."""


def _best(alternatives: list[Message], depth: int) -> str:
    """The plain text, unless it is empty; then the page."""
    plain = [part for part in alternatives if part.get_content_type() == "text/plain"]
    others = [part for part in alternatives if part.get_content_type() != "text/plain"]
    texts = (_body(part, depth + 1) for part in (*plain, *others))
    return next((text for text in texts if text.strip()), "")


def _unflowed(text: str) -> str:
    """Join the lines that a program has broken for the look of it (RFC 3676)."""
    paragraphs: list[list[str]] = []
    joins = False
    for line in text.replace("\r\n", "\n").split("\n"):
        if joins and not line.startswith(">") and line != "-- ":
            paragraphs[-1].append(line)
        else:
            paragraphs.append([line.removeprefix(" ")])
        joins = line.endswith(" ") and line != "-- " and not line.startswith(">")
    lines = ("".join(parts) for parts in paragraphs)
    return "\n".join(line.rstrip(" ") if line != "-- " else line for line in lines)


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


# ---------------------------------------------------------------------- pages

_BLOCKS = frozenset(
    (
        "address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset",
        "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre",
        "section", "table", "tr", "ul",
    )
)  # fmt: skip
_UNSEEN = frozenset(("script", "style", "head", "title", "noscript", "template", "svg", "object"))
_RAW = frozenset(("script", "style"))
_OPENING = re.compile(r"<[a-zA-Z/!?]")
# A tag ends before the next "<": so each is read once, closed or not.
_TAG = re.compile(
    r"""<(?P<closes>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]*+)"""
    r"""(?P<rest>(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+|[^<>]*+)>|<[!?][^<>]*+>"""
)


def text_of_html(page: str) -> str:
    """The text of a page: blocks as lines, quotes marked with ">"; nothing of it is ever run or fetched."""
    page = page[:MAX_TEXT_LENGTH]
    reader = _PageReader()
    position = 0
    while position < len(page):
        opening = _OPENING.search(page, position)
        at = opening.start() if opening else len(page)
        reader.text_comes(page[position:at])
        position = _after_tag(page, at, reader) if opening else at
    return reader.text()


def _after_tag(page: str, at: int, reader: _PageReader) -> int:
    """Read the tag or comment that may begin here; where to go on from."""
    if page.startswith("<!--", at):
        return _end_of(page.find("-->", at + 2), page) + 3
    tag = _TAG.match(page, at)
    if tag is None:
        reader.text_comes("<")
        return at + 1
    name = (tag["name"] or "").lower()
    if name and not tag["closes"]:
        reader.tag_opens(name)
        if name in _RAW and not tag["rest"].endswith("/"):
            closing = re.compile(f"</{name}", re.IGNORECASE).search(page, tag.end())
            return _end_of(closing.start() if closing else -1, page)
    if name and (tag["closes"] or tag["rest"].endswith("/")):
        reader.tag_closes(name)
    return tag.end()


def _end_of(found: int, page: str) -> int:
    return found if found >= 0 else len(page)


class _PageReader:
    """Lines as they grow: the pieces of each, joined at the end."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = [[""]]
        self._says_something = self._ends_blank = False
        self._unseen = self._quotes = self._kept = 0

    def tag_opens(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        if tag in _BLOCKS:
            self._block(blank=tag == "p")
        if tag == "br":
            self._break()
        if tag == "li":
            self._add("- ")
        if tag in ("td", "th") and self._says_something:
            self._add(" ")
        self._quotes += tag == "blockquote"
        self._kept += tag == "pre"
        if tag == "blockquote":
            self._break()

    def tag_closes(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        if tag == "blockquote":
            self._quotes = max(0, self._quotes - 1)
            self._break()
        if tag == "pre":
            self._kept = max(0, self._kept - 1)
        if tag in _BLOCKS:
            self._block(blank=tag == "p")

    def text_comes(self, source: str) -> None:
        if self._unseen:
            return
        text = _without_references(source)
        if self._kept:
            first, *rest = text.split("\n")
            self._add(first)
            for line in rest:
                self._break()
                self._add(line)
            return
        text = re.sub(r"\s+", " ", text)
        self._add(text.lstrip() if not self._says_something or self._ends_blank else text)

    def _add(self, text: str) -> None:
        if text:
            self._lines[-1].append(text)
            self._says_something = self._says_something or bool(text.strip())
            self._ends_blank = text.endswith(" ")

    def _break(self) -> None:
        self._lines.append(["> " if self._quotes else ""])
        self._says_something, self._ends_blank = False, True

    def _block(self, *, blank: bool) -> None:
        if not self._says_something:
            self._lines.pop()
        elif blank:
            self._break()
        self._break()

    def text(self) -> str:
        lines = ("".join(parts).replace("\xa0", " ") for parts in self._lines)
        lines = (line if line == _DELIMITER else line.rstrip() for line in lines)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _without_references(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # a number of thousands of digits
        return text


# ---------------------------------------------------------------------- quotes and signatures

FORWARDED_SUBJECT = re.compile(r"\A\s*(?:fwd?|wg|пересл\w*|перенапр\w*)\s*:", re.IGNORECASE)
_FORWARDED = re.compile(
    r"\W*(?:(?:begin )?forwarded message|пересылаемое (?:сообщение|письмо)|пересланное (?:сообщение|письмо)|"
    r"(?:начало )?переадресованно\w+ (?:сообщени|письм)\w+|начало пересылаемого \w+|"
    r"конец пересылаемого \w+)\W*",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"\s*-{2,}\s*(?:original message|original appointment|"
    r"(?:исходное|оригинальное|первоначальное) (?:сообщение|письмо))\s*-{2,}\s*",
    re.IGNORECASE,
)
_HEAD_FROM = re.compile(r"\s*\*?(?:от|from|отправитель|от кого)\s*:\*?\s*\S", re.IGNORECASE)
_HEAD_SENT = re.compile(r"\s*\*?(?:отправлено|sent|дата|date)\s*:", re.IGNORECASE)
_HEAD_OTHER = re.compile(r"\s*\*?(?:кому|to|тема|subject|копия|cc)\s*:", re.IGNORECASE)
_HEAD_LINES = 6
_RULE = re.compile(r"\s*[_—–-]{5,}\s*")

_WROTE = re.compile(r"\b(?:написал\w*|написа\(а\)|пишет|писал\w*|wrote|schrieb)\b", re.IGNORECASE)
_MOMENT = re.compile(r"\d{1,2}:\d\d|\b20\d\d\b|\d{1,2}\.\d{1,2}\.\d\d")
_WHO = re.compile(r"[^\s@<>]+@[^\s@<>]+")
_ATTRIBUTION_LENGTH = 300
_ATTRIBUTION_LINES = 3

_MOBILE = re.compile(
    r"\s*(?:отправлено (?:с|со|из|через) (?:моего |мобильн|iphone|ipad|android|samsung|galaxy|huawei|honor|"
    r"xiaomi|redmi|устройства|телефона|смартфона|планшета|почты|яндекс|outlook|mail|mymail|blue|proton|gmail|"
    r"приложения)|sent from (?:my|mail|outlook|yahoo|gmail|samsung|proton)|get outlook for |"
    r"(?:скачать|получить) outlook ).{0,80}",
    re.IGNORECASE,
)
_DELIMITER = "-- "
"""What stands above a signature: https://www.rfc-editor.org/rfc/rfc3676#section-4.3."""
_DASHES = frozenset(("--", "—"))
_CLOSING = re.compile(
    r"\s*(?:--\s*)?(?:с (?:глубоким |большим |искренним |неизменным )?(?:уважением|ув\b\.?)|"
    r"с наилучшими(?: пожеланиями)?|(?:best |kind |warm )?regards|best wishes|sincerely(?: yours)?|"
    r"yours sincerely|rgds|br|kr)\b",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"\s*(?:заранее |большое )?(?:спасибо|благодар(?:ю|им)|всего (?:доброго|хорошего|наилучшего)|"
    r"хорошего дня|thanks|thank you|many thanks|cheers)(?: заранее| большое)?\b",
    re.IGNORECASE,
)
"""What closes a letter only when a name follows."""
_TITLE = re.compile(
    r"(?:ген|гл|зам|исп|фин|комм?)\w*|директор\w*|бухгалтер\w*|менеджер\w*|юрист\w*|руководител\w*|"
    r"начальни\w*|специалист\w*|секретарь|кассир|экономист|предпринимател\w*|компани\w*|команда|коллектив|"
    r"отдел\w*|ваш\w*|и|по|the|team|and|of",
    re.IGNORECASE,
)
_TELEPHONE = re.compile(r"(?:тел\.?:?\s*)?(?:\+7|\b8)[\d\s()-]{9,}", re.IGNORECASE)
_NAMES = 4
_POSTSCRIPT = re.compile(r"\s*(?:p\.?\s?s|з\.?\s?ы)\b", re.IGNORECASE)
_SIGNATURE_LINES = 15
_SIGNATURE_LINE_LENGTH = 90
_SIGNATURES = 8
_LAST_LINES = 60
"""Where signatures are looked for: so many lines with words at the end."""

_SECRET = re.compile(
    r"конфиденциал|confidential|privileged|предназначен\w* (?:только|исключительно)", re.IGNORECASE
)
_OF_OTHERS = re.compile(
    r"адресат|получател|ошибоч|по ошибке|recipient|addressee|in error|разглашен|disclos|распростран",
    re.IGNORECASE,
)
_OF_LETTERS = re.compile(
    r"сообщени|письм|вложени|message|e-?mail|communication|информаци|information", re.IGNORECASE
)
_OF_MACHINES = re.compile(
    r"проверено на (?:наличие )?вирус|virus-?free|avast|берегите природу|прежде чем (?:рас)?печат|"
    r"consider the environment|не печатайте это|не является (?:публичной )?офертой",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\b(?:\w+(?:йте|ите|ьте)(?:сь)?|нуж(?:ен|н)\w*|надо|прошу|просим|просьба|пожалуйста|можно|также|ещ[её]|жд[уе]\w*)\b",
    re.IGNORECASE,
)
_PLAIN_WORD = re.compile(r"(?<![\w@/.-])[а-яёa-z]{3,}(?![\w@/-]|\.\s*\S)")
_WORDS_OF_A_SENTENCE, _WORDS_OF_A_PHRASE, _WORDS_BESIDE_A_TITLE = 2, 3, 5


def _unquoted(text: str, known: Known, *, forwarded: bool) -> Words:
    lines = _with_plain_marks(text.split("\n"))
    if forwarded:
        return Words(_without_marks(lines))
    end = next((n for n, line in enumerate(lines) if _is_forward_mark(line)), len(lines))
    split = _split_quotes(lines[:end], known)
    tail = _without_marks([*split.others, *lines[end:]])
    signed = _unsigned(split.own, known.is_press)
    words_of_own = "" if tail and signed.is_signature else signed.own
    return Words(
        "\n\n".join(part for part in (words_of_own, tail) if part),
        "\n".join(_unmarked(line) for line in split.quoted).strip(),
        signed.is_signature and not tail,
        _between(split.runs),
    )


def _is_forward_mark(line: str) -> bool:
    # With its dashes or "Begin …:"; a sentence about a forwarded letter is not one.
    return _FORWARDED.fullmatch(line) is not None and re.search(r"-{2,}|:\s*$", line) is not None


def _without_marks(lines: list[str]) -> str:
    return "\n".join(_unmarked(line) for line in lines).strip()


_MARKS = re.compile(r"\s*(?:>\s?)+")


def _unmarked(line: str) -> str:
    marks = _MARKS.match(line)
    return line[marks.end() :] if marks else line


@dataclass(frozen=True, slots=True)
class _Split:
    """Lines of the sender, of the quote, and of somebody else's letter that is content.

    `runs` are the sender's lines once more, each time with the quoted line above them.
    """

    own: list[str] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    runs: list[tuple[str, list[str]]] = field(default_factory=list)

    def take(self, line: str, *, is_quoted: bool) -> None:
        (self.quoted if is_quoted else self.own).append(line)
        if is_quoted:
            self.runs.append((_unmarked(line), []))
        else:
            if not self.runs:
                self.runs.append(("", []))
            self.runs[-1][1].append(line)


def _between(runs: list[tuple[str, list[str]]]) -> tuple[tuple[str, str], ...]:
    """What was written below questions of the quote; () when nothing was.

    Blank lines between a question and the next line of the quote are nobody's.
    """
    said = [(above.strip(), lines) for above, lines in runs if any(line.strip() for line in lines)]
    if not any(above.endswith(":") for above, _lines in said):
        return ()
    *earlier, (last, below) = said
    signed = _unsigned(below, lambda _line: False)
    return (
        *((above, "\n".join(lines).strip()) for above, lines in earlier),
        (last, "" if signed.is_signature and len(said) > 1 else signed.own),
    )


_INITIALS = re.compile(r"\s*([А-ЯЁA-Z]{1,3})>")


def _with_plain_marks(lines: list[str]) -> list[str]:
    """The Bat marks a quote with the initials of its author («ПБ> »): take them for common marks.

    Once may be anything; twice, or below an introduction, is a quote.
    """
    marks = [_INITIALS.match(line) for line in lines]
    counted = Counter(mark[1] for mark in marks if mark)
    if not counted:
        return lines
    introduced = {
        mark[1]
        for mark, above in zip(marks, _written_above(lines), strict=True)
        if mark and above.endswith(":") and _MOMENT.search(above)
    }
    authors = introduced | {initials for initials, count in counted.items() if count > 1}
    return [
        f">{line[mark.end() :]}" if mark and mark[1] in authors else line
        for line, mark in zip(lines, marks, strict=True)
    ]


def _written_above(lines: list[str]) -> list[str]:
    """For every line, the nearest above it that is not blank."""
    found = [""]
    for line in lines[:-1]:
        found.append(line.rstrip()[-_ATTRIBUTION_LENGTH:] if line.strip() else found[-1])
    return found


def _split_quotes(lines: list[str], known: Known) -> _Split:
    """Whose each line is. A quote without marks goes to the end of the letter."""
    split = _Split()
    own, quoted = split.own, split.quoted
    written_next = _written_next(lines)
    number = 0
    while number < len(lines):
        line = lines[number]
        if not line.strip():
            split.take(line, is_quoted=False)
            number += 1
            continue
        if _ORIGINAL.fullmatch(line) or _is_head(lines, number):
            while own and (_RULE.fullmatch(own[-1]) or not own[-1].strip()):
                own.pop()
            if _is_of_others(lines, number, known):
                split.others.extend(lines[number:])
            else:
                quoted.extend(lines[number:])
            return split
        attribution = _attribution(lines, number)
        if attribution:
            after = written_next[number + attribution]
            introduction = " ".join(lines[number : number + attribution])
            if after.lstrip().startswith(">"):
                number += attribution
                continue
            if _WHO.search(introduction):
                quoted.extend(lines[number:])
                return split
        split.take(line, is_quoted=line.lstrip().startswith(">"))
        number += 1
    return split


def _is_of_others(lines: list[str], number: int, known: Known) -> bool:
    """Whether the head that begins here, or behind a mark here, is of a letter that was passed on to us."""
    if known.is_reply or not known.own_address:
        return False
    near = (at for at in range(number, min(number + _ATTRIBUTION_LINES, len(lines))) if _is_head(lines, at))
    return any(known.own_address not in lines[at].lower() for at in near)


def _written_next(lines: list[str]) -> list[str]:
    """For every line, and for the end: the first from there on that is not blank."""
    found = [""]
    for line in reversed(lines):
        found.append(line if line.strip() else found[-1])
    return found[::-1]


def _is_head(lines: list[str], number: int) -> bool:
    """Whether a block like «От: … Отправлено: … Кому: … Тема: …» of Outlook begins here."""
    if not _HEAD_FROM.match(lines[number]):
        return False
    following = [line for line in lines[number + 1 : number + 1 + 2 * _HEAD_LINES] if line.strip()]
    following = following[:_HEAD_LINES]
    sent = any(_HEAD_SENT.match(line) for line in following)
    return sent and any(_HEAD_OTHER.match(line) for line in following)


def _attribution(lines: list[str], number: int) -> int:
    """How many lines from here introduce a quote («18 нояб. 2026 г., в 10:00, … написал(а):»), or 0."""
    joined = ""
    for count, line in enumerate(lines[number : number + _ATTRIBUTION_LINES], start=1):
        if not line.strip() or line.lstrip().startswith(">"):
            return 0
        joined = f"{joined} {line.strip()}".strip()
        if len(joined) > _ATTRIBUTION_LENGTH:
            return 0
        if joined.endswith(":"):
            named = _WHO.search(joined) or _WROTE.search(joined)
            return count if named and _MOMENT.search(joined) else 0
        if not (_MOMENT.search(joined) or _WHO.search(joined)):
            return 0
    return 0


def _unsigned(lines: list[str], is_press: Callable[[str], bool]) -> Words:
    """Drop the signature; a letter that is nothing else keeps it."""
    everything = lines
    lines = _without_notices([line for line in lines if not _MOBILE.fullmatch(line)])
    pressed = _pressed(lines, is_press)
    if pressed:
        return Words(pressed)
    delimiter = next((n for n, line in enumerate(lines) if line == _DELIMITER), None)
    if delimiter is not None:
        after = next((n for n in range(delimiter, len(lines)) if _POSTSCRIPT.match(lines[n])), len(lines))
        lines = lines[:delimiter] + lines[after:]
    for _ in range(_SIGNATURES):
        found = _signature(lines)
        if found is None:
            break
        above = lines[: found.start]
        while above and not above[-1].strip():
            above.pop()
        lines = above + lines[found.stop :]
    kept = "\n".join(lines).strip("\n").rstrip()
    if kept.strip() or not _says_something(everything):
        return Words(kept)
    return Words("\n".join(everything).strip(), is_signature=True)


def _pressed(lines: list[str], is_press: Callable[[str], bool]) -> str:
    """The first line, when it says all and a signature begins behind it."""
    written = [number for number, line in enumerate(lines) if line.strip()][:3]
    if len(written) < 2 or not is_press(lines[written[0]].strip()):  # noqa: PLR2004
        return ""
    second = lines[written[1]]
    signs = second.rstrip() in _DASHES or _CLOSING.match(second) or _closes(lines, written, 1)
    return lines[written[0]].strip() if signs else ""


def _says_something(lines: list[str]) -> bool:
    return any(line.strip(" \t-—") and not _MOBILE.fullmatch(line) for line in lines)


def _signature(lines: list[str]) -> range | None:
    """The last signature that is left."""
    written = [number for number, line in enumerate(lines) if line.strip()]
    for at in range(len(written) - 1, max(-1, len(written) - 1 - _LAST_LINES), -1):
        if lines[written[at]].strip() in _DASHES or _closes(lines, written, at):
            end = _end_of_signature(lines, written, at)
            if end is not None:
                return range(written[at], end)
    return None


def _closes(lines: list[str], written: Sequence[int], at: int) -> bool:
    """Whether a letter is closed here («С уважением, Иван»), and nothing said («С уважением просим»)."""
    line = lines[written[at]]
    if len(line) > _SIGNATURE_LINE_LENGTH:
        return False
    closing, thanks = _CLOSING.match(line), _THANKS.match(line)
    phrase = closing or thanks
    if phrase is None:
        return False
    rest = line[phrase.end() :]
    if not _are_names(rest):
        return False
    if closing or (rest.lstrip(" .!").startswith(",") and rest.strip(" ,.!")):
        return True
    following = lines[written[at + 1]] if at + 1 < len(written) else ""
    return not rest.strip(" ,.!)") and _is_a_name(following)


def _are_names(text: str) -> bool:
    """Whether here stand a few names, what somebody is, a telephone, or nothing."""
    named = [word for word in re.findall(r"\w+", _TELEPHONE.sub(" ", text)) if not _TITLE.fullmatch(word)]
    return len(named) <= _NAMES and all(word[0].isupper() for word in named)


def _is_a_name(line: str) -> bool:
    """«Иван Петров» or «И. Петров», and no company: that may be an answer."""
    parts = re.findall(r"\w+", line) if len(line) <= _SIGNATURE_LINE_LENGTH else []
    return 0 < len(parts) <= _NAMES and all(
        part[0].isupper() and (len(part) == 1 or part[1:].islower()) for part in parts
    )


def _end_of_signature(lines: list[str], written: Sequence[int], at: int) -> int | None:
    """Where the signature that begins here ends; None when it is none, or a postscript follows."""
    for number in range(at + 1, len(written)):
        line = lines[written[number]]
        if _POSTSCRIPT.match(line) or number - at > _SIGNATURE_LINES:
            return None
        apart = written[number] - written[number - 1] > 1
        if number == at + 1 and not apart and line.strip()[0].islower() and _is_said(line):
            return None
        if (apart or len(line) > _SIGNATURE_LINE_LENGTH) and _is_said(line):
            return written[number - 1] + 1
    return len(lines)


def _is_said(line: str) -> bool:
    """Whether a person says something here; names, places and disclaimers of a signature do not."""
    if any(notice.search(line) for notice in (_SECRET, _OF_MACHINES)) or (
        _OF_OTHERS.search(line) and _OF_LETTERS.search(line)
    ):
        return False
    plain_words = len(_PLAIN_WORD.findall(line))
    ended = line.rstrip().endswith((".", "!", "?", "…"))
    has_title = any(_TITLE.fullmatch(word) and len(word) > _NAMES for word in re.findall(r"\w+", line))
    needed = _WORDS_OF_A_SENTENCE if ended else _WORDS_BESIDE_A_TITLE if has_title else _WORDS_OF_A_PHRASE
    return _ASKING.search(line) is not None or plain_words >= needed


def _without_notices(lines: list[str]) -> list[str]:
    """Drop what mail servers put below letters: that they are secret, that they have no viruses."""
    start = stop = len(lines)
    number = len(lines)
    while number > 0:
        number -= 1
        if lines[number].strip() and number > 0:
            continue
        paragraph = " ".join(lines[number:stop]).strip()
        stop = number
        if not paragraph:
            continue
        is_secret = _SECRET.search(paragraph) is not None
        is_of_others = _OF_OTHERS.search(paragraph) and _OF_LETTERS.search(paragraph)
        if _OF_MACHINES.search(paragraph) or (is_secret and is_of_others):
            start = number
        elif not (is_secret or is_of_others):
            break
    return lines[:start]


# ---------------------------------------------------------------------- files


def attachments(message: Message) -> list[Attachment]:
    """All files of a letter in their order, those of attached letters too; logos are none."""
    return list(_files(message, _shown_inside(message), 0))


def _files(part: Message, shown: frozenset[str], depth: int) -> Iterator[Attachment]:
    if depth > MAX_DEPTH:
        return
    kind = part.get_content_type()
    if part.is_multipart():
        is_signed = kind == "multipart/signed"
        for number, child in enumerate(_children(part)):
            if not (is_signed and number):  # the second part of a signed letter is the signature
                yield from _files(child, shown, depth + 1)
        return
    if not _is_file(part):
        return
    content = _content(part)
    content_id = str(part.get("Content-ID", "")).strip().strip("<>")
    in_text = part.get_content_maintype() == "image" and content_id in shown
    if in_text and len(content) <= SMALL_PICTURE_BYTES:
        return
    name = _file_name(part)
    unpacked = _tnef(content) if kind == "application/ms-tnef" or name.lower() == "winmail.dat" else []
    yield from unpacked or [Attachment(name, kind, content, in_text)]


def _is_file(part: Message) -> bool:
    maintype = part.get_content_maintype()
    if maintype in ("multipart", "message"):
        return False
    disposition = str(part.get("Content-Disposition", "")).strip().lower()
    if maintype == "text" and part.get_content_subtype() in ("plain", "html", "calendar", "rfc822-headers"):
        return disposition.startswith("attachment") or bool(_raw_name(part))
    return True


def _attached_letters(message: Message) -> list[Message]:
    """Letters attached to this one; a report's copy of our own letter is not content."""
    if message.get_content_type() == "multipart/report":
        return []
    return [
        child
        for part in message.walk()
        if part.get_content_type() == "message/rfc822"
        for child in _children(part)[:1]
    ][:MAX_DEPTH]


def _shown_inside(message: Message) -> frozenset[str]:
    """Content ids of the pictures that the letter's page shows in its text."""
    found: set[str] = set()
    for part in message.walk():
        if part.get_content_type() == "text/html" and not part.is_multipart():
            page = _content(part)[: 4 * MAX_TEXT_LENGTH].decode("latin-1")
            found |= set(re.findall(r"cid:([^\"'\s>)]{1,300})", page, re.IGNORECASE))
    return frozenset(found)


MAX_NAME_LENGTH = 150


def _raw_name(part: Message) -> str:
    try:
        return part.get_filename("") or ""
    except (ValueError, TypeError, LookupError, AttributeError):
        return ""


def _file_name(part: Message) -> str:
    name = _in_one_line(_decoded_words(collapse_rfc2231_value(_raw_name(part))))
    name = re.sub(r"[\x00-\x1f\x7f]", " ", name).replace("\\", "/").rpartition("/")[2].strip()
    if name:
        stem, dot, extension = name.rpartition(".")
        short = stem[: MAX_NAME_LENGTH - len(extension) - 1] + dot + extension if dot else name
        return short[:MAX_NAME_LENGTH]
    default = "Картинка" if part.get_content_maintype() == "image" else "Файл"
    return default + (mimetypes.guess_extension(part.get_content_type()) or "")


# ---------------------------------------------------------------------- winmail.dat

_TNEF_SIGNATURE = 0x223E9F78
_TNEF_HEAD = struct.Struct("<BIi")
_NEW_FILE, _FILE_TITLE, _FILE_DATA, _FILE_PROPERTIES = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
_LONG_NAME = struct.pack("<HH", 0x001F, 0x3707)
"""PR_ATTACH_LONG_FILENAME as Unicode: its type, its number, then how many values and how many bytes."""


def _tnef(content: bytes) -> list[Attachment]:
    """Files of a winmail.dat of Outlook ([MS-OXTNEF]); none when it is broken or holds only formatting."""
    if len(content) < 6 or struct.unpack_from("<I", content)[0] != _TNEF_SIGNATURE:  # noqa: PLR2004
        return []
    names: list[str] = []
    contents: list[bytes] = []
    for attribute, value in _tnef_attributes(content):
        if attribute == _NEW_FILE:
            names.append("")
            contents.append(b"")
        elif not names:
            continue
        elif attribute == _FILE_TITLE:
            names[-1] = names[-1] or _plain_name(decoded_bytes(value.partition(b"\x00")[0], None))
        elif attribute == _FILE_DATA:
            contents[-1] = value
        elif attribute == _FILE_PROPERTIES:
            names[-1] = _long_name(value) or names[-1]
    return [
        Attachment(name or "Файл", mimetypes.guess_type(name)[0] or "application/octet-stream", data)
        for name, data in zip(names, contents, strict=True)
        if data
    ]


def _tnef_attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 6  # the signature and a key
    while position + _TNEF_HEAD.size <= len(content):
        _level, attribute, size_bytes = _TNEF_HEAD.unpack_from(content, position)
        start = position + _TNEF_HEAD.size
        if size_bytes < 0 or start + size_bytes > len(content):
            return
        yield attribute, content[start : start + size_bytes]
        position = start + size_bytes + 2  # a check sum


def _long_name(properties: bytes) -> str:
    at = properties.find(_LONG_NAME)
    if at < 0 or at + 12 > len(properties):
        return ""
    count, size_bytes = struct.unpack_from("<II", properties, at + 4)
    name = properties[at + 12 : at + 12 + size_bytes] if count == 1 and size_bytes <= 1024 else b""  # noqa: PLR2004
    return _plain_name(name.decode("utf-16-le", "replace").partition("\x00")[0])


def _plain_name(text: str) -> str:
    return _in_one_line(re.sub(r"[\x00-\x1f\x7f/\\]", " ", text))[:MAX_NAME_LENGTH]
