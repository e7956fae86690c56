"""What every projector offers: encoder frames in, vectors of the language model's width out.

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, K = D * stack_factor, E LLM width, V vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6
_PROBE_TOKENS = 32
"""Audio tokens of noise by which the loudness of new weights is measured."""


class Projector(nn.Module, ABC):
    """Maps `(B, T, D)` to `(B, A, E)` with A = ceil(T / stack_factor), or a little more: `output_lengths` is exact.

    A row in a batch gives the same as the row alone, whatever stands behind its end, and no clip gives zero tokens.

    Attributes:
        stack_factor: encoder frames an audio token stands for.
        partial_stack: what becomes of a last stack that is not full. "pad": zeros fill it up. "mask": what is missing
            is left out of the attention. It is never dropped.
        num_parameters: exact number of parameters of the sizes in `__init__`, without building anything.
        auxiliary_loss: of the last forward in training, to be added to the loss; None for most kinds.
    """

    partial_stack: ClassVar[Literal["pad", "mask"]] = "pad"
    num_parameters: ClassVar[Callable[..., int]]
    auxiliary_loss: Tensor | None = None

    def __init__(self, *, encoder_dim: int, llm_dim: int, stack_factor: int) -> None:
        super().__init__()
        self.encoder_dim = encoder_dim
        self.llm_dim = llm_dim
        self.stack_factor = stack_factor

    @property
    def k(self) -> int:
        """Short for `stack_factor`."""
        return self.stack_factor

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Audio tokens for that many encoder frames; a last partial stack counts."""
        return stacked_lengths(lengths_B, self.stack_factor)

    def forward(self, encoder_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Project encoder output, of which `lengths_B` frames a row are real (None: all), to `(B, A, E)`."""
        lengths_B = all_lengths(encoder_BTD) if lengths_B is None else lengths_B.to(encoder_BTD.device)
        behind_end_BT1 = ~valid_positions(encoder_BTD, lengths_B)
        return self.project(encoder_BTD.masked_fill(behind_end_BT1, 0.0), lengths_B)

    @abstractmethod
    def project(self, encoder_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """As `forward`; what stands behind a row's end is zero already."""

    @abstractmethod
    def scale_output(self, factor: float) -> None:
        """Make the output louder or softer, in the last weights, so that no further number has to be kept."""

    @torch.no_grad()
    def calibrate(self, table_VE: Tensor, *, rms: float | None = None) -> None:
        """Give the output of new weights the loudness of text.

        Without it the output can be an order of magnitude louder than any token the language model has ever read.

        Args:
            table_VE: the language model's input embeddings; their root mean square is the goal.
            rms: another goal.
        """
        goal = root_mean_square(table_VE) if rms is None else rms
        self.scale_output(goal / self.output_rms())

    @torch.no_grad()
    def output_rms(self) -> float:
        """Root mean square of the output for noise: every kind normalises, so new weights give speech the same."""
        weight = next(self.parameters())
        noise_1TD = torch.randn(
            1, _PROBE_TOKENS * self.stack_factor, self.encoder_dim, generator=torch.Generator().manual_seed(0)
        )
        was_training = self.training
        measured = root_mean_square(self.eval()(noise_1TD.to(weight)))
        self.train(was_training)
        return measured


def root_mean_square(tensor: Tensor) -> float:
    """Of all elements."""
    return tensor.float().square().mean().sqrt().item()


def stacked_lengths(lengths_B: Tensor, stack_factor: int) -> Tensor:
    """Stacks that so many frames fill, the last one perhaps partly."""
    return (lengths_B + stack_factor - 1) // stack_factor


def stack_frames(frames_BTD: Tensor, stack_factor: int) -> Tensor:
    """Neighbours side by side, `(B, ceil(T / stack_factor), K)`; zeros fill up the last stack."""
    padded_BTD = F.pad(frames_BTD, (0, 0, 0, -frames_BTD.shape[1] % stack_factor))
    return padded_BTD.unflatten(1, (-1, stack_factor)).flatten(2)


def all_lengths(rows: Tensor) -> Tensor:
    """Lengths `(B,)` of rows that are full."""
    return torch.full((rows.shape[0],), rows.shape[1], device=rows.device)


def valid_positions(rows: Tensor, lengths_B: Tensor) -> Tensor:
    """Mask `(B, positions, 1)` of what lies within each row's length."""
    return (torch.arange(rows.shape[1], device=rows.device) < lengths_B[:, None]).unsqueeze(-1)
