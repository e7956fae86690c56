"""Texts as they are compared: Whisper's English normaliser, so that only words count, not how they are written.

Case, punctuation, contractions ("don't" / "do not"), British spelling, titles ("Dr." / "doctor"), fillers ("um") and
numbers ("eight" / "8", "twenty dollars" / "$20") become equal; see arXiv 2212.04356, appendix C. The rules themselves
live in the package `whisper-normalizer`; nothing is added, so that our numbers compare with everybody's.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_normalizer.english import EnglishTextNormalizer

ENGLISH_NORMALIZER_NAME = "whisper-english"
"""The name that reports carry beside a word error rate."""


def normalize_english(text: str) -> str:
    """Return `text` in lower case, without punctuation, words separated by single spaces; may be empty."""
    return " ".join(_english_normalizer()(text).split())


@cache
def _english_normalizer() -> "EnglishTextNormalizer":
    # Its spelling table is read from disk: once, and only when something is scored.
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()
