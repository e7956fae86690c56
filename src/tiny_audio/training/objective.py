"""What a step of training makes smaller, as the loop sees it."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiny_audio.data.batch import Batch
from tiny_audio.data.stream import Step
from tiny_audio.inference.transcriber import SpeechHypothesis
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """A batch's share of the loss of its step, and of what is logged: shares add up to the whole."""

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

    def refuses(self, text: str) -> str | None:
        """Why a transcript cannot be learnt, for the list of what is dropped; None: it can."""
        return None

    def answer(self, text: str) -> tuple[int, ...]:
        """What a language model is to write."""
        return self.labels(text)

    @property
    def writes_labels(self) -> bool:
        """Whether a language model's transcript consists of the labels."""
        return True

    def teach(self, task: str) -> str | None:
        """What the user says for a task that this training teaches from now on; None: it teaches transcripts alone.

        Raises:
            UnknownNameError: there is no such task.
        """
        return None

    @abstractmethod
    def ctc_frames(self, num_frames: int) -> int | None:
        """CTC frames for that many encoder frames; None where there is no CTC to have enough of them."""

    @abstractmethod
    def forward(self, batch: Batch, step: Step) -> StepOutput:
        """Sums over the rows of `batch`, divided by the totals of the whole `step`.

        All randomness of its own comes from (`step.seed`, id of a row) or, where it concerns all rows, from `step`:
        micro-batches and processes that share a step have together the loss that one batch of it has.
        """

    def begin_step(self, step: Step) -> None:
        """Compute once what the batches of a step share; without it each of them computes it for itself."""

    def end_step(self) -> None:
        """Take the gradients of what they shared on to the parameters, and forget it."""

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

    def train(self, mode: bool = True) -> "Objective":
        """Training mode for what is trained; dropout and masks in frozen parts would only blur what they say."""
        super().train(mode)
        if mode:
            for child in self.children():
                _set_frozen_to_eval(child, is_trained=True)
        return self

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Modules that are worth compiling."""
        return ()

    def language_model(self) -> Any:
        """The `transformers` class that is trained with the rest, or None."""
        return None

    def prepare(self, labels: Iterable[Sequence[int]], config: TrainConfig) -> None:
        """Look at the labels of all examples once, before the first step."""

    def is_main(self, name: str) -> bool:
        """Whether a parameter learns at the main rate, not at that of an adapted part."""
        return True


def _set_frozen_to_eval(module: nn.Module, *, is_trained: bool) -> None:
    """`is_trained` is said of the module around it, with which a module without parameters goes, such as dropout."""
    if parameters := list(module.parameters()):
        is_adapter = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        is_trained = is_adapter or all(parameter.requires_grad for parameter in parameters)
    module.training = is_trained
    for child in module.children():
        _set_frozen_to_eval(child, is_trained=is_trained)


def row_generators(batch: Batch, step: Step) -> list[torch.Generator]:
    """A generator for each row, the same wherever the row is computed."""
    return [torch.Generator().manual_seed(row_seed(step.seed, row_id)) for row_id in batch.ids]


def row_seed(seed: int, row_id: str) -> int:
    """Of what is drawn for one row of a step."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{row_id}".encode(), digest_size=7).digest(), "little")
