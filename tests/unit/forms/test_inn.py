from __future__ import annotations

import time as stopwatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.answers import AnswerError
from forms.inn import parse_company_name, parse_inn, split_company
from forms.texts import Text

COMPANY = "7707083893"
PERSON = "500100732259"


def spoken(text: object) -> str:
    if not isinstance(text, Text):
        return str(text)
    return text.msgid.format(**{name: spoken(value) for name, value in text.params.items()})


def refusal(text: str) -> str:
    with pytest.raises(AnswerError) as refused:
        parse_inn(text)
    return spoken(refused.value.text)


@pytest.mark.parametrize(
    ("text", "inn"),
    [
        pytest.param(COMPANY, COMPANY, id="company"),
        pytest.param(PERSON, PERSON, id="person"),
        pytest.param(" 7707083893\n", COMPANY, id="spaces around"),
        pytest.param("77 0708-3893", COMPANY, id="spaces and hyphens"),
        pytest.param("7707\u00a0083\u202f893", COMPANY, id="spaces that do not break"),
        pytest.param("77\u20110708\u20133893", COMPANY, id="other dashes"),
        pytest.param("77070\u200b83893\ufeff", COMPANY, id="invisible characters"),
        pytest.param("7707083893\x00", COMPANY, id="NUL"),
        pytest.param("ИНН: 7707083893.", COMPANY, id="label and full stop"),
        pytest.param("инн 5001 0073 2259", PERSON, id="label in small letters"),
        pytest.param("7707083893/770801001", COMPANY, id="with a KPP"),
    ],
)
def test_inn_understood(text: str, inn: str):
    assert parse_inn(text) == inn


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param(
            "77070838931",
            "В ИНН 10 или 12 цифр, у вас 11: 77070838931. Проверьте и пришлите ещё раз.",
            id="eleven",
        ),
        pytest.param(
            "770708389", "В ИНН 10 или 12 цифр, у вас 9: 770708389. Проверьте и пришлите ещё раз.", id="nine"
        ),
        pytest.param(
            "7" * 5000,
            f"В ИНН 10 или 12 цифр, у вас 5000: {'7' * 40}. Проверьте и пришлите ещё раз.",
            id="very many",
        ),
        pytest.param(
            "7707083894",
            "В ИНН 7707083894 опечатка: не сходятся контрольные цифры. Проверьте и пришлите ещё раз.",
            id="check digit",
        ),
        pytest.param(
            "500100732258",
            "В ИНН 500100732258 опечатка: не сходятся контрольные цифры. Проверьте и пришлите ещё раз.",
            id="check digits of a person",
        ),
        pytest.param(
            "0000000000", "ИНН из одних нулей не бывает. Проверьте и пришлите ещё раз.", id="ten zeros"
        ),
        pytest.param(
            "000000000000", "ИНН из одних нулей не бывает. Проверьте и пришлите ещё раз.", id="twelve zeros"
        ),
        pytest.param(
            "７７０７０８３８９３",
            "Знак «７» только похож на цифру. Наберите ИНН обычными цифрами: 0123456789.",
            id="full width",
        ),
        pytest.param(
            "770708389٣",
            "Знак «٣» только похож на цифру. Наберите ИНН обычными цифрами: 0123456789.",
            id="Arabic",
        ),
        pytest.param(
            "770708389³",
            "Знак «³» только похож на цифру. Наберите ИНН обычными цифрами: 0123456789.",
            id="superscript",
        ),
        pytest.param(
            "77О7083893",
            "В ИНН только цифры, а у вас есть «О». Пришлите 10 или 12 цифр.",
            id="letter for zero",
        ),
        pytest.param(
            "ромашка", "В ИНН только цифры, а у вас есть «р». Пришлите 10 или 12 цифр.", id="a word"
        ),
        pytest.param(
            "", "Пришлите ИНН: у компании в нём 10 цифр, у ИП 12. Например: 7707083893.", id="empty"
        ),
        pytest.param(
            "ИНН", "Пришлите ИНН: у компании в нём 10 цифр, у ИП 12. Например: 7707083893.", id="label only"
        ),
    ],
)
def test_inn_refused(text: str, answer: str):
    assert refusal(text) == answer


@pytest.mark.parametrize(
    ("text", "inn", "name"),
    [
        pytest.param("7707083893 ромашка", "7707083893", "ромашка", id="number first"),
        pytest.param("ромашка 7707083893", "7707083893", "ромашка", id="name first"),
        pytest.param("ООО «Ромашка», ИНН 7707083893", "7707083893", "ООО «Ромашка»", id="label and comma"),
        pytest.param(
            'ИНН 7707083893, ООО "Ромашка"', "7707083893", 'ООО "Ромашка"', id="straight quotes stay"
        ),
        pytest.param("ИНН: 77 0708-3893 ромашка", "77 0708-3893", "ромашка", id="parted digits"),
        pytest.param("7707083893\nООО Ромашка", "7707083893", "ООО Ромашка", id="two lines"),
        pytest.param("ООО Ромашка (ИНН 7707083893)", "7707083893", "ООО Ромашка", id="in brackets"),
        pytest.param(
            "7707083893 — инн, Ромашка", "7707083893", "инн, Ромашка", id="a label elsewhere is a word"
        ),
        pytest.param("Ромашка ИНН/КПП 7707083893/770801001", "7707083893", "Ромашка", id="with a KPP"),
        pytest.param(
            "Ромашка, ИНН 7707083893, КПП 770801001", "7707083893", "Ромашка", id="with a KPP and its label"
        ),
        pytest.param("ромашка", None, "ромашка", id="only a name"),
        pytest.param("ИНН ромашка", None, "ромашка", id="a label without a number"),
        pytest.param("770708389", "770708389", None, id="too short, still an attempt"),
        pytest.param("7707083893", "7707083893", None, id="only a number"),
        pytest.param("ИНН 12345 Ромашка", "12345", "Ромашка", id="after the label any number is an attempt"),
        pytest.param("Магазин 24", None, "Магазин 24", id="a number in the name"),
        pytest.param("ООО 7 звёзд", None, "ООО 7 звёзд", id="a number amid the name"),
        pytest.param("Магазин 24 7707083893", "7707083893", "Магазин 24", id="a number beside the number"),
        pytest.param("7707083893 24 часа", "7707083893", "24 часа", id="a number after the number"),
        pytest.param("ООО 1917, 7707083894", "7707083894", "ООО 1917", id="a year and a misprint"),
        pytest.param("77О7083893 ромашка", "77О7083893", "ромашка", id="a letter for a zero"),
        pytest.param(
            "７７０７０８３８９３ ромашка", "７７０７０８３８９３", "ромашка", id="full width digits"
        ),
        pytest.param("ООО «ИНН-Сервис»", None, "ООО «ИНН-Сервис»", id="the label inside a name"),
        pytest.param("", None, None, id="empty"),
        pytest.param(" , ", None, None, id="only punctuation"),
    ],
)
def test_company_split(text: str, inn: str | None, name: str | None):
    assert split_company(text) == (inn, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ООО «Ромашка»", "ООО «Ромашка»"),
        ("  ООО \n «Ромашка»\t", "ООО «Ромашка»"),
        ("Ро\x00маш\u200bка\ud800", "Ромашка"),
        ("Магазин 24", "Магазин 24"),
        ("я" * 200, "я" * 200),
    ],
)
def test_name_understood(text: str, name: str):
    assert parse_company_name(text) == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "нет ни одной буквы"),
        ("24", "нет ни одной буквы"),
        ("«»", "нет ни одной буквы"),
        ("я" * 201, "длиннее 200 знаков: у вас 201"),
    ],
)
def test_name_refused(text: str, reason: str):
    with pytest.raises(AnswerError) as refused:
        parse_company_name(text)
    assert reason in spoken(refused.value.text)


def company_check_digit(nine: str) -> str:
    weights = (2, 4, 10, 3, 5, 9, 4, 6, 8)
    return str(sum(weight * int(digit) for weight, digit in zip(weights, nine, strict=True)) % 11 % 10)


NINE_DIGITS = st.text("0123456789", min_size=9, max_size=9).filter(lambda text: text.strip("0"))


@given(NINE_DIGITS)
def test_only_the_right_check_digit_is_taken(nine: str):
    right = company_check_digit(nine)
    assert parse_inn(nine + right) == nine + right
    for wrong in set("0123456789") - {right}:
        assert "контрольные цифры" in refusal(nine + wrong)


@given(NINE_DIGITS, st.sampled_from(["ромашка", "ООО «Свет»", "Магазин 24", "7 звёзд"]), st.booleans())
def test_number_and_name_are_parted_in_any_order(nine: str, name: str, number_first: bool):
    inn = nine + company_check_digit(nine)
    answer = f"{inn} {name}" if number_first else f"{name}, ИНН {inn}"
    assert split_company(answer) == (inn, name)


@given(st.text(max_size=60))
def test_any_text_is_refused_or_becomes_plain_digits(text: str):
    number, name = split_company(text)
    try:
        inn = parse_inn(number if number is not None else text)
        assert len(inn) in (10, 12)
        assert set(inn) <= set("0123456789")
    except AnswerError as refused:
        assert spoken(refused.text)  # noqa: PT017
    assert name is None or "\x00" not in name


@pytest.mark.parametrize(
    "text", ["1 " * 50_000, "ИНН " * 25_000, "1-" * 50_000, "О1" * 50_000], ids=lambda text: text[:4]
)
def test_long_texts_are_answered_at_once(text: str):
    begun = stopwatch.thread_time()
    split_company(text)
    with pytest.raises(AnswerError):
        parse_inn(text)
    assert stopwatch.thread_time() - begun < 1
