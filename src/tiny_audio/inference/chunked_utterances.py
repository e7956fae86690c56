"""Long recordings with a text as short utterances, each with its own part of the text.

Where the words are comes from forced alignment; a cut lies in a pause between two words. The recording itself stays as
it is: an utterance names the part of it that it means.
"""

from collections.abc import Sequence
from dataclasses import replace

from tiny_audio.data.manifest import Utterance
from tiny_audio.models.words import Word
from tiny_audio.types import Seconds

_MARGIN: Seconds = 0.3
"""Of what is around the words, as much as this stays: times are a frame or two off."""


def chunk_utterance(utterance: Utterance, words: Sequence[Word], *, max_duration: Seconds) -> list[Utterance]:
    """Parts in order, each at most that long unless a single word is longer; together they have all the words.

    Of the places where a part may end, that with the longest pause in the second half of `max_duration` is taken.
    Silence beyond a short margin is in no part. Every part has `confidence`, the mean of its words, among its `extra`.

    Args:
        utterance: a line of a manifest.
        words: its text with times from its own start on, in order (`forced_alignment.align_text`).
        max_duration: of a part.
    """
    parts: list[Utterance] = []
    first = 0
    while first < len(words):
        last = _last_word(words, first, max_duration)
        before = (words[first - 1].end + words[first].start) / 2 if first else 0.0
        behind = (words[last].end + words[last + 1].start) / 2 if last + 1 < len(words) else utterance.duration
        start = max(words[first].start - _MARGIN, before)
        end = min(words[last].end + _MARGIN, behind)
        said = words[first : last + 1]
        confidence = sum(word.confidence for word in said) / len(said)
        parts.append(
            replace(
                utterance,
                id=f"{utterance.id}-{len(parts) + 1:04d}",
                start=round(utterance.start + start, 3),
                duration=round(end - start, 3),
                text=" ".join(word.text for word in said),
                extra={**utterance.extra, "confidence": round(confidence, 3)},
            )
        )
        first = last + 1
    return parts


def _last_word(words: Sequence[Word], first: int, max_duration: Seconds) -> int:
    """Of the part that begins with the first."""
    begin = words[first].start
    room = max_duration - 2 * _MARGIN
    fitting = [index for index in range(first, len(words)) if words[index].end - begin <= room] or [first]
    if fitting[-1] == len(words) - 1:
        return fitting[-1]
    late = [index for index in fitting if words[index].end - begin >= room / 2] or fitting
    return max(late, key=lambda index: (words[index + 1].start - words[index].end, index))
