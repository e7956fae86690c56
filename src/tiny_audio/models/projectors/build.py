"""Projectors by name."""

from typing import Any

from tiny_audio.errors import ConfigError, UnknownNameError
from tiny_audio.models.asr_config import ProjectorConfig
from tiny_audio.models.projectors.aligned import AlignedProjector, AlignmentHeads
from tiny_audio.models.projectors.conv_blocks import ConvBlocksProjector
from tiny_audio.models.projectors.conv_mlp import ConvMLPProjector
from tiny_audio.models.projectors.linear import LinearProjector
from tiny_audio.models.projectors.mlp import MLPProjector
from tiny_audio.models.projectors.moe import MoEProjector
from tiny_audio.models.projectors.projector import Projector
from tiny_audio.models.projectors.qformer import QFormerProjector
from tiny_audio.models.projectors.swiglu import SwiGLUProjector
from tiny_audio.models.projectors.ultravox import UltravoxProjector

# What each kind reads of the configuration, beside `stack_factor`.
PROJECTORS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "conv_blocks": (ConvBlocksProjector, ("hidden_dim", "num_blocks", "spelling_dim")),
    "linear": (LinearProjector, ()),
    "mlp": (MLPProjector, ("hidden_dim",)),
    "conv_mlp": (ConvMLPProjector, ()),
    "swiglu": (SwiGLUProjector, ("hidden_dim",)),
    "ultravox": (UltravoxProjector, ("hidden_dim",)),
    "qformer": (QFormerProjector, ("hidden_dim", "num_blocks")),
    "moe": (MoEProjector, ("hidden_dim", "num_experts")),
}
_WITH_DROPOUT = ("conv_blocks", "qformer")


def build_projector(config: ProjectorConfig, *, encoder_dim: int, llm_dim: int) -> Projector | AlignedProjector:
    """A projector with new weights; `calibrate` then fits them to the language model's embedding table.

    Raises:
        ConfigError: settings that do not go together.
        UnknownNameError: no such kind.
    """
    cls, sizes = _look_up(config, encoder_dim=encoder_dim, llm_dim=llm_dim)
    if config.kind in _WITH_DROPOUT:
        sizes["dropout"] = config.dropout
    projector = cls(**sizes)
    if isinstance(projector, Projector) and config.aligned:
        return AlignmentHeads(projector)
    return projector


def num_parameters(config: ProjectorConfig, *, encoder_dim: int, llm_dim: int) -> int:
    """Parameters of what `build_projector` would build.

    Raises:
        ConfigError, UnknownNameError: as for `build_projector`.
    """
    cls, sizes = _look_up(config, encoder_dim=encoder_dim, llm_dim=llm_dim)
    count: int = cls.num_parameters(**sizes)
    if config.aligned and cls is not ConvBlocksProjector:
        count += AlignmentHeads.num_parameters(llm_dim=llm_dim)
    return count


def _look_up(config: ProjectorConfig, *, encoder_dim: int, llm_dim: int) -> tuple[Any, dict[str, Any]]:
    """Class and sizes of a configuration."""
    if config.kind not in PROJECTORS:
        raise UnknownNameError("projector", config.kind, PROJECTORS)
    cls, names = PROJECTORS[config.kind]
    problems = []
    if cls is ConvBlocksProjector and not config.aligned:
        problems.append("projector.kind 'conv_blocks' is trained with CTC: set projector.aligned to true")
    if config.stack_factor < 1:
        problems.append(f"projector.stack_factor is {config.stack_factor}, but it must be at least 1")
    if config.ctc_vocab_size is not None and not config.aligned:
        problems.append("projector.ctc_vocab_size is for a projector trained with CTC: set projector.aligned to true")
    if config.spelling_dim and cls is not ConvBlocksProjector:
        problems.append(f"projector.spelling_dim is for 'conv_blocks'; set it to 0 for '{config.kind}'")
    if problems:
        raise ConfigError(problems)
    sizes = {"encoder_dim": encoder_dim, "llm_dim": llm_dim, "stack_factor": config.stack_factor}
    return cls, sizes | {name: getattr(config, name) for name in names}
