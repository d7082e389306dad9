"""Whatever a person writes into the form is understood or refused in words, and at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.ru import inn as registry_inn

from bots.linking import is_asked
from forms.answers import AnswerError
from forms.contact import parse_contact, phone_key, shown_phone
from forms.deadline import from_text, parse_deadline, show_deadline, to_text
from forms.dialogue import is_form_word, is_restore_word, nav_word
from forms.fields import files_from_text
from forms.freetext import agreed, labelled
from forms.goods import Goods, parse_goods, show_goods, split_goods
from forms.inn import parse_company_name, parse_inn, split_company
from forms.messages import Press, loosely
from forms.past import parse_past
from forms.request_form import longer_task, recognise_kind, task_with
from forms.texts import Text
from notifications.texts import Catalogue
from router.worktime import WorkCalendar, parse_hours
from storage.inspection import safe_name, type_by_name
from tests.client import MOSCOW
from tests.fuzz.hostile import ODD_TEXTS, fuzzed, promptly

CALENDAR = WorkCalendar(MOSCOW, *parse_hours("09:00-18:00"), lunch=parse_hours("13:00-14:00"))
NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
MINUTES_OF_FOUR_YEARS = 4 * 365 * 24 * 60
MOMENTS = st.builds(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes),
    st.integers(0, MINUTES_OF_FOUR_YEARS),
)
for year in range(2026, 2035):
    CALENDAR.is_working_day(date(year, 1, 1))  # the holidays of a year are read once
SAY = Catalogue.open("ru").say

PIECES = st.sampled_from(
    [
        "до", "к", "не позднее", "в", "во", "через", "завтра", "послезавтра", "сегодня", "вчера", "пятницы",
        "понедельник", "следующей недели", "конца месяца", "квартала", "года", "обеда", "вечера", "утра",
        "рабочих дня", "2", "25", "31.02", "29.02.2027", "30 февраля", "1 января", "00:00", "24:00", "9-00",
        "18.30", "через 999999999999 дней", "час", "полтора часа", "две недели", "срочно", "asap",
        "как можно скорее", "7707083893", "ИНН", "КПП", "ООО «Ромашка»", "ИП", "500100732259",
        "7707083893/770701001", "Компания:", "Срок:", "Товары:", "Бумага А4; 10; 350,50", "; ; ;", "10 шт",
        "1 000 000,00 руб", "99999999999999999999", "+7 916 111-22-33", "8(916)1112233", "тел.", "Мария",
        "назад", "час назад", "в 11:20", "\n", "\t", ";", ":", ",", ".", "/", "«", "»", "(", ")", "-", "—",
        "\u00a0", "\u2028", "№", "₽", "%", "{", "}",
    ]
)  # fmt: skip
WRITTEN = st.one_of(
    st.lists(PIECES, max_size=9).map(" ".join),
    st.lists(PIECES | st.text(max_size=5), max_size=9).map("".join),
    st.text(max_size=80),
    st.sampled_from(ODD_TEXTS),
    st.builds(lambda piece, times: piece * times, PIECES, st.integers(1, 3000)),
)


T = TypeVar("T")


def told(text: Text) -> str:
    """Every answer can be said."""
    return SAY(text)


def understood(parse: Callable[[], T]) -> T | None:
    """What was read, None when it was refused in words."""
    try:
        return parse()
    except AnswerError as error:
        refusal = error
    assert told(refusal.text).strip()
    return None


def refused(parse: Callable[[], object]) -> bool:
    return understood(parse) is None


@given(WRITTEN, MOMENTS)
@fuzzed(250)
def test_any_deadline_is_understood_or_refused(text: str, now: datetime):
    with promptly():
        deadline = understood(lambda: parse_deadline(text, now, CALENDAR))
    if deadline is None:
        return
    assert now < deadline.at <= now + timedelta(days=3 * 366 + 1)
    again = from_text(to_text(deadline))
    assert (again.at, again.urgent) == (deadline.at, deadline.urgent)
    assert told(show_deadline(deadline, now, CALENDAR))


@given(WRITTEN, MOMENTS)
@fuzzed(150)
def test_any_moment_of_a_call_is_understood_or_refused(text: str, now: datetime):
    with promptly():
        at = understood(lambda: parse_past(text, now, MOSCOW))
    if at is None:
        return
    assert now - timedelta(days=9) < at <= now


@given(WRITTEN)
@fuzzed(200)
def test_any_company_is_understood_or_refused(text: str):
    with promptly():
        inn, name = split_company(text)
        refused(lambda: parse_inn(text))
        if inn is not None and not refused(lambda: parse_inn(inn)):
            found = parse_inn(inn)
            assert registry_inn.is_valid(found)
            assert parse_inn(found) == found
        if name is not None and not refused(lambda: parse_company_name(name)):
            shown = parse_company_name(name)
            assert parse_company_name(shown) == shown


@given(WRITTEN)
@fuzzed(200)
def test_any_contact_is_understood_or_refused(text: str):
    with promptly():
        if not refused(lambda: parse_contact(text)):
            contact = parse_contact(text)
            if not any(char.isdigit() for char in contact.name):
                assert parse_contact(f"{contact.name}, {contact.phone}") == contact
        shown_phone(phone_key(text))


@given(WRITTEN)
@fuzzed(200)
def test_any_goods_are_understood_or_refused(text: str):
    with promptly():
        refused(lambda: split_goods(text))
        if not refused(lambda: parse_goods(text)):
            goods = parse_goods(text)
            assert Goods.from_text(goods.to_text()) == goods
            assert goods.total() == sum((line.total() for line in goods.lines), Decimal())
            assert told(show_goods(goods))


@given(WRITTEN)
@fuzzed(150)
def test_any_message_is_read_for_labels_and_words(text: str):
    with promptly():
        labelled(text)
        agreed(text)
        nav_word(text)
        is_form_word(text)
        is_restore_word(text)
        is_asked(text)
        recognise_kind(text)
        refused(lambda: longer_task("Оплатить", text))
        task_with(f"a {text} b", text, "c")
    assert loosely(loosely(text)) == loosely(text)


@given(WRITTEN)
@fuzzed(150)
def test_any_name_of_a_file_becomes_a_safe_one(text: str):
    with promptly():
        name = safe_name(text)
    assert 0 < len(name) <= 120
    assert not set(name) & set("/\\\x00\r\n")
    assert safe_name(name) == name
    assert type_by_name(name)
    name.encode()


@given(st.text(max_size=80) | WRITTEN)
@fuzzed(100)
def test_any_press_is_read(text: str):
    with promptly():
        Press.parse(text)


@given(
    st.text(max_size=40) | st.sampled_from(["{}", "[{}]", '[{"name": 1}]', "null", '[["a", {}]]', "[NaN]"])
)
@fuzzed(100)
def test_what_was_not_stored_by_us_is_refused(text: str):
    for read in (Goods.from_text, from_text, files_from_text):
        try:
            read(text)
        except (ValueError, TypeError, KeyError, ArithmeticError):
            continue


@pytest.mark.parametrize("text", ODD_TEXTS, ids=[repr(text[:12]) for text in ODD_TEXTS])
def test_odd_texts_are_no_trouble(text: str):
    for parse in (parse_inn, parse_company_name, parse_contact, parse_goods):
        with promptly():
            refused(lambda parse=parse: parse(text))
    with promptly():
        refused(lambda: parse_deadline(text, NOW, CALENDAR))
