"""What was said letter by letter: a CTC (Graves et al. 2006) over characters on the encoder's output.

The aligned projector writes tokens, each of which has to be heard in training before it is known. Letters are few: a
word that was never heard comes out nearly as it is spelt, and of two words that sound alike each gets its probability.

Shapes: B batch, T encoder frames, D encoder width, H hidden width, S states (two frames each), A CTC frames (two each
state, so as many as frames), V characters and the blank.
"""

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.models.asr_config import CharactersConfig
from tiny_audio.models.character_candidates import CharacterPosteriors
from tiny_audio.models.ctc_model import CTCOutput
from tiny_audio.models.projectors.projector import stack_frames, stacked_lengths, valid_positions
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.text.word_list import WordList

_STACK_FACTOR = 2
"""Encoder frames a state stands for, and CTC frames that it writes (Libovicky and Helcl, arXiv 1811.04719): at 25
states a second the work is half, and at 50 CTC frames a second fast speech has a frame for each letter."""
_KERNEL_SIZE = 9
"""States: 0.36 s."""


class CharacterCTC(nn.Module):
    """Frames to log-probabilities of characters: a linear layer over two frames, residual blocks, a linear layer.

    Args:
        encoder_dim: D.
        config: sizes.
    """

    def __init__(self, encoder_dim: int, config: CharactersConfig) -> None:
        super().__init__()
        self.units = CTCUnits.characters()
        self.norm_in = nn.LayerNorm(encoder_dim)
        self.up = nn.Linear(encoder_dim * _STACK_FACTOR, config.hidden_dim)
        self.blocks = nn.ModuleList(_Block(config.hidden_dim) for _ in range(config.num_blocks))
        self.norm_out = nn.LayerNorm(config.hidden_dim)
        self.output = nn.Linear(config.hidden_dim, _STACK_FACTOR * (self.units.num_units + 1))
        self.register_buffer("words", torch.zeros(config.word_bytes, dtype=torch.uint8))
        self.words: Tensor

    @cached_property
    def word_list(self) -> WordList:
        """The words that it knows, as they were when first asked for."""
        return WordList.from_bytes(bytes(self.words.tolist()))

    @staticmethod
    def output_lengths(lengths_B: Tensor) -> Tensor:
        """CTC frames for that many encoder frames: an odd last one counts as two."""
        return stacked_lengths(lengths_B, _STACK_FACTOR) * _STACK_FACTOR

    def forward(self, encoder_BTD: Tensor, lengths_B: Tensor) -> CTCOutput:
        """Logits of encoder output, of which `lengths_B` frames a row are real; the rest has no part in them."""
        lengths_B = lengths_B.to(encoder_BTD.device)
        normed_BTD = self.norm_in(encoder_BTD).masked_fill(~valid_positions(encoder_BTD, lengths_B), 0.0)
        hidden_BSH = self.up(stack_frames(normed_BTD, _STACK_FACTOR))
        valid_BS1 = valid_positions(hidden_BSH, stacked_lengths(lengths_B, _STACK_FACTOR))
        for block in self.blocks:
            hidden_BSH = block(hidden_BSH, valid_BS1)
        logits_BSV = self.output(F.gelu(self.norm_out(hidden_BSH)))
        logits_BAV = logits_BSV.unflatten(-1, (_STACK_FACTOR, -1)).flatten(1, 2)
        return CTCOutput(logits_BAV, self.output_lengths(lengths_B))

    def posteriors(self, encoder_BTD: Tensor, lengths_B: Tensor) -> list[CharacterPosteriors]:
        """Letters of each row of encoder output."""
        output = self(encoder_BTD, lengths_B)
        rows = zip(output.log_probs().cpu(), output.lengths_B.tolist(), strict=True)
        return [CharacterPosteriors(log_probs_AV[:length], self.units, self.word_list) for log_probs_AV, length in rows]


def words_tensor(words: WordList) -> Tensor:
    """What `CharacterCTC` keeps of a list, `(word_bytes,)`, uint8."""
    return torch.tensor(list(words.to_bytes()), dtype=torch.uint8)


class _Block(nn.Module):
    """Pre-norm residual: depthwise convolution over 9 states, then two linear layers with GELU between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = nn.Conv1d(dim, dim, kernel_size=_KERNEL_SIZE, padding=_KERNEL_SIZE // 2, groups=dim)
        self.widen = nn.Linear(dim, 2 * dim)
        self.narrow = nn.Linear(2 * dim, dim)

    def forward(self, hidden_BSH: Tensor, valid_BS1: Tensor) -> Tensor:
        normed_BSH = self.norm(hidden_BSH) * valid_BS1
        mixed_BSH = self.conv(normed_BSH.transpose(1, 2)).transpose(1, 2)
        return hidden_BSH + self.narrow(F.gelu(self.widen(mixed_BSH)))
