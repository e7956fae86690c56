"""Training what a checkpoint says beside the words; all else in it is carried over as it is.

Shapes: B batch, T encoder frames, D encoder width, N values of a fact.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.data.batch import Batch
from tiny_audio.data.stream import Step
from tiny_audio.errors import ConfigError
from tiny_audio.inference.recognizer import Hypothesis
from tiny_audio.models.asr_config import ASRConfig, EncoderConfig
from tiny_audio.models.checkpoint import read_checkpoint, write_checkpoint
from tiny_audio.models.describer import Describer
from tiny_audio.text.descriptions import FACTS, describe, read_facts
from tiny_audio.training.objective import Objective, StepOutput

TASK = "describe"
_PREFIX = "describer."
_MEASURED = "pace"
"""Follows from the words and their time; the others are heard."""
_UNKNOWN = 0


class DescribeObjective(Objective):
    """Cross-entropy of each fact that is known of a recording.

    Args:
        config: of the checkpoint.
        state: its tensors.
    """

    def __init__(self, config: ASRConfig, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        if not config.encoder.is_storable:
            raise ConfigError(
                ["describe reads what the frozen part of the encoder gives; expected encoder.lora.first_block above 0"]
            )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.frame_rate = config.encoder.frame_rate
        self.facts = {fact: list(values) for fact, values in FACTS.items() if fact != _MEASURED}
        self.describer = Describer(config.encoder_dim, self.facts).to(self.device)
        self._rest = {name: tensor for name, tensor in state.items() if not name.startswith(_PREFIX)}
        tasks = dict.fromkeys((*config.tasks, TASK))
        self._config = replace(config, tasks=tuple(tasks), described_facts=self.facts)

    def forward(self, batch: Batch, step: Step) -> StepOutput:
        """The batch's share of the step's cross-entropy a fact."""
        loss = torch.zeros((), device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            logits = self.describer(batch.features_BTD.to(self.device), batch.lengths_B)
        for index, logits_BN in enumerate(logits.values()):
            target_B = torch.tensor([row[index] - 1 if row else -1 for row in batch.answers], device=self.device)
            loss = loss + F.cross_entropy(logits_BN, target_B, ignore_index=-1, reduction="sum")
        known = sum(value != _UNKNOWN for row in step.answers or () for value in row)
        loss = loss / max(known, 1)
        return StepOutput(loss=loss, metrics={"loss": loss.item()})

    @property
    def encoder(self) -> EncoderConfig:
        """Whose frozen part is listened to."""
        return self._config.encoder

    def labels(self, text: str) -> tuple[int, ...]:
        """None: words are not learnt."""
        return ()

    def answer(self, text: str) -> tuple[int, ...]:
        """Number of each fact's value, from 1; 0 where a description leaves it open."""
        facts = read_facts(text)
        return tuple(
            values.index(facts[fact]) + 1 if fact in facts else _UNKNOWN for fact, values in self.facts.items()
        )

    @property
    def writes_labels(self) -> bool:
        """No, facts."""
        return False

    def teach(self, task: str) -> str | None:
        """The task's name; it teaches no other."""
        return task if task == TASK else None

    def ctc_frames(self, num_frames: int) -> None:
        """There is no CTC."""

    def transcribe(self, batch: Batch) -> list[Hypothesis]:
        """Descriptions of a batch."""
        with torch.inference_mode():
            rows = self.describer.describe(batch.features_BTD.to(self.device), batch.lengths_B)
        return [Hypothesis(text=describe(facts), draft="", no_speech=False) for facts in rows]

    def trained_state(self) -> dict[str, Tensor]:
        """The describer."""
        return {f"{_PREFIX}{name}": tensor for name, tensor in self.describer.state_dict().items()}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Copy tensors of `trained_state`, or of what `save` wrote, into the describer."""
        own = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
        self.describer.load_state_dict(own)

    def save(self, folder: Path) -> None:
        """Write the checkpoint with the describer in it."""
        write_checkpoint(folder, self._config, {**self._rest, **self.trained_state()}, dtype=torch.float16)


def build_describe_objective(init: str | None) -> DescribeObjective:
    """A new describer for a checkpoint.

    Raises:
        CheckpointError, UnknownNameError: there is no such checkpoint.
        ConfigError: none is given, or its encoder has no frozen part.
    """
    if init is None:
        raise ConfigError(["objective 'describe' adds to a checkpoint; give one with --init"])
    return DescribeObjective(*read_checkpoint(init))
