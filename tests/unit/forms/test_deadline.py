"""Deadlines as people type them. The base of every table is Wednesday, 25 November 2026, 11:00 in Moscow."""

from __future__ import annotations

import re
import time as stopwatch
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forms.answers import AnswerError
from forms.deadline import (
    Deadline,
    deadline_choices,
    from_text,
    parse_deadline,
    show_deadline,
    to_text,
)
from forms.texts import Clock, Day, Text

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2026, 11, 25, 11, 0, tzinfo=MOSCOW)

HOLIDAYS = frozenset(
    [date(2026, 1, day) for day in range(1, 12)]
    + [date(2026, 2, 23), date(2026, 3, 9), date(2026, 5, 1), date(2026, 5, 11), date(2026, 6, 12)]
    + [date(2026, 11, 4), date(2026, 12, 31)]
    + [date(2027, 1, day) for day in range(1, 11)]
    + [date(2027, 2, 22), date(2027, 2, 23), date(2027, 3, 8)]
)
WORKING_SATURDAYS = frozenset([date(2027, 2, 20)])
SHORT_DAYS = frozenset([date(2026, 12, 30), date(2027, 2, 20)])


@dataclass(frozen=True)
class OfficeCalendar:
    """Nine to six, with the Russian holidays of 2026, their transfers, and an hour less before some."""

    zone: tzinfo = MOSCOW

    def is_working_day(self, day: date) -> bool:
        return day in WORKING_SATURDAYS or (day.weekday() < 5 and day not in HOLIDAYS)

    def opens_at(self, day: date) -> time:
        return time(9)

    def closes_at(self, day: date) -> time:
        return time(17) if day in SHORT_DAYS else time(18)


OFFICE = OfficeCalendar()


def moscow(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MOSCOW)


# Written before the grammar, and kept apart from the phrases it was written against.
HELD_OUT = [
    ("надо бы к четвергу", "2026-11-26 18:00"),
    ("желательно послезавтра до обеда", "2026-11-27 13:00"),
    ("не позднее 30 ноября", "2026-11-30 18:00"),
    ("крайний срок — 10.12.2026", "2026-12-10 18:00"),
    ("до среды", "2026-11-25 18:00"),
    ("в понедельник к 9:30", "2026-11-30 09:30"),
    ("часам к 4", "2026-11-25 16:00"),
    ("сегодня к вечеру", "2026-11-25 18:00"),
    ("до 17-00", "2026-11-25 17:00"),
    ("через пару недель", "2026-12-09 18:00"),
    ("на следующей неделе", "2026-12-04 18:00"),
    ("до конца следующей недели", "2026-12-04 18:00"),
    ("до двадцать восьмого", "2026-11-28 18:00"),
    ("к третьему декабря", "2026-12-03 18:00"),
    ("пт", "2026-11-27 18:00"),
    ("во вторник после обеда", "2026-12-01 18:00"),
    ("за два рабочих дня", "2026-11-27 18:00"),
    ("15 января следующего года", "2027-01-15 18:00"),
    ("к новому году", "2026-12-30 17:00"),
    ("завтра к 11 утра", "2026-11-26 11:00"),
    ("в четверг в половине третьего", "2026-11-26 14:30"),
    ("2 декабря, 16:45", "2026-12-02 16:45"),
    ("не завтра, а в пятницу", "2026-11-27 18:00"),
    ("в течение двух недель", "2026-12-09 18:00"),
    ("успеть бы к 5 декабря", "2026-12-05 18:00"),
    ("до 1.12", "2026-12-01 18:00"),
    ("как можно быстрее, край четверг", "2026-11-26 18:00 urgent"),
    ("В ПЯТНИЦУ В ОБЕД!!!", "2026-11-27 13:00"),
    ("через 45 минут", "2026-11-25 11:45"),
    ("к концу месяца", "2026-11-30 18:00"),
    ("до конца декабря", "2026-12-30 17:00"),
    ("5 декабря 2026г", "2026-12-05 18:00"),
    ("на пятницу", "2026-11-27 18:00"),
    ("ко вторнику, к 12 часам", "2026-12-01 12:00"),
]
HELD_OUT_REFUSED = [
    "желательно сегодня, край завтра",
    "после дождичка в другой раз",
    "tomorrow by 15:00",
    "три",
    "заплатите Иванову",
    "не раньше понедельника",
    "+7 912 345-67-89",
]

UNDERSTOOD = [
    # Days from today.
    ("сегодня", "2026-11-25 18:00"),
    ("завтра", "2026-11-26 18:00"),
    ("Завтра.", "2026-11-26 18:00"),
    ("ЗАВТРА!!!", "2026-11-26 18:00"),
    ("послезавтра", "2026-11-27 18:00"),
    ("до завтра", "2026-11-26 18:00"),
    ("до завтрашнего дня", "2026-11-26 18:00"),
    ("завтра до 15:00", "2026-11-26 15:00"),
    ("завтра до 15.30", "2026-11-26 15:30"),
    ("завтра в 10", "2026-11-26 10:00"),
    ("завтра в 5", "2026-11-26 17:00"),
    ("завтра в 5 утра", "2026-11-26 05:00"),
    ("завтра в 05:00", "2026-11-26 05:00"),
    ("завтра к двум", "2026-11-26 14:00"),
    ("завтра в час дня", "2026-11-26 13:00"),
    ("завтра в 15 часов", "2026-11-26 15:00"),
    ("завтра 15ч30", "2026-11-26 15:30"),
    ("завтра к 8 вечера", "2026-11-26 20:00"),
    ("завтра 12 часов", "2026-11-26 12:00"),
    ("завтра к открытию", "2026-11-26 09:00"),
    ("до начала рабочего дня", "2026-11-26 09:00"),
    ("до закрытия", "2026-11-25 18:00"),
    ("до конца раб. дня", "2026-11-25 18:00"),
    ("отчёт за 3 квартал до пятницы", "2026-11-27 18:00"),
    ("завтра утром", "2026-11-26 10:00"),
    ("завтра днём", "2026-11-26 15:00"),
    ("завтра днем", "2026-11-26 15:00"),
    ("завтра вечером", "2026-11-26 18:00"),
    ("завтра вечером в 7", "2026-11-26 19:00"),
    ("послезавтра к обеду", "2026-11-27 13:00"),
    ("утром", "2026-11-26 10:00"),
    ("днём", "2026-11-25 15:00"),
    ("вечером", "2026-11-25 18:00"),
    ("до обеда", "2026-11-25 13:00"),
    ("до полудня", "2026-11-25 12:00"),
    ("до 18:00", "2026-11-25 18:00"),
    ("в 16", "2026-11-25 16:00"),
    ("до 24:00", "2026-11-25 23:59"),
    ("до завтрашнего утра", "2026-11-26 10:00"),
    ("к завтрашнему утру", "2026-11-26 10:00"),
    ("завтрашним днём", "2026-11-26 15:00"),
    ("завтрашним утром", "2026-11-26 10:00"),
    ("к завтрашнему обеду", "2026-11-26 13:00"),
    ("не позже завтрашнего обеда", "2026-11-26 13:00"),
    ("до послезавтрашнего утра", "2026-11-27 10:00"),
    ("до сегодняшнего вечера", "2026-11-25 18:00"),
    ("к началу завтрашнего дня", "2026-11-26 09:00"),
    ("до середины завтрашнего дня", "2026-11-26 15:00"),
    ("к концу завтрашнего рабочего дня", "2026-11-26 18:00"),
    ("к завтрашнему до 15:00", "2026-11-26 15:00"),
    ("сегодняшним числом", "2026-11-25 18:00"),
    ("завтра к 5ти", "2026-11-26 17:00"),
    ("до 10ти утра завтра", "2026-11-26 10:00"),
    ("завтра до 12-ти", "2026-11-26 12:00"),
    ("до 2-х", "2026-11-25 14:00"),
    ("завтра в 14,30", "2026-11-26 14:30"),
    ("до 14,30", "2026-11-25 14:30"),
    ("до 14.30 часов", "2026-11-25 14:30"),
    ("четверть пятого", "2026-11-25 16:15"),
    ("завтра в четверть пятого", "2026-11-26 16:15"),
    # Weekdays.
    ("на той неделе в пятницу", "2026-12-04 18:00"),
    ("во вторник на той неделе", "2026-12-01 18:00"),
    ("на той неделе", "2026-12-04 18:00"),
    ("до пятницы", "2026-11-27 18:00"),
    ("в пятницу", "2026-11-27 18:00"),
    ("пятница", "2026-11-27 18:00"),
    ("в эту пятницу", "2026-11-27 18:00"),
    ("в следующую пятницу", "2026-12-04 18:00"),
    ("в следующий понедельник", "2026-11-30 18:00"),
    ("в ближайший вторник", "2026-12-01 18:00"),
    ("в среду на следующей неделе", "2026-12-02 18:00"),
    ("на следующей неделе в среду", "2026-12-02 18:00"),
    ("к понедельнику", "2026-11-30 18:00"),
    ("к понедельнику утром", "2026-11-30 10:00"),
    ("в воскресенье", "2026-11-29 18:00"),
    ("в среду", "2026-11-25 18:00"),
    ("в среду утром", "2026-12-02 10:00"),
    ("в пятницу, 27 ноября", "2026-11-27 18:00"),
    ("в пятницу, 4 декабря", "2026-12-04 18:00"),
    ("с понедельника по среду", "2026-11-25 18:00"),
    ("через неделю в среду", "2026-12-02 18:00"),
    # Days of the month.
    ("28-го", "2026-11-28 18:00"),
    ("28го", "2026-11-28 18:00"),
    ("до 28 числа", "2026-11-28 18:00"),
    ("до 28", "2026-11-28 18:00"),
    ("к 15-му", "2026-12-15 18:00"),
    ("к 15-му числу", "2026-12-15 18:00"),
    ("31-го", "2026-12-31 18:00"),
    ("5-го числа следующего месяца", "2026-12-05 18:00"),
    # Counted.
    ("через 2 рабочих дня", "2026-11-27 18:00"),
    ("через 3 рабочих дня", "2026-11-30 18:00"),
    ("через 3 дня", "2026-11-28 18:00"),
    ("через три дня", "2026-11-28 18:00"),
    ("дня через три", "2026-11-28 18:00"),
    ("3 дня", "2026-11-28 18:00"),
    ("через неделю", "2026-12-02 18:00"),
    ("через две недели", "2026-12-09 18:00"),
    ("через месяц", "2026-12-25 18:00"),
    ("через полгода", "2027-05-25 18:00"),
    ("через час", "2026-11-25 12:00"),
    ("через 2 часа", "2026-11-25 13:00"),
    ("1.5 часа", "2026-11-25 12:30"),
    ("через 1,5 ч", "2026-11-25 12:30"),
    ("через 2.5 часа", "2026-11-25 13:30"),
    ("через 1ч 30мин", "2026-11-25 12:30"),
    ("через 1 час 30 минут", "2026-11-25 12:30"),
    ("через час и 20 минут", "2026-11-25 12:20"),
    ("через 30мин", "2026-11-25 11:30"),
    ("5 раб дней", "2026-12-02 18:00"),
    ("через 5 раб. дней", "2026-12-02 18:00"),
    ("неделя", "2026-12-02 18:00"),
    ("Неделю.", "2026-12-02 18:00"),
    ("на следующий день", "2026-11-26 18:00"),
    ("следующий рабочий день", "2026-11-26 18:00"),
    ("через полтора часа", "2026-11-25 12:30"),
    ("через полчаса", "2026-11-25 11:30"),
    ("в течение дня", "2026-11-25 18:00"),
    ("в течении рабочего дня", "2026-11-25 18:00"),
    ("в течение часа", "2026-11-25 12:00"),
    ("до пяти дней", "2026-11-30 18:00"),
    ("в 3-дневный срок", "2026-11-28 18:00"),
    ("с 1 по 5 декабря", "2026-12-05 18:00"),
    ("завтра с 10 до 12", "2026-11-26 12:00"),
    ("в этом месяце", "2026-11-30 18:00"),
    ("в течение 3 дней", "2026-11-28 18:00"),
    ("в течение недели", "2026-12-02 18:00"),
    # Ends.
    ("до конца дня", "2026-11-25 18:00"),
    ("до конца рабочего дня", "2026-11-25 18:00"),
    ("завтра до конца дня", "2026-11-26 18:00"),
    ("до конца недели", "2026-11-27 18:00"),
    ("на этой неделе", "2026-11-27 18:00"),
    ("до выходных", "2026-11-27 18:00"),
    ("до конца месяца", "2026-11-30 18:00"),
    ("до конца следующего месяца", "2026-12-30 17:00"),
    ("до конца квартала", "2026-12-30 17:00"),
    ("до конца года", "2026-12-30 17:00"),
    ("до конца января", "2027-01-29 18:00"),
    ("последний день месяца", "2026-11-30 18:00"),
    ("последний день декабря", "2026-12-31 18:00"),
    ("последний рабочий день декабря", "2026-12-30 17:00"),
    ("до декабря", "2026-11-30 18:00"),
    ("к январю", "2026-12-30 17:00"),
    ("до марта 2027 года", "2027-02-26 18:00"),
    # Dates.
    ("25.12", "2026-12-25 18:00"),
    ("25.12.", "2026-12-25 18:00"),
    ("25.12.2026", "2026-12-25 18:00"),
    ("25.12.26", "2026-12-25 18:00"),
    ("25.12.2026 г.", "2026-12-25 18:00"),
    ("25/12", "2026-12-25 18:00"),
    ("25-12-2026", "2026-12-25 18:00"),
    ("2026-12-25", "2026-12-25 18:00"),
    ("2026-12-25T14:30", "2026-12-25 14:30"),
    ("2026-12-25 14:30", "2026-12-25 14:30"),
    ("2026-12-25T14:30:00Z", "2026-12-25 17:30"),
    ("05.01", "2027-01-05 18:00"),
    ("до 05.01 к 10:30", "2027-01-05 10:30"),
    ("30.12", "2026-12-30 17:00"),
    ("25 декабря", "2026-12-25 18:00"),
    ("25-го декабря", "2026-12-25 18:00"),
    ("25 дек.", "2026-12-25 18:00"),
    ("до 25 декабря к 18:00", "2026-12-25 18:00"),
    ("25 декабря в 9", "2026-12-25 09:00"),
    ("к 1 марта", "2027-03-01 18:00"),
    ("1 марта 2027 в 14:30", "2027-03-01 14:30"),
    ("1.02.27 12:30", "2027-02-01 12:30"),
    ("первого марта", "2027-03-01 18:00"),
    ("двадцать пятого декабря", "2026-12-25 18:00"),
    ("29 февраля", "2028-02-29 18:00"),
    ("20 февраля", "2027-02-20 17:00"),
    ("25 ноября 2029 в 10:00", "2029-11-25 10:00"),
    # Hurry.
    ("срочно", "2026-11-25 13:00 urgent"),
    ("как можно скорее", "2026-11-25 13:00 urgent"),
    ("ASAP", "2026-11-25 13:00 urgent"),
    ("срочно, завтра до 12", "2026-11-26 12:00 urgent"),
    ("очень срочно сегодня", "2026-11-25 18:00 urgent"),
    ("чем быстрее, тем лучше, но не позже пятницы", "2026-11-27 18:00 urgent"),
    ("не срочно, до пятницы", "2026-11-27 18:00"),
    # Among other words.
    ("Оплатите, пожалуйста, до пятницы", "2026-11-27 18:00"),
    ("счёт № 15 от 20 ноября, нужно до пятницы", "2026-11-27 18:00"),
    ("отчёт за октябрь до пятницы", "2026-11-27 18:00"),
    ("2 копии до пятницы", "2026-11-27 18:00"),
    ("а можно завтра?", "2026-11-26 18:00"),
    ("  завтра\u00a0в\n10  ", "2026-11-26 10:00"),
]

NOT_A_DATE = "Не поняли срок"
WHICH_DAY = "Какой день верный"
WHICH_TIME = "Названо разное время"
WHAT_NUMBER = "Не поняли, что значит"
REFUSED = [
    ("", NOT_A_DATE),
    ("ромашка", NOT_A_DATE),
    ("спасибо", NOT_A_DATE),
    ("человека позовите", NOT_A_DATE),
    ("оплатить счёт № 15", NOT_A_DATE),
    ("до 350 рублей", NOT_A_DATE),
    ("вчера", "уже прошло"),
    ("ещё вчера", "уже прошло"),
    ("в прошлую пятницу", "уже прошло"),
    ("3 дня назад", "уже прошло"),
    ("вчера в 15:00", "уже прошло"),
    ("после пятницы в 15:00", "нужен срок"),
    ("не могу завтра", "нужен срок"),
    ("в декабре утром", "Назовите день точнее"),
    ("во второй половине декабря", "Назовите день точнее"),
    ("25.11.2025", "Этот день уже прошёл"),
    ("20 ноября", "Этот день уже прошёл"),
    ("24.11", "Этот день уже прошёл"),
    ("0001-01-01", "Этот день уже прошёл"),
    ("до 10:00", "уже прошло"),
    ("сегодня в 9", "уже прошло"),
    ("31.02", "не бывает"),
    ("31 апреля", "не бывает"),
    ("29.02.2027", "не бывает"),
    ("12.13.2026", "не бывает"),
    ("завтра в 25:00", "не бывает"),
    ("завтра в 10:75", "не бывает"),
    ("40-го", "не бывает"),
    ("25.12.2030", "больше трёх лет"),
    ("25 ноября 2029", "больше трёх лет"),
    ("9999-12-31", "больше трёх лет"),
    ("через 10 лет", "больше трёх лет"),
    ("через 9999 лет", "больше чем через три года"),
    ("через 9999 рабочих дней", "больше чем через три года"),
    ("5/10", WHICH_DAY),
    ("05/10/2027", WHICH_DAY),
    ("а можно завтра? или лучше в пятницу", WHICH_DAY),
    ("сегодня-завтра", WHICH_DAY),
    ("в пятницу, 28 ноября", WHICH_DAY),
    ("через 2-3 дня", WHICH_DAY),
    ("10-12 декабря", WHICH_DAY),
    ("через день", WHICH_DAY),
    ("через час или завтра", WHICH_DAY),
    ("завтра утром или вечером", WHICH_TIME),
    ("завтра до 12 или до 15", WHICH_TIME),
    ("5", "число месяца или сколько дней"),
    ("28.", "число месяца или сколько дней"),
    ("до 18", "это час или число"),
    ("к 5", "это час или число"),
    ("3 часа", "время или сколько ждать"),
    ("1.5 дня", WHAT_NUMBER),
    ("через 1.5 дня", WHAT_NUMBER),
    ("через 1,5 недели", WHAT_NUMBER),
    ("до 2.5 часов", WHAT_NUMBER),
    ("без четверти пять", WHAT_NUMBER),
    ("до 12,50 руб", NOT_A_DATE),
    ("к завтрашней встрече", "Назовите день точнее"),
    ("до завтрашних переговоров в 15", "Назовите день точнее"),
    ("до ноября", "Назовите день точнее"),
    ("завтра в 7", "утро или вечер"),
    ("завтра 10", WHAT_NUMBER),
    ("завтра 10 пожалуйста", WHAT_NUMBER),
    ("10 завтра", WHAT_NUMBER),
    ("15 в пятницу", WHAT_NUMBER),
    ("завтра в 00:00", "Ночью"),
    ("в выходные", "Назовите день точнее"),
    ("пятница 15", WHAT_NUMBER),
    ("25 декабря 18", WHAT_NUMBER),
    ("через час-два", WHAT_NUMBER),
    ("350,50", WHAT_NUMBER),
    ("7707083893", "не похоже на срок"),
    ("770708389312", "не похоже на срок"),
    ("не горит", "не срочно"),
    ("не срочно", "не срочно"),
    ("когда удобно", "не срочно"),
    ("в декабре", "Назовите день точнее"),
    ("март", "Назовите день точнее"),
    ("в начале декабря", "Назовите день точнее"),
    ("на днях", "Назовите день точнее"),
    ("после пятницы", "нужен срок"),
    ("не завтра", "нужен срок"),
    ("каждую пятницу", "один срок"),
    ("завтра ночью", "Ночью"),
    ("завтра " * 1000, "слишком длинно"),
    ("٢٥.١٢", NOT_A_DATE),
]


def spoken(text: object) -> str:
    """A text with its days and hours, readable enough to be compared."""
    match text:
        case Text():
            return text.msgid.format(**{name: spoken(value) for name, value in text.params.items()})
        case Day():
            return text.date.strftime("%d.%m.%Y") if text.with_year else text.date.strftime("%d.%m")
        case Clock():
            return text.at.strftime("%H:%M")
        case _:
            return str(text)


def refusal(phrase: str, now: datetime = NOW) -> str:
    with pytest.raises(AnswerError) as refused:
        parse_deadline(phrase, now, OFFICE)
    return spoken(refused.value.text)


@pytest.mark.parametrize(("phrase", "expected"), UNDERSTOOD + HELD_OUT, ids=lambda value: value)
def test_understood(phrase: str, expected: str):
    at, _, mark = expected.partition(" urgent")
    deadline = parse_deadline(phrase, NOW, OFFICE)
    assert deadline.at.isoformat(" ", "minutes") == f"{at}+03:00"
    assert deadline.urgent == expected.endswith("urgent")
    assert deadline.on_day_off == (not OFFICE.is_working_day(deadline.at.date()))
    assert not mark


@pytest.mark.parametrize(("phrase", "reason"), REFUSED, ids=[phrase[:40] or "empty" for phrase, _ in REFUSED])
def test_refused_with_a_reason(phrase: str, reason: str):
    assert reason in refusal(phrase)


@pytest.mark.parametrize("phrase", HELD_OUT_REFUSED)
def test_held_out_refused(phrase: str):
    assert refusal(phrase)


@pytest.mark.parametrize(
    ("said_at", "phrase", "expected"),
    [
        pytest.param("2026-11-29 12:00", "в воскресенье", "2026-11-29 18:00", id="Sunday said on Sunday"),
        pytest.param(
            "2026-11-29 19:00", "в воскресенье", "2026-12-06 18:00", id="Sunday said on Sunday night"
        ),
        pytest.param(
            "2026-11-27 17:59", "до пятницы", "2026-11-27 18:00", id="Friday a minute before closing"
        ),
        pytest.param("2026-11-27 18:00", "до пятницы", "2026-12-04 18:00", id="Friday at closing"),
        pytest.param("2026-11-29 12:00", "сегодня", "2026-11-29 18:00", id="today on a day off"),
        pytest.param("2026-11-25 19:00", "сегодня до 20:00", "2026-11-25 20:00", id="an hour after closing"),
        pytest.param("2026-11-25 19:00", "25-го", "2026-12-25 18:00", id="this day is over, next month"),
        pytest.param("2026-01-31 12:00", "через месяц", "2026-02-28 18:00", id="a shorter month"),
        pytest.param("2026-12-30 12:00", "через 1 рабочий день", "2027-01-11 18:00", id="over the New Year"),
        pytest.param("2026-12-31 12:00", "завтра", "2027-01-01 18:00", id="a holiday as wished"),
        pytest.param("2027-02-19 12:00", "через 1 рабочий день", "2027-02-20 17:00", id="a working Saturday"),
        pytest.param("2027-02-16 12:00", "до конца недели", "2027-02-20 17:00", id="a week with Saturday"),
        pytest.param("2026-12-20 12:00", "20.12", "2026-12-20 18:00", id="today's own date"),
        pytest.param("2026-11-25 11:00:30", "через час", "2026-11-25 12:01", id="whole minutes"),
        pytest.param("2026-11-25 17:00", "срочно", "2026-11-26 10:00", id="urgent goes over the night"),
        pytest.param("2026-11-27 17:30", "срочно", "2026-11-30 10:30", id="urgent goes over the weekend"),
        pytest.param("2026-11-25 03:00", "срочно", "2026-11-25 11:00", id="urgent before opening"),
        pytest.param("2026-12-31 03:00", "срочно", "2027-01-11 11:00", id="urgent in the holidays"),
    ],
)
def test_counted_from_another_moment(said_at: str, phrase: str, expected: str):
    assert parse_deadline(phrase, moscow(said_at), OFFICE).at == moscow(expected)


@pytest.mark.parametrize(
    ("said_at", "phrase", "answer"),
    [
        pytest.param(
            "2026-11-25 19:00", "сегодня",
            "Сегодня рабочий день уже закончился. Можно завтра: 26.11, до 18:00. "
            "Напишите «завтра» или другой день.",
            id="the day is over",
        ),
        pytest.param(
            "2026-11-25 19:00", "до 18:00",
            "Сегодня 18:00 уже прошло. Если это завтра (26.11), напишите «завтра до 18:00».",
            id="the hour is over",
        ),
        pytest.param(
            "2026-11-28 12:00", "до конца недели",
            "Этот день уже прошёл (27.11). Назовите сегодняшний день или более поздний.",
            id="the week is over",
        ),
        pytest.param(
            "2026-11-25 11:00", "завтра или в пятницу",
            "Какой день верный: 26.11 или 27.11? Напишите одну дату.",
            id="two days",
        ),
        pytest.param(
            "2026-11-25 11:00", "5/10",
            "Какой день верный: 05.10.2027 или 10.05.2027? Напишите одну дату.",
            id="two readings",
        ),
        pytest.param(
            "2026-11-25 11:00", "до 18",
            "18 — это час или число? Напишите «сегодня до 18:00» или «до 18-го».",
            id="an hour or a day",
        ),
        pytest.param(
            "2026-11-25 11:00", "к 9",
            "9 — это час или число? Напишите «завтра до 09:00» или «до 9-го».",
            id="an hour that is over or a day",
        ),
        pytest.param(
            "2026-11-25 11:00", "к 7",
            "7 — это час или число? Напишите «сегодня до 19:00» или «до 7-го».",
            id="an hour in the evening or a day",
        ),
        pytest.param(
            "2026-11-25 11:00", "2 часа",
            "2 ч — это время или сколько ждать? Напишите «сегодня до 14:00» или «через 2 ч».",
            id="an hour or a stretch",
        ),
        pytest.param(
            "2026-11-25 11:00", "3 декабря 2099 г.",
            "До этого дня больше трёх лет (03.12.2099). Проверьте год или назовите срок поближе.",
            id="too far",
        ),
    ],
)  # fmt: skip
def test_the_refusal_says_what_to_write(said_at: str, phrase: str, answer: str):
    assert refusal(phrase, moscow(said_at)) == answer


QUOTED = re.compile("«([^»]+)»")


@pytest.mark.parametrize("phrase", ["до {}", "к {}", "{} часов", "{} ч", "до {}:00", "в {}"])
@pytest.mark.parametrize(
    "said_at", ["2026-11-25 00:30", "2026-11-25 11:00", "2026-11-25 20:00", "2026-11-28 14:00"]
)
def test_advice_is_understood_when_it_is_followed(phrase: str, said_at: str):
    now = moscow(said_at)
    for hour in range(1, 25):
        try:
            parse_deadline(phrase.format(hour), now, OFFICE)
        except AnswerError as refused:
            advised = QUOTED.findall(spoken(refused.text).partition("Напишите")[2] or spoken(refused.text))
            assert all(parse_deadline(words, now, OFFICE).at > now for words in advised), advised


def test_time_of_the_firm_not_of_the_machine():
    omsk = OfficeCalendar(zone=ZoneInfo("Asia/Omsk"))
    late_in_utc = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)  # already 26 November in Omsk
    assert parse_deadline("сегодня", late_in_utc, omsk).at == datetime(2026, 11, 26, 18, 0, tzinfo=omsk.zone)


def test_a_naive_moment_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="aware"):
        parse_deadline("завтра", datetime(2026, 11, 25, 11, 0), OFFICE)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("said_at", "codes"),
    [
        ("2026-11-25 11:00", ["today", "tomorrow", "friday", "week"]),
        ("2026-11-25 18:00", ["tomorrow", "friday", "week"]),
        ("2026-11-26 11:00", ["today", "tomorrow", "week"]),
        ("2026-11-27 11:00", ["today", "tomorrow", "week"]),
        ("2026-11-28 11:00", ["tomorrow", "week"]),
        ("2026-11-29 11:00", ["tomorrow", "week"]),
        ("2026-12-31 11:00", ["tomorrow", "week"]),
    ],
)
def test_choices_fit_the_moment(said_at: str, codes: list[str]):
    assert [code for code, _, _ in deadline_choices(moscow(said_at), OFFICE)] == codes


@pytest.mark.parametrize("hour", range(24))
def test_a_label_typed_is_the_button_pressed(hour: int):
    now = moscow(f"2026-11-25 {hour:02}:00")
    for _, label, deadline in deadline_choices(now, OFFICE):
        assert parse_deadline(label.msgid, now, OFFICE) == deadline


def test_shown_with_the_year_when_it_is_another():
    this_year = Deadline(moscow("2026-11-27 18:00"))
    shown = show_deadline(this_year, NOW, OFFICE, capital=True)
    assert shown == Text(
        "{day}, до {clock}", {"day": Day(date(2026, 11, 27), capital=True), "clock": Clock(this_year.at)}
    )
    next_year = Deadline(datetime(2026, 12, 31, 22, 30, tzinfo=UTC))
    assert show_deadline(next_year, NOW, OFFICE).params["day"] == Day(date(2027, 1, 1), with_year=True)


@pytest.mark.parametrize("stored", ["", "завтра", "2026-11-27T18:00:00", "2026-11-27T18:00:00+03:00 soon"])
def test_a_foreign_string_is_not_a_stored_deadline(stored: str):
    with pytest.raises(ValueError):
        from_text(stored)


WORDS = st.sampled_from(
    [word for phrase, _ in UNDERSTOOD + HELD_OUT for word in phrase.split()]
    + [word for phrase, _ in REFUSED if len(phrase) < 100 for word in phrase.split()]
)
PHRASES = st.lists(WORDS, max_size=7).map(" ".join) | st.text(max_size=80)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(phrase=PHRASES, now=MOMENTS)
@example(phrase="29 февраля", now=datetime(2027, 3, 1, tzinfo=UTC))
@example(phrase="25 ноября 2029", now=NOW)
@example(phrase="завтра днём 12 часов", now=NOW)
@example(phrase="0001-01-01T00:00+23:59", now=NOW)
@example(phrase="9999-12-31T23:59-23:59", now=NOW)
def test_any_text_is_refused_or_ahead_and_survives_storage(phrase: str, now: datetime):
    try:
        deadline = parse_deadline(phrase, now, OFFICE)
    except AnswerError as refused:
        assert spoken(refused.text)  # noqa: PT017
        return
    assert now < deadline.at.astimezone(UTC) <= now + timedelta(days=3 * 365 + 1)
    assert deadline.at.tzinfo is MOSCOW
    assert from_text(to_text(deadline)) == deadline


@given(st.datetimes(timezones=st.timezones()), st.booleans(), st.booleans())
def test_storage_loses_nothing(at: datetime, urgent: bool, day_off: bool):
    deadline = Deadline(at, urgent=urgent, on_day_off=day_off)
    back = from_text(to_text(deadline))
    assert (back.at.replace(tzinfo=None), back.at.utcoffset()) == (at.replace(tzinfo=None), at.utcoffset())
    assert (back.urgent, back.on_day_off) == (urgent, day_off)


@pytest.mark.parametrize(
    "text",
    [
        "завтра " * 700,
        "1" * 5000,
        "1 " * 149,
        "1-" * 149,
        "до " * 99,
        "не " * 99,
        "25.12." * 49,
        "через " * 49,
        "двадцать " * 33,
        " \u00a0" * 2500,
        "\ufdfa" * 299,
    ],
    ids=lambda text: text[:8],
)
def test_long_and_odd_texts_are_answered_at_once(text: str):
    begun = stopwatch.thread_time()
    with pytest.raises(AnswerError):
        parse_deadline(text, NOW, OFFICE)
    assert stopwatch.thread_time() - begun < 0.25
