"""What a checkpoint is made of: enough to build the model again."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tiny_audio.errors import CheckpointError

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """Sizes of the aligned projector."""

    hidden_dim: int = 1024
    stack_factor: int = 4
    """Encoder frames an audio token stands for; 4 turns 50 Hz into 12.5 Hz."""
    num_blocks: int = 2
    """Residual convolution blocks between the two linear layers."""
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Adapters on every linear layer of the language model's blocks."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How the language model and the CTC decide together; chosen on validation data and kept with the weights."""

    blank_threshold: float = 0.95
    """Frames whose blank is at least this probable do not reach the language model."""
    num_beams: int = 8
    """Hypotheses of the CTC that the language model scores."""
    ctc_weight: float = 0.5
    """Score = log p_LLM + ctc_weight * log p_CTC + word_bonus * words."""
    word_bonus: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ASRConfig:
    """One recogniser."""

    encoder: str = "whisper-base"
    llm: str = "smollm2-135m-instruct"
    encoder_dim: int = 512
    llm_dim: int = 576
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    lora: LoRAConfig | None = None
    """None: aligned by CTC only; the text is the CTC draft and no language model is loaded."""
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    format_version: int = FORMAT_VERSION

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "ASRConfig":
        """Read from JSON.

        Raises:
            CheckpointError: not there, not JSON, or made by a newer version.
        """
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            values["projector"] = ProjectorConfig(**values["projector"])
            values["lora"] = values["lora"] and LoRAConfig(**values["lora"])
            values["decoding"] = DecodingConfig(**values["decoding"])
            config = cls(**values)
        except OSError as error:
            raise CheckpointError(f"cannot read '{path}': {error.strerror}; expected a checkpoint folder") from error
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            raise CheckpointError(f"'{path}' is not a configuration of this version: {error}") from error
        if config.format_version != FORMAT_VERSION:
            raise CheckpointError(
                f"'{path}' has format {config.format_version}, this version reads {FORMAT_VERSION}; update tiny-audio"
            )
        return config
