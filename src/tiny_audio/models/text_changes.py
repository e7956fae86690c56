"""What two texts differ by, word by word, and texts put together from such differences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, order=True)
class Change:
    """Other words for a place in a text."""

    start: int
    end: int
    """Words `start` to `end` are replaced; none where both are the same."""
    words: tuple[str, ...]

    def overlaps(self, other: "Change") -> bool:
        """Whether both change the same words, or put words in the same place."""
        return (self.start, self.end) == (other.start, other.end) or (self.start < other.end and other.start < self.end)


def changes_between(text: str, other: str) -> list[Change]:
    """What makes `other` of `text`, in order."""
    before, after = text.split(), other.split()
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    return [
        Change(start, end, tuple(after[other_start:other_end]))
        for kind, start, end, other_start, other_end in matcher.get_opcodes()
        if kind != "equal"
    ]


def with_changes(text: str, changes: Iterable[Change]) -> str:
    """The text with changes of which no two overlap."""
    words: list[str] = text.split()
    for change in sorted(changes, reverse=True):
        words[change.start : change.end] = change.words
    return " ".join(words)


def single_changes(text: str, others: Sequence[str]) -> list[str]:
    """Texts that differ from `text` in one place as one of the others does; each once, in order."""
    found = dict.fromkeys(with_changes(text, [change]) for other in others for change in changes_between(text, other))
    return [one for one in found if one and one != " ".join(text.split())]
