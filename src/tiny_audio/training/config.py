"""Everything a training run depends on, as one frozen tree of dataclasses."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from tiny_audio.data.augment import AugmentConfig
from tiny_audio.errors import ConfigError, UnknownNameError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.types import Seconds

Objective = Literal["align", "correct", "speech_llm", "distill", "describe", "characters", "ctc"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with a linear warm-up and a cosine to a floor."""

    learning_rate: float = 1e-3
    """Peak rate of the projector."""
    lora_learning_rate: float = 3e-4
    """Peak rate of all that is trained in the language model and in the encoder; 0: the projector alone is trained."""
    warmup_steps: int = 200
    floor: float = 0.0
    """Where the cosine ends, as a share of the peak rate."""
    max_steps: int = 0
    """Optimizer steps; 0 = as many as `epochs` asks for."""
    epochs: float = 10.0
    """Passes over the data, used when `max_steps` is 0."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    max_batch_duration: Seconds = 160.0
    """Audio in one step, padding included."""
    max_micro_batch_duration: Seconds = 0.0
    """Audio computed at once in a process, padding included; 0: all of its step. Changes memory, never the result."""
    precision: Precision = "auto"
    """Of matrix products; `auto`: bfloat16 where the device computes it in hardware, else float32. What is trained is
    kept in float32 whatever this says, or small updates would be rounded away."""
    ema_decay: float = 0.0
    """Of an exponential moving average of the trained weights, which is what is validated and saved; 0: none."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How recordings and transcripts become steps."""

    augment: AugmentConfig | None = None
    """How recordings (not feature caches) are changed, each time otherwise; `true` for the defaults."""
    max_duration: Seconds = 0.0
    """Longest utterance; 0: any."""
    on_overflow: Literal["error", "drop"] = "error"
    """What becomes of longer ones; those dropped are counted and listed in `dropped.jsonl`."""
    max_infeasible: float = 0.005
    """Share of utterances without a CTC alignment above which training refuses to start."""
    pad_to_frames: int = 1
    """Batches are padded to a multiple of that many encoder frames: few shapes, for `compile`."""


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Stretches of encoder frames hidden in training (after SpecAugment, arXiv 1904.08779)."""

    spans_per_second: float = 0.3
    max_span_frames: int = 20
    """50 encoder frames a second: 20 frames are 0.4 s."""


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """How `distill` learns from the language model that reads the transcript (`training.distill_objective`)."""

    temperature: float = 2.0
    """By which the logits of both are divided; higher shows more of what the teacher finds second best."""
    cross_entropy_weight: float = 0.0
    """Share of the transcript's own cross-entropy in the loss; the rest is the distance to the teacher."""


@dataclass(frozen=True, kw_only=True)
class CTCLossConfig:
    """What `ctc` adds to the CTC loss; all of it is for models larger than `tiny`, which underfits."""

    spec_augment: Literal["off", "mild", "full"] = "off"
    """Masks on the log-mel, see `training.spec_augment`."""
    intermediate_weight: float = 0.0
    """Share of a second CTC loss behind the middle block (InterCTC, arXiv 2102.03216, which takes 0.3)."""
    consistency_weight: float = 0.0
    """Of the distance between two masked views of a row (CR-CTC, arXiv 2410.05101, which takes 0.2); doubles the
    work of a step, and needs masks."""


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
    dropout: float | None = None
    """Inside the encoder; None: the preset's, 0.1."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run."""

    objective: Objective
    """`align`: CTC on the projector, no language model in memory. `correct`: the language model's loss beside the CTC.
    `speech_llm`: the language model's loss alone, for a projector that is not aligned. `distill`: the same, but its
    own answer to the transcript is what is learnt. `describe`: what can be heard beside the words, in a checkpoint
    that is otherwise left as it is. `characters`: a CTC over letters beside such a checkpoint, which spells words that
    the tokens' has not heard. `ctc`: an AuT encoder from scratch."""
    model: ASRConfig | CTCSystem = field(default_factory=lambda: ASRConfig(draft_only=True))
    """What is trained; `init` replaces all but the dropout, the adapters, and whether there is a language model."""
    train: tuple[str, ...] = ()
    """Feature caches or manifests; `path*3` shows one three times an epoch."""
    validation: tuple[str, ...] = ()
    """Manifests (or caches) on which WER is measured during training; never trained on."""
    init: str | None = None
    """Checkpoint folder whose weights the run starts from; `correct` needs one. `align` leaves its language model as
    it is, and saves it again."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    """Of all objectives but `ctc`, `characters` and `describe`."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    ctc: CTCLossConfig = field(default_factory=CTCLossConfig)
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
    keep_best: int = 1
    """Checkpoints kept by validation WER; of more than one, the mean of their weights is tried too at the end."""
    patience: int = 0
    """Validations without a lower WER after which training ends; 0: it goes on to the last step."""
    compile: bool = False
    """Whether `torch.compile` makes the trained parts faster; it takes a while, and a C++ compiler."""
    distributed: Literal["ddp", "fsdp"] = "ddp"
    """Of several processes: `ddp` has all weights in each of them, `fsdp` (FSDP2) shares out the layers of a language
    model that is trained as a whole."""
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.objective not in get_args(Objective):
            problems.append(f"objective is '{self.objective}'; expected one of {list(get_args(Objective))}")
        if isinstance(self.model, CTCSystem) != (self.objective == "ctc"):
            problems.append(f"objective '{self.objective}' is not for this model; choose another recipe")
        elif isinstance(self.model, ASRConfig) and self.objective not in ("describe", "characters"):
            # Those take any checkpoint's.
            if self.model.projector.aligned == (self.objective in ("speech_llm", "distill")):
                wanted = "false" if self.model.projector.aligned else "true"
                problems.append(f"objective '{self.objective}' needs model.projector.aligned={wanted}")
            if self.model.draft_only != (self.objective == "align"):
                wanted = "false" if self.model.draft_only else "true"
                problems.append(f"objective '{self.objective}' needs model.draft_only={wanted}")
            if self.objective == "distill" and self.model.llm.training == "full":
                problems.append("objective 'distill' needs model.llm.training=frozen or lora; its teacher is fixed")
        if self.objective == "describe" and self.validation:
            problems.append("objective 'describe' writes no words; measure it with `tiny-audio eval`, not --validation")
        if self.distill.temperature <= 0 or not 0 <= self.distill.cross_entropy_weight <= 1:
            problems.append(f"found {self.distill}; expected a temperature above 0 and a weight from 0 to 1")
        if self.ctc.spec_augment not in ("off", "mild", "full"):
            problems.append(f"ctc.spec_augment is '{self.ctc.spec_augment}'; expected off, mild or full")
        if not 0 <= self.ctc.intermediate_weight < 1 or self.ctc.consistency_weight < 0:
            problems.append(f"found {self.ctc}; expected weights of 0 or more, the intermediate one below 1")
        if self.ctc.consistency_weight and self.ctc.spec_augment == "off":
            problems.append("ctc.consistency_weight compares two masked views; set ctc.spec_augment to mild or full")
        if self.optim.max_steps <= 0 and self.optim.epochs <= 0:
            problems.append("optim.max_steps and optim.epochs are both 0; set one")
        problems += [
            f"optim.{name} is {getattr(self.optim, name)}; expected more than 0"
            for name in ("learning_rate", "max_batch_duration")
            if getattr(self.optim, name) <= 0
        ]
        if self.optim.lora_learning_rate < 0:
            problems.append(f"optim.lora_learning_rate is {self.optim.lora_learning_rate}; expected 0 or more")
        problems += [
            f"{name} is {getattr(self, name)}; expected 1 or more"
            for name in ("validate_every", "save_every", "max_validation_utterances", "keep_best")
            if getattr(self, name) < 1
        ]
        if self.optim.precision not in get_args(Precision):
            problems.append(f"optim.precision is '{self.optim.precision}'; expected one of {list(get_args(Precision))}")
        problems += [
            f"optim.{name} is {getattr(self.optim, name)}; expected 0 or more, but less than 1"
            for name in ("ema_decay", "floor")
            if not 0 <= getattr(self.optim, name) < 1
        ]
        if self.distributed == "fsdp":
            if not (isinstance(self.model, ASRConfig) and self.model.llm.training == "full"):
                problems.append("distributed is 'fsdp', which is for model.llm.training=full; expected 'ddp'")
            if self.keep_best > 1 or self.compile or self.optim.precision == "fp16":
                problems.append("distributed is 'fsdp', with which go keep_best=1, compile=false, and bf16 or fp32")
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
    kinds: tuple[Any, ...] = get_args(get_type_hints(type(config))[names[0]])
    if old is None and (value is True or len(names) > 1):
        old = next((kind() for kind in kinds if dataclasses.is_dataclass(kind)), None)  # type: ignore[operator]
    if len(names) > 1:
        if not dataclasses.is_dataclass(old):
            raise ConfigError([f"'{path}': {names[0]} has no parts"])
        value = _replace(old, names[1:], value, path)
    elif value is None and type(None) in kinds:
        pass
    elif value is True and dataclasses.is_dataclass(old):
        value = old
    elif isinstance(old, tuple):
        value = (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]
    elif isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif old is not None and not isinstance(value, type(old)):
        raise ConfigError([f"'{path}' is {value!r}; expected {type(old).__name__}"])
    return dataclasses.replace(config, **{names[0]: value})
