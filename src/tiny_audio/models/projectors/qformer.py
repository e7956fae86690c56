"""The Q-Former projector (BLIP-2, arXiv 2301.12597), on windows of audio as in SALMONN (arXiv 2310.13289).

Shapes: W windows of a row, Q queries of a window, H width of the Q-Former.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.models.projectors.projector import Projector, stacked_lengths, valid_positions

QUERIES = 3
"""Audio tokens of a window."""
_NORM_EPS = 1e-12


class QFormerProjector(Projector):
    """Learned queries look at windows of 3 * `stack_factor` frames; each window gives three audio tokens.

    For `stack_factor` 5: windows of 15 frames (0.3 s at 50 Hz), 3 * ceil(T / 15) audio tokens.

    Args:
        encoder_dim: D.
        llm_dim: E.
        hidden_dim: H.
        stack_factor: encoder frames an audio token stands for.
        num_blocks: layers; each has attention over the queries, attention to the window, and a feed-forward part.
        dropout: of attention and of each part's output.
    """

    partial_stack: ClassVar[Literal["pad", "mask"]] = "mask"

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        hidden_dim: int = 1024,
        stack_factor: int = 5,
        num_blocks: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(encoder_dim=encoder_dim, llm_dim=llm_dim, stack_factor=stack_factor)
        self.window = QUERIES * stack_factor
        self.queries = nn.Parameter(torch.randn(QUERIES, hidden_dim))
        self.norm = nn.LayerNorm(hidden_dim, eps=_NORM_EPS)
        self.layers = nn.ModuleList(_QFormerLayer(hidden_dim, encoder_dim, dropout) for _ in range(num_blocks))
        self.linear = nn.Linear(hidden_dim, llm_dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    @staticmethod
    def num_parameters(
        *, encoder_dim: int, llm_dim: int, hidden_dim: int, stack_factor: int, num_blocks: int = 2
    ) -> int:
        """(Q + 2) * H + H * E + E, and in each layer 14 * H^2 + 2 * D * H + 19 * H; the same for any `stack_factor`."""
        layer = 14 * hidden_dim**2 + 2 * encoder_dim * hidden_dim + 19 * hidden_dim
        return (QUERIES + 2) * hidden_dim + num_blocks * layer + hidden_dim * llm_dim + llm_dim

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Three audio tokens a window; a last partial window counts."""
        return QUERIES * stacked_lengths(lengths_B, self.window)

    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Frames to audio tokens."""
        padded_BTD = F.pad(encoder_BTD, (0, 0, 0, -encoder_BTD.shape[1] % self.window))
        is_real_BT = valid_positions(padded_BTD, lengths_B).squeeze(-1)
        # An empty window behind a row's end may look at its first frame: attention to nothing is not a number.
        is_real_BT[:, :: self.window] = True
        windows_NTD = padded_BTD.unflatten(1, (-1, self.window)).flatten(0, 1)
        mask_N11T = is_real_BT.unflatten(1, (-1, self.window)).flatten(0, 1)[:, None, None]
        hidden_NQH = self.norm(self.queries).expand(len(windows_NTD), -1, -1)
        for layer in self.layers:
            hidden_NQH = layer(hidden_NQH, windows_NTD, mask_N11T)
        return self.linear(hidden_NQH).unflatten(0, (len(encoder_BTD), -1)).flatten(1, 2)

    def scale_output(self, factor: float) -> None:
        """In the last layer."""
        self.linear.weight.data *= factor
        self.linear.bias.data *= factor


class _QFormerLayer(nn.Module):
    """Post-norm, as in BERT: attention over the queries, attention to the window, feed-forward."""

    def __init__(self, dim: int, encoder_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = _Attention(dim, dim, dropout)
        self.self_norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.cross_attention = _Attention(dim, encoder_dim, dropout)
        self.cross_norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)
        self.norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_NQH: Tensor, windows_NTD: Tensor, mask_N11T: Tensor) -> Tensor:
        mixed_NQH = self.self_attention(hidden_NQH, hidden_NQH, None)
        hidden_NQH = self.self_norm(hidden_NQH + self.dropout(mixed_NQH))
        heard_NQH = self.cross_attention(hidden_NQH, windows_NTD, mask_N11T)
        hidden_NQH = self.cross_norm(hidden_NQH + self.dropout(heard_NQH))
        return self.norm(hidden_NQH + self.dropout(self.down(F.gelu(self.up(hidden_NQH)))))


class _Attention(nn.Module):
    """Attention with 16 heads, or fewer where 16 do not divide the width."""

    def __init__(self, dim: int, memory_dim: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = math.gcd(16, dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(memory_dim, dim)
        self.value = nn.Linear(memory_dim, dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = dropout

    def forward(self, query_NQH: Tensor, memory_NTD: Tensor, mask_N11T: Tensor | None) -> Tensor:
        def split(projected: Tensor) -> Tensor:
            return projected.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            split(self.query(query_NQH)),
            split(self.key(memory_NTD)),
            split(self.value(memory_NTD)),
            attn_mask=mask_N11T,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))
