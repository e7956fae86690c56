"""Log-mel spectrogram, equal to Whisper's (Radford et al., arXiv 2212.04356) but on the clip's own length."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.audio.timebase import HOP_LENGTH, SAMPLE_RATE, samples_to_mel_frames
from tiny_audio.errors import AudioError
from tiny_audio.types import Waveform

N_FFT = 400
"""Samples in one STFT window: 25 ms."""


@lru_cache(maxsize=4)
def mel_filters(n_mels: int, n_fft: int = N_FFT) -> Tensor:
    """Slaney mel filter bank `(n_mels, n_fft // 2 + 1)`, 0 to 8 kHz."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=n_fft // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters.T.copy()).float()


def log_mel_spectrogram(waveform: Waveform, *, n_mels: int = 80, pad_to: int | None = None) -> Tensor:
    """Log-mel features `(n_mels, F)` with F = samples // 160.

    Args:
        waveform: `(num_samples,)` float32 at 16 kHz.
        n_mels: mel bands; 80 for Whisper up to large-v2, 128 for large-v3.
        pad_to: fill up with zeros to this number of samples first (480,000 gives exactly Whisper's input).

    Raises:
        AudioError: fewer samples than one hop.
    """
    samples = torch.from_numpy(waveform) if not isinstance(waveform, Tensor) else waveform
    if pad_to is not None:
        samples = F.pad(samples, (0, max(pad_to - len(samples), 0)))
    num_samples = samples.shape[0]  # `len` would be a constant in an exported graph
    if num_samples < HOP_LENGTH:
        raise AudioError(f"{num_samples} samples of audio; a log-mel frame needs at least {HOP_LENGTH}")
    half = N_FFT // 2
    # Whisper mirrors the start. Its end is mirrored too, but there it always sees the zeros of the 30 s padding.
    start = samples[1 : half + 1].flip(0)
    start = F.pad(start, (half - len(start), 0))
    padded = torch.cat([start, samples, samples.new_zeros(half)])
    spectrum = torch.stft(padded, N_FFT, HOP_LENGTH, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    # The last frame is dropped as Whisper does; keep it identical or features drift by one frame.
    power = spectrum.abs().square()[:, : samples_to_mel_frames(num_samples)]
    log_mel = (mel_filters(n_mels) @ power).clamp(min=1e-10).log10()
    log_mel = torch.maximum(log_mel, log_mel.max() - 8.0)
    return (log_mel + 4.0) / 4.0
