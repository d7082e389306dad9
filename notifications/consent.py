"""What a client reads before anything personal is stored; the panel shows the director the same."""

from __future__ import annotations

from forms.texts import Text, _, lines


def consent_words(
    firm_name: str,
    text: str,
    url: str,
    version: str,
    *,
    asks_again: bool = False,
    warning: Text | None = None,
) -> Text:
    """Who we are, the firm's own words, the question. `warning` is said before the question."""
    return lines(
        _("Документ о персональных данных изменился, нужно согласиться ещё раз.")
        if asks_again
        else _(
            "Здравствуйте! Это приёмная «{firm}»: здесь можно за пару минут передать поручение бухгалтеру.",
            firm=firm_name,
        ),
        text or None,
        _("Документ: {url}", url=url) if url else None,
        warning,
        _("Версия {version}. Вы согласны?", version=version),
    )
