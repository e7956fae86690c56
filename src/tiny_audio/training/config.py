"""Everything a training run depends on, as one frozen tree of dataclasses."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tiny_audio.errors import ConfigError, UnknownNameError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.types import Seconds

Objective = Literal["align", "correct", "speech_llm", "ctc"]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with a linear warm-up and a cosine to zero."""

    learning_rate: float = 1e-3
    """Peak rate of the projector."""
    lora_learning_rate: float = 3e-4
    """Peak rate of all that is trained in the language model and in the encoder."""
    warmup_steps: int = 200
    max_steps: int = 0
    """Optimizer steps; 0 = as many as `epochs` asks for."""
    epochs: float = 10.0
    """Passes over the data, used when `max_steps` is 0."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    max_batch_duration: Seconds = 160.0
    """Audio in one step, padding included."""


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Stretches of encoder frames hidden in training (after SpecAugment, arXiv 1904.08779)."""

    spans_per_second: float = 0.3
    max_span_frames: int = 20
    """50 encoder frames a second: 20 frames are 0.4 s."""


@dataclass(frozen=True, kw_only=True)
class CTCSystem:
    """An AuT encoder with a CTC head, and the units that it writes."""

    preset: str = "tiny"
    """Sizes: `tiny` or `small`."""
    units: Literal["bpe", "char"] = "bpe"
    """Trained on the training transcripts; characters need `head_upsample` 2."""
    num_units: int = 256
    """Of `bpe`."""
    head_upsample: int = 1
    """CTC frames for each encoder frame."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run."""

    objective: Objective
    """`align`: CTC on the projector, no language model in memory. `correct`: the language model's loss beside the CTC.
    `speech_llm`: the language model's loss alone, for a projector that is not aligned. `ctc`: an AuT encoder from
    scratch."""
    model: ASRConfig | CTCSystem = field(default_factory=lambda: ASRConfig(draft_only=True))
    """What is trained; `init` replaces all but the dropout, the adapters, and whether there is a language model."""
    train: tuple[str, ...] = ()
    """Feature caches or manifests; `path*3` shows one three times an epoch."""
    validation: tuple[str, ...] = ()
    """Manifests (or caches) on which WER is measured during training; never trained on."""
    init: str | None = None
    """Checkpoint folder whose weights the run starts from; `correct` needs one."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    num_frequent_tokens: int = 8_000
    """Tokens of the training transcripts that every CTC normaliser sums over."""
    num_random_tokens: int = 4_000
    """Further tokens drawn in each step, which stand for the rest of the vocabulary; 0 and 0: always sum over all."""
    ctc_weight: float = 0.3
    """Share of the CTC loss beside the language model's loss in `correct`, so that the drafts stay good."""
    validate_every: int = 500
    """Optimizer steps between two measurements of WER."""
    max_validation_utterances: int = 100
    """Of each validation set, evenly spaced."""
    save_every: int = 500
    """Optimizer steps between two checkpoints."""
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.objective not in get_args(Objective):
            problems.append(f"objective is '{self.objective}'; expected one of {list(get_args(Objective))}")
        if isinstance(self.model, CTCSystem) != (self.objective == "ctc"):
            problems.append(f"objective '{self.objective}' is not for this model; choose another recipe")
        elif isinstance(self.model, ASRConfig):
            if self.model.projector.aligned == (self.objective == "speech_llm"):
                wanted = "false" if self.model.projector.aligned else "true"
                problems.append(f"objective '{self.objective}' needs model.projector.aligned={wanted}")
            if self.model.draft_only != (self.objective == "align"):
                wanted = "false" if self.model.draft_only else "true"
                problems.append(f"objective '{self.objective}' needs model.draft_only={wanted}")
        if self.optim.max_steps <= 0 and self.optim.epochs <= 0:
            problems.append("optim.max_steps and optim.epochs are both 0; set one")
        problems += [
            f"optim.{name} is {getattr(self.optim, name)}; expected more than 0"
            for name in ("learning_rate", "lora_learning_rate", "max_batch_duration")
            if getattr(self.optim, name) <= 0
        ]
        problems += [
            f"{name} is {getattr(self, name)}; expected 1 or more"
            for name in ("validate_every", "save_every", "max_validation_utterances")
            if getattr(self, name) < 1
        ]
        if problems:
            raise ConfigError(problems)


def apply_overrides(config: TrainConfig, overrides: list[str]) -> TrainConfig:
    """Return `config` with each `a.b=value` applied; values are JSON, or else plain text.

    Raises:
        ConfigError: an override is not of that form, or its value has the wrong type.
        UnknownNameError: no such field.
    """
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator:
            raise ConfigError([f"'{override}' is not of the form name=value"])
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        config = _replace(config, path.split("."), value, path)
    return config


def _replace(config: Any, names: list[str], value: object, path: str) -> Any:
    known = {item.name for item in dataclasses.fields(config)}
    if names[0] not in known:
        raise UnknownNameError("setting", path, known)
    old = getattr(config, names[0])
    if len(names) > 1:
        if not dataclasses.is_dataclass(old):
            raise ConfigError([f"'{path}': {names[0]} has no parts"])
        value = _replace(old, names[1:], value, path)
    elif isinstance(old, tuple):
        value = (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]
    elif isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif old is not None and not isinstance(value, type(old)):
        raise ConfigError([f"'{path}' is {value!r}; expected {type(old).__name__}"])
    return dataclasses.replace(config, **{names[0]: value})
