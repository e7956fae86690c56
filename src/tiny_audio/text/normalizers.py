"""Texts as they are compared: named sets of rules, each with its version, so that a number says how it was counted.

`whisper-english` is the default: only words count, not how they are written. Case, punctuation, contractions ("don't" /
"do not"), British spelling, titles ("Dr." / "doctor"), fillers ("um") and numbers ("eight" / "8", "twenty dollars" /
"$20") become equal; see arXiv 2212.04356, appendix C. Its rules live in the package `whisper-normalizer`; nothing is
added, so that our numbers compare with everybody's. `open-asr-leaderboard` is what the leaderboard of that name (arXiv
2510.06961) counts with.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from tiny_audio.errors import UnknownNameError

if TYPE_CHECKING:
    from whisper_normalizer.english import EnglishTextNormalizer

DEFAULT_NORMALIZER = "whisper-english"


@dataclass(frozen=True, kw_only=True)
class Normalizer:
    """A named set of rules; call it with a text."""

    name: str
    version: str
    """Of the rules: two numbers compare only if name and version are equal."""
    rules: Callable[[str], str]

    @property
    def label(self) -> str:
        """Name and version, as reports carry it."""
        return f"{self.name} ({self.version})" if self.version else self.name

    def __call__(self, text: str) -> str:
        """The words to compare, separated by single spaces; may be empty."""
        return " ".join(self.rules(text).split())


@cache
def get_normalizer(name: str = DEFAULT_NORMALIZER) -> Normalizer:
    """The rules of that name.

    Raises:
        UnknownNameError: there are none.
    """
    if name not in NORMALIZERS:
        raise UnknownNameError("normalizer", name, NORMALIZERS)
    return NORMALIZERS[name]()


def normalize_english(text: str) -> str:
    """`text` by the rules of `whisper-english`."""
    return get_normalizer()(text)


def _none() -> Normalizer:
    return Normalizer(name="none", version="", rules=str)


def _basic() -> Normalizer:
    from whisper_normalizer.basic import BasicTextNormalizer

    return Normalizer(name="basic", version=_package_version(), rules=BasicTextNormalizer())


def _whisper_english() -> Normalizer:
    from whisper_normalizer.english import EnglishTextNormalizer

    return Normalizer(name="whisper-english", version=_package_version(), rules=EnglishTextNormalizer())


def _open_asr_leaderboard() -> Normalizer:
    return Normalizer(
        name="open-asr-leaderboard",
        version=f"rules of 2026-07 without their tables of names and compounds, {_package_version()}",
        rules=_leaderboard_rules(),
    )


NORMALIZERS: dict[str, Callable[[], Normalizer]] = {
    "none": _none,
    "basic": _basic,
    "whisper-english": _whisper_english,
    "open-asr-leaderboard": _open_asr_leaderboard,
}
"""By name; made when asked for, since their tables are read from disk."""


def _package_version() -> str:
    return f"whisper-normalizer {version('whisper-normalizer')}"


_LEADERBOARD_FILLERS = "hmm mm mhm mmm uh um ah aha ahh ahm eh ehehe em hm huh hum mhum uhm umm uhuh".split()
_LEADERBOARD_IS = "it he she what that who here there how when where why this".split()
"""Words whose 's means "is"; after any other it is a possessive and stays."""
_NOT_IN_LEADERBOARD = "kinda sorta dunno cause".split()
"""Informal words that the package writes out and the leaderboard does not."""


def _leaderboard_rules() -> "EnglishTextNormalizer":
    """Whisper's rules with what the leaderboard changed in them."""
    from whisper_normalizer.english import EnglishTextNormalizer

    rules = EnglishTextNormalizer()
    rules.ignore_patterns = rf"\b({'|'.join(_LEADERBOARD_FILLERS)})\b"
    left_out = {rf"\b{word}\b" for word in _NOT_IN_LEADERBOARD}
    contractions = {pattern: text for pattern, text in rules.replacers.items() if pattern not in left_out}
    possessive = {r"'s\b": (rf"\b({'|'.join(_LEADERBOARD_IS)})'s\b", r"\1 is")}
    # Rewritten in place, since the rules are applied in order: "'s been" comes before "'s".
    rules.replacers = dict(possessive.get(pattern, (pattern, text)) for pattern, text in contractions.items())
    numbers, spellings = rules.standardize_numbers, rules.standardize_spellings
    rules.standardize_numbers = lambda text: numbers(re.sub(r"\bwi fi\b", "wifi", text))
    rules.standardize_spellings = lambda text: _join_acronyms(spellings(text))
    return rules


def _join_acronyms(text: str) -> str:
    """Letters and digits that stand alone side by side become one word: "b b c" is "bbc", "5 g" is "5g".

    With "a" or "i", which are words, it takes three of them.
    """
    return re.sub(r"(?<!\S)\w(?: \w)+(?!\S)", _join_run, text)


def _join_run(match: re.Match[str]) -> str:
    letters = match[0].split()
    enough = 3 if {"a", "i"} & set(letters) else 2
    return "".join(letters) if len(letters) >= enough else match[0]
