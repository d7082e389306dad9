"""Sentences in both languages, and catalogues that keep up with the code."""

import ast
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from string import Formatter
from time import thread_time

import pytest
from babel.messages.frontend import CommandLineInterface
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from forms.texts import Clock, Day, Money, Size, Text, _, lines, listed, n_, plain
from notifications.texts import DOMAIN, LOCALE_FOLDER, Catalogue, NoSuchLanguage

ROOT = Path(__file__).parents[3]
ROOMS = ("forms", "router", "notifications", "storage", "bots", "admin", "app")
LANGUAGES = ("ru", "en")
NBSP = "\N{NO-BREAK SPACE}"

RU, EN = Catalogue.open("ru"), Catalogue.open("en")
FRIDAY = date(2026, 11, 27)


# --- values ------------------------------------------------------------------------------------

SHOWN = {
    "words": ("Ромашка", "Ромашка", "Ромашка"),
    "number": (12345, "12345", "12345"),
    "decimal": (Decimal("10.50"), "10.50", "10.50"),
    "small decimal": (Decimal("1E+2"), "100", "100"),
    "day": (Day(FRIDAY), "пятница, 27 ноября", "Friday, 27 November"),
    "day first": (Day(FRIDAY, capital=True), "Пятница, 27 ноября", "Friday, 27 November"),
    "when": (Day(FRIDAY, when=True), "в пятницу, 27 ноября", "on Friday, 27 November"),
    "day of a year": (
        Day(FRIDAY, with_year=True),
        f"пятница, 27 ноября 2026{NBSP}г.",
        "Friday, 27 November 2026",
    ),
    "clock": (Clock(datetime(2026, 11, 27, 9, 5, tzinfo=UTC)), "09:05", "09:05"),
    "money": (Money(Decimal(12345)), f"12{NBSP}345,00{NBSP}₽", f"12,345.00{NBSP}₽"),
    "kopecks": (Money(Decimal("0.5")), f"0,50{NBSP}₽", f"0.50{NBSP}₽"),
    "bytes": (Size(0), "0 Б", "0 B"),
    "kilobytes": (Size(356_000), "348 КБ", "348 KB"),
    "megabytes": (Size(1_300_000), "1,2 МБ", "1.2 MB"),
    "whole megabytes": (Size(20 * 1024 * 1024), "20 МБ", "20 MB"),
    "gigabytes": (Size(5 * 1024**4), f"5{NBSP}120 ГБ", "5,120 GB"),
    "a sentence": (plain("x"), "x", "x"),
}


@pytest.mark.parametrize(("value", "russian", "english"), SHOWN.values(), ids=SHOWN.keys())
def test_how_values_are_shown(value, russian, english):
    assert RU.say(Text("({value})", {"value": value})) == f"({russian})"
    assert EN.say(Text("({value})", {"value": value})) == f"({english})"


def test_a_value_that_cannot_be_shown_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="datetime"):
        RU.say(Text("{value}", {"value": datetime(2026, 11, 27, tzinfo=UTC)}))


@pytest.mark.parametrize(
    ("count", "russian", "english"),
    [
        (0, "0 минут", "0 minutes"),
        (1, "1 минуту", "1 minute"),
        (2, "2 минуты", "2 minutes"),
        (5, "5 минут", "5 minutes"),
        (11, "11 минут", "11 minutes"),
        (21, "21 минуту", "21 minutes"),
        (112, "112 минут", "112 minutes"),
    ],
)
def test_numbers_choose_the_form(count, russian, english):
    text = n_(
        "Слишком много неверных кодов. Попробуйте через {count} минуту.",
        "Слишком много неверных кодов. Попробуйте через {count} минут.",
        count,
    )
    assert RU.say(text).endswith(f" через {russian}.")
    assert EN.say(text).endswith(f" in {english}.")


def test_sentences_are_put_together():
    assert RU.say(lines(_("Отмена"), None, listed("а", plain("б")))) == "Отмена\nа, б"
    assert EN.say(lines(_("Отмена"), None, listed("а", plain("б")))) == "Cancel\nа, б"
    assert RU.say(lines()) == ""


@given(st.text())
def test_somebodys_words_come_out_as_they_went_in(words):
    assert RU.say(plain(words)) == words
    assert EN.say(lines(words, _("{value}!", value=plain(words)))) == f"{words}\n{words}!"


def test_doubled_braces_are_braces():
    assert RU.say(Text("{{{value}}}", {"value": "x"})) == "{x}"


def test_an_unknown_language_is_refused():
    with pytest.raises(NoSuchLanguage, match="ru or en"):
        Catalogue.open("de")


def test_it_is_fast():
    text = _("ИНН {inn}, {name}", inn="7707083893", name="Ромашка")
    best_seconds = 1.0
    for _round in range(20):
        started = thread_time()
        for _number in range(200):
            RU.say(text)
        best_seconds = min(best_seconds, (thread_time() - started) / 200)
    assert best_seconds < 10e-6


# --- catalogues --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """What the code says now, found as `make texts` finds it."""
    pot = tmp_path_factory.mktemp("texts") / "priem.pot"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        mapping = f"--mapping-file={LOCALE_FOLDER / 'babel.cfg'}"
        words = ["-k", "n_:1,2", "-k", "_l"]
        CommandLineInterface().run(["pybabel", "-q", "extract", mapping, "-o", str(pot), *words, "."])
    with pot.open("rb") as opened:
        return read_po(opened)


def catalogue(language):
    with (LOCALE_FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as opened:
        return read_po(opened, locale=language)


def messages(found):
    return [message for message in found if message.id]


def forms(string):
    return string if isinstance(string, list | tuple) else (string,)


def names(sentence):
    in_templates = re.findall(r"%\((\w+)\)s", sentence)
    return {name for _literal, name, _spec, _how in Formatter().parse(sentence) if name is not None} | {
        *in_templates
    }


def test_english_says_everything_the_code_says(template):
    english = catalogue("en")
    absent = [
        message.id
        for message in messages(template)
        if (found := english.get(message.id)) is None or not all(forms(found.string)) or found.fuzzy
    ]
    assert absent == [], "run `make texts` and translate what is empty"


def test_russian_has_the_forms_of_every_number(template):
    russian = catalogue("ru")
    absent = [
        message.id
        for message in messages(template)
        if message.pluralizable
        and (
            (found := russian.get(message.id)) is None
            or len(found.string) != 3
            or not all(found.string)
            or found.fuzzy
        )
    ]
    assert absent == [], "run `make texts` and write the three forms"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_catalogue_keeps_what_nobody_says(template, language):
    assert [message.id for message in messages(catalogue(language)) if template.get(message.id) is None] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_name_the_same_values(language):
    wrong = []
    for message in messages(catalogue(language)):
        wanted = names(forms(message.id)[-1])
        for string in forms(message.string):
            # "one file" need not repeat its number, but no form may name a value that is not there.
            fits = names(string) <= wanted and wanted - names(string) <= (
                {"count"} if message.pluralizable else set()
            )
            if string and not fits:
                wrong.append((message.id, string))
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language):
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    with (LOCALE_FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.mo").open("rb") as committed:
        assert GNUTranslations(committed)._catalog == GNUTranslations(compiled)._catalog, "run `make texts`"


def marked_sentences():
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in ("_", "n_")
                ):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_every_sentence_gets_the_values_it_names():
    wrong = []
    for place, call in marked_sentences():
        sentences = [
            arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        # A sentence of a table gets its values where it is used.
        if not call.keywords or any(keyword.arg is None for keyword in call.keywords):
            continue
        given_names = {keyword.arg for keyword in call.keywords} | (
            {"count"} if call.func.id == "n_" else set()
        )
        wrong += [(place, sentence) for sentence in sentences if not names(sentence) <= given_names]
    assert wrong == []


def test_every_marked_sentence_can_be_found_by_the_extraction():
    hidden = [
        place
        for place, call in marked_sentences()
        if not (call.args and isinstance(call.args[0], ast.Constant))
    ]
    assert hidden == []
