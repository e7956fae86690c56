"""Models and encoders by the names that a user knows."""

from pathlib import Path
from typing import Any

from tiny_audio.errors import CheckpointError, UnknownNameError
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_without_llm, read_config, shipped_models
from tiny_audio.models.ctc_model import CTCModel, is_ctc_checkpoint
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.encoders.presets import ARCHITECTURES
from tiny_audio.weights.pretrained_folder import read_config as read_folder_config


def load_any_model(name: str | Path) -> ASRModel | CTCModel:
    """A shipped model, or a checkpoint of either kind, in evaluation mode.

    Raises:
        CheckpointError, UnknownNameError, WeightsError: as `ASRModel.from_pretrained` and `CTCModel.load`.
    """
    return CTCModel.load(Path(name)) if is_ctc_checkpoint(name) else ASRModel.from_pretrained(name)


def load_projector_model(name: str | Path) -> ASRModel:
    """Encoder, projector and embedding table of a model; its language model is left out, which would take longest.

    Raises:
        CheckpointError: a CTC recogniser, which has no projector; or as `load_without_llm`.
        UnknownNameError, WeightsError: as `load_without_llm`.
    """
    if is_ctc_checkpoint(name):
        raise CheckpointError(f"'{name}' is a CTC recogniser without a projector; expected a checkpoint that has one")
    return load_without_llm(name)[0]


def load_encoder(name: str) -> Encoder:
    """The encoder of a model, a published one by its hub id, or a folder of one; frozen, in evaluation mode.

    Raises:
        UnknownNameError: none of these.
        CheckpointError, WeightsError: as `ASRModel.from_pretrained` and `build_encoder`.
    """
    if not _is_checkpoint(name):
        return build_encoder(encoder_config(name))
    encoder = load_projector_model(name).encoder  # with what was trained in it
    assert encoder is not None
    return encoder


def encoder_config(name: str) -> EncoderConfig:
    """Configuration of what `load_encoder` loads, without the weights.

    Raises:
        UnknownNameError: neither a model nor an encoder.
        CheckpointError, WeightsError: a folder that holds no encoder of ours.
    """
    for family, sources in ARCHITECTURES.items():
        if name in sources:
            return EncoderConfig(family=family, source=name)
    if _is_checkpoint(name):
        return read_config(name).encoder
    if not Path(name).is_dir():
        published = [source for sources in ARCHITECTURES.values() for source in sources]
        raise UnknownNameError("encoder", name, [*shipped_models(), *published])
    model_type: Any = read_folder_config(Path(name)).get("model_type")
    if model_type not in (known := [*ARCHITECTURES, "aut"]):
        raise CheckpointError(f"'{name}' is a '{model_type}'; expected an encoder: {', '.join(known)}")
    return EncoderConfig(family=model_type, source=name)


def _is_checkpoint(name: str) -> bool:
    """Whether it is a whole model of ours; the configuration of an encoder alone says its type."""
    return name in shipped_models() or (Path(name).is_dir() and "model_type" not in read_folder_config(Path(name)))
