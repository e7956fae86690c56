"""What a transcription gives back."""

from dataclasses import asdict, dataclass
from typing import Any

from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One stretch of the audio and its text; the segments of a transcript cover the audio in order."""

    id: int
    start: Seconds
    end: Seconds
    text: str
    draft: str = ""
    """What the CTC alone understood, before the language model."""
    no_speech: bool = False
    """Nothing in this stretch is speech; the text is empty."""


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """The text of one audio source."""

    text: str
    segments: tuple[Segment, ...]
    duration: Seconds
    """Length of the audio."""
    language: str = "en"

    @property
    def draft(self) -> str:
        """What the CTC alone understood, before the language model."""
        return " ".join(segment.draft for segment in self.segments if segment.draft)

    @property
    def no_speech(self) -> bool:
        """Whether no segment holds speech."""
        return all(segment.no_speech for segment in self.segments)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, with the names that Whisper's JSON uses: text, language, duration, segments."""
        return {
            "text": self.text,
            "language": self.language,
            "duration": self.duration,
            "segments": [asdict(segment) for segment in self.segments],
        }
