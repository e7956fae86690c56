"""Text as it is said: lower case, no punctuation around words."""

import re

_SAID = "%&@#$€£°"
"""Signs that are read aloud."""
_DASHES = re.compile(r"--+|[–—…]|\.\.+")


def plain_text(text: str) -> str:
    """Lower case, and of the punctuation only what stands within a word: "it's", "3.5", "twenty-one".

    For reading and searching. What a CTC learns (`text.ctc_units`) and what is compared (`text.normalizers`) follow
    rules of their own.
    """
    words = (_without_outer_punctuation(word) for word in _DASHES.sub(" ", text.lower()).split())
    return " ".join(word for word in words if word)


def _without_outer_punctuation(word: str) -> str:
    kept = [index for index, character in enumerate(word) if character.isalnum() or character in _SAID]
    return word[kept[0] : kept[-1] + 1] if kept else ""
