"""What a transcription gives back."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from tiny_audio.models.words import Word
from tiny_audio.text.plain import plain_text
from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One stretch of the audio and its text; the segments of a transcript follow one another without overlap."""

    id: int
    start: Seconds
    end: Seconds
    text: str
    draft: str = ""
    """What the CTC alone understood, before the language model."""
    no_speech: bool = False
    """Nothing in this stretch is speech; the text is empty."""
    avg_logprob: float | None = None
    """Mean natural-log probability of a token; None where the model does not say."""
    no_speech_prob: float | None = None
    """How sure the model is that nobody speaks."""
    flagged: bool = False
    """The text is doubtful: a loop was cut, or draft and language model disagree."""
    words: tuple[Word, ...] = ()
    """With times in the audio; empty where the model knows none."""

    def plain(self) -> "Segment":
        """In lower case and without punctuation, see `text.plain`."""
        words = (replace(word, text=plain_text(word.text)) for word in self.words)
        return replace(
            self,
            text=plain_text(self.text),
            draft=plain_text(self.draft),
            words=tuple(word for word in words if word.text),
        )


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """The text of one audio source."""

    text: str
    segments: tuple[Segment, ...]
    duration: Seconds
    """Length of the audio that could be decoded."""
    language: str = "en"
    warnings: tuple[str, ...] = ()
    """What was wrong with the audio."""

    @property
    def draft(self) -> str:
        """What the CTC alone understood, before the language model."""
        return " ".join(segment.draft for segment in self.segments if segment.draft)

    @property
    def no_speech(self) -> bool:
        """Whether no segment holds speech."""
        return all(segment.no_speech for segment in self.segments)

    @property
    def words(self) -> tuple[Word, ...]:
        """Those of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)

    def plain(self) -> "Transcript":
        """In lower case and without punctuation, see `text.plain`."""
        return replace(self, text=plain_text(self.text), segments=tuple(segment.plain() for segment in self.segments))

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, with the names that Whisper's JSON uses: text, language, duration, segments."""
        return {
            "text": self.text,
            "language": self.language,
            "duration": self.duration,
            "no_speech": self.no_speech,
            "warnings": list(self.warnings),
            "segments": [asdict(segment) for segment in self.segments],
        }


def join_segments(segments: tuple[Segment, ...], *, duration: Seconds, warnings: tuple[str, ...] = ()) -> Transcript:
    """The transcript that consists of these segments."""
    text = " ".join(segment.text for segment in segments if segment.text)
    return Transcript(text=text, segments=segments, duration=duration, warnings=warnings)
