"""Log-mel spectrogram of the AuT encoder: natural logarithm, normalised, 100 frames a second.

Whisper's (`audio.features`) follows the loudest moment of the clip; this one can also be had with fixed constants, so
that a frame depends on no later audio than its own window.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.audio.features import mel_filters
from tiny_audio.audio.timebase import HOP_LENGTH, samples_to_mel_frames
from tiny_audio.errors import AudioError
from tiny_audio.types import Waveform

WINDOW_LENGTH = 400
"""Samples that a frame sees: 25 ms, centred on its hop."""
N_FFT = 1024
"""The window is filled up with zeros to this, so that every one of 128 mel filters holds several frequency bins."""
POWER_FLOOR = 1e-10
LOG_MEL_MEAN, LOG_MEL_STD = -8.8, 4.4
"""Of read speech (LJ Speech) over all bands; what `global` normalisation subtracts and divides by."""
_SMALLEST_STD = 1e-2
"""A band without any variation, as in digital silence, becomes zero and not amplified rounding noise."""

Normalization = Literal["utterance", "global"]


def aut_log_mel(waveform: Waveform, *, n_mels: int = 128, normalization: Normalization = "utterance") -> Tensor:
    """Normalised log-mel features `(n_mels, F)` with F = samples // 160: 3 s are exactly 300 frames.

    Args:
        waveform: `(num_samples,)` float32 at 16 kHz.
        n_mels: mel bands.
        normalization: `utterance`: zero mean and unit variance of each band over the clip, whatever the microphone.
            `global`: one mean and variance for everything, as streaming needs.

    Raises:
        AudioError: fewer samples than one hop.
    """
    samples = torch.as_tensor(waveform)
    if len(samples) < HOP_LENGTH:
        raise AudioError(f"{len(samples)} samples of audio; a log-mel frame needs at least {HOP_LENGTH}")
    padded = F.pad(samples, (N_FFT // 2, N_FFT // 2))
    window = torch.hann_window(WINDOW_LENGTH)
    spectrum = torch.stft(padded, N_FFT, HOP_LENGTH, WINDOW_LENGTH, window, center=False, return_complex=True)
    # A centred transform has one frame more, half of it behind the end: dropped.
    spectrum = spectrum[:, : samples_to_mel_frames(len(samples))]
    # Not abs().square(), which takes a root to square it and was half of the whole work.
    power = spectrum.real.square() + spectrum.imag.square()
    log_mel = (mel_filters(n_mels, N_FFT) @ power).clamp(min=POWER_FLOOR).log()
    if normalization == "global":
        return (log_mel - LOG_MEL_MEAN) / LOG_MEL_STD
    std, mean = torch.std_mean(log_mel, dim=1, keepdim=True, correction=0)
    return (log_mel - mean) / std.clamp(min=_SMALLEST_STD)
