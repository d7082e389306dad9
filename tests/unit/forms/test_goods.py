from __future__ import annotations

import json
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.answers import AnswerError
from forms.goods import Goods, GoodsLine, parse_goods, show_goods, split_goods
from forms.texts import Money, Text

D = Decimal


def spoken(text: object) -> str:
    if isinstance(text, Money):
        return f"{text.roubles:.2f} ₽"
    if not isinstance(text, Text):
        return str(text)
    return text.msgid.format(**{name: spoken(value) for name, value in text.params.items()})


def refusal(text: str) -> str:
    with pytest.raises(AnswerError) as refused:
        parse_goods(text)
    return spoken(refused.value.text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("Бумага А4; 10; 350", GoodsLine("Бумага А4", D(10), D(350)), id="plain"),
        pytest.param("Бумага А4;10;350;", GoodsLine("Бумага А4", D(10), D(350)), id="closing semicolon"),
        pytest.param("Бумага А4\t10\t350,50", GoodsLine("Бумага А4", D(10), D("350.5")), id="from a table"),
        pytest.param("Ручка; 25; 350,50", GoodsLine("Ручка", D(25), D("350.50")), id="comma"),
        pytest.param("Ручка; 25; 350.50", GoodsLine("Ручка", D(25), D("350.50")), id="dot"),
        pytest.param("Ручка; 1 200; 1 200,5", GoodsLine("Ручка", D(1200), D("1200.5")), id="thousands"),
        pytest.param(
            "Ручка; 1\u00a0200; 1\u202f234\u202f567",
            GoodsLine("Ручка", D(1200), D(1234567)),
            id="narrow spaces",
        ),
        pytest.param("Ручка; 10 шт; 350 руб", GoodsLine("Ручка", D(10), D(350), "шт"), id="units"),
        pytest.param("Ручка; 10шт.; 350 ₽", GoodsLine("Ручка", D(10), D(350), "шт."), id="units closely"),
        pytest.param(
            "Плитка; 2,5 м²; 350р.", GoodsLine("Плитка", D("2.5"), D(350), "м²"), id="square metres"
        ),
        pytest.param(
            "Сахар; 0,125 кг; 80 руб. 50 коп.", GoodsLine("Сахар", D("0.125"), D("80.5"), "кг"), id="kopecks"
        ),
        pytest.param("Сахар; 2 кг; 80 руб./кг", GoodsLine("Сахар", D(2), D(80), "кг"), id="for one"),
        pytest.param("Подарок; 1; 0", GoodsLine("Подарок", D(1), D(0)), id="for nothing"),
        pytest.param(
            "Скотч  \x00 48 мм; 2,500; 1,10", GoodsLine("Скотч 48 мм", D("2.5"), D("1.1")), id="untidy"
        ),
        pytest.param(
            "Дом; 1000000000; 1000000000000", GoodsLine("Дом", D(10**9), D(10**12)), id="the largest"
        ),
    ],
)
def test_line_understood(text: str, line: GoodsLine):
    assert parse_goods(text) == Goods((line,))


@pytest.mark.parametrize(
    ("price", "roubles"),
    [
        ("350-00", D(350)), ("350-50", D("350.5")), ("350=", D(350)), ("350,50=", D("350.5")),
        ("15 тыс", D(15000)), ("15 тыс. руб.", D(15000)), ("15тр", D(15000)), ("15 т.р.", D(15000)),
        ("1,5 тысячи", D(1500)), ("1,5 млн", D(1500000)), ("2 миллиона рублей", D(2000000)),
        ("12.345,50", D("12345.5")), ("1.234.567,89", D("1234567.89")), ("1.200,50 р", D("1200.5")),
        ("350 р 50 к", D("350.5")), ("350р50к", D("350.5")), ("₽350", D(350)),
    ],
)  # fmt: skip
def test_price_understood(price: str, roubles: Decimal):
    assert parse_goods(f"Ручка; 2; {price}").lines == (GoodsLine("Ручка", D(2), roubles),)


PAPER = GoodsLine("Бумага А4", D(10), D(350))
PIECES = GoodsLine("Бумага А4", D(10), D(350), "шт")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Бумага А4, 10, 350", PAPER), ("Бумага А4, 10 шт, 350 руб", PIECES), ("Бумага А4,10шт,350", PIECES),
        ("Бумага А4 — 10 — 350", PAPER), ("Бумага А4 - 10 шт - 350 руб", PIECES), ("Бумага А4|10|350", PAPER),
        ("| Бумага А4 | 10 шт | 350 |", PIECES), ("Бумага А4 10 шт по 350", PIECES),
        ("Бумага А4, 10 шт по цене 350 руб", PIECES), ("Бумага А4 — 10шт по 350р", PIECES),
        ("1. Бумага А4; 10; 350", PAPER), ("2) Бумага А4, 10, 350", PAPER), ("1.Бумага А4; 10; 350", PAPER),
        ("3.\tБумага А4\t10\t350", PAPER),
        ("Мука 1. сорт; 10; 80", GoodsLine("Мука 1. сорт", D(10), D(80))),
        ("Молоко 3,2%, 10, 80,50", GoodsLine("Молоко 3,2%", D(10), D("80.5"))),
        ("1.5 л вода; 10; 40", GoodsLine("1.5 л вода", D(10), D(40))),
        ("Сахар, 2,5, 80", GoodsLine("Сахар", D("2.5"), D(80))),
    ],
)  # fmt: skip
def test_a_line_without_semicolons_is_understood(text: str, line: GoodsLine):
    assert parse_goods(text).lines == (line,)


def test_a_table_with_bars_and_a_header_is_taken():
    table = "| Наименование | Кол-во | Цена |\n|---|---:|---|\n| Бумага А4 | 10 | 350 |"
    assert parse_goods(table).lines == (PAPER,)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "Пришлите товары, каждый с новой строки. Например: Бумага А4; 10; 350,50"),
        (
            "Наименование; Количество; Цена",
            "Под заголовком нет товаров. Добавьте строки. Например: Бумага А4; 10; 350,50",
        ),
        (
            "Бумага А4; 10; 350\n\nРучка",
            "Строка 2: нужны три части через точку с запятой, а здесь 1. Например: Бумага А4; 10; 350,50",
        ),
        (
            "Бумага А4; 10; 350; 3500",
            "Строка 1: нужны три части через точку с запятой, а здесь 4. Например: Бумага А4; 10; 350,50",
        ),
        ("Ручка; 10; 350\n; 10; 350", "Строка 2: нет наименования. Например: Бумага А4; 10; 350,50"),
        ("я" * 201 + "; 10; 350", "Строка 1: наименование длиннее 200 знаков: 201. Сократите его."),
        (
            "Ручка; много; 350",
            "Строка 1: количество «много» — не число. Напишите цифрами, например 10 или 2,5.",
        ),
        ("Ручка; ; 350", "Строка 1: количество «» — не число. Напишите цифрами, например 10 или 2,5."),
        ("Ручка; 1e5 шт; 350", None),
        (
            "Ручка; １０; 350",
            "Строка 1: количество «１０» — не число. Напишите цифрами, например 10 или 2,5.",
        ),
        ("Ручка; -1; 350", "Строка 1: количество «-1» — не число. Напишите цифрами, например 10 или 2,5."),
        ("Ручка; 0; 350", "Строка 1: количество должно быть больше нуля."),
        ("Ручка; 1000000000,001; 350", "Строка 1: количество больше миллиарда. Проверьте число."),
        ("Ручка; 0,0001; 350", "Строка 1: в количестве «0,0001» больше трёх знаков после запятой."),
        (
            "Ручка; 10; дорого",
            "Строка 1: цена «дорого» — не число. Напишите цифрами, например 15000 или 350,50.",
        ),
        ("Ручка; 10; 15к", "Строка 1: цена «15к» — не число. Напишите цифрами, например 15000 или 350,50."),
        ("Ручка; 10; 1.200 тыс", None),
        ("Ручка; 10; 350,50 р 50 к", None),
        ("Ручка; 10; 350-00 тыс", None),
        ("Ручка; 10; 12.345", "Строка 1: в цене «12.345» больше двух знаков после запятой."),
        ("Бумага А4 10 350", "Строка 1: нужны три части"),
        ("Шуруп 5, 100, 2", "Строка 1: нужны три части"),
        ("Сахар,2,5", "Строка 1: нужны три части"),
        ("Труба 20 10 шт по 350", "Строка 1: нужны три части"),
        ("Бумага 1 000 шт по 5", "Строка 1: нужны три части"),
        (
            "Ручка; 10; 12 00",
            "Строка 1: цена «12 00» — не число. Напишите цифрами, например 15000 или 350,50.",
        ),
        ("Ручка; 10; 350,555", "Строка 1: в цене «350,555» больше двух знаков после запятой."),
        ("Ручка; 10; 1000000000000,01", "Строка 1: цена больше триллиона рублей. Проверьте число."),
        ("Ручка; 10; NaN", "Строка 1: цена «NaN» — не число. Напишите цифрами, например 15000 или 350,50."),
        ("Ручка; 10; 10 $", "Строка 1: цена «10 $» — не число. Напишите цифрами, например 15000 или 350,50."),
        (
            "\n".join(["Ручка; 1; 1"] * 201),
            "Строк с товарами больше 200: у вас 201. Пришлите список файлом или двумя заявками.",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_line_refused(text: str, answer: str | None):
    if answer is None:
        assert "не число" in refusal(text)
    else:
        assert refusal(text).startswith(answer)


def test_two_hundred_lines_and_a_header_are_taken():
    goods = parse_goods("\n".join(["Наименование; Кол-во; Цена, руб", *["Ручка; 1; 1"] * 200]))
    assert len(goods.lines) == 200


def test_lines_are_rounded_half_up_and_then_added():
    goods = parse_goods("Сахар; 0,005; 1\nСоль; 0,005; 1\nМёд; 0,125; 0,50")
    assert [line.total() for line in goods.lines] == [D("0.01"), D("0.01"), D("0.06")]
    assert goods.total() == D("0.08")


def test_sums_do_not_depend_on_the_precision_of_the_thread():
    goods = Goods((GoodsLine("Дом", D("999999999.999"), D("999999999999.99")),) * 200)
    with localcontext() as context:
        context.prec = 5
        assert goods.total() == D("199999999999798000000000.00")
        assert goods.lines[0].total() == D("999999999998990000000.00")


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        pytest.param(
            "Кому: ООО «Свет»\nРучка; 10; 40\nдо пятницы",
            ["Ручка"],
            "Кому: ООО «Свет»\nдо пятницы",
            id="mixed",
        ),
        pytest.param("Ручка; 10; 40\nБумага\t1\t350", ["Ручка", "Бумага"], "", id="only goods"),
        pytest.param(
            "Накладная для «Света»; срочно", [], "Накладная для «Света»; срочно", id="one semicolon is words"
        ),
        pytest.param(
            "Для ООО «Свет»\n1. Ручка, 10, 40\n2. Бумага 5 шт по 350\nс 1 по 5",
            ["Ручка", "Бумага"],
            "Для ООО «Свет»\nс 1 по 5",
            id="goods without semicolons",
        ),
        pytest.param(
            "Накладная для Светы, 10, 350\nРучка, 5, 40",
            [],
            "Накладная для Светы, 10, 350\nРучка, 5, 40",
            id="goods in the first words are left to be asked for",
        ),
        pytest.param("", [], "", id="empty"),
    ],
)
def test_goods_among_words(text: str, names: list[str], words: str):
    goods, rest = split_goods(text)
    assert [line.name for line in (goods.lines if goods else ())] == names
    assert rest == words


def test_a_wrong_line_among_words_is_named_as_it_stands():
    with pytest.raises(AnswerError) as refused:
        split_goods("Для ООО «Свет»\nРучка; десять; 40")
    assert spoken(refused.value.text).startswith("Строка 2: количество «десять»")


def test_shown_with_sums():
    shown = show_goods(parse_goods("Бумага {А4}; 10 уп; 350,50\nРучка; 2,5; 40"))
    assert spoken(shown) == (
        "1. Бумага {А4}: 10 уп × 350.50 ₽ = 3505.00 ₽\n2. Ручка: 2.5 × 40.00 ₽ = 100.00 ₽\nИтого: 3605.00 ₽"
    )


NAMES = st.text(min_size=1, max_size=40).map(lambda text: f"т{text}")
QUANTITIES = st.decimals(min_value=D("0.001"), max_value=D(10**9), places=3)
PRICES = st.decimals(min_value=0, max_value=D(10**12), places=2)
LINES = st.builds(GoodsLine, NAMES, QUANTITIES, PRICES, st.sampled_from(["", "шт", "кг"]))


@given(st.lists(LINES, max_size=5).map(lambda items: Goods(tuple(items))))
def test_storage_loses_nothing(goods: Goods):
    assert Goods.from_text(goods.to_text()) == goods
    assert all(isinstance(value, str) for row in json.loads(goods.to_text()) for value in row)


@pytest.mark.parametrize(
    "stored", ["", "{}", "[1]", '[["Ручка", 10, 40, ""]]', '[["Ручка", "NaN", "40", ""]]', "[[]]"]
)
def test_a_foreign_string_is_not_stored_goods(stored: str):
    with pytest.raises(ValueError):
        Goods.from_text(stored)


@given(QUANTITIES, PRICES)
def test_what_is_written_in_russian_is_read_back(quantity: Decimal, price: Decimal):
    written = f"Ручка; {quantity:f} шт; {price:,.2f} ₽".replace(",", " ").replace(".", ",")
    (line,) = parse_goods(written).lines
    assert (line.quantity, line.price) == (quantity, price)
    assert abs(line.total() - quantity * price) <= D("0.005")


@given(st.text("Ручка;\t\n 0123456789,.шт₽руб-\x00", max_size=80))
def test_any_text_is_goods_or_refused(text: str):
    try:
        goods = parse_goods(text)
    except AnswerError as refused:
        assert spoken(refused.text)  # noqa: PT017
        return
    assert Goods.from_text(goods.to_text()) == goods
    assert goods.total() >= 0
