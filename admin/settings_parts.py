"""What the pages of the settings have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from forms.texts import Text, _
from notifications.texts import Catalogue, Forms
from storage.firm_settings import Part

TITLES: Mapping[str, Text] = MappingProxyType(
    {
        Part.HOURS: _("Рабочее время"),
        Part.TERMS: _("Сроки и напоминания"),
        Part.CONSENT: _("Согласие"),
        "texts": _("Тексты"),
        Part.KINDS: _("Виды заявок"),
        "replies": _("Заготовки ответов"),
        Part.ROUTING: _("Распределение"),
    }
)
"""The sections in their order."""

SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        Part.HOURS: "settings.hours",
        Part.TERMS: "settings.terms",
        Part.CONSENT: "settings.consent",
        "texts": "texts.index",
        Part.KINDS: "settings.kinds",
        "replies": "replies.index",
        Part.ROUTING: "routing.index",
    }
)
"""The page of each section."""


@cache
def our_sentences(language: str) -> Mapping[str, Forms]:
    """Our own words for everything, by the Russian original; the files do not change while we run."""
    return MappingProxyType(dict(Catalogue.open(language).sentences()))
