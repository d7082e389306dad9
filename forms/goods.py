"""Goods for a waybill: «наименование; количество; цена», one to a line, also pasted from a table."""

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

    Raises AnswerError like `parse_goods`; lines are numbered as they stand in the message.
    """
    rows = _numbered(text)
    of_goods = [row for row in rows if len(_parts(row[1])) >= PARTS]
    words = "\n".join(line.strip() for _number, line in rows if len(_parts(line)) < PARTS)
    return (_goods(of_goods) if of_goods else None), words


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
    r"\s*(?:№|наименование|название|товар|номенклатура)[^;\t]*[;\t]\s*кол[^;\t]*[;\t]\s*цена", re.IGNORECASE
)
# A thousand is parted by a space of any width or an apostrophe; decimals by a comma or a dot.
_FIGURE = (
    r"(?P<whole>[0-9]{1,3}(?:[ '][0-9]{3}){1,6}|[0-9]{1,18})"
    r"(?:[.,](?P<decimals>[0-9]{1,18}))?"
)
_LETTER = r"[^\W\d_]"
_QUANTITY = re.compile(
    rf"{_FIGURE} ?(?P<unit>{_LETTER}(?:{_LETTER}|[23²³./]){{0,14}}(?: {_LETTER}{{1,14}}\.?)?)?"
)
_PRICE = re.compile(
    rf"{_FIGURE} ?(?:(?:₽|рублей|рубля|рубль|руб|р|rub)\.?(?: (?P<kopecks>[0-9]{{1,2}}) ?коп[а-я]*\.?)?)?"
    r"(?: ?(?:/|за) ?[а-я]+\.?)?",
    re.IGNORECASE,
)


def _numbered(text: str) -> list[tuple[int, str]]:
    """The lines that are not empty, counted from 1 as their author counts them."""
    written = (line for line in re.split(r"[\n\r\v\f\x85\u2028\u2029]+", text) if line.strip())
    return list(enumerate(written, 1))


def _parts(line: str) -> list[str]:
    parts = [" ".join(_visible(part).split()) for part in line.split(";" if ";" in line else "\t")]
    # «Бумага; 10; 350;»: the last semicolon closes the line.
    return parts[:-1] if len(parts) > PARTS and not parts[-1] else parts


def _visible(text: str) -> str:
    return "".join(
        char for char in text if char.isspace() or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    )


def _goods(rows: Sequence[tuple[int, str]]) -> Goods:
    rows = [row for row in rows if not _HEADER.match(row[1])]
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
            number, _("количество «{value}» — не число. Напишите, например, 10 или 2,5.", value=_short(text))
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
    if match is None or (match["decimals"] and match["kopecks"]):
        raise _mistake(
            number, _("цена «{value}» — не число. Напишите, например, 350 или 350,50.", value=_short(text))
        )
    price = _decimal(match)
    if match["kopecks"]:
        price += Decimal(match["kopecks"]).scaleb(-2)
    if price > MAX_PRICE_ROUBLES:
        raise _mistake(number, _("цена больше триллиона рублей. Проверьте число."))
    if _decimals(price) > MAX_PRICE_DECIMALS:
        raise _mistake(number, _("в цене «{value}» больше двух знаков после запятой.", value=_short(text)))
    return price


def _decimal(match: re.Match[str]) -> Decimal:
    whole = re.sub("[ ']", "", match["whole"])
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
