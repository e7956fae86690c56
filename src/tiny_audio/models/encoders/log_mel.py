"""What an AuT encoder reads, as an encoder of its own: log-mel and nothing more.

It has no weights. A system that trains its encoder from scratch can so keep its features in a feature cache, like the
output of any frozen encoder: making them anew took longer than a training step on them (`training.ctc_objective`).

Shapes: B batch, M mel bands, F mel frames, which are the encoder frames here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tiny_audio.audio.aut_features import Normalization, aut_log_mel
from tiny_audio.audio.timebase import HOP_LENGTH, MEL_FRAME_RATE
from tiny_audio.models.encoders.encoder import Encoder, EncoderOutput
from tiny_audio.types import Waveform


def log_mel_features(
    waveforms: Sequence[Waveform], *, n_mels: int, normalization: Normalization
) -> tuple[Tensor, Tensor]:
    """Zero-padded `aut_log_mel` `(B, M, F)` and the mel frames `(B,)` of each row."""
    mels = [aut_log_mel(waveform, n_mels=n_mels, normalization=normalization).T for waveform in waveforms]
    return pad_sequence(mels, batch_first=True).transpose(1, 2), torch.tensor([len(mel) for mel in mels])


class LogMelEncoder(Encoder):
    """Log-mel `(B, M, F)` to the same as `(B, F, M)`, 100 frames a second.

    Args:
        n_mels: bands, the width of a frame.
        normalization: see `aut_log_mel`.
    """

    def __init__(self, *, n_mels: int = 128, normalization: Normalization = "utterance") -> None:
        super().__init__()
        self.dim = n_mels
        self.frame_rate = float(MEL_FRAME_RATE)
        self.normalization: Normalization = normalization
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # where it is; it has no other tensor to ask

    def features(self, waveforms: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        """Zero-padded log-mel `(B, M, F)` and the mel frames `(B,)` of each row."""
        return log_mel_features(waveforms, n_mels=self.dim, normalization=self.normalization)

    def output_lengths(self, num_samples_B: Tensor) -> Tensor:
        """Mel frames for that many audio samples."""
        return num_samples_B // HOP_LENGTH

    def forward(self, features: Tensor, feature_lengths_B: Tensor | None = None) -> EncoderOutput:
        """Frames first."""
        if feature_lengths_B is None:
            feature_lengths_B = torch.full((len(features),), features.shape[2])
        return EncoderOutput(features.transpose(1, 2), feature_lengths_B)
