"""Goods for a waybill: «наименование; количество; цена», one to a line, also pasted from a table.

Dashes, commas and «10 шт по 350» part a line, too, where it can only be read in one way.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from forms.answers import AnswerError
from forms.texts import Money, Text, _, lines, plain

MAX_LINES = 200
MAX_NAME_CHARS = 200
MAX_QUANTITY = Decimal(10**9)
MAX_QUANTITY_DECIMALS = 3
MAX_PRICE_ROUBLES = Decimal(10**12)
MAX_PRICE_DECIMALS = 2
KOPECK = Decimal("0.01")
PARTS = 3
SHOWN_CHARS = 40
MAX_LOOSE_CHARS = 300
"""A longer line is parted by semicolons, tabs or bars alone."""

# The largest product has 28 digits before rounding; the precision of the thread may be set to less.
_EXACT = Context(prec=50, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class GoodsLine:
    """One line of a waybill; `price` is roubles for one `unit`, which is as the client wrote it or empty."""

    name: str
    quantity: Decimal
    price: Decimal
    unit: str = ""

    def total(self) -> Decimal:
        """Roubles for the line, rounded half up to kopecks."""
        return _EXACT.multiply(self.quantity, self.price).quantize(KOPECK, context=_EXACT)


@dataclass(frozen=True, slots=True)
class Goods:
    """The lines of a waybill in the order of the client."""

    lines: tuple[GoodsLine, ...]

    def total(self) -> Decimal:
        """Roubles in all: the sum of the rounded lines, as a reader with a calculator adds them up."""
        total = Decimal("0.00")
        for line in self.lines:
            total = _EXACT.add(total, line.total())
        return total

    def to_text(self) -> str:
        """One flat JSON string; numbers stay text, so that no reader makes floats of them."""
        rows = [[line.name, f"{line.quantity:f}", f"{line.price:f}", line.unit] for line in self.lines]
        return json.dumps(rows, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Goods:
        """Read what `to_text` wrote; ValueError for anything else."""
        rows: object = json.loads(text)
        if not isinstance(rows, list):
            raise ValueError("Stored goods are a list of lines.")  # noqa: TRY004
        return cls(tuple(_stored_line(row) for row in rows))


def parse_goods(text: str) -> Goods:
    """Every line of the text as goods. Raises AnswerError naming the line and what is wrong in it."""
    rows = _numbered(text)
    if not rows:
        raise AnswerError(_("Пришлите товары, каждый с новой строки. Например: Бумага А4; 10; 350,50"))
    return _goods(rows)


def split_goods(text: str) -> tuple[Goods | None, str]:
    """The goods of a message and its other words: a line with two semicolons or tabs is goods.

    So is a line that reads like goods, unless the message begins with such a one: «накладная для Светы, 10,
    350» names more than goods. Raises AnswerError like `parse_goods`; lines are numbered as they stand in
    the message.
    """
    rows = _numbered(text)
    loosely = bool(rows) and (_is_parted(rows[0][1]) or not _reads_like_goods(rows[0][1]))
    of_goods: list[tuple[int, str]] = []
    words: list[str] = []
    for number, line in rows:
        if _is_parted(line) or (loosely and _reads_like_goods(line)):
            of_goods.append((number, line))
        else:
            words.append(line.strip())
    return (_goods(of_goods) if of_goods else None), "\n".join(words)


def show_goods(goods: Goods) -> Text:
    """The lines with their sums, and the total."""
    shown = (_shown_line(number, line) for number, line in enumerate(goods.lines, 1))
    return lines(*shown, _("Итого: {total}", total=Money(goods.total())))


def _shown_line(number: int, line: GoodsLine) -> Text:
    unit = plain(line.unit)
    return _(
        "{number}. {name}: {quantity} × {price} = {total}",
        number=number,
        name=plain(line.name),
        quantity=_("{quantity} {unit}", quantity=line.quantity, unit=unit) if line.unit else line.quantity,
        price=Money(line.price),
        total=Money(line.total()),
    )


# --- Lines -----------------------------------------------------------------------------------------

_HEADER = re.compile(
    r"[\s|]*(?:№|наименование|название|товар|номенклатура)[^;\t|]*[;\t|]\s*кол[^;\t|]*[;\t|]\s*цена",
    re.IGNORECASE,
)
_RULE = frozenset(" \t|:+-")
"""What the line below the header of a drawn table consists of."""
_NUMBER_OF_LINE = re.compile(r"\s*[0-9]{1,3}[.)](?:\s+|(?=[^\W\d_]))")
# A thousand is parted by a space of any width, an apostrophe, or by a dot when a comma follows; decimals by
# a comma or a dot.
_FIGURE = (
    r"(?P<whole>[0-9]{1,3}(?:[ '][0-9]{3}){1,6}|[0-9]{1,3}(?:\.[0-9]{3}){1,6}(?=,[0-9])|[0-9]{1,18})"
    r"(?:[.,](?P<decimals>[0-9]{1,18}))?"
)
_LETTER = r"[^\W\d_]"
_UNIT = rf"{_LETTER}(?:{_LETTER}|[23²³./]){{0,14}}(?: {_LETTER}{{1,14}}\.?)?"
_QUANTITY = re.compile(rf"{_FIGURE} ?(?P<unit>{_UNIT})?")
_ROUBLES = r"(?:₽|рублей|рубля|рубль|руб|р|rub)\.?"
_PRICE = re.compile(
    rf"(?:₽ ?)?{_FIGURE}"
    # «350-00» and «350=» as in payment orders
    r"(?:-(?P<dashed>[0-9]{2})|=)?"
    rf"(?: ?(?P<times>тыс(?:яч[аи]?)?|т(?=\.? ?р)|млн|миллион(?:а|ов)?)\.?)?"
    rf"(?: ?{_ROUBLES}(?: ?(?P<kopecks>[0-9]{{1,2}}) ?к(?:оп[а-я]*)?\.?)?)?"
    r"(?: ?(?:/|за) ?[а-я]+\.?)?",
    re.IGNORECASE,
)
_THOUSAND, _MILLION = Decimal(1000), Decimal(10**6)


def _numbered(text: str) -> list[tuple[int, str]]:
    """The lines that are not empty, counted from 1 as their author counts them."""
    written = (line for line in re.split(r"[\n\r\v\f\x85\u2028\u2029]+", text) if line.strip())
    return list(enumerate(written, 1))


def _parts(line: str) -> list[str]:
    number = _NUMBER_OF_LINE.match(line)
    line = line[number.end() :] if number else line
    separator = next((sign for sign in ";\t|" if sign in line), None)
    if separator is None:
        return _loose_parts(_cleaned(line)) or [_cleaned(line)]
    parts = [
        _cleaned(part) for part in (line.strip().strip("|") if separator == "|" else line).split(separator)
    ]
    # «Бумага; 10; 350;»: the last semicolon closes the line.
    return parts[:-1] if len(parts) > PARTS and not parts[-1] else parts


def _is_parted(line: str) -> bool:
    """Whether semicolons or tabs make it goods, be it right or wrong."""
    return ("\t" in line or ";" in line) and len(_parts(line)) >= PARTS


def _reads_like_goods(line: str) -> bool:
    return _fits(_parts(line))


_SEPARATORS = (re.compile(r" [-–—] "), re.compile(r", "))
_DENSE = re.compile(r"(?P<name>[^,]+),(?P<quantity>[^,]+),(?P<price>[^,]+)")
_AT_PRICE = re.compile(
    rf"(?P<name>.+?)[ ,:–—-](?P<quantity>[0-9]{{1,9}}(?:[.,][0-9]{{1,3}})? ?{_UNIT})"
    r" по (?:цене )?(?P<price>.+)"
)
_MAYBE_DECIMALS = re.compile("[0-9]{1,3}")
_NUMBER_AT_END = re.compile(r"(?:^| )[0-9]+$")


def _loose_parts(line: str) -> list[str]:
    """The three parts of a line without proper separators; empty when it can be read otherwise."""
    if len(line) > MAX_LOOSE_CHARS:
        return []
    for separator in _SEPARATORS:
        parts = separator.split(line)
        if _fits(parts):
            return parts
    dense = _DENSE.fullmatch(line)
    # «Сахар,2,5» may have a quantity of 2,5 and no price.
    is_clear = dense and not (dense["quantity"].isdecimal() and _MAYBE_DECIMALS.fullmatch(dense["price"]))
    for match in (dense if is_clear else None, _AT_PRICE.fullmatch(line)):
        if match and _fits(parts := [match[name].strip(" ,:–—-") for name in ("name", "quantity", "price")]):
            return parts
    return []


def _fits(parts: Sequence[str]) -> bool:
    """Whether these are a name, a quantity and a price; a name with a bare number at its end may be both."""
    if len(parts) != PARTS:
        return False
    name, quantity, price = parts
    is_name = any(char.isalpha() for char in name) and not _NUMBER_AT_END.search(name)
    return bool(is_name and _QUANTITY.fullmatch(quantity) and _PRICE.fullmatch(price))


def _cleaned(text: str) -> str:
    return " ".join(_visible(text).split())


def _visible(text: str) -> str:
    return "".join(
        char for char in text if char.isspace() or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    )


def _goods(rows: Sequence[tuple[int, str]]) -> Goods:
    rows = [row for row in rows if not _is_heading(row[1])]
    if len(rows) > MAX_LINES:
        raise AnswerError(
            _(
                "Строк с товарами больше {limit}: у вас {count}. Пришлите список файлом или двумя заявками.",
                limit=MAX_LINES,
                count=len(rows),
            )
        )
    if not rows:
        raise AnswerError(_("Под заголовком нет товаров. Добавьте строки. Например: Бумага А4; 10; 350,50"))
    return Goods(tuple(_line(number, line) for number, line in rows))


def _is_heading(line: str) -> bool:
    return _HEADER.match(line) is not None or ("|" in line and set(line) <= _RULE)


def _line(number: int, line: str) -> GoodsLine:
    parts = _parts(line)
    if len(parts) != PARTS:
        raise _mistake(
            number,
            _(
                "нужны три части через точку с запятой, а здесь {count}. Например: Бумага А4; 10; 350,50",
                count=len(parts),
            ),
        )
    name, quantity_text, price_text = parts
    quantity, unit = _quantity(number, quantity_text)
    return GoodsLine(_name(number, name), quantity, _price(number, price_text), unit)


def _name(number: int, name: str) -> str:
    if not any(char.isalnum() for char in name):
        raise _mistake(number, _("нет наименования. Например: Бумага А4; 10; 350,50"))
    if len(name) > MAX_NAME_CHARS:
        raise _mistake(
            number,
            _(
                "наименование длиннее {limit} знаков: {count}. Сократите его.",
                limit=MAX_NAME_CHARS,
                count=len(name),
            ),
        )
    return name


def _quantity(number: int, text: str) -> tuple[Decimal, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise _mistake(
            number,
            _("количество «{value}» — не число. Напишите цифрами, например 10 или 2,5.", value=_short(text)),
        )
    quantity = _decimal(match)
    if quantity <= 0:
        raise _mistake(number, _("количество должно быть больше нуля."))
    if quantity > MAX_QUANTITY:
        raise _mistake(number, _("количество больше миллиарда. Проверьте число."))
    if _decimals(quantity) > MAX_QUANTITY_DECIMALS:
        raise _mistake(
            number, _("в количестве «{value}» больше трёх знаков после запятой.", value=_short(text))
        )
    return quantity, match["unit"] or ""


def _price(number: int, text: str) -> Decimal:
    match = _PRICE.fullmatch(text)
    if match is None or not _has_one_reading(match):
        raise _mistake(
            number,
            _("цена «{value}» — не число. Напишите цифрами, например 15000 или 350,50.", value=_short(text)),
        )
    price = _decimal(match)
    if match["times"]:
        price *= _MILLION if match["times"].casefold().startswith("м") else _THOUSAND
    price += Decimal(match["kopecks"] or match["dashed"] or 0).scaleb(-2)
    if price > MAX_PRICE_ROUBLES:
        raise _mistake(number, _("цена больше триллиона рублей. Проверьте число."))
    if _decimals(price) > MAX_PRICE_DECIMALS:
        raise _mistake(number, _("в цене «{value}» больше двух знаков после запятой.", value=_short(text)))
    return price


def _has_one_reading(match: re.Match[str]) -> bool:
    """Kopecks are said once; «1.200 тыс» may be a thousand times more than it seems."""
    kopecks = [match[name] for name in ("decimals", "dashed", "kopecks") if match[name]]
    if not match["times"]:
        return len(kopecks) <= 1
    return not (match["dashed"] or match["kopecks"]) and len(match["decimals"] or "") <= MAX_PRICE_DECIMALS


def _decimal(match: re.Match[str]) -> Decimal:
    whole = re.sub("[ '.]", "", match["whole"])
    decimals = (match["decimals"] or "").rstrip("0")
    return Decimal(f"{whole}.{decimals}" if decimals else whole)


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _short(text: str) -> Text:
    return plain(text[:SHOWN_CHARS])


def _mistake(number: int, reason: Text) -> AnswerError:
    return AnswerError(_("Строка {number}: {reason}", number=number, reason=reason))


def _stored_line(row: object) -> GoodsLine:
    match row:
        case [str(name), str(quantity), str(price), str(unit)]:
            return GoodsLine(name, _stored_number(quantity), _stored_number(price), unit)
        case _:
            raise ValueError("A stored line of goods is a name, a quantity, a price and a unit.")


def _stored_number(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,18}(?:\.[0-9]{1,3})?", text):
        raise ValueError("A stored number of goods is plain decimal figures.")
    return Decimal(text)
