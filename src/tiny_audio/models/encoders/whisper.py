"""The Whisper audio encoder (arXiv 2212.04356) on the clip's own length, or padded to 30 s as it was trained.

On its own length a clip costs what its length costs. Parameter names are those of Hugging Face's `WhisperEncoder`.

Shapes: B batch, S samples, M mel bands, F mel frames (100 a second), T encoder frames (50 a second), D width.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.audio.timebase import HOP_LENGTH, MEL_FRAME_RATE, samples_to_mel_frames
from tiny_audio.errors import AudioError, CheckpointError, ConfigError
from tiny_audio.models.encoders.encoder import Encoder, EncoderOutput
from tiny_audio.types import Waveform

HEAD_DIM = 64
"""Every published Whisper has attention heads of this width, so the number of heads follows from D."""


class _SelfAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_heads = dim // HEAD_DIM
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.product_dtype: torch.dtype | None = None
        """Of the products within attention; None: of its input."""

    def forward(self, hidden_BTD: Tensor, mask_B11T: Tensor | None) -> Tensor:
        def split(projected_BTD: Tensor) -> Tensor:
            heads_BHTd = projected_BTD.unflatten(-1, (self.num_heads, HEAD_DIM)).transpose(1, 2)
            return heads_BHTd if self.product_dtype is None else heads_BHTd.to(self.product_dtype)

        query, key, value = (split(proj(hidden_BTD)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        mixed_BHTd = F.scaled_dot_product_attention(query, key, value, attn_mask=mask_B11T)
        if self.product_dtype is not None:
            mixed_BHTd = mixed_BHTd.to(hidden_BTD.dtype)
        return self.out_proj(mixed_BHTd.transpose(1, 2).flatten(2))


class _EncoderLayer(nn.Module):
    def __init__(self, dim: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(dim)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, hidden_BTD: Tensor, mask_B11T: Tensor | None) -> Tensor:
        hidden_BTD = hidden_BTD + self.self_attn(self.self_attn_layer_norm(hidden_BTD), mask_B11T)
        return hidden_BTD + self.fc2(F.gelu(self.fc1(self.final_layer_norm(hidden_BTD))))


class WhisperEncoder(Encoder):
    """Log-mel `(B, M, F)` to hidden states `(B, T, D)` with T = ceil(F / 2), at most `max_frames`.

    Args:
        dim: width D.
        num_layers: transformer blocks.
        n_mels: mel bands M; 80, and 128 from large-v3 on.
        max_frames: positions there are; the window is that long.
        ffn_dim: width inside a block; None: 4 D.
        pad_to_window: fill every clip with silence up to the window, which the encoder then sees as Whisper does.
    """

    frame_rate = MEL_FRAME_RATE / 2
    ARCHITECTURE_KEYS = frozenset(
        (
            "d_model",
            "encoder_layers",
            "encoder_attention_heads",
            "encoder_ffn_dim",
            "num_mel_bins",
            "max_source_positions",
        )
    )
    """What `from_architecture` reads of a `WhisperConfig`."""

    def __init__(
        self,
        *,
        dim: int = 512,
        num_layers: int = 6,
        n_mels: int = 80,
        max_frames: int = 1500,
        ffn_dim: int | None = None,
        pad_to_window: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.n_mels = n_mels
        self.max_frames = max_frames
        self.max_samples = 2 * HOP_LENGTH * max_frames
        self.pad_to_window = pad_to_window
        self.conv1 = nn.Conv1d(n_mels, dim, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, kernel_size=3, stride=2, padding=1)
        # Not `nn.Embedding(max_frames, dim)`: on the meta device its normal draw imports torch's compiler for a second.
        positions_FD = torch.empty(max_frames, dim).uniform_(-1.0, 1.0)
        self.embed_positions = nn.Embedding.from_pretrained(positions_FD, freeze=False)
        self.layers = nn.ModuleList(_EncoderLayer(dim, ffn_dim or 4 * dim) for _ in range(num_layers))
        self.layer_norm = nn.LayerNorm(dim)

    @classmethod
    def from_architecture(cls, architecture: Mapping[str, Any], *, pad_to_window: bool = False) -> "WhisperEncoder":
        """Random weights in the sizes that a `WhisperConfig` names.

        Raises:
            ConfigError: a size is missing, unknown, or makes heads of another width than 64.
        """
        if odd := sorted(architecture.keys() ^ cls.ARCHITECTURE_KEYS):
            needed = ", ".join(sorted(cls.ARCHITECTURE_KEYS))
            raise ConfigError([f"encoder.architecture: missing or unknown {', '.join(odd)}; whisper needs {needed}"])
        dim, num_heads = architecture["d_model"], architecture["encoder_attention_heads"]
        if dim != num_heads * HEAD_DIM:
            raise ConfigError(
                [f"encoder.architecture: {num_heads} heads in width {dim}; whisper's are {HEAD_DIM} wide"]
            )
        return cls(
            dim=dim,
            num_layers=architecture["encoder_layers"],
            n_mels=architecture["num_mel_bins"],
            max_frames=architecture["max_source_positions"],
            ffn_dim=architecture["encoder_ffn_dim"],
            pad_to_window=pad_to_window,
        )

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], *, pad_to_window: bool = False) -> "WhisperEncoder":
        """Build the encoder that a Whisper state dict (Hugging Face names, with or without decoder) describes."""
        prefix = "model.encoder."
        own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        if "conv1.weight" not in own:
            raise CheckpointError(
                f"no '{prefix}conv1.weight' among {len(state)} tensors; expected a Whisper state dict"
            )
        dim, n_mels, _ = own["conv1.weight"].shape
        with torch.device("meta"):
            encoder = cls(
                dim=dim,
                num_layers=1 + max(int(name.split(".")[1]) for name in own if name.startswith("layers.")),
                n_mels=n_mels,
                max_frames=len(own["embed_positions.weight"]),
                ffn_dim=len(own["layers.0.fc1.weight"]),
                pad_to_window=pad_to_window,
            )
        encoder.load_state_dict({name: tensor.float() for name, tensor in own.items()}, assign=True)
        return encoder.requires_grad_(False).eval()

    @staticmethod
    def own_name(stored: str) -> str | None:
        """Parameter that a tensor of a Whisper checkpoint is for; None: of another part."""
        name = stored.removeprefix("model.")
        return name.removeprefix("encoder.") if name.startswith("encoder.") else None

    @staticmethod
    def mel_to_encoder_frames(num_mel_frames: Tensor) -> Tensor:
        """T for F mel frames: the second convolution has stride 2 and keeps a last odd frame."""
        return (num_mel_frames + 1) // 2

    def output_lengths(self, num_samples_B: Tensor) -> Tensor:
        """Encoder frames for that many audio samples; equals what `forward` returns."""
        return self.mel_to_encoder_frames(samples_to_mel_frames(num_samples_B))  # type: ignore[arg-type]

    def features(self, waveforms: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        """Log-mel `(B, M, F)` and the mel frames `(B,)` of each row, which the padding does not count in.

        Raises:
            AudioError: too short for a frame, or longer than the window it shall be padded to.
        """
        pad_to = self.max_samples if self.pad_to_window else None
        mels = [log_mel_spectrogram(waveform, n_mels=self.n_mels, pad_to=pad_to) for waveform in waveforms]
        batch_BMF = torch.zeros(len(mels), self.n_mels, max(mel.shape[1] for mel in mels))
        self._check_window(batch_BMF.shape[2])
        for row, mel in zip(batch_BMF, mels, strict=True):
            row[:, : mel.shape[1]] = mel
        return batch_BMF, torch.tensor([samples_to_mel_frames(len(waveform)) for waveform in waveforms])

    def forward(self, input_features: Tensor, feature_lengths_B: Tensor | None = None) -> EncoderOutput:
        """Hidden states `(B, T, D)`; what stands beyond a row's own length is meaningless.

        Args:
            input_features: log-mel `(B, M, F)`; what stands beyond a row's length is taken as zero, unless it is the
                silence of `pad_to_window`.
            feature_lengths_B: mel frames of each row; None when all rows are full.

        Raises:
            AudioError: more frames than the encoder has positions, or fewer than `pad_to_window` promises.
        """
        mel_BMF = input_features
        num_mel_frames = mel_BMF.shape[2]
        num_frames = (num_mel_frames + 1) // 2
        self._check_window(num_mel_frames)
        is_padded = feature_lengths_B is not None and int(feature_lengths_B.min()) < num_mel_frames
        if feature_lengths_B is None:
            feature_lengths_B = torch.full((len(mel_BMF),), num_mel_frames)
        lengths_B = feature_lengths_B.to(mel_BMF.device)
        frame_lengths_B = self.mel_to_encoder_frames(lengths_B)
        is_real_BF = None
        if is_padded and not self.pad_to_window:
            # Each convolution looks one frame ahead: behind the end it must see the zeros that a lone clip would see.
            is_real_BF = torch.arange(num_mel_frames, device=mel_BMF.device) < lengths_B[:, None]
            mel_BMF = mel_BMF * is_real_BF[:, None]
        hidden_BDF = F.gelu(self.conv1(mel_BMF))
        if is_real_BF is not None:
            hidden_BDF = hidden_BDF * is_real_BF[:, None]
        hidden_BTD = F.gelu(self.conv2(hidden_BDF)).transpose(1, 2)
        hidden_BTD = hidden_BTD + self.embed_positions.weight[:num_frames]
        hidden_BTD = self._run_blocks(hidden_BTD, None if is_real_BF is None else frame_lengths_B, 0)
        return EncoderOutput(hidden_BTD, frame_lengths_B)

    def attend_in(self, dtype: torch.dtype) -> None:
        """See `Encoder.attend_in`."""
        for module in self.modules():
            if isinstance(module, _SelfAttention):
                module.product_dtype = dtype

    def until(self, block: int) -> "WhisperEncoder":
        """The blocks before that one, with the same weights; see `Encoder.until`.

        Raises:
            ConfigError: there is no such block, or its input does not hold all that a window makes of a clip.
        """
        if not 0 < block < len(self.layers):
            raise ConfigError([f"first_block is {block}; expected 1 to {len(self.layers) - 1}"])
        if self.pad_to_window:
            raise ConfigError(["first_block goes on from a clip's own frames; expected encoder.pad_to_window=false"])
        first = copy.copy(self)
        first._modules = dict(self._modules)
        first.layers, first.layer_norm = self.layers[:block], nn.Identity()  # type: ignore[assignment]
        return first

    def resume(self, hidden_BTD: Tensor, lengths_B: Tensor, block: int) -> EncoderOutput:
        """Go on with what the blocks before `block` gave; see `Encoder.resume`."""
        lengths_B = lengths_B.to(hidden_BTD.device)
        is_padded = int(lengths_B.min()) < hidden_BTD.shape[1]
        return EncoderOutput(self._run_blocks(hidden_BTD, lengths_B if is_padded else None, block), lengths_B)

    def _run_blocks(self, hidden_BTD: Tensor, lengths_B: Tensor | None, first: int) -> Tensor:
        """From block `first` on; without lengths, all rows are full."""
        mask_B11T = None
        if lengths_B is not None:
            frames = torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device)
            mask_B11T = (frames < lengths_B[:, None])[:, None, None]
        for layer in self.layers[first:]:
            hidden_BTD = layer(hidden_BTD, mask_B11T)
        return self.layer_norm(hidden_BTD)

    def _check_window(self, num_mel_frames: int) -> None:
        window = 2 * self.max_frames  # compared as whole numbers: an exported graph knows no others
        found, limit = num_mel_frames / MEL_FRAME_RATE, window / MEL_FRAME_RATE
        if num_mel_frames > window:
            raise AudioError(f"{found:.2f} s of audio; the encoder takes at most {limit:.0f} s at once")
        if self.pad_to_window and num_mel_frames < window:
            raise AudioError(f"{found:.2f} s of log-mel; this encoder expects it padded to {limit:.0f} s (`features`)")
