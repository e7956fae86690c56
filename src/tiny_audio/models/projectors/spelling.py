"""Embeddings of tokens made from their letters (Collobert et al. 2019, arXiv 1906.04323).

A CTC whose output layer is a table learns a token by hearing it: rows of a language model's table say what a word
means, not how it sounds. Words that are written alike mostly sound alike, so a row made from letters can also be of use
for a token that was never heard.

Shapes: N tokens, R letters of all of them one behind the other, W width, S embedding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WIDTH = 96
_NUM_LAYERS = 2
"""A letter sees three others to either side: one of them in its own embedding, then one in each layer."""
_NUM_PLACES = 4
"""Parts of a token over which letters are averaged: begin, two of the middle, end."""
_MAX_LETTERS = 24
_TOKENS_AT_ONCE = 1024


class SpellingEncoder(nn.Module):
    """An embedding of each token from the bytes it writes, lower case; what is a capital is told apart.

    Args:
        dim: of the embeddings.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(256, 3 * _WIDTH)
        nn.init.normal_(self.letters.weight, std=3**-0.5)
        self.layers = nn.ModuleList(_LetterLayer() for _ in range(_NUM_LAYERS))
        self.out = nn.Linear(_NUM_PLACES * _WIDTH, dim)
        self.capitals = nn.Embedding(3, dim)
        nn.init.normal_(self.capitals.weight, std=0.1)
        for name in ("bytes_R", "first_V", "num_letters_V", "capitals_V"):  # of the vocabulary, see `set_tokens`
            self.register_buffer(name, torch.zeros(0, dtype=torch.long), persistent=False)
        self.bytes_R: Tensor
        self.first_V: Tensor
        self.num_letters_V: Tensor
        self.capitals_V: Tensor

    @staticmethod
    def num_parameters(dim: int) -> int:
        """768 W for the letters, 3 W^2 + 5 W in each layer, 4 W * S + S for the output, 3 S for capitals."""
        layer = 3 * _WIDTH**2 + 5 * _WIDTH
        return 3 * 256 * _WIDTH + _NUM_LAYERS * layer + (_NUM_PLACES * _WIDTH + 1) * dim + 3 * dim

    def set_tokens(self, tokens: Sequence[bytes]) -> None:
        """What the tokens write, in the order of their ids; an empty one is a control token."""
        letters = [token.lower()[:_MAX_LETTERS] for token in tokens]
        sizes = torch.tensor([len(token) for token in letters])
        device = self.letters.weight.device
        self.bytes_R = torch.tensor(list(b"".join(token + b"\0" for token in letters)), device=device)
        self.num_letters_V = sizes.to(device)
        self.first_V = ((sizes + 1).cumsum(0) - (sizes + 1)).to(device)
        self.capitals_V = torch.tensor([_capitals(token) for token in tokens], device=device)

    def forward(self, token_ids_N: Tensor | None = None) -> Tensor:
        """Embeddings `(N, S)` of these tokens, or of all."""
        if token_ids_N is None:
            token_ids_N = torch.arange(len(self.first_V), device=self.first_V.device)
        return torch.cat([self._embed(part) for part in token_ids_N.split(_TOKENS_AT_ONCE)])

    def _embed(self, token_ids_N: Tensor) -> Tensor:
        # One behind the other with a gap between: no letter sees another token, and nothing is padded.
        sizes_N = self.num_letters_V[token_ids_N]
        widths_N = sizes_N + 1
        token_R = torch.repeat_interleave(torch.arange(len(token_ids_N), device=sizes_N.device), widths_N)
        place_R = torch.arange(len(token_R), device=sizes_N.device) - (widths_N.cumsum(0) - widths_N)[token_R]
        is_letter_R1 = (place_R < sizes_N[token_R]).to(self.letters.weight.dtype)[:, None]
        letters_RW = F.gelu(_with_neighbours(self.letters(self.bytes_R[self.first_V[token_ids_N][token_R] + place_R])))
        for layer in self.layers:
            letters_RW = layer(letters_RW, is_letter_R1)
        relative_R1 = ((place_R + 0.5) / sizes_N[token_R].clamp_min(1))[:, None]
        centres_P = torch.linspace(0, 1, _NUM_PLACES, device=sizes_N.device)
        shares_RP = (1 - (_NUM_PLACES - 1) * (relative_R1 - centres_P).abs()).clamp_min(0.0) * is_letter_R1
        num_tokens = len(token_ids_N)
        sums_NP = shares_RP.new_zeros(num_tokens, _NUM_PLACES).index_add(0, token_R, shares_RP)
        # A short token has no letter at some of the places.
        letters_RW = letters_RW.float()
        pooled = [
            letters_RW.new_zeros(num_tokens, _WIDTH).index_add(0, token_R, letters_RW * shares_R1)
            / sum_N1.clamp_min(0.25)
            for shares_R1, sum_N1 in zip(shares_RP.split(1, dim=1), sums_NP.split(1, dim=1), strict=True)
        ]
        embeds_NS: Tensor = self.out(torch.cat(pooled, dim=1)) + self.capitals(self.capitals_V[token_ids_N])
        return embeds_NS


class _LetterLayer(nn.Module):
    """Pre-norm residual: each letter with its two neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_WIDTH)
        self.linear = nn.Linear(_WIDTH, 3 * _WIDTH)

    def forward(self, letters_RW: Tensor, is_letter_R1: Tensor) -> Tensor:
        return letters_RW + F.gelu(_with_neighbours(self.linear(self.norm(letters_RW) * is_letter_R1)))


def _with_neighbours(parts_RX: Tensor) -> Tensor:
    """A convolution over three letters, from what each gives for the next one, for itself and for the one before."""
    to_next_RW, own_RW, to_previous_RW = parts_RX.split(_WIDTH, dim=1)
    return to_next_RW.roll(1, dims=0) + own_RW + to_previous_RW.roll(-1, dims=0)


def _capitals(token: bytes) -> int:
    """None, the first letter, or more."""
    text = token.strip()
    return 0 if text == text.lower() else 1 if text[1:] == text[1:].lower() else 2
