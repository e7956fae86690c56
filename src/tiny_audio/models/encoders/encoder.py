"""What every audio encoder offers, whatever its family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tiny_audio.errors import ConfigError
from tiny_audio.types import Waveform


class EncoderOutput(NamedTuple):
    """Hidden states of a batch."""

    last_hidden_state: Tensor
    """`(B, T, D)`; what stands beyond a row's own length is meaningless."""
    lengths: Tensor
    """Valid frames of each row, `(B,)`."""


class Encoder(nn.Module, ABC):
    """Waveforms at 16 kHz to hidden states: `encoder(*encoder.features(waveforms))`.

    A row in a batch gives the same as the row alone.

    Attributes:
        dim: width D of a hidden state.
        frame_rate: frames a second; the length of an output follows from `output_lengths`, not from this.
        max_samples: audio that fits at once; None: as much as memory holds.
    """

    dim: int
    frame_rate: float
    max_samples: int | None = None

    @abstractmethod
    def features(self, waveforms: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        """Padded input of `forward`, and how much of each row is real, `(B,)`."""

    @abstractmethod
    def output_lengths(self, num_samples_B: Tensor) -> Tensor:
        """Valid frames for that many audio samples; equals `forward(*features(...)).lengths`."""

    def attend_in(self, dtype: torch.dtype) -> None:
        """Compute the products within attention in that format, for inference, where the family has the choice."""

    def until(self, block: int) -> "Encoder":
        """The blocks before that one, with the same weights: what they give is what `resume` reads.

        Raises:
            ConfigError: there is no such block, or no encoder of this family can be divided.
        """
        raise ConfigError([f"first_block is {block}; this encoder cannot be divided, so only 0 is possible"])

    def resume(self, hidden_BTD: Tensor, lengths_B: Tensor, block: int) -> EncoderOutput:
        """Go on with what the blocks before `block` gave.

        Args:
            hidden_BTD: output of `until(block)`; what stands beyond a row's length is taken for nothing.
            lengths_B: frames of each row.
            block: the first one to run.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be divided")

    @abstractmethod
    def forward(self, features: Tensor, feature_lengths_B: Tensor | None = None) -> EncoderOutput:
        """Encode a batch; None: all rows are full."""
