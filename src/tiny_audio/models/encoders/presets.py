"""Sizes of published encoders, by hub id: enough to build or count one without a download.

Whisper: arXiv 2212.04356; wav2vec 2.0: 2006.11477; HuBERT: 2106.07447; WavLM: 2110.13900. What is not named has the
default of the family's `transformers` configuration.
"""

from typing import Any

from tiny_audio.models.asr_config import EncoderFamily


def _whisper(width: int, layers: int, *, n_mels: int = 80) -> dict[str, Any]:
    return {
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": width // 64,
        "encoder_ffn_dim": 4 * width,
        "num_mel_bins": n_mels,
        "max_source_positions": 1500,
    }


_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "do_normalize": True,
}

ARCHITECTURES: dict[EncoderFamily, dict[str, dict[str, Any]]] = {
    "whisper": {
        # Names in the weights store.
        "whisper-base": _whisper(512, 6),
        "whisper-tiny.en": _whisper(384, 4),
        # `.en`: the same sizes, English only.
        "openai/whisper-tiny": _whisper(384, 4),
        "openai/whisper-tiny.en": _whisper(384, 4),
        "openai/whisper-base": _whisper(512, 6),
        "openai/whisper-base.en": _whisper(512, 6),
        "openai/whisper-small": _whisper(768, 12),
        "openai/whisper-small.en": _whisper(768, 12),
        "openai/whisper-medium": _whisper(1024, 24),
        "openai/whisper-medium.en": _whisper(1024, 24),
        "openai/whisper-large": _whisper(1280, 32),
        "openai/whisper-large-v2": _whisper(1280, 32),
        "openai/whisper-large-v3": _whisper(1280, 32, n_mels=128),
        "openai/whisper-large-v3-turbo": _whisper(1280, 32, n_mels=128),
    },
    "hubert": {
        "facebook/hubert-base-ls960": {"do_normalize": True},
        "facebook/hubert-large-ls960-ft": _LARGE,
        "facebook/hubert-xlarge-ls960-ft": _LARGE
        | {"hidden_size": 1280, "num_hidden_layers": 48, "intermediate_size": 5120},
    },
    "wav2vec2": {
        "facebook/wav2vec2-base-960h": {"do_normalize": True},
        "facebook/wav2vec2-large-960h-lv60-self": _LARGE,
    },
    "wavlm": {
        # The base models were trained on waveforms as they are, the large one on normalised ones.
        "microsoft/wavlm-base-plus": {"do_normalize": False},
        "microsoft/wavlm-large": _LARGE | {"conv_bias": False},
    },
}
"""Family, then hub id, then the `architecture` of an `EncoderConfig`."""
