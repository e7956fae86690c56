"""Descriptions of a recording in one fixed form, so that what is taught, said and scored is the same.

    A woman speaks fast far from the microphone in an echoing room, with loud hiss.

A fact that is not known is left out: "Someone speaks slowly." The facts can be read from the sentence again.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from tiny_audio.types import Seconds

FACTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "speaker": {"woman": "a woman", "man": "a man"},
        "pace": {"slow": "slowly", "normal": "at a normal pace", "fast": "fast"},
        "distance": {"close": "close to the microphone", "far": "far from the microphone"},
        "room": {"dry": "in a dry room", "echoing": "in an echoing room"},
        "noise": {"none": "without noise", "hiss": "hiss", "rumble": "rumble", "hum": "hum", "voices": "voices"},
        "noise level": {"faint": "with faint", "loud": "with loud"},
    }
)
"""What may be known, the values of each, and their words. A noise has a level, and `none` has not; a distance is known
in an echoing room alone, by the share of the echo."""

_SLOW, _FAST = 12.0, 16.5
"""Letters a second (14 are 180 words a minute); between them is a normal pace, and near them nothing is said of it."""
_UNSURE = 0.75
_MIN_LETTERS = 20
"""Fewer are too few to speak of a pace."""


def pace_of(text: str, duration: Seconds) -> str | None:
    """Slow, normal or fast; None where that cannot be told.

    Args:
        text: what is said; nobody knows how many letters a number has.
        duration: from its first sound to its last.
    """
    num_letters = sum(character.isalpha() for character in text)
    if num_letters < _MIN_LETTERS or duration <= 0 or any(character.isdigit() for character in text):
        return None
    rate = num_letters / duration
    if min(abs(rate - _SLOW), abs(rate - _FAST)) < _UNSURE:
        return None
    return "slow" if rate < _SLOW else "fast" if rate > _FAST else "normal"


def describe(facts: Mapping[str, str]) -> str:
    """The sentence of some facts, each a value of `FACTS`.

    Raises:
        KeyError: no such fact, or no such value of it.
    """
    words = {fact: FACTS[fact][value] for fact, value in facts.items()}
    parts = [words.get("speaker", "someone"), "speaks", *(words.get(fact, "") for fact in ("pace", "distance", "room"))]
    sentence = " ".join(part for part in parts if part)
    if noise := " ".join(part for part in (words.get("noise level", ""), words.get("noise", "")) if part):
        sentence += f", {noise}"
    return f"{sentence[0].upper()}{sentence[1:]}."


def read_facts(sentence: str) -> dict[str, str]:
    """The facts of a sentence that `describe` has written; nothing of any other."""
    if not re.match(r"(a woman|a man|someone) speaks\b", sentence, re.IGNORECASE):
        return {}
    return {
        fact: value
        for fact, values in FACTS.items()
        for value, words in values.items()
        if re.search(rf"\b{words}\b", sentence, re.IGNORECASE)
    }
