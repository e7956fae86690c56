"""Word times as files that programs of phonetics and speech recognition read: JSON, CTM, and TextGrid (Praat)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tiny_audio.models.words import Word
from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The words of one recording."""

    id: str
    duration: Seconds
    grid: Seconds
    """From one CTC frame to the next; times are no finer than about half of it."""
    words: Sequence[Word]


def to_json(alignment: Alignment) -> str:
    """One line of JSON; seconds from the start of the audio."""
    words = [
        {
            "text": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": round(word.confidence, 3),
        }
        for word in alignment.words
    ]
    row = {"id": alignment.id, "duration": round(alignment.duration, 3), "grid": round(alignment.grid, 4)}
    return json.dumps({**row, "words": words}, ensure_ascii=False) + "\n"


def to_ctm(alignment: Alignment) -> str:
    """NIST's `id channel start duration word confidence`, a line a word; spaces in the id become `_`."""
    name = "_".join(alignment.id.split())
    return "".join(
        f"{name} 1 {word.start:.3f} {word.end - word.start:.3f} {word.text} {word.confidence:.3f}\n"
        for word in alignment.words
    )


def to_textgrid(alignment: Alignment) -> str:
    """A tier `words` whose intervals cover the whole recording, empty ones between words."""
    intervals: list[tuple[float, float, str]] = []
    end = 0.0
    for word in alignment.words:
        if round(word.start, 3) > round(end, 3):
            intervals.append((end, word.start, ""))
        if round(word.end, 3) > round(max(word.start, end), 3):  # Praat knows no interval without a duration
            intervals.append((max(word.start, end), word.end, word.text))
        end = max(word.end, end)
    if round(alignment.duration, 3) > round(end, 3) or not intervals:
        intervals.append((end, alignment.duration, ""))
    last = max(alignment.duration, end)
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {last:.3f}"]
    head += ["tiers? <exists>", "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"']
    head += ['        name = "words"', "        xmin = 0", f"        xmax = {last:.3f}"]
    lines = [*head, f"        intervals: size = {len(intervals)}"]
    for number, (start, stop, text) in enumerate(intervals, start=1):
        quoted = text.replace('"', '""')
        lines += [f"        intervals [{number}]:", f"            xmin = {start:.3f}", f"            xmax = {stop:.3f}"]
        lines.append(f'            text = "{quoted}"')
    return "\n".join(lines) + "\n"


ALIGNMENT_FORMATS: Mapping[str, Callable[[Alignment], str]] = {
    "json": to_json,
    "ctm": to_ctm,
    "textgrid": to_textgrid,
}
"""Name of a format to its writer."""
SUFFIXES = {"json": ".json", "ctm": ".ctm", "textgrid": ".TextGrid"}
