"""Models of the chapters at full size, without memory for them: enough to count and to measure lengths."""

from functools import cache
from typing import Any

import torch

from tiny_audio.explain.loading import encoder_config
from tiny_audio.models.asr_config import EncoderConfig, LLMConfig
from tiny_audio.models.encoders.build import build_encoder, encoder_architecture
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.llm import build_llm
from tiny_audio.models.llm_presets import ARCHITECTURES

HUBERT_XLARGE = "facebook/hubert-xlarge-ls960-ft"


@cache
def meta_encoder(name: str) -> Encoder:
    """An encoder by the names of `loading.encoder_config`.

    Raises:
        UnknownNameError, CheckpointError, WeightsError: as `encoder_config` and `encoder_architecture`.
    """
    config = encoder_config(name)
    sizes = EncoderConfig(family=config.family, source=None, architecture=encoder_architecture(config))
    with torch.device("meta"):
        return build_encoder(sizes)


@cache
def meta_llm(name: str) -> Any:
    """A language model of `llm_presets`."""
    with torch.device("meta"):
        return build_llm(LLMConfig(source=None, architecture=ARCHITECTURES[name]))
