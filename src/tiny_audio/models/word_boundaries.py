"""Words written in two that are one: "in convenience" for "inconvenience".

Neither tokens nor letters can tell them apart by ear, so their hypotheses often have the one only; a language model
can.
"""

from itertools import pairwise

from tiny_audio.text.word_list import WordList

_MARKS = ".,;:!?"


def joined_words(text: str, words: WordList) -> list[str]:
    """The text with two neighbours as one, once for each pair that is a known word together.

    A mark or a capital between two words keeps them apart.
    """
    written = text.split()
    return [
        " ".join([*written[:place], left + right, *written[place + 2 :]])
        for place, (left, right) in enumerate(pairwise(written))
        if left.isalpha() and right[:1].islower() and (left + right).rstrip(_MARKS).lower() in words.counts
    ]
