"""Examples to train on, and batches of them.

Shapes: B batch, T encoder frames, D encoder width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tiny_audio.audio.timebase import seconds_to_samples
from tiny_audio.data.augment import NO_LIMITS, AugmentConfig, augment, draw_speed, rng_for
from tiny_audio.data.feature_cache import CachedUtterance, FeatureCache
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.step_plan import round_up
from tiny_audio.errors import AudioError
from tiny_audio.text.prompts import task_text
from tiny_audio.types import Seconds, Waveform

_ROUNDING: Seconds = 0.02
"""By which a recording may be shorter than its manifest says, for decoders and rounded numbers: one encoder frame."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about an utterance where it is not the transcript."""

    user: str
    """The user's text."""
    answer: tuple[int, ...]
    """Token ids of the right answer."""


@dataclass(frozen=True, kw_only=True)
class CachedExample:
    """An utterance of a cache with its labels."""

    cache: FeatureCache
    utterance: CachedUtterance
    labels: tuple[int, ...]
    """Token ids of the transcript."""
    question: Question | None = None

    @property
    def num_frames(self) -> int:
        """Encoder frames."""
        return self.utterance.num_frames

    def renamed(self, id: str) -> "CachedExample":
        """The same with another id."""
        return replace(self, utterance=replace(self.utterance, id=id))


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What changes a recording each time it is shown."""

    config: AugmentConfig
    seed: int
    showing: int
    id: str

    def generator(self) -> np.random.Generator:
        """Always at its start: the plan draws the speed from it, and the worker all the rest."""
        return rng_for(self.seed, self.showing, self.id)


@dataclass(frozen=True, kw_only=True)
class RecordedExample:
    """An utterance of a manifest with its labels, for training the encoder too."""

    utterance: Utterance
    num_frames: int
    """Encoder frames, at the speed that the variation plays it."""
    labels: tuple[int, ...]
    speed_limits: tuple[float, float] = NO_LIMITS
    """Slower would not fit the encoder, faster would leave fewer frames than CTC needs."""
    variation: Variation | None = None
    question: Question | None = None

    def varied(self, variation: Variation) -> "RecordedExample":
        """The same words as another recording."""
        _, speed = draw_speed(variation.generator(), variation.config, self.speed_limits)
        return replace(self, variation=variation, num_frames=max(round(self.num_frames / speed), 1))

    def renamed(self, id: str) -> "RecordedExample":
        """The same with another id."""
        return replace(self, utterance=replace(self.utterance, id=id))

    def load(self) -> Waveform:
        """Its samples.

        Raises:
            AudioError: unreadable, or so much shorter than the manifest says that its text has lost its sound.
        """
        waveform = load_waveform(self.utterance)
        # Where the recording differs from the manifest, the limits move with it.
        share = len(waveform) / seconds_to_samples(self.utterance.duration)
        slowest, fastest = self.speed_limits[0] * max(share, 1.0), self.speed_limits[1] * min(share, 1.0)
        if fastest < 1 - _ROUNDING / self.utterance.duration:
            raise AudioError(
                f"'{self.utterance.audio}' holds {share:.0%} of the duration that its manifest gives"
                f" '{self.utterance.id}', too little for its text; `tiny-audio data check` lists all of these"
            )
        if self.variation is None:
            return waveform
        limits = slowest, max(fastest, 1.0)
        return augment(waveform, self.variation.generator(), self.variation.config, speed_limits=limits)


TrainingExample = CachedExample | RecordedExample


def answer_of(example: TrainingExample) -> tuple[int, ...]:
    """What the language model is to write: the answer to the question, or the transcript."""
    return example.labels if example.question is None else example.question.answer


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded encoder features (or else waveforms) and the labels of each row."""

    features_BTD: Tensor
    """Of recordings `(0, T, 0)`, where T is what the longest row is padded to."""
    lengths_B: Tensor
    """Encoder frames of each row; of a recording an estimate."""
    labels: list[list[int]]
    references: list[str]
    ids: list[str]
    """Unique within a step, so that (seed of the step, id) can draw what is random about a row."""
    duration: Seconds
    """Seconds of audio in all rows, without padding."""
    waveforms: tuple[Waveform, ...] = ()
    """Where the encoder is trained: its input, 16 kHz, instead of its output."""
    questions: tuple[Question | None, ...] = ()
    """What is asked about each row; None, and no question at all: its transcript."""

    @property
    def asked(self) -> Sequence[Question | None]:
        """`questions`, one for each row."""
        return self.questions or [None] * len(self.labels)

    @property
    def answers(self) -> list[list[int]]:
        """What the language model is to write about each row."""
        rows = zip(self.labels, self.asked, strict=True)
        return [labels if question is None else list(question.answer) for labels, question in rows]

    @property
    def users(self) -> list[str]:
        """What the user says in each row."""
        return [task_text("transcribe") if question is None else question.user for question in self.asked]

    def halves(self) -> "tuple[Batch, Batch]":
        """The first rows and the rest, padded as before; for a batch of two rows or more that does not fit memory."""
        middle = len(self.ids) // 2
        assert middle, "a single row cannot be halved"
        return self._part(slice(middle)), self._part(slice(middle, None))

    def _part(self, rows: slice) -> "Batch":
        return Batch(
            features_BTD=self.features_BTD[rows],
            lengths_B=self.lengths_B[rows],
            labels=self.labels[rows],
            references=self.references[rows],
            ids=self.ids[rows],
            duration=self.duration * float(self.lengths_B[rows].sum() / self.lengths_B.sum()),
            waveforms=self.waveforms[rows],
            questions=self.questions[rows],
        )


def collate(examples: Sequence[TrainingExample], *, pad_to_frames: int = 1) -> Batch:
    """Pad the features of `examples` with zeros to the longest; of recorded examples, load the waveforms.

    Args:
        examples: all cached, or all recorded.
        pad_to_frames: T is a multiple of it.
    """
    lengths_B = torch.tensor([example.num_frames for example in examples])
    cached = [example for example in examples if isinstance(example, CachedExample)]
    num_frames = round_up(int(lengths_B.max()), pad_to_frames)
    features_BTD = torch.zeros(len(cached), num_frames, cached[0].cache.dim if cached else 0)
    for row_TD, example in zip(features_BTD, cached, strict=True):
        features_TD = example.cache.features(example.utterance)
        row_TD[: len(features_TD)] = torch.from_numpy(features_TD.astype(np.float32))
    return Batch(
        features_BTD=features_BTD,
        lengths_B=lengths_B,
        labels=[list(example.labels) for example in examples],
        references=[example.utterance.text for example in examples],
        ids=[example.utterance.id for example in examples],
        duration=sum(example.utterance.duration for example in examples),
        waveforms=tuple(example.load() for example in examples if isinstance(example, RecordedExample)),
        questions=tuple(example.question for example in examples),
    )
