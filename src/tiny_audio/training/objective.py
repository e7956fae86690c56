"""What a step of training makes smaller, as the loop sees it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tiny_audio.data.stream import Batch
from tiny_audio.inference.transcriber import SpeechHypothesis
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """The loss to go down and what to log."""

    loss: Tensor
    metrics: dict[str, float]


class Objective(nn.Module, ABC):
    """A model in training, as the loop sees it."""

    device: torch.device
    frame_rate: float
    """Encoder frames a second."""
    has_draft: bool = False
    """Whether its hypotheses have drafts that differ from their texts."""

    @property
    @abstractmethod
    def encoder(self) -> Encoder | EncoderConfig:
        """The encoder that is trained too, or the frozen one whose output is trained on."""

    @abstractmethod
    def labels(self, text: str) -> tuple[int, ...]:
        """What a transcript is learnt as."""

    @abstractmethod
    def ctc_frames(self, num_frames: int) -> int | None:
        """CTC frames for that many encoder frames; None where there is no CTC to have enough of them."""

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator) -> StepOutput:
        """Loss of one batch; the generator draws the masks."""

    @abstractmethod
    def transcribe(self, batch: Batch) -> Sequence[SpeechHypothesis]:
        """Texts and drafts of a batch, as the model in its present state would give them."""

    @abstractmethod
    def trained_state(self) -> dict[str, Tensor]:
        """The trained tensors by name."""

    @abstractmethod
    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Copy tensors of `trained_state` into the model."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write a checkpoint that can be transcribed with."""

    def prepare(self, labels: Iterable[Sequence[int]], config: TrainConfig) -> None:
        """Look at the labels of all examples once, before the first step."""

    def is_main(self, name: str) -> bool:
        """Whether a parameter learns at the main rate, not at that of an adapted part."""
        return True
