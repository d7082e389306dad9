"""Nothing in our styles and scripts is newer than Firefox 85, Chrome 96 and Edge 97.

What an older browser merely leaves out is allowed, each with the reason why nobody misses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATIC = (ROOT / "admin" / "static", ROOT / "bots" / "static")
TEMPLATES = (ROOT / "admin" / "templates", ROOT / "bots" / "static")


def files(folders: tuple[Path, ...], *endings: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for ending in endings
        for path in folder.rglob(f"*{ending}")
        if path.is_file()
    )


# The construct, and the first browsers that have it (Firefox, Chrome).
STYLES = {
    r":has\(": "121, 105",
    r"@container\b|container-(type|name)\s*:|\bcq[wihb]\b": "110, 105",
    r"@layer\b": "97, 99",
    r"@scope\b": "146, 118",
    r"@property\b": "128, 85",
    r"@starting-style\b": "129, 117",
    r"color-mix\(": "113, 111",
    r"\b(oklch|oklab|lab|lch|hwb)\(": "113, 111",
    r"\blight-dark\(": "120, 123",
    r"\d(dvh|svh|lvh|dvw|svw|lvw|dvi|dvb)\b": "101, 108",
    r"\baccent-color\s*:": "92, 93",
    r"\baspect-ratio\s*:": "89, 88",
    r"\bcolor-scheme\s*:": "96, 81",
    r"\bprint-color-adjust\s*:": "97, 136",
    r"\btext-wrap\s*:": "121, 114",
    r"\bsubgrid\b": "71, 117",
    r"^\s*&|\{\s*&": "117, 120 (nesting)",
    r"@media[^{]*[<>]": "63, 104 (ranges)",
    r"\bscrollbar-gutter\s*:": "97, 94",
    r"^\s*(translate|rotate|scale)\s*:": "72, 104",
    r"\bcontent-visibility\s*:": "125, 85",
    r"\b(sin|cos|tan|round|mod|rem|pow|sqrt)\([^)]*\)\s*[;*/+-]": "108, 111",
    r"\bfield-sizing\s*:": "152, 123",
    r":(user-valid|user-invalid)\b": "88, 119",
    r":(popover-open|open|modal|state\()": "125, 114",
    r"\binert\b": "112, 102",
    r"\bview-transition|@view-transition": "144, 111",
    r"\bmask(-image)?\s*:": "53, 120 (without a prefix)",
    r"\b(text-box|hyphenate-limit-chars|initial-letter)\b": "none, 109",
}

SCRIPTS = {
    r"\.at\(": "90, 92",
    r"\bstructuredClone\(": "94, 98",
    r"\bObject\.hasOwn\(": "92, 93",
    r"\bObject\.groupBy\(|\bMap\.groupBy\(": "119, 117",
    r"\.(findLast|findLastIndex)\(": "104, 97",
    r"\.(toSorted|toReversed|toSpliced|with)\(": "115, 110",
    r"\bArray\.fromAsync\(": "115, 121",
    r"\bPromise\.(withResolvers|try)\(": "121, 119",
    r"\bcrypto\.randomUUID\(": "95, 92",
    r"(?<![\w'\"`&#/])#[A-Za-z_]\w*\s*(=|\(|;)|this\.#": "90, 74 (private members)",
    r"\bstatic\s*\{": "93, 94",
    r"^(await|const [^=]+= await|let [^=]+= await)\b": "89, 89 (top-level await)",
    r"/[gimsuy]*[dv][gimsuy]*\s*\.(test|exec)": "88, 90",
    r"\.showModal\(|<dialog\b|createElement\(\"dialog\"\)": "98, 37",
    r"\.(showPopover|hidePopover|togglePopover)\(": "125, 114",
    r"\.inert\b": "112, 102",
    r"\bAbortSignal\.(timeout|any)\(": "100, 103",
    r"\bsignal\.(reason|throwIfAborted)\b": "97, 98",
    r"\bnew (URLPattern|CompressionStream|DecompressionStream|Sanitizer)\(": "113, 80",
    r"\bnavigator\.locks\b": "96, 69",
    r"\bnavigator\.(userAgentData|setAppBadge)\b": "none, 90",
    r"\bscheduler\.\w+\(": "142, 94",
    r"\.(isSubsetOf|union|intersection|difference)\(": "127, 122",
    r"\bError\([^()]*,\s*\{\s*cause": "91, 93",
    r"\bimport\([^)]*with\b|\bimport .* with \{": "138, 123",
    r"\bIntl\.(ListFormat|Segmenter|DurationFormat)\b": "125, 87",
    r"\bElementInternals\b|\.attachInternals\(": "93, 77",
    r"\bcheckVisibility\(": "106, 105",
    r"\.scrollIntoViewIfNeeded\(": "none, 15",
}

MARKUP = {
    r"<dialog\b": "98, 37",
    r"<details\b[^>]*\sname=": "130, 120",
    r"\s(popover|popovertarget)(=|\s|>)": "125, 114",
    r"\sinert(=|\s|>)": "112, 102",
    r"<search\b": "118, 118",
    r"\sblocking=|\sfetchpriority=": "132, 102",
    r"\senterkeyhint=": "94, 77",
    r"<selectlist\b|<permission\b|\scommand(for)?=": "144, 135",
}

# The file, the construct as it stands there, and what an older browser shows instead.
HARMLESS = (
    ("*.css", r"\baccent-color\s*:", "ticks and bars in the system's own colour"),
    ("*.css", r"\bcolor-scheme\s*:", "fields and scroll bars in the system's own colour"),
    ("*.css", r"\bprint-color-adjust\s*:", "beside the prefixed one; without both only tints are missing"),
    ("chat.css", r"\d(dvh|svh|lvh|dvw|svw|lvw|dvi|dvb)\b", "inside @supports, after 100vh"),
    ("index.html", r"\senterkeyhint=", "the key has the keyboard's own word"),
)


def is_harmless(path: Path, construct: str) -> bool:
    return any(path.match(name) and construct == known for name, known, _why in HARMLESS)


def without_comments(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    blank = lambda found: "\n" * found.group().count("\n")  # noqa: E731 - two words
    text = re.sub(r"/\*.*?\*/|\{#.*?#\}", blank, text, flags=re.DOTALL)
    return re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)


def too_new(path: Path, constructs: dict[str, str]) -> Iterator[str]:
    text = without_comments(path)
    for construct, since in constructs.items():
        if is_harmless(path, construct):
            continue
        for found in re.finditer(construct, text, re.MULTILINE):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.name}:{line}: {found.group().strip()!r} is of Firefox, Chrome {since}"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", files(STATIC, ".css"), ids=named)
def test_no_style_is_too_new(path: Path) -> None:
    assert list(too_new(path, STYLES)) == []


@pytest.mark.parametrize("path", files(STATIC, ".js"), ids=named)
def test_no_script_is_too_new(path: Path) -> None:
    assert list(too_new(path, SCRIPTS)) == []


@pytest.mark.parametrize("path", files(TEMPLATES, ".html"), ids=named)
def test_no_markup_is_too_new(path: Path) -> None:
    assert list(too_new(path, MARKUP)) == []


@pytest.mark.parametrize(
    ("name", "construct", "why"), HARMLESS, ids=[f"{name}: {why}" for name, _c, why in HARMLESS]
)
def test_what_is_allowed_is_still_there(name: str, construct: str, why: str) -> None:
    """An exception that nothing needs any more goes."""
    every = files(STATIC, ".css", ".js") + files(TEMPLATES, ".html")
    assert any(re.search(construct, without_comments(path)) for path in every if path.match(name)), why


SAMPLES = (
    ("a.css", "div:has(> p) { color: red; }", STYLES),
    ("a.css", ".a {\n  & b { color: red; }\n}", STYLES),
    ("a.css", "@media (400px <= width) { a { color: red; } }", STYLES),
    ("a.js", "const last = rows.at(-1);", SCRIPTS),
    ("a.js", "class A { #hidden = 1; }", SCRIPTS),
    ("a.js", "const answer = await fetch('/');", SCRIPTS),
    ("a.html", '<details name="one"><summary>1</summary></details>', MARKUP),
)


@pytest.mark.parametrize(("name", "text", "constructs"), SAMPLES, ids=[text[:20] for _n, text, _c in SAMPLES])
def test_the_looking_finds(tmp_path: Path, name: str, text: str, constructs: dict[str, str]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert len(list(too_new(path, constructs))) == 1
