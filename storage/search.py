"""Requests by words: every word that is looked for must begin a word of the request.

`request_word` holds the words of a block of neighbouring requests beside each other. So the newest
requests are found without looking at the old ones, whatever a word's years have brought together; a
new request touches only the pages of its own block; and both databases do it with one plain index
(docs/decisions/0012).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    intersect,
    or_,
    select,
)
from sqlmodel import Session

from storage.models import metadata

REQUESTS_IN_BLOCK = 1 << 12
MOST_WORDS = 8
"""So many words of a question count."""

_LONGEST_WORD = 32
_MOST_AT_ONCE = 256
_MOST_BLOCKS = 2**31 // REQUESTS_IN_BLOCK
_LAST_LETTER = chr(0x10FFFF)
_WORD = re.compile(r"\w+")

_request, _word = metadata.tables["request"], metadata.tables["request_word"]


def words_of(text: str) -> tuple[str, ...]:
    """The words as they are compared, each once: lower case, ё as е, of long ones the beginning."""
    plain = text.casefold().replace("ё", "е")
    return tuple(dict.fromkeys(word[:_LONGEST_WORD] for word in _WORD.findall(plain)))


def asked_words(question: str) -> tuple[str, ...]:
    """The words of a question that count."""
    return words_of(question)[:MOST_WORDS]


def every_word(question: str, *columns: Any) -> list[ColumnElement[bool]]:
    """What a row must be so that each word of the question stands in one of these columns.

    No index helps: for short tables.
    """
    found: list[ColumnElement[bool]] = []
    for word in question.split()[:MOST_WORDS]:
        # SQLite lowers only Latin letters: the usual spellings are asked for one by one.
        spelt = sorted({word, word.lower(), word.upper(), word.capitalize()})
        places = (column.contains(each, autoescape=True) for column in columns for each in spelt)
        found.append(or_(*places))
    return found


def fits(text: str, wanted: Sequence[str]) -> bool:
    """Whether each of the words begins a word of the text."""
    words = words_of(text)
    return all(any(word.startswith(beginning) for word in words) for beginning in wanted)


def keep_words(session: Session, number: int, text: str, before: str = "") -> None:
    """Let a request be found by the words of `text`, and no more by those that only `before` had."""
    keep_words_on(session.connection(), ((number, text, before),))


def keep_words_on(connection: Connection, requests: Iterable[tuple[int, str, str]]) -> None:
    """The same for many requests: (number, text, text before)."""
    added: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for number, text, before in requests:
        words, old = words_of(text), words_of(before)
        common = {"block": _block_of(number), "request_id": number}
        added += [{**common, "word": word} for word in words if word not in old]
        dropped += [{**common, "word": word} for word in old if word not in words]
    if dropped:
        connection.execute(_DROP, dropped)
    if added:
        connection.execute(_ADD, added)


def numbers(
    session: Session, wanted: Sequence[str], *, newest_first: bool = True, beyond: int | None = None
) -> Iterator[list[int]]:
    """The requests that have all the words, by number, a part at a time.

    `beyond` is where a page before ended: only numbers after it in this order come.
    """
    newest = session.connection().execute(select(func.max(_request.c.id))).scalar()
    if newest is None:
        return
    first, last = (newest, 1) if newest_first else (1, newest)
    if beyond is not None:
        first = min(first, beyond - 1) if newest_first else max(first, beyond + 1)
    step = -1 if newest_first else 1
    block, end, width = _block_of(first), _block_of(last), 1
    while (end - block) * step >= 0:
        far = block + step * min(width - 1, abs(end - block))
        values = _values(wanted, min(block, far), max(block, far))
        found = session.connection().execute(_holding(len(wanted)), values).scalars()
        part = sorted(found, reverse=newest_first)
        yield [number for number in part if (first - number) * step <= 0]
        block, width = far + step, min(width * 4, _MOST_AT_ONCE)


def holding(wanted: Sequence[str]) -> Select[Any]:
    """The numbers of all requests that have all the words, for whoever needs every one of them."""
    return _holding(len(wanted)).params(_values(wanted, 0, _MOST_BLOCKS))


def _values(wanted: Sequence[str], first_block: int, last_block: int) -> dict[str, object]:
    words = {f"from_{place}": word for place, word in enumerate(wanted)}
    beyond = {f"until_{place}": word + _LAST_LETTER for place, word in enumerate(wanted)}
    return {"first_block": first_block, "last_block": last_block, **words, **beyond}


@lru_cache
def _holding(words: int) -> Select[Any]:
    """Built once: a search asks it several times, and building it takes longer than the answer."""
    newest: Any = select(func.coalesce(func.max(_request.c.id), 0) / REQUESTS_IN_BLOCK).scalar_subquery()
    first, last = (bindparam(name, type_=Integer) for name in ("first_block", "last_block"))
    blocks = select(first.label("block")).cte("blocks", recursive=True)
    following = and_(blocks.c.block < last, blocks.c.block < newest)
    blocks = blocks.union_all(select(blocks.c.block + 1).where(following))
    has = [
        and_(_word.c.word >= bindparam(f"from_{place}"), _word.c.word < bindparam(f"until_{place}"))
        for place in range(words)
    ]
    if words > 1:
        # One look each tells the blocks that lack a word: the frequent ones are not read there.
        there = (exists().where(_word.c.block == blocks.c.block, begins) for begins in has)
        blocks = select(blocks.c.block).where(*there).cte("blocks_with_all")
    each = [select(_word.c.request_id).where(_word.c.block == blocks.c.block, begins) for begins in has]
    found = intersect(*each) if words > 1 else each[0].distinct()
    return select(found.subquery("found").c.request_id)


def _block_of(number: int) -> int:
    return number // REQUESTS_IN_BLOCK


_ADD = insert(_word)
_DROP = delete(_word).where(*(column == bindparam(column.name) for column in _word.primary_key))
