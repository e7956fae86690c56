"""Words and how often they are written, for telling a word that was heard from letters that were."""

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping

from tiny_audio.text.ctc_units import normalize_transcript

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


class WordList:
    """Words with their frequency.

    Args:
        counts: of each word, in lower case.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        total = sum(counts.values())
        self.counts = dict(counts)
        self.log_probs = {word: math.log(count / total) for word, count in counts.items()}
        """Natural log of each word's share of running text."""
        self.beginnings = frozenset(word[:end] for word in counts for end in range(1, len(word) + 1))
        """What a word may begin with, itself included."""

    @classmethod
    def count(cls, texts: Iterable[str]) -> "WordList":
        """The words of texts, without those that are more than letters and apostrophes."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(word for word in normalize_transcript(text).split() if _WORD.fullmatch(word))
        return cls(counts)

    def to_bytes(self) -> bytes:
        """`word count` in a line, the most frequent first, compressed."""
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return zlib.compress("".join(f"{word} {count}\n" for word, count in ranked).encode("ascii"), 9)

    @classmethod
    def from_bytes(cls, data: bytes) -> "WordList":
        """What `to_bytes` gave; of nothing, a list without words."""
        lines = zlib.decompress(data).decode("ascii").splitlines() if data else []
        return cls({word: int(count) for word, count in (line.split() for line in lines)})
