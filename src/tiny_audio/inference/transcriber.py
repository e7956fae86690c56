"""From any audio to a transcript: load, cut, skip silence, batch, run the model, join.

Knows the model only as something that turns short waveforms into hypotheses; importing this file imports no torch.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tiny_audio.audio.io import MIN_DURATION, load_audio
from tiny_audio.audio.timebase import samples_to_seconds
from tiny_audio.audio.vad import is_silent
from tiny_audio.errors import AudioError
from tiny_audio.inference.longform import Chunk, plan_chunks
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.types import Seconds, Waveform


class SpeechHypothesis(Protocol):
    """What was understood in one waveform."""

    @property
    def text(self) -> str:
        """The answer."""

    @property
    def draft(self) -> str:
        """The CTC's own answer, before the language model."""

    @property
    def no_speech(self) -> bool:
        """Whether there is no speech in it."""


class SpeechModel(Protocol):
    """All that a transcriber needs of a model."""

    def transcribe_waveforms(self, waveforms: Sequence[Waveform]) -> Sequence[SpeechHypothesis]:
        """One hypothesis for each waveform of 0.1 to 30 s, whatever stands beside it."""


class Transcriber:
    """Transcribes audio of any length with one model."""

    def __init__(self, model: SpeechModel, *, max_batch_duration: Seconds = 60.0) -> None:
        self.model = model
        self.max_batch_duration = max_batch_duration
        """Padded audio in one call of the model; one chunk may be longer."""

    @classmethod
    def from_pretrained(cls, name: str | Path = "tiny-audio-base") -> "Transcriber":
        """Load a shipped model by its name, or a checkpoint folder, ready to transcribe.

        Raises:
            CheckpointError: no such checkpoint, or its tensors do not fit.
            WeightsError: the frozen weights can neither be found nor fetched.
        """
        from tiny_audio.models.asr_model import ASRModel

        return cls(ASRModel.from_pretrained(name))

    def transcribe(self, source: Any, *, sample_rate: int | None = None) -> Transcript:
        """Transcribe one file name, `-`, bytes, binary file or array (see `load_audio`).

        Raises:
            AudioError: the audio cannot be used.
        """
        return self.transcribe_batch([load_audio(source, sample_rate=sample_rate)])[0]

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """Transcribe mono 16 kHz waveforms of any length; the same texts as one at a time.

        Raises:
            AudioError: a waveform is shorter than 0.1 s.
        """
        for index, waveform in enumerate(waveforms):
            if samples_to_seconds(len(waveform)) < MIN_DURATION:
                raise AudioError(f"waveform {index} has {len(waveform)} samples; expected at least {MIN_DURATION} s")
        plans = [plan_chunks(waveform) for waveform in waveforms]
        pieces = {
            (row, index): piece
            for row, (waveform, plan) in enumerate(zip(waveforms, plans, strict=True))
            for index, chunk in enumerate(plan)
            if not is_silent(piece := chunk.of(waveform))
        }
        hypotheses: dict[tuple[int, int], SpeechHypothesis] = {}
        for keys in self._batches({key: len(piece) for key, piece in pieces.items()}):
            answers = self.model.transcribe_waveforms([pieces[key] for key in keys])
            hypotheses.update(zip(keys, answers, strict=True))
        return [
            _transcript(plan, [hypotheses.get((row, index)) for index in range(len(plan))])
            for row, plan in enumerate(plans)
        ]

    def _batches(self, lengths: dict[tuple[int, int], int]) -> Iterator[list[tuple[int, int]]]:
        """Group keys of similar length, so that little of a batch is padding."""
        batch: list[tuple[int, int]] = []
        for key in sorted(lengths, key=lambda key: -lengths[key]):
            # The longest comes first, and all others are padded to it.
            if batch and samples_to_seconds(lengths[batch[0]] * (len(batch) + 1)) > self.max_batch_duration:
                yield batch
                batch = []
            batch.append(key)
        if batch:
            yield batch


def _transcript(plan: Sequence[Chunk], hypotheses: Sequence[SpeechHypothesis | None]) -> Transcript:
    segments = []
    for index, (chunk, hypothesis) in enumerate(zip(plan, hypotheses, strict=True)):
        is_speech = hypothesis is not None and not hypothesis.no_speech
        segments.append(
            Segment(
                id=index,
                start=chunk.start,
                end=chunk.end,
                text=_tidy(hypothesis.text) if hypothesis and is_speech else "",
                draft=_tidy(hypothesis.draft) if hypothesis else "",
                no_speech=not is_speech,
            )
        )
    text = " ".join(segment.text for segment in segments if segment.text)
    return Transcript(text=text, segments=tuple(segments), duration=plan[-1].end)


def _tidy(text: str) -> str:
    """Single spaces and no line breaks: one transcript is one line."""
    return " ".join(text.split())


def load_model(name: str | Path = "tiny-audio-base") -> Transcriber:
    """`Transcriber.from_pretrained`, as a function."""
    return Transcriber.from_pretrained(name)
