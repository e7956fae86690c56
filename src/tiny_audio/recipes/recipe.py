"""A recipe: a complete system, and how each stage of it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiny_audio.errors import UnknownNameError
from tiny_audio.training.config import CTCSystem, TrainConfig

if TYPE_CHECKING:
    from tiny_audio.models.asr_config import ASRConfig
    from tiny_audio.models.modules import ParameterCount


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One system."""

    name: str
    summary: str
    model: "ASRConfig | CTCSystem"
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
        if isinstance(self.model, CTCSystem):
            name = f"AuT-{self.model.preset.capitalize()}"
            return {
                "encoder": f"ENCODER ({name})",
                "ctc_head": f"CTC HEAD ({self.model.num_units} {self.model.units.upper()} units and the blank)",
            }
        return component_titles(self.model)

    def count_parameters(self) -> dict[str, "ParameterCount"]:
        """Parameters of each component at full size; nothing is downloaded and no memory filled."""
        from tiny_audio.models.modules import count_parameters

        if isinstance(self.model, CTCSystem):
            return _count_ctc(self.model)
        return count_parameters(self.model)


def _count_ctc(system: CTCSystem) -> dict[str, "ParameterCount"]:
    """The encoder, and the head that trains it in place of the chapter's projector."""
    import torch

    from tiny_audio.models.encoders.aut import AuTEncoder, aut_preset
    from tiny_audio.models.modules import ParameterCount

    with torch.device("meta"):
        table = AuTEncoder(aut_preset(system.preset)).parameter_table()
    num_outputs = system.head_upsample * (system.num_units + 1)
    sizes = {
        "encoder": table["total"] - table["projector"],
        "ctc_head": (aut_preset(system.preset).dim + 1) * num_outputs,
    }
    return {name: ParameterCount(total=size, trainable=size) for name, size in sizes.items()}


_FAMILIES = {
    "whisper": "Whisper",
    "hubert": "HuBERT",
    "wav2vec2": "wav2vec 2.0",
    "wavlm": "WavLM",
    "aut": "AuT",
    "log_mel": "log-mel",
}


def component_titles(config: "ASRConfig") -> dict[str, str]:
    """A headline for each component, such as `ENCODER (HuBERT + LoRA)`."""

    def adapted(name: str, lora: object) -> str:
        return f"{name} + LoRA" if lora else name

    llm = (config.llm.source or "random weights").rsplit("/", 1)[-1]
    titles = {
        "encoder": f"ENCODER ({adapted(_FAMILIES[config.encoder.family], config.encoder.lora)})",
        "projector": f"PROJECTOR ({config.projector.kind}{', aligned' if config.projector.aligned else ''})",
        "decoder": f"DECODER ({adapted(llm, config.llm.lora)})",
    }
    if config.described_facts:
        titles["describer"] = f"DESCRIBER ({', '.join(config.described_facts)})"
    if config.characters:
        titles["characters"] = "CHARACTERS (CTC)"
    return titles


def training_memory(counts: Mapping[str, "ParameterCount"]) -> int:
    """Bytes of weights and optimizer; activations come on top.

    2 a frozen parameter (bfloat16), 16 a trained one (float32 weight, gradient and AdamW's two moments).
    """
    return sum(2 * count.frozen + 16 * count.trainable for count in counts.values())
