"""The pages, too, speak the firm's own words where the director has given them."""

from __future__ import annotations

from collections import defaultdict

from babel.support import NullTranslations
from flask import Flask
from flask_babel import Domain

from admin.doors import doors


class _Spoken(NullTranslations):
    """Our catalogue with the firm's own sentences before it."""

    def __init__(self, ours: NullTranslations) -> None:
        super().__init__()
        self._ours = ours

    def ugettext(self, message: str) -> str:
        own = doors().house.own_words.get(message)
        return own[0] if own and _shown(own[0]) else str(self._ours.ugettext(message))

    def ungettext(self, msgid1: str, msgid2: str, n: int) -> str:
        own = doors().house.own_words.get(msgid1)
        if own and all(_shown(form) for form in own):
            form: int = self._ours.plural(n) if len(own) > 1 else 0
            return own[min(form, len(own) - 1)]
        return str(self._ours.ungettext(msgid1, msgid2, n))


class _OwnWords(Domain):  # type: ignore[misc]  # Flask-Babel has no types
    def get_translations(self) -> NullTranslations:
        return _Spoken(super().get_translations())


def _shown(sentence: str) -> bool:
    """Whether a template can fill it: a lone % from a sentence of the chat it cannot."""
    try:
        sentence % defaultdict(str)
    except (ValueError, TypeError):
        return False
    return True


def install(app: Flask, domain: str) -> None:
    """Put the firm's words before the catalogue of this application."""
    words = _OwnWords(domain=domain)

    @app.before_request
    def speak() -> None:
        words.as_default()
