"""What a Thinker, a small language model with text embeddings of width 256, reads: audio first, then the text prompt.

    [begin of audio] 37 audio tokens (3 s) [end of audio] 5 text tokens -> 44 vectors, or 42 without the two markers

The audio tokens come from the encoder's own projector: `encoder.projector(hidden_BTD)`, 12.5 a second.

Shapes: B batch, A audio tokens, N text tokens, L both and the markers, E width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


class ThinkerSequence(NamedTuple):
    """A batch for the Thinker, padded with zeros on the right; positions count from 0 in every row."""

    embeds_BLE: Tensor
    attention_mask_BL: Tensor
    """True where a row is real."""
    lengths_B: Tensor


class ThinkerInput(nn.Module):
    """Joins audio tokens and text embeddings of each row without a gap, whatever their lengths.

    Args:
        dim: width E of both.
        markers: put a learned vector before the audio and one behind it, so that the Thinker knows where it ends.
    """

    def __init__(self, *, dim: int = 256, markers: bool = True) -> None:
        super().__init__()
        self.begin_E = nn.Parameter(0.02 * torch.randn(dim)) if markers else None
        self.end_E = nn.Parameter(0.02 * torch.randn(dim)) if markers else None

    def forward(
        self,
        audio_BAE: Tensor,
        text_BNE: Tensor,
        audio_lengths_B: Tensor | None = None,
        text_lengths_B: Tensor | None = None,
    ) -> ThinkerSequence:
        """Join a batch; lengths are valid positions of each row, None: all rows are full."""
        num_audio = audio_lengths_B.tolist() if audio_lengths_B is not None else [audio_BAE.shape[1]] * len(audio_BAE)
        num_text = text_lengths_B.tolist() if text_lengths_B is not None else [text_BNE.shape[1]] * len(text_BNE)
        before, behind = ([] if marker is None else [marker[None]] for marker in (self.begin_E, self.end_E))
        rows = [
            torch.cat([*before, audio_AE[:audio_length], *behind, text_NE[:text_length].to(audio_AE.dtype)])
            for audio_AE, audio_length, text_NE, text_length in zip(
                audio_BAE, num_audio, text_BNE, num_text, strict=True
            )
        ]
        lengths_B = torch.tensor([len(row) for row in rows], device=audio_BAE.device)
        embeds_BLE = pad_sequence(rows, batch_first=True)
        mask_BL = torch.arange(embeds_BLE.shape[1], device=audio_BAE.device) < lengths_B[:, None]
        return ThinkerSequence(embeds_BLE, mask_BL, lengths_B)
