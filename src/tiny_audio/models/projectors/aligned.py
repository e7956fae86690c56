"""The aligned projector: trained with CTC to emit text embeddings before any language model runs.

The language model's frozen embedding table is the output layer of the CTC, so the projector learns to speak the
model's own input space. What the language model then receives for a frame that is not blank is the posterior-weighted
mix of token embeddings plus a learned residual, which carries what the tokens cannot.

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, K stacked width, E LLM width, V vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Projected(NamedTuple):
    """Output of the projector for each audio token."""

    hidden_BAE: Tensor
    """Its inner product with a token's embedding is that token's CTC logit."""
    blank_BA: Tensor
    """CTC logit of the blank."""
    residual_BAE: Tensor
    """Added to the token mix for the language model; zero before the language model has been trained."""


class AlignedProjector(nn.Module):
    """Stack frames, then an MLP with three outputs: token space, blank, residual.

    A 30 s clip: 1500 encoder frames at 50 Hz -> 375 audio tokens at 12.5 Hz for `stack_factor` 4.
    A last partial stack counts: A = ceil(T / stack_factor), filled up with zeros.

    Args:
        encoder_dim: D.
        llm_dim: E.
        hidden_dim: width H between the layers.
        stack_factor: encoder frames an audio token stands for.
        num_blocks: residual blocks in the middle, each of which sees two audio tokens to either side.
        dropout: of the stacked input, and inside.
    """

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        hidden_dim: int = 1024,
        stack_factor: int = 4,
        num_blocks: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.stack_factor = stack_factor
        self.norm_in = nn.LayerNorm(encoder_dim)
        self.up = nn.Linear(encoder_dim * stack_factor, hidden_dim)
        self.blocks = nn.ModuleList(_ConvBlock(hidden_dim, dropout) for _ in range(num_blocks))
        self.norm_out = nn.LayerNorm(hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(hidden_dim, llm_dim)
        self.blank = nn.Linear(hidden_dim, 1)
        self.residual = nn.Linear(hidden_dim, llm_dim)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Audio tokens for that many encoder frames; a last partial stack counts."""
        return (lengths_B + self.stack_factor - 1) // self.stack_factor

    def forward(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Projected:
        """Project `(B, T, D)`, of which `lengths_B` frames a row are real, to A = ceil(T / stack_factor) tokens."""
        lengths_B = lengths_B.to(encoder_BTD.device)
        # Zeros behind the end, whatever the batch holds there: a row in a batch equals the row alone.
        normed_BTD = self.dropout(self.norm_in(encoder_BTD)) * _valid(encoder_BTD, lengths_B)
        stacked_BAK = F.pad(normed_BTD, (0, 0, 0, -encoder_BTD.shape[1] % self.stack_factor)).unflatten(
            1, (-1, self.stack_factor)
        )
        hidden_BAH = self.up(stacked_BAK.flatten(2))
        valid_BA1 = _valid(hidden_BAH, self.output_lengths(lengths_B))
        for block in self.blocks:
            hidden_BAH = block(hidden_BAH, valid_BA1)
        hidden_BAH = self.dropout(F.gelu(self.norm_out(hidden_BAH)))
        return Projected(self.down(hidden_BAH), self.blank(hidden_BAH).squeeze(-1), self.residual(hidden_BAH))


class _ConvBlock(nn.Module):
    """Pre-norm residual: depthwise convolution over 5 audio tokens (0.4 s), then a linear layer over the width."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = nn.Conv1d(dim, dim, kernel_size=5, padding=2, groups=dim)
        self.linear = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BAH: Tensor, valid_BA1: Tensor) -> Tensor:
        normed_BAH = self.norm(hidden_BAH) * valid_BA1
        mixed_BAH = self.conv(normed_BAH.transpose(1, 2)).transpose(1, 2)
        return hidden_BAH + self.dropout(self.linear(F.gelu(mixed_BAH)))


def _valid(rows: Tensor, lengths_B: Tensor) -> Tensor:
    """Mask `(B, positions, 1)` of what lies within each row's length."""
    return (torch.arange(rows.shape[1], device=rows.device) < lengths_B[:, None]).unsqueeze(-1)
