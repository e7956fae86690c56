"""A recipe: a complete system, and how each stage of it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiny_audio.errors import UnknownNameError
from tiny_audio.training.config import TrainConfig

if TYPE_CHECKING:
    from tiny_audio.models.asr_config import ASRConfig
    from tiny_audio.models.modules import ParameterCount


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One system."""

    name: str
    summary: str
    model: "ASRConfig"
    """After all stages."""
    stages: Mapping[str, TrainConfig] = field(default_factory=dict)
    """What `tiny-audio train STAGE --recipe NAME` runs, in this order."""
    hardware: str
    """What a training run wants."""

    def stage(self, name: str) -> TrainConfig:
        """Configuration of a stage.

        Raises:
            UnknownNameError: this system has no such stage; lists those it has.
        """
        if name not in self.stages:
            raise UnknownNameError(f"stage of {self.name}", name, self.stages)
        return self.stages[name]

    def titles(self) -> dict[str, str]:
        """A headline for each component."""
        return component_titles(self.model)

    def count_parameters(self) -> dict[str, "ParameterCount"]:
        """Parameters of each component at full size; nothing is downloaded and no memory filled."""
        from tiny_audio.models.modules import count_parameters

        return count_parameters(self.model)


_FAMILIES = {"whisper": "Whisper", "hubert": "HuBERT", "wav2vec2": "wav2vec 2.0", "wavlm": "WavLM", "aut": "AuT"}


def component_titles(config: "ASRConfig") -> dict[str, str]:
    """A headline for each component, such as `ENCODER (HuBERT + LoRA)`."""

    def adapted(name: str, lora: object) -> str:
        return f"{name} + LoRA" if lora else name

    llm = (config.llm.source or "random weights").rsplit("/", 1)[-1]
    return {
        "encoder": f"ENCODER ({adapted(_FAMILIES[config.encoder.family], config.encoder.lora)})",
        "projector": f"PROJECTOR ({config.projector.kind}{', aligned' if config.projector.aligned else ''})",
        "decoder": f"DECODER ({adapted(llm, config.llm.lora)})",
    }


def training_memory(counts: Mapping[str, "ParameterCount"]) -> int:
    """Bytes of weights and optimizer: 2 a frozen parameter (bfloat16), 16 a trained one (float32 weight, gradient and
    AdamW's two moments). Activations come on top.
    """
    return sum(2 * count.frozen + 16 * count.trainable for count in counts.values())
