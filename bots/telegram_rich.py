"""Telegram's rich messages: https://core.telegram.org/bots/api#richmessage.

A message of blocks within blocks. What is written in them is taken line by line; how it looks is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bots.wire import Json, clean

_MEDIA = {
    "animation": "animation",
    "audio": "audio",
    "photo": "photo",
    "video": "video",
    "voice_note": "voice",
    "location": "location",
}
"""Field of a block that shows something → what a plain message calls that."""

_DEEPEST = 30
"""Nobody writes so deep; what is below is left out."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A file or a place within the text, under the name that it has in a plain message."""

    kind: str
    content: Json


def parts_of(block: Json, depth: int = 0) -> Iterator[str | Shown]:
    """All lines, files and places of a block and of those within, in their order."""
    if depth > _DEEPEST:
        return
    for name in ("summary", "text", "expression"):
        yield from _line(block.get(name))
    for name, kind in _MEDIA.items():
        if block.get(name):
            yield Shown(kind, block[name])
    for inner in block.get("blocks") or ():
        yield from parts_of(inner, depth + 1)
    for item in block.get("items") or ():
        yield from _item(item, depth + 1)
    for row in block.get("cells") or ():
        yield " | ".join(_inline(cell.get("text")) for cell in row)
    caption = block.get("caption")
    yield from _line(caption)
    yield from _line(caption.get("credit") if isinstance(caption, dict) else block.get("credit"))


def _item(item: Json, depth: int) -> Iterator[str | Shown]:
    """Put the number or the dot of an item, and its tick, before its first line."""
    parts = list(parts_of(item, depth))
    box = ("[x]" if item.get("is_checked") else "[ ]") if item.get("has_checkbox") else ""
    written = "\n".join(part for part in parts if isinstance(part, str))
    yield from _line(" ".join(filter(None, (clean(item.get("label") or ""), box, written))))
    yield from (part for part in parts if isinstance(part, Shown))


def _line(text: Json) -> Iterator[str]:
    line = _inline(text)
    if line.strip():
        yield line


def _inline(text: Json, depth: int = 0) -> str:
    """A text, pieces of it, or a piece that looks like something or leads somewhere."""
    if text is None or depth > _DEEPEST:
        return ""
    if isinstance(text, str):
        return clean(text)
    if isinstance(text, list):
        return "".join(_inline(piece, depth + 1) for piece in text)
    written = next((text[name] for name in ("text", "alternative_text", "expression") if name in text), None)
    return _inline(written, depth + 1)
