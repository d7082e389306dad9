from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.answers import AnswerError
from forms.contact import NamedContact, parse_contact, phone_key
from forms.past import MAX_DAYS_BACK, parse_past

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2026, 11, 25, 11, 30, 20, tzinfo=MOSCOW).astimezone(UTC)
"""A Wednesday."""


def local(text):
    return parse_past(text, NOW, MOSCOW).astimezone(MOSCOW).strftime("%d.%m %H:%M")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Только что", "25.11 11:30"),
        ("вот только что звонили", "25.11 11:30"),
        ("час назад", "25.11 10:30"),
        ("2 часа назад", "25.11 09:30"),
        ("два часа назад", "25.11 09:30"),
        ("полчаса назад", "25.11 11:00"),
        ("полтора часа назад", "25.11 10:00"),
        ("15 минут назад", "25.11 11:15"),
        ("минут 20 назад", "25.11 11:10"),
        ("1 час 10 минут назад", "25.11 10:20"),
        ("в 11:20", "25.11 11:20"),
        ("11:20", "25.11 11:20"),
        ("в 11.20", "25.11 11:20"),
        ("11.20", "25.11 11:20"),
        ("в 9", "25.11 09:00"),
        ("в 9 утра", "25.11 09:00"),
        ("около 10 часов", "25.11 10:00"),
        ("в 07:15", "25.11 07:15"),
        ("сегодня в 10", "25.11 10:00"),
        ("вчера в 15:30", "24.11 15:30"),
        ("Вчера в 3", "24.11 15:00"),
        ("вчера в 3 ночи", "24.11 03:00"),
        ("вчера в 6 вечера", "24.11 18:00"),
        ("позавчера, в 12", "23.11 12:00"),
        ("2 дня назад в 14:00", "23.11 14:00"),
        ("в понедельник в 10", "23.11 10:00"),
        ("в пятницу в 16:45", "20.11 16:45"),
        ("в среду в 17:00", "18.11 17:00"),
        ("24.11 в 9:30", "24.11 09:30"),
        ("24.11.2026 9:30", "24.11 09:30"),
        ("24.11 9.30", "24.11 09:30"),
        ("24 ноября в 9:30", "24.11 09:30"),
        ("звонила в 10:05", "25.11 10:05"),
    ],
)
def test_what_people_say(said, meant):
    assert local(said) == meant


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("в 18:20", "ещё не наступило"),
        ("в 3", "ещё не наступило"),
        ("вчера", "Во сколько это было?"),
        ("в понедельник", "Во сколько это было?"),
        ("в 25:00", "Такого времени не бывает"),
        ("31.11 в 10:00", "Такого дня нет"),
        ("10.11 в 10:00", "больше {days} дней назад"),
        ("10 дней назад в 10:00", "больше {days} дней назад"),
        ("25.11.2027 в 10:00", "ещё не наступило"),
        ("завтра в 10", "Не получилось понять время"),
        ("после обеда", "Не получилось понять время"),
        ("", "Не получилось понять время"),
        ("час " * 60, "Не получилось понять время"),
    ],
)
def test_what_is_asked_again(said, told):
    with pytest.raises(AnswerError) as refused:
        parse_past(said, NOW, MOSCOW)
    assert told in refused.value.text.msgid


@given(st.text(alphabet=" 0123456789:.вчерадняминутзс", max_size=30))
def test_never_in_the_future_and_never_long_ago(said):
    try:
        at = parse_past(said, NOW, MOSCOW)
    except AnswerError:
        return
    assert timedelta() <= NOW - at <= timedelta(days=MAX_DAYS_BACK, minutes=1)


@pytest.mark.parametrize(
    ("said", "name", "phone"),
    [
        ("Мария, +7 916 123-45-67", "Мария", "+7 916 123-45-67"),
        ("8(916)1234567 Мария Ивановна", "Мария Ивановна", "+7 916 123-45-67"),
        ("Анна-Мария тел. 9161234567", "Анна-Мария", "+7 916 123-45-67"),
        ("John +44 20 7946 0958", "John", "+442079460958"),
    ],
)
def test_name_and_telephone(said, name, phone):
    assert parse_contact(said) == NamedContact(name, phone)


@pytest.mark.parametrize(
    ("said", "told"), [("Мария", "Не хватает телефона"), ("+7 916 123-45-67", "Не хватает имени")]
)
def test_half_a_contact(said, told):
    with pytest.raises(AnswerError) as refused:
        parse_contact(said)
    assert told in refused.value.text.msgid


def test_a_number_is_the_same_however_it_is_written():
    assert phone_key("8 (916) 123-45-67") == phone_key("+79161234567") == phone_key("9161234567")
