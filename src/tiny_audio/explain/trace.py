"""Everything that happens to a clip on its way to text, as plain numbers.

    waveform -> log-mel -> encoder -> projector -> CTC -> prompt of the language model -> its tokens -> text

Shapes: M mel bands, F mel frames, T encoder frames, D encoder width, A audio tokens, E LLM width, L tokens of the
answer, V vocabulary, N rows shown.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_audio.audio.timebase import samples_to_seconds
from tiny_audio.models.joint_decoding import CandidateScores
from tiny_audio.models.words import Word
from tiny_audio.types import Seconds, Waveform


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage gives, in numbers."""

    name: str
    shape: tuple[int, ...]
    meaning: str
    """Of the axes."""
    mean: float
    std: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Activity:
    """The dimensions of an output that vary most over the clip, the most active first."""

    values_NT: NDArray[np.float32]
    dims_N: tuple[int, ...]
    """Which ones they are."""
    num_dims: int
    """Of how many."""
    frame_duration: Seconds


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A token and how near it is: a cosine, or a probability."""

    text: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A token of the final text on the best CTC path."""

    text: str
    start: Seconds
    end: Seconds
    probability: float


@dataclass(frozen=True, kw_only=True)
class CTCView:
    """Posteriors of the CTC and what follows from them."""

    frame_duration: Seconds
    blank_A: tuple[float, ...]
    """Probability that a frame is blank."""
    guesses: tuple[tuple[Guess, ...], ...]
    """The likeliest tokens of each frame."""
    kept_A: tuple[bool, ...]
    """Whether the language model reads a frame; all of them where there is none."""
    alignment: tuple[Spoken, ...]


@dataclass(frozen=True, kw_only=True)
class PromptView:
    """What the language model reads."""

    before: tuple[str, ...]
    audio: tuple[Guess, ...]
    """The token nearest to each audio embedding, by cosine."""
    after: tuple[str, ...]
    starts: tuple[Seconds, ...]
    """When each audio embedding begins."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A token of the answer, as the language model sees it when all before it is written."""

    text: str
    probability: float
    guesses: tuple[Guess, ...]
    """What it finds likeliest there."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A text that was considered."""

    text: str
    scores: CandidateScores
    total: float


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One clip, stage by stage; what a model has no part for is None or empty."""

    waveform: Waveform
    log_mel_MF: NDArray[np.float32]
    """Decibels below the loudest, at most 80."""
    reads_mel: bool
    """Whether the encoder reads it, and not the waveform."""
    padding: Seconds
    """Silence behind the clip, up to what the encoder was trained on."""
    stages: tuple[Stage, ...]
    encoder: Activity
    projector: Activity | None
    nearest: tuple[tuple[Guess, ...], ...]
    """Tokens nearest to each projector output, by cosine."""
    ctc: CTCView | None
    prompt: PromptView | None
    answer: tuple[Written, ...]
    candidates: tuple[Candidate, ...]
    draft: str
    text: str
    words: tuple[Word, ...]

    @property
    def duration(self) -> Seconds:
        """Of the clip."""
        return samples_to_seconds(len(self.waveform))
