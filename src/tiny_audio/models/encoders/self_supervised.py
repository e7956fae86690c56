"""Encoders that learned from raw waveforms: HuBERT (arXiv 2106.07447), wav2vec 2.0 (2006.11477), WavLM (2110.13900).

The networks are those of `transformers`; here a clip in a batch gives what it gives alone, which they do not promise.

Shapes: B batch, S samples, C channels of the convolutions, T encoder frames (50 a second), D width.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tiny_audio.audio.timebase import SAMPLE_RATE, samples_to_seconds
from tiny_audio.errors import AudioError, ConfigError
from tiny_audio.models.encoders.encoder import Encoder, EncoderOutput
from tiny_audio.types import Waveform

SelfSupervisedFamily = Literal["hubert", "wav2vec2", "wavlm"]

_PARTS = ("feature_extractor", "feature_projection", "encoder", "masked_spec_embed")
"""What the encoder consists of; checkpoints hold more: output heads, quantisers."""
_WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
"""Names of the positional convolution's weights before and after PyTorch changed them."""
_NO_DROPOUT = dict.fromkeys(
    ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "layerdrop"), 0.0
)
"""The weights are frozen, so there is nothing to regularise, even while adapters in them are trained."""


class SelfSupervisedEncoder(Encoder):
    """Waveforms `(B, S)` to hidden states `(B, T, D)`; nothing is padded, so T is a little below S / 320.

    Args:
        family: which network.
        do_normalize: bring every clip to mean 0 and variance 1 first, as the checkpoint was trained.
        **sizes: as `HubertConfig`, `Wav2Vec2Config` or `WavLMConfig` name them.
    """

    ARCHITECTURE_KEYS = frozenset(
        (
            "do_normalize",
            *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
            *("conv_dim", "conv_kernel", "conv_stride", "conv_bias", "feat_extract_norm", "feat_extract_activation"),
            *("feat_proj_layer_norm", "do_stable_layer_norm", "layer_norm_eps", "num_feat_extract_layers"),
            *("num_conv_pos_embeddings", "num_conv_pos_embedding_groups", "num_buckets", "max_bucket_distance"),
            # Masking happens in pretraining only, but whether a checkpoint holds the mask's embedding follows from it.
            *("mask_time_prob", "mask_feature_prob"),
            # Known, so that a checkpoint that uses them is refused and not built wrongly.
            *("add_adapter", "adapter_attn_dim", "conv_pos_batch_norm"),
        )
    )
    """What `from_architecture` reads of the family's configuration."""

    def __init__(self, family: SelfSupervisedFamily, *, do_normalize: bool = True, **sizes: Any) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel

        # WavLM's own attention mixes kinds of masks; nothing that a user could change.
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        self.do_normalize = do_normalize
        config = AutoConfig.for_model(family, **sizes | _NO_DROPOUT)
        self.model: Any = AutoModel.from_config(config)
        self.dim = config.hidden_size
        self.kernels_and_strides = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.frame_rate = SAMPLE_RATE / math.prod(config.conv_stride)
        self.normalises_over_time = config.feat_extract_norm == "group"
        # Samples that one frame looks at: a shorter clip has no frame.
        self.receptive_field = 1
        for kernel, stride in reversed(self.kernels_and_strides):
            self.receptive_field = (self.receptive_field - 1) * stride + kernel

    @classmethod
    def from_architecture(
        cls, family: SelfSupervisedFamily, architecture: Mapping[str, Any]
    ) -> "SelfSupervisedEncoder":
        """Random weights in the sizes that the family's `transformers` configuration names.

        Raises:
            ConfigError: a name is unknown, or asks for a part that we do not build.
        """
        if unknown := sorted(architecture.keys() - cls.ARCHITECTURE_KEYS):
            known = ", ".join(sorted(cls.ARCHITECTURE_KEYS))
            raise ConfigError([f"encoder.architecture: {family} has no {', '.join(unknown)}; known: {known}"])
        for name in ("add_adapter", "adapter_attn_dim", "conv_pos_batch_norm"):
            if architecture.get(name):
                raise ConfigError([f"encoder.architecture: {family} with {name} is not supported; use one without"])
        return cls(family, **architecture)

    @staticmethod
    def own_name(stored: str) -> str | None:
        """Parameter that a tensor of a checkpoint is for; None: of another part."""
        for prefix in ("hubert.", "wav2vec2.", "wavlm."):
            stored = stored.removeprefix(prefix)
        if stored.split(".")[0] not in _PARTS:
            return None
        module, _, parameter = stored.rpartition(".")
        return f"model.{module}.{_WEIGHT_NORM.get(parameter, parameter)}" if module else f"model.{stored}"

    def output_lengths(self, num_samples_B: Tensor) -> Tensor:
        """Frames for that many samples; 0 below the receptive field."""
        for kernel, stride in self.kernels_and_strides:
            num_samples_B = ((num_samples_B - kernel).div(stride, rounding_mode="floor") + 1).clamp(min=0)
        return num_samples_B

    def features(self, waveforms: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        """Zero-padded waveforms `(B, S)`, normalised as the checkpoint wants them, and their own lengths `(B,)`."""
        rows = []
        for waveform in waveforms:
            if self.do_normalize:
                # The constant keeps digital silence finite; it is that of the checkpoints' feature extractor.
                waveform = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
            rows.append(torch.from_numpy(np.asarray(waveform, dtype=np.float32)))
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])

    def forward(
        self,
        input_values: Tensor,
        feature_lengths_B: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
    ) -> EncoderOutput:
        """Hidden states `(B, T, D)`.

        Args:
            input_values: waveforms `(B, S)`.
            feature_lengths_B: samples of each row; None when all rows are full.
            attention_mask: the same as ones and zeros `(B, S)`, as the `transformers` feature extractor gives it.

        Raises:
            AudioError: a row is shorter than the receptive field.
        """
        num_samples = input_values.shape[1]
        if attention_mask is not None:
            feature_lengths_B = attention_mask.sum(-1)
        if feature_lengths_B is None:
            feature_lengths_B = torch.full((len(input_values),), num_samples)
        lengths_B = feature_lengths_B.to(input_values.device)
        shortest = int(lengths_B.min())
        if shortest < self.receptive_field:
            raise AudioError(
                f"{shortest} samples of audio; this encoder needs at least {self.receptive_field} "
                f"({1000 * samples_to_seconds(self.receptive_field):.0f} ms)"
            )
        is_full = shortest == num_samples
        if is_full or not self.normalises_over_time:
            convolved_BTC = self._convolve(input_values)
        else:
            # The group norm takes its mean over a row's whole time, padding included: only a row without padding is
            # normalised as it would be alone. The convolutions gain nothing from a batch, so the rows go one by one.
            rows = zip(input_values, lengths_B.tolist(), strict=True)
            convolved_BTC = pad_sequence(
                [self._convolve(row_S[None, :length])[0] for row_S, length in rows], batch_first=True
            )
        frame_lengths_B = self.output_lengths(lengths_B)
        mask_BT = None
        if not is_full:
            frames = torch.arange(convolved_BTC.shape[1], device=input_values.device)
            mask_BT = frames < frame_lengths_B[:, None]
        projected = self.model.feature_projection(convolved_BTC)
        hidden_BTD = projected[0] if isinstance(projected, tuple) else projected
        hidden_BTD = self.model.encoder(hidden_BTD, attention_mask=mask_BT).last_hidden_state
        return EncoderOutput(hidden_BTD, frame_lengths_B)

    def _convolve(self, input_values_BS: Tensor) -> Tensor:
        hidden_BCS = input_values_BS[:, None]
        for layer in self.model.feature_extractor.conv_layers:
            hidden_BCS = layer(hidden_BCS)
        return hidden_BCS.transpose(1, 2)
