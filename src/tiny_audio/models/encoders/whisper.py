"""The Whisper audio encoder (arXiv 2212.04356) on the clip's own length instead of a padded 30 s window.

Cost follows the clip's length. Parameter names are those of Hugging Face's `WhisperEncoder`.

Shapes: B batch, S samples, M mel bands, F mel frames (100 a second), T encoder frames (50 a second), D width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.audio.timebase import MEL_FRAME_RATE, samples_to_mel_frames
from tiny_audio.errors import AudioError, CheckpointError
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

    def forward(self, hidden_BTD: Tensor, mask_B11T: Tensor | None) -> Tensor:
        def split(projected_BTD: Tensor) -> Tensor:
            return projected_BTD.unflatten(-1, (self.num_heads, HEAD_DIM)).transpose(1, 2)

        query, key, value = (split(proj(hidden_BTD)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        mixed_BHTd = F.scaled_dot_product_attention(query, key, value, attn_mask=mask_B11T)
        return self.out_proj(mixed_BHTd.transpose(1, 2).flatten(2))


class _EncoderLayer(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(dim)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, hidden_BTD: Tensor, mask_B11T: Tensor | None) -> Tensor:
        hidden_BTD = hidden_BTD + self.self_attn(self.self_attn_layer_norm(hidden_BTD), mask_B11T)
        return hidden_BTD + self.fc2(F.gelu(self.fc1(self.final_layer_norm(hidden_BTD))))


class WhisperEncoder(nn.Module):
    """Log-mel `(B, M, F)` to hidden states `(B, T, D)` with T = ceil(F / 2), at most `max_frames`."""

    frame_rate = MEL_FRAME_RATE / 2

    def __init__(self, *, dim: int = 512, num_layers: int = 6, n_mels: int = 80, max_frames: int = 1500) -> None:
        super().__init__()
        self.dim = dim
        self.n_mels = n_mels
        self.max_frames = max_frames
        self.conv1 = nn.Conv1d(n_mels, dim, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(max_frames, dim)
        self.layers = nn.ModuleList(_EncoderLayer(dim) for _ in range(num_layers))
        self.layer_norm = nn.LayerNorm(dim)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> "WhisperEncoder":
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
            )
        encoder.load_state_dict({name: tensor.float() for name, tensor in own.items()}, assign=True)
        return encoder.requires_grad_(False).eval()

    @staticmethod
    def mel_to_encoder_frames(num_mel_frames: Tensor) -> Tensor:
        """T for F mel frames: the second convolution has stride 2 and keeps a last odd frame."""
        return (num_mel_frames + 1) // 2

    def output_lengths(self, num_samples_B: Tensor) -> Tensor:
        """Encoder frames for that many audio samples; equals what `forward` returns."""
        return self.mel_to_encoder_frames(samples_to_mel_frames(num_samples_B))  # type: ignore[arg-type]

    def features(self, waveforms: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        """Zero-padded log-mel `(B, M, F)` and the mel frames `(B,)` of each row."""
        mels = [log_mel_spectrogram(waveform, n_mels=self.n_mels) for waveform in waveforms]
        lengths_B = torch.tensor([mel.shape[1] for mel in mels])
        batch_BMF = torch.zeros(len(mels), self.n_mels, int(lengths_B.max()))
        for row, mel in zip(batch_BMF, mels, strict=True):
            row[:, : mel.shape[1]] = mel
        return batch_BMF, lengths_B

    def forward(self, mel_BMF: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Hidden states `(B, T, D)`; what stands beyond a row's own length is meaningless.

        Args:
            mel_BMF: log-mel; what stands beyond a row's length is taken as zero.
            lengths_B: mel frames of each row; None when all rows are full.

        Raises:
            AudioError: more frames than the encoder has positions.
        """
        num_mel_frames = mel_BMF.shape[2]
        num_frames = (num_mel_frames + 1) // 2
        if num_frames > self.max_frames:
            limit = self.max_frames / self.frame_rate
            found = num_frames / self.frame_rate
            raise AudioError(f"{found:.2f} s of audio; the encoder takes at most {limit:.0f} s at once")
        is_padded = lengths_B is not None and int(lengths_B.min()) < num_mel_frames
        is_real_BF = None
        if is_padded:
            assert lengths_B is not None
            lengths_B = lengths_B.to(mel_BMF.device)
            # Each convolution looks one frame ahead: behind the end it must see the zeros that a lone clip would see.
            is_real_BF = torch.arange(num_mel_frames, device=mel_BMF.device) < lengths_B[:, None]
            mel_BMF = mel_BMF * is_real_BF[:, None]
        hidden_BDF = F.gelu(self.conv1(mel_BMF))
        mask_B11T = None
        if is_real_BF is not None:
            assert lengths_B is not None
            hidden_BDF = hidden_BDF * is_real_BF[:, None]
            frames = torch.arange(num_frames, device=mel_BMF.device)
            mask_B11T = (frames < self.mel_to_encoder_frames(lengths_B)[:, None])[:, None, None]
        hidden_BTD = F.gelu(self.conv2(hidden_BDF)).transpose(1, 2)
        hidden_BTD = hidden_BTD + self.embed_positions.weight[:num_frames]
        for layer in self.layers:
            hidden_BTD = layer(hidden_BTD, mask_B11T)
        return self.layer_norm(hidden_BTD)
