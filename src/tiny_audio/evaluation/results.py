"""What an evaluation gives back: each utterance as it was said, understood and scored, and the sums of one system.

Texts are kept raw; the normaliser is applied only to count (`scoring.score`), so a stored result can be scored again
by other rules. Everything that reports, compares or draws reads these structures and nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tiny_audio.data.manifest import Utterance
from tiny_audio.evaluation.bootstrap import Comparison, Interval, choose_units, compare, rate_interval
from tiny_audio.evaluation.labels import LabelScore
from tiny_audio.evaluation.wer import ErrorCounts, WordPair, pool
from tiny_audio.types import Seconds

TRANSCRIBE = "transcribe"
"""The task that is scored in words; any other is scored by its label."""


@dataclass(frozen=True, kw_only=True)
class UtteranceResult:
    """What was said and what was understood, as written, before any normaliser."""

    id: str
    reference: str
    hypothesis: str
    draft: str = ""
    """The CTC's own answer, before the language model; empty for systems that have none."""
    problem: str = ""
    """Why there is no answer (audio that cannot be read, a server that refused); empty if there is one."""
    audio: Path | None = None
    start: Seconds = 0.0
    """Where in the recording the utterance begins."""
    duration: Seconds = 0.0
    speaker: str = ""
    wall_seconds: Seconds = 0.0
    """This utterance's share of the time its batch took, by duration; reading the file does not count."""
    task: str = TRANSCRIBE
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the manifest's line, such as `words` (reference word times) or `snr`; and `pred_words`, the
    word times of the system, where it gives them: a list of `{"word", "start", "end"}`."""

    def to_row(self) -> dict[str, Any]:
        """One line of `results.jsonl`, with the field names of NeMo manifests (`audio_filepath`, `pred_text`)."""
        return {
            "id": self.id,
            "audio_filepath": "" if self.audio is None else str(self.audio),
            "offset": self.start,
            "duration": self.duration,
            "text": self.reference,
            "pred_text": self.hypothesis,
            "draft": self.draft,
            "time": self.wall_seconds,
            "speaker": self.speaker,
            "problem": self.problem,
            "task": self.task,
            "extra": self.extra,
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "UtteranceResult":
        """The inverse of `to_row`."""
        return cls(
            id=row["id"],
            reference=row["text"],
            hypothesis=row["pred_text"],
            draft=row["draft"],
            problem=row["problem"],
            audio=Path(row["audio_filepath"]) if row["audio_filepath"] else None,
            start=row["offset"],
            duration=row["duration"],
            speaker=row["speaker"],
            wall_seconds=row["time"],
            task=row["task"],
            extra=row["extra"],
        )


def task_of(utterance: Utterance) -> str:
    """What is asked about an utterance: its manifest's `task`, or a transcript."""
    return utterance.task or TRANSCRIBE


def result_of(
    utterance: Utterance,
    *,
    hypothesis: str = "",
    draft: str = "",
    problem: str = "",
    duration: Seconds | None = None,
    wall_seconds: Seconds = 0.0,
    words: Iterable[Mapping[str, Any]] = (),
) -> UtteranceResult:
    """The result of one utterance of a manifest; for other tasks than a transcript the reference is its `response`.

    Args:
        utterance: what was asked.
        hypothesis: what was understood.
        draft: before the language model.
        problem: why there is no answer.
        duration: of the audio as it was read; the manifest's if it was not.
        wall_seconds: its share of the time.
        words: times of the words of the hypothesis.
    """
    task = task_of(utterance)
    language = {"language": utterance.language} if utterance.language else {}
    pred_words = [dict(word) for word in words]
    return UtteranceResult(
        id=utterance.id,
        reference=utterance.text if task == TRANSCRIBE else utterance.response or utterance.text,
        hypothesis=hypothesis,
        draft=draft,
        problem=problem,
        audio=utterance.audio,
        start=utterance.start,
        duration=utterance.duration if duration is None else duration,
        speaker=utterance.speaker,
        wall_seconds=wall_seconds,
        task=task,
        extra=language | utterance.extra | ({"pred_words": pred_words} if pred_words else {}),
    )


@dataclass(frozen=True, kw_only=True)
class ScoredUtterance:
    """One utterance and its errors, counted after the normaliser."""

    result: UtteranceResult
    counts: ErrorCounts
    """Words."""
    draft_counts: ErrorCounts
    """Words of the draft; equal to an empty hypothesis where there is no draft."""
    character_counts: ErrorCounts
    """Characters of the normalised texts, the space between words among them."""
    words: tuple[WordPair, ...]
    """(reference word, hypothesis word) in order, normalised; None on the side that has no word. A compound that the
    scorer merged is one pair, its parts joined by spaces."""

    @property
    def failed(self) -> bool:
        """Whether there is no answer at all; all its words count as deleted."""
        return bool(self.result.problem)

    @property
    def is_speech(self) -> bool:
        """Whether the reference holds words; what holds none is scored in a bucket of its own."""
        return self.counts.reference_words > 0

    @property
    def is_correct(self) -> bool:
        """Whether there is an answer, and no error in it."""
        return not self.failed and self.counts.errors == 0


@dataclass(frozen=True, kw_only=True)
class SystemResult:
    """One system on one set of utterances; rates are fractions."""

    name: str
    utterances: tuple[ScoredUtterance, ...]
    """Those to transcribe, in the order of the set."""
    normalizer: str
    """Name and version, such as `whisper-english (whisper-normalizer 0.1.15)`."""
    scorer: str
    """Name and version, such as `plain (kaldialign 0.12.0)`."""
    dataset: str = ""
    tasks: tuple[LabelScore, ...] = ()
    """Scores of the other tasks, one each."""
    median_word_time_error: Seconds | None = None
    """Of starts and ends of words, where the set and the system give them."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What else the numbers depend on: seed, max_samples, versions."""

    @property
    def audio_seconds(self) -> Seconds:
        """Audio that was transcribed; failures have none."""
        return sum(utterance.result.duration for utterance in self.utterances if not utterance.failed)

    @property
    def wall_seconds(self) -> Seconds:
        """Features, model and decoding; reading and decompressing files does not count."""
        return sum(utterance.result.wall_seconds for utterance in self.utterances if not utterance.failed)

    @cached_property
    def speech(self) -> tuple[ScoredUtterance, ...]:
        """Utterances whose reference holds words: those that the error rates are about."""
        return tuple(utterance for utterance in self.utterances if utterance.is_speech)

    @cached_property
    def non_speech(self) -> tuple[ScoredUtterance, ...]:
        """Utterances whose reference is empty after the normaliser: every word understood there is invented."""
        return tuple(utterance for utterance in self.utterances if not utterance.is_speech)

    @cached_property
    def counts(self) -> ErrorCounts:
        """Words of the speech, pooled."""
        return pool(utterance.counts for utterance in self.speech)

    @cached_property
    def draft_counts(self) -> ErrorCounts:
        """The same for the drafts."""
        return pool(utterance.draft_counts for utterance in self.speech)

    @cached_property
    def character_counts(self) -> ErrorCounts:
        """Characters of the speech, pooled."""
        return pool(utterance.character_counts for utterance in self.speech)

    @property
    def wer(self) -> float:
        """Word errors per reference word."""
        return self.counts.rate

    @cached_property
    def wer_interval(self) -> Interval:
        """95 % confidence interval of the word error rate."""
        return rate_interval(self._errors, self._num_words, self._units[1])

    @property
    def interval_unit(self) -> str:
        """What was drawn for the interval: speaker, recording or utterance."""
        return self._units[0]

    def compared_to(self, first: "SystemResult") -> Comparison:
        """This system against another on the same utterances; negative differences mean that this one is better."""
        return compare(first._errors, self._errors, first._num_words, first._units[1])

    @property
    def cer(self) -> float:
        """Character errors per reference character."""
        return self.character_counts.rate

    @property
    def sentence_error_rate(self) -> float:
        """Share of the speech with at least one error."""
        return sum(not utterance.is_correct for utterance in self.speech) / max(len(self.speech), 1)

    @property
    def failures(self) -> tuple[UtteranceResult, ...]:
        """Utterances without an answer, each with its `problem`."""
        return tuple(utterance.result for utterance in self.utterances if utterance.failed)

    @property
    def has_draft(self) -> bool:
        """Whether the system gives drafts, so that the gain of its language model can be told."""
        return any(utterance.result.draft for utterance in self.utterances)

    @property
    def relative_gain(self) -> float:
        """Share of the draft's errors that the language model takes away; negative where it adds some."""
        return 1.0 - self.counts.errors / self.draft_counts.errors if self.draft_counts.errors else 0.0

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of work; higher is better."""
        return self.audio_seconds / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def non_speech_seconds(self) -> Seconds:
        """Audio of the utterances without words."""
        return sum(utterance.result.duration for utterance in self.non_speech)

    @property
    def invented_words(self) -> int:
        """Words understood where none was said."""
        return sum(utterance.counts.insertions for utterance in self.non_speech)

    @property
    def invented_words_per_minute(self) -> float:
        """Invented words per minute of audio without words."""
        return 60.0 * self.invented_words / self.non_speech_seconds if self.non_speech_seconds else 0.0

    @cached_property
    def _units(self) -> tuple[str, list[str]]:
        results = [utterance.result for utterance in self.speech]
        return choose_units([one.speaker for one in results], [str(one.audio or one.id) for one in results])

    @property
    def _errors(self) -> list[int]:
        return [utterance.counts.errors for utterance in self.speech]

    @property
    def _num_words(self) -> list[int]:
        return [utterance.counts.reference_words for utterance in self.speech]
