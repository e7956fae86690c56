"""Descriptions of a recording in one fixed form, so that what is taught, said and scored is the same.

    A woman speaks fast in an echoing room, with loud hiss.

A fact that is not known is left out: "Someone speaks slowly." The facts can be read from the sentence again.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

FACTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "speaker": {"woman": "a woman", "man": "a man"},
        "pace": {"slow": "slowly", "normal": "at a normal pace", "fast": "fast"},
        "room": {"dry": "in a dry room", "echoing": "in an echoing room"},
        "noise": {"none": "without noise", "hiss": "hiss", "rumble": "rumble"},
        "noise level": {"faint": "with faint", "loud": "with loud"},
    }
)
"""What may be known, the values of each, and their words. A noise has a level, and `none` has not."""


def describe(facts: Mapping[str, str]) -> str:
    """The sentence of some facts, each a value of `FACTS`.

    Raises:
        KeyError: no such fact, or no such value of it.
    """
    words = {fact: FACTS[fact][value] for fact, value in facts.items()}
    parts = [words.get("speaker", "someone"), "speaks", words.get("pace", ""), words.get("room", "")]
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
