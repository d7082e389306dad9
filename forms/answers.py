"""Why an answer was not accepted: the one exception of the ground floor that a client reads."""

from __future__ import annotations

from forms.texts import Text


class AnswerError(Exception):
    """The answer cannot be used; `text` says to its author what is wrong and what would be right.

    `unrecognised` when the words look like no answer to this question at all, so that they may belong
    to what was asked before.
    """

    def __init__(self, text: Text, *, unrecognised: bool = False) -> None:
        super().__init__(text.msgid)
        self.text = text
        self.unrecognised = unrecognised
