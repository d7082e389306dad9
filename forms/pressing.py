"""Words that press something, whatever the chat shows at the moment."""

from __future__ import annotations

import re

from forms.dialogue import is_form_word, nav_word

_NUMBER_OR_COMMAND = re.compile(r"\s*(?:/[a-z]{1,20}|[0-9]{1,2}[.)]?)\s*")


def is_pressing(text: str) -> bool:
    """Whether this is a button of the form, a word that is understood always, a number or a command."""
    return nav_word(text) is not None or is_form_word(text) or _NUMBER_OR_COMMAND.fullmatch(text) is not None
