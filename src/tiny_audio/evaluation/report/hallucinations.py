"""Answers that look like something other than misheard words: invented, looping, cut off or missing text."""

import zlib
from collections import Counter
from collections.abc import Iterable

from tiny_audio.evaluation.results import ScoredUtterance

TOKEN_CAP_KEY = "hit_token_cap"
"""True in an utterance's `extra` where the system stopped at its limit of tokens; absent where it does not tell."""

CHECKS: dict[str, tuple[str, str]] = {
    "invented": ("Words where none was said", "the reference is empty, the hypothesis is not"),
    "empty": ("Empty on speech", "words were said, the answer is empty"),
    "long": ("Much too long", "more than twice as many words as were said"),
    "short": ("Much too short", "some words, but fewer than half of those that were said"),
    "loop": ("Loops", "three words in a row come twice more often than they were said"),
    "compressible": (
        "Compresses too well",
        "compression ratio of the text above 2.4, and what was said is not as repetitive",
    ),
    "token_cap": ("Stopped at the token limit", "the system ran out of tokens to write"),
}
"""Key -> (title, what it means). Lengths are in words after the normaliser; failures are no answers to check."""

_MAX_LENGTH_RATIO = 2.0
_MIN_LENGTH_RATIO = 0.5
_LOOP_WORDS = 3
_MAX_COMPRESSION_RATIO = 2.4  # the bound of Whisper's own decoder, arXiv 2212.04356


def find_hallucinations(utterance: ScoredUtterance) -> tuple[str, ...]:
    """Keys of the checks that this answer does not pass, in the order of `CHECKS`."""
    if utterance.failed:
        return ()
    said = [word for pair, _ in utterance.words if pair for word in pair.split()]
    understood = [word for _, pair in utterance.words if pair for word in pair.split()]
    ratio = len(understood) / len(said) if said else 0.0
    found = {
        "invented": bool(understood) and not said,
        "empty": bool(said) and not understood,
        "long": ratio > _MAX_LENGTH_RATIO,
        "short": 0 < ratio < _MIN_LENGTH_RATIO,
        "loop": _loops(said, understood),
        "compressible": _is_repetitive(utterance.result.hypothesis) and not _is_repetitive(utterance.result.reference),
        "token_cap": utterance.result.extra.get(TOKEN_CAP_KEY) is True,
    }
    return tuple(key for key in CHECKS if found[key])


def applicable_checks(utterances: Iterable[ScoredUtterance]) -> tuple[str, ...]:
    """Keys of the checks that say something: the one for the token limit only where a system tells."""
    tells = any(TOKEN_CAP_KEY in utterance.result.extra for utterance in utterances)
    return tuple(key for key in CHECKS if key != "token_cap" or tells)


def _is_repetitive(text: str) -> bool:
    data = text.encode()
    return len(data) > _MAX_COMPRESSION_RATIO * len(zlib.compress(data))


def _loops(said: list[str], understood: list[str]) -> bool:
    if len(understood) < _LOOP_WORDS + 2:
        return False
    extra = Counter(_ngrams(understood))
    extra.subtract(_ngrams(said))
    return max(extra.values()) >= 2


def _ngrams(words: list[str]) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(_LOOP_WORDS)), strict=False)
