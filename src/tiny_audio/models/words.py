"""One word of a transcript and when it is said."""

from dataclasses import dataclass

from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word as written, with its punctuation; `start <= end`."""

    text: str
    start: Seconds
    end: Seconds
    confidence: float
    """How sure the CTC is of it, 0 to 1; 0 where it heard nothing like it and the times are those of the gap."""
