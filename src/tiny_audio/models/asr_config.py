"""What a checkpoint is made of: enough to build the model again."""

import dataclasses
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tiny_audio.errors import CheckpointError, PromptError
from tiny_audio.text.prompts import PromptConfig, task_text

FORMAT_VERSION = 2

EXPORT_KEY = "tiny_audio"
"""In a folder exported for `transformers`, our configuration stands under this key of its `config.json`."""

EncoderFamily = Literal["whisper", "hubert", "wav2vec2", "wavlm", "aut", "log_mel"]
ProjectorKind = Literal["conv_blocks", "linear", "mlp", "conv_mlp", "swiglu", "ultravox", "qformer", "moe"]


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Low-rank adapters on the linear layers of those names."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Last part of the module's name, inside the transformer blocks."""
    first_block: int = 0
    """Blocks before it are left alone. What they give can be stored, so that an encoder whose later blocks are adapted
    is trained from a feature cache."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The frozen audio encoder."""

    family: EncoderFamily = "whisper"
    source: str | None = "whisper-base"
    """Name in the weights store, hub id or folder; None: random weights, which then lie in the checkpoint."""
    revision: str | None = None
    """Of a hub id."""
    sha256: str | None = None
    """Of the weights that the trained part belongs to; checked when they are loaded again."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """Sizes, as the family's own configuration names them; read from the source where it is empty."""
    pad_to_window: bool = False
    """Whisper only: pad every clip to 30 s, as it was trained. Slower, and never needed for what is trained here."""
    lora: LoRAConfig | None = None

    @property
    def stored_block(self) -> int | None:
        """Block of which a feature cache holds the input; None: it holds what the encoder gives."""
        return self.lora.first_block if self.lora is not None and self.lora.first_block else None

    @property
    def is_storable(self) -> bool:
        """Whether training leaves anything alone whose output can be stored."""
        return self.lora is None or self.lora.first_block > 0

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return {"aut": 12.5, "log_mel": 100.0}.get(self.family, 50.0)


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """The trained part between encoder and language model."""

    kind: ProjectorKind = "conv_blocks"
    aligned: bool = True
    """Trained with CTC over the language model's vocabulary: gives drafts, word times, and fewer audio tokens."""
    ctc_vocab_size: int | None = None
    """Tokens of the vocabulary that the CTC writes: the first ones, which come of the first merges. None: all, and
    what is rare has to be heard to be learnt (`text.truncated_bpe`)."""
    spelling_dim: int = 0
    """`conv_blocks`: width of what the CTC compares with how a token is spelt, beside its embedding; 0: nothing."""
    hidden_dim: int = 1024
    stack_factor: int = 4
    """Encoder frames an audio token stands for; 4 turns 50 Hz into 12.5 Hz."""
    num_blocks: int = 2
    """`conv_blocks`: residual convolution blocks between the two linear layers. `qformer`: its layers."""
    dropout: float = 0.1
    num_experts: int = 4
    """`moe`: routed experts, beside the shared one."""
    output_scale: float | None = None
    """Root mean square of an output vector's elements; None: that of the language model's embedding table."""


@dataclass(frozen=True, kw_only=True)
class LLMConfig:
    """The language model."""

    source: str | None = "smollm2-135m-instruct"
    """Name in the weights store, hub id or folder; None: random weights, to be counted and not to be saved."""
    revision: str | None = None
    sha256: str | None = None
    architecture: dict[str, Any] = field(default_factory=dict)
    """A `transformers` configuration as a dictionary with `model_type`; read from the source where it is empty."""
    training: Literal["frozen", "lora", "full"] = "frozen"
    lora: LoRAConfig | None = None


@dataclass(frozen=True, kw_only=True)
class CharactersConfig:
    """A CTC over characters beside the projector, see `models.character_ctc`."""

    hidden_dim: int = 256
    num_blocks: int = 3
    word_bytes: int = 0
    """Of the list of words that it knows, as the checkpoint holds it."""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How the language model and the CTC decide together; chosen on validation data and kept with the weights.

    A text's score is text_weight * log p_LLM(text) + llm_weight * log p_LLM(text | sound) + ctc_weight * log p_CTC +
    character_weight * log p_characters + word_bonus * words.
    """

    blank_threshold: float = 0.95
    """Frames whose blank is at least this probable do not reach the language model."""
    num_beams: int = 24
    """Hypotheses of the CTC that candidates are made of."""
    text_weight: float = 0.8
    """Of the language model as a reader of texts (shallow fusion, arXiv 1503.03535)."""
    llm_weight: float = 0.0
    """Of the language model with the sound in its prompt; at 0 it does not read the last candidates so."""
    ctc_weight: float = 0.4
    character_weight: float = 0.4
    """Where there is a CTC over characters."""
    word_bonus: float = 1.0
    hotword_bonus: float = 6.0
    """Added for each word that the user expects, see `models.hotwords`."""


@dataclass(frozen=True, kw_only=True)
class ASRConfig:
    """One recogniser."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    encoder_dim: int = 512
    llm_dim: int = 576
    vocab_size: int = 49_152
    tasks: tuple[str, ...] = ("transcribe",)
    """What the model has been trained to do (names of `text.prompts.TASKS`); training adds to it."""
    described_facts: dict[str, Any] = field(default_factory=dict)
    """What `models.describer` has been trained to name: facts, and the values of each; empty: there is no describer."""
    characters: CharactersConfig | None = None
    """None: there is no CTC over characters."""
    draft_only: bool = False
    """Aligned by CTC and nothing more: the text is the CTC draft and no language model is loaded."""
    format_version: int = FORMAT_VERSION

    @property
    def audio_downsample_rate(self) -> int:
        """Encoder frames an audio token stands for."""
        return self.projector.stack_factor

    def check_task(self, task: str) -> None:
        """Refuse what the model has not been trained to do.

        Raises:
            UnknownNameError: there is no such task.
            PromptError: there is, but this model would only guess.
        """
        task_text(task)
        if task not in self.tasks:
            raise PromptError(
                f"this model was trained to {', '.join(self.tasks)}, not to '{task}'; expected one of these, or a model"
                f" that `correct` has trained on utterances with task '{task}' and their response"
            )

    @classmethod
    def from_pretrained(cls, name: str | Path = "tiny-audio-base", *, trust_remote_code: bool = False) -> "ASRConfig":
        """Configuration of a shipped model or of a checkpoint folder.

        Args:
            name: of the model, or its folder.
            trust_remote_code: accepted and without effect: a checkpoint holds no code.

        Raises:
            CheckpointError: no such checkpoint.
        """
        from tiny_audio.models.checkpoint import read_config

        return read_config(name)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "ASRConfig":
        """Read from JSON.

        Raises:
            CheckpointError: not there, not JSON, or made by another version.
        """
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(f"cannot read '{path}': {error.strerror}; expected a checkpoint folder") from error
        except json.JSONDecodeError as error:
            raise CheckpointError(f"'{path}' is not JSON: {error}; expected a checkpoint's configuration") from error
        if isinstance(values, dict):
            values = values.get(EXPORT_KEY, values)
        found = values.get("format_version") if isinstance(values, dict) else None
        if found != FORMAT_VERSION:
            raise CheckpointError(
                f"'{path}' has format {found}, this version reads {FORMAT_VERSION}; update tiny-audio"
            )
        try:
            return _build(cls, values)
        except (TypeError, KeyError) as error:
            raise CheckpointError(f"'{path}' is not a configuration of this version: {error}") from error


_PARTS: dict[str, type] = {
    "encoder": EncoderConfig,
    "projector": ProjectorConfig,
    "llm": LLMConfig,
    "prompt": PromptConfig,
    "decoding": DecodingConfig,
    "lora": LoRAConfig,
    "characters": CharactersConfig,
}


def _build(kind: Any, values: dict[str, Any]) -> Any:
    """A configuration from plain JSON values; unknown names are an error, missing ones take their defaults."""
    parts = {
        name: _build(_PARTS[name], value) if name in _PARTS and value is not None else value
        for name, value in values.items()
    }
    tuples = {item.name for item in dataclasses.fields(kind) if str(item.type).startswith("tuple")}
    return kind(**{name: tuple(value) if name in tuples else value for name, value in parts.items()})
