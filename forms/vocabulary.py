"""Short answers recognised by the words they consist of, whatever their order and punctuation."""

from __future__ import annotations

from dataclasses import dataclass

from forms.messages import loosely


def words_of(text: str) -> frozenset[str]:
    """The words of a list that is written as one line, small letters, е for ё."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is said by any of the words `meant`, in company of none but those and the words `aside`."""

    meant: frozenset[str]
    aside: frozenset[str]

    @classmethod
    def of(cls, meant: str, aside: str) -> Vocabulary:
        """Each list in one line."""
        return cls(words_of(meant), words_of(aside))

    def speaks(self, text: str) -> bool:
        """Whether a text says this and nothing else."""
        words = set(loosely(text).split())
        return bool(words & self.meant) and words <= self.meant | self.aside
