"""Fit a rendered message into what a messenger can show: cut the text, lay the buttons, or number them.

Lengths are counted in UTF-16 units, as Telegram counts; for everybody else that is never too long.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from bots.base import Limits
from forms.texts import _
from notifications.outbox import Parcel, ShownButton

MENU_HINT = _("Ответьте номером или словами.")

Rows = tuple[tuple[ShownButton, ...], ...]

_BOUNDARIES = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"\s+"))
"""Where a text may be cut, the best place first: between paragraphs, lines, words."""

_EARLIEST_CUT = 0.5
"""A paragraph or a line may end a part only when the part is at least that full."""

_JOINER = "\u200d"


def fit(parcel: Parcel, limits: Limits, menu_hint: str = MENU_HINT.msgid) -> tuple[Parcel, ...]:
    """Cut a parcel into those that the messenger takes, to be sent in this order.

    Nothing is lost: the parts follow one another in the text with only white space between them.
    Buttons and files go with the last part, which keeps the key; the others derive theirs from it.
    """
    text, rows = parcel.text, parcel.rows
    if rows and not _shows(rows, limits):
        text, rows = with_menu(text, rows, menu_hint), ()
    parts = split(text, limits.text_length)
    last = replace(parcel, text=parts[-1], rows=_laid(rows, limits))
    return *(
        Parcel(f"{parcel.key}/{number}", parcel.chat_key, part, last_inbound_at=parcel.last_inbound_at)
        for number, part in enumerate(parts[:-1], start=1)
    ), last


def split(text: str, length: int) -> list[str]:
    """Cut a text into parts of at most `length` UTF-16 units (2 or more), at the best places.

    Parts are not empty, unless the text itself is; white space at the cuts is dropped.
    """
    parts: list[str] = []
    while utf16_length(text) > length:
        end, start = _cut(text, length)
        if text[:end].strip():
            parts.append(text[:end].rstrip())
        text = text[start:]
    return [*parts, text] if text.strip() or not parts else parts


def utf16_length(text: str) -> int:
    """How long a text is for Telegram: characters beyond the basic plane count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut(text: str, length: int) -> tuple[int, int]:
    """Where the first part ends and where the rest begins."""
    window = _longest_prefix(text, length)
    for boundary in _BOUNDARIES:
        earliest = 1 if boundary is _BOUNDARIES[-1] else int(window * _EARLIEST_CUT)
        # White space right behind a full window ends the part too.
        found = [match for match in boundary.finditer(text, 0, window + 1) if match.start() >= earliest]
        if found:
            return found[-1].start(), _after_space(text, found[-1].start())
    end = _before_joined(text, window)
    return end, end


def _after_space(text: str, position: int) -> int:
    """Skip white space, but keep the indentation of the next line."""
    rest = text[position:]
    space = len(rest) - len(rest.lstrip())
    line = rest.rfind("\n", 0, space)
    return position + (space if line < 0 else line + 1)


def _longest_prefix(text: str, length: int) -> int:
    """How many characters fit into `length` UTF-16 units; at least one."""
    prefix = text[:length]
    if utf16_length(prefix) <= length:
        return len(prefix)
    fitting = prefix.encode("utf-16-le", "surrogatepass")[: 2 * length]
    return max(1, len(fitting.decode("utf-16-le", "ignore")))


def _before_joined(text: str, end: int) -> int:
    """Step back from inside a letter with its accent or an emoji made of several."""
    position = end
    while position > 1 and _joins(text[position - 1], text[position]):
        position -= 1
    return position if position > 1 else end


def _joins(before: str, after: str) -> bool:
    return _JOINER in (before, after) or unicodedata.category(after).startswith("M")


def _shows(rows: Rows, limits: Limits) -> bool:
    labels = [button.label for row in rows for button in row]
    fitting = limits.cut_labels or all(utf16_length(label) <= limits.label_length for label in labels)
    return limits.buttons and len(labels) <= limits.buttons_total and fitting


def _laid(rows: Rows, limits: Limits) -> Rows:
    """Break long rows and cut long labels."""
    width = limits.buttons_per_row
    return tuple(
        tuple(
            ShownButton(_short(button.label, limits.label_length), button.press)
            for button in row[start : start + width]
        )
        for row in rows
        for start in range(0, len(row), width)
    )


def _short(label: str, length: int) -> str:
    if utf16_length(label) <= length:
        return label
    end = _before_joined(label, _longest_prefix(label, length - 1))
    kept = label[:end].rstrip()
    return f"{kept}…" if utf16_length(kept) < length else "…"


def with_menu(text: str, rows: Rows, menu_hint: str = "") -> str:
    """Offer the buttons as numbered lines; they are counted from one, row after row."""
    buttons = [button for row in rows for button in row]
    menu = "\n".join(f"{number}. {button.label}" for number, button in enumerate(buttons, start=1))
    return "\n\n".join(part for part in (text, menu, menu_hint) if part)
