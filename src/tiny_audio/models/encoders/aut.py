"""AuT, a small audio encoder to train from scratch: 128 mel bands at 100 Hz become hidden states at 12.5 Hz.

    log-mel -> causal convolutions, each with stride 2 -> transformer blocks -> RMSNorm (-> projector)

Each convolution is padded by 3 = kernel - stride on the left and by nothing on the right. So the length is halved and
rounded down (300 -> 150 -> 75 -> 37), and an output frame sees its own 80 ms and what came before: neither the padding
of a batch nor a cut of the stream ever reaches it. Only the attention looks ahead, and it alone needs a mask.

Shapes: B batch, M mel bands, F mel frames (100 a second), T encoder frames (12.5 a second), D width, E width of the
projector's output, H heads, d width of a head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.audio.aut_features import Normalization
from tiny_audio.audio.timebase import HOP_LENGTH, MEL_FRAME_RATE
from tiny_audio.errors import AudioError, ConfigError, UnknownNameError
from tiny_audio.models.encoders.encoder import Encoder, EncoderOutput
from tiny_audio.models.encoders.log_mel import log_mel_features
from tiny_audio.types import Waveform

KERNEL_SIZE, STRIDE = 5, 2
"""Of every convolution of the stem."""
ROPE_BASE = 10_000.0

Count = TypeVar("Count", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class AuTConfig:
    """Sizes of an AuT encoder; the defaults are those of the preset `tiny`.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    n_mels: int = 128
    normalization: Normalization = "utterance"
    conv_channels: tuple[int, ...] = (64, 128, 192)
    """Output channels of the convolutions; each halves the frame rate, the last is the width D."""
    num_layers: int = 4
    num_heads: int = 3
    ffn_dim: int = 768
    depthwise_kernel: int | None = None
    """Frames that a block's depthwise convolution sees, its own and earlier ones; None: no such convolution."""
    dropout: float = 0.1
    projector_dim: int | None = 256
    """Width E of the projector's output, which a Thinker reads (`models.thinker_input`); None: no projector."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "conv_channels", tuple(self.conv_channels))  # JSON has lists
        optional = {name: getattr(self, name) for name in ("depthwise_kernel", "projector_dim")}
        sizes = {name: getattr(self, name) for name in ("n_mels", "num_layers", "num_heads", "ffn_dim")}
        sizes |= {name: size for name, size in optional.items() if size is not None}
        sizes |= {f"conv_channels[{index}]": size for index, size in enumerate(self.conv_channels)}
        problems = [
            f"{name} is {size!r}; expected a whole number from 1 on"
            for name, size in sizes.items()
            if not isinstance(size, int) or size < 1
        ]
        if not self.conv_channels:
            problems.append("conv_channels is empty; expected one number a convolution")
        elif not problems and self.dim % (2 * self.num_heads):
            problems.append(
                f"width {self.dim} for num_heads {self.num_heads}; expected heads of equal, even width"
                " (rotary positions turn pairs)"
            )
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout is {self.dropout}; expected 0 <= dropout < 1")
        if self.normalization not in ("utterance", "global"):
            problems.append(f"normalization is '{self.normalization}'; expected 'utterance' or 'global'")
        if problems:
            raise ConfigError(problems)

    @property
    def dim(self) -> int:
        """Width D."""
        return self.conv_channels[-1]

    @property
    def downsampling(self) -> int:
        """Mel frames that one encoder frame stands for: 8."""
        return STRIDE ** len(self.conv_channels)

    def output_length(self, num_mel_frames: Count) -> Count:
        """T for F mel frames, of a number or a tensor: what does not fill an encoder frame is dropped."""
        return num_mel_frames // self.downsampling

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "AuTConfig":
        """Sizes by name; the others have their defaults.

        Raises:
            ConfigError: unknown names, or sizes that do not fit together.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(values.keys() - set(known))
        if unknown:
            raise ConfigError([f"AuT has no '{name}'; known: {', '.join(known)}" for name in unknown])
        return cls(**values)


AUT_PRESETS = {
    "tiny": AuTConfig(),
    "small": AuTConfig(conv_channels=(64, 128, 256), num_layers=8, num_heads=4, ffn_dim=1024, depthwise_kernel=15),
}
"""`tiny`: 2.0 M parameters. `small`: 8.2 M, with the depthwise convolutions of Conformer (arXiv 2005.08100)."""


def aut_preset(name: str) -> AuTConfig:
    """The preset of that name.

    Raises:
        UnknownNameError: no such preset; lists those there are.
    """
    if name not in AUT_PRESETS:
        raise UnknownNameError("AuT preset", name, AUT_PRESETS)
    return AUT_PRESETS[name]


class AuTEncoder(Encoder):
    """Log-mel `(B, M, F)` to hidden states `(B, T, D)` with T = F // 8.

    `projector` (a linear layer without bias, D to E, or None) is no part of `forward`: CTC heads and the projectors of
    speech LLMs read the D-wide states, a Thinker reads `encoder.projector(hidden_BTD)`.

    Args:
        config: sizes.
    """

    def __init__(self, config: AuTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AuTConfig()
        self.dim = config.dim
        self.frame_rate = MEL_FRAME_RATE / config.downsampling
        channels = (config.n_mels, *config.conv_channels)
        self.convs = nn.ModuleList(
            nn.Conv1d(channels_in, channels_out, KERNEL_SIZE, STRIDE)
            for channels_in, channels_out in pairwise(channels)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(self.dim, eps=1e-6)
        self.projector = (
            nn.Linear(self.dim, config.projector_dim, bias=False) if config.projector_dim is not None else None
        )

    @classmethod
    def from_architecture(cls, architecture: Mapping[str, Any]) -> "AuTEncoder":
        """An encoder with new weights from sizes by name, as `AuTConfig` calls them; `{}` is the preset `tiny`.

        Raises:
            ConfigError: unknown names, or sizes that do not fit together.
        """
        return cls(AuTConfig.from_dict(architecture))

    def features(self, waveforms: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        """Zero-padded log-mel `(B, M, F)` and the mel frames `(B,)` of each row."""
        return log_mel_features(waveforms, n_mels=self.config.n_mels, normalization=self.config.normalization)

    def output_lengths(self, num_samples_B: Tensor) -> Tensor:
        """Encoder frames for that many audio samples; 0 for what `forward` refuses as too short."""
        return self.config.output_length(num_samples_B // HOP_LENGTH)

    def forward(self, features: Tensor, feature_lengths_B: Tensor | None = None) -> EncoderOutput:
        """Encode log-mel `(B, M, F)`; any length.

        Raises:
            AudioError: a row is shorter than one encoder frame (8 mel frames, 80 ms).
        """
        states, lengths_B = self.block_states(features, feature_lengths_B)
        return EncoderOutput(self.norm(states[-1]), lengths_B)

    def block_states(self, features: Tensor, feature_lengths_B: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """What comes out of each block, `(B, T, D)` before the last norm, and the encoder frames of each row.

        Raises:
            AudioError: as `forward`; not while it is being compiled.
        """
        num_rows, _, num_mel_frames = features.shape
        is_padded = feature_lengths_B is not None
        if feature_lengths_B is None:
            feature_lengths_B = torch.full((num_rows,), num_mel_frames)
        if not torch.compiler.is_compiling():  # which cannot depend on what a tensor holds
            is_padded = self._shortest(feature_lengths_B) < num_mel_frames
        lengths_B = self.config.output_length(feature_lengths_B.to(features.device))
        hidden_BDF = features
        for conv in self.convs:
            hidden_BDF = F.gelu(conv(F.pad(hidden_BDF, (KERNEL_SIZE - STRIDE, 0))))
        # Under autocast the convolutions give bfloat16; what the blocks add to keeps the parameters' precision.
        hidden_BTD = self.dropout(hidden_BDF.transpose(1, 2).to(self.norm.weight.dtype))
        frames_T = torch.arange(hidden_BTD.shape[1], device=features.device)
        mask_B11T = None
        if is_padded:
            mask_B11T = (frames_T < lengths_B[:, None])[:, None, None]
        rotation = _rotation(frames_T, self.dim // self.config.num_heads)
        states = []
        for block in self.blocks:
            hidden_BTD = block(hidden_BTD, rotation, mask_B11T)
            states.append(hidden_BTD)
        return states, lengths_B

    def _shortest(self, feature_lengths_B: Tensor) -> int:
        """Mel frames of the shortest row, if that is long enough."""
        shortest = int(feature_lengths_B.min())
        if shortest < self.config.downsampling:
            raise AudioError(
                f"{shortest / MEL_FRAME_RATE:.2f} s of audio ({shortest} mel frames); this encoder needs at least"
                f" {1 / self.frame_rate:.2f} s ({self.config.downsampling})"
            )
        return shortest

    def parameter_table(self) -> dict[str, int]:
        """Parameters of each part, and their `total`."""
        parts: dict[str, nn.Module | None] = {
            "conv": self.convs,
            "transformer": self.blocks,
            "final_norm": self.norm,
            "projector": self.projector,
        }
        table = {
            name: sum(parameter.numel() for parameter in part.parameters()) if part is not None else 0
            for name, part in parts.items()
        }
        return {**table, "total": sum(table.values())}


class _Block(nn.Module):
    """Pre-norm residual: attention, depthwise convolution if there is one, feed-forward network."""

    def __init__(self, config: AuTConfig) -> None:
        super().__init__()
        dim = config.dim
        self.attention_norm = nn.RMSNorm(dim, eps=1e-6)
        self.attention = _Attention(dim, config.num_heads, config.dropout)
        self.conv: nn.Module | None = None
        if config.depthwise_kernel is not None:
            self.conv = nn.Sequential(nn.RMSNorm(dim, eps=1e-6), _ConvModule(dim, config.depthwise_kernel))
        self.ffn = nn.Sequential(
            nn.RMSNorm(dim, eps=1e-6),
            nn.Linear(dim, config.ffn_dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.ffn_dim, dim),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_BTD: Tensor, rotation: tuple[Tensor, Tensor], mask_B11T: Tensor | None) -> Tensor:
        attended_BTD = self.attention(self.attention_norm(hidden_BTD), rotation, mask_B11T)
        hidden_BTD = hidden_BTD + self.dropout(attended_BTD)
        if self.conv is not None:
            hidden_BTD = hidden_BTD + self.dropout(self.conv(hidden_BTD))
        return hidden_BTD + self.dropout(self.ffn(hidden_BTD))


class _Attention(nn.Module):
    """Every frame attends to every real one; positions are rotary (RoFormer, arXiv 2104.09864)."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, hidden_BTD: Tensor, rotation: tuple[Tensor, Tensor], mask_B11T: Tensor | None) -> Tensor:
        query, key, value = (
            proj(hidden_BTD).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed_BHTd = F.scaled_dot_product_attention(
            _rotate(query, rotation),
            _rotate(key, rotation),
            value,
            attn_mask=mask_B11T,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(mixed_BHTd.transpose(1, 2).flatten(2))


class _ConvModule(nn.Module):
    """The convolution module of Conformer (arXiv 2005.08100), causal, and with RMSNorm in place of batch norm."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.gate = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, groups=dim)
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        gated_BDT = F.glu(self.gate(hidden_BTD)).transpose(1, 2)
        mixed_BTD = self.depthwise(F.pad(gated_BDT, (self.kernel_size - 1, 0))).transpose(1, 2)
        return self.out_proj(F.silu(self.norm(mixed_BTD)))


def _rotation(positions_T: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines `(T, d / 2)` of the angle by which each pair of a head is turned, float32."""
    speeds = ROPE_BASE ** -torch.arange(0, 1, 2 / head_dim, device=positions_T.device)
    angles = positions_T[:, None] * speeds
    return angles.cos(), angles.sin()


def _rotate(states_BHTd: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    (cos, sin), (left, right) = rotation, states_BHTd.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1).to(states_BHTd.dtype)
