"""Aligned projectors: trained with CTC to emit text embeddings before any language model runs.

The language model's frozen embedding table is the output layer of the CTC, so the projector learns to speak the
model's own input space. What the language model then receives for a frame that is not blank is the posterior-weighted
mix of token embeddings plus a learned residual, which carries what the tokens cannot.

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, E LLM width, V vocabulary.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tiny_audio.models.projectors.projector import Projector, root_mean_square


class Projected(NamedTuple):
    """Output of an aligned projector for each audio token."""

    hidden_BAE: Tensor
    """Its inner product with a token's embedding is that token's CTC logit; wider than E where the CTC also compares
    spellings, whose embeddings then stand behind the language model's."""
    blank_BA: Tensor
    """CTC logit of the blank."""
    residual_BAE: Tensor
    """Added to the token mix for the language model; zero before the language model has been trained."""


class AlignedProjector(nn.Module, ABC):
    """A projector with the three outputs of `Projected`; otherwise it promises what `Projector` does."""

    stack_factor: int

    @property
    def auxiliary_loss(self) -> Tensor | None:
        """Of the last forward in training, to be added to the loss; None for most kinds."""
        return None

    @abstractmethod
    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Audio tokens for that many encoder frames; a last partial stack counts."""

    @abstractmethod
    def forward(self, encoder_BTD: Tensor, lengths_B: Tensor | None = None) -> Projected:
        """Project encoder output, of which `lengths_B` frames a row are real (None: all)."""

    @abstractmethod
    def calibrate(self, table_VE: Tensor, *, rms: float | None = None) -> None:
        """Fit new weights to the embedding table; see `Projector.calibrate`."""


class AlignmentHeads(AlignedProjector):
    """Makes any projector an aligned one.

    A vector as loud as an embedding gives logits near zero for every token: their spread over the vocabulary is
    sqrt(E) * rms^2, 0.4 for SmolLM2-135M. So the CTC reads the output times a learned gain, which starts where the
    spread is 1, and `projector` alone still gives what the language model can read.
    """

    def __init__(self, projector: Projector) -> None:
        super().__init__()
        self.stack_factor = projector.stack_factor
        self.projector = projector
        self.log_gain = nn.Parameter(torch.zeros(()))
        self.blank = nn.Linear(projector.llm_dim, 1)
        self.residual = nn.Linear(projector.llm_dim, projector.llm_dim)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)

    @staticmethod
    def num_parameters(*, llm_dim: int) -> int:
        """Those beside the projector's own: gain, E + 1 for the blank, E^2 + E for the residual."""
        return 1 + llm_dim + 1 + llm_dim**2 + llm_dim

    @property
    def auxiliary_loss(self) -> Tensor | None:
        """That of the projector."""
        return self.projector.auxiliary_loss

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Those of the projector."""
        return self.projector.output_lengths(lengths_B)

    def forward(self, encoder_BTD: Tensor, lengths_B: Tensor | None = None) -> Projected:
        """The projector's output times the gain, and what blank and residual make of it."""
        hidden_BAE = self.projector(encoder_BTD, lengths_B) * self.log_gain.exp()
        return Projected(hidden_BAE, self.blank(hidden_BAE).squeeze(-1), self.residual(hidden_BAE))

    @torch.no_grad()
    def calibrate(self, table_VE: Tensor, *, rms: float | None = None) -> None:
        """Loudness of text for the projector, logits of spread 1 for the CTC."""
        self.projector.calibrate(table_VE, rms=rms)
        table_rms = root_mean_square(table_VE)
        spread = math.sqrt(self.projector.llm_dim) * table_rms * (table_rms if rms is None else rms)
        self.log_gain.fill_(-math.log(spread))
