"""Fitting a message into a messenger: nothing is lost, no limit is passed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.base import Limits
from bots.rendering import MENU_HINT, fit, split, utf16_length
from forms.messages import OutgoingFile
from notifications.outbox import Parcel, ShownButton

WIDE = Limits(text_length=4096)
ROWS = (
    (ShownButton("Сегодня", "form:deadline:today:1"), ShownButton("Завтра", "form:deadline:tomorrow:1")),
    (ShownButton("Отмена", "form:cancel::1"),),
)
FILE = OutgoingFile("00" * 32, "акт.pdf", "application/pdf", 4)


def parcel(text: str, rows: tuple[tuple[ShownButton, ...], ...] = ()) -> Parcel:
    return Parcel("letter-9", "523", text, rows, (FILE,))


def test_what_fits_is_left_alone():
    whole = parcel("К какому сроку?", ROWS)
    assert fit(whole, WIDE) == (whole,)


def test_buttons_and_files_go_with_the_last_part():
    *others, last = fit(parcel("слово " * 2000, ROWS), WIDE)
    assert others
    assert all((each.rows, each.files) == ((), ()) for each in others)
    assert (last.rows, last.files, last.key) == (ROWS, (FILE,), "letter-9")


def test_parts_have_keys_of_their_own():
    parts = fit(parcel("слово " * 2000), WIDE)
    assert [each.key for each in parts] == ["letter-9/1", "letter-9/2", "letter-9"]
    assert {each.chat_key for each in parts} == {"523"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("аааааа\n\nбббббб\nвв", ["аааааа", "бббббб\nвв"]),
        ("аааааа бббб\nввввв", ["аааааа бббб", "ввввв"]),
        ("аааа бббб ввввв", ["аааа бббб", "ввввв"]),
        ("а\n\nббббббб ввв ггг", ["а\n\nббббббб", "ввв ггг"]),
        ("аааа бббб   \n   ввв", ["аааа бббб", "   ввв"]),
        ("абвгдеёжзийклмн", ["абвгдеёжзийк", "лмн"]),
        ("аааааааааааа       ", ["аааааааааааа"]),
        ("аааааааааааа      б", ["аааааааааааа", "б"]),
    ],
    ids=[
        "between paragraphs",
        "between lines",
        "between words",
        "not after one letter",
        "indentation stays",
        "a word too long",
        "space at the end",
        "space over the edge",
    ],
)
def test_cut_is_at_the_best_place(text: str, parts: list[str]):
    assert split(text, 12) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ааа🙂🙂", ["ааа", "🙂🙂"]),
        ("аа👩‍💻б", ["аа", "👩‍💻", "б"]),
        ("аааe\u0301б", ["ааа", "e\u0301б"]),
    ],
    ids=["surrogates", "joined emoji", "accent"],
)
def test_signs_are_not_torn(text: str, parts: list[str]):
    assert split(text, 5 if "👩" in text else 4) == parts


texts = st.text(
    st.one_of(
        st.sampled_from(" \n\t\u00a0аб🙂\u0301\u200d"),
        st.characters(codec="utf-8"),
    ),
    max_size=200,
)


@given(texts, st.integers(2, 40))
def test_split_loses_nothing(text: str, length: int):
    position = 0
    for part in split(text, length):
        assert utf16_length(part) <= length
        found = text.index(part, position)
        assert not text[position:found].strip()
        position = found + len(part)
    assert not text[position:].strip()


@given(texts.filter(str.strip), st.integers(2, 40))
def test_no_part_is_empty(text: str, length: int):
    assert all(part.strip() for part in split(text, length))


@given(texts, st.integers(2, 40))
def test_short_text_is_not_touched(text: str, length: int):
    assert utf16_length(text) > length or split(text, length) == [text]


labels = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=30)
menus = st.lists(
    st.lists(st.builds(ShownButton, labels, st.just("form:a:b:1")), min_size=1, max_size=12).map(tuple),
    max_size=8,
).map(tuple)
narrow = st.builds(
    Limits,
    text_length=st.integers(20, 200),
    buttons=st.booleans(),
    buttons_per_row=st.integers(1, 8),
    buttons_total=st.integers(1, 30),
    label_length=st.integers(2, 20),
    cut_labels=st.booleans(),
)


@given(texts.filter(str.strip), menus, narrow)
def test_limits_are_respected_and_every_choice_offered(
    text: str, rows: tuple[tuple[ShownButton, ...], ...], limits: Limits
):
    parts = fit(parcel(text, rows), limits)
    buttons = [button for row in rows for button in row]
    assert all(utf16_length(part.text) <= limits.text_length for part in parts)
    cut = any(utf16_length(button.label) > limits.label_length for button in buttons)
    if limits.buttons and len(buttons) <= limits.buttons_total and (limits.cut_labels or not cut):
        shown = [button for row in parts[-1].rows for button in row]
        assert [button.press for button in shown] == [button.press for button in buttons]
        assert all(1 <= len(row) <= limits.buttons_per_row for row in parts[-1].rows)
        assert all(1 <= utf16_length(button.label) <= limits.label_length for button in shown)
    else:
        assert parts[-1].rows == ()
        told = "".join("".join(part.text for part in parts).split())
        for number, button in enumerate(buttons, start=1):
            assert "".join(f"{number}. {button.label}".split()) in told


def test_menu_is_numbered_where_there_are_no_buttons():
    (part,) = fit(parcel("К какому сроку?", ROWS), replace(WIDE, buttons=False))
    assert part.text == (
        "К какому сроку?\n\n1. Сегодня\n2. Завтра\n3. Отмена\n\nОтветьте номером или словами."
    )
    assert part.rows == ()


def test_hint_can_be_said_in_another_language():
    (part,) = fit(parcel("When?", ROWS), replace(WIDE, buttons=False), "Answer with a number or in words.")
    assert part.text.endswith("Answer with a number or in words.")
    assert MENU_HINT.msgid not in part.text


def test_too_many_buttons_become_a_menu():
    rows = tuple((ShownButton(f"Компания {number}", f"form:company:{number}:1"),) for number in range(11))
    (part,) = fit(parcel("Какая компания?", rows), replace(WIDE, buttons_total=10))
    assert part.rows == ()
    assert "11. Компания 10" in part.text


def test_long_rows_are_broken_and_long_labels_cut():
    rows = (
        tuple(ShownButton(f"Кнопка с длинной надписью {number}", f"f:a:{number}:1") for number in range(5)),
    )
    (part,) = fit(parcel("?", rows), replace(WIDE, buttons_per_row=2, label_length=10))
    assert [len(row) for row in part.rows] == [2, 2, 1]
    assert part.rows[0][0] == ShownButton("Кнопка с…", "f:a:0:1")


def test_labels_that_may_not_be_cut_become_a_menu():
    whole = replace(WIDE, label_length=7, cut_labels=False)
    (part,) = fit(parcel("К какому сроку?", ROWS), whole)
    assert part.rows == ROWS
    (part,) = fit(parcel("К какому сроку?", ROWS), replace(whole, label_length=6))
    assert part.rows == ()
    assert "1. Сегодня\n2. Завтра\n3. Отмена" in part.text
