"""Which words go wrong most often."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tiny_audio.evaluation.results import ScoredUtterance

_Key = TypeVar("_Key", str, tuple[str, str])


@dataclass(frozen=True, kw_only=True)
class FrequentErrors:
    """Errors by word, the most frequent first, equal ones by word; `total` sums of each kind are in `ErrorCounts`."""

    confusions: tuple[tuple[str, str, int], ...]
    """(said, understood, times)."""
    deletions: tuple[tuple[str, int], ...]
    insertions: tuple[tuple[str, int], ...]


def find_frequent_errors(utterances: Iterable[ScoredUtterance], *, limit: int) -> FrequentErrors:
    """The `limit` most frequent errors of each kind; words are those that the scorer compared."""
    confusions: Counter[tuple[str, str]] = Counter()
    deletions: Counter[str] = Counter()
    insertions: Counter[str] = Counter()
    for utterance in utterances:
        for said, understood in utterance.words:
            if said is None:
                assert understood is not None
                insertions[understood] += 1
            elif understood is None:
                deletions[said] += 1
            elif is_substitution(said, understood):
                confusions[said, understood] += 1
    return FrequentErrors(
        confusions=tuple((*words, times) for words, times in _most_common(confusions, limit)),
        deletions=tuple(_most_common(deletions, limit)),
        insertions=tuple(_most_common(insertions, limit)),
    )


def is_substitution(said: str, understood: str) -> bool:
    """Whether these two aligned words differ; a compound that is only written apart does not."""
    return said != understood and said.replace(" ", "") != understood.replace(" ", "")


def _most_common(counter: Counter[_Key], limit: int) -> list[tuple[_Key, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:limit]
