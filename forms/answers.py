"""Why an answer was not accepted: the one exception of the ground floor that a client reads."""

from __future__ import annotations

from forms.texts import Text


class AnswerError(Exception):
    """The answer cannot be used; `text` says to its author what is wrong and what would be right."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.msgid)
        self.text = text
