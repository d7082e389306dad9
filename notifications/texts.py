"""Sentences in the reader's language.

The Russian sentence is its own key. The catalogue `ru` holds the forms that depend on a number, `en`
everything; `make texts` brings both up to date with the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from string import Formatter

from babel import Locale
from babel.numbers import format_decimal

from forms.texts import Clock, Day, Money, Size, Text

LOCALE_FOLDER = Path(__file__).parent / "locale"
DOMAIN = "priem"
NBSP = "\N{NO-BREAK SPACE}"

_KILO = 1024
_COUNTS_TRIED = 12
_WHOLE = "en"
"""The language whose catalogue holds every sentence."""

Forms = tuple[str, ...]
"""The forms of one sentence, in the order of the catalogue; most have just one."""


class NoSuchLanguage(LookupError):  # noqa: N818 - reads as what happened
    """There is no catalogue for this language: use ru or en."""


@dataclass(frozen=True, slots=True)
class _Habits:
    """What a language does with values, beyond what its locale knows."""

    year: str
    size_units: tuple[str, ...]
    on_weekdays: tuple[str, ...]
    """On what day of the week something is done, from Monday."""


_HABITS = {
    "ru": _Habits(
        f"{{year}}{NBSP}г.",
        ("Б", "КБ", "МБ", "ГБ"),
        (
            "в понедельник",
            "во вторник",
            "в среду",
            "в четверг",
            "в пятницу",
            "в субботу",
            "в воскресенье",
        ),
    ),
    "en": _Habits(
        "{year}",
        ("B", "KB", "MB", "GB"),
        (
            "on Monday",
            "on Tuesday",
            "on Wednesday",
            "on Thursday",
            "on Friday",
            "on Saturday",
            "on Sunday",
        ),
    ),
}

_Pattern = tuple[tuple[str, str | None], ...]
"""Literal texts, each with the name of the value after it."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One language. Give `say` any Text; the same instance may serve all threads."""

    language: str
    _translations: NullTranslations
    _habits: _Habits
    _weekdays: tuple[str, ...]
    _months: tuple[str, ...]
    _sentences: dict[str, _Pattern] = field(default_factory=dict)
    _patterns: dict[str, _Pattern] = field(default_factory=dict)
    _own_forms: Mapping[str, tuple[_Pattern, ...]] = field(default_factory=dict)
    """The firm's own forms of sentences that depend on a number."""

    @classmethod
    def open(cls, language: str) -> Catalogue:
        """Load a language once and keep it. Raises NoSuchLanguage."""
        file = LOCALE_FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.mo"
        if language not in _HABITS or not file.is_file():
            raise NoSuchLanguage(f"There is no catalogue for «{language}»: use {' or '.join(_HABITS)}.")
        with file.open("rb") as opened:
            translations = GNUTranslations(opened)
        locale = Locale.parse(language)
        weekdays, months = locale.days["format"]["wide"], locale.months["format"]["wide"]
        return cls(
            language,
            translations,
            _HABITS[language],
            tuple(weekdays[number] for number in range(7)),
            tuple(months[number] for number in range(1, 13)),
        )

    def with_own(self, own: Mapping[str, Forms]) -> Catalogue:
        """The same language with the firm's own words for some sentences, by their Russian originals.

        One form for a sentence, as many as `forms_of` gives for one that depends on a number. The words
        have been checked: what is not a pattern raises ValueError.
        """
        sentences: dict[str, _Pattern] = {}
        own_forms: dict[str, tuple[_Pattern, ...]] = {}
        for msgid, forms in own.items():
            patterns = tuple(self._compiled(form) for form in forms)
            if len(patterns) == 1:
                sentences[msgid] = patterns[0]
            else:
                own_forms[msgid] = patterns
        return replace(self, _sentences=sentences, _own_forms=own_forms)

    def sentences(self) -> Mapping[str, Forms]:
        """Our own words for every sentence there is, by its Russian original."""
        known = self._listed()
        if self.language == _WHOLE:
            return known
        # A Russian sentence is its own translation, so that its catalogue holds no more than forms.
        every = Catalogue.open(_WHOLE)._listed()
        return {msgid: known.get(msgid, (msgid,)) for msgid in every}

    def _listed(self) -> dict[str, Forms]:
        found: dict[str, dict[int, str]] = {}
        catalog: Mapping[str | tuple[str, int], str] = self._translations._catalog  # type: ignore[attr-defined]
        for key, words in catalog.items():
            msgid, number = key if isinstance(key, tuple) else (key, 0)
            if msgid:
                found.setdefault(msgid, {})[number] = words
        return {msgid: tuple(forms[number] for number in sorted(forms)) for msgid, forms in found.items()}

    def counts_of_forms(self) -> tuple[tuple[int, ...], ...]:
        """For each form that depends on a number, the first few numbers that choose it."""
        chosen: dict[int, list[int]] = {}
        for count in range(_COUNTS_TRIED):
            chosen.setdefault(self._form(count), []).append(count)
        return tuple(tuple(chosen[form]) for form in sorted(chosen))

    def say(self, text: Text) -> str:
        """Render a sentence; values are put in as they are, braces and all."""
        pattern = self._pattern(text)
        params = text.params
        return "".join(
            [literal if name is None else literal + self._show(params[name]) for literal, name in pattern]
        )

    def _pattern(self, text: Text) -> _Pattern:
        if text.plural is not None:
            if self._own_forms and (own := self._own_forms.get(text.msgid)):
                return own[self._form(abs(text.count))]
            chosen = self._translations.ngettext(text.msgid, text.plural, abs(text.count))
            return self._compiled(chosen)
        pattern = self._sentences.get(text.msgid)
        if pattern is None:
            # gettext keeps the file's header under the empty key.
            translated = self._translations.gettext(text.msgid) if text.msgid else ""
            pattern = self._sentences[text.msgid] = self._compiled(translated)
        return pattern

    def _compiled(self, sentence: str) -> _Pattern:
        pattern = self._patterns.get(sentence)
        if pattern is None:
            parts = Formatter().parse(sentence)
            pattern = self._patterns[sentence] = tuple(
                (literal, name) for literal, name, _spec, _how in parts
            )
        return pattern

    def _form(self, count: int) -> int:
        # What `ngettext` does itself; the library has no public name for it.
        form: int = self._translations.plural(count)  # type: ignore[attr-defined]
        return form

    def _show(self, value: object) -> str:  # noqa: PLR0911 - one line per kind of value
        match value:
            case str():
                return value
            case Text():
                return self.say(value)
            case int():
                return str(value)
            case Decimal():
                return f"{value:f}"
            case Clock():
                return f"{value.at:%H:%M}"
            case Day():
                return self._day(value)
            case Money():
                return self._decimal(value.roubles, "#,##0.00") + f"{NBSP}₽"
            case Size():
                return self._size(value.size_bytes)
            case _:
                raise TypeError(f"A sentence cannot show {type(value).__name__}: see forms.texts.Param")

    def _day(self, day: Day) -> str:
        when: date = day.date
        weekdays = self._habits.on_weekdays if day.when else self._weekdays
        shown = f"{weekdays[when.weekday()]}, {when.day} {self._months[when.month - 1]}"
        if day.with_year:
            shown = f"{shown} {self._habits.year.format(year=when.year)}"
        return shown[0].upper() + shown[1:] if day.capital else shown

    def _size(self, size_bytes: int) -> str:
        amount = Decimal(size_bytes)
        units = self._habits.size_units
        unit = 0
        while amount >= _KILO and unit < len(units) - 1:
            amount /= _KILO
            unit += 1
        # Kilobytes are too small to matter by tenths; a file of one byte still has a size.
        shape = "#,##0" if unit <= 1 else "#,##0.#"
        return f"{self._decimal(amount, shape)} {units[unit]}"

    def _decimal(self, amount: Decimal, shape: str) -> str:
        return format_decimal(amount, format=shape, locale=self.language)
