"""The aligned projector of the shipped model: residual convolution blocks between two linear layers.

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, H hidden width, E LLM width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.models.projectors.aligned import AlignedProjector, Projected
from tiny_audio.models.projectors.projector import all_lengths, stack_frames, stacked_lengths, valid_positions
from tiny_audio.models.projectors.spelling import SpellingEncoder

_KERNEL_SIZE = 5
_SPELLED_ALONE = 0.4
"""Share of the utterances in training whose CTC has only the spelling: what the table knows already would not let it
learn how frequent words sound, from which it is to tell the others."""


class ConvBlocksProjector(AlignedProjector):
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
        spelling_dim: width S of what the CTC compares with the spelling of a token, behind the E for its embedding;
            0: it compares embeddings alone.
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
        spelling_dim: int = 0,
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
        self.spelling = SpellingEncoder(spelling_dim) if spelling_dim else None
        if self.spelling is not None:
            # Nothing at first: a projector that knows its words goes on from there.
            self.sound = nn.Linear(hidden_dim, spelling_dim)
            nn.init.zeros_(self.sound.weight)
            nn.init.zeros_(self.sound.bias)

    @staticmethod
    def num_parameters(
        *,
        encoder_dim: int,
        llm_dim: int,
        hidden_dim: int,
        stack_factor: int,
        num_blocks: int = 2,
        spelling_dim: int = 0,
    ) -> int:
        """2D + K * H + H, in each block H^2 + 9H, then 2H + 2 * (H * E + E) + H + 1; the spelling, and H * S + S."""
        entry = 2 * encoder_dim + encoder_dim * stack_factor * hidden_dim + hidden_dim
        block = hidden_dim**2 + (_KERNEL_SIZE + 4) * hidden_dim
        spelling = SpellingEncoder.num_parameters(spelling_dim) + (hidden_dim + 1) * spelling_dim if spelling_dim else 0
        return entry + num_blocks * block + 3 * hidden_dim + 1 + 2 * (hidden_dim + 1) * llm_dim + spelling

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Audio tokens for that many encoder frames; a last partial stack counts."""
        return stacked_lengths(lengths_B, self.stack_factor)

    def forward(self, encoder_BTD: Tensor, lengths_B: Tensor | None = None) -> Projected:
        """Project `(B, T, D)`, of which `lengths_B` frames a row are real, to A = ceil(T / stack_factor) tokens."""
        lengths_B = all_lengths(encoder_BTD) if lengths_B is None else lengths_B.to(encoder_BTD.device)
        behind_end_BT1 = ~valid_positions(encoder_BTD, lengths_B)
        # Zeros behind the end, whatever the batch holds there: a row in a batch equals the row alone.
        normed_BTD = self.dropout(self.norm_in(encoder_BTD)).masked_fill(behind_end_BT1, 0.0)
        hidden_BAH = self.up(stack_frames(normed_BTD, self.stack_factor))
        valid_BA1 = valid_positions(hidden_BAH, self.output_lengths(lengths_B))
        for block in self.blocks:
            hidden_BAH = block(hidden_BAH, valid_BA1)
        hidden_BAH = self.dropout(F.gelu(self.norm_out(hidden_BAH)))
        token_BAE = self.down(hidden_BAH)
        if self.spelling is not None:
            if self.training:
                is_whole_B11 = torch.rand(len(token_BAE), 1, 1, device=token_BAE.device) >= _SPELLED_ALONE
                token_BAE = token_BAE * is_whole_B11
            token_BAE = torch.cat([token_BAE, self.sound(hidden_BAH)], dim=-1)
        return Projected(token_BAE, self.blank(hidden_BAH).squeeze(-1), self.residual(hidden_BAH))

    def calibrate(self, table_VE: Tensor, *, rms: float | None = None) -> None:
        """Nothing to do: the language model reads mixes of embeddings, and the logits start small by themselves."""


class _ConvBlock(nn.Module):
    """Pre-norm residual: depthwise convolution over 5 audio tokens (0.4 s), then a linear layer over the width."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = nn.Conv1d(dim, dim, kernel_size=_KERNEL_SIZE, padding=_KERNEL_SIZE // 2, groups=dim)
        self.linear = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BAH: Tensor, valid_BA1: Tensor) -> Tensor:
        normed_BAH = self.norm(hidden_BAH) * valid_BA1
        mixed_BAH = self.conv(normed_BAH.transpose(1, 2)).transpose(1, 2)
        return hidden_BAH + self.dropout(self.linear(F.gelu(mixed_BAH)))
